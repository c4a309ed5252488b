"""What the two parsers share: the `headers` view, the checks for writing, and the edits too rare to compile."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from ._diagnose import bad_control
from ._values import HeaderValue
from .errors import HeaderError, ParseError, SerializeError
from .headers import Via
from .headers._lists import each_part
from .methods import header_id

T = TypeVar("T")
V = TypeVar("V")

_TOKEN = re.compile(r"[!%'*+\-.0-9A-Z_`a-z~]++")
_URI = re.compile(r"[^\x00-\x20\x7f]++")
_NO_CONTROLS = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*+")
_PLAIN_BYTES = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*+")
_SOURCE = re.compile(r"[0-9A-Za-z_.:\-]++")
_BARE_LF = re.compile(r"\r\n?|\n")
_MISSING: Any = object()
_CONTENT_LENGTH = header_id("Content-Length")

TAG_KEY = os.urandom(16)
"""What makes the tags of replies ours: forked workers share it."""

DIALOG_METHODS = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})
"""Methods whose 101..299 responses carry the request's Record-Route (RFC 3261 12.1.1, RFC 6665 4.4.1, RFC 3515)."""


class _Message(Protocol):
    """What the view needs of a message."""

    def get_header(self, name: str, default: Any = None) -> Any: ...
    def get_headers(self, name: str) -> list[str]: ...
    def set_header(self, name: str, value: Any) -> None: ...
    def add_header(self, name: str, value: Any) -> None: ...
    def remove_header(self, name: str) -> int: ...
    def remove_first_header(self, name: str) -> bool: ...
    @property
    def body(self) -> bytes: ...
    def _items(self) -> list[tuple[str, str]]: ...
    def _count(self) -> int: ...


class Headers:
    """A message's headers: ordered, case-insensitive, several values a name, a compact form equal to its long name.

    A live view with the method names of `multidict.MutableMultiMapping`. It keeps the message, not a copy.
    """

    __slots__ = ("_message",)

    def __init__(self, message: _Message) -> None:
        self._message = message

    def __repr__(self) -> str:
        return f"<Headers {self._message._items()!r}>"

    def __len__(self) -> int:
        return self._message._count()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._message.get_header(name) is not None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._message._items() == other._message._items()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> str:
        return self.getone(name)

    def __setitem__(self, name: str, value: "HeaderInput") -> None:
        self._message.set_header(name, value)

    def __delitem__(self, name: str) -> None:
        if not self._message.remove_header(name):
            raise KeyError(name)

    def items(self) -> list[tuple[str, str]]:
        """Every (name, value) in the order of the message, names as they are spelled there."""
        return self._message._items()

    def keys(self) -> list[str]:
        """Every name in the order of the message, repeated names repeated."""
        return [name for name, _ in self._message._items()]

    def values(self) -> list[str]:
        """Every value in the order of the message."""
        return [value for _, value in self._message._items()]

    @overload
    def getone(self, name: str) -> str: ...
    @overload
    def getone(self, name: str, default: T) -> str | T: ...
    def getone(self, name: str, default: Any = _MISSING) -> Any:
        """The first value of `name`; the default, or KeyError without one, where there is none."""
        value = self._message.get_header(name)
        if value is not None:
            return value
        if default is _MISSING:
            raise KeyError(name)
        return default

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: T) -> str | T: ...
    def get(self, name: str, default: Any = None) -> Any:
        """The first value of `name`, or the default."""
        return self._message.get_header(name, default)

    @overload
    def getall(self, name: str) -> list[str]: ...
    @overload
    def getall(self, name: str, default: T) -> list[str] | T: ...
    def getall(self, name: str, default: Any = _MISSING) -> Any:
        """Every value of `name`; the default, or KeyError without one, where there is none."""
        values = self._message.get_headers(name)
        if values:
            return values
        if default is _MISSING:
            raise KeyError(name)
        return default

    def add(self, name: str, value: "HeaderInput") -> None:
        """Append a header."""
        self._message.add_header(name, value)

    def extend(self, headers: "HeaderSource") -> None:
        """Append several headers; all of them, or none where one cannot be written."""
        for name, value in self._checked(headers):
            self._message.add_header(name, value)

    def update(self, headers: "HeaderSource") -> None:
        """Replace every header that is named in `headers` by what stands there."""
        named = self._checked(headers)
        for name, _ in named:
            self._message.remove_header(name)
        for name, value in named:
            self._message.add_header(name, value)

    def _checked(self, headers: "HeaderSource") -> list[tuple[str, Any]]:
        """The pairs, when each can be written: one that is refused must not leave half of them in the message."""
        named = [(name, value) for name, value in pairs(headers)]
        for name, value in named:
            encode_name(name)
            data = encode_value(name, value)
            if header_id(name) == _CONTENT_LENGTH:
                check_content_length(data, len(self._message.body))
        return named

    def setdefault(self, name: str, default: str = "") -> str:
        """The first value of `name`, which is added with the default where there is none."""
        value: str | None = self._message.get_header(name)
        if value is None:
            self._message.add_header(name, default)
            value = self.getone(name)
        return value

    @overload
    def popone(self, name: str) -> str: ...
    @overload
    def popone(self, name: str, default: T) -> str | T: ...
    def popone(self, name: str, default: Any = _MISSING) -> Any:
        """Remove the first header of that name and return its value; as `getone` where there is none."""
        value = self.getone(name, default)
        self._message.remove_first_header(name)
        return value

    pop = popone

    @overload
    def popall(self, name: str) -> list[str]: ...
    @overload
    def popall(self, name: str, default: T) -> list[str] | T: ...
    def popall(self, name: str, default: Any = _MISSING) -> Any:
        """Remove every header of that name and return their values; as `getall` where there is none."""
        values = self.getall(name, default)
        self._message.remove_header(name)
        return values

    def popitem(self) -> tuple[str, str]:
        """Remove the first header and return its name and value; KeyError where there is none."""
        items = self._message._items()
        if not items:
            raise KeyError("no headers")
        self._message.remove_first_header(items[0][0])
        return items[0]

    def clear(self) -> None:
        """Remove every header."""
        for name in self.keys():
            self._message.remove_header(name)


