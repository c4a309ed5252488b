"""The headers that are tokens and nothing else: option tags, methods, and single words."""

from functools import partial
from typing import Final

from .._values import parse_token
from ._lists import Reader, parse_required_tokens, parse_tokens


def _parse_privacy(value: str) -> tuple[str, ...]:
    """RFC 3323 4.2: tokens with semicolons; commas are common."""
    return tuple(parse_token(part, "privacy value") for part in value.replace(",", ";").split(";"))


READERS: Final[dict[str, Reader]] = {
    # RFC 3261 lets these be empty: Allow and Supported then say "nothing".
    **dict.fromkeys(("Allow", "Supported", "Accept-Resource-Priority"), parse_tokens),
    **dict.fromkeys(("Require", "Proxy-Require", "Unsupported", "Resource-Priority"), parse_required_tokens),
    **dict.fromkeys(("Priority", "SIP-ETag", "SIP-If-Match"), partial(parse_token, what="value")),
    "Privacy": _parse_privacy,
}
