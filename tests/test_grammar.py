"""The grammar: every byte of every class against the RFC's own lists, and each rule on what it takes and refuses."""

import itertools
import re
from types import ModuleType
from typing import Any

import pytest

from sipstack import _grammar as grammar
from sipstack import _limits
from sipstack._diagnose import bad_control
from sipstack._limits import MAX_CONTENT_LENGTH
from sipstack.errors import HeaderError, ParseError

ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGIT = b"0123456789"
MARK = b"-_.!~*'()"
UNRESERVED = ALPHA + DIGIT + MARK
CLASSES = {
    "token": ALPHA + DIGIT + b"-.!%*_+`'~",
    "control": bytes(range(32)) + b"\x7f",
    "hex": DIGIT + b"ABCDEFabcdef",
    "host": ALPHA + DIGIT + b"-._",
    # token, and of a host its colon and brackets; / @ = & $ are ours
    "value": ALPHA + DIGIT + b"-.!%*_+`'~" + b"[]:" + b"/@=&$",
    # unreserved / user-unreserved
    "user": UNRESERVED + b"&=+$,;?/",
    # param-unreserved / unreserved
    "uri-param": b"[]/:&+$" + UNRESERVED,
}
"""The classes as RFC 3261 25.1 lists them."""


@pytest.mark.parametrize("name", grammar.BYTE_CLASSES)
def test_the_256_bytes_of_a_class(name: str):
    assert grammar.BYTE_CLASSES[name] == frozenset(CLASSES[name])


def test_the_compiled_core_has_the_same_classes_and_limits(both: tuple[ModuleType, ModuleType]):
    compiled, _ = both
    classes, limits = compiled._tables()
    assert classes == grammar.BYTE_CLASSES
    assert limits == {name: getattr(_limits, name) for name in limits}


def test_every_class_is_there():
    assert set(grammar.BYTE_CLASSES) == set(CLASSES)


def members(chars: str) -> frozenset[int]:
    return frozenset(byte for byte in range(256) if re.match(b"[%b]" % chars.encode(), bytes([byte])))


def test_the_other_classes():
    assert members(grammar.UNRESERVED_CHARS) == frozenset(UNRESERVED)
    assert members(grammar.URI_HEADER_CHARS) == frozenset(b"[]/?:+$" + UNRESERVED)
    assert members(grammar.CONTROL_CHARS) == frozenset(CLASSES["control"]) - {0x09}
    assert members(grammar.BLANK) == frozenset(b" \t")
    assert grammar.RESERVED.encode() == b";/?:@&=+$,"


def test_a_byte_is_text_in_a_line_where_it_is_no_control_byte():
    text = frozenset(byte for byte in range(256) if re.fullmatch(grammar.LINE_TEXT.encode(), bytes([byte])))
    assert text == frozenset(range(256)) - members(grammar.CONTROL_CHARS)


@pytest.mark.parametrize("chars", ["a-c", r"\-^\]\\", grammar.TOKEN_CHARS])
def test_a_class_and_all_beyond_ascii(chars: str):
    pattern = re.compile(f"[{grammar.and_beyond_ascii(chars)}]")
    for code in (*range(0x300), *range(0xD700, 0xE100), 0xFFFF, 0x10000, 0x10FFFF):
        try:
            chr(code).encode("utf-8", "surrogateescape")
            writable = True
        except UnicodeEncodeError:
            writable = False
        assert bool(pattern.match(chr(code))) == (writable and (code > 127 or code in members(chars))), hex(code)


