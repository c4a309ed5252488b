"""Messages: the wire rules one by one, the Message API, what cannot be injected, what a message costs.

Every test runs on both implementations. That they agree on everything else is test_agreement.py's business.
"""

import copy
import gc
import itertools
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from agreement import REQUEST, Text, outcome, text_of
from growth import assert_linear
from hypothesis import example, given
from hypothesis import strategies as st

from sipstack.errors import HeaderError, ParseError, SerializeError, SipError
from sipstack.headers import STAR, CSeq, NameAddr, Via
from sipstack.uri import SipUri, TelUri

TOO_LARGE = 513
START = b"OPTIONS sip:a@b SIP/2.0\r\n"


def head(*lines: bytes) -> bytes:
    return START + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def request(impl: ModuleType, *lines: bytes, body: bytes = b"") -> Any:
    return impl.parse(head(*lines) + body)


def refusal(impl: ModuleType, data: bytes, **limits: int) -> tuple[str, int, int]:
    with pytest.raises(ParseError) as caught:
        impl.parse(data, **limits)
    assert isinstance(caught.value, (SipError, ValueError))
    assert str(caught.value) == f"{caught.value.reason} (byte {caught.value.offset})"
    return caught.value.args


# --- rule 1: lines


@pytest.mark.parametrize("empty", [b"", b"\r\n", b"\n", b"\r\n\r\n", b"\n\r\n\n", b"\r\n" * 1000])
def test_empty_lines_before_the_start_line_are_skipped(impl: ModuleType, empty: bytes):
    message = impl.parse(empty + head(b"Via: x"))
    assert message.to_bytes() == head(b"Via: x")
    assert message.get_header("Via") == "x"
    message.add_header("X", "1")
    assert message.to_bytes() == head(b"Via: x", b"X: 1")


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\n\n", b"\r\n\r\n"])
def test_only_empty_lines_are_no_message(impl: ModuleType, data: bytes):
    reason = "no message, only empty lines" if data else "no message, no bytes"
    assert refusal(impl, data) == (reason, len(data), 400)


def test_crlf_and_lf_end_a_line_mixed_too(impl: ModuleType):
    data = b"OPTIONS sip:a@b SIP/2.0\nVia: x\r\nTo: y\nl: 1\r\n\nab"
    message = impl.parse(data)
    assert message.headers.items() == [("Via", "x"), ("To", "y"), ("l", "1")]
    assert message.body == b"a"
    assert message.to_bytes() == data[:-1]


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\rOPTIONS sip:a SIP/2.0\r\n\r\n", 0),
        (b"OPTIONS\rsip:a SIP/2.0\r\n\r\n", 7),
        (b"OPTIONS sip:a SIP/2.0\rVia: x\r\n\r\n", 21),
        (b"OPTIONS sip:a SIP/2.0\r\r\n\r\n", 21),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\ry\r\n\r\n", 29),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\r\n\r\n", 29),
        (b"OPTIONS sip:a SIP/2.0\r\nVia\r: x\r\n\r\n", 26),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\r\n", 31),
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r", 31),
        (b"SIP/2.0 200 O\rK\r\n\r\n", 13),
    ],
)
def test_a_bare_cr_is_refused(impl: ModuleType, data: bytes, offset: int):
    assert refusal(impl, data) == ("bare CR", offset, 400)


# --- rule 2: start lines


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"OPTIONS sip:a SIP/2.0", ("OPTIONS", "sip:a", "SIP/2.0")),
        (b"options tel:+1 sip/2.0", ("options", "tel:+1", "sip/2.0")),
        (b"-.!%*_+`'~09 * SIP/2.00", ("-.!%*_+`'~09", "*", "SIP/2.00")),
        (b"X \xc3\xa9\xff SIP/123.456", ("X", "\u00e9\udcff", "SIP/123.456")),
        (b'A <>"{}|\\^`; SIP/2.0', ("A", '<>"{}|\\^`;', "SIP/2.0")),
    ],
)
def test_request_lines(impl: ModuleType, line: bytes, parts: tuple[str, str, str]):
    message = impl.parse(line + b"\r\n\r\n")
    assert (message.method, message.request_uri, message.version) == parts
    assert (message.is_request, message.status_code, message.status_text) == (True, 0, "")
    assert message.to_bytes() == line + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"SIP/2.0 200 OK", (200, "OK", "SIP/2.0")),
        (b"SIP/2.0 100 ", (100, "", "SIP/2.0")),
        (b"SIP/2.0 699", (699, "", "SIP/2.0")),
        (b"sip/2.1 404  two\tblanks ", (404, " two\tblanks ", "sip/2.1")),
        (b"SIP/2.0 400 \xe2\x82\xac\xff", (400, "\u20ac\udcff", "SIP/2.0")),
    ],
)
def test_status_lines(impl: ModuleType, line: bytes, parts: tuple[int, str, str]):
    message = impl.parse(line + b"\r\n\r\n")
    assert (message.status_code, message.status_text, message.version) == parts
    assert (message.is_request, message.method, message.request_uri, message.uri) == (False, "", "", None)
    assert message.to_bytes() == line + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "reason", "offset"),
    [
        (b"OPTIONS", "request line ends after the method", 7),
        (b"OPTIONS ", "request line ends after the Request-URI", 8),
        (b"OPTIONS sip:a", "request line ends after the Request-URI", 13),
        (b"OPTIONS sip:a ", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS  sip:a SIP/2.0", "Request-URI is missing or there is more than one space before it", 8),
        (b"OPTIONS sip:a  SIP/2.0", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a SIP/2.0 ", "more text behind the SIP version", 21),
        (b"OPTIONS sip:a SIP/2.0x", "more text behind the SIP version", 21),
        (b"OPTIONS sip:a b SIP/2.0", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a HTTP/1.1", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a SIP/2", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a SIP/.0", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a SIP/2.", "SIP version is missing or there is a space too many", 14),
        (b"OPTIONS sip:a SIP/+2.0", "SIP version is missing or there is a space too many", 14),
        (b" OPTIONS sip:a SIP/2.0", "method is missing", 0),
        (b"OPT:IONS sip:a SIP/2.0", "method has a byte that is no token", 3),
        (b"\xc3\xa9 sip:a SIP/2.0", "method is missing", 0),
        (b"OPTIONS\tsip:a SIP/2.0", "method has a byte that is no token", 7),
        (b"OPTIONS sip:a\tSIP/2.0", "tab in the request line", 13),
        (b"OPTIONS sip:\ta SIP/2.0", "tab in the request line", 12),
        (b"SIP/2.0", "status code is missing or not a number", 7),
        (b"SIP/2.0 ", "status code is missing or not a number", 7),
        (b"SIP/2.0  200 OK", "status code is missing or not a number", 7),
        (b"SIP/2.0 20x OK", "status code is missing or not a number", 7),
        (b"SIP/2.0 +20 OK", "status code is missing or not a number", 7),
        (b"SIP/2.0 \xd9\xa2\xd9\xa0\xd9\xa0 OK", "status code is missing or not a number", 7),
        (b"SIP/2.0 200\tOK", "status code is missing or not a number", 7),
        (b"SIP/2.0 99 Low", "status code is not in 100..699", 8),
        (b"SIP/2.0 099 Low", "status code is not in 100..699", 8),
        (b"SIP/2.0 0200 OK", "status code is not in 100..699", 8),
        (b"SIP/2.0 700 High", "status code is not in 100..699", 8),
        (b"SIP/2.0 4294967496 Wrapped", "status code is not in 100..699", 8),
        (b"SIP/ 200 OK", "SIP version is malformed", 4),
        (b"SIP/2 200 OK", "SIP version is malformed", 4),
        (b"SIP/2.0x 200 OK", "SIP version is malformed", 7),
        (b"sip/x.0 200 OK", "SIP version is malformed", 4),
    ],
)
def test_start_lines_that_are_refused(impl: ModuleType, line: bytes, reason: str, offset: int):
    assert refusal(impl, line + b"\r\nVia: x\r\n\r\n") == (reason, offset, 400)
    # Counted from the start of the data, empty lines too.
    assert refusal(impl, b"\r\n\n" + line + b"\n\n") == (reason, offset + 3, 400)


def test_a_start_line_without_its_end(impl: ModuleType):
    assert refusal(impl, b"OPTIONS sip:a SIP/2.0") == ("start line has no line end", 21, 400)
    assert refusal(impl, b"OPTIONS") == ("request line ends after the method", 7, 400)


# --- rule 3: headers


@pytest.mark.parametrize(
    ("line", "item"),
    [
        (b"Via: x", ("Via", "x")),
        (b"Via:x", ("Via", "x")),
        (b"Via \t : \t x y \t ", ("Via", "x y")),
        (b"-.!%*_+`'~09aZ:v", ("-.!%*_+`'~09aZ", "v")),
        (b"Subject:", ("Subject", "")),
        (b"Subject: \t ", ("Subject", "")),
        (b"X: a:b: c", ("X", "a:b: c")),
        (b"X: a\tb", ("X", "a\tb")),
        (b"X: \xa0 \xc2\xa0", ("X", "\udca0 \u00a0")),  # only SP and HTAB are blanks
        (b"X: \xe2\x80\xa8", ("X", "\u2028")),
        (b"S: a", ("S", "a")),
    ],
)
def test_headers(impl: ModuleType, line: bytes, item: tuple[str, str]):
    message = request(impl, line, b"Last: 1")
    assert message.headers.items() == [item, ("Last", "1")]
    assert message.get_header(item[0].upper()) == item[1]
    assert message.to_bytes() == head(line, b"Last: 1")


@pytest.mark.parametrize(
    ("line", "reason", "offset"),
    [
        (b"Via", "header line has no colon", 3),
        (b": x", "header name is empty", 0),
        (b"Vi a: x", "header name has a space in it", 2),
        (b"V(a: x", "header name has a byte that is no token", 1),
        (b"V\xc3\xa9: x", "header name has a byte that is no token", 1),
        (b"V@a: x", "header name has a byte that is no token", 1),
        (b"Via\x00: x", "control byte in a header name", 3),
        (b"\x0bVia: x", "control byte in a header name", 0),
        (b"Via \x7f: x", "control byte in a header name", 4),
    ],
)
def test_header_lines_that_are_refused(impl: ModuleType, line: bytes, reason: str, offset: int):
    for lines in ((line,), (b"To: y", line), (line, b"To: y")):
        data = head(*lines)
        assert refusal(impl, data) == (reason, data.index(line) + offset, 400)


@pytest.mark.parametrize(
    "data", [START, START + b"Via: x", START + b"Via: x\r\n", START + b"Via: x\r\n y\r\n", START + b"V"]
)
def test_a_head_without_an_empty_line(impl: ModuleType, data: bytes):
    assert refusal(impl, data) == ("header section does not end with an empty line", len(data), 400)


# --- rule 4: folds


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"a\r\n b", "a b"),
        (b"a\n\tb", "a b"),
        (b"a \t\r\n \t b", "a b"),
        (b"\r\n a", "a"),
        (b"a\r\n ", "a"),
        (b"\r\n \r\n\t", ""),
        (b"a\r\n \r\n b", "a b"),
        (b"a\r\n b\r\n c", "a b c"),
        (b'"a\\\r\n b"', '"a\\ b"'),
        (b"a\r\n : b", "a : b"),
        (b"a\r\n X: b", "a X: b"),
    ],
)
def test_folds_are_read_as_one_space_and_left_as_they_are(impl: ModuleType, value: bytes, read: str):
    data = head(b"Subject: " + value, b"To: x")
    message = impl.parse(data)
    assert message.headers.items() == [("Subject", read), ("To", "x")]
    message.add_header("X", "1")
    assert message.to_bytes() == data[:-2] + b"X: 1\r\n\r\n"


def test_a_fold_before_the_first_header_is_refused(impl: ModuleType):
    for fold in (b" a", b"\ta: b", b" "):
        assert refusal(impl, head(fold)) == ("folded line before the first header", len(START), 400)


