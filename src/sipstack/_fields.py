"""The structured header values that are not addresses: types, events, intervals, dates, dialogs.

`sipstack.headers` has all of them under one roof.
"""

import datetime
import re
from typing import ClassVar, Final, Self

from sipstack._values import (
    BLANK,
    MAX_SECONDS,
    QUOTED_PATTERN,
    TOKEN_CHARS,
    HeaderValue,
    Parameter,
    Params,
    ParamsLike,
    assign,
    comment_end,
    lower,
    need_number,
    need_str,
    need_text,
    need_token,
    parse_number,
    quote,
    read_params,
    scan_parameters,
    unquote,
    write_parameters,
    write_value,
)
from sipstack.errors import HeaderError, SerializeError

_SPACES: Final = rf"[{BLANK}]*+"
_TOKEN_HEAD: Final = re.compile(rf"{_SPACES}([{TOKEN_CHARS}]++){_SPACES}")
_MEDIA_HEAD: Final = re.compile(rf"{_SPACES}([{TOKEN_CHARS}]++){_SPACES}/{_SPACES}([{TOKEN_CHARS}]++){_SPACES}")
_CALL_ID: Final = r"[^\x00-\x20\x7F,;]++"
_CALL_ID_HEAD: Final = re.compile(rf"{_SPACES}({_CALL_ID}){_SPACES}")
_DELTA_HEAD: Final = re.compile(rf"{_SPACES}([0-9]++){_SPACES}")
_TIMESTAMP: Final = re.compile(
    rf"{_SPACES}([0-9]++(?:\.[0-9]*+)?)(?:[{BLANK}]++([0-9]*+(?:\.[0-9]*+)?))?{_SPACES}\Z",
)
_WARNING: Final = re.compile(
    rf"{_SPACES}([0-9]++)[{BLANK}]++([^{BLANK}\x00-\x1F\x7F\",]++)[{BLANK}]++{QUOTED_PATTERN}\Z"
)
_AGENT: Final = re.compile(r"[^ \x00-\x1F\x7F\",]++")
_DATE: Final = re.compile(
    r"[ \t]*+(mon|tue|wed|thu|fri|sat|sun), ([0-9]{2}) (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) ([0-9]{4})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) gmt[ \t]*+\Z",
    re.IGNORECASE | re.ASCII,
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_QVALUE: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_COMMENT_TEXT: Final = re.compile(r"(?:[^\\\x00-\x08\x0A-\x1F\x7F]++|\\[^\r\n])*+")
_COMMENT_ESCAPE: Final = re.compile(r"[()\\]")


def parse_qvalue(value: str) -> float:
    """A preference, 0 to 1 with three decimals at most (RFC 3261 25.1)."""
    if _QVALUE.match(value) is None:
        raise HeaderError("q is not a number from 0 to 1")
    return float(value)


def need_call_id(value: object, what: str = "call_id") -> str:
    """The value, when it can stand as a Call-ID."""
    text = need_text(value, what)
    if re.fullmatch(_CALL_ID, text) is None:
        raise SerializeError(f"{what} is empty or holds a blank, a comma or a semicolon")
    return text


class Parametrized(HeaderValue):
    """The parent of values that end in parameters.

    `_numbers` names the parameters of the class that are numbers, with the largest; `_tokens` those that are tokens.
    Both are checked when a value is read, and q everywhere.
    """

    __slots__ = ("_params",)
    _params: str
    _numbers: ClassVar[dict[str, int]] = {}
    _tokens: ClassVar[frozenset[str]] = frozenset()

    @property
    def params(self) -> Params:
        """The parameters, those with an attribute of their own too."""
        return read_params(self._params)

    @property
    def q(self) -> float | None:
        """The preference, 0.0 to 1.0; None where it is not given."""
        value = self.params.get("q")
        return None if value is None else parse_qvalue(value)

    @classmethod
    def _read_params(cls, text: str, position: int) -> str:
        """Check the parameters behind a value's first part, which ends at a position; their text."""
        if position == len(text):
            return ""
        if text[position] != ";":
            raise HeaderError("value holds an illegal character", offset=position)
        for parameter in scan_parameters(text, position + 1):
            cls._check(parameter, position + 1)
        return text[position + 1 :].strip(BLANK)

    @classmethod
    def _check(cls, parameter: Parameter, offset: int) -> None:
        name, value, quoted = parameter
        key = lower(name)
        if key in cls._numbers:
            parse_number("" if value is None or quoted else value, cls._numbers[key], key, offset)
        elif key in cls._tokens and (value is None or quoted):
            raise HeaderError(f"{key} has no value or a quoted one", offset=offset)
        elif key == "q" and (quoted or _QVALUE.match(value or "") is None):
            raise HeaderError("q is not a number from 0 to 1", offset=offset)

    def _number(self, name: str) -> int | None:
        value = self.params.get(name)
        return None if value is None else parse_number(value, self._numbers[name], name)

    @classmethod
    def _write_params(cls, params: ParamsLike | None, **known: object) -> str:
        """The text of the parameters given by arguments (None: left out), then of the others."""
        mine: list[tuple[str, str | None]] = []
        for argument, value in known.items():
            name = argument.replace("_", "-")
            if value is not None and name in cls._numbers:
                mine.append((name, str(need_number(value, name, cls._numbers[name]))))
            elif value is not None:
                mine.append((name, need_token(value, name) if name in cls._tokens else write_value(value, name)))
        text = write_parameters(params, *mine)
        try:
            cls._read_params(";" + text if text else "", 0)
        except HeaderError as error:
            raise SerializeError(error.reason) from None
        return text

    def _with_params(self, head: str) -> str:
        return f"{head};{self._params}" if self._params else head


class TokenValue(Parametrized):
    """A token with parameters.

    Attributes:
        value: the token as sent.

    Equal are values with the same token in any case and equal parameters.
    """

    __slots__ = ("value",)
    value: str

    def __init__(self, value: str, *, params: ParamsLike | None = None) -> None:
        """Build a value. Raises SerializeError."""
        assign(self, value=need_token(value, "value"), _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token and its parameters."""
        found = _TOKEN_HEAD.match(text)
        if found is None:
            raise HeaderError("value does not start with a token")
        made = cls.__new__(cls)
        assign(made, value=found[1], _params=cls._read_params(text, found.end()))
        return made

    def __str__(self) -> str:
        return self._with_params(self.value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenValue) or type(other) is not type(self):
            return NotImplemented
        return lower(self.value) == lower(other.value) and self.params == other.params

    def __hash__(self) -> int:
        return hash((lower(self.value), self.params))


class Event(TokenValue):
    """An Event value (RFC 6665 8.2.1): `value` is the event package with its templates.

    Two are equal when the packages are, letter by letter, and the ids are; other parameters do not count.
    """

    __slots__ = ()
    _tokens = frozenset({"id"})

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

    def __eq__(self, other: object) -> bool:
        return (self.value, self.id) == (other.value, other.id) if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.value, self.id))


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
        """The seconds that are left."""
        return self._number("expires")

    @property
    def retry_after(self) -> int | None:
        """The seconds to wait."""
        return self._number("retry-after")


class Reason(TokenValue):
    """A Reason value (RFC 3326): `value` is the protocol, such as `SIP` or `Q.850`."""

    __slots__ = ()
    _numbers: ClassVar[dict[str, int]] = {"cause": MAX_SECONDS}

    def __init__(
        self, protocol: str, *, cause: int | None = None, text: str | None = None, params: ParamsLike | None = None
    ) -> None:
        """Build a Reason. Raises SerializeError."""
        known: list[tuple[str, str | None]] = []
        if cause is not None:
            known.append(("cause", str(need_number(cause, "cause", MAX_SECONDS))))
        if text is not None:
            known.append(("text", quote(need_text(text, "text"))))
        assign(self, value=need_token(protocol, "protocol"), _params=write_parameters(params, *known))

    @property
    def protocol(self) -> str:
        """The protocol, as sent."""
        return self.value

    @property
    def cause(self) -> int | None:
        """The cause: a status code or a Q.850 one."""
        return self._number("cause")

    @property
    def text(self) -> str | None:
        """The text for people."""
        return self.params.get("text")


class ContentDisposition(TokenValue):
    """A Content-Disposition value (RFC 3261 20.11): `value` is the type, such as `session` or `render`."""

    __slots__ = ()
    _tokens = frozenset({"handling"})

    @property
    def handling(self) -> str:
        """`required` or another; `required` where it is not given."""
        return lower(self.params.get("handling") or "required")


class AcceptValue(TokenValue):
    """A value of Accept-Encoding or Accept-Language (RFC 3261 20.2, 20.3): a coding or a range, and `q`."""

    __slots__ = ()


class ContentType(Parametrized):
    """A media type: a Content-Type value, or one of Accept (RFC 3261 20.15, 20.1).

    Attributes:
        type: the type, as sent; `*` in Accept.
        subtype: the subtype, as sent.
    """

    __slots__ = ("subtype", "type")
    type: str
    subtype: str

    def __init__(self, type: str, subtype: str, *, params: ParamsLike | None = None) -> None:  # noqa: A002
        """Build a media type. Raises SerializeError."""
        assign(self, type=need_token(type, "type"), subtype=need_token(subtype, "subtype"))
        assign(self, _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a media type."""
        found = _MEDIA_HEAD.match(text)
        if found is None:
            raise HeaderError("media type is not type/subtype")
        made = cls.__new__(cls)
        assign(made, type=found[1], subtype=found[2], _params=cls._read_params(text, found.end()))
        return made

    @property
    def media_type(self) -> str:
        """Type and subtype in lower case: `application/sdp`."""
        return lower(f"{self.type}/{self.subtype}")

    def __str__(self) -> str:
        return self._with_params(f"{self.type}/{self.subtype}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContentType):
            return NotImplemented
        return self.media_type == other.media_type and self.params == other.params

    def __hash__(self) -> int:
        return hash((self.media_type, self.params))


class Interval(Parametrized):
    """A number of seconds with parameters: a Min-SE value (RFC 4028 5).

    Attributes:
        seconds: 0 to 2**32 - 1.
    """

    __slots__ = ("seconds",)
    seconds: int

    def __init__(self, seconds: int, *, params: ParamsLike | None = None) -> None:
        """Build an interval. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS), _params=self._write_params(params))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read seconds and parameters."""
        seconds, end = _seconds(text)
        made = cls.__new__(cls)
        assign(made, seconds=seconds, _params=cls._read_params(text, end))
        return made

    def __str__(self) -> str:
        return self._with_params(str(self.seconds))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interval) or type(other) is not type(self):
            return NotImplemented
        return self.seconds == other.seconds and self.params == other.params

    def __hash__(self) -> int:
        return hash((self.seconds, self.params))


class SessionExpires(Interval):
    """A Session-Expires value (RFC 4028 4)."""

    __slots__ = ()
    _tokens = frozenset({"refresher"})

    def __init__(self, seconds: int, *, refresher: str | None = None, params: ParamsLike | None = None) -> None:
        """Build a Session-Expires. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS))
        assign(self, _params=self._write_params(params, refresher=refresher))

    @property
    def refresher(self) -> str | None:
        """`uac` or `uas`, in lower case; None where it is not given."""
        value = self.params.get("refresher")
        return None if value is None else lower(value)


class RetryAfter(Interval):
    """A Retry-After value (RFC 3261 20.33).

    Attributes:
        comment: the text of the comment in parentheses, "" where there is none.
    """

    __slots__ = ("comment",)
    comment: str
    _numbers: ClassVar[dict[str, int]] = {"duration": MAX_SECONDS}

    def __init__(
        self, seconds: int, *, comment: str = "", duration: int | None = None, params: ParamsLike | None = None
    ) -> None:
        """Build a Retry-After. Raises SerializeError."""
        assign(self, seconds=need_number(seconds, "seconds", MAX_SECONDS), comment=need_text(comment, "comment"))
        assign(self, _params=self._write_params(params, duration=duration))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read seconds, a comment and parameters."""
        seconds, end = _seconds(text)
        comment = ""
        if text[end : end + 1] == "(":
            comment, end = _comment(text, end)
        made = cls.__new__(cls)
        assign(made, seconds=seconds, comment=comment, _params=cls._read_params(text, end))
        return made

    @property
    def duration(self) -> int | None:
        """For how many seconds the callee will be there."""
        return self._number("duration")

    def __str__(self) -> str:
        comment = _COMMENT_ESCAPE.sub(r"\\\g<0>", self.comment)
        return self._with_params(f"{self.seconds} ({comment})" if comment else str(self.seconds))


def _seconds(text: str) -> tuple[int, int]:
    found = _DELTA_HEAD.match(text)
    if found is None:
        raise HeaderError("value does not start with a number of seconds")
    return parse_number(found[1], MAX_SECONDS, "seconds", found.start(1)), found.end()


def _comment(text: str, position: int) -> tuple[str, int]:
    """The meaning of the comment that opens at a position (comments nest), and where what follows it starts."""
    end = comment_end(text, position)
    inside = text[position + 1 : end - 1]
    if end < 0 or _COMMENT_TEXT.fullmatch(inside) is None:
        raise HeaderError("comment is not closed or holds a control character", offset=position)
    while text[end : end + 1] in (" ", "\t"):
        end += 1
    return unquote(inside), end


class Timestamp(HeaderValue):
    """A Timestamp value (RFC 3261 20.38): texts, because a response must send the same digits back.

    Attributes:
        value: digits, a dot, digits.
        delay: the same, None where there is none.
    """

    __slots__ = ("delay", "value")
    value: str
    delay: str | None

    def __init__(self, value: str, *, delay: str | None = None) -> None:
        """Build a Timestamp of decimal texts. Raises SerializeError."""
        text = need_str(value, "value") if delay is None else f"{need_str(value, 'value')} {need_str(delay, 'delay')}"
        found = _TIMESTAMP.match(text)
        if found is None or found[1] != value or found[2] != delay or delay == "":
            raise SerializeError("Timestamp is not a decimal number")
        assign(self, value=value, delay=delay)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a time and a delay."""
        found = _TIMESTAMP.match(text)
        if found is None:
            raise HeaderError("Timestamp is not a decimal number")
        made = cls.__new__(cls)
        assign(made, value=found[1], delay=found[2] or None)
        return made

    def __str__(self) -> str:
        return self.value if self.delay is None else f"{self.value} {self.delay}"

    def __eq__(self, other: object) -> bool:
        return (
            (self.value, self.delay) == (other.value, other.delay) if isinstance(other, Timestamp) else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((self.value, self.delay))


class WarningValue(HeaderValue):
    """A Warning value (RFC 3261 20.43).

    Attributes:
        code: three digits, 100 to 999.
        agent: the host with its port, or the pseudonym, that added it.
        text: the text for people.
    """

    __slots__ = ("agent", "code", "text")
    code: int
    agent: str
    text: str

    def __init__(self, code: int, agent: str, text: str) -> None:
        """Build a Warning. Raises SerializeError."""
        assign(self, code=need_number(code, "warn-code", 999, 100), text=need_text(text, "text"))
        if _AGENT.fullmatch(need_text(agent, "agent")) is None:
            raise SerializeError("agent is empty or holds a blank, a comma or a quote")
        assign(self, agent=agent)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one Warning value."""
        found = _WARNING.match(text.rstrip(BLANK))
        if found is None:
            raise HeaderError("Warning is not a code, an agent and a quoted text")
        if len(found[1]) != 3 or found[1] < "100":
            raise HeaderError("warn-code has not three digits", offset=found.start(1))
        made = cls.__new__(cls)
        assign(made, code=int(found[1]), agent=found[2], text=unquote(found[3]))
        return made

    def __str__(self) -> str:
        return f"{self.code} {self.agent} {quote(self.text)}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WarningValue):
            return NotImplemented
        return (self.code, lower(self.agent), self.text) == (other.code, lower(other.agent), other.text)

    def __hash__(self) -> int:
        return hash((self.code, lower(self.agent), self.text))


class Date(HeaderValue):
    """A Date value (RFC 3261 20.17).

    Attributes:
        when: an aware datetime in UTC, of whole seconds.
    """

    __slots__ = ("when",)
    when: datetime.datetime

    def __init__(self, when: datetime.datetime) -> None:
        """Build a Date of an aware datetime; parts of a second are dropped. Raises SerializeError for a naive one."""
        if not isinstance(when, datetime.datetime):
            raise TypeError(f"when must be datetime, not {type(when).__name__}")
        if when.tzinfo is None:
            raise SerializeError("when has no time zone")
        assign(self, when=when.astimezone(datetime.UTC).replace(microsecond=0))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a date; GMT is its one time zone. A weekday that is not that of the date is tolerated."""
        found = _DATE.match(text)
        if found is None:
            raise HeaderError("Date is not like Sat, 13 Nov 2010 23:29:00 GMT")
        month = _MONTHS.index(found[3].capitalize()) + 1
        year, day, hour, minute, second = (int(found[place]) for place in (4, 2, 5, 6, 7))
        try:
            when = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
        except ValueError:
            raise HeaderError("Date is no day or time of the calendar", offset=found.start(2)) from None
        made = cls.__new__(cls)
        assign(made, when=when)
        return made

    def __str__(self) -> str:
        when = self.when
        day = f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04}"
        return f"{day} {when.hour:02}:{when.minute:02}:{when.second:02} GMT"

    def __eq__(self, other: object) -> bool:
        return self.when == other.when if isinstance(other, Date) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.when)


class Replaces(Parametrized):
    """A Replaces or Join value: the dialog meant (RFC 3891 6.1, RFC 3911 7.1).

    Attributes:
        call_id: its Call-ID.
    """

    __slots__ = ("call_id",)
    call_id: str
    _tokens = frozenset({"to-tag", "from-tag"})

    def __init__(
        self, call_id: str, *, to_tag: str, from_tag: str, early_only: bool = False, params: ParamsLike | None = None
    ) -> None:
        """Build a Replaces. Raises SerializeError."""
        known: list[tuple[str, str | None]] = [("to-tag", need_token(to_tag, "to_tag"))]
        known.append(("from-tag", need_token(from_tag, "from_tag")))
        known += [("early-only", None)] if early_only else []
        assign(self, call_id=need_call_id(call_id), _params=write_parameters(params, *known))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a Call-ID with its to-tag and from-tag, both of which must be there."""
        found = _CALL_ID_HEAD.match(text)
        if found is None:
            raise HeaderError("value does not start with a Call-ID")
        made = cls.__new__(cls)
        assign(made, call_id=found[1], _params=cls._read_params(text, found.end()))
        for name in ("to-tag", "from-tag"):
            if name not in made.params:
                raise HeaderError(f"{name} is missing", offset=len(text))
        return made

    @property
    def to_tag(self) -> str:
        """The tag of the To of the dialog, as its receiver knows it; `0` for none (RFC 2543)."""
        return self.params["to-tag"] or ""

    @property
    def from_tag(self) -> str:
        """The tag of the From."""
        return self.params["from-tag"] or ""

    @property
    def early_only(self) -> bool:
        """Whether only an early dialog is to be replaced."""
        return "early-only" in self.params

    def __str__(self) -> str:
        return self._with_params(self.call_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Replaces):
            return NotImplemented
        return self.call_id == other.call_id and self.params == other.params

    def __hash__(self) -> int:
        return hash((self.call_id, self.params))
