"""Mutates messages, header values, edits and calls without end, and asserts that the two implementations agree.

    python fuzz/fuzz_agreement.py --seconds 60                 a minute, from a new seed (it is printed)
    python fuzz/fuzz_agreement.py --executions 1000000 --seed 7   the same million every time
    python fuzz/fuzz_agreement.py --only values                one of: messages, values, edits, calls

One execution is one input through both. What is asserted: the same Message or the same error; every slot of every
structured value; replies, stamps, pops and random edits with the same results and bytes; that an unedited message
leaves as it came; that what is written can be read again and means the same; that nothing but the package's own errors
is raised. No dependency. The messages of tests/torture are seeds too, and those of shared/corpus where it is beside the
repository.
"""

import argparse
import importlib
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

import agreement  # noqa: E402

TORTURE = REPOSITORY / "tests" / "torture"
CORPUS = REPOSITORY.parent / "shared" / "corpus"
CHUNK = 200  # executions between two looks at the clock; each chunk has a seed of its own


def seeds() -> list[bytes]:
    """Our own messages, and those of the corpus where it is."""
    files = [*sorted(TORTURE.glob("*.sip")), *sorted(CORPUS.rglob("*"))]
    found = [path.read_bytes() for path in files if path.is_file() and path.suffix != ".tsv" and path.name[0] != "."]
    return [*agreement.MESSAGES, *found]


def fuzz_messages(both: tuple[ModuleType, ModuleType], random: random.Random, corpus: list[bytes]) -> None:
    """Whole messages. A small part of them is compared in everything, the rest in what is cheap."""
    for _ in range(CHUNK):
        data = random.choice(corpus)
        data = agreement.mutate(random, data, random.choice(corpus), random.choice((1, 1, 1, 2, 3, 8)))
        limits = {"max_headers": random.randrange(20)} if random.random() < 0.02 else {}
        agreement.agree(both, data, deep=random.random() < 0.04, **limits)


def fuzz_values(both: tuple[ModuleType, ModuleType], random: random.Random, _: list[bytes]) -> None:
    """Structured values: Via, addresses, CSeq, URIs and the rest, slot by slot."""
    headers = ["Via", "Via", "From", "To", "CSeq", "URI", "URI", *agreement.VALUES]
    for _turn in range(CHUNK // 4):
        header = random.choice(headers)
        values = [value.encode() for value in agreement.VALUES["From" if header == "To" else header]]
        # The same value in several forms: what makes a difference is seldom far from what is usual.
        value = agreement.mutate(random, random.choice(values), random.choice(values), random.choice((0, 1, 1)))
        for turn in range(4):
            agreement.agree_on_value(both, header, agreement.mutate(random, value, random.choice(values), min(turn, 1)))


def fuzz_edits(both: tuple[ModuleType, ModuleType], random: random.Random, corpus: list[bytes]) -> None:
    """Sequences of edits. Long ones make the compiled core compact its text."""
    for _ in range(CHUNK // 10):
        data = random.choice(corpus)
        if random.random() < 0.3:
            data = agreement.mutate(random, data, random.choice(corpus), 1)
        length = 150 if random.random() < 0.02 else random.randrange(1, 12)
        agreement.agree_on_edits(both, data, [agreement.random_edit(random) for _ in range(length)])


def fuzz_calls(both: tuple[ModuleType, ModuleType], random: random.Random, corpus: list[bytes]) -> None:
    """Sequences of every public call, compared after each, with arguments of odd types, some of which edit."""
    for _ in range(CHUNK // 10):
        calls = [agreement.random_call(random) for _ in range(random.randrange(1, 16))]
        agreement.agree_on_calls(both, random.choice(corpus), calls)


TARGETS: dict[str, tuple[Callable[..., None], int, int]] = {
    "messages": (fuzz_messages, CHUNK, 5),
    "values": (fuzz_values, CHUNK, 3),
    "edits": (fuzz_edits, CHUNK // 10, 2),
    "calls": (fuzz_calls, CHUNK // 10, 2),
}
"""Each with the executions of a chunk and how many chunks it gets of twelve."""


def main() -> int:
    """Runs until the time or the executions are used up; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--executions", type=int, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=tuple(TARGETS))
    parser.add_argument("--keep-going", action="store_true", help="count findings and go on")
    options = parser.parse_args()
    if options.seconds is None and options.executions is None:
        options.seconds = 60.0
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    both = importlib.import_module("sipstack._parser"), importlib.import_module("sipstack._parser_py")
    print(f"seed {seed}, Python {sys.version.split()[0]}, compiled core {both[0].__file__}", flush=True)
    chosen = [name for name, (_, _, share) in TARGETS.items() if options.only in (None, name) for _ in range(share)]
    corpus = seeds()
    start = time.monotonic()
    executions = chunk = findings = 0
    reported = start
    while True:
        now = time.monotonic()
        if options.seconds is not None and now - start >= options.seconds:
            break
        if options.executions is not None and executions >= options.executions:
            break
        if now - reported >= 30:
            reported = now
            print(f"{executions} executions, {findings} findings, {now - start:.0f} s", flush=True)
        name = chosen[chunk % len(chosen)]
        target, count, _ = TARGETS[name]
        try:
            target(both, random.Random(f"{seed} {chunk}"), corpus)
        except Exception as error:
            findings += 1
            print(f"FOUND in {name}, seed {seed}, chunk {chunk}: {type(error).__name__}: {error}", flush=True)
            if not options.keep_going:
                raise
        executions += count
        chunk += 1
    seconds = time.monotonic() - start
    print(f"{executions} executions, {findings} findings, {seconds:.0f} s, {executions / seconds:.0f} a second")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
