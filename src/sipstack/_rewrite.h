/* Rewriting: what is changed in the text of a value, or cut from it, without understanding all of it.
 *
 * These decide by quotes, <>, commas and semicolons alone, so that they work on values that are otherwise wrong too:
 * what a sender wrote cannot keep a server from stamping its Via or tagging its To. _rewrite.py is the twin.
 */
#ifndef SIPSTACK_REWRITE_H
#define SIPSTACK_REWRITE_H

#include "_bytes.h"

/* Writes a value, which gets no longer, with one space where a fold stood (RFC 3261 7.3.1). Returns where it ends. */
static sip_byte *sip_unfold(sip_byte *to, sip_text value)
{
    const sip_byte *start = to;
    while (value.p < value.end) {
        const sip_byte *line_end = sip_find(value, '\n');
        sip_text line = sip_run(value.p, line_end == NULL ? value.end : line_end);
        value.p = line_end == NULL ? value.end : line_end + 1;
        while (line.p < line.end && (sip_is_blank(*line.p) || *line.p == '\r')) line.p++;
        while (line.p < line.end && (sip_is_blank(line.end[-1]) || line.end[-1] == '\r')) line.end--;
        if (line.p == line.end) continue;
        if (to != start) *to++ = ' ';
        to = sip_put_text(to, line);
    }
    return to;
}

/* The quote that closes the quoted string that opens at p; the end where it is not closed. */
static const sip_byte *sip_quote_end(const sip_byte *p, const sip_byte *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end) p++;
    return p;
}

/* Where the quoted string ends that opens at p; the end where it is not closed. */
static const sip_byte *sip_skip_quoted(const sip_byte *p, const sip_byte *end)
{
    p = sip_quote_end(p, end);
    return p < end ? p + 1 : end;
}

/* Where the comment ends that opens at p: comments nest and know quoted-pairs; NULL where it is not closed. */
static const sip_byte *sip_comment_end(const sip_byte *p, const sip_byte *end)
{
    for (int depth = 0; p < end; p++) {
        if (*p == '\\' && p + 1 < end) p++;
        else if (*p == '(') depth++;
        else if (*p == ')' && --depth == 0) return p + 1;
    }
    return NULL;
}

/* Whether <> or a comment opens at p. A comment opens at the start or behind a blank; elsewhere a "(" is a letter of a
 * URI's user. */
static int sip_opens(const sip_byte *start, const sip_byte *p)
{
    return *p == '<' || (*p == '(' && (p == start || sip_is_blank(p[-1])));
}

/* Where that ends; NULL where it is not closed. */
static const sip_byte *sip_closing(const sip_byte *p, const sip_byte *end)
{
    if (*p == '(') return sip_comment_end(p, end);
    p = sip_find(sip_run(p, end), '>');
    return p == NULL ? NULL : p + 1;
}

/* Where the first element of a list ends: at a comma outside quotes, <> and comments. The same as
 * headers.split_list. */
static const sip_byte *sip_element_end(sip_text list)
{
    const sip_byte *p = list.p, *end = list.end;
    if (sip_find(list, ',') == NULL) return end;
    while (p < end && *p != ',') {
        if (*p == '"') {
            p = sip_skip_quoted(p, end);
        } else if (sip_opens(list.p, p)) {
            const sip_byte *close = sip_closing(p, end);
            p = close == NULL ? end : close;
        } else {
            p++;
        }
    }
    return p;
}

/* Where the commas and blanks end that stand at p. */
static const sip_byte *sip_skip_commas(const sip_byte *p, const sip_byte *end)
{
    while (p < end && (*p == ',' || sip_is_blank(*p))) p++;
    return p;
}

/* The first element of a list that is not empty, with the blanks behind it. */
static sip_text sip_first_element(sip_text list)
{
    list.p = sip_skip_commas(list.p, list.end);
    return sip_run(list.p, sip_element_end(list));
}

/* Where a parameter of a value ends: at a semicolon outside quotes. */
static const sip_byte *sip_param_end(const sip_byte *p, const sip_byte *end)
{
    const sip_byte *semicolon = sip_find(sip_run(p, end), ';');
    if (semicolon == NULL) semicolon = end;
    if (sip_find(sip_run(p, semicolon), '"') == NULL) return semicolon;
    while (p < end && *p != ';') p = *p == '"' ? sip_skip_quoted(p, end) : p + 1;
    return p;
}

/* Where a parameter ends: at a semicolon, outside quotes where a value has such as hide one. */
static const sip_byte *sip_via_param_end(const sip_byte *p, const sip_byte *end, int quoted)
{
    if (quoted) return sip_param_end(p, end);
    p = sip_find(sip_run(p, end), ';');
    return p == NULL ? end : p;
}

