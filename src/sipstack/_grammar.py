r"""The grammar of SIP, each rule once for Python (RFC 3261 25.1, where a rule names no other section).

A rule is the source of a regular expression, under the rule's own name. `..._CHARS` is what stands between the brackets
of a character class. Text is read by `re.compile(RULE)`, bytes by `re.compile(RULE.encode())`: one source for both.

Every expression is linear in its input. A run of one class is possessive (`[..]*+`). A run of several alternatives is
not (`(?:..)*+`): up to CPython 3.11.4 that keeps what a repetition that failed had already read (gh-106052). It is
written so that giving a repetition back helps nothing that follows, or it stands in an atomic group.
"""

import ipaddress
import re
from typing import Final

from ._limits import MAX_CONTENT_LENGTH
from .errors import HeaderError

# --- characters ------------------------------------------------------------------------------------------------------

BLANK: Final = " \t"
"""WSP: what is cut from both ends of a value."""
DIGIT_CHARS: Final = "0-9"
HEX_CHARS: Final = "0-9A-Fa-f"
CTL_CHARS: Final = r"\x00-\x1F\x7F"
"""CTL (RFC 5234 B.1): every control byte, HTAB and DEL among them."""
CONTROL_CHARS: Final = r"\x00-\x08\x0A-\x1F\x7F"
"""Every control byte but HTAB, which is a blank: what a start line and a header may not hold."""
TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 - characters, no password
UNRESERVED_CHARS: Final = r"A-Za-z0-9\-_.!~*'()"
RESERVED: Final = ";/?:@&=+$,"
"""The reserved characters themselves, not a class."""
NO_UTF8_CHARS: Final = r"\uD800-\uDC7F\uDD00-\uDFFF"
"""Halves of surrogate pairs, which UTF-8 with surrogateescape cannot write. They are in text alone, never in bytes."""


def members(chars: str) -> frozenset[int]:
    """The bytes of a class."""
    pattern = re.compile(f"[{chars}]".encode())
    return frozenset(byte for byte in range(256) if pattern.match(bytes([byte])))


def and_beyond_ascii(chars: str) -> str:
    """A class of these characters and of all beyond ASCII that can be written. It names the others: compiled faster."""
    return "^" + "".join([f"\\x{byte:02x}" for byte in sorted(frozenset(range(128)) - members(chars))]) + NO_UTF8_CHARS


# --- blanks, tokens, quoted strings, comments ------------------------------------------------------------------------

SWS: Final = rf"[{BLANK}]*+"
"""SWS and LWS of a value that is unfolded already."""
LWS: Final = rf"[{BLANK}]++"
LINE_END: Final = r"\r?\n"
"""CRLF; a bare LF ends a line too, a bare CR does not."""
BODY_LINE_END: Final = r"\r\n?|\n"
"""What becomes a CRLF in a body that is given as text."""
FOLD: Final = rf"{LINE_END}(?=[{BLANK}])"
"""The line end inside LWS, up to the blank behind it."""
DIGITS: Final = f"[{DIGIT_CHARS}]++"
TOKEN: Final = f"[{TOKEN_CHARS}]++"
QUOTED_PAIR: Final = r"\\[^\r\n]"
"""A control byte is legal behind a backslash and nowhere else, and CR and LF not even there."""
QDTEXT: Final = rf'[^"\\{CONTROL_CHARS}]*+'
QUOTED_STRING: Final = rf'"({QDTEXT}(?:{QUOTED_PAIR}{QDTEXT})*)"'
"""Group: what stands between the quotes."""
OPEN_QUOTED_STRING: Final = r'(?>"[^"\\]*+(?:"|(?:\\.?[^"\\]*+)*"?))'
"""One to step over: it holds anything, and goes on to the end where it is not closed. With re.DOTALL."""
CTEXT: Final = rf"[^\\{CONTROL_CHARS}]*+(?:{QUOTED_PAIR}[^\\{CONTROL_CHARS}]*+)*"
"""What a comment may hold between its outermost parentheses. They nest, which no regular expression counts."""

# --- hosts -----------------------------------------------------------------------------------------------------------

