# Reading: from bytes to the table of spans.

ctypedef struct Head:
    # What the scan of a message's head finds; all places count from the start of the data.
    uint32_t start, line_end, method_length, uri_length, version_length, reason_length, count, body
    int status
    int64_t length  # Content-Length, -1 where there is none
    bint high


cdef enum Verdict:
    FINE
    MALFORMED  # _diagnose says why


cdef inline Py_ssize_t version_length(const sip_byte *p, const sip_byte *end) noexcept nogil:
    """The length of the SIP-Version at p, 0 where there is none (RFC 3261 25.1)."""
    if end - p >= 7 and memcmp(p, b"SIP/2.0", 7) == 0 and (end - p == 7 or not sip_is_digit(p[7])):
        return 7
    if end - p < 7 or sip_lower(p[0]) != c"s" or sip_lower(p[1]) != c"i" or sip_lower(p[2]) != c"p" or p[3] != c"/":
        return 0
    cdef const sip_byte *at = p + 4
    cdef const sip_byte *digits = at
    while at < end and sip_is_digit(at[0]):
        at += 1
    if at == digits or at == end or at[0] != c".":
        return 0
    at += 1
    digits = at
    while at < end and sip_is_digit(at[0]):
        at += 1
    return 0 if at == digits else at - p


cdef inline bint is_status_line(const sip_byte *p, const sip_byte *end) noexcept nogil:
    return (
        end - p >= 4 and sip_lower(p[0]) == c"s" and sip_lower(p[1]) == c"i" and sip_lower(p[2]) == c"p" and p[3] == c"/"
    )


cdef inline Verdict read_request_line(Head *head, const sip_byte *p, const sip_byte *end) noexcept nogil:
    """method SP Request-URI SP SIP-Version, with two spaces (RFC 3261 7.1)."""
    cdef const sip_byte *method_end = sip_token_end(p, end)
    if method_end == p or method_end == end or method_end[0] != c" ":
        return MALFORMED
    cdef const sip_byte *uri = method_end + 1
    cdef const sip_byte *uri_end = <const sip_byte *>memchr(uri, c" ", end - uri)
    if uri_end == NULL or uri_end == uri:
        return MALFORMED
    head.method_length = <uint32_t>(method_end - p)
    head.uri_length = <uint32_t>(uri_end - uri)
    head.version_length = <uint32_t>(end - uri_end - 1)
    head.status = 0
    head.reason_length = 0
    if head.version_length == 0 or version_length(uri_end + 1, end) != head.version_length:
        return MALFORMED
    return FINE


cdef inline Verdict read_status_line(Head *head, const sip_byte *p, const sip_byte *end) noexcept nogil:
    """SIP-Version SP three digits, then nothing or SP and the reason phrase (RFC 3261 7.2)."""
    cdef Py_ssize_t version = version_length(p, end)
    cdef const sip_byte *code = p + version + 1
    if version == 0 or end - p < version + 4 or p[version] != c" ":
        return MALFORMED
    if not (c"1" <= code[0] <= c"6" and sip_is_digit(code[1]) and sip_is_digit(code[2])):
        return MALFORMED
    if code + 3 < end and code[3] != c" ":
        return MALFORMED
    head.version_length = <uint32_t>version
    head.status = (code[0] - c"0") * 100 + (code[1] - c"0") * 10 + (code[2] - c"0")
    head.reason_length = <uint32_t>(end - code - 4) if end - code > 4 else 0
    head.method_length = head.uri_length = 0
    return FINE


cdef inline Verdict note_length(Head *head, const sip_byte *p, const sip_byte *end) noexcept nogil:
    cdef int64_t length = sip_number(p, end)
    if length < 0 or (head.length >= 0 and head.length != length):
        return MALFORMED
    head.length = length
    return FINE


cdef Verdict read_header(
    Head *head, sip_span *span, const sip_byte *data, const sip_byte *line, const sip_byte *first, const sip_byte *last,
    const sip_byte *data_end, bint wrong,
) noexcept nogil:
    """Note the header at `line`, of any shape; `first` and `last` are its first and its last LF (two where it is folded)."""
    cdef const sip_byte *colon = <const sip_byte *>memchr(line, c":", first - line)
    cdef const sip_byte *name_end = colon
    cdef const sip_byte *value = colon + 1
    cdef const sip_byte *end = last - ((last - 1)[0] == c"\r")
    cdef unsigned int id
    cdef bint folded
    if colon == NULL:
        return MALFORMED
    while name_end > line and sip_is_blank((name_end - 1)[0]):
        name_end -= 1
    id = sip_find_id(line, name_end - line, data_end)
    if (id == 0 or wrong) and not is_header_name(line, name_end):
        return MALFORMED
    if wrong and sip_has_bad_control(value, end):
        return MALFORMED
    while value < end and sip_is_fold(value[0]):
        value += 1
    while end > value and sip_is_fold((end - 1)[0]):
        end -= 1
    folded = first != last and memchr(value, c"\n", end - value) != NULL
    span.name = <uint32_t>(line - data)
    span.value = <uint32_t>(value - data)
    span.value_end = <uint32_t>(end - data)
    span.line_end = <uint32_t>(last + 1 - data)
    span.bits = sip_bits(name_end - line, SIP_FOLDED if folded else 0, id)
    if id == CONTENT_LENGTH:
        return note_length(head, value, end)
    return FINE


