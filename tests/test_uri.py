"""SIP, SIPS, tel and other URIs (RFC 3261 19.1 and 25.1, RFC 3966, RFC 5118)."""

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack._grammar import is_host
from sipstack._values import Flaws
from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import NameAddr, Params, Via
from sipstack.uri import AbsoluteUri, SipUri, TelUri, escape_uri, parse_uri, unescape_uri

USER_SAFE = "abcXYZ019-_.!~*'()&=+$,;?/"


def test_all_parts():
    uri = SipUri.parse("SIPS:ali%63e:se%20cret@[2001:DB8::1]:5071;Transport=TCP;lr;maddr=192.0.2.1?Subject=a%20b&to=c")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (
        "sips",
        "ali%63e",
        "se%20cret",
        "[2001:DB8::1]",
        5071,
    )
    assert (uri.user_decoded, uri.password_decoded) == ("alice", "se cret")
    assert dict(uri.params) == {"Transport": "TCP", "lr": None, "maddr": "192.0.2.1"}
    assert uri.headers == (("Subject", "a b"), ("to", "c"))
    assert (uri.transport, uri.lr, uri.maddr, uri.host_port) == ("tcp", True, "192.0.2.1", "[2001:DB8::1]:5071")
    assert str(uri) == ("sips:ali%63e:se%20cret@[2001:DB8::1]:5071;Transport=TCP;lr;maddr=192.0.2.1?Subject=a%20b&to=c")


def test_only_a_host():
    uri = SipUri.parse("sip:example.com")
    assert (uri.user, uri.password, uri.port, uri.headers, uri.lr) == (None, None, None, (), False)
    assert (uri.transport, uri.maddr, uri.user_decoded, uri.password_decoded) == (None, None, None, None)
    assert dict(uri.params) == {}
    assert "LR" in SipUri.parse("sip:example.com;lr").params


@pytest.mark.parametrize(
    ("text", "user", "host"),
    [
        ("sip:user;par=u%40example.net@example.com", "user;par=u@example.net", "example.com"),  # RFC 4475 semiuri
        ("sip:sips%3Auser%40example.com@example.net", "sips:user@example.com", "example.net"),  # esc01
        ("sip:null-%00-null@example.com", "null-\0-null", "example.com"),  # escnull
        ("sip:%00%00@host5.example.com", "\0\0", "host5.example.com"),
        ("sip:*98#@example.com", "*98#", "example.com"),
        ("sip:j\u00fcrgen@example.com", "j\u00fcrgen", "example.com"),
        ("sip:%C3%BC%FF@example.com", "\u00fc\udcff", "example.com"),
        ("sip:\udcff%41@example.com", "\udcffA", "example.com"),
        ("sip:a?b;c@h", "a?b;c", "h"),
        ("sip:a_b.under_score.example.com.", None, "a_b.under_score.example.com."),
        ("sip:chair-dnrc.example.com;unknownparam", None, "chair-dnrc.example.com"),
        ("sip:010.001.002.255", None, "010.001.002.255"),
    ],
)
def test_user_and_host(text, user, host):
    uri = SipUri.parse(text)
    assert (uri.user_decoded, uri.host) == (user, host)
    assert str(uri) == text


def test_every_unusual_character_of_intmeth():
    text = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com"
    uri = SipUri.parse(text)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert (uri.host, uri.port, str(uri.params), uri.headers) == ("example.com", None, "", ())
    assert str(uri) == text


