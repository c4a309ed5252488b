"""Messages on a byte stream (RFC 3261 18.3, RFC 5626 4.4.1), and the datagrams on a SIP port that are no messages.

Nothing here opens a connection. `StreamParser` is fed with bytes; `read_message` and `read_message_from` read one
message from an asyncio reader and from a blocking file.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, Final, NoReturn, cast
from weakref import WeakKeyDictionary

from ._diagnose import check_limits
from ._grammar import CONTENT_LENGTHS, EMPTY_LINES, HEAD_END, read_content_length
from ._limits import LINES_A_HEADER, MAX_HEADERS, MAX_SIZE
from .errors import HeaderError, ParseError
from .message import Message, parse

__all__ = ["StreamParser", "is_signaling_noise_datagram", "is_stun", "read_message", "read_message_from"]

_NO_HEAD_YET: Final = -1
_LINE: Final = -1
_BEGINNING: Final = -2
_FEW: Final = len(b"A a SIP/2.0\nl:0\n")  # bytes, and no message has so few
_EMPTY_LINES: Final = re.compile(EMPTY_LINES.encode())
_EMPTY_LINE: Final = (b"\r\n", b"\n")
_HEAD_END: Final = re.compile(HEAD_END.encode())
_CONTENT_LENGTHS: Final = re.compile(CONTENT_LENGTHS.encode())
_NOISE: Final = b" \t\r\n\0"
_FIRST_OF_NOISE: Final = _NOISE + b"j"
_STUN_COOKIE: Final = b"\x21\x12\xa4\x42"
_STUN_HEADER: Final = 20  # bytes

KeepAliveHook = Callable[[int], object]
"""Called with how many pings (a CRLFCRLF each, answered with a CRLF each) or pongs (a CRLF each) came together."""


def is_signaling_noise_datagram(data: bytes | bytearray | memoryview) -> bool:
    """Whether a datagram is what devices send to keep a NAT binding open, and no message.

    Nothing at all; CRLF, blanks and NULs in any number (RFC 5626 4.4, and what phones make of it); the `jaK` of some
    softphones.
    """
    # A message starts with a letter: it is told apart without a copy.
    return bytes(data[:1]) in _FIRST_OF_NOISE and bytes(data).strip(_NOISE) in (b"", b"jaK")


def is_stun(data: bytes | bytearray | memoryview) -> bool:
    """Whether a datagram is a STUN message (RFC 8489 5): two zero bits, the magic cookie, a length in words."""
    head = bytes(data[:_STUN_HEADER])
    return len(head) == _STUN_HEADER and head[0] < 0x40 and head[4:8] == _STUN_COOKIE and head[3] & 3 == 0


class StreamParser:
    """Cuts a byte stream into messages; does no I/O.

    `feed` takes bytes as they come and gives an iterator over the messages that are complete. How the bytes were
    split makes no difference. Where the stream breaks a rule, the iterator first gives the messages before that place
    and then raises ParseError: the rest cannot be framed, the connection is to be closed, and every later `feed`
    raises the same error. An error's `offset` counts from the first byte of the message it is in.

    Every message needs a Content-Length (RFC 3261 18.3). Empty lines between messages are keep-alives (RFC 5626
    4.4.1) and are swallowed: the side that accepted the connection gets pings, each a CRLFCRLF that is to be answered
    with a CRLF; the side that opened it (`client=True`) gets pongs, each a CRLF.

    Attributes:
        pings: CRLFCRLFs so far, 0 on the client's side.
        pongs: CRLFs so far, 0 on the server's side.
    """

    __slots__ = (
        "_buffer", "_empty_lines", "_error", "_lines", "_max_headers", "_max_size", "_on_keepalive", "_searched",
        "_wanted", "client", "pings", "pongs",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_size: int = MAX_SIZE,
        max_headers: int = MAX_HEADERS,
        client: bool = False,
        on_keepalive: KeepAliveHook | None = None,
    ) -> None:
        """Begin a stream. `max_size` (bytes of one message) bounds the buffer.

        `on_keepalive` is called with the number of pings, or of pongs, that came together: once for a run of them.
        A head has at most four times `max_headers` lines, folded ones too.
        Raises ValueError for a limit that is none.
        """
        max_size, max_headers = check_limits(max_size, max_headers)
        self.client = client
        self.pings = self.pongs = 0
        self._max_size = max_size
        self._max_headers = max_headers
        self._on_keepalive = on_keepalive
        self._buffer = bytearray()
        self._searched = 0  # no head ends before this place
        self._lines = 0  # in front of it
        self._wanted = _NO_HEAD_YET  # the length of the message whose head is complete
        self._empty_lines = 0  # since the last message
        self._error: ParseError | None = None

    def __repr__(self) -> str:
        state = f", broken: {self._error}" if self._error is not None else ""
        wanted = f" of {self._wanted}" if self._wanted != _NO_HEAD_YET else ""
        return f"<StreamParser {'client' if self.client else 'server'}, {len(self._buffer)}{wanted} bytes wait{state}>"

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Take bytes; an iterator over the messages that are complete with them.

        What an abandoned iterator did not give, the next one does. Raises ParseError while it is iterated.
        """
        if self._error is None:
            self._buffer += data
        return self._messages()

    def eof(self) -> None:
        """Say that the stream ended. Raises ParseError where it ended inside a message, or was broken before."""
        if self._error is not None:
            self._fail(self._error)
        if self._wanted == _NO_HEAD_YET and self._searched == 0:
            self._skip_empty_lines()
        if self._buffer:
            self._fail(ParseError("stream ended inside a message", len(self._buffer)))

    @property
    def buffered(self) -> int:
        """How many bytes wait for the rest of their message."""
        return len(self._buffer)

    def _messages(self) -> Iterator[Message]:
        while True:
            if self._error is not None:
                self._fail(self._error)
            try:
                message = self._next()
            except ParseError as error:
                self._fail(error)
            if message is None:
                return
            yield message

    def _fail(self, error: ParseError) -> NoReturn:
        self._error = error
        self._buffer.clear()
        raise error.with_traceback(None)  # else it grows each time

    def _next(self) -> Message | None:
        """The next message, None where it is not complete."""
        if self._wanted == _NO_HEAD_YET and not self._find_head():
            return None
        if len(self._buffer) < self._wanted:
            return None
        data = bytes(self._buffer[: self._wanted])
        message = parse(data, max_size=self._max_size, max_headers=self._max_headers)
        del self._buffer[: self._wanted]
        self._wanted, self._searched, self._lines = _NO_HEAD_YET, 0, 0
        return message

    def _find_head(self) -> bool:
        """Whether the buffer holds a whole head; the message's length is known then."""
        if self._searched == 0:
            self._skip_empty_lines()
            if self._buffer == b"\r":
                return False
        found = _HEAD_END.search(self._buffer, max(self._searched - 2, 0))
        end = len(self._buffer) if found is None else found.end()
        self._lines += self._buffer.count(b"\n", self._searched, min(end, self._max_size))
        if self._lines > LINES_A_HEADER * self._max_headers:
            raise _too_many_lines(self._buffer, LINES_A_HEADER * self._max_headers)
        if found is None:
            self._searched = len(self._buffer)
            if len(self._buffer) > self._max_size:
                raise _too_large(self._max_size)
            return False
        head = bytes(self._buffer[:end])
        self._wanted = _message_length(head, self._max_size, self._max_headers)
        self._empty_lines = 0
        return True

    def _skip_empty_lines(self) -> None:
        """Take the empty lines off the buffer, all at once, and report what they are."""
        while lines := _take_empty_lines(self._buffer):  # first: the hook may raise, or feed more
            before, self._empty_lines = self._empty_lines, self._empty_lines + lines
            count = _count_keepalives(before, lines, self.client)
            if self.client:
                self.pongs += count
            else:
                self.pings += count
            if count and self._on_keepalive is not None:
                self._on_keepalive(count)


