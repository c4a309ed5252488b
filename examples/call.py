"""A telephone without media: it answers calls and places one, over the transactions of transactions.py.

    python call.py answer --listen 127.0.0.1:5060 --ring 2
    python call.py place sip:bob@127.0.0.1:5060 --listen 127.0.0.1:5062 --talk 5

A call is a coroutine: it rings, is answered, lasts and ends, in the order of its lines. It may be called off while it
rings (CANCEL), either side may hang up (BYE), ask (OPTIONS) or change it (INVITE) while it lasts. As many calls at a
time are answered as the endpoint has room for coroutine handlers (`max_pending`); more get 503. Nothing is resolved but
by an address record, nothing is authenticated, and a body is a fixed text.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from transactions import LONG, T1, T2, Transactions

from sipstack import (
    Address,
    DatagramTransport,
    EndpointConfig,
    HeaderError,
    Message,
    NameAddr,
    SipError,
    Uri,
    parse_uri,
    random_token,
)
from sipstack.methods import ACK, BYE, CANCEL, INVITE, OPTIONS
from sipstack.proxy import Hop

log = logging.getLogger("call")


@dataclass(eq=False)
class Call:
    """A dialog (RFC 3261 12), as it is seen from our end of it."""

    id: str
    call_id: str
    local: NameAddr
    remote: NameAddr
    target: Uri
    route_set: tuple[NameAddr, ...]
    addr: Address  # where our requests go
    sent: int = 0  # the CSeq of our last request
    heard: int = 0  # the CSeq of theirs
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    unacknowledged: dict[int, asyncio.Event] = field(default_factory=dict)  # by the CSeq of the INVITE

    def request(self, method: str) -> Message:
        """A request of this dialog (12.2.1.1); an ACK is for the INVITE that was the last."""
        self.sent += method != ACK
        request = make_request(method, self.target, self.local, self.remote, self.call_id, self.sent)
        request.set_route(self.target, self.route_set)
        return request


class Phone:
    """Takes calls and places them.

    Attributes:
        transactions: what it stands on.
        calls: those that last, by `Message.dialog_id`.
    """

    def __init__(
        self, config: EndpointConfig, *, ring: float = 1.0, longest: float = 3600.0,
        transport: DatagramTransport | None = None,
    ) -> None:  # fmt: skip
        self.ring, self.longest = ring, longest
        self.calls: dict[str, Call] = {}
        handlers = {INVITE: self.on_invite, ACK: self.on_ack, BYE: self.on_bye, OPTIONS: self.on_options}
        self.transactions = Transactions(config, handlers, transport=transport)

    # --- taking calls

    async def on_invite(self, request: Message, addr: Address) -> Message | None:
        """An INVITE: a new call, or a change of one."""
        if request.to_tag:
            call = self.call_of(request)
            await self.answer(call, request, addr)
            return None
        if not request.contacts:
            raise HeaderError("missing", "Contact")
        self.transactions.respond(request, request.reply(180, headers=self.contact), addr)
        await asyncio.sleep(self.ring)  # a CANCEL ends the handler here
        call = self.take(request, addr)
        try:
            if await self.answer(call, request, addr):
                await self.last(call, self.longest)
        finally:
            await self.hang_up(call)
        return None

    def take(self, request: Message, addr: Address) -> Call:
        """The dialog that a 2xx to this INVITE makes (12.1.1).

        Our requests go to where the INVITE came from. Its Contact is a stranger's word, who could aim them.
        """
        ok = request.reply(200)
        assert ok.to and ok.from_ and request.cseq and (name := ok.dialog_id(sent=True))
        target, heard = request.contacts[0].uri, request.cseq.num
        call = Call(name, ok.call_id or "", ok.to, ok.from_, target, request.route_set, addr, heard=heard)
        self.calls[name] = call
        return call

    async def answer(self, call: Call, request: Message, addr: Address) -> bool:
        """Sends 200 until its ACK has come (13.3.1.4); whether it has, or a BYE."""
        assert request.cseq
        acknowledged = call.unacknowledged[request.cseq.num] = asyncio.Event()
        ok = request.reply(200, headers={**self.contact, "Content-Type": "application/sdp"}, body=self.sdp)
        pause, slept = T1, 0.0
        try:
            while slept < LONG and not acknowledged.is_set():
                self.transactions.respond(request, ok, addr)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await acknowledged.wait()
                slept, pause = slept + pause, min(2 * pause, T2)
        finally:
            del call.unacknowledged[request.cseq.num]
        return acknowledged.is_set()

    def on_ack(self, request: Message, addr: Address) -> None:
        call = self.calls.get(request.dialog_id() or "")
        if call and request.cseq and (acknowledged := call.unacknowledged.get(request.cseq.num)):
            acknowledged.set()

    def on_bye(self, request: Message, addr: Address) -> Message:
        call = self.call_of(request)
        self.end(call)
        return request.reply(200)

    def on_options(self, request: Message, addr: Address) -> Message:
        if request.to_tag:
            self.call_of(request)
        return request.reply(200, headers={"Allow": ", ".join((INVITE, ACK, CANCEL, BYE, OPTIONS))})

    def call_of(self, request: Message) -> Call:
        """The call that a request belongs to (12.2.2): else 481, and 500 where it is out of order."""
        call = self.calls.get(request.dialog_id() or "")
        assert request.cseq
        if call is None:
            raise HeaderError("of no call", status=481)
        if request.cseq.num <= call.heard:
            raise HeaderError("out of order", "CSeq", status=500)
        call.heard = request.cseq.num
        return call

    # --- placing calls

    async def call(self, uri: Uri, *, talk: float = 1.0, patience: float = 60.0) -> Message:
        """Places a call, and hangs up after `talk` seconds. Returns the final response: 487 where nobody answered.

        Raises TimeoutError where nothing comes, `TransportError` and HeaderError where it cannot be sent there.
        """
        addr = await self.resolve(uri)
        local = NameAddr(parse_uri(f"sip:caller@{self.own}"), params={"tag": random_token()})
        invite = make_request(INVITE, uri, local, NameAddr(uri), random_token(), 1)
        invite.set_header("Contact", self.contact["Contact"])
        invite.set_header("Content-Type", "application/sdp")
        invite.body = self.sdp
        acks: dict[str, tuple[Message, Address]] = {}  # to each fork that answered

        def on_response(response: Message) -> None:
            log.info("%d %s", response.status_code, response.status_text)
            name = response.dialog_id()
            if not name or not 200 <= response.status_code < 300:
                return
            if name not in acks:
                call = self.follow(name, response, addr)
                ack = call.request(ACK)
                ack.push_via(self.transactions.make_via())
                acks[name] = ack, call.addr
                if len(acks) > 1 or asked.cancelled():  # another fork, or an answer to one who is gone
                    self.spawn(self.hang_up(call))
            self.transactions.endpoint.send_soon(*acks[name])

        asked = asyncio.ensure_future(self.transactions.request(invite, addr, on_response, patience=patience))
        response = await asked
        if call := self.calls.get(response.dialog_id() or ""):
            await self.last(call, talk)
        return response

    def follow(self, name: str, response: Message, addr: Address) -> Call:
        """The dialog that a 2xx to an INVITE of ours makes (12.1.2)."""
        assert response.to
        assert response.from_
        target = response.contacts[0].uri if response.contacts else response.to.uri
        routes = response.route_set
        hop = Hop.of_uri(routes[0].uri if routes else target)
        with contextlib.suppress(ValueError):  # a name: the way the INVITE went is known
            addr = str(ipaddress.ip_address(hop.host)), hop.port
        call = Call(name, response.call_id or "", response.from_, response.to, target, routes, addr, sent=1)
        self.calls[name] = call
        return call

    # --- both

    async def last(self, call: Call, seconds: float) -> None:
        """Waits for the other side to hang up, and hangs up after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await call.ended.wait()
        except TimeoutError:
            pass
        finally:
            await self.hang_up(call)

    async def hang_up(self, call: Call) -> None:
        if not call.ended.is_set():
            self.end(call)
            with contextlib.suppress(TimeoutError, SipError):
                await self.transactions.request(call.request(BYE), call.addr)

    def end(self, call: Call) -> None:
        call.ended.set()
        for waiting in call.unacknowledged.values():
            waiting.set()
        self.calls.pop(call.id, None)
