"""Structured header values: RFC 3261 20 and 25, RFC 4475, RFC 5118, and what broke other parsers."""

import copy
import datetime
import pickle
from functools import partial

import pytest
from agreement import outcome
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st

from sipstack import headers
from sipstack._values import Flaws
from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import (
    STAR,
    AcceptValue,
    AuthenticationInfo,
    Challenge,
    ContentDisposition,
    ContentType,
    Credentials,
    CSeq,
    Date,
    EventValue,
    HeaderValue,
    Identity,
    Interval,
    NameAddr,
    Params,
    Products,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    SessionId,
    Star,
    SubscriptionState,
    TargetDialog,
    TextValue,
    Timestamp,
    TokenValue,
    UriValue,
    Via,
    WarningValue,
    body_bytes_len,
    has_structure,
    list_parts,
    parse_contacts,
    parse_cseq_num,
    parse_header,
    parse_list,
    parse_rack,
    split_list,
    with_cseq_ack,
)
from sipstack.methods import HEADER_NAMES
from sipstack.uri import AbsoluteUri, SipUri, TelUri

TOKEN = "abcXYZ019-.!%*_+`'~"
ANY_TEXT = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs", "Cc"]) | st.sampled_from('\t\udc80\udcff"\\')
)


EMPTY = "parameter value is empty or holds an illegal character"


def error_of(parse, text):
    with pytest.raises(HeaderError) as caught:
        parse(text)
    assert 0 <= caught.value.offset <= len(text)
    return caught.value.reason, caught.value.offset


def check_place(error, text, name=""):
    assert error.header == name
    assert 0 <= error.offset <= len(text)


# --- Via


def test_via_of_wsinv():
    first = Via.parse("SIP  /   2.0 /UDP 192.0.2.2;branch=390skdjuw")
    assert (first.protocol, first.transport, first.host, first.port) == ("SIP/2.0", "UDP", "192.0.2.2", None)
    assert first.branch == "390skdjuw"
    second, third = parse_list(
        Via,
        "SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8  , "
        "SIP  /    2.0   / UDP  192.168.255.111   ; branch= z9hG4bK30239",
    )
    assert (second.transport, second.host, second.branch) == ("TCP", "spindle.example.com", "z9hG4bK9ikj8")
    assert (third.transport, third.host, third.branch) == ("UDP", "192.168.255.111", "z9hG4bK30239")


def test_via_with_everything():
    via = Via.parse(
        'SIP/2.0/WSS [2001:db8::9:1]:6050;ttl=255;maddr=224.2.0.1;rport=1;received=192.0.2.9;branch=x;a;b="c;,d"'
    )
    assert (via.sent_by, via.ttl, via.maddr, via.rport) == ("[2001:db8::9:1]:6050", 255, "224.2.0.1", 1)
    assert (via.received, via.branch, via.params["a"], via.params["B"]) == ("192.0.2.9", "x", None, "c;,d")
    assert Via.parse(str(via)) == via


def test_via_without_parameters():
    via = Via.parse("SIP/2.0/UDP host : 5060 ")
    assert str(via) == "SIP/2.0/UDP host:5060"
    assert (via.branch, via.received, via.rport, via.maddr, via.ttl, len(via.params)) == (
        None,
        None,
        None,
        None,
        None,
        0,
    )


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"], ids=["with-delim", "no-delim"])
def test_received_with_and_without_brackets(received):
    """RFC 5118 4.5: both are read, brackets are never sent."""
    via = Via.parse(f'SIP/2.0/UDP [2001:db8::9:1];x=";received=[::1]";Received = {received};branch=z9hG4bKas3')
    assert (via.received, via.branch) == ("2001:db8::9:255", "z9hG4bKas3")
    assert "[2001:db8::9:255]" not in str(via)
    assert via.params["x"] == ";received=[::1]"
    assert via.params["received"] == "2001:db8::9:255"


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("SIP/2.0/\x16UD~PTo :::]", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP :::]", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP 192.0.2.15;;,;,,", "parameter without a name", 24),  # RFC 4475 badinv01
        ("", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP ", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0 h", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP\r\n h", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP [2001:db8::1", "Via is not protocol/version/transport and host", 0),
        ("SIP/2.0/UDP 2001:db8::1", "Via holds an illegal character", 16),
        ("SIP/2.0/UDP h:65536", "port is out of range", 14),
        ("SIP/2.0/UDP h:4294972356", "port is out of range", 14),
        ("SIP/2.0/UDP h:+5", "Via holds an illegal character", 13),
        ("SIP/2.0/UDP h:1_0", "Via holds an illegal character", 15),
        ("SIP/2.0/UDP h:\u0665", "Via holds an illegal character", 13),
        ("SIP/2.0/UDP h h", "Via holds an illegal character", 14),
        ("SIP/2.0/UDP h;branch=a;BRANCH=b", "parameter branch twice", 23),
        ("SIP/2.0/UDP h;branch=a b", "parameter holds an illegal character", 23),
        ("SIP/2.0/UDP h;branch=\x00", "parameter value is empty or holds an illegal character", 21),
        ('SIP/2.0/UDP h;x="a', "quoted string is not closed or holds a control character", 16),
        ('SIP/2.0/UDP h;x = "a\\', "quoted string is not closed or holds a control character", 18),
        ('SIP/2.0/UDP h;x="\x00"', "quoted string is not closed or holds a control character", 16),
        ('SIP/2.0/UDP h;x="\\\n"', "quoted string is not closed or holds a control character", 16),
        ("SIP/2.0/UDP h;\u00e9=1", "parameter without a name", 14),
    ],
)
def test_via_refused(text, reason, offset):
    assert error_of(Via.parse, text) == (reason, offset)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("SIP/2.0/UDP [1::2::3]", ["host is not a host name or address"]),
        ("SIP/2.0/UDP h;branch=", [EMPTY, "branch has no value or a quoted one"]),
        ("SIP/2.0/UDP h;branch= ;x", [EMPTY, "branch has no value or a quoted one"]),
        ("SIP/2.0/UDP h;branch", ["branch has no value or a quoted one"]),
        ('SIP/2.0/UDP h;branch="a"', ["branch has no value or a quoted one"]),
        ("SIP/2.0/UDP h;rport=65536", ["rport is out of range"]),
        ("SIP/2.0/UDP h;rport=0", ["rport is out of range"]),
        ("SIP/2.0/UDP h;rport=+5", ["rport is not a number"]),
        ("SIP/2.0/UDP h;rport=1_0", ["rport is not a number"]),
        ("SIP/2.0/UDP h;rport=", [EMPTY]),
        ('SIP/2.0/UDP h;rport="1"', ["rport has no value or a quoted one"]),
        ("SIP/2.0/UDP h;ttl=256", ["ttl is out of range"]),
        ("SIP/2.0/UDP h;ttl=" + "9" * 10_000, ["ttl is out of range"]),
        ("SIP/2.0/UDP h;received=a/b", ["received is not a host name or address"]),
        ("SIP/2.0/UDP h;maddr=[::1", ["maddr is not a host name or address"]),
    ],
)
def test_via_read_all_the_same(text, noted):
    """What is against the grammar and has one reading."""
    with Flaws() as found:
        Via.parse(text)
    assert found == noted


def test_a_long_branch():
    branch = "z9hG4bK" + "a" * 65536
    assert Via.parse(f"SIP/2.0/UDP h;branch={branch}").branch == branch


