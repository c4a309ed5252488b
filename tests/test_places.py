"""Where a URI stands, and its form there: a header's value, a request line, a registrar's table (RFC 3261 19.1.1).

Whatever touches a message runs on both implementations.
"""

from types import ModuleType
from typing import Any

import pytest
from agreement import REQUEST, Text, outcome, plain

from sipstack import AbsoluteUri, HeaderError, NameAddr, SerializeError, SipUri, TelUri, parse_header, parse_uri
from sipstack.headers import has_structure
from sipstack.methods import HEADER_NAMES

URI = SipUri("192.0.2.1", user="a", params={"transport": "tcp"}, headers={"Subject": "x"})
WRITTEN = "<sip:a@192.0.2.1;transport=tcp?Subject=x>"

ADDRESSES = (
    "From", "To", "Contact", "Route", "Record-Route", "Path", "Service-Route", "Refer-To", "Referred-By", "Reply-To",
    "P-Asserted-Identity", "P-Preferred-Identity", "P-Associated-URI", "P-Called-Party-ID", "P-Served-User",
    "Remote-Party-ID", "Diversion", "History-Info",
)  # fmt: skip
"""Headers of addresses."""
IN_ANGLES = (
    "Alert-Info", "Call-Info", "Error-Info", "Geolocation", "Identity-Info", "P-Charge-Info", "P-DCS-Trace-Party-ID",
    "P-Profile-Key", "P-Refused-URI-List", "P-User-Database", "Permission-Missing", "Policy-Contact",
    "Refer-Events-At", "Trigger-Consent", "Additional-Identity",
)  # fmt: skip
"""Headers of another kind whose grammar has a URI in <>."""


@pytest.fixture
def message(impl: ModuleType) -> Any:
    return impl.parse(REQUEST)


# --- a URI as a header's value (RFC 3261 20, 20.10)


@pytest.mark.parametrize("name", [*ADDRESSES, *IN_ANGLES, "m", "T", "rOuTe", Text("Contact")])
def test_a_uri_as_a_headers_value_stands_in_angle_brackets(message: Any, name: str):
    for uri, written in ((URI, WRITTEN), (TelUri("+1", params={"ext": "2"}), "<tel:+1;ext=2>"),
                         (AbsoluteUri("urn", "a;b"), "<urn:a;b>")):  # fmt: skip
        message.set_header(name, uri)
        assert message.get_headers(name) == [written]
        message.add_header(name, [uri, "<sip:x>", NameAddr(uri, params={"y": None})])
        assert message.get_headers(name)[1] == f"{written}, <sip:x>, {written};y"
        message.prepend_header(name, uri)
        assert message.get_header(name) == written
        message.remove_header(name)
        message.headers[name] = (uri,)
        message.headers.add(name, uri)
        message.headers.extend([(name, uri)])
        assert message.get_headers(name) == [written] * 3
        message.headers.update({name: uri})
        assert message.get_headers(name) == [written]
        if has_structure(name):
            read = parse_header(name, written)
            address = read[0] if isinstance(read, tuple) else read
            assert (address.uri, str(address.params)) == (uri, "")


def test_a_uri_as_a_headers_value_in_what_is_built(impl: ModuleType, message: Any):
    headers = {"Contact": URI, "Record-Route": [URI, URI]}
    for made in (
        impl.Message.request("OPTIONS", "sip:h", headers=headers),
        impl.Message.request("OPTIONS", "sip:h", headers=list(headers.items())),
        impl.Message.response(302, headers=headers),
        message.reply(302, headers=headers),
    ):
        assert made.get_header("Contact") == WRITTEN
        assert made.get_header("Record-Route") == f"{WRITTEN}, {WRITTEN}"
        assert made.contacts == (NameAddr(URI),)
        assert str(made.contacts[0].params) == ""


def test_a_route_that_is_pushed_is_loose(message: Any):
    message.push_record_route(SipUri("p1", params={"lr": None}))
    assert message.get_header("Record-Route") == "<sip:p1;lr>"
    assert message.record_routes[0].uri.lr
    message.prepend_header("Route", SipUri("p2", params={"lr": None}))
    assert message.routes[0].uri.lr
    assert message.pop_route() == "<sip:p2;lr>"


