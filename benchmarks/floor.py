"""The memchr floor: `floor.c`, built on demand into a temporary folder."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("floor.c")


class NoCompilerError(Exception):
    """The floor cannot be built here; the table then has no ratios to it."""


@cache
def _library() -> ctypes.CDLL:
    compiler = os.environ.get("CC") or next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise NoCompilerError("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "floor.so"
        command = [*compiler.split(), "-O2", "-shared", "-fPIC", "-o", str(target), str(SOURCE)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise NoCompilerError(f"{compiler} cannot build floor.c: {built.stderr.strip()}")
        library = ctypes.CDLL(str(target))
    library.floor_nanoseconds.restype = ctypes.c_double
    library.floor_nanoseconds.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.floor_lines.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    return library


def timer() -> Callable[[bytes, int], float]:
    """A function of message and count: nanoseconds a reading. Raises NoCompilerError."""
    function = _library().floor_nanoseconds
    return lambda raw, count: function(raw, len(raw), count)


def reader() -> Callable[[bytes, int], int]:
    """A function that reads the head of a message so many times. Raises NoCompilerError."""
    function = _library().floor_lines
    return lambda raw, count: function(raw, len(raw), count)
