# Forwarding: forward_request and forward_response of _forwarding, which decide, for messages of the common shape.
#
# Any other goes to those, with nothing changed: a folded Via, Route, Call-ID or From, one that _values.h does not know,
# a Via by RFC 2543 or over another transport, a Max-Forwards that ends it. All here is C and bytes up to the last step.


cdef enum:
    VIA_SPACE = 512  # for our Via or Record-Route while it is put together
    KEY_SIZE = 16
    ROUTE_REST = 5  # what a Record-Route has behind ;lr where it is given up to its signature: ";hop="
    MOST_ROUTES = 2  # a double Record-Route


cdef bint read_plain_via(Message m, Py_ssize_t at, sip_via *via) noexcept:
    """Read the first Via of the header at a place; whether it is one of the common shape."""
    if at < 0 or spans(m)[at].bits & SIP_FOLDED:
        return False
    return sip_read_via(span_value(m, &spans(m)[at]), via) and sip_is_plain_via(via)


cdef bint hash_dialog(Message m, sip_hash *signature) noexcept:
    """Add Call-ID and From tag, which a hop in a Record-Route is signed with; whether they could be read."""
    cdef sip_address parts
    cdef Py_ssize_t call_id = find_id(m, SIP_CALL_ID), address = find_id(m, SIP_FROM)
    if call_id < 0 or address < 0 or (spans(m)[call_id].bits | spans(m)[address].bits) & SIP_FOLDED:
        return False
    if not read_common_address(m, &spans(m)[address], &parts):
        return False
    sip_add_line_to_hash(signature, span_value(m, &spans(m)[call_id]))
    sip_add_to_hash(signature, parts.tag)
    return True


cdef sip_byte *put_transaction(
    Message m, sip_byte *to, sip_hash hash, sip_text name, sip_text hop, sip_text branch
) noexcept:
    """Write the part of the branch that stands for the transaction; NULL where the message is of another shape."""
    cdef Py_ssize_t call_id = find_id(m, SIP_CALL_ID)
    if call_id < 0 or spans(m)[call_id].bits & SIP_FOLDED:
        return NULL
    sip_add_line_to_hash(&hash, name)
    sip_add_line_to_hash(&hash, hop)
    sip_add_line_to_hash(&hash, span_value(m, &spans(m)[call_id]))
    sip_add_to_hash(&hash, branch)
    return sip_put_hash(to, hash)


cdef sip_byte *put_loop(Message m, sip_byte *to, sip_hash hash, sip_text name, sip_text hop) noexcept:
    """Write the part of the branch that stands for where the request goes; NULL where a Route is folded."""
    cdef Py_ssize_t at
    sip_add_line_to_hash(&hash, name)
    sip_add_line_to_hash(&hash, hop)
    sip_add_to_hash(&hash, uri_part(m))
    for at in range(m.count):
        if sip_id(&spans(m)[at]) == SIP_ROUTE:
            if spans(m)[at].bits & SIP_FOLDED:
                return NULL
            sip_add_to_hash(&hash, sip_run(<const sip_byte *>b"\n", <const sip_byte *>b"\n" + 1))
            sip_add_to_hash(&hash, span_value(m, &spans(m)[at]))
    return sip_put_hash(to, hash)


cdef bint is_in_loop(Message m, const sip_byte *part) noexcept:
    cdef Py_ssize_t at
    for at in range(m.count):
        if sip_id(&spans(m)[at]) == SIP_VIA and sip_has_branch(span_value(m, &spans(m)[at]), part):
            return True
    return False


cdef int forwards_left(Message m) except -9:
    """What Max-Forwards becomes; -1 where the request ends here, or where it cannot be read."""
    cdef Py_ssize_t at = find_id(m, SIP_MAX_FORWARDS)
    if at < 0:
        return INITIAL_FORWARDS
    return min(<int>number_at(m, at, SIP_LARGEST_MAX_FORWARDS) - 1, INITIAL_FORWARDS)


cdef int INITIAL_FORWARDS = INITIAL_MAX_FORWARDS


cdef int put_on_top(Message m, unsigned int id, sip_text value) except -1:
    """Insert a header before the first of its name, or before all."""
    cdef sip_text name = bytes_text(<bytes>WRITTEN_NAMES[id])
    make_text_room(m, sip_length(name) + sip_length(value) + 4)
    make_table_room(m, 1)
    insert(m, max(find_id(m, id), 0), put_line(m, id, name, value))
    return 0


