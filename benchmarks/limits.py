"""The ten lines that sipstack is held to, and what a run reached of each."""

from dataclasses import dataclass
from typing import Any

from .cases import COMPILED, PLAIN
from .peers import PLAIN as PURE_PYTHON

# Nanoseconds that the C core of a well-known SIP proxy takes to parse all headers of these messages, and that the
# floor takes for them, on one quiet machine. Reading what a proxy reads, from Python, is to cost no more than that.
PROXY_NS = {"options": 859, "bye": 1029, "invite": 1019, "invite_200": 1284, "register": 1126, "ims_invite": 2138}
REFERENCE_FLOOR_NS = {"options": 38, "bye": 41, "invite": 53, "invite_200": 65, "register": 56, "ims_invite": 146}

# Nanoseconds a byte of the largest message that the dearest call on the worst message that was found may cost.
DEAREST_NS = {COMPILED: 30, PLAIN: 300}


@dataclass(frozen=True)
class Line:
    """One limit and what was reached; `reached` is in the unit of the limit."""

    number: int
    what: str
    limit: float
    reached: float | None
    unit: str  # "x", "ns"
    note: str = ""
    spread: tuple[float, float] | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None where it was not measured."""
        if self.reached is None:
            return None
        return self.reached >= self.limit if self.at_least else self.reached <= self.limit


class Run:
    """A saved run, with the questions the table asks of it."""

    def __init__(self, saved: dict[str, Any]) -> None:
        self.saved = saved
        self.results = {(each["group"], each["subject"], each["message"]): each for each in saved["results"]}

    def best(self, group: str, subject: str, message: str) -> float | None:
        """Nanoseconds of the best round."""
        result = self.results.get((group, subject, message))
        return None if result is None else result["ns"]["best"]

    def messages(self, group: str, subject: str) -> list[str]:
        """The messages that were measured for a subject, in the order of the table."""
        return [message for found, who, message in self.results if (found, who) == (group, subject)]

    def subjects(self, group: str) -> list[str]:
        """Who was measured in a group: both implementations, then the peers."""
        return list(dict.fromkeys(subject for found, subject, _ in self.results if found == group))

    def floor(self) -> dict[str, float]:
        """Nanoseconds of the floor's best round, by message."""
        floors: dict[str, float] = {}
        for (_, _, message), result in self.results.items():
            if "floor_ns" in result and result["group"] != "write":
                floors[message] = min(result["floor_ns"], floors.get(message, result["floor_ns"]))
        return floors

    def to_floor(self, group: str, subject: str, quartile: str = "median") -> dict[str, float]:
        """How many times the floor each message costs."""
        found = {message: self.results[group, subject, message] for message in self.messages(group, subject)}
        return {message: result["ratio"][quartile] for message, result in found.items() if "ratio" in result}

    def sum_to_floor(self, group: str, subject: str, quartile: str = "median") -> float | None:
        """How many times the floor all messages cost together."""
        floors, ratios = self.floor(), self.to_floor(group, subject, quartile)
        if not ratios:
            return None
        return sum(ratios[name] * floors[name] for name in ratios) / sum(floors[name] for name in ratios)

    def times_as_long(self, group: str, subject: str, other: str) -> float | None:
        """How many times as long `other` takes as `subject`, over the messages that both can do."""
        both = [name for name in self.messages(group, subject) if (group, other, name) in self.results]
        if not both:
            return None
        total = {who: sum(self.best(group, who, name) or 0 for name in both) for who in (subject, other)}
        return total[other] / total[subject]

    def pure_python(self) -> list[str]:
        """The peers that are parsers of SIP in plain Python."""
        return [name for name, peer in self.saved["peers"].items() if peer["kind"] == PURE_PYTHON]

    def fastest_peer(self, group: str) -> tuple[str, float] | None:
        """The pure-Python peer that is nearest to the plain implementation, and how many times as long it takes."""
        times = {name: self.times_as_long(group, PLAIN, name) for name in self.pure_python()}
        known = {name: value for name, value in times.items() if value is not None}
        name = min(known, key=lambda each: known[each], default=None)
        return None if name is None else (name, known[name])


def lines(saved: dict[str, Any]) -> list[Line]:
    """The ten limits against a saved run."""
    run = Run(saved)
    return [*_parse(run), *_read(run), *_fixed(run), *_plain(run), *_memory(saved), *_linear(saved), *_dearest(saved)]


