"""The layers of the package: a module imports only from lines above its own."""

import ast
import re
from pathlib import Path

import pytest

import sipstack

PACKAGE = Path(sipstack.__file__).parent
LAYERS = """
    errors
    _address _compat _limits _printable _sip methods
    _first_steps _first_steps_py _grammar _limited_log _stats
    _values
    _params
    uri headers._counts headers._lists
    headers._base
    headers._address headers._auth headers._dates headers._dialogs headers._events headers._identity headers._ims
    headers._infos headers._intervals headers._media headers._numbers headers._preferences headers._products
    headers._reasons headers._via
    headers
    _diagnose _keys _random _rewrite validation
    _writing
    _broken _derived
    _describe _view multipart
    _branches
    _node
    _forwarding
    _parser _parser_py
    message
    proxy
    _invites _unreadable stream
    _udp _udp_py
    transport
    _config
    _reports
    _outbox
    _tasks
    _dispatch _dispatch_py
    _counters
    _serving
    _workers
    _running
    endpoint
    .
    cli._numbers
    cli._parse cli._ping cli._serve
    cli
    __main__
"""
LEVEL = {name: level for level, line in enumerate(LAYERS.splitlines()) for name in line.split()}
CYTHON_IMPORT = re.compile(r"^ *(?:from ([\w.]+) c?import (\w+|[*(])|c?import ([\w.]+))", re.MULTILINE)


def name_of(path: Path) -> str:
    """What a file belongs to, by its name inside the package; the package itself is `.`, an include the parser's."""
    if path.suffix == ".pxi":
        return "_parser"
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".") or "."


FILES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".pyx", ".pxd", ".pxi"})
NAMES = {name_of(path) for path in FILES}


def inside(package: list[str], module: str, level: int, names: list[str]) -> set[str]:
    """Which of the package's modules an import asks for; `names` is what stands behind `import`."""
    start = package[: len(package) + 1 - level] if level else []
    base = [*start, *filter(None, module.split("."))]
    if base[:1] != ["sipstack"]:
        return set()
    name = ".".join(base[1:])
    return {f"{name}.{last}".strip(".") for last in names} & LEVEL.keys() or {name or "."}


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports when it runs, wherever it says so."""
    text = path.read_text(encoding="utf-8")
    package = ["sipstack", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    if path.suffix != ".py":
        for origin, name, module in CYTHON_IMPORT.findall(text):
            dots = len(origin) - len(origin.lstrip("."))
            found |= inside(package, origin.lstrip(".") or module, dots, [name])
        return found
    for node in ast.walk(ForRunning().visit(ast.parse(text))):
        if isinstance(node, ast.ImportFrom):
            found |= inside(package, node.module or "", node.level, [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            found |= {name for alias in node.names for name in inside(package, alias.name, 0, [])}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__"}:
                found |= inside(package, node.args[0].value, 0, [])
            elif called == "load":
                found.add(node.args[0].value)
    return found


class ForRunning(ast.NodeTransformer):
    """Takes out what is imported for types alone."""

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Module(node.orelse, []) if ast.unparse(node.test) == "TYPE_CHECKING" else node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path):
    level = LEVEL[name_of(path)]
    upward = {other for other in imported(path) if LEVEL[other] >= level}
    assert upward - {name_of(path)} == set()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("_a.py", "def f():\n    import sipstack.cli._numbers as t", {"cli._numbers"}),
        ("_a.py", "from . import uri, Message", {"uri"}),
        ("_a.py", "from sipstack import Endpoint", {"."}),
        ("cli/_a.py", "from ..headers import Via\nfrom ._ping import target\nimport os", {"headers", "cli._ping"}),
        ("_a.py", "import importlib\nimportlib.import_module('sipstack.endpoint')", {"endpoint"}),
        ("_a.py", "load('_parser')", {"_parser"}),
        ("_a.py", "if TYPE_CHECKING:\n    from .message import Message\nelse:\n    from .uri import Uri", {"uri"}),
        ("_a.pyx", " from .uri import (\nfrom sipstack._sip cimport *\ncimport sipstack.a", {"uri", "_sip", "a"}),
        ("_a.pxd", "from sipstack cimport _parser\nfrom libc.stdint cimport uint8_t\ncimport cython", {"_parser"}),
    ],
)  # fmt: skip
def test_every_kind_of_import_is_seen(tmp_path: Path, monkeypatch, name: str, text: str, expected: set[str]):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert imported(path) == expected


def test_every_module_has_a_layer():
    assert NAMES - set(LEVEL) == set()
