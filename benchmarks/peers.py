"""The other parsers on the package index, each behind the same few functions.

A peer is what its own documentation says to call, with nothing added but the decoding of bytes where it reads text.
What is not installed is left out, what cannot parse a message is reported with the error it gave.
"""

import importlib.metadata
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .corpus import HEADERS, URI, VIA

Items = list[tuple[str, str]]

PLAIN = "pure Python"
SCALE = "for scale"


@dataclass(frozen=True)
class Peer:
    """One other parser. A function it has none for is None."""

    name: str
    version: str
    parse: Callable[[bytes], Any]
    items: Callable[[Any], Items] | None = None  # every header of what parse made, for the everything group
    roundtrip: Callable[[bytes], bytes] | None = None  # parse, push a Via, count Max-Forwards down, write
    read: Callable[[bytes], Any] | None = None  # what a proxy reads, as values
    reply: Callable[[Any], bytes] | None = None  # a 200 to what parse made, as bytes
    write: Callable[[bytes], bytes] | None = None  # a request with ten headers and this body, as bytes
    kind: str = PLAIN


def sipmessage() -> dict[str, Any]:
    from sipmessage import URI as SIPMESSAGE_URI
    from sipmessage import Message, Request

    parse = Message.parse

    def items(message: Any) -> Items:
        headers = message.headers
        return [(name, value) for name in headers.keys() for value in headers.getlist(name)]  # noqa: SIM118 (no dict)

    def roundtrip(raw: bytes) -> bytes:
        message = parse(raw)
        message.headers.setlist("Via", [VIA + "1", *message.headers.getlist("Via")])
        message.max_forwards -= 1
        return bytes(message)

    def read(raw: bytes) -> Any:
        message = parse(raw)
        via, cseq, uri = message.via[0], message.cseq, message.uri
        tags = message.from_address.parameters.get("tag"), message.to_address.parameters.get("tag")
        via_values = via.host, via.port, via.parameters.get("branch"), via.parameters.get("rport")
        return uri.host, uri.port, message.call_id, cseq.sequence, cseq.method, *tags, *via_values, message.max_forwards

    def write(body: bytes) -> bytes:
        message = Request(method="INVITE", uri=SIPMESSAGE_URI.parse(URI), body=body)
        for name, value in HEADERS:
            message.headers.add(name, value)
        message.content_length = len(body)
        return bytes(message)

    return {"parse": parse, "items": items, "roundtrip": roundtrip, "read": read, "write": write}


def voip_utils() -> dict[str, Any]:
    from voip_utils.sip import SipMessage

    return {
        "parse": lambda raw: SipMessage.parse_sip(raw.decode()),
        "items": lambda message: list(message.headers.items()),
    }


def aiovoip() -> dict[str, Any]:
    from aiovoip.message import Message

    def parse(raw: bytes) -> Any:
        head, _, body = raw.partition(b"\r\n\r\n")  # as aiovoip.protocol and aiovoip.dialog do it
        message = Message.from_raw_headers(head)
        message._raw_payload = body
        return message

    def items(message: Any) -> Items:
        pairs = []
        for name, value in message.headers.items():
            pairs += [(name, each) for each in (value if isinstance(value, list) else [value])]
        return pairs

    return {"parse": parse, "items": items}


def simple_sip_client() -> dict[str, Any]:
    from simple_sip.sip_message import SIPMessage, SIPRequest, make_response

    def roundtrip(raw: bytes) -> bytes:
        message = SIPMessage.parse(raw)
        message.headers["Via"].insert(0, VIA + "1")
        message.set_header("Max-Forwards", str(int(message.get_header("Max-Forwards")) - 1))
        return message.serialize()

    def write(body: bytes) -> bytes:
        message = SIPRequest("INVITE", URI)
        for name, value in HEADERS:
            message.add_header(name, value)
        message.set_header("Content-Length", str(len(body)))
        message.body = body.decode()
        return message.serialize()

    return {
        "parse": SIPMessage.parse,
        "items": lambda message: [(name, value) for name, values in message.headers.items() for value in values],
        "roundtrip": roundtrip,
        "reply": lambda message: make_response(message, 200, "OK").serialize(),
        "write": write,
    }


