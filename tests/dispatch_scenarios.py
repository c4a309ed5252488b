"""Programs of an endpoint over a transport in memory, and a record of all that anybody can see of them.

`python dispatch_scenarios.py COUNT` prints the record of the fixed scenarios and of COUNT random ones, a line for each
thing that happened: a handler or hook called, an event, a datagram that left, a log record, the counters. What it
prints is the same for every implementation; `test_dispatch.py` runs it with each and compares.
"""

import asyncio
import inspect
import logging
import random
import re
import sys
from typing import Any

from sipstack import DatagramTransport, Endpoint, EndpointConfig, Event, Message, parse

SOURCES = [("192.0.2.1", 5060), ("192.0.2.2", 40_000), ("2001:db8::1", 5062)]
TAG = re.compile(r";tag=[0-9a-f]{16}")  # a keyed hash, whose key is another one in each process


class Record(logging.Handler):
    """What happened, as lines of text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, *what: object) -> None:
        self.lines.append(TAG.sub(";tag=made", " ".join(show(one) for one in what)))

    def emit(self, record: logging.LogRecord) -> None:
        self.note("log", record.levelname, record.getMessage(), record.exc_info and record.exc_info[1])


def show(value: object) -> str:
    if isinstance(value, Message):
        return repr(value.to_bytes())
    if isinstance(value, Event):
        return " ".join(show(one) for one in (value.type.value, *value[1:]))
    return value if isinstance(value, str) else repr(value)


class Wire(DatagramTransport):
    """A transport in memory that refuses some addresses."""

    local_address = ("192.0.2.100", 5060)

    def __init__(self, record: Record, refused: set[tuple[str, int]]) -> None:
        self.record, self.refused = record, refused
        self.receiver: Any = None

    def open(self) -> None:
        self.record.note("open")

    async def start(self, receiver: Any) -> None:
        self.receiver = receiver

    def stop(self) -> None:
        self.receiver = None

    def send(self, datagrams: Any) -> Any:
        failures = []
        for data, addr in datagrams:
            if addr in self.refused:
                failures.append((data, addr, BlockingIOError(11, "full") if addr[1] % 2 else OSError(1, "no")))
            else:
                self.record.note("out", addr, data.decode("utf-8", "backslashreplace"))
        return failures

    def close(self) -> None:
        self.record.note("close")


# ---------------------------------------------------------------- handlers


class Handlers:
    """One method for each kind of handler, in the endpoint that they work on."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.endpoint: Endpoint = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Any:
        function = getattr(self, name)
        if inspect.iscoroutinefunction(function):

            async def noted(request: Message, addr: Any) -> Any:
                self.record.note("handler", name, request, addr)
                return await function(request, addr)
        else:

            def noted(request: Message, addr: Any) -> Any:
                self.record.note("handler", name, request, addr)
                return function(request, addr)

        return noted

    def answers(self, request, addr):
        return request.reply(200)

    def answers_with_more(self, request, addr):
        return request.reply(486, "Busy as a bee", headers={"Retry-After": "5", "X": "ü"}, body="text\n")

    def is_silent(self, request, addr):
        return None

    def raises(self, request, addr):
        raise LookupError("trouble")

    def meets_a_bad_value(self, request, addr):
        request.decrement_max_forwards()
        return request.reply(200, headers={"X-Host": str(request.uri), "X-Top": str(request.contacts)})

    def answers_a_request(self, request, addr):
        return request

    def answers_text(self, request, addr):
        return "200 OK"

    def answers_zero(self, request, addr):
        return 0

    def answers_numbers(self, request, addr):
        return 200, "OK"

    def passes_on(self, request, addr):
        return request, SOURCES[1]

    def answers_elsewhere(self, request, addr):
        return request.reply(302), SOURCES[1]

    async def passes_on_later(self, request, addr):
        await asyncio.sleep(0)
        return request, SOURCES[1]

    def answers_bytes(self, request, addr):
        return b"SIP/2.0 200 OK\r\n\r\n"

    def answers_what_came(self, request, addr):
        return parse(b"SIP/2.0 699 Whatever\r\nVia: SIP/2.0/UDP x;rport\r\n\r\n")

    def takes_the_via_off(self, request, addr):
        request.pop_via()
        return request.reply(200)

    def puts_in_another(self, request, addr):
        self.endpoint.register_handler("OPTIONS", self["answers_with_more"])
        self.endpoint.register_handler("NEWER", self["answers"])
        return request.reply(202)

    def puts_itself_away(self, request, addr):
        self.endpoint.register_handler(request.method, self["answers"])
        return request.reply(203)

    def sets_the_rest(self, request, addr):
        self.endpoint.set_no_route_handler(self["answers_with_more"])
        return request.reply(204)

    def takes_the_rest_back(self, request, addr):
        self.endpoint.set_no_route_handler(None)
        return request.reply(205)

    def adds_a_hook(self, request, addr):
        self.endpoint.append_on_response_sent(lambda *args: self.record.note("added hook", *args))
        return request.reply(206)

    def sends_many(self, request, addr):
        self.endpoint.send_soon(request, SOURCES[1])
        self.endpoint.respond(request, request.reply(180), addr)
        try:
            self.endpoint.send(request.reply(183), addr)
            self.endpoint.send(b"raw", addr)
        except OSError as error:
            self.record.note("send", type(error).__name__, error.errno)
        return request.reply(200)

    def closes(self, request, addr):
        self.endpoint.close()
        return request.reply(200)

    def answers_a_future(self, request, addr):
        future = asyncio.get_running_loop().create_future()
        future.set_result(request.reply(207))
        return future

    async def answers_later(self, request, addr):
        await asyncio.sleep(0)
        return request.reply(200)

    async def answers_at_once(self, request, addr):
        return request.reply(208)

    async def raises_later(self, request, addr):
        await asyncio.sleep(0)
        raise LookupError("late trouble")

    async def meets_a_bad_value_later(self, request, addr):
        await asyncio.sleep(0)
        return self.meets_a_bad_value(request, addr)

    async def answers_text_later(self, request, addr):
        return "200 OK"

    async def is_silent_later(self, request, addr):
        return None

    async def waits(self, request, addr):
        for _ in range(12):  # longer than until the next batch
            await asyncio.sleep(0)
        return request.reply(209)

    async def is_told(self, request, addr):
        try:
            return await self.waits(request, addr)
        except asyncio.CancelledError as error:
            self.record.note("told", *error.args)
            return request.reply(487, "Told")

    async def answers_when_told(self, request, addr):
        try:
            await self.waits(request, addr)
        except asyncio.CancelledError:
            self.endpoint.respond(request, request.reply(487, "Told and sent"), addr)
            raise

    async def answers_and_goes_on(self, request, addr):
        self.endpoint.respond(request, request.reply(180), addr)
        self.endpoint.respond(request, request.reply(486), addr)
        await self.waits(request, addr)

    async def fails_when_told(self, request, addr):
        try:
            await self.waits(request, addr)
        except asyncio.CancelledError:
            raise LookupError("told") from None


