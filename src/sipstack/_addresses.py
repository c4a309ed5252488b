"""The structured values that every message has: Via, addresses, CSeq, and RAck (RFC 3261 20, RFC 3262).

`sipstack.headers` has all structured values under one roof.
"""

import re
from typing import Final, Self

from sipstack._fields import parse_qvalue
from sipstack._values import (
    BLANK,
    MAX_SECONDS,
    TOKEN_CHARS,
    HeaderValue,
    Parameter,
    Params,
    ParamsLike,
    assign,
    lower,
    merge_parameters,
    need_number,
    need_str,
    need_text,
    need_token,
    pairs,
    parse_number,
    parse_quoted,
    quote,
    read_params,
    scan_parameters,
    shared_parameters_agree,
    write_parameters,
)
from sipstack.errors import HeaderError, SerializeError
from sipstack.uri import (
    HOST_PATTERN,
    MAX_PORT,
    AbsoluteUri,
    SipUri,
    TelUri,
    Uri,
    is_host,
    is_ipv6,
    need_host,
    need_port,
    parse_uri,
)

MAX_CSEQ: Final = 2**31 - 1

_SPACES: Final = rf"[{BLANK}]*+"
_VIA: Final = re.compile(
    rf"{_SPACES}([{TOKEN_CHARS}]++){_SPACES}/{_SPACES}([{TOKEN_CHARS}]++){_SPACES}/{_SPACES}([{TOKEN_CHARS}]++)"
    rf"[{BLANK}]++({HOST_PATTERN})(?:{_SPACES}:{_SPACES}([0-9]++))?{_SPACES}"
)
_NUMBER_METHOD: Final = re.compile(rf"{_SPACES}([0-9]++)[{BLANK}]++([{TOKEN_CHARS}]++){_SPACES}\Z")
_RACK: Final = re.compile(rf"{_SPACES}([0-9]++)[{BLANK}]++([0-9]++)[{BLANK}]++([{TOKEN_CHARS}]++){_SPACES}\Z")
# RFC 3261 has tokens in a display name without quotes. Anything that is no delimiter and no control is read as one;
# a colon, a semicolon and a comma are delimiters: the text in front of < may be an address by itself.
_DISPLAY: Final = re.compile(r"[^\x00-\x08\x0A-\x1F\x7F\"<>,;:\\]*+")
_TAG: Final = re.compile(rf"(?:\A|;){_SPACES}tag{_SPACES}={_SPACES}([^;{BLANK}]++)", re.IGNORECASE | re.ASCII)
_BARE_URI: Final = re.compile(rf"[^;{BLANK}]*+")


