"""`sipstack.proxy`: section 16 of RFC 3261, step by step, on messages of both implementations."""

import hashlib
import inspect
import pickle
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest
from growth import assert_linear

from sipstack import HeaderError, Message, PeerAddress, Via, parse_uri
from sipstack._branches import SHORT, siphash
from sipstack.proxy import (
    Hop,
    Node,
    check_loop,
    forward_request,
    forward_response,
    make_branch,
    next_hop,
    response_hop,
    take_routes,
)

KEY = bytes(range(16))
US = Hop("UDP", "192.0.2.1", 5060)
TARGET = Hop("UDP", "192.0.2.11", 5060)
NODE = Node(US, aliases=["example.net", "10.0.0.1:5070"], key=KEY)
VIA = "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK776asdhds;received=198.51.100.7;rport=6000"
OURS = "<sip:192.0.2.1;lr>"


def make(
    impl: ModuleType,
    method="INVITE",
    uri="sip:bob@example.com",
    *,
    vias=(VIA,),
    routes=(),
    mf=70,
    tags=("1", ""),
    cseq=1,
):
    lines = [f"{method} {uri} SIP/2.0", *(f"Via: {via}" for via in vias), *(f"Route: {route}" for route in routes)]
    lines += [] if mf is None else [f"Max-Forwards: {mf}"]
    from_tag, to_tag = (f";tag={tag}" if tag else "" for tag in tags)
    lines += [
        f"From: <sip:alice@example.com>{from_tag}",
        f"To: <sip:bob@example.com>{to_tag}",
        "Call-ID: a84b4c76e66710",
    ]
    lines += [f"CSeq: {cseq} {method}", "Content-Length: 0", "", ""]
    return impl.parse("\r\n".join(lines))


def routes_of(message: Message) -> list[str]:
    return [str(route) for route in message.routes]


def refused(call, *args, **named) -> tuple[int, str]:
    with pytest.raises(HeaderError) as caught:
        call(*args, **named)
    return caught.value.status, caught.value.reason


class TestHop:
    @pytest.mark.parametrize(
        ("uri", "hop"),
        [
            ("sip:h.example", ("UDP", "h.example", 5060)),
            ("sip:a@192.0.2.9:5070", ("UDP", "192.0.2.9", 5070)),
            ("sip:[2001:db8::9];lr", ("UDP", "2001:db8::9", 5060)),
            ("sip:h;transport=TCP", ("TCP", "h", 5060)),
            ("sip:h;transport=tls", ("TLS", "h", 5061)),
            ("sip:h;transport=ws", ("WS", "h", 80)),
            ("sip:h;transport=sctp", ("SCTP", "h", 5060)),
            ("sips:h", ("TLS", "h", 5061)),
            ("sips:h;transport=tcp", ("TLS", "h", 5061)),
            ("sips:h:5099;transport=tls", ("TLS", "h", 5099)),
            ("sips:h;transport=ws", ("WSS", "h", 443)),
            ("sip:h:5070;maddr=192.0.2.9", ("UDP", "192.0.2.9", 5070)),
            ("sip:h;maddr=[2001:db8::9];transport=tcp", ("TCP", "2001:db8::9", 5060)),
        ],
    )
    def test_of_a_uri(self, uri: str, hop) -> None:
        assert Hop.of_uri(parse_uri(uri)) == hop

    @pytest.mark.parametrize(
        ("uri", "status"),
        [
            ("tel:+15551234", 416),
            ("urn:service:sos", 416),
            ("sip:h:0", 400),
            ("sip:2130706433", 400),  # inet_aton reads 127.0.0.1
            ("sip:h;maddr=2130706433", 400),
            ("sip:h;maddr=%0d%0a", 400),
            ("sips:h;transport=udp", 400),
            ("sip:h;transport=a%0d%0ab", 400),
        ],
    )
    def test_of_a_uri_that_has_none(self, uri: str, status: int) -> None:
        assert refused(Hop.of_uri, parse_uri(uri))[0] == status

    @pytest.mark.parametrize(
        ("via", "hop"),
        [
            (VIA, ("UDP", "198.51.100.7", 6000)),
            ("SIP/2.0/UDP h:5062;branch=z9hG4bK1;received=198.51.100.7", ("UDP", "198.51.100.7", 5062)),
            ("SIP/2.0/tls h;branch=z9hG4bK1", ("TLS", "h", 5061)),
            ("SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK1", ("UDP", "2001:db8::9", 5060)),
            ("SIP/2.0/UDP 198.51.100.7;maddr=203.0.113.9;branch=z9hG4bK1", ("UDP", "198.51.100.7", 5060)),
        ],
    )
    def test_of_a_via(self, impl: ModuleType, via: str, hop) -> None:
        assert Hop.of_via(Via.parse(via)) == response_hop(make(impl, vias=[via]).reply(200)) == hop

    def test_it_cannot_be_changed(self) -> None:
        hop = Hop("UDP", "h", 5060)
        assert hop.address is hop.address
        for name in ("host", "address", "other"):
            with pytest.raises(AttributeError):
                setattr(hop, name, "x")

    def test_text_and_address(self) -> None:
        hop = Hop("TLS", "2001:db8::1", 5061)
        assert (str(hop), hop.sent_by, hop.address) == (
            "TLS/[2001:db8::1]:5061", "[2001:db8::1]:5061", ("2001:db8::1", 5061),
        )  # fmt: skip
        assert pickle.loads(pickle.dumps(hop)) == hop