def test_via_built_and_replaced():
    via = Via(
        "2001:db8::1",
        port=5061,
        transport="TLS",
        branch="z9hG4bKx",
        received="[::2]",
        rport=0,
        maddr="::3",
        ttl=1,
        params={"a": "b c", "d": None, "e": "[::4]"},
    )
    assert str(via) == (
        'SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKx;received=::2;rport;maddr=[::3];ttl=1;a="b c";d;e=[::4]'
    )
    assert Via.parse(str(via)) == via
    stamped = Via.parse("SIP/2.0/UDP h;x=a/b;rport;branch=a=b").replace(received="192.0.2.1", rport=5061)
    assert str(stamped) == "SIP/2.0/UDP h;x=a/b;branch=a=b;received=192.0.2.1;rport=5061"
    assert (stamped.received, stamped.rport, stamped.branch) == ("192.0.2.1", 5061, "a=b")
    assert (
        str(stamped.replace(params=None, branch=None, host="i", port=1))
        == "SIP/2.0/UDP i:1;received=192.0.2.1;rport=5061"
    )
    with pytest.raises(SerializeError):
        stamped.replace(params={"received": "192.0.2.2"})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"host": "h", "branch": ""}, SerializeError),
        ({"host": "h", "branch": "a;b"}, SerializeError),
        ({"host": "h", "branch": "a\r\nX: y"}, SerializeError),
        ({"host": "h", "branch": 5}, TypeError),
        ({"host": "h\r\n"}, SerializeError),
        ({"host": ""}, SerializeError),
        ({"host": "h", "transport": "U DP"}, SerializeError),
        ({"host": "h", "protocol": "SIP"}, SerializeError),
        ({"host": "h", "protocol": "SIP/2.0/UDP"}, SerializeError),
        ({"host": "h", "port": 65536}, SerializeError),
        ({"host": "h", "rport": -1}, SerializeError),
        ({"host": "h", "rport": True}, TypeError),
        ({"host": "h", "ttl": 256}, SerializeError),
        ({"host": "h", "received": "a b"}, SerializeError),
        ({"host": "h", "maddr": ""}, SerializeError),
        ({"host": "h", "params": {"Branch": "a"}}, SerializeError),
        ({"host": "h", "params": {"a b": "a"}}, SerializeError),
        ({"host": "h", "params": {"a": "\r"}}, SerializeError),
        ({"host": "h", "params": {"a": "\x00"}}, SerializeError),
        ({"host": "h", "params": [("a", None), ("A", None)]}, SerializeError),
        ({"host": "h", "params": {"a": 1.5}}, TypeError),
        ({"host": "h", "params": {1: "a"}}, TypeError),
    ],
)
def test_via_build_refused(arguments, error):
    with pytest.raises(error):
        Via(**arguments)


def test_via_equality():
    assert Via.parse('sip/2.0/udp H;Branch=ABC;x="a"') == Via.parse('SIP/2.0/UDP h;x="a";branch=abc')
    assert Via.parse('SIP/2.0/UDP h;x="a"') != Via.parse('SIP/2.0/UDP h;x="A"')
    assert Via.parse("SIP/2.0/UDP h") != Via.parse("SIP/2.0/UDP h:5060")
    assert Via.parse("SIP/2.0/UDP h") != "SIP/2.0/UDP h"
    assert len({Via.parse("SIP/2.0/UDP h;branch=A"), Via.parse("SIP/2.0/UDP H;branch=a")}) == 1


tokens = st.text(TOKEN, min_size=1, max_size=8)
hosts = st.sampled_from(["example.com", "192.0.2.1", "[2001:db8::1]", "a_b.c."])
extra = st.dictionaries(tokens.map(lambda name: "x" + name.lower()), st.none() | ANY_TEXT.filter(bool), max_size=4)


@given(
    host=hosts,
    port=st.none() | st.integers(0, 65535),
    transport=tokens,
    branch=st.none() | tokens,
    received=st.none() | st.sampled_from(["192.0.2.1", "2001:db8::1", "h"]),
    rport=st.none() | st.integers(0, 65535),
    maddr=st.none() | hosts,
    ttl=st.none() | st.integers(0, 255),
    params=extra,
)
def test_via_round_trip(params, **arguments):
    via = Via(params=params, **arguments)
    read = Via.parse(str(via))
    assert read == via
    assert hash(read) == hash(via)
    assert {name: getattr(read, name) for name in arguments} == arguments
    assert {name: value for name, value in read.params.items() if name.startswith("x")} == params
    assert split_list(str(via)) == [str(via)]


# --- addresses


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        (
            "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
            "",
            "sip:vivekg@chair-dnrc.example.com",
            "1918181833n",
        ),
        (
            '"J Rosenberg \\\\\\""       <sip:jdrosen@example.com> ; tag = 98asjd8',
            'J Rosenberg \\"',
            "sip:jdrosen@example.com",
            "98asjd8",
        ),
        ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", "323"),  # lwsdisp
        (
            "token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;tag=_t~1'+`*%!-.",
            "token1~` token2'+_ token3*%!.-",
            "sip:mundane@example.com",
            "_t~1'+`*%!-.",
        ),
        ('"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:a@b>', "BEL:\x07 NUL:\x00 DEL:\x7f", "sip:a@b", None),  # intmeth
        ('"%Z%45" <sip:resource@example.com>;tag=f232jadfj23', "%Z%45", "sip:resource@example.com", "f232jadfj23"),
        ('"Bell, Alexander" <sip:a.g.bell@example.com>;tag=43', "Bell, Alexander", "sip:a.g.bell@example.com", "43"),
        ('"" <sip:a@b>', "", "sip:a@b", None),
        ('""<sip:a@b>', "", "sip:a@b", None),
        ("<sip:a,b;c?d@h;x=y?z=1>;tag=1", "", "sip:a,b;c?d@h;x=y?z=1", "1"),
        ("J\u00fcrgen M\u00fcller (work) <sip:a@b>", "J\u00fcrgen M\u00fcller (work)", "sip:a@b", None),
        ('"J\udcfcrgen" <sip:a@b>', "J\udcfcrgen", "sip:a@b", None),
        ('"a>b<" <sip:a@b>;x=">";tag=1', "a>b<", "sip:a@b", "1"),
        ("isbn:2983792873", "", "isbn:2983792873", None),
        ("<http://www.example.com>;tag=3234233", "", "http://www.example.com", "3234233"),
        ("name:John_Smith", "", "name:John_Smith", None),
        ("<tel:+1-201-555-0123;ext=5>;tag=x", "", "tel:+1-201-555-0123;ext=5", "x"),
        ("\t <sip:a@b> \t", "", "sip:a@b", None),
        ('<sip:a@b>;x="tag=1";TAG=2', "", "sip:a@b", "2"),
        ("<sip:a@b>;mytag=1;TAG = 2 ;q=1", "", "sip:a@b", "2"),
    ],
)
def test_addresses(text, name, uri, tag):
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.tag) == (name, uri, tag)
    again = NameAddr.parse(str(address))
    assert (again.display_name, again.uri, again.params) == (name, address.uri, address.params)


