"""Writing: from what callers give to bytes that can stand in a message, checked as strictly as reading checks."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._diagnose import bad_control
from ._grammar import BLANK, CONTROL_CHARS, REASON_PHRASE, REQUEST_URI, is_token, read_content_length
from .errors import HeaderError, ParseError, SerializeError
from .headers import HeaderValue
from .methods import reason_phrase

_URI = re.compile(REQUEST_URI)
_REASON = re.compile(REASON_PHRASE)
_CONTROL = re.compile(f"[{CONTROL_CHARS}]".encode())
_LINE_END = re.compile(rb"[\r\n]")
_BARE_LINE_END = re.compile(r"\r\n?|\n")
_SOURCE = re.compile(r"[0-9A-Za-z_.:\-]++")

TAG_KEY = os.urandom(16)
"""What makes the tags of replies ours: forked workers share it."""

DIALOG_METHODS = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})
"""Methods whose 101..299 responses carry the request's Record-Route (RFC 3261 12.1.1, RFC 6665 4.4.1, RFC 3515)."""

HeaderInput = str | int | HeaderValue | Sequence[str | int | HeaderValue]
"""What can be written as a header's value; of several, one line with commas between them is made."""

HeaderSource = Mapping[str, Any] | Iterable[tuple[str, Any]]
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


def pairs(headers: HeaderSource) -> Iterable[tuple[str, Any]]:
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
    if not isinstance(text, str):
        raise TypeError(f"{what} must be str, not {type(text).__name__}")
    if not is_token(text):
        raise SerializeError(f"{what} {text!r} is not a token")
    return str.encode(text, "ascii")


def encode_name(name: str) -> bytes:
    """A header name's bytes; SerializeError where it is no token (RFC 3261 25.1)."""
    return _encode_token(name, "header name")


def encode_method(method: str) -> bytes:
    """A method's bytes; SerializeError where it is no token."""
    return _encode_token(method, "method")


def encode_tag(tag: str) -> bytes:
    """A tag's bytes; SerializeError where it is no token (RFC 3261 19.3)."""
    return _encode_token(tag, "tag")


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
    data = encode(text, f"value of {name}").strip(BLANK.encode())
    if _CONTROL.search(data):
        line_end = _LINE_END.search(data)  # one that a fold would excuse is none in a value to write
        at = line_end.start() if line_end else bad_control(data)
        if at >= 0:
            raise SerializeError(f"value of {name} has control byte 0x{data[at]:02x} at byte {at}")
    return data


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
    if not 100 <= status <= 699:
        raise SerializeError(f"status {status} is not in 100..699")
    if reason is None:
        reason = reason_phrase(status)
    if not isinstance(reason, str):
        raise TypeError(f"reason must be str, not {type(reason).__name__}")
    if not _REASON.fullmatch(reason):
        raise SerializeError(f"reason phrase {reason!r} has a control byte")
    return b"%d %b" % (status, encode(reason, "reason phrase"))


def encode_body(body: bytes | bytearray | memoryview | str) -> bytes:
    """A body's bytes: text gets CRLF line ends and UTF-8, bytes are taken as they are."""
    if type(body) is bytes:
        return body
    if isinstance(body, str):
        return encode(_BARE_LINE_END.sub("\r\n", body), "body")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(memoryview(body))
    raise TypeError(f"body must be bytes or str, not {type(body).__name__}")


def check_content_length(value: bytes, length: int) -> None:
    """SerializeError where the caller's own Content-Length is not the body's."""
    try:
        if read_content_length(value) == length:
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
    if not 0 <= int.__index__(port) <= 65535:  # a subclass may compare as it likes
        raise SerializeError(f"source port {port} is not in 0..65535")
    return found[0]
