"""Rewriting: what is changed in the text of a value, or cut from it, without understanding all of it.

These decide by quotes, <>, commas and semicolons alone, so that they work on values that are otherwise wrong too: what
a sender wrote cannot keep a server from stamping its Via or tagging its To. `_rewrite.h` says the same in C.
"""

import re
import sys
from bisect import bisect_left
from collections.abc import Iterator

from ._grammar import BLANK, OPEN_QUOTED_STRING, SWS
from ._values import lower
from .headers._lists import comment_end, element_end

_COMMAS = re.compile(f"[{BLANK},]*+")
_TO_SEMICOLON = f'(?>(?:[^";]++|{OPEN_QUOTED_STRING})*)'
_UP_TO_SEMICOLON = re.compile(_TO_SEMICOLON, re.DOTALL)
_PARAMETER = re.compile(rf';{SWS}([^{BLANK}=";]*+)({_TO_SEMICOLON})', re.DOTALL)
_HIDDEN = re.compile(  # what is closed, and what only opens, or is a comment with others in it
    rf'("[^"\\]*+(?:\\.[^"\\]*+)*"|<[^>]*+>|(?<![^{BLANK}])\([^()\\]*+\))|["<]|(?<![^{BLANK}])\(', re.DOTALL
)
_NAME_END = f'{SWS}(?i:%s)(?=[{BLANK}=";]|\\Z)'
_UP_TO = {  # over all parameters of other names
    names: re.compile(f'(?>(?:[^";]++|{OPEN_QUOTED_STRING}|;(?!{_NAME_END % names}))*)', re.DOTALL | re.ASCII)
    for names in ("tag", "received|rport")
}
_HIDES_COMMA = re.compile(rf"<|[{BLANK}]\(")
_UP_TO_ANGLE = re.compile(f'(?>(?:[^"<]++|{OPEN_QUOTED_STRING})*)', re.DOTALL)


def unfold(value: bytes) -> bytes:
    """A value with one space where a fold stood (RFC 3261 7.3.1)."""
    return b" ".join([part for line in value.split(b"\n") if (part := line.strip(b" \t\r"))])


def split_first(value: str) -> tuple[str, str]:
    """The first element of a header's list that is not empty, and the rest of the list ("" where there is none)."""
    if "," not in value:
        return value, ""
    start = _COMMAS.match(value).end()  # type: ignore[union-attr]  # it matches nothing too
    end = element_end(value, start)
    rest = _COMMAS.match(value, end).end()  # type: ignore[union-attr]
    return value[start:end].rstrip(BLANK), value[rest:]


def has_tag(address: str) -> bool:
    """Whether an address has a tag parameter with a value, behind its <> or, without them, behind its URI."""
    return any(
        lower(name) == "tag" and rest.lstrip(BLANK).startswith("=") and not _is_bare(name, rest)
        for _, _, name, rest in _address_parameters(address)
    )


def add_tag(address: str, tag: str) -> str:
    """An address without a tag, with one behind all other parameters; a tag parameter without a value makes way."""
    kept, done = [], 0
    for start, end, name, rest in _address_parameters(address):
        if _is_bare(name, rest):
            kept.append(address[done:start])
            done = end
    text = "".join(kept) + address[done:]
    return f"{text}tag={tag}" if text.endswith(";") else f"{text};tag={tag}"


def _is_bare(name: str, rest: str) -> bool:
    """Whether a parameter is a tag without a value."""
    return lower(name) == "tag" and rest.strip(BLANK) in ("", "=")


def _address_parameters(address: str) -> Iterator[tuple[int, int, str, str]]:
    """The tags among the parameters of an address, not those of a URI in its <>."""
    angle = _UP_TO_ANGLE.match(address).end()  # type: ignore[union-attr]  # it matches nothing too
    start = address.find(">", angle) if angle < len(address) else 0
    return _parameters(address, "tag", start) if start >= 0 else iter(())


def _parameters(value: str, names: str, position: int = 0) -> Iterator[tuple[int, int, str, str]]:
    """The parameters of these names behind a position: where each begins and ends, its name, and the rest of it."""
    up_to = _UP_TO[names]
    while found := _PARAMETER.match(value, up_to.match(value, position).end()):  # type: ignore[union-attr]
        yield found.start(), found.end(), found[1], found[2]
        position = found.end()


