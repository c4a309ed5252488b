"""Call-IDs, the dialog that a Replaces, Join or Target-Dialog means, and Session-ID (RFC 3261 20.8, RFC 7989)."""

import re
from typing import Final, Self

from .._grammar import BLANK, CTL_CHARS, SWS
from .._params import ParamsLike, write_parameters
from .._values import assign, lower, need_text, need_token, tolerate
from ..errors import HeaderError, SerializeError
from ._base import Parametrized, TokenValue
from ._lists import Reader

# RFC 3261 25.1 names the letters of a word. Any letters without a blank are read; where parameters or a list may
# follow, a semicolon and a comma are no part of it.
_CALL_ID: Final = re.compile(f"[^ {CTL_CHARS}]++")
_CALL_ID_IN_LIST: Final = f"[^ {CTL_CHARS},;]++"
_UUID: Final = re.compile("[0-9a-f]{32}")


class _DialogValue(Parametrized):
    """The parent of Replaces and TargetDialog: a Call-ID with tags."""

    __slots__ = ("_params", "call_id")
    call_id: str
    _malformed = "value does not start with a Call-ID"
    _pattern = re.compile(f"{SWS}(?P<call_id>{_CALL_ID_IN_LIST}){SWS}")

    def _key(self) -> tuple[object, ...]:
        return type(self), self.call_id, self.params

    def _head(self) -> str:
        return self.call_id


class Replaces(_DialogValue):
    """A Replaces or Join value: the dialog meant (RFC 3891 6.1, RFC 3911 7.1).

    Attributes:
        call_id: its Call-ID.
    """

    __slots__ = ()
    _tokens = _once = frozenset({"to-tag", "from-tag"})

    def __init__(
        self, call_id: str, *, to_tag: str, from_tag: str, early_only: bool = False, params: ParamsLike | None = None
    ) -> None:
        """Build a Replaces. Raises SerializeError."""
        tags = ("to-tag", need_token(to_tag, "to_tag")), ("from-tag", need_token(from_tag, "from_tag"))
        known = (*tags, ("early-only", None)) if early_only else tags
        assign(self, call_id=_need_call_id(call_id), _params=write_parameters(params, *known))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Call-ID with its to-tag and from-tag, without both of which it means no dialog."""
        made = super().parse(text)
        params = made.params
        for name in ("to-tag", "from-tag"):
            if not params.get(name):
                raise HeaderError(f"{name} is missing", offset=len(text))
        return made

    @property
    def to_tag(self) -> str:
        """The tag of the To of the dialog, as its receiver knows it; `0` for none (RFC 2543)."""
        return self.params["to-tag"] or ""

    @property
    def from_tag(self) -> str:
        """The tag of the From."""
        return self.params["from-tag"] or ""

    @property
    def early_only(self) -> bool:
        """Whether only an early dialog is to be replaced."""
        return "early-only" in self.params


class TargetDialog(_DialogValue):
    """A Target-Dialog value: the dialog that a request outside of it is about (RFC 4538 7).

    Attributes:
        call_id: its Call-ID.
    """

    __slots__ = ()
    _tokens = _once = frozenset({"local-tag", "remote-tag"})

    def __init__(
        self,
        call_id: str,
        *,
        local_tag: str | None = None,
        remote_tag: str | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build a Target-Dialog. Raises SerializeError."""
        text = self._write_params(params, local_tag=local_tag, remote_tag=remote_tag)
        assign(self, call_id=_need_call_id(call_id), _params=text)

    @property
    def local_tag(self) -> str | None:
        """The tag of the side that sends the request."""
        return self.params.get("local-tag")

    @property
    def remote_tag(self) -> str | None:
        """The tag of the side that gets it."""
        return self.params.get("remote-tag")


class SessionId(TokenValue):
    """A Session-ID value (RFC 7989 5): `value` is the local UUID, as sent."""

    __slots__ = ()
    _tokens = _once = frozenset({"remote"})

    def __init__(self, local: str, *, remote: str | None = None, params: ParamsLike | None = None) -> None:
        """Build a Session-ID of UUIDs as 32 hexadecimal digits in lower case. Raises SerializeError."""
        local, *others = [need_text(uuid, "UUID") for uuid in ((local,) if remote is None else (local, remote))]
        if not all(map(_UUID.fullmatch, (local, *others))):
            raise SerializeError("UUID is not 32 hexadecimal digits in lower case")
        assign(self, value=local, _params=self._write_params(params, remote=remote))

    @property
    def local(self) -> str:
        """The UUID of the side that sends the message, in lower case."""
        return lower(self.value)

    @property
    def remote(self) -> str | None:
        """The UUID of the other side, in lower case; None where it is not given (RFC 7329)."""
        value = self.params.get("remote")
        return None if value is None else lower(value)


def _need_call_id(call_id: str) -> str:
    if re.fullmatch(_CALL_ID_IN_LIST, call_id := need_text(call_id, "call_id")) is None:
        raise SerializeError("call_id is empty or holds a blank, a comma or a semicolon")
    return call_id


def parse_call_id(value: str) -> str:
    """A Call-ID. RFC 3261 25.1 names the letters of a word; any letters without a blank are read."""
    call_id = value.strip(BLANK)
    if _CALL_ID.fullmatch(call_id) is None:
        raise HeaderError("Call-ID is empty or holds a blank or a control character")
    return call_id


def _parse_call_ids(value: str) -> tuple[str, ...]:
    """Call-IDs: a quote or a parenthesis in one is a letter of a word, and hides no comma."""
    parts = [part.strip(BLANK) for part in value.split(",")]
    given = tuple(map(parse_call_id, filter(None, parts)))
    if len(given) < len(parts):
        tolerate("list has an empty element" if len(parts) > 1 else "list is empty")
    return given


READERS: Final[dict[str, Reader]] = {
    "Call-ID": parse_call_id,
    "In-Reply-To": _parse_call_ids,
    "Replaces": Replaces.parse,
    "Join": Replaces.parse,
    "Target-Dialog": TargetDialog.parse,
    "Session-ID": SessionId.parse,
}
