"""A server at full rate for a long time: its memory and its descriptors must stay what they are.

    python benchmarks/soak.py --sipload ./sipload --seconds 600 -- python -m sipstack serve --port @PORT@

Starts the command (`@PORT@` is replaced), loads it with `sipload` (shared/bench/sipload.c, built with `gcc -O2`) in
runs of at most 100 s, and looks at /proc/PID of it and its children every few seconds. Linux. Exit status 1 where the
resident memory after the first tenth grew by more than 5 MB, a descriptor or a thread is left, or an answer was wrong.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

GROWTH_KB = 5 * 1024
LONGEST_RUN = 100  # seconds; sipload takes 120 at most
BETWEEN = 5.0  # seconds between two looks


class Look(NamedTuple):
    """What a process and its children hold."""

    rss_kb: int
    descriptors: int
    threads: int


def family(pid: int) -> list[int]:
    """A process and its children, grandchildren and so on."""
    pids = [pid]
    for one in pids:
        for task in Path(f"/proc/{one}/task").iterdir():
            pids += [int(child) for child in (task / "children").read_text().split()]
    return pids


def look(pid: int) -> Look:
    """The sums over a process and its children."""
    rss = descriptors = threads = 0
    for one in family(pid):
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines() if ":\t" in line
        )
        rss += int(status["VmRSS"].split()[0])
        threads += int(status["Threads"])
        descriptors += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
    return Look(rss, descriptors, threads)


def free_port() -> int:
    """A UDP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def soak(server: "subprocess.Popen[bytes]", sipload: str, port: int, seconds: float) -> bool:
    """Loads the server and watches it; whether all stayed as it was."""
    target = f"127.0.0.1:{port}"
    looks: list[Look] = []
    answered = lost = wrong = 0
    began = time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 1:
        command = [
            sipload,
            "--target",
            target,
            "--seconds",
            str(round(min(left, LONGEST_RUN), 1)),
            "--sockets",
            "16",
            "--json",
        ]
        load = subprocess.Popen(command, stdout=subprocess.PIPE)
        while load.poll() is None:
            time.sleep(min(BETWEEN, seconds / 50))
            looks.append(look(server.pid))
            print(f"{time.monotonic() - began:6.0f} s  {looks[-1]}", flush=True)
        result = json.loads(load.communicate()[0])
        answered, lost, wrong = answered + result["ok"], lost + result["lost"], wrong + result["wrong"]
    time.sleep(1)
    looks.append(look(server.pid))
    warm = looks[len(looks) // 10]
    print(f"answered {answered}, lost {lost}, wrong {wrong}; after warm-up {warm}, at the end {looks[-1]}")
    kept = looks[-1].rss_kb - warm.rss_kb <= GROWTH_KB and looks[-1][1:] == warm[1:]
    return kept and answered > 0 and wrong == 0


def main() -> int:
    """Reads the command line and soaks."""
    parser = argparse.ArgumentParser(description="A server at full rate for a long time.")
    parser.add_argument("--sipload", required=True, metavar="PROGRAM")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("command", nargs="+", help="the server, with @PORT@ for the port")
    arguments = parser.parse_args()
    port = free_port()
    command = [part.replace("@PORT@", str(port)) for part in arguments.command]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        return 0 if soak(server, arguments.sipload, port, arguments.seconds) else 1
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
