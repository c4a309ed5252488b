# Structured values: objects of the value classes, made from the parts that _values.h finds, or by a class's `parse`.

ctypedef PyObject *Slot

cdef extern from "_layouts.h":
    object sip_new_value(PyTypeObject *type)
    void sip_frees_values(PyTypeObject *type)
    ctypedef class sipstack.headers.Via [object sip_via_object, check_size error]:
        cdef Slot _params, branch, host, maddr, port, protocol, received, rport, transport, ttl
    ctypedef class sipstack.uri.SipUri [object sip_uri_object, check_size error]:
        cdef Slot _headers, _params, host, password, port, scheme, user
    ctypedef class sipstack.uri.TelUri [object sip_tel_object, check_size error]:
        cdef Slot _host, _params, number
    ctypedef class sipstack.headers.NameAddr [object sip_address_object, check_size error]:
        cdef Slot _params, display_name, tag, uri
    ctypedef class sipstack.headers.CSeq [object sip_cseq_object, check_size error]:
        cdef Slot method, num
    ctypedef class sipstack._node.Node [object sip_node_object, check_size error]:
        cdef Slot _at, _key, _legs, _name, _named, _names, _own, _routes, aliases, listeners


cdef type value_class
for value_class in (Via, SipUri, TelUri, NameAddr, CSeq):
    sip_frees_values(<PyTypeObject *>value_class)


cdef inline PyObject *kept(value) noexcept:
    """A reference for a slot of a new object."""
    Py_INCREF(value)
    return <PyObject *>value


cdef inline number_or_none(int number):
    return None if number < 0 else number


# Each of these makes the parts first, which runs no Python, and then the object, which may.


cdef str transport_str(sip_text transport):
    if sip_length(transport) == 3 and memcmp(transport.p, b"UDP", 3) == 0:
        return "UDP"
    return to_str(transport, False)


cdef make_via(const sip_via *parts):
    cdef str transport = transport_str(parts.transport), host = to_str(parts.host, False)
    cdef str params = to_str(parts.params, False)
    branch, received = to_str_or_none(parts.branch), to_str_or_none(parts.received)
    port, rport = number_or_none(parts.port), number_or_none(parts.rport)
    cdef Via via = sip_new_value(<PyTypeObject *>Via)
    via.protocol, via.transport, via.host, via.port = kept("SIP/2.0"), kept(transport), kept(host), kept(port)
    via.branch, via.received, via.rport, via._params = kept(branch), kept(received), kept(rport), kept(params)
    via.maddr, via.ttl = kept(None), kept(None)
    return via


cdef make_uri(const sip_uri *parts):
    cdef str host = to_str(parts.host, False), params = to_str(parts.params, False)
    user, port = to_str_or_none(parts.user), number_or_none(parts.port)
    cdef TelUri tel
    cdef SipUri uri
    if parts.tel:
        tel = sip_new_value(<PyTypeObject *>TelUri)
        tel.number, tel._host, tel._params = kept(user), kept(""), kept(params)
        return tel
    cdef str scheme = "sips" if parts.secure else "sip"
    uri = sip_new_value(<PyTypeObject *>SipUri)
    uri.scheme, uri.user, uri.password, uri.host = kept(scheme), kept(user), kept(None), kept(host)
    uri.port, uri._params, uri._headers = kept(port), kept(params), kept("")
    return uri


cdef make_address(const sip_address *parts, bint high):
    cdef str display = to_str(parts.display, high), params = to_str(parts.params, False)
    tag, uri = to_str_or_none(parts.tag), make_uri(&parts.uri)
    cdef NameAddr address = sip_new_value(<PyTypeObject *>NameAddr)
    address.display_name, address.uri, address._params, address.tag = kept(display), kept(uri), kept(params), kept(tag)
    return address


cdef make_cseq(const sip_cseq *parts):
    cdef str method = method_str(parts.method)
    num = parts.number
    cdef CSeq cseq = sip_new_value(<PyTypeObject *>CSeq)
    cseq.method, cseq.num = kept(method), kept(num)
    return cseq


# Kept here, because looking up a method makes an object, which may run Python: that must not come between finding a
# header and taking its value.
parse_address, parse_cseq, parse_rack, parse_content_type = NameAddr.parse, CSeq.parse, RAck.parse, ContentType.parse
parse_one_via = Via.parse


# ---------------------------------------------------------------- of a message

