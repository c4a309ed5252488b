"""What a server checks before it acts on a message (RFC 3261 8.1.1, 8.2, 16.3, 18.3), as a list of findings.

`check` looks at what every message has; `validate` adds the syntax of every header that has a structure. Neither
decides what an element only may decide: Max-Forwards 0 is in order (a proxy answers 483), so are a To of a strange
scheme, a Require (420), a body of an unknown type (415), and what RFC 2543 left out: a branch, a From tag,
Max-Forwards. `unsupported_options` helps with 420.

A finding is serious where the message cannot be acted on. What a server can do without (8.2.2, 16.3) is not, and
neither is what is against the grammar but can be read in one way.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from ._grammar import BLANK
from ._limits import MAX_PARTS, MAX_VALUES
from ._values import Flaws, lower
from .errors import HeaderError
from .headers import MAGIC_COOKIE, READERS, STAR, CSeq, NameAddr, parse_max_forwards, parse_value
from .headers._counts import check_counts, need_counts
from .methods import (
    ACK,
    CANCEL,
    INVITE,
    NOTIFY,
    PRACK,
    PUBLISH,
    REFER,
    REGISTER,
    SUBSCRIBE,
    UPDATE,
    URI_SCHEMES,
    canonical_name,
    header_id,
)
from .uri import SipUri, parse_uri, uri_scheme

if TYPE_CHECKING:
    from .message import Message

__all__ = ["Violation", "check", "check_scheme", "unsupported_options", "validate"]

MANDATORY: Final = ("Via", "From", "To", "Call-ID", "CSeq")
"""What every message has (8.1.1), but for Max-Forwards, whose absence 16.3 tolerates."""

SINGLETONS: Final = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")
"""What `check` lets a message have once."""

OTHER_SINGLETONS: Final = frozenset(
    {
        "Content-Disposition", "Content-Length", "Date", "Event", "Expires", "Info-Package", "Join", "MIME-Version",
        "Min-Expires", "Min-SE", "P-Called-Party-ID", "P-Charging-Vector", "Priority", "RAck", "RSeq", "Refer-To",
        "Referred-By", "Replaces", "Reply-To", "Retry-After", "SIP-ETag", "SIP-If-Match", "Server", "Session-Expires",
        "Session-ID", "Subscription-State", "Target-Dialog", "Timestamp", "User-Agent",
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

_USED_BY_ALL: Final = frozenset(
    {*MANDATORY, "Max-Forwards", "Route", "Require", "Proxy-Require", "Content-Type", "Content-Encoding"}
)
_USED_BY_DIALOGS: Final = _USED_BY_ALL | {"Contact", "Record-Route"}
_USED: Final[dict[str, frozenset[str]]] = {
    INVITE: _USED_BY_DIALOGS | {"Replaces", "Join"},
    SUBSCRIBE: _USED_BY_DIALOGS | {"Event"},
    NOTIFY: _USED_BY_DIALOGS | {"Event", "Subscription-State"},
    REFER: _USED_BY_DIALOGS | {"Refer-To"},
    UPDATE: _USED_BY_DIALOGS,
    REGISTER: _USED_BY_ALL | {"Contact", "Path"},
    PUBLISH: _USED_BY_ALL | {"Event", "SIP-If-Match"},
    PRACK: _USED_BY_ALL | {"RAck"},
}
"""What is necessary to process a method's messages; the rest should be ignored where it is malformed (8.2.2)."""


class Violation(NamedTuple):
    """One finding.

    Attributes:
        header: the header's long name, `"Request-URI"`, or "" for the start line and for the message as a whole.
        reason: short, stable text.
        status: what a server answers to a request that it refuses for this.
        serious: whether the message has to be refused: a request is answered `status`, a response discarded (8.1.3,
            18.1.2). If not, the finding should be ignored: the header is one that the message can be processed without
            (8.2.2, 16.3), or it is against the grammar and can be read all the same.
    """

    header: str
    reason: str
    status: int
    serious: bool = True


def check(message: "Message") -> list[Violation]:
    """The cheap half, for every request of a busy server: version, what is missing or twice, CSeq, Max-Forwards."""
    found = [] if message.version.upper() == "SIP/2.0" else [Violation("", "SIP version is not 2.0", 505)]
    found += [Violation(name, "is missing", 400) for name in MANDATORY if not message._has(header_id(name))]
    found += [Violation(name, "is there twice", 400) for name in SINGLETONS if message._times(header_id(name)) > 1]
    cseq = message.get_header("CSeq")
    if cseq is not None:
        found += _read("CSeq", lambda: _check_cseq(message, cseq))
    max_forwards = message.get_header("Max-Forwards")
    if max_forwards is not None:
        found += _read("Max-Forwards", lambda: parse_max_forwards(max_forwards))
    return found


def validate(
    message: "Message",
    *,
    schemes: Collection[str] = URI_SCHEMES,
    max_values: int = MAX_VALUES,
    max_parts: int = MAX_PARTS,
) -> list[Violation]:
    """Everything: `check`, the Request-URI, every header with a structure, and what the method needs.

    `schemes` are those of Request-URIs that are served, in any case. The limits are those of `Message.get_values`, for
    all headers with a structure together: over them it is a finding with status 513, and no value is read.
    Raises ValueError for a limit that is none.
    """
    _need_several(schemes, "schemes")
    if max_values != MAX_VALUES or max_parts != MAX_PARTS:
        max_values, max_parts = need_counts(max_values, max_parts)
    found = message.check()
    if message.is_request:
        found += check_scheme(message, schemes) or _read("Request-URI", lambda: _check_request_uri(message.request_uri))
        found += _check_needed(message)
    used = _USED.get(_method_of(message), _USED_BY_ALL)
    lines = [(canonical_name(name), value) for name, value in message.headers.items()]
    found += _check_twice([name for name, _ in lines], used)
    structured = [line for line in lines if line[0] in READERS]
    try:
        check_counts("", [value for _, value in structured], max_values, max_parts)
    except HeaderError as error:
        found.append(Violation("", error.reason, error.status))
    else:
        found += _check_values(message, structured, used)
    if message.body.strip(b"\r\n") and message.get_header("Content-Type") is None:
        found.append(Violation("Content-Type", "is missing, and there is a body", 400))
    return list(dict.fromkeys(found))