def _take_empty_lines(data: bytearray) -> int:
    """Take the empty lines off the front of some data; how many there were."""
    if not data.startswith(_EMPTY_LINE):
        return 0
    end = _EMPTY_LINES.match(data).end()  # type: ignore[union-attr]  # it matches nothing too
    lines = data.count(b"\n", 0, end)
    del data[:end]
    return lines


def _count_keepalives(before: int, lines: int, client: bool) -> int:
    """How many pings, or pongs on the client's side, are in empty lines that follow others."""
    return lines if client else (before + lines) // 2 - before // 2


def _too_large(max_size: int) -> ParseError:
    return ParseError("message is too large", max_size, 513)


def _too_many_lines(head: bytes | bytearray, most: int) -> ParseError:
    end = 0
    for _ in range(most + 1):
        end = head.find(b"\n", end) + 1
    return ParseError("too many lines", end, 513)


def _message_length(head: bytes, max_size: int, max_headers: int) -> int:
    """The length of the message that a complete head begins, by its Content-Length.

    Raises ParseError where it has none, or one that `parse` would refuse: parse itself says why, if it can.
    """
    try:
        lengths = {read_content_length(value) for value in _CONTENT_LENGTHS.findall(head)}
    except HeaderError:
        lengths = set()
    if len(lengths) == 1:
        wanted = len(head) + lengths.pop()
        if wanted > max_size:
            raise _too_large(max_size)
        return wanted
    parse(head, max_size=max_size, max_headers=max_headers)
    raise ParseError("no Content-Length, which a stream needs", len(head))


