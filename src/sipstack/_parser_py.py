"""The parser in plain Python: the same names, results and errors as the compiled `_parser`.

`parse` checks the whole head with two regular expressions and makes nothing of it. The first look at a header splits
the head into lines; a line is turned into text when it is asked for. An edit replaces, inserts or drops a line.
"""

import os  # noqa: I001 - the names of `_writing` and `headers` are wrapped
import re
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any, TypeVar, final, overload

from . import _derived, _keys
from . import _grammar as grammar
from ._branches import sign
from ._describe import describe, describe_as_html
from ._diagnose import check_limits, diagnose
from ._forwarding import forward_request, forward_response, put_hop, take_routes
from ._keys import need
from ._limits import INITIAL_MAX_FORWARDS, LARGEST_MAX_SIZE, MAX_HEADERS, MAX_PARTS, MAX_SIZE, MAX_VALUES
from ._node import Leg
from ._printable import cut
from ._rewrite import add_tag, has_tag, split_first, stamp, unfold
from ._values import need_int, need_str
from ._view import Headers, check_own_view
from ._writing import (
    DIALOG_METHODS, INSTEAD, TAG_KEY, Body, HeaderInput, HeaderSource, as_bytes, check_content_length, check_source,
    encode_body, encode_method, encode_name, encode_status, encode_tag, encode_uri, encode_value, header_items,
    header_pair, lines_apart, refuse_copied,
)  # fmt: skip
from .errors import HeaderError, ParseError
from .headers import (
    Contact, ContentType, CSeq, HeaderValue, NameAddr, RAck, Via, parse_contacts, parse_hops, parse_max_forwards,
    parse_seconds, parse_value, parse_values,
)  # fmt: skip
from .headers._counts import check_counts
from .headers._via import parse_vias
from .methods import COMPACT_FORMS, HEADER_NAMES, URI_SCHEMES, header_id
from .uri import Uri, parse_uri
from .validation import Violation
from .validation import check as check_message
from .validation import validate as validate_message

VIA, FROM, TO, CALL_ID, CSEQ = (header_id(name) for name in ("Via", "From", "To", "Call-ID", "CSeq"))
MAX_FORWARDS, CONTENT_LENGTH = header_id("Max-Forwards"), header_id("Content-Length")
CONTACT, ROUTE, RECORD_ROUTE = header_id("Contact"), header_id("Route"), header_id("Record-Route")
CONTENT_TYPE, RACK, TIMESTAMP = header_id("Content-Type"), header_id("RAck"), header_id("Timestamp")
EXPIRES = header_id("Expires")

_START = re.compile(grammar.START_LINE.encode())
_HEADERS = re.compile(grammar.HEADER_LINES.encode())
_UNFOLDED = re.compile(grammar.UNFOLDED_HEADERS.encode())
_LINES = re.compile(grammar.HEADER.encode())
_PAIRS = re.compile(grammar.UNFOLDED_HEADER, re.MULTILINE)
_LENGTHS = re.compile(grammar.CONTENT_LENGTHS.encode())
_EMPTY_LINES = re.compile(grammar.EMPTY_LINES.encode())
_HEAD_END = re.compile(grammar.HEAD_END.encode())
_NOT_CONTROL = re.sub(f"[{grammar.CONTROL_CHARS}]".encode(), b"", bytes(range(256)))
_WORDS = re.compile(rf"[!-~](?:[ -~]{{0,{LARGEST_MAX_SIZE - 2}}}[!-~])?")


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
_NO_LINE: Line = (b"", b":")


def parse(
    data: bytes | bytearray | memoryview | str, *, max_size: int = MAX_SIZE, max_headers: int = MAX_HEADERS
) -> "Message":
    """Read one SIP message that fills a datagram (RFC 3261 7, 18.3).

    Empty lines before it are skipped, and what stands behind the body that Content-Length names is cut off. Raises
    ParseError for what is no message, TypeError for what is neither bytes nor text, and ValueError for a limit that is
    none.
    """
    if type(data) is not bytes:
        data = as_bytes(data)
    if max_size != MAX_SIZE or max_headers != MAX_HEADERS:
        max_size, max_headers = check_limits(max_size, max_headers)
    line = _START.match(data) if len(data) <= max_size else None
    headers = _UNFOLDED.match(data, line.end()) if line else None
    if line and headers:
        body, length = headers.end(), headers[1]
        ends = data[line.end() : body].translate(None, _NOT_CONTROL)  # the line ends, and other control bytes
        lines = len(ends) // 2
        if ends == b"\r\n" * lines and lines <= max_headers + 1 and (length is None or body + int(length) == len(data)):
            return _message(data, line, body)
    return _parse_any(data, max_size, max_headers)