RULES = {
    "SWS": (["", " ", "\t \t"], ["\n", "\r\n ", "\xa0"]),
    "LWS": ([" ", "\t \t"], ["", "\n", "\x0b"]),
    "LINE_END": (["\r\n", "\n"], ["\r", "", "\n\n", "\x0b", "\x85"]),
    "DIGITS": (["0", "00012345678901234567890"], ["", "-1", "+1", "1_0", "\u0661", "\u00b2", " 1"]),
    "TOKEN": (["INVITE", "-.!%*_+`'~0", "x"], ["", "a b", "a:", "é", "\u212a", "a\n", "a/b"]),
    "QUOTED_PAIR": (["\\a", '\\"', "\\\\", "\\\x00", "\\\t"], ["\\", "\\\r", "\\\n", "a"]),
    "QUOTED_STRING": (['""', '"a b;,"', '"\\""', '"\\\x01"', '"\t"', '"\\\\"'], ['"', '"a', 'a"', '"\x01"', '"\\"']),
    "CTEXT": (["", "a (b) c", "\\(", "\\\x01", '"'], ["\x01", "\\", "\\\n", "a\rb", "a\\"]),
    "LABEL": (["a", "a-b", "a--b", "_sip", "1"], ["", "-a", "a-", "a.b", "a b"]),
    "HOSTNAME": (["h", "a.b-c.d9.", "_sip._udp.x", "192.0.2.1"], ["", ".", "a..b", "a-.b", "-a", "a.-b", "a b"]),
    "DEC_OCTET": (["0", "255", "09", "007", "249"], ["256", "300", "0000", "", "-1"]),
    "IPV4_ADDRESS": (["192.0.2.1", "255.255.255.255", "01.2.3.004"], ["1.2.3", "256.1.1.1", "1.2.3.4.", "1.2.3.4.5"]),
    "IPV6_REFERENCE": (["[::1]", "[2001:db8::192.0.2.1]"], ["::1", "[::1", "[:]", "[g::1]", "[fe80::1%eth0]", "[]"]),
    "HOST": (["example.com", "192.0.2.1", "[::1]", "h."], ["", "[::1", "a b", "h:1", "a_-"]),
    "STRICT_VALUE": (["token", "[::1]"], ["", "a/b", "a b", '"a"', "::1", "[]"]),
    "READABLE_HOST": (
        ["1000", "+43", "*31#", "<null>", "<>", "[1:2]"],
        ["", "a:b", "a@b", "[x]", "<a", "a/b", "a%20b"],
    ),
    "READABLE_VALUE": (["a", "(b)", "{|}", "a?b", "é"], ["", "a b", "a;b", "a,b", '"', "<a>", "a\\b", "a\x00"]),
    "GENERIC_PARAM": (["a", "a=b", ' a = "b c" ', "a=[::1]:5", "a=x/y@z=&$"], ["", "=a", "a=", "a=b c", 'a="', "a;b"]),
    "READABLE_PARAM": (
        ["", " ", "a", "a=b", "a=", " a = ", "a=b(c)", "a=(b", "a=?"],
        ["=a", "a=b c", 'a="b"', "a;b", "a= (b", "a=<b>", "a=b,c", "a=\\", "a b"],
    ),
    "SCHEME": (["sip", "sips", "a+b-c.1"], ["", "1a", "sip:", "a_b"]),
    "ESCAPED": (["%41", "%aF"], ["%", "%4", "%4g", "%414"]),
    "STRICT_USER": (["alice", "a;b?c/d", "%41", "+1&=$,"], ["", "a@b", "a:b", "%4", "a%", "#", "é", "a b", "[", '"']),
    "USER": (["alice", "*21#", "é", "%41b%42", "\udcff"], ["", "a@b", "a:b", "%4", "a%4", "a b", "\ud800", "\x00"]),
    "PASSWORD": (["", "secret", "%41&=+$,"], ["a:b", "a;b", "%", "%4", "/", "#"]),
    "USERINFO": (["a@", "a:@", "a:b@", "a;x=1@"], ["@", "a", ":b@", "a@b@", "%4@"]),
    "HOSTPORT": (["h", "h:5060", "[::1]:1", "h:999999", "<null>:1"], ["", "h:", ":1", "h:x", "::1", "h:-1"]),
    "READABLE_USERINFO": (["a[|]@", "%@", "a:b:c@", "a:@"], ["@", "a", "a@b@", "a;b@", "a?b@", "a/b@", ":a@", '"@']),
    "READABLE_URI_PARAM": (["", "a=b=c", "a@b", "=", "%", "a,b"], ["a;b", "a?b", "a b", "<", ">", '"']),
    "READABLE_URI_HEADERS": (["", "a=b;c@d,e?f&&"], ["a b", "<", ">", '"', "\x00"]),
    "URI_PARAM": (["lr", "a=b", "a=[x]/:&+$", "%61=%62", "a='b'"], ["", "=b", "a=", "a=b=c", "a@", "a;b", "a=%", "é"]),
    "URI_HEADER": (["a=", "a=b", "a?=[x]/:+$"], ["", "a", "=b", "a=b=c", "a=b&c=d", "a=%4", "a;=b", "a@=b"]),
    "STRICT_OPAQUE": (["//h/p?q=a,b;c#d[1]", "service:sos", "%20"], ["", "a b", "%2", "a|b", "é", "<", ">", '"', "\\"]),
    "OPAQUE": (["//h/{a}|^`", "é", "%20"], ["", "a b", "%2", "<", ">", '"', "\\", "\x7f", "\n"]),
    "TELEPHONE_SUBSCRIBER": (["+1-201-555-0123", "(7)0.42", "*#A", "+", "-"], ["", "1 2", "+12a", "g", "1;a"]),
    "SIP_VERSION": (["SIP/2.0", "sip/2.0", "SIP/10.001"], ["SIP/2", "SIP/.0", "SIP /2.0", "SIP/2.0 ", "HTTP/1.1"]),
    "METHOD": (["INVITE", "x-y"], ["", "IN VITE", "A/B"]),
    "REQUEST_URI": (["sip:h", "\x80<>", "%"], ["", "a b", "a\tb", "\x7f", "a\x00"]),
    "STATUS_CODE": (["100", "699"], ["099", "700", "20", "2000", "\u0661\u0660\u0660"]),
    "REASON_PHRASE": (["", "OK", "a\tb \xff"], ["a\r", "a\x00", "\x7f", "\n"]),
    "STATUS_LINE": (
        ["SIP/2.0 200 OK", "SIP/2.0 200 ", "SIP/2.0 200"],
        ["SIP/2.0 20", "SIP/2.0  200 OK", "SIP/2.0 200OK"],
    ),
    "REQUEST_LINE": (["A sip:h SIP/2.0"], ["A  sip:h SIP/2.0", "A sip:h  SIP/2.0", " A b SIP/2.0", "A b SIP/2.0 "]),
    "START_LINE": (["A b SIP/2.0\r\n", "SIP/2.0 200\n"], ["A b SIP/2.0", "A b SIP/2.0\r", "SIP/2.0 200 \r\r\n"]),
    "EMPTY_LINES": (["", "\r\n", "\n\r\n\n"], ["\r", "\r\n\r", " \r\n", "\n\r\r\n"]),
    "HEADER_NAME": (["Via", "v"], ["", "Via ", "Via:", "\xe9"]),
    "HEADER": (["a:\r\n", "a : b\n c\n\td\r\n", "a\n"], ["a:b", ":b\n", "a:b\nc:d\n", " a:b\n"]),
    "HEAD_END": (["\n\r\n", "\n\n"], ["\r\n", "\n\r\r\n", "\n \n"]),
    "FIELD_VALUE": (
        ["", 'a "b" \xff\t', '"\\\x01"', "(\\\x01)", "\\\x7f", "a\r\n b\n\tc", '"a\r\n b', '"\\\r\n b"', "\\", '"\\'],
        ["\x01", "\\\\\x01", '"\x01"', "a\r\nb", '"\\\n"', "\\\r", "a\rb", '"\\\\\\\\\x7f"'],
    ),
}
"""Rule to texts that are it from end to end, and texts that are not."""


