"""What `check` and `validate` find (RFC 3261 8.1.1, 8.2, 16.3, 18.3), exactly, for both torture sets and beyond."""

import pytest

from sipstack.errors import HeaderError, ParseError
from sipstack.validation import Violation, check, check_scheme, unsupported_options, validate

# What validate finds in each message of RFC 4475 and RFC 5118 that can be parsed; a message not named has no finding.
# A finding that is not serious has a False behind it.
FINDINGS = {
    "badinv01": [
        ("Via", "Via is not protocol/version/transport and host", 400),
        ("Contact", "parameter without a name", 400, False),
    ],
    "scalar02": [
        ("CSeq", "CSeq is out of range", 400),
        ("Max-Forwards", "Max-Forwards is out of range", 400),
        ("Expires", "number of seconds is out of range", 400, False),
        ("Contact", "expires is out of range", 400, False),
    ],
    "scalarlg": [
        ("CSeq", "CSeq is out of range", 400),
        ("Retry-After", "seconds is out of range", 400, False),
        ("Warning", "warn-code has not three digits", 400, False),
    ],
    "quotbal": [("To", "quoted string is not closed or holds a control character", 400)],
    "ltgtruri": [("Request-URI", "URI has no scheme", 400)],
    "escruri": [("Request-URI", "has a header part", 400)],
    "baddate": [("Date", "Date is not like Sat, 13 Nov 2010 23:29:00 GMT", 400, False)],
    "regbadct": [("Contact", "URI with ? is not in <>", 400)],
    "badaspec": [("To", "blank inside <>", 400)],
    "baddn-terminated": [("From", "URI with , is not in <>", 400), ("To", "URI with , is not in <>", 400)],
    "badvers": [("", "SIP version is not 2.0", 505)],
    "mismatch01": [("CSeq", "method is not the request's", 400)],
    "mismatch02": [("CSeq", "method is not the request's", 400)],
    "badbranch": [("Via", "branch is the magic cookie and nothing else", 400)],
    "insuf": [("From", "is missing", 400), ("To", "is missing", 400), ("Call-ID", "is missing", 400)],
    "unkscm": [("Request-URI", "scheme is not supported", 416)],
    "novelsc": [("Request-URI", "scheme is not supported", 416)],
    "multi01": [
        ("From", "is there twice", 400),
        ("To", "is there twice", 400),
        ("Call-ID", "is there twice", 400),
        ("CSeq", "is there twice", 400),
        ("Max-Forwards", "is there twice", 400),
    ],
    "ipv6-bad": [("Request-URI", "host is not a host name or address", 400)],
}
UNREADABLE = {
    "clerr", "ncl", "lwsruri", "lwsstart", "trws", "baddn", "bigcode", "mcl01", "test", "published-length/ipv6-in-sdp",
}  # fmt: skip


def told(found):
    """Findings as tuples: those that are serious without saying so."""
    return [tuple(one)[:3] if one.serious else tuple(one) for one in found]


def test_the_torture_sets(corpus, impl):
    """Every message of RFC 4475 and RFC 5118: no finding too many, none too few."""
    seen = set()
    for path in sorted(corpus.glob("rfc*/**/*.dat")):
        name = path.relative_to(corpus).as_posix().removesuffix(".dat").split("/", 1)[1]
        seen.add(name)
        try:
            message = impl.parse(path.read_bytes())
        except ParseError:
            assert name in UNREADABLE
            continue
        assert name not in UNREADABLE
        assert told(message.validate()) == FINDINGS.get(name, []), name
    assert UNREADABLE | set(FINDINGS) <= seen


COMMON = """\
Via: SIP/2.0/UDP h;branch=z9hG4bK1
From: <sip:a@b>;tag=1
To: <sip:a@b>
Call-ID: 1
CSeq: 1 {method}
"""


@pytest.fixture
def request_with(impl):
    """A function that parses a request with headers added, and with one of the usual headers left out."""

    def make(*headers, method="OPTIONS", uri="sip:h", version="SIP/2.0", without=(), body=""):
        lines = [line for line in COMMON.format(method=method).splitlines() if line.partition(":")[0] not in without]
        return impl.parse("\r\n".join([f"{method} {uri} {version}", *lines, *headers, "", body]))

    return make


def findings(message):
    assert message.check() == check(message)
    assert message.validate() == validate(message)
    return told(message.validate())


