"""INVITEs whose handlers are in flight, and how a CANCEL is matched to its INVITE (RFC 3261 9.2, 17.2.3)."""

from collections.abc import Coroutine
from typing import Any, Final, TypeAlias

from ._limits import DEFAULT_PORT
from ._values import lower
from .errors import HeaderError
from .message import Message

_COOKIE: Final = "z9hg4bk"  # what a branch by RFC 3261 begins with, in lower case
_COPIED: Final = ("Call-ID", "From", "To")

_Key: TypeAlias = tuple[object, ...]


class Invite:
    """One of them.

    Attributes:
        request: the INVITE.
        coroutine: what its handler returned.
        answered: whether `respond` has sent its final response.
        cancelled: whether a CANCEL came before that.
    """

    __slots__ = ("answered", "cancelled", "coroutine", "key", "request")

    def __init__(self, request: Message, coroutine: Coroutine[Any, Any, Any], key: _Key | None) -> None:
        self.request = request
        self.coroutine = coroutine
        self.key = key
        self.answered = self.cancelled = False


class Invites:
    """All of them, by what their CANCEL has in common with them. A retransmission is another one."""

    def __init__(self) -> None:
        self._by_key: dict[_Key, dict[Invite, None]] = {}
        self._by_request: dict[int, Invite] = {}

    def add(self, request: Message, host: str, coroutine: Coroutine[Any, Any, Any]) -> Invite:
        """Takes note of an INVITE that came from this host."""
        invite = Invite(request, coroutine, _key(request, host))
        self._by_request[id(request)] = invite
        if invite.key is not None:
            self._by_key.setdefault(invite.key, {})[invite] = None
        return invite

    def remove(self, invite: Invite) -> None:
        """Forgets one whose handler has ended."""
        self._by_request.pop(id(invite.request), None)
        same = self._by_key.get(invite.key) if invite.key is not None else None
        if same is not None:
            same.pop(invite, None)
            if not same:
                del self._by_key[invite.key]  # type: ignore[arg-type]

    def note_final(self, request: Message) -> None:
        """Takes note that a final response to this request has been sent."""
        invite = self._by_request.get(id(request))
        if invite is not None:
            invite.answered = True

    def of_cancel(self, cancel: Message, host: str) -> list[Invite]:
        """Those that a CANCEL from this host is for."""
        key = _key(cancel, host)
        return list(self._by_key.get(key, ())) if key is not None else []


def _key(request: Message, host: str) -> _Key | None:
    """What an INVITE and its CANCEL have in common; None where it cannot be read.

    The branch and the sent-by. Before RFC 3261 a branch named no transaction: there it is also all else that a CANCEL
    copies (9.1). And the host it came from: a CANCEL cannot be asked for credentials, and is to be accepted from the
    hop that sent the INVITE (22.1). The port is not compared, for a NAT may have changed it.
    """
    try:
        via, cseq = request.via, request.cseq
    except HeaderError:
        return None
    if via is None or cseq is None:
        return None
    hop = (host, lower(via.host), via.port or DEFAULT_PORT, lower(via.branch or ""))
    if hop[3].startswith(_COOKIE):
        return hop
    return (*hop, request.request_uri, cseq.num, *[request.get_header(name) for name in _COPIED])
