"""Challenges and credentials: schemes and parameters (RFC 3261 20.44 and 20.7). No digest arithmetic is done here.

`sipstack.headers` has all structured values under one roof.
"""

import re
from typing import ClassVar, Final, Self

from sipstack._values import (
    BLANK,
    TOKEN_CHARS,
    HeaderValue,
    Parameter,
    Params,
    ParamsLike,
    assign,
    lower,
    need_number,
    need_text,
    need_token,
    pairs,
    quote,
    read_params,
    scan_parameters,
    write_parameters,
    write_value,
)
from sipstack.errors import HeaderError, SerializeError

_AUTH: Final = re.compile(rf"[{BLANK}]*+([{TOKEN_CHARS}]++)[{BLANK}]++(?=[^{BLANK}])")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]++=*+\Z")


class AuthValue(HeaderValue):
    """The parent of Challenge and Credentials: a scheme and its parameters. No digest arithmetic is done here.

    Attributes:
        scheme: `Digest`, as sent.

    Two are equal when the schemes are in any case, and the parameters are.
    """

    __slots__ = ("_params", "scheme")
    scheme: str
    _params: str
    _quoted: ClassVar[frozenset[str]] = frozenset({"realm", "domain", "nonce", "opaque", "qop"})

    def __init__(self, scheme: str, params: ParamsLike) -> None:
        """Build a value. What RFC 3261 has in quotes is written so. Raises SerializeError."""
        known: list[tuple[str, str | None]] = []
        for name, value in pairs(params):
            if value is None:
                raise SerializeError(f"{name} has no value")
            text = str(need_number(value, name, 2**63)) if isinstance(value, int) else need_text(value, name)
            must = lower(need_token(name, "parameter name")) in self._quoted
            known.append((name, quote(text) if must else write_value(text, name)))
        if not known or len({lower(name) for name, _ in known}) < len(known):
            raise SerializeError("parameters are none, or one is there twice")
        assign(self, scheme=need_token(scheme, "scheme"), _params=write_parameters(None, *known, separator=", "))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a scheme and its parameters, or the one token that schemes such as Basic have (RFC 9110 11.2)."""
        found = _AUTH.match(text)
        if found is None:
            raise HeaderError("value is not a scheme and parameters")
        raw = text.rstrip(BLANK)
        if _TOKEN68.match(raw, found.end()) is None:
            _need_values(scan_parameters(raw, found.end(), ","), found.end())
        made = cls.__new__(cls)
        assign(made, scheme=found[1], _params=raw[found.end() :])
        return made

    @property
    def token68(self) -> str | None:
        """The token that a scheme has in place of parameters; None where it has parameters."""
        return self._params if _TOKEN68.match(self._params) else None

    @property
    def params(self) -> Params:
        """The parameters, none where there is a token68."""
        return Params.EMPTY if self.token68 is not None else read_params(self._params, ",")

    def __str__(self) -> str:
        return f"{self.scheme} {self._params}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AuthValue) or type(other) is not type(self):
            return NotImplemented
        return self._meaning() == other._meaning()

    def __hash__(self) -> int:
        return hash(self._meaning())

    def _meaning(self) -> tuple[object, ...]:
        return lower(self.scheme), self.token68, self.params


class Challenge(AuthValue):
    """A WWW-Authenticate or Proxy-Authenticate value (RFC 3261 20.44, 20.27)."""

    __slots__ = ()


class Credentials(AuthValue):
    """An Authorization or Proxy-Authorization value (RFC 3261 20.7, 20.28)."""

    __slots__ = ()
    _quoted = frozenset({"username", "realm", "nonce", "uri", "response", "cnonce", "opaque"})


class AuthenticationInfo(HeaderValue):
    """An Authentication-Info value (RFC 3261 20.6): parameters separated by commas."""

    __slots__ = ("_params",)
    _params: str

    def __init__(self, params: ParamsLike) -> None:
        """Build a value. Raises SerializeError."""
        assign(self, _params=Challenge("Digest", params)._params)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read parameters separated by commas."""
        raw = text.strip(BLANK)
        _need_values(scan_parameters(raw, 0, ","), 0)
        made = cls.__new__(cls)
        assign(made, _params=raw)
        return made

    @property
    def params(self) -> Params:
        """The parameters."""
        return read_params(self._params, ",")

    def __str__(self) -> str:
        return self._params

    def __eq__(self, other: object) -> bool:
        return self.params == other.params if isinstance(other, AuthenticationInfo) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.params)


def _need_values(found: list[Parameter], offset: int) -> None:
    for name, value, _ in found:
        if value is None:
            raise HeaderError(f"parameter {lower(name)} has no value", offset=offset)
