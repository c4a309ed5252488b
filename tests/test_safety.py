"""Safety: a message that is read while it is edited, by a finalizer, by a conversion, by another thread.

What comes of it must be what comes of one after the other, in either order: never a crash, a header that is lost, a
value that is stale, or a reference that is counted wrongly. `_parser.pxd` has the rule that the compiled core keeps.
"""

import copy
import ctypes
import gc
import importlib
import math
import os
import pickle
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import pytest
from agreement import LARGE, REQUEST

from sipstack import proxy
from sipstack._view import Headers
from sipstack.errors import HeaderError, SerializeError
from sipstack.headers import CSeq, HeaderValue, NameAddr, Via
from sipstack.uri import AnyUri, SipUri, TelUri

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()

VIA = 'SIP/2.0/UDP h2:4000;ttl=16 ;maddr=224.2.0.1;branch=z9hG4bK2;x="a,b"'
ODD = (
    "INVITE sip:bob:secret@example.com;x=y?subject=z SIP/2.0\r\n"
    "Via: SIP/2.0/UDP\r\n h1;rport;branch=z9hG4bK1, SIP/2.0/TCP h1b;branch=z9hG4bK1b\r\n"
    f"Via: {VIA}\r\n"
    'Route: "x, y" <sip:p1;lr>, <sip:p2;lr>\r\n'
    'Route: "z" <sip:p3:5060;lr>;a="b,c"\r\n'
    "Record-Route: <sip:r1;lr>,\r\n <sip:r2;lr>\r\n"
    "Subject: first\r\n"
    'From: "A, \\"B\\"" <sip:a:pw@h;user=phone>;x="y;z";tag=1\r\n'
    "To: Bob\r\n <sip:b:pw@h?x=y>\r\n"
    "Call-ID: 1@h\r\n"
    "CSeq: 1\r\n INVITE\r\n"
    "RAck: 1 1 INVITE\r\n"
    "Max-Forwards: 070\r\n"
    'Contact: "a,b" <sip:a:pw@b>;q=0.5,\r\n <sip:c@d>;expires=6\r\n'
    'Content-Type: multipart/mixed; boundary="a;b"\r\n'
    "X-Empty:\r\n"
    "Subject: second\r\n"
    "Content-Length: 4\r\n\r\nbody"
).encode()
"""A request whose values are all read by Python: folds, quoted commas, passwords."""


def items_of(message: Any) -> list[tuple[str, str]]:
    return message.headers.items()


# --- every call, and what edits in the middle of it

EDITS: dict[str, Callable[[Any], Any]] = {
    "adds": lambda m: m.add_header("Subject", "added" * 50),
    "adds many": lambda m: [m.add_header("X-Many", "many") for _ in range(12)],
    "puts first": lambda m: m.push_via("SIP/2.0/UDP new"),
    "removes first": lambda m: m.remove_header("Via"),
    "pops": lambda m: (m.pop_route(), m.pop_via()),
    "sets": lambda m: m.set_header("From", "<sip:new@h>;tag=2"),
    "counts down": lambda m: m.decrement_max_forwards(),
    "empties": lambda m: m.headers.clear(),
    "sets the body": lambda m: setattr(m, "body", "another body"),
    "sets the URI": lambda m: setattr(m, "request_uri", "sip:longer." + "x" * 200),
}

GIVEN = {
    "headers": [("X-Given", "1"), ("Authorization", ["Basic a", "Basic b"]), ("Subject", NameAddr.parse("<sip:a@h>"))],
    "body": "given",
}

CALLS: dict[str, Callable[[Any], Any]] = {
    "__bytes__": bytes,
    "__copy__": copy.copy,
    "__deepcopy__": copy.deepcopy,
    "__eq__": lambda m: m == m,
    "__reduce__": lambda m: pickle.loads(pickle.dumps(m)),
    "__repr__": repr,
    "__sizeof__": lambda m: sys.getsizeof(m) > 0,
    "__str__": str,
    "ack": lambda m: m.ack(m.reply(486, to_tag="t")),
    "add_header": lambda m: m.add_header("Subject", "one more"),
    "add_header several": lambda m: m.add_header("Authorization", ["Basic a", "Basic b"]),
    "body": lambda m: m.body,
    "body = ": lambda m: setattr(m, "body", "x"),
    "call_id": lambda m: m.call_id,
    "cancel": lambda m: m.cancel(),
    "check": lambda m: m.check(),
    "contacts": lambda m: m.contacts,
    "content_length": lambda m: m.content_length,
    "content_type": lambda m: m.content_type,
    "copy": lambda m: m.copy(),
    "cseq": lambda m: m.cseq,
    "decrement_max_forwards": lambda m: m.decrement_max_forwards(),
    "describe": lambda m: m.describe(),
    "dialog_id": lambda m: m.dialog_id(),
    "expires": lambda m: m.expires,
    "from_": lambda m: m.from_,
    "from_tag": lambda m: m.from_tag,
    "get_header": lambda m: m.get_header("x-empty"),
    "get_headers": lambda m: m.get_headers("s"),
    "get_values": lambda m: m.get_values("s"),
    "get_values of Via": lambda m: m.get_values("v"),
    "headers": lambda m: m.headers.items(),
    "is_request": lambda m: m.is_request,
    "max_forwards": lambda m: m.max_forwards,
    "method": lambda m: m.method,
    "need_call_id": lambda m: m.need_call_id,
    "need_cseq": lambda m: m.need_cseq,
    "need_from": lambda m: m.need_from,
    "need_to": lambda m: m.need_to,
    "need_uri": lambda m: m.need_uri,
    "need_via": lambda m: m.need_via,
    "pop_route": lambda m: m.pop_route(),
    "pop_via": lambda m: m.pop_via(),
    "prepend_header": lambda m: m.prepend_header("Subject", "above"),
    "prepend_header several": lambda m: m.prepend_header("Authorization", ["Basic a", "Basic b"]),
    "push_record_route": lambda m: m.push_record_route("<sip:above;lr>"),
    "push_via": lambda m: m.push_via("SIP/2.0/UDP above"),
    "rack": lambda m: m.rack,
    "record_routes": lambda m: m.record_routes,
    "remove_first_header": lambda m: m.remove_first_header("Subject"),
    "remove_header": lambda m: m.remove_header("Subject"),
    "reply": lambda m: m.reply(200, **GIVEN),
    "reply 100": lambda m: m.reply(100),
    "request": lambda m: type(m).request("INVITE", SipUri.parse("sip:a@h"), **GIVEN),
    "request_uri": lambda m: m.request_uri,
    "request_uri = ": lambda m: setattr(m, "request_uri", "sip:other"),
    "response": lambda m: type(m).response(200, **GIVEN),
    "route_set": lambda m: m.route_set,
    "routes": lambda m: m.routes,
    "set_header": lambda m: m.set_header("Subject", "the one"),
    "set_header several": lambda m: m.set_header("Authorization", ["Basic a", "Basic b", "Basic c"]),
    "set_route": lambda m: m.set_route("sip:other", m.route_set),
    "stamp_received": lambda m: m.stamp_received("192.0.2.1", 5070),
    "status_code": lambda m: m.status_code,
    "status_text": lambda m: m.status_text,
    "to": lambda m: m.to,
    "to_bytes": lambda m: m.to_bytes(),
    "to_tag": lambda m: m.to_tag,
    "transaction_key": lambda m: m.transaction_key(),
    "uri": lambda m: m.uri,
    "validate": lambda m: m.validate(),
    "version": lambda m: m.version,
    "via": lambda m: m.via,
    "vias": lambda m: m.vias,
}
"""How each public name of Message is used; what stands behind a blank tells two uses apart."""

