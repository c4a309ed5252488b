"""A user's program, for mypy --strict and pyright: what the public API's types are. It is checked, never run."""

import asyncio
import io
from collections.abc import Iterator
from typing import assert_type

import sipstack
from sipstack import (
    Address,
    BodyPart,
    CSeq,
    DatagramTransport,
    Endpoint,
    EndpointConfig,
    Event,
    EventType,
    HeaderValue,
    Message,
    NameAddr,
    RAck,
    Receiver,
    SipUri,
    Stats,
    StreamParser,
    UDPTransport,
    Uri,
    Via,
    Violation,
    body_parts,
    join_parts,
    parse,
    parse_uri,
)
from sipstack.proxy import Hop, Node, TakenRoutes


def places(message: Message, uri: Uri, sip: SipUri) -> None:
    assert_type(sip.as_request_uri(), SipUri)
    assert_type(sip.as_aor(), SipUri)
    for form in (uri.as_request_uri(), uri.as_from_to(), uri.as_contact(), uri.as_route(), uri.as_aor()):
        message.set_header("Contact", form)
        message.request_uri = form
    message.push_record_route(uri)
    message.set_header("Route", [sip, "<sip:p1;lr>", NameAddr(sip)])
    message.reply(200, headers={"Contact": uri})
    Message.request("OPTIONS", uri, headers=[("To", sip)])


def forwarding(request: Message, response: Message, addr: Address) -> None:
    node = sipstack.proxy.Node(Hop("UDP", "192.0.2.1", 5060), aliases=["example.com"], key=bytes(16))
    assert_type(node.at(addr), Node)
    assert_type(sipstack.proxy.take_routes(request, node), TakenRoutes)
    assert_type(sipstack.proxy.next_hop(request), Hop)
    hop = sipstack.proxy.forward_request(request, node, record_route=True)
    assert_type(hop.address, Address)
    assert_type(sipstack.proxy.forward_response(response, node), Hop)


