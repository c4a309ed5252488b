"""The endpoint does the same whichever implementation is under it: the same programs with both, line by line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dispatch_scenarios import fixed, make_request

from sipstack import IMPLEMENTATION, Address, Datagram, DatagramTransport, Endpoint, Message, parse

SCENARIOS = Path(__file__).with_name("dispatch_scenarios.py")
RANDOM_ONES = 300


def played(**variables: str) -> list[str]:
    """The record of every scenario, from a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": "1", **variables}
    result = subprocess.run(
        [sys.executable, SCENARIOS, str(RANDOM_ONES)], env=environment, capture_output=True, timeout=600, check=True
    )
    assert result.stderr == b""
    return result.stdout.decode().splitlines()


@pytest.mark.skipif(IMPLEMENTATION != "cython", reason="compares the compiled implementation with the plain one")
def test_both_implementations_do_the_same() -> None:
    compiled, plain = played(), played(SIPSTACK_NO_EXTENSIONS="1")
    scenario = ""
    for ours, theirs in zip(compiled, plain, strict=False):
        if ours.startswith("--- scenario"):
            scenario = ours
        assert ours == theirs, scenario
    assert len(compiled) == len(plain)


def test_the_scenarios_see_something() -> None:
    lines = played()
    kinds = {line.split(" ", 1)[0] for line in lines}
    assert {"open", "handler", "hook", "out", "log", "close", "dispatch", "requests"} <= kinds
    assert sum(line.startswith("--- scenario") for line in lines) == RANDOM_ONES + len(fixed())
    assert len(lines) > 20_000


class Kept(DatagramTransport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, datagrams: list[Datagram]) -> tuple[()]:
        self.sent += [data for data, _ in datagrams]
        return ()


def test_a_handler_that_another_replaces_in_the_middle_of_a_batch() -> None:
    def first(request: Message, _: Address) -> Message:
        endpoint.register_handler("OPTIONS", lambda request, _: request.reply(202))
        return request.reply(200)

    transport = Kept()
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", first)
    endpoint._serving.attach(transport)
    endpoint._dispatcher.deliver([(make_request(), ("192.0.2.1", 5060))] * 10)
    assert [parse(data).status_code for data in transport.sent] == [200] + [202] * 9
    assert endpoint.stats.requests == endpoint.stats.responses == endpoint.stats.sent == 10
