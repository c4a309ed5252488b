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
    unsigned int name_length : 22, owned : 1, folded : 1, id : 8;
} sip_span;

#define SIP_LONGEST ((1u << 22) - 1)

/* ---------------------------------------------------------------- classes of bytes */

#define T 1 /* token (RFC 3261 25.1) */
#define C 2 /* control byte, HTAB and DEL included */
static const uint8_t sip_class[256] = {
    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    0, T, 0, 0, 0, T, 0, T, 0, 0, T, T, 0, T, T, 0, T, T, T, T, T, T, T, T, T, T, 0, 0, 0, 0, 0, 0,
    0, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, 0, 0, 0, 0, T,
    T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, 0, 0, 0, T, C,
};
#undef T
#undef C

SIP_INLINE int sip_is_token(sip_byte c) { return sip_class[c] & 1; }
SIP_INLINE int sip_is_control(sip_byte c) { return (sip_class[c] & 2) && c != '\t'; }
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

/* Hands out, in order, every LF, and every byte that may not stand in a head: a control byte other than HTAB, and the
 * byte behind a CR that is not LF. It looks at 64 bytes at a time; what it finds of them waits in `mask`. */
typedef struct {
    const sip_byte *p, *end; /* the block, and the end of the data */
    uint64_t mask;           /* a bit for each byte of the block that is yet to be handed out */
    uint64_t carry;          /* 1 where the block's last byte was CR */
    int high;                /* whether a byte over 0x7F was seen (in the head, or close behind it) */
} sip_scanner;

#ifdef SIPSTACK_SSE2
SIP_INLINE void sip_block16(const sip_byte *p, unsigned shift, uint64_t *special, uint64_t *cr, __m128i *high)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    const __m128i is_cr = _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    const __m128i fine = _mm_or_si128(is_cr, _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));
    const __m128i bad = _mm_or_si128(_mm_andnot_si128(fine, low), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    *special |= (uint64_t)(unsigned)_mm_movemask_epi8(bad) << shift;
    *cr |= (uint64_t)(unsigned)_mm_movemask_epi8(is_cr) << shift;
    *high = _mm_or_si128(*high, v);
}

SIP_INLINE void sip_classify(const sip_byte *p, uint64_t *special, uint64_t *cr, int *high)
{
    __m128i seen = _mm_setzero_si128();
    for (unsigned at = 0; at < 64; at += 16) sip_block16(p + at, at, special, cr, &seen);
    *high |= _mm_movemask_epi8(seen);
}
#else
SIP_INLINE void sip_classify(const sip_byte *p, uint64_t *special, uint64_t *cr, int *high)
{
    uint8_t seen = 0;
    for (unsigned at = 0; at < 64; at++) {
        const sip_byte c = p[at];
        *special |= (uint64_t)((sip_class[c] & 2) && c != '\t' && c != '\r') << at;
        *cr |= (uint64_t)(c == '\r') << at;
        seen |= c;
    }
    *high |= seen & 0x80;
}
#endif

/* Looks at the block at s->p. The last block of the data is copied, for there may be nothing behind it to read. */
SIP_INLINE void sip_scan_block(sip_scanner *s)
{
    uint64_t special = 0, cr = 0;
    const size_t left = (size_t)(s->end - s->p);
    if (SIP_LIKELY(left >= 64)) {
        sip_classify(s->p, &special, &cr, &s->high);
    } else {
        sip_byte last[64];
        memset(last, ' ', sizeof last);
        memcpy(last, s->p, left);
        sip_classify(last, &special, &cr, &s->high);
    }
    /* Behind each CR stands a byte that is LF (and special already) or wrong (and special now). */
    s->mask = special | cr << 1 | s->carry;
    s->carry = cr >> 63;
    if (left < 64) s->mask &= ((uint64_t)1 << left) - 1;
}

SIP_INLINE void sip_scan_start(sip_scanner *s, const sip_byte *p, const sip_byte *end)
{
    s->p = p;
    s->end = end;
    s->carry = 0;
    s->high = 0;
    sip_scan_block(s);
}

/* The next LF or wrong byte; NULL at the end of the data. */
SIP_INLINE const sip_byte *sip_scan_next(sip_scanner *s)
{
    while (s->mask == 0) {
        if (s->end - s->p <= 64) return NULL;
        s->p += 64;
        sip_scan_block(s);
    }
    const unsigned at = sip_ctz(s->mask);
    s->mask &= s->mask - 1;
    return s->p + at;
}

