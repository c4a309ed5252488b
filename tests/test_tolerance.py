"""Reading is tolerant: what can be located is readable, `validate` says what is wrong, and writing stays strict.

The rule and its border stand in docs/accepts.md, whose tables are run too. Here are the shapes that devices send, each
through a message, with what `validate` finds, and the texts that have two readings and stay refused.
"""

import datetime
import threading

import pytest

from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import (
    STAR,
    EventValue,
    Identity,
    NameAddr,
    Params,
    Reason,
    UriValue,
    Via,
    WarningValue,
    parse_header,
    parse_list,
    split_list,
)
from sipstack.uri import SipUri, TelUri, parse_uri

HOST = "host is not a host name or address"
EMPTY = "parameter value is empty or holds an illegal character"
NAMELESS = "parameter without a name"
HOLE = "list has an empty element"

COMMON = {
    "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
    "From": "<sip:a@b>;tag=1",
    "To": "<sip:a@b>",
    "Call-ID": "1",
    "CSeq": "1 {method}",
}


@pytest.fixture
def request_with(impl):
    """A function that parses a request with headers, which take the place of the usual ones."""

    def make(*headers, method="OPTIONS", uri="sip:h", body=""):
        names = {line.partition(":")[0] for line in headers}
        usual = [f"{name}: {value.format(method=method)}" for name, value in COMMON.items() if name not in names]
        return impl.parse("\r\n".join([f"{method} {uri} SIP/2.0", *usual, *headers, "", body]))

    return make


def tolerated(message):
    """What validate finds, which must not be a reason to refuse the message."""
    found = message.validate()
    assert not any(one.serious for one in found), found
    assert all(one.status == 400 for one in found)
    return [(one.header, one.reason) for one in found]


# --- addresses


@pytest.mark.parametrize(
    ("value", "host", "reason"),
    [
        ("<sip:0398765432100;user=phone>", "0398765432100", HOST),
        ("<sip:+4311130;user=phone>", "+4311130", HOST),
        ("<sip:*31#>", "*31#", HOST),
        ("<sip:a@192.0.2.300>", "192.0.2.300", HOST),
        ("<sip:a@-x-.>", "-x-.", HOST),
        ("<sip:a@b..c:5060>", "b..c", HOST),
        ("<sip:a@b\u00fcro.example>", "b\u00fcro.example", HOST),
        ("<sip:5@<null>>", "<null>", HOST),
        ("<sip:5@<>:5060>", None, "two"),
        ("<sip:5@<null>:5060>", None, "two"),
        ("<sip:a@[1::2::3]>", "[1::2::3]", HOST),
    ],
)
def test_hosts(request_with, value, host, reason):
    message = request_with(f"From: {value};tag=7")
    if host is None:
        with pytest.raises(HeaderError):
            message.from_  # noqa: B018
        return
    assert message.from_.uri.host == host
    assert (message.from_.tag, message.from_tag) == ("7", "7")
    assert str(message.from_) == f"{value};tag=7"
    assert tolerated(message) == [("From", reason)]


@pytest.mark.parametrize("tail", ["@host", "@192.0.2.1:5060", "@ims.mnc001.mcc232.3gppnetwork.org;phone-context=+43"])
def test_a_tel_uri_with_a_host(request_with, tail):
    message = request_with(f"To: <tel:+4311130{tail}>;tag=7")
    uri = message.to.uri
    assert isinstance(uri, TelUri)
    assert uri.number == "+4311130"
    assert uri.params.get("phone-context") == ("+43" if ";" in tail else None)
    assert str(message.to) == f"<tel:+4311130{tail}>;tag=7"
    assert message.to_tag == "7"
    assert tolerated(message) == [("To", "tel URI with a host")]
    assert uri != parse_uri("tel:+4311130")
    assert uri == parse_uri(str(uri))
    assert hash(uri) == hash(parse_uri(str(uri)))


