"""`python -m benchmarks.built`: that the compiled modules which are installed were built to be fast.

Flags are easily lost on the way to a wheel, and no other test sees it: without -O a parse takes ten times as long, and
without -DNDEBUG there are asserts in it. Exits with an error that says which it is.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .corpus import load
from .measure import clock

MODULES = ("_parser", "_dispatch", "_udp") if sys.platform.startswith("linux") else ("_parser", "_dispatch")
ASSERTS = (b"__assert_fail", b"__assert_rtn", b"_wassert")  # what a failing assert calls: Linux, macOS, Windows
BOUND = 2.5
"""Of parsing to counting the lines with memchr, as `bytes.count` does it: 0.5 to 0.8 with -O2, 6 to 10 without."""


def least(call: Callable[[bytes], object], messages: list[bytes]) -> float:
    """Seconds that the calls take, in the best of many short rounds."""

    def one() -> float:
        start = clock()
        for message in messages:
            call(message)
        return clock() - start

    return min(one() for _ in range(50))


def faults() -> list[str]:
    """What is wrong with the modules, and the ratio that was measured."""
    found = []
    for name in MODULES:
        path = Path(str(import_module(f"sipstack.{name}").__file__))
        found += [f"{path.name} has asserts in it" for call in ASSERTS if call in path.read_bytes()]
    messages = [message for message in load().values() for _ in range(20)]
    floor = least(lambda message: message.count(b"\n"), messages)
    ratio = least(import_module("sipstack._parser").parse, messages) / floor
    print(f"a parse takes {ratio:.1f} times as long as counting the lines (at most {BOUND})")
    return found + ([f"parsing is slow: {ratio:.1f} > {BOUND}"] if ratio > BOUND else [])


if __name__ == "__main__":
    sys.exit("\n".join(faults()) or None)