@pytest.mark.parametrize(
    "params", ["", ";tag=a", ";x=1; TAG = a", ';tag="a"', ";tag", ";tag=", ";x=tag=a", ';x=";tag=b";tag=a']
)
def test_a_tag_is_the_parameter_however_the_address_was_made(params, impl):
    text = f"<sip:a@b>{params}"
    message = impl.parse(f"OPTIONS sip:a@b SIP/2.0\r\nFrom: {text}\r\n\r\n".encode())
    read = NameAddr.parse(text)
    made = NameAddr("sip:a@b", params=dict(read.params) if read.tag else {"x": "1"})
    for address in (read, message.from_, made, read.replace(display_name="D"), pickle.loads(pickle.dumps(read))):
        assert address.tag == address.params.get("tag")
    assert read.tag == message.from_.tag == message.from_tag
    assert read.with_tag("c").tag == "c"
    assert read.replace(tag=None).tag is None
    assert type(vars(NameAddr)["tag"]) is type(vars(NameAddr)["uri"])  # a slot: to read it costs no search


def test_parameters_behind_a_bare_uri_are_the_headers():
    """RFC 4475 cparam01, cparam02, inv2543: without <> the parameter is the header's, within them the URI's."""
    bare = NameAddr.parse("sip:+19725552222@gw1.example.net;unknownparam")
    assert (dict(bare.params), dict(bare.uri.params)) == ({"unknownparam": None}, {})
    assert str(bare) == "<sip:+19725552222@gw1.example.net>;unknownparam"
    inside = NameAddr.parse("<sip:+19725552222@gw1.example.net;unknownparam>")
    assert (dict(inside.params), dict(inside.uri.params)) == ({}, {"unknownparam": None})
    assert NameAddr.parse("sip:+16505552222@ss1.example.net;user=phone").params["user"] == "phone"


def test_the_contact_of_wsinv_and_regescrt():
    contact = NameAddr.parse(
        '"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam = newvalue ; secondparam ; q = 0.33'
    )
    assert contact.display_name == 'Quoted string ""'
    assert dict(contact.params) == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert (contact.q, contact.expires) == (0.33, None)
    escaped = NameAddr.parse("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>")
    assert escaped.uri.headers == (("Route", "<sip:sip.example.com>"),)


def test_q_and_expires():
    assert NameAddr.parse("<sip:a@b>;expires=4294967295;q=1.000").expires == 2**32 - 1
    assert (NameAddr.parse("<sip:a@b>").q, NameAddr.parse("<sip:a@b>;q=0").q) == (None, 0.0)
    assert NameAddr.parse("<sip:a@b>;expires=280297596632815").expires == 2**32 - 1
    for bad in ("x", "1:0", "-1", '"\u0665"'):
        assert NameAddr.parse(f"<sip:a@b>;expires={bad}").expires == 3600
    for bad in ("1.1", "2", "0.1234", "0.\u0665", "-0", "01"):
        assert NameAddr.parse(f'<sip:a@b>;q="{bad}"').q is None
    assert (NameAddr.parse("<sip:a@b>;q").q, NameAddr.parse("<sip:a@b>;expires").expires) == (None, 3600)


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("", "URI has no scheme", 0),
        (" ", "URI has no scheme", 1),
        (";;;;", "URI has no scheme", 0),
        ("sip:user@example.com?Route=%3Csip:sip.example.com%3E", "URI with ? is not in <>", 20),  # regbadct
        ("sip:a,b@h", "URI with , is not in <>", 5),
        ("Bell, Alexander <sip:a.g.bell@example.com>;tag=43", "URI with , is not in <>", 4),  # baddn
        ("< sip:t.watson@example.org >", "blank inside <>", 1),  # badaspec
        ("<sip:a@b\t>", "blank inside <>", 1),
        ("<>", "URI has no scheme", 1),
        ("<sip:a@b", "< is not closed", 0),
        ('"a <sip:a@b>', "quoted string is not closed or holds a control character", 0),  # quotbal
        ('"a\\', "quoted string is not closed or holds a control character", 0),
        ('"a\x07" <sip:a@b>', "quoted string is not closed or holds a control character", 0),
        ('"a\\\r" <sip:a@b>', "quoted string is not closed or holds a control character", 0),
        ('"a" sip:a@b', "display name without <URI> behind it", 4),
        ('"a"', "display name without <URI> behind it", 3),
        ('"a" b <sip:a@b>', "display name without <URI> behind it", 4),
        ("a\\b <sip:a@b>", "URI has no scheme", 0),
        ("a\x00b <sip:a@b>", "URI has no scheme", 0),
        ("sip:a@b <sip:a@b>", "address holds an illegal character", 8),
        ("<sip:a@b> x", "address holds an illegal character", 10),
        ("<sip:a@b>>", "address holds an illegal character", 9),
        ("<sip:a@b>,", "address holds an illegal character", 9),
        ("<<sip:a@b>>", "URI has no scheme", 1),
        ("<sip:a@b>;tag=1;x;TAG=2", "parameter tag twice", 18),
        ("<sip:a@b>;tag=a b", "parameter holds an illegal character", 16),
        ("<sip:a@b%>", "% without two hexadecimal digits", 8),
        ("sip:a@[::1;tag=1", "host is not a host name or address", 6),
        ("*", "URI has no scheme", 0),
    ],
)
def test_address_refused(text, reason, offset):
    assert error_of(NameAddr.parse, text) == (reason, offset)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ('"Joe" <sip:joe@example.org>;;;;', ["parameter without a name"] * 4),  # badinv01
        ("<sip:a@b>;", ["parameter without a name"]),
        ("<sip:a@b>;tag=", [EMPTY, "tag has no value or a quoted one"]),
        ("<sip:a@b>;tag", ["tag has no value or a quoted one"]),
        ('<sip:a@b>;tag="x"', ["tag has no value or a quoted one"]),
        ("<sip:a@b>;tag=1;tag=1", ["parameter tag twice"]),
    ],
)
def test_address_read_all_the_same(text, noted):
    """What is against the grammar and has one reading."""
    with Flaws() as found:
        NameAddr.parse(text)
    assert found == noted


def test_address_built():
    assert str(NameAddr("sip:a@b;lr?x=y", display_name='A "b"\\, <c>', tag="t", params={"x": None, "y": "a b"})) == (
        '"A \\"b\\"\\\\, <c>" <sip:a@b;lr?x=y>;tag=t;x;y="a b"'
    )
    assert str(NameAddr(SipUri("h"))) == "<sip:h>"
    assert str(NameAddr(TelUri("+1"), display_name="\u00e9")) == '"\u00e9" <tel:+1>'
    assert str(NameAddr("http://h/?a,b;c")) == "<http://h/?a,b;c>"
    assert NameAddr("sip:h", params={"tag": "x"}).tag == "x"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"uri": "sip:a@b>;x=<"}, SerializeError),
        ({"uri": "sip:a b"}, SerializeError),
        ({"uri": "sip:a@b\r\nX: y"}, SerializeError),
        ({"uri": ""}, SerializeError),
        ({"uri": None}, TypeError),
        ({"uri": NameAddr("sip:h")}, TypeError),
        ({"uri": "sip:h", "display_name": "a\r\nX: y"}, SerializeError),
        ({"uri": "sip:h", "display_name": "a\n"}, SerializeError),
        ({"uri": "sip:h", "display_name": "a\x00"}, SerializeError),
        ({"uri": "sip:h", "display_name": "\ud800"}, SerializeError),
        ({"uri": "sip:h", "display_name": 5}, TypeError),
        ({"uri": "sip:h", "tag": ""}, SerializeError),
        ({"uri": "sip:h", "tag": "a;b"}, SerializeError),
        ({"uri": "sip:h", "tag": "a", "params": {"tag": "b"}}, SerializeError),
        ({"uri": "sip:h", "params": {"tag": ""}}, SerializeError),
        ({"uri": "sip:h", "params": {"tag": "a b"}}, SerializeError),
        ({"uri": "sip:h", "params": {"x": "a\nb"}}, SerializeError),
        ({"uri": "sip:h", "params": {"x\r\n": "a"}}, SerializeError),
    ],
)
def test_address_build_refused(arguments, error):
    with pytest.raises(error):
        NameAddr(**arguments)


