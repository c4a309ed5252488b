"""What an endpoint says: events with their fields, log records that are short and few."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from test_endpoint import SOURCE, Memory, answers, ok, request_bytes

from sipstack import Endpoint, EndpointConfig, EventType, HeaderError, Message, TransportError, parse
from sipstack._limited_log import LimitedLog
from sipstack._printable import cut

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/endpoint.md"
TABLE = {
    EventType[row[1]]: row[2]
    for row in re.finditer(r"^\| `([A-Z_]+)` \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
}


def all_events():
    """One endpoint's life with everything that can happen."""
    events = []

    async def later(request, addr):
        return request.reply(200)

    async def main():
        memory = Memory()
        config = EndpointConfig(on_event=events.append, max_pending=0)
        endpoint = Endpoint(config, transport=memory)
        endpoint.register_handler("OPTIONS", ok)
        endpoint.register_handler("BYE", lambda request, addr: 1 / 0)
        endpoint.register_handler("INFO", later)
        endpoint.register_handler("MESSAGE", lambda request, addr: request.decrement_max_forwards())
        with pytest.raises(TransportError):  # noqa: PT012
            async with endpoint:
                for data in (
                    request_bytes(), b"\r\n", b"nonsense", parse(request_bytes()).reply(200).to_bytes(),
                    request_bytes(Call_ID=None), request_bytes(Require="x"), request_bytes(Require=", <"),
                    request_bytes(uri="http://x"), request_bytes(via="a;rport;rport=x"), request_bytes("INFO"),
                    request_bytes("BYE"), request_bytes("MESSAGE", Max_Forwards="0"),
                    request_bytes("ACK", Call_ID=None),
                ):  # fmt: skip
                    memory.receiver.deliver([(data, SOURCE)])
                endpoint.send(Message.request("INFO", "sip:a@b"), SOURCE)
                endpoint.send(Message.response(200), SOURCE)
                memory.refuse = [SOURCE]
                memory.receiver.deliver([(request_bytes(), SOURCE)])
                memory.send = lambda datagrams: [(*one, BlockingIOError(11, "full")) for one in datagrams]
                memory.receiver.deliver([(request_bytes(), SOURCE)])
                memory.receiver.fail(OSError(5, "broken"))
                await asyncio.sleep(1)

    asyncio.run(main())
    return events


def test_the_table_says_what_each_event_has(caplog):
    caplog.set_level(logging.CRITICAL)
    assert set(TABLE) == set(EventType)
    events = all_events()
    assert {event.type for event in events} == set(EventType)
    for event in events:
        always, _, either = TABLE[event.type].partition(" and ")
        filled = {name for name, value in event._asdict().items() if value not in (None, b"", 0)} - {"type"}
        wanted, choice = (set(re.findall(r"`(\w+)`", text)) for text in (always, either))
        assert wanted <= filled <= wanted | choice, event
        assert len(filled & choice) == bool(choice), event


@pytest.mark.parametrize(
    ("changes", "status", "header", "error"),
    [({"Call_ID": None}, 400, "Call-ID", None), ({"uri": "http://x"}, 416, "Request-URI", None),
     ({"Require": "x"}, 420, "Require", None), ({"Require": ", <"}, 400, None, "Require"),
     ({"Max_Forwards": "x"}, 400, "Max-Forwards", None), ({"CSeq": "7 BYE"}, 400, "CSeq", None)],
)  # fmt: skip
def test_a_rejection_says_why(changes, status, header, error):
    events = []
    endpoint = Endpoint(EndpointConfig(on_event=events.append))
    endpoint.register_handler("OPTIONS", ok)
    [(response, _)] = answers(endpoint, request_bytes(**changes))
    [event] = [event for event in events if event.type is EventType.REQUEST_REJECTED]
    assert event.status == response.status_code == status
    assert (event.violation and (event.violation.header, event.violation.status)) == (header and (header, status))
    assert (event.error and event.error.header) == error