def _message(
    raw: bytes | None, start: Any, body_at: int, lines: "list[Line] | None" = None, body: bytes | None = None
) -> "Message":
    message: Message = _new(Message)
    message._raw = raw
    message._start = start
    message._body_at = body_at
    message._lines = lines
    message._body = body
    message._cache = None
    return message


def _parse_any(data: bytes, max_size: int, max_headers: int) -> "Message":
    """Read a message that may have folds, bare LFs, several Content-Lengths, or nothing of a message."""
    start = _EMPTY_LINES.match(data).end()  # type: ignore[union-attr]  # it matches nothing too
    line = _START.match(data, start)
    if line is None or len(data) > max_size:
        diagnose(data, max_size, max_headers)
        raise ParseError("malformed message", start)
    headers = _HEADERS.match(data, line.end())
    head_end = headers.end() if headers else 0
    if not head_end:
        diagnose(data, max_size, max_headers)  # returns where control bytes hide behind backslashes
        head_end = _HEAD_END.search(data, line.end() - 1).start() + 1  # type: ignore[union-attr]  # it is there
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


def _content_length(data: bytes, start: int, end: int, max_size: int, max_headers: int) -> int | None:
    """The Content-Length of a checked head, None where there is none."""
    found = _LENGTHS.findall(data, start, end)
    if len(found) > 1:
        diagnose(data, max_size, max_headers)  # returns where they agree
    try:
        return grammar.read_content_length(found[0]) if found else None
    except HeaderError:
        diagnose(data, max_size, max_headers)
        raise


__all__ = ["Message", "forward_request", "forward_response", "parse", "take_routes"]

V = TypeVar("V")
_new: Any = object.__new__

_EDITING = threading.RLock()
"""Held while a message changes, so that two threads which edit one lose none of what they do.

A finalizer may edit it too, in the same thread, wherever Python looks whether there is something else to do: at a call,
at the end of a loop's turn, when a list or a tuple is made. So an edit finds the line it is about, and makes the new
one; then it asks, in one straight line without a call, whether that line still stands there, and acts. If not, it
begins anew. Who reads needs no lock, and takes a copy of the lines, which is one step, to go through. It is `[*lines]`:
in `lines[:]` CPython up to 3.11 may collect with the copy half made, and crash where a finalizer shortens the list.
"""

if hasattr(os, "register_at_fork"):  # a child must not be born with the lock of a thread that it has not
    os.register_at_fork(before=_EDITING.acquire, after_in_parent=_EDITING.release, after_in_child=_EDITING.release)

_ALL = slice(None)