def test_address_replaced():
    address = NameAddr.parse("Bob <sip:#a@b>;x=a/b;tag=a/b;q=0.5")
    assert str(address.with_tag("new")) == '"Bob" <sip:#a@b>;x=a/b;q=0.5;tag=new'
    assert str(address.replace(tag=None)) == '"Bob" <sip:#a@b>;x=a/b;q=0.5'
    assert str(address.replace(display_name="", uri="sip:c@d;lr")) == "<sip:c@d;lr>;x=a/b;tag=a/b;q=0.5"
    assert str(address.replace(params={"y": None})) == '"Bob" <sip:#a@b>;tag=a/b;y'
    assert NameAddr.parse("sip:a@b").with_tag("x").tag == "x"
    odd = NameAddr.parse('"\\\x00" <sip:a@b>')
    assert odd.with_tag("x").display_name == "\x00"
    assert NameAddr.parse(str(odd.with_tag("x"))).display_name == "\x00"
    with pytest.raises(SerializeError):
        address.replace(params={"tag": "z"})


def test_address_equality():
    """RFC 3261 20.20: URI, tag, and the parameters that both have."""
    one = NameAddr.parse('"A" <sip:a@h>;tag=X;a=b')
    assert one == NameAddr.parse("sip:a@H;tag=x")
    assert hash(one) == hash(NameAddr.parse("sip:a@H;tag=x"))
    assert one != NameAddr.parse("sip:a@h")
    assert one != NameAddr.parse("sip:a@h;tag=x;a=c")
    assert one != NameAddr.parse("sip:b@h;tag=x")
    assert one != str(one)


@given(
    uri=st.sampled_from(["sip:a@b", "sip:a,b;c?d@h;lr?x=y", "sips:[::1]:5", "tel:+1;a=b", "http://h/?a=b,c;d"]),
    display_name=ANY_TEXT,
    tag=st.none() | tokens,
    params=extra,
)
def test_address_round_trip(uri, display_name, tag, params):
    address = NameAddr(uri, display_name=display_name, tag=tag, params=params)
    read = NameAddr.parse(str(address))
    assert read == address
    assert hash(read) == hash(address)
    assert (read.display_name, read.tag, str(read.uri)) == (display_name, tag, uri)
    assert {name: value for name, value in read.params.items() if name != "tag"} == params
    assert split_list(f"{address}, {address}") == [str(address)] * 2
    assert not set(str(address)) & set("\r\n\0")


def test_star():
    assert parse_contacts("*") == (STAR,)
    assert parse_contacts(" * ") == (Star.parse("*"),)
    assert (str(STAR), hash(STAR), STAR != "*") == ("*", hash(Star()), True)
    assert error_of(Star.parse, "a") == ("not a *", 0)
    assert parse_contacts("") == ()
    for text in ("*, <sip:a@b>", "<sip:a@b>, *", "**", "*,*", "*;q=1"):
        with pytest.raises(HeaderError):
            parse_contacts(text)


# --- CSeq, RAck and the helpers on them


def test_cseq():
    cseq = CSeq.parse(" 0009  INVITE ")
    assert (cseq.num, cseq.method, str(cseq)) == (9, "INVITE", "9 INVITE")
    assert CSeq.parse("139122385 !interesting-Method0123456789_*+`.%indeed'~").num == 139122385
    assert CSeq.parse("2147483647 A") == CSeq(2**31 - 1, "A")
    assert CSeq(1, "A") != CSeq(1, "a")
    assert CSeq(1, "A") != "1 A"
    assert hash(CSeq(1, "A")) == hash(CSeq.parse("01 A"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2147483648 A", "CSeq is out of range"),
        ("4294967296 A", "CSeq is out of range"),
        ("4294967297 A", "CSeq is out of range"),
        ("36893488147419103232 A", "CSeq is out of range"),
        ("9" * 10_000 + " A", "CSeq is out of range"),
        ("-1 A", "CSeq is not a number and a method"),
        ("+5 A", "CSeq is not a number and a method"),
        ("1_0 A", "CSeq is not a number and a method"),
        ("\u0661 A", "CSeq is not a number and a method"),
        ("1A", "CSeq is not a number and a method"),
        ("1", "CSeq is not a number and a method"),
        ("1 ", "CSeq is not a number and a method"),
        ("A", "CSeq is not a number and a method"),
        ("1 A B", "CSeq is not a number and a method"),
        ("1 A\n", "CSeq is not a number and a method"),
        ("", "CSeq is not a number and a method"),
    ],
)
def test_cseq_refused(text, reason):
    assert error_of(CSeq.parse, text)[0] == reason
    assert error_of(parse_cseq_num, text)[0] == reason


def test_cseq_helpers():
    assert parse_cseq_num("314159 INVITE") == 314159
    assert with_cseq_ack("314159 INVITE") == "314159 ACK"
    assert parse_rack("776656 1 INVITE") == RAck(776656, 1, "INVITE")
    for arguments in ((-1, "A"), (2**31, "A"), (1, "A B"), (1, "")):
        with pytest.raises(SerializeError):
            CSeq(*arguments)


def test_rack():
    rack = RAck.parse("4294967295 2147483647 PRACK")
    assert (rack.rseq, rack.cseq, rack.method, str(rack)) == (
        2**32 - 1,
        2**31 - 1,
        "PRACK",
        "4294967295 2147483647 PRACK",
    )
    assert hash(rack) == hash(RAck(2**32 - 1, 2**31 - 1, "PRACK"))
    assert rack != 5
    for text in ("0 1 A", "4294967296 1 A", "1 2147483648 A", "1 A", "1 1", "1 1 A B", "\u0661 1 A", "+1 1 A"):
        with pytest.raises(HeaderError):
            RAck.parse(text)
    for arguments in ((0, 1, "A"), (2**32, 1, "A"), (1, -1, "A"), (1, 1, "")):
        with pytest.raises(SerializeError):
            RAck(*arguments)


def test_body_bytes_len():
    assert body_bytes_len(b"a\nb") == 3
    assert body_bytes_len("a\nb\r\nc\rd") == len(b"a\r\nb\r\nc\r\nd")
    assert body_bytes_len("\u00e9\udcff") == 3
    assert body_bytes_len("") == 0
    with pytest.raises(TypeError):
        body_bytes_len(5)