HOST_CHARS: Final = r"A-Za-z0-9\-._"
"""What host names and IPv4 addresses are made of, the tolerated `_` included."""
LABEL: Final = r"[A-Za-z0-9_]++(?>(?:-++[A-Za-z0-9_]++)*)"  # a label does not end with a hyphen
HOSTNAME: Final = rf"{LABEL}(?>(?:\.{LABEL})*)\.?"
DEC_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
"""RFC 5954 4.1; leading zeros are tolerated."""
IPV4_ADDRESS: Final = rf"{DEC_OCTET}(?:\.{DEC_OCTET}){{3}}"
IPV6_REFERENCE: Final = rf"\[[{HEX_CHARS}:.]{{2,47}}\]"
"""The characters of one alone; see is_ipv6."""
HOST: Final = f"(?:{IPV6_REFERENCE}|{HOSTNAME})"
"""Where a host ends; whether what was found is one, is_host says."""
# What is sent in a host's place and is none: dial strings, names that are not in ASCII, and `<null>`.
READABLE_HOST: Final = rf"(?:{IPV6_REFERENCE}|[{and_beyond_ascii(HOST_CHARS + '+*#')}]++|<[{HOST_CHARS}]*+>)"
"""What is read as a host. Nothing in it can be mistaken for what may stand behind one."""

# --- parameters of a header ------------------------------------------------------------------------------------------

# RFC 3261 has a token, a host or a quoted string as a parameter's value. Trunks and IMS cores also send / @ = & $
# without quotes (icid-value, base64 tags); none of them can be mistaken for something else there.
VALUE_CHARS: Final = TOKEN_CHARS + r"\[\]:/@=&$"
STRICT_VALUE: Final = rf"(?:{TOKEN}|\[[{HEX_CHARS}:.]++\])"
"""What is written as a parameter's value without quotes."""
GENERIC_PARAM: Final = rf"{SWS}({TOKEN})(?:{SWS}={SWS}(?:([{VALUE_CHARS}]++)|{QUOTED_STRING}))?{SWS}"
"""Groups: name, value without quotes, what stands between the quotes."""
# What is read as a value: any characters that end none, and open nothing that does (a quoted string, <>, or a comment,
# which begins with a parenthesis behind a blank).
READABLE_VALUE: Final = rf"(?!(?<=[{BLANK}])\()[^{CTL_CHARS} \";,<>\\]++"
READABLE_PARAM: Final = rf"{SWS}(?:({TOKEN}){SWS}(?:(=){SWS}({READABLE_VALUE})?{SWS})?)?"
"""A parameter that is no generic-param, but readable: nothing at all, or a value that is odd or missing.

Groups: name, equals sign, value.
"""

# --- URIs ------------------------------------------------------------------------------------------------------------

SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.\-]*+"
ESCAPED: Final = f"%[{HEX_CHARS}]{{2}}"


def _escapable(chars: str, *, empty: bool = False) -> str:
    """Characters of a class and escapes, at least one of them unless `empty`."""
    first = f"[{chars}]*+" if empty else f"(?:[{chars}]++|(?={ESCAPED}))"
    return f"{first}(?:{ESCAPED}[{chars}]*+)*"


USER_CHARS: Final = UNRESERVED_CHARS + "&=+$,;?/"
URI_PARAM_CHARS: Final = UNRESERVED_CHARS + r"\[\]/:&+$"
URI_HEADER_CHARS: Final = UNRESERVED_CHARS + r"\[\]/?:+$"
STRICT_USER: Final = _escapable(USER_CHARS)
# '#' (dial strings) and raw UTF-8 are no part of the RFC's user, but phones send both, and neither is ambiguous.
USER: Final = _escapable(and_beyond_ascii(USER_CHARS + "#"))
PASSWORD: Final = _escapable(f"{UNRESERVED_CHARS}&=+$,", empty=True)
USERINFO: Final = f"({USER})(?::({PASSWORD}))?@"
READABLE_USERINFO: Final = (
    rf"([^{CTL_CHARS}{NO_UTF8_CHARS} \"<>@:;?,/\\]++)(?::([^{CTL_CHARS}{NO_UTF8_CHARS} \"<>@;?,/\\]*+))?@"
)
"""Userinfo with odd characters, but none that could stand behind a host: then the @ could be one of a parameter."""
HOSTPORT: Final = f"({READABLE_HOST})(?::({DIGITS}))?"
URI_PARAM_PART: Final = _escapable(URI_PARAM_CHARS)
URI_PARAM: Final = f"({URI_PARAM_PART})(?:=({URI_PARAM_PART}))?"
READABLE_URI_PARAM: Final = rf"[^{CTL_CHARS}{NO_UTF8_CHARS} \"<>;?]*+"
URI_HEADER: Final = f"({_escapable(URI_HEADER_CHARS)})=({_escapable(URI_HEADER_CHARS, empty=True)})"
READABLE_URI_HEADERS: Final = rf"[^{CTL_CHARS}{NO_UTF8_CHARS} \"<>]*+"
"""A whole header part: nothing stands behind it, so no delimiter in it means anything but `&`."""
STRICT_OPAQUE: Final = _escapable(rf"{UNRESERVED_CHARS};/?:@&=+$,\[\]#")
# Everything a URI may be made of, and what is often sent raw in one; never a blank, a control, or a delimiter.
OPAQUE: Final = _escapable(and_beyond_ascii(rf"{UNRESERVED_CHARS};/?:@&=+$,\[\]#|^`{{}}"))
TELEPHONE_SUBSCRIBER: Final = rf"(?:\+[0-9.()\-]*+|[{HEX_CHARS}*#.()\-]++)"
"""RFC 3966 3, a global number or a local one. It needs a digit too, which is_telephone_number sees to."""

