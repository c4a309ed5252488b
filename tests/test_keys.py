"""Identities of messages and what a client makes of its INVITE: transactions (RFC 3261 17, 9), dialogs (12)."""

import multiprocessing
import os
import re
import subprocess
import sys
import threading
from functools import partial

import pytest
from agreement import outcome
from growth import assert_linear, fill

import sipstack
from sipstack import HeaderError, NameAddr, SerializeError, SipUri, Via
from sipstack._limits import DEFAULT_PORTS
from sipstack._values import canonical_host

INVITE = (
    "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bKkjshdyff\r\n"
    "To: Bob <sip:bob@biloxi.example.com>\r\n"
    "From: Alice <sip:alice@atlanta.example.com>;tag=88sja8x\r\n"
    "Max-Forwards: 70\r\n"
    "Call-ID: 987asjd97y7atg\r\n"
    "CSeq: 986759 INVITE\r\n\r\n"
)
"""The INVITE of RFC 3261 17.1.1.3."""


def request(method="INVITE", via="SIP/2.0/UDP h;branch=z9hG4bKa", to="<sip:b@h>", **changes):
    headers = {"Via": via, "From": "<sip:a@h>;tag=f", "To": to, "Call-ID": "c@h", "CSeq": f"7 {method}"}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items() if value is not None])
    return f"{method} sip:b@h SIP/2.0\r\n{lines}\r\n".encode()


# --- the key of a transaction


def test_the_key_of_the_rfcs_example(impl):
    invite = impl.parse(INVITE)
    assert invite.transaction_key() == "z9hg4bkkjshdyff pc33.atlanta.example.com:5060 INVITE"
    assert {invite.transaction_key(): 1}[impl.parse(INVITE).transaction_key()] == 1


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP h;branch=z9hG4bKa",
        "SIP/2.0/UDP H:5060;rport;branch=Z9HG4BKA",  # parameters and hosts have no case (7.3.1)
        "SIP/2.0/UDP h;received=192.0.2.1;rport=9;branch=z9hG4bKa, SIP/2.0/UDP other;branch=z9hG4bKother",
        ", ,SIP/2.0/UDP h;branch=z9hG4bKa,",
        "SIP / 2.0 / TCP\r\n\th : 5060 ;branch = z9hG4bKa",
        'SIP/2.0/UDP h;x="a, b;branch=z9hG4bKother";branch=z9hG4bKa',
        "SIP/2.0/UDP h;;a;b;c;d;e;f;g;i;branch=z9hG4bKa;maddr=224.2.0.1;ttl=1",
        "SIP/2.0/UDP h:0;branch=z9hG4bKa",
    ],
)
def test_one_hop_in_many_spellings(impl, via):
    assert impl.parse(request(via=via)).transaction_key() == "z9hg4bka h:5060 INVITE"


@pytest.mark.parametrize(
    ("sent_by", "text"),
    [
        ("UDP h:5061", "h:5061"),
        ("TLS h", "h:5061"),
        ("tls h", "h:5061"),
        ("TLS-SCTP h", "h:5061"),
        ("WS h", "h:80"),
        ("WSS h", "h:443"),
        ("SCTP h", "h:5060"),
        ("WSSS h", "h:5060"),
        ("UDP h:65535", "h:65535"),
        ("UDP 192.0.2.1", "192.0.2.1:5060"),
        ("UDP [2001:DB8::1]:5070", "[2001:db8::1]:5070"),
        ("UDP [2001:db8:0:0:0:0:0:1]", "[2001:db8::1]:5060"),
        ("UDP [2001:0db8:0:1::00]", "[2001:db8:0:1::]:5060"),
        ("UDP [::]", "[::]:5060"),
        ("UDP [1:0:0:2:0:0:0:3]", "[1:0:0:2::3]:5060"),
        ("UDP [1:0:0:2:3:0:0:4]", "[1::2:3:0:0:4]:5060"),
        ("UDP [1:2:3:4:5:6:7:0]", "[1:2:3:4:5:6:7:0]:5060"),
        ("UDP [1:2:3:4:5:6::]", "[1:2:3:4:5:6::]:5060"),
        ("UDP [::ffff:c000:201]", "[::ffff:192.0.2.1]:5060"),
        ("UDP [::ffff:192.0.2.1]", "[::ffff:192.0.2.1]:5060"),
        ("UDP [::192.0.2.1]", "[::c000:201]:5060"),
        ("UDP [::1:2]", "[::1:2]:5060"),
        ("UDP 0398765", "0398765:5060"),
        ("UDP <null>", "<null>:5060"),
    ],
)
def test_the_sent_by(impl, sent_by, text):
    """It is part of the key: clients of different hosts may make one branch (17.2.3)."""
    message = impl.parse(request(via=f"SIP/2.0/{sent_by};branch=z9hG4bKa"))
    assert message.transaction_key() == f"z9hg4bka {text} INVITE"


