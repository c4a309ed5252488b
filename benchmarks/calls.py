"""Every call of the public API whose cost depends on a message: the dearest of them are searched for.

The name of a call is that in the API, which a test holds beside it, and more behind a blank where there are several.
"""

import asyncio
import copy
import io
import pickle
import weakref
from collections.abc import Callable
from operator import attrgetter, methodcaller
from types import ModuleType
from typing import Any

import sipstack
from sipstack import Endpoint, EndpointConfig, StreamParser, proxy
from sipstack._limits import MAX_HEADERS
from sipstack._parser_py import Message
from sipstack.proxy import Hop, Node

from . import examples

SIZE = 65_535

Call = Callable[[Any], Any]
Calls = dict[str, tuple[Call, Call]]
ACCESSORS = [name for name, item in vars(Message).items() if isinstance(item, property)]
OTHER_VIA = "SIP/2.0/UDP h;branch=z9hG4bK2"
NODE = Node(Hop("UDP", "192.0.2.1", 5060), key=bytes(16))
HOP, ADDRESS = Hop("UDP", "192.0.2.2", 5060), ("192.0.2.9", 1024)

READS: dict[str, Call] = {
    **{name: attrgetter(name) for name in ACCESSORS},
    "get_header": lambda message: [message.get_header(name) for name in ("Via", "Contact", "X-None")],
    "get_headers": lambda message: [message.get_headers(name) for name in ("Via", "Contact", "X-None")],
    "transaction_key": lambda message: message.transaction_key(),
    "dialog_id": lambda message: message.dialog_id(),
    "check": lambda message: message.check(),
    "validate": lambda message: message.validate(),
    "describe": lambda message: message.describe(),
    "copy": copy.copy,
    "str": str,
    "repr": repr,
    "==": lambda message: message == message.copy(),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)),
    "unsupported_options": lambda message: sipstack.unsupported_options(message, ()),
}

EDITS: dict[str, Call] = {
    "set_header": lambda message: message.set_header("Contact", "<sip:a>"),
    "add_header": lambda message: message.add_header("Contact", "<sip:a>"),
    "prepend_header": lambda message: message.prepend_header("Contact", "<sip:a>"),
    "remove_header": lambda message: [message.remove_header(name) for name in ("Via", "Route", "Contact")],
    "remove_first_header": lambda message: [message.remove_first_header(name) for name in ("Via", "Route")],
    "stamp_received": lambda message: message.stamp_received(*ADDRESS),
    "push_via": lambda message: message.push_via(OTHER_VIA),
    "pop_via": lambda message: message.pop_via(),
    "push_record_route": lambda message: message.push_record_route("<sip:a;lr>"),
    "pop_route": lambda message: message.pop_route(),
    "decrement_max_forwards": lambda message: message.decrement_max_forwards(),
    "request_uri set": lambda message: setattr(message, "request_uri", "sip:b"),
    "body set": lambda message: setattr(message, "body", b"a"),
    "set_route": lambda message: message.set_route("sip:a", message.route_set),
    "reply": lambda message: message.reply(180),
    "cancel": lambda message: message.cancel(),
}
"""What changes a message, or makes another of it: this is written then."""

VIEW: dict[str, Call] = {
    "in": lambda headers: "X-None" in headers,
    "|": lambda headers: headers | {"Via": OTHER_VIA},
    **{name: methodcaller(name) for name in ("items", "keys", "values", "popitem", "clear")},
    **{name: methodcaller(name, "Contact") for name in ("get", "getall", "getone", "pop", "popall", "popone")},
    **{name: methodcaller(name, "Contact", "<sip:a>") for name in ("add", "setdefault")},
    **{name: methodcaller(name, {"Via": OTHER_VIA, "Route": "<sip:a>"}) for name in ("extend", "update")},
}

