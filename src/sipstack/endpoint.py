"""The endpoint: SIP requests in, responses out, over one datagram transport on an asyncio loop."""

import asyncio
import contextlib
import errno
import inspect
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from types import CoroutineType, MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, TypeVar

from . import _workers
from ._config import EndpointConfig, Event, EventType, Handler
from ._limited_log import LimitedLog
from ._stats import CLASSES, OTHER, SharedStats, Stats, add
from .errors import HeaderError, ParseError, SipError, TransportError
from .message import IMPLEMENTATION, Message, parse
from .methods import ACK, METHODS
from .stream import is_signaling_noise_datagram, is_stun
from .transport import Address, Datagram, DatagramTransport, UDPTransport
from .validation import unsupported_options

__all__ = ["Endpoint", "EndpointConfig", "Event", "EventType", "Handler", "Stats"]

_logger = logging.getLogger(__name__)

_Shortcut: Any = None
if IMPLEMENTATION == "cython":
    from . import _parser

    _Shortcut = getattr(_parser, "Shortcut", None)

_H = TypeVar("_H", bound=Handler)
_EAGER: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
_PUBLISH_SECONDS: Final = 0.1  # how old a worker's counters may be in the snapshot of all


class Endpoint:
    """Answers SIP requests that come over a datagram transport.

    Everything runs in one asyncio loop and one thread; from another thread only `stats` and `close` may be used.

    Args:
        config: how to listen; the defaults where there is none.
        transport: what to listen on instead of a UDP socket made from the config.
    """

    def __init__(self, config: EndpointConfig | None = None, *, transport: DatagramTransport | None = None) -> None:
        self.config: Final = config or EndpointConfig()
        cfg = self.config
        self._given_transport = transport
        self._transport: DatagramTransport | None = None
        self._handlers: dict[str, Handler] = {}
        self._no_route: Handler = cfg.no_route_handler or _not_implemented
        self._on_response_sent = cfg.on_response_sent
        self._parse = parse
        if (cfg.max_size, cfg.max_headers) != (65_535, 256):
            self._parse = partial(parse, max_size=cfg.max_size, max_headers=cfg.max_headers)
        self._schemes = frozenset(scheme.lower() for scheme in cfg.schemes)
        self._supported = None if cfg.supported is None else frozenset(tag.lower() for tag in cfg.supported)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._tasks: dict[Coroutine[Any, Any, Any], asyncio.Task[None]] = {}
        self._outbox: list[Datagram] = []
        self._notes: list[tuple[bytes, Message | None, Message, Address]] = []
        self._busy = False
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._requests: dict[str, int] = {}
        self._statuses = [0] * 700
        self._shortcut: Any = None
        self._log = LimitedLog(_logger)
        self._shared: SharedStats | None = None
        self._worker = -1
        self._beside: Callable[[], Awaitable[object]] | None = None
        self._observe()

    # ------------------------------------------------------------------ handlers and hooks

    def register_handler(self, method: str, handler: Handler) -> None:
        """Lets `handler(request, addr)` answer requests of this method, spelled as on the wire (it is case-sensitive).

        The handler answers with a response (see `Message.reply`), with None for no response, or is a coroutine
        function. It replaces one that was there. ACK may have a handler, and never gets a response.
        """
        if not isinstance(method, str) or not method:
            raise TypeError("a method is a str")
        if not callable(handler):
            raise TypeError(f"the handler of {method} is not callable")
        self._handlers[method] = handler
        self._observe()

    def handler(self, method: str) -> Callable[[_H], _H]:
        """`register_handler` as a decorator."""

        def register(function: _H) -> _H:
            self.register_handler(method, function)
            return function

        return register

    def set_no_route_handler(self, handler: Handler | None) -> None:
        """Lets `handler` answer requests whose method has none; None: 501 again."""
        if handler is not None and not callable(handler):
            raise TypeError("the handler is not callable")
        self._no_route = handler or _not_implemented
        self._observe()

    def append_on_response_sent(self, hook: Callable[[Message, Message, Address], object]) -> None:
        """Adds a hook that is called after those that `on_response_sent` has so far."""
        if not callable(hook):
            raise TypeError("the hook is not callable")
        first = self._on_response_sent
        if first is None:
            self._on_response_sent = hook
        else:

            def both(request: Message, response: Message, addr: Address, first: Any = first) -> None:
                self._hook(first, request, response, addr)
                self._hook(hook, request, response, addr)

            self._on_response_sent = both
        self._observe()

    def _observe(self) -> None:
        """Decides whether the ordinary datagram may go the short way: not where a hook wants to see it."""
        cfg = self.config
        noted = cfg.on_message_sent or cfg.on_event or self._on_response_sent
        self._noting = noted is not None
        watched = self._noting or cfg.on_datagram or cfg.on_request or cfg.on_response or cfg.use_maddr
        if self._shortcut is not None:
            self._keep_counts()
        self._shortcut = None
        if _Shortcut is not None and not watched:
            handlers = dict(self._handlers)
            if self._no_route is not _not_implemented:
                handlers = dict.fromkeys(METHODS, self._no_route) | handlers
            self._shortcut = _Shortcut(
                handlers,
                on_datagram=self._on_datagram,
                on_response=cfg.on_sip_response,
                on_hook_error=self._on_hook_error,
                on_result=self._on_result,
                on_coroutine=self._start,
                on_error=self._on_handler_error,
                validate=cfg.validate,
                schemes=self._schemes,
                look_at_require=self._supported is not None,
                max_size=cfg.max_size,
                max_headers=cfg.max_headers,
            )

    def _keep_counts(self) -> None:
        """Adds what the shortcut counted, before another one takes its place."""
        requests, responses, received = self._shortcut.counts()
        self._counts["responses_received"] += received
        for method, count in requests.items():
            self._requests[method] = self._requests.get(method, 0) + count
        for status, count in responses.items():
            self._statuses[status] += count

    # ------------------------------------------------------------------ life

    @property
    def transport(self) -> DatagramTransport | None:
        """The transport, or None while the endpoint is not open."""
        return self._transport

    @property
    def listen_addr(self) -> Address | None:
        """Where it listens, with the port the kernel chose, or None while it is not open."""
        return self._transport.local_address if self._transport is not None else None

    def open(self) -> None:
        """Opens the transport; `TransportError` where the address cannot be had, RuntimeError when it is open."""
        if self._transport is not None:
            raise RuntimeError("the endpoint is open already")
        transport = self._given_transport or self._make_transport()
        transport.open()
        self._transport = transport

    def _make_transport(self, port: int | None = None, *, reuse_port: bool = False) -> UDPTransport:
        cfg = self.config
        return UDPTransport(
            cfg.host,
            cfg.port if port is None else port,
            reuse_port=cfg.reuse_port or reuse_port,
            recv_buffer=cfg.recv_buffer,
            send_buffer=cfg.send_buffer,
            batch_size=cfg.batch_size,
            read_buf_size=cfg.read_buf_size,
            send_queue=cfg.send_queue,
            check_interval=cfg.read_deadline,
        )

    async def serve(self) -> None:
        """Answers requests until `close`, until it is cancelled, or until the transport fails (`TransportError`).

        Opens the endpoint where that was not done. After a cancellation it is still open.
        """
        if self._stopped is not None:
            raise RuntimeError("the endpoint is being served already")
        if self._transport is None:
            self.open()
        transport = self._transport
        assert transport is not None
        self._loop = asyncio.get_running_loop()
        self._stopped = stopped = self._loop.create_future()
        puller: asyncio.Task[None] | None = None
        try:
            if isinstance(transport, UDPTransport):
                await transport.start(self._on_batch, self._on_read_error, self._on_cut)
            else:
                puller = self._loop.create_task(self._pull(transport))
            await stopped
        finally:
            self._stopped = None
            if isinstance(transport, UDPTransport):
                transport.stop()
            if puller is not None:
                puller.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await puller

    async def _pull(self, transport: DatagramTransport) -> None:
        """Reads a transport that is not a UDP socket."""
        counts = self._counts
        while True:
            try:
                datagrams = await transport.receive(self.config.read_deadline)
            except TimeoutError:
                datagrams = ()
            except OSError as error:
                return self._on_read_error(error)
            except Exception as error:
                return self._on_read_error(_as_transport_error(error))
            counts["datagrams"] += len(datagrams)
            counts["bytes_received"] += sum(len(data) for data, _ in datagrams)
            self._on_batch(list(datagrams))
            await asyncio.sleep(0)  # a transport that always has something must not keep the loop for itself

    def _on_read_error(self, error: OSError) -> None:
        self._hook(self.config.on_read_error, error)
        self._event(EventType.READ_ERROR, error=error)
        failure = error if isinstance(error, TransportError) else _as_transport_error(error)
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_exception(failure)

    def close(self) -> None:
        """Stops at once: `serve` returns, coroutine handlers in flight are cancelled, the transport is closed.

        Closing what is closed does nothing. May be called from another thread.
        """
        loop = self._loop
        if loop is not None and loop.is_running() and loop is not _running_loop():
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and the sockets with it
                loop.call_soon_threadsafe(self._close)
            return
        self._close()

    def _close(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        if self._loop is not None and not self._loop.is_closed():
            self._cancel_tasks()
        transport = self._transport
        if transport is None:
            return
        self._flush()
        transport.close()
        for name, value in self._transport_counts().items():
            self._counts[name] += value
        self._transport = None
        self._log.flush(force=True)

    async def aclose(self) -> None:
        """Stops in good order: what waits in the socket is read, handlers in flight finish, their answers leave.

        That takes `drain_timeout` seconds at most; then it is `close`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.drain_timeout
        if isinstance(self._transport, UDPTransport):
            # Where new datagrams cannot be kept out, they would come for ever: a short time for those already there.
            until = end if self._transport.refuse_new() else min(end, loop.time() + 0.25)
            while self._transport is not None and self._transport.drain(self._on_batch) and loop.time() < until:
                await asyncio.sleep(0)
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=max(0.0, end - loop.time()))
            if late:
                _logger.warning(
                    "%d handlers did not end in %.1f s and are cancelled", len(late), self.config.drain_timeout
                )
        self._flush()
        while isinstance(self._transport, UDPTransport) and self._transport.flush() and loop.time() < end:
            await asyncio.sleep(0.002)
        self.close()
        if self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def __aenter__(self) -> "Endpoint":
        if self._transport is None:
            self.open()
        return self

    async def __aexit__(self, *_: "type[BaseException] | BaseException | TracebackType | None") -> None:
        await self.aclose()

    # ------------------------------------------------------------------ running as a program

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

        Args:
            workers: processes that share the port (SO_REUSEPORT; Linux). One that dies by a signal is replaced.
            loop_factory: makes the event loop, for instance `uvloop.new_event_loop`.
            on_stats: gets the counters of all workers every `stats_interval` seconds, and once at the end.
            stats_interval: seconds.
            beside: a coroutine function that runs in the same loop (in each worker's), for what a program does besides
                answering. It is cancelled at the end; what it raises ends the serving and is raised.
        """
        self._beside = beside
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ValueError("workers is a positive int")
        if workers > 1:
            self._run_workers(workers, loop_factory, on_stats, stats_interval)
            return
        with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._serve_until_signal(on_stats, stats_interval))

    async def _serve_until_signal(
        self, on_stats: Callable[[Stats], object] | None, stats_interval: float, parent: int = -1
    ) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not in a thread and not on Windows, where Ctrl-C cancels this coroutine instead.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        if parent >= 0:
            loop.add_reader(parent, stop.set)  # the other end is the supervisor's: it is readable when that is gone
        async with self, _repeat(self._report, on_stats, every=stats_interval):
            self._report(on_stats)
            serving = loop.create_task(self.serve())
            stopping = loop.create_task(stop.wait())
            beside = loop.create_task(self._accompany(stop))
            try:
                await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()
                # A serving task goes on while `aclose` drains the socket, and ends with it.
                await self.aclose()
                await serving
            finally:
                for task in (serving, stopping, beside):
                    task.cancel()
                await asyncio.gather(serving, stopping, beside, return_exceptions=True)
        self._report(on_stats)
        if not beside.cancelled():
            beside.result()

    async def _accompany(self, stop: asyncio.Event) -> None:
        """What runs beside the serving. Where that fails, all of it stops."""
        try:
            if self._beside is not None:
                await self._beside()
        except Exception:
            stop.set()
            raise

    def _report(self, on_stats: Callable[[Stats], object] | None) -> None:
        if self._shared is not None and self._worker >= 0:
            self._shared.write(self._worker, self._own_stats())
        self._hook(on_stats, self.stats)

    def _run_workers(
        self,
        count: int,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        on_stats: Callable[[Stats], object] | None,
        stats_interval: float,
    ) -> None:
        """Opens one socket a worker and keeps them, so that a worker's end loses nothing that waits in its socket."""
        if self._given_transport is not None:
            raise ValueError("workers need sockets of their own: a transport was given")
        if self._transport is not None:
            raise RuntimeError("the endpoint is open already: workers open sockets of their own")
        _workers.require_support()
        transports: list[UDPTransport] = []
        try:
            for _ in range(count):
                port = transports[0].local_address[1] if transports and transports[0].local_address else None
                transports.append(self._make_transport(port, reuse_port=True))
                transports[-1].open()
            self._shared = shared = SharedStats(count, self._handlers)
            self._transport = transports[0]  # for listen_addr
            supervisor = _workers.Supervisor(
                count,
                lambda index, parent: self._work(index, parent, transports, loop_factory),
                on_death=shared.retire,
                on_tick=partial(self._report, on_stats),
                tick=stats_interval,
                grace=self.config.drain_timeout + 2.0,
            )
            self._report(on_stats)
            supervisor.run()
            self._report(on_stats)
        finally:
            self._transport = None
            for transport in transports:
                transport.close()

    def _work(
        self,
        index: int,
        parent: int,
        transports: Sequence[UDPTransport],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    ) -> None:
        """The life of one worker, in its own process."""
        self._worker = index
        self._transport = transports[index]
        transports[index].accept_new()
        for transport in transports:
            if transport is not transports[index]:
                transport.close()
        with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._serve_until_signal(None, _PUBLISH_SECONDS, parent))

    # ------------------------------------------------------------------ counters

    @property
    def stats(self) -> Stats:
        """The counters: this endpoint's, or the sum of all workers' where `run` was given some."""
        if self._shared is None:
            return self._own_stats()
        return add(self.worker_stats)

    @property
    def worker_stats(self) -> tuple[Stats, ...]:
        """The counters of each worker; a process's own are those of now, others' up to 0.1 s old."""
        if self._shared is None:
            return (self._own_stats(),)
        if self._worker >= 0:
            self._shared.write(self._worker, self._own_stats())
        return self._shared.read_all()

    def _own_stats(self) -> Stats:
        counts = dict(self._counts)
        for name, value in self._transport_counts().items():
            counts[name] += value
        methods, statuses = dict(self._requests), list(self._statuses)
        if self._shortcut is not None:
            requests, responses, received = self._shortcut.counts()
            counts["responses_received"] += received
            for name, count in requests.items():
                methods[name] = methods.get(name, 0) + count
            for status, count in responses.items():
                statuses[status] += count
        classes = {name: sum(statuses[int(name[0]) * 100 :][:100]) for name in CLASSES}
        return Stats(
            **counts,
            requests=sum(methods.values()),
            responses=sum(classes.values()),
            pending=len(self._tasks),
            requests_by_method=MappingProxyType({name: count for name, count in methods.items() if count}),
            responses_by_class=MappingProxyType({name: count for name, count in classes.items() if count}),
        )

    def _transport_counts(self) -> Mapping[str, int]:
        if not isinstance(self._transport, UDPTransport):
            return {}
        counts = self._transport.counters()
        counts["datagrams"] = counts.pop("received")
        return counts

    # ------------------------------------------------------------------ receiving

    def _on_batch(self, batch: list[Datagram]) -> None:
        """Takes the datagrams of one read, and sends what answers they have in one go."""
        self._busy = True
        try:
            if self._shortcut is not None:
                self._shortcut.run(batch, self._outbox)
            else:
                for data, addr in batch:
                    self._on_datagram(data, addr)
        finally:
            self._busy = False
            self._flush()

    def _on_datagram(self, data: bytes, addr: Address) -> None:
        """One datagram, from the bytes to what its handler says."""
        cfg = self.config
        if cfg.on_datagram is not None:
            self._hook(cfg.on_datagram, data, addr)
        if cfg.on_event is not None and not _is_noise(data):
            self._event(EventType.DATAGRAM_RECEIVED, addr, data)
        try:
            message = self._parse(data)
        except ParseError as error:
            self._on_parse_error(data, addr, error)
            return
        if message.is_request:
            self._on_request(message, data, addr)
            return
        self._counts["responses_received"] += 1
        self.invoke_on_sip_response(message, addr)
        self._event(EventType.RESPONSE_RECEIVED, addr, data, response=message)

    def _on_cut(self, datagrams: list[Datagram]) -> None:
        """Datagrams that were longer than the buffer."""
        for data, addr in datagrams:
            self._hook(self.config.on_datagram, data, addr)
            self._event(EventType.DATAGRAM_RECEIVED, addr, data)
            self._on_parse_error(data, addr, ParseError("datagram longer than the read buffer", len(data), 513))

    def _on_parse_error(self, data: bytes, addr: Address, error: ParseError) -> None:
        """What cannot be read gets no answer: its Via cannot be trusted to name who sent it.

        That is also where keep-alives end, which are none of SIP's business: no message is one, so none is asked.
        """
        if _is_noise(data):
            self._counts["noise"] += 1
            return
        self._counts["parse_errors"] += 1
        self._hook(self.config.on_parse_err, data, addr, error)
        self._event(EventType.PARSE_ERROR, addr, data, error=error)

    def _on_request(self, request: Message, data: bytes, addr: Address) -> None:
        fault = self._stamp(request, addr)
        self._hook(self.config.on_request, request, addr)
        self._event(EventType.REQUEST_RECEIVED, addr, data, request=request)
        handler = self._routed(request.method)
        if self.config.validate:
            fault = fault or self._judge(request)
            if fault is not None:
                self._reject(request, addr, fault)
                return
        try:
            result = handler(request, addr)
        except Exception as error:
            self._on_handler_error(request, addr, error)
            return
        if result is not None:
            self._on_result(request, result, addr)

    def _routed(self, method: str) -> Handler:
        """The handler for a method, and one more request of it."""
        counted = method if method in self._handlers or method in METHODS else OTHER
        self._requests[counted] = self._requests.get(counted, 0) + 1
        return self._handlers.get(method, self._no_route)

    def _stamp(self, request: Message, addr: Address) -> "_Fault | None":
        """Writes received and rport into the top Via (RFC 3261 18.2.1, RFC 3581 4)."""
        try:
            request.stamp_received(addr[0], addr[1])
        except SipError as error:
            return _Fault(400, f"Via {getattr(error, 'reason', 'unusable')}")
        return None

    def _judge(self, request: Message) -> "_Fault | None":
        """What is wrong with a request before anything is done with it (RFC 3261 8.2.2, 16.3)."""
        violations = request.check()
        if violations:
            first = violations[0]
            return _Fault(first.status, f"{first.header} {first.reason}" if first.status == 400 else None)
        if request.request_uri.partition(":")[0].lower() not in self._schemes:
            return _Fault(416)
        if self._supported is not None and request.get_header("Require") is not None:
            try:
                unknown = unsupported_options(request, self._supported)
            except HeaderError as error:
                return _Fault(400, f"Require {error.reason}")
            if unknown:
                return _Fault(420, None, {"Unsupported": ", ".join(unknown)})
        return None

    def _reject(self, request: Message, addr: Address, fault: "_Fault") -> None:
        """Answers a request that cannot be served; drops it where it is an ACK or has no Via to answer to."""
        self._counts["rejected"] += 1
        self._event(EventType.REQUEST_REJECTED, addr, request=request)
        self._refuse(request, addr, fault)

    def _refuse(self, request: Message, addr: Address, fault: "_Fault") -> None:
        if request.method == ACK:
            return
        try:
            if request.get_header("Via") is None:
                raise HeaderError("missing", "Via")
            response = request.reply(fault.status, fault.reason, headers=fault.headers)
        except (SipError, ValueError) as error:
            self._counts["unanswerable"] += 1
            self._log.log(
                logging.INFO,
                "no answer is possible to %s from %s%s: %s",
                request.method,
                addr,
                _call_id((request,)),
                error,
            )
            return
        self._respond(request, response, addr)

    def _on_handler_error(self, request: Message, addr: Address, error: Exception) -> None:
        """A handler that failed is answered 500; one that met a malformed value of the request, with what that says.

        So a handler uses `request.uri` or `decrement_max_forwards` as if all were well: what is not is 400, 416, 483.
        """
        if isinstance(error, HeaderError):
            self._reject(request, addr, _fault_of(error))
            return
        self._note_handler_error(request, addr, error)
        self._refuse(request, addr, _Fault(500))

    def _note_handler_error(self, request: Message, addr: Address, error: Exception) -> None:
        self._counts["handler_errors"] += 1
        self._log.log(
            logging.ERROR,
            "the handler of %s failed on Call-ID %r from %s",
            request.method,
            request.get_header("Call-ID"),
            addr,
            exc_info=error,
        )
        self._event(EventType.HANDLER_ERROR, addr, request=request, error=error)

    def _on_result(self, request: Message, result: object, addr: Address, target: Address | None = None) -> None:
        """What a handler returned, when it is not None; `target` is where its response goes, if that is known."""
        if type(result) is CoroutineType:
            self._start(request, result, addr, target)
        elif isinstance(result, Message) and not result.is_request:
            self._respond(request, result, addr, target)
        elif inspect.isawaitable(result):
            self._start(request, _await(result), addr, target)
        else:
            what = "a request" if isinstance(result, Message) else type(result).__name__
            self._on_handler_error(
                request, addr, TypeError(f"a handler answers a response, None or an awaitable, not {what}")
            )

    # ------------------------------------------------------------------ coroutine handlers

    def _start(
        self, request: Message, coroutine: Coroutine[Any, Any, Any], addr: Address, target: Address | None
    ) -> None:
        """Makes a task of a handler's coroutine, or answers 503 where too many run (RFC 3261 21.5.4)."""
        loop = self._loop
        if loop is None or (len(self._tasks) >= self.config.max_pending and not self._has_room()):
            coroutine.close()
            self._counts["overloaded"] += 1
            self._event(EventType.OVERLOADED, addr, request=request)
            self._refuse(request, addr, _Fault(503, None, {"Retry-After": str(self.config.retry_after)}))
            return
        work = self._finish(request, coroutine, addr, target)
        if loop.get_task_factory() is None:
            # What loop.create_task does, without a Python frame and without making up a name. On Python 3.12 and up
            # one that waits for nothing is over when this returns, and its response leaves with the batch.
            task = asyncio.Task(work, loop=loop, name="sipstack handler", **_EAGER)
            if _EAGER and task.done():
                return
        else:
            task = loop.create_task(work)
        self._tasks[coroutine] = task

    def _has_room(self) -> bool:
        """Forgets tasks that somebody else cancelled before they began, which is why they did not sign off."""
        self._tasks = {coroutine: task for coroutine, task in self._tasks.items() if not task.done()}
        return len(self._tasks) < self.config.max_pending

    async def _finish(
        self, request: Message, coroutine: Coroutine[Any, Any, Any], addr: Address, target: Address | None
    ) -> None:
        """The rest of a request whose handler is a coroutine. A done callback would cost another turn of the loop."""
        try:
            result = await coroutine
            if target is not None and type(result) is Message and self._shortcut is not None and result.status_code:
                self._outbox.append((result.to_bytes(), target))  # what _respond comes down to where no hook looks on
                self._statuses[result.status_code] += 1
                if len(self._outbox) == 1:
                    self._flush_soon()
            elif result is not None:
                self._on_result(request, result, addr, target)
        except Exception as error:
            self._on_handler_error(request, addr, error)
        finally:
            self._tasks.pop(coroutine, None)

    def _cancel_tasks(self) -> None:
        for coroutine, task in self._tasks.items():
            task.cancel()
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()  # it will never begin, and Python would complain that nobody awaited it

    # ------------------------------------------------------------------ sending

    def send(self, message: Message | bytes, addr: Address) -> None:
        """Sends a message now, or bytes as they are.

        Raises `TransportError` where the endpoint is not open, the datagram is too long for UDP or the kernel refuses
        it, BlockingIOError where the send queue is full, ValueError or TypeError for an address that is none.
        """
        if self._transport is None:
            raise TransportError(errno.EBADF, "the endpoint is not open")
        if isinstance(message, Message):
            data = message.to_bytes()
        elif isinstance(message, bytes):
            data = message
        else:
            raise TypeError(f"a Message or bytes can be sent, not {type(message).__name__}")
        limit = getattr(self._transport, "max_payload", 65_507)
        if len(data) > limit:
            raise TransportError(errno.EMSGSIZE, f"{len(data)} bytes are more than the {limit} a UDP datagram carries")
        for failure in self._pass_on([(data, addr)]):
            self._on_send_failure(*failure)
            raise failure[2]
        if isinstance(message, Message):
            if message.status_code:
                self._statuses[message.status_code] += 1
            self._note(None, message, addr)

    def send_soon(self, message: Message, addr: Address) -> None:
        """Sends a message together with the others of this batch: for a handler or a hook that passes many on.

        The message is written out at once, so it may be edited afterwards. What goes wrong with the sending is counted
        and reported, not raised.
        """
        data = message.to_bytes()
        self._statuses[message.status_code] += 1  # a request's is 0, which belongs to no class
        self._outbox.append((data, addr))
        if self._noting:
            self._notes.append((data, None, message, addr))
        if len(self._outbox) == 1 and not self._busy:
            self._flush_soon()

    def respond(self, request: Message, response: Message, addr: Address) -> None:
        """Sends a response to a request that came from `addr`: what happens to a handler's, for one sent later.

        The hooks see it. What goes wrong with the sending is counted and reported, not raised.
        """
        if not isinstance(response, Message) or response.is_request:
            raise TypeError("a response is a Message with a status")
        self._respond(request, response, addr)

    def reply_address(self, request: Message, addr: Address) -> Address:
        """Where the response to a request from `addr` goes (RFC 3261 18.2.2, RFC 3581 4).

        To the source address and port with rport; else to the source host and the Via's port, or 5060.
        """
        try:
            via = request.via
        except HeaderError:
            return addr
        if via is None:
            return addr
        if self.config.use_maddr and via.maddr:
            return via.maddr.strip("[]"), via.port or 5060
        return addr if via.rport is not None else (addr[0], via.port or 5060)

    def _respond(self, request: Message, response: Message, addr: Address, target: Address | None = None) -> None:
        if request.method == ACK:
            return
        if target is None:
            target = self.reply_address(request, addr)
        if self.config.on_response is not None:
            self._hook(self.config.on_response, request, response, target)
        data = response.to_bytes()
        self._statuses[response.status_code] += 1
        self._post(data, target, request, response)

    def _post(self, data: bytes, addr: Address, request: Message | None, message: Message) -> None:
        """Puts a datagram among those that leave next, and sees to it that they leave."""
        self._outbox.append((data, addr))
        if self._noting:
            self._notes.append((data, request, message, addr))
        if len(self._outbox) == 1:
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Sends what is in the outbox with what else comes to it in this turn of the loop."""
        if self._busy:
            return  # `_on_batch` does it
        if self._loop is not None and self._loop is _running_loop():
            self._loop.call_soon(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        """Sends what has been answered since the last time, and calls the hooks for what left."""
        outbox, notes = self._outbox, self._notes
        if not outbox:
            return
        failures = self._pass_on(outbox)
        outbox.clear()
        if notes:
            self._notes = []
        for failure in failures:
            self._on_send_failure(*failure)
        failed = {id(data) for data, _, _ in failures}
        for data, request, response, addr in notes:
            if id(data) not in failed:
                self._note(request, response, addr)

    def _pass_on(self, datagrams: list[Datagram]) -> Sequence[tuple[bytes, Address, Exception]]:
        """Gives datagrams to the transport. Returns those that could not be sent."""
        transport = self._transport
        try:
            if transport is None:
                raise TransportError(errno.EBADF, "the endpoint is not open")
            if isinstance(transport, UDPTransport):
                return transport.send(datagrams)
            failures = transport.send(list(datagrams))
        except Exception as error:
            failures = [(data, addr, error) for data, addr in datagrams]
        self._counts["sent"] += len(datagrams) - len(failures)
        unsent = sum(len(data) for data, _, _ in failures)
        self._counts["bytes_sent"] += sum(len(data) for data, _ in datagrams) - unsent
        self._counts["send_errors"] += len(failures)
        return failures

    def _note(self, request: Message | None, message: Message, addr: Address) -> None:
        """The hooks for a message that left."""
        self._hook(self.config.on_message_sent, message, addr)
        if request is None:
            is_request = message.is_request
            self._event(
                EventType.MESSAGE_SENT,
                addr,
                request=message if is_request else None,
                response=None if is_request else message,
            )
            return
        self._event(EventType.RESPONSE_SENT, addr, request=request, response=message)
        self._hook(self._on_response_sent, request, message, addr)

    def _on_send_failure(self, data: bytes, addr: Address, error: Exception) -> None:
        dropped = isinstance(error, BlockingIOError)
        self._log.log(logging.WARNING, "%d bytes to %s were not sent: %s", len(data), addr, error)
        self._event(EventType.SEND_DROPPED if dropped else EventType.SEND_ERROR, addr, data, error=error)

    # ------------------------------------------------------------------ without a socket

    def dispatch_request(self, request: Message, addr: Address | None = None) -> Message | None:
        """What the handler of a request answers, without sending it: for transports that write by themselves.

        Nothing is stamped and nothing validated. A handler that fails answers 500. RuntimeError where the handler is a
        coroutine: use `dispatch` then.
        """
        result = self._call(request, addr)
        if inspect.isawaitable(result):
            if hasattr(result, "close"):
                result.close()
            raise RuntimeError(f"the handler of {request.method} is a coroutine: await dispatch() instead")
        return self._checked(request, result, addr)

    async def dispatch(self, request: Message, addr: Address | None = None) -> Message | None:
        """`dispatch_request` for handlers of both kinds."""
        result = self._call(request, addr)
        if inspect.isawaitable(result):
            try:
                result = await result
            except Exception as error:
                result = self._failed_dispatch(request, addr, error)
        return self._checked(request, result, addr)

    def _call(self, request: Message, addr: Address | None) -> Any:
        if not isinstance(request, Message) or not request.is_request:
            raise TypeError("dispatch needs a request")
        handler = self._routed(request.method)
        try:
            return handler(request, addr or _NOWHERE)
        except Exception as error:
            return self._failed_dispatch(request, addr, error)

    def _checked(self, request: Message, result: object, addr: Address | None) -> Message | None:
        if result is None or request.method == ACK:
            return None
        if isinstance(result, Message) and not result.is_request:
            return result
        return self._failed_dispatch(request, addr, TypeError(f"a handler answers a response or None, not {result!r}"))

    def _failed_dispatch(self, request: Message, addr: Address | None, error: Exception) -> Message:
        if isinstance(error, HeaderError):
            self._counts["rejected"] += 1
            fault = _fault_of(error)
            return request.reply(fault.status, fault.reason)
        self._note_handler_error(request, addr or _NOWHERE, error)
        return request.reply(500)

    def invoke_on_sip_response(self, response: Message, addr: Address | None = None) -> None:
        """Calls `on_sip_response`, for a response that came over another transport."""
        self._hook(self.config.on_sip_response, response, addr or _NOWHERE)

    # ------------------------------------------------------------------ calling what others wrote

    def _hook(self, hook: Callable[..., object] | None, *args: object) -> None:
        """Calls a hook, if it is set; what it raises is logged and counted."""
        if hook is None:
            return
        try:
            hook(*args)
        except Exception as error:
            self._on_hook_error(hook, args, error)

    def _on_hook_error(self, hook: Callable[..., object], args: tuple[object, ...], error: Exception) -> None:
        self._counts["hook_errors"] += 1
        name = getattr(hook, "__name__", hook)
        self._log.log(logging.ERROR, "the hook %s failed%s", name, _call_id(args), exc_info=error)

    def _event(
        self,
        kind: EventType,
        addr: Address | None = None,
        raw: bytes = b"",
        *,
        request: Message | None = None,
        response: Message | None = None,
        error: BaseException | None = None,
    ) -> None:
        if self.config.on_event is not None:
            self._hook(self.config.on_event, Event(kind, addr, raw, request, response, error))


class _Fault(NamedTuple):
    """Why a request is refused, and with what."""

    status: int
    reason: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})


def _fault_of(error: HeaderError) -> _Fault:
    return _Fault(error.status, f"{error.header} {error.reason}".strip() if error.status == 400 else None)


_COUNTS: Final = (
    "datagrams", "bytes_received", "truncated", "kernel_drops", "noise", "parse_errors", "responses_received",
    "rejected", "overloaded", "handler_errors", "hook_errors", "unanswerable", "sent", "bytes_sent", "send_errors",
    "queue_drops", "icmp_errors",
)  # fmt: skip
_NOWHERE: Final[Address] = ("", 0)


def _not_implemented(request: Message, _: Address) -> Message | None:
    """The default answer to a method without a handler (RFC 3261 8.2.1 leaves 501 or 405; we know of no method)."""
    return None if request.method == ACK else request.reply(501)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_noise(data: bytes) -> bool:
    return is_signaling_noise_datagram(data) or is_stun(data)


def _call_id(args: Sequence[object]) -> str:
    for message in args:
        if isinstance(message, Message):
            return f" on Call-ID {message.get_header('Call-ID')!r}"
    return ""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _as_transport_error(error: Exception) -> TransportError:
    failure = TransportError(getattr(error, "errno", None) or errno.EIO, f"cannot read: {error}")
    failure.__cause__ = error
    return failure


@contextlib.asynccontextmanager
async def _repeat(call: Callable[..., None], *args: object, every: float) -> AsyncIterator[None]:
    """Calls a function every so many seconds while the block runs."""
    loop = asyncio.get_running_loop()

    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        timer = loop.call_later(every, again)
        call(*args)

    timer = loop.call_later(every, again)
    try:
        yield
    finally:
        timer.cancel()
