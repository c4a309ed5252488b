"""A logger that repeats itself only so often, and is never long: what an attacker can send must not fill the disk."""

import logging
import time
import traceback
from typing import Final

from ._printable import cut

_BURST: Final = 5
_INTERVAL: Final = 10.0  # seconds
_LINES: Final = 60  # of a traceback


def call_id_text(call_id: str | None) -> str:
    """How a log line says which Call-ID it is about."""
    return " without a Call-ID" if call_id is None else f" on Call-ID '{cut(call_id, 120)}'"


class LimitedLog:
    """Writes at most five records of one kind in ten seconds, and then how many it held back.

    A kind is the format string: the records of one place in the code count together, whatever their arguments. Each
    argument and each line of a traceback is `cut`; one that is a function is called where the record is written.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        # format: (start of the interval, written, held back, the level, the text of the last one that was written)
        self._kinds: dict[str, tuple[float, int, int, int, str]] = {}

    def log(self, level: int, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Writes a record, or counts it where its kind has had its share."""
        if not self._logger.isEnabledFor(level):
            return
        now = time.monotonic()
        began, written, held, _, text = self._kinds.get(message, (now, 0, 0, level, ""))
        if now - began >= _INTERVAL:
            self._report(held, level, text)
            began, written, held = now, 0, 0
        if written < _BURST:
            written += 1
            text = self._write(level, message, args, exc_info)
        else:
            held += 1
        self._kinds[message] = (began, written, held, level, text)

    def _write(self, level: int, message: str, args: tuple[object, ...], error: BaseException | None) -> str:
        """Hands a record to the logger, as its own `log` would; returns its text."""
        logger = self._logger
        file, line, function, _ = logger.findCaller(stacklevel=3)
        info = None if error is None else (type(error), error, error.__traceback__)
        record = logger.makeRecord(
            logger.name, level, file, line, message, tuple(_shown(arg) for arg in args), info, function
        )
        if error is not None:
            record.exc_text = _traceback(error)  # what a formatter would make at full length
        logger.handle(record)
        return record.getMessage()

    def flush(self, *, force: bool = False) -> None:
        """Reports what was held back in intervals that are over (with `force`, in all of them)."""
        now = time.monotonic()
        for message, (began, _, held, level, text) in list(self._kinds.items()):
            if force or now - began >= _INTERVAL:
                del self._kinds[message]
                self._report(held, level, text)

    def _report(self, held: int, level: int, text: str) -> None:
        if held:
            self._logger.log(level, "%d more like this were not logged: %s", held, text)


def _shown(arg: object) -> object:
    """An argument as a record may have it."""
    if isinstance(arg, int | float):
        return arg
    return cut(arg() if callable(arg) else arg)


def _traceback(error: BaseException) -> str:
    """As Python writes it. Further lines of an error's own text are indented: they might look like records."""
    lines: list[str] = []
    for part in traceback.format_exception(error):
        first, *rest = part.strip("\n").split("\n")
        lines += [first, *rest] if part.startswith("  File ") else [first, *[f"    {line}" for line in rest]]
    if len(lines) > _LINES:
        lines[_LINES // 2 : -_LINES // 2] = [f"... ({len(lines) - _LINES} lines)"]
    return "\n".join([cut(line) for line in lines])
