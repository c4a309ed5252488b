# Structured values as objects: made from the parts that `_usual.pxi` finds, or by the class's own `parse`.

cdef extern from "Python.h":
    ctypedef struct PyObject
    ctypedef struct PyTypeObject
    object PyType_GenericAlloc(PyTypeObject *type, Py_ssize_t items)

cdef extern from "structmember.h":  # until CPython 3.12, which has it in Python.h
    ctypedef struct PyMemberDef:
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member

cdef object parse_vias = partial(parse_list, Via)
cdef object parse_addresses = partial(parse_list, NameAddr)
cdef object parse_rack_value = RAck.parse
cdef object parse_content_type = ContentType.parse

cdef type VIA_CLASS = Via, URI_CLASS = SipUri, TEL_CLASS = TelUri, ADDRESS_CLASS = NameAddr, CSEQ_CLASS = CSeq



ctypedef struct Slots:
    # Where the slots of a value class lie in its instances, in the order of the names given to `slots_of`. The values are
    # immutable for Python; filling a slot of a new one where it lies takes a tenth of the time of object.__setattr__.
    Py_ssize_t[10] offsets


cdef Slots slots_of(cls, names) except *:
    cdef Slots slots
    cdef Py_ssize_t at
    if sorted(cls.__slots__) != sorted(names):
        raise ImportError(f"{cls.__name__} has other slots than the compiled core fills")
    for at in range(len(names)):
        descriptor = cls.__dict__[names[at]]
        slots.offsets[at] = (<PyMemberDescrObject *><PyObject *>descriptor).d_member.offset
    return slots


cdef Slots VIA_SLOTS = slots_of(
    Via, ["protocol", "transport", "host", "port", "branch", "received", "rport", "maddr", "ttl", "_params"]
)
cdef Slots URI_SLOTS = slots_of(SipUri, ["scheme", "user", "password", "host", "port", "_params", "_headers"])
cdef Slots TEL_SLOTS = slots_of(TelUri, ["number", "_params"])
cdef Slots ADDRESS_SLOTS = slots_of(NameAddr, ["display_name", "uri", "_params", "_angle"])
cdef Slots CSEQ_SLOTS = slots_of(CSeq, ["num", "method"])


cdef inline void fill(const Slots *slots, Py_ssize_t at, value, content) noexcept:
    """Fill an empty slot of a new value."""
    Py_INCREF(content)
    (<PyObject **>(<char *><PyObject *>value + slots.offsets[at]))[0] = <PyObject *>content


cdef inline str slice_text(Slice slice, bint high):
    """A slice as text, "" where there is none."""
    return "" if slice.p == NULL else to_text(slice.p, slice.end - slice.p, high)


cdef inline slice_or_none(Slice slice, bint high):
    return None if slice.p == NULL else to_text(slice.p, slice.end - slice.p, high)


cdef inline number_or_none(int number):
    return None if number < 0 else number


cdef str transport_text(Slice slice):
    if slice.end - slice.p == 3:
        if memcmp(slice.p, b"UDP", 3) == 0:
            return "UDP"
        if memcmp(slice.p, b"TCP", 3) == 0:
            return "TCP"
        if memcmp(slice.p, b"TLS", 3) == 0:
            return "TLS"
    return slice_text(slice, False)


cdef make_uri(const UriParts *parts):
    if parts.tel:
        uri = PyType_GenericAlloc(<PyTypeObject *>TEL_CLASS, 0)
        fill(&TEL_SLOTS, 0, uri, slice_text(parts.user, False))
        fill(&TEL_SLOTS, 1, uri, slice_text(parts.params, False))
        return uri
    uri = PyType_GenericAlloc(<PyTypeObject *>URI_CLASS, 0)
    fill(&URI_SLOTS, 0, uri, "sips" if parts.secure else "sip")
    fill(&URI_SLOTS, 1, uri, slice_or_none(parts.user, False))
    fill(&URI_SLOTS, 2, uri, None)
    fill(&URI_SLOTS, 3, uri, slice_text(parts.host, False))
    fill(&URI_SLOTS, 4, uri, number_or_none(parts.port))
    fill(&URI_SLOTS, 5, uri, slice_text(parts.params, False))
    fill(&URI_SLOTS, 6, uri, "")
    return uri


cdef make_via(const ViaParts *parts):
    via = PyType_GenericAlloc(<PyTypeObject *>VIA_CLASS, 0)
    fill(&VIA_SLOTS, 0, via, "SIP/2.0")
    fill(&VIA_SLOTS, 1, via, transport_text(parts.transport))
    fill(&VIA_SLOTS, 2, via, slice_text(parts.host, False))
    fill(&VIA_SLOTS, 3, via, number_or_none(parts.port))
    fill(&VIA_SLOTS, 4, via, slice_or_none(parts.branch, False))
    fill(&VIA_SLOTS, 5, via, slice_or_none(parts.received_value, False))
    fill(&VIA_SLOTS, 6, via, number_or_none(parts.rport_number))
    fill(&VIA_SLOTS, 7, via, None)
    fill(&VIA_SLOTS, 8, via, None)
    fill(&VIA_SLOTS, 9, via, slice_text(parts.params, False))
    return via


