"""Every message of RFC 4475 and RFC 5118, each with what must hold for it, in both implementations.

A message that is refused has its reason, its byte and its status here. One that is read has the number of its header
fields, the octets of its body, what `validate` finds (with the status that a server answers), and what the RFC says of
its values. Where an RFC leaves the verdict open, a comment says which rule decided.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from agreement import outcome

from sipstack.errors import HeaderError, ParseError
from sipstack.headers import Date, NameAddr, parse_header, parse_tokens
from sipstack.uri import AbsoluteUri, SipUri
from sipstack.validation import unsupported_options

Finding = tuple[str, str, int]
REFUSED: dict[str, tuple[str, int, int]] = {}
READ: dict[str, tuple[int, int, list[Finding], Callable[[Any], None]]] = {}


def refused(name: str, reason: str, offset: int, status: int = 400) -> None:
    REFUSED[name] = (reason, offset, status)


def read(name: str, *, headers: int, body: int = 0, findings: tuple[Finding, ...] = ()) -> Callable[..., Any]:
    """Says what every message has; the function that is decorated says the rest, of a Message."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        READ[name] = (headers, body, list(findings), function)
        return function

    return register


def start(message: Any, method: str, uri: str) -> None:
    assert (message.is_request, message.method, message.request_uri) == (True, method, uri)
    assert (message.status_code, message.status_text, message.version) == (0, "", "SIP/2.0")


def common(message: Any, to_tag: str | None, from_tag: str | None, call_id: str, cseq: int) -> None:
    """What every message has; its CSeq has the request's own method."""
    assert (message.to_tag, message.from_tag) == (to_tag, from_tag)
    assert message.call_id == call_id
    assert message.cseq.num == cseq
    assert not message.is_request or message.cseq.method == message.method


def address(value: NameAddr, display_name: str, uri: str, params: dict[str, str | None] | None = None) -> None:
    assert (value.display_name, str(value.uri), dict(value.params)) == (display_name, uri, params or {})


def hosts(message: Any) -> list[tuple[str, str, int | None, str | None]]:
    return [(via.transport, via.host, via.port, via.branch) for via in message.vias]


def fails(message: Any, attribute: str) -> tuple[str, str, int, int]:
    """The HeaderError of an attribute: reason, header, offset, status."""
    kind, arguments = outcome(getattr, message, attribute)
    assert kind is HeaderError
    return arguments


def contact_uris(message: Any) -> list[str]:
    return [str(contact.uri) for contact in message.contacts]


# --- RFC 4475 3.1.1: valid messages