@pytest.mark.parametrize("name", RULES)
def test_a_rule(name: str):
    taken, refused = RULES[name]
    pattern = re.compile(getattr(grammar, name))
    for text in taken:
        assert pattern.fullmatch(text), text
    for text in refused:
        assert not pattern.fullmatch(text), text


FOR_TEXT_ALONE = (
    "USER", "USERINFO", "OPAQUE", "READABLE_HOST", "HOSTPORT", "READABLE_USERINFO",
    "READABLE_URI_PARAM", "READABLE_URI_HEADERS",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in RULES if name not in FOR_TEXT_ALONE])
def test_a_rule_of_bytes_is_that_of_text(name: str):
    taken, refused = RULES[name]
    pattern = re.compile(getattr(grammar, name).encode())
    for text in (*taken, *refused):
        if max(text, default="\0") < "\u0100":
            assert bool(pattern.fullmatch(text.encode("latin-1"))) == (text in taken), text


def test_groups():
    request = re.match(grammar.START_LINE, "INVITE sip:h SIP/2.0\r\n")
    assert request is not None
    assert request.groups() == (None, None, None, "INVITE", "sip:h", "SIP/2.0")
    response = re.match(grammar.START_LINE, "SIP/2.0 200 All well\n")
    assert response is not None
    assert response.groups() == ("SIP/2.0", "200", "All well", None, None, None)
    parameter = re.match(grammar.GENERIC_PARAM, ' a = "b\\"" ')
    assert parameter is not None
    assert parameter.groups() == ("a", None, 'b\\"')
    odd = re.match(grammar.READABLE_PARAM, " a = b( ")
    assert odd is not None
    assert odd.groups() == ("a", "=", "b(")
    userinfo = re.match(grammar.USERINFO, "a:b@h")
    assert userinfo is not None
    assert userinfo.groups() == ("a", "b")


HEADS = (
    b"",
    b"a:\r\n",
    b"Via: x\r\nl: 5\r\nX-Y:\r\n",
    b"Content-Length: 0\r\n",
    b"Call-ID: 1\r\nContent-Lengthy: 1\r\nlength: 1\r\n",
)
FOLDED = (b"a:b\n c\n", b"a : b\r\n", b"l: 1\r\nl: 1\r\n", b"l:1\r\nc:x\r\nContent-Length:1\r\n", b"l: x\r\n", b"a:b\n")
MALFORMED = (b"a\r\n", b" a:b\r\n", b":b\r\n", b"a b:c\r\n", b"a:b\r\nc\r\n", b"a-\r\nb:c\r\n")


