"""Subclasses of str and int, such as members of an enum: what is written is their value, whatever they say."""

import enum
import pickle
from types import ModuleType
from typing import Any

import pytest
from agreement import REQUEST, LyingInt, LyingStr

from sipstack import AbsoluteUri, EndpointConfig, NameAddr, SipUri, TelUri, headers
from sipstack.headers import CSeq, Via
from sipstack.multipart import join_parts
from sipstack.proxy import Hop, Node


class Number(int, enum.Enum):
    FIVE = 5
    BUSY = 486


class Word(str, enum.Enum):  # noqa: UP042 - str() of a StrEnum's member is its value
    HOST = "h"
    UDP = "UDP"
    NAME = "x-name"
    EXPIRES = "Expires"
    PARAM = "a"
    TEXT = "b"
    UUID = "0123456789abcdef0123456789abcdef"
    URI = "sip:h"
    PROTOCOL = "SIP/2.0"
    TEL = "+1"
    SCHEME = "sips"
    URN = "urn"
    TIME = "1.5"
    PASSPORT = "a.b.c"


class Half(float, enum.Enum):
    Q = 0.5


FIVES = (Number.FIVE, LyingInt(5))
WRITTEN_NUMBERS = [
    (lambda five: CSeq(five, "A"), "5 A"),
    (lambda five: headers.RAck(five, five, "A"), "5 5 A"),
    (lambda five: Via("h", port=five, ttl=five), "SIP/2.0/UDP h:5;ttl=5"),
    (lambda five: Via("h", rport=five), "SIP/2.0/UDP h;rport=5"),
    (lambda five: Via("h").replace(port=five, params={"x": five}), "SIP/2.0/UDP h:5;x=5"),
    (lambda five: SipUri("h", port=five, params={"a": five}, headers={"b": five}), "sip:h:5;a=5?b=5"),
    (lambda five: TelUri("+1", params={"ext": five}), "tel:+1;ext=5"),
    (lambda five: NameAddr("sip:a", expires=five), "<sip:a>;expires=5"),
    (lambda five: NameAddr("sip:a", params={"expires": five}), "<sip:a>;expires=5"),
    (lambda five: headers.RetryAfter(five, duration=five), "5;duration=5"),
    (lambda five: headers.SessionExpires(five), "5"),
    (lambda five: headers.Reason("SIP", cause=five), "SIP;cause=5"),
    (lambda five: headers.SubscriptionState("active", expires=five), "active;expires=5"),
    (lambda five: headers.Params({"a": five}), "a=5"),
    (lambda five: headers.Credentials("Digest", {"stale": five}), "Digest stale=5"),
]


@pytest.mark.parametrize("five", FIVES, ids=["member", "liar"])
@pytest.mark.parametrize(("make", "text"), WRITTEN_NUMBERS)
def test_a_value_has_the_number(five: int, make: Any, text: str):
    made = make(five)
    assert str(made) == text
    assert made == make(5)
    assert hash(made) == hash(make(5))
    assert {type(getattr(made, name, 0)) for name in ("num", "port", "rport", "seconds", "rseq")} <= {int, type(None)}


def test_a_preference_has_the_number():
    assert str(NameAddr("sip:a", q=Half.Q)) == "<sip:a>;q=0.5"
    assert str(headers.ContentType("a", "b", q=enum.Enum("One", {"ONE": 1}, type=int).ONE)) == "a/b;q=1"


