"""What a proxy does (RFC 3261 16), as calls: who we are, routes, next hops, loops, forwarding.

Nothing here keeps a message or decides where one goes. A `Node` says who we are. `forward_request` and
`forward_response` do the steps of 16.6 and 16.7 that need no decision; the pieces that they are made of can be used one
by one.

    node = Node(Hop("UDP", "192.0.2.1", 5060))
    taken = take_routes(request, node)
    hop = forward_request(request, node, record_route=True)
    endpoint.send_soon(request, hop.address)

The source of a request must be in its top Via (`Message.stamp_received`, which an Endpoint calls): responses go there.
"""

import os
from collections.abc import Iterable
from typing import Final, NamedTuple, Self, final

from . import _grammar as grammar
from ._address import WILDCARDS, Address, PeerAddress
from ._forwarding import (
    TRANSPORT,
    is_in_loop,
    loop_part,
    response_target,
    sent_by,
    top_via,
    transaction_part,
    write_hop,
)  # fmt: skip
from ._limits import DEFAULT_PORT, DEFAULT_PORTS, MAX_PORT
from ._values import canonical_host, parse_number
from .errors import HeaderError
from .headers import MAGIC_COOKIE, NameAddr, Via
from .message import Message, core
from .methods import header_id
from .uri import SipUri, Uri

__all__ = [
    "Hop", "Node", "TakenRoutes", "check_loop", "forward_request", "forward_response", "make_branch", "next_hop",
    "response_hop", "take_routes",
]  # fmt: skip

_ROUTE: Final = header_id("Route")
_KEY_SIZE: Final = 16
_MOST_KEPT: Final = 1024  # hops and local addresses that a node keeps the texts of
_SIPS: Final = {None: "TLS", "tcp": "TLS", "tls": "TLS", "sctp": "TLS-SCTP", "ws": "WSS", "wss": "WSS"}
_URI_TRANSPORTS: Final = {"UDP": "", "TLS": ";transport=tls", "WSS": ";transport=ws", "TLS-SCTP": ";transport=sctp"}


_new: Final = tuple.__new__  # of a Hop whose parts are right


class Hop(NamedTuple):
    """Where a message goes, or where we listen.

    Attributes:
        transport: as a Via has it: `"UDP"`, `"TCP"`, `"TLS"`, `"WS"`, `"WSS"`, ...
        host: a name or an address, without brackets. A name is as it was sent: resolve it (RFC 3263).
        port: 1 to 65535.
    """

    transport: str
    host: str
    port: int

    @property
    def address(self) -> Address:
        """Host and port, as sockets have them."""
        return self.host, self.port

    @property
    def sent_by(self) -> str:
        """Host and port, as a Via and a URI have them: `[2001:db8::1]:5060`."""
        return sent_by(self.host, self.port)

    def __str__(self) -> str:
        return write_hop(*self)

    @classmethod
    def of_uri(cls, uri: Uri | None) -> Self:
        """Where a URI points by RFC 3263 4, as far as it goes without DNS.

        The host is `maddr` where there is one. The transport is the one that is named, else UDP, and for sips what is
        secure of it, else TLS. The port is the one that is named, else the transport's. Raises HeaderError: 416 for a
        URI that is not SIP, 400 for a host or a transport that is none, port 0, and sips over UDP.
        """
        if not isinstance(uri, SipUri):
            raise HeaderError("URI is neither sip nor sips", status=416)
        transport = _transport(uri)
        host = (uri.maddr if uri._params else None) or uri.host
        if not (grammar.is_host(host) or grammar.is_ipv6(host)):
            raise HeaderError("host is not a host name or address")
        port = DEFAULT_PORTS.get(transport, DEFAULT_PORT) if uri.port is None else uri.port
        if port == 0:
            raise HeaderError("port is 0")
        return cls(transport, host.strip("[]"), port)

    @classmethod
    def of_via(cls, via: Via) -> Self:
        """Where a response goes that has this Via on top (RFC 3261 18.2.2, RFC 3581 4): `received` and `rport` first.

        `maddr` is not followed: it would let a request have its responses sent to somebody else. On a transport with
        connections this is for when the one that the request came by is gone. Raises HeaderError.
        """
        return cls(*response_target(via))


