"""SIP transactions over a sipstack endpoint: RFC 3261 section 17 over UDP, with the corrections of RFC 6026.

    transactions = Transactions(EndpointConfig(host="192.0.2.1"), {"REGISTER": register})
    transactions.endpoint.run()

**Server.** A handler gets `(request, addr)` and answers as an Endpoint's does: a response, None, or a coroutine of
either, and what it raises is answered too. It is asked once for each request. Retransmissions are absorbed while it
works, and answered with its last response afterwards. `respond(request, response, addr)` sends a provisional response,
or a final one later; the first final one stands. It finds the transaction by the request: a handler that edits the
top Via or forwards the request does so on a copy.

- INVITE: a 100 is sent after 0.2 s without a response. A CANCEL cancels the coroutine handler, which has five seconds
  to answer itself; else the INVITE gets 487. An ACK to a failure ends here; the handler of ACK gets the others. A 2xx
  is sent once for each `respond`: to repeat it until its ACK has come is the handler's part (13.3.1.4).
- A failure of an INVITE is repeated until its ACK where a provisional response went before it. Where it is the first
  response the INVITE is still repeated itself, and answered each time: a forged source gets one (8.2.7).
- A method without a handler gets the endpoint's 405 or 501.
- There are `limit` server transactions at most, with `memory` bytes of messages. Beyond that the oldest that are
  answered are forgotten; where the others leave no room, the request gets 503. `Stats.counters` has both:
  `transactions_forgotten`, `transactions_refused`.

**Client.** `response = await request(message, addr)` sends a request until it is answered, and returns its final
response. A message without a Via gets one. `on_response` is called with every response: the provisional ones, the
final one, and for an INVITE each further 2xx, a retransmission or another fork, which the caller acknowledges. The ACK
to a failure is sent here. An INVITE that rings longer than `patience`, or that nobody waits for any more, is cancelled
(9.1). Raises TimeoutError where nothing comes before the endpoint is closed, `TransportError` where it cannot be
sent.
"""

import asyncio
import contextlib
import enum
import errno
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sipstack import (
    Address,
    DatagramTransport,
    Endpoint,
    EndpointConfig,
    Handler,
    HeaderError,
    Message,
    TransportError,
    random_branch,
)
from sipstack.methods import ACK, CANCEL, INVITE
from sipstack.proxy import Hop

T1, T2, T4 = 0.5, 4.0, 5.0  # seconds: a round trip, the longest pause of most retransmissions, a message's life
LONG = 64 * T1  # timers B, D, F, H, J, L, M
SOON = 0.2  # an INVITE that is not answered until then gets a 100
PATIENCE = 180.0  # for the next response to an INVITE that rings: a proxy's timer C
ENDLESS = 1e9  # as good as math.inf

FORGOTTEN, REFUSED = "transactions_forgotten", "transactions_refused"  # counters

log = logging.getLogger("transactions")


class State(enum.Enum):
    """The states of 17.1 and 17.2, and Accepted of RFC 6026. What is terminated is forgotten."""

    CALLING, TRYING, PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = range(7)


UNANSWERED = (State.CALLING, State.TRYING, State.PROCEEDING)


