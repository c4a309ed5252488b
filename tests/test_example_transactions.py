"""`examples/transactions.py`: the tables of RFC 3261 section 17 walked through, on a clock that nobody waits for."""

import asyncio
import contextlib
import gc
import math
import selectors
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from wire import Wire

from sipstack import EndpointConfig, HeaderError, Message, TransportError, parse
from sipstack.methods import METHODS

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import transactions as example
from transactions import Transactions, now

ALICE, STRANGER = ("198.51.100.7", 5062), ("203.0.113.9", 5060)


class Instant(selectors.SelectSelector):
    """Waits for no time: the loop's clock is set to when its next timer is due."""

    loop: "Clock"

    def select(self, timeout=None):
        assert timeout is not None, "nothing is left that could happen"
        if timeout > 0:
            self.loop.now = self.loop._scheduled[0]._when
        return super().select(0)


class Clock(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = Instant()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class Recorder(Wire):
    """Keeps what is sent, with the second it was sent in."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[float, Message, tuple[str, int]]] = []
        self.failure: Exception | None = None

    def send(self, datagrams):
        if self.failure:
            return [(*datagram, self.failure) for datagram in datagrams]
        now = asyncio.get_running_loop().time() - 1000
        self.sent += [(now, parse(data), addr) for data, addr in datagrams]
        return ()


class Bench:
    """Transactions on a wire in memory."""

    def __init__(self, handlers=None, *, limit=1000, memory=1 << 20, **options) -> None:
        self.wire = Recorder()
        config = EndpointConfig(**options)
        self.it = Transactions(config, handlers or {}, limit=limit, memory=memory, transport=self.wire)

    async def arrive(self, *messages: Message, source=ALICE) -> None:
        """These come in; what happens at once has happened."""
        self.wire.receiver.deliver([(bytes(message), source) for message in messages])
        for _ in range(9):
            await asyncio.sleep(0)

    async def at(self, second: float) -> None:
        """A moment after this second: what was due is done."""
        await asyncio.sleep(1000 + second + 0.001 - asyncio.get_running_loop().time())

    @property
    def said(self) -> list[str]:
        """What was sent, in short, with the second: "0.5 INVITE", "1 200 INVITE"."""
        return [f"{when:g} {short(message)}" for when, message, _ in self.wire.sent]

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.it.servers), len(self.it.clients)


def short(message: Message) -> str:
    return message.method if message.is_request else f"{message.status_code} {message.cseq.method}"


def play(scene, handlers=None, *, failures=0, **options) -> Bench:
    """Plays a scene with a bench of its own, to the end of all transactions; handlers fail so many times."""

    async def main() -> Bench:
        bench = Bench(handlers, **options)
        async with bench.it.endpoint as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            await asyncio.sleep(0)
            await scene(bench)
            await asyncio.sleep(400)
            assert bench.sizes == (0, 0)
            assert not bench.it.answered
            assert bench.it.kept == 0
            assert not bench.it.wheel._slots
            endpoint.close()
        await serving
        assert (endpoint.stats.hook_errors, endpoint.stats.handler_errors) == (0, failures)
        return bench

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(main())


def make_request(method="INVITE", *, branch="z9hG4bK1", sent_by="198.51.100.7:5062", to_tag="", **more) -> Message:
    headers = {
        "Via": f"SIP/2.0/UDP {sent_by};branch={branch};rport",
        "Max-Forwards": 70,
        "From": "<sip:alice@example.com>;tag=1",
        "To": "<sip:bob@example.com>" + to_tag,
        "Call-ID": more.pop("call_id", "call-1"),
        "CSeq": f"1 {method}",
    }
    return Message.request(method, "sip:bob@example.com", headers=headers, body=more.pop("body", b""))


class Callee:
    """A handler that counts, and answers what it is told, each after a pause; 0: nothing more."""

    def __init__(self, *statuses: int, after: float = 0.0) -> None:
        self.statuses, self.after, self.asked, self.cancelled = statuses, after, [], []

    async def __call__(self, request, addr):
        self.asked.append(request)
        try:
            for status in self.statuses:
                await asyncio.sleep(self.after)
                if status:
                    self.bench.it.respond(request, request.reply(status), addr)
        except asyncio.CancelledError as error:
            self.cancelled.append(error)
            raise


def served(*statuses, method="INVITE", after=0.0):
    """A bench's handlers, and the one they are."""
    handler = Callee(*statuses, after=after)
    return handler, {method: handler}


def drops(n):
    """The seconds of the retransmissions that double up to T2, from 0 on."""
    times, pause = [0.0], 0.5
    while len(times) < n:
        times.append(times[-1] + pause)
        pause = min(2 * pause, 4)
    return times


class TestServerNonInvite:
    """17.2.2."""

    def test_trying_and_completed_for_timer_j(self):
        handler, handlers = served(200, method="REGISTER", after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request("REGISTER"))
            await bench.at(0.5)
            await bench.arrive(make_request("REGISTER"))  # trying: discarded
            await bench.at(1.5)
            await bench.arrive(make_request("REGISTER"), make_request("REGISTER", body=b"another"))
            await bench.at(32.9)
            await bench.arrive(make_request("REGISTER"))
            assert len(handler.asked) == 1
            await bench.at(33.1)
            assert bench.sizes == (0, 0)

        bench = play(scene, handlers)
        assert bench.said == ["1 200 REGISTER", "1.501 200 REGISTER", "1.501 200 REGISTER", "32.901 200 REGISTER"]
        assert {to for _, _, to in bench.wire.sent} == {ALICE}
        assert len({bytes(message) for _, message, _ in bench.wire.sent}) == 1

    def test_proceeding_repeats_the_provisional_one(self):
        handler, handlers = served(183, 200, method="MESSAGE", after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request("MESSAGE"))
            await bench.at(1.5)
            await bench.arrive(make_request("MESSAGE"))
            await bench.at(2.5)
            await bench.arrive(make_request("MESSAGE"))

        said = ["1 183 MESSAGE", "1.501 183 MESSAGE", "2 200 MESSAGE", "2.501 200 MESSAGE"]
        assert play(scene, handlers).said == said

    def test_the_first_final_response_stands(self):
        handler, handlers = served(200, 404, 180, method="OPTIONS")

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request("OPTIONS"))
            await bench.arrive(make_request("OPTIONS"))

        assert play(scene, handlers).said == ["0 200 OPTIONS"] * 2

    def test_one_that_is_never_answered_is_forgotten_when_nobody_waits_any_more(self):
        handler, handlers = served(0, 0, method="OPTIONS", after=31)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request("OPTIONS"))
            await bench.at(31.9)
            assert bench.sizes == (1, 0)
            await bench.at(32.1)
            assert bench.sizes == (0, 0)
            assert len(handler.cancelled) == 1

        assert play(scene, handlers).said == []

    @pytest.mark.parametrize("wait", [False, True])
    @pytest.mark.parametrize(
        ("error", "status"),
        [(HeaderError("bad", "To"), 400), (HeaderError("x", status=423), 423), (KeyError(), 500),
         (BaseException(), 500), (GeneratorExit(), 500)],
    )  # fmt: skip
    def test_what_a_handler_raises_is_answered_and_answered_again(self, error, status, wait, caplog):
        asked = []

        def fail(request, addr):
            asked.append(request)
            raise error

        async def fail_later(request, addr):
            fail(request, addr)

        async def scene(bench):
            await bench.arrive(make_request("OPTIONS"))
            await bench.arrive(make_request("OPTIONS"))
            assert len(asked) == 1

        failures = int(status == 500)
        bench = play(scene, {"OPTIONS": fail_later if wait else fail}, failures=failures)
        assert bench.said == [f"0 {status} OPTIONS"] * 2
        assert bench.it.endpoint.stats.rejected == 1 - failures
        assert [record.levelname for record in caplog.records] == (["ERROR"] if status == 500 else [])

    def test_methods_without_a_handler(self):
        async def scene(bench):
            await bench.arrive(make_request("BYE"), make_request("NONSENSE"), make_request("ACK"))
            assert bench.sizes == (0, 0)

        bench = play(scene, {"OPTIONS": served()[0]})
        assert bench.said == ["0 405 BYE", "0 501 NONSENSE"]
        assert bench.wire.sent[0][1].get_header("Allow") == "OPTIONS, ACK, CANCEL"

    def test_a_name_in_small_letters(self):
        async def scene(bench):
            await bench.arrive(make_request("OPTIONS"))

        assert play(scene, {"options": lambda request, addr: request.reply(200)}).said == ["0 200 OPTIONS"]

    @pytest.mark.parametrize("result", ["text", 5, make_request("BYE")])
    def test_a_handler_that_answers_nonsense(self, result):
        async def later(request, addr):
            return result

        async def scene(bench):
            await bench.arrive(make_request("OPTIONS"), make_request("MESSAGE"))

        bench = play(scene, {"OPTIONS": lambda request, addr: result, "MESSAGE": later}, failures=2)
        assert bench.said == ["0 500 OPTIONS", "0 500 MESSAGE"]


