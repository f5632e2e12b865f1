/*
 * pt: rows of the page table. Taken in one stop of the machine (or in as few as PT_BATCH allows),
 * written to the client in parts while the machine runs on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/control_int.h"
#include "vmm/peek.h"
#include "vmm/pt_print.h"

#define PT_BATCH                                                                                   \
    32768u          /* rows of one stop: what a hostile guest can make a client's request hold */
#define PT_PART 64u /* rows of one part */

struct pt_job {
    uint64_t next, last; /* linear addresses still to come, both inside */
    int view;            /* enum pt_view */
    bool diff, text;
    bool other; /* another CR3 than the processor's */
    uint32_t cr3;
    /* What one stop gave. */
    struct pt_row *row; /* PT_BATCH */
    uint32_t rows, sent;
    int rc; /* of the look */
    bool paging;
    uint32_t real_cr3;
    uint64_t stopped_ns, stops, total;
};

static void take_rows(struct vm *vm, struct pt_job *j)
{
    struct pt_iter it;
    struct pt_row r;

    pt_begin(&it, vm, (la_t)j->next, (la_t)j->last);
    it.view = (enum pt_view)j->view;
    while (j->rows < PT_BATCH) {
        if (!pt_next(&it, &r)) {
            j->next = j->last + 1;
            return;
        }
        j->next = (uint64_t)r.la + ((uint64_t)r.pages << PAGE_SHIFT);
        if (!j->diff || pt_differs(r.verdict))
            j->row[j->rows++] = r;
    }
}

static void look_pt(struct vm *vm, void *ctx)
{
    struct pt_job *j = ctx;
    struct shadow_look was;
    struct gmode m;
    const uint64_t start = stats_now();

    j->real_cr3 = vm->cpu.cr3;
    j->rc = j->other ? peek_mode(vm, j->cr3, &m) : 0;
    if (!j->rc) {
        if (j->other)
            shadow_look_begin(vm->shadow, &m, &was);
        j->paging = shadow_mode(vm->shadow)->fmt != GPAGING_OFF;
        take_rows(vm, j);
        if (j->other)
            shadow_look_end(vm->shadow, &was);
    }
    j->stopped_ns += (uint64_t)((double)(stats_now() - start) * stats_ns_per_cycle(&vm->stats));
    j->stops++;
}

/* A part with the next rows. */
static int send_rows(struct client *cl, struct pt_job *j)
{
    char *buf = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&buf, &len);
    if (!f)
        return -ENOMEM;
    for (uint32_t i = 0; i < PT_PART && j->sent < j->rows; i++, j->sent++, j->total++) {
        fputs(i ? "," : "[", f);
        if (j->text)
            pt_row_print_string(&j->row[j->sent], f);
        else
            pt_row_print_json(&j->row[j->sent], f);
    }
    fputc(']', f);
    if (fclose(f) != 0 || !buf) {
        free(buf);
        return -ENOMEM;
    }
    control_part_text(cl, buf, len);
    free(buf);
    return 0;
}

static int more_rows(struct control *c, struct client *cl, struct request *r)
{
    struct pt_job *j = cl->more_ctx;
    int rc = 0;

    if (j->sent == j->rows && j->next <= j->last) {
        j->sent = j->rows = 0;
        rc = control_call(c, r, look_pt, j);
        if (rc < 0)
            return rc;
        if (j->rc == -ENOTSUP)
            return err_set(&r->err, -EALREADY, "the guest's paging is off: no CR3 has a meaning");
        if (j->rc < 0)
            return err_set(&r->err, j->rc, "no page tables can be read at CR3 %08x", j->cr3);
    }
    if (j->sent < j->rows)
        rc = send_rows(cl, j);
    if (rc < 0)
        return err_set(&r->err, rc, "out of memory");
    if (j->sent < j->rows || j->next <= j->last)
        return CMD_LATER;
    r->ret = json_pack("{s:I, s:I, s:I, s:b, s:I}", "rows", (json_int_t)j->total, "stops",
                       (json_int_t)j->stops, "stopped_ns", (json_int_t)j->stopped_ns, "paging",
                       j->paging, "cr3", (json_int_t)(j->other ? j->cr3 : j->real_cr3));
    return CMD_DONE;
}

static void job_free(void *ctx)
{
    struct pt_job *j = ctx;
    free(j->row);
    free(j);
}

static int run_pt(struct control *c, struct client *cl, struct request *r)
{
    static const char *const views[] = {"both", "kernel", "user", NULL};
    uint64_t cr3 = 0;
    struct pt_job *j = calloc(1, sizeof *j);
    (void)c;
    if (!j || !(j->row = malloc(PT_BATCH * sizeof *j->row))) {
        free(j);
        return err_set(&r->err, -ENOMEM, "out of memory");
    }
    j->last = UINT32_MAX;
    int rc = arg_u64(r, "first", 0, UINT32_MAX, &j->next);
    if (!rc)
        rc = arg_u64(r, "last", j->next, UINT32_MAX, &j->last);
    if (!rc)
        rc = arg_u64(r, "cr3", 0, UINT32_MAX, &cr3);
    if (!rc)
        rc = arg_word(r, "view", views, &j->view);
    if (!rc)
        rc = arg_bool(r, "diff", &j->diff);
    if (!rc)
        rc = arg_bool(r, "text", &j->text);
    if (rc < 0) {
        job_free(j);
        return rc;
    }
    j->other = json_object_get(r->args, "cr3") != NULL;
    j->cr3 = (uint32_t)cr3;
    cl->more = more_rows;
    cl->more_ctx = j;
    cl->more_free = job_free;
    return CMD_LATER;
}

static const char *const pt_args[] = {"first", "last", "cr3", "view", "diff", "text", NULL};

const struct command commands_pt[] = {
    {"pt", pt_args, run_pt},
    {NULL, NULL, NULL},
};