class Via(HeaderValue):
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
    _params: str

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
        name, _, version = need_str(protocol, "protocol").partition("/")
        need_token(name, "protocol")
        need_token(version, "protocol version")
        branch = None if branch is None else need_token(branch, "branch")
        received = None if received is None else _need_address(received)
        rport = None if rport is None else need_number(rport, "rport", MAX_PORT)
        maddr = None if maddr is None else need_host(maddr, "maddr")
        ttl = None if ttl is None else need_number(ttl, "ttl", 255)
        known: list[tuple[str, str | None]] = [] if branch is None else [("branch", branch)]
        known += [] if received is None else [("received", received)]
        known += [] if rport is None else [("rport", str(rport) if rport else None)]
        known += [] if maddr is None else [("maddr", maddr)]
        known += [] if ttl is None else [("ttl", str(ttl))]
        if any(lower(given) in _VIA_PARAMETERS for given, _ in pairs(params)):
            raise SerializeError("params holds a parameter that has an argument of its own")
        assign(self, protocol=protocol, transport=need_token(transport, "transport"), host=need_host(host))
        assign(self, port=need_port(port), branch=branch, received=received, rport=rport, maddr=maddr, ttl=ttl)
        assign(self, _params=write_parameters(params, *known))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one Via value."""
        found = _VIA.match(text)
        if found is None or not is_host(found[4]):
            raise HeaderError("Via is not protocol/version/transport and host", offset=found.start(4) if found else 0)
        end = found.end()
        port = None if found[5] is None else parse_number(found[5], MAX_PORT, "port", found.start(5))
        if end < len(text) and text[end] != ";":
            raise HeaderError("Via holds an illegal character", offset=end)
        known = dict.fromkeys(_VIA_PARAMETERS)
        raw = text[end + 1 :].strip(BLANK)
        if end < len(text):
            for parameter in scan_parameters(text, end + 1):
                _read_via_parameter(known, parameter, end + 1)
            if "[" in raw and known["received"] is not None:
                raw = _RECEIVED_BRACKETS.sub(lambda match: match[1] + match[2] if match[1] else match[0], raw)
        via = cls.__new__(cls)
        assign(
            via, protocol=f"{found[1]}/{found[2]}", transport=found[3], host=found[4], port=port, _params=raw, **known
        )
        return via

    @property
    def params(self) -> Params:
        """All parameters, those with an attribute of their own too."""
        return read_params(self._params)

    @property
    def sent_by(self) -> str:
        """Host and port as written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def response_address(self) -> tuple[str, int]:
        """Where a response goes that has this Via on top: host without brackets, and port (18.2.2, RFC 3581 4).

        `received` and `rport` come before what the sender wrote; 5060 where no port is named. `maddr` is not followed.
        """
        return self.received or self.host.strip("[]"), self.rport or self.port or 5060

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed: `via.replace(received="192.0.2.1", rport=5061)`."""
        mine = {name: getattr(self, name) for name in _VIA_OWN}
        made = type(self)(**{**mine, **changes})
        known = {name: getattr(made if name in changes else self, name) for name in _VIA_PARAMETERS}
        params = merge_parameters(
            self._params,
            made._params,
            lambda name: name in changes or (name not in _VIA_PARAMETERS and "params" in changes),
        )
        assign(made, _params=params, **known)
        return made

    def __str__(self) -> str:
        params = f";{self._params}" if self._params else ""
        return f"{self.protocol}/{self.transport} {self.sent_by}{params}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Via):
            return NotImplemented
        return self._fixed() == other._fixed() and self.params == other.params

    def __hash__(self) -> int:
        return hash(self._fixed())

    def _fixed(self) -> tuple[object, ...]:
        branch = None if self.branch is None else lower(self.branch)
        return lower(self.protocol), lower(self.transport), lower(self.host), self.port, branch


_VIA_PARAMETERS: Final = ("branch", "received", "rport", "maddr", "ttl")
_VIA_OWN: Final = ("host", "port", "transport", "protocol")
# RFC 5118 4.5: received with brackets must be read, and must not be sent. Quoted strings are stepped over.
_RECEIVED_BRACKETS: Final = re.compile(
    rf'"(?:[^"\\]++|\\.)*+"|((?:^|;){_SPACES}received{_SPACES}={_SPACES})\[([0-9A-Fa-f:.]++)\]',
    re.IGNORECASE | re.ASCII,
)


def _read_via_parameter(known: dict[str, object], parameter: Parameter, offset: int) -> None:
    """Check a Via parameter that has a meaning, and keep it under its name."""
    name, value, quoted = parameter
    key = lower(name)
    if key not in known:
        return
    if quoted or (value is None and key != "rport"):
        raise HeaderError(f"{key} has no value or a quoted one", offset=offset)
    if value is None:
        known[key] = 0
    elif key == "ttl":
        known[key] = parse_number(value, 255, "ttl", offset)
    elif key == "rport":
        known[key] = parse_number(value, MAX_PORT, "rport", offset)
        if known[key] == 0:
            raise HeaderError("rport is out of range", offset=offset)
    elif key == "branch":
        known[key] = value
    else:
        known[key] = _read_host(value, key, offset)


def _read_host(value: str, key: str, offset: int) -> str:
    """The host of a received or maddr parameter: an IPv6 address with or without brackets is read (RFC 5118 4.5)."""
    if not (is_host(value) or is_ipv6(value)):
        raise HeaderError(f"{key} is not a host name or address", offset=offset)
    return value[1:-1] if key == "received" and value[0] == "[" else value


def _need_address(value: object) -> str:
    """The value of a received parameter to write: an IPv6 address loses its brackets."""
    return need_host(value, "received").strip("[]")


class NameAddr(HeaderValue):
    """An address with a display name and parameters: From, To, Contact, Route, Refer-To, P-Asserted-Identity, ...

    (RFC 3261 20.10, 20.20, 20.34, 20.39.)

    Attributes:
        display_name: without quotes and quoted-pairs, `""` where there is none.
        uri: a SipUri, TelUri or AbsoluteUri.

    `==` is the comparison that RFC 3261 gives for From and To: the URIs match, the tags match, and so do the other
    parameters that both have; the display name does not count.
    """

    # The compiled core fills exactly these slots. _angle: there were, or there shall be, <> round the URI.
    __slots__ = ("_angle", "_params", "display_name", "uri")
    display_name: str
    uri: Uri
    _params: str
    _angle: bool

    def __init__(
        self,
        uri: Uri | str,
        *,
        display_name: str = "",
        tag: str | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build an address; it is written with `<>`. `params` are the header's, those of the URI are in the URI.

        Raises SerializeError, also for a `uri` str that is no URI.
        """
        if isinstance(uri, str):
            try:
                uri = parse_uri(uri)
            except HeaderError as error:
                raise SerializeError(f"uri: {error.reason}") from error
        if not isinstance(uri, SipUri | TelUri | AbsoluteUri):
            raise TypeError(f"uri must be a URI or str, not {type(uri).__name__}")
        known = [] if tag is None else [("tag", need_token(tag, "tag"))]
        assign(self, display_name=need_text(display_name, "display name"), uri=uri, _angle=True)
        assign(self, _params=write_parameters(params, *known))
        _check_tag(self.params)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one address.

        Without `<>` everything behind the first `;` belongs to the header, and the URI may have no `?` and no comma
        (RFC 3261 20: they must be in `<>` then).
        """
        start = len(text) - len(text.lstrip(BLANK))
        name, position = "", start
        if text[start : start + 1] == '"':
            name, position = parse_quoted(text, start)
            position = _skip_blanks(text, position)
            if text[position : position + 1] != "<":
                raise HeaderError("display name without <URI> behind it", offset=position)
        else:
            found = _DISPLAY.match(text, start)
            if found and text[found.end() : found.end() + 1] == "<":
                name, position = found[0].strip(BLANK), found.end()
        angle = text[position : position + 1] == "<"
        uri, end = _bracketed_uri(text, position) if angle else _bare_uri(text, position)
        end = _skip_blanks(text, end)
        if end < len(text):
            if text[end] != ";":
                raise HeaderError("address holds an illegal character", offset=end)
            _check_tag_parameter(scan_parameters(text, end + 1), end + 1)
        value = cls.__new__(cls)
        assign(value, display_name=name, uri=uri, _params=text[end + 1 :].strip(BLANK), _angle=angle)
        return value

    @property
    def params(self) -> Params:
        """The header's parameters; those of the URI are in `uri.params`."""
        return read_params(self._params)

    @property
    def tag(self) -> str | None:
        """The tag parameter, None where there is none."""
        if '"' in self._params:
            return self.params.get("tag")
        found = _TAG.search(self._params)
        return found[1] if found else None

    @property
    def q(self) -> float | None:
        """A Contact's preference, 0.0 to 1.0; HeaderError where it is something else."""
        value = self.params.get("q")
        return None if "q" not in self.params else parse_qvalue(value or "")

    @property
    def expires(self) -> int | None:
        """A Contact's expires parameter in seconds; HeaderError where it is no number below 2**32."""
        value = self.params.get("expires")
        return None if "expires" not in self.params else parse_number(value or "", MAX_SECONDS, "expires")

    def with_tag(self, tag: str) -> Self:
        """A copy with this tag behind its other parameters, in place of the one it has."""
        return self.replace(tag=tag)

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed: `address.replace(display_name="")`."""
        made = type(self)(**{"uri": self.uri, **changes})  # type: ignore[arg-type]
        params = merge_parameters(
            self._params, made._params, lambda name: name in changes if name == "tag" else "params" in changes
        )
        assign(made, _params=params)
        if "display_name" not in changes:
            assign(made, display_name=self.display_name)
        return made

    def __str__(self) -> str:
        uri = str(self.uri)
        if self._angle or self.display_name or any(mark in uri for mark in ",;?"):
            uri = f"<{uri}>"
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}{uri};{self._params}" if self._params else f"{name}{uri}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NameAddr):
            return NotImplemented
        return self._fixed() == other._fixed() and shared_parameters_agree(self.params, other.params)

    def __hash__(self) -> int:
        return hash(self._fixed())

    def _fixed(self) -> tuple[object, ...]:
        tag = self.tag
        return self.uri, None if tag is None else lower(tag)


def _skip_blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t"):
        position += 1
    return position


def _bracketed_uri(text: str, position: int) -> tuple[Uri, int]:
    """Read the URI in the `<>` that open at a position. Blanks inside are an error (RFC 4475 3.1.2.14)."""
    close = text.find(">", position)
    if close < 0:
        raise HeaderError("< is not closed", offset=position)
    inside = text[position + 1 : close]
    if inside != inside.strip(BLANK):
        raise HeaderError("blank inside <>", offset=position + 1)
    return _uri_at(inside, position + 1), close + 1


def _bare_uri(text: str, position: int) -> tuple[Uri, int]:
    """The URI without `<>` at a position, and where it ends."""
    found = _BARE_URI.match(text, position)
    bare = found[0] if found else ""
    for mark in "?,":
        if mark in bare:
            raise HeaderError(f"URI with {mark} is not in <>", offset=position + bare.index(mark))
    return _uri_at(bare, position), position + len(bare)


def _uri_at(text: str, offset: int) -> Uri:
    try:
        return parse_uri(text)
    except HeaderError as error:
        raise HeaderError(error.reason, offset=offset + error.offset, status=400) from None


def _check_tag_parameter(found: list[Parameter], offset: int) -> None:
    for name, value, quoted in found:
        if lower(name) == "tag" and (value is None or quoted):
            raise HeaderError("tag has no value or a quoted one", offset=offset)


def _check_tag(params: Params) -> None:
    """A tag that came by `params` is held to what the argument is held to."""
    if "tag" in params:
        need_token(params["tag"] or "", "tag")


class Star(HeaderValue):
    """The `*` of `Contact: *` (RFC 3261 10.2.2). `STAR` is its one instance."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `*`."""
        if text.strip(BLANK) != "*":
            raise HeaderError("not a *")
        return cls()

    def __str__(self) -> str:
        return "*"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Star)

    def __hash__(self) -> int:
        return hash(Star)