def test_a_good_request_and_what_rfc_2543_left_out(request_with):
    assert findings(request_with("Max-Forwards: 70")) == []
    assert findings(request_with()) == []
    assert request_with().check() == []
    bare = request_with("Via: SIP/2.0/UDP h", "From: sip:a@b", without=("Via", "From"))
    assert findings(bare) == []
    assert findings(request_with(version="sip/2.0")) == []


def test_max_forwards_0_is_in_order(request_with):
    assert findings(request_with("Max-Forwards: 0")) == []


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_missing(request_with, name):
    assert findings(request_with(without=(name,))) == [(name, "is missing", 400)]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("f: <sip:a@b>;tag=1", "From"),
        ("TO: <sip:a@b>", "To"),
        ("i: 1", "Call-ID"),
        ("CSeq: 1 OPTIONS", "CSeq"),
        ("Max-Forwards: 5\r\nmax-forwards: 5", "Max-Forwards"),
        ("c: a/b\r\nContent-Type: a/b", "Content-Type"),
        ("Date: Sat, 15 Oct 2005 04:44:56 GMT\r\nDate: Sat, 15 Oct 2005 04:44:56 GMT", "Date"),
        ("o: a\r\nEvent: a", "Event"),
        ("Expires: 1\r\nExpires: 1", "Expires"),
        ("r: <sip:h>\r\nRefer-To: <sip:h>", "Refer-To"),
    ],
)
def test_twice(request_with, header, name):
    told_twice = (name, "is there twice", 400)
    optional = name in ("Date", "Event", "Expires", "Refer-To")
    assert findings(request_with(header)) == [(*told_twice, False) if optional else told_twice]


@pytest.mark.parametrize(
    ("header", "method"), [("o: a\r\nEvent: a", "SUBSCRIBE"), ("r: <sip:h>\r\nr: <sip:h>", "REFER")]
)
def test_twice_what_the_method_needs(request_with, header, method):
    ((_, reason, _),) = findings(request_with(header, method=method))
    assert reason == "is there twice"


def test_two_equal_content_lengths(request_with):
    """They are read, for they say the same: a finding, and nothing to refuse the message for."""
    message = request_with("Content-Length: 1", "l: 01", "c: text/plain", body="x")
    assert message.body == b"x"
    assert findings(message) == [("Content-Length", "is there twice", 400, False)]
    assert message.check() == []


@pytest.mark.parametrize(
    "headers",
    [
        ("Via: SIP/2.0/UDP h", "v: SIP/2.0/UDP h"),
        ("Route: <sip:h>", "Route: <sip:h>"),
        ("Allow: A", "Allow: B"),
        ("WWW-Authenticate: Digest a=b", "WWW-Authenticate: Digest a=b"),
        ("Subject: a", "s: b"),
    ],
)
def test_what_may_be_there_twice(request_with, headers):
    assert findings(request_with(*headers)) == []


def test_version(request_with):
    assert findings(request_with(version="SIP/7.0")) == [("", "SIP version is not 2.0", 505)]
    assert findings(request_with(version="SIP/2.1", without=("To",)))[0] == ("", "SIP version is not 2.0", 505)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1 INVITE", "method is not the request's"),
        ("1 options", "method is not the request's"),
        ("2147483648 OPTIONS", "CSeq is out of range"),
        ("4294967296 OPTIONS", "CSeq is out of range"),
        ("OPTIONS", "CSeq is not a number and a method"),
        ("", "CSeq is not a number and a method"),
    ],
)
def test_cseq(request_with, value, reason):
    message = request_with(f"CSeq: {value}", without=("CSeq",))
    assert findings(message) == [("CSeq", reason, 400)]


@pytest.mark.parametrize("value", ["256", "-1", "+5", "1_0", "", "\u0665"])
def test_max_forwards(request_with, value):
    (found,) = findings(request_with(f"Max-Forwards: {value}"))
    assert found[0::2] == ("Max-Forwards", 400)


@pytest.mark.parametrize(
    ("uri", "reason", "status"),
    [
        ("sip:h?Route=x", "has a header part", 400),
        ("<sip:h>", "URI has no scheme", 400),
        ("sip:h:65536", "port is out of range", 400),
        ("sip:a%", "% without two hexadecimal digits", 400),
        ("*", "URI has no scheme", 400),
        ("http://h", "scheme is not supported", 416),
        ("urn:service:sos", "scheme is not supported", 416),
    ],
)
def test_request_uri(request_with, uri, reason, status):
    assert findings(request_with(uri=uri)) == [("Request-URI", reason, status)]


