"""What sipstack raises. Every error is a `SipError`; those about text are `ValueError` too."""

from typing import Final

__all__ = ["HeaderError", "ParseError", "SerializeError", "SipError", "TransportError"]


PROGRAM_ENDS: Final = (KeyboardInterrupt, SystemExit)
"""What goes through also where a handler or a hook raises it. All else that one raises is a failure of its own."""


def behind_name(header: str, reason: str, between: str = " ") -> str:
    """A reason behind its header's name, if any; alone where it begins with that."""
    return f"{header}{between}{reason}" if header and not reason.startswith(f"{header} ") else reason


class SipError(Exception):
    """The parent of all errors that sipstack raises on its own account."""


class ParseError(SipError, ValueError):
    """Bytes that are not a SIP message.

    Attributes:
        reason: short, stable text that names the rule that was broken.
        offset: the byte, counted from 0, where it was broken.
        status: the status code a server may answer (400 or 513).
    """

    def __init__(self, reason: str, offset: int = 0, status: int = 400) -> None:
        super().__init__(reason, offset, status)
        self.reason = reason
        self.offset = offset
        self.status = status

    def __str__(self) -> str:
        return f"{self.reason} (byte {self.offset})"


class HeaderError(SipError, ValueError):
    """A header value (or a URI) that breaks its own grammar, in a message that is readable otherwise.

    Attributes:
        header: the header's name, or "" where the value was parsed on its own.
        reason: short, stable text that names the rule that was broken.
        offset: the character of the value, counted from 0, where it was broken.
        status: the status code a server may answer.
    """

    def __init__(self, reason: str, header: str = "", offset: int = 0, status: int = 400) -> None:
        super().__init__(reason, header, offset, status)
        self.reason = reason
        self.header = header
        self.offset = offset
        self.status = status

    def __str__(self) -> str:
        return f"{behind_name(self.header, self.reason, ': ')} (character {self.offset})"


class SerializeError(SipError, ValueError):
    """A part of a message that cannot be written without changing its meaning, such as a value with a CR in it.

    Attributes:
        reason: text that names the part and what is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TransportError(SipError, OSError):
    """A socket that cannot be opened, read or written. The cause is the `OSError` it stands for."""
