# Text: from bytes to str and back, and the names of SIP that are always the same str.


cdef inline sip_text bytes_text(bytes data) noexcept:
    cdef const sip_byte *p = <const sip_byte *>PyBytes_AS_STRING(data)
    return sip_run(p, p + PyBytes_GET_SIZE(data))


cdef inline sip_text ascii_text(str text) noexcept:
    """The bytes of an ASCII str."""
    cdef const sip_byte *p = <const sip_byte *>PyUnicode_DATA(text)
    return sip_run(p, p + PyUnicode_GET_LENGTH(text))


cdef inline str to_str(sip_text text, bint high):
    """The str of wire bytes, "" for nothing; where all are ASCII it is made without a second look at them."""
    cdef Py_ssize_t length = sip_length(text)
    if length < 2:
        return PyUnicode_DecodeUTF8(<const char *>text.p, length, "surrogateescape") if length else ""
    return decoded(text) if high else ascii_to_str(text)


cdef inline str ascii_to_str(sip_text text):
    cdef str made = PyUnicode_New(sip_length(text), 127)
    sip_put(<sip_byte *>PyUnicode_DATA(made), text.p, sip_length(text))
    return made


cdef str decoded(sip_text text):
    """The str of bytes that are UTF-8, or anything."""
    cdef sip_chars chars = sip_count_chars(text)
    if chars.count == sip_length(text) and not chars.escaped:
        return ascii_to_str(text)
    if not chars.escaped:
        return PyUnicode_DecodeUTF8(<const char *>text.p, sip_length(text), NULL)
    cdef str made = PyUnicode_New(chars.count, chars.largest)
    cdef int kind = PyUnicode_KIND(made)
    cdef void *to = PyUnicode_DATA(made)
    cdef size_t at
    for at in range(chars.count):
        PyUnicode_WRITE(kind, to, at, sip_next_char(&text.p, text.end))
    return made


cdef inline str to_str_or_none(sip_text text):
    """An ASCII part of a value, None where it is not there."""
    return None if text.p == NULL else to_str(text, False)


cdef bytes unfolded(sip_text value):
    """A value with one space where a fold stood."""
    cdef bytes room = PyBytes_FromStringAndSize(NULL, sip_length(value))
    cdef sip_byte *end = sip_unfold(<sip_byte *>PyBytes_AS_STRING(room), value)
    # Not room[:n]: that makes a slice, at which the collector may run.
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(room), end - <sip_byte *>PyBytes_AS_STRING(room))


# ---------------------------------------------------------------- methods and header names


cdef inline Py_ssize_t method_place(sip_byte first, Py_ssize_t length) noexcept:
    """A place for each known method, by its first letter and its length."""
    return ((<Py_ssize_t>first << 3) + length) & 63


cdef list place_methods():
    cdef list places = [""] * 64
    cdef Py_ssize_t place
    for method in METHODS:
        place = method_place(ord(method[0]), len(method))
        if places[place]:
            raise ImportError(f"methods {method} and {places[place]} share a place; see method_place")
        places[place] = method
    return places


cdef list METHOD_PLACES = place_methods()


cdef inline bint is_str(sip_text text, str known) noexcept:
    """Whether a text is that of an ASCII str."""
    cdef size_t length = PyUnicode_GET_LENGTH(known)
    return sip_length(text) == length and memcmp(text.p, PyUnicode_DATA(known), length) == 0


cdef str method_str(sip_text method):
    """A method; a known one is always the same object."""
    if method.p == method.end:
        return ""
    cdef str known = <str>METHOD_PLACES[method_place(method.p[0], sip_length(method))]
    return known if is_str(method, known) else to_str(method, False)


cdef str scheme_str(sip_text uri):
    """What stands before the first colon of a URI, in lower case, "" where there is none.

    The schemes of SIP are always the same object.
    """
    cdef const sip_byte *colon = sip_find(uri, c":")
    cdef sip_text scheme = sip_run(uri.p, uri.p if colon == NULL else colon)
    cdef str known
    for known in ("sip", "sips"):
        if is_str(scheme, known):
            return known
    return to_str(scheme, True).lower()


cdef list NAMES = list(HEADER_NAMES)


cdef int load_names() except -1:
    """Teach the C rooms the header names, and make sure that both mean the same by a number."""
    cdef int id
    sip_start_kinds()
    for id in range(SIP_OWN_NAMES):
        if NAMES[id].encode() != sip_own_names[id]:
            raise ImportError(f"place {id} of HEADER_NAMES is {NAMES[id]!r}, and {sip_own_names[id]!r} in _names.h")
    if sip_find_id(sip_run(<const sip_byte *>sip_own_names[SIP_VIA], <const sip_byte *>sip_own_names[SIP_VIA] + 3)):
        return 0  # another interpreter of this process has done it
    for number, name in [*enumerate(NAMES), *[(NAMES.index(long), short) for short, long in COMPACT_FORMS.items()]]:
        if name and sip_add_name(name.lower().encode(), len(name), number) < 0:
            raise ImportError(f"header name {name} does not fit into the table of _names.h")
    return 0


load_names()


def _tables():
    """What C knows of _grammar and _limits, for the test that compares them: classes of bytes, and limits."""
    classes = {
        "token": SIP_TOKEN, "control": SIP_CONTROL, "hex": SIP_HEX, "host": SIP_HOST,
        "value": SIP_PARAM_VALUE, "user": SIP_USER, "uri-param": SIP_URI_PARAM,
    }
    limits = {
        "LARGEST_MAX_SIZE": SIP_LONGEST, "MAX_CONTENT_LENGTH": SIP_LARGEST_CONTENT_LENGTH, "MAX_CSEQ": SIP_LARGEST_CSEQ,
        "LARGEST_MAX_FORWARDS": SIP_LARGEST_MAX_FORWARDS, "MAX_PORT": SIP_LARGEST_PORT,
        "MAX_PARTS": SIP_MOST_PARTS,
    }
    return {name: {byte for byte in range(256) if sip_is(byte, kind)} for name, kind in classes.items()}, limits


cdef sip_text name_text(name) except *:
    """A header name that a caller asks for; nothing, which no header has, where it is not ASCII."""
    if not isinstance(name, str):
        raise TypeError(f"header name must be str, not {type(name).__name__}")
    if not PyUnicode_IS_ASCII(name):  # not "compact": an enum's member or another kind of str is not
        return sip_run(NULL, NULL)
    return ascii_text(<str>name)
