"""Forwarding: the branch of a stateless proxy, and the edits of RFC 3261 16.6 and 16.7 that need no decision.

These work on a Message of either implementation. `_forward.pxi` does the same, byte for byte, for messages of the
common shape, and comes here with any other.

The branch has two parts, both a keyed hash: `z9hG4bK`, 16 digits of where the request goes, 16 of its transaction and
of where its responses go. The first finds a loop (RFC 5393). The second is the same for a retransmission, a CANCEL and
an ACK to a failure (16.11), and tells a response to what we sent from one that somebody made up.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from . import _grammar as grammar
from ._limits import INITIAL_MAX_FORWARDS
from .errors import HeaderError
from .headers import MAGIC_COOKIE, Via

if TYPE_CHECKING:
    from ._parser_py import Message

TRANSPORT: Final = re.compile("[A-Z0-9-]++")
"""A transport as a Hop has it: narrower than a token (RFC 3261 25.1), for it stands in a parameter of a URI too."""
Sign = Callable[..., str]
"""`sign`, or what the compiled core has for it."""
_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_WORDS: Final = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4 with a key of 16 bytes: 64 bits that nobody can make who has not the key."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = low ^ _WORDS[0], high ^ _WORDS[1], low ^ _WORDS[2], high ^ _WORDS[3]
    data += bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8], "little")
        a, b, c, d = _sip_round(*_sip_round(*state[:3], state[3] ^ word))
        state = a ^ word, b, c, d
    a, b, c, d = state
    state = a, b, c ^ 0xFF, d
    for _ in range(4):
        state = _sip_round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = a + b & _64_BITS, c + d & _64_BITS
    b, d = (b << 13 | b >> 51) & _64_BITS ^ a, (d << 16 | d >> 48) & _64_BITS ^ c
    a = (a << 32 | a >> 32) & _64_BITS
    c, a = c + b & _64_BITS, a + d & _64_BITS
    b, d = (b << 17 | b >> 47) & _64_BITS ^ c, (d << 21 | d >> 43) & _64_BITS ^ a
    return a, b, (c << 32 | c >> 32) & _64_BITS, d


def sign(key: bytes, *parts: str) -> str:
    """A keyed hash of texts without line ends, as 16 digits."""
    return f"{siphash(key, chr(10).join(parts).encode('utf-8', 'surrogateescape')):016x}"


def sent_by(host: str, port: int) -> str:
    """Host and port as a Via and a URI have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def response_target(via: Via) -> tuple[str, str, int]:
    """Transport, host without brackets, and port that a response with this Via on top goes to (18.2.2, RFC 3581 4)."""
    transport = via.transport.upper()
    host, port = via.response_address
    if not (grammar.is_host(host) or grammar.is_ipv6(host)):
        raise HeaderError("host is not a host name or address", "Via")
    if not TRANSPORT.fullmatch(transport):
        raise HeaderError("transport is none", "Via")
    return transport, host, port


def write_hop(transport: str, host: str, port: int) -> str:
    """A hop as text: `UDP/192.0.2.1:5060`."""
    return f"{transport}/{sent_by(host, port)}"


def transaction_part(key: bytes, name: str, message: "Message", via: Via, sign: Sign) -> str:
    """The part of the branch that stands for the transaction, and for the way back by `via`, the one below ours.

    `name` is our sent-by. All of it is in the response too.
    """
    known = via.branch or ""
    if not known.startswith(MAGIC_COOKIE):  # RFC 2543
        cseq = message.cseq
        number = cseq.num if cseq else ""
        known = f"{via.sent_by} {known} {number} {message.from_tag or ''}"
    return sign(key, name, write_hop(*response_target(via)), message.call_id or "", known)


def loop_part(key: bytes, name: str, to: str, request: "Message", sign: Sign) -> str:
    """The part of the branch that stands for where the request goes: in a spiral it changes, in a loop it does not."""
    return sign(key, name, to, request.request_uri, *request.get_headers("Route"))


def is_in_loop(request: "Message", part: str) -> bool:
    """Whether a Via has a branch that begins with this part, which nobody else can have made."""
    start = MAGIC_COOKIE + part
    return any(start in line for line in request.get_headers("Via"))


def top_via(message: "Message") -> Via:
    """The top Via of a request. Raises HeaderError where there is none too."""
    via = message.via
    if via is None:
        raise HeaderError("no Via", "Via")
    return via


def _top_vias(message: "Message") -> tuple[Via | None, Via | None]:
    """The two Vias on top, None where there is none."""
    first, below = message.via, message.copy()
    below.pop_via()
    return first, below.via


def forward_request(
    request: "Message",
    key: bytes,
    name: str,
    via: str,
    to: str,
    record_routes: tuple[str, ...] = (),
    sign: Sign = sign,
) -> None:
    """Count Max-Forwards down, put our Record-Routes and our Via on top (16.6 steps 3, 4 and 8).

    `name` is our sent-by, `via` all of our Via up to the branch, `to` the next hop as `write_hop` writes it. A
    Record-Route is given up to its signature, and the last of them comes to stand on top.
    """
    before = top_via(request)
    loop = loop_part(key, name, to, request, sign)
    transaction = transaction_part(key, name, request, before, sign)
    routes = []
    if record_routes:
        back = write_hop(*response_target(before))
        signature = sign(key, back, request.call_id or "", request.from_tag or "")
        routes = [f"{route}{back}/{signature}>" for route in record_routes]
    if is_in_loop(request, loop):
        raise HeaderError("request is in a loop", "Via", 0, 482)
    if request.decrement_max_forwards() > INITIAL_MAX_FORWARDS:
        request.set_header("Max-Forwards", INITIAL_MAX_FORWARDS)
    for route in routes:
        request.push_record_route(route)
    request.push_via(f"{via}{MAGIC_COOKIE}{loop}{transaction}")


def take_own_route(_request: "Message", _key: bytes, _route: str) -> None:
    """What the compiled core does with one Route of ours, in the form that we write; here it is one of any."""


def forward_response(
    response: "Message", key: bytes, _name: str, is_own: Callable[[Via], bool], sign: Sign = sign
) -> tuple[str, str, int]:
    """Take our Via off (16.7 step 3); transport, host and port that the response goes to (18.2.2).

    Raises HeaderError, and changes nothing, where the top Via is not ours, there is none below, or the two do not
    belong together.
    """
    ours, below = _top_vias(response)
    if ours is None or not is_own(ours):
        raise HeaderError("top Via is not ours", "Via")
    if below is None:
        raise HeaderError("no Via below ours", "Via")
    part = transaction_part(key, ours.sent_by, response, below, sign)
    branch = ours.branch or ""
    if not branch.startswith(MAGIC_COOKIE) or branch[len(MAGIC_COOKIE) + 16 :] != part:
        raise HeaderError("branch is not one that we made for the Via below", "Via")
    response.pop_via()
    return response_target(below)
