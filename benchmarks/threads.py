"""`python -m benchmarks.threads`: how far two threads come in the time of one, on a free-threaded Python.

2.0 is twice as far. A case that stays near 1.0 has its threads wait for each other, at a lock or at a word that both
write. Each thread has messages of its own: what is shared is what the package and Python share. With a GIL all is 1.0.
The machine needs two cores that nobody else uses: what is shown is the best of some rounds.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable

from sipstack import IMPLEMENTATION, parse

from . import corpus

Loop = Callable[[bytes, int], None]


def only_parse(raw: bytes, count: int) -> None:
    for _ in range(count):
        parse(raw)


def read(raw: bytes, count: int) -> None:
    for _ in range(count // 4):
        message = parse(raw)
        message.via, message.from_, message.to, message.cseq, message.call_id  # noqa: B018


def answer(raw: bytes, count: int) -> None:
    for _ in range(count // 4):
        parse(raw).reply(200).to_bytes()


def forward(raw: bytes, count: int) -> None:
    for _ in range(count // 4):
        message = parse(raw)
        message.stamp_received("192.0.2.1", 5060)
        message.decrement_max_forwards()
        message.push_via("SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1")
        message.to_bytes()


CASES: dict[str, Loop] = {"parse": only_parse, "read": read, "answer": answer, "forward": forward}


def seconds(loop: Loop, raw: bytes, count: int, threads: int) -> float:
    """How long so many threads take, each for the whole loop."""
    start = threading.Barrier(threads + 1)

    def run(own: bytes) -> None:
        start.wait()
        loop(own, count)

    started = [threading.Thread(target=run, args=(bytes(bytearray(raw)),)) for _ in range(threads)]
    for thread in started:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in started:
        thread.join()
    return time.perf_counter() - begin


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000, help="messages a thread parses in a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    raw = corpus.load()["invite"]
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, {IMPLEMENTATION}; with a GIL: {gil}")
    for name, loop in CASES.items():
        turns = [[seconds(loop, raw, options.count, threads) for threads in (1, 2)] for _ in range(options.rounds)]
        alone, both = (min(times) for times in zip(*turns, strict=True))
        print(f"{name:8} {alone / options.count * 1e9:7.0f} ns of one thread, {2 * alone / both:5.2f} as far with two")


if __name__ == "__main__":
    main()
