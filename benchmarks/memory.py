"""What a parsed message holds beyond its own bytes."""

import gc
import sys
import tracemalloc
from typing import Any

from .cases import implementations

MESSAGES = 2000
BYTES, BYTES_A_HEADER = 200, 20  # the limit


def measure(messages: dict[str, bytes]) -> list[dict[str, Any]]:
    """sys.getsizeof, and what tracemalloc saw allocated, for each message and implementation."""
    results = []
    for subject, module in implementations().items():
        for name, raw in messages.items():
            message = module.parse(raw)
            results.append(
                {
                    "subject": subject,
                    "message": name,
                    "headers": len(message.headers),
                    "getsizeof": sys.getsizeof(message),
                    "traced": traced(module.parse, raw),
                    "limit": BYTES + BYTES_A_HEADER * len(message.headers),
                }
            )
    return results


def traced(parse: Any, raw: bytes) -> float:
    """Bytes that are allocated for one message, averaged; the list they stand in is made before."""
    kept: list[Any] = [None] * MESSAGES
    parse(raw)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for at in range(MESSAGES):
        kept[at] = parse(raw)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / MESSAGES