cdef list WRITTEN_NAMES = [name.encode() for name in NAMES[:SIP_OWN_NAMES]]


cdef int put_forwards(Message m, int left) except -1:
    cdef sip_byte[10] digits
    cdef Py_ssize_t at = find_id(m, SIP_MAX_FORWARDS)
    cdef sip_text value = sip_run(digits, sip_put_number(digits, left))
    if at >= 0:
        return replace_value(m, at, value)
    cdef sip_text name = bytes_text(<bytes>WRITTEN_NAMES[SIP_MAX_FORWARDS])
    make_text_room(m, sip_length(name) + 14)
    make_table_room(m, 1)
    append(m, put_line(m, SIP_MAX_FORWARDS, name, value))
    return 0


@cython.critical_section
cdef bint forward_plain_request(Message m, bytes key, str name, str via, str to, tuple routes) except -1:
    """What forward_request does; False, and nothing done, where that must do it itself."""
    cdef sip_byte[VIA_SPACE] own, route
    cdef sip_byte[SIP_HOP_ROOM] hop_space
    cdef sip_via below
    cdef sip_byte *part
    cdef sip_byte *end
    cdef sip_hash start = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key)), signature = start
    cdef int left
    if m.status_code or not read_plain_via(m, find_id(m, SIP_VIA), &below):
        return False
    if PyUnicode_GET_LENGTH(via) > VIA_SPACE - 64 or len(routes) > MOST_ROUTES:
        return False
    cdef sip_text hop = sip_run(hop_space, sip_put_response_hop(hop_space, &below))
    # our Via
    part = sip_put(sip_put_text(own, ascii_text(via)), SIP_COOKIE, SIP_COOKIE_SIZE)
    end = put_loop(m, part, start, ascii_text(name), ascii_text(to))
    if end != NULL:
        end = put_transaction(m, end, start, ascii_text(name), hop, below.branch)
    # where it ends
    left = forwards_left(m)
    if end == NULL or left < 0 or is_in_loop(m, part - SIP_COOKIE_SIZE):
        return False
    # our Record-Routes
    sip_add_line_to_hash(&signature, hop)
    if routes and not hash_dialog(m, &signature):
        return False
    for prefix in routes:
        if not is_ascii(prefix) or PyUnicode_GET_LENGTH(<str>prefix) + SIP_HOP_ROOM + 32 > VIA_SPACE:
            return False
    make_text_room(m, (end - own) + 8 + 24 + len(routes) * VIA_SPACE)
    put_forwards(m, left)
    for prefix in routes:
        part = sip_put(sip_put_text(sip_put_text(route, ascii_text(<str>prefix)), hop), b"/", 1)
        part = sip_put(sip_put_hash(part, signature), b">", 1)
        put_on_top(m, SIP_RECORD_ROUTE, sip_run(route, part))
    put_on_top(m, SIP_VIA, sip_run(own, end))
    forget(m)
    return True


def forward_request(message, bytes key not None, str name not None, str via not None, str to not None, tuple routes=()):
    if not (
        type(message) is Message
        and PyBytes_GET_SIZE(key) == KEY_SIZE and is_ascii(name) and is_ascii(via) and is_ascii(to)
        and forward_plain_request(message, key, name, via, to, routes)
    ):
        forward_any_request(message, key, name, via, to, routes, sign)


@cython.critical_section
cdef tuple forward_plain_response(Message m, bytes key, str name):
    """What forward_response does; None, and nothing done, where that must do it itself."""
    cdef sip_byte[SIP_HOP_ROOM] hop_space
    cdef sip_byte[SIP_HASH_SIZE] part
    cdef sip_via ours, below
    cdef Py_ssize_t at = find_id(m, SIP_VIA)
    if not read_plain_via(m, at, &ours) or ours.end != span_value(m, &spans(m)[at]).end:
        return None
    cdef sip_text sent_by = sip_run(ours.host.p, ours.end if ours.params.p == NULL else ours.params.p - 1)
    if not is_str(sent_by, name) or sip_length(ours.branch) != SIP_COOKIE_SIZE + 2 * SIP_HASH_SIZE:
        return None
    if not read_plain_via(m, find_id(m, SIP_VIA, at + 1), &below):
        return None
    cdef sip_text hop = sip_run(hop_space, sip_put_response_hop(hop_space, &below))
    cdef sip_hash start = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key))
    if put_transaction(m, part, start, sent_by, hop, below.branch) == NULL:
        return None
    if memcmp(part, ours.branch.end - SIP_HASH_SIZE, SIP_HASH_SIZE) != 0:
        return None
    cdef str transport = transport_str(below.transport), host = to_str(sip_response_host(&below), False)
    cdef int port = sip_response_port(&below)
    drop(m, at)
    forget(m)
    return transport, host, port


