"""How much of a message one call reads: values and their parts are counted before the first of them is read.

A message of 64 KiB has room for ten thousand addresses or thirty thousand parameters. Nobody sends so many, and to read
them costs a thousand times what it costs to send them. So whoever reads values first counts commas, and what divides a
value, wherever they stand, in quotes too: that takes no time, and is never too few. As text all of it can be had.
"""

from collections.abc import Sequence
from typing import Final

from .._limits import MAX_PARTS, MAX_VALUES
from .._values import need_limit
from ..errors import HeaderError

DIVIDERS: Final = ';& \t(%"\\'
"""What divides a value into parts: parameters, headers of a URI, words, comments, escapes, quoted strings and pairs."""
_DIVIDERS: Final = DIVIDERS.encode()


def need_counts(max_values: object, max_parts: object) -> tuple[int, int]:
    """The limits of a caller who sets them; ValueError for one that is none. Who leaves the default does not ask."""
    return need_limit(max_values, "max_values"), need_limit(max_parts, "max_parts")


def check_counts(header: str, lines: Sequence[str], max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS) -> None:
    """Refuse lines of a header (or of several) that have too many values or parts: HeaderError with status 513."""
    text = "\n".join(lines)  # a line end is in none of them, and divides nothing
    if len(text) >= max_values and len(lines) + text.count(",") > max_values:
        raise HeaderError("too many values", header, 0, 513)
    if len(text) > max_parts and _parts_of(text) > max_parts:
        raise HeaderError("too many parts", header, 0, 513)


def _parts_of(text: str) -> int:
    data = text.encode("ascii", "ignore")  # which every divider is
    dividers = len(data) - len(data.translate(None, _DIVIDERS))  # one look for all of them
    return dividers - data.count(b'"') // 2  # a quoted string has two
