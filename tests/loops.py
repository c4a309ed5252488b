"""The event loops that endpoints and transports are tried on."""

import asyncio
import contextlib
from collections.abc import Callable


class NoReaderLoop(asyncio.SelectorEventLoop):
    """A loop that cannot watch a descriptor for others, like Windows' proactor."""

    def add_reader(self, *args):
        raise NotImplementedError

    def add_writer(self, *args):
        raise NotImplementedError


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "no_reader": NoReaderLoop,
}
with contextlib.suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop
