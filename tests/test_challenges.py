"""Challenges and credentials: a line for each (RFC 3261 7.3.1, RFC 8760), and what is in quotes (25.1, RFC 7616)."""

from functools import partial
from types import ModuleType
from typing import Any

import pytest
from agreement import outcome
from growth import assert_linear, fill

from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import AuthenticationInfo, Challenge, Credentials, parse_header

Both = tuple[ModuleType, ModuleType]
REQUEST = (
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
    b"To: <sip:a@h>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
)
SHA = Challenge("Digest", {"realm": "example.com", "nonce": "a1", "algorithm": "SHA-256", "qop": "auth"})
MD5 = Challenge("Digest", {"realm": "example.com", "nonce": "b2", "algorithm": "MD5", "qop": "auth"})
TEXTS = [str(SHA), str(MD5)]
APART = ["WWW-Authenticate", "Proxy-Authenticate", "Authorization", "Proxy-Authorization", "Identity"]


# --- writing: a line each


@pytest.mark.parametrize("name", [*APART, "www-AUTHENTICATE", "y"])
@pytest.mark.parametrize("values", [[SHA, MD5], (str(SHA), MD5)], ids=["list", "tuple"])
def test_several_values_of_a_reply_are_a_line_each(impl: ModuleType, name: str, values: Any):
    for headers in (
        {name: values, "Server": "x"},
        [(name, values), ("Server", "x")],
        ((name, values), ("Server", "x")),
    ):
        message = impl.parse(REQUEST).reply(401, headers=headers)
        assert message.get_headers(name) == TEXTS
        assert message.headers.items()[-4:-1] == [(name, TEXTS[0]), (name, TEXTS[1]), ("Server", "x")]
        assert impl.parse(bytes(message)).get_headers(name) == TEXTS


def test_in_every_builder_and_edit(impl: ModuleType):
    name, both = "Proxy-Authorization", [SHA, MD5]
    assert impl.Message.response(407, headers={name: both}).get_headers(name) == TEXTS
    message = impl.Message.request("BYE", "sip:h", headers=[(name, both), ("X", "1")])
    assert message.get_headers(name) == TEXTS

    message.set_header(name, ["a b", "c d", "e f"])
    assert message.headers.items() == [(name, "a b"), (name, "c d"), (name, "e f"), ("X", "1"), ("Content-Length", "0")]
    message.add_header(name, both)
    assert message.get_headers(name) == ["a b", "c d", "e f", *TEXTS]
    assert [item[0] for item in message.headers.items()][-2:] == [name, name]
    message.prepend_header(name, both)
    assert message.get_headers(name) == [*TEXTS, "a b", "c d", "e f", *TEXTS]
    message.set_header("X", ["1", "2"])
    message.set_header(name, [MD5])
    assert message.get_headers(name) == TEXTS[1:]
    assert message.headers.items()[:2] == [(name, TEXTS[1]), ("X", "1, 2")]

    message.headers[name] = both
    assert message.get_headers(name) == TEXTS
    message.headers.update({name: both[::-1]})
    assert message.get_headers(name) == TEXTS[::-1]
    message.headers.extend({name: both})
    message.headers.add(name, both)
    assert message.get_headers(name) == [*TEXTS[::-1], *TEXTS, *TEXTS]
    again = impl.parse(bytes(message))
    assert again.get_headers(name) == message.get_headers(name)


def test_other_headers_are_joined_as_before(impl: ModuleType):
    message = impl.parse(REQUEST)
    message.set_header("Allow", ["INVITE", "ACK"])
    info = [AuthenticationInfo({"nextnonce": "a"}), AuthenticationInfo({"qop": "auth"})]
    message.set_header("Authentication-Info", info)
    assert message.get_headers("Allow") == ["INVITE, ACK"]
    assert message.get_headers("Authentication-Info") == ['nextnonce="a", qop=auth']


EDITS = ["set_header", "add_header", "prepend_header"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([SHA, "a\r\nX: 1"], SerializeError),
        ([SHA, None], TypeError),
        ([SHA, [MD5]], TypeError),
        ([SHA, "\ud800"], SerializeError),
        ([], SerializeError),
        ((), SerializeError),
    ],
)
def test_all_lines_or_none(impl: ModuleType, values: Any, error: type[Exception]):
    message = impl.parse(REQUEST)
    message.add_header("Authorization", "Basic x")
    before = bytes(message)
    for edit in EDITS:
        with pytest.raises(error):
            getattr(message, edit)("Authorization", values)
    with pytest.raises(error):
        message.headers.update({"Authorization": values})
    with pytest.raises(error):
        message.headers.extend({"Subject": "x", "Authorization": values})
    for build in (message.reply, impl.Message.response):
        with pytest.raises(error):
            build(401, headers={"Authorization": values})
    assert bytes(message) == before


def test_an_empty_one_says_what_to_do(impl: ModuleType):
    with pytest.raises(SerializeError, match="Authorization has no value; remove_header removes it"):
        impl.parse(REQUEST).set_header("Authorization", [])


def test_a_value_that_edits_the_message_while_it_is_written(impl: ModuleType):
    """str() of a value may do anything: the lines are all there, and the message is whole."""

    class Meddling(Challenge):
        __slots__ = ()

        def __str__(self) -> str:
            message.remove_header("Authorization")
            message.add_header("X", "y" * 5000)
            return super().__str__()

    message = impl.parse(REQUEST)
    value = Meddling("Digest", {"realm": "a"})
    for edit in EDITS:
        getattr(message, edit)("Authorization", [value, SHA, value])
        lines = ['Digest realm="a"', str(SHA), 'Digest realm="a"']
        assert message.get_headers("Authorization") == lines
        assert impl.parse(bytes(message)).get_headers("Authorization") == lines


