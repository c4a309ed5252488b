"""Challenges and credentials: schemes and parameters (RFC 3261 20.44 and 20.7). No digest arithmetic is done here."""

import re
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final, Self

from .._grammar import BLANK, LWS, OPEN_QUOTED_STRING, SWS, TOKEN, is_token
from .._limits import MAX_PARAMETER
from .._params import Params, ParamsLike, WithParams, as_pairs, scan_parameters, write_parameters, write_value
from .._values import Flaws, assign, lower, need_number, need_text, need_token, quote
from ..errors import HeaderError, SerializeError
from ._lists import Reader, read_each

# What follows a scheme tells it from the name of a parameter, which may have blanks before its = too.
_SCHEME: Final = re.compile(f"{SWS}({TOKEN}){LWS}(?=[^{BLANK}=,])")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]++=*+")
_TO_COMMAS: Final = re.compile(rf'(?>[^",]*+(?:{OPEN_QUOTED_STRING}[^",]*+)*)(,[{BLANK},]*+|\Z)', re.DOTALL)
_NC: Final = re.compile("[0-9a-f]{8}")
_UNQUOTED: Final = frozenset({"algorithm", "stale", "charset", "userhash", "qop", "nc"})
"""The parameters that are never written in quotes, but for what a class says (RFC 3261 25.1, RFC 7616 3.3 to 3.5)."""


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
    _quoted: ClassVar[frozenset[str]]
    """The parameters that are written in quotes even where they are tokens."""

    def __init__(self, scheme: str, params: ParamsLike) -> None:
        """Build a value. What RFC 3261 25.1 has in quotes is written so, and what it has without is not.

        Raises SerializeError, also for an `nc` that is not eight digits.
        """
        assign(self, _params=_write_auth_params(params, self._quoted), scheme=need_token(scheme, "scheme"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a scheme and its parameters, or the one token that schemes such as Basic have (RFC 9110 11.2).

        Quotes round a parameter's value, or none, are tolerated, and so are commas at the end.
        """
        found = _SCHEME.match(text)
        if found is None:
            raise HeaderError("value is not a scheme and parameters")
        raw = text.rstrip(BLANK + ",")
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
    # Those of Digest (25.1), AKA (3GPP TS 24.229 7.2A.1) and Bearer (RFC 8898 4).
    _quoted = frozenset(
        {"realm", "domain", "nonce", "opaque", "qop", "ik", "ck", "scope", "authz_server", "error"}
    )  # fmt: skip


class Credentials(AuthValue):
    """An Authorization or Proxy-Authorization value (RFC 3261 20.7, 20.28)."""

    __slots__ = ()
    # Those of Digest (25.1) and AKA (RFC 3310 3.4, 3GPP TS 24.229 7.2A.2).
    _quoted = frozenset(
        {"username", "realm", "nonce", "uri", "response", "cnonce", "opaque", "auts", "integrity-protected"}
    )  # fmt: skip


class AuthenticationInfo(WithParams):
    """An Authentication-Info value (RFC 3261 20.6, RFC 7615): parameters separated by commas."""

    __slots__ = ("_params",)
    _joint = ""
    _separator = ","

    def __init__(self, params: ParamsLike) -> None:
        """Build a value: `nextnonce`, `rspauth` and `cnonce` in quotes, `qop` and `nc` without (25.1).

        Raises SerializeError, also for an `nc` that is not eight digits.
        """
        assign(self, _params=_write_auth_params(params, frozenset({"nextnonce", "rspauth", "cnonce"})))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read parameters separated by commas; commas at the end are tolerated."""
        raw = text.rstrip(BLANK + ",").lstrip(BLANK)
        _check_auth_params(raw, 0)
        return cls._of(_params=raw)

    def _head(self) -> str:
        return ""


def parse_each(cls: type[AuthValue], text: str) -> tuple[AuthValue, ...]:
    """Every challenge, or credentials, of a line.

    RFC 3261 7.3.1 has one on a line. Where there are several, what stands behind a comma and is a scheme and not the
    name of a parameter starts the next (RFC 9110 11.6.1).
    """
    try:
        return (cls.parse(text),)
    except HeaderError:
        parts = list(_split(text))
        if len(parts) == 1:
            raise
    return tuple(read_each(parts, cls.parse))


def _split(text: str) -> Iterator[tuple[int, str]]:
    """What parse_each reads, each with the place where it starts."""
    start = 0
    for found in _TO_COMMAS.finditer(text):
        if found[1] and _SCHEME.match(text, found.end()):
            yield start, text[start : found.start(1)]
            start = found.end()
    yield start, text[start:]


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
    known = [(name, _write_auth_value(name, value, quoted)) for name, value in as_pairs(params)]
    if not known or len({lower(name) for name, _ in known}) < len(known):
        raise SerializeError("parameters are none, or one is there twice")
    return write_parameters(None, *known, separator=", ")


def _write_auth_value(name: str, value: str | int | None, quoted: frozenset[str]) -> str:
    if value is None:
        raise SerializeError(f"{name} has no value")
    text = str(need_number(value, name, MAX_PARAMETER)) if isinstance(value, int) else need_text(value, name)
    key = lower(need_token(name, "parameter name"))
    if key in quoted:
        return quote(text)
    if key == "nc" and _NC.fullmatch(text) is None:
        raise SerializeError("nc is not eight hexadecimal digits in lower case")
    if key in _UNQUOTED and not is_token(text):
        raise SerializeError(f"{key} is not a token")
    return write_value(text, name)


READERS: Final[dict[str, Reader]] = {
    **dict.fromkeys(("WWW-Authenticate", "Proxy-Authenticate"), partial(parse_each, Challenge)),
    **dict.fromkeys(("Authorization", "Proxy-Authorization"), partial(parse_each, Credentials)),
    **dict.fromkeys(("Authentication-Info", "Proxy-Authentication-Info"), AuthenticationInfo.parse),
}
