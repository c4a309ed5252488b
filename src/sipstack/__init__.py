"""SIP messages and datagrams (RFC 3261)."""

from .errors import HeaderError, ParseError, SerializeError, SipError, TransportError
from .message import IMPLEMENTATION, Message, parse

__all__ = ["IMPLEMENTATION", "HeaderError", "Message", "ParseError", "SerializeError", "SipError", "TransportError", "parse"]