class TestServerInvite:
    """17.2.1, with RFC 6026's Accepted."""

    def test_a_hundred_where_nothing_comes_soon(self):
        handler, handlers = served(180, 486, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(0.6)
            await bench.arrive(make_request())
            await bench.at(1.5)
            await bench.arrive(make_request())
            await bench.at(2.1)
            await bench.arrive(make_request("ACK"))

        bench = play(scene, handlers)
        said = ["0.21875 100 INVITE", "0.601 100 INVITE", "1 180 INVITE", "1.501 180 INVITE", "2 486 INVITE"]
        assert bench.said == said
        assert len(handler.asked) == 1

    @pytest.mark.parametrize("first", [100, 180])
    def test_a_failure_until_timer_h(self, first):
        handler, handlers = served(first, 486)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(31.9)
            assert bench.sizes == (1, 0)
            await bench.at(32.1)
            assert bench.sizes == (0, 0)

        bench = play(scene, handlers)
        assert bench.said == [f"0 {first} INVITE"] + [f"{second:g} 486 INVITE" for second in drops(11)]

    def test_a_failure_that_is_the_first_response_waits_for_the_invite_to_come_again(self):
        """8.2.7: whose INVITE it was repeats that until something comes, and who forged it does not."""

        async def scene(bench):
            await bench.arrive(make_request())
            await bench.at(0.5)
            await bench.arrive(make_request())
            await bench.at(31.9)
            assert bench.sizes == (1, 0)
            await bench.arrive(make_request(), make_request("ACK"), make_request())
            await bench.at(37.1)
            assert bench.sizes == (0, 0)

        bench = play(scene, {"INVITE": lambda request, addr: request.reply(486), "ACK": pytest.fail})
        assert bench.said == ["0 486 INVITE", "0.501 486 INVITE", "31.901 486 INVITE"]

    def test_a_failure_until_its_ack_which_is_absorbed_for_timer_i(self):
        acks = []
        handler, handlers = served(180, 486)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(0.6)
            await bench.arrive(make_request())  # completed: again
            await bench.arrive(make_request("ACK"))
            await bench.arrive(make_request("ACK"), make_request())  # confirmed: absorbed
            await bench.at(5.5)
            assert bench.sizes == (1, 0)
            await bench.at(5.7)
            assert bench.sizes == (0, 0)
            await bench.arrive(make_request("ACK"))

        handlers["ACK"] = lambda *ack: acks.append(ack)
        assert play(scene, handlers).said[1:] == ["0 486 INVITE", "0.5 486 INVITE", "0.601 486 INVITE"]
        assert len(acks) == 1  # the last, which nobody knows

    def test_a_success_is_left_to_the_handler_for_timer_l(self):
        acks = []

        async def scene(bench):
            await bench.arrive(make_request())
            invite, ok = bench.wire.sent[0][1], bench.wire.sent[0][1]
            await bench.at(1)
            await bench.arrive(make_request())  # accepted: absorbed
            bench.it.respond(make_request(), ok, ALICE)
            bench.it.respond(make_request(), make_request().reply(486), ALICE)
            bench.it.respond(make_request(), make_request().reply(180), ALICE)
            await bench.arrive(make_request("ACK"), make_request("ACK", branch="z9hG4bK2"))
            assert len(acks) == 2
            await bench.at(31.9)
            assert bench.sizes == (1, 0)
            bench.it.respond(make_request(), ok, ALICE)
            await bench.at(32.1)
            assert bench.sizes == (0, 0)
            bench.it.respond(make_request(), ok, ALICE)
            assert invite.status_code == 200

        handlers = {"INVITE": lambda request, addr: request.reply(200), "ACK": lambda *ack: acks.append(ack)}
        assert play(scene, handlers).said == ["0 200 INVITE", "1.001 200 INVITE", "31.901 200 INVITE"]

    def test_an_ack_before_the_answer_is_for_nobody(self):
        handler, handlers = served(486, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request(), make_request("ACK"))
            await bench.at(1.1)
            await bench.arrive(make_request("ACK"))

        assert play(scene, handlers | {"ACK": pytest.fail}).said == ["0.21875 100 INVITE", "1 486 INVITE"]

    def test_one_that_rings_for_ever_gets_408(self):
        handler, handlers = served(180, 0, 0, after=170)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(350.1)
            await bench.arrive(make_request("ACK"))
            assert len(handler.cancelled) == 1

        assert play(scene, handlers).said == ["0.21875 100 INVITE", "170 180 INVITE", "350 408 INVITE"]


class TestCancel:
    """9.2."""

    def test_ends_the_handler(self):
        handler, handlers = served(180, 0, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(1.1)
            await bench.arrive(make_request("CANCEL"))
            await bench.arrive(make_request("CANCEL"), make_request())
            await bench.arrive(make_request("ACK"))

        bench = play(scene, handlers)
        assert len(handler.cancelled) == 1
        assert bench.said[:2] == ["0.21875 100 INVITE", "1 180 INVITE"]
        assert sorted(bench.said[2:]) == ["1.101 200 CANCEL"] * 2 + ["1.101 487 INVITE"] * 2
        tags = {message.to_tag for _, message, _ in bench.wire.sent[1:]}
        assert len(tags) == 1

    def test_in_one_batch_with_its_invite(self):
        handler, handlers = served(180, 0, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request(), make_request("CANCEL"))
            await bench.arrive(make_request("ACK"))
            assert bench.it._working == 0

        assert play(scene, handlers).said == ["0 200 CANCEL", "0 487 INVITE"]

    def test_a_handler_that_answers_itself(self):
        async def invite(request, addr):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return request.reply(487, "Gone")

        async def scene(bench):
            await bench.arrive(make_request())
            await bench.arrive(make_request("CANCEL"))
            await bench.arrive(make_request("ACK"))

        bench = play(scene, {"INVITE": invite})
        assert sorted(bench.said) == ["0 200 CANCEL", "0 487 INVITE"]
        assert {message.status_text for _, message, _ in bench.wire.sent} == {"OK", "Gone"}

    def test_where_the_handler_is_a_function_that_answers_later(self):
        async def scene(bench):
            await bench.arrive(make_request(), make_request("CANCEL"))
            await bench.arrive(make_request("ACK"))
            bench.it.respond(make_request(), make_request().reply(200), ALICE)  # too late

        assert play(scene, {"INVITE": lambda request, addr: None}).said == ["0 487 INVITE", "0 200 CANCEL"]

    @pytest.mark.parametrize("status", [200, 486])
    def test_after_the_final_response_it_does_nothing(self, status):
        handler, handlers = served(status, 0, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(1.1)
            await bench.arrive(make_request("CANCEL"), make_request("ACK"))

        bench = play(scene, handlers | {"ACK": lambda *_: None})
        assert bench.said == ["0.21875 100 INVITE", f"1 {status} INVITE", "1.101 200 CANCEL"]
        assert not handler.cancelled

    def test_without_an_invite(self):
        async def scene(bench):
            await bench.arrive(make_request("CANCEL"))

        assert play(scene, {"INVITE": pytest.fail}).said == ["0 481 CANCEL"]


class TestHandlersThatMisbehave:
    def test_one_that_takes_no_notice_of_its_cancellation(self):
        """The INVITE gets its 487 when the handler has ended at last."""

        async def invite(request, addr):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
            await asyncio.sleep(1)

        async def scene(bench):
            await bench.arrive(make_request())
            await bench.at(0.1)
            await bench.arrive(make_request("CANCEL"))
            await bench.at(1.2)
            await bench.arrive(make_request("ACK"))

        assert play(scene, {"INVITE": invite}).said == ["0.101 200 CANCEL", "1.101 487 INVITE"]

    def test_one_that_rings_for_ever_and_takes_no_notice_either(self):
        async def invite(request, addr):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(300)

        async def scene(bench):
            await bench.arrive(make_request())
            await bench.at(180.3)
            await bench.arrive(make_request("ACK"))

        assert play(scene, {"INVITE": invite}).said == ["0.21875 100 INVITE", "180.219 408 INVITE"]

    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
    def test_one_whose_own_work_was_cancelled(self, method, caplog):
        async def wait_for_nobody(request, addr):
            inner = asyncio.ensure_future(asyncio.sleep(100))
            asyncio.get_running_loop().call_later(0.1, inner.cancel)
            await inner

        async def scene(bench):
            await bench.arrive(make_request(method))
            await bench.at(0.15)
            await bench.arrive(make_request("ACK"))
            assert bench.it._working == 0

        assert play(scene, {method: wait_for_nobody}, failures=1).said == [f"0.1 500 {method}"]

    def test_a_thousand_acks_take_no_room_from_invites_for_good(self):
        """Their coroutine handlers are counted among the others."""

        async def ack(request, addr):
            await asyncio.sleep(1)

        async def invite(request, addr):
            await asyncio.sleep(0.1)
            return request.reply(486)

        async def scene(bench):
            for second in range(3):
                await bench.arrive(*(make_request("ACK", branch=f"z9hG4bK{one}") for one in range(50)))
                await bench.arrive(*(make_request(branch=f"z9hG4bKi{second}{one}") for one in range(5)))
                await bench.at(2 * second + 1.5)
                assert bench.it._working == 0
            await bench.arrive(make_request(branch="z9hG4bKlast"))
            await bench.at(5.7)
            assert short(bench.wire.sent[-1][1]) == "486 INVITE"
            assert bench.it.endpoint.stats.overloaded == 0

        play(scene, {"INVITE": invite, "ACK": ack}, max_pending=5)

    def test_closed_before_a_handler_has_begun(self, recwarn):
        ended = []

        async def invite(request, addr):
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(now())

        async def scene(bench):
            bench.wire.receiver.deliver([(bytes(make_request()), ALICE)])
            bench.it.endpoint.close()
            await asyncio.sleep(0.1)
            assert bench.it._working == 0
            assert bench.sizes == (0, 0)

        assert play(scene, {"INVITE": invite}).said == []
        gc.collect()
        assert not [str(warning.message) for warning in recwarn]
        assert ended == [1000.03125]  # the wheel's next turn

    def test_closed_in_the_middle(self, caplog):
        """Nothing is sent any more, nobody waits for what cannot come, nothing is logged."""

        async def scene(bench):
            await bench.arrive(make_request())
            asking = [asyncio.create_task(bench.it.request(new_request(name), ALICE)) for name in ("INVITE", "OPTIONS")]
            await bench.at(0.1)
            await bench.arrive(bench.wire.sent[1][1].reply(180))
            bench.it.endpoint.close()
            for task in asking:
                with pytest.raises(TimeoutError):
                    await task
            assert asyncio.get_running_loop().time() < 1001
            await bench.at(400)

        play(scene, {"INVITE": lambda request, addr: request.reply(486)})
        assert not caplog.records


class TestStrangers:
    """What somebody sends who sees or guesses a branch, or whose own collides."""

    @pytest.mark.parametrize("other", [{"source": STRANGER}, {"sent_by": "203.0.113.9:5062"}, {"branch": "z9hG4bK2"}])
    def test_have_transactions_of_their_own(self, other):
        source = other.pop("source", ALICE)
        handler, handlers = served(180, 486, after=1)
        acks = []

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request())
            await bench.at(0.1)
            await bench.arrive(make_request("CANCEL", **other), source=source)
            assert bench.said == ["0.001 481 CANCEL"] or bench.said == ["0.101 481 CANCEL"]
            await bench.arrive(make_request(**other), source=source)
            assert len(handler.asked) == 2
            await bench.at(2.2)
            await bench.arrive(make_request("ACK", **other), source=source)
            await bench.at(3)
            assert "2.5 486 INVITE" in bench.said  # its ACK has not come
            await bench.arrive(make_request("ACK"))

        bench = play(scene, handlers | {"ACK": lambda *ack: acks.append(ack)})
        assert acks == []
        assert not handler.cancelled
        assert {to for _, _, to in bench.wire.sent} == {ALICE, source}

    def test_a_retransmission_from_another_port_is_one(self):
        """A NAT may have changed it. What answers it goes where the request came from first."""
        handler, handlers = served(200, method="OPTIONS")

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(make_request("OPTIONS"))
            await bench.arrive(make_request("OPTIONS"), source=(ALICE[0], 9999))

        assert {to for _, _, to in play(scene, handlers).wire.sent} == {ALICE}
        assert len(handler.asked) == 1

    def test_what_has_no_key_is_refused(self):
        async def scene(bench):
            bad = make_request("OPTIONS", branch="x")
            bad.set_header("From", "<sip:a@b")
            await bench.arrive(bad)
            assert bench.sizes == (0, 0)

        assert play(scene, {"OPTIONS": pytest.fail}).said == ["0 400 OPTIONS"]


class TestFlood:
    def test_those_that_are_answered_are_forgotten_first(self):
        async def scene(bench):
            for number in range(500):
                await bench.arrive(make_request("OPTIONS", branch=f"z9hG4bK{number}"))
                assert bench.sizes[0] <= 50
                assert len(bench.it.answered) <= 50
            slots = sum(len(slot) for slot in bench.it.wheel._slots.values())
            assert slots == 50

        said = play(scene, {"OPTIONS": lambda request, addr: request.reply(200)}, limit=50).said
        assert said == ["0 200 OPTIONS"] * 500

    @pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
    @pytest.mark.parametrize("long", ["request", "response"])
    def test_those_that_are_long_are_fewer(self, long, method):
        """What is kept is bounded in bytes too."""
        body = b"x" * 10_000

        async def scene(bench):
            for number in range(100):
                body_of_it = body if long == "request" else b""
                await bench.arrive(make_request(method, branch=f"z9hG4bK{number}", body=body_of_it))
                kept = [one for it in bench.it.servers.values() for one in (it.request, it.response)]
                assert bench.it.kept == sum(len(bytes(message)) for message in kept) < 120_000
            assert 8 <= bench.sizes[0] <= 11
            assert bench.it.endpoint.stats.counters["transactions_forgotten"] == 100 - bench.sizes[0]

        def handler(request, addr):
            return request.reply(200, body=body if long == "response" else b"")

        said = play(scene, {method: handler}, memory=110_000).said
        assert said == [f"0 200 {method}"] * 100

    def test_long_ones_that_wait_for_an_answer(self):
        handler, handlers = served(180, 486, after=1)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(*(make_request(branch=f"z9hG4bK{one}", body=b"x" * 10_000) for one in range(100)))
            assert bench.sizes == (10, 0)
            await bench.arrive(make_request(branch="z9hG4bKlong", body=b"x" * 60_000))
            counters = bench.it.endpoint.stats.counters
            assert counters == {"transactions_forgotten": 0, "transactions_refused": 91}
            await bench.at(2.5)
            await bench.arrive(*(make_request("ACK", branch=f"z9hG4bK{one}") for one in range(10)))

        bench = play(scene, handlers, memory=110_000)
        assert len(handler.asked) == 10
        assert bench.said[:91] == ["0 503 INVITE"] * 91

    def test_a_repeated_answer_counts_once(self):
        async def scene(bench):
            await bench.arrive(make_request())
            before = bench.it.kept
            for _ in range(11):
                bench.it.respond(make_request(), make_request().reply(200, body=b"x" * 1000), ALICE)
            assert before < bench.it.kept < before + 1100

        play(scene, {"INVITE": lambda request, addr: request.reply(200), "ACK": lambda *_: None})

    @pytest.mark.parametrize("handlers", [{}, dict.fromkeys({*METHODS} - {"BYE"}, lambda *_: None), served()[1]])
    @pytest.mark.parametrize("limits", [{"limit": 0}, {"max_pending": 0}])
    @pytest.mark.parametrize("method", ["INVITE", "BYE", "CANCEL", "NONSENSE"])
    def test_what_nobody_handles_is_answered_with_twice_its_length_at_most(self, handlers, limits, method):
        """As the endpoint itself does it: who forges a source must not gain by us."""
        request = b"%b sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:a:b\r\nt:a:b\r\ni:1\r\nCSeq:1 %b\r\n\r\n"
        request %= method.encode(), method.encode()

        async def scene(bench):
            bench.wire.receiver.deliver([(request, ALICE)])
            await bench.at(0.1)
            sent = sum(len(bytes(message)) for _, message, _ in bench.wire.sent)
            assert sent <= 2 * len(request + b";received=198.51.100.7"), bench.wire.sent

        play(scene, handlers, retry_after=(1 << 31) - 1, **limits)

    @pytest.mark.parametrize(("limit", "max_pending"), [(50, 1000), (1000, 50)])
    def test_thousands_of_half_open_invites(self, limit, max_pending):
        handler, handlers = served(180, 0, 0, after=150)

        async def scene(bench):
            handler.bench = bench
            for number in range(0, 3000, 50):
                invites = [make_request(branch=f"z9hG4bK{one}") for one in range(number, number + 50)]
                await bench.arrive(*invites)
                assert bench.sizes == (50, 0)
            assert len(handler.asked) == bench.it._working == 50
            refused = [message for _, message, _ in bench.wire.sent]
            assert [message.status_code for message in refused] == [503] * 2950
            assert {message.get_header("Retry-After") for message in refused} == {"7"}
            assert bench.it.endpoint.stats.overloaded == 0  # the endpoint never has to
            assert bench.it.endpoint.stats.counters["transactions_refused"] == 2950
            await bench.at(331)
            assert len(handler.cancelled) == 50

        play(scene, handlers, limit=limit, max_pending=max_pending, retry_after=7)

    def test_a_cancel_is_taken_where_there_is_no_room(self):
        """It makes some."""
        handler, handlers = served(180, 0, 0, after=150)

        async def scene(bench):
            handler.bench = bench
            await bench.arrive(*(make_request(branch=f"z9hG4bK{one}") for one in range(10)))
            await bench.arrive(make_request("CANCEL", branch="z9hG4bK3"))
            await bench.arrive(make_request("CANCEL", branch="z9hG4bK3"))
            assert sorted(bench.said) == ["0 200 CANCEL", "0 200 CANCEL", "0 487 INVITE"]
            await bench.arrive(make_request("ACK", branch="z9hG4bK3"), make_request(branch="z9hG4bK11"))
            assert len(handler.asked) == 11
            await bench.at(400)

        play(scene, handlers, limit=10)


class TestClient:
    """17.1, with RFC 6026's Accepted."""

    async def ask(self, bench, message, **options):
        return asyncio.create_task(bench.it.request(message, ALICE, **options))

    def test_non_invite_until_timer_f(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request("OPTIONS"))
            with pytest.raises(TimeoutError, match="OPTIONS"):
                await asking
            assert asyncio.get_running_loop().time() == 1032
            assert bench.sizes == (0, 0)

        bench = play(scene)
        assert bench.said == [f"{second:g} OPTIONS" for second in drops(11)]
        assert len({bytes(message) for _, message, _ in bench.wire.sent}) == 1
        via = bench.wire.sent[0][1].via
        assert via.sent_by == "192.0.2.1:5060"
        assert via.branch.startswith("z9hG4bK")

    def test_non_invite_with_a_provisional_response(self):
        heard = []

        async def scene(bench):
            asking = await self.ask(bench, new_request("OPTIONS"), on_response=heard.append)
            await bench.at(0.6)
            request = bench.wire.sent[0][1]
            await bench.arrive(request.reply(100))
            await bench.at(9.6)
            await bench.arrive(request.reply(404))
            await bench.arrive(request.reply(200), request.reply(183))  # completed: absorbed
            assert (await asking).status_code == 404
            await bench.at(14.5)
            assert bench.sizes == (0, 1)
            await bench.at(14.7)
            assert bench.sizes == (0, 0)  # timer K

        assert play(scene).said == ["0 OPTIONS", "0.5 OPTIONS", "1.5 OPTIONS", "5.5 OPTIONS", "9.5 OPTIONS"]
        assert [message.status_code for message in heard] == [100, 404]

    def test_invite_until_timer_b(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request())
            with pytest.raises(TimeoutError, match="INVITE"):
                await asking
            assert asyncio.get_running_loop().time() == 1032

        assert play(scene).said == [f"{second:g} INVITE" for second in (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]

    def test_invite_refused(self):
        heard = []

        async def scene(bench):
            asking = await self.ask(bench, new_request(), on_response=heard.append)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(180))
            await bench.at(5)
            await bench.arrive(invite.reply(486), invite.reply(486))
            await bench.arrive(invite.reply(486, to_tag="other"), invite.reply(200), invite.reply(180))
            assert (await asking).status_code == 486
            await bench.at(36.9)
            assert bench.sizes == (0, 1)
            await bench.at(37.1)
            assert bench.sizes == (0, 0)  # timer D

        bench = play(scene)
        assert bench.said == ["0 INVITE", *["5.001 ACK"] * 3]
        assert [message.status_code for message in heard] == [180, 486]
        invite, ack, _, other = (message for _, message, _ in bench.wire.sent)
        assert (ack.via, ack.request_uri, ack.cseq.num) == (invite.via, invite.request_uri, invite.cseq.num)
        assert (ack.to_tag, other.to_tag) == (invite.reply(486).to_tag, "other")

    def test_invite_accepted_and_every_further_2xx_is_heard(self):
        heard = []

        async def scene(bench):
            asking = await self.ask(bench, new_request(), on_response=heard.append)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(200, to_tag="a"))
            assert (await asking).to_tag == "a"
            await bench.arrive(invite.reply(200, to_tag="a"), invite.reply(200, to_tag="b"), invite.reply(180))
            await bench.arrive(invite.reply(486))
            await bench.at(32.0)
            assert bench.sizes == (0, 1)
            await bench.at(32.2)
            assert bench.sizes == (0, 0)  # timer M
            await bench.arrive(invite.reply(200, to_tag="c"))

        assert play(scene).said == ["0 INVITE"]
        assert [message.to_tag for message in heard] == ["a", "a", "b"]

    @pytest.mark.parametrize("ringing", [True, False])
    def test_invite_that_nobody_waits_for_is_cancelled_when_it_may_be(self, ringing):
        heard = []

        async def scene(bench):
            asking = await self.ask(bench, new_request(), on_response=heard.append)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            if ringing:
                await bench.arrive(invite.reply(180))
            asking.cancel()
            await bench.at(0.2)
            assert bench.said == ["0 INVITE"] + ["0.101 CANCEL"] * ringing
            await bench.arrive(invite.reply(180), invite.reply(183))
            await bench.at(1)
            cancel = bench.wire.sent[-1][1]
            assert cancel.transaction_key("INVITE") == invite.transaction_key()
            await bench.arrive(cancel.reply(200), invite.reply(487))

        bench = play(scene)
        second = "0.101" if ringing else "0.201"
        again = "0.625" if ringing else "0.71875"
        assert bench.said == ["0 INVITE", f"{second} CANCEL", f"{again} CANCEL", "1.001 ACK"]
        assert [message.status_code for message in heard] == [180] * ringing + [180, 183, 487]

    def test_a_success_that_crosses_the_cancel_is_heard(self):
        heard = []

        async def scene(bench):
            asking = await self.ask(bench, new_request(), on_response=heard.append)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(180))
            asking.cancel()
            await bench.at(0.2)
            await bench.arrive(bench.wire.sent[1][1].reply(481), invite.reply(200))

        assert play(scene).said == ["0 INVITE", "0.101 CANCEL"]
        assert [message.status_code for message in heard] == [180, 200]

    def test_a_cancel_that_nobody_answers(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request())
            await bench.at(0.1)
            await bench.arrive(bench.wire.sent[0][1].reply(180))
            asking.cancel()
            await bench.at(32.2)
            assert bench.sizes == (0, 0)

        assert play(scene).said[:2] == ["0 INVITE", "0.101 CANCEL"]

    def test_an_invite_that_rings_too_long_is_cancelled(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request(), patience=20)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(180))
            await bench.at(19)
            await bench.arrive(invite.reply(180))
            assert bench.said == ["0 INVITE"]
            await bench.at(20.1)
            await bench.arrive(bench.wire.sent[1][1].reply(200), invite.reply(487))
            assert (await asking).status_code == 487

        assert [said.partition(" ")[2] for said in play(scene).said] == ["INVITE", "CANCEL", "ACK"]

    def test_another_request_that_nobody_waits_for_is_forgotten(self):
        async def scene(bench):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await bench.it.request(new_request("OPTIONS"), ALICE)
            assert bench.sizes == (0, 0)

        assert play(scene).said == ["0 OPTIONS", "0.5 OPTIONS", "1.5 OPTIONS"]

    def test_what_cannot_be_sent(self):
        async def scene(bench):
            bench.wire.failure = TransportError(101, "no route")
            for method in ("INVITE", "OPTIONS"):
                with pytest.raises(TransportError, match="no route"):
                    await bench.it.request(new_request(method), ALICE)
            assert bench.sizes == (0, 0)
            bench.wire.failure = BlockingIOError()
            asking = await self.ask(bench, new_request("OPTIONS"))
            await bench.at(0.1)
            bench.wire.failure = None
            await bench.at(1)
            await bench.arrive(bench.wire.sent[0][1].reply(200))
            assert (await asking).status_code == 200

        assert play(scene).said == ["0.5 OPTIONS"]

    def test_a_message_is_sent_twice_with_two_branches_and_stays_as_it_was(self):
        async def scene(bench):
            message = new_request("OPTIONS")
            for _ in range(2):
                asking = await self.ask(bench, message)
                await asyncio.sleep(0.1)
                await bench.arrive(bench.wire.sent[-1][1].reply(401))
                assert (await asking).status_code == 401
            assert message.via is None
            message.push_via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours")
            asking = await self.ask(bench, message)
            await asyncio.sleep(0.1)
            with pytest.raises(ValueError, match="under way"):
                await bench.it.request(message, ALICE)
            await bench.arrive(bench.wire.sent[-1][1].reply(200))
            await asking

        branches = [message.via.branch for _, message, _ in play(scene).wire.sent]
        assert len(set(branches)) == 3
        assert branches[2] == "z9hG4bKours"

    def test_a_response_with_two_vias_or_with_the_via_of_another(self):
        """8.1.3.3, 18.1.2."""

        async def scene(bench):
            asking = await self.ask(bench, new_request())
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            ours = invite.get_header("Via")
            for vias in (
                [ours, "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"],
                [f"{ours}, SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"],
                ["SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx", ours],
                [ours.replace("192.0.2.1", "192.0.2.9")],
                [ours.replace(":5060", ":5061")],
            ):
                for status in (180, 200, 486):
                    response = invite.reply(status)
                    response.remove_header("Via")
                    for via in vias:
                        response.add_header("Via", via)
                    await bench.arrive(response)
            assert not asking.done()
            assert len(bench.wire.sent) == 1
            await bench.arrive(invite.reply(600))
            await asking

        assert play(scene).said == ["0 INVITE", "0.101 ACK"]

    def test_who_hears_responses_and_fails(self, caplog):
        async def main():
            bench = Bench()
            async with bench.it.endpoint as endpoint:
                serving = asyncio.create_task(endpoint.serve())
                await asyncio.sleep(0)
                asking = await self.ask(bench, new_request(), on_response=lambda response: 1 // 0)
                await bench.at(0.1)
                invite = bench.wire.sent[0][1]
                await bench.arrive(invite.reply(180), invite.reply(486), invite.reply(486))
                assert (await asking).status_code == 486
                await bench.at(50)
                assert bench.sizes == (0, 0)
                endpoint.close()
            await serving
            assert endpoint.stats.hook_errors == 2
            assert bench.said == ["0 INVITE", "0.101 ACK", "0.101 ACK"]

        with asyncio.Runner(loop_factory=Clock) as runner:
            runner.run(main())

    def test_one_who_sent_a_cancel_himself(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request(), patience=20)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(180))
            await bench.at(10)
            cancelling = await self.ask(bench, invite.cancel())  # nobody answers it
            await bench.at(21)
            await bench.arrive(invite.reply(487))
            assert (await asking).status_code == 487
            with pytest.raises(TimeoutError):
                await cancelling

        assert {said.partition(" ")[2] for said in play(scene).said} == {"INVITE", "CANCEL", "ACK"}

    def test_patience_without_end(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request(), patience=math.inf)
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(invite.reply(180))
            await bench.at(1000)
            await bench.arrive(invite.reply(486))
            assert (await asking).status_code == 486

        assert play(scene).said == ["0 INVITE", "1000 ACK"]

    def test_responses_that_nobody_asked_for_or_that_cannot_be_read(self):
        async def scene(bench):
            asking = await self.ask(bench, new_request())
            await bench.at(0.1)
            invite = bench.wire.sent[0][1]
            await bench.arrive(make_request().reply(200))
            for name in ("Via", "To", "From", "Call-ID", "CSeq"):
                broken = invite.reply(486)
                broken.remove_header(name)
                await bench.arrive(broken)
            for name, value in (
                ("Via", "nonsense"),
                ("CSeq", "1 BYE"),
                ("CSeq", "x"),
                ("To", "<sip:b"),
                ("Via", "a\tb"),
            ):
                broken = invite.reply(486)
                broken.set_header(name, value)
                await bench.arrive(broken)
            assert not asking.done()
            assert bench.said == ["0 INVITE"]
            await bench.arrive(invite.reply(600))
            assert (await asking).status_code == 600

        assert play(scene).said == ["0 INVITE", "0.101 ACK"]

    def test_what_nobody_asked_for_is_not_looked_at(self, monkeypatch):
        """A hostile response may cost a thousand times what it costs to see that nobody waits for it."""
        looked = []
        monkeypatch.setattr(example, "_is_usable", lambda response: not looked.append(response))

        async def scene(bench):
            asking = await self.ask(bench, new_request())
            await bench.at(0.1)
            await bench.arrive(make_request().reply(200))
            assert not looked
            await bench.arrive(bench.wire.sent[0][1].reply(600))
            assert len(looked) == 1
            await asking

        play(scene)


