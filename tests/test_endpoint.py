"""The endpoint: handlers, hooks, answers and errors, over real sockets and over a transport in memory."""

import asyncio
import contextlib
import copy
import dataclasses
import errno
import functools
import gc
import json
import logging
import pickle
import socket
import sys
import threading
import time

import pytest
from loops import LOOPS
from test_transport import BATCHES, HAS_IPV6, Clogged, refusing_socket, udp_socket, use_batch

from sipstack import (
    Endpoint,
    EndpointConfig,
    Event,
    EventType,
    Message,
    ParseError,
    StreamParser,
    TransportError,
    _limited_log,
    parse,
    transport,
)  # fmt: skip
from sipstack.transport import DatagramTransport, PeerAddress, UDPTransport

SOURCE = ("127.0.0.1", 40_000)


@pytest.fixture(params=BATCHES)
def batch(request, monkeypatch):
    """Makes new transports use one of the two ways to read and write a socket."""
    use_batch(request.param, monkeypatch)


def request_bytes(method="OPTIONS", uri="sip:probe@127.0.0.1", via="127.0.0.1:5062;rport", extra=b"", **changes):
    headers = {
        "Via": f"SIP/2.0/UDP {via};branch=z9hG4bK-1",
        "Max-Forwards": "70",
        "From": "<sip:a@127.0.0.1>;tag=1",
        "To": "<sip:b@127.0.0.1>",
        "Call-ID": "call-1",
        "CSeq": f"7 {method}",
        "Content-Length": "0",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return f"{method} {uri} SIP/2.0\r\n".encode() + "\r\n".join([*lines, "", ""]).encode() + extra


def ok(request, addr):
    return request.reply(200)


class Memory(DatagramTransport):
    """A transport without a socket: what a test lets arrive is received, what is sent is kept."""

    local_address = None

    def __init__(self):
        self.receiver, self.sent, self.closed = None, [], 0
        self.refuse = ()

    def open(self):
        self.local_address = ("memory", 1)

    async def start(self, receiver):
        self.receiver = receiver

    def stop(self):
        self.receiver = None

    def send(self, datagrams):
        failures = [(*datagram, OSError(errno.EPERM, "no")) for datagram in datagrams if datagram[1] in self.refuse]
        self.sent += [datagram for datagram in datagrams if datagram[1] not in self.refuse]
        return failures

    def close(self):
        self.closed += 1
        self.local_address = None


def being_served(endpoint):
    return endpoint._serving._stopped is not None


@contextlib.asynccontextmanager
async def served(config=None, handlers=None, memory=None, **options):
    """An endpoint that is being served on a free port."""
    endpoint = Endpoint(config or EndpointConfig(**{"port": 0, **options}), transport=memory)
    for method, handler in (handlers if handlers is not None else {"OPTIONS": ok}).items():
        endpoint.register_handler(method, handler)
    async with endpoint:
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        try:
            yield endpoint
        finally:
            if not serving.done():
                serving.cancel()
            with contextlib.suppress(asyncio.CancelledError, TransportError):
                await serving


async def ask(endpoint, data, sock=None, *, host=None, seconds=30):
    """Sends a datagram and waits for one; None where nothing comes."""
    with contextlib.ExitStack() as stack:
        sock = sock or stack.enter_context(udp_socket())
        sock.setblocking(False)
        sock.sendto(data, (host or endpoint.listen_addr[0], endpoint.listen_addr[1]))
        return await hear(sock, seconds)


async def hear(sock, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            return parse(sock.recv(70_000))
        await asyncio.sleep(0.002)
    return None


async def settle(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def answers(endpoint, data, addr=SOURCE, memory=None):
    """What an endpoint sends for a datagram, without a loop and a socket."""
    memory = memory or Memory()
    endpoint._serving.attach(memory)
    endpoint._dispatcher.deliver([(data, addr)])
    return [(parse(sent), to) for sent, to in memory.sent]


def statuses(endpoint, data, addr=SOURCE):
    return [response.status_code for response, _ in answers(endpoint, data, addr)]


def received_statuses(endpoint, data):
    """The same for what came another way than over the transport."""
    out = []

    async def main():
        await endpoint.receive(data, SOURCE, out.append)

    asyncio.run(main())
    return [parse(data).status_code for data in out]


# ---------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", -1), ("port", 65_536), ("read_buf_size", 0), ("read_buf_size", 65_536), ("batch_size", 0),
     ("max_pending", -1), ("send_queue", -1), ("recv_buffer", 0), ("read_deadline", 0), ("drain_timeout", -1),
     ("max_size", 0), ("max_headers", 0), ("max_values", 0), ("max_parts", 0), ("retry_after", -1),
     ("read_deadline", float("nan")), ("answer_parse_errors", -1)],
)  # fmt: skip
def test_values_out_of_range(field, value):
    with pytest.raises(ValueError, match=field):
        EndpointConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", "5060"), ("port", True), ("port", None), ("host", None), ("host", ""), ("host", b"::"),
     ("read_deadline", "1"), ("on_event", "print"), ("no_route_handler", 5), ("schemes", "sip"), ("supported", "path")],
)  # fmt: skip
def test_values_of_a_wrong_type(field, value):
    with pytest.raises(TypeError, match=field):
        EndpointConfig(**{field: value})


def test_hooks_are_plain_functions():
    async def hook(event):
        pass

    with pytest.raises(TypeError, match="on_event is called in place"):
        EndpointConfig(on_event=hook)


def test_the_configuration_is_fixed():
    config = EndpointConfig(port=5070)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 5071
    with pytest.raises(TypeError):
        EndpointConfig("127.0.0.1")
    assert dataclasses.replace(config, host="::1").port == 5070


# ---------------------------------------------------------------- answering


def test_it_answers(run, batch):
    async def main():
        async with served() as endpoint:
            with udp_socket() as sock:
                response = await ask(endpoint, request_bytes(), sock)
                port = sock.getsockname()[1]
            assert response.status_code == 200
            assert response.via.received == "127.0.0.1"
            assert response.via.rport == port
            assert response.via.branch == "z9hG4bK-1"
            assert response.to_tag
            assert response.call_id == "call-1"
            stats = endpoint.stats
            assert (stats.datagrams, stats.requests, stats.responses, stats.sent) == (1, 1, 1, 1)
            assert stats.bytes_received == len(request_bytes())
            assert stats.bytes_sent == len(response.to_bytes())
            assert stats.requests_by_method == {"OPTIONS": 1}
            assert stats.responses_by_class == {"2xx": 1}

    run(main())


def test_a_coroutine_answers(run, batch):
    async def handler(request, addr):
        await asyncio.sleep(0.01)
        return request.reply(202)

    async def main():
        async with served(handlers={"MESSAGE": handler}) as endpoint:
            assert (await ask(endpoint, request_bytes("MESSAGE"))).status_code == 202
            assert endpoint.stats.pending == 0
            assert endpoint.stats.responses_by_class == {"2xx": 1}

    run(main())


def test_many_at_once(run, batch):
    async def slow(request, addr):
        await asyncio.sleep(0)
        return request.reply(200)

    async def main():
        async with served(handlers={"OPTIONS": ok, "MESSAGE": slow}, batch_size=8) as endpoint:
            with udp_socket() as sock:
                sock.setblocking(False)
                expected = set()
                for number in range(300):
                    method = "MESSAGE" if number % 3 else "OPTIONS"
                    sock.sendto(request_bytes(method, Call_ID=f"c{number}"), endpoint.listen_addr)
                    expected.add(f"c{number}")
                got = set()
                while got != expected:
                    got.add((await hear(sock)).call_id)
            assert endpoint.stats.requests == 300

    run(main())


def test_every_socket_gets_its_own(run, batch):
    async def main():
        async with served() as endpoint:
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(udp_socket()) for _ in range(20)]
                for number, sock in enumerate(socks):
                    sock.sendto(request_bytes(Call_ID=f"c{number}"), endpoint.listen_addr)
                for number, sock in enumerate(socks):
                    sock.setblocking(False)
                    assert (await hear(sock)).call_id == f"c{number}"

    run(main())


def test_methods_without_a_handler():
    """405 with Allow where the method is known, 501 where it is not (RFC 3261 8.2.1)."""
    endpoint = Endpoint()
    [(response, _)] = answers(endpoint, request_bytes("REGISTER"))
    assert (response.status_code, response.get_header("Allow")) == (405, "")
    endpoint.register_handler("OPTIONS", ok)
    endpoint.register_handler("PING", ok)
    [(response, _)] = answers(endpoint, request_bytes("REGISTER"))
    assert (response.status_code, response.get_header("Allow")) == (405, "OPTIONS, PING")
    [(response, _)] = answers(endpoint, request_bytes("options"))  # a method is case-sensitive (RFC 3261 7.1)
    assert (response.status_code, response.get_header("Allow")) == (501, None)
    assert statuses(endpoint, request_bytes("ACK")) == []
    assert endpoint.stats.requests_by_method == {"REGISTER": 2, "other": 1, "ACK": 1}


@pytest.mark.parametrize("answer_cancel", [True, False])
def test_allow_has_what_is_understood_without_a_handler(answer_cancel):
    """RFC 3261 20.5: all methods, ACK and CANCEL too."""
    endpoint = Endpoint(EndpointConfig(answer_cancel=answer_cancel))
    endpoint.register_handler("INVITE", ok)
    [(response, _)] = answers(endpoint, request_bytes("BYE"))
    assert response.get_header("Allow") == ("INVITE, ACK, CANCEL" if answer_cancel else "INVITE, ACK")
    endpoint.register_handler("CANCEL", ok)
    [(response, _)] = answers(endpoint, request_bytes("BYE"))
    assert sorted(response.get_header("Allow").split(", ")) == ["ACK", "CANCEL", "INVITE"]


def test_foreign_methods_are_one_counter():
    endpoint = Endpoint()
    endpoint.register_handler("PING", ok)
    for method in ("PING", *(f"X{number}" for number in range(1000))):
        statuses(endpoint, request_bytes(method))
    assert endpoint.stats.requests_by_method == {"PING": 1, "other": 1000}


