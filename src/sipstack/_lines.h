/* Lines: where the line ends of a head are, and whether a control byte stands where none may.
 *
 * Both are found in one pass of 64 bytes at a time. On a message of 13 lines that costs about what thirteen calls of
 * memchr cost without the check. SSE2 is there on every x86-64; elsewhere the plain C below does the same.
 */
#ifndef SIPSTACK_LINES_H
#define SIPSTACK_LINES_H

#include "_bytes.h"

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
        mask |= (uint64_t)(sip_is(p[at], SIP_CONTROL) != 0) << at;
        seen |= p[at];
    }
    *high |= seen & 0x80;
    return mask;
}
#endif

/* Looks at the block at s->p, of which 1 to 64 bytes are data. A short last block is read together with the bytes
 * before it, where the data has so many. */
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
        const sip_byte *control = sip_scan_next(s, data);
        if (control == NULL) return NULL;
        if (SIP_LIKELY(*control == '\r' && control + 1 < s->end && control[1] == '\n')) {
            if (control - s->p == 63) return sip_scan_next(s, data);
            s->mask &= s->mask - 1;
            return control + 1;
        }
        if (*control == '\n') return control;
        *found |= *control == '\t' ? SIP_TAB : SIP_WRONG;
    }
}

SIP_INLINE void sip_scan_start(sip_scanner *s, const sip_byte *data, const sip_byte *p, const sip_byte *end)
{
    s->p = p;
    s->end = end;
    s->high = 0;
    sip_scan_block(s, data);
}

/* Whether a value (its folds included) holds a control byte where none may stand: one may behind a backslash, but never
 * CR or LF (RFC 3261 25.1, quoted-pair). The same rule as _diagnose.bad_control. */
static int sip_has_bad_control(const sip_byte *p, const sip_byte *end)
{
    for (; p < end; p++) {
        if (*p == '\\' && p + 1 < end && p[1] != '\r' && p[1] != '\n') p++;
        else if (*p == '\r') { if (p + 1 == end || p[1] != '\n') return 1; }
        else if (*p == '\n') { if (p + 1 == end || !sip_is_blank(p[1])) return 1; }
        else if (sip_is_control(*p)) return 1;
    }
    return 0;
}

/* Empty lines before a message are skipped (RFC 3261 7.5). */
SIP_INLINE const sip_byte *sip_skip_empty_lines(const sip_byte *p, const sip_byte *end)
{
    while (p < end && (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n'))) p += 1 + (*p == '\r');
    return p;
}

#endif
