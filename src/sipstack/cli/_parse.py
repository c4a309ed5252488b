"""`sipstack parse`: what messages hold, header by header, and where they are wrong."""

import argparse
import importlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sipstack._grammar import CONTENT_LENGTHS, EMPTY_LINES, HEAD_END, read_content_length
from sipstack._limits import LARGEST_MAX_SIZE, MAX_SIZE
from sipstack._printable import line_at, pointed, visible
from sipstack.cli._numbers import between
from sipstack.errors import HeaderError, ParseError
from sipstack.message import Message, parse
from sipstack.stream import is_signaling_noise_datagram

_INDENT = "    "
_NOISE = re.compile(rb"[\r\n\0 \t]*+\Z")
_EMPTY_LINES = re.compile(EMPTY_LINES.encode())
_HEAD_END = re.compile(HEAD_END.encode())
_CONTENT_LENGTHS = re.compile(CONTENT_LENGTHS.encode())
_CAPTURES = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\n\r\r\n")
_FIRST_LINE = re.compile(rb"[^\n]*SIP/[0-9]", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` the arguments of `sipstack parse`."""
    size = between(int, 1, LARGEST_MAX_SIZE, "a number of bytes")
    parser.add_argument(
        "file", metavar="FILE|-", help="messages as they were on the wire, or a capture (pcap); - reads stdin"
    )
    parser.add_argument("--max-size", type=size, default=MAX_SIZE, metavar="BYTES", help="a longer message is an error")


def run(options: argparse.Namespace) -> int:
    """Runs `sipstack parse`: 0 where every message can be served, 1 for others, 2 where the file cannot be read."""
    name = "stdin" if options.file == "-" else options.file
    try:
        data = _read(options.file)
        if data.startswith(_CAPTURES):
            return _show_capture(data, name, options.max_size)
    except _UnreadableError as error:
        print(f"sipstack parse: {visible(name)}: {error}", file=sys.stderr)
        return 2
    return _show_all(data, name, options.max_size)


class _UnreadableError(Exception):
    """There is nothing to show, and why."""


def _read(file: str) -> bytes:
    if file == "-" and sys.stdin is None:
        raise _UnreadableError("it is closed")
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise _UnreadableError(error.strerror or str(error)) from error
    except MemoryError:
        raise _UnreadableError("it is too large") from None


def _show_all(data: bytes, name: str, max_size: int) -> int:
    """Shows message after message, up to the first that is none."""
    restored = _with_crlf(data, max_size)
    if restored is not None:
        print(f"{visible(name)}: the line ends are LF alone; read with CRLF, which its Content-Length counts")
        data = restored
    code = 0
    for number, (start, piece) in enumerate(_pieces(data)):
        if number:
            print()
        try:
            code |= _show(parse(piece, max_size=max_size))
        except ParseError as error:
            print("\n".join(_explain(error, data, start, name)))
            return 1
    return code


def _pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each message begins, and its bytes; one there is always."""
    end = 0
    while True:
        start = _EMPTY_LINES.match(data, end).end()  # type: ignore[union-attr]  # it matches nothing too
        end = _end(data, start)
        yield start, data[start:end]
        if _NOISE.match(data, end):
            return


def _end(data: bytes, start: int) -> int:
    """Where the message ends that begins at a place: where its Content-Length says, else at the end of all."""
    head = _HEAD_END.search(data, start)
    lengths = _CONTENT_LENGTHS.findall(data, start, head.end()) if head else []
    try:
        (length,) = {read_content_length(value) for value in lengths}
    except (HeaderError, ValueError):
        return len(data)
    return head.end() + length  # type: ignore[union-attr]  # there are none without it


def _with_crlf(data: bytes, max_size: int) -> bytes | None:
    """What an editor, or git, has saved with LF, as it was: bodies are shorter now than their Content-Length says.

    None where no more messages can be read so.
    """
    if b"\r" in data:
        return None
    restored = data.replace(b"\n", b"\r\n")
    return restored if _readable(restored, max_size) > _readable(data, max_size) else None


def _readable(data: bytes, max_size: int) -> int:
    """How many messages can be read, up to the first that cannot."""
    count = 0
    for _, piece in _pieces(data):
        try:
            parse(piece, max_size=max_size)
        except ParseError:
            break
        count += 1
    return count


def _show(message: Message) -> int:
    print(message.describe())
    return 1 if any(violation.serious for violation in message.validate()) else 0


def _explain(error: ParseError, data: bytes, start: int, name: str) -> Iterator[str]:
    """A ParseError as a compiler puts it: file, line, column, reason; the line; a caret under the byte."""
    number, line_start, line = line_at(data, start + error.offset)
    column = start + error.offset - line_start
    error = ParseError(error.reason, start + error.offset, error.status)
    yield f"{visible(name)}:{number}:{column + 1}: {error} - a server answers {error.status}"
    yield from (_INDENT + text for text in pointed(line, column))


def _show_capture(data: bytes, name: str, max_size: int) -> int:
    """Shows what datagrams of a capture are SIP: each has a start line that says so."""
    try:
        inet, inet6 = importlib.import_module("scapy.layers.inet"), importlib.import_module("scapy.layers.inet6")
        sniff, sessions = importlib.import_module("scapy.sendrecv"), importlib.import_module("scapy.sessions")
    except ImportError:
        text = "this is a capture, which needs scapy to be read: pip install scapy"
        raise _UnreadableError(text) from None
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # what it cannot read is said here
    code = others = fragments = 0

    def show(packet: Any) -> None:
        nonlocal code, others, fragments
        if inet6.IPv6ExtHdrFragment in packet:
            fragments += 1
            return
        found = _datagram(packet, inet, inet6)
        if found is None or not _FIRST_LINE.match(found[1].lstrip(b"\r\n")):
            others += found is not None and not is_signaling_noise_datagram(found[1])
            return
        print(f"--- {found[0]}")
        try:
            code |= _show(parse(found[1], max_size=max_size))
        except ParseError as error:
            code = 1
            print("\n".join(_explain(error, found[1], 0, name)))

    try:  # from memory: what was read once from a pipe is not there a second time
        sniff.sniff(offline=io.BytesIO(data), session=sessions.IPSession, prn=show, store=False, quiet=True)
    except OSError:  # of what is printed
        raise
    except Exception as error:  # scapy's own, and whatever its layers stumble over
        raise _UnreadableError(f"the capture cannot be read: {visible(str(error))}") from error
    if others:
        print(f"--- {others} other datagrams")
    if fragments:
        print(f"--- {fragments} fragments of IPv6, which are not put together")
    return code


def _datagram(packet: Any, inet: Any, inet6: Any) -> tuple[str, bytes] | None:
    """When and between whom a packet of UDP went, and what it brought; None for another packet."""
    udp = inet.UDP
    if udp not in packet:
        return None
    ip = packet[inet.IP if inet.IP in packet else inet6.IPv6]
    way = f"{ip.src}:{packet[udp].sport} -> {ip.dst}:{packet[udp].dport}"
    return f"{float(packet.time):.6f} {way}", bytes(packet[udp].payload)