@pytest.mark.parametrize("name", ["X-Original-To", "Subject", "P-Asserted-Service", "P-Preferred-Service"])
def test_a_uri_in_any_other_header_is_its_text(message: Any, name: str):
    """Nothing says that <> belong there, and who reads it wants what str() gives."""
    message.set_header(name, URI)
    assert message.get_header(name) == str(URI)


def test_text_stays_as_it_is_given(message: Any):
    for text in ("sip:a@192.0.2.1;transport=tcp", "<sip:a@b>;x", Text("sip:a@b;lr")):
        message.set_header("Contact", text)
        message.add_header("Route", [text])
        assert message.get_header("Contact") == message.get_headers("Route")[-1] == str(text)


def test_every_header_of_addresses_is_known_as_one():
    assert {name for name in HEADER_NAMES if has_structure(name) and _reads_an_address(name)} == set(ADDRESSES)


def _reads_an_address(name: str) -> bool:
    try:
        value = parse_header(name, "<sip:a@b;x=y>;z")
    except HeaderError:
        return False
    return isinstance(value[0] if isinstance(value, tuple) else value, NameAddr)


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("text", ["sip:a@b;tag=1", "tel:+1;isub=2", "<sip:a@b;x>;tag=1", "A <sip:a@b>", "sip:a@b"])
def test_an_address_that_was_read_is_written_so_that_it_reads_back_the_same(message: Any, name: str, text: str):
    """Read in one header and written into another: also where a bare URI takes the parameters that follow it."""
    message.set_header("To", text)
    address = message.to
    message.set_header(name, address)
    read = parse_header(name, message.get_header(name))
    again = read[0] if isinstance(read, tuple) else read
    assert plain(again) == plain(address)
    assert again.uri.params == address.uri.params


# --- a bare URI in a header of hops (RFC 3261 20.30, 20.34, RFC 3327, RFC 3608)


@pytest.mark.parametrize("name", ["Route", "Record-Route", "Path", "Service-Route"])
def test_the_parameters_of_a_bare_uri_in_a_header_of_hops_are_the_uris(name: str):
    one, two, three = parse_header(name, " sip:p1.example.com;lr , <sip:p2>;lr,sips:p3:5;Transport=tcp;LR=on ")
    assert (str(one), one.uri.lr, str(one.params)) == ("<sip:p1.example.com;lr>", True, "")
    assert (str(two), two.uri.lr, str(two.params)) == ("<sip:p2>;lr", False, "lr")
    assert (str(three), three.uri.lr, three.uri.transport) == ("<sips:p3:5;Transport=tcp;LR=on>", True, "tcp")


def test_a_bare_route_of_a_message(impl: ModuleType):
    """Also where it is the first of its line, which the compiled core reads by itself."""
    routes = b"\r\nRoute: sip:p1;lr\r\nRoute: <sip:p2;lr>, sip:p3;lr\r\nRecord-Route: sip:p4;lr\r\nVia:"
    message = impl.parse(REQUEST.replace(b"\r\nVia:", routes, 1))
    assert [(str(route), route.uri.lr) for route in (*message.routes, *message.record_routes)] == [
        ("<sip:p1;lr>", True), ("<sip:p2;lr>", True), ("<sip:p3;lr>", True), ("<sip:p4;lr>", True)
    ]  # fmt: skip
    message.set_header("Route", message.routes)
    assert message.get_header("Route") == "<sip:p1;lr>, <sip:p2;lr>, <sip:p3;lr>"


@pytest.mark.parametrize(
    ("value", "reason", "offset"),
    [
        ("sip:p1?x=y", "URI with ? is not in <>", 6),
        ("sip:p0, sip:p1?x=y", "URI with ? is not in <>", 14),
        ("sip:p1 ;lr", "URI holds an illegal character", 6),
        ('"p" sip:p1', "display name without <URI> behind it", 4),
        ("sip:p1;lr>", "URI holds an illegal character", 9),
    ],
)
def test_a_bare_route_that_is_refused(impl: ModuleType, value: str, reason: str, offset: int):
    message = impl.Message.request("OPTIONS", "sip:h", headers={"Route": value, "Record-Route": value})
    for name, attribute in (("Route", "routes"), ("Record-Route", "record_routes")):
        assert outcome(getattr, message, attribute) == (HeaderError, (reason, name, offset, 400))