class _Leg(NamedTuple):
    """Our end of the way to a hop, its sent-by, our Via up to the branch, the hop as text, our Record-Route."""

    own: Hop
    name: str
    via: str
    to: str
    routes: tuple[str, ...]


@final
class Node:
    """Who we are: where we listen, and the names we go by. Made once; it cannot be changed.

    Attributes:
        listeners: where others reach us, as our Via and Record-Route say it; the first of a transport is used for it.
        aliases: other names of ours, `"example.com"` at any port, or `"10.0.0.1:5060"` at that one.

    A listener may be a wildcard (`0.0.0.0`, `::`) where the address comes with each message: see `at`.
    """

    __slots__ = ("_at", "_key", "_legs", "_name", "_names", "_own", "_route", "aliases", "listeners")
    listeners: tuple[Hop, ...]
    aliases: tuple[str, ...]
    _own: frozenset[tuple[str, int]]  # hosts and ports of ours
    _names: frozenset[str]  # those of ours at any port
    _key: bytes
    _name: str  # the sent-by of the first listener
    _route: str  # its Record-Route
    _legs: "dict[Hop, _Leg]"  # what _leg has made
    _at: "dict[str, Node]"  # what at has made

    def __init__(self, *listeners: Hop, aliases: Iterable[str] = (), key: bytes | None = None) -> None:
        """`key` signs our branches and Record-Routes: 16 bytes, by default random.

        Processes forked later share it. Nodes that take each other's messages need the same. Raises ValueError.
        """
        if not listeners:
            raise ValueError("a node listens somewhere")
        if key is not None and len(key) != _KEY_SIZE:
            raise ValueError(f"key must have {_KEY_SIZE} bytes")
        for hop in listeners:
            if not _is_hop(hop):
                raise ValueError(f"{hop!r} is no place to listen")
        own = {(_canonical(hop.host), hop.port) for hop in listeners}
        names = set()
        for alias in (aliases := tuple(aliases)):
            host, port = _split_alias(alias)
            if port is None:
                names.add(host)
            else:
                own.add((host, port))
        slots: dict[str, object] = {
            "listeners": tuple(Hop(*hop) for hop in listeners),
            "aliases": aliases,
            "_own": frozenset(own),
        }
        slots |= {"_names": frozenset(names), "_key": os.urandom(_KEY_SIZE) if key is None else bytes(key)}
        slots |= {"_name": listeners[0].sent_by, "_route": _record_route("sip", listeners[0])}
        for name, value in {**slots, "_legs": {}, "_at": {}}.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Node is immutable: {name} cannot be set")

    def __repr__(self) -> str:
        return f"Node({', '.join(map(repr, self.listeners))}, aliases={self.aliases!r})"

    def at(self, addr: Address) -> "Node":
        """The node as the sender of a message sees it, with the address it was sent to in place of a wildcard.

        `addr` is what came with the message, a PeerAddress on a wildcard listener. Without a wildcard the node itself.
        """
        if not isinstance(addr, PeerAddress):
            return self
        host = addr.local[0].partition("%")[0]
        node: Node | None = self._at.get(host)
        if node is None:
            if len(self._at) >= _MOST_KEPT:
                self._at.clear()
            listeners = [Hop(hop.transport, host, hop.port) if hop.host in WILDCARDS else hop for hop in self.listeners]
            here = listeners == list(self.listeners)
            node = self if here else Node(*listeners, aliases=self.aliases, key=self._key)
            self._at[host] = node
        return node

    def is_own(self, host: str, port: int) -> bool:
        """Whether a host, in any spelling (RFC 5954 4.2), and a port are ours, by any transport."""
        if (host, port) in self._own:
            return True
        host = _canonical(host)
        return (host, port) in self._own or host in self._names

    def is_own_uri(self, uri: Uri | None) -> bool:
        """Whether a URI names us, by host and port alone; the port is the transport's where none is named."""
        if not isinstance(uri, SipUri):
            return False
        if uri.port is not None:
            return self.is_own(uri.host, uri.port)
        try:
            transport = _transport(uri)
        except HeaderError:
            return False
        return self.is_own(uri.host, DEFAULT_PORTS.get(transport, DEFAULT_PORT))

    def is_own_via(self, via: Via) -> bool:
        """Whether the sent-by of a response's top Via is ours (16.7 step 3, 18.1.2)."""
        port = DEFAULT_PORTS.get(via.transport.upper(), DEFAULT_PORT) if via.port is None else via.port
        return self.is_own(via.host, port)

    def listener(self, hop: Hop) -> Hop:
        """Our end of the way to a hop. Raises HeaderError, with status 500, where we do not speak its transport.

        That is the first listener of the transport in the hop's family of addresses, else the first of the transport.
        """
        found = [own for own in self.listeners if own.transport == hop.transport]
        if not found:
            raise HeaderError("no listener for the transport", status=500)  # 16.9: as a transport error
        return next((own for own in found if (":" in own.host) == (":" in hop.host)), found[0])

    def _leg(self, hop: Hop) -> "_Leg":
        """What a request to a hop gets on top.

        Raises HeaderError where the way leads to us (482), and where there is none (500).
        """
        leg = self._legs.get(hop)
        if leg is None:
            if _canonical(hop.host) in WILDCARDS or self.is_own(hop.host, hop.port):
                raise HeaderError("request would be sent to ourselves", status=482)
            if not _is_hop(hop):
                raise HeaderError("next hop is none", status=500)
            own = self.listener(hop)
            if own.host in WILDCARDS:
                raise HeaderError("no address of our own is known", status=500)
            via = f"SIP/2.0/{own.transport} {own.sent_by};branch="
            leg = _Leg(own, own.sent_by, via, write_hop(*hop), (_record_route("sip", own),))
            if len(self._legs) >= _MOST_KEPT:
                self._legs.clear()
            self._legs[hop] = leg
        return leg