# How many values and parts are read is limited, and counted beforehand: see headers/_counts.py. Of the common shape
# there is so little in one value that nobody needs to count, but for what may stand in names.

cdef size_t MOST_VALUES = MAX_VALUES


cdef uint8_t[256] is_divider
memset(is_divider, 0, 256)
for divider in DIVIDERS:
    is_divider[ord(divider)] = 1


cdef inline size_t names_of(const sip_address *parts) noexcept:
    """Bytes of an address in which a comma may stand."""
    return sip_length(parts.display) + sip_length(parts.uri.user)


cdef inline bint read_common_uri(sip_text text, sip_uri *parts) noexcept:
    """The parts of a URI of the common shape, which are not too many; False for any other."""
    return sip_read_uri(text, parts) and sip_length(parts.user) < MOST_VALUES


cdef inline bint read_common_address(Message m, const sip_span *span, sip_address *parts) noexcept:
    """The parts of a line with one address of the common shape, which are not too many; False for any other."""
    return (
        not span.bits & SIP_FOLDED and sip_read_address(span_value(m, span), parts) and names_of(parts) < MOST_VALUES
    )


cdef str first_via(Message m, const sip_span *span):
    """The first value of a Via line."""
    cdef bytes line = unfolded(span_value(m, span)) if span.bits & SIP_FOLDED else None
    cdef sip_text first = sip_first_element(span_value(m, span) if line is None else bytes_text(line))
    return to_str(sip_trim(first.p, first.end), m.high)


cdef int check_lines(Message m, unsigned int id) except -1:
    """HeaderError where the lines of an id have more values or parts than are read."""
    cdef size_t values = 0, parts = 0
    cdef sip_text line
    cdef bytes whole
    cdef Py_ssize_t at = find_id(m, id)
    while at >= 0:
        whole = unfolded(span_value(m, &spans(m)[at])) if spans(m)[at].bits & SIP_FOLDED else None
        line = span_value(m, &spans(m)[at]) if whole is None else bytes_text(whole)
        values += 1
        while line.p < line.end:
            values += line.p[0] == c","
            parts += is_divider[line.p[0]]
            line.p += 1
        at = find_id(m, id, at + 1)
    if values > MOST_VALUES or parts > SIP_MOST_PARTS:
        check_counts(NAMES[id], m.get_headers(NAMES[id]))
    return 0


cdef str first_value(Message m, unsigned int id):
    cdef Py_ssize_t at = find_id(m, id)
    return None if at < 0 else value_str(m, &spans(m)[at])


cdef str header_str(Message m, sip_text name):
    """The first value of a name."""
    cdef Py_ssize_t at = find(m, name, sip_find_id(name))
    return None if at < 0 else value_str(m, &spans(m)[at])


cdef unsigned int EXPIRES = NAMES.index("Expires")


cdef missing(str header):
    """Say that a message has no such header."""
    return _keys.need(None, header)


cdef number_of(Message m, unsigned int id, int64_t most, parser):
    """A number up to `most`; None where there is no such header."""
    cdef Py_ssize_t at = find_id(m, id)
    if at < 0:
        return None
    cdef int64_t number = number_at(m, at, most)
    return number if number >= 0 else parse_value(NAMES[id], parser, value_str(m, &spans(m)[at]))


cdef one(Message m, unsigned int id, parser):
    value = first_value(m, id)
    return None if value is None else parse_value(NAMES[id], parser, value)


# All headers, and the values of all of an id. Making one may run Python; if that edited the message, they are read
# again, of a copy: so that it comes to an end beside a thread which edits without end.


cdef list every_item(Message m):
    """Every name and value."""
    cdef list found = []
    cdef uint32_t at, edits = m.edits
    for at in range(m.count):
        name, value = name_str(m, &spans(m)[at]), value_str(m, &spans(m)[at])
        found.append((name, value))
        if m.edits != edits:
            return every_item(copy(m))
    return found


cdef tuple every_via(Message m, bint counted=False):
    """`counted`: that they are not too many is known. Otherwise it is found out where it might not be so."""
    cdef list found = []
    cdef uint32_t edits = m.edits
    cdef size_t bytes_seen = 0
    cdef bint common
    cdef sip_via parts
    cdef sip_text line
    cdef Py_ssize_t at = find_id(m, SIP_VIA)
    while at >= 0:
        line = span_value(m, &spans(m)[at])
        bytes_seen += sip_length(line)
        common = not spans(m)[at].bits & SIP_FOLDED and sip_read_via(line, &parts) and parts.end == line.end
        if not counted and (not common or bytes_seen > SIP_MOST_PARTS):
            check_lines(m, SIP_VIA)
            return every_via(m, True)
        if common:
            found.append(make_via(&parts))
        else:
            found.extend(parse_value("Via", parse_vias, value_str(m, &spans(m)[at]), True))
        if m.edits != edits:
            return every_via(copy(m))
        at = find_id(m, SIP_VIA, at + 1)
    return tuple(found)


