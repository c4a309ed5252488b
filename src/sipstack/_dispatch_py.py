"""The dispatcher: from a datagram's bytes to a message, to its handler, to an answer in the outbox. No socket, no loop.

The same source is compiled as `_dispatch`, with the types that `_dispatch.pxd` adds. So what every datagram passes has
short methods, attributes that are all set in `__init__`, and no closure or generator.
"""

import inspect
import logging
from functools import partial
from threading import get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

from ._address import ReturnAddress, at_port
from ._config import EndpointConfig, EventType, Handler
from ._limited_log import call_id_text
from ._limits import DEFAULT_PORT, MAX_HEADERS, MAX_SIZE
from ._outbox import Outbox
from ._reports import Reports
from ._tasks import Tasks
from ._unreadable import Allowance, answer_unreadable, call_id_of
from .errors import PROGRAM_ENDS, HeaderError, ParseError, SipError, behind_name
from .message import Message, parse
from .methods import ACK, CANCEL, INVITE, METHODS, header_id
from .stream import is_signaling_noise_datagram, is_stun
from .transport import Address, Datagram
from .validation import Violation, check_scheme, unsupported_options

if TYPE_CHECKING:
    from ._first_steps_py import FirstSteps

REQUIRE = header_id("Require")
VIA = header_id("Via")
NO_ROUTE = ""  # no method
GROWTH = 2
"""How many times as long as a request the answer to it may be that no handler has given: see `Dispatcher.refuse`."""


