"""`growth`: code that grows too fast always fails, whatever the machine does, and code that does not never does."""

import gc
import random
from collections.abc import Callable

import growth
import pytest
from growth import assert_constant, assert_linear

RIGHT = {
    assert_linear: [lambda n: n, lambda n: 100_000 + n, lambda n: n * n.bit_length(), lambda n: n * (1 + (n > 5000))],
    assert_constant: [lambda n: 1, lambda n: n.bit_length(), lambda n: 100_000 + n],
}  # fmt: skip
WRONG = {
    assert_linear: [lambda n: n * n, lambda n: 1000 * n + n * n, lambda n: n**3],
    assert_constant: [lambda n: n, lambda n: 1000 + n],
}
SIZES = 1 << 12, 1 << 16


def cases(costs: dict[Callable[..., None], list[Callable[[int], float]]]) -> list[tuple[Callable[..., None], object]]:
    return [(check, cost) for check, some in costs.items() for cost in some]


class Machine:
    """A clock on which a run takes what `cost` says, times what else goes on."""

    def __init__(self, cost: Callable[[int], float], noise: Callable[[], float]) -> None:
        self.now, self.cost, self.noise = 0.0, cost, noise

    def prepare(self, size: int) -> Callable[[], None]:
        self.now += 1e6  # is not measured

        def work() -> None:
            self.now += self.cost(size) * self.noise()

        return work


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """Also under a sanitizer: these costs are what their clock says."""
    monkeypatch.setattr(growth, "SANITIZED", False)


NOISE = {
    "none": lambda: 1.0,
    "half as much again": lambda: random.uniform(1, 1.5),
    "another has the machine half of the time": lambda: random.choice([1.0, 4.0]),
    "spikes": lambda: random.choice([1.0, 1.0, 50.0]),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("check", "cost"), cases(WRONG))
def test_what_grows_too_fast_fails(check, cost, noise, monkeypatch):
    random.seed(1)
    for _ in range(20):
        machine = Machine(cost, NOISE[noise])
        monkeypatch.setattr(growth, "clock", lambda machine=machine: machine.now)
        with pytest.raises(AssertionError, match="the cost grows"):
            check(machine.prepare, *SIZES)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("check", "cost"), cases(RIGHT))
def test_what_does_not_passes(check, cost, noise, monkeypatch):
    random.seed(1)
    for _ in range(20):
        machine = Machine(cost, NOISE[noise])
        monkeypatch.setattr(growth, "clock", lambda machine=machine: machine.now)
        check(machine.prepare, *SIZES)


def test_real_code(monkeypatch):
    def copied_again_from_each_place(size):
        items = list(range(size))
        return lambda: sum(len(items[at:]) for at in range(size))

    def counted(size):
        data = b"a" * size
        return lambda: sum(1 for byte in data if byte == 98)

    def looked_up(size):
        keys = list(range(size))
        return lambda: [size in keys for _ in range(50)]

    assert_linear(counted)
    assert_constant(lambda size: lambda: [size in range(size) for _ in range(50)], 16, 16_000)
    monkeypatch.setattr(growth, "AT_MOST", 6)  # what fails does so however often it is run
    with pytest.raises(AssertionError):
        assert_linear(copied_again_from_each_place, 1 << 8, 1 << 12)
    with pytest.raises(AssertionError):
        assert_constant(counted, *SIZES)
    with pytest.raises(AssertionError):
        assert_constant(looked_up, 16, 16_000)


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_off_meanwhile(on):
    seen = set()
    before = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        assert_linear(lambda size: lambda: seen.add(gc.isenabled()) or sum(range(size)))
        with pytest.raises(ZeroDivisionError):
            assert_linear(lambda size: lambda: 1 / 0)
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == {False} if not on else {False, True}  # the first run is not measured