@final
class Message:
    """A SIP request or response; made by `parse`, `Message.request`, `Message.response` or `reply`.

    Header names are looked up in any case, a compact form and its long name as one. Values read are str: UTF-8, with
    surrogates for bytes that are not. Values written are str, int or a structured value; SerializeError, with nothing
    changed, for one that cannot be written. A structured value is read when it is asked for, and raises HeaderError
    where it breaks its grammar; None (an empty tuple for a list) says that there is no such header. What every message
    must have (RFC 3261 8.1.1), and `check` looks for, can be asked for by `need_via`, `need_from` and so on: they raise
    HeaderError, which an endpoint answers with 400, where they would be None.

    Attributes give structured values, methods text (but for `get_values`).
    """

    __slots__ = ("_body", "_body_at", "_cache", "_lines", "_raw", "_start")

    _raw: bytes | None  # the wire form, None once it was edited
    _start: Any  # the match of the start line
    _body_at: int  # where the body begins in _raw
    _lines: list[Line] | None  # the headers, once one was looked at
    _body: bytes | None  # the body, once it was edited
    _cache: dict[str, Any] | None  # structured values that were asked for

    def __new__(cls, *_arguments: object, **_named: object) -> "Message":
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
        """The Request-URI as on the wire; "" for a response. Assigning one to a response raises AttributeError.

        Text is written as it is, a URI in the form that it has in a Request-URI: without `method` and headers (RFC 3261
        16.6 step 2, 19.1.1).
        """
        return _text(self._start[5] or b"")

    @request_uri.setter
    def request_uri(self, uri: str | Uri) -> None:
        if not self.is_request:
            raise AttributeError("a response has no Request-URI")
        text = encode_uri(uri)
        with _EDITING:
            self._open()
            self._start = _START.match(b"%b %b %b\r\n" % (self._start[4], text, self._start[6]))
            self._cache = None

    def _method(self) -> str:
        return self.method

    def _scheme(self) -> str:
        """What stands before the first colon of the Request-URI, in lower case; "" where there is none."""
        scheme, colon, _ = self.request_uri.partition(":")
        return scheme.lower() if colon else ""

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
        raw = self._raw
        return raw[self._body_at :] if raw is not None else self._body or b""

    @body.setter
    def body(self, body: Body) -> None:
        data = encode_body(body)
        with _EDITING:
            self._open()
            self._body = data
            while True:
                self._set((b"Content-Length", b": %d\r\n" % len(data)))
                if self._body is data:
                    return
                data = self._body  # a finalizer has assigned another one

    # --- headers as text

    @property
    def headers(self) -> Headers:
        """A live view of the headers, ordered, case-insensitive and multi-valued."""
        return Headers(self)

    @headers.setter
    def headers(self, view: Headers) -> None:
        check_own_view(self, view)  # what `message.headers |= ...` assigns, when all is done

    @overload
    def get_header(self, name: str) -> str | None: ...
    @overload
    def get_header(self, name: str, default: V) -> str | V: ...
    def get_header(self, name: str, default: Any = None) -> Any:
        """The first value of `name`, or the default."""
        _, line = self._find(*_wanted(name))
        return default if line is None else _value(line)

    def get_headers(self, name: str) -> list[str]:
        """Every line of `name` as text, in order."""
        number, lower_name = _wanted(name)
        same_id = [line for line in [*self._table()] if _IDS[line[0]] == number]
        return [_value(line) for line in same_id if number or line[0].lower() == lower_name]

    def get_values(
        self, name: str, *, max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS
    ) -> tuple[HeaderValue | int | str, ...]:
        """Every value of `name`, over all its lines in order, read as `parse_header` reads them.

        A header that may have one value gives one for each line, so one where the message is in order; no header gives
        an empty tuple, and so does an empty list (`Supported:`). `Via`, `Contact` and `Route` give what `vias`,
        `contacts` and `routes` do, which are faster. Raises HeaderError where one of the lines is malformed, and with
        status 513, before any is read, where there are more than `max_values` (lines and commas) or `max_parts`: what
        stands between `;`, `&`, blanks, `(`, `%`, backslashes and quoted strings. What is quoted counts too. ValueError
        is for a limit that is none. Every other attribute that reads values has the default limits: 128 values and 512
        parts.
        """
        return parse_values(name, self.get_headers(name), max_values, max_parts)

    def set_header(self, name: str, value: HeaderInput) -> None:
        """Replace the first `name` and drop the others; append it where there is none.

        Several values make one line with commas between them. Those of WWW-Authenticate, Proxy-Authenticate,
        Authorization, Proxy-Authorization (RFC 3261 7.3.1) and Identity make a line each, here and wherever a header is
        written.
        """
        if type(value) is not str and (several := lines_apart(name, value)):
            with _EDITING:
                self.set_header(name, several[-1])
                for part in reversed(several[:-1]):
                    self.prepend_header(name, part)
            return
        line = _new_line(name, value)
        with _EDITING:
            self._check_length(line)
            self._set(line)

    def add_header(self, name: str, value: HeaderInput) -> None:
        """Append a header."""
        if type(value) is not str and (several := lines_apart(name, value)):
            with _EDITING:
                for part in several:
                    self.add_header(name, part)
            return
        line = _new_line(name, value)
        with _EDITING:
            self._check_length(line)
            self._open().append(line)
            self._cache = None

    def prepend_header(self, name: str, value: HeaderInput) -> None:
        """Insert a header before the first of its name, or before all where there is none."""
        if type(value) is not str and (several := lines_apart(name, value)):
            with _EDITING:
                for part in reversed(several):
                    self.prepend_header(name, part)
            return
        line = _new_line(name, value)
        number, lower_name = _IDS[line[0]], line[0].lower()
        with _EDITING:
            self._check_length(line)
            while True:
                at, first = self._find(number, lower_name)
                at, lines = max(at, 0), self._open()
                try:
                    if first is not None and lines[at] is not first:
                        continue
                except IndexError:
                    continue
                lines.insert(at, line)
                self._cache = None
                return

    def remove_header(self, name: str) -> int:
        """Remove every header of that name; how many there were."""
        return len(self._drop(name, True))

    def remove_first_header(self, name: str) -> bool:
        """Remove the first header of that name; whether there was one."""
        return bool(self._drop(name, False))

    def _take(self, name: str, every: bool) -> list[str]:
        """Remove the first header of a name, or every one; their values."""
        return [_value(line) for line in self._drop(name, every)]

    def _drop(self, name: str, every: bool) -> list[Line]:
        number, lower_name = _wanted(name)
        with _EDITING:
            while not every:
                at, line = self._find(number, lower_name)
                if line is None or self._replace(at, line, None):
                    return [] if line is None else [line]
            return self._remove(number, lower_name)

    def _items(self) -> list[tuple[str, str]]:
        start, raw = self._start, self._raw  # in this order: who edits takes raw away before
        if raw is not None:
            head = _text(raw[start.end() : self._body_at])
            found: list[tuple[str, str]] = _PAIRS.findall(head)
            whole = len(found) == head.count("\n") - 1  # no fold, no LF alone
            if whole and " \r" not in head and "\t\r" not in head:
                return found
        return [(line[0].decode(), _value(line)) for line in [*self._table()]]

    def _count(self) -> int:
        return len(self._table())

    def _has(self, number: int) -> bool:
        return self._find(number)[1] is not None

    def _times(self, number: int) -> int:
        return sum([_IDS[line[0]] == number for line in [*self._table()]])

    # --- the lines, and how they change: see _EDITING

    def _table(self) -> list[Line]:
        """The headers; taken apart at the first look."""
        lines = self._lines
        return self._make_table() if lines is None else lines

    def _make_table(self) -> list[Line]:
        with _EDITING:
            start, raw, end = self._start, self._raw, self._body_at
            if raw is not None:
                lines = _LINES.findall(raw, start.end(), end - 1 - (raw[end - 2] == 13))
                if self._lines is None:
                    self._lines = lines
            return self._lines  # type: ignore[return-value]  # what has no wire form has lines

    def _open(self) -> list[Line]:
        """Take the message apart before it changes; its headers."""
        lines, raw = self._table(), self._raw
        if raw is not None:
            body = raw[self._body_at :]
            if self._raw is not None:
                self._body = body
                self._raw = None
        return lines

    def _find(self, number: int, lower_name: bytes = b"") -> tuple[int, Line | None]:
        """Place and line of the first header of an id, or of a name without one."""
        ids = _IDS
        for at, line in enumerate([*self._table()]):
            if ids[line[0]] == number and (number or line[0].lower() == lower_name):
                return at, line
        return -1, None

    def _replace(self, at: int, old: Line, new: Line | None) -> bool:
        """Put a line in the place of another, or nothing for None; False where that stands there no more."""
        lines = self._open()
        try:
            if lines[at] is not old:
                return False
            if new is None:
                del lines[at]
            else:
                lines[at] = new
        except IndexError:
            return False
        self._cache = None
        return True

    def _remove(self, number: int, lower_name: bytes, kept: Line | None = None) -> list[Line]:
        """Remove every header of an id or a name but one: the first that is `kept`."""
        ids = _IDS
        while True:
            old = [*self._table()]
            same_id = [at for at, line in enumerate(old) if ids[line[0]] == number]
            places = [at for at in same_id if number or old[at][0].lower() == lower_name]
            gone = set(places) - set([at for at in places if old[at] is kept][:1])
            if not gone:
                return []
            new = [line for at, line in enumerate(old) if at not in gone]
            lines = self._open()
            if lines == old:
                lines[_ALL] = new
                self._cache = None
                return [old[at] for at in places if at in gone]

    def _set(self, line: Line) -> None:
        number, lower_name = _IDS[line[0]], line[0].lower()
        while True:
            at, first = self._find(number, lower_name)
            if first is None:
                self._open().append(line)
                self._cache = None
            elif not self._replace(at, first, line):
                continue
            elif any(last is line for last in self._table()[-1:]):
                return
            self._remove(number, lower_name, kept=line)
            return

    def _check_length(self, line: Line) -> None:
        """A Content-Length of the caller's own must be the body's."""
        if _IDS[line[0]] == CONTENT_LENGTH:
            check_content_length(_raw_value(line), len(self.body))

    def _first(self, number: int, read: Callable[[Line], V]) -> V | None:
        _, line = self._find(number)
        return None if line is None else read(line)

    # --- headers as structured values

    def _cached(self, header: str, read: Callable[[], V]) -> V:
        """A value that was read before, or is read now.

        An edit takes the cache away: a value that was read before it is put into one that nobody looks at any more.
        """
        cache = self._cache
        if cache is None:
            cache = self._cache = {}
        if header not in cache:
            cache[header] = read()
        value: V = cache[header]
        return value

    def _one(self, number: int, parser: Callable[[str], V]) -> V | None:
        header = HEADER_NAMES[number]
        return self._cached(header, lambda: self._first(number, lambda line: parse_value(header, parser, _value(line))))

    def _all(self, number: int, parser: Callable[[str], tuple[V, ...]]) -> tuple[V, ...]:
        header = HEADER_NAMES[number]
        values = [_value(line) for line in [*self._table()] if _IDS[line[0]] == number]
        check_counts(header, values)
        return tuple(item for value in values for item in parse_value(header, parser, value, counted=True))

    @property
    def uri(self) -> Uri | None:
        """The Request-URI's parts; None for a response. Raises HeaderError (RFC 3261 19.1)."""
        if not self.is_request:
            return None
        return self._cached("", lambda: parse_value("Request-URI", parse_uri, self.request_uri))

    @property
    def via(self) -> Via | None:
        """The top Via value (RFC 3261 20.42); None where there is none. Raises HeaderError."""
        return self._cached("Via", lambda: self._first(VIA, _first_via))

    @property
    def vias(self) -> tuple[Via, ...]:
        """Every Via value, the top one first. Raises HeaderError."""
        return self._all(VIA, parse_vias)

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
        return None if (value := self.from_) is None else value.tag

    @property
    def to_tag(self) -> str | None:
        """The To tag; None where there is none. Raises HeaderError."""
        return None if (value := self.to) is None else value.tag

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Every Contact value, `*` as `STAR` (RFC 3261 20.10). Raises HeaderError."""
        return self._all(CONTACT, parse_contacts)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """Every Route value (RFC 3261 20.34). Raises HeaderError."""
        return self._all(ROUTE, parse_hops)

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Every Record-Route value (RFC 3261 20.30). Raises HeaderError."""
        return self._all(RECORD_ROUTE, parse_hops)

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
        return self._first(CALL_ID, _value)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255 (RFC 3261 20.22). Raises HeaderError."""
        return self._first(MAX_FORWARDS, _max_forwards)

    @property
    def expires(self) -> int | None:
        """The Expires header in seconds; what is over 2**32 - 1 is that (RFC 3261 20.19). Raises HeaderError.

        That of one Contact is `contact.expires`, and comes first (RFC 3261 10.2.1.1).
        """
        return self._first(EXPIRES, lambda line: parse_value("Expires", parse_seconds, _value(line)))

    @property
    def content_length(self) -> int | None:
        """Content-Length in bytes (RFC 3261 20.14)."""
        return self._first(CONTENT_LENGTH, lambda line: grammar.read_content_length(_raw_value(line)))

    @property
    def content_type(self) -> ContentType | None:
        """The Content-Type value (RFC 3261 20.15). Raises HeaderError."""
        return self._one(CONTENT_TYPE, ContentType.parse)

    # --- the same, of what a message that `check` finds in order has

    @property
    def need_uri(self) -> Uri:
        """`uri`, where there must be one. Raises HeaderError, on a response too."""
        return need(self.uri, "Request-URI")  # type: ignore[return-value]  # mypy joins the classes

    @property
    def need_via(self) -> Via:
        """`via`, where there must be one. Raises HeaderError."""
        return need(self.via, "Via")

    @property
    def need_from(self) -> NameAddr:
        """`from_`, where there must be one. Raises HeaderError."""
        return need(self.from_, "From")

    @property
    def need_to(self) -> NameAddr:
        """`to`, where there must be one. Raises HeaderError."""
        return need(self.to, "To")

    @property
    def need_cseq(self) -> CSeq:
        """`cseq`, where there must be one. Raises HeaderError."""
        return need(self.cseq, "CSeq")

    @property
    def need_call_id(self) -> str:
        """`call_id`, where there must be one. Raises HeaderError."""
        return need(self.call_id, "Call-ID")

    # --- which transaction and which dialog it belongs to

    def transaction_key(self, method: str | None = None) -> str:
        """What the transaction is known by: alike in a request, its retransmissions and all its responses.

        It is text, for a dictionary and a log line: the branch and the sent-by of the top Via in lower case, the port
        written out, and the method (RFC 3261 17.1.3, 17.2.3). An ACK has the key of its INVITE, unless that was
        answered with a 2xx: then it is a transaction of its own. A CANCEL is one of its own too;
        `cancel.transaction_key("INVITE")` is the key of its INVITE (9.2).

        A branch by RFC 2543 names no transaction. The key has the number of the CSeq, the From tag and the Call-ID
        then; not the Request-URI, which a response has not, nor the To tag, which an INVITE and its ACK do not share.

        Raises HeaderError where one of these is malformed or missing, with status 400. Keep servers and clients in two
        dictionaries: who sends a request to itself has two transactions of one key.
        """
        return _keys.transaction_key(self, method)

    def dialog_id(self, *, sent: bool = False) -> str | None:
        """What the dialog is known by at one end of it; None outside of dialogs, where the To has no tag.

        It is text: the Call-ID, the local tag and the remote tag, these in lower case (RFC 3261 12). All messages of
        a dialog have one, the requests and responses of both directions, if `sent` says which of them this end has
        sent. At the other end the tags change places. Each fork of an INVITE answers with a tag, and so has a dialog,
        of its own. Raises HeaderError where one of these is malformed or missing; a missing From tag is empty (12.1.1).
        """
        return _keys.dialog_id(self, bool(sent))

    @property
    def route_set(self) -> tuple[NameAddr, ...]:
        """The route set of the dialog that this message makes, as its receiver has it (RFC 3261 12.1.1, 12.1.2).

        That is the Record-Route of a request in its order, that of a response in reverse. Raises HeaderError.
        """
        return _derived.route_set(self)

    def set_route(self, target: str | Uri, route_set: Sequence[NameAddr]) -> None:
        """Send this request to a remote target by a route set: its Request-URI and Route (RFC 3261 12.2.1.1).

        Where the first hop is a strict router (no `lr`), it is the Request-URI, and the target ends the Route. A Route
        that was there is replaced. It is to be sent to `Hop.of_uri` of the first of the route set, else of the target.
        Raises TypeError on a response, SerializeError for what cannot be written.
        """
        if not self.is_request:
            raise TypeError("set_route is for requests")
        uri, route = _derived.dialog_route(target, route_set)
        with _EDITING:
            self.request_uri = uri
            if route:
                self.set_header("Route", route)
            else:
                self.remove_header("Route")

    def ack(self, response: "Message") -> "Message":
        """The ACK to a response of 300 to 699 to this INVITE, with this INVITE as it was sent (RFC 3261 17.1.1.3).

        It has the INVITE's Request-URI, top Via, Route, From, Call-ID and the number of its CSeq, and the To of the
        response. The ACK to a 2xx is made as another request of the dialog is, with a branch of its own (13.2.2.4); for
        that, and for a 1xx, ValueError is raised. Raises TypeError on what is no INVITE, HeaderError where one of these
        is missing.
        """
        return _derived.ack(self, response)

    def cancel(self) -> "Message":
        """The CANCEL of this INVITE, with this INVITE as it was sent (RFC 3261 9.1).

        It has the INVITE's Request-URI, top Via, Route, From, To, Call-ID and the number of its CSeq. It may be sent
        when a provisional response has come. Raises TypeError on what is no INVITE, HeaderError where one of these is
        missing.
        """
        return _derived.cancel(self)

    # --- what a proxy does

    def push_via(self, value: str | Via) -> None:
        """Put a Via above the others (RFC 3261 16.6, step 8)."""
        self.prepend_header("Via", value)

    def pop_via(self) -> str | None:
        """Remove the top Via value, also one that cannot be read (RFC 3261 16.7, step 3).

        Returns its text; None where there is none. The value is `via`, before.
        """
        return self._pop(VIA)

    def push_record_route(self, value: str | NameAddr | Uri) -> None:
        """Put a Record-Route above the others (RFC 3261 16.6, step 4); a URI is put in `<>`."""
        self.prepend_header("Record-Route", value)

    def pop_route(self) -> str | None:
        """Remove the top Route value, also one that cannot be read (RFC 3261 16.4).

        Returns its text; None where there is none. The value is `routes[0]`, before.
        """
        return self._pop(ROUTE)

    def _pop(self, number: int) -> str | None:
        with _EDITING:
            while True:
                at, line = self._find(number)
                if line is None:
                    return None
                first, rest = split_first(_value(line))
                if self._replace(at, line, _line(line[0], rest) if rest else None):
                    return first

    def stamp_received(self, host: str, port: int) -> bool:
        """Write into the top Via where the request came from (RFC 3261 18.2.1, RFC 3581 4).

        `host` is the source address without brackets, `port` the source port. What the sender wrote into `received` and
        `rport` is overwritten, in a Via that cannot be read too. Returns whether the response goes to that address and
        port (there is an `rport`); otherwise it goes to that address and the port of the sent-by.
        """
        host, port = check_source(host, port)
        with _EDITING:
            while True:
                at, line = self._find(VIA)
                if line is None:
                    return True
                value = _value(line)
                stamped, asked = stamp(value, host, port)
                if stamped == value or self._replace(at, line, _line(line[0], stamped)):
                    return asked

    def decrement_max_forwards(self) -> int:
        """Count Max-Forwards down and return what is left; 70 is added where there is none (RFC 3261 16.6, step 3).

        Raises HeaderError where it is malformed, and with status 483 where it is 0.
        """
        with _EDITING:
            while True:
                at, line = self._find(MAX_FORWARDS)
                if line is None:
                    self.add_header("Max-Forwards", INITIAL_MAX_FORWARDS)
                    return INITIAL_MAX_FORWARDS
                left = _max_forwards(line)
                if left == 0:
                    raise HeaderError("Max-Forwards is 0", "Max-Forwards", 0, 483)
                if self._replace(at, line, (line[0], b": %d\r\n" % (left - 1))):
                    return left - 1

    _sign = staticmethod(sign)

    def _put_hop(self, key: bytes, leg: Leg, record_routes: tuple[str, ...]) -> None:
        put_hop(self, key, leg, record_routes)

    # --- building

    @classmethod
    def request(cls, method: str, uri: str | Uri, *, headers: HeaderSource = (), body: Body = b"") -> "Message":
        """A new request with these headers, in this order, and a Content-Length.

        A URI is written in the form that `request_uri` has. Raises SerializeError where a part cannot be written (RFC
        3261 7.1).
        """
        return _build(b"%b %b SIP/2.0\r\n" % (encode_method(method), encode_uri(uri)), [], headers, encode_body(body))

    @classmethod
    def response(
        cls, status: int, reason: str | None = None, *, headers: HeaderSource = (), body: Body = b""
    ) -> "Message":
        """A new response with these headers, in this order, and a Content-Length; the reason is IANA's by default.

        Raises SerializeError where a part cannot be written (RFC 3261 7.2).
        """
        return _build(b"SIP/2.0 %b\r\n" % encode_status(status, reason), [], headers, encode_body(body))

    def reply(
        self,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: HeaderSource = (),
        body: Body = b"",
    ) -> "Message":
        """A response to this request, with what RFC 3261 8.2.6 copies from it, then `headers`, then Content-Length.

        A To without a tag gets one when the status is over 100: `to_tag`, or a keyed hash of what identifies the
        request, so that a retransmission is answered alike (8.2.7). What is copied cannot be among `headers` too
        (SerializeError), but for Timestamp: the caller's, which has the delay, takes the place of the copied one
        (8.2.6.1). Raises TypeError on a response.
        """
        if not self.is_request:
            raise TypeError("reply is for requests")
        status = need_int(status, "status")
        start = b"SIP/2.0 %b\r\n" % encode_status(status, reason)
        tag = None if to_tag is None else encode_tag(to_tag)
        data = encode_body(body)
        asked = [*self._table()]  # one state of the request for all that is copied
        lines = [_tidy(line) for line in asked if _IDS[line[0]] == VIA]
        for number in (FROM, TO, CALL_ID, CSEQ):
            line = _first_of(asked, number)
            if line is not None:
                needs_tag = number == TO and status > 100 and not has_tag(_value(line))
                lines.append(_tagged(line, tag or _make_tag(asked)) if needs_tag else _tidy(line))
        copied = _copied(status, self.method)
        lines += [_tidy(line) for line in asked if _IDS[line[0]] == copied]
        return _build(start, lines, headers, data)

    # --- checking and writing

    def _is_in_order(self) -> bool:
        return not self.check()

    def check(self) -> list[Violation]:
        """What the header table alone shows to be wrong; see `sipstack.validation.check`."""
        return check_message(self)

    def validate(
        self,
        *,
        schemes: Collection[str] = URI_SCHEMES,
        max_values: int = MAX_VALUES,
        max_parts: int = MAX_PARTS,
    ) -> list[Violation]:
        """Everything a server would check before it acts; see `sipstack.validation.validate`.

        `schemes` are those of Request-URIs that are served. The limits are those of `get_values`, for all headers with
        a structure together: over them it is a finding with status 513, and no value is read. ValueError is for a limit
        that is none.
        """
        return validate_message(self, schemes=schemes, max_values=max_values, max_parts=max_parts)

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; the bytes it was parsed from where nothing was edited."""
        raw = self._raw
        if raw is not None:
            return raw
        with _EDITING:
            lines, start, body = [*self._table()], self._start, self._body
        return b"".join([start[0], *chain.from_iterable(lines), b"\r\n", body or b""])

    __bytes__ = to_bytes

    def copy(self) -> "Message":
        """Another message, equal to this one, that is edited on its own."""
        with _EDITING:
            raw, start, body = self._raw, self._start, self._body
            lines = None if self._lines is None else [*self._lines]
        return _message(raw, start, self._body_at, lines, body)

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

    def describe(self) -> str:
        """The message for people, in lines: each header with what it was understood as, and what is wrong.

        It is what `sipstack parse` shows, and a notebook. Nothing in it moves a terminal's cursor. A line that begins
        with `!` is a reason to refuse the message, one with `-` is to be ignored: see `validate`.

        A value of more than 2,048 characters is cut, and so is what is behind 16,384 characters of headers and body.
        """
        return describe(self)

    def _repr_html_(self) -> str:
        return describe_as_html(self)

    def __repr__(self) -> str:
        what = f"{self.method} {self.request_uri}" if self.is_request else f"{self.status_code} {self.status_text}"
        return f"<Message {cut(what)} Call-ID={cut(self.call_id)}>"