def test_the_no_route_handler():
    endpoint = Endpoint(EndpointConfig(no_route_handler=lambda request, addr: request.reply(405)))
    assert statuses(endpoint, request_bytes("PING")) == [405]
    endpoint.set_no_route_handler(lambda request, addr: None)
    assert statuses(endpoint, request_bytes("REGISTER")) == []
    endpoint.set_no_route_handler(None)
    assert statuses(endpoint, request_bytes("REGISTER")) == [405]
    assert statuses(endpoint, request_bytes("PING")) == [501]
    with pytest.raises(TypeError, match="not callable"):
        endpoint.set_no_route_handler("x")


def test_registering():
    endpoint = Endpoint()

    @endpoint.handler("INFO")
    def first(request, addr):
        return request.reply(200)

    assert first(parse(request_bytes("INFO")), SOURCE).status_code == 200
    assert statuses(endpoint, request_bytes("INFO")) == [200]
    endpoint.register_handler("INFO", lambda request, addr: request.reply(480))
    assert statuses(endpoint, request_bytes("INFO")) == [480]
    assert endpoint.stats.requests_by_method == {"INFO": 2}
    endpoint.register_handler("info", ok)  # in any case
    endpoint.register_handler("Ping", ok)
    assert [statuses(endpoint, request_bytes(name)) for name in ("INFO", "info", "PING", "Ping")] == [
        [200], [501], [200], [501]]  # fmt: skip
    for method, handler in ((None, ok), ("", ok), (b"INFO", ok), ("INFO", None), ("INFO", "ok")):
        with pytest.raises(TypeError):
            endpoint.register_handler(method, handler)


def test_an_ack_has_a_handler_and_no_response():
    seen = []
    endpoint = Endpoint()
    endpoint.register_handler("ACK", lambda request, addr: seen.append(request.method) or request.reply(200))
    assert statuses(endpoint, request_bytes("ACK")) == []
    assert seen == ["ACK"]
    assert endpoint.stats.responses == 0


def test_none_is_no_answer():
    endpoint = Endpoint()
    endpoint.register_handler("INFO", lambda request, addr: None)
    assert statuses(endpoint, request_bytes("INFO")) == []


OTHER = ("192.0.2.9", 5070)


@pytest.mark.parametrize("method", ["INVITE", "ACK", "NEWER"])
def test_a_handler_passes_a_message_on(method):
    def on_request(request, addr):
        request.push_via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2")
        return request, OTHER

    left = []
    endpoint = Endpoint(EndpointConfig(no_route_handler=on_request, on_message_sent=lambda *args: left.append(args)))
    ((sent, to),) = answers(endpoint, request_bytes(method))
    assert (sent.method, len(sent.vias), to) == (method, 2, OTHER)
    assert [(message.method, addr) for message, addr in left] == [(method, OTHER)]
    assert (endpoint.stats.sent, endpoint.stats.responses, endpoint.stats.handler_errors) == (1, 0, 0)


def test_a_handler_sends_a_response_elsewhere():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", lambda request, addr: (request.reply(302), OTHER))
    ((sent, to),) = answers(endpoint, request_bytes())
    assert (sent.status_code, to, dict(endpoint.stats.responses_by_class)) == (302, OTHER, {"3xx": 1})


def test_the_hook_for_responses_passes_one_on():
    endpoint = Endpoint(EndpointConfig(on_sip_response=lambda response, addr: (response, OTHER)))
    ((sent, to),) = answers(endpoint, bytes(Message.response(180)))
    assert (sent.status_code, to) == (180, OTHER)


@pytest.mark.parametrize("other", [(), (1,), ("text", OTHER), (200, "OK"), [], 5])
def test_what_else_the_hook_for_responses_returns_is_nothing(other):
    endpoint = Endpoint(EndpointConfig(on_sip_response=lambda response, addr: other))
    assert answers(endpoint, bytes(Message.response(180))) == []
    assert endpoint.stats.hook_errors == 0


def test_a_coroutine_passes_a_message_on(go):
    async def at_once(request, addr):
        return request, OTHER

    async def later(request, addr):
        await asyncio.sleep(0)
        return request, OTHER

    async def main():
        memory = Memory()
        async with served(memory=memory, handlers={"INFO": at_once, "MESSAGE": later}) as endpoint:
            memory.receiver.deliver([(request_bytes(method), SOURCE) for method in ("INFO", "MESSAGE")])
            await settle(lambda: endpoint.stats.sent == 2)
        assert [(parse(data).method, addr) for data, addr in memory.sent] == [("INFO", OTHER), ("MESSAGE", OTHER)]

    go(main())


def test_a_message_that_is_passed_on_is_no_answer_to_dispatch(go):
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", lambda request, addr: (request, OTHER))
    assert endpoint.dispatch_request(parse(request_bytes())) is None
    assert go(endpoint.dispatch(parse(request_bytes()))) is None
    assert endpoint.stats.handler_errors == 0


def test_an_address_to_pass_on_to_that_is_none(caplog):
    with udp_socket() as sock:
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", lambda request, addr: (request, None))
        endpoint.open()
        endpoint._dispatcher.deliver([(request_bytes(), sock.getsockname())])
        assert (endpoint.stats.send_errors, endpoint.stats.handler_errors) == (1, 0)
        endpoint.close()
    assert "were not sent" in caplog.text


# ---------------------------------------------------------------- where a response goes


@pytest.mark.parametrize(
    ("via", "target"),
    [("127.0.0.1:5062;rport", ("127.0.0.1", 40_000)), ("10.0.0.1:5062;rport", ("127.0.0.1", 40_000)),
     ("127.0.0.1:5062", ("127.0.0.1", 5062)), ("10.0.0.1:5062", ("127.0.0.1", 5062)),
     ("10.0.0.1", ("127.0.0.1", 5060)), ("host.example", ("127.0.0.1", 5060)),
     ("127.0.0.1:5062;maddr=127.0.0.9", ("127.0.0.1", 5062)),
     ("127.0.0.1:5062;received=9.9.9.9", ("127.0.0.1", 5062))],
)  # fmt: skip
def test_where_a_response_goes(via, target):
    async def main():
        for handler in (ok, later):
            memory = Memory()
            async with served(handlers={"OPTIONS": handler}, memory=memory):
                memory.receiver.deliver([(request_bytes(via=via), SOURCE)])
                await settle(lambda memory=memory: memory.sent)
                assert memory.sent[0][1] == target

    async def later(request, addr):
        return request.reply(200)

    with asyncio.Runner() as runner:
        runner.run(main())


@pytest.mark.parametrize(
    "via",
    ["h;received=6.6.6.6;rport=6;received=7.7.7.7;rport=7", "<null>;received=6.6.6.6;rport=x;received=7.7.7.7;rport",
     "0398765432100;branch=;received = 6.6.6.6 ;rport; received=7.7.7.7",
     'h;x="y;received=6.6.6.6;rport=6', 'h "a\\";received=6.6.6.6;rport=6, SIP/2.0/UDP b;received=7.7.7.7',
     'h;rport;received"=6.6.6.6', 'h;x="y";z="\\";received=6.6.6.6;rport'],
)  # fmt: skip
def test_a_forged_via_that_cannot_be_read_sends_no_answer_elsewhere(via):
    """18.2.1: the sender's received is overwritten, however often it is there, and the answer goes to the source."""
    for config in (EndpointConfig(), EndpointConfig(validate=False)):
        endpoint = Endpoint(config)
        endpoint.register_handler("OPTIONS", ok)
        [(response, to)] = answers(endpoint, request_bytes(via=via))
        written = response.get_header("Via")
        assert to == SOURCE
        assert (written.count("received"), written.count("received=127.0.0.1"), written.count("rport=40000")) == (
            1,
            1,
            1,
        )
        assert "6.6.6.6" not in written
        assert "7.7.7.7" not in written


def test_maddr_when_asked_for():
    endpoint = Endpoint(EndpointConfig(use_maddr=True))
    endpoint.register_handler("OPTIONS", ok)
    for via, target in (
        ("127.0.0.1:5062;maddr=127.0.0.9;rport", ("127.0.0.9", 5062)),
        ("127.0.0.1;maddr=[::1]", ("::1", 5060)),
        ("127.0.0.1;rport", SOURCE),
    ):
        [(_, to)] = answers(endpoint, request_bytes(via=via))
        assert to == target


def test_the_handler_sees_the_stamps():
    seen = []
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", lambda request, addr: seen.append((request.via, addr)))
    statuses(endpoint, request_bytes(via="10.0.0.1:5062;rport"))
    statuses(endpoint, request_bytes(via="10.0.0.1:5062"))
    (with_rport, addr), (without, _) = seen
    assert (with_rport.received, with_rport.rport) == ("127.0.0.1", 40_000)
    assert (without.received, without.rport) == ("127.0.0.1", None)
    assert addr == SOURCE


def test_a_response_sent_later():
    sent = []
    endpoint = Endpoint(EndpointConfig(on_response_sent=lambda *args: sent.append(args)))
    kept = []
    endpoint.register_handler("INVITE", lambda request, addr: kept.append((request, addr)))
    memory = Memory()
    assert answers(endpoint, request_bytes("INVITE", via="127.0.0.1:5999"), memory=memory) == []
    [(request, addr)] = kept
    endpoint.respond(request, request.reply(180), addr)
    [(data, to)] = memory.sent
    assert to == ("127.0.0.1", 5999) == endpoint.reply_address(request, addr)
    assert parse(data).status_code == 180
    assert [(req.method, resp.status_code, to) for req, resp, to in sent] == [("INVITE", 180, to)]
    for wrong in (request, b"SIP/2.0 200 OK\r\n\r\n", None):
        with pytest.raises(TypeError, match="a response is"):
            endpoint.respond(request, wrong, addr)


# ---------------------------------------------------------------- hooks


HOOKS = ["on_datagram", "on_parse_err", "on_request", "on_response", "on_response_sent", "on_sip_response",
         "on_message_sent", "on_event", "on_read_error"]  # fmt: skip


def recorder():
    """Hooks that write down that they were called, and the list where they do."""
    calls = []

    def hook(name, *args):
        calls.append(f"event {args[0].type.value}" if name == "on_event" else name)

    return calls, {name: functools.partial(hook, name) for name in HOOKS}


