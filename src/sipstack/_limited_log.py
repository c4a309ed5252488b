"""A logger that repeats itself only so often: what an attacker can make happen must not fill the disk."""

import logging
import time
from typing import Any, Final

_BURST: Final = 5
_INTERVAL: Final = 10.0  # seconds


class LimitedLog:
    """Writes at most five records of one kind in ten seconds, and then how many it held back.

    A kind is the format string: the records of one place in the code count together, whatever their arguments.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._kinds: dict[str, tuple[float, int, int]] = {}  # format: (start of the interval, written, held back)

    def log(self, level: int, message: str, *args: object, exc_info: Any = None) -> None:
        """Writes a record, or counts it where its kind has had its share."""
        if not self._logger.isEnabledFor(level):
            return
        now = time.monotonic()
        began, written, held = self._kinds.get(message, (now, 0, 0))
        if now - began >= _INTERVAL:
            self._report(message, held)
            began, written, held = now, 0, 0
        if written < _BURST:
            written += 1
            self._logger.log(level, message, *args, exc_info=exc_info, stacklevel=2)
        else:
            held += 1
        self._kinds[message] = (began, written, held)

    def flush(self, *, force: bool = False) -> None:
        """Reports what was held back in intervals that are over (with `force`, in all of them)."""
        now = time.monotonic()
        for message, (began, _, held) in list(self._kinds.items()):
            if force or now - began >= _INTERVAL:
                del self._kinds[message]
                self._report(message, held)

    def _report(self, message: str, held: int) -> None:
        if held:
            self._logger.warning("%d more like this were not logged: %s", held, message)
