"""One pipeline for every transport: what `Endpoint.receive` is given is treated as what came over UDP."""

import asyncio
import copy
import gc
import logging
import pickle
import threading

import pytest
from test_endpoint import HOOKS, SOURCE, Memory, answers, ok, recorder, request_bytes, settle, statuses, udp_socket

from sipstack import Endpoint, EndpointConfig, EventType, HeaderError, Message, StreamParser, parse

LOCAL = ("192.0.2.1", 5061)


def received(endpoint, data, addr=SOURCE):
    """What an endpoint writes for one message, as parsed ones."""
    out = []

    async def main():
        await endpoint.receive(data, addr, out.append)

    asyncio.run(main())
    return [parse(data) for data in out]


def fails(request, addr):
    raise LookupError("trouble")


def edits_and_fails(request, addr):
    request.pop_via()
    request.set_header("Call-ID", "edited")
    request.decrement_max_forwards()
    raise LookupError("trouble")


async def edits_and_fails_later(request, addr):
    request.pop_via()
    request.set_header("Call-ID", "edited")
    await asyncio.sleep(0)
    raise LookupError("trouble")


def edits_and_answers_nonsense(request, addr):
    request.pop_via()
    request.set_header("Call-ID", "edited")
    return "200"


def edits_and_meets_a_bad_value(request, addr):
    request.set_header("Call-ID", "edited")
    return request.uri.user and request.decrement_max_forwards() and request.contacts and None


DATAGRAMS = {
    "in order": request_bytes(),
    "without rport": request_bytes(via="10.0.0.1:5062"),
    "no Call-ID": request_bytes(Call_ID=None),
    "no Via": request_bytes(Via=None),
    "a scheme": request_bytes(uri="http://x"),
    "an option": request_bytes(Require="100rel, path"),
    "a version": request_bytes().replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"),
    "an ACK": request_bytes("ACK"),
    "an ACK with a fault": request_bytes("ACK", Call_ID=None),
    "a bad Via": request_bytes(via="a;rport;rport=x"),
    "known and without a handler": request_bytes("REGISTER"),
    "unknown": request_bytes("PING"),
    "a handler that fails": request_bytes("INFO"),
    "a CANCEL of nothing": request_bytes("CANCEL"),
    "a response": parse(request_bytes()).reply(200).to_bytes(),
    "a body": request_bytes("OPTIONS", Content_Length="4", extra=b"text"),
}


@pytest.mark.parametrize("kind", [bytes, parse])
@pytest.mark.parametrize("name", DATAGRAMS)
@pytest.mark.parametrize("options", [{}, {"validate": False}, {"use_maddr": True}])
def test_it_is_as_over_udp(name, kind, options):
    """The answer, the hooks in their order, the events with their messages, and the counters."""

    def made():
        calls, hooks = recorder()
        endpoint = Endpoint(EndpointConfig(**hooks, **options))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("ACK", ok)
        endpoint.register_handler("INFO", fails)
        return endpoint, calls

    (endpoint, calls), (other, others) = made(), made()
    over_udp = [response.to_bytes() for response, _ in answers(other, DATAGRAMS[name])]
    assert [response.to_bytes() for response in received(endpoint, kind(DATAGRAMS[name]))] == over_udp
    assert calls == others
    assert endpoint.stats == other.stats


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"nonsense", request_bytes() + b"x" * 70_000])
def test_bytes_that_are_no_message(data):
    calls, hooks = recorder()
    others, other_hooks = recorder()
    endpoint, other = Endpoint(EndpointConfig(**hooks)), Endpoint(EndpointConfig(**other_hooks))
    assert [r.to_bytes() for r in received(endpoint, data)] == [r.to_bytes() for r, _ in answers(other, data)]
    assert calls == others
    assert endpoint.stats == other.stats


