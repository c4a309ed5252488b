/* Structured values: the parts of a Via, an address, a URI and a CSeq, as runs of bytes.
 *
 * The grammar itself is that of the value classes (uri.py, headers/). Here stands what nearly every sender writes of
 * it: no blanks in odd places, no quoted parameters, no odd escapes. For anything else, right or wrong, a function
 * answers 0, and the value goes to its class. So nothing here has to be right about what it does not know, only to
 * know that.
 */
#ifndef SIPSTACK_VALUES_H
#define SIPSTACK_VALUES_H

#include "_bytes.h"

#define SIP_NO_PORT (-1)
#define SIP_MOST_PARAMS 8 /* values with more go to their class: names are compared each with each */
#define SIP_MOST_PARTS 512 /* values of more bytes may have more parts than are read: see headers/_counts.py */

typedef struct {
    sip_text user, host, params; /* of a tel URI the number is in user */
    int port;                    /* or SIP_NO_PORT */
    int secure, tel;
} sip_uri;

typedef struct {
    sip_text transport, host, params, branch, received;
    int port, rport;     /* or SIP_NO_PORT; an rport without a value is 0 */
    const sip_byte *end; /* of this Via, the first of its line */
} sip_via;

typedef struct {
    sip_text display, params, tag;
    sip_uri uri;
    int angle; /* whether the URI stands in <> */
} sip_address;

typedef struct {
    sip_text method;
    int64_t number;
} sip_cseq;

/* The names of a value's parameters so far, for none may be there twice. */
typedef struct {
    sip_text seen[SIP_MOST_PARAMS];
    int count;
} sip_param_names;

/* Adds a name; 0 where it was there, or there are too many. */
static int sip_add_param(sip_param_names *names, sip_text name)
{
    for (int at = 0; at < names->count; at++)
        if (sip_same(names->seen[at], name)) return 0;
    if (names->count == SIP_MOST_PARAMS) return 0;
    names->seen[names->count++] = name;
    return 1;
}

/* ---------------------------------------------------------------- host and port */

/* The end of a number up to 65535 in at most five digits; NULL for anything else. */
static const sip_byte *sip_read_port(const sip_byte *p, const sip_byte *end, int *port)
{
    const sip_byte *start = p;
    int number = 0;
    while (p < end && sip_is_digit(*p) && p - start < 5) number = number * 10 + (*p++ - '0');
    if (p == start || number > SIP_LARGEST_PORT || (p < end && sip_is_digit(*p))) return NULL;
    *port = number;
    return p;
}

/* The end of four numbers up to 255 of at most three digits each; NULL for anything else. */
static const sip_byte *sip_read_ipv4(const sip_byte *p, const sip_byte *end)
{
    for (int numbers = 1;; numbers++, p++) {
        const sip_byte *start = p;
        unsigned number = 0;
        while (p < end && sip_is_digit(*p)) number = number * 10 + (*p++ - '0');
        if (p == start || p - start > 3 || number > 255) return NULL;
        if (numbers == 4) return p;
        if (p == end || *p != '.') return NULL;
    }
}

/* The end of a host name or an IPv4 address; NULL for anything else. */
static const sip_byte *sip_read_name_or_ipv4(const sip_byte *p, const sip_byte *end)
{
    const sip_byte *start = p, *label;
    if (p < end && sip_is_digit(*p)) {
        label = sip_read_ipv4(p, end);
        if (label != NULL && (label == end || !sip_is(*label, SIP_HOST))) return label;
    }
    for (; p < end && sip_is(*p, SIP_HOST); p++) {
        /* A hyphen and a dot stand behind a letter or digit; a hyphen may stand behind another. */
        if (*p < '0' && (p == start || p[-1] == '.' || (p[-1] == '-' && *p == '.'))) return NULL;
    }
    if (p == start || p[-1] < '0') return NULL;
    label = p;
    while (label > start && sip_is_digit(label[-1])) label--;
    /* A last label of digits is that of an IPv4 address, or wrong. */
    return label < p && (label == start || label[-1] == '.') ? NULL : p;
}

/* The end of an IPv6 address in hexadecimal groups; NULL for anything else, also one that ends in an IPv4 address. */
static const sip_byte *sip_read_ipv6(const sip_byte *p, const sip_byte *end)
{
    int groups = 0, gap = 0;
    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 1;
        p += 2;
    }
    while (p < end && sip_is(*p, SIP_HEX)) {
        const sip_byte *group = p;
        p = sip_skip(p, end, SIP_HEX);
        if (p - group > 4 || ++groups > 8) return NULL;
        if (p == end || *p != ':') break;
        if (end - p >= 2 && p[1] == ':') {
            if (gap) return NULL;
            gap = 1;
            p += 2;
        } else if (end - p >= 2 && sip_is(p[1], SIP_HEX)) {
            p++;
        } else {
            return NULL;
        }
    }
    return (gap ? groups < 8 : groups == 8) ? p : NULL;
}

