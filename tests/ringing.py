"""A phone that rings, for the real clients: `python ringing.py PORT` listens on every address, and nobody picks up."""

import asyncio
import sys

from sipstack import Address, Endpoint, EndpointConfig, Message

endpoint = Endpoint(EndpointConfig(host="0.0.0.0", port=int(sys.argv[1])))


@endpoint.handler("invite")
async def invite(request: Message, addr: Address) -> Message:
    host, port = endpoint.local_address(addr) or ("", 0)
    endpoint.respond(request, request.reply(180, headers={"Contact": f"<sip:{host}:{port}>"}), addr)
    await asyncio.sleep(30)
    return request.reply(480)


@endpoint.handler("options")
def options(request: Message, addr: Address) -> Message:
    return request.reply(200)


if __name__ == "__main__":
    endpoint.run(workers=int(sys.argv[2]))
