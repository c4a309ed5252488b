# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=clinic, binding=False
"""The compiled parser: bytes in, a table of spans, bytes out. See `_parser_py` for the same in plain Python.

Its rooms, in reading order: `_sip.pxd` (the plain C that knows bytes), `_parser.pxd` (what a Message is, and the
pointer rule), then the includes below, each one subject. `_parser_py` has the docstrings of both.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyObject_Hash
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memmove, memset

from sipstack._sip cimport *

from sys import modules

from . import _derived, _keys
from ._branches import SHORT, hash_long
from ._describe import describe as describe_message
from ._describe import describe_as_html
from ._diagnose import check_limits, diagnose
from ._forwarding import FROM_THERE, NOTHING_TAKEN, UNSIGNED
from ._forwarding import forward_request as forward_any_request
from ._forwarding import forward_response as forward_any_response
from ._forwarding import put_hop as put_any_hop
from ._forwarding import take_routes as take_any_routes
from ._limits import INITIAL_MAX_FORWARDS, MAX_HEADERS, MAX_SIZE, MAX_VALUES, STATUS_CODES
from ._node import Hop
from ._printable import cut
from ._view import Headers, check_own_view
from ._writing import (
    DIALOG_METHODS, INSTEAD, TAG_KEY, as_bytes, check_content_length, check_source, encode_body, encode_method,
    encode_name, encode_status, encode_tag, encode_uri, encode_value, header_items, header_pair, lines_apart,
    refuse_copied,
)
from .errors import HeaderError, ParseError, SerializeError
from .headers import (
    ContentType, RAck, parse_contacts, parse_hops, parse_max_forwards, parse_seconds, parse_value,
    parse_values,
)
from .headers._counts import DIVIDERS, check_counts
from .headers._via import parse_vias
from .methods import COMPACT_FORMS, HEADER_NAMES, METHODS
from .uri import parse_uri
from .validation import check as check_message
from .validation import validate as validate_message

__all__ = ["Message", "forward_request", "forward_response", "parse", "take_routes"]

cdef extern from "Python.h":
    ctypedef void *newfunc
    ctypedef struct PyTypeObject:
        newfunc tp_new
        void *tp_vectorcall
    # Of a field of a message: as an object, Cython would count a reference to it at each call.
    char *field_start "PyBytes_AS_STRING"(PyObject *data)
    Py_ssize_t field_size "PyBytes_GET_SIZE"(PyObject *data)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    int PyUnicode_KIND(object text)
    void PyUnicode_WRITE(int kind, void *data, Py_ssize_t at, Py_UCS4 character)
    bint PyUnicode_IS_ASCII(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_ssize_t PyNumber_AsSsize_t(object number, PyObject *overflow) except? -1
    long PyLong_AsLongAndOverflow(object number, int *overflow)
    void PyErr_SetString(PyObject *type, const char *text)

include "_text.pxi"
include "_table.pxi"
include "_edit.pxi"
include "_values.pxi"
include "_keys.pxi"
include "_build.pxi"
include "_forward.pxi"
include "_message.pxi"
include "_docs.pxi"
include "_shared.pxi"