def test_escaped_parameter_names_are_decoded_once():
    uri = SipUri.parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31")
    assert uri.lr
    assert uri.params["name"] == "value%41"
    assert str(uri.params) == "%6C%72;n%61me=v%61lue%25%34%31"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("sip:[2001:db8::10]", "[2001:db8::10]", None),
        ("sip:[2001:db8::10:5070]", "[2001:db8::10:5070]", None),  # RFC 5118 4.3: no port is hidden in there
        ("sip:[2001:db8::10]:5070", "[2001:db8::10]", 5070),
        ("sip:[::ffff:192.0.2.10]:19823", "[::ffff:192.0.2.10]", 19823),
        ("sip:[2001:db8:::192.0.2.1]", "[2001:db8:::192.0.2.1]", None),  # RFC 5118 4.10
        ("sip:[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]", None),
        ("sip:h:0", "h", 0),
        ("sip:h:65535", "h", 65535),
        ("sip:h:000000000000005060", "h", 5060),
    ],
)
def test_hosts_and_ports(text, host, port):
    uri = SipUri.parse(text)
    assert (uri.host, uri.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("", "URI has no scheme", 0),
        ("example.com", "URI has no scheme", 0),
        ("1sip:a", "URI has no scheme", 0),
        ("<sip:user@example.com>", "URI has no scheme", 0),  # RFC 4475 ltgtruri
        (" sip:a@b", "URI has no scheme", 0),
        ("sip:", "host is not a host name or address", 4),
        ("sip:@h", "host is not a host name or address", 4),
        ("sip:a@", "host is not a host name or address", 6),
        ("sip:2001:db8::10", "host is not a host name or address", 4),  # RFC 5118 4.2
        ("sip:[2001:db8::10", "host is not a host name or address", 4),
        ("sip:[2001:db8::10%eth0]", "host is not a host name or address", 4),
        ("sip:[fe80::1%25eth0]", "host is not a host name or address", 4),
        ("sip:h:65536", "port is out of range", 6),
        ("sip:h:4294972356", "port is out of range", 6),
        ("sip:h:" + "9" * 10_000, "port is out of range", 6),
        ("sip:h:", "URI holds an illegal character", 5),
        ("sip:h:+5", "URI holds an illegal character", 5),
        ("sip:h:1_0", "URI holds an illegal character", 7),
        ("sip:h:\u0665", "URI holds an illegal character", 5),
        ("sip:h:\uff15", "URI holds an illegal character", 5),
        ("sip:a@h%", "% without two hexadecimal digits", 7),
        ("sip:%", "host is not a host name or address", 4),
        ("sip:a@h b", "URI holds an illegal character", 7),
        ("sip:a@b@c", "URI holds an illegal character", 7),
        ("sip:a@h\r\nX: y", "URI holds an illegal character", 7),
        ('sip:a"b@h', "URI holds an illegal character", 5),
        ("tel:", "number is not a telephone number", 4),
        ("tel:+", "number is not a telephone number", 4),
        ("tel:()", "number is not a telephone number", 4),
        ("tel:+1 2", "URI holds an illegal character", 6),
        ("http:", "URI holds an illegal character", 5),
        ("http://a b", "URI holds an illegal character", 8),
        ("http://a%", "% without two hexadecimal digits", 8),
        ("name:<x>", "URI holds an illegal character", 5),
    ],
)
def test_refused(text, reason, offset):
    with pytest.raises(HeaderError) as caught:
        parse_uri(text)
    assert (caught.value.reason, caught.value.offset, caught.value.status) == (reason, offset, 400)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("sip:[1::2::3]", ["host is not a host name or address"]),
        ("sip:[:::]", ["host is not a host name or address"]),
        ("sip:256.1.1.1", ["host is not a host name or address"]),
        ("sip:1.2.3", ["host is not a host name or address"]),
        ("sip:1000", ["host is not a host name or address"]),
        ("sip:-a.example.com", ["host is not a host name or address"]),
        ("sip:a..b", ["host is not a host name or address"]),
        ("sip:a%4@h", ["% without two hexadecimal digits"]),
        ("sip:a%4\u0665@h", ["% without two hexadecimal digits"]),
        ("sip:a@h;x=%zz", ["% without two hexadecimal digits"]),
        ("sip:a@h?x=%", ["% without two hexadecimal digits"]),
        ("sip:a@h;", ["URI parameter without a name"]),
        ("sip:a@h;;lr", ["URI parameter without a name"]),
        ("sip:a@h;x=", ["URI parameter without a value"]),
        ("sip:a@h;lr;%6Cr", ["URI parameter twice"]),
        ("sip:a@h?", ["URI header without a name or without ="]),
        ("sip:a@h?x", ["URI header without a name or without ="]),
        ("sip:a@h?x=1&", ["URI header without a name or without ="]),
        ("tel:+1;x=1;X=2", ["URI parameter twice"]),
    ],
)
def test_read_all_the_same(text, noted):
    """What is against the grammar and has one reading."""
    with Flaws() as found:
        parse_uri(text)
    assert found == noted


