"""The README's program runs as it stands there, and its commands are there for `.ci/run` to run."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.fixture(scope="module")
def text() -> str:
    if not README.exists():
        pytest.skip("the README is not here")
    return README.read_text(encoding="utf-8")


def test_program(text: str, capsys) -> None:
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(program, str(README), "exec"), names)
    first, *written = capsys.readouterr().out.split("\n")
    said = re.search(r"branch\)  # (.*)", program)[1]
    assert first == said
    written = "\n".join(written)
    assert written.startswith("INVITE sip:bob@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP proxy.example.com;")
    assert "\r\nv: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds\r\n" in written
    assert "\r\nMax-Forwards: 69\r\n" in written
    assert "\r\nSubject: Lunch\r\n" in written
    assert names["options"](names["message"], ("192.0.2.1", 5060)).status_code == 200


@pytest.mark.parametrize("ends_with", ["sipstack serve", "pytest"])
def test_commands(text: str, ends_with: str) -> None:
    assert len(re.findall(rf"^python3 .*{ends_with}$", text, re.MULTILINE)) == 1
