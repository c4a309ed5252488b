"""SIP transactions over a sipstack endpoint: RFC 3261 section 17 over UDP, with the corrections of RFC 6026.

    transactions = Transactions(EndpointConfig(host="192.0.2.1"), {"REGISTER": register})
    transactions.endpoint.run()

**Server.** A handler gets `(request, addr)` and answers as an Endpoint's does: a response, None, or a coroutine of
either, and what it raises is answered too. It is asked once for each request. Retransmissions are absorbed while it
works, and answered with its last response afterwards. `respond(request, response, addr)` sends a provisional response,
or a final one later; the first final one stands. It finds the transaction by the request: a handler that edits the
top Via or forwards the request does so on a copy.

- INVITE: a 100 is sent after 0.2 s without a response. A CANCEL cancels the coroutine handler, which may answer
  itself, and the INVITE gets 487 otherwise. An ACK to a failure ends here; the handler of ACK gets the others. A 2xx is
  sent once for each `respond`: to repeat it until its ACK has come is the handler's part (13.3.1.4).
- A method without a handler gets 405 or 501.
- There are `limit` server transactions at most. Beyond it the oldest that is answered is forgotten; where all of
  them wait for an answer, the request gets 503. So memory is bounded by `limit` times two messages of the
  endpoint's `max_size`.

**Client.** `response = await request(message, addr)` sends a request until it is answered, and returns its final
response. A message without a Via gets one. `on_response` is called with every response: the provisional ones, the
final one, and for an INVITE each further 2xx, a retransmission or another fork, which the caller acknowledges. The ACK
to a failure is sent here. An INVITE that rings longer than `patience`, or that nobody waits for any more, is cancelled
(9.1). Raises TimeoutError where nothing comes, `TransportError` where it cannot be sent.
"""

import asyncio
import enum
import errno
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
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
from sipstack.methods import ACK, CANCEL, INVITE, METHODS
from sipstack.proxy import Hop

T1, T2, T4 = 0.5, 4.0, 5.0  # seconds: a round trip, the longest pause of most retransmissions, a message's life
LONG = 64 * T1  # timers B, D, F, H, J, L, M
SOON = 0.2  # an INVITE that is not answered until then gets a 100
PATIENCE = 180.0  # for the next response to an INVITE that rings: a proxy's timer C

log = logging.getLogger("transactions")


class State(enum.Enum):
    """The states of 17.1 and 17.2, and Accepted of RFC 6026. What is terminated is forgotten."""

    CALLING, TRYING, PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = range(7)


UNANSWERED = (State.CALLING, State.TRYING, State.PROCEEDING)


class Wheel:
    """Wakes transactions, all of them with one timer of the event loop. Each has one place in it."""

    TICKS = 32  # a second; a power of two, so that no time is rounded

    def __init__(self) -> None:
        self._slots: dict[int, dict[Transaction, None]] = {}
        self._tick = 0  # the last that was

    def put(self, transaction: "Transaction", time: float) -> None:
        """Wakes it at that time of the loop's clock, and no other."""
        self.remove(transaction)
        if not self._slots:
            self._tick = int(asyncio.get_running_loop().time() * self.TICKS)
            self._wait()
        transaction.slot = max(math.ceil(time * self.TICKS), self._tick + 1)
        self._slots.setdefault(transaction.slot, {})[transaction] = None

    def remove(self, transaction: "Transaction") -> None:
        self._slots.get(transaction.slot, {}).pop(transaction, None)
        transaction.slot = 0

    def _wait(self) -> None:
        asyncio.get_running_loop().call_at((self._tick + 1) / self.TICKS, self._turn)

    def _turn(self) -> None:
        now = int(asyncio.get_running_loop().time() * self.TICKS)
        while self._tick < now:
            self._tick += 1
            for transaction in self._slots.pop(self._tick, ()):
                if transaction.slot == self._tick:  # else one before it in this loop has removed it
                    transaction.wake()
        if self._slots:
            self._wait()


class Transaction:
    """A request and its responses, in a state that ends by itself, in which something may be sent again and again."""

    def __init__(self, layer: "Transactions", request: Message, addr: Address) -> None:
        self.layer, self.request, self.addr = layer, request, addr
        self.is_invite = request.method == INVITE
        self.slot = 0  # the wheel's
        self.cancelled = False

    def enter(self, state: State, lasts: float, resend: float = math.inf) -> None:
        """Begins a state that lasts so long, in which something is sent again after a pause, which doubles."""
        self.state, self.pause = state, resend
        self.end = asyncio.get_running_loop().time() + lasts
        self._sleep()

    def _sleep(self) -> None:
        self.layer.wheel.put(self, min(asyncio.get_running_loop().time() + self.pause, self.end))

    def wake(self) -> None:
        """Called by the wheel."""
        if asyncio.get_running_loop().time() >= self.end:
            self.expire()
            return
        self.pause = 2 * self.pause if self.state is State.CALLING else min(2 * self.pause, T2)  # A; E and G
        self._sleep()
        self.send()

    def send(self) -> None:
        raise NotImplementedError

    def expire(self) -> None:
        raise NotImplementedError


