"""The compiled Message: what it is made of, and the rule that its code keeps.

THE POINTER RULE

A message moves under a pointer: an edit may move its headers in the table, and make a table or a text of another
size. Who edits may be another thread, a finalizer that the collector runs, or a conversion (`str(value)`) that was
given to the message itself. All of them run only while Python code can run. So:

    From taking a pointer into a message (from `spans`, `owned`, `wire`, a `sip_text` of them), or an index of a
    header, to its last use, nothing may run that can run Python code, start the collector or let another thread in.

Allowed in between is C, and making bytes, str and int, which no collector and no finalizer follows. Making any other
object, raising an error, calling Python and releasing an object of unknown type are not. A function keeps the rule in
one of three ways: it takes what it needs as str or bytes first; it works on bytes that nobody else has; or it looks
everything up afresh when `edits` says that the message was edited meanwhile.

A function that needs no Python between its first pointer and its last says so by `noexcept` or by raising only at its
end. The table, the text and the body of a message are bytes objects that nobody else ever sees; `raw` is never
replaced. Where there is no GIL, a message is locked (critical_section) for the length of each of these stretches.
"""

cimport cython
from libc.stdint cimport uint16_t, uint32_t


@cython.final
cdef class Values:
    """Structured values of a message that were read; None for one that was not."""

    cdef object uri, via, from_, to, cseq


@cython.final
cdef class Message:
    cdef bytes raw  # what was parsed, b"" for one that was built
    cdef bytes table  # the headers: `count` times a sip_span, and room for more
    cdef bytes text  # the start line and the headers that were edited: `text_size` bytes, and room for more
    cdef bytes new_body  # None where the body is that of raw, from body_at on
    cdef Values values  # structured values that were read since the last edit; None where none was
    cdef uint32_t count, text_size, body_at
    cdef uint32_t start, line_end  # the start line, in the text if start_owned, else in raw
    cdef uint32_t method_length, uri_length, version_length, reason_length  # its parts
    cdef uint32_t edits  # how many there were
    cdef readonly uint16_t status_code
    cdef unsigned char start_owned
    cdef unsigned char high  # whether there may be bytes over 0x7F

    cpdef str _method(self)
    cpdef str _scheme(self)
    cpdef bint _is_in_order(self)
    cpdef bint _has(self, unsigned int id)
    cpdef bint stamp_received(self, host, port) except -1
    cpdef bytes to_bytes(self)