def test_the_classes_read_their_own_scheme_alone():
    for cls, text in ((SipUri, "tel:1"), (TelUri, "sip:h"), (SipUri, ""), (SipUri, ":h")):
        with pytest.raises(HeaderError) as caught:
            cls.parse(text)
        assert caught.value.status == 416
    with pytest.raises(HeaderError, match="class of its own"):
        AbsoluteUri.parse("sip:h")


def test_tel():
    uri = parse_uri("TEL:+1-201-555-0123;ext=5;phone-context=example.com")
    assert isinstance(uri, TelUri)
    assert (uri.scheme, uri.number, uri.params["ext"]) == ("tel", "+1-201-555-0123", "5")
    assert str(uri) == "tel:+1-201-555-0123;ext=5;phone-context=example.com"
    assert uri == parse_uri("tel:+1(201)5550123;phone-context=EXAMPLE.com;ext=5")
    assert hash(uri) == hash(parse_uri("tel:+1(201)5550123;phone-context=EXAMPLE.com;ext=5"))
    assert uri != parse_uri("tel:+12015550123")
    assert uri != "tel:+12015550123"
    assert str(parse_uri("tel:911")) == "tel:911"
    assert str(TelUri("7042", params={"phone-context": "example.com"})) == "tel:7042;phone-context=example.com"
    for number in ("", "+", "12a%", "1\r\n", "7042"):
        with pytest.raises(SerializeError):
            TelUri(number)


def test_other_schemes():
    uri = parse_uri("nobodyKnowsThisScheme:totallyopaquecontent")
    assert (uri.scheme, uri.rest) == ("nobodyknowsthisscheme", "totallyopaquecontent")
    assert uri == AbsoluteUri("NobodyKnowsThisScheme", "totallyopaquecontent")
    assert hash(uri) == hash(AbsoluteUri("nobodyknowsthisscheme", "totallyopaquecontent"))
    assert uri != "x"
    novel = parse_uri("soap.beep://192.0.2.103:3002")
    assert (novel.scheme, novel.rest, str(novel)) == ("soap.beep", "//192.0.2.103:3002", "soap.beep://192.0.2.103:3002")
    for scheme, rest in (("sip", "a"), ("1x", "a"), ("http", ""), ("http", "a b"), ("http", "a\r\n"), ("x", "\u00e9")):
        with pytest.raises(SerializeError):
            AbsoluteUri(scheme, rest)


@pytest.mark.parametrize(
    ("one", "other"),
    [  # the lists of RFC 3261 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("SIP:a%2Fb@h", "sip:a%2fb@H"),
    ],
)
def test_equal(one, other):
    assert SipUri.parse(one) == SipUri.parse(other)
    assert hash(SipUri.parse(one)) == hash(SipUri.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:a@h;maddr=192.0.2.1"),
        ("sip:a@h", "sip:a:@h"),
        ("sip:a%2Fb@h", "sip:a/b@h"),
        ("sip:a%25@h", "sip:a%2525@h"),
    ],
)
def test_different(one, other):
    assert SipUri.parse(one) != SipUri.parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # the vectors of RFC 5954 4.2
        ("[::ffff:192.0.2.128]", "[::ffff:c000:280]"),
        ("[2001:db8::9:1]", "[2001:db8::9:01]"),
        ("[0:0:0:0:0:FFFF:129.144.52.38]", "[::FFFF:129.144.52.38]"),
        ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
        ("[2001:db8:::192.0.2.1]", "[2001:db8::192.0.2.1]"),
        ("[::]", "[0::0]"),
        ("Example.COM", "example.com"),
    ],
)
def test_hosts_are_compared_as_addresses(one, other):
    """Not as text: in a SIP URI, an address, a Via, and in the parameters that are hosts."""
    for values in (
        [SipUri.parse(f"sip:bob@{host}") for host in (one, other)],
        [SipUri.parse(f"sips:{host}:5061;x") for host in (one, other)],
        [SipUri(host, user="bob") for host in (one, other)],
        [SipUri.parse(f"sip:h;maddr={host}") for host in (one, other)],
        [NameAddr.parse(f'"Bob" <sip:bob@{host}>;tag=1') for host in (one, other)],
        [Via.parse(f"SIP/2.0/UDP {host}:5060;branch=z9hG4bK1") for host in (one, other)],
        [Via.parse(f"SIP/2.0/UDP h;received={host.strip('[]')}") for host in (one, other)],
        [Via.parse(f"SIP/2.0/UDP h;maddr={host}") for host in (one, other)],
        [Params({"host": host}) for host in (one, other)],
    ):
        assert values[0] == values[1]
        assert hash(values[0]) == hash(values[1])
        assert len(set(values)) == 1
    assert SipUri.parse(f"sip:{one}").host == one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[2001:db8::1]", "[2001:db8::2]"),
        ("192.0.2.128", "[::ffff:192.0.2.128]"),  # 32 bits are not 128
        ("192.0.2.128", "[::192.0.2.128]"),
        ("[::ffff:192.0.2.128]", "[::192.0.2.128]"),
        ("192.0.2.1", "192.0.2.01"),
        ("example.com", "example.com."),
    ],
)
def test_hosts_that_differ(one, other):
    assert SipUri.parse(f"sip:bob@{one}") != SipUri.parse(f"sip:bob@{other}")
    assert NameAddr.parse(f"<sip:bob@{one}>") != NameAddr.parse(f"<sip:bob@{other}>")
    assert Via.parse(f"SIP/2.0/UDP {one}") != Via.parse(f"SIP/2.0/UDP {other}")