def test_ipv6_addresses_are_written_as_canonical_host_does(both):
    compiled, plain = both
    for groups in range(3**8):
        texts = []
        for _ in range(8):
            groups, digit = divmod(groups, 3)
            texts.append(("0", "ffff", "A0")[digit])
        data = request(via=f"SIP/2.0/UDP [{':'.join(texts)}];branch=z9hG4bKa")
        key = compiled.parse(data).transaction_key()
        assert key == f"z9hg4bka {canonical_host(':'.join(texts))}:5060 INVITE"
    assert key == plain.parse(data).transaction_key()


def test_default_ports_are_those_of_limits(impl):
    for transport, port in {**DEFAULT_PORTS, "UDP": 5060, "TCP": 5060}.items():
        message = impl.parse(request(via=f"SIP/2.0/{transport} h;branch=z9hG4bKa"))
        assert message.transaction_key().split() == ["z9hg4bka", f"h:{port}", "INVITE"]
        assert message.via.response_address[1] == port


@pytest.mark.parametrize("method", ["INVITE", "BYE", "PUBLISH", "x-New"])
def test_a_sent_request_and_its_response(impl, method):
    sent = impl.parse(request(method))
    received = impl.parse(bytes(sent))
    received.stamp_received("192.0.2.1", 5070)
    response = impl.parse(bytes(received.reply(200)))
    assert response.transaction_key() == received.transaction_key() == sent.transaction_key()
    assert response.transaction_key().endswith(f" {method}")


@pytest.mark.parametrize("branch", ["branch=z9hG4bKa", "branch=1", "x", "branch=z9hG4bK"])
def test_who_shares_a_transaction(impl, branch):
    """Also by RFC 2543, where the branch is no transaction's, and RFC 4475's branch that is a cookie alone."""
    via = f"SIP/2.0/UDP h;{branch}"
    invite = impl.parse(request(via=via))
    key = invite.transaction_key()
    response = invite.reply(486)
    ack = impl.parse(request("ACK", via, to=response.get_header("To")))
    cancel = impl.parse(request("CANCEL", via))
    assert ack.transaction_key() == response.transaction_key() == key
    assert cancel.transaction_key() != key
    assert cancel.transaction_key("INVITE") == key
    assert cancel.reply(200).transaction_key() == cancel.transaction_key()
    others = {impl.parse(data).transaction_key() for data in (
        request(via="SIP/2.0/UDP h;branch=z9hG4bKb"), request(via=via.replace("h;", "h2;")),
        request(via=via.replace("h;", "h:5061;")),
        request("BYE", via), request("invite", via),
    )}  # fmt: skip
    assert len(others | {key}) == 6


def test_what_a_transaction_of_rfc_2543_is(impl):
    via = "SIP/2.0/UDP h"
    assert impl.parse(request(via=via)).transaction_key() == " h:5060 INVITE 7 f c@h"
    assert impl.parse(request(via=via, From="<sip:a@h>", CSeq="007\tINVITE")).transaction_key() == (
        " h:5060 INVITE 7  c@h"
    )
    changed = [{"CSeq": "8 INVITE"}, {"From": "<sip:a@h>;tag=g"}, {"Call_ID": "C@h"}, {"From": "<sip:a@h>"}]
    keys = {impl.parse(request(via=via, **change)).transaction_key() for change in ({}, *changed)}
    assert len(keys) == 5
    rfc4475 = "INVITE sip:u@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n" + "".join(
        ["From: <sip:+13035551111@ift.client.example.net;user=phone>\r\n", "To: sip:+16505552222@ss1.example.net\r\n",
         "Call-ID: inv2543.1717@ift.client.example.com\r\n", "CSeq: 56 INVITE\r\n\r\n"]
    )  # fmt: skip
    key = impl.parse(rfc4475).transaction_key()
    assert key == " iftgw.example.com:5060 INVITE 56  inv2543.1717@ift.client.example.com"


