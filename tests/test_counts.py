"""How much one call reads: values over lines and commas, and their parts. Counted alike by both implementations."""

import random
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st

from sipstack import HeaderError, Message, ParseError, SipUri
from sipstack._values import escape, lower, quote, unquote
from sipstack.headers import NameAddr, Via, parse_header
from sipstack.headers._counts import DIVIDERS
from sipstack.methods import HEADER_NAMES
from sipstack.proxy import Hop, Node, take_routes
from sipstack.validation import Violation, unsupported_options

VALUES, PARTS = 128, 512
COMMON = {"Via": "SIP/2.0/UDP h", "From": "<sip:a@h>;tag=1", "To": "<sip:b@h>", "Call-ID": "1", "CSeq": "1 INVITE"}
ADDRESS, VIA = "<sip:a@h>", "SIP/2.0/UDP h"
LISTS = {
    "vias": ("Via", VIA), "contacts": ("Contact", ADDRESS), "routes": ("Route", ADDRESS),
    "record_routes": ("Record-Route", ADDRESS), "route_set": ("Record-Route", ADDRESS),
}  # fmt: skip
SINGLES = {
    "via": ("Via", VIA), "from_": ("From", ADDRESS), "from_tag": ("From", ADDRESS + ";tag=1"),
    "to": ("To", ADDRESS), "to_tag": ("To", ADDRESS + ";tag=1"), "content_type": ("Content-Type", "a/b"),
}  # fmt: skip
TOO_MANY_VALUES, TOO_MANY_PARTS = ("too many values", 513), ("too many parts", 513)


def message(impl: ModuleType, *lines: tuple[str, str], uri: str = "sip:b@h", **parse: Any) -> Any:
    """An INVITE with these lines in place of its own of that name."""
    names = {name for name, _ in lines}
    head = [*[(name, value) for name, value in COMMON.items() if name not in names], *lines]
    text = f"INVITE {uri} SIP/2.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n"
    return impl.parse(text.encode(), **parse)


def outcome(read: Any, *args: Any, **named: Any) -> Any:
    """What a call returns, or reason and status of its error."""
    try:
        return read(*args, **named)
    except HeaderError as error:
        return error.reason, error.status


def attribute(impl: ModuleType, name: str, *lines: tuple[str, str]) -> Any:
    return outcome(lambda: getattr(message(impl, *lines), name))


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("in_a_line", [1, 2, 3, 64, 128])
def test_values_are_counted_over_lines_and_commas(impl: ModuleType, name: str, in_a_line: int) -> None:
    header, value = LISTS[name]

    def lines(count: int) -> list[tuple[str, str]]:
        return [(header, ", ".join([value] * min(in_a_line, count - at))) for at in range(0, count, in_a_line)]

    assert len(attribute(impl, name, *lines(VALUES))) == VALUES
    assert attribute(impl, name, *lines(VALUES + 1)) == TOO_MANY_VALUES


@pytest.mark.parametrize("name", LISTS)
def test_empty_values_and_quoted_commas_count_too(impl: ModuleType, name: str) -> None:
    header, value = LISTS[name]
    assert len(attribute(impl, name, (header, value + "," * (VALUES - 1)))) == 1
    assert attribute(impl, name, (header, value + "," * VALUES)) == TOO_MANY_VALUES
    quoted = f'{value};x="{"," * (VALUES - 1)}"'
    assert len(attribute(impl, name, (header, quoted))) == 1
    assert attribute(impl, name, (header, quoted), (header, value)) == TOO_MANY_VALUES