VIEW_CALLS: dict[str, Callable[[Any], Any]] = {
    "__contains__": lambda m: "Subject" in m.headers,
    "__delitem__": lambda m: m.headers.__delitem__("Subject"),
    "__eq__": lambda m: m.headers == m.headers,
    "__getitem__": lambda m: m.headers["Subject"],
    "__ior__": lambda m: (m.headers.__ior__(GIVEN["headers"]), None)[1],
    "__iter__": lambda m: list(m.headers),
    "__len__": lambda m: len(m.headers),
    "__or__": lambda m: m.headers | GIVEN["headers"],
    "__repr__": lambda m: repr(m.headers),
    "__ror__": lambda m: GIVEN["headers"] | m.headers,
    "__setitem__": lambda m: m.headers.__setitem__("Subject", "the one"),
    "add": lambda m: m.headers.add("Subject", "one more"),
    "clear": lambda m: m.headers.clear(),
    "extend": lambda m: m.headers.extend(GIVEN["headers"]),
    "get": lambda m: m.headers.get("Subject"),
    "getall": lambda m: m.headers.getall("Subject"),
    "getone": lambda m: m.headers.getone("Subject"),
    "items": lambda m: m.headers.items(),
    "keys": lambda m: m.headers.keys(),
    "pop": lambda m: m.headers.pop("Subject"),
    "popall": lambda m: m.headers.popall("Subject"),
    "popitem": lambda m: m.headers.popitem(),
    "popone": lambda m: m.headers.popone("Subject"),
    "setdefault": lambda m: m.headers.setdefault("X-Default", "1"),
    "update": lambda m: m.headers.update(GIVEN["headers"]),
    "values": lambda m: m.headers.values(),
}

IN_STEPS = {"__eq__", "__repr__", "ack", "add_header several", "check", "dialog_id", "prepend_header several",
            "set_header several", "set_route", "validate", "headers.__eq__", "headers.__ior__", "headers.__or__",
            "headers.__ror__", "headers.clear", "headers.extend", "headers.pop", "headers.popall", "headers.popitem",
            "headers.popone", "headers.setdefault", "headers.update"}  # fmt: skip
"""Calls that are several of the others: an edit may come between these."""

ALL_CALLS = CALLS | {"headers." + name: call for name, call in VIEW_CALLS.items()}

NOT_CALLED = {"__class__", "__doc__", "__hash__", "__init__", "__module__", "__slots__", "__getstate__", "__ne__",
              "__lt__", "__le__", "__gt__", "__ge__", "__new__", "__weakref__", "__static_attributes__",
              "__firstlineno__", "__annotations__", "__annotate_func__", "__final__"}  # fmt: skip
"""What reads nothing of a message."""


def public(cls: type) -> set[str]:
    """The names that a class has of its own, without those that only its other half calls."""
    return {name for name in vars(cls) if not name.startswith("_") or name.startswith("__")} - NOT_CALLED


def test_no_call_is_forgotten(both: tuple[Any, Any]):
    named = {name.partition(" ")[0] for name in CALLS}
    for module in both:
        assert public(module.Message) - {"__reduce_cython__", "__setstate_cython__", "__pyx_vtable__"} <= named
        assert {name for name in named if hasattr(module.Message, name)} == named
    assert public(Headers) == set(VIEW_CALLS)


class Chances:
    """Runs an edit once: at the `wanted`-th chance that other code has to run while a call is under way."""

    def __init__(self, edit: Callable[[], Any], wanted: int) -> None:
        self.edit = edit
        self.left = wanted
        self.open = False
        self.held: list[Any] = []

    def hold(self) -> None:
        """Take one of each kind that Python keeps freed ones of: only a new one is an occasion to collect."""
        self.held.append((slice(0), [0], {0: 0}, *[tuple([0] * size) for size in range(1, 12)]))

    def pass_by(self) -> None:
        if self.open:
            self.left -= 1
            if self.left == 0:
                self.edit()


