/* Forwarding: the keyed hash of our branches and Record-Routes, and the texts that it is of.
 *
 * _forwarding.py decides; here stands what it makes of a Via of the common shape.
 */
#ifndef SIPSTACK_FORWARD_H
#define SIPSTACK_FORWARD_H

#include "_values.h"

#define SIP_COOKIE "z9hG4bK"
#define SIP_COOKIE_SIZE 7
#define SIP_HASH_SIZE 16              /* digits of a hash */
#define SIP_HOP_ROOM (SIP_MOST_HOST + 16) /* a transport, a slash, a host in brackets, a port */
#define SIP_MOST_HOST 255

/* ---------------------------------------------------------------- SipHash-2-4, of bytes that come in pieces */

typedef struct {
    uint64_t a, b, c, d, tail; /* tail: the bytes that do not fill a word yet, the first lowest */
    unsigned length;
} sip_hash;

#define SIP_ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))

SIP_INLINE void sip_hash_round(sip_hash *h)
{
    h->a += h->b; h->b = SIP_ROTATE(h->b, 13) ^ h->a; h->a = SIP_ROTATE(h->a, 32);
    h->c += h->d; h->d = SIP_ROTATE(h->d, 16) ^ h->c;
    h->a += h->d; h->d = SIP_ROTATE(h->d, 21) ^ h->a;
    h->c += h->b; h->b = SIP_ROTATE(h->b, 17) ^ h->c; h->c = SIP_ROTATE(h->c, 32);
}

SIP_INLINE void sip_hash_word(sip_hash *h, uint64_t word)
{
    h->d ^= word;
    sip_hash_round(h);
    sip_hash_round(h);
    h->a ^= word;
}

/* Up to 8 bytes, the first lowest. */
SIP_INLINE uint64_t sip_load_word(const sip_byte *p, size_t count)
{
    uint64_t word = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (count == 8) {
        memcpy(&word, p, 8);
        return word;
    }
    if (count >= 4) { /* two that overlap: a loop over the bytes costs as much as the rounds for them */
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + count - 4, 4);
        return low | (uint64_t)high << 8 * (count - 4);
    }
#endif
    for (size_t at = 0; at < count; at++) word |= (uint64_t)p[at] << 8 * at;
    return word;
}

/* The key has 16 bytes. */
static sip_hash sip_start_hash(const sip_byte *key)
{
    const uint64_t low = sip_load_word(key, 8), high = sip_load_word(key + 8, 8);
    const sip_hash h = {
        low ^ 0x736F6D6570736575u, high ^ 0x646F72616E646F6Du, low ^ 0x6C7967656E657261u, high ^ 0x7465646279746573u,
        0, 0
    };
    return h;
}

static void sip_add_to_hash(sip_hash *h, sip_text text)
{
    const unsigned filled = 8 * (h->length & 7);
    const sip_byte *p = text.p;
    h->length += (unsigned)sip_length(text);
    for (; text.end - p >= 8; p += 8) {
        const uint64_t word = sip_load_word(p, 8);
        sip_hash_word(h, h->tail | word << filled);
        h->tail = filled ? word >> (64 - filled) : 0;
    }
    const unsigned left = (unsigned)(text.end - p);
    const uint64_t rest = sip_load_word(p, left);
    h->tail |= rest << filled;
    if (filled / 8 + left < 8) return;
    sip_hash_word(h, h->tail);
    h->tail = filled ? rest >> (64 - filled) : 0;
}

/* A text and the line end that sets it apart from the next. */
static void sip_add_line_to_hash(sip_hash *h, sip_text text)
{
    sip_add_to_hash(h, text);
    h->tail |= (uint64_t)'\n' << 8 * (h->length++ & 7);
    if (h->length & 7) return;
    sip_hash_word(h, h->tail);
    h->tail = 0;
}

/* Writes a number as 8 digits: each half byte is moved to a byte of its own, and all are made digits at once. */
SIP_INLINE sip_byte *sip_put_hex(sip_byte *to, uint32_t number)
{
    const uint64_t ones = 0x0101010101010101ull;
    uint64_t x = ((uint64_t)number << 32 | number >> 16) & 0x0000FFFF0000FFFFull;
    x = (x & 0x0000FF000000FF00ull) >> 8 | (x & 0x000000FF000000FFull) << 16;
    x = (x & 0x00F000F000F000F0ull) >> 4 | (x & 0x000F000F000F000Full) << 8;
    x += ones * '0' + ((x + ones * 6) >> 4 & ones) * ('a' - '0' - 10);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return sip_put(to, &x, 8);
#else
    for (int at = 0; at < 8; at++) to[at] = (sip_byte)(x >> 8 * at);
    return to + 8;
#endif
}

/* Writes the hash as SIP_HASH_SIZE digits, and returns where they end. */
static sip_byte *sip_put_hash(sip_byte *to, sip_hash h)
{
    sip_hash_word(&h, h.tail | (uint64_t)h.length << 56);
    h.c ^= 0xFF;
    for (int round = 0; round < 4; round++) sip_hash_round(&h);
    const uint64_t value = h.a ^ h.b ^ h.c ^ h.d;
    return sip_put_hex(sip_put_hex(to, (uint32_t)(value >> 32)), (uint32_t)value);
}

