"""Real SIP programs against `sipstack serve`, and `sipstack ping` against a real server. Loopback only."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import ping, running_kamailio

HERE = Path(__file__).parent


def run(command: list[str], timeout: float = 180, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        **kwargs,
    )


class TestSipsak:
    def test_options_is_answered(self, client: Callable[[str], str], serve) -> None:
        server = serve()
        result = run([client("sipsak"), "-vv", "-s", f"sip:probe@127.0.0.1:{server.port}"])
        assert result.returncode == 0, result.stdout
        assert "SIP/2.0 200 OK" in result.stdout
        assert re.search(r"^Allow: .*OPTIONS", result.stdout, re.MULTILINE)

    def test_flood_of_requests(self, client: Callable[[str], str], serve) -> None:
        """One process after the other, as a monitoring probe does it."""
        server = serve()
        for _ in range(10):
            assert run([client("sipsak"), "-s", f"sip:probe@127.0.0.1:{server.port}"]).returncode == 0
        assert server.stop() == 0
        assert int(re.findall(r"([0-9]+) requests[^/]", server.output)[-1]) >= 10  # more where the machine was busy


def sipp(
    program: str, scenario: str, port: int, own_port: int, calls: int, rate: int, folder: Path, host: str = "127.0.0.1"
) -> dict[str, int]:
    """Runs a scenario of tests/sipp and returns the last line of its statistics."""
    statistics = folder / "statistics.csv"
    command = [
        program,
        f"{host}:{port}",
        "-sf",
        str(HERE / "sipp" / scenario),
        "-i",
        "127.0.0.1",
        "-p",
        str(own_port),
    ]
    command += ["-m", str(calls), "-r", str(rate), "-l", "200", "-nostdin", "-timeout", "150s", "-timeout_error"]
    command += ["-trace_stat", "-fd", "1", "-stf", str(statistics), "-trace_err", "-error_file", str(folder / "errors")]
    result = run(command, cwd=folder)
    errors = folder / "errors"
    assert result.returncode == 0, result.stdout[-3000:] + (errors.read_text()[-3000:] if errors.exists() else "")
    with statistics.open(newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    return {key: int(value) for key, value in last.items() if key and value and value.isdigit()}


class TestSipp:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_thousand_requests(self, client, serve, free_port: int, tmp_path: Path, workers: int) -> None:
        program = client("sipp")
        server = serve("--workers", str(workers))
        counts = sipp(program, "options.xml", server.port, free_port, 1000, 500, tmp_path)
        assert (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]) == (1000, 0)
        assert server.stop() == 0
        answered = re.findall(r"([0-9,]+) requests .*, ([0-9,]+) responses", server.output)
        assert answered, server.output
        requests, responses = (int(number.replace(",", "")) for number in answered[-1])
        assert requests == responses >= 1000  # more where SIPp was kept from reading for so long that it asked again

    def test_calls_to_nobody(self, client, serve, free_port: int, tmp_path: Path) -> None:
        program = client("sipp")
        server = serve()
        counts = sipp(program, "no_handler.xml", server.port, free_port, 300, 150, tmp_path)
        assert (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]) == (300, 0)


@pytest.fixture(params=["1", "2"])
def ringing(request: pytest.FixtureRequest, free_port: int) -> Iterator[int]:
    """The port of `ringing.py` on every address of this machine, with one worker and with two."""
    if sys.platform != "linux":
        pytest.skip("127.0.0.2, and workers")
    command = [sys.executable, str(HERE / "ringing.py"), str(free_port), request.param]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while ping(f"127.0.0.1:{free_port}", "-c", "1", "-W", "1").returncode:
            assert process.poll() is None
            assert time.monotonic() < end
        yield free_port
    finally:
        process.terminate()
        assert process.wait(60) == 0


class TestOnEveryAddress:
    def test_sipsak_is_answered_by_the_address_it_asks(self, client, ringing: int) -> None:
        """It hears nobody else: its socket is a connected one."""
        for host in ("127.0.0.2", "127.0.0.1"):
            result = run([client("sipsak"), "-vv", "-s", f"sip:probe@{host}:{ringing}"])
            assert result.returncode == 0, result.stdout
            assert "SIP/2.0 200 OK" in result.stdout

    def test_sipp_gives_calls_up(self, client, ringing: int, new_port, tmp_path: Path) -> None:
        counts = sipp(client("sipp"), "cancel.xml", ringing, new_port(), 200, 100, tmp_path, host="127.0.0.2")
        assert (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]) == (200, 0)

    def test_sipp_gives_calls_up_through_kamailio(self, client, ringing: int, new_port, tmp_path: Path) -> None:
        """Which sends a CANCEL of its own, by the Via that it put on top of the INVITE."""
        target = f'TARGET="127.0.0.2:{ringing}"'
        port = new_port()
        with running_kamailio(client("kamailio"), "relay.cfg", port, tmp_path, "-A", target):
            counts = sipp(client("sipp"), "cancel.xml", port, new_port(), 100, 50, tmp_path)
        assert (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]) == (100, 0)


@pytest.fixture
def kamailio(client, free_port: int, tmp_path: Path) -> Iterator[int]:
    """The port of a Kamailio that answers OPTIONS."""
    with running_kamailio(client("kamailio"), "options.cfg", free_port, tmp_path):
        yield free_port


class TestKamailio:
    def test_ping(self, kamailio: int) -> None:
        result = ping("-c", "5", "-i", "0.05", f"127.0.0.1:{kamailio}")
        assert result.returncode == 0, result.stdout
        assert result.stdout.count("200 Keepalive from 127.0.0.1") == 5
        assert "server=kamailio" in result.stdout
        assert "5 requests sent, 5 answered, 0% lost" in result.stdout
        assert re.search(r"rtt min/avg/max/mdev = [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms", result.stdout)
