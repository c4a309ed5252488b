"""Every limit and default once, each with the section that gives it, or the reason where none does."""

from typing import Final

# --- one message

MAX_SIZE: Final = 65_535
"""The bytes of a message, where the caller names no other limit: what fits into a datagram (RFC 3261 18.1.1)."""
MAX_HEADERS: Final = 256
"""The headers of a message, where the caller names no other limit."""
LINES_A_HEADER: Final = 4
"""On a stream the lines of a head, for each header that it may have: folded ones are lines too."""
LARGEST_MAX_SIZE: Final = (1 << 22) - 1
"""What `max_size` may be raised to, in bytes: the compiled core keeps lengths in 22 bits."""

MAX_VALUES: Final = 128
"""The values that one call reads of a message, where the caller names no other limit: see `headers._counts`."""
MAX_PARTS: Final = 512
"""The parts of these values. A value that the compiled core reads itself has no more bytes: see `_values.h`."""

MAX_DESCRIBED: Final = 16_384
"""The characters of headers and body that `describe` shows of a message."""
MAX_DESCRIBED_VALUE: Final = 2048
"""Those that it shows of one value."""

MAX_BODY_PARTS: Final = 128
"""The parts of a multipart body, where the caller of `body_parts` names no other limit."""
MAX_PART_HEADERS: Final = 512
"""The headers of all these parts together."""

MAX_BOUNDARY: Final = 70
"""The characters of a multipart body's boundary (RFC 2046 5.1.1)."""

# --- numbers in headers

MAX_CONTENT_LENGTH: Final = 999_999_999
"""RFC 3261 20.14 gives no bound. Nine digits are more than any message, and fit into 32 bits."""
MAX_CSEQ: Final = 2**31 - 1
"""RFC 3261 8.1.1.5."""
LARGEST_MAX_FORWARDS: Final = 255
"""RFC 3261 20.22."""
INITIAL_MAX_FORWARDS: Final = 70
"""What a request begins with, and the most that one is forwarded with (RFC 3261 8.1.1.6, 16.6 step 3)."""
LARGEST_MAX_BREADTH: Final = 2**32 - 1
"""RFC 5393 5.3 gives no bound."""
MAX_RSEQ: Final = 2**32 - 1
"""RFC 3262 7.1; the smallest is 1."""
MAX_SECONDS: Final = 2**32 - 1
"""delta-seconds (RFC 3261 20.19)."""
DEFAULT_EXPIRES: Final = 3600
"""What a malformed expires of a Contact counts as (RFC 3261 20.10)."""
MAX_CAUSE: Final = 2**32 - 1
"""The cause of a Reason (RFC 3326 2), which gives no bound."""
MAX_TTL: Final = 255
"""The ttl of a Via (RFC 3261 25.1)."""
MAX_PORT: Final = 65_535
DEFAULT_PORT: Final = 5060
"""The port of SIP over UDP and TCP where none is named (RFC 3261 18.2.2, 19.1.2)."""
DEFAULT_PORTS: Final = {"TLS": 5061, "TLS-SCTP": 5061, "WS": 80, "WSS": 443}
"""Those of the other transports (RFC 3261 18.2.2 and 19.1.2, RFC 4168, RFC 7118 with RFC 6455 3)."""


def default_port(transport: str) -> int:
    """The port of a transport, in either case, where none is named."""
    return DEFAULT_PORTS.get(transport.upper(), DEFAULT_PORT)


STATUS_CODES: Final = (100, 699)
"""The first and the last status code (RFC 3261 7.2)."""
WARN_CODES: Final = (100, 999)
"""The first and the last warn-code, which has three digits (RFC 3261 20.43)."""
MAX_PARAMETER: Final = 2**63
"""An int that a constructor takes as a parameter's value; larger ones are a mistake of the caller's."""
