# The class itself: each method a few lines over the functions above. What one does says its twin in _parser_py.


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Message:
    def __sizeof__(self):
        cdef bytes table, text
        with cython.critical_section(self):
            table, text = self.table, self.text
        return object.__sizeof__(self) + sum([part.__sizeof__() for part in (table, text) if part])

    # --- the start line

    @property
    def is_request(self):
        return self.status_code == 0

    @property
    def method(self):
        return self._method()

    @property
    @cython.critical_section
    def request_uri(self):
        return "" if self.status_code else to_str(uri_part(self), self.high)

    @request_uri.setter
    def request_uri(self, uri):
        if self.status_code:
            raise AttributeError("a response has no Request-URI")
        cdef bytes text = encode_uri(uri)
        set_request_uri(self, text)

    cpdef str _method(self):
        with cython.critical_section(self):
            return method_str(method_part(self))

    cpdef str _scheme(self):
        with cython.critical_section(self):
            return scheme_str(uri_part(self))

    @property
    @cython.critical_section
    def status_text(self):
        return to_str(reason_part(self), self.high)

    @property
    @cython.critical_section
    def version(self):
        return to_str(version_part(self), False)

    # --- the body

    @property
    @cython.critical_section
    def body(self):
        return body_of(self)

    @body.setter
    def body(self, body):
        cdef bytes data = body if type(body) is bytes else encode_body(body)
        set_body(self, data)

    # --- headers as text

    @property
    def headers(self):
        return Headers(self)

    @headers.setter
    def headers(self, view):
        check_own_view(self, view)

    def get_header(self, name, default=None):
        cdef str value
        with cython.critical_section(self):
            value = header_str(self, name_text(name))
        return default if value is None else value

    @cython.critical_section
    def get_headers(self, name):
        cdef list values = []
        cdef sip_text wanted = name_text(name)
        cdef unsigned int id = sip_find_id(wanted)
        cdef Py_ssize_t at = find(self, wanted, id)
        while at >= 0:
            values.append(value_str(self, &spans(self)[at]))
            at = find(self, wanted, id, at + 1)
        return values

    def get_values(self, name, *, max_values=128, max_parts=512):  # as in _limits: a signature shows no name
        return parse_values(name, self.get_headers(name), max_values, max_parts)

    def set_header(self, name, value):
        if is_several(value) and set_lines(self, name, value):
            return
        set_header(self, header_name(name), header_value(name, value))

    def add_header(self, name, value):
        if is_several(value) and add_lines(self, name, value):
            return
        add_header(self, header_name(name), header_value(name, value))

    def prepend_header(self, name, value):
        if is_several(value) and prepend_lines(self, name, value):
            return
        prepend_header(self, header_name(name), header_value(name, value))

    def remove_header(self, name):
        return remove(self, name, True, None)

    def remove_first_header(self, name):
        return remove(self, name, False, None) > 0

    def _take(self, name, bint every):
        cdef list values = []
        remove(self, name, every, values)
        return values

    @cython.critical_section
    def _items(self):
        return every_item(self)

    def _count(self):
        return self.count

    cpdef bint _has(self, unsigned int id):
        with cython.critical_section(self):
            return find_id(self, id) >= 0

    def _times(self, unsigned int id):
        cdef Py_ssize_t times = 0, at
        with cython.critical_section(self):
            at = find_id(self, id)
            while at >= 0:
                times += 1
                at = find_id(self, id, at + 1)
        return times

    # --- headers as structured values

    @property
    @cython.critical_section
    def uri(self):
        return None if self.status_code else uri_of(self)

    @property
    @cython.critical_section
    def via(self):
        return via_of(self)

    @property
    @cython.critical_section
    def vias(self):
        return every_via(self)

    @property
    @cython.critical_section
    def from_(self):
        return address_of(self, SIP_FROM)

    @property
    @cython.critical_section
    def to(self):
        return address_of(self, SIP_TO)

    @property
    @cython.critical_section
    def from_tag(self):
        return tag_of(self, SIP_FROM)

    @property
    @cython.critical_section
    def to_tag(self):
        return tag_of(self, SIP_TO)

    @property
    @cython.critical_section
    def contacts(self):
        return every_address(self, SIP_CONTACT, parse_contacts)

    @property
    @cython.critical_section
    def routes(self):
        return every_address(self, SIP_ROUTE, parse_hops)

    @property
    @cython.critical_section
    def record_routes(self):
        return every_address(self, SIP_RECORD_ROUTE, parse_hops)

    @property
    @cython.critical_section
    def cseq(self):
        return cseq_of(self)

    @property
    @cython.critical_section
    def rack(self):
        return one(self, SIP_RACK, parse_rack)

    @property
    @cython.critical_section
    def call_id(self):
        return first_value(self, SIP_CALL_ID)

    @property
    @cython.critical_section
    def max_forwards(self):
        return number_of(self, SIP_MAX_FORWARDS, SIP_LARGEST_MAX_FORWARDS, parse_max_forwards)

    @property
    @cython.critical_section
    def expires(self):
        return number_of(self, EXPIRES, 0xFFFF_FFFF, parse_seconds)

    @property
    @cython.critical_section
    def content_length(self):
        return number_of(self, SIP_CONTENT_LENGTH, SIP_LARGEST_CONTENT_LENGTH, None)

    @property
    @cython.critical_section
    def content_type(self):
        return one(self, SIP_CONTENT_TYPE, parse_content_type)

    # --- the same, of what a message that `check` finds in order has

    @property
    @cython.critical_section
    def need_uri(self):
        return missing("Request-URI") if self.status_code else uri_of(self)

    @property
    @cython.critical_section
    def need_via(self):
        value = via_of(self)
        return missing("Via") if value is None else value

    @property
    @cython.critical_section
    def need_from(self):
        value = address_of(self, SIP_FROM)
        return missing("From") if value is None else value

    @property
    @cython.critical_section
    def need_to(self):
        value = address_of(self, SIP_TO)
        return missing("To") if value is None else value

    @property
    @cython.critical_section
    def need_cseq(self):
        value = cseq_of(self)
        return missing("CSeq") if value is None else value

    @property
    @cython.critical_section
    def need_call_id(self):
        value = first_value(self, SIP_CALL_ID)
        return missing("Call-ID") if value is None else value

    # --- which transaction and which dialog it belongs to

    def transaction_key(self, method=None):
        cdef str key = None
        if method is None or is_ascii(method):
            with cython.critical_section(self):
                key = transaction_key(self, method)
        return _keys.transaction_key(self, method) if key is None else key

    def dialog_id(self, *, sent=False):
        cdef str key
        cdef bint by_us = sent
        with cython.critical_section(self):
            key = dialog_id(self, by_us)
        return _keys.dialog_id(self, by_us) if key is None else key or None

    @property
    def route_set(self):
        return _derived.route_set(self)

    def set_route(self, target, route_set):
        if self.status_code:
            raise TypeError("set_route is for requests")
        uri, route = _derived.dialog_route(target, route_set)
        self.request_uri = uri
        if route:
            self.set_header("Route", route)
        else:
            self.remove_header("Route")

    def ack(self, response):
        return _derived.ack(self, response)

    def cancel(self):
        return _derived.cancel(self)

    # --- what a proxy does

    def push_via(self, value):
        prepend_header(self, "Via", header_value("Via", value))

    @cython.critical_section
    def pop_via(self):
        return pop_element(self, SIP_VIA)

    def push_record_route(self, value):
        prepend_header(self, "Record-Route", header_value("Record-Route", value))

    @cython.critical_section
    def pop_route(self):
        return pop_element(self, SIP_ROUTE)

    cpdef bint stamp_received(self, host, port) except -1:
        if not is_source(host, port):
            host, port = check_source(host, port)
        cdef uint32_t number = port
        return stamp(self, <str>host, number)

    @cython.critical_section
    def decrement_max_forwards(self):
        return count_down(self)

    @staticmethod
    def _sign(bytes key not None, *parts):
        return sign(key, parts)

    def _put_hop(self, bytes key not None, leg, tuple record_routes not None):
        if not (is_leg(leg) and put_plain_hop(self, key, leg, record_routes)):
            put_any_hop(self, key, leg, record_routes)

    # --- building

    @classmethod
    def request(cls, method, uri, *, headers=(), body=b""):
        return build(request_line(method, uri), headers, body)

    @classmethod
    def response(cls, status, reason=None, *, headers=(), body=b""):
        return build(status_line(status, reason), headers, body)

    def reply(self, status, reason=None, *, to_tag=None, headers=(), body=b""):
        if self.status_code:
            raise TypeError("reply is for requests")
        cdef bytes line = status_line(status, reason)
        cdef bytes tag = None if to_tag is None else encode_tag(to_tag)
        cdef bytes data = body if type(body) is bytes else encode_body(body)
        return build_reply(self, line, reason is not None, tag, headers, data)

    # --- checking and writing

    cpdef bint _is_in_order(self):
        with cython.critical_section(self):
            return is_in_order(self)

    def check(self):
        return [] if self._is_in_order() else check_message(self)

    def validate(self, *, schemes=("sip", "sips", "tel"), max_values=128, max_parts=512):  # URI_SCHEMES, _limits
        return validate_message(self, schemes=schemes, max_values=max_values, max_parts=max_parts)

    cpdef bytes to_bytes(self):
        with cython.critical_section(self):
            return write(self)

    def __bytes__(self):
        return self.to_bytes()

    @cython.critical_section
    def copy(self):
        return copy(self)

    @cython.critical_section
    def __copy__(self):
        return copy(self)

    @cython.critical_section
    def __deepcopy__(self, memo):
        return copy(self)

    def __reduce__(self):
        return _restore, (self.to_bytes(),)

    def __eq__(self, other):
        if not isinstance(other, Message):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__ = None

    def __str__(self):
        return self.to_bytes().decode("utf-8", "surrogateescape")

    def describe(self):
        return describe_message(self)

    def _repr_html_(self):
        return describe_as_html(self)

    def __repr__(self):
        what = f"{self.status_code} {self.status_text}" if self.status_code else f"{self.method} {self.request_uri}"
        return f"<Message {cut(what)} Call-ID={cut(self.call_id)}>"


