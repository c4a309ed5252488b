"""SIP/2.0 messages and datagrams (RFC 3261): read, edit, write, and answer over UDP.

`__all__` is the public API, with the modules `headers` (every structured header value) and `methods` (SIP's words).
"""

from . import headers, methods, proxy  # noqa: I001 - the names of `headers` are wrapped
from ._broken import BrokenMessage, read_broken
from ._random import random_branch, random_token
from ._view import Headers
from ._writing import HeaderInput, HeaderSource
from .endpoint import Endpoint, EndpointConfig, Event, EventType, Handler, Stats
from .errors import HeaderError, ParseError, SerializeError, SipError, TransportError
from .headers import (
    STAR, Contact, ContentType, CSeq, HeaderValue, NameAddr, Params, RAck, Via, body_bytes_len, parse_cseq_num,
    parse_header, parse_list, parse_rack, split_list, with_cseq_ack,
)  # fmt: skip
from .message import IMPLEMENTATION, Message, parse
from .methods import reason_phrase
from .multipart import BodyPart, body_parts, join_parts
from .stream import StreamParser, is_signaling_noise_datagram, is_stun, read_message, read_message_from
from .transport import Address, Datagram, DatagramTransport, PeerAddress, Receiver, UDPTransport
from .uri import AbsoluteUri, SipUri, TelUri, Uri, escape_uri, parse_uri, unescape_uri
from .validation import Violation, unsupported_options

__all__ = [
    "IMPLEMENTATION", "STAR", "AbsoluteUri", "Address", "BodyPart", "BrokenMessage", "CSeq", "Contact", "ContentType",
    "Datagram", "DatagramTransport", "Endpoint", "EndpointConfig", "Event", "EventType", "Handler", "HeaderError",
    "HeaderInput", "HeaderSource", "HeaderValue", "Headers", "Message", "NameAddr", "Params", "ParseError",
    "PeerAddress", "RAck", "Receiver", "SerializeError", "SipError", "SipUri", "Stats", "StreamParser", "TelUri",
    "TransportError", "UDPTransport", "Uri", "Via", "Violation", "__version__", "body_bytes_len", "body_parts",
    "escape_uri", "headers", "is_signaling_noise_datagram", "is_stun", "join_parts", "methods", "parse",
    "parse_cseq_num", "parse_header", "parse_list", "parse_rack", "parse_uri", "proxy", "random_branch",
    "random_token", "read_broken", "read_message", "read_message_from", "reason_phrase", "split_list", "unescape_uri",
    "unsupported_options", "with_cseq_ack",
]  # fmt: skip

__version__ = "0.1.0"