@pytest.mark.parametrize("head", [*HEADS, *FOLDED])
def test_header_lines(head: bytes):
    found = re.match(grammar.HEADER_LINES.encode(), head + b"\r\n")
    assert found is not None
    assert found.end() == len(head)
    assert b"".join(line[0] for line in re.finditer(grammar.HEADER.encode(), head)) == head


@pytest.mark.parametrize("head", MALFORMED)
def test_header_lines_refused(head: bytes):
    assert not re.match(grammar.HEADER_LINES.encode(), head + b"\r\n")
    assert not re.match(grammar.UNFOLDED_HEADERS.encode(), head + b"\r\n")


def test_unfolded_headers():
    pattern = re.compile(grammar.UNFOLDED_HEADERS.encode())
    lengths = []
    for head in HEADS:
        found = pattern.match(head + b"\r\nbody")
        assert found is not None
        assert found.end() == len(head) + 2
        lengths.append(found[1])
    assert lengths == [None, None, b"5", b"0", None]
    assert not any(pattern.match(head + b"\r\nbody") for head in FOLDED)


def test_content_lengths():
    head = b"INVITE sip:h SIP/2.0\r\nContent-length : 1\r\nl:\r\n 2\r\nX: l: 3\r\nxl: 4\r\nL: 5\n\n"
    assert re.findall(grammar.CONTENT_LENGTHS.encode(), head) == [b" 1\r", b"\r\n 2\r", b" 5"]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"0", 0),
        (b" 5 ", 5),
        (b"\t00012\r", 12),
        (b"\r\n 7\r\n", 7),
        (b"999999999", 999_999_999),
        (b"0" * 5000 + b"1", 1),
        (b"0" * 5000, 0),
    ],
)
def test_content_length(value: bytes, number: int):
    assert grammar.read_content_length(value) == number


@pytest.mark.parametrize(
    ("value", "reason", "offset"),
    [
        (b"", "Content-Length is not a number", 0),
        (b"  ", "Content-Length is not a number", 0),
        (b" x", "Content-Length is not a number", 1),
        (b"-1", "Content-Length is not a number", 0),
        (b"+1", "Content-Length is not a number", 0),
        (b"1_0", "Content-Length is not a number", 0),
        (b"1 2", "Content-Length is not a number", 0),
        (b"1\r\n 2", "Content-Length is not a number", 0),
        (b"1, 1", "Content-Length is not a number", 0),
        (b"\xd9\xa1", "Content-Length is not a number", 0),
        (b"\x0c1", "Content-Length is not a number", 0),
        (b" 1000000000", "Content-Length is too large", 1),
        (b"9" * 5000, "Content-Length is too large", 0),
    ],
)
def test_content_length_refused(value: bytes, reason: str, offset: int):
    with pytest.raises(HeaderError) as caught:
        grammar.read_content_length(value)
    assert (caught.value.reason, caught.value.header, caught.value.offset) == (reason, "Content-Length", offset)


def test_status_codes(both: tuple[ModuleType, ModuleType]):
    def reads(module: ModuleType, text: str) -> bool:
        try:
            return str(module.parse(f"SIP/2.0 {text} x\r\n\r\n").status_code) == text
        except ParseError:
            return False

    lowest, highest = _limits.STATUS_CODES
    codes = {f"{code:03}" for code in range(lowest, highest + 1)}
    every = [f"{code:03}" for code in range(10000)]
    assert {text for text in every if re.fullmatch(grammar.STATUS_CODE, text)} == codes
    for module in both:
        assert {text for text in every if reads(module, text)} == codes
        assert {f"{module.Message.response(int(text)).status_code:03}" for text in codes} == codes


def test_the_largest_content_length():
    assert grammar.read_content_length(b"%d" % MAX_CONTENT_LENGTH) == MAX_CONTENT_LENGTH
    with pytest.raises(HeaderError):
        grammar.read_content_length(b"%d" % (MAX_CONTENT_LENGTH + 1))


def test_no_possessive_group():
    """CPython up to 3.11.4 reads those wrong (gh-106052)."""
    for name, rule in rules(grammar).items():
        assert not re.search(r"\)[*+?]\+", rule), name


def rules(module: ModuleType) -> dict[str, Any]:
    return {name: rule for name, rule in vars(module).items() if name.lstrip("_").isupper() and isinstance(rule, str)}


def test_control_bytes_are_found_as_by_the_rule():
    """What is counted says the same as what is read."""
    rule, control = re.compile(grammar.FIELD_VALUE.encode()), re.compile(f"[{grammar.CONTROL_CHARS}]".encode())
    for length in range(7):
        for letters in itertools.product(b"\\\r\n \x01a", repeat=length):
            value = bytes(letters)
            first = control.search(value, rule.match(value).end())
            assert bad_control(value) == (first.start() if first else -1), value