WRITTEN_WORDS = [
    (lambda: CSeq(1, Word.PARAM), "1 a"),
    (lambda: Via(Word.HOST, transport=Word.PARAM, protocol=Word.PROTOCOL, branch=Word.TEXT), "SIP/2.0/a h;branch=b"),
    (lambda: Via("h", received=Word.HOST, maddr=Word.HOST, params={Word.PARAM: Word.TEXT}),
     "SIP/2.0/UDP h;received=h;maddr=h;a=b"),
    (lambda: SipUri(Word.HOST, user=Word.PARAM, password=Word.TEXT, scheme=Word.SCHEME), "sips:a:b@h"),
    (lambda: SipUri("h", params={Word.PARAM: Word.TEXT}, headers={Word.PARAM: Word.TEXT}), "sip:h;a=b?a=b"),
    (lambda: TelUri(Word.TEL), "tel:+1"),
    (lambda: AbsoluteUri(Word.URN, Word.PARAM), "urn:a"),
    (lambda: NameAddr(Word.URI, display_name=Word.TEXT, tag=Word.PARAM), '"b" <sip:h>;tag=a'),
    (lambda: NameAddr("sip:h").with_tag(Word.PARAM), "<sip:h>;tag=a"),
    (lambda: NameAddr.parse(Word.URI), "<sip:h>"),
    (lambda: headers.parse_header("Contact", Word.URI)[0], "<sip:h>"),
    (lambda: headers.SessionId(Word.UUID, remote=Word.UUID), f"{Word.UUID.value};remote={Word.UUID.value}"),
    (lambda: headers.Replaces(Word.TEXT, to_tag=Word.PARAM, from_tag=Word.PARAM), "b;to-tag=a;from-tag=a"),
    (lambda: headers.WarningValue(399, Word.HOST, Word.TEXT), '399 h "b"'),
    (lambda: headers.Timestamp(Word.TIME, delay=Word.TIME), "1.5 1.5"),
    (lambda: headers.Products([(Word.PARAM, Word.TEXT)], comments=[Word.HOST]), "a/b (h)"),
    (lambda: headers.Identity(Word.PASSPORT, Word.URI), "a.b.c;info=<sip:h>"),
    (lambda: headers.Credentials(Word.PARAM, {Word.PARAM: Word.TEXT}), "a a=b"),
    (lambda: headers.EventValue(Word.PARAM, id=Word.TEXT), "a;id=b"),
    (lambda: headers.Reason(Word.PARAM, text=Word.TEXT), 'a;text="b"'),
    (lambda: join_parts([((), Word.URI)], boundary=Word.UUID)[0], f"multipart/mixed;boundary={Word.UUID.value}"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), WRITTEN_WORDS)
def test_a_value_has_the_text(make: Any, text: str):
    made = make()
    assert str(made) == text
    for slot in made._setters:
        assert type(getattr(made, slot)) not in (Word, LyingStr)
    assert str(pickle.loads(pickle.dumps(made))) == text


def test_what_lies_about_its_text():
    for made in (
        Via(LyingStr("h"), branch=LyingStr("b"), params={LyingStr("a"): LyingStr("c")}),
        SipUri(LyingStr("h"), user=LyingStr("b"), params={LyingStr("a"): LyingStr("c")}),
        NameAddr(LyingStr("sip:h"), display_name=LyingStr("b")),
        SipUri.parse(LyingStr("sip:h")),
        headers.parse_header(LyingStr("Contact"), LyingStr("<sip:h>"))[0],
    ):
        assert "l!e" not in str(made)


@pytest.mark.parametrize("five", FIVES, ids=["member", "liar"])
def test_a_header_has_the_number(impl: ModuleType, five: int):
    message = impl.Message.response(503, headers={"Retry-After": five, "X": [five, five]})
    message.set_header("Max-Forwards", five)
    message.add_header(Word.EXPIRES, five)
    message.prepend_header(Word.NAME, five)
    message.headers.update({"Min-Expires": five})
    assert message.headers.items() == [
        ("x-name", "5"), ("Retry-After", "5"), ("X", "5, 5"), ("Content-Length", "0"), ("Max-Forwards", "5"),
        ("Expires", "5"), ("Min-Expires", "5"),
    ]  # fmt: skip
    assert (message.max_forwards, message.expires) == (5, 5)