def reading(data: bytes) -> None:
    message = parse(data)
    assert_type(message, Message)
    parse(bytearray(data))
    parse(memoryview(data))
    parse("OPTIONS sip:a@b SIP/2.0\r\n\r\n")
    parse(data, max_size=1000, max_headers=10)
    parse(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert_type(message.is_request, bool)
    assert_type(message.method, str)
    assert_type(message.request_uri, str)
    assert_type(message.status_code, int)
    assert_type(message.status_text, str)
    assert_type(message.version, str)
    assert_type(message.body, bytes)
    assert_type(message.get_header("Via"), str | None)
    assert_type(message.get_header("Via", ""), str)
    assert_type(message.get_headers("Via"), list[str])
    assert_type(message.get_values("Supported"), tuple[HeaderValue | int | str, ...])

    assert_type(message.via, Via | None)
    assert_type(message.vias, tuple[Via, ...])
    assert_type(message.from_, NameAddr | None)
    assert_type(message.to, NameAddr | None)
    assert_type(message.routes, tuple[NameAddr, ...])
    assert_type(message.record_routes, tuple[NameAddr, ...])
    assert_type(message.cseq, CSeq | None)
    assert_type(message.rack, RAck | None)
    assert_type(message.need_uri, Uri)
    assert_type(message.need_via, Via)
    assert_type(message.need_from, NameAddr)
    assert_type(message.need_to.tag, str | None)
    assert_type(message.need_cseq.num, int)
    assert_type(message.need_call_id, str)
    assert_type(message.expires, int | None)
    assert_type(message.call_id, str | None)
    assert_type(message.from_tag, str | None)
    assert_type(message.to_tag, str | None)
    assert_type(message.max_forwards, int | None)
    assert_type(message.content_length, int | None)
    assert_type(message.validate(), list[Violation])
    assert_type(message.check(), list[Violation])
    assert_type(message.to_bytes(), bytes)
    assert_type(bytes(message), bytes)
    assert_type(str(message), str)
    assert_type(message.copy(), Message)


def parts(message: Message) -> None:
    found = body_parts(message)
    assert_type(found, tuple[BodyPart, ...])
    assert_type(body_parts(found[0])[0].body, bytes)
    assert_type(found[0].get_header("Content-ID"), str | None)
    message.set_header("Content-Type", join_parts(found)[0])
    join_parts([((("Content-Type", "text/plain"),), "text"), found[0]], boundary="b")


def editing(message: Message) -> None:
    message.request_uri = "sip:bob@192.0.2.4"
    message.body = b"v=0\r\n"
    message.body = "v=0\n"
    message.set_header("Max-Forwards", 70)
    message.set_header("Subject", "Lunch")
    message.add_header("Route", NameAddr.parse("<sip:p1.example.com;lr>"))
    message.prepend_header("Via", "SIP/2.0/UDP a.example.com;branch=z9hG4bK1")
    assert_type(message.remove_header("Subject"), int)
    assert_type(message.remove_first_header("Via"), bool)
    message.push_via("SIP/2.0/UDP a.example.com;branch=z9hG4bK1")
    assert_type(message.pop_via(), str | None)
    assert_type(message.stamp_received("192.0.2.1", 5060), bool)
    assert_type(message.decrement_max_forwards(), int)
    message.push_record_route("<sip:p1.example.com;lr>")
    assert_type(message.pop_route(), str | None)
    message.set_header("Subject", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    message.method = "BYE"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def identities(message: Message, response: Message) -> None:
    assert_type(message.transaction_key(), str)
    assert_type(message.transaction_key("INVITE"), str)
    assert_type(message.dialog_id(), str | None)
    assert_type(message.dialog_id(sent=True), str | None)
    message.dialog_id(True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(message.ack(response), Message)
    assert_type(message.cancel(), Message)
    assert_type(message.route_set, tuple[NameAddr, ...])
    message.set_route("sip:a@b", response.route_set)
    message.set_route(SipUri("h"), [NameAddr("sip:p;lr")])
    message.set_route("sip:a@b", ["<sip:p;lr>"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert_type(sipstack.random_branch(), str)
    assert_type(sipstack.random_token(), str)


def building(message: Message) -> None:
    request = Message.request("OPTIONS", "sip:bob@example.com", headers={"Max-Forwards": "70"}, body=b"")
    assert_type(request, Message)
    Message.request("OPTIONS", "sip:bob@example.com", headers=[("Max-Forwards", 70), ("X", "a")])
    assert_type(Message.response(200, "OK"), Message)
    assert_type(message.reply(180, to_tag="a", headers={"Contact": "<sip:a@b>"}), Message)


def values() -> None:
    uri = parse_uri("sip:alice@example.com;transport=udp")
    assert_type(uri, Uri)
    if isinstance(uri, SipUri):
        assert_type(uri.scheme, str)
        assert_type(uri.user, str | None)
        assert_type(uri.host, str)
        assert_type(uri.port, int | None)
    via = Via.parse("SIP/2.0/UDP a.example.com;branch=z9hG4bK1;rport")
    assert_type(via, Via)
    assert_type(via.transport, str)
    assert_type(via.branch, str | None)
    assert_type(via.rport, int | None)
    address = NameAddr.parse('"Alice" <sip:alice@example.com>;tag=1')
    assert_type(address.display_name, str)
    assert_type(address.tag, str | None)
    assert_type(address.uri, Uri)
    mixed = {"reg-id": 1, "+sip.instance": "<urn:x>", "lr": None}
    NameAddr("sip:a@b", q=0.5, expires=60, params=mixed)
    SipUri("h", params=mixed, headers={"Subject": "x"})
    Via("h", params=list(mixed.items()))
    sipstack.headers.AcceptValue("de", q=1, params=mixed)
    sipstack.ContentType("application", "sdp", q=0.5)
    NameAddr("sip:a@b", q="0.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cseq = CSeq(1, "INVITE")
    assert_type(cseq.num, int)
    assert_type(cseq.method, str)


def errors(data: bytes) -> None:
    try:
        parse(data)
    except sipstack.ParseError as error:
        assert_type(error.reason, str)
        assert_type(error.offset, int)
        assert_type(error.status, int)
        broken = sipstack.read_broken(data)
        assert_type(broken, sipstack.BrokenMessage)
        assert_type(broken.get_header("Call-ID"), str | None)
    try:
        sipstack.parse_header("Via", "x")
    except sipstack.HeaderError as error:
        assert_type(error.header, str)
    except (sipstack.SerializeError, ValueError) as error:
        assert_type(str(error), str)
    except (sipstack.TransportError, sipstack.SipError) as error:
        raise RuntimeError from error


def other_values(message: Message) -> None:
    for contact in message.contacts:
        assert_type(contact, sipstack.Contact)
        if contact is not sipstack.STAR and isinstance(contact, NameAddr):
            assert_type(contact.q, float | None)
            assert_type(contact.expires, int | None)
    assert_type(message.content_type, sipstack.ContentType | None)
    number = sipstack.TelUri("+12015550123")
    assert_type(number.params, sipstack.Params)
    assert_type(number.params.get("isub"), str | None)
    assert_type(sipstack.AbsoluteUri.parse("urn:service:sos").rest, str)
    value: sipstack.HeaderValue = number
    message.set_header("X-Number", value)
    if message.via is not None:
        assert_type(message.via.response_address, tuple[str, int])
    several: sipstack.HeaderInput = ["INVITE", "ACK"]
    message.set_header("Allow", several)
    message.set_header("Allow", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    source: sipstack.HeaderSource = message.headers
    assert_type(message.headers, sipstack.Headers)
    Message.request("INVITE", "sip:a@b", headers=source)
    assert_type(sipstack.unsupported_options(message, {"timer"}), tuple[str, ...])
    assert_type(sipstack.parse_list(NameAddr, "<sip:a@b>"), tuple[NameAddr, ...])
    assert_type(sipstack.split_list("a, b"), list[str])
    assert_type(sipstack.headers.Date.parse("Sat, 13 Nov 2010 23:29:00 GMT"), sipstack.headers.Date)


def words() -> None:
    assert_type(sipstack.IMPLEMENTATION, str)
    assert_type(sipstack.__version__, str)
    assert_type(sipstack.escape_uri("a b"), str)
    assert_type(sipstack.unescape_uri("a%20b"), str)
    assert_type(sipstack.reason_phrase(200), str)
    assert_type(sipstack.methods.METHODS, tuple[str, ...])
    assert_type(sipstack.parse_cseq_num("1 INVITE"), int)
    assert_type(sipstack.parse_rack("1 1 INVITE"), RAck)
    assert_type(sipstack.with_cseq_ack("1 INVITE"), str)
    assert_type(sipstack.body_bytes_len(b""), int)


async def streams(reader: asyncio.StreamReader) -> None:
    parser = StreamParser()
    assert_type(parser.feed(b""), Iterator[Message])
    assert_type(parser.eof(), None)
    assert_type(await sipstack.read_message(reader), Message | None)
    assert_type(sipstack.read_message_from(io.BytesIO()), Message | None)
    assert_type(sipstack.is_signaling_noise_datagram(b"\r\n"), bool)
    assert_type(sipstack.is_stun(b"\r\n"), bool)


def endpoints() -> None:
    config = EndpointConfig(host="127.0.0.1", port=0, on_event=on_event, no_route_handler=later)
    config.port = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    EndpointConfig("127.0.0.1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    endpoint = Endpoint(config)

    @endpoint.handler("OPTIONS")
    def options(request: Message, addr: Address) -> Message:
        return request.reply(200)

    assert_type(options(Message.request("OPTIONS", "sip:a@b"), ("127.0.0.1", 5060)), Message)
    endpoint.register_handler("INVITE", later)
    endpoint.register_handler("ACK", nothing)
    endpoint.register_handler("INFO", lambda request, addr: (request, addr))
    endpoint.register_handler("INFO", lambda request, addr: (200, "OK"))  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]
    endpoint.register_handler("BYE", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(endpoint.listen_addr, Address | None)
    peer = sipstack.PeerAddress("192.0.2.2", 5060, ("192.0.2.1", 5060))
    assert_type(peer.local, Address)
    assert_type(endpoint.local_address(peer), Address | None)
    assert_type(endpoint.transport, DatagramTransport | None)
    assert_type(endpoint.stats, Stats)
    assert_type(endpoint.worker, int | None)
    endpoint.count("calls", 2)
    assert_type(endpoint.stats.requests, int)
    endpoint.run(workers=2)


async def later(request: Message, addr: Address) -> Message | None:
    return request.reply(486)


def nothing(request: Message, addr: Address) -> None:
    assert_type(addr, tuple[str, int])


def on_event(event: Event) -> None:
    assert_type(event.status, int)
    assert_type(event.violation, Violation | None)
    assert_type(event.type, EventType)
    assert_type(event.addr, Address | None)
    assert_type(event.request, Message | None)
    assert_type(event.request_method, str)
    assert_type(event.response_status, int)


async def receiving(endpoint: Endpoint, message: Message, writer: asyncio.StreamWriter) -> None:
    assert_type(endpoint.receive(message, ("192.0.2.1", 5060), writer.write), asyncio.Future[None])
    await endpoint.receive(b"", ("192.0.2.1", 5060), writer.write, local=("192.0.2.2", 5060))


async def serving(endpoint: Endpoint) -> None:
    async with endpoint as opened:
        assert_type(opened, Endpoint)
        await endpoint.serve()


class Memory(DatagramTransport):
    address: Address | None = None
    receiver: Receiver | None = None

    @property
    def local_address(self) -> Address | None:
        return self.address

    def open(self) -> None:
        self.address = ("192.0.2.1", 5060)

    async def start(self, receiver: Receiver) -> None:
        receiver.deliver([(b"", ("192.0.2.2", 5060))])
        receiver.fail(OSError())

    def stop(self) -> None:
        self.receiver = None

    def send(self, datagrams: list[sipstack.Datagram]) -> tuple[()]:
        return ()

    def close(self) -> None:
        self.address = None


def transports(datagram: sipstack.Datagram) -> None:
    assert_type(datagram, tuple[bytes, Address])
    transport: DatagramTransport = UDPTransport("127.0.0.1", 0)
    Endpoint(transport=transport)
    Endpoint(transport=Memory())
    handler: sipstack.Handler = later
    Endpoint().set_no_route_handler(handler)
