"""Bytes from the wire, made fit for a terminal: nothing in a message may move the cursor or ring the bell."""

import unicodedata

from .errors import PROGRAM_ENDS

_LONGEST = 200  # characters of a value in a line of text
_BYTES_A_COLUMN = 8  # are looked at: a letter with some combining marks


def line_at(data: bytes, offset: int) -> tuple[int, int, bytes]:
    """The line that holds the byte at `offset`, its line end too: number from 1, where it starts, its text."""
    offset = min(max(offset, 0), len(data))
    start = data.rfind(b"\n", 0, offset) + 1
    end = data.find(b"\n", offset)
    line = data[start:] if end < 0 else data[start:end]
    return data.count(b"\n", 0, start) + 1, start, line.removesuffix(b"\r")


def visible(data: bytes | str) -> str:
    r"""Text as it is where it can be printed, and escaped where it cannot: `\x07`, `\xff`, `\u202e`."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else text.translate({ord(char): _visible(char) for char in set(text)})


def cut(value: object, longest: int = _LONGEST) -> str:
    """What a log line or an event's text has of a value: so many characters, all `visible`, and how many there are."""
    text = value if isinstance(value, str) else _text(value)
    head = visible(text[:longest])
    return head if len(text) <= longest and len(head) <= longest else f"{head[:longest]}... ({len(text)} characters)"


def _text(value: object) -> str:
    try:
        return str(value)
    except PROGRAM_ENDS:
        raise
    except BaseException:  # an error of somebody else's, which must not become one of ours
        return f"a {type(value).__name__} without a text"


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":  # what surrogateescape made of a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes: none for a combining mark, two for a wide character."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pointed(data: bytes, offset: int, *, width: int = 100) -> tuple[str, str]:
    """One line of text with a caret under its byte at `offset`: two lines of the same indent.

    A line of more than `width` columns is cut around the place, with `...` where something is missing.
    """
    start, end = max(0, offset - _BYTES_A_COLUMN * width), offset + _BYTES_A_COLUMN * width
    text = data[start:end].decode("utf-8", "surrogateescape")
    before = data[start:offset].decode("utf-8", "surrogateescape")
    while not text.startswith(before):  # it ends inside of a character, which stands behind the caret then
        before = before[:-1]
    left, cut_left = _fit(before[::-1], width * 2 // 3)
    right, cut_right = _fit(text[len(before) :], width - width * 2 // 3)
    shown = "".join(["..."] * (cut_left or start > 0) + left[::-1])
    return shown + "".join(right + ["..."] * (cut_right or end < len(data))), " " * _columns(shown) + "^"


def _fit(text: str, width: int) -> tuple[list[str], bool]:
    """As many characters, from the first on, as fit into `width` columns, and whether some did not."""
    shown: list[str] = []
    for char in text:
        cell = _visible(char)
        width -= _columns(cell)
        if width < 0:
            return shown, True
        shown.append(cell)
    return shown, False