@pytest.mark.parametrize(
    ("value", "params", "reasons"),
    [
        ("<sip:a@b>;alias=1;x=y;Alias=2", {"alias": "1", "x": "y"}, ["parameter alias twice"]),
        ("<sip:a@b>;tag=1;tag=1", {"tag": "1"}, ["parameter tag twice"]),
        ('<sip:a@b>;+sip.instance="<urn:x>";+sip.instance="<urn:y>"', {"+sip.instance": "<urn:x>"},
         ["parameter +sip.instance twice"]),
        ("<sip:a@b>;", {}, [NAMELESS]),
        ("<sip:a@b>;;x;; y=1 ;", {"x": None, "y": "1"}, [NAMELESS]),
        ("sip:a@b;;x", {"x": None}, [NAMELESS]),
        ("<sip:a@b>;x=", {"x": None}, [EMPTY]),
        ("<sip:a@b>;x= ;y", {"x": None, "y": None}, [EMPTY]),
        ("<sip:a@b>;tag=", {"tag": None}, [EMPTY, "tag has no value or a quoted one"]),
        ("<sip:a@b>;x=a(b)", {"x": "a(b)"}, [EMPTY]),
        ("<sip:a@b>;x=(a;y", {"x": "(a", "y": None}, [EMPTY]),
        ("<sip:a@b>;x=a{|}^#?", {"x": "a{|}^#?"}, [EMPTY]),
        ('sip:a@b;x="?";;', {"x": "?"}, [NAMELESS]),
        ("<sip:a@b>;x=m\u00fcller", {"x": "m\u00fcller"}, [EMPTY]),
        ('<sip:a@b>;tag="1"', {"tag": "1"}, ["tag has no value or a quoted one"]),
        ("<sip:a@b>;tag", {"tag": None}, ["tag has no value or a quoted one"]),
    ],
)  # fmt: skip
def test_parameters(request_with, value, params, reasons):
    message = request_with(f"To: {value}")
    assert dict(message.to.params) == params
    assert message.to.tag == message.to_tag == params.get("tag")
    assert str(message.to.uri) == "sip:a@b"
    assert tolerated(message) == [("To", reason) for reason in reasons]
    assert message.to == NameAddr.parse(value)


@pytest.mark.parametrize(
    ("uri", "params", "headers", "reason"),
    [
        ("sip:a@b;alias=1;alias=2", {"alias": "1"}, (), "URI parameter twice"),
        ("sip:a@b;transport=tcp;Transport=udp", {"transport": "tcp"}, (), "URI parameter twice"),
        ("sip:a@b;", {}, (), "URI parameter without a name"),
        ("sip:a@b;;lr;", {"lr": None}, (), "URI parameter without a name"),
        ("sip:a@b;x=", {"x": None}, (), "URI parameter without a value"),
        ("sip:a@b;x=a=b@c,d", {"x": "a=b@c,d"}, (), "URI holds an illegal character"),
        ("sip:a@b;x=%zz", {"x": "%zz"}, (), "% without two hexadecimal digits"),
        ("sip:x@y?Reason=SIP;cause=302", {}, (("Reason", "SIP;cause=302"),), "URI holds an illegal character"),
        ("sip:x@y?Replaces=1@h;to-tag=2;from-tag=3&a=b", {}, (("Replaces", "1@h;to-tag=2;from-tag=3"), ("a", "b")),
         "URI holds an illegal character"),
        ("sip:x@y;lr?Reason=SIP;text=a,b", {"lr": None}, (("Reason", "SIP;text=a,b"),),
         "URI holds an illegal character"),
        ("sip:x@y?Subject", {}, (("Subject", ""),), "URI header without a name or without ="),
        ("sip:x@y?a=b&&c=d", {}, (("a", "b"), ("c", "d")), "URI header without a name or without ="),
        ("sip:x@y?", {}, (), "URI header without a name or without ="),
    ],
)  # fmt: skip
@pytest.mark.parametrize("header", ["To", "Refer-To", "History-Info", "Contact"])
def test_uris(request_with, header, uri, params, headers, reason):
    message = request_with(f"{header}: <{uri}>")
    read = parse_header(header, message.get_header(header))
    (address,) = read if isinstance(read, tuple) else (read,)
    assert dict(address.uri.params) == params
    assert address.uri.headers == headers
    assert (address.uri.host, address.uri.user) in (("b", "a"), ("y", "x"))
    assert tolerated(message) == [(header, reason)]
    if header == "To":
        assert message.to == address


