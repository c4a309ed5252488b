"""`sipstack parse`: what a message holds, header by header, and where it is wrong."""

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from sipstack._limits import MAX_SIZE
from sipstack.cli._text import line_at, pointed, visible
from sipstack.errors import HeaderError, ParseError
from sipstack.headers import HeaderValue, Params, Product, parse_header
from sipstack.message import Message, parse
from sipstack.uri import parse_uri

_INDENT = "    "
_WORDS = {str: "text", int: "number", float: "number", tuple: "list"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` the arguments of `sipstack parse`."""
    parser.add_argument("file", metavar="FILE|-", help="a file with one message as it was on the wire; - reads stdin")
    parser.add_argument("--max-size", type=int, default=MAX_SIZE, metavar="BYTES", help="a longer message is an error")


def run(options: argparse.Namespace) -> int:
    """Runs `sipstack parse`: 0 for a message that can be served, 1 for others, 2 where the file cannot be read."""
    try:
        data = _read(options.file, options.max_size + 1)
    except OSError as error:
        print(f"sipstack parse: {options.file}: {error.strerror or error}", file=sys.stderr)
        return 2
    try:
        message = parse(data, max_size=options.max_size)
    except ParseError as error:
        print("\n".join(_explain(error, data, "stdin" if options.file == "-" else options.file)))
        return 1
    print("\n".join(_describe(message, len(data))))
    violations = message.validate()
    for violation in violations:
        mark, what = ("!", f"a server answers {violation.status}") if violation.serious else ("-", "to be ignored")
        where = f"{visible(violation.header)}: " if violation.header else ""
        print(f"{mark} {where}{visible(violation.reason)} ({what})")
    return 1 if any(violation.serious for violation in violations) else 0


def _read(name: str, limit: int) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(limit)
    with Path(name).open("rb") as file:
        return file.read(limit)


def _explain(error: ParseError, data: bytes, name: str) -> Iterator[str]:
    """A ParseError as a compiler puts it: file, line, column, reason; the line; a caret under the byte."""
    number, start, line = line_at(data, error.offset)
    column = error.offset - start
    yield f"{visible(name)}:{number}:{column + 1}: {error} - a server answers {error.status}"
    yield from (_INDENT + text for text in pointed(line, column))


def _describe(message: Message, size: int) -> Iterator[str]:
    if message.is_request:
        yield f"request {visible(message.method)}, {size} bytes"
        yield f"Request-URI: {visible(message.request_uri)}"
        yield from _understood("Request-URI", message.request_uri)
    else:
        yield f"response {message.status_code} {visible(message.status_text)}, {size} bytes"
    for name, value in message.headers.items():
        yield f"{visible(name)}: {visible(value)}"
        yield from _understood(name, value)
    yield f"body: {len(message.body)} bytes"
    if message.body:
        lines = message.body.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        yield from (f"{_INDENT}{visible(line)}" for line in lines)


def _understood(name: str, value: str) -> Iterator[str]:
    """What a header was read as: one line for each value in it; the caret where it is malformed."""
    try:
        parsed = parse_uri(value) if name == "Request-URI" else parse_header(name, value)
    except HeaderError as error:
        data = value.encode("utf-8", "surrogateescape")
        text, caret = pointed(data, len(value[: error.offset].encode("utf-8", "surrogateescape")))
        yield from (f"{_INDENT}{text}", f"{_INDENT}{caret} {error.reason}")
        return
    for item in parsed if isinstance(parsed, tuple) else (parsed,):
        yield from _tree(item, "", 1)


def _tree(item: object, label: str, depth: int) -> Iterator[str]:
    """A value's class and its parts on one line; values inside it below, each with a line of its own."""
    indent = _INDENT * depth + label
    if not _is_nested(item):
        yield f"{indent}{_WORDS.get(type(item), type(item).__name__)} {_plain(item)}"
        return
    names = inspect.signature(type(item)).parameters  # as the constructor names the parts, in that order
    parts = [(name, getattr(item, name)) for name in names if hasattr(item, name)]
    flat = [(name, part) for name, part in parts if not _is_nested(part) and part not in (None, ()) and str(part)]
    yield f"{indent}{type(item).__name__}" + "".join(f" {name}={_plain(part)}" for name, part in flat)
    for name, part in parts:
        if _is_nested(part):
            yield from _tree(part, f"{name}: ", depth + 1)


def _is_nested(part: object) -> bool:
    return isinstance(part, HeaderValue) and not isinstance(part, Params)


def _plain(part: object) -> str:
    """A part that needs no line of its own; text in quotes where a blank or nothing would be misread."""
    if isinstance(part, tuple) and all(isinstance(item, str | Product) for item in part):
        part = ", ".join(map(str, part))
    text = visible(str(part))
    return f'"{text}"' if isinstance(part, str) and (" " in text or not text) else text