class EveryChance(Chances):
    """Runs an edit at every chance, so many times at most."""

    def pass_by(self) -> None:
        if self.open and self.left > 0:
            self.left -= 1
            self.edit()


class Garbage:
    """A cycle whose finalizer is a chance, and makes the next one."""

    __slots__ = ("chances", "itself")

    def __init__(self, chances: Chances) -> None:
        self.chances = chances
        self.itself = self

    def __del__(self) -> None:
        self.chances.hold()
        if self.chances.open and self.chances.left > 0:
            Garbage(self.chances)
            self.chances.pass_by()


def with_finalizers(chances: Chances, call: Callable[[], Any]) -> Any:
    """Call with a collector that runs as often as it can."""
    old = gc.get_threshold()
    gc.collect()  # which drops what Python has kept
    chances.hold()
    Garbage(chances)
    gc.set_threshold(1, 10**6)
    chances.open = True
    try:
        return call()
    finally:
        chances.open = False
        gc.set_threshold(*old)


def with_signals(chances: Chances, call: Callable[[], Any]) -> Any:
    """Call with a chance where each function begins and behind each function of C.

    There Python runs handlers of signals, lets other threads in, and since 3.12 collects.
    """

    def profile(frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_return"):
            chances.pass_by()

    old = sys.getprofile()
    chances.open = True
    sys.setprofile(profile)
    try:
        return call()
    finally:
        chances.open = False
        sys.setprofile(old)


def plain(value: Any) -> Any:
    """A result that can be compared."""
    if hasattr(value, "to_bytes") and not isinstance(value, int):
        return value.to_bytes()
    if isinstance(value, HeaderValue):
        return str(value)
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return plain(call())
    except (HeaderError, KeyError) as error:
        return type(error), str(error)


def after(message: Any, *calls: Callable[[Any], Any]) -> tuple[Any, ...]:
    """What calls one after the other give, and leave."""
    results = [outcome(lambda call=call: call(message)) for call in calls]
    return *results, state_of(message)


def state_of(message: Any) -> Any:
    """What a message says of itself, which has to be one thing, and a message."""
    data = message.to_bytes()
    again = sys.modules[type(message).__module__].parse(data, **LARGE)
    assert again.body == message.body
    assert items_of(again) == items_of(message)
    assert len(message.headers) == len(again.headers)
    assert outcome(lambda: message.from_) == outcome(lambda: again.from_)
    assert outcome(lambda: message.via) == outcome(lambda: again.via)
    assert outcome(lambda: message.uri) == outcome(lambda: again.uri)
    return data


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Nothing but a test's own objects for the collector to look at."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# Without a GIL, Python counts new objects in lots of 512, and only then collects, where it handles signals too.
COLLECTS_LATE = pytest.mark.skipif(FREE_THREADED, reason="it collects where `with_signals` interrupts, and seldom")


@pytest.mark.parametrize("interrupted", [pytest.param(with_finalizers, marks=COLLECTS_LATE), with_signals])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.usefixtures("few_objects")
def test_an_edit_in_the_middle_of_any_call(impl: Any, edit: str, interrupted: Callable[..., Any]):
    fired = 0
    for name, call in ALL_CALLS.items():
        fired += interrupt(impl, ODD, call, edit, interrupted, None if name in IN_STEPS else name)
    assert fired > len(ALL_CALLS)


def interrupt(
    impl: Any, data: bytes, call: Callable[[Any], Any], edit: str, interrupted: Callable[..., Any], name: str | None
) -> int:
    """Edit at every chance of a call, and count them; one with a name gives and leaves what one of the orders does."""
    serial = after(impl.parse(data), call, EDITS[edit]), after(impl.parse(data), EDITS[edit], call)
    possible = [(serial[0][0], serial[0][2]), (serial[1][1], serial[1][2])]
    fired = 0
    # Where there are many, the edits share them.
    for wanted in (*range(1, 12), *range(12 + 4 * list(EDITS).index(edit), 3000, 40)):
        message = impl.parse(data)
        chances = Chances(lambda message=message: outcome(lambda: EDITS[edit](message)), wanted)
        result = outcome(lambda m=message, c=chances: interrupted(c, lambda: call(m)))
        if chances.left > 0:
            break
        fired += 1
        got = result, state_of(message)
        if name is not None:
            assert got in possible, f"{name}, at chance {wanted}"
    return fired


KEY = bytes(16)
SERVER = proxy.Hop("UDP", "192.0.2.11", 5060)
PLAIN = (
    b"INVITE sip:bob@192.0.2.11 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1;rport=6000;received=198.51.100.7\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=2\r\n"
    b"Call-ID: 1@h\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>, <sip:b@h>;q=0.1, <sip:c@h>\r\n"
    b"Route: <sip:p1;lr>, <sip:p2;lr;x=y>, <sip:p3;lr>\r\nRecord-Route: <sip:r1;lr>, <sip:r2;lr>\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


def forwarded(impl: Any, *, routes: bool) -> Any:
    """A plain request that went through a node."""
    message = impl.parse(PLAIN)
    if not routes:
        message.remove_header("Route")
    proxy.forward_request(message, make_node(), SERVER, record_route=True)
    return message


def make_node() -> Any:
    """One that has made nothing yet: making is a chance too."""
    return proxy.Node(proxy.Hop("UDP", "192.0.2.1", 5060), key=KEY)


def plain_messages(impl: Any) -> dict[str, bytes]:
    """Messages of the common shape, which the compiled core forwards by itself."""
    away = forwarded(impl, routes=False)
    back = impl.parse(PLAIN)
    back.set_header("Route", away.get_headers("Record-Route")[0])
    from_there, signed = back.to_bytes(), back
    signed.set_header("From", "<sip:bob@example.com>;tag=2")
    signed.set_header("To", "<sip:alice@example.com>;tag=1")
    return {
        "request": forwarded(impl, routes=True).to_bytes(),
        "response": away.reply(200).to_bytes(),
        "signed route": signed.to_bytes(),
        "route from there": from_there,
    }


FORWARDING: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "forward_request": ("request", lambda m: proxy.forward_request(m, make_node(), proxy.Hop("UDP", "h", 1))),
    "forward_request, recorded": (
        "request", lambda m: proxy.forward_request(m, make_node(), proxy.Hop("UDP", "h", 1), record_route=True),
    ),
    "forward_response": ("response", lambda m: proxy.forward_response(m, make_node())),
    "take_routes": ("signed route", lambda m: proxy.take_routes(m, make_node())),
    "take_routes from there": ("route from there", lambda m: proxy.take_routes(m, make_node())),
    "take_routes of others": ("request", lambda m: proxy.take_routes(m, make_node())),
    "routes": ("request", lambda m: m.routes),
    "record_routes": ("request", lambda m: m.record_routes),
    "contacts": ("request", lambda m: m.contacts),
}  # fmt: skip
WHOLE = {"forward_request", "forward_request, recorded", "forward_response", "take_routes", "take_routes from there"}
"""What the compiled core does with these messages in one go; the plain one in steps."""


@pytest.mark.parametrize("interrupted", [pytest.param(with_finalizers, marks=COLLECTS_LATE), with_signals])
@pytest.mark.parametrize("edit", [name for name in EDITS if name != "sets the URI"])
@pytest.mark.usefixtures("few_objects")
def test_an_edit_in_the_middle_of_forwarding(impl: Any, edit: str, interrupted: Callable[..., Any]):
    messages = plain_messages(impl)
    fired = 0
    for name, (which, call) in FORWARDING.items():
        whole = name in ("routes", "record_routes", "contacts") or (name in WHOLE and not impl.__name__.endswith("_py"))
        odd = whole and name in WHOLE  # an edit may make it one that is done in steps
        fired += interrupt(impl, messages[which], call, edit, interrupted, name if whole and not odd else None)
    assert fired > len(FORWARDING)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_forwarding_is_one_step(name: str, both: tuple[Any, Any]):
    """Nothing can come between what the compiled core reads of a plain message and what it leaves of it."""
    compiled = both[0]
    which, call = FORWARDING[name]
    data = plain_messages(compiled)[which]
    expected, result = compiled.parse(data), None
    result = plain(call(expected))
    for wanted in range(1, 30):
        message = compiled.parse(data)
        seen: list[bytes] = []
        chances = Chances(lambda m=message, s=seen: s.append(m.to_bytes()), wanted)
        assert plain(with_finalizers(chances, lambda m=message: call(m))) == result
        assert {*seen} <= {data, expected.to_bytes()}


READS_OF_MANY = ("contacts", "headers", "record_routes", "routes", "vias")


@pytest.mark.parametrize("name", READS_OF_MANY)
@pytest.mark.usefixtures("few_objects")
def test_reading_ends_beside_edits_without_end(impl: Any, name: str):
    message = impl.parse(ODD)
    chances = EveryChance(lambda: message.set_header("Subject", "another"), 10_000)
    interrupted = with_signals if FREE_THREADED else with_finalizers
    interrupted(chances, lambda: CALLS[name](message))
    assert 9000 < chances.left < 10_000


# --- conversions that edit


class EditingValue(HeaderValue):
    """A structured value whose text edits a message before it is made."""

    __slots__ = ("edit", "text")

    def __init__(self, edit: Callable[[], Any], text: str) -> None:
        for name, value in (("edit", edit), ("text", text)):
            object.__setattr__(self, name, value)

    def _head(self) -> str:
        self.edit()
        return self.text


class EditingUri(EditingValue, AnyUri):
    """A URI that does."""

    __slots__ = ()


class EditingStr(str):
    """A str that edits a message whatever it is asked for."""

    edit: Callable[[], Any]

    def run(self, name: str, *arguments: Any) -> Any:
        self.edit()
        return getattr(str, name)(self, *arguments)

    def encode(self, *arguments: Any) -> Any:
        self.edit()
        return bytearray(b"lie")

    def partition(self, sep: str) -> Any:
        self.edit()
        return bytearray(b"lie"), "", ""

    def __str__(self) -> str:
        return self.run("__str__")

    def __hash__(self) -> int:
        return self.run("__hash__")

    def __eq__(self, other: object) -> bool:
        return self.run("__eq__", other)

    def lower(self) -> str:
        return self.run("lower")

    def isascii(self) -> bool:
        return self.run("isascii")

    def strip(self, *arguments: Any) -> str:
        return self.run("strip", *arguments)


class EditingInt(int):
    """An int that edits a message when it is written, and is smaller than everything."""

    edit: Callable[[], Any]

    def __str__(self) -> str:
        self.edit()
        return "7"

    def __le__(self, other: object) -> bool:
        self.edit()
        return True

    __ge__ = __le__


class EditingHeaders:
    """A mapping whose items edit a message while they are gone through."""

    def __init__(self, edit: Callable[[], Any]) -> None:
        self.edit = edit

    def items(self) -> Iterator[tuple[str, Any]]:
        for name in ("X-One", "Subject", "X-Three"):
            self.edit()
            yield name, EditingValue(self.edit, "written")


def editing(cls: type, value: Any, edit: Callable[[], Any]) -> Any:
    made = cls(value)
    made.edit = edit
    return made


CONVERSIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]] = {
    "add_header": (lambda m, v: m.add_header("Subject", v), lambda edit: EditingValue(edit, "made")),
    "set_header": (lambda m, v: m.set_header("Subject", v), lambda edit: EditingValue(edit, "made")),
    "set_header of several": (
        lambda m, v: m.set_header("Subject", v),
        lambda edit: [EditingValue(edit, "made"), editing(EditingInt, 7, edit), editing(EditingStr, "and", edit)],
    ),
    "prepend_header": (lambda m, v: m.prepend_header("Via", v), lambda edit: EditingValue(edit, "SIP/2.0/UDP made")),
    "push_via": (lambda m, v: m.push_via(v), lambda edit: EditingValue(edit, "SIP/2.0/UDP made")),
    "push_record_route": (lambda m, v: m.push_record_route(v), lambda edit: EditingValue(edit, "<sip:made>")),
    "push_record_route of a URI": (lambda m, v: m.push_record_route(v), lambda edit: EditingUri(edit, "sip:made")),
    "request_uri": (lambda m, v: setattr(m, "request_uri", v), lambda edit: EditingUri(edit, "sip:made")),
    "a name": (lambda m, v: m.add_header(v, "value"), lambda edit: editing(EditingStr, "X-Name", edit)),
    "a value": (lambda m, v: m.set_header("Subject", v), lambda edit: editing(EditingStr, "the value", edit)),
    "a number": (lambda m, v: m.set_header("Subject", v), lambda edit: editing(EditingInt, 7, edit)),
    "a name to get": (lambda m, v: m.get_header(v), lambda edit: editing(EditingStr, "Subject", edit)),
    "a name to remove": (lambda m, v: m.remove_header(v), lambda edit: editing(EditingStr, "X-Empty", edit)),
    "a body": (lambda m, v: setattr(m, "body", v), lambda edit: editing(EditingStr, "text", edit)),
    "a URI": (lambda m, v: setattr(m, "request_uri", v), lambda edit: editing(EditingStr, "sip:text", edit)),
    "a source": (lambda m, v: m.stamp_received(v, 1), lambda edit: editing(EditingStr, "192.0.2.1", edit)),
    "a port": (lambda m, v: m.stamp_received("192.0.2.1", v), lambda edit: editing(EditingInt, 5070, edit)),
    "a tag": (lambda m, v: m.reply(200, to_tag=v), lambda edit: editing(EditingStr, "tag", edit)),
    "a reason": (lambda m, v: m.reply(200, v), lambda edit: editing(EditingStr, "reason", edit)),
    "reply": (lambda m, v: m.reply(200, headers=v), EditingHeaders),
    "request": (lambda m, v: type(m).request("A", m.request_uri, headers=v), EditingHeaders),
    "extend": (lambda m, v: m.headers.extend(v), EditingHeaders),
    "update": (lambda m, v: m.headers.update(v), EditingHeaders),
}  # fmt: skip
"""Calls with a value, and what makes one that edits."""


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_conversion_that_edits_the_message(impl: Any, name: str, edit: str):
    call, make = CONVERSIONS[name]

    def results(message: Any, edit: Callable[[], Any]) -> Any:
        result = outcome(lambda: call(message, make(edit)))
        left = state_of(message)
        assert b"lie" not in left
        assert not isinstance(result, bytes) or b"lie" not in result
        return result, left

    message, edited = impl.parse(ODD), impl.parse(ODD)
    got = results(message, lambda: outcome(lambda: EDITS[edit](message)))
    outcome(lambda: EDITS[edit](edited))
    if edit in ("removes first", "empties", "sets") and name not in ("extend", "update"):  # once does the same as often
        possible = results(edited, lambda: None), results(impl.parse(ODD), lambda: None)
        assert got[0] in (possible[0][0], possible[1][0])
        assert got[1] in (possible[0][1], possible[1][1])


