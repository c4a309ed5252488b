"""Programs that the tests start, and end."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


@contextlib.contextmanager
def ended(process: subprocess.Popen) -> Iterator[None]:
    """The process has ended behind the block, by itself or not."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ping(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sipstack", "ping", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def running_kamailio(program: str, config: str, port: int, folder: Path, *arguments: str) -> Iterator[None]:
    """A Kamailio that answers on this port of 127.0.0.1, with a configuration of tests/kamailio."""
    command = [program, "-f", str(HERE / "kamailio" / config), "-DD", "-E", "-m", "16", "-M", "4", *arguments]
    command += ["-l", f"udp:127.0.0.1:{port}", "-w", str(folder), "-Y", str(folder)]
    log = folder / "kamailio.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    with ended(process):
        end = time.monotonic() + 60
        while ping(f"127.0.0.1:{port}", "-c", "1", "-W", "1").returncode:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
        yield