/* The name of a parameter, whatever stands behind it. */
static sip_text sip_param_name(const sip_byte *p, const sip_byte *end)
{
    p = sip_skip_blanks(p, end);
    sip_text name = sip_run(p, sip_skip(p, end, SIP_TOKEN));
    while (name.end < end && !sip_is_blank(*name.end) && *name.end != '=' && *name.end != '"') name.end++;
    return name;
}

/* ---------------------------------------------------------------- the To tag */

/* Where the parameters of an address begin: behind its <>, or at the first semicolon. */
static const sip_byte *sip_address_params(sip_text address)
{
    const sip_byte *p = address.p, *end = address.end, *semicolon = NULL;
    while (p < end) {
        if (*p == '"') {
            p = sip_skip_quoted(p, end);
        } else if (*p == '<') {
            const sip_byte *close = sip_find(sip_run(p, end), '>');
            return close == NULL ? end : close + 1;
        } else {
            if (*p == ';' && semicolon == NULL) semicolon = p;
            p++;
        }
    }
    return semicolon == NULL ? end : semicolon;
}

enum { SIP_OTHER_PARAM, SIP_BARE_TAG, SIP_TAG };

/* What the parameter is that begins behind its semicolon at p and ends at end: a tag, one without a value, another. */
static int sip_tag_kind(const sip_byte *p, const sip_byte *end)
{
    const sip_text name = sip_param_name(p, end);
    if (!sip_is_word(name, "tag")) return SIP_OTHER_PARAM;
    p = sip_skip_blanks(name.end, end);
    if (p == end) return SIP_BARE_TAG;
    if (*p != '=') return SIP_OTHER_PARAM;
    return sip_skip_blanks(p + 1, end) == end ? SIP_BARE_TAG : SIP_TAG;
}

/* Whether an address has a tag parameter with a value. */
static int sip_has_tag(sip_text address)
{
    const sip_byte *p = sip_param_end(sip_address_params(address), address.end);
    while (p < address.end) {
        const sip_byte *end = sip_param_end(p + 1, address.end);
        if (sip_tag_kind(p + 1, end) == SIP_TAG) return 1;
        p = end;
    }
    return 0;
}

/* Writes a tag behind all other parameters of an address without one, whose text begins at start and ends at end; a tag
 * parameter without a value makes way. There is room for five bytes besides the tag. Returns where it ends now. */
static sip_byte *sip_add_tag(sip_byte *start, sip_byte *end, sip_text tag)
{
    const sip_byte *p = sip_param_end(sip_address_params(sip_run(start, end)), end);
    sip_byte *to = start + (p - start);
    while (p < end) {
        const sip_byte *next = sip_param_end(p + 1, end);
        const size_t length = (size_t)(next - p);
        if (sip_tag_kind(p + 1, next) != SIP_BARE_TAG) {
            memmove(to, p, length);
            to += length;
        }
        p = next;
    }
    if (to == start || to[-1] != ';') to = sip_put(to, ";", 1);
    return sip_put_text(sip_put(to, "tag=", 4), tag);
}

/* ---------------------------------------------------------------- received and rport (RFC 3261 18.2.1, RFC 3581 4) */

/* The host of a sent-by, without brackets, of all that stands before a Via's parameters. */
static sip_text sip_sent_by_host(sip_text head)
{
    sip_text host = sip_trim(head.p, head.end);
    const sip_byte *digits = host.end;
    while (digits > host.p && sip_is_digit(digits[-1])) digits--;
    if (digits < host.end) {
        const sip_byte *colon = digits;
        while (colon > host.p && sip_is_blank(colon[-1])) colon--;
        if (colon > host.p && colon[-1] == ':') host = sip_trim(host.p, colon - 1);
    }
    for (const sip_byte *p = host.end; p > host.p; p--)
        if (sip_is_blank(p[-1])) { host.p = p; break; }
    if (sip_length(host) > 2 && *host.p == '[' && host.end[-1] == ']') { host.p++; host.end--; }
    return host;
}

/* Whether a < or a comment opens in a text that does not start at one: a comma behind that ends no element. */
static int sip_hides_comma(sip_text text)
{
    for (const sip_byte *p = text.p; p < text.end; p++)
        if (*p == '<' || (*p == '(' && p > text.p && sip_is_blank(p[-1]))) return 1;
    return 0;
}

/* The first quoted string, <> or comment of a Via from p on, which stands outside of them. It ends nowhere (NULL) where
 * it is not closed, and begins at the end of the Via where there is none. */
