"""Seconds with something behind them: Session-Expires and Min-SE (RFC 4028), Retry-After (RFC 3261 20.33)."""

import re
from typing import ClassVar, Final, Self

from .._grammar import CTEXT, DIGITS, SWS
from .._limits import MAX_SECONDS
from .._params import ParamsLike
from .._values import assign, escape, lower, need_number, need_text, parse_number, skip_blanks, unquote
from ..errors import HeaderError
from ._base import Parametrized
from ._lists import Reader, comment_end

_CTEXT: Final = re.compile(CTEXT)


class Interval(Parametrized):
    """A number of seconds with parameters: a Min-SE value (RFC 4028 5).

    Attributes:
        seconds: 0 to 2**32 - 1.
    """

    __slots__ = ("_params", "seconds")
    seconds: int
    _malformed = "value does not start with a number of seconds"
    _pattern = re.compile(f"{SWS}({DIGITS}){SWS}")

    def __init__(self, seconds: int, *, params: ParamsLike | None = None) -> None:
        """Build an interval. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS), _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value."""
        seconds, end = cls._read_seconds(text)
        return cls._of(seconds=seconds, _params=cls._read_params(text, end))

    @classmethod
    def _read_seconds(cls, text: str) -> tuple[int, int]:
        """The seconds, and where what follows them starts."""
        found = cls._pattern.match(text)
        if found is None:
            raise HeaderError(cls._malformed)
        return parse_number(found[1], MAX_SECONDS, "seconds", found.start(1)), found.end()

    def _key(self) -> tuple[object, ...]:
        return type(self), self.seconds, self.params

    def _head(self) -> str:
        return str(self.seconds)


class SessionExpires(Interval):
    """A Session-Expires value (RFC 4028 4)."""

    __slots__ = ()
    _tokens = frozenset({"refresher"})

    def __init__(self, seconds: int, *, refresher: str | None = None, params: ParamsLike | None = None) -> None:
        """Build a Session-Expires. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS))
        assign(self, _params=self._write_params(params, refresher=refresher))

    @property
    def refresher(self) -> str | None:
        """`uac` or `uas`, in lower case; None where it is not given."""
        value = self.params.get("refresher")
        return None if value is None else lower(value)


class RetryAfter(Interval):
    """A Retry-After value (RFC 3261 20.33). The comment does not count in a comparison.

    Attributes:
        comment: the text of the comment in parentheses, "" where there is none.
    """

    __slots__ = ("comment",)
    comment: str
    _numbers: ClassVar[dict[str, int]] = {"duration": MAX_SECONDS}

    def __init__(
        self, seconds: int, *, comment: str = "", duration: int | None = None, params: ParamsLike | None = None
    ) -> None:
        """Build a Retry-After. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS), comment=need_text(comment, "comment"))
        assign(self, _params=self._write_params(params, duration=duration))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read seconds, a comment and parameters."""
        seconds, end = cls._read_seconds(text)
        comment = ""
        if text[end : end + 1] == "(":
            comment, end = _read_comment(text, end)
        return cls._of(seconds=seconds, comment=comment, _params=cls._read_params(text, end))

    @property
    def duration(self) -> int | None:
        """For how many seconds the callee will be there."""
        return self._number("duration")

    def _head(self) -> str:
        comment = escape(self.comment, "()")
        return f"{self.seconds} ({comment})" if comment else str(self.seconds)


def _read_comment(text: str, position: int) -> tuple[str, int]:
    """The meaning of the comment that opens at a position (comments nest), and where what follows it starts."""
    end = comment_end(text, position)
    inside = text[position + 1 : end - 1]
    if end < 0 or _CTEXT.fullmatch(inside) is None:
        raise HeaderError("comment is not closed or holds a control character", offset=position)
    return unquote(inside), skip_blanks(text, end)


READERS: Final[dict[str, Reader]] = {
    "Session-Expires": SessionExpires.parse,
    "Min-SE": Interval.parse,
    "Retry-After": RetryAfter.parse,
}