@pytest.mark.parametrize(
    ("one", "other"),
    [  # RFC 3966 4
        ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
        ("tel:7042;phone-context=+1-201.555", "tel:7042;Phone-Context=+1(201)555"),
        ("tel:7042;phone-context=Example.COM", "TEL:7042;phone-context=example.com"),
        ("tel:+1;ext=1-2.(3)", "tel:+1;EXT=123"),
        ("tel:+1;ext=5;isub=1;x=y;a", "tel:+1;a;X=Y;isub=1;ext=5"),
        ("tel:aB*#-1;phone-context=h", "tel:AB*#1;phone-context=h"),
    ],
)
def test_equal_tel_uris(one, other):
    assert TelUri.parse(one) == TelUri.parse(other)
    assert hash(TelUri.parse(one)) == hash(TelUri.parse(other))
    assert NameAddr(one) == NameAddr(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tel:1201;phone-context=h", "tel:+1201;phone-context=h"),
        ("tel:7042;phone-context=+1", "tel:7042;phone-context=+11"),
        ("tel:7042;phone-context=a-b.example", "tel:7042;phone-context=ab.example"),
        ("tel:+1;ext=12", "tel:+1;ext=13"),
        ("tel:+1;isub=1-2", "tel:+1;isub=12"),
        ("tel:+1;x=1-2", "tel:+1;x=12"),
        ("tel:+1;x", "tel:+1"),
        ("tel:+1;x", "tel:+1;x=y"),
    ],
)
def test_different_tel_uris(one, other):
    assert TelUri.parse(one) != TelUri.parse(other)


def test_a_tel_uri_is_written_in_the_order_of_rfc_3966():
    params = [("zone", "1"), ("Phone-Context", "example.com"), ("tgrp", None), ("isub", 7), ("EXT", 12), ("Cic", "+1")]
    uri = TelUri("7042", params=params)
    assert str(uri) == "tel:7042;EXT=12;isub=7;Phone-Context=example.com;Cic=+1;tgrp;zone=1"
    assert TelUri("7042", params=reversed(params)) == uri
    assert str(TelUri("7042", params=reversed(params))) == str(uri)
    assert str(TelUri.parse("tel:1;b;a")) == "tel:1;b;a"  # what was read is as it was sent
    with pytest.raises(SerializeError):
        TelUri("+1", params=[("ext", "1"), ("x", "2"), ("EXT", "3")])


def test_a_uri_is_no_str():
    assert SipUri.parse("sip:h") != "sip:h"
    assert SipUri.parse("sip:h") != TelUri.parse("tel:1")


def test_immutable_copyable_picklable():
    for text in ("sip:a:b@h:1;lr?x=y", "tel:+1;a=b", "http://h/"):
        uri = parse_uri(text)
        with pytest.raises(AttributeError):
            uri.scheme = "x"
        with pytest.raises(AttributeError):
            del uri.scheme
        assert copy.copy(uri) is uri
        assert copy.deepcopy(uri) is uri
        loaded = pickle.loads(pickle.dumps(uri))
        assert loaded == uri
        assert str(loaded) == text
        assert repr(uri) == f"{type(uri).__name__}.parse({text!r})"
        assert not hasattr(uri, "__dict__")


