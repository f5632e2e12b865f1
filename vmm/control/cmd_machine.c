/* Commands that steer the machine and say how it is: status, registers, stats, pause, resume, step,
 * wait, quit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/control_int.h"
#include "vmm/soft_engine.h"
#include "vmm/vm_report.h"

static const char *const no_args[] = {NULL};

/* --- how it is ------------------------------------------------------------------------------- */

struct status {
    bool held, halted, paging;
    enum vm_stop_why why;
    uint64_t steps, insns, ns, faults;
    uint64_t ram, pool;
    struct mm_stats mm;
    struct shadow_stats shadow;
    uint32_t eip, cs_base, cr3, space;
    uint8_t cpl;
    char engine[40];
};

static void look_status(struct vm *vm, void *ctx)
{
    struct status *s = ctx;
    const struct cpu *c = &vm->cpu;
    *s = (struct status){.halted = c->halted,
                         .paging = cpu_paging(c),
                         .steps = atomic_load(&vm->calls.steps),
                         .insns = soft_engine_insns(vm->soft),
                         .ns = (uint64_t)((double)(stats_now() - vm->stats.start_tsc) *
                                          stats_ns_per_cycle(&vm->stats)),
                         .ram = vm->opts.ram,
                         .pool = pool_bytes(vm->pool),
                         .eip = c->eip,
                         .cs_base = c->seg[SEG_CS].base,
                         .cr3 = c->cr3,
                         .cpl = c->cpl,
                         .space = shadow_space(vm->shadow)};
    pthread_mutex_lock(&vm->calls.lock);
    s->held = vm->calls.held;
    s->why = vm->calls.why;
    pthread_mutex_unlock(&vm->calls.lock);
    for (unsigned i = 0; i < vm->stats.faults; i++)
        s->faults += vm->stats.fault[i].cost.count;
    mm_get_stats(vm->as->mm, &s->mm);
    shadow_get_stats(vm->shadow, &s->shadow);
    snprintf(s->engine, sizeof s->engine, "%s", vm_engine_name(vm));
}

static const char *stop_word(enum vm_stop_why why)
{
    switch (why) {
    case VM_STOP_ASKED: return "asked";
    case VM_STOP_STEP: return "step";
    case VM_STOP_BREAK: return "break";
    case VM_STOP_END: break;
    }
    return "end";
}

