/*
 * The soft CPU's run loop: between two blocks it looks at events, interrupts, kicks, the budget and
 * breakpoints; exceptions, misses and other exits from the middle of an instruction land here.
 *
 *  L1  cpu->eip is exact in the loop; arithmetic flags are in core.cc (soft_flags.h).
 *  L2  s->left counts a block's instructions when it is entered; whoever leaves it early gives the
 * rest back. L3  What cannot be done by the block executor (single-step, breakpoints, RF, shadows
 * of STI and MOV SS, tracing) is stepped with the exact handlers.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/soft/soft_event_rules.h"
#include "vmm/soft/soft_exec.h"
#include "vmm/soft/soft_flags.h"

/* --- life ---------------------------------------------------------------------------------- */

int soft_create(struct cpu *cpu, const struct soft_env *env, uint32_t max_frames, struct soft **out)
{
    struct soft *s = calloc(1, sizeof *s);
    int err;

    if (!s)
        return -ENOMEM;
    s->core.cpu = cpu;
    s->core.env = env;
    s->max_frames = max_frames;
    s->held_intr = -1;
    s->gen = 1;
    s->mode_dirty = true;
    s->tlb[0].filled = s->tlb[1].filled = true; /* with nothing that is a tag */
    soft_tlb_flush(s);
    err = soft_blocks_init(s);
    if (!err)
        err = soft_decode_init(s);
    if (err) {
        soft_destroy(s);
        return err;
    }
    *out = s;
    return 0;
}

void soft_destroy(struct soft *s)
{
    if (!s)
        return;
    soft_blocks_destroy(s);
    free(s);
}

/* --- from inside an instruction ------------------------------------------------------------ */

static _Noreturn void raise_event(struct soft *s, const struct soft_event *ev)
{
    assert(s->core.jmp);
    s->core.event = *ev;
    longjmp(*s->core.jmp, JC_RAISE);
}

void soft_raise(struct soft *s, uint8_t vector)
{
    raise_event(s, &(struct soft_event){.vector = vector, .kind = SOFT_EV_FAULT});
}

void soft_raise_err(struct soft *s, uint8_t vector, uint32_t error)
{
    raise_event(s, &(struct soft_event){
                       .vector = vector, .has_error = true, .error = error, .kind = SOFT_EV_FAULT});
}

void soft_raise_trap(struct soft *s, uint8_t vector)
{
    raise_event(s, &(struct soft_event){
                       .vector = vector, .kind = SOFT_EV_TRAP, .next_eip = s->core.next_eip});
}

void soft_raise_softint(struct soft *s, uint8_t vector)
{
    raise_event(s, &(struct soft_event){
                       .vector = vector, .kind = SOFT_EV_SOFTINT, .next_eip = s->core.next_eip});
}

void soft_leave(struct soft *s, enum soft_exit kind, const char *fmt, ...)
{
    va_list ap;

    assert(s->core.jmp);
    va_start(ap, fmt);
    vsnprintf(s->core.exit->why, sizeof s->core.exit->why, fmt, ap);
    va_end(ap);
    s->left_with = kind;
    longjmp(*s->core.jmp, JC_LEAVE);
}

/* --- where it lands ------------------------------------------------------------------------ */

/* The instruction that was left by longjmp did not complete (or did, with done = 1). */
static void recount(struct soft *s, unsigned done)
{
    if (s->cur)
        soft_exec_uncount(s, s->cur, done);
    else if (s->stepping)
        s->left += 1 - (int)done;
    s->cur = NULL;
    s->stepping = s->core.stepped = false;
    s->core.db_pending = 0;
}

/* Before an instruction that is stepped; and after one that did not complete. */
static void take_shadows(struct soft *s)
{
    struct cpu *c = CPU(s);

    s->had_rf = (c->eflags & FL_RF) != 0;
    s->had_int_shadow = c->int_shadow;
    s->had_db_shadow = c->db_shadow;
    c->eflags &= ~(uint32_t)FL_RF;
    c->int_shadow = c->db_shadow = false;
}

static void forget_shadows(struct soft *s)
{
    s->had_rf = s->had_int_shadow = s->had_db_shadow = false;
}

static void restore_shadows(struct soft *s)
{
    struct cpu *c = CPU(s);

    if (!s->core.task.loading) {
        if (s->had_rf)
            c->eflags |= FL_RF;
        c->int_shadow |= s->had_int_shadow;
        c->db_shadow |= s->had_db_shadow;
    }
    forget_shadows(s);
}

/* Back to before the delivery; but behind a task switch's commit point there is no way back. */
static void restore_cpu(struct soft *s)
{
    s->core.in_delivery = false;
    s->mode_dirty = true;
    if (s->core.task.loading)
        return;
    memcpy(CPU(s), &s->saved, offsetof(struct cpu, fpu));
    s->core.cc = cc_of_flags(CPU(s)->eflags);
}