def test_the_parameters_of_a_bare_contact_are_the_headers(impl: ModuleType):
    (contact,) = impl.Message.response(200, headers={"Contact": "sip:a@b;expires=60"}).contacts
    assert (contact.expires, str(contact.uri)) == (60, "sip:a@b")


# --- the form for each place (RFC 3261 table 1, 16.6 step 2, 10.3 step 5)

FULL = (
    "sip:alice:secret@example.com:5070;user=phone;method=BYE;maddr=192.0.2.9;ttl=3;transport=tcp;lr;x=y;gr"
    "?Subject=hello&Route=%3Csip:h%3E"
)
TABLE_1 = {
    # form: what of it each place may have
    "as_request_uri": "user password port user-param maddr ttl transport lr other",
    "as_from_to": "user password user-param other",
    "as_contact": "user password port user-param maddr ttl transport other headers",
    "as_route": "user password port user-param maddr transport lr other",
    "as_aor": "user",
}
PARTS = {
    "user": "alice", "password": ":secret", "port": ":5070", "user-param": ";user=phone", "method": ";method=BYE",
    "maddr": ";maddr=192.0.2.9", "ttl": ";ttl=3", "transport": ";transport=tcp", "lr": ";lr", "other": ";x=y;gr",
    "headers": "?Subject=hello&Route=%3Csip:h%3E",
}  # fmt: skip


@pytest.mark.parametrize("form", TABLE_1)
def test_table_1_of_rfc_3261(form: str):
    kept = TABLE_1[form].split()
    parts = {name: text if name in kept else "" for name, text in PARTS.items()}
    user, password, port, *rest = parts.values()
    written = getattr(SipUri.parse(FULL), form)()
    assert str(written) == f"sip:{user}{password}@example.com{port}{''.join(rest)}"
    assert SipUri.parse(str(written)) == written
    assert getattr(written, form)() == written


def test_table_1_one_part_at_a_time():
    for form, kept in TABLE_1.items():
        for name, text in PARTS.items():
            if name not in ("user", "password"):
                uri = SipUri.parse(f"sip:example.com{text}")
                written = str(uri) if name in kept.split() else "sip:example.com"
                assert str(getattr(uri, form)()) == written, (form, name)


def test_names_of_parameters_in_any_spelling():
    assert str(SipUri.parse("sip:h;METHOD=A;a").as_request_uri()) == "sip:h;a"
    assert str(SipUri.parse("sip:h;a;%6Dethod=A").as_request_uri()) == "sip:h;a"
    assert str(SipUri.parse("sip:h;%6c%72;Method2=x").as_from_to()) == "sip:h;Method2=x"


def test_a_form_that_changes_nothing_is_the_uri_itself():
    uri = SipUri.parse("sip:a%41@EXAMPLE.com;x")
    assert uri.as_request_uri() is uri
    assert uri.as_from_to() is uri
    assert uri.as_contact() is uri
    assert uri.as_route() is uri


