"""What all structured values stand on: the immutable base class, tokens, quoted strings, numbers, parameters, lists.

The grammar is RFC 3261 section 25. Reading takes values that are unfolded already; a blank is SP or HTAB.
Every pattern is possessive, so that no input makes it run twice over the same text more than a fixed number of times.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from sipstack.errors import HeaderError, SerializeError

BLANK: Final = " \t"
MAX_SECONDS: Final = 2**32 - 1
"""The largest delta-seconds (RFC 3261 20.19) and RSeq (RFC 3262 7.1)."""
TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 - characters, no password
QUOTED_PATTERN: Final = r'"((?:[^"\\\x00-\x08\x0A-\x1F\x7F]++|\\[^\r\n])*+)"'
"""A quoted string. A control byte is legal behind a backslash alone, and CR and LF not even there."""

# RFC 3261 has a token, a host or a quoted string as a parameter's value. Trunks and IMS cores also send / @ = & $
# without quotes (icid-value, base64 tags); none of them can be mistaken for something else there.
VALUE_CHARS: Final = TOKEN_CHARS + r"\[\]:/@=&$"

_TOKEN: Final = re.compile(rf"[{TOKEN_CHARS}]++")
_QUOTED: Final = re.compile(QUOTED_PATTERN)
_PARAMETER: Final = re.compile(
    rf"[{BLANK}]*+([{TOKEN_CHARS}]++)(?:[{BLANK}]*+=[{BLANK}]*+(?:([{VALUE_CHARS}]++)|{QUOTED_PATTERN}))?[{BLANK}]*+"
)
_NAME: Final = re.compile(rf"[{BLANK}]*+[{TOKEN_CHARS}]++[{BLANK}]*+")
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r'["\\\x00-\x08\x0A-\x1F\x7F]')
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")
_PLAIN_VALUE: Final = re.compile(rf"(?:[{TOKEN_CHARS}]++|\[[0-9A-Fa-f:.]++\])\Z")
_UPPER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_ELEMENT: Final = re.compile(r'(?:[^",<(]++|"(?:[^"\\]++|\\.?)*+"?|<[^>]*+>?)', re.DOTALL)
_COMMENT_MARK: Final = re.compile(r"[()]|\\.", re.DOTALL)

Parameter = tuple[str, str | None, bool]
"""Name as sent, value without its quotes (None: the name stands alone), whether it was quoted."""
ParamsLike = Mapping[str, "str | int | None"] | Iterable[tuple[str, "str | int | None"]]
"""What constructors take for parameters: a mapping or pairs; None is a parameter without a value."""


def lower(text: str) -> str:
    """Lower case for the letters A to Z alone, as the RFC's case-insensitive comparing means it."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


