"""CSeq and RAck, and the headers that are one number."""

import re
from typing import Final, Self

from .._grammar import BLANK, DIGITS, LWS, METHOD, SWS
from .._limits import LARGEST_MAX_BREADTH, LARGEST_MAX_FORWARDS, MAX_CSEQ, MAX_RSEQ
from .._values import HeaderValue, assign, need_number, need_token, parse_delta, parse_number
from ..errors import HeaderError
from ._lists import Reader

_CSEQ: Final = re.compile(f"{SWS}({DIGITS}){LWS}({METHOD}){SWS}")
_RACK: Final = re.compile(f"{SWS}({DIGITS}){LWS}({DIGITS}){LWS}({METHOD}){SWS}")


class CSeq(HeaderValue):
    """A CSeq value (RFC 3261 20.16).

    Attributes:
        num: 0 to 2**31 - 1.
        method: the method, as sent.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("method", "num")
    num: int
    method: str

    def __init__(self, num: int, method: str) -> None:
        """Build a CSeq. Raises SerializeError."""
        assign(self, num=need_number(num, "CSeq", MAX_CSEQ), method=need_token(method, "method"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CSeq value."""
        found = _CSEQ.fullmatch(text)
        if found is None:
            raise HeaderError("CSeq is not a number and a method")
        return cls._of(num=parse_number(found[1], MAX_CSEQ, "CSeq", found.start(1)), method=found[2])

    def _key(self) -> tuple[object, ...]:
        return self.num, self.method

    def _head(self) -> str:
        return f"{self.num} {self.method}"


class RAck(HeaderValue):
    """A RAck value (RFC 3262 7.2).

    Attributes:
        rseq: 1 to 2**32 - 1.
        cseq: 0 to 2**31 - 1.
        method: the method, as sent.
    """

    __slots__ = ("cseq", "method", "rseq")
    rseq: int
    cseq: int
    method: str

    def __init__(self, rseq: int, cseq: int, method: str) -> None:
        """Build a RAck. Raises SerializeError."""
        assign(self, rseq=need_number(rseq, "RSeq", MAX_RSEQ, 1), cseq=need_number(cseq, "CSeq", MAX_CSEQ))
        assign(self, method=need_token(method, "method"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a RAck value."""
        found = _RACK.fullmatch(text)
        if found is None:
            raise HeaderError("RAck is not two numbers and a method")
        rseq = parse_rseq(found[1])
        return cls._of(rseq=rseq, cseq=parse_number(found[2], MAX_CSEQ, "CSeq", found.start(2)), method=found[3])

    def _key(self) -> tuple[object, ...]:
        return self.rseq, self.cseq, self.method

    def _head(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_cseq_num(value: str) -> int:
    """The number of a CSeq value: `"314159 INVITE"` gives 314159."""
    return CSeq.parse(value).num


def with_cseq_ack(value: str) -> str:
    """The CSeq of the ACK to a request: `"314159 INVITE"` gives `"314159 ACK"` (RFC 3261 17.1.1.3)."""
    return str(CSeq(CSeq.parse(value).num, "ACK"))


def parse_rack(value: str) -> RAck:
    """A RAck value, the same as `RAck.parse`."""
    return RAck.parse(value)


def parse_rseq(value: str) -> int:
    """An RSeq value, 1 to 2**32 - 1 (RFC 3262 7.1)."""
    number = parse_number(value.strip(BLANK), MAX_RSEQ, "RSeq")
    if number == 0:
        raise HeaderError("RSeq is out of range")
    return number


def parse_max_forwards(value: str) -> int:
    """A Max-Forwards value, 0 to 255 (RFC 3261 20.22)."""
    return parse_number(value.strip(BLANK), LARGEST_MAX_FORWARDS, "Max-Forwards")


def parse_seconds(value: str) -> int:
    """An Expires or Min-Expires value, 0 to 2**32 - 1 seconds; a larger number is read as that (RFC 3261 20.19)."""
    return parse_delta(value.strip(BLANK), "number of seconds")


READERS: Final[dict[str, Reader]] = {
    "CSeq": CSeq.parse,
    "RAck": RAck.parse,
    "RSeq": parse_rseq,
    "Max-Forwards": parse_max_forwards,
    "Max-Breadth": lambda value: parse_number(value.strip(BLANK), LARGEST_MAX_BREADTH, "Max-Breadth"),
    **dict.fromkeys(("Expires", "Min-Expires", "Flow-Timer"), parse_seconds),
}
