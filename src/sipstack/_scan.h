/* What the compiled parser does byte by byte: line ends, colons, header names, tokens.
 *
 * Every function takes the end of what it may read, and reads nothing at or behind it. SSE2 is there on every x86-64;
 * elsewhere the plain C below does the same. On one message of 13 lines, finding the line ends 64 bytes at a time and
 * checking for control bytes in the same pass costs about what thirteen calls of memchr cost without the check.
 */
#ifndef SIPSTACK_SCAN_H
#define SIPSTACK_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__SSE2__) || defined(_M_X64)) && !defined(SIPSTACK_NO_SIMD)
#define SIPSTACK_SSE2 1
#include <emmintrin.h>
#endif

#if defined(_MSC_VER)
#include <intrin.h>
#define SIP_INLINE static __forceinline
static __forceinline unsigned sip_ctz(uint64_t v) { unsigned long at; _BitScanForward64(&at, v); return (unsigned)at; }
#define SIP_LIKELY(x) (x)
#else
#define SIP_INLINE static inline __attribute__((always_inline))
#define sip_ctz(v) ((unsigned)__builtin_ctzll(v))
#define SIP_LIKELY(x) __builtin_expect(!!(x), 1)
#endif

typedef uint8_t sip_byte;

/* One header: where its name, value and line stand, in the message or (owned) in the text its edits made. 20 bytes. */
typedef struct {
    uint32_t name, value, value_end, line_end;
    uint32_t bits; /* the name's length (22 bits), owned, folded, the header's id (8 bits) */
} sip_span;

#define SIP_OWNED (1u << 22)
#define SIP_FOLDED (1u << 23)
#define sip_bits(name_length, flags, id) ((uint32_t)(name_length) | (flags) | (uint32_t)(id) << 24)
#define sip_id(span) ((span)->bits >> 24)
#define sip_name_length(span) ((span)->bits & SIP_LONGEST)
#define SIP_CONTENT_LENGTH 7 /* its place in methods.HEADER_NAMES */

#define SIP_LONGEST ((1u << 22) - 1)

/* ---------------------------------------------------------------- classes of bytes */

#define SIP_TOKEN 1      /* token (RFC 3261 25.1) */
#define SIP_CONTROL 2    /* control byte, HTAB and DEL included */
#define SIP_HEX 4
#define SIP_HOST 8       /* of a host name or an IPv4 address, the tolerated _ included */
#define SIP_VALUE 16     /* of a parameter's value without quotes: _values.VALUE_CHARS */
#define SIP_USER 32      /* of a URI's user, but for escapes */
#define SIP_URI_PARAM 64 /* of a URI's parameters, but for escapes: param-unreserved and unreserved */

#define D (SIP_TOKEN | SIP_HEX | SIP_HOST | SIP_VALUE | SIP_USER | SIP_URI_PARAM) /* digits, and A to F */
#define L (SIP_TOKEN | SIP_HOST | SIP_VALUE | SIP_USER | SIP_URI_PARAM)           /* the other letters, - and . */
#define M (SIP_TOKEN | SIP_VALUE | SIP_USER | SIP_URI_PARAM)                      /* ! * ' ~ */
#define K (SIP_TOKEN | SIP_VALUE)                                                 /* % ` */
#define U (SIP_USER | SIP_URI_PARAM)                                              /* ( ) */
#define V (SIP_VALUE | SIP_USER | SIP_URI_PARAM)                                  /* $ & / */
#define C SIP_CONTROL
#define W SIP_USER                                                                /* , ; ? */
#define B (SIP_VALUE | SIP_URI_PARAM)                                             /* : [ ] */
#define E (SIP_VALUE | SIP_USER)                                                  /* = */
#define P (SIP_TOKEN | SIP_VALUE | SIP_USER | SIP_URI_PARAM)                      /* + */
#define H (SIP_TOKEN | SIP_HOST | SIP_VALUE | SIP_USER | SIP_URI_PARAM)           /* _ */
#define A SIP_VALUE                                                               /* @ */
static const uint8_t sip_class[256] = {
    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    0, M, 0, 0, V, K, V, M, U, U, M, P, W, L, L, V, D, D, D, D, D, D, D, D, D, D, B, W, 0, E, 0, W,
    A, D, D, D, D, D, D, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, B, 0, B, 0, H,
    K, D, D, D, D, D, D, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, M, C,
};
#undef D
#undef L
#undef M
#undef K
#undef U
#undef V
#undef C
#undef W
#undef B
#undef E
#undef P
#undef H
#undef A

