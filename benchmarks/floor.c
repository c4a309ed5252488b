/* The floor: the least that reading a head can cost, memchr from line end to line end, in a hot C loop.
 * Built on demand by floor.py and called through ctypes; the clock is read here, so the call costs nothing. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <time.h>

#ifdef CLOCK_THREAD_CPUTIME_ID
#define CLOCK CLOCK_THREAD_CPUTIME_ID
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int __attribute__((noinline)) count_lines(const char *position, const char *end)
{
    int lines = 0;
    while (position < end && *position != '\r') {
        const char *line_end = memchr(position, '\n', (size_t)(end - position));
        if (!line_end)
            break;
        lines++;
        position = line_end + 1;
    }
    return lines;
}

/* Nanoseconds that one reading of the head takes, averaged over `count` readings. */
double floor_nanoseconds(const char *data, size_t size, int count)
{
    volatile int sink = 0;
    double start = nanoseconds();
    for (int i = 0; i < count; i++) {
        __asm__ volatile("" ::: "memory"); /* what was read the last time is forgotten */
        sink += count_lines(data, data + size);
    }
    return (nanoseconds() - start) / count;
}

/* The same once, without a clock: for those who measure from Python. */
int floor_lines(const char *data, size_t size, int count)
{
    volatile int sink = 0;
    for (int i = 0; i < count; i++) {
        __asm__ volatile("" ::: "memory");
        sink += count_lines(data, data + size);
    }
    return sink;
}