@read("rfc4475/wsinv.dat", headers=14, body=150)
def wsinv(m: Any) -> None:
    start(m, "INVITE", "sip:vivekg@chair-dnrc.example.com;unknownparam")
    common(m, "1918181833n", "98asjd8", "wsinv.ndaksdj@192.0.2.1", 9)
    assert m.uri.params == {"unknownparam": None}
    address(m.to, "", "sip:vivekg@chair-dnrc.example.com", {"tag": "1918181833n"})
    # A tab or a blank round ; and = and a fold are all the same; \\ and \" are quoted-pairs.
    address(m.from_, 'J Rosenberg \\"', "sip:jdrosen@example.com", {"tag": "98asjd8"})
    assert m.max_forwards == 68
    assert m.get_header("cseq") == "0009 INVITE"
    assert len(m.get_headers("Via")) == 2
    assert hosts(m) == [
        ("UDP", "192.0.2.2", None, "390skdjuw"),
        ("TCP", "spindle.example.com", None, "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", None, "z9hG4bK30239"),
    ]
    assert [via.protocol for via in m.vias] == ["SIP/2.0"] * 3
    assert m.get_header("Subject") == ""
    assert m.get_header("NewFangledHeader") == "newfangled value continued newfangled value"
    assert m.get_header("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert str(m.content_type) == "application/sdp"
    (route,) = m.routes
    assert route.uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    (contact,) = m.contacts
    address(contact, 'Quoted string ""', "sip:jdrosen@example.com", dict(contact.params))
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert contact.q == 0.33


@read("rfc4475/intmeth.dat", headers=8)
def intmeth(m: Any) -> None:
    method = "!interesting-Method0123456789_*+`.%indeed'~"
    user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    start(m, method, f"sip:{user}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com")
    common(m, None, "_token~1'+`*%!-.", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", 139122385)
    assert (m.uri.user, m.uri.host) == (user, "example.com")
    assert m.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    # Quoted-pairs may hold any octet but CR and LF: the NUL ends nothing.
    address(m.to, "BEL:\x07 NUL:\x00 DEL:\x7f", f"sip:{user}@example.com")
    parameter = "\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439"
    assert m.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert m.from_.params == {"fromParam''~+*_!.-%": parameter, "tag": "_token~1'+`*%!-."}
    assert m.max_forwards == 255
    assert hosts(m) == [("TCP", "host1.example.com", None, "z9hG4bK-.!%66*_+`'~")]
    assert m.get_header("extensionHeader-!.%*+_`'~") == "\ufeff\u5927\u505c\u96fb"


@read("rfc4475/esc01.dat", headers=9, body=150)
def esc01(m: Any) -> None:
    start(m, "INVITE", "sip:sips%3Auser%40example.com@example.net")
    common(m, None, "938", "esc01.239409asdfakjkn23onasd0-3234", 234234)
    assert (m.uri.user_decoded, m.uri.host) == ("sips:user@example.com", "example.net")
    assert m.to.uri.user_decoded == "user"
    assert m.to.uri == SipUri("example.com", user="user")
    assert m.from_.uri.user_decoded == "I have spaces"
    (contact,) = m.contacts
    assert contact.uri.user_decoded == "caller"
    assert contact.uri.lr
    # Escapes are decoded once: what comes out is not decoded again.
    assert contact.uri.params == {"lr": None, "name": "value%41"}
    assert contact.uri.params["name"] != "valueA"


@read("rfc4475/escnull.dat", headers=9)
def escnull(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "839923423", "escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd", 14398234)
    assert m.to.uri.user_decoded == m.from_.uri.user_decoded == "null-\x00-null"
    assert len(m.to.uri.user_decoded) == 11
    assert [contact.uri.user_decoded for contact in m.contacts] == ["\x00", "\x00\x00"]
    assert m.contacts[0] != m.contacts[1]  # two bindings
    assert m.content_length == 0


@read("rfc4475/esc02.dat", headers=10)
def esc02(m: Any) -> None:
    start(m, "RE%47IST%45R", "sip:registrar.example.com")  # no escapes in a method: it is not REGISTER
    common(m, None, "f232jadfj23", "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf", 29344)
    assert m.to.display_name == m.from_.display_name == "%Z%45"
    assert hosts(m) == [("TCP", "host.example.com", None, "z9hG4bK209%fzsnel234")]
    assert contact_uris(m) == ["sip:alias1@host1.example.com", "sip:alias3@host3.example.com"]
    assert m.get_header("C%6Fntact") == "<sip:alias2@host2.example.com>"
    assert (m.content_length, m.max_forwards) == (0, 70)


@read("rfc4475/lwsdisp.dat", headers=7)
def lwsdisp(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.com")
    common(m, None, "323", "lwsdisp.1234abcd@funky.example.com", 60)
    # RFC 3261's grammar wants a blank there; RFC 4475 says to accept what has none.
    address(m.from_, "caller", "sip:caller@example.com", {"tag": "323"})


@read("rfc4475/longreq.dat", headers=43, body=150)
def longreq(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    assert (len(m.from_tag), len(m.call_id), m.cseq.num) == (155, 141, 3882340)
    assert m.to_tag is None
    assert m.to.display_name == f"I have a user name of {'extreme' * 10} proportion"
    assert (m.to.uri.port, len(m.to.uri.params)) == (6000, 3)
    vias = m.vias
    assert len(vias) == len(m.get_headers("v")) == 34
    assert [via.host for via in vias] == [f"sip{33 - at}.example.com" for at in range(33)] + ["host.example.com"]
    assert (vias[0].branch, len(vias[-1].branch), vias[-1].received) == (None, 215, "192.0.2.5")
    assert {name for name, _ in m.headers.items() if name.lower() in ("v", "via")} == {
        "Via", "v", "V", "ViA", "VIa", "VIA", "via", "viA", "vIa", "vIA",
    }  # fmt: skip
    assert max(len(line) for line in m.to_bytes().split(b"\r\n")) == 593


@read("rfc4475/dblreq.dat", headers=8)
def dblreq(m: Any) -> None:
    # In a datagram what stands behind the declared length is dropped (RFC 3261 18.3); a stream would go on with it.
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "43251j3j324", "dblreq.0ha0isndaksdj99sdfafnl3lk233412", 8)
    assert len(m.to_bytes()) == 300
    assert b"INVITE" not in m.to_bytes()


@read("rfc4475/semiuri.dat", headers=8)
def semiuri(m: Any) -> None:
    start(m, "OPTIONS", "sip:user;par=u%40example.net@example.com")
    common(m, None, "33242", "semiuri.0ha0isndaksdj", 8)
    assert (m.uri.user_decoded, m.uri.host, m.uri.params) == ("user;par=u@example.net", "example.com", {})
    assert [str(value) for value in parse_header("Accept", m.get_header("Accept"))] == [
        "application/sdp", "application/pkcs7-mime", "multipart/mixed", "multipart/signed", "message/sip",
        "message/sipfrag",
    ]  # fmt: skip


@read("rfc4475/transports.dat", headers=12)
def transports(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.com")
    common(m, None, "323", "transports.kijh4akdnaqjkwendsasfdj", 60)
    assert hosts(m) == [
        ("UDP", "t1.example.com", None, "z9hG4bKkdjuw"),
        ("SCTP", "t2.example.com", None, "z9hG4bKklasjdhf"),
        ("TLS", "t3.example.com", None, "z9hG4bK2980unddj"),
        ("UNKNOWN", "t4.example.com", None, "z9hG4bKasd0f3en"),
        ("TCP", "t5.example.com", None, "z9hG4bK0a9idfnee"),
    ]


@read("rfc4475/mpart01.dat", headers=14, body=553)
def mpart01(m: Any) -> None:
    start(m, "MESSAGE", "sip:kumiko@example.org")
    common(m, None, "2fb0dcc9", "3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..", 1)
    assert (m.via.host, m.via.port, m.via.rport) == ("127.0.0.1", 5070, 0)
    assert (m.content_type.type, m.content_type.subtype) == ("multipart", "mixed")
    assert m.content_type.params["boundary"] == "7a9cbec02ceef655"
    assert (m.body.count(b"\0"), sum(octet > 127 for octet in m.body)) == (2, 89)
    assert (m.body.count(b"\r") - m.body.count(b"\r\n"), m.body.count(b"\n") - m.body.count(b"\r\n")) == (5, 3)
    _, first, second, end = m.body.split(b"--7a9cbec02ceef655")
    assert end.strip() == b"--"
    assert first.endswith(b"Hello\r\n")
    assert len(second.partition(b"\r\n\r\n")[2]) - 2 == 342  # the CRLF before a boundary is the boundary's
    assert parse_header("Date", m.get_header("Date")) == Date.parse("Sat, 15 Oct 2005 04:44:56 GMT")


@read("rfc4475/unreason.dat", headers=8, body=154)
def unreason(m: Any) -> None:
    assert (m.is_request, m.method, m.request_uri, m.uri) == (False, "", "", None)
    assert (m.status_code, m.version) == (200, "SIP/2.0")
    assert m.status_text == (
        "= 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e \u0434\u0435\u0432\u044f\u043d\u043e\u0441\u0442\u043e"
        " \u0434\u0435\u0432\u044f\u0442\u044c - \u043f\u0440\u043e\u0441\u0442\u043e\u0435"
    )
    assert sum(octet > 127 for octet in m.status_text.encode()) == 54
    common(m, "2229", "11141343", "unreason.1234ksdfak3j2erwedfsASdf", 35)


@read("rfc4475/noreason.dat", headers=7)
def noreason(m: Any) -> None:
    assert (m.status_code, m.status_text) == (100, "")
    common(m, "902jndnke3", "39ansfi3", "noreason.asndj203insdf99223ndf", 35)
    assert m.cseq.method == "INVITE"


# --- RFC 4475 3.1.2: invalid messages


@read(
    "rfc4475/badinv01.dat",
    headers=9,
    body=152,
    findings=(("Via", "parameter without a name", 400), ("Contact", "parameter without a name", 400)),
)
def badinv01(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    common(m, None, "134161461246", "badinv01.0ha0isndaksdjasdf3234nas", 8)
    # The message is readable, so a 400 can be sent: reply copies the Via as it is.
    assert fails(m, "via") == ("parameter without a name", "Via", 23, 400)
    assert fails(m, "contacts") == ("parameter without a name", "Contact", 28, 400)
    assert m.reply(400).get_header("Via") == "SIP/2.0/UDP 192.0.2.15;;,;,,"


refused("rfc4475/clerr.dat", "Content-Length is more than the bytes that are there", 498)
refused("rfc4475/ncl.dat", "Content-Length is not a number", 326)


@read(
    "rfc4475/scalar02.dat",
    headers=9,
    findings=(
        ("CSeq", "CSeq is out of range", 400),
        ("Max-Forwards", "Max-Forwards is out of range", 400),
        ("Expires", "number of seconds is out of range", 400),
        ("Contact", "expires is out of range", 400),
    ),
)
def scalar02(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    assert m.get_header("CSeq") == "36893488147419103232 REGISTER"
    assert fails(m, "cseq") == ("CSeq is out of range", "CSeq", 0, 400)
    assert fails(m, "max_forwards") == ("Max-Forwards is out of range", "Max-Forwards", 0, 400)
    assert len(m.get_header("Expires")) == 101
    assert m.contacts[0].params["expires"] == "280297596632815"
    # RFC 4475 lets a registrar take the last three as absent or default: they do not make the rest unreadable.
    assert (m.from_tag, m.to_tag) == ("239232jh3", None)


@read(
    "rfc4475/scalarlg.dat",
    headers=8,
    findings=(
        ("CSeq", "CSeq is out of range", 400),
        ("Retry-After", "seconds is out of range", 400),
        ("Warning", "warn-code has not three digits", 400),
    ),
)
def scalarlg(m: Any) -> None:
    # A response is not answered: what has a finding is discarded.
    assert (m.status_code, m.status_text) == (503, "Service Unavailable")
    assert fails(m, "cseq") == ("CSeq is out of range", "CSeq", 0, 400)
    assert m.get_header("Retry-After") == "949302838503028349304023988"
    assert m.get_header("Warning") == '1812 overture "In Progress"'
    assert m.via.received == "192.0.2.129"


@read(
    "rfc4475/quotbal.dat",
    headers=9,
    body=152,
    findings=(("To", "quoted string is not closed or holds a control character", 400),),
)
def quotbal(m: Any) -> None:
    # RFC 4475 lets a receiver guess where the quote would close. Guessing is not reading: it is refused.
    start(m, "INVITE", "sip:user@example.com")
    assert fails(m, "to") == ("quoted string is not closed or holds a control character", "To", 0, 400)
    assert fails(m, "to_tag")[1] == "To"
    assert m.get_header("To") == '"Mr. J. User <sip:j.user@example.com>'
    # No tag is added to what cannot be understood.
    assert m.reply(400).get_header("To") == '"Mr. J. User <sip:j.user@example.com>'


@read("rfc4475/ltgtruri.dat", headers=9, body=159, findings=(("Request-URI", "URI has no scheme", 400),))
def ltgtruri(m: Any) -> None:
    # The message can be framed and answered, so it is read; the Request-URI is not taken without its brackets.
    start(m, "INVITE", "<sip:user@example.com>")
    assert fails(m, "uri") == ("URI has no scheme", "Request-URI", 0, 400)
    common(m, None, "39291", "ltgtruri.1@192.0.2.5", 1)


# Two spaces, exactly (RFC 3261 7.1). RFC 4475 lets a receiver tolerate more in lwsstart and trws, but not forward them.
# What the design says, "exactly two separators", decided.
refused("rfc4475/lwsruri.dat", "SIP version is missing or there is a space too many", 29)
refused("rfc4475/lwsstart.dat", "Request-URI is missing or there is more than one space before it", 7)
refused("rfc4475/trws.dat", "more text behind the SIP version", 45)


@read("rfc4475/escruri.dat", headers=9, body=150, findings=(("Request-URI", "has a header part", 400),))
def escruri(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com?Route=%3Csip:example.com%3E")
    common(m, None, "341518", "escruri.23940-asdfhj-aje3br-234q098w-fawerh2q-h4n5", 149209342)
    # The URI itself is well-formed; its headers become no headers of the message (19.1.5).
    assert m.uri.headers == (("Route", "<sip:example.com>"),)
    assert m.get_header("Route") is None
    assert m.routes == ()


@read(
    "rfc4475/baddate.dat",
    headers=10,
    body=150,
    findings=(("Date", "Date is not like Sat, 13 Nov 2010 23:29:00 GMT", 400),),
)
def baddate(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    common(m, None, "2234923", "baddate.239423mnsadf3j23lj42--sedfnm234", 1392934)
    # A receiver that does not use Date should not refuse the request: `check` does not look at it.
    assert m.check() == []
    with pytest.raises(HeaderError, match="Date"):
        parse_header("Date", m.get_header("Date"))


@read("rfc4475/regbadct.dat", headers=8, findings=(("Contact", "URI with ? is not in <>", 400),))
def regbadct(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "998332", "regbadct.k345asrl3fdbv@10.0.0.1", 1)
    # Guessing the brackets is tolerated, but where they stood would be a guess: RFC 3261 20 decides.
    assert fails(m, "contacts") == ("URI with ? is not in <>", "Contact", 20, 400)


@read("rfc4475/badaspec.dat", headers=8, findings=(("To", "blank inside <>", 400),))
def badaspec(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.org")
    # The blanks may be ignored; RFC 3261's grammar has none there, so it decides.
    assert fails(m, "to") == ("blank inside <>", "To", 18, 400)
    address(m.from_, "Bell, Alexander", "sip:a.g.bell@example.com", {"tag": "433423"})
    assert m.cseq.num == 3923239


# The archive's file lacks the empty line; with it, the two headers are what is wrong.
refused("rfc4475/baddn.dat", "header section does not end with an empty line", 331)


@read(
    "rfc4475/baddn-terminated.dat",
    headers=8,
    findings=(("From", "URI with , is not in <>", 400), ("To", "URI with , is not in <>", 400)),
)
def baddn_terminated(m: Any) -> None:
    start(m, "OPTIONS", "sip:t.watson@example.org")
    # The comma is no part of a display name without quotes: what stands before it would be an address by itself.
    assert fails(m, "from_")[0] == fails(m, "to")[0] == "URI with , is not in <>"
    assert m.get_header("From") == "Bell, Alexander <sip:a.g.bell@example.com>;tag=43"
    assert hosts(m) == [("UDP", "c.example.com", 5060, "z9hG4bKkdjuw")]


@read("rfc4475/badvers.dat", headers=7, findings=(("", "SIP version is not 2.0", 505),))
def badvers(m: Any) -> None:
    assert (m.method, m.request_uri, m.version) == ("OPTIONS", "sip:t.watson@example.org", "SIP/7.0")
    common(m, None, "qweoiqpe", "badvers.31417@c.example.com", 1)
    assert m.via.protocol == "SIP/7.0"
    # A response is of our version (8.2.6), with the Via as it came.
    assert (
        m.reply(505).to_bytes().startswith(b"SIP/2.0 505 Version Not Supported\r\nVia:     SIP/7.0/UDP c.example.com")
    )


@read("rfc4475/mismatch01.dat", headers=7, findings=(("CSeq", "method is not the request's", 400),))
def mismatch01(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.com")
    assert (m.cseq.num, m.cseq.method) == (8, "INVITE")


@read("rfc4475/mismatch02.dat", headers=9, body=138, findings=(("CSeq", "method is not the request's", 400),))
def mismatch02(m: Any) -> None:
    # 501 for the unknown method, or 400 for the CSeq: the method is the element's business, the CSeq is ours.
    start(m, "NEWMETHOD", "sip:user@example.com")
    assert (m.cseq.num, m.cseq.method) == (8, "INVITE")


refused("rfc4475/bigcode.dat", "status code is not in 100..699", 8)


# --- RFC 4475 3.2 and 3.3: transaction and application layer


@read(
    "rfc4475/badbranch.dat",
    headers=8,
    findings=(("Via", "branch is the magic cookie and nothing else", 400),),
)
def badbranch(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.com")
    common(m, None, "33242", "badbranch.sadonfo23i420jv0as0derf3j3n", 8)
    assert hosts(m) == [("UDP", "192.0.2.1", None, "z9hG4bK")]
    assert m.check() == []  # who matches by RFC 2543 does not need it


@read(
    "rfc4475/insuf.dat",
    headers=4,
    body=152,
    findings=(("From", "is missing", 400), ("To", "is missing", 400), ("Call-ID", "is missing", 400)),
)
def insuf(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    assert (m.from_, m.from_tag, m.to, m.to_tag, m.call_id, m.max_forwards, m.contacts) == (
        None, None, None, None, None, None, (),
    )  # fmt: skip
    assert m.cseq.num == 193942
    # What is there is copied, and nothing is made up.
    assert [name for name, _ in m.reply(400).headers.items()] == ["Via", "CSeq", "Content-Length"]


@read("rfc4475/unkscm.dat", headers=7, findings=(("Request-URI", "scheme is not supported", 416),))
def unkscm(m: Any) -> None:
    start(m, "OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent")
    assert type(m.uri) is AbsoluteUri
    assert (m.uri.scheme, m.uri.rest) == ("nobodyknowsthisscheme", "totallyopaquecontent")


@read("rfc4475/novelsc.dat", headers=7, findings=(("Request-URI", "scheme is not supported", 416),))
def novelsc(m: Any) -> None:
    start(m, "OPTIONS", "soap.beep://192.0.2.103:3002")
    assert type(m.uri) is AbsoluteUri
    assert (m.uri.scheme, m.uri.rest) == ("soap.beep", "//192.0.2.103:3002")


@read("rfc4475/unksm2.dat", headers=8)
def unksm2(m: Any) -> None:
    # Every scheme is legal in these headers: that it cannot bind a name is a registrar's 400, and no syntax.
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "3234233", "unksm2.daksdj@hyphenated-host.example.com", 234902)
    address(m.to, "", "isbn:2983792873")
    address(m.from_, "", "http://www.example.com", {"tag": "3234233"})
    assert contact_uris(m) == ["name:John_Smith"]


@read("rfc4475/bext01.dat", headers=9)
def bext01(m: Any) -> None:
    # Which options are known only the element knows: 420 is its answer, and unsupported_options helps with it.
    start(m, "OPTIONS", "sip:user@example.com")
    options = ("nothingSupportsThis", "nothingSupportsThisEither")
    assert parse_tokens(m.get_header("Require")) == options
    assert unsupported_options(m, ["100rel"]) == options
    assert parse_tokens(m.get_header("Proxy-Require")) == ("noProxiesSupportThis", "norDoAnyProxiesSupportThis")


@read("rfc4475/invut.dat", headers=9, body=40)
def invut(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    common(m, None, "8392034", "invut.0ha0isndaksdjadsfij34n23d", 235448)
    assert str(m.content_type) == "application/unknownformat"  # 415 is the element's answer
    assert m.body == b'<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n'


@read("rfc4475/regaut01.dat", headers=8)
def regaut01(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "87321hj23128", "regaut01.0ha0isndaksdj", 9338)
    credentials = parse_header("Authorization", m.get_header("Authorization"))
    assert credentials.scheme == "NoOneKnowsThisScheme"
    assert credentials.params == {"opaque-data": "here"}
    assert m.to_bytes().endswith(b"Content-Length:0\r\n\r\n")


@read(
    "rfc4475/multi01.dat",
    headers=15,
    body=154,
    findings=tuple((name, "is there twice", 400) for name in ("From", "To", "Call-ID", "CSeq", "Max-Forwards")),
)
def multi01(m: Any) -> None:
    start(m, "INVITE", "sip:user@company.com")
    assert m.get_headers("CSeq") == ["5 INVITE", "59 INVITE"]
    assert m.get_headers("Call-ID") == ["multi01.98asdh@192.0.2.1", "multi01.98asdh@192.0.2.2"]
    assert m.get_headers("Max-Forwards") == ["70", "5"]
    assert contact_uris(m) == ["sip:caller@host25.example.net", "sip:caller@host36.example.net"]
    # One of each is what is read; a reply copies that one.
    common(m, None, "3413415", "multi01.98asdh@192.0.2.1", 5)
    assert [name for name, _ in m.reply(400).headers.items()] == [
        "Via", "From", "To", "Call-ID", "CSeq", "Content-Length",
    ]  # fmt: skip


refused("rfc4475/mcl01.dat", "two Content-Length headers differ", 284)


@read("rfc4475/bcast.dat", headers=9, body=154)
def bcast(m: Any) -> None:
    # The message is in order; that a response has a second Via is for an endpoint or a proxy to act on.
    assert (m.status_code, m.status_text) == (200, "OK")
    assert [via.host for via in m.vias] == ["192.0.2.198", "255.255.255.255"]
    common(m, "2229", "11141343", "bcast.0384840201234ksdfak3j2erwedfsASdf", 35)


@read("rfc4475/zeromf.dat", headers=7)
def zeromf(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@example.com")
    assert m.max_forwards == 0  # an endpoint answers; a proxy says 483
    assert outcome(m.decrement_max_forwards) == (HeaderError, ("Max-Forwards is 0", "Max-Forwards", 0, 483))


@read("rfc4475/cparam01.dat", headers=8)
def cparam01(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "DkfVgjkrtMwaerKKpe", "cparam01.70710@saturn.example.com", 2)
    (contact,) = m.contacts
    address(contact, "", "sip:+19725552222@gw1.example.net", {"unknownparam": None})
    assert contact.uri.params == {}


@read("rfc4475/cparam02.dat", headers=8)
def cparam02(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "838293", "cparam02.70710@saturn.example.com", 3)
    (contact,) = m.contacts
    address(contact, "", "sip:+19725552222@gw1.example.net;unknownparam")
    assert contact.uri.params == {"unknownparam": None}


@read("rfc4475/regescrt.dat", headers=8)
def regescrt(m: Any) -> None:
    start(m, "REGISTER", "sip:example.com")
    common(m, None, "8", "regescrt.k345asrl3fdbv@192.0.2.1", 14398234)
    (contact,) = m.contacts
    assert contact.uri.headers == (("Route", "<sip:sip.example.com>"),)
    assert contact.params == {}
    assert m.routes == ()


@read("rfc4475/sdp01.dat", headers=10, body=150)
def sdp01(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    common(m, None, "234", "sdp01.ndaksdj9342dasdd", 8)
    # What the element can send decides between 406 and an answer.
    assert [str(value) for value in parse_header("Accept", m.get_header("Accept"))] == ["text/nobodyKnowsThis"]
    assert str(m.content_type) == "application/sdp"


@read("rfc4475/inv2543.dat", headers=7, body=105)
def inv2543(m: Any) -> None:
    # No branch, no From tag, no Max-Forwards, no Content-Length: RFC 2543 asked for none, so that is in order.
    start(m, "INVITE", "sip:UserB@example.com")
    common(m, None, None, "inv2543.1717@ift.client.example.com", 56)
    assert hosts(m) == [("UDP", "iftgw.example.com", None, None)]
    address(m.to, "", "sip:+16505552222@ss1.example.net", {"user": "phone"})
    address(m.from_, "", "sip:+13035551111@ift.client.example.net;user=phone")
    assert m.record_routes[0].uri.maddr == "ss1.example.com"
    assert (m.max_forwards, m.content_length) == (None, None)


# In no section: there is no SIP version in the request line.
refused("rfc4475/test.dat", "request line ends after the Request-URI", 26)


# --- RFC 5118: the wire form and, where the archive's form is read, that too


def ipv6_register(m: Any, uri: str) -> None:
    start(m, "REGISTER", uri)
    common(m, None, "81x2", "SSG9559905523997077@hlau_4100", 98176)
    assert hosts(m) == [("UDP", "[2001:db8::9:1]", None, "z9hG4bKas3-111")]
    assert m.contacts[0].display_name == "Caller"
    assert (m.contacts[0].uri.host, m.contacts[0].uri.port) == ("[2001:db8::1]", None)


@read("rfc5118/ipv6-good.dat", headers=8)
@read("rfc5118/archive-lf/ipv6-good", headers=8)
def ipv6_good(m: Any) -> None:
    ipv6_register(m, "sip:[2001:db8::10]")
    assert (m.uri.user, m.uri.host, m.uri.port) == (None, "[2001:db8::10]", None)


@read("rfc5118/ipv6-bad.dat", headers=8, findings=(("Request-URI", "host is not a host name or address", 400),))
@read("rfc5118/archive-lf/ipv6-bad", headers=8, findings=(("Request-URI", "host is not a host name or address", 400),))
def ipv6_bad(m: Any) -> None:
    ipv6_register(m, "sip:2001:db8::10")
    assert fails(m, "uri") == ("host is not a host name or address", "Request-URI", 4, 400)


@read("rfc5118/port-ambiguous.dat", headers=8)
@read("rfc5118/archive-lf/port-ambiguous", headers=8)
def port_ambiguous(m: Any) -> None:
    ipv6_register(m, "sip:[2001:db8::10:5070]")
    assert (m.uri.host, m.uri.port) == ("[2001:db8::10:5070]", None)


@read("rfc5118/port-unambiguous.dat", headers=8)
@read("rfc5118/archive-lf/port-unambiguous", headers=8)
def port_unambiguous(m: Any) -> None:
    ipv6_register(m, "sip:[2001:db8::10]:5070")
    assert (m.uri.host, m.uri.port) == ("[2001:db8::10]", 5070)


@read("rfc5118/via-received-param-with-delim.dat", headers=7)
@read("rfc5118/archive-lf/via-received-param-with-delim", headers=7)
def via_received_param_with_delim(m: Any) -> None:
    start(m, "BYE", "sip:[2001:db8::10]")
    common(m, "bd76ya", "81x2", "SSG9559905523997077@hlau_4100", 321)
    # Outside of the grammar, to be accepted, and not to be sent so.
    assert m.via.received == "2001:db8::9:255"
    assert m.via.branch == "z9hG4bKas3-111"
    assert str(m.via) == "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3-111"


@read("rfc5118/via-received-param-no-delim.dat", headers=8)
@read("rfc5118/archive-lf/via-received-param-no-delim", headers=8)
def via_received_param_no_delim(m: Any) -> None:
    start(m, "OPTIONS", "sip:[2001:db8::10]")
    common(m, None, "81x2", "SSG95523997077@hlau_4100", 921)
    assert (m.via.host, m.via.received, m.via.branch) == ("[2001:db8::9:1]", "2001:db8::9:255", "z9hG4bKas3")


@read("rfc5118/ipv6-in-sdp.dat", headers=9, body=251)
def ipv6_in_sdp(m: Any) -> None:
    start(m, "INVITE", "sip:user@[2001:db8::10]")
    common(m, None, "81x2", "SSG9559905523997077@hlau_4100", 8612)
    assert m.body.count(b"IN IP6 2001:db8::20\r\n") == 2
    assert m.to.uri.host == "[2001:db8::10]"


# A length that is more than there is (the RFC's own slip; in the archive LF took the place of CR LF besides).
refused("rfc5118/published-length/ipv6-in-sdp.dat", "Content-Length is more than the bytes that are there", 590)
refused("rfc5118/archive-lf/ipv6-in-sdp", "Content-Length is more than the bytes that are there", 570)
refused("rfc5118/archive-lf/mult-ip-in-sdp", "Content-Length is more than the bytes that are there", 510)


@read("rfc5118/mult-ip-in-header.dat", headers=9)
@read("rfc5118/archive-lf/mult-ip-in-header", headers=9)
def mult_ip_in_header(m: Any) -> None:
    start(m, "BYE", "sip:user@host.example.net")
    common(m, "9817--94", "81x2", "997077@lau_4100", 89187)
    assert hosts(m) == [
        ("UDP", "[2001:db8::9:1]", 6050, "z9hG4bKas3-111"),
        ("UDP", "192.0.2.1", None, "z9hG4bKjhja8781hjuaij65144"),
        ("TCP", "[2001:db8::9:255]", None, "z9hG4bK451jj"),
    ]
    assert [via.received for via in m.vias] == [None, None, "192.0.2.200"]


@read("rfc5118/mult-ip-in-sdp.dat", headers=9, body=189)
def mult_ip_in_sdp(m: Any) -> None:
    start(m, "INVITE", "sip:user@[2001:db8::10]")
    common(m, None, "81x2", "SSG9559905523997077@hlau_4100", 8912)
    assert m.body.index(b"m=audio") < m.body.index(b"c=IN IP4 192.0.2.1") < m.body.index(b"m=video")
    assert m.body.index(b"m=video") < m.body.index(b"c=IN IP6 2001:db8::1")


@read("rfc5118/published-length/mult-ip-in-sdp.dat", headers=9, body=181)
def mult_ip_in_sdp_as_published(m: Any) -> None:
    mult_ip_in_sdp(m)
    assert (len(m.to_bytes()), m.content_length) == (522, 181)  # the last 8 octets of the datagram are dropped


def ipv4_mapped(m: Any) -> None:
    start(m, "INVITE", "sip:user@example.com")
    common(m, None, "81x2", "SSG9559905523997077@hlau_4100", 612)
    assert hosts(m) == [
        ("UDP", "[::ffff:192.0.2.10]", 19823, "z9hG4bKbh19"),
        ("UDP", "[::ffff:192.0.2.2]", None, "z9hG4bKas3-111"),
    ]
    address(m.contacts[0], "T. desk phone", "sip:ted@[::ffff:192.0.2.2]")
    assert b"IP6 ::ffff:192.0.2.2" in m.body


@read("rfc5118/ipv4-mapped-ipv6.dat", headers=10, body=245)
def ipv4_mapped_ipv6(m: Any) -> None:
    ipv4_mapped(m)
    assert m.body.endswith(b"a=rtpmap:107 H263-1998/90000\r\n")


@read("rfc5118/published-length/ipv4-mapped-ipv6.dat", headers=10, body=236)
@read("rfc5118/archive-lf/ipv4-mapped-ipv6", headers=10, body=236)
def ipv4_mapped_ipv6_as_published(m: Any) -> None:
    ipv4_mapped(m)
    assert m.content_length == 236


@read("rfc5118/ipv6-bug-abnf-3-colons.dat", headers=7)
def ipv6_bug_abnf_3_colons(m: Any) -> None:
    # RFC 5954's corrected grammar does not derive it; RFC 5118 4.10 asks to tolerate it, and that decides for reading.
    start(m, "OPTIONS", "sip:user@[2001:db8:::192.0.2.1]")
    common(m, None, "810x2", "G9559905523997077@hlau_4100", 689)
    assert (m.uri.host, m.to.uri.host) == ("[2001:db8:::192.0.2.1]",) * 2


@read("rfc5118/ipv6-correct-abnf-2-colons.dat", headers=7)
def ipv6_correct_abnf_2_colons(m: Any) -> None:
    start(m, "OPTIONS", "sip:user@[2001:db8::192.0.2.1]")
    common(m, None, "810x2", "G9559905523997077@hlau_4100", 689)
    assert (m.uri.host, m.to.uri.host) == ("[2001:db8::192.0.2.1]",) * 2


# Both lack the empty line in the archive.
refused("rfc5118/archive-lf/ipv6-bug-abnf-3-colons", "header section does not end with an empty line", 272)
refused("rfc5118/archive-lf/ipv6-correct-abnf-2-colons", "header section does not end with an empty line", 270)


# --- the tests


@cache
def manifest(corpus: Path) -> dict[str, dict[str, str]]:
    lines = [line.split("\t") for line in (corpus / "MANIFEST.tsv").read_text("utf-8").splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_is_refused(impl: ModuleType, corpus: Path, name: str):
    with pytest.raises(ParseError) as caught:
        impl.parse((corpus / name).read_bytes())
    assert caught.value.args == REFUSED[name]
    assert name not in manifest(corpus) or manifest(corpus)[name]["verdict"] == "invalid"


@pytest.mark.parametrize("name", READ)
def test_a_message_that_is_read(impl: ModuleType, corpus: Path, name: str):
    headers, body, findings, check_rest = READ[name]
    data = (corpus / name).read_bytes()
    message = impl.parse(data)
    assert (len(message.headers), len(message.body)) == (headers, body)
    assert data.startswith(message.to_bytes())
    assert [tuple(found) for found in message.validate()] == findings
    assert set(message.check()) <= set(message.validate())
    check_rest(message)
    # Written anew from what was read, it means the same.
    if message.is_request:
        made = impl.Message.request(message.method, message.request_uri, headers=message.headers, body=message.body)
    else:
        made = impl.Message.response(
            message.status_code, message.status_text, headers=message.headers, body=message.body
        )
    again = impl.parse(made.to_bytes())
    assert again.headers.items()[:headers] == message.headers.items()
    assert (again.request_uri, again.status_text, again.body) == (
        message.request_uri,
        message.status_text,
        message.body,
    )
    if message.version == "SIP/2.0":
        assert [tuple(found) for found in again.validate()] == findings


@pytest.mark.parametrize("name", [*READ, *REFUSED])
def test_the_manifest_says_the_same(corpus: Path, name: str):
    row = manifest(corpus).get(name)
    if row is None:
        assert name.startswith("rfc5118/archive-lf/")
        return
    assert hashlib.sha256((corpus / name).read_bytes()).hexdigest() == row["sha256"]
    if name not in READ:
        return
    headers, body, findings, _ = READ[name]
    assert headers == int(row["header_fields"])
    declared = int(row["content_length"]) if row["content_length"].isdecimal() else int(row["body_octets"])
    assert body == declared
    if row["verdict"] == "invalid":
        assert {status for _, _, status in findings} == {400}
    elif row["verdict"] == "valid":
        assert findings == []


def test_every_message_has_its_expectations(corpus: Path):
    files = {
        path.relative_to(corpus).as_posix()
        for folder in ("rfc4475", "rfc5118")
        for path in (corpus / folder).rglob("*")
        if path.is_file()
    }
    assert files == {*READ, *REFUSED}
    assert files.issuperset(manifest(corpus))
    sections = {row["section"] for row in manifest(corpus).values() if "Appendix" not in row["section"]}
    assert len([section for section in sections if section.startswith("RFC 4475")]) == 49
    assert sections.issuperset(f"RFC 5118 4.{number}" for number in range(1, 11))
