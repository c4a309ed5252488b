"""How long the answers are that an endpoint gives by itself: who forges a source must not gain by us."""

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_endpoint import Memory, answers, request_bytes
from test_unreadable import SOURCE, _dispatcher  # noqa: F401 - each test runs with each dispatcher

from sipstack import Endpoint, EndpointConfig, HeaderError, parse
from sipstack.cli._serve import options_handler
from sipstack.methods import METHODS

ROWS = re.findall(
    r"(?m)^\| ([0-9 ,]+|none) \| ([^|]+) \| ([0-9]) \| [^|]*\|$",
    Path(__file__).parents[1].joinpath("docs/accepts.md").read_text(),
)
DOCUMENTED = {
    (status, "cannot be read" in what): int(times) for statuses, what, times in ROWS for status in statuses.split(", ")
}

LONGEST = ("2001:db8:1111:2222:3333:4444:5555:6666", 65_535)
SERVE_ROOM = 132  # twice what `received` and `rport` take


def allowed(name, data):
    """The bytes that docs/accepts.md allows an answer with this status, "400 unreadable" for one, to these."""
    return DOCUMENTED[name[:3], "unreadable" in name] * len(data)


def fails(request, addr):
    raise LookupError("trouble")


def meets_a_bad_value(request, addr):
    raise HeaderError("is not what this program likes, which it says at length", "Contact")


async def waits(request, addr):
    await asyncio.sleep(3600)


async def reads(endpoint, *datagrams, source=LONGEST):
    """What is sent for datagrams, while coroutine handlers run."""
    memory = Memory()
    endpoint._serving.attach(memory)
    endpoint._serving.adopt(asyncio.get_running_loop())
    for data in datagrams:
        endpoint._dispatcher.deliver([(data, source)])
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    endpoint.close()
    return [sent for sent, _ in memory.sent]


def make(**config):
    endpoint = Endpoint(EndpointConfig(answer_parse_errors=1 << 20, **config))
    for method in ("INFO", "MESSAGE", *(f"X-{number}" for number in range(8))):
        endpoint.register_handler(method, fails)
    endpoint.register_handler("UPDATE", meets_a_bad_value)
    endpoint.register_handler("INVITE", waits)
    return endpoint


def sent_for(data, source=LONGEST, **config):
    """What the endpoint sends for one datagram."""
    return asyncio.run(reads(make(**config), data, source=source))


# What no handler has said, by how it is asked for.
DEFAULTS = {
    "400 unreadable": {"X": "1\r\nnonsense"},
    "400 missing": {"From": None},
    "400 CSeq": {"CSeq": "7 BYE"},
    "400 handler": {"method": "UPDATE"},
    "405": {"method": "OPTIONS"},
    "416": {"uri": "http://example.com"},
    "420": {"Require": "100rel, a, b"},
    "481": {"method": "CANCEL"},
    "500": {"method": "INFO"},
    "501": {"method": "PING"},
    "503": {"method": "INVITE", "config": {"max_pending": 0}},
    "505": {"version": "7.0"},
    "513": {"Require": ",".join("a" * 129)},
}


def asked_for(name, **more):
    changes = {**DEFAULTS[name], **more}
    config, version = changes.pop("config", {}), changes.pop("version", "2.0")
    return request_bytes(**changes).replace(b" SIP/2.0\r\n", f" SIP/{version}\r\n".encode(), 1), config


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_default_answer_is_given_to_what_devices_send(name):
    data, config = asked_for(
        name, User_Agent="A phone with a name of the usual length 1.2.3.4", Contact="<sip:a@b:5062>"
    )
    [sent] = sent_for(data, **config)
    assert sent.startswith(f"SIP/2.0 {name[:3]} ".encode())
    assert len(sent) <= allowed(name, data)


def shortest(method, *, uri="a:b", version="2.0", end="\n", **changes):
    """The shortest request with all that `check` wants."""
    headers = {"v": "SIP/2.0/UDP a", "f": "a:b", "t": "a:b", "i": "1", "CSeq": f"1 {method}", **changes}
    lines = [f"{method} {uri} SIP/{version}", *(f"{name}:{it}" for name, it in headers.items() if it is not None)]
    return end.join([*lines, "", ""]).encode()


def test_the_shortest_that_can_be_read_get_nothing():
    empty = [b"A a:b SIP/2.0\n" + line + b"\n" for line in (b"", b"v:\n", b"v:SIP/2.0/UDP a\n")]
    whole = [shortest(method) for method in ("A", "BYE", "CANCEL", "INFO", "UPDATE", "INVITE")]
    for data in (*empty, *whole, b"A a:b SIP/7.0\nv:a\n\n"):
        parse(data)
        endpoint = make(max_pending=0)
        memory = Memory()
        assert answers(endpoint, data, LONGEST, memory) == []
        assert endpoint.stats.unanswerable == 1
        assert memory.sent == []


def test_where_an_answer_begins():
    """A request that is padded gets its answer as soon as that is twice as long; its own reason needs more room."""
    texts = []
    for more in range(200):
        data = shortest("BYE", CSeq=None, x="y" * more)
        sent = sent_for(data)
        assert sum(map(len, sent)) <= allowed("400", data)
        texts += [parse(it).status_text for it in sent]
    assert list(dict.fromkeys(texts)) == ["Bad Request", "CSeq is missing"]


