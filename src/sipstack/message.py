"""The public `Message` and `parse`: the compiled ones where they are built, else those in plain Python.

`SIPSTACK_NO_EXTENSIONS=1` forces the plain ones, `SIPSTACK_REQUIRE_EXTENSIONS=1` makes it an error that there are no
compiled ones. A compiled core that is there and cannot be loaded is never passed over in silence.
"""

import importlib.util
import os
import warnings
from typing import TYPE_CHECKING

__all__ = ["IMPLEMENTATION", "Message", "parse"]

_NO = os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1"
_REQUIRED = os.environ.get("SIPSTACK_REQUIRE_EXTENSIONS") == "1"

if TYPE_CHECKING:
    from ._parser import Message, parse

    IMPLEMENTATION: str
elif _NO:
    from ._parser_py import Message, parse

    IMPLEMENTATION = "python"
else:
    try:
        from ._parser import Message, parse

        IMPLEMENTATION = "cython"
    except ImportError as error:
        if _REQUIRED:
            raise
        if importlib.util.find_spec("sipstack._parser") is not None:
            warnings.warn(f"the compiled core cannot be loaded, so the plain one is used: {error}", RuntimeWarning, 2)
        from ._parser_py import Message, parse

        IMPLEMENTATION = "python"
