"""Other threads that send and respond: before the loop serves, meanwhile, after, and while it closes."""

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from typing import ClassVar

import pytest
from test_endpoint import Memory, ask, being_served, ok, request_bytes, served, settle
from test_transport import BATCHES, Clogged, opened, udp_socket, use_batch

from sipstack import DatagramTransport, Endpoint, EndpointConfig, TransportError, _dispatch_py, endpoint, parse

THREADS, EACH = 4, 60


@pytest.fixture(params=BATCHES)
def batch(request, monkeypatch):
    """Makes new transports and endpoints use one implementation."""
    use_batch(request.param, monkeypatch)
    if request.param == "plain":
        monkeypatch.setattr(endpoint, "Dispatcher", _dispatch_py.Dispatcher)


def send(endpoint, message, addr):
    endpoint.send(message, addr)


def send_bytes(endpoint, message, addr):
    endpoint.send(bytes(message), addr)


def send_soon(endpoint, message, addr):
    endpoint.send_soon(message, addr)


def respond(endpoint, message, addr):
    endpoint.respond(parse(request_bytes(Call_ID=message.call_id)), message, addr)


WAYS = [send, send_bytes, send_soon, respond]


def hammer(endpoint, way, addr, failures=()):
    """Sends from several threads at once, each message with a Call-ID of its own."""

    def work(thread):
        for number in range(EACH):
            message = parse(request_bytes(Call_ID=f"{thread}-{number}")).reply(200)
            with contextlib.suppress(*failures):
                way(endpoint, message, addr)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def read_all(sock, count=THREADS * EACH):
    """The Call-IDs of all that comes, as a thread with nothing else to do takes them."""
    with contextlib.suppress(TimeoutError):
        return [parse(sock.recv(9000)).call_id for _ in range(count)]
    return None


def every_id():
    return sorted(f"{thread}-{number}" for thread in range(THREADS) for number in range(EACH))


@contextlib.contextmanager
def reading(sock):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(read_all, sock)


@pytest.mark.parametrize("way", WAYS)
def test_while_the_loop_serves(run, batch, way):
    threads = set()

    async def main():
        config = EndpointConfig(port=0, on_message_sent=lambda *_: threads.add(threading.get_ident()))
        async with served(config) as endpoint:
            with udp_socket() as sock, reading(sock) as read:
                await asyncio.to_thread(hammer, endpoint, way, sock.getsockname())
                ids = await asyncio.to_thread(read.result)
            assert sorted(ids) == every_id()
            assert (await ask(endpoint, request_bytes())).status_code == 200
            assert (endpoint.stats.sent, endpoint.stats.send_errors) == (THREADS * EACH + 1, 0)
            assert endpoint.stats.responses == THREADS * EACH * (way is not send_bytes) + 1
            assert threads == {threading.get_ident()}  # the hooks are called where they always are

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_before_the_loop_serves(batch, way):
    sent = []
    endpoint = Endpoint(EndpointConfig(port=0, on_message_sent=lambda message, addr: sent.append(message)))
    endpoint.open()
    with udp_socket() as sock, reading(sock) as read:
        hammer(endpoint, way, sock.getsockname())
        assert sorted(read.result()) == every_id()
    endpoint.close()
    assert (endpoint.stats.sent, endpoint.stats.send_errors) == (THREADS * EACH, 0)
    assert len(sent) == THREADS * EACH * (way is not send_bytes)


@pytest.mark.parametrize("way", WAYS)
def test_after_the_loop_has_served(batch, way):
    endpoint = Endpoint(EndpointConfig(port=0))

    async def main():
        serving = asyncio.ensure_future(endpoint.serve())
        await settle(lambda: being_served(endpoint))
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(main())
    with udp_socket() as sock, reading(sock) as read:
        hammer(endpoint, way, sock.getsockname())
        assert sorted(read.result()) == every_id()
    endpoint.close()


