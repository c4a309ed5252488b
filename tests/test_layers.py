"""The layers of the package: a module imports only from lines above its own."""

import ast
import re
from pathlib import Path

import pytest

import sipstack

PACKAGE = Path(sipstack.__file__).parent
LAYERS = """
    _address _compat _limited_log _limits errors methods
    _grammar _stats
    _values
    _params
    uri headers._lists
    headers._base
    headers._address headers._auth headers._dates headers._dialogs headers._events headers._intervals headers._media
    headers._numbers headers._reasons headers._via
    headers
    _diagnose _rewrite validation
    _writing
    _view
    _parser _parser_py
    message
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
    cli._numbers cli._text
    cli._parse cli._ping cli._serve
    cli
    __main__
"""
LEVEL = {name: level for level, line in enumerate(LAYERS.splitlines()) for name in line.split()}


def modules() -> dict[str, Path]:
    """Every module by its name inside the package; the package itself is `.`."""
    paths = [path for suffix in ("*.py", "*.pyx") for path in PACKAGE.rglob(suffix)]
    names = {path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths}
    return {re.sub(r"\.?__init__$", "", name) or ".": path for path, name in names.items()}


def imported(path: Path) -> set[str]:
    """The modules of the package that one imports when it runs, by `load` of _compat too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        return set(re.findall(r"^from \.([\w.]+) import", text, re.MULTILINE))
    found = set(re.findall(r'\bload\("(\w+)"\)', text))
    package = ["sipstack", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ForRunning().visit(ast.parse(text))):
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = [*start, *(node.module or "").split(".")]
            if base[0] == "sipstack":
                name = ".".join(filter(None, base[1:]))
                found |= {f"{name}.{alias.name}".strip(".") for alias in node.names} & MODULES.keys() or {name or "."}
    return found


class ForRunning(ast.NodeTransformer):
    """Takes out what is imported for types alone."""

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Module(node.orelse, []) if ast.unparse(node.test) == "TYPE_CHECKING" else node


MODULES = modules()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down(name: str):
    upward = {other for other in imported(MODULES[name]) if LEVEL[other] >= LEVEL[name]}
    assert upward == set()


def test_every_module_has_a_layer():
    assert set(MODULES) - set(LEVEL) == set()
