"""Addresses: a URI with a display name and parameters, as From, To, Contact, Route and many others have them."""

import re  # noqa: I001 - the names of `_values` are wrapped
from functools import partial
from typing import Any, ClassVar, Final, Self

from .._grammar import BLANK, CONTROL_CHARS, QUOTED_STRING
from .._limits import DEFAULT_EXPIRES, MAX_SECONDS
from .._params import Params, ParamsLike, merge_parameters, read_params, write_parameters
from .._values import (
    HeaderValue, assign, lower, need_number, need_text, need_token, parse_delta, parse_quoted, quote, skip_blanks,
    tolerate,
)  # fmt: skip
from ..errors import HeaderError
from ..uri import Uri, parse_uri
from ._base import Parametrized, need_uri, parse_qvalue, readable, write_qvalue
from ._lists import Reader, each_given, or_nothing, parse_list

# RFC 3261 has tokens in a display name without quotes. Anything that is no delimiter and no control is read as one;
# a colon, a semicolon and a comma are delimiters: the text in front of < may be an address by itself.
_DISPLAY_NAME: Final = re.compile(rf'[^{CONTROL_CHARS}"<>,;:\\]*+')
_QUOTED_STRING: Final = re.compile(QUOTED_STRING)
_BARE_URI: Final = re.compile(rf"[^;{BLANK}]*+")


