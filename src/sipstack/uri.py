"""SIP, SIPS and tel URIs, and any other URI as an opaque one (RFC 3261 19.1 and 25.1, RFC 3966).

Escapes (`%41`) stay as they were sent; the properties that decode them say so.
"""

import ipaddress
import re
from typing import Final, Self

from sipstack._values import (
    HeaderValue,
    Parameter,
    Params,
    ParamsLike,
    assign,
    lower,
    need_number,
    need_str,
    pairs,
    parse_number,
)
from sipstack.errors import HeaderError, SerializeError

__all__ = ["AbsoluteUri", "SipUri", "TelUri", "Uri", "escape_uri", "parse_uri", "unescape_uri"]

MAX_PORT: Final = 65535

_BEYOND_ASCII: Final = r"\u0080-\uD7FF\uDC80-\uDCFF\uE000-\U0010FFFF"  # what UTF-8 with surrogateescape can write
_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
# '#' (dial strings) and raw UTF-8 are no part of the RFC's user, but phones send both, and neither is ambiguous.
_USER: Final = rf"(?:[{_UNRESERVED}&=+$,;?/#{_BEYOND_ASCII}]++|{_ESCAPED})++"
_STRICT_USER: Final = rf"(?:[{_UNRESERVED}&=+$,;?/]++|{_ESCAPED})++"
_PASSWORD: Final = rf"(?:[{_UNRESERVED}&=+$,]++|{_ESCAPED})*+"
_PARAM: Final = rf"(?:[{_UNRESERVED}\[\]/:&+$]++|{_ESCAPED})++"
_HEADER_PART: Final = rf"(?:[{_UNRESERVED}\[\]/?:+$]++|{_ESCAPED})"
# An atomic group around a greedy one, not `(...)*+`: up to Python 3.11.4 that one keeps what the repetition that failed
# had already read ("a-" would be a label, CPython gh-106052).
_LABEL: Final = r"[A-Za-z0-9_]++(?>(?:-++[A-Za-z0-9_]++)*)"
HOST_PATTERN: Final = rf"(?:\[[0-9A-Fa-f:.]{{2,47}}\]|{_LABEL}(?>(?:\.{_LABEL})*)\.?)"
"""A host name (underscores and a dot at the end are tolerated), an IPv4 address or an IPv6 reference; see is_host."""

_USERINFO: Final = re.compile(rf"({_USER})(?::({_PASSWORD}))?@")
_HOSTPORT: Final = re.compile(rf"({HOST_PATTERN})(?::([0-9]++))?")
_HOST: Final = re.compile(HOST_PATTERN)
_PARAM_PAIR: Final = re.compile(rf"({_PARAM})(?:=({_PARAM}))?")
_HEADER_PAIR: Final = re.compile(rf"({_HEADER_PART}++)=({_HEADER_PART}*+)")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
# Everything a URI may be made of, and what is often sent raw in one; never a blank, a control, or a delimiter.
_OPAQUE: Final = re.compile(rf"(?:[{_UNRESERVED};/?:@&=+$,\[\]#|^`{{}}{_BEYOND_ASCII}]++|{_ESCAPED})++")
_STRICT_OPAQUE: Final = re.compile(rf"(?:[{_UNRESERVED};/?:@&=+$,\[\]#]++|{_ESCAPED})++")
_TEL_NUMBER: Final = re.compile(r"(?:\+[0-9.()\-]*+|[0-9A-Fa-f*#.()\-]++)")
_TEL_DIGIT: Final = re.compile(r"[0-9A-Fa-f*#]")
_VISUAL: Final = re.compile(r"[.()\-]")
_ESCAPE_BYTES: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_ESCAPE_TEXT: Final = re.compile(_ESCAPED)
_DECIMAL_LABEL: Final = re.compile(r"(?:.*\.)?[0-9]++\.?\Z")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}\Z")
_RESERVED: Final = frozenset(";/?:@&=+$,")
_UNRESERVED_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
# The parameters that make two URIs differ when one of them alone has it (19.1.4, and its example with transport).
_NEVER_IGNORED: Final = ("user", "ttl", "method", "maddr", "transport")