@pytest.mark.parametrize("text", ['"{}" <sip:a@h>', "<sip:a{}@h>"])
@pytest.mark.parametrize("name", ["contacts", "from_", "from_tag"])
def test_commas_of_names_in_the_common_shape(impl: ModuleType, name: str, text: str) -> None:
    header = LISTS["contacts"][0] if name == "contacts" else "From"
    assert attribute(impl, name, (header, text.format("," * (VALUES - 1)))) != TOO_MANY_VALUES
    assert attribute(impl, name, (header, text.format("," * VALUES))) == TOO_MANY_VALUES
    half = (header, text.format("," * 63))
    if name == "contacts":
        assert len(attribute(impl, name, half, half)) == 2
        assert attribute(impl, name, half, half, (header, ADDRESS)) == TOO_MANY_VALUES


def test_every_list_header(impl: ModuleType) -> None:
    for header in HEADER_NAMES[1:]:
        lines = [(header, "0," * VALUES + "0")]
        if header == "Content-Length":
            continue
        found = outcome(message(impl, *lines).get_values, header)
        assert found in (TOO_MANY_VALUES, (lines[0][1],)), header
        assert outcome(parse_header, header, lines[0][1]) in (TOO_MANY_VALUES, lines[0][1]), header


def test_the_top_via_costs_nothing_of_the_others(impl: ModuleType) -> None:
    made = message(impl, ("Via", ", ".join([VIA] * 1000)))
    assert made.via == Via("h")
    assert message(impl, ("Via", ", ".join(["SIP / 2.0 / UDP h"] * 1000))).via == Via("h")
    assert made.pop_via() == VIA
    assert made.reply(200).get_headers("Via") == [", ".join([VIA] * 999)]


# ---------------------------------------------------------------- parts


def parts_of(text: str) -> int:
    """A quoted string, which has two quotes, is one."""
    return sum(map(text.count, DIVIDERS)) - text.count('"') // 2


@pytest.mark.parametrize("part", [";a", "; a", ";a=b", ';a="; ()%;"', " ", "\t", ";%41", ";(", ';a="', "\\"])
@pytest.mark.parametrize("name", {**LISTS, **SINGLES})
def test_parts_are_counted(impl: ModuleType, name: str, part: str) -> None:
    header, value = {**LISTS, **SINGLES}[name]
    times = next(n for n in range(PARTS, 0, -1) if parts_of(value + part * n) <= PARTS)
    rest = ";" * (PARTS - parts_of(value + part * times))
    fits = f"{value}{part * times}{rest}" + ("x" if not rest else "")
    assert attribute(impl, name, (header, fits)) != TOO_MANY_PARTS
    assert attribute(impl, name, (header, f"{fits};")) == TOO_MANY_PARTS


@pytest.mark.parametrize("part", ["%", "&", "%41"])
@pytest.mark.parametrize("name", {**LISTS, **SINGLES})
def test_parts_of_a_token_or_of_a_value_without_quotes_count(impl: ModuleType, name: str, part: str) -> None:
    header, value = {**LISTS, **SINGLES}[name]
    more = PARTS - parts_of(value) - 1
    for text in (f"{value};x={part * more}", f"{value};{part * more}=1"):
        if part == "&" and text.endswith("=1"):
            continue
        assert attribute(impl, name, (header, text)) != TOO_MANY_PARTS
        assert attribute(impl, name, (header, text.replace(part, part + part[:1], 1))) == TOO_MANY_PARTS


@pytest.mark.parametrize("name", LISTS)
def test_parts_of_common_values_count_together(impl: ModuleType, name: str) -> None:
    header, value = LISTS[name]
    line = f"{value};x={'%' * 60}"
    parts = parts_of(line)
    most = PARTS // parts
    for lines in ([(header, line)] * (most + 1), [(header, ",".join([line] * (most + 1)))]):
        assert attribute(impl, name, *lines) == TOO_MANY_PARTS
    assert len(attribute(impl, name, *[(header, line)] * most)) == most


