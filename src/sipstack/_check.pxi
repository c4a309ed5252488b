# The cheap half of validation, for every request of a busy server. `validation.check` says what is wrong, and says it
# again where this is not sure: a value that _values.h does not know.


cdef bint is_in_order(Message m) noexcept:
    """Whether `validation.check` would find nothing; no where that takes a closer look."""
    cdef uint32_t[SIP_OWN_NAMES] seen
    cdef sip_cseq cseq
    cdef const sip_span *span
    cdef Py_ssize_t at
    cdef unsigned int id
    memset(seen, 0, sizeof(seen))
    for at in range(m.count):
        span = &spans(m)[at]
        id = sip_id(span)
        if id >= SIP_OWN_NAMES:
            continue
        seen[id] += 1
        if (id == SIP_CSEQ or id == SIP_MAX_FORWARDS) and span.bits & SIP_FOLDED:
            return False
        if id == SIP_CSEQ and not (sip_read_cseq(span_value(m, span), &cseq) and is_method_of(m, cseq.method)):
            return False
        if id == SIP_MAX_FORWARDS and sip_number(span_value(m, span), SIP_LARGEST_MAX_FORWARDS) < 0:
            return False
    if not seen[SIP_VIA] or seen[SIP_FROM] != 1 or seen[SIP_TO] != 1 or seen[SIP_CALL_ID] != 1 or seen[SIP_CSEQ] != 1:
        return False
    if seen[SIP_MAX_FORWARDS] > 1 or seen[SIP_CONTENT_TYPE] > 1:
        return False
    return m.version_length == 7 and memcmp(version_part(m).p, b"SIP/2.0", 7) == 0


cdef inline bint is_method_of(Message m, sip_text method) noexcept:
    """Whether a method is the request's; a response's CSeq may have any."""
    if m.status_code:
        return True
    return sip_length(method) == m.method_length and memcmp(method.p, method_part(m).p, m.method_length) == 0
