/*
 * umbra top: a running machine on a terminal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/top/top.h"
#include "vmm/value.h"

enum { O_SOCKET = 1, O_BATCH, O_COUNT, O_DELAY, O_JSON, O_NO_MAP };
enum { ROWS = 12 };

static const struct opt table[] = {
    {"socket", O_SOCKET, OPT_VALUE}, {"control", O_SOCKET, OPT_VALUE},
    {"batch", O_BATCH, OPT_NONE},    {"b", O_BATCH, OPT_NONE},
    {"n", O_COUNT, OPT_VALUE},       {"d", O_DELAY, OPT_VALUE},
    {"delay", O_DELAY, OPT_VALUE},   {"json", O_JSON, OPT_NONE},
    {"no-map", O_NO_MAP, OPT_NONE},  {NULL, 0, OPT_NONE},
};

struct top_args {
    const char *socket;
    bool batch, json, no_map;
    uint64_t count; /* 0: no end */
    double delay;   /* seconds */
};

/* Seconds, with a fraction: 0.1 to 3600. */
static int take_delay(struct top_args *a, const char *text)
{
    char *end;
    errno = 0;
    const double d = strtod(text, &end);
    if (end == text || *end || errno || !(d >= 0.1 && d <= 3600))
        return cmd_usage("top", "--delay: '%.80s' is not 0.1 to 3600 seconds", text);
    a->delay = d;
    return 0;
}

static int take(struct top_args *a, struct opts *o, int id)
{
    struct errmsg e;
    switch (id) {
    case O_SOCKET: a->socket = o->value; break;
    case O_BATCH: a->batch = true; break;
    case O_JSON: a->json = a->batch = true; break;
    case O_NO_MAP: a->no_map = true; break;
    case O_DELAY: return take_delay(a, o->value);
    case O_COUNT:
        if (value_u64(o->value, 1, UINT32_MAX, &a->count, &e) < 0)
            return cmd_usage("top", "-n: %s", e.text);
        a->batch = true;
        break;
    case OPTS_WORD: return cmd_usage("top", "'%.80s' is one word too many", o->value);
    default: return cmd_usage("top", "%s", o->err.text);
    }
    return 0;
}

static void wait_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static int batch(const struct top_args *a, struct top *t, struct errmsg *err)
{
    for (uint64_t i = 0; a->count == 0 || i < a->count; i++) {
        if (i)
            wait_for(a->delay);
        int rc = top_look(t, err);
        if (!rc && !a->no_map)
            rc = top_map(t, err);
        if (rc < 0)
            return rc;
        if (a->json)
            top_print_json(t, stdout);
        else
            top_print(t, ROWS, stdout);
        if (fflush(stdout) != 0)
            return err_set(err, -errno, "standard output: %s", strerror(errno));
    }
    return 0;
}

static int cmd_top_main(int argc, char **argv)
{
    struct top_args a = {.delay = 1};
    struct opts o;
    struct errmsg err = {{0}};
    int rc = 0;
    opts_init(&o, argc, argv, table);
    for (int id; !rc && (id = opts_next(&o)) != OPTS_END;)
        rc = take(&a, &o, id);
    if (rc)
        return rc;
    struct top *t = calloc(1, sizeof *t);
    if (!t)
        return cmd_fail("top", UMBRA_EXIT_HOST, "out of memory");
    rc = ctl_open(a.socket, &t->conn, &err);
    if (!rc) {
        rc = a.batch ? batch(&a, t, &err) : top_screen(t, a.delay, &err);
        ctl_close(t->conn);
    }
    /* A machine that was looked at and went is the normal end. */
    const bool gone =
        t->looks && (rc == -ENOTCONN || rc == -EPIPE || rc == -ECONNRESET || rc == -EREMOTEIO);
    free(t);
    if (gone) {
        fprintf(stderr, "umbra top: the machine has ended\n");
        return UMBRA_EXIT_OK;
    }
    return rc < 0 ? cmd_fail("top", UMBRA_EXIT_HOST, "%s", err.text) : UMBRA_EXIT_OK;
}

const struct cmd cmd_top = {
    .name = "top",
    .args = "[options]",
    .summary = "watch a running machine: faults, memory, swap, its address space",
    .help =
        "The machine was started with umbra run --control PATH. Without --socket it is the one of\n"
        "$UMBRA_CONTROL, or else the only one that listens at $XDG_RUNTIME_DIR/umbra-PID.sock.\n"
        "Keys: q leaves, h shows the others. The machine goes on.\n"
        "\n"
        "  --socket PATH          the machine's socket (also --control PATH)\n"
        "  -d, --delay SECONDS    look every so often (1)\n"
        "  -b, --batch            plain text, look by look, for scripts\n"
        "  -n N                   so many looks, then end; implies --batch\n"
        "  --json                 an object in a line for each look; implies --batch\n"
        "  --no-map               batch: leave out the map, for which the machine is stopped a "
        "moment\n"
        "\n"
        "Rates are since the look before, of the first since the machine's start.\n"
        "Exit codes: 0 done, also when the machine ended; 1 bad command line; 3 no machine "
        "answers, "
        "or\n"
        "there is no terminal.\n",
    .run = cmd_top_main,
};
