"""A callee for test_proxy: `python callee.py PORT` takes every call, and answers each request by its own Via.

SIPp answers all requests of a call to where the first one came from, which will not do where some come another way.
"""

import asyncio
import sys

from sipstack import Address, Endpoint, EndpointConfig, Message

endpoint = Endpoint(EndpointConfig(port=int(sys.argv[1])))
CONTACT = {"Contact": f"<sip:bob@127.0.0.1:{sys.argv[1]}>"}
SDP = "v=0\no=bob 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"


@endpoint.handler("INVITE")
async def invite(request: Message, addr: Address) -> Message:
    endpoint.respond(request, request.reply(180, headers=CONTACT), addr)
    await asyncio.sleep(0.05)  # a Kamailio with several processes may turn round what comes at once
    return request.reply(200, headers={**CONTACT, "Content-Type": "application/sdp"}, body=SDP)


@endpoint.handler("ACK")
def ack(request: Message, addr: Address) -> None:
    """The call is up."""


@endpoint.handler("BYE")
@endpoint.handler("OPTIONS")
def fine(request: Message, addr: Address) -> Message:
    return request.reply(200)


endpoint.run()
