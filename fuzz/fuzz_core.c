/* Fuzzes the plain C rooms of the compiled core (src/sipstack/_*.h) without an interpreter.
 *
 *     cc -O2 -Isrc/sipstack -o fuzz_core fuzz/fuzz_core.c
 *     ./fuzz_core [-s SECONDS] [-n EXECUTIONS] [-r SEED] [-o FILE] MESSAGE...
 *
 * The messages are checked as they stand first, then mutated until the time (5 s) or the executions are used up. An
 * execution is a whole message or the value of one header, and everything in the rooms that the Cython code calls is
 * called on it. The same seed (it is printed) and number of executions give the same inputs and the same digest of all
 * results, with SSE2 and without: .ci/sanitize compares the two. What breaks an invariant, crashes, or takes ten
 * seconds is written to FILE (fuzz_core.found); give that as the only MESSAGE, with -n 0, to see it again.
 *
 * Each input and output has a block of exactly its length. With ASan it comes from malloc; without, it ends at a page
 * that may not be touched, so that one byte too far is seen there too.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "_forward.h"
#include "_head.h"
#include "_keys.h"
#include "_rewrite.h"
#include "_utf8.h"
#include "_values.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FUZZ_ASAN 1
#endif

enum { LONGEST = 8192, MOST_SEEDS = 1024, KEPT = 128, MOST_HEADERS = 256 };

typedef struct {
    sip_byte bytes[LONGEST];
    size_t length;
} input;

static input current; /* the input of this execution, which is saved where it finds something */
static uint64_t seed, executions;
static const char *found_path = "fuzz_core.found";

/* ---------------------------------------------------------------- what is found */

/* The sanitizers shall end with a signal, so that on_signal sees them. ASan looks for a function of this name. */
const char *__asan_default_options(void) { return "abort_on_error=1:detect_leaks=0"; }
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

