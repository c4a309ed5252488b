"""Random words for branches, tags and Call-IDs.

The kernel is asked for many at once: one for each would cost more than twice as much.
"""

import os
from typing import Final

from .headers import MAGIC_COOKIE

_DIGITS: Final = 24
"""96 bits: tags need 32 (RFC 3261 19.3), branches and Call-IDs differ from all others (8.1.1.4, 8.1.1.7)."""
_AT_ONCE: Final = 128

_kept: Final[list[str]] = []
"""Those that nobody has had. `pop` gives each to one thread; a child of a fork begins with none of its parent's."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept.clear)


def random_token() -> str:
    """A word that nobody can guess and nobody else has, for a tag (RFC 3261 19.3) or a Call-ID (8.1.1.4).

    24 hexadecimal digits, 96 bits from `os.urandom`: SIP compares tags without regard to case. Threads and forked
    processes get different ones.
    """
    try:
        return _kept.pop()
    except IndexError:
        digits = os.urandom(_AT_ONCE * _DIGITS // 2).hex()
        _kept.extend([digits[at : at + _DIGITS] for at in range(_DIGITS, len(digits), _DIGITS)])
        return digits[:_DIGITS]


def random_branch() -> str:
    """A branch for a Via of our own (RFC 3261 8.1.1.7): the magic cookie and a `random_token`."""
    return MAGIC_COOKIE + random_token()
