"""Requests that follow from other messages: ACK, CANCEL, and where a request of a dialog goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._keys import need
from ._limits import INITIAL_MAX_FORWARDS
from ._writing import encode_uri, encode_value
from .headers import NameAddr
from .headers._base import need_uri
from .methods import ACK, CANCEL, INVITE
from .uri import SipUri, Uri

if TYPE_CHECKING:
    from ._parser_py import Message


def ack(invite: "Message", response: "Message") -> "Message":
    """See `Message.ack`."""
    invite = _snapshot(invite, "ack")
    if response.is_request:
        raise TypeError("a response is acknowledged, not a request")
    if response.status_code < 300:
        raise ValueError("the ACK to a 2xx is a new request of the dialog (RFC 3261 13.2.2.4), a 1xx has none")
    return _of_invite(invite, ACK, response.get_header("To"))


def cancel(invite: "Message") -> "Message":
    """See `Message.cancel`."""
    invite = _snapshot(invite, "cancel")
    return _of_invite(invite, CANCEL, invite.get_header("To"))


def _snapshot(invite: "Message", name: str) -> "Message":
    """An INVITE that nobody edits while it is read, and that may lose what was read of it."""
    if invite.method != INVITE:
        raise TypeError(f"{name} is for INVITEs")
    return invite.copy()


def _of_invite(invite: "Message", method: str, to: str | None) -> "Message":
    """A request of the INVITE's hop: what names its transaction, what leads where it went, and nothing else."""
    headers = [
        ("Via", need(invite.pop_via() or None, "Via")),
        *[("Route", route) for route in invite.get_headers("Route")],
        ("Max-Forwards", INITIAL_MAX_FORWARDS),
        ("From", need(invite.get_header("From"), "From")),
        ("To", need(to, "To")),
        ("Call-ID", invite.need_call_id),
        ("CSeq", f"{invite.need_cseq.num} {method}"),
    ]
    return type(invite).request(method, invite.request_uri, headers=headers)


def route_set(message: "Message") -> tuple[NameAddr, ...]:
    """See `Message.route_set`."""
    hops = message.record_routes
    return hops if message.is_request else hops[::-1]


def dialog_route(target: str | Uri, routes: Sequence[NameAddr]) -> tuple[str, str]:
    """A dialog's Request-URI and Route ("" for none) as text that can be written (RFC 3261 12.2.1.1)."""
    uri = target
    if routes and not (isinstance(routes[0].uri, SipUri) and routes[0].uri.lr):
        uri, last = routes[0].uri, need_uri(target, "target")
        routes = [*routes[1:], NameAddr(last.as_request_uri())]
    written = encode_uri(uri), encode_value("Route", [*routes])
    return written[0].decode("utf-8", "surrogateescape"), written[1].decode("utf-8", "surrogateescape")
