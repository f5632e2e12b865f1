/*
 * The parts of "umbra test": what a test guest needs, one run of it in a process of its own, and
 * the results that it printed as TAP. What a guest prints is untrusted: bounded, and cleaned.
 */
#ifndef UMBRA_VMM_CMD_TEST_GUEST_H
#define UMBRA_VMM_CMD_TEST_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/errmsg.h"

#define TEST_LINE     400   /* bytes of a line that are kept */
#define TEST_LAST     24    /* lines that are shown of a guest that failed otherwise */
#define TEST_POINTS   20000 /* results of one guest */
#define TEST_ARGS_MAX 40

struct test_point {
    bool ok, skip;
    char *text;  /* behind "ok N - ", directive included */
    char *notes; /* comment lines behind it, if it failed; NULL: none */
};

/* One test guest, from its name to what came of it. */
struct test_guest {
    char name[64];
    char path[4096];
    char needs[512];           /* words NAME=VALUE from its image */
    char *argv[TEST_ARGS_MAX]; /* of umbra run; the strings are owned */
    int argc;

    pid_t pid;               /* 0: not running */
    int fd;                  /* its output; -1 */
    uint64_t started, ended; /* monotonic ns */
    bool done, overdue;
    int status; /* of waitpid */

    char line[TEST_LINE + 1];
    unsigned line_len;
    char last[TEST_LAST][TEST_LINE + 1];
    unsigned lines;
    struct test_point *point;
    unsigned points, room;
    unsigned plan;
    bool planned, too_many;
    unsigned failed, skipped;
};

/* How every guest is run. */
struct test_opts {
    const char *engine, *ring0; /* NULL: umbra run's own choice */
    const char *audit;          /* "--audit=N", or NULL */
    unsigned timeout_s;
    const char *dir; /* for files that guests need */
};

/* Reads the needs from the image at g->path. 1: it is a test guest; 0: it is none; negative errno
 * with err filled: it cannot be read. */
int test_read_needs(struct test_guest *g, struct errmsg *err);
/* Make the files that it needs and the command line. 0 or negative with err filled. */
int test_prepare(struct test_guest *g, const struct test_opts *o, struct errmsg *err);
/* Start it. 0 or negative errno. */
int test_start(struct test_guest *g);
/* Its output is readable, or it has closed it. */
void test_input(struct test_guest *g);
/* It has ended: wait for it and judge. */
void test_reap(struct test_guest *g);
/* Why the guest as a whole failed, in words, beyond its own results; NULL: it did not. */
const char *test_verdict(const struct test_guest *g, char *buf, size_t len);
void test_free(struct test_guest *g);

/* test_report.c: everything at its end; returns how many results failed. */
unsigned test_report_tap(const struct test_guest *g, unsigned first, unsigned *points);
void test_report_json(const struct test_guest *g, unsigned n, const struct test_opts *o);

#endif
