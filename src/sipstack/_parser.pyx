# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, embedsignature=True, embedsignature.format=clinic, binding=False
"""The compiled parser: bytes in, a table of spans, bytes out. See `_parser_py` for the same in plain Python.

`parse` keeps the message's bytes and notes where each header's name, value and line stand; no Python object is made for
a header until someone asks for it. An edit writes the new line into the message's own text (`owned`) and points one
entry of the table at it. Writing copies runs of lines that stand next to each other in one go.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject_Hash
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from functools import partial

from ._diagnose import diagnose as _diagnose
from ._shared import (
    DIALOG_METHODS,
    TAG_KEY,
    Headers,
    as_bytes,
    check_content_length,
    check_source,
    encode_body,
    encode_method,
    encode_name,
    encode_status,
    encode_tag,
    encode_uri,
    encode_value,
    pairs,
    parse_value,
    refuse_copied,
    read_length,
    split_first,
    split_off,
    stamp,
    unfold,
)
from .errors import HeaderError, ParseError
from .headers import ContentType, CSeq, NameAddr, RAck, Via, parse_contacts, parse_list, parse_max_forwards
from .methods import COMPACT_FORMS, HEADER_NAMES, METHODS, header_id, reason_phrase
from .uri import SipUri, TelUri, parse_uri
from .validation import check as check_message
from .validation import validate as validate_message

__all__ = ["Message", "parse"]

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_IS_ASCII(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    long PyLong_AsLongAndOverflow(object number, int *overflow)

cdef extern from "_scan.h" nogil:
    ctypedef uint8_t sip_byte
    ctypedef struct sip_span:
        uint32_t name, value, value_end, line_end, bits
    ctypedef struct sip_scanner:
        int high
    const uint32_t SIP_LONGEST
    const int SIP_WRONG
    const uint32_t SIP_OWNED
    const uint32_t SIP_FOLDED
    uint32_t sip_bits(size_t name_length, uint32_t flags, unsigned int id)
    unsigned int sip_id(const sip_span *span)
    uint32_t sip_name_length(const sip_span *span)
    const int SIP_HEX, SIP_HOST, SIP_VALUE, SIP_USER, SIP_URI_PARAM
    bint sip_is(sip_byte c, int kind)
    bint sip_is_token(sip_byte c)
    bint sip_is_control(sip_byte c)
    bint sip_is_blank(sip_byte c)
    bint sip_is_digit(sip_byte c)
    sip_byte sip_lower(sip_byte c)
    const sip_byte *sip_token_end(const sip_byte *p, const sip_byte *end)
    void sip_scan_start(sip_scanner *s, const sip_byte *data, const sip_byte *p, const sip_byte *end)
    const sip_byte *sip_scan_line(sip_scanner *s, const sip_byte *data, int *found)
    bint sip_has_bad_control(const sip_byte *p, const sip_byte *end)
    sip_span *sip_read_usual(sip_scanner *scanner, const sip_byte *data, const sip_byte **line_at, sip_span *span,
                             const sip_span *room, int64_t *length_at)
    int sip_add_name(const char *lower, size_t length, unsigned int id)
    unsigned int sip_find_id(const sip_byte *p, size_t length, const sip_byte *end)
    int64_t sip_number(const sip_byte *p, const sip_byte *end)

cdef enum:
    VIA = 1
    FROM = 2
    TO = 3
    CALL_ID = 4
    CSEQ = 5
    MAX_FORWARDS = 6
    CONTENT_LENGTH = 7
    CONTACT = 8
    ROUTE = 9
    RECORD_ROUTE = 10
    CONTENT_TYPE = 11
    RACK = 12

    FEW = 256  # headers that are noted on the stack before the table is made; the usual limit

# The structured values that a message keeps once they were asked for.
cdef enum:
    THE_VIA = 0
    THE_FROM = 1
    THE_TO = 2
    THE_CSEQ = 3
    THE_URI = 4

cdef unsigned int TIMESTAMP = header_id("Timestamp")


def _load_names():
    for number, name in enumerate(HEADER_NAMES):
        if name and sip_add_name(name.lower().encode(), len(name), number) < 0:
            raise ImportError(f"header name {name} does not fit into the table of _scan.h")
    for short, name in COMPACT_FORMS.items():
        if sip_add_name(short.encode(), 1, HEADER_NAMES.index(name)) < 0:
            raise ImportError(f"compact form {short} does not fit into the table of _scan.h")


_load_names()

include "_read.pxi"
include "_usual.pxi"
include "_message.pxi"
include "_values.pxi"
include "_hop.pxi"
include "_class.pxi"
