"""What phones and IMS cores tell each other: access, charging, visited network (RFC 7315), security (RFC 3329)."""

from functools import partial
from typing import Final

from .._params import Params
from ._base import TextValue, TokenValue
from ._lists import Reader, each_given

_TOKENS: Final = ("P-Access-Network-Info", "Security-Client", "Security-Server", "Security-Verify")
READERS: Final[dict[str, Reader]] = {
    **dict.fromkeys(_TOKENS, partial(each_given, read=TokenValue.parse)),
    "P-Charging-Vector": Params.parse,
    "P-Visited-Network-ID": partial(each_given, read=TextValue.parse),
}
