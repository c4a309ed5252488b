/* proxy_load: calls through a SIP proxy, both ends of them in one thread (Linux, loopback only).
 *
 *   gcc -O2 -o proxy_load proxy_load.c
 *   ./proxy_load PROXY_PORT SERVER_PORT SECONDS WINDOW [ACKS]
 *
 * A call is five messages, each of which the proxy must pass on: INVITE with SDP, its 200, ACK, BYE, its 200; so many
 * of the ACK as ACKS says. The caller keeps WINDOW calls going; the callee on SERVER_PORT answers what the proxy sends
 * it. ACK and BYE carry the proxy's Record-Route, where there is one, as their Route and the callee's address as their
 * Request-URI. A call that makes no progress
 * for half a second is lost and its place used again. Prints one line of JSON. Polls without pause, so that the proxy is
 * never billed for waking it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, SIZE = 4096, MAX_WINDOW = 4096 };

struct call { uint64_t number; double last; };
struct queue {
    int fd, count;
    char text[BATCH][SIZE];
    struct mmsghdr out[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in to[BATCH];
};

static struct call calls[MAX_WINDOW];
static struct queue caller, callee;
static char in_text[BATCH][SIZE];
static struct mmsghdr in[BATCH];
static struct iovec in_iov[BATCH];
static struct sockaddr_in in_from[BATCH];
static uint64_t started, completed, lost, strange, passed, run;
static int proxy_port, server_port, caller_port, acks = 1;

static const char *SDP =
    "v=0\r\no=alice 2890844526 2890844526 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 49172 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n";

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_in local(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int open_socket(int port)
{
    struct sockaddr_in a = local(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&a, sizeof a)) { perror("bind"); exit(2); }
    return fd;
}

static void flush(struct queue *q)
{
    for (int sent = 0; sent < q->count;) {
        int n = sendmmsg(q->fd, q->out + sent, (unsigned)(q->count - sent), 0);
        sent += n > 0 ? n : 1;
    }
    q->count = 0;
}

/* The place for one more message, and its length when it is written. */
static char *room(struct queue *q)
{
    if (q->count == BATCH) flush(q);
    return q->text[q->count];
}

static void queue(struct queue *q, size_t length, struct sockaddr_in to)
{
    int n = q->count++;
    q->to[n] = to;
    q->iov[n] = (struct iovec){q->text[n], length};
    q->out[n].msg_hdr =
        (struct msghdr){.msg_name = &q->to[n], .msg_namelen = sizeof to, .msg_iov = &q->iov[n], .msg_iovlen = 1};
}

/* `route` is what the proxy recorded, of `route_length` bytes, which may be 0; NULL for an INVITE. */
static void send_request(const char *method, int place, int cseq, const char *route, int route_length)
{
    struct call *c = &calls[place];
    char *at = room(&caller);
    char routing[512], tag[32] = "";
    if (!route) snprintf(routing, sizeof routing, "Contact: <sip:alice@127.0.0.1:%d>\r\nUser-Agent: proxy_load\r\n"
                         "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\nContent-Type: application/sdp\r\n", caller_port);
    else {
        snprintf(routing, sizeof routing, route_length ? "Route: %.*s\r\n" : "", route_length, route);
        strcpy(tag, ";tag=callee");
    }
    const char *body = !route ? SDP : "";
    int length = snprintf(at, SIZE,
        "%s sip:bob@127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-%s-%x-%llx;rport\r\nMax-Forwards: 70\r\n"
        "From: \"Alice\" <sip:alice@example.com>;tag=%llx\r\nTo: <sip:bob@example.com>%s\r\n"
        "Call-ID: %x.%llx.%llx@127.0.0.1\r\nCSeq: %d %s\r\n%sContent-Length: %zu\r\n\r\n%s",
        method, server_port, caller_port, method, place, (unsigned long long)(run + c->number),
        (unsigned long long)c->number, tag, place, (unsigned long long)c->number, (unsigned long long)run, cseq, method,
        routing, strlen(body), body);
    c->last = now();
    queue(&caller, (size_t)length, local(proxy_port));
    passed++;
}

static void start_call(int place)
{
    calls[place].number = ++started;
    send_request("INVITE", place, 1, NULL, 0);
}

