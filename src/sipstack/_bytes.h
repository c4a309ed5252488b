/* Bytes: what kinds there are, runs of them, numbers. The ground floor of the plain C rooms.
 *
 * The C rooms (_bytes, _utf8, _lines, _names, _head, _values, _rewrite, _keys) know bytes and nothing of Python. Each
 * function gets the end of what it may read and reads nothing at or behind it. Everything in them is called sip_ or
 * SIP_. They are fuzzed and sanitized without an interpreter: see fuzz/fuzz_core.c.
 */
#ifndef SIPSTACK_BYTES_H
#define SIPSTACK_BYTES_H

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

/* A run of bytes somewhere: the one view that everything here works on. p is NULL where there is none. */
typedef struct {
    const sip_byte *p, *end;
} sip_text;

SIP_INLINE sip_text sip_run(const sip_byte *p, const sip_byte *end)
{
    sip_text text = {p, end};
    return text;
}

#define SIP_NOTHING sip_run(NULL, NULL)

/* ---------------------------------------------------------------- kinds of bytes
 *
 * tests/test_grammar.py holds them against the rules of _grammar.py, byte by byte. */

#define SIP_TOKEN 1        /* token (RFC 3261 25.1) */
#define SIP_CONTROL 2      /* CTL (RFC 5234 B.1): HTAB and DEL are among them */
#define SIP_HEX 4          /* HEXDIG, in either case */
#define SIP_HOST 8         /* of a host name or an IPv4 address; the underscore is tolerated */
#define SIP_PARAM_VALUE 16 /* of a header parameter's value without quotes */
#define SIP_USER 32        /* of a URI's user, but for escapes */
#define SIP_URI_PARAM 64   /* of a URI's parameters, but for escapes */

static uint8_t sip_kinds[256];

static void sip_add_kind(int kind, const char *bytes)
{
    for (; *bytes; bytes++) sip_kinds[(sip_byte)*bytes] |= (uint8_t)kind;
}

#define SIP_ALPHANUM "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SIP_UNRESERVED SIP_ALPHANUM "-_.!~*'()"

/* Called once, before anything else here. */
static void sip_start_kinds(void)
{
    for (int byte = 0; byte < 32; byte++) sip_kinds[byte] |= SIP_CONTROL;
    sip_kinds[127] |= SIP_CONTROL;
    sip_add_kind(SIP_TOKEN, SIP_ALPHANUM "-.!%*_+`'~");
    sip_add_kind(SIP_HEX, "0123456789ABCDEFabcdef");
    sip_add_kind(SIP_HOST, SIP_ALPHANUM "-._");
    sip_add_kind(SIP_PARAM_VALUE, SIP_ALPHANUM "-.!%*_+`'~" "[]:/@=&$");
    sip_add_kind(SIP_USER, SIP_UNRESERVED "&=+$,;?/");
    sip_add_kind(SIP_URI_PARAM, SIP_UNRESERVED "[]/:&+$");
}

SIP_INLINE int sip_is(sip_byte c, int kind) { return sip_kinds[c] & kind; }
/* One that a head may not hold. */
SIP_INLINE int sip_is_control(sip_byte c) { return sip_is(c, SIP_CONTROL) && c != '\t'; }
SIP_INLINE int sip_is_blank(sip_byte c) { return c == ' ' || c == '\t'; }
SIP_INLINE int sip_is_digit(sip_byte c) { return (unsigned)(c - '0') < 10; }
SIP_INLINE sip_byte sip_lower(sip_byte c) { return (unsigned)(c - 'A') < 26 ? c | 0x20 : c; }

/* ---------------------------------------------------------------- runs of bytes */

SIP_INLINE size_t sip_length(sip_text text) { return (size_t)(text.end - text.p); }

/* Where the run of bytes of a kind ends that begins at p. */
SIP_INLINE const sip_byte *sip_skip(const sip_byte *p, const sip_byte *end, int kind)
{
    while (p < end && sip_is(*p, kind)) p++;
    return p;
}

SIP_INLINE const sip_byte *sip_skip_blanks(const sip_byte *p, const sip_byte *end)
{
    while (p < end && sip_is_blank(*p)) p++;
    return p;
}