def test_the_answer_goes_the_way_the_request_came(go):
    """RFC 3261 18.2.2: over the same connection, whatever its Via says; so does what is sent to its address."""
    seen = []

    async def ring(request, addr):
        seen.append((addr, endpoint.local_address(addr), endpoint.reply_address(request, addr)))
        endpoint.respond(request, request.reply(180), addr)
        await asyncio.sleep(0)
        endpoint.send_soon(Message.request("INFO", "sip:a@b"), addr)
        endpoint.send(b"raw" * 30_000, addr)  # longer than a datagram
        return request.reply(200)

    endpoint = Endpoint(EndpointConfig(use_maddr=True))
    endpoint.register_handler("INVITE", ring)

    async def main():
        out = []
        peer = ("2001:db8::1", 40_000, 0, 0)  # as a socket says it
        via = "127.0.0.1:5062;maddr=192.0.2.9"
        await endpoint.receive(parse(request_bytes("INVITE", via=via)), peer, out.append, local=LOCAL)
        await asyncio.sleep(0)
        starts = [data.split(b"\r\n")[0][:11] for data in out]
        assert starts == [b"SIP/2.0 180", b"rawrawrawra", b"INFO sip:a@", b"SIP/2.0 200"]
        assert parse(out[0]).via.received == "2001:db8::1"

    go(main())
    [(addr, local, target)] = seen
    assert addr == ("2001:db8::1", 40_000)
    assert (local, target) == (LOCAL, addr)
    assert hash(addr) == hash(("2001:db8::1", 40_000))
    assert copy.deepcopy(addr) is addr is copy.copy(addr)
    assert pickle.loads(pickle.dumps(addr)) == addr  # without the way, which cannot be written down
    for name in ("local", "write"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(addr, name, None)
    stats = endpoint.stats
    assert (stats.sent, stats.send_errors, stats.datagrams, stats.responses) == (4, 0, 1, 2)


def test_a_cancel_finds_its_invite(go):
    async def ring(request, addr):
        await asyncio.sleep(60)

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("INVITE", ring)
        out = []
        invite = endpoint.receive(parse(request_bytes("INVITE")), SOURCE, out.append)
        assert endpoint.stats.pending == 1
        await asyncio.sleep(0)
        await endpoint.receive(parse(request_bytes("CANCEL")), SOURCE, out.append)
        await invite
        await settle(lambda: len(out) == 2)
        assert [f"{(it := parse(data)).status_code} {it.cseq.method}" for data in out] == ["200 CANCEL", "487 INVITE"]
        await endpoint.receive(parse(request_bytes("CANCEL")), SOURCE, out.append)
        assert parse(out[-1]).status_code == 481

    go(main())


def test_what_it_returns_is_done_when_the_handler_is(go):
    release = asyncio.Event()

    async def waits(request, addr):
        await release.wait()
        return request.reply(200)

    async def main():
        endpoint = Endpoint(EndpointConfig(max_pending=2))
        endpoint.register_handler("INFO", waits)
        endpoint.register_handler("OPTIONS", ok)
        out = []
        infos = [endpoint.receive(request_bytes("INFO"), SOURCE, out.append) for _ in range(3)]
        assert endpoint.receive(request_bytes(), SOURCE, out.append).done()
        assert [future.done() for future in infos] == [False, False, True]
        assert [parse(data).status_code for data in out] == [503, 200]
        await asyncio.sleep(0)
        infos[0].cancel()  # the handler is, too
        release.set()
        await infos[1]
        with pytest.raises(asyncio.CancelledError):
            await infos[0]
        await asyncio.sleep(0)
        assert [parse(data).status_code for data in out] == [503, 200, 200]
        assert endpoint.stats.pending == 0
        await endpoint.aclose()

    go(main())


def test_one_handler_that_has_another_message_received(go):
    """The inner one's task is not taken for the outer one's."""
    out = []

    async def later(request, addr):
        await asyncio.sleep(0)
        return request.reply(202)

    async def main():
        endpoint = Endpoint()
        inner = []

        def outer(request, addr):
            inner.append(endpoint.receive(request_bytes("INFO"), SOURCE, out.append))
            return request.reply(200)

        endpoint.register_handler("INFO", later)
        endpoint.register_handler("OPTIONS", outer)
        assert endpoint.receive(request_bytes(), SOURCE, out.append).done()
        assert not inner[0].done()
        await inner[0]
        await asyncio.sleep(0)
        assert [parse(data).status_code for data in out] == [200, 202]
        # In a batch that came over UDP, too: each goes its own way.
        memory = Memory()
        endpoint._serving.attach(memory)
        endpoint._dispatcher.deliver([(request_bytes(), SOURCE)])
        await inner[1]
        await asyncio.sleep(0)
        assert len(memory.sent) == 1
        assert parse(memory.sent[0][0]).status_code == 200
        assert [parse(data).status_code for data in out] == [200, 202, 202]

    go(main())


def test_aclose_lets_handlers_finish_and_close_ends_them(go):
    async def slow(request, addr):
        await asyncio.sleep(0.05)
        return request.reply(200)

    async def main():
        for how, expected in (("aclose", 1), ("close", 0)):
            endpoint = Endpoint()
            endpoint.register_handler("INFO", slow)
            out = []
            endpoint.receive(request_bytes("INFO"), SOURCE, out.append)
            await asyncio.sleep(0)
            if how == "close":
                endpoint.close()
                await asyncio.sleep(0.1)
            else:
                await endpoint.aclose()
            assert len(out) == expected
            assert endpoint.stats.pending == 0

    go(main())


def test_a_way_back_that_is_gone(go, caplog):
    def gone(data):
        raise ConnectionResetError("gone")

    async def main():
        events = []
        endpoint = Endpoint(EndpointConfig(on_event=events.append))
        endpoint.register_handler("OPTIONS", lambda request, addr: kept.append(addr) or request.reply(200))
        kept = []
        await endpoint.receive(request_bytes(), SOURCE, gone)
        assert endpoint.stats.send_errors == 1
        assert endpoint.stats.sent == 0
        assert [event.addr for event in events if event.type is EventType.SEND_ERROR] == [SOURCE]
        assert "gone" in caplog.text
        with pytest.raises(ConnectionResetError):
            endpoint.send(b"x", kept[0])

    go(main())


def test_beside_the_endpoints_own_socket_and_from_a_thread(go):
    def work(request, addr):
        endpoint.respond(request, request.reply(200), addr)

    def later(request, addr):
        threading.Thread(target=work, args=(request, addr)).start()

    endpoint = Endpoint(EndpointConfig(port=0))
    endpoint.register_handler("INFO", later)

    async def main():
        out, threads = [], []

        def write(data):
            threads.append(threading.get_ident())
            out.append(data)

        async with endpoint:
            endpoint.receive(request_bytes("INFO"), SOURCE, write)
            await settle(lambda: out)
            with udp_socket() as sock:
                sock.setblocking(False)
                sock.sendto(request_bytes("INFO"), endpoint.listen_addr)
                loop = asyncio.get_running_loop()
                assert parse(await loop.sock_recv(sock, 4000)).status_code == 200
        assert len(out) == 1
        assert threads == [threading.get_ident()]
        assert (endpoint.stats.sent, endpoint.stats.datagrams) == (2, 2)

    go(main())


def test_only_in_the_loop_that_serves(go):
    async def main():
        async with Endpoint(EndpointConfig(port=0)) as endpoint:

            async def elsewhere():
                endpoint.receive(request_bytes(), SOURCE, print)

            with pytest.raises(RuntimeError, match="another loop"):
                await asyncio.to_thread(asyncio.run, elsewhere())

    go(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        Endpoint().receive(request_bytes(), SOURCE, print)


def test_one_that_is_cancelled_before_it_begins_is_not_pending(go, recwarn):
    async def never(request, addr):
        raise AssertionError

    async def main():
        endpoint = Endpoint(EndpointConfig(max_pending=2))
        endpoint.register_handler("INVITE", never)
        for _ in range(5):
            endpoint.receive(request_bytes("INVITE"), SOURCE, print).cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert endpoint.stats.pending == 0
        assert endpoint.stats.overloaded == 0
        out = []
        await endpoint.receive(request_bytes("CANCEL"), SOURCE, out.append)
        assert parse(out[0]).status_code == 481
        await endpoint.aclose()

    go(main())
    gc.collect()
    assert not recwarn.list


def test_one_that_is_closed_before_it_begins_is_not_pending(go, recwarn):
    """Also where it came over the endpoint's own transport."""

    async def never(request, addr):
        raise AssertionError

    async def main():
        endpoint = Endpoint(transport=Memory())
        endpoint.register_handler("INVITE", never)
        async with endpoint:
            endpoint.transport.receiver.deliver([(request_bytes("INVITE"), SOURCE)])
            endpoint.close()
            assert endpoint.stats.pending == 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert endpoint.stats.pending == 0

    go(main())
    gc.collect()
    assert not recwarn.list


def test_a_way_back_that_was_cancelled_takes_nothing_with_it(go):
    """Where `write` asks for the result of something that was cancelled."""

    def cancelled(data):
        raise asyncio.CancelledError

    def answer_both(request, addr):
        endpoint.receive(request_bytes("INFO"), SOURCE, cancelled)
        endpoint.receive(request_bytes("INFO"), SOURCE, out.append)
        return request.reply(200)

    endpoint, out = Endpoint(), []
    endpoint.register_handler("INFO", ok)
    endpoint.register_handler("OPTIONS", answer_both)

    async def main():
        await endpoint.receive(request_bytes(), SOURCE, out.append)

    go(main())
    assert [parse(data).cseq.method for data in out] == ["INFO", "OPTIONS"]
    assert (endpoint.stats.send_errors, endpoint.stats.sent) == (1, 2)


@pytest.mark.parametrize("how", ["aclose", "close"])
def test_a_handler_that_closes_goes_on(go, how):
    """It is not waited for by itself, nor ended."""
    out, done = [], []

    async def shut(request, addr):
        endpoint.respond(request, request.reply(200), addr)
        closed = getattr(endpoint, how)()
        if closed is not None:
            await closed
        await asyncio.sleep(0)
        done.append(endpoint.stats.pending)

    async def slow(request, addr):
        await asyncio.sleep(0.01)
        return request.reply(200)

    endpoint = Endpoint(EndpointConfig(drain_timeout=1000))
    endpoint.register_handler("INFO", shut)
    endpoint.register_handler("OPTIONS", slow)

    async def main():
        endpoint.receive(request_bytes("OPTIONS"), SOURCE, out.append)
        await endpoint.receive(request_bytes("INFO"), SOURCE, out.append)
        await endpoint.aclose()

    go(main())
    assert done
    assert len(out) == (2 if how == "aclose" else 1)
    assert endpoint.stats.pending == 0


@pytest.mark.parametrize("error", [asyncio.CancelledError, LookupError])
def test_what_a_handlers_coroutine_raises_is_an_answer_of_dispatch(go, error, caplog):
    """Also the cancellation of something it waits for; not that of who called."""

    async def fails_by(request, addr):
        raise error

    async def waits(request, addr):
        await asyncio.sleep(1000)

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("OPTIONS", fails_by)
        endpoint.register_handler("INFO", waits)
        response = await endpoint.dispatch(parse(request_bytes()))
        assert response.status_code == 500
        assert endpoint.stats.handler_errors == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await endpoint.dispatch(parse(request_bytes("INFO")))
        assert endpoint.stats.pending == 0

    go(main())


@pytest.mark.parametrize("port", [-1, 65_536, 10**30])
def test_a_port_that_is_none(go, port):
    """It is the caller's mistake, and nothing to tell the peer."""

    async def main():
        endpoint, out = Endpoint(), []
        with pytest.raises(ValueError, match=f"source port {port} is not in 0..65535"):
            endpoint.receive(request_bytes(), ("192.0.2.9", port), out.append)
        assert not out
        assert endpoint.stats.datagrams == 0

    go(main())


FORGED = {"Via": "SIP/2.0/TCP h;branch=z9hG4bK1;received=198.51.100.1;rport=9"}


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("host", ["/run/x.sock", "queue one", "", "\0", "a\r\nb", "\ud800", "é", "h;x"])
def test_a_host_that_is_none(go, host, validate):
    """It could not be stamped, and what the sender wrote there would stay. So nothing comes of it over a transport."""

    async def main():
        endpoint, out = Endpoint(EndpointConfig(validate=validate)), []
        endpoint.register_handler("OPTIONS", lambda request, _: out.append(request))
        with pytest.raises(ValueError, match="is no host"):
            endpoint.receive(request_bytes(**FORGED), (host, 5), out.append)
        assert endpoint.stats.datagrams == 0
        assert statuses(endpoint, request_bytes(**FORGED), (host, 5)) == [500]
        assert endpoint.stats.rejected == 1
        assert not out

    go(main())


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("addr", "received"),
    [(("queue-one", 0), "queue-one"), (("unix", 5), "unix"), (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
     (("fe80::1%eth0", 5, 0, 2), "fe80::1")],
)  # fmt: skip
def test_a_peer_without_an_ip_address_has_a_name(go, addr, received, validate):
    async def main():
        endpoint, out = Endpoint(EndpointConfig(validate=validate)), []
        endpoint.register_handler("OPTIONS", lambda request, _: request.reply(200))
        await endpoint.receive(request_bytes(**FORGED), addr, out.append)
        response = parse(out[0])
        assert response.status_code == 200
        assert (response.via.received, response.via.rport) == (received, addr[1] or None)

    go(main())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("text", SOURCE, print), "a Message or bytes"), ((None, SOURCE, print), "a Message or bytes"),
     ((request_bytes(), None, print), "addr is"), ((request_bytes(), ("h",), print), "addr is"),
     ((request_bytes(), ("h", "5060"), print), "addr is"), ((request_bytes(), ("h", True), print), "addr is"),
     ((request_bytes(), SOURCE, None), "write is"),
     ((request_bytes(), SOURCE, b""), "write is")],
)  # fmt: skip
def test_wrong_arguments(go, arguments, text):
    async def main():
        with pytest.raises(TypeError, match=text):
            Endpoint().receive(*arguments)

    go(main())


