"""A stateless SIP proxy and load balancer over UDP (RFC 3261 16.11).

    python stateless_proxy.py --listen 192.0.2.1:5060 192.0.2.11:5060 192.0.2.12:5060

A new request goes to one of the targets, chosen by its Call-ID, so that a retransmission, the CANCEL and the ACK follow
their INVITE. What belongs to a dialog comes back by our Record-Route and goes where its own Route or Request-URI says.
An OPTIONS every few seconds finds out which targets are alive. Nothing is kept of any message: any of several proxies
with the same targets may take the next one. An OPTIONS to the proxy itself gets 200, or 503 while no target is up.

It resolves no names: next hops are IP addresses. It trusts its network: whoever shows it a Route of its own and a To
tag has the request sent on, so keep strangers out, or sign the Record-Route, before you use it on the open internet.
"""

import argparse
import asyncio
import functools
import hashlib
import importlib
import ipaddress
import itertools
import logging
import secrets
import zlib
from collections.abc import Sequence

from sipstack import Address, Endpoint, EndpointConfig, HeaderError, Message, NameAddr, SipUri, Uri, parse_uri
from sipstack.headers import MAGIC_COOKIE
from sipstack.methods import ACK, CANCEL, INVITE, NOTIFY, OPTIONS, REFER, SUBSCRIBE

SLOTS = 1024  # Call-IDs are dealt out in so many portions
PROBES_MISSED = 2  # unanswered in a row: the target is down
DIALOGS = frozenset({INVITE, SUBSCRIBE, REFER, NOTIFY})  # what starts a dialog, and so gets a Record-Route

log = logging.getLogger("proxy")


