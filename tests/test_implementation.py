"""Which of the two implementations is used, and that a broken compiled core is never passed over in silence."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import sipstack
from sipstack import _udp_py, transport

PROGRAM = "import sipstack; print(sipstack.IMPLEMENTATION, sipstack.parse.__module__)"


@pytest.fixture
def plain_copy(tmp_path: Path) -> Path:
    """A copy of the package without its compiled modules."""
    package = Path(sipstack.__file__).parent
    shutil.copytree(package, tmp_path / "sipstack", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    return tmp_path


def run(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIPSTACK_")}
    environment |= {"PYTHONPATH": str(path), **variables}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_without_compiled_core(plain_copy: Path) -> None:
    result = run(plain_copy, PYTHONWARNINGS="error")
    assert result.stdout == "python sipstack._parser_py\n", result.stderr
    assert result.stderr == ""


def test_without_compiled_core_where_it_is_required(plain_copy: Path) -> None:
    result = run(plain_copy, SIPSTACK_REQUIRE_EXTENSIONS="1")
    assert result.returncode != 0
    assert "sipstack._parser" in result.stderr
    assert "Error" in result.stderr


@pytest.fixture
def broken_copy(plain_copy: Path) -> Path:
    """A copy whose compiled core is there and cannot be loaded."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (plain_copy / "sipstack" / f"_parser{suffix}").write_bytes(b"this is no shared library")
    return plain_copy


def test_broken_compiled_core_is_loud(broken_copy: Path) -> None:
    result = run(broken_copy)
    assert result.stdout == "python sipstack._parser_py\n"
    assert "RuntimeWarning" in result.stderr
    assert "_parser" in result.stderr  # the reason, as the loader gave it


@pytest.mark.parametrize("name", ["_first_steps", "_dispatch", "_udp"])
def test_any_other_broken_compiled_module_is_loud(plain_copy: Path, name: str) -> None:
    if name == "_udp" and sys.platform != "linux":
        pytest.skip("is for Linux")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (plain_copy / "sipstack" / f"{name}{suffix}").write_bytes(b"this is no shared library")
    result = run(plain_copy)
    assert result.stdout == "python sipstack._parser_py\n"
    assert f"RuntimeWarning: sipstack.{name} cannot be loaded, sipstack.{name}_py is used instead: " in result.stderr
    assert run(plain_copy, SIPSTACK_NO_EXTENSIONS="1", PYTHONWARNINGS="error").stderr == ""


def test_broken_compiled_core_where_it_is_required(broken_copy: Path) -> None:
    assert run(broken_copy, SIPSTACK_REQUIRE_EXTENSIONS="1").returncode != 0


def test_broken_compiled_core_where_none_is_wanted(broken_copy: Path) -> None:
    result = run(broken_copy, SIPSTACK_NO_EXTENSIONS="1", PYTHONWARNINGS="error")
    assert result.stdout == "python sipstack._parser_py\n", result.stderr


def test_both_parsers_have_the_same_help(both: tuple[ModuleType, ModuleType]) -> None:
    compiled, plain = both
    assert inspect.getdoc(compiled.parse) == inspect.getdoc(plain.parse)
    assert inspect.getdoc(compiled.Message) == inspect.getdoc(plain.Message)
    assert parameters(compiled.parse) == parameters(plain.parse)
    for name, member in vars(plain.Message).items():
        if not name.startswith("_"):
            ours = inspect.getattr_static(compiled.Message, name)
            assert inspect.getdoc(ours), name
            assert inspect.getdoc(ours) == inspect.getdoc(member), name
            if not isinstance(member, property):
                assert parameters(getattr(compiled.Message, name)) == parameters(getattr(plain.Message, name)), name