/* The callee: the request with another first line is an answer good enough for a proxy. */
static void answer(char *text, size_t length, const struct sockaddr_in *from)
{
    char *line = memmem(text, length, "\r\n", 2), *tag;
    if (!line || !strncmp(text, "ACK ", 4)) return;
    size_t rest = length - (size_t)(line - text);
    char *at = room(&callee), *to = memmem(line, rest, "\r\nTo: ", 6);
    int plain = !strncmp(text, "INVITE ", 7) && to && (tag = memmem(to, rest - (size_t)(to - line), ">\r\n", 3));
    memcpy(at, "SIP/2.0 200 OK", 14);
    size_t n = 14, first = plain ? (size_t)(tag + 1 - line) : rest;
    memcpy(at + n, line, first), n += first;
    if (plain) memcpy(at + n, ";tag=callee", 11), n += 11, memcpy(at + n, line + first, rest - first), n += rest - first;
    queue(&callee, n, *from);
    if (strncmp(text, "OPTIONS ", 8)) passed++;
}

static void on_response(char *text, size_t length, int window)
{
    text[length] = 0;
    char *id = strstr(text, "Call-ID: "), *cseq = strstr(text, "CSeq: ");
    unsigned place;
    unsigned long long number, its_run;
    if (strncmp(text, "SIP/2.0 200", 11) || !id || !cseq || sscanf(id + 9, "%x.%llx.%llx", &place, &number, &its_run) != 3) { strange++; return; }
    if (its_run != run || place >= (unsigned)window || calls[place].number != number) return;   /* late */
    if (strstr(cseq, " INVITE")) {
        char *route = strstr(text, "Record-Route: ");
        int size = route ? (int)strcspn(route += 14, "\r") : 0;
        if (!route) route = text;
        for (int at = 0; at < acks; at++) send_request("ACK", (int)place, 1, route, size);
        send_request("BYE", (int)place, 2, route, size);
    } else {
        completed++;
        calls[place].number = 0;
    }
}

static int receive(int fd)
{
    for (int i = 0; i < BATCH; i++) {
        in_iov[i] = (struct iovec){in_text[i], SIZE - 1};
        in[i].msg_hdr = (struct msghdr){.msg_name = &in_from[i], .msg_namelen = sizeof in_from[i], .msg_iov = &in_iov[i], .msg_iovlen = 1};
    }
    return recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 5) { fputs("usage: proxy_load PROXY_PORT SERVER_PORT SECONDS WINDOW [ACKS]\n", stderr); return 2; }
    proxy_port = atoi(argv[1]), server_port = atoi(argv[2]);
    double seconds = atof(argv[3]);
    int window = atoi(argv[4]);
    if (argc > 5) acks = atoi(argv[5]);
    if (window < 1 || window > MAX_WINDOW || seconds > 60 || acks < 1 || acks > 64) return 2;
    callee.fd = open_socket(server_port), caller.fd = open_socket(0);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(caller.fd, (struct sockaddr *)&own, &size);
    caller_port = ntohs(own.sin_port);
    double begin = now(), end = begin + seconds, checked = begin;
    run = (uint64_t)(begin * 1e6);
    for (double at = begin; at < end + 0.3; at = now()) {
        if (at < end)
            for (int i = 0; i < window; i++)
                if (!calls[i].number) start_call(i);
        if (at > checked + 0.1) {
            checked = at;
            for (int i = 0; i < window; i++)
                if (calls[i].number && at > calls[i].last + 0.5) lost++, calls[i].number = 0;
        }
        flush(&caller);
        int n = receive(callee.fd);
        for (int i = 0; i < n; i++) answer(in_text[i], in[i].msg_len, &in_from[i]);
        flush(&callee);
        n = receive(caller.fd);
        for (int i = 0; i < n; i++) on_response(in_text[i], in[i].msg_len, window);
    }
    printf("{\"calls\": %llu, \"messages\": %llu, \"lost\": %llu, \"strange\": %llu, \"seconds\": %.3f}\n",
           (unsigned long long)completed, (unsigned long long)passed, (unsigned long long)lost,
           (unsigned long long)strange, now() - begin);
    return 0;
}
