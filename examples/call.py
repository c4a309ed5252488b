"""A telephone without media: it takes calls, or places one, over the transactions of transactions.py.

    python call.py answer --listen 127.0.0.1:5060 --ring 2
    python call.py place sip:bob@127.0.0.1:5060 --listen 127.0.0.1:5062 --talk 5

A call is a coroutine: it rings, is answered, lasts and ends in the order of its lines. It may be called off while it
rings (CANCEL); while it lasts, either side may hang up (BYE), ask (OPTIONS) or change it (INVITE). It answers as many
calls at a time as the endpoint has room for coroutine handlers (`max_pending`), and more get 503. There is no
authentication, and the body is always the same.

Where our requests of an incoming call go is where its INVITE came from: its Contact is a stranger's word, who could aim
them at somebody else. For a call of our own it is what the answer says.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from transactions import LONG, T1, T2, Transactions

from sipstack import (
    STAR,
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

SDP = """\
v=0
o=- 0 0 IN IP{0.version} {0}
s=-
c=IN IP{0.version} {0}
t=0 0
m=audio 9 RTP/AVP 0
a=inactive
"""

MOST_FORKS = 8  # that a call of ours may have

log = logging.getLogger("call")


@dataclass(eq=False)
class Call:
    """A dialog (RFC 3261 12), from our end of it."""

    id: str
    call_id: str
    local: NameAddr
    remote: NameAddr
    target: Uri
    route_set: tuple[NameAddr, ...]
    addr: Address  # where our requests go
    known: bool  # whether they have shown that they get what we send: a source may be forged
    early: bool = False  # whether its INVITE, which came, waits for our answer
    sent: int = 0  # the CSeq of our last request
    heard: int = 0  # and of theirs
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    unacknowledged: dict[int, asyncio.Event] = field(default_factory=dict)  # by the CSeq of the INVITE

    def request(self, method: str) -> Message:
        """A request within the dialog (12.2.1.1); an ACK is for the INVITE that was the last."""
        self.sent += method != ACK
        request = make_request(method, self.target, self.local, self.remote, self.call_id, self.sent)
        request.set_route(self.target, self.route_set)
        return request

    def end(self) -> None:
        self.ended.set()
        for waiting in self.unacknowledged.values():
            waiting.set()


class Phone:
    """Takes calls and places them.

    Attributes:
        transactions: what it stands on.
        calls: those that last, by `Message.dialog_id`.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        ring: float = 1.0,
        longest: float = 3600.0,
        transport: DatagramTransport | None = None,
    ) -> None:
        self.ring, self.longest = ring, longest
        self.calls: dict[str, Call] = {}
        self._invites: set[tuple[str | None, ...]] = set()  # what identifies those whose calls last
        self._chores: set[asyncio.Task[None]] = set()
        handlers = {INVITE: self.on_invite, ACK: self.on_ack, BYE: self.on_bye, OPTIONS: self.on_options}
        self.transactions = Transactions(config, handlers, transport=transport)

    # --- calls that come

    async def on_invite(self, request: Message, addr: Address) -> None:
        """A new call, or a change of one."""
        if request.to_tag:
            await self.change(self.call_of(request), request, addr)
            return
        number = request.need_cseq.num
        identity = request.call_id, request.from_tag, str(number)
        if identity in self._invites:
            raise HeaderError("came by another way too", status=482)  # 8.2.2.2
        call = self.keep(request.reply(200), target_of(request), request.route_set, addr, sent=True)
        call.heard, call.early = number, True
        self._invites.add(identity)
        try:
            self.transactions.respond(request, request.reply(180, headers=self.contact()), addr)
            await wait(call.ended, self.ring)  # a CANCEL ends the handler here
            if call.ended.is_set():  # by a BYE (15.1.2)
                raise HeaderError("was ended", status=487)
            call.early = False
            if await self.answer(call, request, addr):
                await wait(call.ended, self.longest)
        finally:
            self._invites.discard(identity)
            await self.hang_up(call)

    async def change(self, call: Call, request: Message, addr: Address) -> None:
        """An INVITE within a call (14.2); it may say where the other side is now (12.2.2)."""
        if call.early:
            raise HeaderError("the one before waits for its answer", status=500)
        call.target, call.addr = target_of(request), addr
        if not await self.answer(call, request, addr):
            await self.hang_up(call)

    async def answer(self, call: Call, request: Message, addr: Address) -> bool:
        """Sends 200 until its ACK has come (13.3.1.4). Whether it has come, or a BYE."""
        number = request.need_cseq.num
        acknowledged = call.unacknowledged[number] = asyncio.Event()
        ok = request.reply(200, headers=self.offer(), body=self.sdp)
        pause, waited = T1, 0.0
        while waited < LONG and not acknowledged.is_set():
            self.transactions.respond(request, ok, addr)
            await wait(acknowledged, min(pause, LONG - waited))
            pause, waited = min(2 * pause, T2), waited + pause
        del call.unacknowledged[number]
        return acknowledged.is_set()

    def on_ack(self, request: Message, _: Address) -> None:
        call = self.calls.get(request.dialog_id() or "")
        if call is not None:
            call.known = True
            if acknowledged := call.unacknowledged.get(request.need_cseq.num):
                acknowledged.set()

    def on_bye(self, request: Message, _: Address) -> Message:
        self.forget(self.call_of(request))
        return request.reply(200)

    def on_options(self, request: Message, _: Address) -> Message:
        if request.to_tag:
            self.call_of(request)
        return request.reply(200, headers={"Allow": ", ".join((INVITE, ACK, CANCEL, BYE, OPTIONS))})

    def call_of(self, request: Message) -> Call:
        """The call that a request is of: else 481, and 500 where it is out of order (12.2.2)."""
        call = self.calls.get(request.dialog_id() or "")
        if call is None:
            raise HeaderError("of no call", status=481)
        call.known = True
        number = request.need_cseq.num
        if number <= call.heard:
            raise HeaderError("out of order", "CSeq", status=500)
        call.heard = number
        return call

    # --- calls of our own

    async def call(self, uri: Uri, *, talk: float = 1.0, patience: float = 60.0) -> Message:
        """Places a call, and hangs up after `talk` seconds. Returns the final response; 487 where nobody answered.

        Raises TimeoutError where nothing comes, HeaderError and OSError where it cannot be sent there.
        """
        addr = await self.resolve(Hop.of_uri(uri))
        local = NameAddr(parse_uri(f"sip:phone@{self.own.sent_by}"), params={"tag": random_token()})
        invite = make_request(INVITE, uri, local, NameAddr(uri), random_token(), 1)
        for name, value in self.offer().items():
            invite.set_header(name, value)
        invite.body = self.sdp
        acks: dict[str, tuple[Message, Address]] = {}  # to each that answered: there may be forks

        def on_response(response: Message) -> None:
            reason = response.status_text  # it may be anything, and moves no cursor
            log.info("%d %.80s", response.status_code, reason if reason.isprintable() else repr(reason))
            name = response.dialog_id()
            if name is None or not 200 <= response.status_code < 300:
                return
            if name not in acks and len(acks) == MOST_FORKS:
                return  # who answers decides where each of them is sent an ACK and a BYE
            if name not in acks:
                call = self.follow(response, uri, addr)
                ack = call.request(ACK)
                ack.push_via(self.transactions.make_via())
                acks[name] = ack, call.addr
                if len(acks) > 1 or asked.done():  # one is enough (13.2.2.4), and none where nobody waits for it
                    self.begin(self.hang_up(call))
            self.transactions.endpoint.send_soon(*acks[name])

        asked = asyncio.ensure_future(self.transactions.request(invite, addr, on_response, patience=patience))
        try:
            response = await asked
            if call := self.calls.get(response.dialog_id() or ""):
                await wait(call.ended, talk)
            return response
        finally:  # also where an answer came at the moment in which we leave
            for name in acks:
                if call := self.calls.get(name):
                    await self.hang_up(call)

    def follow(self, response: Message, target: Uri, addr: Address) -> Call:
        """The call that a 2xx to our INVITE makes (12.1.2). What has a name goes where the INVITE went."""
        routes = response.route_set
        with contextlib.suppress(HeaderError):  # without a Contact it is still to be acknowledged
            target = target_of(response)
        with contextlib.suppress(ValueError):
            hop = Hop.of_uri(routes[0].uri if routes else target)
            addr = str(ipaddress.ip_address(hop.host)), hop.port
        return self.keep(response, target, routes, addr, sent=False)

    async def resolve(self, hop: Hop) -> Address:
        """The address of a hop that has a name: by an address record, without SRV."""
        if hop.transport != "UDP":
            raise HeaderError(f"{hop.transport} is not spoken here")
        family = socket.AF_INET6 if ":" in self.own.host else socket.AF_INET
        lookup = asyncio.get_running_loop().getaddrinfo
        found = await lookup(hop.host, hop.port, family=family, type=socket.SOCK_DGRAM)
        host, port, *_ = found[0][4]
        return str(host), int(port)

    # --- both

    def keep(self, response: Message, target: Uri, routes: tuple[NameAddr, ...], addr: Address, *, sent: bool) -> Call:
        """The call of a 2xx: one that we have sent, or have got."""
        name, call_id = response.dialog_id(sent=sent), response.call_id
        if not name or not call_id:
            raise HeaderError("is empty", "Call-ID")
        local, remote = response.need_from, response.need_to
        if sent:
            local, remote = remote, local
        call = Call(name, call_id, local, remote, target, routes, addr, known=not sent, sent=not sent)
        self.calls[name] = call
        return call

    async def hang_up(self, call: Call) -> None:
        """Sends BYE, where none has come; none where the caller waits for our answer (15).

        Who never acknowledged our answer (13.3.1.4), nor sent anything else within the call, may be nobody: it is sent
        to him once.
        """
        if call.ended.is_set():
            return
        self.forget(call)
        if call.early:
            return
        bye = call.request(BYE)
        with contextlib.suppress(TimeoutError, SipError):
            if call.known:
                await self.transactions.request(bye, call.addr)
            else:
                bye.push_via(self.transactions.make_via())
                self.transactions.endpoint.send_soon(bye, call.addr)

    def forget(self, call: Call) -> None:
        call.end()
        self.calls.pop(call.id, None)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something that nobody waits for."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    @property
    def own(self) -> Hop:
        """Where we listen."""
        own = self.transactions.endpoint.listen_addr
        assert own is not None, "the endpoint is open"
        return Hop("UDP", *own)

    def contact(self) -> dict[str, str]:
        return {"Contact": f"<sip:phone@{self.own.sent_by}>"}

    def offer(self) -> dict[str, str]:
        return {**self.contact(), "Content-Type": "application/sdp"}

    @property
    def sdp(self) -> str:
        return SDP.format(ipaddress.ip_address(self.own.host)).replace("\n", "\r\n")