def forward_response(message, bytes key not None, str name not None, is_own):
    cdef tuple target = None
    if type(message) is Message and PyBytes_GET_SIZE(key) == KEY_SIZE and is_ascii(name):
        target = forward_plain_response(message, key, name)
    return forward_any_response(message, key, name, is_own, sign) if target is None else target


def sign(bytes key not None, *parts):
    cdef bytes text = "\n".join(parts).encode("utf-8", "surrogateescape")
    cdef sip_byte[SIP_HASH_SIZE] digits
    if PyBytes_GET_SIZE(key) != KEY_SIZE:
        raise ValueError("key must have 16 bytes")
    cdef sip_hash hash = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key))
    sip_add_to_hash(&hash, bytes_text(text))
    return to_str(sip_run(digits, sip_put_hash(digits, hash)), False)


cdef bint is_plain_target(sip_text text) noexcept:
    """Whether a Request-URI is neither one that a strict router left here nor one with a maddr."""
    cdef sip_uri uri
    return read_common_uri(text, &uri) and not uri.tel and not sip_names_a_way(uri.params)


cdef int signs_dialog(Message m, sip_hash hash, unsigned int id, sip_text signature) noexcept:
    """Whether a signature is of the side of the dialog whose tag is in From or To; -1 where that has another shape."""
    cdef sip_byte[SIP_HASH_SIZE] digits
    cdef sip_address parts
    cdef Py_ssize_t at = find_id(m, id)
    if at < 0 or not read_common_address(m, &spans(m)[at], &parts):
        return -1
    if parts.tag.p == NULL:
        return -1
    sip_add_to_hash(&hash, parts.tag)
    sip_put_hash(digits, hash)
    return memcmp(digits, signature.p, SIP_HASH_SIZE) == 0


@cython.critical_section
cdef take_plain_route(Message m, bytes key, str prefix):
    """Take off the only Route, if it is ours: the hop that it names, () where that is the sender, False where unsigned.

    None where it is another, or of another shape.
    """
    cdef Py_ssize_t at = find_id(m, SIP_ROUTE), call_id = find_id(m, SIP_CALL_ID)
    cdef size_t length = PyUnicode_GET_LENGTH(prefix)
    cdef sip_hop hop
    if at < 0 or find_id(m, SIP_ROUTE, at + 1) >= 0 or call_id < 0:
        return None
    if (spans(m)[at].bits | spans(m)[call_id].bits) & SIP_FOLDED or not is_plain_target(uri_part(m)):
        return None
    cdef sip_text value = span_value(m, &spans(m)[at])
    if sip_length(value) == length - ROUTE_REST + 1 and (value.end - 1)[0] == c">":
        if memcmp(value.p, PyUnicode_DATA(prefix), length - ROUTE_REST) != 0:
            return None
        drop(m, at)
        forget(m)
        return False
    if sip_length(value) < length or memcmp(value.p, PyUnicode_DATA(prefix), length) != 0:
        return None
    if not sip_read_signed_hop(sip_run(value.p + length, value.end), &hop):
        return None
    cdef sip_hash hash = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key))
    sip_add_line_to_hash(&hash, hop.text)
    sip_add_line_to_hash(&hash, span_value(m, &spans(m)[call_id]))
    cdef int is_sender = signs_dialog(m, hash, SIP_FROM, hop.signature)
    if is_sender < 0 or (not is_sender and signs_dialog(m, hash, SIP_TO, hop.signature) <= 0):
        return None
    if not is_sender:
        transport, host, port = transport_str(hop.transport), to_str(hop.host, False), hop.port
        drop(m, at)
        forget(m)
        return transport, host, port
    drop(m, at)
    forget(m)
    return ()


def take_own_route(message, bytes key not None, str route not None):
    if type(message) is Message and PyBytes_GET_SIZE(key) == KEY_SIZE and is_ascii(route):
        return take_plain_route(message, key, route)
    return None