@pytest.mark.parametrize(
    ("uri", "user", "password", "reason"),
    [
        ("sip:100%@h", "100%", None, "% without two hexadecimal digits"),
        ("sip:[a]|{b}@h", "[a]|{b}", None, "URI holds an illegal character"),
        ("sip:a:b:c@h", "a", "b:c", "URI holds an illegal character"),
    ],
)
def test_users(request_with, uri, user, password, reason):
    message = request_with(f"From: <{uri}>;tag=1")
    assert (message.from_.uri.user, message.from_.uri.password, message.from_.uri.host) == (user, password, "h")
    assert str(message.from_.uri) == uri
    assert tolerated(message) == [("From", reason)]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [("sip:0398765432100;user=phone", HOST), ("tel:+43@h", "tel URI with a host"), ("sip:a@b;;", NAMELESS)],
)
def test_a_request_uri(request_with, uri, reason):
    message = request_with(uri=uri)
    assert str(message.uri).startswith(uri.rstrip(";"))
    assert tolerated(message) == [("Request-URI", reason.replace("parameter", "URI parameter"))]


def test_the_expires_of_a_contact(request_with):
    """RFC 3261 20.10: malformed is 3600, and more than 2**32 - 1 is that."""
    values = {
        "60": 60, "soon": 3600, "": 3600, "-1": 3600, "4294967295": 2**32 - 1, "4294967296": 2**32 - 1,
        "9" * 200: 2**32 - 1, '"60"': 60, "6 0": None,
    }  # fmt: skip
    for value, seconds in values.items():
        message = request_with(f"Contact: <sip:a@b>;expires={value}", method="REGISTER")
        if seconds is None:
            with pytest.raises(HeaderError):
                message.contacts  # noqa: B018
            continue
        assert message.contacts[0].expires == seconds, value
        assert bool(tolerated(message)) == (value not in ("60", "4294967295", '"60"')), value
    assert request_with("Contact: <sip:a@b>;expires").contacts[0].expires == 3600
    assert request_with("Contact: <sip:a@b>").contacts[0].expires is None


def test_the_q_of_a_contact(request_with):
    message = request_with("Contact: <sip:a@b>;q=7, <sip:c@d>;q=0.5")
    assert [contact.q for contact in message.contacts] == [None, 0.5]
    assert tolerated(message) == [("Contact", "q is not a number from 0 to 1")]


# --- Via


@pytest.mark.parametrize(
    ("value", "known", "reason"),
    [
        ("received=127.0.0.1:44350:1752919488", {"received": None}, "received is not a host name or address"),
        ("received=", {"received": None}, f"{EMPTY}, received has no value or a quoted one"),
        ("received", {"received": None}, "received has no value or a quoted one"),
        ('received="192.0.2.1"', {"received": None}, "received has no value or a quoted one"),
        ("received=192.0.2.1;received=192.0.2.2", {"received": "192.0.2.1"}, "parameter received twice"),
        ("rport=x", {"rport": None}, "rport is not a number"),
        ("rport=0", {"rport": None}, "rport is out of range"),
        ("rport=65536", {"rport": None}, "rport is out of range"),
        ("rport=", {"rport": 0}, EMPTY),
        ("rport;rport=7", {"rport": 0}, "parameter rport twice"),
        ("maddr=a/b", {"maddr": None}, "maddr is not a host name or address"),
        ("ttl=256", {"ttl": None}, "ttl is out of range"),
        ("ttl=x", {"ttl": None}, "ttl is not a number"),
        ("branch=", {"branch": None}, f"{EMPTY}, branch has no value or a quoted one"),
        ("branch=z9hG4bK(1)", {"branch": "z9hG4bK(1)"}, EMPTY),
        (";", {}, NAMELESS),
        ("i=a(b", {}, EMPTY),
    ],
)
def test_via_parameters(request_with, value, known, reason):
    via = "SIP/2.0/UDP h:5070;" + value
    message = request_with(f"Via: {via}")
    names = ("branch", "received", "rport", "maddr", "ttl")
    assert {name: getattr(message.via, name) for name in names} == {**dict.fromkeys(names), **known}
    assert (message.via.host, message.via.port) == ("h", 5070)
    assert str(message.via) == via
    assert message.vias == (message.via,) == (Via.parse(via),)
    assert tolerated(message) == [("Via", part) for part in reason.split(", ")]


