"""The `sipstack` command: `serve`, `parse` and `ping`. `python -m sipstack` is the same."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sipstack import IMPLEMENTATION, __version__
from sipstack.cli import _parse, _ping, _serve

__all__ = ["main"]

_COMMANDS = {
    "serve": (_serve, "answer SIP over UDP: OPTIONS with 200, any other method with 405 or 501"),
    "parse": (_parse, "show what a message holds, and where it is wrong"),
    "ping": (_ping, "send OPTIONS and measure the round trips"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code; `SystemExit` for a wrong argument, as argparse has it."""
    parser = argparse.ArgumentParser(prog="sipstack", description="SIP messages and datagrams.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"sipstack {__version__} ({IMPLEMENTATION})")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    _open_output()
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except OSError as error:  # the reader (head, less) has gone, the disk is full; Python would say so again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"sipstack {options.command}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _open_output() -> None:
    """Lets all be printed: where there is no stdout, and what its encoding has not."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it is there to the end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
