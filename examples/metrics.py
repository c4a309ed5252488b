"""An endpoint whose counters Prometheus can read (needs the package prometheus-client).

    python metrics.py --listen 127.0.0.1:5060 --metrics 127.0.0.1:9360 --workers 2
    curl -s http://127.0.0.1:9360/metrics

The counters are read when they are asked for; nothing is added to the path of a datagram. With several workers each
of them listens for the scrape (the kernel picks one), and whichever it is answers with the sum of all.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sipstack import Address, Endpoint, EndpointConfig, Message, SipUri, Stats

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


class EndpointCollector:
    """Makes metrics of an endpoint's counters, in the form prometheus_client asks of a collector."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        stats = self.endpoint.stats
        for field in dataclasses.fields(Stats):
            value = getattr(stats, field.name)
            if field.name == "pending":
                yield GaugeMetricFamily("sip_pending", "coroutine handlers in flight", value=value)
            elif isinstance(value, int):
                yield CounterMetricFamily(f"sip_{field.name}", f"Stats.{field.name}", value=value)
        for name, label, counts in (
            ("sip_requests_by_method", "method", stats.requests_by_method),
            ("sip_responses_by_class", "class", stats.responses_by_class),
            ("sip_program", "counter", stats.counters),  # the names may be any text, so they are a label
        ):
            family = CounterMetricFamily(name, f"by {label}", labels=[label])
            for key, count in counts.items():
                family.add_metric([key], count)
            yield family


async def serve_metrics(endpoint: Endpoint, host: str, port: int) -> None:
    """Answers whatever is asked over HTTP with the metrics."""
    registry = CollectorRegistry()
    registry.register(EndpointCollector(endpoint))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # or no HTTP
            async with asyncio.timeout(5):
                await reader.readuntil(b"\r\n\r\n")
                text = generate_latest(registry)
                writer.write(HEAD % len(text) + text)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port, reuse_port=True)
    async with server:
        await server.serve_forever()


def answer_options(endpoint: Endpoint) -> None:
    """Registers a handler that answers OPTIONS, and counts those that ask for somebody and not for us."""

    @endpoint.handler("OPTIONS")
    def options(request: Message, _addr: Address) -> Message:
        if isinstance(request.uri, SipUri) and request.uri.user:
            endpoint.count("asked_for_a_user")
        return request.reply(200)


def main() -> None:
    """Reads the command line and serves until a signal."""
    parser = argparse.ArgumentParser(description="An endpoint whose counters Prometheus can read.")
    parser.add_argument("--listen", default="127.0.0.1:5060", metavar="ADDRESS:PORT")
    parser.add_argument("--metrics", default="127.0.0.1:9360", metavar="ADDRESS:PORT")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    host, _, port = arguments.listen.rpartition(":")
    endpoint = Endpoint(EndpointConfig(host=host, port=int(port), counters=["asked_for_a_user"]))
    answer_options(endpoint)
    metrics_host, _, metrics_port = arguments.metrics.rpartition(":")
    endpoint.run(
        workers=arguments.workers, beside=lambda: serve_metrics(endpoint, metrics_host.strip("[]"), int(metrics_port))
    )


if __name__ == "__main__":
    main()