cdef PyObject *refuse_new(PyTypeObject *cls, PyObject *arguments, PyObject *named) noexcept:
    PyErr_SetString(<PyObject *>TypeError, b"a Message is made by parse, Message.request or Message.response")
    return NULL


# Who calls the class gets this; what makes messages above calls the function that Cython made, which fills no field.
(<PyTypeObject *>Message).tp_new = <newfunc>refuse_new
(<PyTypeObject *>Message).tp_vectorcall = NULL


def _restore(bytes data):
    """What a pickle calls: without limits, for the message was one already."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    if size <= SIP_LONGEST:
        return read(data, size, SIP_LONGEST)
    if size > 0xFFFF_FFFF:
        raise MemoryError("message is too large")
    ends = [at for at in (data.find(b"\n\r\n"), data.find(b"\n\n")) if at >= 0]
    cdef Message m = read(data, size, data.count(b"\n", 0, min(ends, default=0)))
    cdef Py_ssize_t at
    for at in range(m.count):
        if has_too_long_a_name(m, &spans(m)[at]):
            raise ParseError("malformed message")
    return m


cdef bint has_too_long_a_name(Message m, const sip_span *span) noexcept:
    """Whether a name has no room in its entry; none that was read or written has."""
    if span.value - span.name <= SIP_LONGEST:
        return False
    cdef const sip_byte *name = wire(m) + span.name
    cdef sip_text trimmed = sip_trim(name, sip_find(sip_run(name, wire(m) + span.value), c":"))
    return sip_length(trimmed) > SIP_LONGEST
