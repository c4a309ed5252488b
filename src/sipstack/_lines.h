/* Lines: where the line ends of a head are, and whether a control byte stands where none may.
 *
 * Both are found in one pass of 64 bytes at a time. On a message of 13 lines that costs about what thirteen calls of
 * memchr cost without the check. SSE2 is there on every x86-64; elsewhere the plain C below does the same.
 */
#ifndef SIPSTACK_LINES_H
#define SIPSTACK_LINES_H

#include "_bytes.h"

/* Hands out the control bytes of a head in order, CR LF as one, and the bytes over 0x7F between them. It looks at 64
 * bytes at a time: what it finds of them waits in `mask`, a bit a byte. So the line ends are found, and the rest of the
 * head is checked, in one pass. */
typedef struct {
    const sip_byte *p, *end; /* the block, and the end of the data */
    uint64_t mask;           /* what the block has that is yet to be handed out */
    int high;                /* whether a byte over 0x7F was handed out */
} sip_scanner;

/* Which of 64 bytes are control bytes or over 0x7F, for the 16 bytes of a vector with two instructions: all others are
 * over SP when 1 was added, as signed numbers. */
#ifdef SIPSTACK_SSE2
SIP_INLINE uint64_t sip_plain16(const sip_byte *p)
{
    const __m128i v = _mm_add_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(1));
    return (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(v, _mm_set1_epi8(' ')));
}

SIP_INLINE uint64_t sip_marks64(const sip_byte *p)
{
    return ~(sip_plain16(p) | sip_plain16(p + 16) << 16 | sip_plain16(p + 32) << 32 | sip_plain16(p + 48) << 48);
}
#else
SIP_INLINE uint64_t sip_marks64(const sip_byte *p)
{
    uint64_t mask = 0;
    for (unsigned at = 0; at < 64; at++) mask |= (uint64_t)((sip_byte)(p[at] - ' ') >= 0x7f - ' ') << at;
    return mask;
}
#endif

/* Looks at the block at s->p, of which 1 to 64 bytes are data. A short last block is read together with the bytes
 * before it, where the data has so many. */
SIP_INLINE void sip_scan_block(sip_scanner *s, const sip_byte *data)
{
    const size_t left = (size_t)(s->end - s->p);
    if (SIP_LIKELY(left >= 64)) {
        s->mask = sip_marks64(s->p);
    } else if (s->end - data >= 64) {
        s->mask = sip_marks64(s->end - 64) >> (64 - left);
    } else {
        sip_byte last[64] = {0};
        memcpy(last, s->p, left);
        s->mask = sip_marks64(last) & (((uint64_t)1 << left) - 1);
    }
}

/* The next byte that is marked, or NULL at the end of the data. */
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
        const sip_byte *mark = sip_scan_next(s, data);
        if (mark == NULL) return NULL;
        if (SIP_LIKELY(*mark == '\r' && mark + 1 < s->end && mark[1] == '\n')) {
            if (mark - s->p == 63) return sip_scan_next(s, data);
            s->mask &= s->mask - 1;
            return mark + 1;
        }
        if (*mark == '\n') return mark;
        if (*mark >= 0x80) s->high = 1;
        else *found |= *mark == '\t' ? SIP_TAB : SIP_WRONG;
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