def new_request(method="INVITE") -> Message:
    """A request that has no Via yet."""
    request = make_request(method)
    request.pop_via()
    return request


class TestWheel:
    def test_a_loop_that_was_busy_for_a_minute(self):
        async def scene(bench):
            await bench.arrive(make_request())
            asyncio.get_running_loop().now += 60
            await asyncio.sleep(0.1)
            assert bench.sizes == (0, 0)

        assert play(scene, {"INVITE": lambda request, addr: request.reply(486)}).said == ["0 486 INVITE"]

    def test_one_timer_of_the_loop_for_all(self):
        async def scene(bench):
            loop = asyncio.get_running_loop()
            await asyncio.sleep(0)
            before = len(loop._scheduled)
            asking = []
            for number in range(300):
                await bench.arrive(make_request(branch=f"z9hG4bK{number}"))
                asking.append(asyncio.create_task(bench.it.request(new_request("OPTIONS"), ALICE)))
            await asyncio.sleep(0)
            assert len(loop._scheduled) == before + 1
            assert sum(len(slot) for slot in bench.it.wheel._slots.values()) == 600
            await asyncio.gather(*asking, return_exceptions=True)

        play(scene, {"INVITE": lambda request, addr: request.reply(486)})

    def test_one_timer_of_the_loop_after_many_turns_too(self):
        async def scene(bench):
            loop = asyncio.get_running_loop()
            await bench.arrive(make_request())
            for second in range(1, 32):
                await bench.at(second)
                assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == 1

        play(scene, {"INVITE": lambda request, addr: request.reply(486)})

    def test_one_that_fails_to_wake_harms_no_other(self, caplog):
        woken = []

        class Sleeper(example.ServerTransaction):
            def expire(self):
                woken.append(self)
                raise ValueError

        async def scene(bench):
            for number in range(4):
                Sleeper(bench.it, str(number), make_request("OPTIONS"), ALICE).enter(
                    example.State.TRYING, 1 + number // 2
                )
            await bench.at(5)

        play(scene)
        assert [sleeper.key for sleeper in woken] == ["0", "1", "2", "3"]
        assert len(caplog.records) == 4

    def test_a_clock_that_jumps_a_month(self):
        """The ticks between are not counted one by one."""

        async def scene(bench):
            await bench.arrive(make_request())
            turns = []
            bench.it.wheel._slots = Counting(bench.it.wheel._slots, turns)
            asyncio.get_running_loop().now += 30 * 86400
            await asyncio.sleep(0.1)
            assert bench.sizes == (0, 0)
            assert len(turns) < 1000

        class Counting(dict):
            def __init__(self, content, turns):
                super().__init__(content)
                self.turns = turns

            def pop(self, *arguments):
                self.turns.append(arguments)
                return super().pop(*arguments)

        play(scene, {"INVITE": lambda request, addr: request.reply(486)})

    def test_those_who_are_removed_by_others_of_their_slot_do_not_wake(self):
        woken = []

        class Sleeper:
            slot = 0

            def wake(self):
                woken.append(self)
                for one in sleepers:
                    wheel.remove(one)

        async def main():
            for sleeper in sleepers:
                wheel.put(sleeper, 1001)
            await asyncio.sleep(5)

        wheel, sleepers = example.Wheel(SimpleNamespace(transport="open")), [Sleeper() for _ in range(3)]
        with asyncio.Runner(loop_factory=Clock) as runner:
            runner.run(main())
        assert woken == sleepers[:1]
        assert wheel._slots == {}


