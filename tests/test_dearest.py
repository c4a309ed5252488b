"""The search for the dearest calls knows every call of the public API, and each of them works."""

import random
from types import ModuleType
from typing import Any

import pytest

import sipstack
from benchmarks import calls, dearest, examples
from sipstack import Headers, Message, proxy
from sipstack.message import core

OF_THE_CALLER = {
    "request", "response",  # what they take is no message
    "join_parts", "random_branch", "random_token", "reason_phrase", "escape_uri",
    "Endpoint", "EndpointConfig", "UDPTransport",
    "read_message",  # is read_message_from for asyncio
}  # fmt: skip
OF_NO_MESSAGE = {"digest", "metrics"}  # the one is the registrar's; of the other's a handler reads the Request-URI
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


def test_every_example_is_searched() -> None:
    programs = {path.stem for path in examples.EXAMPLES.glob("*.py")}
    assert programs == {name for name in programs if name in searched()} | OF_NO_MESSAGE


@pytest.mark.parametrize(
    ("name", "statuses", "responses"),
    [("stateless_proxy", {}, 0), ("stateless_proxy response", {"4xx": 1}, 1), ("transactions", {"4xx": 1}, 0),
     ("transactions response", {}, 1), ("call", {"1xx": 1}, 0), ("call BYE", {"4xx": 1}, 0),
     ("registrar", {"4xx": 1}, 0), ("registrar INVITE", {"4xx": 1}, 0)],
)  # fmt: skip
def test_a_message_reaches_the_handler_of_an_example(
    name: str, statuses: dict[str, int], responses: int, caplog: pytest.LogCaptureFixture
) -> None:
    call, prepare = calls.calls(core)[name]
    given = prepare(dearest.write((dearest.Field("Subject", (), (b"a",), ()),)))
    call(given)
    stats = given[0].stats
    assert (stats.datagrams, stats.parse_errors, stats.handler_errors) == (1, 0, 0)
    assert (stats.responses_by_class, stats.responses_received) == (statuses, responses)


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
