"""What the whole suite shares: both implementations, the corpus, and real SIP clients.

Environment:
    SIPSTACK_REQUIRE_EXTENSIONS=1  a compiled core that is not built is a failure, not a skip
    SIPSTACK_NO_EXTENSIONS=1       only the plain implementation is tested
    SIPSTACK_REQUIRE_CLIENTS=1     a missing sipsak, sipp, kamailio, baresip or redis-server is a failure, not a skip
"""

import asyncio
import contextlib
import importlib
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from loops import LOOPS

REPOSITORY = Path(__file__).resolve().parent.parent
CORPUS = REPOSITORY.parent / "shared" / "corpus"

_ONLY_PLAIN = os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1"

# Two busy cores make any deadline a matter of luck. "ci" repeats the same examples in every run, so that a red run
# is about the change; `.ci/run` and the fuzzer look for new ones on their own clock.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def _skip_or_fail(reason: str, *, required_by: str) -> None:
    """Skips the test, or fails it where the environment variable says that nothing may be missing."""
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{reason} ({required_by}=1)", pytrace=False)
    pytest.skip(reason)


def _implementation(name: str) -> ModuleType:
    if name == "python":
        return importlib.import_module("sipstack._parser_py")
    if _ONLY_PLAIN:
        pytest.skip("SIPSTACK_NO_EXTENSIONS=1: only the plain implementation")
    try:
        return importlib.import_module("sipstack._parser")
    except ImportError as error:
        _skip_or_fail(f"the compiled core cannot be used: {error}", required_by="SIPSTACK_REQUIRE_EXTENSIONS")
        raise AssertionError("unreachable") from None


@pytest.fixture(scope="session", params=["python"] if _ONLY_PLAIN else ["cython", "python"])
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """One of the two implementations: a module with `Message` and `parse`. Session-wide, so Hypothesis may use it."""
    return _implementation(request.param)


@pytest.fixture(scope="session")
def both() -> tuple[ModuleType, ModuleType]:
    """The compiled and the plain implementation, for tests that compare them."""
    return _implementation("cython"), _implementation("python")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with the torture messages of RFC 4475 and RFC 5118."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus is not here: it is expected beside the repository, in shared/corpus")
    return CORPUS


@pytest.fixture(scope="session")
def client() -> Callable[[str], str]:
    """Gives the path of a real SIP program, or skips with the name of what to install."""
    packages = {"sipp": "sip-tester", "baresip": "baresip-core"}

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path is None:
            package = packages.get(name, name)
            _skip_or_fail(f"{name} is not installed (package {package})", required_by="SIPSTACK_REQUIRE_CLIENTS")
        assert path is not None
        return path

    return find


@pytest.fixture
def new_port() -> Iterator[Callable[..., int]]:
    """Gives ports of 127.0.0.1 to programs that cannot choose one themselves: UDP ports, or TCP ports with `tcp=True`.

    Nobody else is given them while the test runs. They are no ports that a system gives where it is asked for port 0,
    and the port of the other protocol that has the same number is held for as long: by it other tests see who is first.
    """
    with contextlib.ExitStack() as held:
        yield lambda tcp=False: _hold_port(held, tcp=tcp)


def _hold_port(held: contextlib.ExitStack, *, tcp: bool) -> int:
    kind, other = socket.SOCK_DGRAM, socket.SOCK_STREAM
    if tcp:
        kind, other = other, kind
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(socket.socket(socket.AF_INET, other)).bind(("127.0.0.1", port))
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
            held.push(stack.pop_all())
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def free_port(new_port: Callable[..., int]) -> int:
    """One port of `new_port`."""
    return new_port()


class Server:
    """A `sipstack serve` in a process of its own, and what it has printed so far."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "sipstack", "serve", "--host", "127.0.0.1", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.output = ""
        self.port = int(self.wait_for(r"listening on 127\.0\.0\.1:([0-9]+)")[1])

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Reads on until `pattern` has been printed."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.output)):
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                pytest.fail(f"{pattern!r} did not come within {seconds} s:\n{self.output}")
            chunk = self.process.stdout.read(65536)
            if not chunk:
                pytest.fail(f"the server ended before {pattern!r} came:\n{self.output}")
            self.output += chunk.decode()
        return match

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal, reads the rest of the output, returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.output += self.process.communicate(timeout=60)[0].decode()
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"did not stop at {number.name}:\n{self.output}")
        return self.process.returncode


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts `sipstack serve` on a free port of 127.0.0.1, with any further arguments, and ends it after the test."""
    if sys.platform == "win32":
        pytest.skip("a server process is ended with a signal, which Windows does not have")
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a coroutine on one of the loops."""

    def runner(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as it:
            return it.run(asyncio.wait_for(coroutine, 60))

    return runner


@pytest.fixture
def go() -> Callable[..., Any]:
    """Runs a coroutine on the loop that is there always, for what does not depend on it."""

    def runner(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner() as it:
            return it.run(asyncio.wait_for(coroutine, 60))

    return runner


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(old)
