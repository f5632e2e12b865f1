/*
 * The console's two rings with both sides at full speed: every byte arrives, once, in order, in
 * both directions, while the vCPU's side also asks, flushes and closes. Run under the thread
 * sanitizer too.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/dev/chardev.h"

#define BYTES  200000u
#define ROUNDS 5

static _Atomic unsigned inputs;

static void on_input(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&inputs, 1);
}

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

struct end {
    int fd;
    const char *trouble;
};

static void *feed(void *arg)
{
    struct end *e = arg;
    uint8_t buf[777];
    for (uint32_t i = 0; i < BYTES;) {
        size_t n = 0;
        while (n < sizeof buf && i < BYTES)
            buf[n++] = pattern(i++);
        for (size_t at = 0; at < n;) {
            ssize_t w = write(e->fd, buf + at, n - at);
            if (w <= 0) {
                e->trouble = "feeding the console failed";
                return NULL;
            }
            at += (size_t)w;
        }
    }
    return NULL;
}

static void *drain(void *arg)
{
    struct end *e = arg;
    uint8_t buf[1000];
    uint32_t at = 0;
    ssize_t n;
    while (at < BYTES && (n = read(e->fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            if (buf[i] != pattern(at))
                e->trouble = "output came out of order";
    if (at != BYTES)
        e->trouble = "output was lost";
    return NULL;
}

static const char *converse(struct chardev *c)
{
    uint32_t in = 0, out = 0;
    while (in < BYTES || out < BYTES) {
        if (out < BYTES && chardev_writable(c))
            chardev_put(c, pattern(out++));
        if (chardev_readable(c) && chardev_get(c) != pattern(in++))
            return "input came out of order";
        if (out % 50000 == 49999)
            chardev_flush(c);
    }
    return chardev_get(c) == -1 ? NULL : "input came twice";
}

static const char *round_trip(void)
{
    int in[2], out[2];
    struct chardev *c;
    if (pipe(in) || pipe(out))
        return "no pipes";
    struct end feeder = {in[1], NULL}, drainer = {out[0], NULL};
    pthread_t threads[2];
    if (chardev_fds_open(&c, in[0], out[1], (struct chardev_events){.input = on_input}) ||
        pthread_create(&threads[0], NULL, feed, &feeder) ||
        pthread_create(&threads[1], NULL, drain, &drainer))
        return "cannot start";
    const char *trouble = converse(c);
    chardev_close(c);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    if (feeder.trouble || drainer.trouble)
        trouble = feeder.trouble ? feeder.trouble : drainer.trouble;
    return trouble;
}

int main(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const char *trouble = round_trip();
        if (trouble) {
            printf("round %d: %s\n", i, trouble);
            return 1;
        }
    }
    if (atomic_load(&inputs) == 0) {
        printf("no input was announced\n");
        return 1;
    }
    return 0;
}
