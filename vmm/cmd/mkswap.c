/*
 * umbra mkswap: make a swap area (docs/swap.md) of a file or a block device.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mm/area.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/value.h"

enum { O_FORCE = 1, O_QUIET };

static const struct opt table[] = {
    {"force", O_FORCE, OPT_NONE}, {"f", O_FORCE, OPT_NONE}, {"quiet", O_QUIET, OPT_NONE},
    {"q", O_QUIET, OPT_NONE},     {NULL, 0, OPT_NONE},
};

struct mkswap_args {
    const char *path;
    uint64_t bytes; /* 0: not given, all of a device */
    bool force, quiet;
};

static int take_size(struct mkswap_args *a, const char *text)
{
    struct errmsg e;
    if (value_size(text, &a->bytes, &e) < 0)
        return cmd_usage("mkswap", "SIZE: %s", e.text);
    if (a->bytes == 0)
        return cmd_usage("mkswap", "SIZE is zero; give at least 8k, or leave it out for all of a "
                                   "block device");
    return 0;
}

static int parse(struct mkswap_args *a, int argc, char **argv)
{
    struct opts o;
    bool sized = false;
    int rc = 0;
    opts_init(&o, argc, argv, table);
    for (int id; !rc && (id = opts_next(&o)) != OPTS_END;) {
        switch (id) {
        case O_FORCE: a->force = true; break;
        case O_QUIET: a->quiet = true; break;
        case OPTS_WORD:
            if (!a->path) {
                a->path = o.value;
            } else if (!sized) {
                sized = true;
                rc = take_size(a, o.value);
            } else {
                rc = cmd_usage("mkswap", "'%s' is one word too many", o.value);
            }
            break;
        default: rc = cmd_usage("mkswap", "%s", o.err.text); break;
        }
    }
    return rc || a->path ? rc : cmd_usage("mkswap", "which file or block device?");
}

/* One line on a terminal that is written over; nothing elsewhere. */
static void show_progress(void *ctx, uint64_t done, uint64_t bytes)
{
    bool *shown = ctx;
    if (done >= bytes && !*shown)
        return; /* it took one step: no need to speak */
    *shown = true;
    fprintf(stderr, "\rumbra mkswap: reserving %3u%% of %" PRIu64 " MiB",
            (unsigned)(done / (bytes / 100 + 1)), bytes >> 20);
    if (done >= bytes)
        fputs("\r\033[K", stderr);
}

/* Whose fault is it? The caller's, the file's, or the host's. */
static int code_of(int rc)
{
    switch (rc) {
    case -EINVAL:
    case -EOVERFLOW: return UMBRA_EXIT_USAGE;
    case -EEXIST:
    case -ENOTBLK:
    case -EBUSY: return UMBRA_EXIT_IMAGE;
    default: return UMBRA_EXIT_HOST;
    }
}

static int cmd_mkswap_main(int argc, char **argv)
{
    struct mkswap_args a = {0};
    struct mm_err err;
    bool shown = false;
    uint64_t made = 0;
    int rc = parse(&a, argc, argv);
    if (rc)
        return rc;
    const bool tty = !a.quiet && isatty(STDERR_FILENO);
    const struct area_format_opts o = {
        .force = a.force, .progress = tty ? show_progress : NULL, .ctx = &shown, .made = &made};
    rc = area_format_with(a.path, a.bytes, &o, &err);
    if (rc < 0 && shown)
        fputc('\n', stderr);
    if (rc < 0)
        return cmd_fail("mkswap", code_of(rc), "%s", err.text);
    if (!a.quiet)
        printf("swap area %s: %" PRIu64 " slots of 4 KiB (%" PRIu64 " KiB with its header)\n",
               a.path, made / PAGE_SIZE - 1, made >> 10);
    return UMBRA_EXIT_OK;
}

const struct cmd cmd_mkswap = {
    .name = "mkswap",
    .args = "FILE SIZE [options]",
    .summary = "make a swap area for run --swap",
    .help =
        "FILE is made if it is not there, with its blocks reserved. It may be a block device; all\n"
        "of it is taken if SIZE is left out. SIZE is 8k to 64G, rounded down to pages.\n"
        "What FILE holds is overwritten only if it is empty, starts with a page of zeros, or is a\n"
        "swap area of umbra that nobody uses.\n"
        "\n"
        "  -f, --force            overwrite other content too (never what is in use)\n"
        "  -q, --quiet            say nothing when all is well\n"
        "\n"
        "Exit codes: 0 made; 1 bad command line or size; 2 FILE holds something else, is in use, "
        "or\n"
        "is no file; 3 the host refused: no room, no permission.\n",
    .run = cmd_mkswap_main,
};