def test_a_rejection_for_a_value_that_a_handler_meets():
    events = []
    endpoint = Endpoint(EndpointConfig(on_event=events.append))
    endpoint.register_handler("OPTIONS", lambda request, addr: request.decrement_max_forwards())
    answers(endpoint, request_bytes(Max_Forwards="0"))
    [event] = [event for event in events if event.type is EventType.REQUEST_REJECTED]
    assert event.status == 483
    assert isinstance(event.error, HeaderError)


# ---------------------------------------------------------------- the log

LONG = "x" * 60_000
BYTES = b"\xff" * 60_000


def hostile(method="INFO"):
    return request_bytes(method, Call_ID="LONG").replace(b"LONG", BYTES)


def raises(request, addr):
    raise LookupError(request.call_id + "\n" * 5000)


@pytest.mark.parametrize("name", ["handler", "hook", "unreadable", "unanswerable", "unsent", "uri", "method", "chain"])
def test_no_record_is_long(name, caplog):
    caplog.set_level(logging.DEBUG)

    def hook(*args):
        raise LookupError(LONG)

    def chain(request, addr):
        try:
            raises(request, addr)
        except LookupError as error:
            raise ValueError(BYTES) from error

    endpoint = Endpoint(EndpointConfig(on_request=hook if name == "hook" else None, validate=False))
    endpoint.register_handler("INFO", chain if name == "chain" else ok if name in ("hook", "unsent") else raises)
    endpoint.register_handler("M" + LONG, raises)
    memory = Memory()
    if name == "unsent":

        def refuse(datagrams):
            raise ValueError(LONG)

        memory.send = refuse
    data = {
        "unreadable": b"INFO sip:a@b SIP/2.0\r\nX Y\r\nCall-ID: " + BYTES + b"\r\n\r\n",
        "unanswerable": hostile().replace(b"Via", b"X"),
        "uri": request_bytes("INFO", uri="sip:" + LONG),
        "method": request_bytes("M" + LONG),
    }.get(name, hostile())
    answers(endpoint, data, memory=memory)
    endpoint.close()
    formatter = logging.Formatter("%(levelname)s %(message)s")
    assert caplog.records
    for record in caplog.records:
        assert len(formatter.format(record)) < 25_000
        assert len(record.getMessage()) < 1000
        assert record.getMessage().isprintable()
        assert formatter.format(record).encode("utf-8")  # which a handler does
        assert record.module != "_limited_log"


def test_a_record_has_its_exception_and_a_traceback(caplog):
    endpoint = Endpoint()
    endpoint.register_handler("INFO", lambda request, addr: 1 / 0)
    answers(endpoint, request_bytes("INFO"))
    [record] = caplog.records
    assert record.exc_info[0] is ZeroDivisionError
    assert "in <lambda>" in record.exc_text
    assert record.getMessage() == f"the handler of INFO failed on Call-ID 'call-1' from {SOURCE}"


@pytest.mark.parametrize(
    ("data", "call_id"),
    [(b"INFO sip:a@b SIP/2.0\r\nX Y\r\nCall-ID: some-id\r\n\r\n", " on Call-ID 'some-id'"),
     (b"INFO sip:a@b SIP/2.0\r\nX Y\r\ni :\tsome-id", " on Call-ID 'some-id'"),
     (b"\n call-id: not one", ""), (b"nonsense", ""), (b"Call-ID:" + b" " * 5000, " on Call-ID ''"),
     (b"Call-ID: \xff\x1b[2J\x07", " on Call-ID '\\xff\\x1b[2J\\x07'")],
)  # fmt: skip
def test_what_cannot_be_read_is_logged_with_source_and_call_id(data, call_id, caplog):
    answers(Endpoint(), data)
    assert not caplog.records
    caplog.set_level(logging.DEBUG)
    answers(Endpoint(EndpointConfig(on_event=print)), data)
    [text] = [record.getMessage() for record in caplog.records]
    assert text.startswith(f"{len(data)} bytes from {SOURCE} are no SIP message: ")
    assert text.endswith(f"){call_id}")
    assert text.isprintable()


