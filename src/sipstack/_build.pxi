# Building: requests and responses from their parts, replies from their requests. Everything here but `copy` fills a
# message that nobody else has yet.


cdef Message begin(bytes line, bytes body, bint high, size_t text, size_t headers):
    """A message of a start line (checked, with its line end) and a body, with room for so much text and headers."""
    cdef Message m = Message.__new__(Message)
    m.raw = m.text = m.table = b""
    m.new_body = body
    m.edits = 1
    m.high = high
    make_text_room(m, PyBytes_GET_SIZE(line) + text)
    make_table_room(m, headers)
    put_start_line(m, line)
    return m


cdef int put_start_line(Message m, bytes line) except -1:
    """Make a checked line the start line. Reading it like any other finds its parts."""
    cdef sip_text text = bytes_text(line)
    cdef sip_start_line parts
    if not sip_read_start_line(&parts, sip_run(text.p, text.end - 2)):
        raise AssertionError("a start line that was checked cannot be read")
    make_text_room(m, sip_length(text))
    sip_put_text(owned(m) + m.text_size, text)
    m.start_owned = True
    m.start = m.text_size
    m.line_end = m.text_size = m.text_size + <uint32_t>sip_length(text)
    set_start_line(m, &parts)
    return 0


cdef long LOWEST_STATUS, HIGHEST_STATUS
LOWEST_STATUS, HIGHEST_STATUS = STATUS_CODES
cdef list STATUS_LINES = [None] * (HIGHEST_STATUS + 1)


cdef bytes status_line(status, reason):
    cdef bytes line
    cdef long code = 0
    cdef int overflow = 0
    if reason is None and type(status) is int:
        code = PyLong_AsLongAndOverflow(status, &overflow)
    if not LOWEST_STATUS <= code <= HIGHEST_STATUS:
        return b"SIP/2.0 %b\r\n" % encode_status(status, reason)
    line = <bytes>STATUS_LINES[code]
    if line is None:
        line = STATUS_LINES[code] = b"SIP/2.0 %b\r\n" % encode_status(status, None)
    return line


cdef bytes request_line(method, uri):
    cdef sip_text m, u
    cdef bytes line
    cdef sip_byte *to
    if is_ascii(method) and is_ascii(uri):
        m, u = ascii_text(method), ascii_text(uri)
        if sip_is_token(m) and is_visible(u):
            line = PyBytes_FromStringAndSize(NULL, sip_length(m) + sip_length(u) + 11)
            to = sip_put_text(sip_put(sip_put_text(<sip_byte *>PyBytes_AS_STRING(line), m), b" ", 1), u)
            sip_put(to, b" SIP/2.0\r\n", 10)
            return line
    return b"%b %b SIP/2.0\r\n" % (encode_method(method), encode_uri(uri))


cdef bint is_visible(sip_text text) noexcept:
    """Whether an ASCII text has neither spaces nor control bytes, and is not empty."""
    cdef const sip_byte *p = text.p
    while p < text.end and c" " < p[0] < 0x7F:
        p += 1
    return p == text.end and p > text.p


cdef int append_headers(Message m, headers, uint32_t copied) except -1:
    """Append the caller's headers; none of those that a reply has copied, which are the first `copied`."""
    cdef sip_span span
    cdef sip_text n, v
    cdef unsigned int id
    if type(headers) is dict:
        headers = (<dict>headers).items()
    elif type(headers) is not list and type(headers) is not tuple:
        headers = header_items(headers)
    for pair in headers:
        name, value = pair if type(pair) is tuple and len(<tuple>pair) == 2 else header_pair(pair)
        id = writable_id(name, value)
        if id == SIP_UNKNOWN:
            lines = lines_apart(name, value) if is_several(value) else None
            if lines is not None:
                append_headers(m, [(name, line) for line in lines], copied)
                continue
            span = write_header(m, header_name(name), header_value(name, value))
        else:
            n, v = ascii_text(<str>name), ascii_text(<str>value)
            make_header_room(m, id, n, v)
            span = put_line(m, id, n, v)
        if copied and is_among_first(m, copied, sip_id(&span)):
            if sip_id(&span) != SIP_TIMESTAMP:
                refuse_copied(name)
            copied -= drop_every(m, SIP_TIMESTAMP)  # the caller's, which has the delay, is in its place (8.2.6.1)
        append(m, span)
    return 0


