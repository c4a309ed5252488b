"""The parser in plain Python: the same names, results and errors as the compiled `_parser`.

`parse` checks the whole head with two regular expressions and makes nothing of it. The first look at a header splits
the head into lines; a line is turned into text when it is asked for. An edit replaces, inserts or drops a line.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, final

from ._diagnose import _EMPTY_LINES as EMPTY_LINES
from ._diagnose import diagnose, end_of
from ._grammar import TOKEN_CHARS
from ._limits import LARGEST_MAX_SIZE, MAX_HEADERS, MAX_SIZE
from ._shared import (
    DIALOG_METHODS,
    TAG_KEY,
    Headers,
    HeaderSource,
    as_bytes,
    check_content_length,
    check_source,
    encode_body,
    encode_method,
    encode_name,
    encode_status,
    encode_tag,
    encode_uri,
    encode_value,
    pairs,
    parse_value,
    read_length,
    refuse_copied,
    split_first,
    split_off,
    stamp,
    unfold,
)
from .errors import HeaderError, ParseError
from .headers import Contact, ContentType, CSeq, NameAddr, RAck, Via, parse_contacts, parse_list, parse_max_forwards
from .methods import COMPACT_FORMS, HEADER_NAMES, header_id, reason_phrase
from .uri import Uri, parse_uri
from .validation import Violation
from .validation import check as check_message
from .validation import validate as validate_message

if TYPE_CHECKING:
    from ._shared import HeaderInput

__all__ = ["Message", "parse"]

VIA, FROM, TO, CALL_ID, CSEQ, MAX_FORWARDS, CONTENT_LENGTH = range(1, 8)
CONTACT, ROUTE, RECORD_ROUTE, CONTENT_TYPE, RACK = range(8, 13)
TIMESTAMP = header_id("Timestamp")

_START = re.compile(
    rb"(?:((?i:SIP)/[0-9]++\.[0-9]++) ([1-6][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*+))?"
    rb"|([" + TOKEN_CHARS.encode() + rb"]++) ([^\x00-\x20\x7f]++) ((?i:SIP)/[0-9]++\.[0-9]++))\r?\n"
)
# Ranges, the frequent one first: a class that names what is not in it takes three times as long.
_VALUE = rb"[ -~\x80-\xff\t]*+"
_NAME = rb"[A-Za-z\-!%'*+.0-9_`~]"
# An atomic group around a greedy one, not `(...)*+`: up to Python 3.11.4 that one keeps what the repetition that failed
# had already read (CPython gh-106052), and a line without a colon would be skipped.
_HEADS = re.compile(
    rb"(?>(?:" + _NAME + rb"++(?::|[ \t]++:)" + _VALUE + rb"\r?\n(?:[ \t]" + _VALUE + rb"\r?\n)*+)*)(?=\r?\n)"
)
# The head of nearly every message: CRLF throughout, no folds, no space before a colon, at most one Content-Length. What
# the values hold is left to `translate`: a search for one byte and a table are three times as fast as a class.
_OTHERS = (
    rb"(?>(?:(?:[ABD-KM-Zabd-km-z\-!%'*+.0-9_`~]|[Cc](?!(?i:ontent-length):)|[Ll](?!:))" + _NAME + rb"*+:[^\r]*+\r\n)*)"
)
_USUAL = re.compile(
    _OTHERS + rb"(?:(?:[Cc](?i:ontent-length)|[Ll]):[ \t]*+([0-9]{1,9})[ \t]*+\r\n)?" + _OTHERS + rb"\r\n"
)
_TEXT = bytes([byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127)])
_LINES = re.compile(rb"(" + _NAME + rb"++)([^\n]*+\n(?>(?:[ \t][^\n]*+\n)*))")
_PAIRS = re.compile(r"^([^ \t\r\n:]++)[ \t]*+:[ \t]*+([^\r]*+)\r\n", re.MULTILINE)
_LENGTHS = re.compile(rb"\n(?i:content-length|l)[ \t]*+:([^\n]*+(?>(?:\n[ \t][^\n]*+)*))")
_DIGITS = re.compile(rb"[ \t]*+([0-9]{1,9})[ \t]*+\r?+")
_WORDS = re.compile(r"[!-~](?:[ -~]*[!-~])?")


class _Ids(dict[bytes, int]):
    """The id of a name as it is spelled on the wire; a thousand short spellings are kept as they come."""

    def __missing__(self, name: bytes) -> int:
        number = header_id(name.decode("ascii"))
        if len(self) < 1000 and len(name) < 64:
            self[name] = number
        return number


_IDS = _Ids()
_NAMES = {name: (header_id(name), name.encode()) for name in (*HEADER_NAMES[1:], *COMPACT_FORMS)}
_SMALL = {b"%d" % number: number for number in range(256)}

Line = tuple[bytes, bytes]
"""A header: its name, and everything behind the name with the line end (several lines where it is folded)."""


def parse(
    data: bytes | bytearray | memoryview | str, *, max_size: int = MAX_SIZE, max_headers: int = MAX_HEADERS
) -> "Message":
    """Read one SIP message that fills a datagram (RFC 3261 7, 18.3).

    Empty lines before it are skipped, and what stands behind the body that Content-Length names is cut off. Raises
    ParseError for what is no message, TypeError for what is neither bytes nor text.
    """
    if type(data) is not bytes:
        data = as_bytes(data)
    if max_size > LARGEST_MAX_SIZE:
        raise ValueError(f"max_size is over {LARGEST_MAX_SIZE} bytes")
    line = _START.match(data) if len(data) <= max_size else None
    usual = _USUAL.match(data, line.end()) if line else None
    if line and usual:
        body, length = usual.end(), usual[1]
        ends = data[line.end() : body].translate(None, _TEXT)  # everything but text: the line ends, and bad controls
        lines = len(ends) // 2
        if ends == b"\r\n" * lines and lines <= max_headers + 1 and (length is None or body + int(length) == len(data)):
            return _message(data, line, body)
    return _parse_unusual(data, max_size, max_headers)


def _message(data: bytes, line: Any, body: int) -> "Message":
    message: Message = _new(Message)
    message._raw = data
    message._start = line
    message._body_at = body
    message._lines = message._body = message._cache = None
    return message


def _parse_unusual(data: bytes, max_size: int, max_headers: int) -> "Message":
    start = end_of(EMPTY_LINES, data, 0)
    line = _START.match(data, start)
    if line is None or len(data) > max_size:
        diagnose(data, max_size, max_headers)
        raise ParseError("malformed message", start)
    heads = _HEADS.match(data, line.end())
    if heads is None:
        diagnose(data, max_size, max_headers)  # returns where control bytes hide in quoted strings
        head_end = _end_of_head(data, line.end())
    else:
        head_end = heads.end()
    if data.count(b"\n", line.end(), head_end) > max_headers:
        diagnose(data, max_size, max_headers)
    body = head_end + (2 if data[head_end] == 13 else 1)
    length = _content_length(data, line.end() - 1, head_end, max_size, max_headers)
    end = len(data) if length is None else body + length
    if end > len(data):
        diagnose(data, max_size, max_headers)
    if start or end < len(data):
        data = data[start:end]
        line = _START.match(data)  # the match keeps its bytes alive: not those that were cut
    return _message(data, line, body - start)


def _end_of_head(data: bytes, position: int) -> int:
    """Where the empty line begins that ends a head which has one."""
    while not data.startswith((b"\n", b"\r\n"), position):
        position = data.index(b"\n", position) + 1
    return position


def _content_length(data: bytes, start: int, end: int, max_size: int, max_headers: int) -> int | None:
    """The Content-Length of a checked head, None where there is none."""
    found = _LENGTHS.findall(data, start, end)
    if not found:
        return None
    digits = _DIGITS.fullmatch(found[0])
    if len(found) == 1 and digits:
        return int(digits[1])
    diagnose(data, max_size, max_headers)  # returns where several agree, or one is folded or has leading zeros
    return read_length(unfold(found[0]))


V = TypeVar("V")
_new: Any = object.__new__


@final
class Message:
    """A SIP request or response; made by `parse`, `Message.request`, `Message.response` or `reply`.

    Header names are looked up in any case, a compact form and its long name as one. Values read are str: UTF-8, with
    surrogates for bytes that are not. Values written are str, int or a structured value; SerializeError, with nothing
    changed, for one that cannot be written. A structured value is read when it is asked for, and raises HeaderError
    where it breaks its grammar; None (an empty tuple for a list) says that there is no such header.
    """

    __slots__ = ("_body", "_body_at", "_cache", "_lines", "_raw", "_start")

    _raw: bytes | None  # the wire form, None once it was edited
    _start: Any  # the match of the start line
    _body_at: int  # where the body begins in _raw
    _lines: list[Line] | None  # the headers, once one was looked at
    _body: bytes | None  # the body, once it was edited
    _cache: dict[str, Any] | None  # structured values that were asked for

    def __init__(self) -> None:
        raise TypeError("a Message is made by parse, Message.request or Message.response")

    # --- the start line

    @property
    def is_request(self) -> bool:
        """Whether this is a request."""
        return self._start[4] is not None

    @property
    def method(self) -> str:
        """The method as on the wire; "" for a response."""
        return _text(self._start[4] or b"")

    @property
    def request_uri(self) -> str:
        """The Request-URI as on the wire; "" for a response. Assigning one to a response raises AttributeError."""
        return _text(self._start[5] or b"")

    @request_uri.setter
    def request_uri(self, uri: "str | Uri") -> None:
        if not self.is_request:
            raise AttributeError("a response has no Request-URI")
        text = encode_uri(uri)
        self._edit()
        self._start = _START.match(b"%b %b %b\r\n" % (self._start[4], text, self._start[6]))

    @property
    def status_code(self) -> int:
        """The status code, 100 to 699; 0 for a request."""
        return int(self._start[2] or b"0")

    @property
    def status_text(self) -> str:
        """The reason phrase, which may be empty; "" for a request."""
        return _text(self._start[3] or b"")

    @property
    def version(self) -> str:
        """The SIP version as on the wire, "SIP/2.0"."""
        return _text(self._start[1] or self._start[6])

    # --- the body

    @property
    def body(self) -> bytes:
        """The body. Assigning bytes takes them as they are, str gets CRLF and UTF-8; Content-Length is set too."""
        return self._raw[self._body_at :] if self._raw is not None else self._body or b""

    @body.setter
    def body(self, body: bytes | bytearray | memoryview | str) -> None:
        data = encode_body(body)
        self._edit()
        self._body = data
        self._set((b"Content-Length", b": %d\r\n" % len(data)))

    # --- headers as text

    @property
    def headers(self) -> Headers:
        """A live view of the headers, ordered, case-insensitive and multi-valued."""
        return Headers(self)

    def get_header(self, name: str, default: Any = None) -> Any:
        """The first value of `name`, or the default."""
        at = self._find(name)
        return default if at < 0 else _value(self._table()[at])

    def get_headers(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        lines = self._table()
        return [_value(lines[at]) for at in self._places(name)]

    def set_header(self, name: str, value: "HeaderInput") -> None:
        """Replace the first `name` and drop the others; append it where there is none."""
        line = self._new_line(name, value)
        self._edit()
        self._set(line)

    def add_header(self, name: str, value: "HeaderInput") -> None:
        """Append a header."""
        new = self._new_line(name, value)
        self._edit().append(new)

    def prepend_header(self, name: str, value: "HeaderInput") -> None:
        """Insert a header before the first of its name, or before all where there is none."""
        new = self._new_line(name, value)
        self._edit().insert(max(self._find(name), 0), new)

    def remove_header(self, name: str) -> int:
        """Remove every header of that name; how many there were."""
        places = self._places(name)
        if places:
            self._edit()
            for at in reversed(places):
                del self._table()[at]
        return len(places)

    def remove_first_header(self, name: str) -> bool:
        """Remove the first header of that name; whether there was one."""
        at = self._find(name)
        if at >= 0:
            self._edit()
            del self._table()[at]
        return at >= 0

    def _items(self) -> list[tuple[str, str]]:
        if self._raw is not None:
            head = _text(self._raw[self._start.end() : self._body_at])
            found: list[tuple[str, str]] = _PAIRS.findall(head)
            whole = head.endswith("\r\n\r\n") and len(found) == head.count("\n") - 1  # no fold, no bare LF
            if whole and " \r" not in head and "\t\r" not in head:
                return found
        return [(line[0].decode(), _value(line)) for line in self._table()]

    def _count(self) -> int:
        return len(self._table())

    def _table(self) -> list[Line]:
        if self._lines is None:
            raw, end = self._raw or b"", self._body_at
            self._lines = _LINES.findall(raw, self._start.end(), end - 1 - (raw[end - 2] == 13))
        return self._lines

    def _edit(self) -> list[Line]:
        """Take the message apart before it changes; its headers."""
        self._cache = None
        lines = self._lines or self._table()
        if self._raw is not None:
            self._body = self._raw[self._body_at :]
            self._raw = None
        return lines

    def _prepend(self, number: int, line: Line) -> None:
        self._edit().insert(max(self._find_id(number), 0), line)

    def _places(self, name: str) -> list[int]:
        if not isinstance(name, str):
            raise TypeError(f"header name must be str, not {type(name).__name__}")
        return _places(self._table(), header_id(name), name)

    def _find(self, name: str) -> int:
        known = _NAMES.get(name) if type(name) is str else None
        if known:
            return self._find_id(known[0])
        places = self._places(name)
        return places[0] if places else -1

    def _find_id(self, number: int) -> int:
        ids = _IDS
        for at, line in enumerate(self._table()):
            if ids[line[0]] == number:
                return at
        return -1

    def _new_line(self, name: str, value: "HeaderInput") -> Line:
        known = _NAMES.get(name) if type(name) is str else None
        start = known[1] if known else encode_name(name)
        number = known[0] if known else header_id(name)
        data = value.encode("ascii") if type(value) is str and _WORDS.fullmatch(value) else encode_value(name, value)
        if number == CONTENT_LENGTH:
            check_content_length(data, len(self.body))
        return start, b": %b\r\n" % data

    def _set(self, line: Line) -> None:
        lines = self._table()
        places = _places(lines, _IDS[line[0]], line[0].decode())
        for at in reversed(places[1:]):
            del lines[at]
        if places:
            lines[places[0]] = line
        else:
            lines.append(line)

    def _first(self, number: int) -> str | None:
        at = self._find_id(number)
        return None if at < 0 else _value(self._table()[at])

    # --- headers as structured values

    def _cached(self, header: str, make: Any) -> Any:
        if self._cache is None:
            self._cache = {}
        if header not in self._cache:
            self._cache[header] = make()
        return self._cache[header]

    def _one(self, number: int, parser: Callable[[str], V]) -> V | None:
        header = HEADER_NAMES[number]
        value = self._first(number)
        if value is None:
            return None
        found: V = self._cached(header, lambda: parse_value(header, parser, value))
        return found

    def _all(self, number: int, parser: Callable[[str], tuple[V, ...]]) -> tuple[V, ...]:
        header = HEADER_NAMES[number]
        values = [_value(line) for line in self._table() if _IDS[line[0]] == number]
        return tuple(item for value in values for item in parse_value(header, parser, value))

    @property
    def uri(self) -> "Uri | None":
        """The Request-URI's parts; None for a response. Raises HeaderError (RFC 3261 19.1)."""
        if not self.is_request:
            return None
        uri: Uri = self._cached("", lambda: parse_value("Request-URI", parse_uri, self.request_uri))
        return uri

    @property
    def via(self) -> Via | None:
        """The top Via value (RFC 3261 20.42); None where there is none. Raises HeaderError."""
        return self._one(VIA, lambda value: Via.parse(split_first(value)[0]))

    @property
    def vias(self) -> tuple[Via, ...]:
        """Every Via value, the top one first. Raises HeaderError."""
        return self._all(VIA, partial(parse_list, Via))

    @property
    def from_(self) -> NameAddr | None:
        """The From value (RFC 3261 20.20). Raises HeaderError."""
        return self._one(FROM, NameAddr.parse)

    @property
    def to(self) -> NameAddr | None:
        """The To value (RFC 3261 20.39). Raises HeaderError."""
        return self._one(TO, NameAddr.parse)

    @property
    def from_tag(self) -> str | None:
        """The From tag; None where there is none. Raises HeaderError."""
        value = self.from_
        return None if value is None else value.tag

    @property
    def to_tag(self) -> str | None:
        """The To tag; None where there is none. Raises HeaderError."""
        value = self.to
        return None if value is None else value.tag

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Every Contact value, `*` as `STAR` (RFC 3261 20.10). Raises HeaderError."""
        return self._all(CONTACT, parse_contacts)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """Every Route value (RFC 3261 20.34). Raises HeaderError."""
        return self._all(ROUTE, partial(parse_list, NameAddr))

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Every Record-Route value (RFC 3261 20.30). Raises HeaderError."""
        return self._all(RECORD_ROUTE, partial(parse_list, NameAddr))

    @property
    def cseq(self) -> CSeq | None:
        """The CSeq value (RFC 3261 20.16). Raises HeaderError."""
        return self._one(CSEQ, CSeq.parse)

    @property
    def rack(self) -> RAck | None:
        """The RAck value (RFC 3262 7.2). Raises HeaderError."""
        return self._one(RACK, RAck.parse)

    @property
    def call_id(self) -> str | None:
        """The Call-ID as it stands."""
        return self._first(CALL_ID)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255 (RFC 3261 20.22). Raises HeaderError."""
        at = self._find_id(MAX_FORWARDS)
        return None if at < 0 else _max_forwards(self._table()[at])

    @property
    def content_length(self) -> int | None:
        """Content-Length in bytes (RFC 3261 20.14)."""
        value = self._first(CONTENT_LENGTH)
        return None if value is None else read_length(value)

    @property
    def content_type(self) -> ContentType | None:
        """The Content-Type value (RFC 3261 20.15). Raises HeaderError."""
        return self._one(CONTENT_TYPE, ContentType.parse)

    # --- what a proxy does

    def push_via(self, value: "str | Via") -> None:
        """Put a Via above the others (RFC 3261 16.6, step 8)."""
        self._prepend(VIA, self._new_line("Via", value))

    def pop_via(self) -> str | None:
        """Remove the top Via value and return it (RFC 3261 16.7, step 3); None where there is none."""
        return self._pop(VIA)

    def push_record_route(self, value: "str | NameAddr") -> None:
        """Put a Record-Route above the others (RFC 3261 16.6, step 4)."""
        self._prepend(RECORD_ROUTE, self._new_line("Record-Route", value))

    def pop_route(self) -> str | None:
        """Remove the top Route value and return it (RFC 3261 16.4); None where there is none."""
        return self._pop(ROUTE)

    def _pop(self, number: int) -> str | None:
        at = self._find_id(number)
        if at < 0:
            return None
        value, rest = parse_value(HEADER_NAMES[number], split_off, _value(self._table()[at]))
        self._edit()
        if rest:
            self._replace(at, rest)
        else:
            del self._table()[at]
        return value

    def _replace(self, at: int, value: str) -> None:
        """Give a header another value under the name as it is spelled."""
        lines = self._edit()
        lines[at] = (lines[at][0], b": %b\r\n" % value.encode("utf-8", "surrogateescape"))

    def stamp_received(self, host: str, port: int) -> bool:
        """Write into the top Via where the request came from (RFC 3261 18.2.1, RFC 3581 4).

        `host` is the source address without brackets, `port` the source port. Returns whether the response goes to
        that address and port (there is an `rport`); otherwise it goes to that address and the port of the sent-by.
        """
        host = check_source(host, port)
        at = self._find_id(VIA)
        if at < 0:
            return True
        value = _value(self._table()[at])
        stamped, asked = stamp(value, host, port)
        if stamped != value:
            self._replace(at, stamped)
        return asked

    def decrement_max_forwards(self) -> int:
        """Count Max-Forwards down and return what is left; 70 is added where there is none (RFC 3261 16.6, step 3).

        Raises HeaderError where it is malformed, and with status 483 where it is 0.
        """
        at = self._find_id(MAX_FORWARDS)
        if at < 0:
            self.add_header("Max-Forwards", 70)
            return 70
        left = _max_forwards(self._table()[at])
        if left == 0:
            raise HeaderError("Max-Forwards is 0", "Max-Forwards", 0, 483)
        lines = self._edit()
        lines[at] = (lines[at][0], b": %d\r\n" % (left - 1))
        return left - 1

    # --- building

    @classmethod
    def request(
        cls,
        method: str,
        uri: "str | Uri",
        *,
        headers: HeaderSource = (),
        body: bytes | bytearray | memoryview | str = b"",
    ) -> "Message":
        """A new request with these headers, in this order, and a Content-Length.

        Raises SerializeError where a part cannot be written (RFC 3261 7.1).
        """
        return _build(b"%b %b SIP/2.0\r\n" % (encode_method(method), encode_uri(uri)), [], headers, body)

    @classmethod
    def response(
        cls,
        status: int,
        reason: str | None = None,
        *,
        headers: HeaderSource = (),
        body: bytes | bytearray | memoryview | str = b"",
    ) -> "Message":
        """A new response with these headers, in this order, and a Content-Length; the reason is IANA's by default.

        Raises SerializeError where a part cannot be written (RFC 3261 7.2).
        """
        return _build(_status_line(status, reason), [], headers, body)

    def reply(
        self,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: HeaderSource = (),
        body: bytes | bytearray | memoryview | str = b"",
    ) -> "Message":
        """A response to this request, with what RFC 3261 8.2.6 copies from it, then `headers`, then Content-Length.

        A To without a tag gets one when the status is over 100: `to_tag`, or a keyed hash of what identifies the
        request, so that a retransmission is answered alike (8.2.7). Raises TypeError on a response.
        """
        if not self.is_request:
            raise TypeError("reply is for requests")
        start = _status_line(status, reason)
        tag = None if to_tag is None else encode_tag(to_tag)
        lines = [_tidy(line) for line in self._table() if _IDS[line[0]] == VIA]
        for number in (FROM, TO, CALL_ID, CSEQ):
            at = self._find_id(number)
            if at >= 0:
                name, rest = _tidy(self._table()[at])
                if number == TO and status > 100 and self._lacks_to_tag():
                    rest = b"%b;tag=%b\r\n" % (rest[:-2].rstrip(b" \t"), tag or self._make_tag())
                lines.append((name, rest))
        copied = _copied(status, self.method)
        lines += [_tidy(line) for line in self._table() if _IDS[line[0]] == copied]
        return _build(start, lines, headers, body)

    def _lacks_to_tag(self) -> bool:
        try:
            return self.to_tag is None
        except HeaderError:
            return False

    def _make_tag(self) -> bytes:
        """A keyed hash of what identifies a request, so that its retransmissions and its CANCEL (9.2) get the same."""
        values = [_raw_value(self._table()[at]) for n in (CALL_ID, VIA) if (at := self._find_id(n)) >= 0]
        cseq = self._find_id(CSEQ)
        if cseq >= 0:
            values.append(_raw_value(self._table()[cseq]).partition(b" ")[0])
        return b"%016x" % (hash(b"".join([TAG_KEY, *values])) & 0xFFFF_FFFF_FFFF_FFFF)

    # --- checking and writing

    def check(self) -> list[Violation]:
        """What the header table alone shows to be wrong; see `sipstack.validation.check`."""
        return check_message(self)  # type: ignore[arg-type]  # the twin has the same interface

    def validate(self) -> list[Violation]:
        """Everything a server would check before it acts; see `sipstack.validation.validate`."""
        return validate_message(self)  # type: ignore[arg-type]  # the twin has the same interface

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; the bytes it was parsed from where nothing was edited."""
        if self._raw is not None:
            return self._raw
        return b"".join([self._start[0], *chain.from_iterable(self._table()), b"\r\n", self._body or b""])

    __bytes__ = to_bytes

    def copy(self) -> "Message":
        """Another message, equal to this one, that is edited on its own."""
        other: Message = _new(Message)
        other._raw, other._start, other._body_at, other._body = self._raw, self._start, self._body_at, self._body
        other._lines = None if self._lines is None else list(self._lines)
        other._cache = None
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> "Message":
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.to_bytes(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return _text(self.to_bytes())

    def __repr__(self) -> str:
        what = f"{self.method} {self.request_uri}" if self.is_request else f"{self.status_code} {self.status_text}"
        return f"<Message {what} Call-ID={self.call_id}>"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _raw_value(line: Line) -> bytes:
    rest = line[1]
    return rest[rest.index(b":") + 1 :].strip(b" \t\r\n")


def _value(line: Line) -> str:
    value = _raw_value(line)
    return _text(unfold(value) if b"\n" in value else value)


def _max_forwards(line: Line) -> int:
    value = _SMALL.get(_raw_value(line))
    return parse_value("Max-Forwards", parse_max_forwards, _value(line)) if value is None else value


def _tidy(line: Line) -> Line:
    """A header as it may be copied into another message: not folded, and ended by CRLF."""
    name, rest = line
    if rest.endswith(b"\r\n") and rest.index(b"\n") == len(rest) - 1:
        return line
    return name, b": %b\r\n" % unfold(_raw_value(line))


def _places(lines: list[Line], number: int, name: str) -> list[int]:
    """Where the headers of that id stand, or of that name where it has no id."""
    ids = _IDS
    if number:
        return [at for at, line in enumerate(lines) if ids[line[0]] == number]
    wanted = name.encode("utf-8", "replace").lower()
    return [at for at, line in enumerate(lines) if not ids[line[0]] and line[0].lower() == wanted]


def _status_line(status: int, reason: str | None) -> bytes:
    if reason is None:
        reason = reason_phrase(status) if isinstance(status, int) else ""
    return b"SIP/2.0 %b\r\n" % encode_status(status, reason)


def _copied(status: int, method: str) -> int:
    """The header that a reply copies besides the five of every reply; -1 for none."""
    if status == 100:
        return TIMESTAMP  # RFC 3261 8.2.6.1
    return RECORD_ROUTE if 101 <= status <= 299 and method in DIALOG_METHODS else -1


def _build(
    start: bytes, lines: list[Line], headers: HeaderSource, body: bytes | bytearray | memoryview | str
) -> Message:
    message: Message = _new(Message)
    message._raw = message._cache = None
    message._start = _START.match(start)
    message._body_at = 0
    message._body = encode_body(body)
    message._lines = lines
    copied = {number for line in lines if VIA <= (number := _IDS[line[0]]) <= CSEQ}
    for name, value in pairs(headers):
        line = message._new_line(name, value)
        if _IDS[line[0]] in copied:
            refuse_copied(name)
        lines.append(line)
    if message._find_id(CONTENT_LENGTH) < 0:
        lines.append((b"Content-Length", b": %d\r\n" % len(message._body)))
    return message


def _restore(data: bytes) -> Message:
    """What a pickle calls: no limit but the largest, for the message was one already."""
    return parse(data, max_size=LARGEST_MAX_SIZE, max_headers=LARGEST_MAX_SIZE)