def test_what_was_held_back_reads_as_text(caplog):
    def hook(*args):
        raise LookupError

    endpoint = Endpoint(EndpointConfig(on_request=hook))
    for _ in range(745):
        answers(endpoint, request_bytes("ACK"))
    endpoint.close()
    assert [record.getMessage() for record in caplog.records][4:] == [
        "the hook hook failed on Call-ID 'call-1'",
        "740 more like this were not logged: the hook hook failed on Call-ID 'call-1'",
    ]


def test_what_is_held_back_has_the_level_of_its_kind(caplog):
    caplog.set_level(logging.DEBUG)
    log = LimitedLog(logging.getLogger("sipstack.endpoint"))
    for _ in range(7):
        log.log(logging.DEBUG, "%d of %s", 5, lambda: "these")
    log.flush(force=True)
    log.flush(force=True)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        *[(logging.DEBUG, "5 of these")] * 5,
        (logging.DEBUG, "2 more like this were not logged: 5 of these"),
    ]


def test_an_error_does_not_make_records(caplog):
    """Where a handler fails when it is cancelled, the CANCEL stands in the traceback, and has a body."""

    async def untidy(request, addr):
        try:
            await asyncio.sleep(1000)
        finally:
            raise LookupError("untidy\nERROR all is lost")

    async def main():
        endpoint = Endpoint()
        endpoint.register_handler("INVITE", untidy)
        invited = endpoint.receive(request_bytes("INVITE"), SOURCE, print)
        await asyncio.sleep(0)
        endpoint.receive(request_bytes("CANCEL", Content_Length="17", extra=b"ERROR all is lost"), SOURCE, print)
        await invited

    asyncio.run(main())
    [record] = caplog.records
    lines = logging.Formatter("%(levelname)s %(message)s").format(record).split("\n")
    assert [line for line in lines if line.startswith("ERROR")] == lines[:1]
    assert lines.count("    ERROR all is lost") == 2
    assert lines.count("Traceback (most recent call last):") == 2
    assert lines[-2] == "LookupError: untidy"


class MuteError(Exception):
    """One that cannot say what it is about."""

    def __str__(self):
        raise LookupError


def test_an_error_without_a_text(caplog):
    def refuse(datagrams):
        raise MuteError

    def hook(event):
        said.append(repr(event))

    said = []
    endpoint = Endpoint(EndpointConfig(on_event=hook))
    endpoint.register_handler("INFO", ok)
    memory = Memory()
    memory.send = refuse
    answers(endpoint, request_bytes("INFO"), memory=memory)
    assert said[-1].endswith(" bytes, MuteError: a MuteError without a text>")
    assert endpoint.stats.hook_errors == 0
    assert caplog.records[-1].getMessage().endswith(" were not sent: a MuteError without a text")


def test_cut():
    assert cut("x" * 200) == "x" * 200
    assert cut("x" * 201) == "x" * 200 + "... (201 characters)"
    assert cut(None) == "None"
    assert cut("a\r\nb\udcff") == "a\\r\\nb\\xff"
    assert cut("\udcff" * 100) == ("\\xff" * 100)[:200] + "... (100 characters)"


def test_the_repr_of_an_event_is_short_and_printable():
    events = []
    endpoint = Endpoint(EndpointConfig(on_event=events.append))
    endpoint.register_handler("INFO", raises)
    answers(endpoint, hostile())
    answers(endpoint, b"\xff" * 60_000)
    answers(endpoint, request_bytes("INFO", uri="sip:\x7f" + LONG))
    answers(endpoint, request_bytes("INFO", Call_ID=None))
    assert len(events) > 8
    for event in events:
        assert len(repr(event)) < 2500
        assert repr(event).isprintable()
    [rejected] = [event for event in events if event.type is EventType.REQUEST_REJECTED]
    assert repr(rejected) == (
        "<Event request rejected, 127.0.0.1:40000, INFO sip:probe@127.0.0.1, answered 400, Call-ID is missing>"
    )