static sip_text sip_next_hidden(sip_text via, const sip_byte *p)
{
    const sip_byte *close;
    while (p < via.end && *p != '"' && !sip_opens(via.p, p)) p++;
    if (p == via.end) return sip_run(p, NULL);
    if (*p != '"') return sip_run(p, sip_closing(p, via.end));
    close = sip_quote_end(p, via.end);
    return sip_run(p, close == via.end ? NULL : close + 1);
}

/* Whether a quote of a Via is not closed, or stands where it opens no quoted string. */
static int sip_has_stray_quote(sip_text via)
{
    for (const sip_byte *p = via.p; p != NULL;) {
        const sip_text hidden = sip_next_hidden(via, p);
        if (hidden.p < via.end && *hidden.p == '"') {
            if (hidden.end == NULL) return 1;
        } else if (sip_find(sip_run(hidden.p, hidden.end == NULL ? via.end : hidden.end), '"')) {
            return 1;
        }
        p = hidden.end;
    }
    return 0;
}

/* Where to write what shall stand at a place of a Via: there, and where that is hidden, at the semicolon before what
 * hides it, or where that opens. *hidden is the last that was looked at; places are asked for in order. An open quote
 * hides nothing. */
static const sip_byte *sip_outside(
    sip_text *hidden, sip_text via, const sip_byte *place, const sip_byte *semicolon)
{
    while (hidden->end != NULL && hidden->end <= place) *hidden = sip_next_hidden(via, hidden->end);
    if (hidden->p >= place || (hidden->end == NULL && *hidden->p == '"')) return place;
    return semicolon == NULL ? hidden->p : semicolon;
}

#define SIP_STAMP_ROOM 20 /* what a stamp can add besides the source address: ";received=", and "=65535" */

/* Writes the value of a Via line with `received` and `rport` in its first Via as a receiver sets them, and returns
 * where that ends. What the sender wrote there is overwritten, and what it wrote twice taken out: it would send our
 * responses to others. So no quote hides a parameter where one is not closed. What we write stands in no quotes, <> and
 * comment: that parameter goes, and what is behind it. A second stamp changes nothing. *asked: whether
 * rport is there, which the response goes back by. */
static sip_byte *sip_stamp(sip_byte *to, sip_text value, sip_text source, uint32_t port, int *asked)
{
    const sip_text first = sip_first_element(value), via = sip_run(first.p, sip_trim(first.p, first.end).end);
    const sip_byte *end = via.end, *from = value.p, *semicolon = NULL;
    const int quotes = sip_find(via, '"') != NULL, quoted = quotes && !sip_has_stray_quote(via);
    const sip_byte *params = sip_via_param_end(via.p, end, quoted);
    /* In most there is none, and nobody looks at each byte. */
    sip_text hidden = quotes || sip_find(via, '<') || sip_find(via, '(') ? sip_run(via.p, via.p) : sip_run(end, NULL);
    int received = 0, rport = 0;
    for (const sip_byte *p = params; p < end;) {
        const sip_byte *next = sip_via_param_end(p + 1, end, quoted);
        const sip_text name = sip_param_name(p + 1, next), rest = sip_run(name.end, next);
        int *seen = sip_is_word(name, "received") ? &received : sip_is_word(name, "rport") ? &rport : NULL;
        const sip_byte *until = sip_outside(&hidden, via, p, semicolon);
        if (seen != NULL) {
            to = sip_put_text(to, sip_run(from, until));
            /* A <, a comment or a quote that is overwritten may hide commas: what is left of the Via goes too. */
            if (until < p || sip_hides_comma(rest) || (!quoted && sip_find(rest, '"'))) next = end;
            from = next;
            if (!*seen) {
                to = sip_put(sip_put_text(to, sip_run(p, name.end)), "=", 1);
                to = seen == &rport ? sip_put_number(to, port) : sip_put_text(to, source);
                from = sip_trim(name.p, next).end;
            }
            *seen = 1;
        }
        if (until == p) semicolon = p;
        p = next;
    }
    *asked = rport;
    if (!received && !rport && sip_same(sip_sent_by_host(sip_run(via.p, params)), source))
        return sip_put_text(to, value);
    to = sip_put_text(to, sip_run(from, received || from == end ? end : sip_outside(&hidden, via, end, semicolon)));
    if (!received) to = sip_put_text(sip_put(to, ";received=", 10), source);
    if (end == value.end)
        while (sip_is_blank(to[-1])) to--; /* what stood between them and a parameter that was taken out */
    return sip_put_text(to, sip_run(end, value.end));
}

#endif