def unescape_uri(text: str) -> str:
    """Decode %-escapes once. Octets that are not UTF-8 come out as surrogates (surrogateescape)."""
    if "%" not in text:
        return text
    octets = text.encode("utf-8", "surrogateescape")
    return _ESCAPE_BYTES.sub(lambda found: bytes((int(found[1], 16),)), octets).decode("utf-8", "surrogateescape")


def escape_uri(text: str, safe: str = "") -> str:
    """Write any text so that it can stand in every part of a URI: all but unreserved characters become %-escapes.

    `safe` names ASCII characters to leave as they are, such as `"+"` in a telephone number as a user.
    Raises SerializeError for a text that has no UTF-8 (a surrogate that stands for no octet).
    """
    try:
        octets = need_str(text, "text").encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise SerializeError("text cannot be written as UTF-8") from error
    kept = _UNRESERVED_BYTES.union(safe.encode("ascii"))
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in octets)


def is_host(text: str) -> bool:
    """Whether the text is a host: a name, an IPv4 address, an IPv6 reference in brackets (RFC 3261 25.1, RFC 5954)."""
    if _HOST.fullmatch(text) is None:
        return False
    if text[0] == "[":
        return is_ipv6(text[1:-1])
    # A name whose last label is a number is an address or nothing.
    last = text.rstrip(".")[-1:]
    if "0" <= last <= "9" and _DECIMAL_LABEL.match(text):
        return _IPV4.match(text) is not None
    return True


def is_ipv6(text: str) -> bool:
    """Whether the text is an IPv6 address, without brackets and zone.

    RFC 3261's own grammar derives three colons before an embedded IPv4 address; RFC 5118 4.10 asks to tolerate them.
    """
    if "%" in text or len(text) > 46:
        return False
    if ":::" in text and "." in text:
        text = text.replace(":::", "::", 1)
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def need_host(value: object, what: str = "host") -> str:
    """The value, when it is a host; an IPv6 address without brackets gets them."""
    text = need_str(value, what)
    if is_ipv6(text):
        text = f"[{text}]"
    if not is_host(text):
        raise SerializeError(f"{what} is not a host name or address")
    return text


def need_port(value: object, what: str = "port") -> int | None:
    """The value, when it is None or a port number."""
    return None if value is None else need_number(value, what, MAX_PORT)


def host_port(text: str, position: int) -> tuple[str, int | None, int]:
    """The host and the port at a position of a URI, and where they end."""
    found = _HOSTPORT.match(text, position)
    if found is None or not is_host(found[1]):
        raise HeaderError("host is not a host name or address", offset=position)
    if found[2] is None:
        return found[1], None, found.end()
    return found[1], parse_number(found[2], MAX_PORT, "port", found.start(2)), found.end()


