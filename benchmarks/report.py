"""The tables: for the terminal, and the same as Markdown for docs/performance.md. All from the saved run."""

from pathlib import Path
from typing import Any

from .cases import COMPILED, GROUPS, PLAIN
from .corpus import MALFORMED
from .limits import REFERENCE_FLOOR_NS, Line, Run, lines

BEGIN, END = "<!-- the table: python -m benchmarks --docs writes it -->", "<!-- end of the table -->"

Table = list[list[str]]


def duration(nanoseconds: float | None) -> str:
    """A time in the unit that suits it."""
    if nanoseconds is None:
        return "-"
    if nanoseconds < 1000:
        return f"{nanoseconds:.0f} ns"
    digits = 2 if nanoseconds < 10_000 else 1 if nanoseconds < 100_000 else 0
    return f"{nanoseconds / 1000:.{digits}f} µs"


def times(value: float | None) -> str:
    """A ratio."""
    return "-" if value is None else f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def limits_table(saved: dict[str, Any]) -> Table:
    """The ten lines: limit, reached, kept."""
    table = [["", "what", "limit", "reached", "kept", ""]]
    for line in lines(saved):
        show = times if line.unit == "x" else duration
        kept = {True: "yes", False: "NO", None: "not measured"}[line.kept]
        bound = ("at least " if line.at_least else "") + show(line.limit)
        table.append([str(line.number), line.what, bound, show(line.reached), kept, _note(line)])
    return table


def _note(line: Line) -> str:
    spread = f"half of the rounds in {line.spread[0]:.2f} to {line.spread[1]:.2f}" if line.spread else ""
    return ", ".join(part for part in (line.note, spread) if part)


def messages_table(saved: dict[str, Any]) -> Table:
    """What parse costs, message by message: the floor, both implementations, each to the floor."""
    run = Run(saved)
    floor, compiled, plain = run.floor(), run.to_floor("parse", COMPILED), run.to_floor("parse", PLAIN)
    table = [["message", "bytes", "headers", "floor", COMPILED, "to the floor", PLAIN, "to the floor"]]
    for name, about in saved["messages"].items():
        cells = [name, str(about["bytes"]), str(about["headers"]), duration(floor.get(name))]
        for subject, ratios in ((COMPILED, compiled), (PLAIN, plain)):
            cells += [duration(run.best("parse", subject, name)), times(ratios.get(name))]
        table.append(cells)
    return table


def peers_table(saved: dict[str, Any]) -> Table:
    """Everybody in every group: how many times as long as the plain implementation, over the messages both can do."""
    run = Run(saved)
    groups = [group for group in GROUPS if len(run.subjects(group)) > 2]
    table = [["", "parse invite", *groups, "cannot parse", "keeps", "refuses"]]
    measured = {subject for _, subject, _ in run.results}
    for subject in [name for name in (COMPILED, PLAIN, *saved["peers"]) if name in measured]:
        ratios = [times(run.times_as_long(group, PLAIN, subject)) for group in groups]
        about = saved["peers"].get(subject) or saved["own"][subject]
        label = f"{subject} {about['version']}".strip()
        invite = duration(run.best("parse", subject, "invite"))
        table.append([label, invite, *ratios, ", ".join(about["cannot"]) or "none", about["keeps"], _refuses(about)])
    return table


def _refuses(about: dict[str, Any]) -> str:
    return "-" if about["refuses"] is None else f"{about['refuses']} of {len(MALFORMED)}"


def groups_table(saved: dict[str, Any]) -> Table:
    """Both implementations in the groups that the table of peers does not show message by message."""
    run = Run(saved)
    table = [["group", "message", COMPILED, PLAIN, "plain / compiled"]]
    for group in GROUPS:
        for name in run.messages(group, PLAIN):
            compiled, plain = run.best(group, COMPILED, name), run.best(group, PLAIN, name)
            if group != "parse" and plain is not None:
                ratio = times(plain / compiled) if compiled else "-"
                table.append([group, name, duration(compiled), duration(plain), ratio])
    return table


def memory_table(saved: dict[str, Any]) -> Table:
    """Bytes beyond the message's own, by message."""
    table = [["message", "headers", "limit", f"{COMPILED}: sizeof", "traced", f"{PLAIN}: sizeof", "traced"]]
    cells: dict[str, list[str]] = {}
    for each in saved["memory"]:
        row = cells.setdefault(each["message"], [each["message"], str(each["headers"]), str(each["limit"])])
        row += [str(each["getsizeof"]), f"{each['traced']:.0f}"]
    return table + [row for row in cells.values() if len(row) == len(table[0])]


def linear_table(saved: dict[str, Any]) -> Table:
    """The worst inputs: nanoseconds a byte of each size, and their growth."""
    table = [["input", "", "1 KiB", "4 KiB", "16 KiB", "64 KiB", "growth"]]
    for each in sorted(saved["linear"], key=lambda each: -each["growth"]):
        costs = [f"{cost:.2f}" for cost in each["ns_a_byte"]]
        table.append([each["input"], each["subject"], *costs, times(each["growth"])])
    return table


