"""What a message costs to pass on: `examples/stateless_proxy.py` beside Kamailio doing the same, in CPU time.

    python benchmarks/proxy_side_by_side.py [--seconds 5] [--rounds 3] [--window 64]

Each proxy in turn runs on one processor and `proxy_load` (built from the C beside this file) on another: calls with
INVITE, 200, ACK, BYE, 200, through the proxy and back. The figure is the processor time of all its processes, user and
kernel, over the messages it passed on. It holds on a busy machine; the rate does not. Loopback only. Kamailio is left
out where it is not installed.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROXY = HERE.parent / "examples" / "stateless_proxy.py"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def commands(folder: Path, port: int, server: int) -> dict[str, list[str]]:
    """How each proxy is started."""
    python = [sys.executable, str(PROXY), "--listen", f"127.0.0.1:{port}", f"127.0.0.1:{server}"]
    found = {"sipstack": python, "sipstack, uvloop": [*python, "--uvloop"]}
    kamailio = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin")
    if kamailio:
        dispatcher, config = folder / "dispatcher.list", folder / "kamailio.cfg"
        dispatcher.write_text(f"1 sip:127.0.0.1:{server}\n")
        text = (HERE / "kamailio_proxy.cfg").read_text()
        config.write_text(text.replace("@PORT@", str(port)).replace("@LIST@", str(dispatcher)))
        found["kamailio"] = [kamailio, "-f", str(config), "-DD", "-E", "-X", "tlsf", "-x", "tlsf", "-m", "64"]
        found["kamailio"] += ["-w", str(folder), "-Y", str(folder), "-P", str(folder / "pid")]
    return found


@contextlib.contextmanager
def running(command: Sequence[str], cpu: int, log: Path) -> Iterator[int]:
    """A proxy pinned to one processor; its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=output, stderr=output)
        try:
            time.sleep(1.5)
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended:\n{log.read_text()}")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and kernel time of a process and its children."""
    user = kernel = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        user, kernel = user + int(fields[11]), kernel + int(fields[12])
    return user / os.sysconf("SC_CLK_TCK"), kernel / os.sysconf("SC_CLK_TCK")


def load(program: Path, port: int, server: int, seconds: float, window: int, cpu: int) -> dict[str, float]:
    command = ["taskset", "-c", str(cpu), str(program), str(port), str(server), str(seconds), str(window)]
    result = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 30)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time a message: stateless_proxy.py beside Kamailio")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement (5)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each proxy (3)")
    parser.add_argument("--window", type=int, default=64, help="calls in progress at a time (64)")
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON for each measurement")
    args = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "proxy_load"
        subprocess.run(["cc", "-O2", "-o", str(program), str(HERE / "proxy_load.c")], check=True)
        for _ in range(args.rounds):
            port, server = free_port(), free_port()
            for proxy, command in commands(folder, port, server).items():
                with running(command, args.proxy_cpu, folder / "log") as pid:
                    load(program, port, server, 0.5, args.window, args.load_cpu)
                    before = cpu_seconds(pid)
                    run = load(program, port, server, args.seconds, args.window, args.load_cpu)
                    after = cpu_seconds(pid)
                    for kind, start, end in zip(("user_us", "kernel_us"), before, after, strict=True):
                        run[kind] = (end - start) * 1e6 / max(run["messages"], 1)
                    run["cpu_us"] = run["user_us"] + run["kernel_us"]
                    results.setdefault(proxy, []).append(run)
                    if args.json:
                        print(json.dumps({"proxy": proxy, **run}), flush=True)
    if not args.json:
        show(results)


def show(results: dict[str, list[dict[str, float]]]) -> None:
    median = {proxy: statistics.median(run["cpu_us"] for run in runs) for proxy, runs in results.items()}
    base = median.get("kamailio")
    print(f"{'proxy':18}{'CPU us/message':>15}{'user':>7}{'kernel':>8}{'to kamailio':>13}{'messages/s':>12}{'lost':>6}")
    for proxy, runs in results.items():
        user, kernel = (statistics.median(run[kind] for run in runs) for kind in ("user_us", "kernel_us"))
        rate = statistics.median(run["messages"] / run["seconds"] for run in runs)
        ratio = f"{median[proxy] / base:.2f}" if base else "-"
        lost = sum(run["lost"] for run in runs)
        print(f"{proxy:18}{median[proxy]:15.2f}{user:7.2f}{kernel:8.2f}{ratio:>13}{rate:12.0f}{lost:6.0f}")


if __name__ == "__main__":
    main()
