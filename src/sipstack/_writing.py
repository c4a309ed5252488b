"""Writing: from what callers give to bytes that can stand in a message, checked as strictly as reading checks."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from . import _grammar as grammar
from ._diagnose import bad_control
from ._limits import LARGEST_MAX_SIZE, MAX_CONTENT_LENGTH, MAX_PORT, STATUS_CODES
from ._values import is_int, need_int, need_str
from .errors import HeaderError, ParseError, SerializeError
from .headers import HeaderValue
from .headers._address import URI_IN_ANGLES
from .methods import canonical_name, header_id, reason_phrase
from .uri import AnyUri, Uri

_URI = re.compile(grammar.REQUEST_URI)
_REASON = re.compile(grammar.REASON_PHRASE)
_CONTROL = re.compile(f"[{grammar.CONTROL_CHARS}]".encode())
_LINE_END = re.compile(rb"[\r\n]")
_BLANKS = grammar.BLANK.encode()
_BODY_LINE_END = re.compile(grammar.BODY_LINE_END)
_SOURCE = re.compile(f"[{grammar.HOST_CHARS}:]++")

TAG_KEY = os.urandom(16)
"""What makes the tags of replies ours: forked workers share it."""

DIALOG_METHODS = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})
"""Methods whose 101..299 responses carry the request's Record-Route (RFC 3261 12.1.1, RFC 6665 4.4.1, RFC 3515)."""

HeaderInput = str | int | HeaderValue | Sequence[str | int | HeaderValue]
"""What can be written as a header's value; of several, one line with commas is made, or a line each (lines_apart).

Text stays as it is. A URI is written in `<>` where the header's grammar has them: in all headers of addresses, so that
its parameters stay its own (RFC 3261 20).
"""

_APART = frozenset(
    map(header_id, ("WWW-Authenticate", "Proxy-Authenticate", "Authorization", "Proxy-Authorization", "Identity"))
)
"""Headers whose values no comma may join: RFC 3261 7.3.1 forbids it, and RFC 8224 4 has no list of Identity."""

_SET_HEADER = 'set_header("{}", ...) replaces it'
INSTEAD = {
    "is_request": "Message.request makes a request, Message.response and reply a response",
    "method": "Message.request makes a request of another method",
    "status_code": "Message.response and reply make a response with a status",
    "status_text": "Message.response and reply make a response with a reason",
    "version": "a message that is built has SIP/2.0",
    "uri": "assign to request_uri",
    "via": "push_via puts one on top, pop_via takes it off",
    "vias": "push_via puts one on top, pop_via takes it off",
    "from_tag": 'set_header("From", message.need_from.with_tag(...)) replaces it',
    "to_tag": 'set_header("To", message.need_to.with_tag(...)) replaces it',
    "routes": 'set_header("Route", ...) or set_route replaces them',
    "record_routes": 'push_record_route puts one on top, set_header("Record-Route", ...) replaces them',
    "route_set": "set_route sends a request by one",
    "max_forwards": 'set_header("Max-Forwards", ...) replaces it, decrement_max_forwards counts it down',
    "content_length": "assign to body, and it follows",
    **{
        attribute: _SET_HEADER.format(header)
        for attribute, header in {
            "from_": "From", "to": "To", "contacts": "Contact", "cseq": "CSeq", "rack": "RAck", "call_id": "Call-ID",
            "expires": "Expires", "content_type": "Content-Type",
        }.items()
    },
}  # fmt: skip
"""Attributes of a message that cannot be set: what to do instead."""
INSTEAD |= {f"need_{name.rstrip('_')}": INSTEAD[name] for name in ("uri", "via", "from_", "to", "cseq", "call_id")}
INSTEAD = {name: f"{name} of a Message cannot be set: {text}" for name, text in INSTEAD.items()}

Body = bytes | bytearray | memoryview | str
"""What can be a body."""


