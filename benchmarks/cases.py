"""What is measured: for each group, the functions of both implementations and of the peers, and what they are given."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, repeat
from types import ModuleType
from typing import Any

from .corpus import HEADERS, RECORD_ROUTE, SOURCE, URI, VIA, body_of, is_request
from .peers import HTTP, Peer, as_http

COMPILED, PLAIN = "compiled", "plain"
MODULES = {COMPILED: "sipstack._parser", PLAIN: "sipstack._parser_py"}

GROUPS = {
    "parse": "parse the bytes, drop the result",
    "everything": "parse, then every header's name and value as text",
    "read": "parse, then what a proxy reads, as Python values",
    "roundtrip": "parse, push a Via, count Max-Forwards down, write",
    "hop": "parse, stamp received and rport, count Max-Forwards down, push a Via and a Record-Route, write",
    "back": "parse a response, pop the top Via, write",
    "reply": "bytes(request.reply(200)) of a parsed request",
    "items": "list(message.headers.items()) of a parsed message",
    "write": "a request with ten headers and a body from scratch, to bytes",
}

DEAREST = "dearest"
"""The group that has no cases: what is dearest is searched for, see `dearest.py`."""

REQUESTS, RESPONSES = ("roundtrip", "hop"), ("back",)

POOL = 64
"""How many parsed messages a function that needs one goes through: each is used once, so nothing is answered from
what a message keeps of an earlier answer."""

Functions = dict[str, Callable[[Any], Any]]


@dataclass(frozen=True)
class Case:
    """One function and what it is called with."""

    group: str
    subject: str  # an implementation, or a peer
    message: str
    function: Callable[[Any], Any]
    raw: Any
    before: Callable[[Any], Any] | None = field(default=None)  # makes of raw what the function gets, outside the clock

    def inputs(self, count: int) -> Any:
        """What the function is called with, `count` times (or POOL times where each is used once)."""
        if self.before is None:
            return repeat(self.raw, count)
        return [self.before(self.raw) for _ in range(min(count, POOL))]


def implementations() -> dict[str, ModuleType]:
    """Those of the two implementations that are here."""
    found = {}
    for name, module in MODULES.items():
        try:
            found[name] = importlib.import_module(module)
        except ImportError:
            if name == PLAIN:
                raise
    return found


def _branches() -> Iterator[str]:
    return cycle([f"{number * 2654435761 % 2**32:08x}" for number in range(4096)])


def functions(module: ModuleType) -> Functions:
    """What one implementation does in each group, its names bound once."""
    parse, build = module.parse, module.Message.request
    branches, via, (host, port) = _branches(), VIA, SOURCE

    def everything(raw: bytes) -> Any:
        return list(parse(raw).headers.items())

    def roundtrip(raw: bytes) -> bytes:
        message = parse(raw)
        message.push_via(via + next(branches))
        message.decrement_max_forwards()
        return message.to_bytes()

    def hop(raw: bytes) -> bytes:
        message = parse(raw)
        message.stamp_received(host, port)
        message.decrement_max_forwards()
        message.push_via(via + next(branches))
        message.push_record_route(RECORD_ROUTE)
        return message.to_bytes()

    def back(raw: bytes) -> bytes:
        message = parse(raw)
        message.pop_via()
        return message.to_bytes()

    return {
        "parse": parse,
        "everything": everything,
        "read": read_request(parse),
        "read response": read_response(parse),
        "read tel": read_tel(parse),
        "roundtrip": roundtrip,
        "hop": hop,
        "back": back,
        "reply": lambda request: bytes(request.reply(200)),
        "items": lambda message: list(message.headers.items()),
        "write": lambda body: build("INVITE", URI, headers=HEADERS, body=body).to_bytes(),
    }


def read_request(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """What a proxy reads of a request to a SIP URI."""

    def read(raw: bytes) -> Any:
        m = parse(raw)
        uri, cseq, via = m.uri, m.cseq, m.via
        values = m.method, uri.host, uri.port, m.call_id, cseq.num, cseq.method, m.from_tag, m.to_tag
        return *values, via.host, via.port, via.branch, via.rport, m.max_forwards

    return read


def read_tel(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same of a request to a tel URI, which has a number instead of host and port."""

    def read(raw: bytes) -> Any:
        m = parse(raw)
        uri, cseq, via = m.uri, m.cseq, m.via
        values = m.method, uri.number, m.call_id, cseq.num, cseq.method, m.from_tag, m.to_tag
        return *values, via.host, via.port, via.branch, via.rport, m.max_forwards

    return read


def read_response(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same of a response, which has a status instead of a URI and hops."""

    def read(raw: bytes) -> Any:
        m = parse(raw)
        cseq, via = m.cseq, m.via
        values = m.status_code, m.call_id, cseq.num, cseq.method, m.from_tag, m.to_tag
        return *values, via.host, via.port, via.branch, via.rport

    return read


def _reader(raw: bytes) -> str:
    if not is_request(raw):
        return "read response"
    return "read tel" if raw.split(b" ", 2)[1].startswith(b"tel:") else "read"


def own_cases(name: str, module: ModuleType, messages: dict[str, bytes]) -> list[Case]:
    """Every group of one implementation."""
    does = functions(module)
    cases = []
    for message, raw in messages.items():
        request = is_request(raw)
        cases += [Case(group, name, message, does[group], raw) for group in ("parse", "everything")]
        cases.append(Case("read", name, message, does[_reader(raw)], raw))
        cases += [Case(group, name, message, does[group], raw) for group in (REQUESTS if request else RESPONSES)]
        if message in {"options", "invite"}:
            cases.append(Case("reply", name, message, does["reply"], raw, module.parse))
        if message in {"invite", "ims_invite"}:
            cases.append(Case("items", name, message, does["items"], raw, module.parse))
    cases.append(Case("write", name, "invite", does["write"], body_of(messages["invite"])))
    return cases


def peer_cases(peer: Peer, messages: dict[str, bytes]) -> list[Case]:
    """Every group that a peer has a function for."""
    cases = []
    for message, raw in messages.items():
        data = as_http(raw) if peer.name in HTTP else raw
        cases.append(Case("parse", peer.name, message, peer.parse, data))
        if peer.items:
            cases.append(Case("everything", peer.name, message, _everything(peer), raw))
        if peer.read and is_request(raw):
            cases.append(Case("read", peer.name, message, peer.read, raw))
        if peer.roundtrip and is_request(raw):
            cases.append(Case("roundtrip", peer.name, message, peer.roundtrip, raw))
        if peer.reply and message in {"options", "invite"}:
            cases.append(Case("reply", peer.name, message, peer.reply, raw, peer.parse))
        if peer.items and message in {"invite", "ims_invite"}:
            cases.append(Case("items", peer.name, message, peer.items, raw, peer.parse))
    if peer.write:
        cases.append(Case("write", peer.name, "invite", peer.write, body_of(messages["invite"])))
    return cases


def _everything(peer: Peer) -> Callable[[bytes], Any]:
    parse, items = peer.parse, peer.items
    assert items is not None
    return lambda raw: items(parse(raw))


def try_out(cases: list[Case]) -> tuple[list[Case], list[dict[str, str]]]:
    """The cases that work, and what the others said."""
    working, failures = [], []
    for case in cases:
        try:
            for each in case.inputs(2):
                case.function(each)
        except Exception as error:  # whatever a peer raises
            text = f"{type(error).__name__}: {error}".splitlines()[0][:80]
            failures.append({"group": case.group, "subject": case.subject, "message": case.message, "error": text})
        else:
            working.append(case)
    return working, failures
