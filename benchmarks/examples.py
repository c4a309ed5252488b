"""What a stranger's message costs the programs of `examples/`, by the name of their file: they are searched too.

Each message meets a program that has just begun, so that none is a retransmission of the one before.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sipstack import Endpoint, EndpointConfig, Message
from sipstack.proxy import Hop, Node

EXAMPLES = Path(__file__).parent.parent / "examples"
ADDRESS, CONFIG = ("192.0.2.9", 1024), EndpointConfig()
TARGET, DOMAIN = Hop("UDP", "192.0.2.2", 5060), "example.com"
STEPS = 4  # of the loop: what a handler does before it waits for a timer or another machine

Call = Callable[[Any], Any]
Calls = dict[str, tuple[Call, Call]]


def calls(node: Node, response_to_us: Call) -> Calls:
    """By name: the call, and what makes of a message's bytes what that takes.

    Not those of an example whose packages are not there. `response_to_us` makes a response to a request of the node's.
    """
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))  # they import one another
    return _proxy(node, response_to_us) | _transactions() | _phone() | _registrar()


def _proxy(node: Node, response_to_us: Call) -> Calls:
    import stateless_proxy

    targets = stateless_proxy.Targets([TARGET])

    def begin() -> Endpoint:
        return stateless_proxy.Proxy(("127.0.0.1", 5060), node, targets).endpoint

    return {
        "stateless_proxy": (_receive, lambda raw: (begin(), raw)),
        "stateless_proxy response": (_receive, lambda raw: (begin(), response_to_us(raw))),
    }


def _transactions() -> Calls:
    from transactions import Transactions

    def begin() -> Endpoint:
        return Transactions(CONFIG, {"INVITE": lambda request, _: request.reply(486)}).endpoint

    return {
        "transactions": (_receive, lambda raw: (begin(), raw)),
        "transactions response": (_receive, lambda raw: (begin(), b"SIP/2.0 200 OK\r\n" + raw.partition(b"\r\n")[2])),
    }


def _phone() -> Calls:
    from call import Phone

    def begin() -> Endpoint:
        phone = Phone(CONFIG)
        phone.contact = dict  # it has no socket, whose address that would be
        return phone.transactions.endpoint

    return {
        "call": (_receive, lambda raw: (begin(), raw)),
        "call BYE": (_receive, lambda raw: (begin(), _of_method(raw, b"BYE"))),
    }


def _registrar() -> Calls:
    try:
        import registrar
    except ModuleNotFoundError:  # redis, which is not asked: who is no user does not get so far
        return {}
    digest = registrar.Digest(DOMAIN, {}, bytes(16))

    def begin() -> Endpoint:
        locations = registrar.Locations("redis://127.0.0.1:1/0")
        return registrar.Registrar(ADDRESS, digest, locations, max_size=CONFIG.max_size).transactions.endpoint

    return {
        "registrar": (_receive, lambda raw: (begin(), _of_method(raw.replace(b"bob@", b"", 1), b"REGISTER"))),
        "registrar INVITE": (_receive, lambda raw: (begin(), raw)),
    }


def _of_method(raw: bytes, method: bytes) -> bytes:
    """A message in which INVITE is another method."""
    return raw.replace(b"INVITE", method)


def _receive(given: tuple[Endpoint, bytes | Message]) -> None:
    asyncio.run(_take(*given))


async def _take(endpoint: Endpoint, message: bytes | Message) -> None:
    work = endpoint.receive(message, ADDRESS, len)
    for _ in range(STEPS):
        await asyncio.sleep(0)
    work.cancel()
