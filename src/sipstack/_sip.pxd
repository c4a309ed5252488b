"""What the compiled parser uses of the plain C rooms."""

from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef extern from "_bytes.h" nogil:
    ctypedef uint8_t sip_byte
    ctypedef struct sip_text:
        const sip_byte *p
        const sip_byte *end
        void *no_str  # there is none: without it a traced build shows p and end as str, and reads on to a NUL
    int SIP_TOKEN, SIP_CONTROL, SIP_HEX, SIP_HOST, SIP_PARAM_VALUE, SIP_USER, SIP_URI_PARAM
    uint32_t SIP_LONGEST
    int64_t SIP_LARGEST_CONTENT_LENGTH, SIP_LARGEST_CSEQ, SIP_LARGEST_MAX_FORWARDS, SIP_LARGEST_PORT
    void sip_start_kinds()
    bint sip_is(sip_byte c, int kind)
    bint sip_is_blank(sip_byte c)
    bint sip_has_control(sip_text text)
    sip_text sip_run(const sip_byte *p, const sip_byte *end)
    size_t sip_length(sip_text text)
    sip_text sip_trim(const sip_byte *p, const sip_byte *end)
    const sip_byte *sip_skip_blanks(const sip_byte *p, const sip_byte *end)
    const sip_byte *sip_find(sip_text text, char byte)
    bint sip_is_token(sip_text text)
    bint sip_same(sip_text a, sip_text b)
    sip_byte *sip_put(sip_byte *to, const void *data, size_t length)
    sip_byte *sip_put_text(sip_byte *to, sip_text text)
    sip_byte *sip_put_number(sip_byte *to, uint32_t number)
    int64_t sip_number(sip_text text, int64_t most)

cdef extern from "_names.h" nogil:
    enum:
        SIP_UNKNOWN, SIP_VIA, SIP_FROM, SIP_TO, SIP_CALL_ID, SIP_CSEQ, SIP_MAX_FORWARDS, SIP_CONTENT_LENGTH,
        SIP_CONTACT, SIP_ROUTE, SIP_RECORD_ROUTE, SIP_CONTENT_TYPE, SIP_RACK, SIP_TIMESTAMP, SIP_OWN_NAMES
    const char *sip_own_names[]
    int sip_add_name(const char *lower, size_t length, unsigned int id)
    unsigned int sip_find_id(sip_text name)

cdef extern from "_head.h" nogil:
    ctypedef struct sip_span:
        uint32_t name, value, value_end, line_end, bits
    ctypedef struct sip_start_line:
        uint32_t method, uri, version, reason
        int status
    ctypedef struct sip_head:
        sip_start_line line
        uint32_t start, line_end, count, body
        int64_t content_length
        int high
    uint32_t SIP_OWNED, SIP_FOLDED
    uint32_t sip_bits(size_t name_length, uint32_t flags, unsigned int id)
    unsigned int sip_id(const sip_span *span)
    uint32_t sip_name_length(const sip_span *span)
    void sip_move(sip_span *span, uint32_t by)
    bint sip_read_start_line(sip_start_line *line, sip_text text)
    bint sip_read_head(sip_head *head, sip_span *spans, uint32_t room, const sip_byte *data, const sip_byte *end)

cdef extern from "_utf8.h" nogil:
    ctypedef struct sip_chars:
        size_t count
        uint32_t largest
        int escaped
    uint32_t sip_next_char(const sip_byte **at, const sip_byte *end)
    sip_chars sip_count_chars(sip_text text)

cdef extern from "_values.h" nogil:
    ctypedef struct sip_uri:
        sip_text user, host, params
        int port
        bint secure, tel
    ctypedef struct sip_via:
        sip_text transport, host, params, branch, received
        int port, rport
        const sip_byte *end
    ctypedef struct sip_address:
        sip_text display, params, tag
        sip_uri uri
        bint angle
    ctypedef struct sip_cseq:
        sip_text method
        int64_t number
    size_t SIP_MOST_PARTS
    bint sip_read_uri(sip_text text, sip_uri *uri)
    bint sip_read_via(sip_text text, sip_via *via)
    bint sip_read_address(sip_text text, sip_address *address)
    bint sip_read_cseq(sip_text text, sip_cseq *cseq)

cdef extern from "_rewrite.h" nogil:
    size_t SIP_STAMP_ROOM
    sip_byte *sip_unfold(sip_byte *to, sip_text value)
    const sip_byte *sip_element_end(sip_text items)
    sip_text sip_first_element(sip_text items)
    const sip_byte *sip_skip_commas(const sip_byte *p, const sip_byte *end)
    bint sip_has_tag(sip_text address)
    sip_byte *sip_add_tag(sip_byte *start, sip_byte *end, sip_text tag)
    sip_byte *sip_stamp(sip_byte *to, sip_text value, sip_text source, uint32_t port, int *asked)

cdef extern from "_keys.h" nogil:
    size_t SIP_HOST_ROOM
    sip_byte *sip_put_lower(sip_byte *to, sip_text text)
    sip_byte *sip_put_host(sip_byte *to, sip_text host)
    bint sip_is_rfc3261_branch(sip_text branch)
    uint32_t sip_default_port(sip_text transport)

cdef extern from "_forward.h" nogil:
    enum:
        SIP_COOKIE_SIZE, SIP_HASH_SIZE, SIP_HOP_ROOM
    const char *SIP_COOKIE
    ctypedef struct sip_hash:
        unsigned int length
    ctypedef struct sip_hop:
        sip_text text, transport, host, signature
        int port
    bint sip_read_signed_hop(sip_text text, sip_hop *hop)
    bint sip_names_a_way(sip_text params)
    bint sip_is_secure(sip_text uri)
    bint sip_has_maddr(sip_text text)
    sip_hash sip_start_hash(const sip_byte *key)
    void sip_add_to_hash(sip_hash *h, sip_text text)
    void sip_add_line_to_hash(sip_hash *h, sip_text text)
    sip_byte *sip_put_hex(sip_byte *to, uint32_t number)
    sip_byte *sip_put_hash(sip_byte *to, sip_hash h)
    bint sip_is_plain_via(const sip_via *via)
    sip_text sip_response_host(const sip_via *via)
    int sip_response_port(const sip_via *via)
    sip_byte *sip_put_response_hop(sip_byte *to, const sip_via *via)
    bint sip_has_branch(sip_text line, const sip_byte *part)
