"""SIP, SIPS and tel URIs, and any other URI as an opaque one (RFC 3261 19.1 and 25.1, RFC 3966).

Escapes (`%41`) stay as they were sent; the properties that decode them say so.
"""

import re
from typing import Final, Self

from . import _grammar as grammar
from ._grammar import is_host, is_ipv6, is_telephone_number
from ._limits import MAX_PARAMETER, MAX_PORT
from ._params import Parameters, Params, ParamsLike, WithParams, as_pairs
from ._values import HeaderValue, assign, canonical_host, is_int, lower, need_number, need_str, parse_number, tolerate
from .errors import HeaderError, SerializeError

__all__ = ["AbsoluteUri", "SipUri", "TelUri", "Uri", "escape_uri", "parse_uri", "unescape_uri"]

_SCHEME: Final = re.compile(f"({grammar.SCHEME}):")
_ESCAPED: Final = re.compile(grammar.ESCAPED)
_ESCAPED_BYTE: Final = re.compile(grammar.ESCAPED.encode())
_UNRESERVED: Final = grammar.members(grammar.UNRESERVED_CHARS)
_STRICT_USER: Final = re.compile(grammar.STRICT_USER)
_PASSWORD: Final = re.compile(grammar.PASSWORD)
_USERINFO: Final = re.compile(grammar.USERINFO)
_READABLE_USERINFO: Final = re.compile(grammar.READABLE_USERINFO)
_HOSTPORT: Final = re.compile(grammar.HOSTPORT)
_TEL_HOST: Final = re.compile(f"@{grammar.HOSTPORT}")
_URI_PARAM: Final = re.compile(grammar.URI_PARAM)
_READABLE_URI_PARAM: Final = re.compile(grammar.READABLE_URI_PARAM)
_URI_HEADER: Final = re.compile(grammar.URI_HEADER)
_READABLE_URI_HEADERS: Final = re.compile(grammar.READABLE_URI_HEADERS)
_OPAQUE: Final = re.compile(grammar.OPAQUE)
_STRICT_OPAQUE: Final = re.compile(grammar.STRICT_OPAQUE)
_TELEPHONE_SUBSCRIBER: Final = re.compile(grammar.TELEPHONE_SUBSCRIBER)
_VISUAL_SEPARATOR: Final = re.compile(r"[.()\-]")
# The parameters that make two URIs differ when one of them alone has it (19.1.4, and its example with transport).
_NEVER_IGNORED: Final = ("user", "ttl", "method", "maddr", "transport")
# The parameters that a URI has not in each place (table 1 of 19.1.1); none has a method.
_NOT_IN_A_REQUEST_URI: Final = ("method",)
_NOT_IN_FROM_OR_TO: Final = ("method", "maddr", "ttl", "transport", "lr")
_NOT_IN_A_CONTACT: Final = ("method", "lr")
_NOT_IN_A_ROUTE: Final = ("method", "ttl")
_SCHEMES_OF_ITS_OWN: Final = ("sip", "sips", "tel")
_USER_UNRESERVED: Final = "&=+$,;?/"


NO_HOST: Final = "host is not a host name or address"
_ILLEGAL: Final = "URI holds an illegal character"


def unescape_uri(text: str) -> str:
    """Decode %-escapes once. Octets that are not UTF-8 come out as surrogates (surrogateescape).

    Raises SerializeError for a text that has no UTF-8 (a surrogate that stands for no octet).
    """
    if "%" not in text:
        return text
    octets = _octets(text)
    return _ESCAPED_BYTE.sub(lambda found: bytes((int(found[0][1:], 16),)), octets).decode("utf-8", "surrogateescape")


def escape_uri(text: str, safe: str = "") -> str:
    """Write any text so that it can stand in every part of a URI: all but unreserved characters become %-escapes.

    `safe` names ASCII characters to leave as they are, such as `"+"` in a telephone number as a user.
    Raises SerializeError for a text that has no UTF-8 (a surrogate that stands for no octet).
    """
    octets = _octets(text)
    kept = _UNRESERVED.union(safe.encode("ascii"))
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in octets)


def _octets(text: str) -> bytes:
    try:
        return need_str(text, "text").encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise SerializeError("text cannot be written as UTF-8") from error


