"""Messages on a byte stream, whatever its pieces (RFC 3261 18.3, RFC 5626 4.4.1); datagrams that are no messages."""

import asyncio
import contextlib
import gc
import io
import itertools
import socket
import threading
import time
import weakref

import pytest
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st

from sipstack import ParseError, stream
from sipstack.stream import (
    StreamParser,
    is_signaling_noise_datagram,
    is_stun,
    read_message,
    read_message_from,
)


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


PING = b"\r\n\r\n"
COMMON = (
    b"Via: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INFO\r\n"
)


@pytest.fixture(autouse=True, scope="module")
def _both(impl):
    """Each test runs over both implementations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "parse", impl.parse)
        yield


def message(body=b"", length=None, head=COMMON):
    length = b"Content-Length: %d\r\n" % len(body) if length is None else length
    return b"INFO sip:h SIP/2.0\r\n" + head + length + b"\r\n" + body


PIPELINE = [
    message(b"hello\r\n\r\nINFO sip:h SIP/2.0\r\n\r\n"),
    message(length=b"l: 0\r\n"),
    b"SIP/2.0 200\r\nl  :\r\n 0003\r\n\r\n\r\n\r",
    message(b"x", b"CONTENT-length\t: 1\r\nL:0001\r\n"),
    message().replace(b"\r\n", b"\n"),
    message(b"\0\xff", head=b"X: y\r\n Content-Length: 77\r\n"),
]
GAPS = [b"\r\n\r\n", b"", b"\r\n", b"\n", b"\r\n\r\n\r\n\r\n\r\n", b"", b"\r\n\r\n"]
STREAM = b"".join(gap + part for gap, part in zip(GAPS, [*PIPELINE, b""], strict=True))
STREAM_LINES = b"".join(GAPS).count(b"\n")


def feed_all(parser, pieces):
    return [bytes(found) for piece in pieces for found in parser.feed(piece)]


def all_of(pieces, **options):
    parser = StreamParser(**options)
    found = feed_all(parser, pieces)
    parser.eof()
    return found, parser.pings, parser.pongs


EXPECTED = (PIPELINE, 1 + 2 + 1, 0)


def test_one_piece():
    assert all_of([STREAM]) == EXPECTED


def test_byte_by_byte():
    assert all_of([STREAM[at : at + 1] for at in range(len(STREAM))]) == EXPECTED


def test_every_split():
    for at in range(len(STREAM) + 1):
        assert all_of([STREAM[:at], STREAM[at:]]) == EXPECTED, at


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_splits(places):
    places = [0, *sorted(places), len(STREAM)]
    assert all_of([STREAM[one:two] for one, two in itertools.pairwise(places)]) == EXPECTED


@given(st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_a_broken_stream_gives_the_same_however_it_is_split(sizes, ends):
    """The messages in front of the broken place, and the same error."""
    broken = STREAM + message(b"ok") + message(length=b"Content-Length: 5x\r\n") + message()
    pieces, at = [], 0
    while at < len(broken):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(broken[at : at + size])
        at += size
    parser, found = StreamParser(), []
    with pytest.raises(ParseError) as caught:  # noqa: PT012
        for piece in pieces:
            for one in parser.feed(piece):
                found.append(bytes(one))  # noqa: PERF401 - what came before the error counts
    assert found == [*PIPELINE, message(b"ok")]
    assert caught.value.reason == "Content-Length is not a number"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes(kind):
    assert all_of([kind(STREAM)]) == EXPECTED


def test_what_an_abandoned_iterator_did_not_give_comes_next():
    parser = StreamParser()
    assert bytes(next(parser.feed(message(b"1") + message(b"2")))) == message(b"1")
    assert feed_all(parser, [message(b"3")[:5]]) == [message(b"2")]
    assert parser.buffered == 5
    assert feed_all(parser, [message(b"3")[5:]]) == [message(b"3")]
    assert parser.buffered == 0


def test_keep_alives():
    heard = []
    server = StreamParser(on_keepalive=heard.append)
    assert feed_all(server, [b"\r", b"\n", b"\r\n", b"\r\n"]) == []
    assert (server.pings, server.pongs, heard) == (1, 0, [1])
    assert feed_all(server, [b"\r\n", message(), b"\r\n"]) == [message()]
    assert (server.pings, heard) == (2, [1, 1])
    assert feed_all(server, [message(), b"\r\n"]) == [message()]
    assert server.pings == 2, "a CRLF before a message and one behind it are no ping"
    server.eof()
    client = StreamParser(client=True, on_keepalive=heard.append)
    assert feed_all(client, [b"\r\n", message(), b"\r\n\r\n"]) == [message()]
    assert (client.pings, client.pongs, heard[2:]) == (0, 3, [1, 2])


def test_every_valid_message_of_the_corpus_is_framed(corpus, impl):
    framed = 0
    for path in sorted(corpus.glob("*/*.dat")):
        data = path.read_bytes()
        try:
            expected = impl.parse(data)
        except ParseError:
            continue
        if expected.get_header("Content-Length") is None:
            continue
        parser = StreamParser()
        found = next(parser.feed(data))
        assert found == expected, path.name
        framed += 1
    assert framed > 40


def test_a_second_request_in_one_datagram_is_the_next_message_of_a_stream(corpus):
    """RFC 4475 dblreq. Its SDP has a blank too many, so that Content-Length ends one byte early."""
    found = StreamParser().feed((corpus / "rfc4475/dblreq.dat").read_bytes())
    assert [(one.method, len(one.body)) for one in (next(found), next(found))] == [("REGISTER", 0), ("INVITE", 150)]


LENGTH = len(message(length=b"Content-Length: ")) - 2  # where its value starts


@pytest.mark.parametrize(
    ("data", "reason", "offset", "status"),
    [
        (message(length=b""), "no Content-Length, which a stream needs", len(message(length=b"")), 400),
        (message(length=b"Content-Length: -1\r\n"), "Content-Length is not a number", LENGTH, 400),
        (message(length=b"Content-Length: +5\r\n"), "Content-Length is not a number", LENGTH, 400),
        (message(length=b"Content-Length: 1_0\r\n"), "Content-Length is not a number", LENGTH, 400),
        (message(length=b"Content-Length: \xd9\xa5\r\n"), "Content-Length is not a number", LENGTH, 400),
        (message(length=b"Content-Length:\r\n"), "Content-Length is not a number", LENGTH - 1, 400),
        (message(length=b"Content-Length: 1\r\n 0\r\n"), "Content-Length is not a number", LENGTH, 400),
        (message(length=b"Content-Length: 4294967328\r\n"), "Content-Length is too large", LENGTH, 400),
        (message(length=b"Content-Length: 9223372036854775808\r\n"), "Content-Length is too large", LENGTH, 400),
        (message(length=b"Content-Length: " + b"9" * 10_000 + b"\r\n"), "Content-Length is too large", LENGTH, 400),
        (message(length=b"Content-Length: 5\r\nl: 6\r\n"), "two Content-Length headers differ", LENGTH + 6, 400),
        (message(length=b"Content-Length: 65535\r\n"), "message is too large", 65535, 513),
        (message(length=b"Content-Length: 999999999\r\n"), "message is too large", 65535, 513),
        (message(head=b"X: " + b"a" * 65536 + b"\r\n"), "message is too large", 65535, 513),
        (b"a" * 65536, "message is too large", 65535, 513),
        (b"GET / HTTP/1.1\r\n\r\n", None, None, 400),
        (b"jaK\r\n\r\n", None, None, 400),
        (b"\0\r\n\r\n", None, None, 400),
        (message(head=b"X: y\r\n" * 257), "too many headers", None, 513),
        (message(head=b"no colon\r\n"), "header line has no colon", None, 400),
    ],
)
def test_broken(data, reason, offset, status):
    for pieces in ([data], [data[at : at + 997] for at in range(0, len(data), 997)]):
        parser, found = StreamParser(), []
        with pytest.raises(ParseError) as caught:  # noqa: PT012
            for piece in [message(b"1"), *pieces]:
                for one in parser.feed(piece):
                    found.append(bytes(one))  # noqa: PERF401
        error = caught.value
        assert found == [message(b"1")]
        assert reason in (None, error.reason)
        assert offset in (None, error.offset)
        assert error.status == status
        assert parser.buffered == 0
        for again in (lambda parser=parser: list(parser.feed(message())), parser.eof):
            with pytest.raises(ParseError) as caught:
                again()
            assert caught.value is error


def test_own_limits():
    big = message(b"x" * 70_000)
    assert feed_all(StreamParser(max_size=100_000), [big]) == [big]
    with pytest.raises(ParseError, match="too many headers"):
        list(StreamParser(max_headers=3).feed(message()))


@pytest.mark.parametrize("lines", [1024, 1025, 3000])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_lines_of_a_head_are_limited(lines, size):
    whole = message(head=COMMON + b"X: y\r\n" + b" z\n" * (lines - 9))
    assert whole.count(b"\n") == lines
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    if lines == 1024:
        assert all_of(pieces)[0] == [whole] == [bytes(read_message_from(io.BytesIO(whole)))]
        return
    place = len(b"\n".join(whole.split(b"\n")[:1025])) + 1
    for read in (lambda: all_of(pieces), lambda: read_message_from(io.BytesIO(whole))):
        with pytest.raises(ParseError) as caught:
            read()
        assert caught.value.args == ("too many lines", place, 513)
    assert all_of(pieces, max_headers=lines)[0] == [whole]
    assert bytes(read_message_from(io.BytesIO(whole), max_headers=lines)) == whole


def test_the_lines_of_each_head_count():
    whole = message(head=COMMON + b"X: y\r\n" + b" z\n" * 600)
    assert all_of([whole * 3])[0] == [whole] * 3
    assert all_of([bytes([byte]) for byte in whole * 3])[0] == [whole] * 3
    with pytest.raises(ParseError, match="message is too large"):
        all_of([b"INFO sip:h SIP/2.0\r\nX: " + b"y" * 70_000 + b"\r\n z" * 2000])


def test_the_buffer_is_bounded():
    parser = StreamParser(max_size=1000)
    with pytest.raises(ParseError):  # noqa: PT012
        for _ in range(10_000):
            list(parser.feed(b"X: y\r\n"))
            assert parser.buffered <= 1000


@pytest.mark.parametrize("data", [b"I", message()[:-1], message(b"abc")[:-1], b"\r\n\r\nX", b"\r"])
def test_half_a_message_at_the_end(data):
    parser = StreamParser()
    assert feed_all(parser, [message(b"1"), data]) == [message(b"1")]
    with pytest.raises(ParseError, match="stream ended inside a message") as caught:
        parser.eof()
    assert caught.value.offset == len(data.lstrip(b"\r\n") or b"\r")


def test_end_between_messages():
    for data in (b"", b"\r\n", b"\r\n\r\n", message(), message() + b"\r\n"):
        parser = StreamParser()
        feed_all(parser, [data])
        parser.eof()
    unread = StreamParser()
    unread.feed(b"\r\n\r\n")
    unread.eof()


@pytest.mark.parametrize("letter", [b"a", b"\n "], ids=["a line", "folds"])
def test_cost_of_byte_by_byte_is_linear(letter):
    """The head is not searched from its start each time."""

    def fed(size):
        data = message(b"b" * size, head=b"X: %b\r\n" % fill(letter, size))
        parser = StreamParser(max_size=1 << 20, max_headers=1 << 15)
        return lambda: sum(1 for at in range(len(data)) for _ in parser.feed(data[at : at + 1]))

    assert fed(1 << 10)() == 1
    assert_linear(fed, 1 << 11, 1 << 15)


# --- read_message


async def read_all(data, pieces=1, **options):
    reader = asyncio.StreamReader()
    for at in range(0, len(data), pieces):
        reader.feed_data(data[at : at + pieces])
    reader.feed_eof()
    found = []
    while (one := await read_message(reader, **options)) is not None:
        found.append(bytes(one))
    return found


def read_all_from(file, **options):
    found = []
    while (one := read_message_from(file, **options)) is not None:
        found.append(bytes(one))
    return found


class Trickle(io.RawIOBase):
    """A file that gives at most three bytes at a time."""

    def __init__(self, data):
        self.data = data

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(3, len(buffer), len(self.data))
        buffer[:count], self.data = self.data[:count], self.data[count:]
        return count


async def test_read_message():
    heard = []
    assert await read_all(STREAM, on_keepalive=heard.append) == PIPELINE
    assert await read_all(STREAM, 7, client=True, on_keepalive=heard.append) == PIPELINE
    assert sum(heard) == 4 + STREAM_LINES


def test_read_message_from():
    heard = []
    assert read_all_from(io.BytesIO(STREAM), on_keepalive=heard.append) == PIPELINE
    assert heard == [1] * 4
    assert read_all_from(Trickle(STREAM)) == PIPELINE
    assert read_all_from(io.BytesIO(STREAM), client=True) == PIPELINE
    assert read_all_from(io.BytesIO(b"")) == []


async def test_read_message_waits_for_the_body():
    reader = asyncio.StreamReader()
    reader.feed_data(message(b"abc")[:-2])
    task = asyncio.create_task(read_message(reader))
    await asyncio.sleep(0)
    assert not task.done()
    reader.feed_data(b"bc" + message())
    first, second = await task, await read_message(reader)
    assert (first.body, second.body) == (b"abc", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message()[:-1], "stream ended inside a message"),
        (message(b"abc")[:-1], "stream ended inside a message"),
        (b"I", "stream ended inside a message"),
        (b"\r", "stream ended inside a message"),
        (message(length=b""), "no Content-Length, which a stream needs"),
        (message(length=b"l: 5x\r\n"), "Content-Length is not a number"),
        (message(length=b"l: 65535\r\n"), "message is too large"),
        (b"a" * 70_000, "message is too large"),
        (b"a" * 140_000 + b"\n", "message is too large"),
        (b"INFO sip:h SIP/2.0\r\n" + b"X: y\r\n" * 20_000, "too many lines"),
        (b"INFO sip:h SIP/2.0\r\n" + b"X: %b\r\n" % (b"y" * 100) * 1000, "message is too large"),
    ],
)
async def test_read_message_broken(data, reason):
    with pytest.raises(ParseError) as caught:
        await read_all(data)
    assert caught.value.reason == reason
    with pytest.raises(ParseError) as caught:
        read_all_from(io.BytesIO(data))
    assert caught.value.reason == reason


@given(st.lists(st.sampled_from([b"INFO sip:h SIP/2.0", b"l:0", b"l:1", b"\r\n", b"\n", b"\r", b" ", b"X:y", b"a"])))
def test_all_readers_agree(parts):
    data = b"".join(parts)
    results = []
    for collect in (
        lambda hook: all_of([data], on_keepalive=hook)[0],
        lambda hook: read_all_from(io.BytesIO(data), on_keepalive=hook),
        lambda hook: asyncio.run(read_all(data, len(data) or 1, on_keepalive=hook)),
    ):
        heard = []
        try:
            results.append((collect(heard.append), sum(heard)))
        except ParseError as error:
            results.append((error.reason, error.offset, error.status))
    assert results[0] == results[1] == results[2]


# --- datagrams that are no messages


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\0", b"\0\0\0\0", b" \t\r\n\0", b"jaK", b"jaK\r\n", b"\0jaK\0"]
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_noise(data, kind):
    assert is_signaling_noise_datagram(kind(data))


@pytest.mark.parametrize(
    "data", [b"x", b"jak", b"jaKjaK", b"\r\nx", b"\0\x01", message(), b"\r\n" + message(), b"\xff"]
)
def test_no_noise(data):
    assert not is_signaling_noise_datagram(data)


STUN = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\x80\x22\x00\x04test"


def test_stun():
    assert is_stun(STUN)
    assert is_stun(bytearray(STUN))
    assert is_stun(memoryview(STUN))
    assert is_stun(STUN[:2] + b"\0\0" + STUN[4:20])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        message(),
        STUN[:19],
        b"\x40" + STUN[1:],
        b"\x80" + STUN[1:],
        STUN[:3] + b"\x09" + STUN[4:],
        STUN[:7] + b"\x43" + STUN[8:],
    ],
)
def test_no_stun(data):
    assert not is_stun(data)


def test_an_error_that_is_raised_again_and_again_does_not_grow():
    parser = StreamParser()
    depths = set()
    for data in [b"bad\r\n\r\n"] + [b"more"] * 50:
        with pytest.raises(ParseError, match="request line") as caught:
            list(parser.feed(data))
        depths.add(len(caught.traceback))
        with pytest.raises(ParseError) as caught:
            parser.eof()
        depths.add(len(caught.traceback))
    assert max(depths) < 8


def test_a_hook_that_raises_loses_nothing_and_counts_nothing_twice():
    def hook(count):
        heard.append(count)
        if len(heard) == 1:
            raise LookupError

    heard = []
    parser = StreamParser(on_keepalive=hook)
    with pytest.raises(LookupError):
        list(parser.feed(PING * 4 + message()))
    assert [bytes(found) for found in parser.feed(PING)] == [message()]
    assert (parser.pings, heard) == (5, [4, 1])


async def test_a_hook_of_read_message_that_raises_loses_nothing():
    def hook(count):
        heard.append(count)
        if len(heard) == 1:
            raise LookupError

    heard, reader = [], asyncio.StreamReader()
    reader.feed_data(PING * 4 + b"\r\n" + message())
    with pytest.raises(LookupError):
        await read_message(reader, on_keepalive=hook)
    assert bytes(await read_message(reader, on_keepalive=hook)) == message()
    assert sum(heard) == 4


async def test_read_message_takes_no_byte_behind_the_shortest_message():
    shortest = b"A a SIP/2.0\nl:0\n\n"
    for before in (b"", b"\n", b"\r\n", PING, b"\n" * 16, b"\n" * 17, b"\r\n" * 9):
        reader = asyncio.StreamReader()
        reader.feed_data(before + shortest + b"behind")
        reader.feed_eof()
        assert bytes(await read_message(reader)) == shortest
        assert await reader.read() == b"behind"


async def test_a_ping_is_heard_when_it_is_there():
    """Also where nothing follows: who asks may wait for the answer."""
    heard = []
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as file:
        theirs.sendall(PING)
        reading = threading.Thread(target=read_message_from, args=(file,), kwargs={"on_keepalive": heard.append})
        reading.start()
        await asyncio.to_thread(until, lambda: heard)
        assert heard == [1]
        theirs.close()
        reading.join()


def test_a_hook_that_feeds():
    def hook(count):
        heard.append(count)
        found.extend(parser.feed(message(b"%d" % len(heard)) + PING * 2 if len(heard) < 3 else b""))

    found, heard = [], []
    parser = StreamParser(on_keepalive=hook)
    found.extend(parser.feed(PING * 3))
    parser.eof()
    assert (parser.pings, heard, sorted(one.body for one in found)) == (7, [3, 2, 2], [b"1", b"2"])


def test_a_hook_that_feeds_empty_lines():
    parser = StreamParser(on_keepalive=lambda _: parser.feed(PING if parser.pings < 9 else message()))
    assert [bytes(found) for found in parser.feed(PING * 3)] == [message()]
    assert (parser.buffered, parser.pings) == (0, 9)


@pytest.mark.parametrize("client", [True, False])
def test_keepalives_are_heard_by_the_run_and_counted_alike_without_a_hook(client: bool):
    for pieces in ([b"\r\n" * 7], [b"\r\n"] * 7, [b"\n\r", b"\n\n\r", b"\n\r\n" + message(), b"\n\r\n"]):
        heard = []
        parsers = [StreamParser(client=client, on_keepalive=heard.append), StreamParser(client=client)]
        counts = [[(list(parser.feed(piece)), parser.pings, parser.pongs) for piece in pieces] for parser in parsers]
        assert counts[0] == counts[1]
        assert sum(heard) == (parsers[0].pongs if client else parsers[0].pings)
        assert 0 < len(heard) <= len(pieces)
        assert all(heard)


@pytest.mark.parametrize("line", [b"\n", b"\r\n", PING])
def test_a_flood_of_keepalives_is_one_call_of_the_hook_a_feed(line):
    heard = []
    parser = StreamParser(on_keepalive=heard.append)
    for _ in range(3):
        assert not list(parser.feed(fill(line, 65_536)))
    lines = 65_536 // len(line) * line.count(b"\n")
    assert heard == [lines // 2] * 3


def test_empty_lines_cost_what_they_are_long():
    assert_linear(lambda size: lambda: list(StreamParser().feed(b"\r\n" * size)))


def test_a_reading_that_is_cancelled_at_every_byte():
    """The next one goes on in the body too, which is not taken for a part of the head."""

    async def main():
        reader, heard, found = asyncio.StreamReader(), [], []
        for byte in STREAM:
            for more in (bytes([byte]), b""):  # with nothing to read, and with one byte
                reading = asyncio.ensure_future(read_message(reader, on_keepalive=heard.append))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if not reading.done():
                    reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    found.append(bytes(await reading))
                reader.feed_data(more)
        reader.feed_eof()
        while (last := await read_message(reader, on_keepalive=heard.append)) is not None:
            found.append(bytes(last))
        return found, heard

    parser = StreamParser()
    assert asyncio.run(main()) == (feed_all(parser, [STREAM]), [1] * parser.pings)


FLOODS = [b"\n", b"\r\n", PING, message(), message(b"x" * 1000), message(head=b"X: y\r\n" * 100)]


@pytest.mark.parametrize("piece", FLOODS, ids=["LF", "CRLF", "ping", "small", "bodies", "headers"])
def test_read_message_gives_others_their_turn(run, piece):
    """A reader that has what it is asked for does not wait; so in one call, and over many."""
    data = fill(piece, 1 << 17)  # what asyncio keeps of a connection before it stops reading
    turns, found = 0, []

    async def other():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main():
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        beside = asyncio.create_task(other())
        await asyncio.sleep(0)
        while (one := await read_message(reader)) is not None:
            found.append((bytes(one), turns))
        beside.cancel()

    run(main())
    assert turns >= 8
    assert [one for one, _ in found] == ([piece] * (len(data) // len(piece)) if piece.strip() else [])
    for at in {at for _, at in found}:
        assert sum(len(one) for one, turn in found if turn == at) <= 16_384 + len(piece)


async def test_a_reader_that_is_read_in_turns_is_forgotten_with_its_state():
    reader = asyncio.StreamReader()
    reader.feed_data(message() * 2)
    assert bytes(await read_message(reader)) == message()
    half = weakref.ref(stream._HALVES[reader])
    assert bytes(await read_message(reader)) == message()
    assert stream._HALVES[reader] is half()
    assert not half().data
    del reader
    gc.collect()
    assert half() is None


async def test_behind_a_broken_message_the_next_call_begins_anew():
    reader = asyncio.StreamReader()
    reader.feed_data(b"\r\nA sip:a SIP/2.0\r\nX: y\r\n\r\n" + message())
    with pytest.raises(ParseError, match="no Content-Length"):
        await read_message(reader)
    assert bytes(await read_message(reader)) == message()
