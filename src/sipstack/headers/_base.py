"""The values that end in parameters: their parent, and the shapes that serve many headers (token, text, URI)."""

import re
from collections.abc import Callable
from typing import ClassVar, Final, Self, TypeVar

from .._grammar import BLANK, CONTROL_CHARS, QUOTED_STRING, SWS, TOKEN, VALUE_CHARS, is_token
from .._params import Parameter, Parameters, ParamsLike, WithParams, parameters_behind, write_parameters
from .._values import (
    Flaws,
    assign,
    need_int,
    need_number,
    need_text,
    need_token,
    parse_number,
    quote,
    tolerate,
    unquote,
)
from ..errors import HeaderError, SerializeError
from ..uri import AbsoluteUri, SipUri, TelUri, Uri, parse_uri
from ._lists import is_one_element

_Read = TypeVar("_Read")
_TOKEN_OR_QUOTED: Final = re.compile(f"{SWS}(?:([{VALUE_CHARS}]++)|{QUOTED_STRING}){SWS}")
_BRACKETED: Final = re.compile(f"{SWS}<([^<>{CONTROL_CHARS}]*+)>{SWS}")
_NOT_BRACKETED: Final = re.compile(f'{SWS}([^<>";{CONTROL_CHARS}]*+)')
_QVALUE: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_qvalue(value: str, offset: int = 0) -> float:
    """A preference, 0 to 1 with three decimals at most (RFC 3261 25.1)."""
    if _QVALUE.fullmatch(value) is None:
        raise HeaderError("q is not a number from 0 to 1", offset=offset)
    return float(value)


def write_qvalue(q: float) -> str:
    """A preference as written: with three decimals at most (RFC 3261 25.1)."""
    if isinstance(q, bool) or not isinstance(q, int | float):
        raise TypeError(f"q must be a number, not {type(q).__name__}")
    number = float.__float__(q) if isinstance(q, float) else need_int(q, "q")
    if not 0 <= number <= 1:
        raise SerializeError("q is not a number from 0 to 1")
    return f"{number:.3f}".rstrip("0").removesuffix(".")


def readable(read: Callable[[str], _Read], value: str | None) -> _Read | None:
    """A parameter's value as `read` reads it; None where it cannot be read, or is none."""
    try:
        return None if value is None else read(value)
    except HeaderError as error:
        tolerate(error.reason)
        return None


class Parametrized(WithParams):
    """The parent of values whose parameters are looked at when they are read, and strictly checked when written.

    `_numbers` names the parameters of the class that are numbers, with the largest; `_tokens` those that are tokens;
    `_qvalues` those that are preferences; `_once` those that identify something, which two different ones do not.
    """

    __slots__ = ()
    _malformed: ClassVar[str]
    """The reason where the part in front of the parameters is something else."""
    _pattern: ClassVar[re.Pattern[str]]
    """That part; its named groups are slots."""
    _numbers: ClassVar[dict[str, int]] = {}
    _tokens: ClassVar[frozenset[str]] = frozenset()
    _qvalues: ClassVar[frozenset[str]] = frozenset({"q"})
    _once: ClassVar[frozenset[str]] = frozenset()
    _what: ClassVar[str] = "value"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value."""
        found = cls._pattern.match(text)
        if found is None:
            raise HeaderError(cls._malformed)
        return cls._of(_params=cls._read_params(text, found.end()), **found.groupdict())

    @property
    def q(self) -> float | None:
        """The preference, 0.0 to 1.0; None where it is not given or something else."""
        return readable(parse_qvalue, self.params.get("q"))

    @classmethod
    def _read_params(cls, text: str, position: int) -> str:
        """Look at the parameters behind a value's first part, which ends at a position; their text."""
        if position == len(text):
            return ""
        cls._scan_params(text, position)
        return text[position + 1 :].strip(BLANK)

    @classmethod
    def _scan_params(cls, text: str, position: int) -> Parameters:
        """The same parameters themselves."""
        found = parameters_behind(text, position, cls._what, cls._once)
        for key, parameter in found.items():
            cls._check(key, parameter)
        return found

    @classmethod
    def _check(cls, key: str, parameter: Parameter) -> None:
        """Note what is wrong with a parameter of the class."""
        _, value, quoted = parameter
        bare = None if quoted else value
        if key in cls._numbers:
            readable(lambda text: parse_number(text, cls._numbers[key], key), bare or "")
        elif key in cls._tokens and bare is None:
            tolerate(f"{key} has no value or a quoted one")
        elif key in cls._qvalues:
            readable(parse_qvalue, bare or "")

    def _number(self, name: str) -> int | None:
        """A parameter of `_numbers`; None where it is not given, or no number up to the largest."""
        return readable(lambda text: parse_number(text, self._numbers[name], name), self.params.get(name))

    @classmethod
    def _write_params(cls, params: ParamsLike | None, **known: object) -> str:
        """The text of the parameters given by arguments (None: left out; texts are quoted), then of the others."""
        mine: list[tuple[str, str | None]] = []
        for argument, value in known.items():
            name = argument.replace("_", "-")
            if value is not None and name in cls._qvalues:
                mine.append((name, write_qvalue(value)))  # type: ignore[arg-type]  # it looks itself
            elif value is not None and name in cls._numbers:
                mine.append((name, str(need_number(value, name, cls._numbers[name]))))
            elif value is not None:
                mine.append((name, need_token(value, name) if name in cls._tokens else quote(need_text(value, name))))
        text = write_parameters(params, *mine)
        if params and text:  # what came by arguments was checked
            with Flaws() as found:
                cls._read_params(f";{text}", 0)
            for reason in found:
                raise SerializeError(reason)
        return text


