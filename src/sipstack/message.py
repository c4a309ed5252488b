"""The public `Message` and `parse`, compiled where they can be (`_compat` says when)."""

from typing import TYPE_CHECKING, Final

from ._compat import load

__all__ = ["IMPLEMENTATION", "Message", "parse"]

core: Final = load("_parser")

if TYPE_CHECKING:
    from ._parser_py import Message, parse
else:
    Message, parse = core.Message, core.parse

IMPLEMENTATION: Final[str] = "python" if parse.__module__.endswith("_py") else "cython"
