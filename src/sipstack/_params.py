"""Parameters: reading, writing, comparing, and the base of the values that end in some (RFC 3261 7.3.1, 25.1)."""

import re  # noqa: I001 - the names of `_values` are wrapped
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from ._grammar import BLANK, GENERIC_PARAM, READABLE_PARAM, STRICT_VALUE
from ._limits import MAX_PARAMETER
from ._values import (
    HeaderValue, assign, canonical_host, is_int, lower, need_number, need_str, need_text, need_token, parse_quoted,
    quote, skip_blanks, tolerate, unquote,
)  # fmt: skip
from .errors import HeaderError, SerializeError

_PARAMETER: Final = re.compile(GENERIC_PARAM)
_READABLE_PARAM: Final = re.compile(READABLE_PARAM)
_ANY_PARAMETER: Final = re.compile(rf"{GENERIC_PARAM}(?![^;])|{READABLE_PARAM}")
_STRICT_VALUE: Final = re.compile(STRICT_VALUE)

Parameter = tuple[str, str | None, bool]
"""Name as sent, value without its quotes (None: the name stands alone), whether it was quoted."""
Parameters = dict[str, Parameter]
"""Parameters in the order sent, by name in lower case."""
ParamsLike = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""What constructors take for parameters: a mapping or pairs of a name to a str, an int, or None for no value.