def _read_only(name: str) -> Any:
    """A property that says what to do instead of setting it."""

    def refuse(_message: Message, *_value: object) -> None:
        raise AttributeError(INSTEAD[name])

    return property(getattr(Message, name).fget, refuse, refuse)


for _name in INSTEAD:
    setattr(Message, _name, _read_only(_name))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _wanted(name: str) -> tuple[int, bytes]:
    """A header name to look for: its id, or 0 and its bytes in lower case."""
    known = _NAMES.get(name) if type(name) is str else None
    if known:
        return known[0], b""
    text = need_str(name, "header name")
    return header_id(text), text.encode("utf-8", "replace").lower()


def _first_of(lines: list[Line], number: int) -> Line | None:
    return next((line for line in lines if _IDS[line[0]] == number), None)


def _line(name: bytes, value: str) -> Line:
    """A header of a value that was read from one."""
    return name, b": %b\r\n" % value.encode("utf-8", "surrogateescape")


def _new_line(name: str, value: HeaderInput) -> Line:
    """A caller's header, checked."""
    known = _NAMES.get(name) if type(name) is str else None
    start = known[1] if known else encode_name(name)
    data = value.encode("ascii") if type(value) is str and _WORDS.fullmatch(value) else encode_value(name, value)
    return start, b": %b\r\n" % data


