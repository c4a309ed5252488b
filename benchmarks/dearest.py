"""The dearest calls: messages are grown at random, and of each call the one that costs it most is kept and grown on.

A message is a common one with a few fields in which pieces are repeated, as often as fits or as a limit lets through.
What a child has of its parent and what is new is chance, and dearer children stay: so what is found need not have been
thought of. A call may raise what it raises for bad messages; that costs as well.
"""

import contextlib
import gc
import logging
import random
import time
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from sipstack.methods import HEADER_NAMES

from .calls import SIZE, Call, Calls, calls
from .cases import implementations
from .measure import clock

START = b"INVITE sip:bob@example.com SIP/2.0\r\n"
END = b"l:0\r\n\r\n"
COMMON = {
    "Via": b"SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1;rport",
    "Max-Forwards": b"70",
    "From": b"<sip:alice@example.com>;tag=1",
    "To": b"<sip:bob@example.com>",
    "Call-ID": b"1@example.com",
    "CSeq": b"1 INVITE",
    "Contact": b"<sip:alice@192.0.2.4>",
}
NAMES = [name for name in HEADER_NAMES[1:] if name != "Content-Length"]
PIECES = [
    b"a", b"1", b"0", b" ", b"\t", b",", b";", b"=", b"?", b"&", b"@", b":", b"%", b"%61", b".", b"-", b"/", b"*", b"+",
    b'"', b'\\"', b"\\\\", b"\\", b"\\\x01", b"(", b")", b"<", b">", b"[", b"]", b"\r\n ", b"\n ", b"\xe9", b"\x80",
    b";a", b";a=b", b';a="b"', b";a=", b";tag=1", b";branch=1", b";q=0.5", b";lr", b";received=::1", b";rport", b"q=",
    b"sip:a", b"<sip:a>", b"<sip:a>,", b"<sip:a;lr>,", b"SIP/2.0/UDP a", b"SIP / 2.0 / UDP a", b"Digest a=b", b'"a" ',
    b"(a)", b"a b ", b"a/1 ", b"tel:1", b"::1", b"1.1.1.1", b"100 a ", b"info=<", b"text/plain", b"\xc3\xa9",
]  # fmt: skip
COUNTS = (0, 1, 2, 4, 7, 30, 60, 64, 100, 120, 126, 127, 250, 255, 256, 480, 500, 510, 512)  # 0: as often as fits

OFTEN = [*COMMON, "Route", "Record-Route", "Content-Type", "Require", "RAck", "Server", "WWW-Authenticate", "Identity"]


