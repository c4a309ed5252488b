"""What comes with a call: URIs of more about it (RFC 3261 20.4, 20.9, 20.18, RFC 6442), and User-to-User (RFC 7433)."""

from functools import partial
from typing import Final

from ._base import TextValue, UriValue
from ._lists import Reader, each_given

READERS: Final[dict[str, Reader]] = {
    **dict.fromkeys(("Alert-Info", "Call-Info", "Error-Info", "Geolocation"), partial(each_given, read=UriValue.parse)),
    "User-to-User": partial(each_given, read=TextValue.parse),
}
