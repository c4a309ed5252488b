"""A way between two programs on which a fifth of all is lost, and nothing so often that a transaction must fail."""

import random
import re
import select
import socket
import threading
from collections import Counter

MOST = 2
"""Copies of one message that are lost in a row. So of nine tries, a message's and its answer's, one gets through: a
transaction has ten or eleven (RFC 3261 17.1.1.2, 17.1.2.2)."""


class LossyWay:
    """Passes datagrams from whoever sends to `port` on to a target, and back. The same seed loses the same.

    Attributes:
        port: of 127.0.0.1, where to send to.
        lost: how many were lost, by direction and method or status.
    """

    def __init__(self, target: int, seed: int = 1) -> None:
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.bind(("127.0.0.1", 0))
        self.target = ("127.0.0.1", target)
        self.port: int = self.front.getsockname()[1]
        self.lost: Counter[tuple[str, str]] = Counter()
        self._in_a_row: Counter[tuple[str, str, str]] = Counter()
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self.front.close()
        self.back.close()

    def _run(self) -> None:
        caller = self.front.getsockname()
        while not self._ended.is_set():
            for ready in select.select([self.front, self.back], [], [], 0.1)[0]:
                try:
                    data, source = ready.recvfrom(65535)
                except ConnectionError:  # nobody listens there yet, or any more
                    continue
                if ready is self.front:
                    caller = source
                    self._pass_on(data, "there", self.back, self.target)
                else:
                    self._pass_on(data, "back", self.front, caller)

    def _pass_on(self, data: bytes, direction: str, by: socket.socket, to: tuple[str, int]) -> None:
        text = data.decode("latin-1")
        what = text.split(" ")[1 if text.startswith("SIP/2.0") else 0]
        identity = "".join(re.findall(r"(?:^(?:CSeq|Call-ID):.*$)", text, re.MULTILINE))
        same = direction, what, identity
        if self._in_a_row[same] < MOST and self._random.random() < 0.2:
            self._in_a_row[same] += 1
            self.lost[direction, what] += 1
            return
        self._in_a_row[same] = 0
        by.sendto(data, to)