def _canonical(host: str) -> str:
    """What all spellings of a host share: an IPv6 address that means an IPv4 one is that."""
    host = canonical_host(host).strip("[]")
    if ":" not in host:
        return host.rstrip(".")
    return host.removeprefix("::ffff:") if "." in host else host


def _is_hop(hop: Hop) -> bool:
    """Whether a hop can be written into a message."""
    host = grammar.is_host(hop.host) or grammar.is_ipv6(hop.host)
    return host and TRANSPORT.fullmatch(hop.transport) is not None and 0 < hop.port <= MAX_PORT


def _split_alias(alias: str) -> tuple[str, int | None]:
    """The host of an alias as it is compared, and the port that it names. ValueError where it is no host."""
    host, colon, digits = alias.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or alias.endswith("]"):
        host, digits = alias, ""
    if not (grammar.is_host(host) or grammar.is_ipv6(host)):
        raise ValueError(f"alias {alias!r} is not a host name or address")
    return _canonical(host), parse_number(digits, MAX_PORT, "port") if digits else None


def _transport(uri: SipUri) -> str:
    """The transport that a URI asks for, as a Via has it."""
    if not uri._params and uri.scheme == "sip":
        return "UDP"
    named = uri.transport
    if uri.scheme == "sips":
        if named == "udp":
            raise HeaderError("sips over UDP")
        named = _SIPS.get(named, named)
    transport = (named or "UDP").upper()
    if not TRANSPORT.fullmatch(transport):
        raise HeaderError("transport is none")
    return transport


# --- routes (RFC 3261 16.4, 16.6 step 6, 16.12) ----------------------------------------------------------------------


class TakenRoutes(NamedTuple):
    """What `take_routes` found.

    Attributes:
        ours: whether a Route of ours was there, which a request within a dialog has.
        signed: whether it has our signature, for this dialog: it is one that `forward_request` wrote.
        hop: where a signed one says that the request goes; None where it comes from there, and goes to the other side.
    """

    ours: bool
    signed: bool
    hop: Hop | None


_NONE: Final = TakenRoutes(ours=False, signed=False, hop=None)
_UNSIGNED: Final = TakenRoutes(ours=True, signed=False, hop=None)
_FROM_THERE: Final = TakenRoutes(ours=True, signed=True, hop=None)


