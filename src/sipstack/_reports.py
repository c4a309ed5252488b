"""What an endpoint tells its program: the hooks that are called, the log, and the counters that all its rooms share."""

import logging
from collections.abc import Callable, Sequence

from ._config import EndpointConfig, Event, EventType
from ._limited_log import LimitedLog, call_id_text
from ._stats import NUMBERS
from .errors import PROGRAM_ENDS
from .message import Message
from .transport import Address
from .validation import Violation


class Reports:
    """The hooks of an `EndpointConfig`, and what was added to `on_response_sent` later.

    What a hook raises is counted and logged, and changes nothing.

    Attributes:
        log: where troubles are written, each kind only so often.
        counts: counters by their names in `Stats`.
        see_what_left: whether a hook is set that is called when a message has left.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self.log = LimitedLog(logging.getLogger("sipstack.endpoint"))
        self.counts = dict.fromkeys(NUMBERS, 0)
        self._on_event = config.on_event
        self._on_message_sent = config.on_message_sent
        self._response_sent = [config.on_response_sent] if config.on_response_sent is not None else []
        self.see_what_left = bool(self._response_sent or config.on_message_sent or config.on_event)

    def add_response_sent(self, hook: Callable[[Message, Message, Address], object]) -> None:
        """Calls a hook for responses that have left, after those that are called already."""
        self._response_sent.append(hook)
        self.see_what_left = True

    def call(self, hook: Callable[..., object] | None, *args: object) -> None:
        if hook is None:
            return
        try:
            hook(*args)
        except PROGRAM_ENDS:
            raise
        except BaseException as error:
            self.hook_failed(hook, error, args)

    def hook_failed(self, hook: Callable[..., object], error: BaseException, args: Sequence[object]) -> None:
        """Counts and logs what a hook raised that was called with these arguments."""
        self.counts["hook_errors"] += 1
        name = getattr(hook, "__name__", type(hook).__name__)
        self.log.log(logging.ERROR, "the hook %s failed%s", name, call_id_in(args), exc_info=error)

    def event(
        self,
        kind: EventType,
        addr: Address | None = None,
        raw: bytes = b"",
        *,
        request: Message | None = None,
        response: Message | None = None,
        error: BaseException | None = None,
        status: int = 0,
        violation: Violation | None = None,
    ) -> None:
        if self._on_event is not None:
            self.call(self._on_event, Event(kind, addr, raw, request, response, error, status, violation))

    def message_left(self, message: Message, addr: Address, request: Message | None) -> None:
        """Calls the hooks for a message that was sent; `request` is what it answers, if an endpoint's handler did."""
        self.call(self._on_message_sent, message, addr)
        if request is not None:
            self.event(EventType.RESPONSE_SENT, addr, request=request, response=message)
            for hook in self._response_sent:
                self.call(hook, request, message, addr)
        elif message.is_request:
            self.event(EventType.MESSAGE_SENT, addr, request=message)
        else:
            self.event(EventType.MESSAGE_SENT, addr, response=message)


def call_id_in(args: Sequence[object]) -> str:
    """For the log: the Call-ID of the first message among some arguments."""
    for message in args:
        if isinstance(message, Message):
            return call_id_text(message.get_header("Call-ID"))
    return ""