def test_the_implementations_agree(both: Both):
    for values in ([SHA, MD5], (MD5,), ["a", "b", "c"], [], [1, 2], [None], ["\udcff"]):
        for edit in EDITS:
            results = []
            for one in both:
                message = one.parse(REQUEST)
                for name in ("Authorization", "y", "Subject", "no token", "Autho\u0440ization", None):
                    try:
                        getattr(message, edit)(name, values)
                    except (SerializeError, TypeError) as error:
                        results.append((type(error), str(error)))
                results.append(bytes(message))
            assert results[: len(results) // 2] == results[len(results) // 2 :]


# --- reading: one, several on a line, and what is quoted otherwise


def test_one_is_a_tuple_of_one():
    assert parse_header("WWW-Authenticate", str(SHA)) == (SHA,)
    assert parse_header("Authorization", "Basic dXNlcjpwYXNz") == (Credentials.parse("Basic dXNlcjpwYXNz"),)


def test_several_on_a_line():
    """7.3.1 forbids it; some servers send it, as HTTP's do (RFC 9110 11.6.1)."""
    assert parse_header("WWW-Authenticate", ", ".join(TEXTS)) == (SHA, MD5)
    line = 'Digest realm="a, Basic x", nonce = "b" , Basic realm="c",Negotiate YWJj==, Digest nonce=d,,stale=true,'
    with pytest.raises(HeaderError):
        parse_header("Proxy-Authenticate", line)
    one, two, three, four = parse_header("Proxy-Authenticate", line.replace(",,", ","))
    assert (one.params, two.params) == ({"realm": "a, Basic x", "nonce": "b"}, {"realm": "c"})
    assert (three.token68, four.params) == ("YWJj==", {"nonce": "d", "stale": "true"})


def test_an_error_says_where_on_the_line():
    line = 'Digest realm="a", Digest realm="b", x y'
    assert len(parse_header("WWW-Authenticate", line)) == 3
    with pytest.raises(HeaderError) as caught:
        parse_header("WWW-Authenticate", 'Digest realm="a", Digest realm="b" c')
    assert (caught.value.header, caught.value.offset) == ("WWW-Authenticate", 35)


def test_every_challenge_of_a_message(impl: ModuleType):
    message = impl.parse(REQUEST)
    message.set_header("WWW-Authenticate", [SHA, MD5])
    message.add_header("WWW-Authenticate", ", ".join(TEXTS))
    assert message.get_values("WWW-Authenticate") == (SHA, MD5, SHA, MD5)


@pytest.mark.parametrize(
    "text",
    [
        # an unquoted qop and nonce, quoted algorithm and stale (old Cisco, Sipura, Broadsoft shapes)
        'Digest realm="asterisk",nonce="1d4f",algorithm="MD5",stale="FALSE",qop=auth',
        "Digest realm=asterisk, nonce=5a8b1c, qop=auth-int",
        'Digest  realm = "ims.mnc001.mcc001.3gppnetwork.org" ,nonce="aGk/+w==",algorithm=AKAv1-MD5,qop="auth,auth-int"',
        'Digest realm="sip.example.com", nonce="", opaque="",',
        'Digest username="1001",realm="asterisk",nonce="1",uri="sip:h",response="0",qop="auth",nc="00000001"',
        'Digest username="a", uri=sip:pbx.example.com:5060, response=00ff, nc=1',
        "Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=\"api\", userhash=false",
    ],
)
def test_what_servers_and_phones_send(text: str):
    for name in ("WWW-Authenticate", "Authorization"):
        (value,) = parse_header(name, text)
        assert parse_header(name, str(value)) == (value,)
        assert value.params["realm" if "realm" in text else "username"] is not None


# --- writing: what stands in quotes


def test_a_challenge():
    params = {
        "realm": "r", "domain": "sip:h", "nonce": "n", "opaque": "o", "stale": "true", "algorithm": "SHA-256",
        "qop": "auth", "userhash": "true", "charset": "UTF-8", "ck": "00ff", "ik": "ff00", "other": "x",
    }  # fmt: skip
    assert str(Challenge("Digest", params)) == (
        'Digest realm="r", domain="sip:h", nonce="n", opaque="o", stale=true, algorithm=SHA-256, qop="auth", '
        'userhash=true, charset=UTF-8, ck="00ff", ik="ff00", other=x'
    )
    assert str(Challenge("Bearer", {"realm": "r", "scope": "s", "authz_server": "a", "error": "invalid_token"})) == (
        'Bearer realm="r", scope="s", authz_server="a", error="invalid_token"'
    )


def test_credentials():
    params = {
        "username": "u", "realm": "r", "nonce": "n", "uri": "sip:h", "response": "00", "algorithm": "MD5",
        "cnonce": "c", "opaque": "o", "qop": "auth", "nc": "0000000a", "auts": "x", "userhash": "false",
        "integrity-protected": "yes",
    }  # fmt: skip
    assert str(Credentials("Digest", params)) == (
        'Digest username="u", realm="r", nonce="n", uri="sip:h", response="00", algorithm=MD5, cnonce="c", '
        'opaque="o", qop=auth, nc=0000000a, auts="x", userhash=false, integrity-protected="yes"'
    )


def test_authentication_info():
    params = {"nextnonce": "n", "qop": "auth", "rspauth": "6629", "cnonce": "c", "nc": "00000001", "x": "y"}
    text = 'nextnonce="n", qop=auth, rspauth="6629", cnonce="c", nc=00000001, x=y'
    assert str(AuthenticationInfo(params)) == text
    assert AuthenticationInfo.parse(text) == AuthenticationInfo(params)
    for quoted_otherwise in ('nextnonce=n,qop="auth",nc="00000001",', "rspauth=6629"):
        assert AuthenticationInfo.parse(quoted_otherwise).params


@pytest.mark.parametrize("build", [AuthenticationInfo, lambda params: Credentials("Digest", params)])
@pytest.mark.parametrize("params", [{"nc": "1"}, {"nc": 1}, {"nc": "0000000A"}, {"qop": "auth int"}, {"qop": ""}])
def test_what_cannot_be_written(build: Any, params: dict[str, Any]):
    with pytest.raises(SerializeError):
        build(params)


@pytest.mark.parametrize("name", ["algorithm", "stale", "userhash", "charset"])
def test_a_token_is_one(name: str):
    with pytest.raises(SerializeError, match=f"{name} is not a token"):
        Challenge("Digest", {name: "a b"})


@pytest.mark.parametrize(
    "unit", [",", ", ", ",a ", ",a a=b", "a b,", ",a=b", '"', ',"', '",', " ,", ";", '\\"', "=", ",=", "a", " ", "a "]
)
@pytest.mark.parametrize("start", ["", "Digest a=b", 'Digest a="'])
def test_cost_is_linear(unit: str, start: str):
    assert_linear(lambda size: partial(outcome, parse_header, "WWW-Authenticate", start + fill(unit, size)))