class TestNode:
    @pytest.mark.parametrize(
        ("uri", "ours"),
        [
            ("sip:192.0.2.1", True),
            ("sip:192.0.2.1:5060;transport=tcp", True),  # as Kamailio: host and port decide
            ("sip:x@EXAMPLE.net:9", True),
            ("sip:example.net.", True),
            ("sip:10.0.0.1:5070", True),
            ("sip:[::ffff:192.0.2.1]", True),
            ("sip:10.0.0.1", False),
            ("sip:192.0.2.1:5061", False),
            ("sips:192.0.2.1", False),
            ("sip:192.0.2.1;transport=tls", False),
            ("sip:192.0.2.1;transport=%0a", False),
            ("tel:+1", False),
        ],
    )
    def test_is_own_uri(self, uri: str, ours: bool) -> None:
        assert NODE.is_own_uri(parse_uri(uri)) is ours

    def test_an_ipv6_address_in_any_spelling(self) -> None:
        """RFC 5954 4.2."""
        node = Node(Hop("UDP", "2001:db8::1", 5060))
        for uri in ("sip:[2001:DB8:0::1]", "sip:[2001:db8::1]:5060;lr"):
            assert node.is_own_uri(parse_uri(uri))
        for uri in ("sip:[2001:db8::1]:5061", "sip:[2001:db8::2]", "sip:h"):
            assert not node.is_own_uri(parse_uri(uri))

    @pytest.mark.parametrize(
        ("via", "ours"),
        [
            ("SIP/2.0/UDP 192.0.2.1", True),
            ("SIP/2.0/UDP 192.0.2.1:5060", True),
            ("SIP/2.0/TLS 192.0.2.1", False),
            ("SIP/2.0/UDP 192.0.2.2", False),
        ],
    )
    def test_is_own_via(self, via: str, ours: bool) -> None:
        assert NODE.is_own_via(Via.parse(via)) is ours

    def test_a_wildcard_is_what_the_message_came_to(self, impl: ModuleType) -> None:
        node = Node(Hop("UDP", "0.0.0.0", 5060), Hop("TCP", "192.0.2.3", 5060), key=KEY)
        here = node.at(PeerAddress("198.51.100.7", 5062, ("192.0.2.1", 5060)))
        assert here.listeners == (US, Hop("TCP", "192.0.2.3", 5060))
        assert here is node.at(PeerAddress("198.51.100.8", 1, ("192.0.2.1", 5060)))
        assert node.at(("198.51.100.7", 5062)) is node
        assert NODE.at(PeerAddress("198.51.100.7", 5062, ("192.0.2.1", 5060))) is NODE
        assert refused(forward_request, make(impl), node, TARGET) == (500, "no address of our own is known")
        one, other = make(impl), make(impl)
        forward_request(one, here, TARGET)
        forward_request(other, NODE, TARGET)
        assert str(one) == str(other)

    def test_what_leads_to_us(self, impl: ModuleType) -> None:
        for host in ("192.0.2.1", "example.net", "0.0.0.0", "::", "::ffff:192.0.2.1", "EXAMPLE.net."):
            assert refused(forward_request, make(impl), NODE, Hop("UDP", host, 5060))[0] == 482
            assert refused(check_loop, make(impl), NODE, Hop("UDP", host, 5060))[0] == 482
        assert refused(forward_request, make(impl, uri="sip:bob@192.0.2.1"), NODE)[0] == 482

    def test_the_listener_is_that_of_the_transport_and_the_family(self) -> None:
        six, tls = Hop("UDP", "2001:db8::1", 5060), Hop("TLS", "192.0.2.1", 5061)
        node = Node(US, six, tls)
        assert node.listener(TARGET) == node.listener(Hop("UDP", "h.example", 5060)) == US
        assert node.listener(Hop("UDP", "2001:db8::9", 5060)) == six
        assert node.listener(Hop("TLS", "2001:db8::9", 5061)) == tls
        assert refused(node.listener, Hop("WS", "h", 80))[0] == 500

    def test_it_cannot_be_changed_and_does_not_show_its_key(self) -> None:
        with pytest.raises(AttributeError):
            NODE.listeners = ()
        assert repr(KEY) not in repr(NODE)
        assert "192.0.2.1" in repr(NODE)

    def test_one_that_was_never_made(self, impl: ModuleType) -> None:
        node = Node.__new__(Node)
        for call in (
            partial(forward_request, make(impl), node, TARGET),
            partial(forward_response, self.answer(impl), node),
        ):
            with pytest.raises(AttributeError):
                call()

    @pytest.mark.parametrize("name", ["_key", "_legs", "_name", "_named", "_routes"])
    def test_one_that_has_lost_a_part(self, impl: ModuleType, name: str) -> None:
        node, request = Node(US, key=KEY), make(impl)
        forward_request(request, node, TARGET, record_route=True)
        (route,) = (str(route) for route in request.record_routes)
        object.__delattr__(node, name)
        lost = 0
        for call in (
            partial(forward_request, make(impl), node, TARGET, record_route=True),
            partial(forward_response, request.reply(200), node),
            partial(take_routes, make(impl, "BYE", routes=[route], tags=("2", "1")), node),
        ):
            try:
                call()
            except AttributeError:
                lost += 1
        assert lost or name in ("_name", "_routes")  # of which the plain implementation makes no use

    @staticmethod
    def answer(impl: ModuleType) -> Message:
        request = make(impl)
        forward_request(request, NODE, TARGET)
        return request.reply(200)

    @pytest.mark.parametrize("named", [{"aliases": ["a b"]}, {"aliases": ["h:x"]}, {"key": b"short"}])
    def test_what_is_none(self, named) -> None:
        with pytest.raises(ValueError, match=r"alias|key|port"):
            Node(US, **named)
        with pytest.raises(ValueError, match="listens"):
            Node()

    def test_keys_differ(self, impl: ModuleType) -> None:
        assert make_branch(make(impl), Node(US), TARGET) != make_branch(make(impl), Node(US), TARGET)