static void on_signal(int number)
{
    char text[200];
    const int file = open(found_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    const int saved = file >= 0 && write(file, current.bytes, current.length) == (ssize_t)current.length;
    const int length = snprintf(
        text, sizeof text, "FOUND by signal %d, seed %llu, execution %llu: the input is %s%.60s\n", number,
        (unsigned long long)seed, (unsigned long long)executions, saved ? "in " : "not saved: ", found_path);
    if (write(2, text, (size_t)length) != length) _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

static void broken(const char *what, int line)
{
    fprintf(stderr, "fuzz_core.c:%d: this does not hold: %s\n", line, what);
    abort();
}

#define CHECK(what) do { if (!(what)) broken(#what, __LINE__); } while (0)

/* What every result goes into; two builds of the same code have the same. */
static uint64_t digest = 0xCBF29CE484222325ull;

static void note(uint64_t result) { digest = (digest ^ result) * 0x100000001B3ull; }

static void note_text(sip_text text)
{
    note(sip_length(text));
    for (; text.p < text.end; text.p++) note(*text.p);
}

static void note_part(sip_text part, sip_text whole)
{
    note(part.p == NULL ? UINT64_MAX : (uint64_t)(part.p - whole.p));
    note(sip_length(part));
}

/* ---------------------------------------------------------------- blocks of an exact length */

enum { FOR_DATA, FOR_SPANS, FOR_VALUE, FOR_UNFOLDED, FOR_AGAIN, FOR_STAMP, FOR_STAMP_AGAIN, FOR_HOST, BLOCKS };

static int at_front; /* whether what is read begins behind a guarded page, instead of ending before one */

#ifdef FUZZ_ASAN
static sip_byte *block(int purpose, size_t length)
{
    static sip_byte *blocks[BLOCKS];
    const size_t nothing = length == 0; /* malloc(0) gives a byte: none is what is behind it */
    free(blocks[purpose]);
    blocks[purpose] = malloc(length + nothing);
    CHECK(blocks[purpose] != NULL);
    return blocks[purpose] + nothing;
}
#else
enum { PAGES = 16 * LONGEST }; /* a multiple of every page size up to 64 KiB */

/* Memory of this length between two pages that may not be touched. */
static sip_byte *guarded_pages(void)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    sip_byte *pages = mmap(NULL, PAGES + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && mprotect(pages + guard, PAGES, PROT_READ | PROT_WRITE) == 0);
    return pages + guard;
}

/* A block for a purpose; the one before it is given up. What is written into always ends before the guarded page. */
static sip_byte *block(int purpose, size_t length)
{
    static sip_byte *pages[BLOCKS];
    CHECK(length <= PAGES);
    if (pages[purpose] == NULL) pages[purpose] = guarded_pages();
    return at_front && purpose <= FOR_VALUE ? pages[purpose] : pages[purpose] + PAGES - length;
}
#endif

static sip_text block_of(int purpose, sip_text text)
{
    sip_byte *start = block(purpose, sip_length(text));
    return sip_run(start, sip_put_text(start, text));
}

static sip_text words(const char *text)
{
    return sip_run((const sip_byte *)text, (const sip_byte *)text + strlen(text));
}

static int is_equal(sip_text a, sip_text b)
{
    return sip_length(a) == sip_length(b) && (a.p == a.end || memcmp(a.p, b.p, sip_length(a)) == 0);
}

static int is_inside(sip_text part, sip_text whole)
{
    if (part.p == NULL) return part.end == NULL;
    return whole.p <= part.p && part.p <= part.end && part.end <= whole.end;
}

/* ---------------------------------------------------------------- names */

/* Of every length that makes a difference: 15, 16, 17 and more bytes, and as many as there is room for. */
static const char *const more_names[] = {
    "subject", "supported", "date", "accept-encoding", "p-associated-uri", "p-called-party-id", "p-asserted-identity",
    "p-asserted-service", "accept-resource-priority", "a-name-that-is-as-long-as-it-can",
};
static const struct { char name; unsigned id; } compact_names[] = {
    {'v', SIP_VIA}, {'f', SIP_FROM}, {'t', SIP_TO}, {'i', SIP_CALL_ID}, {'l', SIP_CONTENT_LENGTH}, {'m', SIP_CONTACT},
    {'c', SIP_CONTENT_TYPE}, {'s', SIP_OWN_NAMES}, {'k', SIP_OWN_NAMES + 1},
};

/* What load_names in _text.pxi does. */
static void load_names(void)
{
    sip_start_kinds();
    for (unsigned id = 1; id < SIP_OWN_NAMES; id++) {
        char lower[SIP_LONGEST_NAME];
        const size_t length = strlen(sip_own_names[id]);
        for (size_t at = 0; at < length; at++) lower[at] = (char)sip_lower((sip_byte)sip_own_names[id][at]);
        CHECK(sip_add_name(lower, length, id) == 0);
    }
    for (unsigned at = 0; at < sizeof more_names / sizeof *more_names; at++)
        CHECK(sip_add_name(more_names[at], strlen(more_names[at]), SIP_OWN_NAMES + at) == 0);
    for (unsigned at = 0; at < sizeof compact_names / sizeof *compact_names; at++)
        CHECK(sip_add_name(&compact_names[at].name, 1, compact_names[at].id) == 0);
    CHECK(sip_add_name("a-name-that-is-longer-than-it-can", 33, 1) < 0 && sip_add_name("", 0, 1) < 0);
    CHECK(sip_find_id(SIP_NOTHING) == SIP_UNKNOWN);
}

/* The id of a name, found by looking at all of them. */
static unsigned plain_id(sip_text name)
{
    for (unsigned at = 1; at < sip_name_count; at++) {
        const sip_name *known = &sip_names[at];
        if (sip_same(name, sip_run(known->text, known->text + sip_name_length(known)))) return sip_id(known);
    }
    return SIP_UNKNOWN;
}

/* ---------------------------------------------------------------- values */

static void check_bytes(sip_text text)
{
    const sip_byte *control = text.p;
    while (control < text.end && !((*control < ' ' && *control != '\t') || *control == 127)) control++;
    CHECK((sip_has_control(text) != 0) == (control < text.end));
    const int bad = sip_has_bad_control(text.p, text.end);
    CHECK(!bad || control < text.end);
    note((uint64_t)bad);
    CHECK(sip_find_id(text) == plain_id(text));
    note_part(sip_trim(text.p, text.end), text);
}

/* Every byte is in one character, written as its number says, or is escaped. */
static void check_chars(sip_text text)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    const sip_chars chars = sip_count_chars(text);
    size_t count = 0;
    uint32_t largest = 0x7F;
    int escaped = 0;
    while (text.p < text.end) {
        const sip_byte *start = text.p;
        const uint32_t c = sip_next_char(&text.p, text.end);
        const size_t length = (size_t)(text.p - start);
        CHECK(text.p > start && text.p <= text.end && length <= 4);
        const int is_escaped = c >= 0xD800 && c < 0xE000;
        if (is_escaped) CHECK(length == 1 && *start >= 0x80 && c == (SIP_ESCAPED | *start));
        else CHECK(c >= lowest[length] && c <= 0x10FFFF);
        if (!is_escaped) CHECK(length == 1 ? c == *start : (c & 0x3F) == (text.p[-1] & 0x3Fu));
        escaped |= is_escaped;
        largest = c > largest ? c : largest;
        count++;
    }
    CHECK(chars.count == count && chars.largest == largest && chars.escaped == escaped);
    note(count);
    note(largest);
}

/* Against what C's own library reads, and what it writes. */
static void check_number(sip_text text, int64_t most)
{
    const int64_t number = sip_number(text, most);
    const sip_byte *p = text.p;
    char digits[20];
    note((uint64_t)number);
    while (p < text.end && *p >= '0' && *p <= '9') p++;
    if (p < text.end || text.p == text.end) {
        CHECK(number == -1);
        return;
    }
    for (p = text.p; p < text.end && *p == '0';) p++;
    const size_t length = (size_t)(text.end - p);
    CHECK(length <= 17 || number == -1);
    if (length > 17) return;
    *sip_put_text((sip_byte *)digits, sip_run(p, text.end)) = 0;
    const int64_t expected = length ? strtoll(digits, NULL, 10) : 0;
    CHECK(number == (expected <= most ? expected : -1));
    if (number < 0) return;
    sip_byte *written = block(FOR_AGAIN, length ? length : 1);
    const sip_byte *end = sip_put_number(written, (uint32_t)number);
    CHECK(is_equal(sip_run(written, end), length ? sip_run(p, text.end) : words("0")));
}

