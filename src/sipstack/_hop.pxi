# The edits of a proxy, and what a reply copies.


cdef int prepend(Message m, name, value) except -1:
    cdef sip_span span
    checked_line(m, &span, name, value)
    cdef Name wanted = look_up(name)
    return insert(m, max(find(m, &wanted), 0), &span)


cdef pop(Message m, unsigned int id):
    """Remove the first element of a list, and its header where it was the only one."""
    cdef Py_ssize_t at = find_id(m, id)
    cdef Slice value
    cdef str first, rest
    cdef bytes data
    if at < 0:
        return None
    value = value_of(m, at)
    if value.p != NULL and memchr(value.p, c",", value.end - value.p) == NULL:
        first = to_text(value.p, value.end - value.p, m.high)
        drop(m, at)
        return first
    first, rest = parse_value(HEADER_NAMES[id], split_off, value_text(m, &m.spans[at]))
    if rest:
        data = rest.encode("utf-8", "surrogateescape")
        replace_value(m, at, of_bytes(data).p, PyBytes_GET_SIZE(data))
    else:
        drop(m, at)
    return first


cdef enum:
    STAMP_ROOM = 1024  # a longer Via is stamped the long way


cdef bint stamp_top_via(Message m, host, port) except -1:
    cdef Py_ssize_t at = find_id(m, VIA)
    cdef ViaParts via
    cdef Slice value
    cdef Slice source = cut(NULL, NULL)
    cdef bytes data
    if at >= 0 and usual_source(host, port, &source):
        value = value_of(m, at)
        if value.p != NULL and value.end - value.p < STAMP_ROOM - 64 and scan_via(value.p, value.end, &via):
            return stamp_usual(m, at, value, &via, source, port)
    host = check_source(host, port)
    if at < 0:
        return True
    text = value_text(m, &m.spans[at])
    stamped, asked = stamp(text, host, port)
    if stamped != text:
        data = stamped.encode("utf-8", "surrogateescape")
        replace_value(m, at, of_bytes(data).p, PyBytes_GET_SIZE(data))
    return asked


cdef bint usual_source(host, port, Slice *source):
    """Whether an address and a port are what the kernel gives: text without a zone, and a number in range."""
    cdef const sip_byte *p
    cdef long number
    cdef int overflow = 0
    if type(host) is not str or type(port) is not int or not PyUnicode_IS_COMPACT_ASCII(host):
        return False
    number = PyLong_AsLongAndOverflow(port, &overflow)
    source[0] = slice_of(host)
    p = source.p
    while p < source.end and (sip_is(p[0], SIP_HOST) or p[0] == c":"):
        p += 1
    return p == source.end and 0 < p - source.p <= 40 and overflow == 0 and 0 <= number <= 65535


cdef bint same_host(Slice sent, Slice source) noexcept:
    cdef Py_ssize_t at
    if sent.p[0] == c"[":
        sent = cut(sent.p + 1, sent.end - 1)
    if sent.end - sent.p != source.end - source.p:
        return False
    for at in range(sent.end - sent.p):
        if sip_lower(sent.p[at]) != sip_lower(source.p[at]):
            return False
    return True


cdef sip_byte *put_number(sip_byte *to, unsigned int number) noexcept:
    cdef sip_byte[10] digits
    cdef int at = 10
    while True:
        at -= 1
        digits[at] = c"0" + number % 10
        number //= 10
        if number == 0:
            return put(to, &digits[at], 10 - at)


cdef bint stamp_usual(Message m, Py_ssize_t at, Slice value, const ViaParts *via, Slice source, port) except -1:
    """The same as _shared.stamp, for a Via of the usual shape."""
    cdef bint asked = via.rport.p != NULL
    cdef sip_byte[STAMP_ROOM] text
    cdef sip_byte *to = text
    cdef const sip_byte *from_ = value.p
    cdef Slice old
    cdef int turn
    if not asked and via.received.p == NULL and same_host(via.host, source):
        return False
    for turn in range(2):
        # The one that stands first, first.
        old = via.rport if (turn == 0) == (via.rport.p < via.received.p) else via.received
        if old.p == NULL:
            continue
        to = put(to, from_, old.p - from_)
        if old.p == via.rport.p:
            to = put_number(put(put(to, old.p, 5), b"=", 1), port)
        else:
            to = put(put(put(to, old.p, 8), b"=", 1), source.p, source.end - source.p)
        from_ = old.end
    to = put(to, from_, via.end - from_)
    if via.received.p == NULL:
        to = put(put(to, b";received=", 10), source.p, source.end - source.p)
    to = put(to, via.end, value.end - via.end)
    if to - text != value.end - value.p or memcmp(text, value.p, to - text) != 0:
        replace_value(m, at, text, to - text)
    return asked


cdef Py_ssize_t copied_size(Message m) noexcept:
    """About what a reply copies."""
    cdef Py_ssize_t at, size = 64
    for at in range(m.count):
        if VIA <= sip_id(&m.spans[at]) <= CSEQ:
            size += m.spans[at].line_end - m.spans[at].name
    return size


cdef unsigned int also_copied(Message m, int status):
    """The header that a reply copies besides the five of every reply; 0 for none."""
    if status == 100:
        return TIMESTAMP  # RFC 3261 8.2.6.1
    if 101 <= status <= 299 and find_id(m, RECORD_ROUTE) >= 0 and method_of(m) in DIALOG_METHODS:
        return RECORD_ROUTE
    return 0


cdef Message copy(Message m):
    cdef Message other = Message.__new__(Message)
    other.raw, other.new_body, other.cache = m.raw, m.new_body, None
    other.body_at, other.start, other.line_end = m.body_at, m.start, m.line_end
    other.method_length, other.uri_length, other.version_length = m.method_length, m.uri_length, m.version_length
    other.reason_length, other.status, other.high = m.reason_length, m.status, m.high
    other.start_owned, other.edited = m.start_owned, m.edited
    if m.owned_size:
        reserve(other, m.owned_size)
        put(other.owned, m.owned, m.owned_size)
        other.owned_size = m.owned_size
    grow_table(other, m.count)
    if m.count:
        put(<sip_byte *>other.spans, m.spans, m.count * sizeof(sip_span))
    other.count = m.count
    return other