def test_a_fold_at_the_very_end(impl: ModuleType):
    assert refusal(impl, START + b"X: a\r\n ") == (
        "header section does not end with an empty line",
        len(START) + 7,
        400,
    )
    assert request(impl, b"X: a\r\n ").get_header("X") == "a"


def test_a_folded_content_length(impl: ModuleType):
    assert request(impl, b"Content-Length:\r\n 1", body=b"ab").body == b"a"
    assert refusal(impl, head(b"Content-Length: 1\r\n 0") + b"a" * 10)[0] == "Content-Length is not a number"


# --- rule 5: control bytes

CONTROLS = [*range(9), 11, 12, *range(14, 32), 127]


@pytest.mark.parametrize("before", ["", "X: ü\r\n", "X: üü\r\n\ty\r\nS: é\r\n"])
def test_text_over_ascii_hides_no_control_byte(impl: ModuleType, before: str):
    """Wherever both stand, in a value of every length: the head is looked at in blocks."""
    start = b"OPTIONS sip:a@b SIP/2.0\r\n" + before.encode()
    for place in range(140):
        text = b"~" * place + "ü".encode() + b"~" * (139 - place)
        message = impl.parse(start + b"Subject: " + text + b"\r\nTo: a\r\n\r\n")
        assert message.headers.items()[-2:] == [("Subject", text.decode()), ("To", "a")]
        for at in {0, place - 1, place + 2, place + 3, 62, 63, 64, 65, 140} & set(range(141)) - {place, place + 1}:
            data = start + b"Subject: " + text[:at] + b"\x7f" + text[at + 1 :] + b"\r\nTo: a\r\n\r\n"
            assert refusal(impl, data) == ("control byte in a header value", len(start) + 9 + at, 400)


@pytest.mark.parametrize("control", CONTROLS)
def test_control_bytes_are_refused_but_behind_a_backslash(impl: ModuleType, control: int):
    byte = bytes((control,))
    for prefix in (b"", b"a", b"\\\\", b'"a', b'"a\\\\', b"(\\\\\\\\", b'"', b"x" * 100):
        data = head(b"X: " + prefix + byte + b'b"')
        offset = len(START) + 3 + len(prefix)
        assert refusal(impl, data) == ("control byte in a header value", offset, 400)
    for before, behind in (('"a', 'b"'), ("(a", "b)"), ("", ""), ("a\\\\", "")):
        quoted = request(impl, f"X: {before}\\".encode() + byte + behind.encode(), b"Y: 1")
        assert quoted.headers.items() == [("X", f"{before}\\{chr(control)}{behind}"), ("Y", "1")]
    for line in (b"OPTIONS sip:" + byte + b"a SIP/2.0", b"SIP/2.0 200 O" + byte + b"K", b'A "\\' + byte + b'" SIP/2.0'):
        place = line.index(byte)
        assert refusal(impl, line + b"\r\n\r\n") == ("control byte in the start line", place, 400)


def test_a_quoted_string_that_is_not_closed_may_hold_quoted_pairs(impl: ModuleType):
    assert request(impl, b'X: "a\\\x00').get_header("X") == '"a\\\x00'


EDGES = b"a\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xdf\xe0\xe1\xec\xed\xef\xf0\xf1\xf4\xf5"


def test_bytes_are_read_as_python_reads_them(impl: ModuleType):
    """Whatever they are: UTF-8 where they are that, and each other byte as surrogateescape has it."""
    for first, second in itertools.product(range(0x80, 0x100), repeat=2):
        same_text(impl, bytes([first, second]))
    for length in (3, 4):
        for some in itertools.product(EDGES, repeat=length):
            same_text(impl, bytes(some))
    for text in ("\xe9", "\u20ac\xe9", "\U0001f600", "\uffff", "\U0010ffff"):
        for padding in range(18):
            same_text(impl, b"a" * padding + text.encode() + b"a" * padding + b"\xe2\x82")
            same_text(impl, b"a" * padding + text.encode() + b"a" * padding)


def same_text(impl: ModuleType, data: bytes) -> None:
    read = request(impl, b"X: <" + data + b">").get_header("X")
    expected = (b"<" + data + b">").decode("utf-8", "surrogateescape")
    assert read == expected
    assert read.isascii() == expected.isascii()
    assert hash(read) == hash(expected)
    assert sys.getsizeof(read) == sys.getsizeof(expected)


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_bytes_over_0x7f_survive_everywhere(impl: ModuleType, byte: int):
    data = b"A sip:%c SIP/2.0\r\nX: %c\r\n\r\n%c" % (byte, byte, byte)
    message = impl.parse(data)
    assert message.request_uri == "sip:" + bytes((byte,)).decode("utf-8", "surrogateescape")
    assert message.get_header("X").encode("utf-8", "surrogateescape") == bytes((byte,))
    message.set_header("X", message.get_header("X") + "!")
    message.request_uri = message.request_uri + "!"
    assert message.to_bytes() == b"A sip:%c! SIP/2.0\r\nX: %c!\r\n\r\n%c" % (byte, byte, byte)


# --- rules 6 and 7: bodies and numbers


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((), b"abcdef"),
        ((b"Content-Length: 3",), b"abc"),
        ((b"l:3",), b"abc"),
        ((b"CONTENT-length \t: \t 3 \t",), b"abc"),
        ((b"Content-Length: 6",), b"abcdef"),
        ((b"Content-Length: 0",), b""),
        ((b"Content-Length: 0000000003",), b"abc"),
        ((b"Content-Length: " + b"0" * 10_000 + b"3",), b"abc"),
        ((b"Content-Length: 3", b"l: 03"), b"abc"),
        ((b"X-Content-Length: 1", b"Content-Length-X: 1", b"L : 2"), b"ab"),
        ((b"Subject: a\r\n l: 1",), b"abcdef"),
        ((b'Subject: "\\\x01"', b"l: 2"), b"ab"),
    ],
)
def test_bodies(impl: ModuleType, lines: tuple[bytes, ...], body: bytes):
    message = request(impl, *lines, body=b"abcdef")
    assert message.body == body
    assert message.to_bytes() == head(*lines) + body
    assert message.content_length in (None, len(body))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"7", "Content-Length is more than the bytes that are there"),
        (b"999999999", "Content-Length is more than the bytes that are there"),
        (b"1000000000", "Content-Length is too large"),
        (b"4294967296", "Content-Length is too large"),
        (b"4294967328", "Content-Length is too large"),
        (b"9223372036854775808", "Content-Length is too large"),
        (b"18446744073709551616", "Content-Length is too large"),
        (b"9" * 10_000, "Content-Length is too large"),
        (b"", "Content-Length is not a number"),
        (b"-1", "Content-Length is not a number"),
        (b"+5", "Content-Length is not a number"),
        (b"1_0", "Content-Length is not a number"),
        (b"0x1", "Content-Length is not a number"),
        (b"1.0", "Content-Length is not a number"),
        (b"1 2", "Content-Length is not a number"),
        (b"1,1", "Content-Length is not a number"),
        (b"1;x", "Content-Length is not a number"),
        (b"1a", "Content-Length is not a number"),
        (b"\xd9\xa1", "Content-Length is not a number"),  # an Arabic digit
        (b"\xef\xbc\x91", "Content-Length is not a number"),  # a full-width digit
        (b"\xb2", "Content-Length is not a number"),
    ],
)
def test_content_lengths_that_are_refused(impl: ModuleType, value: bytes, reason: str):
    for name in (b"Content-Length: ", b"l: ", b"content-length:"):
        data = head(b"Via: x", name + value, b"To: y") + b"abcdef"
        offset = len(data) if "bytes" in reason else data.index(name) + (name.rstrip() + value).index(b":") + 1
        offset += 0 if "bytes" in reason else (1 if value and name.endswith(b" ") else 0)
        assert refusal(impl, data) == (reason, offset, 400)


def test_two_content_lengths_that_differ(impl: ModuleType):
    for second in (b"Content-Length: 4", b"l:4", b"L : 4"):
        data = head(b"Content-Length: 3", second) + b"abcdef"
        assert refusal(impl, data) == ("two Content-Length headers differ", data.index(b"4"), 400)
    assert refusal(impl, head(b"l: 3", b"l: x") + b"abc")[0] == "Content-Length is not a number"


@pytest.mark.parametrize(
    ("attribute", "line", "value"),
    [
        ("cseq", b"CSeq: 2147483647 A", CSeq(2147483647, "A")),
        ("cseq", b"CSeq: 2147483648 A", "CSeq is out of range"),
        ("cseq", b"CSeq: 4294967296 A", "CSeq is out of range"),
        ("cseq", b"CSeq: -1 A", "CSeq is not a number and a method"),
        ("cseq", b"CSeq: \xd9\xa1 A", "CSeq is not a number and a method"),
        ("cseq", b"CSeq: 1", "CSeq is not a number and a method"),
        ("max_forwards", b"Max-Forwards: 255", 255),
        ("max_forwards", b"Max-Forwards: 0", 0),
        ("max_forwards", b"Max-Forwards: 0000000000000000000255", 255),
        ("max_forwards", b"Max-Forwards: 256", "Max-Forwards is out of range"),
        ("max_forwards", b"Max-Forwards: 4294967297", "Max-Forwards is out of range"),
        ("max_forwards", b"Max-Forwards: -1", "Max-Forwards is not a number"),
        ("max_forwards", b"Max-Forwards:", "Max-Forwards is not a number"),
        ("max_forwards", b"Max-Forwards: \xc2\xb2", "Max-Forwards is not a number"),
        ("via", b"Via: SIP/2.0/UDP h:65535", Via("h", port=65535)),
        ("via", b"Via: SIP/2.0/UDP h:65536", "port is out of range"),
        ("via", b"Via: SIP/2.0/UDP h:4295032832", "port is out of range"),
        ("via", b"Via: SIP/2.0/\\\x16UD~PTo :::]", "Via is not protocol/version/transport and host"),
        ("via", b"Via: SIP/2.0/UDP h;branch=", Via.parse("SIP/2.0/UDP h;branch")),
        ("via", b"Via: SIP/2.0/UDP h;branch", Via.parse("SIP/2.0/UDP h;branch=")),
        ("via", b"Via:", "Via is not protocol/version/transport and host"),
        ("via", b"Via: ,SIP/2.0/UDP h", Via("h")),
        ("via", b"Via: SIP/2.0/UDP [::1", "Via is not protocol/version/transport and host"),
        ("from_tag", b"From: <sip:a@b>;tag=x", "x"),
        ("from_tag", b"From: <sip:a@b>", None),
        ("from_tag", b"From: <sip:a@b>;tag=", None),
        ("from_tag", b"From: <sip:a@b>;tag", None),
        ("from_tag", b"From: <sip:a@b>;tag=x;tag=x", "x"),
        ("from_tag", b"From: <sip:a@b>;tag=x;TAG=y", "parameter tag twice"),
        ("from_tag", b"From: <sip:a@b", "< is not closed"),
        ("to_tag", b't: "a <sip:a@b>', "quoted string is not closed or holds a control character"),
        ("to_tag", b"t: sip:a%4", "% without two hexadecimal digits"),
        ("to_tag", b"t: sip:a%", "% without two hexadecimal digits"),
        ("to_tag", b"t: sip:[::1", "host is not a host name or address"),
        ("contacts", b"m: sip:a@b;x, <sip:c@d>", (NameAddr("sip:a@b", params={"x": None}), NameAddr("sip:c@d"))),
        ("contacts", b"Contact: *", (STAR,)),
        ("contacts", b"X: 1", ()),
        ("contacts", b"Contact: sip:a@b, *", "URI has no scheme"),
        ("content_type", b"c: text/plain", None),
        ("content_type", b"Content-Type: text", "media type is not type/subtype"),
        ("rack", b"RAck: 1 2", "RAck is not two numbers and a method"),
        ("call_id", b'i: <a>\\@"', '<a>\\@"'),
        ("routes", b"Route: <sip:a;lr>, <sip:b;lr>", (NameAddr("sip:a;lr"), NameAddr("sip:b;lr"))),
        ("record_routes", b"Record-Route: <sip:a;lr", "< is not closed"),
    ],
)
def test_values_by_attribute(impl: ModuleType, attribute: str, line: bytes, value: Any):
    """What is wrong with a value is raised where it is asked for, with the header's name; the message is readable."""
    message = request(impl, line)
    name = {b"t": "To", b"m": "Contact", b"i": "Call-ID", b"c": "Content-Type"}.get(
        line[:1], line.split(b":")[0].decode()
    )
    for _ in range(2):
        found = outcome(getattr, message, attribute)
        if isinstance(value, str) and attribute != "call_id" and value != "x":
            assert found[0] is HeaderError
            assert found[1][:2] == (value, name)
            assert 0 <= found[1][2] <= len(line)
            assert found[1][3] == 400
        elif attribute == "content_type":
            assert str(found) == "text/plain"
        else:
            assert found == value
            assert type(found) is type(value)
    assert message.to_bytes() == head(line)


