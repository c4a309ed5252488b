"""Requests that cannot be read, and are answered all the same (RFC 3261 18.3), with each dispatcher."""

import socket
import sys
import time
from functools import partial

import pytest
from growth import assert_linear, fill
from hypothesis import given
from hypothesis import strategies as st
from test_endpoint import Memory, answers
from test_endpoint import request_bytes as brief

from sipstack import Endpoint, EndpointConfig, Event, EventType, ParseError, _dispatch_py, _unreadable, endpoint, parse
from sipstack._unreadable import Allowance, answer_unreadable

SOURCE = ("192.0.2.7", 5062)
ERROR = ParseError("not so", 0)


def request_bytes(method="OPTIONS", **changes):
    """A request as long as they are: the answer is no longer."""
    agent, contact = "A phone with a name of the usual length 1.2.3.4", "<sip:a@192.0.2.7:5062;transport=udp>"
    return brief(method, **{"User_Agent": agent, "Contact": contact, **changes})


BAD = {
    "Content-Length over the end": request_bytes().replace(b"Length: 0", b"Length: 9"),
    "negative Content-Length": request_bytes(Content_Length="-999"),
    "two Content-Lengths": request_bytes(Content_Length="0\r\nl: 5"),
    "blank in the Request-URI": request_bytes(uri="sip:user@example.com; lr"),
    "two blanks": request_bytes().replace(b" sip:", b"  sip:"),
    "a line without a colon": request_bytes(X="1\r\nnonsense"),
    "control byte": request_bytes(X="\0"),
    "a blank in a name": request_bytes(X="1\r\nX Y: 2"),
    "no empty line": request_bytes(Zz="y")[:-2],
    "in the middle of a line": request_bytes(Zz="y" * 100)[:-20],
    "no Request-URI": request_bytes(X="y" * 20).replace(b"sip:probe@127.0.0.1 ", b" "),
    "bare CR": request_bytes(X="\r y"),
    "empty lines before it": b"\r\n\r\n" + request_bytes(Content_Length="x"),
    "bare LF": request_bytes(Content_Length="x").replace(b"\r\n", b"\n"),
    "a fold in a header that is copied": request_bytes(From="<sip:a@b>\r\n ;tag=1", Content_Length="x"),
    "compact names": request_bytes(Content_Length="x").replace(b"Call-ID", b"i ").replace(b"From", b"F"),
    "a broken body": request_bytes(Content_Length="x") + b"\0\r\n\r\nVia: nonsense\r\n",
}


