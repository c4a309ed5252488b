"""A stateless SIP proxy and load balancer over UDP (RFC 3261 16.11).

    python stateless_proxy.py --listen 192.0.2.1:5060 192.0.2.11:5060 192.0.2.12:5060

A request goes to one of the targets, chosen by its Call-ID, so that a retransmission, the CANCEL, the ACK and the
rest of the call follow their INVITE. What comes back within a dialog goes where our Record-Route says, in which the
sender of the first request stands. An OPTIONS every few seconds finds out which targets are alive. Nothing is kept of
any message: any of several proxies with the same targets and the same key may take the next one. An OPTIONS to the
proxy itself gets 200, or 503 while no target is up.

It is no open relay: it sends requests to its targets and to what a Record-Route signed by itself names, and responses
to where the request came from, which its branch is signed for. Give it `--key-file`: a restart ends that otherwise.
"""

import argparse
import asyncio
import hashlib
import importlib
import ipaddress
import itertools
import logging
import secrets
import zlib
from collections.abc import Sequence
from pathlib import Path

from sipstack import Address, Endpoint, EndpointConfig, HeaderError, Message, parse_uri
from sipstack.headers import MAGIC_COOKIE
from sipstack.methods import ACK, CANCEL, INVITE, NOTIFY, OPTIONS, REFER, SUBSCRIBE
from sipstack.proxy import Hop, Node, forward_request, forward_response, take_routes

SLOTS = 1024  # Call-IDs are dealt out in so many portions
PROBES_MISSED = 2  # unanswered in a row: the target is down
REQUIRE_NOTHING = frozenset({ACK, CANCEL})  # whatever they say (RFC 3261 8.2.2.3)
DIALOGS = frozenset({INVITE, SUBSCRIBE, REFER, NOTIFY})  # what starts a dialog, and so gets a Record-Route

log = logging.getLogger("proxy")


class Targets:
    """The servers behind the proxy: which of them a Call-ID belongs to, and which are alive."""

    def __init__(self, hops: Sequence[Hop], interval: float = 2.0) -> None:
        self.missed = dict.fromkeys(hops, 0)  # probes in a row that each has not answered
        self.interval = interval
        self._ranked = [self._by_rank(slot) for slot in range(SLOTS)]
        self._probed: dict[str, Hop] = {}
        self._deal()

    def _by_rank(self, slot: int) -> list[Hop]:
        """Rendezvous hashing: every slot has its own order of the targets, and any proxy computes the same one.

        The first that is up has the slot. One that goes down leaves its slots to the others and moves no other slot.
        """
        return sorted(self.missed, key=lambda hop: digest(f"{slot} {hop}"))

    def _deal(self) -> None:
        self._dealt = [next(filter(self._is_up, order), None) for order in self._ranked]

    def _is_up(self, hop: Hop) -> bool:
        return self.missed[hop] < PROBES_MISSED

    def choose(self, call_id: str) -> Hop:
        hop = self._dealt[zlib.crc32(call_id.encode("utf-8", "surrogateescape")) % SLOTS]
        if hop is None:
            raise HeaderError("No target is up", status=503)
        return hop

    async def watch(self, host: str) -> None:
        """Keeps asking the targets whether they are alive, from a port of its own."""
        prober = Endpoint(EndpointConfig(host=host, port=0, on_sip_response=self._on_answer))
        async with prober:
            for number in itertools.count(1):
                for hop in self._probed.values():
                    self.judge(hop, up=False)
                self._probed = {secrets.token_hex(8): hop for hop in self.missed}
                for call_id, hop in self._probed.items():
                    probe = make_probe(call_id, number, hop, Hop("UDP", *prober.listen_addr))
                    prober.send_soon(probe, hop.address)
                await asyncio.sleep(self.interval)

    def _on_answer(self, response: Message, _: Address) -> None:
        if hop := self._probed.pop(response.call_id or "", None):
            self.judge(hop, up=response.status_code != 503)

    def judge(self, hop: Hop, *, up: bool) -> None:
        was_up = self._is_up(hop)
        self.missed[hop] = 0 if up else self.missed[hop] + 1
        if self._is_up(hop) != was_up:
            self._deal()
            log.warning("target %s is %s", hop.sent_by, "up" if up else "down")