HeaderInput = str | int | HeaderValue | Sequence[str | int | HeaderValue]
"""What can be written as a header's value; of several, one line with commas between them is made."""

HeaderSource = Mapping[str, Any] | Iterable[tuple[str, Any]] | Headers
"""What the builders take as headers: a mapping, pairs, or another message's headers."""


def as_bytes(data: Any) -> bytes:
    """What `parse` reads: bytes, bytes-like, or text, which is encoded as it would be read."""
    if isinstance(data, str):
        try:
            return data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ParseError("text is not UTF-8", error.start) from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"data must be bytes, bytearray, memoryview or str, not {type(data).__name__}")


def pairs(headers: HeaderSource) -> Iterable[tuple[str, Any]]:
    """The (name, value) pairs of a mapping, of pairs, or of another message's headers."""
    if isinstance(headers, (Mapping, Headers)):
        return headers.items()
    return headers


def encode(text: str, what: str) -> bytes:
    """UTF-8 with surrogateescape; SerializeError where the text has another surrogate."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise SerializeError(f"{what} has a surrogate at {error.start} that is no UTF-8") from None


def encode_name(name: str) -> bytes:
    """A header name's bytes; SerializeError where it is no token (RFC 3261 25.1)."""
    if not isinstance(name, str):
        raise TypeError(f"header name must be str, not {type(name).__name__}")
    if not _TOKEN.fullmatch(name):
        raise SerializeError(f"header name {name!r} is not a token")
    return name.encode("ascii")


def _value_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, HeaderValue) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise TypeError(f"value of {name} must be str, int, a header value or several, not {type(value).__name__}")


def encode_value(name: str, value: "HeaderInput") -> bytes:
    """A header value's bytes, trimmed; SerializeError where it would end the header or hide a control byte."""
    if isinstance(value, (tuple, list)):
        value = ", ".join([_value_text(name, part) for part in value])
    else:
        value = _value_text(name, value)
    data = encode(value, f"value of {name}").strip(b" \t")
    if not _PLAIN_BYTES.fullmatch(data):
        at = len(data)
        for byte in (b"\r", b"\n"):
            at = min(at, data.find(byte) % (len(data) + 1))
        if at == len(data):
            at = bad_control(data)
        if at >= 0:
            raise SerializeError(f"value of {name} has control byte 0x{data[at]:02x} at byte {at}")
    return data


def encode_method(method: str) -> bytes:
    """A method's bytes; SerializeError where it is no token."""
    if not isinstance(method, str):
        raise TypeError(f"method must be str, not {type(method).__name__}")
    if not _TOKEN.fullmatch(method):
        raise SerializeError(f"method {method!r} is not a token")
    return method.encode("ascii")


def refuse_copied(name: str) -> None:
    """A reply has each of the headers that it copies once."""
    raise SerializeError(f"{name} is copied from the request, a reply cannot be given another")


def encode_uri(uri: "str | HeaderValue") -> bytes:
    """A Request-URI's bytes; SerializeError where it is empty or has a space or a control byte."""
    if isinstance(uri, HeaderValue):
        uri = str(uri)
    if not isinstance(uri, str):
        raise TypeError(f"Request-URI must be str or a URI value, not {type(uri).__name__}")
    if not _URI.fullmatch(uri):
        raise SerializeError(f"Request-URI {uri!r} is empty or has a space or a control byte")
    return encode(uri, "Request-URI")


