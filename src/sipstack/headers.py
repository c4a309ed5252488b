"""Structured header values: Via, addresses, CSeq, RAck, and the reading of every other header that has a structure.

`parse_header(name, value)` reads a value by its header's name. The grammar is RFC 3261 section 25 and that of the RFC
that defines the header; docstrings name it. Values are unfolded already.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from sipstack._addresses import MAX_CSEQ, STAR, Contact, CSeq, NameAddr, RAck, Star, Via, parse_rseq
from sipstack._auth import AuthenticationInfo, Challenge, Credentials
from sipstack._fields import (
    AcceptValue,
    ContentDisposition,
    ContentType,
    Date,
    Event,
    Interval,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    SubscriptionState,
    Timestamp,
    TokenValue,
    WarningValue,
)
from sipstack._values import (
    BLANK,
    MAX_SECONDS,
    HeaderValue,
    Params,
    ParamsLike,
    list_parts,
    need_str,
    parse_number,
    parse_token,
    split_list,
)
from sipstack.errors import HeaderError
from sipstack.methods import canonical_name

__all__ = [
    "MAGIC_COOKIE",
    "MAX_CSEQ",
    "MAX_SECONDS",
    "STAR",
    "AcceptValue",
    "AuthenticationInfo",
    "CSeq",
    "Challenge",
    "Contact",
    "ContentDisposition",
    "ContentType",
    "Credentials",
    "Date",
    "Event",
    "HeaderValue",
    "Interval",
    "NameAddr",
    "Params",
    "ParamsLike",
    "ParsedHeader",
    "RAck",
    "Reason",
    "Replaces",
    "RetryAfter",
    "SessionExpires",
    "Star",
    "SubscriptionState",
    "Timestamp",
    "TokenValue",
    "Via",
    "WarningValue",
    "body_bytes_len",
    "has_structure",
    "list_parts",
    "parse_call_id",
    "parse_contacts",
    "parse_cseq_num",
    "parse_header",
    "parse_list",
    "parse_max_forwards",
    "parse_number",
    "parse_rack",
    "parse_rseq",
    "parse_seconds",
    "parse_tokens",
    "split_list",
    "with_cseq_ack",
]

MAGIC_COOKIE: Final = "z9hG4bK"
"""What a branch by RFC 3261 starts with (8.1.1.7)."""

_Value = TypeVar("_Value", bound=HeaderValue)
_Item = TypeVar("_Item")
ParsedHeader = HeaderValue | int | str | tuple[HeaderValue, ...] | tuple[str, ...]
"""What parse_header returns: one value, or a tuple for a header that may have several."""


# --- lists -----------------------------------------------------------------------------------------------------------


def parse_list(cls: type[_Value], value: str) -> tuple[_Value, ...]:
    """Every value of a comma-separated header field, each read by `cls.parse`. An empty part is an error."""
    found: list[_Value] = []
    for offset, part in list_parts(value) or [(0, "")]:
        try:
            found.append(cls.parse(part))
        except HeaderError as error:
            raise HeaderError(error.reason, offset=offset + error.offset, status=error.status) from None
    return tuple(found)


def parse_contacts(value: str) -> tuple[Contact, ...]:
    """The values of a Contact field: addresses, or `*` alone (RFC 3261 20.10)."""
    return (STAR,) if value.strip(BLANK) == "*" else parse_list(NameAddr, value)


def parse_tokens(value: str) -> tuple[str, ...]:
    """The tokens of a list such as Allow or Supported. Empty parts (a comma at the end) are skipped."""
    return tuple(_each(value, lambda part: parse_token(part, "list element")))


def _parse_required_tokens(value: str) -> tuple[str, ...]:
    tokens = parse_tokens(value)
    if not tokens:
        raise HeaderError("list is empty")
    return tokens


def _each(value: str, read: Callable[[str], _Item]) -> Iterator[_Item]:
    for offset, part in list_parts(value):
        if part:
            try:
                yield read(part)
            except HeaderError as error:
                raise HeaderError(error.reason, offset=offset + error.offset, status=error.status) from None


# --- single values that are numbers or words -------------------------------------------------------------------------


def parse_max_forwards(value: str) -> int:
    """A Max-Forwards value, 0 to 255 (RFC 3261 20.22)."""
    return parse_number(value.strip(BLANK), 255, "Max-Forwards")


def parse_seconds(value: str) -> int:
    """An Expires or Min-Expires value, 0 to 2**32 - 1 seconds (RFC 3261 20.19)."""
    return parse_number(value.strip(BLANK), MAX_SECONDS, "number of seconds")


def parse_call_id(value: str) -> str:
    """A Call-ID. RFC 3261 25.1 names the letters of a word; any letters without a blank are read."""
    call_id = value.strip(BLANK)
    if _CALL_ID.match(call_id) is None:
        raise HeaderError("Call-ID is empty or holds a blank or a control character")
    return call_id


def parse_cseq_num(value: str) -> int:
    """The number of a CSeq value: `"314159 INVITE"` gives 314159."""
    return CSeq.parse(value).num


def parse_rack(value: str) -> RAck:
    """A RAck value, the same as `RAck.parse`."""
    return RAck.parse(value)


def with_cseq_ack(value: str) -> str:
    """The CSeq of the ACK to a request: `"314159 INVITE"` gives `"314159 ACK"` (RFC 3261 17.1.1.3)."""
    return str(CSeq(CSeq.parse(value).num, "ACK"))


def body_bytes_len(body: str | bytes) -> int:
    """The octets a body takes on the wire; a str is UTF-8 with CRLF at every line's end."""
    if isinstance(body, bytes):
        return len(body)
    return len(_LINE_END.sub("\r\n", need_str(body, "body")).encode("utf-8", "surrogateescape"))