def test_build():
    uri = SipUri(
        "2001:db8::1",
        user=escape_uri("a b@c"),
        password="p",
        port=5060,
        scheme="sips",
        params={"lr": None, "x y": "a;b", "n": 5},
        headers=[("Route", "<sip:h;lr>"), ("empty", "")],
    )
    assert str(uri) == "sips:a%20b%40c:p@[2001:db8::1]:5060;lr;x%20y=a%3Bb;n=5?Route=%3Csip:h%3Blr%3E&empty="
    assert SipUri.parse(str(uri)) == uri
    assert uri.headers == (("Route", "<sip:h;lr>"), ("empty", ""))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"host": ""}, SerializeError),
        ({"host": "a b"}, SerializeError),
        ({"host": "a\r\nX: y"}, SerializeError),
        ({"host": "h>"}, SerializeError),
        ({"host": "h;lr"}, SerializeError),
        ({"host": "fe80::1%eth0"}, SerializeError),
        ({"host": 5}, TypeError),
        ({"host": "h", "port": 65536}, SerializeError),
        ({"host": "h", "port": -1}, SerializeError),
        ({"host": "h", "port": "5060"}, TypeError),
        ({"host": "h", "port": True}, TypeError),
        ({"host": "h", "user": ""}, SerializeError),
        ({"host": "h", "user": "a@b"}, SerializeError),
        ({"host": "h", "user": "a b"}, SerializeError),
        ({"host": "h", "user": "%"}, SerializeError),
        ({"host": "h", "user": "a\n"}, SerializeError),
        ({"host": "h", "user": "\u00e9"}, SerializeError),
        ({"host": "h", "user": "a>"}, SerializeError),
        ({"host": "h", "password": "p"}, SerializeError),
        ({"host": "h", "user": "u", "password": "p@"}, SerializeError),
        ({"host": "h", "scheme": "tel"}, SerializeError),
        ({"host": "h", "params": {"a": ""}}, SerializeError),
        ({"host": "h", "params": {"": "a"}}, SerializeError),
        ({"host": "h", "params": {"a": "\ud800"}}, SerializeError),
        ({"host": "h", "params": [("a", "1"), ("A", "2")]}, SerializeError),
        ({"host": "h", "params": "a=b"}, TypeError),
        ({"host": "h", "params": {"a": 1.5}}, TypeError),
        ({"host": "h", "headers": {"a": None}}, SerializeError),
    ],
)
def test_build_refused(arguments, error):
    with pytest.raises(error):
        SipUri(**arguments)


def test_a_text_that_has_no_utf8_is_none():
    """A surrogate that stands for no octet: no message has one, but `parse_uri` is given any str."""
    for text in (
        "sip:\ud800@h",
        "sip:\ud800%41@h",
        "sip:h;\ud800%41=1",
        "sip:h;x=\ud800",
        "sip:h?x=\ud800%41",
        "sip:a:\ud800@h",
    ):
        with pytest.raises(HeaderError):
            parse_uri(text)
    for text in ("tel:+1;\ud800%41=1", "urn:\ud800", "tel:+1@\ud800"):
        with pytest.raises(HeaderError):
            parse_uri(text)
    with pytest.raises(SerializeError):
        unescape_uri("\ud800%41")


def test_a_percent_is_as_odd_without_a_user():
    for text in ("sip:a@h;x=100%", "sip:h;x=100%", "sip:h?x=100%", "sips:h;100%=x"):
        assert str(parse_uri(text)) == text


def test_without_its_user_a_uri_has_the_same_host():
    """An @ in a parameter is odd, and read, for it is behind that of the user; without a user it would be that."""
    uri = SipUri.parse("sip:a@h;x=c@d;y?z=e@f")
    made = uri.replace(user=None)
    assert str(made) == "sip:h;x=c%40d;y?z=e%40f"
    assert parse_uri(str(made)) == made
    assert (made.params, made.headers) == (uri.params, uri.headers)
    assert str(uri.replace(user="b")) == "sip:b@h;x=c@d;y?z=e@f"


