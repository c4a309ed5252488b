"""The groups under pytest-benchmark: `pytest benchmarks --benchmark-group-by=group`, needs the extra `bench`.

The peers that are installed stand beside both implementations, and the floor in the parse group. Here each case has the
machine to itself for a while; `python -m benchmarks` takes turns, and is what ratios are quoted from.
"""

import logging

import pytest

from . import corpus, floor
from .cases import COMPILED, GROUPS, PLAIN, Case, implementations, own_cases, peer_cases, try_out
from .peers import load

MESSAGES = corpus.load()
LABELS = {COMPILED: "cython", PLAIN: "python"}  # as the tests call them
READINGS = 1000  # a reading of the floor is shorter than a call


def cases() -> list[Case]:
    """Everybody's cases that work, group by group."""
    ours = [case for name, module in implementations().items() for case in own_cases(name, module, MESSAGES)]
    theirs, _ = try_out([case for peer in load()[0] for case in peer_cases(peer, MESSAGES)])
    order = list(GROUPS)
    return sorted(ours + theirs, key=lambda case: (order.index(case.group), case.message))


def _name(case: Case) -> str:
    return f"{case.group}-{case.message}-{LABELS.get(case.subject, case.subject)}"


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)  # some peers write a line for each message
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore")  # the peers' own
@pytest.mark.parametrize("case", cases(), ids=_name)
def test_group(benchmark, case):
    benchmark.group = f"{case.group} {case.message}"
    if case.before is None:
        benchmark(case.function, case.raw)
        return
    made = iter(())

    def fresh():
        nonlocal made
        each = next(made, None)
        if each is None:
            made = iter(case.inputs(64))
            each = next(made)
        return (each,), {}

    benchmark.pedantic(case.function, setup=fresh, rounds=2000)


@pytest.mark.parametrize("message", MESSAGES)
def test_floor(benchmark, message):
    try:
        read = floor.reader()
    except floor.NoCompilerError as error:
        pytest.skip(str(error))
    benchmark.group = f"parse {message}"
    benchmark.name = f"the floor, {READINGS} times"
    benchmark(read, MESSAGES[message], READINGS)
