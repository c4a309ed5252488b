"""What a caller does wrong says which argument it was, and what to do instead; both implementations alike."""

import asyncio
import copy
import http
import inspect
import io
import pickle
import re
from types import ModuleType
from typing import Any

import pytest
from agreement import REQUEST, outcome

import sipstack
from sipstack import (
    STAR,
    AbsoluteUri,
    HeaderError,
    Message,
    NameAddr,
    SerializeError,
    SipError,
    SipUri,
    StreamParser,
    TelUri,
    Via,
    body_parts,
    headers,
    parse_header,
    parse_list,
    parse_uri,
    read_message,
    read_message_from,
    split_list,
    unsupported_options,
)


@pytest.fixture
def message(impl: ModuleType) -> Any:
    return impl.parse(REQUEST)


# --- what cannot be set

PROPERTIES = [name for name, member in inspect.getmembers(Message, inspect.isdatadescriptor) if name[0] != "_"]


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name not in ("body", "request_uri", "headers")])
def test_what_cannot_be_set_says_what_to_do_instead(both: Any, name: str):
    found = []
    for impl in both:
        message = impl.parse(REQUEST)
        for change in (lambda m=message: setattr(m, name, 1), lambda m=message: delattr(m, name)):
            with pytest.raises(AttributeError) as caught:
                change()
            found.append(str(caught.value))
        assert message == impl.parse(REQUEST)
    assert found == [found[0]] * 4
    assert found[0].startswith(f"{name} of a Message cannot be set: ")
    for call in re.findall(r"(?:message\.)?(\w+)\(|\b([a-z]+_[a-z_]+)\b", found[0]):
        word = next(filter(None, call))
        assert word == name or hasattr(Message, word) or hasattr(NameAddr, word), word


def test_headers_are_assigned_to_themselves_alone(message: Any):
    message.headers |= {"Subject": "a", "x": 1}
    assert (message.get_header("Subject"), message.get_header("X")) == ("a", "1")
    before = bytes(message)
    for wrong in ({"Subject": "b"}, message.copy().headers, None):
        with pytest.raises(AttributeError, match=r"^headers of a Message cannot be set: headers\.update replaces"):
            message.headers = wrong
    assert bytes(message) == before


def test_a_value_says_that_replace_makes_another():
    with pytest.raises(AttributeError, match=r"port cannot be set; replace\(port=\.\.\.\) makes a changed copy$"):
        Via("h").port = 1
    with pytest.raises(AttributeError, match=r"num cannot be set$"):
        sipstack.CSeq(1, "A").num = 2


def test_a_message_is_not_made_by_its_class(impl: ModuleType):
    for make in (impl.Message, lambda: impl.Message.__new__(impl.Message), lambda: impl.Message(1, a=2)):
        with pytest.raises(TypeError, match=r"^a Message is made by parse, Message\.request or Message\.response$"):
            make()


# --- text that is none

CLASSES = [
    item for name in headers.__all__ if inspect.isclass(item := getattr(headers, name)) and hasattr(item, "parse")
] + [SipUri, TelUri, AbsoluteUri]  # fmt: skip


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not headers.HeaderValue])
@pytest.mark.parametrize("wrong", [b"x", None, 5, bytearray(b"*"), ["x"]])
def test_every_parse_names_its_argument(cls: Any, wrong: object):
    with pytest.raises(TypeError, match=rf"^text must be str, not {type(wrong).__name__}$"):
        cls.parse(wrong)
    assert cls.parse.__doc__


@pytest.mark.parametrize("header", ["Via", "Expires", "Contact", "Allow", "Call-ID", "X-Any", "Subject", "RSeq"])
@pytest.mark.parametrize("wrong", [b"x", None, 5])
def test_parse_header_names_its_argument(header: str, wrong: object):
    with pytest.raises(TypeError, match=rf"^value must be str, not {type(wrong).__name__}$"):
        parse_header(header, wrong)
    with pytest.raises(TypeError, match=rf"^name must be str, not {type(wrong).__name__}$"):
        parse_header(wrong, "x")