def _raw_value(line: Line) -> bytes:
    rest = line[1]
    return rest[rest.index(b":") + 1 :].strip(b" \t\r\n")


def _unfolded(line: Line) -> bytes:
    value = _raw_value(line)
    return unfold(value) if b"\n" in value else value


def _value(line: Line) -> str:
    return _text(_unfolded(line))


def _first_via(line: Line) -> Via:
    return parse_value("Via", Via.parse, split_first(_value(line))[0])


def _max_forwards(line: Line) -> int:
    value = _SMALL.get(_raw_value(line))
    return parse_value("Max-Forwards", parse_max_forwards, _value(line)) if value is None else value


def _tidy(line: Line) -> Line:
    """A header as it may be copied into another message: not folded, and ended by CRLF."""
    name, rest = line
    if rest.endswith(b"\r\n") and rest.index(b"\n") == len(rest) - 1:
        return line
    return name, b": %b\r\n" % unfold(_raw_value(line))


def _tagged(line: Line, tag: bytes) -> Line:
    """A To with a tag."""
    return _line(line[0], add_tag(_value(line), tag.decode("ascii")))


def _make_tag(request: list[Line]) -> bytes:
    """A keyed hash of what identifies a request, so that its retransmissions and its CANCEL (9.2) get the same.

    That is its Call-ID, its top Via, which a CANCEL has alone (9.1), and the number of its CSeq.
    """
    call_id, via, cseq = [_unfolded(_first_of(request, number) or _NO_LINE) for number in (CALL_ID, VIA, CSEQ)]
    if b"," in via:
        via = split_first(_text(via))[0].encode("utf-8", "surrogateescape")
    number = cseq.replace(b"\t", b" ").partition(b" ")[0].lstrip(b"0")
    identity = b"\n".join([TAG_KEY, call_id, via, number])
    return b"%016x" % (hash(identity) & 0xFFFF_FFFF_FFFF_FFFF)