/* A second event while todo was being delivered. false: shutdown. */
static bool second_event(struct soft *s, const struct soft_event *ev)
{
    struct soft_event next;

    if (!soft_event_combine(&s->todo, ev, &next)) {
        snprintf(s->core.exit->why, sizeof s->core.exit->why,
                 "triple fault: vector %u (error %#x) while a double fault was being delivered",
                 ev->vector, ev->error);
        return false;
    }
    /* An acknowledged interrupt waits behind a page fault, whose handler mends what was missing.
     * Behind another fault, which would only come again, it is gone as on a processor. */
    if (s->todo_inside && s->todo.kind == SOFT_EV_EXTERNAL && ev->vector == VEC_PF)
        s->held_intr = s->todo.vector;
    s->todo = next;
    s->todo_inside = true;
    s->have_todo = true;
    return true;
}

/* true: go on with the loop. */
static bool after_raise(struct soft *s)
{
    const struct soft_event ev = s->core.event;
    const bool once = s->core.once;

    s->core.once = false;
    if (s->core.in_delivery) {
        s->core.in_delivery = false;
        s->cur = NULL;
        s->todo_again &= !once;
        if (second_event(s, &ev))
            return true;
        if (!once)
            restore_cpu(s);
        s->have_todo = false;
        return false;
    }
    const bool done = ev.kind == SOFT_EV_TRAP || ev.kind == SOFT_EV_SOFTINT;
    recount(s, done);
    if (!done)
        restore_shadows(s);
    if (ev.kind != SOFT_EV_SOFTINT) /* which a miss may still undo */
        forget_shadows(s);
    if (ev.kind == SOFT_EV_TRAP)
        CPU(s)->eip = ev.next_eip;
    s->todo = ev;
    s->todo_again = !once && (ev.kind == SOFT_EV_FAULT || ev.kind == SOFT_EV_SOFTINT);
    s->have_todo = s->todo_inside = true;
    return true;
}

static void after_miss(struct soft *s)
{
    s->core.exit->kind = SOFT_EXIT_PF;
    s->core.once = false;
    if (s->core.in_delivery) {
        restore_cpu(s);
        s->cur = NULL;
        s->undelivered = true;
        s->miss_la = s->core.exit->la;
        s->miss_user = s->core.exit->user;
        /* What its instruction raises again is forgotten, unless a task switch is half-way. */
        s->have_todo = s->todo_inside && (s->core.task.loading || !s->todo_again);
        if (!s->have_todo)
            restore_shadows(s);
        if (!s->have_todo && s->todo_inside && s->todo.kind == SOFT_EV_SOFTINT)
            soft_uncount(s); /* INT n comes again */
        return;
    }
    recount(s, 0);
    restore_shadows(s);
}

static void after_leave(struct soft *s)
{
    s->core.exit->kind = s->left_with;
    if (s->core.in_delivery)
        restore_cpu(s);
    else
        restore_shadows(s);
    s->have_todo = false;
    recount(s, 0);
}

static enum soft_exit finish(struct soft *s, enum soft_exit kind)
{
    struct soft_exit_info *x = s->core.exit;

    CPU(s)->eflags = soft_flags(s);
    x->kind = kind;
    x->insns = s->budget - (uint64_t)s->left - s->parts;
    s->done += x->insns;
    s->core.jmp = NULL;
    s->core.exit = NULL;
    s->want = NULL;
    return kind;
}

static void begin(struct soft *s, uint64_t budget, struct soft_exit_info *exit, jmp_buf *jb)
{
    *exit = (struct soft_exit_info){.kind = SOFT_EXIT_BUDGET};
    s->core.exit = exit;
    s->core.jmp = jb;
    s->core.cc = cc_of_flags(CPU(s)->eflags);
    s->core.in_delivery = false;
    s->budget = budget < INT64_MAX ? budget : INT64_MAX;
    s->left = (int64_t)s->budget;
    s->parts = 0;
    s->cur = NULL;
    s->want = NULL;
    s->stepping = false;
    forget_shadows(s);
    s->mode_dirty = true;
}

/* The part of soft_run(), soft_step() and soft_deliver() behind setjmp(). code: what it returned.
 * false: the run ends with s->core.exit->kind. */
static bool landed(struct soft *s, int code)
{
    switch (code) {
    case 0: return true;
    case JC_RAISE:
        if (after_raise(s))
            return true;
        s->core.exit->kind = SOFT_EXIT_SHUTDOWN;
        return false;
    case JC_MISS: after_miss(s); return false;
    default: after_leave(s); return false;
    }
}

/* --- delivery ------------------------------------------------------------------------------ */

