"""Structured header values: Via, addresses, CSeq, RAck, and the reading of every other header that has a structure.

`parse_header(name, value)` reads a value by its header's name. The grammar is RFC 3261 section 25 and that of the RFC
that defines the header; docstrings name it. Values are unfolded already.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from .._grammar import BLANK
from .._limits import MAX_CSEQ, MAX_PARTS, MAX_SECONDS, MAX_VALUES
from .._params import Params, ParamsLike
from .._values import HeaderValue, need_str, parse_number
from ..errors import HeaderError
from ..methods import canonical_name
from . import (
    _address,
    _auth,
    _dates,
    _dialogs,
    _events,
    _identity,
    _ims,
    _infos,
    _intervals,
    _lists,
    _media,
    _numbers,
    _preferences,
    _products,
    _reasons,
    _via,
)  # fmt: skip
from ._address import STAR, Contact, NameAddr, Star, parse_contacts, parse_hops
from ._auth import AuthenticationInfo, Challenge, Credentials
from ._base import TextValue, TokenValue, UriValue
from ._counts import check_counts, need_counts
from ._dates import Date, Timestamp
from ._dialogs import Replaces, SessionId, TargetDialog, parse_call_id
from ._events import EventValue, SubscriptionState
from ._identity import Identity
from ._intervals import Interval, RetryAfter, SessionExpires
from ._lists import ParsedHeader, Reader, list_parts, parse_list, parse_tokens, split_list
from ._media import AcceptValue, ContentDisposition, ContentType, body_bytes_len
from ._numbers import (
    CSeq,
    RAck,
    parse_cseq_num,
    parse_max_forwards,
    parse_rack,
    parse_rseq,
    parse_seconds,
    with_cseq_ack,
)
from ._products import Product, Products
from ._reasons import Reason, WarningValue
from ._via import MAGIC_COOKIE, Via

__all__ = [
    "MAGIC_COOKIE", "MAX_CSEQ", "MAX_SECONDS", "STAR", "AcceptValue", "AuthenticationInfo", "CSeq", "Challenge",
    "Contact", "ContentDisposition", "ContentType", "Credentials", "Date", "EventValue", "HeaderValue", "Identity",
    "Interval", "NameAddr", "Params", "ParamsLike", "ParsedHeader", "Product", "Products", "RAck", "Reason", "Replaces",
    "RetryAfter", "SessionExpires", "SessionId", "Star", "SubscriptionState", "TargetDialog", "TextValue", "Timestamp",
    "TokenValue", "UriValue", "Via", "WarningValue", "body_bytes_len", "has_structure", "list_parts", "parse_call_id",
    "parse_contacts", "parse_cseq_num", "parse_header", "parse_hops", "parse_list", "parse_max_forwards",
    "parse_number", "parse_rack", "parse_rseq", "parse_seconds", "parse_tokens", "split_list", "with_cseq_ack",
]  # fmt: skip

V = TypeVar("V")

_FAMILIES: Final = (
    _via, _address, _numbers, _media, _lists, _dialogs, _events, _intervals, _dates, _reasons, _auth, _infos,
    _products, _identity, _preferences, _ims,
)  # fmt: skip
READERS: Final[dict[str, Reader]] = {name: reader for family in _FAMILIES for name, reader in family.READERS.items()}
"""What reads a header's value, by its long name."""


def has_structure(name: str) -> bool:
    """Whether parse_header reads this header as more than text."""
    return canonical_name(name) in READERS


def parse_header(name: str, value: str, *, max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS) -> ParsedHeader:
    """Read a header's value as what its name (any case, long or compact) says it is.

    One field's value at a time; a header that is a list gives a tuple. A header without a structure, or an unknown
    one, gives the text without the blanks round it. Raises HeaderError, with the header's name, and with status 513
    where there are more than `max_values` values or `max_parts` parts (see `Message.get_values`); ValueError for a
    limit that is none.
    """
    if type(name) is not str or type(value) is not str:
        name, value = need_str(name, "name"), need_str(value, "value")
    if max_values != MAX_VALUES or max_parts != MAX_PARTS:
        max_values, max_parts = need_counts(max_values, max_parts)
    header = canonical_name(name)
    reader = READERS.get(header)
    if reader is None:
        return value.strip(BLANK)
    check_counts(header, (value,), max_values, max_parts)
    return parse_value(header, reader, value, counted=True)


def parse_values(
    name: str, lines: Sequence[str], max_values: int, max_parts: int
) -> tuple[HeaderValue | int | str, ...]:
    """Every value of a header's lines, each read by parse_header: a header that has one value gives one for a line."""
    if max_values != MAX_VALUES or max_parts != MAX_PARTS:
        max_values, max_parts = need_counts(max_values, max_parts)
    header = canonical_name(name)
    reader = READERS.get(header)
    if reader is None:
        return tuple([line.strip(BLANK) for line in lines])
    check_counts(header, lines, max_values, max_parts)
    found: list[HeaderValue | int | str] = []
    for line in lines:
        read = parse_value(header, reader, line, counted=True)
        found += read if isinstance(read, tuple) else (read,)
    return tuple(found)


def parse_value(header: str, parser: Callable[[str], V], value: str, counted: bool = False) -> V:
    """Apply a value's parser, unless there is too much for it; its HeaderError gets the header's name.

    `counted`: the caller knows that there is not.
    """
    if not counted and len(value) >= MAX_VALUES:
        check_counts(header, (value,))
    try:
        return parser(value)
    except HeaderError as error:
        raise HeaderError(error.reason, header, error.offset, error.status) from None
