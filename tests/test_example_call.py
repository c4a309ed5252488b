"""`examples/call.py`: rule by rule in memory, and with SIPp, which loses messages, and Kamailio."""

import asyncio
import csv
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import test_example_transactions
from lossy import LossyWay
from test_example_transactions import ALICE, STRANGER, Clock, Recorder, drops, make_request, short
from test_proxy import EXAMPLES, HERE, ROOM, Lab, lab, run

from sipstack import EndpointConfig, HeaderError, Message, parse_uri

sys.path.insert(0, str(EXAMPLES))

from call import Phone

__all__ = ["lab"]

CONTACT = "<sip:alice@198.51.100.7:5062>"


class Bench(test_example_transactions.Bench):
    """A telephone on a wire in memory."""

    def __init__(self, **options) -> None:
        self.wire = Recorder()
        self.phone = Phone(EndpointConfig(), transport=self.wire, **options)
        self.it = self.phone.transactions

    @property
    def last(self) -> Message:
        return self.wire.sent[-1][1]

    async def answered(self, **options) -> tuple[Message, Message]:
        """A call that was answered after a second, and acknowledged: the INVITE and the 200."""
        invite = make_invite(**options)
        await self.arrive(invite)
        await self.at(1)
        ok = self.last
        await self.arrive(within(invite, ok, "ACK", 1))
        assert ok.dialog_id(sent=True) in self.phone.calls
        return invite, ok


def play(scene: Callable, **options) -> Bench:
    """Plays a scene to the end of all calls and transactions."""

    async def main() -> Bench:
        bench = Bench(**options)
        async with bench.phone.transactions.endpoint as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            await asyncio.sleep(0)
            await scene(bench)
            await asyncio.sleep(4000)
            transactions = bench.phone.transactions
            left = bench.phone.calls, bench.phone._chores, transactions.servers, transactions.clients
            assert not any(left)
            assert transactions._working == 0
            endpoint.close()
        await serving
        assert endpoint.stats.hook_errors == endpoint.stats.handler_errors == 0
        return bench

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(main())


def make_invite(*, contact=CONTACT, routes=(), **more) -> Message:
    invite = make_request(**more)
    if contact:
        invite.set_header("Contact", contact)
    if routes:
        invite.set_header("Record-Route", list(routes))
    return invite


def within(invite: Message, ok: Message, method: str, number: int, branch="z9hG4bKwithin") -> Message:
    """A request of the caller's within the dialog."""
    request = make_request(method, branch=f"{branch}{method}{number}")
    request.set_header("To", ok.get_header("To"))
    request.set_header("CSeq", f"{number} {method}")
    if method == "INVITE":
        request.set_header("Contact", CONTACT)
    return request