def take_routes(request: Message, node: Node) -> TakenRoutes:
    """Take all Routes of ours off the top, and put right what a strict router left in the Request-URI (16.4).

    A Request-URI whose `maddr` is ours loses it, with its port and transport. Raises HeaderError, and changes nothing,
    where a Route or the Request-URI is malformed.
    """
    if not request._has(_ROUTE):
        if "maddr" in request.request_uri.lower():
            _take_maddr(request, node)
        return _NONE
    taken = core.take_own_route(request, node._key, node._route)
    if taken:
        return TakenRoutes(ours=True, signed=True, hop=_new(Hop, taken))
    if taken is not None:
        return _UNSIGNED if taken is False else _FROM_THERE
    routes = list(request.routes)
    own, uri = [], request.uri
    if routes and _is_route_of_ours(uri, node):
        own.append(uri)
        uri = routes.pop().uri
    count = next((at for at, route in enumerate(routes) if not node.is_own_uri(route.uri)), len(routes))
    own += [route.uri for route in routes[:count]]
    named = _named_hop(request, node, own)
    if uri is not None and uri is not request.uri:
        request.request_uri = uri
        _set_routes(request, routes[count:])
    elif count == 1:
        request.pop_route()
    elif count:
        _set_routes(request, routes[count:])
    _take_maddr(request, node)
    return TakenRoutes(bool(own), named is not None, named or None) if own else _NONE


def _is_route_of_ours(uri: Uri | None, node: Node) -> bool:
    """Whether a Request-URI is one that we put in a Record-Route, and a strict router before us here."""
    return isinstance(uri, SipUri) and uri.user is None and node.is_own_uri(uri) and uri.lr


def _set_routes(request: Message, routes: list[NameAddr]) -> None:
    if routes:
        request.set_header("Route", routes)
    else:
        request.remove_header("Route")


def _take_maddr(request: Message, node: Node) -> None:
    uri = request.uri
    if isinstance(uri, SipUri) and uri._params and (maddr := uri.maddr):
        port = DEFAULT_PORTS.get(_transport(uri), DEFAULT_PORT) if uri.port is None else uri.port
        if node.is_own(maddr, port):
            request.request_uri = uri._with_parts(None, uri._params_but(("maddr", "transport")), uri._headers)


def _named_hop(request: Message, node: Node, own: list[Uri | None]) -> "Hop | tuple[()] | None":
    """The hop that a signed Route of ours names; () where the request comes from it; None where none is signed.

    The first two can be: more than a double Record-Route (RFC 5658) we never write.
    """
    for uri in own[:2]:
        text, _, signature = ((isinstance(uri, SipUri) and uri.params.get("hop")) or "").rpartition("/")
        if not text:
            continue
        call_id = request.call_id or ""
        if signature == core.sign(node._key, text, call_id, request.from_tag or ""):
            return ()
        if request.to_tag and signature == core.sign(node._key, text, call_id, request.to_tag):
            transport, _, where = text.partition("/")
            host, _, port = where.rpartition(":")
            return Hop(transport, host.strip("[]"), int(port))
    return None


def next_hop(request: Message) -> Hop:
    """Where a request goes: what its first Route says, else its Request-URI (16.6 steps 6 and 7); see `Hop.of_uri`.

    Raises HeaderError, with the status to answer. `forward_request` puts a strict router in the Request-URI.
    """
    routes = request.routes if request._has(_ROUTE) else ()
    try:
        return Hop.of_uri(routes[0].uri if routes else request.uri)
    except HeaderError as error:
        header, status = ("Route", 400) if routes else ("Request-URI", error.status)
        raise HeaderError(error.reason, header, error.offset, status) from None


def _put_strict_route(request: Message) -> None:
    """Where the first Route is that of a strict router, it becomes the Request-URI, and that the last Route (16.6)."""
    routes = list(request.routes) if request._has(_ROUTE) else []
    if routes and isinstance(first := routes[0].uri, SipUri) and not first.lr and request.uri is not None:
        _set_routes(request, [*routes[1:], NameAddr(request.uri)])
        request.request_uri = first


