"""What every structured value stands on: the immutable base class, and the words that are read and written alike.

Reading takes values that are unfolded already and raises HeaderError; writing raises SerializeError, or TypeError for
what has the wrong type.

Reading is tolerant: what can be read in one way is read, and what is wrong with it is noted (`tolerate`) for who asks
(`Flaws`).
"""

import re
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import wraps
from operator import index
from types import MemberDescriptorType
from typing import Any, ClassVar, Final, Self, TypeGuard

from ._grammar import BLANK, CONTROL_CHARS, NO_UTF8_CHARS, QUOTED_STRING, is_token, read_ipv6
from ._limits import MAX_SECONDS
from .errors import HeaderError, SerializeError

_QUOTED_STRING: Final = re.compile(QUOTED_STRING)
_CONTROL: Final = re.compile(f"[{CONTROL_CHARS}]")
_UNWRITABLE: Final = re.compile(f"[{CONTROL_CHARS}{NO_UTF8_CHARS}]")
_LETTERS: Final = [(chr(code), chr(code + 32)) for code in range(ord("A"), ord("Z") + 1)]


class HeaderValue:
    """The parent of all structured values: immutable, comparable, hashable, `str()` writes it as SIP.

    A class gives `_key`, what two equal values share, and `_head`, its text. Values made by reading skip `__init__`,
    and so do those of the compiled core, which fills the slots itself: a slot is a plain object, and what follows from
    the slots is a property.
    """

    __slots__ = ()
    _setters: ClassVar[dict[str, Callable[[object, object], None]]]
    """What sets each slot of a class: half as fast again as object.__setattr__, which looks for it each time."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "parse" in vars(cls):
            setattr(cls, "parse", classmethod(_of_text(vars(cls)["parse"].__func__)))  # noqa: B010
        members = [item for parent in reversed(cls.__mro__) for item in vars(parent).items()]
        cls._setters = {name: slot.__set__ for name, slot in members if isinstance(slot, MemberDescriptorType)}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value; raises `HeaderError` where it breaks its grammar."""
        raise NotImplementedError

    @classmethod
    def _of(cls, **slots: object) -> Self:
        """A value with these slots, which were checked."""
        value = cls.__new__(cls)
        setters = cls._setters
        for name, content in slots.items():
            setters[name](value, content)
        return value

    def _key(self) -> object:
        """What counts in a comparison, and what the hash is of."""
        raise NotImplementedError

    def _agrees(self, other: Self) -> bool:  # noqa: ARG002 - for those that override it
        """Whether a value with an equal key is equal: for comparisons that no key expresses."""
        return True

    def _head(self) -> str:
        """The text, without the parameters of a class that has some."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._key() == other._key() and self._agrees(other)

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return self._head()

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"

    def __setattr__(self, name: str, value: object) -> None:
        instead = f"; replace({name}=...) makes a changed copy" if hasattr(self, "replace") else ""
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set{instead}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), {name: getattr(self, name) for name in self._setters})


def _of_text(parse: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """A class's `parse`, which names its argument where that is no text."""

    @wraps(parse)
    def checked(cls: type[HeaderValue], text: str) -> object:
        return parse(cls, text if type(text) is str else need_str(text, "text"))

    return checked


def _restore(cls: type[HeaderValue], slots: dict[str, object]) -> HeaderValue:
    return cls._of(**slots)


def assign(value: HeaderValue, /, **slots: object) -> None:
    """Set the slots of a value that is being made."""
    for name, content in slots.items():
        value._setters[name](value, content)


def lower(text: str) -> str:
    """Lower case for the letters A to Z alone, as the RFC's case-insensitive comparing means it."""
    if text.isascii():
        return text.lower()
    for upper, letter in _LETTERS:  # a table for str.translate would be looked at for each character
        text = text.replace(upper, letter)
    return text


def canonical_host(host: str) -> str:
    """What equal hosts share: names in lower case, IPv6 addresses by their bits, with or without brackets.

    An IPv4-mapped address is another one than the IPv4 address in it: their bits are not the same (RFC 5954 4.2).
    """
    if ":" not in host:
        return lower(host)
    address = read_ipv6(host.removeprefix("[").removesuffix("]"))
    if address is None:
        return lower(host)
    return f"[::ffff:{address.ipv4_mapped}]" if address.ipv4_mapped else f"[{address.compressed}]"


# --- reading ---------------------------------------------------------------------------------------------------------

_NOTED: Final[ContextVar[list[str] | None]] = ContextVar("noted", default=None)


def tolerate(reason: str) -> None:
    """Note what is wrong with a text that is read all the same."""
    noted = _NOTED.get()
    if noted is not None:
        noted.append(reason)