Any, because a checker says of `{"lr": None, "x": 1}` in a variable that its values are `object`.
"""


class Params(HeaderValue, Mapping[str, "str | None"]):
    """Parameters in the order sent: name to value, None for a name without one.

    Names are looked up in any case. Values come without quotes and quoted-pairs (of a URI: without escapes).
    `str()` is the text as it was sent, without the separator in front. Equal are parameters with the same names and
    values in any order; values that were not quoted are compared without regard to case (7.3.1), IPv6 addresses by
    their bits.
    """

    __slots__ = ("_found", "_text")
    _text: str
    _found: Parameters
    EMPTY: ClassVar["Params"]

    def __init__(self, params: ParamsLike | None = None) -> None:
        """Build parameters. Raises SerializeError."""
        text = write_parameters(params)
        assign(self, _text=text, _found=scan_parameters(text, 0) if text else {})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `;`-separated parameters, with or without a `;` in front."""
        inner = text.strip(BLANK)
        start = 1 if inner.startswith(";") else 0
        found = scan_parameters(inner, start) if inner else {}
        return cls._of(_text=inner[start:].lstrip(BLANK), _found=found)

    def __getitem__(self, name: str) -> str | None:
        return self._found[lower(name)][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and lower(name) in self._found

    def __iter__(self) -> Iterator[str]:
        return (name for name, _, _ in self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Params):
            return self._meaning() == other._meaning()
        if isinstance(other, Mapping):
            mine = {key: value for key, (_, value, _) in self._found.items()}
            return mine == {lower(key) if isinstance(key, str) else key: value for key, value in other.items()}
        return NotImplemented

    __hash__ = HeaderValue.__hash__

    def _key(self) -> frozenset[object]:
        return frozenset(self._meaning().items())

    def _head(self) -> str:
        return self._text

    def _meaning(self) -> dict[str, tuple[str | None, bool]]:
        """Each parameter as it is compared: a quoted value exactly, a token or a host in any case (7.3.1, 25.1)."""
        return {
            key: (value if quoted or value is None else canonical_host(value), quoted)
            for key, (_, value, quoted) in self._found.items()
        }

    def _agree_where_shared(self, other: "Params") -> bool:
        """Whether the parameters that both have agree; those that one side alone has do not count."""
        mine, theirs = self._meaning(), other._meaning()
        return all(theirs[key] == value for key, value in mine.items() if key in theirs)


class WithParams(HeaderValue):
    """The parent of values that end in parameters, which they keep as text in a slot of their own."""

    __slots__ = ()
    _params: str
    _joint: ClassVar[str] = ";"
    """What stands between the head and the parameters."""
    _separator: ClassVar[str] = ";"
    """What stands between the parameters."""

    @property
    def params(self) -> Params:
        """The parameters, those with an attribute of their own too."""
        return read_params(self._params, self._separator)

    def _key(self) -> object:
        return type(self), lower(self._head()), self.params

    def __str__(self) -> str:
        return f"{self._head()}{self._joint}{self._params}" if self._params else self._head()


# --- reading ---------------------------------------------------------------------------------------------------------


_NAMELESS: Final = "parameter without a name"
_BAD_VALUE: Final = "parameter value is empty or holds an illegal character"


def scan_parameters(text: str, position: int, separator: str = ";", once: Container[str] = ()) -> Parameters:
    """The parameters of a text from a position (behind the first separator) to its end.

    Of a name that is there twice the first counts (7.3.1 forbids it); two values of one that is in `once` are an error.
    """
    found: Parameters = {}
    end_of_text = len(text)
    while True:
        match = _PARAMETER.match(text, position)
        end = -1 if match is None else match.end()
        if end == end_of_text or (end > 0 and text[end] == separator):
            name, value, quoted = match.groups()  # type: ignore[union-attr]  # it has an end
        else:
            match = _read_odd(text, position, separator)
            name, value, quoted, end = match[1], match[3], None, match.end()
        if name is not None:
            key = name.lower()  # a token: ASCII
            parameter = (name, value, False) if quoted is None else (name, unquote(quoted), True)
            if key not in found:
                found[key] = parameter
            elif key in once and parameter[1] != found[key][1]:
                raise HeaderError(f"parameter {key} twice", offset=match.start(1))  # type: ignore[union-attr]
            else:
                tolerate(f"parameter {key} twice")
        if end == end_of_text:
            return found
        position = end + 1


def _read_odd(text: str, position: int, separator: str) -> re.Match[str]:
    """The parameter at a position that is none by the grammar, but readable."""
    found: re.Match[str] = _READABLE_PARAM.match(text, position)  # type: ignore[assignment]  # it matches nothing too
    end = found.end()
    if end == len(text) or text[end] == separator:
        tolerate(_NAMELESS if found[1] is None else _BAD_VALUE)
        return found
    if found[1] is None:
        raise HeaderError(_NAMELESS, offset=position)
    if found.lastindex == 2 and text[end] == '"':
        _, quotes_end = parse_quoted(text, end)
        raise HeaderError("parameter holds an illegal character", offset=skip_blanks(text, quotes_end))
    raise HeaderError(_BAD_VALUE if found.lastindex == 2 else "parameter holds an illegal character", offset=end)


def parameters_behind(text: str, position: int, what: str = "value", once: Container[str] = ()) -> Parameters:
    """The parameters behind the first part of a value, which ends at a position; `what` names the value in an error."""
    if position == len(text):
        return {}
    if text[position] != ";":
        raise HeaderError(f"{what} holds an illegal character", offset=position)
    return scan_parameters(text, position + 1, ";", once)


def read_params(text: str, separator: str = ";") -> Params:
    """The Params of a value's parameter text, which was checked when the value was made."""
    return Params._of(_text=text, _found=scan_parameters(text, 0, separator)) if text else Params.EMPTY


# --- writing ---------------------------------------------------------------------------------------------------------


def write_value(value: object, what: str) -> str:
    """A parameter's value as written: a token, an IPv6 reference or a number as it is, other text quoted."""
    if is_int(value):
        return str(need_number(value, what, MAX_PARAMETER))
    text = need_text(value, what)
    return text if _STRICT_VALUE.fullmatch(text) else quote(text)


def write_parameters(params: ParamsLike | None, *known: tuple[str, str | None], separator: str = ";") -> str:
    """The text of parameters: first the `known` (written already), then the caller's; a name only once."""
    parts = [name if value is None else f"{name}={value}" for name, value in known]
    names = {name for name, _ in known}
    for name, value in as_pairs(params):
        need_token(name, "parameter name")
        if lower(name) in names:
            raise SerializeError(f"parameter {lower(name)} twice")
        names.add(lower(name))
        parts.append(name if value is None else f"{name}={write_value(value, f'parameter {name}')}")
    return separator.join(parts)


def merge_parameters(raw: str, added: str, dropped: Callable[[str], bool]) -> str:
    """The text of read parameters without those that are dropped (by lower-case name), and of written ones behind."""
    read = [(lower(found[1] or found[4] or ""), found[0]) for found in _ANY_PARAMETER.finditer(raw)]
    kept = [(name, text) for name, text in read if name and not dropped(name)]
    new = scan_parameters(added, 0) if added else {}
    for name, _ in kept:
        if name in new:
            raise SerializeError(f"parameter {name} twice")
    return ";".join([text for _, text in kept] + [added] * bool(added))


def as_pairs(params: ParamsLike | None) -> list[tuple[str, "str | int | None"]]:
    """What a constructor was given for parameters, as pairs."""
    if params is None:
        return []
    if isinstance(params, str):
        raise TypeError("parameters must be a mapping or pairs, not str; Params.parse reads text")
    given = params.items() if isinstance(params, Mapping) else params
    return [(need_str(name, "parameter name"), value) for name, value in given]


Params.EMPTY = Params()