class HeaderValue:
    """The parent of all structured values: immutable, comparable, hashable, `str()` writes it as SIP.

    An instance may be made by `cls.__new__(cls)` and the slots' descriptors, without `__init__`: the compiled
    parser does so. That is why the slots are plain objects and everything derived is a property.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value; raises `HeaderError` where it breaks its grammar."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), tuple((name, getattr(self, name)) for name in _slots(type(self))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"


def _slots(cls: type) -> list[str]:
    return [name for parent in cls.__mro__ for name in getattr(parent, "__slots__", ())]


def _restore(cls: type[HeaderValue], state: tuple[tuple[str, object], ...]) -> HeaderValue:
    value = cls.__new__(cls)
    assign(value, **dict(state))
    return value


def assign(value: HeaderValue, /, **slots: object) -> None:
    """Set the slots of a value that is being made."""
    for name, content in slots.items():
        object.__setattr__(value, name, content)


# --- reading ---------------------------------------------------------------------------------------------------------


def is_token(text: str) -> bool:
    """Whether the text is a token (RFC 3261 25.1)."""
    return _TOKEN.fullmatch(text) is not None


def parse_token(text: str, what: str) -> str:
    """A token with blanks around it; `what` names it in the error."""
    token = text.strip(BLANK)
    if not is_token(token):
        raise HeaderError(f"{what} is not a token")
    return token


def parse_number(text: str, maximum: int, what: str, offset: int = 0) -> int:
    """A decimal number of ASCII digits, 0 to `maximum`. Bounded before it is converted, whatever its length."""
    if not (text.isascii() and text.isdecimal()):
        raise HeaderError(f"{what} is not a number", offset=offset)
    significant = text.lstrip("0")
    if len(significant) > 10 or int(significant or "0") > maximum:
        raise HeaderError(f"{what} is out of range", offset=offset)
    return int(significant or "0")


def unquote(inside: str) -> str:
    """The meaning of what stands between the quotes of a quoted string: every quoted-pair is its second character."""
    return _PAIR.sub(r"\1", inside) if "\\" in inside else inside


def parse_quoted(text: str, position: int) -> tuple[str, int]:
    """The quoted string at a position: its meaning, and where it ends."""
    found = _QUOTED.match(text, position)
    if found is None:
        raise HeaderError("quoted string is not closed or holds a control character", offset=position)
    return unquote(found[1]), found.end()


def scan_parameters(text: str, position: int, separator: str = ";") -> list[Parameter]:
    """The parameters of a text from a position (behind the first separator) to its end; a name only once (7.3.1)."""
    found: list[Parameter] = []
    names: set[str] = set()
    while True:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise HeaderError("parameter without a name", offset=position)
        name, value, quoted = match.groups()
        end = match.end()
        if end < len(text) and text[end] != separator:
            raise _parameter_error(text, position, end)
        key = lower(name)
        if key in names:
            raise HeaderError(f"parameter {key} twice", offset=match.start(1))
        names.add(key)
        found.append((name, value if quoted is None else unquote(quoted), quoted is not None))
        if end == len(text):
            return found
        position = end + 1


def _parameter_error(text: str, position: int, end: int) -> HeaderError:
    """Say what is wrong with a parameter that does not end where it should."""
    name = _NAME.match(text, position)
    behind = name.end() if name else end
    if text[behind : behind + 1] != "=" or end > behind:
        return HeaderError("parameter holds an illegal character", offset=end)
    value = behind + 1
    while text[value : value + 1] in (" ", "\t"):
        value += 1
    if text[value : value + 1] == '"':
        return HeaderError("quoted string is not closed or holds a control character", offset=value)
    return HeaderError("parameter value is empty or holds an illegal character", offset=value)


def split_list(value: str) -> list[str]:
    """Split a header's value at the commas outside quotes, `<>` and comments; blanks round the parts are cut.

    A comment starts at a `(` behind a blank, a comma or at the start: elsewhere it is a letter of a URI's user.
    What is opened and never closed goes on to the end. An empty value has no parts.
    """
    return [part for _, part in list_parts(value)]


def list_parts(value: str) -> list[tuple[int, str]]:
    """The parts that split_list finds, each with the place where it starts."""
    if "," not in value:
        return [_trimmed(value, 0, len(value))] if value.strip(BLANK) else []
    return list(each_part(value))


def each_part(value: str) -> Iterator[tuple[int, str]]:
    """The parts one after the other, none read before it is asked for: who wants the first pays for the first."""
    start = position = 0
    while position < len(value):
        found = _ELEMENT.match(value, position)
        if found is not None:
            position = found.end()
        elif value[position] == ",":
            yield _trimmed(value, start, position)
            position = start = position + 1
        elif position == start or value[position - 1] in BLANK:
            end = comment_end(value, position)
            position = end if end > 0 else len(value)
        else:
            position += 1
    yield _trimmed(value, start, position)


def _trimmed(value: str, start: int, end: int) -> tuple[int, str]:
    part = value[start:end].lstrip(BLANK)
    return end - len(part), part.rstrip(BLANK)


def comment_end(text: str, position: int) -> int:
    """Where the comment that opens at a position ends, -1 where it does not: comments nest, and know quoted-pairs."""
    depth = 0
    for found in _COMMENT_MARK.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return -1


# --- writing ---------------------------------------------------------------------------------------------------------


def need_str(value: object, what: str) -> str:
    """The value, when it is a str; TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    return value


def need_token(value: object, what: str) -> str:
    """The value, when it is a token; SerializeError otherwise."""
    text = need_str(value, what)
    if not is_token(text):
        raise SerializeError(f"{what} is not a token")
    return text


def need_number(value: object, what: str, maximum: int, minimum: int = 0) -> int:
    """The value, when it is an int between the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be int, not {type(value).__name__}")
    if not minimum <= value <= maximum:
        raise SerializeError(f"{what} is out of range")
    return value


def need_text(value: object, what: str) -> str:
    """The value, when nothing in it is a control character (but HTAB) or cannot be written as UTF-8."""
    text = need_str(value, what)
    if _UNWRITABLE.search(text):
        raise SerializeError(f"{what} holds a control character or half a surrogate pair")
    return text


def quote(text: str) -> str:
    """A quoted string that means the text. Quote, backslash and control characters become quoted-pairs."""
    return '"' + _TO_ESCAPE.sub(r"\\\g<0>", text) + '"'


def write_value(value: object, what: str) -> str:
    """A parameter's value as written: a token, an IPv6 reference or a number as it is, other text quoted."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(need_number(value, what, 2**63))
    text = need_text(value, what)
    return text if _PLAIN_VALUE.match(text) else quote(text)