class SipUri(HeaderValue):
    """A SIP or SIPS URI.

    Attributes:
        scheme: `"sip"` or `"sips"`.
        user: the user part with its escapes as sent, None where there is none. `user_decoded` is its meaning.
        password: the password as sent, None where there is none.
        host: the host as sent; an IPv6 address keeps its brackets.
        port: the port, None where there is none.

    `==` is the comparison of RFC 3261 19.1.4. It is not transitive, because parameters that one side alone has
    mostly do not count; use `str()` for a key that tells apart whatever differs.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("_headers", "_params", "host", "password", "port", "scheme", "user")
    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    _params: str
    _headers: str

    def __init__(
        self,
        host: str,
        *,
        user: str | None = None,
        password: str | None = None,
        port: int | None = None,
        scheme: str = "sip",
        params: ParamsLike | None = None,
        headers: ParamsLike | None = None,
    ) -> None:
        """Build a URI. `user` and `password` are taken with their escapes (`escape_uri` makes them).

        Parameters and headers are given by their meaning and are escaped here. Raises SerializeError.
        """
        if need_str(scheme, "scheme") not in ("sip", "sips"):
            raise SerializeError("scheme is neither sip nor sips")
        if user is not None and re.fullmatch(_STRICT_USER, need_str(user, "user")) is None:
            raise SerializeError("user is empty or holds a character that must be escaped")
        if password is not None and (user is None or re.fullmatch(_PASSWORD, need_str(password, "password")) is None):
            raise SerializeError("password has no user or holds a character that must be escaped")
        assign(self, scheme=scheme, user=user, password=password, host=need_host(host), port=need_port(port))
        assign(self, _params=_write_params(params), _headers=_write_headers(headers))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `sip:` or `sips:` URI."""
        colon = text.find(":", 0, 5)
        scheme = text[: max(colon, 0)].lower()
        if scheme not in ("sip", "sips"):
            raise HeaderError("scheme is neither sip nor sips", status=416)
        found = _USERINFO.match(text, colon + 1)
        user, password, start = (found[1], found[2], found.end()) if found else (None, None, colon + 1)
        if found is None and "%" in text:
            _check_escapes(text)
        host, port, end = host_port(text, start)
        params, end = _scan_params(text, end)
        headers = _scan_headers(text, end)
        uri = cls.__new__(cls)
        assign(uri, scheme=scheme, user=user, password=password, host=host, port=port, _params=params, _headers=headers)
        return uri

    @property
    def params(self) -> Params:
        """The URI's parameters, names and values without escapes."""
        return _read_params(self._params)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The URI's header part, names and values without escapes."""
        if not self._headers:
            return ()
        parts = (part.partition("=") for part in self._headers.split("&"))
        return tuple((unescape_uri(name), unescape_uri(value)) for name, _, value in parts)

    @property
    def user_decoded(self) -> str | None:
        """The user part without escapes."""
        return None if self.user is None else unescape_uri(self.user)

    @property
    def password_decoded(self) -> str | None:
        """The password without escapes."""
        return None if self.password is None else unescape_uri(self.password)

    @property
    def host_port(self) -> str:
        """Host and port as written: `example.com:5070`, `[2001:db8::1]`."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, None where there is none."""
        value = self.params.get("transport")
        return None if value is None else lower(value)

    @property
    def lr(self) -> bool:
        """Whether the URI asks for loose routing (RFC 3261 19.1.1)."""
        return "lr" in self.params

    @property
    def maddr(self) -> str | None:
        """The maddr parameter."""
        return self.params.get("maddr")

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed, such as `uri.replace(port=5070, params=None)`."""
        given = {"host": self.host, **changes}
        if given.get("password") is not None:
            given.setdefault("user", "user" if self.user else None)
        made = type(self)(**given)  # type: ignore[arg-type]
        assign(made, **{slot: getattr(self, slot) for name, slot in _SIP_SLOTS.items() if name not in changes})
        if made.user is None:
            assign(made, password=None)
        return made

    def __str__(self) -> str:
        userinfo = "" if self.user is None else self.user if self.password is None else f"{self.user}:{self.password}"
        at = "" if self.user is None else "@"
        params = f";{self._params}" if self._params else ""
        headers = f"?{self._headers}" if self._headers else ""
        return f"{self.scheme}:{userinfo}{at}{self.host_port}{params}{headers}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SipUri):
            return NotImplemented
        return self._fixed() == other._fixed() and self._same_params(other) and self._same_headers(other)

    def __hash__(self) -> int:
        return hash(self._fixed())

    def _fixed(self) -> tuple[object, ...]:
        """What two equal URIs always share: what a hash may stand on."""
        return self.scheme, _normal(self.user), _normal(self.password), lower(self.host), self.port

    def _same_params(self, other: "SipUri") -> bool:
        if self._params == other._params:
            return True
        mine, theirs = self.params._meaning(), other.params._meaning()
        if any((name in mine) != (name in theirs) for name in _NEVER_IGNORED):
            return False
        return all(theirs[name] == value for name, value in mine.items() if name in theirs)

    def _same_headers(self, other: "SipUri") -> bool:
        return sorted((lower(name), value) for name, value in self.headers) == sorted(
            (lower(name), value) for name, value in other.headers
        )


_SIP_SLOTS: Final = {name: name for name in ("host", "user", "password", "port", "scheme")} | {
    "params": "_params",
    "headers": "_headers",
}


class TelUri(HeaderValue):
    """A tel URI (RFC 3966).

    Attributes:
        number: the subscriber's number as sent, with its visual separators; a global one starts with `+`.

    Two are equal when the numbers are without visual separators, and all parameters are.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("_params", "number")
    number: str
    _params: str

    def __init__(self, number: str, *, params: ParamsLike | None = None) -> None:
        """Build a tel URI; a number that does not start with `+` needs a phone-context parameter (RFC 3966 5.1.5)."""
        if not _is_tel_number(need_str(number, "number")):
            raise SerializeError("number is not a telephone number")
        assign(self, number=number, _params=_write_params(params))
        if not number.startswith("+") and "phone-context" not in self.params:
            raise SerializeError("a local number needs a phone-context")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `tel:` URI. A local number without a phone-context is tolerated."""
        if text[:4].lower() != "tel:":
            raise HeaderError("scheme is not tel", status=416)
        found = _TEL_NUMBER.match(text, 4)
        if found is None or not _is_tel_number(found[0]):
            raise HeaderError("number is not a telephone number", offset=4)
        params, end = _scan_params(text, found.end())
        if end < len(text):
            raise HeaderError("URI holds an illegal character", offset=end)
        uri = cls.__new__(cls)
        assign(uri, number=found[0], _params=params)
        return uri

    @property
    def scheme(self) -> str:
        """Always `"tel"`."""
        return "tel"

    @property
    def params(self) -> Params:
        """The URI's parameters, names and values without escapes."""
        return _read_params(self._params)

    def __str__(self) -> str:
        return f"tel:{self.number};{self._params}" if self._params else f"tel:{self.number}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TelUri):
            return NotImplemented
        return self._digits() == other._digits() and self.params == other.params

    def __hash__(self) -> int:
        return hash((self._digits(), self.params))

    def _digits(self) -> str:
        return lower(_VISUAL.sub("", self.number))