class TestTakeRoutes:
    """RFC 3261 16.4."""

    @pytest.mark.parametrize(
        ("routes", "left"),
        [
            ([], []),
            (["<sip:p1;lr>"], ["<sip:p1;lr>"]),
            ([OURS], []),
            ([OURS, "<sip:p1;lr>", OURS], ["<sip:p1;lr>", OURS]),
            ([f"{OURS}, <sip:p1;lr>"], ["<sip:p1;lr>"]),
            ([OURS, f"<sip:example.net;lr>, {OURS}, <sip:p1;lr;x=1>"], ["<sip:p1;lr;x=1>"]),
            (["sip:192.0.2.1;lr", "<sip:p1;lr>"], ["<sip:p1;lr>"]),
        ],
    )
    def test_ours_come_off_the_top(self, impl: ModuleType, routes, left) -> None:
        request = make(impl, routes=routes)
        taken = take_routes(request, NODE)
        assert taken == (bool(routes) and routes[0] != "<sip:p1;lr>", False, None)
        assert routes_of(request) == left
        assert request.request_uri == "sip:bob@example.com"

    def test_what_a_strict_router_left_in_the_request_uri(self, impl: ModuleType) -> None:
        request = make(impl, "BYE", "sip:192.0.2.1:5060;lr", routes=[OURS, "<sip:p1;lr>", "<sip:bob@203.0.113.9?a=b>"])
        assert take_routes(request, NODE).ours
        assert (request.request_uri, routes_of(request)) == ("sip:bob@203.0.113.9", ["<sip:p1;lr>"])

    def test_only_with_a_route_and_our_own_form(self, impl: ModuleType) -> None:
        for uri, routes in (("sip:192.0.2.1;lr", []), ("sip:192.0.2.1", ["<sip:p1;lr>"])):
            request = make(impl, uri=uri, routes=routes)
            assert not take_routes(request, NODE).ours
            assert (request.request_uri, routes_of(request)) == (uri, routes)

    def test_maddr_that_is_ours(self, impl: ModuleType) -> None:
        for routes in ([], [OURS]):
            request = make(impl, uri="sip:bob@example.com;MADDR=192.0.2.1;transport=udp;x=y", routes=routes)
            take_routes(request, NODE)
            assert request.request_uri == "sip:bob@example.com;x=y"

    def test_maddr_in_escapes(self, impl: ModuleType) -> None:
        """RFC 3261 19.1.4: an escape is the character that it stands for."""
        for routes in ([], [OURS]):
            request = make(impl, uri="sip:%62ob@example.com;%6D%61ddr=192.0.2.1", routes=routes)
            take_routes(request, NODE)
            assert request.request_uri == "sip:%62ob@example.com"

    @pytest.mark.parametrize("route", ["<<>", "<sip:a b>", "<sip:[::1;lr>", "<sip:x", "nonsense <", '"'])
    def test_malformed(self, impl: ModuleType, route: str) -> None:
        request = make(impl, routes=[OURS, route])
        before = bytes(request)
        assert refused(take_routes, request, NODE)[0] == 400
        assert bytes(request) == before

    def test_many_cost_linear_time(self, impl: ModuleType) -> None:
        def taken(count: int) -> Callable[[], object]:
            request = make(impl, routes=[", ".join([OURS] * count)])
            return lambda: (take_routes(request, NODE).ours, request.routes)

        assert taken(128)() == (True, ())
        assert_linear(taken, 8, 128)