def test_the_order_of_the_hooks_of_a_request():
    calls, hooks = recorder()
    endpoint = Endpoint(EndpointConfig(**hooks))
    endpoint.register_handler("OPTIONS", lambda request, addr: calls.append("handler") or request.reply(200))
    assert statuses(endpoint, request_bytes()) == [200]
    assert calls == ["on_datagram", "event datagram received", "on_request", "event request received", "handler",
                     "on_response", "on_message_sent", "event response sent", "on_response_sent"]  # fmt: skip


def test_the_order_of_the_hooks_of_other_datagrams():
    calls, hooks = recorder()
    endpoint = Endpoint(EndpointConfig(**hooks))
    assert answers(endpoint, b"\r\n\r\n") == []
    assert calls == ["on_datagram", "event datagram received", "event noise received"]
    calls.clear()
    assert answers(endpoint, b"nonsense") == []
    assert calls == ["on_datagram", "event datagram received", "on_parse_err", "event parse error"]
    calls.clear()
    assert answers(endpoint, parse(request_bytes()).reply(200).to_bytes()) == []
    assert calls == ["on_datagram", "event datagram received", "on_sip_response", "event response received"]
    stats = endpoint.stats
    assert (stats.noise, stats.parse_errors, stats.responses_received, stats.requests) == (1, 1, 1, 0)


def test_the_hooks_of_a_coroutine_of_a_rejection_and_of_an_error(go):
    calls, hooks = recorder()

    async def later(request, addr):
        calls.append("handler")
        return request.reply(200)

    def fails(request, addr):
        raise LookupError("no")

    async def main():
        memory = Memory()
        tail = ["on_response", "on_message_sent", "event response sent", "on_response_sent"]
        head = ["on_datagram", "event datagram received", "on_request", "event request received"]
        async with served(EndpointConfig(**hooks), {"INFO": later, "BYE": fails}, memory):
            for data, middle in (
                (request_bytes("INFO"), ["handler"]),
                (request_bytes("INFO", CSeq=None), ["event request rejected"]),
                (request_bytes("BYE"), ["event handler error"]),
                (request_bytes("MESSAGE"), []),
            ):
                calls.clear()
                memory.receiver.deliver([(data, SOURCE)])
                await settle(lambda: "on_response_sent" in calls)
                assert calls == [*head, *middle, *tail]

    go(main())


def test_what_events_say():
    events = []
    endpoint = Endpoint(EndpointConfig(on_event=events.append))
    endpoint.register_handler("OPTIONS", ok)
    answers(endpoint, request_bytes())
    answers(endpoint, b"nonsense")
    answers(endpoint, parse(request_bytes()).reply(404).to_bytes())
    got = {event.type: event for event in events}
    assert got[EventType.DATAGRAM_RECEIVED].addr == SOURCE
    assert got[EventType.REQUEST_RECEIVED].raw == request_bytes()
    assert got[EventType.REQUEST_RECEIVED].request_method == "OPTIONS"
    assert got[EventType.REQUEST_RECEIVED].response_status == 0
    assert got[EventType.RESPONSE_SENT].response_status == 200
    assert got[EventType.RESPONSE_SENT].request_method == "OPTIONS"
    assert got[EventType.RESPONSE_RECEIVED].response_status == 404
    assert got[EventType.RESPONSE_RECEIVED].request_method == ""
    assert isinstance(got[EventType.PARSE_ERROR].error, ParseError)
    assert got[EventType.PARSE_ERROR].raw == b"nonsense"
    assert Event(EventType.READ_ERROR) == (EventType.READ_ERROR, None, b"", None, None, None, 0, None)


def test_what_hooks_get():
    got = {}
    endpoint = Endpoint(EndpointConfig(**{name: functools.partial(got.setdefault, name) for name in ("on_event",)}))
    assert endpoint.config.on_event
    seen = []
    endpoint = Endpoint(
        EndpointConfig(
            on_datagram=lambda raw, addr: seen.append((raw, addr)),
            on_request=lambda request, addr: seen.append((request.method, addr)),
            on_response=lambda request, response, addr: response.set_header("Server", "changed"),
            on_message_sent=lambda message, addr: seen.append((message.get_header("Server"), addr)),
        )
    )
    endpoint.register_handler("OPTIONS", ok)
    [(response, _)] = answers(endpoint, request_bytes())
    assert response.get_header("Server") == "changed"
    assert seen == [(request_bytes(), SOURCE), ("OPTIONS", SOURCE), ("changed", SOURCE)]


def test_append_on_response_sent():
    calls = []
    endpoint = Endpoint(EndpointConfig(on_response_sent=lambda *args: calls.append(("first", *args)) or 1 / 0))
    endpoint.append_on_response_sent(lambda *args: calls.append(("second", *args)))
    endpoint.append_on_response_sent(lambda *args: calls.append(("third", *args)))
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes()) == [200]
    assert [name for name, *_ in calls] == ["first", "second", "third"]
    _, request, response, addr = calls[0]
    assert (request.method, response.status_code, addr) == ("OPTIONS", 200, SOURCE)
    assert endpoint.stats.hook_errors == 1
    alone = Endpoint()
    alone.append_on_response_sent(lambda *args: calls.append(("alone", *args)))
    alone.register_handler("OPTIONS", ok)
    statuses(alone, request_bytes())
    assert calls[-1][0] == "alone"
    with pytest.raises(TypeError, match="not callable"):
        alone.append_on_response_sent(None)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_fails_changes_nothing(name, caplog):
    def hook(*args):
        raise ArithmeticError("a bad hook")

    endpoint = Endpoint(EndpointConfig(**{name: hook}))
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes()) == [200]
    answers(endpoint, b"nonsense")
    answers(endpoint, parse(request_bytes()).reply(404).to_bytes())
    endpoint._serving.fail(OSError("x"))
    assert endpoint.stats.hook_errors > 0
    assert "a bad hook" in caplog.text
    assert "the hook hook failed" in caplog.text


# ---------------------------------------------------------------- handlers that fail


def test_a_handler_that_fails(run, caplog):
    def sync(request, addr):
        raise LookupError("sync trouble")

    async def later(request, addr):
        await asyncio.sleep(0)
        raise LookupError("async trouble")

    async def main():
        async with served(handlers={"INFO": sync, "MESSAGE": later, "OPTIONS": ok}) as endpoint:
            for method, text in (("INFO", "sync trouble"), ("MESSAGE", "async trouble")):
                caplog.clear()
                response = await ask(endpoint, request_bytes(method, Call_ID=f"id-of-{method}"))
                assert response.status_code == 500
                assert f"id-of-{method}" in caplog.text
                assert "Traceback" in caplog.text
                assert text in caplog.text
            assert endpoint.stats.handler_errors == 2
            assert (await ask(endpoint, request_bytes())).status_code == 200

    run(main())


def count_down(request, addr):
    request.decrement_max_forwards()
    return request.reply(200)


async def count_down_later(request, addr):
    return count_down(request, addr)


def look_at_the_uri(request, addr):
    return request.reply(200, headers={"X-Host": request.uri.host})


@pytest.mark.parametrize("handler", [count_down, count_down_later])
def test_a_malformed_value_that_a_handler_meets_is_the_senders_fault(run, handler, caplog):
    async def main():
        async with served(handlers={"OPTIONS": handler, "INFO": look_at_the_uri}) as endpoint:
            assert (await ask(endpoint, request_bytes())).status_code == 200
            assert (await ask(endpoint, request_bytes(Max_Forwards="0"))).status_code == 483
            answer = await ask(endpoint, request_bytes("INFO", "sip:b@[::"))
            assert (answer.status_code, answer.status_text) == (400, "Request-URI host is not a host name or address")
            assert endpoint.stats.rejected == 2
            assert endpoint.stats.handler_errors == 0
            assert "Traceback" not in caplog.text

    run(main())


def test_a_malformed_value_in_dispatch():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", count_down)
    assert endpoint.dispatch_request(parse(request_bytes(Max_Forwards="0"))).status_code == 483
    assert endpoint.stats.rejected == 1


@pytest.mark.parametrize(
    "wrong",
    [200, "200 OK", b"SIP/2.0 200 OK\r\n\r\n", object(), Message.request("BYE", "sip:a@b"), (200, "OK"), (),
     (Message.response(200),), (Message.response(200), "127.0.0.1", 5060), ("x", ("127.0.0.1", 5060))],
)  # fmt: skip
def test_a_handler_that_answers_something_else(wrong, caplog):
    endpoint = Endpoint()
    endpoint.register_handler("INFO", lambda request, addr: wrong)
    assert statuses(endpoint, request_bytes("INFO")) == [500]
    assert "a handler answers a response, (message, address), None or an awaitable" in caplog.text
    assert endpoint.stats.handler_errors == 1


def test_errors_that_repeat_are_logged_a_few_times(caplog, monkeypatch):
    def fails(request, addr):
        raise LookupError

    monkeypatch.setattr(_limited_log.time, "monotonic", lambda: 100.0)

    endpoint = Endpoint()
    endpoint.register_handler("INFO", fails)
    memory = Memory()
    for _ in range(1000):
        answers(endpoint, request_bytes("INFO"), memory=memory)
    assert len(memory.sent) == 1000
    assert len(caplog.records) == 5
    endpoint.close()
    assert len(caplog.records) == 6
    assert "995 more like this were not logged" in caplog.records[-1].getMessage()


def test_an_error_about_a_request_that_cannot_be_answered(caplog):
    def fails(request, addr):
        raise LookupError

    endpoint = Endpoint(EndpointConfig(validate=False))
    endpoint.register_handler("INFO", fails)
    assert answers(endpoint, b"INFO sip:a@b SIP/2.0\r\n\r\n") == []
    assert endpoint.stats.unanswerable == 1


def test_too_many_in_flight(run):
    release = None

    async def waits(request, addr):
        await release.wait()
        return request.reply(200)

    async def main():
        nonlocal release
        release = asyncio.Event()
        async with served(handlers={"INFO": waits, "OPTIONS": ok}, max_pending=2, retry_after=7) as endpoint:
            with udp_socket() as sock:
                sock.setblocking(False)
                for number in range(3):
                    sock.sendto(request_bytes("INFO", Call_ID=f"c{number}"), endpoint.listen_addr)
                response = await hear(sock)
                assert response.status_code == 503
                assert response.get_header("Retry-After") == "7"
                assert endpoint.stats.pending == 2
                assert endpoint.stats.overloaded == 1
                assert (await ask(endpoint, request_bytes())).status_code == 200  # others are not in its way
                release.set()
                assert {(await hear(sock)).status_code, (await hear(sock)).status_code} == {200}
                assert (await ask(endpoint, request_bytes("INFO"))).status_code == 200
            assert endpoint.stats.pending == 0

    run(main())


