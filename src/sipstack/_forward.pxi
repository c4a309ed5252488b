# Forwarding: what _forwarding.py says, which decides, for messages of the common shape.
#
# Any other goes there, with nothing changed: a folded Via, Route, Call-ID or From, one that _values.h does not know,
# a Via by RFC 2543 or over another transport, a Max-Forwards that ends it or is over 71. What is asked of the node is
# asked first.
# From the first pointer to the last step all is C, bytes and str.


cdef enum:
    VIA_SPACE = 512  # for our Via or Record-Route while it is put together
    KEY_SIZE = 16
    ROUTE_REST = 5  # what a Record-Route has behind ;lr where it is given up to its signature: ";hop="
    MOST_ROUTES = 2  # a double Record-Route
    # places in a Leg and in a TakenRoutes
    LEG_NAME = 1
    LEG_VIA = 2
    LEG_TO = 3
    LEG_ROUTES = 4
    LEG_PARTS = 5
    TAKEN_HOP = 2


cdef bint read_plain_via(Message m, Py_ssize_t at, sip_via *via) noexcept:
    """Read the first Via of the header at a place; whether it is one of the common shape."""
    if at < 0 or spans(m)[at].bits & SIP_FOLDED:
        return False
    return sip_read_via(span_value(m, &spans(m)[at]), via) and sip_is_plain_via(via)


cdef bint hash_dialog(Message m, sip_hash *signature) noexcept:
    """Add Call-ID and From tag, which sign a hop in a Record-Route; whether they could be read and are short."""
    cdef sip_address parts
    cdef Py_ssize_t call_id = find_id(m, SIP_CALL_ID), address = find_id(m, SIP_FROM)
    if call_id < 0 or address < 0 or (spans(m)[call_id].bits | spans(m)[address].bits) & SIP_FOLDED:
        return False
    if not read_common_address(m, &spans(m)[address], &parts):
        return False
    sip_add_line_to_hash(signature, span_value(m, &spans(m)[call_id]))
    sip_add_to_hash(signature, parts.tag)
    return signature.length <= SHORT_TEXT


cdef sip_byte *put_transaction(
    Message m, sip_byte *to, sip_hash hash, sip_text name, sip_text hop, sip_text branch
) noexcept:
    """Write the part of the branch that stands for the transaction; NULL for another shape, or where it is long."""
    cdef Py_ssize_t call_id = find_id(m, SIP_CALL_ID)
    if call_id < 0 or spans(m)[call_id].bits & SIP_FOLDED:
        return NULL
    sip_add_line_to_hash(&hash, name)
    sip_add_line_to_hash(&hash, hop)
    sip_add_line_to_hash(&hash, span_value(m, &spans(m)[call_id]))
    sip_add_to_hash(&hash, branch)
    return put_short_hash(to, hash)


cdef sip_byte *put_loop(Message m, sip_byte *to, sip_hash hash, sip_text name, sip_text hop) noexcept:
    """Write the part of the branch that stands for where the request goes; NULL where it is long, or a Route folded."""
    cdef Py_ssize_t at
    sip_add_line_to_hash(&hash, sip_run(name.p, name.p))
    sip_add_line_to_hash(&hash, name)
    sip_add_line_to_hash(&hash, hop)
    sip_add_to_hash(&hash, uri_part(m))
    for at in range(m.count):
        if sip_id(&spans(m)[at]) == SIP_ROUTE:
            if spans(m)[at].bits & SIP_FOLDED:
                return NULL
            sip_add_to_hash(&hash, sip_run(<const sip_byte *>b"\n", <const sip_byte *>b"\n" + 1))
            sip_add_to_hash(&hash, span_value(m, &spans(m)[at]))
    return put_short_hash(to, hash)


cdef inline sip_byte *put_short_hash(sip_byte *to, sip_hash hash) noexcept:
    """Write a hash; NULL where it is of so much that another one is taken: see sign."""
    return sip_put_hash(to, hash) if hash.length <= SHORT_TEXT else NULL


cdef bint is_in_loop(Message m, const sip_byte *part) noexcept:
    cdef Py_ssize_t at
    for at in range(m.count):
        if sip_id(&spans(m)[at]) == SIP_VIA and sip_has_branch(span_value(m, &spans(m)[at]), part):
            return True
    return False


cdef int forwards_left(Message m) except -9:
    """What Max-Forwards becomes; -1 where the request ends here, where it is too large, or where it cannot be read."""
    cdef Py_ssize_t at = find_id(m, SIP_MAX_FORWARDS)
    return INITIAL_FORWARDS if at < 0 else <int>number_at(m, at, INITIAL_FORWARDS + 1) - 1


cdef int INITIAL_FORWARDS = INITIAL_MAX_FORWARDS
cdef unsigned int SHORT_TEXT = SHORT


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


cdef inline slot_of(Slot slot):
    """What stands in a slot of a node."""
    if slot == NULL:
        raise AttributeError("the node was not made by its class")
    return <object>slot


