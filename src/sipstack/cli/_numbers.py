"""Arguments that are numbers."""

import argparse
from collections.abc import Callable
from typing import TypeVar

_N = TypeVar("_N", int, float)


def between(kind: Callable[[str], _N], low: _N, high: _N, what: str = "a number") -> Callable[[str], _N]:
    """Reads an argument as a number from `low` to `high`, for argparse's `type`; `what` names it in the error."""

    def read(text: str) -> _N:
        try:
            if text.isascii() and "_" not in text and low <= (value := kind(text)) <= high:
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} ({low} to {high})")

    return read