@pytest.fixture(params=["as it is", "plain"], autouse=True)
def _dispatcher(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(endpoint, "Dispatcher", _dispatch_py.Dispatcher)


@pytest.mark.parametrize("name", BAD)
def test_what_is_answered(name):
    data = BAD[name]
    with pytest.raises(ParseError) as caught:
        parse(data)
    endpoint = Endpoint()
    [(response, to)] = answers(endpoint, data, SOURCE)
    assert (response.status_code, response.status_text, to) == (400, caught.value.reason, SOURCE)
    assert (response.via.received, response.via.rport, response.via.branch) == (*SOURCE, "z9hG4bK-1")
    assert response.from_tag == "1"
    assert response.to_tag
    assert (response.call_id, response.cseq.num, response.cseq.method) == ("call-1", 7, "OPTIONS")
    assert len(response.to_bytes()) <= len(data)
    assert response.validate() == []
    stats = endpoint.stats
    assert (stats.parse_errors, stats.parse_errors_answered, stats.requests) == (1, 1, 0)
    assert stats.responses_by_class == {"4xx": 1}
    assert stats.sent == 1


@pytest.mark.parametrize("name", ["clerr", "ncl", "lwsruri", "mcl01"])
def test_rfc_4475_wants_400(corpus, name):
    data = (corpus / "rfc4475" / f"{name}.dat").read_bytes()
    [(response, to)] = answers(Endpoint(), data, SOURCE)
    assert (response.status_code, to) == (400, SOURCE)
    assert response.call_id.startswith(name)


def test_the_answer_is_stamped_and_goes_to_the_source_whatever_the_via_says():
    data = request_bytes(via="10.0.0.1:5070;received=203.0.113.1;maddr=203.0.113.2", Content_Length="x")
    [(response, to)] = answers(Endpoint(EndpointConfig(use_maddr=True)), data, SOURCE)
    assert to == SOURCE
    assert response.via.received == SOURCE[0]


def test_all_vias_are_copied_in_order():
    data = request_bytes(Content_Length="x", Via="SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b\r\nv: SIP/2.0/UDP c")
    [(response, _)] = answers(Endpoint(), data, SOURCE)
    assert [via.host for via in response.vias] == ["a", "b", "c"]


def test_the_status_is_that_of_the_error():
    data = request_bytes(X="x" * 300)
    [(response, _)] = answers(Endpoint(EndpointConfig(max_size=300)), data, SOURCE)
    assert (response.status_code, response.status_text) == (513, "Message Too Large")
    data = request_bytes(**{f"X{number}": "y" for number in range(300)})
    [(response, _)] = answers(Endpoint(), data, SOURCE)
    assert response.status_code == 513


def bad(method="OPTIONS", **changes):
    return request_bytes(method, **{"Content_Length": "x", **changes})


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense", b"nonsense\r\n\r\n", b"\xff" * 500, b"OPTIONS sip:a@b SIP/2.0", b"x" * 65_535, b"\n" * 500 + b"x",
        b"SIP/2.0 200 OK\r\n" + bad().partition(b"\r\n")[2],
        b"SIP/2.0 999 \r\n" + bad().partition(b"\r\n")[2],
        b"sip/2.0 sip:a SIP/2.0\r\n" + bad().partition(b"\r\n")[2],
        b" " + bad(),
        bad().replace(b" SIP/2.0", b" HTTP/1.1", 1), bad().replace(b" SIP/2.0", b"", 1),
        bad().replace(b" SIP/2.0\r\n", b" SIP/2.0\r\n folded: x\r\n", 1),
        bad("ACK"),
        bad(CSeq="7 ACK"), bad(CSeq="7 INVITE"), bad(CSeq="OPTIONS"), bad(CSeq=f"{1 << 40} OPTIONS"), bad(CSeq=None),
        *(bad(**{name: None}) for name in ("Via", "From", "To", "Call_ID")),
        *(bad(Zz=f"1\r\n{line}") for line in ("From: <sip:x@y>", "t: <sip:x@y>", "i: 2", "CSeq: 7 OPTIONS")),
        *(bad(Via=via) for via in ("SIP/2.0/UDP", "nonsense", "SIP/3.0/UDP a", "HTTP/2.0/UDP a", "", "a\0b")),
        bad(Call_ID="\0"), bad(From="\x01"), bad(Call_ID="\rX: y"),
    ],
)  # fmt: skip
def test_what_is_not_answered(data):
    endpoint = Endpoint()
    assert answers(endpoint, data, SOURCE) == []
    assert (endpoint.stats.parse_errors, endpoint.stats.parse_errors_answered) == (1, 0)
    assert endpoint.stats.responses == 0


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0", b"jaK", b"\0\1\0\0\x21\x12\xa4\x42" + b"x" * 12])
def test_noise_is_not_answered(data):
    endpoint = Endpoint()
    assert answers(endpoint, data, SOURCE) == []
    assert endpoint.stats.noise == 1


@pytest.mark.parametrize("source", [("192.0.2.7", 0), ("192.0.2.7", 65_536), ("", 5060)])
def test_a_source_that_is_none(source):
    assert answers(Endpoint(), bad(), source) == []


def test_never_larger_than_what_came_in():
    """Who forges a source gains nothing by us: the shortest requests that could be answered."""
    lines = ["a b c SIP/2.0", "v:SIP/2.0/UDP a", "f:a:b", "t:a:b", "i:1", "CSeq:1 a", "x", "", ""]
    short = "\r\n".join(lines).encode()
    assert answers(Endpoint(), short, SOURCE) == []
    sizes = []
    for more in range(200):
        data = short.replace(b"\r\nx\r\n", b"\r\nx" + b"y" * more + b"\r\n")
        sizes += [(len(response.to_bytes()), len(data)) for response, _ in answers(Endpoint(), data, SOURCE)]
    assert sizes
    assert all(out <= came for out, came in sizes)
    assert sizes[0][0] == sizes[0][1]


def test_two_such_servers_do_not_talk_to_each_other():
    [(response, _)] = answers(Endpoint(), bad(), SOURCE)
    assert answers(Endpoint(), response.to_bytes(), SOURCE) == []
    assert answers(Endpoint(), response.to_bytes().replace(b"Length: 0", b"Length: 9"), SOURCE) == []


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize("rate", [0, 1, 7])
def test_so_many_a_second(rate, monkeypatch):
    now = 100.0
    monkeypatch.setattr(_unreadable.time, "monotonic", lambda: now)
    endpoint, memory = Endpoint(EndpointConfig(answer_parse_errors=rate)), Memory()
    for seconds in (0.0, 0.5, 0.4, 0.2, 7.0):
        now += seconds
        for _ in range(10):
            answers(endpoint, bad(), SOURCE, memory)
    assert len(memory.sent) == 3 * rate
    assert endpoint.stats.parse_errors == 50
    assert endpoint.stats.parse_errors_answered == 3 * rate


