"""Datagram transports: the protocol an endpoint needs, and the UDP socket. No SIP in here.

An address is `(host, port)`, the host an IP address as text: an IPv4 peer of a dual-stack socket is an IPv4 address,
a link-local IPv6 peer carries its zone (`fe80::1%eth0`). On a wildcard address it carries the one it came to as well.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from ._address import Address, PeerAddress, bare_host, sent_by
from ._compat import load
from ._limited_log import LimitedLog
from ._limits import DEFAULT_PORT, MAX_SIZE
from ._udp_py import normal_address
from .errors import TransportError

if TYPE_CHECKING:
    from . import _udp_py as _udp
else:
    _udp = load("_udp")

__all__ = ["Address", "Datagram", "DatagramTransport", "Failure", "PeerAddress", "Receiver", "UDPTransport"]

Datagram: TypeAlias = tuple[bytes, Address]
Failure: TypeAlias = tuple[bytes, Address, Exception]

_logger = logging.getLogger(__name__)

# An ICMP answer to something we sent: the peer's trouble and never a reason to stop (RFC 1122 4.1.3.3).
_ICMP: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "EPROTO", "ENOPROTOOPT",
        "EMSGSIZE", "ENONET", "WSAECONNRESET", "WSAENETRESET",
    )
    if hasattr(errno, name)
)  # fmt: skip
# A wake-up of the loop takes so many datagrams, or goes on for so long, and then its timers and tasks have their turn.
_DRAIN: Final = 256
_DRAIN_SECONDS: Final = 0.001
# What the system may refuse for a while (RLIMIT, cgroup, LSM): no reason to leave the socket at once.
_PASSING: Final = frozenset((errno.EPERM, errno.EACCES, errno.ENOMEM, errno.ENOBUFS))
_PAUSE_SECONDS: Final = 0.1
_PAUSES: Final = 100  # in a row
_PORTION: Final = 131_072  # bytes that are delivered at once: what costs most for a byte takes a few milliseconds then
_RETRY_SECONDS: Final = 0.005  # between two tries of a full socket where the loop cannot say when it has room
_NOT_OURS: Final = "somebody closed the socket, whose descriptor may be something else now"
_SO_MEMINFO: Final = 55  # Linux: nine 32-bit counters of the socket; the last one is what it had to drop
_SO_DETACH_FILTER: Final = 27  # Linux
_BATCH_COUNTERS: Final = ("datagrams", "bytes_received", "truncated", "sent", "bytes_sent")
_COUNTERS: Final = (*_BATCH_COUNTERS, "send_errors", "queue_drops", "kernel_drops", "icmp_errors", "read_errors")
_MAX_PAYLOAD: Final = {socket.AF_INET: 65_507, socket.AF_INET6: 65_527}


class Receiver(Protocol):
    """Takes what a transport receives: in an endpoint its `Serving`. All is called in the loop's thread."""

    def deliver(self, batch: list[Datagram]) -> None:
        """Datagrams that were received. Answers are sent before this returns."""

    def deliver_cut(self, batch: list[Datagram]) -> None:
        """Datagrams that were longer than the transport's buffer, with what fitted."""

    def fail(self, error: Exception) -> None:
        """Nothing more can be received; the transport has stopped."""