@pytest.mark.parametrize(
    ("text", "aor"),
    [  # RFC 3261 10.3 step 5: no parameters, and no escape that need not be
        ("sip:al%69ce@Example.COM:5060;user=phone;transport=tcp", "sip:alice@example.com"),
        ("sips:alice:pw@example.com?x=y", "sips:alice@example.com"),
        ("sip:a%2Fb%3Bc%40d%25%3a@h", "sip:a/b;c%40d%25%3A@h"),
        ("sip:j\u00fcrgen@h", "sip:j%C3%BCrgen@h"),
        ("sip:j%c3%bcrgen@h", "sip:j%C3%BCrgen@h"),
        ("sip:*31#@h", "sip:*31%23@h"),
        ("sip:%ff%00@h", "sip:%FF%00@h"),
        ("sip:Alice@h", "sip:Alice@h"),
        ("sip:example.com;lr", "sip:example.com"),
        ("sip:a@[2001:DB8:0::0:1]:5060", "sip:a@[2001:db8::1]"),
        ("sip:a@[2001:db8:::192.0.2.1]", "sip:a@[2001:db8::c000:201]"),
        ("tel:+1-201-555-0123;ext=5", "tel:+12015550123"),
        ("tel:70-42;Phone-Context=Example.COM;x=y", "tel:7042;phone-context=example.com"),
        ("tel:70-42;phone-context=+1-2", "tel:7042;phone-context=+12"),
        ("tel:911", "tel:911"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_the_canonical_form_of_an_address_of_record(text: str, aor: str):
    form = parse_uri(text).as_aor()
    assert str(form) == aor
    assert str(form.as_aor()) == aor
    assert type(parse_uri(aor)) is type(form)


def test_equal_addresses_of_record_are_one_key():
    keys = {str(parse_uri(text).as_aor()) for text in (
        "sip:bob@example.com", "sip:b%6Fb@EXAMPLE.com", "sip:bob@example.com;x", "SIP:bob@example.com:5060",
    )}  # fmt: skip
    assert keys == {"sip:bob@example.com"}


def test_a_uri_that_is_none_of_sip_is_the_same_everywhere():
    for text in ("tel:+1;ext=2", "urn:service:sos"):
        uri = parse_uri(text)
        for form in ("as_request_uri", "as_from_to", "as_contact", "as_route"):
            assert getattr(uri, form)() is uri


def test_a_request_uri_that_is_assigned_has_neither_method_nor_headers(impl: ModuleType, message: Any):
    contact = NameAddr.parse("<sip:bob@192.0.2.4:5070;method=INVITE;transport=tcp?Subject=x&Route=%3Csip:evil%3E>")
    message.request_uri = contact.uri
    assert message.request_uri == "sip:bob@192.0.2.4:5070;transport=tcp"
    built = impl.Message.request("INVITE", contact.uri)
    assert built.request_uri == "sip:bob@192.0.2.4:5070;transport=tcp"
    assert [found.header for found in built.validate()].count("Request-URI") == 0
    for uri in (TelUri("+1"), AbsoluteUri("urn", "service:sos")):
        message.request_uri = uri
        assert message.request_uri == str(uri)


def test_a_request_uri_that_is_assigned_as_text_stays_as_it_is(impl: ModuleType, message: Any):
    message.request_uri = "sip:bob@192.0.2.4;method=INVITE?x=y"
    assert message.request_uri == "sip:bob@192.0.2.4;method=INVITE?x=y"
    assert impl.Message.request("A", "sip:h?x=y").request_uri == "sip:h?x=y"


def test_a_request_uri_is_text_or_a_uri(impl: ModuleType, message: Any):
    before = bytes(message)
    for wrong in (NameAddr("sip:a@b"), message.cseq, message.via, 5, None, b"sip:h"):
        with pytest.raises(TypeError, match="Request-URI must be str or a URI"):
            message.request_uri = wrong
        with pytest.raises(TypeError, match="Request-URI must be str or a URI"):
            impl.Message.request("INVITE", wrong)
    assert bytes(message) == before


# --- no host


@pytest.mark.parametrize(
    "text", ["sip:", "sips:", "SIP:", "sip:@h", "sip:a@", "sip:;lr", "sip::5060", "sip:?x=y", "sip:a@:5060"]
)
def test_a_sip_uri_without_a_host_is_none(impl: ModuleType, text: str):
    message = impl.parse(REQUEST.replace(b"sip:bob@biloxi.example.com;transport=udp", text.encode(), 1))
    assert message.request_uri == text
    reason, header, _, status = outcome(getattr, message, "uri")[1]
    assert (reason, header, status) == ("host is not a host name or address", "Request-URI", 400)
    assert [(found.header, found.status) for found in message.validate()] == [("Request-URI", 400)]
    assert outcome(parse_uri, text)[0] is HeaderError
    for name in ("From", "To", "Contact", "Route"):
        built = impl.Message.request("OPTIONS", "sip:h", headers={name: f"<{text}>"})
        attribute = {"From": "from_", "To": "to", "Contact": "contacts", "Route": "routes"}[name]
        assert outcome(getattr, built, attribute)[1][:2] == ("host is not a host name or address", name)
    with pytest.raises(SerializeError):
        NameAddr(text)
    with pytest.raises(SerializeError):
        SipUri("")