def dearest_table(saved: dict[str, Any]) -> Table:
    """The dearest message of each call, dearest first."""
    table = [["call", "", "time", "ns a byte", "the message"]]
    for each in sorted(saved.get("dearest", ()), key=lambda each: -each["ns"]):
        cost = [duration(each["ns"]), f"{each['ns_a_byte']:.1f}"]
        table += [[each["call"], each["subject"], *cost, each["message"][:100]]]
    return table


def machine(saved: dict[str, Any]) -> str:
    """One line on where the run was made, in general terms."""
    python, where = saved["python"], saved["machine"]
    builds = ", ".join(
        name
        for name, there in (
            ("profile-guided", python["profile_guided"]),
            ("link-time optimized", python["link_time"]),
            ("free-threaded", python["free_threaded"]),
        )
        if there
    )
    kind = f" ({builds})" if builds else ""
    return f"{python['implementation']} {python['version']}{kind}, {where['system']} on {where['architecture']}, " + (
        f"{where['cores']} cores"
    )


def pace(saved: dict[str, Any]) -> str:
    """How this machine's floor compares with the reference's, which the limits in nanoseconds come from."""
    floor = {name: ns for name, ns in Run(saved).floor().items() if name in REFERENCE_FLOOR_NS}
    if not floor:
        return "The floor could not be built: " + str(saved["no_floor"])
    here, there = sum(floor.values()), sum(REFERENCE_FLOOR_NS[name] for name in floor)
    return f"The floor of six messages is {here:.0f} ns here, {there} ns where the limits in nanoseconds come from."


def text(saved: dict[str, Any]) -> str:
    """Everything, for the terminal."""
    missing = [f"  {name}: {why}" for name, why in saved["missing"].items()]
    failures = [f"  {each['subject']}, {each['message']}: {each['error']}" for each in _failures(saved)]
    parts = [
        f"sipstack {saved['sipstack']}, {machine(saved)}\n{saved['corpus']}; {saved['rounds']} rounds. {pace(saved)}",
        _section("parse", _plain(messages_table(saved))),
        _section("to the plain implementation (1.00x); longer is slower", _plain(peers_table(saved))),
        _section("both implementations", _plain(groups_table(saved))),
        _section("memory: bytes beyond the message's own", _plain(memory_table(saved))) if saved["memory"] else "",
        _section("linear: nanoseconds a byte, worst growth first", _plain(linear_table(saved)[:16])),
        _section("dearest: the calls that cost most, each with its worst message", _plain(dearest_table(saved)[:25]))
        if saved.get("dearest")
        else "",
        _section("peers that cannot parse a message", "\n".join(failures)) if failures else "",
        _section("peers that are not here", "\n".join(missing)) if missing else "",
        _section("the limits", _plain(limits_table(saved))),
    ]
    return "\n\n".join(part for part in parts if part)


def _failures(saved: dict[str, Any]) -> list[dict[str, str]]:
    return [each for each in saved["failures"] if each["group"] == "parse"]


def _section(title: str, body: str) -> str:
    return f"== {title}\n{body}"


def _plain(table: Table) -> str:
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    padded = [[_pad(cell, widths[at], at) for at, cell in enumerate(row)] for row in table]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _pad(cell: str, width: int, at: int) -> str:
    number = cell[:1].isdigit() and at
    return cell.rjust(width) if number else cell.ljust(width)


def _markdown(table: Table) -> str:
    head, *rows = table
    numeric = [all(row[at][:1].isdigit() or row[at] == "-" for row in rows) for at in range(len(head))]
    rule = ["---:" if number else "---" for number in numeric]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def markdown(saved: dict[str, Any]) -> str:
    """The tables of docs/performance.md."""
    missing = f"Not here: {', '.join(saved['missing'])}." if saved["missing"] else ""
    parts = [
        f"sipstack {saved['sipstack']}, {machine(saved)}; {saved['corpus']}, {saved['rounds']} rounds. {pace(saved)}",
        "### The limits\n\n" + _markdown(limits_table(saved)),
        "### Parse, message by message\n\n" + _markdown(messages_table(saved)),
        "### Against the other parsers\n\nHow many times as long as the plain implementation, over the messages both "
        "can do.\n\n" + _markdown(peers_table(saved)),
        missing,
        "### Both implementations\n\n" + _markdown(groups_table(saved)),
        "### Memory\n\nBytes beyond the message's own.\n\n" + _markdown(memory_table(saved)),
        "### Worst inputs\n\nNanoseconds a byte, the ten that grow most.\n\n" + _markdown(linear_table(saved)[:11]),
    ]
    return "\n\n".join(part for part in parts if part)


def write_docs(path: Path, saved: dict[str, Any]) -> None:
    """Puts the tables between the two marks of a page."""
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the table: {BEGIN} ... {END}")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(saved)}\n\n{END}{after}", encoding="utf-8")
