"""Builds the compiled core. Without a compiler the install goes on with the plain implementation.

SIPSTACK_NO_EXTENSIONS=1       builds none of the extensions (the py3-none-any wheel)
SIPSTACK_REQUIRE_EXTENSIONS=1  makes a failing build of one an error
SIPSTACK_TRACE=1               line tracing, for the coverage of the .pyx files
CFLAGS, LDFLAGS                are honoured, for sanitizer builds
"""

import ast
import json
import os
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("src/sipstack")
REQUIRED = os.environ.get("SIPSTACK_REQUIRE_EXTENSIONS") == "1"
TRACE = os.environ.get("SIPSTACK_TRACE") == "1"
PLAIN = os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1" or sys.implementation.name != "cpython"
MODULES = {"_parser": "_parser.pyx", "_dispatch": "_dispatch_py.py"}
if sys.platform.startswith("linux"):
    MODULES["_udp"] = "_udp.pyx"


def write_docstrings():
    """Write the docstrings of the plain parser into a C header, where the compiled one has its own from."""
    tree = ast.parse((SOURCES / "_parser_py.py").read_text("utf-8"))
    nodes = [node for node in tree.body if getattr(node, "name", "") in ("Message", "parse")]
    nodes += [item for node in nodes if isinstance(node, ast.ClassDef) for item in node.body]
    docs = {node.name: ast.get_docstring(node) for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    lines = [f"{{{json.dumps(name)}, {json.dumps(text)}}}," for name, text in docs.items() if text and name[0] != "_"]
    text = "static const char *const sip_docs[][2] = {\n%s\n{0, 0}};\n" % "\n".join(lines)
    path = SOURCES / "_docs.h"
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def extensions():
    if PLAIN:
        return []
    from Cython.Build import cythonize

    write_docstrings()
    depends = [str(path) for path in SOURCES.glob("*") if path.suffix in {".h", ".pxi", ".pxd"}]
    macros = [("CYTHON_TRACE", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACE else []
    modules = cythonize(
        [Extension(f"sipstack.{name}", [str(SOURCES / file)], None, macros, depends=depends) for name, file in MODULES.items()],
        include_path=["src"],
        compiler_directives={"annotation_typing": False} | ({"linetrace": True} if TRACE else {}),
    )
    for module in modules:
        module.optional = not REQUIRED  # here, because cythonize drops it
    return modules


setup(ext_modules=extensions())