class Wheel:
    """Wakes transactions, all of them with one timer of the event loop. Each has one place in it."""

    TICKS = 32  # a second; a power of two, so that no time is rounded

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._slots: dict[int, dict[Transaction, None]] = {}
        self._tick = 0  # the last that was
        self._turns = False  # whether a timer is set

    def put(self, transaction: "Transaction", time: float) -> None:
        """Wakes it at that time of the loop's clock, and no other."""
        self.remove(transaction)
        if not self._turns:
            self._tick = int(now() * self.TICKS)
            self._wait()
        transaction.slot = max(math.ceil(time * self.TICKS), self._tick + 1)
        self._slots.setdefault(transaction.slot, {})[transaction] = None

    def remove(self, transaction: "Transaction") -> None:
        slot = self._slots.get(transaction.slot, {})
        slot.pop(transaction, None)
        if not slot:
            self._slots.pop(transaction.slot, None)
        transaction.slot = 0

    def _wait(self) -> None:
        self._turns = True
        asyncio.get_running_loop().call_at((self._tick + 1) / self.TICKS, self._turn)

    def _turn(self) -> None:
        ticks: Collection[int] = range(self._tick + 1, int(now() * self.TICKS) + 1)
        self._tick += len(ticks)
        if self._endpoint.transport is None:  # it is over
            ticks = sorted(self._slots)
        elif len(ticks) > len(self._slots):  # the loop was busy for long
            ticks = sorted(slot for slot in self._slots if slot <= self._tick)
        for tick in ticks:
            for transaction in self._slots.pop(tick, ()):
                if transaction.slot == tick:  # else one before it in this loop has removed it
                    transaction.wake()
        self._turns = False
        if self._slots:
            self._wait()


class Transaction:
    """A request and its responses, in a state that ends by itself, in which something may be sent again and again."""

    state: State

    def __init__(self, layer: "Transactions", table: dict[str, Any], key: str, request: Message, addr: Address) -> None:
        self.layer, self.table, self.key, self.request, self.addr = layer, table, key, request, addr
        self.is_invite = request.method == INVITE
        self.slot = 0  # the wheel's
        table[key] = self

    def enter(self, state: State, lasts: float, resend: float = math.inf) -> None:
        """Begins a state that lasts so long, in which something is sent again after a pause, which doubles."""
        self.state, self.pause = state, resend
        self.end = now() + lasts
        self._sleep()

    def _sleep(self) -> None:
        self.layer.wheel.put(self, min(now() + self.pause, self.end))

    def wake(self) -> None:
        """Called by the wheel."""
        try:
            if self.layer.endpoint.transport is None:
                self.forget()
            elif now() >= self.end:
                self.expire()
            else:
                self.pause = 2 * self.pause if self.state is State.CALLING else min(2 * self.pause, T2)  # A; E and G
                self._sleep()
                self.send()
        except Exception:
            log.exception("the transaction %.200r failed", self.key)
            self.forget()

    def send(self) -> None:
        raise NotImplementedError

    def expire(self) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """Ends it, answered or not."""
        self.state = State.TERMINATED
        self.layer.wheel.remove(self)
        self.table.pop(self.key, None)