class Fault(NamedTuple):
    """What answers a request that no handler has answered; `cause` is the finding or the error behind it."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cause: Violation | Exception | None = None
    to_tag: str | None = None

    def reply(self, request: Message) -> Message:
        return request.reply(self.status, self.reason, to_tag=self.to_tag, headers=self.headers)


class Tally:
    """How many requests of a method came."""

    def __init__(self) -> None:
        self.count = 0


class Route:
    """A method's handler. It stays as it is: where another thread registers a handler, another route takes its place.

    Attributes:
        handler: None where the handler for what has no route answers.
        answered: whether its requests get responses: all but ACK.
        tally: that of the method, whichever its route is.
    """

    def __init__(self, handler: Handler | None, answered: bool, tally: Tally) -> None:
        self.handler = handler
        self.answered = answered
        self.tally = tally


class Dispatcher:
    """Takes datagrams to the handlers of their methods, and the answers to the outbox.

    It owns the route table, which may be changed at any time and is in force for the next datagram, and the policy:
    what is refused before a handler sees it, and how what a handler raises is answered.

    Attributes:
        responses: how many responses were made, by the first digit of their status; requests that were sent are 0.
        counts_received: whether what comes in is counted here; not where the transport does it.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self.reports = Reports(config)
        self.counts = self.reports.counts
        self.outbox = Outbox(self.reports)
        self.waiting = self.outbox.waiting
        self.tasks = Tasks(self, config.max_pending)
        self.parse: Any = parse
        if (config.max_size, config.max_headers) != (MAX_SIZE, MAX_HEADERS):
            self.parse = partial(parse, max_size=config.max_size, max_headers=config.max_headers)
        self.routes: dict[str, Route] = {}
        self.other = Route(None, True, Tally())
        self.fallback: dict[str, Any] = {}
        self.set_no_route_handler(config.no_route_handler)
        self.answers_cancel = config.answer_cancel
        self.answerable = Allowance(config.answer_parse_errors)
        self.validate = config.validate
        self.schemes = frozenset([scheme.lower() for scheme in config.schemes])
        self.supported = None if config.supported is None else frozenset([tag.lower() for tag in config.supported])
        self.use_maddr = config.use_maddr
        self.watches_datagrams = config.on_datagram is not None or config.on_event is not None
        self.watches_requests = config.on_request is not None or config.on_event is not None
        self.on_sip_response = config.on_sip_response
        self.watches_events = config.on_event is not None
        self.watch_answers()
        self.delivering = False
        self.steps: FirstSteps | None = None  # for as long as a batch is delivered
        self.counts_received = True
        self.responses_received = 0
        self.responses = [0] * 7

    # ------------------------------------------------------------------ routes and hooks

    # Both may be called by any thread while the loop's delivers: what is read there stands in a dictionary.

    def set_handler(self, method: str, handler: Handler) -> None:
        route = self.routes.setdefault(method, Route(None, method != ACK, Tally()))
        self.routes[method] = Route(handler, route.answered, route.tally)

    def set_no_route_handler(self, handler: Handler | None) -> None:
        """Lets a handler answer the methods that have none; None: the default answers again."""
        self.fallback[NO_ROUTE] = self.answer_no_route if handler is None else handler

    def watch_answers(self) -> None:
        """Looks whether hooks want to see responses: to be called when one was added."""
        self.watches_answers = self.config.on_response is not None or self.reports.see_what_left

    # ------------------------------------------------------------------ what comes in

    def deliver(self, batch: list[Datagram]) -> None:
        """Takes the datagrams of one read, and sends what answers they have in one go."""
        if self.counts_received:
            self.count_received(batch)
        self.delivering = self.outbox.held = True
        self.steps = None
        try:
            for data, addr in batch:
                self.receive(data, addr)
        finally:
            self.delivering = self.outbox.held = False
            self.steps = None
            self.outbox.flush()

    def deliver_cut(self, batch: list[Datagram]) -> None:
        """Takes datagrams that were longer than the transport's buffer, with what fitted."""
        if self.counts_received:
            self.count_received(batch)
            self.counts["truncated"] += len(batch)
        for data, addr in batch:
            if self.watches_datagrams:
                self.show_datagram(data, addr)
            self.take_unreadable(data, addr, ParseError("datagram longer than the read buffer", len(data), 513))

    def take(self, message: Message | bytes, addr: ReturnAddress) -> None:
        """Takes a message that came another way than over the transport."""
        data = message if isinstance(message, bytes) else message.to_bytes()
        self.counts["datagrams"] += 1
        self.counts["bytes_received"] += len(data)
        outbox = self.outbox
        outbox.has_returns = True
        held, outbox.held = outbox.held, True
        steps, self.steps = self.steps, None
        try:
            if isinstance(message, bytes):
                self.receive(data, addr)
            else:
                if self.watches_datagrams:
                    self.show_datagram(data, addr)
                self.take_message(message, addr, data)
        finally:
            outbox.held = held
            self.steps = steps
            if not held:
                outbox.flush()

    def count_received(self, batch: list[Datagram]) -> None:
        self.counts["datagrams"] += len(batch)
        self.counts["bytes_received"] += sum([len(data) for data, _ in batch])

    def receive(self, data: bytes, addr: Address) -> None:
        if self.watches_datagrams:
            self.show_datagram(data, addr)
        try:
            message = self.parse(data)
        except ParseError as error:
            self.take_unreadable(data, addr, error)
            return
        self.take_message(message, addr, data)

    def take_message(self, message: Message, addr: Address, data: bytes) -> None:
        """A message that was read; `data` is what it was then."""
        if message.status_code:
            self.take_response(message, addr, data)
        else:
            self.take_request(message, addr, data)

    def show_datagram(self, data: bytes, addr: Address) -> None:
        self.reports.call(self.config.on_datagram, data, addr)
        self.reports.event(EventType.DATAGRAM_RECEIVED, addr, data)

    def take_unreadable(self, data: bytes, addr: Address, error: ParseError) -> None:
        """What is no message is a keep-alive, which is none of SIP's business, or an error, or that of a request.

        The allowance is asked before anything more is read, so a flood costs no more than the parsing did.
        """
        if _is_noise(data):
            self.counts["noise"] += 1
            self.reports.event(EventType.NOISE_RECEIVED, addr, data)
            return
        self.counts["parse_errors"] += 1
        text = "%d bytes from %s are no SIP message: %s%s"
        self.reports.log.log(logging.DEBUG, text, len(data), addr, error, partial(call_id_of, data))
        self.reports.call(self.config.on_parse_err, data, addr, error)
        self.reports.event(EventType.PARSE_ERROR, addr, data, error=error)
        response = answer_unreadable(data, addr, error) if self.answerable.take() else None
        if response is not None:
            self.counts["parse_errors_answered"] += 1
            self.put(response, addr, None)

    def take_response(self, response: Message, addr: Address, data: bytes) -> None:
        self.responses_received += 1
        if self.on_sip_response is not None:
            try:
                result = self.on_sip_response(response, addr)
                if type(result) is tuple:
                    self.pass_pair(result)
            except PROGRAM_ENDS:
                raise
            except BaseException as error:
                self.reports.hook_failed(self.on_sip_response, error, (response, addr))
        if self.watches_events:
            self.reports.event(EventType.RESPONSE_RECEIVED, addr, data, response=response)

    def take_request(self, request: Message, addr: Address, data: bytes) -> None:
        """A request is stamped, counted, judged and handled."""
        fault = None
        target = None
        try:
            # received and rport in the top Via (RFC 3261 18.2.1, RFC 3581 4).
            if request.stamp_received(addr[0], addr[1]) and not self.use_maddr:
                target = addr
        except SipError as error:
            # An address of ours that is no host. Nobody gets such a request, or what its sender wrote into them counts.
            fault = Fault(500, None, (), error)
        if self.watches_requests:
            self.reports.call(self.config.on_request, request, addr)
            self.reports.event(EventType.REQUEST_RECEIVED, addr, data, request=request)
        route = self.count_request(request._method())
        if self.validate and fault is None:
            fault = self.judge(request)
        if fault is not None:
            self.note_rejected(request, addr, fault)
            self.refuse(request, addr, fault, len(data))
            return
        handler = self.fallback[NO_ROUTE] if route.handler is None else route.handler
        try:
            result = handler(request, addr)
        except PROGRAM_ENDS:
            raise
        except BaseException as error:  # nobody has cancelled this: it is the handler's own
            self.fail(request, addr, error, data)
            return
        if result is not None:
            self.finish(request, result, addr, target if route.answered else None, data)

    def count_request(self, method: str) -> Route:
        """Counts a request of this method; returns the route it takes."""
        # Not routes.get: compiled, it borrows the route, which another thread may replace. None is ever removed.
        if method in self.routes:
            route = self.routes[method]
        elif method in METHODS:
            route = self.routes.setdefault(method, Route(None, method != ACK, Tally()))
        else:
            route = self.other
        route.tally.count += 1
        return route

    # ------------------------------------------------------------------ policy

    def judge(self, request: Message) -> Fault | None:
        """What is wrong with a request before anything is done with it (RFC 3261 8.2.2, 16.3)."""
        if not request._is_in_order():
            for first in request.check():
                return _fault(first)
        if request._scheme() not in self.schemes:
            for first in check_scheme(request, self.schemes):
                return _fault(first)
        if self.supported is not None and request._has(REQUIRE) and request.method not in (ACK, CANCEL):
            return self.judge_options(request)
        return None

    def judge_options(self, request: Message) -> Fault | None:
        """420 where a Require names what is not supported (RFC 3261 8.2.2.3, which excepts ACK and CANCEL)."""
        assert self.supported is not None
        try:
            limits = self.config
            unknown = unsupported_options(
                request, self.supported, max_values=limits.max_values, max_parts=limits.max_parts
            )
        except HeaderError as error:
            return _fault(error)
        if not unknown:
            return None
        cause = Violation("Require", "names an option that is not supported", 420)
        return Fault(420, None, (("Unsupported", ", ".join(unknown)),), cause)

    def refuse(self, request: Message, addr: Address, fault: Fault, size: int, target: Address | None = None) -> None:
        """Answers a request that no handler has answered, and that was so many bytes when it came.

        Drops it where it is an ACK, where it has no Via to answer to, and where the answer would be much longer than
        what came: who forges a source must not gain by us.
        """
        if request.method == ACK:
            return
        try:
            if not request._has(VIA):
                raise HeaderError("missing", "Via")
            response = self.short_reply(request, fault, GROWTH * size)
        except (SipError, ValueError) as error:
            self.counts["unanswerable"] += 1
            text = "no answer is possible to %s from %s%s: %s"
            call_id = call_id_text(request.get_header("Call-ID"))
            self.reports.log.log(logging.INFO, text, request.method, addr, call_id, error)
            return
        self.answer(request, response, addr, target)

    def short_reply(self, request: Message, fault: Fault, limit: int) -> Message:
        """A reply of so many bytes at most, with the status's own reason where there is no room for another."""
        for one in (fault,) if fault.reason is None else (fault, fault._replace(reason=None)):
            response = one.reply(request)
            if len(response.to_bytes()) <= limit:
                return response
        raise ValueError(f"it would be more than {limit} bytes")

    def fail(self, request: Message, addr: Address, error: BaseException, data: bytes) -> None:
        """Answers a request whose handler failed. What the handler did to it before is not in the answer."""
        fault = self.note_failure(request, addr, error)
        self.refuse(self.as_came(request, addr, data), addr, fault, len(data))

    def as_came(self, request: Message, addr: Address, data: bytes) -> Message:
        """A request as it was before its handler had it: read once more, which nobody pays for until one fails."""
        try:
            came: Message = self.parse(data)
            came.stamp_received(addr[0], addr[1])
        except ParseError:  # it was made, and not read
            return request
        except SipError:
            pass
        return came

    def note_failure(self, request: Message, addr: Address, error: BaseException) -> Fault:
        """Counts and shows what a handler raised, and says what answers it: 500.

        For a malformed value of the request (HeaderError) it is what that says. So a handler uses `request.uri` or
        `decrement_max_forwards` as if all were well: what is not is 400, 416, 483.
        """
        if isinstance(error, HeaderError):
            fault = _fault(error)
            self.note_rejected(request, addr, fault)
            return fault
        self.counts["handler_errors"] += 1
        text = "the handler of %s failed%s from %s"
        call_id = call_id_text(request.get_header("Call-ID"))
        self.reports.log.log(logging.ERROR, text, request.method, call_id, addr, exc_info=error)
        self.reports.event(EventType.HANDLER_ERROR, addr, request=request, error=error, status=500)
        return Fault(500)

    def terminate(self, request: Message, addr: Address, size: int) -> None:
        """Answers an INVITE that was cancelled, and whose handler did not: 487 (RFC 3261 9.2)."""
        self.refuse(request, addr, Fault(487), size)

    def note_rejected(self, request: Message, addr: Address, fault: Fault) -> None:
        self.counts["rejected"] += 1
        error = fault.cause if isinstance(fault.cause, Exception) else None
        found = fault.cause if isinstance(fault.cause, Violation) else None
        status = fault.status
        event = EventType.REQUEST_REJECTED
        self.reports.event(event, addr, request=request, error=error, status=status, violation=found)

    # ------------------------------------------------------------------ what no handler is for

    def answer_no_route(self, request: Message, addr: Address) -> Fault | None:
        """The default answer to a method without a handler (RFC 3261 8.2.1): 405 where it is known, else 501."""
        method = request.method
        if method == ACK:
            return None
        if method == CANCEL:
            return self.answer_cancel(request, addr)
        return Fault(405, None, (("Allow", self.allowed()),)) if method in METHODS else Fault(501)

    def answer_cancel(self, request: Message, addr: Address) -> Fault | None:
        """The answer to a CANCEL, whose INVITE is ended where its handler is in flight (RFC 3261 9.2).

        It has the INVITE's To tag, also where a NAT gave the CANCEL another port, which was stamped into its Via.
        """
        if not self.answers_cancel:
            return None
        found = self.tasks.end_invite(request, addr[0])
        return Fault(200, to_tag=found[0].to_tag) if found else Fault(481)

    def allowed(self) -> str:
        """The methods that are understood, for an Allow: ACK and CANCEL are among them (RFC 3261 20.5)."""
        methods = [method for method, route in self.routes.copy().items() if route.handler is not None]
        if INVITE in methods:
            methods += [ACK, CANCEL] if self.answers_cancel else [ACK]
        return ", ".join(dict.fromkeys(methods))

    # ------------------------------------------------------------------ what goes out

    def finish(self, request: Message, result: object, addr: Address, target: Address | None, data: bytes) -> None:
        """What a handler returned, when it is not None; `target` is where its response goes, if that is known.

        It is never known for an ACK.
        """
        if type(result) is Message:
            response = result
            if response.status_code:
                self.answer(request, response, addr, target)
                return
        elif type(result) is tuple:
            if self.pass_pair(result):
                return
        elif type(result) is Fault:
            self.refuse(request, addr, result, len(data), target)
            return
        elif type(result) is CoroutineType or inspect.isawaitable(result):
            self.begin(request, result, addr, target, data)
            return
        self.fail(request, addr, _wrong_result(result), data)

    def begin(self, request: Message, work: Any, addr: Address, target: Address | None, data: bytes) -> None:
        """Takes the first step of a coroutine; where it waits then, or no step can be taken here, it is a task.

        One for which there is no room is answered 503 (RFC 3261 21.5.4).
        """
        tasks = self.tasks
        coroutine = tasks.admit(work)
        if coroutine is None:
            self.counts["overloaded"] += 1
            self.reports.event(EventType.OVERLOADED, addr, request=request, status=503)
            fault = Fault(503, None, (("Retry-After", str(self.config.retry_after)),))
            self.refuse(self.as_came(request, addr, data), addr, fault, len(data))
            return
        invite = None
        if self.answers_cancel and request._method() == INVITE:
            invite = tasks.invites.add(request, addr[0], coroutine)
        if self.steps is None:
            self.steps = tasks.first_steps()
        steps = self.steps
        if steps is None:
            tasks.start(None, request, coroutine, addr, target, data, invite)
            return
        try:
            if not steps.take(coroutine):
                tasks.start(steps, request, coroutine, addr, target, data, invite)
                return
            result = steps.result
            if result is not None:
                self.finish(request, result, addr, target, data)
        except PROGRAM_ENDS:
            raise
        except BaseException as error:
            self.fail(request, addr, error, data)
        if invite is not None:
            tasks.invites.remove(invite)

    def answer(self, request: Message, response: Message, addr: Address, target: Address | None) -> None:
        if target is None:
            if request.method == ACK:
                return
            target = self.reply_address(request, addr)
        if self.watches_answers:
            self.reports.call(self.config.on_response, request, response, target)
        self.put(response, target, request)

    def put(self, message: Message, addr: Address, request: Message | None) -> None:
        """Counts a message, and lets it leave with the batch, if any; `request` is what it answers, if that is ours."""
        data = message.to_bytes()
        self.count_sent(message)
        if self.delivering and not self.watches_answers:
            self.waiting.append((data, addr))
        else:
            self.outbox.put(data, addr, message, request)

    def reply_address(self, request: Message, addr: Address) -> Address:
        """Where the response to a request from `addr` goes (RFC 3261 18.2.2, RFC 3581 4)."""
        if type(addr) is ReturnAddress:
            return addr
        try:
            via = request.via
        except HeaderError:
            return addr
        if via is None:
            return addr
        if self.use_maddr and via.maddr:
            return via.maddr.strip("[]"), via.port or DEFAULT_PORT
        return addr if via.rport is not None else at_port(addr, via.port or DEFAULT_PORT)

    def respond(self, request: Message, response: Message, addr: Address) -> None:
        """Answers a request besides what its handler returns."""
        if response.status_code >= 200:
            self.tasks.invites.note_final(request)
        self.answer(request, response, addr, None)

    def count_sent(self, message: Message) -> None:
        """Counts a message that is sent."""
        status = message.status_code
        self.responses[status // 100] += 1

    def pass_on(self, message: Message, addr: Address) -> bool:
        """Sends a message besides the answers of handlers, with the batch, if any.

        False, and nothing done, in another thread than the one that serves.
        """
        if not isinstance(message, Message):
            raise TypeError(f"a Message can be sent, not {type(message).__name__}")
        if self.outbox.thread != get_ident():
            return False
        self.put(message, addr, None)
        return True

    def pass_pair(self, pair: tuple[Any, ...]) -> bool:
        """Sends a message that a handler returned with its address; whether it is that."""
        if len(pair) != 2 or type(pair[0]) is not Message:
            return False
        self.put(pair[0], pair[1], None)
        return True

    # ------------------------------------------------------------------ without a transport

    def call(self, request: Message, addr: Address) -> tuple[Message, Any]:
        """A request as it came, and what its handler returns or raised. Nothing is stamped, judged or sent."""
        if not isinstance(request, Message) or not request.is_request:
            raise TypeError("dispatch needs a request")
        route = self.count_request(request.method)
        handler = self.fallback[NO_ROUTE] if route.handler is None else route.handler
        came = request.copy()
        try:
            return came, handler(request, addr)
        except PROGRAM_ENDS:
            raise
        except BaseException as error:
            return came, error

    def show_response(self, response: Message, addr: Address) -> None:
        """A response that came over another transport."""
        self.take_response(response, addr, b"")

    def checked_response(self, request: Message, result: object, addr: Address, came: Message) -> Message | None:
        """A handler's result, or what it raised, as the response to its request, counted; None where none is sent.

        `came` is the request before the handler had it.
        """
        if result is None or (type(result) is tuple and len(result) == 2 and type(result[0]) is Message):
            return None
        if type(result) is Fault:
            result = result.reply(came)
        elif not isinstance(result, Message) or not result.status_code:
            error = result if isinstance(result, BaseException) else _wrong_result(result)
            result = self.note_failure(request, addr, error).reply(came)
        if request.method == ACK:
            return None
        self.count_sent(result)
        return result


def _fault(found: Violation | HeaderError) -> Fault:
    return Fault(found.status, behind_name(found.header, found.reason) if found.status == 400 else None, (), found)


def _wrong_result(result: object) -> TypeError:
    what = "a request" if isinstance(result, Message) else type(result).__name__
    return TypeError(f"a handler answers a response, (message, address), None or an awaitable, not {what}")


def _is_noise(data: bytes) -> bool:
    return is_signaling_noise_datagram(data) or is_stun(data)
