"""Via, by which responses find their way back (RFC 3261 18.2, 20.42, RFC 3581)."""

import re
from collections.abc import Callable
from typing import Final, Self

from .._grammar import BLANK, DIGITS, HEX_CHARS, LWS, QUOTED_STRING, READABLE_HOST, SWS, TOKEN, is_host, is_ipv6
from .._limits import MAX_PORT, MAX_TTL, default_port
from .._params import Parameter, ParamsLike, WithParams, as_pairs, merge_parameters, parameters_behind, write_parameters
from .._values import assign, canonical_host, lower, need_number, need_str, need_token, parse_number, tolerate
from ..errors import HeaderError, SerializeError
from ..uri import NO_HOST, need_host, need_port
from ._base import readable
from ._lists import Reader, parse_list

MAGIC_COOKIE: Final = "z9hG4bK"
"""What a branch by RFC 3261 starts with (8.1.1.7)."""

_SENT_PROTOCOL: Final = f"({TOKEN}){SWS}/{SWS}({TOKEN}){SWS}/{SWS}({TOKEN})"
_SENT_BY: Final = f"({READABLE_HOST})(?:{SWS}:{SWS}({DIGITS}))?"
_VIA: Final = re.compile(f"{SWS}{_SENT_PROTOCOL}{LWS}{_SENT_BY}{SWS}")
# RFC 5118 4.5: received with brackets must be read, and must not be sent. Quoted strings are stepped over.
_RECEIVED_BRACKETS: Final = re.compile(
    rf"{QUOTED_STRING}|((?:^|;){SWS}received{SWS}={SWS})\[([{HEX_CHARS}:.]++)\]", re.IGNORECASE | re.ASCII
)