SIP_INLINE sip_text sip_trim(const sip_byte *p, const sip_byte *end)
{
    p = sip_skip_blanks(p, end);
    while (end > p && sip_is_blank(end[-1])) end--;
    return sip_run(p, end);
}

/* Whether one of the eight bytes at p is a control byte, HTAB among them. */
SIP_INLINE int sip_has_control_of_8(const sip_byte *p)
{
    const uint64_t ones = 0x0101010101010101ull;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    const uint64_t under_sp = (v - ones * 0x20) & ~v, del = v ^ ones * 0x7f;
    return ((under_sp | ((del - ones) & ~del)) & ones << 7) != 0;
}

/* Whether a run holds a control byte other than HTAB. */
SIP_INLINE int sip_has_control(sip_text text)
{
    const sip_byte *p = text.p;
#ifdef SIPSTACK_SSE2
    for (; text.end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        const __m128i controls = _mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        if (_mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), controls))) return 1;
    }
#endif
    /* What is left, up to 16 bytes, in two words that overlap: a reply's short values cost half. */
    if (sip_length(text) >= 8 && text.end - p <= 16 && !sip_has_control_of_8(text.end - 8)
        && (text.end - p <= 8 || !sip_has_control_of_8(p)))
        return 0;
    for (; p < text.end; p++)
        if (sip_is_control(*p)) return 1;
    return 0;
}

SIP_INLINE int sip_is_whole(sip_text text, int kind) { return sip_skip(text.p, text.end, kind) == text.end; }
SIP_INLINE int sip_is_token(sip_text text) { return text.p < text.end && sip_is_whole(text, SIP_TOKEN); }

SIP_INLINE const sip_byte *sip_find(sip_text text, char byte)
{
    return text.p == text.end ? NULL : memchr(text.p, byte, sip_length(text));
}

/* Whether two runs of one length are the same but for the case of A to Z. */
static int sip_same_letters(sip_text a, sip_text b)
{
    for (; a.p < a.end; a.p++, b.p++)
        if (sip_lower(*a.p) != sip_lower(*b.p)) return 0;
    return 1;
}

/* Whether two runs are the same but for the case of A to Z, which nearly all write alike. */
SIP_INLINE int sip_same(sip_text a, sip_text b)
{
    if (sip_length(a) != sip_length(b)) return 0;
    return b.p == b.end || memcmp(a.p, b.p, sip_length(b)) == 0 || sip_same_letters(a, b);
}

/* Whether a run is this word in any case; the word is a literal. */
#define sip_is_word(text, word) \
    sip_same(text, sip_run((const sip_byte *)(word), (const sip_byte *)(word) + sizeof(word) - 1))

SIP_INLINE sip_byte *sip_put(sip_byte *to, const void *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

SIP_INLINE sip_byte *sip_put_text(sip_byte *to, sip_text text)
{
    return text.p == text.end ? to : sip_put(to, text.p, sip_length(text));
}

/* ---------------------------------------------------------------- numbers */

/* The limits of _limits.py that C needs; tests/test_grammar.py holds them against it. */
#define SIP_LONGEST ((1u << 22) - 1) /* a message, and so a name and a value */
#define SIP_LARGEST_CONTENT_LENGTH 999999999
#define SIP_LARGEST_CSEQ 0x7FFFFFFF
#define SIP_LARGEST_MAX_FORWARDS 255
#define SIP_LARGEST_PORT 65535

/* The value of 1*DIGIT, leading zeros allowed, up to `most` (under 10**17); -1 for anything else. Never overflows. */
SIP_INLINE int64_t sip_number(sip_text text, int64_t most)
{
    int64_t value = 0;
    if (text.p == text.end) return -1;
    for (const sip_byte *p = text.p; p < text.end; p++) {
        if (!sip_is_digit(*p)) return -1;
        if (value <= most) value = value * 10 + (*p - '0');
    }
    return value <= most ? value : -1;
}

/* Writes a number of at most ten digits. */
SIP_INLINE sip_byte *sip_put_number(sip_byte *to, uint32_t number)
{
    sip_byte digits[10];
    int at = 10;
    do {
        digits[--at] = (sip_byte)('0' + number % 10);
        number /= 10;
    } while (number);
    return sip_put(to, digits + at, (size_t)(10 - at));
}

#endif