def test_a_branch_of_64_kib(impl: ModuleType):
    branch = b"z9hG4bK" + b"a" * 65_000
    assert request(impl, b"Via: SIP/2.0/UDP h;branch=" + branch).via.branch == branch.decode()


# --- rule 8: limits


def test_the_size_limit(impl: ModuleType):
    data = head(b"X: " + b"a" * (65_535 - len(head(b"X: "))))
    assert len(data) == 65_535
    assert impl.parse(data).to_bytes() == data
    assert refusal(impl, data + b"b") == ("message is too large", 65_535, TOO_LARGE)
    assert impl.parse(data + b"b", max_size=65_536).body == b"b"
    assert refusal(impl, data, max_size=100) == ("message is too large", 100, TOO_LARGE)
    assert refusal(impl, b"\0" * 101, max_size=100)[2] == TOO_LARGE


def test_the_header_limit(impl: ModuleType):
    lines = [b"X: %d" % number for number in range(257)]
    assert len(request(impl, *lines[:256]).headers) == 256
    data = head(*lines)
    assert refusal(impl, data) == ("too many headers", data.index(b"X: 256"), TOO_LARGE)
    assert impl.parse(data, max_headers=257).get_headers("x")[-1] == "256"
    assert refusal(impl, data, max_headers=3) == ("too many headers", data.index(b"X: 3"), TOO_LARGE)
    assert refusal(impl, head(b"X: 1"), max_headers=0) == ("too many headers", len(START), TOO_LARGE)
    assert len(impl.parse(head(), max_headers=0).headers) == 0


def test_folded_lines_are_no_headers(impl: ModuleType):
    assert len(impl.parse(head(b"X: a" + b"\r\n b" * 300, b"Y: 1"), max_headers=2).headers) == 2


def test_very_many_headers(impl: ModuleType):
    data = head(*[b"X: 1"] * 20_000)
    message = impl.parse(data, max_size=1 << 20, max_headers=20_000)
    assert len(message.headers) == 20_000
    assert message.remove_header("x") == 20_000
    assert message.to_bytes() == head()


def test_a_header_that_no_message_could_be_read_with(impl: ModuleType):
    message = impl.parse(head())
    before = message.to_bytes()
    long = "a" * (1 << 22)
    for name, value, what in ((long, "x", "header name"), ("X", long, "value of X"), ("Via", long, "value of Via")):
        for edit in (message.set_header, message.add_header, message.prepend_header):
            with pytest.raises(SerializeError, match=f"^{what} is over 4194303 bytes$"):
                edit(name, value)
        for build in (message.reply, impl.Message.response):
            with pytest.raises(SerializeError, match=f"^{what} is over 4194303 bytes$"):
                build(200, headers=[(name, value)])
    assert message.to_bytes() == before
    message.set_header("X", long[1:])
    assert message.get_header("X") == long[1:]


def test_the_largest_max_size(impl: ModuleType):
    largest = (1 << 22) - 1
    data = head() + b"a" * (largest - len(head()))
    assert len(impl.parse(data, max_size=largest).to_bytes()) == largest
    with pytest.raises(ValueError, match="max_size must be from 1 to 4194303"):
        impl.parse(head(), max_size=largest + 1)


# --- what parse takes


def test_parse_takes_anything_like_bytes_and_text(impl: ModuleType):
    data = head(b"Subject: \xc3\xa9\xff") + b"\x00\xff"
    expected = impl.parse(data)
    text = data.decode("utf-8", "surrogateescape")
    shared = bytearray(data)
    for given_data in (shared, memoryview(data), memoryview(shared), text, memoryview(data + b"..")[:-2]):
        assert impl.parse(given_data) == expected
    changed = bytearray(data)
    message = impl.parse(changed)
    changed[:] = b"x" * len(changed)
    assert message == expected
    assert refusal(impl, "OPTIONS \ud800") == ("text is not UTF-8", 8, 400)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [None, 1, [b"a"], object(), b"a".hex])
def test_parse_takes_nothing_else(impl: ModuleType, data: Any):
    with pytest.raises(TypeError, match="data must be bytes"):
        impl.parse(data)


def test_a_subclass_of_bytes_is_read(impl: ModuleType):
    class Bytes(bytes):
        pass

    message = impl.parse(Bytes(head(b"X: 1")))
    assert type(message.to_bytes()) is bytes
    assert message.get_header("X") == "1"


# --- headers as text


@pytest.fixture
def message(impl: ModuleType) -> Any:
    return impl.parse(REQUEST)


def names(message: Any) -> list[str]:
    return [name for name, _ in message.headers.items()]


@pytest.mark.parametrize(("short", "long"), [
    ("a", "Accept-Contact"), ("b", "Referred-By"), ("c", "Content-Type"), ("d", "Request-Disposition"),
    ("e", "Content-Encoding"), ("f", "From"), ("i", "Call-ID"), ("j", "Reject-Contact"), ("k", "Supported"),
    ("l", "Content-Length"), ("m", "Contact"), ("o", "Event"), ("r", "Refer-To"), ("s", "Subject"), ("t", "To"),
    ("u", "Allow-Events"), ("v", "Via"), ("x", "Session-Expires"), ("y", "Identity"),
])  # fmt: skip
def test_a_compact_form_is_its_long_name_everywhere(impl: ModuleType, short: str, long: str):
    for wire, asked in ((short, long), (long, short), (short.upper(), long.lower()), (long.upper(), short)):
        message = request(impl, wire.encode() + b": 0", b"A-B: 1")
        assert message.get_header(asked) == "0"
        assert message.get_headers(asked) == ["0"]
        assert asked in message.headers
        message.set_header(asked, "0")
        assert message.headers.items() == [(asked, "0"), ("A-B", "1")]
        message.add_header(wire, "0")
        message.prepend_header(asked, "0")
        assert message.get_headers(wire) == ["0"] * 3
        assert message.remove_first_header(asked)
        assert message.remove_header(wire) == 2
        assert names(message) == ["A-B"]


def test_unknown_names_are_compared_in_any_case(impl: ModuleType):
    message = request(impl, b"X-Foo: 1", b"x-fOO : 2", b"X-Fo: 3")
    assert message.get_headers("x-foo") == ["1", "2"]
    assert message.remove_header("X-FOO") == 2
    assert names(message) == ["X-Fo"]


def test_names_that_no_header_has(impl: ModuleType):
    message = request(impl, b"Via: x", b"k: 1", b"Content-Length: 0")
    for name in (
        "",
        "Vi",
        "Vi\u0430",
        "\u212a",
        "Via ",
        " Via",
        "Via:",
        "Content\rLength",
        "\udcff",
        "V\u0131a",
        "Via\0",
    ):
        assert message.get_header(name) is None
        assert message.get_header(name, 1) == 1
        assert message.get_headers(name) == []
        assert name not in message.headers
        assert message.remove_header(name) == 0
        assert message.remove_first_header(name) is False
    assert message.to_bytes() == head(b"Via: x", b"k: 1", b"Content-Length: 0")


@pytest.mark.parametrize("call", ["get_header", "get_headers", "remove_header", "remove_first_header"])
@pytest.mark.parametrize("name", [None, b"Via", 1])
def test_names_of_another_type(message: Any, call: str, name: Any):
    with pytest.raises(TypeError, match="header name must be str"):
        getattr(message, call)(name)


def test_set_replaces_the_first_and_drops_the_others(impl: ModuleType):
    message = request(impl, b"A: 1", b"X: 1", b"B: 2", b"x: 2", b"C: 3", b"X : 3")
    message.set_header("X", "new")
    assert message.headers.items() == [("A", "1"), ("X", "new"), ("B", "2"), ("C", "3")]
    message.set_header("Y", "added")
    assert message.headers.items()[-1] == ("Y", "added")
    message.set_header("Y", "")
    assert message.get_header("Y") == ""


def test_add_appends_and_prepend_goes_before_the_first_of_its_name(impl: ModuleType):
    message = request(impl, b"A: 1", b"X: 1", b"X: 2")
    message.add_header("x", 3)
    message.prepend_header("X", 0)
    assert message.headers.items() == [("A", "1"), ("X", "0"), ("X", "1"), ("X", "2"), ("x", "3")]
    message.prepend_header("Z", "top")
    assert names(message)[0] == "Z"
    empty = request(impl)
    empty.prepend_header("A", "1")
    assert empty.headers.items() == [("A", "1")]


def test_remove(impl: ModuleType):
    message = request(impl, b"v: 1", b"X: 1", b"Via: 2", b"VIA : 3")
    assert message.remove_first_header("Via") is True
    assert message.get_headers("Via") == ["2", "3"]
    assert message.remove_header("v") == 2
    assert message.remove_header("v") == 0
    assert message.remove_first_header("v") is False
    assert message.to_bytes() == head(b"X: 1")


def test_what_nobody_touched_leaves_as_it_came(impl: ModuleType):
    lines = (b"vIa  :\tx", b"TO:\r\n  y\r\n\tz", b"X:", b"i : \xff")
    message = request(impl, *lines, body=b"b")
    message.add_header("New", "1")
    message.remove_header("X")
    message.set_header("i", "2")
    assert message.to_bytes() == head(*lines[:2], b"i: 2", b"New: 1") + b"b"


def test_lf_line_ends_stay_where_nothing_was_edited(impl: ModuleType):
    message = impl.parse(b"OPTIONS sip:a SIP/2.0\nA: 1\nB: 2\n\nbody")
    message.set_header("A", "3")
    assert message.to_bytes() == b"OPTIONS sip:a SIP/2.0\nA: 3\r\nB: 2\n\r\nbody"


def test_values_may_be_text_numbers_or_header_values(message: Any):
    for value, text in ((70, "70"), ("", ""), (Via("h", branch="b"), "SIP/2.0/UDP h;branch=b"), (-1, "-1"),
                        (10**30, str(10**30)), (" a ", "a"), (SipUri("h"), "sip:h"),
                        ("\u00e9\udcff", "\u00e9\udcff")):  # fmt: skip
        message.set_header("X", value)
        assert message.get_header("X") == text
        assert f"X: {text}\r\n".encode("utf-8", "surrogateescape") in message.to_bytes()


@pytest.mark.parametrize("value", [None, b"x", 1.5, True, {"x"}, [["x"]], object()])
@pytest.mark.parametrize("call", ["set_header", "add_header", "prepend_header"])
def test_values_of_another_type(message: Any, call: str, value: Any):
    with pytest.raises(TypeError, match="must be str, int, a header value or several"):
        getattr(message, call)("X", value)
    assert message.to_bytes() == REQUEST


class Name(StrEnum):
    VIA = "VIA"


def test_subclasses_of_str(message: Any):
    for value in ("y", "z"):
        message.set_header(Text("X"), Text(f" {value} "))
        assert message.get_headers(Text("x")) == [value]
    assert type(message.get_header("X")) is str
    assert message.get_header(Name.VIA) == message.get_header("v")
    assert message.remove_header(Name.VIA) == 1


# --- the headers view