/* The next LF; *wrong is set where a wrong byte comes before it. NULL where there is none. */
SIP_INLINE const sip_byte *sip_scan_line(sip_scanner *s, int *wrong)
{
    const sip_byte *at;
    while ((at = sip_scan_next(s)) != NULL && *at != '\n') *wrong = 1;
    return at;
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

/* The first colon of the line, or end. */
SIP_INLINE const sip_byte *sip_find_colon(const sip_byte *p, const sip_byte *end)
{
#ifdef SIPSTACK_SSE2
    const __m128i colon = _mm_set1_epi8(':');
    for (; end - p >= 16; p += 16) {
        const unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), colon));
        if (found) return p + sip_ctz(found);
    }
#endif
    while (p < end && *p != ':') p++;
    return p;
}

/* ---------------------------------------------------------------- header names */

/* The names of methods.HEADER_NAMES in lower case, and a table that finds a name's id by its length and three of its
 * letters. No two names may share a place: sip_add_name says so, the module does not load, and another odd multiplier
 * must be searched. */
#define SIP_LONGEST_NAME 32
#define SIP_PLACE_BITS 10
#define SIP_MULTIPLIER 0x405e3771u

typedef struct { sip_byte text[SIP_LONGEST_NAME]; uint8_t length, id; } sip_name;
static sip_name sip_names[256];
static uint8_t sip_places[1 << SIP_PLACE_BITS]; /* index into sip_names, 0 for none */
static unsigned sip_name_count = 1;

SIP_INLINE unsigned sip_place(const sip_byte *name, size_t length)
{
    const uint32_t letters = (uint32_t)length | (uint32_t)(name[0] | 0x20) << 8 | (uint32_t)(name[length - 1] | 0x20) << 16
                             | (uint32_t)(name[length > 4 ? length - 4 : 0] | 0x20) << 24;
    return letters * SIP_MULTIPLIER >> (32 - SIP_PLACE_BITS);
}

/* 0, or -1 where the name does not fit or its place is taken. */
static int sip_add_name(const char *lower, size_t length, unsigned id)
{
    if (length == 0 || length > SIP_LONGEST_NAME || sip_name_count > 255 || id > 255) return -1;
    uint8_t *place = &sip_places[sip_place((const sip_byte *)lower, length)];
    if (*place) return -1;
    sip_name *name = &sip_names[sip_name_count];
    memcpy(name->text, lower, length);
    name->length = (uint8_t)length;
    name->id = (uint8_t)id;
    *place = (uint8_t)sip_name_count++;
    return 0;
}

#define SIP_LOWER8 0x2020202020202020ull
#define SIP_LOWER4 0x20202020u
SIP_INLINE int sip_differ8(const sip_byte *a, const sip_byte *b)
{
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x | SIP_LOWER8) != y;
}

SIP_INLINE int sip_differ4(const sip_byte *a, const sip_byte *b)
{
    uint32_t x, y;
    memcpy(&x, a, 4);
    memcpy(&y, b, 4);
    return (x | SIP_LOWER4) != y;
}

/* Whether a name is a known one's. Setting bit 0x20 folds A-Z exactly, and turns nothing else that may stand in a head
 * into a letter or a hyphen (known names hold nothing else). Pieces overlap so that nothing outside is read. */
SIP_INLINE int sip_is_name(const sip_byte *p, const sip_byte *lower, size_t length)
{
    if (length >= 8) {
        for (size_t at = 0; at + 8 < length; at += 8)
            if (sip_differ8(p + at, lower + at)) return 0;
        return !sip_differ8(p + length - 8, lower + length - 8);
    }
    if (length >= 4) return !sip_differ4(p, lower) && !sip_differ4(p + length - 4, lower + length - 4);
    for (size_t at = 0; at < length; at++)
        if ((p[at] | 0x20) != lower[at]) return 0;
    return 1;
}

/* The id of a header name, compact or long, in any case; 0 where it is unknown (or empty). */
SIP_INLINE unsigned sip_find_id(const sip_byte *p, size_t length)
{
    if (length - 1 >= SIP_LONGEST_NAME) return 0;
    const sip_name *name = &sip_names[sip_places[sip_place(p, length)]];
    return name->length == length && sip_is_name(p, name->text, length) ? name->id : 0;
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

#endif
