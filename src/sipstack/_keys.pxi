# Keys: which transaction and which dialog a message belongs to, where _values.h can read what that takes. `_keys.py`
# has the rules, and reads the rest.

cdef enum:
    KEY_SPACE = 512  # for a key that is written on the stack


cdef str transaction_key(Message m, str method):
    """The key of a transaction, under this method where there is one; None where that takes a closer look."""
    cdef sip_byte[KEY_SPACE] space
    cdef sip_via via
    cdef sip_text name = sip_run(NULL, NULL) if method is None else ascii_text(method)
    cdef Py_ssize_t at = find_id(m, SIP_VIA)
    if at < 0 or spans(m)[at].bits & SIP_FOLDED or not sip_read_via(span_value(m, &spans(m)[at]), &via):
        return None
    if not sip_is_rfc3261_branch(via.branch) or (method is None and not find_method(m, &name)):
        return None
    if sip_length(via.branch) + sip_length(via.host) + sip_length(name) + SIP_HOST_ROOM + 8 > KEY_SPACE:
        return None
    cdef sip_byte *to = sip_put(sip_put_lower(space, via.branch), b" ", 1)
    to = sip_put(sip_put_host(to, via.host), b":", 1)
    to = sip_put_number(to, via.port if via.port > 0 else sip_default_port(via.transport))
    to = sip_put(to, b" ", 1)
    to = sip_put(to, b"INVITE", 6) if is_str(name, "ACK") else sip_put_text(to, name)
    return to_str(sip_run(space, to), False)


cdef bint find_method(Message m, sip_text *method) noexcept:
    """The method of a request, or of the CSeq of a response, where that can be read here."""
    cdef sip_cseq cseq
    cdef Py_ssize_t at
    if not m.status_code:
        method[0] = method_part(m)
        return True
    at = find_id(m, SIP_CSEQ)
    if at < 0 or spans(m)[at].bits & SIP_FOLDED or not sip_read_cseq(span_value(m, &spans(m)[at]), &cseq):
        return False
    method[0] = cseq.method
    return True


cdef str dialog_id(Message m, bint sent):
    """The id of a dialog, "" outside of one; None where that takes a closer look."""
    cdef sip_byte[KEY_SPACE] space
    cdef sip_address sender, to
    cdef sip_text local, remote, call_id
    cdef bint to_is_local = (m.status_code == 0) != sent
    cdef Py_ssize_t at = find_id(m, SIP_CALL_ID)
    if not find_address(m, SIP_TO, &to):
        return None
    if to.tag.p == NULL:
        return ""
    if at < 0 or spans(m)[at].bits & SIP_FOLDED or not find_address(m, SIP_FROM, &sender):
        return None
    call_id = span_value(m, &spans(m)[at])
    local = to.tag if to_is_local else sender.tag
    remote = sender.tag if to_is_local else to.tag
    if sip_length(call_id) + sip_length(local) + sip_length(remote) + 2 > KEY_SPACE:
        return None
    cdef sip_byte *end = sip_put(sip_put_text(space, call_id), b" ", 1)
    end = sip_put_lower(sip_put(sip_put_lower(end, local), b" ", 1), remote)
    return to_str(sip_run(space, end), m.high)


cdef bint find_address(Message m, unsigned int id, sip_address *address) noexcept:
    """From or To, where it can be read here."""
    cdef Py_ssize_t at = find_id(m, id)
    return at >= 0 and read_common_address(m, &spans(m)[at], address)