class AbsoluteUri(HeaderValue):
    """A URI of any other scheme, kept as it is.

    Attributes:
        scheme: the scheme in lower case.
        rest: all behind the colon, as sent.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("rest", "scheme")
    scheme: str
    rest: str

    def __init__(self, scheme: str, rest: str) -> None:
        """Build a URI of a scheme that is none of sip, sips and tel. Raises SerializeError."""
        if _SCHEME.fullmatch(need_str(scheme, "scheme") + ":") is None or lower(scheme) in ("sip", "sips", "tel"):
            raise SerializeError("scheme is not a name of another scheme")
        if _STRICT_OPAQUE.fullmatch(need_str(rest, "rest")) is None:
            raise SerializeError("URI is empty or holds a character that must be escaped")
        assign(self, scheme=lower(scheme), rest=rest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI of any scheme but sip, sips and tel."""
        found = _SCHEME.match(text)
        if found is None:
            raise HeaderError("URI has no scheme")
        if lower(found[1]) in ("sip", "sips", "tel"):
            raise HeaderError("scheme has a class of its own")
        rest = _OPAQUE.match(text, found.end())
        if rest is None or rest.end() < len(text):
            _check_escapes(text)
            raise HeaderError("URI holds an illegal character", offset=rest.end() if rest else found.end())
        uri = cls.__new__(cls)
        assign(uri, scheme=lower(found[1]), rest=rest[0])
        return uri

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbsoluteUri):
            return NotImplemented
        return self.scheme == other.scheme and self.rest == other.rest

    def __hash__(self) -> int:
        return hash((self.scheme, self.rest))


