"""`sipstack ping`: OPTIONS to a SIP server over UDP or TCP, each answer and the round trips reported as ping(8) does.

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
from collections.abc import Iterator
from statistics import fmean, pstdev
from typing import NamedTuple

from sipstack._grammar import is_ipv6
from sipstack._limits import DEFAULT_PORT
from sipstack._printable import cut
from sipstack.cli._numbers import between
from sipstack.errors import HeaderError, ParseError
from sipstack.message import Message, parse
from sipstack.stream import StreamParser
from sipstack.uri import SipUri, parse_uri

_TARGET = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:@/\s]+))(?::(?P<port>[0-9]{1,5}))?\Z")
_ZONE = re.compile(r"%[\w.-]+")
_FINAL = re.compile(r"[2-6](?:[0-9][0-9]|xx)", re.IGNORECASE)


class Target(NamedTuple):
    """What to ping: a host name or an address (IPv6 without its brackets), and a port."""

    host: str
    port: int
    uri: str = ""  # the Request-URI; that of host and port where none is given
    transport: str = ""  # where a URI names one

    @property
    def request_uri(self) -> str:
        """What is asked: the URI that was given, or one of host and port."""
        return self.uri or f"sip:{self.hostport}"

    @property
    def hostport(self) -> str:
        """As it stands in a SIP URI: an IPv6 address in brackets and without its zone, the port always."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def target(text: str) -> Target:
    """Reads `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`, a bare IPv6 address or a sip: URI; without a port 5060."""
    if text[:4].lower() == "sip:" or text[:5].lower() == "sips:":
        return _target_of_uri(text)
    address, zone, name = text.partition("%")
    if is_ipv6(address) and (not zone or _ZONE.fullmatch(zone + name)):
        return Target(text, DEFAULT_PORT)
    match = _TARGET.match(text)
    port = int((match and match["port"]) or DEFAULT_PORT)
    if match is None or not 0 < port < 65536 or (match["v6"] and ":" not in match["v6"]):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST, HOST:PORT, [IPV6]:PORT or a sip: URI")
    return Target(match["v6"] or match["host"], port)


def _target_of_uri(text: str) -> Target:
    try:
        uri = parse_uri(text)
    except HeaderError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.reason}") from None
    transport = (uri.params.get("transport") or "").upper() if isinstance(uri, SipUri) else "TLS"
    if not isinstance(uri, SipUri) or uri.scheme == "sips" or transport not in ("", "UDP", "TCP"):
        raise argparse.ArgumentTypeError(f"{text!r} is for another transport than UDP and TCP")
    if uri.port == 0:
        raise argparse.ArgumentTypeError(f"{text!r} has no port number")
    host = (uri.maddr or uri.host).strip("[]")
    return Target(host, uri.port or DEFAULT_PORT, str(uri.as_request_uri()), transport)


def expected(text: str) -> str:
    """Reads a final status (`200`) or a class of them (`2xx`): what such a status begins with."""
    if not _FINAL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a status from 200 to 699, or a class such as 2xx")
    return text.lower().removesuffix("xx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` the arguments of `sipstack ping`."""
    count, seconds = between(int, 1, 10**9), between(float, 0.001, 86400, "a number of seconds")
    add = parser.add_argument
    add("target", metavar="HOST[:PORT]|URI", type=target, help="an IPv6 address with a port as [::1]:5060; a sip: URI")
    add("-c", "--count", type=count, metavar="N", help="stop after N requests (default: at Ctrl-C)")
    add("-i", "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between two requests (default: 1)")
    add("-W", "--timeout", type=seconds, default=2.0, metavar="SECONDS", help="wait for each answer (default: 2)")
    add("--expect", type=expected, metavar="STATUS", help="fail where one is not this: 200, or 2xx")
    add("--tcp", action="store_true", help="over TCP")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=socket.AF_INET, help="IPv4 only")
    family.add_argument("-6", dest="family", action="store_const", const=socket.AF_INET6, help="IPv6 only")


