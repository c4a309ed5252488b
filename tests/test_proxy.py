"""`examples/stateless_proxy.py`: rule by rule in memory, and with SIPp and Kamailio on both sides of it."""

import asyncio
import csv
import importlib.util
import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from wire import US, Wire

from sipstack import Endpoint, HeaderError, Message, PeerAddress, parse
from sipstack.proxy import Hop, Node

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
PROXY = EXAMPLES / "stateless_proxy.py"

ALICE = ("198.51.100.7", 5062)
ONE, TWO, THREE = ("192.0.2.11", 5060), ("192.0.2.12", 5060), ("192.0.2.13", 5070)
VICTIM = ("203.0.113.9", 5099)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stateless_proxy = load(PROXY)


def set_down(targets, hop: Hop) -> None:
    for _ in range(stateless_proxy.PROBES_MISSED):
        targets.judge(hop, up=False)


def targets_of(*addresses: tuple[str, int], **options):
    return stateless_proxy.Targets([Hop("UDP", *address) for address in addresses], **options)


class Bench:
    """A proxy on a wire in memory."""

    def __init__(self, *targets: tuple[str, int], us=US, **options) -> None:
        self.targets = targets_of(*(targets or (ONE, TWO, THREE)))
        self.proxy = stateless_proxy.Proxy(us, Node(Hop("UDP", *us)), self.targets, **options)
        self.wire = Wire()
        self.proxy.endpoint = Endpoint(self.proxy.endpoint.config, transport=self.wire)

    def arrive(self, data: bytes, addr: tuple[str, int]) -> None:
        """This comes in."""
        assert self.wire.receiver is not None
        self.wire.receiver.deliver([(data, addr)])

    async def pass_on(self, message: Message | str, addr=ALICE) -> tuple[Message, tuple[str, int]]:
        """What leaves when this comes in, and to where."""
        self.arrive(bytes(message) if isinstance(message, Message) else message.encode(), addr)
        async with asyncio.timeout(60):
            data, to = await self.wire.outbox.get()
        return parse(data), to

    async def nothing_leaves(self, message: Message, addr=ALICE) -> None:
        """This comes in and is dropped."""
        self.arrive(bytes(message), addr)
        probe, _ = await self.pass_on(make_request("OPTIONS", "sip:192.0.2.1"))  # what came first is done first
        assert (probe.status_code, probe.cseq.method) == (200, "OPTIONS")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with bench.proxy.endpoint as endpoint:
        serving = asyncio.create_task(endpoint.serve())
        await asyncio.sleep(0)  # it starts the wire
        yield bench
    await serving
    assert endpoint.stats.handler_errors == endpoint.stats.hook_errors == 0


