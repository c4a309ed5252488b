"""The public `Message` and `parse`, compiled where they can be (`_compat` says when)."""

from typing import TYPE_CHECKING, Final

from ._compat import load

__all__ = ["IMPLEMENTATION", "Message", "parse"]

if TYPE_CHECKING:
    from ._parser_py import Message, parse
else:
    _parser = load("_parser")
    Message, parse = _parser.Message, _parser.parse

IMPLEMENTATION: Final[str] = "python" if parse.__module__.endswith("_py") else "cython"