cdef kept_of(dict kept, key):
    """What a node keeps under a key, None where it does not. Another thread may be emptying it."""
    with cython.critical_section(kept):
        return kept.get(key)


cdef inline bint is_leg(leg) noexcept:
    """Whether this is a Leg, of which C may take the texts as they are."""
    return (
        isinstance(leg, tuple) and len(<tuple>leg) == LEG_PARTS
        and is_ascii((<tuple>leg)[LEG_NAME]) and is_ascii((<tuple>leg)[LEG_VIA]) and is_ascii((<tuple>leg)[LEG_TO])
        and PyUnicode_GET_LENGTH((<tuple>leg)[LEG_VIA]) <= VIA_SPACE - 64
    )


cdef bint put_plain_hop(Message m, bytes key, leg, tuple routes) except -1:
    """What put_hop does; False, and nothing done, where that must do it itself."""
    cdef str prefix
    if PyBytes_GET_SIZE(key) != KEY_SIZE or len(routes) > MOST_ROUTES:
        return False
    for prefix in routes:
        if not is_ascii(prefix) or PyUnicode_GET_LENGTH(prefix) + SIP_HOP_ROOM + 32 > VIA_SPACE:
            return False
    return put_known_hop(
        m, key, <str>(<tuple>leg)[LEG_NAME], <str>(<tuple>leg)[LEG_VIA], <str>(<tuple>leg)[LEG_TO], routes
    )


@cython.critical_section
cdef bint put_known_hop(Message m, bytes key, str name, str via, str to, tuple routes) except -1:
    """The same for texts that are in order."""
    cdef sip_byte[VIA_SPACE] own, route
    cdef sip_byte[SIP_HOP_ROOM] hop_space
    cdef sip_via below
    cdef sip_byte *part
    cdef sip_byte *end
    cdef str prefix
    cdef sip_hash start = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key)), signature = start
    cdef int left
    if m.status_code or not read_plain_via(m, find_id(m, SIP_VIA), &below):
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
    make_text_room(m, (end - own) + 8 + 24 + len(routes) * VIA_SPACE)
    make_table_room(m, len(routes) + 2)
    put_forwards(m, left)
    for prefix in routes:
        part = sip_put(sip_put_text(sip_put_text(route, ascii_text(prefix)), hop), b"/", 1)
        part = sip_put(sip_put_hash(part, signature), b">", 1)
        put_on_top(m, SIP_RECORD_ROUTE, sip_run(route, part))
    put_on_top(m, SIP_VIA, sip_run(own, end))
    forget(m)
    return True


def forward_request(request, node, to=None, *, record_route=False, came_to=None):
    cdef bint recorded = record_route
    cdef tuple routes
    if type(request) is Message and type(node) is Node and to is not None and came_to is None:
        leg = kept_of(slot_of((<Node>node)._legs), to)
        if is_leg(leg) and not (recorded and is_secure(request)):
            routes = (<tuple>leg)[LEG_ROUTES] if recorded else ()
            if put_plain_hop(request, slot_of((<Node>node)._key), leg, routes):
                return to
    return forward_any_request(request, node, to, record_route=recorded, came_to=came_to)


@cython.critical_section
cdef bint is_secure(Message m) noexcept:
    """Whether the scheme of the Request-URI is sips."""
    return sip_is_secure(uri_part(m))


@cython.critical_section
cdef str take_plain_via(Message m, bytes key, str name):
    """Take our Via off a response, and say which hop it goes to; None, and nothing done, for another shape."""
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
    cdef str text = to_str(hop, False)
    drop(m, at)
    forget(m)
    return text


def forward_response(response, node):
    cdef bytes key
    cdef str name, hop = None
    if type(response) is Message and type(node) is Node:
        key, name = slot_of((<Node>node)._key), slot_of((<Node>node)._name)
        if PyBytes_GET_SIZE(key) == KEY_SIZE and is_ascii(name):
            hop = take_plain_via(response, key, name)
    return forward_any_response(response, node) if hop is None else named_by(node, hop)[TAKEN_HOP]


cdef tuple named_by(Node node, str hop):
    """What a node's _take gives for a hop's text."""
    taken = kept_of(slot_of(node._named), hop)
    return <tuple>(node._take(hop) if taken is None else taken)


cdef sign(bytes key, tuple parts):
    cdef bytes text = "\n".join(parts).encode("utf-8", "surrogateescape")
    cdef sip_byte[SIP_HASH_SIZE] digits
    if PyBytes_GET_SIZE(key) != KEY_SIZE:
        raise ValueError("key must have 16 bytes")
    if PyBytes_GET_SIZE(text) > SHORT_TEXT:
        return hash_long(key, text)
    cdef sip_hash hash = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key))
    sip_add_to_hash(&hash, bytes_text(text))
    return to_str(sip_run(digits, sip_put_hash(digits, hash)), False)


