"""Headers of RFC 3261's neighbours as devices and networks send them, and every value of a header in one call."""

import re
from functools import partial
from types import ModuleType
from typing import Any

import agreement
import pytest
from growth import assert_linear, fill

from sipstack import parse
from sipstack.cli import _parse
from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import _FAMILIES as FAMILIES
from sipstack.headers import (
    HeaderValue,
    Identity,
    Params,
    Product,
    Products,
    SessionId,
    TargetDialog,
    TextValue,
    TokenValue,
    UriValue,
    parse_header,
    parse_list,
)
from sipstack.uri import AbsoluteUri, SipUri

Both = tuple[ModuleType, ModuleType]
START = b"INVITE sip:bob@example.com SIP/2.0\r\n"
UUID, OTHER = "ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"


def written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# --- URIs in <> with parameters: Alert-Info, Call-Info, Error-Info, Geolocation


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Alert-Info", "<http://127.0.0.1/Bellcore-dr2>", [("http://127.0.0.1/Bellcore-dr2", {})]),
        (
            "Alert-Info",
            "<http://www.notused.com>;info=alert-autoanswer;delay=0",
            [("http://www.notused.com", {"info": "alert-autoanswer", "delay": "0"})],
        ),
        ("Alert-Info", "<urn:alert:service:call-waiting>", [("urn:alert:service:call-waiting", {})]),
        ("Alert-Info", "<Bellcore-dr3>", [("Bellcore-dr3", {})]),
        ("Alert-Info", "Bellcore-dr3", [("Bellcore-dr3", {})]),
        ("Alert-Info", "Ring Answer", [("Ring Answer", {})]),
        ("Alert-Info", "info=alert-autoanswer", [("info=alert-autoanswer", {})]),
        ("Alert-Info", " ;info=alert-autoanswer", [("", {"info": "alert-autoanswer"})]),
        ("Alert-Info", "http://ring.example.com/1;info=x", [("http://ring.example.com/1", {"info": "x"})]),
        ("Alert-Info", "<file://ring 1.wav>", [("file://ring 1.wav", {})]),
        (
            "Call-Info",
            '<http://www.example.com/a,b/photo.jpg> ;purpose=icon, <http://www.example.com/alice/>;purpose="info"',
            [
                ("http://www.example.com/a,b/photo.jpg", {"purpose": "icon"}),
                ("http://www.example.com/alice/", {"purpose": "info"}),
            ],
        ),
        ("Call-Info", "<sip:10.1.1.1>;answer-after=0", [("sip:10.1.1.1", {"answer-after": "0"})]),
        (
            "Call-Info",
            '<sip:10.1.1.1:5060>;method="NOTIFY;Event=telephone-event;Duration=2000"',
            [("sip:10.1.1.1:5060", {"method": "NOTIFY;Event=telephone-event;Duration=2000"})],
        ),
        (
            "Call-Info",
            "<urn:x-cisco-remotecc:callinfo>; security= NotAuthenticated; orientation= to; gci= 1-23; isVoip",
            [
                (
                    "urn:x-cisco-remotecc:callinfo",
                    {"security": "NotAuthenticated", "orientation": "to", "gci": "1-23", "isVoip": None},
                )
            ],
        ),
        (
            "Error-Info",
            "<sip:not-in-service-recording@atlanta.com>",
            [("sip:not-in-service-recording@atlanta.com", {})],
        ),
        (
            "Geolocation",
            "<cid:target123@atlanta.example.com>, <https://lis.example.com/a?b>;inserted-by=x,",
            [("cid:target123@atlanta.example.com", {}), ("https://lis.example.com/a?b", {"inserted-by": "x"})],
        ),
    ],
)
def test_uris(name: str, text: str, expected: list[tuple[str, dict[str, Any]]]):
    values = parse_header(name, text)
    assert [(str(value.uri), dict(value.params)) for value in values] == expected
    assert parse_header(name, written(values)) == values
    assert all(type(value) is UriValue for value in values)


def test_a_uri_is_one_where_it_can_be():
    assert UriValue.parse("<sip:a@b;c?d=e>;f").uri == SipUri("b", user="a", params={"c": None}, headers={"d": "e"})
    assert UriValue.parse("<urn:alert:x>").uri == AbsoluteUri("urn", "alert:x")
    assert UriValue.parse("<SIP:H>") == UriValue.parse("sip:h")
    assert UriValue.parse("x") != UriValue.parse("y")
    assert str(UriValue.parse("urn:x;y")) == "<urn:x>;y"  # written as the RFC has it
    assert str(UriValue.parse("Ring Answer; x")) == "Ring Answer;x"
    assert str(UriValue("sip:a@b;c", params={"d": "e f"})) == '<sip:a@b;c>;d="e f"'
    assert UriValue(SipUri("h")) == UriValue("sip:h")


