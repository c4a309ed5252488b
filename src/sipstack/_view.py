"""The `headers` view of a message: what multidict's users know, over a message's own header calls."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ._values import lower, need_str
from ._writing import (
    HeaderInput,
    HeaderSource,
    check_content_length,
    encode_name,
    encode_value,
    header_lines,
    header_pairs,
)
from .methods import header_id

if TYPE_CHECKING:
    from ._parser_py import Message

T = TypeVar("T")
_MISSING: Any = object()
_CONTENT_LENGTH = header_id("Content-Length")


def check_own_view(message: "Message", view: object) -> None:
    """Let a message's headers be assigned to themselves, and say what to do instead of assigning others."""
    if not (isinstance(view, Headers) and view._message is message):
        raise AttributeError("headers of a Message cannot be set: headers.update replaces those that it names")


def _merged(old: list[tuple[str, Any]], new: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    named = {_key(name) for name, _ in new}
    return [pair for pair in old if _key(pair[0]) not in named] + new


def _key(name: str) -> int | str:
    """What the spellings of one name share."""
    return header_id(need_str(name, "header name")) or lower(name)


class Headers:
    """A message's headers: ordered, case-insensitive, several values a name, a compact form equal to its long name.

    A live view with the method names of `multidict.MutableMultiMapping`. It keeps the message, not a copy.
    """

    __slots__ = ("_message",)

    def __init__(self, message: "Message") -> None:
        self._message = message

    def __repr__(self) -> str:
        return f"<Headers {self._message._items()!r}>"

    def __len__(self) -> int:
        return self._message._count()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._message.get_header(name) is not None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._message._items() == other._message._items()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> str:
        return self.getone(name)

    def __setitem__(self, name: str, value: HeaderInput) -> None:
        self._message.set_header(name, value)

    def __delitem__(self, name: str) -> None:
        if not self._message.remove_header(name):
            raise KeyError(name)

    def __or__(self, headers: HeaderSource) -> list[tuple[str, Any]]:
        """The headers as pairs, those that are named in `headers` replaced by what stands there: for a builder."""
        return _merged(self.items(), list(header_pairs(headers)))

    def __ror__(self, headers: HeaderSource) -> list[tuple[str, Any]]:
        return _merged(list(header_pairs(headers)), self.items())

    def __ior__(self, headers: HeaderSource) -> Self:
        """The same as `update`."""
        self.update(headers)
        return self

    def _ipython_key_completions_(self) -> list[str]:
        return list(dict.fromkeys(self.keys()))

    def items(self) -> list[tuple[str, str]]:
        """Every (name, value) in the order of the message, names as they are spelled there."""
        return self._message._items()

    def keys(self) -> list[str]:
        """Every name in the order of the message, repeated names repeated."""
        return [name for name, _ in self._message._items()]

    def values(self) -> list[str]:
        """Every value in the order of the message."""
        return [value for _, value in self._message._items()]

    @overload
    def getone(self, name: str) -> str: ...
    @overload
    def getone(self, name: str, default: T) -> str | T: ...
    def getone(self, name: str, default: Any = _MISSING) -> Any:
        """The first value of `name`; the default, or KeyError without one, where there is none."""
        value = self._message.get_header(name, default)
        if value is _MISSING:
            raise KeyError(name)
        return value

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: T) -> str | T: ...
    def get(self, name: str, default: Any = None) -> Any:
        """The first value of `name`, or the default."""
        return self._message.get_header(name, default)

    @overload
    def getall(self, name: str) -> list[str]: ...
    @overload
    def getall(self, name: str, default: T) -> list[str] | T: ...
    def getall(self, name: str, default: Any = _MISSING) -> Any:
        """Every value of `name`; the default, or KeyError without one, where there is none."""
        values = self._message.get_headers(name) or default
        if values is _MISSING:
            raise KeyError(name)
        return values

    def add(self, name: str, value: HeaderInput) -> None:
        """Append a header."""
        self._message.add_header(name, value)

    def extend(self, headers: HeaderSource) -> None:
        """Append several headers; all of them, or none where one cannot be written."""
        for name, value in self._checked(headers):
            self._message.add_header(name, value)

    def update(self, headers: HeaderSource) -> None:
        """Replace every header that is named in `headers` by what stands there."""
        named = self._checked(headers)
        for name, _ in named:
            self._message.remove_header(name)
        for name, value in named:
            self._message.add_header(name, value)

    def _checked(self, headers: HeaderSource) -> list[tuple[str, Any]]:
        """The pairs, when each can be written: one that is refused must not leave half of them in the message."""
        named = list(header_lines(headers))
        for name, value in named:
            encode_name(name)
            data = encode_value(name, value)
            if header_id(name) == _CONTENT_LENGTH:
                check_content_length(data, len(self._message.body))
        return named

    def setdefault(self, name: str, default: str = "") -> str:
        """The first value of `name`, which is added with the default where there is none."""
        value: str | None = self._message.get_header(name)
        if value is None:
            self._message.add_header(name, default)
            value = self.getone(name)
        return value

    @overload
    def popone(self, name: str) -> str: ...
    @overload
    def popone(self, name: str, default: T) -> str | T: ...
    def popone(self, name: str, default: Any = _MISSING) -> Any:
        """Remove the first header of that name and return its value; as `getone` where there is none."""
        value, *_ = self._message._take(name, False) or [default]
        if value is _MISSING:
            raise KeyError(name)
        return value

    pop = popone

    @overload
    def popall(self, name: str) -> list[str]: ...
    @overload
    def popall(self, name: str, default: T) -> list[str] | T: ...
    def popall(self, name: str, default: Any = _MISSING) -> Any:
        """Remove every header of that name and return their values; as `getall` where there is none."""
        values = self._message._take(name, True) or default
        if values is _MISSING:
            raise KeyError(name)
        return values

    def popitem(self) -> tuple[str, str]:
        """Remove the first header and return its name and value; KeyError where there is none."""
        for name, _ in self._message._items():
            for value in self._message._take(name, False):
                return name, value
        raise KeyError("no headers")

    def clear(self) -> None:
        """Remove every header."""
        for name in self.keys():
            self._message.remove_header(name)
