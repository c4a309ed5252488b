"""Arguments that are numbers."""

import argparse
from collections.abc import Callable
from typing import TypeVar

_N = TypeVar("_N", int, float)


def between(kind: Callable[[str], _N], low: _N, high: _N) -> Callable[[str], _N]:
    """Reads an argument as a number from `low` to `high`, for argparse's `type`."""

    def read(text: str) -> _N:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}")
        return value

    read.__name__ = kind.__name__  # argparse says "invalid int value" with it
    return read
