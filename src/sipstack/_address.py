"""Addresses of datagrams: where one came from and, where we have several addresses ourselves, which of them it came to.

The compiled batch and the plain one make the same of them.
"""

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn, Self, TypeAlias

Address: TypeAlias = tuple[str, int]

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104
"""What a socket is bound to that takes what comes to any address of this machine."""

IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)  # Linux; the name is there since Python 3.14


class _Fixed(tuple[str, int]):
    """A `(host, port)` that carries more, and cannot be changed."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("an address cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("an address cannot be changed")


class PeerAddress(_Fixed):
    """A `(host, port)`, with the address of our own that belongs to it.

    What comes to a wildcard address has one of these as its source, and what is sent to one leaves from its `local`. It
    is equal to the plain tuple, hashes and unpacks like it, and cannot be changed.

    Attributes:
        local: our own host and port. It is the host that is sent from, whatever the port.
    """

    local: Address

    def __new__(cls, host: str, port: int, local: Address) -> Self:
        made = super().__new__(cls, (host, port))
        made.__dict__["local"] = local
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self, self.local)


class ReturnAddress(_Fixed):
    """The `(host, port)` of a peer, with the way back to it: a connection, a queue.

    What is sent to it goes that way, and no other. Written down (pickle) it is the plain tuple.

    Attributes:
        write: takes the bytes of a message.
        local: our own host and port on that way, None where it is not known.
    """

    write: Callable[[bytes], object]
    local: Address | None

    def __new__(cls, host: str, port: int, write: Callable[[bytes], object], local: Address | None) -> Self:
        made = super().__new__(cls, (host, port))
        made.__dict__.update(write=write, local=local)
        return made

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)


def bare_host(host: str) -> str:
    """A host without the brackets that an IPv6 address has in a URI."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host


def sent_by(host: str, port: int) -> str:
    """Host and port as a Via and a URI have them, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def at_port(addr: Address, port: int) -> Address:
    """The same host at another port, with the same address of our own."""
    if addr[1] == port:
        return addr
    return PeerAddress(addr[0], port, addr.local) if isinstance(addr, PeerAddress) else (addr[0], port)


def tells_local(sock: socket.socket) -> bool:
    """Has the kernel say with each datagram which address it came to; whether it will.

    It is asked where there is more than one answer, on a wildcard address, and on Linux. On a socket for both families
    it says of an IPv4 datagram in both ways, and only IPv4's own knows what to answer a broadcast from.
    """
    if sys.platform != "linux" or sock.getsockname()[0] not in WILDCARDS:
        return False
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    return True
