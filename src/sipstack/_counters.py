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

_TRAFFIC: Final = ("datagrams", "bytes_received", "truncated", "kernel_drops", "sent", "bytes_sent", "send_errors",
                   "queue_drops", "icmp_errors")  # fmt: skip


class Counters:
    """Gives the counters of an endpoint.

    Dispatcher and outbox count what passes through them, for every transport. What a transport counts itself it knows
    better (a datagram that waits in its queue has not been sent), so its figures are taken instead.
    """

    def __init__(self, dispatcher: "Dispatcher", outbox: Outbox, tasks: Tasks, hooks: Hooks) -> None:
        self._dispatcher, self._outbox, self._tasks, self._hooks = dispatcher, outbox, tasks, hooks
        self._transport: DatagramTransport | None = None
        self._at_begin: Mapping[str, int] = {}
        self._corrections = dict.fromkeys(_TRAFFIC, 0)
        self._shared: SharedStats | None = None
        self._worker = -1

    def begin(self, transport: DatagramTransport) -> None:
        """From now on a transport's own figures are taken."""
        self._transport = transport
        self._at_begin = self._differences(transport)

    def end(self) -> None:
        """The transport goes away; what it said stays."""
        self._corrections = self._corrected()
        self._transport = None

    def _passed(self) -> dict[str, int]:
        outbox, counts = self._outbox, dict.fromkeys(_TRAFFIC, 0)
        for name, count in self._dispatcher.counts().items():
            if name in counts:
                counts[name] = count
        counts["sent"], counts["bytes_sent"] = outbox.sent, outbox.bytes_sent
        counts["send_errors"], counts["queue_drops"] = outbox.send_errors, outbox.queue_drops
        return counts

    def _differences(self, transport: DatagramTransport) -> dict[str, int]:
        """How far a transport's figures are from what passed through the rooms."""
        passed = self._passed()
        return {name: count - passed[name] for name, count in transport.counters().items() if name in passed}

    def _corrected(self) -> dict[str, int]:
        corrections = dict(self._corrections)
        if self._transport is not None:
            for name, difference in self._differences(self._transport).items():
                corrections[name] += difference - self._at_begin.get(name, 0)
        return corrections

    def own(self) -> Stats:
        """The snapshot of this process."""
        counts = self._passed() | self._dispatcher.counts()
        for name, correction in self._corrected().items():
            counts[name] += correction
        counts["send_errors"] += self._outbox.unsendable
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
