"""Worker processes, as a program uses them: each in a process of its own, with real signals."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_endpoint import request_bytes

from sipstack import Endpoint, Stats, parse
from sipstack._stats import SharedStats, add

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform != "linux", reason="workers need fork and Linux' SO_REUSEPORT"
)

PROGRAM = """
import asyncio, json, logging, os, sys, time
from sipstack import Endpoint, EndpointConfig

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
endpoint = Endpoint(EndpointConfig(port=0, drain_timeout=30.0, counters=["answered"]))

@endpoint.handler("OPTIONS")
def options(request, addr):
    endpoint.count("answered")
    return request.reply(200, headers={"Server": str(os.getpid()), "Subject": str(endpoint.worker)})

@endpoint.handler("INFO")
async def slow(request, addr):
    await asyncio.sleep(0.3)
    return request.reply(200)

@endpoint.handler("BYE")
def dies(request, addr):
    os._exit(3)

def report(stats):
    counts = [worker.requests for worker in endpoint.worker_stats]
    port = endpoint.listen_addr and endpoint.listen_addr[1]
    print(json.dumps({"port": port, "requests": stats.requests, "sent": stats.sent, "workers": counts,
                      "pending": stats.pending, "methods": dict(stats.requests_by_method),
                      "own": stats.counters["answered"]}), flush=True)

def make_loop():
    time.sleep(float(sys.argv[2]))
    return asyncio.new_event_loop()

endpoint.run(workers=int(sys.argv[1]), loop_factory=make_loop, on_stats=report, stats_interval=0.1)
print("over", flush=True)
"""


class Program:
    """The program above with its output."""

    def __init__(self, workers, pause=0.0, text=PROGRAM):
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, str(workers), str(pause)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.output = {1: "", 2: ""}
        self.workers = workers
        self.port = self.wait_for(lambda report: report["port"])["port"]

    def read(self, seconds):
        streams = {self.process.stdout: 1, self.process.stderr: 2}
        for stream in select.select(list(streams), [], [], seconds)[0]:
            self.output[streams[stream]] += os.read(stream.fileno(), 65_536).decode()

    @property
    def reports(self):
        return [json.loads(line) for line in self.output[1].splitlines()[:-1] if line.startswith("{")]

    def wait_for(self, condition, seconds=60):
        """The first of the reports to come that is so."""
        end = time.monotonic() + seconds
        seen = len(self.reports) if hasattr(self, "port") else 0
        while time.monotonic() < end:
            for report in self.reports[seen:]:
                if condition(report):
                    return report
            seen = len(self.reports)
            self.read(0.05)
        raise AssertionError(f"it did not come; the last was {self.reports[-1:]}\n{self.output[2]}")

    @property
    def pids(self):
        """The processes of the workers, the newest in each place."""
        end = time.monotonic() + 60
        while len(found := dict(re.findall(r"worker (\d+) is process (\d+)\n", self.output[2]))) < self.workers:
            assert time.monotonic() < end
            self.read(0.05)
        return [pid for _, pid in sorted(found.items())]

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        self.output[1] += out.decode()
        self.output[2] += err.decode()
        return self.process.returncode


@pytest.fixture
def program():
    programs = []

    def start(workers=2, **options):
        programs.append(Program(workers, **options))
        return programs[-1]

    yield start
    for it in programs:
        if it.process.poll() is None:
            it.process.kill()
            it.process.wait()
        it.process.stdout.close()
        it.process.stderr.close()


@pytest.fixture
def clients():
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(32)]
        for sock in socks:
            sock.settimeout(30)
            sock.bind(("127.0.0.1", 0))
        yield socks


def ask(sock, port, method="OPTIONS"):
    sock.sendto(request_bytes(method), ("127.0.0.1", port))
    return parse(sock.recv(4000))


def alive(pid):
    with contextlib.suppress(OSError):
        os.kill(int(pid), 0)
        return True
    return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_carries_its_share(program, clients):
    it = program()
    servers = {ask(sock, it.port).get_header("Server") for sock in clients for _ in range(5)}
    assert servers == set(it.pids)
    report = it.wait_for(lambda report: report["requests"] == 160)
    assert sum(report["workers"]) == 160
    assert min(report["workers"]) >= 160 * 0.1
    assert report["methods"] == {"OPTIONS": 160}
    assert it.stop() == 0
    assert it.output[1].rstrip().endswith("over")
    assert it.reports[-1]["sent"] == 160
    assert not any(alive(pid) for pid in it.pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_drains(program, clients, number, workers):
    it = program(workers)
    for sock in clients:
        sock.sendto(request_bytes("INFO"), ("127.0.0.1", it.port))
        sock.sendto(request_bytes("OPTIONS"), ("127.0.0.1", it.port))
    assert it.stop(number) == 0
    assert it.output[1].rstrip().endswith("over")
    assert it.reports[-1]["requests"] == it.reports[-1]["sent"] == 2 * len(clients)
    assert it.reports[-1]["pending"] == 0
    for sock in clients:
        assert {parse(sock.recv(4000)).cseq.method for _ in range(2)} == {"INFO", "OPTIONS"}
    assert "Traceback" not in it.output[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_workers_serve_drains_too(program, clients, number):
    it = program(pause=1.0)
    for sock in clients:
        sock.sendto(request_bytes(), ("127.0.0.1", it.port))
    for pid in it.pids:
        os.kill(int(pid), number)
    assert it.stop(number) == 0
    assert it.reports[-1]["requests"] == it.reports[-1]["sent"] == len(clients)
    assert "Traceback" not in it.output[2]


def test_ctrl_c_reaches_the_workers_too(program, clients):
    it = program()
    ask(clients[0], it.port)
    for pid in it.pids:
        os.kill(int(pid), signal.SIGINT)
    assert it.stop(signal.SIGINT) == 0
    assert "Traceback" not in it.output[2]


# A signal at one call after another of `run`, from its first to its last: where nobody takes it yet, or any more. Each
# in a process of its own, whose worker tells it to end when it serves, for those whose signal has not ended it before.
ANY_MOMENT = """
import mmap, os, signal, sys
from sipstack import Endpoint, EndpointConfig