def encode_status(status: int, reason: str) -> bytes:
    """The text of a status line behind the version."""
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"status must be int, not {type(status).__name__}")
    if not 100 <= status <= 699:
        raise SerializeError(f"status {status} is not in 100..699")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be str, not {type(reason).__name__}")
    if not _NO_CONTROLS.fullmatch(reason):
        raise SerializeError(f"reason phrase {reason!r} has a control byte")
    return b"%d %b" % (status, encode(reason, "reason phrase"))


def encode_body(body: bytes | bytearray | memoryview | str) -> bytes:
    """A body's bytes: text gets CRLF line ends and UTF-8, bytes are taken as they are."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return encode(_BARE_LF.sub("\r\n", body), "body")
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"body must be bytes or str, not {type(body).__name__}")


def encode_tag(tag: str) -> bytes:
    """A tag's bytes; SerializeError where it is no token (RFC 3261 19.3)."""
    if not isinstance(tag, str) or not _TOKEN.fullmatch(tag):
        raise SerializeError(f"tag {tag!r} is not a token")
    return tag.encode("ascii")


def check_content_length(value: bytes, length: int) -> None:
    """SerializeError where the caller's own Content-Length is not the body's."""
    if value.isalnum() and len(value) <= 9 and re.fullmatch(rb"[0-9]++", value) and int(value) == length:
        return
    raise SerializeError(f"Content-Length {value!r} is not the body's {length} bytes; assign the body and it is set")


def unfold(value: bytes) -> bytes:
    """A value with one space where a fold stood (RFC 3261 7.3.1)."""
    return b" ".join([part for line in value.split(b"\n") if (part := line.strip(b" \t\r"))])


def read_length(value: str | bytes) -> int:
    """A Content-Length that was checked already. `int` alone refuses 4,301 digits, though all but the last be zeros."""
    return int(value[-9:])


def check_source(host: str, port: int) -> str:
    """A source address as it may be written into a Via: without a zone."""
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        raise TypeError("host must be str and port int")
    host = host.partition("%")[0]
    if not _SOURCE.fullmatch(host):
        raise SerializeError(f"source address {host!r} is no host")
    if not 0 <= port <= 65535:
        raise SerializeError(f"source port {port} is not in 0..65535")
    return host


def parse_value(header: str, parser: Callable[[str], V], value: str) -> V:
    """Apply a value's parser; its HeaderError gets the header's name."""
    try:
        return parser(value)
    except HeaderError as error:
        raise HeaderError(error.reason, header, error.offset, error.status) from None


def split_first(value: str) -> tuple[str, str]:
    """The first element of a header's list, and the rest of the list ("" where there is none)."""
    if "," not in value:
        return value, ""
    parts = each_part(value)
    _, first = next(parts)
    second = next(parts, None)
    return first, "" if second is None else value[second[0] :]


def split_off(value: str) -> tuple[str, str]:
    """The same, for when the rest is written back by itself.

    A quote inside `<>` or a comment opens no quoted string for the list, but it does for who checks a whole value. What
    stood in quotes there may stand outside of them in the rest, and a control byte may not.
    """
    first, rest = split_first(value)
    if not _NO_CONTROLS.fullmatch(rest) and bad_control(rest.encode("utf-8", "surrogateescape")) >= 0:
        raise HeaderError("control byte behind the first value is in no quoted string", offset=len(value) - len(rest))
    return first, rest


# A parameter of a Via: name, and perhaps a value that may be quoted.
_PARAMETER = re.compile(r'(;[ \t]*+)([^ \t;="]*+)(?:[ \t]*+=[ \t]*+(?:"(?:[^"\\]++|\\.)*+"|[^;" \t]*+))?+')


def stamp(value: str, host: str, port: int) -> tuple[str, bool]:
    """A Via header with `received` and `rport` in its first value as a receiver puts them; whether rport is there.

    RFC 3261 18.2.1 and RFC 3581 4. A `received` or a filled `rport` that the sender wrote itself is overwritten: it
    would direct our responses at somebody else. A value that cannot be understood stays as it is.
    """
    element, _ = split_first(value)
    try:
        via = Via.parse(element)
    except HeaderError:
        return value, True
    asked = via.rport is not None
    same = via.host.strip("[]").lower() == host.lower()
    if same and not asked and via.received is None:
        return value, False
    head, tail = _before_parameters(element)
    values = {"received": host, "rport": str(port)}
    seen = set()

    def replace(match: re.Match[str]) -> str:
        name = match[2].lower()
        if name not in values:
            return match[0]
        seen.add(name)
        return f"{match[1]}{match[2]}={values[name]}"

    tail = _PARAMETER.sub(replace, tail)
    if "received" not in seen:
        tail += f";received={host}"
    return head + tail + value[len(element) :], asked


def _before_parameters(element: str) -> tuple[str, str]:
    at = element.find(";")
    return (element, "") if at < 0 else (element[:at], element[at:])
