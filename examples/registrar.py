"""A registrar with its location table in Redis, and digest authentication (RFC 3261 10.3 and 22, RFC 7616).

    python registrar.py --domain example.com --user alice:secret --redis redis://127.0.0.1:6379/0 --workers 2

It needs the package redis and a Redis server, and stands on digest.py and transactions.py beside it. Workers, and
further nodes with the same `--key-file`, share the table: each takes any request, and knows the nonces of the others.
A request to somebody who is registered gets 302 with where he is.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import math
import secrets
import time
from collections.abc import Awaitable
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

from digest import ALGORITHMS, NONCE_LIFETIME, Digest, Proof, Refused, make_ha1, octets
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError
from transactions import Transactions

from sipstack import Address, DatagramTransport, EndpointConfig, HeaderError, Message, SerializeError, SipUri, Uri
from sipstack.headers import STAR, NameAddr
from sipstack.methods import INVITE, MESSAGE, OPTIONS, REFER, REGISTER, SUBSCRIBE
from sipstack.validation import unsupported_options

DEFAULT_EXPIRES, MAX_EXPIRES = 3600, 7200  # seconds; what is not under the first is never too brief (10.3 step 7)
MAX_BINDINGS = 10  # of one address-of-record
MAX_LENGTH = 512  # characters of a Contact, of a Path, of a Call-ID
MAX_SIZE = 16_384  # bytes of a message
REDIS_TIMEOUT = 2.0  # seconds for all that one request asks of Redis
RETRY_AFTER = 5  # seconds
LOG_PAUSE = 1.0  # seconds between two lines of the log about Redis: strangers decide how often it is asked
SUPPORTED = ("path", "outbound")

log = logging.getLogger("registrar")


class Binding(NamedTuple):
    """One place where a user is: the Contact as registered, without `expires`, and how to get there (RFC 3327)."""

    contact: NameAddr
    path: str
    call_id: str
    cseq: int
    until: float  # seconds since 1970

    @property
    def flow(self) -> tuple[str | None, str | None] | None:
        """What a binding is known by where it is one of several connections of a device (RFC 5626 6)."""
        params = self.contact.params
        return (params["+sip.instance"], params["reg-id"]) if "reg-id" in params else None

    def is_same(self, other: "Binding") -> bool:
        if self.flow or other.flow:
            return self.flow == other.flow
        return self.contact.uri == other.contact.uri  # by the rules of 19.1.4


def make_binding(request: Message, contact: NameAddr, expires: int, now: float) -> Binding:
    """The binding that a Contact of a REGISTER asks for."""
    path = request.get_values("Path")
    edge = path[-1].uri if path else None
    dropped = {"expires"}
    if not (isinstance(edge, SipUri) and "ob" in edge.params and "+sip.instance" in contact.params):
        dropped.add("reg-id")  # nobody before us keeps a connection to it (RFC 5626 6)
    params = [(name, value) for name, value in contact.params.items() if name.lower() not in dropped]
    try:
        contact = NameAddr(contact.uri.as_contact(), display_name=contact.display_name, params=params)
        binding = Binding(contact, ", ".join(map(str, path)), request.call_id, request.cseq.num, now + expires)
        target(binding)
    except SerializeError as error:
        raise Refused(400, "Contact or Path can be read, but not written") from error
    if max(map(len, (str(contact), binding.path, binding.call_id))) > MAX_LENGTH:
        raise Refused(400, "Contact, Path or Call-ID is too long")
    return binding


def update(bindings: list[Binding], request: Message, now: float, min_expires: int) -> list[Binding]:
    """The bindings after a REGISTER: 10.3 steps 6 and 7, all or nothing. Raises Refused."""
    contacts, default = request.contacts, read_expires(request)
    if STAR in contacts:
        if len(contacts) > 1 or default:
            raise Refused(400, "* is not alone, or without Expires: 0")
        check_order(bindings, request)
        return []
    result = bindings
    for contact in contacts:
        expires = min(default if contact.expires is None else contact.expires, MAX_EXPIRES)
        if 0 < expires < min(min_expires, DEFAULT_EXPIRES):
            raise Refused(423, headers={"Min-Expires": min(min_expires, DEFAULT_EXPIRES)})
        new = make_binding(request, contact, expires, now)
        check_order([old for old in bindings if old.is_same(new)], request)
        result = [old for old in result if not old.is_same(new)] + ([new] if expires else [])
        if len(result) > MAX_BINDINGS:
            raise Refused(403, "Too many Contacts")
    return result


def read_expires(request: Message) -> int:
    """The Expires header; an hour where there is none, or one that is no number (20.19)."""
    try:
        return next(iter(request.get_values("Expires")), DEFAULT_EXPIRES)
    except HeaderError:
        return DEFAULT_EXPIRES


def check_order(bindings: list[Binding], request: Message) -> None:
    """Refuses a REGISTER that is not the next of its Call-ID."""
    if any(old.call_id == request.call_id and old.cseq >= request.cseq.num for old in bindings):
        raise Refused(500, "CSeq is not higher than before")


class Locations:
    """The bindings of each address-of-record, in one key of Redis that goes with the last of them."""

    def __init__(self, url: str, min_expires: int = 60) -> None:
        times = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT, "timeout": REDIS_TIMEOUT}
        self.redis = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=16, **times))
        self.min_expires = min_expires

    async def find(self, aor: str) -> list[Binding]:
        async with asyncio.timeout(REDIS_TIMEOUT):
            return read_bindings(await self.redis.get(f"sip:{{{aor}}}"), time.time())

    async def register(self, aor: str, request: Message, proof: Proof) -> list[Binding] | None:
        """Does what a REGISTER asks for, as one transaction of Redis; all bindings then. Raises Refused.

        What a nonce was answered for is kept beside, as long as the nonce lasts. The same REGISTER again, which a
        restart or another worker has not seen yet, changes nothing and gets its answer; None for another: a replay.
        """
        table, used = f"sip:{{{aor}}}", f"sip:{{{aor}}}:{proof.nonce}:{proof.nc}"  # {}: one node of a cluster has both
        request_hash = hash_register(request)

        async def change(pipe: Pipeline) -> list[Binding] | Exception | None:
            now = time.time()
            text, used_for = await pipe.mget(table, used)
            bindings = read_bindings(text, now)
            pipe.multi()
            if used_for is not None:
                return bindings if used_for.decode() == request_hash else None
            try:
                bindings = update(bindings, request, now, self.min_expires)
            except (Refused, HeaderError) as refusal:
                pipe.set(used, "", ex=NONCE_LIFETIME)
                return refusal
            pipe.set(used, request_hash, ex=NONCE_LIFETIME)
            if bindings:
                last = max(binding.until for binding in bindings)
                rows = [(str(contact), *others) for contact, *others in bindings]
                pipe.set(table, json.dumps(rows), ex=math.ceil(last - now))
            else:
                pipe.delete(table)
            return bindings

        async with asyncio.timeout(REDIS_TIMEOUT):
            result = await self.redis.transaction(change, table, used, value_from_callable=True)
        if isinstance(result, Exception):
            raise result
        return result


def read_bindings(text: bytes | None, now: float) -> list[Binding]:
    """The bindings that Redis has, without those whose time is over; none where it has something else."""
    try:
        rows = json.loads(text) if text else []
        return [Binding(NameAddr.parse(contact), *others) for contact, *others in rows if others[-1] > now]
    except (ValueError, TypeError, LookupError) as error:
        log.error("no bindings in Redis, but %.80r: %s", text, error)
        return []


def hash_register(request: Message) -> str:
    """What makes two REGISTERs the same: a digest covers no Contact, so this does."""
    lines = [request.get_headers(name) for name in ("Call-ID", "CSeq", "To", "Contact", "Expires", "Path")]
    return hashlib.sha256(octets(json.dumps(lines))).hexdigest()


class Registrar:
    """The registrar of a domain, and the redirect server of who is registered there."""

    def __init__(
        self,
        listen: Address,
        digest: Digest,
        locations: Locations,
        transport: DatagramTransport | None = None,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.domain, self.digest, self.locations = digest.realm, digest, locations
        self._logged = -math.inf
        config = EndpointConfig(host=listen[0], port=listen[1], schemes=("sip",), supported=None, max_size=max_size)
        handlers = dict.fromkeys((INVITE, MESSAGE, OPTIONS, REFER, SUBSCRIBE), self.on_request)
        self.transactions = Transactions(config, {REGISTER: self.on_register, **handlers}, transport=transport)

    async def on_register(self, request: Message, _: Address) -> Message:
        return await self.answer(request, self.register(request))

    async def on_request(self, request: Message, _: Address) -> Message:
        return await self.answer(request, self.redirect(request))

    async def answer(self, request: Message, work: Awaitable[Message]) -> Message:
        try:
            return await work
        except Refused as refused:
            return request.reply(refused.status, refused.reason, headers=refused.headers)
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            if (now := time.monotonic()) >= self._logged + LOG_PAUSE:
                self._logged = now
                log.warning("Redis failed for Call-ID %.80r: %s %s", request.call_id, type(error).__name__, error)
            return request.reply(503, headers={"Retry-After": RETRY_AFTER})

    async def register(self, request: Message) -> Message:
        """10.3, by its steps."""
        # 1. Is it for our domain? We are no proxy for others.
        if not self.is_ours(request.uri):
            raise Refused(404)
        # 2. Is there nothing in Require that we do not know?
        if unknown := unsupported_options(request, SUPPORTED):
            raise Refused(420, headers={"Unsupported": unknown})
        # 3. Who is it?
        proof = self.digest.check(request)
        # 4. May he? Everybody may change his own bindings. From says who registers them, and proves nothing.
        aor = request.to.uri.as_aor()
        if not isinstance(aor, SipUri) or aor.user_decoded != proof.username:
            raise Refused(403)
        # 5. The address-of-record, in the one form that all its spellings have.
        if not self.is_ours(aor):
            raise Refused(404)
        # 6 and 7. The Contacts. What step 8 reads is read first: a 400 comes now, or never.
        _ = request.get_values("Supported"), request.get_values("Path")
        bindings = await self.locations.register(str(aor), request, proof)
        if bindings is None:
            raise self.digest.challenge(stale=True)
        # 8. All that is bound now, and for how long.
        return request.reply(200, headers=describe(request, bindings))

    async def redirect(self, request: Message) -> Message:
        """8.3: where somebody is. Whoever asks learns it."""
        if request.to_tag:
            raise Refused(481)
        aor = request.uri.as_aor()
        if not self.is_ours(aor):
            raise Refused(404)
        if request.method == OPTIONS and aor.user is None:
            return request.reply(200, headers={"Supported": SUPPORTED})
        if aor.user_decoded not in self.digest.users:
            raise Refused(404)
        bindings = await self.locations.find(str(aor))
        if not bindings:
            raise Refused(480)
        return request.reply(302, headers={"Contact": [target(binding) for binding in bindings]})

    def is_ours(self, uri: Uri) -> bool:
        """Whether a URI is of our domain, whatever its port."""
        return isinstance(uri, SipUri) and uri.scheme == "sip" and uri.as_aor().host == self.domain


def describe(request: Message, bindings: list[Binding]) -> dict[str, Any]:
    """The headers of a 200 to a REGISTER (10.3 step 8, RFC 3327 5.3, RFC 5626 6)."""
    headers: dict[str, Any] = {"Date": formatdate(usegmt=True), "Supported": SUPPORTED}
    if bindings:
        headers["Contact"] = [with_expires(binding) for binding in bindings]
    if "path" in request.get_values("Supported") and (path := request.get_values("Path")):
        headers["Path"] = path
    if any(binding.flow and binding.call_id == request.call_id for binding in bindings):
        headers["Require"] = "outbound"
    return headers


def with_expires(binding: Binding) -> NameAddr:
    left = math.ceil(binding.until - time.time())
    return binding.contact.replace(params=[*binding.contact.params.items(), ("expires", max(left, 0))])


def target(binding: Binding) -> NameAddr:
    """A binding as the Contact of a 302. Its Path stands there as a Route (19.1.1), for a proxy that asked us."""
    uri, q = binding.contact.uri, binding.contact.params.get("q")
    if binding.path and isinstance(uri, SipUri):
        uri = uri.replace(headers=[*uri.headers, ("Route", binding.path)])
    return NameAddr(uri, params={"q": q} if q else None)


def parse_domain(text: str) -> str:
    return SipUri(text).as_aor().host


def read_users(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """What `Digest` knows of each user: made from the passwords of --user, or read from the lines of --users."""
    given = (user.partition(":") for user in args.user)
    users = {name: make_ha1(name, args.domain, password) for name, _, password in given}
    for line in args.users.read_text().split() if args.users else ():
        name, md5, sha256 = line.split(":")
        users[name] = {"MD5": md5.lower(), "SHA-256": sha256.lower()}
    return users


def main() -> None:
    parser = argparse.ArgumentParser(description="A registrar with its location table in Redis")
    parser.add_argument("--domain", required=True, type=parse_domain, help="what stands behind the @, and the realm")
    parser.add_argument("--listen", default="127.0.0.1:5060", metavar="HOST:PORT")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL")
    parser.add_argument(
        "--user", action="append", default=[], metavar="NAME:PASSWORD", help="for trying it: ps shows it"
    )
    parser.add_argument("--users", type=Path, metavar="FILE", help="lines of NAME:MD5:SHA-256, of NAME:DOMAIN:PASSWORD")
    parser.add_argument("--algorithm", action="append", choices=ALGORITHMS, help="offer this one only")
    parser.add_argument("--min-expires", type=int, default=60, metavar="SECONDS", help="shorter ones get 423")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="the secret of all nodes, any text")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    key = hashlib.sha256(args.key_file.read_bytes()).digest() if args.key_file else secrets.token_bytes(32)
    digest = Digest(args.domain, read_users(args), key, args.algorithm or tuple(ALGORITHMS))
    host, _, port = args.listen.rpartition(":")
    registrar = Registrar((host.strip("[]"), int(port)), digest, Locations(args.redis, args.min_expires))
    registrar.transactions.endpoint.run(workers=args.workers)


if __name__ == "__main__":
    main()