@pytest.mark.parametrize(
    ("change", "header", "reason"),
    [
        ({"via": None}, "Via", "missing"),
        ({"via": "SIP/2.0"}, "Via", "Via is not protocol/version/transport and host"),
        ({"via": "SIP/2.0/UDP h", "CSeq": None}, "CSeq", "missing"),
        ({"via": "SIP/2.0/UDP h", "From": None}, "From", "missing"),
        ({"via": "SIP/2.0/UDP h", "Call_ID": None}, "Call-ID", "missing"),
        ({"via": "SIP/2.0/UDP h", "CSeq": "x INVITE"}, "CSeq", "CSeq is not a number and a method"),
    ],
)
def test_a_message_without_a_key(impl, change, header, reason):
    """One key for all of these would be one transaction: the error is the request's, and its status 400."""
    with pytest.raises(HeaderError) as caught:
        impl.parse(request(**change)).transaction_key()
    assert (caught.value.header, caught.value.status) == (header, 400)
    assert reason in caught.value.reason or header == "CSeq"


def test_a_request_needs_no_more_than_its_via(impl):
    assert impl.parse("BYE sip:a@h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n").transaction_key()
    with pytest.raises(HeaderError, match="CSeq: missing"):
        impl.parse("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n").transaction_key()


def test_the_method_that_is_asked_for(impl):
    cancel = impl.parse(request("CANCEL"))
    assert cancel.transaction_key("ACK") == cancel.transaction_key("INVITE")
    assert cancel.transaction_key("\u00e9").endswith(" \u00e9")
    with pytest.raises(TypeError):
        cancel.transaction_key(b"INVITE")


@pytest.mark.parametrize(
    "via",
    [
        ("SIP/2.0/UDP h;branch=z9hG4bK", "a", ""),
        ("SIP/2.0/UDP h;branch=z9hG4bKa", ";x", ""),
        ("SIP/2.0/UDP h;branch=z9hG4bKa", ",", ""),
        ('SIP/2.0/UDP h;branch=z9hG4bKa;x="', "\\,", ""),
        ("SIP/2.0/UDP ", "h.", "h;branch=z9hG4bKa"),
        ("SIP/2.0/UDP [", ":", "];branch=z9hG4bKa"),
        ("SIP/2.0/UDP h;branch=z9hG4bKa", ", SIP/2.0/UDP h", ""),
        ("", ";branch=", ""),
    ],
)
def test_hostile_vias_cost_little(both, via):
    def key(implementation, size):
        start, piece, end = via
        message = implementation.parse(request(via=start + fill(piece, size) + end), max_size=1 << 20)
        return partial(outcome, message.transaction_key)

    compiled, plain = (key(implementation, 60_000)() for implementation in both)
    assert compiled == plain
    for implementation in both:
        assert_linear(partial(key, implementation))


# --- the dialog


def test_a_dialog_from_both_ends(impl):
    """RFC 3261 12: the Call-ID, the local tag, the remote tag."""
    invite = impl.parse(request(to="<sip:b@h>", From="Alice <sip:a@h>;tag=Alice"))
    ok = invite.reply(200, to_tag="Bob")
    bye = impl.parse(request("BYE", to="<sip:b@h>;tag=Bob", From="<sip:a@h>;tag=Alice"))
    from_bob = impl.parse(request("BYE", to="<sip:a@h>;tag=Alice", From='"B" <sip:b@h>;x=y;tag=Bob'))
    alice, bob = "c@h alice bob", "c@h bob alice"
    assert invite.dialog_id() is invite.dialog_id(sent=True) is None
    assert ok.dialog_id() == bye.dialog_id(sent=True) == from_bob.dialog_id() == alice
    assert ok.dialog_id(sent=True) == bye.dialog_id() == from_bob.dialog_id(sent=True) == bob
    assert bye.reply(200).dialog_id() == alice
    assert from_bob.reply(200).dialog_id() == bob
    assert invite.reply(100).dialog_id() is None
    assert bye.dialog_id(sent="yes") == bye.dialog_id(sent=1) == alice


def test_early_dialogs(impl):
    forks = [impl.parse(request()).reply(180, to_tag=tag) for tag in ("one", "two")]
    assert [fork.dialog_id() for fork in forks] == ["c@h f one", "c@h f two"]
    assert forks[0].transaction_key() == forks[1].transaction_key()


