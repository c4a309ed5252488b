"""The same assertions as fuzz_agreement.py, with libFuzzer choosing the inputs by what they reach (atheris).

    pip install atheris
    python fuzz/fuzz_atheris.py -max_total_time=300 [CORPUS FOLDER]

The plain implementation and the structured values are instrumented: an input that takes a new way through them is kept.
Our messages and values are the seeds; they are written into the corpus folder (a temporary one by default).
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

with atheris.instrument_imports(include=["sipstack"]):
    import agreement
    import sipstack._parser as compiled

    import sipstack._parser_py as simple

BOTH = (compiled, simple)
HEADERS = tuple(agreement.VALUES)
MESSAGE, VALUE, EDITS = range(3)


def test_one_input(data: bytes) -> None:
    """The first byte says what the others are: a message, a header's value, or edits of a message."""
    if not data:
        return
    kind, rest = data[0] % 3, data[1:]
    if kind == MESSAGE:
        agreement.agree(BOTH, rest, deep=True)
    elif kind == VALUE:
        agreement.agree_on_value(BOTH, HEADERS[data[0] // 3 % len(HEADERS)], rest)
    else:
        source = random.Random(rest)
        edits = [agreement.random_edit(source) for _ in range(min(len(rest), 40))]
        agreement.agree_on_edits(BOTH, agreement.MESSAGES[data[0] // 3 % len(agreement.MESSAGES)], edits)


def write_seeds(folder: Path) -> None:
    """One file for each message and each value."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(agreement.MESSAGES):
        (folder / f"message-{number}").write_bytes(bytes((MESSAGE,)) + message)
    for place, header in enumerate(HEADERS):
        for number, value in enumerate(agreement.VALUES[header]):
            (folder / f"{header}-{number}").write_bytes(bytes((place * 3 + VALUE,)) + value.encode())


def main() -> None:
    """Runs libFuzzer; its own options (`-help=1` lists them) and corpus folders are the arguments."""
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    folder = Path(folders[0]) if folders else Path(tempfile.mkdtemp(prefix="sipstack-fuzz-"))
    write_seeds(folder)
    arguments = sys.argv if folders else [*sys.argv, str(folder)]
    atheris.Setup(arguments, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