def test_garbage_counts_too():
    """The reading is what is bounded, not the answers alone."""
    endpoint = Endpoint(EndpointConfig(answer_parse_errors=3))
    for _ in range(3):
        assert answers(endpoint, b"x" * 1000, SOURCE) == []
    assert answers(endpoint, bad(), SOURCE) == []


def test_a_flood_of_garbage_costs_what_parsing_costs(monkeypatch):
    """What is beyond the allowance is not read a second time."""
    read = []
    monkeypatch.setattr(_unreadable.time, "monotonic", lambda: 100.0)
    dispatch = sys.modules[endpoint.Dispatcher.__module__]
    monkeypatch.setattr(dispatch, "answer_unreadable", lambda *arguments: read.append(arguments))
    one = Endpoint(EndpointConfig(answer_parse_errors=10))
    for _ in range(200):
        assert answers(one, bad(), SOURCE) == []
    assert len(read) == 10


@pytest.mark.parametrize(
    "piece",
    [b"\n", b"\r\n ", b"Via: a\r\n", b" SIP/2.0", b" SIP/2.0 ", b"SIP/1.1", b" ", b":", b"\r", b"v:a,", b"A: b\n"],
)
@pytest.mark.parametrize("start", [b"", b"OPTIONS sip:a@b SIP/2.0\r\n", bad()[:-2]])
def test_the_cost_is_linear(piece, start):
    assert_linear(lambda size: partial(answer_unreadable, start + fill(piece, size) + b"x", SOURCE, ERROR))


@given(data=st.data(), start=st.sampled_from(list(BAD.values())))
def test_whatever_comes_the_answer_is_a_message_and_no_longer(data, start):
    """Bytes put in, taken out and changed anywhere in what is answered."""
    pieces = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b";",
        b",",
        b" ",
        b"\t",
        b"Via: ",
        b"\xff",
        b'"',
        b"<",
        b"SIP/2.0 200 OK\r\n",
    ]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(start)))
        start = start[:at] + data.draw(st.sampled_from(pieces)) + start[at + data.draw(st.integers(0, 3)) :]
    response = answer_unreadable(start, SOURCE, ERROR)
    if response is not None:
        written = parse(response.to_bytes())
        assert len(written.to_bytes()) <= len(start)
        assert (written.status_code, written.via.received) == (400, SOURCE[0])
        names = [name for name in written.headers if name != "Via"]
        assert sorted(names) == ["CSeq", "Call-ID", "Content-Length", "From", "To"]
        assert written.cseq.method != "ACK"


def test_allowance_of_none():
    assert not Allowance(0).take()


# ---------------------------------------------------------------- who is told


def test_the_reason_is_left_out_where_there_is_no_room_for_it():
    texts = []
    for more in range(200):
        texts += [it.status_text for it, _ in answers(Endpoint(), brief(Content_Length="x", Zz="y" * more), SOURCE)]
    first, *_, last = texts
    assert first == "Bad Request"
    assert last.startswith("Content-Length")


def test_what_the_hooks_see():
    seen = []
    config = EndpointConfig(
        on_parse_err=lambda raw, addr, error: seen.append(("on_parse_err", error.reason)),
        on_message_sent=lambda message, addr: seen.append(("on_message_sent", message.status_code, addr)),
        on_response=lambda *args: seen.append("on_response"),
        on_response_sent=lambda *args: seen.append("on_response_sent"),
        on_event=lambda event: seen.append(event.type),
    )
    answers(Endpoint(config), bad(), SOURCE)
    assert seen == [
        EventType.DATAGRAM_RECEIVED, ("on_parse_err", "Content-Length is not a number"), EventType.PARSE_ERROR,
        ("on_message_sent", 400, SOURCE), EventType.MESSAGE_SENT,
    ]  # fmt: skip


def test_over_a_socket_and_with_other_messages_in_between():
    events: list[Event] = []
    endpoint = Endpoint(EndpointConfig(port=0, on_event=events.append))
    endpoint.register_handler("OPTIONS", lambda request, addr: request.reply(200))
    endpoint.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(3)
        for data in (request_bytes(), bad(), request_bytes()):
            sock.sendto(data, endpoint.listen_addr)
        time.sleep(0.02)
        endpoint.transport._take(endpoint._serving)
        assert [parse(sock.recv(9000)).status_code for _ in range(3)] == [200, 400, 200]
    endpoint.close()
