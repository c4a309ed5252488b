/* The head of a message: from bytes to a table that says where the parts of the start line and each header stand.
 *
 * This only decides: the bytes are a message, or they are not. What is wrong with those that are not says _diagnose.py.
 */
#ifndef SIPSTACK_HEAD_H
#define SIPSTACK_HEAD_H

#include "_lines.h"
#include "_names.h"

/* One header: where its name, value and line stand, in the message or (owned) in the text its edits made. 20 bytes. */
typedef struct {
    uint32_t name, value, value_end, line_end;
    uint32_t bits; /* the name's length (22 bits), owned, folded, the header's id (8 bits) */
} sip_span;

#define SIP_OWNED (1u << 22)
#define SIP_FOLDED (1u << 23)

SIP_INLINE void sip_move(sip_span *span, uint32_t by) /* a move to the front wraps round */
{
    span->name += by;
    span->value += by;
    span->value_end += by;
    span->line_end += by;
}

/* A start line: the lengths of its parts, from which their places follow. status is 0 for a request. */
typedef struct {
    uint32_t method, uri, version, reason;
    int status;
} sip_start_line;

/* A head; all places count from the start of the data. */
typedef struct {
    sip_start_line line;
    uint32_t start, line_end, count, body; /* of the start line and its end; headers; where the body begins */
    int64_t content_length;                /* -1 where there is none */
    int high;                              /* whether there may be a byte over 0x7F */
} sip_head;

/* ---------------------------------------------------------------- start line */

/* "SIP/" in any case. */
SIP_INLINE int sip_is_status_line(sip_text line)
{
    sip_byte start[4];
    if (sip_length(line) < 4) return 0;
    for (int at = 0; at < 4; at++) start[at] = line.p[at] | (at < 3 ? 0x20 : 0);
    return memcmp(start, "sip/", 4) == 0;
}

/* The length of the SIP-Version that a text begins with, 0 where there is none (RFC 3261 25.1). */
SIP_INLINE size_t sip_version_length(sip_text text)
{
    const size_t length = sip_length(text);
    if (length >= 7 && memcmp(text.p, "SIP/2.0", 7) == 0 && (length == 7 || !sip_is_digit(text.p[7]))) return 7;
    if (!sip_is_status_line(text)) return 0;
    const sip_byte *p = text.p + 4, *digits = p;
    while (p < text.end && sip_is_digit(*p)) p++;
    if (p == digits || p == text.end || *p != '.') return 0;
    digits = ++p;
    while (p < text.end && sip_is_digit(*p)) p++;
    return p == digits ? 0 : (size_t)(p - text.p);
}

/* Method SP Request-URI SP SIP-Version, with two spaces (RFC 3261 7.1). */
SIP_INLINE int sip_read_request_line(sip_start_line *line, sip_text text)
{
    const sip_byte *method_end = sip_skip(text.p, text.end, SIP_TOKEN);
    if (method_end == text.p || method_end == text.end || *method_end != ' ') return 0;
    const sip_byte *uri = method_end + 1, *uri_end = sip_find(sip_run(uri, text.end), ' ');
    if (uri_end == NULL || uri_end == uri) return 0;
    line->method = (uint32_t)(method_end - text.p);
    line->uri = (uint32_t)(uri_end - uri);
    line->version = (uint32_t)(text.end - uri_end - 1);
    line->reason = 0;
    line->status = 0;
    return line->version && sip_version_length(sip_run(uri_end + 1, text.end)) == line->version;
}

/* SIP-Version SP Status-Code, then nothing or SP Reason-Phrase (RFC 3261 7.2). */
SIP_INLINE int sip_read_status_line(sip_start_line *line, sip_text text)
{
    const size_t version = sip_version_length(text);
    if (version == 0 || sip_length(text) < version + 4 || text.p[version] != ' ') return 0;
    const sip_byte *code = text.p + version + 1;
    if (*code < '1' || *code > '6' || !sip_is_digit(code[1]) || !sip_is_digit(code[2])) return 0;
    if (code + 3 < text.end && code[3] != ' ') return 0;
    line->method = line->uri = 0;
    line->version = (uint32_t)version;
    line->reason = text.end - code > 4 ? (uint32_t)(text.end - code - 4) : 0;
    line->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
    return 1;
}

/* A start line without its line end. */
SIP_INLINE int sip_read_start_line(sip_start_line *line, sip_text text)
{
    return sip_is_status_line(text) ? sip_read_status_line(line, text) : sip_read_request_line(line, text);
}

/* ---------------------------------------------------------------- headers */

/* A Content-Length, several of which must agree. */
SIP_INLINE int sip_note_content_length(sip_head *head, sip_text value)
{
    const int64_t length = sip_number(value, SIP_LARGEST_CONTENT_LENGTH);
    if (length < 0 || (head->content_length >= 0 && head->content_length != length)) return 0;
    head->content_length = length;
    return 1;
}