def test_a_host_in_angle_brackets_ends_the_uri():
    """Behind it the > of an address could be that of the host."""
    assert str(parse_uri("sip:5@<null>")) == "sip:5@<null>"
    for text in ("sip:5@<null>:5060", "sip:<null>;lr", "tel:+1@<null>;x=y"):
        with pytest.raises(HeaderError, match="host is not a host name or address"):
            parse_uri(text)


def test_replace():
    uri = SipUri.parse("sip:#a:pw@h:5;lr;x=y?a=b")
    assert str(uri.replace(port=None)) == "sip:#a:pw@h;lr;x=y?a=b"
    assert str(uri.replace(user=None, headers=None)) == "sip:h:5;lr;x=y"
    assert str(uri.replace(password="z", params=None)) == "sip:#a:z@h:5?a=b"
    assert str(uri.replace(user="u", password=None, host="i", scheme="sips")) == "sips:u@i:5;lr;x=y?a=b"
    with pytest.raises(SerializeError):
        uri.replace(port=70000)
    with pytest.raises(SerializeError):
        SipUri.parse("sip:h").replace(password="x")


def test_escape():
    assert escape_uri("a+b", "+") == "a+b"
    assert escape_uri("\udcff/\u00e9") == "%FF%2F%C3%A9"
    assert unescape_uri("%C3%a9%25%34") == "\u00e9%4"
    with pytest.raises(SerializeError):
        escape_uri("\ud800")


@given(st.text())
def test_any_text_can_be_a_user(text):
    try:
        user = escape_uri(text)
    except SerializeError:
        return
    if user:
        uri = SipUri.parse(str(SipUri("h", user=user, params={"x": text}, headers=[("s", text)])))
        decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        assert (uri.user_decoded, uri.params["x"], uri.headers) == (decoded, decoded, (("s", decoded),))


hosts = st.sampled_from(["example.com", "a.b-c.d9.", "192.0.2.1", "[2001:db8::1]", "_sip._udp.example.com", "h"])
params = st.dictionaries(st.text("abc%/ =;", min_size=1), st.none() | st.text("xyz%;? ", min_size=1), max_size=4)


@given(
    scheme=st.sampled_from(["sip", "sips"]),
    host=hosts,
    user=st.none() | st.text(USER_SAFE, min_size=1),
    password=st.none() | st.text("ab0-_.!~*'()&=+$,"),
    port=st.none() | st.integers(0, 65535),
    params=params,
    headers=st.lists(st.tuples(st.text("ab&=?", min_size=1), st.text("xy&=? "))),
)
def test_what_is_built_is_read(scheme, host, user, password, port, params, headers):
    if user is None:
        password = None
    arguments = {"scheme": scheme, "user": user, "password": password, "port": port}
    built = SipUri(host, params=params, headers=headers, **arguments)
    read = SipUri.parse(str(built))
    assert str(read) == str(built)
    assert read == built
    assert hash(read) == hash(built)
    assert {name: getattr(read, name) for name in arguments} == arguments
    assert dict(read.params) == params
    assert read.headers == tuple(headers)


def check_place(error, text):
    assert 0 <= error.offset <= len(text)


@given(st.text('sip:tel@[]%;?&=/.<>" \r\n\x00a0\u00e9\udcff', max_size=40).map(lambda text: "sip:" + text) | st.text())
def test_read_is_an_error_or_comes_back(text):
    try:
        uri = parse_uri(text)
    except HeaderError as error:
        check_place(error, text)
        return
    written = str(uri)
    assert parse_uri(written) == uri
    assert str(parse_uri(written)) == written
    assert not set(re.sub(r"<[\w.\-]*>\Z", "", written)) & set(' <>"\r\n\0')  # a host may be <null>


@pytest.mark.parametrize("text", ["a", "a.b", "a_b", "a--b", "1.2.3.4", "a.1b", "[::]", "[1:2:3:4:5:6:1.2.3.4]"])
def test_is_host(text):
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a-",
        "-a",
        "a.-b",
        "1.2.3.4.",
        "1.2.3.4.5",
        "1.2.3.4 ",
        "a\n",
        "[::1",
        "::1",
        "[]",
        "[::1]:5",
        "\u0661.1.1.1",
    ],
)
def test_is_no_host(text):
    assert not is_host(text)