/* ---------------------------------------------------------------- a Via below ours */

SIP_INLINE int sip_has_cookie(sip_text branch)
{
    return sip_length(branch) >= SIP_COOKIE_SIZE && memcmp(branch.p, SIP_COOKIE, SIP_COOKIE_SIZE) == 0;
}

/* Whether a branch's sender is one by RFC 3261, over UDP or TCP, so that the rest of the message is not asked. */
static int sip_is_plain_via(const sip_via *via)
{
    const sip_text transport = via->transport;
    return sip_length(transport) == 3 && (memcmp(transport.p, "UDP", 3) == 0 || memcmp(transport.p, "TCP", 3) == 0)
        && sip_has_cookie(via->branch) && sip_length(via->host) <= SIP_MOST_HOST
        && (via->received.p == NULL || sip_length(via->received) <= SIP_MOST_HOST);
}

/* The host, without brackets, and the port that a response with this Via on top goes to. */
static sip_text sip_response_host(const sip_via *via)
{
    const sip_text host = via->received.p == NULL ? via->host : via->received;
    return *host.p == '[' ? sip_run(host.p + 1, host.end - 1) : host;
}

static int sip_response_port(const sip_via *via)
{
    return via->rport > 0 ? via->rport : via->port > 0 ? via->port : 5060;
}

/* Writes that as a hop, and returns where it ends: up to SIP_HOP_ROOM. */
static sip_byte *sip_put_response_hop(sip_byte *to, const sip_via *via)
{
    const sip_text host = sip_response_host(via);
    const int ipv6 = sip_find(host, ':') != NULL;
    to = sip_put(sip_put_text(to, via->transport), "/", 1);
    if (ipv6) *to++ = '[';
    to = sip_put_text(to, host);
    if (ipv6) *to++ = ']';
    *to++ = ':';
    return sip_put_number(to, (uint32_t)sip_response_port(via));
}

/* ---------------------------------------------------------------- a Route of ours */

typedef struct {
    sip_text text, transport, host, signature; /* text: all but the signature; the host without brackets */
    int port;
} sip_hop;

/* What stands behind `hop=` in a Record-Route of ours, up to the > that ends the line: `UDP/192.0.2.1:5060/...>`. */
static int sip_read_signed_hop(sip_text text, sip_hop *hop)
{
    if (sip_length(text) < SIP_HASH_SIZE + 2 || text.end[-1] != '>') return 0;
    hop->signature = sip_run(text.end - 1 - SIP_HASH_SIZE, text.end - 1);
    if (hop->signature.p[-1] != '/' || !sip_is_whole(hop->signature, SIP_HEX)) return 0;
    hop->text = sip_run(text.p, hop->signature.p - 1);
    const sip_byte *slash = sip_find(hop->text, '/');
    if (slash == NULL) return 0;
    hop->transport = sip_run(text.p, slash);
    const sip_byte *end = sip_read_host_port(slash + 1, hop->text.end, &hop->host, &hop->port);
    if (end != hop->text.end || hop->port <= 0) return 0;
    if (*hop->host.p == '[') hop->host = sip_run(hop->host.p + 1, hop->host.end - 1);
    return 1;
}

/* Whether a URI's parameters may hold lr or maddr, in any spelling: an l or an m that begins one, or an escape. */
static int sip_names_a_way(sip_text params)
{
    for (const sip_byte *p = params.p; p < params.end; p++)
        if (*p == '%' || ((p == params.p || p[-1] == ';') && (sip_lower(*p) == 'l' || sip_lower(*p) == 'm'))) return 1;
    return 0;
}

/* Whether a URI's scheme is sips. */
static int sip_is_secure(sip_text uri)
{
    return sip_length(uri) >= 5 && sip_is_word(sip_run(uri.p, uri.p + 5), "sips:");
}

/* Whether a URI's parameters may hold maddr, in any case or in escapes. */
static int sip_has_maddr(sip_text uri)
{
    uri.p = sip_find(uri, ';');
    if (uri.p == NULL) return 0;
    if (sip_find(uri, '%') != NULL) return 1;
    for (; sip_length(uri) >= 5; uri.p++)
        if (sip_lower(*uri.p) == 'm' && sip_is_word(sip_run(uri.p, uri.p + 5), "maddr")) return 1;
    return 0;
}

/* Whether a branch that begins with this part, the cookie with it, stands in a Via line. */
static int sip_has_branch(sip_text line, const sip_byte *part)
{
    const size_t size = SIP_COOKIE_SIZE + SIP_HASH_SIZE;
    while (sip_length(line) >= size) {
        const sip_byte *found = sip_find(sip_run(line.p, line.end - size + 1), 'z');
        if (found == NULL) return 0;
        if (memcmp(found, part, size) == 0) return 1;
        line.p = found + 1;
    }
    return 0;
}

#endif