# --- lists and parameters


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", []),
        (" \t", []),
        ("a", ["a"]),
        (" a , b\t,c ", ["a", "b", "c"]),
        (",", ["", ""]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a,b" <sip:x,y@z>;p="c,d", e', ['"a,b" <sip:x,y@z>;p="c,d"', "e"]),
        ('"a\\",b", c', ['"a\\",b"', "c"]),
        ('"a\\\\", c', ['"a\\\\"', "c"]),
        ('<a"b,c>, d', ['<a"b,c>', "d"]),
        ("5 (a, (b\\), c), d), 6", ["5 (a, (b\\), c), d)", "6"]),
        ("(a,b), c", ["(a,b)", "c"]),
        ("sip:a(b@c, sip:d)@e", ["sip:a(b@c", "sip:d)@e"]),
        ('"a, b', ['"a, b']),
        ('"a, b\\', ['"a, b\\']),
        ("<a, b", ["<a, b"]),
        ("(a, b", ["(a, b"]),
        ("(a, b\\", ["(a, b\\"]),
        ("<a>, <b", ["<a>", "<b"]),
        ('a\\, "b', ["a\\", '"b']),
    ],
)
def test_split_list(value, parts):
    assert split_list(value) == parts
    assert [(value[at : at + len(part)]) for at, part in list_parts(value)] == parts


def test_an_error_in_a_list_has_its_place():
    text = 'SIP/2.0/UDP a;x="," ,  SIP/2.0/UDP b;branch=<'
    assert error_of(lambda value: parse_list(Via, value), text) == (EMPTY, 44)
    with pytest.raises(HeaderError) as caught:
        parse_header("v", text)
    assert (caught.value.header, caught.value.offset) == ("Via", 44)
    assert text[caught.value.offset :] == "<"
    assert parse_list(Via, "SIP/2.0/UDP a,") == parse_list(Via, ",SIP/2.0/UDP a") == (Via("a"),)
    assert parse_list(Via, "") == parse_list(Via, ",") == ()


def test_params():
    params = Params.parse(' ; Lr ; X = "a\\"b;c" ; tag=1 ')
    assert dict(params) == {"Lr": None, "X": 'a"b;c', "tag": "1"}
    assert (params["lr"], params["x"], params.get("none", "d"), len(params)) == (None, 'a"b;c', "d", 3)
    assert "LR" in params
    assert 5 not in params
    assert str(params) == 'Lr ; X = "a\\"b;c" ; tag=1'
    assert params == Params.parse('TAG=1;lr;x="a\\"b;c"')
    assert params == {"lr": None, "x": 'a"b;c', "Tag": "1"}
    assert params != {5: 1}
    assert params != 5
    assert hash(params) == hash(Params.parse('TAG=1;lr;x="a\\"b;c"'))
    assert Params.parse("a=B") == Params.parse("a=b")
    assert Params.parse('a="B"') != Params.parse('a="b"')
    assert str(Params({"a": "b c", "n": 5})) == 'a="b c";n=5'
    assert Params.parse("") == Params() == {}
    assert pickle.loads(pickle.dumps(params)) == params
    with pytest.raises(KeyError):
        _ = params["y"]
    with pytest.raises(AttributeError):
        params.x = 1


@given(st.text('ab;=" \\,\t\r\n\x00\u00e9\udcff[]:/', max_size=30))
def test_params_are_an_error_or_come_back(text):
    try:
        params = Params.parse(text)
    except HeaderError as error:
        check_place(error, text)
        return
    assert Params.parse(str(params)) == params
    assert Params(dict(params)) == dict(params.items())


# --- the other headers


def test_content_type():
    plain = ContentType.parse('Application / SDP ;Charset="utf-8"')
    assert (plain.type, plain.subtype, plain.media_type, plain.params["charset"]) == (
        "Application",
        "SDP",
        "application/sdp",
        "utf-8",
    )
    multipart = ContentType.parse("multipart/mixed;boundary=7a9cbec02ceef655")
    assert multipart.params["boundary"] == "7a9cbec02ceef655"
    built = ContentType("multipart", "mixed", params={"boundary": "a b"})
    assert str(built) == 'multipart/mixed;boundary="a b"'
    assert ContentType.parse(str(built)) == built
    assert hash(ContentType.parse("A/b")) == hash(ContentType.parse("a/B"))
    assert ContentType.parse("a/b") != ContentType.parse("a/b;c=d")
    assert built != str(built)
    for text in ("", "a", "a/", "/b", "a/b/c", "a/b c", "a/b;=", "a\x00/b"):
        with pytest.raises(HeaderError):
            ContentType.parse(text)
    with pytest.raises(SerializeError):
        ContentType("a b", "c")


def test_accept():
    accept = parse_header("accept", "text/html ;q=0.7;level=1 , application/sdp, */*;q=0")
    assert [(str(value), value.q) for value in accept] == [
        ("text/html;q=0.7;level=1", 0.7),
        ("application/sdp", None),
        ("*/*;q=0", 0.0),
    ]
    assert parse_header("Accept", "") == ()
    languages = parse_header("Accept-Language", "da, en-gb;q=0.8, *;q=0.1")
    assert [(value.value, value.q) for value in languages] == [("da", None), ("en-gb", 0.8), ("*", 0.1)]
    assert parse_header("Accept-Encoding", "gzip") == (AcceptValue("GZIP"),)
    for bad in ("a/b;q=2", "a/b;q", "a/b;q=x,"):
        ((media_type, q),) = [(value.media_type, value.q) for value in parse_header("Accept", bad)]
        assert (media_type, q) == ("a/b", None)


def test_tokens():
    assert parse_header("Allow", "INVITE, ACK ,BYE,") == ("INVITE", "ACK", "BYE")
    assert parse_header("k", "") == ()
    assert parse_header("Supported", "100rel") == ("100rel",)
    assert parse_header("Require", "nothingSupportsThis, nothingSupportsThisEither") == (
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    )
    assert parse_header("Privacy", "id;header, session") == ("id", "header", "session")
    assert parse_header("In-Reply-To", "a@b, c") == ("a@b", "c")
    assert parse_header("SIP-ETag", " abc ") == "abc"
    for name, bad in (
        ("Require", "A B"),
        ("Allow", "A B"),
        ("Allow", "A, B\x00"),
        ("SIP-ETag", "a b"),
        ("Privacy", "a b;"),
    ):
        with pytest.raises(HeaderError) as caught:
            parse_header(name, bad)
        assert caught.value.header == name


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("Max-Forwards", " 0068 ", 68),
        ("Max-Forwards", "0", 0),
        ("Max-Forwards", "255", 255),
        ("l", "0", 0),
        ("Content-Length", "999999999", 999999999),
        ("Expires", "4294967295", 2**32 - 1),
        ("Min-Expires", "60", 60),
        ("RSeq", "988789", 988789),
        ("Max-Breadth", "60", 60),
        ("Flow-Timer", "120", 120),
        ("MIME-Version", "1.0", "1.0"),
        ("i", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"),
        ("Call-ID", "NzE5==|x", "NzE5==|x"),
        ("Subject", " I know, you; are there ", "I know, you; are there"),
        ("X-Unknown", ";;,,;;,;", ";;,,;;,;"),
        ("C%6Fntact", "<sip:", "<sip:"),
        ("", "a", "a"),
    ],
)
def test_simple_values(name, value, meaning):
    assert parse_header(name, value) == meaning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Max-Forwards", value)
        for value in ("256", "300", "-1", "+5", "1_0", "", " ", "7 0", "\u0667", "\u00b2", "1.0", "9" * 65536)
    ]
    + [
        ("Content-Length", value)
        for value in ("4294967328", "9223372036854775808", "9" * 10_000, "-1", "+5", "1_0", "\u0665", "0x5")
    ]
    + [("Expires", value) for value in ("4294967296", "1" + "0" * 100, "-1", "Sat, 13 Nov 2010 23:29:00 GMT")]
    + [("RSeq", value) for value in ("0", "4294967296", "", "x")]
    + [("MIME-Version", value) for value in ("1", "1.", "1.0.0", "a.b", "\u0661.0")]
    + [("Call-ID", value) for value in ("", "a b", "a\x00", "a\n")],
)
def test_simple_values_refused(name, value):
    with pytest.raises(HeaderError) as caught:
        parse_header(name, value)
    assert caught.value.header == name