cdef make_address(const AddressParts *parts, bint high):
    address = PyType_GenericAlloc(<PyTypeObject *>ADDRESS_CLASS, 0)
    fill(&ADDRESS_SLOTS, 0, address, slice_text(parts.display, high))
    fill(&ADDRESS_SLOTS, 1, address, make_uri(&parts.uri))
    fill(&ADDRESS_SLOTS, 2, address, slice_text(parts.params, False))
    fill(&ADDRESS_SLOTS, 3, address, parts.angle)
    return address


cdef make_cseq(int number, str method):
    cseq = PyType_GenericAlloc(<PyTypeObject *>CSEQ_CLASS, 0)
    fill(&CSEQ_SLOTS, 0, cseq, number)
    fill(&CSEQ_SLOTS, 1, cseq, method)
    return cseq


# ---------------------------------------------------------------- of a message


cdef inline Slice value_of(Message m, Py_ssize_t at) noexcept:
    """A header's value; nothing where it is folded."""
    cdef const sip_span *span = &m.spans[at]
    if span.bits & SIP_FOLDED:
        return cut(NULL, NULL)
    return cut(base(m, span) + span.value, base(m, span) + span.value_end)


cdef inline Py_ssize_t method_place(sip_byte first, Py_ssize_t length) noexcept:
    """A place for each known method, by its first letter and its length."""
    return ((<Py_ssize_t>first << 3) + length) & 63


cdef list methods_by_place():
    cdef list places = [""] * 64
    cdef Py_ssize_t place
    for method in METHODS:
        place = method_place(ord(method[0]), len(method))
        if places[place]:
            raise ImportError(f"methods {method} and {places[place]} share a place; see method_place")
        places[place] = method
    return places


cdef list METHOD_PLACES = methods_by_place()


cdef str method_text(const sip_byte *p, Py_ssize_t length):
    """A method; a known one is always the same object."""
    cdef str known = <str>METHOD_PLACES[method_place(p[0], length)]
    if PyUnicode_GET_LENGTH(known) == length and memcmp(p, PyUnicode_DATA(known), length) == 0:
        return known
    return to_text(p, length, False)


cdef inline str method_of(Message m):
    return "" if m.status else method_text(line_text(m, 0), m.method_length)


cdef one(Message m, unsigned int id, parser):
    cdef Py_ssize_t at = find_id(m, id)
    return None if at < 0 else parse_value(HEADER_NAMES[id], parser, value_text(m, &m.spans[at]))


cdef tuple every(Message m, unsigned int id, parser):
    """Every value of the headers of an id, which have Vias or addresses."""
    cdef list found = []
    cdef Py_ssize_t at
    cdef Slice value
    cdef ViaParts via
    cdef AddressParts address
    for at in range(m.count):
        if sip_id(&m.spans[at]) != id:
            continue
        value = value_of(m, at)
        if value.p != NULL and id == VIA and scan_via(value.p, value.end, &via) and via.end == value.end:
            found.append(make_via(&via))
        elif value.p != NULL and id != VIA and scan_address(value.p, value.end, &address):
            found.append(make_address(&address, m.high))
        else:
            found.extend(parse_value(HEADER_NAMES[id], parser, value_text(m, &m.spans[at])))
    return tuple(found)


cdef cached(Message m, unsigned int which):
    """A structured value, from the cache or made for it."""
    cdef tuple cache = m.cache
    if cache is not None:
        value = cache[which]
        if value is not None:
            return value
    value = make_value(m, which)
    if value is not None:
        remember(m, which, value)
    return value


cdef tuple new_cache():
    cdef tuple cache = PyTuple_New(5)
    cdef Py_ssize_t at
    for at in range(5):
        Py_INCREF(None)
        PyTuple_SET_ITEM(cache, at, None)
    return cache


cdef int remember(Message m, unsigned int which, value) except -1:
    """Keep a value in the cache: a tuple that nobody else ever sees, for Python makes those faster than lists."""
    if m.cache is None:
        m.cache = new_cache()
    Py_INCREF(value)
    PyTuple_SET_ITEM(m.cache, which, value)
    Py_DECREF(None)  # what stood there
    return 0


cdef first_via(str value):
    return Via.parse(split_first(value)[0])