cdef inline bint is_header_name(const sip_byte *name, const sip_byte *end) noexcept nogil:
    return name != end and sip_token_end(name, end) == end


cdef inline bint sip_is_fold(sip_byte c) noexcept nogil:
    return c == c" " or c == c"\t" or c == c"\r" or c == c"\n"


cdef const sip_byte *skip_empty_lines(const sip_byte *line, const sip_byte *end) noexcept nogil:
    while line < end and (line[0] == c"\n" or (line[0] == c"\r" and line + 1 < end and line[1] == c"\n")):
        line += 1 + (line[0] == c"\r")
    return line


cdef Verdict read_head(
    Head *head, sip_span *spans, uint32_t room, const sip_byte *data, const sip_byte *end
) noexcept nogil:
    """Scan a message's head into `head` and `spans`."""
    cdef const sip_byte *line = skip_empty_lines(data, end)
    cdef const sip_byte *first
    cdef const sip_byte *last
    cdef sip_span *span = spans
    cdef sip_scanner scanner
    cdef int found = 0
    if line == end:
        return MALFORMED
    head.start = <uint32_t>(line - data)
    sip_scan_start(&scanner, data, line, end)
    last = sip_scan_line(&scanner, data, &found)
    if last == NULL or found & SIP_WRONG or last == line:
        return MALFORMED
    head.line_end = <uint32_t>(last + 1 - data)
    first = last - ((last - 1)[0] == c"\r")
    if is_status_line(line, first):
        if read_status_line(head, line, first) != FINE:
            return MALFORMED
    elif found or read_request_line(head, line, first) != FINE:
        return MALFORMED
    head.length = -1
    line = last + 1
    if line < end and sip_is_blank(line[0]):
        return MALFORMED
    while True:
        span = sip_read_usual(&scanner, data, &line, span, spans + room, &head.length)
        found = 0
        first = last = sip_scan_line(&scanner, data, &found)
        if last == NULL:
            return MALFORMED
        if last == line or (last == line + 1 and line[0] == c"\r"):
            break
        while last + 1 < end and sip_is_blank(last[1]):
            last = sip_scan_line(&scanner, data, &found)
            if last == NULL:
                return MALFORMED
        if span == spans + room or read_header(head, span, data, line, first, last, end, found & SIP_WRONG) != FINE:
            return MALFORMED
        span += 1
        line = last + 1
    head.count = <uint32_t>(span - spans)
    head.body = <uint32_t>(last + 1 - data)
    head.high = scanner.high != 0
    if head.length > end - data - head.body:
        return MALFORMED
    return FINE


def parse(data, *, Py_ssize_t max_size=65535, Py_ssize_t max_headers=256):
    """Read one SIP message (RFC 3261 7) that fills a datagram; see `sipstack.parse`."""
    cdef bytes raw = data if type(data) is bytes else as_bytes(data)
    if max_size > SIP_LONGEST:
        raise ValueError(f"max_size is over {SIP_LONGEST} bytes")
    return read(raw, max_size, max_headers)


cdef Message read(bytes raw, Py_ssize_t max_size, Py_ssize_t max_headers):
    cdef sip_span[FEW] few
    cdef sip_span *spans = few
    cdef bytes many
    cdef Head head
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
    cdef const sip_byte *data = <const sip_byte *>PyBytes_AS_STRING(raw)
    if max_headers > FEW:
        max_headers = min(max_headers, size // 3 + 1)  # a header is three bytes at least
        many = PyBytes_FromStringAndSize(NULL, max_headers * sizeof(sip_span))
        spans = <sip_span *>PyBytes_AS_STRING(many)
    if size > max_size or read_head(&head, spans, <uint32_t>max(max_headers, 0), data, data + size) != FINE:
        raise refused(raw, max_size, max_headers)
    return make(raw, &head, spans)


cdef refused(bytes raw, Py_ssize_t max_size, Py_ssize_t max_headers):
    """The error for bytes that are no message."""
    _diagnose(raw, max_size, max_headers)
    return ParseError("malformed message")


cdef inline Message make(bytes raw, const Head *head, const sip_span *spans):
    """The message of a head; bytes before and behind it are dropped."""
    cdef Message m = Message.__new__(Message)
    cdef uint32_t at, cut = head.start
    cdef Py_ssize_t end = PyBytes_GET_SIZE(raw)
    if head.length >= 0:
        end = head.body + <Py_ssize_t>head.length
    if cut or end < PyBytes_GET_SIZE(raw):
        raw = raw[cut:end]
    m.raw = raw
    m.line_end = head.line_end - cut
    m.body_at = head.body - cut
    m.method_length = head.method_length
    m.uri_length = head.uri_length
    m.version_length = head.version_length
    m.reason_length = head.reason_length
    m.status = head.status
    m.high = head.high
    if head.count:
        m.table = PyBytes_FromStringAndSize(<const char *>spans, head.count * sizeof(sip_span))
        m.spans = <sip_span *>PyBytes_AS_STRING(m.table)
        m.count = m.room = head.count
        if cut:
            for at in range(m.count):
                m.spans[at].name -= cut
                m.spans[at].value -= cut
                m.spans[at].value_end -= cut
                m.spans[at].line_end -= cut
    return m
