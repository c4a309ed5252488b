"""How much of a message one call reads: values and their parts are counted before the first of them is read.

A message of 64 KiB has room for ten thousand addresses or thirty thousand parameters. Nobody sends so many, and to read
them costs a thousand times what it costs to send them. So whoever reads values first counts commas, and what divides a
value, wherever they stand, in quotes too: that takes no time, and is never too few. As text all of it can be had.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from .._limits import MAX_PARTS, MAX_VALUES
from ..errors import HeaderError

DIVIDERS: Final = ";& \t(%"
"""What divides a value into parts: parameters, headers of a URI, words, comments, escapes."""


def check_counts(header: str, lines: Sequence[str], max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS) -> None:
    """Refuse lines of a header (or of several) that have too many values or parts: HeaderError with status 513."""
    if sum([len(line) + 1 for line in lines]) <= min(max_values, max_parts):
        return
    if count_values(lines) > max_values:
        raise HeaderError("too many values", header, 0, 513)
    if count_parts(lines) > max_parts:
        raise HeaderError("too many parts", header, 0, 513)


def count_values(lines: Iterable[str]) -> int:
    """The values of lines: one more than commas in each."""
    return sum([line.count(",") + 1 for line in lines])


def count_parts(lines: Iterable[str]) -> int:
    """What the values of lines are divided by, all together."""
    return sum([line.count(divider) for line in lines for divider in DIVIDERS])
