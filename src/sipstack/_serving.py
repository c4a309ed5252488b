"""The life of an endpoint on a loop: open, serving, draining, closed. Every transport is met through the same calls."""

import asyncio
import contextlib
import errno
import logging
import threading
from typing import TYPE_CHECKING, Any

from ._config import EndpointConfig, EventType
from ._counters import Counters
from .errors import TransportError
from .transport import DatagramTransport, UDPTransport, running_loop

if TYPE_CHECKING:
    from ._dispatch_py import Dispatcher

_logger = logging.getLogger("sipstack.endpoint")


class Serving:
    """Opens, serves and closes. To the transport it is the `Receiver`: what comes goes straight to the dispatcher.

    It is read while `serve` waits, or in a block, from `enter` to `leave`; `serve` inside a block waits with it.

    Attributes:
        given: the transport to use instead of a UDP socket made from the config.
        transport: the one that is open, or None.
        closed: whether somebody closed it, and did not open it again: it is not served then.
    """

    def __init__(self, dispatcher: "Dispatcher", given: DatagramTransport | None) -> None:
        self.config: EndpointConfig = dispatcher.config
        self.given = given
        self.transport: DatagramTransport | None = None
        self.counters = Counters(dispatcher)
        self.deliver = dispatcher.deliver
        self.deliver_cut = dispatcher.deliver_cut
        self.reports, self._outbox, self._tasks = dispatcher.reports, dispatcher.outbox, dispatcher.tasks
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        self._closing = threading.Lock()  # where no loop serves, any thread closes it by itself
        self._stopped: asyncio.Future[None] | None = None  # there while the transport is read
        self._awaited = False  # whether `serve` waits for it
        self._block: asyncio.Task[Any] | None = None  # the task that is in a block
        self._failure: Exception | None = None  # what ended the reading, where only a block can say so

    @property
    def is_serving(self) -> bool:
        """Whether the transport is read."""
        return self._stopped is not None

    def open(self) -> None:
        if self.transport is not None:
            raise RuntimeError("the endpoint is open already")
        transport = self.given or make_transport(self.config)
        transport.open()
        self.attach(transport)

    def attach(self, transport: DatagramTransport) -> None:
        self.transport = self._outbox.transport = transport
        self.counters.begin(transport)

    async def begin(self) -> asyncio.Future[None]:
        """Reads the transport from now on; what it returns is done when that is to end."""
        if self._stopped is not None:
            raise RuntimeError("the endpoint is being served already")
        if self.transport is None:
            self.open()
        transport = self.transport
        assert transport is not None
        self._loop = self._tasks.loop = asyncio.get_running_loop()
        self._outbox.begin(self._loop)
        self._stopped = stopped = self._loop.create_future()
        try:
            await transport.start(self)
        except BaseException:
            self._end()
            raise
        return stopped

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Coroutine handlers of what comes besides the transport run in this loop."""
        if self._loop is loop:
            return
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError("the endpoint belongs to another loop, which is running")
        self._loop = self._tasks.loop = loop
        self._outbox.begin(loop)

    async def serve(self) -> None:
        """Reads the transport until it is closed, fails, or this is cancelled."""
        if self._awaited or (self._stopped is not None and self._block is None):
            raise RuntimeError("the endpoint is being served already")
        self._loop = asyncio.get_running_loop()
        if self.closed:  # asked after the loop is known, which who closes looks for afterwards
            _logger.info("the endpoint was closed before it was served")
            return
        self._awaited = True
        try:
            if self._block is not None and self._stopped is not None:
                stopped = self._stopped
                await asyncio.wait((stopped,))  # which a cancellation of this leaves alone
                stopped.result()
            else:
                await (await self.begin())
        finally:
            self._awaited = False
            if self._block is None or self._stopped is None or self._stopped.done():
                self._end()

    def _end(self) -> None:
        """Reads the transport no more."""
        self._stopped = None
        if self.transport is not None:
            self.transport.stop()
        self._outbox.flush()

    async def enter(self) -> None:
        """Begins a block in which the transport is read."""
        await self.begin()
        self._block = asyncio.current_task()

    async def leave(self, error: BaseException | None) -> None:
        """Ends the block; raises the failure of the transport where nobody was told."""
        block, self._block = self._block, None
        failure, self._failure = self._failure, None
        try:
            await self.aclose()
            if failure is not None and not isinstance(error, asyncio.CancelledError):
                await asyncio.sleep(0)  # the cancellation by `fail` ends here where the block has not met it
        except asyncio.CancelledError:
            if failure is None:
                raise
        if failure is None or block is None:
            return
        others = block.uncancel()  # besides `fail`, somebody else may have cancelled the task
        if error is None or (isinstance(error, asyncio.CancelledError) and not others):
            raise failure

    def fail(self, error: Exception) -> None:
        """The transport cannot be read any more: `serve` ends with the error."""
        failure = error
        if not isinstance(error, TransportError):
            failure = TransportError(getattr(error, "errno", None) or errno.EIO, f"cannot read: {error}")
            failure.__cause__ = error
        told = error if isinstance(error, OSError) else failure
        self.reports.call(self.config.on_read_error, told)
        self.reports.event(EventType.READ_ERROR, error=told)
        if self._stopped is None or self._stopped.done():
            return
        if self._awaited or self._block is None:
            self._stopped.set_exception(failure)
            return
        self._failure = failure
        self._end()
        self._block.cancel()

    def close(self) -> None:
        """Stops at once. From another thread the loop is asked to do it."""
        loop = self._loop
        if loop is not None and loop.is_running() and loop is not running_loop():
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and the sockets with it
                loop.call_soon_threadsafe(self._close)
            return
        self._close()

    def _close(self) -> None:
        self._end_serve()
        if self._loop is not None and not self._loop.is_closed():
            self._tasks.cancel()
        transport = self.transport
        if transport is None:
            return
        self._outbox.flush()
        with self._closing:
            transport, self.transport = self.transport, None
        if transport is None:  # another thread was first
            return
        try:
            transport.stop()  # so that nobody is told of a failure
        finally:
            self._give_back(transport)

    def _give_back(self, transport: DatagramTransport) -> None:
        try:
            transport.close()
        finally:
            self.counters.end()
            if self._outbox.transport is transport:
                self._outbox.transport = None
            self.reports.log.flush(force=True)

    def _end_serve(self) -> None:
        if self._stopped is None:
            return
        if not self._stopped.done():
            self._stopped.set_result(None)
        if not self._awaited:
            self._end()

    async def aclose(self) -> None:
        """Reads what waits, lets handlers in flight finish and their answers leave; then it closes."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.drain_timeout
        try:
            if self.transport is not None:
                await self.transport.drain(self, self.config.drain_timeout)
            self._end_serve()
            late = await self._tasks.wait(end - loop.time())
            if late:
                text = "%d handlers did not end in %.1f s and are cancelled"
                _logger.warning(text, late, self.config.drain_timeout)
            self._outbox.flush()
            while self.transport is not None and self.transport.flush() and loop.time() < end:
                await asyncio.sleep(0.002)
        finally:
            self.close()
        await self._tasks.wait()


def make_transport(config: EndpointConfig, port: int | None = None, *, reuse_port: bool = False) -> UDPTransport:
    """The UDP socket that a config describes, on another port where one is given."""
    return UDPTransport(
        config.host,
        config.port if port is None else port,
        reuse_port=config.reuse_port or reuse_port,
        recv_buffer=config.recv_buffer,
        send_buffer=config.send_buffer,
        batch_size=config.batch_size,
        gso=config.gso,
        read_buf_size=config.read_buf_size,
        send_queue=config.send_queue,
        check_interval=config.read_deadline,
    )