def test_the_view_is_live_and_has_the_names_of_a_multimapping(message: Any):
    headers = message.headers
    assert len(headers) == 9
    assert list(headers) == headers.keys() == names(message)
    assert (
        headers["call-id"] == headers.getone("i") == headers.get("Call-ID") == "a84b4c76e66710@pc33.atlanta.example.com"
    )
    assert headers.values()[1] == "70"
    with pytest.raises(KeyError):
        headers["X"]
    with pytest.raises(KeyError):
        headers.getall("X")
    with pytest.raises(KeyError):
        headers.popone("X")
    with pytest.raises(KeyError):
        headers.popall("X")
    with pytest.raises(KeyError):
        del headers["X"]
    assert (headers.getone("X", None), headers.get("X"), headers.get("X", 1)) == (None, None, 1)
    assert (headers.getall("X", 2), headers.popone("X", 3), headers.popall("X", 4)) == (2, 3, 4)
    headers.add("X", 1)
    headers.extend([("x", "2"), ("Y", "3")])
    assert headers.getall("X") == ["1", "2"]
    assert message.get_header("Y") == "3"
    headers["X"] = "4"
    assert headers.setdefault("X", "5") == "4"
    assert headers.setdefault("Z", "5") == "5"
    assert headers.setdefault("Empty") == ""
    headers.update({"x": "6", "Y": 7})
    assert (headers.getall("X"), headers.getall("Y")) == (["6"], ["7"])
    assert headers.pop("X") == "6"
    assert headers.popall("Y") == ["7"]
    del headers["Z"]
    assert "Z" not in headers
    assert 5 not in headers
    assert headers.popitem()[0] == "Via"
    assert repr(headers).startswith("<Headers [('Max-Forwards', '70'), ")
    with pytest.raises(TypeError):
        hash(headers)
    headers.clear()
    assert message.to_bytes() == REQUEST.split(b"\r\n")[0] + b"\r\n\r\nv=0\r\n"
    with pytest.raises(KeyError):
        headers.popitem()


def test_views_are_compared_by_their_items(impl: ModuleType):
    assert request(impl, b"A: 1").headers == request(impl, b"A:  1").headers
    assert request(impl, b"A: 1").headers != request(impl, b"A: 2").headers
    assert request(impl, b"A: 1").headers != [("A", "1")]


def test_headers_of_another_message_may_be_given(impl: ModuleType, message: Any):
    other = impl.Message.request("INVITE", "sip:x", headers=message.headers, body=b"v=0\r\n")
    assert other.headers == message.headers
    empty = request(impl, body=b"v=0\r\n")
    empty.headers.extend(other.headers)
    assert empty.headers == message.headers
    message.headers.update(message.headers)
    assert message.to_bytes() == REQUEST


@pytest.mark.parametrize("call", ["update", "extend"])
@pytest.mark.parametrize(
    "bad", [("Y", "a\nb"), ("Y Y", "1"), ("Y", None), ("Content-Length", "7"), ("l", "x"), (None, "1")]
)
def test_update_and_extend_do_all_or_nothing(message: Any, call: str, bad: tuple[Any, Any]):
    message.add_header("X", "1")
    before = message.to_bytes()
    with pytest.raises((SerializeError, TypeError)):
        getattr(message.headers, call)([("X", "2"), ("CSeq", "1 A"), bad])
    assert message.to_bytes() == before


# --- bodies and Content-Length


def test_assigning_a_body_sets_the_content_length(message: Any):
    message.body = b"\x00\r\n\xff"
    assert (message.body, message.content_length) == (b"\x00\r\n\xff", 4)
    assert message.to_bytes().endswith(b"Content-Length: 4\r\n\r\n\x00\r\n\xff")
    message.body = "a\nb\rc\r\nd\u20ac\udcff"
    assert message.body == b"a\r\nb\r\nc\r\nd\xe2\x82\xac\xff"
    assert message.content_length == len(message.body) == 14
    for data in (bytearray(b"xy"), memoryview(b"xy")):
        message.body = data
        assert message.body == b"xy"
        assert type(message.body) is bytes
    message.body = ""
    assert message.get_header("l") == "0"


def test_assigning_a_body_where_there_is_no_length_or_two(impl: ModuleType):
    message = request(impl, b"A: 1", body=b"x")
    message.body = b"yz"
    assert message.to_bytes() == head(b"A: 1", b"Content-Length: 2") + b"yz"
    message = request(impl, b"l: 1", b"A: 1", b"Content-Length : 01", body=b"x")
    message.body = b"yz"
    assert message.to_bytes() == head(b"Content-Length: 2", b"A: 1") + b"yz"


@pytest.mark.parametrize("body", [None, 1, ["x"]])
def test_bodies_of_another_type(message: Any, body: Any):
    with pytest.raises(TypeError, match="body must be bytes or str"):
        message.body = body
    assert message.to_bytes() == REQUEST


def test_a_body_that_is_no_utf_8(message: Any):
    with pytest.raises(SerializeError, match="body has a surrogate"):
        message.body = "a\ud800"
    assert message.to_bytes() == REQUEST


@pytest.mark.parametrize("value", ["4", "6", "", "-5", "+5", "5 5", "5.", "\u0665", "0x5", "00000000004", "5_"])
@pytest.mark.parametrize("name", ["Content-Length", "l", "CONTENT-LENGTH"])
def test_a_content_length_that_is_not_the_bodys(impl: ModuleType, message: Any, name: str, value: str):
    for call in (message.set_header, message.add_header, message.prepend_header):
        with pytest.raises(SerializeError, match="Content-Length"):
            call(name, value)
    assert message.to_bytes() == REQUEST
    with pytest.raises(SerializeError, match="Content-Length"):
        impl.Message.request("A", "sip:a", headers={name: value}, body=b"v=0\r\n")


def test_a_content_length_with_zeros_in_front(message: Any):
    message.set_header("Content-Length", "00000000005")
    assert message.content_length == 5


def test_a_content_length_that_is(message: Any):
    message.set_header("l", 5)
    message.set_header("Content-Length", "005")
    message.set_header("Content-Length", Text("5"))
    assert message.get_headers("l") == ["5"]
    message.remove_header("Content-Length")
    assert message.content_length is None
    message.add_header("Content-Length", " 5 ")
    assert message.content_length == 5


# --- builders


def test_a_request_is_built(impl: ModuleType):
    made = impl.Message.request(
        "INVITE",
        "sip:bob@example.com",
        headers=[("Via", Via("h", branch="z9hG4bK1")), ("X", 1), ("X", " 2 ")],
        body="a\n",
    )
    assert made.to_bytes() == (
        b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nX: 1\r\nX: 2\r\n"
        b"Content-Length: 3\r\n\r\na\r\n"
    )
    assert (made.is_request, made.method, made.request_uri, made.version) == (
        True, "INVITE", "sip:bob@example.com", "SIP/2.0",
    )  # fmt: skip
    assert text_of(impl.parse(bytes(made))) == text_of(made)


def test_a_response_is_built(impl: ModuleType):
    assert bytes(impl.Message.response(200)) == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert impl.Message.response(299).status_text == "OK"  # its class's phrase (RFC 3261 8.1.3.2)
    assert impl.Message.response(404, "").to_bytes().startswith(b"SIP/2.0 404 \r\n")
    made = impl.Message.response(699, "\u20ac\tx", headers={"X": "1"}, body=b"\x00")
    assert (made.status_code, made.status_text, made.is_request) == (699, "\u20ac\tx", False)
    assert text_of(impl.parse(made.to_bytes())) == text_of(made)


def test_uris_may_be_values(impl: ModuleType):
    for uri in (SipUri("h", user="u"), TelUri("+1")):
        made = impl.Message.request("A", uri)
        assert made.request_uri == str(uri)
        assert made.uri == uri
        made.request_uri = SipUri("x")
        assert made.uri == SipUri("x")


def test_a_content_length_in_the_headers_stays_in_its_place(impl: ModuleType):
    made = impl.Message.request("A", "sip:a", headers=[("l", 1), ("X", "1")], body=b"x")
    assert names(made) == ["l", "X"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", "sip:a"), SerializeError),
        (("A B", "sip:a"), SerializeError),
        (("A\r\nX: 1", "sip:a"), SerializeError),
        (("\u00c4", "sip:a"), SerializeError),
        (("A:", "sip:a"), SerializeError),
        ((b"A", "sip:a"), TypeError),
        ((None, "sip:a"), TypeError),
        (("A", ""), SerializeError),
        (("A", "sip:a b"), SerializeError),
        (("A", "sip:a\r\n"), SerializeError),
        (("A", "sip:a\t"), SerializeError),
        (("A", "sip:\x7f"), SerializeError),
        (("A", "sip:\ud800"), SerializeError),
        (("A", b"sip:a"), TypeError),
        (("A", None), TypeError),
    ],
)
def test_requests_that_cannot_be_built(impl: ModuleType, arguments: tuple[Any, Any], error: type[Exception]):
    with pytest.raises(error):
        impl.Message.request(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((99,), SerializeError), ((700,), SerializeError), ((-200,), SerializeError), ((10**30,), SerializeError),
        (("200",), TypeError), ((200.0,), TypeError), ((True,), TypeError), ((None,), TypeError),
        ((200, "a\r\nb"), SerializeError), ((200, "a\0"), SerializeError), ((200, "\x7f"), SerializeError),
        ((200, "\ud800"), SerializeError), ((200, b"OK"), TypeError), ((200, 1), TypeError),
    ],
)  # fmt: skip
def test_responses_that_cannot_be_built(impl: ModuleType, message: Any, arguments: Any, error: type[Exception]):
    with pytest.raises(error):
        impl.Message.response(*arguments)
    with pytest.raises(error):
        message.reply(*arguments)


def test_a_message_is_not_made_by_its_class(impl: ModuleType):
    with pytest.raises(TypeError, match="made by parse"):
        impl.Message()


# --- replies


