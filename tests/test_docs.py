"""The documentation says what is true: its samples run, its tables of examples hold, its reference is complete.

In a page, ```` ```python ```` fences run one after the other in one namespace, ```` ```pycon ```` fences are
interactive sessions with their output, and ```` ```console ```` fences are commands of the shell. A table behind a
comment `<!-- check: NAME -->` has an Example and a last column that must be what `CHECKS[NAME]` makes of it.
"""

import ast
import asyncio
import doctest
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import sipstack
from sipstack import HeaderError, ParseError, SerializeError, headers, methods, parse_header, parse_uri, validation
from sipstack.stream import StreamParser, is_signaling_noise_datagram, is_stun

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")


class Fence(NamedTuple):
    """A code block of a page."""

    language: str
    text: str
    line: int


def fences(page: Path, *languages: str) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [
        Fence(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in found if match[1] in languages
    ]


def pages_with(*languages: str) -> list[Any]:
    return [
        pytest.param(page, id=page.relative_to(REPOSITORY).as_posix())
        for page in PAGES
        if page.exists() and fences(page, *languages)
    ]


def run(fence: Fence, page: Path, names: dict[str, object]) -> None:
    """Run a ```python fence; a failure shows the page's line."""
    exec(compile("\n" * (fence.line - 1) + fence.text, str(page), "exec", dont_inherit=True), names)


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_with("python", "pycon"))
def test_samples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "sample"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for fence in fences(page, "python", "pycon"):
        if fence.language == "python":
            run(fence, page, names)
            continue
        session = doctest.DocTestParser().get_doctest(fence.text, names, page.name, str(page), fence.line - 1)
        told: list[str] = []
        runner.run(session, out=told.append, clear_globs=False)
        assert not told, "".join(told)
        names.update(session.globs)


# --- tables of examples ----------------------------------------------------------------------------------------------

_ESCAPE = re.compile(rb"\\([rnt]|x[0-9a-fA-F]{2})")
_BYTES = {b"r": b"\r", b"n": b"\n", b"t": b"\t"}


def raw(example: str) -> bytes:
    r"""The bytes that an example means: \r, \n, \t and \x.. are bytes, any other backslash is one."""

    return _ESCAPE.sub(lambda match: _BYTES.get(match[1]) or bytes([int(match[1][1:], 16)]), example.encode())


def text(example: str) -> str:
    return raw(example).decode("utf-8", "surrogateescape")


def show(value: object) -> str:
    """A value as the arguments that would build it."""
    if value is headers.STAR:
        return "STAR"
    if isinstance(value, tuple) and any(isinstance(item, headers.HeaderValue) for item in value):
        return f"({', '.join(map(show, value))})" if len(value) > 1 else f"({show(value[0])},)"
    if not isinstance(value, headers.HeaderValue):
        return repr(value)
    arguments = list(inspect.signature(type(value)).parameters)
    parts = []
    for name in arguments:
        part = getattr(value, name)
        if name == "uri":
            part = str(part)
        elif name == "params":
            part = {key: item for key, item in part.items() if key.lower().replace("-", "_") not in arguments}
        if part not in (None, "", (), {}, False) or (name == "rport" and part == 0):
            parts.append(f"{name}={part!r}")
    return f"{type(value).__name__}({', '.join(parts)})"


def parsed(impl: ModuleType, data: bytes) -> tuple[object, ...]:
    message = impl.parse(data)
    if message.is_request:
        return message.method, message.request_uri, message.version
    return message.status_code, message.status_text, message.version


def check_stream(_: ModuleType, example: str) -> str:
    parser = StreamParser()
    found: list[str] = []
    try:
        found += [message.method for message in parser.feed(raw(example))]
    except ParseError as error:
        return f"{error.status} `{error.reason}`"
    left = [f"{parser.buffered} bytes"] if parser.buffered else []
    left += [f"{parser.pings} pings"] if parser.pings else []
    return " + ".join([f"`{' '.join(found)}`" if found else "", *left]).strip(" +")


CORRECT = {
    "": "INVITE sip:bob@example.com SIP/2.0",
    "Via": "Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds",
    "Max-Forwards": "Max-Forwards: 70",
    "From": "From: <sip:alice@example.com>;tag=1928301774",
    "To": "To: <sip:bob@example.com>",
    "Call-ID": "Call-ID: a84b4c76e66710",
    "CSeq": "CSeq: 1 INVITE",
}


def changed(example: str) -> bytes:
    """A correct INVITE with what an example changes in it: a method, a start line, headers, a header less, a body."""
    lines, more, body = dict(CORRECT), [], ""
    for change in text(example).split("\r\n"):
        if change.isupper():
            lines = {name: line.replace("INVITE", change) for name, line in lines.items()}
        elif change == "body":
            body = "v=0\r\n"
        elif change.startswith("INVITE"):
            lines[""] = change
        elif change.startswith("no "):
            del lines[change.removeprefix("no ")]
        else:
            lines.pop(change.partition(":")[0], None)
            more.append(change)
    return "\r\n".join([*lines.values(), *more, "", body]).encode("utf-8", "surrogateescape")


def findings(found: list[sipstack.Violation]) -> str:
    marks = [f"{one.status} `{f'{one.header}: ' if one.header else ''}{one.reason}`" for one in found]
    return ", ".join(marks) or "nothing"


class Once:
    """A transport that brings one datagram, and keeps what is sent."""

    def __init__(self, data: bytes) -> None:
        self.local_address = ("192.0.2.1", 5060)
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = [(data, ("192.0.2.9", 5060))]

    def open(self) -> None:
        pass

    async def receive(self, deadline: float) -> list[sipstack.Datagram]:
        if not self._waiting:
            await asyncio.sleep(deadline)
        waiting, self._waiting = self._waiting, []
        return waiting

    def send(self, datagrams: list[sipstack.Datagram]) -> list[Any]:
        for data, _ in datagrams:
            self.sent.put_nowait(data)
        return []

    def close(self) -> None:
        pass


