"""Who a proxy is, and where it sends to: the values that section 16's calls are given and give."""

import os
from collections.abc import Iterable
from functools import cached_property
from typing import Final, NamedTuple, NoReturn, Self, final

from . import _grammar as grammar
from ._address import WILDCARDS, Address, PeerAddress, sent_by
from ._branches import TRANSPORT, response_target, write_hop
from ._limits import MAX_PORT, default_port
from ._values import canonical_host, need_int, need_str, parse_number
from .errors import HeaderError
from .headers import Via
from .uri import SipUri, Uri

_KEY_SIZE: Final = 16
_MOST_KEPT: Final = 1024  # of hops and of local addresses, what a node has made
_SIPS: Final = {None: "TLS", "tcp": "TLS", "tls": "TLS", "sctp": "TLS-SCTP", "ws": "WSS", "wss": "WSS"}
_URI_TRANSPORTS: Final = {"UDP": "", "TLS": ";transport=tls", "WSS": ";transport=ws", "TLS-SCTP": ";transport=sctp"}


class _Parts(NamedTuple):
    transport: str
    host: str
    port: int


class Hop(_Parts):
    """Where a message goes, or where we listen.

    Attributes:
        transport: as a Via has it: `"UDP"`, `"TCP"`, `"TLS"`, `"WS"`, `"WSS"`, ...
        host: a name or an address, without brackets. A name is as it was sent: resolve it (RFC 3263).
        port: 1 to 65535.

    A tuple of the three. It cannot be changed.
    """

    # No slots: the address is kept in the instance. A batch of datagrams knows the peer by the identity of that tuple.

    def __new__(cls, transport: str, host: str, port: int) -> Self:
        """Raises TypeError."""
        if type(transport) is not str or type(host) is not str or type(port) is not int:
            transport, host = need_str(transport, "transport"), need_str(host, "host")
            port = need_int(port, "port")
        return tuple.__new__(cls, (transport, host, port))

    @cached_property
    def address(self) -> Address:
        """Host and port, as sockets have them."""
        return self.host, self.port

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a hop cannot be changed")

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
        transport = uri_transport(uri)
        host = (uri.maddr if uri._params else None) or uri.host
        if not (grammar.is_host(host) or grammar.is_ipv6(host)):
            raise HeaderError("host is not a host name or address")
        port = default_port(transport) if uri.port is None else uri.port
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


class Leg(NamedTuple):
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

    __slots__ = ("_at", "_key", "_legs", "_name", "_named", "_names", "_own", "_routes", "aliases", "listeners")
    listeners: tuple[Hop, ...]
    aliases: tuple[str, ...]
    _own: frozenset[tuple[str, int]]  # hosts and ports of ours
    _names: frozenset[str]  # those of ours at any port
    _key: bytes
    _name: str  # the sent-by of the first listener
    _routes: tuple[str, ...]  # the Record-Routes of all, up to their signatures
    _legs: "dict[Hop, Leg]"  # what _leg has made
    _named: "dict[str, TakenRoutes]"  # what _take has made
    _at: "dict[str, Node] | None"  # what at has made; None where no listener is a wildcard

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
        slots |= {"_name": listeners[0].sent_by, "_routes": tuple([record_route("sip", hop) for hop in listeners])}
        slots["_at"] = {} if any(hop.host in WILDCARDS for hop in listeners) else None
        for name, value in {**slots, "_legs": {}, "_named": {}}.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Node is immutable: {name} cannot be set")

    def __repr__(self) -> str:
        return f"Node({', '.join(map(repr, self.listeners))}, aliases={self.aliases!r})"

    def at(self, addr: Address) -> "Node":
        """The node as the sender of a message sees it, with the address it was sent to in place of a wildcard.

        `addr` is what came with the message, a PeerAddress on a wildcard listener. Without a wildcard the node itself.
        """
        if self._at is None or not isinstance(addr, PeerAddress):
            return self
        host = addr.local[0].partition("%")[0]
        node = self._at.get(host)
        if node is None:
            node = self._placed(host)
            if len(self._at) >= _MOST_KEPT:
                self._at.clear()
            self._at[host] = node
        return node

    def _placed(self, host: str) -> "Node":
        """The node with a host in place of a wildcard. Both name hops alike, and keep them in one place."""
        if host in WILDCARDS:
            return self
        listeners = [Hop(hop.transport, host, hop.port) if hop.host in WILDCARDS else hop for hop in self.listeners]
        node = Node(*listeners, aliases=self.aliases, key=self._key)
        object.__setattr__(node, "_named", self._named)
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
            transport = uri_transport(uri)
        except HeaderError:
            return False
        return self.is_own(uri.host, default_port(transport))

    def is_own_via(self, via: Via) -> bool:
        """Whether the sent-by of a response's top Via is ours (16.7 step 3, 18.1.2)."""
        port = default_port(via.transport) if via.port is None else via.port
        return self.is_own(via.host, port)

    def listener(self, hop: Hop) -> Hop:
        """Our end of the way to a hop. Raises HeaderError, with status 500, where we do not speak its transport.

        That is the first listener of the transport in the hop's family of addresses, else the first of the transport.
        """
        found = [own for own in self.listeners if own.transport == hop.transport]
        if not found:
            raise HeaderError("no listener for the transport", status=500)  # 16.9: as a transport error
        return next((own for own in found if (":" in own.host) == (":" in hop.host)), found[0])

    def _leg(self, hop: Hop) -> "Leg":
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
            leg = Leg(own, own.sent_by, via, write_hop(*hop), (record_route("sip", own),))
            if len(self._legs) >= _MOST_KEPT:
                self._legs.clear()
            self._legs[hop] = leg
        return leg

    def _take(self, text: str) -> "TakenRoutes":
        """What names a hop as we have written or read it: `UDP/192.0.2.1:5060`."""
        taken = self._named.get(text)
        if taken is None:
            transport, _, where = text.partition("/")
            host, _, port = where.rpartition(":")
            taken = TakenRoutes(ours=True, signed=True, hop=Hop(transport, host.strip("[]"), int(port)))
            if len(self._named) >= _MOST_KEPT:
                self._named.clear()
            self._named[text] = taken
        return taken


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


def uri_transport(uri: SipUri) -> str:
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


def record_route(scheme: str, listener: Hop) -> str:
    """Our Record-Route up to its signature."""
    transport = _URI_TRANSPORTS.get(listener.transport, f";transport={listener.transport.lower()}")
    if scheme == "sips" and listener.transport == "TLS":
        transport = ""
    return f"<{scheme}:{listener.sent_by}{transport};lr;hop="