class _Half:
    """What has been read of a message: of one whose reading was cancelled, the next call goes on with it.

    Attributes:
        wanted: the length of the message, where its head is complete; `data` may hold a part of the body too.
        empty_lines: those in front of it.
        worked: what was read since the loop had its turn, in bytes and `_READ` for each read.
    """

    __slots__ = ("__weakref__", "data", "empty_lines", "lines", "wanted", "worked")

    def __init__(self) -> None:
        self.worked = 0
        self.end()

    def end(self) -> None:
        """The next message begins."""
        self.data = bytearray()
        self.wanted = _NO_HEAD_YET
        self.empty_lines = self.lines = 0

    def skip(self, empty_lines: int, client: bool) -> int:
        """Take note of empty lines that were taken off; how many pings or pongs they are."""
        before, self.empty_lines = self.empty_lines, self.empty_lines + empty_lines
        self.lines -= empty_lines
        return _count_keepalives(before, empty_lines, client)


_HALVES: "Final[WeakKeyDictionary[asyncio.StreamReader, _Half]]" = WeakKeyDictionary()
_READ: Final = 64
_TURN: Final = 16_384  # less than a millisecond of empty lines, or of messages


def _half_of(reader: asyncio.StreamReader) -> _Half:
    with contextlib.suppress(TypeError):  # a reader of another kind, which cannot be a key
        half = _HALVES.get(reader)
        if half is None:
            half = _HALVES[reader] = _Half()
        return half
    return _Half()


def _reading(
    half: _Half, max_size: int, max_headers: int, client: bool, on_keepalive: KeepAliveHook | None
) -> Generator[int, bytes, Message | None]:
    """Read one message from what is sent in: a line for a `_LINE`, else up to that many bytes.

    For a `_BEGINNING` it is either, a line or up to `_FEW` bytes: behind an empty line there may be thousands.
    """
    max_size, max_headers = check_limits(max_size, max_headers)
    data = half.data
    while half.wanted == _NO_HEAD_YET:
        chunk = yield _BEGINNING if half.empty_lines and not data else _LINE
        if not chunk and not data:
            return None
        if not chunk:
            raise ParseError("stream ended inside a message", len(data))
        before = len(data)
        data += chunk
        half.lines += chunk.count(b"\n")
        if before <= 1 and (empty := _take_empty_lines(data)):
            count = half.skip(empty, client)
            if count and on_keepalive is not None:
                on_keepalive(count)
        if len(data) > max_size:
            raise _too_large(max_size)
        if half.lines > LINES_A_HEADER * max_headers:
            raise _too_many_lines(data, LINES_A_HEADER * max_headers)
        if (len(chunk) <= 2 or before <= _FEW) and (found := _HEAD_END.search(data, max(before - 2, 0))):
            half.wanted = _message_length(bytes(data[: found.end()]), max_size, max_headers)
    while len(data) < half.wanted:
        chunk = yield half.wanted - len(data)
        if not chunk:
            raise ParseError("stream ended inside a message", len(data))
        data += chunk
    return parse(data, max_size=max_size, max_headers=max_headers)


async def read_message(
    reader: asyncio.StreamReader,
    *,
    max_size: int = MAX_SIZE,
    max_headers: int = MAX_HEADERS,
    client: bool = False,
    on_keepalive: KeepAliveHook | None = None,
) -> Message | None:
    """Read one message from an asyncio reader; None where the stream ends before one begins.

    Bytes behind the message stay in the reader. Keep-alives are as in StreamParser, but heard a few at a time. Other
    tasks have their turn every 16 KiB, and more often where lines are short, also where nothing is waited for. Raises
    ParseError where the stream breaks a rule or ends inside a message: close the connection then. ValueError for a
    limit that is none.

    It may be cancelled, as a timeout does: nothing is lost, the next call for this reader goes on where this one was.
    """
    half = _half_of(reader)
    reading = _reading(half, max_size, max_headers, client, on_keepalive)
    wanted = next(reading)
    try:
        while True:
            if half.worked > _TURN:
                half.worked = 0
                await asyncio.sleep(0)  # a reader that has what it is asked for does not wait
            try:
                if wanted == _LINE:
                    data = await reader.readline()
                else:
                    data = await reader.read(_FEW if wanted == _BEGINNING else wanted)
            except ValueError as error:  # the line is longer than the reader's own limit
                raise _too_large(max_size) from error
            half.worked += _READ + len(data)
            wanted = reading.send(data)
    except StopIteration as done:
        half.end()
        return cast("Message | None", done.value)
    except ParseError:
        half.end()
        raise


def read_message_from(
    file: BinaryIO,
    *,
    max_size: int = MAX_SIZE,
    max_headers: int = MAX_HEADERS,
    client: bool = False,
    on_keepalive: KeepAliveHook | None = None,
) -> Message | None:
    """Read one message from a blocking binary file, such as `socket.makefile("rb")`; the same as read_message."""
    reading = _reading(_Half(), max_size, max_headers, client, on_keepalive)
    wanted = next(reading)
    while True:
        data = file.read(wanted) if wanted > 0 else file.readline(max_size + 1)  # which does not wait for more
        if wanted < 0 and len(data) > max_size:
            raise _too_large(max_size)
        try:
            wanted = reading.send(data)
        except StopIteration as done:
            return cast("Message | None", done.value)