def need_host(value: object, what: str = "host") -> str:
    """The value, when it is a host; an IPv6 address without brackets gets them."""
    text = need_str(value, what)
    if is_ipv6(text):
        text = f"[{text}]"
    if not is_host(text):
        hint = "; parse_uri reads a whole URI" if uri_scheme(text) in _SCHEMES_OF_ITS_OWN else ""
        raise SerializeError(f"{what} is not a host name or address{hint}")
    return text


def need_port(value: object, what: str = "port") -> int | None:
    """The value, when it is None or a port number."""
    return None if value is None else need_number(value, what, MAX_PORT)


def host_port(text: str, position: int) -> tuple[str, int | None, int]:
    """The host and the port at a position of a URI, and where they end."""
    found = _HOSTPORT.match(text, position)
    if found is None:
        raise HeaderError(NO_HOST, offset=position)
    if not is_host(found[1]):
        # An IPv6 address without brackets: is its last colon that of a port? And the > of a <null> ends the URI.
        if text.startswith(":", found.end()) or (found[1][0] == "<" and found.end(1) < len(text)):
            raise HeaderError(NO_HOST, offset=position)
        tolerate(NO_HOST)
    port = None if found[2] is None else parse_number(found[2], MAX_PORT, "port", found.start(2))
    return found[1], port, found.end()


class AnyUri(HeaderValue):
    """The parent of URIs: the form that one has in each place. A SIP URI has parts that do not belong everywhere."""

    __slots__ = ()

    def as_request_uri(self) -> Self:
        """The URI as a Request-URI (table 1 of RFC 3261 19.1.1): without `method` and headers.

        That is what a request that goes to it has in its first line (16.6 step 2, 19.1.5); `Message.request_uri` and
        `Message.request` write it so.
        """
        return self

    def as_from_to(self) -> Self:
        """The URI as From and To have it (table 1 of RFC 3261 19.1.1): without what says how to get there.

        That is the port, `method`, `maddr`, `ttl`, `transport`, `lr` and headers.
        """
        return self

    def as_contact(self) -> Self:
        """The URI as the Contact of a REGISTER or a redirection (table 1 of RFC 3261 19.1.1): no `method`, no `lr`."""
        return self

    def as_route(self) -> Self:
        """The URI as a Route, a Record-Route or the Contact of a dialog (table 1 of RFC 3261 19.1.1).

        Without `method`, `ttl` and headers.
        """
        return self

    def as_aor(self) -> Self:
        """The URI as a registrar's address-of-record: `str()` of it is the key of its bindings (RFC 3261 10.3 step 5).

        It has no parameters and no escape that need not be, and nothing else that is no part of the name: no port, no
        password, no headers; the host is in lower case. A telephone number has no visual separators, and keeps its
        phone-context.
        """
        return self


class _UriWithParams(AnyUri, WithParams):
    """The parent of URIs with parameters, which know escapes and no quotes."""

    __slots__ = ()

    @property
    def params(self) -> Params:
        """The URI's parameters, names and values without escapes."""
        return _read_params(self._params)