_CALL_ID: Final = re.compile(r"[^\x00-\x20\x7F]++\Z")
_LINE_END: Final = re.compile(r"\r\n?|\n")
_MIME_VERSION: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\Z")


def _parse_content_length(value: str) -> int:
    return parse_number(value.strip(BLANK), 999_999_999, "Content-Length")


def _parse_max_breadth(value: str) -> int:
    return parse_number(value.strip(BLANK), MAX_SECONDS, "Max-Breadth")


def _parse_mime_version(value: str) -> str:
    version = value.strip(BLANK)
    if _MIME_VERSION.match(version) is None:
        raise HeaderError("MIME-Version is not two numbers with a dot")
    return version


def _parse_word(value: str) -> str:
    return parse_token(value, "value")


def _parse_privacy(value: str) -> tuple[str, ...]:
    """RFC 3323 4.2: tokens with semicolons; commas are common."""
    return tuple(parse_token(part, "privacy value") for part in value.replace(",", ";").split(";"))


def _list_of(cls: type[_Value]) -> Callable[[str], ParsedHeader]:
    return lambda value: parse_list(cls, value)


def _list_or_nothing(cls: type[_Value]) -> Callable[[str], ParsedHeader]:
    return lambda value: parse_list(cls, value) if value.strip(BLANK) else ()


# --- by name ---------------------------------------------------------------------------------------------------------

_IDENTITIES: Final = ("P-Asserted-Identity", "P-Preferred-Identity", "P-Associated-URI")
_READERS: Final[dict[str, Callable[[str], ParsedHeader]]] = {
    "Via": _list_of(Via),
    "From": NameAddr.parse,
    "To": NameAddr.parse,
    "Call-ID": parse_call_id,
    "CSeq": CSeq.parse,
    "Max-Forwards": parse_max_forwards,
    "Content-Length": _parse_content_length,
    "Contact": parse_contacts,
    "RAck": RAck.parse,
    "RSeq": parse_rseq,
    "Content-Type": ContentType.parse,
    "Accept": _list_or_nothing(ContentType),
    "Accept-Encoding": _list_or_nothing(AcceptValue),
    "Accept-Language": _list_or_nothing(AcceptValue),
    "Content-Disposition": ContentDisposition.parse,
    "MIME-Version": _parse_mime_version,
    "Expires": parse_seconds,
    "Min-Expires": parse_seconds,
    "Flow-Timer": parse_seconds,
    "Max-Breadth": _parse_max_breadth,
    "Session-Expires": SessionExpires.parse,
    "Min-SE": Interval.parse,
    "Retry-After": RetryAfter.parse,
    "Date": Date.parse,
    "Timestamp": Timestamp.parse,
    "Event": Event.parse,
    "Subscription-State": SubscriptionState.parse,
    "Refer-Sub": TokenValue.parse,
    "Reason": _list_of(Reason),
    "Replaces": Replaces.parse,
    "Join": Replaces.parse,
    "Warning": _list_of(WarningValue),
    "WWW-Authenticate": Challenge.parse,
    "Proxy-Authenticate": Challenge.parse,
    "Authorization": Credentials.parse,
    "Proxy-Authorization": Credentials.parse,
    "Authentication-Info": AuthenticationInfo.parse,
    "Proxy-Authentication-Info": AuthenticationInfo.parse,
    "In-Reply-To": lambda value: tuple(_each(value, parse_call_id)),
    "Privacy": _parse_privacy,
    "Priority": _parse_word,
    "SIP-ETag": _parse_word,
    "SIP-If-Match": _parse_word,
    **dict.fromkeys(("Refer-To", "Referred-By", "Reply-To", "P-Called-Party-ID", "P-Served-User"), NameAddr.parse),
    **dict.fromkeys(
        (
            "Route",
            "Record-Route",
            "Path",
            "Service-Route",
            "Diversion",
            "History-Info",
            "Remote-Party-ID",
            *_IDENTITIES,
        ),
        _list_of(NameAddr),
    ),
    # RFC 3261 lets these be empty: Allow and Supported then say "nothing".
    **dict.fromkeys(("Allow", "Supported", "Allow-Events", "Accept-Resource-Priority"), parse_tokens),
    **dict.fromkeys(
        ("Require", "Proxy-Require", "Unsupported", "Content-Encoding", "Content-Language", "Resource-Priority"),
        _parse_required_tokens,
    ),
}


def has_structure(name: str) -> bool:
    """Whether parse_header reads this header as more than text."""
    return canonical_name(name) in _READERS


def parse_header(name: str, value: str) -> ParsedHeader:
    """Read a header's value as what its name (any case, long or compact) says it is.

    One field's value at a time; a header that is a list gives a tuple. A header without a structure, or an unknown
    one, gives the text without the blanks round it. Raises HeaderError, with the header's name.
    """
    header = canonical_name(name)
    reader = _READERS.get(header)
    if reader is None:
        return value.strip(BLANK)
    try:
        return reader(value)
    except HeaderError as error:
        raise HeaderError(error.reason, header, error.offset, error.status) from None