static void check_start_line(sip_text text)
{
    sip_start_line line;
    if (!sip_read_start_line(&line, text)) return;
    note((uint64_t)line.method << 32 | line.uri);
    note((uint64_t)line.version << 32 | line.reason);
    note((uint64_t)line.status);
    if (line.status == 0) {
        CHECK(line.method && line.uri && line.version && !line.reason);
        CHECK((size_t)line.method + line.uri + line.version + 2 == sip_length(text));
        CHECK(text.p[line.method] == ' ' && text.p[line.method + 1 + line.uri] == ' ');
    } else {
        const size_t blank = line.reason || sip_length(text) > line.version + 4u;
        CHECK(line.status >= 100 && line.status <= 699 && line.version && !line.method && !line.uri);
        CHECK(line.version + 4 + blank + line.reason == sip_length(text) && text.p[line.version] == ' ');
    }
}

static void check_port(int port) { CHECK(port >= SIP_NO_PORT && port <= 65535); note((uint64_t)port); }

static void check_uri_parts(const sip_uri *uri, sip_text text)
{
    CHECK(is_inside(uri->user, text) && is_inside(uri->host, text) && is_inside(uri->params, text));
    CHECK(uri->tel ? uri->user.p < uri->user.end && uri->host.p == NULL : uri->host.p < uri->host.end);
    CHECK(uri->params.p == NULL || (uri->params.end == text.end && uri->params.p[-1] == ';'));
    CHECK(uri->user.p == NULL || uri->host.p == NULL || uri->user.end + 1 == uri->host.p);
    CHECK(!(uri->tel && uri->secure) && !sip_has_control(text) && sip_find(text, ' ') == NULL);
    check_port(uri->port);
    note_part(uri->user, text);
    note_part(uri->host, text);
    note_part(uri->params, text);
}

static void check_uri(sip_text text)
{
    sip_uri uri;
    if (sip_read_uri(text, &uri)) check_uri_parts(&uri, text);
}

static void check_address(sip_text text)
{
    sip_address address, tagged;
    if (!sip_read_address(text, &address)) return;
    CHECK(is_inside(address.display, text) && is_inside(address.params, text));
    CHECK(is_inside(address.tag, address.params));
    const sip_byte *uri_end = address.params.p != NULL ? address.params.p - 1 : text.end;
    const sip_byte *uri_start = address.uri.tel ? address.uri.user.p - 4
                                : address.uri.user.p != NULL ? address.uri.user.p - 4 - address.uri.secure
                                                             : address.uri.host.p - 4 - address.uri.secure;
    CHECK(address.angle ? uri_start[-1] == '<' && uri_end[-1] == '>' : uri_start == text.p);
    check_uri_parts(&address.uri, sip_run(uri_start, uri_end - address.angle));
    CHECK(address.params.p == NULL || address.params.end == text.end);
    CHECK(address.display.p == NULL || (address.angle && address.display.end < uri_start));
    note_part(address.display, text);
    note_part(address.tag, text);
    /* Those that look at quotes and <> alone see the same. */
    CHECK(sip_element_end(text) == text.end);
    CHECK((sip_has_tag(text) != 0) == (address.tag.p != NULL));
    if (address.tag.p != NULL) return;
    sip_byte *start = block(FOR_AGAIN, sip_length(text) + 6), *end = sip_put_text(start, text);
    end = sip_add_tag(start, end, words("x"));
    CHECK(sip_has_tag(sip_run(start, end)));
    if (sip_read_address(sip_run(start, end), &tagged)) CHECK(is_equal(tagged.tag, words("x")));
}

static void check_via_parts(const sip_via *via, sip_text text)
{
    const sip_text first = sip_run(text.p, via->end);
    CHECK(via->end == sip_element_end(text) && (via->end == text.end || *via->end == ','));
    CHECK(is_inside(via->transport, first) && sip_is_token(via->transport) && via->transport.p == text.p + 8);
    CHECK(is_inside(via->host, first) && via->host.p == via->transport.end + 1 && via->host.p < via->host.end);
    CHECK(via->params.p == NULL || (via->params.end == via->end && via->params.p[-1] == ';'));
    CHECK(is_inside(via->branch, via->params) && is_inside(via->received, via->params));
    CHECK(via->branch.p == NULL || via->branch.p < via->branch.end);
    check_port(via->port);
    check_port(via->rport);
    note_part(first, text);
    note_part(via->host, text);
    note_part(via->params, text);
    note_part(via->branch, text);
    note_part(via->received, text);
}

/* A host in the form that equal ones share: that of itself, and no longer than there is room for. */
static void check_host(sip_text host)
{
    const size_t room = sip_length(host) + SIP_HOST_ROOM;
    sip_byte *start = block(FOR_AGAIN, room), *again = block(FOR_HOST, room + SIP_HOST_ROOM);
    const sip_text put = sip_run(start, sip_put_host(start, host));
    sip_text read;
    int port;
    CHECK(sip_length(put) <= room && (*host.p == '[' || sip_same(put, host)));
    if (sip_read_host_port(put.p, put.end, &read, &port) == put.end)
        CHECK(is_equal(put, sip_run(again, sip_put_host(again, put))));
    else
        CHECK(sip_find(put, '.') && memcmp(put.p, "[::ffff:", 8) == 0);
    note_text(put);
}

