"""What a message costs to pass on: `examples/stateless_proxy.py` beside Kamailio, in CPU time.

    python benchmarks/proxy_side_by_side.py [--seconds 3] [--rounds 5] [--window 64] [--quick]

Each proxy in turn runs on one processor and `proxy_load` (built from the C beside this file) on another: calls with
INVITE, 200, ACK, BYE, 200, through the proxy and back. The figure is the processor time of all its processes, user and
kernel, over the messages it passed on. It holds on a busy machine; the rate does not. Loopback only.

`kamailio` does the same steps of section 16 (kamailio_proxy.cfg), `kamailio, plain` none but the Vias, and `floor`
passes datagrams on as they are (forward.c): that is the kernel's part. `request` and `response` are user time: of an
ACK in a dialog, and of all else in a call, put on its responses. The kernel tells user time by its ticks, so these
two take some ten rounds of ten seconds. Needs Linux, a C compiler and util-linux's taskset; uvloop and
Kamailio are left out where they are not installed.
"""

import argparse
import contextlib
import importlib.util
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
MORE_ACKS = 11  # of a call, in the load that tells requests and responses apart

Run = dict[str, float]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def commands(folder: Path, port: int, server: int) -> dict[str, list[str]]:
    """How each proxy is started."""
    python = [sys.executable, str(PROXY), "--listen", f"127.0.0.1:{port}", f"127.0.0.1:{server}"]
    found = {"floor": [str(folder / "forward"), str(port), str(server)], "sipstack": python}
    if importlib.util.find_spec("uvloop"):
        found["sipstack, uvloop"] = [*python, "--uvloop"]
    kamailio = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin")
    if kamailio:
        dispatcher, config = folder / "dispatcher.list", folder / "kamailio.cfg"
        dispatcher.write_text(f"1 sip:127.0.0.1:{server}\n")
        text = (HERE / "kamailio_proxy.cfg").read_text()
        config.write_text(text.replace("@PORT@", str(port)).replace("@LIST@", str(dispatcher)))
        steps = [kamailio, "-f", str(config), "-DD", "-E", "-X", "tlsf", "-x", "tlsf", "-m", "64"]
        steps += ["-w", str(folder), "-Y", str(folder), "-P", str(folder / "pid")]
        found |= {"kamailio": steps, "kamailio, plain": [*steps, "-A", "PLAIN"]}
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


def load(program: Path, port: int, server: int, seconds: float, window: int, acks: int, cpu: int) -> Run:
    command = [str(program), str(port), str(server), str(seconds), str(window), str(acks)]
    result = subprocess.run(
        ["taskset", "-c", str(cpu), *command], check=True, capture_output=True, timeout=seconds + 30
    )
    found: Run = json.loads(result.stdout)
    return found


def measure(pid: int, args: argparse.Namespace, program: Path, port: int, server: int, acks: int) -> Run:
    """One load, with the CPU time of the proxy over the messages that it passed on."""
    before = cpu_seconds(pid)
    run = load(program, port, server, args.seconds, args.window, acks, args.load_cpu)
    for kind, start, end in zip(("user_us", "kernel_us"), before, cpu_seconds(pid), strict=True):
        run[kind] = (end - start) * 1e6 / max(run["messages"], 1)
    run["cpu_us"] = run["user_us"] + run["kernel_us"]
    return run


def tell_apart(calls: Run, with_acks: Run) -> None:
    """Note the user time of a request and of a response, from calls with one ACK and with MORE_ACKS.

    The request is the ACK, which is in a dialog. What is left of a call is put on its responses, the INVITE's SDP and
    Record-Route too: so theirs is an upper bound.
    """
    ack = (with_acks["user_us"] * (MORE_ACKS + 4) - calls["user_us"] * 5) / (MORE_ACKS - 1)
    calls["request_us"], calls["response_us"] = ack, (calls["user_us"] * 5 - ack * 3) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time a message: stateless_proxy.py beside Kamailio")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (3)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each proxy, in turn (5)")
    parser.add_argument("--window", type=int, default=64, help="calls in progress at a time (64)")
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=min(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--quick", action="store_true", help="only see that all of it runs")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each measurement")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.rounds = 0.5, 1
    results: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program in ("proxy_load", "forward"):
            subprocess.run(["cc", "-O2", "-o", str(folder / program), str(HERE / f"{program}.c")], check=True)
        program = folder / "proxy_load"
        for _ in range(args.rounds):
            port, server = free_port(), free_port()
            for proxy, command in commands(folder, port, server).items():
                with running(command, args.proxy_cpu, folder / "log") as pid:
                    load(program, port, server, 0.3, args.window, 1, args.load_cpu)
                    run = measure(pid, args, program, port, server, 1)
                    tell_apart(run, measure(pid, args, program, port, server, MORE_ACKS))
                results.setdefault(proxy, []).append(run)
                if args.json:
                    print(json.dumps({"proxy": proxy, **run}), flush=True)
    if not args.json:
        show(results)


def show(results: dict[str, list[Run]]) -> None:
    def middle(runs: list[Run], kind: str) -> float:
        return statistics.median(run[kind] for run in runs)

    base = middle(results["kamailio"], "cpu_us") if "kamailio" in results else None
    head = f"{'CPU us a message':18}{'all':>6}{'spread':>13}{'user':>7}{'kernel':>8}{'to kamailio':>13}"
    print(f"{head}{'request':>9}{'response':>10}{'messages/s':>12}{'lost':>6}")
    for proxy, runs in results.items():
        whole = [run["cpu_us"] for run in runs]
        rate = statistics.median(run["messages"] / run["seconds"] for run in runs)
        ratio = f"{middle(runs, 'cpu_us') / base:.2f}" if base else "-"
        spread = f"{min(whole):.2f}-{max(whole):.2f}"
        line = f"{proxy:18}{middle(runs, 'cpu_us'):6.2f}{spread:>13}{middle(runs, 'user_us'):7.2f}"
        line += f"{middle(runs, 'kernel_us'):8.2f}{ratio:>13}{middle(runs, 'request_us'):9.2f}"
        print(f"{line}{middle(runs, 'response_us'):10.2f}{rate:12.0f}{sum(run['lost'] for run in runs):6.0f}")


if __name__ == "__main__":
    main()
