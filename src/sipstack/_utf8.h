/* UTF-8 as Python reads it with "surrogateescape": a byte that is no part of a character stands for itself, as half of
 * a surrogate pair. Python's own decoder takes five times as long over such a byte. */
#ifndef SIPSTACK_UTF8_H
#define SIPSTACK_UTF8_H

#include "_bytes.h"

#define SIP_ESCAPED 0xDC00u /* more than the byte */

/* How many bytes follow the first of a character; -1 where none begins with it. */
SIP_INLINE int sip_bytes_behind(sip_byte first)
{
    return first < 0x80 ? 0 : first < 0xC2 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : -1;
}

/* The character at *at, which is moved behind it. */
SIP_INLINE uint32_t sip_next_char(const sip_byte **at, const sip_byte *end)
{
    const sip_byte *p = *at;
    const sip_byte first = *p++;
    const int behind = sip_bytes_behind(first);
    *at = p;
    if (behind == 0) return first;
    if (behind < 0 || end - p < behind) return SIP_ESCAPED | first;
    uint32_t c = first & (0x3Fu >> behind);
    for (int i = 0; i < behind; i++) {
        if ((p[i] & 0xC0) != 0x80) return SIP_ESCAPED | first;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if (behind == 2 && (c < 0x800 || (c >= 0xD800 && c < 0xE000))) return SIP_ESCAPED | first;
    if (behind == 3 && (c < 0x10000 || c > 0x10FFFF)) return SIP_ESCAPED | first;
    *at = p + behind;
    return c;
}

typedef struct {
    size_t count;
    uint32_t largest; /* or the largest of ASCII */
    int escaped; /* whether one of them is no character */
} sip_chars;

static sip_chars sip_count_chars(sip_text text)
{
    sip_chars chars = {0, 0x7F, 0};
    while (text.p < text.end) {
        uint64_t word;
        while (text.end - text.p >= 8 && (memcpy(&word, text.p, 8), (word & 0x8080808080808080ull) == 0)) {
            text.p += 8;
            chars.count += 8;
        }
        if (text.p == text.end) break;
        const uint32_t c = sip_next_char(&text.p, text.end);
        chars.count++;
        if (c > chars.largest) chars.largest = c;
        chars.escaped |= (c & ~0xFFu) == SIP_ESCAPED;
    }
    return chars;
}

#endif
