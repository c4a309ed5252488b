"""How an endpoint is configured, and what it tells its hooks."""

import enum
import inspect
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypeAlias

from ._limits import DEFAULT_PORT, MAX_HEADERS, MAX_PARTS, MAX_PORT, MAX_SIZE, MAX_VALUES
from ._printable import cut
from ._values import is_int, need_int, need_str
from .errors import ParseError, behind_name
from .message import Message
from .methods import URI_SCHEMES
from .transport import Address
from .validation import Violation

__all__ = ["EndpointConfig", "Event", "EventType", "Handler"]

Answer: TypeAlias = "Message | tuple[Message, Address] | None"
"""A response; or any message and where it is sent, as a proxy passes one on; None for no answer."""

Handler: TypeAlias = Callable[[Message, Address], "Answer | Awaitable[Answer]"]
"""Gets a request and the address it came from; answers a response, `(message, addr)` to pass a message on, None for
no answer, or a coroutine of any of these."""


class EventType(enum.Enum):
    """What an `Event` is about."""

    DATAGRAM_RECEIVED = "datagram received"
    NOISE_RECEIVED = "noise received"
    PARSE_ERROR = "parse error"
    REQUEST_RECEIVED = "request received"
    RESPONSE_RECEIVED = "response received"
    REQUEST_REJECTED = "request rejected"
    OVERLOADED = "overloaded"
    HANDLER_ERROR = "handler error"
    RESPONSE_SENT = "response sent"
    MESSAGE_SENT = "message sent"
    SEND_ERROR = "send error"
    SEND_DROPPED = "send dropped"
    READ_ERROR = "read error"


