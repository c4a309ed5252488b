"""INVITEs whose handlers are in flight, and how a CANCEL is matched to its INVITE (RFC 3261 9.2, 17.2.3)."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ._grammar import is_token
from .errors import HeaderError
from .message import Message
from .methods import INVITE

if TYPE_CHECKING:
    import asyncio

_Key: TypeAlias = tuple[str | None, ...]
_Place = TypeVar("_Place")


class Invite:
    """One of them.

    Attributes:
        request: the INVITE, which the handler may edit.
        asked: the INVITE as it came. It shares the bytes.
        host: where it came from.
        coroutine: what its handler returned.
        task: what that runs in.
        key: what a CANCEL for it has in common with it; None until one with its Call-ID has come.
        answered: whether `respond` has sent its final response.
        cancelled: whether a CANCEL came before that.
    """

    __slots__ = ("answered", "asked", "call_id", "cancelled", "coroutine", "host", "key", "request", "task")

    def __init__(self, request: Message, host: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.request = request
        self.asked = request.copy()
        self.call_id = request.call_id
        self.host = host
        self.coroutine = coroutine
        self.task: asyncio.Task[None] | None = None
        self.key: _Key | None = None
        self.answered = self.cancelled = False

    @property
    def to_tag(self) -> str | None:
        """The To tag that a response to it has; None where that cannot be said."""
        try:
            tag = self.asked.reply(200).to_tag
        except HeaderError:
            return None
        return tag if tag and is_token(tag) else None


class Invites:
    """All of them. A retransmission is one more, which the CANCEL is about as well.

    A new one is kept by its Call-ID, which costs an INVITE next to nothing, and which a CANCEL copies (9.1). Only when
    there is a CANCEL is the rest looked at, once for each INVITE: many with one Call-ID make no CANCEL expensive.
    """

    def __init__(self) -> None:
        self._all: dict[int, Invite] = {}  # by the identity of the request
        self._new: dict[str | None, dict[Invite, None]] = {}  # by Call-ID, while they have no key
        self._by_key: dict[_Key, dict[Invite, None]] = {}

    def add(self, request: Message, host: str, coroutine: Coroutine[Any, Any, Any]) -> Invite:
        """Takes note of an INVITE that came from this host."""
        invite = Invite(request, host, coroutine)
        self._all[id(request)] = invite
        self._new.setdefault(invite.call_id, {})[invite] = None
        return invite

    def remove(self, invite: Invite) -> None:
        """Forgets one whose handler has ended; it may be forgotten already."""
        if self._all.pop(id(invite.request), None) is None:
            return
        if invite.key is None:
            _take(self._new, invite.call_id, invite)
        else:
            _take(self._by_key, invite.key, invite)

    def sweep(self) -> None:
        """Forgets those whose tasks have ended without a word."""
        for invite in [*self._all.values()]:
            if invite.task is not None and invite.task.done():
                self.remove(invite)

    def note_final(self, request: Message) -> None:
        """Takes note that a final response to this request has been sent."""
        invite = self._all.get(id(request))
        if invite is not None:
            invite.answered = True

    def of_cancel(self, cancel: Message, host: str) -> list[Invite]:
        """Those that a CANCEL from this host is about."""
        call_id = cancel.call_id
        for invite in self._new.pop(call_id, ()):
            invite.key = (call_id, *_key(invite.asked, invite.host))
            self._by_key.setdefault(invite.key, {})[invite] = None
        key = _key(cancel, host)
        return [*self._by_key.get((call_id, *key), ())] if key else []


def _take(kept: "dict[_Place, dict[Invite, None]]", place: _Place, invite: Invite) -> None:
    """Takes an INVITE from its place."""
    same = kept[place]
    del same[invite]
    if not same:
        del kept[place]


def _key(request: Message, host: str) -> _Key:
    """What an INVITE and its CANCEL have in common; nothing where that cannot be read.

    The key of the INVITE's transaction, and the host it came from: a CANCEL cannot be asked for credentials, and is to
    be accepted from the hop that sent the INVITE (22.1). The port is not compared, for a NAT may have changed it.
    """
    try:
        return host, request.transaction_key(INVITE)
    except HeaderError:
        return ()
