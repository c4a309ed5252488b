# The table: the headers of a message as spans, what they point at, how one is found, and whether all is there.


cdef inline sip_span *spans(Message m) noexcept:
    return <sip_span *>field_start(<PyObject *>m.table)


cdef inline const sip_byte *wire(Message m) noexcept:
    return <const sip_byte *>field_start(<PyObject *>m.raw)


cdef inline sip_byte *owned(Message m) noexcept:
    return <sip_byte *>field_start(<PyObject *>m.text)


cdef inline const sip_byte *base(Message m, const sip_span *span) noexcept:
    """What the places of a span count from."""
    return <const sip_byte *>owned(m) if span.bits & SIP_OWNED else wire(m)


cdef inline sip_text span_name(Message m, const sip_span *span) noexcept:
    cdef const sip_byte *name = base(m, span) + span.name
    return sip_run(name, name + sip_name_length(span))


cdef inline sip_text span_value(Message m, const sip_span *span) noexcept:
    """A value as it stands, with its folds."""
    return sip_run(base(m, span) + span.value, base(m, span) + span.value_end)


cdef inline sip_text span_line(Message m, const sip_span *span) noexcept:
    return sip_run(base(m, span) + span.name, base(m, span) + span.line_end)


cdef inline str value_str(Message m, const sip_span *span):
    if span.bits & SIP_FOLDED:
        return to_str(bytes_text(unfolded(span_value(m, span))), True)
    return to_str(span_value(m, span), m.high)


cdef str name_str(Message m, const sip_span *span):
    """The name as it is spelled; where that is the usual way, the one str that all messages share."""
    cdef sip_text name = span_name(m, span)
    cdef str known
    if sip_id(span):
        known = <str>NAMES[sip_id(span)]
        if is_str(name, known):
            return known
    return to_str(name, False)


# ---------------------------------------------------------------- the start line


cdef inline const sip_byte *start_line(Message m) noexcept:
    return (<const sip_byte *>owned(m) if m.start_owned else wire(m)) + m.start


cdef inline sip_text line_part(Message m, uint32_t offset, uint32_t length) noexcept:
    return sip_run(start_line(m) + offset, start_line(m) + offset + length)


cdef inline sip_text method_part(Message m) noexcept:
    return line_part(m, 0, m.method_length)


cdef inline sip_text uri_part(Message m) noexcept:
    return line_part(m, m.method_length + 1, m.uri_length)


cdef inline sip_text reason_part(Message m) noexcept:
    return line_part(m, m.version_length + 5, m.reason_length)


cdef inline sip_text version_part(Message m) noexcept:
    return line_part(m, 0 if m.status_code else m.method_length + m.uri_length + 2, m.version_length)


cdef inline void set_start_line(Message m, const sip_start_line *line) noexcept:
    m.method_length = line.method
    m.uri_length = line.uri
    m.version_length = line.version
    m.reason_length = line.reason
    # A request stays one: whether it is one may be asked beside an edit, without a lock.
    if m.status_code != line.status:
        m.status_code = <uint16_t>line.status


# ---------------------------------------------------------------- finding headers: a place, or -1


cdef inline Py_ssize_t find_id(Message m, unsigned int id, Py_ssize_t at=0) noexcept:
    for at in range(at, m.count):
        if sip_id(&spans(m)[at]) == id:
            return at
    return -1


cdef Py_ssize_t find_unknown(Message m, sip_text name, Py_ssize_t at) noexcept:
    """The first header from `at` on with a name that has no id."""
    for at in range(at, m.count):
        if sip_id(&spans(m)[at]) == SIP_UNKNOWN and sip_same(span_name(m, &spans(m)[at]), name):
            return at
    return -1


cdef inline Py_ssize_t find(Message m, sip_text name, unsigned int id, Py_ssize_t at=0) noexcept:
    """The first header from `at` on of a name, whose id is `id`."""
    return find_id(m, id, at) if id else find_unknown(m, name, at)


# ---------------------------------------------------------------- whether it is in order
#
# The cheap half of validation, for every request of a busy server. `validation.check` says what is wrong, and says it
# again where this is not sure: a value that _values.h does not know.