static void check_hex(uint32_t number)
{
    char expected[9];
    sip_byte *written = block(FOR_AGAIN, 8);
    snprintf(expected, sizeof expected, "%08x", number);
    CHECK(sip_put_hex(written, number) == written + 8 && memcmp(written, expected, 8) == 0);
}

/* What is written of a hop is read again, and its hash is the same in one piece and in many. */
static void check_signed_hop(const sip_byte *start, sip_byte *end)
{
    static const sip_byte key[16] = "0123456789abcde";
    sip_hash whole = sip_start_hash(key), pieces = whole;
    sip_hop hop;
    sip_add_line_to_hash(&whole, sip_run(start, end));
    for (const sip_byte *p = start; p < end; p++) sip_add_to_hash(&pieces, sip_run(p, p + 1));
    sip_add_line_to_hash(&pieces, sip_run(end, end));
    for (const sip_byte *p = start, *next; p < end; p = next) { /* words that begin at each place of another */
        next = p + (p - start) % 7 + 1 < end ? p + (p - start) % 7 + 1 : end;
        sip_add_line_to_hash(&whole, sip_run(p, next));
        sip_add_to_hash(&pieces, sip_run(p, next));
        sip_add_to_hash(&pieces, words("\n"));
    }
    check_hex((uint32_t)(whole.a ^ whole.tail));
    sip_byte digits[SIP_HASH_SIZE];
    sip_put_hash(digits, pieces);
    sip_byte *hash = end + 1;
    *end = '/';
    *sip_put_hash(hash, whole) = '>';
    CHECK(memcmp(digits, hash, SIP_HASH_SIZE) == 0);
    CHECK(sip_read_signed_hop(sip_run(start, hash + SIP_HASH_SIZE + 1), &hop) && hop.text.end == end && hop.port > 0);
    note_text(sip_run(start, hash + SIP_HASH_SIZE));
}

static void check_via(sip_text text)
{
    sip_via via, again;
    if (!sip_read_via(text, &via)) return;
    check_via_parts(&via, text);
    check_host(via.host);
    note((uint64_t)sip_is_rfc3261_branch(via.branch) + sip_default_port(via.transport));
    CHECK(sip_read_via(sip_run(text.p, via.end), &again) && again.end == via.end);
    CHECK(is_equal(via.host, again.host) && is_equal(via.params, again.params) && via.port == again.port);
    if (!sip_is_plain_via(&via)) return;
    sip_byte hop[SIP_HOP_ROOM + SIP_HASH_SIZE + 2];
    sip_byte *end = sip_put_response_hop(hop, &via);
    CHECK(end <= hop + SIP_HOP_ROOM && sip_response_port(&via) > 0);
    check_signed_hop(hop, end);
}

/* Against a search for each place. */
static void check_maddr(sip_text text, int found)
{
    int expected = 0;
    const sip_byte *params = sip_find(text, ';');
    for (const sip_byte *p = params; p != NULL && p < text.end; p++)
        if (*p == '%' || (text.end - p >= 5 && sip_same(sip_run(p, p + 5), words("maddr")))) expected = 1;
    CHECK(found == expected);
}

static void check_hop(sip_text text)
{
    sip_hop hop;
    const int way = sip_names_a_way(text), maddr = sip_has_maddr(text);
    note((uint64_t)way << 1 | (uint64_t)maddr);
    check_maddr(text, maddr);
    CHECK(sip_is_secure(text) == (sip_length(text) >= 5 && sip_same(sip_run(text.p, text.p + 5), words("sips:"))));
    note((uint64_t)sip_has_branch(text, (const sip_byte *)"z9hG4bK0123456789abcdef"));
    if (!sip_read_signed_hop(text, &hop)) return;
    CHECK(is_inside(hop.transport, text) && is_inside(hop.host, text) && is_inside(hop.signature, text));
}

static void check_cseq(sip_text text)
{
    sip_cseq cseq, again;
    if (!sip_read_cseq(text, &cseq)) return;
    CHECK(cseq.number >= 0 && cseq.number <= 0x7FFFFFFF && sip_is_token(cseq.method) && cseq.method.end == text.end);
    sip_byte *start = block(FOR_AGAIN, sip_length(text)), *end = sip_put_number(start, (uint32_t)cseq.number);
    end = sip_put_text(sip_put(end, " ", 1), cseq.method);
    CHECK(sip_read_cseq(sip_run(start, end), &again) && again.number == cseq.number);
    CHECK(is_equal(again.method, cseq.method));
    note((uint64_t)cseq.number);
}

/* ---------------------------------------------------------------- rewriting */

/* A list as pop_element takes it apart. */
static void check_elements(sip_text list)
{
    for (;;) {
        const sip_byte *end = sip_element_end(list);
        CHECK(list.p <= end && end <= list.end && (end == list.end || *end == ','));
        CHECK(sip_element_end(sip_run(list.p, end)) == end);
        note((uint64_t)(end - list.p));
        if (end == list.end) return;
        list.p = sip_skip_blanks(end + 1, list.end);
    }
}