static void deliver_todo(struct soft *s)
{
    struct cpu *c = CPU(s);

    c->eflags = soft_flags(s);
    memcpy(&s->saved, c, offsetof(struct cpu, fpu));
    s->core.in_delivery = true;
    s->core.next_eip = c->eip;
    soft_deliver_event(s, &s->todo);
    s->core.in_delivery = false;
    forget_shadows(s);
    s->core.cc = cc_of_flags(c->eflags);
    s->have_todo = s->undelivered = false;
    s->mode_dirty = true;
    s->want = NULL;
    c->halted = c->int_shadow = c->db_shadow = false;
}

/* Take an external interrupt if one may be taken now. */
static bool take_interrupt(struct soft *s)
{
    const struct cpu *c = CPU(s);
    int v = s->held_intr;

    if ((!s->intr_pending && v < 0) || !(c->eflags & FL_IF) || c->int_shadow || c->db_shadow)
        return false;
    if (v < 0)
        v = s->core.env->intr_ack(s->core.env->ctx);
    s->held_intr = -1;
    if (v < 0) {
        s->intr_pending = false;
        return false;
    }
    s->todo =
        (struct soft_event){.vector = (uint8_t)v, .kind = SOFT_EV_EXTERNAL, .next_eip = c->eip};
    s->todo_again = false;
    s->have_todo = s->todo_inside = true;
    return true;
}

/* --- one instruction at a time ------------------------------------------------------------- */

static void step_insn(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);

    c->eflags = soft_flags(s);
    if (s->trace)
        s->trace(s->trace_ctx, c);
    s->stepping = true;
    s->left--;
    s->brk = 0;
    s->stops.found = NULL;
    s->core.next_eip = i->eip + i->len;
    s->core.stepped = (c->eflags & FL_TF) != 0;
    take_shadows(s);
    i->op(s, i);
    if (i->flags & INSN_FAST)
        c->eflags = soft_flags(s);
    else
        s->core.cc = cc_of_flags(c->eflags);
    s->stepping = false;
    forget_shadows(s);
    s->mode_dirty |= (i->flags & INSN_ENDS) != 0;
    c->eip = s->core.next_eip;
    if (s->stops.found)
        soft_stop_report(s);
    if (s->core.stepped || s->core.db_pending)
        soft_check_debug(s);
}

static void step(struct soft *s, bool cached)
{
    struct soft_fetch at;
    struct block *b = NULL;

    if (s->bp_any) {
        if (cached && s->stops.n && soft_stop_exec(s))
            return;
        if (!cached)
            s->stops.passing = false;
        soft_check_code_breakpoint(s);
    }
    s->want = NULL;
    if (cached)
        b = soft_block_find(s);
    if (!b)
        soft_decode(s, CPU(s)->eip, &s->step_insn, &at, true);
    step_insn(s, b ? &b->insn[0] : &s->step_insn);
}

/* The start of a block that the budget does not reach the end of. */
static void run_part(struct soft *s, const struct block *b)
{
    for (unsigned k = 0; k < b->n && s->left > 0; k++) {
        step_insn(s, &b->insn[k]);
        if (s->brk || CPU(s)->eip != b->insn[k].eip + b->insn[k].len)
            return;
    }
}

/* --- the loop ------------------------------------------------------------------------------ */

static bool must_step(const struct soft *s)
{
    const struct cpu *c = s->core.cpu;
    return s->trace || (c->eflags & (FL_TF | FL_RF)) || c->int_shadow || c->db_shadow || s->bp_any;
}

/* The mapper may take EIP's page back while the block is decoded: then once more. */
static struct block *find_block(struct soft *s)
{
    struct block *b = NULL;

    for (int tries = 0; tries < 3; tries++) {
        const uint32_t gen = s->gen;
        b = soft_block_find(s);
        if (gen == s->gen)
            break;
    }
    return b;
}

static void run_blocks(struct soft *s)
{
    struct block *b = find_block(s);

    if (!b) {
        step(s, false);
        return;
    }
    if (s->want && !s->core.env->used)
        *s->want = (struct link){.to = b, .gen = s->gen};
    s->want = NULL;
    if (s->left < b->n)
        run_part(s, b);
    else
        soft_exec_block(s, b);
    s->cur = NULL;
}

/* What has begun and is not over: an event's delivery, a task switch. */
static void settle(struct soft *s)
{
    if (soft_likely(!s->have_todo && !s->core.task.loading))
        return;
    s->want = NULL;
    s->mode_dirty = true;
    if (s->have_todo)
        deliver_todo(s);
    if (s->core.task.loading)
        soft_task_finish(s);
}

static enum soft_exit loop(struct soft *s)
{
    struct cpu *c = CPU(s);