number, workers, in_worker = (int(argument) for argument in sys.argv[1:])

def begins(frame, event):
    name, caller = frame.f_code.co_name, frame.f_back and frame.f_back.f_code.co_name
    return event == "return" and (name, caller) == ("pthread_sigmask", "signals_held")

def ends(event, function):
    return event == "c_call" and function is signal.sigtimedwait

def run_and_send(at):
    parent = pid = os.getpid()
    calls, inside, sent = 0, False, mmap.mmap(-1, 1)

    def watch(frame, event, function):
        nonlocal calls, inside, pid
        if os.getpid() != pid:
            pid, calls, inside = os.getpid(), 0, False
        if sent[0] or in_worker != (pid != parent):
            return
        inside = not ends(event, function) if inside else begins(frame, event) and not calls
        if inside:
            calls += 1
            if calls == at:
                sent[0] = 1
                os.kill(pid, number)

    async def end():
        os.kill(parent, signal.SIGTERM)

    endpoint = Endpoint(EndpointConfig(port=0))
    sys.setprofile(watch)
    endpoint.run(workers=workers, beside=end)
    sys.setprofile(None)
    os._exit(77 if sent[0] else 0)  # 77: it came, and did no harm

for at in range(1, 1_000_000, 97):
    child = os.fork()
    if child == 0:
        run_and_send(at)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 77:
        print(at, code)
        break
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("workers", "in_worker"), [(1, False), (2, False), (2, True)])
def test_a_signal_at_any_moment(number, workers, in_worker):
    """It ends the program or the worker in good order: no traceback, and no death by the signal."""
    done = subprocess.run(
        [sys.executable, "-c", ANY_MOMENT, str(int(number)), str(workers), str(int(in_worker))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=300,
        check=True,
    )
    said = re.sub(r"worker [01] \(process [0-9]+\) ended with exit code 0, replaced in 0.0 s\n", "", done.stderr)
    assert said == ""
    last, code = map(int, done.stdout.split())
    assert code == 0
    assert last > 500


def test_one_that_is_killed_is_replaced_and_its_socket_lives(program, clients):
    it = program()
    for sock in clients:
        ask(sock, it.port)
    before = it.pids
    it.wait_for(lambda report: report["requests"] == len(clients))
    os.kill(int(before[0]), signal.SIGSTOP)  # so that something waits in its socket
    wait_until(lambda: Path(f"/proc/{before[0]}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    for sock in clients:
        sock.sendto(request_bytes(), ("127.0.0.1", it.port))
    os.kill(int(before[0]), signal.SIGKILL)
    for sock in clients:
        assert parse(sock.recv(4000)).status_code == 200
    it.wait_for(lambda report: report["requests"] == 2 * len(clients))
    wait_until(lambda: it.read(0) or it.pids != before)
    assert it.pids[1] == before[1]
    assert "ended with SIGKILL, replaced in 0.0 s" in it.output[2]
    assert it.stop() == 0
    assert it.reports[-1]["requests"] == it.reports[-1]["sent"] == 2 * len(clients)


def test_one_that_leaves_is_replaced(program, clients):
    it = program()
    before = it.pids
    os.kill(int(before[1]), signal.SIGTERM)  # it drains, and its socket would be deaf if nobody opened its ears again
    wait_until(lambda: it.read(0) or it.pids[1] != before[1])
    for sock in clients:
        assert ask(sock, it.port).status_code == 200
    assert it.stop() == 0


def pauses_of(it):
    """How long the parent has waited, in each place."""
    it.read(0.05)
    ended = r"worker {} .* ended with exit code [0-9]+, replaced in ([0-9.]+) s"
    return [[float(pause) for pause in re.findall(ended.format(index), it.output[2])] for index in range(2)]


def test_those_that_die_while_they_serve_are_back_soon(program, clients):
    """What kills a worker now and then keeps none of them down."""
    it = program()

    def died_often():
        for sock in clients:
            sock.sendto(request_bytes("BYE"), ("127.0.0.1", it.port))
        return max(map(len, pauses_of(it))) >= 8

    wait_until(died_often)
    for found in pauses_of(it):
        assert found[:8] == [0.0, *[0.1] * 7][: len(found)]

    def answered():
        """What is read together with a deadly one is lost, and asked again."""
        for sock in clients:
            sock.sendto(request_bytes(), ("127.0.0.1", it.port))
        return len(select.select(clients, [], [], 1.0)[0]) == len(clients)

    wait_until(answered)
    assert it.stop() == 0


NOT_YET = PROGRAM.replace("time.sleep(float(sys.argv[2]))", "os._exit(3)")
FAILING = PROGRAM.replace("stats_interval=0.1", "stats_interval=0.1, beside=fail").replace(
    "def make_loop",
    "async def fail():\n    await asyncio.sleep(0.01)\n    raise LookupError('beside')\n\ndef make_loop",
)


@pytest.mark.parametrize("text", [NOT_YET, FAILING])
def test_those_that_die_before_they_serve_or_fail_are_replaced_slowly(program, text):
    it = program(text=text)
    wait_until(lambda: max(map(len, pauses_of(it))) >= 5)
    for found in pauses_of(it):
        assert found[:5] == [0.0, 0.1, 0.2, 0.4, 0.8][: len(found)]
    assert it.stop() == 0


# Root may start processes over every limit. So the program is somebody else by its real user, who has no right to do so;
# it is denied them at SIGUSR1, and has them again at SIGUSR2.
LIMITED = PROGRAM.replace(
    "endpoint.run(",
    """
import ctypes, resource, signal
if os.getuid() == 0:
    os.setresuid(65_534, 0, 0)
    libc, head, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    sets[0], sets[1] = (words & ~(1 << 21 | 1 << 24) for words in sets[:2])  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE
    assert libc.capset(head, sets) == 0

def limit_processes(number, frame=None):
    soft, hard = limits
    resource.setrlimit(resource.RLIMIT_NPROC, (1 if number == signal.SIGUSR1 else soft, hard))

limits = resource.getrlimit(resource.RLIMIT_NPROC)
signal.signal(signal.SIGUSR1, limit_processes)
signal.signal(signal.SIGUSR2, limit_processes)
endpoint.run(""",
)
DENIED = LIMITED.replace("endpoint.run(", "limit_processes(signal.SIGUSR1)\nendpoint.run(")


def pauses_of_the_denied(it, index):
    it.read(0.05)
    said = rf"ERROR:sipstack\._workers:worker {index} could not be started, tried again in ([0-9.]+) s: .Errno [0-9]+. \w"
    return [float(pause) for pause in re.findall(said, it.output[2])]


def test_no_process_is_left_for_a_worker_that_died(program, clients):
    it = program(text=LIMITED)
    before = it.pids
    it.process.send_signal(signal.SIGUSR1)
    os.kill(int(before[0]), signal.SIGKILL)
    wait_until(lambda: len(pauses_of_the_denied(it, 0)) >= 3)
    assert pauses_of_the_denied(it, 0)[:3] == [0.1, 0.2, 0.4]
    for sock in clients:
        sock.sendto(request_bytes(), ("127.0.0.1", it.port))
    assert select.select(clients, [], [], 60)[0]  # the other one serves
    it.process.send_signal(signal.SIGUSR2)
    for sock in clients:
        assert parse(sock.recv(4000)).status_code == 200
    wait_until(lambda: it.read(0.05) or it.pids[0] != before[0])
    assert it.pids[1] == before[1]
    assert it.stop() == 0
    assert "Traceback" not in it.output[2]


def test_no_process_is_left_for_the_first_workers(program, clients):
    it = program(text=DENIED)
    wait_until(lambda: min(len(pauses_of_the_denied(it, index)) for index in (0, 1)) >= 2)
    it.process.send_signal(signal.SIGUSR2)
    for sock in clients:
        assert ask(sock, it.port).status_code == 200
    assert it.stop() == 0
    assert "Traceback" not in it.output[2]


def test_a_program_without_workers_ends_at_a_signal(program):
    it = program(text=DENIED)
    wait_until(lambda: pauses_of_the_denied(it, 1))
    assert it.stop() == 0
    assert it.output[1].rstrip().endswith("over")


def test_workers_do_not_outlive_their_parent(program):
    it = program()
    pids = it.pids
    assert all(alive(pid) for pid in pids)
    it.process.kill()
    it.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_an_address_in_use(program):
    it = program()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run(
            [sys.executable, "-c", PROGRAM.replace("port=0", f"port={it.port}, host='198.51.100.9'"), "2", "0"],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert "TransportError: [Errno" in caught.value.stderr.decode()
    assert "cannot listen on 198.51.100.9" in caught.value.stderr.decode()


def test_a_worker_knows_its_place_and_the_programs_own_counters_are_summed(program, clients):
    it = program()
    places = {}
    for sock in clients:
        response = ask(sock, it.port)
        places[response.get_header("Server")] = response.get_header("Subject")
    assert [places[pid] for pid in it.pids] == ["0", "1"]
    assert it.wait_for(lambda report: report["requests"] == len(clients))["own"] == len(clients)
    os.kill(int(it.pids[0]), signal.SIGKILL)
    assert it.wait_for(lambda report: report["requests"] == len(clients))["own"] == len(clients)  # nothing is forgotten


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("second", [1, 2])
def test_a_second_program_on_the_port_fails_unless_both_ask_to_share(program, clients, first, second):
    def other(port, share):
        text = PROGRAM.replace("port=0", f"port={port}, reuse_port={share}")
        return subprocess.Popen(
            [sys.executable, "-c", text, str(second), "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    it = program(first)
    process = other(it.port, False)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert f"cannot listen on 127.0.0.1:{it.port}" in errors.decode()
    for sock in clients:  # and it has taken nothing away
        assert ask(sock, it.port).get_header("Server")
    it.wait_for(lambda report: report["requests"] == len(clients))


def test_programs_that_ask_share_a_port(program):
    text = PROGRAM.replace("port=0", "port=0, reuse_port=True")
    first = Program(2, text=text)
    second = None
    try:
        second = Program(2, text=text.replace("port=0", f"port={first.port}"))
        assert second.port == first.port
    finally:
        for it in filter(None, (first, second)):
            it.stop()
            it.process.stdout.close()
            it.process.stderr.close()


def test_not_in_a_thread():
    import threading

    caught = []

    def run():
        try:
            Endpoint().run(workers=2)
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


# ---------------------------------------------------------------- counters that processes share


def test_shared_stats():
    shared = SharedStats(2, ["PING"])
    one = Stats(
        datagrams=5,
        requests=5,
        pending=2,
        kernel_drops=9,
        requests_by_method={"OPTIONS": 3, "PING": 1, "other": 1},
        responses_by_class={"2xx": 4},
    )
    shared.write(0, one)
    assert shared.read(0) == one
    assert shared.read(1) == Stats()
    shared.write(1, Stats(requests=1, requests_by_method={"NEW": 1}))
    assert shared.read(1).requests_by_method == {"other": 1}
    own = SharedStats(2, [], ["calls"])
    for index in (0, 1):
        own.write(index, Stats(counters={"calls": 2 + index}))
    own.retire(0)
    assert add(own.read_all()).counters == {"calls": 5}
    own.write(0, Stats(counters={"calls": 1 << 70}))  # no reason for a worker to die
    assert own.read(0).counters == {"calls": (1 << 63) - 1 + 2}
    total = add(shared.read_all())
    assert (total.requests, total.requests_by_method["other"]) == (6, 2)
    shared.retire(0)
    kept = shared.read(0)
    assert (kept.requests, kept.pending, kept.kernel_drops) == (5, 0, 0)
    shared.write(0, Stats(requests=1, requests_by_method={"OPTIONS": 1}, kernel_drops=11))
    assert shared.read(0).requests_by_method["OPTIONS"] == 4
    assert shared.read(0).kernel_drops == 11  # counted by the socket, which goes from worker to worker