@pytest.mark.parametrize(
    "change",
    [
        {"to": "Bob\r\n <sip:b@h>\r\n ;x=y ; TAG = T"},
        {"to": '"B, \\"b\\"" <sip:b:pw@h?x=y>;x="a;tag=z";tag=t'},
        {"to": "sip:b@h;tag=T", "From": "sip:a@h;tag=f"},
        {"to": "<sip:b@h;tag=no>;;tag=t", "From": "<tel:+1>;tag=F"},
    ],
)
def test_a_dialog_in_many_spellings(impl, change):
    assert impl.parse(request("BYE", **change)).dialog_id() == "c@h t f"


def test_a_dialog_with_a_peer_of_rfc_2543(impl):
    """12.1.1: a missing From tag is null."""
    assert impl.parse(request("BYE", to="<sip:b@h>;tag=t", From="<sip:a@h>")).dialog_id() == "c@h t "


def test_a_call_id_has_its_case_and_any_letters(impl):
    to = "<sip:b@h>;tag=t"
    assert impl.parse(request("BYE", to=to, Call_ID="\u00e9\u20acA@H")).dialog_id() == "\u00e9\u20acA@H t f"
    raw = request("BYE", to=to, Call_ID="X").replace(b"X", b"\xff")
    assert impl.parse(raw).dialog_id() == "\udcff t f"


@pytest.mark.parametrize(("name", "given"), [("to", None), ("From", None), ("Call_ID", None), ("From", "<<"),
                                             ("to", "<sip:b@h>;tag=t, x")])  # fmt: skip
def test_a_message_without_a_dialog_id(impl, name, given):
    with pytest.raises(HeaderError) as caught:
        impl.parse(request("BYE", **{"to": "<sip:b@h>;tag=t", name: given})).dialog_id()
    assert caught.value.header == name.replace("_", "-").title().replace("Id", "ID")


def test_long_tags_cost_little(both):
    def dialog_id(implementation, size):
        return implementation.parse(request("BYE", to="<sip:b@h>;tag=" + "T" * size), max_size=1 << 20).dialog_id

    compiled, plain = (dialog_id(implementation, 60_000)() for implementation in both)
    assert compiled == plain is not None
    for implementation in both:
        assert_linear(partial(dialog_id, implementation))


# --- what a client makes of its INVITE


