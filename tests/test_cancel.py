"""CANCEL without a handler: what the endpoint knows of its INVITE (RFC 3261 9.2, 17.2.3), with each dispatcher."""

import asyncio
import contextlib
from functools import partial

import pytest
from growth import assert_constant
from test_endpoint import Memory, request_bytes

from sipstack import Endpoint, EndpointConfig, _dispatch_py, endpoint, parse
from sipstack._invites import Invites

SOURCE = ("192.0.2.7", 5062)
INVITE = request_bytes("INVITE", via="192.0.2.7:5062;rport")
CANCEL = request_bytes("CANCEL", via="192.0.2.7:5062;rport")


@pytest.fixture(params=["as it is", "plain"], autouse=True)
def _dispatcher(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(endpoint, "Dispatcher", _dispatch_py.Dispatcher)


def invite(number, call):
    """One of many INVITEs, with a branch of its own; the Call-ID may have the number in it."""
    data = request_bytes("INVITE", via="192.0.2.7:5062;rport", Call_ID=call.replace("%d", str(number)))
    return data.replace(b"z9hG4bK-1", b"z9hG4bK-1%d" % number)


class Caller:
    """An endpoint over memory, and what it has sent as `status method`, in this order."""

    def __init__(self, endpoint, memory):
        self.endpoint, self.memory = endpoint, memory

    async def send(self, *datagrams, source=SOURCE):
        self.memory.receiver.deliver([(data, source) for data in datagrams])
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def heard(self):
        return [f"{response.status_code} {response.cseq.method}" for response in self.responses]

    @property
    def responses(self):
        return [parse(data) for data, _ in self.memory.sent]


@contextlib.asynccontextmanager
async def calling(handler, **options):
    memory = Memory()
    endpoint = Endpoint(EndpointConfig(**options), transport=memory)
    if handler is not None:
        endpoint.register_handler("INVITE", handler)
    async with endpoint:
        serving = asyncio.ensure_future(endpoint.serve())
        await asyncio.sleep(0)
        yield Caller(endpoint, memory)
        endpoint.close()
        await serving


def played(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def waits(request, addr):
    await asyncio.Event().wait()


def test_the_invite_is_ended_with_487():
    async def main():
        async with calling(waits) as it:
            await it.send(INVITE)
            assert it.endpoint.stats.pending == 1
            await it.send(CANCEL)
            assert it.heard == ["200 CANCEL", "487 INVITE"]
            ok, terminated = it.responses
            assert ok.to_tag == terminated.to_tag is not None  # 9.2
            assert ok.call_id == terminated.call_id == "call-1"
            assert (it.endpoint.stats.pending, it.endpoint.stats.handler_errors) == (0, 0)
            await it.send(CANCEL)  # nothing is left that it could be for
            assert it.heard[2:] == ["481 CANCEL"]

    played(main())


def test_both_in_one_batch_and_the_handler_never_begins():
    begun = []

    async def handler(request, addr):
        begun.append(request)
        await asyncio.Event().wait()

    async def main():
        async with calling(handler) as it:
            await it.send(INVITE, CANCEL)
            assert it.heard == ["200 CANCEL", "487 INVITE"]
            assert it.endpoint.stats.pending == 0

    played(main())
    assert len(begun) <= 1  # a task of Python 3.12 begins at once


@pytest.mark.parametrize("how", ["returned", "sent and raised", "sent and swallowed", "nothing", "another", "an error"])
def test_a_handler_that_is_told_and_answers_itself(how):
    async def handler(request, addr):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it may do something first
            if how == "returned":
                return request.reply(487, "Gone")
            if how == "another":
                return request.reply(200)
            if how == "an error":
                raise LookupError from None
            if how.startswith("sent"):
                it.endpoint.respond(request, request.reply(487, "Gone"), addr)
            if how == "sent and raised":
                raise
        return None

    async def main():
        nonlocal it
        async with calling(handler) as it:
            await it.send(INVITE)
            await it.send(CANCEL)
            wanted = {"nothing": [], "another": ["200 INVITE"], "an error": ["500 INVITE"]}.get(how, ["487 INVITE"])
            assert it.heard == ["200 CANCEL", *wanted]
            assert len(it.endpoint._dispatcher.tasks) == 0

    it = None
    played(main())


@pytest.mark.parametrize("deep", [False, True])
def test_the_handler_gets_the_cancel(deep):
    """For its Reason (RFC 3326): whether somebody else took the call, for instance."""
    told = []

    async def handler(request, addr):
        try:
            if deep:
                async with asyncio.timeout(60):
                    await asyncio.gather(asyncio.Event().wait(), asyncio.Event().wait())
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            told.extend(error.args)
            raise

    async def main():
        async with calling(handler) as it:
            await it.send(INVITE)
            await it.send(changed(Reason='SIP;cause=200;text="Call completed elsewhere"'))
            await it.send(INVITE)
            it.endpoint.close()
            await it.send()
            assert it.heard == ["200 CANCEL", "487 INVITE"]

    played(main())
    [cancel] = told  # nothing from close
    assert (cancel.method, cancel.get_header("Reason")) == ("CANCEL", 'SIP;cause=200;text="Call completed elsewhere"')


def test_a_retransmitted_cancel_does_not_disturb_what_the_handler_does_then():
    async def handler(request, addr):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await done.wait()
            return request.reply(487, "Tidied up")

    async def main():
        nonlocal done
        done = asyncio.Event()
        async with calling(handler) as it:
            await it.send(INVITE)
            for _ in range(3):
                await it.send(CANCEL)
            assert it.heard == ["200 CANCEL"] * 3
            done.set()
            await it.send()
            assert it.heard[3:] == ["487 INVITE"]
            assert it.responses[3].status_text == "Tidied up"

    done = None
    played(main())


def test_after_the_final_response_a_cancel_changes_nothing():
    """RFC 3261 9.2. The handler has more to do, or is over."""

    async def handler(request, addr):
        it.endpoint.respond(request, request.reply(180), addr)
        it.endpoint.respond(request, request.reply(486), addr)
        await more.wait()
        went_on.append(True)

    async def main():
        nonlocal it, more
        more = asyncio.Event()
        async with calling(handler) as it:
            await it.send(INVITE)
            await it.send(CANCEL)
            assert it.heard == ["180 INVITE", "486 INVITE", "200 CANCEL"]
            more.set()
            await it.send(CANCEL)
            await it.send(CANCEL)
            assert it.heard[3:] == ["200 CANCEL", "481 CANCEL"]

    it = more = None
    went_on = []
    played(main())
    assert went_on == [True]


def test_a_provisional_response_is_not_final():
    async def handler(request, addr):
        it.endpoint.respond(request, request.reply(180), addr)
        await asyncio.Event().wait()

    async def main():
        nonlocal it
        async with calling(handler) as it:
            await it.send(INVITE)
            await it.send(CANCEL)
            assert it.heard == ["180 INVITE", "200 CANCEL", "487 INVITE"]

    it = None
    played(main())


def test_a_retransmitted_invite_is_ended_too():
    async def main():
        async with calling(waits) as it:
            await it.send(INVITE, INVITE)
            await it.send(INVITE)
            assert it.endpoint.stats.pending == 3
            await it.send(CANCEL)
            assert it.heard == ["200 CANCEL"] + ["487 INVITE"] * 3
            assert it.endpoint.stats.pending == 0

    played(main())


def changed(**changes):
    via = changes.pop("via", "192.0.2.7:5062;rport")
    return request_bytes("CANCEL", via=via, **changes)


OLD = "192.0.2.7:5062"


@pytest.mark.parametrize(
    ("invite", "cancel", "source", "status"),
    [
        (INVITE, changed(via="192.0.2.7:5062;rport=1;received=9.9.9.9"), SOURCE, 200),
        (INVITE, changed(From="<sip:x@y>;tag=1"), SOURCE, 200),  # the branch says it (17.2.3)
        (INVITE, changed(Call_ID="another"), SOURCE, 481),  # which is copied (9.1)
        (INVITE, changed(), ("192.0.2.7", 40_000), 200),  # a NAT may have changed the port
        (INVITE, changed(), ("192.0.2.8", 5062), 481),  # 22.1: from the hop that sent the INVITE
        (INVITE, changed(via="192.0.2.7;rport"), SOURCE, 481),
        (INVITE, changed(via="192.0.2.8:5062;rport"), SOURCE, 481),
        (INVITE, CANCEL.replace(b"z9hG4bK-1", b"z9hG4bK-2"), SOURCE, 481),
        (INVITE, CANCEL.replace(b"z9hG4bK-1", b"Z9HG4BK-1"), SOURCE, 200),  # parameters have no case (7.3.1)
        (INVITE, CANCEL.replace(b";branch=z9hG4bK-1", b""), SOURCE, 481),
        # RFC 2543: what Message.transaction_key has
        *((INVITE.replace(b"branch=z9hG4bK-1", old), CANCEL.replace(b"branch=z9hG4bK-1", old), SOURCE, 200)
          for old in (b"branch=1", b"x", b"branch=z9hG4bK")),
        *((INVITE.replace(b"branch=z9hG4bK-1", b"x"), changed(**change).replace(b"branch=z9hG4bK-1", b"x"), SOURCE, 481)
          for change in ({"Call_ID": "other"}, {"From": "<sip:a@127.0.0.1>;tag=2"}, {"CSeq": "8 CANCEL"})),
    ],
)  # fmt: skip
def test_which_invite_it_is_for(invite, cancel, source, status):
    async def main():
        async with calling(waits) as it:
            await it.send(invite)
            assert it.endpoint.stats.pending == 1
            await it.send(cancel, source=source)
            assert it.heard == [f"{status} CANCEL", *(["487 INVITE"] if status == 200 else [])]

    played(main())


@pytest.mark.parametrize(
    ("to", "same"),
    [("<sip:b@h>", True), ("<sip:b@h>;tag", True), ('<sip:b@h>;tag="a b"', False), ('"b <sip:b@h>', False)],
)
def test_the_to_tag_is_the_invites_behind_a_nat_that_changes_the_port(to, same):
    """RFC 3261 9.2. A To that cannot be told keeps no CANCEL from its answer."""

    async def main():
        async with calling(waits) as it:
            await it.send(request_bytes("INVITE", via="192.0.2.7:5062;rport", To=to))
            await it.send(changed(To="<sip:b@h>"), source=("192.0.2.7", 40_000))
            assert it.heard == ["200 CANCEL", "487 INVITE"]
            ok, terminated = (response.get_header("To").partition(";tag=")[2] for response in it.responses)
            assert (ok == terminated) is same
            assert ok
            assert it.endpoint.stats.handler_errors == 0

    played(main())


def test_only_the_invite_it_is_for():
    async def main():
        async with calling(waits) as it:
            for number in range(5):
                await it.send(INVITE.replace(b"z9hG4bK-1", b"z9hG4bK-1%d" % number))
            await it.send(CANCEL.replace(b"z9hG4bK-1", b"z9hG4bK-13"))
            assert it.heard == ["200 CANCEL", "487 INVITE"]
            assert it.responses[1].via.branch == "z9hG4bK-13"
            assert it.endpoint.stats.pending == 4

    played(main())


def test_other_requests_are_not_cancelled():
    async def main():
        async with calling(waits) as it:
            it.endpoint.register_handler("INFO", waits)
            await it.send(request_bytes("INFO", via="192.0.2.7:5062;rport"))
            await it.send(CANCEL)
            assert it.heard == ["481 CANCEL"]
            assert it.endpoint.stats.pending == 1

    played(main())


@pytest.mark.parametrize("who", ["handler", "no_route_handler"])
def test_a_handler_of_ones_own_wins(who):
    async def main():
        options = {"no_route_handler": lambda request, addr: request.reply(202)} if who == "no_route_handler" else {}
        async with calling(waits, **options) as it:
            if who == "handler":
                it.endpoint.register_handler("cancel", lambda request, addr: request.reply(202))
            await it.send(INVITE)
            await it.send(CANCEL)
            assert it.heard == ["202 CANCEL"]
            assert it.endpoint.stats.pending == 1

    played(main())


def test_a_stateless_server_ignores_it():
    """RFC 3261 8.2.7."""

    async def main():
        async with calling(waits, answer_cancel=False) as it:
            await it.send(INVITE)
            await it.send(CANCEL)
            assert it.heard == []
            assert it.endpoint.stats.pending == 1

    played(main())


def test_without_any_invite():
    async def main():
        async with calling(None) as it:
            await it.send(CANCEL)
            assert it.heard == ["481 CANCEL"]
            assert it.endpoint.dispatch_request(parse(CANCEL), SOURCE).status_code == 481

    played(main())


def test_close_is_no_cancel():
    """Handlers that the end of the endpoint cancels are not answered for."""
    ends = []

    async def handler(request, addr):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append(True)
            raise

    async def main():
        async with calling(handler) as it:
            await it.send(INVITE)
            it.endpoint.close()
            await asyncio.sleep(0.01)
            assert it.heard == []

    played(main())
    assert ends == [True]


def test_nothing_is_left_behind():
    async def brief(request, addr):
        await asyncio.sleep(0)
        return request.reply(486)

    async def main():
        async with calling(brief, max_pending=3) as it:
            for number in range(20):
                await it.send(INVITE.replace(b"z9hG4bK-1", b"z9hG4bK-1%d" % number))
            invites = it.endpoint._dispatcher.tasks.invites
            assert invites.__dict__ == Invites().__dict__
            # What somebody else cancels before it begins is forgotten when there is need of its place.
            it.memory.receiver.deliver([(INVITE, SOURCE)] * 3)
            for task in asyncio.all_tasks():
                if task.get_name() == "sipstack handler":
                    task.cancel()
            await it.send()
            await it.send(INVITE)
            assert it.heard[-1] == "486 INVITE"
            assert invites.__dict__ == Invites().__dict__

    played(main())


def test_require_is_ignored_in_a_cancel_and_in_an_ack():
    """RFC 3261 8.2.2.3."""
    acks = []

    async def main():
        async with calling(waits) as it:
            it.endpoint.register_handler("ACK", lambda request, addr: acks.append(request))
            await it.send(INVITE)
            await it.send(request_bytes("ACK", Require="100rel"), changed(Require="100rel"))
            assert it.heard == ["200 CANCEL", "487 INVITE"]

    played(main())
    assert len(acks) == 1


@pytest.mark.parametrize("call", ["c%d", "the same"])
def test_a_flood_of_cancels_is_cheap(call):
    """However many INVITEs are in flight, of whatever Call-IDs."""

    async def main():
        async with calling(waits) as few, calling(waits, max_pending=8000) as many:
            for it, in_flight in ((few, 8), (many, 8000)):
                it.memory.receiver.deliver([(invite(number, call), SOURCE) for number in range(in_flight)])
                assert it.endpoint.stats.pending == in_flight
            cancel = parse(changed(Call_ID=call.replace("%d", "5")).replace(b"z9hG4bK-1", b"z9hG4bK-x"))
            tasks = {8: few.endpoint._dispatcher.tasks, 8000: many.endpoint._dispatcher.tasks}
            assert not any(some.end_invite(cancel, SOURCE[0]) for some in tasks.values())
            assert_constant(lambda size: partial(tasks[size].end_invite, cancel, SOURCE[0]), 8, 8000)

    played(main())


def test_what_the_handler_does_to_the_invite_does_not_matter():
    """A proxy puts a Via of its own on top, and passes it on."""

    async def handler(request, addr):
        request.push_via("SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK-mine")
        request.set_header("Call-ID", "another")
        try:
            await asyncio.Event().wait()
        finally:
            request.pop_via()
            request.set_header("Call-ID", "call-1")

    async def main():
        async with calling(handler) as it:
            await it.send(INVITE)
            await it.send(CANCEL)
            assert it.heard == ["200 CANCEL", "487 INVITE"]
            assert it.endpoint._dispatcher.tasks.invites.__dict__ == Invites().__dict__

    played(main())


def test_the_487_is_that_of_the_invite_as_it_came():
    """What a handler that passes it on has done to it, and did not take back, would send the 487 to ourselves."""

    async def handler(request, addr):
        request.push_via("SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK-mine")
        request.set_header("To", "<sip:other@h>;tag=1")
        await asyncio.Event().wait()

    async def main():
        async with calling(handler) as it:
            await it.send(INVITE.replace(b";rport", b""))
            await it.send(CANCEL.replace(b";rport", b""))
            ok, terminated = it.responses
            assert (ok.status_code, terminated.status_code) == (200, 487)
            assert terminated.get_headers("Via")[0].startswith("SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK-1")
            assert (len(terminated.vias), terminated.to_tag) == (1, ok.to_tag)
            assert [addr for _, addr in it.memory.sent] == [SOURCE, SOURCE]

    played(main())


@pytest.mark.parametrize("call", ["c%d", "the same"])
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_invite_costs_the_same_however_many_are_in_flight(call, cancelled):
    """To come, to be answered, and to end in another order than they began."""
    requests = [parse(invite(number, call)) for number in range(8100)]
    cancel = parse(changed(Call_ID=call.replace("%d", "5")).replace(b"z9hG4bK-1", b"z9hG4bK-x"))

    def prepare(in_flight):
        invites = Invites()
        there = [invites.add(request, "h", None) for request in requests[:in_flight]]
        if cancelled:  # one is for none of them, and all of the call have a key from now on
            assert invites.of_cancel(cancel, "h") == []

        def work():
            come = [invites.add(request, "h", None) for request in requests[-16:]]
            for one in there[:8] + there[-8:] + come:
                invites.note_final(one.request)
                invites.remove(one)

        return work

    assert_constant(prepare, 16, 8000)


def test_a_flood_beyond_max_pending_is_cheap():
    """What is refused does not cost a look at all that is in flight."""
    flood = [(INVITE, SOURCE)] * 2000

    async def main():
        async with calling(waits, max_pending=16) as few, calling(waits, max_pending=16_000) as many:
            deliver = {}
            for it, in_flight in ((few, 16), (many, 16_000)):
                deliver[in_flight] = it.memory.receiver.deliver
                deliver[in_flight]([(INVITE, SOURCE)] * in_flight)
            assert_constant(lambda size: partial(deliver[size], flood), 16, 16_000)
            for it in (few, many):
                overloaded = it.endpoint.stats.overloaded
                assert overloaded
                assert overloaded % len(flood) == 0

    played(main())