cdef inline sip_text next_element(sip_text *rest) noexcept:
    """The first element of what is left of a list, which is cut off it; nothing at the end of the list.

    An empty element is one.
    """
    cdef sip_text element = sip_run(rest.p, sip_element_end(rest[0]))
    rest.p = element.end + 1 if element.end < rest.end else rest.end
    return sip_trim(element.p, element.end)


cdef bint read_hop(sip_text element, unsigned int id, sip_address *parts) noexcept:
    """Whether _values.h can read an address as an element of a header of this id."""
    # What follows a URI without <> is the header's in a Contact, and the URI's in a header of hops: see parse_hops.
    return sip_read_address(element, parts) and (parts.angle or id == SIP_CONTACT)


cdef struct counts:
    size_t values  # of the common shape
    size_t others  # bytes that may be commas: those of names, and between elements
    size_t bytes_seen


cdef bint are_plain_addresses(sip_text line, unsigned int id, counts *seen) noexcept:
    """Whether _values.h can read every element of a line; they are counted."""
    cdef sip_address parts
    cdef sip_text element
    if line.p == line.end or (line.end - 1)[0] == c",":
        return False
    seen.others += sip_length(line)
    seen.bytes_seen += sip_length(line)
    while line.p < line.end:
        element = next_element(&line)
        if not read_hop(element, id, &parts):
            return False
        seen.values += 1
        seen.others += names_of(&parts)
        seen.others -= sip_length(element)
    return True


cdef inline bint may_be_too_many(const counts *seen) noexcept:
    return seen.values + seen.others > MOST_VALUES or seen.bytes_seen > SIP_MOST_PARTS


cdef tuple every_address(Message m, unsigned int id, parser, bint counted=False):
    """`counted` as in every_via."""
    cdef list found = []
    cdef uint32_t edits = m.edits
    cdef counts seen = counts(0, 0, 0)
    cdef bint plain, alone
    cdef sip_address parts
    cdef Py_ssize_t at = find_id(m, id)
    while at >= 0:
        plain = not spans(m)[at].bits & SIP_FOLDED
        alone = plain and read_hop(span_value(m, &spans(m)[at]), id, &parts)  # the only one of its line
        if alone:
            seen.values += 1
            seen.others += names_of(&parts)
            seen.bytes_seen += sip_length(span_value(m, &spans(m)[at]))
        else:
            plain = plain and are_plain_addresses(span_value(m, &spans(m)[at]), id, &seen)
        if not counted and (not plain or may_be_too_many(&seen)):
            check_lines(m, id)
            return every_address(m, id, parser, True)
        if alone:
            found.append(make_address(&parts, m.high))
        elif plain:
            make_addresses(m, at, id, edits, found)
        else:
            found.extend(parse_value(NAMES[id], parser, value_str(m, &spans(m)[at]), True))
        if m.edits != edits:
            return every_address(copy(m), id, parser)
        at = find_id(m, id, at + 1)
    return tuple(found)


cdef int make_addresses(Message m, Py_ssize_t at, unsigned int id, uint32_t edits, list found) except -1:
    """Make the addresses of a line that are plain; it stops where making one edited the message."""
    cdef sip_address parts
    cdef sip_text line
    cdef size_t done = 0
    while m.edits == edits:
        line = span_value(m, &spans(m)[at])  # afresh: making an address may run Python
        line.p += done
        if line.p == line.end:
            break
        read_hop(next_element(&line), id, &parts)
        done = line.p - span_value(m, &spans(m)[at]).p
        found.append(make_address(&parts, m.high))
    return 0


# A value that was read stays with the message until its next edit. It is put among the values that were the message's
# when reading it began: if that ran Python, which edited the message, nobody looks at those any more.


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Values:
    pass


cdef inline Values values_of(Message m):
    if m.values is None:
        m.values = Values.__new__(Values)
    return m.values


