"""What a proxy does (RFC 3261 16), as calls: who we are, routes, next hops, loops, forwarding.

Nothing here keeps a message or decides where one goes. A `Node` says who we are. `forward_request` and
`forward_response` do the steps of 16.6 and 16.7 that need no decision; the pieces that they are made of can be used one
by one.

    node = Node(Hop("UDP", "192.0.2.1", 5060))
    taken = take_routes(request, node)
    hop = forward_request(request, node, record_route=True)
    return request, hop.address  # in a handler of an Endpoint; else endpoint.send_soon

The source of a request must be in its top Via (`Message.stamp_received`, which an Endpoint calls): responses go there.
"""

from typing import TYPE_CHECKING

from ._forwarding import check_loop, make_branch, next_hop, response_hop
from ._node import Hop, Node, TakenRoutes
from .message import core

if TYPE_CHECKING:
    from ._forwarding import forward_request, forward_response, take_routes
else:
    forward_request, forward_response = core.forward_request, core.forward_response
    take_routes = core.take_routes

__all__ = [
    "Hop", "Node", "TakenRoutes", "check_loop", "forward_request", "forward_response", "make_branch", "next_hop",
    "response_hop", "take_routes",
]  # fmt: skip
