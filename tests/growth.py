"""What a test says about cost: how it grows with the size of the input. No test asserts a time.

Between two sizes that lie far apart a cost is compared with itself, in CPU time of this thread, with the garbage
collector off. Whatever else the machine does only adds to that, so the least of several runs counts, and while it looks
bad the runs go on: code that grows too fast does so however often it is run. Under a sanitizer, which looks at each
allocation and keeps what is freed, costs are its own: there both sizes run once, for what it finds.
"""

import gc
import math
import os
import time
from collections.abc import Callable
from typing import TypeVar

Text = TypeVar("Text", str, bytes)
Prepare = Callable[[int], Callable[[], object]]
"""Gives, for a size, the work that is measured; what it does itself is not."""

_FINE = time.get_clock_info("thread_time").resolution < 1e-6
clock = time.thread_time if _FINE else time.perf_counter

AT_LEAST, AT_MOST = 3, 30  # rounds
SMALL_RUNS = 6  # of the small size a round: they cost next to nothing
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


def assert_linear(prepare: Prepare, small: int = 1 << 12, large: int = 1 << 16) -> None:
    """The cost grows as the size does; with its square it would fail, and with its logarithm beside it would not."""
    _assert_power(prepare, small, large, 4 / 3)  # a square beside what is linear shows less than 2


def assert_constant(prepare: Prepare, small: int, large: int) -> None:
    """The cost does not depend on the size; one that grows as the size does would fail."""
    _assert_power(prepare, small, large, 0.5)


def fill(piece: Text, size: int) -> Text:
    """As many of these bytes or characters as have room in the size."""
    return piece * (size // len(piece))


def _assert_power(prepare: Prepare, small: int, large: int, limit: float) -> None:
    """The cost grows slower than the size to the power of `limit`."""
    power = math.inf
    best = {small: math.inf, large: math.inf}
    prepare(small)()  # what is made once and kept is nobody's cost
    if SANITIZED:
        prepare(large)()
        return
    for done in range(AT_MOST):
        for size in [small] * SMALL_RUNS + [large]:
            best[size] = min(best[size], _cost(prepare(size)))
        power = math.log(best[large] / best[small], large / small)
        if done + 1 >= AT_LEAST and power < limit:
            return
    cost = " and ".join(f"{seconds * 1e6:.0f} us at {size}" for size, seconds in best.items())
    raise AssertionError(f"the cost grows with the size to the power of {power:.2f}: {cost}")


def _cost(work: Callable[[], object]) -> float:
    """Seconds that one run takes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        work()
        return max(clock() - start, 1e-9)
    finally:
        if was_on:
            gc.enable()