def test_a_coroutine_without_a_loop_is_overload_too():
    async def never(request, addr):
        raise AssertionError

    endpoint = Endpoint()
    endpoint.register_handler("INFO", never)
    assert statuses(endpoint, request_bytes("INFO")) == [503]


# ---------------------------------------------------------------- judging requests


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"CSeq": None}, 400), ({"CSeq": "7 INVITE"}, 400), ({"Call_ID": None}, 400), ({"From": None}, 400),
     ({"To": None}, 400), ({"uri": "http://example.com"}, 416), ({"Require": "nothing-we-know"}, 420)],
)  # fmt: skip
@pytest.mark.parametrize("watched", [False, True])
def test_what_is_answered_without_a_handler(changes, status, watched):
    hooks = {"on_request": lambda request, addr: None} if watched else {}
    endpoint = Endpoint(EndpointConfig(**hooks))
    endpoint.register_handler("OPTIONS", ok)
    [(response, to)] = answers(endpoint, request_bytes(**changes))
    assert response.status_code == status
    assert to == SOURCE
    if status == 420:
        assert response.get_header("Unsupported") == "nothing-we-know"
    assert endpoint.stats.rejected == 1
    assert endpoint.stats.requests == 1


def test_a_version_that_is_not_ours():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes().replace(b" SIP/2.0\r\n", b" SIP/7.0\r\n", 1)) == [505]


def test_too_many_hops():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes(Max_Forwards="256")) in ([400], [483])
    assert statuses(endpoint, request_bytes(Max_Forwards="0")) in ([200], [483])


def test_an_ack_is_never_answered_whatever_is_wrong():
    endpoint = Endpoint()
    endpoint.register_handler("ACK", lambda request, addr: 1 / 0)
    for changes in ({}, {"CSeq": None}, {"uri": "http://example.com"}, {"Require": "x"}, {"To": None}):
        assert statuses(endpoint, request_bytes("ACK", **changes)) == []


def test_nothing_to_answer_to():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes().replace(b"Via:", b"X-Via:")) == []
    stats = endpoint.stats
    assert (stats.rejected, stats.unanswerable) == (1, 1)


def test_raw():
    endpoint = Endpoint(EndpointConfig(validate=False))
    seen = []
    endpoint.register_handler("OPTIONS", lambda request, addr: seen.append(request) or request.reply(200))
    for changes in ({"CSeq": None}, {"uri": "http://example.com"}, {"Require": "x"}):
        assert statuses(endpoint, request_bytes(**changes)) == [200]
    assert len(seen) == 3
    assert endpoint.stats.rejected == 0


def test_what_is_supported():
    for supported, required, expected in (
        (("100rel", "Path"), "100REL , path", [200]),
        (("100rel",), "100rel, path", [420]),
        ((), "100rel", [420]),
        (None, "anything", [200]),
    ):
        endpoint = Endpoint(EndpointConfig(supported=supported))
        for method in ("OPTIONS", "CANCEL"):
            endpoint.register_handler(method, ok)
        assert statuses(endpoint, request_bytes(Require=required)) == expected
        assert statuses(endpoint, request_bytes("CANCEL", Require=required)) == [200]


def test_which_schemes():
    endpoint = Endpoint(EndpointConfig(schemes=["sip", "urn"]))
    endpoint.register_handler("OPTIONS", ok)
    assert [statuses(endpoint, request_bytes(uri=uri)) for uri in ("SIP:a@b", "urn:x:y", "sips:a@b", "tel:+1")] == [
        [200], [200], [416], [416]]  # fmt: skip


@pytest.mark.parametrize("uri", ["SIP:a@b", "urn:x:y", "sips:a@b", "tel:+1", "<sip:a@b>", "sip", "1:a", "*"])
@pytest.mark.parametrize("schemes", [("sip", "URN"), ("sip", "sips", "tel")])
def test_schemes_are_judged_as_validate_does(uri, schemes):
    endpoint = Endpoint(EndpointConfig(schemes=schemes))
    endpoint.register_handler("OPTIONS", ok)
    [(response, _)] = answers(endpoint, request_bytes(uri=uri))
    found = parse(request_bytes(uri=uri)).validate(schemes=schemes)
    assert [(one.header, one.status) for one in found] == (
        [] if response.status_code == 200 else [("Request-URI", response.status_code)]
    )
    assert (response.status_code == 400) == (":" not in uri or uri[0] in "<1")
    if response.status_code == 400:
        assert response.status_text == "Request-URI URI has no scheme"


@pytest.mark.parametrize("way", [statuses, received_statuses])
def test_limits_of_the_values_that_validate_reads(way):
    many = request_bytes(Require=",".join(["path"] * 129))
    words = request_bytes(Require=" ".join(["path"] * 514))
    for settings, data, status in [
        ({}, many, 513), ({"max_values": 129}, many, 200), ({"max_values": 128}, many, 513),
        ({"max_values": 1}, request_bytes(Require="path"), 200),
        ({"max_values": 1}, request_bytes(Require="path,"), 513),
        ({}, words, 513), ({"max_parts": 513}, words, 400), ({"max_parts": 512}, words, 513),
        ({"max_values": 1, "validate": False}, many, 200), ({"max_values": 1, "supported": None}, many, 200),
    ]:  # fmt: skip
        endpoint = Endpoint(EndpointConfig(**{"supported": ["path"], **settings}))
        endpoint.register_handler("OPTIONS", ok)
        assert way(endpoint, data) == [status], (settings, data[:40])


def test_limits_of_a_message():
    endpoint = Endpoint(EndpointConfig(max_headers=8, max_size=400, answer_parse_errors=0))
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, request_bytes()) == [200]
    assert statuses(endpoint, request_bytes(A="1", B="2")) == []
    assert statuses(endpoint, request_bytes(A="x" * 300)) == []
    assert endpoint.stats.parse_errors == 2


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b"jaK", b"\0\1\0\0\x21\x12\xa4\x42" + b"x" * 12]
)
def test_noise_is_counted_and_shown(data):
    errors, events = [], []
    endpoint = Endpoint(EndpointConfig(on_parse_err=lambda *args: errors.append(args), on_event=events.append))
    assert answers(endpoint, data) == []
    assert not errors
    assert events == [Event(EventType.DATAGRAM_RECEIVED, SOURCE, data), Event(EventType.NOISE_RECEIVED, SOURCE, data)]
    assert endpoint.stats.noise == 1
    assert endpoint.stats.parse_errors == 0


def test_empty_lines_before_a_message():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    assert statuses(endpoint, b"\r\n\r\n" + request_bytes()) == [200]


# ---------------------------------------------------------------- without a socket


def test_dispatch_request():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    request = parse(request_bytes())
    assert endpoint.dispatch_request(request).status_code == 200
    assert endpoint.dispatch_request(request, SOURCE).status_code == 200
    assert endpoint.dispatch_request(parse(request_bytes("REGISTER"))).status_code == 405
    assert endpoint.dispatch_request(parse(request_bytes("ACK"))) is None
    assert endpoint.stats.requests_by_method == {"OPTIONS": 2, "REGISTER": 1, "ACK": 1}
    endpoint.register_handler("INFO", lambda request, addr: 1 / 0)
    endpoint.register_handler("BYE", lambda request, addr: "200")
    endpoint.register_handler("PUBLISH", lambda request, addr: None)
    assert endpoint.dispatch_request(parse(request_bytes("INFO"))).status_code == 500
    assert endpoint.dispatch_request(parse(request_bytes("BYE"))).status_code == 500
    assert endpoint.dispatch_request(parse(request_bytes("PUBLISH"))) is None
    assert endpoint.stats.handler_errors == 2
    for wrong in (request.reply(200), request_bytes(), None):
        with pytest.raises(TypeError, match="dispatch needs a request"):
            endpoint.dispatch_request(wrong)


def test_dispatch_of_coroutines(go):
    async def later(request, addr):
        return request.reply(200)

    async def fails(request, addr):
        raise LookupError

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("INFO", later)
        endpoint.register_handler("BYE", fails)
        assert (await endpoint.dispatch(parse(request_bytes()))).status_code == 200
        assert (await endpoint.dispatch(parse(request_bytes("INFO")))).status_code == 200
        assert (await endpoint.dispatch(parse(request_bytes("BYE")))).status_code == 500
        with pytest.raises(RuntimeError, match="await dispatch"):
            endpoint.dispatch_request(parse(request_bytes("INFO")))

    go(main())


def test_invoke_on_sip_response():
    got = []
    endpoint = Endpoint(EndpointConfig(on_sip_response=lambda *args: got.append(args)))
    response = Message.response(180)
    endpoint.invoke_on_sip_response(response, SOURCE)
    endpoint.invoke_on_sip_response(response)
    Endpoint().invoke_on_sip_response(response)
    assert got == [(response, SOURCE), (response, ("", 0))]


# ---------------------------------------------------------------- a transport in memory


def test_a_transport_of_the_callers(run):
    async def main():
        memory = Memory()
        async with served(memory=memory, config=EndpointConfig(read_deadline=0.01)) as endpoint:
            assert endpoint.transport is memory
            assert endpoint.listen_addr == ("memory", 1)
            memory.receiver.deliver([(request_bytes(), SOURCE), (b"nonsense", SOURCE)])
            await settle(lambda: memory.sent)
            [(data, addr)] = memory.sent
            assert (parse(data).status_code, addr) == (200, SOURCE)
            stats = endpoint.stats
            assert (stats.datagrams, stats.requests, stats.parse_errors, stats.sent) == (2, 1, 1, 1)
            assert stats.bytes_received == len(request_bytes()) + 8
            assert stats.bytes_sent == len(data)
        assert memory.closed == 1
        assert endpoint.listen_addr is None
        assert endpoint.transport is None

    run(main())


