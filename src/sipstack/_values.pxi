# Structured values. The usual shapes are read here; everything else goes to the classes' own `parse`, which is the
# reference for every grammar, so that nothing here has to be right about the unusual.

cdef object parse_vias = partial(parse_list, Via)
cdef object parse_addresses = partial(parse_list, NameAddr)
cdef object parse_max_forwards_value = parse_max_forwards
cdef object parse_rack_value = RAck.parse
cdef object parse_content_type = ContentType.parse
cdef tuple KNOWN_METHODS = METHODS


cdef inline const sip_byte *line_text(Message m, uint32_t offset) noexcept:
    """A place in the start line."""
    return (m.owned if m.start_owned else wire(m)) + m.start + offset


cdef str method_of(Message m):
    cdef const sip_byte *p = line_text(m, 0)
    cdef str known
    for known in KNOWN_METHODS:
        if PyUnicode_GET_LENGTH(known) == m.method_length and memcmp(p, PyUnicode_DATA(known), m.method_length) == 0:
            return known
    return to_text(p, m.method_length, False)


cdef one(Message m, unsigned int id, parser):
    cdef Py_ssize_t at = find_id(m, id)
    return None if at < 0 else parse_value(HEADER_NAMES[id], parser, value_text(m, &m.spans[at]))


cdef tuple every(Message m, unsigned int id, parser):
    cdef list found = []
    cdef Py_ssize_t at
    for at in range(m.count):
        if sip_id(&m.spans[at]) == id:
            found.extend(parse_value(HEADER_NAMES[id], parser, value_text(m, &m.spans[at])))
    return tuple(found)


cdef cached(Message m, unsigned int which):
    """A structured value, from the cache or made for it."""
    if m.cache is not None and m.cache[which] is not None:
        return m.cache[which]
    value = make_value(m, which)
    if value is not None:
        if m.cache is None:
            m.cache = [None, None, None, None, None]
        m.cache[which] = value
    return value


cdef first_via(str value):
    return Via.parse(split_first(value)[0])


cdef make_value(Message m, unsigned int which):
    if which == THE_URI:
        return parse_value("Request-URI", parse_uri, m.request_uri)
    if which == THE_VIA:
        return one(m, VIA, first_via)
    if which == THE_FROM:
        return one(m, FROM, NameAddr.parse)
    if which == THE_TO:
        return one(m, TO, NameAddr.parse)
    return one(m, CSEQ, CSeq.parse)


cdef tag_of(Message m, unsigned int id, unsigned int which):
    value = cached(m, which)
    return None if value is None else value.tag


cdef to_tag_of(Message m):
    return tag_of(m, TO, THE_TO)


cdef int max_forwards_at(Message m, Py_ssize_t at) except -1:
    cdef sip_span *span = &m.spans[at]
    cdef const sip_byte *p = base(m, span)
    cdef int64_t number = sip_number(p + span.value, p + span.value_end)
    if 0 <= number <= 255:
        return <int>number
    return parse_value("Max-Forwards", parse_max_forwards_value, value_text(m, span))


cdef bint is_in_order(Message m):
    """Whether `check` would find nothing; where it is not sure, it says no."""
    return False


# ---------------------------------------------------------------- the edits of a proxy


cdef int prepend(Message m, name, value) except -1:
    cdef sip_span span
    checked_line(m, &span, name, value)
    cdef Name wanted = look_up(name)
    return insert(m, max(find(m, &wanted), 0), &span)


cdef pop(Message m, unsigned int id):
    """Remove the first element of a list, and its header where it was the only one."""
    cdef Py_ssize_t at = find_id(m, id)
    cdef str value, first, rest
    cdef bytes data
    if at < 0:
        return None
    value = value_text(m, &m.spans[at])
    first, rest = split_first(value)
    if rest:
        data = rest.encode("utf-8", "surrogateescape")
        replace_value(m, at, of_bytes(data).p, PyBytes_GET_SIZE(data))
    else:
        drop(m, at)
    return first


cdef bint stamp_top_via(Message m, host, port) except -1:
    host = check_source(host, port)
    cdef Py_ssize_t at = find_id(m, VIA)
    cdef bytes data
    if at < 0:
        return True
    value = value_text(m, &m.spans[at])
    stamped, asked = stamp(value, host, port)
    if stamped != value:
        data = stamped.encode("utf-8", "surrogateescape")
        replace_value(m, at, of_bytes(data).p, PyBytes_GET_SIZE(data))
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
    put(<sip_byte *>other.spans, m.spans, m.count * sizeof(sip_span))
    other.count = m.count
    return other