class HasItems(Protocol):
    """What gives pairs when it is asked for its items, as a mapping and another message's headers do."""

    def items(self) -> Iterable[tuple[str, Any]]: ...


HeaderSource = HasItems | Iterable[tuple[str, Any]]
"""What the builders take as headers: a mapping, pairs, or another message's headers."""


def as_bytes(data: Any) -> bytes:
    """What `parse` reads: bytes, bytes-like, or text, which is encoded as it would be read."""
    if isinstance(data, str):
        try:
            return str.encode(data, "utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ParseError("text is not UTF-8", error.start) from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(memoryview(data))
    raise TypeError(f"data must be bytes, bytearray, memoryview or str, not {type(data).__name__}")


def header_pairs(headers: HeaderSource) -> Iterable[tuple[str, Any]]:
    """The (name, value) pairs of a mapping, of pairs, or of another message's headers."""
    return map(header_pair, header_items(headers))


def header_pair(item: Any) -> tuple[str, Any]:
    """A name and a value. Text of two characters would be a pair to Python too."""
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    what = f"{type(item).__name__} of {len(item)}" if isinstance(item, (tuple, list)) else type(item).__name__
    raise TypeError(f"a header must be a (name, value) pair, not {what}")


def header_items(headers: HeaderSource) -> Iterable[Any]:
    """What should be pairs: see `header_pair`."""
    items = getattr(headers, "items", None)
    if isinstance(headers, (str, bytes)) or (items is None and not hasattr(headers, "__iter__")):
        raise TypeError(f"headers must be a mapping or (name, value) pairs, not {type(headers).__name__}")
    return headers if items is None else items()  # type: ignore[return-value]  # what has items() is a mapping


def encode(text: str, what: str, name: str = "") -> bytes:
    """UTF-8 with surrogateescape; SerializeError, which says `what` of `name`, where the text has another surrogate.

    What a subclass of str calls `encode` is not asked: it might give something else than bytes.
    """
    try:
        return str.encode(text, "utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise SerializeError(f"{what}{name} has a surrogate at {error.start} that is no UTF-8") from None


def _encode_token(text: str, what: str) -> bytes:
    """A token's bytes; SerializeError where it is none (RFC 3261 25.1)."""
    text = need_str(text, what)
    if not grammar.is_token(text):
        raise SerializeError(f"{what} {text!r} is not a token")
    return _not_too_large(text.encode("ascii"), what)


def _not_too_large(data: bytes, what: str) -> bytes:
    """The bytes, where a message that has them can be read again."""
    if len(data) > LARGEST_MAX_SIZE:
        raise SerializeError(f"{what} is over {LARGEST_MAX_SIZE} bytes")
    return data


encode_name = partial(_encode_token, what="header name")
encode_method = partial(_encode_token, what="method")
encode_tag = partial(_encode_token, what="tag")


def _value_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if is_int(value):
        return str(need_int(value, "value"))
    if isinstance(value, AnyUri) and canonical_name(name) in URI_IN_ANGLES:
        return f"<{value}>"  # without them its parameters would be the header's (RFC 3261 20)
    if isinstance(value, HeaderValue):
        return str(value)
    raise TypeError(f"value of {name} must be str, int, a header value or several, not {type(value).__name__}")


def encode_value(name: str, value: HeaderInput) -> bytes:
    """A header value's bytes, trimmed; SerializeError where it would end the header or hide a control byte."""
    if isinstance(value, (tuple, list)):
        text = ", ".join([_value_text(name, part) for part in value])
    else:
        text = _value_text(name, value)
    data = encode(text, "value of ", name).strip(_BLANKS)
    if _CONTROL.search(data):
        line_end = _LINE_END.search(data)  # one that a fold would excuse is none in a value to write
        at = line_end.start() if line_end else bad_control(data)
        if at >= 0:
            raise SerializeError(f"value of {name} has control byte 0x{data[at]:02x} at byte {at}")
    return _not_too_large(data, f"value of {name}")


def lines_apart(name: str, value: object) -> list[str] | None:
    """What several values of a header that has each on a line of its own are written as; None where one line is made.

    All are checked, so that none is written where one cannot be.
    """
    if not (isinstance(value, (tuple, list)) and isinstance(name, str) and header_id(name) in _APART):
        return None
    if not value:
        raise SerializeError(f"{name} has no value; remove_header removes it")
    lines = [encode_value(name, _value_text(name, part)) for part in value]
    return [line.decode("utf-8", "surrogateescape") for line in lines]


def header_lines(headers: HeaderSource) -> Iterator[tuple[str, Any]]:
    """The (name, value) pairs that header_pairs gives, one for each line that is to be written."""
    for name, value in header_pairs(headers):
        lines = lines_apart(name, value) if isinstance(value, (tuple, list)) else None
        if lines is None:
            yield name, value
        else:
            yield from [(name, line) for line in lines]


def refuse_copied(name: str) -> None:
    """A reply has each of the headers that it copies once."""
    raise SerializeError(f"{name} is copied from the request, a reply cannot be given another")


def encode_uri(uri: str | Uri) -> bytes:
    """A Request-URI's bytes; SerializeError where it is empty or has a space or a control byte.

    Text stays as it is, a URI is written as a Request-URI has it.
    """
    if isinstance(uri, AnyUri):
        uri = str(uri.as_request_uri())
    if not isinstance(uri, str):
        raise TypeError(f"Request-URI must be str or a URI, not {type(uri).__name__}")
    uri = str.__str__(uri)
    if not _URI.fullmatch(uri):
        raise SerializeError(f"Request-URI {uri!r} is empty or has a space or a control byte")
    return encode(uri, "Request-URI")


def encode_status(status: int, reason: str | None) -> bytes:
    """The text of a status line behind the version; without a reason, the status's own."""
    status = need_int(status, "status")
    lowest, highest = STATUS_CODES
    if not lowest <= status <= highest:
        raise SerializeError(f"status {status} is not in {lowest}..{highest}")
    if reason is None:
        reason = reason_phrase(status)
    if not _REASON.fullmatch(reason := need_str(reason, "reason")):
        raise SerializeError(f"reason phrase {reason!r} has a control byte")
    return b"%d %b" % (status, encode(reason, "reason phrase"))


def encode_body(body: Body) -> bytes:
    """A body's bytes: text gets CRLF line ends and UTF-8, bytes are taken as they are."""
    if type(body) is bytes:
        data = body
    elif isinstance(body, str):
        data = encode(_BODY_LINE_END.sub("\r\n", str.__str__(body)), "body")
    elif isinstance(body, (bytes, bytearray, memoryview)):
        data = bytes(memoryview(body))
    else:
        raise TypeError(f"body must be bytes or str, not {type(body).__name__}")
    if len(data) > MAX_CONTENT_LENGTH:  # nobody could read it
        raise SerializeError(f"body is over {MAX_CONTENT_LENGTH} bytes")
    return data


def check_content_length(value: bytes, length: int) -> None:
    """SerializeError where the caller's own Content-Length is not the body's."""
    try:
        if grammar.read_content_length(value) == length:
            return
    except HeaderError:
        pass
    raise SerializeError(f"Content-Length {value!r} is not the body's {length} bytes; assign the body and it is set")


def check_source(host: str, port: int) -> tuple[str, int]:
    """A source address as it may be written into a Via: without a zone."""
    if type(host) is not str or type(port) is not int:
        if not isinstance(host, str) or not is_int(port):
            raise TypeError("host must be str and port int")
        host, port = need_str(host, "host"), need_int(port, "port")
    found = _SOURCE.fullmatch(host.partition("%")[0])
    if not found:
        raise SerializeError(f"source address {host!r} is no host")
    if not 0 <= port <= MAX_PORT:
        raise SerializeError(f"source port {port} is not in 0..{MAX_PORT}")
    return found[0], port
