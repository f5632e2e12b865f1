/*
 * What umbra top shows: the state of a live machine, asked for over its control socket, and how
 * fast it changes. The screen (screen.c) and the plain output (text.c) both draw from this.
 */
#ifndef UMBRA_VMM_TOP_TOP_H
#define UMBRA_VMM_TOP_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/control/client.h"

#define TOP_PATHS   32
#define TOP_REGIONS 1024u /* of 4 MiB of linear addresses */
#define TOP_CELLS   1024u /* of the map */

struct top_path {
    char name[96];
    uint64_t count;
    double rate; /* per second */
    double mean_ns;
};

struct top_region {
    uint32_t index; /* linear address >> 22 */
    uint64_t count;
    double rate;
};

/* What most of a cell's pages are. */
enum top_kind {
    TOP_NOTHING,   /* no RAM, or the guest maps nothing */
    TOP_UNTOUCHED, /* nothing backs it yet */
    TOP_ZERO,      /* the zero page */
    TOP_MAPPED,    /* the CPU may do what the guest may */
    TOP_BACKED,    /* backed, but the CPU has no entry for it now */
    TOP_COPY,      /* shared: a write copies */
    TOP_READ,      /* read-only until dirty */
    TOP_TABLE,     /* guest page tables that are watched */
    TOP_SWAPPED,
    TOP_OTHER, /* out of step, ... */
    TOP_KINDS
};

struct top {
    struct ctl_conn *conn;
    char state[16], engine[64];
    bool paging;
    uint64_t eip, cr3;
    uint64_t uptime_ns, ram, pool;
    uint64_t resident, swapped, faults, out, in;   /* pages; so far */
    double fault_rate, out_rate, in_rate, seconds; /* seconds: since the look before */
    struct top_path path[TOP_PATHS];
    unsigned paths; /* by rate, then count, most first */
    struct top_region region[TOP_REGIONS];
    unsigned regions; /* the same; those without a fault are left out */
    enum top_kind cell[TOP_CELLS];
    uint64_t cell_pages; /* a power of two: 1024 shows all 4 GiB, less what there is, from 0 on */
    bool whole;          /* wanted: all 4 GiB */
    bool mapped;         /* cell[] is there */
    double map_seconds;  /* that the last map took */
    uint64_t looks;
    /* of the look before */
    uint64_t at_ns, was_faults, was_out, was_in;
    uint64_t was_region[TOP_REGIONS];
    struct top_path was_path[TOP_PATHS];
    unsigned was_paths;
};

/* Ask for all but the map. Rates are since the last time; of the first since the machine's start.
 * 0, or as ctl_ask. */
int top_look(struct top *t, struct errmsg *err);
/* Ask for the map; it stops the machine for a moment. */
int top_map(struct top *t, struct errmsg *err);

/* '.', 'z', 'o', ... and what it means. */
char top_kind_letter(enum top_kind k);
const char *top_kind_name(enum top_kind k);

/* Plain text, rows of the tables at most; and one JSON object on a line. */
void top_print(const struct top *t, unsigned rows, FILE *out);
void top_print_json(const struct top *t, FILE *out);

/* Draw on the terminal every `delay` seconds until the user has seen enough (0), the machine has
 * gone (-ENOTCONN), or something failed; -ENOTSUP: this umbra was built without ncurses, or the
 * terminal cannot. err is filled. */
int top_screen(struct top *t, double delay, struct errmsg *err);

#endif
