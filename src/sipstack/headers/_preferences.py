"""What a caller would like, and what is there for it: RFC 3841, and the features that proxies have (RFC 6809)."""

from functools import partial
from typing import Final

from ._base import TokenValue
from ._lists import Reader, each_given, parse_tokens

READERS: Final[dict[str, Reader]] = {
    **dict.fromkeys(("Accept-Contact", "Reject-Contact", "Feature-Caps"), partial(each_given, read=TokenValue.parse)),
    "Request-Disposition": parse_tokens,
}