def make_request(
    method="INVITE", uri="sip:bob@example.com", *, via=None, to_tag="", call_id="a84b4c76e66710", cseq=1, **more
):
    headers = [
        ("Via", via or "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK776asdhds;rport"),
        ("Max-Forwards", more.pop("max_forwards", 70)),
        ("From", "Alice <sip:alice@example.com>;tag=1928301774"),
        ("To", "Bob <sip:bob@example.com>" + to_tag),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    headers += [("Route", value) for value in more.pop("routes", ())]
    headers += [(name.replace("_", "-"), value) for name, value in more.items()]
    return Message.request(method, uri, headers=[(name, value) for name, value in headers if value is not None])


def branch(message: Message) -> str:
    assert message.via is not None
    assert message.via.branch is not None
    return message.via.branch


class TestNewRequests:
    async def test_goes_to_a_target_with_our_via_and_record_route(self, bench: Bench) -> None:
        sent, to = await bench.pass_on(make_request())
        assert to in (ONE, TWO, THREE)
        assert sent.request_uri == "sip:bob@example.com"
        assert sent.max_forwards == 69
        (record_route,) = sent.record_routes
        assert str(record_route).startswith("<sip:192.0.2.1:5060;lr;hop=UDP/198.51.100.7:5062/")
        assert [via.sent_by for via in sent.vias] == ["192.0.2.1:5060", "198.51.100.7:5062"]
        assert branch(sent).startswith("z9hG4bK")
        assert (sent.vias[1].received, sent.vias[1].rport) == ("198.51.100.7", 5062)

    async def test_no_record_route_outside_dialogs(self, bench: Bench) -> None:
        for method in ("REGISTER", "OPTIONS", "MESSAGE"):
            sent, _ = await bench.pass_on(make_request(method))
            assert sent.record_routes == ()

    async def test_max_forwards_is_added_where_there_is_none(self, bench: Bench) -> None:
        sent, _ = await bench.pass_on(make_request(max_forwards=None))
        assert sent.max_forwards == 70

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"max_forwards": 0}, 483),
            ({"max_forwards": "seventy"}, 400),
            ({"uri": "urn:service:sos"}, 416),
            ({"uri": "sips:bob@example.com"}, 416),
            ({"Proxy_Require": "foo"}, 420),
            ({"call_id": None}, 400),
            ({"routes": ["<<>"]}, 400),
            ({"routes": ["<sip:192.0.2.1;lr>", "<sip:[::1;lr>"]}, 400),
            ({"via": "nonsense"}, 400),
        ],
    )
    async def test_refused(self, bench: Bench, changes, status: int) -> None:
        answer, to = await bench.pass_on(make_request(**changes))
        assert (answer.status_code, to) == (status, ALICE)
        assert len(answer.get_headers("Via")) == 1
        if status == 420:
            assert answer.get_header("Unsupported") == "foo"

    async def test_an_ack_is_never_refused(self, bench: Bench) -> None:
        await bench.nothing_leaves(make_request("ACK", max_forwards=0))

    async def test_require_is_not_ours_to_judge(self, bench: Bench) -> None:
        sent, _ = await bench.pass_on(make_request(Require="100rel"))
        assert sent.is_request

    async def test_503_while_no_target_is_up(self, bench: Bench) -> None:
        for hop in bench.targets.missed:
            set_down(bench.targets, hop)
        for request in (make_request(), make_request("OPTIONS", "sip:192.0.2.1")):
            answer, _ = await bench.pass_on(request)
            assert answer.status_code == 503

    async def test_an_options_to_the_proxy_is_answered(self, bench: Bench) -> None:
        for uri in ("sip:192.0.2.1", "sip:192.0.2.1:5060;transport=udp"):
            answer, _ = await bench.pass_on(make_request("OPTIONS", uri))
            assert answer.status_code == 200
        sent, _ = await bench.pass_on(make_request("OPTIONS", "sip:bob@192.0.2.1"))
        assert sent.is_request