@pytest.mark.parametrize("error", [OSError(5, "broken"), TransportError(5, "broken"), ValueError("broken")])
def test_a_transport_that_fails_ends_serve(go, error):
    async def main():
        memory, errors, events = Memory(), [], []
        endpoint = Endpoint(EndpointConfig(on_read_error=errors.append, on_event=events.append), transport=memory)
        endpoint.open()
        asyncio.get_running_loop().call_soon(lambda: memory.receiver.fail(error))
        with pytest.raises(TransportError, match="broken") as caught:
            await endpoint.serve()
        assert len(errors) == 1
        assert memory.receiver is None
        assert error in (caught.value, caught.value.__cause__)
        assert [event.type for event in events] == [EventType.READ_ERROR]
        endpoint.register_handler("OPTIONS", ok)
        serving = asyncio.ensure_future(endpoint.serve())  # it is still open, and may be served again
        await settle(lambda: memory.receiver)
        memory.receiver.deliver([(request_bytes(), SOURCE)])
        await settle(lambda: memory.sent)
        endpoint.close()
        await serving

    go(main())


def test_a_transport_that_cannot_send(go):
    async def main():
        memory, sent, events = Memory(), [], []
        memory.refuse = [SOURCE]
        config = EndpointConfig(on_message_sent=lambda *args: sent.append(args), on_event=events.append)
        async with served(config, memory=memory) as endpoint:
            memory.receiver.deliver([(request_bytes(), SOURCE), (request_bytes(), ("127.0.0.1", 5))])
            await settle(lambda: memory.sent)
            assert [addr for _, addr in sent] == [("127.0.0.1", 5)]
            [failed] = [event for event in events if event.type is EventType.SEND_ERROR]
            assert failed.addr == SOURCE
            assert failed.error.errno == errno.EPERM
            stats = endpoint.stats
            assert (stats.responses, stats.sent, stats.send_errors) == (2, 1, 1)
            with pytest.raises(OSError, match="no"):
                endpoint.send(b"x", SOURCE)
            memory.send = None
            with pytest.raises(TypeError):
                endpoint.send(b"x", SOURCE)

    go(main())


def test_a_transport_that_has_no_room_drops(go):
    class Full(Memory):
        def send(self, datagrams):
            return [(*datagrams[0], BlockingIOError(errno.EAGAIN, "full"))]

    async def main():
        events = []
        memory = Full()
        async with served(EndpointConfig(on_event=events.append), memory=memory) as endpoint:
            memory.receiver.deliver([(request_bytes(), SOURCE), (request_bytes(), ("127.0.0.1", 5))])
            assert EventType.SEND_DROPPED in [event.type for event in events]
            stats = endpoint.stats
            assert (stats.responses, stats.sent, stats.queue_drops, stats.send_errors) == (2, 1, 1, 0)

    go(main())


@pytest.mark.parametrize("names", [(), ("datagrams", "bytes_received"), ("sent", "bytes_sent", "kernel_drops", "x")])
def test_what_a_transport_counts_itself_is_not_counted_twice(go, names):
    class Counting(Memory):
        def counters(self):
            return dict.fromkeys(names, 1000)

    async def main():
        memory = Counting()
        endpoint = Endpoint(transport=memory)
        endpoint.register_handler("OPTIONS", ok)
        for _ in range(2):  # it is opened twice, and what it had counted before is none of this endpoint's
            endpoint.open()
            serving = asyncio.ensure_future(endpoint.serve())
            await settle(lambda: memory.receiver)
            memory.receiver.deliver([(request_bytes(), SOURCE)])
            endpoint.close()
            await serving
        stats = endpoint.stats
        assert stats.datagrams == (0 if "datagrams" in names else 2)
        assert stats.sent == (0 if "sent" in names else 2)
        assert stats.bytes_received == (0 if "datagrams" in names else 2 * len(request_bytes()))
        assert (stats.requests, stats.responses, stats.kernel_drops) == (2, 2, 0)

    go(main())


def test_a_socket_that_is_opened_again_counts_on(go):
    async def main():
        transport = UDPTransport("127.0.0.1", 0)
        endpoint = Endpoint(transport=transport)
        endpoint.register_handler("OPTIONS", ok)
        for _ in range(2):
            async with endpoint:
                serving = asyncio.ensure_future(endpoint.serve())
                assert (await ask(endpoint, request_bytes())).status_code == 200
            await serving
        stats = endpoint.stats
        assert (stats.datagrams, stats.requests, stats.responses, stats.sent) == (2, 2, 2, 2)

    go(main())


def test_a_transport_that_delivers_while_it_sends(go):
    """What answers have answers of their own is not lost."""

    class Echo(Memory):
        def send(self, datagrams):
            self.sent += datagrams
            if len(self.sent) < 4:
                self.receiver.deliver([(request_bytes(Call_ID=f"c{len(self.sent)}"), SOURCE)])
            return ()

    async def main():
        memory = Echo()
        async with served(memory=memory) as endpoint:
            memory.receiver.deliver([(request_bytes(Call_ID="c0"), SOURCE)])
            assert [parse(data).call_id for data, _ in memory.sent] == ["c0", "c1", "c2", "c3"]
            assert endpoint.stats.sent == 4

    go(main())


