"""What a body is: its length, its type and what is accepted of it, its disposition (RFC 3261 20.1 to 20.15)."""

import re
from functools import partial
from typing import ClassVar, Final

from .._grammar import BLANK, BODY_LINE_END, SWS, TOKEN, read_content_length
from .._params import ParamsLike
from .._values import assign, lower, need_str, need_token
from ..errors import HeaderError
from ._base import Parametrized, TokenValue
from ._lists import Reader, or_nothing, parse_list, parse_tokens

_LINE_END: Final = re.compile(BODY_LINE_END)
_MIME_VERSION: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")


class ContentType(Parametrized):
    """A media type: a Content-Type value, or one of Accept (RFC 3261 20.15, 20.1).

    Attributes:
        type: the type, as sent; `*` in Accept.
        subtype: the subtype, as sent.
    """

    __slots__ = ("_params", "subtype", "type")
    type: str
    subtype: str
    _malformed = "media type is not type/subtype"
    _once: ClassVar[frozenset[str]] = frozenset({"boundary"})
    _pattern = re.compile(f"{SWS}(?P<type>{TOKEN}){SWS}/{SWS}(?P<subtype>{TOKEN}){SWS}")

    def __init__(
        self,
        type: str,  # noqa: A002
        subtype: str,
        *,
        q: float | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build a media type; `q` (0 to 1; three decimals are written) is for Accept. Raises SerializeError."""
        assign(self, type=need_token(type, "type"), subtype=need_token(subtype, "subtype"))
        assign(self, _params=self._write_params(params, q=q))

    @property
    def media_type(self) -> str:
        """Type and subtype in lower case: `application/sdp`."""
        return lower(f"{self.type}/{self.subtype}")

    def _head(self) -> str:
        return f"{self.type}/{self.subtype}"


class AcceptValue(TokenValue):
    """A value of Accept-Encoding or Accept-Language (RFC 3261 20.2, 20.3): a coding or a range, and `q`."""

    __slots__ = ()

    def __init__(self, value: str, *, q: float | None = None, params: ParamsLike | None = None) -> None:
        """Build a value; `q` is 0 to 1, three decimals are written. Raises SerializeError."""
        assign(self, value=need_token(value, "value"), _params=self._write_params(params, q=q))


class ContentDisposition(TokenValue):
    """A Content-Disposition value (RFC 3261 20.11): `value` is the type, such as `session` or `render`."""

    __slots__ = ()
    _tokens = frozenset({"handling"})

    @property
    def handling(self) -> str:
        """`required` or another; `required` where it is not given."""
        return lower(self.params.get("handling") or "required")


def body_bytes_len(body: str | bytes) -> int:
    """The octets a body takes on the wire; a str is UTF-8 with CRLF at every line's end."""
    if isinstance(body, bytes):
        return len(body)
    return len(_LINE_END.sub("\r\n", need_str(body, "body")).encode("utf-8", "surrogateescape"))


def _parse_mime_version(value: str) -> str:
    version = value.strip(BLANK)
    if _MIME_VERSION.fullmatch(version) is None:
        raise HeaderError("MIME-Version is not two numbers with a dot")
    return version


READERS: Final[dict[str, Reader]] = {
    "Content-Type": ContentType.parse,
    "Content-Length": lambda value: read_content_length(value.encode("utf-8", "surrogatepass")),
    "Content-Disposition": ContentDisposition.parse,
    "Content-Encoding": parse_tokens,
    "Content-Language": parse_tokens,
    "MIME-Version": _parse_mime_version,
    "Accept": or_nothing(partial(parse_list, ContentType)),
    "Accept-Encoding": or_nothing(partial(parse_list, AcceptValue)),
    "Accept-Language": or_nothing(partial(parse_list, AcceptValue)),
}