class Via(WithParams):
    """One Via value (RFC 3261 20.42, RFC 3581).

    Attributes:
        protocol: name and version without blanks, `"SIP/2.0"`.
        transport: `"UDP"`, as sent.
        host: the sent-by host; an IPv6 address keeps its brackets.
        port: the sent-by port, None where there is none.
        branch: the branch, None where there is none (RFC 2543).
        received: the address the request came from; an IPv6 address has no brackets, even if it was sent with them.
        rport: None: not there; 0: there without a value; else the source port.
        maddr: the maddr parameter; ttl: 0 to 255. None where absent.

    One of these parameters that cannot be read is None too; `params` has its text.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("_params", "branch", "host", "maddr", "port", "protocol", "received", "rport", "transport", "ttl")
    protocol: str
    transport: str
    host: str
    port: int | None
    branch: str | None
    received: str | None
    rport: int | None
    maddr: str | None
    ttl: int | None

    def __init__(
        self,
        host: str,
        *,
        port: int | None = None,
        transport: str = "UDP",
        protocol: str = "SIP/2.0",
        branch: str | None = None,
        received: str | None = None,
        rport: int | None = None,
        maddr: str | None = None,
        ttl: int | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build a Via; `params` are those that have no argument of their own. Raises SerializeError."""
        if need_str(host, "host").upper().startswith("SIP/"):
            raise SerializeError("host is not a host name or address; Via.parse reads a whole Via")
        protocol = need_str(protocol, "protocol")
        name, _, version = protocol.partition("/")
        need_token(name, "protocol")
        need_token(version, "protocol version")
        known: dict[str, str | int | None] = {
            "branch": None if branch is None else need_token(branch, "branch"),
            # an IPv6 address loses its brackets
            "received": None if received is None else need_host(received, "received").strip("[]"),
            "rport": None if rport is None else need_number(rport, "rport", MAX_PORT),
            "maddr": None if maddr is None else need_host(maddr, "maddr"),
            "ttl": None if ttl is None else need_number(ttl, "ttl", MAX_TTL),
        }
        if any(lower(given) in known for given, _ in as_pairs(params)):
            raise SerializeError("params holds a parameter that has an argument of its own")
        assign(self, protocol=protocol, transport=need_token(transport, "transport"), host=need_host(host))
        written = [
            (name, None if name == "rport" and value == 0 else str(value))
            for name, value in known.items()
            if value is not None
        ]
        assign(self, port=need_port(port), _params=write_parameters(params, *written), **known)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one Via value."""
        found = _VIA.match(text)
        if found is None:
            raise HeaderError("Via is not protocol/version/transport and host")
        name, version, transport, host, port = found.groups()
        if not is_host(host):
            tolerate(NO_HOST)
        port = None if port is None else parse_number(port, MAX_PORT, "port", found.start(5))
        end = found.end()
        known: dict[str, object] = dict.fromkeys(_KNOWN)
        for key, parameter in parameters_behind(text, end, "Via", _ONCE).items():
            if key in known:
                known[key] = _read_known(key, parameter)
        raw = text[end + 1 :].strip(BLANK)
        if "[" in raw and known["received"] is not None:
            raw = _RECEIVED_BRACKETS.sub(lambda match: match[2] + match[3] if match[2] else match[0], raw)
        return cls._of(protocol=f"{name}/{version}", transport=transport, host=host, port=port, _params=raw, **known)

    @property
    def sent_by(self) -> str:
        """Host and port as written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def response_address(self) -> tuple[str, int]:
        """Where a response goes that has this Via on top: host without brackets, and port (18.2.2, RFC 3581 4).

        `received` and `rport` come before what the sender wrote. Where no port is named it is that of the transport:
        5060; 5061 for TLS, 80 for WS, 443 for WSS. `maddr` is not followed. On a transport with connections this is for
        when the one that the request came by is gone.
        """
        port = self.rport or self.port or default_port(self.transport)
        return self.received or self.host.strip("[]"), port

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed: `via.replace(received="192.0.2.1", rport=5061)`."""
        made = type(self)(**{"host": "unchanged", **changes})  # type: ignore[arg-type]
        kept = {name: getattr(self, name) for name in ("host", "port", "transport", "protocol") if name not in changes}
        known = {name: getattr(made if name in changes else self, name) for name in _KNOWN}
        params = merge_parameters(
            self._params, made._params, lambda name: name in changes or (name not in _KNOWN and "params" in changes)
        )
        assign(made, _params=params, **kept, **known)
        return made

    def _key(self) -> tuple[object, ...]:
        branch = None if self.branch is None else lower(self.branch)
        return lower(self.protocol), lower(self.transport), canonical_host(self.host), self.port, branch

    def _agrees(self, other: "Via") -> bool:
        return self.params == other.params

    def _head(self) -> str:
        return f"{self.protocol}/{self.transport} {self.sent_by}"


def _read_known(key: str, parameter: Parameter) -> object:
    """The value of a Via parameter that has a meaning; None where it cannot be read."""
    _, value, quoted = parameter
    if quoted or (value is None and key != "rport"):
        tolerate(f"{key} has no value or a quoted one")
        return None
    return 0 if value is None else readable(_KNOWN[key], value)


def _read_host(value: str, what: str) -> str:
    """A host; an IPv6 address with or without brackets is read (RFC 5118 4.5)."""
    if not (is_host(value) or is_ipv6(value)):
        raise HeaderError(f"{what} is not a host name or address")
    return value


def _read_rport(value: str) -> int:
    port = parse_number(value, MAX_PORT, "rport")
    if port == 0:
        raise HeaderError("rport is out of range")
    return port


_KNOWN: Final[dict[str, Callable[[str], object]]] = {
    "branch": lambda value: value,
    "received": lambda value: _read_host(value, "received").strip("[]"),
    "rport": _read_rport,
    "maddr": lambda value: _read_host(value, "maddr"),
    "ttl": lambda value: parse_number(value, MAX_TTL, "ttl"),
}
"""The parameters with an attribute of their own, and what reads their values."""
_ONCE: Final = frozenset({"branch"})


def parse_vias(value: str) -> tuple[Via, ...]:
    """The values of a Via field, of which there is one at least."""
    return parse_list(Via, value) or (Via.parse(value),)


READERS: Final[dict[str, Reader]] = {"Via": parse_vias}
