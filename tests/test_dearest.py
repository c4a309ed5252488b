"""The search for the dearest calls knows every call of the public API, and each of them works."""

import random
from types import ModuleType
from typing import Any

import pytest

import sipstack
from benchmarks import calls, dearest
from sipstack import Headers, Message, proxy
from sipstack.message import core

OF_THE_CALLER = {
    "request", "response",  # what they take is no message
    "join_parts", "random_branch", "random_token", "reason_phrase", "escape_uri",
    "Endpoint", "EndpointConfig", "UDPTransport",
    "read_message",  # is read_message_from for asyncio
}  # fmt: skip
ONE_VALUE = {  # of a text, which nobody has counted: the limits are those of what reads a message
    "parse_header", "parse_list", "parse_uri", "parse_cseq_num", "parse_rack", "split_list", "unescape_uri",
    "with_cseq_ack", "body_bytes_len",
}  # fmt: skip


def public(owner: Any) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_") and name.islower()}


def searched() -> set[str]:
    return {name.split()[0] for name in calls.calls(core)}


@pytest.mark.parametrize("owner", [Message, Headers])
def test_every_call_of_a_message_is_searched(owner: type) -> None:
    prefix = "headers." if owner is Headers else ""
    assert public(owner) - OF_THE_CALLER == {name for name in public(owner) if prefix + name in searched()}


def test_every_function_is_searched() -> None:
    functions = {name for name in (*sipstack.__all__, *proxy.__all__) if callable(getattr(sipstack, name, len))}
    functions = {name for name in functions if name.islower() or name in ("StreamParser", "Endpoint")}
    assert functions - searched() - OF_THE_CALLER - ONE_VALUE == {"headers", "methods"} & functions


def test_each_call_works(impl: ModuleType) -> None:
    raw = dearest.write((dearest.Field("Subject", (), (b"a",), ()),))
    assert len(raw) == dearest.SIZE
    refused = set()
    for name, (call, prepare) in calls.calls(impl).items():
        given = prepare(raw)
        try:
            call(given)
        except (ValueError, KeyError):
            refused.add(name)
    assert refused == set()


def test_what_is_grown_is_a_message_mostly() -> None:
    chance, read = dearest.Chance(1), 0
    parents = [random.Random(1).choice(chance.first())]
    for _ in range(200):
        child = chance.child(parents)
        raw = dearest.write(child)
        assert len(raw) <= dearest.SIZE
        try:
            sipstack.parse(raw)
        except sipstack.ParseError:
            continue
        read += 1
        parents.append(child)
    assert read > 150


def test_the_search_finds_something_for_each_call(impl: ModuleType) -> None:
    found = dearest.search(impl, 0.0)
    assert set(found) == set(calls.calls(impl))