@pytest.mark.parametrize("way", WAYS)
def test_while_the_loop_begins_and_ends_to_serve(run, batch, way):
    """Each message leaves once, whichever thread sends it."""
    endpoint = Endpoint(EndpointConfig(port=0))
    endpoint.open()

    async def main():
        with udp_socket() as sock, reading(sock) as read:
            hammering = asyncio.ensure_future(asyncio.to_thread(hammer, endpoint, way, sock.getsockname()))
            while not hammering.done():
                serving = asyncio.ensure_future(endpoint.serve())
                await asyncio.sleep(0.003)
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
            ids = await asyncio.to_thread(read.result)
        assert sorted(ids) == every_id()
        assert (endpoint.stats.sent, endpoint.stats.send_errors) == (THREADS * EACH, 0)
        endpoint.close()

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_while_it_closes_and_after(run, batch, way, caplog):
    """Nothing but TransportError comes out, and no more leaves than was given."""
    caplog.set_level(logging.CRITICAL, "sipstack")
    endpoints = []

    async def main():
        with udp_socket() as sock:
            async with served() as endpoint:
                endpoints.append(endpoint)
                thread = asyncio.to_thread(hammer, endpoint, way, sock.getsockname(), (TransportError,))
                hammering = asyncio.ensure_future(thread)
                await settle(lambda: endpoint.stats.sent > 10)
                endpoint.close()
                await hammering
            assert 10 < endpoint.stats.sent <= THREADS * EACH

    run(main())
    [endpoint] = endpoints
    message = parse(request_bytes()).reply(200)
    for thread in (threading.Thread(target=respond, args=(endpoint, message, ("127.0.0.1", 9))),
                   threading.Thread(target=send_soon, args=(endpoint, message, ("127.0.0.1", 9)))):  # fmt: skip
        errors = endpoint.stats.send_errors
        thread.start()
        thread.join()
        assert endpoint.stats.send_errors == errors + 1
    for way in (send, send_bytes):
        with pytest.raises(TransportError, match="not open"):
            concurrent.futures.ThreadPoolExecutor(1).submit(way, endpoint, message, ("127.0.0.1", 9)).result()


def test_what_a_thread_is_told_and_what_not(run, batch):
    async def main():
        async with served() as endpoint:
            message = parse(request_bytes()).reply(200)
            with pytest.raises(TransportError, match="70000 bytes"):
                await asyncio.to_thread(endpoint.send, b"x" * 70_000, ("127.0.0.1", 9))
            with pytest.raises(TypeError, match="a Message or bytes"):
                await asyncio.to_thread(endpoint.send, "text", ("127.0.0.1", 9))
            with pytest.raises(TypeError, match="a response is"):
                await asyncio.to_thread(endpoint.respond, parse(request_bytes()), parse(request_bytes()), ("a", 9))
            await asyncio.to_thread(endpoint.send, message, ("no address", 9))
            await settle(lambda: endpoint.stats.send_errors == 1)

    run(main())


def test_a_thread_does_not_wait_for_the_loop(batch):
    """A handler may wait for a thread that sends."""

    def handler(request, addr):
        thread = threading.Thread(target=it.send, args=(request.reply(183), addr))
        thread.start()
        thread.join(30)
        return request.reply(200) if not thread.is_alive() else request.reply(500)

    async def main():
        nonlocal it
        async with served(handlers={"INFO": handler}) as it:
            with udp_socket() as sock:
                assert (await ask(it, request_bytes("INFO"), sock)).status_code == 200
                await settle(lambda: it.stats.sent == 2)
                assert parse(sock.recv(9000)).status_code == 183

    it = None
    asyncio.run(main())


def test_a_transport_of_ones_own_is_asked_by_one_thread_at_a_time(batch):
    class Careful(Memory):
        busy = False

        def send(self, datagrams):
            assert not self.busy
            self.busy = True
            time.sleep(0.0001)
            self.busy = False
            return super().send(datagrams)

    memory = Careful()
    endpoint = Endpoint(transport=memory)
    endpoint.open()
    hammer(endpoint, send_soon, ("192.0.2.1", 5060))
    assert sorted(parse(data).call_id for data, _ in memory.sent) == every_id()
    assert endpoint.stats.sent == endpoint.stats.responses == THREADS * EACH
    assert endpoint.stats.send_errors == 0