class TestTransactions:
    """RFC 3261 16.11: what belongs to one transaction leaves alike."""

    async def test_a_retransmission_leaves_alike(self, bench: Bench) -> None:
        assert await bench.pass_on(make_request()) == await bench.pass_on(make_request())

    @pytest.mark.parametrize("via", [None, "SIP/2.0/UDP 198.51.100.7:5062", "SIP/2.0/UDP 198.51.100.7:5062;branch=1"])
    async def test_cancel_and_ack_to_a_failure_follow_their_invite(self, bench: Bench, via: str | None) -> None:
        invite, to = await bench.pass_on(make_request(via=via))
        for method, tag in (("CANCEL", ""), ("ACK", ";tag=x")):
            sent, there = await bench.pass_on(make_request(method, to_tag=tag, via=via))
            assert (branch(sent), there) == (branch(invite), to)

    @pytest.mark.parametrize("via", [None, "SIP/2.0/UDP 198.51.100.7:5062"])
    async def test_another_transaction_has_another_branch(self, bench: Bench, via: str | None) -> None:
        changes = ({"cseq": 2}, {"call_id": "other"}, {"uri": "sip:carol@example.com"})
        if via is None:
            changes += ({"via": "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKother"},)
            changes = changes[1:]  # CSeq is no part of it: another number has another branch
        branches = [branch((await bench.pass_on(make_request(**{"via": via, **one})))[0]) for one in ({}, *changes)]
        assert len(set(branches)) == len(branches)

    async def test_a_loop_is_found_and_a_spiral_is_not(self, bench: Bench) -> None:
        sent, to = await bench.pass_on(make_request())
        sent.push_via(f"SIP/2.0/UDP {to[0]}:{to[1]};branch=z9hG4bKdownstream")
        answer, _ = await bench.pass_on(sent, to)
        assert answer.status_code == 482
        sent.request_uri = "sip:bob@192.0.2.99"
        spiral, _ = await bench.pass_on(sent, to)
        assert [via.sent_by for via in spiral.vias].count("192.0.2.1:5060") == 2

    async def test_another_process_does_the_same(self) -> None:
        code = "import sys, runpy; print(runpy.run_path(sys.argv[1])['digest']('a'))"
        results = {
            run([sys.executable, "-c", code, str(PROXY)], env=os.environ | {"PYTHONHASHSEED": seed}).stdout
            for seed in "12"
        }
        assert results == {stateless_proxy.digest("a") + "\n"}


