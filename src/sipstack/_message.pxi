# The message: a table of spans over its bytes (`raw`) and over the text of its edits (`owned`).


cdef inline const sip_byte *wire(Message m) noexcept:
    return <const sip_byte *>PyBytes_AS_STRING(m.raw)


cdef inline const sip_byte *base(Message m, const sip_span *span) noexcept:
    """What a span's places count from."""
    return <const sip_byte *>m.owned if span.bits & SIP_OWNED else wire(m)


cdef inline str to_text(const sip_byte *p, Py_ssize_t length, bint high):
    """Text of wire bytes; where all are ASCII it is made without a second look at them."""
    if high or length < 2:
        return PyUnicode_DecodeUTF8(<const char *>p, length, "surrogateescape")
    cdef str text = PyUnicode_New(length, 127)
    memcpy(PyUnicode_DATA(text), p, length)
    return text


cdef inline bytes value_bytes(Message m, const sip_span *span):
    cdef const sip_byte *p = base(m, span)
    return unfold((<const char *>p)[span.value : span.value_end])


cdef inline str value_text(Message m, const sip_span *span):
    if span.bits & SIP_FOLDED:
        return value_bytes(m, span).decode("utf-8", "surrogateescape")
    return to_text(base(m, span) + span.value, span.value_end - span.value, m.high)


cdef str name_text(Message m, const sip_span *span):
    """The name as it is spelled; where that is the usual way, the one text that all messages share."""
    cdef const sip_byte *p = base(m, span) + span.name
    cdef str usual
    if sip_id(span):
        usual = <str>(<list>NAMES)[sip_id(span)]
        if PyUnicode_GET_LENGTH(usual) == sip_name_length(span) and memcmp(p, PyUnicode_DATA(usual), sip_name_length(span)) == 0:
            return usual
    return to_text(p, sip_name_length(span), False)


cdef list NAMES = list(HEADER_NAMES)


cdef inline const sip_byte *line_text(Message m, uint32_t offset) noexcept:
    """A place in the start line."""
    return (<const sip_byte *>m.owned if m.start_owned else wire(m)) + m.start + offset


# ---------------------------------------------------------------- finding headers


cdef struct Name:
    # A header name that a caller gave: its id, or its bytes where it has none (NULL: no header has it).
    unsigned int id
    const sip_byte *text
    Py_ssize_t length


cdef Name look_up(name) except *:
    cdef Name found
    if not isinstance(name, str):
        raise TypeError(f"header name must be str, not {type(name).__name__}")
    found.id = 0
    found.text = NULL
    found.length = 0
    if PyUnicode_IS_ASCII(name):  # not "compact": an enum's member or another kind of str is not
        found.text = <const sip_byte *>PyUnicode_DATA(name)
        found.length = PyUnicode_GET_LENGTH(name)
        found.id = sip_find_id(found.text, found.length, found.text + found.length)
        if found.id and memchr(found.text, c"\r", found.length) != NULL:  # a name's key cannot tell CR from a hyphen
            found.id = 0
    return found


cdef bint is_named(Message m, const sip_span *span, const Name *name) noexcept:
    cdef const sip_byte *p
    cdef Py_ssize_t at
    if name.id:
        return sip_id(span) == name.id
    if sip_id(span) or name.text == NULL or sip_name_length(span) != name.length:
        return False
    p = base(m, span) + span.name
    for at in range(name.length):
        if sip_lower(p[at]) != sip_lower(name.text[at]):
            return False
    return True


cdef inline Py_ssize_t find(Message m, const Name *name, Py_ssize_t start=0) noexcept:
    """The place of the first such header from `start` on, -1 where there is none."""
    cdef Py_ssize_t at
    for at in range(start, m.count):
        if is_named(m, &m.spans[at], name):
            return at
    return -1


cdef inline Py_ssize_t find_id(Message m, unsigned int id) noexcept:
    cdef Py_ssize_t at
    for at in range(m.count):
        if sip_id(&m.spans[at]) == id:
            return at
    return -1


# ---------------------------------------------------------------- editing