class Event(NamedTuple):
    """One thing that happened, for `on_event`. What does not apply is None (`b""`, 0).

    Attributes:
        type: what it is about.
        addr: the other side's address.
        raw: the bytes that came, or that could not be sent.
        request, response: the messages it is about.
        error: what was raised.
        status: what a request that no handler has answered is answered with; an ACK never is.
        violation: what is wrong with a request that `EndpointConfig.validate` refused, where that is no `error`.
    """

    type: EventType
    addr: Address | None = None
    raw: bytes = b""
    request: Message | None = None
    response: Message | None = None
    error: BaseException | None = None
    status: int = 0
    violation: Violation | None = None

    def __repr__(self) -> str:
        """One line, for a log: what is long is cut."""
        said = [self.type.value]
        if self.addr is not None:
            said.append(f"{cut(self.addr[0])}:{self.addr[1]}")
        if self.request is not None:
            said.append(f"{cut(self.request.method)} {cut(self.request.request_uri)}")
        if self.response is not None:
            said.append(f"{self.response.status_code} {cut(self.response.status_text)}")
        if self.raw:
            said.append(f"{len(self.raw)} bytes")
        if self.status:
            said.append(f"answered {self.status}")
        if self.violation is not None:
            said.append(behind_name(self.violation.header, self.violation.reason))
        if self.error is not None:
            said.append(f"{type(self.error).__name__}: {cut(self.error)}")
        return f"<Event {', '.join(said)}>"

    @property
    def request_method(self) -> str:
        """The method of the request, or ""."""
        return self.request.method if self.request is not None else ""

    @property
    def response_status(self) -> int:
        """The status code of the response, or 0."""
        return self.response.status_code if self.response is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """How an endpoint listens and what it does by itself. Wrong values raise ValueError or TypeError here.

    Attributes:
        host, port: where to listen, an IPv6 address with or without brackets. "::" takes IPv4 and IPv6, "0.0.0.0" IPv4;
            port 0 lets the kernel choose.
        read_buf_size: bytes; a longer datagram is cut, counted and reported, never parsed.
        read_deadline: seconds between two looks whether the socket is still ours.
        reuse_port: share the port with other sockets of this user (SO_REUSEPORT); without it a second program fails,
            also where both have workers.
        recv_buffer, send_buffer: bytes of kernel buffer; None asks for 4 MiB and takes what there is.
        batch_size: datagrams read or sent in one system call.
        gso: give the kernel runs of datagrams of one size to one peer as one (UDP_SEGMENT; Linux, compiled core). It
            saves up to four fifths of the sending. A capture on this machine shows a run as one long datagram.
        send_queue: datagrams kept while the send buffer is full; further ones are dropped and counted.
        max_pending: coroutine handlers in flight; requests beyond it get 503 with Retry-After.
        retry_after: seconds, for that header.
        answer_cancel: answer a CANCEL that has no handler: 200 where the coroutine handler of its INVITE is in flight,
            which is cancelled, else 481. Off: ignore it, as a stateless server does (RFC 3261 8.2.7).
        answer_parse_errors: requests that cannot be read and are answered all the same (400, 513), at most so many a
            second (in each worker); 0: none.
        validate: answer 400, 416, 420 and 505 without asking a handler (483 is a proxy's: see `Message.check`).
        schemes: URI schemes that `validate` lets through; others get 416.
        supported: option tags a Require may name; others get 420. None: do not look (a proxy's choice).
        use_maddr: let the Via's maddr say where a response goes. Off: whoever sends a request could aim it.
        max_size, max_headers: limits of one message, in bytes and headers; beyond them it is a parse error.
        max_values, max_parts: limits of what `validate` reads of values, which is Require: see `Message.get_values`;
            beyond them the answer is 513. What a handler reads has the limits of the call that reads it.
        counters: names of counters of the program's own: see `Endpoint.count`.
        drain_timeout: seconds that `aclose` waits for handlers in flight and for what the socket still holds.
        on_datagram: (raw, addr), for everything received, before it is looked at.
        on_parse_err: (raw, addr, error), for what is no SIP message.
        on_request: (request, addr), for every request, before it is judged and handled.
        on_sip_response: (response, addr), for every response received. A `(message, addr)` that it returns is sent.
        on_response: (request, response, addr), before a response is sent; it may still change it.
        on_message_sent: (message, addr), after any message was sent.
        on_response_sent: (request, response, addr), after a response was sent.
        on_read_error: (error), before `serve` ends with it.
        on_event: (event), after the hook of its kind.
        no_route_handler: for methods without a handler; by default one that is known gets 405 and another 501.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    read_buf_size: int = MAX_SIZE
    read_deadline: float = 1.0
    reuse_port: bool = False
    recv_buffer: int | None = None
    send_buffer: int | None = None
    batch_size: int = 64
    gso: bool = False
    send_queue: int = 1024
    max_pending: int = 1000
    retry_after: int = 5
    answer_cancel: bool = True
    answer_parse_errors: int = 10
    validate: bool = True
    schemes: Collection[str] = URI_SCHEMES
    supported: Collection[str] | None = ()
    use_maddr: bool = False
    max_size: int = MAX_SIZE
    max_headers: int = MAX_HEADERS
    max_values: int = MAX_VALUES
    max_parts: int = MAX_PARTS
    counters: Collection[str] = ()
    drain_timeout: float = 5.0
    on_datagram: Callable[[bytes, Address], object] | None = None
    on_parse_err: Callable[[bytes, Address, ParseError], object] | None = None
    on_request: Callable[[Message, Address], object] | None = None
    on_sip_response: Callable[[Message, Address], object] | None = None
    on_response: Callable[[Message, Message, Address], object] | None = None
    on_message_sent: Callable[[Message, Address], object] | None = None
    on_response_sent: Callable[[Message, Message, Address], object] | None = None
    on_read_error: Callable[[OSError], object] | None = None
    on_event: Callable[[Event], object] | None = None
    no_route_handler: Handler | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host:
            raise TypeError(f"host is an address or a name, as str, not {self.host!r}")
        object.__setattr__(self, "host", need_str(self.host, "host"))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is None and name in ("recv_buffer", "send_buffer"):
                continue
            if not is_int(value):
                raise TypeError(f"{name} is an int, not {type(value).__name__}")
            number = need_int(value, name)
            if not low <= number <= high:
                raise ValueError(f"{name} is {low} to {high}, not {number}")
            object.__setattr__(self, name, number)
        for name in ("read_deadline", "drain_timeout"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise TypeError(f"{name} is a number of seconds, not {type(seconds).__name__}")
            if not 0 < seconds < 1e6:
                raise ValueError(f"{name} is a positive number of seconds, not {seconds}")
        for name in ("reuse_port", "gso", "answer_cancel", "validate", "use_maddr"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is a bool, not {type(getattr(self, name)).__name__}")
        for name in ("schemes", "supported", "counters"):
            names = getattr(self, name)
            if names is None and name == "supported":
                continue
            if isinstance(names, str | bytes) or not isinstance(names, Collection):
                raise TypeError(f"{name} is a collection of str, not one {type(names).__name__}")
            if not all(isinstance(one, str) for one in names):
                raise TypeError(f"{name} is a collection of str, and of nothing else")
        for name in _CALLABLES:
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise TypeError(f"{name} is not callable")
            if name.startswith("on_") and inspect.iscoroutinefunction(function):
                raise TypeError(f"{name} is called in place: a coroutine function would never run")


_RANGES: Final = (
    ("port", 0, MAX_PORT),
    ("read_buf_size", 1, MAX_SIZE),
    ("recv_buffer", 1, 1 << 30),
    ("send_buffer", 1, 1 << 30),
    ("batch_size", 1, 1024),
    ("send_queue", 0, 1 << 20),
    ("max_pending", 0, 1 << 20),
    ("retry_after", 0, (1 << 31) - 1),
    ("answer_parse_errors", 0, 1 << 20),
    ("max_size", 1, MAX_SIZE),
    ("max_headers", 1, MAX_SIZE),
    ("max_values", 1, MAX_SIZE),
    ("max_parts", 1, MAX_SIZE),
)
_CALLABLES: Final = tuple(f.name for f in fields(EndpointConfig) if f.name.startswith("on_") or "handler" in f.name)