# ---------------------------------------------------------------- addresses


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_ipv6(run, batch):
    async def main():
        async with served(host="::1") as endpoint:
            with udp_socket("::1", socket.AF_INET6) as sock:
                response = await ask(endpoint, request_bytes(via="[::1]:5062;rport"), sock)
                assert response.via.received == "::1"
                assert response.via.rport == sock.getsockname()[1]
                response = await ask(endpoint, request_bytes(via=f"[2001:db8::1]:{sock.getsockname()[1]}"), sock)
                assert response.via.received == "::1"

    run(main())


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux says which address a datagram came to")
WILDCARD_HOSTS = ["0.0.0.0", pytest.param("::", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here"))]


def heard_from(sock, data, target):
    """Sends a request, and returns the response and the address that it came from."""
    sock.sendto(data, target)
    data, addr = sock.recvfrom(70_000)
    return parse(data), addr


def answering(kind, told):
    """A handler that answers in one of several ways, and notes the address of ours that it was asked at."""

    def at_once(endpoint, request, addr):
        told.append(endpoint.local_address(addr))
        response = request.reply(200)
        if kind == "returned":
            return response
        if kind == "respond":
            endpoint.respond(request, response, addr)
        elif kind == "send":
            endpoint.send(response, addr)
        else:
            threading.Thread(target=endpoint.respond, args=(request, response, addr)).start()
        return None

    async def later(endpoint, request, addr):
        told.append(endpoint.local_address(addr))
        await asyncio.sleep(0.01)
        return request.reply(200)

    return later if kind == "coroutine" else at_once


@needs_linux
@pytest.mark.parametrize("host", WILDCARD_HOSTS)
@pytest.mark.parametrize("rport", [";rport", ""])
@pytest.mark.parametrize("kind", ["returned", "coroutine", "respond", "send", "unreadable", "from a thread"])
@pytest.mark.parametrize("loop", sorted(LOOPS.keys() - {"no_reader"}))
def test_an_answer_leaves_from_the_address_that_was_asked(loop, batch, host, rport, kind):
    """RFC 3581 4, 18.2.2: on a wildcard address, at once and later."""
    told = []

    async def main():
        async with served(host=host, handlers={}) as endpoint:
            endpoint.register_handler("INFO", functools.partial(answering(kind, told), endpoint))
            port = endpoint.listen_addr[1]
            targets = [("127.0.0.2", port), ("127.0.0.1", port)] * 2
            with udp_socket() as sock:
                data = request_bytes("INFO", via=f"127.0.0.1:{sock.getsockname()[1]}{rport}", Subject="x" * 50)
                if kind == "unreadable":
                    data = data.replace(b"Content-Length: 0", b"Content-Length: 5")
                for target in targets:
                    response, came_from = await asyncio.to_thread(heard_from, sock, data, target)
                    assert response.status_code == (400 if kind == "unreadable" else 200)
                    assert came_from == target
            assert told == ([] if kind == "unreadable" else targets)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_a_loop_that_cannot_watch_does_not_say_which_address(batch):
    """asyncio's own transport reads there, and does not ask the kernel; it answers all the same."""
    told = []

    async def main():
        async with served(host="0.0.0.0", handlers={}) as endpoint:
            endpoint.register_handler("INFO", functools.partial(answering("returned", told), endpoint))
            assert (await ask(endpoint, request_bytes("INFO"), host="127.0.0.1")).status_code == 200
            assert told == [None]

    with asyncio.Runner(loop_factory=LOOPS["no_reader"]) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_which_of_our_addresses(go):
    async def main():
        seen = []
        async with served(handlers={"OPTIONS": lambda request, addr: seen.append(addr)}) as endpoint:
            with udp_socket() as sock:
                sock.sendto(request_bytes(), endpoint.listen_addr)
                await settle(lambda: seen)
            assert [type(addr) for addr in seen] == [tuple]  # with one address there is nothing to say or to pay
            assert endpoint.local_address(seen[0]) == endpoint.listen_addr
        assert endpoint.local_address(seen[0]) is None
        async with served(host="0.0.0.0") as endpoint:
            assert endpoint.local_address(("192.0.2.1", 5060)) is None
            assert endpoint.local_address(PeerAddress("192.0.2.1", 5060, SOURCE)) == SOURCE

    go(main())


def test_a_response_to_another_port_of_the_source_keeps_our_address():
    endpoint = Endpoint()
    request = parse(request_bytes(via="192.0.2.9:5070"))
    addr = PeerAddress("192.0.2.9", 40_000, ("192.0.2.1", 5060))
    target = endpoint.reply_address(request, addr)
    assert (target, target.local) == (("192.0.2.9", 5070), addr.local)
    assert endpoint.reply_address(request, ("192.0.2.9", 5070)) == ("192.0.2.9", 5070)
    assert type(endpoint.reply_address(request, ("192.0.2.9", 40_000))) is tuple


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_dual_stack(run, batch):
    async def main():
        async with served(host="::") as endpoint:
            assert endpoint.listen_addr[0] == "::"
            response = await ask(endpoint, request_bytes(), host="127.0.0.1")
            assert response.via.received == "127.0.0.1"
            with udp_socket("::1", socket.AF_INET6) as sock:
                response = await ask(endpoint, request_bytes(via="[::1]:5062;rport"), sock, host="::1")
            assert response.via.received == "::1"

    run(main())


# ---------------------------------------------------------------- opening and closing


def test_open_and_close():
    endpoint = Endpoint(EndpointConfig(port=0))
    assert endpoint.listen_addr is None
    assert endpoint.transport is None
    endpoint.close()
    endpoint.open()
    assert endpoint.listen_addr[1] > 0
    assert isinstance(endpoint.transport, UDPTransport)
    with pytest.raises(RuntimeError, match="open already"):
        endpoint.open()
    endpoint.close()
    endpoint.close()
    endpoint.open()
    endpoint.close()


def test_an_address_in_use():
    with udp_socket() as sock:
        port = sock.getsockname()[1]
        with pytest.raises(TransportError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            Endpoint(EndpointConfig(port=port)).open()
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("how", ["close", "aclose", "a thread", "before the call", "block"])
def test_close_before_serve_has_begun_wins(run, how):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        if how == "block":
            async with endpoint:
                serving = asyncio.ensure_future(endpoint.serve())
        elif how == "before the call":
            endpoint.open()
            endpoint.close()
            serving = asyncio.ensure_future(endpoint.serve())
        else:
            serving = asyncio.ensure_future(endpoint.serve())
            if how == "close":
                endpoint.close()
            elif how == "aclose":
                await endpoint.aclose()
            else:
                thread = threading.Thread(target=endpoint.close)
                thread.start()
                thread.join()
        await asyncio.wait_for(serving, 5)
        assert endpoint.listen_addr is None
        endpoint.open()  # begins anew
        serving = asyncio.ensure_future(endpoint.serve())
        await asyncio.sleep(0.01)
        assert not serving.done()
        endpoint.close()
        await serving

    run(main())


def test_a_serve_in_a_block_that_is_cancelled_does_not_end_the_block(run):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", ok)
        async with endpoint:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(endpoint.serve(), 0.01)
                with udp_socket() as sock:
                    sock.setblocking(False)
                    sock.sendto(request_bytes(), endpoint.listen_addr)
                    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 4000), 30)
                    assert parse(answer).status_code == 200
            serving = asyncio.ensure_future(endpoint.serve())
            await asyncio.sleep(0)
            endpoint.close()
            await serving
        assert endpoint.listen_addr is None

    run(main())


@pytest.mark.parametrize("how", ["fails", "is cancelled", "was open"])
def test_a_block_that_cannot_begin_leaves_nothing_open(go, how):
    class Stuck(Memory):
        async def start(self, receiver):
            if how == "is cancelled":
                await asyncio.sleep(1000)
            raise OSError(5, "stuck")

    async def main():
        memory = Stuck()
        endpoint = Endpoint(transport=memory)
        if how == "was open":
            endpoint.open()
        with pytest.raises(TimeoutError if how == "is cancelled" else OSError):
            await asyncio.wait_for(endpoint.__aenter__(), 0.01)
        assert memory.closed == (how != "was open")
        assert (endpoint.transport is None) == (how != "was open")
        endpoint.close()
        assert memory.closed == 1

    go(main())


@pytest.mark.usefixtures("hasty")
def test_threads_that_close_at_one_moment():
    """Where no loop serves each does it by itself."""
    failures = []

    def close(endpoint, barrier):
        barrier.wait()
        try:
            endpoint.close()
        except Exception as error:
            failures.append(error)

    for _ in range(100):
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.open()
        endpoint.send(b"x", endpoint.listen_addr)
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=close, args=(endpoint, barrier)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert endpoint.listen_addr is None
        assert endpoint.stats.sent == 1
    assert not failures


@pytest.mark.parametrize("name", ["stop", "close"])
def test_a_transport_that_fails_at_its_end_is_given_back(go, name):
    def broken():
        memory.closed += name == "close"
        raise LookupError(name)

    memory = Memory()

    async def main():
        endpoint = Endpoint(transport=memory)
        with pytest.raises(LookupError, match=name):
            async with endpoint:
                setattr(memory, name, broken)
        assert (endpoint.transport, memory.closed) == (None, 1)
        delattr(memory, name)
        async with endpoint:  # begins anew
            pass

    go(main())


def test_a_run_that_is_closed_before_it_began_returns():
    endpoint = Endpoint(EndpointConfig(port=0))
    endpoint.close()
    thread = threading.Thread(target=endpoint.run)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def test_run_inside_a_running_loop_names_serve(recwarn):
    async def main():
        with pytest.raises(RuntimeError, match=r"await endpoint\.serve"):
            Endpoint(EndpointConfig(port=0)).run(beside=main)
        with pytest.raises(RuntimeError, match=r"await endpoint\.serve"):
            Endpoint(EndpointConfig(port=0)).run(workers=2)

    asyncio.run(main())
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_block_serves(run, batch):
    async def later(request, addr):
        await asyncio.sleep(0.05)
        return request.reply(202)

    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("INFO", later)
        for _ in range(2):
            async with endpoint as same:
                assert same is endpoint
                assert (await ask(endpoint, request_bytes())).status_code == 200
                with pytest.raises(RuntimeError, match="served already"):
                    await endpoint.__aenter__()
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sock.sendto(request_bytes("INFO"), endpoint.listen_addr)
            sock.setblocking(False)
            assert (await hear(sock)).status_code == 202  # its end drains
            sock.close()
            assert endpoint.listen_addr is None

    run(main())


def test_serve_inside_a_block_waits_with_it(run):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", ok)
        async with endpoint:
            asyncio.get_running_loop().call_later(0.01, endpoint.close)
            await endpoint.serve()
        async with endpoint:
            serving = asyncio.ensure_future(endpoint.serve())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="served already"):
                await endpoint.serve()
            assert (await ask(endpoint, request_bytes())).status_code == 200
        await serving

    run(main())


def test_a_transport_that_fails_ends_the_block(run):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0, read_deadline=0.02))
        with pytest.raises(TransportError, match="cannot read"):  # noqa: PT012
            async with endpoint:
                await asyncio.sleep(0.01)  # libuv aborts the process where it has not even seen the descriptor
                endpoint.transport.sock.close()
                await asyncio.sleep(10)
        with pytest.raises(TransportError, match="broken"):  # also where the block ends before it hears of it
            async with endpoint:
                endpoint._serving.fail(TransportError(5, "broken"))
        with pytest.raises(LookupError):  # noqa: PT012
            async with endpoint:
                endpoint._serving.fail(TransportError(5, "broken"))
                raise LookupError
        with pytest.raises(TransportError, match="broken"):  # noqa: PT012
            async with endpoint:
                asyncio.get_running_loop().call_soon(endpoint._serving.fail, TransportError(5, "broken"))
                await endpoint.serve()
        await asyncio.sleep(0)  # nobody is cancelled any more
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_a_block_that_somebody_cancels_is_cancelled_also_when_the_transport_fails(run):
    async def body(endpoint):
        async with endpoint:
            task = asyncio.current_task()
            endpoint._serving.fail(TransportError(5, "broken"))
            task.cancel()
            await asyncio.sleep(10)

    async def main():
        task = asyncio.ensure_future(body(Endpoint(EndpointConfig(port=0))))
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_close_during_serve(run):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        with pytest.raises(RuntimeError, match="served already"):
            await endpoint.serve()
        asyncio.get_running_loop().call_later(0.01, endpoint.close)
        assert await serving is None
        assert endpoint.listen_addr is None

    run(main())


def test_close_from_another_thread(run):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        await asyncio.to_thread(endpoint.close)
        assert await serving is None
        await asyncio.to_thread(endpoint.close)

    run(main())


