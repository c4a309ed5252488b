"""An endpoint that runs as a program: signals, reports, what runs beside it, and the workers that share its port."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ._serving import Serving, make_transport
from ._stats import Stats
from ._workers import SIGNALS, Supervisor, hold_signals, let_signals_in, require_support, signals_held
from .transport import UDPTransport

_PUBLISH_SECONDS: Final = 0.1  # how old a worker's counters may be in the snapshot of all


@dataclass
class Program:
    """What `Endpoint.run` does, with its arguments.

    Attributes:
        on_serving: called when all is ready.
    """

    serving: Serving
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None
    on_stats: Callable[[Stats], object] | None
    stats_interval: float
    beside: Callable[[], Awaitable[object]] | None
    on_serving: Callable[[], object] = lambda: None

    def run(self, parent: int = -1) -> None:
        """Serves in this process until a signal, or until the descriptor `parent` is readable."""
        if self.serving.closed:
            return
        with (
            signals_held(),
            contextlib.suppress(KeyboardInterrupt),
            asyncio.Runner(loop_factory=self.loop_factory) as runner,
        ):
            runner.run(self._serve_until_signal(parent))

    async def _serve_until_signal(self, parent: int) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in SIGNALS:
            # Not in a thread and not on Windows, where Ctrl-C cancels this coroutine instead.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        if parent >= 0:
            loop.add_reader(parent, stop.set)  # the other end is the supervisor's: it is readable when that is gone
        if self.serving.transport is None:
            self.serving.open()
        beside = [loop.create_task(_run_or_stop(stop, work)) for work in (self._keep_reporting, self.beside) if work]
        serving, stopping = loop.create_task(self.serving.serve()), loop.create_task(stop.wait())
        self.on_serving()
        let_signals_in()
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await self.serving.aclose()
            await serving
        finally:
            for task in (serving, stopping, *beside):
                task.cancel()
            await asyncio.gather(serving, stopping, *beside, return_exceptions=True)
            await self.serving.aclose()
            hold_signals()  # asyncio closes the pipe that signals are written to before it lets go of them
        self._report()
        for task in beside:
            if not task.cancelled():
                task.result()

    async def _keep_reporting(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(self.stats_interval)

    def _report(self) -> None:
        self.serving.counters.publish()
        self.serving.reports.call(self.on_stats, self.serving.counters.total())

    # ------------------------------------------------------------------ workers

    def run_workers(self, count: int) -> None:
        """Opens one socket a worker and keeps them, so that a worker's end loses nothing that waits in its socket."""
        serving = self.serving
        if serving.given is not None:
            raise ValueError("workers need sockets of their own: a transport was given")
        if serving.transport is not None:
            raise RuntimeError("the endpoint is open already: workers open sockets of their own")
        if serving.closed:
            return
        require_support()
        with signals_held(), contextlib.suppress(KeyboardInterrupt):
            self._supervise(count)

    def _supervise(self, count: int) -> None:
        serving = self.serving
        transports: list[UDPTransport] = []
        try:
            for number in range(count):
                port = transports[0].local_address[1] if transports and transports[0].local_address else None
                transports.append(make_transport(serving.config, port, reuse_port=number > 0))
                transports[-1].open()
                if number == 0:
                    _share(transports[0])
            shared = serving.counters.share(count)
            serving.transport = transports[0]  # for listen_addr; the parent neither reads nor sends

            def on_death(index: int) -> None:
                shared.retire(index)
                transports[index]._accept_new()  # what it refused when it drained waits for the next one instead

            supervisor = Supervisor(
                count,
                lambda index, parent: self._be_worker(index, parent, transports, supervisor),
                on_death=on_death,
                on_tick=self._report,
                tick=self.stats_interval,
                grace=serving.config.drain_timeout + 2.0,
            )
            supervisor.run()
            self._report()
        finally:
            serving.transport = None
            for transport in transports:
                transport.close()

    def _be_worker(self, index: int, parent: int, transports: list[UDPTransport], supervisor: Supervisor) -> None:
        """The life of one worker, in its own process."""
        for transport in transports:
            if transport is not transports[index]:
                transport.close()
        self.serving.attach(transports[index])
        self.serving.counters.worker = index
        self.on_serving = lambda: supervisor.note_serving(index)
        self.on_stats, self.stats_interval = None, _PUBLISH_SECONDS
        self.run(parent)


def _share(transport: UDPTransport) -> None:
    """Lets more sockets have the port of this one.

    It has bound the port alone, which fails where another program has it, also with workers: the kernel would deal
    that program a part of the peers. From now on it is shared, and whoever binds it alone fails.
    """
    assert transport.sock is not None
    transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


async def _run_or_stop(stop: asyncio.Event, work: Callable[[], Awaitable[object]]) -> None:
    """What runs beside the serving. Where it fails, all of it stops."""
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException:
        stop.set()
        raise
