"""Digest authentication for a server, over hashlib (RFC 3261 22, RFC 7616, RFC 8760): registrar.py stands on it."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sipstack import Message, parse_uri
from sipstack.headers import Challenge

NONCE_LIFETIME = 300  # seconds
ALGORITHMS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}  # in the order they are offered, best first (RFC 8760 2.4)
CREDENTIALS = ("username", "nonce", "uri", "response", "cnonce", "nc", "qop")
NONCE_COUNT = re.compile("[0-9a-f]{8}")


class Refused(Exception):  # noqa: N818 - it is an answer
    """Raised where a request gets another answer than what it asks for."""

    def __init__(self, status: int, reason: str | None = None, headers: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


class Proof(NamedTuple):
    """A right answer to a challenge: whose it is, to which nonce, and which answer to that one (its nonce count)."""

    username: str
    nonce: str
    nc: str


class Digest:
    """Digest authentication with qop=auth, of one realm.

    Nothing is kept of a nonce. It is signed: any process with the same key knows its own, and how old it is.

    Args:
        realm: the realm.
        users: `make_ha1` of each user. It opens this realm as the password does: keep it like one.
        key: the secret that nonces are signed with.
        algorithms: what is offered, each in a header of its own. Who knows the first one only, or none but MD5, must
            be offered that alone.
    """

    def __init__(
        self,
        realm: str,
        users: Mapping[str, Mapping[str, str]],
        key: bytes,
        algorithms: Collection[str] = tuple(ALGORITHMS),
    ) -> None:
        self.realm, self.users, self.key, self.algorithms = realm, users, key, algorithms

    def challenge(self, *, stale: bool = False) -> Refused:
        """The 401. `stale`: the password was right, the nonce was not."""
        text = f"{int(time.time()):x}-{secrets.token_hex(8)}"
        params = {"realm": self.realm, "nonce": f"{text}-{self._sign(text)}", "qop": "auth"}
        if stale:
            params["stale"] = "true"
        challenges = [Challenge("Digest", {**params, "algorithm": algorithm}) for algorithm in self.algorithms]
        return Refused(401, headers={"WWW-Authenticate": challenges})

    def check(self, request: Message) -> Proof:
        """Who has sent a request. Raises Refused.

        Whoever lets a request do something lets each `nc` of a nonce do it once.
        """
        given = [one.params for one in request.get_values("Authorization") if one.scheme.lower() == "digest"]
        given = [params for params in given if params.get("realm") == self.realm]
        if not given:
            raise self.challenge()
        params = given[0]
        algorithm = params.get("algorithm", "MD5").upper()
        username, nonce, uri, response, cnonce, nc, qop = (params.get(name, "") for name in CREDENTIALS)
        if len(given) > 1 or algorithm not in self.algorithms:
            raise Refused(400, "Not the credentials for one challenge")
        if qop.lower() != "auth" or not cnonce or not NONCE_COUNT.fullmatch(nc):
            raise Refused(400, "Credentials without qop=auth")
        if parse_uri(uri) != request.uri:
            raise Refused(400, "Credentials for another URI")
        ha1 = self.users.get(username, {}).get(algorithm, "")
        right = digest_response(algorithm, ha1, nonce, nc, cnonce, qop, request.method, uri)
        if not (hmac.compare_digest(octets(right), octets(response)) and ha1):
            raise self.challenge()
        if not self._is_fresh(nonce):
            raise self.challenge(stale=True)
        return Proof(username, nonce, nc)

    def _is_fresh(self, nonce: str) -> bool:
        text, _, signature = nonce.rpartition("-")
        if not hmac.compare_digest(octets(self._sign(text)), octets(signature)):
            return False
        return time.time() - int(text.partition("-")[0], 16) <= NONCE_LIFETIME

    def _sign(self, text: str) -> str:
        return hmac.digest(self.key, octets(text), "sha256")[:16].hex()


def make_ha1(username: str, realm: str, password: str) -> dict[str, str]:
    """H(username:realm:password), by algorithm."""
    return {algorithm: hash_parts(algorithm, username, realm, password) for algorithm in ALGORITHMS}


def digest_response(algorithm: str, ha1: str, nonce: str, nc: str, cnonce: str, qop: str, method: str, uri: str) -> str:
    """What is answered to a challenge by who knows the password (RFC 7616 3.4.1)."""
    return hash_parts(algorithm, ha1, nonce, nc, cnonce, qop, hash_parts(algorithm, method, uri))


def hash_parts(algorithm: str, *parts: str) -> str:
    return ALGORITHMS[algorithm](octets(":".join(parts))).hexdigest()


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
