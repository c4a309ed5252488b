"""The first steps of coroutine handlers, taken in place: who waits for nothing needs no task and no turn.

These were 24,000 of the 40,000 instructions of such an answer; it takes 23,000 now, one of a plain function 16,000.
Python 3.12's eager tasks save the turn alone. The same source is compiled as `_first_steps`, with `_first_steps.pxd`.
"""

import asyncio
from asyncio import CancelledError
from asyncio.tasks import _enter_task, _leave_task  # "Extending asyncio" in Python's documentation
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any

_NONE: Any = None


class Begun:
    """What is awaited to go on with a coroutine behind its first step, which ended with `waits_for`."""

    __slots__ = ("coroutine", "waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self.coroutine = coroutine
        self.waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self.waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                try:
                    waits_for = self.coroutine.throw(error)
                except StopIteration as ended:
                    return ended.value
            else:
                return (yield from self.coroutine.__await__())


class Later(Coroutine[Any, Any, None]):
    """What a task runs that was made before it was known what: the coroutine it is given, if any, before it begins."""

    __slots__ = ("coroutine", "has_begun")

    def __init__(self) -> None:
        self.coroutine: Coroutine[Any, Any, None] = _NONE
        self.has_begun = False

    def send(self, value: Any) -> Any:
        if self.coroutine is None:
            raise StopIteration
        self.has_begun = True
        return self.coroutine.send(value)

    def throw(self, error: Any, *more: Any) -> Any:
        """The task was cancelled. Where that was before it began, what it waits for is cancelled, as any task does."""
        if self.coroutine is None:
            raise error
        if not self.has_begun:
            waits_for = self.send(None)
            cancel = getattr(waits_for, "cancel", None)  # None: it gave way for a turn
            if cancel is not None and cancel(*error.args):
                return waits_for
        return self.coroutine.throw(error, *more)

    def close(self) -> None:
        if self.coroutine is not None:
            self.coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("for a task alone")


class FirstSteps:
    """Takes first steps for the length of one callback of the running loop, in which no task runs.

    One task stands for them all: it is the current one, and begins with the loop's next turn. It goes on with the first
    coroutine that waits; another takes its place then, and where a step has left anything behind in it.

    Attributes:
        result: what the coroutine returned that ended with its first step.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.result: Any = None
        self.waits_for: Any = None
        self.task: asyncio.Task[None] = _NONE

    def renew(self) -> None:
        self.before, self.context = copy_context(), copy_context()
        self.later = Later()
        self.task = asyncio.Task(self.later, loop=self.loop, name="sipstack handler", context=self.context)

    def take(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Takes a first step; whether the coroutine has ended with it. Raises what that raises."""
        if self.task is None or self.task.cancelling() or self.context != self.before:
            self.renew()
        _enter_task(self.loop, self.task)
        try:
            self.waits_for = self.context.run(coroutine.send, None)
        except StopIteration as ended:
            self.result = ended.value
            return True
        except CancelledError:
            if not self.task.cancelling():
                raise
            self.result = None  # it has cancelled itself, and is not answered
            return True
        finally:
            _leave_task(self.loop, self.task)
        return False

    def rest(self, coroutine: Coroutine[Any, Any, Any]) -> Begun:
        """The rest of the coroutine that waits."""
        return Begun(coroutine, self.waits_for)

    def go_on(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """The task, which runs this coroutine; the next step has another."""
        task = self.task
        self.later.coroutine = coroutine
        self.task = _NONE
        return task
