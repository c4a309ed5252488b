"""Identity: a signed caller (RFC 8224)."""

import re
from functools import partial
from typing import Final, Self

from .._grammar import OPEN_QUOTED_STRING, SWS
from .._params import ParamsLike, as_pairs, read_params, write_parameters
from .._values import assign, lower, need_text, need_token
from ..errors import HeaderError, SerializeError
from ..uri import Uri
from ._base import Parametrized, need_uri, read_uri
from ._lists import Reader, each_given

# The letters of base64 and of base64url, and the dots between the three parts.
_PASSPORT: Final = r"[A-Za-z0-9+/=\-_.]++"
_UP_TO_INFO: Final = re.compile(rf'(?>(?:[^";]++|{OPEN_QUOTED_STRING}|;(?!{SWS}(?i:info){SWS}={SWS}<))*)', re.DOTALL)
_INFO: Final = re.compile(rf";[^<]++<([^<>]*+)>{SWS}(?=;|\Z)")


class Identity(Parametrized):
    """An Identity value (RFC 8224 4). No signature is looked at.

    Attributes:
        token: the PASSporT (RFC 8225), as sent: three parts with dots between, of which the first two may be empty.
        info: the URI of the certificate; its text where it is no URI, None where it is missing.

    `params` are the parameters but for `info`.
    """

    __slots__ = ("_params", "info", "token")
    token: str
    info: Uri | str | None
    _malformed = "value does not start with a signed token"
    _pattern = re.compile(f"{SWS}({_PASSPORT}){SWS}")
    _qvalues = frozenset()
    _once = frozenset({"alg", "ppt"})

    def __init__(
        self,
        token: str,
        info: Uri | str,
        *,
        alg: str | None = None,
        ppt: str | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build an Identity. Raises SerializeError."""
        token = need_text(token, "token")
        found = self._pattern.fullmatch(token)
        if found is None or found[1] != token:
            raise SerializeError("token is empty or not base64 with dots")
        pairs = as_pairs(params)
        if any(lower(name) == "info" for name, _ in pairs):
            raise SerializeError("parameter info twice")
        known = [(name, need_token(value, name)) for name, value in (("alg", alg), ("ppt", ppt)) if value is not None]
        assign(self, token=token, info=need_uri(info, "info"), _params=write_parameters(pairs, *known))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value."""
        found = cls._pattern.match(text)
        if found is None:
            raise HeaderError(cls._malformed)
        before = _UP_TO_INFO.match(text, found.end()).end()  # type: ignore[union-attr]  # it matches nothing too
        info = _INFO.match(text, before)
        if info is None:
            return cls._of(token=found[1], info=None, _params=cls._read_params(text, found.end()))
        params = cls._read_others(text[:before] + text[info.end() :], found.end(), before, info.end() - before)
        return cls._of(token=found[1], info=read_uri(info[1]), _params=params)

    @classmethod
    def _read_others(cls, text: str, position: int, cut_at: int, cut: int) -> str:
        """Check the other parameters; `cut` characters were cut out of the text where info stood."""
        try:
            params = cls._read_params(text, position)
        except HeaderError as error:
            offset = error.offset + (cut if error.offset > cut_at else 0)
            raise HeaderError(error.reason, offset=offset) from None
        if params and "info" in read_params(params):
            raise HeaderError("parameter info twice", offset=cut_at)
        return params

    @property
    def alg(self) -> str | None:
        """The algorithm of the signature."""
        return self.params.get("alg")

    @property
    def ppt(self) -> str | None:
        """The PASSporT's extension, such as `shaken`."""
        return self.params.get("ppt")

    def _key(self) -> tuple[object, ...]:
        return self.token, self.info, self.params

    def _head(self) -> str:
        return self.token if self.info is None else f"{self.token};info=<{self.info}>"


READERS: Final[dict[str, Reader]] = {"Identity": partial(each_given, read=Identity.parse)}