class TokenValue(Parametrized):
    """A token with parameters.

    Attributes:
        value: the token as sent.

    Equal are values with the same token in any case and equal parameters.
    """

    __slots__ = ("_params", "value")
    value: str
    _malformed = "value does not start with a token"
    _pattern = re.compile(f"{SWS}(?P<value>{TOKEN}){SWS}")

    def __init__(self, value: str, *, params: ParamsLike | None = None) -> None:
        """Build a value. Raises SerializeError."""
        assign(self, value=need_token(value, "value"), _params=self._write_params(params))

    def _head(self) -> str:
        return self.value


class TextValue(Parametrized):
    """A token or a quoted string with parameters: a value of User-to-User (RFC 7433 4) or P-Visited-Network-ID.

    Attributes:
        value: the text, without quotes and quoted-pairs.

    Equal are values with the same text, letter by letter, and equal parameters.
    """

    __slots__ = ("_params", "value")
    value: str
    _qvalues = frozenset()

    def __init__(self, value: str, *, params: ParamsLike | None = None) -> None:
        """Build a value; it is quoted where it is no token. Raises SerializeError."""
        assign(self, value=need_text(value, "value"), _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value. Without quotes `/`, `@`, `=` and their like are tolerated, as in a parameter."""
        found = _TOKEN_OR_QUOTED.match(text)
        if found is None:
            raise HeaderError("value does not start with a token or a quoted string")
        value = unquote(found[2]) if found[1] is None else found[1]
        return cls._of(value=value, _params=cls._read_params(text, found.end()))

    def _key(self) -> tuple[object, ...]:
        return type(self), self.value, self.params

    def _head(self) -> str:
        return self.value if is_token(self.value) else quote(self.value)


class UriValue(Parametrized):
    """A URI in `<>` with parameters: a value of Alert-Info, Call-Info, Error-Info (RFC 3261 20.4), Geolocation.

    Attributes:
        uri: a SipUri, TelUri or AbsoluteUri; the text where it is no URI, such as `Bellcore-dr2` in an Alert-Info.
    """

    __slots__ = ("_angle", "_params", "uri")
    uri: Uri | str
    _angle: bool  # there were, or there shall be, <> round it
    _qvalues = frozenset()

    def __init__(self, uri: Uri | str, *, params: ParamsLike | None = None) -> None:
        """Build a value. Raises SerializeError, also for a `uri` str that is no URI."""
        assign(self, uri=need_uri(uri, "uri"), _angle=True, _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value. Without `<>` everything behind the first `;` is parameters."""
        bracketed = _BRACKETED.match(text)
        found = bracketed or _NOT_BRACKETED.match(text)
        inside = found[1].strip(BLANK)  # type: ignore[index]  # the second matches nothing too
        params = cls._read_params(text, found.end())  # type: ignore[union-attr]
        if not inside and not params:
            raise HeaderError("value is empty")
        uri = read_uri(inside)
        if bracketed is None and isinstance(uri, str) and not is_one_element(inside):
            raise HeaderError("value holds an illegal character", offset=found.start(1))  # type: ignore[union-attr]
        angle = inside != "" and (bracketed is not None or not isinstance(uri, str))
        return cls._of(uri=uri, _params=params, _angle=angle)

    def _key(self) -> tuple[object, ...]:
        return type(self), self.uri, self.params

    def _head(self) -> str:
        return f"<{self.uri}>" if self._angle else str(self.uri)


def read_uri(text: str) -> Uri | str:
    """A URI, or the text where it is none."""
    try:
        return parse_uri(text)
    except HeaderError:
        return text


def need_uri(uri: Uri | str, what: str) -> Uri:
    """A URI, or what a str that is one by the grammar means."""
    if isinstance(uri, str):
        try:
            with Flaws() as found:
                made = parse_uri(uri)
        except HeaderError as error:
            hint = "; NameAddr.parse reads an address in <>" if "<" in uri else ""
            raise SerializeError(f"{what}: {error.reason}{hint}") from error
        for reason in found:
            raise SerializeError(f"{what}: {reason}")
        return made
    if not isinstance(uri, SipUri | TelUri | AbsoluteUri):
        raise TypeError(f"{what} must be a URI or str, not {type(uri).__name__}")
    return uri