@pytest.mark.parametrize("uri", ["sips:a@h", "tel:+1-201-555-0123", "TEL:911"])
def test_good_request_uris(request_with, uri):
    assert findings(request_with(uri=uri)) == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("v: SIP/2.0/UDP h;=", "Via"),
        ("Route: sip:a@h?b=c", "Route"),
        ("Require: a b", "Require"),
        ("Content-Type: a", "Content-Type"),
        ("Content-Encoding: a b", "Content-Encoding"),
    ],
)
def test_syntax_of_what_is_needed(request_with, header, name):
    (found,) = request_with(header).validate()
    assert (found.header, found.status, found.serious) == (name, 400, True)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("m: sip:a,b@h", "Contact"),
        ("m: <sip:h>;q=2", "Contact"),
        ("m: <sip:h>;expires=x", "Contact"),
        ("Record-Route: <sip:h", "Record-Route"),
        ("P-Asserted-Identity: <sip:h", "P-Asserted-Identity"),
        ("Date: today", "Date"),
        ("Session-Expires: x", "Session-Expires"),
        ("Accept: a", "Accept"),
        ("Authorization: Digest", "Authorization"),
        ("Content-Disposition: a b", "Content-Disposition"),
        ("Reason: SIP;cause=x", "Reason"),
        ("Replaces: a", "Replaces"),
        ("Timestamp: x", "Timestamp"),
        ("RAck: 1", "RAck"),
    ],
)
def test_syntax_of_what_is_not_needed(request_with, header, name):
    (found,) = request_with(header).validate()
    assert (found.header, found.status, found.serious) == (name, 400, False)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("INVITE", ("Contact: x", "Record-Route: x", "Replaces: x", "Join: x")),
        ("SUBSCRIBE", ("Contact: x", "Record-Route: x", "Event: a b")),
        ("NOTIFY", ("Contact: x", "Record-Route: x", "Event: a b", "Subscription-State: a b")),
        ("REFER", ("Contact: x", "Record-Route: x", "Refer-To: x")),
        ("UPDATE", ("Contact: x", "Record-Route: x")),
        ("REGISTER", ("Contact: x", "Path: x")),
        ("PUBLISH", ("Event: a b", "SIP-If-Match: a b")),
        ("PRACK", ("RAck: x",)),
        ("BYE", ()),
        ("MESSAGE", ()),
    ],
)
def test_what_a_method_needs_is_serious(impl, request_with, method, headers):
    """RFC 3261 8.2.2: what is malformed and not needed should be ignored, with another method the same header."""
    others = (
        "Date: x", "Accept-Encoding: a b", "Reason: /", "MIME-Version: x", "Timestamp: x", "Expires: x", "RSeq: x",
        "Server: (", "User-Agent: (", "Session-Expires: x", "P-Asserted-Identity: x", "Authorization: x",
        *(() if "Contact: x" in headers else ("Contact: x",)),
    )  # fmt: skip
    message = request_with(*headers, *others, method=method)
    serious = [found.header for found in message.validate() if found.serious]
    assert serious == [header.partition(":")[0] for header in headers]
    response = message.reply(200, headers=[tuple(line.split(": ")) for line in (*headers, *others)
                                           if not line.startswith("Record-Route")])  # fmt: skip
    assert {found.header for found in response.validate() if found.serious} | {"Record-Route"} == {
        *serious, "Record-Route",
    }  # fmt: skip


def test_the_same_finding_is_given_once(request_with):
    assert len(findings(request_with("Route: <", "Route: <", "Route: ;"))) == 2
    assert len(findings(request_with("To: <sip:a@b>;;;", "Route: ,,", without=("To",)))) == 2


