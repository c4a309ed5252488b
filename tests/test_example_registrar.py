"""`examples/registrar.py`: rule by rule over a transport in memory, and with real clients; the Redis is a real one."""

import asyncio
import contextlib
import itertools
import json
import logging
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from lossy import LossyWay
from programs import running_kamailio
from wire import US, Wire

from sipstack import Message, NameAddr, parse, random_branch, random_token

pytest.importorskip("redis", reason="the package redis is not installed")

import redis as redis_package

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
sys.path.insert(0, str(EXAMPLES))  # the examples import one another

import digest as digest_module  # noqa: E402
import registrar as registrar_module  # noqa: E402

DOMAIN = "example.com"
KEY = bytes(32)
ALICE = ("198.51.100.7", 5062)
USERS = {
    "alice": digest_module.make_ha1("alice", DOMAIN, "secret"),
    "bob": digest_module.make_ha1("bob", DOMAIN, "hush"),
}
BEST, OLD = "SHA-256", "MD5"


# --- Redis ------------------------------------------------------------------------------------------------------------


class RedisServer:
    """A redis-server of our own, which keeps nothing."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = new_tcp_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.command += ["--dir", str(folder)]
        self.client = redis_package.Redis(port=self.port, socket_timeout=10)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 15
        while True:
            try:
                self.client.ping()
                return
            except redis_package.RedisError:
                assert self.process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)

    def table(self, aor: str = f"sip:alice@{DOMAIN}") -> list[str]:
        """The URIs that Redis has for somebody."""
        rows = json.loads(self.client.get(f"sip:{{{aor}}}") or "[]")
        return [str(NameAddr.parse(row[0]).uri) for row in rows]

    def calls(self) -> dict[str, int]:
        """How often each command was called."""
        stats = self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


def new_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def redis_server(client: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(client("redis-server"), tmp_path_factory.mktemp("redis"))
    yield server
    server.client.close()
    server.stop()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """That server, empty."""
    redis_server.client.flushall()
    redis_server.client.config_resetstat()
    return redis_server


# --- digest -----------------------------------------------------------------------------------------------------------


class TestDigest:
    """The examples of the RFCs, and what a nonce is."""

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_the_example_of_rfc_7616(self, algorithm: str, response: str) -> None:
        """3.9.1."""
        ha1 = digest_module.make_ha1("Mufasa", "http-auth@example.org", "Circle of Life")[algorithm]
        nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        given = digest_module.digest_response(
            algorithm, ha1, nonce, "00000001", cnonce, "auth", "GET", "/dir/index.html"
        )
        assert given == response

    def test_the_example_of_rfc_2617(self) -> None:
        """3.5."""
        ha1 = digest_module.make_ha1("Mufasa", "testrealm@host.com", "Circle Of Life")["MD5"]
        given = digest_module.digest_response(
            "MD5", ha1, "dcd98b7102dd2f0e8b11d0f600bfb0c093", "00000001", "0a4f113b", "auth", "GET", "/dir/index.html"
        )
        assert (ha1, given) == ("939e7578ed9e3c518a452acee763bce9", "6629fae49393a05397450978507c4ef1")

    def test_a_challenge_for_each_algorithm(self) -> None:
        """RFC 8760 2.4: the best is the first; auth-int is not offered."""
        refused = digest_module.Digest(DOMAIN, USERS, KEY).challenge()
        request = register()
        lines = request.reply(401, headers=refused.headers).get_headers("WWW-Authenticate")
        assert [re.sub('nonce="[^"]+"', "N", line) for line in lines] == [
            'Digest realm="example.com", N, qop="auth", algorithm=SHA-256',
            'Digest realm="example.com", N, qop="auth", algorithm=MD5',
        ]

    @pytest.mark.parametrize("algorithm", [BEST, OLD])
    def test_another_process_with_the_key_knows_a_nonce(self, algorithm: str) -> None:
        one, two = digest_module.Digest(DOMAIN, USERS, KEY), digest_module.Digest(DOMAIN, USERS, KEY)
        request = answered(register(), refusal(one), algorithm=algorithm)
        assert two.check(request) == one.check(request)
        assert two.check(request).username == "alice"

    def test_who_has_another_key_says_that_it_is_stale(self) -> None:
        one, two = digest_module.Digest(DOMAIN, USERS, KEY), digest_module.Digest(DOMAIN, USERS, bytes(31) + b"1")
        assert stale(two, answered(register(), refusal(one))) == "true"
        assert stale(two, answered(register(), refusal(one), password="wrong")) is None

    def test_a_nonce_grows_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        digest = digest_module.Digest(DOMAIN, USERS, KEY)
        request = answered(register(), refusal(digest))
        digest.check(request)
        later = time.time() + digest_module.NONCE_LIFETIME + 1
        monkeypatch.setattr(digest_module.time, "time", lambda: later)
        assert stale(digest, request) == "true"

    @pytest.mark.parametrize("change", [lambda n: n[:-1] + "x", lambda n: "7" + n[1:], lambda n: "", lambda n: n + "ü"])
    def test_a_nonce_that_was_changed(self, change: Callable[[str], str]) -> None:
        digest = digest_module.Digest(DOMAIN, USERS, KEY)
        assert stale(digest, answered(register(), refusal(digest), nonce=change)) == "true"

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"password": "wrong"}, 401),
            ({"username": "nobody"}, 401),
            ({"username": "nobody", "ha1": ""}, 401),
            ({"username": "ali\\ce"}, 401),
            ({"realm": "other"}, 401),
            ({"scheme": "Basic"}, 401),
            ({"method": "INVITE"}, 401),
            ({"uri": "sip:example.org"}, 400),
            ({"uri": "nonsense"}, 400),
            ({"uri": ""}, 400),
            ({"qop": "auth-int"}, 400),
            ({"qop": None}, 400),
            ({"nc": "1"}, 400),
            ({"nc": "0000000A"}, 400),
            ({"nc": None}, 400),
            ({"cnonce": ""}, 400),
            ({"cnonce": None}, 400),
            ({"algorithm": "SHA-512-256", "hash": BEST}, 400),
            ({"algorithm": "MD5-sess", "hash": OLD}, 400),
            ({"algorithm": "SHA-256-sess", "hash": BEST}, 400),
            ({"algorithm": OLD, "hash": BEST}, 401),
            ({"algorithm": BEST, "hash": OLD}, 401),
            ({"algorithm": None, "hash": BEST}, 401),
            ({"algorithm": "sha-256", "hash": BEST}, 200),
            ({"algorithm": None, "hash": OLD}, 200),
            ({"qop": "AUTH"}, 200),
            ({"response": lambda r: r.upper()}, 401),
            ({"response": lambda r: r[:-1]}, 401),
            ({"response": lambda r: "ü" + r[1:]}, 401),
            ({"response": lambda r: ""}, 401),
        ],
    )
    def test_who_is_believed(self, changes, status: int) -> None:
        digest = digest_module.Digest(DOMAIN, USERS, KEY)
        request = answered(register(), refusal(digest), **changes)
        if status == 200:
            assert digest.check(request).username == "alice"
            return
        with pytest.raises((digest_module.Refused, ValueError)) as caught:
            digest.check(request)
        assert caught.value.status == status

    def test_a_user_whose_name_is_written_with_quotes(self) -> None:
        name = 'a"l\\ice:€'
        digest = digest_module.Digest(DOMAIN, {name: digest_module.make_ha1(name, DOMAIN, "secret")}, KEY)
        assert digest.check(answered(register(), refusal(digest), username=name)).username == name

    def test_credentials_twice(self) -> None:
        digest = digest_module.Digest(DOMAIN, USERS, KEY)
        request = answered(register(), refusal(digest))
        for other in ("Basic dXNlcg==", 'Digest username="alice", realm="other", nonce="1"'):
            request.add_header("Authorization", other)
        assert digest.check(request).username == "alice"
        request.add_header("Authorization", request.get_header("Authorization"))
        with pytest.raises(digest_module.Refused) as caught:
            digest.check(request)
        assert caught.value.status == 400

    def test_what_is_offered_alone_is_taken_alone(self) -> None:
        digest = digest_module.Digest(DOMAIN, USERS, KEY, [BEST])
        (challenge,) = digest.challenge().headers["WWW-Authenticate"]
        assert challenge.params["algorithm"] == BEST
        with pytest.raises(digest_module.Refused) as caught:
            digest.check(answered(register(), refusal(digest), algorithm=OLD))
        assert caught.value.status == 400


def refusal(digest) -> Message:
    return register().reply(401, headers=digest.challenge().headers)


def stale(digest, request: Message) -> str | None:
    with pytest.raises(digest_module.Refused) as caught:
        digest.check(request)
    assert caught.value.status == 401
    found: str | None = caught.value.headers["WWW-Authenticate"][0].params.get("stale")
    return found


# --- REGISTERs --------------------------------------------------------------------------------------------------------


def register(
    *contacts: str, uri=f"sip:{DOMAIN}", to=f"<sip:alice@{DOMAIN}>", call_id="a84b", cseq=1, **more
) -> Message:
    headers = [
        ("Via", f"SIP/2.0/UDP 198.51.100.7:5062;branch={random_branch()};rport"),
        ("Max-Forwards", 70),
        ("From", more.pop("sender", to) + ";tag=19"),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        *(("Contact", contact) for contact in contacts),
        *((name.replace("_", "-"), value) for name, value in more.items()),
    ]
    return Message.request("REGISTER", uri, headers=headers)


def answered(
    request: Message, challenge: Message, algorithm: str | None = BEST, nc: str | None = "00000001", **changes
):
    """The request once more, with the answer to a 401. `changes` are what is wrong with it."""
    offered = challenge.get_values("WWW-Authenticate")[0]
    hashing = changes.get("hash") or algorithm
    realm, username = changes.get("realm", offered.params["realm"]), changes.get("username", "alice")
    nonce, cnonce = changes.get("nonce", str)(offered.params["nonce"]), changes.get("cnonce", random_token())
    uri, qop = changes.get("uri", request.request_uri), changes.get("qop", "auth")
    ha1 = changes.get("ha1", digest_module.make_ha1(username, realm, changes.get("password", "secret"))[hashing])
    method = changes.get("method", request.method)
    response = digest_module.digest_response(hashing, ha1, nonce, nc or "", cnonce or "", qop or "", method, uri)
    values = {"username": username, "realm": realm, "nonce": nonce, "uri": uri, "algorithm": algorithm}
    values |= {"response": changes.get("response", str)(response), "cnonce": cnonce, "nc": nc, "qop": qop}
    params = [
        f'{name}={value}' if name in ("nc", "algorithm", "qop") else f'{name}="{escape(value)}"'
        for name, value in values.items() if value is not None
    ]  # fmt: skip
    again = request.copy()
    again.pop_via()
    again.push_via(f"SIP/2.0/UDP 198.51.100.7:5062;branch={random_branch()};rport")
    again.set_header("CSeq", f"{request.cseq.num + 1} REGISTER")
    again.set_header("Authorization", f"{changes.get('scheme', 'Digest')} {', '.join(params)}")
    return again


def escape(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


class Bench:
    """A registrar on a wire in memory, and a phone at the other end."""

    def __init__(self, redis: RedisServer, **options) -> None:
        self.wire = Wire()
        digest = digest_module.Digest(DOMAIN, USERS, KEY)
        self.locations = registrar_module.Locations(redis.url, **options)
        self.registrar = registrar_module.Registrar(US, digest, self.locations, transport=self.wire)
        self.numbers = itertools.count(10, 10)

    async def ask(self, request: Message | bytes) -> Message:
        assert self.wire.receiver is not None
        self.wire.receiver.deliver([(bytes(request), ALICE)])
        async with asyncio.timeout(15):
            while True:
                response = parse((await self.wire.outbox.get())[0])
                # The final response to an INVITE that got no ACK comes again meanwhile.
                is_other = isinstance(request, Message) and response.call_id != request.call_id
                if response.status_code >= 200 and not is_other:
                    return response

    async def register(self, *contacts: str, auth=(), **changes) -> Message:
        """What a REGISTER with a right password is answered."""
        request = register(*contacts, **{"cseq": next(self.numbers), **changes})
        challenge = await self.ask(request)
        assert challenge.status_code == 401
        return await self.ask(answered(request, challenge, **dict(auth)))


@contextlib.asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with bench.registrar.transactions.endpoint as endpoint:
        serving = asyncio.create_task(endpoint.serve())
        await asyncio.sleep(0)  # it starts the wire
        yield bench
    await serving
    await bench.locations.redis.aclose(close_connection_pool=True)
    assert endpoint.stats.handler_errors == endpoint.stats.hook_errors == 0


@pytest.fixture
async def bench(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    async with running(Bench(redis)) as bench:
        yield bench
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def contacts_of(response: Message) -> dict[str, int]:
    assert response.status_code == 200, response
    return {str(contact.uri): contact.expires for contact in response.contacts}


ONE, TWO, THREE = "sip:alice@192.0.2.11", "sip:alice@192.0.2.12", "sip:alice@192.0.2.13"


class TestSteps:
    """RFC 3261 10.3."""

    async def test_1_another_domain(self, bench: Bench) -> None:
        for uri in ("sip:example.org", "sip:sub.example.com", "sip:192.0.2.1"):
            assert (await bench.ask(register(ONE, uri=uri))).status_code == 404
        assert (await bench.ask(register(ONE, uri="sips:example.com"))).status_code == 416
        assert (await bench.ask(register(ONE, uri="sip:EXAMPLE.com:5070"))).status_code == 401

    async def test_2_require(self, bench: Bench) -> None:
        answer = await bench.ask(register(ONE, Require="path, gruu, outbound, 100rel"))
        assert (answer.status_code, answer.get_header("Unsupported")) == (420, "gruu, 100rel")

    async def test_3_no_credentials_and_wrong_ones(self, bench: Bench, redis: RedisServer) -> None:
        assert (await bench.ask(register(ONE))).status_code == 401
        answer = await bench.register(ONE, auth={"password": "wrong"})
        assert (answer.status_code, "stale" in answer.get_header("WWW-Authenticate")) == (401, False)
        assert redis.client.keys() == []

    async def test_4_another_user(self, bench: Bench, redis: RedisServer) -> None:
        for to in ("<sip:bob@example.com>", "<sip:Alice@example.com>", "<sip:example.com>", "<tel:+1>", "<x:alice>"):
            assert (await bench.register(ONE, to=to)).status_code == 403
        assert redis.client.keys() == []

    async def test_5_an_aor_of_another_domain(self, bench: Bench) -> None:
        for to in ("<sip:alice@example.org>", "<sips:alice@example.com>"):
            assert (await bench.register(ONE, to=to)).status_code == 404

    async def test_5_one_form(self, bench: Bench, redis: RedisServer) -> None:
        spellings = ["sip:alice@example.com", "sip:%61lice@EXAMPLE.com:5070",
                     "sip:al%69ce:pw@example.com;x=y;user=phone",
                     "SIP:alice@example.com?a=b"]  # fmt: skip
        for number, spelling in enumerate(spellings):
            await bench.register(f"sip:alice@192.0.2.{number}", to=f"<{spelling}>", call_id=str(number))
        assert len(redis.table()) == 4

    async def test_from_is_not_asked(self, bench: Bench) -> None:
        assert contacts_of(await bench.register(ONE, sender="<sip:secretary@example.org>")) == {ONE: 3600}

    async def test_6_no_contact(self, bench: Bench) -> None:
        assert contacts_of(await bench.register()) == {}
        await bench.register(ONE, TWO)
        assert contacts_of(await bench.register()) == {ONE: 3600, TWO: 3600}

    async def test_6_star(self, bench: Bench, redis: RedisServer) -> None:
        await bench.register(f"<{ONE}>", f"<{TWO}>")
        for contacts, expires in (("*",), None), (("*",), 10), (("*",), "x"), (("*", f"<{ONE}>"), 0), (("*", "*"), 0):
            more = {} if expires is None else {"Expires": expires}
            assert (await bench.register(*contacts, **more)).status_code == 400
        assert redis.table() == [ONE, TWO]
        assert contacts_of(await bench.register("*", Expires=0, call_id="other")) == {}
        assert [key for key in redis.client.scan_iter() if key.endswith(b"}")] == []

    async def test_7_expires(self, bench: Bench) -> None:
        given = [f"<{ONE}>;expires=100", f"<{TWO}>", f"<{THREE}>;expires=x"]
        assert contacts_of(await bench.register(*given, Expires=200)) == {ONE: 100, TWO: 200, THREE: 3600}
        assert contacts_of(await bench.register(f"<{ONE}>;expires=0")) == {TWO: 200, THREE: 3600}

    @pytest.mark.parametrize(
        ("expires", "seconds"),
        [("4294967295", 7200), ("4294967296", 7200), ("99999999999999999999", 7200), ("-1", 3600), ("soon", 3600),
         ("", 3600), ("60", 60)],
    )  # fmt: skip
    async def test_7_odd_expires(self, bench: Bench, expires: str, seconds: int) -> None:
        assert contacts_of(await bench.register(f"<{ONE}>;expires={expires}")) == {ONE: seconds}

    @pytest.mark.parametrize(("expires", "seconds"), [("4294967295", 7200), ("-1", 3600), ("soon", 3600), ("60", 60)])
    async def test_7_odd_expires_header(self, bench: Bench, expires: str, seconds: int) -> None:
        assert contacts_of(await bench.register(ONE, Expires=expires)) == {ONE: seconds}

    async def test_7_too_brief(self, bench: Bench, redis: RedisServer) -> None:
        answer = await bench.register(f"<{TWO}>", f"<{ONE}>;expires=59")
        assert (answer.status_code, answer.get_header("Min-Expires")) == (423, "60")
        assert redis.table() == []

    async def test_7_an_hour_is_never_too_brief(self, redis: RedisServer) -> None:
        async with running(Bench(redis, min_expires=5000)) as bench:
            assert contacts_of(await bench.register(ONE)) == {ONE: 3600}
            answer = await bench.register(f"<{ONE}>;expires=3599")
            assert (answer.status_code, answer.get_header("Min-Expires")) == (423, "3600")

    async def test_7_all_or_nothing(self, bench: Bench, redis: RedisServer) -> None:
        await bench.register(ONE)
        for bad in (f"<{TWO}>;expires=1", f"<{TWO}>;a={'x' * 600}", "<sip:[::1>", "<<>"):
            answer = await bench.register(f"<{ONE}>;expires=0", f"<{THREE}>", bad)
            assert answer.status_code in (400, 423)
            assert redis.table() == [ONE]

    async def test_7_order_within_a_call_id(self, bench: Bench, redis: RedisServer) -> None:
        await bench.register(ONE, cseq=100)
        for cseq in (50, 99, 100):
            assert (await bench.register(ONE, cseq=cseq)).status_code in (200, 500)
        assert (await bench.register(f"<{ONE}>;expires=0", cseq=50)).status_code == 500
        assert (await bench.register("*", Expires=0, cseq=50)).status_code == 500
        assert redis.table() == [ONE]
        assert contacts_of(await bench.register(f"<{ONE}>;expires=0", cseq=1, call_id="after a restart")) == {}

    async def test_7_a_contact_twice_in_one(self, bench: Bench) -> None:
        assert contacts_of(await bench.register(f"<{ONE}>;expires=100", f"<{ONE}>;expires=200")) == {ONE: 200}

    async def test_7_contacts_are_compared_as_uris(self, bench: Bench) -> None:
        await bench.register(ONE, call_id="1")
        assert len(contacts_of(await bench.register("<sip:%61lice@192.0.2.11;x=y>", call_id="2"))) == 1
        assert len(contacts_of(await bench.register("<sip:alice@192.0.2.11:5060>", call_id="3"))) == 2

    async def test_7_too_many(self, bench: Bench, redis: RedisServer) -> None:
        many = [f"sip:alice@192.0.2.{number}" for number in range(11)]
        assert (await bench.register(*many)).status_code == 403
        assert len(contacts_of(await bench.register(*many[:10]))) == 10
        assert (await bench.register(many[10])).status_code == 403
        answer = await bench.register(f"<{many[0]}>;expires=0", many[10])
        assert len(contacts_of(answer)) == len(redis.table()) == 10

    async def test_8_what_is_kept(self, bench: Bench) -> None:
        given = '"Alice, at home" <sip:alice@192.0.2.11;transport=udp;method=INVITE>;q=0.5;x="a;b";Expires=100'
        answer = await bench.register(given)
        assert answer.get_headers("Contact") == [
            '"Alice, at home" <sip:alice@192.0.2.11;transport=udp>;q=0.5;x="a;b";expires=100'
        ]
        assert answer.get_header("Date").endswith(" GMT")

    async def test_bindings_end(self, redis: RedisServer) -> None:
        async with running(Bench(redis, min_expires=1)) as bench:
            await bench.register(f"<{ONE}>;expires=1", f"<{TWO}>;expires=100")
            await asyncio.sleep(1.1)
            assert list(contacts_of(await bench.register())) == [TWO]
            assert 98 <= redis.client.ttl("sip:{sip:alice@example.com}") <= 100
            await bench.register(f"<{TWO}>;expires=1")
            await asyncio.sleep(1.1)
            assert redis.table() == []
            assert [key for key in redis.client.scan_iter() if redis.client.ttl(key) < 0] == []  # all of them end


class TestOutbound:
    """RFC 3327, RFC 5626."""

    PHONE = '<sip:alice@10.0.0.{}>;+sip.instance="<urn:uuid:1>";reg-id={}'
    EDGE = "<sip:edge.example.com;lr;ob>"

    async def test_path_comes_back_and_is_kept(self, bench: Bench, redis: RedisServer) -> None:
        path = "<sip:p1.example.com;lr>, <sip:edge.example.com;lr>"
        answer = await bench.register(ONE, Path=path, Supported="path")
        assert answer.get_header("Path") == path
        assert (await bench.register(ONE, Path=path)).get_header("Path") is None
        invite = await bench.ask(request("INVITE"))
        (contact,) = invite.contacts
        assert contact.uri.headers == (("Route", path),)

    async def test_a_flow_replaces_itself_whatever_its_contact(self, bench: Bench) -> None:
        for number, reg_id in ((1, 1), (2, 2), (3, 1)):
            answer = await bench.register(self.PHONE.format(number, reg_id), Path=self.EDGE, call_id=str(number))
        assert list(contacts_of(answer)) == ["sip:alice@10.0.0.2", "sip:alice@10.0.0.3"]
        assert answer.get_header("Require") == "outbound"

    @pytest.mark.parametrize("path", [None, "<sip:edge.example.com;lr>", "<sip:edge;lr;ob>, <sip:first;lr>"])
    async def test_without_an_edge_that_keeps_flows_it_is_a_contact_like_others(self, bench: Bench, path) -> None:
        more = {} if path is None else {"Path": path}
        for number in (1, 2):
            contact = self.PHONE.format(number, 1).replace("reg-id", "Reg-ID")
            answer = await bench.register(contact, call_id=str(number), **more)
        assert len(contacts_of(answer)) == 2
        assert "Reg-ID" not in str(answer)
        assert answer.get_header("Require") is None


class TestReplays:
    async def test_a_retransmission_gets_the_same_answer(self, bench: Bench, redis: RedisServer) -> None:
        challenge = await bench.ask(register(ONE))
        again = answered(register(ONE), challenge)
        first = await bench.ask(again)
        calls = redis.calls()
        assert bytes(await bench.ask(again)) == bytes(first)
        assert redis.calls()["exec"] == calls["exec"]

    async def test_after_a_restart_too(self, redis: RedisServer) -> None:
        async with running(Bench(redis)) as bench:
            again = answered(register(ONE), await bench.ask(register(ONE)))
            assert contacts_of(await bench.ask(again)) == {ONE: 3600}
            before = redis.client.get("sip:{sip:alice@example.com}")
        async with running(Bench(redis)) as bench:
            assert contacts_of(await bench.ask(again)) == {ONE: 3600}
            assert redis.client.get("sip:{sip:alice@example.com}") == before
            await bench.register("*", Expires=0)
        async with running(Bench(redis)) as bench:
            assert contacts_of(await bench.ask(again)) == {}  # and brings nothing back

    @pytest.mark.parametrize("what", ["Contact", "Expires", "Call-ID", "CSeq", "Path"])
    async def test_who_heard_it_changes_nothing_in_it(self, redis: RedisServer, what: str) -> None:
        async with running(Bench(redis)) as bench:
            heard = answered(register(ONE, Expires=100), await bench.ask(register(ONE)))
            await bench.ask(heard)
            heard.set_header(what, {"Contact": TWO, "CSeq": "7 REGISTER", "Path": "<sip:x;lr>"}.get(what, "0"))
            heard.pop_via()
            heard.push_via(f"SIP/2.0/UDP 203.0.113.9;branch={random_branch()}")
            answer = await bench.ask(heard)
            assert answer.status_code == 401
            assert answer.get_values("WWW-Authenticate")[0].params["stale"] == "true"
            assert redis.table() == [ONE]

    async def test_nor_in_one_that_was_refused(self, bench: Bench, redis: RedisServer) -> None:
        heard = answered(register(ONE, Expires=1), await bench.ask(register(ONE)))
        assert (await bench.ask(heard)).status_code == 423
        heard.set_header("Expires", 100)
        heard.pop_via()
        heard.push_via(f"SIP/2.0/UDP 203.0.113.9;branch={random_branch()}")
        assert (await bench.ask(heard)).status_code == 401
        assert redis.table() == []

    async def test_a_nonce_is_used_again_with_the_next_count(self, bench: Bench) -> None:
        challenge = await bench.ask(register(ONE))
        for number in (1, 2, 3):
            answer = await bench.ask(answered(register(ONE, cseq=number * 5), challenge, nc=f"{number:08x}"))
            assert answer.status_code == 200

    async def test_at_one_moment(self, bench: Bench, redis: RedisServer) -> None:
        """Of two that use one answer up for two things, one is done."""
        challenge = await bench.ask(register(ONE))
        for number in range(20):
            nc = f"{number:08x}"
            proofs = digest_module.Proof("alice", challenge.get_header("WWW-Authenticate"), nc)
            aor = f"sip:alice{number}@example.com"
            results = await asyncio.gather(
                *(bench.locations.register(aor, register(contact, call_id=contact), proofs) for contact in (ONE, TWO))
            )
            assert results.count(None) == 1
            assert len(redis.table(aor)) == 1

    async def test_one_answer_with_two_algorithms_is_one(self, bench: Bench, redis: RedisServer) -> None:
        """Both challenges have one nonce."""
        challenge = await bench.ask(register(ONE))
        assert (await bench.ask(answered(register(ONE), challenge))).status_code == 200
        other = await bench.ask(answered(register(TWO, cseq=5), challenge, algorithm=OLD))
        assert other.status_code == 401
        assert redis.table() == [ONE]

    async def test_a_nonce_of_somebody_else(self, bench: Bench, redis: RedisServer) -> None:
        """It is good, and takes nothing from him whom it was given to."""
        challenge = await bench.ask(register(ONE))
        bob = register(TWO, to="<sip:bob@example.com>")
        answer = await bench.ask(answered(bob, challenge, username="bob", password="hush"))
        assert contacts_of(answer) == {TWO: 3600}
        assert contacts_of(await bench.ask(answered(register(ONE), challenge))) == {ONE: 3600}


class TestTogether:
    async def test_two_at_one_moment_keep_both(self, redis: RedisServer) -> None:
        async with running(Bench(redis)) as one, running(Bench(redis)) as two:
            for number in range(10):
                pair = [
                    bench.register(f"sip:alice@192.0.2.{number}{side}", call_id=f"{number}{side}")
                    for side, bench in enumerate((one, two))
                ]
                await asyncio.gather(*pair)
                assert len(redis.table()) == 2
                await one.register("*", Expires=0, call_id="end")


class TestWhatIsInRedis:
    """Somebody else's, or of another version."""

    @pytest.mark.parametrize(
        "text",
        [
            "", "x", "{}", '{"a": 1}', "[1]", "[[]]", "\xff", "null", "7", '[["<sip:a"]]', '[["<sip:a@h>", 1, 9e99]]',
            '[["x y", "", "c", 1, 9e99]]', '[["<sip:a@h>", null]]',
        ],
    )  # fmt: skip
    async def test_that_is_no_table_counts_as_none(self, redis: RedisServer, text: str, caplog) -> None:
        redis.client.set("sip:{sip:alice@example.com}", text.encode("latin-1"))
        async with running(Bench(redis)) as bench:
            assert (await bench.ask(request("INVITE"))).status_code == 480
            assert contacts_of(await bench.register(ONE)) == {ONE: 3600}
            assert redis.table() == [ONE]
        assert bool(caplog.records) == bool(text not in ("", "{}"))

    async def test_of_another_type(self, redis: RedisServer) -> None:
        redis.client.rpush("sip:{sip:alice@example.com}", "x")
        async with running(Bench(redis)) as bench:
            assert (await bench.ask(request("INVITE"))).status_code == 503
            assert contacts_of(await bench.register(ONE)) == {ONE: 3600}
            assert (await bench.ask(request("INVITE"))).status_code == 302

    async def test_no_room(self, redis: RedisServer) -> None:
        redis.client.config_set("maxmemory", 1)
        try:
            async with running(Bench(redis)) as bench:
                answer = await bench.register(ONE, call_id="c" * 1000)
                assert (answer.status_code, answer.get_header("Retry-After")) == (503, "5")
        finally:
            redis.client.config_set("maxmemory", 0)


