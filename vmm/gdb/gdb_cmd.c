/* What gdb's packets mean (gdb manual, appendix E). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/gdb/gdb_int.h"
#include "vmm/gdb/gdb_regs.h"
#include "vmm/kvm/kvm.h"

enum { E_ARGS = 0x01, E_MEMORY = 0x0e, E_NO_ROOM = 0x1c };

static enum gdb_then error(struct gdb_session *s, unsigned code)
{
    rsp_printf(&s->tx, "E%02x", code);
    return GDB_REPLY;
}

static enum gdb_then ok(struct gdb_session *s)
{
    rsp_text(&s->tx, "OK");
    return GDB_REPLY;
}

/* Is there word at *p? Then *p moves behind it. */
static bool take(const char **p, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* --- registers ------------------------------------------------------------------------------- */

/* Work for the vCPU's thread. */
struct job {
    struct gdb_session *s;
    const char *p; /* what is left of the packet */
    unsigned code; /* 0, or the error's */
    uint32_t la, n;
    uint8_t *bytes;
    struct soft_stop stop;
    FILE *out;
};

static unsigned run_job(struct gdb_session *s, void (*fn)(struct vm *vm, void *ctx), struct job *j)
{
    j->s = s;
    return vm_call(s->vm, fn, j) < 0 ? E_ARGS : j->code;
}

static void fetch_fpu(struct vm *vm)
{
    if (vm->kvm)
        (void)kvm_engine_fpu_fetch(vm->kvm);
}

static void get_one(struct vm *vm, struct job *j, unsigned n)
{
    uint8_t v[GDB_REG_MAX];
    rsp_hex(&j->s->tx, v, gdb_reg_get(&vm->cpu, n, v));
}

static void get_general(struct vm *vm, void *ctx)
{
    fetch_fpu(vm);
    for (unsigned n = 0; n < gdb_reg_general(); n++)
        get_one(vm, ctx, n);
}

static void get_numbered(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    fetch_fpu(vm);
    if (j->n < gdb_reg_count())
        get_one(vm, j, j->n);
    else
        j->code = E_ARGS;
}

/* Set register n from the digits at j->p. */
static bool set_one(struct vm *vm, struct job *j, unsigned n)
{
    uint8_t now[GDB_REG_MAX], v[GDB_REG_MAX];
    const size_t size = gdb_reg_get(&vm->cpu, n, now);
    return size && rsp_unhex(&j->p, v, size) && gdb_reg_set(&vm->cpu, n, v, size);
}

static void set_general(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    fetch_fpu(vm);
    for (unsigned n = 0; n < gdb_reg_general() && *j->p; n++)
        if (!set_one(vm, j, n))
            j->code = E_ARGS;
}

static void set_numbered(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    fetch_fpu(vm);
    if (!set_one(vm, j, j->n))
        j->code = E_ARGS;
}

static enum gdb_then registers(struct gdb_session *s, const char *p)
{
    struct job j = {.p = p + 1};
    uint64_t n = 0;
    unsigned code;

    if (*p == 'p' || *p == 'P') {
        if (!rsp_number(&j.p, &n) || n > UINT32_MAX || (*p == 'P' && *j.p++ != '='))
            return error(s, E_ARGS);
        j.n = (uint32_t)n;
        code = run_job(s, *p == 'p' ? get_numbered : set_numbered, &j);
    } else {
        code = run_job(s, *p == 'g' ? get_general : set_general, &j);
    }
    if (code)
        return error(s, code);
    return *p == 'G' || *p == 'P' ? ok(s) : GDB_REPLY;
}

/* --- memory ---------------------------------------------------------------------------------- */

static void read_memory(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    const size_t got = gdb_mem_read(vm, j->la, j->bytes, j->n);
    if (!got && j->n)
        j->code = E_MEMORY;
    rsp_hex(&j->s->tx, j->bytes, got);
}

static void write_memory(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    if (gdb_mem_write(vm, j->la, j->bytes, j->n) < j->n)
        j->code = E_MEMORY;
}

/* m ADDR,N  M ADDR,N:DIGITS  X ADDR,N:BYTES */
static enum gdb_then memory(struct gdb_session *s, const char *p, const char *end)
{
    static _Thread_local uint8_t bytes[RSP_MAX];
    const char kind = *p++;
    uint64_t la, n;

    if (!rsp_number(&p, &la) || *p++ != ',' || !rsp_number(&p, &n) || la > UINT32_MAX)
        return error(s, E_ARGS);
    if (kind == 'm' && n > RSP_MAX / 2 - 8)
        n = RSP_MAX / 2 - 8; /* less than asked for may be answered */
    if (n > sizeof bytes || la + n > (uint64_t)UINT32_MAX + 1)
        return error(s, E_ARGS);
    struct job j = {.la = (uint32_t)la, .n = (uint32_t)n, .bytes = bytes};
    if (kind == 'm') {
        const unsigned code = run_job(s, read_memory, &j);
        return code ? error(s, code) : GDB_REPLY;
    }
    if (*p++ != ':')
        return error(s, E_ARGS);
    if (kind == 'X') {
        if ((size_t)(end - p) != n)
            return error(s, E_ARGS);
        memcpy(bytes, p, n);
    } else if (!rsp_unhex(&p, bytes, n)) {
        return error(s, E_ARGS);
    }
    const unsigned code = run_job(s, write_memory, &j);
    return code ? error(s, code) : ok(s);
}

/* --- stops ----------------------------------------------------------------------------------- */

static void add_break(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    if (vm_break_add(vm, j->stop) < 0)
        j->code = E_NO_ROOM;
}

static void remove_break(struct vm *vm, void *ctx)
{
    const struct job *j = ctx;
    (void)vm_break_remove(vm, j->stop); /* gdb removes twice at times */
}

/* Z TYPE,ADDR,KIND: 0 and 1 code (the guest's memory is not patched, so both are the same), 2
 * write, 3 read, 4 access. */
static enum gdb_then breakpoint(struct gdb_session *s, const char *p)
{
    static const enum soft_stop_kind kinds[] = {SOFT_STOP_EXEC, SOFT_STOP_EXEC, SOFT_STOP_WRITE,
                                                SOFT_STOP_READ, SOFT_STOP_ACCESS};
    const bool add = *p++ == 'Z';
    const unsigned type = (unsigned)(*p - '0');
    uint64_t la, len;

    if (type >= sizeof kinds / sizeof *kinds)
        return GDB_REPLY; /* empty: not supported */
    if (*++p != ',' || (p++, !rsp_number(&p, &la)) || *p++ != ',' || !rsp_number(&p, &len) ||
        la > UINT32_MAX || len > PAGE_SIZE || (type >= 2 && !len))
        return error(s, E_ARGS);
    struct job j = {
        .stop = {.la = (la_t)la, .len = type < 2 ? 0 : (uint32_t)len, .kind = kinds[type]}};
    const unsigned code = run_job(s, add ? add_break : remove_break, &j);
    return code ? error(s, code) : ok(s);
}

static void what_stopped(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    const struct soft_stop *b = &vm->breaks.hit;
    switch (b->kind) {
    case SOFT_STOP_EXEC: rsp_text(&j->s->tx, "hwbreak:;"); break;
    case SOFT_STOP_WRITE: rsp_printf(&j->s->tx, "watch:%x;", b->la); break;
    case SOFT_STOP_READ: rsp_printf(&j->s->tx, "rwatch:%x;", b->la); break;
    case SOFT_STOP_ACCESS: rsp_printf(&j->s->tx, "awatch:%x;", b->la); break;
    }
}

void gdb_stop_reply(struct gdb_session *s, enum vm_stop_why why)
{
    struct job j = {0};

    if (why == VM_STOP_END) {
        rsp_printf(&s->tx, "W%02x", (unsigned)vm_exit_code(s->vm) & 0xff);
        return;
    }
    rsp_text(&s->tx, why == VM_STOP_ASKED ? "T02thread:1;" : "T05thread:1;");
    if (why == VM_STOP_BREAK)
        (void)run_job(s, what_stopped, &j);
}

static void clear_breaks(struct vm *vm, void *ctx)
{
    (void)ctx;
    vm_break_clear(vm);
}

void gdb_let_go(struct gdb_session *s)
{
    (void)vm_call(s->vm, clear_breaks, NULL);
    (void)vm_resume(s->vm);
}

static void set_eip(struct vm *vm, void *ctx)
{
    const struct job *j = ctx;
    vm->cpu.eip = j->la;
    vm->cpu.halted = false;
}

static enum gdb_then go(struct gdb_session *s, bool step)
{
    s->running = true; /* before it can stop again */
    const int rc = step ? vm_step(s->vm, 1) : vm_resume(s->vm);
    if (!rc)
        return GDB_SILENT;
    s->running = false;
    if (rc != -ESHUTDOWN)
        return error(s, E_ARGS);
    gdb_stop_reply(s, VM_STOP_END);
    return GDB_BYE;
}

/* c [ADDR], s [ADDR], C SIG[;ADDR], S SIG[;ADDR]; signals mean nothing to a machine. */
static enum gdb_then resume(struct gdb_session *s, const char *p)
{
    const bool step = *p == 's' || *p == 'S';
    uint64_t v;

    if (*p == 'C' || *p == 'S') {
        p++;
        if (!rsp_number(&p, &v))
            return error(s, E_ARGS);
        if (*p != ';')
            return go(s, step);
    }
    p++;
    if (*p) {
        struct job j = {0};
        if (!rsp_number(&p, &v) || v > UINT32_MAX)
            return error(s, E_ARGS);
        j.la = (uint32_t)v;
        if (run_job(s, set_eip, &j))
            return error(s, E_ARGS);
    }
    return go(s, step);
}

/* --- v and q packets ------------------------------------------------------------------------- */

static enum gdb_then v_packet(struct gdb_session *s, const char *p)
{
    if (strcmp(p, "vCont?") == 0) {
        rsp_text(&s->tx, "vCont;c;C;s;S");
        return GDB_REPLY;
    }
    /* One thread: the first action is the one. */
    if (take(&p, "vCont;")) {
        if (*p == 'c' || *p == 'C')
            return go(s, false);
        return *p == 's' || *p == 'S' ? go(s, true) : error(s, E_ARGS);
    }
    if (take(&p, "vKill")) {
        vm_ask(s->vm, VM_ASK_QUIT);
        rsp_text(&s->tx, "OK");
        return GDB_BYE;
    }
    return GDB_REPLY;
}

/* qXfer:features:read:target.xml:OFFSET,LENGTH */
static enum gdb_then features(struct gdb_session *s, const char *p)
{
    const size_t all = strlen(gdb_target_xml);
    uint64_t off, n;

    if (!take(&p, "target.xml:"))
        return error(s, 0);
    if (!rsp_number(&p, &off) || *p++ != ',' || !rsp_number(&p, &n))
        return error(s, E_ARGS);
    if (off >= all) {
        rsp_text(&s->tx, "l");
        return GDB_REPLY;
    }
    if (n > RSP_MAX - 8)
        n = RSP_MAX - 8;
    const bool rest = n >= all - off;
    rsp_text(&s->tx, rest ? "l" : "m");
    rsp_binary(&s->tx, gdb_target_xml + off, rest ? all - off : (size_t)n);
    return GDB_REPLY;
}

static void monitor_job(struct vm *vm, void *ctx)
{
    const struct job *j = ctx;
    gdb_monitor(vm, j->p, j->out);
}

static enum gdb_then monitor(struct gdb_session *s, const char *p)
{
    char line[512];
    size_t n = 0;

    while (n < sizeof line - 1 && rsp_unhex(&p, line + n, 1))
        n++;
    line[n] = 0;
    if (*p)
        return error(s, E_ARGS);
    struct job j = {.p = line, .out = open_memstream(&s->console, &s->console_len)};
    if (!j.out)
        return error(s, E_NO_ROOM);
    const unsigned code = run_job(s, monitor_job, &j);
    (void)fclose(j.out);
    return code ? error(s, code) : ok(s);
}

static enum gdb_then q_packet(struct gdb_session *s, const char *p)
{
    if (take(&p, "qSupported"))
        rsp_printf(&s->tx,
                   "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;hwbreak+;vContSupported+",
                   RSP_MAX);
    else if (take(&p, "qXfer:features:read:"))
        return features(s, p);
    else if (take(&p, "qRcmd,"))
        return monitor(s, p);
    else if (take(&p, "qAttached"))
        rsp_text(&s->tx, "1");
    else if (strcmp(p, "qC") == 0)
        rsp_text(&s->tx, "QC1");
    else if (strcmp(p, "qfThreadInfo") == 0)
        rsp_text(&s->tx, "m1");
    else if (strcmp(p, "qsThreadInfo") == 0)
        rsp_text(&s->tx, "l");
    return GDB_REPLY; /* empty: not supported */
}

enum gdb_then gdb_packet(struct gdb_session *s, const char *packet, size_t len)
{
    const char *p = packet;

    switch (*p) {
    case '?': gdb_stop_reply(s, VM_STOP_STEP); return GDB_REPLY;
    case 'g':
    case 'G':
    case 'p':
    case 'P': return registers(s, p);
    case 'm':
    case 'M':
    case 'X': return memory(s, p, packet + len);
    case 'Z':
    case 'z': return breakpoint(s, p);
    case 'c':
    case 'C':
    case 's':
    case 'S': return resume(s, p);
    case 'v': return v_packet(s, p);
    case 'q': return q_packet(s, p);
    case 'H':
    case 'T': return ok(s);
    case 'Q':
        if (strcmp(p, "QStartNoAckMode") != 0)
            return GDB_REPLY;
        s->no_ack_next = true;
        return ok(s);
    case 'D': rsp_text(&s->tx, "OK"); return GDB_BYE;
    case 'k': vm_ask(s->vm, VM_ASK_QUIT); return GDB_BYE;
    default: return GDB_REPLY;
    }
}
