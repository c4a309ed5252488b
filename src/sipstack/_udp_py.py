"""Datagrams in batches, with one system call each: the plain twin of `_udp`, for systems without recvmmsg."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, Final

from ._address import IP_PKTINFO, Address, PeerAddress, tells_local

_WSAEMSGSIZE: Final = 10040
_IPV4_INFO: Final = struct.Struct("=I4s4s")  # in_pktinfo: interface, the address to answer from, the one in the header
_IPV6_INFO: Final = struct.Struct("=16sI")  # in6_pktinfo: address, interface
_MAPPED: Final = bytes(10) + b"\xff\xff"
_CONTROL: Final = 128  # bytes for what the kernel says beside a datagram

_Control = Iterable[tuple[int, int, bytes]]


class Batch:
    """Receives and sends datagrams of one non-blocking UDP socket.

    Args:
        gso: whether a run of datagrams of one size to one peer may go to the kernel as one. Here none does.

    Attributes:
        datagrams, bytes_received: datagrams read and their bytes, the truncated ones too.
        truncated: those that were longer than `read_buf_size`.
        cut: these, with what fitted, until somebody takes them out.
        sent, bytes_sent: datagrams the kernel took and their bytes.
    """

    __slots__ = ("_buffer", "_family", "_many", "_port", "_sock", "_view", "bytes_received", "bytes_sent", "cut",
                 "datagrams", "read_buf_size", "sent", "size", "truncated")  # fmt: skip

    def __init__(self, sock: socket.socket, size: int, read_buf_size: int, gso: bool = False) -> None:  # noqa: ARG002
        if not 1 <= size <= 1024 or not 1 <= read_buf_size <= 65535:
            raise ValueError("size is 1 to 1024 and read_buf_size 1 to 65535")
        self._sock = sock
        self._many = tells_local(sock)
        self._port = sock.getsockname()[1] if self._many else 0
        self._family = sock.family
        self.size = size
        self.read_buf_size = read_buf_size
        self._buffer = bytearray(read_buf_size + 1)  # one byte more shows that a datagram was longer
        self._view = memoryview(self._buffer)
        self.cut: list[tuple[bytes, Address]] = []
        self.datagrams = self.bytes_received = self.truncated = self.sent = self.bytes_sent = 0

    def receive(self) -> list[tuple[bytes, Address]]:
        """The datagrams that wait in the socket, at most `size` of them; OSError where it cannot be read."""
        batch: list[tuple[bytes, Address]] = []
        for _ in range(self.size):
            try:
                length, address = self._receive_one()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if getattr(error, "winerror", None) == _WSAEMSGSIZE:  # longer than the buffer, and not said whose
                    self.truncated += 1
                    continue
                if batch:
                    break  # it will be met again, if it stays
                raise
            cut = length > self.read_buf_size
            datagram = bytes(self._view[: length - cut]), address
            self.datagrams += 1
            self.bytes_received += length - cut
            self.truncated += cut
            (self.cut if cut else batch).append(datagram)
        return batch

    def _receive_one(self) -> tuple[int, Address]:
        """Reads a datagram into the buffer; its length, and where it came from."""
        if not self._many:
            length, peer = self._sock.recvfrom_into(self._buffer)
            return length, normal_address(peer)
        length, control, _, peer = self._sock.recvmsg_into([self._buffer], _CONTROL)
        host, port = normal_address(peer)
        local = _read_own(control)
        return length, (host, port) if local is None else PeerAddress(host, port, (local, self._port))

    def send(self, datagrams: list[tuple[bytes, Address]]) -> tuple[int, list[tuple[int, Exception]]]:
        """Sends datagrams as far as the socket takes them without waiting.

        Returns the place of the first one that is left, and place and error of those before it that cannot be sent.
        """
        failures: list[tuple[int, Exception]] = []
        for at, datagram in enumerate(datagrams):
            try:
                data, address = _pair(datagram)
                if type(data) is not bytes:
                    raise TypeError(f"a datagram is bytes, not {type(data).__name__}")
                self._send_one(data, address)
            except BlockingIOError:
                return at, failures
            except (OSError, ValueError, TypeError, LookupError, OverflowError) as error:
                failures.append((at, error))
            else:
                self.sent += 1
                self.bytes_sent += len(data)
        return len(datagrams), failures

    def _send_one(self, data: bytes, address: Address) -> None:
        peer = wire_address(self._family, address)
        if self._many and type(address) is PeerAddress:
            self._sock.sendmsg([data], [_write_own(self._family, peer[0], address.local)], 0, peer)
        else:
            self._sock.sendto(data, peer)


def _pair(datagram: Any) -> tuple[Any, Any]:
    if not isinstance(datagram, tuple) or len(datagram) != 2:
        raise TypeError(f"a datagram is (data: bytes, address), not {datagram!r}")
    return datagram


def normal_address(peer: Any) -> Address:
    """The `(host, port)` of what Python's socket module calls an address."""
    host: str = peer[0]
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    elif len(peer) > 3 and peer[3] and "%" not in host:
        with contextlib.suppress(OSError):
            host = f"{host}%{socket.if_indextoname(peer[3])}"
    return host, peer[1]