SIP_INLINE int sip_is(sip_byte c, int kind) { return sip_class[c] & kind; }
SIP_INLINE int sip_is_token(sip_byte c) { return sip_class[c] & SIP_TOKEN; }
SIP_INLINE int sip_is_control(sip_byte c) { return (sip_class[c] & SIP_CONTROL) && c != '\t'; }
SIP_INLINE int sip_is_blank(sip_byte c) { return c == ' ' || c == '\t'; }
SIP_INLINE int sip_is_digit(sip_byte c) { return (unsigned)(c - '0') < 10; }
SIP_INLINE sip_byte sip_lower(sip_byte c) { return (unsigned)(c - 'A') < 26 ? c | 0x20 : c; }

/* Where the token that begins at p ends. */
SIP_INLINE const sip_byte *sip_token_end(const sip_byte *p, const sip_byte *end)
{
    while (p < end && sip_is_token(*p)) p++;
    return p;
}

/* ---------------------------------------------------------------- the line scanner */

/* Hands out the control bytes of a head in order, CR LF as one. It looks at 64 bytes at a time: what it finds of them
 * waits in `mask`, a bit a byte. So the line ends are found, and the rest of the head is checked, in one pass. */
typedef struct {
    const sip_byte *p, *end; /* the block, and the end of the data */
    uint64_t mask;           /* the control bytes of the block that are yet to be handed out */
    int high;                /* whether a byte over 0x7F was seen (in the head, or close behind it) */
} sip_scanner;

#ifdef SIPSTACK_SSE2
SIP_INLINE uint64_t sip_controls16(const sip_byte *p, __m128i *seen)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    *seen = _mm_or_si128(*seen, v);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
}

SIP_INLINE uint64_t sip_controls64(const sip_byte *p, int *high)
{
    __m128i seen = _mm_setzero_si128();
    const uint64_t mask = sip_controls16(p, &seen) | sip_controls16(p + 16, &seen) << 16
                          | sip_controls16(p + 32, &seen) << 32 | sip_controls16(p + 48, &seen) << 48;
    *high |= _mm_movemask_epi8(seen);
    return mask;
}
#else
SIP_INLINE uint64_t sip_controls64(const sip_byte *p, int *high)
{
    uint64_t mask = 0;
    sip_byte seen = 0;
    for (unsigned at = 0; at < 64; at++) {
        mask |= (uint64_t)((sip_class[p[at]] & SIP_CONTROL) != 0) << at;
        seen |= p[at];
    }
    *high |= seen & 0x80;
    return mask;
}
#endif

/* Looks at the block at s->p, of which 1 to 64 bytes are data. A short last block is read together with the bytes before
 * it, where the data has so many. */
SIP_INLINE void sip_scan_block(sip_scanner *s, const sip_byte *data)
{
    const size_t left = (size_t)(s->end - s->p);
    if (SIP_LIKELY(left >= 64)) {
        s->mask = sip_controls64(s->p, &s->high);
    } else if (s->end - data >= 64) {
        s->mask = sip_controls64(s->end - 64, &s->high) >> (64 - left);
    } else {
        sip_byte last[64] = {0};
        memcpy(last, s->p, left);
        s->mask = sip_controls64(last, &s->high) & (((uint64_t)1 << left) - 1);
    }
}

/* The next control byte, or NULL at the end of the data. */
SIP_INLINE const sip_byte *sip_scan_next(sip_scanner *s, const sip_byte *data)
{
    while (s->mask == 0) {
        if (s->end - s->p <= 64) return NULL;
        s->p += 64;
        sip_scan_block(s, data);
    }
    const unsigned at = sip_ctz(s->mask);
    s->mask &= s->mask - 1;
    return s->p + at;
}

#define SIP_WRONG 1 /* a byte that may not stand in a head: a control byte other than HTAB, or a CR without LF */
#define SIP_TAB 2

/* The next LF; what comes before it is noted in *found. NULL where there is none. `data` is where the data begins. */
SIP_INLINE const sip_byte *sip_scan_line(sip_scanner *s, const sip_byte *data, int *found)
{
    for (;;) {
        const sip_byte *at = sip_scan_next(s, data);
        if (at == NULL) return NULL;
        if (SIP_LIKELY(*at == '\r' && at + 1 < s->end && at[1] == '\n')) {
            if (at - s->p == 63) return sip_scan_next(s, data);
            s->mask &= s->mask - 1;
            return at + 1;
        }
        if (*at == '\n') return at;
        *found |= *at == '\t' ? SIP_TAB : SIP_WRONG;
    }
}