def test_what_is_stamped_over_an_odd_value_hides_nothing(request_with):
    message = request_with("Via: SIP/2.0/UDP h;received=(x;branch=z9hG4bK1;rport=(, SIP/2.0/UDP b;x=(y")
    assert (message.via.received, message.via.branch, len(message.vias)) == (None, "z9hG4bK1", 2)
    assert message.stamp_received("192.0.2.9", 7)
    assert message.get_header("Via") == ("SIP/2.0/UDP h;received=192.0.2.9;branch=z9hG4bK1;rport=7, SIP/2.0/UDP b;x=(y")
    assert message.reply(200).via.branch == "z9hG4bK1"


def test_the_sent_by_of_a_via(request_with):
    for host in ("0398765432100", "192.0.2.300", "<null>", "[1::2::3]"):
        message = request_with(f"Via: SIP/2.0/UDP {host}:5070;branch=z9hG4bK1;rport, SIP/2.0/UDP b")
        assert (message.via.host, message.via.port, message.via.branch) == (host, 5070, "z9hG4bK1")
        assert len(message.vias) == 2
        assert tolerated(message) == [("Via", HOST)]


# --- lists


@pytest.mark.parametrize("value", ["<sip:a@b>,", "<sip:a@b> , ", ",<sip:a@b>", ",, <sip:a@b> ,,", "sip:a@b,"])
def test_an_empty_element_of_a_list(request_with, value):
    for header, name in (("Contact", "contacts"), ("Route", "routes"), ("Record-Route", "record_routes")):
        message = request_with(f"{header}: {value}")
        assert [str(item.uri) for item in getattr(message, name)] == ["sip:a@b"]
        bare = [] if "<" in value or header == "Contact" else [(header, "URI is not in <>")]
        assert tolerated(message) == [*bare, (header, HOLE)]


def test_a_hop_that_is_not_in_angle_brackets(request_with):
    message = request_with("Route: sip:p1;lr;lr, sip:p2;lr;;")
    assert [(str(route.uri), route.uri.lr) for route in message.routes] == [
        ("sip:p1;lr;lr", True),
        ("sip:p2;lr;;", True),
    ]
    flaws = ("URI is not in <>", "URI parameter twice", "URI parameter without a name")
    assert set(tolerated(message)) == {("Route", flaw) for flaw in flaws}


def test_the_first_element_is_the_first_that_is_there(request_with):
    """What is popped and stamped is what is read."""
    message = request_with("Route: , ,<sip:p1>,, <sip:p2>,", "Via: , SIP/2.0/UDP h;rport,,SIP/2.0/UDP b,")
    assert (message.via.host, [via.host for via in message.vias]) == ("h", ["h", "b"])
    assert message.stamp_received("192.0.2.9", 7)
    assert message.get_header("Via") == ", SIP/2.0/UDP h;rport=7;received=192.0.2.9,,SIP/2.0/UDP b,"
    assert (message.via.received, message.via.rport) == ("192.0.2.9", 7)
    assert (message.pop_via(), message.get_header("Via")) == (
        "SIP/2.0/UDP h;rport=7;received=192.0.2.9", "SIP/2.0/UDP b,",
    )  # fmt: skip
    assert (message.pop_via(), message.get_header("Via")) == ("SIP/2.0/UDP b", None)
    assert (message.pop_route(), message.get_header("Route")) == ("<sip:p1>", "<sip:p2>,")
    assert (message.pop_route(), message.get_header("Route"), message.pop_route()) == ("<sip:p2>", None, None)