def twisted() -> dict[str, Any]:
    from twisted.logger import globalLogBeginner
    from twisted.protocols.sip import MessagesParser

    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)  # else errors go to stderr
    received: list[Any] = []
    parser = MessagesParser(received.append)

    def parse(raw: bytes) -> Any:
        parser.dataReceived(raw)  # as twisted.protocols.sip.Base.datagramReceived does it
        parser.dataDone()
        if not received:
            parser.reset()
            raise ValueError("no message came")
        return received.pop()

    def roundtrip(raw: bytes) -> bytes:
        message = parse(raw)
        message.headers["via"].insert(0, VIA + "1")
        message.headers["max-forwards"] = [str(int(message.headers["max-forwards"][0]) - 1)]
        return message.toString().encode()

    return {
        "parse": parse,
        "items": lambda message: [(name, value) for name, values in message.headers.items() for value in values],
        "roundtrip": roundtrip,
    }


def sippy() -> dict[str, Any]:
    from sippy.SipHeader import SipHeader
    from sippy.SipRequest import SipRequest
    from sippy.SipResponse import SipResponse

    def parse(raw: bytes) -> Any:
        text = raw.decode()
        return SipResponse(text) if text.startswith("SIP/") else SipRequest(text)

    def roundtrip(raw: bytes) -> bytes:
        message = parse(raw)
        message.headers.insert(0, SipHeader(VIA + "1", name="via"))
        hops = message.getHFBody("max-forwards")
        hops.number -= 1
        return str(message).encode()

    def items(message: Any) -> Items:
        pairs = [tuple(str(header).split(": ", 1)) for header in message.headers]
        if message.body is not None:
            pairs.append(("Content-Type", message.body.mtype))
        return pairs

    return {
        "parse": parse,
        "items": items,
        "roundtrip": roundtrip,
        "reply": lambda message: str(message.genResponse(200, "OK")).encode(),
    }


def pyvoip() -> dict[str, Any]:
    import pyVoIP.VoIP.VoIP  # noqa: F401 (pyVoIP.SIP cannot be imported first: they import each other)
    from pyVoIP.SIP import SIPMessage

    return {"parse": SIPMessage}


def rfcvoip() -> dict[str, Any]:
    from rfcvoip.SIP import SIPMessage

    return {"parse": SIPMessage}


def aiosipua() -> dict[str, Any]:
    from aiosipua import SipRequest
    from aiosipua.message import SipMessage

    parse = SipMessage.parse

    def roundtrip(raw: bytes) -> bytes:
        message = parse(raw)
        vias = message.get_header_values("Via")
        message.remove_header("Via")
        for value in [VIA + "1", *vias]:
            message.add_header("Via", value)
        message.set_header("Max-Forwards", str(int(message.get_header("Max-Forwards")) - 1))
        return bytes(message)

    def read(raw: bytes) -> Any:
        message = parse(raw)
        via, cseq, sender, to = message.via[0], message.cseq, message.from_addr, message.to_addr
        values = message.uri, message.call_id, cseq.seq, cseq.method, sender.tag, to.tag
        return *values, via.host, via.port, via.branch, via.rport, int(message.get_header("Max-Forwards"))

    def write(body: bytes) -> bytes:
        message = SipRequest(method="INVITE", uri=URI, body=body)
        for name, value in HEADERS:
            message.add_header(name, value)
        return bytes(message)

    return {
        "parse": parse,
        "items": lambda message: [(name, value) for name, values in message.headers.items() for value in values],
        "roundtrip": roundtrip,
        "read": read,
        "write": write,
    }


def opensip() -> dict[str, Any]:
    from opensip.headers import URI as OPENSIP_URI
    from opensip.headers import NameAddr, Via
    from opensip.message import Headers, SIPRequest, parse_message

    def roundtrip(raw: bytes) -> bytes:
        message = parse_message(raw)
        message.headers._items.insert(0, ("Via", VIA + "1"))  # add() appends
        message.headers.set("Max-Forwards", str(int(message.headers.get("Max-Forwards")) - 1))
        return message.encode()

    def read(raw: bytes) -> Any:
        message = parse_message(raw)
        get = message.headers.get
        uri, via, (number, method) = OPENSIP_URI.parse(message.request_uri), Via.parse(get("Via")), message.cseq
        tags = NameAddr.parse(get("From")).params.get("tag"), NameAddr.parse(get("To")).params.get("tag")
        via_values = via.host, via.port, via.params.get("branch"), via.params.get("rport")
        return uri.host, uri.port, message.call_id, number, method, *tags, *via_values, int(get("Max-Forwards"))

    def write(body: bytes) -> bytes:
        headers = Headers()
        for name, value in HEADERS:
            headers.add(name, value)
        return SIPRequest(method="INVITE", request_uri=URI, headers=headers, body=body).encode()

    return {
        "parse": parse_message,
        "items": lambda message: message.headers.items(),
        "roundtrip": roundtrip,
        "read": read,
        "write": write,
    }


def katari() -> dict[str, Any]:
    from Katari.sip import SipMessage

    return {"parse": lambda raw: SipMessage(raw)}