cdef inline bint is_among_first(Message m, uint32_t first, unsigned int id) noexcept:
    """Whether the first headers, which a reply has copied, have one of an id."""
    cdef uint32_t at
    if SIP_VIA <= id <= SIP_CSEQ or id == SIP_RECORD_ROUTE or id == SIP_TIMESTAMP:
        for at in range(first):
            if sip_id(&spans(m)[at]) == id:
                return True
    return False


cdef uint32_t drop_every(Message m, unsigned int id) noexcept:
    """Drop the headers of an id; how many there were."""
    cdef uint32_t before = m.count
    cdef Py_ssize_t at, kept = 0
    for at in range(before):
        if sip_id(&spans(m)[at]) != id:
            spans(m)[kept] = spans(m)[at]
            kept += 1
    m.count = <uint32_t>kept
    return before - m.count


cdef int add_content_length(Message m) except -1:
    """A Content-Length for a message that has none."""
    if find_id(m, SIP_CONTENT_LENGTH) < 0:
        append(m, write_content_length(m, PyBytes_GET_SIZE(m.new_body)))
    return 0


cdef enum:
    BUILT_TEXT = 380  # bytes and headers that most messages need which are built from nothing
    BUILT_HEADERS = 12


cdef Message build(bytes line, headers, body):
    cdef Message m = begin(line, body if type(body) is bytes else encode_body(body), True, BUILT_TEXT, BUILT_HEADERS)
    if headers is not ():
        append_headers(m, headers, 0)
    add_content_length(m)
    return m


# ---------------------------------------------------------------- replies (RFC 3261 8.2.6)


cdef struct sip_copied:
    Py_ssize_t[SIP_CSEQ + 1] first  # the place of the first Via, From, To, Call-ID, CSeq; -1 where there is none
    size_t size  # bytes of all of them


cdef Message build_reply(Message request, bytes line, bint high, bytes tag, headers, bytes body):
    cdef Message m = begin_reply(request, line, high, tag, body)
    if headers is not ():
        append_headers(m, headers, m.count)
    add_content_length(m)
    return m


@cython.critical_section
cdef Message begin_reply(Message request, bytes line, bint high, bytes tag, bytes body):
    """A response with what it copies of its request."""
    cdef sip_copied copied
    find_copied(request, &copied)
    cdef Message m = begin(line, body, high or request.high, copied.size + 64, 8)
    copy_headers(m, request, &copied, tag)
    return m


cdef void find_copied(Message m, sip_copied *copied) noexcept:
    """The headers that every reply copies."""
    cdef Py_ssize_t at
    cdef unsigned int id
    copied.size = 0
    for id in range(SIP_VIA, SIP_CSEQ + 1):
        copied.first[id] = -1
    for at in range(m.count):
        id = sip_id(&spans(m)[at])
        if SIP_VIA <= id <= SIP_CSEQ:
            copied.size += spans(m)[at].line_end - spans(m)[at].name
            if copied.first[id] < 0:
                copied.first[id] = at


cdef int copy_headers(Message m, Message request, const sip_copied *copied, bytes tag) except -1:
    """Copy what a reply has of its request: Via, From, To, Call-ID, CSeq, and what its status asks for."""
    cdef unsigned int id
    cdef Py_ssize_t at
    copy_all(m, request, SIP_VIA, copied.first[SIP_VIA])
    for id in range(SIP_FROM, SIP_CSEQ + 1):
        at = copied.first[id]
        if at >= 0 and id == SIP_TO and m.status_code != 100 and not has_tag(request, at):
            copy_header(m, request, at, make_tag(request, copied) if tag is None else tag)
        elif at >= 0:
            copy_header(m, request, at, None)
    if m.status_code == 100:
        copy_all(m, request, SIP_TIMESTAMP, find_id(request, SIP_TIMESTAMP))  # 8.2.6.1
    elif m.status_code <= 299 and method_str(method_part(request)) in DIALOG_METHODS:
        copy_all(m, request, SIP_RECORD_ROUTE, find_id(request, SIP_RECORD_ROUTE))  # 12.1.1
    return 0