class TestNextHop:
    """RFC 3261 16.6 steps 6 and 7, 16.12."""

    def test_of_the_first_route_or_else_the_request_uri(self, impl: ModuleType) -> None:
        assert next_hop(make(impl)) == ("UDP", "example.com", 5060)
        assert next_hop(make(impl, routes=["<sip:p1:5070;lr;transport=tcp>", "<sip:p2>"])) == ("TCP", "p1", 5070)

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"uri": "tel:+1"}, 416),
            ({"uri": "sip:"}, 400),
            ({"uri": "sip:h:0"}, 400),
            ({"routes": ["<tel:+1>"]}, 400),
            ({"routes": ["<<>"]}, 400),
            ({"routes": ["<sip:p1;transport=%00>"]}, 400),
        ],
    )
    def test_of_what_is_malformed(self, impl: ModuleType, changes, status: int) -> None:
        assert refused(next_hop, make(impl, **changes))[0] == status
        assert refused(forward_request, make(impl, **changes), NODE)[0] == status

    def test_a_strict_router_is_next(self, impl: ModuleType) -> None:
        request = make(impl, routes=["<sip:p1;x=y>", "<sip:p2;lr>"])
        assert forward_request(request, NODE) == ("UDP", "p1", 5060)
        assert request.request_uri == "sip:p1;x=y"
        assert routes_of(request) == ["<sip:p2;lr>", "<sip:bob@example.com>"]

    def test_not_where_the_caller_says_where_to(self, impl: ModuleType) -> None:
        request = make(impl, routes=["<sip:p1>"])
        assert forward_request(request, NODE, TARGET) == TARGET
        assert (request.request_uri, routes_of(request)) == ("sip:bob@example.com", ["<sip:p1>"])

    def test_a_transport_that_we_have_not(self, impl: ModuleType) -> None:
        for uri in ("sips:bob@example.com", "sip:bob@example.com;transport=tcp"):
            assert refused(forward_request, make(impl, uri=uri), NODE) == (500, "no listener for the transport")