/* The end of host and port. */
static const sip_byte *sip_read_host_port(const sip_byte *p, const sip_byte *end, sip_text *host, int *port)
{
    host->p = p;
    *port = SIP_NO_PORT;
    if (p < end && *p == '[') {
        p = sip_read_ipv6(p + 1, end);
        if (p == NULL || p == end || *p != ']') return NULL;
        p++;
    } else {
        p = sip_read_name_or_ipv4(p, end);
        if (p == NULL) return NULL;
    }
    host->end = p;
    return p < end && *p == ':' ? sip_read_port(p + 1, end, port) : p;
}

/* ---------------------------------------------------------------- parameters */

/* The end of a header's parameter, without quotes and blanks, whose name begins at p. */
static const sip_byte *sip_read_param(
    const sip_byte *p, const sip_byte *end, sip_param_names *names, sip_text *name, sip_text *value)
{
    *name = sip_run(p, sip_skip(p, end, SIP_TOKEN));
    *value = SIP_NOTHING;
    if (name->end == p || !sip_add_param(names, *name)) return NULL;
    if (name->end == end || *name->end != '=') return name->end;
    *value = sip_run(name->end + 1, sip_skip(name->end + 1, end, SIP_PARAM_VALUE));
    return value->p == value->end ? NULL : value->end;
}

/* Whether parameters of a URI, without escapes, are all that is left. */
static int sip_are_uri_params(const sip_byte *p, const sip_byte *end)
{
    sip_param_names names;
    names.count = 0;
    while (p < end && *p == ';') {
        const sip_byte *start = ++p;
        p = sip_skip(p, end, SIP_URI_PARAM);
        if (p == start || !sip_add_param(&names, sip_run(start, p))) return 0;
        if (p < end && *p == '=') {
            start = ++p;
            p = sip_skip(p, end, SIP_URI_PARAM);
            if (p == start) return 0;
        }
    }
    return p == end;
}

/* ---------------------------------------------------------------- values */

/* A SIP or SIPS URI without password, escapes and headers, or a tel URI with a global number. */
static int sip_read_uri(sip_text text, sip_uri *uri)
{
    const sip_byte *p = text.p, *end = text.end;
    if (sip_length(text) > SIP_MOST_PARTS) return 0;
    uri->user = uri->host = uri->params = SIP_NOTHING;
    uri->port = SIP_NO_PORT;
    uri->tel = end - p > 4 && memcmp(p, "tel:", 4) == 0;
    uri->secure = end - p > 5 && memcmp(p, "sips:", 5) == 0;
    if (uri->tel) {
        if (end - p < 6 || p[4] != '+' || !sip_is_digit(p[5])) return 0;
        uri->user.p = p + 4;
        p += 5;
        while (p < end && (sip_is_digit(*p) || *p == '-' || *p == '.')) p++;
        uri->user.end = p;
    } else {
        if (!uri->secure && (end - p < 5 || memcmp(p, "sip:", 4) != 0)) return 0;
        p += uri->secure ? 5 : 4;
        const sip_byte *at_sign = sip_find(sip_run(p, end), '@');
        if (at_sign != NULL) {
            uri->user = sip_run(p, at_sign);
            if (at_sign == p || !sip_is_whole(uri->user, SIP_USER)) return 0;
            p = at_sign + 1;
        }
        p = sip_read_host_port(p, end, &uri->host, &uri->port);
        if (p == NULL) return 0;
    }
    if (p < end && *p == ';') uri->params = sip_run(p + 1, end);
    return sip_are_uri_params(p, end);
}

/* A parameter of a Via that has a meaning for this layer. */
static int sip_note_via_param(sip_via *via, sip_text name, sip_text value)
{
    if (sip_is_word(name, "branch")) {
        via->branch = value;
        return value.p != NULL;
    }
    if (sip_is_word(name, "rport")) {
        via->rport = 0;
        return value.p == NULL || (sip_read_port(value.p, value.end, &via->rport) == value.end && via->rport > 0);
    }
    if (sip_is_word(name, "received")) {
        via->received = value;
        if (value.p == NULL) return 0;
        return sip_read_name_or_ipv4(value.p, value.end) == value.end || sip_read_ipv6(value.p, value.end) == value.end;
    }
    return !sip_is_word(name, "maddr") && !sip_is_word(name, "ttl");
}

