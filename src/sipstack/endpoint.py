"""The endpoint: SIP requests in, responses out, over one datagram transport on an asyncio loop.

This is the facade. Behind it: `_dispatch_py` (from bytes to an answer), `_outbox` (what leaves), `_tasks` (coroutine
handlers), `_reports` (hooks and log), `_serving` (open, serve, close), `_running` (a program, its signals and workers),
`_counters`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import TYPE_CHECKING, Final, TypeVar

from ._address import WILDCARDS, PeerAddress, ReturnAddress, sent_by
from ._compat import load
from ._config import EndpointConfig, Event, EventType, Handler
from ._running import Program
from ._serving import Serving
from ._stats import Stats
from ._tasks import is_closed_by
from ._writing import check_source
from .errors import PROGRAM_ENDS
from .message import Message
from .transport import Address, DatagramTransport, running_loop

if TYPE_CHECKING:
    from types import TracebackType

    from ._dispatch_py import Dispatcher
else:
    Dispatcher = load("_dispatch").Dispatcher

__all__ = ["Endpoint", "EndpointConfig", "Event", "EventType", "Handler", "Stats"]

_H = TypeVar("_H", bound=Handler)
_NOWHERE: Final[Address] = ("", 0)


class Endpoint:
    """Answers SIP requests that come over a datagram transport.

    Everything runs in one asyncio loop and one thread. From another thread `send`, `send_soon`, `respond`, `stats` and
    `close` may be used at any time: what is to be sent is handed to the loop while that serves.

    Args:
        config: how to listen; the defaults where there is none.
        transport: what to listen on instead of a UDP socket made from the config.
    """

    def __init__(self, config: EndpointConfig | None = None, *, transport: DatagramTransport | None = None) -> None:
        if config is not None and not isinstance(config, EndpointConfig):
            raise TypeError(f"config is an EndpointConfig, not {type(config).__name__}")
        if transport is not None and (isinstance(transport, type) or not isinstance(transport, DatagramTransport)):
            raise TypeError(f"transport is a DatagramTransport, not {type(transport).__name__}")
        self.config: Final = config or EndpointConfig()
        self._dispatcher = Dispatcher(self.config)
        self._reports, self._outbox = self._dispatcher.reports, self._dispatcher.outbox
        self._serving = Serving(self._dispatcher, transport)

    def __repr__(self) -> str:
        addr = self.listen_addr
        where = "not open" if addr is None else f"on {sent_by(*addr)}"
        state = ", serving" if self._serving.is_serving else ", closed" if self._serving.closed else ""
        methods = [method for method, route in self._dispatcher.routes.copy().items() if route.handler is not None]
        return f"<Endpoint {where}{state}, {'handles ' + ', '.join(methods) if methods else 'no handlers'}>"

    # ------------------------------------------------------------------ handlers and hooks

    def register_handler(self, method: str, handler: Handler) -> None:
        """Lets `handler(request, addr)` answer requests of this method, whose name is given in any case.

        On the wire names are case-sensitive, and in capitals: `invite` is another method there, that nobody knows.

        The handler answers with a response (see `Message.reply`), with None for no response, or is a coroutine
        function. With `(message, addr)` it passes a message on, as `send_soon` does: a proxy's way. It replaces one
        that was there, for the very next request. ACK may have a handler, and never gets a response.
        """
        _check_method(method)
        if not callable(handler):
            raise TypeError(f"handler is a function, not {type(handler).__name__}")
        self._dispatcher.set_handler(method.upper(), handler)

    def handler(self, method: str) -> Callable[[_H], _H]:
        """`register_handler` as a decorator: `@endpoint.handler("OPTIONS")`."""
        _check_method(method)

        def register(function: _H) -> _H:
            self.register_handler(method, function)
            return function

        return register

    def set_no_route_handler(self, handler: Handler | None) -> None:
        """Lets `handler` answer requests whose method has none, CANCEL among them.

        None: the default again. It answers 405 to a method that is known, 501 to another, nothing to an ACK, and to a
        CANCEL what `EndpointConfig.answer_cancel` says.
        """
        if handler is not None and not callable(handler):
            raise TypeError("the handler is not callable")
        self._dispatcher.set_no_route_handler(handler)

    def append_on_response_sent(self, hook: Callable[[Message, Message, Address], object]) -> None:
        """Adds a hook that is called after those that `on_response_sent` has so far."""
        if not callable(hook):
            raise TypeError(f"hook is a function, not {type(hook).__name__}: the hook is not callable")
        if inspect.iscoroutinefunction(hook):
            raise TypeError("hook is called in place: a coroutine function would never run")
        self._reports.add_response_sent(hook)
        self._dispatcher.watch_answers()

    # ------------------------------------------------------------------ life

    @property
    def transport(self) -> DatagramTransport | None:
        """The transport, or None while the endpoint is not open."""
        return self._serving.transport

    @property
    def listen_addr(self) -> Address | None:
        """Where it listens, with the port the kernel chose, or None while it is not open."""
        transport = self._serving.transport
        return transport.local_address if transport is not None else None

    def local_address(self, addr: Address) -> Address | None:
        """Our own address that what came from `addr` came to: for a Via, a Contact or a Record-Route to write.

        It is `listen_addr`. On a wildcard address, `"0.0.0.0"` or `"::"`, it is what the kernel says beside each
        datagram, and answers leave from there (RFC 3581 4). Linux says it; elsewhere, for a datagram to a multicast
        group, and for an `addr` that no handler or hook was given it is not known: None.
        """
        if isinstance(addr, PeerAddress | ReturnAddress):
            return addr.local
        own = self.listen_addr
        return None if own is None or own[0] in WILDCARDS else own

    def open(self) -> None:
        """Opens the transport; `TransportError` where the address cannot be had, RuntimeError when it is open.

        `serve` and `async with` do it too. What arrives waits until it is served.
        """
        self._serving.open()
        self._serving.closed = False

    async def serve(self) -> None:
        """Answers requests until `close`, until it is cancelled, or until the transport fails (`TransportError`).

        Opens the endpoint where that was not done. After a cancellation it is still open. It returns at once where the
        endpoint was closed: `close` and `aclose` win also over a `serve` that has not begun, and `open` begins anew.
        Inside `async with endpoint`, which serves already and goes on with it after a cancellation, it waits for the
        end of that.
        """
        await self._serving.serve()

    def close(self) -> None:
        """Stops at once: `serve` returns, coroutine handlers in flight are cancelled, the transport is closed.

        A handler that calls it goes on, as with `aclose`. Closing what is closed does nothing. May be called from
        another thread. Until `open` it stays closed.
        """
        self._serving.closed = True
        self._serving.close()

    async def aclose(self) -> None:
        """Stops in good order: what waits in the socket is read, handlers in flight finish, their answers leave.

        That takes `drain_timeout` seconds at most; then it is `close`, and returns when what that cancelled has ended.
        """
        self._serving.closed = True
        await self._serving.aclose()

    async def __aenter__(self) -> "Endpoint":
        """Opens the endpoint where that was not done, and serves until the end of the block.

        That ends with `aclose`. Where the transport fails the block is cancelled, and `TransportError` comes out of it.
        """
        opens = self._serving.transport is None
        if opens:
            self.open()
        try:
            await self._serving.enter()
        except BaseException:
            if opens:
                self._serving.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._serving.closed = True
        await self._serving.leave(error)

    def run(
        self,
        *,
        workers: int = 1,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        on_stats: Callable[[Stats], object] | None = None,
        stats_interval: float = 1.0,
        beside: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Serves until SIGINT or SIGTERM, then drains and returns. For a program's main thread.

        It makes an event loop of its own: where one runs already (a notebook, a coroutine) it is a RuntimeError, and
        `serve` or `async with` does it.

        Args:
            workers: processes that share the port (SO_REUSEPORT; Linux). One that dies by a signal is replaced.
            loop_factory: makes the event loop, for instance `uvloop.new_event_loop`.
            on_stats: gets the counters of all workers every `stats_interval` seconds, and once at the end.
            stats_interval: seconds.
            beside: a coroutine function that runs in the same loop (in each worker's), for what a program does besides
                answering. It is cancelled at the end; what it raises ends the serving and is raised.
        """
        if running_loop() is not None:
            raise RuntimeError("run() makes an event loop, and one runs here: use await endpoint.serve() instead")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ValueError(f"workers is a positive int, not {workers!r}")
        for name, function in (("loop_factory", loop_factory), ("on_stats", on_stats), ("beside", beside)):
            if function is not None and not callable(function):
                if inspect.iscoroutine(function):
                    function.close()
                raise TypeError(f"{name} is a function, not {type(function).__name__}")
        if inspect.iscoroutinefunction(on_stats):
            raise TypeError("on_stats is called in place: a coroutine function would never run")
        if isinstance(stats_interval, bool) or not isinstance(stats_interval, int | float):
            raise TypeError(f"stats_interval is a number of seconds, not {type(stats_interval).__name__}")
        if not 0 < stats_interval < 1e6:
            raise ValueError(f"stats_interval is a positive number of seconds, not {stats_interval}")
        program = Program(self._serving, loop_factory, on_stats, stats_interval, beside)
        if workers == 1:
            program.run()
        else:
            program.run_workers(workers)

    # ------------------------------------------------------------------ counters

    @property
    def worker(self) -> int | None:
        """Which of the workers this process is, from 0 on; None in the parent, and where `run` was given none."""
        return self._serving.counters.worker

    def count(self, name: str, by: int = 1) -> None:
        """Counts something of the program's own, in any thread: one of `EndpointConfig.counters`, else ValueError.

        `Stats.counters` has it, summed over the workers. It only grows: ValueError for a negative number, TypeError for
        what is no int.
        """
        self._serving.counters.count(name, by)

    @property
    def stats(self) -> Stats:
        """The counters: this endpoint's, or the sum of all workers' where `run` was given some."""
        return self._serving.counters.total()

    @property
    def worker_stats(self) -> tuple[Stats, ...]:
        """The counters of each worker; a process's own are those of now, others' up to 0.1 s old."""
        return self._serving.counters.of_workers()

    # ------------------------------------------------------------------ sending

    def send(self, message: Message | bytes, addr: Address) -> None:
        """Sends a message now, or bytes as they are.

        Raises `TransportError` where the endpoint is not open, the datagram is too long for UDP or the kernel refuses
        it, BlockingIOError where the send queue is full, ValueError or TypeError for an address that is none. From
        another thread than that of the loop that serves it raises the first two alone: it does not wait for the loop,
        and what goes wrong there is counted and reported.
        """
        if not isinstance(message, Message | bytes):
            raise TypeError(f"a Message or bytes can be sent, not {type(message).__name__}")
        known = message if isinstance(message, Message) else None
        data = message if isinstance(message, bytes) else message.to_bytes()
        self._outbox.check(data, addr)
        if self._outbox.thread != get_ident() and self._outbox.hand_over(self._put, data, addr, known):
            return
        self._outbox.send_now(data, addr)
        if known is not None:
            self._dispatcher.count_sent(known)
            self._reports.message_left(known, addr, None)

    def send_soon(self, message: Message, addr: Address) -> None:
        """Sends a message together with the others of this batch: for a handler or a hook that passes many on.

        The message is written out at once, so it may be edited afterwards. What goes wrong with the sending is counted
        and reported, not raised.
        """
        if self._dispatcher.pass_on(message, addr):
            return
        data = message.to_bytes()
        if not self._outbox.hand_over(self._put, data, addr, message):
            self._put(data, addr, message)

    def _put(self, data: bytes, addr: Address, message: Message | None) -> None:
        """Sends what a thread has given that is not the loop's."""
        if message is not None:
            self._dispatcher.count_sent(message)
        self._outbox.put(data, addr, message)

    def respond(self, request: Message, response: Message, addr: Address) -> None:
        """Sends a response to a request that came from `addr`: what happens to a handler's, for one sent later.

        The hooks see it. What goes wrong with the sending is counted and reported, not raised. A thread leaves both
        messages alone afterwards.
        """
        if not isinstance(response, Message) or response.is_request:
            raise TypeError("a response is a Message with a status")
        if not isinstance(request, Message) or not request.is_request:
            raise TypeError("a request is a Message with a method")
        respond = self._dispatcher.respond
        if self._outbox.thread == get_ident() or not self._outbox.hand_over(respond, request, response, addr):
            respond(request, response, addr)

    def failure_response(self, request: Message, error: BaseException, addr: Address) -> Message:
        """The response to a request whose handler raised this: for who calls handlers himself.

        It is what the endpoint answers for its own handlers, counted, logged and shown to the hooks, and not sent: 500,
        and for a HeaderError the error's status, for that is the sender's fault.
        """
        return self._dispatcher.note_failure(request, addr, error).reply(request)

    def reply_address(self, request: Message, addr: Address) -> Address:
        """Where the response to a request from `addr` goes (RFC 3261 18.2.2, RFC 3581 4).

        To the source address and port with rport; else to the source host and the Via's port, or 5060. What came by
        `receive` is answered the way that it came.
        """
        return self._dispatcher.reply_address(request, addr)

    # ------------------------------------------------------------------ other transports

    def receive(
        self,
        message: Message | bytes,
        addr: Address,
        write: Callable[[bytes], object],
        *,
        local: Address | None = None,
    ) -> asyncio.Future[None]:
        """Takes a message that came over TCP, TLS, a queue: it is treated as one that came over UDP.

        It is stamped, checked, counted, shown to the hooks, given to its handler and answered, and a CANCEL finds its
        INVITE. What the peer gets goes to `write`, over the same connection (RFC 3261 18.2.2): the answers, and what
        is sent with `respond`, `send` or `send_soon` to the address that handlers and hooks are given, which is equal
        to `addr`. The endpoint need not be open. To be called in the loop that serves it, or will; in any, where none
        does.

        Args:
            message: a Message, as `StreamParser` gives it, which the endpoint may edit; or a datagram's bytes.
            addr: where it came from; of a longer tuple (an IPv6 peername) the first two. They are what `received` and
                `rport` of the top Via say, so it is an IP address; for a peer that has none (a unix socket, a queue)
                a name like `("queue-one", 0)`. ValueError for a host or a port that cannot be written there.
            write: gets the bytes of each message. What it raises is a failed sending, BlockingIOError a full queue.
            local: our own address on this way, for `local_address`.

        Returns:
            A future that is done when the handler is, for who wants to wait. Cancelling it cancels the handler.
        """
        if not isinstance(message, Message | bytes):
            raise TypeError(f"a Message or bytes can be received, not {type(message).__name__}")
        if not callable(write):
            raise TypeError(f"write is a function that takes bytes, not {type(write).__name__}")
        match addr:
            case (str(host), int(port), *_) if not isinstance(port, bool):
                check_source(host, port)
                peer = ReturnAddress(host, port, write, local)
            case _:
                raise TypeError(f"addr is (host: str, port: int), not {addr!r}")
        loop = asyncio.get_running_loop()
        self._serving.adopt(loop)
        tasks = self._dispatcher.tasks
        outer, tasks.started = tasks.started, None
        try:
            self._dispatcher.take(message, peer)
            if tasks.started is not None:
                return tasks.started
        finally:
            tasks.started = outer
        done = loop.create_future()
        done.set_result(None)
        return done

    # ------------------------------------------------------------------ without a socket

    def dispatch_request(self, request: Message, addr: Address | None = None) -> Message | None:
        """What the handler of a request answers, without sending it: for tests, and for who does all else himself.

        It is None where the handler passes a message on. Nothing is stamped and nothing validated. A handler that fails
        answers 500. RuntimeError where the handler is a coroutine: use `dispatch` then.
        """
        came, result = self._dispatcher.call(request, addr or _NOWHERE)
        if inspect.isawaitable(result):
            if hasattr(result, "close"):
                result.close()
            raise RuntimeError(f"the handler of {request.method} is a coroutine: await dispatch() instead")
        return self._dispatcher.checked_response(request, result, addr or _NOWHERE, came)

    async def dispatch(self, request: Message, addr: Address | None = None) -> Message | None:
        """`dispatch_request` for handlers of both kinds.

        No CANCEL finds an INVITE that is handled here: `receive` is for these.
        """
        came, result = self._dispatcher.call(request, addr or _NOWHERE)
        if inspect.isawaitable(result):
            self._dispatcher.tasks.awaited += 1
            try:
                result = await result
            except PROGRAM_ENDS:
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                result = error  # nobody has cancelled it: it is the handler's own
            except BaseException as error:
                if is_closed_by(error):
                    raise
                result = error
            finally:
                self._dispatcher.tasks.awaited -= 1
        return self._dispatcher.checked_response(request, result, addr or _NOWHERE, came)

    def invoke_on_sip_response(self, response: Message, addr: Address | None = None) -> None:
        """Counts a response that came over another transport, and shows it to the hooks."""
        self._dispatcher.show_response(response, addr or _NOWHERE)


def _check_method(method: object) -> None:
    if not isinstance(method, str) or not method:
        raise TypeError(f"method is a str such as 'OPTIONS', not {type(method).__name__}")
