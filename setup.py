"""Builds the compiled core. Without a compiler the install goes on with the plain implementation.

SIPSTACK_NO_EXTENSIONS=1       builds none of the extensions (the py3-none-any wheel)
SIPSTACK_REQUIRE_EXTENSIONS=1  makes a failing build of one an error
SIPSTACK_TRACE=1               line tracing, for the coverage of the .pyx files
CFLAGS, LDFLAGS                are honoured, for sanitizer builds
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

REQUIRED = os.environ.get("SIPSTACK_REQUIRE_EXTENSIONS") == "1"
TRACE = os.environ.get("SIPSTACK_TRACE") == "1"
PLAIN = os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1" or sys.implementation.name != "cpython"
NAMES = ["_parser"] + (["_udp"] if sys.platform.startswith("linux") else [])


def extensions():
    if PLAIN:
        return []
    from Cython.Build import cythonize

    depends = [str(path) for path in Path("src/sipstack").glob("*") if path.suffix in {".h", ".pxi"}]
    macros = [("CYTHON_TRACE", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACE else []
    modules = cythonize(
        [Extension(f"sipstack.{name}", [f"src/sipstack/{name}.pyx"], None, macros, depends=depends) for name in NAMES],
        compiler_directives={"linetrace": True} if TRACE else {},
    )
    for module in modules:
        module.optional = not REQUIRED  # here, because cythonize drops it
    return modules


setup(ext_modules=extensions())