class Target:
    """A server behind the proxy."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.up = True
        self.missed = 0


class Targets:
    """The servers behind the proxy: which of them a Call-ID belongs to, and which are alive."""

    def __init__(self, addresses: Sequence[Address], interval: float = 2.0) -> None:
        self.targets = {address: Target(address) for address in addresses}
        self.interval = interval
        self._slots = [self._by_rank(slot) for slot in range(SLOTS)]
        self._probed: dict[str, Target] = {}

    def _by_rank(self, slot: int) -> list[Target]:
        """Rendezvous hashing: every slot has its own order of the targets, and any proxy computes the same one.

        The first that is up has the slot. One that goes down leaves its slots to the others and moves no other slot.
        """
        return sorted(self.targets.values(), key=lambda target: digest(f"{slot} {target.address}"))

    def __contains__(self, address: Address) -> bool:
        return address in self.targets

    def choose(self, call_id: str) -> Address:
        for target in self._slots[checksum(call_id) % SLOTS]:
            if target.up:
                return target.address
        raise HeaderError("No target is up", status=503)

    async def watch(self, host: str) -> None:
        """Keeps asking the targets whether they are alive, from a port of its own."""
        prober = Endpoint(EndpointConfig(host=host, port=0, on_sip_response=self._on_answer))
        async with prober, asyncio.TaskGroup() as tasks:
            tasks.create_task(prober.serve())
            for number in itertools.count(1):
                for target in self._probed.values():
                    self._judge(target, up=False)
                self._probed = {secrets.token_hex(8): target for target in self.targets.values()}
                for call_id, target in self._probed.items():
                    prober.send_soon(make_probe(call_id, number, target, prober.listen_addr), target.address)
                await asyncio.sleep(self.interval)

    def _on_answer(self, response: Message, _: Address) -> None:
        target = self._probed.pop(response.call_id or "", None)
        if target:
            self._judge(target, up=response.status_code != 503)

    def _judge(self, target: Target, *, up: bool) -> None:
        target.missed = 0 if up else target.missed + 1
        if target.up != up and (up or target.missed >= PROBES_MISSED):
            target.up = up
            log.warning("target %s is %s", target.address, "up" if up else "down")


class Proxy:
    """The proxy: what happens to a request, and to a response."""

    def __init__(self, listen: Address, advertise: Address, targets: Targets, *, record_route: bool = True) -> None:
        self.name = host_port(advertise)
        self.uri = f"sip:{self.name};lr"
        self.host_and_port = self.name.rpartition(":")[0], advertise[1]
        self.address = to_address(parse_uri(self.uri))
        self.record_routed = DIALOGS if record_route else frozenset()
        self.targets = targets
        self.endpoint = Endpoint(
            EndpointConfig(
                host=listen[0],
                port=listen[1],
                schemes=("sip", "tel"),
                supported=None,  # what Require names is between the ends
                no_route_handler=self.on_request,
                on_sip_response=self.on_response,
            )
        )

    def on_request(self, request: Message, addr: Address) -> Message | None:
        """Sends a request on, or answers why it is not (RFC 3261 16.3 to 16.6)."""
        method = request.method
        try:
            if method == OPTIONS and self.is_probe(request):
                return request.reply(200)
            loop, transaction = self.make_branch(request)
            request.decrement_max_forwards()
            next_hop = self.next_hop(request, addr)
        except HeaderError as error:
            return request.reply(error.status, error.reason)
        if loop in " ".join(request.get_headers("Via")):
            return request.reply(482)
        if (wanted := request.get_header("Proxy-Require")) and method not in (ACK, CANCEL):
            return request.reply(420, headers={"Unsupported": wanted})
        if method in self.record_routed:
            request.push_record_route(f"<{self.uri}>")
        request.push_via(f"SIP/2.0/UDP {self.name};branch={loop}{transaction}")
        self.endpoint.send_soon(request, next_hop)
        return None

    def on_response(self, response: Message, _: Address) -> None:
        """Sends a response back to where its request came from (RFC 3261 16.7, 18.2.2)."""
        try:
            via = response.via
            if via and (via.host, via.port) == self.host_and_port:
                response.pop_via()
                if via := response.via:
                    self.endpoint.send_soon(response, via.response_address)
        except HeaderError as error:
            log.info("a response is dropped: %s", error)

    def is_probe(self, request: Message) -> bool:
        """Whether an OPTIONS asks the proxy itself. Raises HeaderError (503) where it could not work."""
        if "@" in request.request_uri or not self.is_me(request.uri):
            return False
        self.targets.choose("")
        return True

    def is_me(self, uri: Uri | None) -> bool:
        """Whether a URI names this proxy, as its Record-Route does."""
        address = to_address(uri)
        return address is not None and address == self.address

    def make_branch(self, request: Message) -> tuple[str, str]:
        """The branch, in two parts (RFC 3261 16.6 step 8, 16.11).

        The first is of what the request is routed by: a request that comes back with it is in a loop. The second is
        what its transaction is known by, and the same for a retransmission, the CANCEL and the ACK to a failure.
        """
        via, uri, call_id = request.via, request.request_uri, request.call_id
        if via and via.branch and via.branch.startswith(MAGIC_COOKIE):
            transaction = via.branch
        else:  # RFC 2543
            cseq = request.cseq
            transaction = digest(f"{via} {request.from_tag} {call_id} {cseq and cseq.num} {uri}")
        where = checksum(f"{self.name} {uri} {call_id} {''.join(request.get_headers('Route'))}")
        return f"{MAGIC_COOKIE}{where}.", transaction

    def next_hop(self, request: Message, addr: Address) -> Address:
        """Takes our part off the route and says where the request goes (RFC 3261 16.4 to 16.6)."""
        ours, routes = self.take_our_route(request)
        if routes:
            uri = routes[0].uri
            if isinstance(uri, SipUri) and not uri.lr:  # a strict router is next
                request.add_header("Route", f"<{request.request_uri}>")
                request.request_uri = uri
                request.pop_route()
            if next_hop := to_address(uri):
                return next_hop
            raise HeaderError("Next hop is not an IP address", status=500)
        in_dialog = ours and (request.to_tag or addr in self.targets) and not self.is_me(request.uri)
        if in_dialog and (next_hop := to_address(request.uri)):
            return next_hop
        return self.targets.choose(request.call_id or "")

    def take_our_route(self, request: Message) -> tuple[bool, Sequence[NameAddr]]:
        """Takes the URI of our Record-Route out of the request: whether it was there, and the routes that are left."""
        routes, ours = request.routes, False
        if routes and request.request_uri == self.uri:  # by a strict router, which put the Request-URI last
            ours = True
            request.request_uri = routes[-1].uri
            routes = routes[:-1]
            request.remove_header("Route")
            for route in routes:
                request.add_header("Route", route)
        if routes and self.is_me(routes[0].uri):
            ours = True
            request.pop_route()
            routes = routes[1:]
        return ours, routes


def make_probe(call_id: str, number: int, target: Target, source: Address | None) -> Message:
    """An OPTIONS that asks a target whether it is alive."""
    assert source
    return Message.request(
        OPTIONS,
        f"sip:{host_port(target.address)}",
        headers={
            "Via": f"SIP/2.0/UDP {host_port(source)};branch={MAGIC_COOKIE}{call_id};rport",
            "Max-Forwards": 70,
            "From": f"<sip:{host_port(source)}>;tag={call_id}",
            "To": f"<sip:{host_port(target.address)}>",
            "Call-ID": call_id,
            "CSeq": f"{number} {OPTIONS}",
        },
    )


def digest(text: str) -> str:
    """64 bits that are the same for the same text in every process."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def checksum(text: str) -> int:
    """32 bits, where a stray collision does no harm."""
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def host_port(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def to_address(uri: Uri | None) -> Address | None:
    """Where a URI points, if its host is an IP address."""
    if isinstance(uri, SipUri) and (address := to_ip(uri.host)):
        return address, uri.port or 5060
    return None


@functools.lru_cache(maxsize=65536)
def to_ip(host: str) -> str | None:
    """The IP address that a host is, in one spelling (RFC 5954 4.2)."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def parse_address(text: str) -> Address:
    """The address that a command line argument names."""
    address = to_address(parse_uri(f"sip:{text}"))
    if address is None:
        raise ValueError("not an IP address")
    return address


def main() -> None:
    parser = argparse.ArgumentParser(description="A stateless SIP proxy and load balancer")
    parser.add_argument("targets", nargs="+", type=parse_address, metavar="HOST:PORT", help="where new requests go")
    parser.add_argument("--listen", type=parse_address, default="127.0.0.1:5060", metavar="HOST:PORT")
    parser.add_argument(
        "--advertise", type=parse_address, metavar="HOST:PORT", help="our address in Via and Record-Route"
    )
    parser.add_argument("--no-record-route", action="store_true", help="something in front of us does that")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two health checks")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, which must be installed")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    targets = Targets(args.targets, args.interval)
    proxy = Proxy(args.listen, args.advertise or args.listen, targets, record_route=not args.no_record_route)
    proxy.endpoint.run(
        workers=args.workers,
        loop_factory=importlib.import_module("uvloop").new_event_loop if args.uvloop else None,
        beside=lambda: targets.watch(args.listen[0]),
    )


if __name__ == "__main__":
    main()