def test_the_ack_of_the_rfcs_example(impl):
    """RFC 3261 17.1.1.3, letter by letter but for the Content-Length and the order."""
    invite = impl.parse(INVITE)
    response = invite.reply(404, to_tag="99sa0xk")
    ack = invite.ack(response)
    assert bytes(ack).decode() == (
        "ACK sip:bob@biloxi.example.com SIP/2.0\r\n"
        "Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bKkjshdyff\r\n"
        "Max-Forwards: 70\r\n"
        "From: Alice <sip:alice@atlanta.example.com>;tag=88sja8x\r\n"
        "To: Bob <sip:bob@biloxi.example.com>;tag=99sa0xk\r\n"
        "Call-ID: 987asjd97y7atg\r\n"
        "CSeq: 986759 ACK\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    assert ack.transaction_key() == invite.transaction_key()
    assert ack.validate() == []


def test_the_cancel_of_an_invite(impl):
    invite = impl.parse(INVITE)
    cancel = invite.cancel()
    assert bytes(cancel) == bytes(invite.ack(invite.reply(486))).replace(b"ACK", b"CANCEL").replace(
        cancel_to(invite.ack(invite.reply(486))), cancel_to(cancel)
    )
    assert cancel.get_header("To") == invite.get_header("To")
    assert cancel.transaction_key("INVITE") == invite.transaction_key()
    assert cancel.validate() == []
    assert cancel.reply(200).to_tag == invite.reply(487).to_tag  # 9.2


def cancel_to(message):
    return f"To: {message.get_header('To')}\r\n".encode()


ODD = (
    "INVITE sip:b@h;x=y?z=1 SIP/2.0\r\n"
    'v: SIP/2.0/UDP\r\n h:5070;branch=z9hG4bKa;x="a,b" , SIP/2.0/UDP h2;branch=z9hG4bKb\r\n'
    "Via: SIP/2.0/UDP h3\r\n"
    "Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n"
    "Record-Route: <sip:r>\r\n"
    'f: "A, \\"\\\x01" <sip:a@h>;tag=f\r\n'
    "t: \u00e9 <sip:b@h>\r\n"
    "i: c\udcff\r\n"
    "CSeq:   0007\r\n\tINVITE\r\n"
    "Route: <sip:p3>\r\n"
    "Require: 100rel\r\nProxy-Require: x\r\nAuthorization: Digest a=b\r\nContact: <sip:a@h>\r\nMax-Forwards: 3\r\n"
    "Content-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"
).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("method", ["CANCEL", "ACK"])
def test_what_is_copied_and_what_is_not(impl, method):
    """One Via, the top one alone, where Vias share a line too (17.1.1.3, 9.1); every Route; no Require (9.1)."""
    invite = impl.parse(ODD)
    made = invite.cancel() if method == "CANCEL" else invite.ack(impl.parse(ODD).reply(486, to_tag="t"))
    assert made.headers.items() == [
        ("Via", 'SIP/2.0/UDP h:5070;branch=z9hG4bKa;x="a,b"'),
        ("Route", "<sip:p1;lr>, <sip:p2;lr>"),
        ("Route", "<sip:p3>"),
        ("Max-Forwards", "70"),
        ("From", '"A, \\"\\\x01" <sip:a@h>;tag=f'),
        ("To", "\u00e9 <sip:b@h>" + ("" if method == "CANCEL" else ";tag=t")),
        ("Call-ID", "c\udcff"),
        ("CSeq", f"7 {method}"),
        ("Content-Length", "0"),
    ]
    assert (made.method, made.request_uri, made.body) == (method, "sip:b@h;x=y?z=1", b"")
    assert bytes(invite) == ODD
    assert impl.parse(bytes(made)) == made


def test_an_ack_has_the_to_of_the_response(impl):
    invite = impl.parse(request())
    response = invite.reply(600)
    response.set_header("To", "Somebody <sip:else@h>;tag=t")
    assert invite.ack(response).get_header("To") == "Somebody <sip:else@h>;tag=t"


@pytest.mark.parametrize("status", [100, 180, 199, 200, 202, 299])
def test_no_ack_of_this_kind_to_these(impl, status):
    invite = impl.parse(request())
    with pytest.raises(ValueError, match=re.escape("13.2.2.4")):
        invite.ack(invite.reply(status))


def test_what_no_ack_and_no_cancel_is_made_of(impl):
    invite, options = impl.parse(request()), impl.parse(request("OPTIONS"))
    for call in (options.cancel, invite.reply(486).cancel, lambda: options.ack(options.reply(404)),
                 lambda: invite.ack(invite), lambda: invite.reply(486).ack(invite.reply(486))):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    with pytest.raises((TypeError, AttributeError)):
        invite.ack(None)
    with pytest.raises(HeaderError, match="To: missing"):
        invite.ack(impl.parse("SIP/2.0 486 Busy\r\n\r\n"))


@pytest.mark.parametrize(("name", "given"), [("via", None), ("via", ", ,"), ("to", None), ("From", None),
                                             ("Call_ID", None), ("CSeq", None), ("CSeq", "INVITE")])  # fmt: skip
def test_an_invite_that_lacks_something(impl, name, given):
    invite = impl.parse(request(**{name: given}))
    with pytest.raises(HeaderError) as caught:
        invite.cancel()
    assert caught.value.header.lower() == name.replace("_", "-").lower()


# --- routes


HOPS = "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>"


def test_the_route_set(impl):
    """12.1.1: a UAS takes it as it stands; 12.1.2: a UAC in reverse."""
    invite = impl.parse(request(Record_Route=HOPS))
    ok = invite.reply(200)
    assert [str(hop.uri.host) for hop in invite.route_set] == ["p1.example.com", "p2.example.com"]
    assert ok.route_set == invite.route_set[::-1]
    assert impl.parse(request()).route_set == ()
    with pytest.raises(HeaderError):
        impl.parse(request(Record_Route="<sip:")).route_set  # noqa: B018


def hops(text):
    return tuple(NameAddr.parse(part) for part in text.split(", ") if part)


@pytest.mark.parametrize(
    ("target", "routes", "uri", "route"),
    [
        ("sip:callee@u2.domain.com", "", "sip:callee@u2.domain.com", None),
        ("sip:a@h", HOPS, "sip:a@h", HOPS),
        # The example of 12.2.1.1.
        ("sip:user@remoteua", "<sip:proxy1>, <sip:proxy2>, <sip:proxy3;lr>, <sip:proxy4>", "sip:proxy1",
         "<sip:proxy2>, <sip:proxy3;lr>, <sip:proxy4>, <sip:user@remoteua>"),
        ("sip:user@remoteua", '"x" <sip:proxy1;method=BYE?Subject=y>;z=1', "sip:proxy1", "<sip:user@remoteua>"),
        (SipUri("h", user="a", params={"method": "BYE"}, headers={"x": "y"}), "<sip:p;lr=on>", "sip:a@h",
         "<sip:p;lr=on>"),
        (SipUri("h", user="a", params={"transport": "tcp", "method": "BYE"}), "<sip:p>", "sip:p",
         "<sip:a@h;transport=tcp>"),
        ("tel:+1", "<sip:p>, <sip:q;lr>", "sip:p", "<sip:q;lr>, <tel:+1>"),
        ("sip:a@h", "<tel:+1>", "tel:+1", "<sip:a@h>"),
        ("sip:a@h", "<sip:p;LR>", "sip:a@h", "<sip:p;LR>"),
    ],
)  # fmt: skip
def test_where_a_request_of_a_dialog_goes(impl, target, routes, uri, route):
    bye = impl.parse(request("BYE", Route="<sip:old>", Subject="s").replace(b"Subject", b"Route: <sip:old2>\r\nS"))
    bye.set_route(target, hops(routes))
    assert (bye.request_uri, bye.get_header("Route")) == (uri, route)
    assert len(bye.get_headers("Route")) == (route is not None)
    assert impl.parse(bytes(bye)) == bye


def test_a_dialog_as_it_is_set_up(impl):
    """Both ends, through a proxy that is loose and one that is strict, meet the same hops."""
    invite = impl.parse(request(Record_Route="<sip:p2;lr>, <sip:p1;lr>", Contact="<sip:alice@a:5070>"))
    ok = invite.reply(200, headers={"Contact": "<sip:bob@b>"})
    ack = impl.Message.request("ACK", "sip:x")
    ack.set_route(ok.contacts[0].uri, ok.route_set)
    bye = impl.Message.request("BYE", "sip:x")
    bye.set_route(invite.contacts[0].uri, invite.route_set)
    assert (ack.request_uri, ack.get_header("Route")) == ("sip:bob@b", "<sip:p1;lr>, <sip:p2;lr>")
    assert (bye.request_uri, bye.get_header("Route")) == ("sip:alice@a:5070", "<sip:p2;lr>, <sip:p1;lr>")


@pytest.mark.parametrize(
    ("target", "routes", "error"),
    [
        ("", "", SerializeError),
        ("sip:a b", "<sip:p;lr>", SerializeError),
        ("no uri", "<sip:p>", SerializeError),
        (None, "", TypeError),
        (NameAddr("sip:a@h"), "", TypeError),
    ],
)
def test_a_route_that_cannot_be_set_changes_nothing(impl, target, routes, error):
    bye = impl.parse(request("BYE", Route="<sip:old>"))
    before = bytes(bye)
    with pytest.raises(error):
        bye.set_route(target, hops(routes))
    assert bytes(bye) == before
    with pytest.raises(TypeError):
        bye.reply(200).set_route("sip:a@h", ())


# --- random words


def test_random_words():
    branches = {sipstack.random_branch() for _ in range(2000)}
    tokens = {sipstack.random_token() for _ in range(2000)}
    assert len(branches) == len(tokens) == 2000
    assert all(re.fullmatch("z9hG4bK[0-9a-f]{24}", branch) for branch in branches)
    assert all(re.fullmatch("[0-9a-f]{24}", token) for token in tokens)
    via = Via("h", branch=sipstack.random_branch())
    assert NameAddr("sip:a@h", tag=sipstack.random_token()).tag
    assert Via.parse(str(via)) == via


def test_threads_have_different_words():
    made = []
    threads = [threading.Thread(target=lambda: made.append([sipstack.random_token() for _ in range(3000)]))
               for _ in range(6)]  # fmt: skip
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    assert len({token for tokens in made for token in tokens}) == 18_000


def _words(_):
    return [sipstack.random_branch() for _ in range(300)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_workers_have_different_words():
    sipstack.random_branch()  # the parent has words left
    with multiprocessing.get_context("fork").Pool(3) as workers:
        made = [*workers.map(_words, range(6), chunksize=1), _words(0)]
    assert len({branch for branches in made for branch in branches}) == 2100


FORK = """
import os, sipstack
sipstack.random_token()
read, write = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        os.write(write, f"{sipstack.random_token()}\\n".encode())
        os._exit(0)
    os.wait()
os.write(write, f"{sipstack.random_token()}\\n".encode())
print(len(set(os.read(read, 9999).split())))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_bare_fork():
    ended = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300, check=True)
    assert ended.stdout == "4\n"
