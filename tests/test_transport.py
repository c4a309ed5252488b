"""The datagram transport: both ways to read and write the socket, on three kinds of event loops."""

import asyncio
import contextlib
import copy
import errno
import gc
import logging
import os
import pickle
import select
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from loops import LOOPS, NoReaderLoop

from sipstack import TransportError, _udp_py, transport
from sipstack._serving import make_transport
from sipstack._udp_py import normal_address, wire_address
from sipstack.endpoint import EndpointConfig
from sipstack.transport import DatagramTransport, PeerAddress, UDPTransport

HAS_IPV6 = socket.has_ipv6
BATCHES = ["plain", *(["mmsg"] if transport._udp is not _udp_py else [])]


@pytest.fixture(params=BATCHES)
def batch(request, monkeypatch):
    """Makes new transports use one of the two ways."""
    use_batch(request.param, monkeypatch)
    return transport._udp.Batch


def use_batch(name, monkeypatch):
    """Makes new transports use the plain way to read and write a socket, where that is what is asked for."""
    if name == "plain":
        monkeypatch.setattr(transport, "_udp", _udp_py)


@pytest.fixture
def peer():
    with udp_socket() as sock:
        yield sock


@contextlib.contextmanager
def udp_socket(host="127.0.0.1", family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((host, 0))
        sock.settimeout(30)
        yield sock


@contextlib.contextmanager
def refusing_socket():
    """To what is sent to it an ICMP error comes back, since it is connected to another peer; the port is its own."""
    with udp_socket() as sock:
        sock.connect(sock.getsockname())
        yield sock


@contextlib.contextmanager
def opened(*args, **options):
    it = UDPTransport(*(args or ("127.0.0.1", 0)), **options)
    it.open()
    try:
        yield it
    finally:
        it.close()


def wait_readable(sock):
    """Until all is there that was sent: what leaves later arrives later, also where it goes to another socket."""
    with udp_socket() as last:
        last.sendto(b"", last.getsockname())
        last.recv(1)
    assert select.select([sock], [], [], 30)[0]


# ---------------------------------------------------------------- batches


def test_what_is_there_comes_in_one_call_and_in_order(batch, peer):
    with opened(batch_size=8) as it:
        for number in range(10):
            peer.sendto(b"%d" % number, it.local_address)
        wait_readable(it.sock)
        first, second, third = (it._batch.receive() for _ in range(3))
        assert [data for data, _ in first] == [b"%d" % n for n in range(8)]
        assert [data for data, _ in second] == [b"8", b"9"]
        assert third == []
        assert {addr for _, addr in first} == {peer.getsockname()}
        assert it._batch.datagrams == 10
        assert it._batch.bytes_received == 10


def test_the_data_is_of_its_own_size_and_not_shared(batch, peer):
    with opened() as it:
        peer.sendto(b"a" * 100, it.local_address)
        wait_readable(it.sock)
        [(data, _)] = it._batch.receive()
        peer.sendto(b"b" * 100, it.local_address)
        wait_readable(it.sock)
        it._batch.receive()
        assert data == b"a" * 100
        assert sys.getsizeof(data) < 200


def test_one_peer_has_one_address_object(peer):
    if "mmsg" not in BATCHES:
        pytest.skip("only the compiled one keeps addresses")
    with opened() as it:
        for _ in range(2):
            peer.sendto(b"x", it.local_address)
        wait_readable(it.sock)
        (_, one), (_, two) = it._batch.receive()
        assert one is two


def test_many_peers_do_not_grow_the_memory_of_addresses(batch):
    with opened() as it, contextlib.ExitStack() as stack:
        for _ in range(300):
            sock = stack.enter_context(udp_socket())
            sock.sendto(b"x", it.local_address)
            wait_readable(it.sock)
            got = it._batch.receive()
            assert got == [(b"x", sock.getsockname())]
            it._batch.send([(b"y", got[0][1])])
            assert sock.recv(10) == b"y"


@pytest.mark.parametrize("size", [0, 1, 65_507])
def test_every_size(batch, peer, size):
    with opened() as it:
        peer.sendto(b"s" * size, it.local_address)
        wait_readable(it.sock)
        [(data, addr)] = it._batch.receive()
        assert data == b"s" * size
        assert it._batch.send([(data, addr)]) == (1, [])
        assert peer.recv(70_000) == data
        assert (it._batch.sent, it._batch.bytes_sent) == (1, size)


def test_a_longer_one_is_cut_and_kept_apart(batch, peer):
    with opened(read_buf_size=50) as it:
        for size in (50, 51, 5000, 49):
            peer.sendto(b"c" * size, it.local_address)
        wait_readable(it.sock)
        assert [len(data) for data, _ in it._batch.receive()] == [50, 49]
        assert [len(data) for data, _ in it._batch.cut] == [50, 50]
        assert it._batch.truncated == 2
        assert it._batch.datagrams == 4


def test_sending_goes_on_after_one_that_fails(batch, peer):
    addr = peer.getsockname()
    with opened(batch_size=4) as it:
        datagrams = [(b"1", addr), (b"x" * 65_508, addr), (b"2", addr), (b"3", ("no address", 5)), (b"4", addr),
                     (b"5", ("127.0.0.1", 0)), (b"6", addr)]  # fmt: skip
        taken, failures = it._batch.send(datagrams)
        assert taken == len(datagrams)
        assert [at for at, _ in failures] == [1, 3, 5]
        assert failures[0][1].errno == errno.EMSGSIZE
        assert isinstance(failures[1][1], ValueError)
        assert [peer.recv(10) for _ in range(4)] == [b"1", b"2", b"4", b"6"]
        assert it._batch.sent == 4


def test_more_than_a_batch_is_sent_in_order(batch, peer):
    with opened(batch_size=3) as it:
        assert it._batch.send([(b"%d" % n, peer.getsockname()) for n in range(20)]) == (20, [])
        assert [peer.recv(10) for _ in range(20)] == [b"%d" % n for n in range(20)]


@pytest.mark.parametrize("wrong", [bytearray(b"x"), "text", None])
def test_only_bytes_are_sent(batch, peer, wrong):
    with opened() as it:
        taken, [(at, error)] = it._batch.send([(b"1", peer.getsockname()), (wrong, peer.getsockname())])
        assert (taken, at, type(error)) == (2, 1, TypeError)
        assert str(error) == f"a datagram is bytes, not {type(wrong).__name__}"
        assert peer.recv(10) == b"1"


NO_PAIRS = [
    (b"x",),
    (b"x", ("127.0.0.1", 5060), 1),
    None,
    5,
    (),
    b"xy",
    "xy",
    [b"x", ("127.0.0.1", 5060)],
    {1: 2, 3: 4},
]


@pytest.mark.parametrize("wrong", NO_PAIRS)
def test_what_is_no_datagram_keeps_no_other_back(batch, peer, wrong):
    data = b"%d" % os.getpid()
    with opened() as it:
        before = sys.getrefcount(data)
        for _ in range(10):
            taken, failures = it._batch.send([(data, peer.getsockname()), wrong, (data, peer.getsockname())])
            assert (taken, [at for at, _ in failures]) == (3, [1])
            assert repr(failures[0][1]) == repr(TypeError(f"a datagram is (data: bytes, address), not {wrong!r}"))
            assert [peer.recv(10), peer.recv(10)] == [data, data]
        del failures
        gc.collect()  # an error knows the frame that raised it
        assert sys.getrefcount(data) == before


@pytest.mark.parametrize(
    "addr",
    [("127.0.0.1",), "x", None, ("127.0.0.1", "5060"), (b"127.0.0.1", 5060), ("127.0.0.1", 65_536), ("", 5060),
     ("127.0.0.1", -1), ("127.0.0.1", 1 << 70), ("127.0.0.1\0", 5060), ("localhost", 5060), ("::1", 5060), 5],
)  # fmt: skip
def test_an_address_that_is_none_is_an_error_of_its_datagram(batch, peer, addr):
    with opened() as it:
        taken, [(at, error)] = it._batch.send([(b"1", addr), (b"2", peer.getsockname())])
        assert (taken, at) == (2, 0)
        assert isinstance(error, ValueError | TypeError | LookupError | OverflowError)
        assert peer.recv(10) == b"2"


ODD_HOSTS = [
    "fe80::1%4294967296", "fe80::1%4294967297", "fe80::1%18446744073709551617", "fe80::1%" + "9" * 5000,
    "fe80::1%0", "fe80::1%00000000000", "fe80::1%-1", "fe80::1%+1", "fe80::1%1 ", "fe80::1%1_0",
    "fe80::1%\u0661", "fe80::1%", "fe80::1%nowhere-at-all", "fe80::1%\ud800", "fe80::1%\udcff", "fe80::1%lo\0",
    "fe80::1%\0", "fe80::1%lo%lo", "\ud800", "\udcff", "\ud800%lo", "fe80\0::1%lo", "::1\0", "\0", "é",
    "127.0.0.1\ud800", "127.0.0.1%lo", "127.0.0.1\0", "", "%", "%lo", "::ffff:127.0.0.1", "::ffff:127.0.0.1%lo",
    "[::1]", "127.1", "0x7f.0.0.1", "1" * 100_000,
]  # fmt: skip
ODD_ADDRESSES = [*((host, 5060) for host in ODD_HOSTS), None, 5, (), ("::1",), "x", "", b"::1", {}, {0: "::1", 1: 5},
                 ("::1", "5"), ("::1", True), ("::1", 1 << 70), (b"::1", 5), ("::1", 0), ["::1", 0],
                 object]  # fmt: skip


@pytest.mark.skipif(transport._udp is _udp_py, reason="compares the compiled batch with the plain one")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", *(["::"] if HAS_IPV6 else [])])
def test_both_say_the_same_of_an_odd_address(host):
    """Of one to send to, and of one to send from."""
    for address in ODD_ADDRESSES:
        for sent in (address, PeerAddress("127.0.0.1", 9, address), PeerAddress("fe80::1", 9, address)):
            said = []
            for module in (transport._udp, _udp_py):
                with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((host, 0))
                    sock.setblocking(False)
                    said.append(repr(module.Batch(sock, 4, 1000).send([(b"x", sent)])))
            assert said[0] == said[1], sent


@pytest.mark.parametrize("zone", ["4294967296", "4294967297", "9" * 5000])
def test_a_zone_is_32_bits(zone):
    with pytest.raises(ValueError, match="no such interface"):
        wire_address(socket.AF_INET6, (f"fe80::1%{zone}", 5060))


@pytest.mark.parametrize(("size", "buffer"), [(0, 100), (1025, 100), (1, 0), (1, 65_536)])
def test_sizes_out_of_range(batch, peer, size, buffer):
    with pytest.raises(ValueError, match="size is 1 to 1024"):
        batch(peer, size, buffer)


def test_a_closed_socket_is_an_error(batch):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it = batch(sock, 4, 100)
    sock.close()
    with pytest.raises(OSError, match=r"[Bb]ad file"):
        it.receive()
    assert it.send([(b"x", ("127.0.0.1", 9))])[1][0][1].errno == errno.EBADF


# ---------------------------------------------------------------- addresses


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_ipv6(batch):
    with opened("::1", 0) as it, udp_socket("::1", socket.AF_INET6) as peer:
        assert it.local_address[0] == "::1"
        peer.sendto(b"six", (*it.local_address, 0, 0))
        wait_readable(it.sock)
        [(data, addr)] = it._batch.receive()
        assert (data, addr) == (b"six", ("::1", peer.getsockname()[1]))
        assert it._batch.send([(b"back", addr)]) == (1, [])
        assert peer.recv(10) == b"back"
        assert it.max_payload == 65_527


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_dual_stack(batch, peer):
    with opened("::", 0) as it, udp_socket("::1", socket.AF_INET6) as six:
        port = it.local_address[1]
        peer.sendto(b"four", ("127.0.0.1", port))
        six.sendto(b"six", ("::1", port))
        wait_readable(it.sock)
        four_addr, six_addr = (addr for _, addr in it._batch.receive())
        assert four_addr == peer.getsockname()
        assert six_addr == ("::1", six.getsockname()[1])
        assert it._batch.send([(b"to four", four_addr), (b"to six", six_addr)]) == (2, [])
        assert peer.recv(10) == b"to four"
        assert six.recv(10) == b"to six"


def test_normal_addresses():
    assert normal_address(("1.2.3.4", 5)) == ("1.2.3.4", 5)
    assert normal_address(("::ffff:1.2.3.4", 5, 0, 0)) == ("1.2.3.4", 5)
    assert normal_address(("fe80::1%lo", 5, 0, 1)) == ("fe80::1%lo", 5)
    assert normal_address(("2001:db8::1", 5, 0, 0)) == ("2001:db8::1", 5)


@pytest.mark.skipif(not HAS_IPV6 or not hasattr(socket, "if_nameindex"), reason="needs IPv6 and interface names")
def test_zones():
    number, name = socket.if_nameindex()[0]
    assert normal_address(("fe80::1", 5, 0, number)) == (f"fe80::1%{name}", 5)
    assert wire_address(socket.AF_INET6, (f"fe80::1%{name}", 5)) == ("fe80::1", 5, 0, number)
    assert wire_address(socket.AF_INET6, (f"fe80::1%{number}", 5)) == ("fe80::1", 5, 0, number)
    for zone in ("nowhere-at-all", "0"):
        with pytest.raises(ValueError, match="no such interface"):
            wire_address(socket.AF_INET6, (f"fe80::1%{zone}", 5))


def test_wire_addresses():
    assert wire_address(socket.AF_INET6, ("1.2.3.4", 5)) == ("::ffff:1.2.3.4", 5, 0, 0)
    for host in ("1.2.3.4%lo", "1.2.3", "::g", "[::1]", "", "example.com"):
        with pytest.raises(ValueError, match="not an IP address"):
            wire_address(socket.AF_INET6, (host, 5))


# ---------------------------------------------------------------- which of our addresses

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux says which address a datagram came to")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
SIX = socket.AF_INET6


def link_local():
    """A link-local address of this machine with its zone, for instance `fe80::1%eth0`."""
    with contextlib.suppress(OSError), Path("/proc/net/if_inet6").open() as file:
        for line in file:
            digits, *_, name = line.split()
            if digits.startswith("fe80"):
                return f"{socket.inet_ntop(SIX, bytes.fromhex(digits))}%{name}"
    return None


def asked(it, target, family=socket.AF_INET):
    """What the transport is told of the source of a datagram to `target`, and where the answer to it came from."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"ask", socket.getaddrinfo(target, it.local_address[1], type=socket.SOCK_DGRAM)[0][4])
        wait_readable(it.sock)
        [(_, addr)] = it._batch.receive()
        assert addr[1] == sock.getsockname()[1]
        assert it._batch.send([(b"answer", addr)]) == (1, [])
        return addr, normal_address(sock.recvfrom(10)[1])


@needs_linux
@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])
@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.2"])
def test_an_answer_leaves_from_the_address_that_was_asked(batch, host, target):
    with opened(host, 0) as it:
        own = (target, it.local_address[1])
        addr, came_from = asked(it, target)
        assert (addr[0], addr.local, came_from) == ("127.0.0.1", own, own)


@needs_linux
@needs_ipv6
def test_an_answer_leaves_from_the_ipv6_address_that_was_asked(batch):
    with opened("::", 0) as it:
        own = ("::1", it.local_address[1])
        addr, came_from = asked(it, "::1", SIX)
        assert (addr[0], addr.local, came_from) == ("::1", own, own)


@needs_linux
@pytest.mark.skipif(link_local() is None, reason="this machine has no link-local address")
def test_an_answer_from_a_link_local_address_has_its_zone(batch):
    with opened("::", 0) as it:
        own = (link_local(), it.local_address[1])
        addr, came_from = asked(it, link_local(), SIX)
        assert (addr[0], addr.local, came_from) == (link_local(), own, own)


@needs_linux
@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])
def test_a_broadcast_is_answered_from_the_address_of_its_interface(batch, host):
    with opened(host, 0) as it:
        addr, came_from = asked(it, "127.255.255.255")
        assert addr.local == came_from == ("127.0.0.1", it.local_address[1])


@needs_linux
@pytest.mark.skipif(link_local() is None, reason="this machine has no link-local address")
def test_a_group_is_no_address_to_answer_from(batch):
    with opened("::", 0) as it:
        addr, came_from = asked(it, "ff02::1%" + link_local().partition("%")[2], SIX)
        assert type(addr) is tuple
        assert came_from == (link_local(), it.local_address[1])


@needs_linux
def test_one_peer_that_asks_at_two_addresses(batch, peer):
    with opened("0.0.0.0", 0) as it:
        for target in ("127.0.0.1", "127.0.0.2") * 3:
            peer.sendto(b"x", (target, it.local_address[1]))
        wait_readable(it.sock)
        got = it._batch.receive()
        assert [addr.local[0] for _, addr in got] == ["127.0.0.1", "127.0.0.2"] * 3
        it._batch.send(got)
        it._batch.send([(b"x", peer.getsockname())])  # from where the kernel likes
        assert [peer.recvfrom(10)[1][0] for _ in range(7)] == ["127.0.0.1", "127.0.0.2"] * 3 + ["127.0.0.1"]


@needs_linux
def test_what_is_cut_says_where_it_came_to_as_well(batch, peer):
    with opened("0.0.0.0", 0, read_buf_size=4) as it:
        peer.sendto(b"too long", ("127.0.0.2", it.local_address[1]))
        wait_readable(it.sock)
        assert it._batch.receive() == []
        [(data, addr)] = it._batch.cut
        assert (data, addr.local[0]) == (b"too ", "127.0.0.2")


@needs_linux
def test_what_waited_in_the_send_queue_leaves_from_the_address_that_was_asked(batch, peer):
    with opened("0.0.0.0", 0) as it:
        peer.sendto(b"x", ("127.0.0.2", it.local_address[1]))
        wait_readable(it.sock)
        [(_, addr)] = it._batch.receive()
        clogged = it._batch = Clogged(it._batch, 0)
        assert not it.send([(b"later", addr)])
        assert it.flush() == 1
        clogged.room = 1
        assert it.flush() == 0
        assert peer.recvfrom(10) == (b"later", ("127.0.0.2", it.local_address[1]))


def test_a_socket_with_one_address_gives_plain_tuples_and_leaves_from_it(batch, peer):
    with opened() as it:
        addr, came_from = asked(it, "127.0.0.1")
        assert type(addr) is tuple
        assert came_from == it.local_address
        assert it._batch.send([(b"x", PeerAddress(*peer.getsockname(), ("127.0.0.2", 5)))]) == (1, [])
        assert peer.recvfrom(10)[1] == it.local_address


@needs_linux
@pytest.mark.parametrize("local", [("127.0.0.2", 5060), ("127.0.0.2", 1)])
def test_an_address_to_send_from_can_be_made(batch, peer, local):
    with opened("0.0.0.0", 0) as it:
        addr = PeerAddress(*peer.getsockname(), local)
        for _ in range(2):
            assert it._batch.send([(b"x", addr)]) == (1, [])
            assert peer.recvfrom(10)[1] == ("127.0.0.2", it.local_address[1])


@needs_linux
@pytest.mark.parametrize(
    "local", [("::1", 5060), ("", 5060), ("192.0.2.254", 5060), (5, 5060), ("127.0.0.1", 0), None, "x"]
)
def test_an_address_that_it_cannot_send_from(batch, peer, local):
    with opened("0.0.0.0", 0) as it:
        taken, [(at, error)] = it._batch.send(
            [(b"1", PeerAddress(*peer.getsockname(), local)), (b"2", peer.getsockname())]
        )
        assert (taken, at) == (2, 0)
        assert isinstance(
            error, OSError if local and local[0] == "192.0.2.254" else ValueError | TypeError | LookupError
        )
        assert peer.recv(10) == b"2"


@needs_linux
@needs_ipv6
@pytest.mark.parametrize(("target", "local"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_both_ends_are_of_one_family(batch, target, local):
    with opened("::", 0) as it:
        assert "family" in str(it._batch.send([(b"x", PeerAddress(target, 9, (local, 5060)))])[1][0][1])


def test_an_address_with_our_own_is_the_tuple_that_it_was():
    addr = PeerAddress("192.0.2.1", 5060, ("192.0.2.2", 5062))
    assert addr == ("192.0.2.1", 5060)
    assert {addr: 1}[("192.0.2.1", 5060)] == 1
    assert repr(addr) == "('192.0.2.1', 5060)"
    host, port = addr
    assert (host, port) == addr[:2]
    assert isinstance(addr, tuple)
    for same in (copy.copy(addr), copy.deepcopy(addr), *(pickle.loads(pickle.dumps(addr, n)) for n in range(6))):
        assert (type(same), same, same.local) == (PeerAddress, addr, addr.local)
    with pytest.raises(AttributeError, match="cannot be changed"):
        del addr.local
    with pytest.raises(AttributeError, match="cannot be changed"):
        addr.local = ("192.0.2.3", 5060)


# ---------------------------------------------------------------- opening and closing


def test_it_is_a_datagram_transport():
    assert isinstance(UDPTransport(), DatagramTransport)


def test_port_0_and_the_local_address():
    it = UDPTransport("127.0.0.1", 0)
    assert it.local_address is None
    assert it.sock is None
    it.open()
    host, port = it.local_address
    assert host == "127.0.0.1"
    assert port > 0
    with pytest.raises(RuntimeError, match="open already"):
        it.open()
    it.close()
    it.close()
    assert it.local_address is None
    it.open()
    it.close()


def test_an_address_in_use_is_named():
    with opened() as it:
        port = it.local_address[1]
        with pytest.raises(TransportError, match=rf"cannot listen on 127\.0\.0\.1:{port}: ") as caught:
            UDPTransport("127.0.0.1", port).open()
        assert caught.value.errno == errno.EADDRINUSE
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("host", ["no such host.invalid", "256.1.1.1.1", "198.51.100.77"])
def test_an_address_that_cannot_be_had(host):
    with pytest.raises(TransportError, match="cannot listen on"):
        UDPTransport(host, 0).open()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="needs SO_REUSEPORT")
def test_reuse_port():
    with opened("127.0.0.1", 0, reuse_port=True) as one, opened(*one.local_address, reuse_port=True) as two:
        assert one.local_address == two.local_address


def test_a_socket_of_the_callers():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    it = UDPTransport(sock=sock)
    it.open()
    assert it.local_address == sock.getsockname()
    it.close()
    assert sock.fileno() == -1


def test_buffers_are_asked_for_and_read_back(caplog):
    with opened(recv_buffer=100_000, send_buffer=100_000) as it:
        assert it.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 100_000
    assert not caplog.records
    with opened(recv_buffer=1 << 30):
        pass
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "the receive buffer is" in record.getMessage()
    caplog.clear()
    with opened():
        assert not caplog.records


def test_not_open(run):
    async def main():
        it = UDPTransport("127.0.0.1", 0)
        with pytest.raises(RuntimeError, match="not open"):
            await it.start(Sink())
        with pytest.raises(TransportError, match="not open"):
            it.send([])
        await it.drain(Sink(), 1)
        assert it.flush() == 0
        it.stop()
        it.close()

    run(main())


# ---------------------------------------------------------------- on a loop


class Sink:
    """Collects what a transport delivers."""

    def __init__(self):
        self.datagrams, self.cut, self.errors = [], [], []

        self.deliver, self.deliver_cut, self.fail = self.datagrams.extend, self.cut.extend, self.errors.append

    async def start(self, it):
        await it.start(self)

    async def wait(self, what, count=1):
        return await self.wait_for(getattr(self, what), count, what)

    async def wait_for(self, got, count=1, what="of them"):
        end = time.monotonic() + 30
        while len(got) < count:
            assert time.monotonic() < end, f"{len(got)} of {count} {what}"
            await asyncio.sleep(0.003)
        return got


def test_start_and_stop(run, batch, peer):
    async def main():
        sink = Sink()
        with opened() as it:
            await sink.start(it)
            with pytest.raises(RuntimeError, match="read already"):
                await sink.start(it)
            peer.sendto(b"one", it.local_address)
            assert await sink.wait("datagrams") == [(b"one", peer.getsockname())]
            assert not it.send([(b"answer", peer.getsockname())])
            assert peer.recv(10) == b"answer"
            it.stop()
            it.stop()
            peer.sendto(b"two", it.local_address)
            await asyncio.sleep(0.02)
            assert len(sink.datagrams) == 1
            await sink.start(it)
            assert (await sink.wait("datagrams", 2))[1][0] == b"two"
            counters = it.counters()
            assert (counters["datagrams"], counters["bytes_received"]) == (2, 6)
            assert (counters["sent"], counters["bytes_sent"]) == (1, 6)
        assert it.counters()["datagrams"] == 2

    run(main())


def test_a_long_one_on_a_loop(run, batch, peer):
    async def main():
        sink = Sink()
        with opened(read_buf_size=20) as it:
            await sink.start(it)
            peer.sendto(b"x" * 30, it.local_address)
            assert await sink.wait("cut") == [(b"x" * 20, peer.getsockname())]
            assert it.counters()["truncated"] == 1
            assert it.counters()["datagrams"] == 1

    run(main())


def test_errors_of_sending_on_a_loop(run, batch, peer):
    async def main():
        sink = Sink()
        with opened() as it:
            await sink.start(it)
            datagrams = [(b"x" * 65_508, peer.getsockname()), (b"y", ("x", 1)), (b"z", peer.getsockname())]
            (_, _, too_long), (_, _, no_address) = it.send(datagrams)
            assert isinstance(too_long, TransportError)
            assert too_long.errno == errno.EMSGSIZE
            assert "65508 bytes" in str(too_long)
            assert isinstance(no_address, ValueError)
            assert peer.recv(10) == b"z"
            assert it.counters()["send_errors"] == 2

    run(main())


def test_an_icmp_refusal_is_no_error(run, batch):
    """Told of at a socket that has one peer alone; to the others the kernel does not say."""

    async def main():
        sink = Sink()
        with refusing_socket() as gone, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.connect(gone.getsockname())
            it = UDPTransport(sock=sock)
            it.open()
            await sink.start(it)
            end = time.monotonic() + 30
            while not it.counters()["icmp_errors"] + it.counters()["send_errors"]:
                assert time.monotonic() < end
                it.send([(b"knock", gone.getsockname())])
                await asyncio.sleep(0.02)
            gone.connect(it.local_address)
            gone.send(b"I am back")
            await sink.wait("datagrams")
            assert not sink.errors
            it.close()

    run(main())


@pytest.mark.parametrize("how", ["object", "descriptor", "reused"])
def test_a_socket_closed_underneath(run, batch, how, tmp_path):
    async def main():
        sink = Sink()
        it = UDPTransport("127.0.0.1", 0, check_interval=0.05)
        it.open()
        await sink.start(it)
        await asyncio.sleep(0.01)  # libuv aborts the process where it has not even seen the descriptor
        descriptor = it.sock.fileno()
        if how == "object":
            it.sock.close()
        else:
            os.close(descriptor)
        if how == "reused":
            file = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
            if file != descriptor:
                os.dup2(file, descriptor)
                os.close(file)
        [error] = await sink.wait("errors")
        assert error.errno == errno.EBADF
        it.close()
        if how == "reused":
            os.close(descriptor)  # it was not closed by the transport, which it does not belong to

    run(main())


# ---------------------------------------------------------------- a send buffer that is full


class Clogged:
    """A batch whose socket takes `room` datagrams and then none until it is given room again."""

    def __init__(self, batch, room):
        self._batch, self.room = batch, room

    def __getattr__(self, name):
        return getattr(self._batch, name)

    def send(self, datagrams):
        upto = min(len(datagrams), self.room)
        self.room -= upto
        _, failures = self._batch.send(datagrams[:upto])
        return upto, failures


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_a_full_send_buffer(loop, batch, peer):
    async def main():
        sink = Sink()
        addr = peer.getsockname()
        with opened(send_queue=3) as it:
            await sink.start(it)
            clogged = it._batch = Clogged(it._batch, 2)
            failures = it.send([(b"%d" % n, addr) for n in range(7)])
            assert [data for data, _, _ in failures] == [b"5", b"6"]
            assert all(isinstance(error, BlockingIOError) for _, _, error in failures)
            assert it.counters()["queue_drops"] == 2
            assert [data for data, _, _ in it.send([(b"7", addr)])] == [b"7"]
            clogged.room = 100
            end = time.monotonic() + 30
            while it._queue:
                assert time.monotonic() < end
                await asyncio.sleep(0.002)
            assert not it.send([(b"8", addr)])
            assert [peer.recv(10) for _ in range(6)] == [b"0", b"1", b"2", b"3", b"4", b"8"]
            clogged.room = 0
            assert not it.send([(b"9", addr)])
        assert it.counters()["queue_drops"] == 4

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_a_full_send_buffer_without_a_loop(batch, peer):
    addr = peer.getsockname()
    with opened(send_queue=2) as it:
        clogged = it._batch = Clogged(it._batch, 0)
        [(data, _, error)] = it.send([(b"1", addr), (b"2", addr), (b"3", addr)])
        assert data == b"3"
        assert isinstance(error, BlockingIOError)
        assert it.flush() == 2
        clogged.room = 10
        assert not it.send([(b"4", addr)])  # which sends those before it first
        assert it.flush() == 0
        assert [peer.recv(10) for _ in range(3)] == [b"1", b"2", b"4"]


def test_a_loop_that_cannot_watch_and_a_stop_before_it_reads():
    async def main():
        with opened() as it:
            starting = asyncio.ensure_future(it.start(Sink()))
            await asyncio.sleep(0)
            it.stop()
            await starting
            sink = Sink()
            await it.start(sink)  # nothing of the first one is left
            with udp_socket() as sock:
                sock.sendto(b"x", it.local_address)
                await sink.wait("datagrams")

    with asyncio.Runner(loop_factory=NoReaderLoop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


# ---------------------------------------------------------------- what only the kernel knows


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts its drops")
def test_kernel_drops(batch, peer):
    with opened(recv_buffer=4096) as it:
        for _ in range(200):
            peer.sendto(b"x" * 1000, it.local_address)
        wait_readable(it.sock)
        got = 0
        while batch := it._batch.receive():
            got += len(batch)
        assert 0 < got < 200
        assert it.counters()["kernel_drops"] == 200 - got
        assert it.counters()["kernel_drops"] == 200 - got
    assert it.counters()["kernel_drops"] == 200 - got


@pytest.mark.skipif("mmsg" not in BATCHES, reason="needs the compiled part")
def test_a_socket_that_is_drained_gives_what_it_has_and_takes_no_more(run, peer):
    async def main():
        sink = Sink()
        with opened(batch_size=2) as it:
            for n in range(5):
                peer.sendto(b"%d" % n, it.local_address)
            wait_readable(it.sock)

            def deliver(batch):
                peer.sendto(b"too late", it.local_address)
                sink.datagrams.extend(batch)

            sink.deliver = deliver
            await it.drain(sink, 5)
            assert [data for data, _ in sink.datagrams] == [b"0", b"1", b"2", b"3", b"4"]
            sink.deliver = sink.datagrams.extend
            await sink.start(it)  # opens it again
            peer.sendto(b"again", it.local_address)
            assert (await sink.wait("datagrams", 6))[5][0] == b"again"

    run(main())


def test_draining_gives_the_cut_ones_too(run, batch, peer):
    async def main():
        sink = Sink()
        with opened(read_buf_size=20) as it:
            for size in (5, 30, 6):
                peer.sendto(b"x" * size, it.local_address)
            wait_readable(it.sock)
            await it.drain(sink, 0.1)
            assert [len(data) for data, _ in sink.datagrams] == [5, 6]
            assert [len(data) for data, _ in sink.cut] == [20]

    run(main())


# ---------------------------------------------------------------- runs (UDP_SEGMENT)

UDP_GRO = 104  # Linux: a receiver with it is given a run in one piece


def all_of(sock, count):
    sock.settimeout(30)
    return [sock.recv(65535) for _ in range(count)]


@contextlib.contextmanager
def two_peers():
    with udp_socket() as one, udp_socket() as other:
        yield one, other


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_runs_arrive_as_the_datagrams_they_are(batch, host):
    with two_peers() as (one, other), opened(host, 0, gso=True, batch_size=70) as it:
        a, b = one.getsockname(), other.getsockname()
        for_one = [b"%04d" % n for n in range(66)] + [b"longer", b"", b"", b"short", b"%030000d" % 1, b"%030000d" % 2]
        for_one += [b"%030000d" % 3, b"same1", b"same2"]
        datagrams = [(data, a) for data in for_one]
        datagrams[10:10] = [(b"othr", b), (b"othr", b)]  # one size, but another peer
        assert it.send(datagrams) == ()
        assert all_of(one, len(for_one)) == for_one
        assert all_of(other, 2) == [b"othr", b"othr"]
        assert it.counters()["sent"] == len(datagrams)
        assert it.counters()["bytes_sent"] == sum(len(data) for data, _ in datagrams)


def test_a_run_leaves_from_the_address_that_each_of_its_datagrams_came_to(batch):
    if sys.platform != "linux":
        pytest.skip("only Linux says which address a datagram came to")
    with udp_socket("0.0.0.0") as peer, opened("0.0.0.0", 0, gso=True) as it:
        port = it.local_address[1]
        locals_ = ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.2"]
        target = "127.0.0.1", peer.getsockname()[1]
        assert it.send([(b"data", PeerAddress(*target, (host, port))) for host in locals_]) == ()
        assert [peer.recvfrom(100)[1] for _ in locals_] == [(host, port) for host in locals_]


def test_what_cannot_be_sent_in_the_middle_of_a_run_is_told_and_the_others_leave(batch, peer):
    with opened(gso=True) as it:
        target = peer.getsockname()
        bad = b"bad", ("nowhere", 5)
        [(*failed, error)] = it.send([(b"one", target), (b"two", target), bad, (b"ten", target)])
        assert (*failed, type(error)) == (*bad, ValueError)
        assert all_of(peer, 3) == [b"one", b"two", b"ten"]


def test_a_run_that_the_system_refuses_goes_as_its_datagrams(batch, peer):
    if sys.platform != "linux":
        pytest.skip("the option is Linux's")
    with opened(gso=True) as it:
        it.sock.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK, and runs need checksums
        data = [b"%03d" % n for n in range(20)]
        assert it.send([(one, peer.getsockname()) for one in data]) == ()
        assert all_of(peer, 20) == data
        assert it.counters()["sent"] == 20
        assert it.counters()["send_errors"] == 0


@pytest.mark.skipif("mmsg" not in BATCHES, reason="the plain batch sends one by one")
@pytest.mark.parametrize("gso", [False, True])
def test_a_run_passes_through_the_kernel_as_one_and_only_where_it_is_asked_for(peer, gso):
    peer.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    with opened(gso=gso) as it:
        assert it.send([(b"%04d" % n, peer.getsockname()) for n in range(8)]) == ()
        assert peer.recv(65535) == (b"".join(b"%04d" % n for n in range(8)) if gso else b"0000")


def test_an_endpoint_answers_in_runs_where_its_config_says_so():
    for gso in (False, True):
        assert make_transport(EndpointConfig(port=0, gso=gso))._gso is gso


# ---------------------------------------------------------------- other threads


def test_a_stop_while_another_thread_finds_the_socket_full(monkeypatch, batch, peer):
    async def main():
        with opened() as it:
            await it.start(Sink())
            it._batch = Clogged(it._batch, 0)
            # What another thread asks just before it tells the loop; at this moment the loop's thread stops reading.
            monkeypatch.setattr(transport, "running_loop", it.stop)
            assert it.send([(b"kept", peer.getsockname())]) == []
            it._batch.room = 1
            assert it.flush() == 0
            assert peer.recv(10) == b"kept"

    asyncio.run(main())


def test_a_socket_that_is_closed_in_the_middle_of_a_send_is_not_sent_to(batch, peer):
    class Place(tuple):
        def __getitem__(self, at):
            if not taken:
                it.sock.close()
                taken.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))  # it gets the same descriptor
            return super().__getitem__(at)

    taken = []
    with opened() as it:
        fd = it.sock.fileno()
        try:
            [(_, _, error)] = it.send([(b"astray", Place(peer.getsockname()))])
            assert taken[0].fileno() == fd
            assert error.errno == errno.EBADF
            peer.settimeout(0.1)
            with pytest.raises(TimeoutError):
                peer.recv(10)
        finally:
            taken[0].close()


# ---------------------------------------------------------------- what a finalizer, a handler or the system may do


class Meddler:
    """A batch in whose `send` something else happens first, as a finalizer may."""

    def __init__(self, batch, meddle):
        self._batch, self._meddle = batch, meddle

    def __getattr__(self, name):
        return getattr(self._batch, name)

    def send(self, datagrams):
        meddle, self._meddle = self._meddle, lambda: None
        meddle()
        return self._batch.send(datagrams)


def test_a_transport_that_is_closed_while_its_queue_is_sent(batch, peer):
    it = UDPTransport("127.0.0.1", 0)
    it.open()
    real = it._batch
    it._batch = Clogged(real, 0)
    it.send([(b"%d" % number, peer.getsockname()) for number in range(3)])
    it._batch = Meddler(Clogged(real, 0), it.close)
    assert it.flush() == 0
    assert it.counters()["queue_drops"] == 3
    assert it.local_address is None


def test_a_queue_that_is_sent_while_it_is_sent(batch, peer):
    it = UDPTransport("127.0.0.1", 0)
    it.open()
    real = it._batch
    it._batch = Clogged(real, 0)
    it.send([(b"%d" % number, peer.getsockname()) for number in range(3)])
    it._batch = Meddler(real, it.flush)
    assert it.flush() == 0
    assert [peer.recv(100) for _ in range(3)] == [b"0", b"1", b"2"]
    it.close()


def test_a_transport_that_is_closed_says_so(run, batch):
    async def main():
        for close in (UDPTransport.close, lambda it: threading.Thread(target=it.close).start()):
            sink = Sink()
            it = UDPTransport("127.0.0.1", 0)
            it.open()
            await sink.start(it)
            close(it)
            [error] = await sink.wait("errors")
            assert (type(error), error.errno) == (TransportError, errno.EBADF)
            it.open()
            await sink.start(it)
            it.stop()
            it.close()
            await asyncio.sleep(0.01)
            assert len(sink.errors) == 1

    run(main())


class Refusing:
    """A batch that the system does not let read for so many times."""

    def __init__(self, batch, number, times):
        self._batch, self.number, self.times = batch, number, times

    def __getattr__(self, name):
        return getattr(self._batch, name)

    def receive(self):
        if self.times:
            self.times -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self._batch.receive()


@pytest.mark.parametrize("name", ["EPERM", "EACCES", "ENOMEM", "ENOBUFS"])
def test_a_read_that_the_system_refuses_for_a_while(run, batch, peer, name, monkeypatch, caplog):
    monkeypatch.setattr("sipstack.transport._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("sipstack.transport._PAUSES", 5)

    async def main():
        sink = Sink()
        it = UDPTransport("127.0.0.1", 0)
        it.open()
        await sink.start(it)
        if it._fallback is not None:  # the loop reads it
            it.close()
            return
        for _ in range(2):  # what is counted in a row begins again
            it._batch = Refusing(it._batch, getattr(errno, name), 4)
            peer.sendto(b"x", it.local_address)
            await sink.wait("datagrams")
            sink.datagrams.clear()
        assert it.counters()["read_errors"] == 8
        assert "cannot read for now" in caplog.text
        it._batch = Refusing(it._batch, getattr(errno, name), 1000)
        peer.sendto(b"x", it.local_address)
        [error] = await sink.wait("errors")
        assert error.errno == getattr(errno, name)
        it.close()

    run(main())


def test_a_descriptor_that_is_no_socket_any_more_is_not_closed(run, batch, tmp_path):
    """recvmmsg says ENOTSOCK before the next look at the descriptor; what stands there is somebody else's."""

    async def main():
        sink = Sink()
        it = UDPTransport("127.0.0.1", 0)
        it.open()
        await sink.start(it)
        await asyncio.sleep(0.01)
        descriptor = it.sock.fileno()
        file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
        os.dup2(file, descriptor)
        os.close(file)
        it._on_error(OSError(errno.ENOTSOCK, "not a socket"))
        [error] = sink.errors
        assert error.errno == errno.ENOTSOCK
        it.close()
        os.close(descriptor)  # still open

    run(main())


@pytest.mark.parametrize("how", ["read", "drained", "stopped between"])
def test_large_datagrams_leave_turns_to_the_loop(run, batch, peer, how):
    """What was read with one call is delivered in portions, and timers and signals have their turn between them."""
    sizes: list[int] = []
    turns: list[int] = []

    async def main():
        loop, turn = asyncio.get_running_loop(), 0
        sink = Sink()
        with opened() as it:
            for n in range(4):
                peer.sendto(b"%d" % n * 50_000, it.local_address)
            wait_readable(it.sock)

            def deliver(datagrams):
                sizes.append(sum(len(data) for data, _ in datagrams))
                turns.append(turn)
                sink.datagrams.extend(datagrams)
                time.sleep(0.002)  # longer than a turn
                if how == "stopped between":
                    it.stop()

            sink.deliver = deliver
            if how == "drained":
                await it.drain(sink, 5)
            else:
                await it.start(sink)
            while len(sink.datagrams) < 4 and turn < 100_000:
                await asyncio.sleep(0)
                turn += 1
                if it._loop is None and how == "stopped between":
                    await it.start(sink)
            assert loop is asyncio.get_running_loop()
        assert [data[:1] for data, _ in sink.datagrams] == [b"0", b"1", b"2", b"3"]

    run(main())
    assert max(sizes) <= 131_072
    assert len(sizes) >= 2
    if how != "drained":
        assert len(set(turns)) == len(turns)


@pytest.mark.parametrize("seconds", [0.002, 0], ids=["dear", "cheap"])
def test_a_turn_of_the_loop_takes_what_is_late_or_what_is_new(run, batch, peer, seconds):
    """Not both: the socket's own callback is due as well, as long as there is more in the socket."""
    turns: list[int] = []

    async def main():
        turn = 0
        sink = Sink()
        with opened() as it:
            for n in range(48):
                peer.sendto(b"%02d" % n * 30_000, it.local_address)
            wait_readable(it.sock)

            def deliver(datagrams):
                turns.append(turn)
                sink.datagrams.extend(datagrams)
                time.sleep(seconds)

            sink.deliver = deliver
            await it.start(sink)
            while len(sink.datagrams) < 48 and turn < 100_000:
                await asyncio.sleep(0)
                turn += 1
            peer.sendto(b"more", it.local_address)  # it is read on
            await sink.wait("datagrams", 49)
        assert [data[:2] for data, _ in sink.datagrams] == [b"%02d" % n for n in range(48)] + [b"mo"]

    run(main())
    assert max(turns.count(turn) for turn in turns) <= (1 if seconds else 4)  # 256 datagrams are four times a batch


@pytest.mark.skipif(os.name != "posix", reason="descriptors are reused there alone")
@pytest.mark.parametrize("how", ["object", "reused"])
def test_a_transport_whose_socket_is_gone_cannot_be_started(run, batch, how, tmp_path):
    async def main():
        sink = Sink()
        with opened() as it:
            descriptor = it.sock.fileno()
            if how == "object":
                it.sock.close()
            else:
                file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
                os.dup2(file, descriptor)
                os.close(file)
            for _ in range(2):
                with pytest.raises(TransportError, match="somebody closed the socket") as caught:
                    await sink.start(it)
                assert caught.value.errno == errno.EBADF
            assert "being read" not in repr(it)
        if how == "reused":
            os.close(descriptor)

    run(main())


@pytest.mark.skipif(os.name != "posix", reason="descriptors are reused there alone")
@pytest.mark.parametrize("loop", sorted({*LOOPS} - {"no_reader"}))
@pytest.mark.parametrize("how", ["read on", "stopped"])
def test_a_pause_at_whose_end_the_descriptor_is_somebody_elses(loop, batch, peer, how):
    """Nobody else's descriptor is watched then, and theirs stays watched."""

    async def main():
        sink = Sink()
        it = UDPTransport("127.0.0.1", 0)
        it.open()
        await sink.start(it)
        await asyncio.sleep(0.01)
        it._on_error(OSError(errno.ENOMEM, "for now"))
        descriptor = it.sock.fileno()
        ours, theirs = socket.socketpair()
        with theirs:
            os.dup2(ours.fileno(), descriptor)
            ours.close()
            heard = []
            asyncio.get_running_loop().add_reader(descriptor, lambda: heard.append(os.read(descriptor, 99)))
            if how == "read on":
                [error] = await sink.wait("errors")
                assert error.errno == errno.EBADF
            else:
                it.stop()
            theirs.send(b"not for us")
            await sink.wait_for(heard)
            assert heard == [b"not for us"]
            assert not sink.datagrams
            it.close()
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as it:
        it.run(asyncio.wait_for(main(), 60))


def test_what_a_number_means_depends_on_the_device_too(batch):
    with opened() as it:
        descriptor, (device, inode) = it.sock.fileno(), it._identity
        assert it._is_ours(descriptor)
        assert os.fstat(descriptor).st_dev == device
        it._identity = device + 1, inode
        assert not it._is_ours(descriptor)
        it._identity = device, inode


def test_small_datagrams_are_one_batch(run, batch, peer):
    async def main():
        sink, sizes = Sink(), []
        with opened(batch_size=64) as it:
            for _ in range(64):
                peer.sendto(b"x" * 1000, it.local_address)
            wait_readable(it.sock)
            sink.deliver = lambda datagrams: (sizes.append(len(datagrams)), sink.datagrams.extend(datagrams))
            await it.start(sink)
            await sink.wait("datagrams", 64)
            assert sizes == ([64] if it._fallback is None else [1] * 64)

    run(main())
