"""A message for people: every header and what it was understood as, and what is wrong with it."""

import inspect
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from ._limits import MAX_DESCRIBED, MAX_DESCRIBED_VALUE
from ._params import Params
from ._printable import cut, pointed, visible
from .errors import HeaderError, behind_name
from .headers import HeaderValue, Product, parse_header
from .uri import parse_uri

if TYPE_CHECKING:
    from ._parser_py import Message

_INDENT = "    "
_MORE = "... (the rest is not shown)"
_WORDS = {str: "text", int: "number", float: "number", tuple: "list"}


def describe(message: "Message") -> str:
    """See `Message.describe`."""
    return "\n".join(_lines(message.copy()))  # which nobody edits meanwhile


def describe_as_html(message: "Message") -> str:
    """The same for a notebook."""
    return f"<pre>{escape(describe(message))}</pre>"


def _lines(message: "Message") -> Iterator[str]:
    size = len(message.to_bytes())
    violations = message.validate()
    is_too_much = any(violation.status == 513 for violation in violations)
    if message.is_request:
        yield f"request {_shown(message.method)}, {size} bytes"
    else:
        yield f"response {message.status_code} {_shown(message.status_text)}, {size} bytes"
    yield from _first(_parts(message, is_too_much))
    for violation in violations:
        mark, what = ("!", f"a server answers {violation.status}") if violation.serious else ("-", "to be ignored")
        yield f"{mark} {visible(behind_name(violation.header, violation.reason, ': '))} ({what})"


def _first(lines: Iterator[str]) -> Iterator[str]:
    """The first lines; those behind them are not even made."""
    left = MAX_DESCRIBED
    for line in lines:
        left -= len(line)
        if left < 0:
            yield _MORE
            return
        yield line


def _parts(message: "Message", is_too_much: bool) -> Iterator[str]:
    uri = [("Request-URI", message.request_uri)] if message.is_request else []
    for name, value in [*uri, *message.headers.items()]:
        yield f"{_shown(name)}: {_shown(value)}"
        yield from () if is_too_much else _understood(name, value)
    yield from _body(message.body)


def _body(body: bytes) -> Iterator[str]:
    yield f"body: {len(body)} bytes"
    if body:
        text = body[:MAX_DESCRIBED].decode("utf-8", "surrogateescape")
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        yield from (f"{_INDENT}{_shown(line)}" for line in lines)
        yield from [_MORE] if len(body) > MAX_DESCRIBED else []


def _shown(text: str) -> str:
    return cut(text, MAX_DESCRIBED_VALUE)


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
    names = _names(type(item))  # type: ignore[arg-type]  # mypy asks whether its objects can be hashed
    parts = [(name, getattr(item, name, None)) for name in names]  # once: many are read out of the parameters
    flat = [(name, part) for name, part in parts if not _is_nested(part) and part not in (None, ()) and str(part)]
    yield f"{indent}{type(item).__name__}" + "".join(f" {name}={_plain(part)}" for name, part in flat)
    for name, part in parts:
        if _is_nested(part):
            yield from _tree(part, f"{name}: ", depth + 1)


@cache
def _names(cls: type) -> tuple[str, ...]:
    """The parts of a value as its constructor names them, in that order."""
    return tuple(inspect.signature(cls).parameters)


def _is_nested(part: object) -> bool:
    return isinstance(part, HeaderValue) and type(part) is not Params


def _plain(part: object) -> str:
    """A part that needs no line of its own; text in quotes where a blank or nothing would be misread."""
    if isinstance(part, tuple) and all(isinstance(item, str | Product) for item in part):
        part = ", ".join(map(str, part))
    text = _shown(str(part))
    return f'"{text}"' if isinstance(part, str) and (" " in text or not text) else text