def test_lists_and_uris_name_their_argument():
    for read in (split_list, headers.parse_tokens, headers.parse_hops, lambda value: parse_list(Via, value)):
        with pytest.raises(TypeError, match=r"^value must be str, not bytes$"):
            read(b"a, b")
    with pytest.raises(TypeError, match=r"^text must be str, not bytes$"):
        parse_uri(b"sip:h")


def test_a_str_subclass_is_text():
    class Text(str):
        __slots__ = ()

    assert Via.parse(Text("SIP/2.0/UDP h")).host == "h"
    assert parse_header("Expires", Text("5")) == 5


@pytest.mark.parametrize("wrong", ["a: b", b"a: b", None, 5])
def test_headers_that_are_neither_a_mapping_nor_pairs(impl: ModuleType, message: Any, wrong: object):
    expected = f"headers must be a mapping or (name, value) pairs, not {type(wrong).__name__}"
    for build in (
        lambda: impl.Message.request("A", "sip:h", headers=wrong),
        lambda: impl.Message.response(200, headers=wrong),
        lambda: message.reply(200, headers=wrong),
        lambda: message.headers.extend(wrong),
        lambda: message.headers.update(wrong),
        lambda: message.headers | wrong,
        lambda: wrong | message.headers,
    ):
        with pytest.raises(TypeError) as caught:
            build()
        assert str(caught.value) == expected
    assert bytes(message) == REQUEST


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("Subject: lunch", "str"),
        ("ab", "str"),
        (b"ab", "bytes"),
        ({"a", "b"}, "set"),
        (None, "NoneType"),
        (("Subject",), "tuple of 1"),
        (["Subject", "a", "b"], "list of 3"),
    ],
)
@pytest.mark.parametrize("collection", [list, tuple, iter])
def test_a_header_that_is_no_pair(impl: ModuleType, message: Any, collection: Any, wrong: object, what: str):
    for build in (
        lambda headers: impl.Message.request("A", "sip:h", headers=headers),
        lambda headers: impl.Message.response(200, headers=headers),
        lambda headers: message.reply(200, headers=headers),
        lambda headers: message.headers.extend(headers),
        lambda headers: message.headers.update(headers),
        lambda headers: message.headers | headers,
    ):
        with pytest.raises(TypeError) as caught:
            build(collection([("X-Good", "1"), wrong]))
        assert str(caught.value) == f"a header must be a (name, value) pair, not {what}"
    assert bytes(message) == REQUEST


def test_a_constructor_that_is_given_what_parse_reads():
    for build, hint in (
        (lambda: SipUri("sip:bob@h"), "parse_uri reads a whole URI"),
        (lambda: SipUri("SIPS:h"), "parse_uri reads a whole URI"),
        (lambda: TelUri("tel:+1"), "parse_uri reads a whole URI"),
        (lambda: Via("SIP/2.0/UDP h"), "Via.parse reads a whole Via"),
        (lambda: NameAddr('"A" <sip:a@h>'), "NameAddr.parse reads an address in <>"),
    ):
        with pytest.raises(SerializeError, match=f"; {hint}$"):
            build()
    with pytest.raises(SerializeError, match=r"^host is not a host name or address$"):
        SipUri("a b")


def test_one_str_is_no_collection_of_them(message: Any):
    with pytest.raises(TypeError, match=r"^schemes is a collection of str, not one str$"):
        message.validate(schemes="sip")
    with pytest.raises(TypeError, match=r"^supported is a collection of str, not one str$"):
        unsupported_options(message, "timer")
    assert message.validate(schemes=["sip"]) == []


def test_a_malformed_require_is_named(message: Any):
    message.set_header("Require", "a b")
    with pytest.raises(HeaderError, match=r"^Require: list element is not a token"):
        unsupported_options(message, ())


# --- limits


@pytest.mark.parametrize("size", [0, -1, 1 << 22, 1 << 70, -(1 << 70)])
def test_a_size_that_is_no_limit(impl: ModuleType, size: int):
    expected = rf"^max_size must be from 1 to 4194303, not {size}$"
    with pytest.raises(ValueError, match=expected):
        impl.parse(REQUEST, max_size=size)
    for read in (lambda: StreamParser(max_size=size), lambda: read_message_from(io.BytesIO(REQUEST), max_size=size)):
        with pytest.raises(ValueError, match=expected):
            read()


