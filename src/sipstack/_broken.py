"""What can be read of bytes that are no message: for logs, and for who looks at captures that were cut.

This is the one lenient reader. What it gives is a `BrokenMessage` and never a Message, so that nobody acts on it.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from . import _grammar as grammar
from ._diagnose import bad_control
from ._limits import MAX_HEADERS
from .methods import header_id

__all__ = ["BrokenMessage", "read_broken"]

_HEAD_END: Final = re.compile(grammar.HEAD_END.encode())
_FOLD: Final = re.compile(rf"\n{grammar.LWS}".encode())
_NAME: Final = re.compile(rf"({grammar.TOKEN}){grammar.SWS}:".encode())
_CONTROL: Final = re.compile(f"[{grammar.CONTROL_CHARS}]".encode())
_BLANK: Final = grammar.BLANK.encode()


class BrokenMessage(NamedTuple):
    """What can be read of bytes that are no message.

    Attributes:
        start_line: the first line, "" where it has no end or holds a control character.
        headers: every line that is a header, (name, value) each: before and behind the place that is wrong.
        body: the bytes behind the empty line that ends the headers, all that are there.
    """

    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a name (any case, compact or long), or the default."""
        wanted = _key(name)
        return next((value for key, value in self.headers if _key(key) == wanted), default)


def read_broken(data: bytes | bytearray | memoryview | str) -> BrokenMessage:
    """Read what can be read of bytes that `parse` refused, such as a message that a capture has cut.

    Headers are those lines that are headers by the rules of `parse`; others are left out, and so is a last line that
    has no end. So nothing in them is a control character that `parse` would not give. Two things a reader of logs
    should know: the last value may go on where the bytes were cut, and any of it may be made up. Only the first 257
    lines are looked at, in time linear in the number of bytes. It raises nothing but TypeError, for what is
    neither bytes nor text.
    """
    if isinstance(data, str):
        data = str.encode(data, "utf-8", "surrogateescape" if _is_utf8(data) else "replace")
    elif not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, bytearray, memoryview or str, not {type(data).__name__}")
    first, lines, body = split_head(bytes(data))
    headers = [(_text(name), _text(value)) for name, value in lines if bad_control(value) < 0]
    return BrokenMessage("" if _CONTROL.search(first) else _text(first), tuple(headers), body)


def split_head(data: bytes) -> tuple[bytes, Iterator[tuple[bytes, bytes]], bytes]:
    """The first line, name and value of each line that has a name and a colon (control bytes and all), and the rest."""
    data = data.lstrip(b"\r\n")
    end = _HEAD_END.search(data)
    *lines, rest = (data[: end.end()] if end else data).split(b"\n", MAX_HEADERS + 1)
    head = b"\n".join([*lines, rest[:1]])
    # An expression that may begin with a CR would be tried at each byte.
    head = _FOLD.sub(b" ", head.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t"))
    first, *lines = head.split(b"\n")
    return (first if lines else b"").removesuffix(b"\r"), _named(lines[:-1]), data[end.end() :] if end else b""


def _named(lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        found = _NAME.match(line)
        if found is not None:
            yield found[1], line[found.end() :].removesuffix(b"\r").strip(_BLANK)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _key(name: str) -> int | str:
    """What the spellings of one name share."""
    return header_id(name) or name.lower()