def test_session_timers():
    value = parse_header("x", "1800 ; Refresher=UAC")
    assert (value.seconds, value.refresher) == (1800, "uac")
    assert value == SessionExpires(1800, refresher="uac")
    assert hash(value) == hash(SessionExpires(1800, refresher="uac"))
    assert SessionExpires.parse("90").refresher is None
    assert str(parse_header("Min-SE", "90;a=b")) == "90;a=b"
    assert Interval(90) != SessionExpires(90)
    assert Interval(90) != 90
    for odd in ("90;refresher", "90;refresher=", "90;"):
        assert (SessionExpires.parse(odd).seconds, SessionExpires.parse(odd).refresher) == (90, None)
    for bad in ("", "x", "4294967296", "90;=", "90 90"):
        with pytest.raises(HeaderError):
            parse_header("Session-Expires", bad)
    with pytest.raises(SerializeError):
        SessionExpires(90, refresher="a b")


def test_retry_after():
    value = RetryAfter.parse("120 (I'm in a (long\\)) meeting) ; duration=3600")
    assert (value.seconds, value.comment, value.duration) == (120, "I'm in a (long)) meeting", 3600)
    assert RetryAfter.parse("5").comment == ""
    assert RetryAfter.parse("5").duration is None
    assert RetryAfter.parse("5;duration=1") == RetryAfter(5, duration=1)
    for comment in ("a) b (", "\\", "()", "\u00e9\udcff"):
        assert RetryAfter.parse(str(RetryAfter(5, comment=comment))).comment == comment
    for bad in (
        "949302838503028349304023988",
        "5 (a",
        "5 (a\\",
        "5 (\x00)",
        "5 (a) b",
        "5 ()) ",
        "x",
    ):
        with pytest.raises(HeaderError):
            RetryAfter.parse(bad)
    for odd in ("5;duration=x", "5;duration"):
        assert RetryAfter.parse(odd).duration is None
    for arguments in ({"seconds": -1}, {"seconds": 1, "comment": "\n"}, {"seconds": 1, "duration": 2**32}):
        with pytest.raises(SerializeError):
            RetryAfter(**arguments)


def test_date():
    value = parse_header("Date", "Sat, 15 Oct 2005 04:44:56 GMT")
    assert value.when == datetime.datetime(2005, 10, 15, 4, 44, 56, tzinfo=datetime.UTC)
    assert str(value) == "Sat, 15 Oct 2005 04:44:56 GMT"
    assert Date.parse("mon, 15 oct 2005 04:44:56 gmt") == value
    east = datetime.timezone(datetime.timedelta(hours=2))
    assert Date(datetime.datetime(2005, 10, 15, 6, 44, 56, 999, tzinfo=east)) == value
    assert hash(Date.parse(str(value))) == hash(value)
    assert value != str(value)
    for bad in (
        "Fri, 01 Jan 2010 16:00:00 EST",
        "Sat, 32 Oct 2005 04:44:56 GMT",
        "Sat, 15 Oct 0000 04:44:56 GMT",
        "Sat, 15 Oct 2005 24:00:00 GMT",
        "Sat, 15 Oct 2005 04:44:60 GMT",
        "Sat, 1\u0665 Oct 2005 04:44:56 GMT",
        "Sat, 5 Oct 2005 04:44:56 GMT",
        "\u017fat, 15 Oct 2005 04:44:56 GMT",
        "",
        "5",
    ):
        with pytest.raises(HeaderError):
            Date.parse(bad)
    with pytest.raises(SerializeError):
        Date(datetime.datetime(2005, 10, 15))
    with pytest.raises(TypeError):
        Date("Sat")


def test_event_and_subscription_state():
    event = parse_header("o", 'presence.winfo ; id=5;x="y"')
    assert (event.package, event.id, event.params["x"]) == ("presence.winfo", "5", "y")
    assert event == EventValue("presence.winfo", id="5")
    assert hash(event) == hash(EventValue("presence.winfo", id="5"))
    assert event != EventValue("Presence.winfo", id="5")
    assert event != EventValue("presence.winfo")
    assert event != "presence.winfo"
    state = parse_header("Subscription-State", "Terminated;reason=probation;retry-after=30;expires=5")
    assert (state.state, state.reason, state.retry_after, state.expires) == ("terminated", "probation", 30, 5)
    assert state == SubscriptionState("terminated", reason="probation", retry_after=30, expires=5)
    assert SubscriptionState.parse("active").expires is None
    assert str(SubscriptionState("active", expires=60, params={"a": "b"})) == "active;expires=60;a=b"
    for odd in ("expires=x", "expires=4294967296", "expires", "reason", ""):
        state = SubscriptionState.parse(f"active;{odd}")
        assert (state.state, state.expires, state.reason) == ("active", None, None)
    for bad in ("", "a b"):
        with pytest.raises(HeaderError):
            SubscriptionState.parse(bad)
    with pytest.raises(SerializeError):
        SubscriptionState("active", params={"expires": "x"})
    with pytest.raises(SerializeError):
        EventValue("a", id="b c")
    assert EventValue.parse("a;id").id is None


def test_reason():
    sip, q850 = parse_header("Reason", 'SIP ;cause=200 ;text="Call completed, elsewhere", Q.850;cause=16')
    assert (sip.protocol, sip.cause, sip.text) == ("SIP", 200, "Call completed, elsewhere")
    assert (q850.protocol, q850.cause, q850.text) == ("Q.850", 16, None)
    assert str(Reason("SIP", cause=200, text="x")) == 'SIP;cause=200;text="x"'
    assert Reason.parse(str(Reason("SIP", cause=200, text='"\\,'))).text == '"\\,'
    assert sip != q850
    assert Reason("SIP") != TokenValue("SIP")
    assert parse_header("Reason", "SIP;cause=x")[0].cause is None
    with pytest.raises(SerializeError):
        Reason("SIP", text="\r\n")
    for cause in ("x", None, 2**32):  # what could not be read again
        with pytest.raises(SerializeError):
            Reason("SIP", params={"cause": cause})


def test_content_disposition_and_other_tokens():
    value = parse_header("Content-Disposition", "Session;handling=OPTIONAL")
    assert (value.value, value.handling) == ("Session", "optional")
    assert ContentDisposition("session").handling == "required"
    assert value == ContentDisposition("session", params={"handling": "optional"})
    assert hash(value) == hash(ContentDisposition("session", params={"handling": "optional"}))
    assert parse_header("Refer-Sub", "false").value == "false"
    with pytest.raises(SerializeError):
        TokenValue("a b")
    with pytest.raises(SerializeError):
        ContentDisposition("a", params={"handling": "a b"})


