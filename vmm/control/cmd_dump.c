/*
 * dump: the guest's page tables and what is known of each page, as the bytes of a dump file
 * (ptdump.h), in base64. Taken in one stop of the machine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/control/control_int.h"
#include "vmm/peek.h"
#include "vmm/ptdump.h"

#define DUMP_ROWS 262144u /* beyond, a dump has the tables alone */
#define DUMP_PART 49152u  /* bytes of one part, before base64: a multiple of 3 */

struct dump_job {
    uint8_t *bytes;
    size_t len, sent;
    bool rows;
    uint64_t stopped_ns;
    int rc;
    struct errmsg err;
};

static int read_physical(void *vm, gpa_t gpa, void *buf, uint32_t len)
{
    return peek_physical(vm, gpa, buf, len, NULL);
}

/* Every row of the 4 GiB, malloc'ed; NULL: too many. */
static struct pt_row *all_rows(struct vm *vm, uint32_t *n)
{
    struct pt_row *row = malloc(DUMP_ROWS * sizeof *row);
    struct pt_iter it;
    struct pt_row r;
    *n = 0;
    if (!row)
        return NULL;
    for (pt_begin(&it, vm, 0, UINT32_MAX); pt_next(&it, &r);) {
        if (*n == DUMP_ROWS) {
            free(row);
            *n = 0;
            return NULL;
        }
        row[(*n)++] = r;
    }
    return row;
}

static void look_dump(struct vm *vm, void *ctx)
{
    struct dump_job *j = ctx;
    const struct cpu *c = &vm->cpu;
    const uint64_t start = stats_now();
    struct ptdump_info i = {.cr0 = c->cr0,
                            .cr3 = c->cr3,
                            .cr4 = c->cr4,
                            .efer = c->efer & ~(uint64_t)EFER_LMA,
                            .have_pdpte = true,
                            .ram = vm->opts.ram,
                            .time = (uint64_t)time(NULL)};
    void *out = NULL;
    uint32_t n;
    memcpy(i.pdpte, c->pdpte, sizeof i.pdpte);
    snprintf(i.source, sizeof i.source, "umbra %s, %.30s", UMBRA_VERSION, vm_engine_name(vm));
    struct pt_row *row = all_rows(vm, &n);
    j->rc = ptdump_make(&i, read_physical, vm, row, n, &out, &j->len, &j->err);
    j->rows = row != NULL;
    j->bytes = out;
    free(row);
    j->stopped_ns = (uint64_t)((double)(stats_now() - start) * stats_ns_per_cycle(&vm->stats));
}

static size_t base64(const uint8_t *in, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < len; i += 3) {
        const uint32_t left = (uint32_t)(len - i < 3 ? len - i : 3);
        uint32_t v = (uint32_t)in[i] << 16;
        v |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        v |= left > 2 ? in[i + 2] : 0;
        for (uint32_t k = 0; k < 4; k++)
            out[at++] = k <= left ? digits[v >> (18 - 6 * k) & 63] : '=';
    }
    return at;
}

static int more_dump(struct control *c, struct client *cl, struct request *r)
{
    struct dump_job *j = cl->more_ctx;
    char text[DUMP_PART / 3 * 4 + 2];
    (void)c;
    if (j->sent < j->len) {
        const size_t n = j->len - j->sent < DUMP_PART ? j->len - j->sent : DUMP_PART;
        text[0] = '"';
        const size_t len = base64(j->bytes + j->sent, n, text + 1);
        text[len + 1] = '"';
        control_part_text(cl, text, len + 2);
        j->sent += n;
    }
    if (j->sent < j->len)
        return CMD_LATER;
    r->ret = json_pack("{s:I, s:b, s:I}", "bytes", (json_int_t)j->len, "rows", j->rows,
                       "stopped_ns", (json_int_t)j->stopped_ns);
    return CMD_DONE;
}

static void job_free(void *ctx)
{
    struct dump_job *j = ctx;
    free(j->bytes);
    free(j);
}

static int run_dump(struct control *c, struct client *cl, struct request *r)
{
    struct dump_job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(&r->err, -ENOMEM, "out of memory");
    int rc = control_call(c, r, look_dump, j);
    if (!rc && j->rc < 0) {
        rc = j->rc;
        r->err = j->err;
    }
    if (rc < 0) {
        job_free(j);
        return rc;
    }
    cl->more = more_dump;
    cl->more_ctx = j;
    cl->more_free = job_free;
    return CMD_LATER;
}

static const char *const dump_args[] = {NULL};

const struct command commands_dump[] = {
    {"dump", dump_args, run_dump},
    {NULL, NULL, NULL},
};
