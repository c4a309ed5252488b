"""What can be read of bytes that are no message; each implementation says what is one."""

from functools import partial
from types import ModuleType

import pytest
from agreement import MESSAGES, REQUEST
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st

from sipstack import BrokenMessage, Message, ParseError, read_broken


@pytest.mark.parametrize("data", MESSAGES)
def test_of_a_message_it_is_all_there_is(impl: ModuleType, data: bytes):
    message = impl.parse(data)
    broken = read_broken(message.to_bytes())
    assert broken.headers == tuple(message.headers.items())
    assert broken.body == message.body
    assert broken.start_line == str(message).replace("\r", "").partition("\n")[0]
    assert not isinstance(broken, Message)


@pytest.mark.parametrize("data", MESSAGES)
def test_a_message_that_was_cut_anywhere(impl: ModuleType, data: bytes):
    """Every header before the cut is there, and none behind; the last may have lost the folded rest of it."""
    message = impl.parse(data)
    data, whole = message.to_bytes(), message.headers.items()
    before = 0
    for end in range(len(data)):
        headers = read_broken(data[:end]).headers
        assert headers[:-1] == tuple(whole[: len(headers) - 1] if headers else ())
        if headers:
            assert headers[-1][0] == whole[len(headers) - 1][0]
            assert whole[len(headers) - 1][1].startswith(headers[-1][1])
        assert len(headers) >= before - 1  # in the middle of a fold nothing of it is there
        before = len(headers)
    assert before == len(whole)


@pytest.mark.parametrize(
    ("line", "there"),
    [
        (b"no colon", False), (b"Call ID: 2", False), (b": x", False), (b"X\x01: y", False), (b"X: \x00", False),
        (b"X: a\rY: b", False), (b'X: "\\\x07"', True), (b"X : \xff", True), (b"X:\r\n y", True), (b"v:", True),
    ],
)  # fmt: skip
def test_a_line_is_a_header_where_parse_has_it_as_one(impl: ModuleType, line: bytes, there: bool):
    data = REQUEST.replace(b"Max-Forwards", line + b"\r\nMax-Forwards")
    broken = read_broken(data)
    if there:
        assert broken.headers == tuple(impl.parse(data).headers.items())
    else:
        with pytest.raises(ParseError):
            impl.parse(data)
        assert broken == read_broken(REQUEST)
    assert (broken.get_header("i"), broken.get_header("x-none"), broken.get_header("x-none", "-")) == (
        "a84b4c76e66710@pc33.atlanta.example.com", None, "-",
    )  # fmt: skip


def test_a_body_that_is_not_all_there(impl: ModuleType):
    data = REQUEST.replace(b"Content-Length: 5", b"Content-Length: 500")
    with pytest.raises(ParseError, match="more than the bytes"):
        impl.parse(data)
    assert read_broken(data).body == b"v=0\r\n"
    assert read_broken(data).get_header("Content-Length") == "500"


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"nonsense", b"\x16\x03\x01", "\ud800", "a\ud800\r\nb: c"])
def test_garbage(data: bytes | str):
    assert read_broken(data) == BrokenMessage("a?" if "b: c" in str(data) else "", read_broken(data).headers, b"")


def test_whatever_is_bytes_is_read_and_nothing_else():
    assert read_broken(bytearray(REQUEST)) == read_broken(memoryview(REQUEST)) == read_broken(REQUEST)
    assert read_broken(REQUEST.decode()) == read_broken(REQUEST)
    for wrong in (None, 5, [b"x"]):
        with pytest.raises(TypeError, match=r"^data must be bytes"):
            read_broken(wrong)


def test_a_hundred_thousand_headers():
    assert 250 <= len(read_broken(b"A b\r\n" + b"A: b\r\n" * 100_000).headers) <= 257


def test_folds_are_lines(impl: ModuleType):
    folded = b"A: b\r\n" + b"X: y" + b"\r\n z" * 150 + b"\r\n"
    assert read_broken(b"A b\r\n" + folded).headers == (("A", "b"), ("X", "y" + " z" * 150))
    assert read_broken(b"A b\r\n" + folded * 2 + b"\r\n").headers == (("A", "b"), ("X", "y" + " z" * 150), ("A", "b"))


@given(st.binary(max_size=200).map(lambda data: b"INVITE sip:a SIP/2.0\r\n" + data))
def test_nothing_in_it_moves_a_terminal(data: bytes):
    broken = read_broken(data)
    for name, value in broken.headers:
        assert name.isascii()
        bare = value.replace("\\", "")
        assert "\n" not in value
        assert bare == bare.translate(dict.fromkeys((*range(9), *range(10, 32), 127))) or "\\" in value


@pytest.mark.parametrize(
    "piece", [b"\n", b"\r\n ", b"Via: a\r\n", b" ", b":", b"\r", b"\\", b"a", b"a \t", b"A: \\\r\n "]
)
@pytest.mark.parametrize("start", [b"", REQUEST[:-9]])
def test_the_cost_is_linear(piece: bytes, start: bytes):
    assert_linear(lambda size: partial(read_broken, start + fill(piece, size) + b"x"))