class SipUri(_UriWithParams):
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
        if (scheme := need_str(scheme, "scheme")) not in ("sip", "sips"):
            raise SerializeError("scheme is neither sip nor sips")
        if user is not None and _STRICT_USER.fullmatch(user := need_str(user, "user")) is None:
            raise SerializeError("user is empty or holds a character that must be escaped")
        password = None if password is None else need_str(password, "password")
        if password is not None and (user is None or _PASSWORD.fullmatch(password) is None):
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
        found = _USERINFO.match(text, colon + 1) or _read_odd_userinfo(text, colon + 1)
        user, password, start = (found[1], found[2], found.end()) if found else (None, None, colon + 1)
        host, port, end = host_port(text, start)
        params, end = _scan_params(text, end)
        headers = _scan_headers(text, end)
        if found is None and "@" in text:  # it may end the user, or stand in a parameter
            raise HeaderError(_ILLEGAL, offset=text.index("@"))
        return cls._of(
            scheme=scheme, user=user, password=password, host=host, port=port, _params=params, _headers=headers
        )

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The URI's header part, names and values without escapes."""
        if not self._headers:
            return ()
        parts = (part.partition("=") for part in self._headers.split("&") if part)
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

    def as_request_uri(self) -> Self:
        return self._with_parts(self.port, self._params_but(_NOT_IN_A_REQUEST_URI), "")

    def as_from_to(self) -> Self:
        return self._with_parts(None, self._params_but(_NOT_IN_FROM_OR_TO), "")

    def as_contact(self) -> Self:
        return self._with_parts(self.port, self._params_but(_NOT_IN_A_CONTACT), self._headers)

    def as_route(self) -> Self:
        return self._with_parts(self.port, self._params_but(_NOT_IN_A_ROUTE), "")

    def as_aor(self) -> Self:
        user = None if self.user is None else escape_uri(unescape_uri(self.user), _USER_UNRESERVED)
        changes = {"user": user, "password": None, "host": canonical_host(self.host)}
        return self._of(scheme=self.scheme, **changes, port=None, _params="", _headers="")

    def _params_but(self, names: tuple[str, ...]) -> str:
        """The text of the parameters without some."""
        text = self._params
        lower_text = lower(text)
        for name in names:
            if name in lower_text or "%" in lower_text:
                parts = [(lower(unescape_uri(part.partition("=")[0])), part) for part in text.split(";")]
                return ";".join([part for key, part in parts if key not in names])
        return text

    def _with_parts(self, port: int | None, params: str, headers: str) -> Self:
        """The URI with other ends; itself where they are its own."""
        if port == self.port and params == self._params and headers == self._headers:
            return self
        head = {"scheme": self.scheme, "user": self.user, "password": self.password, "host": self.host}
        return self._of(**head, port=port, _params=params, _headers=headers)

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed, such as `uri.replace(port=5070, params=None)`."""
        given = {"host": "unchanged", **changes}
        if given.get("password") is not None:
            given.setdefault("user", "user" if self.user else None)
        made = type(self)(**given)  # type: ignore[arg-type]
        assign(made, **{slot: getattr(self, slot) for slot in self._setters if slot.lstrip("_") not in changes})
        if made.user is None:  # then an @ that was read in another part would end one
            assign(made, password=None, _params=_without_at(made._params), _headers=_without_at(made._headers))
        return made

    def __str__(self) -> str:
        params = f";{self._params}" if self._params else ""
        headers = f"?{self._headers}" if self._headers else ""
        return f"{self._head()}{params}{headers}"

    def _key(self) -> tuple[object, ...]:
        return self.scheme, _normal(self.user), _normal(self.password), canonical_host(self.host), self.port

    def _agrees(self, other: "SipUri") -> bool:
        return self._same_params(other) and self._same_headers(other)

    def _same_params(self, other: "SipUri") -> bool:
        if self._params == other._params:
            return True
        mine, theirs = self.params, other.params
        if any((name in mine) != (name in theirs) for name in _NEVER_IGNORED):
            return False
        return mine._agree_where_shared(theirs)

    def _same_headers(self, other: "SipUri") -> bool:
        return sorted((lower(name), value) for name, value in self.headers) == sorted(
            (lower(name), value) for name, value in other.headers
        )

    def _head(self) -> str:
        if self.user is None:
            return f"{self.scheme}:{self.host_port}"
        password = "" if self.password is None else f":{self.password}"
        return f"{self.scheme}:{self.user}{password}@{self.host_port}"


class TelUri(_UriWithParams):
    """A tel URI (RFC 3966).

    Attributes:
        number: the subscriber's number as sent, with its visual separators; a global one starts with `+`.

    Two are equal when the numbers are without visual separators, and all parameters are, in any order; those of an
    extension and of a number as the phone-context do not count either (RFC 3966 4).
    """

    # The compiled core fills exactly these slots. _host: what some senders write behind the number, with its @.
    __slots__ = ("_host", "_params", "number")
    number: str
    _host: str

    def __init__(self, number: str, *, params: ParamsLike | None = None) -> None:
        """Build a tel URI; a number that does not start with `+` needs a phone-context parameter (RFC 3966 5.1.5).

        The parameters are written in the order of RFC 3966 3: ext and isub, phone-context, the others by name.
        """
        if not is_telephone_number(number := need_str(number, "number")):
            hint = "; parse_uri reads a whole URI" if _SCHEME.match(number) else ""
            raise SerializeError(f"number is not a telephone number{hint}")
        written = _write_params(sorted(as_pairs(params), key=_tel_param_place))
        assign(self, number=number, _host="", _params=written)
        if not number.startswith("+") and "phone-context" not in self.params:
            raise SerializeError("a local number needs a phone-context")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `tel:` URI. A local number without a phone-context is tolerated, and so is a host."""
        if text[:4].lower() != "tel:":
            raise HeaderError("scheme is not tel", status=416)
        found = _TELEPHONE_SUBSCRIBER.match(text, 4)
        if found is None or not is_telephone_number(found[0]):
            raise HeaderError("number is not a telephone number", offset=4)
        host = _TEL_HOST.match(text, found.end())
        if host is not None:
            if host[1][0] == "<" and host.end(1) < len(text):
                raise HeaderError(NO_HOST, offset=host.start(1))
            tolerate("tel URI with a host")
        params, end = _scan_params(text, host.end() if host else found.end())
        if end < len(text):
            raise HeaderError(_ILLEGAL, offset=end)
        return cls._of(number=found[0], _host=host[0] if host else "", _params=params)

    @property
    def scheme(self) -> str:
        """Always `"tel"`."""
        return "tel"

    def as_aor(self) -> Self:
        context = self.params.get("phone-context")
        params = {} if context is None or self.number.startswith("+") else {"phone-context": _tel_context(context)}
        number = _without_separators(self.number)
        return self._of(number=number, _host="", _params=_write_params(params))

    def _key(self) -> tuple[object, ...]:
        params = frozenset(
            (name, _tel_param_key(name, value or "")) for name, (value, _) in self.params._meaning().items()
        )
        return _without_separators(self.number), lower(self._host), params

    def _head(self) -> str:
        return f"tel:{self.number}{self._host}"


