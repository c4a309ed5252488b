"""A transport in memory."""

import asyncio

from sipstack import DatagramTransport, Receiver

US = ("192.0.2.1", 5060)


class Wire(DatagramTransport):
    """What the tests put in arrives, and what is sent waits for them."""

    local_address: tuple[str, int] | None = None

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.outbox: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def open(self) -> None:
        self.local_address = US

    def close(self) -> None:
        self.local_address = None

    async def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def stop(self) -> None:
        self.receiver = None

    def send(self, datagrams):
        for datagram in datagrams:
            self.outbox.put_nowait(datagram)
        return ()