@pytest.mark.parametrize("text", ["", "<>", "<a", "a>", "<a> b", '"a" <urn:b>', "<a<b>>", "\x00", "a\n"])
def test_uris_refused(text: str):
    with pytest.raises(HeaderError) as caught:
        UriValue.parse(text)
    assert 0 <= caught.value.offset <= len(text)


@pytest.mark.parametrize(
    ("uri", "error"), [("Bellcore-dr2", SerializeError), ("a b:c", SerializeError), (None, TypeError)]
)
def test_uris_not_written(uri: Any, error: type[Exception]):
    with pytest.raises(error):
        UriValue(uri)
    with pytest.raises(error):
        Identity("a.b.c", uri)


# --- Server and User-Agent


@pytest.mark.parametrize(
    ("text", "products", "comments"),
    [
        ("Softphone Beta1.5", [("Softphone", None), ("Beta1.5", None)], []),
        ("Asterisk PBX 18.9.0", [("Asterisk", None), ("PBX", None), ("18.9.0", None)], []),
        ("FPBX-15.0.16.81(16.9.0)", [("FPBX-15.0.16.81", None)], ["16.9.0"]),
        ("Cisco-SIPGateway/IOS-15.4.3.M", [("Cisco-SIPGateway", "IOS-15.4.3.M")], []),
        ("PolycomVVX-VVX_410-UA/5.9.0.9373", [("PolycomVVX-VVX_410-UA", "5.9.0.9373")], []),
        ("kamailio (5.5.2 (x86_64/linux))", [("kamailio", None)], ["5.5.2 (x86_64/linux)"]),
        ("Linphone / 3.9.1 (belle-sip/1.4.2)\t", [("Linphone", "3.9.1")], ["belle-sip/1.4.2"]),
        ("snom/821/8.7.3", [("snom", "821/8.7.3")], []),
        ("(a) b (c \\) d)e", [("b", None), ("e", None)], ["a", "c ) d"]),
        ("Z 5.4 (never closed", [("Z", None), ("5.4", None)], ["never closed"]),
        (
            'Yealink, Inc. \u00e9;x="y" ) / z',
            [("Yealink,", None), ("Inc.", None), ('\u00e9;x="y"', None), (")", "z")],
            [],
        ),
        ("/ /", [], []),
        ("", [], []),
    ],
)
def test_products(text: str, products: list[Any], comments: list[str]):
    for name in ("Server", "User-Agent"):
        value = parse_header(name, text)
        assert (list(value.products), list(value.comments), str(value)) == (products, comments, text.strip())
        assert Products.parse(str(value)) == value


def test_products_built():
    value = Products([("sipstack", "0.1"), Product("x")], comments=["a (b)", "c\\"])
    assert str(value) == "sipstack/0.1 x (a \\(b\\)) (c\\\\)"
    assert Products.parse(str(value)) == value
    assert value.products[0].version == "0.1"
    for products, comments in (([("a b", None)], []), ([("a", "")], []), ([("a", "1")], ["\r\n"])):
        with pytest.raises(SerializeError):
            Products(products, comments=comments)
    with pytest.raises(HeaderError):
        Products.parse("a\x00b")


# --- Identity


def test_identity_of_a_shaken_call():
    token = "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiJ9.eyJhdHRlc3QiOiJBIn0.c2lnbmF0dXJl_-8"
    text = f'{token};info=<https://cr.example.org/a;b,c.pem>;alg=ES256;ppt="shaken"'
    (value,) = parse_header("y", text)
    assert (value.token, str(value.info), value.alg, value.ppt) == (
        token,
        "https://cr.example.org/a;b,c.pem",
        "ES256",
        "shaken",
    )
    assert dict(value.params) == {"alg": "ES256", "ppt": "shaken"}
    assert str(value) == text
    assert str(Identity(token, value.info, alg="ES256", ppt="shaken")) == text.replace('"', "")


