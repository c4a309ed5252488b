# Structured values of the usual shape, found without making an object.
#
# Each function answers False for whatever is out of the ordinary: blanks where they may be but seldom are, escapes in odd
# places, comments, quoted parameters, and all that is wrong. Such a value goes to the class's own `parse`, which is the
# reference; so nothing here has to be right about the unusual, only to know it when it sees it.


ctypedef struct Slice:
    const sip_byte *p  # NULL: not there
    const sip_byte *end


ctypedef struct Names:
    # The parameter names of a value; none may be there twice.
    Slice[8] seen
    int count


ctypedef struct UriParts:
    Slice user, host, params  # of a tel URI the number is in user
    int port  # -1: not there
    bint secure, tel


ctypedef struct ViaParts:
    Slice transport, host, params, branch, received, rport  # rport and received from the name to the value's end
    Slice received_value
    int port, rport_number  # -1: not there, 0: without a value
    const sip_byte *end  # of the first element of the list


ctypedef struct AddressParts:
    Slice display, params, tag
    UriParts uri
    bint angle


cdef inline Slice cut(const sip_byte *p, const sip_byte *end) noexcept nogil:
    cdef Slice slice
    slice.p = p
    slice.end = end
    return slice


cdef inline Slice slice_of(str text) noexcept:
    """The bytes of a compact ASCII text."""
    cdef const sip_byte *p = <const sip_byte *>PyUnicode_DATA(text)
    return cut(p, p + PyUnicode_GET_LENGTH(text))


cdef inline bint is_word(const sip_byte *p, const sip_byte *end, const char *lower, Py_ssize_t length) noexcept nogil:
    """Whether a name is this one, in any case."""
    cdef Py_ssize_t at
    if end - p != length:
        return False
    for at in range(length):
        if sip_lower(p[at]) != <sip_byte>lower[at]:
            return False
    return True


cdef bint is_new(Names *names, const sip_byte *p, const sip_byte *end) noexcept nogil:
    """Note a parameter's name; False where it was there before, or there are very many."""
    cdef int at
    cdef Py_ssize_t i
    for at in range(names.count):
        if names.seen[at].end - names.seen[at].p == end - p:
            i = 0
            while p + i < end and sip_lower(p[i]) == sip_lower(names.seen[at].p[i]):
                i += 1
            if p + i == end:
                return False
    if names.count == 8:
        return False
    names.seen[names.count] = cut(p, end)
    names.count += 1
    return True


cdef inline const sip_byte *end_of(const sip_byte *p, const sip_byte *end, int kind) noexcept nogil:
    """Where the run of such bytes ends that begins at p."""
    while p < end and sip_is(p[0], kind):
        p += 1
    return p


cdef const sip_byte *scan_port(const sip_byte *p, const sip_byte *end, int *port) noexcept nogil:
    """The end of a number up to 65535 in at most five digits; NULL for anything else."""
    cdef const sip_byte *start = p
    cdef int number = 0
    while p < end and sip_is_digit(p[0]) and p - start < 5:
        number = number * 10 + (p[0] - c"0")
        p += 1
    if p == start or number > 65535 or (p < end and sip_is_digit(p[0])):
        return NULL
    port[0] = number
    return p


cdef const sip_byte *scan_name_or_ipv4(const sip_byte *p, const sip_byte *end) noexcept nogil:
    """The end of a host name or an IPv4 address, as uri.is_host has them; NULL where it is neither, or is unusual."""
    cdef const sip_byte *start = p
    cdef const sip_byte *label
    if p < end and sip_is_digit(p[0]):
        label = scan_ipv4(p, end)
        if label != NULL and (label == end or not sip_is(label[0], SIP_HOST)):
            return label
    while p < end and sip_is(p[0], SIP_HOST):
        # A hyphen and a dot stand behind a letter or digit; a hyphen may stand behind another.
        if p[0] < c"0" and (p == start or (p - 1)[0] == c"." or ((p - 1)[0] == c"-" and p[0] == c".")):
            return NULL
        p += 1
    if p == start or (p - 1)[0] < c"0":
        return NULL
    label = p
    while label > start and sip_is_digit((label - 1)[0]):
        label -= 1
    if label < p and (label == start or (label - 1)[0] == c"."):
        return NULL  # a last label that is a number is an IPv4 address, or wrong
    return p