cdef bint is_in_order(Message m) noexcept:
    """Whether `validation.check` would find nothing; no where that takes a closer look."""
    cdef uint32_t[SIP_OWN_NAMES] seen
    cdef sip_cseq cseq
    cdef const sip_span *span
    cdef Py_ssize_t at
    cdef unsigned int id
    memset(seen, 0, sizeof(seen))
    for at in range(m.count):
        span = &spans(m)[at]
        id = sip_id(span)
        if id >= SIP_OWN_NAMES:
            continue
        seen[id] += 1
        if (id == SIP_CSEQ or id == SIP_MAX_FORWARDS) and span.bits & SIP_FOLDED:
            return False
        if id == SIP_CSEQ and not (sip_read_cseq(span_value(m, span), &cseq) and is_method_of(m, cseq.method)):
            return False
        if id == SIP_MAX_FORWARDS and sip_number(span_value(m, span), SIP_LARGEST_MAX_FORWARDS) < 0:
            return False
    if not seen[SIP_VIA] or seen[SIP_FROM] != 1 or seen[SIP_TO] != 1 or seen[SIP_CALL_ID] != 1 or seen[SIP_CSEQ] != 1:
        return False
    if seen[SIP_MAX_FORWARDS] > 1 or seen[SIP_CONTENT_TYPE] > 1:
        return False
    return m.version_length == 7 and memcmp(version_part(m).p, b"SIP/2.0", 7) == 0


cdef inline bint is_method_of(Message m, sip_text method) noexcept:
    """Whether a method is the request's; a response's CSeq may have any."""
    if m.status_code:
        return True
    return sip_length(method) == m.method_length and memcmp(method.p, method_part(m).p, m.method_length) == 0


# ---------------------------------------------------------------- reading


cdef enum:
    FEW = 256  # headers that are noted on the stack before the table is made; the limit by default


# The limits by default are known by their identity: those of nearly every message, which are not looked at again.
cdef object DEFAULT_SIZE = MAX_SIZE, DEFAULT_HEADERS = MAX_HEADERS
cdef Py_ssize_t USUAL_SIZE = MAX_SIZE, USUAL_HEADERS = MAX_HEADERS


def parse(data, *, max_size=MAX_SIZE, max_headers=MAX_HEADERS):
    cdef bytes raw = data if type(data) is bytes else as_bytes(data)
    if max_size is DEFAULT_SIZE and max_headers is DEFAULT_HEADERS:
        return read(raw, USUAL_SIZE, USUAL_HEADERS)
    if type(max_size) is not int or type(max_headers) is not int:
        max_size, max_headers = check_limits(max_size, max_headers)
    cdef Py_ssize_t size = PyNumber_AsSsize_t(max_size, NULL), headers = PyNumber_AsSsize_t(max_headers, NULL)
    if not 1 <= size <= SIP_LONGEST or headers < 0:
        check_limits(max_size, max_headers)
    return read(raw, size, headers)


cdef Message read(bytes raw, Py_ssize_t max_size, Py_ssize_t max_headers):
    cdef sip_span[FEW] few
    cdef sip_span *found = few
    cdef bytes many
    cdef sip_head head
    cdef sip_text data = bytes_text(raw)
    if max_headers > FEW:
        max_headers = min(max_headers, <Py_ssize_t>sip_length(data) // 3 + 1)  # a header is three bytes at least
        many = PyBytes_FromStringAndSize(NULL, max_headers * sizeof(sip_span))
        found = <sip_span *>PyBytes_AS_STRING(many)
    cdef uint32_t room = <uint32_t>max(max_headers, 0)
    if <Py_ssize_t>sip_length(data) > max_size or not sip_read_head(&head, found, room, data.p, data.end):
        diagnose(raw, max_size, max_headers)
        raise ParseError("malformed message")
    return message_of(raw, &head, found)


cdef inline Message message_of(bytes raw, const sip_head *head, const sip_span *found):
    """The message of a head; bytes before and behind it are dropped."""
    cdef Message m = Message.__new__(Message)
    cdef uint32_t at, cut = head.start
    cdef Py_ssize_t end = PyBytes_GET_SIZE(raw)
    if head.content_length >= 0:
        end = head.body + <Py_ssize_t>head.content_length
    if cut or end < PyBytes_GET_SIZE(raw):
        raw = raw[cut:end]
    m.raw = raw
    m.text = b""
    m.line_end = head.line_end - cut
    m.body_at = head.body - cut
    m.high = head.high
    set_start_line(m, &head.line)
    m.table = b""
    if head.count:
        m.table = PyBytes_FromStringAndSize(<const char *>found, head.count * sizeof(sip_span))
        m.count = head.count
        if cut:
            for at in range(m.count):
                sip_move(&spans(m)[at], -cut)
    return m