def _copied(status: int, method: str) -> int:
    """The header that a reply copies besides the five of every reply; -1 for none."""
    if status == 100:
        return TIMESTAMP  # RFC 3261 8.2.6.1
    return RECORD_ROUTE if 101 <= status <= 299 and method in DIALOG_METHODS else -1


def _build(start: bytes, lines: list[Line], headers: HeaderSource, body: bytes) -> Message:
    """A message of a start line, headers that were copied, and the caller's headers."""
    message = _message(None, _START.match(start), 0, lines, body)
    copied = {_IDS[line[0]] for line in lines}
    for pair in header_items(headers):
        name, value = pair if type(pair) is tuple and len(pair) == 2 else header_pair(pair)
        for part in (value,) if type(value) is str else lines_apart(name, value) or (value,):
            line = _new_line(name, part)
            number = _IDS[line[0]]
            if number == CONTENT_LENGTH:
                check_content_length(_raw_value(line), len(body))
            if number in copied:
                if number != TIMESTAMP:
                    refuse_copied(name)
                copied.remove(number)  # the caller's, which has the delay, is in its place (RFC 3261 8.2.6.1)
                lines[:] = [line for line in lines if _IDS[line[0]] != number]
            lines.append(line)
    if _first_of(lines, CONTENT_LENGTH) is None:
        lines.append((b"Content-Length", b": %d\r\n" % len(body)))
    return message


def _restore(data: bytes) -> Message:
    """What a pickle calls: without limits, for the message was one already."""
    return _parse_any(data, sys.maxsize, sys.maxsize)
