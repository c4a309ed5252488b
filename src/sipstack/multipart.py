"""Bodies of several parts (RFC 5621, RFC 2046 5.1): SDP with ISUP, or with a location. A part is bytes, as it came.

The email package of the standard library does not serve: it reads parts inside of parts without end (a datagram of
them takes a second, and a RecursionError), and a message/sipfrag is no bytes there.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, overload

from ._grammar import BLANK, FOLD, HEADER_NAME, LINE_END, LINE_TEXT, SWS
from ._limits import MAX_BODY_PARTS, MAX_BOUNDARY, MAX_PART_HEADERS
from ._rewrite import unfold
from ._values import lower, need_limit, need_str
from ._writing import Body, HeaderInput, encode_body, encode_name, encode_value
from .errors import HeaderError, ParseError, SerializeError
from .headers import ContentType, parse_header
from .methods import canonical_name

__all__ = ["BodyPart", "body_parts", "join_parts"]

_REST_OF_DELIMITER: Final = re.compile(rf"(--)?[{BLANK}]*+(?={LINE_END}|\Z)".encode())
_LINE_END: Final = re.compile(LINE_END.encode())
_HEADER: Final = re.compile(rf"({HEADER_NAME}){SWS}:({LINE_TEXT}(?>(?:{FOLD}{LINE_TEXT})*))(?:{LINE_END}|\Z)".encode())
_BCHARS_NO_SPACE: Final = r"A-Za-z0-9'()+_,\-./:=?"
_BOUNDARY: Final = re.compile(f"[{_BCHARS_NO_SPACE} ]{{0,{MAX_BOUNDARY - 1}}}[{_BCHARS_NO_SPACE}]")


if TYPE_CHECKING:

    class HasBody(Protocol):
        """What has a body: a Message, or a part of one."""

        @property
        def body(self) -> bytes: ...
        @property
        def content_type(self) -> ContentType | None: ...


class BodyPart(NamedTuple):
    """A part of a body.

    Attributes:
        headers: its headers, (name, value) each.
        body: its bytes.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes

    @overload
    def get_header(self, name: str) -> str | None: ...
    @overload
    def get_header(self, name: str, default: str) -> str: ...
    def get_header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a name (any case, compact or long), or the default."""
        wanted = lower(canonical_name(name))
        return next((value for key, value in self.headers if lower(canonical_name(key)) == wanted), default)

    @property
    def content_type(self) -> ContentType | None:
        """The Content-Type value; None where there is none, which means text/plain. Raises HeaderError."""
        value = self.get_header("Content-Type")
        return None if value is None else parse_header("Content-Type", value)  # type: ignore[return-value]


def body_parts(
    whole: "HasBody", *, max_parts: int = MAX_BODY_PARTS, max_headers: int = MAX_PART_HEADERS
) -> tuple[BodyPart, ...]:
    """The parts of a message's multipart body, or of a part that is multipart itself.

    Their bytes are as they came, whatever they are: nothing is decoded, and a Content-Length in a part does not count.
    What stands before the first delimiter and behind the last is left out; where the last is missing, the body's end is
    that of its last part. Raises HeaderError for a Content-Type that is missing, malformed, or of no multipart with a
    boundary, and ParseError for a body in which there is no part, or a part whose headers are malformed; with status
    513 where more than `max_parts` lines begin as a delimiter, or the parts have more than `max_headers` headers; each
    line of a folded one counts. ValueError is for a limit that is none.
    """
    if max_parts != MAX_BODY_PARTS or max_headers != MAX_PART_HEADERS:
        max_parts, max_headers = need_limit(max_parts, "max_parts"), need_limit(max_headers, "max_headers")
    content_type = whole.content_type
    boundary = "" if content_type is None else content_type.params.get("boundary") or ""
    multipart = content_type is not None and content_type.media_type.startswith("multipart/")
    if not multipart or not 0 < len(boundary) <= MAX_BOUNDARY:
        raise HeaderError("is not multipart with a boundary of 1 to 70 characters", "Content-Type", status=415)
    body = whole.body
    parts: list[BodyPart] = []
    for start, end in _spans(body, boundary, max_parts):
        part, max_headers = _read_part(body, start, end, max_headers)
        parts.append(part)
    return tuple(parts)


def _spans(body: bytes, boundary: str, max_parts: int) -> Iterator[tuple[int, int]]:
    """Where the parts begin and end, from delimiter to delimiter, each with the line end of its delimiter in front."""
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    start, lines, at = -1, 0, 0 if body.startswith(mark) else _line_of(mark, body, 0)
    while at >= 0:
        found = _REST_OF_DELIMITER.match(body, at + len(mark))
        lines += found is None or not found[1]
        if lines > max_parts:
            raise ParseError("too many parts", at, 513)
        if found:
            if start >= 0:
                yield start, max(start, at - (2 if body[at - 2 : at] == b"\r\n" else 1))
            if found[1]:
                return
            start = found.end()
        at = _line_of(mark, body, at)
    if start < 0:
        raise ParseError("multipart body does not have its boundary", len(body))
    yield start, len(body)


def _line_of(mark: bytes, body: bytes, position: int) -> int:
    """Where the next line behind a position begins that begins with the mark; -1 where there is none."""
    found = body.find(b"\n" + mark, position)
    return found + 1 if found >= 0 else -1


def _read_part(body: bytes, position: int, end: int, max_lines: int) -> tuple[BodyPart, int]:
    """A part between two delimiters: a line end, headers, an empty line, its bytes; and how many lines may follow."""
    headers: list[tuple[str, str]] = []
    line_end = _LINE_END.match(body, position, end)
    position = line_end.end() if line_end else end
    while position < end:
        line_end = _LINE_END.match(body, position, end)
        if line_end:
            return BodyPart(tuple(headers), body[line_end.end() : end]), max_lines
        found = _HEADER.match(body, position, end)
        if found is None:
            raise ParseError("header of a part is malformed", position)
        max_lines -= 1 + found[2].count(b"\n")
        if max_lines < 0:
            raise ParseError("too many headers", position, 513)
        headers.append((found[1].decode("ascii"), unfold(found[2]).decode("utf-8", "surrogateescape")))
        position = found.end()
    return BodyPart(tuple(headers), b""), max_lines


def join_parts(
    parts: Iterable[tuple[Iterable[tuple[str, HeaderInput]], Body]],
    *,
    subtype: str = "mixed",
    boundary: str | None = None,
) -> tuple[ContentType, bytes]:
    """A multipart body of parts, each a `BodyPart` or (headers, body): its Content-Type, and its bytes.

    The boundary is a random one by default. Raises SerializeError for a header that cannot be written, for no parts,
    and for a boundary that stands in one of them.
    """
    if boundary is None:
        boundary = os.urandom(16).hex()
    elif _BOUNDARY.fullmatch(boundary := need_str(boundary, "boundary")) is None:
        raise SerializeError("boundary is empty, too long, or holds a character that it may not (RFC 2046 5.1.1)")
    written = [_write_part(headers, encode_body(body)) for headers, body in parts]
    mark = b"--" + boundary.encode("ascii")
    if not written or any(mark in part for part in written):
        raise SerializeError("there are no parts, or the boundary stands in one of them")
    lines = [b"%b\r\n%b\r\n" % (mark, part) for part in written]
    return ContentType("multipart", subtype, params={"boundary": boundary}), b"%b%b--\r\n" % (b"".join(lines), mark)


def _write_part(headers: Iterable[tuple[str, HeaderInput]], body: bytes) -> bytes:
    lines = [b"%b: %b\r\n" % (encode_name(name), encode_value(name, value)) for name, value in headers]
    return b"%b\r\n%b" % (b"".join(lines), body)