SIP_INLINE int sip_is_fold(sip_byte c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Notes the header at `line`, of any shape; `first` and `last` are its first and its last LF, which differ where it is
 * folded. `wrong` says that there is a control byte in it. */
static int sip_read_header(
    sip_head *head, sip_span *span, const sip_byte *data, const sip_byte *line, const sip_byte *first,
    const sip_byte *last, int wrong)
{
    const sip_byte *colon = sip_find(sip_run(line, first), ':');
    if (colon == NULL) return 0;
    const sip_byte *name_end = colon, *value = colon + 1, *end = last - (last[-1] == '\r');
    while (name_end > line && sip_is_blank(name_end[-1])) name_end--;
    const sip_text name = sip_run(line, name_end);
    const unsigned id = sip_find_id(name); /* a name that is known is a token */
    if ((id == SIP_UNKNOWN && !sip_is_token(name)) || (wrong && sip_has_bad_control(value, end))) return 0;
    while (value < end && sip_is_fold(*value)) value++;
    while (end > value && sip_is_fold(end[-1])) end--;
    const int folded = first != last && sip_find(sip_run(value, end), '\n') != NULL;
    span->name = (uint32_t)(line - data);
    span->value = (uint32_t)(value - data);
    span->value_end = (uint32_t)(end - data);
    span->line_end = (uint32_t)(last + 1 - data);
    span->bits = sip_bits(name_end - line, folded ? SIP_FOLDED : 0, id);
    return id != SIP_CONTENT_LENGTH || sip_note_content_length(head, sip_run(value, end));
}

/* Notes headers from *line_at on, as long as they have the shape that nine of ten have: a known name of up to 15
 * bytes, a colon right behind it, a value without control bytes, CR LF, no fold, no second Content-Length. The first
 * of another shape is left to sip_read_header, with *line_at at it and nothing of it taken from the scanner. Returns
 * where the next span goes.
 *
 * This loop is half of the time of parse: name, colon and key come from one load of 16 bytes. */
#ifdef SIPSTACK_SSE2
static sip_span *sip_read_headers(
    sip_head *head, sip_scanner *scanner, const sip_byte *data, const sip_byte **line_at, sip_span *span,
    const sip_span *room)
{
    sip_scanner s = *scanner;
    const sip_byte *line = *line_at;
    while (span < room && s.end - line >= 16) {
        while (s.mask == 0 && s.end - s.p > 64) {
            s.p += 64;
            sip_scan_block(&s, data);
        }
        if (s.mask == 0) break;
        const sip_byte *cr = s.p + sip_ctz(s.mask);
        if (s.end - cr < 3 || memcmp(cr, "\r\n", 2) != 0 || (cr[2] <= ' ' && cr[2] != '\r')) break;
        const __m128i text = _mm_loadu_si128((const __m128i *)line);
        const unsigned colons = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(':')));
        if (colons == 0) break;
        const unsigned length = sip_ctz(colons);
        const sip_byte *value = line + length + 1;
        /* A key is padded with SP: where the byte before the colon is over SP, equal keys have equal lengths. */
        if (value >= cr || value[-2] <= ' ' || cr[-1] <= ' ') break;
        value += *value == ' ';
        if (*value <= ' ') break;
        const uint32_t bits = sip_find_short_name(sip_key_of_16(text, length))->bits;
        if (bits == 0) break;
        if (bits >> 24 == SIP_CONTENT_LENGTH) {
            if (head->content_length >= 0 || !sip_note_content_length(head, sip_run(value, cr))) break;
        }
        *span++ = (sip_span){(uint32_t)(line - data), (uint32_t)(value - data), (uint32_t)(cr - data),
                             (uint32_t)(cr + 2 - data), bits};
        line = cr + 2;
        s.mask &= s.mask - 1;
        if (cr - s.p == 63) { /* the LF is in the next block, which is there: cr[2] is data */
            s.p += 64;
            sip_scan_block(&s, data);
        }
        s.mask &= s.mask - 1;
    }
    *scanner = s;
    *line_at = line;
    return span;
}
#else
#define sip_read_headers(head, scanner, data, line_at, span, room) (span)
#endif

/* ---------------------------------------------------------------- the whole head */

/* Reads a head into *head and at most `room` spans. 0: the data is no message. */
static int sip_read_head(sip_head *head, sip_span *spans, uint32_t room, const sip_byte *data, const sip_byte *end)
{
    const sip_byte *line = sip_skip_empty_lines(data, end), *first, *last;
    sip_span *span = spans;
    sip_scanner scanner;
    int found = 0;
    if (line == end) return 0;
    head->start = (uint32_t)(line - data);
    head->content_length = -1;
    sip_scan_start(&scanner, data, line, end);
    last = sip_scan_line(&scanner, data, &found);
    if (last == NULL || found & SIP_WRONG || last == line) return 0;
    const sip_text start_line = sip_run(line, last - (last[-1] == '\r'));
    if (!sip_read_start_line(&head->line, start_line)) return 0;
    if (found && head->line.status == 0) return 0; /* a tab */
    line = last + 1;
    head->line_end = (uint32_t)(line - data);
    if (line < end && sip_is_blank(*line)) return 0; /* a fold before the first header */
    for (;; line = last + 1) {
        span = sip_read_headers(head, &scanner, data, &line, span, spans + room);
        found = 0;
        first = last = sip_scan_line(&scanner, data, &found);
        if (last == NULL) return 0;
        if (last == line || (last == line + 1 && *line == '\r')) break;
        while (last + 1 < end && sip_is_blank(last[1])) {
            last = sip_scan_line(&scanner, data, &found);
            if (last == NULL) return 0;
        }
        if (span == spans + room) return 0;
        if (!sip_read_header(head, span++, data, line, first, last, found & SIP_WRONG)) return 0;
    }
    head->count = (uint32_t)(span - spans);
    head->body = (uint32_t)(last + 1 - data);
    head->high = scanner.high != 0;
    return head->content_length <= end - data - (int64_t)head->body;
}

#endif