@pytest.mark.parametrize(
    ("text", "info", "params"),
    [
        ("..c2ln;info=<cid:a>", "cid:a", {}),
        ("a.b.c ; alg=ES256 ; INFO = <https://x> ; ppt=div", "https://x", {"alg": "ES256", "ppt": "div"}),
        ('a.b.c;x=";info=<y>;z";info=<https://x>', "https://x", {"x": ";info=<y>;z"}),
        ("a.b.c;alg=ES256", None, {"alg": "ES256"}),
        ('a.b.c;info="https://x"', None, {"info": "https://x"}),
        ("a.b.c;info=<no uri>;infox=1", "no uri", {"infox": "1"}),
    ],
)
def test_identities(text: str, info: str | None, params: dict[str, str]):
    value = Identity.parse(text)
    assert (value.info if value.info is None else str(value.info), dict(value.params)) == (info, params)
    assert Identity.parse(str(value)) == value
    assert parse_header("Identity", f"{text}, {text},") == (value, value)


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("", "value does not start with a signed token", 0),
        (";info=<a>", "value does not start with a signed token", 0),
        ("a;info=<b>;info=<c>", "parameter value is empty or holds an illegal character", 16),
        ("a;info=<b>;info=c", "parameter info twice", 1),
        ("a;alg=x;info=<b>;alg=y", "parameter alg twice", 17),
        ("a;x=/ /;info=<b>", "parameter holds an illegal character", 6),
        ("a;info=<b", "parameter value is empty or holds an illegal character", 7),
        ("a;info=<b>c", "parameter value is empty or holds an illegal character", 7),
    ],
)
def test_identities_refused(text: str, reason: str, offset: int):
    with pytest.raises(HeaderError) as caught:
        Identity.parse(text)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize("arguments", [{"token": "a b"}, {"token": ""}, {"alg": "a b"}, {"params": {"Info": "x"}}])
def test_identities_not_written(arguments: dict[str, Any]):
    with pytest.raises(SerializeError):
        Identity(**{"token": "a.b.c", "info": "https://x", **arguments})


# --- dialogs and sessions


def test_session_id():
    value = parse_header("Session-ID", f"{UUID.upper()} ; remote={OTHER}")
    assert (value.local, value.remote, value.value) == (UUID, OTHER, UUID.upper())
    assert value == SessionId(UUID, remote=OTHER)
    assert str(SessionId(UUID, remote=OTHER)) == f"{UUID};remote={OTHER}"
    assert SessionId.parse(UUID).remote is None
    for arguments in ({"local": UUID[1:]}, {"local": UUID.upper()}, {"local": UUID, "remote": "x"}):
        with pytest.raises(SerializeError):
            SessionId(**arguments)
    for text in ("", "a b", f"a;remote={UUID};remote={OTHER}"):
        with pytest.raises(HeaderError):
            SessionId.parse(text)
    assert SessionId.parse("a;remote").remote is None
    assert SessionId.parse(f'a;remote="{OTHER}"').remote == OTHER


def test_target_dialog():
    text = "fa77as7dad8-sd98ajzz@host.example.com;local-tag=kkaz-;remote-tag=6544"
    value = parse_header("Target-Dialog", text)
    assert (value.call_id, value.local_tag, value.remote_tag) == (
        "fa77as7dad8-sd98ajzz@host.example.com",
        "kkaz-",
        "6544",
    )
    assert TargetDialog(value.call_id, local_tag="kkaz-", remote_tag="6544") == value
    assert str(value) == text
    assert TargetDialog.parse("a").local_tag is None
    assert TargetDialog.parse("a;local-tag").local_tag is None
    for bad in ("", "a b", "a;local-tag=1;local-tag=2", ";local-tag=1"):
        with pytest.raises(HeaderError):
            TargetDialog.parse(bad)
    for arguments in ({"call_id": "a;b"}, {"call_id": "a", "local_tag": "b c"}):
        with pytest.raises(SerializeError):
            TargetDialog(**arguments)