@pytest.mark.parametrize(
    "header", ["Require", "Proxy-Require", "Unsupported", "Contact", "Route", "Reason", "In-Reply-To"]
)
def test_an_empty_list(request_with, header):
    message = request_with(f"{header}:")
    assert parse_header(header, "") == ()
    assert tolerated(message) == [(header, "list is empty")]


@pytest.mark.parametrize("header", ["Allow", "Supported", "Accept", "P-Associated-URI"])
def test_a_list_that_may_be_empty(request_with, header):
    assert parse_header(header, "") == ()
    assert request_with(f"{header}:").validate() == []


def test_a_via_is_never_empty(request_with):
    for value in ("", ",", " , "):
        message = request_with(f"Via: {value}")
        for name in ("via", "vias"):
            with pytest.raises(HeaderError):
                getattr(message, name)
        assert message.validate()[0].serious


def test_star_with_a_comma(request_with):
    message = request_with("Contact: *,", "Expires: 0", method="REGISTER")
    assert message.contacts == (STAR,)
    assert tolerated(message) == [("Contact", HOLE)]


# --- other headers


@pytest.mark.parametrize("value", ['"Call rejected"', "try later", 'abc h "x"', '1812 overture "In Progress"', "399"])
def test_a_warning_without_a_code(request_with, value):
    (warning,) = parse_header("Warning", value)
    assert (warning.code, warning.agent, warning.text) == (None, "", value)
    assert str(warning) == value
    assert warning == WarningValue.parse(value)
    ((header, reason),) = tolerated(request_with(f"Warning: {value}"))
    assert header == "Warning"
    assert reason in ("Warning is not a code, an agent and a quoted text", "warn-code has not three digits")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Warning", '307 h", "text"'),
        ("Warning", "try (later"),
        ("Warning", "<a"),
        ("Alert-Info", "(Ring"),
        ("Call-Info", "Ring (a;x=y"),
    ],
)
def test_text_that_would_hide_a_comma_is_refused(request_with, header, value):
    """Written in front of others it would swallow them."""
    message = request_with(f"{header}: {value}")
    with pytest.raises(HeaderError):
        message.get_values(header)
    assert [(found.header, found.serious) for found in message.validate()] == [(header, False)]


def test_text_that_hides_nothing_is_read(request_with):
    message = request_with('Warning: try "a, b" (c, d), x', "Alert-Info: Ring (a, b), y")
    assert [value.text for value in message.get_values("Warning")] == ['try "a, b" (c, d)', "x"]
    assert [value.uri for value in message.get_values("Alert-Info")] == ["Ring (a, b)", "y"]


def test_a_call_id_with_quotes(request_with):
    values = ('a"b@c', "d<e>(f@g", '"')
    assert parse_header("In-Reply-To", ", ".join(values)) == values
    assert request_with(f"In-Reply-To: {', '.join(values)}").validate() == []


def test_a_quoted_pair_in_a_comment(impl, request_with):
    message = request_with("Retry-After: 5 (a\\\x07\\)b)", "Subject: \\\x01")
    assert parse_header("Retry-After", message.get_header("Retry-After")).comment == "a\x07)b"
    assert message.validate() == []
    assert impl.parse(message.to_bytes()).get_header("Subject") == "\\\x01"
    copy = message.copy()
    copy.set_header("Subject", message.get_header("Subject"))
    assert copy.to_bytes() == message.to_bytes()
    for value in ("\\\\\x07", "\x07", "(\\\r)", "\\\n"):
        with pytest.raises(ValueError, match=r"control|CR|colon"):
            request_with(f"Subject: a{value}b")
        with pytest.raises(SerializeError):
            copy.set_header("Subject", f"a{value}b")