static sip_text unfolded(sip_text value)
{
    sip_byte *start = block(FOR_UNFOLDED, sip_length(value));
    const sip_text text = sip_run(start, sip_unfold(start, value));
    CHECK(sip_length(text) <= sip_length(value) && sip_find(text, '\n') == NULL);
    CHECK(sip_has_bad_control(value.p, value.end) || sip_find(text, '\r') == NULL);
    CHECK(is_equal(text, sip_trim(text.p, text.end)));
    sip_byte *again = block(FOR_AGAIN, sip_length(text));
    CHECK(is_equal(sip_run(again, sip_unfold(again, text)), text));
    note_text(text);
    return text;
}

static sip_text stamped(int purpose, sip_text value, sip_text source, uint32_t port, int *asked)
{
    sip_byte *start = block(purpose, sip_length(value) + sip_length(source) + SIP_STAMP_ROOM);
    return sip_run(start, sip_stamp(start, value, source, port, asked));
}

/* A stamped Via says where it came from, and a second stamp finds nothing to change. */
static void check_stamp(sip_text value, sip_text source, uint32_t port)
{
    int asked, asked_again;
    sip_via before, after;
    const sip_text stamp = stamped(FOR_STAMP, value, source, port, &asked);
    CHECK(sip_length(stamp) <= sip_length(value) + sip_length(source) + SIP_STAMP_ROOM);
    note_text(stamp);
    note((uint64_t)asked);
    const sip_text again = stamped(FOR_STAMP_AGAIN, stamp, source, port, &asked_again);
    CHECK(is_equal(stamp, again) && asked == asked_again);
    const int readable = sip_read_via(value, &before);
    CHECK(!readable || asked == (before.rport != SIP_NO_PORT));
    if (!sip_read_via(stamp, &after)) { /* with `received` it may have one parameter more than are counted */
        CHECK(!readable || before.received.p == NULL);
        return;
    }
    /* That holds where the Via could not be read before too. */
    CHECK(after.rport == (asked ? (int)port : SIP_NO_PORT));
    const int bracket = *after.host.p == '[';
    const sip_text host = sip_run(after.host.p + bracket, after.host.end - bracket);
    CHECK(after.received.p == NULL ? !asked && sip_same(host, source) : is_equal(after.received, source));
    if (!readable) return;
    CHECK(is_equal(before.host, after.host) && is_equal(before.branch, after.branch) && before.port == after.port);
    CHECK(is_equal(sip_run(before.end, value.end), sip_run(after.end, stamp.end)));
}

static void check_text(sip_text text)
{
    static const char *const sources[] = {"192.0.2.1", "127.0.0.1", "2001:db8::1", "a"};
    check_bytes(text);
    check_chars(text);
    check_number(text, 255);
    check_number(text, SIP_LARGEST_CONTENT_LENGTH);
    check_start_line(text);
    check_uri(text);
    check_via(text);
    check_address(text);
    check_cseq(text);
    check_hop(text);
    check_elements(text);
    note((uint64_t)sip_has_tag(text));
    check_stamp(text, words(sources[sip_length(text) % 4]), 1 + (uint32_t)(sip_length(text) * 7919 % 65535));
}

/* A value as it stands in a message, and on one line. */
static void check_value(sip_text value)
{
    value = block_of(FOR_VALUE, value);
    check_text(value);
    const sip_text text = unfolded(value);
    if (!is_equal(text, value)) check_text(text);
}

/* ---------------------------------------------------------------- heads */

/* The header at `line` as plainly as it can be said. Returns where the next begins; NULL where there is none. */
static const sip_byte *plain_header(
    sip_head *head, sip_span *span, const sip_byte *data, const sip_byte *line, const sip_byte *end)
{
    const sip_byte *last = sip_find(sip_run(line, end), '\n');
    if (last == NULL) return NULL;
    const sip_byte *colon = sip_find(sip_run(line, last), ':');
    while (last + 1 < end && sip_is_blank(last[1])) {
        last = sip_find(sip_run(last + 1, end), '\n');
        if (last == NULL) return NULL;
    }
    if (colon == NULL) return NULL;
    const sip_byte *name_end = colon, *value = colon + 1, *value_end = last;
    if (value_end[-1] == '\r') value_end--;
    if (sip_has_bad_control(value, value_end)) return NULL;
    while (name_end > line && sip_is_blank(name_end[-1])) name_end--;
    while (value < value_end && sip_is_fold(*value)) value++;
    while (value < value_end && sip_is_fold(value_end[-1])) value_end--;
    if (!sip_is_token(sip_run(line, name_end))) return NULL;
    const unsigned id = plain_id(sip_run(line, name_end));
    const uint32_t folded = sip_find(sip_run(value, value_end), '\n') ? SIP_FOLDED : 0;
    *span = (sip_span){(uint32_t)(line - data), (uint32_t)(value - data), (uint32_t)(value_end - data),
                       (uint32_t)(last + 1 - data), sip_bits(name_end - line, folded, id)};
    return id == SIP_CONTENT_LENGTH && !sip_note_content_length(head, sip_run(value, value_end)) ? NULL : last + 1;
}

/* Where the line end at p ends; p where there is none. */
static const sip_byte *plain_line_end(const sip_byte *p, const sip_byte *end)
{
    if (p < end && *p == '\n') return p + 1;
    return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? p + 2 : p;
}