def test_replaces():
    value = parse_header("Replaces", "98732@sip.example.com ;from-tag=r33th4x0r;to-tag=ff87ff;early-only")
    assert (value.call_id, value.to_tag, value.from_tag, value.early_only) == (
        "98732@sip.example.com",
        "ff87ff",
        "r33th4x0r",
        True,
    )
    built = Replaces("98732@sip.example.com", to_tag="ff87ff", from_tag="r33th4x0r", early_only=True)
    assert built == value
    assert hash(built) == hash(value)
    assert value != str(value)
    assert not parse_header("Join", "a;to-tag=0;from-tag=1").early_only
    for bad in ("", "a", "a;to-tag=1", "a;from-tag=1", "a;to-tag;from-tag=1", ";to-tag=1;from-tag=1"):
        with pytest.raises(HeaderError):
            parse_header("Replaces", bad)
    for call_id, tag in (("a;b", "c"), ("", "c"), ("a b", "c"), ("a", ""), ("a\r\n", "c")):
        with pytest.raises(SerializeError):
            Replaces(call_id, to_tag=tag, from_tag="x")


def test_timestamp():
    assert Timestamp.parse("54").value == "54"
    value = Timestamp.parse(" 54.21  .5 ")
    assert (value.value, value.delay, str(value)) == ("54.21", ".5", "54.21 .5")
    assert value == Timestamp("54.21", delay=".5")
    assert hash(value) == hash(Timestamp("54.21", delay=".5"))
    assert value != 5
    for bad in ("", "-5", "5 x", "1_0", "\u0665", "1e5", "5 5 5"):
        with pytest.raises(HeaderError):
            Timestamp.parse(bad)
    for arguments in (
        {"value": "a"},
        {"value": "5 "},
        {"value": "5", "delay": "x"},
        {"value": "5", "delay": ""},
        {"value": "5 5"},
    ):
        with pytest.raises(SerializeError):
            Timestamp(**arguments)


def test_warning():
    one, two = parse_header("Warning", '307 isi.edu "Session \\"p\\", not understood", 301 [::1]:5 "x"')
    assert (one.code, one.agent, one.text) == (307, "isi.edu", 'Session "p", not understood')
    assert (two.code, two.agent) == (301, "[::1]:5")
    assert one == WarningValue.parse(str(one))
    assert hash(one) == hash(WarningValue(307, "ISI.edu", one.text))
    assert one != two
    assert one != 5
    for bad in (
        '1812 overture "In Progress"',
        '99 a "b"',
        "307 a b",
        '307 "a"',
        '099 a "b"',
        '307 a "b" c',
        '\u0663\u0660\u0667 a "b"',
    ):
        value = WarningValue.parse(bad)
        assert (value.code, value.agent, value.text, str(value)) == (None, "", bad, bad)
    with pytest.raises(HeaderError):
        WarningValue.parse('307 a "b')
    for arguments in ((99, "a", "b"), (1000, "a", "b"), (300, "a b", "c"), (300, "", "c"), (300, "a", "\n")):
        with pytest.raises(SerializeError):
            WarningValue(*arguments)


def test_challenges_and_credentials():
    (challenge,) = parse_header(
        "WWW-Authenticate",
        'Digest realm="atlanta, \\"x\\"", qop="auth,auth-int" ,nonce="84a4", algorithm=MD5, stale=FALSE',
    )
    assert (challenge.scheme, challenge.token68) == ("Digest", None)
    assert dict(challenge.params) == {
        "realm": 'atlanta, "x"',
        "qop": "auth,auth-int",
        "nonce": "84a4",
        "algorithm": "MD5",
        "stale": "FALSE",
    }
    built = Challenge(
        "digest",
        {"stale": "false", "algorithm": "md5", "nonce": "84a4", "qop": "auth,auth-int", "realm": 'atlanta, "x"'},
    )
    assert built == challenge
    assert hash(built) == hash(challenge)
    assert (
        str(built) == 'digest stale=false, algorithm=md5, nonce="84a4", qop="auth,auth-int", realm="atlanta, \\"x\\""'
    )
    credentials = Credentials("Digest", {"username": "bob", "uri": "sip:h", "qop": "auth", "nc": "00000001", "n": 5})
    assert str(credentials) == 'Digest username="bob", uri="sip:h", qop=auth, nc=00000001, n=5'
    assert Credentials.parse(str(credentials)) == credentials
    assert credentials != Challenge.parse(str(credentials))
    assert Credentials.parse("NoOneKnowsThisScheme opaque-data=here").params == {"opaque-data": "here"}
    assert Credentials.parse("Digest uri=sip:a@h").params["uri"] == "sip:a@h"
    assert Challenge.parse("Negotiate abc=").token68 == "abc="
    (basic,) = parse_header("Proxy-Authorization", " Basic  dXNlcjpwYXNz== ")
    assert (basic.scheme, basic.token68, dict(basic.params)) == ("Basic", "dXNlcjpwYXNz==", {})
    assert str(basic) == "Basic dXNlcjpwYXNz=="
    for bad in (
        "",
        "Digest",
        "Digest ",
        'Digest realm="a',
        'Digest realm="a" nonce="b"',
        "Digest a=b, A=c",
        "Digest a, b",
        "Dig\x00 a=b",
    ):
        with pytest.raises(HeaderError):
            parse_header("WWW-Authenticate", bad)
    for scheme, params in (
        ("Digest", {}),
        ("Digest", {"a": None}),
        ("Di gest", {"a": "b"}),
        ("Digest", {"realm": "\r\n"}),
        ("Digest", [("a", "b"), ("A", "c")]),
    ):
        with pytest.raises(SerializeError):
            Challenge(scheme, params)


def test_authentication_info():
    value = parse_header("Authentication-Info", 'nextnonce="47364c23", qop=auth')
    assert dict(value.params) == {"nextnonce": "47364c23", "qop": "auth"}
    assert AuthenticationInfo.parse(str(value)) == value
    assert hash(AuthenticationInfo.parse(str(value))) == hash(value)
    assert str(AuthenticationInfo({"nextnonce": "a b"})) == 'nextnonce="a b"'
    assert value != 5
    with pytest.raises(HeaderError):
        AuthenticationInfo.parse("a")


@pytest.mark.parametrize(
    "name",
    [
        "Route",
        "Record-Route",
        "Path",
        "Service-Route",
        "Diversion",
        "History-Info",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "m",
    ],
)
def test_lists_of_addresses(name):
    one, two = parse_header(name, '"a, b" <sip:a@b;lr>;index=1, <tel:+1>')
    assert (one.display_name, one.uri.lr, one.params["index"], str(two.uri)) == ("a, b", True, "1", "tel:+1")


@pytest.mark.parametrize("name", ["f", "t", "r", "b", "Reply-To", "P-Called-Party-ID"])
def test_single_addresses(name):
    assert str(parse_header(name, "<sip:a@b>;x=y")) == "<sip:a@b>;x=y"
    with pytest.raises(HeaderError):
        parse_header(name, "<sip:a@b>, <sip:c@d>")


def test_the_parent_reads_nothing():
    with pytest.raises(NotImplementedError):
        HeaderValue.parse("")


def test_has_structure():
    assert has_structure("v")
    assert not has_structure("Subject")


