"""The careful reading of bytes that a parser refused: finds the first broken rule and names its byte.

Both parsers only decide whether bytes are a message. When they are not, this one source says why, so that the two
cannot disagree about an error, and neither pays for explanations on its fast path.
"""

import re

from . import _grammar as grammar
from ._limits import LARGEST_MAX_SIZE
from ._values import need_limit
from .errors import HeaderError, ParseError
from .methods import header_id

_BLANK = grammar.BLANK.encode()
_EMPTY_LINES = re.compile(grammar.EMPTY_LINES.encode())
_LINE_END = re.compile(grammar.LINE_END.encode())
_TOKEN = re.compile(grammar.TOKEN.encode())
_CONTROL = re.compile(f"[{grammar.CONTROL_CHARS}]".encode())
_NOT_CONTROL = _CONTROL.sub(b"", bytes(range(256)))
_MARK = b"\0"
_LINE_ENDS_MARKED = bytes.maketrans(b"\r\n", _MARK * 2)
_MARKED = bytes([byte if byte in b"\r\n" or byte in _NOT_CONTROL else 0 for byte in range(256)])
_ALLOWED = (b"\\\\", b"\\" + _MARK, b"\r\n ", b"\r\n\t", b"\n ", b"\n\t")  # quoted-pairs first, then folds
_VERSION = re.compile(grammar.SIP_VERSION.encode())
_STATUS = re.compile(rf" ({grammar.DIGITS})(?= |\Z)".encode())
_STATUS_CODE = re.compile(grammar.STATUS_CODE.encode())
_FOLDED_LINES = re.compile(grammar.ANY_FOLDED_LINES.encode())
_CONTENT_LENGTH = header_id("Content-Length")


def check_limits(max_size: object, max_headers: object) -> tuple[int, int]:
    """The limits of one message; ValueError for one that nothing could be read with."""
    return need_limit(max_size, "max_size", 1, LARGEST_MAX_SIZE), need_limit(max_headers, "max_headers")


def bad_control(value: bytes) -> int:
    """The offset of the first control byte that a header value may not hold; -1 where there is none.

    It is what ends a FIELD_VALUE of the grammar. Here what is allowed is overwritten, all of a kind at once: the
    expression, which stops at each of them, takes ten times as long.
    """
    if not value.translate(None, _NOT_CONTROL):
        return -1
    text = value.translate(_MARKED)
    for allowed in _ALLOWED:
        text = text.replace(allowed, b"x" * len(allowed))
    return text.translate(_LINE_ENDS_MARKED).find(_MARK)


def diagnose(data: bytes, max_size: int, max_headers: int) -> None:
    """Raise the ParseError that says what is wrong with `data`; return where nothing is.

    Reasons are constant texts, so that they can be counted; the offset says where.
    """
    if len(data) > max_size:
        raise ParseError("message is too large", max_size, 513)
    start = end_of(_EMPTY_LINES, data, 0)
    if start == len(data):
        raise ParseError("no message, only empty lines" if data else "no message, no bytes", start)
    position = _check_start_line(data, start)
    length = None
    headers = 0
    while not _LINE_END.match(data, position):
        if position == len(data):
            raise ParseError("header section does not end with an empty line", position)
        if headers == max_headers:
            raise ParseError("too many headers", position, 513)
        position, length = _check_header(data, position, length)
        headers += 1
    body = end_of(_LINE_END, data, position)
    if length is not None and length > len(data) - body:
        raise ParseError("Content-Length is more than the bytes that are there", len(data))