class ServerTransaction(Transaction):
    """Section 17.2: a request that came."""

    def __init__(self, layer: "Transactions", key: str, request: Message, addr: Address) -> None:
        super().__init__(layer, layer.servers, key, request, addr)
        self.response: Message | None = None
        self.work: asyncio.Future[Message | None] | None = None  # its coroutine handler
        self.given_up = 0  # the status that answers it where the handler does not
        self.size = 0  # bytes of both messages
        self._weigh()
        if self.is_invite:
            self.enter(State.PROCEEDING, PATIENCE, SOON)
        else:
            self.enter(State.TRYING, LONG)  # nobody waits longer (timer F)

    def respond(self, response: Message) -> None:
        """Sends a response, where there has been no final one: but for further 2xx."""
        success = 200 <= response.status_code < 300
        if self.state not in UNANSWERED and not (self.state is State.ACCEPTED and success):
            return
        is_first = self.response is None
        self.response = response
        self._weigh()
        self.send()
        if response.status_code < 200:
            self.state = State.PROCEEDING
            if self.is_invite and not self.given_up:
                self.enter(State.PROCEEDING, PATIENCE)
        elif self.state is not State.ACCEPTED:
            self.layer.answered[self.key] = self
            if not self.is_invite:
                self.enter(State.COMPLETED, LONG)  # J
            elif success:
                self.enter(State.ACCEPTED, LONG)  # L
            else:
                self.enter(State.COMPLETED, LONG, math.inf if is_first else T1)  # H and G

    def _weigh(self) -> None:
        """Counts what is kept of it among the layer's."""
        size = len(bytes(self.request)) + (0 if self.response is None else len(bytes(self.response)))
        self.layer.kept += size - self.size
        self.size = size

    def send(self) -> None:
        """Sends the last response; 100 to an INVITE that has none."""
        if self.response is not None:  # a copy: `on_response` may edit it, each time
            self.layer.endpoint.respond(self.request, self.response.copy(), self.addr)
        elif self.is_invite:
            self.respond(self.request.reply(100))

    def come_again(self) -> None:
        """A retransmission of the request."""
        if self.state not in (State.ACCEPTED, State.CONFIRMED):
            self.send()

    def passes_ack(self) -> bool:
        """An ACK has come. Whether it is for the handler: the one to a failure ends here."""
        if self.state is State.COMPLETED:
            self.enter(State.CONFIRMED, T4)  # I
        return self.state is State.ACCEPTED

    def finish(self, work: asyncio.Future[Message | None]) -> None:
        """The coroutine handler has ended: what it returned or raised is answered."""
        self.work = None
        try:
            if (response := work.result()) is not None:
                self.respond(response)
        except asyncio.CancelledError as error:
            if self.state is not State.TERMINATED and not self.given_up and self.layer.endpoint.transport is not None:
                self.fail(error)  # something it waited for was cancelled
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.fail(error)
        if self.given_up:
            self.respond(self.request.reply(self.given_up))

    def fail(self, error: BaseException) -> None:
        """Answers what the handler raised, as the endpoint does it."""
        self.respond(self.layer.endpoint.failure_response(self.request, error, self.addr))

    def give_up(self, status: int) -> None:
        """Ends an INVITE that has no final response. A coroutine handler may give it one now, or just has."""
        self.given_up = status
        if self.work is None:
            self.respond(self.request.reply(status))
        else:
            self.work.cancel()
            self.enter(State.PROCEEDING, T4)

    def expire(self) -> None:
        if self.state is not State.PROCEEDING or not self.is_invite:
            self.forget()
        elif self.given_up:  # the handler does not care
            self.respond(self.request.reply(self.given_up))
        else:
            self.give_up(408)

    def forget(self) -> None:
        if self.state in UNANSWERED and self.work is not None:
            self.work.cancel()
        self.layer.answered.pop(self.key, None)
        self.layer.kept -= self.size
        self.size = 0
        super().forget()