@pytest.mark.parametrize("number", [-1, 65536, 4294967295, 2**70])
def test_a_port_that_lies_about_its_size_is_refused(impl: Any, number: int):
    message = impl.parse(ODD)
    with pytest.raises(SerializeError):
        message.stamp_received("192.0.2.1", editing(EditingInt, number, lambda: None))
    assert message.to_bytes() == ODD


# --- threads


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions at once, each in a thread; what they gave. An error of one is raised."""
    start = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def run(at: int) -> None:
        start.wait()
        try:
            results[at] = functions[at]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread does not end"
    if errors:
        raise errors[0]
    return results


def beside(reader: Callable[[], Any], *editors: Callable[[], Any], seconds: float = 0.3) -> set[Any]:
    """What a reader sees, again and again, while editors edit again and again; each has a turn, however late it is."""
    end = time.monotonic() + seconds
    seen = set()

    def again(function: Callable[[], Any]) -> None:
        function()
        while time.monotonic() < end:
            function()

    together(*(partial(again, function) for function in (lambda: seen.add(reader()), *editors)))
    return seen


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("header", "pop", "value"),
    [
        ("Route", "pop_route", '"x, y" <sip:p{};lr>'),
        ("Via", "pop_via", 'SIP/2.0/UDP h{};x="a, b"'),
        ("Via", "pop_via", 'SIP/2.0/UDP\r\n h{};x="a, b"'),
    ],
)
def test_what_two_threads_pop(impl: Any, header: str, pop: str, value: str):
    for _ in range(4):
        values = [value.format(at) for at in range(200)]
        lines = [f"{header}: {', '.join(values[at : at + 2])}\r\nX-{at}: stays\r\n" for at in range(0, 200, 2)]
        message = impl.parse("OPTIONS sip:h SIP/2.0\r\n" + "".join(lines) + "\r\n")
        popped = together(*[partial(list, iter(getattr(message, pop), None)) for _ in range(2)])
        wanted = [text.replace("\r\n ", " ") for text in values]
        assert sorted(popped[0] + popped[1]) == sorted(wanted)
        assert [part for part in wanted if part in popped[0]] == popped[0]  # each thread from the top down
        assert items_of(message) == [(f"X-{at}", "stays") for at in range(0, 200, 2)]
        assert len(message.headers) == 100


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("pop", ["popone", "popall", "popitem"])
def test_what_two_threads_pop_of_the_headers(impl: Any, pop: str):
    def item(headers: Any) -> str | None:
        try:
            return headers.popitem()[1]
        except KeyError:
            return None

    calls = {
        "popone": lambda headers: headers.popone("Subject", None),
        "popall": lambda headers: ",".join(headers.popall("Subject", ())) or None,
        "popitem": item,
    }
    lines = b"".join([b"Subject: %d\r\n" % at for at in range(250)])
    message = impl.parse(b"OPTIONS sip:h SIP/2.0\r\n" + lines + b"\r\n")
    popped = together(*[partial(list, iter(partial(calls[pop], message.headers), None)) for _ in range(2)])
    assert sorted(",".join(popped[0] + popped[1]).split(","), key=int) == [str(at) for at in range(250)]
    assert items_of(message) == []


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("value", ["255", "0255", "\r\n 255"])
def test_what_two_threads_count_down(impl: Any, value: str):
    for _ in range(4):
        message = impl.parse(f"OPTIONS sip:h SIP/2.0\r\nX: 1\r\nMax-Forwards: {value}\r\nY: 2\r\n\r\n")
        counted = together(*[lambda count=message.decrement_max_forwards: [count() for _ in range(100)]] * 2)
        assert sorted(counted[0] + counted[1]) == list(range(55, 255))
        assert items_of(message) == [("X", "1"), ("Max-Forwards", "55"), ("Y", "2")]


@pytest.mark.usefixtures("hasty")
def test_what_two_threads_add_and_remove(impl: Any):
    message = impl.parse("OPTIONS sip:h SIP/2.0\r\nX-Stays: 1\r\n\r\n")

    def edit(name: str) -> int:
        removed = 0
        for at in range(300):
            message.add_header(name, str(at))
            message.prepend_header("X-Both", name)
            removed += message.remove_header(name) if at % 3 else 0
        return removed

    removed = together(lambda: edit("X-One"), lambda: edit("X-Two"))
    assert removed == [300, 300]
    assert sorted(message.headers.keys()) == ["X-Both"] * 600 + ["X-Stays"]


UPPER = "SIP/2.0/UDP new;branch=z9hG4bKnew"


MOVES: dict[str, Callable[[Any], Any]] = {
    "pushes": lambda m: m.push_via(UPPER),
    "adds": lambda m: m.add_header("X-Last", "x" * 300),
    "pops": lambda m: m.pop_via(),
    "removes": lambda m: m.remove_header("X-Last"),
}

READERS = ("vias", "routes", "record_routes", "contacts", "from_", "to_tag", "cseq", "get_headers", "headers", "reply",
           "to_bytes", "copy")  # fmt: skip


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", READERS)
def test_a_reader_beside_an_editor_sees_one_of_its_states(impl: Any, name: str):
    def read(m: Any) -> Any:
        return repr(outcome(lambda: CALLS[name](m)))

    message = impl.parse(ODD)
    message.set_header("Subject", "as edited")
    states = message.copy()
    possible = {read(states)}
    for move in MOVES.values():
        move(states)
        possible.add(read(states))
    assert read(states) == read(message)
    seen = beside(lambda: read(message), lambda: [move(message) for move in MOVES.values()], seconds=0.2)
    assert seen <= possible
    assert state_of(message) == states.to_bytes()


@pytest.mark.usefixtures("hasty")
def test_a_via_that_is_stamped_beside_an_editor(impl: Any):
    message = impl.parse(ODD)
    message.remove_header("Via")
    message.add_header("Via", VIA)
    stamped = impl.parse(ODD)
    stamped.set_header("Via", VIA)
    stamped.stamp_received("192.0.2.1", 5070)
    top = stamped.copy()
    top.set_header("Via", UPPER)
    top.stamp_received("192.0.2.1", 5070)
    possible = {None, UPPER, VIA, top.get_header("Via"), stamped.get_header("Via")}

    def push_and_pop() -> None:
        message.push_via(UPPER)
        assert message.pop_via() in {UPPER, top.get_header("Via")}

    seen, tries = set(), 0
    while stamped.get_header("Via") not in seen and tries < 100:  # on a busy machine it may meet the other one alone
        tries += 1
        seen |= beside(lambda: message.stamp_received("192.0.2.1", 5070) or message.get_header("Via"), push_and_pop)
        assert seen <= possible
    assert message.get_headers("Via") == [stamped.get_header("Via")]


@pytest.mark.usefixtures("hasty")
def test_the_body_and_its_length_are_set_as_one(impl: Any):
    message = impl.parse(ODD)

    def read() -> bool:
        again = impl.parse(message.to_bytes(), **LARGE)
        copied = message.copy()
        return len(again.body) in (4, 70) and len(copied.body) == copied.content_length

    editors = [lambda body=body: setattr(message, "body", body) for body in ("four", "x" * 70)]
    assert beside(read, *editors) == {True}
    state_of(message)


@pytest.mark.usefixtures("hasty")
def test_no_stale_value_is_kept(impl: Any):
    """Each of two threads sets From and reads it; when both have, what is kept is what stands there."""
    message = impl.parse(ODD)
    names = [f'"A, {at}" <sip:u{at}:pw@h>;tag={at}' for at in range(2)]

    def edit(at: int) -> None:
        message.set_header("From", names[at])
        message.from_  # noqa: B018 - it is kept
        message.from_tag  # noqa: B018

    for _ in range(300):
        together(lambda: edit(0), lambda: edit(1))
        assert str(message.from_) == str(NameAddr.parse(message.get_header("From")))
        assert message.from_tag == NameAddr.parse(message.get_header("From")).tag


@pytest.mark.usefixtures("hasty")
def test_the_size_beside_edits(impl: Any):
    message = impl.parse(ODD)

    def edit() -> None:
        for _ in range(50):
            message.add_header("X", "x" * 100)
        message.remove_header("X")
        message.body = "another"

    assert min(beside(lambda: sys.getsizeof(message), edit)) > 0


@pytest.mark.usefixtures("hasty")
def test_everything_at_once(impl: Any):
    message = impl.parse(ODD)
    calls = [*ALL_CALLS.values(), *EDITS.values()]

    def work(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(5000):
            outcome(lambda: order.choice(calls)(message))
            if len(message.headers) > 400:
                message.headers.clear()

    together(*(partial(work, seed) for seed in range(3)))
    state_of(message)


# --- references


@pytest.mark.usefixtures("hasty")
def test_reading_in_two_threads_counts_references_rightly(impl: Any):
    """The values are freed with their messages, and None's count is what it was (since 3.12 it has none)."""
    count = 1000

    def read(messages: list[Any]) -> None:
        for message in messages:
            message.uri, message.via, message.to, message.from_, message.cseq  # noqa: B018

    def round_trip() -> None:
        messages = [impl.parse(data) for _ in range(count // 2) for data in (ODD, REQUEST)]
        together(lambda: read(messages), lambda: read(messages))
        held = [object()]
        for one in held:
            counted = sys.getrefcount(one)  # that of the list, the argument's and, before 3.14, the name's
        for message in messages:
            for name in ("uri", "via", "to", "from_", "cseq"):
                value = getattr(message, name)
                assert value is getattr(message, name)
                if not FREE_THREADED:
                    assert sys.getrefcount(value) == counted

    def living() -> tuple[int, int]:
        gc.collect()
        if FREE_THREADED:  # a class's count says nothing
            return sys.getrefcount(None), sum(isinstance(value, HeaderValue) for value in gc.get_objects())
        return sys.getrefcount(None), sum(sys.getrefcount(kind) for kind in (Via, CSeq, NameAddr, SipUri))

    round_trip()
    nones, values = living()
    round_trip()
    now = living()
    assert abs(now[0] - nones) < count // 10
    assert now[1] == values


class Derived(NameAddr):
    """A value that has what its class has not: a dictionary, weak references, a finalizer, a slot."""

    __slots__ = ("__dict__", "__weakref__", "mine")
    freed = 0

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __del__(self) -> None:
        Derived.freed += 1


def test_a_value_of_a_derived_class_is_freed_with_what_it_holds(impl: Any):
    Derived.freed = 0
    kept = [impl.parse(REQUEST).to, object()]
    counts = [sys.getrefcount(each) for each in (Derived, NameAddr, SipUri, kept[0].uri, kept[1])]
    for _ in range(10):
        value = Derived(kept[0].uri)
        value.mine, value.other = kept[1], [kept[1]]
        reference = weakref.ref(value)
        del value
        gc.collect()  # where there is no GIL
        assert reference() is None
    value = Derived(kept[0].uri)
    value.other = value  # a circle, which the collector finds
    del value
    gc.collect()
    assert Derived.freed == 11
    if not FREE_THREADED:
        assert counts == [sys.getrefcount(each) for each in (Derived, NameAddr, SipUri, kept[0].uri, kept[1])]


class Lazarus(NameAddr):
    """A value that comes back when it is freed, once."""

    __slots__ = ()
    back: ClassVar[list[NameAddr]] = []

    def __del__(self) -> None:
        Lazarus.back.append(self)


def read_values(impl: Any) -> list[HeaderValue]:
    """A value of each class that the compiled core makes itself."""
    message = impl.parse(REQUEST)
    message.set_header("To", "<tel:+1;x=y>;tag=t")
    return [message.via, message.uri, message.from_, message.to.uri, message.cseq]


def test_a_value_that_lives_again_is_whole_and_freed_once(impl: Any):
    uri = impl.parse(REQUEST).to.uri
    before = sys.getrefcount(uri)
    value: Any = Lazarus(uri, display_name="Bob", tag="t")
    text = str(value)
    del value
    gc.collect()
    assert [str(each) for each in Lazarus.back] == [text]
    assert Lazarus.back[0].uri is uri
    Lazarus.back.clear()  # a finalizer runs once
    gc.collect()
    assert Lazarus.back == []
    assert sys.getrefcount(uri) == before


def test_a_finalizer_that_a_value_class_is_given_runs(impl: Any, monkeypatch: pytest.MonkeyPatch):
    """It may bring the value back, whoever made it."""
    kept = [(type(value), str(value)) for value in read_values(impl)]
    back: list[HeaderValue] = []
    for kind, _ in kept:
        monkeypatch.setattr(kind, "__del__", lambda self: back.append(self), raising=False)
    values = read_values(impl)
    assert {(kind, text) for kind, text in kept} <= {(type(each), str(each)) for each in values}
    back.clear()
    for at in range(len(values)):
        values[at] = None
    gc.collect()
    assert set(kept) <= {(type(each), str(each)) for each in back}
    back.clear()  # what they held comes back in their place, and no more than once either
    back.clear()
    gc.collect()
    assert back == []


def test_a_value_that_is_made_one_of_another_class_is_freed_as_that(impl: Any):
    """`__class__` may be set where the slots are the same."""

    class Plain(NameAddr):
        __slots__ = ()

    before = [sys.getrefcount(kind) for kind in (NameAddr, Plain)]
    for to, made in ((Plain, impl.parse(REQUEST).to), (NameAddr, Plain(impl.parse(REQUEST).to.uri))):
        text = str(made)
        object.__setattr__(made, "__class__", to)
        assert (type(made), str(made)) == (to, text)
    del to, made
    gc.collect()
    if not FREE_THREADED:
        assert before == [sys.getrefcount(kind) for kind in (NameAddr, Plain)]


def test_values_are_freed_with_their_parts(impl: Any):
    read_values(impl)
    gc.collect()
    kinds = (Via, SipUri, TelUri, NameAddr, CSeq)
    before = [sys.getrefcount(kind) for kind in kinds], sys.getallocatedblocks()
    for _ in range(200):
        read_values(impl)
    gc.collect()
    if not FREE_THREADED:
        assert before[0] == [sys.getrefcount(kind) for kind in kinds]
    assert sys.getallocatedblocks() - before[1] < 100


# --- what crashed

RACE = r"""
import importlib, sys, threading
sys.setswitchinterval(1e-6)
parse = importlib.import_module(sys.argv[1]).parse
via, route = "Via: SIP/2.0/UDP\r\n h;branch=z9hG4bK1\r\n", "Record-Route: <sip:r;lr>\r\n"
rest = "From: a\r\nTo: b\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
data = "INVITE sip:b@h SIP/2.0\r\n" + via * 50 + route * 3000 + rest
wanted = ["Via"] * 50 + ["From", "To", "Call-ID", "CSeq"] + ["Record-Route"] * 3000 + ["Content-Length"]
messages = []

def edit():
    done = 0
    while done < 40:
        if len(messages) > done:
            messages[done].add_header("X", "y" * 50)
            done += 1

thread = threading.Thread(target=edit)
thread.start()
for at in range(40):
    message = parse(data, max_size=1 << 20, max_headers=10000)
    messages.append(message)
    assert message.reply(200).headers.keys() == wanted
thread.join()
"""

FINALIZER = r"""
import gc, importlib, sys
message = importlib.import_module(sys.argv[1]).parse(
    "INVITE sip:b@h SIP/2.0\r\n" + "Via: SIP/2.0/UDP\r\n h;x=\"a,b\"\r\nRoute: \"x, y\" <sip:p;lr>\r\n" * 40 + "\r\n"
)

class Garbage:
    def __init__(self):
        self.itself = self
    def __del__(self):
        message.add_header("X", "y" * 999)
        message.pop_route()
        if len(message.headers) > 30:
            message.headers.clear()
        Garbage()

gc.set_threshold(1)
Garbage()
for _ in range(300):
    message.vias, message.routes, message.reply(200), message.headers.items(), message.pop_via(), message.pop_route()
    message.add_header("Via", "SIP/2.0/UDP h;x=\"a,b\"")
    message.add_header("Route", "\"x, y\" <sip:p;lr>")
gc.set_threshold(0)
gc.disable()
"""


FREE_LISTS = r"""
import importlib, sys
parse = importlib.import_module(sys.argv[1]).parse
data = (b"INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP\r\n h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        b"Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n")

class Owner:
    def __init__(self, message):
        self.itself, self.message = self, message
    def __del__(self):
        self.message.headers.clear()

kept = []
for at in range(100_000):
    message = parse(data)
    Owner(message)
    kept += [slice(at), [{}]] if at % 7 == 0 else [slice(at)]
    if len(kept) > 1000:
        kept.clear()
    message.pop_via()
    assert len(message.headers) in (0, 4)
"""

FORK = r"""
import importlib, os, sys, threading
sys.setswitchinterval(1e-6)
message = importlib.import_module(sys.argv[1]).parse("OPTIONS sip:b@h SIP/2.0\r\nVia: a\r\n\r\n")
stop = threading.Event()

def edit():
    while not stop.is_set():
        message.add_header("X", "y")
        message.remove_header("X")

thread = threading.Thread(target=edit)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        message.add_header("X", "y")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_beside_a_thread_that_edits(impl: Any):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, impl.__name__]
    subprocess.run(command, timeout=300, check=True)


@pytest.mark.parametrize("program", [RACE, FINALIZER, FREE_LISTS], ids=["thread", "finalizer", "free lists"])
def test_a_program_that_crashed(impl: Any, program: str):
    command = [sys.executable, "-X", "faulthandler", "-c", program, impl.__name__]
    environment = {"PYTHONMALLOC": "debug"} | os.environ  # what is freed is overwritten at once
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")


# --- what all threads hold


class ObjectHead(ctypes.Structure):
    """The head of an object of a free-threaded Python."""

    _fields_: ClassVar = [
        ("owner", ctypes.c_uint64),
        ("flags", ctypes.c_uint16),
        ("mutex", ctypes.c_uint8),
        ("collector", ctypes.c_uint8),
        ("local_count", ctypes.c_uint32),
    ]


@pytest.mark.skipif(not FREE_THREADED or os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1", reason="nothing is shared")
def test_a_function_is_counted_no_other_way_than_those_of_python():
    """Two threads in a loop of `parse` would wait for each other at the count of its references."""
    core = importlib.import_module("sipstack._parser")
    together(lambda: None)  # 3.13 stops to count such objects when the first thread starts
    heads = [ObjectHead.from_address(id(each)) for each in (math.sqrt, *[getattr(core, name) for name in core.__all__])]
    counted = {(head.collector & 64, head.local_count == 2**32 - 1) for head in heads}  # 64: counted when collected
    assert (0, False) not in counted


def test_parse_is_a_function_of_its_module(impl: Any):
    assert pickle.loads(pickle.dumps(impl.parse)) is impl.parse
    assert (impl.parse.__name__, impl.parse.__module__) == ("parse", impl.__name__)