def test_what_a_cancelled_invite_gets():
    """Two datagrams in, two out: 200 to the CANCEL and 487 to the INVITE, each by its own size."""
    for more in (0, 20, 60, 100, 200):
        invite, cancel = (shortest(method, x="y" * more) for method in ("INVITE", "CANCEL"))
        sent = asyncio.run(reads(make(schemes=["a"]), invite, cancel))
        by_method = {parse(it).cseq.method: it for it in sent}
        assert len(by_method) == len(sent)
        for method, data in (("INVITE", invite), ("CANCEL", cancel)):
            answer = by_method.get(method, b"SIP/2.0 200")
            assert len(answer) <= allowed(answer[8:11].decode(), data)
    assert {it[8:11] for it in sent} == {b"200", b"487"}


PIECES = [b"\r\n", b"\n", b"\r\n ", b"v:\n", b"v:a\n", b"Via: SIP/2.0/UDP x;received=1.2.3.4;rport\r\n", b"\0", b":",
          b";", b",", b" ", b'"', b"Require: a,b,c,d,e,f,g,h,i,j,k,l\n", b"f:<a:b>\n",
          b"Timestamp: 1\n", b"Record-Route:a\n", b"\xff", b";tag=1", b"SIP/7.0"]  # fmt: skip


@st.composite
def requests(draw):
    """Requests from the shortest on, with bytes put in, taken out and changed."""
    method = draw(
        st.sampled_from(["INVITE", "ACK", "CANCEL", "INFO", "UPDATE", "SUBSCRIBE", "BYE", "OPTIONS", "X", "p" * 90])
    )
    headers = {name: draw(st.sampled_from([value, None, value + " "])) for name, value in
               {"v": "SIP/2.0/UDP a", "f": "a:b", "t": "a:b", "i": "1", "CSeq": f"1 {method}"}.items()}  # fmt: skip
    uri = draw(st.sampled_from(["a:b", "sip:a", "sip:a@example.com", "x", "tel:1"]))
    data = shortest(method, uri=uri, end=draw(st.sampled_from(["\n", "\r\n"])), **headers)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from(PIECES)) * draw(st.sampled_from([1, 1, 1, 2, 50, 200]))
        data = data[:at] + piece + data[at + draw(st.integers(0, 3)) :]
    return data


@settings(max_examples=400)
@given(requests(), st.sampled_from([LONGEST, SOURCE]), st.booleans(), st.sampled_from([0, 1000]))
def test_no_default_answer_is_longer_than_documented(data, source, validate, max_pending):
    endpoint = make(max_pending=max_pending, validate=validate, schemes=["a", "sip"])
    sent = asyncio.run(reads(endpoint, data, source=source))
    assert len(sent) <= 1
    for answer in sent:
        kind = " unreadable" if endpoint.stats.parse_errors else ""
        assert len(answer) <= allowed(f"{answer[8:11].decode()}{kind}", data)


@settings(max_examples=300)
@given(requests())
def test_the_capabilities_of_serve_too(data):
    endpoint = Endpoint()
    for method in ("OPTIONS", "INVITE", "INFO", "X"):
        endpoint.register_handler(method, options_handler)
    assert sum(map(len, asyncio.run(reads(endpoint, data)))) <= 2 * len(data) + SERVE_ROOM


KAMAILIO = (
    b"OPTIONS sip:192.0.2.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK7b6d.a5a1b1c6000000000000000000000000.0\r\n"
    b"To: <sip:192.0.2.1:5060>\r\nFrom: <sip:dispatcher@localhost>;tag=8b3f1ee0a1d1c46f9c5a3a2f6c1e1f0e-9b2d\r\n"
    b"CSeq: 10 OPTIONS\r\nCall-ID: 4c5b1f0c3a1e2d34-1234@192.0.2.9\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n"
    b"User-Agent: kamailio (5.6.3 (x86_64/linux))\r\n\r\n"
)
SIPSAK = (
    b"OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:40000;branch=z9hG4bK.0a1b2c3d;rport;alias\r\n"
    b"From: sip:sipsak@192.0.2.9:40000;tag=1a2b3c4d\r\nTo: sip:192.0.2.1\r\nCall-ID: 439041101@192.0.2.9\r\n"
    b"CSeq: 1 OPTIONS\r\nContact: sip:sipsak@192.0.2.9:40000\r\nContent-Length: 0\r\nMax-Forwards: 70\r\n"
    b"User-Agent: sipsak 0.9.8.1\r\nAccept: text/plain\r\n\r\n"
)


@pytest.mark.parametrize("ping", [KAMAILIO, SIPSAK])
def test_pings_get_the_whole_answer(ping):
    endpoint = Endpoint()
    endpoint.register_handler("OPTIONS", options_handler)
    [(response, _)] = answers(endpoint, ping, LONGEST)
    assert response.status_code == 200
    assert {"Allow", "Accept", "Supported"} <= set(response.headers)
    full = Endpoint()
    for method in METHODS:
        if method not in ("OPTIONS", "ACK", "CANCEL"):
            full.register_handler(method, fails)
    [(response, _)] = answers(full, ping, LONGEST)
    assert response.status_code == 405
    assert len(re.findall("[A-Z]+", response.get_header("Allow"))) == len(METHODS) - 1