def test_a_cancelled_aclose_closes(run):
    async def main():
        async def never(request, addr):
            await asyncio.Event().wait()

        endpoint = Endpoint(EndpointConfig(port=0, drain_timeout=60))
        endpoint.register_handler("OPTIONS", never)
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: endpoint.listen_addr is not None)
        with udp_socket() as sock:
            sock.sendto(request_bytes(), endpoint.listen_addr)
            await settle(lambda: endpoint.stats.pending == 1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(endpoint.aclose(), 0.05)
        assert endpoint.listen_addr is None
        await serving
        await settle(lambda: endpoint.stats.pending == 0)

    run(main())


def test_a_task_factory_whose_tasks_are_over_at_once():
    class Done(asyncio.Task):
        """As with Python 3.12's eager_task_factory: the coroutine has ended before anybody sees its task."""

        def __init__(self, coroutine, **options):
            with pytest.raises(StopIteration):
                coroutine.send(None)
            super().__init__(asyncio.sleep(0), **options)

        def done(self):
            return True

    async def handler(request, addr):
        return request.reply(200)

    async def main():
        async with served(handlers={"OPTIONS": handler}) as endpoint:
            asyncio.get_running_loop().set_task_factory(lambda loop, it, **options: Done(it, loop=loop, **options))
            with udp_socket() as sock:
                sock.sendto(request_bytes(), endpoint.listen_addr)
                await settle(lambda: endpoint.stats.sent == 1)
            asyncio.get_running_loop().set_task_factory(None)
            assert endpoint.stats.pending == 0

    asyncio.run(main())


def test_close_in_a_handler(run, batch):
    def last(request, addr):
        endpoint.close()
        return request.reply(200)

    async def main():
        nonlocal endpoint
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("BYE", last)
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        with udp_socket() as sock:
            for method in ("OPTIONS", "BYE", "OPTIONS"):
                sock.sendto(request_bytes(method), endpoint.listen_addr)
            assert await serving is None
            sock.setblocking(False)
            assert (await hear(sock)).status_code == 200

    endpoint = None
    run(main())


def test_close_cancels_what_is_in_flight(run):
    ended = []

    async def waits(request, addr):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(request.call_id)

    async def main():
        async with served(handlers={"INFO": waits}) as endpoint:
            with udp_socket() as sock:
                sock.sendto(request_bytes("INFO"), endpoint.listen_addr)
                await settle(lambda: endpoint.stats.pending)
            endpoint.close()
            await settle(lambda: ended)

    run(main())


def test_cancelling(run, batch):
    async def main():
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.open()
        serving = asyncio.ensure_future(endpoint.serve())
        assert (await ask(endpoint, request_bytes())).status_code == 200
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert endpoint.listen_addr
        assert await ask(endpoint, request_bytes(), seconds=0.05) is None
        serving = asyncio.ensure_future(endpoint.serve())
        assert (await ask(endpoint, request_bytes())).status_code == 200
        await endpoint.aclose()
        await serving
        assert endpoint.stats.requests == 3  # the one in between waited in the socket

    run(main())


def test_aclose_answers_what_was_received(run, batch):
    async def slow(request, addr):
        await asyncio.sleep(0.1)
        return request.reply(200)

    async def main():
        endpoint = Endpoint(EndpointConfig(port=0, batch_size=8, drain_timeout=60))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("INFO", slow)
        endpoint.open()
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        with udp_socket() as sock:
            for number in range(100):
                sock.sendto(request_bytes("INFO" if number % 10 == 0 else "OPTIONS"), endpoint.listen_addr)
            await endpoint.aclose()
            await serving
            sock.setblocking(False)
            for _ in range(100):
                assert (await hear(sock)).status_code == 200
        assert endpoint.stats.requests == endpoint.stats.sent == 100
        assert endpoint.stats.pending == 0

    run(main())


def test_aclose_does_not_wait_for_ever(go, caplog):
    async def waits(request, addr):
        await asyncio.Event().wait()

    async def main():
        async with served(handlers={"INFO": waits}, drain_timeout=0.1) as endpoint:
            with udp_socket() as sock:
                sock.sendto(request_bytes("INFO"), endpoint.listen_addr)
                await settle(lambda: endpoint.stats.pending)
            await endpoint.aclose()
            assert endpoint.stats.pending == 0
            assert "1 handlers did not end in 0.1 s" in caplog.text

    go(main())


def test_a_closed_socket_underneath_ends_serve(run):
    async def main():
        errors = []
        endpoint = Endpoint(EndpointConfig(port=0, read_deadline=0.02, on_read_error=errors.append))
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        endpoint.transport.sock.close()
        with pytest.raises(TransportError, match="cannot read") as caught:
            await serving
        assert caught.value.errno == errno.EBADF
        assert isinstance(caught.value.__cause__, OSError)
        assert len(errors) == 1
        for _ in range(2):
            with pytest.raises(TransportError, match="somebody closed the socket"):
                await endpoint.serve()
        endpoint.close()
        endpoint.open()  # a new one
        endpoint.close()

    run(main())


def test_run_in_a_thread_returns_when_closed():
    endpoint = Endpoint(EndpointConfig(port=0))
    endpoint.register_handler("OPTIONS", ok)
    reports = []
    thread = threading.Thread(target=endpoint.run, kwargs={"on_stats": reports.append, "stats_interval": 0.01})
    thread.start()
    asyncio.run(settle(lambda: reports))
    with udp_socket() as sock:
        sock.sendto(request_bytes(), endpoint.listen_addr)
        assert parse(sock.recv(4000)).status_code == 200
    asyncio.run(settle(lambda: len(reports) >= 2))
    endpoint.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(reports) >= 3
    assert reports[0].requests == 0
    assert reports[-1].requests == 1


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_how_many_workers(workers):
    with pytest.raises(ValueError, match="workers is a positive int"):
        Endpoint().run(workers=workers)


def test_workers_that_cannot_be():
    with pytest.raises(ValueError, match="a transport was given"):
        Endpoint(transport=Memory()).run(workers=2)
    endpoint = Endpoint(EndpointConfig(port=0))
    endpoint.open()
    with pytest.raises(RuntimeError, match="open already"):
        endpoint.run(workers=2)
    endpoint.close()


# ---------------------------------------------------------------- sending


def test_send(run, batch):
    async def main():
        sent, events = [], []
        config = EndpointConfig(port=0, on_message_sent=lambda *args: sent.append(args), on_event=events.append)
        async with served(config) as endpoint:
            with udp_socket() as sock:
                sock.setblocking(False)
                request = Message.request("OPTIONS", "sip:a@b", headers={"Call-ID": "mine"})
                endpoint.send(request, sock.getsockname())
                assert (await hear(sock)).call_id == "mine"
                response = parse(request_bytes()).reply(200)
                endpoint.send(response, sock.getsockname())
                assert (await hear(sock)).status_code == 200
                endpoint.send(b"SIP/2.0 100 Trying\r\n\r\n", sock.getsockname())
                assert (await hear(sock)).status_code == 100
                addr = sock.getsockname()
            assert sent == [(request, addr), (response, addr)]
            assert [event.type for event in events] == [EventType.MESSAGE_SENT] * 2
            assert events[0].request is request
            assert events[1].response is response
            assert endpoint.stats.sent == 3
            assert endpoint.stats.responses == 1

    run(main())


def test_what_cannot_be_sent(run, batch):
    async def main():
        async with served() as endpoint:
            message = Message.request("OPTIONS", "sip:a@b", body=b"x" * 65_507)
            with pytest.raises(TransportError, match="more than the 65507 a UDP datagram carries") as caught:
                endpoint.send(message, SOURCE)
            assert caught.value.errno == errno.EMSGSIZE
            for addr, error in (
                (("example.com", 5060), ValueError),
                (("127.0.0.1", 0), ValueError),
                (("127.0.0.1", "5060"), TypeError),
                (("::1", 5060), ValueError),
                ("127.0.0.1:5060", (ValueError, TypeError)),
            ):
                with pytest.raises(error):
                    endpoint.send(b"x", addr)
            for wrong in ("text", None, bytearray(b"x")):
                with pytest.raises(TypeError, match="a Message or bytes"):
                    endpoint.send(wrong, SOURCE)
        with pytest.raises(TransportError, match="not open"):
            endpoint.send(b"x", SOURCE)

    run(main())


def test_the_largest_datagrams(run, batch):
    async def main():
        room = 65_507 - len(request_bytes("MESSAGE", Content_Length="65000"))
        data = request_bytes("MESSAGE", Content_Length=str(room), extra=b"x" * room)
        assert len(data) == 65_507
        big = {"MESSAGE": lambda request, addr: request.reply(200, body=request.body[:60_000])}
        async with served(handlers=big) as it:
            response = await ask(it, data)
            assert response.status_code == 200
            assert len(response.body) == 60_000
            with udp_socket() as sock:
                it.send(b"y" * 65_507, sock.getsockname())
                assert len(await asyncio.to_thread(sock.recv, 70_000)) == 65_507

    run(main())


def test_a_datagram_cut_by_the_buffer(run, batch):
    async def main():
        errors, events, datagrams = [], [], []
        config = EndpointConfig(port=0, read_buf_size=400, on_parse_err=lambda *args: errors.append(args),
                                on_event=events.append, on_datagram=lambda *args: datagrams.append(args))  # fmt: skip
        async with served(config) as endpoint:
            assert (await ask(endpoint, request_bytes(X="x" * 300))).status_code == 513
            [(raw, _, error)] = errors
            assert len(raw) == 400
            assert (error.status, error.offset) == (513, 400)
            assert "longer than the read buffer" in error.reason
            assert [event.type for event in events] == [
                EventType.DATAGRAM_RECEIVED, EventType.PARSE_ERROR, EventType.MESSAGE_SENT]  # fmt: skip
            assert len(datagrams) == 1
            assert (await ask(endpoint, request_bytes())).status_code == 200
            stats = endpoint.stats
            assert (stats.truncated, stats.parse_errors, stats.datagrams, stats.requests) == (1, 1, 2, 1)

    run(main())


def test_a_response_that_is_too_long(run, batch, caplog):
    async def main():
        events = []
        big = {"INFO": lambda request, addr: request.reply(200, body=b"x" * 65_500)}
        async with served(EndpointConfig(port=0, on_event=events.append), big) as endpoint:
            assert await ask(endpoint, request_bytes("INFO"), seconds=0.05) is None
            await settle(lambda: endpoint.stats.send_errors == 1)
            assert [event.type for event in events][-1] is EventType.SEND_ERROR
            assert "were not sent" in caplog.text

    run(main())


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_a_full_send_buffer(loop, batch):
    async def main():
        events = []
        config = EndpointConfig(port=0, send_queue=5, on_event=events.append)
        async with served(config) as endpoint:
            clogged = endpoint.transport._batch = Clogged(endpoint.transport._batch, 0)
            with udp_socket() as sock:
                for number in range(8):
                    sock.sendto(request_bytes(Call_ID=f"c{number}"), endpoint.listen_addr)
                await settle(lambda: endpoint.stats.queue_drops == 3)
                dropped = [event for event in events if event.type is EventType.SEND_DROPPED]
                assert len(dropped) == 3
                assert all(isinstance(event.error, BlockingIOError) for event in dropped)
                with pytest.raises(BlockingIOError, match="send queue is full"):
                    endpoint.send(b"x", sock.getsockname())
                clogged.room = 1000
                sock.setblocking(False)
                assert [(await hear(sock)).call_id for _ in range(5)] == [f"c{number}" for number in range(5)]
                assert (await ask(endpoint, request_bytes(), sock)).status_code == 200

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_aclose_waits_for_the_send_buffer(loop, batch):
    async def main():
        async with served() as endpoint:
            clogged = endpoint.transport._batch = Clogged(endpoint.transport._batch, 0)
            with udp_socket() as sock:
                for number in range(8):
                    sock.sendto(request_bytes(Call_ID=f"c{number}"), endpoint.listen_addr)
                asyncio.get_running_loop().call_later(0.05, setattr, clogged, "room", 1000)
                await endpoint.aclose()
                sock.setblocking(False)
                assert [(await hear(sock)).call_id for _ in range(8)] == [f"c{number}" for number in range(8)]
            assert endpoint.stats.queue_drops == 0

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_an_icmp_refusal_changes_nothing(run, batch):
    async def main():
        async with served() as endpoint:
            with refusing_socket() as sock:
                for _ in range(5):
                    endpoint.send(b"knock", sock.getsockname())
                    await asyncio.sleep(0.005)
            assert (await ask(endpoint, request_bytes())).status_code == 200

    run(main())


# ---------------------------------------------------------------- a busy loop


def test_a_timer_is_not_starved(run, batch):
    """The socket always has more to read, and still a timer has its turn after as much as one wake-up takes."""
    taken, most = 0, 100 * transport._DRAIN

    def again(request, addr):
        nonlocal taken
        taken += 1
        if taken < most:  # so that it ends where the timer does starve
            sock.sendto(request_bytes("INFO"), endpoint.listen_addr)

    async def main():
        nonlocal endpoint, taken
        async with served(handlers={"INFO": again}) as endpoint:
            for _ in range(100):
                sock.sendto(request_bytes("INFO"), endpoint.listen_addr)
            await settle(lambda: taken)
            for _ in range(20):
                before = taken
                await asyncio.sleep(1e-6)
                assert taken - before <= 2 * transport._DRAIN  # until it is due, and until its task goes on
            assert taken < most  # there was always more
            await settle(lambda: taken > 500)  # and the socket is read as well
            taken = most

    endpoint = None
    with udp_socket() as sock:
        run(main())


def test_stats_is_a_snapshot():
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    before = endpoint.stats
    statuses(endpoint, request_bytes())
    assert before.requests == 0
    assert endpoint.stats.requests == 1
    assert endpoint.worker_stats == (endpoint.stats,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.requests = 5
    assert dataclasses.asdict(endpoint.stats)["requests_by_method"] == {"OPTIONS": 1}
    assert pickle.loads(pickle.dumps(endpoint.stats)) == endpoint.stats


def test_stats_from_another_thread():
    endpoint = Endpoint()
    failures, over = [], threading.Event()

    def look():
        while not over.is_set():
            try:
                endpoint.stats  # noqa: B018
            except Exception as error:
                failures.append(error)
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    thread.start()
    for number in range(3000):
        endpoint.register_handler(f"M{number}", ok)
    over.set()
    thread.join()
    sys.setswitchinterval(interval)
    assert not failures


def test_unset_hooks_and_debug_logging_are_quiet(caplog):
    caplog.set_level(logging.DEBUG)
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", ok)
    for _ in range(10):
        statuses(endpoint, request_bytes())
    assert not caplog.records


# ---------------------------------------------------------------- wrong types, and what a repr says


@pytest.mark.parametrize(
    ("make", "text"),
    [(lambda: Endpoint({"port": 5060}), "config is an EndpointConfig, not dict"),
     (lambda: Endpoint("127.0.0.1"), "config is an EndpointConfig, not str"),
     (lambda: Endpoint(transport="udp"), "transport is a DatagramTransport, not str"),
     (lambda: Endpoint(transport=UDPTransport), "transport is a DatagramTransport, not "),
     (lambda: EndpointConfig(validate="no"), "validate is a bool, not str"),
     (lambda: EndpointConfig(reuse_port=1), "reuse_port is a bool, not int"),
     (lambda: EndpointConfig(schemes=5), "schemes is a collection of str, not one int"),
     (lambda: EndpointConfig(supported=[5]), "supported is a collection of str"),
     (lambda: EndpointConfig(counters="calls"), "counters is a collection of str, not one str"),
     (lambda: Endpoint().handler(ok), "method is a str such as 'OPTIONS', not function"),
     (lambda: Endpoint().register_handler("INFO", "x"), "handler is a function, not str"),
     (lambda: Endpoint().append_on_response_sent(asyncio.sleep), "would never run"),
     (lambda: Endpoint().run(beside=asyncio.sleep(0)), "beside is a function, not coroutine"),
     (lambda: Endpoint().run(loop_factory="uvloop"), "loop_factory is a function, not str"),
     (lambda: Endpoint().run(on_stats=5), "on_stats is a function, not int"),
     (lambda: Endpoint().run(stats_interval="1"), "stats_interval is a number of seconds, not str"),
     (lambda: Endpoint().send_soon(b"x", SOURCE), "a Message can be sent, not bytes"),
     (lambda: Endpoint().respond(None, Message.response(200), SOURCE), "a request is a Message"),
     (lambda: UDPTransport(None), "host is an address or a name"),
     (lambda: UDPTransport(port="5060"), "port is an int, not str"),
     (lambda: UDPTransport(sock=5), "sock is a socket, not int")],
)  # fmt: skip
def test_a_wrong_type_is_named_with_what_was_expected(make, text):
    with pytest.raises(TypeError, match=text):
        make()


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
@pytest.mark.parametrize(("host", "bound"), [("[::1]", "::1"), ("[::]", "::")])
def test_a_host_in_brackets(host, bound):
    for it in (Endpoint(EndpointConfig(host=host, port=0)).transport, UDPTransport(host, 0)):
        endpoint = Endpoint(EndpointConfig(host=host, port=0), transport=it)
        endpoint.open()
        assert endpoint.listen_addr[0] == bound
        endpoint.close()


def test_reprs(go):
    endpoint = Endpoint(EndpointConfig(port=0))
    assert repr(endpoint) == "<Endpoint not open, no handlers>"
    assert repr(UDPTransport("::1", 5060)) == "<UDPTransport [::1]:5060, not open>"
    endpoint.register_handler("OPTIONS", ok)
    endpoint.register_handler("INFO", ok)

    async def main():
        async with endpoint:
            port = endpoint.listen_addr[1]
            assert repr(endpoint) == f"<Endpoint on 127.0.0.1:{port}, serving, handles OPTIONS, INFO>"
            assert repr(endpoint.transport) == f"<UDPTransport 127.0.0.1:{port}, being read>"

    go(main())
    assert repr(endpoint) == "<Endpoint not open, closed, handles OPTIONS, INFO>"
    parser = StreamParser()
    assert repr(parser) == "<StreamParser server, 0 bytes wait>"
    assert list(parser.feed(b"OPTIONS sip:a@b SIP/2.0\r\nl: 5\r\n\r\n1")) == []
    assert repr(parser) == "<StreamParser server, 34 of 38 bytes wait>"
    with pytest.raises(ParseError):
        list(StreamParser.feed(parser := StreamParser(client=True), b"hello\r\n\r\n"))
    assert repr(parser).startswith("<StreamParser client, 0 bytes wait, broken: ")


# ---------------------------------------------------------------- counters as data


def test_stats_is_plain_data():
    endpoint = Endpoint(EndpointConfig(counters=("calls", "bytes")))
    endpoint.register_handler("OPTIONS", ok)
    statuses(endpoint, request_bytes())
    endpoint.count("calls")
    endpoint.count("bytes", 70)
    stats = endpoint.stats
    for same in (pickle.loads(pickle.dumps(stats)), copy.deepcopy(stats), copy.copy(stats), endpoint.stats):
        assert same == stats
        assert hash(same) == hash(stats)
    plain = dataclasses.asdict(stats)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["counters"] == {"calls": 1, "bytes": 70}
    assert endpoint.worker is None
    with pytest.raises(ValueError, match="'other' is not among EndpointConfig"):
        endpoint.count("other")


@pytest.mark.parametrize("by", [0.5, True, "1", None, -1])
def test_a_counter_counts_what_can_be_counted(by):
    """What workers share has room for whole numbers alone."""
    endpoint = Endpoint(EndpointConfig(counters=["n"]))
    with pytest.raises(ValueError if by == -1 else TypeError, match="by is"):
        endpoint.count("n", by)
    assert endpoint.stats.counters == {"n": 0}


def test_counting_in_threads():
    endpoint = Endpoint(EndpointConfig(counters=["n"]))
    threads = [threading.Thread(target=lambda: [endpoint.count("n") for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endpoint.stats.counters == {"n": 80_000}


# ---------------------------------------------------------------- what finalizers and handlers may do


def test_a_finalizer_that_puts_while_the_outbox_is_flushed_sends_nothing_twice():
    """Without a loop what is put leaves at once: also while another flush has copied what waits."""

    class Late(list):
        """Between the copy and the removal something is put in, as a finalizer may."""

        def __iter__(self):
            first = [*super().__iter__()]
            if not done:
                done.append(True)
                outbox.put(b"late", SOURCE, None)
            return iter(first)

    done = []
    memory = Memory()
    endpoint = Endpoint(transport=memory)
    endpoint.open()
    outbox = endpoint._outbox
    outbox.waiting = Late()
    outbox.put(b"first", SOURCE, None)
    assert [data for data, _ in memory.sent] == [b"first", b"late"]
    assert endpoint.stats.sent == 2


def test_a_transport_that_a_handler_closes_ends_serve(run, batch):
    def closes(request, addr):
        endpoint.transport.close()

    async def main():
        nonlocal endpoint
        endpoint = Endpoint(EndpointConfig(port=0))
        endpoint.register_handler("BYE", closes)
        serving = asyncio.ensure_future(endpoint.serve())
        await asyncio.sleep(0.01)
        with udp_socket() as sock:
            sock.sendto(request_bytes("BYE"), endpoint.listen_addr)
            with pytest.raises(TransportError, match="the transport was closed"):
                await asyncio.wait_for(serving, 5)
        await endpoint.aclose()

    endpoint = None
    run(main())


def test_a_cancelled_error_of_a_handlers_own_is_a_failure(go, caplog):
    """And no end of the batch it is in, or of what a coroutine has to answer."""

    def cancelled(request, addr):
        raise asyncio.CancelledError

    async def cancelled_later(request, addr):
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def main():
        memory = Memory()
        config = EndpointConfig(on_request=lambda request, addr: request.method == "PING" and cancelled(request, addr))
        async with served(config, {"INFO": cancelled, "BYE": cancelled_later, "INVITE": cancelled_later, "PING": ok,
                                   "OPTIONS": ok}, memory) as endpoint:  # fmt: skip
            batch = ("INFO", "BYE", "INVITE", "PING", "OPTIONS")
            memory.receiver.deliver([(request_bytes(method), SOURCE) for method in batch])
            await settle(lambda: len(memory.sent) == len(batch))
            got = {(response := parse(data)).cseq.method: response.status_code for data, _ in memory.sent}
            assert got == {"INFO": 500, "BYE": 500, "INVITE": 500, "PING": 200, "OPTIONS": 200}
            assert (endpoint.stats.handler_errors, endpoint.stats.hook_errors) == (3, 1)
            assert endpoint.dispatch_request(parse(request_bytes("INFO"))).status_code == 500

    go(main())
