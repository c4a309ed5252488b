"""Challenges and credentials: schemes and parameters (RFC 3261 20.44 and 20.7). No digest arithmetic is done here."""

import re
from typing import ClassVar, Final, Self

from .._grammar import BLANK, LWS, SWS, TOKEN
from .._limits import MAX_PARAMETER
from .._params import Params, ParamsLike, WithParams, as_pairs, scan_parameters, write_parameters, write_value
from .._values import Flaws, assign, lower, need_number, need_text, need_token, quote
from ..errors import HeaderError, SerializeError
from ._lists import Reader

_SCHEME: Final = re.compile(f"{SWS}({TOKEN}){LWS}(?=[^{BLANK}])")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]++=*+")


class AuthValue(WithParams):
    """The parent of Challenge and Credentials: a scheme and its parameters. No digest arithmetic is done here.

    Attributes:
        scheme: `Digest`, as sent.

    Two are equal when the schemes are in any case, and the parameters are.
    """

    __slots__ = ("_params", "scheme")
    scheme: str
    _joint = " "
    _separator = ","
    _quoted: ClassVar[frozenset[str]] = frozenset({"realm", "domain", "nonce", "opaque", "qop"})

    def __init__(self, scheme: str, params: ParamsLike) -> None:
        """Build a value. What RFC 3261 has in quotes is written so. Raises SerializeError."""
        assign(self, _params=_write_auth_params(params, self._quoted), scheme=need_token(scheme, "scheme"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a scheme and its parameters, or the one token that schemes such as Basic have (RFC 9110 11.2)."""
        found = _SCHEME.match(text)
        if found is None:
            raise HeaderError("value is not a scheme and parameters")
        raw = text.rstrip(BLANK)
        if _TOKEN68.fullmatch(raw, found.end()) is None:
            _check_auth_params(raw, found.end())
        return cls._of(scheme=found[1], _params=raw[found.end() :])

    @property
    def token68(self) -> str | None:
        """The token that a scheme has in place of parameters; None where it has parameters."""
        return self._params if _TOKEN68.fullmatch(self._params) else None

    @property
    def params(self) -> Params:
        """The parameters, none where there is a token68."""
        return Params.EMPTY if self.token68 is not None else super().params

    def _key(self) -> tuple[object, ...]:
        return type(self), lower(self.scheme), self.token68, self.params

    def _head(self) -> str:
        return self.scheme


class Challenge(AuthValue):
    """A WWW-Authenticate or Proxy-Authenticate value (RFC 3261 20.44, 20.27)."""

    __slots__ = ()


class Credentials(AuthValue):
    """An Authorization or Proxy-Authorization value (RFC 3261 20.7, 20.28)."""

    __slots__ = ()
    _quoted = frozenset({"username", "realm", "nonce", "uri", "response", "cnonce", "opaque"})


class AuthenticationInfo(WithParams):
    """An Authentication-Info value (RFC 3261 20.6): parameters separated by commas."""

    __slots__ = ("_params",)
    _joint = ""
    _separator = ","

    def __init__(self, params: ParamsLike) -> None:
        """Build a value. Raises SerializeError."""
        assign(self, _params=_write_auth_params(params, AuthValue._quoted))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read parameters separated by commas."""
        raw = text.strip(BLANK)
        _check_auth_params(raw, 0)
        return cls._of(_params=raw)

    def _head(self) -> str:
        return ""


def _check_auth_params(text: str, position: int) -> None:
    """Check parameters with commas between them, each of which has a value. Nothing is tolerated in a proof."""
    with Flaws() as flaws:
        found = scan_parameters(text, position, ",")
    for reason in flaws:
        raise HeaderError(reason, offset=position)
    for key, (_, value, _) in found.items():
        if value is None:
            raise HeaderError(f"parameter {key} has no value", offset=position)


def _write_auth_params(params: ParamsLike, quoted: frozenset[str]) -> str:
    """The text of parameters; those that are named in `quoted` are in quotes even where they are tokens."""
    known: list[tuple[str, str | None]] = []
    for name, value in as_pairs(params):
        if value is None:
            raise SerializeError(f"{name} has no value")
        text = str(need_number(value, name, MAX_PARAMETER)) if isinstance(value, int) else need_text(value, name)
        must = lower(need_token(name, "parameter name")) in quoted
        known.append((name, quote(text) if must else write_value(text, name)))
    if not known or len({lower(name) for name, _ in known}) < len(known):
        raise SerializeError("parameters are none, or one is there twice")
    return write_parameters(None, *known, separator=", ")


READERS: Final[dict[str, Reader]] = {
    **dict.fromkeys(("WWW-Authenticate", "Proxy-Authenticate"), Challenge.parse),
    **dict.fromkeys(("Authorization", "Proxy-Authorization"), Credentials.parse),
    **dict.fromkeys(("Authentication-Info", "Proxy-Authentication-Info"), AuthenticationInfo.parse),
}