class TestFlood:
    async def test_without_credentials_it_costs_no_redis(self, bench: Bench, redis: RedisServer) -> None:
        for _ in range(200):
            assert (await bench.ask(register(ONE))).status_code == 401
        assert set(redis.calls()) <= {"info", "config|resetstat"}

    async def test_what_is_kept_of_it_is_bounded(self, bench: Bench) -> None:
        """In bytes: 5000 of 16,000 bytes each are 80 MB, and twice that with their answers."""
        transactions = bench.registrar.transactions
        assert transactions.memory <= 1 << 26
        transactions.memory = 1 << 20
        for _ in range(200):
            assert (await bench.ask(register(ONE, call_id="c" * 12_000))).status_code == 401
            assert transactions.kept < (1 << 20) + 14_000
        assert transactions.endpoint.stats.counters["transactions_forgotten"] > 100
        assert (await bench.ask(register(ONE, call_id="c" * 17_000))).status_code == 513
        assert len(transactions.servers) < 50

    @pytest.mark.parametrize(("method", "uri"), [("REGISTER", f"sip:{DOMAIN}"), ("INVITE", "sip:a")])
    async def test_how_much_a_forged_source_gets(self, bench: Bench, method: str, uri: str) -> None:
        """As docs/how-to/transactions.md says it."""
        head = "v:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:1\r\n"
        made = f"{method} {uri} SIP/2.0\r\n{head}CSeq:1 {method}\r\nMax-Forwards:9\r\n\r\n".encode()
        answer = await bench.ask(made)
        sent = len(bytes(answer))
        page = (HERE.parent / "docs/how-to/transactions.md").read_text(encoding="utf-8")
        row = f"| {method} to `registrar.py` | {len(made)} | {answer.status_code} | {sent} | {sent / len(made):.1f} |"
        assert row in page

    async def test_the_source_of_a_refused_invite_gets_one_answer(self, bench: Bench) -> None:
        """Whoever it is: nobody there may have sent one."""
        for uri in (f"sip:nobody@{DOMAIN}", f"sip:alice@{DOMAIN}", "sip:example.org"):
            assert (await bench.ask(request("INVITE", uri))).status_code in (404, 480)
        await asyncio.sleep(0.7)  # T1, and more
        assert bench.wire.outbox.empty()

    async def test_nor_with_wrong_ones_or_for_nobody(self, bench: Bench, redis: RedisServer) -> None:
        for _ in range(20):
            assert (await bench.register(ONE, auth={"password": "x"})).status_code == 401
            assert (await bench.ask(request("INVITE", "sip:nobody@example.com"))).status_code == 404
        assert set(redis.calls()) <= {"info", "config|resetstat"}


