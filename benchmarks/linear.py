"""Whether cost grows with the size of the input and no faster: the worst inputs we know of, at four sizes."""

import gc
from collections.abc import Callable
from typing import Any

from sipstack.proxy import Hop, Node, forward_request, take_routes

from .cases import implementations
from .measure import clock

SIZES = (1024, 4096, 16384, 65535)

START = b"INVITE sip:bob@example.com SIP/2.0\r\n"
END = b"Content-Length: 0\r\n\r\n"
VIA = b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCall-ID: 1\r\n"
NODE, TARGET = Node(Hop("UDP", "h", 5060), key=bytes(16)), Hop("UDP", "a", 5060)

Operation = Callable[[Any, bytes], Any]


def _filled(before: bytes, unit: bytes, after: bytes) -> Callable[[int], bytes]:
    """A message of the size asked for: start line, `before`, as many units as fit, `after`, the end of the head."""

    def make(size: int) -> bytes:
        room = size - len(START) - len(before) - len(after) - len(END)
        return START + before + unit * (room // len(unit)) + after + END

    return make


def _parse(parse: Any, raw: bytes) -> Any:
    return parse(raw, max_headers=65535)


def _tried(parse: Any, raw: bytes) -> None:
    """The input is an error; what costs is finding where."""
    try:
        parse(raw, max_headers=65535)
    except ValueError:
        return
    raise AssertionError("the input was to be an error")


def _read(attribute: str) -> Operation:
    def read(parse: Any, raw: bytes) -> None:
        try:
            getattr(parse(raw, max_headers=65535), attribute)
        except ValueError:
            return  # a value that is malformed costs no more than one that is not

    return read


def _validate(parse: Any, raw: bytes) -> None:
    parse(raw, max_headers=65535).validate()


def _edit(parse: Any, raw: bytes) -> None:
    message = parse(raw, max_headers=65535)
    message.stamp_received("192.0.2.1", 5060)
    message.pop_via()
    message.pop_route()
    message.push_via("SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1")
    message.to_bytes()


def _forward(parse: Any, raw: bytes) -> None:
    request = parse(raw, max_headers=65535)
    try:
        take_routes(request, NODE)
        forward_request(request, NODE, TARGET)
    except ValueError:
        return  # a request that is refused costs no more


def _items(parse: Any, raw: bytes) -> None:
    list(parse(raw, max_headers=65535).headers.items())


def _raw(start: bytes, unit: bytes, end: bytes) -> Callable[[int], bytes]:
    return lambda size: start + unit * ((size - len(start) - len(end)) // len(unit)) + end


INPUTS: dict[str, tuple[Callable[[int], bytes], Operation]] = {
    "as many headers as fit": (_filled(b"", b"a:\r\n", b""), _parse),
    "headers with names near to known ones": (_filled(b"", b"Content-Lengtg:\r\n", b""), _parse),
    "as many equal Content-Lengths as fit": (_filled(b"", b"l:0\r\n", b""), _parse),
    "one header, folded at every byte": (_filled(b"Subject: a", b"\r\n ", b"b\r\n"), _parse),
    "one header, folded, read": (_filled(b"Subject: a", b"\r\n b", b"\r\n"), _items),
    "a value of tabs": (_filled(b"Subject: a", b"\t", b"b\r\n"), _parse),
    "a name with spaces behind it": (_filled(b"Subject", b" ", b": b\r\n"), _parse),
    "quoted control bytes": (_filled(b'Subject: "', b"\\\x01", b'"\r\n'), _parse),
    "backslashes before a control byte": (_filled(b"Subject: ", b"\\\\", b"\x01\r\n"), _tried),
    "empty lines before the start": (_raw(b"", b"\r\n", b"INVITE sip:a@b SIP/2.0\r\na:b\r\n\r\n"), _parse),
    "nothing but empty lines": (_raw(b"", b"\r\n", b""), _tried),
    "a head that does not end": (_raw(START, b"a:\r\n", b""), _tried),
    "a header name that does not end": (_raw(START, b"a", b""), _tried),
    "an error in the last header": (_filled(b"", b"a:\r\n", b"\x00:\r\n"), _tried),
    "a Request-URI that does not end": (_raw(b"INVITE ", b"a", b""), _tried),
    "a Content-Length of digits": (_raw(START + b"Content-Length: ", b"1", b"\r\n\r\n"), _tried),
    "Vias in one header": (_filled(b"Via: SIP/2.0/UDP a", b",SIP/2.0/UDP a", b"\r\n"), _read("vias")),
    "the top of many Vias": (_filled(b"", b"v:SIP/2.0/UDP a\r\n", b""), _read("via")),
    "a Via of parameters": (_filled(b"Via: SIP/2.0/UDP a", b";a", b"\r\n"), _read("via")),
    "a Via of spaces": (_filled(b"Via: SIP/2.0/UDP", b" ", b"a\r\n"), _read("via")),
    "a Via of comments": (_filled(b"Via: SIP/2.0/UDP a ", b"(", b"\r\n"), _read("vias")),
    "Contacts with quoted commas": (_filled(b"Contact: ", b'"a,\\"" <sip:b>,', b"<sip:a>\r\n"), _read("contacts")),
    "quotes that do not end": (_filled(b"Contact: <sip:a>", b',"', b"\r\n"), _read("contacts")),
    "angle brackets": (_filled(b"Contact: ", b"<", b"\r\n"), _read("contacts")),
    "commas alone": (_filled(b"Contact: ", b",", b"<sip:a>\r\n"), _read("contacts")),
    "a display name of escapes": (_filled(b'From: "', b"\\a", b'" <sip:a@b>\r\n'), _read("from_")),
    "a display name of tokens": (_filled(b"From: ", b"a ", b"<sip:a@b>\r\n"), _read("from_")),
    "a From of parameters": (_filled(b"From: <sip:a@b>", b";a=b", b"\r\n"), _read("from_tag")),
    "a URI of escapes": (_filled(b"To: <sip:", b"%61", b"@b>\r\n"), _read("to")),
    "a URI of colons": (_filled(b"To: <sip:", b":", b"@b>\r\n"), _read("to")),
    "a URI of at signs": (_filled(b"To: <sip:", b"@", b"b>\r\n"), _read("to")),
    "a host of dots": (_filled(b"To: <sip:a@", b"a.", b"b>\r\n"), _read("to")),
    "validate: semicolons alone": (_filled(b"To: <sip:a@b>", b";", b"\r\n"), _validate),
    "validate: one parameter again and again": (_filled(b"To: <sip:a@b>", b";ab", b"\r\n"), _validate),
    "validate: odd values of parameters": (_filled(b"Via: SIP/2.0/UDP a", b";a=(", b"\r\n"), _validate),
    "validate: an odd value of a parameter": (_filled(b"To: <sip:a@b>;a=a", b"(", b"\r\n"), _validate),
    "validate: semicolons of a URI": (_filled(b"To: <sip:a@b", b";", b">\r\n"), _validate),
    "validate: one parameter of a URI again and again": (_filled(b"To: <sip:a@b", b";a=%", b">\r\n"), _validate),
    "validate: an odd parameter of a URI": (_filled(b"To: <sip:a@b;a", b"=", b">\r\n"), _validate),
    "validate: an odd user": (_filled(b"To: <sip:", b"a%41%", b"@b>\r\n"), _validate),
    "validate: odd headers of a URI": (_filled(b"To: <sip:a@b?a=", b"@&%41%", b">\r\n"), _validate),
    "validate: commas alone": (_filled(b"Route: ", b",", b"<sip:a>\r\n"), _validate),
    "validate: quotes in Call-IDs": (_filled(b"In-Reply-To: a", b',"', b"\r\n"), _validate),
    "validate: words for a Warning": (_filled(b"Warning: a", b" 1", b"\r\n"), _validate),
    "edits behind commas": (_filled(b"Via: ", b",", b"SIP/2.0/UDP a;rport\r\n"), _edit),
    "Routes in one header": (_filled(b"Route: <sip:a;lr>", b",<sip:a;lr>", b"\r\n"), _read("routes")),
    "edits of many Vias and Routes": (_filled(b"", b"v:SIP/2.0/UDP a;rport\r\nRoute: <sip:a>\r\n", b""), _edit),
    "edits of Vias in one header": (_filled(b"Via: SIP/2.0/UDP a", b",SIP/2.0/UDP a", b"\r\n"), _edit),
    "forward: Routes of ours in one header": (_filled(VIA + b"Route: <sip:h;lr>", b",<sip:h;lr>", b"\r\n"), _forward),
    "forward: many Routes": (_filled(VIA, b"Route:<sip:a;lr>\r\n", b""), _forward),
    "forward: nearly our branch, again and again": (
        _filled(VIA + b"v:SIP/2.0/UDP a;a=", b"z9hG4bK", b"\r\n"),
        _forward,
    ),
    "forward: nearly maddr, again and again": (
        _raw(b"INVITE sip:a@b;", b"madd", b" SIP/2.0\r\n" + VIA + END),
        _forward,
    ),
    "validate: many headers": (_filled(b"", b"a:\r\n", b""), _validate),
    "validate: many Contacts": (_filled(b"", b"m:<sip:a@b>\r\n", b""), _validate),
    "validate: many CSeqs": (_filled(b"", b"CSeq:1 INVITE\r\n", b""), _validate),
}


def measure(rounds: int) -> list[dict[str, Any]]:
    """Nanoseconds a byte at each size, and by how much that grows from one size to a larger one at the most."""
    results = []
    for subject, module in implementations().items():
        for name, (make, operation) in INPUTS.items():
            costs = [_cost(operation, module.parse, make(size), rounds) for size in SIZES]
            results.append({"subject": subject, "input": name, "ns_a_byte": costs, "growth": growth(costs)})
    return results


def growth(costs: list[float]) -> float:
    """How many times more a byte costs in a larger input than in a smaller one, at the most.

    What costs less than a nanosecond is copied, and that is dearer where the caches end.
    """
    paid = [max(1.0, cost) for cost in costs]
    return max(larger / smaller for at, smaller in enumerate(paid) for larger in paid[at + 1 :])


def _cost(operation: Operation, parse: Any, raw: bytes, rounds: int) -> float:
    best = float("inf")
    count = max(1, SIZES[-1] // len(raw))  # the clock has its own cost, which small inputs would drown in
    gc.collect()
    for _ in range(rounds):
        start = clock()
        for _ in range(count):
            operation(parse, raw)
        best = min(best, clock() - start)
    return best / count / len(raw) * 1e9
