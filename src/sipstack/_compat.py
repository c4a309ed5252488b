"""The one place that chooses between a compiled module and its plain twin: `_x` is compiled, `_x_py` is Python.

`SIPSTACK_NO_EXTENSIONS=1` forces the plain ones; with `SIPSTACK_REQUIRE_EXTENSIONS=1` a compiled one that is missing is
an ImportError. A compiled module that is there and cannot be loaded is never passed over in silence.
"""

import importlib.util
import os
import sys
import warnings
from types import ModuleType
from typing import Final

_FORBIDDEN: Final = os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1"
_REQUIRED: Final = os.environ.get("SIPSTACK_REQUIRE_EXTENSIONS") == "1"
_ONLY_ON_LINUX: Final = ("_udp",)


def load(name: str) -> ModuleType:
    """The compiled module of this name, or its plain twin where there is none or none is wanted."""
    plain, compiled = f"sipstack.{name}_py", f"sipstack.{name}"
    if _FORBIDDEN or (name in _ONLY_ON_LINUX and sys.platform != "linux"):
        return importlib.import_module(plain)
    try:
        return importlib.import_module(compiled)
    except ImportError as error:
        if _REQUIRED:
            raise
        if importlib.util.find_spec(compiled) is not None:
            warnings.warn(f"{compiled} cannot be loaded, {plain} is used instead: {error}", RuntimeWarning, 2)
    return importlib.import_module(plain)