STAR: Final = Star()
Contact = NameAddr | Star
"""A value of a Contact header."""


class CSeq(HeaderValue):
    """A CSeq value (RFC 3261 20.16).

    Attributes:
        num: 0 to 2**31 - 1.
        method: the method, as sent.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("method", "num")
    num: int
    method: str

    def __init__(self, num: int, method: str) -> None:
        """Build a CSeq. Raises SerializeError."""
        assign(self, num=need_number(num, "CSeq", MAX_CSEQ), method=need_token(method, "method"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CSeq value."""
        found = _NUMBER_METHOD.match(text)
        if found is None:
            raise HeaderError("CSeq is not a number and a method")
        value = cls.__new__(cls)
        assign(value, num=parse_number(found[1], MAX_CSEQ, "CSeq", found.start(1)), method=found[2])
        return value

    def __str__(self) -> str:
        return f"{self.num} {self.method}"

    def __eq__(self, other: object) -> bool:
        return (self.num, self.method) == (other.num, other.method) if isinstance(other, CSeq) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.num, self.method))


class RAck(HeaderValue):
    """A RAck value (RFC 3262 7.2).

    Attributes:
        rseq: 1 to 2**32 - 1.
        cseq: 0 to 2**31 - 1.
        method: the method, as sent.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("cseq", "method", "rseq")
    rseq: int
    cseq: int
    method: str

    def __init__(self, rseq: int, cseq: int, method: str) -> None:
        """Build a RAck. Raises SerializeError."""
        assign(self, rseq=need_number(rseq, "RSeq", MAX_SECONDS, 1), cseq=need_number(cseq, "CSeq", MAX_CSEQ))
        assign(self, method=need_token(method, "method"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a RAck value."""
        found = _RACK.match(text)
        if found is None:
            raise HeaderError("RAck is not two numbers and a method")
        rseq = parse_rseq(found[1])
        value = cls.__new__(cls)
        assign(value, rseq=rseq, cseq=parse_number(found[2], MAX_CSEQ, "CSeq", found.start(2)), method=found[3])
        return value

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RAck):
            return NotImplemented
        return (self.rseq, self.cseq, self.method) == (other.rseq, other.cseq, other.method)

    def __hash__(self) -> int:
        return hash((self.rseq, self.cseq, self.method))


def parse_rseq(value: str) -> int:
    """An RSeq value, 1 to 2**32 - 1 (RFC 3262 7.1)."""
    number = parse_number(value.strip(BLANK), MAX_SECONDS, "RSeq")
    if number == 0:
        raise HeaderError("RSeq is out of range")
    return number
