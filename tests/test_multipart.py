"""Bodies of several parts: byte for byte (RFC 2046 5.1, RFC 5621)."""

from functools import partial
from types import ModuleType
from typing import Any

import pytest
from agreement import outcome
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st

from sipstack import BodyPart, HeaderError, ParseError, SerializeError, body_parts, join_parts

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
ISUP = bytes(range(256)) + b"\r"
PIDF = '<?xml version="1.0"?>\n<presence entity="pres:\u00e9@example.com"/>'.encode()
HEAD = b"INVITE sip:b@h SIP/2.0\r\nContent-Type: multipart/mixed;boundary=%b\r\nMIME-Version: 1.0\r\n\r\n"


def message(impl: ModuleType, body: bytes, boundary: bytes = b"b1") -> Any:
    return impl.parse(HEAD % boundary + body)


def parts(impl: ModuleType, body: bytes) -> list[tuple[tuple[tuple[str, str], ...], bytes]]:
    return [tuple(part) for part in body_parts(message(impl, body))]


def test_an_invite_with_sdp_isup_and_a_location(impl: ModuleType):
    """RFC 3372 appendix, RFC 6442 4: as a gateway sends them, with a preamble and an epilogue."""
    call = message(
        impl,
        b"preamble\r\n--unique-boundary-1\r\nContent-Type: application/SDP; charset=ISO-10646\r\n\r\n" + SDP
        + b"\r\n--unique-boundary-1  \r\nContent-Type:application/ISUP;version=nxv3;\r\n base=etsi121\r\n"
        b"Content-Disposition: signal;handling=optional\r\nContent-Length: 3\r\n\r\n" + ISUP
        + b"\r\n--unique-boundary-1\r\nc: application/pidf+xml\r\nContent-ID: <a@b>\r\n\r\n" + PIDF
        + b"\r\n--unique-boundary-1--\r\nepilogue\r\n--unique-boundary-1\r\n\r\nnothing",
        b'"unique-boundary-1"',
    )  # fmt: skip
    sdp, isup, pidf = body_parts(call)
    assert (sdp.body, isup.body, pidf.body) == (SDP, ISUP, PIDF)
    assert sdp.content_type.media_type == "application/sdp"
    assert isup.get_header("content-type") == "application/ISUP;version=nxv3; base=etsi121"
    assert isup.get_header("Content-Disposition") == "signal;handling=optional"
    assert (pidf.content_type.subtype, pidf.get_header("CONTENT-id"), pidf.get_header("X", "no")) == (
        "pidf+xml",
        "<a@b>",
        "no",
    )


def test_parts_and_their_headers_are_limited(impl: ModuleType):
    part, header = b"--b1\r\n\r\na\r\n", b"A: b\r\n"
    assert len(parts(impl, part * 128 + b"--b1--")) == 128
    whole = message(impl, b"preamble\r\n" + part * 129)
    assert outcome(body_parts, whole) == (ParseError, ("too many parts", 10 + 128 * len(part), 513))
    assert len(body_parts(whole, max_parts=129)) == 129
    assert outcome(body_parts, message(impl, b"--b1-\r\n" * 200))[1][2] == 513  # it might have been a delimiter
    many = message(impl, b"--b1\r\n" + header * 200 + b"\r\n\r\n--b1\r\n" + header * 313 + b"\r\n")
    kind, (reason, _, status) = outcome(body_parts, many)
    assert (kind, reason, status) == (ParseError, "too many headers", 513)
    folded = b"A: b\r\n" + b" c\r\n" * 255
    assert len(parts(impl, (b"--b1\r\n" + folded + b"\r\n") * 2)) == 2
    folds = message(impl, (b"--b1\r\n" + folded + b"\r\n") * 2 + b"--b1\r\nA:\r\n\r\n")
    assert outcome(body_parts, folds)[1][::2] == ("too many headers", 513)
    assert len(body_parts(folds, max_headers=513)) == 3
    assert [len(part.headers) for part in body_parts(many, max_headers=513)] == [200, 313]
    assert parts(impl, b"--b1" * 1000 + b"\r\n--b1\r\n\r\na") == [((), b"a")]  # one line


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b1\r\n\r\na\r\n--b1--", [((), b"a")]),
        (b"--b1\r\n\r\na", [((), b"a")]),  # no final boundary
        (b"--b1\r\n\r\na\r\n--b1", [((), b"a"), ((), b"")]),
        (b"--b1\n\na\n--b1--\n", [((), b"a")]),  # bare LFs
        (b"--b1\r\n\r\n\r\n--b1\r\nA: b\r\n\r\n--b1--", [((), b""), ((("A", "b"),), b"")]),
        (b"--b1\r\nA: b\r\n--b1--", [((("A", "b"),), b"")]),
        (b"--b1\r\n--b1\r\n--b1--", [((), b""), ((), b"")]),
        (b"--b1\r\n\r\n--b12\r\n--b1-\r\n --b1\r\n--b1--x\r\n--b1--", [((), b"--b12\r\n--b1-\r\n --b1\r\n--b1--x")]),
        (b"--b1\r\n\r\n\r\r\n\r\n--b1--", [((), b"\r\r\n")]),
        (b"--b1\r\n\r\nx--b1\r\r\n--b1--", [((), b"x--b1\r")]),
        (b"--b1\r\nA : \xff\r\n\r\n\r\n--b1--", [((("A", "\udcff"),), b"")]),
    ],
)
def test_parts(impl: ModuleType, body: bytes, expected: list[Any]):
    assert parts(impl, body) == expected


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b"", 0),
        (b"--b2\r\n\r\na", 9),
        (b"x--b1\r\n\r\na", 10),
        (b"--b1\r\nno header\r\n--b1--", 6),
        (b"--b1\r\nA: b\r\n: c\r\n\r\n--b1--", 12),
        (b"--b1\r\nA: \x00\r\n\r\n--b1--", 6),
        (b"--b1\r\n A: b\r\n\r\n--b1--", 6),
    ],
)
def test_refused(impl: ModuleType, body: bytes, offset: int):
    with pytest.raises(ParseError) as caught:
        parts(impl, body)
    assert (caught.value.offset, caught.value.status) == (offset, 400)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"application/sdp",
        b"multipart/mixed",
        b'multipart/mixed;boundary=""',
        b"x",
        b"multipart/mixed;boundary=" + b"b1" * 36,
    ],
)
def test_not_multipart(impl: ModuleType, value: bytes):
    data = HEAD.replace(b"multipart/mixed;boundary=%b", value) if value else b"INVITE sip:b@h SIP/2.0\r\n\r\n"
    with pytest.raises(HeaderError) as caught:
        body_parts(impl.parse(data + b"--b1\r\n\r\na"))
    assert caught.value.header == "Content-Type"