class ServerTransaction(Transaction):
    """Section 17.2: a request that came."""

    def __init__(self, layer: "Transactions", key: tuple[str, str], request: Message, addr: Address) -> None:
        super().__init__(layer, request, addr)
        self.key = key
        self.response: Message | None = None
        self.work: asyncio.Future[Any] | None = None  # its coroutine handler
        if self.is_invite:
            self.enter(State.PROCEEDING, PATIENCE, SOON)
        else:
            self.enter(State.TRYING, LONG)  # nobody waits longer (timer F)

    def respond(self, response: Message) -> None:
        """Sends a response, where there has been no final one: but for further 2xx."""
        success = 200 <= response.status_code < 300
        if self.state not in UNANSWERED and not (self.state is State.ACCEPTED and success):
            return
        self.response = response
        self.send()
        if response.status_code < 200:
            self.enter(State.PROCEEDING, PATIENCE if self.is_invite else self._left())
        elif self.state is not State.ACCEPTED:
            self.layer.answered[self.key] = self
            if not self.is_invite:
                self.enter(State.COMPLETED, LONG)  # J
            elif success:
                self.enter(State.ACCEPTED, LONG)  # L
            else:
                self.enter(State.COMPLETED, LONG, T1)  # H and G

    def _left(self) -> float:
        return self.end - asyncio.get_running_loop().time()

    def send(self) -> None:
        """Sends the last response; 100 to an INVITE that has none."""
        if self.response is not None:
            self.layer.endpoint.respond(self.request, self.response, self.addr)
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

    def give_up(self, status: int) -> None:
        """Ends an INVITE that has no final response; a coroutine handler may give it one now."""
        self.cancelled = True
        if self.work is not None and not self.work.done():
            self.status_if_cancelled = status
            self.work.cancel()
        else:
            self.respond(self.request.reply(status))

    def expire(self) -> None:
        if self.state is State.PROCEEDING and self.is_invite and not self.cancelled:
            self.give_up(408)
            return
        if self.state in UNANSWERED and self.work is not None:
            self.work.cancel()
        self.forget()

    def forget(self) -> None:
        self.state = State.TERMINATED
        self.layer.wheel.remove(self)
        self.layer.answered.pop(self.key, None)
        self.layer.servers.pop(self.key, None)


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
        super().__init__(layer, request, addr)
        self.on_response = on_response
        self.patience = patience + asyncio.get_running_loop().time()  # until then it may ring
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.key = request.transaction_key()
        if self.key in layer.clients:
            raise ValueError("a request with this branch is under way")
        layer.clients[self.key] = self
        self.enter(State.CALLING if self.is_invite else State.TRYING, LONG, T1)  # B and A, F and E

    def send(self) -> None:
        self.layer.endpoint.send_soon(self.request, self.addr)

    def receive(self, response: Message) -> None:
        status, unanswered = response.status_code, self.state in UNANSWERED
        if status < 200:
            if unanswered:
                self._proceed()
                self._tell(response)
        elif not self.is_invite:
            if unanswered:
                self.enter(State.COMPLETED, T4)  # K
                self._tell(response)
        elif status >= 300:
            if unanswered or self.state is State.COMPLETED:
                self.layer.endpoint.send_soon(self.request.ack(response), self.addr)
            if unanswered:
                self.enter(State.COMPLETED, LONG)  # D
                self._tell(response)
        elif unanswered or self.state is State.ACCEPTED:
            if unanswered:
                self.enter(State.ACCEPTED, LONG)  # M
            self._tell(response)

    def _proceed(self) -> None:
        if not self.is_invite:
            self.state, self.pause = State.PROCEEDING, T2
        elif self.cancelled and self.state is State.CALLING:
            self._send_cancel()
        elif not self.cancelled:
            self.enter(State.PROCEEDING, self.patience - asyncio.get_running_loop().time())

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
        cancel = ClientTransaction(self.layer, self.request.cancel(), self.addr)
        cancel.answer.cancel()
        cancel.send()
        self.enter(State.PROCEEDING, LONG)

    def expire(self) -> None:
        if self.state is State.PROCEEDING and self.is_invite and not self.cancelled:
            self.cancel()
            return
        if not self.answer.done():
            self.answer.set_exception(TimeoutError(f"no answer to {self.request.method}"))
        self.forget()

    def forget(self) -> None:
        self.state = State.TERMINATED
        self.layer.wheel.remove(self)
        self.layer.clients.pop(self.key, None)


