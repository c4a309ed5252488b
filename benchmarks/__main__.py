"""`python -m benchmarks`: measure, print the table, save it, draw it, compare two runs."""

import argparse
import json
import logging
import os
import platform
import sys
import sysconfig
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

from sipstack.methods import COMPACT_FORMS

from . import chart, compare, corpus, dearest, floor, linear, memory, report
from .cases import DEAREST, GROUPS, Case, implementations, own_cases, peer_cases, try_out
from .limits import lines
from .measure import FULL, QUICK, FloorTimer, Pace, clock, contest
from .peers import SCALE, Items, Peer
from .peers import load as load_peers


def main() -> int:
    """The command line."""
    options = arguments()
    if options.compare:
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in options.compare]
        table, slower = compare.compare(runs[::2], runs[1::2], options.fail_over)
        print(table)
        return int(slower)
    saved = json.loads(options.saved.read_text(encoding="utf-8")) if options.saved else run(options)
    if options.json:
        options.json.write_text(json.dumps(saved, indent=1), encoding="utf-8")
    if options.chart:
        options.chart.write_text(chart.draw(saved), encoding="utf-8")
    if options.docs:
        report.write_docs(options.docs, saved)
    if not (options.chart or options.docs) or not options.saved:
        print(report.text(saved))
    return int(options.strict and not all(line.kept for line in lines(saved)))


def arguments() -> argparse.Namespace:
    """What the command is told."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--messages", type=Path, default=corpus.OWN, metavar="DIR", help="another folder with the nine messages")
    add("--quick", action="store_true", help="a few short rounds: shows that everything runs, not how fast")
    add("--rounds", type=int, help=f"rounds of each contest (default {FULL.rounds})")
    groups = [*GROUPS, DEAREST]
    add("--groups", nargs="+", choices=groups, default=groups, metavar="GROUP", help=", ".join(groups))
    add(
        "--times-only",
        action="store_true",
        help="neither peers nor memory nor worst inputs nor the dearest: for --compare",
    )
    add("--json", type=Path, metavar="FILE", help="save the run")
    add("--from", dest="saved", type=Path, metavar="FILE", help="a saved run instead of measuring")
    add("--chart", type=Path, metavar="SVG", help="draw the run")
    add("--docs", type=Path, metavar="MD", help="put the tables into a page")
    add("--compare", nargs="+", type=Path, metavar="FILE", help="saved runs: BASE HEAD, or several such pairs")
    add("--fail-over", type=float, default=1.25, metavar="X", help="with --compare: fail at X times the base (1.25)")
    add("--strict", action="store_true", help="fail where a limit is missed")
    options = parser.parse_args()
    if len(options.compare or ()) % 2:
        parser.error("--compare takes pairs: BASE HEAD")
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures everything."""
    pace = QUICK if options.quick else Pace(options.rounds or FULL.rounds, FULL.seconds)
    messages = corpus.load(options.messages)
    peers, missing = ([], {}) if options.times_only else load_peers()
    cases = [case for name, module in implementations().items() for case in own_cases(name, module, messages)]
    ours, _ = try_out(cases)
    if len(ours) < len(cases):
        raise RuntimeError("one of our own cases does not work")
    theirs, failures = try_out([case for peer in peers for case in peer_cases(peer, messages)])
    timer, no_floor = floor_timer()
    compared = [case for case in ours + theirs if case.group in options.groups]
    whole = set(options.groups) >= set(GROUPS) and not options.times_only
    searched = DEAREST in options.groups and not options.times_only
    return {
        "sipstack": version("sipstack") if _installed("sipstack") else "source",
        "python": interpreter(),
        "machine": machine(),
        "corpus": "own messages" if options.messages == corpus.OWN else "the messages given",
        "rounds": pace.rounds,
        "clock": clock.__name__,
        "messages": {name: about(raw) for name, raw in messages.items()},
        "no_floor": no_floor,
        "own": {name: own(module, messages) for name, module in implementations().items()},
        "peers": {peer.name: about_peer(peer, messages, failures) for peer in peers},
        "missing": missing,
        "failures": failures,
        "results": contests(compared, messages, timer, pace),
        "memory": memory.measure(messages) if whole else [],
        "linear": linear.measure(1 if options.quick else 5) if whole else [],
        "dearest": dearest.measure(1 if options.quick else dearest.SECONDS) if searched else [],
    }