@dataclass(frozen=True)
class Field:
    """A header in which something is repeated: inside of a line, or the line itself."""

    name: str
    before: tuple[bytes, ...]
    unit: tuple[bytes, ...]
    after: tuple[bytes, ...]
    count: int = 0
    lines: int = 1

    def write(self, room: int) -> bytes:
        name, before, unit = self.name.encode(), b"".join(self.before), b"".join(self.unit)
        start, end = name + b": " + before, b"".join(self.after) + b"\r\n"
        lines = max(1, min(self.lines, room // (len(start) + len(unit) + len(end))))
        fits = max(0, room // lines - len(start) - len(end)) // max(1, len(unit))
        return (start + unit * (min(fits, self.count) if self.count else fits) + end) * lines


Genes = tuple[Field, ...]


def write(genes: Genes) -> bytes:
    """The message: the common headers, without those that grow, and an equal share of the room for each of these."""
    names = {field.name for field in genes}
    head = START + b"".join(
        b"%b: %b\r\n" % (name.encode(), value) for name, value in COMMON.items() if name not in names
    )
    share = (SIZE - len(head) - len(END)) // len(genes)
    return head + b"".join(field.write(share) for field in genes) + END


class Chance:
    """Where new messages come from."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def first(self) -> list[Genes]:
        """Each piece again and again in each of the headers that are read most, as often as fits and as is read."""
        genes = [
            (Field(name, (COMMON.get(name, b"a"),), (piece,), (), count),)
            for name in OFTEN for piece in PIECES for count in (0, 126, 510)
        ]  # fmt: skip
        self._random.shuffle(genes)
        return genes

    def pieces(self, most: int = 3) -> tuple[bytes, ...]:
        return tuple(self._random.choices(PIECES, k=self._random.randint(0, most)))

    def field(self) -> Field:
        name = self.name()
        common = COMMON.get(name, b"a")
        before = self._random.choice([(common,), self.pieces()])
        unit = self._random.choice([(), (common, b",")]) or self.pieces() or (b"a",)
        return Field(name, before, unit, self.pieces(1), self.count(), self.lines())

    def name(self) -> str:
        return self._random.choice(OFTEN if self._random.random() < 0.5 else NAMES)

    def count(self) -> int:
        return self._random.choice(COUNTS) if self._random.random() < 0.5 else 0

    def lines(self) -> int:
        return self._random.choice((1, 1, 1, 2, 8, 60, 120, 248))

    def child(self, parents: list[Genes]) -> Genes:
        """A new message, one with a change, or one of two."""
        kind = self._random.random()
        parents = [genes for genes in parents if genes]
        if not parents or kind < 0.15:
            return (self.field(),)
        genes = list(self._random.choice(parents))
        at = self._random.randrange(len(genes))
        if kind < 0.3:
            return (*genes, *self._random.choice(parents))[:12]
        if kind < 0.4 and len(genes) > 1:
            del genes[at]
        elif kind < 0.5:
            genes += [replace(genes[at], name=self._random.choice(NAMES)) for _ in range(3)]
        else:
            genes[at] = self._changed(genes[at])
        return tuple(genes[:12])

    def _changed(self, field: Field) -> Field:
        what = self._random.choice(("name", "before", "unit", "unit", "after", "count", "lines"))
        if what in ("before", "unit", "after"):
            pieces = list(getattr(field, what))
            at = self._random.randint(0, len(pieces))
            pieces[at : at + self._random.randint(0, 1)] = self.pieces(2)
            return replace(field, **{what: tuple(pieces)})
        new = {"name": self.name(), "count": self.count(), "lines": self.lines()}[what]
        return replace(field, **{what: new})


# ---------------------------------------------------------------- the search


@dataclass
class Found:
    """The dearest message for a call so far."""

    ns: float = 0.0
    genes: Genes = ()


def search(module: ModuleType, seconds: float, seed: int = 1) -> dict[str, Found]:
    """The dearest message for each call that was found in that time.

    At first each piece stands alone in each header that matters. Then one call after the other has its turn, and its
    messages grow from its own dearest one and those of others.
    """
    chance, does = Chance(seed), calls(module)
    best = {name: Found() for name in does}
    end = time.monotonic() + seconds
    for genes in chance.first():
        if time.monotonic() > end - seconds / 2:
            break
        _try(best, does, genes)
    while time.monotonic() < end:
        for name in does:
            children = [
                chance.child([best[name].genes] * 3 + [found.genes for found in best.values()]) for _ in range(8)
            ]
            for genes in children:
                if _is_dearer(best[name], does[name], genes):
                    _try(best, does, genes)
    return best


def _try(best: dict[str, Found], does: Calls, genes: Genes) -> None:
    for name in does:
        _is_dearer(best[name], does[name], genes)


def _is_dearer(found: Found, does: tuple[Call, Call], genes: Genes) -> bool:
    """Whether this is the dearest message so far, by more than chance; it is kept then."""
    raw = write(genes)
    ns = _cost(*does, raw)
    if ns > found.ns * 1.03:
        ns = min(ns, *(_cost(*does, raw) for _ in range(4)))
    if ns <= found.ns * 1.03:
        return False
    found.ns, found.genes = ns, genes
    return True


def _cost(call: Call, prepare: Call, raw: bytes) -> float:
    """Nanoseconds that a call takes; 0 where the message is none."""
    gc.collect(0)  # a loop that ends looks at each task that is still there, its own or not
    try:
        given = prepare(raw)
    except ValueError:
        return 0.0
    start = clock()
    with contextlib.suppress(ValueError, KeyError):
        call(given)
    return (clock() - start) * 1e9


SECONDS = 120.0
"""How long each implementation is searched; `--quick` takes one."""


def measure(seconds: float) -> list[dict[str, Any]]:
    """The dearest message of each call, dearest first: nanoseconds, and those a byte of the largest message."""
    logging.disable(logging.CRITICAL)
    results: list[dict[str, Any]] = []
    for subject, module in implementations().items():
        gc.collect()
        gc.disable()
        try:
            found = search(module, seconds)
        finally:
            gc.enable()
        results += [
            {
                "subject": subject,
                "call": name,
                "ns": each.ns,
                "ns_a_byte": each.ns / SIZE,
                "message": describe(each.genes),
            }
            for name, each in sorted(found.items(), key=lambda item: -item[1].ns)
        ]
    logging.disable(logging.NOTSET)
    return results


def describe(genes: Genes) -> str:
    """A message in one line."""
    parts = []
    for field in genes:
        before, unit, after = (b"".join(each) for each in (field.before, field.unit, field.after))
        count = field.count or "n"
        parts.append(f"{field.name}: {before!r} + {count} * {unit!r} + {after!r}, {field.lines} lines"[:150])
    return "; ".join(parts)