def request(method: str, uri=f"sip:alice@{DOMAIN}", to_tag="") -> Message:
    made = register(uri=uri, call_id=random_token())
    text = str(made).replace("REGISTER", method).replace(f"To: <sip:alice@{DOMAIN}>", f"To: <{uri}>{to_tag}")
    return parse(text)


class TestRedirect:
    """RFC 3261 8.3."""

    async def test_where_somebody_is(self, bench: Bench) -> None:
        await bench.register(f"<{ONE};transport=udp>;q=0.1", f"<{TWO}>")
        for method in ("INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "REFER"):
            for uri in (f"sip:alice@{DOMAIN}", "sip:%61lice@EXAMPLE.COM:5070;user=phone"):
                answer = await bench.ask(request(method, uri))
                assert answer.status_code == 302
                assert answer.get_header("Contact") == f"<{ONE};transport=udp>;q=0.1, <{TWO}>"

    @pytest.mark.parametrize(
        ("method", "uri", "to_tag", "status"),
        [
            ("INVITE", "sip:alice@example.com", "", 480),
            ("INVITE", "sip:nobody@example.com", "", 404),
            ("INVITE", "sip:example.com", "", 404),
            ("INVITE", "sip:alice@example.org", "", 404),
            ("INVITE", "sips:alice@example.com", "", 416),
            ("INVITE", "tel:+1", "", 416),
            ("INVITE", "sip:alice@example.com", ";tag=1", 481),
            ("OPTIONS", "sip:example.com", "", 200),
            ("BYE", "sip:alice@example.com", ";tag=1", 405),
            ("PUBLISH", "sip:alice@example.com", "", 405),
        ],
    )
    async def test_others(self, bench: Bench, method: str, uri: str, to_tag: str, status: int) -> None:
        assert (await bench.ask(request(method, uri, to_tag))).status_code == status


class TestRedisIsAway:
    async def test_a_flood_fills_no_log(self, bench: Bench, redis: RedisServer, caplog, monkeypatch) -> None:
        monkeypatch.setattr(registrar_module, "LOG_PAUSE", 1000.0)
        redis.client.rpush("sip:{sip:alice@example.com}", "x")  # which fails as well
        for _ in range(20):
            assert (await bench.ask(request("INVITE"))).status_code == 503
        assert len(caplog.records) == 1

    async def test_it_is_told_and_logged_and_comes_back(
        self, client, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = RedisServer(client("redis-server"), tmp_path)
        monkeypatch.setattr(registrar_module, "LOG_PAUSE", 0.0)
        async with running(Bench(server)) as bench:
            try:
                assert (await bench.register(ONE)).status_code == 200
                server.stop()
                for answer in (await bench.register(TWO, call_id="c-1"), await bench.ask(request("INVITE"))):
                    assert (answer.status_code, answer.get_header("Retry-After")) == (503, "5")
                assert any("c-1" in record.getMessage() for record in caplog.records)
                assert (await bench.register(TWO, call_id="\x9b2J")).status_code == 503
                assert all(record.getMessage().isprintable() for record in caplog.records)
                assert (await bench.register(TWO, call_id="c" * 12_000)).status_code == 503
                assert max(len(record.getMessage()) for record in caplog.records) < 1000
                server.start()
                assert (await bench.register(TWO, call_id="c-2")).status_code == 200
                server.process.send_signal(signal.SIGSTOP)  # there, and silent
                try:
                    with monkeypatch.context() as patch:
                        patch.setattr(registrar_module, "REDIS_TIMEOUT", 0.5)
                        assert (await bench.register(TWO, call_id="c-3")).status_code == 503
                finally:
                    server.process.send_signal(signal.SIGCONT)
                async with asyncio.timeout(60):  # a connection on which an old answer comes is closed first
                    while (await bench.register(TWO, call_id=random_token())).status_code != 200:
                        pass
            finally:
                server.client.close()
                server.stop()


class TestAttacks:
    """What is answered, and nothing in the log; `bench` looks."""

    async def ask(self, bench: Bench, *contacts: str, **more) -> int:
        return (await bench.register(*contacts, **more)).status_code

    async def test_huge_lists_of_contacts(self, bench: Bench, redis: RedisServer) -> None:
        assert await self.ask(bench, ", ".join(f"<sip:{number}@h>" for number in range(128))) == 403
        assert await self.ask(bench, ",".join(["<sip:a@h>"] * 128)) == 200
        assert await self.ask(bench, ",".join(["<sip:a@h>"] * 129)) == 513
        assert len(redis.table()) == 1

    async def test_long_ones(self, bench: Bench) -> None:
        for contact in (f"<{ONE}>;" + ";".join(f"p{number}" for number in range(500)), f"<{ONE};x={'y' * 12_000}>",
                        f"<sip:{'a' * 12_000}@h>", f'"{"n" * 12_000}" <{ONE}>', f"<x:{'a' * 12_000}>"):  # fmt: skip
            assert await self.ask(bench, contact) == 400
        assert await self.ask(bench, ONE, Path=", ".join(["<sip:p;lr>"] * 100)) == 400
        assert await self.ask(bench, ONE, Path=", ".join(["<sip:p;lr>"] * 1000)) == 513
        assert await self.ask(bench, ONE, call_id="c" * 12_000) == 400

    @pytest.mark.parametrize("user", ["*", "a{b}c", "a:b", "a b", "%00", "\u2028", "a\\b", "[x-z]?", "a\"b'c", "é"])
    async def test_users_that_mean_something_to_redis(self, redis: RedisServer, user: str) -> None:
        name = user if user != "%00" else "\0"
        escaped = "".join(f"%{octet:02x}" for octet in name.encode())
        ha1 = digest_module.make_ha1(user, DOMAIN, "secret")
        bench = Bench(redis)
        bench.registrar.digest.users = {name: ha1, user: ha1, **USERS}
        async with running(bench):
            await bench.register(ONE)
            answer = await bench.register(TWO, to=f"<sip:{escaped}@example.com>", auth={"username": user})
            if name == user:
                assert contacts_of(answer) == {TWO: 3600}
                assert len([key for key in redis.client.scan_iter() if key.endswith(b"}")]) == 2
            assert redis.table() == [ONE]

    @pytest.mark.parametrize(
        "line",
        [
            'Digest username="alice", username="bob", realm="example.com"',
            'Digest username="alice, realm="example.com"',
            "Digest username=alice, realm=example.com, nonce=, uri=",
            'Digest realm="example.com"',
            'Digest realm="example.com", nc=zz, qop=auth, uri="sip:example.com"',
            'Digest realm="\\e\\x\\a\\m\\p\\l\\e.com", username*=UTF-8\'\'alice, nonce="x"',
            "Digest",
            "Digest ,,,,",
            "",
            'Digest realm="example.com", ' + ", ".join(f'x{number}="y"' for number in range(1000)),
            'Digest realm="example.com", nonce="' + "n" * 12_000 + '", uri="sip:example.com", cnonce="a", qop=auth, '
            'nc=00000001, username="alice", response="x"',
            'Digest realm="example.com", nonce="\xff", uri="sip:example.com", cnonce="\xff", qop=auth, '
            'nc=00000001, username="\xff", response="\xff"',
        ],
    )
    async def test_odd_credentials(self, bench: Bench, redis: RedisServer, line: str) -> None:
        data = str(register(ONE)).replace("\r\n\r\n", f"\r\nAuthorization: {line}\r\n\r\n").encode("latin-1")
        assert (await bench.ask(data)).status_code in (400, 401, 513)
        assert set(redis.calls()) <= {"info", "config|resetstat"}

    @pytest.mark.parametrize(
        "contact",
        [
            "<sip:alice@h>;tag=a b", "<sip:alice@h>;tag=\"a b\"", "<sip:alice@h>;=x", "<sip:alice@h>;q=9",
            "<sip:alice@h>;q=", "<sip:alice@h>;reg-id=1", "<sip:alice@h>;x=\"\\\xff\"", "<sip:al ice@h>",
            "<sip:alice@h;;;a=;b>",
            "<sip:a%@h>",
            "<sip:alice@<null>>", "<tel:+1-555>", "<urn:service:sos>", "<sip:alice@h?Route=%3Csip:x%3E>", "<sip:h>",
            "<sip:alice@h>;a;a;A=1", "\"\\\"\xe9\" <sip:alice@h>", "x y z <sip:alice@h>", "<sip:\xe9@h>",
            "sip:alice@h;lr",
            "<sip:alice@[::1]:0>", "<sip:a@h@i>", "<mailto:a@b>;expires=0;expires=5",
        ],
    )  # fmt: skip
    async def test_odd_contacts(self, bench: Bench, redis: RedisServer, contact: str) -> None:
        """Either refused, or kept so that it can be read, listed and removed."""

        async def ask(value: bytes, cseq: int) -> Message:
            made = parse(bytes(register("sip:here", cseq=cseq, Path="<sip:edge;lr;ob>")).replace(b"sip:here", value))
            return await bench.ask(answered(made, await bench.ask(made)))

        answer = await ask(contact.encode("latin-1"), 10)
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert not [one for one in answer.validate() if one.serious]
            assert len(answer.contacts) == len(redis.table()) == (0 if "expires=0" in contact else 1)
            assert (await bench.ask(request("INVITE"))).status_code == (302 if answer.contacts else 480)
            (again,) = answer.get_headers("Contact") or ["<sip:x>;expires=1"]
            again = re.sub(";expires=[0-9]+", ";expires=0", again)
            gone = await ask(again.encode("utf-8", "surrogateescape"), 20)
            assert (gone.status_code, gone.contacts) == (200, ())

    @pytest.mark.parametrize("path", ["<sip:edge;lr;ob>", "<tel:+1>", "<x:y>", "<sip:a@h?=d>", "<sip:\\xe9dge;lr>", ""])
    @pytest.mark.parametrize(
        "contact", ["<sip:alice@h?=d>", "<sip:alice@h?a&=d>", "<sip:alice@h>;+sip.instance=x;reg-id=1"]
    )
    async def test_what_can_be_read_and_not_written(self, bench: Bench, contact: str, path: str) -> None:
        made = register(contact, Path=path)
        data = bytes(answered(made, await bench.ask(made))).replace(b"\\xe9", b"\xe9")
        answer = await bench.ask(data)
        assert answer.status_code in (200, 400)
        invite = request("INVITE")
        assert (await bench.ask(invite)).status_code == (302 if answer.status_code == 200 else 480)

    @pytest.mark.parametrize("name", ["Supported", "Path"])
    async def test_what_its_answer_needs_is_read_first(self, bench: Bench, redis: RedisServer, name: str) -> None:
        """A REGISTER that gets 400 has changed nothing: neither a new binding, nor the end of all."""
        await bench.register(ONE)
        supported = {"Supported": "path", name: "<"}
        for contact, more in ((TWO, {}), ("*", {"Expires": 0})):
            answer = await bench.register(contact, **supported, **more)
            assert answer.status_code == 400
            assert redis.table() == [ONE]

    async def test_a_to_that_is_none(self, bench: Bench) -> None:
        for to in ("<sip:alice@>", "nonsense", "<sip:alice@example.com"):
            made = register(ONE)
            made.set_header("To", to)
            challenge = await bench.ask(made)
            assert challenge.status_code in (400, 401, 513)
            if challenge.status_code == 401:
                assert (await bench.ask(answered(made, challenge))).status_code in (400, 403)


# --- as a program, with real clients ----------------------------------------------------------------------------------


class Program:
    """`registrar.py` in a process of its own."""

    def __init__(self, redis: RedisServer, port: int, folder: Path, *arguments: str, domain=DOMAIN) -> None:
        self.port, self.log = port, folder / "registrar.log"
        command = [sys.executable, str(EXAMPLES / "registrar.py"), "--domain", domain, "--user", "alice:secret"]
        command += ["--redis", redis.url, "--listen", f"127.0.0.1:{port}", *arguments]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        with UdpClient(port) as client:
            end = time.monotonic() + 15
            while client.ask(request("OPTIONS", f"sip:{domain}"), 0.2) is None:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log.read_text()
        assert not re.search("Traceback|ERROR|Redis failed", self.log.read_text()), self.log.read_text()


class UdpClient:
    """A socket of its own, so that another worker may have it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> "UdpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, message: Message, seconds: float = 10) -> Message | None:
        """The answer, or None where none comes."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.socket.send(bytes(message))
            return parse(self.socket.recv(65535))
        return None


@pytest.fixture(params=["1", "2"])
def program(redis: RedisServer, free_port: int, tmp_path: Path, request: pytest.FixtureRequest):
    """Starts the program with one worker and with two. The clients here read one challenge, and want MD5."""
    if sys.platform != "linux":
        pytest.skip("workers")
    started: list[Program] = []

    def start(*arguments: str, **options) -> Program:
        arguments = (*arguments, "--workers", request.param)
        started.append(Program(redis, free_port, tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def run(command: list[str], folder: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=timeout, check=False, cwd=folder,
    )  # fmt: skip


class TestSipsak:
    def test_registers_with_the_right_password(self, client, program, redis: RedisServer, tmp_path: Path) -> None:
        server = program("--algorithm", "MD5", domain="127.0.0.1")
        command = [client("sipsak"), "-U", "-i", "-vv", "-s", f"sip:alice@127.0.0.1:{server.port}", "-u", "alice"]
        command += ["-C", ONE, "-x", "300"]
        result = run([*command, "-a", "secret"], tmp_path)
        assert result.returncode == 0, result.stdout
        assert redis.table("sip:alice@127.0.0.1") == [ONE]
        result = run([*command, "-a", "wrong", "-C", TWO], tmp_path)
        assert result.returncode != 0, result.stdout
        assert redis.table("sip:alice@127.0.0.1") == [ONE]


class TestSipp:
    @pytest.mark.parametrize("losses", [False, True])
    def test_registers_and_unregisters(
        self, client, new_port, program, redis: RedisServer, tmp_path: Path, losses: bool
    ) -> None:
        """With a fifth of all datagrams lost both ways, and so retransmissions of every kind."""
        server = program("--algorithm", "MD5")
        way = LossyWay(server.port) if losses else None
        port = way.port if way else server.port
        command = [client("sipp"), f"127.0.0.1:{port}", "-sf", str(HERE / "sipp/register.xml"), "-nostdin"]
        command += ["-auth_uri", DOMAIN]
        command += ["-i", "127.0.0.1", "-p", str(new_port()), "-m", "40", "-r", "20", "-l", "8"]
        command += ["-max_retrans", "30", "-timeout", "50s", "-timeout_error", "-trace_err"]
        result = run(command, tmp_path)
        if way:
            way.stop()
            assert {what for _, what in way.lost} >= {"REGISTER", "401", "200"}, way.lost
        errors = "".join(path.read_text() for path in tmp_path.glob("*errors.log"))
        assert result.returncode == 0, result.stdout[-3000:] + errors[-3000:]
        assert redis.table() == []

    def test_through_kamailio(self, client, new_port, program, redis: RedisServer, tmp_path: Path) -> None:
        server = program("--algorithm", "MD5")
        edge = new_port()
        target = f'TARGET="127.0.0.1:{server.port}"'
        with running_kamailio(client("kamailio"), "edge.cfg", edge, tmp_path, "-A", target):
            command = [client("sipp"), f"127.0.0.1:{edge}", "-sf", str(HERE / "sipp/register.xml"), "-nostdin"]
            command += ["-auth_uri", DOMAIN]
            command += ["-i", "127.0.0.1", "-p", str(new_port()), "-m", "20", "-r", "20", "-l", "5"]
            result = run([*command, "-timeout", "50s", "-timeout_error"], tmp_path)
            assert result.returncode == 0, result.stdout[-3000:]
            with UdpClient(edge) as phone:
                challenge = phone.ask(register(ONE))
                answer = phone.ask(answered(register(ONE, Supported="path"), challenge, algorithm=OLD))
        assert contacts_of(answer) == {ONE: 3600}
        assert f"127.0.0.1:{edge}" in answer.get_header("Path")
        (row,) = json.loads(redis.client.get("sip:{sip:alice@example.com}"))
        assert f"127.0.0.1:{edge}" in row[1]


BARESIP = """\
sip_listen 127.0.0.1:0
module_path {modules}
module account.so
module_app menu.so
"""


class TestBaresip:
    def test_registers_again_and_again_and_leaves(self, client, program, redis: RedisServer, tmp_path: Path) -> None:
        path = client("baresip")
        modules = Path("/usr/lib/baresip/modules")
        if not modules.is_dir():
            pytest.skip("baresip's modules are somewhere else")
        server = program("--algorithm", "MD5", "--min-expires", "2", domain="127.0.0.1")
        (tmp_path / "config").write_text(BARESIP.format(modules=modules))
        account = f"<sip:alice@127.0.0.1:{server.port}>;auth_user=alice;auth_pass=secret;regint=3\n"
        (tmp_path / "accounts").write_text(account)
        (tmp_path / "contacts").write_text("\n")
        result = run([path, "-v", "-s", "-f", str(tmp_path), "-t", "7"], tmp_path)
        sent = re.findall(r"^Contact: <[^>]*>;expires=([0-9]+)\s+Max-Forwards", result.stdout, re.MULTILINE)
        assert sent.count("3") >= 4, result.stdout  # twice, each with a challenge before it
        assert sent[-1] == "0", result.stdout
        assert result.stdout.count("SIP/2.0 200 OK") >= 3, result.stdout
        assert redis.table("sip:alice@127.0.0.1") == []


class TestWorkers:
    def test_any_worker_takes_any_request(self, program, redis: RedisServer) -> None:
        """A nonce of one is good at another, they have one table, and know what another has done already."""
        server = program()
        for number in range(10):
            with UdpClient(server.port) as one, UdpClient(server.port) as two, UdpClient(server.port) as three:
                call_id = f"call-{number}"
                challenge = one.ask(register(ONE, call_id=call_id))
                again = answered(register(ONE, call_id=call_id, cseq=number), challenge)
                first = two.ask(again)
                again.pop_via()
                again.push_via(f"SIP/2.0/UDP 198.51.100.7;branch={random_branch()};rport")
                second = three.ask(again)
            assert contacts_of(first) == {ONE: 3600}
            assert contacts_of(second) in ({ONE: 3600}, {ONE: 3599})
        assert redis.table() == [ONE]

    def test_two_at_one_moment_keep_both(self, program, redis: RedisServer) -> None:
        server = program()
        with contextlib.ExitStack() as stack:
            phones = [stack.enter_context(UdpClient(server.port)) for _ in range(8)]
            ready = []
            for number, phone in enumerate(phones):
                made = register(f"sip:alice@192.0.2.{number}", call_id=str(number))
                ready.append(bytes(answered(made, phone.ask(made))))
            for phone, data in zip(phones, ready, strict=True):
                phone.socket.send(data)
            assert [parse(phone.socket.recv(65535)).status_code for phone in phones] == [200] * 8
        assert len(redis.table()) == 8

    def test_a_restart_with_a_key_file(self, redis: RedisServer, free_port: int, tmp_path: Path) -> None:
        if sys.platform == "win32":
            pytest.skip("a server process is ended with a signal, which Windows does not have")
        key, users = tmp_path / "key", tmp_path / "users"
        key.write_text("any text")
        users.write_text("".join(f"{name}:{ha1[OLD]}:{ha1[BEST].upper()}\n" for name, ha1 in USERS.items()))
        answers = []
        for arguments in (["--key-file", str(key)], ["--key-file", str(key)], []):
            server = Program(redis, free_port, tmp_path, *arguments, "--users", str(users))
            with UdpClient(free_port) as phone:
                made = register(ONE, to="<sip:bob@example.com>")
                if not answers:
                    again = answered(made, phone.ask(made), username="bob", password="hush")
                answers.append(phone.ask(again))
            server.stop()
        assert [answer.status_code for answer in answers] == [200, 200, 401]
        assert answers[2].get_values("WWW-Authenticate")[0].params["stale"] == "true"


class TestThePage:
    """docs/how-to/registrar.md."""

    PAGE = HERE.parent / "docs/how-to/registrar.md"

    def commands(self, word: str) -> list[str]:
        found = re.findall(r"^\$ (.*)", self.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        return [command for command in found if word in command]

    def test_the_program_starts_as_shown(self, redis: RedisServer, free_port: int, tmp_path: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("workers")
        (command,) = self.commands("registrar.py")
        program, path, *options = shlex.split(command)
        assert (program, path) == ("python", "examples/registrar.py")
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert {*given} == {"--domain", "--user", "--redis", "--workers"}
        server = Program(redis, free_port, tmp_path, "--workers", given["--workers"], domain=given["--domain"])
        with UdpClient(server.port) as phone:
            challenge = phone.ask(register(ONE))
            name, password = given["--user"].split(":")
            answer = phone.ask(answered(register(ONE), challenge, username=name, password=password))
        assert contacts_of(answer) == {ONE: 3600}
        server.stop()

    def test_the_hashes(self) -> None:
        if sys.platform != "linux":
            pytest.skip("the shell and the programs are not those of the page")
        for command, algorithm in zip(self.commands("printf"), (OLD, BEST), strict=True):
            result = run(["bash", "-c", command], HERE)
            assert result.stdout.split()[0] == USERS["alice"][algorithm]
        assert f"{USERS['alice'][OLD]}  -" in self.PAGE.read_text(encoding="utf-8")