# --- at the wrong moment, again and again -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_a_handler_that_raises_a_cancellation_of_its_own(method, caplog):
    """It is answered by the transaction, which knows it the next time."""

    def broken(request, addr):
        raise asyncio.CancelledError

    async def scene(bench):
        await bench.arrive(make_request(method))
        await bench.arrive(make_request(method))
        await bench.at(0.4)
        assert bench.said == [f"0 500 {method}"] * 2

    play(scene, {method: broken}, failures=1)


def test_a_hook_that_edits_a_response_edits_each_once():
    """Else a response grew with each retransmission of its request, for whoever sends them."""

    def mark(request, response, addr):
        response.add_header("X-Sent", "1")

    async def scene(bench):
        for _ in range(4):
            await bench.arrive(make_request("MESSAGE"))
        assert {bytes(message) for _, message, _ in bench.wire.sent} == {bytes(bench.wire.sent[0][1])}
        assert len(bench.wire.sent) == 4
        assert bench.wire.sent[0][1].get_headers("X-Sent") == ["1"]

    play(scene, {"MESSAGE": lambda request, addr: request.reply(200)}, on_response=mark)


@pytest.mark.parametrize("answers", [True, False])
def test_a_cancel_when_the_handler_has_just_ended(answers):
    """What it returned counts: it takes the call for accepted."""
    answered = asyncio.Event()

    async def ring(request, addr):
        await answered.wait()
        return request.reply(200) if answers else None

    async def scene(bench):
        invite = make_request()
        await bench.arrive(invite)
        [transaction] = bench.it.servers.values()
        answered.set()
        while not transaction.work.done():
            await asyncio.sleep(0)
        await bench.arrive(parse(bytes(invite)).cancel())
        await bench.at(0.4)
        assert sorted(bench.said) == sorted(["0 200 CANCEL", "0 200 INVITE" if answers else "0 487 INVITE"])

    play(scene, {"INVITE": ring})


def test_patience_that_is_no_number():
    async def scene(bench):
        calling = asyncio.create_task(bench.it.request(make_request(), ALICE, patience=math.nan))
        await asyncio.sleep(0)
        await bench.arrive(make_request().reply(180))
        await bench.arrive(make_request().reply(486))
        assert (await calling).status_code == 486

    play(scene)