class TestRoutes:
    """RFC 3261 16.4 to 16.6, and what keeps it from being an open relay."""

    OURS = "<sip:192.0.2.1:5060;lr>"

    async def dialog(self, bench: Bench, uri="sip:alice@10.9.9.9") -> tuple[str, Callable[..., Message]]:
        """The Record-Route of a call that Alice began, and what makes requests of it from the other side."""
        invite, _ = await bench.pass_on(make_request())
        route = invite.get_header("Record-Route")

        def from_bob(method="BYE", uri=uri, routes=(route,), **more) -> Message:
            request = make_request(method, uri, routes=routes, **more)
            request.set_header("From", "<sip:bob@example.com>;tag=bob")
            request.set_header("To", "<sip:alice@example.com>;tag=1928301774")
            request.set_header("Via", "SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKbob")
            return request

        return route, from_bob

    async def test_within_a_dialog_to_who_began_it(self, bench: Bench) -> None:
        route, from_bob = await self.dialog(bench)
        for source in (ONE, VICTIM):  # the callee itself need not be a target
            sent, to = await bench.pass_on(from_bob(), source)
            assert to == ALICE
            assert (sent.request_uri, sent.routes) == ("sip:alice@10.9.9.9", ())
        sent, to = await bench.pass_on(from_bob(routes=[route, "<sip:203.0.113.5;lr>"]), ONE)
        assert to == ALICE
        assert [str(hop) for hop in sent.routes] == ["<sip:203.0.113.5;lr>"]

    async def test_within_a_dialog_from_who_began_it(self, bench: Bench) -> None:
        route, _ = await self.dialog(bench)
        _, target = await bench.pass_on(make_request())
        ack = make_request("ACK", "sip:bob@203.0.113.9:5099", to_tag=";tag=bob", routes=[route])
        sent, to = await bench.pass_on(ack)
        assert (to, sent.routes) == (target, ())

    async def test_a_strict_router_before_us(self, bench: Bench) -> None:
        route, from_bob = await self.dialog(bench)
        request = from_bob(uri=route.strip("<>"), routes=["<sip:203.0.113.5;lr>", "<sip:alice@10.9.9.9>"])
        sent, to = await bench.pass_on(request, ONE)
        assert (to, sent.request_uri) == (ALICE, "sip:alice@10.9.9.9")
        assert [str(hop) for hop in sent.routes] == ["<sip:203.0.113.5;lr>"]

    @pytest.mark.parametrize("source", [ALICE, ONE])
    @pytest.mark.parametrize("to_tag", ["", ";tag=1"])
    @pytest.mark.parametrize(
        "routes",
        [[], [OURS], [OURS, "<sip:203.0.113.9:5099;lr>"], ["<sip:203.0.113.9:5099;lr>"], ["<sip:203.0.113.9:5099>"],
         ["<sip:192.0.2.1:5060;lr;hop=UDP/203.0.113.9:5099/0123456789abcdef>"]],
    )  # fmt: skip
    async def test_nobody_can_have_a_request_sent_anywhere_else(self, bench: Bench, routes, to_tag, source) -> None:
        for uri in ("sip:bob@203.0.113.9:5099", "sip:bob@example.com;maddr=203.0.113.9"):
            _, to = await bench.pass_on(make_request("MESSAGE", uri, routes=routes, to_tag=to_tag), source)
            assert to in (ONE, TWO, THREE)

    async def test_nor_with_a_record_route_of_another_call(self, bench: Bench) -> None:
        _, from_bob = await self.dialog(bench)
        _, to = await bench.pass_on(from_bob(call_id="other"), ONE)
        assert to in (ONE, TWO, THREE)

    async def test_250_routes_of_ours_are_refused_at_once(self, bench: Bench) -> None:
        request = make_request(routes=[self.OURS] * 125 + [", ".join([self.OURS] * 125)], max_forwards=255)
        answer, to = await bench.pass_on(request)
        assert (answer.status_code, answer.status_text, to) == (513, "too many values", ALICE)
        assert bench.proxy.endpoint.stats.requests == 1

    async def test_128_routes_of_ours_at_once(self, bench: Bench) -> None:
        request = make_request(routes=[self.OURS] * 64 + [", ".join([self.OURS] * 64)], max_forwards=255)
        sent, to = await bench.pass_on(request)  # in one go: it does not come by again for each of them
        assert (sent.routes, sent.max_forwards, to in (ONE, TWO, THREE)) == ((), 70, True)
        assert bench.proxy.endpoint.stats.requests == 1

    async def test_behind_a_client_that_has_us_as_its_outbound_proxy(self, bench: Bench) -> None:
        for uri in ("sip:bob@example.com", "sip:bob@192.0.2.1"):
            invite, to = await bench.pass_on(make_request(uri=uri, routes=[self.OURS]))
            ack, there = await bench.pass_on(make_request("ACK", uri, to_tag=";tag=x", routes=[self.OURS]))
            assert (branch(ack), there) == (branch(invite), to)

    async def test_ipv6(self, bench: Bench) -> None:
        invite, _ = await bench.pass_on(
            make_request(via="SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1"), ("2001:db8::9", 5062)
        )
        bye = make_request("BYE", to_tag=";tag=1928301774", routes=invite.get_headers("Record-Route"))
        bye.set_header("From", "<sip:bob@example.com>;tag=bob")
        assert (await bench.pass_on(bye, ONE))[1] == ("2001:db8::9", 5062)

    async def test_on_a_wildcard_it_is_the_address_that_was_asked(self) -> None:
        bench = Bench(us=("0.0.0.0", 5060))
        async with bench.proxy.endpoint as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            await asyncio.sleep(0)
            sent, to = await bench.pass_on(make_request(), PeerAddress(*ALICE, ("192.0.2.7", 5060)))
            assert sent.via.sent_by == "192.0.2.7:5060"
            answer, there = await bench.pass_on(sent.reply(200), PeerAddress(*to, ("192.0.2.7", 5060)))
            assert (answer.status_code, there) == (200, ALICE)
        await serving