class NameAddr(Parametrized):
    """An address with a display name and parameters: From, To, Contact, Route, Refer-To, P-Asserted-Identity, ...

    (RFC 3261 20.10, 20.20, 20.34, 20.39.)

    Attributes:
        display_name: without quotes and quoted-pairs, `""` where there is none.
        uri: a SipUri, TelUri or AbsoluteUri.
        tag: the tag parameter, None where there is none.

    `params` are the parameters of the header; those of the URI are in `uri.params`.

    `str()` has `<>` round the URI, which are right in every header and for every URI (20). `==` is the comparison that
    RFC 3261 gives for From and To: the URIs match, the tags match, and so do the other parameters that both have; the
    display name does not count.
    """

    # The compiled core fills exactly these slots.
    __slots__ = ("_params", "display_name", "tag", "uri")
    display_name: str
    uri: Uri
    tag: str | None
    _what = "address"
    _tokens = _once = frozenset({"tag"})
    _qvalues = frozenset()  # it is looked at when it is asked for

    def __init__(
        self,
        uri: Uri | str,
        *,
        display_name: str = "",
        tag: str | None = None,
        q: float | None = None,
        expires: int | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build an address. `params` are the header's, those of the URI are in the URI.

        `q` (0 to 1; three decimals are written) and `expires` (seconds) are a Contact's. Raises SerializeError, also
        for a `uri` str that is no URI.
        """
        uri = need_uri(uri, "uri")
        known = [] if tag is None else [("tag", need_token(tag, "tag"))]
        known += [] if q is None else [("q", write_qvalue(q))]
        known += [] if expires is None else [("expires", str(need_number(expires, "expires", MAX_SECONDS)))]
        assign(self, display_name=need_text(display_name, "display name"), uri=uri)
        self._set_params(write_parameters(params, *known))
        if "tag" in self.params:  # one that came by `params` too
            need_token(self.tag or "", "tag")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one address.

        Without `<>` everything behind the first `;` belongs to the header, and the URI may have no `?` and no comma
        (RFC 3261 20: they must be in `<>` then).
        """
        name, position = _read_display_name(text, skip_blanks(text, 0))
        angle = text[position : position + 1] == "<"
        uri, end = _read_bracketed_uri(text, position) if angle else _read_bare_uri(text, position)
        end = skip_blanks(text, end)
        found, params = cls._scan_params(text, end), text[end + 1 :].strip(BLANK)
        if not angle and "?" in _QUOTED_STRING.sub("", params):  # it could begin the URI's header part (RFC 3261 20)
            raise HeaderError("URI with ? is not in <>", offset=text.index("?", end))
        return cls._of(display_name=name, uri=uri, _params=params, tag=found["tag"][1] if "tag" in found else None)

    def _set_params(self, text: str) -> None:
        """Give a value that is being made its parameters, and the tag that is among them."""
        assign(self, _params=text, tag=read_params(text).get("tag"))

    @property
    def q(self) -> float | None:
        """A Contact's preference, 0.0 to 1.0; None where it is something else."""
        return _read_q(self.params)

    @property
    def expires(self) -> int | None:
        """A Contact's expires parameter in seconds.

        What is no number is 3600, and what is over 2**32 - 1 is that (RFC 3261 20.10).
        """
        return _read_expires(self.params)

    def _look_at_numbers(self) -> None:
        """Note what is wrong with q and expires."""
        params = self.params
        _read_q(params)
        _read_expires(params)

    def with_tag(self, tag: str) -> Self:
        """A copy with this tag behind its other parameters, in place of the one it has."""
        return self.replace(tag=tag)

    def replace(self, **changes: object) -> Self:
        """A copy with some of the constructor's arguments changed: `address.replace(display_name="")`."""
        made = type(self)(**{"uri": self.uri, **changes})  # type: ignore[arg-type]
        params = merge_parameters(
            self._params, made._params, lambda name: name in changes or (name != "tag" and "params" in changes)
        )
        made._set_params(params)
        if "display_name" not in changes:
            assign(made, display_name=self.display_name)
        return made

    def _key(self) -> tuple[object, ...]:
        tag = self.tag
        return self.uri, None if tag is None else lower(tag)

    def _agrees(self, other: "NameAddr") -> bool:
        return self.params._agree_where_shared(other.params)

    def _head(self) -> str:
        return f"{quote(self.display_name)} <{self.uri}>" if self.display_name else f"<{self.uri}>"


def _read_display_name(text: str, position: int) -> tuple[str, int]:
    """The display name at a position, "" where there is none, and where the URI or its `<` stands."""
    if text[position : position + 1] == '"':
        name, end = parse_quoted(text, position)
        end = skip_blanks(text, end)
        if text[end : end + 1] != "<":
            raise HeaderError("display name without <URI> behind it", offset=end)
        return name, end
    found = _DISPLAY_NAME.match(text, position)
    if found and text[found.end() : found.end() + 1] == "<":
        return found[0].strip(BLANK), found.end()
    return "", position


def _read_bracketed_uri(text: str, position: int) -> tuple[Uri, int]:
    """The URI in the `<>` at a position, and where they end. Blanks inside are an error (RFC 4475 3.1.2.14)."""
    close = text.find(">", position)
    if close < 0:
        raise HeaderError("< is not closed", offset=position)
    if text[close + 1 : close + 2] == ">" and "<" in text[position + 1 : close]:
        close += 1  # a host such as <null>
    inside = text[position + 1 : close]
    if inside != inside.strip(BLANK):
        raise HeaderError("blank inside <>", offset=position + 1)
    return _uri_at(inside, position + 1), close + 1


def _read_bare_uri(text: str, position: int) -> tuple[Uri, int]:
    """The URI without `<>` at a position, and where it ends."""
    bare = _BARE_URI.match(text, position)[0]  # type: ignore[index]  # it matches nothing too
    for mark in "?,":
        if mark in bare:
            raise HeaderError(f"URI with {mark} is not in <>", offset=position + bare.index(mark))
    return _uri_at(bare, position), position + len(bare)


def _read_q(params: Params) -> float | None:
    return readable(parse_qvalue, params["q"] or "") if "q" in params else None


def _read_expires(params: Params) -> int | None:
    if "expires" not in params:
        return None
    value = params["expires"] or ""
    try:
        return parse_delta(value, "expires")
    except HeaderError as error:
        tolerate(error.reason)
        return DEFAULT_EXPIRES


def _uri_at(text: str, offset: int) -> Uri:
    try:
        return parse_uri(text)
    except HeaderError as error:
        raise HeaderError(error.reason, offset=offset + error.offset, status=400) from None


class Star(HeaderValue):
    """The `*` of `Contact: *` (RFC 3261 10.2.2). `STAR` is its one instance."""

    __slots__ = ()
    _one: ClassVar[Self | None] = None

    def __new__(cls) -> Self:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `*`."""
        if text.strip(BLANK) != "*":
            raise HeaderError("not a *")
        return cls()

    def _key(self) -> str:
        return "*"

    def _head(self) -> str:
        return "*"


STAR: Final = Star()
Contact = NameAddr | Star
"""A value of a Contact header."""


def parse_contacts(value: str) -> tuple[Contact, ...]:
    """The values of a Contact field: addresses, or `*` alone (RFC 3261 20.10)."""
    if value.strip(" \t,") == "*":
        return each_given(value, lambda _: STAR)
    return parse_list(NameAddr, value)


def parse_hops(value: str) -> tuple[NameAddr, ...]:
    """The values of a header that names hops: Route, Record-Route, Path, Service-Route.

    Their grammar has `<>` round every URI (RFC 3261 20.30, 20.34). Where a sender leaves them out, the parameters are
    the URI's: as the header's, `;lr` would make a strict router of a loose one.
    """
    return each_given(value, _parse_hop)


def _parse_hop(text: str) -> NameAddr:
    if "<" in text or '"' in text:
        return NameAddr.parse(text)
    if "?" in text:
        raise HeaderError("URI with ? is not in <>", offset=text.index("?"))
    tolerate("URI is not in <>")
    return NameAddr._of(display_name="", uri=_uri_at(text, 0), _params="", tag=None)


_ONE: Final = ("From", "To", "Refer-To", "Referred-By", "Reply-To", "P-Called-Party-ID", "P-Served-User")
_SEVERAL: Final = (
    "Diversion", "History-Info", "Remote-Party-ID", "P-Asserted-Identity", "P-Preferred-Identity",
)  # fmt: skip
_HOPS: Final = ("Route", "Record-Route", "Path", "Service-Route")
READERS: Final[dict[str, Reader]] = {
    "Contact": parse_contacts,
    **dict.fromkeys(_ONE, NameAddr.parse),
    **dict.fromkeys(_SEVERAL, partial(parse_list, NameAddr)),
    **dict.fromkeys(_HOPS, parse_hops),
    "P-Associated-URI": or_nothing(partial(parse_list, NameAddr)),  # RFC 7315 5.1
}

URI_IN_ANGLES: Final = frozenset(
    {
        *READERS, "Additional-Identity", "Alert-Info", "Call-Info", "Error-Info", "Geolocation", "Identity-Info",
        "P-Charge-Info", "P-DCS-Trace-Party-ID", "P-Profile-Key", "P-Refused-URI-List", "P-User-Database",
        "Permission-Missing", "Policy-Contact", "Refer-Events-At", "Trigger-Consent",
    }
)  # fmt: skip
"""Headers whose grammar has a URI in `<>`: a URI that a caller gives one as its value is written so (20)."""