def test_a_reply_copies_what_it_must_and_nothing_else(impl: ModuleType, message: Any):
    reply = message.reply(200, to_tag="x")
    assert reply.to_bytes() == (
        b"SIP/2.0 200 OK\r\n"
        b"Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n"
        b"From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n"
        b'To: "Bob" <sip:bob@biloxi.example.com>;tag=x\r\n'
        b"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
        b"CSeq: 314159 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert type(reply) is impl.Message
    assert text_of(impl.parse(reply.to_bytes())) == text_of(reply)
    assert message.to_bytes() == REQUEST


def test_a_replys_own_headers_and_body(message: Any):
    reply = message.reply(404, "Nobody", headers={"Server": "x", "Content-Type": "text/plain"}, body="\u20ac")
    assert (reply.status_code, reply.status_text, reply.body) == (404, "Nobody", b"\xe2\x82\xac")
    assert names(reply) == ["Via", "From", "To", "Call-ID", "CSeq", "Server", "Content-Type", "Content-Length"]
    assert reply.content_length == 3
    with pytest.raises(SerializeError):
        message.reply(404, headers={"X": "a\nb"})
    with pytest.raises(SerializeError):
        message.reply(404, headers={"Content-Length": 1})


def test_the_to_tag_of_a_reply(impl: ModuleType, message: Any):
    assert message.reply(100).to_tag is None
    tag = message.reply(101).to_tag
    assert len(tag) == 16
    # A retransmission is answered alike (8.2.7), and so are a request and its CANCEL (9.2).
    assert impl.parse(REQUEST).reply(486).to_tag == tag
    assert impl.parse(REQUEST.replace(b"INVITE", b"CANCEL")).reply(200).to_tag == tag
    with_tab = REQUEST.replace(b" INVITE\r\n", b"\tINVITE\r\n")
    assert with_tab != REQUEST
    cancel = impl.parse(with_tab.replace(b"INVITE", b"CANCEL"))
    assert impl.parse(with_tab).reply(200).to_tag == cancel.reply(200).to_tag
    for part in (b"776asdhds", b"a84b4c", b"314159"):
        assert impl.parse(REQUEST.replace(part, b"0")).reply(200).to_tag != tag
    tagged = impl.parse(REQUEST.replace(b"biloxi.example.com>", b"biloxi.example.com>;tag=t"))
    assert tagged.reply(200, to_tag="other").to_tag == "t"
    for bad in ("", "a b", "a;b", "\u00e9", 'a"', "a\n"):
        with pytest.raises(SerializeError):
            message.reply(200, to_tag=bad)


def test_a_header_is_set_where_it_stood_twice_with_that_value(impl: ModuleType):
    message = request(impl, b"A: 1", b"Subject: x")
    message.add_header("SUBJECT", "y")
    message.set_header("SUBJECT", "y")
    assert message.to_bytes() == head(b"A: 1", b"SUBJECT: y")


@pytest.mark.parametrize(
    ("value", "tagged"),
    [
        (b"sip:a@b", "sip:a@b;tag=x"),
        (b"<sip:a@b>;y=z", "<sip:a@b>;y=z;tag=x"),
        (b"<sip:a@b>\r\n ;y", "<sip:a@b> ;y;tag=x"),
        (b"sip:a@b;\n\ttag=1", "sip:a@b; tag=1"),
        (b"<sip:a@b>;tag\r\n =\r\n 1", "<sip:a@b>;tag = 1"),
        (b"<sip:a@b>\t ", "<sip:a@b>;tag=x"),
        (b"<sip:a@b;tag=1>", "<sip:a@b;tag=1>;tag=x"),
        (b'"a', '"a;tag=x'),
        (b"", ";tag=x"),
        # Where the To cannot be read it gets one too: 8.2.6.2 knows no exception.
        (b"<sip:b@h>;", "<sip:b@h>;tag=x"),
        (b"<sip:b@h;lr=>", "<sip:b@h;lr=>;tag=x"),
        (b"Bob, Jr <sip:b@h>", "Bob, Jr <sip:b@h>;tag=x"),
        (b"<sip:0398765432100;user=phone>", "<sip:0398765432100;user=phone>;tag=x"),
        (b"<sip:b@h", "<sip:b@h;tag=x"),
        # A tag without a value is none, and makes way: twice a tag could not be read.
        (b"<sip:b@h>;tag", "<sip:b@h>;tag=x"),
        (b"<sip:b@h>;tag=", "<sip:b@h>;tag=x"),
        (b"<sip:b@h>;tag;y=z; tag = ;w;TAG", "<sip:b@h>;y=z;w;tag=x"),
        (b"<sip:b@h>;tag;tag=1", "<sip:b@h>;tag;tag=1"),
        (b'<sip:b@h>;tag=""', '<sip:b@h>;tag=""'),
        (b'<sip:b@h>;tag"y"', '<sip:b@h>;tag"y";tag=x'),
        (b"sip:b@h;tag", "sip:b@h;tag=x"),
        (b";tag", ";tag=x"),
        (b'"a;tag=1" <sip:b@h>', '"a;tag=1" <sip:b@h>;tag=x'),
        (b"<sip:b@h> ; tag = 1", "<sip:b@h> ; tag = 1"),
        (b'<sip:a@b>;x=";tag=1"', '<sip:a@b>;x=";tag=1";tag=x'),
        (b"<sip:a@b>;TAG=1", "<sip:a@b>;TAG=1"),
    ],
)
def test_where_a_to_tag_goes(impl: ModuleType, value: bytes, tagged: str):
    made = request(impl, b"To: " + value).reply(200).get_header("To")
    assert (made == tagged) is not tagged.endswith(";tag=x")
    reply = request(impl, b"To: " + value).reply(200, to_tag="x")
    assert reply.get_header("To") == tagged
    assert text_of(impl.parse(reply.to_bytes())) == text_of(reply)


def test_record_route_is_copied_where_a_dialog_begins(impl: ModuleType):
    routes = (b"Record-Route: <sip:a;lr>", b"Record-Route: <sip:b;lr>,\r\n <sip:c;lr>")
    for method in (b"INVITE", b"SUBSCRIBE", b"REFER", b"NOTIFY", b"OPTIONS", b"BYE"):
        message = impl.parse(head(b"Via: x", *routes).replace(b"OPTIONS", method, 1))
        for status in (100, 180, 200, 300, 404):
            copied = message.reply(status).get_headers("Record-Route")
            begins = method not in (b"OPTIONS", b"BYE") and 100 < status < 300
            assert copied == (["<sip:a;lr>", "<sip:b;lr>, <sip:c;lr>"] if begins else [])


def test_a_100_copies_the_timestamp(impl: ModuleType):
    message = request(impl, b"Via: x", b"Timestamp: 54.2")
    assert message.reply(100).get_header("Timestamp") == "54.2"
    assert message.reply(180).get_header("Timestamp") is None


def test_a_reply_unfolds_and_ends_its_lines_with_crlf(impl: ModuleType):
    message = impl.parse(b"OPTIONS sip:a SIP/2.0\nv:\n  x,\n\ty\nt : <sip:a>\ni: 1\n\n")
    assert message.reply(200, to_tag="1").to_bytes() == (
        b"SIP/2.0 200 OK\r\nv: x, y\r\nt: <sip:a>;tag=1\r\ni: 1\r\nContent-Length: 0\r\n\r\n"
    )


def test_a_reply_of_an_edited_request(message: Any):
    message.push_via("SIP/2.0/UDP top")
    message.set_header("CSeq", "1 OPTIONS")
    message.request_uri = "sip:x"
    reply = message.reply(200)
    assert reply.get_headers("Via")[0] == "SIP/2.0/UDP top"
    assert reply.cseq == CSeq(1, "OPTIONS")
    reply.set_header("To", "<sip:z>")
    assert message.to.uri == SipUri("biloxi.example.com", user="bob")


def test_a_response_has_no_reply(impl: ModuleType):
    with pytest.raises(TypeError, match="reply is for requests"):
        impl.Message.response(200).reply(200)


# --- what a proxy does


def test_push_and_pop_via(message: Any):
    message.push_via(Via("p.example.com", branch="z9hG4bKp"))
    assert [via.host for via in message.vias] == ["p.example.com", "pc33.atlanta.example.com"]
    assert message.via.branch == "z9hG4bKp"
    assert message.pop_via() == "SIP/2.0/UDP p.example.com;branch=z9hG4bKp"
    assert message.to_bytes() == REQUEST
    assert message.pop_via() == "SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport"
    assert message.pop_via() is None
    assert message.via is None


@pytest.mark.parametrize(
    ("line", "first", "left"),
    [
        (b"v : a,b", "a", [b"v: b"]),
        (b"Via: a , b ,c", "a", [b"Via: b ,c"]),
        (b'Via: a;x="1,2", b', 'a;x="1,2"', [b"Via: b"]),
        (b"Via: a\r\n ,b,\r\n c", "a", [b"Via: b, c"]),
        (b"Via: a,", "a", []),
        (b"Via:", "", []),
        (b"Via: ,a", "a", []),
        (b"Via: , ,a,,b", "a", [b"Via: b"]),
        (b"Via: , ,", "", []),
        (b'Via: "a, b', '"a, b', []),
    ],
)
def test_pop_takes_the_first_of_a_list(impl: ModuleType, line: bytes, first: str, left: list[bytes]):
    for name, pop in ((b"Via", "pop_via"), (b"Route", "pop_route")):
        if name == b"Route" and not line.startswith(b"Via"):
            continue
        message = request(impl, b"A: 1", line.replace(b"Via", name), b"B: 2")
        assert getattr(message, pop)() == first
        assert message.to_bytes() == head(b"A: 1", *[text.replace(b"Via", name) for text in left], b"B: 2")


@pytest.mark.parametrize("value", [b'<">,\\\x01"', b'(")", <sip:b>;x="\\\x7f")", \\\x00"'])
def test_pop_writes_nothing_that_cannot_be_read(impl: ModuleType, value: bytes):
    """A quote in <> opens no string for the list, but it does for the check of control bytes."""
    message = request(impl, b"Route: " + value)
    before = message.to_bytes()
    found = outcome(message.pop_route)
    if type(found) is tuple:
        assert found[1][1:] == ("Route", found[1][2], 400)
        assert message.to_bytes() == before
    assert impl.parse(message.to_bytes())


def test_push_record_route_and_pop_route(impl: ModuleType):
    message = request(impl, b"A: 1", b"Record-Route: <sip:a>", b"Route: <sip:p;lr>", b"Route: <sip:q;lr>")
    message.push_record_route(NameAddr("sip:me;lr"))
    assert message.get_headers("Record-Route") == ["<sip:me;lr>", "<sip:a>"]
    assert [message.pop_route(), message.pop_route(), message.pop_route()] == ["<sip:p;lr>", "<sip:q;lr>", None]
    assert names(message) == ["A", "Record-Route", "Record-Route"]


@pytest.mark.parametrize(
    ("via", "host", "port", "stamped", "asked"),
    [
        ("SIP/2.0/UDP h", "192.0.2.1", 5060, "SIP/2.0/UDP h;received=192.0.2.1", False),
        ("SIP/2.0/UDP 192.0.2.1", "192.0.2.1", 5061, "SIP/2.0/UDP 192.0.2.1", False),
        ("SIP/2.0/UDP 192.0.2.1:1;rport", "192.0.2.1", 9, "SIP/2.0/UDP 192.0.2.1:1;rport=9;received=192.0.2.1", True),
        ("SIP/2.0/UDP h;rport;branch=b", "192.0.2.1", 0, "SIP/2.0/UDP h;rport=0;branch=b;received=192.0.2.1", True),
        # What the sender put there itself is overwritten: it would direct responses at somebody else.
        ("SIP/2.0/UDP h;received=8.8.8.8;rport=1", "192.0.2.1", 2, "SIP/2.0/UDP h;received=192.0.2.1;rport=2", True),
        ("SIP/2.0/UDP 192.0.2.1;received=1.1.1.1", "192.0.2.1", 2, "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1", False),
        ("SIP/2.0/UDP [2001:db8::1]", "2001:db8::1", 1, "SIP/2.0/UDP [2001:db8::1]", False),
        ("SIP/2.0/UDP [2001:DB8::1]", "2001:db8::1", 1, "SIP/2.0/UDP [2001:DB8::1]", False),
        ("SIP/2.0/UDP h", "fe80::1%eth0", 1, "SIP/2.0/UDP h;received=fe80::1", False),
        ("SIP/2.0/UDP h;RPORT , SIP/2.0/UDP i", "::1", 2, "SIP/2.0/UDP h;RPORT=2;received=::1 , SIP/2.0/UDP i", True),
        ('SIP/2.0/UDP h;x=";rport";rport', "::1", 2, 'SIP/2.0/UDP h;x=";rport";rport=2;received=::1', True),
        ("SIP/2.0/UDP h ; rport ; x", "::1", 2, "SIP/2.0/UDP h ; rport=2 ; x;received=::1", True),
        # What cannot be read is stamped all the same: a forged received would send our answers to somebody else.
        ("garbage", "::1", 2, "garbage;received=::1", False),
        ("SIP/2.0/UDP h;received=x y", "::1", 2, "SIP/2.0/UDP h;received=::1", False),
        ("SIP/2.0/UDP h;received=a;rport=9;received=x;rport", "::1", 2, "SIP/2.0/UDP h;received=::1;rport=2", True),
        ("SIP/2.0/UDP h;received=a;rport=9\t;rport", "::1", 2, "SIP/2.0/UDP h;received=::1;rport=2", True),
        ("SIP/2.0/UDP h;received=a;rport=9\t;rport , x", "::1", 2, "SIP/2.0/UDP h;received=::1;rport=2\t , x", True),
        # ... and where a quote is not closed, none hides anything.
        ('SIP/2.0/UDP h;received="1.1.1.1;rport', "::1", 2, "SIP/2.0/UDP h;received=::1", False),
        ('SIP/2.0/UDP h;x="y;received=1.1.1.1', "::1", 2, 'SIP/2.0/UDP h;x="y;received=::1', False),
        ('SIP/2.0/UDP "h\\";received=1.1.1.1, b', "::1", 2, 'SIP/2.0/UDP "h\\";received=::1', False),
        ('SIP/2.0/UDP h;rport= "(a;b,c;received=6.6.6.6', "::1", 2, "SIP/2.0/UDP h;rport=2;received=::1", True),
        # What is written stands in no quotes, <> and comment: the parameter with one goes, and what is behind it.
        ('SIP/2.0/UDP h;x="y;received=1.1.1.1;z="w";q', "::1", 2, "SIP/2.0/UDP h;received=::1", False),
        ("SIP/2.0/UDP h;x\t(y;rport=6.),z", "::1", 2, "SIP/2.0/UDP h;rport=2;received=::1,z", True),
        ("SIP/2.0/UDP h;x=<y;rport=6>;z,z", "::1", 2, "SIP/2.0/UDP h;rport=2;received=::1,z", True),
        ("SIP/2.0/UDP <h;rport;y,z", "::1", 2, "SIP/2.0/UDP ;rport=2;received=::1", True),
        ("SIP/2.0/UDP h;y;rport<,z", "::1", 2, "SIP/2.0/UDP h;y;received=::1", False),
        ("SIP/2.0/UDP h;x=<y,z", "::1", 2, "SIP/2.0/UDP h;received=::1", False),
        ("SIP/2.0/UDP h;x=<y>;z (y);rport,z", "::1", 2, "SIP/2.0/UDP h;x=<y>;z (y);rport=2;received=::1,z", True),
        ('SIP/2.0/UDP h;received"=1.1.1.1;rport', "::1", 2, "SIP/2.0/UDP h;received=::1", False),
        ("SIP/2.0/UDP h;rport= (a;b,c);d", "::1", 2, "SIP/2.0/UDP h;rport=2;received=::1", True),
        ("SIP/2.0/UDP h;received=<a;b,c>;d , x", "::1", 2, "SIP/2.0/UDP h;received=::1 , x", False),
        ("SIP/2.0/UDP h;rport;received=a;rport=<b;c,d>", "::1", 2, "SIP/2.0/UDP h;rport=2;received=::1", True),
        ("SIP / 2.0 / UDP 1.2.3.4 : 5060", "1.2.3.4", 2, "SIP / 2.0 / UDP 1.2.3.4 : 5060", False),
        ("SIP/2.0/UDP [::1]:5060", "::1", 2, "SIP/2.0/UDP [::1]:5060", False),
    ],
)  # fmt: skip
def test_stamp_received(impl: ModuleType, via: str, host: str, port: int, stamped: str, asked: bool):
    message = request(impl, b"Via: " + via.encode(), b"Via: SIP/2.0/UDP last;rport")
    before = message.to_bytes()
    assert message.stamp_received(host, port) is asked
    assert message.get_headers("Via") == [stamped, "SIP/2.0/UDP last;rport"]
    assert (message.to_bytes() == before) is (stamped == via)
    assert message.stamp_received(host, port) is asked  # a second time changes nothing
    assert message.get_header("Via") == stamped


VIA_PIECES = (
    "SIP/2.0/UDP ", "h", "192.0.2.1", ":5060", ";", "=", ";rport", ";rport=6", ";RECEIVED=6.6.6.6", "received", '"',
    "\\", "<", ">", "(", " (", ")", ",", " ", "\t", ", SIP/2.0/UDP i", ";branch=z9hG4bK1", "\udce9", ";x=",
)  # fmt: skip


@given(pieces=st.lists(st.sampled_from(VIA_PIECES), max_size=24))
@example(pieces=["SIP/2.0/UDP h;h=6.6.6.6\t(\udce9;rport=666...),a"])
@example(pieces=['SIP/2.0/UDP h;y="a;rport=2";x (";rport=1),b'])
@example(pieces=['SIP/2.0/UDP h;x=<";rport=9;>;y="a;rport=1";z=<">,b'])
@example(pieces=['h;y="a;rport=1;x="b;received="c'])
@example(pieces=["h (a;rport=(b;c),d"])
@example(pieces=[";rport<,"])
@example(pieces=["h;x<a;b> <c;rport>,d"])
def test_a_second_stamp_changes_nothing(impl: ModuleType, pieces: list[str]):
    message = request(impl, b"Via: " + "".join(pieces).encode("utf-8", "surrogateescape"))
    asked = message.stamp_received("192.0.2.1", 5062)
    once = message.copy()
    assert message.stamp_received("192.0.2.1", 5062) is asked
    assert message == once


@given(pieces=st.lists(st.sampled_from(VIA_PIECES), max_size=24))
def test_both_stamp_alike(both: tuple[ModuleType, ModuleType], pieces: list[str]):
    line = b"Via: " + "".join(pieces).encode("utf-8", "surrogateescape")
    found = []
    for impl in both:
        message = request(impl, line)
        found.append((message.stamp_received("192.0.2.1", 5062), message.to_bytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "piece", ["<;>", " (;)", '";"', "<", " (", '"', ";rport<", ";x<;rport>", ";rport", " (\\", '<">;']
)
@pytest.mark.parametrize("end", ["", ";rport", ";rport=1>)"])
def test_a_stamp_costs_what_the_via_is_long(impl: ModuleType, piece: str, end: str):
    def prepare(size: int) -> Callable[[], object]:
        via = b"Via: h" + f"{piece * (size // len(piece))}{end},i".encode()
        message = impl.parse(head(via), max_size=1 << 17)
        return lambda: message.stamp_received("192.0.2.1", 5062)

    assert_linear(prepare)


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP h;received=6.6.6.6;rport=6;received=7.7.7.7;rport=7;branch=z9hG4bK1",
        "nonsense;received=6.6.6.6;rport;RECEIVED=7.7.7.7",
        "SIP/2.0/UDP <null>;received=6.6.6.6;rport=x;received=7.7.7.7",
        "SIP/2.0/UDP 0398765432100;branch=;received = 6.6.6.6 ;rport; received=7.7.7.7",
        'SIP/2.0/UDP h;x="a;received=6.6.6.6;y=";received="6.6.6.6;rport',
    ],
)
def test_a_forged_received_does_not_survive_into_a_reply(impl: ModuleType, via: str):
    """18.2.1: also in a Via that nobody can read, a receiver's stamp is the one that its reply goes by."""
    message = impl.parse(REQUEST.replace(b"SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport",
                                         via.encode(), 1))  # fmt: skip
    assert message.get_header("Via") == via
    message.stamp_received("192.0.2.1", 5062)
    for reply in (message.reply(200), message.reply(400)):
        assert reply.get_header("Via") == message.get_header("Via")
        written = reply.get_header("Via")
        assert ("6.6.6.6" in written, "7.7.7.7" in written) == (False, False)
        assert written.lower().count("received") == written.count("received=192.0.2.1") == 1
        assert written.count("rport") == written.count("rport=5062")


