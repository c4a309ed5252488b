"""What it means that the two implementations agree: used by test_agreement.py and by the fuzzers in fuzz/.

Everything here takes implementations as modules with `Message` and `parse`, and compares what comes out as tuples,
types included, so that `0` and `False`, or a `str` and a subclass of it, are different results.
"""

import copy
import gc
import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from sipstack import proxy
from sipstack.errors import HeaderError, ParseError, SerializeError
from sipstack.headers import STAR, HeaderValue, NameAddr
from sipstack.uri import AbsoluteUri, SipUri, TelUri

LARGE = {"max_size": (1 << 22) - 1, "max_headers": 1 << 20}
"""Limits for reading again what was edited: it may be larger than what came in."""

STRUCTURED = (
    "uri", "via", "vias", "from_", "to", "from_tag", "to_tag", "contacts", "routes", "record_routes", "cseq", "rack",
    "call_id", "max_forwards", "expires", "content_length", "content_type", "need_uri", "need_via", "need_from",
    "need_to", "need_cseq", "need_call_id",
)  # fmt: skip
"""Every attribute of a Message that reads a header."""

REQUEST = (
    b"INVITE sip:bob@biloxi.example.com;transport=udp SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'To: "Bob" <sip:bob@biloxi.example.com>\r\n'
    b"From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:alice@pc33.atlanta.example.com>;q=0.5\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n\r\nv=0\r\n"
)
MESSAGES = (
    REQUEST,
    b"OPTIONS sip:127.0.0.1 SIP/2.0\nv:SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKa;received=192.0.2.1;rport=9\n"
    b"f: sip:a@example.org;tag=1\nt: <tel:+1-201-555-0123;phone-context=example.com>\ni: x\nCSeq: 1 OPTIONS\n"
    b"k:\nl:0\n\n",
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a.example.com;branch=z9hG4bK1;ttl=1;maddr=224.2.0.1 , SIP/2.0/TCP "
    b"b.example.com:5061;branch=z9hG4bK2\r\nVia : SIP / 2.0 / UDP c\r\nRecord-Route: <sip:p1.example.com;lr>,\r\n"
    b" <sip:p2.example.com;lr>\r\nRecord-Route: <sip:p3.example.com;lr>\r\nFrom: <sip:a@example.com>;tag=a\r\n"
    b"To: <sip:b@example.com>;tag=b\r\nCall-ID: 1@example.com\r\nCSeq: 2147483647 INVITE\r\nRSeq: 1\r\n"
    b"Require: 100rel\r\nContent-Length: 0\r\n\r\n",
    b"PRACK sip:b@[::1]:5061;transport=tcp?subject=x SIP/2.0\r\nvIa: SIP/2.0/WSS host;branch=z9hG4bK-1\r\n"
    b"Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\r\nRoute: <sip:p3.example.com;lr>\r\n"
    b'Max-Forwards: 0\r\nFROM:"A. \\"B\\" C" <sips:a:pw@example.com:5070;user=phone>;x="y;z";tag=1\r\n'
    b"to:\t<urn:service:sos>\r\nCall-ID:1\r\nCSeq: 2 PRACK\r\nRAck: 1 1 INVITE\r\nX-Unknown: a\r\nx-unknown: b\r\n"
    b"Subject: folded\r\n\t text\r\n  here\r\nl: 3\r\n\r\nabcdef",
    b"\r\n\r\nREGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContact: *\r\nExpires: 0\r\n"
    b'To: "\\\x01\\\x00 \xc3\xa9\xff" <sip:u@example.com>\r\nFrom: <sip:u@example.com>;tag=1\r\nCall-ID: 2\r\n'
    b'CSeq: 1 REGISTER\r\nAuthorization: Digest username="u", realm="r", nonce="n", uri="sip:r", response="0"\r\n'
    b"Timestamp: 54.2 0.1\r\nContent-Length: 0\r\n\r\n",
    b"INVITE sip:+15551230000@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nUser-Agent: FPBX-15.0(16) x/1 (a\r\n"
    b'Identity: eyJh.eyJi.c2ln;info=<https://a.example/c>;alg=ES256;ppt=div\r\ny: ..c2ln;info=<cid:a>;ppt="shaken"\r\n'
    b'Call-Info: <sip:10.1.1.1>;answer-after=0, <urn:x>;a="b,c"\r\nAlert-Info: Bellcore-dr2\r\nAlert-Info: ;info=x,\r\n'
    b'User-to-User: 56a390;encoding=hex, "a b"\r\nP-Charging-Vector: icid-value="a;b";orig-ioi=home1.net\r\n'
    b"Proxy-Authorization: Digest a=b, Digest c=d\r\nProxy-Authorization: Basic x==\r\nSupported: a, b\r\nk: c\r\n"
    b"Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000\r\nl: 0\r\n\r\n",
    b"sip/2.0 699\r\n\r\n",
)
"""Messages to start from: ours, and between them every shape that has code of its own."""