cdef const sip_byte *scan_ipv4(const sip_byte *p, const sip_byte *end) noexcept nogil:
    """The end of four numbers up to 255 of at most three digits; NULL where that is not what stands here."""
    cdef int numbers = 0, number
    cdef const sip_byte *last
    while True:
        number = 0
        last = p + 3 if end - p > 3 else end
        if p == end or not sip_is_digit(p[0]):
            return NULL
        while p < last and sip_is_digit(p[0]):
            number = number * 10 + (p[0] - c"0")
            p += 1
        numbers += 1
        if number > 255:
            return NULL
        if numbers == 4:
            return p
        if p == end or p[0] != c".":
            return NULL
        p += 1


cdef const sip_byte *scan_ipv6(const sip_byte *p, const sip_byte *end) noexcept nogil:
    """The end of an IPv6 address in hexadecimal groups; NULL where it is not one, or has an IPv4 address in it."""
    cdef int groups = 0, digits = 0
    cdef bint gap = False
    if end - p >= 2 and p[0] == c":" and p[1] == c":":
        gap = True
        p += 2
    while p < end and sip_is(p[0], SIP_HEX):
        digits = 0
        while p < end and sip_is(p[0], SIP_HEX):
            digits += 1
            p += 1
        groups += 1
        if digits > 4 or groups > 8:
            return NULL
        if p == end or p[0] != c":":
            break
        if end - p >= 2 and p[1] == c":":
            if gap:
                return NULL
            gap = True
            p += 2
        elif end - p >= 2 and sip_is(p[1], SIP_HEX):
            p += 1
        else:
            return NULL
    return p if groups == 8 and not gap or groups < 8 and gap else NULL


cdef const sip_byte *scan_host(const sip_byte *p, const sip_byte *end, Slice *host, int *port) noexcept nogil:
    """The end of host and port; NULL for what is unusual or no host."""
    host.p = p
    port[0] = -1
    if p < end and p[0] == c"[":
        p = scan_ipv6(p + 1, end)
        if p == NULL or p == end or p[0] != c"]":
            return NULL
        p += 1
    else:
        p = scan_name_or_ipv4(p, end)
        if p == NULL:
            return NULL
    host.end = p
    if p < end and p[0] == c":":
        return scan_port(p + 1, end, port)
    return p


cdef const sip_byte *scan_param(const sip_byte *p, const sip_byte *end, Names *names, Slice *name, Slice *value) noexcept nogil:
    """The end of a header parameter without quotes and blanks; NULL for another, or one that was there before."""
    name[0] = cut(p, sip_token_end(p, end))
    value[0] = cut(NULL, NULL)
    if name.end == p or not is_new(names, name.p, name.end):
        return NULL
    if name.end == end or name.end[0] != c"=":
        return name.end
    value[0] = cut(name.end + 1, end_of(name.end + 1, end, SIP_VALUE))
    if value.p == value.end:
        return NULL
    return value.end


cdef bint scan_uri_params(const sip_byte *p, const sip_byte *end) noexcept nogil:
    """Whether `;`-parameters of a URI, without escapes, are all that is left."""
    cdef Names names
    cdef const sip_byte *name
    names.count = 0
    while p < end and p[0] == c";":
        name = p + 1
        p = end_of(name, end, SIP_URI_PARAM)
        if p == name or not is_new(&names, name, p):
            return False
        if p < end and p[0] == c"=":
            name = p + 1
            p = end_of(name, end, SIP_URI_PARAM)
            if p == name:
                return False
    return p == end


cdef bint scan_uri(const sip_byte *p, const sip_byte *end, UriParts *uri) noexcept nogil:
    """A SIP or SIPS URI without password, escapes and headers, or a tel URI with a global number."""
    cdef const sip_byte *at
    uri.user = uri.params = cut(NULL, NULL)
    uri.tel = end - p > 4 and memcmp(p, b"tel:", 4) == 0
    uri.secure = end - p > 5 and memcmp(p, b"sips:", 5) == 0
    if uri.tel:
        at = p + 5
        while at < end and (sip_is_digit(at[0]) or at[0] == c"-" or at[0] == c"."):
            at += 1
        if p[4] != c"+" or end - p < 6 or not sip_is_digit(p[5]):
            return False
        uri.user = cut(p + 4, at)
        p = at
    else:
        if not uri.secure and (end - p < 5 or memcmp(p, b"sip:", 4) != 0):
            return False
        p += 5 if uri.secure else 4
        at = <const sip_byte *>memchr(p, c"@", end - p)
        if at != NULL:
            if at == p or end_of(p, at, SIP_USER) != at:
                return False
            uri.user = cut(p, at)
            p = at + 1
        p = scan_host(p, end, &uri.host, &uri.port)
        if p == NULL:
            return False
    if p < end and p[0] == c";":
        uri.params = cut(p + 1, end)
    return scan_uri_params(p, end)