# --- a token or a text with parameters, parameters alone, lists of tokens


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "User-to-User",
            "56a390f3d2b7310023a2;encoding=hex;purpose=isdn-uui",
            [("56a390f3d2b7310023a2", {"encoding": "hex", "purpose": "isdn-uui"})],
        ),
        (
            "User-to-User",
            '"text; with, all" ;content=x , 04AA==;encoding=base64',
            [("text; with, all", {"content": "x"}), ("04AA==", {"encoding": "base64"})],
        ),
        (
            "P-Visited-Network-ID",
            '"Visited \\"network\\" 1", other.net',
            [('Visited "network" 1', {}), ("other.net", {})],
        ),
        ("Info-Package", "g.3gpp.mcptt-info;x=y", [("g.3gpp.mcptt-info", {"x": "y"})]),
        ("Recv-Info", "conference, foo;bar=1", [("conference", {}), ("foo", {"bar": "1"})]),
        ("Recv-Info", "", []),
        (
            "Feature-Caps",
            '*;+g.3gpp.srvcc;+g.3gpp.atcf="<tel:+1>,x"',
            [("*", {"+g.3gpp.srvcc": None, "+g.3gpp.atcf": "<tel:+1>,x"})],
        ),
        (
            "a",
            '*;+g.3gpp.icsi-ref="urn%3Aurn-7";require, *;audio',
            [("*", {"+g.3gpp.icsi-ref": "urn%3Aurn-7", "require": None}), ("*", {"audio": None})],
        ),
        ("Reject-Contact", '*;actor="msg-taker";video', [("*", {"actor": "msg-taker", "video": None})]),
        (
            "Security-Client",
            "ipsec-3gpp; alg=hmac-sha-1-96; q=0.1; spi-c=9087; port-s=5063,tls",
            [("ipsec-3gpp", {"alg": "hmac-sha-1-96", "q": "0.1", "spi-c": "9087", "port-s": "5063"}), ("tls", {})],
        ),
        ("Security-Server", "digest;d-qop=auth", [("digest", {"d-qop": "auth"})]),
        ("Security-Verify", 'tls;q=0.2;d-ver="00a084"', [("tls", {"q": "0.2", "d-ver": "00a084"})]),
        (
            "P-Access-Network-Info",
            "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=234151D0FCE11, IEEE-802.11;i-wlan-node-id=00:11:22;np",
            [
                ("3GPP-E-UTRAN-FDD", {"utran-cell-id-3gpp": "234151D0FCE11"}),
                ("IEEE-802.11", {"i-wlan-node-id": "00:11:22", "np": None}),
            ],
        ),
    ],
)
def test_tokens_and_texts(name: str, text: str, expected: list[Any]):
    values = parse_header(name, text)
    if isinstance(values, HeaderValue):
        values = (values,)
    assert [(value.value, dict(value.params)) for value in values] == expected
    assert {type(value) for value in values} <= {TokenValue, TextValue}
    assert parse_header(name, written(values)) == (values if name != "Info-Package" else values[0])


def test_a_text_is_quoted_where_it_must_be():
    assert [str(TextValue(text)) for text in ("a.b", "a b", "", 'a"', "a/b")] == [
        "a.b",
        '"a b"',
        '""',
        '"a\\""',
        '"a/b"',
    ]
    assert TextValue.parse('"a"') == TextValue.parse("a") != TextValue.parse("A")
    for bad in ("", ";a=b", '"a', "a b", '"a"b', "\u00e9"):
        with pytest.raises(HeaderError):
            TextValue.parse(bad)
    with pytest.raises(SerializeError):
        TextValue("\r\n")


def test_a_charging_vector_is_parameters():
    text = 'icid-value="PCSF:1-cfed;0";icid-generated-at=192.0.6.8; orig-ioi=home1.net;access-network-charging-info'
    value = parse_header("P-Charging-Vector", text)
    assert type(value) is Params
    assert (value["ICID-Value"], value["orig-ioi"], list(value)[-1]) == (
        "PCSF:1-cfed;0",
        "home1.net",
        "access-network-charging-info",
    )
    assert Params.parse(str(value)) == value
    with pytest.raises(HeaderError, match="P-Charging-Vector"):
        parse_header("P-Charging-Vector", "icid value=1")


def test_request_disposition():
    assert parse_header("d", "proxy, recurse ,parallel") == ("proxy", "recurse", "parallel")


# --- what an attacker sends


FAMILY = {"_infos", "_products", "_identity", "_preferences", "_ims"}
NEW = [name for family in FAMILIES if family.__name__.rpartition(".")[2] in FAMILY for name in family.READERS]
NEW += ["Info-Package", "Recv-Info", "Target-Dialog", "Session-ID"]
PREFIXES = ["", "a.b;c=d", "<urn:a>;b=", 'a;x="', "a (", "a;info=<b>"]
UNITS = [
    ",",
    '"',
    ";",
    "\\",
    "(",
    ")",
    "<",
    ">",
    " ",
    "=",
    "/",
    ";info=<",
    ";info=",
    '";',
    "a;",
    ",<a>",
    "( ",
    ';x="a"',
    "/ ",
]


def test_the_new_headers_are_all_here():
    assert len(NEW) == len(set(NEW)) == 22