class TestAnswering:
    def test_a_call_that_the_caller_ends(self):
        async def scene(bench):
            invite, ok = await bench.answered()
            await bench.at(5)
            await bench.arrive(within(invite, ok, "BYE", 2))
            await bench.arrive(within(invite, ok, "BYE", 2), within(invite, ok, "BYE", 3))

        bench = play(scene)
        said = ["0 180 INVITE", "1 200 INVITE", "5.001 200 BYE", "5.001 200 BYE", "5.001 481 BYE"]
        assert bench.said == said
        ringing, ok = (message for _, message, _ in bench.wire.sent[:2])
        assert ringing.to_tag == ok.to_tag
        assert str(ok.contacts[0].uri) == "sip:phone@192.0.2.1:5060"
        assert str(ok.content_type) == "application/sdp"
        assert ok.body.startswith(b"v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\n")
        assert not ok.validate()

    def test_a_call_that_lasts_too_long_is_hung_up(self):
        async def scene(bench):
            invite, ok = await bench.answered(routes=["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"])
            await bench.at(61.5)
            bye, to = bench.wire.sent[-1][1:]
            assert (to, str(bye.uri)) == (ALICE, "sip:alice@198.51.100.7:5062")
            assert bye.get_header("Route") == "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>"
            assert bye.dialog_id() == ok.dialog_id()
            assert (bye.to_tag, bye.cseq.num) == (invite.from_tag, 1)
            assert not bye.validate()
            await bench.arrive(bye.reply(200))

        assert play(scene, longest=60).said == ["0 180 INVITE", "1 200 INVITE", "61.001 BYE"]

    def test_a_200_that_nobody_acknowledges_and_then_a_bye(self):
        async def scene(bench):
            await bench.arrive(make_invite(contact="<sip:victim@203.0.113.9>"))
            await bench.at(1.1)
            bad = within(make_invite(), bench.last, "ACK", 2)  # of no INVITE
            await bench.arrive(bad, make_request("ACK"))
            await bench.at(34)
            assert STRANGER not in [to for _, _, to in bench.wire.sent]
            assert bench.last.method == "BYE"
            await bench.arrive(bench.last.reply(200))

        said = [f"{1 + second:g} 200 INVITE" for second in drops(11)]
        bench = play(scene)
        assert bench.said[: len(said) + 1] == ["0 180 INVITE", *said]
        assert {short(message) for _, message, _ in bench.wire.sent[len(said) + 1 :]} == {"BYE"}

    def test_a_bye_instead_of_the_ack(self):
        async def scene(bench):
            invite = make_invite()
            await bench.arrive(invite)
            await bench.at(1)
            await bench.arrive(within(invite, bench.last, "BYE", 2))

        assert play(scene).said == ["0 180 INVITE", "1 200 INVITE", "1.001 200 BYE"]

    def test_a_caller_who_gives_up(self):
        async def scene(bench):
            await bench.arrive(make_invite())
            await bench.at(0.5)
            await bench.arrive(make_request("CANCEL"))
            await bench.arrive(make_request("ACK"))

        assert sorted(play(scene).said) == ["0 180 INVITE", "0.501 200 CANCEL", "0.501 487 INVITE"]

    def test_requests_within_the_dialog_have_an_order(self):
        async def scene(bench):
            invite, ok = await bench.answered()
            await bench.arrive(within(invite, ok, "OPTIONS", 5))
            await bench.arrive(within(invite, ok, "INVITE", 4), within(invite, ok, "BYE", 5))
            refused = make_request("ACK", branch="z9hG4bKwithinINVITE4")
            await bench.arrive(refused)
            await bench.at(1.1)
            again = within(invite, ok, "INVITE", 6)
            await bench.arrive(again)
            assert bench.last.to_tag == ok.to_tag
            await bench.at(1.7)
            await bench.arrive(within(invite, ok, "ACK", 6))
            await bench.at(9)
            await bench.arrive(within(invite, ok, "ACK", 4), within(invite, ok, "BYE", 7))

        said = ["0 180 INVITE", "1 200 INVITE", "1.001 200 OPTIONS", "1.001 500 BYE", "1.001 500 INVITE"]
        more = ["1.101 200 INVITE", "1.601 200 INVITE", "9.001 200 BYE"]
        found = play(scene).said
        assert sorted(found[:5]) == sorted(said)
        assert found[5:] == more

    @pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS"])
    def test_what_belongs_to_no_call(self, method):
        async def scene(bench):
            invite, ok = await bench.answered()
            stranger = within(invite, ok, method, 9)
            stranger.set_header("To", "<sip:bob@example.com>;tag=guessed")
            await bench.arrive(stranger)
            assert bench.last.status_code == 481
            await bench.arrive(make_request("ACK", to_tag=";tag=x"), stranger.copy())
            if method == "INVITE":
                await bench.arrive(make_request("ACK", branch=f"z9hG4bKwithin{method}9"))
            await bench.arrive(within(invite, ok, "BYE", 2))
            assert bench.last.status_code == 200

        play(scene)

    def test_a_source_that_may_be_forged_gets_one_bye(self):
        """Nobody there has shown that he gets what we send: 13.3.1.4 wants a BYE, and not that it comes."""

        async def scene(bench):
            await bench.arrive(make_invite())
            await bench.at(34)
            assert not bench.phone.calls
            assert bench.sizes[1] == 0

        said = ["0 180 INVITE", *(f"{1 + second:g} 200 INVITE" for second in drops(11)), "33 BYE"]
        bench = play(scene)
        assert bench.said == said
        bye = bench.last
        assert not bye.validate()
        assert bye.via.branch.startswith("z9hG4bK")

    def test_how_much_it_gets(self):
        """As the page says it."""

        def ask(method: str, more=b"") -> bytes:
            head = b"v:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:1\r\n"
            line = method.encode()
            return b"%b sip:a SIP/2.0\r\n%bCSeq:1 %b\r\nMax-Forwards:9\r\n%b\r\n" % (line, head, line, more)

        routes = b"Record-Route:" + b",".join(b"<sip:p%d;lr>" % number for number in range(70)) + b"\r\n"
        contact = b"m:<sip:a>\r\n"
        page = (HERE.parent / "docs" / "how-to" / "transactions.md").read_text(encoding="utf-8")
        for row, request in (
            ("INVITE to `call.py answer`", ask("INVITE", contact)),
            ("the same with 70 Record-Routes, which are copied", ask("INVITE", contact + routes)),
            ("BYE to `call.py answer`", ask("BYE")),
        ):

            async def scene(bench, request=request):
                bench.wire.receiver.deliver([(request, ALICE)])
                await bench.at(40)

            sent = sum(len(bytes(message)) for _, message, _ in play(scene).wire.sent)
            times = f"{sent / len(request):.2g}"
            assert re.search(rf"\| {row} \| {len(request):,} \| .* \| {sent:,} \| {times} \|", page)

    @pytest.mark.parametrize("method", ["ACK", "OPTIONS", "INVITE"])
    def test_who_has_shown_that_he_is_there_is_sent_it_again(self, method):
        async def scene(bench):
            invite = make_invite()
            await bench.arrive(invite)
            await bench.at(1)
            await bench.arrive(within(invite, bench.last, method, 2))
            await bench.at(400)

        assert [said.partition(" ")[2] for said in play(scene).said].count("BYE") == 11

    @pytest.mark.parametrize("call_id", [b"", b" ", b"\t"])
    def test_no_call_without_a_call_id(self, call_id):
        async def scene(bench):
            data = bytes(make_invite()).replace(b"Call-ID: call-1", b"Call-ID: " + call_id)
            bench.wire.receiver.deliver([(data, ALICE)])
            await bench.at(0.1)

        assert play(scene).said == ["0 400 INVITE"]

    @pytest.mark.parametrize("contact", [None, "*", "<sip:a", "<>"])
    def test_no_dialog_without_a_contact(self, contact):
        async def scene(bench):
            await bench.arrive(make_invite(contact=contact))
            await bench.arrive(make_request("ACK"))

        assert play(scene).said == ["0 400 INVITE"]

    @pytest.mark.parametrize("second", [0.5, 5])
    def test_an_endpoint_that_is_closed_in_the_middle_of_calls(self, second, caplog):
        async def scene(bench):
            await bench.arrive(make_invite(branch="z9hG4bKother", call_id="call-2"))
            await bench.answered() if second > 1 else None
            await bench.at(second)
            bench.phone.transactions.endpoint.close()

        play(scene)
        assert not [record for record in caplog.records if record.name in ("transactions", "asyncio")]

    def test_a_bye_while_it_rings(self):
        """15.1.2: the early dialog is one."""

        async def scene(bench):
            invite = make_invite()
            await bench.arrive(invite)
            await bench.at(0.5)
            await bench.arrive(within(invite, bench.last, "BYE", 2))
            await bench.arrive(make_request("ACK"))

        assert sorted(play(scene).said) == ["0 180 INVITE", "0.501 200 BYE", "0.501 487 INVITE"]

    def test_a_second_invite_while_it_rings(self):
        """14.2."""

        async def scene(bench):
            invite = make_invite()
            await bench.arrive(invite)
            await bench.at(0.5)
            await bench.arrive(within(invite, bench.last, "INVITE", 2))
            assert bench.last.status_code == 500
            await bench.arrive(make_request("ACK", branch="z9hG4bKwithinINVITE2"))
            await bench.at(1)
            assert bench.last.status_code == 200
            await bench.arrive(within(invite, bench.last, "ACK", 1), within(invite, bench.last, "BYE", 3))

        play(scene)

    def test_an_invite_that_came_by_two_ways(self):
        """8.2.2.2."""

        async def scene(bench):
            await bench.arrive(make_invite())
            await bench.arrive(make_invite(branch="z9hG4bKother"), source=STRANGER)
            assert bench.said == ["0 180 INVITE", "0.001 482 INVITE"] or bench.said == ["0 180 INVITE", "0 482 INVITE"]
            await bench.arrive(make_request("ACK", branch="z9hG4bKother"), source=STRANGER)
            await bench.at(1)
            await bench.arrive(within(make_invite(), bench.last, "ACK", 1))
            await bench.arrive(within(make_invite(), bench.last, "BYE", 2))
            again = make_invite(branch="z9hG4bKagain")
            await bench.arrive(again)  # the call is over: not merged
            await bench.arrive(make_request("CANCEL", branch="z9hG4bKagain"))
            await bench.arrive(make_request("ACK", branch="z9hG4bKagain"))

        assert play(scene).said[-3].endswith("180 INVITE")

    def test_a_change_that_nobody_acknowledges_ends_the_call(self):
        """14.2."""

        async def scene(bench):
            invite, ok = await bench.answered()
            await bench.at(2)
            await bench.arrive(within(invite, ok, "INVITE", 2))
            await bench.at(35)
            assert bench.last.method == "BYE"
            await bench.arrive(bench.last.reply(200))

        play(scene)

    def test_a_change_says_where_the_caller_is_now(self):
        """12.2.2."""

        async def scene(bench):
            invite, ok = await bench.answered()
            change = within(invite, ok, "INVITE", 2)
            change.set_header("Contact", "<sip:alice@203.0.113.9:5060>")
            await bench.arrive(change, source=STRANGER)
            await bench.arrive(within(invite, ok, "ACK", 2), source=STRANGER)
            await bench.at(61.5)
            bye, to = bench.wire.sent[-1][1:]
            assert (bye.method, bye.request_uri, to) == ("BYE", "sip:alice@203.0.113.9:5060", STRANGER)
            await bench.arrive(bye.reply(200), source=STRANGER)

        play(scene, longest=60)

    @pytest.mark.parametrize("route", [b"x", b"<sip:al ice@h;lr>"])
    def test_a_route_that_cannot_be_read_is_refused_at_once(self, route):
        async def scene(bench):
            data = bytes(make_invite()).replace(b"Contact:", b"Record-Route: " + route + b"\r\nContact:")
            bench.wire.receiver.deliver([(data, ALICE)])
            await bench.at(0.1)
            await bench.arrive(make_request("ACK"))

        assert play(scene).said == ["0 400 INVITE"]

    def test_options(self):
        async def scene(bench):
            await bench.arrive(make_request("OPTIONS"))

        assert play(scene).wire.sent[0][1].get_header("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS"


class TestPlacing:
    URI = parse_uri("sip:bob@198.51.100.7:5062")

    def ask(self, bench, **options):
        return asyncio.create_task(bench.phone.call(self.URI, **options))

    def answer(self, invite: Message, tag="bob", contact="<sip:bob@203.0.113.9:5060>") -> Message:
        return invite.reply(200, to_tag=tag, headers={"Contact": contact} if contact else {})

    def play(self, scene):
        async def numeric(hop):
            return hop.address

        async def resolved(bench):
            bench.phone.resolve = numeric
            await scene(bench)

        return play(resolved)

    def test_a_call(self):
        async def scene(bench):
            asking = self.ask(bench, talk=5)
            await bench.at(0.1)
            invite = bench.last
            assert not invite.validate()
            await bench.arrive(invite.reply(180), self.answer(invite), self.answer(invite))
            await bench.at(2)
            await bench.arrive(self.answer(invite))
            await bench.at(5.2)
            await bench.arrive(bench.last.reply(200))
            assert (await asking).status_code == 200

        bench = self.play(scene)
        assert bench.said == ["0 INVITE", "0.101 ACK", "0.101 ACK", "2.001 ACK", "5.101 BYE"]
        invite, ack, _, again, bye = (message for _, message, _ in bench.wire.sent)
        assert ack == again
        assert (ack.request_uri, ack.cseq.num, bye.cseq.num) == ("sip:bob@203.0.113.9:5060", 1, 2)
        assert ack.via.branch != invite.via.branch
        assert [to for _, _, to in bench.wire.sent] == [ALICE, STRANGER, STRANGER, STRANGER, STRANGER]

    def test_by_a_route(self):
        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            ok = self.answer(bench.last, contact="<sip:bob@far.example.com>")
            ok.set_header("Record-Route", ["<sip:p2.example.com;lr>", "<sip:203.0.113.9:5060;lr>"])
            await bench.arrive(ok)
            await bench.at(1.2)
            await bench.arrive(bench.last.reply(200))
            await asking

        for _, message, to in self.play(scene).wire.sent[1:]:
            assert to == STRANGER
            assert str(message.uri) == "sip:bob@far.example.com"
            assert message.get_header("Route") == "<sip:203.0.113.9:5060;lr>, <sip:p2.example.com;lr>"

    def test_names_are_not_looked_up_within_the_dialog(self):
        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            await bench.arrive(self.answer(bench.last, contact="<sip:bob@victim.example.com>"))
            await bench.at(1.2)
            await bench.arrive(bench.last.reply(200))
            await asking

        assert {to for _, _, to in self.play(scene).wire.sent} == {ALICE}

    @pytest.mark.parametrize("contact", [None, "<tel:+12015550123>"])
    def test_an_answer_without_a_useful_contact_is_ended_all_the_same(self, contact):
        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            await bench.arrive(self.answer(bench.last, contact=contact))
            await bench.at(1.2)
            assert bench.last.method == "BYE"
            await bench.arrive(bench.last.reply(200))
            assert (await asking).status_code == 200

        self.play(scene)

    def test_of_two_forks_one_is_hung_up(self):
        async def scene(bench):
            asking = self.ask(bench, talk=5)
            await bench.at(0.1)
            invite = bench.last
            await bench.arrive(self.answer(invite), self.answer(invite, "carol"))
            assert [message.to_tag for _, message, _ in bench.wire.sent[1:]] == ["bob", "carol", "carol"]
            await bench.arrive(bench.last.reply(200), self.answer(invite, "carol"))
            assert bench.last.to_tag == "carol"
            await bench.at(5.2)
            assert bench.last.to_tag == "bob"
            await bench.arrive(bench.last.reply(200))
            await asking

        said = ["0 INVITE", "0.101 ACK", "0.101 ACK", "0.101 BYE", "0.101 ACK", "5.101 BYE"]
        assert self.play(scene).said == said

    def test_of_thousands_of_forks_few_are_answered(self):
        """Each costs an ACK and a BYE, to where the answer says."""

        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            invite = bench.last
            await bench.arrive(*(self.answer(invite, f"fork{number}") for number in range(2000)))
            await bench.at(1)
            assert len(bench.wire.sent) < 50
            assert len(bench.phone.calls) == 1
            await bench.arrive(*(message.reply(200) for _, message, _ in bench.wire.sent if message.method == "BYE"))
            await bench.at(2)
            await bench.arrive(bench.last.reply(200))
            await asking

        self.play(scene)

    @pytest.mark.parametrize("first", ["answer", "leave"])
    def test_an_answer_at_the_moment_in_which_one_leaves(self, first):
        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            invite = bench.last
            await bench.arrive(invite.reply(180))
            if first == "leave":
                asking.cancel()
            bench.wire.receiver.deliver([(bytes(self.answer(invite)), ALICE)])
            asking.cancel()
            await bench.at(0.2)
            byes = [message for _, message, _ in bench.wire.sent if message.method == "BYE"]
            assert len(byes) == 1
            others = [message for _, message, _ in bench.wire.sent if message.method == "CANCEL"]
            await bench.arrive(*(message.reply(200) for message in byes + others))
            assert not bench.phone.calls

        self.play(scene)

    @pytest.mark.parametrize("later", [True, False])
    def test_an_answer_that_makes_no_dialog_and_then_one_that_does(self, later):
        """A first 2xx without a To tag; nobody waits for the second any more."""

        async def scene(bench):
            asking = self.ask(bench, talk=5)
            await bench.at(0.1)
            invite = bench.last
            second, first = self.answer(invite), self.answer(invite)
            first.set_header("To", "<sip:bob@example.com>")
            await bench.arrive(*([first] if later else [first, second]))
            if later:
                assert (await asking).status_code == 200
                await bench.arrive(second)
            assert bench.last.method == "BYE"
            await bench.arrive(bench.last.reply(200), second)
            await asking
            assert not bench.phone.calls

        assert self.play(scene).said == ["0 INVITE", "0.101 ACK", "0.101 BYE", "0.101 ACK"]

    def test_the_other_side_hangs_up_and_asks_before(self):
        async def scene(bench):
            asking = self.ask(bench, talk=50)
            await bench.at(0.1)
            ok = self.answer(bench.last)
            await bench.arrive(bench.last.reply(183), ok)
            for number, method in enumerate(("OPTIONS", "BYE"), 7):
                request = make_request(method, branch=f"z9hG4bK{number}")
                for name, value in (("From", ok.to), ("To", ok.from_), ("Call-ID", ok.call_id)):
                    request.set_header(name, value)
                request.set_header("CSeq", f"{number} {method}")
                await bench.arrive(request, source=STRANGER)
            assert (await asking).status_code == 200

        assert self.play(scene).said == ["0 INVITE", "0.101 ACK", "0.101 200 OPTIONS", "0.101 200 BYE"]

    def test_nobody_answers_in_time(self):
        async def scene(bench):
            asking = self.ask(bench, patience=10)
            await bench.at(0.1)
            invite = bench.last
            await bench.arrive(invite.reply(180))
            await bench.at(10.1)
            await bench.arrive(bench.last.reply(200), invite.reply(487))
            assert (await asking).status_code == 487

        assert self.play(scene).said == ["0 INVITE", "10 CANCEL", "10.101 ACK"]

    def test_an_answer_to_one_who_is_gone(self):
        async def scene(bench):
            asking = self.ask(bench)
            await bench.at(0.1)
            invite = bench.last
            await bench.arrive(invite.reply(180))
            asking.cancel()
            await bench.at(0.2)
            await bench.arrive(bench.last.reply(481), self.answer(invite))
            await bench.arrive(bench.last.reply(200))

        assert self.play(scene).said == ["0 INVITE", "0.101 CANCEL", "0.201 ACK", "0.201 BYE"]

    def test_one_who_goes_while_he_talks_hangs_up(self):
        async def scene(bench):
            asking = self.ask(bench, talk=50)
            await bench.at(0.1)
            await bench.arrive(self.answer(bench.last))
            asking.cancel()
            await bench.at(0.2)
            await bench.arrive(bench.last.reply(200))

        assert self.play(scene).said == ["0 INVITE", "0.101 ACK", "0.101 BYE"]

    @pytest.mark.parametrize(
        ("uri", "error"), [("sips:bob@127.0.0.1", HeaderError), ("sip:b@nowhere.invalid", OSError)]
    )
    def test_where_it_cannot_go(self, uri, error):
        async def main():
            phone = Phone(EndpointConfig(port=0))
            async with phone.transactions.endpoint:
                with pytest.raises(error):
                    await phone.call(parse_uri(uri))

        asyncio.run(main())


# --- real parties


class Sipp:
    """A SIPp that tells its results while it goes on."""

    def __init__(self, lab: Lab, *arguments: str, port: int | None = None) -> None:
        self.port = port or lab.new_port()
        command = [lab.client("sipp"), *arguments, "-i", "127.0.0.1", "-p", str(self.port), *ROOM]
        command += ["-nostdin", "-timeout", "80s", "-trace_err", "-error_file", "errors"]
        command += ["-max_invite_retrans", "10", "-trace_stat", "-fd", "1", "-stf", "statistics.csv"]
        self.program = lab.start("sipp", command)

    def results(self, calls: int) -> tuple[int, int]:
        """How many calls succeeded, and how many failed, when so many are over."""
        statistics, end = self.program.folder / "statistics.csv", time.monotonic() + 85
        while time.monotonic() < end:
            text = statistics.read_text() if statistics.exists() else ""
            rows = list(csv.DictReader(text.splitlines(), delimiter=";"))
            done = (0, 0)
            if rows and rows[-1]["FailedCall(C)"]:
                done = int(rows[-1]["SuccessfulCall(C)"]), int(rows[-1]["FailedCall(C)"])
            if sum(done) >= calls:
                break
            time.sleep(0.2)
        return done


def start_phone(lab: Lab, *arguments: str) -> int:
    """The port of a telephone that answers."""
    port = lab.new_port()
    command = [sys.executable, str(EXAMPLES / "call.py"), "answer", "--listen", f"127.0.0.1:{port}"]
    lab.start("phone", [*command, *arguments]).wait_until_it_answers(port)
    return port


async def call_many(port: int, calls: int) -> list[int]:
    """Places so many calls at 50 a second, and returns how they were answered."""
    phone = Phone(EndpointConfig(port=0))
    async with phone.transactions.endpoint as endpoint, asyncio.timeout(85):
        serving = asyncio.create_task(endpoint.serve())
        await asyncio.sleep(0)

        async def call(number: int) -> int:
            await asyncio.sleep(number / 50)
            return (await phone.call(parse_uri(f"sip:bob@127.0.0.1:{port}"), talk=0.2)).status_code

        answers = await asyncio.gather(*(call(number) for number in range(calls)))
        assert phone.calls == {}
        endpoint.close()
        await serving
    return answers


@pytest.fixture
def losses() -> Iterator[Callable[[int], LossyWay]]:
    """Gives ways to ports on which messages are lost."""
    ways: list[LossyWay] = []

    def lead_to(port: int) -> LossyWay:
        ways.append(LossyWay(port))
        return ways[-1]

    yield lead_to
    for way in ways:
        way.stop()


class TestWithSipp:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_answering_with_losses(self, lab: Lab, losses, workers: str) -> None:
        way = losses(start_phone(lab, "--ring", "0.2", "--workers", workers))
        scenario = str(HERE / "sipp" / "lossy_uac.xml")
        sipp = Sipp(lab, "-sf", scenario, f"127.0.0.1:{way.port}", "-m", "50", "-r", "50", "-d", "200")
        assert sipp.results(50) == (50, 0)
        there, back = {"INVITE", "ACK", "BYE"}, {"180", "200"}
        assert {what for _, what in way.lost} >= there | back, way.lost

    async def test_placing_with_losses(self, lab: Lab, losses) -> None:
        way = losses(port := lab.new_port())
        scenario, contact = str(HERE / "sipp" / "lossy_uas.xml"), f"127.0.0.1:{way.port}"
        sipp = Sipp(lab, "-sf", scenario, "-key", "contact", contact, port=port)
        await asyncio.sleep(0.5)
        assert await call_many(way.port, 50) == [200] * 50
        assert sipp.results(50) == (50, 0)
        assert {what for _, what in way.lost} >= {"INVITE", "ACK", "BYE", "200"}, way.lost

    def test_callers_who_give_up(self, lab: Lab) -> None:
        port = start_phone(lab, "--ring", "30")
        command = [lab.client("sipp"), f"127.0.0.1:{port}", "-sf", str(HERE / "sipp" / "cancel_any.xml")]
        command += ["-i", "127.0.0.1", "-p", str(lab.new_port()), "-m", "50", "-r", "50", "-nostdin", "-timeout", "60s"]
        result = run(command, cwd=lab.folder)
        assert result.returncode == 0, result.stdout


class TestBehindKamailio:
    """It stays in the path by a Record-Route."""

    def start(self, lab: Lab, target: int) -> int:
        port = lab.new_port()
        config = HERE / "kamailio" / "record_route.cfg"
        lab.kamailio(port, config, "-A", f'TARGET="127.0.0.1:{target}"')
        return port

    def test_calls_by_sipp(self, lab: Lab) -> None:
        port = self.start(lab, start_phone(lab, "--ring", "0.2", "--workers", "2"))
        assert lab.caller(port, 100, 50).results() == (100, 0)

    async def test_calls_by_itself(self, lab: Lab) -> None:
        port = self.start(lab, start_phone(lab, "--ring", "0.2"))
        assert await call_many(port, 50) == [200] * 50

    def test_a_call_from_the_command_line(self, lab: Lab) -> None:
        port = self.start(lab, start_phone(lab, "--ring", "0.2", "--longest", "0.5"))
        command = [sys.executable, str(EXAMPLES / "call.py"), "place", f"sip:bob@127.0.0.1:{port}", "--talk"]
        for talk in ("0.1", "30"):  # each side hangs up once
            result = run([*command, talk])
            assert result.returncode == 0, result.stdout
            assert "180 Ringing" in result.stdout
            assert "200 OK" in result.stdout
        result = run([*command, "1", "--patience", "0.05"])
        assert result.returncode == 1
        assert "487 Request Terminated" in result.stdout


def test_the_commands_of_the_documentation(lab: Lab) -> None:
    page = (HERE.parent / "docs" / "how-to" / "transactions.md").read_text(encoding="utf-8")
    port = str(lab.new_port())
    answering, placing = (
        [sys.executable, *shlex.split(line.replace("5060", port).replace("examples/", f"{EXAMPLES}/"))]
        for line in re.findall(r"^\$ python (.*call\.py.*)$", page, re.MULTILINE)
    )
    lab.start("phone", answering).wait_until_it_answers(int(port))
    result = run([*placing[:-1], "0.1"])
    assert result.returncode == 0, result.stdout
    assert "200 OK" in result.stdout