# ---------------------------------------------------------------- what answers a failure


@pytest.mark.parametrize(
    ("handler", "status"),
    [(edits_and_fails, 500), (edits_and_fails_later, 500), (edits_and_answers_nonsense, 500),
     (edits_and_meets_a_bad_value, 400)],
)  # fmt: skip
def test_the_answer_to_a_failure_is_made_from_what_came(handler, status, caplog):
    caplog.set_level(logging.CRITICAL)
    data = request_bytes("INFO", via="10.0.0.1:5062;rport", Contact="<sip:a@b")

    async def main():
        memory = Memory()
        endpoint = Endpoint(transport=memory)
        endpoint.register_handler("INFO", handler)
        out = []
        async with endpoint:
            memory.receiver.deliver([(data, SOURCE)])
            await endpoint.receive(parse(data), SOURCE, out.append)
            out.append(bytes(await endpoint.dispatch(stamped())))
            if handler is not edits_and_fails_later:
                out.append(bytes(endpoint.dispatch_request(stamped())))
            await settle(lambda: memory.sent)
        assert memory.sent[0][1] == SOURCE
        return [parse(it) for it in (memory.sent[0][0], *out)]

    def stamped():
        request = parse(data)
        request.stamp_received(*SOURCE)
        return request

    expected = stamped().reply(status)
    for response in asyncio.run(main()):
        assert response.status_code == status
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            assert response.get_headers(name) == expected.get_headers(name)