KINDS = [name for name in vars(Handlers) if not name.startswith("_") and name != "closes"]
METHODS = ["OPTIONS", "INVITE", "ACK", "CANCEL", "BYE", "INFO", "MESSAGE", "PING", "other", "options", "ü"]
HOOKS = ["on_datagram", "on_parse_err", "on_request", "on_response", "on_response_sent", "on_sip_response",
         "on_message_sent", "on_event", "on_read_error"]  # fmt: skip


def make_hook(record: Record, name: str, fails: bool) -> Any:
    def hook(*args: object) -> None:
        record.note("hook", name, *args)
        if fails:
            raise ArithmeticError(name)

    hook.__name__ = name
    return hook


# ---------------------------------------------------------------- datagrams


def make_request(method: str = "OPTIONS", *, uri: str = "sip:bob@example.com", **changes: str | None) -> bytes:
    headers = {
        "Via": "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK1;rport",
        "Max-Forwards": "70",
        "From": "<sip:alice@example.com>;tag=1",
        "To": "<sip:bob@example.com>",
        "Call-ID": "a84b4c76e66710",
        "CSeq": f"7 {method}",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode()


CHANGES: list[dict[str, Any]] = [
    {"Via": "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK1"},
    {"Via": "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;maddr=192.0.2.9;rport"},
    {"Via": "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;received=9.9.9.9;rport=9, SIP/2.0/UDP b"},
    {"Via": "SIP/2.0/UDP"},
    {"Via": "SIP/2.0/UDP a;rport;rport=x"},
    {"Via": None},
    {"From": None},
    {"To": None},
    {"To": "<sip:bob@example.com>;tag=2"},
    {"To": "nonsense <"},
    {"Call-ID": None},
    {"Call_ID": "ü " + "x" * 200},
    {"CSeq": None},
    {"CSeq": "x"},
    {"CSeq": "7 BYE"},
    {"Max-Forwards": "0"},
    {"Max-Forwards": "x"},
    {"Max-Forwards": None},
    {"uri": "SIPS:x@y"},
    {"uri": "tel:+1"},
    {"uri": "http://x"},
    {"uri": "sip"},
    {"uri": "sip:b@[::"},
    {"Require": "100rel"},
    {"Require": "path, 100rel"},
    {"Require": ", ,"},
    {"Contact": "<sip:a@b"},
    {"X": "y" * 1000},
    {f"X{number}": "y" for number in range(300)},
    {"From": "<sip:a@b>\r\n ;tag=5"},
    # what cannot be read, and may be answered
    {"Content-Length": "x", "Subject": "y" * 150},
    {"Content-Length": "0\r\nContent-Length: 9", "Subject": "y" * 150},
    {"Content-Length": "9", "Subject": "y" * 150, "Via": "SIP/2.0/UDP a, SIP/2.0/UDP b"},
    {"uri": "sip:a@b; lr", "Subject": "y" * 150},
    {"X Y": "1", "Subject": "y" * 150},
    {"X Y": "1", "Subject": "y" * 150, "To": "nonsense"},
    {"X Y": "1", "Subject": "y" * 150, "Call-ID": None},
    {"X Y": "1", "Subject": "y" * 150, "CSeq": "7 ACK"},
    {"X Y": "1", "Subject": "y" * 150, "Via": "nonsense"},
    {"X Y": "1"},
]
OTHERS = [b"", b"\r\n\r\n", b"\0\0", b"jaK", b"\0\1\0\0\x21\x12\xa4\x42" + b"x" * 12, b"nonsense", b"\xff" * 50,
          b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"OPTIONS sip:a@b SIP/2.0\r\nx\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n",
          b"SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP a\r\nVia: x\r\nCSeq: 1 INVITE\r\n\r\n", b"SIP/2.0 999 OK\r\n\r\n",
          b"OPTIONS sip:a@b SIP/7.0\r\nVia: SIP/2.0/UDP a;rport\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n"
          b"CSeq: 1 OPTIONS\r\n\r\n", b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 9\r\n\r\nshort"]  # fmt: skip


def make_datagram(random: random.Random, changed: float) -> bytes:
    if random.random() < changed / 3:
        return random.choice(OTHERS)
    changes = random.choice(CHANGES) if random.random() < changed else {}
    data = make_request(random.choice(METHODS), **changes)
    return data.replace(b"\r\n", b"\n") if random.random() < 0.05 else data


# ---------------------------------------------------------------- scenarios


async def play(record: Record, handlers: dict[str, str], batches: Any, **options: Any) -> None:
    """Runs one endpoint. `hooks` names those that are set, `failing` those of them that raise."""
    hooks, failing, refused = options.pop("hooks", ()), options.pop("failing", ()), options.pop("refused", ())
    record.note("--- scenario", sorted(handlers.items()), sorted(options.items()), hooks, failing)
    made = Handlers(record)
    wire = Wire(record, set(refused))
    settings = {name: make_hook(record, name, name in failing) for name in hooks} | options
    settings.setdefault("answer_parse_errors", 1 << 20)  # fewer would be a matter of the clock
    if "no_route_handler" in options:
        settings["no_route_handler"] = made[options["no_route_handler"]]
    endpoint = made.endpoint = Endpoint(EndpointConfig(**settings), transport=wire)
    for method, kind in handlers.items():
        endpoint.register_handler(method, made[kind])
    serving = asyncio.ensure_future(endpoint.serve())
    await asyncio.sleep(0)
    for batch in batches:
        if wire.receiver is None:
            break
        record.note("- batch of", len(batch))
        wire.receiver.deliver(batch)
        for _ in range(8):
            await asyncio.sleep(0)
    for request in (make_request(), make_request("INFO"), make_request("ACK")):
        try:
            response = await endpoint.dispatch(parse(request), SOURCES[0])
        except Exception as error:
            response = error  # type: ignore[assignment]
        record.note("dispatch", response)
    await endpoint.aclose()
    await serving
    for name in COUNTERS:
        value = getattr(endpoint.stats, name)
        record.note(name, value if isinstance(value, int) else sorted(value.items()))


COUNTERS = list(type(Endpoint().stats).__dataclass_fields__)


def cancelled() -> list[Any]:
    """An INVITE and its CANCEL, in the same batch and in later ones, and those that do not belong together."""
    invite, cancel = (make_request(method) for method in ("INVITE", "CANCEL"))
    old = [data.replace(b"branch=z9hG4bK1", b"x") for data in (invite, cancel)]
    here, there = SOURCES[:2]
    return [
        [[(invite, here)], [(cancel, here)], [(cancel, here)]],
        [[(invite, here), (cancel, here), (cancel, here)], [(cancel, here)]],
        [[(invite, here), (invite, here)], [(cancel, there), (cancel, here)]],
        [[(old[0], here), (invite, here)], [(old[1], here)]],
        [[(invite.replace(b"K1", b"K2"), here)], [(cancel, here), (make_request("CANCEL", Require="x"), here)]],
    ]


def fixed() -> list[dict[str, Any]]:
    """The scenarios with a name of their own in a bug report."""
    ten = [[(make_request(), SOURCES[0])] * 10]
    every_kind = [[(make_request(f"M{number}"), SOURCES[1])] for number in range(len(KINDS))] * 2
    kinds = {f"M{number}": kind for number, kind in enumerate(KINDS)}
    every_change = [[(make_request(method, **change), SOURCES[0]) for change in CHANGES] for method in METHODS]
    noise = [[(data, SOURCES[2]) for data in OTHERS]]
    some = {"OPTIONS": "answers", "ACK": "answers", "INVITE": "answers_later", "INFO": "meets_a_bad_value"}
    scenarios = [
        {"handlers": {"OPTIONS": "puts_itself_away"}, "batches": ten},
        {"handlers": {"OPTIONS": "puts_in_another"}, "batches": ten},
        {"handlers": {"OPTIONS": "adds_a_hook"}, "batches": ten},
        {"handlers": {"OPTIONS": "closes"}, "batches": ten},
        {"handlers": {"OPTIONS": "answers_later"}, "batches": ten, "max_pending": 3},
        {"handlers": {"OPTIONS": "answers_at_once"}, "batches": ten, "max_pending": 0},
        {"handlers": {}, "batches": every_change, "no_route_handler": "answers"},
        {"handlers": some, "batches": ten, "refused": [SOURCES[0]]},
        {"handlers": some, "batches": every_change + noise, "answer_parse_errors": 0},
    ]
    for kind in KINDS:
        for batches in cancelled():
            scenarios += [
                {"handlers": {"invite": kind}, "batches": batches, **more}
                for more in ({}, {"hooks": HOOKS}, {"answer_cancel": False}, {"no_route_handler": "answers"})
            ]
        scenarios.append({"handlers": {"INVITE": kind, "cancel": "answers"}, "batches": cancelled()[0]})
    for more in (
        {},
        {"hooks": HOOKS},
        {"hooks": HOOKS, "failing": HOOKS},
        {"validate": False},
        {"use_maddr": True},
        {"supported": ["100rel"]},
        {"supported": None, "schemes": ["http", "sip"]},
        {"max_headers": 400},
        {"max_headers": 7},
        {"max_size": 300},
        *({"hooks": [name]} for name in HOOKS),
    ):
        scenarios.append({"handlers": kinds, "batches": every_kind, **more})
        scenarios.append({"handlers": some, "batches": every_change + noise, **more})
    return scenarios


def randomly(seed: int) -> dict[str, Any]:
    """A scenario of its own for each number."""
    choice = random.Random(seed)
    kinds = [*KINDS, "closes"] if choice.random() < 0.2 else KINDS
    changed = choice.choice([0.0, 0.2, 0.8])
    hooks = choice.choice([[], [], HOOKS, choice.sample(HOOKS, 2)])
    options: dict[str, Any] = {
        "validate": choice.random() < 0.8,
        "use_maddr": choice.random() < 0.1,
        "answer_cancel": choice.random() < 0.9,
        "answer_parse_errors": choice.choice([0, 1 << 20]),
        "max_headers": choice.choice([256, 256, 400, 8]),
        "max_size": choice.choice([65_535, 65_535, 400]),
        "max_pending": choice.choice([1000, 2]),
        "supported": choice.choice([(), ("100rel",), None]),
        "hooks": hooks,
        "failing": choice.choice([[], hooks, hooks[:1]]),
        "refused": choice.choice([[], [SOURCES[1]], [SOURCES[0], SOURCES[2]]]),
    }
    if choice.random() < 0.2:
        options["no_route_handler"] = choice.choice(KINDS)
    methods = choice.sample(METHODS, choice.randrange(len(METHODS) + 1))
    batches = [
        [(make_datagram(choice, changed), choice.choice(SOURCES)) for _ in range(choice.randrange(1, 20))]
        for _ in range(choice.randrange(1, 6))
    ]
    return {"handlers": {method: choice.choice(kinds) for method in methods}, "batches": batches, **options}


def main(count: int) -> None:
    record = Record()
    logging.getLogger("sipstack").addHandler(record)
    logging.getLogger("sipstack").setLevel(logging.DEBUG)
    logging.getLogger("sipstack").propagate = False
    for scenario in [*fixed(), *map(randomly, range(count))]:
        asyncio.run(play(record, **scenario))
    lines = (line.replace("\r", "\\r").replace("\n", "\\n") + "\n" for line in record.lines)
    sys.stdout.buffer.write("".join(lines).encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