SIP_INLINE void sip_scan_start(sip_scanner *s, const sip_byte *data, const sip_byte *p, const sip_byte *end)
{
    s->p = p;
    s->end = end;
    s->high = 0;
    sip_scan_block(s, data);
}

/* Whether a value (its folds included) holds a control byte where none may stand: one may behind a backslash in a
 * quoted string, but never CR or LF (RFC 3261 25.1). The same rule as _diagnose.bad_control. */
static int sip_has_bad_control(const sip_byte *p, const sip_byte *end)
{
    int quoted = 0;
    for (; p < end; p++) {
        if (*p == '"') quoted = !quoted;
        else if (*p == '\\' && quoted && p + 1 < end && p[1] != '\r' && p[1] != '\n') p++;
        else if (*p == '\r') { if (p + 1 == end || p[1] != '\n') return 1; }
        else if (*p == '\n') { if (p + 1 == end || !sip_is_blank(p[1])) return 1; }
        else if (sip_is_control(*p)) return 1;
    }
    return 0;
}

/* ---------------------------------------------------------------- header names */

/* The names of methods.HEADER_NAMES, and a table that finds a name by its first 16 bytes. A name's key is those bytes with
 * zeros behind a shorter one, and bit 0x20 set in each: that folds A-Z exactly and, but for CR, turns nothing that is no
 * letter and no hyphen into one, and known names hold nothing else. */
typedef struct { uint64_t first, second; } sip_key;
typedef struct { sip_key key; sip_byte text[40]; uint32_t length, id; } sip_name; /* 64 bytes */
#define SIP_LONGEST_NAME 32
#define SIP_PLACE_BITS 10
static sip_name sip_names[256]; /* the first stays empty: it is what a search that finds nothing ends at */
static uint8_t sip_places[1 << SIP_PLACE_BITS];
static unsigned sip_name_count = 1;

#define SIP_LOWER8 0x2020202020202020ull

SIP_INLINE sip_key sip_key_of(const sip_byte *name, size_t length, const sip_byte *end)
{
    sip_key key;
#ifdef SIPSTACK_SSE2
    if (SIP_LIKELY(end - name >= 16)) {
        /* A window of this starts with as many 0xFF as the name has bytes. */
        static const sip_byte masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
        const __m128i mask = _mm_loadu_si128((const __m128i *)(masks + 16 - (length < 16 ? length : 16)));
        const __m128i text = _mm_and_si128(_mm_loadu_si128((const __m128i *)name), mask);
        _mm_storeu_si128((__m128i *)&key, _mm_or_si128(text, _mm_set1_epi8(0x20)));
        return key;
    }
#endif
    (void)end;
    key.first = key.second = 0;
    memcpy(&key, name, length < 16 ? length : 16);
    key.first |= SIP_LOWER8;
    key.second |= SIP_LOWER8;
    return key;
}

SIP_INLINE unsigned sip_place(sip_key key)
{
    return (unsigned)(((key.first ^ key.second << 5) * 0x9E3779B97F4A7C15ull) >> (64 - SIP_PLACE_BITS));
}

/* 0, or -1 where the name is too long or there are too many. */
static int sip_add_name(const char *lower, size_t length, unsigned id)
{
    if (length == 0 || length > SIP_LONGEST_NAME || sip_name_count > 255) return -1;
    sip_name *name = &sip_names[sip_name_count];
    memcpy(name->text, lower, length);
    name->key = sip_key_of(name->text, length, name->text + sizeof name->text);
    name->length = (uint32_t)length;
    name->id = id;
    unsigned place = sip_place(name->key);
    while (sip_places[place]) place = (place + 1) & ((1 << SIP_PLACE_BITS) - 1);
    sip_places[place] = (uint8_t)sip_name_count++;
    return 0;
}

SIP_INLINE int sip_same_rest(const sip_byte *p, const sip_byte *lower, size_t length)
{
    for (size_t at = 16; at < length; at++)
        if ((p[at] | 0x20) != lower[at]) return 0;
    return 1;
}