static int plain_start_line(sip_head *head, const sip_byte *line, const sip_byte *last)
{
    const sip_text text = sip_run(line, last - (last > line && last[-1] == '\r'));
    if (sip_has_control(text) || !sip_read_start_line(&head->line, text)) return 0;
    return head->line.status != 0 || sip_find(text, '\t') == NULL;
}

/* Reads a head a line at a time, in no hurry. */
static int plain_head(sip_head *head, sip_span *spans, uint32_t room, sip_text data)
{
    const sip_byte *line = data.p, *next;
    while ((next = plain_line_end(line, data.end)) > line) line = next;
    const sip_byte *last = sip_find(sip_run(line, data.end), '\n');
    head->start = (uint32_t)(line - data.p);
    head->content_length = -1;
    if (last == NULL || !plain_start_line(head, line, last)) return 0;
    line = last + 1;
    head->line_end = (uint32_t)(line - data.p);
    if (line < data.end && sip_is_blank(*line)) return 0;
    for (head->count = 0; (next = plain_line_end(line, data.end)) == line; head->count++) {
        if (head->count == room) return 0;
        line = plain_header(head, &spans[head->count], data.p, line, data.end);
        if (line == NULL) return 0;
    }
    head->body = (uint32_t)(next - data.p);
    return head->content_length <= data.end - next;
}

static int is_same_line(const sip_start_line *a, const sip_start_line *b)
{
    return a->method == b->method && a->uri == b->uri && a->version == b->version && a->reason == b->reason
           && a->status == b->status;
}

/* Whether two heads are the same but for where the message begins. */
static int is_same_head(const sip_head *a, const sip_head *b)
{
    return is_same_line(&a->line, &b->line) && a->line_end - a->start == b->line_end - b->start
           && a->body - a->start == b->body - b->start && a->count == b->count
           && a->content_length == b->content_length;
}

/* What Message relies on (_table.pxi). */
static void check_spans(const sip_head *head, const sip_span *spans, sip_text data)
{
    uint32_t line = head->line_end;
    CHECK(head->start < head->line_end && head->line_end < head->body && head->body <= sip_length(data));
    CHECK(head->content_length <= (int64_t)(sip_length(data) - head->body));
    for (uint32_t at = 0; at < head->count; at++) {
        const sip_span *span = &spans[at];
        CHECK(span->name == line && sip_name_length(span) > 0 && !(span->bits & SIP_OWNED));
        CHECK(span->name + sip_name_length(span) < span->value && span->value <= span->value_end);
        CHECK(span->value_end < span->line_end && data.p[span->line_end - 1] == '\n');
        const sip_text value = sip_run(data.p + span->value, data.p + span->value_end);
        CHECK(!(span->bits & SIP_FOLDED) == (sip_find(value, '\n') == NULL));
        CHECK(value.p == value.end || !(sip_is_fold(*value.p) || sip_is_fold(value.end[-1])));
        line = span->line_end;
    }
    CHECK(plain_line_end(data.p + line, data.end) == data.p + head->body && head->body > line);
    int high = 0;
    for (const sip_byte *p = data.p + head->start; p < data.p + head->body; p++) high |= *p >= 0x80;
    CHECK(head->high == high);
}

/* With room for exactly its headers it is the same, with less it is refused. */
static void check_room(const sip_head *head, const sip_span *spans, sip_text data)
{
    sip_head again;
    sip_span *exact = (sip_span *)(void *)block(FOR_SPANS, head->count * sizeof(sip_span));
    CHECK(sip_read_head(&again, exact, head->count, data.p, data.end) && is_same_head(head, &again));
    CHECK(head->count == 0 || memcmp(exact, spans, head->count * sizeof(sip_span)) == 0);
    if (head->count == 0) return;
    exact = (sip_span *)(void *)block(FOR_SPANS, (head->count - 1) * sizeof(sip_span));
    CHECK(!sip_read_head(&again, exact, head->count - 1, data.p, data.end));
}

/* Message drops what is before and behind it, and moves the spans (message_of in _table.pxi). */
static void check_move(const sip_head *head, const sip_span *spans, sip_text data)
{
    sip_span moved[MOST_HEADERS];
    sip_head alone;
    const sip_byte *end = head->content_length < 0 ? data.end : data.p + head->body + head->content_length;
    data = block_of(FOR_AGAIN, sip_run(data.p + head->start, end));
    CHECK(sip_read_head(&alone, moved, MOST_HEADERS, data.p, data.end) && is_same_head(head, &alone));
    CHECK(alone.start == 0);
    for (uint32_t at = 0; at < head->count; at++) {
        sip_move(&moved[at], head->start);
        CHECK(memcmp(&moved[at], &spans[at], sizeof(sip_span)) == 0);
    }
}