    for (;;) {
        settle(s);
        /* The exchange locks the bus: only when there is something to fetch. */
        const uint32_t att = atomic_load_explicit(&s->core.attention, memory_order_relaxed)
                                 ? atomic_fetch_and(&s->core.attention, 0)
                                 : 0;
        if (att & SOFT_ATT_KICK)
            return SOFT_EXIT_ATTENTION;
        if (take_interrupt(s))
            continue;
        if (c->halted)
            return SOFT_EXIT_HLT;
        if (s->left <= 0)
            return SOFT_EXIT_BUDGET;
        if (s->mode_dirty)
            soft_mode_update(s);
        if (soft_unlikely(must_step(s)))
            step(s, true);
        else
            run_blocks(s);
    }
}

enum soft_exit soft_run(struct soft *s, uint64_t budget, struct soft_exit_info *exit)
{
    jmp_buf jb;

    begin(s, budget, exit, &jb);
    s->undelivered = false;
    if (!landed(s, _setjmp(jb)))
        return finish(s, s->core.exit->kind);
    return finish(s, loop(s));
}

enum soft_exit soft_step(struct soft *s, struct soft_exit_info *exit)
{
    jmp_buf jb;

    begin(s, 1, exit, &jb);
    s->undelivered = false;
    if (!landed(s, _setjmp(jb)))
        return finish(s, s->core.exit->kind);
    if (s->have_todo) {
        settle(s);
        return finish(s, SOFT_EXIT_BUDGET);
    }
    settle(s);
    if (s->left > 0) {
        soft_mode_update(s);
        step(s, false);
    }
    return finish(s, CPU(s)->halted ? SOFT_EXIT_HLT : SOFT_EXIT_BUDGET);
}

/* Is ev the fault that the last delivery's miss became? */
static bool is_nested(const struct soft *s, const struct soft_event *ev)
{
    return s->undelivered && ev->kind == SOFT_EV_FAULT && ev->vector == VEC_PF &&
           ev->cr2 == s->miss_la && ((ev->error & PF_U) != 0) == s->miss_user;
}

enum soft_exit soft_deliver(struct soft *s, const struct soft_event *ev,
                            struct soft_exit_info *exit)
{
    jmp_buf jb;

    begin(s, 0, exit, &jb);
    const bool nested = is_nested(s, ev);
    s->undelivered = false; /* also if this ends in a shutdown: what comes then is another story */
    if (nested) {
        if (!second_event(s, ev)) {
            s->have_todo = false;
            return finish(s, SOFT_EXIT_SHUTDOWN);
        }
    } else {
        if (s->have_todo && s->todo.kind == SOFT_EV_EXTERNAL)
            s->held_intr = s->todo.vector;
        s->todo = *ev;
        s->have_todo = true;
        s->todo_inside = false;
        s->todo_again = true;
    }
    if (!landed(s, _setjmp(jb)))
        return finish(s, s->core.exit->kind);
    deliver_todo(s);
    return finish(s, SOFT_EXIT_BUDGET);
}

/* --- from outside -------------------------------------------------------------------------- */

bool soft_unfinished(const struct soft *s)
{
    return s->have_todo || s->core.task.loading || s->held_intr >= 0;
}

void soft_set_intr(struct soft *s, bool pending)
{
    s->intr_pending = pending;
    if (!pending)
        return;
    atomic_fetch_or(&s->core.attention, SOFT_ATT_INTR);
    /* One that the instruction at hand has caused is taken behind it, not behind its block. */
    if (CPU(s)->eflags & FL_IF)
        s->brk = 1;
}

void soft_uncount(struct soft *s)
{
    s->parts++;
}

/* Instructions of the running block behind the one at hand: s->left has them counted already. */
static int64_t rest_of_block(const struct soft *s)
{
    return s->cur ? soft_block_of(s->cur)->n - s->cur->idx - 1 : 0;
}

uint64_t soft_insns(const struct soft *s)
{
    if (!s->core.exit)
        return s->done;
    const bool at_hand = s->cur || s->stepping;
    return s->done + s->budget - s->parts - (uint64_t)(s->left + rest_of_block(s) + at_hand);
}

void soft_limit(struct soft *s, uint64_t n)
{
    if (!s->core.exit)
        return;
    const int64_t over = s->left + rest_of_block(s) - (int64_t)(n < INT64_MAX ? n : INT64_MAX);
    if (over <= 0)
        return;
    s->left -= over;
    s->budget -= (uint64_t)over;
    s->brk = 1; /* behind the block it would be too late */
}

void soft_kick(struct soft *s)
{
    atomic_fetch_or(&s->core.attention, SOFT_ATT_KICK);
}

void soft_set_trace(struct soft *s, void (*hook)(void *ctx, const struct cpu *cpu), void *ctx)
{
    s->trace = hook;
    s->trace_ctx = ctx;
}