class TestTwoProxies:
    async def test_pointed_at_each_other(self) -> None:
        """A request ends in 482, and makes no storm; what answers it goes back both hops."""
        other = ("192.0.2.2", 5060)
        benches = {US: Bench(other), other: Bench(US, us=other)}
        async with benches[US].proxy.endpoint as one, benches[other].proxy.endpoint as two:
            serving = [asyncio.create_task(endpoint.serve()) for endpoint in (one, two)]
            await asyncio.sleep(0)
            datagrams: list[tuple[bytes, tuple[str, int], tuple[str, int]]] = []
            message, source, to = bytes(make_request()), ALICE, US
            while to in benches:
                assert len(datagrams) < 10
                benches[to].arrive(message, source)
                async with asyncio.timeout(2):
                    source, (message, to) = to, await benches[to].wire.outbox.get()
                datagrams.append((message, source, to))
            assert [to for _, _, to in datagrams] == [other, US, other, US, ALICE]
            assert [parse(data).status_code for data, _, _ in datagrams] == [0, 0, 482, 482, 482]
            assert all(bench.wire.outbox.empty() for bench in benches.values())
        await asyncio.gather(*serving)

    async def test_a_target_that_is_ourselves(self) -> None:
        bench = Bench(US)
        async with bench.proxy.endpoint as endpoint:
            serving = asyncio.create_task(endpoint.serve())
            await asyncio.sleep(0)
            answer, to = await bench.pass_on(make_request())
            assert (answer.status_code, to) == (482, ALICE)
        await serving


