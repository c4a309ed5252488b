"""Headers that hold several values with commas between them (RFC 3261 7.3.1), and those that are tokens alone."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeVar

from .._grammar import BLANK, OPEN_QUOTED_STRING
from .._values import HeaderValue, need_str, parse_token, tolerate
from ..errors import HeaderError

_Value = TypeVar("_Value", bound=HeaderValue)
_Item = TypeVar("_Item")
ParsedHeader = HeaderValue | int | str | tuple[HeaderValue, ...] | tuple[str, ...]
"""What parse_header returns: one value, or a tuple for a header that may have several."""
Reader = Callable[[str], ParsedHeader]

# Up to a comma, or a comment with others or a backslash in it. What is opened and never closed goes on to the end.
_TO_COMMA: Final = '[^",<(]*+'
_UP_TO_COMMA: Final = re.compile(
    rf"(?>{_TO_COMMA}(?:(?:{OPEN_QUOTED_STRING}|<[^>]*+>?|(?<=[^{BLANK},])\(|\([^()\\]*+\)){_TO_COMMA})*)", re.DOTALL
)
_COMMENT_MARK: Final = re.compile(r"(?>(?:[^()\\]++|\\.?)*)([()]|\Z)", re.DOTALL)


def split_list(value: str) -> list[str]:
    """Split a header's value at the commas outside quotes, `<>` and comments; blanks round the parts are cut.

    A comment starts at a `(` behind a blank, a comma or at the start: elsewhere it is a letter of a URI's user.
    What is opened and never closed goes on to the end. An empty value has no parts.
    """
    return [part for _, part in list_parts(value)]


def list_parts(value: str) -> list[tuple[int, str]]:
    """The parts that split_list finds, each with the place where it starts."""
    if type(value) is not str:
        value = need_str(value, "value")
    if "," not in value:
        return [_trimmed(value, 0, len(value))] if value.strip(BLANK) else []
    return list(each_part(value))


def each_part(value: str) -> Iterator[tuple[int, str]]:
    """The parts one after the other, none read before it is asked for: who wants the first pays for the first."""
    start = 0
    while True:
        end = element_end(value, start)
        yield _trimmed(value, start, end)
        if end == len(value):
            return
        start = end + 1


def element_end(value: str, position: int) -> int:
    """Where the element ends that begins at a position: at a comma, or with the value."""
    while True:
        position = _UP_TO_COMMA.match(value, position).end()  # type: ignore[union-attr]  # it matches nothing too
        if position == len(value) or value[position] == ",":
            return position
        end = comment_end(value, position)
        position = end if end > 0 else len(value)


def _trimmed(value: str, start: int, end: int) -> tuple[int, str]:
    part = value[start:end].lstrip(BLANK)
    return end - len(part), part.rstrip(BLANK)


def comment_end(text: str, position: int) -> int:
    """Where the comment that opens at a position ends, -1 where it does not: comments nest, and know quoted-pairs."""
    depth = 0
    for found in _COMMENT_MARK.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(found[1], 0)
        if depth == 0 and found[1]:
            return found.end()
    return -1


def is_one_element(text: str) -> bool:
    """Whether a text is one value wherever it stands in a list: nothing that it opens hides the comma behind it."""
    return [part for _, part in each_part(f"{text},")] == [text.strip(BLANK), ""]


def parse_list(cls: type[_Value], value: str) -> tuple[_Value, ...]:
    """Every value of a comma-separated header field, each read by `cls.parse`. Empty parts are skipped."""
    return each_given(value, cls.parse)


def parse_tokens(value: str) -> tuple[str, ...]:
    """The tokens of a list such as Allow or Require. Empty parts (a comma at the end) are skipped."""
    return each_given(value, _parse_element)


def _parse_element(text: str) -> str:
    return parse_token(text, "list element")


def each_given(value: str, read: Callable[[str], _Item]) -> tuple[_Item, ...]:
    """Every part of a list, read; empty parts are skipped."""
    parts = list_parts(value)
    if not parts:
        tolerate("list is empty")
    return tuple(read_each(parts, read))


def read_each(parts: Iterable[tuple[int, str]], read: Callable[[str], _Item]) -> Iterator[_Item]:
    """Parts with the places where they start, read but for empty ones; an error says where it is in the whole."""
    for offset, part in parts:
        if not part:
            tolerate("list has an empty element")
            continue
        try:
            yield read(part)
        except HeaderError as error:
            raise HeaderError(error.reason, offset=offset + error.offset, status=error.status) from None


def or_nothing(reader: Reader) -> Reader:
    """The reader of a list that may be empty."""
    return lambda value: reader(value) if value else ()


def _parse_privacy(value: str) -> tuple[str, ...]:
    """RFC 3323 4.2: tokens with semicolons; commas are common."""
    return each_given(value.replace(";", ","), partial(parse_token, what="privacy value"))


READERS: Final[dict[str, Reader]] = {
    # RFC 3261 lets these be empty: Allow and Supported then say "nothing".
    **dict.fromkeys(("Allow", "Supported", "Accept-Resource-Priority"), or_nothing(parse_tokens)),
    **dict.fromkeys(("Require", "Proxy-Require", "Unsupported", "Resource-Priority"), parse_tokens),
    **dict.fromkeys(("Priority", "SIP-ETag", "SIP-If-Match"), partial(parse_token, what="value")),
    "Privacy": _parse_privacy,
}