static int run_status(struct control *c, struct client *cl, struct request *r)
{
    struct status s;
    (void)cl;
    const int rc = control_call(c, r, look_status, &s);
    if (rc < 0)
        return rc;
    r->ret = json_pack(
        "{s:s, s:s, s:b, s:b, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "state",
        s.held    ? "paused"
        : s.steps ? "stepping"
                  : "running",
        "engine", s.engine, "halted", s.halted, "paging", s.paging, "eip", (json_int_t)s.eip, "pc",
        (json_int_t)(uint32_t)(s.cs_base + s.eip), "cpl", s.cpl, "cr3", (json_int_t)s.cr3, "space",
        (json_int_t)s.space, "uptime_ns", (json_int_t)s.ns, "soft_instructions",
        (json_int_t)s.insns, "ram", (json_int_t)s.ram, "pool", (json_int_t)s.pool, "resident",
        (json_int_t)s.mm.resident, "swapped", (json_int_t)s.mm.swapped, "faults",
        (json_int_t)s.faults, "shadow_pages", (json_int_t)s.shadow.pages);
    if (s.held && r->ret)
        json_object_set_new(r->ret, "stopped_by", json_string(stop_word(s.why)));
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

static void look_cpu(struct vm *vm, void *ctx)
{
    memcpy(ctx, &vm->cpu, sizeof vm->cpu);
}

static json_t *segment(const struct seg *s)
{
    return json_pack("{s:i, s:I, s:I, s:i}", "selector", s->sel, "base", (json_int_t)s->base,
                     "limit", (json_int_t)s->limit, "attributes", s->attr);
}

static int run_registers(struct control *c, struct client *cl, struct request *r)
{
    static const char *const gprs[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    static const char *const segs[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    struct cpu cpu;
    (void)cl;
    const int rc = control_call(c, r, look_cpu, &cpu);
    if (rc < 0)
        return rc;
    json_t *o = json_object();
    for (int i = 0; i < 8; i++)
        json_object_set_new(o, gprs[i], json_integer(cpu.gpr[i]));
    const struct {
        const char *name;
        uint64_t value;
    } rest[] = {{"eip", cpu.eip},   {"eflags", cpu.eflags}, {"cr0", cpu.cr0},   {"cr2", cpu.cr2},
                {"cr3", cpu.cr3},   {"cr4", cpu.cr4},       {"efer", cpu.efer}, {"cpl", cpu.cpl},
                {"dr0", cpu.dr[0]}, {"dr1", cpu.dr[1]},     {"dr2", cpu.dr[2]}, {"dr3", cpu.dr[3]},
                {"dr6", cpu.dr[6]}, {"dr7", cpu.dr[7]}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        json_object_set_new(o, rest[i].name, json_integer((json_int_t)rest[i].value));
    json_object_set_new(o, "halted", json_boolean(cpu.halted));
    for (int i = 0; i < SEG_COUNT; i++)
        json_object_set_new(o, segs[i], segment(&cpu.seg[i]));
    json_object_set_new(o, "ldtr", segment(&cpu.ldtr));
    json_object_set_new(o, "tr", segment(&cpu.tr));
    json_object_set_new(
        o, "gdtr",
        json_pack("{s:I, s:i}", "base", (json_int_t)cpu.gdtr.base, "limit", cpu.gdtr.limit));
    json_object_set_new(
        o, "idtr",
        json_pack("{s:I, s:i}", "base", (json_int_t)cpu.idtr.base, "limit", cpu.idtr.limit));
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (f) {
        cpu_dump(&cpu, f);
        fclose(f);
        json_object_set_new(o, "text", json_string(text));
        free(text);
    }
    r->ret = o;
    return CMD_DONE;
}

struct text {
    char *buf[2]; /* for people, as JSON */
    size_t len[2];
};

static void look_stats(struct vm *vm, void *ctx)
{
    struct text *t = ctx;
    for (int json = 0; json < 2; json++) {
        FILE *f = open_memstream(&t->buf[json], &t->len[json]);
        if (!f)
            return;
        vm_report_stats(vm, json, f);
        fclose(f);
    }
}

static int run_stats(struct control *c, struct client *cl, struct request *r)
{
    struct text t = {{NULL}, {0}};
    (void)cl;
    const int rc = control_call(c, r, look_stats, &t);
    if (rc < 0)
        return rc;
    r->ret = t.buf[1] ? json_loadb(t.buf[1], t.len[1], 0, NULL) : NULL;
    if (r->ret)
        json_object_set_new(r->ret, "text", json_string(t.buf[0]));
    free(t.buf[0]);
    free(t.buf[1]);
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

/* --- where it faults ------------------------------------------------------------------------- */

static void look_regions(struct vm *vm, void *ctx)
{
    memcpy(ctx, vm->stats.region, sizeof vm->stats.region);
}

/* [[region, faults], ...] of the regions that had any */
static int run_regions(struct control *c, struct client *cl, struct request *r)
{
    uint64_t n[STATS_REGIONS];
    (void)cl;
    const int rc = control_call(c, r, look_regions, n);
    if (rc < 0)
        return rc;
    json_t *rows = json_array();
    for (int i = 0; i < STATS_REGIONS; i++)
        if (n[i])
            json_array_append_new(rows, json_pack("[i, I]", i, (json_int_t)n[i]));
    r->ret = json_pack("{s:i, s:o}", "bytes", 1 << 22, "faults", rows);
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

/* --- steering -------------------------------------------------------------------------------- */

static int machine_rc(struct request *r, int rc)
{
    switch (rc) {
    case -ESHUTDOWN:
        return err_set(&r->err, rc, "the machine does not run: it has not begun, or has ended");
    case -EALREADY: return err_set(&r->err, rc, "the machine is running; pause it first");
    default: return rc < 0 ? err_set(&r->err, rc, "%s", strerror(-rc)) : rc;
    }
}

static int run_pause(struct control *c, struct client *cl, struct request *r)
{
    (void)cl;
    const uint64_t start = control_now_us();
    const bool stood = control_held(c);
    const int rc = vm_pause(c->vm);
    if (!stood && rc == 0)
        budget_pause(&c->budget, start);
    return machine_rc(r, rc);
}

static int run_resume(struct control *c, struct client *cl, struct request *r)
{
    (void)cl;
    const uint64_t start = control_now_us();
    const int rc = vm_resume(c->vm);
    if (rc == 0)
        budget_resume(&c->budget, control_now_us());
    else if (rc == -EALREADY)
        budget_charge(&c->budget, control_now_us() - start);
    return rc == -EALREADY ? CMD_DONE : machine_rc(r, rc); /* it runs: that is what was wanted */
}

/* Waits until the machine stands, or has ended. */
struct waiting {
    uint64_t stops; /* of struct control, when it began */
    uint64_t until; /* monotonic ms; 0: for ever */
};

struct stand {
    bool held;
    uint32_t eip, pc;
};

static void look_stand(struct vm *vm, void *ctx)
{
    struct stand *s = ctx;
    pthread_mutex_lock(&vm->calls.lock);
    s->held = vm->calls.held;
    pthread_mutex_unlock(&vm->calls.lock);
    s->eip = vm->cpu.eip;
    s->pc = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
}

static void look_end(struct request *r, const struct vm *vm)
{
    r->ret = json_pack("{s:s, s:s*, s:i}", "state", "ended", "why", vm->end_text, "exit_code",
                       vm_exit_code(vm));
    if (!r->ret) /* the guest's words may be in it */
        r->ret = json_pack("{s:s, s:i}", "state", "ended", "exit_code", vm_exit_code(vm));
}

static int wait_more(struct control *c, struct client *cl, struct request *r)
{
    struct waiting *w = cl->more_ctx;
    struct stand s;
    if (atomic_load(&c->ending)) {
        look_end(r, c->vm);
        return CMD_DONE;
    }
    const uint64_t stops = atomic_load(&c->stops);
    const enum vm_stop_why why = (enum vm_stop_why)atomic_load(&c->why);
    if (stops == w->stops || why == VM_STOP_END) {
        if (w->until && c->now >= w->until) {
            r->ret = json_pack("{s:s}", "state", "running");
            return CMD_DONE;
        }
        return CMD_LATER; /* of the end, control_stop() will tell */
    }
    w->stops = stops;
    if (control_call(c, r, look_stand, &s) < 0 || !s.held)
        return CMD_LATER; /* it was let go again already */
    r->ret = json_pack("{s:s, s:s, s:I, s:I}", "state", "paused", "stopped_by", stop_word(why),
                       "eip", (json_int_t)s.eip, "pc", (json_int_t)s.pc);
    return CMD_DONE;
}

static int wait_for_stop(struct client *cl, struct request *r, uint64_t stops, uint64_t until)
{
    struct waiting *w = malloc(sizeof *w);
    if (!w)
        return err_set(&r->err, -ENOMEM, "out of memory");
    *w = (struct waiting){.stops = stops, .until = until};
    cl->more = wait_more;
    cl->more_ctx = w;
    cl->more_free = free;
    return CMD_LATER;
}

static int run_step(struct control *c, struct client *cl, struct request *r)
{
    uint64_t n = 1;
    int rc = arg_u64(r, "count", 1, UINT32_MAX, &n);
    if (rc < 0)
        return rc;
    const uint64_t stops = atomic_load(&c->stops);
    rc = machine_rc(r, vm_step(c->vm, n));
    return rc < 0 ? rc : wait_for_stop(cl, r, stops, 0);
}

static int run_wait(struct control *c, struct client *cl, struct request *r)
{
    uint64_t ms = 0;
    struct stand s = {0};
    const int rc = arg_u64(r, "timeout_ms", 1, UINT32_MAX, &ms);
    if (rc < 0)
        return rc;
    const uint64_t stops = atomic_load(&c->stops);
    if (control_call(c, r, look_stand, &s) == 0 && s.held)
        return wait_for_stop(cl, r, stops - 1, 0); /* it stands already */
    return wait_for_stop(cl, r, stops, ms ? c->now + ms : 0);
}

static int run_quit(struct control *c, struct client *cl, struct request *r)
{
    (void)cl;
    (void)r;
    vm_ask(c->vm, VM_ASK_QUIT);
    return CMD_DONE;
}

static const char *const step_args[] = {"count", NULL}, *const wait_args[] = {"timeout_ms", NULL};

const struct command commands_machine[] = {
    {"status", no_args, run_status}, {"registers", no_args, run_registers},
    {"stats", no_args, run_stats},   {"regions", no_args, run_regions},
    {"pause", no_args, run_pause},   {"resume", no_args, run_resume},
    {"step", step_args, run_step},   {"wait", wait_args, run_wait},
    {"quit", no_args, run_quit},     {NULL, NULL, NULL},
};