def make_request(method: str, uri: Uri, local: NameAddr, remote: NameAddr, call_id: str, number: int) -> Message:
    headers = {"Max-Forwards": 70, "From": local, "To": remote, "Call-ID": call_id, "CSeq": f"{number} {method}"}
    return Message.request(method, uri, headers=headers)


def target_of(message: Message) -> Uri:
    """The URI of a Contact that makes a dialog (12.1)."""
    contact = next(iter(message.contacts), STAR)
    if not isinstance(contact, NameAddr):
        raise HeaderError("has no URI", "Contact")
    return contact.uri


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, so long at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def place(phone: Phone, uri: Uri, talk: float, patience: float) -> int:
    """Places one call; the exit status of the program."""
    try:
        async with phone.transactions.endpoint:
            response = await phone.call(uri, talk=talk, patience=patience)
    except (TimeoutError, HeaderError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0 if response.status_code < 300 else 1


def parse_hop(text: str) -> Hop:
    """The address that a command line argument names."""
    hop = Hop.of_uri(parse_uri(f"sip:{text}"))
    ipaddress.ip_address(hop.host)
    return hop


def main() -> None:
    parser = argparse.ArgumentParser(description="A telephone without media")
    commands = parser.add_subparsers(dest="command", required=True)
    answering = commands.add_parser("answer", help="take calls until Ctrl-C")
    answering.add_argument("--ring", type=float, default=1.0, metavar="SECONDS", help="before a call is answered")
    answering.add_argument("--longest", type=float, default=3600.0, metavar="SECONDS", help="until we hang up")
    answering.add_argument("--most", type=int, default=1000, metavar="N", help="calls at a time (in each worker)")
    answering.add_argument("--workers", type=int, default=1, help="processes that share the port")
    placing = commands.add_parser("place", help="place a call")
    placing.add_argument("uri", type=parse_uri, metavar="SIP-URI")
    placing.add_argument("--talk", type=float, default=1.0, metavar="SECONDS", help="until we hang up")
    placing.add_argument("--patience", type=float, default=60.0, metavar="SECONDS", help="until we call it off")
    for command, port in ((answering, 5060), (placing, 0)):
        command.add_argument("--listen", type=parse_hop, default=Hop("UDP", "127.0.0.1", port), metavar="HOST:PORT")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    config = EndpointConfig(host=args.listen.host, port=args.listen.port, max_size=16_384)
    if args.command == "place":
        sys.exit(asyncio.run(place(Phone(config), args.uri, args.talk, args.patience)))
    phone = Phone(replace(config, max_pending=args.most), ring=args.ring, longest=args.longest)
    phone.transactions.endpoint.run(workers=args.workers)


if __name__ == "__main__":
    main()