Uri = SipUri | TelUri | AbsoluteUri
"""Any URI that parse_uri returns."""


def parse_uri(text: str) -> Uri:
    """Read a URI of any scheme. Raises HeaderError where it breaks its scheme's grammar."""
    found = _SCHEME.match(text)
    scheme = lower(found[1]) if found else ""
    if scheme in ("sip", "sips"):
        return SipUri.parse(text)
    return TelUri.parse(text) if scheme == "tel" else AbsoluteUri.parse(text)


def _is_tel_number(text: str) -> bool:
    return _TEL_NUMBER.fullmatch(text) is not None and _TEL_DIGIT.search(text) is not None


def _check_escapes(text: str) -> None:
    """Raise for the first % that no two hexadecimal digits follow."""
    position = text.find("%")
    while position >= 0:
        if _ESCAPE_TEXT.match(text, position) is None:
            raise HeaderError("% without two hexadecimal digits", offset=position)
        position = text.find("%", position + 3)


def _scan_params(text: str, position: int) -> tuple[str, int]:
    """Check the `;`-parameters at a position; their text and where they end. A name only once (19.1.1)."""
    start = position + 1
    names: set[str] = set()
    while text[position : position + 1] == ";":
        found = _PARAM_PAIR.match(text, position + 1)
        if found is None:
            _check_escapes(text)
            raise HeaderError("URI parameter without a name", offset=position + 1)
        name = lower(unescape_uri(found[1]))
        if name in names:
            raise HeaderError("URI parameter twice", offset=position + 1)
        names.add(name)
        position = found.end()
    return text[start:position], position


def _scan_headers(text: str, position: int) -> str:
    """Check the `?`-headers at a position, which end the URI; their text."""
    start = position + 1
    if text[position : position + 1] == "?":
        separator = "?"
        while text[position : position + 1] == separator:
            found = _HEADER_PAIR.match(text, position + 1)
            if found is None:
                _check_escapes(text)
                raise HeaderError("URI header without a name or without =", offset=position + 1)
            position = found.end()
            separator = "&"
    if position < len(text):
        _check_escapes(text)
        raise HeaderError("URI holds an illegal character", offset=position)
    return text[start:position]


def _read_params(text: str) -> Params:
    if not text:
        return Params.EMPTY
    found: list[Parameter] = []
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        found.append((unescape_uri(name), unescape_uri(value) if equals else None, False))
    return Params._made(text, found)


def _write_params(params: ParamsLike | None) -> str:
    parts: list[str] = []
    names: set[str] = set()
    for name, value in pairs(params):
        if not name or value == "" or lower(name) in names:
            raise SerializeError("URI parameter twice, or without a name, or with an empty value")
        names.add(lower(name))
        written = escape_uri(name, "[]/:&+$")
        parts.append(written if value is None else f"{written}={escape_uri(_text_of(value), '[]/:&+$')}")
    return ";".join(parts)


def _write_headers(headers: ParamsLike | None) -> str:
    parts: list[str] = []
    for name, value in pairs(headers):
        if not name or value is None:
            raise SerializeError("URI header without a name or a value")
        parts.append(f"{escape_uri(name, '[]/?:+$')}={escape_uri(_text_of(value), '[]/?:+$')}")
    return "&".join(parts)


def _text_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(need_number(value, "URI parameter", 2**63))
    return need_str(value, "URI parameter")


def _normal(text: str | None) -> str | None:
    """A user part as it is compared: an escape of a character that is not reserved equals the character (19.1.4)."""
    if text is None or "%" not in text:
        return text
    return _ESCAPE_TEXT.sub(_normal_escape, text)


def _normal_escape(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    keep = character in _RESERVED or not " " < character < "\x7f" or character == "%"
    return found[0].upper() if keep else character
