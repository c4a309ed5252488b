"""The branch of a stateless proxy, the keyed hash that it is made of, and hops as text.

The branch has two parts, both a keyed hash: `z9hG4bK`, 16 digits of where the request goes, 16 of its transaction and
of where its responses go. The first finds a loop (RFC 5393). The second is the same for a retransmission, a CANCEL and
an ACK to a failure (16.11), and tells a response to what we sent from one that somebody made up.
"""

import hashlib
import re
from struct import unpack
from typing import TYPE_CHECKING, Final

from . import _grammar as grammar
from ._address import sent_by
from .errors import HeaderError
from .headers import MAGIC_COOKIE, Via

if TYPE_CHECKING:
    from ._parser_py import Message

TRANSPORT: Final = re.compile("[A-Z0-9-]++")
"""A transport as a Hop has it: narrower than a token (RFC 3261 25.1), for it stands in a parameter of a URI too."""
SHORT: Final = 1024
"""The bytes of a text that SipHash is taken of: in Python it is slow, and in most other places BLAKE2b is."""
_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_WORDS: Final = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4 with a key of 16 bytes: 64 bits that nobody can make who has not the key."""
    low, high = unpack("<2Q", key)
    data += bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    words = unpack(f"<{len(data) // 8}Q", data)
    a, b, c, d = _sip_rounds(low ^ _WORDS[0], high ^ _WORDS[1], low ^ _WORDS[2], high ^ _WORDS[3], words, 2)
    a, b, c, d = _sip_rounds(a, b, c ^ 0xFF, d, (0,), 4)
    return a ^ b ^ c ^ d


def _sip_rounds(a: int, b: int, c: int, d: int, words: tuple[int, ...], count: int) -> tuple[int, int, int, int]:
    """The state after so many rounds for each word."""
    for word in words:
        d ^= word
        for _ in range(count):
            a, c = a + b & _64_BITS, c + d & _64_BITS
            b, d = (b << 13 | b >> 51) & _64_BITS ^ a, (d << 16 | d >> 48) & _64_BITS ^ c
            a = (a << 32 | a >> 32) & _64_BITS
            c, a = c + b & _64_BITS, a + d & _64_BITS
            b, d = (b << 17 | b >> 47) & _64_BITS ^ c, (d << 21 | d >> 43) & _64_BITS ^ a
            c = (c << 32 | c >> 32) & _64_BITS
        a ^= word
    return a, b, c, d


def sign(key: bytes, *parts: str) -> str:
    """A keyed hash of texts without line ends, as 16 digits. A message's `_sign` is this one, or the compiled one.

    It is SipHash, and BLAKE2b (RFC 7693 2.5) of what is long.
    """
    data = "\n".join(parts).encode("utf-8", "surrogateescape")
    return f"{siphash(key, data):016x}" if len(data) <= SHORT else hash_long(key, data)


def hash_long(key: bytes, data: bytes) -> str:
    return hashlib.blake2b(data, key=key, digest_size=8).hexdigest()


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


def transaction_part(key: bytes, name: str, message: "Message", via: Via) -> str:
    """The part of the branch that stands for the transaction, and for the way back by `via`, the one below ours.

    `name` is our sent-by. All of it is in the response too.
    """
    known = via.branch or ""
    if not known.startswith(MAGIC_COOKIE):  # RFC 2543
        cseq = message.cseq
        number = cseq.num if cseq else ""
        known = f"{via.sent_by} {known} {number} {message.from_tag or ''}"
    return message._sign(key, name, write_hop(*response_target(via)), message.call_id or "", known)


def loop_part(key: bytes, name: str, to: str, request: "Message") -> str:
    """The part of the branch that stands for where the request goes: in a spiral it changes, in a loop it does not.

    It begins with an empty line, so that it is none of the other hashes, whose texts a sender may choose as freely.
    """
    return request._sign(key, "", name, to, request.request_uri, *request.get_headers("Route"))


def is_in_loop(request: "Message", part: str) -> bool:
    """Whether a Via has a branch that begins with this part, which nobody else can have made."""
    start = MAGIC_COOKIE + part
    return any(start in line for line in request.get_headers("Via"))