def test_a_sync_handler_that_edits_before_there_is_no_room():
    async def work(request):
        return request.reply(200)

    def edits(request, addr):
        request.set_header("Call-ID", "edited")
        return work(request)

    endpoint = Endpoint(EndpointConfig(max_pending=0))
    endpoint.register_handler("INFO", edits)
    [response] = received(endpoint, request_bytes("INFO"))
    assert (response.status_code, response.call_id) == (503, "call-1")


# ---------------------------------------------------------------- dispatch, and its counters


def test_what_is_dispatched_is_counted_whole(go):
    async def later(request, addr):
        await asyncio.sleep(0)
        return request.reply(200)

    async def main():
        seen = []
        endpoint = Endpoint(EndpointConfig(on_event=seen.append))
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("INFO", later)
        endpoint.register_handler("BYE", fails)
        endpoint.dispatch_request(parse(request_bytes()))
        await endpoint.dispatch(parse(request_bytes("INFO")))
        endpoint.dispatch_request(parse(request_bytes("BYE")))
        endpoint.dispatch_request(parse(request_bytes("REGISTER")))
        endpoint.invoke_on_sip_response(parse(request_bytes()).reply(180))
        stats = endpoint.stats
        assert (stats.requests, stats.responses, stats.responses_received, stats.handler_errors) == (4, 4, 1, 1)
        assert stats.responses_by_class == {"2xx": 2, "4xx": 1, "5xx": 1}
        assert [event.type for event in seen] == [EventType.HANDLER_ERROR, EventType.RESPONSE_RECEIVED]

    go(main())