@runtime_checkable
class DatagramTransport(Protocol):
    """What an `Endpoint` needs of a transport: it opens it, starts it, and closes it.

    Anything with these members will do. A class that inherits from this one needs to define `local_address`, `open`,
    `start`, `stop`, `send` and `close`; the others do what suits a transport that keeps nothing back.
    """

    @property
    def local_address(self) -> Address | None:
        """Where it listens, or None while it is not open."""

    @property
    def max_payload(self) -> int:
        """The largest datagram it can send, in bytes."""
        return 65_507

    def open(self) -> None:
        """Makes it ready to receive and send; raises `TransportError` where it cannot be."""

    async def start(self, receiver: Receiver) -> None:
        """Gives what it receives to `receiver` from now on, until `stop`. Does not wait for it."""

    def stop(self) -> None:
        """Gives nothing more to the receiver. It stays open, and may be started again.

        The receiver is not told. It is the endpoint's to call, when its serving ends: where somebody else does, `serve`
        waits on and hears nothing. `Endpoint.close` is what ends that.
        """

    async def drain(self, receiver: Receiver, seconds: float) -> None:  # noqa: ARG002
        """Gives what has arrived already to `receiver`, and nothing that comes later; `seconds` is all it may take."""
        return

    def send(self, datagrams: list[Datagram]) -> Sequence[Failure]:
        """Sends without waiting. Returns those it could not send, each with the error.

        BlockingIOError says that there was no room for it. What is kept until there is room is not among them. While it
        is started it is called in the loop's thread, else in any, by one at a time. An address that it gave to the
        receiver as a `PeerAddress` is one here too, and names what to send from.
        """
        raise NotImplementedError

    def flush(self) -> int:
        """Sends what it kept for want of room, as far as it can; returns how many are still kept."""
        return 0

    def counters(self) -> Mapping[str, int]:
        """What it counts itself, by the names of `Stats`.

        Where `datagrams` is among them, it counts what it receives; where `sent` is, what it sends. The endpoint counts
        what the transport does not.
        """
        return {}

    def close(self) -> None:
        """Gives everything back. Called once or more."""


