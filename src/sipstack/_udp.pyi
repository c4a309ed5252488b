from socket import socket

class Batch:
    """Receives and sends datagrams of one non-blocking UDP socket, up to `size` in a system call."""

    size: int
    read_buf_size: int
    received: int
    bytes_received: int
    truncated: int
    sent: int
    bytes_sent: int
    def __init__(self, sock: socket, size: int, read_buf_size: int) -> None: ...
    def receive(self) -> list[tuple[bytes, tuple[str, int]]]: ...
    def take_cut(self) -> list[tuple[bytes, tuple[str, int]]]: ...
    def send(
        self, datagrams: list[tuple[bytes, tuple[str, int]]], start: int = 0
    ) -> tuple[int, list[tuple[int, Exception]]]: ...

def refuse_new(fd: int) -> None: ...