def test_a_body_needs_a_type(request_with):
    assert findings(request_with(body="x")) == [("Content-Type", "is missing, and there is a body", 400)]
    assert findings(request_with("c: text/plain", body="x")) == []
    for line_ends in ("\r\n", "\r\n\r\n", "\n", "\r"):
        assert findings(request_with(body=line_ends)) == []
    assert findings(request_with(body="\r\n ")) != []


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("PRACK", (), [("RAck", "is missing", 400)]),
        ("REFER", (), [("Refer-To", "is missing", 400)]),
        ("SUBSCRIBE", (), [("Event", "is missing", 489)]),
        ("NOTIFY", ("o: a",), [("Subscription-State", "is missing", 400)]),
        ("NOTIFY", (), [("Event", "is missing", 489), ("Subscription-State", "is missing", 400)]),
        ("NOTIFY", ("Event: keep-alive",), []),
        ("NOTIFY", ("o: Keep-Alive ;id=1",), []),
        ("NOTIFY", ("Event: keep-alives",), [("Subscription-State", "is missing", 400)]),
        ("SUBSCRIBE", ("Event: keep-alive",), []),
        ("PRACK", ("RAck: 1 1 INVITE",), []),
        ("REFER", ("r: <sip:h>",), []),
    ],
)
def test_what_a_method_needs(request_with, method, headers, expected):
    assert findings(request_with(*headers, method=method)) == expected


@pytest.mark.parametrize(
    ("method", "headers", "good"),
    [
        ("REGISTER", ("Contact: *", "Expires: 0"), True),
        ("REGISTER", ("Contact: *", "Expires: 00"), True),
        ("REGISTER", ("Contact: *",), False),
        ("REGISTER", ("Contact: *", "Expires: 5"), False),
        ("REGISTER", ("Contact: *", "m: <sip:h>", "Expires: 0"), False),
        ("INVITE", ("Contact: *", "Expires: 0"), False),
    ],
)
def test_star(request_with, method, headers, good):
    expected = [] if good else [("Contact", "* is not alone, or not in a REGISTER with Expires 0", 400)]
    assert findings(request_with(*headers, method=method)) == expected


def test_responses(impl):
    text = "SIP/2.0 200 OK\n" + COMMON.format(method="INVITE") + "\n"
    assert findings(impl.parse(text)) == []
    assert findings(impl.parse(text.replace("To: <sip:a@b>\n", ""))) == [("To", "is missing", 400)]
    assert findings(impl.parse(text.replace("SIP/2.0 200", "SIP/3.0 200"))) == [("", "SIP version is not 2.0", 505)]
    assert findings(impl.parse(text.replace("1 INVITE", "x INVITE")))[0][0] == "CSeq"
    assert findings(impl.parse(text.replace("branch=z9hG4bK1", "branch=")))[0] == (
        "Via", "parameter value is empty or holds an illegal character", 400, False,
    )  # fmt: skip
    assert findings(impl.parse(text.replace("branch=z9hG4bK1", "=")))[0] == ("Via", "parameter without a name", 400)


def test_unsupported_options(request_with):
    headers = ("Require: 100rel, foo", "require: FOO,bar,Timer")
    assert unsupported_options(request_with(*headers), {"100Rel", "timer"}) == ("foo", "FOO", "bar")
    assert unsupported_options(request_with(*headers), ["100rel", "foo", "bar", "timer"]) == ()
    assert unsupported_options(request_with(), ()) == ()
    for method in ("ACK", "CANCEL"):
        assert unsupported_options(request_with(*headers, method=method), ()) == ()
    with pytest.raises(HeaderError):
        unsupported_options(request_with("Require: a b"), ())


def test_a_violation_is_a_tuple():
    assert Violation("Via", "is missing", 400) == ("Via", "is missing", 400, True)


@pytest.mark.parametrize(
    ("uri", "schemes", "expected"),
    [
        ("urn:service:sos", ("sip", "URN"), []),
        ("urn:service:sos", {"sip"}, [("Request-URI", "scheme is not supported", 416)]),
        ("tel:+1", frozenset({"sip"}), [("Request-URI", "scheme is not supported", 416)]),
        ("sips:h", ["sip"], [("Request-URI", "scheme is not supported", 416)]),
        ("SIP:h", ["sip"], []),
        ("<sip:a@b>", ["sip"], [("Request-URI", "URI has no scheme", 400)]),
        ("sip", ["sip"], [("Request-URI", "URI has no scheme", 400)]),
        ("nonsense:\u00a0<", ["sip"], [("Request-URI", "scheme is not supported", 416)]),
        ("sip:h", (), [("Request-URI", "scheme is not supported", 416)]),
    ],
)
def test_schemes(request_with, uri, schemes, expected):
    message = request_with(uri=uri)
    assert told(message.validate(schemes=schemes)) == told(validate(message, schemes=schemes)) == expected
    assert told(check_scheme(message, schemes)) == expected