def check_scheme(message: "Message", schemes: Collection[str]) -> list[Violation]:
    """What is wrong with a Request-URI's scheme: 400 where there is none, 416 for one not in `schemes` (8.2.2.1)."""
    scheme = uri_scheme(message.request_uri)
    if not scheme:
        return [Violation("Request-URI", "URI has no scheme", 400)]
    if scheme not in schemes and scheme not in map(lower, schemes):
        return [Violation("Request-URI", "scheme is not supported", 416)]
    return []


def unsupported_options(
    message: "Message", supported: Collection[str], *, max_values: int = MAX_VALUES, max_parts: int = MAX_PARTS
) -> tuple[str, ...]:
    """The option tags of Require that are not in `supported`, for a 420 and its Unsupported header (8.2.2.3).

    An ACK or a CANCEL is never asked. Tags are compared in any case. The limits are those of `Message.get_values`.
    Raises HeaderError for a malformed Require, ValueError for a limit that is none.
    """
    if max_values != MAX_VALUES or max_parts != MAX_PARTS:
        max_values, max_parts = need_counts(max_values, max_parts)
    if message.method in (ACK, CANCEL):
        return ()
    known = {tag.lower() for tag in _need_several(supported, "supported")}
    tags = map(str, message.get_values("Require", max_values=max_values, max_parts=max_parts))
    return tuple(dict.fromkeys(tag for tag in tags if tag.lower() not in known))


def _need_several(names: Collection[str], what: str) -> Collection[str]:
    """The names, when they are no text: each of its letters would be one."""
    if isinstance(names, str):
        raise TypeError(f"{what} is a collection of str, not one str")
    return names


def _read(header: str, read: Callable[[], object], used: bool = True) -> list[Violation]:
    """Read a value; what is wrong with it. What cannot be read is serious where the value is used."""
    with Flaws() as flaws:
        try:
            read()
        except HeaderError as error:
            return [Violation(header, error.reason, error.status, used)]
    return _tolerated(header, flaws)


def _tolerated(header: str, flaws: list[str]) -> list[Violation]:
    """What was noted while a header was read."""
    return [Violation(header, reason, 400, False) for reason in flaws]


def _method_of(message: "Message") -> str:
    """The method of a request, or of the request that a response is to."""
    if message.is_request:
        return message.method
    try:
        cseq = message.cseq
    except HeaderError:
        return ""
    return "" if cseq is None else cseq.method


def _check_cseq(message: "Message", value: str) -> None:
    if CSeq.parse(value).method != message.method and message.is_request:
        raise HeaderError("method is not the request's")


def _check_request_uri(text: str) -> None:
    """RFC 3261 19.1.1: no header part."""
    uri = parse_value("", parse_uri, text)
    if isinstance(uri, SipUri) and uri.headers:
        raise HeaderError("has a header part")


def _check_needed(message: "Message") -> list[Violation]:
    """The headers of the method. A NOTIFY of keep-alive, which PBXs and phones send, belongs to no subscription."""
    needed = NEEDED.get(message.method)
    if needed is None:
        return []
    package = message.get_header("Event", "").partition(";")[0].rstrip(BLANK)
    if message.method == NOTIFY and lower(package) == "keep-alive":
        return []
    return [Violation(name, "is missing", status) for name, status in needed if message.get_header(name) is None]


def _check_twice(names: Sequence[str], used: Collection[str]) -> list[Violation]:
    seen: set[str] = set()
    found: list[Violation] = []
    if len(set(names)) == len(names):
        return found
    for name in names:
        if name in seen and name in OTHER_SINGLETONS:
            found.append(Violation(name, "is there twice", 400, name in used))
        seen.add(name)
    return found


def _check_values(message: "Message", lines: Iterable[tuple[str, str]], used: Collection[str]) -> list[Violation]:
    """The syntax of headers with a structure, and what its Contacts and its top Via say besides."""
    found: list[Violation] = []
    contacts: list[object] = []
    contacts_read = True
    with Flaws() as flaws:
        for name, value in lines:
            try:
                read = READERS[name](value)
            except HeaderError as error:
                found.append(Violation(name, error.reason, error.status, name in used))
                flaws.clear()
                contacts_read &= name != "Contact"
                continue
            if name == "Contact" and isinstance(read, tuple):
                contacts += read
            if flaws:
                found += _tolerated(name, flaws)
                flaws.clear()
    if contacts_read:
        found += _check_contacts(message, contacts, "Contact" in used)
    return found + _check_branch(message)


def _check_contacts(message: "Message", contacts: list[object], used: bool) -> list[Violation]:
    """A Contact's q and expires are numbers; `*` stands alone, in a REGISTER, with Expires 0 (10.2.2, 10.3)."""
    with Flaws() as flaws:
        for contact in contacts:
            if isinstance(contact, NameAddr):
                contact._look_at_numbers()
    found = _tolerated("Contact", flaws)
    unregisters_all = message.method == REGISTER and message.get_header("Expires", "never").strip("0") == ""
    if STAR in contacts and (len(contacts) > 1 or not unregisters_all):
        found.append(Violation("Contact", "* is not alone, or not in a REGISTER with Expires 0", 400, used))
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