@pytest.mark.parametrize("headers", [-1, -(1 << 70)])
def test_a_number_of_headers_that_is_no_limit(impl: ModuleType, headers: int):
    expected = rf"^max_headers must not be negative, as {headers} is$"
    with pytest.raises(ValueError, match=expected):
        impl.parse(REQUEST, max_headers=headers)
    with pytest.raises(ValueError, match=expected):
        StreamParser(max_headers=headers)


def test_limits_of_another_type_and_large_ones(both: Any):
    for limits in ({"max_size": 1.5}, {"max_size": "1"}, {"max_headers": None}, {"max_headers": 1 << 70},
                   {"max_headers": 0}, {"max_size": 1}, {"max_size": True}):  # fmt: skip
        found = []
        for impl in both:
            try:
                found.append(outcome(lambda i=impl, ls=limits: bytes(i.parse(REQUEST, **ls))))
            except TypeError as error:
                found.append(("TypeError", str(error)))
        assert found[0] == found[1]
    assert bytes(both[0].parse(REQUEST, max_headers=1 << 70)) == REQUEST


MULTIPART = (
    b"INFO sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX-Y: z\r\nContent-Type: multipart/mixed;boundary=a\r\n\r\n"
    b"--a\r\n\r\n--a--"
)
LIMITED = {
    "get_values": lambda message, **limits: message.get_values("Via", **limits),
    "get_values of text": lambda message, **limits: message.get_values("X-Y", **limits),
    "get_values of nothing": lambda message, **limits: message.get_values("Contact", **limits),
    "validate": lambda message, **limits: message.validate(**limits),
    "parse_header": lambda message, **limits: parse_header("Via", message.get_header("Via"), **limits),
    "parse_header of text": lambda message, **limits: parse_header("X-Y", "z", **limits),
    "unsupported_options": lambda message, **limits: unsupported_options(message, (), **limits),
    "body_parts": body_parts,
}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (call, name)
        for call in LIMITED
        for name in ("max_parts", "max_headers" if call == "body_parts" else "max_values")
    ],
)
def test_a_limit_of_values_that_is_none(impl: ModuleType, call: str, name: str):
    message = impl.parse(MULTIPART)
    for limit in (-1, -(1 << 70)):
        with pytest.raises(ValueError, match=rf"^{name} must not be negative, as {limit} is$") as caught:
            LIMITED[call](message, **{name: limit})
        assert not isinstance(caught.value, SipError)
    for wrong in (None, "5", 5.0, True):
        with pytest.raises(TypeError, match=rf"^{name} must be int, not {type(wrong).__name__}$"):
            LIMITED[call](message, **{name: wrong})
    assert LIMITED[call](message, **{name: 1 << 70}) == LIMITED[call](message)
    message = impl.parse(MULTIPART.replace(b"INFO", b"ACK"))
    with pytest.raises(ValueError, match="negative"):
        LIMITED[call](message, **{name: -1})


@pytest.mark.parametrize("limit", ["max_size", "max_headers"])
@pytest.mark.parametrize("wrong", [None, "5", 5.0, True])
def test_a_limit_of_a_message_that_is_no_number(impl: ModuleType, limit: str, wrong: object):
    for read in (
        lambda: impl.parse(REQUEST, **{limit: wrong}),
        lambda: StreamParser(**{limit: wrong}),
        lambda: read_message_from(io.BytesIO(REQUEST), **{limit: wrong}),
    ):
        with pytest.raises(TypeError, match=rf"^{limit} must be int, not {type(wrong).__name__}$"):
            read()


# --- what pickles, what does not