cdef bint is_plain_target(sip_text text) noexcept:
    """Whether a Request-URI is neither one that a strict router left here nor one with a maddr."""
    cdef sip_uri uri
    return read_common_uri(text, &uri) and not uri.tel and not sip_names_a_way(uri.params)


cdef int signs_dialog(Message m, sip_hash hash, unsigned int id, sip_text signature) noexcept:
    """Whether a signature is of the side of the dialog whose tag is in From or To; -1 for another or a long one."""
    cdef sip_byte[SIP_HASH_SIZE] digits
    cdef sip_address parts
    cdef Py_ssize_t at = find_id(m, id)
    if at < 0 or not read_common_address(m, &spans(m)[at], &parts):
        return -1
    if parts.tag.p == NULL:
        return -1
    sip_add_to_hash(&hash, parts.tag)
    if hash.length > SHORT_TEXT:
        return -1
    sip_put_hash(digits, hash)
    return memcmp(digits, signature.p, SIP_HASH_SIZE) == 0


cdef int read_own_route(sip_text route, tuple prefixes, sip_hop *hop) noexcept:
    """Whether a Route is one of the form that we write: 2 with a signature, 1 without, 0 for another."""
    cdef sip_text prefix
    cdef Py_ssize_t at
    cdef size_t length
    for at in range(len(prefixes)):
        prefix = ascii_text(<str>prefixes[at])
        length = sip_length(prefix)
        if sip_length(route) == length - ROUTE_REST + 1 and (route.end - 1)[0] == c">":
            if memcmp(route.p, prefix.p, length - ROUTE_REST) == 0:
                return 1
        elif sip_length(route) > length and memcmp(route.p, prefix.p, length) == 0:
            return 2 if sip_read_signed_hop(sip_run(route.p + length, route.end), hop) else 0
    return 0


cdef int read_own_routes(Message m, tuple prefixes, sip_hop *hop) noexcept:
    """What read_own_route says of the first Route, where it is the only one, or one of two of ours; else 0."""
    cdef sip_text line
    cdef sip_hop other
    cdef Py_ssize_t at = find_id(m, SIP_ROUTE)
    cdef int kind = 0, found = 0, own
    while at >= 0:
        if spans(m)[at].bits & SIP_FOLDED:
            return 0
        line = span_value(m, &spans(m)[at])
        if line.p == line.end:
            return 0
        while line.p < line.end:
            own = read_own_route(next_element(&line), prefixes, &other if found else hop)
            found += 1
            if own == 0 or found > MOST_ROUTES:
                return 0
            if found == 1:
                kind = own
        at = find_id(m, SIP_ROUTE, at + 1)
    return kind if found == 1 or kind == 2 else 0  # of two the second may be the signed one


cdef void drop_routes(Message m) noexcept:
    cdef Py_ssize_t at = find_id(m, SIP_ROUTE)
    while at >= 0:
        drop(m, at)
        at = find_id(m, SIP_ROUTE, at)
    forget(m)


@cython.critical_section
cdef take_plain_routes(Message m, bytes key, tuple prefixes):
    """What take_routes does where there is no Route, or one or two of the form that we write, which are taken off.

    A str is the hop that they name; None, and nothing done, for any other.
    """
    cdef Py_ssize_t call_id = find_id(m, SIP_CALL_ID)
    cdef sip_hop hop
    cdef int own, is_sender
    cdef str text
    if find_id(m, SIP_ROUTE) < 0:
        return NOTHING_TAKEN if not m.status_code and not sip_has_maddr(uri_part(m)) else None
    if call_id < 0 or spans(m)[call_id].bits & SIP_FOLDED or not is_plain_target(uri_part(m)):
        return None
    own = read_own_routes(m, prefixes, &hop)
    if own == 0:
        return None
    if own == 1:
        drop_routes(m)
        return UNSIGNED
    cdef sip_hash hash = sip_start_hash(<const sip_byte *>PyBytes_AS_STRING(key))
    sip_add_line_to_hash(&hash, hop.text)
    sip_add_line_to_hash(&hash, span_value(m, &spans(m)[call_id]))
    is_sender = signs_dialog(m, hash, SIP_FROM, hop.signature)
    if is_sender < 0 or (not is_sender and signs_dialog(m, hash, SIP_TO, hop.signature) <= 0):
        return None
    text = None if is_sender else to_str(hop.text, False)
    drop_routes(m)
    return FROM_THERE if text is None else text


def take_routes(request, node):
    cdef bytes key
    cdef tuple routes
    taken = None
    if type(request) is Message and type(node) is Node:
        key, routes = slot_of((<Node>node)._key), slot_of((<Node>node)._routes)
        if PyBytes_GET_SIZE(key) == KEY_SIZE:
            taken = take_plain_routes(request, key, routes)
    if type(taken) is str:
        return named_by(node, <str>taken)
    return take_any_routes(request, node) if taken is None else taken