class UDPTransport(DatagramTransport):
    """A UDP socket on an asyncio loop, read and written in batches.

    Args:
        host: the address to listen on, an IPv6 one with or without brackets. `"::"` takes IPv4 and IPv6, `"0.0.0.0"`
            IPv4 alone; what comes to these has a `PeerAddress` as its source (Linux). A name is resolved.
        port: 0 lets the kernel choose one.
        reuse_port: share the port with other sockets of this user; the kernel spreads the peers over them.
        recv_buffer, send_buffer: bytes to ask the kernel for, or None for 4 MiB or what it allows below that.
        batch_size: datagrams taken or given in one system call.
        read_buf_size: longer datagrams are cut, counted and never parsed.
        gso: give the kernel a run of datagrams of one size to one peer as one, which it cuts up behind its routing
            (UDP_SEGMENT; Linux, compiled core). A capture on this machine may show the run as one long datagram.
        send_queue: datagrams kept while the socket's send buffer is full; further ones are dropped and counted.
        sock: a bound UDP socket to use instead of making one; it is closed with the transport.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        reuse_port: bool = False,
        recv_buffer: int | None = None,
        send_buffer: int | None = None,
        batch_size: int = 64,
        read_buf_size: int = MAX_SIZE,
        gso: bool = False,
        send_queue: int = 1024,
        check_interval: float = 1.0,
        sock: socket.socket | None = None,
    ) -> None:
        if not isinstance(host, str) or not host:
            raise TypeError(f"host is an address or a name, as str, not {host!r}")
        for name, value in (("port", port), ("batch_size", batch_size), ("read_buf_size", read_buf_size),
                            ("send_queue", send_queue)):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} is an int, not {type(value).__name__}")
        if sock is not None and not isinstance(sock, socket.socket):
            raise TypeError(f"sock is a socket, not {type(sock).__name__}")
        self._host, self._port, self._reuse_port = bare_host(host), port, reuse_port
        self._buffers = recv_buffer, send_buffer
        self._batch_size, self._read_buf_size = batch_size, read_buf_size
        self._gso = gso
        self._check_interval = check_interval
        self._given = sock
        self._sock: socket.socket | None = None
        self._batch: _udp.Batch | None = None
        self._local: Address | None = None
        self._identity = (0, 0)  # of the socket's descriptor
        self._watched = -1  # the descriptor that the loop watches
        self._pauses = 0  # since something could be read
        self._is_pausing = False  # and the loop does not watch the descriptor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receiver: Receiver | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fallback: asyncio.DatagramTransport | None = None
        self._queue: deque[Datagram] = deque()
        self._queue_size = send_queue
        self._sending = threading.RLock()
        self._kernel_drops = 0
        self._late: list[Datagram] = []  # were read, and are delivered in the next turns of the loop
        self._comes_again: asyncio.Handle | None = None
        self._totals = dict.fromkeys(_COUNTERS, 0)
        self._log = LimitedLog(_logger)

    def __repr__(self) -> str:
        if self._local is None:
            return f"<UDPTransport {sent_by(self._host, self._port)}, not open>"
        waiting = f", {len(self._queue)} wait to be sent" if self._queue else ""
        return f"<UDPTransport {sent_by(*self._local)}, {'being read' if self._loop else 'open'}{waiting}>"

    # ------------------------------------------------------------------ opening and closing

    @property
    def local_address(self) -> Address | None:
        """Where it listens (with the port the kernel chose), or None while it is not open."""
        return self._local

    @property
    def sock(self) -> socket.socket | None:
        """The socket, for options this class does not know, or None while it is not open."""
        return self._sock

    @property
    def max_payload(self) -> int:
        """The largest datagram this socket can send, in bytes."""
        return _MAX_PAYLOAD[self._sock.family] if self._sock else 65_507

    def open(self) -> None:
        """Binds the socket; `TransportError` says which address could not be had. RuntimeError when it is open."""
        if self._sock is not None:
            raise RuntimeError("the transport is open already")
        sock, self._given = self._given or self._bind(), None
        try:
            sock.setblocking(False)
            self._size_buffers(sock)
            self._batch = _udp.Batch(sock, self._batch_size, self._read_buf_size, self._gso)
            self._local = normal_address(sock.getsockname())
            self._identity = _identity(sock.fileno())
        except BaseException:
            sock.close()
            raise
        self._sock = sock

    def _bind(self) -> socket.socket:
        where = sent_by(self._host, self._port)
        try:
            family, _, _, _, target = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise _transport_error(error, f"cannot listen on {where}") from error
        try:
            if self._reuse_port:
                if not hasattr(socket, "SO_REUSEPORT"):
                    raise OSError(errno.ENOPROTOOPT, "this system has no SO_REUSEPORT")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._host == "::":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(target)
        except OSError as error:
            sock.close()
            raise _transport_error(error, f"cannot listen on {where}") from error
        return sock

    def _size_buffers(self, sock: socket.socket) -> None:
        """Asks for the buffers and reads back what the kernel gave (Linux answers twice what it counts as usable)."""
        factor = 2 if sys.platform == "linux" else 1
        options = (socket.SO_RCVBUF, socket.SO_SNDBUF)
        for option, name, asked in zip(options, ("receive", "send"), self._buffers, strict=True):
            with contextlib.suppress(OSError):  # macOS refuses what is over its limit, and keeps what was there
                sock.setsockopt(socket.SOL_SOCKET, option, asked or 4 << 20)
            given = sock.getsockopt(socket.SOL_SOCKET, option) // factor
            if asked is not None and given < asked:
                _logger.warning("the %s buffer is %d bytes, not %d (see net.core.rmem_max)", name, given, asked)

    def close(self) -> None:
        """Closes the socket. What waits in the send queue is tried once more and then counted as dropped.

        Its receiver is told, where it was not stopped before.
        """
        if self._sock is None:
            return
        receiver, loop = self._receiver, self._loop
        self.stop()
        with self._sending:
            if self._sock is None:  # another thread was first
                return
            if self._queue:
                self._totals["queue_drops"] += self.flush()
                self._queue.clear()
            self._totals, self._kernel_drops = self.counters(), 0
            is_ours = self._is_ours(self._sock.fileno())
            sock, self._sock, self._batch, self._local = self._sock, None, None, None
            self._late = []
            if is_ours:
                sock.close()
            else:
                sock.detach()  # somebody closed the descriptor, and it may be another's by now
        self._log.flush(force=True)
        if receiver is not None and loop is not None and not loop.is_closed():
            error = TransportError(errno.EBADF, "the transport was closed")
            if loop is running_loop():
                receiver.fail(error)
            else:
                loop.call_soon_threadsafe(receiver.fail, error)

    def _is_ours(self, descriptor: int) -> bool:
        """Whether a descriptor is still that of our socket."""
        try:
            return descriptor >= 0 and _identity(descriptor) == self._identity
        except OSError:
            return False

    # ------------------------------------------------------------------ receiving

    async def start(self, receiver: Receiver) -> None:
        """Gives each batch of datagrams to `receiver` as it comes, until `stop`. An ICMP answer is no failure."""
        if self._sock is None:
            raise RuntimeError("the transport is not open")
        if self._loop is not None:
            raise RuntimeError("the transport is being read already")
        if not self._is_ours(self._sock.fileno()):
            raise TransportError(errno.EBADF, _NOT_OURS)
        self._loop = loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._accept_new()
        try:
            loop.add_reader(self._sock.fileno(), self._on_readable)
            self._watched = self._sock.fileno()
        except NotImplementedError:
            # A copy of the descriptor: the loop closes the one it was given, and we may be asked to read on.
            fallback, _ = await loop.create_datagram_endpoint(lambda: _Fallback(self), sock=self._sock.dup())
            if self._receiver is not receiver:  # it was stopped meanwhile
                fallback.close()
                return
            self._fallback = fallback
        if self._queue:
            self._await_room()
        if self._late:
            self._come_again()
        self._timer = loop.call_later(self._check_interval, self._check)

    def stop(self) -> None:
        """Stops the reading, and tells nobody. The socket stays open and keeps what arrives."""
        if self._loop is None:
            return
        is_somebody_elses = self._is_pausing and not self._is_ours(self._watched)
        if self._timer is not None:
            self._timer.cancel()
        if self._fallback is not None:
            self._fallback.close()
            self._fallback = None
        elif self._watched >= 0 and not self._loop.is_closed() and not is_somebody_elses:
            # By its number: where somebody closed the socket, the loop must forget it all the same. Who has the number
            # by now and had this loop watch it heard nothing: the loop took it for ours, which the kernel forgot.
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
        self._watched, self._is_pausing = -1, False
        self._loop = self._timer = self._receiver = None
        if self._comes_again is not None:
            self._comes_again.cancel()
            self._comes_again = None

    async def drain(self, receiver: Receiver, seconds: float) -> None:
        """Gives what waits in the socket to `receiver`, for so many seconds at most.

        On Linux with the compiled core nothing new gets in meanwhile, until `start`. Elsewhere it would come for ever:
        what comes within a quarter of a second counts as what waited.
        """
        loop = asyncio.get_running_loop()
        try:
            _udp.refuse_new(self._sock.fileno() if self._sock is not None else -1)
        except OSError:
            seconds = min(seconds, 0.25)
        end = loop.time() + seconds
        with contextlib.suppress(OSError):
            while self._batch is not None and loop.time() < end and self._take(receiver):
                await asyncio.sleep(0)

    def _accept_new(self) -> None:
        """Undoes `refuse_new`, also that of another process with the same socket."""
        if sys.platform == "linux" and self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def _on_readable(self) -> None:
        if self._comes_again is None:  # else what is late has this turn, and takes what is in the socket as well
            self._read()

    def _read(self) -> int:
        """Takes what is there, for as long as a turn may be; how many datagrams the last look found."""
        # To look once more costs a tenth of what a turn of the loop does, and while a batch is answered more comes.
        taken, end = 0, time.monotonic() + _DRAIN_SECONDS
        for _ in range(max(1, _DRAIN // self._batch_size)):
            receiver = self._receiver
            if receiver is None:
                break
            try:
                taken = self._take(receiver)
            except OSError as error:
                self._on_error(error)
                taken = 0
                break
            if taken == 0 or time.monotonic() > end:
                break
        if self._late:
            self._come_again()
        return taken

    def _come_again(self) -> None:
        """Has the next turn of the loop take what is late, whatever is in the socket."""
        if self._loop is not None and self._comes_again is None:
            self._comes_again = self._loop.call_soon(self._on_late)

    def _on_late(self) -> None:
        self._comes_again = None
        if self._receiver is not None and self._read():
            self._come_again()  # the socket's own callback may be due in this turn as well, and waits for the next one

    def _take(self, receiver: Receiver) -> int:
        """Reads one batch and delivers it, or what is late; how many datagrams. OSError: the socket cannot be read."""
        batch = self._batch
        assert batch is not None
        before = batch.bytes_received
        datagrams = self._late or batch.receive()
        self._pauses = 0
        if self._late or batch.bytes_received - before > _PORTION:
            datagrams = self._first_portion(datagrams)
        if datagrams:
            receiver.deliver(datagrams)
        cut = batch.cut
        if cut:
            batch.cut = []
            receiver.deliver_cut(cut)
        return len(datagrams) + len(cut)

    def _first_portion(self, datagrams: list[Datagram]) -> list[Datagram]:
        """As many of the datagrams as are delivered at once, one at least; the others are late."""
        size = count = 0
        for data, _ in datagrams:
            size += len(data)
            if count and size > _PORTION:
                break
            count += 1
        self._late = datagrams[count:]
        return datagrams[:count]

    def _on_datagram(self, data: bytes, address: Address) -> None:
        """One datagram from the fallback's protocol, which has no buffer of ours to be cut by."""
        assert self._receiver is not None
        self._totals["datagrams"] += 1
        cut = len(data) > self._read_buf_size
        data = data[: self._read_buf_size]
        self._totals["truncated"] += cut
        self._totals["bytes_received"] += len(data)
        deliver = self._receiver.deliver_cut if cut else self._receiver.deliver
        deliver([(data, address)])

    def _on_error(self, error: OSError) -> None:
        if error.errno in _ICMP:
            self._totals["icmp_errors"] += 1
            if self._fallback is None and self._loop is not None and self._sock is not None:
                self._loop.remove_reader(self._sock.fileno())  # uvloop stops watching at an error
                self._loop.add_reader(self._sock.fileno(), self._on_readable)
            return
        if error.errno in _PASSING and self._pause():
            self._totals["read_errors"] += 1
            self._log.log(logging.WARNING, "cannot read for now: %s", error)
            return
        self._fail(error)

    def _pause(self) -> bool:
        """Reads no more for a moment; False where that has been so too often in a row."""
        self._pauses += 1
        if self._pauses > _PAUSES or self._loop is None:
            return False
        if self._fallback is None:
            self._loop.remove_reader(self._watched)
            self._is_pausing = True
            self._loop.call_later(_PAUSE_SECONDS, self._read_on, self._receiver)
        return True

    def _read_on(self, receiver: Receiver | None) -> None:
        """Ends a pause, unless the reading was stopped meanwhile."""
        if self._loop is None or self._receiver is not receiver or self._watched < 0:
            return
        if self._is_ours(self._watched):
            self._is_pausing = False
            self._loop.add_reader(self._watched, self._on_readable)
        else:
            self._fail(OSError(errno.EBADF, _NOT_OURS))

    def _fail(self, error: OSError) -> None:
        receiver = self._receiver
        self.stop()
        if receiver is not None:
            receiver.fail(error)

    def _check(self) -> None:
        """Once in `check_interval`: is the descriptor still our socket? A poller says nothing when it is closed."""
        if self._loop is None or self._sock is None:
            return
        self._timer = self._loop.call_later(self._check_interval, self._check)
        self._log.flush()
        if not self._is_ours(self._sock.fileno()):
            self._fail(OSError(errno.EBADF, _NOT_OURS))

    # ------------------------------------------------------------------ sending

    def send(self, datagrams: list[Datagram]) -> Sequence[Failure]:
        """Sends the datagrams in as few system calls as they need, without waiting.

        Those the socket has no room for wait in the send queue. Returns those that could not be sent, each with its
        error: BlockingIOError where the queue was full, OSError for what the kernel refused, ValueError or TypeError
        for an address that is none. May be called from any thread.
        """
        with self._sending:
            if self._batch is None:
                raise TransportError(errno.EBADF, "the transport is not open")
            if self._queue and (self._loop is not None or self.flush()):
                return self._enqueue(datagrams, 0)
            taken, failures = self._batch.send(datagrams)
            if taken == len(datagrams) and not failures:
                return ()
            return [*self._describe(datagrams, failures), *self._enqueue(datagrams, taken)]

    def _describe(self, datagrams: list[Datagram], failures: list[tuple[int, Exception]]) -> list[Failure]:
        described: list[Failure] = []
        for at, error in failures:
            data, address = datagrams[at]
            self._totals["send_errors"] += 1
            if isinstance(error, OSError) and error.errno == errno.EMSGSIZE:
                text = f"a datagram of {len(data)} bytes is over the {self.max_payload} that UDP carries"
                error = TransportError(errno.EMSGSIZE, text)
            described.append((data, address, error))
        return described

    def _enqueue(self, datagrams: list[Datagram], start: int) -> list[Failure]:
        room = max(0, self._queue_size - len(self._queue))
        watched = bool(self._queue)
        self._queue.extend(datagrams[start : start + room])
        if self._queue and not watched:
            self._await_room()
        full = BlockingIOError(errno.EAGAIN, "the send queue is full")
        dropped: list[Failure] = [(data, address, full) for data, address in datagrams[start + room :]]
        self._totals["queue_drops"] += len(dropped)
        return dropped

    def _await_room(self) -> None:
        """Has the loop send what waits when the socket has room; one that cannot watch it tries again and again."""
        loop = self._loop  # another thread's: it may stop the reading at any moment
        if loop is None:
            return
        if loop is not running_loop():
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(self._await_room)
        elif self._fallback is None and self._sock is not None:
            loop.add_writer(self._sock.fileno(), self._on_writable)
        else:
            loop.call_later(_RETRY_SECONDS, self._on_writable)

    def _on_writable(self) -> None:
        if self.flush():
            if self._fallback is not None:
                self._await_room()
        elif self._fallback is None and self._loop is not None and self._sock is not None:
            self._loop.remove_writer(self._sock.fileno())

    def flush(self) -> int:
        """Sends what waits in the send queue, as far as the socket has room; returns how many still wait.

        While the transport is being read, the loop does it.
        """
        with self._sending:
            if not self._queue or self._batch is None:
                return 0
            # Taken out first: while they are sent a finalizer may send more, or close the transport.
            waiting, self._queue = list(self._queue), deque()
            taken, failures = self._batch.send(waiting)
            failed = self._describe(waiting, failures)
            if self._batch is None:
                self._totals["queue_drops"] += len(waiting) - taken
            else:
                self._queue.extendleft(reversed(waiting[taken:]))
            left = len(self._queue)
        for _, address, error in failed:
            self._log.log(logging.WARNING, "cannot send to %s: %s", address, error)
        return left

    # ------------------------------------------------------------------ counting

    def counters(self) -> dict[str, int]:
        """What happened so far: datagrams and bytes in and out, truncated, dropped by queue and kernel, refused."""
        totals, batch = dict(self._totals), self._batch
        if batch is not None:
            for name in _BATCH_COUNTERS:
                totals[name] += getattr(batch, name)
            totals["kernel_drops"] += self._read_kernel_drops()
        return totals

    def _read_kernel_drops(self) -> int:
        """Datagrams the kernel dropped for want of room (a 32-bit counter that wraps, read when someone asks).

        SO_RXQ_OVFL would tell the same number with every datagram, at the price of a control message on each.
        """
        sock = self._sock  # another thread may close it meanwhile
        if sys.platform == "linux" and sock is not None:
            with contextlib.suppress(OSError, struct.error):
                now = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))[8]
                before = self._kernel_drops
                self._kernel_drops = before + (now - before) % (1 << 32)
        return self._kernel_drops


def _identity(descriptor: int) -> tuple[int, int]:
    """What tells a socket from what else may get its descriptor when somebody closes that. OSError where none is open.

    On Windows there is nothing to ask, and each is the same.
    """
    if os.name != "posix":
        return 0, 0
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class _Fallback(asyncio.DatagramProtocol):
    """Feeds a `UDPTransport` on a loop that cannot watch a descriptor (Windows' proactor)."""

    def __init__(self, owner: UDPTransport) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._owner._on_datagram(data, normal_address(addr))

    def error_received(self, exc: Exception) -> None:
        self._owner._on_error(exc if isinstance(exc, OSError) else OSError(str(exc)))


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _transport_error(error: Exception, what: str) -> TransportError:
    number = getattr(error, "errno", None) or errno.EINVAL
    return TransportError(number, f"{what}: {getattr(error, 'strerror', None) or error}")
