"""`sipstack ping`: OPTIONS to a SIP server over UDP, each answer and the round trips reported as ping(8) does.

Nothing is sent a second time: a request that gets lost counts as lost, or there would be nothing to measure.
"""

import argparse
import re
import secrets
import select
import signal
import socket
import sys
import time
from statistics import fmean, pstdev
from typing import NamedTuple

from sipstack._limits import DEFAULT_PORT
from sipstack.cli._numbers import between
from sipstack.cli._text import visible
from sipstack.errors import HeaderError, ParseError
from sipstack.message import Message, parse

_TARGET = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:@/\s]+))(?::(?P<port>[0-9]{1,5}))?\Z")
_BARE_V6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?\Z")


class Target(NamedTuple):
    """What to ping: a host name or an address (IPv6 without its brackets), and a port."""

    host: str
    port: int

    @property
    def hostport(self) -> str:
        """As it stands in a SIP URI: an IPv6 address in brackets and without its zone, the port always."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def target(text: str) -> Target:
    """Reads `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address; the port is 5060 unless given."""
    if _BARE_V6.match(text):
        return Target(text, DEFAULT_PORT)
    match = _TARGET.match(text)
    port = int((match and match["port"]) or DEFAULT_PORT)
    if match is None or not 0 < port < 65536 or (match["v6"] and ":" not in match["v6"]):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    return Target(match["v6"] or match["host"], port)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` the arguments of `sipstack ping`."""
    count, seconds = between(int, 1, 10**9), between(float, 0.001, 86400)
    add = parser.add_argument
    add("target", metavar="HOST[:PORT]", type=target, help="an IPv6 address with a port as [::1]:5060")
    add("-c", "--count", type=count, metavar="N", help="stop after N requests (default: at Ctrl-C)")
    add("-i", "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between two requests (default: 1)")
    add("-W", "--timeout", type=seconds, default=2.0, metavar="SECONDS", help="wait for each answer (default: 2)")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=socket.AF_INET, help="IPv4 only")
    family.add_argument("-6", dest="family", action="store_const", const=socket.AF_INET6, help="IPv6 only")


class _Pinger:
    """One run: a connected UDP socket, the requests that wait for an answer, and what has been counted."""

    def __init__(self, target: Target, sock: socket.socket, timeout: float) -> None:
        self.target = target
        self.sock = sock
        self.timeout = timeout
        self.sent = 0
        self.round_trips: list[float] = []  # milliseconds
        self.pending: dict[int, float] = {}  # number of a request -> when it was sent; the oldest comes first
        self._call = secrets.token_hex(8)
        host, port = sock.getsockname()[:2]
        self._local = Target(host, port).hostport

    def request(self, number: int) -> Message:
        """The OPTIONS with this number: one Call-ID for the run, a CSeq and a branch of its own (RFC 3261 11.1)."""
        uri = f"sip:{self.target.hostport}"
        return Message.request(
            "OPTIONS",
            uri,
            headers=[
                ("Via", f"SIP/2.0/UDP {self._local};branch={self._branch(number)};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<sip:ping@{self._local}>;tag={self._call}"),
                ("To", f"<{uri}>"),
                ("Call-ID", f"{self._call}@{self._local.rpartition(':')[0]}"),
                ("CSeq", f"{number} OPTIONS"),
                ("Contact", f"<sip:ping@{self._local}>"),
                ("Accept", "application/sdp"),
                ("User-Agent", "sipstack ping"),
            ],
        )

    def _branch(self, number: int) -> str:
        return f"z9hG4bK{self._call}{number:x}"

    def send(self) -> None:
        self.sent += 1
        data = self.request(self.sent).to_bytes()
        self.pending[self.sent] = time.perf_counter()
        try:
            self.sock.send(data)
        except OSError as error:
            self.refused(error)

    def receive(self) -> None:
        """Takes every datagram that has arrived."""
        while True:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error for something sent before
                self.refused(error)
                return
            self.answer(data, time.perf_counter())

    def answer(self, data: bytes, now: float) -> None:
        try:
            response = parse(data)
            number, branch = response.cseq.num if response.cseq else 0, response.via.branch if response.via else None
        except (ParseError, HeaderError) as error:
            print(f"{len(data)} bytes that are no SIP response: {error}", flush=True)
            return
        if response.is_request or branch != self._branch(number) or response.status_code < 200:
            return
        sent = self.pending.pop(number, None)
        if sent is None:
            print(f"seq={number} answered again, or too late: not counted", flush=True)
            return
        self.round_trips.append((now - sent) * 1000)
        server = response.get_header("Server") or response.get_header("User-Agent")
        print(
            f"{response.status_code} {visible(response.status_text)} from {self.target.hostport}: seq={number} "
            f"bytes={len(data)} time={(now - sent) * 1000:.3f} ms" + (f" server={visible(server)}" if server else ""),
            flush=True,
        )

    def refused(self, error: OSError) -> None:
        """An error of the network belongs to the oldest request that has no answer."""
        number = next(iter(self.pending), None)
        if number is not None:
            del self.pending[number]
            print(f"seq={number} {error.strerror or error}", flush=True)

    def expire(self, now: float) -> None:
        """Gives up the requests that have waited long enough."""
        for number, sent in list(self.pending.items()):
            if now - sent < self.timeout:
                return
            del self.pending[number]
            print(f"seq={number} no answer within {self.timeout:g} s", flush=True)

    def run(self, count: int | None, interval: float) -> None:
        """Sends `count` requests, one each `interval` seconds, and returns when each was answered or given up."""
        due = time.perf_counter()
        while True:
            now = time.perf_counter()
            self.expire(now)
            more = count is None or self.sent < count
            if more and now >= due:
                self.send()
                due = max(due + interval, now)
                continue
            if not more and not self.pending:
                return
            wake = min([sent + self.timeout for sent in self.pending.values()][:1] + [due] * more)
            if select.select([self.sock], [], [], max(0.0, wake - time.perf_counter()))[0]:
                self.receive()

    def summary(self, elapsed: float) -> str:
        times, answered = self.round_trips, len(self.round_trips)
        lost = 100 * (self.sent - answered) / self.sent if self.sent else 0
        lines = [
            f"\n--- {self.target.hostport} ping statistics ---",
            f"{self.sent} requests sent, {answered} answered, {lost:g}% lost, time {elapsed * 1000:.0f} ms",
        ]
        if times:
            numbers = "/".join(f"{number:.3f}" for number in (min(times), fmean(times), max(times), pstdev(times)))
            lines.append(f"rtt min/avg/max/mdev = {numbers} ms")
        return "\n".join(lines)


def _connect(target: Target, family: int) -> socket.socket:
    """A UDP socket connected to the first address of the target that has a route; raises OSError."""
    failure: OSError | None = None
    for af, kind, protocol, _, address in socket.getaddrinfo(target.host, target.port, family, socket.SOCK_DGRAM):
        sock = socket.socket(af, kind, protocol)
        try:
            sock.connect(address)
        except OSError as error:
            failure = error
            sock.close()
        else:
            sock.setblocking(False)
            return sock
    raise failure or OSError("no address")


def run(options: argparse.Namespace) -> int:
    """Runs `sipstack ping`: 0 where something answered, 1 where nothing did, 2 where nothing could be sent."""
    try:
        sock = _connect(options.target, options.family or socket.AF_UNSPEC)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name
        print(f"sipstack ping: {options.target.hostport}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 2
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with sock:
        pinger = _Pinger(options.target, sock, options.timeout)
        address = Target(*sock.getpeername()[:2]).hostport
        print(f"PING sip:{options.target.hostport} ({address}): OPTIONS over UDP", flush=True)
        start = time.perf_counter()
        try:
            pinger.run(options.count, options.interval)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
        print(pinger.summary(time.perf_counter() - start), flush=True)
    return 0 if pinger.round_trips else 1