@pytest.mark.parametrize(
    ("header", "value", "read", "reason"),
    [
        ("Reason", "SIP;cause=x;text=hi", lambda value: (value[0].cause, value[0].text), "cause is not a number"),
        ("Subscription-State", "active;expires=x", lambda value: (value.state, value.expires),
         "expires is not a number"),
        ("Accept", "a/b;q=9", lambda value: (value[0].media_type, value[0].q), "q is not a number from 0 to 1"),
        ("Event", 'dialog;id="7"', lambda value: (value.package, value.id), "id has no value or a quoted one"),
        ("Session-Expires", "90;refresher", lambda value: (value.seconds, value.refresher),
         "refresher has no value or a quoted one"),
        ("Content-Type", "a/b;", lambda value: (value.media_type, len(value.params)), NAMELESS),
        ("Privacy", "id;", lambda value: (*value, None), HOLE),
        ("Allow", "INVITE,,ACK", lambda value: value, HOLE),
    ],
)  # fmt: skip
def test_parts_of_other_headers(request_with, header, value, read, reason):
    expected = {
        "Reason": (None, "hi"), "Subscription-State": ("active", None), "Accept": ("a/b", None),
        "Event": ("dialog", "7"), "Session-Expires": (90, None), "Content-Type": ("a/b", 0), "Privacy": ("id", None),
        "Allow": ("INVITE", "ACK"),
    }  # fmt: skip
    assert read(parse_header(header, value)) == expected[header]
    assert tolerated(request_with(f"{header}: {value}")) == [(header, reason)]


# --- the border


@pytest.mark.parametrize(
    "value",
    [
        '"Bob <sip:a@b>',
        '"Bob" sip:a@b',
        '"Bob" x <sip:a@b>',
        "Bob, Jr <sip:a@b>",
        "Bob; Jr <sip:a@b>",
        "sip:a@b <sip:c@d>",
        "<sip:a@b> <sip:c@d>",
        "<sip:a@b>, <sip:c@d>",
        "<sip:a@b>x",
        "<sip:a@b",
        "< sip:a@b>",
        "<sip:a b@c>",
        '<sip:a@b?c="d">',
        '<sip:a@b;c="d">',
        "<sip:a@b@c>",
        "<sip:b;x=a|b@c>",
        "<sip:2001:db8::1>",
        "<sip:a@2001:db8::1>",
        "<sip:a@b:65536>",
        "<sip:a@b:x>",
        "<sip:a@>",
        "<sip:a@b;=x>",
        "<sip:a@b>;=x",
        "<sip:a@b>;tag=1;tag=2",
        "<sip:a@b>;tag=1;tag=",
        "<sip:a@b>;x=a b",
        "<sip:a@b>;x=a,b",
        "<sip:a@b>;x=<y>",
        '<sip:a@b>;x="y',
        "<sip:a@b>;x=a\\b",
        "<sip:a@b>;x= (y)",
        "<sip:a@b> tag=1",
        "sip:a@b?c=d",
        "sip:a@b;x=y?c=d",
        "sip:a@b;x=1;x=y?c=d",
        "<tel:@h>",
        "<a@b>",
        "",
    ],
)
def test_what_has_two_readings_is_refused(request_with, value):
    message = request_with(f"To: {value}")
    for _ in range(2):
        with pytest.raises(HeaderError) as caught:
            message.to  # noqa: B018
        assert (caught.value.header, caught.value.status) == ("To", 400)
    (found,) = message.validate()
    assert (found.header, found.reason, found.serious) == ("To", caught.value.reason, True)