/* Written anew with each header on one line, it is the same message (put_line_anew in _build.pxi). */
static void check_written_anew(const sip_head *head, const sip_span *spans, sip_text data)
{
    static sip_byte bytes[2 * LONGEST];
    sip_span anew[MOST_HEADERS];
    sip_head again;
    sip_byte *to = sip_put_text(bytes, sip_run(data.p + head->start, data.p + head->line_end));
    for (uint32_t at = 0; at < head->count; at++) {
        const sip_span *span = &spans[at];
        to = sip_put(sip_put(to, data.p + span->name, sip_name_length(span)), ": ", 2);
        to = sip_put(sip_unfold(to, sip_run(data.p + span->value, data.p + span->value_end)), "\r\n", 2);
    }
    to = sip_put_text(sip_put(to, "\r\n", 2), sip_run(data.p + head->body, data.end));
    const sip_text text = block_of(FOR_AGAIN, sip_run(bytes, to));
    CHECK(sip_read_head(&again, anew, MOST_HEADERS, text.p, text.end) && again.count == head->count);
    CHECK(is_same_line(&head->line, &again.line) && head->content_length == again.content_length);
    check_spans(&again, anew, text);
    for (uint32_t at = 0; at < head->count; at++) CHECK(anew[at].bits == (spans[at].bits & ~SIP_FOLDED));
}

static void check_found(const sip_head *head, const sip_span *spans, sip_text data)
{
    check_spans(head, spans, data);
    check_room(head, spans, data);
    check_move(head, spans, data);
    check_written_anew(head, spans, data);
    check_value(sip_run(data.p + head->start, data.p + head->line_end - 1));
    for (uint32_t at = 0; at < head->count; at++) {
        const sip_text name = sip_run(data.p + spans[at].name, data.p + spans[at].name + sip_name_length(&spans[at]));
        CHECK(sip_find_id(name) == sip_id(&spans[at]));
        check_value(sip_run(data.p + spans[at].value, data.p + spans[at].value_end));
    }
}

/* Whether it is a message. */
static int check_message(sip_text data)
{
    sip_span spans[MOST_HEADERS], plain_spans[MOST_HEADERS];
    sip_head head, plain;
    data = block_of(FOR_DATA, data);
    const int found = sip_read_head(&head, spans, MOST_HEADERS, data.p, data.end);
    CHECK(found == plain_head(&plain, plain_spans, MOST_HEADERS, data));
    note((uint64_t)found);
    if (!found) return 0;
    CHECK(is_same_head(&head, &plain) && head.start == plain.start);
    CHECK(head.count == 0 || memcmp(spans, plain_spans, head.count * sizeof(sip_span)) == 0);
    note((uint64_t)head.body << 32 | head.count);
    note((uint64_t)head.high);
    check_found(&head, spans, data);
    return 1;
}

/* ---------------------------------------------------------------- mutations */

static uint64_t random_state;

static size_t below(size_t most) /* xorshift64*; a number from 0 to most - 1 */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)(((random_state * 0x2545F4914F6CDD1Dull) >> 32) * most >> 32);
}

#define WORD(text) {text, sizeof text - 1}
static const struct { const char *bytes; size_t length; } snippets[] = {
    WORD("\r\n"), WORD("\n"), WORD("\r"), WORD("\r\n "), WORD("\r\n\t"), WORD("\n "), WORD("\r\n\r\n"),
    WORD("\r\n \r\n"), WORD("\""), WORD("\\"), WORD("\\\""), WORD("<"), WORD(">"), WORD(","), WORD(", "), WORD(";"),
    WORD(":"), WORD("("), WORD(" ("), WORD(")"), WORD("["), WORD("]"), WORD("@"), WORD("="), WORD("?"), WORD("%"),
    WORD(" "), WORD("\t"), WORD("\0"), WORD("\x01"), WORD("\x7f"), WORD("\xff"), WORD("a"), WORD("Z"), WORD("-"),
    WORD("."), WORD("0"), WORD("9"), WORD("65536"), WORD("2147483648"), WORD("255.255.255.255"), WORD("::"),
    WORD("[2001:db8::1]"), WORD(";rport"), WORD(";rport=1"), WORD(";rport= (a;b,"), WORD(";received=192.0.2.1"),
    WORD(";received=<a;b,"), WORD(";branch=z9hG4bK"), WORD(";tag=a"), WORD("sip:"), WORD("sips:"), WORD("tel:+1"),
    WORD("SIP/2.0"), WORD("SIP/2.0/UDP "), WORD("1 ACK"), WORD("Content-Length: 0\r\n"), WORD("l:0\r\n"),
    WORD("v:SIP/2.0/UDP h\r\n"), WORD("x:\r\n"), WORD("P-Associated-URI:x\r\n"), WORD("P-Called-Party-ID: y\r\n"),
    WORD("Accept-Encoding: z\r\n"), WORD("P-Called-Party-IX: w\r\n"),
};

/* Puts bytes over those from `at` to `end`; what is too long for an input falls off. */
static void replace(input *data, size_t at, size_t end, const void *bytes, size_t length)
{
    input old = *data;
    if (length > LONGEST - at) length = LONGEST - at;
    size_t rest = old.length - end;
    if (rest > LONGEST - at - length) rest = LONGEST - at - length;
    memcpy(data->bytes + at, bytes, length);
    memcpy(data->bytes + at + length, old.bytes + end, rest);
    data->length = at + length + rest;
}