def wire_address(family: int, address: Address) -> Address | tuple[str, int, int, int]:
    """An address as a socket of this family sends to it. ValueError or TypeError: no address it can send to."""
    host, port = address[0], address[1]
    if type(host) is not str or type(port) is not int:
        raise TypeError(f"an address is (host: str, port: int), not {address!r}")
    if not 0 < port < 65536:
        raise ValueError(f"port out of range 1..65535 in {address!r}")
    if family == socket.AF_INET:
        if not _is_literal(socket.AF_INET, host):
            raise ValueError(f"not an IPv4 address: {host!r}")
        return host, port
    bare, _, zone = host.partition("%")
    if _is_literal(socket.AF_INET6, bare):
        return bare, port, 0, _scope(host, zone) if zone else 0
    if not zone and _is_literal(socket.AF_INET, host):
        return f"::ffff:{host}", port, 0, 0
    raise ValueError(f"not an IP address: {host!r}")


def _read_own(control: _Control) -> str | None:
    """Which of our addresses a datagram came to. A group's is none that an answer could leave from."""
    local = None
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            # The address that the kernel would answer from: for a broadcast, that of the interface.
            _, answering, _ = _IPV4_INFO.unpack(data)
            return socket.inet_ntop(socket.AF_INET, answering) if any(answering) else None
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and data[0] != 0xFF:
            address, interface = _IPV6_INFO.unpack(data)
            zone = interface if _is_link_local(address) else 0
            local = normal_address((socket.inet_ntop(socket.AF_INET6, address), 0, 0, zone))[0]
    return local


def _is_link_local(address: bytes) -> bool:
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _write_own(family: int, peer: str, local: Address) -> tuple[int, int, bytes]:
    """What has a datagram to this peer leave from an address of ours. ValueError or TypeError: none for this peer."""
    host, _, _, zone = wire_address(socket.AF_INET6, local)  # type: ignore[misc]
    address = socket.inet_pton(socket.AF_INET6, host)
    if address.startswith(_MAPPED) != (family == socket.AF_INET or _is_mapped(peer)):
        raise ValueError(f"not an address of the peer's family: {local[0]!r}")
    if family == socket.AF_INET:
        return socket.IPPROTO_IP, IP_PKTINFO, _IPV4_INFO.pack(0, address[12:], b"")
    # Linux takes a mapped address here too.
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IPV6_INFO.pack(address, zone)


def _is_mapped(host: str) -> bool:
    return socket.inet_pton(socket.AF_INET6, host).startswith(_MAPPED)


def _is_literal(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True


def _scope(host: str, zone: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        scope = _number(zone) if zone.isascii() and zone.isdigit() else socket.if_nametoindex(zone)
        if scope:
            return scope
    raise ValueError(f"no such interface: {host!r}")


def _number(digits: str) -> int:
    """Of an interface; 0, which none has, where it has more than the 32 bits that the kernel takes."""
    number = int(digits) if len(digits) <= 10 else 0
    return number if number < 1 << 32 else 0


def refuse_new(fd: int) -> None:  # noqa: ARG001
    """Would let no new datagram into a socket while those that wait are read; OSError, for that needs `_udp`."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