class TestBranch:
    """RFC 3261 16.11; RFC 5393."""

    def branch(self, impl: ModuleType, node=NODE, to=TARGET, **changes) -> str:
        request = make(impl, **changes)
        made = make_branch(request, node, to)
        forward_request(request, node, to)
        assert request.via.branch == made
        return made

    @pytest.mark.parametrize(
        "via",
        [
            VIA,
            "SIP/2.0/UDP 198.51.100.7:5062",
            "SIP/2.0/UDP 198.51.100.7:5062;branch=1",
            "SIP / 2.0 / UDP h;branch=z9hG4bK1",
        ],
    )
    def test_of_what_belongs_to_one_transaction(self, impl: ModuleType, via: str) -> None:
        branch = self.branch(impl, vias=[via])
        assert branch.startswith("z9hG4bK")
        for method, to_tag in (("INVITE", ""), ("CANCEL", ""), ("ACK", "x")):
            assert self.branch(impl, method=method, vias=[via], tags=("1", to_tag), mf=9) == branch

    def test_of_what_does_not(self, impl: ModuleType) -> None:
        old = "SIP/2.0/UDP 198.51.100.7:5062"
        branches = [
            self.branch(impl),
            self.branch(impl, uri="sip:carol@example.com"),
            self.branch(impl, vias=[VIA.replace("776", "777")]),
            self.branch(impl, vias=[VIA.replace("6000", "6001")]),
            self.branch(impl, routes=["<sip:p1;lr>"]),
            self.branch(impl, to=Hop("UDP", "192.0.2.12", 5060)),
            self.branch(impl, node=Node(Hop("UDP", "192.0.2.2", 5060), key=KEY)),
            self.branch(impl, node=Node(US, key=bytes(16))),
            self.branch(impl, vias=[old]),
            self.branch(impl, vias=[old], cseq=2),
            self.branch(impl, vias=[old], tags=("2", "")),
        ]
        assert len(set(branches)) == len(branches)

    def test_no_part_can_be_had_for_another(self, impl: ModuleType) -> None:
        """What one request has us sign of where it goes is nothing that we sign of where another's responses go."""
        sent = self.branch(impl, uri="sip:x", routes=["z9hG4bKy"], to=Hop("UDP", "h", 5062))
        answered = make(impl, vias=["SIP/2.0/UDP h:5062;branch=z9hG4bKy"])
        answered.set_header("Call-ID", "sip:x")
        assert sent[7:23] != make_branch(answered, NODE, TARGET)[23:]

    def test_both_implementations_make_the_same(self, both) -> None:
        for via in (VIA, f"{VIA}, {VIA}", "SIP/2.0/TCP [2001:db8::9]", "SIP/2.0/UDP h\r\n ;branch=z9hG4bK1"):
            for routes in ((), ("<sip:p1;lr>", "<sip:p2;lr>"), ("<sip:p1;lr>,\r\n <sip:p2;lr>",)):
                made = [make(impl, vias=[via], routes=routes) for impl in both]
                for message in made:
                    forward_request(message, NODE, TARGET, record_route=True)
                assert bytes(made[0]) == bytes(made[1])

    def test_siphash_is_that_of_its_paper(self) -> None:
        assert siphash(KEY, bytes(range(15))) == 0xA129CA6149BE45E5
        assert siphash(KEY, b"") == 0x726FDB47DD0E0E31

    @pytest.mark.parametrize("long", ["call_id", "uri", "tag"])
    def test_what_is_long_is_hashed_alike_and_comes_back(self, both, long: str) -> None:
        """Around the length from which on another hash is taken, and far beyond it."""
        for length in [*range(SHORT - 120, SHORT + 20), 60_000]:
            text, made = "a" * length, []
            for impl in both:
                request = make(
                    impl, uri=f"sip:{text}@h" if long == "uri" else "sip:h", tags=(text if long == "tag" else "1", "")
                )
                if long == "call_id":
                    request.set_header("Call-ID", text)
                forward_request(request, NODE, TARGET, record_route=True)
                made.append(request)
                assert forward_response(request.reply(200), NODE) == ("UDP", "198.51.100.7", 6000)
                back = make(impl, "BYE", uri="sip:b", routes=request.get_headers("Record-Route"), tags=("2", "1"))
                for name, value in (("Call-ID", request.call_id), ("To", request.get_header("From"))):
                    back.set_header(name, value)
                assert take_routes(back, NODE).hop == ("UDP", "198.51.100.7", 6000)
            assert bytes(made[0]) == bytes(made[1])

    def test_what_is_long_is_hashed_with_the_key(self, impl: ModuleType) -> None:
        text = "a" * SHORT
        assert impl.Message._sign(KEY, text) == f"{siphash(KEY, text.encode()):016x}"
        expected = hashlib.blake2b(f"{text}\na".encode(), key=KEY, digest_size=8).hexdigest()
        assert impl.Message._sign(KEY, text, "a") == expected
        assert impl.Message._sign(bytes(16), text, "a") != expected

    @pytest.mark.parametrize("character", ["a", "\u00e9", "\udcff"])
    @pytest.mark.parametrize("length", [0, 1, 2, SHORT - 1, SHORT, SHORT + 1, 65_535])
    def test_what_is_hashed_is_the_same_in_both(self, both, length: int, character: str) -> None:
        text = character * (length // len(character.encode("utf-8", "surrogateescape")))
        text += "b" * (length - len(text.encode("utf-8", "surrogateescape")))
        assert both[0].Message._sign(KEY, text) == both[1].Message._sign(KEY, text)
        parts = text[: length // 4], "", text[length // 4 :]
        assert both[0].Message._sign(KEY, *parts) == both[1].Message._sign(KEY, *parts)

    def test_a_loop_is_found_and_a_spiral_is_not(self, impl: ModuleType) -> None:
        request = make(impl, mf=9)
        forward_request(request, NODE, TARGET)
        request.push_via("SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKdownstream")
        before = bytes(request)
        assert refused(check_loop, request, NODE, TARGET) == (482, "request is in a loop")
        assert refused(forward_request, request, NODE, TARGET) == (482, "request is in a loop")
        assert bytes(request) == before
        check_loop(request, NODE, Hop("UDP", "192.0.2.12", 5060))
        request.request_uri = "sip:bob@192.0.2.99"
        check_loop(request, NODE, TARGET)
        forward_request(request, NODE, TARGET)
        assert [via.sent_by for via in request.vias].count("192.0.2.1:5060") == 2
        request.set_header("Via", [str(via) for via in request.vias])  # all of them on one line
        assert refused(forward_request, request, NODE, TARGET)[0] == 482

    @pytest.mark.parametrize(
        "vias", [[], ["nonsense"], ["SIP/2.0/UDP <null>;branch=z9hG4bK1"], ["SIP/2.0/U%P h"], [""]]
    )
    def test_a_via_that_cannot_be_answered(self, impl: ModuleType, vias) -> None:
        request = make(impl, vias=vias)
        before = bytes(request)
        assert refused(forward_request, request, NODE, TARGET)[0] == 400
        assert refused(make_branch, request, NODE, TARGET)[0] == 400
        assert bytes(request) == before


class TestForwardRequest:
    """RFC 3261 16.6."""

    @pytest.mark.parametrize(
        ("before", "after"), [(70, 69), (1, 0), (None, 70), (255, 70), (72, 70), (71, 70), ("007", 6)]
    )
    def test_max_forwards(self, impl: ModuleType, before, after: int) -> None:
        request = make(impl, mf=before)
        forward_request(request, NODE, TARGET)
        assert request.max_forwards == after

    @pytest.mark.parametrize(
        "lines", [b"max-forwards: 100", b"Max-Forwards: 100\r\nMax-Forwards: 100", b"MAX-FORWARDS: 9"]
    )
    def test_max_forwards_in_an_odd_spelling(self, both, lines: bytes) -> None:
        made = [impl.parse(bytes(make(impl)).replace(b"Max-Forwards: 70", lines)) for impl in both]
        for request in made:
            forward_request(request, NODE, TARGET)
        assert bytes(made[0]) == bytes(made[1])

    @pytest.mark.parametrize(("before", "status"), [(0, 483), ("x", 400), (256, 400)])
    def test_max_forwards_that_ends_it(self, impl: ModuleType, before, status: int) -> None:
        request = make(impl, mf=before)
        text = bytes(request)
        assert refused(forward_request, request, NODE, TARGET, record_route=True)[0] == status
        assert bytes(request) == text

    def test_what_is_on_top_and_nothing_else(self, impl: ModuleType) -> None:
        request = make(impl)
        text = str(request)
        assert forward_request(request, NODE, TARGET) is TARGET
        branch = request.via.branch
        assert str(request) == text.replace("Via:", f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\nVia:").replace(
            "Max-Forwards: 70", "Max-Forwards: 69"
        )
        assert not request.validate()

    def test_without_a_target_it_goes_where_it_says(self, impl: ModuleType) -> None:
        assert forward_request(make(impl, routes=["<sip:p1;lr>"]), NODE) == ("UDP", "p1", 5060)
        assert forward_request(make(impl, uri="sip:h:5099"), NODE) == ("UDP", "h", 5099)

    def test_double_record_route(self, impl: ModuleType) -> None:
        """RFC 5658."""
        tcp, tls = Hop("TCP", "10.0.0.2", 5060), Hop("TLS", "192.0.2.1", 5061)
        node = Node(US, tcp, tls, key=KEY)
        request = make(impl)
        forward_request(request, node, Hop("TCP", "10.0.0.9", 5060), record_route=True, came_to=US)
        starts = [str(route).partition(";hop")[0] for route in request.record_routes]
        assert starts == ["<sip:10.0.0.2:5060;transport=tcp;lr", "<sip:192.0.2.1:5060;lr"]
        assert request.via.sent_by == "10.0.0.2:5060"
        bye = make(impl, "BYE", routes=request.get_headers("Record-Route"), tags=("2", "1"))
        assert take_routes(bye, node) == (True, True, ("UDP", "198.51.100.7", 6000))
        assert bye.routes == ()
        secure = make(impl, uri="sips:bob@example.com")
        forward_request(secure, node, Hop("TLS", "10.0.0.9", 5061), record_route=True, came_to=tls)
        assert [str(route).partition(";hop")[0] for route in secure.record_routes] == ["<sips:192.0.2.1:5061;lr"]
        plain = make(impl)
        forward_request(plain, node, Hop("TLS", "10.0.0.9", 5061), record_route=True)
        assert str(plain.record_routes[0]).startswith("<sip:192.0.2.1:5061;transport=tls;lr;")


class TestOneLine:
    """Several hops on one line are read as those on lines of their own."""

    @pytest.mark.parametrize(
        "line",
        [
            "<sip:p1;lr>, <sip:p2:5070;transport=tcp;lr>",
            "<sip:p1;lr>,<sip:p2;lr;hop=UDP/192.0.2.9:5060/0123456789abcdef>,\t<sip:p3;lr>",
            '"x, y" <sip:p1;lr> , P 2 <sip:p2;lr>;a=b',
            "<sip:p1;lr>,, <sip:p2;lr>",
            ", <sip:p1;lr>",
            "<sip:p1;lr>,",
            "<sip:p1;lr>, sip:p2;lr",
            "<sip:p1,2;lr>, <sip:p2;lr>",
            "<sip:p1;lr>, <sip:p2",
            "<sip:p1;lr> (a, b), <sip:p2>",
            "<sip:p1;lr>, <sip:a b>",
        ],
    )
    @pytest.mark.parametrize("name", ["Route", "Record-Route", "Contact"])
    def test_both_read_the_same(self, both, line: str, name: str) -> None:
        def read(impl: ModuleType) -> object:
            message = make(impl)
            message.add_header(name, line)
            try:
                return getattr(message, {"Route": "routes", "Record-Route": "record_routes"}.get(name, "contacts"))
            except HeaderError as error:
                return str(error), error.offset

        assert read(both[0]) == read(both[1])

    def test_a_double_record_route(self, impl: ModuleType) -> None:
        node = Node(US, Hop("TCP", "10.0.0.2", 5060), key=KEY)
        request = make(impl)
        forward_request(request, node, Hop("TCP", "10.0.0.9", 5060), record_route=True, came_to=US)
        lines = request.get_headers("Record-Route")
        for routes in (lines, [", ".join(lines)]):
            bye = make(impl, "BYE", routes=routes, tags=("2", "1"))
            assert take_routes(bye, node) == (True, True, ("UDP", "198.51.100.7", 6000))
            assert bye.routes == ()
            assert take_routes(make(impl, "BYE", routes=routes), node) == (True, True, None)

    def test_of_two_of_ours_either_may_be_signed(self, impl: ModuleType, both) -> None:
        request = make(impl)
        forward_request(request, NODE, TARGET, record_route=True)
        signed = request.get_header("Record-Route")
        forged = signed.replace("198.51.100.7", "203.0.113.9")
        ours = "<sip:192.0.2.1:5060;lr>"
        there = (True, True, ("UDP", "198.51.100.7", 6000))
        for routes, taken in (
            ([ours, signed], there),
            ([signed, ours], there),
            ([forged, signed], there),
            ([signed, forged], there),
            ([forged, ours], (True, False, None)),
            ([ours, ours], (True, False, None)),
            ([ours, ours, signed], (True, False, None)),
        ):
            for lines in (routes, [",".join(routes)]):
                bye = make(impl, "BYE", routes=lines, tags=("2", "1"))
                assert take_routes(bye, NODE) == taken
                assert bye.routes == ()
        for lines in (["", signed], [signed, ""], [f"{signed},"], [f", {signed}"], [f"{signed},,{ours}"]):
            byes = [make(each, "BYE", routes=lines, tags=("2", "1")) for each in both]
            assert [take_routes(bye, NODE) for bye in byes] == [there, there]
            assert bytes(byes[0]) == bytes(byes[1])
        left = make(impl, "BYE", routes=[f"{signed}, <sip:p1;lr>"], tags=("2", "1"))
        assert take_routes(left, NODE) == there
        assert routes_of(left) == ["<sip:p1;lr>"]


class TestSignedRecordRoute:
    """A Record-Route of ours names where the one who sent the request is reached."""

    @pytest.fixture
    def record_route(self, impl: ModuleType) -> str:
        request = make(impl)
        forward_request(request, NODE, TARGET, record_route=True)
        route: str = request.get_header("Record-Route")
        return route

    def test_the_other_side_is_sent_there(self, impl: ModuleType, record_route: str) -> None:
        bye = make(impl, "BYE", "sip:alice@10.9.9.9", routes=[record_route], tags=("2", "1"))
        assert take_routes(bye, NODE) == (True, True, ("UDP", "198.51.100.7", 6000))

    def test_and_the_side_that_is_named_is_not(self, impl: ModuleType, record_route: str) -> None:
        assert take_routes(make(impl, "ACK", routes=[record_route], tags=("1", "2")), NODE) == (True, True, None)

    def test_by_a_strict_router_too(self, impl: ModuleType, record_route: str) -> None:
        bye = make(impl, "BYE", record_route.strip("<>"), routes=["<sip:alice@10.9.9.9>"], tags=("2", "1"))
        assert take_routes(bye, NODE) == (True, True, ("UDP", "198.51.100.7", 6000))
        assert bye.request_uri == "sip:alice@10.9.9.9"

    @pytest.mark.parametrize(
        ("old", "new"), [("198.51.100.7", "203.0.113.9"), (":6000", ":6001"), ("hop=UDP", "hop=TCP"), (">", "0>")]
    )
    def test_not_where_a_letter_is_another(self, impl: ModuleType, record_route: str, old: str, new: str) -> None:
        bye = make(impl, "BYE", routes=[record_route.replace(old, new)], tags=("2", "1"))
        assert take_routes(bye, NODE) == (True, False, None)

    def test_nor_in_another_dialog(self, impl: ModuleType, record_route: str) -> None:
        for tags in (("2", "3"), ("2", "")):
            assert not take_routes(make(impl, "BYE", routes=[record_route], tags=tags), NODE).signed
        bye = make(impl, "BYE", routes=[record_route], tags=("2", "1"))
        bye.set_header("Call-ID", "other")
        assert not take_routes(bye, NODE).signed
        assert not take_routes(make(impl, "BYE", routes=[record_route], tags=("2", "1")), Node(US)).signed

    @pytest.mark.parametrize("sender", ["<sip:alice@example.com>;\r\n tag=1", '"a\\"b" <sip:alice@example.com>;tag=1'])
    def test_a_sender_of_an_odd_shape_is_the_same_one(self, impl: ModuleType, record_route: str, sender: str) -> None:
        """Both tags alike: From decides."""
        text = str(make(impl, "BYE", routes=[record_route], tags=("1", "1")))
        bye = impl.parse(text.replace("<sip:alice@example.com>;tag=1", sender))
        assert take_routes(bye, NODE) == (True, True, None)

    def test_ipv6(self, impl: ModuleType) -> None:
        request = make(impl, vias=["SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1"])
        forward_request(request, NODE, TARGET, record_route=True)
        bye = make(impl, "BYE", routes=request.get_headers("Record-Route"), tags=("2", "1"))
        assert take_routes(bye, NODE).hop == ("UDP", "2001:db8::9", 5062)
        assert not bye.validate()


class TestForwardResponse:
    """RFC 3261 16.7, 16.11, 18.1.2, 18.2.2."""

    @pytest.mark.parametrize(
        "via",
        [
            VIA,
            "SIP/2.0/UDP 198.51.100.7:5062",
            "SIP/2.0/TCP [2001:db8::9];branch=z9hG4bK1",
            f"{VIA}, SIP/2.0/UDP far.example;branch=z9hG4bK2",
            "SIP / 2.0 / UDP h ;branch=z9hG4bK1",
        ],
    )
    def test_back_to_where_its_request_came_from(self, impl: ModuleType, via: str) -> None:
        request = make(impl, vias=[via, "SIP/2.0/UDP far.example;branch=z9hG4bK3"])
        below = request.get_headers("Via")
        hop = Hop.of_via(request.via)
        forward_request(request, NODE, TARGET)
        for status in (100, 200, 404):
            response = request.reply(status, to_tag="x")
            assert forward_response(response, NODE) == hop
            assert response.get_headers("Via") == below
            one_line = request.reply(status, to_tag="x")
            one_line.set_header("Via", ", ".join(request.get_headers("Via")))
            assert forward_response(one_line, NODE) == hop

    def test_of_another_listener_of_ours(self, impl: ModuleType) -> None:
        node = Node(US, Hop("TCP", "192.0.2.1", 5070), key=KEY)
        request = make(impl)
        forward_request(request, node, Hop("TCP", "192.0.2.11", 5060))
        assert forward_response(request.reply(200), node) == ("UDP", "198.51.100.7", 6000)

    def response(self, impl: ModuleType, edit) -> Message:
        request = make(impl)
        forward_request(request, NODE, TARGET)
        vias = request.get_headers("Via")
        response = request.reply(200, to_tag="x")
        response.remove_header("Via")
        for via in reversed(edit(*vias)):
            response.push_via(via)
        return response

    @pytest.mark.parametrize(
        "edit",
        [
            lambda _ours, _below: [],
            lambda ours, _below: [ours],
            lambda _ours, below: [below, below],
            lambda ours, below: [ours.replace("192.0.2.1", "192.0.2.2"), below],
            lambda ours, below: [ours.partition(";")[0], below],
            lambda ours, below: [ours[:-1] + chr(ord(ours[-1]) ^ 1), below],
            lambda ours, below: [ours + "0", below],
            lambda ours, below: [ours, below.replace("198.51.100.7;", "203.0.113.9;")],
            lambda ours, below: [ours, below.replace("rport=6000", "rport=53")],
            lambda ours, below: [ours, below.replace("776", "777")],
            lambda ours, below: [ours, below.replace("UDP", "TCP")],
            lambda ours, below: [ours, "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKvictim", below],
            lambda ours, _below: [ours, "nonsense"],
            lambda ours, _below: ["nonsense", ours],
        ],
    )
    def test_what_is_dropped(self, impl: ModuleType, edit) -> None:
        response = self.response(impl, edit)
        before = bytes(response)
        refused(forward_response, response, NODE)
        assert bytes(response) == before

    def test_one_hop_for_one_peer(self, impl: ModuleType) -> None:
        """So its address is one tuple, by which a batch knows it; what is kept has an end."""
        node = Node(US, key=KEY)
        for number in range(3000):
            request = make(impl, vias=[VIA.replace("6000", str(6000 + number % 1500))])
            forward_request(request, node, TARGET, record_route=True)
            hop = forward_response(request.reply(200), node)
            assert hop == ("UDP", "198.51.100.7", 6000 + number % 1500)
        assert 0 < len(node._named) <= 1024 or impl.__name__.endswith("_py")

    def test_nor_is_more_kept_for_many_addresses_of_ours(self, impl: ModuleType) -> None:
        """One hop for one peer, whatever address of ours its messages come to."""
        node, hops = Node(Hop("UDP", "::", 5060), Hop("UDP", "192.0.2.1", 5060), key=KEY), []
        for local in ("2001:db8::1", "2001:db8::2"):
            here = node.at(PeerAddress("2001:db8::7", 5062, (local, 5060)))
            request = make(impl)
            forward_request(request, here, Hop("UDP", "2001:db8::11", 5060))
            hops.append(forward_response(request.reply(200), here))
        assert hops[0] == hops[1]
        assert hops[0] is hops[1] or impl.__name__.endswith("_py")

    def test_what_is_malformed_further_down_is_not_ours_to_judge(self, impl: ModuleType) -> None:
        response = self.response(impl, lambda ours, below: [ours, below, "nonsense"])
        assert forward_response(response, NODE) == ("UDP", "198.51.100.7", 6000)


def test_the_docstrings_have_one_source(both) -> None:
    for name in ("take_routes", "forward_request", "forward_response"):
        docs = [inspect.getdoc(getattr(module, name)) for module in both]
        assert docs[0] == docs[1]
        assert docs[0]


def test_two_proxies_pointed_at_each_other(impl: ModuleType) -> None:
    one, other = Hop("UDP", "192.0.2.1", 5060), Hop("UDP", "192.0.2.2", 5060)
    nodes = [(Node(one, key=KEY), other), (Node(other, key=KEY), one)]
    request = make(impl)
    forward_request(request, *nodes[0])
    forward_request(request, *nodes[1])
    assert refused(forward_request, request, *nodes[0])[0] == 482