class ClientTransaction(Transaction):
    """Section 17.1: a request of ours."""

    def __init__(
        self,
        layer: "Transactions",
        request: Message,
        addr: Address,
        on_response: Callable[[Message], object] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        key = request.transaction_key()
        if key in layer.clients:
            raise ValueError("a request with this branch is under way")
        super().__init__(layer, layer.clients, key, request, addr)
        self.on_response = on_response
        self.patience = now() + min(ENDLESS, patience)  # until then it may ring
        self.cancelled = False
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.enter(State.CALLING if self.is_invite else State.TRYING, LONG, T1)  # B and A, F and E

    def send(self) -> None:
        self.layer.endpoint.send_soon(self.request, self.addr)

    def receive(self, response: Message) -> None:
        status, unanswered = response.status_code, self.state in UNANSWERED
        if status < 200:
            if unanswered:
                self._proceed()
        elif not self.is_invite:
            if unanswered:
                self.enter(State.COMPLETED, T4)  # K
        elif status < 300:
            if unanswered:
                self.enter(State.ACCEPTED, LONG)  # M
        elif unanswered or self.state is State.COMPLETED:
            self.layer.endpoint.send_soon(self.request.ack(response), self.addr)
            if unanswered:
                self.enter(State.COMPLETED, LONG)  # D
        if unanswered or (self.state is State.ACCEPTED and 200 <= status < 300):
            self._tell(response)

    def _proceed(self) -> None:
        if not self.is_invite:
            self.state, self.pause = State.PROCEEDING, T2
        elif self.cancelled and self.state is State.CALLING:
            self._send_cancel()
        elif not self.cancelled:
            self.enter(State.PROCEEDING, self.patience - now())

    def _tell(self, response: Message) -> None:
        if response.status_code >= 200 and not self.answer.done():
            self.answer.set_result(response)
        if self.on_response is not None:
            self.on_response(response)

    def cancel(self) -> None:
        """Nobody waits for the answer any more. A CANCEL is sent, when a provisional response has come (9.1)."""
        if not self.is_invite:
            self.forget()
        elif self.state in UNANSWERED and not self.cancelled:
            self.cancelled = True
            if self.state is State.PROCEEDING:
                self._send_cancel()

    def _send_cancel(self) -> None:
        self.enter(State.PROCEEDING, LONG)
        request = self.request.cancel()
        if request.transaction_key() not in self.layer.clients:  # else one was sent by somebody else
            cancel = ClientTransaction(self.layer, request, self.addr)
            cancel.answer.cancel()
            cancel.send()

    def expire(self) -> None:
        if self.state is State.PROCEEDING and self.is_invite and not self.cancelled:
            self.cancel()
        else:
            self.forget()

    def forget(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(TimeoutError(f"no answer to {self.request.method}"))
        super().forget()


class Transactions:
    """An endpoint with transactions: see above.

    Attributes:
        endpoint: what it stands on: `run`, `serve`, `stats`.
        kept: bytes of the messages of server transactions.
    """

    def __init__(
        self,
        config: EndpointConfig,
        handlers: Mapping[str, Handler],
        *,
        limit: int = 20_000,
        memory: int = 1 << 26,
        transport: DatagramTransport | None = None,
    ) -> None:
        counters = (*config.counters, FORGOTTEN, REFUSED)
        config = replace(config, on_sip_response=self._on_response, answer_cancel=False, counters=counters)
        self.endpoint = Endpoint(config, transport=transport)
        self.handlers = {method.upper(): handler for method, handler in handlers.items()}
        for method in (*handlers, ACK, CANCEL):
            self.endpoint.register_handler(method, self._on_request)
        self.limit, self.memory, self.kept = limit, memory, 0
        self.wheel = Wheel(self.endpoint)
        self.clients: dict[str, ClientTransaction] = {}
        self.servers: dict[str, ServerTransaction] = {}
        self.answered: dict[str, ServerTransaction] = {}  # those of them, the oldest first
        self._working = 0  # coroutine handlers

    # --- server

    def respond(self, request: Message, response: Message, addr: Address) -> None:
        """Sends a response to a request besides what its handler returns."""
        transaction = self.servers.get(_server_key(request, addr))
        if transaction is not None:
            transaction.respond(response)

    def _on_request(self, request: Message, addr: Address) -> Message | Awaitable[None] | None:
        key = _server_key(request, addr)
        transaction = self.servers.get(key)
        if request.method == CANCEL:
            return self._on_cancel(request, addr)
        if request.method == ACK:
            if (transaction is None or transaction.passes_ack()) and ACK in self.handlers:
                return self._begin(request, addr, None)
        elif transaction is not None:
            transaction.come_again()
        elif not self._make_room(len(bytes(request))):
            return self._busy(request)
        else:
            return self._begin(request, addr, ServerTransaction(self, key, request, addr))
        return None

    def _on_cancel(self, request: Message, addr: Address) -> Message:
        """A CANCEL, for the INVITE of its branch from the same host (9.2). `reply` gives both the same To tag.

        It does the same however often it comes, so it needs no transaction, and no room where there is none.
        """
        invite = self.servers.get(_server_key(request, addr, INVITE))
        if invite is None:
            return request.reply(481)
        if invite.state in UNANSWERED and not invite.given_up:
            invite.give_up(487)
        return request.reply(200)

    def _make_room(self, size: int) -> bool:
        """Whether there is room for one more, whose request has so many bytes."""
        while self._is_full(size) and self.answered:
            next(iter(self.answered.values())).forget()
            self.endpoint.count(FORGOTTEN)
        return not self._is_full(size)

    def _is_full(self, size: int) -> bool:
        return len(self.servers) >= self.limit or self.kept + size > self.memory

    def _begin(
        self, request: Message, addr: Address, transaction: ServerTransaction | None
    ) -> Message | Awaitable[None] | None:
        """Asks the handler, of an ACK without a transaction."""
        try:
            result = self.handlers[request.method](request, addr)
            if inspect.isawaitable(result):
                return self._start(result, request, transaction)
            if result is not None and transaction is not None:
                transaction.respond(result)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # nobody has cancelled this: it is the handler's own
            if transaction is None:
                raise
            transaction.fail(error)
        return None

    def _start(
        self, handler: Awaitable[Message | None], request: Message, transaction: ServerTransaction | None
    ) -> Message | Awaitable[None] | None:
        """Lets a coroutine handler begin. The endpoint gets what waits for it, so that it ends in good order."""
        if self._working >= self.endpoint.config.max_pending:  # the endpoint would answer by itself
            if inspect.iscoroutine(handler):
                handler.close()
            if transaction is None:
                return None
            transaction.forget()
            return self._busy(request)
        self._working += 1
        work = asyncio.ensure_future(handler)
        work.add_done_callback(partial(self._end, transaction))
        if transaction is not None:
            transaction.work = work
        return _wait(work)

    def _end(self, transaction: ServerTransaction | None, work: asyncio.Future[Message | None]) -> None:
        self._working -= 1
        if transaction is not None:
            transaction.finish(work)
        elif not work.cancelled() and (error := work.exception()) is not None:
            log.error("the handler of ACK failed", exc_info=error)

    def _busy(self, request: Message) -> Message:
        self.endpoint.count(REFUSED)
        return request.reply(503, headers={"Retry-After": self.endpoint.config.retry_after})

    # --- client

    async def request(
        self,
        message: Message,
        addr: Address,
        on_response: Callable[[Message], object] | None = None,
        *,
        patience: float = PATIENCE,
    ) -> Message:
        """Sends a request to this address, and returns its final response: see above."""
        message = message.copy()
        if message.via is None:
            message.push_via(self.make_via())
        transaction = ClientTransaction(self, message, addr, on_response, patience)
        try:
            with contextlib.suppress(BlockingIOError):  # it will be sent again
                self.endpoint.send(message, addr)
        except BaseException:
            transaction.answer.cancel()
            transaction.forget()
            raise
        try:
            return await transaction.answer
        except asyncio.CancelledError:
            transaction.cancel()
            raise

    def make_via(self) -> str:
        """A Via of ours, with a branch that no other has."""
        own = self.endpoint.listen_addr
        if own is None:
            raise TransportError(errno.EBADF, "the endpoint is not open")
        return f"SIP/2.0/UDP {Hop('UDP', *own).sent_by};branch={random_branch()};rport"

    def _on_response(self, response: Message, _: Address) -> None:
        try:
            transaction = self.clients.get(response.transaction_key())
        except HeaderError:
            return  # nobody can tell whom it is for
        if transaction is not None and _is_usable(response):  # asked last, for that costs the most
            transaction.receive(response)


def now() -> float:
    return asyncio.get_running_loop().time()


def _server_key(request: Message, addr: Address, method: str | None = None) -> str:
    """17.2.3, and the host it came from: a stranger who sees or guesses a branch gets nothing for it."""
    return f"{addr[0]} {request.transaction_key(method)}"


def _is_usable(response: Message) -> bool:
    """Whether it can be acted on, and is for us (8.1.3)."""
    return not any(found.serious for found in response.validate()) and len(response.vias) == 1


async def _wait(work: asyncio.Future[Message | None]) -> None:
    """Until a handler has ended, however; it is cancelled where this is."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # the transaction has answered it
        return