@pytest.mark.parametrize(
    "value",
    ["SIP/2.0/UDP h;branch=1;branch=2", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP h;i=<a", "x"],
)
def test_a_via_that_has_two_readings_is_refused(request_with, value):
    message = request_with(f"Via: {value}")
    with pytest.raises(HeaderError):
        message.via  # noqa: B018
    assert [(found.header, found.serious) for found in message.validate()] == [("Via", True)]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Event", "dialog;id=1;id=2"),
        ("Replaces", "1;to-tag=1;from-tag=2;to-tag=3"),
        ("Content-Type", "multipart/mixed;boundary=a;boundary=b"),
        ("Authorization", 'Digest username="a", username="b"'),
    ],
)
def test_what_identifies_something_is_there_once(header, value):
    with pytest.raises(HeaderError, match="twice"):
        parse_header(header, value)


# --- writing stays strict


@pytest.mark.parametrize(
    "write",
    [
        lambda: SipUri("0398765432100"),
        lambda: SipUri("<null>"),
        lambda: SipUri("b", user="[a]"),
        lambda: SipUri("b", params={"x": ""}),
        lambda: SipUri("b", params=[("x", "1"), ("X", "2")]),
        lambda: TelUri("+43@h"),
        lambda: NameAddr("sip:a@b", tag=""),
        lambda: NameAddr("sip:a@b", tag="a(b"),
        lambda: NameAddr("sip:a@b", params=[("x", "1"), ("x", "2")]),
        lambda: NameAddr.parse("<sip:a@b>;x=1").replace(tag="1", params=[("tag", "2")]),
        lambda: NameAddr("sip:0398765432100"),
        lambda: NameAddr("sip:a@b").replace(uri="sip:5@<null>"),
        lambda: NameAddr("sip:a@b;;lr"),
        lambda: UriValue("sip:100%@h"),
        lambda: Identity("a.b.c", "sip:a@b?x"),
        lambda: Via("0398765432100"),
        lambda: Via("h", received="127.0.0.1:44350"),
        lambda: Via("h", branch="a(b"),
        lambda: WarningValue(None, "", "text"),
        lambda: Reason("SIP", params={"cause": "x"}),
        lambda: Reason("SIP", params={"q": "9"}),
        lambda: EventValue("dialog", params={"id": "a b"}),
        lambda: EventValue("dialog", params={"": "1"}),
    ],
)
def test_writing_is_strict(write):
    with pytest.raises((SerializeError, TypeError)):
        write()


def test_odd_characters_are_written_in_quotes():
    assert str(NameAddr("sip:a@b", params={"x": "a(b", "y": ""})) == '<sip:a@b>;x="a(b";y=""'


def test_what_was_read_is_kept_when_something_else_changes():
    assert str(NameAddr.parse("<sip:5@<null>>;;x=(;x=2").replace(tag="1")) == "<sip:5@<null>>;x=(;x=2;tag=1"
    assert str(Via.parse("SIP/2.0/UDP 123;;x=(;received=?").replace(branch="1")) == (
        "SIP/2.0/UDP 123;x=(;received=?;branch=1"
    )
    assert str(parse_uri("sip:1234;;x=y=z").replace(port=5070)) == "sip:1234:5070;;x=y=z"


def test_a_value_says_the_same_whoever_reads_it(impl):
    """What is noted for validate is noted for it alone: other readers, and other threads, never hear of it."""
    text = "OPTIONS sip:h SIP/2.0\r\nTo: <sip:a@b>;;\r\nWarning: x\r\nContact: <sip:a@b>,\r\n\r\n"
    message = impl.parse(text)
    expected = message.validate()
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend([impl.parse(text).validate() for _ in range(50)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(200):
        parse_header("To", "<sip:c@d>;x=(")
    for thread in threads:
        thread.join()
    assert results == [expected] * 200
    assert message.validate() == expected


def test_parsing_by_hand_is_as_tolerant():
    assert dict(Params.parse(";;a=;b=(;")) == {"a": None, "b": "("}
    assert len(parse_list(NameAddr, "<sip:a@b>,,")) == 1
    assert split_list("<sip:a@b>,") == ["<sip:a@b>", ""]
    assert parse_header("Date", "Sat, 13 Nov 2010 23:29:00 GMT").when.tzinfo is datetime.UTC
