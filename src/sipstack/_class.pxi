# The class itself: each method a few lines over the functions above.


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Message:
    """A SIP request or response; made by `parse`, `Message.request`, `Message.response` or `reply`.

    See `sipstack.Message` for what each attribute means.
    """

    cdef bytes raw  # what was parsed; the message itself as long as it is not edited
    cdef bytes new_body  # None where the body is that of raw
    cdef tuple cache  # structured values that were asked for; None after an edit
    # The headers, and the text of edits, in bytes objects that nobody else sees: they are freed like any other, so no
    # way out of a function can leak them, and there is no __dealloc__, which would cost 60 instructions a message.
    cdef bytes table, text
    cdef sip_span *spans
    cdef sip_byte *owned
    cdef uint32_t count, room, owned_size, owned_room, body_at
    cdef uint32_t start, line_end, method_length, uri_length, version_length, reason_length  # the start line
    cdef unsigned short status
    cdef bint start_owned, edited
    cdef bint high  # whether there may be bytes over 0x7F

    def __init__(self):
        raise TypeError("a Message is made by parse, Message.request or Message.response")

    def __sizeof__(self):
        """The object, its table and the text of its edits; not the bytes it was parsed from."""
        return object.__sizeof__(self) + sum([part.__sizeof__() for part in (self.table, self.text) if part is not None])

    # --- the start line

    @property
    def is_request(self):
        """Whether this is a request."""
        return self.status == 0

    @property
    @cython.critical_section
    def method(self):
        """The method as on the wire; "" for a response."""
        return method_of(self)

    @property
    @cython.critical_section
    def request_uri(self):
        """The Request-URI as on the wire; "" for a response. Assigning one to a response raises AttributeError."""
        if self.status:
            return ""
        return to_text(line_text(self, self.method_length + 1), self.uri_length, self.high)

    @request_uri.setter
    @cython.critical_section
    def request_uri(self, uri):
        if self.status:
            raise AttributeError("a response has no Request-URI")
        cdef bytes text = encode_uri(uri)
        cdef const sip_byte *line = line_text(self, 0)
        cdef bytes new = b"%b %b %b\r\n" % (
            line[: self.method_length],
            text,
            line[self.method_length + self.uri_length + 2 :][: self.version_length],
        )
        set_start(self, of_bytes(new).p, PyBytes_GET_SIZE(new))
        self.high = True  # perhaps
        touch(self)

    @property
    def status_code(self):
        """The status code, 100 to 699; 0 for a request."""
        return self.status

    @property
    @cython.critical_section
    def status_text(self):
        """The reason phrase, which may be empty; "" for a request."""
        return to_text(line_text(self, self.version_length + 5), self.reason_length, self.high)

    @property
    @cython.critical_section
    def version(self):
        """The SIP version as on the wire, "SIP/2.0"."""
        cdef const sip_byte *p = line_text(self, 0 if self.status else self.method_length + self.uri_length + 2)
        if self.version_length == 7 and memcmp(p, b"SIP/2.0", 7) == 0:
            return "SIP/2.0"
        return to_text(p, self.version_length, False)

    # --- the body

    @property
    @cython.critical_section
    def body(self):
        """The body. Assigning bytes takes them as they are, str gets CRLF and UTF-8; Content-Length is set too."""
        return body_of(self)

    @body.setter
    @cython.critical_section
    def body(self, body):
        cdef bytes data = encode_body(body)
        self.new_body = data
        set_content_length(self, PyBytes_GET_SIZE(data))

    # --- headers as text

    @property
    def headers(self):
        """A live view of the headers, ordered, case-insensitive and multi-valued."""
        return Headers(self)

    @cython.critical_section
    def get_header(self, name, default=None):
        """The first value of `name`, or the default."""
        cdef Name wanted = look_up(name)
        cdef Py_ssize_t at = find(self, &wanted)
        return default if at < 0 else value_text(self, &self.spans[at])

    @cython.critical_section
    def get_headers(self, name):
        """Every value of `name`, in order."""
        cdef Name wanted = look_up(name)
        cdef Py_ssize_t at
        return [value_text(self, &self.spans[at]) for at in range(self.count) if is_named(self, &self.spans[at], &wanted)]

    @cython.critical_section
    def set_header(self, name, value):
        """Replace the first `name` and drop the others; append it where there is none."""
        cdef sip_span span
        checked_line(self, &span, name, value)
        cdef Name wanted = look_up(name)
        set_line(self, &wanted, &span)

    @cython.critical_section
    def add_header(self, name, value):
        """Append a header."""
        cdef sip_span span
        checked_line(self, &span, name, value)
        insert(self, self.count, &span)

    @cython.critical_section
    def prepend_header(self, name, value):
        """Insert a header before the first of its name, or before all where there is none."""
        prepend(self, name, value)

    @cython.critical_section
    def remove_header(self, name):
        """Remove every header of that name; how many there were."""
        cdef Name wanted = look_up(name)
        cdef Py_ssize_t at = self.count, removed = 0
        while at > 0:
            at -= 1
            if is_named(self, &self.spans[at], &wanted):
                drop(self, at)
                removed += 1
        return removed

    @cython.critical_section
    def remove_first_header(self, name):
        """Remove the first header of that name; whether there was one."""
        cdef Name wanted = look_up(name)
        cdef Py_ssize_t at = find(self, &wanted)
        if at >= 0:
            drop(self, at)
        return at >= 0

    @cython.critical_section
    def _items(self):
        cdef Py_ssize_t at
        return [(name_text(self, &self.spans[at]), value_text(self, &self.spans[at])) for at in range(self.count)]

    def _count(self):
        return self.count

    # --- headers as structured values

    @property
    @cython.critical_section
    def uri(self):
        """The Request-URI's parts; None for a response. Raises HeaderError (RFC 3261 19.1)."""
        return None if self.status else cached(self, THE_URI)

    @property
    @cython.critical_section
    def via(self):
        """The top Via value (RFC 3261 20.42); None where there is none. Raises HeaderError."""
        return cached(self, THE_VIA)

    @property
    @cython.critical_section
    def vias(self):
        """Every Via value, the top one first. Raises HeaderError."""
        return every(self, VIA, parse_vias)

    @property
    @cython.critical_section
    def from_(self):
        """The From value (RFC 3261 20.20). Raises HeaderError."""
        return cached(self, THE_FROM)

    @property
    @cython.critical_section
    def to(self):
        """The To value (RFC 3261 20.39). Raises HeaderError."""
        return cached(self, THE_TO)

    @property
    @cython.critical_section
    def from_tag(self):
        """The From tag; None where there is none. Raises HeaderError."""
        return tag_of(self, FROM, THE_FROM)

    @property
    @cython.critical_section
    def to_tag(self):
        """The To tag; None where there is none. Raises HeaderError."""
        return tag_of(self, TO, THE_TO)

    @property
    @cython.critical_section
    def contacts(self):
        """Every Contact value, `*` as `STAR` (RFC 3261 20.10). Raises HeaderError."""
        return every(self, CONTACT, parse_contacts)

    @property
    @cython.critical_section
    def routes(self):
        """Every Route value (RFC 3261 20.34). Raises HeaderError."""
        return every(self, ROUTE, parse_addresses)

    @property
    @cython.critical_section
    def record_routes(self):
        """Every Record-Route value (RFC 3261 20.30). Raises HeaderError."""
        return every(self, RECORD_ROUTE, parse_addresses)

    @property
    @cython.critical_section
    def cseq(self):
        """The CSeq value (RFC 3261 20.16). Raises HeaderError."""
        return cached(self, THE_CSEQ)

    @property
    @cython.critical_section
    def rack(self):
        """The RAck value (RFC 3262 7.2). Raises HeaderError."""
        return one(self, RACK, parse_rack_value)

    @property
    @cython.critical_section
    def call_id(self):
        """The Call-ID as it stands."""
        cdef Py_ssize_t at = find_id(self, CALL_ID)
        return None if at < 0 else value_text(self, &self.spans[at])

    @property
    @cython.critical_section
    def max_forwards(self):
        """Max-Forwards, 0 to 255 (RFC 3261 20.22). Raises HeaderError."""
        cdef Py_ssize_t at = find_id(self, MAX_FORWARDS)
        return None if at < 0 else max_forwards_at(self, at)

    @property
    @cython.critical_section
    def content_length(self):
        """Content-Length in bytes (RFC 3261 20.14)."""
        cdef Py_ssize_t at = find_id(self, CONTENT_LENGTH)
        return None if at < 0 else read_length(value_text(self, &self.spans[at]))

    @property
    @cython.critical_section
    def content_type(self):
        """The Content-Type value (RFC 3261 20.15). Raises HeaderError."""
        return one(self, CONTENT_TYPE, parse_content_type)

    # --- what a proxy does

    @cython.critical_section
    def push_via(self, value):
        """Put a Via above the others (RFC 3261 16.6, step 8)."""
        prepend(self, "Via", value)

    @cython.critical_section
    def pop_via(self):
        """Remove the top Via value and return it (RFC 3261 16.7, step 3); None where there is none."""
        return pop(self, VIA)

    @cython.critical_section
    def push_record_route(self, value):
        """Put a Record-Route above the others (RFC 3261 16.6, step 4)."""
        prepend(self, "Record-Route", value)

    @cython.critical_section
    def pop_route(self):
        """Remove the top Route value and return it (RFC 3261 16.4); None where there is none."""
        return pop(self, ROUTE)

    @cython.critical_section
    def stamp_received(self, host, port):
        """Write into the top Via where the request came from (RFC 3261 18.2.1, RFC 3581 4).

        `host` is the source address without brackets, `port` the source port. Returns whether the response goes to
        that address and port (there is an `rport`); otherwise it goes to that address and the port of the sent-by.
        """
        return stamp_top_via(self, host, port)

    @cython.critical_section
    def decrement_max_forwards(self):
        """Count Max-Forwards down and return what is left; 70 is added where there is none (RFC 3261 16.6, step 3).

        Raises HeaderError where it is malformed, and with status 483 where it is 0.
        """
        cdef Py_ssize_t at = find_id(self, MAX_FORWARDS)
        cdef sip_span span
        cdef int left, skip
        cdef sip_byte[3] digit_text
        cdef sip_byte *digits = digit_text
        if at < 0:
            checked_line(self, &span, "Max-Forwards", "70")
            insert(self, self.count, &span)
            return 70
        left = max_forwards_at(self, at)
        if left == 0:
            raise HeaderError("Max-Forwards is 0", "Max-Forwards", 0, 483)
        left -= 1
        skip = 0 if left > 99 else 1 if left > 9 else 2
        digits[0], digits[1], digits[2] = c"0" + left // 100, c"0" + left // 10 % 10, c"0" + left % 10
        replace_value(self, at, digits + skip, 3 - skip)
        return left

    # --- building

    @classmethod
    def request(cls, method, uri, *, headers=(), body=b""):
        """A new request with these headers, in this order, and a Content-Length.

        Raises SerializeError where a part cannot be written (RFC 3261 7.1).
        """
        cdef bytes line = request_line(method, uri)
        cdef Message m = begin(of_bytes(line).p, PyBytes_GET_SIZE(line), body if type(body) is bytes else encode_body(body), 380, 12)
        m.high = True  # perhaps
        finish(m, headers)
        return m

    @classmethod
    def response(cls, status, reason=None, *, headers=(), body=b""):
        """A new response with these headers, in this order, and a Content-Length; the reason is IANA's by default.

        Raises SerializeError where a part cannot be written (RFC 3261 7.2).
        """
        cdef bytes line = status_line(status, reason)
        cdef Message m = begin(of_bytes(line).p, PyBytes_GET_SIZE(line), body if type(body) is bytes else encode_body(body), 380, 12)
        m.high = True  # perhaps
        finish(m, headers)
        return m

    @cython.critical_section
    def reply(self, status, reason=None, *, to_tag=None, headers=(), body=b""):
        """A response to this request, with what RFC 3261 8.2.6 copies from it, then `headers`, then Content-Length.

        A To without a tag gets one when the status is over 100: `to_tag`, or a keyed hash of what identifies the
        request, so that a retransmission is answered alike (8.2.7). Raises TypeError on a response.
        """
        if self.status:
            raise TypeError("reply is for requests")
        cdef bytes line = status_line(status, reason)
        cdef bytes tag = None if to_tag is None else encode_tag(to_tag)
        cdef bytes data = body if type(body) is bytes else encode_body(body)
        cdef Message m = begin(of_bytes(line).p, PyBytes_GET_SIZE(line), data, copied_size(self), 8)
        cdef unsigned int id
        cdef Py_ssize_t at
        m.high = True if reason is not None else self.high
        for at in range(self.count):
            if sip_id(&self.spans[at]) == VIA:
                copy_line(m, self, at, None)
        for id in range(FROM, CSEQ + 1):
            at = find_id(self, id)
            if at >= 0:
                if id == TO and m.status > 100 and lacks_to_tag(self):
                    copy_line(m, self, at, make_tag(self) if tag is None else tag)
                else:
                    copy_line(m, self, at, None)
        id = also_copied(self, m.status)
        if id:
            for at in range(self.count):
                if sip_id(&self.spans[at]) == id:
                    copy_line(m, self, at, None)
        finish(m, headers)
        return m

    # --- checking and writing

    def check(self):
        """What the header table alone shows to be wrong; see `sipstack.validation.check`."""
        cdef bint fine
        with cython.critical_section(self):
            fine = is_in_order(self)
        return [] if fine else check_message(self)

    def validate(self):
        """Everything a server would check before it acts; see `sipstack.validation.validate`."""
        return validate_message(self)

    @cython.critical_section
    def to_bytes(self):
        """The message as it goes on the wire; the bytes it was parsed from where nothing was edited."""
        return write(self)

    @cython.critical_section
    def __bytes__(self):
        return write(self)

    @cython.critical_section
    def copy(self):
        """Another message, equal to this one, that is edited on its own."""
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

    def __repr__(self):
        what = f"{self.status_code} {self.status_text}" if self.status else f"{self.method} {self.request_uri}"
        return f"<Message {what} Call-ID={self.call_id}>"


def _restore(data):
    """What a pickle calls: no limit but the largest, for the message was one already."""
    return parse(data, max_size=SIP_LONGEST, max_headers=SIP_LONGEST)
