"""The plain C rooms of the compiled core, fuzzed for two seconds without an interpreter (fuzz/fuzz_core.c).

`.ci/sanitize --core` does the same for longer, with the sanitizers, with SSE2 and without.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
HARNESS = REPOSITORY / "fuzz" / "fuzz_core.c"
HEADERS = REPOSITORY / "src" / "sipstack"
MESSAGES = sorted((REPOSITORY / "tests" / "torture").glob("*.sip"))


@pytest.fixture(scope="module")
def fuzz_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The harness, compiled; the pages around its inputs are guarded, so that it needs no sanitizer."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("no C compiler (cc, gcc)")
    if not (HEADERS / "_head.h").exists():
        pytest.skip("the source of the compiled core is not here")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_core"
    warnings = ["-std=c99", "-Wall", "-Wextra"]
    command = [compiler, *warnings, "-O2", f"-I{HEADERS}", "-o", str(program), str(HARNESS)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return program


def run(program: Path, folder: Path, *arguments: str) -> str:
    """What it prints; what it found fails the test, with the input."""
    found = folder / "found"
    command = [str(program), "-o", str(found), *arguments, *map(str, MESSAGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout, done.stderr, found.read_bytes() if found.exists() else b"")
    return done.stdout


def test_two_seconds(fuzz_core: Path, tmp_path: Path):
    assert "digest" in run(fuzz_core, tmp_path, "-s", "2")


def test_a_seed_gives_the_same_results_every_time(fuzz_core: Path, tmp_path: Path):
    first, again = (run(fuzz_core, tmp_path, "-r", "7", "-n", "2000").split("digest ")[1] for _ in range(2))
    assert first == again
