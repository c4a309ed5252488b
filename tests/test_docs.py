"""The documentation says what is true: its samples run, its tables of examples hold, its reference is complete.

In a page, ```` ```python ```` fences run one after the other in one namespace, ```` ```pycon ```` fences are
interactive sessions with their output, and ```` ```console ```` fences are commands of the shell. A table behind a
comment `<!-- check: NAME -->` has an Example and a last column that must be what `CHECKS[NAME]` makes of it.
"""

import ast
import asyncio
import contextlib
import doctest
import inspect
import itertools
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import sipstack
from sipstack import (
    HeaderError,
    ParseError,
    SerializeError,
    headers,
    methods,
    parse_header,
    parse_uri,
    proxy,
    validation,
)
from sipstack.errors import behind_name
from sipstack.stream import StreamParser, is_signaling_noise_datagram, is_stun

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

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
        pytest.param(page, id=page.relative_to(REPOSITORY).as_posix()) for page in PAGES[1:] if fences(page, *languages)
    ]


def run(fence: Fence, page: Path, names: dict[str, object]) -> None:
    """Run a ```python fence; a failure shows the page's line."""
    exec(compile("\n" * (fence.line - 1) + fence.text, str(page), "exec", dont_inherit=True), names)


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_with("python", "pycon"))
def test_samples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.name == "pcap.md":
        pytest.importorskip("scapy", reason="scapy is not installed")
    names: dict[str, object] = {"__name__": "sample"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for fence in fences(page, "python", "pycon"):
        if fence.language == "python":
            run(fence, page, names)
            continue
        session = doctest.DocTestParser().get_doctest(fence.text, names, page.name, str(page), fence.line - 1)
        told: list[str] = []
        session.globs = names
        runner.run(session, out=told.append, clear_globs=False)
        assert not told, "".join(told)


def test_readme_program(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = fences(README, "python")
    names: dict[str, Any] = {"__name__": "readme"}
    run(program, README, names)
    first, *lines = capsys.readouterr().out.split("\n")
    assert first == re.search(r"branch\)  # (.*)", program.text)[1]
    written = "\n".join(lines)
    assert written.startswith("INVITE sip:bob@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP proxy.example.com;")
    assert "\r\nv: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds\r\n" in written
    assert "\r\nMax-Forwards: 69\r\n" in written
    assert "\r\nSubject: Lunch\r\n" in written
    assert names["options"](names["message"], ("192.0.2.1", 5060)).status_code == 200


@pytest.mark.parametrize("ends_with", ["sipstack serve", "pytest -n auto"])
def test_readme_commands(ends_with: str) -> None:
    """They are there for `.ci/run` to run."""
    text = README.read_text(encoding="utf-8")
    assert len(re.findall(rf"^python3 .*{ends_with}$", text, re.MULTILINE)) == 1


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
    if isinstance(value, headers.Params):
        return f"Params({dict(value)!r})"
    if not isinstance(value, headers.HeaderValue):
        return repr(value)
    arguments = list(inspect.signature(type(value)).parameters)
    parts = []
    for name in arguments:
        part = getattr(value, name)
        if name in ("uri", "info"):
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
    marks = [(f"{one.status} `{behind_name(one.header, one.reason, ': ')}`", one.serious) for one in found]
    return ", ".join(text if serious else f"({text})" for text, serious in marks) or "nothing"


def check_tolerance(impl: ModuleType, example: str) -> str:
    """What validate finds in a header that can be read, which must not be serious; what reading raises in another."""
    name = example.partition(":")[0]
    found = [one for one in impl.parse(changed(example)).validate() if one.header == name]
    try:
        parse_header(name, text(example).partition(":")[2])
    except HeaderError as error:
        refused = [(name, error.reason, 400, True)]
        return f"refused: `{error.reason}`" if found == refused else f"{found}"
    assert not any(one.serious for one in found)
    return ", ".join(f"`{one.reason}`" for one in found) or "nothing"


class Once(sipstack.DatagramTransport):
    """A transport that brings one datagram, and keeps what is sent."""

    local_address = ("192.0.2.1", 5060)

    def __init__(self, data: bytes) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = [(data, ("192.0.2.9", 5060))]

    def open(self) -> None:
        pass

    async def start(self, receiver: sipstack.Receiver) -> None:
        receiver.deliver(self._waiting)

    def stop(self) -> None:
        pass

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
    extra = "".join(
        f", `{name}: {value}`" for name, value in response.headers.items() if name in ("Unsupported", "Allow")
    )
    return f"{response.status_code} `{response.status_text}`{extra}"


URI = "sip:al%69ce:pw@Example.com:5070;user=phone;method=BYE;maddr=192.0.2.9;ttl=3;transport=tcp;lr;x=y?Subject=hi"


def check_python(impl: ModuleType, example: str) -> str:
    request = (*CORRECT.values(), "Content-Length: 4", "", "v=0\n")
    names = {**vars(sipstack), **vars(headers), "Message": impl.Message}
    names["message"] = impl.parse("\r\n".join(request).encode())
    names["uri"] = sipstack.parse_uri(URI)
    *statements, last = ast.parse(example).body
    exec(compile(ast.Module(statements, []), "example", "exec"), names)
    if isinstance(last, ast.Expr):
        return f"`{eval(compile(ast.Expression(last.value), 'example', 'eval'), names)!r}`"
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
    "tolerance": check_tolerance,
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
    names = [name for name in sipstack.__all__ if name not in ("headers", "methods", "proxy", "__version__")]
    assert [name for name in names if not re.search(rf"sipstack\.{name}\b", pages)] == []
    assert [name for name in proxy.__all__ if not re.search(rf"sipstack\.proxy\.{name}\b", pages)] == []
    own = [name for name in headers.__all__ if name not in sipstack.__all__]
    assert [name for name in own if not re.search(rf"sipstack\.headers\.{name}\b", pages)] == []


def test_typing_test_has_every_public_name() -> None:
    program = (REPOSITORY / "tests/typing/public_api.py").read_text(encoding="utf-8")
    assert [name for name in sipstack.__all__ if not re.search(rf"\b{name}\b", program)] == []


def test_links_read_in_the_repository_too() -> None:
    """A link without a text is filled in by Sphinx alone; a file that is not there is nowhere found."""
    wrong = []
    for page in PAGES:
        text = re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8"))
        for shown, link in re.findall(r"\[([^\]\n]*)\]\(([^)\s]+)\)", text):
            path = link.partition("#")[0]
            if not shown or (path and "://" not in link and not (page.parent / path).is_file()):
                wrong.append(f"{page.name}: [{shown}]({link})")
    assert wrong == []


# --- programs of the how-to pages, run as they stand -----------------------------------------------------------------

REQUEST = {
    "Via": "SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK776asdhds;rport",
    "Max-Forwards": 70,
    "From": "<sip:alice@example.com>;tag=1928301774",
    "To": "<sip:bob@example.com>",
    "Call-ID": "a84b4c76e66710",
}


def request(method: str, uri: str = "sip:bob@example.com") -> bytes:
    return bytes(sipstack.Message.request(method, uri, headers={**REQUEST, "CSeq": f"1 {method}"}))


def ask(port: int, data: bytes) -> sipstack.Message:
    """The response that a server on 127.0.0.1 gives to a request; while nobody listens the request is refused."""
    end = time.monotonic() + 60
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(60)
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionError):
                sock.send(data)
                return sipstack.parse(sock.recv(65535))
            time.sleep(0.05)
    pytest.fail("nobody listens")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs code blocks of a page, or a file, as a program, with the port 5060 replaced; ends it after the test."""
    if sys.platform == "win32":
        pytest.skip("a server process is ended with a signal, which Windows does not have")
    started: list[subprocess.Popen[str]] = []

    def start(page: str, *arguments: str, port: int = 5060, blocks: slice = slice(1)) -> subprocess.Popen[str]:
        program = tmp_path / "program.py"
        code = "\n".join(fence.text for fence in fences(DOCS / page, "python")[blocks])
        program.write_text(code.replace("5060", str(port)), encoding="utf-8")
        command = [sys.executable, str(program), *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> str:
    """Ends a program in good order; what it has printed."""
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def test_start_program(start: Any, free_port: int) -> None:
    process = start("start.md", port=free_port, blocks=slice(-1, None))
    assert ask(free_port, request("OPTIONS")).get_header("Allow") == "OPTIONS"
    assert ask(free_port, request("INVITE")).status_code == 486
    assert stop(process) == ""


def test_answer_options(start: Any, free_port: int) -> None:
    process = start("how-to/answer-options.md", port=free_port)
    response = ask(free_port, request("OPTIONS"))
    assert (response.status_code, response.get_header("Supported")) == (200, "")
    response = ask(free_port, request("MESSAGE"))
    assert (response.status_code, response.get_header("Allow")) == (405, "OPTIONS")
    stop(process)


def test_workers(start: Any, free_port: int) -> None:
    if sys.platform != "linux":
        pytest.skip("workers are for Linux")
    process = start("how-to/workers.md", port=free_port)
    assert "worker" in (ask(free_port, request("OPTIONS")).get_header("Server") or "")
    assert re.search(r"1 requests, 1 responses", stop(process))


def test_asyncio(start: Any, free_port: int) -> None:
    process = start("how-to/asyncio.md", port=free_port, blocks=slice(3))
    answers = [ask(free_port, request("INVITE", "sip:+12015550123@example.com")).status_code]
    assert answers == [100]
    assert ask(free_port, request("OPTIONS")).status_code == 405
    process.send_signal(signal.SIGINT)
    assert "listening on ('127.0.0.1'," in process.communicate(timeout=60)[0]


def test_asyncio_handler_and_probe(free_port: int) -> None:
    names: dict[str, Any] = {"__name__": "sample"}
    page = DOCS / "how-to/asyncio.md"
    first, second, third, *rest = fences(page, "python")
    for fence in (Fence("python", first.text.replace("5060", str(free_port)), first.line), third, *rest):
        run(Fence("python", fence.text.replace("5062", "0"), fence.line), page, names)

    async def ask_all() -> list[int]:
        found = []
        async with names["client"] as client, names["endpoint"] as endpoint, asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(client.serve()), tasks.create_task(endpoint.serve())]
            found.append((await names["probe"]("127.0.0.1", free_port, timeout=60)).status_code)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.1", 0))
                with pytest.raises(TimeoutError):
                    await names["probe"](*silent.getsockname(), timeout=0.05)
            for number in ("+12015550123", "+12015550199"):
                invite = sipstack.parse(request("INVITE", f"sip:{number}@example.com"))
                found.append((await endpoint.dispatch(invite)).status_code)
            for task in serving:
                task.cancel()
        return found

    assert asyncio.run(ask_all()) == [405, 302, 404]

    async def ring_and_cancel() -> list[str]:
        async with names["desk"] as desk:
            serving = asyncio.create_task(desk.serve())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                caller.settimeout(30)
                heard = []
                for data in (request("INVITE"), request("CANCEL")):
                    caller.sendto(data, desk.listen_addr)
                    heard.append(await asyncio.to_thread(caller.recv, 9000))
                heard.append(await asyncio.to_thread(caller.recv, 9000))
            serving.cancel()
        return [f"{response.status_code} {response.cseq.method}" for response in map(sipstack.parse, heard)]

    assert asyncio.run(ring_and_cancel()) == ["180 INVITE", "200 CANCEL", "487 INVITE"]
    assert names["waiting"] == {}
    assert "respond" in second.text


def test_transactions() -> None:
    """An INVITE that comes twice is handled once; its answer comes again until it is acknowledged."""
    page = DOCS / "how-to/transactions.md"
    names: dict[str, Any] = {"__name__": "sample"}
    for fence in fences(page, "python"):
        text = fence.text.replace("5060", "0").replace("T1, T2 = 0.5, 4.0", "T1, T2 = 0.1, 0.2")
        run(Fence("python", text, fence.line), page, names)

    async def call() -> list[int]:
        async with names["endpoint"] as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                caller.connect(endpoint.listen_addr)
                caller.settimeout(30)
                heard = []
                invite = sipstack.parse(request("INVITE"))
                for _ in range(2):
                    caller.send(bytes(invite))
                    heard.append(await asyncio.to_thread(caller.recv, 9000))
                heard.append(await asyncio.to_thread(caller.recv, 9000))  # of its own accord
                caller.send(bytes(invite.ack(sipstack.parse(heard[0]))))
                caller.settimeout(0.6)
                with contextlib.suppress(TimeoutError):
                    for _ in range(20):  # what was under way already
                        heard += [await asyncio.to_thread(caller.recv, 9000)]
                    pytest.fail("an ACK does not stop it")
            serving.cancel()
            assert endpoint.stats.handler_errors == 0
        assert len(set(heard)) == 1  # one To tag
        return [sipstack.parse(heard[0]).status_code, len(names["table"])]

    assert asyncio.run(call()) == [486, 1]


def test_load_balance() -> None:
    page = DOCS / "how-to/load-balance.md"
    names: dict[str, Any] = {"__name__": "sample"}
    for fence in fences(page, "python"):
        run(fence, page, names)
    source = ("127.0.0.1", 5062)
    invite = sipstack.parse(request("INVITE"))
    invite.stamp_received(*source)
    forwarded, target = names["on_request"](invite, source)
    assert (target, forwarded.max_forwards, len(forwarded.vias)) == (names["choose"](invite.call_id).address, 69, 2)
    response, target = names["on_response"](forwarded.reply(200), target)
    assert (target, len(response.vias)) == (source, 1)
    counted: list[str] = []
    names["endpoint"].count = counted.append
    names["up"].clear()
    response = names["on_request"](sipstack.parse(request("INVITE")), source)
    assert (response.status_code, response.get_header("Retry-After"), counted) == (503, "5", ["no_target"])


def test_when_a_target_goes_only_its_calls_move() -> None:
    names: dict[str, Any] = {"__name__": "sample"}
    run(fences(DOCS / "how-to/load-balance.md", "python")[0], DOCS / "how-to/load-balance.md", names)
    calls = [f"call {number} \udcff" for number in range(64)]
    names["TARGETS"].append(proxy.Hop("UDP", "127.0.0.1", 5073))
    names["up"].update(names["TARGETS"])
    before = {call: names["choose"](call) for call in calls}
    assert set(before.values()) == names["up"]
    names["up"].remove(gone := names["TARGETS"][0])
    after = {call: names["choose"](call) for call in calls}
    assert {call for call in calls if before[call] != after[call]} == {c for c in calls if before[c] == gone}


def test_health_checks_from_each_worker(tmp_path: Path, free_port: int) -> None:
    if sys.platform != "linux":
        pytest.skip("workers are for Linux")
    page = "how-to/load-balance.md"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        target.settimeout(10)
        text = "\n".join(fence.text for fence in fences(DOCS / page, "python"))
        text = text.replace("5060", str(free_port)).replace("TIMEOUT = 5.0, 1.0", "TIMEOUT = 0.1, 0.3")
        text = re.sub(r"TARGETS = .*", f"TARGETS = [Hop('UDP', *{target.getsockname()!r})]", text)
        (tmp_path / "health.py").write_text(text, encoding="utf-8")
        process = subprocess.Popen([sys.executable, str(tmp_path / "health.py")])
        probe = request("OPTIONS", f"sip:127.0.0.1:{free_port}")
        try:
            seen: dict[str | None, int] = {}
            while seen != {"worker 0": 503, "worker 1": 503}:  # nobody has answered them
                response = ask(free_port, probe)
                seen[response.get_header("Server")] = response.status_code
                time.sleep(0.01)
            askers = set()
            while seen != {"worker 0": 200, "worker 1": 200}:
                data, addr = target.recvfrom(9000)
                askers.add(addr)
                target.sendto(bytes(sipstack.parse(data).reply(200)), addr)
                response = ask(free_port, probe)
                seen[response.get_header("Server")] = response.status_code
            assert len(askers) == 2  # from a port of its own each, and the answer comes back to it
        finally:
            process.terminate()
            process.wait(20)


def test_transport(start: Any) -> None:
    process = start("reference/endpoint.md")
    output, _ = process.communicate(timeout=60)
    assert output.splitlines() == ["200 to ('192.0.2.9', 5062)", "2 in, 1 unanswerable, 1 out"]


def wait_for_tcp(port: int) -> socket.socket:
    for _ in range(600):
        with contextlib.suppress(ConnectionError):
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        time.sleep(0.1)
    raise AssertionError("nobody listens")


def test_tcp(start: Any, new_port: Callable[..., int]) -> None:
    port = new_port(tcp=True)
    start("how-to/tcp.md", port=port)
    with wait_for_tcp(port) as sock, sock.makefile("rb") as file:
        data = request("OPTIONS") + b"\r\n\r\n" + request("OPTIONS").replace(b"Call-ID", b"X-ID")
        sock.sendall(data[:100])
        sock.sendall(data[100:])
        first = sipstack.read_message_from(file, client=True)
        second = sipstack.read_message_from(file, client=True)
        assert first is not None
        assert second is not None
        assert (first.status_code, second.status_code) == (200, 400)
        pings = b"\r\n\r\n" * 10_000
        sock.sendall(pings)
        assert file.read(len(pings) // 2) == b"\r\n" * 10_000  # a pong for each
        sock.sendall(b"hello\r\n\r\n")
        assert file.read() == b""


def test_tcp_connections_that_are_lost_do_not_fill_the_log(start: Any, new_port: Callable[..., int]) -> None:
    port = new_port(tcp=True)
    process = start("how-to/tcp.md", port=port)
    wait_for_tcp(port).close()
    for _ in range(20):
        with wait_for_tcp(port) as sock:
            sock.sendall(request("OPTIONS") * 300)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it is reset
    with wait_for_tcp(port) as sock, sock.makefile("rb") as file:
        sock.sendall(request("OPTIONS"))
        assert sipstack.read_message_from(file) is not None
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert output.count("\n") < 60, output[:2000]


def test_pcap(start: Any, tmp_path: Path) -> None:
    pytest.importorskip("scapy", reason="scapy is not installed")
    write_capture(tmp_path / "trunk.pcap")
    process = start("how-to/pcap.md", str(tmp_path / "trunk.pcap"))
    output, _ = process.communicate(timeout=120)
    (shown,) = (fence.text for fence in fences(DOCS / "how-to/pcap.md", "console"))
    assert output == shown.partition("\n")[2]


def write_capture(path: Path) -> None:
    """A capture with an INVITE in fragments, its answer, a keep-alive and garbage."""
    packets = []

    def add(seconds: float, source: str, target: str, data: bytes) -> None:
        udp = struct.pack("!HHHH", 5060, 5060, 8 + len(data), 0) + data
        for offset in range(0, len(udp), 1480):
            part = udp[offset : offset + 1480]
            more = 0x2000 if offset + 1480 < len(udp) else 0
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), len(packets) - bool(offset), more | offset // 8,
                               64, 17, 0) + socket.inet_aton(source) + socket.inet_aton(target)  # fmt: skip
            packets.append((seconds, bytes(12) + b"\x08\x00" + head + part))

    invite = sipstack.parse(request("INVITE"))
    invite.set_header("Call-ID", "a84b4c76e66710@192.0.2.1")
    invite.set_header("CSeq", "314159 INVITE")
    invite.body = b"a=x\r\n" * 400
    add(0, "192.0.2.1", "192.0.2.20", bytes(invite))
    add(0.05, "192.0.2.20", "192.0.2.1", bytes(invite.reply(486)))
    add(0.07, "192.0.2.1", "192.0.2.20", b"\r\n\r\n")
    add(0.1, "192.0.2.1", "192.0.2.20", b"hello, world\r\n\r\n")
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for seconds, packet in packets:
        data += struct.pack("<IIII", 1_700_000_000, round(seconds * 1e6), len(packet), len(packet)) + packet
    path.write_bytes(data)


def test_metrics(free_port: int, new_port: Callable[..., int]) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    if sys.platform == "win32":
        pytest.skip("the example listens with SO_REUSEPORT")
    metrics_port = new_port(tcp=True)
    command = [sys.executable, str(REPOSITORY / "examples/metrics.py"), "--listen", f"127.0.0.1:{free_port}"]
    process = subprocess.Popen([*command, "--metrics", f"127.0.0.1:{metrics_port}"])
    try:
        assert ask(free_port, request("OPTIONS")).status_code == 200
        metrics = read_metrics(metrics_port)
    finally:
        process.terminate()
        process.wait(60)
    (shown,) = (fence.text for fence in fences(DOCS / "how-to/metrics.md", "console"))
    expected = [line for line in shown.splitlines() if line.startswith("sip_")]
    assert len(expected) == 2
    assert [line for line in expected if line not in metrics.splitlines()] == []


def read_metrics(port: int) -> str:
    """What a server on 127.0.0.1 says of itself, once it listens."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.05)


# --- the command line ------------------------------------------------------------------------------------------------


def commands() -> Iterator[Any]:
    for page in PAGES:
        for fence in fences(page, "console") if page.exists() else ():
            found: list[tuple[str, str]] = []
            for line in fence.text.splitlines(keepends=True):
                if line.startswith("$ "):
                    found.append((line[2:].partition("  # ")[0].strip(), ""))
                else:
                    found[-1] = (found[-1][0], found[-1][1] + line)
            yield pytest.param(found, id=f"{page.name}:{fence.line}")


ELSEWHERE = {
    r"python examples/call\.py .*": "test_example_call.py",
    r"kamailio -f examples/kamailio-dispatcher/kamailio\.cfg .*": "test_proxy.py",
    r"python read_pcap\.py trunk\.pcap": "test_docs.py",
    r"curl -s http://127\.0\.0\.1:9360/metrics": "test_docs.py",
    r"pip install redis|redis-server .*|python examples/registrar\.py .*": "test_example_registrar.py",
}
"""Commands that need more than a shell, and the file that runs them."""

LOOPBACK = re.compile(r"192\.0\.2\.[0-9]+|sip\.example\.com|\[2001:db8::1\]")


class Shell:
    """Runs what a page shows: its addresses are loopback, its ports free, and a `sipstack serve` answers pings."""

    def __init__(self, folder: Path, serve: Any, new_port: Callable[..., int]) -> None:
        self.folder = folder
        self.serve = serve
        self.new_port = new_port
        self.port = 0

    def run(self, command: str, expected: str) -> None:
        if command.startswith("cat "):
            (self.folder / command[4:]).write_bytes(expected.encode().replace(b"\n", b"\r\n") + b"\r\n")
            return
        if sys.platform == "win32":
            pytest.skip("the shell is not that of the page")
        if command.startswith(("sipstack serve", "python examples/")):
            self.run_server(command)
            return
        if "ping" in command:
            self.port = self.port or self.serve().port
            command = self.over_udp(command)
        if command.startswith("python benchmarks/"):
            command = f"cd {shlex.quote(str(REPOSITORY))} && {command} --help"  # a measurement takes its time
        if "message.sip" in command:
            (self.folder / "message.sip").write_bytes(request("OPTIONS"))
        python = shlex.quote(sys.executable)
        shell = f'sipstack() {{ {python} -m sipstack "$@"; }}; python() {{ {python} "$@"; }}; {command}'
        shell, expected = (text.replace("5060", str(self.port or 5060)) for text in (shell, expected))
        result = subprocess.run(["bash", "-c", shell], cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in result.stderr
        if expected:
            assert doctest.OutputChecker().check_output(expected, result.stdout, doctest.ELLIPSIS), result.stdout
        else:
            assert result.returncode == 0, result.stdout + result.stderr

    def over_udp(self, command: str) -> str:
        """A ping of the one server that there is, once."""
        command = re.sub(f"({LOOPBACK.pattern})(?::5060)?", "127.0.0.1:5060", command)
        command = command.replace(";transport=tcp", ";transport=udp")
        return re.sub(r"^sipstack ping (?!.*-c )", "sipstack ping -c 1 ", command)

    def run_server(self, command: str) -> None:
        """A program that listens: it is up, and ends in good order at SIGTERM."""
        words = shlex.split(command.removesuffix("&"))
        words = [re.sub(rf"^(?:{LOOPBACK.pattern}|127\.0\.0\.1|::)(:|$)", r"127.0.0.1\1", word) for word in words]
        shown = re.compile(r"^((?:127\.0\.0\.1:)?)(5060|507[12]|9360)$")
        words = [shown.sub(lambda match: f"{match[1]}{self.new_port(tcp=match[2] == '9360')}", word) for word in words]
        if "--uvloop" in words:
            pytest.importorskip("uvloop", reason="uvloop is not installed")
        if not {"--port", "--listen"} & set(words):
            words += ["--port", str(self.new_port())]
        listens = next(word for before, word in itertools.pairwise(words) if before in ("--port", "--listen"))
        words[:1] = [sys.executable, *(["-m", "sipstack"] if words[0] == "sipstack" else [])]
        process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        options = sipstack.parse(request("OPTIONS"))
        options.set_header("Max-Forwards", "0")
        try:
            ask(int(listens.rpartition(":")[2]), bytes(options))
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=60)
            sys.stdout.write(output)
        assert "Traceback" not in output
        assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize("session", list(commands()))
def test_commands(session: list[tuple[str, str]], tmp_path: Path, serve: Any, new_port: Callable[..., int]) -> None:
    """Every command that a page shows is run, here or in another test; what is shown of its output it prints."""
    shell = Shell(tmp_path, serve, new_port)
    for command, expected in session:
        file = next((file for pattern, file in ELSEWHERE.items() if re.fullmatch(pattern, command)), None)
        if file is not None:
            program = re.search(r"call|kamailio-dispatcher|(?<=read_)pcap|metrics|registrar|redis", command)[0]
            assert program in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
            continue
        shell.run(command, expected)
