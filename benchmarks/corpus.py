"""The messages that are measured: nine of our own, or those of another folder."""

from pathlib import Path

OWN = Path(__file__).parent / "messages"
NAMES = ("options", "bye", "invite", "invite_200", "register", "ims_invite", "compact", "notify", "ringing")

PROXY = ("203.0.113.77", 5060)  # who forwards in the hop group
VIA = f"SIP/2.0/UDP {PROXY[0]}:{PROXY[1]};branch=z9hG4bK"
RECORD_ROUTE = f"<sip:{PROXY[0]};lr>"
SOURCE = ("192.0.2.61", 5060)  # where the requests come from

HEADERS = [
    ("Via", "SIP/2.0/UDP 192.0.2.61:5060;branch=z9hG4bKb41c77e19;rport"),
    ("Max-Forwards", "70"),
    ("From", '"Noor Haddad" <sip:+12025550127@example.net>;tag=7c21f0b4'),
    ("To", "<sip:+12025550186@pstn.example.net;user=phone>"),
    ("Call-ID", "7b1be2aa49d0f3@192.0.2.61"),
    ("CSeq", "20417 INVITE"),
    ("Contact", "<sip:noor@192.0.2.61:5060;transport=udp>"),
    ("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, OPTIONS, REFER, INFO"),
    ("User-Agent", "Border Unit 3.11.2"),
    ("Content-Type", "application/sdp"),
]  # what the write group writes, with the URI and the body below
URI = "sip:+12025550186@pstn.example.net;user=phone"

MALFORMED = {
    "no colon": b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\nno colon here\r\n\r\n",
    "empty name": b"INVITE sip:a@b SIP/2.0\r\n: x\r\n\r\n",
    "space in a name": b"INVITE sip:a@b SIP/2.0\r\nMax Forwards: 70\r\n\r\n",
    "NUL in a value": b"INVITE sip:a@b SIP/2.0\r\nSubject: a\0b\r\n\r\n",
    "bare CR in a value": b"INVITE sip:a@b SIP/2.0\r\nSubject: a\rVia: b\r\n\r\n",
    "fold before the first header": b"INVITE sip:a@b SIP/2.0\r\n Subject: a\r\n\r\n",
    "three spaces in the request line": b"INVITE  sip:a@b  SIP/2.0\r\nSubject: a\r\n\r\n",
    "Content-Length with a sign": b"INVITE sip:a@b SIP/2.0\r\nContent-Length: +1\r\n\r\nxx",
    "Content-Length over the body": b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 9\r\n\r\nxx",
    "two Content-Lengths": b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\nxx",
    "no end of the head": b"INVITE sip:a@b SIP/2.0\r\nSubject: a\r\n",
    "status of four digits": b"SIP/2.0 2000 OK\r\nSubject: a\r\n\r\n",
}
"""What the wire rules forbid: how many of them a parser notices is how much it checks.

Each has From, To, Call-ID, CSeq and Via added by `malformed`, so that it is refused for what it says here.
"""

_MANDATORY = (
    b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)


def load(folder: Path = OWN) -> dict[str, bytes]:
    """The messages of a folder by name, in the order of the table."""
    paths = {path.stem: path for path in folder.glob("*.sip")}
    missing = [name for name in NAMES if name not in paths]
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}")
    return {name: paths[name].read_bytes() for name in NAMES}


WELL_FORMED = b"INVITE sip:a@b SIP/2.0\r\n" + _MANDATORY + b"Content-Length: 0\r\n\r\n"
"""What a parser must accept before it is asked what it refuses."""


def malformed() -> dict[str, bytes]:
    """`MALFORMED` with the mandatory headers behind the header that is wrong."""
    messages = {}
    for name, data in MALFORMED.items():
        head, separator, body = data.partition(b"\r\n\r\n")
        messages[name] = head + b"\r\n" + _MANDATORY + b"\r\n" + body if separator else data + _MANDATORY
    return messages


def body_of(raw: bytes) -> bytes:
    """What stands behind the empty line."""
    return raw.partition(b"\r\n\r\n")[2]


def is_request(raw: bytes) -> bool:
    """Whether a message of the corpus is a request."""
    return not raw.startswith(b"SIP/")