# --- the start line --------------------------------------------------------------------------------------------------

SIP_VERSION: Final = rf"(?i:SIP)/{DIGITS}\.{DIGITS}"
METHOD: Final = TOKEN
REQUEST_URI: Final = r"[^\x00-\x20\x7F]++"
STATUS_CODE: Final = "[1-6][0-9][0-9]"
REASON_PHRASE: Final = f"[^{CONTROL_CHARS}]*+"
STATUS_LINE: Final = f"({SIP_VERSION}) ({STATUS_CODE})(?: ({REASON_PHRASE}))?"
REQUEST_LINE: Final = f"({METHOD}) ({REQUEST_URI}) ({SIP_VERSION})"
START_LINE: Final = f"(?:{STATUS_LINE}|{REQUEST_LINE}){LINE_END}"
"""Groups: version, status code and reason phrase of a response; method, Request-URI and version of a request."""
EMPTY_LINES: Final = f"(?>(?:{LINE_END})*)"
"""What may stand before a start line (7.5)."""

# --- the header section, of bytes ------------------------------------------------------------------------------------


HEADER_NAME: Final = TOKEN
# Everything but CONTROL_CHARS once more, for bytes: ranges, the frequent one first. A class that names what is not in
# it takes three times as long.
LINE_TEXT: Final = r"[ -~\x80-\xff\t]*+"
FOLDED_LINES: Final = rf"(?:(?![{BLANK}])|(?:[{BLANK}]{LINE_TEXT}{LINE_END})+)"
HEADER_LINES: Final = rf"(?>(?:{HEADER_NAME}(?::|{LWS}:){LINE_TEXT}{LINE_END}{FOLDED_LINES})*)(?={LINE_END})"
"""Every header with its folds, up to the empty line."""

# The header section of nearly every message: CRLF throughout, no folds, no space before a colon, at most one
# Content-Length. What the values hold is left to `bytes.translate`: a search for one byte and a table are three times
# as fast as a class.
_NOT_C_NOT_L: Final = re.escape("".join(map(chr, sorted(members(TOKEN_CHARS) - set(b"CcLl")))))
_OTHER_HEADERS: Final = (
    rf"(?>(?:(?:[{_NOT_C_NOT_L}]|[Cc](?!(?i:ontent-length):)|[Ll](?!:))"
    rf"[{TOKEN_CHARS}]*+:[^\r]*+\r\n)*)"
)
_LENGTH_DIGITS: Final = len(str(MAX_CONTENT_LENGTH))
UNFOLDED_HEADERS: Final = (
    rf"{_OTHER_HEADERS}(?:(?:[Cc](?i:ontent-length)|[Ll]):{SWS}([0-9]{{1,{_LENGTH_DIGITS}}}){SWS}\r\n)?"
    rf"{_OTHER_HEADERS}\r\n"
)
"""Group: the Content-Length. The values are yet to be searched for control bytes."""

