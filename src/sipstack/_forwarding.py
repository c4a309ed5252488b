"""What a proxy does with a message (RFC 3261 16), for a message of either implementation.

All of it is said here. The compiled core does the same, byte for byte, for messages of the common shape
(`_forward.pxi`), and comes here with any other.
"""

from typing import TYPE_CHECKING, Final

from ._branches import is_in_loop, loop_part, response_target, transaction_part, write_hop
from ._limits import INITIAL_MAX_FORWARDS, default_port
from ._node import Hop, Leg, Node, TakenRoutes, record_route, uri_transport
from .errors import HeaderError
from .headers import MAGIC_COOKIE, NameAddr, Via
from .methods import header_id
from .uri import SipUri, Uri

if TYPE_CHECKING:
    from ._parser_py import Message

_ROUTE: Final = header_id("Route")


# --- routes (RFC 3261 16.4, 16.6 step 6, 16.12) ----------------------------------------------------------------------

NOTHING_TAKEN: Final = TakenRoutes(ours=False, signed=False, hop=None)
UNSIGNED: Final = TakenRoutes(ours=True, signed=False, hop=None)
FROM_THERE: Final = TakenRoutes(ours=True, signed=True, hop=None)


def take_routes(request: "Message", node: Node) -> TakenRoutes:
    """Take all Routes of ours off the top, and put right what a strict router left in the Request-URI (16.4).

    A Request-URI whose `maddr` is ours loses it, with its port and transport. Raises HeaderError, and changes nothing,
    where a Route or the Request-URI is malformed.
    """
    if not request._has(_ROUTE):
        params = request.request_uri.partition(";")[2]
        if "%" in params or "maddr" in params.lower():
            _take_maddr(request, node)
        return NOTHING_TAKEN
    routes = list(request.routes)
    own, uri = [], request.uri
    if routes and _is_route_of_ours(uri, node):
        own.append(uri)
        uri = routes.pop().uri
    count = next((at for at, route in enumerate(routes) if not node.is_own_uri(route.uri)), len(routes))
    own += [route.uri for route in routes[:count]]
    taken = _judge_own(request, node, own)
    if uri is not None and uri is not request.uri:
        request.request_uri = uri
        _set_routes(request, routes[count:])
    elif count == 1:
        request.pop_route()
    elif count:
        _set_routes(request, routes[count:])
    _take_maddr(request, node)
    return taken


def _is_route_of_ours(uri: Uri | None, node: Node) -> bool:
    """Whether a Request-URI is one that we put in a Record-Route, and a strict router before us here."""
    return isinstance(uri, SipUri) and uri.user is None and node.is_own_uri(uri) and uri.lr


def _set_routes(request: "Message", routes: list[NameAddr]) -> None:
    if routes:
        request.set_header("Route", routes)
    else:
        request.remove_header("Route")


def _take_maddr(request: "Message", node: Node) -> None:
    uri = request.uri
    if isinstance(uri, SipUri) and uri._params and (maddr := uri.maddr):
        port = default_port(uri_transport(uri)) if uri.port is None else uri.port
        if node.is_own(maddr, port):
            request.request_uri = uri._with_parts(None, uri._params_but(("maddr", "transport")), uri._headers)


def _judge_own(request: "Message", node: Node, own: list[Uri | None]) -> TakenRoutes:
    """What Routes of ours say.

    The first two can be signed: more than a double Record-Route (RFC 5658) we never write.
    """
    for uri in own[:2]:
        text, _, signature = ((isinstance(uri, SipUri) and uri.params.get("hop")) or "").rpartition("/")
        if not text:
            continue
        call_id, to_tag = request.call_id or "", request.to_tag
        if signature == request._sign(node._key, text, call_id, request.from_tag or ""):
            return FROM_THERE
        if to_tag and signature == request._sign(node._key, text, call_id, to_tag):
            return node._take(text)
    return UNSIGNED if own else NOTHING_TAKEN


def next_hop(request: "Message") -> Hop:
    """Where a request goes: what its first Route says, else its Request-URI (16.6 steps 6 and 7); see `Hop.of_uri`.

    Raises HeaderError, with the status to answer. `forward_request` puts a strict router in the Request-URI.
    """
    return _hop_by(request, _routes_of(request))


def _routes_of(request: "Message") -> tuple[NameAddr, ...]:
    return request.routes if request._has(_ROUTE) else ()


def _hop_by(request: "Message", routes: tuple[NameAddr, ...]) -> Hop:
    try:
        return Hop.of_uri(routes[0].uri if routes else request.uri)
    except HeaderError as error:
        header, status = ("Route", 400) if routes else ("Request-URI", error.status)
        raise HeaderError(error.reason, header, error.offset, status) from None


def _put_strict_route(request: "Message", routes: tuple[NameAddr, ...]) -> None:
    """Where the first Route is that of a strict router, it becomes the Request-URI, and that the last Route (16.6)."""
    if routes and isinstance(first := routes[0].uri, SipUri) and not first.lr and request.uri is not None:
        request.add_header("Route", NameAddr(request.uri))
        request.request_uri = first
        request.pop_route()