class AbsoluteUri(AnyUri):
    """A URI of any other scheme, kept as it is.

    Attributes:
        scheme: the scheme in lower case.
        rest: all behind the colon, as sent.
    """

    __slots__ = ("rest", "scheme")
    scheme: str
    rest: str

    def __init__(self, scheme: str, rest: str) -> None:
        """Build a URI of a scheme that is none of sip, sips and tel. Raises SerializeError."""
        scheme, rest = need_str(scheme, "scheme"), need_str(rest, "rest")
        if _SCHEME.fullmatch(f"{scheme}:") is None or lower(scheme) in _SCHEMES_OF_ITS_OWN:
            raise SerializeError("scheme is not a name of another scheme")
        if _STRICT_OPAQUE.fullmatch(rest) is None:
            raise SerializeError("URI is empty or holds a character that must be escaped")
        assign(self, scheme=lower(scheme), rest=rest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI of any scheme but sip, sips and tel."""
        found = _SCHEME.match(text)
        if found is None:
            raise HeaderError("URI has no scheme")
        if lower(found[1]) in _SCHEMES_OF_ITS_OWN:
            raise HeaderError("scheme has a class of its own")
        rest = _OPAQUE.match(text, found.end())
        if rest is None or rest.end() < len(text):
            _check_escapes(text)
            raise HeaderError(_ILLEGAL, offset=rest.end() if rest else found.end())
        return cls._of(scheme=lower(found[1]), rest=rest[0])

    def _key(self) -> tuple[object, ...]:
        return self.scheme, self.rest

    def _head(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | TelUri | AbsoluteUri
"""Any URI that parse_uri returns."""


def uri_scheme(text: str) -> str:
    """The scheme of a URI in lower case, "" where there is none."""
    found = _SCHEME.match(text)
    return lower(found[1]) if found else ""


def parse_uri(text: str) -> Uri:
    """Read a URI of any scheme. Raises HeaderError where it breaks its scheme's grammar."""
    if type(text) is not str:
        text = need_str(text, "text")
    scheme = uri_scheme(text)
    if scheme in ("sip", "sips"):
        return SipUri.parse(text)
    return TelUri.parse(text) if scheme == "tel" else AbsoluteUri.parse(text)


def _without_at(text: str) -> str:
    return text.replace("@", "%40")


def _check_escapes(text: str) -> None:
    """Raise for the first % that no two hexadecimal digits follow."""
    position = text.find("%")
    while position >= 0:
        if _ESCAPED.match(text, position) is None:
            raise HeaderError("% without two hexadecimal digits", offset=position)
        position = text.find("%", position + 3)


def _scan_params(text: str, position: int) -> tuple[str, int]:
    """The text of the `;`-parameters at a position, and where they end. Of two with one name the first counts."""
    start = position + 1
    names: set[str] = set()
    while text[position : position + 1] == ";":
        found = _URI_PARAM.match(text, position + 1)
        end = position + 1 if found is None else found.end()
        if found is None or (end < len(text) and text[end] not in ";?"):
            name, end = _read_odd_param(text, position + 1)
        else:
            name = found[1]
        position = end
        name = lower(unescape_uri(name))
        if name in names:
            tolerate("URI parameter twice")
        elif name:
            names.add(name)
    return text[start:position], position


def _read_odd_param(text: str, position: int) -> tuple[str, int]:
    """The name of a parameter that is none by the grammar, but readable, and where it ends."""
    found: re.Match[str] = _READABLE_URI_PARAM.match(text, position)  # type: ignore[assignment]  # it matches nothing too
    name, equals, value = found[0].partition("=")
    if equals and not name:
        raise HeaderError("URI parameter without a name", offset=position)
    if not name:
        tolerate("URI parameter without a name")
    elif equals and not value:
        tolerate("URI parameter without a value")
    else:
        tolerate(_oddity(found[0]))
    return name, found.end()


def _read_odd_userinfo(text: str, position: int) -> re.Match[str] | None:
    """The userinfo at a position that is none by the grammar, but readable."""
    found = _READABLE_USERINFO.match(text, position) if "@" in text else None
    if found is not None:
        tolerate(_oddity(found[0]))
    return found


def _scan_headers(text: str, position: int) -> str:
    """The text of the `?`-headers at a position, which end the URI."""
    start = position + 1
    if text[position : position + 1] == "?":
        position = _READABLE_URI_HEADERS.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing too
        for part in text[start:position].split("&"):
            if not _URI_HEADER.fullmatch(part):
                tolerate(_oddity(part) if part.find("=") > 0 else "URI header without a name or without =")
    if position < len(text):
        _check_escapes(text)
        raise HeaderError(_ILLEGAL, offset=position)
    return text[start:position]


def _oddity(text: str) -> str:
    """What is wrong with a part of a URI that is readable."""
    try:
        _check_escapes(text)
    except HeaderError as error:
        return error.reason
    return _ILLEGAL


def _read_params(text: str) -> Params:
    if not text:
        return Params.EMPTY
    found: Parameters = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        name = unescape_uri(name)
        if name:
            found.setdefault(lower(name), (name, unescape_uri(value) if value else None, False))
    return Params._of(_text=text, _found=found)


def _write_params(params: ParamsLike | None) -> str:
    parts: list[str] = []
    names: set[str] = set()
    for name, value in as_pairs(params):
        if not name or value == "" or lower(name) in names:
            raise SerializeError("URI parameter twice, or without a name, or with an empty value")
        names.add(lower(name))
        written = escape_uri(name, "[]/:&+$")
        parts.append(written if value is None else f"{written}={escape_uri(_text_of(value), '[]/:&+$')}")
    return ";".join(parts)


def _write_headers(headers: ParamsLike | None) -> str:
    parts: list[str] = []
    for name, value in as_pairs(headers):
        if not name or value is None:
            raise SerializeError("URI header without a name or a value")
        parts.append(f"{escape_uri(name, '[]/?:+$')}={escape_uri(_text_of(value), '[]/?:+$')}")
    return "&".join(parts)


def _text_of(value: object) -> str:
    if is_int(value):
        return str(need_number(value, "URI parameter", MAX_PARAMETER))
    return need_str(value, "URI parameter")


def _tel_param_place(param: tuple[str, object]) -> tuple[int, str]:
    """Where a parameter of a tel URI stands among the others (RFC 3966 3)."""
    name = lower(param[0])
    return {"ext": 0, "isub": 0, "phone-context": 1}.get(name, 2), name


def _without_separators(number: str) -> str:
    return lower(_VISUAL_SEPARATOR.sub("", number))


def _tel_context(value: str) -> str:
    """A phone-context as it is compared: a number by its digits, a name in lower case (RFC 3966 4)."""
    return _without_separators(value) if value.startswith("+") else lower(value)


def _tel_param_key(name: str, value: str) -> str:
    if name == "phone-context":
        return _tel_context(value)
    return _without_separators(value) if name == "ext" else value


def _normal(text: str | None) -> str | None:
    """A user part as it is compared: an escape of a character that is not reserved equals the character (19.1.4)."""
    if text is None or "%" not in text:
        return text
    return _ESCAPED.sub(_normal_escape, text)


def _normal_escape(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    keep = character in grammar.RESERVED or not " " < character < "\x7f" or character == "%"
    return found[0].upper() if keep else character
