"""What is told to people and logs: Reason (RFC 3326) and Warning (RFC 3261 20.43)."""

import re
from functools import partial
from typing import ClassVar, Final, Self

from .._grammar import BLANK, CONTROL_CHARS, CTL_CHARS, DIGITS, LWS, QUOTED_STRING, SWS
from .._limits import MAX_CAUSE, WARN_CODES
from .._params import ParamsLike
from .._values import HeaderValue, assign, lower, need_number, need_text, need_token, quote, tolerate, unquote
from ..errors import HeaderError, SerializeError
from ._base import TokenValue
from ._lists import Reader, is_one_element, parse_list

_WARN_AGENT: Final = rf'[^ {CTL_CHARS}",]++'
_ANY_TEXT: Final = re.compile(f"[^{CONTROL_CHARS}]++")
_AGENT: Final = re.compile(_WARN_AGENT)
_WARNING: Final = re.compile(f"{SWS}({DIGITS}){LWS}({_WARN_AGENT}){LWS}{QUOTED_STRING}")


class Reason(TokenValue):
    """A Reason value (RFC 3326): `value` is the protocol, such as `SIP` or `Q.850`."""

    __slots__ = ()
    _numbers: ClassVar[dict[str, int]] = {"cause": MAX_CAUSE}

    def __init__(
        self, protocol: str, *, cause: int | None = None, text: str | None = None, params: ParamsLike | None = None
    ) -> None:
        """Build a Reason. Raises SerializeError."""
        assign(self, value=need_token(protocol, "protocol"), _params=self._write_params(params, cause=cause, text=text))

    @property
    def protocol(self) -> str:
        """The protocol, as sent."""
        return self.value

    @property
    def cause(self) -> int | None:
        """The cause: a status code or a Q.850 one; None where it is not given or no number."""
        return self._number("cause")

    @property
    def text(self) -> str | None:
        """The text for people."""
        return self.params.get("text")


class WarningValue(HeaderValue):
    """A Warning value (RFC 3261 20.43).

    Attributes:
        code: three digits, 100 to 999; None where the value is something else, which is in `text` then as it was sent.
        agent: the host with its port, or the pseudonym, that added it; "" where there is no code.
        text: the text for people.
    """

    __slots__ = ("agent", "code", "text")
    code: int | None
    agent: str
    text: str

    def __init__(self, code: int, agent: str, text: str) -> None:
        """Build a Warning. Raises SerializeError."""
        lowest, highest = WARN_CODES
        assign(self, code=need_number(code, "warn-code", highest, lowest), text=need_text(text, "text"))
        if _AGENT.fullmatch(agent := need_text(agent, "agent")) is None:
            raise SerializeError("agent is empty or holds a blank, a comma or a quote")
        assign(self, agent=agent)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one Warning value. It is for people, so any text is one, but for control characters and open quotes."""
        found = _WARNING.fullmatch(text.rstrip(BLANK))
        if found is not None and len(found[1]) == 3 and found[1] >= "100":
            return cls._of(code=int(found[1]), agent=found[2], text=unquote(found[3]))
        reason = "warn-code has not three digits" if found else "Warning is not a code, an agent and a quoted text"
        if _ANY_TEXT.fullmatch(text) is None or not is_one_element(text):
            raise HeaderError(reason)
        tolerate(reason)
        return cls._of(code=None, agent="", text=text.strip(BLANK))

    def _key(self) -> tuple[object, ...]:
        return self.code, lower(self.agent), self.text

    def _head(self) -> str:
        return self.text if self.code is None else f"{self.code} {self.agent} {quote(self.text)}"


READERS: Final[dict[str, Reader]] = {
    "Reason": partial(parse_list, Reason),
    "Warning": partial(parse_list, WarningValue),
}
