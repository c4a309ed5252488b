"""What a server checks before it acts on a message (RFC 3261 8.1.1, 8.2, 16.3, 18.3), as a list of findings.

`check` looks at what every message has; `validate` adds the syntax of every header that has a structure. Neither
decides what an element only may decide: Max-Forwards 0 is in order (a proxy answers 483), so are a To of a strange
scheme, a Require (420), a body of an unknown type (415), and what RFC 2543 left out: a branch, a From tag,
Max-Forwards. `unsupported_options` helps with 420.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import HeaderError
from .headers import MAGIC_COOKIE, STAR, CSeq, NameAddr, has_structure, parse_header, parse_max_forwards, parse_tokens
from .methods import ACK, CANCEL, NOTIFY, PRACK, REFER, REGISTER, SUBSCRIBE, canonical_name
from .uri import AbsoluteUri, SipUri, parse_uri

if TYPE_CHECKING:
    from .message import Message

__all__ = ["Violation", "check", "unsupported_options", "validate"]

MANDATORY: Final = ("Via", "From", "To", "Call-ID", "CSeq")
"""What every message has (8.1.1), but for Max-Forwards, whose absence 16.3 tolerates."""

SINGLETONS: Final = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")
"""What `check` lets a message have once."""

OTHER_SINGLETONS: Final = frozenset(
    {
        "Content-Disposition", "Date", "Event", "Expires", "Join", "MIME-Version", "Min-Expires", "Min-SE",
        "P-Called-Party-ID", "Priority", "RAck", "RSeq", "Refer-To", "Referred-By", "Replaces", "Reply-To",
        "Retry-After", "SIP-ETag", "SIP-If-Match", "Session-Expires", "Subscription-State", "Timestamp",
    }
)  # fmt: skip
"""What `validate` lets a message have once besides."""

NEEDED: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    PRACK: (("RAck", 400),),
    REFER: (("Refer-To", 400),),
    SUBSCRIBE: (("Event", 489),),
    NOTIFY: (("Event", 489), ("Subscription-State", 400)),
}
"""What a method cannot do without, and the answer where it is missing (RFC 3262 7.2, RFC 3515 2.4.1, RFC 6665 8.2)."""


class Violation(NamedTuple):
    """One finding.

    Attributes:
        header: the header's long name, `"Request-URI"`, or "" for the start line.
        reason: short, stable text.
        status: what a server answers to a request; a response that has a finding is discarded (8.1.3, 18.1.2).
    """

    header: str
    reason: str
    status: int


def check(message: "Message") -> list[Violation]:
    """The cheap half, for every request of a busy server: version, what is missing or twice, CSeq, Max-Forwards."""
    found = [] if message.version.upper() == "SIP/2.0" else [Violation("", "SIP version is not 2.0", 505)]
    found += [Violation(name, "is missing", 400) for name in MANDATORY if message.get_header(name) is None]
    found += [Violation(name, "is there twice", 400) for name in SINGLETONS if len(message.get_headers(name)) > 1]
    cseq = message.get_header("CSeq")
    if cseq is not None:
        found += _read("CSeq", lambda: _check_cseq(message, cseq))
    max_forwards = message.get_header("Max-Forwards")
    if max_forwards is not None:
        found += _read("Max-Forwards", lambda: parse_max_forwards(max_forwards))
    return found


def validate(message: "Message") -> list[Violation]:
    """Everything: `check`, the Request-URI, every header with a structure, and what the method needs."""
    found = message.check()
    if message.is_request:
        found += _read("Request-URI", lambda: _check_request_uri(message.request_uri))
        needed = NEEDED.get(message.method, ())
        found += [Violation(name, "is missing", status) for name, status in needed if message.get_header(name) is None]
    found += _check_headers(message)
    found += _check_contacts(message)
    found += _check_branch(message)
    if message.body and message.get_header("Content-Type") is None:
        found.append(Violation("Content-Type", "is missing, and there is a body", 400))
    return list(dict.fromkeys(found))


def unsupported_options(message: "Message", supported: Collection[str]) -> tuple[str, ...]:
    """The option tags of Require that are not in `supported`, for a 420 and its Unsupported header (8.2.2.3).

    An ACK or a CANCEL is never asked. Tags are compared in any case. Raises HeaderError for a malformed Require.
    """
    if message.method in (ACK, CANCEL):
        return ()
    known = {tag.lower() for tag in supported}
    tags = (tag for value in message.get_headers("Require") for tag in parse_tokens(value))
    return tuple(dict.fromkeys(tag for tag in tags if tag.lower() not in known))


def _read(header: str, read: Callable[[], object]) -> list[Violation]:
    """Read a value; what is wrong with it."""
    try:
        read()
    except HeaderError as error:
        return [Violation(header, error.reason, error.status)]
    return []


def _check_cseq(message: "Message", value: str) -> None:
    if CSeq.parse(value).method != message.method and message.is_request:
        raise HeaderError("method is not the request's")


def _check_request_uri(text: str) -> None:
    """RFC 3261 8.2.2.1 and 19.1.1: a known scheme, and no header part."""
    uri = parse_uri(text)
    if isinstance(uri, AbsoluteUri):
        raise HeaderError("scheme is not supported", status=416)
    if isinstance(uri, SipUri) and uri.headers:
        raise HeaderError("has a header part")


def _check_headers(message: "Message") -> list[Violation]:
    found: list[Violation] = []
    seen: set[str] = set()
    for sent_name, value in message.headers.items():
        name = canonical_name(sent_name)
        if name in seen and name in OTHER_SINGLETONS:
            found.append(Violation(name, "is there twice", 400))
        seen.add(name)
        if has_structure(name):
            found += _read(name, lambda name=name, value=value: parse_header(name, value))  # type: ignore[misc]
    return found


def _check_contacts(message: "Message") -> list[Violation]:
    """A Contact's q and expires are numbers; `*` stands alone, in a REGISTER, with Expires 0 (10.2.2, 10.3)."""
    try:
        contacts = message.contacts
    except HeaderError:
        return []  # found with the other headers
    found: list[Violation] = []
    for contact in contacts:
        if isinstance(contact, NameAddr):
            found += _read("Contact", lambda contact=contact: (contact.q, contact.expires))  # type: ignore[misc]
    unregisters_all = message.method == REGISTER and message.get_header("Expires", "never").strip("0") == ""
    if STAR in contacts and (len(contacts) > 1 or not unregisters_all):
        found.append(Violation("Contact", "* is not alone, or not in a REGISTER with Expires 0", 400))
    return found


def _check_branch(message: "Message") -> list[Violation]:
    """The top branch identifies the transaction: the magic cookie alone does not (RFC 4475 3.2.1)."""
    try:
        via = message.via
    except HeaderError:
        return []
    if via is not None and via.branch == MAGIC_COOKIE:
        return [Violation("Via", "branch is the magic cookie and nothing else", 400)]
    return []
