"""Builds the compiled core. Without a compiler the install goes on with the plain implementation.

SIPSTACK_NO_EXTENSIONS=1       builds none of the extensions (the py3-none-any wheel)
SIPSTACK_REQUIRE_EXTENSIONS=1  makes a failing build of one an error
SIPSTACK_TRACE=1               line tracing, for the coverage of the .pyx files
CFLAGS, LDFLAGS                come after the interpreter's own flags: what they do not name stays as it is
"""

import ast
import json
import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

PACKAGE = Path("src/sipstack")
MODULES = {
    "_parser": "_parser.pyx",
    "_first_steps": "_first_steps_py.py",
    "_dispatch": "_dispatch_py.py",
    "_udp": "_udp.pyx",
}
DESCRIBED = ("Message", "parse", "forward_request", "forward_response", "take_routes")
if not sys.platform.startswith("linux"):
    del MODULES["_udp"]  # recvmmsg and sendmmsg


def keep_the_flags_of_python():
    """Put the flags that Python itself was built with (-O3, -DNDEBUG) before those of CFLAGS.

    setuptools takes CFLAGS in their place: a core built with CFLAGS=-g0 has asserts, and is ten times slower.
    """
    own = sysconfig.get_config_var("CFLAGS")
    if own and "CFLAGS" in os.environ:
        os.environ["CFLAGS"] = f"{own} {os.environ['CFLAGS']}"


def write_docstrings():
    """Write the docstrings of the plain twin into a C header, which the compiled core has its own from (_docs.pxi)."""
    sources = [(PACKAGE / name).read_text("utf-8") for name in ("_parser_py.py", "_forwarding.py")]
    nodes = [node for source in sources for node in ast.parse(source).body]
    nodes = [node for node in nodes if getattr(node, "name", None) in DESCRIBED]
    nodes += [item for node in nodes if isinstance(node, ast.ClassDef) for item in node.body]
    docs = [(node.name, ast.get_docstring(node)) for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    lines = [f"{{{json.dumps(name)}, {json.dumps(doc)}}},\n" for name, doc in docs if doc and not name.startswith("_")]
    text = "static const char *const sip_docs[][2] = {\n" + "".join(lines) + "{0, 0}};\n"
    header = PACKAGE / "_docs.h"
    if not header.exists() or header.read_text("utf-8") != text:
        header.write_text(text, "utf-8")


def drop_what_is_old():
    """Drop the C of the modules that have a .pxd by another name than their source, which Cython does not look at."""
    newest = max(path.stat().st_mtime for path in PACKAGE.glob("*.pxd"))
    for name, source in MODULES.items():
        made = (PACKAGE / source).with_suffix(".c")
        if not source.startswith(f"{name}.") and made.exists() and made.stat().st_mtime < newest:
            made.unlink()


def extensions():
    if os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1" or sys.implementation.name != "cpython":
        return []
    from Cython.Build import cythonize

    keep_the_flags_of_python()
    write_docstrings()
    drop_what_is_old()
    trace = os.environ.get("SIPSTACK_TRACE") == "1"
    built = {
        "depends": [str(path) for path in PACKAGE.iterdir() if path.suffix in {".h", ".pxi", ".pxd"}],
        "define_macros": [("CYTHON_TRACE", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if trace else [],
    }
    modules = cythonize(
        [Extension(f"sipstack.{name}", [str(PACKAGE / source)], **built) for name, source in MODULES.items()],
        include_path=["src"],
        compiler_directives={"annotation_typing": False, "linetrace": trace, "freethreading_compatible": True},
    )
    for module in modules:
        module.optional = os.environ.get("SIPSTACK_REQUIRE_EXTENSIONS") != "1"  # here, because cythonize drops it
    return modules


setup(ext_modules=extensions())