cdef uri_of(Message m):
    cdef Values values = values_of(m)
    cdef sip_uri parts
    if values.uri is not None:
        return values.uri
    if read_common_uri(uri_part(m), &parts):
        uri = make_uri(&parts)
    else:
        uri = parse_value("Request-URI", parse_uri, to_str(uri_part(m), m.high))
    if values.uri is None:
        values.uri = uri
    return uri


cdef via_of(Message m):
    cdef Values values = values_of(m)
    cdef sip_via parts
    cdef Py_ssize_t at
    if values.via is not None:
        return values.via
    at = find_id(m, SIP_VIA)
    if at < 0:
        return None
    if not spans(m)[at].bits & SIP_FOLDED and sip_read_via(span_value(m, &spans(m)[at]), &parts):
        via = make_via(&parts)
    else:
        via = parse_value("Via", parse_one_via, first_via(m, &spans(m)[at]))
    if values.via is None:
        values.via = via
    return via


cdef cseq_of(Message m):
    cdef Values values = values_of(m)
    cdef sip_cseq parts
    cdef Py_ssize_t at
    if values.cseq is not None:
        return values.cseq
    at = find_id(m, SIP_CSEQ)
    if at < 0:
        return None
    if not spans(m)[at].bits & SIP_FOLDED and sip_read_cseq(span_value(m, &spans(m)[at]), &parts):
        cseq = make_cseq(&parts)
    else:
        cseq = parse_value("CSeq", parse_cseq, value_str(m, &spans(m)[at]))
    if values.cseq is None:
        values.cseq = cseq
    return cseq


cdef address_of(Message m, unsigned int id):
    """From or To."""
    cdef Values values = values_of(m)
    cdef sip_address parts
    cdef Py_ssize_t at
    address = values.from_ if id == SIP_FROM else values.to
    if address is not None:
        return address
    at = find_id(m, id)
    if at < 0:
        return None
    if read_common_address(m, &spans(m)[at], &parts):
        address = make_address(&parts, m.high)
    else:
        address = parse_value(NAMES[id], parse_address, value_str(m, &spans(m)[at]))
    if id == SIP_FROM and values.from_ is None:
        values.from_ = address
    elif id == SIP_TO and values.to is None:
        values.to = address
    return address


cdef tag_of(Message m, unsigned int id):
    """A tag, without making the whole address where _values.h can read it."""
    cdef sip_address parts
    cdef Py_ssize_t at = find_id(m, id)
    if at < 0:
        return None
    if read_common_address(m, &spans(m)[at], &parts):
        return to_str_or_none(parts.tag)
    address = address_of(m, id)
    return None if address is None else address.tag


# ---------------------------------------------------------------- the layouts are what we think


cdef int check_layouts() except -1:
    """Make one value of each class, and compare it with what the class itself reads."""
    cdef bytes text
    cdef sip_via via
    cdef sip_address address
    cdef sip_cseq cseq
    cdef Node node
    for text in (b"SIP/2.0/UDP h:1;branch=b;received=r.example;rport=2;x=y", b"SIP/2.0/TCP [::1]"):
        sip_read_via(bytes_text(text), &via)
        check_layout(make_via(&via), Via.parse(text.decode()))
    for text in (b'"d" <sips:u@h:1;x=y>;tag=t', b"<tel:+1;x=y>"):
        sip_read_address(bytes_text(text), &address)
        made, read = make_address(&address, False), NameAddr.parse(text.decode())
        check_layout(made, read)
        check_layout(made.uri, read.uri)
    text = b"1 ACK"
    sip_read_cseq(bytes_text(text), &cseq)
    check_layout(make_cseq(&cseq), CSeq.parse("1 ACK"))
    node = Node(Hop("UDP", "192.0.2.1", 5060))
    check_slot(node, "_key", node._key)
    check_slot(node, "_legs", node._legs)
    check_slot(node, "_name", node._name)
    check_slot(node, "_named", node._named)
    check_slot(node, "_routes", node._routes)
    return 0


cdef int check_layout(made, read) except -1:
    for name in type(read).__slots__:
        if str(getattr(made, name, None)) != str(getattr(read, name)) or type(made) is not type(read):
            raise ImportError(f"the slots of {type(read).__name__} do not lie as in _layouts.h: see {name}")
    return 0


cdef int check_slot(value, name, Slot slot) except -1:
    read = getattr(value, name)
    if <PyObject *>read != slot:
        raise ImportError(f"the slots of {type(value).__name__} do not lie as in _layouts.h: see {name}")
    return 0


check_layouts()
