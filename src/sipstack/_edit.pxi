# Editing: new lines are written into the message's text, and entries of the table point at them.
#
# Everything here but `header_name` and `header_value` is C and bytes. An edit first makes str or bytes of all it was
# given, which may run Python, then changes the message, and calls `forget` last, which may run Python again.


cdef inline void forget(Message m) noexcept:
    """Say that the message was edited: structured values that were read are no longer its own. An edit's last step.

    They are taken out of the message first and released when this returns, which may run Python.
    """
    cdef Values old = m.values
    m.values = None
    m.edits = m.edits + 1 or 1  # 0 is for a message that was never edited


# ---------------------------------------------------------------- room for more


cdef inline int make_text_room(Message m, size_t size) except -1:
    """Make room for `size` more bytes of text."""
    return 0 if m.text_size + size <= <size_t>field_size(<PyObject *>m.text) else grow_text(m, size)


cdef int grow_text(Message m, size_t size) except -1:
    cdef size_t needed = m.text_size + size
    if m.text_size > 4096 and used_text(m) * 2 < m.text_size:
        compact(m)
        needed = m.text_size + size
        if needed <= <size_t>PyBytes_GET_SIZE(m.text):
            return 0
    cdef size_t room = max(needed + needed // 2, <size_t>256)
    if room > 0x7FFF_FFFF:
        raise MemoryError("headers are too large")
    cdef bytes text = PyBytes_FromStringAndSize(NULL, room)
    sip_put(<sip_byte *>PyBytes_AS_STRING(text), owned(m), m.text_size)
    m.text = text
    return 0


cdef inline int make_table_room(Message m, size_t headers) except -1:
    """Make room for so many more headers."""
    cdef size_t room = field_size(<PyObject *>m.table)
    return 0 if (m.count + headers) * sizeof(sip_span) <= room else grow_table(m, headers)


cdef int grow_table(Message m, size_t headers) except -1:
    cdef size_t needed = m.count + headers
    cdef bytes table = PyBytes_FromStringAndSize(NULL, (needed + needed // 2 + 8) * sizeof(sip_span))
    sip_put(<sip_byte *>PyBytes_AS_STRING(table), spans(m), m.count * sizeof(sip_span))
    m.table = table
    return 0


cdef size_t used_text(Message m) noexcept:
    """Bytes of the text that a header or the start line stands in."""
    cdef size_t size = m.line_end - m.start if m.start_owned else 0
    cdef Py_ssize_t at
    for at in range(m.count):
        if spans(m)[at].bits & SIP_OWNED:
            size += spans(m)[at].line_end - spans(m)[at].name
    return size


cdef int compact(Message m) except -1:
    """Drop the text that no header uses any more, so that a message edited for ever does not grow for ever."""
    cdef bytes kept = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(m.text))
    cdef sip_byte *to = <sip_byte *>PyBytes_AS_STRING(kept)
    cdef sip_text line
    cdef uint32_t size = 0
    cdef Py_ssize_t at
    if m.start_owned:
        size = m.line_end - m.start
        sip_put(to, start_line(m), size)
        m.start = 0
        m.line_end = size
    for at in range(m.count):
        if spans(m)[at].bits & SIP_OWNED:
            line = span_line(m, &spans(m)[at])
            sip_put_text(to + size, line)
            sip_move(&spans(m)[at], size - spans(m)[at].name)
            size += <uint32_t>sip_length(line)
    m.text = kept
    m.text_size = size
    return 0


# ---------------------------------------------------------------- lines and entries


cdef inline sip_span put_line(Message m, unsigned int id, sip_text name, sip_text value) noexcept:
    """Write a header into the text, which has room for it: name, value and 4 bytes. The entry that points at it."""
    cdef sip_byte *start = owned(m) + m.text_size
    cdef sip_byte *to = sip_put(sip_put_text(start, name), b": ", 2)
    cdef sip_span span
    span.bits = sip_bits(sip_length(name), SIP_OWNED, id)
    span.name = m.text_size
    span.value = m.text_size + <uint32_t>(to - start)
    to = sip_put_text(to, value)
    span.value_end = m.text_size + <uint32_t>(to - start)
    to = sip_put(to, b"\r\n", 2)
    span.line_end = m.text_size + <uint32_t>(to - start)
    m.text_size = span.line_end
    return span


cdef void insert(Message m, Py_ssize_t at, sip_span span) noexcept:
    """Put an entry before place `at` of the table, which has room for it."""
    memmove(&spans(m)[at + 1], &spans(m)[at], (m.count - at) * sizeof(sip_span))
    spans(m)[at] = span
    m.count += 1


cdef inline void append(Message m, sip_span span) noexcept:
    spans(m)[m.count] = span
    m.count += 1


cdef inline void drop(Message m, Py_ssize_t at) noexcept:
    m.count -= 1
    memmove(&spans(m)[at], &spans(m)[at + 1], (m.count - at) * sizeof(sip_span))


cdef void put_in_place(Message m, sip_text name, sip_span span) noexcept:
    """Put an entry in the place of the first header of its name and drop the others, or append it. There is room."""
    cdef Py_ssize_t first = find(m, name, sip_id(&span))
    cdef Py_ssize_t at
    if first < 0:
        append(m, span)
        return
    spans(m)[first] = span
    at = find(m, name, sip_id(&span), first + 1)
    while at >= 0:
        drop(m, at)
        at = find(m, name, sip_id(&span), at)


cdef int replace_value(Message m, Py_ssize_t at, sip_text value) except -1:
    """Give the header at a place another value, which is no part of the message, under its name as it is spelled."""
    make_text_room(m, sip_name_length(&spans(m)[at]) + sip_length(value) + 4)
    spans(m)[at] = put_line(m, sip_id(&spans(m)[at]), span_name(m, &spans(m)[at]), value)
    return 0


# ---------------------------------------------------------------- headers from callers


cdef inline bint is_ascii(value) noexcept:
    """Whether C may take a caller's text as it is; longer ones are refused, or not, where others are."""
    return type(value) is str and PyUnicode_IS_COMPACT_ASCII(value) and PyUnicode_GET_LENGTH(value) <= SIP_LONGEST


cdef inline bint is_writable(sip_text value) noexcept:
    """Whether a value may be written as it is: no blank at either end, no control byte but HTAB."""
    if value.p == value.end:
        return True
    return not (sip_is_blank(value.p[0]) or sip_is_blank((value.end - 1)[0]) or sip_has_control(value))


cdef inline header_name(name):
    """A caller's header name as it is written: the str itself where it is ASCII and a token, else bytes or an error."""
    if is_ascii(name) and (sip_find_id(ascii_text(name)) or sip_is_token(ascii_text(name))):
        return name
    return encode_name(name)


cdef inline header_value(name, value):
    """A caller's value as it is written: the str itself where it is ASCII that needs no care; else bytes."""
    return value if is_ascii(value) and is_writable(ascii_text(value)) else encode_value(name, value)


cdef inline bint is_several(value) noexcept:
    """Whether these are several values, which make a line each under some names."""
    return isinstance(value, (tuple, list))


cdef inline sip_text written_text(written) noexcept:
    """What header_name or header_value gave."""
    return ascii_text(<str>written) if type(written) is str else bytes_text(<bytes>written)


cdef inline unsigned int writable_id(name, value) noexcept:
    """The id of a caller's header that is known and can be written as it is; SIP_UNKNOWN where it needs more care."""
    if is_ascii(name) and is_ascii(value) and is_writable(ascii_text(value)):
        return sip_find_id(ascii_text(name))
    return SIP_UNKNOWN


cdef inline int make_header_room(Message m, unsigned int id, sip_text name, sip_text value) except -1:
    """Make room for a caller's header in the text and in the table, where a Content-Length is the body's."""
    if id == SIP_CONTENT_LENGTH and sip_number(value, SIP_LARGEST_CONTENT_LENGTH) != body_size(m):
        check_content_length(value.p[: sip_length(value)], body_size(m))
    make_text_room(m, sip_length(name) + sip_length(value) + 4)
    make_table_room(m, 1)
    return 0


cdef sip_span write_header(Message m, name, value) except *:
    """Write what header_name and header_value gave into the text, and make room in the table for its entry."""
    cdef sip_text n = written_text(name), v = written_text(value)
    cdef unsigned int id = sip_find_id(n)
    make_header_room(m, id, n, v)
    if type(value) is bytes:
        m.high = True
    return put_line(m, id, n, v)


# These take what header_name and header_value gave.


@cython.critical_section
cdef int set_header(Message m, name, value) except -1:
    cdef sip_span span = write_header(m, name, value)
    put_in_place(m, written_text(name), span)
    forget(m)
    return 0


@cython.critical_section
cdef int add_header(Message m, name, value) except -1:
    append(m, write_header(m, name, value))
    forget(m)
    return 0


@cython.critical_section
cdef int prepend_header(Message m, name, value) except -1:
    """Insert a header before the first of its name, or before all."""
    cdef sip_span span = write_header(m, name, value)
    insert(m, max(find(m, written_text(name), sip_id(&span)), 0), span)
    forget(m)
    return 0


# The same for several values that make a line each; False, and nothing is done, where they make one line.


cdef bint set_lines(Message m, name, values) except -1:
    """The last line is put in the place of the first of its name, and the others before it."""
    cdef list lines = lines_apart(name, values)
    if lines is None:
        return False
    set_header(m, header_name(name), header_value(name, lines.pop()))
    return not lines or prepend_lines(m, name, lines)


cdef bint add_lines(Message m, name, values) except -1:
    cdef list lines = lines_apart(name, values)
    if lines is None:
        return False
    for line in lines:
        add_header(m, header_name(name), header_value(name, line))
    return True


cdef bint prepend_lines(Message m, name, values) except -1:
    cdef list lines = lines_apart(name, values)
    if lines is None:
        return False
    for line in reversed(lines):
        prepend_header(m, header_name(name), header_value(name, line))
    return True


@cython.critical_section
cdef Py_ssize_t remove(Message m, name, bint every, list values) except -1:
    """Remove the first header of a name, or every one, to a list of their values where there is one; how many."""
    cdef sip_text wanted = name_text(name)
    cdef unsigned int id = sip_find_id(wanted)
    cdef Py_ssize_t at = find(m, wanted, id), removed = 0
    while at >= 0 and (every or removed == 0):
        if values is not None:
            values.append(value_str(m, &spans(m)[at]))
        drop(m, at)
        removed += 1
        at = find(m, wanted, id, at)
    if removed:
        forget(m)
    return removed


# ---------------------------------------------------------------- the body and its length


cdef inline Py_ssize_t body_size(Message m) noexcept:
    if m.new_body is None:
        return field_size(<PyObject *>m.raw) - m.body_at
    return field_size(<PyObject *>m.new_body)


cdef sip_span write_content_length(Message m, Py_ssize_t length) except *:
    """Write a Content-Length into the text, and make room in the table for its entry."""
    cdef sip_byte[10] digits
    if length > SIP_LARGEST_CONTENT_LENGTH:
        raise SerializeError(f"body is over {SIP_LARGEST_CONTENT_LENGTH} bytes")
    make_text_room(m, 28)
    make_table_room(m, 1)
    return put_line(
        m, SIP_CONTENT_LENGTH, sip_run(<const sip_byte *>b"Content-Length", <const sip_byte *>b"Content-Length" + 14),
        sip_run(digits, sip_put_number(digits, <uint32_t>length)),
    )


@cython.critical_section
cdef int set_body(Message m, bytes data) except -1:
    cdef sip_span span = write_content_length(m, PyBytes_GET_SIZE(data))
    m.new_body = data
    put_in_place(m, sip_run(NULL, NULL), span)
    forget(m)
    return 0


@cython.critical_section
cdef int set_request_uri(Message m, bytes uri) except -1:
    """Write another start line with this Request-URI, which was checked."""
    cdef sip_text method = method_part(m), version = version_part(m)
    cdef size_t size = sip_length(method) + PyBytes_GET_SIZE(uri) + sip_length(version) + 4
    cdef bytes line = PyBytes_FromStringAndSize(NULL, size)
    cdef sip_byte *to = sip_put(sip_put_text(<sip_byte *>PyBytes_AS_STRING(line), method), b" ", 1)
    to = sip_put(sip_put_text(to, bytes_text(uri)), b" ", 1)
    sip_put(sip_put_text(to, version), b"\r\n", 2)
    put_start_line(m, line)
    m.high = True
    forget(m)
    return 0


# ---------------------------------------------------------------- a proxy's edits


cdef str pop_element(Message m, unsigned int id):
    """Remove the first element of a list header, and the header with its last element; None where there is none.

    Empty elements round it go with it.
    """
    cdef Py_ssize_t at = find_id(m, id)
    cdef sip_text value, first, rest
    cdef bytes line
    cdef str popped
    if at < 0:
        return None
    value = span_value(m, &spans(m)[at])
    if spans(m)[at].bits & SIP_FOLDED:
        line = unfolded(value)
        value = bytes_text(line)
    first = sip_first_element(value)
    rest = sip_run(sip_skip_commas(first.end, value.end), value.end)
    popped = to_str(sip_trim(first.p, first.end), m.high)
    if rest.p == rest.end:
        drop(m, at)
    else:
        line = rest.p[: sip_length(rest)]
        replace_value(m, at, bytes_text(line))
    forget(m)
    return popped


cdef bint is_source(host, port) noexcept:
    """Whether an address and a port are as the kernel gives them: an address without a zone, a number in range."""
    cdef int overflow = 0
    if type(port) is not int or not is_ascii(host):
        return False
    cdef sip_text text = ascii_text(host)
    cdef long number = PyLong_AsLongAndOverflow(port, &overflow)
    while text.p < text.end and (sip_is(text.p[0], SIP_HOST) or text.p[0] == c":"):
        text.p += 1
    return text.p == text.end and PyUnicode_GET_LENGTH(host) > 0 and overflow == 0 and 0 <= number <= SIP_LARGEST_PORT


cdef enum:
    STAMP_SPACE = 512  # for a Via that is stamped on the stack


@cython.critical_section
cdef bint stamp(Message m, str source, uint32_t port) except -1:
    """Write received and rport into the top Via; whether the response goes to that port."""
    cdef sip_byte[STAMP_SPACE] space
    cdef sip_byte *start = space
    cdef Py_ssize_t at = find_id(m, SIP_VIA)
    cdef sip_text value, stamped
    cdef bytes line = None, room
    cdef int asked = False
    if at < 0:
        return True
    value = span_value(m, &spans(m)[at])
    if spans(m)[at].bits & SIP_FOLDED:
        line = unfolded(value)
        value = bytes_text(line)
    if sip_length(value) + PyUnicode_GET_LENGTH(source) + SIP_STAMP_ROOM > STAMP_SPACE:
        room = PyBytes_FromStringAndSize(NULL, sip_length(value) + PyUnicode_GET_LENGTH(source) + SIP_STAMP_ROOM)
        start = <sip_byte *>PyBytes_AS_STRING(room)
    stamped = sip_run(start, sip_stamp(start, value, ascii_text(source), port, &asked))
    if sip_length(stamped) != sip_length(value) or memcmp(stamped.p, value.p, sip_length(value)) != 0:
        replace_value(m, at, stamped)
        forget(m)
    return asked


cdef int64_t number_at(Message m, Py_ssize_t at, int64_t most) except? -9:
    """The number that the header at a place is; negative where it is none up to `most`."""
    cdef bytes line
    if spans(m)[at].bits & SIP_FOLDED:
        line = unfolded(span_value(m, &spans(m)[at]))
        return sip_number(bytes_text(line), most)
    return sip_number(span_value(m, &spans(m)[at]), most)


cdef int refuse_max_forwards(str value) except -1:
    """Raise what its reader says of a Max-Forwards that is no number up to 255."""
    parse_value("Max-Forwards", parse_max_forwards, value)
    raise AssertionError(f"Max-Forwards {value!r} is read in two ways")


cdef int count_down(Message m) except -1:
    """Max-Forwards less one; the header is added where there is none."""
    cdef Py_ssize_t at = find_id(m, SIP_MAX_FORWARDS)
    cdef sip_byte[10] digits
    cdef sip_span span
    cdef int64_t left
    if at < 0:
        span = write_header(m, "Max-Forwards", "70")
        append(m, span)
        forget(m)
        return 70
    left = number_at(m, at, SIP_LARGEST_MAX_FORWARDS)
    if left < 0:
        refuse_max_forwards(value_str(m, &spans(m)[at]))
    if left == 0:
        raise HeaderError("Max-Forwards is 0", "Max-Forwards", 0, 483)
    replace_value(m, at, sip_run(digits, sip_put_number(digits, <uint32_t>left - 1)))
    forget(m)
    return <int>left - 1
