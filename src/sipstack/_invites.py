"""INVITEs whose handlers are in flight, and how a CANCEL is matched to its INVITE (RFC 3261 9.2, 17.2.3)."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import HeaderError
from .message import Message
from .methods import INVITE

if TYPE_CHECKING:
    import asyncio

_Key: TypeAlias = tuple[str, ...]


class Invite:
    """One of them.

    Attributes:
        request: the INVITE, which the handler may edit.
        call_id: the Call-ID that it came with.
        coroutine: what its handler returned.
        task: what that runs in.
        answered: whether `respond` has sent its final response.
        cancelled: whether a CANCEL came before that.
    """

    __slots__ = ("_asked", "_host", "_key", "answered", "call_id", "cancelled", "coroutine", "request", "task")

    def __init__(self, request: Message, host: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.request = request
        self.call_id = request.call_id
        self.coroutine = coroutine
        self.task: asyncio.Task[None] | None = None
        self.answered = self.cancelled = False
        self._asked = request.copy()  # as it came; it shares the bytes
        self._host = host
        self._key: _Key | None = None

    def is_for(self, key: _Key) -> bool:
        """Whether it is what a CANCEL with this key is about."""
        if self._key is None:
            self._key = _key(self._asked, self._host)
        return self._key == key


class Invites:
    """All of them. A retransmission is one more, which the CANCEL is about as well.

    They are kept by their Call-ID, which costs an INVITE next to nothing, and which a CANCEL copies (9.1). The rest is
    looked at when there is one.
    """

    def __init__(self) -> None:
        self._by_call: dict[str | None, list[Invite]] = {}

    def add(self, request: Message, host: str, coroutine: Coroutine[Any, Any, Any]) -> Invite:
        """Takes note of an INVITE that came from this host."""
        invite = Invite(request, host, coroutine)
        self._by_call.setdefault(invite.call_id, []).append(invite)
        return invite

    def remove(self, invite: Invite) -> None:
        """Forgets one whose handler has ended; it may be forgotten already."""
        same = self._by_call.get(invite.call_id, [])
        if same == [invite]:
            del self._by_call[invite.call_id]
        elif invite in same:
            same.remove(invite)

    def sweep(self) -> None:
        """Forgets those whose tasks have ended without a word."""
        for same in list(self._by_call.values()):
            for invite in [*same]:
                if invite.task is not None and invite.task.done():
                    self.remove(invite)

    def note_final(self, request: Message) -> None:
        """Takes note that a final response to this request has been sent."""
        for invite in self._by_call.get(request.call_id, ()):
            invite.answered = invite.answered or invite.request is request

    def of_cancel(self, cancel: Message, host: str) -> list[Invite]:
        """Those that a CANCEL from this host is about."""
        same = self._by_call.get(cancel.call_id)
        key = _key(cancel, host) if same else ()
        return [invite for invite in same if invite.is_for(key)] if same and key else []


def _key(request: Message, host: str) -> _Key:
    """What an INVITE and its CANCEL have in common; nothing where that cannot be read.

    The key of the INVITE's transaction, and the host it came from: a CANCEL cannot be asked for credentials, and is to
    be accepted from the hop that sent the INVITE (22.1). The port is not compared, for a NAT may have changed it.
    """
    try:
        return host, request.transaction_key(INVITE)
    except HeaderError:
        return ()