cdef bint scan_via(const sip_byte *p, const sip_byte *end, ViaParts *via) noexcept nogil:
    """The first Via of a list."""
    cdef Names names
    cdef Slice name, value
    names.count = 0
    via.params = via.branch = via.received = via.received_value = via.rport = cut(NULL, NULL)
    via.rport_number = -1
    if end - p < 8 or memcmp(p, b"SIP/2.0/", 8) != 0:
        return False
    via.transport = cut(p + 8, sip_token_end(p + 8, end))
    p = via.transport.end
    if p == via.transport.p or p == end or p[0] != c" ":
        return False
    p = scan_host(p + 1, end, &via.host, &via.port)
    if p != NULL and p < end and p[0] == c";":
        via.params.p = p + 1
    while p != NULL and p < end and p[0] == c";":
        p = scan_param(p + 1, end, &names, &name, &value)
        if p != NULL and not note_via_param(via, name, value):
            return False
    if p == NULL or (p < end and p[0] != c","):
        return False
    via.params.end = via.end = p
    return True


cdef bint note_via_param(ViaParts *via, Slice name, Slice value) noexcept nogil:
    cdef const sip_byte *p
    cdef Py_ssize_t length = name.end - name.p
    if length == 6 and is_word(name.p, name.end, b"branch", 6):
        via.branch = value
        return value.p != NULL
    if length == 5 and is_word(name.p, name.end, b"rport", 5):
        via.rport = cut(name.p, name.end if value.p == NULL else value.end)
        via.rport_number = 0
        return value.p == NULL or (scan_port(value.p, value.end, &via.rport_number) == value.end and via.rport_number > 0)
    if length == 8 and is_word(name.p, name.end, b"received", 8):
        via.received = cut(name.p, value.end)
        via.received_value = value
        if value.p == NULL:
            return False
        p = scan_name_or_ipv4(value.p, value.end)
        return p == value.end or scan_ipv6(value.p, value.end) == value.end
    return not is_word(name.p, name.end, b"maddr", 5) and not is_word(name.p, name.end, b"ttl", 3)


cdef const sip_byte *scan_display(const sip_byte *p, const sip_byte *end, AddressParts *address) noexcept nogil:
    """The place of the < behind a display name, or of a URI without <>; NULL for what is unusual."""
    cdef const sip_byte *start = p
    address.display = cut(NULL, NULL)
    if p < end and p[0] == c'"':
        p += 1
        while p < end and p[0] != c'"':
            if p[0] == c"\\" or sip_is_control(p[0]):
                return NULL
            p += 1
        if p == end:
            return NULL
        address.display = cut(start + 1, p)
        p += 1
        if p < end and p[0] == c" ":
            p += 1
        return p if p < end and p[0] == c"<" else NULL
    while p < end and (sip_is_token(p[0]) or p[0] == c" "):
        p += 1
    if p == end or p[0] != c"<":
        return start
    if p != start:
        if sip_is_blank(start[0]):
            return NULL
        address.display = cut(start, p)
        while sip_is_blank((address.display.end - 1)[0]):
            address.display.end -= 1
    return p


cdef bint scan_address(const sip_byte *p, const sip_byte *end, AddressParts *address) noexcept nogil:
    """One address, with or without <>."""
    cdef Names names
    cdef Slice name, value
    cdef const sip_byte *uri_end
    names.count = 0
    address.params = address.tag = cut(NULL, NULL)
    p = scan_display(p, end, address)
    if p == NULL or p == end:
        return False
    address.angle = p[0] == c"<"
    if address.angle:
        uri_end = <const sip_byte *>memchr(p, c">", end - p)
        if uri_end == NULL or not scan_uri(p + 1, uri_end, &address.uri):
            return False
        p = uri_end + 1
    else:
        uri_end = <const sip_byte *>memchr(p, c";", end - p)
        if uri_end == NULL:
            uri_end = end
        if memchr(p, c",", uri_end - p) != NULL or memchr(p, c"?", uri_end - p) != NULL:
            return False  # they must stand in <> (RFC 3261 20)
        if not scan_uri(p, uri_end, &address.uri):
            return False
        p = uri_end
    if p < end and p[0] == c";":
        address.params = cut(p + 1, end)
    while p < end and p[0] == c";":
        p = scan_param(p + 1, end, &names, &name, &value)
        if p == NULL:
            return False
        if is_word(name.p, name.end, b"tag", 3):
            address.tag = value
            if value.p == NULL:
                return False
    return p == end