def sip_doctor() -> dict[str, Any]:
    from sipdoctor.sip import parse

    def parsed(raw: bytes) -> Any:
        message = parse(raw, 0.0, "192.0.2.61", 5060, "203.0.113.77", 5060, "UDP")
        if message is None:
            raise ValueError("no message came")
        return message

    return {"parse": parsed, "items": lambda message: message.headers}


def sibilant() -> dict[str, Any]:
    from sibilant.sip import SIPMessage

    return {"parse": SIPMessage.parse}


def voip() -> dict[str, Any]:
    from voip.sip.messages import Message

    return {"parse": Message.parse, "items": lambda message: list(message.headers.items())}


def sipx() -> dict[str, Any]:
    from sipx.models import MessageParser

    return {"parse": MessageParser.parse}


def by_hand() -> dict[str, Any]:
    """What one writes in five minutes, and what checks nothing: the least that str methods can do."""

    def parse(raw: bytes) -> Any:
        head, _, body = raw.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        return start.split(" ", 2), [line.split(":", 1) for line in lines], body

    def roundtrip(raw: bytes) -> bytes:
        start, headers, body = parse(raw)
        for pair in headers:
            if pair[0] == "Max-Forwards":
                pair[1] = f" {int(pair[1]) - 1}"
        headers.insert(0, ["Via", " " + VIA + "1"])
        lines = [" ".join(start), *[":".join(pair) for pair in headers]]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def items(message: Any) -> Items:
        return [(name, value.strip()) for name, value in message[1]]

    return {"parse": parse, "items": items, "roundtrip": roundtrip, "kind": SCALE}


def as_http(raw: bytes) -> bytes:
    """The head of a SIP message as an HTTP request of the same size, for the HTTP parsers."""
    start, _, headers = raw.partition(b"\r\n\r\n")[0].partition(b"\r\n")
    lines = [line for line in headers.split(b"\r\n") if not line.lower().startswith((b"content-length", b"l:"))]
    path = b"x" * max(0, len(start) - len("GET / HTTP/1.1\r\nHost: a"))
    return b"GET /%b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (path, b"\r\n".join(lines))


def httptools() -> dict[str, Any]:
    """Reads HTTP, not SIP, in C: what a compiled parser called from Python costs on messages of the same size."""
    import httptools

    class Collect:
        def __init__(self) -> None:
            self.headers: list[tuple[bytes, bytes]] = []
            self.on_header = lambda name, value: self.headers.append((name, value))

        def on_url(self, url: bytes) -> None:
            self.url = url

    def parse(raw: bytes) -> Any:
        collected = Collect()
        httptools.HttpRequestParser(collected).feed_data(raw)
        return collected

    return {"parse": parse, "kind": SCALE}


def aiohttp() -> dict[str, Any]:
    """Reads HTTP, not SIP, in C; see httptools."""
    import asyncio

    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.http_parser import HttpRequestParser

    loop = asyncio.new_event_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 65536)

    def parse(raw: bytes) -> Any:
        messages, _, _ = parser.feed_data(raw)
        return messages[0]

    return {"parse": parse, "kind": SCALE}


PEERS: dict[str, Callable[[], dict[str, Any]]] = {
    "sipmessage": sipmessage,
    "voip-utils": voip_utils,
    "aiovoip": aiovoip,
    "simple-sip-client": simple_sip_client,
    "opensip": opensip,
    "aiosipua": aiosipua,
    "twisted": twisted,
    "sippy": sippy,
    "pyVoIP": pyvoip,
    "rfcvoip": rfcvoip,
    "sip-doctor": sip_doctor,
    "Katari": katari,
    "sibilant": sibilant,
    "voip": voip,
    "sipx": sipx,
    "split by hand": by_hand,
    "httptools": httptools,
    "aiohttp": aiohttp,
}
"""Every peer by the name of its distribution. aiosip and asyncsip cannot be imported on Python 3.11 (aiovoip is their
successor); nanosip, simplesip, usip and dialplane have no parser that can be called without their client."""

HTTP = {"httptools", "aiohttp"}


def load() -> tuple[list[Peer], dict[str, str]]:
    """The peers that are here, and why each of the others is not."""
    peers, missing = [], {}
    logging.disable(logging.CRITICAL)  # some write a line for each message
    for name, make in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                functions = make()
        except Exception as error:  # whatever a peer does when it is imported
            missing[name] = f"{type(error).__name__}: {error}"
            continue
        version = "" if name == "split by hand" else importlib.metadata.version(name)
        peers.append(Peer(name, version, **functions))
    return peers, missing