class _Pinger:
    """One run: a connection, the requests that wait for an answer, and what has been counted."""

    def __init__(self, target: Target, link: "_Link", timeout: float, expect: str = "") -> None:
        self.target = target
        self.link = link
        self.timeout = timeout
        self.expect = expect
        self.unexpected = 0
        self.sent = 0
        self.round_trips: list[float] = []  # milliseconds
        self.pending: dict[int, float] = {}  # number of a request -> when it was sent; the oldest comes first
        self._call = secrets.token_hex(8)

    def request(self, number: int) -> Message:
        """The OPTIONS with this number: one Call-ID for the run, a CSeq and a branch of its own (RFC 3261 11.1)."""
        uri, local = self.target.request_uri, self.link.local.hostport
        return Message.request(
            "OPTIONS",
            uri,
            headers=[
                ("Via", f"SIP/2.0/{self.link.transport} {local};branch={self._branch(number)};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<sip:ping@{local}>;tag={self._call}"),
                ("To", f"<{uri}>"),
                ("Call-ID", f"{self._call}@{local.rpartition(':')[0]}"),
                ("CSeq", f"{number} OPTIONS"),
                ("Contact", f"<sip:ping@{local}{';transport=tcp' if self.link.transport == 'TCP' else ''}>"),
                ("Accept", "application/sdp"),
                ("User-Agent", "sipstack ping"),
            ],
        )

    def _branch(self, number: int) -> str:
        return f"z9hG4bK{self._call}{number:x}"

    def send(self) -> None:
        self.sent += 1
        self.pending[self.sent] = time.perf_counter()
        try:
            self.link.open()
            data = self.request(self.sent).to_bytes()
            self.pending[self.sent] = time.perf_counter()
            self.link.send(data)
        except OSError as error:
            self.refused(error)

    def receive(self) -> None:
        """Takes everything that has arrived."""
        try:
            for data in self.link.receive():
                self.answer(data, time.perf_counter())
        except OSError as error:  # an ICMP error for something sent before, or the end of the connection
            self.refused(error)

    def answer(self, data: bytes, now: float) -> None:
        try:
            response = parse(data)
            number, branch = response.need_cseq.num, response.need_via.branch
        except (ParseError, HeaderError) as error:
            print(f"{len(data)} bytes that are no SIP response: {cut(error)}", flush=True)
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
            f"{response.status_code} {cut(response.status_text)} from {self.target.hostport}: seq={number} "
            f"bytes={len(data)} time={(now - sent) * 1000:.3f} ms" + (f" server={cut(server)}" if server else ""),
            flush=True,
        )
        if not str(response.status_code).startswith(self.expect):
            self.unexpected += 1

    def refused(self, error: OSError) -> None:
        """An error of the network belongs to the oldest request that has no answer."""
        number = next(iter(self.pending), None)
        if number is not None:
            del self.pending[number]
            print(f"seq={number} {error.strerror or cut(error)}", flush=True)

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
            if select.select(self.link.sockets, [], [], max(0.0, wake - time.perf_counter()))[0]:
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


class _Link:
    """A socket connected to the first address of the target that has a route; the next `open` makes it anew."""

    transport = "UDP"
    kind = socket.SOCK_DGRAM

    def __init__(self, target: Target, family: int, timeout: float) -> None:
        self._target, self._family, self._timeout = target, family, timeout
        self.sockets: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        """Connects, where there is no connection; raises OSError."""
        failure: OSError | None = None
        host, port = self._target.host, self._target.port
        for af, kind, protocol, _, address in (
            () if self.sockets else socket.getaddrinfo(host, port, self._family, self.kind)
        ):
            sock = socket.socket(af, kind, protocol)
            try:
                sock.settimeout(self._timeout)
                sock.connect(address)
            except OSError as error:
                failure = error
                sock.close()
            else:
                self._use(sock)
                return
        if not self.sockets:
            raise failure or OSError("no address")

    def _use(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sockets = [sock]
        self.local = Target(*sock.getsockname()[:2])
        self.peer = Target(*sock.getpeername()[:2])

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def send(self, data: bytes) -> None:
        self.sockets[0].send(data)

    def receive(self) -> Iterator[bytes]:
        """Every datagram that has arrived; raises OSError for what the network says of those sent."""
        while True:
            try:
                yield self.sockets[0].recv(65536)
            except BlockingIOError:
                return


class _Stream(_Link):
    """A connection, over which messages follow each other."""

    transport = "TCP"
    kind = socket.SOCK_STREAM

    def _use(self, sock: socket.socket) -> None:
        super()._use(sock)
        sock.settimeout(self._timeout)
        self._parser = StreamParser(client=True)

    def send(self, data: bytes) -> None:
        try:
            self.sockets[0].sendall(data)
        except OSError:
            self.close()
            raise

    def receive(self) -> Iterator[bytes]:
        """Every message that is complete; raises OSError where the connection ends, or cannot be read any more."""
        try:
            data = self.sockets[0].recv(65536)
            for message in self._parser.feed(data):
                yield message.to_bytes()
            if not data:
                raise ConnectionError("connection closed")
        except (OSError, ParseError) as error:
            self.close()
            raise error if isinstance(error, OSError) else ConnectionError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Runs `sipstack ping`: 0 where something answered, and as expected; 1 where not, 2 where nothing could be sent."""
    target = options.target
    kind = _Stream if options.tcp or target.transport == "TCP" else _Link
    try:
        link = kind(target, options.family or socket.AF_UNSPEC, options.timeout)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name
        print(f"sipstack ping: {target.hostport}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 2
    # A shell has a script's background processes ignore SIGINT.
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    pinger = _Pinger(target, link, options.timeout, options.expect or "")
    start = time.perf_counter()
    try:
        print(f"PING {target.request_uri} ({link.peer.hostport}): OPTIONS over {link.transport}", flush=True)
        pinger.run(options.count, options.interval)
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        link.close()
    print(pinger.summary(time.perf_counter() - start), flush=True)
    return 0 if pinger.round_trips and not pinger.unexpected else 1
