"""Date and Timestamp (RFC 3261 20.17, 20.38)."""

import datetime
import re
from typing import Final, Self

from .._grammar import DIGITS, LWS, SWS
from .._values import HeaderValue, assign, need_str
from ..errors import HeaderError, SerializeError
from ._lists import Reader

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC1123_DATE: Final = re.compile(
    f"{SWS}(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    f" ([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) GMT{SWS}",
    re.IGNORECASE | re.ASCII,
)
_TIMESTAMP: Final = re.compile(rf"{SWS}({DIGITS}(?:\.[0-9]*+)?)(?:{LWS}([0-9]*+(?:\.[0-9]*+)?))?{SWS}")


class Date(HeaderValue):
    """A Date value (RFC 3261 20.17).

    Attributes:
        when: an aware datetime in UTC, of whole seconds.
    """

    __slots__ = ("when",)
    when: datetime.datetime

    def __init__(self, when: datetime.datetime) -> None:
        """Build a Date of an aware datetime; parts of a second are dropped. Raises SerializeError for a naive one."""
        if not isinstance(when, datetime.datetime):
            raise TypeError(f"when must be datetime, not {type(when).__name__}")
        if when.tzinfo is None:
            raise SerializeError("when has no time zone")
        assign(self, when=when.astimezone(datetime.UTC).replace(microsecond=0))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a date; GMT is its one time zone. A weekday that is not that of the date is tolerated."""
        found = _RFC1123_DATE.fullmatch(text)
        if found is None:
            raise HeaderError("Date is not like Sat, 13 Nov 2010 23:29:00 GMT")
        month = _MONTHS.index(found[2].capitalize()) + 1
        year, day, hour, minute, second = (int(found[group]) for group in (3, 1, 4, 5, 6))
        try:
            when = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
        except ValueError:
            raise HeaderError("Date is no day or time of the calendar", offset=found.start(1)) from None
        return cls._of(when=when)

    def _key(self) -> datetime.datetime:
        return self.when

    def _head(self) -> str:
        when = self.when
        day = f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04}"
        return f"{day} {when.hour:02}:{when.minute:02}:{when.second:02} GMT"


class Timestamp(HeaderValue):
    """A Timestamp value (RFC 3261 20.38): texts, because a response must send the same digits back.

    Attributes:
        value: digits, a dot, digits.
        delay: the same, None where there is none.
    """

    __slots__ = ("delay", "value")
    value: str
    delay: str | None

    def __init__(self, value: str, *, delay: str | None = None) -> None:
        """Build a Timestamp of decimal texts. Raises SerializeError."""
        value, delay = need_str(value, "value"), None if delay is None else need_str(delay, "delay")
        text = value if delay is None else f"{value} {delay}"
        found = _TIMESTAMP.fullmatch(text)
        if found is None or found.groups() != (value, delay) or delay == "":
            raise SerializeError("Timestamp is not a decimal number")
        assign(self, value=value, delay=delay)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a time and a delay."""
        found = _TIMESTAMP.fullmatch(text)
        if found is None:
            raise HeaderError("Timestamp is not a decimal number")
        return cls._of(value=found[1], delay=found[2] or None)

    def _key(self) -> tuple[object, ...]:
        return self.value, self.delay

    def _head(self) -> str:
        return self.value if self.delay is None else f"{self.value} {self.delay}"


READERS: Final[dict[str, Reader]] = {"Date": Date.parse, "Timestamp": Timestamp.parse}
