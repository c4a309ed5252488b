"""The dearest calls: messages are grown at random, and of each call the one that costs it most is kept and grown on.

A message is a common one with a few fields in which pieces are repeated, as often as fits or as a limit lets through.
What a child has of its parent and what is new is chance, and dearer children stay: so what is found need not have been
thought of. A call may raise what it raises for bad messages; that costs as well.
"""

import contextlib
import copy
import gc
import logging
import pickle
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from sipstack import EndpointConfig, StreamParser
from sipstack.methods import HEADER_NAMES
from sipstack.proxy import Hop, Node, forward_request, forward_response, take_routes

from .cases import implementations
from .measure import clock

SIZE = 65_535

START = b"INVITE sip:bob@example.com SIP/2.0\r\n"
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
    b'"', b'\\"', b"\\\\", b"\\", b"(", b")", b"<", b">", b"[", b"]", b"\r\n ", b"\n ", b"\xe9", b"\xc3\xa9", b"\x80",
    b";a", b";a=b", b';a="b"', b";a=", b";tag=1", b";branch=1", b";q=0.5", b";lr", b";received=::1", b";rport", b"q=",
    b"sip:a", b"<sip:a>", b"<sip:a>,", b"<sip:a;lr>,", b"SIP/2.0/UDP a", b"SIP / 2.0 / UDP a", b"Digest a=b", b'"a" ',
    b"(a)", b"a b ", b"a/1 ", b"tel:1", b"::1", b"1.1.1.1", b"100 a ", b"info=<", b"text/plain",
]  # fmt: skip
COUNTS = (0, 1, 2, 4, 7, 30, 60, 64, 100, 120, 126, 127, 250, 255, 256, 480, 500, 510, 512)  # 0: as often as fits

OFTEN = [*COMMON, "Route", "Record-Route", "Content-Type", "Require", "RAck", "Server", "WWW-Authenticate", "Identity"]

Call = Callable[[Any], Any]


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
    share = (SIZE - len(head) - 2) // len(genes)
    return head + b"".join(field.write(share) for field in genes) + b"\r\n"


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


# ---------------------------------------------------------------- what is called


ATTRIBUTES = (
    "uri", "via", "vias", "from_", "to", "from_tag", "to_tag", "contacts", "routes", "record_routes", "cseq", "rack",
    "call_id", "max_forwards", "content_length", "content_type", "route_set",
)  # fmt: skip


def calls(module: ModuleType) -> dict[str, tuple[Call, Call]]:
    """What is done with each message, and what makes of its bytes what that takes, which is not measured."""
    parse = module.parse
    found: dict[str, tuple[Call, Call]] = {
        "parse": (parse, bytes),
        "StreamParser": (lambda raw: list(StreamParser().feed(raw)), bytes),
        "pickle": (lambda message: pickle.loads(pickle.dumps(message)), parse),
        "every get_values": (
            lambda message: [message.get_values(name) for name in _names(message)][:0],
            _widest(parse),
        ),
    }
    simple: dict[str, Call] = {
        "items": lambda message: message.headers.items(),
        "get_headers": lambda message: [message.get_headers(name) for name in ("Via", "Contact", "X-None")],
        "check": lambda message: message.check(),
        "validate": lambda message: message.validate(),
        "reply": lambda message: message.reply(180).to_bytes(),
        "ack": lambda message: message.ack(parse(b"SIP/2.0 486 \r\nTo: <sip:a@b>;tag=1\r\n\r\n")).to_bytes(),
        "cancel": lambda message: message.cancel().to_bytes(),
        "copy": copy.copy,
        "str": str,
        "repr": repr,
        "transaction_key": lambda message: message.transaction_key(),
        "dialog_id": lambda message: message.dialog_id(),
        "stamp_received": lambda message: message.stamp_received("192.0.2.9", 1024),
        "pop_via": lambda message: message.pop_via(),
        "pop_route": lambda message: message.pop_route(),
        "push_via": lambda message: message.push_via("SIP/2.0/UDP h;branch=z9hG4bK2"),
        "decrement_max_forwards": lambda message: message.decrement_max_forwards(),
        "set_header": lambda message: (message.set_header("Contact", "<sip:a>"), message.to_bytes()),
        "remove_header": lambda message: [message.remove_header(name) for name in ("Via", "Route", "Contact")],
        "request_uri": lambda message: setattr(message, "request_uri", "sip:b"),
        "update": lambda message: message.headers.update({"Via": "SIP/2.0/UDP h", "Route": "<sip:a>"}),
    }
    found |= {name: (call, parse) for name, call in simple.items()}
    found |= {name: (lambda message, name=name: getattr(message, name), parse) for name in ATTRIBUTES}
    return found | _endpoints(module) | _proxy(module)


def _names(message: Any) -> list[str]:
    return list(dict.fromkeys(name for name in message.headers if name.isascii()))


def _widest(parse: Call) -> Call:
    """A message of the one header that has most text: get_values is one call a name."""

    def make(raw: bytes) -> Any:
        message = parse(raw)
        size: dict[str, int] = {}
        for name, value in message.headers.items():
            size[name] = size.get(name, 0) + len(value)
        for name in sorted(size, key=lambda name: -size[name])[1:]:
            message.remove_header(name)
        return message

    return make


def _endpoints(module: ModuleType) -> dict[str, tuple[Call, Call]]:
    """A datagram in an endpoint, up to the answer, with the settings that look at more of it."""
    from sipstack.endpoint import Endpoint
    from sipstack.message import parse

    if module.parse is not parse:  # an endpoint has the parser that was chosen
        return {}
    settings = {"": {}, "no validate": {"validate": False}, "maddr": {"use_maddr": True}, "hooks": {"on_event": id}}
    return {
        f"endpoint {name}".strip(): (_deliver(Endpoint(EndpointConfig(**each))), bytes)
        for name, each in settings.items()
    }


def _deliver(endpoint: Any) -> Call:
    endpoint.register_handler("INVITE", lambda request, _: request.reply(200))
    dispatcher = endpoint._dispatcher
    return lambda raw: dispatcher.deliver([(raw, ("192.0.2.9", 5060))])


def _proxy(module: ModuleType) -> dict[str, tuple[Call, Call]]:
    """A request and a response at a stateless proxy, as examples/stateless_proxy.py has it."""
    node = Node(Hop("UDP", "192.0.2.1", 5060), key=bytes(16))
    hop = Hop("UDP", "192.0.2.2", 5060)

    def forward(request: Any) -> Any:
        taken = take_routes(request, node).hop or hop
        forward_request(request, node, taken, record_route=not request.to_tag)

    def as_response(raw: bytes) -> Any:
        own = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK" + b"0" * 32 + b"\r\n"
        return module.parse(b"SIP/2.0 200 OK\r\n" + own + raw.partition(b"\r\n")[2], max_size=2 * SIZE, max_headers=257)

    return {
        "proxy request": (forward, module.parse),
        "proxy response": (lambda response: forward_response(response, node), as_response),
    }


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


def _try(best: dict[str, Found], does: dict[str, tuple[Call, Call]], genes: Genes) -> None:
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
    try:
        given = prepare(raw)
    except ValueError:
        return 0.0
    start = clock()
    with contextlib.suppress(ValueError, TypeError):
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
