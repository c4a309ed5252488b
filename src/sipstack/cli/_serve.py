"""`sipstack serve`: an endpoint that answers OPTIONS, with its counters on a live line or in the log."""

import argparse
import contextlib
import importlib
import logging
import sys
import time
from typing import Any, TextIO

from sipstack import IMPLEMENTATION, __version__
from sipstack._limits import DEFAULT_PORT, MAX_PORT
from sipstack._printable import cut
from sipstack.cli._numbers import between
from sipstack.endpoint import Endpoint, EndpointConfig, Stats
from sipstack.errors import ParseError, TransportError
from sipstack.message import Message
from sipstack.transport import Address

_logger = logging.getLogger("sipstack.serve")

_REFRESH_SECONDS = 0.25
_RATE_SECONDS = 1.0  # of less, a rate says little
# What an answer to OPTIONS says (RFC 3261 11.2). The empty Supported is meant: there is no extension behind it.
_CAPABILITIES = (
    ("Allow", "OPTIONS"),
    ("Accept", "application/sdp"),
    ("Supported", ""),
    ("Server", f"sipstack/{__version__}"),
)
# Bytes of a request, as it was stamped. A longer one gets all of that, and nobody counts how much it is.
_LONG_ENOUGH = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` the arguments of `sipstack serve`."""
    port, workers = between(int, 0, MAX_PORT, "a port number"), between(int, 1, 1024, "a number of processes")
    seconds = between(float, 0.01, 86400, "a number of seconds")
    add = parser.add_argument
    add("--host", type=_host, default="127.0.0.1", help="address to listen on; :: is IPv4 and IPv6 (127.0.0.1)")
    add("--port", type=port, default=DEFAULT_PORT, help="UDP port; 0 lets the system choose one (5060)")
    add("--workers", type=workers, default=1, metavar="N", help="processes that share the port (1)")
    add("--uvloop", action="store_true", help="run on uvloop, which must be installed")
    add("--interval", type=seconds, default=10.0, metavar="SECONDS", help="between two log lines of counters (10)")
    add("-v", "--verbose", action="store_true", help="log each request and what is no SIP message, all of them")


def _host(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("'' is no address")
    return text


def options_handler(request: Message, _addr: Address) -> Message | None:
    """Answers OPTIONS with 200 and what this server can do.

    A request that is less than half as long gets 200 alone, or nothing: its sender may not be who it says.
    """
    response = request.reply(200, headers=_CAPABILITIES)
    size = len(request.to_bytes())
    if size > _LONG_ENOUGH:
        return response
    short = (it for it in (response, request.reply(200)) if len(it.to_bytes()) <= 2 * size)
    return next(short, None)


class _Rates:
    """The counters of an endpoint, with how fast they grew since they were last asked for."""

    def __init__(self) -> None:
        self.start = self._then = time.monotonic()
        self.stats = self._before = Stats()
        self.peak = self.requests = self.sent = 0.0

    def update(self, stats: Stats) -> None:
        self.stats = stats
        now = time.monotonic()
        elapsed = now - self._then
        if elapsed < _RATE_SECONDS:
            return
        self.requests = (stats.requests - self._before.requests) / elapsed
        self.sent = (stats.sent - self._before.sent) / elapsed
        self.peak = max(self.peak, self.requests)
        self._then, self._before = now, stats

    @property
    def uptime(self) -> str:
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def rates(self) -> str:
        return f"{self.requests:,.0f}/s in  {self.sent:,.0f}/s out"

    def troubles(self, *, full: bool = False) -> str:
        """What went wrong, in words: only what did (`full`: what matters, always)."""
        stats = self.stats
        troubles = (
            (stats.parse_errors, "unreadable", full),
            (stats.kernel_drops, "dropped by the system", full),
            (stats.queue_drops + stats.send_errors, "not sent", False),
            (stats.handler_errors + stats.hook_errors, "errors of our own", False),
            (stats.rejected, "rejected", False),
        )
        return ", ".join(f"{number:,} {text}" for number, text, always in troubles if number or always)

    def counts(self) -> str:
        requests = _count(self.stats.requests, "request") + _split(self.stats.requests_by_method)
        return f"{requests}, {_count(self.stats.responses, 'response')}{_split(self.stats.responses_by_class)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _line(*parts: str, between: str) -> str:
    return between.join(filter(None, parts))


def _split(counts: Any) -> str:
    parts = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items(), key=lambda item: -item[1]))
    return f" ({parts})" if parts else ""


class _LogLines(logging.StreamHandler[TextIO]):
    """The log, with a line every `interval` seconds in which something arrived."""

    def __init__(self, interval: float) -> None:
        super().__init__(sys.stdout)
        self._interval = interval
        self._due = time.monotonic() + interval
        self._datagrams = 0
        self._rates = _Rates()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Serves on where nobody reads the lines any more, or the disk is full."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def update(self, rates: _Rates) -> None:
        now = time.monotonic()
        if now < self._due or rates.stats.datagrams == self._datagrams:
            return
        self._due, self._datagrams = now + self._interval, rates.stats.datagrams
        self._rates.update(rates.stats)  # the rates of the whole interval, not those of the last quarter of a second
        _logger.info(_line(rates.troubles(), self._rates.rates(), rates.counts(), between="; "))


class _LiveLine(logging.Handler):
    """One line of a terminal that is written anew; what is logged scrolls by above it. Needs rich."""

    def __init__(self) -> None:
        super().__init__()
        self._console = importlib.import_module("rich.console").Console()
        self._text = importlib.import_module("rich.text").Text
        live = importlib.import_module("rich.live").Live
        self._live = live(console=self._console, auto_refresh=False, transient=True)

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)

    def update(self, rates: _Rates) -> None:
        self._live.start()  # not sooner: processes that are forked before this have no part in it
        line = _line(rates.uptime, rates.troubles(), rates.rates(), rates.counts(), between="  ")  # first what is wrong
        self._live.update(self._text(line, style="bold", no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        self._live.stop()
        super().close()


def _make_display(interval: float) -> _LogLines | _LiveLine:
    """The live line on a terminal with rich; else log lines."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            return _LiveLine()
    return _LogLines(interval)


def _verbose_hooks() -> dict[str, Any]:
    """Hooks that log each request with its answer, and what could not be read."""

    def answered(request: Message, response: Message, addr: Address) -> None:
        wanted = f"{cut(request.method)} {cut(request.request_uri)}"
        _logger.info("%s from %s:%d: %d", wanted, *addr, response.status_code)

    def unreadable(raw: bytes, addr: Address, error: ParseError) -> None:
        _logger.info("%d bytes from %s:%d are no SIP message: %s", len(raw), *addr, cut(error))

    return {"on_response_sent": answered, "on_parse_err": unreadable}


def run(options: argparse.Namespace) -> int:
    """Runs `sipstack serve`: 0 after a signal, 1 where the socket failed, 2 where it could not be opened."""
    display = _make_display(options.interval)
    logging.basicConfig(level=logging.INFO, handlers=[display], format="%(asctime)s %(levelname)s %(message)s")
    hooks = _verbose_hooks() if options.verbose else {}
    endpoint = Endpoint(EndpointConfig(host=options.host, port=options.port, **hooks))
    endpoint.register_handler("OPTIONS", options_handler)
    rates = _Rates()
    announced = False
    code = 0

    def show(stats: Stats) -> None:
        nonlocal announced
        if not announced and endpoint.listen_addr is not None:
            announced = True
            _announce(endpoint.listen_addr, options)
        rates.update(stats)
        display.update(rates)

    try:
        loop_factory = importlib.import_module("uvloop").new_event_loop if options.uvloop else None
        endpoint.run(workers=options.workers, loop_factory=loop_factory, on_stats=show, stats_interval=_REFRESH_SECONDS)
    except (ImportError, TransportError) as error:
        code = 1 if announced else 2
        print(f"sipstack serve: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
    finally:
        display.close()
    if announced:
        peak = f"; at most {rates.peak:,.0f} requests/s" if rates.peak else ""
        _logger.info("stopped after %s: %s; %s%s", rates.uptime, rates.troubles(full=True), rates.counts(), peak)
    return code


def _announce(address: Address, options: argparse.Namespace) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    processes = f", {options.workers} workers" if options.workers > 1 else ""
    loop = "uvloop" if options.uvloop else "asyncio"
    _logger.info("listening on %s:%d (UDP, %s, %s%s); Ctrl-C stops", host, address[1], IMPLEMENTATION, loop, processes)
