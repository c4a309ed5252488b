"""The answer to a request that cannot be read (RFC 3261 18.3): as much of its head as a response needs, read leniently.

Nothing of what is read here gets anywhere but into that response, which is written as strictly as all others.
"""

import re
import time
from typing import Final

from . import _grammar as grammar
from ._address import Address
from ._broken import split_head
from ._limited_log import call_id_text
from .errors import ParseError, SipError
from .message import Message
from .methods import ACK, header_id

# What is between is what cannot be read, or does not matter.
_REQUEST_LINE: Final = re.compile(rf"({grammar.TOKEN})[ \t].*[ \t]{grammar.SIP_VERSION}[ \t]*".encode())
_VIA: Final = header_id("Via")
_ONCE: Final = {header_id(name): name for name in ("From", "To", "Call-ID", "CSeq")}
_CALL_ID: Final = re.compile(rb"(?i)\n(?:call-id|i)[ \t]*+:[ \t]*+([^\r\n]*)")
_URI: Final = "sip:unreadable.invalid"


class Allowance:
    """So many a second, and no more.

    Args:
        rate: how many.
    """

    __slots__ = ("_left", "_rate", "_until")

    def __init__(self, rate: int) -> None:
        self._rate = self._left = rate
        self._until = 0.0

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        if now >= self._until:
            self._left, self._until = self._rate, now + 1.0
        self._left -= 1
        return self._left >= 0


def answer_unreadable(data: bytes, addr: Address, error: ParseError) -> Message | None:
    """The response to a datagram from `addr` that `parse` refused with this error.

    None where it is not clearly a request, is an ACK, has not all that a response copies, comes from no port, or would
    get an answer that is longer than itself: who forges a source must not gain by us.
    """
    headers = _read_head(data)
    if headers is None or not addr[1]:
        return None
    method, pairs = headers
    try:
        request = Message.request(method, _URI, headers=pairs)
        request.stamp_received(addr[0], addr[1])
        via, cseq = request.via, request.cseq
        if via is None or via.protocol.upper() != "SIP/2.0" or cseq is None or cseq.method != method:
            return None
        for reason in [error.reason, None] if error.status == 400 else [None]:
            response = request.reply(error.status, reason)
            if len(response.to_bytes()) <= len(data):
                return response
    except (SipError, ValueError):
        pass
    return None


def call_id_of(data: bytes) -> str:
    """For the log: the Call-ID of bytes that are no message, where they have a line that reads like one."""
    found = _CALL_ID.search(b"\n" + data)
    return "" if found is None else call_id_text(found[1].decode("utf-8", "surrogateescape"))


def _read_head(data: bytes) -> tuple[str, list[tuple[str, str]]] | None:
    """The method and the headers that a response copies; None where one is missing or there twice."""
    first, lines, _ = split_head(data)
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None or asked[1] == ACK.encode():
        return None
    pairs, missing = [], dict(_ONCE)
    for name, value in lines:
        number = header_id(name.decode("ascii"))
        if number == _VIA:
            pairs.append(("Via", value.decode("utf-8", "surrogateescape")))
        elif number in _ONCE:
            if number not in missing:
                return None
            pairs.append((missing.pop(number), value.decode("utf-8", "surrogateescape")))
    return None if missing else (asked[1].decode("ascii"), pairs)