def test_the_socket_is_written_by_one_thread_at_a_time(batch):
    """What waits in the send queue is sent once, also where nobody but the transport is asked."""

    class Careful:
        busy = False

        def __init__(self, batch):
            self.batch = batch

        def __getattr__(self, name):
            return getattr(self.batch, name)

        def send(self, datagrams):
            assert not self.busy
            self.busy = True
            time.sleep(0.0001)
            self.busy = False
            return self.batch.send(datagrams[:2])[0], []  # never all of it

    def work(thread):
        for number in range(10):
            message = parse(request_bytes(Call_ID=f"{thread}-{number}")).reply(200)
            failures.extend(it.send([(bytes(message), sock.getsockname())] * 3))

    failures = []
    with opened(send_queue=1000) as it, udp_socket() as sock:
        it._batch = Careful(it._batch)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while it.flush():
            pass
        ids = read_all(sock, 3 * 10 * THREADS)
        assert sorted(ids) == sorted([f"{thread}-{number}" for thread in range(THREADS) for number in range(10)] * 3)
        assert not failures


def test_a_response_that_a_thread_sends_is_the_final_one(batch):
    """A CANCEL after it ends nothing."""

    async def invite(request, addr):
        await asyncio.to_thread(it.respond, request, request.reply(200), addr)
        await more.wait()

    async def main():
        nonlocal it, more
        more = asyncio.Event()
        async with served(handlers={"INVITE": invite}) as it:
            with udp_socket() as sock:
                assert (await ask(it, request_bytes("INVITE"), sock)).cseq.method == "INVITE"
                assert (await ask(it, request_bytes("CANCEL"), sock)).status_code == 200
                assert it.stats.pending == 1
                more.set()
                await settle(lambda: it.stats.pending == 0)
            assert it.stats.responses_by_class == {"2xx": 2}

    it = more = None
    asyncio.run(main())


@pytest.mark.parametrize("way", [send_soon, respond])
def test_a_full_send_buffer(run, batch, way):
    """What a thread sends waits in the send queue, and the loop sends it."""

    async def main():
        async with served(send_queue=10_000) as endpoint:
            transport = endpoint.transport
            clogged = transport._batch = Clogged(transport._batch, 0)
            with udp_socket() as sock, reading(sock) as read:
                await asyncio.to_thread(hammer, endpoint, way, sock.getsockname())
                await settle(lambda: len(transport._queue) == THREADS * EACH)
                clogged.room = 10_000
                assert sorted(await asyncio.to_thread(read.result)) == every_id()

    run(main())


def test_handlers_answer_meanwhile(run, batch):
    async def main():
        async with served(handlers={"OPTIONS": ok}) as endpoint:
            with udp_socket() as sock, udp_socket() as client, reading(sock) as read:
                hammering = asyncio.ensure_future(asyncio.to_thread(hammer, endpoint, send_soon, sock.getsockname()))
                answered = 0
                while not hammering.done() or not answered:
                    response = await ask(endpoint, request_bytes(Call_ID=f"c{answered}"), client)
                    assert response.call_id == f"c{answered}"
                    answered += 1
                assert sorted(await asyncio.to_thread(read.result)) == every_id()
                assert endpoint.stats.sent == THREADS * EACH + answered

    run(main())


FINALIZER = r"""
import asyncio, gc, socket
from sipstack import Endpoint, EndpointConfig, parse

endpoint = Endpoint(EndpointConfig(port=0))
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind(("127.0.0.1", 0))
request = parse(
    b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n"
)

class Call:
    def __init__(self):
        self.itself = self
    def __del__(self):
        endpoint.send(b"a farewell", peer.getsockname())

kept = []

@endpoint.handler("OPTIONS")
def options(request, addr):
    Call()
    kept.append(((addr,), [addr]))  # so that the interpreter's lists of freed objects are empty
    return request.reply(200)

async def main():
    async with endpoint:
        serving = asyncio.create_task(endpoint.serve())
        for _ in range(300):
            for _ in range(40):
                peer.sendto(request.to_bytes(), endpoint.listen_addr)
            await asyncio.sleep(0.001)
        await endpoint.aclose()
        await serving

gc.set_threshold(20)
asyncio.run(main())
assert endpoint.stats.requests == 12_000 and endpoint.stats.handler_errors == 0
"""