class Proxy:
    """The proxy: what happens to a request, and to a response."""

    def __init__(self, listen: Address, node: Node, targets: Targets, *, record_route: bool = True) -> None:
        self.node = node
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

    def on_request(self, request: Message, addr: Address) -> Message | tuple[Message, Address]:
        """Passes a request on, or answers why it is not (RFC 3261 16.3 to 16.6)."""
        method, node = request.method, self.node.at(addr)
        try:
            if method == OPTIONS and "@" not in request.request_uri and node.is_own_uri(request.uri):
                self.targets.choose("")  # 503 where it could not work
                return request.reply(200)
            if method not in REQUIRE_NOTHING and (wanted := request.get_header("Proxy-Require")):
                return request.reply(420, headers={"Unsupported": wanted})
            hop = take_routes(request, node).hop or self.targets.choose(request.call_id or "")
            record_route = method in self.record_routed and not request.to_tag
            forward_request(request, node, hop, record_route=record_route)
        except HeaderError as error:
            return request.reply(error.status, error.reason)
        return request, hop.address

    def on_response(self, response: Message, addr: Address) -> tuple[Message, Address] | None:
        """Passes a response back to where its request came from (RFC 3261 16.7, 18.2.2)."""
        try:
            return response, forward_response(response, self.node.at(addr)).address
        except HeaderError as error:
            log.debug("a response is dropped: %s", error)  # anybody can send one
            return None


def make_probe(call_id: str, number: int, target: Hop, source: Hop) -> Message:
    """An OPTIONS that asks a target whether it is alive."""
    return Message.request(
        OPTIONS,
        f"sip:{target.sent_by}",
        headers={
            "Via": f"SIP/2.0/UDP {source.sent_by};branch={MAGIC_COOKIE}{call_id};rport",
            "Max-Forwards": 70,
            "From": f"<sip:{source.sent_by}>;tag={call_id}",
            "To": f"<sip:{target.sent_by}>",
            "Call-ID": call_id,
            "CSeq": f"{number} {OPTIONS}",
        },
    )


def digest(text: str) -> str:
    """64 bits that are the same for the same text in every process."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def parse_hop(text: str) -> Hop:
    """The address that a command line argument names."""
    hop = Hop.of_uri(parse_uri(f"sip:{text}"))
    ipaddress.ip_address(hop.host)  # no names: nothing here resolves them
    return hop


def read_key(path: str) -> bytes:
    """The key that a file stands for, whatever is in it."""
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stateless SIP proxy and load balancer")
    parser.add_argument("targets", nargs="+", type=parse_hop, metavar="HOST:PORT", help="where requests go")
    parser.add_argument("--listen", type=parse_hop, default="127.0.0.1:5060", metavar="HOST:PORT")
    parser.add_argument("--advertise", type=parse_hop, metavar="HOST:PORT", help="our address in Via and Record-Route")
    parser.add_argument("--alias", action="append", default=[], metavar="HOST[:PORT]", help="another name of ours")
    parser.add_argument("--key-file", type=read_key, metavar="FILE", help="the secret of all nodes, any text")
    parser.add_argument("--no-record-route", action="store_true", help="something in front of us does that")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two health checks")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, which must be installed")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    targets = Targets(args.targets, args.interval)
    node = Node(args.advertise or args.listen, aliases=[args.listen.sent_by, *args.alias], key=args.key_file)
    proxy = Proxy(args.listen.address, node, targets, record_route=not args.no_record_route)
    proxy.endpoint.run(
        workers=args.workers,
        loop_factory=importlib.import_module("uvloop").new_event_loop if args.uvloop else None,
        beside=lambda: targets.watch(args.listen.host),
    )


if __name__ == "__main__":
    main()
