"""Where the counters of an endpoint and its transport are put together into a `Stats`, and its workers' into one."""

import threading
from typing import TYPE_CHECKING

from ._stats import CLASSES, OTHER, SharedStats, Stats, add
from .transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._dispatch_py import Dispatcher


class Counters:
    """Gives the counters of an endpoint.

    What passes the transport is counted once: by the transport where it does (a datagram that waits in its queue has
    not been sent, which nobody else can know), else by dispatcher and outbox.

    Attributes:
        worker: the place of this process among the workers, None where it is none.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._transport: DatagramTransport | None = None
        self._at_begin: Mapping[str, int] = {}
        self._shared: SharedStats | None = None
        self.worker: int | None = None
        self._own = dict.fromkeys(dispatcher.config.counters, 0)
        self._counting = threading.Lock()

    def count(self, name: str, by: int) -> None:
        """Counts what is the program's own."""
        if name not in self._own:
            known = ", ".join(self._own) or "none"
            raise ValueError(f"{name!r} is not among EndpointConfig(counters=...), which has {known}")
        with self._counting:  # `+=` is none of one piece
            self._own[name] += by

    def begin(self, transport: DatagramTransport) -> None:
        """From now on it counts what this transport counts."""
        self._transport, self._at_begin = transport, transport.counters()
        self._dispatcher.counts_received = "datagrams" not in self._at_begin
        self._dispatcher.outbox.counts_sent = "sent" not in self._at_begin

    def end(self) -> None:
        """The transport goes away; what it counted stays."""
        self._dispatcher.reports.counts.update(self._counts())
        self._transport = None

    def _counts(self) -> dict[str, int]:
        counts = dict(self._dispatcher.reports.counts)
        if self._transport is not None:
            for name, count in self._transport.counters().items():
                if name in counts:
                    counts[name] += count - self._at_begin.get(name, 0)
        return counts

    def own(self) -> Stats:
        counts, dispatcher = self._counts(), self._dispatcher
        # A copy: another thread may ask, and a request of a method that was not seen before makes a new route.
        methods = {method: route.tally.count for method, route in dispatcher.routes.copy().items() if route.tally.count}
        if dispatcher.other.tally.count:
            methods[OTHER] = methods.get(OTHER, 0) + dispatcher.other.tally.count
        classes = {name: count for name, count in zip(CLASSES, dispatcher.responses[1:], strict=True) if count}
        counts["requests"], counts["responses"] = sum(methods.values()), sum(classes.values())
        counts["responses_received"], counts["pending"] = dispatcher.responses_received, len(dispatcher.tasks)
        return Stats(**counts, requests_by_method=methods, responses_by_class=classes, counters=self._own.copy())

    # ------------------------------------------------------------------ workers

    def share(self, workers: int) -> SharedStats:
        """Makes the memory that so many workers publish their counters in."""
        self._shared = SharedStats(workers, self._dispatcher.routes, self._own)
        return self._shared

    def publish(self) -> None:
        """Shows the others what this worker counted."""
        if self._shared is not None and self.worker is not None:
            self._shared.write(self.worker, self.own())

    def of_workers(self) -> tuple[Stats, ...]:
        """The snapshot of each worker, or of this process where there are none."""
        if self._shared is None:
            return (self.own(),)
        self.publish()
        return self._shared.read_all()

    def total(self) -> Stats:
        return self.own() if self._shared is None else add(self.of_workers())
