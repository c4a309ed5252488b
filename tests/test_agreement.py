"""The two implementations agree on every input: the same Message, or the same error with the same reason and byte.

What is compared, and how, is in agreement.py; the fuzzers in fuzz/ go on where this ends.
"""

import random
import re
from pathlib import Path
from types import ModuleType

import agreement
import pytest
from agreement import agree, agree_on_calls, agree_on_edits, agree_on_value
from hypothesis import given, settings
from hypothesis import strategies as st

Both = tuple[ModuleType, ModuleType]
BYTES = b'\x00\r\n \t,;"<>\\:@%\xff'
"""What each byte of each message is replaced by."""
TORTURE = Path(__file__).resolve().parent / "torture"


def names() -> list[str]:
    """Ours by a number, the torture messages by their names; those of the corpus where it is here."""
    corpus = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"
    found = [path.relative_to(corpus).as_posix() for folder in ("rfc4475", "rfc5118")
             for path in sorted((corpus / folder).rglob("*")) if path.is_file()]  # fmt: skip
    own = [f"own/{number}" for number in range(len(agreement.MESSAGES))]
    return [*own, *(f"torture/{path.name}" for path in sorted(TORTURE.glob("*.sip"))), *(found or ["corpus"])]


@pytest.fixture(params=names())
def data(request: pytest.FixtureRequest) -> bytes:
    """One of the messages."""
    folder, _, name = request.param.partition("/")
    if folder == "own":
        return agreement.MESSAGES[int(name)]
    if folder == "torture":
        return (TORTURE / name).read_bytes()
    corpus: Path = request.getfixturevalue("corpus")
    return (corpus / request.param).read_bytes()


def test_every_message_as_it_stands(both: Both, data: bytes):
    agree(both, data, deep=True)


def test_cut_at_every_byte(both: Both, data: bytes):
    for end in range(len(data)):
        agree(both, data[:end])


def test_each_byte_replaced(both: Both, data: bytes):
    head = re.search(rb"\r?\n\r?\n", data)
    # Behind the head a byte is only a byte: every 16th is enough there.
    end = head.end() if head else len(data)
    places = [*range(end), *range(end, len(data), 16)]
    sample = 61 + len(data) // 4
    for at in places:
        for byte in BYTES:
            changed = b"%b%c%b" % (data[:at], byte, data[at + 1 :])
            agree(both, changed, deep=(at * len(BYTES) + byte) % sample == 0)


def test_each_byte_dropped_and_doubled(both: Both, data: bytes):
    for at in range(0, len(data), 2):
        agree(both, data[:at] + data[at + 1 :])
        agree(both, data[: at + 1] + data[at:])


def test_with_every_line_end(both: Both, data: bytes):
    lf = data.replace(b"\r\n", b"\n")
    for changed in (lf, lf.replace(b"\n", b"\r\n"), lf.replace(b"\n", b"\r"), lf.replace(b"\n", b"\r\r\n"),
                    lf.replace(b"\n", b"\r\n\t", 3), data.replace(b": ", b" :\r\n "), b"\n\r\n" + data):  # fmt: skip
        agree(both, changed, deep=True)


def test_limits(both: Both, data: bytes):
    lines = data.count(b"\n")
    for limit in range(min(lines + 2, 20)):
        agree(both, data, max_headers=limit)
    for limit in (1, 2, len(data) - 1, len(data)):
        agree(both, data, max_size=limit)


def places_of(text: str) -> list[tuple[int, bool]]:
    """The places of a text, and whether it is one of those that stand for others: of a word the ends and the second."""
    words = [(match.start(), match.end()) for match in re.finditer(r"\w+|\W", text, re.ASCII)]
    return [(at, at in (start, start + 1, end - 1)) for start, end in words for at in range(start, end)]


@pytest.mark.parametrize("header", agreement.VALUES)
def test_each_byte_of_a_value_replaced(both: Both, header: str):
    """Structured values have paths of their own in the compiled core: every slot is compared."""
    seen: set[bytes] = set()
    for text in agreement.VALUES[header]:
        value = text.encode()
        agree_on_value(both, header, value)
        for at, deep in places_of(text):
            deep = deep and value[: at + 2] not in seen
            seen.add(value[: at + 2])
            agree_on_value(both, header, value[:at], deep=deep)
            for byte in BYTES + b"([1aF=?%-.":
                agree_on_value(both, header, b"%b%c%b" % (value[:at], byte, value[at + 1 :]), deep=deep)


ALIGNMENTS = range(1, 140, 3)


