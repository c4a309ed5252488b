"""What a message must have, read without a None; Expires; the arguments of a Contact (RFC 3261 8.1.1, 20.10, 20.19)."""

import math
from types import ModuleType
from typing import Any

import pytest
from agreement import REQUEST, outcome

from sipstack import Endpoint, HeaderError, NameAddr, SerializeError, parse, parse_header
from sipstack.headers import AcceptValue, ContentType

NEEDED = {
    "need_via": ("via", "Via"),
    "need_from": ("from_", "From"),
    "need_to": ("to", "To"),
    "need_cseq": ("cseq", "CSeq"),
    "need_call_id": ("call_id", "Call-ID"),
}


@pytest.fixture
def message(impl: ModuleType) -> Any:
    return impl.parse(REQUEST)


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_there_is_what_the_other_name_gives(message: Any, name: str):
    assert getattr(message, name) is not None
    assert getattr(message, name) == getattr(message, NEEDED[name][0])
    if name != "need_call_id":
        assert getattr(message, name) is getattr(message, name)  # read once


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_an_error_that_names_the_header(message: Any, name: str):
    attribute, header = NEEDED[name]
    message.remove_header(header)
    assert getattr(message, attribute) is None
    with pytest.raises(HeaderError) as caught:
        getattr(message, name)
    assert (caught.value.header, caught.value.reason, caught.value.status) == (header, "missing", 400)
    assert header in {one.header for one in message.check()}


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_malformed_is_the_same_error_by_both_names(both: Any, name: str):
    attribute, header = NEEDED[name]
    found = []
    for impl in both:
        message = impl.parse(REQUEST)
        message.set_header(header, "?")
        found += [outcome(lambda m=message: getattr(m, attribute)), outcome(lambda m=message: getattr(m, name))]
    assert found == [found[0]] * 4


def test_the_request_uri_of_a_request(message: Any):
    assert message.need_uri is message.uri
    message.request_uri = "x"
    with pytest.raises(HeaderError, match=r"^Request-URI: URI has no scheme"):
        _ = message.need_uri
    with pytest.raises(HeaderError, match=r"^Request-URI: missing"):
        _ = message.reply(200).need_uri


def test_an_edit_is_seen(message: Any):
    assert message.need_cseq.num == 314159
    message.set_header("CSeq", "2 INVITE")
    assert message.need_cseq.num == 2


def test_an_empty_call_id_is_there(message: Any):
    message.set_header("Call-ID", "")
    assert message.need_call_id == ""


def test_an_endpoint_answers_400_where_a_handler_needs_what_is_not_there():
    message = parse(REQUEST)
    endpoint = Endpoint()
    endpoint.register_handler("INVITE", lambda request, _: request.reply(200, headers={"X": request.need_cseq.num}))
    message.remove_header("CSeq")
    assert endpoint.dispatch_request(message).status_code == 400


# --- Expires


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("3600", 3600), (" 007\t", 7), ("1\r\n ", 1), ("4294967295", 2**32 - 1), ("4294967296", 2**32 - 1),
        ("18446744073709551615", 2**32 - 1), ("9" * 5000, 2**32 - 1), (f"{'0' * 5000}5", 5),
    ],
)  # fmt: skip
def test_expires(impl: ModuleType, text: str, seconds: int):
    message = impl.parse(REQUEST.replace(b"Max-Forwards", f"Expires: {text}\r\nMax-Forwards".encode()))
    assert message.expires == seconds
    assert type(message.expires) is int
    if "\n" not in text:
        assert parse_header("Expires", text) == parse_header("Min-Expires", text) == seconds


def test_no_expires(message: Any):
    assert message.expires is None
    assert message.reply(200).expires is None


@pytest.mark.parametrize("text", ["", "-1", "x", "1 2", "1.5", "\u0663", "Sat, 13 Nov 2010 23:29:00 GMT"])
def test_an_expires_that_is_no_number(impl: ModuleType, text: str):
    message = impl.parse(REQUEST)
    message.set_header("Expires", text)
    with pytest.raises(HeaderError, match=r"^Expires: number of seconds is not a number"):
        _ = message.expires


@pytest.mark.parametrize("header", ["Expires", "Min-Expires", "Flow-Timer"])
def test_too_many_seconds_are_the_most_and_are_said(message: Any, header: str):
    message.set_header(header, 2**32)
    found = [(one.reason, one.serious) for one in message.validate() if one.header == header]
    assert found == [("number of seconds is out of range", False)]
    assert message.get_values(header) == (2**32 - 1,)


# --- q and expires of a Contact


def test_arguments_of_a_contact(message: Any):
    contact = NameAddr("sip:a@h", tag="1", q=0.5, expires=60, params={"+sip.ice": None, "reg-id": 1})
    assert str(contact) == "<sip:a@h>;tag=1;q=0.5;expires=60;+sip.ice;reg-id=1"
    assert (contact.q, contact.expires) == (0.5, 60)
    assert NameAddr.parse(str(contact)) == contact
    message.set_header("Contact", contact)
    assert message.contacts == (contact,)


@pytest.mark.parametrize(
    ("q", "text"), [(0, "0"), (1, "1"), (0.0, "0"), (1.0, "1"), (0.1, "0.1"), (0.25, "0.25"), (1 / 3, "0.333"),
                    (0.9999, "1"), (0.0001, "0")]
)  # fmt: skip
def test_q_is_written_with_three_decimals(q: float, text: str):
    assert str(NameAddr("sip:h", q=q).params) == f"q={text}"
    assert str(AcceptValue("de", q=q)) == f"de;q={text}"
    assert str(ContentType("a", "b", q=q, params={"c": "d"})) == f"a/b;q={text};c=d"
    assert abs(NameAddr("sip:h", q=q).q - q) <= 0.0005


@pytest.mark.parametrize("q", [-0.1, 1.0001, math.nan, math.inf, 10**400])
def test_q_out_of_range(q: float):
    for build in (lambda: NameAddr("sip:h", q=q), lambda: AcceptValue("de", q=q), lambda: ContentType("a", "b", q=q)):
        with pytest.raises(SerializeError, match=r"^q is not a number from 0 to 1$"):
            build()


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"^q must be a number, not str$"):
        NameAddr("sip:h", q="0.5")
    with pytest.raises(TypeError, match=r"^q must be a number, not bool$"):
        NameAddr("sip:h", q=True)
    with pytest.raises(TypeError, match=r"^expires must be int, not float$"):
        NameAddr("sip:h", expires=1.5)
    with pytest.raises(SerializeError, match=r"^expires is out of range$"):
        NameAddr("sip:h", expires=2**32)
    for params in ({"q": "1"}, {"EXPIRES": 1}, {"tag": "x"}):
        with pytest.raises(SerializeError, match=r"^parameter (q|expires|tag) twice$"):
            NameAddr("sip:h", tag="1", q=1, expires=1, params=params)
    with pytest.raises(TypeError, match=r"^parameter a must be str, not float$"):
        NameAddr("sip:h", params={"a": 1.5})


def test_replace_changes_them_alone():
    contact = NameAddr.parse('"A" <sip:a@h>;q=0.2;x="y z";expires=60;tag=t')
    assert str(contact.replace(expires=0)) == '"A" <sip:a@h>;q=0.2;x="y z";tag=t;expires=0'
    assert str(contact.replace(q=None)) == '"A" <sip:a@h>;x="y z";expires=60;tag=t'
    assert str(contact.replace(q=1, params=None)) == '"A" <sip:a@h>;tag=t;q=1'