cdef inline sip_byte *put(sip_byte *at, const void *text, size_t length) noexcept:
    memcpy(at, text, length)
    return at + length


cdef int reserve(Message m, size_t size) except -1:
    """Make room for `size` bytes of owned text. Pointers into owned text are stale afterwards."""
    cdef size_t needed = m.owned_size + size
    if needed <= m.owned_room:
        return 0
    if m.owned_size > 4096 and live_bytes(m) * 2 < m.owned_size:
        compact(m)
        needed = m.owned_size + size
        if needed <= m.owned_room:
            return 0
    return grow_text(m, max(needed + needed // 2, <size_t>256))


cdef int grow_text(Message m, size_t room) except -1:
    cdef bytes text
    if room > 0x7FFF_FFFF:
        raise MemoryError("headers are too large")
    text = PyBytes_FromStringAndSize(NULL, room)
    if m.owned_size:  # memcpy may not be given NULL, not even for no bytes
        put(<sip_byte *>PyBytes_AS_STRING(text), m.owned, m.owned_size)
    m.text = text
    m.owned = <sip_byte *>PyBytes_AS_STRING(text)
    m.owned_room = <uint32_t>room
    return 0


cdef int grow_table(Message m, uint32_t room) except -1:
    cdef bytes table = PyBytes_FromStringAndSize(NULL, room * sizeof(sip_span))
    if m.count:
        put(<sip_byte *>PyBytes_AS_STRING(table), m.spans, m.count * sizeof(sip_span))
    m.table = table
    m.spans = <sip_span *>PyBytes_AS_STRING(table)
    m.room = room
    return 0


cdef size_t live_bytes(Message m) noexcept:
    cdef size_t size = m.line_end - m.start if m.start_owned else 0
    cdef Py_ssize_t at
    for at in range(m.count):
        if m.spans[at].bits & SIP_OWNED:
            size += m.spans[at].line_end - m.spans[at].name
    return size


cdef int compact(Message m) except -1:
    """Drop the owned text that no header uses any more, so that a message edited for ever does not grow for ever."""
    cdef bytes kept = PyBytes_FromStringAndSize(NULL, m.owned_room)
    cdef sip_byte *text = <sip_byte *>PyBytes_AS_STRING(kept)
    cdef uint32_t size = 0, moved
    cdef sip_span *span
    cdef Py_ssize_t at
    if m.start_owned:
        size = m.line_end - m.start
        put(text, m.owned + m.start, size)
        m.start = 0
        m.line_end = size
    for at in range(m.count):
        span = &m.spans[at]
        if span.bits & SIP_OWNED:
            put(text + size, m.owned + span.name, span.line_end - span.name)
            moved = span.name - size  # wraps round, and back below
            size += span.line_end - span.name
            span.name -= moved
            span.value -= moved
            span.value_end -= moved
            span.line_end -= moved
    m.text = kept
    m.owned = text
    m.owned_size = size
    return 0


cdef int put_line(
    Message m, sip_span *span, unsigned int id, const sip_byte *name, size_t name_length, const sip_byte *value,
    size_t value_length,
) except -1:
    """Write a line to the owned text and point `span` at it. `reserve(m, name_length + value_length + 4)` came before."""
    cdef sip_byte *at = m.owned + m.owned_size
    span.bits = sip_bits(name_length, SIP_OWNED, id)
    span.name = m.owned_size
    at = put(put(at, name, name_length), b": ", 2)
    span.value = <uint32_t>(at - m.owned)
    at = put(at, value, value_length)
    span.value_end = <uint32_t>(at - m.owned)
    at = put(at, b"\r\n", 2)
    m.owned_size = span.line_end = <uint32_t>(at - m.owned)
    return 0


cdef inline void touch(Message m) noexcept:
    m.edited = True
    m.cache = None


cdef int insert(Message m, Py_ssize_t at, const sip_span *span) except -1:
    """Put an entry into the table before place `at`."""
    if m.count == m.room:
        grow_table(m, m.room + m.room // 2 + 8)
    memmove(&m.spans[at + 1], &m.spans[at], (m.count - at) * sizeof(sip_span))
    m.spans[at] = span[0]
    m.count += 1
    touch(m)
    return 0


cdef inline void drop(Message m, Py_ssize_t at) noexcept:
    m.count -= 1
    memmove(&m.spans[at], &m.spans[at + 1], (m.count - at) * sizeof(sip_span))
    touch(m)


cdef struct Text:
    const sip_byte *p
    Py_ssize_t length


cdef inline bint is_plain(const Text *text) noexcept:
    """Whether no byte is a control byte (HTAB may be there)."""
    cdef Py_ssize_t at
    for at in range(text.length):
        if sip_is_control(text.p[at]):
            return False
    return True


cdef Text of_bytes(bytes data) noexcept:
    cdef Text text
    text.p = <const sip_byte *>PyBytes_AS_STRING(data)
    text.length = PyBytes_GET_SIZE(data)
    return text


cdef int checked_line(Message m, sip_span *span, name, value) except -1:
    """Write a caller's header to the owned text. Whatever is not plain ASCII without blanks around it goes the long way."""
    cdef Text n, v
    cdef bytes name_bytes, value_bytes
    cdef unsigned int id
    if (
        type(name) is str and type(value) is str and PyUnicode_IS_COMPACT_ASCII(name) and PyUnicode_IS_COMPACT_ASCII(value)
    ):
        n.p, n.length = <const sip_byte *>PyUnicode_DATA(name), PyUnicode_GET_LENGTH(name)
        v.p, v.length = <const sip_byte *>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value)
    else:
        n.p, n.length, v.p, v.length = NULL, 0, NULL, 0
    if n.length == 0 or sip_token_end(n.p, n.p + n.length) != n.p + n.length:
        name_bytes = encode_name(name)
        n = of_bytes(name_bytes)
    if v.p == NULL or (
        v.length and (sip_is_blank(v.p[0]) or sip_is_blank(v.p[v.length - 1]) or not is_plain(&v))
    ):
        value_bytes = encode_value(name, value)
        v = of_bytes(value_bytes)
        m.high = True  # perhaps
    if n.length > SIP_LONGEST or v.length > SIP_LONGEST:
        raise MemoryError("header is too large")
    id = sip_find_id(n.p, n.length, n.p + n.length)
    if id == CONTENT_LENGTH:
        check_content_length(v.p[: v.length], body_length(m))
    reserve(m, n.length + v.length + 4)
    return put_line(m, span, id, n.p, n.length, v.p, v.length)


cdef int replace_value(Message m, Py_ssize_t at, const sip_byte *value, size_t length) except -1:
    """Give the header at `at` another value, which is not owned text, under its name as it is spelled."""
    cdef sip_span *span = &m.spans[at]
    reserve(m, sip_name_length(span) + length + 4)
    touch(m)
    return put_line(m, span, sip_id(span), base(m, span) + span.name, sip_name_length(span), value, length)


cdef int set_line(Message m, const Name *name, const sip_span *span) except -1:
    """Put an entry in the place of the first header of its name and drop the others, or append it."""
    cdef Py_ssize_t first = find(m, name)
    cdef Py_ssize_t at = m.count
    if first < 0:
        return insert(m, m.count, span)
    while at > first + 1:
        at -= 1
        if is_named(m, &m.spans[at], name):
            drop(m, at)
    m.spans[first] = span[0]
    touch(m)
    return 0


cdef int set_content_length(Message m, Py_ssize_t length) except -1:
    cdef sip_span span
    cdef Name name
    name.id = CONTENT_LENGTH
    content_length_line(m, &span, length)
    return set_line(m, &name, &span)


cdef int content_length_line(Message m, sip_span *span, Py_ssize_t length) except -1:
    """Write a Content-Length into the owned text."""
    cdef sip_byte[10] digits
    cdef sip_byte *end
    if length > 0x7FFF_FFFF:
        raise MemoryError("body is too large")
    end = put_number(digits, <unsigned int>length)
    reserve(m, 28)
    put_line(m, span, CONTENT_LENGTH, b"Content-Length", 14, digits, end - digits)
    return 0


# ---------------------------------------------------------------- writing


cdef inline Py_ssize_t body_length(Message m) noexcept:
    return PyBytes_GET_SIZE(m.raw) - m.body_at if m.new_body is None else PyBytes_GET_SIZE(m.new_body)


cdef bytes body_of(Message m):
    if m.new_body is not None:
        return m.new_body
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(m.raw) + m.body_at, PyBytes_GET_SIZE(m.raw) - m.body_at)


cdef bytes write(Message m):
    """One buffer of the right size; lines that stand next to each other are one copy."""
    if not m.edited:
        return m.raw
    cdef size_t size = m.line_end - m.start + 2 + body_length(m)
    cdef Py_ssize_t at
    cdef const sip_span *span
    for at in range(m.count):
        size += m.spans[at].line_end - m.spans[at].name
    cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
    cdef sip_byte *to = <sip_byte *>PyBytes_AS_STRING(data)
    cdef const sip_byte *run = line_text(m, 0)
    cdef const sip_byte *run_end = run + (m.line_end - m.start)
    for at in range(m.count):
        span = &m.spans[at]
        if base(m, span) + span.name != run_end:
            to = put(to, run, run_end - run)
            run = base(m, span) + span.name
        run_end = base(m, span) + span.line_end
    to = put(put(to, run, run_end - run), b"\r\n", 2)
    put(to, wire(m) + m.body_at if m.new_body is None else of_bytes(m.new_body).p, body_length(m))
    return data


# ---------------------------------------------------------------- building


cdef Message begin(const sip_byte *line, Py_ssize_t length, bytes body, Py_ssize_t text_room, uint32_t room):
    """A message of an owned start line (checked, with its line end) and a body."""
    cdef Message m = Message.__new__(Message)
    m.raw = b""
    m.new_body = body
    m.edited = True
    reserve(m, length + text_room)
    grow_table(m, room)
    set_start(m, line, length)
    return m


cdef int set_start(Message m, const sip_byte *line, Py_ssize_t length) except -1:
    """Make a checked line the start line. It is read again, so that its parts are where reading would find them."""
    cdef Head head
    cdef bint fine
    reserve(m, length)
    memcpy(m.owned + m.owned_size, line, length)
    line = m.owned + m.owned_size
    if is_status_line(line, line + length):
        fine = read_status_line(&head, line, line + length - 2) == FINE
    else:
        fine = read_request_line(&head, line, line + length - 2) == FINE
    if not fine:
        raise AssertionError("a start line that was checked cannot be read")
    m.start_owned = True
    m.start = m.owned_size
    m.owned_size += <uint32_t>length
    m.line_end = m.owned_size
    m.method_length = head.method_length
    m.uri_length = head.uri_length
    m.version_length = head.version_length
    m.reason_length = head.reason_length
    m.status = head.status
    return 0


cdef bint was_copied(Message m, uint32_t copied, unsigned int id) noexcept:
    cdef uint32_t at
    for at in range(copied):
        if sip_id(&m.spans[at]) == id:
            return True
    return False


@cython.final
cdef class Constants:
    """The lines of a tuple of headers that can never change: what a server says in every answer is written once."""

    cdef tuple headers
    cdef bytes text, table  # the lines, and their spans with places in that text
    cdef bint high


# The last such tuple. A tuple itself is the key, not what it holds; the lock is for builds without the GIL.
cdef Constants KNOWN = None
cdef object KNOWN_LOCK = object()


cdef Constants known_constants(headers):
    with cython.critical_section(KNOWN_LOCK):
        return KNOWN if KNOWN is not None and KNOWN.headers is headers else None


cdef bint are_constant(Message m, tuple headers, uint32_t first):
    """Whether a tuple holds pairs of str alone, and no header that a reply copies or that depends on the body."""
    cdef uint32_t at
    for at in range(first, m.count):
        if VIA <= sip_id(&m.spans[at]) <= CSEQ or sip_id(&m.spans[at]) == CONTENT_LENGTH:
            return False
    for pair in headers:
        if type(pair) is not tuple or type((<tuple>pair)[0]) is not str or type((<tuple>pair)[1]) is not str:
            return False
    return True


cdef int learn(Message m, tuple headers, uint32_t first, uint32_t text) except -1:
    """Keep the lines from span `first` on, which begin at `text` of the owned text."""
    global KNOWN
    cdef Constants constants = Constants.__new__(Constants)
    cdef sip_span *spans
    cdef uint32_t at, count = m.count - first
    constants.headers = headers
    constants.high = m.high
    constants.text = m.owned[text : m.owned_size]
    constants.table = (<char *>&m.spans[first])[: count * sizeof(sip_span)]
    spans = <sip_span *>PyBytes_AS_STRING(constants.table)
    for at in range(count):
        shift(&spans[at], text)
    with cython.critical_section(KNOWN_LOCK):
        KNOWN = constants
    return 0


cdef inline void shift(sip_span *span, uint32_t back) noexcept:
    span.name -= back
    span.value -= back
    span.value_end -= back
    span.line_end -= back


cdef int append_constants(Message m, Constants constants) except -1:
    cdef sip_span span
    cdef Py_ssize_t at
    cdef const sip_span *spans = <const sip_span *>PyBytes_AS_STRING(constants.table)
    reserve(m, PyBytes_GET_SIZE(constants.text))
    put(m.owned + m.owned_size, of_bytes(constants.text).p, PyBytes_GET_SIZE(constants.text))
    for at in range(PyBytes_GET_SIZE(constants.table) // <Py_ssize_t>sizeof(sip_span)):
        span = spans[at]
        shift(&span, -m.owned_size)  # wraps round to the other direction
        insert(m, m.count, &span)
    m.owned_size += <uint32_t>PyBytes_GET_SIZE(constants.text)
    m.high = m.high or constants.high
    return 0


cdef int append_headers(Message m, headers) except -1:
    """Append the caller's headers."""
    cdef sip_span span
    cdef uint32_t copied = m.count, text = m.owned_size
    cdef Constants constants = known_constants(headers)
    if constants is not None:
        return append_constants(m, constants)
    for name, value in headers if type(headers) is list or type(headers) is tuple else pairs(headers):
        checked_line(m, &span, name, value)
        if VIA <= sip_id(&span) <= CSEQ and was_copied(m, copied, sip_id(&span)):
            refuse_copied(name)
        insert(m, m.count, &span)
    if type(headers) is tuple and m.owned_size - text < 4096 and are_constant(m, headers, copied):
        learn(m, headers, copied, text)
    return 0


cdef finish(Message m, headers):
    """Append the caller's headers, and a Content-Length where they have none."""
    cdef sip_span span
    if headers is not ():
        append_headers(m, headers)
    if find_id(m, CONTENT_LENGTH) < 0:
        content_length_line(m, &span, PyBytes_GET_SIZE(m.new_body))
        insert(m, m.count, &span)


cdef list STATUS_LINES = [None] * 700


cdef bytes status_line(status, reason):
    cdef bytes line
    cdef long code = 0
    cdef int overflow = 0
    if reason is None and type(status) is int:
        code = PyLong_AsLongAndOverflow(status, &overflow)
    if 100 <= code <= 699:
        line = <bytes>STATUS_LINES[code]
        if line is None:
            line = STATUS_LINES[code] = b"SIP/2.0 %b\r\n" % encode_status(status, reason_phrase(status))
        return line
    return b"SIP/2.0 %b\r\n" % encode_status(status, "" if reason is None else reason)


cdef bytes request_line(method, uri):
    cdef Slice m, u
    cdef bytes line
    cdef sip_byte *to
    if type(method) is str and type(uri) is str and PyUnicode_IS_COMPACT_ASCII(method) and PyUnicode_IS_COMPACT_ASCII(uri):
        m = slice_of(method)
        u = slice_of(uri)
        if m.p != m.end and sip_token_end(m.p, m.end) == m.end and u.p != u.end and is_visible(u):
            line = PyBytes_FromStringAndSize(NULL, (m.end - m.p) + (u.end - u.p) + 11)
            to = put(<sip_byte *>PyBytes_AS_STRING(line), m.p, m.end - m.p)
            put(put(put(to, b" ", 1), u.p, u.end - u.p), b" SIP/2.0\r\n", 10)
            return line
    return b"%b %b SIP/2.0\r\n" % (encode_method(method), encode_uri(uri))


cdef bint is_visible(Slice text) noexcept:
    """Whether an ASCII text has neither spaces nor control bytes."""
    while text.p < text.end:
        if text.p[0] <= c" " or text.p[0] == 0x7F:
            return False
        text.p += 1
    return True


cdef int copy_line(Message to, Message m, Py_ssize_t at, bytes tag) except -1:
    """Append a header of `m` to `to`: as it stands, or unfolded and with CRLF where it is not so; perhaps with a tag."""
    cdef const sip_span *span = &m.spans[at]
    cdef const sip_byte *p = base(m, span)
    cdef sip_span copied = span[0]
    cdef uint32_t length = span.line_end - span.name
    cdef uint32_t moved
    cdef bytes value
    cdef bint tidy = p[span.line_end - 2] == c"\r" and memchr(p + span.name, c"\n", length) == p + span.line_end - 1
    if not tidy:
        value = value_bytes(m, span) + (b"" if tag is None else b";tag=" + tag)
        reserve(to, sip_name_length(span) + PyBytes_GET_SIZE(value) + 4)
        put_line(to, &copied, sip_id(span), p + span.name, sip_name_length(span), of_bytes(value).p, PyBytes_GET_SIZE(value))
        return insert(to, to.count, &copied)
    reserve(to, length + (0 if tag is None else PyBytes_GET_SIZE(tag) + 5))
    copied.bits |= SIP_OWNED
    moved = span.name - to.owned_size
    copied.name -= moved
    copied.value -= moved
    copied.value_end -= moved
    if tag is None:
        put(to.owned + copied.name, p + span.name, length)
        copied.line_end -= moved
    else:
        put(to.owned + copied.name, p + span.name, span.value_end - span.name)
        put(put(put(to.owned + copied.value_end, b";tag=", 5), of_bytes(tag).p, PyBytes_GET_SIZE(tag)), b"\r\n", 2)
        copied.value_end += <uint32_t>PyBytes_GET_SIZE(tag) + 5
        copied.line_end = copied.value_end + 2
    to.owned_size = copied.line_end
    return insert(to, to.count, &copied)


cdef unsigned int[3] IDENTITY = [CALL_ID, VIA, CSEQ]


cdef Slice identity(Message m, unsigned int id) noexcept:
    """A value that a request, its retransmissions and its CANCEL share; of CSeq the number alone."""
    cdef Py_ssize_t at = find_id(m, id)
    cdef const sip_span *span
    cdef Slice value = cut(NULL, NULL)
    cdef const sip_byte *blank
    if at >= 0:
        span = &m.spans[at]
        value = cut(base(m, span) + span.value, base(m, span) + span.value_end)
        blank = <const sip_byte *>memchr(value.p, c" ", value.end - value.p)
        if id == CSEQ and blank != NULL:
            value.end = blank
    return value


cdef bytes make_tag(Message m):
    """A keyed hash of what identifies a request, so that its retransmissions and its CANCEL (9.2) get the same."""
    cdef Slice[3] values
    cdef Py_ssize_t size = PyBytes_GET_SIZE(TAG_KEY)
    cdef int i
    for i in range(3):
        values[i] = identity(m, IDENTITY[i])
        size += values[i].end - values[i].p
    cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
    cdef sip_byte *to = put(<sip_byte *>PyBytes_AS_STRING(data), of_bytes(TAG_KEY).p, PyBytes_GET_SIZE(TAG_KEY))
    for i in range(3):
        if values[i].p != NULL:
            to = put(to, values[i].p, values[i].end - values[i].p)
    cdef uint64_t hashed = <uint64_t>PyObject_Hash(data)
    cdef char[16] digits
    for i in range(16):
        digits[15 - i] = b"0123456789abcdef"[hashed & 15]
        hashed >>= 4
    return digits[:16]
