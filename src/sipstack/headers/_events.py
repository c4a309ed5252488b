"""Events (RFC 6665): Event and Subscription-State, REFER's Refer-Sub (RFC 4488), and INFO's packages (RFC 6086)."""

from functools import partial
from typing import ClassVar, Final

from .._limits import MAX_SECONDS
from .._params import ParamsLike
from .._values import assign, lower, need_token
from ._base import TokenValue
from ._lists import Reader, each_given, or_nothing, parse_tokens


class EventValue(TokenValue):
    """An Event value (RFC 6665 8.2.1): `value` is the event package with its templates.

    Two are equal when the packages are, letter by letter, and the ids are; other parameters do not count.
    """

    __slots__ = ()
    _tokens = _once = frozenset({"id"})

    def __init__(self, package: str, *, id: str | None = None, params: ParamsLike | None = None) -> None:  # noqa: A002
        """Build an Event. Raises SerializeError."""
        assign(self, value=need_token(package, "package"), _params=self._write_params(params, id=id))

    @property
    def package(self) -> str:
        """The event package, as sent."""
        return self.value

    @property
    def id(self) -> str | None:
        """The id parameter."""
        return self.params.get("id")

    def _key(self) -> tuple[object, ...]:
        return self.value, self.id


class SubscriptionState(TokenValue):
    """A Subscription-State value (RFC 6665 8.2.3): `value` is `active`, `pending`, `terminated` or another."""

    __slots__ = ()
    _numbers: ClassVar[dict[str, int]] = {"expires": MAX_SECONDS, "retry-after": MAX_SECONDS}
    _tokens = frozenset({"reason"})

    def __init__(
        self,
        state: str,
        *,
        reason: str | None = None,
        expires: int | None = None,
        retry_after: int | None = None,
        params: ParamsLike | None = None,
    ) -> None:
        """Build a Subscription-State. Raises SerializeError."""
        text = self._write_params(params, reason=reason, expires=expires, retry_after=retry_after)
        assign(self, value=need_token(state, "state"), _params=text)

    @property
    def state(self) -> str:
        """The state in lower case."""
        return lower(self.value)

    @property
    def reason(self) -> str | None:
        """The reason parameter."""
        return self.params.get("reason")

    @property
    def expires(self) -> int | None:
        """The seconds that are left; None where they are not given or no number."""
        return self._number("expires")

    @property
    def retry_after(self) -> int | None:
        """The seconds to wait; None where they are not given or no number."""
        return self._number("retry-after")


READERS: Final[dict[str, Reader]] = {
    "Event": EventValue.parse,
    "Subscription-State": SubscriptionState.parse,
    "Refer-Sub": TokenValue.parse,
    "Allow-Events": or_nothing(parse_tokens),
    "Info-Package": TokenValue.parse,
    "Recv-Info": partial(each_given, read=TokenValue.parse),
}