def test_a_coroutine_that_is_pending_in_dispatch_is_counted(go):
    async def waits(request, addr):
        await asyncio.sleep(60)

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("INFO", waits)
        task = asyncio.ensure_future(endpoint.dispatch(parse(request_bytes("INFO"))))
        await asyncio.sleep(0)
        assert endpoint.stats.pending == 1
        task.cancel()
        await asyncio.wait([task])
        assert endpoint.stats.pending == 0

    go(main())


@pytest.mark.parametrize("method", ["INVITE", "INFO"])
def test_one_of_a_task_factory_that_is_cancelled_is_not_pending(go, method):
    """Nor does `aclose` wait for it."""

    async def waits(request, addr):
        await asyncio.sleep(60)

    async def main():
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **more: asyncio.Task(coroutine, loop=loop, **more)
        )
        endpoint = Endpoint()
        endpoint.register_handler(method, waits)
        out = []
        started = endpoint.receive(request_bytes(method), SOURCE, out.append)
        assert endpoint.stats.pending == 1
        started.cancel()
        await asyncio.wait([started])
        assert endpoint.stats.pending == 0
        await endpoint.aclose()
        assert out == []

    go(main())
    gc.collect()


# ---------------------------------------------------------------- who calls handlers himself


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(KeyError("x"), 500, "Server Internal Error"), (HeaderError("bad", "To"), 400, "To bad"),
     (HeaderError("x", status=423), 423, "Interval Too Brief"),
     (asyncio.CancelledError(), 500, "Server Internal Error")],
)  # fmt: skip
def test_the_answer_to_a_failure_can_be_had(error, status, reason):
    """It is what the endpoint answers where its own handler raises the same, counted and shown alike, and not sent."""

    def own(request, addr):
        raise error

    seen = []
    one, two = (Endpoint(EndpointConfig(on_event=seen.append)) for _ in range(2))
    one.register_handler("INFO", own)
    [(response, _)] = answers(one, request_bytes("INFO"))
    events = [event for event in seen if event.error is not None]
    seen.clear()
    request = parse(request_bytes("INFO"))
    request.stamp_received(*SOURCE)
    made = two.failure_response(request, error, SOURCE)
    assert made.to_bytes() == response.to_bytes()
    assert (made.status_code, made.status_text) == (status, reason)
    assert [(event.type, event.addr, event.error, event.status) for event in seen] == [
        (event.type, event.addr, event.error, event.status) for event in events
    ]
    for name in ("rejected", "handler_errors"):
        assert getattr(one.stats, name) == getattr(two.stats, name) == int((name == "rejected") == (status != 500))
    assert two.stats.sent == two.stats.responses == 0


def test_a_stream_of_pipelined_messages(go):
    """As in the how-to: one connection, in order, cut anywhere."""

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("OPTIONS", ok)
        data = b"".join(request_bytes(Call_ID=f"c{number}") for number in range(20))
        out = bytearray()
        parser = StreamParser()
        for at in range(0, len(data), 7):
            for message in parser.feed(data[at : at + 7]):
                endpoint.receive(message, SOURCE, out.extend)
        calls = [message.call_id for message in StreamParser(client=True).feed(bytes(out))]
        assert calls == [f"c{number}" for number in range(20)]

    go(main())
    gc.collect()


def test_every_hook_is_covered():
    assert set(HOOKS) == {name for name in EndpointConfig.__slots__ if name.startswith("on_")}