def test_stamp_received_without_a_via(impl: ModuleType):
    assert request(impl).stamp_received("::1", 1) is True


@pytest.mark.parametrize(
    ("host", "port", "error"),
    [
        ("a b", 1, SerializeError), ("", 1, SerializeError), ("a\r\n", 1, SerializeError), ("a;b", 1, SerializeError),
        ("h\u00e9", 1, SerializeError), ("h", -1, SerializeError), ("h", 65536, SerializeError), (b"h", 1, TypeError),
        ("h", "1", TypeError), ("h", True, TypeError), ("h", None, TypeError), ("%eth0", 1, SerializeError),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_written(message: Any, host: Any, port: Any, error: type[Exception]):
    with pytest.raises(error):
        message.stamp_received(host, port)
    assert message.to_bytes() == REQUEST


@pytest.mark.parametrize(
    ("value", "left"), [("70", 69), ("255", 254), ("100", 99), ("10", 9), ("1", 0), ("007", 6), ("0100", 99)]
)
def test_decrement_max_forwards(impl: ModuleType, value: str, left: int):
    message = request(impl, b"A: 1", b"MAX-forwards :  " + value.encode(), b"B: 1")
    assert message.decrement_max_forwards() == left
    assert message.max_forwards == left
    assert message.to_bytes() == head(b"A: 1", b"MAX-forwards: %d" % left, b"B: 1")


def test_decrement_max_forwards_where_it_cannot(impl: ModuleType):
    message = request(impl, b"A: 1")
    assert message.decrement_max_forwards() == 70
    assert message.to_bytes() == head(b"A: 1", b"Max-Forwards: 70")
    for value, error in ((b"0", ("Max-Forwards is 0", "Max-Forwards", 0, 483)),
                         (b"256", ("Max-Forwards is out of range", "Max-Forwards", 0, 400)),
                         (b"x", ("Max-Forwards is not a number", "Max-Forwards", 0, 400))):  # fmt: skip
        message = request(impl, b"Max-Forwards: " + value)
        assert outcome(message.decrement_max_forwards) == (HeaderError, error)
        assert message.to_bytes() == head(b"Max-Forwards: " + value)


def test_assigning_the_request_uri(impl: ModuleType, message: Any):
    assert message.uri.host == "biloxi.example.com"
    message.request_uri = "tel:+1"
    assert (message.request_uri, message.method, message.version) == ("tel:+1", "INVITE", "SIP/2.0")
    assert message.uri == TelUri("+1")
    assert message.to_bytes() == REQUEST.replace(b"sip:bob@biloxi.example.com;transport=udp", b"tel:+1", 1)
    message.request_uri = "sip:\u00e9\udcff"
    assert message.request_uri == "sip:\u00e9\udcff"
    before = message.to_bytes()
    for bad in ("", "a b", "a\r\nb", "a\0", "\ud800"):
        with pytest.raises(SerializeError):
            message.request_uri = bad
    for wrong in (None, b"sip:a", 1):
        with pytest.raises(TypeError):
            message.request_uri = wrong
    assert message.to_bytes() == before
    response = impl.Message.response(200)
    with pytest.raises(AttributeError, match="a response has no Request-URI"):
        response.request_uri = "sip:a"


def test_structured_values_follow_the_edits(message: Any):
    assert (message.via.port, message.from_tag, message.to_tag, message.cseq.num) == (5066, "1928301774", None, 314159)
    assert message.via is message.via
    message.set_header("v", "SIP/2.0/TCP x")
    message.set_header("f", "<sip:x>;tag=1")
    message.set_header("t", "<sip:y>;tag=2")
    message.set_header("CSeq", "1 ACK")
    message.set_header("Max-Forwards", 7)
    message.set_header("m", "*")
    assert (message.via.transport, message.from_tag, message.to_tag, message.cseq.num) == ("TCP", "1", "2", 1)
    assert (message.max_forwards, message.contacts) == (7, (STAR,))
    message.set_header("v", "x")
    with pytest.raises(HeaderError):
        _ = message.via
    for name in ("v", "f", "t", "CSeq", "Max-Forwards", "i", "m", "c", "l"):
        message.remove_header(name)
    assert [message.via, message.from_, message.from_tag, message.to, message.to_tag, message.cseq, message.rack] == [
        None
    ] * 7
    assert [message.max_forwards, message.call_id, message.content_length, message.content_type] == [None] * 4
    assert (message.vias, message.contacts, message.routes, message.record_routes) == ((), (), (), ())


# --- copies, pickles, comparison, text


def test_copies_are_edited_on_their_own(impl: ModuleType, message: Any):
    for make in (impl.Message.copy, copy.copy, copy.deepcopy):
        message = impl.parse(REQUEST)
        for edited in (False, True):
            if edited:
                message.set_header("X", "1")
                message.request_uri = "sip:z"
                message.body = b"body"
            before = message.to_bytes()
            other = make(message)
            assert other == message
            assert type(other) is impl.Message
            other.push_via("SIP/2.0/UDP x")
            other.request_uri = "sip:x"
            other.body = b""
            assert message.to_bytes() == before
            assert impl.parse(other.to_bytes()).to_bytes() == other.to_bytes()
            again = make(message)
            message.remove_header("Via")
            assert again.to_bytes() == before
            message = again


def test_pickles(impl: ModuleType):
    big = impl.parse(head(*[b"X: 1"] * 1000), max_headers=1000)
    big.body = b"x" * 100_000
    message = impl.parse(REQUEST)
    message.add_header("X", "1")
    for original in (impl.parse(REQUEST), message, impl.Message.response(200), big):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(original, protocol))
            assert type(again) is impl.Message
            assert text_of(again) == text_of(original)


def test_messages_are_compared_by_their_bytes(impl: ModuleType, message: Any):
    other = impl.parse(REQUEST)
    assert message == other
    other.set_header("Max-Forwards", 70)
    assert message == other
    other.set_header("Max-Forwards", 71)
    assert message != other
    assert message != REQUEST
    assert message != None  # noqa: E711
    with pytest.raises(TypeError):
        hash(message)


def test_text(impl: ModuleType, message: Any):
    assert str(message) == REQUEST.decode()
    assert bytes(message) == message.to_bytes() == REQUEST
    assert str(impl.parse(b"A \xff SIP/2.0\r\n\r\n\xfe")) == "A \udcff SIP/2.0\r\n\r\n\udcfe"
    assert repr(message) == (
        "<Message INVITE sip:bob@biloxi.example.com;transport=udp Call-ID=a84b4c76e66710@pc33.atlanta.example.com>"
    )
    assert repr(message.reply(180)).startswith("<Message 180 Ringing Call-ID=a84b")
    assert repr(impl.Message.response(200)) == "<Message 200 OK Call-ID=None>"
    hostile = impl.parse("A \x9b2J SIP/2.0\r\nCall-ID: \u202e\udcff\u00e9\r\n\r\n".encode("utf-8", "surrogateescape"))
    assert repr(hostile) == r"<Message A \x9b2J Call-ID=\u202e\xff" + "\u00e9>"  # it may be printed
    long = impl.parse(b"A sip:%b SIP/2.0\r\nCall-ID: %b\r\n\r\n" % (b"u" * 30_000, b"\xff" * 30_000))
    assert len(repr(long)) < 600


def test_attributes_that_cannot_be_assigned(message: Any):
    for name in ("method", "status_code", "status_text", "version", "is_request", "headers", "via", "cseq", "anything"):
        with pytest.raises(AttributeError):
            setattr(message, name, "x")


def test_an_unedited_message_is_the_bytes_it_came_from(impl: ModuleType):
    assert impl.parse(REQUEST).to_bytes() is REQUEST


# --- injection (rule 10)

UNWRITABLE = [
    "\r\n",
    "\r",
    "\n",
    "\0",
    "\x01",
    "\x08",
    "\x0b",
    "\x0c",
    "\x1f",
    "\x7f",
    "\r\n ",
    "\n\t",
    "\ud800",
    "\udc00",
]
PLACES: dict[str, Callable[[Any, str], Any]] = {
    "set_header": lambda message, bad: message.set_header("X", f"a{bad}b"),
    "add_header": lambda message, bad: message.add_header("X", f"a{bad}b"),
    "prepend_header": lambda message, bad: message.prepend_header("X", f"a{bad}b"),
    "a known header": lambda message, bad: message.set_header("To", f"<sip:a>{bad}"),
    "the start of a value": lambda message, bad: message.set_header("To", f"{bad}x"),
    "a quoted string": lambda message, bad: message.set_header("X", f'"a{bad}b"'),
    "behind a backslash that is escaped": lambda message, bad: message.set_header("X", f'"a" \\\\{bad}b"'),
    "a header name": lambda message, bad: message.set_header(f"X{bad}", "a"),
    "an added name": lambda message, bad: message.add_header(f"{bad}X", "a"),
    "a view": lambda message, bad: message.headers.extend({"X": bad + "x"}),
    "a via": lambda message, bad: message.push_via(f"SIP/2.0/UDP h{bad};x"),
    "a record-route": lambda message, bad: message.push_record_route(f"<sip:a{bad}>"),
    "the request-uri": lambda message, bad: setattr(message, "request_uri", f"sip:a{bad}b"),
    "a source": lambda message, bad: message.stamp_received(f"h{bad}i", 5060),
    "a reason": lambda message, bad: message.reply(200, f"O{bad}K"),
    "a tag": lambda message, bad: message.reply(200, to_tag=f"a{bad}b"),
    "a reply's header": lambda message, bad: message.reply(200, headers={"X": f"a{bad}b"}),
    "a method": lambda message, bad: type(message).request(f"A{bad}B", "sip:a"),
    "a uri": lambda message, bad: type(message).request("A", f"sip:a{bad}b"),
    "a built header": lambda message, bad: type(message).request("A", "sip:a", headers=[("X", f"a{bad}b")]),
    "a built name": lambda message, bad: type(message).response(200, headers=[(f"X{bad}Y", "a")]),
    "a built reason": lambda message, bad: type(message).response(200, f"a{bad}"),
}


@pytest.mark.parametrize("bad", UNWRITABLE, ids=ascii)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_can_be_injected(message: Any, place: str, bad: str):
    message.set_header("X", "1")
    before = message.to_bytes()
    if place == "a quoted string" and bad == "\\":
        return
    with pytest.raises(SerializeError) as caught:
        PLACES[place](message, bad)
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason == str(caught.value)
    assert "\n" not in caught.value.reason
    assert message.to_bytes() == before


@pytest.mark.parametrize("value", ['"\\\r"', '"\\\n"', '"a\\\r\n b"', "a\r\n b"])
def test_a_backslash_makes_no_line_end_writable(message: Any, value: str):
    with pytest.raises(SerializeError):
        message.set_header("X", value)


def test_a_quoted_pair_is_written(impl: ModuleType, message: Any):
    message.set_header("X", '"\\\x00\\\x01"')
    assert impl.parse(message.to_bytes()).get_header("X") == '"\\\x00\\\x01"'


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\u0085", "\u2028", "\x1c"])
def test_only_blanks_are_trimmed_from_what_is_written(message: Any, blank: str):
    if blank == "\x1c":
        with pytest.raises(SerializeError):
            message.set_header("X", blank)
        return
    message.set_header("X", f"{blank}a{blank}")
    assert message.get_header("X") == f"{blank}a{blank}"


# --- round trips

TOKEN = st.text(st.sampled_from("!%'*+-.0123456789ABCXYZ_`abcxyz~"), min_size=1, max_size=30)
WRITABLE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in CONTROLS] + ["\r", "\n"])
)
URI = WRITABLE.map(lambda text: "".join(text.split(" ")).replace("\t", "")).filter(bool)
NAME = st.one_of(TOKEN, st.sampled_from(["Via", "v", "To", "From", "CSeq", "Contact", "i", "X-A"])).filter(
    lambda name: name.lower() not in ("l", "content-length")
)
HEADERS = st.lists(st.tuples(NAME, WRITABLE), max_size=12)