def _parse(run: Run) -> list[Line]:
    ratios = run.to_floor("parse", COMPILED)
    if not ratios:
        return [Line(1, "parse, all messages, to the floor", 3.5, None, "x")]
    low, high = (run.sum_to_floor("parse", COMPILED, quartile) or 0.0 for quartile in ("q1", "q3"))
    worst = max(ratios, key=lambda name: ratios[name])
    spread = tuple(run.to_floor("parse", COMPILED, quartile)[worst] for quartile in ("q1", "q3"))
    together = run.sum_to_floor("parse", COMPILED)
    best = {name: run.best("parse", COMPILED, name) or 0.0 for name in ratios}
    note = f"best rounds {sum(best.values()) / sum(run.floor()[name] for name in best):.2f}"
    about = f"{worst}, best round {best[worst] / run.floor()[worst]:.2f}"
    return [
        Line(1, "parse, all messages, to the floor", 3.5, together, "x", note, (low, high)),
        Line(1, "parse, the worst message, to the floor", 4.5, ratios[worst], "x", about, (spread[0], spread[1])),
    ]


def _read(run: Run) -> list[Line]:
    return [
        Line(2, f"read what a proxy reads, {name}", limit, run.best("read", COMPILED, name), "ns")
        for name, limit in PROXY_NS.items()
    ]


def _fixed(run: Run) -> list[Line]:
    return [
        Line(3, "a proxy's hop, invite", 1200, run.best("hop", COMPILED, "invite"), "ns"),
        Line(3, "the way back, invite_200", 600, run.best("back", COMPILED, "invite_200"), "ns"),
        Line(4, "reply to options", 700, run.best("reply", COMPILED, "options"), "ns"),
        Line(5, "every header as text, invite", 900, run.best("items", COMPILED, "invite"), "ns"),
        Line(6, "write from scratch, invite", 2000, run.best("write", COMPILED, "invite"), "ns"),
    ]


def _plain(run: Run) -> list[Line]:
    parse, trip = run.fastest_peer("parse"), run.fastest_peer("roundtrip")
    found = [
        ("plain: the fastest other parser takes", 1.0, parse),
        ("plain: the same, round trip", 1.0, trip),
    ]
    ours = run.times_as_long("parse", PLAIN, "sipmessage")
    return [
        *[Line(7, what, limit, who and who[1], "x", who[0] if who else "", None, True) for what, limit, who in found],
        Line(7, "plain: sipmessage takes", 2.0, ours, "x", "", None, True),
    ]


def _memory(saved: dict[str, Any]) -> list[Line]:
    if not saved["memory"]:
        return [Line(8, "memory of a parsed message, of its limit", 1.0, None, "x")]
    worst = max(saved["memory"], key=_share)
    note = f"{worst['subject']}, {worst['message']}: {_size(worst):.0f} of {worst['limit']} bytes"
    return [Line(8, "memory of a parsed message, of its limit", 1.0, _share(worst), "x", note)]


def _size(each: dict[str, Any]) -> float:
    return max(each["getsizeof"], each["traced"])


def _share(each: dict[str, Any]) -> float:
    return _size(each) / each["limit"]


def _linear(saved: dict[str, Any]) -> list[Line]:
    if not saved["linear"]:
        return [Line(9, "growth of the cost a byte, 1 to 64 KiB", 2.0, None, "x")]
    worst = max(saved["linear"], key=lambda each: each["growth"])
    note = f"{worst['subject']}, {worst['input']}"
    return [Line(9, "growth of the cost a byte, 1 to 64 KiB", 2.0, worst["growth"], "x", note)]


def _dearest(saved: dict[str, Any]) -> list[Line]:
    found = {
        subject: [each for each in saved.get("dearest", ()) if each["subject"] == subject] for subject in DEAREST_NS
    }
    result = []
    for subject, limit in DEAREST_NS.items():
        worst = max(found[subject], key=lambda each: each["ns"], default=None)
        reached, note = (
            (None, "") if worst is None else (worst["ns_a_byte"], f"{worst['call']}, {worst['ns'] / 1e6:.2f} ms")
        )
        result.append(Line(10, f"{subject}: the dearest call, a byte of 64 KiB", limit, reached, "ns", note))
    return result
