/* Header names: from the bytes of a name to its number, the header's id.
 *
 * The names are those of methods.HEADER_NAMES, a name's id is its place there; the compact forms have the id of their
 * long name. They are filled in when the module is imported. The ids the core itself works with stand here, and the
 * import fails where HEADER_NAMES has another name in such a place.
 */
#ifndef SIPSTACK_NAMES_H
#define SIPSTACK_NAMES_H

#include "_bytes.h"

enum {
    SIP_UNKNOWN, SIP_VIA, SIP_FROM, SIP_TO, SIP_CALL_ID, SIP_CSEQ, SIP_MAX_FORWARDS, SIP_CONTENT_LENGTH, SIP_CONTACT,
    SIP_ROUTE, SIP_RECORD_ROUTE, SIP_CONTENT_TYPE, SIP_RACK, SIP_TIMESTAMP, SIP_OWN_NAMES
};

static const char *const sip_own_names[SIP_OWN_NAMES] = {
    "", "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Contact",
    "Route", "Record-Route", "Content-Type", "RAck", "Timestamp",
};

/* A name's length and id in one number; `flags` are those of a sip_span. */
#define sip_bits(name_length, flags, id) ((uint32_t)(name_length) | (flags) | (uint32_t)(id) << 24)
#define sip_id(of) ((of)->bits >> 24)
#define sip_name_length(of) ((of)->bits & SIP_LONGEST)

/* A table finds a name by its key: its first 16 bytes with SP behind a shorter one, and bit 0x20 set in each. That
 * folds A to Z exactly: no other bytes of known names, which are letters and hyphens, share a key with anything but
 * control bytes. */
typedef struct { uint64_t first, second; } sip_key;
typedef struct { sip_key key; sip_byte text[44]; uint32_t bits; } sip_name; /* 64 bytes; text in lower case */
#define SIP_LONGEST_NAME 32
#define SIP_PLACE_BITS 10
static sip_name sip_names[256]; /* the first stays empty: it is what a search that finds nothing ends at */
static uint8_t sip_places[1 << SIP_PLACE_BITS];
static unsigned sip_name_count = 1;

#define SIP_LOWER8 0x2020202020202020ull

#ifdef SIPSTACK_SSE2
/* The key of a name of at most 16 bytes, or of the first 16 of a longer one, in 16 bytes that may be read. */
SIP_INLINE sip_key sip_key_of_16(__m128i text, size_t length)
{
    /* A window of this starts with as many 0xFF as the name has bytes. */
    static const sip_byte masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const __m128i mask = _mm_loadu_si128((const __m128i *)(masks + 16 - length));
    sip_key key;
    _mm_storeu_si128((__m128i *)&key, _mm_or_si128(_mm_and_si128(text, mask), _mm_set1_epi8(0x20)));
    return key;
}
#endif

/* 0 where the name has a control byte among its first 16. */
SIP_INLINE int sip_make_key(sip_text name, sip_key *key)
{
    const size_t length = sip_length(name);
    memset(key, ' ', sizeof *key);
    if (length) memcpy(key, name.p, length < 16 ? length : 16);
    /* Bit 6 of each byte: whether bit 5 or 6 is set in it. */
    const uint64_t over_sp = (key->first | key->first << 1) & (key->second | key->second << 1);
    key->first |= SIP_LOWER8;
    key->second |= SIP_LOWER8;
    return (over_sp & SIP_LOWER8 << 1) == SIP_LOWER8 << 1;
}

SIP_INLINE unsigned sip_place(sip_key key)
{
    return (unsigned)(((key.first ^ key.second << 5) * 0x9E3779B97F4A7C15ull) >> (64 - SIP_PLACE_BITS));
}

SIP_INLINE unsigned sip_next_place(unsigned place) { return (place + 1) & ((1 << SIP_PLACE_BITS) - 1); }

/* Adds a name given in lower case: 0, or -1 where it is too long or there are too many. */
static int sip_add_name(const char *lower, size_t length, unsigned id)
{
    if (length == 0 || length > SIP_LONGEST_NAME || sip_name_count > 255) return -1;
    sip_name *name = &sip_names[sip_name_count];
    memcpy(name->text, lower, length);
    if (!sip_make_key(sip_run(name->text, name->text + length), &name->key)) return -1;
    name->bits = sip_bits(length, 0, id);
    unsigned place = sip_place(name->key);
    while (sip_places[place]) place = sip_next_place(place);
    sip_places[place] = (uint8_t)sip_name_count++;
    return 0;
}

/* The name of up to 15 bytes that has a key, or the empty one. */
SIP_INLINE const sip_name *sip_find_short_name(sip_key key)
{
    for (unsigned place = sip_place(key);; place = sip_next_place(place)) {
        const sip_name *name = &sip_names[sip_places[place]];
        if ((name->key.first == key.first && name->key.second == key.second) || name->bits == 0) return name;
    }
}

/* The id of a header name, compact or long, in any case; SIP_UNKNOWN for any other run of bytes. */
SIP_INLINE unsigned sip_find_id(sip_text text)
{
    sip_key key;
    if (!sip_make_key(text, &key)) return SIP_UNKNOWN;
    for (unsigned place = sip_place(key);; place = sip_next_place(place)) {
        const sip_name *name = &sip_names[sip_places[place]];
        const size_t length = sip_name_length(name);
        if (length == 0) return SIP_UNKNOWN;
        if (name->key.first != key.first || name->key.second != key.second) continue;
        if (length != sip_length(text)) continue;
        if (length <= 16) return sip_id(name);
        const sip_text rest = sip_run(name->text + 16, name->text + length);
        if (sip_same_letters(sip_run(text.p + 16, text.end), rest)) return sip_id(name);
    }
}

#endif