class Transactions:
    """An endpoint with transactions: see above.

    Attributes:
        endpoint: what it stands on: `run`, `serve`, `stats`.
    """

    def __init__(
        self,
        config: EndpointConfig,
        handlers: Mapping[str, Handler],
        *,
        limit: int = 20_000,
        transport: DatagramTransport | None = None,
    ) -> None:
        config = replace(
            config, no_route_handler=self._on_request, on_sip_response=self._on_response, answer_cancel=False
        )
        self.endpoint = Endpoint(config, transport=transport)
        self.handlers: dict[str, Handler] = {CANCEL: self._on_cancel, **handlers}
        self.limit = limit
        self.wheel = Wheel()
        self.clients: dict[str, ClientTransaction] = {}
        self.servers: dict[tuple[str, str], ServerTransaction] = {}
        self.answered: dict[tuple[str, str], ServerTransaction] = {}  # those of them, the oldest first
        self._working = 0  # coroutine handlers

    # --- server

    def respond(self, request: Message, response: Message, addr: Address) -> None:
        """Sends a response to a request besides what its handler returns."""
        transaction = self.servers.get(_server_key(request, addr))
        if transaction is not None:
            transaction.respond(response)

    def _on_request(self, request: Message, addr: Address) -> Message | Awaitable[Message | None] | None:
        key = _server_key(request, addr)
        transaction = self.servers.get(key)
        handler = self.handlers.get(request.method)
        if request.method == ACK:
            if (transaction is None or transaction.passes_ack()) and handler is not None:
                return handler(request, addr)
        elif transaction is not None:
            transaction.come_again()
        elif handler is None:
            return self._refuse(request)
        elif not self._make_room():
            return self._busy(request)
        else:
            self.servers[key] = transaction = ServerTransaction(self, key, request, addr)
            return self._begin(transaction, handler)
        return None

    def _make_room(self) -> bool:
        if len(self.servers) >= self.limit and self.answered:
            next(iter(self.answered.values())).forget()
        return len(self.servers) < self.limit

    def _begin(self, transaction: ServerTransaction, handler: Handler) -> Message | Awaitable[None] | None:
        """Asks the handler. The endpoint gets what waits for a coroutine, so that it ends in good order."""
        request = transaction.request
        try:
            result = handler(request, transaction.addr)
            if inspect.isawaitable(result):
                if self._working >= self.endpoint.config.max_pending:  # the endpoint would answer by itself
                    if inspect.iscoroutine(result):
                        result.close()
                    transaction.forget()
                    return self._busy(request)
                self._working += 1
                transaction.work = asyncio.ensure_future(result)
                return self._follow(transaction, transaction.work)
            if result is not None:
                transaction.respond(result)
        except Exception as error:
            transaction.respond(_failed(request, error))
        return None

    async def _follow(self, transaction: ServerTransaction, work: asyncio.Future[Message | None]) -> None:
        """Waits for a handler, and answers what it returns or raises."""
        try:
            if (response := await work) is not None:
                transaction.respond(response)
        except asyncio.CancelledError:
            if not transaction.cancelled:
                raise
            transaction.respond(transaction.request.reply(transaction.status_if_cancelled))
        except Exception as error:
            transaction.respond(_failed(transaction.request, error))
        finally:
            self._working -= 1

    def _on_cancel(self, request: Message, addr: Address) -> Message:
        """A CANCEL, for the INVITE of its branch from the same host (9.2). `reply` gives both the same To tag."""
        invite = self.servers.get((addr[0], request.transaction_key(INVITE)))
        if invite is None:
            return request.reply(481)
        if invite.state in UNANSWERED and not invite.cancelled:
            invite.give_up(487)
        return request.reply(200)

    def _refuse(self, request: Message) -> Message:
        if request.method not in METHODS:
            return request.reply(501)
        return request.reply(405, headers={"Allow": ", ".join(self.handlers)})

    def _busy(self, request: Message) -> Message:
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
            self.endpoint.send(message, addr)
        except BlockingIOError:
            pass  # it will be sent again
        except BaseException:
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
        if any(found.serious for found in response.validate()):
            return  # it cannot be acted on (8.1.3)
        transaction = self.clients.get(response.transaction_key())
        if transaction is not None:
            transaction.receive(response)


def _server_key(request: Message, addr: Address) -> tuple[str, str]:
    """17.2.3, and the host: a stranger who sees or guesses a branch gets nothing for it."""
    return addr[0], request.transaction_key()


def _failed(request: Message, error: Exception) -> Message:
    """The answer where a handler raised something, as the endpoint makes it."""
    if isinstance(error, HeaderError):
        return request.reply(error.status, f"{error.header} {error.reason}".strip() if error.status == 400 else None)
    log.error("the handler of %s failed", request.method, exc_info=error)
    return request.reply(500)