static void mutate_once(input *data, const input *other)
{
    const size_t at = below(data->length + 1), left = data->length - at;
    const size_t end = at + (below(4) ? below((left < 16 ? left : 16) + 1) : below(left + 1));
    const size_t from = below(other->length + 1), rest = other->length - from;
    const size_t word = below(sizeof snippets / sizeof *snippets);
    sip_byte copy[LONGEST];
    memcpy(copy, data->bytes, data->length);
    switch (below(8)) {
    case 0:
        if (left) data->bytes[at] ^= (sip_byte)(1u << below(8));
        break;
    case 1: /* cut */
        replace(data, at, end, "", 0);
        break;
    case 2: /* splice: the one up to here, the other from there on */
        replace(data, at, data->length, other->bytes + from, rest);
        break;
    case 3: /* a piece of the other */
        replace(data, at, below(2) ? at : end, other->bytes + from, below((rest < 64 ? rest : 64) + 1));
        break;
    case 4: /* repeat, up to some sixty times */
        for (size_t times = below(3) ? 1 : below(64); times > 0; times--) replace(data, at, at, copy + at, end - at);
        break;
    case 5: /* one byte many times: other places in the blocks of 16 and 64 */
        memset(copy, left && below(2) ? data->bytes[at] : 'a', 80);
        replace(data, at, at, copy, below(80));
        break;
    case 6:
        replace(data, at, end, snippets[word].bytes, snippets[word].length);
        break;
    default:
        replace(data, at, at, snippets[word].bytes, snippets[word].length);
    }
}

static void mutate(input *data, const input *other)
{
    static const sip_byte often[] = {1, 1, 1, 1, 2, 2, 3, 8};
    for (int times = often[below(sizeof often)]; times > 0; times--) mutate_once(data, other);
}

/* ---------------------------------------------------------------- the run */

static input seeds[MOST_SEEDS + KEPT]; /* the files, and behind them mutated ones that were messages still */
static size_t seed_count, kept_count;

static const input *any_seed(void)
{
    return kept_count && below(4) == 0 ? &seeds[seed_count + below(kept_count)] : &seeds[below(seed_count)];
}

static void keep(const input *data)
{
    if (data->length > LONGEST / 2 || below(16)) return;
    seeds[seed_count + (kept_count < KEPT ? kept_count++ : below(KEPT))] = *data;
}

static void read_seed(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || seed_count == MOST_SEEDS) { fprintf(stderr, "fuzz_core: cannot take %s\n", path); exit(2); }
    seeds[seed_count].length = fread(seeds[seed_count].bytes, 1, LONGEST, file);
    seed_count++;
    fclose(file);
}

static sip_text whole(const input *data) { return sip_run(data->bytes, data->bytes + data->length); }

static void check_seeds(void)
{
    for (size_t at = 0; at < 2 * seed_count; at++) {
        at_front = at & 1;
        current = seeds[at / 2];
        check_message(whole(&current));
        check_value(whole(&current));
    }
}

/* Makes the value of one of its headers, or its start line, of a message. */
static void take_value(input *data)
{
    sip_span spans[MOST_HEADERS];
    sip_head head;
    if (!sip_read_head(&head, spans, MOST_HEADERS, data->bytes, data->bytes + data->length)) return;
    const size_t at = below(head.count + 1);
    const size_t start = at < head.count ? spans[at].value : head.start;
    data->length = (at < head.count ? spans[at].value_end : head.line_end) - start;
    memmove(data->bytes, data->bytes + start, data->length);
}

static void execute(void)
{
    at_front = below(4) == 0;
    current = *any_seed();
    if (below(2)) {
        mutate(&current, any_seed());
        if (check_message(whole(&current))) keep(&current);
    } else {
        input other = *any_seed();
        take_value(&current);
        take_value(&other);
        mutate(&current, &other);
        check_value(whole(&current));
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void run(double seconds, uint64_t most)
{
    const double start = now();
    while (executions < most) {
        if (executions % 256 == 0) {
            alarm(10);
            if (now() - start >= seconds) break;
        }
        execute();
        executions++;
    }
    alarm(0);
    const double took = now() - start;
    printf("%llu executions, %.1f s, %.0f a second, digest %016llx\n", (unsigned long long)executions, took,
           (double)executions / (took > 0 ? took : 1), (unsigned long long)digest);
}

int main(int count, char **arguments)
{
    static const int signals[] = {SIGABRT, SIGALRM, SIGSEGV, SIGBUS};
    double seconds = 0;
    uint64_t most = UINT64_MAX;
    seed = (uint64_t)time(NULL) << 16 ^ (uint64_t)getpid();
    for (int option; (option = getopt(count, arguments, "s:n:r:o:")) != -1;) {
        if (option == 's') seconds = strtod(optarg, NULL);
        else if (option == 'n') most = strtoull(optarg, NULL, 10);
        else if (option == 'r') seed = strtoull(optarg, NULL, 10);
        else if (option == 'o') found_path = optarg;
        else return 2;
    }
    if (seconds == 0) seconds = most == UINT64_MAX ? 5 : 1e9;
    for (int at = optind; at < count; at++) read_seed(arguments[at]);
    if (seed_count == 0) { fprintf(stderr, "fuzz_core: give it files with messages to start from\n"); return 2; }
#ifdef FUZZ_ASAN
    for (int at = 0; at < 2; at++) signal(signals[at], on_signal); /* ASan says more about the others */
#else
    for (int at = 0; at < 4; at++) signal(signals[at], on_signal);
#endif
    random_state = seed * 2 + 1;
    printf("seed %llu, %d files\n", (unsigned long long)seed, (int)seed_count);
    fflush(stdout);
    load_names();
    check_seeds();
    run(seconds, most);
    return 0;
}
