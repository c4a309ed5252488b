"""Messages for people and notebooks, and what else notebooks ask for; both implementations alike."""

from types import ModuleType
from typing import Any

import pytest
from agreement import MESSAGES, REQUEST

from sipstack import Message, parse


@pytest.fixture
def message(impl: ModuleType) -> Any:
    return impl.parse(REQUEST)


@pytest.mark.parametrize("data", MESSAGES)
def test_a_message_for_people(both: Any, data: bytes):
    compiled, plain = [impl.parse(data).describe() for impl in both]
    assert compiled == plain
    message = parse(data)
    lines = compiled.split("\n")
    assert lines[0].split(",")[0] in (
        f"request {message.method}",
        f"response {message.status_code} {message.status_text}",
    )
    for name in message.headers:
        assert any(line.startswith(f"{name}: ") for line in lines)
    assert sum(line[:2] in ("! ", "- ") for line in lines) == len(message.validate())
    assert compiled.replace("\n", "").isprintable()


def test_too_much_is_shown_and_not_understood(impl: ModuleType):
    data = REQUEST.replace(b"Contact:", b"Contact: " + b"<sip:a>," * 128)
    text = impl.parse(data).describe()
    assert "NameAddr" not in text
    assert "\n! too many values (a server answers 513)" in text
    assert text.count("<sip:a>") == 128


def test_what_is_long_is_cut(impl: ModuleType):
    value, body = b"a" * 2047 + b"\xff" + b"b" * 4000, b"\xff" * 3000 + b"c" * 30_000
    head = b"".join(b"X: %b\r\n" % value for _ in range(5))
    text = impl.parse(b"A sip:b SIP/2.0\r\n" + head + b"\r\n" + body).describe()
    lines = text.split("\n")
    assert lines.count(f"X: {'a' * 2047}\\... (6048 characters)") == 5
    assert "... (the rest is not shown)" in lines
    assert lines[-1] == "! Content-Type: is missing, and there is a body (a server answers 400)"
    assert len(text) < 16_384 + 1000
    short = impl.parse(b"A sip:b SIP/2.0\r\nX: " + b"\xff" * 500 + b"\r\n\r\n" + b"a\n" * 1000).describe()
    assert "X: " + r"\xff" * 500 + "\n" in short
    assert short.count("\n    a") == 1000
    assert "not shown" not in short


def test_what_it_says(message: Any):
    message.set_header("CSeq", "7 BYE")
    message.set_header("Date", "today")
    text = message.describe()
    assert (
        "\nRequest-URI: sip:bob@biloxi.example.com;transport=udp\n    SipUri host=biloxi.example.com user=bob" in text
    )
    assert "\n    NameAddr q=0.5 params=q=0.5\n" in text
    assert "\nbody: 5 bytes\n    v=0\n" in text
    assert "\n! CSeq: method is not the request's (a server answers 400)\n- Date is " in text
    message.remove_header("Via")
    assert "! Via: is missing" in message.describe()


def test_a_notebook_sees_the_same_and_runs_nothing_of_it(message: Any):
    message.set_header("Subject", "<script>&amp;")
    html = message._repr_html_()
    assert html.startswith("<pre>request INVITE")
    assert "&lt;script&gt;&amp;amp;" in html
    assert "<script" not in html
    assert html.count("<") == 2


# --- the headers view


def test_headers_or_others_are_pairs_for_a_builder(impl: ModuleType, message: Any):
    before = bytes(message)
    pairs = message.headers | {"SUBJECT": "x", "v": "SIP/2.0/UDP h", "max-forwards": 5}
    assert pairs[-3:] == [("SUBJECT", "x"), ("v", "SIP/2.0/UDP h"), ("max-forwards", 5)]
    made = impl.Message.request("INVITE", "sip:h", headers=message.headers | [("X-A", "1"), ("x-a", "2"), ("l", 0)])
    assert made.get_headers("X-A") == ["1", "2"]
    assert made.get_headers("Content-Length") == ["0"]
    assert made.via == message.via
    assert bytes(message) == before


def test_others_or_headers(message: Any):
    pairs = {"Subject": "x", "call-id": "1"} | message.headers
    assert pairs == [("Subject", "x"), *message.headers.items()]
    assert message.headers | Message.response(200, headers={"X": "y"}).headers == [
        *[pair for pair in message.headers.items() if pair[0] != "Content-Length"], ("X", "y"), ("Content-Length", "0"),
    ]  # fmt: skip


def test_headers_that_are_updated(message: Any):
    view = message.headers
    view |= {"Subject": "a", "i": "9"}
    assert view == message.headers
    assert (message.get_header("Subject"), message.get_headers("Call-ID")) == ("a", ["9"])
    with pytest.raises(TypeError, match=r"^header name must be str, not int$"):
        _ = view | [(1, "a")]


def test_names_for_the_tabulator_key(impl: ModuleType):
    message = impl.Message.response(200, headers=[("Via", "a"), ("Via", "b"), ("x", "c")])
    assert message.headers._ipython_key_completions_() == ["Via", "x", "Content-Length"]
