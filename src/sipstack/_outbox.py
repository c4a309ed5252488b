"""What leaves: datagrams wait for the end of the batch, go to the transport in one call, and are shown to the hooks."""

import asyncio
import errno
import logging
import threading
from collections.abc import Callable, Sequence
from threading import get_ident

from ._address import ReturnAddress
from ._config import EventType
from ._reports import Reports
from .errors import PROGRAM_ENDS, TransportError
from .message import Message
from .transport import Address, Datagram, DatagramTransport, Failure, running_loop


class Outbox:
    """Datagrams that are to leave together.

    Any thread may use it. What one puts in while a batch is answered leaves with the batch.

    Attributes:
        waiting: those that leave next. The list stays the same object.
        held: whether a batch is being answered, at whose end they leave.
        transport: what they leave by, None while the endpoint is not open.
        loop: the loop that serves, or served last; None before.
        thread: the one that it runs in.
        counts_sent: whether what leaves is counted here; not where the transport does it.
        has_returns: whether some of it may have a `ReturnAddress`.
    """

    __slots__ = ("_lock", "_notes", "_reports", "_scheduled", "_sender", "counts_sent", "has_returns", "held",
                 "loop", "thread", "transport", "waiting")  # fmt: skip

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._notes: list[tuple[Datagram, Message, Message | None]] = []
        self.waiting: list[Datagram] = []
        self.held = False
        self.transport: DatagramTransport | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = 0
        self._scheduled = False  # whether the loop will flush
        self._sender = 0  # the thread that takes out what waits, which holds the lock
        self.counts_sent = True
        self.has_returns = False
        self._lock = threading.RLock()  # one that a thread may take twice: a transport may deliver while it sends

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on this loop serves, in this thread."""
        self.loop, self.thread, self._scheduled = loop, get_ident(), False

    def hand_over(self, function: Callable[..., object], *args: object) -> bool:
        """For another thread than `thread`: has the loop call a function in its own. False where none is running."""
        loop = self.loop
        if loop is None or not loop.is_running():
            return False
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # it was closed meanwhile
            return False
        return True

    def put(self, data: bytes, addr: Address, message: Message | None, request: Message | None = None) -> None:
        """Lets a datagram leave with the next ones; `message` is what it was, `request` what that answers."""
        self.waiting.append((data, addr))
        if message is not None and self._reports.see_what_left:
            self._notes.append(((data, addr), message, request))
        # Asked after the appending: so the flush that is to come finds it, whoever put it in.
        if self.held or (self._scheduled and self.thread == get_ident()):
            return
        if self.loop is not None and self.loop is running_loop():
            self._scheduled = True
            self.loop.call_soon(self.flush)  # with what else comes in this turn of the loop
        else:
            self.flush()

    def flush(self) -> None:
        """Sends what waits, and calls the hooks for what left.

        What a finalizer or a transport puts in while this sends, in the same thread, leaves in another round.
        """
        self._scheduled = False
        if self._sender == get_ident():
            return
        while self.waiting:
            self._flush_once()

    def _flush_once(self) -> None:
        with self._lock:
            self._sender = get_ident()
            try:
                # Another thread may be adding to them, the datagram first: so what is noted here is among what leaves.
                # A finalizer may too: not x[:], see _parser_py.
                if notes := [*self._notes]:
                    del self._notes[: len(notes)]
                leaving = [*self.waiting]
                del self.waiting[: len(leaving)]
                failures = self._pass_on(leaving) if leaving else ()
            finally:
                self._sender = 0
        for failure in failures:
            self._report(failure)
        failed: dict[int, list[Address]] = {}
        for data, addr, _ in failures:
            failed.setdefault(id(data), []).append(addr)
        for (data, addr), message, request in notes:
            if addr not in failed.get(id(data), ()):
                self._reports.message_left(message, addr, request)

    def send_now(self, data: bytes, addr: Address) -> None:
        """Sends one datagram without waiting for others; raises what the transport says of it."""
        with self._lock:
            failures = self._pass_on([(data, addr)])
        for failure in failures:
            self._report(failure)
            raise failure[2]

    def check(self, data: bytes, addr: Address) -> None:
        """Raises `TransportError` where a datagram cannot be sent now, whoever it is for."""
        transport = self.transport
        if type(addr) is ReturnAddress:
            return
        if transport is None:
            raise TransportError(errno.EBADF, "the endpoint is not open")
        if len(data) > transport.max_payload:
            text = f"{len(data)} bytes are more than the {transport.max_payload} a UDP datagram carries"
            raise TransportError(errno.EMSGSIZE, text)

    def _pass_on(self, datagrams: list[Datagram]) -> Sequence[Failure]:
        """Gives datagrams to the transport. Returns those that it did not take."""
        if not self.has_returns:
            return self._transmit(datagrams)
        failures: list[Failure] = []
        others: list[Datagram] = []
        for data, addr in datagrams:
            if type(addr) is ReturnAddress:
                failures += self._return(data, addr)
            else:
                others.append((data, addr))
        return [*failures, *self._transmit(others)] if others else failures

    def _transmit(self, datagrams: list[Datagram]) -> Sequence[Failure]:
        counts = self._reports.counts
        try:
            if self.transport is None:
                raise TransportError(errno.EBADF, "the endpoint is not open")
            failures = self.transport.send(datagrams)
        except PROGRAM_ENDS:
            raise
        except BaseException as raised:
            error = _as_failure(raised)
            counts["send_errors"] += len(datagrams)
            return [(data, addr, error) for data, addr in datagrams]
        if self.counts_sent:
            dropped = sum([isinstance(error, BlockingIOError) for _, _, error in failures])
            counts["queue_drops"] += dropped
            counts["send_errors"] += len(failures) - dropped
            counts["sent"] += len(datagrams) - len(failures)
            unsent = sum([len(data) for data, _, _ in failures])
            counts["bytes_sent"] += sum([len(data) for data, _ in datagrams]) - unsent
        return failures

    def _return(self, data: bytes, addr: ReturnAddress) -> list[Failure]:
        """Sends one the way that its address knows."""
        counts = self._reports.counts
        try:
            addr.write(data)
        except PROGRAM_ENDS:
            raise
        except BaseException as raised:
            error = _as_failure(raised)
            counts["queue_drops" if isinstance(error, BlockingIOError) else "send_errors"] += 1
            return [(data, addr, error)]
        counts["sent"] += 1
        counts["bytes_sent"] += len(data)
        return []

    def _report(self, failure: Failure) -> None:
        data, addr, error = failure
        kind = EventType.SEND_DROPPED if isinstance(error, BlockingIOError) else EventType.SEND_ERROR
        self._reports.log.log(logging.WARNING, "%d bytes to %s were not sent: %s", len(data), addr, error)
        self._reports.event(kind, addr, data, error=error)


def _as_failure(raised: BaseException) -> Exception:
    """What a way out raised; nobody has cancelled who sends, where that waited for something that was cancelled."""
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, asyncio.CancelledError):
        failure = TransportError(errno.ECANCELED, "the sending was cancelled")
    else:
        failure = TransportError(errno.EIO, f"the sending ended with {type(raised).__name__}")
    failure.__cause__ = raised
    return failure