@pytest.mark.parametrize("name", [b"Via", b"v", b"X", b"Content-Length", b"P-Asserted-Identity", b"Subscription-State"])
def test_every_alignment_of_a_line(both: Both, name: bytes):
    """The compiled core reads 16 and 64 bytes at a time: line ends, colons and wrong bytes in each place of a block."""
    for length in ALIGNMENTS:
        for before in (0, 14, 15, 16, 61, 62, 63, 64):
            padding = b"P: %b\r\n" % (b"x" * before)
            value = b"0" * length
            for end in (b"\r\n", b"\n", b"\r\n \r\n", b"\x00\r\n", b"\r\r\n", b" \t\r\n", b"\xff\r\n", b""):
                agree(both, b"A sip:b SIP/2.0\r\n" + padding + name + b":" + value + end + b"\r\n")
                agree(both, b"A sip:b SIP/2.0\r\n" + padding + name + b" " * (length % 20) + b": a" + end + b"\r\n")


# --- made messages

TOKENS = st.text(st.sampled_from("!%'*+-.0159AZ_`az~"), min_size=1, max_size=20)
NAMES = st.one_of(
    TOKENS, st.sampled_from(["Via", "v", "TO", "Content-Length", "l", "CSeq", "Route", "From", "i", "Max-Forwards"])
)
LINES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([text.encode() for texts in agreement.VALUES.values() for text in texts]),
    st.integers(-1, 300).map(lambda number: str(number).encode()),
)
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  \t"])
ENDS = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r\n ", b"\r", b"\n\t", b"\r\n\r\n"])
START_LINES = st.one_of(
    st.tuples(TOKENS, LINES).map(lambda parts: parts[0].encode() + b" " + parts[1] + b" SIP/2.0"),
    st.tuples(st.integers(0, 999), LINES).map(lambda parts: b"SIP/2.0 %03d " % parts[0] + parts[1]),
    LINES,
    st.just(b"OPTIONS sip:a SIP/2.0"),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Something like a message."""
    data = draw(START_LINES) + draw(ENDS)
    for _ in range(draw(st.integers(0, 8))):
        data += draw(NAMES).encode() + draw(BLANKS) + b":" + draw(BLANKS) + draw(LINES) + draw(ENDS)
    return data + b"\r\n" + draw(st.binary(max_size=20))


@given(messages())
def test_made_messages(both: Both, data: bytes):
    agree(both, data, deep=True)


@given(st.binary(max_size=300))
def test_any_bytes(both: Both, data: bytes):
    agree(both, data, deep=True)


@given(st.text())
def test_any_text(both: Both, text: str):
    one, other = (agreement.outcome(implementation.parse, text) for implementation in both)
    assert type(one) is tuple
    assert one == other


@given(st.sampled_from(sorted(agreement.VALUES)), LINES)
def test_any_value(both: Both, header: str, value: bytes):
    agree_on_value(both, header, value)


@settings(max_examples=300)
@given(st.sampled_from(agreement.MESSAGES), st.integers(0, 2**32), st.integers(1, 12))
def test_any_edits(both: Both, data: bytes, seed: int, count: int):
    source = random.Random(seed)
    agree_on_edits(both, data, [agreement.random_edit(source) for _ in range(count)])


@settings(max_examples=300)
@given(st.sampled_from(agreement.MESSAGES), st.integers(0, 2**32), st.integers(1, 12))
def test_any_calls(both: Both, data: bytes, seed: int, count: int):
    source = random.Random(seed)
    agree_on_calls(both, data, [agreement.random_call(source) for _ in range(count)])


def test_two_max_forwards_of_which_the_first_is_cut(both: Both):
    calls = [("prepend_header", ("Max-Forwards", "200")), ("add_header", ("Max-Forwards", "70")), ("forward", (True,))]
    for data in agreement.MESSAGES:
        agree_on_calls(both, data, calls)


@pytest.mark.parametrize("name", ["get_header", "remove_header"])
def test_a_name_whose_methods_tell_of_another_is_looked_up_as_what_it_is(both: Both, name: str):
    for text in ("via", "x-unknown"):
        edits = [("add_header", ("X-Unknown", "1")), ("odd " + name, (agreement.LyingStr(text),))]
        agree_on_calls(both, agreement.MESSAGES[0], edits)
        messages = [implementation.parse(agreement.MESSAGES[0]) for implementation in both]
        for message in messages:
            message.add_header("X-Unknown", "1")
        assert all(getattr(message, name)(agreement.LyingStr(text)) for message in messages)


@pytest.mark.parametrize("seed", range(6))
def test_many_edits_of_one_message(both: Both, seed: int):
    """Long enough that the compiled core drops text that no header uses any more."""
    source = random.Random(seed)
    edits = [agreement.random_edit(source) for _ in range(400)]
    agree_on_edits(both, agreement.MESSAGES[seed % len(agreement.MESSAGES)], [e for e in edits if e[0] != "copy"])


@pytest.mark.parametrize("seed", range(10))
def test_a_short_fuzz(both: Both, seed: int):
    source = random.Random(seed)
    for _ in range(300):
        data = agreement.mutate(source, source.choice(agreement.MESSAGES), source.choice(agreement.MESSAGES), 2)
        agree(both, data, deep=True)
