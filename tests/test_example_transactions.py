"""`examples/transactions.py`: the tables of RFC 3261 section 17 walked through, on a clock that nobody waits for."""

import asyncio
import selectors
import sys
from pathlib import Path

import pytest

from sipstack import DatagramTransport, EndpointConfig, HeaderError, Message, TransportError, parse

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import transactions as example
from transactions import Transactions

US, ALICE, STRANGER = ("192.0.2.1", 5060), ("198.51.100.7", 5062), ("203.0.113.9", 5060)


class Instant(selectors.SelectSelector):
    """Waits for no time: the loop's clock is set to when its next timer is due."""

    loop: "Clock"

    def select(self, timeout=None):
        assert timeout is not None, "nothing is left that could happen"
        if timeout > 0:
            self.loop.now = self.loop._scheduled[0]._when
        return super().select(0)


class Clock(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = Instant()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class Wire(DatagramTransport):
    """A transport in memory: what is sent is kept, with the second it was sent in."""

    local_address = None

    def __init__(self) -> None:
        self.sent: list[tuple[float, Message, tuple[str, int]]] = []
        self.failure: Exception | None = None

    def open(self) -> None:
        self.local_address = US

    def close(self) -> None:
        self.local_address = None

    async def start(self, receiver) -> None:
        self.receiver = receiver

    def stop(self) -> None:
        pass

    def send(self, datagrams):
        if self.failure:
            return [(*datagram, self.failure) for datagram in datagrams]
        now = asyncio.get_running_loop().time() - 1000
        self.sent += [(now, parse(data), addr) for data, addr in datagrams]
        return ()


class Bench:
    """Transactions on a wire in memory."""

    def __init__(self, handlers=None, *, limit=1000, **options) -> None:
        self.wire = Wire()
        self.it = Transactions(EndpointConfig(**options), handlers or {}, limit=limit, transport=self.wire)

    async def arrive(self, *messages: Message, source=ALICE) -> None:
        """These come in; what happens at once has happened."""
        self.wire.receiver.deliver([(bytes(message), source) for message in messages])
        for _ in range(9):
            await asyncio.sleep(0)

    async def at(self, second: float) -> None:
        """A moment after this second: what was due is done."""
        await asyncio.sleep(1000 + second + 0.001 - asyncio.get_running_loop().time())

    @property
    def said(self) -> list[str]:
        """What was sent, in short, with the second: "0.5 INVITE", "1 200 INVITE"."""
        return [f"{when:g} {short(message)}" for when, message, _ in self.wire.sent]

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.it.servers), len(self.it.clients)


def short(message: Message) -> str:
    return message.method if message.is_request else f"{message.status_code} {message.cseq.method}"


def play(scene, handlers=None, **options) -> Bench:
    """Plays a scene with a bench of its own, to the end of all transactions."""

    async def main() -> Bench:
        bench = Bench(handlers, **options)
        async with bench.it.endpoint as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            await asyncio.sleep(0)
            await scene(bench)
            await asyncio.sleep(400)
            assert bench.sizes == (0, 0)
            assert not bench.it.answered
            assert not bench.it.wheel._slots
            endpoint.close()
        await serving
        assert endpoint.stats.hook_errors == endpoint.stats.handler_errors == 0
        return bench

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(main())


def make_request(method="INVITE", *, branch="z9hG4bK1", sent_by="198.51.100.7:5062", to_tag="", **more) -> Message:
    headers = {
        "Via": f"SIP/2.0/UDP {sent_by};branch={branch};rport",
        "Max-Forwards": 70,
        "From": "<sip:alice@example.com>;tag=1",
        "To": "<sip:bob@example.com>" + to_tag,
        "Call-ID": more.pop("call_id", "call-1"),
        "CSeq": f"1 {method}",
    }
    return Message.request(method, "sip:bob@example.com", headers=headers, body=more.pop("body", b""))


class Callee:
    """A handler that counts, and answers when and what it is told."""

    def __init__(self, *statuses: int, after: float = 0.0) -> None:
        self.statuses, self.after, self.asked = statuses, after, []

    async def __call__(self, request, addr):
        self.asked.append(request)
        await asyncio.sleep(self.after)
        for status in self.statuses[:-1]:
            self.bench.it.respond(request, request.reply(status), addr)
            await asyncio.sleep(self.after)
        return request.reply(self.statuses[-1]) if self.statuses[-1] else None


def callee(*statuses, after=0.0):
    return Callee(*statuses, after=after)


class TestServerNonInvite:
    """17.2.2."""

    def test_completed_for_timer_j(self):
        handler = Callee(200, after=1)

        async def scene(bench):
            await bench.arrive(make_request("REGISTER"))
            await bench.at(0.5)
            await bench.arrive(make_request("REGISTER"))  # trying: discarded
            await bench.at(1.5)
            await bench.arrive(make_request("REGISTER"), make_request("REGISTER"))
            await bench.at(32.9)
            await bench.arrive(make_request("REGISTER"))
            assert len(handler.asked) == 1
            await bench.at(33.1)
            assert bench.sizes == (0, 0)

        bench = play(scene, {"REGISTER": handler})
        assert bench.said == ["1 200 REGISTER", "1.501 200 REGISTER", "1.501 200 REGISTER", "32.901 200 REGISTER"]
        assert {to for _, _, to in bench.wire.sent} == {ALICE}
        assert len({bytes(message) for _, message, _ in bench.wire.sent}) == 1