@given(TOKEN, URI, HEADERS, st.binary(max_size=100))
def test_a_built_request_is_read_as_it_was_meant(impl: ModuleType, method: str, uri: str, headers: Any, body: bytes):
    made = impl.Message.request(method, uri, headers=headers, body=body)
    again = impl.parse(made.to_bytes())
    assert text_of(again) == text_of(made)
    assert (again.method, again.request_uri, again.body) == (method, uri, body)
    assert again.headers.items()[:-1] == [(name, value.strip(" \t")) for name, value in headers]
    assert again.content_length == len(body)


@given(st.integers(100, 699), WRITABLE, HEADERS, st.text(max_size=50))
def test_a_built_response_is_read_as_it_was_meant(impl: ModuleType, status: int, reason: str, headers: Any, body: str):
    if any("\ud800" <= letter <= "\udfff" for letter in body):
        return
    made = impl.Message.response(status, reason, headers=headers, body=body)
    again = impl.parse(made.to_bytes())
    assert text_of(again) == text_of(made)
    assert (again.status_code, again.status_text) == (status, reason)
    assert again.body.replace(b"\r\n", b"\n") == body.replace("\r\n", "\n").replace("\r", "\n").encode()


# --- memory


def held(make: Callable[[], Any], count: int = 400) -> float:
    """Bytes that one result of `make` holds, as tracemalloc counts them."""
    kept: list[Any] = [None] * count
    make()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for at in range(count):
            kept[at] = make()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("lines", [0, 1, 9, 32, 256])
def test_a_message_holds_little_beyond_its_bytes(both: tuple[ModuleType, ModuleType], lines: int):
    """The compiled core: at most 200 bytes and 20 a header, for a message nobody looked into."""
    data = head(*[b"X-Header: value %d" % number for number in range(lines)])
    bound = 200 + 20 * lines
    message = both[0].parse(data)
    assert sys.getsizeof(message) <= bound
    # What the interpreter counts is a little more, for an object's own header and the allocator's rounding.
    assert held(lambda: both[0].parse(data)) <= bound + 32


def test_a_message_keeps_no_bigger_buffer_alive(impl: ModuleType):
    junk = b"x" * 60_000
    text = head(b"X: 1", b"l: 0")
    # Made anew each time, so that what a message keeps of it is counted.
    small = held(lambda: impl.parse(b"".join([text, b"x"])))
    assert held(lambda: impl.parse(b"".join([text, junk]))) <= small + 100
    assert held(lambda: impl.parse(b"".join([b"\r\n" * 30_000, text]))) <= small + 100
    assert held(lambda: impl.parse(bytearray(b"".join([text, junk])))) <= small + 100
    # A slice is a copy: it does not keep the message.
    whole = head(b"X: 1", b"Y: " + junk, b"l: 1") + b"b"
    assert held(lambda: impl.parse(b"".join([whole, b"1"])).get_header("X")) <= 200
    assert held(lambda: impl.parse(b"".join([whole, b"1"])).body) <= 200