/* The first Via of a line. */
static int sip_read_via(sip_text text, sip_via *via)
{
    const sip_byte *p = text.p, *end = text.end;
    sip_param_names names;
    sip_text name, value;
    names.count = 0;
    via->params = via->branch = via->received = SIP_NOTHING;
    via->rport = SIP_NO_PORT;
    if (end - p < 8 || memcmp(p, "SIP/2.0/", 8) != 0) return 0;
    via->transport = sip_run(p + 8, sip_skip(p + 8, end, SIP_TOKEN));
    p = via->transport.end;
    if (p == via->transport.p || p == end || *p != ' ') return 0;
    p = sip_read_host_port(p + 1, end, &via->host, &via->port);
    if (p != NULL && p < end && *p == ';') via->params.p = p + 1;
    while (p != NULL && p < end && *p == ';') {
        p = sip_read_param(p + 1, end, &names, &name, &value);
        if (p != NULL && !sip_note_via_param(via, name, value)) return 0;
    }
    if (p == NULL || (p < end && *p != ',') || p - text.p > SIP_MOST_PARTS) return 0;
    if (via->params.p != NULL) via->params.end = p;
    via->end = p;
    return 1;
}

/* The place of the < behind a display name, or of a URI without <>. */
static const sip_byte *sip_read_display(const sip_byte *p, const sip_byte *end, sip_text *display)
{
    const sip_byte *start = p;
    *display = SIP_NOTHING;
    if (p < end && *p == '"') {
        for (p++; p < end && *p != '"'; p++)
            if (*p == '\\' || sip_is_control(*p)) return NULL;
        if (p == end) return NULL;
        *display = sip_run(start + 1, p++);
        if (p < end && *p == ' ') p++;
        return p < end && *p == '<' ? p : NULL;
    }
    while (p < end && (sip_is(*p, SIP_TOKEN) || *p == ' ')) p++;
    if (p == end || *p != '<') return start;
    if (p != start) {
        if (sip_is_blank(*start)) return NULL;
        *display = sip_trim(start, p);
        if (p - display->end > 1) return NULL; /* every blank is a part: see headers/_counts.py */
    }
    return p;
}

/* One address, with or without <>. */
static int sip_read_address(sip_text text, sip_address *address)
{
    const sip_byte *p = text.p, *end = text.end, *uri_end;
    sip_param_names names;
    sip_text name, value;
    if (sip_length(text) > SIP_MOST_PARTS) return 0;
    names.count = 0;
    address->params = address->tag = SIP_NOTHING;
    p = sip_read_display(p, end, &address->display);
    if (p == NULL || p == end) return 0;
    address->angle = *p == '<';
    if (address->angle) {
        uri_end = sip_find(sip_run(++p, end), '>');
        if (uri_end == NULL || !sip_read_uri(sip_run(p, uri_end), &address->uri)) return 0;
        p = uri_end + 1;
    } else {
        uri_end = sip_find(sip_run(p, end), ';');
        const sip_text uri = sip_run(p, uri_end == NULL ? end : uri_end);
        if (sip_find(uri, ',') != NULL || sip_find(uri, '?') != NULL) return 0; /* only in <> (RFC 3261 20) */
        if (!sip_read_uri(uri, &address->uri)) return 0;
        p = uri.end;
    }
    if (p < end && *p == ';') address->params = sip_run(p + 1, end);
    while (p < end && *p == ';') {
        p = sip_read_param(p + 1, end, &names, &name, &value);
        if (p == NULL) return 0;
        if (sip_is_word(name, "tag")) {
            address->tag = value;
            if (value.p == NULL) return 0;
        }
    }
    return p == end;
}

/* A CSeq with one space before its method, and a number up to 2**31 - 1 in at most ten digits. */
static int sip_read_cseq(sip_text text, sip_cseq *cseq)
{
    const sip_byte *p = text.p;
    if (sip_length(text) > SIP_MOST_PARTS) return 0;
    while (p < text.end && sip_is_digit(*p) && p - text.p < 10) p++;
    cseq->number = sip_number(sip_run(text.p, p), SIP_LARGEST_CSEQ);
    if (cseq->number < 0 || p == text.end || *p != ' ') return 0;
    cseq->method = sip_run(p + 1, text.end);
    return sip_is_token(cseq->method);
}

#endif
