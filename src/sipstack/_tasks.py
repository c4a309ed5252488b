"""Coroutine handlers in flight: one task each, in bounded number."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Coroutine
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from ._address import ReturnAddress
from ._invites import Invite, Invites
from .methods import INVITE

if TYPE_CHECKING:
    from ._dispatch_py import Dispatcher
    from .message import Message
    from .transport import Address

_EAGER: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
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
        self._cancellable = INVITE if dispatcher.config.answer_cancel else ""
        self._tasks: dict[Coroutine[Any, Any, Any], asyncio.Task[None]] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.invites = Invites()
        self.started: asyncio.Task[None] | None = None
        self.awaited = 0
        self._refusals = 0  # those that are to come before it is worth another look for tasks that ended

    def __len__(self) -> int:
        # One that somebody else cancelled before it began has ended, and has not signed off.
        return sum([not task.done() for task in self._tasks.copy().values()]) + self.awaited

    def start(
        self, request: "Message", work: Awaitable[Any], addr: "Address", target: "Address | None", data: bytes
    ) -> bool:
        """Makes a task of what a handler returned. False where there is no loop or `limit` of them are in flight."""
        coroutine: Coroutine[Any, Any, Any] = work if type(work) is CoroutineType else _wait_for(work)
        loop = self.loop
        if loop is None or (len(self._tasks) >= self._limit and not self._make_room()):
            coroutine.close()
            return False
        invite = self.invites.add(request, addr[0], coroutine) if request.method == self._cancellable else None
        follow = self._follow(request, coroutine, addr, target, data, invite)
        if loop.get_task_factory() is None:
            # What loop.create_task does, without a Python frame and without making up a name. On Python 3.12 and up
            # one that waits for nothing is over when this returns, and its response leaves with the batch.
            task = asyncio.Task(follow, loop=loop, name="sipstack handler", **_EAGER)
        else:
            task = loop.create_task(follow)
        self.started = task
        if not task.done():
            self._tasks[coroutine] = task
            if invite is not None:
                invite.task = task
            if type(addr) is ReturnAddress:  # who had it received may cancel it before it begins
                task.add_done_callback(partial(self._forget, coroutine, invite))
        return True

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
            coroutine.close()
            del self._tasks[coroutine]
        if ended:
            self.invites.sweep()
        return bool(ended)

    async def _follow(
        self,
        request: "Message",
        coroutine: Coroutine[Any, Any, Any],
        addr: "Address",
        target: "Address | None",
        data: bytes,
        invite: Invite | None,
    ) -> None:
        """The rest of a request whose handler is a coroutine. A done callback would cost another turn of the loop."""
        try:
            if invite is not None and invite.cancelled:  # before it began
                coroutine.close()
                raise asyncio.CancelledError
            result = await coroutine
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
        except Exception as error:
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


async def _wait_for(work: Awaitable[Any]) -> Any:
    return await work