BYTES: dict[str, Call] = {
    "read_broken": lambda raw: sipstack.read_broken(b"-" + raw),
    "read_broken end": lambda raw: sipstack.read_broken(raw[:-2]),
    "is_stun": sipstack.is_stun,
    "is_signaling_noise_datagram": sipstack.is_signaling_noise_datagram,
    "StreamParser": lambda raw: list(StreamParser().feed(raw)),
    "StreamParser pieces": lambda raw: _in_pieces(raw, 1024),
    "StreamParser body": lambda raw: _in_pieces(b"A sip:a SIP/2.0\r\nl:65000\r\n\r\n" + raw[:65_000], 256),
    "StreamParser keep-alives": lambda raw: list(StreamParser().feed(b"\r\n" * (len(raw) // 2))),
    "StreamParser many": lambda raw: next(StreamParser().feed(b"A a SIP/2.0\nl:0\n\n" * (len(raw) // 18))),
    "read_message_from": lambda raw: sipstack.read_message_from(io.BytesIO(raw)),
    "read_message": lambda raw: asyncio.run(_read_all(raw)),
    "read_message keep-alives": lambda raw: asyncio.run(_read_all(b"\n" * len(raw))),
}


def calls(module: ModuleType) -> Calls:
    """What is done with each message, and what makes of its bytes what that takes, which is not measured."""
    parse = module.parse
    found: Calls = {"parse": (parse, bytes), "get_values": (_get_values, _widest(parse))}
    found |= {name: (call, parse) for name, call in (READS | _proxy(module)).items()}
    found |= {name: (_written(call), parse) for name, call in EDITS.items()}
    found |= {f"headers.{name}": (_of_view(call), parse) for name, call in VIEW.items()}
    found["to_bytes"] = (lambda message: message.to_bytes(), _edited(parse))
    found["ack"] = (lambda both: both[0].ack(both[1]).to_bytes(), lambda raw: (parse(raw), _response(parse, raw)))
    found["forward_response"] = (lambda response: module.forward_response(response, NODE), _to_us(module))
    found["body_parts"] = (sipstack.body_parts, _multipart(parse))
    if parse is sipstack.parse:  # that of an endpoint and of a stream
        found |= {name: (call, bytes) for name, call in (BYTES | _endpoints()).items()}
        found |= examples.calls(NODE, _to_us(module))
    return found


def _proxy(core: ModuleType) -> dict[str, Call]:
    """Section 16's calls, those of an implementation where it has some of its own."""
    forward_request, take_routes = core.forward_request, core.take_routes

    def pass_on(request: Any) -> None:  # as examples/stateless_proxy.py does it
        hop = take_routes(request, NODE).hop or HOP
        forward_request(request, NODE, hop, record_route=not request.to_tag)

    return {
        "take_routes": lambda request: take_routes(request, NODE),
        "next_hop": proxy.next_hop,
        "response_hop": proxy.response_hop,
        "make_branch": lambda request: proxy.make_branch(request, NODE, HOP),
        "check_loop": lambda request: proxy.check_loop(request, NODE, HOP),
        "forward_request": lambda request: forward_request(request, NODE, HOP, record_route=True),
        "forward_request next": lambda request: forward_request(request, NODE),
        "forward_request behind": pass_on,
    }


def _get_values(message: Any) -> Any:
    return [message.get_values(name) for name in set(message.headers) if name.isascii()][:0]


def _written(edit: Call) -> Call:
    def edit_and_write(message: Any) -> Any:
        made = edit(message)
        return (made if isinstance(made, type(message)) else message).to_bytes()

    return edit_and_write


def _of_view(call: Call) -> Call:
    return lambda message: call(message.headers)


def _in_pieces(raw: bytes, size: int) -> None:
    parser = StreamParser()
    for at in range(0, len(raw), size):
        list(parser.feed(raw[at : at + size]))


async def _read_all(raw: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    while await sipstack.read_message(reader) is not None:
        pass


# --- what is made of the bytes before


def _widest(parse: Call) -> Call:
    """A message of the one header that has most text: get_values is one call a name."""

    def make(raw: bytes) -> Any:
        message = parse(raw)
        size: dict[str, int] = {}
        for name, value in message.headers.items():
            size[name] = size.get(name, 0) + len(value)
        for name in sorted(size, key=lambda name: -size[name])[1:]:
            message.remove_header(name)
        return message

    return make


def _edited(parse: Call) -> Call:
    """A message that is not written as it came."""

    def make(raw: bytes) -> Any:
        message = parse(raw)
        message.push_via(OTHER_VIA)
        return message

    return make


def _response(parse: Call, raw: bytes) -> Any:
    return parse(
        b"SIP/2.0 486 Busy Here\r\n" + raw.partition(b"\r\n")[2], max_size=2 * SIZE, max_headers=2 * MAX_HEADERS
    )


def _to_us(module: ModuleType) -> Call:
    """The response to what we forwarded; with a Via of ours that is made up where we would not."""

    def make(raw: bytes) -> Any:
        request = module.parse(raw)
        try:
            module.forward_request(request, NODE, HOP)
        except ValueError:
            request.push_via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK" + "0" * 32)
        return _response(module.parse, request.to_bytes())

    return make


def _multipart(parse: Call) -> Call:
    """A body of the same text, with a boundary for each fold."""

    def make(raw: bytes) -> Any:
        message = parse(b"INFO sip:a SIP/2.0\r\nContent-Type: multipart/mixed;boundary=a\r\n\r\n")
        message.body = b"--a\r\n" + raw.partition(b"\r\n")[2].replace(b"\r\n ", b"\r\n--a\r\n")[: SIZE - 20]
        return message

    return make


# --- an endpoint


def _endpoints() -> dict[str, Call]:
    """A datagram in an endpoint, up to the answer, with the settings that look at more of it."""
    settings: dict[str, dict[str, Any]] = {
        "": {},
        "no validate": {"validate": False},
        "maddr": {"use_maddr": True},
        "hooks": dict.fromkeys(("on_event", "on_datagram", "on_request"), lambda *_: None),
        "everything": {"supported": ("a",), "counters": ("INVITE",), "use_maddr": True, "schemes": ("sip", "a")},
    }
    found = {}
    for name, each in settings.items():
        endpoint = Endpoint(EndpointConfig(**each))
        endpoint.register_handler("INVITE", lambda request, _: request.reply(200))
        found[f"Endpoint {name}".strip()] = _deliver(endpoint)
        found[f"Endpoint.receive {name}".strip()] = _receive(endpoint)
    return found


def _deliver(endpoint: Endpoint) -> Call:
    dispatcher = endpoint._dispatcher
    return lambda raw: dispatcher.deliver([(raw, ADDRESS)])


def _receive(endpoint: Endpoint) -> Call:
    runner = asyncio.Runner()

    async def receive(raw: bytes) -> None:
        await endpoint.receive(raw, ADDRESS, len)

    def call(raw: bytes) -> None:
        runner.run(receive(raw))

    weakref.finalize(call, runner.close)
    return call