def test_the_star_is_one():
    assert pickle.loads(pickle.dumps(STAR)) is STAR
    assert copy.deepcopy(STAR) is STAR
    assert headers.Star() is STAR
    assert headers.Star.parse("*") is STAR


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_a_message_that_could_not_be_parsed(impl: ModuleType, protocol: int):
    large = impl.Message.request("A", "sip:h", headers={"X": "\u00e9"}, body=b"x\n\n\r\n" * 1_000_000)
    assert len(large.to_bytes()) > 1 << 22
    many = impl.Message.request("A", "sip:h", headers=[("X" * 1000, "y" * 1000)] * 3000, body=b"z")
    for made in (large, many):
        again = pickle.loads(pickle.dumps(made, protocol))
        assert again == made
        assert again.body == made.body
        assert again.headers == made.headers
        again.add_header("Y", "z")
        assert again.get_header("Y") == "z"


@pytest.mark.parametrize("short_of", [0, 1, 2, 3])
def test_a_pickle_of_a_message_with_the_longest_name(impl: ModuleType, short_of: int):
    name = "X" * ((1 << 22) - 1 - short_of)
    made = impl.Message.request("A" * len(name), "sip:" + name, headers=[(name, name), ("Via", "v")], body=b"b")
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.get_header(name) == name
    assert (again.method, again.request_uri, again.get_header("v"), again.body) == (
        made.method, made.request_uri, "v", b"b",
    )  # fmt: skip
    blank = impl.parse(b"A sip:a SIP/2.0\r\nX" + b" " * ((1 << 22) - 30) + b":y\r\n\r\n", max_size=(1 << 22) - 1)
    blank.add_header("Y", name)
    assert pickle.loads(pickle.dumps(blank)) == blank


def test_a_body_that_nobody_could_read_changes_nothing(impl: ModuleType, message: Any):
    body = bytes(1_000_000_000)
    for build in (
        lambda: setattr(message, "body", body),
        lambda: message.reply(200, body=body),
        lambda: impl.Message.request("A", "sip:h", body=body),
    ):
        with pytest.raises(SerializeError, match=r"^body is over 999999999 bytes$"):
            build()
    assert bytes(message) == REQUEST


def test_bodies_and_statuses_of_a_subclass(impl: ModuleType, message: Any):
    class Bytes(bytes):
        pass

    for made in (message.reply(200, body=Bytes(b"abc")), impl.Message.request("A", "sip:h", body=Bytes(b"abc"))):
        assert type(made.body) is bytes
        assert (made.body, made.content_length) == (b"abc", 3)
    message.body = Bytes(b"ab")
    assert (type(message.body), message.content_length) == (bytes, 2)
    assert type(impl.parse(Bytes(REQUEST)).to_bytes()) is bytes
    for made in (message.reply(http.HTTPStatus.OK), impl.Message.response(http.HTTPStatus.OK)):
        assert (made.status_code, type(made.status_code), made.status_text) == (200, int, "OK")
        assert bytes(made).startswith(b"SIP/2.0 200 OK\r\n")


# --- read_message under a timeout

TWO = REQUEST + b"\r\n\r\n" + REQUEST.replace(b"INVITE", b"OPTIONS")


@pytest.mark.parametrize("at", [*range(0, len(TWO), 7), len(REQUEST) + 1, len(REQUEST) + 2, len(REQUEST) + 3])
async def test_a_timeout_loses_nothing(at: int):
    """A call that is cancelled after any number of bytes: the next one goes on where it was."""
    reader, heard = asyncio.StreamReader(), []
    reader.feed_data(TWO[:at])
    found = []

    async def read_all() -> None:
        while (message := await read_message(reader, on_keepalive=heard.append)) is not None:
            found.append(message.method)

    task = asyncio.create_task(read_all())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader.feed_data(TWO[at:])
    reader.feed_eof()
    await read_all()
    assert (found, heard) == (["INVITE", "OPTIONS"], [1])


async def test_a_timeout_in_a_message_that_is_broken():
    reader = asyncio.StreamReader()
    reader.feed_data(b"INVITE sip:a SIP/2.0\r\nA: b\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read_message(reader), 0.01)
    reader.feed_eof()
    with pytest.raises(sipstack.ParseError, match="stream ended inside a message"):
        await read_message(reader)
    assert await read_message(reader) is None