cdef int copy_all(Message m, Message request, unsigned int id, Py_ssize_t at) except -1:
    while at >= 0:
        copy_header(m, request, at, None)
        at = find_id(request, id, at + 1)
    return 0


cdef bint has_tag(Message m, Py_ssize_t at) except -1:
    cdef bytes line
    if spans(m)[at].bits & SIP_FOLDED:
        line = unfolded(span_value(m, &spans(m)[at]))
        return sip_has_tag(bytes_text(line))
    return sip_has_tag(span_value(m, &spans(m)[at]))


cdef int copy_header(Message m, Message request, Py_ssize_t at, bytes tag) except -1:
    """Append a header of another message: as it stands, or on one line that ends with CRLF; perhaps with a tag."""
    cdef const sip_span *span = &spans(request)[at]
    cdef sip_text line = span_line(request, span), value = span_value(request, span)
    cdef size_t room = sip_length(line) + 8 + (0 if tag is None else PyBytes_GET_SIZE(tag) + 5)
    make_text_room(m, room)
    make_table_room(m, 1)
    if tag is None and (line.end - 2)[0] == c"\r" and memchr(line.p, c"\n", sip_length(line)) == line.end - 1:
        append(m, put_copy(m, span, line))
    else:
        append(m, put_line_anew(m, sip_id(span), span_name(request, span), value, tag))
    return 0


cdef sip_span put_copy(Message m, const sip_span *span, sip_text line) noexcept:
    """Write a line into the text as it stands."""
    cdef sip_span copied = span[0]
    copied.bits |= SIP_OWNED
    sip_move(&copied, m.text_size - span.name)
    sip_put_text(owned(m) + m.text_size, line)
    m.text_size = copied.line_end
    return copied


cdef sip_span put_line_anew(Message m, unsigned int id, sip_text name, sip_text value, bytes tag) noexcept:
    """Write a line into the text on one line, and a tag behind its value."""
    cdef sip_byte *start = owned(m) + m.text_size
    cdef sip_byte *value_start = sip_put(sip_put_text(start, name), b": ", 2)
    cdef sip_byte *to = sip_unfold(value_start, value)
    cdef sip_span span
    if tag is not None:
        to = sip_add_tag(value_start, to, bytes_text(tag))
    span.bits = sip_bits(sip_length(name), SIP_OWNED, id)
    span.name = m.text_size
    span.value = m.text_size + <uint32_t>(value_start - start)
    span.value_end = m.text_size + <uint32_t>(to - start)
    to = sip_put(to, b"\r\n", 2)
    m.text_size += <uint32_t>(to - start)
    span.line_end = m.text_size
    return span


cdef bytes make_tag(Message m, const sip_copied *copied):
    """A keyed hash of what identifies a request, so that its retransmissions and its CANCEL (9.2) get the same.

    That is its Call-ID, its top Via, which a CANCEL has alone (9.1), and the number of its CSeq.
    """
    cdef Py_ssize_t call_id_at = copied.first[SIP_CALL_ID], via_at = copied.first[SIP_VIA]
    cdef Py_ssize_t cseq_at = copied.first[SIP_CSEQ]
    cdef bytes call_id_line = value_of_folded(m, call_id_at), via_line = value_of_folded(m, via_at)
    cdef bytes cseq_line = value_of_folded(m, cseq_at)
    cdef sip_text call_id = identity(m, call_id_at, call_id_line), via = identity(m, via_at, via_line)
    cdef sip_text number = without_zeros(identity(m, cseq_at, cseq_line))
    via = sip_first_element(via)
    via = sip_trim(via.p, via.end)
    cdef bytes data = PyBytes_FromStringAndSize(
        NULL, PyBytes_GET_SIZE(TAG_KEY) + sip_length(call_id) + sip_length(via) + sip_length(number) + 3
    )
    cdef sip_byte *to = sip_put_text(<sip_byte *>PyBytes_AS_STRING(data), bytes_text(TAG_KEY))
    to = sip_put_text(sip_put(to, b"\n", 1), call_id)
    to = sip_put_text(sip_put(to, b"\n", 1), via)
    sip_put_text(sip_put(to, b"\n", 1), number)
    return hexadecimal(<uint64_t>PyObject_Hash(data))


