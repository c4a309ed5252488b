"""Where the counters of an endpoint's rooms are put together into a `Stats`, and those of its workers into one."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ._hooks import Hooks
from ._outbox import Outbox
from ._stats import SharedStats, Stats, add
from ._tasks import Tasks
from .transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._dispatch_py import Dispatcher

__all__ = ["Counters"]

_OF_THE_TRANSPORT: Final = ("datagrams", "bytes_received", "truncated", "kernel_drops", "sent", "bytes_sent",
                            "send_errors", "queue_drops", "icmp_errors")  # fmt: skip


class Counters:
    """Gives the counters of an endpoint.

    What passes the transport is counted once: by the transport where it does (a datagram that waits in its queue has
    not been sent, which nobody else can know), else by dispatcher and outbox.
    """

    def __init__(self, dispatcher: "Dispatcher", outbox: Outbox, tasks: Tasks, hooks: Hooks) -> None:
        self._dispatcher, self._outbox, self._tasks, self._hooks = dispatcher, outbox, tasks, hooks
        self._transport: DatagramTransport | None = None
        self._at_begin: Mapping[str, int] = {}
        self._kept = dict.fromkeys(_OF_THE_TRANSPORT, 0)
        self._shared: SharedStats | None = None
        self._worker = -1

    def begin(self, transport: DatagramTransport) -> None:
        """From now on it counts what this transport counts."""
        self._transport, self._at_begin = transport, transport.counters()
        self._dispatcher.counts_received = "datagrams" not in self._at_begin
        self._outbox.counts_sent = "sent" not in self._at_begin

    def end(self) -> None:
        """The transport goes away; what it counted stays."""
        self._kept = self._of_transport()
        self._transport = None

    def _of_transport(self) -> dict[str, int]:
        counts = dict(self._kept)
        if self._transport is not None:
            for name, count in self._transport.counters().items():
                if name in counts:
                    counts[name] += count - self._at_begin.get(name, 0)
        return counts

    def own(self) -> Stats:
        """The snapshot of this process."""
        outbox, counts = self._outbox, self._of_transport()
        for name, count in self._dispatcher.counts().items():
            counts[name] = counts.get(name, 0) + count
        counts["sent"] += outbox.sent
        counts["bytes_sent"] += outbox.bytes_sent
        counts["send_errors"] += outbox.send_errors + outbox.unsendable
        counts["queue_drops"] += outbox.queue_drops
        methods, classes = self._dispatcher.requests_by_method(), self._dispatcher.responses_by_class()
        return Stats(
            **counts,
            hook_errors=self._hooks.errors,
            requests=sum(methods.values()),
            responses=sum(classes.values()),
            pending=len(self._tasks),
            requests_by_method=MappingProxyType(methods),
            responses_by_class=MappingProxyType(classes),
        )

    # ------------------------------------------------------------------ workers

    def share(self, workers: int) -> SharedStats:
        """Makes the memory that so many workers publish their counters in."""
        self._shared = SharedStats(workers, self._dispatcher.methods())
        return self._shared

    def become(self, worker: int) -> None:
        """From now on this process is that worker."""
        self._worker = worker

    def publish(self) -> None:
        """Shows the others what this worker counted."""
        if self._shared is not None and self._worker >= 0:
            self._shared.write(self._worker, self.own())

    def of_workers(self) -> tuple[Stats, ...]:
        """The snapshot of each worker, or of this process where there are none."""
        if self._shared is None:
            return (self.own(),)
        self.publish()
        return self._shared.read_all()

    def total(self) -> Stats:
        """The sum over the workers."""
        return self.own() if self._shared is None else add(self.of_workers())