def test_parts_in_parts(impl: ModuleType):
    inner, body = join_parts([((("Content-Type", "text/plain"),), "a\nb")], subtype="alternative", boundary="in ner")
    outer, whole = join_parts([((("Content-Type", inner),), body), BodyPart((), ISUP)], boundary="outer")
    request = impl.Message.request("INVITE", "sip:b@h", headers={"Content-Type": outer}, body=whole)
    first, second = body_parts(impl.parse(bytes(request)))
    assert second == BodyPart((), ISUP)
    assert [tuple(part) for part in body_parts(first)] == [((("Content-Type", "text/plain"),), b"a\r\nb")]
    assert request.content_type == outer
    assert str(inner) == 'multipart/alternative;boundary="in ner"'


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_what_is_joined_is_split(bodies: list[bytes]):
    content_type, body = join_parts([BodyPart((("Content-Type", "a/b"),), part) for part in bodies])
    again = body_parts(BodyPart((("Content-Type", str(content_type)),), body))
    assert [part.body for part in again] == bodies
    assert join_parts(again, boundary=content_type.params["boundary"]) == (content_type, body)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"parts": []}, SerializeError),
        ({"parts": [((), b"x--b1")]}, SerializeError),
        ({"parts": [([("A", "b\r\nc")], b"")]}, SerializeError),
        ({"parts": [([("A b", "c")], b"")]}, SerializeError),
        ({"parts": [((), b"")], "boundary": ""}, SerializeError),
        ({"parts": [((), b"")], "boundary": "a "}, SerializeError),
        ({"parts": [((), b"")], "boundary": "a" * 71}, SerializeError),
        ({"parts": [((), b"")], "subtype": "a b"}, SerializeError),
        ({"parts": [((), None)]}, TypeError),
    ],
)
def test_not_joined(arguments: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        join_parts(**{"boundary": "b1", **arguments})


@pytest.mark.parametrize(
    "unit",
    [b"-", b"--b1", b"\r\n--b1", b"\n--b1\n", b"\r\n", b"--b1 ", b"\n--b1 x", b"a:b\n", b"a:\n ", b"\n--b1\na:b\n"],
)
def test_cost_is_linear(unit: bytes):
    content_type = ("Content-Type", "multipart/mixed;boundary=b1")
    assert_linear(lambda size: partial(outcome, body_parts, BodyPart((content_type,), b"--b1\n" + fill(unit, size))))


@pytest.mark.parametrize("length", [1, 70])
def test_cost_of_a_boundary_that_is_everywhere(length: int):
    content_type = ("Content-Type", f"multipart/mixed;boundary={'-' * length}")
    assert outcome(body_parts, BodyPart((content_type,), b"-" * 60_000))[0] is ParseError
    assert_linear(lambda size: partial(outcome, body_parts, BodyPart((content_type,), b"-" * size)))