class Flaws:
    """Collects what is noted: `with Flaws() as found:` gives a list that grows while values are read inside."""

    __slots__ = ("_before", "_found")

    def __enter__(self) -> list[str]:
        self._found: list[str] = []
        self._before: Token[list[str] | None] = _NOTED.set(self._found)
        return self._found

    def __exit__(self, *_: object) -> None:
        _NOTED.reset(self._before)


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
    significant = text.lstrip("0") or "0"
    if len(significant) > 10 or int(significant) > maximum:
        raise HeaderError(f"{what} is out of range", offset=offset)
    return int(significant)


def parse_delta(text: str, what: str, offset: int = 0) -> int:
    """Seconds (delta-seconds): a decimal number of ASCII digits. What is over 2**32 - 1 is read as that.

    Who sends more means "for ever" (a timer without end, -1 printed as 64 bits), and whatever is granted is less.
    """
    try:
        return parse_number(text, MAX_SECONDS, what, offset)
    except HeaderError as error:
        if not (text.isascii() and text.isdecimal()):
            raise
        tolerate(error.reason)
        return MAX_SECONDS


def unquote(inside: str) -> str:
    """The meaning of what stands between quotes or in a comment: every quoted-pair is its second character."""
    if "\\" not in inside:
        return inside
    lone = "\\" if (len(inside) - len(inside.rstrip("\\"))) % 2 else ""  # has nothing behind it
    # A line end, which is in no value, stands for the backslashes that stay: a call for each pair would be dear.
    return inside.replace("\\\\", "\n").replace("\\", "").replace("\n", "\\") + lone


def parse_quoted(text: str, position: int) -> tuple[str, int]:
    """The quoted string at a position: its meaning, and where it ends."""
    found = _QUOTED_STRING.match(text, position)
    if found is None:
        raise HeaderError("quoted string is not closed or holds a control character", offset=position)
    return unquote(found[1]), found.end()


def skip_blanks(text: str, position: int) -> int:
    """Where the blanks at a position end."""
    while position < len(text) and text[position] in BLANK:
        position += 1
    return position


# --- writing ---------------------------------------------------------------------------------------------------------


# What a subclass says of itself (an enum's member gives its name, and anything may lie) is not asked: these give a
# plain str or int.


def need_str(value: object, what: str) -> str:
    """The value's text, when it is a str; TypeError otherwise."""
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    return str.__str__(value)


def is_int(value: object) -> TypeGuard[int]:
    """Whether it is an int, which a bool is not to us."""
    return isinstance(value, int) and not isinstance(value, bool)


def need_int(value: object, what: str) -> int:
    """The value's number, when it is an int; TypeError otherwise."""
    if type(value) is int:
        return value
    if not is_int(value):
        raise TypeError(f"{what} must be int, not {type(value).__name__}")
    return int.__int__(value)


def need_limit(value: object, what: str, least: int = 0, most: int | None = None) -> int:
    """A limit that a caller sets, an int or what stands for one; ValueError where nothing can be within it."""
    number = value if type(value) is int else _index(value, what)
    if number >= least and (most is None or number <= most):
        return number
    wanted = f"not be negative, as {number} is" if most is None else f"be from {least} to {most}, not {number}"
    raise ValueError(f"{what} must {wanted}")


def _index(value: object, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be int, not {type(value).__name__}")
    return index(value)


def need_token(value: object, what: str) -> str:
    """The value, when it is a token; SerializeError otherwise."""
    text = need_str(value, what)
    if not is_token(text):
        raise SerializeError(f"{what} is not a token")
    return text


def need_number(value: object, what: str, maximum: int, minimum: int = 0) -> int:
    """The value, when it is an int between the bounds."""
    number = need_int(value, what)
    if not minimum <= number <= maximum:
        raise SerializeError(f"{what} is out of range")
    return number


def need_text(value: object, what: str) -> str:
    """The value, when nothing in it is a control character (but HTAB) or cannot be written as UTF-8."""
    text = need_str(value, what)
    if _UNWRITABLE.search(text):
        raise SerializeError(f"{what} holds a control character or half a surrogate pair")
    return text


def quote(text: str) -> str:
    """A quoted string that means the text. Quote, backslash and control characters become quoted-pairs."""
    escaped = escape(text, '"')
    for control in set(_CONTROL.findall(text)):
        escaped = escaped.replace(control, f"\\{control}")
    return f'"{escaped}"'


def escape(text: str, characters: str) -> str:
    """The text with a backslash before each backslash and each of the characters."""
    for character in f"\\{characters}":
        text = text.replace(character, f"\\{character}")
    return text