def write_parameters(params: "ParamsLike | Params | None", *known: tuple[str, str | None], separator: str = ";") -> str:
    """The text of parameters: first the `known` (written already), then the caller's; a name only once."""
    parts = [name if value is None else f"{name}={value}" for name, value in known]
    names = {name for name, _ in known}
    for name, value in pairs(params):
        need_token(name, "parameter name")
        if lower(name) in names:
            raise SerializeError(f"parameter {lower(name)} twice")
        names.add(lower(name))
        parts.append(name if value is None else f"{name}={write_value(value, f'parameter {name}')}")
    return separator.join(parts)


def merge_parameters(raw: str, added: str, dropped: Callable[[str], bool]) -> str:
    """The text of read parameters without those that are dropped (by lower-case name), and of written ones behind."""
    kept = [found[0] for found in _PARAMETER.finditer(raw) if not dropped(lower(found[1]))]
    text = ";".join([*kept, added] if added else kept)
    try:
        if text:
            scan_parameters(text, 0)
    except HeaderError as error:
        raise SerializeError(error.reason) from None
    return text


def pairs(params: "ParamsLike | None") -> list[tuple[str, "str | int | None"]]:
    """What a constructor was given for parameters, as pairs."""
    if params is None:
        return []
    if isinstance(params, str):
        raise TypeError("parameters must be a mapping or pairs, not str; Params.parse reads text")
    given = params.items() if isinstance(params, Mapping) else params
    return [(need_str(name, "parameter name"), value) for name, value in given]


# --- parameters ------------------------------------------------------------------------------------------------------


class Params(HeaderValue, Mapping[str, "str | None"]):
    """Parameters in the order sent: name to value, None for a name without one.

    Names are looked up in any case. Values come without quotes and quoted-pairs (of a URI: without escapes).
    `str()` is the text as it was sent, without the separator in front. Equal are parameters with the same names and
    values in any order; values that were not quoted are compared without regard to case (7.3.1).
    """

    __slots__ = ("_found", "_text")
    _text: str
    _found: dict[str, Parameter]
    EMPTY: ClassVar["Params"]

    def __init__(self, params: ParamsLike | None = None) -> None:
        text = write_parameters(params)
        assign(self, _text=text, _found=_by_name(scan_parameters(text, 0) if text else []))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `;`-separated parameters, with or without a `;` in front."""
        inner = text.strip(BLANK)
        start = 1 if inner.startswith(";") else 0
        return cls._made(inner[start:].lstrip(BLANK), scan_parameters(inner, start) if inner else [])

    @classmethod
    def _made(cls, text: str, found: list[Parameter]) -> Self:
        params = cls.__new__(cls)
        assign(params, _text=text, _found=_by_name(found))
        return params

    def __getitem__(self, name: str) -> str | None:
        return self._found[lower(name)][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and lower(name) in self._found

    def __iter__(self) -> Iterator[str]:
        return (name for name, _, _ in self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Params):
            return self._meaning() == other._meaning()
        if isinstance(other, Mapping):
            mine = {key: value for key, (_, value, _) in self._found.items()}
            return mine == {lower(key) if isinstance(key, str) else key: value for key, value in other.items()}
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._meaning().items()))

    def _meaning(self) -> dict[str, "tuple[str | None, bool]"]:
        return {key: comparable(parameter) for key, parameter in self._found.items()}


def _by_name(found: list[Parameter]) -> dict[str, Parameter]:
    return {lower(parameter[0]): parameter for parameter in found}


def comparable(parameter: Parameter) -> tuple[str | None, bool]:
    """A parameter's value as it is compared: a quoted one exactly, a token in any case (7.3.1)."""
    _, value, quoted = parameter
    return (value if quoted or value is None else lower(value)), quoted


def shared_parameters_agree(one: Params, other: Params) -> bool:
    """Whether the parameters that both have agree; those that one side alone has do not count (20.20, 20.39)."""
    mine, theirs = one._meaning(), other._meaning()
    return all(theirs[key] == value for key, value in mine.items() if key in theirs)


def read_params(text: str, separator: str = ";") -> Params:
    """The Params of a value's parameter text, which was checked when the value was made."""
    return Params._made(text, scan_parameters(text, 0, separator)) if text else Params.EMPTY


Params.EMPTY = Params()
