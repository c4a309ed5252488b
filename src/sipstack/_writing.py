"""Writing: from what callers give to bytes that can stand in a message, checked as strictly as reading checks."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from . import _grammar as grammar
from ._diagnose import bad_control
from ._limits import LARGEST_MAX_SIZE, MAX_PORT, STATUS_CODES
from ._values import need_str
from .errors import HeaderError, ParseError, SerializeError
from .headers import HeaderValue
from .methods import reason_phrase

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
"""What can be written as a header's value; of several, one line with commas between them is made."""

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
            return data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ParseError("text is not UTF-8", error.start) from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(memoryview(data))
    raise TypeError(f"data must be bytes, bytearray, memoryview or str, not {type(data).__name__}")


def header_pairs(headers: HeaderSource) -> Iterable[tuple[str, Any]]:
    """The (name, value) pairs of a mapping, of pairs, or of another message's headers."""
    items = getattr(headers, "items", None)
    return headers if items is None else items()  # type: ignore[return-value]  # what has items() is a mapping


def encode(text: str, what: str) -> bytes:
    """UTF-8 with surrogateescape; SerializeError where the text has another surrogate.

    What a subclass of str calls `encode` is not asked: it might give something else than bytes.
    """
    try:
        return str.encode(text, "utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise SerializeError(f"{what} has a surrogate at {error.start} that is no UTF-8") from None


def _encode_token(text: str, what: str) -> bytes:
    """A token's bytes; SerializeError where it is none (RFC 3261 25.1)."""
    if not grammar.is_token(need_str(text, what)):
        raise SerializeError(f"{what} {text!r} is not a token")
    return _not_too_large(str.encode(text, "ascii"), what)


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
        return value
    if isinstance(value, HeaderValue) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise TypeError(f"value of {name} must be str, int, a header value or several, not {type(value).__name__}")


def encode_value(name: str, value: HeaderInput) -> bytes:
    """A header value's bytes, trimmed; SerializeError where it would end the header or hide a control byte."""
    if isinstance(value, (tuple, list)):
        text = ", ".join([_value_text(name, part) for part in value])
    else:
        text = _value_text(name, value)
    data = encode(text, f"value of {name}").strip(_BLANKS)
    if _CONTROL.search(data):
        line_end = _LINE_END.search(data)  # one that a fold would excuse is none in a value to write
        at = line_end.start() if line_end else bad_control(data)
        if at >= 0:
            raise SerializeError(f"value of {name} has control byte 0x{data[at]:02x} at byte {at}")
    return _not_too_large(data, f"value of {name}")


def refuse_copied(name: str) -> None:
    """A reply has each of the headers that it copies once."""
    raise SerializeError(f"{name} is copied from the request, a reply cannot be given another")


def encode_uri(uri: str | HeaderValue) -> bytes:
    """A Request-URI's bytes; SerializeError where it is empty or has a space or a control byte."""
    if isinstance(uri, HeaderValue):
        uri = str(uri)
    if not isinstance(uri, str):
        raise TypeError(f"Request-URI must be str or a URI value, not {type(uri).__name__}")
    if not _URI.fullmatch(uri):
        raise SerializeError(f"Request-URI {uri!r} is empty or has a space or a control byte")
    return encode(uri, "Request-URI")


def encode_status(status: int, reason: str | None) -> bytes:
    """The text of a status line behind the version; without a reason, the status's own."""
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"status must be int, not {type(status).__name__}")
    lowest, highest = STATUS_CODES
    if not lowest <= status <= highest:
        raise SerializeError(f"status {status} is not in {lowest}..{highest}")
    if reason is None:
        reason = reason_phrase(status)
    if not _REASON.fullmatch(need_str(reason, "reason")):
        raise SerializeError(f"reason phrase {reason!r} has a control byte")
    return b"%d %b" % (status, encode(reason, "reason phrase"))


def encode_body(body: Body) -> bytes:
    """A body's bytes: text gets CRLF line ends and UTF-8, bytes are taken as they are."""
    if type(body) is bytes:
        return body
    if isinstance(body, str):
        return encode(_BODY_LINE_END.sub("\r\n", body), "body")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(memoryview(body))
    raise TypeError(f"body must be bytes or str, not {type(body).__name__}")


def check_content_length(value: bytes, length: int) -> None:
    """SerializeError where the caller's own Content-Length is not the body's."""
    try:
        if grammar.read_content_length(value) == length:
            return
    except HeaderError:
        pass
    raise SerializeError(f"Content-Length {value!r} is not the body's {length} bytes; assign the body and it is set")


def check_source(host: str, port: int) -> str:
    """A source address as it may be written into a Via: without a zone."""
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        raise TypeError("host must be str and port int")
    found = _SOURCE.fullmatch(str.partition(host, "%")[0])
    if not found:
        raise SerializeError(f"source address {host!r} is no host")
    if not 0 <= int.__index__(port) <= MAX_PORT:  # a subclass may compare as it likes
        raise SerializeError(f"source port {port} is not in 0..{MAX_PORT}")
    return found[0]