def test_names_from_the_wire_are_not_kept(impl: ModuleType):
    def read(number: int) -> None:
        for at in range(40):
            impl.parse(b"A sip:a SIP/2.0\r\n%b%d-%d: 1\r\n\r\n" % (b"n" * 50_000, number, at)).headers.items()

    read(0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        read(1)
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def test_a_buffer_is_not_held_after_parse(impl: ModuleType):
    buffer = bytearray(REQUEST)
    message = impl.parse(memoryview(buffer))
    buffer.clear()  # BufferError, if somebody still looked at it
    assert message.to_bytes() == REQUEST


def test_a_message_edited_for_ever_does_not_grow_for_ever(impl: ModuleType, message: Any):
    def edit() -> None:
        for number in range(200):
            message.set_header("X", str(number) * 20)
            message.request_uri = f"sip:{number}@example.com"
            message.push_via("SIP/2.0/UDP h")
            message.pop_via()
            message.body = b"x" * (number % 7)

    edit()
    gc.collect()
    tracemalloc.start()
    try:
        edit()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            edit()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
    assert len(message.to_bytes()) < 1000


# --- cost (rule 9)


def fill(piece: bytes, before: bytes = b"", behind: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: before + piece * (size // len(piece)) + behind


WORST: dict[str, tuple[Callable[[int], bytes], str]] = {
    "commas in Via": (fill(b",", head()[:-2] + b"Via: ", b"\r\n\r\n"), "vias"),
    "commas in Contact": (fill(b",", head()[:-2] + b"Contact: ", b"\r\n\r\n"), "contacts"),
    "quotes": (fill(b'"', head()[:-2] + b"Contact: ", b"\r\n\r\n"), "contacts"),
    "quoted pairs": (fill(b'\\"', head()[:-2] + b'Contact: "', b"\r\n\r\n"), "contacts"),
    "quoted pairs and a control byte": (fill(b"\\\x01", head()[:-2] + b'X: "', b"\x01\r\n\r\n"), ""),
    "backslashes": (fill(b"\\", head()[:-2] + b"To: ", b"\r\n\r\n"), "to"),
    "open brackets": (fill(b"<", head()[:-2] + b"Route: ", b"\r\n\r\n"), "routes"),
    "open comments": (fill(b" (", head()[:-2] + b"Route: ,", b"\r\n\r\n"), "routes"),
    "folds": (fill(b"\r\n ", head()[:-2] + b"X: ", b"\r\n\r\n"), "items"),
    "folds that are words": (fill(b"a\r\n ", head()[:-2] + b"X: ", b"\r\n\r\n"), "items"),
    "folds of a Content-Length": (fill(b"\r\n ", head()[:-2] + b"l: ", b"0\r\n\r\n"), "content_length"),
    "folds without an end": (fill(b"\r\n ", head()[:-2] + b"X: "), ""),
    "blanks before a colon": (fill(b" ", head()[:-2] + b"Via", b": x\r\n\r\n"), "items"),
    "blanks without a colon": (fill(b" ", head()[:-2] + b"Via", b"\r\n\r\n"), ""),
    "blanks in a value": (fill(b" ", head()[:-2] + b"CSeq: 1", b"x\r\n\r\n"), "cseq"),
    "blanks in a Via": (fill(b" ", head()[:-2] + b"Via: SIP/2.0/UDP", b"\r\n\r\n"), "via"),
    "a name": (fill(b"a", head()[:-2], b": x\r\n\r\n"), "items"),
    "empty lines": (fill(b"\r\n", b"", head()), ""),
    "only empty lines": (fill(b"\n"), ""),
    "bare CR": (fill(b"\r"), ""),
    "colons": (fill(b":", head()[:-2] + b"To: sip", b"\r\n\r\n"), "to"),
    "a URI": (fill(b"a", b"A sip:", b"@b SIP/2.0\r\n\r\n"), "uri"),
    "ats": (fill(b"@", b"A sip:", b" SIP/2.0\r\n\r\n"), "uri"),
    "escapes": (fill(b"%41", b"A sip:", b"@b SIP/2.0\r\n\r\n"), "uri"),
    "URI parameters": (fill(b";a", b"A sip:b", b" SIP/2.0\r\n\r\n"), "uri"),
    "labels": (fill(b"a.", b"A sip:", b" SIP/2.0\r\n\r\n"), "uri"),
    "hyphens": (fill(b"-", b"A sip:a", b" SIP/2.0\r\n\r\n"), "uri"),
    "parameters": (lambda size: head(b"To: <sip:a>" + b"".join(b";p%06d" % at for at in range(size // 8))), "to"),
    "digits": (fill(b"9", head()[:-2] + b"CSeq: ", b" A\r\n\r\n"), "cseq"),
    "zeros": (fill(b"0", head()[:-2] + b"l: ", b"\r\n\r\n"), "content_length"),
    "headers": (fill(b"Via:x\r\n", head()[:-2], b"\r\n"), "items"),
    "short headers": (fill(b"a:\n", head()[:-2], b"\r\n"), "items"),
    "Vias on one line": (fill(b"SIP/2.0/UDP h,", head()[:-2] + b"Via: ", b"SIP/2.0/UDP h\r\n\r\n"), "vias"),
    "the top of many Vias": (fill(b"SIP/2.0/UDP h,", head()[:-2] + b"Via: ", b"SIP/2.0/UDP h\r\n\r\n"), "via"),
    "routes": (fill(b"<sip:h;lr>,", head()[:-2] + b"Route: ", b"<sip:h>\r\n\r\n"), "routes"),
    "a reason": (fill(b"\xff", b"SIP/2.0 200 ", b"\r\n\r\n"), "status_text"),
    "a body": (fill(b"\r\n", head()), "body"),
    "Content-Lengths": (fill(b"l:0\r\n", head()[:-2], b"\r\n"), "content_length"),
}


@pytest.mark.parametrize("name", WORST)
def test_cost_grows_no_faster_than_the_input(impl: ModuleType, name: str):
    make, attribute = WORST[name]
    limits = {"max_size": 1 << 20, "max_headers": 1 << 16}

    def work(data: bytes) -> None:
        message = outcome(impl.parse, data, **limits)
        if type(message) is not tuple and attribute:
            outcome(message.headers.items if attribute == "items" else lambda: getattr(message, attribute))

    assert_linear(lambda size: partial(work, make(size)))


# --- several values, and a reply's own headers


def test_several_values_make_one_line(impl):
    message = impl.parse(REQUEST)
    message.set_header("Allow", ("INVITE", "ACK"))
    message.add_header("Route", [NameAddr("sip:p1.example.com;lr"), "<sip:p2.example.com;lr>"])
    message.headers["Supported"] = []
    assert message.get_header("Allow") == "INVITE, ACK"
    assert message.get_header("Route") == "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>"
    assert message.get_header("Supported") == ""
    before = bytes(message)
    with pytest.raises(SerializeError):
        message.set_header("Allow", ("INVITE", "A\rCK"))
    with pytest.raises(TypeError, match="not NoneType"):
        message.set_header("Allow", ("INVITE", None))
    assert bytes(message) == before


@pytest.mark.parametrize("name", ["Via", "f", "TO", "Call-ID", "cseq", "record-Route", Text("To")])
def test_a_reply_is_not_given_what_it_copies(impl, name):
    request = impl.parse(REQUEST)
    request.add_header("Record-Route", "<sip:p;lr>")
    with pytest.raises(SerializeError, match=f"^{name} is copied from the request"):
        request.reply(200, headers=[("X", "1"), (name, "x")])
    bare = impl.parse(b"INVITE sip:a@b SIP/2.0\r\n\r\n")
    assert bare.reply(200, headers={name: "x"}).get_headers(name) == ["x"]


def test_a_reply_that_copies_no_record_route_may_be_given_one(impl):
    request = impl.parse(REQUEST)
    request.add_header("Record-Route", "<sip:p;lr>")
    for status in (100, 302, 404):
        assert request.reply(status, headers={"Record-Route": "<sip:x>"}).get_headers("Record-Route") == ["<sip:x>"]


@pytest.mark.parametrize("sent", [(b"Timestamp: 54.2",), (b"Timestamp: 54.2", b"TIMESTAMP: 7"), ()])
def test_a_100_is_given_a_timestamp_with_its_delay(impl, sent):
    """8.2.6.1: the delay goes into the copy, which is the caller's then."""
    message = request(impl, b"Via: x", b"Call-ID: 1", *sent)
    reply = message.reply(100, headers=[("Server", "s"), ("timestamp", "54.2 0.5"), ("X", "1")])
    assert names(reply) == ["Via", "Call-ID", "Server", "timestamp", "X", "Content-Length"]
    assert reply.get_headers("Timestamp") == ["54.2 0.5"]
    assert text_of(impl.parse(bytes(reply))) == text_of(reply)
    twice = message.reply(100, headers=[("Timestamp", "1"), ("Timestamp", "2")])
    assert twice.get_headers("Timestamp") == ["1", "2"]
    assert message.reply(180, headers={"Timestamp": "1"}).get_headers("Timestamp") == ["1"]


def test_a_reply_is_given_once_what_it_has_by_itself(impl):
    """Content-Length is counted, and the other headers of a reply are the caller's alone."""
    message = request(impl, b"Via: x", b"Contact: <sip:a>", b"Server: a", b"Content-Type: a/b", body=b"abc")
    made = message.reply(200, headers={"Contact": "<sip:b>", "Server": "b", "Content-Length": 0})
    assert [made.get_headers(name) for name in ("Contact", "Server", "l", "c")] == [["<sip:b>"], ["b"], ["0"], []]


@pytest.mark.parametrize(
    ("invite", "cancel"),
    [
        # 9.1: a CANCEL has one Via, the top one of its INVITE, however many share a line there.
        ((b"Via: A, B", b"CSeq: 1 INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via:A ,B,C", b"Via: D", b"CSeq: 1 INVITE"), (b"v: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A,\r\n B", b"CSeq: 1 INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A\r\n ;x", b"CSeq: 1 INVITE"), (b"Via: A ;x", b"CSeq: 1 CANCEL")),
        ((b'Via: A;x="a,b", B', b"CSeq: 1 INVITE"), (b'Via: A;x="a,b"', b"CSeq: 1 CANCEL")),
        ((b"Via: A", b"CSeq: 1\tINVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A", b"CSeq: 1\t INVITE"), (b"Via: A", b"CSeq: 1  CANCEL")),
        ((b"Via: A", b"CSeq: 1\r\n INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A", b"CSeq:\r\n\t1\r\n INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A", b"CSeq: 0001 INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        ((b"Via: A", b"CSeq: 0 INVITE"), (b"Via: A", b"CSeq: 00 CANCEL")),
        ((b"Via: A", b"Call-ID:\r\n  a b", b"CSeq: 1 INVITE"), (b"Via: A", b"i: a b", b"CSeq: 1 CANCEL")),
        ((b"Via:\r\n A", b"CSeq: 1 INVITE"), (b"Via: A", b"CSeq: 1 CANCEL")),
        # What cannot be read is a request all the same.
        ((b"Via: ,A", b"CSeq: one INVITE"), (b"Via: A , ,B", b"CSeq: one CANCEL")),
        ((b"Via: A", b"CSeq: 1x\r\n\tINVITE"), (b"Via: A", b"CSeq: 01x CANCEL")),
        ((), ()),
    ],
)
def test_a_cancel_gets_the_to_tag_of_its_invite(impl, invite, cancel):
    """9.2: the To tag of the response to the CANCEL and that of the response to its INVITE SHOULD be the same."""
    tags = {request(impl, b"To: <sip:b>", *lines).reply(200).to_tag for lines in (invite, cancel, invite)}
    assert len(tags) == 1


def test_other_requests_get_other_to_tags(impl):
    """Nor does what ends one part of the identity begin the next."""
    tags = [request(impl, b"To: <sip:b>", *lines).reply(200).to_tag for lines in (
        (b"Via: A, B", b"CSeq: 1 INVITE"), (b"Via: B, A", b"CSeq: 1 INVITE"), (b"Via: A", b"CSeq: 2 INVITE"),
        (b"Via: A", b"CSeq: 10 INVITE"), (b"Via: A1", b"CSeq: 0 INVITE"), (b"Call-ID: A", b"CSeq: 1 INVITE"),
        (b"Via: A", b"Call-ID: A", b"CSeq: 1 INVITE"), (b"Via: AA", b"CSeq: 1 INVITE"),
    )]  # fmt: skip
    assert len(set(tags)) == len(tags)


CAPABILITIES = (("Allow", "OPTIONS"), ("Accept", "application/sdp"), ("Supported", ""), ("Server", "Vermittlung Köln"))


@pytest.mark.parametrize(
    "headers",
    [
        CAPABILITIES,
        (("Content-Length", "3"), ("X", "y")),
        (["Allow", "INVITE"],),
        (("Expires", 60),),
        (("X", "a" * 5000),),
        (("Content-Type", "text/plain"),) * 40,
    ],
)
def test_the_same_headers_again_and_again(impl, headers):
    """The compiled core keeps the lines of a tuple that cannot change: they are those that were given, every time."""
    request = impl.parse(REQUEST)
    for _ in range(3):
        reply = request.reply(200, headers=headers, body=b"abc")
        assert [item for item in reply.headers.items() if item[0] in dict(headers)] == [
            (name, str(value)) for name, value in headers
        ]
        assert impl.parse(bytes(reply)) == reply
        reply.set_header(headers[0][0], "3")
        assert reply.get_header(headers[0][0]) == "3"
        built = impl.Message.request("OPTIONS", "sip:a@b", headers=headers, body=b"abc")
        assert built.headers.items()[: len(headers)] == [(name, str(value)) for name, value in headers]
    other = tuple((name, "1") for name, _ in headers if name != "Content-Length")
    assert request.reply(200, headers=other).get_headers(other[0][0]) == [
        value for name, value in other if name == other[0][0]
    ]


def test_headers_that_were_fine_in_a_request_are_still_refused_in_a_reply(impl):
    headers = (("Via", "SIP/2.0/UDP a"), ("Subject", "x"))
    impl.Message.request("OPTIONS", "sip:a@b", headers=headers)
    with pytest.raises(SerializeError, match="Via is copied"):
        impl.parse(REQUEST).reply(200, headers=headers)


@pytest.mark.parametrize("control", ["\0", "\x1f", "\x7f", "\n", "\r"])
def test_a_control_byte_is_not_written_wherever_it_stands(impl, control):
    """The compiled core looks at 16 and at 8 bytes at a time, and the last 8 twice."""
    message = impl.parse(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
    for length in range(1, 42):
        for at in range(length):
            text = "~" * at + control + "!" * (length - at - 1)
            with pytest.raises(SerializeError):
                message.add_header("Subject", text)
            with pytest.raises(SerializeError):
                message.reply(200, headers=[("Subject", text)])
        value = "~" + "\t" * length + "!"
        message.set_header("Subject", value)
        assert message.get_header("Subject") == value