@pytest.mark.parametrize("plain", ["0", "1"])
def test_a_finalizer_that_sends_while_the_socket_is_read_and_written(plain):
    environment = os.environ | {"SIPSTACK_NO_EXTENSIONS": plain}
    subprocess.run([sys.executable, "-c", FINALIZER], env=environment, timeout=300, check=True)


def test_an_address_of_another_kind_that_is_refused_leaves_the_hooks_of_the_others():
    class Refusing(DatagramTransport):
        def send(self, datagrams):
            return [(data, addr, OSError("no")) for data, addr in datagrams if type(addr) is list]

    left = []
    endpoint = Endpoint(EndpointConfig(on_message_sent=lambda message, addr: left.append(addr)), transport=Refusing())
    endpoint.open()
    endpoint._outbox.held = True
    for addr in (["h", 1], ("h", 2), ["h", 3]):
        endpoint.send_soon(parse(request_bytes()), addr)
    endpoint._outbox.flush()
    assert left == [("h", 2)]
    assert endpoint.stats.send_errors == 2


# --- handlers that are registered while datagrams are delivered


class Answering:
    """A handler with a reason of its own; what is freed too early, or never, is seen by `alive`."""

    alive: ClassVar = weakref.WeakSet()

    def __init__(self, status):
        self.status, self.own = status, [status]
        self.alive.add(self)

    def __call__(self, request, addr):
        assert self.own == [self.status]
        return request.reply(self.status)


def delivering():
    """A dispatcher without a socket, and what it sends."""
    transport = Memory()
    outside = Endpoint(EndpointConfig(), transport=transport)
    outside._serving.attach(transport)
    return outside, transport


@pytest.mark.usefixtures("hasty", "batch")
def test_handlers_that_threads_register_while_datagrams_are_delivered():
    outside, transport = delivering()
    dispatcher = outside._dispatcher
    datagrams = [(request_bytes(method), ("h", 1)) for method in ("OPTIONS", "INFO", "BYE", "PING")] * 8
    end = time.monotonic() + 1.0

    def register(status):
        while time.monotonic() < end:
            for method in ("options", "info"):
                outside.register_handler(method, Answering(status))
            outside.set_no_route_handler(Answering(status))

    outside.register_handler("OPTIONS", Answering(200))
    outside.register_handler("INFO", Answering(200))
    outside.set_no_route_handler(Answering(200))
    Answering.alive.clear()
    threads = [threading.Thread(target=register, args=(status,)) for status in (201, 202, 203)]
    for thread in threads:
        thread.start()
    delivered = 0
    while any(thread.is_alive() for thread in threads):
        dispatcher.deliver(datagrams)
        delivered += len(datagrams)
        outside.stats  # noqa: B018
    for thread in threads:
        thread.join()
    statuses = [parse(data).status_code for data, _ in transport.sent]
    assert len(statuses) == delivered
    assert set(statuses) <= {200, 201, 202, 203}
    assert outside.stats.handler_errors == 0
    assert outside.stats.requests_by_method == dict.fromkeys(("OPTIONS", "INFO", "BYE", "other"), delivered // 4)
    gc.collect()
    assert len(Answering.alive) <= 3  # those that are replaced are freed


@pytest.mark.usefixtures("hasty", "batch")
def test_a_handler_that_is_registered_while_the_first_request_of_its_method_arrives_stays():
    for _ in range(150):
        outside, transport = delivering()
        start = threading.Barrier(2)

        def register(outside=outside, start=start):
            start.wait()
            outside.register_handler("INFO", ok)

        thread = threading.Thread(target=register)
        thread.start()
        start.wait()
        outside._dispatcher.deliver([(request_bytes("INFO"), ("h", 1))])
        thread.join()
        outside._dispatcher.deliver([(request_bytes("INFO"), ("h", 1))])
        assert parse(transport.sent[-1][0]).status_code == 200
        assert outside.stats.requests_by_method == {"INFO": 2}
