"""An endpoint that runs as a program: signals, reports, what runs beside it, and the workers that share its port."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from ._counters import Counters
from ._hooks import Hooks
from ._serving import Serving, make_transport
from ._stats import Stats
from ._workers import Supervisor, require_support
from .transport import UDPTransport

__all__ = ["Program"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PUBLISH_SECONDS: Final = 0.1  # how old a worker's counters may be in the snapshot of all


class Program:
    """What `Endpoint.run` does, with its arguments."""

    def __init__(
        self,
        serving: Serving,
        counters: Counters,
        hooks: Hooks,
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        on_stats: Callable[[Stats], object] | None,
        stats_interval: float,
        beside: Callable[[], Awaitable[object]] | None,
    ) -> None:
        self._serving, self._counters, self._hooks = serving, counters, hooks
        self._loop_factory = loop_factory
        self._on_stats = on_stats
        self._interval = stats_interval
        self._beside = beside

    def run(self, parent: int = -1) -> None:
        """Serves in this process until a signal, or until the descriptor `parent` is readable."""
        with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._serve_until_signal(parent))

    async def _serve_until_signal(self, parent: int) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in _SIGNALS:
            # Not in a thread and not on Windows, where Ctrl-C cancels this coroutine instead.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        if parent >= 0:
            loop.add_reader(parent, stop.set)  # the other end is the supervisor's: it is readable when that is gone
        if self._serving.transport is None:
            self._serving.open()
        beside = loop.create_task(self._accompany(stop))
        try:
            async with _repeat(self._report, every=self._interval):
                self._report()
                await self._serve_until(stop)
        finally:
            await _end(beside)
            await self._serving.aclose()
            if parent >= 0:
                # The worker ends now. asyncio closes the pipe that signals are written to before it lets go of them.
                signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._report()
        if not beside.cancelled():
            beside.result()

    async def _serve_until(self, stop: asyncio.Event) -> None:
        """Serves until the event is set; then it drains, while the serving goes on."""
        serving = asyncio.create_task(self._serving.serve())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            await self._serving.aclose()
            await serving
        finally:
            await _end(serving)
            await _end(stopping)

    async def _accompany(self, stop: asyncio.Event) -> None:
        """What runs beside the serving. Where that fails, all of it stops."""
        try:
            if self._beside is not None:
                await self._beside()
        except Exception:
            stop.set()
            raise

    def _report(self) -> None:
        self._counters.publish()
        self._hooks.call(self._on_stats, self._counters.total())

    # ------------------------------------------------------------------ workers

    def run_workers(self, count: int) -> None:
        """Opens one socket a worker and keeps them, so that a worker's end loses nothing that waits in its socket."""
        if self._serving.given is not None:
            raise ValueError("workers need sockets of their own: a transport was given")
        if self._serving.transport is not None:
            raise RuntimeError("the endpoint is open already: workers open sockets of their own")
        require_support()
        config = self._serving.config
        transports: list[UDPTransport] = []
        try:
            for _ in range(count):
                port = transports[0].local_address[1] if transports and transports[0].local_address else None
                transports.append(make_transport(config, port, reuse_port=True))
                transports[-1].open()
            shared = self._counters.share(count)
            self._serving.transport = transports[0]  # for listen_addr; the parent neither reads nor sends
            supervisor = Supervisor(
                count,
                lambda index, parent: self._be_worker(index, parent, transports),
                on_death=shared.retire,
                on_tick=self._report,
                tick=self._interval,
                grace=config.drain_timeout + 2.0,
            )
            self._report()
            supervisor.run()
            self._report()
        finally:
            self._serving.transport = None
            for transport in transports:
                transport.close()

    def _be_worker(self, index: int, parent: int, transports: list[UDPTransport]) -> None:
        """The life of one worker, in its own process."""
        for transport in transports:
            if transport is not transports[index]:
                transport.close()
        self._serving.attach(transports[index])
        self._counters.become(index)
        self._on_stats, self._interval = None, _PUBLISH_SECONDS
        self.run(parent)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _repeat(call: Callable[[], None], *, every: float) -> AsyncIterator[None]:
    """Calls a function every so many seconds while the block runs."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        timer = loop.call_later(every, again)
        call()

    timer = loop.call_later(every, again)
    try:
        yield
    finally:
        timer.cancel()