class TestResponses:
    """RFC 3261 16.7, 16.11, 18.2.2; RFC 3581."""

    @pytest.mark.parametrize(
        ("via", "to"),
        [
            ("SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1;rport", ("198.51.100.7", 6000)),
            ("SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1", ("198.51.100.7", 5062)),
            ("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1", ("198.51.100.7", 5060)),
            ("SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;rport", ("198.51.100.7", 6000)),
            ("SIP/2.0/UDP alice.example.com:5062;branch=z9hG4bK1", ("198.51.100.7", 5062)),
        ],
    )
    async def test_back_to_where_the_request_came_from(self, bench: Bench, via: str, to) -> None:
        sent, target = await bench.pass_on(make_request(via=via), ("198.51.100.7", 6000))
        for status in (100, 180, 200):
            answer, there = await bench.pass_on(sent.reply(status, to_tag="x"), target)
            assert (answer.status_code, there) == (status, to)
            assert [str(one).partition(";")[0] for one in answer.vias] == [via.partition(";")[0]]

    async def test_of_a_bracketed_ipv6_sender(self, bench: Bench) -> None:
        sent, target = await bench.pass_on(
            make_request(via="SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1"), ("2001:db8::9", 5062)
        )
        assert (await bench.pass_on(sent.reply(200), target))[1] == ("2001:db8::9", 5062)

    @pytest.mark.parametrize(
        "vias",
        [
            ["SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1"],
            ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"],
            ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1", "nonsense"],
            [],
        ],
    )
    async def test_what_is_not_ours_to_pass_on_is_dropped(self, bench: Bench, vias: list[str]) -> None:
        rest = [("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>;tag=2"), ("Call-ID", "1"), ("CSeq", "1 INVITE")]
        await bench.nothing_leaves(Message.response(200, headers=[*(("Via", via) for via in vias), *rest]), ONE)

    async def test_a_response_that_somebody_made_up_is_not_sent_to_its_victim(self, bench: Bench) -> None:
        sent, target = await bench.pass_on(make_request())
        ours, below = sent.get_headers("Via")
        for branch_of_ours in (ours, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK" + "0" * 32):
            for victim in (
                "SIP/2.0/UDP 203.0.113.9:5099;branch=z9hG4bK1",
                below.replace("198.51.100.7", "203.0.113.9"),
            ):
                forged = sent.reply(200, to_tag="x")
                forged.set_header("Via", [branch_of_ours, victim])
                await bench.nothing_leaves(forged, target)


class TestTargets:
    def test_calls_are_dealt_out_evenly(self) -> None:
        targets = targets_of(ONE, TWO, THREE)
        counts = Counter(targets.choose(f"call-{number}@example.com") for number in range(30_000))
        assert {hop.address for hop in counts} == {ONE, TWO, THREE}
        assert max(counts.values()) < 1.2 * min(counts.values())

    def test_only_the_calls_of_a_target_that_is_down_move(self) -> None:
        targets = targets_of(ONE, TWO, THREE)
        calls = [f"call-{number}@example.com" for number in range(3000)]
        before = {call: targets.choose(call) for call in calls}
        set_down(targets, Hop("UDP", *TWO))
        after = {call: targets.choose(call) for call in calls}
        moved = [call for call in calls if before[call] != after[call]]
        assert moved == [call for call in calls if before[call].address == TWO]
        assert {after[call].address for call in moved} == {ONE, THREE}
        targets.judge(Hop("UDP", *TWO), up=True)
        assert {call: targets.choose(call) for call in calls} == before

    def test_the_order_on_the_command_line_does_not_matter(self) -> None:
        one, other = targets_of(ONE, TWO, THREE), targets_of(THREE, ONE, TWO)
        assert all(one.choose(str(number)) == other.choose(str(number)) for number in range(1000))

    async def test_health_checks_take_a_target_out_and_back(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "proxy")
        answers = {"status": 200}
        probes: list[Message] = []
        server = Endpoint(stateless_proxy.EndpointConfig(port=0))

        @server.handler("OPTIONS")
        def answer(request: Message, _) -> Message | None:
            probes.append(request)
            return request.reply(answers["status"]) if answers["status"] else None

        async with server, asyncio.timeout(60):
            serving = asyncio.create_task(server.serve())
            targets = targets_of(server.listen_addr, interval=0.3)
            watching = asyncio.create_task(targets.watch("127.0.0.1"))
            for status in (200, 0, 404, 503, 200):
                answers["status"] = status
                seen = len(probes)
                [hop] = targets.missed
                while len(probes) < seen + 2 or targets._is_up(hop) != (status in (200, 404)):
                    await asyncio.sleep(0.01)
                if not targets._is_up(hop):
                    with pytest.raises(HeaderError, match="No target is up"):
                        targets.choose("any")
                else:
                    assert targets.choose("any").address == server.listen_addr
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await serving
        assert not any(probe.validate() for probe in probes)
        assert [record.message.rpartition(" ")[2] for record in caplog.records] == ["down", "up", "down", "up"]


# --- real parties


def run(command: list[str], timeout: float = 90, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=timeout, check=False, **kwargs,
    )  # fmt: skip


class Program:
    """A program that was started for a test, and what it has written."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.log = folder / "log"
        self.folder = folder
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)

    def wait_for(self, pattern: str, seconds: float = 60, start: int = 0) -> int:
        """Waits until a pattern was written; where the text behind it begins."""
        end = time.monotonic() + seconds
        while not (found := re.compile(pattern).search(self.log.read_text(errors="replace"), start)):
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < end, f"{pattern!r} did not come:\n{self.log.read_text(errors='replace')}"
            time.sleep(0.02)
        return found.end()

    def wait_until_it_answers(self, port: int, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        ping = [sys.executable, "-m", "sipstack", "ping", "-c", "1", "-W", "2", f"127.0.0.1:{port}"]
        while run(ping).returncode:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < end, self.log.read_text(errors="replace")

    def kill(self) -> None:
        """Without a word, as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


class Lab:
    """Starts what a test needs, and ends it."""

    def __init__(self, folder: Path, client: Callable[[str], str], new_port: Callable[[], int]) -> None:
        self.folder = folder
        self.client = client
        self.new_port = new_port
        self.programs: list[Program] = []

    def start(self, name: str, command: list[str]) -> Program:
        folder = self.folder / f"{len(self.programs)}-{name}"
        folder.mkdir()
        self.programs.append(Program(command, folder))
        return self.programs[-1]

    def proxy(self, port: int, *targets: int, arguments: tuple[str, ...] = ()) -> Program:
        """A proxy that is ready when this returns."""
        command = [sys.executable, str(PROXY), "--listen", f"127.0.0.1:{port}", "--interval", "0.5", *arguments]
        program = self.start("proxy", [*command, *(f"127.0.0.1:{target}" for target in targets)])
        program.wait_until_it_answers(port)
        return program

    def callee(self, port: int) -> Program:
        """A SIPp that takes calls; ended by itself after five minutes, whatever happens here."""
        scenario = str(HERE / "sipp" / "call_uas.xml")
        command = [self.client("sipp"), "-sf", scenario, "-i", "127.0.0.1", "-p", str(port), "-nostdin", *ROOM]
        return self.start("callee", [*command, "-timeout", "300s"])

    def caller(self, port: int, calls: int, rate: int) -> "Caller":
        return Caller(self, port, calls, rate)

    def kamailio(self, port: int, config: Path, *arguments: str) -> Program:
        command = [self.client("kamailio"), "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4", *arguments]
        command += ["-l", f"udp:127.0.0.1:{port}", "-w", str(self.folder), "-Y", str(self.folder)]
        program = self.start("kamailio", command)
        program.wait_until_it_answers(port)
        return program


ROOM = ("-buff_size", "2000000")  # SIPp's own sockets hold 64 KiB, which is little when the machine is busy


class Caller:
    """A SIPp that makes calls, with the results at its end."""

    def __init__(self, lab: Lab, port: int, calls: int, rate: int) -> None:
        scenario = str(HERE / "sipp" / "call_uac.xml")
        command = [
            lab.client("sipp"),
            f"127.0.0.1:{port}",
            "-sf",
            scenario,
            "-i",
            "127.0.0.1",
            "-p",
            str(lab.new_port()),
        ]
        command += ["-m", str(calls), "-r", str(rate), "-d", "100", "-l", "1000", "-nostdin", "-timeout", "100s"]
        command += [*ROOM, "-trace_stat", "-fd", "1", "-stf", "statistics.csv", "-trace_err", "-error_file", "errors"]
        self.program = lab.start("caller", command)

    def results(self) -> tuple[int, int]:
        """How many calls succeeded, and how many failed."""
        self.program.process.wait(120)
        last = self.statistics()[-1]
        return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])

    def statistics(self) -> list[dict[str, str]]:
        """The lines so far, one a second; the last one may be cut."""
        path = self.program.folder / "statistics.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file, delimiter=";"))

    def wait_for_calls(self) -> None:
        """Until some have been made."""
        end = time.monotonic() + 60
        while not any(int(line["SuccessfulCall(C)"] or 0) for line in self.statistics()[:-1]):
            assert self.program.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture
def lab(client: Callable[[str], str], tmp_path: Path, new_port: Callable[[], int]) -> Iterator[Lab]:
    lab = Lab(tmp_path, client, new_port)
    yield lab
    for program in reversed(lab.programs):
        program.stop()


class TestCalls:
    def test_through_it_to_one_callee(self, lab: Lab) -> None:
        port, target = lab.new_port(), lab.new_port()
        lab.callee(target)
        lab.proxy(port, target)
        assert lab.caller(port, 100, 50).results() == (100, 0)

    def test_two_workers(self, lab: Lab) -> None:
        port, target = lab.new_port(), lab.new_port()
        lab.callee(target)
        lab.proxy(port, target, arguments=("--workers", "2"))
        assert lab.caller(port, 100, 50).results() == (100, 0)

    def test_one_of_two_callees_is_killed_under_load(self, lab: Lab) -> None:
        """What is in progress there may fail. What begins after the health check does not."""
        port, first, second = lab.new_port(), lab.new_port(), lab.new_port()
        lab.callee(first)
        victim = lab.callee(second)
        proxy = lab.proxy(port, first, second)
        caller = lab.caller(port, 200, 50)
        caller.wait_for_calls()
        victim.kill()
        at = proxy.wait_for(rf":{second} is down")
        assert lab.caller(port, 50, 50).results() == (50, 0)
        succeeded, failed = caller.results()
        assert succeeded + failed == 200
        assert failed < succeeded, "more calls failed than were at the callee that was killed"
        lab.callee(second)
        proxy.wait_for(rf":{second} is up", start=at)
        assert lab.caller(port, 50, 50).results() == (50, 0)


