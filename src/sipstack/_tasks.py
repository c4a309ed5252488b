"""Coroutine handlers in flight: a task for each that waits, in bounded number."""

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from ._address import ReturnAddress
from ._compat import load
from ._invites import Invite, Invites
from .errors import PROGRAM_ENDS
from .transport import running_loop

if TYPE_CHECKING:
    from ._dispatch_py import Dispatcher
    from ._first_steps_py import FirstSteps
    from .message import Message
    from .transport import Address
else:
    FirstSteps = load("_first_steps").FirstSteps

_SWEPT: Final = 16
"""How many tasks may be looked at for a request that is refused."""


class Tasks:
    """The tasks of a dispatcher's coroutine handlers.

    Attributes:
        loop: where they run; without one none is started.
        invites: those of them that a CANCEL may be for.
        started: the task of the handler that was started last.
        awaited: how many coroutine handlers somebody else waits for.
    """

    def __init__(self, dispatcher: "Dispatcher", limit: int) -> None:
        self._dispatcher = dispatcher
        self._limit = limit
        self._tasks: dict[Coroutine[Any, Any, Any], asyncio.Task[None]] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.invites = Invites()
        self.started: asyncio.Task[None] | None = None
        self.awaited = 0
        self._refusals = 0  # those that are to come before it is worth another look for tasks that ended

    def __len__(self) -> int:
        # One that somebody else cancelled before it began has ended, and has not signed off.
        return sum([not task.done() for task in self._tasks.copy().values()]) + self.awaited

    def admit(self, work: Awaitable[Any]) -> Coroutine[Any, Any, Any] | None:
        """What a handler returned, as a coroutine. None where there is no loop or `limit` of them are in flight."""
        coroutine: Coroutine[Any, Any, Any] = work if type(work) is CoroutineType else _wait_for(work)
        if self.loop is None or (len(self._tasks) >= self._limit and not self._make_room()):
            coroutine.close()
            return None
        return coroutine

    def first_steps(self) -> "FirstSteps | None":
        """What takes first steps until this callback of the loop ends; None where each is to be a task's."""
        loop = self.loop
        if loop is None or running_loop() is not loop or asyncio.current_task(loop) or loop.get_task_factory():
            return None
        return FirstSteps(loop)

    def start(
        self,
        steps: "FirstSteps | None",
        request: "Message",
        coroutine: Coroutine[Any, Any, Any],
        addr: "Address",
        target: "Address | None",
        data: bytes,
        invite: Invite | None,
    ) -> None:
        """Makes a task of a coroutine; of the rest of it where `steps` have taken its first."""
        assert self.loop is not None
        work = coroutine if steps is None else steps.rest(coroutine)
        follow = self._follow(request, coroutine, work, addr, target, data, invite)
        task = self.loop.create_task(follow) if steps is None else steps.go_on(follow)
        self.started = task
        if not task.done():
            self._tasks[coroutine] = task
            if invite is not None:
                invite.task = task
        if steps is None:
            if type(addr) is ReturnAddress:  # who had it received may cancel it before it begins
                task.add_done_callback(partial(self._forget, coroutine, invite))
        elif invite is not None and invite.cancelled:  # by its own first step, when there was no task to cancel
            task.cancel()

    def _forget(self, coroutine: Coroutine[Any, Any, Any], invite: Invite | None, _: object = None) -> None:
        self._tasks.pop(coroutine, None)
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()
        if invite is not None:
            self.invites.remove(invite)

    def _make_room(self) -> bool:
        """Forgets tasks that somebody else cancelled before they began, which is why they did not sign off.

        That looks at all of them, so it is not done for each request that is refused.
        """
        if self._refusals:
            self._refusals -= 1
            return False
        if self._sweep():
            return True
        self._refusals = self._limit // _SWEPT
        return False

    def _sweep(self) -> bool:
        ended = [coroutine for coroutine, task in self._tasks.items() if task.done()]
        for coroutine in ended:
            self._forget(coroutine, None)
        if ended:
            self.invites.sweep()
        return bool(ended)

    async def _follow(
        self,
        request: "Message",
        coroutine: Coroutine[Any, Any, Any],
        work: Awaitable[Any],
        addr: "Address",
        target: "Address | None",
        data: bytes,
        invite: Invite | None,
    ) -> None:
        """The rest of a request whose handler is a coroutine. A done callback would cost another turn of the loop."""
        try:
            if invite is not None and invite.cancelled and work is coroutine:  # before it began
                coroutine.close()
                raise asyncio.CancelledError
            result = await work
            if result is not None:
                self._dispatcher.finish(request, result, addr, target, data)
        except asyncio.CancelledError as error:
            if invite is None or not invite.cancelled:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self._dispatcher.fail(request, addr, error, data)  # nobody has cancelled it: it is the handler's own
                return
            if not invite.answered:
                # The request as it came: the handler may have edited the other.
                self._dispatcher.terminate(invite.asked, addr, len(data))
        except PROGRAM_ENDS:
            raise
        except BaseException as error:
            if is_closed_by(error):
                raise
            self._dispatcher.fail(request, addr, error, data)
        finally:
            self._tasks.pop(coroutine, None)
            if invite is not None:
                self.invites.remove(invite)

    def end_invite(self, cancel: "Message", host: str) -> list[Invite]:
        """Cancels the handler of the INVITE that a CANCEL is for (RFC 3261 9.2), and of its retransmissions.

        It is cancelled once, with the CANCEL as the argument of its CancelledError; one that has not begun never will.
        One that has sent a final response with `respond` goes on.
        """
        found = self.invites.of_cancel(cancel, host)
        for invite in found:
            if not invite.cancelled and not invite.answered:
                invite.cancelled = True
                if invite.task is not None and inspect.getcoroutinestate(invite.coroutine) != inspect.CORO_CREATED:
                    invite.task.cancel(cancel)
        return found

    def cancel(self) -> None:
        """Cancels them all, but for the one that calls this."""
        never = False
        for coroutine, task in self._others():
            task.cancel()
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()  # it will never begin, and Python would complain that nobody awaited it
                never = True
        if never and self.loop is not None:
            self.loop.call_soon(self._sweep)

    async def wait(self, seconds: float | None = None) -> int:
        """Waits until all have ended but the one that calls this, so long at most; returns how many have not."""
        others = [task for _, task in self._others()]
        if not others:
            return 0
        _, late = await asyncio.wait(others, timeout=seconds)
        return len(late)

    def _others(self) -> list[tuple[Coroutine[Any, Any, Any], asyncio.Task[None]]]:
        own = asyncio.current_task(self.loop) if self.loop is not None else None
        return [(coroutine, task) for coroutine, task in self._tasks.items() if task is not own]


def is_closed_by(error: BaseException) -> bool:
    """Whether the coroutine that caught this is being closed: that raises in its own frame, and in none below it."""
    return isinstance(error, GeneratorExit) and error.__traceback__ is not None and not error.__traceback__.tb_next


async def _wait_for(work: Awaitable[Any]) -> Any:
    return await work
