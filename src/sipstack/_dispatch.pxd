# The types that `_dispatch_py.py` has when it is compiled as `_dispatch`: it is the same program without, and slower.

cimport cython
from sipstack cimport _first_steps, _parser

cdef extern from "_count.h":
    ctypedef unsigned long long sip_count


cdef unsigned int REQUIRE, VIA


@cython.final
cdef class Tally:
    cdef readonly sip_count count


@cython.final
cdef class Route:
    cdef readonly object handler
    cdef readonly bint answered
    cdef readonly Tally tally


@cython.final
cdef class Dispatcher:
    cdef readonly object config, reports, outbox, tasks
    cdef object parse, supported, answerable
    cdef dict counts, fallback
    cdef list waiting
    cdef readonly dict routes
    cdef readonly Route other
    cdef frozenset schemes
    cdef bint answers_cancel, validate, use_maddr, delivering
    cdef bint watches_datagrams, watches_requests, watches_events, watches_answers
    cdef object on_sip_response
    cdef _first_steps.FirstSteps steps
    cdef public bint counts_received
    cdef readonly sip_count responses_received
    cdef readonly list responses

    @cython.locals(message=_parser.Message)
    cdef receive(self, data, addr)
    @cython.locals(message=_parser.Message)
    cdef take_message(self, _parser.Message message, addr, data)
    cdef take_response(self, _parser.Message response, addr, data)
    @cython.locals(route=Route)
    cdef take_request(self, _parser.Message request, addr, data)
    @cython.locals(route=Route)
    cdef Route count_request(self, method)
    cdef judge(self, _parser.Message request)
    @cython.locals(response=_parser.Message)
    cpdef finish(self, _parser.Message request, result, addr, target, data)
    @cython.locals(steps=_first_steps.FirstSteps)
    cdef begin(self, _parser.Message request, work, addr, target, data)
    cpdef bint pass_on(self, message, addr) except -1
    cdef bint pass_pair(self, tuple pair) except -1
    @cython.locals(response=_parser.Message)
    cpdef refuse(self, _parser.Message request, addr, fault, Py_ssize_t size, target=*)
    @cython.locals(response=_parser.Message)
    cdef short_reply(self, _parser.Message request, fault, Py_ssize_t limit)
    @cython.locals(status=cython.int)
    cpdef count_sent(self, _parser.Message message)
    cdef put(self, _parser.Message message, addr, request)
    cpdef answer(self, _parser.Message request, _parser.Message response, addr, target)