def parameters(function: Callable[..., object]) -> list[tuple[str, object]]:
    """Names and defaults; whether each may be positional is the same where the defaults are behind a `*`."""
    signature = inspect.signature(function)
    return [
        (name, parameter.default, parameter.kind is parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
    ]


def public(owner: object) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def test_both_parsers_have_the_same_names(both: tuple[ModuleType, ModuleType]) -> None:
    compiled, plain = both
    assert public(compiled.Message) == public(plain.Message)


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("methods.py", r'"Via",\s+"From",', '"From", "Via",', "place 1 of HEADER_NAMES is 'From'"),
        ("methods.py", '"Path",', '"Path", "' + "X" * 40 + '",', "does not fit into the table of _names.h"),
        (
            "headers/_numbers.py",
            r'__slots__ = \("method", "num"\)',
            '__slots__ = ("a", "method", "num")',
            "CSeq size changed",
        ),
        ("_node.py", r'__slots__ = \("_at",', '__slots__ = ("_a", "_at",', "Node size changed"),
        ("headers/_via.py", r'__slots__ = \("_params",', '__slots__ = ("_a", "_params",', "Via size changed"),
        (
            "uri.py",
            "scheme=scheme, user=user, password=password, host=host,",
            'scheme="sip", user=user, password=password, host=host,',
            "do not lie as in _layouts.h: see uri",
        ),
    ],
)
def test_names_and_layouts_that_do_not_fit_are_refused(
    both: tuple[ModuleType, ModuleType], tmp_path: Path, file: str, old: str, new: str, reason: str
) -> None:
    shutil.copytree(Path(sipstack.__file__).parent, tmp_path / "sipstack")
    module = tmp_path / "sipstack" / file
    text = module.read_text(encoding="utf-8")
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    module.write_text(changed, encoding="utf-8")
    result = run(tmp_path, SIPSTACK_REQUIRE_EXTENSIONS="1")
    assert result.returncode != 0
    assert reason in result.stderr


def test_compiled_core_is_preferred(both) -> None:
    result = run(Path(sipstack.__file__).parent.parent)
    assert result.stdout == "cython sipstack._parser\n", result.stderr


def test_a_python_without_a_gil_stays_without() -> None:
    if not sysconfig.get_config_var("Py_GIL_DISABLED") or sipstack.IMPLEMENTATION != "cython":
        pytest.skip("is for the compiled core on a free-threaded Python")
    program = "import sipstack, sys; print(sys._is_gil_enabled())"
    command = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stderr, result.stdout) == ("", "False\n")


IN_A_SUBINTERPRETER = r"""
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import sipstack
assert sipstack.IMPLEMENTATION == "python", sipstack.IMPLEMENTATION
texts = [str(each.message) for each in caught if str(each.message).startswith("sipstack._parser ")]
assert len(texts) == 1 and "subinterpreter" in texts[0], texts
assert sipstack.parse(b"OPTIONS sip:a@b SIP/2.0\r\nMax-Forwards: 7\r\n\r\n").max_forwards == 7
print("fine")
"""


@pytest.mark.parametrize("before", ["import sipstack", "pass"])
def test_a_subinterpreter_has_the_plain_one_and_says_so(before: str) -> None:
    if sipstack.IMPLEMENTATION != "cython":
        pytest.skip("the compiled core is not there")
    if sys.version_info < (3, 12):
        pytest.skip("a subinterpreter with a GIL of its own is new in Python 3.12")
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    program = f"import {module} as them; {before}; print(them.run_string(them.create(), {IN_A_SUBINTERPRETER!r}))"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIPSTACK_")}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.split() == ["fine", "None"], result.stdout + result.stderr


def test_the_two_ways_to_a_socket_are_called_alike() -> None:
    if transport._udp is _udp_py:
        pytest.skip("the compiled one is not there")
    compiled, plain = transport._udp.Batch, _udp_py.Batch
    public = [name for name in dir(plain) if not name.startswith("_")]
    assert public == [name for name in dir(compiled) if not name.startswith("_")]
    functions = [(getattr(compiled, name), getattr(plain, name)) for name in public if callable(getattr(plain, name))]
    for one, other in [*functions, (transport._udp.refuse_new, _udp_py.refuse_new)]:
        parameters = inspect.signature(one).parameters.values(), inspect.signature(other).parameters.values()
        assert [[(p.name, p.default) for p in each] for each in parameters[:1]] == [
            [(p.name, p.default) for p in each] for each in parameters[1:]
        ]


def test_public_names_are_there_and_sorted() -> None:
    assert len(set(sipstack.__all__)) == len(sipstack.__all__)
    for name in sipstack.__all__:
        assert hasattr(sipstack, name)