def test_parts_of_a_cseq_and_of_keys(impl: ModuleType) -> None:
    assert attribute(impl, "cseq", ("CSeq", "1 " + "%" * PARTS)) == TOO_MANY_PARTS
    assert attribute(impl, "cseq", ("CSeq", "1 " + "%" * (PARTS - 1))).num == 1
    made = message(impl, ("Via", f"SIP/2.0/UDP h;branch=z9hG4bK1;x={'%' * PARTS}"))
    assert outcome(made.transaction_key) == TOO_MANY_PARTS
    node = Node(Hop("UDP", "192.0.2.1", 5060), key=bytes(16))
    assert outcome(impl.forward_request, made, node, Hop("UDP", "192.0.2.2", 5060)) == TOO_MANY_PARTS


@pytest.mark.parametrize("value", ["A{}<sip:a@h>", "<sip:a@h>,{}<sip:b@h>", "<sip:a@h>{},<sip:b@h>"])
@pytest.mark.parametrize("name", ["contacts", "routes", "from_", "from_tag", "to"])
def test_blanks_that_nobody_keeps_are_parts_too(impl: ModuleType, name: str, value: str) -> None:
    header, _ = {**LISTS, **SINGLES}[name]
    assert attribute(impl, name, (header, value.format(" " * PARTS))) != TOO_MANY_PARTS
    assert attribute(impl, name, (header, value.format(" " * (PARTS + 1)))) == TOO_MANY_PARTS


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("size", [1, 7, 8, 9, 200])
def test_parts_are_counted_over_all_values(impl: ModuleType, name: str, size: int) -> None:
    header, value = LISTS[name]
    own = parts_of(value)

    def line(parts: int) -> tuple[str, str]:
        return header, value + "".join(f";a{at}" for at in range(parts - own))

    lines = [line(size + own) for _ in range(min(VALUES, PARTS // (size + own)))]
    left = PARTS - len(lines) * (size + own)
    assert len(attribute(impl, name, *lines)) == len(lines)
    if len(lines) < VALUES and left >= own:
        assert len(attribute(impl, name, *lines, line(left))) == len(lines) + 1
        assert attribute(impl, name, *lines, line(left + 1)) == TOO_MANY_PARTS


def test_a_fold_is_one_blank(impl: ModuleType) -> None:
    folded = "<sip:a@h>" + "\r\n" + " " * 600 + ";tag=1"
    assert attribute(impl, "to_tag", ("To", folded)) == "1"
    assert attribute(impl, "to_tag", ("To", "<sip:a@h>" + "\r\n ;x" * 256)) is None
    assert attribute(impl, "to_tag", ("To", "<sip:a@h>" + "\r\n ;x" * 257)) == TOO_MANY_PARTS


def test_the_request_uri(impl: ModuleType) -> None:
    assert message(impl, uri="sip:h" + ";a" * PARTS).uri.host == "h"
    assert outcome(lambda: message(impl, uri="sip:h" + ";a" * (PARTS + 1)).uri) == TOO_MANY_PARTS
    assert message(impl, uri=f"sip:{'&' * PARTS}@h").uri.host == "h"
    for uri in (f"sip:{'&' * (PARTS + 1)}@h", "sip:h?a=b" + "&a=b" * (PARTS + 1), "sip:h;" + "%61" * (PARTS + 1)):
        assert outcome(lambda uri=uri: message(impl, uri=uri).uri) == TOO_MANY_PARTS
        assert Violation("Request-URI", "too many parts", 513) in message(impl, uri=uri).validate()
    assert outcome(lambda: message(impl, uri=f"sip:{',' * VALUES}@h").uri) == TOO_MANY_VALUES


@pytest.mark.parametrize("header", ["From", "To"])
def test_what_is_known_by_addresses(impl: ModuleType, header: str) -> None:
    many = message(impl, (header, f"<sip:{',' * VALUES}@h>;tag=1"))
    few = message(impl, (header, f"<sip:{',' * (VALUES - 1)}@h>;tag=1"))
    tag = "" if header == "From" else ";tag=2"
    assert outcome(message(impl, ("From", ADDRESS), ("To", ADDRESS + ";tag=2")).dialog_id) == "1 2 "
    assert outcome(few.dialog_id) != TOO_MANY_VALUES
    if header == "To" or tag:
        assert outcome(many.dialog_id) == TOO_MANY_VALUES


def test_take_routes_refuses(impl: ModuleType) -> None:
    node = Node(Hop("UDP", "192.0.2.1", 5060), key=bytes(16))
    ours = "<sip:192.0.2.1;lr>"
    assert take_routes(message(impl, ("Route", ",".join([ours] * VALUES))), node).ours
    assert outcome(take_routes, message(impl, ("Route", ",".join([ours] * (VALUES + 1)))), node) == TOO_MANY_VALUES


def test_options(impl: ModuleType) -> None:
    assert len(unsupported_options(message(impl, ("Require", ",".join(map(str, range(VALUES))))), ())) == VALUES
    assert outcome(unsupported_options, message(impl, ("Require", ",".join(["a"] * 129))), ()) == TOO_MANY_VALUES
    few = message(impl, ("Require", "a, b"))
    assert unsupported_options(few, ["b"], max_values=2, max_parts=4) == ("a",)
    assert outcome(partial(unsupported_options, max_values=1), few, ()) == TOO_MANY_VALUES
    assert outcome(partial(unsupported_options, max_parts=4), message(impl, ("Require", " ".join("abcdef"))), ()) == (
        TOO_MANY_PARTS
    )


# ---------------------------------------------------------------- other limits


def test_other_limits(impl: ModuleType) -> None:
    made = message(impl, ("Contact", ",".join([ADDRESS] * 1000)))
    assert len(made.get_values("Contact", max_values=1000)) == 1000
    assert outcome(made.get_values, "Contact", max_values=999) == TOO_MANY_VALUES
    assert outcome(message(impl, ("Contact", ADDRESS)).get_values, "Contact", max_values=0) == TOO_MANY_VALUES
    one = message(impl, ("Contact", ADDRESS + ";a" * 1000))
    assert len(one.get_values("m", max_parts=1000)) == 1
    assert outcome(one.get_values, "m", max_parts=999) == TOO_MANY_PARTS
    assert len(parse_header("Contact", ",".join([ADDRESS] * 1000), max_values=1000)) == 1000  # type: ignore[arg-type]
    assert outcome(parse_header, "To", ADDRESS + ";a" * 3, max_parts=2) == TOO_MANY_PARTS


def test_text_is_not_limited(impl: ModuleType) -> None:
    text = ",".join([ADDRESS + ";a" * 10] * 1000)
    made = message(impl, ("Contact", text), ("Subject", text))
    assert made.get_header("Contact") == text
    assert made.get_headers("m") == [text]
    assert made.get_values("Subject") == (text,)
    assert made.headers["Contact"] == text


def test_what_is_written_may_be_more_than_what_is_read(impl: ModuleType) -> None:
    made = message(impl)
    made.set_header("Route", [NameAddr("sip:p;lr")] * 200)
    made.set_header("Contact", NameAddr("sip:p", params={f"a{at}": "b" for at in range(600)}))
    assert outcome(lambda: made.routes) == TOO_MANY_VALUES
    assert outcome(lambda: made.contacts) == TOO_MANY_PARTS
    assert len(made.get_values("Route", max_values=200)) == 200
    assert len(made.get_values("Contact", max_parts=600)[0].params) == 600
    again = impl.parse(made.to_bytes())
    assert again == made
    made.set_route("sip:a", made.get_values("Route", max_values=200))
    assert len(SipUri("h", params={f"a{at}": "b" for at in range(600)}).params) == 600
    made.set_header("Route", [NameAddr("sip:p;lr")])
    assert len(made.routes) == 1


# ---------------------------------------------------------------- validate


def test_validate_counts_the_whole_message(impl: ModuleType) -> None:
    structured = len(COMMON) - 1  # a Call-ID has one too, and so has each of these
    lines = [("Max-Forwards", "70"), ("Contact", ADDRESS), ("X-None", ",;" * 1000)]
    own = len(COMMON) + 2
    assert structured < own
    full = [*lines, ("Allow", ",".join(["A"] * (VALUES - own)))]
    assert message(impl, *full).validate() == []
    over = message(impl, *full, ("Allow", "A"))
    assert over.validate() == [Violation("", "too many values", 513)]
    assert over.validate(max_values=VALUES + 1) == []
    assert message(impl, *full).validate(max_parts=2) == [Violation("", "too many parts", 513)]
    assert message(impl, *lines, ("CSeq", "1 BYE"), ("Allow", "A," * 200)).validate() == [
        Violation("CSeq", "method is not the request's", 400),
        Violation("", "too many values", 513),
    ]


def test_validate_finds_what_attributes_refuse(impl: ModuleType) -> None:
    """What `validate` finds nothing in can be read."""
    for name, (header, value) in {**LISTS, **SINGLES}.items():
        for text in (value + ";a" * 600, ",".join([value] * 129)):
            made = message(impl, (header, text))
            if outcome(lambda made=made, name=name: getattr(made, name)) in (TOO_MANY_PARTS, TOO_MANY_VALUES):
                assert any(found.status == 513 and found.serious for found in made.validate())


# ---------------------------------------------------------------- both alike


PIECES = [
    VIA, "SIP / 2.0/UDP h", ADDRESS, "sip:a@h", '"a, b; c" <sip:a@h>', "a b <sip:a@h>", "<sip:a,b@h>", "<sip:a@h;x;y>",
    ";a", ";a=b", ';a="b,c"', ";tag=1", " ", ",", ", ", "\r\n ", "(a)", "%41", "<sip:a%41@h>", "&", '"', "<",
]  # fmt: skip


def test_both_implementations_agree(both: tuple[ModuleType, ModuleType]) -> None:
    chance = random.Random(13)
    compared = 0
    for _ in range(400):
        header = chance.choice(["Via", "Contact", "Route", "Record-Route", "From", "To"])
        value = {"Via": VIA}.get(header, ADDRESS)
        lines = []
        for _ in range(chance.choice((1, 2, 3, 25, 100))):
            unit = "".join(chance.choices(PIECES, k=chance.randint(1, 3)))
            lines.append(
                (header, value + chance.choice(("", ",")) + unit * chance.choice((0, 0, 1, 5, 127, 128, 256, 512)))
            )
        try:
            compiled, plain = (message(impl, *lines, max_size=(1 << 22) - 1) for impl in both)
        except ParseError:
            continue
        compared += 1
        for name in (*LISTS, *SINGLES):
            found = [outcome(lambda made=made, name=name: repr(getattr(made, name))) for made in (compiled, plain)]
            assert found[0] == found[1], (name, lines)
        assert compiled.validate() == plain.validate()
        assert outcome(compiled.dialog_id) == outcome(plain.dialog_id)
    assert compared > 200


# ---------------------------------------------------------------- cost


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (ADDRESS, ",<sip:a>"),
        (ADDRESS, ";a"),
        ('"', "\\a"),
        (ADDRESS, ';a=""'),
        ("", ","),
        ("(", "\\a"),
        ("", "<>"),
        ("", '""'),
    ],
)
@pytest.mark.parametrize("name", ["contacts", "validate"])
def test_cost_is_linear(impl: ModuleType, name: str, head: str, unit: str) -> None:
    def prepare(size: int) -> Any:
        made = message(impl, ("Contact", head + fill(unit, size)), max_size=(1 << 22) - 1)
        return lambda: outcome(lambda: made.validate() if name == "validate" else made.contacts)

    assert_linear(prepare)


@pytest.mark.parametrize("pair", ['\\"', "\\\\", "\\\\a", "\\a"])
def test_quoted_pairs(pair: str) -> None:
    assert_linear(lambda size: lambda: quote(unquote(fill(pair, size))))


@given(st.text(st.sampled_from('\\"()a\u00e9\x00\x7f')))
def test_quoted_pairs_are_their_second_characters(text: str) -> None:
    characters, meaning = iter(text), ""
    for character in characters:
        meaning += next(characters, "\\") if character == "\\" else character
    assert unquote(text) == meaning
    assert quote(text) == '"' + "".join(f"\\{one}" if one in '\\"\x00\x7f' else one for one in text) + '"'
    assert unquote(quote(text)[1:-1]) == text
    assert unquote(escape(text, "()")) == text


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_items_of_bare_line_feeds(impl: ModuleType, line_end: str) -> None:
    def prepare(size: int) -> Any:
        raw = f"INVITE sip:a@b SIP/2.0{line_end}" + fill(f"a:b{line_end}", size) + f"c:d\r\n{line_end}"
        made = impl.parse(raw.encode(), max_size=(1 << 22) - 1, max_headers=1 << 16)
        return lambda: made.headers.items()

    assert_linear(prepare)


def test_building_is_not_limited(impl: ModuleType) -> None:
    made: Message = impl.Message.request("INVITE", "sip:a@b", headers=[("Via", VIA)] * 300)
    assert len(made.get_headers("Via")) == 300
    assert outcome(lambda: made.vias) == TOO_MANY_VALUES


@given(st.text() | st.text("AZaz@[`{\xc9\u212a\udc80"))
def test_lower_case_is_that_of_ascii_letters(text: str) -> None:
    assert lower(text) == "".join(char.lower() if "A" <= char <= "Z" else char for char in text)


# ---------------------------------------------------------------- what real devices send

RCS = (
    '+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel,urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session";'
    '+g.3gpp.iari-ref="urn%3Aurn-7%3A3gpp-application.ims.iari.rcs.fthttp,urn%3Aurn-7%3A3gpp-application.ims.iari.rcse";'
    '+g.oma.sip-im;+g.3gpp.smsip;+g.3gpp.mid-call;+g.3gpp.srvcc-alerting;audio;video;+g.gsma.rcs.botversion="#=1,#=2";'
    '+g.gsma.callcomposer;+g.3gpp.accesstype="cellular2";+sip.instance="<urn:gsma:imei:35824005-944763-1>";reg-id=1;'
    "expires=600000;q=1.0"
)
BINDING = f"<sip:310410123456789@[2001:db8:1:c9c7:0:49:8b25:bd01]:50000;transport=tcp;ob>;{RCS}"
DIVERTED = (
    "<sip:+493012340000@ims.example.com;user=phone;cause=302?Privacy=history&Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy"
    "%20Here%22&Reason=Q.850%3Bcause%3D17%3Btext%3D%22User%20busy%22>;index=1.1;mp=1"
)


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("Contact", BINDING, 10),
        ("Contact", "<sip:a@h>" + '; +g.3gpp.feature-tag="a"' * 15, 10),
        ("History-Info", DIVERTED, 20),
        ("Supported", "timer", 40),
        ("Accept-Contact", f"*;{RCS};require;explicit", 8),
        ("Identity", "eyJhbGciOiJFUzI1NiJ9." * 50 + 'b.c;info=<https://cert.example.org/p.cer>;alg=ES256;ppt="div"', 5),
        ("P-Asserted-Identity", '"The Marketing Department Of Example And Sons (Berlin)" <tel:+4930123456>', 2),
    ],
)
def test_what_real_devices_send_is_read(impl: ModuleType, name: str, value: str, count: int) -> None:
    is_list = name != "Identity"
    for lines in ([value] * count, [", ".join([value] * count)])[: 1 + is_list]:
        read = message(impl, *[(name, line) for line in lines])
        assert len(read.get_values(name)) == count
        assert not any(found.status == 513 for found in read.validate())
    if name == "Contact":
        assert len(read.contacts) == count
