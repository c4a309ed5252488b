# The short way of a datagram through an endpoint: what nearly all of them need, with no Python frame between.

from .errors import SerializeError


cdef extern from "Python.h":
    bint PyCoro_CheckExact(object value)

cdef enum:
    MOST_ROUTES = 32

cdef unsigned int REQUIRE = header_id("Require")


@cython.final
cdef class Shortcut:
    """Takes datagrams to the handlers of their methods and collects the answers, where nothing is out of the ordinary.

    Ordinary is a request that can be read, whose method has a handler here; in which `check` finds nothing, of a
    scheme that is let through, without a Require (with `validate`); a handler that answers a response at once; and
    an rport in its Via, but for ACK. A response goes to `on_response(response, addr)`. The rest is handed to
    `on_datagram(data, addr)`, `on_error(request, addr, error)`, and what a handler returned to
    `on_result(request, result, addr, target)` or, if it is a coroutine, `on_coroutine`; the target is None where it is
    to be found. These are the whole of it: this is only faster. No state but the counters.
    """

    cdef tuple _methods, _handlers, _schemes
    cdef object _on_datagram, _on_response, _on_hook_error, _on_result, _on_coroutine, _on_error
    cdef bint _validate, _look_at_require
    cdef Py_ssize_t _max_size, _max_headers
    cdef uint64_t[MOST_ROUTES] _requests
    cdef uint64_t[700] _responses
    cdef uint64_t _received
    cdef Py_ssize_t _ack

    def __init__(
        self, handlers, *, on_datagram, on_response, on_hook_error, on_result, on_coroutine, on_error, bint validate, schemes,
        bint look_at_require, Py_ssize_t max_size, Py_ssize_t max_headers,
    ):
        cdef list some = list(handlers.items())[:MOST_ROUTES]
        self._methods = tuple([method.encode("utf-8", "surrogateescape") for method, _ in some])
        self._handlers = tuple([handler for _, handler in some])
        self._ack = self._methods.index(b"ACK") if b"ACK" in self._methods else -1
        self._schemes = tuple([f"{scheme}:".encode() for scheme in schemes])
        self._on_datagram, self._on_error = on_datagram, on_error
        self._on_response, self._on_hook_error = on_response, on_hook_error
        self._on_result, self._on_coroutine = on_result, on_coroutine
        self._validate, self._look_at_require = validate, look_at_require
        self._max_size, self._max_headers = max_size, max_headers

    def counts(self):
        """What went this way so far: requests by method, responses by status, and responses that were received."""
        cdef int at
        requests = {}
        for at in range(len(self._methods)):
            requests[self._methods[at].decode("utf-8", "surrogateescape")] = self._requests[at]
        return requests, {at: self._responses[at] for at in range(700) if self._responses[at]}, self._received

    def run(self, batch, list outbox):
        """Takes `(data, addr)` pairs; appends the pairs that are to be sent to `outbox`."""
        cdef Message request
        cdef Py_ssize_t route
        cdef bint symmetric
        for data, addr in batch:
            route = -1
            request = self._read_ordinary(data) if type(data) is bytes and is_pair(addr) else None
            if request is not None:
                if request.status:
                    self._received += 1
                    self._take_response(request, addr)
                    continue
                route = self._route_of(request)
            if route < 0:
                self._on_datagram(data, addr)
                continue
            try:
                symmetric = stamp_top_via(request, (<tuple>addr)[0], (<tuple>addr)[1])
            except (HeaderError, SerializeError, TypeError):
                self._on_datagram(data, addr)
                continue
            self._requests[route] += 1
            symmetric = symmetric and route != self._ack  # which is never answered: on_result sees to that
            try:
                result = (<object>self._handlers[route])(request, addr)
                if symmetric and type(result) is Message and (<Message>result).status:
                    outbox.append((written(<Message>result), addr))
                    self._responses[(<Message>result).status] += 1
                    continue
            except Exception as error:
                self._on_error(request, addr, error)
                continue
            if PyCoro_CheckExact(result):
                self._on_coroutine(request, result, addr, addr if symmetric else None)
            elif result is not None:
                self._on_result(request, result, addr, addr if symmetric else None)

    cdef _take_response(self, Message response, addr):
        if self._on_response is not None:
            try:
                self._on_response(response, addr)
            except Exception as error:
                self._on_hook_error(self._on_response, (response, addr), error)

    cdef Message _read_ordinary(self, bytes data):
        """The response or the ordinary request in these bytes."""
        cdef sip_span few[FEW]
        cdef Head head
        cdef Message m
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef const sip_byte *p = <const sip_byte *>PyBytes_AS_STRING(data)
        if size > self._max_size or self._max_headers > FEW:
            return None
        if read_head(&head, few, <uint32_t>self._max_headers, p, p + size) != FINE:
            return None
        m = make(data, &head, few)
        if self._validate and not m.status:
            if not (is_in_order(m) and self._lets_through(m)):
                return None
            if self._look_at_require and find_id(m, REQUIRE) >= 0:
                return None
        return m

    cdef Py_ssize_t _route_of(self, Message m):
        """The place of the method's handler, -1 where it has none."""
        cdef Py_ssize_t at
        cdef bytes method
        for at in range(len(self._methods)):
            method = <bytes>self._methods[at]
            if PyBytes_GET_SIZE(method) == m.method_length:
                if memcmp(PyBytes_AS_STRING(method), line_text(m, 0), m.method_length) == 0:
                    return at
        return -1

    cdef bint _lets_through(self, Message m):
        """Whether the scheme of the Request-URI, in lower case, is one of those that are served."""
        cdef Py_ssize_t at, length
        cdef bytes scheme
        for at in range(len(self._schemes)):
            scheme = <bytes>self._schemes[at]
            length = PyBytes_GET_SIZE(scheme)
            if length < m.uri_length and memcmp(PyBytes_AS_STRING(scheme), line_text(m, m.method_length + 1), length) == 0:
                return True
        return False


cdef inline bint is_pair(addr) noexcept:
    return type(addr) is tuple and len(<tuple>addr) == 2


cdef inline bytes written(Message m):
    """A response's bytes; the handler may have shown it to other threads."""
    with cython.critical_section(m):
        return write(m)
