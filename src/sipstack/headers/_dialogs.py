"""Call-IDs, and the dialog that a Replaces or Join means (RFC 3261 20.8, RFC 3891, RFC 3911)."""

import re
from typing import Final, Self

from .._grammar import BLANK, CTL_CHARS, SWS
from .._params import ParamsLike, write_parameters
from .._values import assign, need_text, need_token, tolerate
from ..errors import HeaderError, SerializeError
from ._base import Parametrized
from ._lists import Reader

# RFC 3261 25.1 names the letters of a word. Any letters without a blank are read; where parameters or a list may
# follow, a semicolon and a comma are no part of it.
_CALL_ID: Final = re.compile(f"[^ {CTL_CHARS}]++")
_CALL_ID_IN_LIST: Final = f"[^ {CTL_CHARS},;]++"


class Replaces(Parametrized):
    """A Replaces or Join value: the dialog meant (RFC 3891 6.1, RFC 3911 7.1).

    Attributes:
        call_id: its Call-ID.
    """

    __slots__ = ("_params", "call_id")
    call_id: str
    _malformed = "value does not start with a Call-ID"
    _pattern = re.compile(f"{SWS}(?P<call_id>{_CALL_ID_IN_LIST}){SWS}")
    _tokens = _once = frozenset({"to-tag", "from-tag"})

    def __init__(
        self, call_id: str, *, to_tag: str, from_tag: str, early_only: bool = False, params: ParamsLike | None = None
    ) -> None:
        """Build a Replaces. Raises SerializeError."""
        tags = ("to-tag", need_token(to_tag, "to_tag")), ("from-tag", need_token(from_tag, "from_tag"))
        known = (*tags, ("early-only", None)) if early_only else tags
        if re.fullmatch(_CALL_ID_IN_LIST, need_text(call_id, "call_id")) is None:
            raise SerializeError("call_id is empty or holds a blank, a comma or a semicolon")
        assign(self, call_id=call_id, _params=write_parameters(params, *known))

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

    def _key(self) -> tuple[object, ...]:
        return self.call_id, self.params

    def _head(self) -> str:
        return self.call_id


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
}