cdef make_value(Message m, unsigned int which):
    if which == THE_URI:
        return uri_of(m)
    if which == THE_VIA:
        return via_of(m)
    if which == THE_CSEQ:
        return cseq_of(m)
    return address_of(m, FROM if which == THE_FROM else TO)


cdef uri_of(Message m):
    cdef UriParts parts
    cdef const sip_byte *p = line_text(m, m.method_length + 1)
    if scan_uri(p, p + m.uri_length, &parts):
        return make_uri(&parts)
    return parse_value("Request-URI", parse_uri, to_text(p, m.uri_length, m.high))


cdef via_of(Message m):
    cdef ViaParts parts
    cdef Py_ssize_t at = find_id(m, VIA)
    cdef Slice value
    if at < 0:
        return None
    value = value_of(m, at)
    if value.p != NULL and scan_via(value.p, value.end, &parts):
        return make_via(&parts)
    return parse_value("Via", first_via, value_text(m, &m.spans[at]))


cdef address_of(Message m, unsigned int id):
    cdef AddressParts parts
    cdef Py_ssize_t at = find_id(m, id)
    cdef Slice value
    if at < 0:
        return None
    value = value_of(m, at)
    if value.p != NULL and scan_address(value.p, value.end, &parts):
        return make_address(&parts, m.high)
    return one(m, id, NameAddr.parse)


cdef tag_of(Message m, unsigned int id, unsigned int which):
    """A tag, without making the whole value where it is of the usual shape."""
    cdef AddressParts parts
    cdef Py_ssize_t at = find_id(m, id)
    cdef Slice value
    if at < 0:
        return None
    value = value_of(m, at)
    if value.p != NULL and scan_address(value.p, value.end, &parts):
        return slice_or_none(parts.tag, False)
    return cached(m, which).tag


cdef bint lacks_to_tag(Message m):
    """Whether there is a To that can be read and has no tag."""
    try:
        return tag_of(m, TO, THE_TO) is None
    except HeaderError:
        return False


cdef int64_t scan_cseq(Slice value, Slice *method) noexcept nogil:
    """The number of a CSeq with one space before its method; -1 for another, or one over 2**31 - 1."""
    cdef int64_t number = 0
    cdef const sip_byte *p = value.p
    while p != NULL and p < value.end and sip_is_digit(p[0]) and p - value.p < 10:
        number = number * 10 + (p[0] - c"0")
        p += 1
    if p == value.p or p == value.end or p[0] != c" " or number > 0x7FFF_FFFF:
        return -1
    method[0] = cut(p + 1, sip_token_end(p + 1, value.end))
    return number if method.p != method.end and method.end == value.end else -1


cdef cseq_of(Message m):
    cdef Slice method
    cdef Py_ssize_t at = find_id(m, CSEQ)
    cdef int64_t number
    if at < 0:
        return None
    number = scan_cseq(value_of(m, at), &method)
    if number < 0:
        return one(m, CSEQ, CSeq.parse)
    return make_cseq(<int>number, method_text(method.p, method.end - method.p))


cdef int max_forwards_at(Message m, Py_ssize_t at) except -1:
    cdef Slice value = value_of(m, at)
    cdef int64_t number = -1 if value.p == NULL else sip_number(value.p, value.end)
    if 0 <= number <= 255:
        return <int>number
    return parse_value("Max-Forwards", parse_max_forwards, value_text(m, &m.spans[at]))


cdef bint is_in_order(Message m) noexcept:
    """Whether `check` would find nothing; where that takes a closer look, it says no."""
    cdef int[CONTENT_TYPE + 1] seen
    cdef Py_ssize_t at
    cdef unsigned int id
    cdef Slice method, value
    for id in range(CONTENT_TYPE + 1):
        seen[id] = 0
    for at in range(m.count):
        id = sip_id(&m.spans[at])
        if id > CONTENT_TYPE:
            continue
        seen[id] += 1
        value = value_of(m, at)
        if id == CSEQ:
            if scan_cseq(value, &method) < 0:
                return False
            if m.status == 0 and (
                method.end - method.p != m.method_length or memcmp(method.p, line_text(m, 0), m.method_length) != 0
            ):
                return False
        elif id == MAX_FORWARDS and (value.p == NULL or not 0 <= sip_number(value.p, value.end) <= 255):
            return False
    if not seen[VIA] or seen[FROM] != 1 or seen[TO] != 1 or seen[CALL_ID] != 1 or seen[CSEQ] != 1:
        return False
    return seen[MAX_FORWARDS] <= 1 and seen[CONTENT_TYPE] <= 1 and has_usual_version(m)


cdef inline bint has_usual_version(Message m) noexcept:
    cdef uint32_t offset = 0 if m.status else m.method_length + m.uri_length + 2
    return m.version_length == 7 and memcmp(line_text(m, offset), b"SIP/2.0", 7) == 0