@pytest.mark.parametrize("status", [Number.BUSY, LyingInt(486)], ids=["member", "liar"])
def test_a_response_has_the_number(impl: ModuleType, status: int):
    request = impl.parse(REQUEST)
    plain = request.reply(486, to_tag="a")
    for made in (request.reply(status, to_tag=Word.PARAM), request.reply(status, "Busy Here", to_tag=Word.PARAM)):
        assert made == plain
    assert request.reply(status, Word.TEXT).status_text == "b"
    assert impl.Message.response(status).to_bytes() == impl.Message.response(486).to_bytes()
    for code in (100, 183):
        assert request.reply(LyingInt(code)) == request.reply(code)


@pytest.mark.parametrize("five", FIVES, ids=["member", "liar"])
def test_a_stamp_has_the_number(impl: ModuleType, five: int):
    message = impl.parse(REQUEST)
    message.stamp_received(Word.HOST, five)
    assert (message.via.received, message.via.rport) == ("h", 5)


def test_a_message_has_the_text(impl: ModuleType):
    message = impl.Message.request(Word.PARAM, Word.URI, headers={Word.NAME: Word.TEXT}, body=Word.HOST)
    assert message.to_bytes() == b"a sip:h SIP/2.0\r\nx-name: b\r\nContent-Length: 1\r\n\r\nh"
    message.request_uri = Word.HOST
    message.headers[Word.NAME] = [Word.TEXT, Word.PARAM]
    assert (message.request_uri, message.get_headers(Word.NAME)) == ("h", ["b, a"])
    lies = impl.Message.request(LyingStr("a"), LyingStr("sip:h"), headers={LyingStr("x"): LyingStr("b")})
    assert lies.to_bytes() == b"a sip:h SIP/2.0\r\nx: b\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("five", FIVES, ids=["member", "liar"])
def test_a_hop_has_the_number(impl: ModuleType, five: int):
    node = Node(Hop("UDP", "192.0.2.1", five), key=bytes(16))
    assert node.listeners == (("UDP", "192.0.2.1", 5),)
    assert type(node.listeners[0].port) is int
    assert str(Hop(Word.UDP, Word.HOST, five)) == "UDP/h:5"
    made = []
    for port in (five, 5):
        request = impl.parse(REQUEST)
        came_to = Hop("UDP", "192.0.2.3", port)
        impl.forward_request(request, node, Hop("UDP", "192.0.2.2", port), record_route=True, came_to=came_to)
        made.append(bytes(request))
        assert request.via.sent_by == "192.0.2.1:5"
    assert made[0] == made[1]


def test_a_hop_is_of_text_and_a_number():
    for parts in (("UDP", "h", "5"), ("UDP", "h", True), ("UDP", b"h", 5), (None, "h", 5)):
        with pytest.raises(TypeError, match=r" must be (str|int), not "):
            Hop(*parts)


@pytest.mark.parametrize("five", FIVES, ids=["member", "liar"])
def test_a_configuration_has_the_number(five: int):
    config = EndpointConfig(host=Word.HOST, port=five, retry_after=five)
    assert (type(config.host), type(config.port), f"{config.host}:{config.port} {config.retry_after}") == (
        str, int, "h:5 5",
    )  # fmt: skip


@pytest.mark.parametrize("wrong", [True, 5.0, "5", None])
def test_what_is_no_number_is_none(impl: ModuleType, wrong: object):
    message = impl.parse(REQUEST)
    for make in (
        lambda: CSeq(wrong, "A"),
        lambda: impl.Message.response(wrong),
        lambda: message.reply(wrong),
        lambda: message.stamp_received("h", wrong),
        lambda: impl.parse(REQUEST, max_size=wrong),
    ):
        with pytest.raises(TypeError):
            make()
    for value in {True, 5.0, None} & {wrong}:
        with pytest.raises(TypeError, match=r"^value of X must be str, int, a header value or several, not "):
            message.set_header("X", value)
