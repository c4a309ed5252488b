/* The floor below a proxy: datagrams passed on as they are, by recvmmsg and sendmmsg. No parsing, one thread (Linux,
 * loopback only).
 *
 *   gcc -O2 -o forward forward.c
 *   ./forward PORT SERVER_PORT [LIFETIME_SECONDS]
 *
 * What comes from SERVER_PORT goes to whoever sent last from elsewhere, and what comes from there to SERVER_PORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 4096 };

int main(int argc, char **argv)
{
    static char text[BATCH][SIZE];
    static struct sockaddr_in from[BATCH];
    static struct iovec iov[BATCH];
    static struct mmsghdr messages[BATCH];
    if (argc < 3) { fputs("usage: forward PORT SERVER_PORT [LIFETIME_SECONDS]\n", stderr); return 2; }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))}, server, client;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = client = here;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    alarm(argc > 3 ? (unsigned)atoi(argv[3]) : 300);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (bind(fd, (struct sockaddr *)&here, sizeof here)) { perror("bind"); return 1; }
    for (int at = 0; at < BATCH; at++)
        messages[at].msg_hdr = (struct msghdr){.msg_name = &from[at], .msg_iov = &iov[at], .msg_iovlen = 1};
    for (;;) {
        for (int at = 0; at < BATCH; at++) {
            iov[at] = (struct iovec){text[at], SIZE};
            messages[at].msg_hdr.msg_namelen = sizeof from[at];
        }
        int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int at = 0; at < got; at++) {
            const int answers = from[at].sin_port == server.sin_port;
            if (!answers) client = from[at];
            from[at] = answers ? client : server;
            iov[at].iov_len = messages[at].msg_len;
        }
        for (int done = 0; done < got;) {
            int sent = sendmmsg(fd, messages + done, (unsigned)(got - done), 0);
            done += sent > 0 ? sent : 1;
        }
    }
}