cdef inline bytes value_of_folded(Message m, Py_ssize_t at):
    """The value of the header at a place, or none at -1, without its folds; None where it has none."""
    return unfolded(span_value(m, &spans(m)[at])) if at >= 0 and spans(m)[at].bits & SIP_FOLDED else None


cdef inline sip_text identity(Message m, Py_ssize_t at, bytes line) noexcept:
    """The same value, which may not be there; `line` is what `value_of_folded` gave."""
    if line is not None:
        return bytes_text(line)
    return sip_run(NULL, NULL) if at < 0 else span_value(m, &spans(m)[at])


cdef inline sip_text without_zeros(sip_text text) noexcept:
    """What a text begins with, up to a blank, without zeros in front."""
    while text.p < text.end and text.p[0] == c"0":
        text.p += 1
    cdef const sip_byte *end = text.p
    while end < text.end and not sip_is_blank(end[0]):
        end += 1
    return sip_run(text.p, end)


cdef bytes hexadecimal(uint64_t number):
    """Its sixteen digits."""
    cdef sip_byte[16] digits
    sip_put_hex(sip_put_hex(digits, <uint32_t>(number >> 32)), <uint32_t>number)
    return digits[:16]


# ---------------------------------------------------------------- copying and writing


cdef Message copy(Message m):
    cdef Message other = Message.__new__(Message)
    other.raw, other.new_body, other.body_at = m.raw, m.new_body, m.body_at
    other.start, other.line_end, other.start_owned = m.start, m.line_end, m.start_owned
    other.method_length, other.uri_length, other.version_length = m.method_length, m.uri_length, m.version_length
    other.reason_length, other.status_code, other.high, other.edits = m.reason_length, m.status_code, m.high, m.edits
    other.text = PyBytes_FromStringAndSize(<const char *>owned(m), m.text_size)
    other.table = PyBytes_FromStringAndSize(<const char *>spans(m), m.count * sizeof(sip_span))
    other.text_size, other.count = m.text_size, m.count
    return other


cdef inline sip_text body_text(Message m) noexcept:
    if m.new_body is not None:
        return bytes_text(m.new_body)
    return sip_run(wire(m) + m.body_at, wire(m) + field_size(<PyObject *>m.raw))


cdef bytes body_of(Message m):
    cdef sip_text body = body_text(m)
    return body.p[: sip_length(body)] if m.new_body is None else m.new_body


cdef bytes write(Message m):
    """The message as bytes: one buffer of the right size; lines that stand next to each other are one copy."""
    if not m.edits:
        return m.raw
    cdef size_t size = m.line_end - m.start + 2 + body_size(m)
    cdef Py_ssize_t at
    for at in range(m.count):
        size += spans(m)[at].line_end - spans(m)[at].name
    cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
    cdef sip_byte *to = <sip_byte *>PyBytes_AS_STRING(data)
    cdef sip_text line, run = sip_run(start_line(m), start_line(m) + (m.line_end - m.start))
    for at in range(m.count):
        line = span_line(m, &spans(m)[at])
        if line.p != run.end:
            to = sip_put_text(to, run)
            run.p = line.p
        run.end = line.end
    to = sip_put(sip_put_text(to, run), b"\r\n", 2)
    sip_put_text(to, body_text(m))
    return data
