"""What an endpoint counts, and a form of it that several processes can share."""

import mmap
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, TypeAlias

from .methods import METHODS

OTHER: Final = "other"
"""Where requests are counted whose method is neither IANA's nor registered: a sender cannot make new counters."""

CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")
_LARGEST: Final = (1 << 63) - 1  # that is shared; what a program counts itself may be bytes, or anything
_Counts: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A snapshot of an endpoint's counters, plain data: equal, hashed, pickled, copied, `dataclasses.asdict`.

    All but `pending` only ever grow.

    Attributes:
        datagrams, bytes_received: what was read, all of it, and the messages that `Endpoint.receive` was given.
        truncated: datagrams longer than `read_buf_size`; they are not parsed.
        kernel_drops: datagrams the kernel dropped because the socket's buffer was full (Linux).
        noise: keep-alives, STUN and blank datagrams.
        parse_errors: datagrams that are no SIP message (the truncated ones too).
        parse_errors_answered: requests among them that were answered.
        requests, requests_by_method: requests parsed; a method that is unknown and not registered is "other".
        responses_received: responses parsed.
        rejected: requests that `validate` answered, or dropped where no answer is possible.
        overloaded: requests that got 503 because `max_pending` handlers were in flight.
        handler_errors, hook_errors: exceptions of handlers (each a 500) and of hooks.
        unanswerable: requests dropped for want of the headers that an answer needs, or as short as no answer can be.
        responses, responses_by_class: responses made by handlers and by the endpoint, and those that `respond`,
            `send` or `send_soon` was given, "1xx" to "6xx".
        sent, bytes_sent: datagrams the kernel took, and what went the way of `Endpoint.receive`.
        send_errors: datagrams that could not be sent.
        queue_drops: datagrams dropped because the send queue was full.
        icmp_errors: ICMP refusals reported by the socket.
        read_errors: times that the system would not let the socket be read (EPERM, EACCES, ENOMEM, ENOBUFS); it is
            tried again a tenth of a second later, a hundred times in a row at most.
        pending: coroutine handlers in flight now.
        counters: what the program counts itself (`EndpointConfig.counters`).
    """

    datagrams: int = 0
    bytes_received: int = 0
    truncated: int = 0
    kernel_drops: int = 0
    noise: int = 0
    parse_errors: int = 0
    parse_errors_answered: int = 0
    requests: int = 0
    responses_received: int = 0
    rejected: int = 0
    overloaded: int = 0
    handler_errors: int = 0
    hook_errors: int = 0
    unanswerable: int = 0
    responses: int = 0
    sent: int = 0
    bytes_sent: int = 0
    send_errors: int = 0
    queue_drops: int = 0
    icmp_errors: int = 0
    read_errors: int = 0
    pending: int = 0
    requests_by_method: _Counts = field(default_factory=dict)
    responses_by_class: _Counts = field(default_factory=dict)
    counters: _Counts = field(default_factory=dict)

    def __hash__(self) -> int:
        maps = (self.requests_by_method, self.responses_by_class, self.counters)
        return hash((*[getattr(self, name) for name in NUMBERS], *[frozenset(counts.items()) for counts in maps]))


NUMBERS: Final = tuple(f.name for f in fields(Stats) if f.default == 0)


def add(snapshots: Iterable[Stats]) -> Stats:
    numbers, methods, classes, own = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for snapshot in snapshots:
        numbers.update({name: getattr(snapshot, name) for name in NUMBERS})
        methods.update(snapshot.requests_by_method)
        classes.update(snapshot.responses_by_class)
        own.update(snapshot.counters)
    return Stats(**numbers, requests_by_method=dict(methods), responses_by_class=dict(classes), counters=dict(own))


class SharedStats:
    """One snapshot for each of `count` workers, in memory that a parent and its forked children share.

    A worker writes its own place and nobody else's. A reader may see a snapshot that is half a write old in some of
    its numbers, never half a number.
    """

    def __init__(self, count: int, methods: Iterable[str], own: Iterable[str] = ()) -> None:
        self._count = count
        self._methods = (*dict.fromkeys((*METHODS, *methods)), OTHER)
        self._own = tuple(own)
        self._record = struct.Struct(f"={len(NUMBERS) + len(self._methods) + len(CLASSES) + len(self._own)}q")
        self._memory = mmap.mmap(-1, self._record.size * count)
        self._retired = [Stats()] * count

    def write(self, index: int, stats: Stats) -> None:
        methods = dict(stats.requests_by_method)
        values = [getattr(stats, name) for name in NUMBERS]
        values += [methods.pop(name, 0) for name in self._methods[:-1]]
        values += [sum(methods.values()), *(stats.responses_by_class.get(name, 0) for name in CLASSES)]
        values += [min(stats.counters.get(name, 0), _LARGEST) for name in self._own]
        self._record.pack_into(self._memory, index * self._record.size, *values)

    def read(self, index: int) -> Stats:
        """What the worker in this place, and those that stood there before it, have counted."""
        values = self._record.unpack_from(self._memory, index * self._record.size)
        numbers, rest = values[: len(NUMBERS)], values[len(NUMBERS) :]
        methods, rest = rest[: len(self._methods)], rest[len(self._methods) :]
        classes, own = rest[: len(CLASSES)], rest[len(CLASSES) :]
        current = Stats(
            **dict(zip(NUMBERS, numbers, strict=True)),
            requests_by_method={name: n for name, n in zip(self._methods, methods, strict=True) if n},
            responses_by_class={name: n for name, n in zip(CLASSES, classes, strict=True) if n},
            counters=dict(zip(self._own, own, strict=True)),
        )
        return add((self._retired[index], current))

    def read_all(self) -> tuple[Stats, ...]:
        return tuple(self.read(index) for index in range(self._count))

    def retire(self, index: int) -> None:
        """Keeps what a dead worker counted and clears its place for the next one. For the parent, before it forks."""
        kept = self.read(index)
        # Its handlers are gone with it; the kernel's drops are counted by the socket, which the next one takes over.
        self._retired[index] = add((kept, Stats(pending=-kept.pending, kernel_drops=-kept.kernel_drops)))
        self.write(index, Stats())