@pytest.mark.parametrize(
    "name",
    ["Alert-Info", "User-to-User", "User-Agent", "Identity", "Accept-Contact", "P-Charging-Vector", "Target-Dialog"],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_cost_is_linear(name: str, prefix: str):
    for unit in UNITS:
        assert_linear(lambda size, unit=unit: partial(agreement.outcome, parse_header, name, prefix + fill(unit, size)))


@pytest.mark.parametrize("name", NEW)
def test_sixty_kilobytes_are_read_alike(both: Both, name: str):
    for unit in UNITS:
        value = (unit * (60_000 // len(unit))).encode()
        compiled, simple = (one.parse(START + f"{name}: a".encode() + value + b"\r\n\r\n") for one in both)
        read = [agreement.plain(agreement.outcome(message.get_values, name)) for message in (compiled, simple)]
        agreement.assert_same(*read, unit)
        found = [[tuple(one) for one in message.validate()] for message in (compiled, simple)]
        agreement.assert_same(*found, unit)


# --- every value of a header


def message_of(impl: ModuleType, *lines: str) -> Any:
    return impl.parse(START + "\r\n".join([*lines, "", ""]).encode())


def test_every_value_over_all_lines(impl: ModuleType):
    message = message_of(impl, "Supported: 100rel, timer", "X-Y: 1", "k: path,", "SUPPORTED:", "Supported: a,\r\n b")
    assert message.get_values("Supported") == message.get_values("K") == ("100rel", "timer", "path", "a", "b")
    message.add_header("Supported", ["c", "d"])
    assert message.get_values("supported")[-2:] == ("c", "d")
    message.remove_header("Supported")
    assert message.get_values("Supported") == ()


def test_a_header_with_one_value_gives_one_for_a_line(impl: ModuleType):
    message = message_of(
        impl, "Expires: 60", "Expires: 61", "Event: dialog;id=7", "Subject: a, b", "X-Y: c, d ", "x-y: e"
    )
    assert message.get_values("Expires") == (60, 61)
    assert [str(value) for value in message.get_values("o")] == ["dialog;id=7"]
    assert message.get_values("Subject") == ("a, b",)
    assert message.get_values("X-Y") == ("c, d", "e")
    assert message.get_values("Date") == message.get_values("no token \u212a") == ()


def test_it_gives_what_the_attributes_give(impl: ModuleType):
    message = message_of(
        impl,
        "Via: SIP/2.0/UDP a;branch=1, SIP / 2.0 / TCP b",
        "Route: <sip:p1;lr>,<sip:p2>;x=y",
        "v: SIP/2.0/UDP c",
        "Route: <sip:p3;lr>",
        'm: <sip:a@b>;q=0.5, "a, b" <sip:c@d>',
        "Record-Route: <sip:p1;lr>",
        "From: <sip:a@b>;tag=1",
        "CSeq: 1 INVITE",
        "Call-ID: x",
    )
    for name, attribute in {
        "Via": "vias",
        "Route": "routes",
        "Contact": "contacts",
        "Record-Route": "record_routes",
    }.items():
        assert message.get_values(name) == getattr(message, attribute) != ()
    assert message.get_values("From") == (message.from_,)
    assert message.get_values("CSeq") == (message.cseq,)
    assert message.get_values("i") == (message.call_id,)
    assert message_of(impl, "Contact: *").get_values("m") == message_of(impl, "Contact: *").contacts


def test_a_malformed_line_names_its_header(impl: ModuleType):
    message = message_of(impl, "Contact: <sip:a@b>", "m: <sip:c@d>, <sip:e")
    with pytest.raises(HeaderError) as caught:
        message.get_values("m")
    assert (caught.value.header, caught.value.reason, caught.value.offset) == ("Contact", "< is not closed", 11)
    with pytest.raises(HeaderError) as other:
        _ = message.contacts
    assert other.value.args == caught.value.args
    with pytest.raises(TypeError):
        message.get_values(None)


def test_it_reads_what_was_written(impl: ModuleType):
    values = parse_list(UriValue, "<urn:a>;b=c,<urn:d>")
    message = message_of(impl)
    message.set_header("Call-Info", values)
    message.set_header("Server", Products([("a", "1")]))
    assert message.get_values("Call-Info") == values
    assert message.get_values("Server") == (Products([("a", "1")]),)
    assert re.search(rb"\r\nServer: a/1\r\n", bytes(message))


def test_the_command_line_shows_their_parts():
    lines = ["User-Agent: Linphone/3.9 x (a, b)", "P-Charging-Vector: icid-value=1", "Call-Info: <urn:x>;purpose=icon"]
    message = parse(START + "\r\n".join([*lines, "", ""]).encode())
    shown = [line.strip() for line in _parse._describe(message, 0)]
    assert 'Products products="Linphone/3.9, x" comments="a, b"' in shown
    assert "Params icid-value=1" in shown
    assert "UriValue params=purpose=icon" in shown