def stamp(value: str, host: str, port: int) -> tuple[str, bool]:
    """A Via line with `received` and `rport` in its first Via as a receiver sets them (RFC 3261 18.2.1, RFC 3581 4).

    What the sender wrote there is overwritten, and what it wrote twice taken out: it would send our responses to
    others. So no quote hides a parameter where one is not closed. What we write stands in no quotes, <> and comment:
    that parameter goes, and what is behind it. A second stamp changes nothing. Returns the line, and whether rport is
    there, which the response goes back by.
    """
    via = split_first(value)[0].rstrip(BLANK)
    hidden = _hidden_parts(via) if '"' in via or "<" in via or "(" in via else []
    # Something of the same length for each quote, which ends a name too.
    plain = via.replace('"', "=") if hidden and '"' in via and _has_stray_quote(via, hidden) else via
    before = len(value) - len(value.lstrip(f"{BLANK},"))
    values = {"received": host, "rport": str(port)}
    written: set[str] = set()
    head = via[: _UP_TO_SEMICOLON.match(plain).end()]  # type: ignore[union-attr]  # it matches nothing too
    parts, done = [value[:before]], 0
    for start, end, name, rest in _parameters(plain, "received|rport"):
        key = lower(name)
        until = _outside(via, hidden, start) if hidden else start
        parts.append(via[done:until])
        done = end
        # A <, a comment or a quote that is overwritten may hide commas: what is left of the Via goes too.
        hides = until < start or _HIDES_COMMA.search(rest) is not None or (plain is not via and '"' in via[start:end])
        if key not in written:
            written.add(key)
            blanks = "" if hides else rest[len(rest.rstrip(BLANK)) :]
            parts.append(f"{via[start : end - len(rest)]}={values[key]}{blanks}")
        if hides:
            done = len(via)
            break
    if not written and lower(_sent_by_host(head)) == lower(host):
        return value, False
    if "received" not in written:
        parts += [via[done : _outside(via, hidden, len(via))], f";received={host}"]
    else:
        parts.append(via[done:])
    return ("".join(parts) + value[before + len(via) :]).rstrip(BLANK), "rport" in written


def _hidden_parts(via: str) -> list[tuple[int, int]]:
    """The quoted strings, <> and comments of a Via: where each opens and ends.

    What is not closed goes on for ever, but for a quote, which hides nothing then: its end is 0.
    """
    found: list[tuple[int, int]] = []
    position = 0
    while position >= 0:
        begun, position = position, -1
        for part in _HIDDEN.finditer(via, begun):
            if part[1]:
                found.append(part.span())
                continue
            start = part.start()
            position = comment_end(via, start) if part[0] == "(" else -1
            found.append((start, position if position > 0 else 0 if part[0] == '"' else sys.maxsize))
            break
    return found


def _has_stray_quote(via: str, hidden: list[tuple[int, int]]) -> bool:
    """Whether a quote is not closed, or stands where it opens no quoted string."""
    return any(not end or (via[start] != '"' and '"' in via[start:end]) for start, end in hidden)


def _outside(via: str, hidden: list[tuple[int, int]], place: int) -> int:
    """Where to write what shall stand at a place of a Via.

    It is there, and where that is hidden, at the semicolon before what hides it, or where that opens.
    """
    opening = _opening(hidden, place)
    if opening is None:
        return place
    semicolon = via.rfind(";", 0, opening)
    while semicolon >= 0 and (before := _opening(hidden, semicolon)) is not None:
        semicolon = via.rfind(";", 0, before)
    return opening if semicolon < 0 else semicolon


def _opening(hidden: list[tuple[int, int]], place: int) -> int | None:
    """Where that opens which hides a place; None where nothing does."""
    at = bisect_left(hidden, (place, 0)) - 1
    return hidden[at][0] if at >= 0 and place < hidden[at][1] else None


def _sent_by_host(head: str) -> str:
    """The host of a sent-by, without brackets, of all that stands before a Via's parameters."""
    head = head.rstrip(BLANK)
    before = head.rstrip("0123456789").rstrip(BLANK)
    if len(before) < len(head) and before.endswith(":"):
        head = before[:-1].rstrip(BLANK)
    host = head[max(head.rfind(" "), head.rfind("\t")) + 1 :]
    return host[1:-1] if len(host) > 2 and host[0] == "[" and host[-1] == "]" else host