# What header values are made of when they are mutated; each alone is on somebody's fast path.
VALUES: dict[str, tuple[str, ...]] = {
    "Via": (
        "SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport",
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;received=192.0.2.2;rport=5061",
        "SIP/2.0/TCP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3",
        "SIP/2.0/UDP h",
        "SIP/2.0/UDP h;rport;branch=z9hG4bK1, SIP/2.0/TLS 10.0.0.1;branch=z9hG4bK2",
        'SIP / 2.0 / UDP  first.example.com : 4000;ttl=16 ;maddr=224.2.0.1;branch=z9hG4bKa7c6a8dlze.1;x="a,b;rport"',
        "SIP/2.0/UDP host;alias;i=abc;branch=z9hG4bK.~*'`!%_+-",
        "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKasudf;rport=0",
        "SIP/2.0/UDP 256.1.1.1;BRANCH=a;RPort;ReCeived=a.b.c",
        "SIP/2.0/UDP 255.255.255.255:65535;rport=65535;received=1.2.3.256",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:00080;rport=65536",
        "SIP/2.0/UDP [1:2:3:4:5:6:7:8];received=1:2:3:4:5:6:7::",
        "SIP/2.0/UDP [1:2:3:4:5:6:7:8:9]",
        "SIP/2.0/UDP h;a;b;c;d;e;f;g;i;j;rport;branch=z9hG4bK1",
        "SIP/2.0/UDP 0398765;;received=127.0.0.1:44350:17;x=(;x=2;rport=",
        ", SIP/2.0/UDP <null>;rport;branch=z9hG4bK1,,SIP/2.0/UDP b,",
    ),
    "From": (
        "Alice <sip:alice@atlanta.example.com>;tag=1928301774",
        '"Bob \\"the\\" B" <sip:bob@biloxi.example.com:5070;transport=tcp>;tag=a6c85cf',
        "<sip:+12125551212@server.phone2net.com;user=phone>;tag=887s",
        "sip:alice@example.com;tag=1",
        "<tel:+358-555-1234567;postd=pp22>;tag=1",
        "<sips:a:b@[2001:db8::1]:5061?subject=x&y=z>",
        '"" <urn:service:sos.fire>;x="tag=1";tag=2',
        "A B  C<sip:c@d>",
        "<sip:h>;TAG=x;y",
        "<sip:0398765432100;user=phone>;;tag=1;tag=1;",
        "<sip:5@<null>>;x=(y);tag=",
        "<tel:+4311130@h:1>;tag=1",
        "<sip:a@b>;tag; x=y;TAG = ;tag=",
        "<sip:x@y;;a=b=c?Reason=SIP;cause=302>;tag=1",
    ),
    "CSeq": (
        "314159 INVITE",
        "1 ACK",
        "2147483647\tBYE",
        " 00000000000000001   NEW.method ",
        "0 OPTIONS",
        "2147483648 X",
        "99999999999 X",
    ),
    "URI": (
        "sip:bob@biloxi.example.com",
        "sips:alice:secret@[2001:db8::1]:5061;transport=tcp;lr?subject=a%20b&x=",
        "sip:192.0.2.1:5060;maddr=239.255.255.1;ttl=15",
        "SIP:%61lice;x=1@example.com.;user=phone",
        "tel:+1-201-555-0123;ext=1",
        "tel:7042;phone-context=example.com",
        "urn:service:sos",
        "sip:a_b.c-d.e1",
        "sip:1.2.3.4",
        "sip:h:65535",
        "sip:u@h:65536;a;b;c;d;e;f;g;h;i",
        "sip:user@1.2.3",
        "sip:+1234;phone-context=+1@h",
        "sip:0398765432100;user=phone;user=ip;",
        "sip:100%@*31#?a=1@b;c&",
        "tel:+4311130@h;;x=",
    ),
    "Max-Forwards": ("70", "0", "255", "256", " 07 ", "007"),
    "Contact": ("<sip:a@b>;q=0.5;expires=60, sip:c@d;x", "*", '"a,b" <sip:a@b>', '<sip:h;lr>;+sip.instance="<urn:x>"'),
    "Route": (
        "<sip:p1.example.com;lr>",
        "<sip:p1.example.com;lr>, <sip:p2.example.com:5070;lr>;x=y",
        "<sip:a>,,<sip:b>",
        "sip:p1.example.com;lr,sip:[::1]:5;lr=on",
        ", <sip:a;lr>;x=(,<sip:b>,",
    ),
    "RAck": ("776656 1 INVITE", "1 2 X"),
    "Content-Type": ("application/sdp", 'multipart/mixed; boundary="a;b"', "text/plain;charset=UTF-8"),
}
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Via": ("via", "vias"),
    "From": ("from_", "from_tag"),
    "To": ("to", "to_tag"),
    "CSeq": ("cseq",),
    "URI": ("uri",),
    "Max-Forwards": ("max_forwards",),
    "Contact": ("contacts",),
    "Route": ("routes",),
    "Record-Route": ("record_routes",),
    "RAck": ("rack",),
    "Content-Type": ("content_type",),
}
"""Which attributes read which header."""
LISTS = {"Via": "vias", "Contact": "contacts", "Route": "routes", "Record-Route": "record_routes"}
"""The headers whose values over all lines have an attribute of their own."""


