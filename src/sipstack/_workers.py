"""Worker processes: a parent that forks them, replaces those that die, and ends them all."""

import contextlib
import logging
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Final

_logger = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LONG_LIFE: Final = 10.0  # seconds; a worker that lived this long is replaced at once
_FIRST_PAUSE: Final = 0.1  # seconds before the second replacement in a row; doubled for each further one
_LONGEST_PAUSE: Final = 5.0
_SERVED_PAUSE: Final = 0.1  # the longest for one that had served: see Supervisor.note_serving


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """SIGNALS wait until `let_signals_in`, or until the end of the block. For a main thread; others take none.

    So what is begun and ended in the block may be told to stop at any moment, and never in the middle of a step. Those
    that come after `hold_signals` are for what ends already.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        if hasattr(signal, "sigtimedwait"):
            while signal.sigtimedwait(SIGNALS, 0) is not None:
                pass
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def let_signals_in() -> None:
    """There is somebody now who takes SIGNALS."""
    _mask_signals("SIG_UNBLOCK")


def hold_signals() -> None:
    """Nobody takes SIGNALS any more."""
    _mask_signals("SIG_BLOCK")


def _mask_signals(how: str) -> None:
    if hasattr(signal, "pthread_sigmask") and threading.current_thread() is threading.main_thread():
        signal.pthread_sigmask(getattr(signal, how), SIGNALS)


def require_support() -> None:
    """Raises RuntimeError where workers cannot be had, with the reason."""
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        raise RuntimeError("workers need fork and SO_REUSEPORT, which this system does not have")
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("workers are started from the main thread, which gets the signals")


@dataclass(slots=True)
class _Child:
    """One place for a worker: who has it, and when it is to be filled again."""

    pid: int = 0
    born: float = 0.0
    due: float | None = 0.0  # None while somebody is there
    short_lives: int = 0

    def pause(self, longest: float) -> float:
        """Seconds to wait before the next one is started."""
        if self.short_lives < 2:
            return 0.0
        return min(longest, _FIRST_PAUSE * 2.0 ** min(self.short_lives - 2, 16))


@dataclass
class Supervisor:
    """Keeps `count` forked workers alive until SIGINT or SIGTERM, which are held when it runs.

    Attributes:
        count: how many.
        work: the worker's life; gets its place (0 to count - 1) and a descriptor that is readable when the parent ends.
            SIGNALS are blocked when it begins.
        on_death: called with the place of a worker that is gone, before another one takes it.
        on_tick: called every `tick` seconds.
        tick: seconds.
        grace: seconds that workers get to end by themselves when they are asked to.
    """

    count: int
    work: Callable[[int, int], None]
    on_death: Callable[[int], None]
    on_tick: Callable[[], None]
    tick: float
    grace: float

    def __post_init__(self) -> None:
        self._children = [_Child() for _ in range(self.count)]
        self._served = mmap.mmap(-1, self.count)  # shared: a byte for each place, whether its worker got so far
        self._stopping = False

    def run(self) -> None:
        """Returns when every worker has ended."""
        self._lifeline, self._lifeline_end = os.pipe()
        self._wake, self._wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_end, False)
        old = {number: signal.signal(number, self._on_signal) for number in (*SIGNALS, signal.SIGCHLD)}
        old_wakeup = signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        let_signals_in()
        try:
            self._watch()
        finally:
            hold_signals()
            self._end_all()
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in old.items():
                signal.signal(number, handler)
            for descriptor in (self._lifeline, self._lifeline_end, self._wake, self._wake_end):
                os.close(descriptor)

    def note_serving(self, index: int) -> None:
        """To be called in a worker that is ready to serve.

        One that dies before that, or by an exception, would do it again and again: it is replaced with growing pauses.
        One that dies while it serves has met something that killed it, and is missed: in a long pause more of that
        would gather in its socket, and kill the next one at once.
        """
        self._served[index] = 1

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number in SIGNALS:
            self._stopping = True

    def _watch(self) -> None:
        next_tick = 0.0
        while not self._stopping:
            now = time.monotonic()
            for index, child in enumerate(self._children):
                if child.due is not None and child.due <= now:
                    self._fork(index)
            due = [child.due for child in self._children if child.due is not None]
            self._sleep(min([next_tick, *due]) - time.monotonic())
            self._reap()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + self.tick
                self.on_tick()

    def _sleep(self, seconds: float) -> None:
        """Until a signal comes, or that long."""
        if select.select([self._wake], [], [], max(0.0, seconds))[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)

    def _fork(self, index: int) -> None:
        child = self._children[index]
        # A signal between the fork and the child's own handlers must not be taken for the parent's.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_worker(index)
        except OSError as error:  # no process or no memory left: the others serve, and there may be some again
            child.short_lives = max(child.short_lives, 1) + 1
            pause = child.pause(_LONGEST_PAUSE)
            child.due = time.monotonic() + pause
            _logger.error("worker %d could not be started, tried again in %.1f s: %s", index, pause, error)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        child.pid, child.born, child.due = pid, time.monotonic(), None
        _logger.info("worker %d is process %d", index, pid)

    def _be_worker(self, index: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for descriptor in (self._lifeline_end, self._wake, self._wake_end):
                os.close(descriptor)
            self.work(index, self._lifeline)  # it lets SIGNALS in when it can drain
            code = 0
        except KeyboardInterrupt:
            code = 0  # a SIGINT on a loop that takes no signals
        except BaseException:
            self._served[index] = 0
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Takes note of workers that have ended, and when their places are to be filled."""
        for index, child in enumerate(self._children):
            if child.due is not None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            self.on_death(index)
            now = time.monotonic()
            child.short_lives = 0 if now - child.born >= _LONG_LIFE else child.short_lives + 1
            pause = child.pause(_SERVED_PAUSE if self._served[index] else _LONGEST_PAUSE)
            self._served[index] = 0
            child.due = now + pause
            if not self._stopping:
                code = os.waitstatus_to_exitcode(status)
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                _logger.warning("worker %d (process %d) ended with %s, replaced in %.1f s", index, pid, how, pause)

    def _end_all(self) -> None:
        """Asks the workers to end, and makes them where they do not in time."""
        self._stopping = True
        self._signal_all(signal.SIGTERM)
        end = time.monotonic() + self.grace
        while self._alive() and time.monotonic() < end:
            self._sleep(min(0.5, end - time.monotonic()))
            self._reap()
        if self._alive():
            _logger.error("workers did not end in %.1f s and are killed", self.grace)
            self._signal_all(signal.SIGKILL)
            while self._alive():
                self._sleep(0.1)
                self._reap()

    def _alive(self) -> bool:
        return any(child.due is None for child in self._children)

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.due is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)