# --- branches and loops (RFC 3261 16.3, 16.11, RFC 5393) -------------------------------------------------------------


def make_branch(request: "Message", node: Node, to: Hop) -> str:
    """The branch of a stateless proxy (16.6 step 8, 16.11), for a request as it is about to be sent, without our Via.

    It is the same for a retransmission, the CANCEL and the ACK to a failure, and another one where the Request-URI, the
    Routes or the next hop are. Both parts of it are keyed hashes. Raises HeaderError where the top Via is malformed.
    """
    leg = node._leg(to)
    transaction = transaction_part(node._key, leg.name, request, request.need_via)
    return f"{MAGIC_COOKIE}{loop_part(node._key, leg.name, leg.to, request)}{transaction}"


def check_loop(request: "Message", node: Node, to: Hop) -> None:
    """Raise HeaderError with status 482 where a request was here, and went to the same hop as the same (16.3 step 4).

    That is where one of its Vias has the first part of our branch: in a spiral (RFC 5393) the Request-URI, the Routes
    or the next hop are others. The same for a request that would be sent to ourselves.
    """
    leg = node._leg(to)
    if is_in_loop(request, loop_part(node._key, leg.name, leg.to, request)):
        raise HeaderError("request is in a loop", "Via", 0, 482)


# --- forwarding (RFC 3261 16.6, 16.7) --------------------------------------------------------------------------------


def forward_request(
    request: "Message", node: Node, to: Hop | None = None, *, record_route: bool = False, came_to: Hop | None = None
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
        routes = _routes_of(request)
        to = _hop_by(request, routes)
        _put_strict_route(request, routes)
    leg = node._legs.get(to) or node._leg(to)
    record_routes = _record_routes(request, leg, came_to) if record_route else ()
    request._put_hop(node._key, leg, record_routes)
    return to


def _record_routes(request: "Message", leg: Leg, came_to: Hop | None) -> tuple[str, ...]:
    """Our Record-Routes up to their signatures, the one for where the request goes last."""
    secure = request._scheme() == "sips"
    if not secure and (came_to is None or came_to == leg.own):
        return leg.routes
    listeners = (leg.own,) if came_to is None or came_to == leg.own else (came_to, leg.own)
    return tuple([record_route("sips" if secure else "sip", listener) for listener in listeners])


def put_hop(request: "Message", key: bytes, leg: Leg, record_routes: tuple[str, ...]) -> None:
    """Count Max-Forwards down, put our Record-Routes and our Via on top (16.6 steps 3, 4 and 8); a loop is 482.

    A Record-Route is given up to its signature, and the last of them comes to stand on top.
    """
    below = request.need_via
    loop = loop_part(key, leg.name, leg.to, request)
    transaction = transaction_part(key, leg.name, request, below)
    routes = []
    if record_routes:
        back = write_hop(*response_target(below))
        signature = request._sign(key, back, request.call_id or "", request.from_tag or "")
        routes = [f"{route}{back}/{signature}>" for route in record_routes]
    if is_in_loop(request, loop):
        raise HeaderError("request is in a loop", "Via", 0, 482)
    if request.decrement_max_forwards() > INITIAL_MAX_FORWARDS:
        request.set_header("Max-Forwards", INITIAL_MAX_FORWARDS)
    for route in routes:
        request.push_record_route(route)
    request.push_via(f"{leg.via}{MAGIC_COOKIE}{loop}{transaction}")


def response_hop(response: "Message") -> Hop:
    """Where a response goes, by its top Via; see `Hop.of_via`. Raises HeaderError where there is none to be read."""
    return Hop.of_via(response.need_via)


def forward_response(response: "Message", node: Node) -> Hop:
    """Take our Via off a response, and say where it goes (16.7 steps 3 and 9, 16.11, 18.2.2).

    Raises HeaderError, and changes nothing, where it must be dropped: the top Via is not ours (18.1.2), there is none
    below it, or its branch is not the one that `forward_request` made for the Via below, so that somebody made it up.
    """
    ours, below = _top_vias(response)
    if ours is None or not node.is_own_via(ours):
        raise HeaderError("top Via is not ours", "Via")
    if below is None:
        raise HeaderError("missing below ours", "Via")
    part = transaction_part(node._key, ours.sent_by, response, below)
    branch = ours.branch or ""
    if not branch.startswith(MAGIC_COOKIE) or branch[len(MAGIC_COOKIE) + 16 :] != part:
        raise HeaderError("branch is not one that we made for the Via below", "Via")
    response.pop_via()
    return Hop.of_via(below)


def _top_vias(message: "Message") -> tuple[Via | None, Via | None]:
    """The two Vias on top, None where there is none."""
    first, below = message.via, message.copy()
    below.pop_via()
    return first, below.via
