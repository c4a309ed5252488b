/* Keys: the words that a message is known by, in the form that equal ones share. _keys.py has the rules. */
#ifndef SIPSTACK_KEYS_H
#define SIPSTACK_KEYS_H

#include "_bytes.h"

/* Writes a text with A to Z in lower case. */
static sip_byte *sip_put_lower(sip_byte *to, sip_text text)
{
    while (text.p < text.end) *to++ = sip_lower(*text.p++);
    return to;
}

/* Whether a branch names a transaction: the magic cookie does not (RFC 4475 3.2.1), with more behind it does (RFC 3261
 * 8.1.1.7). */
static int sip_is_rfc3261_branch(sip_text branch)
{
    return sip_length(branch) > 7 && sip_is_word(sip_run(branch.p, branch.p + 7), "z9hG4bK");
}

/* The port of a transport where none is named: DEFAULT_PORTS of _limits.py. */
static uint32_t sip_default_port(sip_text transport)
{
    if (sip_is_word(transport, "TLS") || sip_is_word(transport, "TLS-SCTP")) return 5061;
    if (sip_is_word(transport, "WS")) return 80;
    return sip_is_word(transport, "WSS") ? 443 : 5060;
}

/* ---------------------------------------------------------------- hosts */

#define SIP_GROUPS 8
#define SIP_HOST_ROOM 42 /* an IPv6 address in brackets, in its shortest form; four decimal numbers take no more */

/* The groups of an IPv6 address in brackets, which sip_read_ipv6 has read: hexadecimal numbers, and one gap or none. */
static void sip_read_groups(sip_text host, uint16_t *groups)
{
    uint16_t behind[SIP_GROUPS];
    int count = 0, gap = -1, at;
    for (const sip_byte *p = host.p + 1; *p != ']';) {
        if (*p == ':') {
            if (p[1] == ':') gap = count, p++;
            p++;
            continue;
        }
        unsigned group = 0;
        for (; sip_is(*p, SIP_HEX); p++) group = group * 16 + (sip_is_digit(*p) ? *p - '0' : sip_lower(*p) - 'a' + 10);
        behind[count++] = (uint16_t)group;
    }
    if (gap < 0) gap = count;
    for (at = 0; at < SIP_GROUPS; at++) {
        const int from = at < gap ? at : at - (SIP_GROUPS - count);
        groups[at] = at < gap || from >= gap ? behind[from] : 0;
    }
}

/* Writes a group without zeros in front. */
static sip_byte *sip_put_group(sip_byte *to, unsigned group)
{
    for (int shift = 12; shift >= 0; shift -= 4)
        if (group >> shift || shift == 0) *to++ = (sip_byte)"0123456789abcdef"[group >> shift & 15];
    return to;
}

/* Writes an IPv6 address in its one form (RFC 5952 4, 5): the first of the longest runs of zeros is ::, and an
 * IPv4-mapped one ends in an IPv4 address. The same as _values.canonical_host. */
static sip_byte *sip_put_groups(sip_byte *to, const uint16_t *groups)
{
    int start = 0, length = 1, at, run = 0;
    for (at = 0; at < SIP_GROUPS; at++) {
        run = groups[at] ? 0 : run + 1;
        if (run > length) start = at + 1 - (length = run);
    }
    *to++ = '[';
    if (length == 5 && start == 0 && groups[5] == 0xffff) {
        to = sip_put(to, "::ffff:", 7);
        for (at = 6; at < SIP_GROUPS; at++) {
            to = sip_put_number(to, groups[at] >> 8);
            *to++ = '.';
            to = sip_put_number(to, groups[at] & 255);
            *to++ = at == 6 ? '.' : ']';
        }
        return to;
    }
    for (at = 0; at < SIP_GROUPS; at++) {
        if (length > 1 && at == start) {
            to = sip_put(to, "::", 2);
            at += length - 1;
            continue;
        }
        if (to[-1] != '[' && to[-1] != ':') *to++ = ':';
        to = sip_put_group(to, groups[at]);
    }
    *to++ = ']';
    return to;
}

/* Writes a host that _values.h has read in the form that equal ones share: names in lower case, IPv6 addresses by their
 * bits. It gets longer by SIP_HOST_ROOM bytes at most. */
static sip_byte *sip_put_host(sip_byte *to, sip_text host)
{
    uint16_t groups[SIP_GROUPS];
    if (*host.p != '[') return sip_put_lower(to, host);
    sip_read_groups(host, groups);
    return sip_put_groups(to, groups);
}

#endif