def contests(
    cases: list[Case], messages: dict[str, bytes], timer: FloorTimer | None, pace: Pace
) -> list[dict[str, Any]]:
    """Every group and message, one after the other."""
    order = {group: at for at, group in enumerate(GROUPS)}
    names = {name: at for at, name in enumerate(messages)}

    def key(case: Case) -> tuple[int, int]:
        return order[case.group], names[case.message]

    results = []
    for (group, message), found in groupby(sorted(cases, key=key), key):
        title = f"{list(GROUPS)[group]} {list(names)[message]}"
        if sys.stderr.isatty():
            print(f"\r{title:40}", end="", file=sys.stderr)
        results += contest(list(found), list(messages.values())[message], timer, pace)
    if sys.stderr.isatty():
        print(f"\r{'':40}\r", end="", file=sys.stderr)
    return results


def floor_timer() -> tuple[FloorTimer | None, str]:
    """The floor, or why there is none."""
    try:
        return floor.timer(), ""
    except floor.NoCompilerError as error:
        return None, str(error)


def about(raw: bytes) -> dict[str, int]:
    """Size and number of headers."""
    return {"bytes": len(raw), "headers": raw.partition(b"\r\n\r\n")[0].count(b"\n")}


def own(module: Any, messages: dict[str, bytes]) -> dict[str, Any]:
    """One of the two implementations, in the columns of the peers."""
    peer = Peer("sipstack", "", module.parse, lambda message: message.headers.items())
    return about_peer(peer, messages, [])


def about_peer(peer: Peer, messages: dict[str, bytes], failures: list[dict[str, str]]) -> dict[str, Any]:
    """What a peer is, what it cannot parse, whether it keeps what it reads, how much it refuses."""
    cannot = [each["message"] for each in failures if (each["subject"], each["group"]) == (peer.name, "parse")]
    scale = peer.kind == SCALE
    return {
        "version": peer.version,
        "kind": peer.kind,
        "cannot": cannot,
        "keeps": keeps(peer, {name: raw for name, raw in messages.items() if name not in cannot}),
        "refuses": None if scale else refuses(peer),
    }


def keeps(peer: Peer, messages: dict[str, bytes]) -> str:
    """Whether every header comes out that went in."""
    if peer.items is None:
        return "-"
    worst = 0
    for raw in messages.values():
        went_in, came_out = pairs_of(raw), normal(peer.items(peer.parse(raw)))
        if came_out != went_in:
            worst = max(worst, 1 if parts(came_out) == parts(went_in) else 2)
    return ("all, in order", "all, reordered", "loses some")[worst]


def pairs_of(raw: bytes) -> Items:
    """The headers of a message that is known to have neither folds nor spaces before a colon."""
    head = raw.partition(b"\r\n\r\n")[0].decode()
    return normal([tuple(line.split(":", 1)) for line in head.split("\r\n")[1:]])


def normal(items: Items) -> Items:
    """Long names in lower case, trimmed values; without Content-Length, which some keep elsewhere."""
    short = {name.lower(): long.lower() for name, long in COMPACT_FORMS.items()}
    named = [(short.get(name.lower(), name.lower()), str(value).strip()) for name, value in items]
    return [pair for pair in named if pair[0] != "content-length"]


def parts(items: Items) -> Counter[tuple[str, str]]:
    """The same whether a list of values stands in one header or in several."""
    return Counter((name, part.strip()) for name, value in items for part in value.split(","))


def refuses(peer: Peer) -> int | None:
    """How many malformed messages it notices; None where it does not take the well-formed one."""
    try:
        peer.parse(corpus.WELL_FORMED)
    except Exception:  # whatever a peer raises
        return None
    return sum(_is_refused(peer, raw) for raw in corpus.malformed().values())


def _is_refused(peer: Peer, raw: bytes) -> bool:
    try:
        peer.parse(raw)
    except Exception:  # whatever a peer raises
        return True
    return False


def interpreter() -> dict[str, Any]:
    """Which Python this is, and how it was built: that alone makes a difference of up to 1.7 times."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS"))  # a distribution's own rules do not show there
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "compiler": platform.python_compiler(),
        "profile_guided": "--enable-optimizations" in flags,
        "link_time": "--with-lto" in flags,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


def machine() -> dict[str, Any]:
    """The machine in general terms."""
    return {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()}


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