VALUES = [
    Via("h", branch="x"),
    NameAddr("sip:h", tag="x"),
    STAR,
    CSeq(1, "A"),
    RAck(1, 1, "A"),
    Params({"a": "b"}),
    ContentType("a", "b"),
    AcceptValue("a"),
    EventValue("a", id="b"),
    SubscriptionState("a"),
    Reason("a", cause=1),
    ContentDisposition("a"),
    Interval(1),
    SessionExpires(1),
    RetryAfter(1, comment="c"),
    Timestamp("1"),
    WarningValue(300, "a", "b"),
    Date(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
    Replaces("a", to_tag="b", from_tag="c"),
    Challenge("a", {"b": "c"}),
    Credentials("a", {"b": "c"}),
    AuthenticationInfo({"a": "b"}),
    TokenValue("a"),
    TextValue("a b", params={"c": "d"}),
    UriValue("urn:a", params={"c": "d"}),
    UriValue.parse("Ring Answer"),
    Products([("a", "1"), ("b", None)], comments=["c (d)"]),
    Identity("a.b.c", "https://d", alg="ES256", ppt="shaken"),
    SessionId("0" * 32, remote="1" * 32),
    TargetDialog("a", local_tag="b", remote_tag="c"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_is_immutable_copyable_picklable(value):
    assert not hasattr(value, "__dict__")
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value
    loaded = pickle.loads(pickle.dumps(value))
    assert loaded == value
    assert hash(loaded) == hash(value)
    assert str(loaded) == str(value)
    assert type(value).parse(str(value)) == value
    assert repr(value) == f"{type(value).__name__}.parse({str(value)!r})"
    for name in ("value", "_params", "anything"):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)
        with pytest.raises(AttributeError):
            delattr(value, name)


NAMES = [
    "Via",
    "From",
    "Contact",
    "CSeq",
    "RAck",
    "Content-Type",
    "Accept",
    "Retry-After",
    "Warning",
    "Date",
    "Event",
    "Reason",
    "Replaces",
    "Timestamp",
    "WWW-Authenticate",
    "Authentication-Info",
    "Privacy",
    "Session-Expires",
    "Subscription-State",
    "Allow",
    "Call-ID",
    "Max-Forwards",
    "Refer-To",
    "Accept-Language",
    "Alert-Info",
    "User-Agent",
    "Identity",
    "Session-ID",
    "User-to-User",
    "Recv-Info",
    "P-Charging-Vector",
    "Target-Dialog",
]
SEEDS = [
    "SIP/2.0/UDP h",
    "<sip:a@b>",
    "sip:a@b",
    "*",
    "1 A",
    "1 1 A",
    "a/b",
    "5",
    '300 a "b"',
    "a",
    "a;to-tag=1;from-tag=2",
    "Digest a=b",
    "a.b.c;info=<urn:d>",
]


@given(
    st.sampled_from(NAMES),
    st.sampled_from(SEEDS),
    st.text(';,="<>\\()% \t\r\n\x00:/@ab1\u00e9\udcff', max_size=12),
    st.text(max_size=5),
)
def test_any_value_is_an_error_or_comes_back(name, seed, middle, end):
    """Never another exception; what was read is written, and read again as the same."""
    text = seed + middle + end
    try:
        value = parse_header(name, text)
    except HeaderError as error:
        check_place(error, text, name)
        return
    written = ", ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
    assert parse_header(name, written) == value
    assert "\n" not in written
    assert "\r" not in written


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("SIP/2.0/UDP 192.0.2.1", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP [2001:db8::1]:5070", ("2001:db8::1", 5070)),
        ("SIP/2.0/UDP pc33.example.com:5070;rport;received=192.0.2.9", ("192.0.2.9", 5070)),
        ("SIP/2.0/UDP pc33.example.com:5070;rport=1024;received=2001:db8::9", ("2001:db8::9", 1024)),
        ("SIP/2.0/UDP pc33.example.com;maddr=224.0.1.75", ("pc33.example.com", 5060)),
        # 18.2.2: the port of the transport where none is named (RFC 3261 19.1.2, RFC 4168, RFC 7118)
        ("SIP/2.0/TCP 192.0.2.1", ("192.0.2.1", 5060)),
        ("SIP/2.0/SCTP 192.0.2.1", ("192.0.2.1", 5060)),
        ("SIP/2.0/TLS 192.0.2.1", ("192.0.2.1", 5061)),
        ("SIP/2.0/tls 192.0.2.1;received=192.0.2.9", ("192.0.2.9", 5061)),
        ("SIP/2.0/TLS-SCTP 192.0.2.1", ("192.0.2.1", 5061)),
        ("SIP/2.0/WS df7jal23ls0d.invalid;received=192.0.2.9", ("192.0.2.9", 80)),
        ("SIP/2.0/Wss df7jal23ls0d.invalid", ("df7jal23ls0d.invalid", 443)),
        ("SIP/2.0/WSS h:5060", ("h", 5060)),
        ("SIP/2.0/TLS h:5070;rport=1024", ("h", 1024)),
        ("SIP/2.0/X h", ("h", 5060)),
    ],
)
def test_where_a_response_goes(text, address):
    assert Via.parse(text).response_address == address


# --- cost


HOSTILE = {
    "commas": "{}",
    "via-list": "SIP/2.0/UDP h;branch=a{}",
    "quote": '"a{}',
    "angle": "<sip:a{}",
    "parameters": "<sip:a@b>;{}",
    "host": "SIP/2.0/UDP h{}",
    "comment": "5 {}",
    "token": "a{}",
}


UNITS = [
    ",",
    '"',
    ";",
    "\\",
    "(",
    ")",
    "<",
    " ",
    "-",
    ".",
    "a",
    "%",
    ":",
    "/",
    "[",
    "=",
    "0",
    "<>",
    ",SIP/2.0/UDP h",
    ";a=b",
    '""',
    '\\"',
    "( ",
    "% ",
    "%41",
    "a.",
    "a;",
    '";',
]


@pytest.mark.parametrize("name", ["Via", "Contact", "Retry-After", "Warning", "WWW-Authenticate", "Call-ID", "Accept"])
@pytest.mark.parametrize("shape", HOSTILE)
def test_cost_is_linear(name, shape):
    for unit in UNITS:
        assert_linear(
            lambda size, unit=unit: partial(outcome, parse_header, name, HOSTILE[shape].format(fill(unit, size)))
        )


def test_ten_thousand_vias_on_one_line():
    values = parse_list(Via, ",".join(f"SIP/2.0/UDP h{n};branch=z9hG4bK{n}" for n in range(10_000)))
    assert len(values) == 10_000
    assert values[-1].branch == "z9hG4bK9999"


def test_absolute_uris_in_addresses():
    assert NameAddr.parse("<urn:service:sos>").uri == AbsoluteUri("urn", "service:sos")


def test_every_reader_is_of_one_family_and_of_a_known_name():
    names = [name for family in headers._FAMILIES for name in family.READERS]
    assert len(names) == len(set(names))
    assert set(names) <= set(HEADER_NAMES)


def test_siblings_differ_and_a_subclass_does_not():
    class Mine(CSeq):
        __slots__ = ()

    assert Mine.parse("1 INVITE") == CSeq.parse("1 INVITE")
    assert CSeq.parse("1 INVITE") == Mine.parse("1 INVITE")
    assert hash(Mine.parse("1 INVITE")) == hash(CSeq.parse("1 INVITE"))
    assert TokenValue("a") != AcceptValue("a")
    assert Interval(1) != SessionExpires(1)
    assert Challenge.parse("Basic x") != Credentials.parse("Basic x")