# --- results as tuples


@cache
def _slots(cls: type) -> tuple[str, ...]:
    return tuple(name for parent in cls.__mro__ for name in getattr(parent, "__slots__", ()))


def plain(value: Any) -> Any:
    """A value with its type and, where it has slots, every one of them."""
    if isinstance(value, HeaderValue):
        return type(value), tuple([(name, plain(getattr(value, name))) for name in _slots(type(value))])
    if isinstance(value, (tuple, list)):
        return type(value), tuple([plain(item) for item in value])
    if isinstance(value, dict):
        return plain(list(value.items()))
    return type(value), value


def outcome(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a call gives, or the error it raises with all it says: ours alone, any other error comes through."""
    try:
        return call(*arguments, **named)
    except (ParseError, HeaderError, SerializeError) as error:
        return type(error), error.args


def read(implementation: ModuleType, data: bytes, **limits: int) -> Any:
    """The Message, or (ParseError, (reason, offset, status))."""
    try:
        return implementation.parse(data, **limits)
    except ParseError as error:
        return ParseError, error.args


def text_of(message: Any) -> tuple[Any, ...]:
    """Everything of a message that is text or bytes: cheap."""
    return (
        message.is_request,
        message.method,
        message.request_uri,
        message.status_code,
        message.status_text,
        message.version,
        message._items(),
        message.body,
        message.to_bytes(),
    )


def structured(message: Any, names: Iterable[str] = STRUCTURED) -> list[Any]:
    """The structured values, each as tuples or as its error."""
    return [(name, plain(outcome(getattr, message, name))) for name in names]


def findings(message: Any) -> list[Any]:
    """What check and validate say."""
    return [[tuple(found) for found in message.check()], [tuple(found) for found in message.validate()]]


# --- the assertions


def assert_same(one: Any, other: Any, what: Any) -> None:
    """Assert that two results are equal; the message says of what."""
    if one != other:
        while isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
            one, other = next((mine, its) for mine, its in zip(one, other, strict=True) if mine != its)
        raise AssertionError(f"the implementations differ\nof:       {what!r}\ncompiled: {one!r}\nplain:    {other!r}")


def agree(both: tuple[ModuleType, ModuleType], data: bytes, *, deep: bool = False, **limits: int) -> Any:
    """Assert that both read the same from `data`; `deep` compares structured values, replies and edits too.

    Returns the two messages, or None where both refuse.
    """
    compiled, simple = read(both[0], data, **limits), read(both[1], data, **limits)
    if type(compiled) is tuple or type(simple) is tuple:
        assert_same(compiled, simple, data)
        assert compiled[1][0] != "malformed message", f"the parsers refuse what _diagnose accepts: {data!r}"
        assert 0 <= compiled[1][1] <= len(data), f"an offset outside of the data: {compiled!r} for {data!r}"
        return None
    one, other = text_of(compiled), text_of(simple)
    assert_same(one, other, data)
    assert one[-1] in data, f"an unedited message does not leave as it came: {data!r} gives {one[-1]!r}"
    if deep:
        agree_deeply(both, compiled, simple, data)
    return compiled, simple


def identities(message: Any) -> list[Any]:
    """What a transaction layer asks of a message; what it makes is compared as bytes."""
    calls = {
        "key": message.transaction_key,
        "key of INVITE": lambda: message.transaction_key("INVITE"),
        "dialog": message.dialog_id,
        "dialog of the sender": lambda: message.dialog_id(sent=True),
        "route set": lambda: message.route_set,
    }
    found = [(name, plain(outcome(call))) for name, call in calls.items()]
    routed = message.copy() if message.is_request else type(message).request("BYE", "sip:x")
    found.append(("routed", outcome(lambda: routed.set_route("sip:target", message.route_set)), routed.to_bytes()))
    if message.method == "INVITE":
        made = [outcome(message.cancel), outcome(lambda: message.ack(message.reply(486, to_tag="t")))]
        found += [one if type(one) is tuple else one.to_bytes() for one in made]
    return found


def agree_deeply(both: tuple[ModuleType, ModuleType], compiled: Any, simple: Any, what: Any) -> None:
    """Assert that values, findings, replies, stamps and pops are the same, and that what is written can be read."""
    assert_same(structured(compiled), structured(simple), what)
    assert_same(findings(compiled), findings(simple), what)
    assert_same(identities(compiled), identities(simple), what)
    for name in {name.lower() for name, _ in compiled._items()} | set(LISTS):
        values = [plain(outcome(message.get_values, name)) for message in (compiled, simple)]
        assert_same(*values, (name, what))
        if name in LISTS:
            assert_same(values[0], plain(outcome(getattr, compiled, LISTS[name])), (name, what))
    if compiled.is_request:
        for status in (100, 180, 404):
            one, other = compiled.reply(status), simple.reply(status)
            assert_same(text_of(one), text_of(other), what)
            assert_readable(both, one, other)
            for headers in ({"Timestamp": "1 2", "X": "y"}, {"Record-Route": URIS[0]}, {"v": "x"}):
                given = [outcome(message.reply, status, headers=headers) for message in (compiled, simple)]
                if not any(type(reply) is tuple for reply in given):
                    given = [text_of(reply) for reply in given]
                assert_same(*given, (what, headers))
    for name, arguments in (
        ("stamp_received", ("2001:db8::2", 5061)),
        ("stamp_received", ("192.0.2.1", 5060)),
        ("pop_via", ()),
        ("pop_route", ()),
        ("decrement_max_forwards", ()),
        ("push_via", ("SIP/2.0/UDP p.example.com;branch=z9hG4bKp",)),
    ):
        one, other = compiled.copy(), simple.copy()
        given = [plain(outcome(getattr(message, name), *arguments)) for message in (one, other)]
        assert_same(*given, what)
        assert_same(text_of(one), text_of(other), (name, what))
        assert_same(structured(one, ("via", "routes")), structured(other, ("via", "routes")), (name, what))
        assert_readable(both, one, other)
    agree_on_forwarding(both, compiled, simple, what)


NODE = proxy.Node(proxy.Hop("UDP", "192.0.2.1", 5060), aliases=["example.com", "p.example.com"], key=bytes(16))
SERVER = proxy.Hop("UDP", "192.0.2.11", 5060)


def agree_on_forwarding(both: tuple[ModuleType, ModuleType], compiled: Any, simple: Any, what: Any) -> None:
    """Assert that a proxy's calls give the same, raise nothing but HeaderError, and know again what they wrote."""
    messages = compiled.copy(), simple.copy()

    def call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        given = [outcome(function, message, NODE, *arguments, **named) for message in messages]
        assert_same(plain(given[0]), plain(given[1]), (function, what))
        assert_same(text_of(messages[0]), text_of(messages[1]), (function, what))
        assert_readable(both, *messages)
        assert type(given[0]) is not tuple or given[0][0] is HeaderError, (given[0], what)
        return given[0]

    if not compiled.is_request:
        call(proxy.forward_response)
        return
    call(proxy.take_routes)
    on_its_own = [message.copy() for message in messages]
    if type(call(proxy.forward_request, SERVER, record_route=True)) is proxy.Hop:
        replies = [message.reply(200) for message in messages]
        forwarded, messages = messages, tuple(replies)
        assert type(call(proxy.forward_response)) is proxy.Hop, what
        messages = tuple(forwarded)
        for message in messages:
            message.set_header("Route", message.get_header("Record-Route"))
            message.set_header("To", message.get_header("From", ""))
        call(proxy.take_routes)
    messages = tuple(on_its_own)
    call(proxy.forward_request, came_to=SERVER, record_route=True)


def assert_readable(both: tuple[ModuleType, ModuleType], compiled: Any, simple: Any) -> None:
    """Assert that what both write is the same, can be read again by both, and means what it meant."""
    expected = text_of(compiled)
    assert_same(expected, text_of(simple), expected[-1])
    for implementation in both:
        again = read(implementation, expected[-1], **LARGE)
        assert type(again) is not tuple, f"what was written cannot be read: {again!r} from {expected[-1]!r}"
        assert_same(text_of(again), expected, "written and read again")


# --- edits


class Text(str):
    """Text that is no plain str, as an enum's member is not."""

    __slots__ = ()


NAMES = (
    "Via", "v", "VIA", "Route", "Record-Route", "Max-Forwards", "Content-Length", "l", "CONTENT-LENGTH", "To", "t",
    "From", "Call-ID", "i", "CSeq", "Contact", "Subject", "X-Unknown", "x-unknown", "x-UNKNOWN", "P-Asserted-Identity",
    "Authorization", "y", "", "no token", "Vi\u0430", "\u212a", "Content\rLength", "X:", "V\x00", "Via ", "\udcff",
    "a" * 40, Text("Via"), Text("x-unknown"), Text("l"), Text("y"),
)  # fmt: skip
TEXTS = (
    "", "a", "70", "0", "255", "256", "5", "SIP/2.0/UDP p.example.com;branch=z9hG4bKp, SIP/2.0/UDP q",
    "<sip:p.example.com;lr>", " \t blanks \t ", "\u00e9\u20ac\U0001f600", "\udcff", "\ud800", "a\r\nInjected: 1",
    "a\rb", "a\nb", "a\x00", "a\x7f", '"\\\x01"', '\\\x01', '"\\\n"', "<\">,\\\x01\"", "a\tb", "x" * 700, "1 INVITE",
    Text("71"), Text(" \u00e9"), Text("a\nb"),
)  # fmt: skip


URIS = (
    SipUri("h", user="a", params={"lr": None, "method": "BYE"}, headers={"x": "y"}), TelUri("+1", params={"ext": "2"}),
    AbsoluteUri("urn", "a;b"),
)  # fmt: skip
OTHERS = (
    70, -1, 10**30, 0, True, None, b"x", 1.5, *URIS, NameAddr("sip:a@b;lr", tag="1"), NameAddr.parse("sip:a@b;lr"),
    (URIS[0], "<sip:x>", NameAddr(URIS[0])), [None], STAR,
)  # fmt: skip
"""Values that are no text, some of which no header can have."""
REQUEST_URIS = ("sip:x@y", "", "a b", "a\nb", "\u00e9", "tel:1", None, *URIS, NameAddr("sip:a@b"))


def random_edit(random: random.Random) -> tuple[str, tuple[Any, ...]]:
    """A name of `EDITS` and its arguments."""
    name = random.choice(tuple(EDITS))
    return name, EDITS[name](random)


def _several(random: random.Random) -> Any:
    """Several values, one of which may not be one."""
    return [random.choice((*TEXTS[:12], 70, None, ["a"])) for _ in range(random.randrange(4))]


def _header(random: random.Random) -> tuple[Any, ...]:
    value = random.choice(TEXTS) if random.random() < 0.8 else random.choice((*OTHERS, _several(random)))
    return random.choice(NAMES) if random.random() < 0.97 else random.choice((None, b"Via", 1)), value


def _name(random: random.Random) -> tuple[Any, ...]:
    return (random.choice(NAMES),)


def _no_arguments(random: random.Random) -> tuple[Any, ...]:
    return ()


EDITS: dict[str, Callable[[random.Random], tuple[Any, ...]]] = {
    "set_header": _header,
    "add_header": _header,
    "prepend_header": _header,
    "remove_header": _name,
    "remove_first_header": _name,
    "get_header": _name,
    "get_headers": _name,
    "get_values": _name,
    "push_via": lambda random: (random.choice(TEXTS),),
    "push_record_route": lambda random: (random.choice((*TEXTS, *OTHERS)),),
    "pop_via": _no_arguments,
    "pop_route": _no_arguments,
    "decrement_max_forwards": _no_arguments,
    "stamp_received": lambda random: (
        random.choice(("192.0.2.1", "::1", "fe80::1%eth0", "a b")),
        random.choice((1, 70000)),
    ),
    "request_uri": lambda random: (random.choice(REQUEST_URIS),),
    "body": lambda random: (random.choice((b"", b"v=0\r\n", "a\nb", "\u00e9", b"\x00" * 100, "\ud800", None)),),
    "copy": _no_arguments,
    "update": lambda random: ([_header(random), _header(random)],),
    "extend": lambda random: ([_header(random), _header(random)],),
    "popall": lambda random: (random.choice(NAMES), None),
}


def edit(message: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    """Carry out an edit: what it returned or which error it raised, and the message to go on with."""
    try:
        if name in ("request_uri", "body"):
            return setattr(message, name, arguments[0]), message
        if name in ("update", "extend", "popall"):
            return plain(getattr(message.headers, name)(*arguments)), message
        found = getattr(message, name)(*arguments)
        return (None, found) if name == "copy" else (plain(found), message)
    except (HeaderError, SerializeError, TypeError, AttributeError, KeyError) as error:
        # The text of Python's own errors is not ours to compare.
        return (type(error), error.args if isinstance(error, (HeaderError, SerializeError)) else ()), message


def agree_on_edits(
    both: tuple[ModuleType, ModuleType], data: bytes, edits: Iterable[tuple[str, tuple[Any, ...]]]
) -> None:
    """Assert that edits give the same results, bytes and values, and that a refused one changes nothing."""
    messages = agree(both, data, **LARGE)
    if messages is None:
        return
    compiled, simple = messages
    edits = list(edits)
    for name, arguments in edits:
        before = compiled.to_bytes()
        one, compiled = edit(compiled, name, arguments)
        other, simple = edit(simple, name, arguments)
        assert_same(one, other, (data, edits, name))
        after = compiled.to_bytes()
        assert_same(after, simple.to_bytes(), (data, edits, name))
        refused = type(one) is tuple and isinstance(one[0], type) and issubclass(one[0], Exception)
        assert not refused or before == after, f"{name}{arguments!r} was refused and changed {before!r} to {after!r}"
    assert_readable(both, compiled, simple)
    assert_same(structured(compiled), structured(simple), (data, edits))
    for value in compiled.get_headers("Content-Length"):
        assert int(value.lstrip("0") or "0") == len(compiled.body), (data, edits)


# --- mutation

PIECES = (
    *[bytes([byte]) for byte in b'\x00\r\n \t,;"<>\\:@%=?/()[]*.-_0159aAzZ\x7f\x80\xff\xc3'],
    b"\r\n", b"\r\n ", b"\n\t", b"\r\n\r\n", b"\n\n", b"SIP/2.0", b"SIP/2.0/UDP ", b"Via: ", b"v:", b"l:",
    b"Content-Length: ", b"4294967328", b"9223372036854775808", b"-1", b"+5", b"1_0", b"\xd9\xa1", b"2147483648",
    b"65536", b"65535", b"256",
    b";tag=", b";branch=", b";rport", b";rport=", b";received=", b";maddr=", b";ttl=", b";lr", b"[::1]",
    b"[2001:db8::1]", b"%41", b"%", b"%4", b'"\\\x00"', b'\\"', b"<sip:", b"sips:", b"tel:+",
    b"sip:a@b", b"192.0.2.1", b"1.2.3", b"::",
    b" SIP/2.0\r\n", b"z9hG4bK", b", ", b"()", b"A" * 17, b"a.b", b":5060", b":", b"To", b"From: ", b"CSeq: ",
    b" INVITE",
)  # fmt: skip
"""What mutations put in: delimiters, and what broke other parsers."""


def mutate(random: random.Random, data: bytes, other: bytes, rounds: int) -> bytes:
    """`data` after some changes: pieces put in or over, parts dropped, doubled, moved, or taken from `other`."""
    for _ in range(rounds):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(10)
        if kind < 3:
            data = data[:at] + random.choice(PIECES) + data[at:]
        elif kind < 6:
            piece = random.choice(PIECES)
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == 6:
            data = data[:at] + data[at + random.randrange(1, 9) :]
        elif kind == 7:
            end = at + random.randrange(1, 40)
            data = data[:end] + data[at:end] + data[end:]
        elif kind == 8:
            start = random.randrange(len(other) + 1)
            data = data[:at] + other[start : start + random.randrange(1, 60)] + data[at:]
        else:
            data = data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
    return data


FEW = {"Via": b"SIP/2.0/UDP h", "From": b"<sip:a>;tag=1", "To": b"<sip:b>", "Call-ID": b"1", "CSeq": b"1 INVITE"}


def value_message(header: str, value: bytes) -> bytes:
    """A message that is in order, but perhaps for this value in this place."""
    uri = value if header == "URI" else b"sip:a@b"
    lines = [b"%b: %b\r\n" % (name.encode(), text) for name, text in FEW.items() if name != header]
    if header != "URI":
        lines.append(b"%b: %b\r\n" % (header.encode(), value))
    return b"INVITE %b SIP/2.0\r\n%b\r\n" % (uri, b"".join(lines))


def agree_on_value(both: tuple[ModuleType, ModuleType], header: str, value: bytes, *, deep: bool = True) -> None:
    """Assert that a header's value is read alike, every slot; `deep` compares what is made of it and its edits too."""
    data = value_message(header, value)
    messages = agree(both, data)
    if messages is None:
        return
    compiled, simple = messages
    names = ATTRIBUTES.get(header, ())
    # Twice: made, and from the cache.
    for _ in range(2):
        assert_same(structured(compiled, names), structured(simple, names), data)
    assert_same(compiled.check(), simple.check(), data)
    if not deep:
        return
    assert_same(identities(compiled), identities(simple), data)
    agree_on_forwarding(both, compiled, simple, data)
    if header == "Via":
        calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("stamp_received", ("192.0.2.1", 5060)), ("stamp_received", ("2001:db8::1", 5061)), ("pop_via", ()),
        )  # fmt: skip
    else:
        calls = {"Route": (("pop_route", ()),), "Max-Forwards": (("decrement_max_forwards", ()),)}.get(header, ())
        if header in ("From", "To", "CSeq", "URI"):
            assert_same(compiled.reply(200).to_bytes(), simple.reply(200).to_bytes(), data)
    for name, arguments in calls:
        one, other = compiled.copy(), simple.copy()
        given = [plain(outcome(getattr(message, name), *arguments)) for message in (one, other)]
        assert_same(*given, data)
        assert_same(one.to_bytes(), other.to_bytes(), (name, data))
        assert_same(structured(one, names), structured(other, names), (name, data))
        assert_readable(both, one, other)


# --- sequences of every public call, with arguments of odd types


class LyingStr(Text):
    """A str whose methods tell of another text than its own."""

    __slots__ = ()

    def lie(self, *_: Any) -> Any:
        return "l!e\r\nInjected: 1"

    __str__ = __format__ = lower = strip = replace = join = lie
    __len__ = lambda self: 10**6  # noqa: E731
    __iter__ = lambda self: iter(["l!e"])  # noqa: E731
    encode = lambda self, *_: b"l!e\r\n"  # noqa: E731
    isascii = lambda self: True  # noqa: E731


class LyingInt(int):
    """An int whose methods tell of another number."""

    __str__ = __format__ = __repr__ = lambda self, *_: "l!e\r\n"
    __index__ = __int__ = lambda self: 10**9


class LyingBytes(bytes):
    """Bytes whose methods tell of others."""

    __len__ = lambda self: 10**6  # noqa: E731
    __bytes__ = lambda self: b"l!e"  # noqa: E731
    decode = lambda self, *_: "l!e\r\n"  # noqa: E731


class Made:
    """An argument that is made for one message: what is used up, or edits that message."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make


def _editing_pairs(message: Any) -> Iterator[tuple[str, Any]]:
    """Headers that edit a message as they are gone through."""
    yield "X-One", "1"
    message.add_header("X-Meanwhile", "m" * 300)
    yield "Subject", "2"
    message.remove_header("Via")
    yield "X-Three", 3


class Farewell:
    """In a circle, and edits a message when the collector finds it: it is collected at once."""

    def __init__(self, message: Any) -> None:
        self.itself, self.message = self, message

    def __del__(self) -> None:
        self.message.set_header("X-Farewell", "f" * 300)


def _farewell(message: Any) -> Iterator[tuple[str, Any]]:
    """Headers between which a finalizer edits a message."""
    yield "X-One", "1"
    Farewell(message)
    gc.collect(0)
    yield "X-Two", "2"


ODD_TEXTS = (
    *[LyingStr(text) for text in ("Via", "x-unknown", "l", "y", "7", "a\nb", "\u00e9", "")], LyingInt(7), LyingInt(-1),
    LyingBytes(b"x"), bytearray(b"x"), memoryview(b"abcdef")[::2], memoryview(b"x"), b"x", object,
)  # fmt: skip
ODD_BODIES = (*ODD_TEXTS, bytearray(b"body"), memoryview(bytearray(b"a body")), LyingBytes(b"0123"), "text", None)
ODD_HEADERS = (
    (), [], {}, [("X-A", "1")], {"X-A": LyingStr("1")}, [("X-A",)], [("X-A", "1", "2")], ["ab"], None, 7,
    [("Timestamp", "1 2")], [("Via", "x")], [("Content-Length", "1")], [("Authorization", ["Basic a", "Basic b"])],
    [LyingStr("ab")], Made(_editing_pairs), Made(_farewell), Made(lambda m: m.headers),
    Made(lambda m: m.headers.items()),
)  # fmt: skip
READS = (
    *STRUCTURED, "body", "method", "request_uri", "status_text", "version", "is_request", "status_code", "route_set",
)  # fmt: skip


def _odd(random: random.Random) -> Any:
    return random.choice(ODD_TEXTS if random.random() < 0.5 else TEXTS)


def _odd_reply(random: random.Random) -> tuple[Any, ...]:
    named = {"to_tag": _odd, "headers": lambda r: r.choice(ODD_HEADERS), "body": lambda r: r.choice(ODD_BODIES)}
    chosen = {name: make(random) for name, make in named.items() if random.random() < 0.4}
    reason = random.choice((None, None, _odd(random)))
    return random.choice((100, 180, 200, 299, 404, 699, 99, 700, LyingInt(200), "200", None)), reason, chosen


SEQUENCE: dict[str, Callable[[random.Random], tuple[Any, ...]]] = {
    **{f"odd {name}": lambda random: (_odd(random), _odd(random)) for name in (
        "set_header", "add_header", "prepend_header")},
    **{f"odd {name}": lambda random: (_odd(random),) for name in (
        "remove_header", "remove_first_header", "get_header", "get_headers", "push_via", "push_record_route")},
    **dict.fromkeys(("check", "validate", "transaction_key", "dialog_id", "to_bytes", "cancel"), _no_arguments),
    "read": lambda random: (random.choice(READS),),
    "set": lambda random: random.choice((("request_uri", _odd(random)), ("body", random.choice(ODD_BODIES)))),
    "reply": _odd_reply,
    "ack": lambda random: (Made(lambda message: message.reply(486)),),
    "set_route": lambda random: (random.choice(REQUEST_URIS), random.choice(((), ("<sip:p;lr>",), ["<sip:p>"], "x"))),
    "view": lambda random: random.choice((
        ("extend", random.choice(ODD_HEADERS)), ("update", random.choice(ODD_HEADERS)), ("clear",), ("popitem",),
        ("setdefault", _odd(random), _odd(random)), ("pop", _odd(random), 1), ("popone", _odd(random), 1), ("items",),
        ("getall", _odd(random), ()), ("__contains__", _odd(random)), ("__len__",))),
    "pickle": _no_arguments,
    "deepcopy": _no_arguments,
    "take_routes": _no_arguments,
    "forward": lambda random: (random.random() < 0.5,),
}  # fmt: skip


def random_call(random: random.Random) -> tuple[str, tuple[Any, ...]]:
    """A name of `SEQUENCE` or of `EDITS`, and its arguments."""
    if random.random() < 0.4:
        return random_edit(random)
    name = random.choice(tuple(SEQUENCE))
    return name, SEQUENCE[name](random)


def call(message: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    """Carry out a call: what it returned or raised, and the message to go on with."""
    if name in EDITS:
        return edit(message, name, arguments)
    try:
        made = [argument.make(message) if type(argument) is Made else argument for argument in arguments]
        return _call(message, name, made)
    except (HeaderError, SerializeError) as error:
        return (type(error), error.args), message
    except (TypeError, AttributeError, KeyError, ValueError, BufferError) as error:
        return (type(error), ()), message  # the text of Python's own errors is not ours to compare


def _call(message: Any, name: str, made: list[Any]) -> Any:
    if name == "pickle":
        return None, pickle.loads(pickle.dumps(message))
    if name == "deepcopy":
        return None, copy.deepcopy(message)
    if name == "set":
        return setattr(message, *made), message
    if name == "take_routes":
        return _text(proxy.take_routes(message, NODE)), message
    if name == "forward":
        if message.is_request:
            return _text(proxy.forward_request(message, NODE, SERVER, record_route=made[0])), message
        return _text(proxy.forward_response(message, NODE)), message
    if name == "read":
        found = getattr(message, *made)
    elif name == "reply":
        named = {key: each.make(message) if type(each) is Made else each for key, each in made[2].items()}
        found = message.reply(*made[:2], **named)
    elif name == "view":
        found = getattr(message.headers, made[0])(*made[1:])
    else:
        found = getattr(message, name.removeprefix("odd "))(*made)
    return _text(found), message


def _text(found: Any) -> Any:
    """What a call gave; a message as its bytes, for the two have each their own class."""
    return found.to_bytes() if hasattr(found, "to_bytes") and not isinstance(found, int) else plain(found)


def agree_on_calls(
    both: tuple[ModuleType, ModuleType], data: bytes, calls: Iterable[tuple[str, tuple[Any, ...]]]
) -> None:
    """Assert that after each of the calls the results, the bytes and the values are the same."""
    messages = agree(both, data, **LARGE)
    if messages is None:
        return
    compiled, simple = messages
    calls = list(calls)
    for name, arguments in calls:
        one, compiled = call(compiled, name, arguments)
        other, simple = call(simple, name, arguments)
        assert_same(one, other, (data, calls, name, arguments))
        assert_same(compiled.to_bytes(), simple.to_bytes(), (data, calls, name, arguments))
        assert b"l!e" not in compiled.to_bytes(), (data, calls, name, arguments)
    assert_readable(both, compiled, simple)
    assert_same(structured(compiled), structured(simple), (data, calls))