/* The id of a header name, compact or long, in any case; 0 where it is unknown or empty. `end` is the end of what may be
 * read, at or behind the name's end. */
SIP_INLINE unsigned sip_find_id(const sip_byte *p, size_t length, const sip_byte *end)
{
    const sip_key key = sip_key_of(p, length, end);
    unsigned place = sip_place(key);
    for (;;) {
        const sip_name *name = &sip_names[sip_places[place]];
        if (name->key.first == key.first && name->key.second == key.second && name->length == length)
            if (length <= 16 || sip_same_rest(p, name->text, length)) return name->id;
        if (name->length == 0) return 0;
        place = (place + 1) & ((1 << SIP_PLACE_BITS) - 1);
    }
}

/* ---------------------------------------------------------------- numbers */

/* A run of digits of any length with a value under 10**9, as all numbers of SIP's own syntax are that this parser reads
 * itself; -1 for anything else. Nothing overflows: the bound is checked before each step. */
SIP_INLINE int64_t sip_number(const sip_byte *p, const sip_byte *end)
{
    int64_t value = 0;
    if (p == end) return -1;
    for (; p < end; p++) {
        if (!sip_is_digit(*p) || value >= 100000000) return -1;
        value = value * 10 + (*p - '0');
    }
    return value;
}

/* ---------------------------------------------------------------- headers of the usual shape */

/* Notes headers from *line on, as long as they have the usual shape: a known name of up to 15 bytes, a colon right
 * behind it, a value without control bytes, CR LF, and no fold. The first that differs is left to the caller, with *line at
 * it and nothing of it taken from the scanner. *length is the Content-Length, -1 until it was read; a second one is left to
 * the caller too. Returns where the next span goes.
 *
 * This loop is nine tenths of all headers and half of the time of parse. The name and its colon come from one load; where
 * the byte before the colon is over SP, equal keys have equal lengths, for a key's padding is SP. */
#ifdef SIPSTACK_SSE2
static sip_span *sip_read_usual(
    sip_scanner *scanner, const sip_byte *data, const sip_byte **line_at, sip_span *span, const sip_span *room,
    int64_t *length_at)
{
    /* A window of this starts with as many 0xFF as the name has bytes. */
    static const sip_byte masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    sip_scanner s = *scanner;
    const sip_byte *line = *line_at;
    while (span < room && s.end - line >= 16) {
        while (s.mask == 0 && s.end - s.p > 64) {
            s.p += 64;
            sip_scan_block(&s, data);
        }
        if (s.mask == 0) break;
        const sip_byte *at = s.p + sip_ctz(s.mask);
        if (s.end - at < 3 || at[0] != '\r' || at[1] != '\n' || sip_is_blank(at[2]) || at == line) break;
        const __m128i text = _mm_loadu_si128((const __m128i *)line);
        const unsigned colons = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(':')));
        if (colons < 2) break;
        const unsigned length = sip_ctz(colons);
        const sip_byte *value = line + length + 1;
        if (value >= at || value[-2] <= ' ' || at[-1] <= ' ') break;
        value += *value == ' ';
        if (*value <= ' ') break;
        const __m128i mask = _mm_loadu_si128((const __m128i *)(masks + 16 - length));
        sip_key key;
        _mm_storeu_si128((__m128i *)&key, _mm_or_si128(_mm_and_si128(text, mask), _mm_set1_epi8(0x20)));
        unsigned place = sip_place(key);
        const sip_name *name = &sip_names[sip_places[place]];
        while (name->length && (name->key.first != key.first || name->key.second != key.second)) {
            place = (place + 1) & ((1 << SIP_PLACE_BITS) - 1);
            name = &sip_names[sip_places[place]];
        }
        if (name->id == 0) break;
        if (name->id == SIP_CONTENT_LENGTH) {
            const int64_t number = sip_number(value, at);
            if (number < 0 || *length_at >= 0) break;
            *length_at = number;
        }
        *span++ = (sip_span){(uint32_t)(line - data), (uint32_t)(value - data), (uint32_t)(at - data),
                             (uint32_t)(at + 2 - data), sip_bits(length, 0, name->id)};
        line = at + 2;
        s.mask &= s.mask - 1;
        if (at - s.p == 63) { /* the LF is in the next block, which is there: at[2] is data */
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
#define sip_read_usual(scanner, data, line_at, span, room, length_at) (span)
#endif

#endif