# These take headers apart that were found to be in order.
ANY_FOLDED_LINES: Final = rf"(?>(?:[{BLANK}][^\n]*+\n)*)"
HEADER: Final = rf"({HEADER_NAME})([^\n]*+\n{ANY_FOLDED_LINES})"
"""Groups: name, and everything behind it with its line ends."""
UNFOLDED_HEADER: Final = rf"^([^{BLANK}\r\n:]++){SWS}:{SWS}(.*)\r\n"
"""Groups: name and value. With re.MULTILINE. It looks at one line, also where that ends with an LF alone."""
CONTENT_LENGTHS: Final = rf"\n(?i:content-length|l){SWS}:([^\n]*+(?>(?:\n[{BLANK}][^\n]*+)*))"
"""Group: the value with its folds. Found behind the end of the line before it."""
CONTENT_LENGTH: Final = rf"[{BLANK}\r\n]*+((?=[{DIGIT_CHARS}])0*+([{DIGIT_CHARS}]*+))[{BLANK}\r\n]*+"
"""The value with its folds. Groups: the digits, and those of them that count; no more than nine, see _limits."""
HEAD_END: Final = rf"\n{LINE_END}"
"""Where the header section ends: the end of its last line, and the empty line."""

FIELD_VALUE: Final = rf"(?>[^\\{CONTROL_CHARS}]*+(?:(?:{QUOTED_PAIR}|{FOLD}|\\(?=[\r\n])|\\\Z)[^\\{CONTROL_CHARS}]*+)*)"
"""The longest start of a header's value that holds no control byte but behind a backslash; see bad_control."""

BYTE_CLASSES: Final = {
    name: members(chars)
    for name, chars in {
        "token": TOKEN_CHARS,
        "control": CTL_CHARS,
        "hex": HEX_CHARS,
        "host": HOST_CHARS,
        "value": VALUE_CHARS,
        "user": USER_CHARS,
        "uri-param": URI_PARAM_CHARS,
    }.items()
}
"""The bytes of the classes that the compiled core has a table of."""

# --- what an expression alone does not say ---------------------------------------------------------------------------

_TOKEN: Final = re.compile(TOKEN)
_CONTENT_LENGTH: Final = re.compile(CONTENT_LENGTH.encode())
_HOST: Final = re.compile(HOST)
_NUMERIC_LABEL: Final = re.compile(r"(?:.*\.)?[0-9]++\.?")
_IPV4: Final = re.compile(IPV4_ADDRESS)
_TELEPHONE_SUBSCRIBER: Final = re.compile(TELEPHONE_SUBSCRIBER)
_PHONE_DIGIT: Final = re.compile(f"[{HEX_CHARS}*#]")


def is_token(text: str) -> bool:
    """Whether the text is a token."""
    return _TOKEN.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether the text is a host: a name, an IPv4 address, an IPv6 reference in brackets (and RFC 5954)."""
    if _HOST.fullmatch(text) is None:
        return False
    if text[0] == "[":
        return is_ipv6(text[1:-1])
    # A name whose last label is a number is an address or nothing.
    last = text.rstrip(".")[-1:]
    if "0" <= last <= "9" and _NUMERIC_LABEL.fullmatch(text):
        return _IPV4.fullmatch(text) is not None
    return True


def is_ipv6(text: str) -> bool:
    """Whether the text is an IPv6 address, without brackets and zone."""
    return read_ipv6(text) is not None


def read_ipv6(text: str) -> ipaddress.IPv6Address | None:
    """The IPv6 address that a text without brackets and zone is; None where it is none.

    RFC 3261's own grammar derives three colons before an embedded IPv4 address; RFC 5118 4.10 asks to tolerate them.
    """
    if "%" in text or len(text) > 46:
        return None
    if ":::" in text and "." in text:
        text = text.replace(":::", "::", 1)
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None


def is_telephone_number(text: str) -> bool:
    """Whether the text is a telephone number, which has a digit among its visual separators (RFC 3966 3)."""
    return _TELEPHONE_SUBSCRIBER.fullmatch(text) is not None and _PHONE_DIGIT.search(text) is not None


def read_content_length(value: bytes) -> int:
    """What a Content-Length says, for datagrams, streams and edits (RFC 3261 20.14).

    `value` is all that stands behind the colon: blanks and folds around the digits do not count, nor do zeros before
    the others. Raises HeaderError, whose offset is in `value`.
    """
    found = _CONTENT_LENGTH.fullmatch(value)
    if found is None:
        text = value.strip(b" \t\r\n")
        offset = value.find(text) if text else 0
        raise HeaderError("Content-Length is not a number", "Content-Length", offset)
    if len(found[2]) > _LENGTH_DIGITS:
        raise HeaderError("Content-Length is too large", "Content-Length", found.start(1))
    return int(found[2] or b"0")