# --- branches and loops (RFC 3261 16.3, 16.11, RFC 5393) -------------------------------------------------------------


def make_branch(request: Message, node: Node, to: Hop) -> str:
    """The branch of a stateless proxy (16.6 step 8, 16.11), for a request as it is about to be sent, without our Via.

    It is the same for a retransmission, the CANCEL and the ACK to a failure, and another one where the Request-URI, the
    Routes or the next hop are. Both parts of it are keyed hashes. Raises HeaderError where the top Via is malformed.
    """
    leg = node._leg(to)
    transaction = transaction_part(node._key, leg.name, request, top_via(request), core.sign)
    return f"{MAGIC_COOKIE}{loop_part(node._key, leg.name, leg.to, request, core.sign)}{transaction}"


def check_loop(request: Message, node: Node, to: Hop) -> None:
    """Raise HeaderError with status 482 where a request was here, and went to the same hop as the same (16.3 step 4).

    That is where one of its Vias has the first part of our branch: in a spiral (RFC 5393) the Request-URI, the Routes
    or the next hop are others. The same for a request that would be sent to ourselves.
    """
    leg = node._leg(to)
    if is_in_loop(request, loop_part(node._key, leg.name, leg.to, request, core.sign)):
        raise HeaderError("request is in a loop", "Via", 0, 482)


# --- forwarding (RFC 3261 16.6, 16.7) --------------------------------------------------------------------------------


def forward_request(
    request: Message, node: Node, to: Hop | None = None, *, record_route: bool = False, came_to: Hop | None = None
) -> Hop:
    """Make a request ready to be sent on, and say where to (16.6); `take_routes` comes first.

    Without `to` it goes where its Route or Request-URI says, and a strict router is put in the Request-URI.
    Max-Forwards is counted down, and is 70 at most; our Record-Route and our Via are put on top. A Record-Route
    carries, signed, the hop that responses go to: `take_routes` finds it again in the requests of the dialog. There are
    two where `came_to`, our listener that the request came to, is not the one that it leaves by (RFC 5658).

    Raises HeaderError with the status to answer: 482 for a loop and for what would be sent to ourselves, 483 where
    Max-Forwards is 0, 500 where no listener of ours speaks the transport, 400 or 416 for what is malformed.
    """
    if to is None:
        to = next_hop(request)
        if request._has(_ROUTE):
            _put_strict_route(request)
    own, name, via, text, routes = node._legs.get(to) or node._leg(to)
    if not record_route:
        routes = ()
    elif came_to is not None or request._scheme() == "sips":
        routes = _record_routes(request, own, came_to)
    core.forward_request(request, node._key, name, via, text, routes)
    return to


def _record_routes(request: Message, own: Hop, came_to: Hop | None) -> tuple[str, ...]:
    """Our Record-Routes up to their signatures, the one for where the request goes last."""
    scheme = "sips" if request._scheme() == "sips" else "sip"
    listeners = (own,) if came_to is None or came_to == own else (came_to, own)
    return tuple([_record_route(scheme, listener) for listener in listeners])


def _record_route(scheme: str, listener: Hop) -> str:
    transport = _URI_TRANSPORTS.get(listener.transport, f";transport={listener.transport.lower()}")
    if scheme == "sips" and listener.transport == "TLS":
        transport = ""
    return f"<{scheme}:{listener.sent_by}{transport};lr;hop="


def response_hop(response: Message) -> Hop:
    """Where a response goes, by its top Via; see `Hop.of_via`. Raises HeaderError where there is none to be read."""
    via = response.via
    if via is None:
        raise HeaderError("no Via", "Via")
    return Hop.of_via(via)


def forward_response(response: Message, node: Node) -> Hop:
    """Take our Via off a response, and say where it goes (16.7 steps 3 and 9, 16.11, 18.2.2).

    Raises HeaderError, and changes nothing, where it must be dropped: the top Via is not ours (18.1.2), there is none
    below it, or its branch is not the one that `forward_request` made for the Via below, so that somebody made it up.
    """
    return _new(Hop, core.forward_response(response, node._key, node._name, node.is_own_via))
