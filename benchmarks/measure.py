"""Timing: many short rounds, in each of them the floor and every subject one after the other.

A ratio is taken inside a round, where both sides had the same machine, and its median over the rounds is what counts.
Times are of the thread's own processor clock, so that other programs on the machine do not enter; the best round of a
case is its absolute time. The garbage collector is off while the clock runs, as `timeit` does it.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .cases import Case

clock = time.thread_time if time.get_clock_info("thread_time").resolution <= 1e-6 else time.perf_counter


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    seconds: float  # a subject, a round


FULL = Pace(60, 0.001)
QUICK = Pace(3, 0.0002)

FloorTimer = Callable[[bytes, int], float]


def seconds_of(function: Callable[[Any], Any], inputs: Iterable[Any]) -> float:
    """How long the calls take, with the loop around them."""
    start = clock()
    for each in inputs:
        function(each)
    return clock() - start


def calibrate(case: Case, seconds: float) -> int:
    """How many calls take about that long."""
    count = 1
    while True:
        inputs = case.inputs(count)
        taken = seconds_of(case.function, inputs)
        if case.before is not None or taken >= seconds / 4 or count >= 1 << 20:
            return max(1, int(count * seconds / max(taken, 1e-9)))
        count *= 4


def one_round(case: Case, count: int) -> float:
    """Seconds a call, over `count` calls."""
    if case.before is None:
        return seconds_of(case.function, case.inputs(count)) / count
    taken, done = 0.0, 0
    while done < count:
        inputs = case.inputs(count)
        taken += seconds_of(case.function, inputs)
        done += len(inputs)
    return taken / done


def quartiles(values: list[float]) -> list[float]:
    """The three quartiles; of one value, three times that."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def contest(cases: list[Case], raw: bytes, floor: FloorTimer | None, pace: Pace) -> list[dict[str, Any]]:
    """Measures the cases of one group and message against each other and against the floor of that message."""
    counts = [calibrate(case, pace.seconds) for case in cases]
    floor_count = int(pace.seconds / 100e-9) if floor else 0
    times: list[list[float]] = [[] for _ in cases]
    floors: list[float] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(pace.rounds):
            if floor:
                floors.append(floor(raw, floor_count))
            for case, count, collected in zip(cases, counts, times, strict=True):
                collected.append(one_round(case, count) * 1e9)
    finally:
        gc.enable()
    return [_result(case, collected, floors) for case, collected in zip(cases, times, strict=True)]


def _result(case: Case, times: list[float], floors: list[float]) -> dict[str, Any]:
    low, median, high = quartiles(times)
    result: dict[str, Any] = {
        "group": case.group,
        "subject": case.subject,
        "message": case.message,
        "ns": {"best": min(times), "q1": low, "median": median, "q3": high},
    }
    if floors:
        low, median, high = quartiles([taken / floor for taken, floor in zip(times, floors, strict=True)])
        result["floor_ns"] = min(floors)
        result["ratio"] = {"q1": low, "median": median, "q3": high}
    return result


def geometric_mean(values: Iterable[float]) -> float:
    """The mean of ratios."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))