def check_endpoint(_: ModuleType, example: str) -> str:
    async def answer() -> bytes:
        transport = Once(changed(example))
        endpoint = sipstack.Endpoint(sipstack.EndpointConfig(), transport=transport)
        endpoint.register_handler("INVITE", lambda request, _: request.reply(200))
        serving = asyncio.create_task(endpoint.serve())
        data = await asyncio.wait_for(transport.sent.get(), 10)
        endpoint.close()
        await serving
        return data

    response = sipstack.parse(asyncio.run(answer()))
    extra = "".join(f", `{name}: {value}`" for name, value in response.headers.items() if name == "Unsupported")
    return f"{response.status_code} `{response.status_text}`{extra}"


def check_python(impl: ModuleType, example: str) -> str:
    request = (*CORRECT.values(), "Content-Length: 4", "", "v=0\n")
    names = {**vars(sipstack), **vars(headers), "Message": impl.Message}
    names["message"] = impl.parse("\r\n".join(request).encode())
    *statements, last = ast.parse(example).body
    exec(compile(ast.Module(statements, []), "example", "exec"), names)
    if isinstance(last, ast.Expr):
        result = eval(compile(ast.Expression(last.value), "example", "eval"), names)
        return "done" if result is None else f"`{result!r}`"
    exec(compile(ast.Module([last], []), "example", "exec"), names)
    return "done"


def check_header(_: ModuleType, example: str) -> str:
    name, _, value = text(example).partition(":")
    return f"`{show(parse_header(name, value))}`"


CHECKS: dict[str, Callable[[ModuleType, str], str]] = {
    "datagram": lambda impl, example: f"`{parsed(impl, raw(example))}`",
    "start line": lambda impl, example: f"`{parsed(impl, raw(example) + CRLF + CRLF)}`",
    "headers": lambda impl, example: f"`{impl.parse(START + raw(example) + CRLF).headers.items()}`",
    "body": lambda impl, example: f"`{impl.parse(START + raw(example)).body}`",
    "stream": check_stream,
    "noise": lambda _, example: f"`{is_signaling_noise_datagram(raw(example))}`, `{is_stun(raw(example))}`",
    "uri": lambda _, example: f"`{show(parse_uri(text(example)))}`",
    "via": lambda _, example: f"`{show(headers.Via.parse(text(example)))}`",
    "address": lambda _, example: f"`{show(headers.NameAddr.parse(text(example)))}`",
    "header": check_header,
    "check": lambda impl, example: findings(impl.parse(changed(example)).check()),
    "validate": lambda impl, example: findings(impl.parse(changed(example)).validate()),
    "endpoint": check_endpoint,
    "python": check_python,
}
START = b"OPTIONS sip:a@b SIP/2.0\r\n"
CRLF = b"\r\n"


def outcome(check: str, impl: ModuleType, example: str) -> str:
    """What stands in the last column behind an example."""
    try:
        return CHECKS[check](impl, example)
    except (ParseError, HeaderError) as error:
        return f"{error.status} `{error.reason}`"
    except (SerializeError, TypeError, AttributeError) as error:
        return f"`{type(error).__name__}`: {str(error).replace('|', chr(92) + '|')}"


class Row(NamedTuple):
    """An example of a table."""

    page: Path
    line: int
    check: str
    example: str
    result: str


def rows() -> Iterator[Row]:
    for page in PAGES:
        check = ""
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines() if page.exists() else (), 1):
            if match := re.fullmatch(r"<!-- check: (.*) -->", line):
                check = match[1]
            elif not line:
                check = ""
            elif check and line.startswith("|"):
                *_, example, result = (cell.replace("\\|", "|") for cell in cells(line))
                if found := re.fullmatch(r"`(.*)`", example):
                    yield Row(page, number, check, found[1], result)


def cells(line: str) -> list[str]:
    return [cell.removeprefix(" ").removesuffix(" ") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.page.name}:{row.line}") for row in rows()])
def test_table(row: Row, impl: ModuleType) -> None:
    assert row.result == outcome(row.check, impl, row.example)


# --- completeness ----------------------------------------------------------------------------------------------------


def page_text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["_diagnose", "stream"])
def test_every_reason_is_explained(module: str) -> None:
    source = Path(sipstack.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    reasons = set(re.findall(r'ParseError\("([^"]+)"', source))
    assert len(reasons) > 2
    page = page_text("accepts.md")
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in page and f": {reason} (" not in page] == []


def test_every_structured_header_is_in_the_table() -> None:
    shown = page_text("accepts.md").partition("### Every header with a structure")[2].partition("## Validating")[0]
    missing = [
        name
        for name in methods.HEADER_NAMES
        if headers.has_structure(name) and not re.search(rf"[| ,]{re.escape(name)}[ ,]", shown)
    ]
    assert missing == []


def test_lists_of_names() -> None:
    page = " ".join(page_text("accepts.md").split())
    assert ", ".join(sorted(validation.OTHER_SINGLETONS)) in page
    forms = [f"`{short}` {name}" for short, name in sorted(methods.COMPACT_FORMS.items())]
    assert f"{', '.join(forms)}." in page


def test_reference_has_every_public_name() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    names = [name for name in sipstack.__all__ if name not in ("headers", "methods", "__version__")]
    assert [name for name in names if not re.search(rf"sipstack\.{name}\b", pages)] == []
    own = [name for name in headers.__all__ if name not in sipstack.__all__]
    assert [name for name in own if not re.search(rf"sipstack\.headers\.{name}\b", pages)] == []
