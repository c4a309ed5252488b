"""What a request costs from the socket and back, in CPU time of the answering thread: the kernel's part and ours.

    python benchmarks/datagrams.py [--turns 600] [--waiting 64]

Linux, compiled core, loopback. A client puts requests into a socket, an endpoint answers all that wait, and the client
takes the answers. The clock is the thread's own and covers the endpoint's half, so it holds on a busy machine. `floor`
is recvmmsg and sendmmsg of as many bytes, with no work between. The variants have their turns in a random order.
"""

import argparse
import asyncio
import random
import socket
import statistics
import time
from collections.abc import Iterator

from sipstack._udp import Batch

from sipstack import Message
from sipstack.endpoint import Endpoint, EndpointConfig
from sipstack.transport import Address, Datagram, UDPTransport

VARIANTS = {
    "floor": {},
    "endpoint": {},
    "batch_size=32": {"batch_size": 32},
    "batch_size=16": {"batch_size": 16},
    "batch_size=8": {"batch_size": 8},
    "read_buf_size=4000": {"read_buf_size": 4000},
    "host=0.0.0.0": {"host": "0.0.0.0"},
    "host=::": {"host": "::"},
    "gso": {"gso": True},
    "coroutine": {},
    "coroutine, gso": {"gso": True},
}
REQUEST = (
    "OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5555;branch=z9hG4bK{0:016x};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=1234\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: {0:016x}@client\r\n"
    "CSeq: {1} OPTIONS\r\nContact: <sip:a@127.0.0.1:5555>\r\nUser-Agent: client\r\nContent-Length: 0\r\n\r\n"
)


class Variant:
    """An endpoint, read when it is asked for, and its client."""

    def __init__(self, name: str) -> None:
        self.name, self.times = name, list[float]()
        self.endpoint = Endpoint(EndpointConfig(port=0, **VARIANTS[name]))
        self.endpoint.register_handler("OPTIONS", self.later if name.startswith("coroutine") else self.options)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.setblocking(False)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.batch = Batch(self.client, 64, 4096)

    def options(self, request: Message, _addr: Address) -> Message:
        return request.reply(200)

    async def later(self, request: Message, _addr: Address) -> Message:
        return request.reply(200)

    async def start(self) -> None:
        self.serving = asyncio.ensure_future(self.endpoint.serve())
        await asyncio.sleep(0.01)
        transport = self.endpoint.transport
        assert isinstance(transport, UDPTransport)
        assert transport.sock is not None
        self.transport = transport
        asyncio.get_running_loop().remove_reader(transport.sock.fileno())
        self.answer = self.echo if self.name == "floor" else self.serve_waiting

    def serve_waiting(self) -> int:
        self.transport._on_readable()
        return self.transport._take(self.endpoint._serving)  # it gives the loop a turn after so long

    def echo(self) -> int:
        assert self.transport._batch is not None
        datagrams = self.transport._batch.receive()
        self.transport._batch.send(datagrams)
        return len(datagrams)

    async def turn(self, requests: list[bytes]) -> None:
        target = "127.0.0.1", self.endpoint.listen_addr[1]
        datagrams: list[Datagram] = [(data, target) for data in requests]
        assert self.batch.send(datagrams) == (len(datagrams), [])
        start, got = time.thread_time_ns(), 0
        while self.answer():
            await asyncio.sleep(0)
        while len(self.endpoint._serving._tasks) or self.endpoint._serving._outbox.waiting:
            await asyncio.sleep(0)
        self.times.append((time.thread_time_ns() - start) / len(requests) / 1000)
        end = time.monotonic() + 2
        while got < len(requests) and time.monotonic() < end:
            got += len(self.batch.receive())
            await asyncio.sleep(0)
        assert got == len(requests), f"{self.name}: {got} answers to {len(requests)} requests"


def requests(count: int) -> Iterator[list[bytes]]:
    number = 0
    while True:
        yield [REQUEST.format(n, 1_000_000_000 + n).encode() for n in range(number, number + count)]
        number += count


async def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time a request, from the socket and back")
    parser.add_argument("--turns", type=int, default=600, help="measurements of each variant (600)")
    parser.add_argument("--waiting", type=int, default=64, help="requests that wait when the socket is read (64)")
    args = parser.parse_args()
    variants = [Variant(name) for name in VARIANTS]
    for variant in variants:
        await variant.start()
    supply = requests(args.waiting)
    for _ in range(args.turns):
        for variant in random.sample(variants, len(variants)):
            await variant.turn(next(supply))
    floor, plain = (statistics.quantiles(variant.times, n=4)[0] for variant in variants[:2])
    print(f"{'':20}{'us/request':>11}{'to the floor':>14}{'to endpoint':>13}   (first quartiles)")
    for variant in variants:
        cost = statistics.quantiles(variant.times, n=4)[0]
        print(f"{variant.name:20}{cost:11.2f}{cost / floor:14.2f}{cost / plain:13.2f}")
        variant.client.close()
        variant.endpoint.close()
        await variant.serving


if __name__ == "__main__":
    asyncio.run(main())