class TestKamailioBehindIt:
    def test_options_and_register(self, lab: Lab) -> None:
        sipsak = lab.client("sipsak")
        port, target = lab.new_port(), lab.new_port()
        lab.kamailio(target, HERE / "kamailio" / "registrar.cfg")
        lab.proxy(port, target)
        result = run([sipsak, "-vv", "-s", f"sip:probe@127.0.0.1:{port}"])
        assert result.returncode == 0, result.stdout
        assert "SIP/2.0 200 Keepalive" in result.stdout
        contact = f"sip:alice@127.0.0.1:{lab.new_port()}"
        result = run([sipsak, "-U", "-vv", "-x", "60", "-C", contact, "-s", f"sip:alice@127.0.0.1:{port}"])
        assert result.returncode == 0, result.stdout
        assert "All usrloc tests completed successful" in result.stdout


class TestBehindKamailio:
    """examples/kamailio-dispatcher, as it stands but for the ports."""

    def test_one_of_two_nodes_is_killed_under_load(self, lab: Lab, tmp_path: Path) -> None:
        front, callee, *nodes = (lab.new_port() for _ in range(4))
        folder = EXAMPLES / "kamailio-dispatcher"
        text = (folder / "dispatcher.list").read_text()
        nodes_list = tmp_path / "dispatcher.list"
        nodes_list.write_text(text.replace("5071", str(nodes[0])).replace("5072", str(nodes[1])))
        lab.start("callee", [sys.executable, str(HERE / "callee.py"), str(callee)]).wait_until_it_answers(callee)
        victim, other = (lab.proxy(node, callee, arguments=("--no-record-route",)) for node in nodes)
        define = f'DISPATCHER_LIST="{nodes_list}"'
        kamailio = lab.kamailio(front, folder / "kamailio.cfg", "-A", define)
        assert lab.caller(front, 50, 50).results() == (50, 0)
        caller = lab.caller(front, 200, 50)
        caller.wait_for_calls()
        victim.kill()
        at = kamailio.wait_for(rf"node sip:127.0.0.1:{nodes[0]} is down")
        assert lab.caller(front, 50, 50).results() == (50, 0)
        # What the node had without an answer goes to the other one when Kamailio's timer has run out. Lost are those
        # that rang through it in that moment: their answer goes where their Via says.
        succeeded, failed = caller.results()
        assert (succeeded + failed, failed < 50) == (200, True)
        lab.proxy(nodes[0], callee, arguments=("--no-record-route",))
        kamailio.wait_for(rf"node sip:127.0.0.1:{nodes[0]} is up", start=at)
        other.kill()
        kamailio.wait_for(rf"node sip:127.0.0.1:{nodes[1]} is down", start=at)
        assert lab.caller(front, 50, 50).results() == (50, 0)


class TestWhatItStandsOn:
    """The endpoint's part in it."""

    async def test_what_cannot_be_sent_soon_is_counted(self, bench: Bench) -> None:
        endpoint = bench.proxy.endpoint
        bench.wire.send = lambda datagrams: [(data, addr, OSError("no route")) for data, addr in datagrams]
        endpoint.send_soon(make_request().reply(200), ONE)
        endpoint.send_soon(make_request(), ONE)
        assert endpoint.stats.send_errors == 0
        await asyncio.sleep(0)
        stats = endpoint.stats
        assert (stats.send_errors, dict(stats.responses_by_class)) == (2, {"2xx": 1})

    def test_run_ends_with_what_fails_beside_it(self) -> None:
        async def beside() -> None:
            await asyncio.sleep(0.01)
            raise LookupError("beside")

        endpoint = Endpoint(stateless_proxy.EndpointConfig(port=0))
        with pytest.raises(LookupError, match="beside"):
            endpoint.run(beside=beside)
        assert endpoint.listen_addr is None