def end_of(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    """Where what the pattern matches at a position ends; the position where it does not match."""
    match = pattern.match(data, position)
    return match.end() if match else position


def _line_end(data: bytes, position: int) -> tuple[int, int]:
    """Where the text of the line ends, and where the next line begins (the same where the line has no end)."""
    newline = data.find(b"\n", position)
    if newline < 0:
        return len(data), len(data)
    return newline - (newline > position and data[newline - 1] == 13), newline + 1


def _folds_end(data: bytes, position: int) -> tuple[int, int]:
    """The same of the last of the folded lines that begin at a position."""
    last = end_of(_FOLDED_LINES, data, position)
    if last < len(data) and data[last] in _BLANK:  # it has no end
        return len(data), len(data)
    return last - 1 - (data[last - 2] == 13), last


def _check_start_line(data: bytes, start: int) -> int:
    end, after = _line_end(data, start)
    found = _CONTROL.search(data, start, end)
    if found:
        raise ParseError(_control_reason(data, found.start(), "the start line"), found.start())
    if data[start : start + 4].upper() == b"SIP/":
        _check_status_line(data[start:end], start)
    else:
        _check_request_line(data[start:end], start)
    if end == after:
        raise ParseError("start line has no line end", after)
    if after < len(data) and data[after] in _BLANK:
        raise ParseError("folded line before the first header", after)
    return after


def _check_status_line(line: bytes, start: int) -> None:
    version = end_of(_VERSION, line, 0)
    if not version or (line[version : version + 1] not in (b" ", b"")):
        raise ParseError("SIP version is malformed", start + (version or 4))
    code = _STATUS.match(line, version)
    if not code:
        raise ParseError("status code is missing or not a number", start + version)
    if not _STATUS_CODE.fullmatch(code[1]):
        raise ParseError("status code is not in 100..699", start + version + 1)


def _check_request_line(line: bytes, start: int) -> None:
    method = end_of(_TOKEN, line, 0)
    if method == len(line):
        raise ParseError("request line ends after the method", start + method)
    if method == 0:
        raise ParseError("method is missing", start)
    if line[method] != 0x20:
        raise ParseError("method has a byte that is no token", start + method)
    uri_end = line.find(b" ", method + 1)
    tab = line.find(b"\t")
    if tab >= 0:
        raise ParseError("tab in the request line", start + tab)
    if uri_end < 0:
        raise ParseError("request line ends after the Request-URI", start + len(line))
    if uri_end == method + 1:
        raise ParseError("Request-URI is missing or there is more than one space before it", start + uri_end)
    version = end_of(_VERSION, line, uri_end + 1)
    if version == uri_end + 1:
        raise ParseError("SIP version is missing or there is a space too many", start + version)
    if version != len(line):
        raise ParseError("more text behind the SIP version", start + version)


def _check_header(data: bytes, position: int, length: int | None) -> tuple[int, int | None]:
    """Check the header at `position`; the next line's place and the Content-Length known so far."""
    first_end, after = _line_end(data, position)
    name_end = end_of(_TOKEN, data, position)
    colon = name_end
    while colon < first_end and data[colon] in _BLANK:
        colon += 1
    if colon == first_end or data[colon] != 0x3A:
        raise _name_error(data, name_end, colon, first_end)
    if name_end == position:
        raise ParseError("header name is empty", position)
    end = first_end
    if end < after < len(data) and data[after] in _BLANK:
        end, after = _folds_end(data, after)
    value = data[colon + 1 : end]
    bad = bad_control(value)
    if bad >= 0:
        at = colon + 1 + bad
        raise ParseError(_control_reason(data, at, "a header value"), at)
    if end == after:
        raise ParseError("header section does not end with an empty line", after)
    if header_id(data[position:name_end].decode("ascii")) == _CONTENT_LENGTH:
        length = _check_content_length(value, colon + 1, length)
    return after, length


def _check_content_length(value: bytes, offset: int, earlier: int | None) -> int:
    try:
        length = grammar.read_content_length(value)
    except HeaderError as error:
        raise ParseError(error.reason, offset + error.offset) from None
    if earlier is not None and earlier != length:
        raise ParseError("two Content-Length headers differ", offset + value.find(value.strip(b" \t\r\n")))
    return length


def _name_error(data: bytes, name_end: int, at: int, line_end: int) -> ParseError:
    if _CONTROL.match(data, at, line_end):
        return ParseError(_control_reason(data, at, "a header name"), at)
    if data.find(b":", at, line_end) < 0:
        if line_end == len(data):
            return ParseError("header section does not end with an empty line", line_end)
        return ParseError("header line has no colon", line_end)
    if at > name_end:
        return ParseError("header name has a space in it", name_end)
    return ParseError("header name has a byte that is no token", at)


def _control_reason(data: bytes, at: int, place: str) -> str:
    return "bare CR" if data[at] == 13 else f"control byte in {place}"
