/*
 * A machine with the real trap loop runs a guest that touches page after page. Each round takes the
 * pages away from it and measures three passes: reads of pages never touched (the zero frame is
 * mapped), writes to those (each gets a frame of its own in the zero frame's place), and writes to
 * pages never touched (fresh frames). What a pass cost, loop and all, is divided by its faults.
 */
#include "tools/bench/fault_guest.h"

#include <errno.h>

#include "tools/bench/fault_host.h"
#include "tools/bench/fault_pass.h"
#include "vmm/vm.h"

enum { PAGES = FAULT_PASS_PAGES, MAX_ROUNDS = 31 };

enum pass { PASS_READ, PASS_AFTER_READ, PASS_WRITE, PASSES };
enum host { HOST_SEGV_R, HOST_SEGV_W, HOST_ZEROPAGE, HOST_COPY, HOST_COPY_SLEEP, HOSTS };

static const char *const pass_name[PASSES] = {"read, zero frame", "write after a read",
                                              "write, fresh frame"};
static const char *const host_name[HOSTS] = {"SIGSEGV + mprotect, read",
                                             "SIGSEGV + mprotect, write", "userfaultfd ZEROPAGE",
                                             "userfaultfd COPY", "userfaultfd COPY, sleeping"};

struct machine_under_test {
    const char *name;
    struct vm *vm; /* NULL: this host has no such engine */
    double ns[PASSES][MAX_ROUNDS];
};

/* --- the guest ------------------------------------------------------------------------------- */

static int run_machine(struct machine_under_test *m, unsigned round)
{
    if (!m->vm)
        return 0;
    int rc = fault_pass_forget(m->vm);
    if (rc)
        return rc;
    m->ns[PASS_READ][round] = fault_pass(m->vm, false);
    m->ns[PASS_AFTER_READ][round] = fault_pass(m->vm, true);
    rc = fault_pass_forget(m->vm);
    if (rc)
        return rc;
    m->ns[PASS_WRITE][round] = fault_pass(m->vm, true);
    for (int p = 0; p < PASSES; p++)
        if (m->ns[p][round] < 0)
            return -EIO;
    return 0;
}

static int start_machine(struct machine_under_test *m, const char *name, enum vm_engine engine)
{
    const struct vm_opts o = {.ram = FAULT_PASS_RAM,
                              .shadow_quota = VM_SHADOW_QUOTA,
                              .engine = engine,
                              .ring0 = VM_RING0_NATIVE};
    struct errmsg err = {0};
    m->name = name;
    const int rc = vm_create(&o, &m->vm, &err);
    if (rc == 0)
        return 0;
    m->vm = NULL;
    if (engine != VM_ENGINE_KVM)
        return rc;
    fprintf(stderr, "bench: no guest faults on the kvm engine: %s\n", err.text);
    return 0;
}

/* --- both sides ------------------------------------------------------------------------------ */

static double run_host(enum host h)
{
    switch (h) {
    case HOST_SEGV_R: return bench_host_sigsegv(PAGES, false);
    case HOST_SEGV_W: return bench_host_sigsegv(PAGES, true);
    case HOST_ZEROPAGE: return bench_host_uffd(PAGES, false, true);
    case HOST_COPY: return bench_host_uffd(PAGES, true, true);
    default: return bench_host_uffd(PAGES, true, false);
    }
}

static void add_rows(struct bench_table *t, struct machine_under_test *m, unsigned rounds,
                     const double host[HOSTS])
{
    static const struct {
        enum pass ours;
        enum host host;
    } pairs[] = {
        {PASS_READ, HOST_SEGV_R}, {PASS_READ, HOST_ZEROPAGE},    {PASS_WRITE, HOST_SEGV_W},
        {PASS_WRITE, HOST_COPY},  {PASS_WRITE, HOST_COPY_SLEEP}, {PASS_AFTER_READ, HOST_SEGV_W},
    };
    double ours[PASSES];
    char name[64];

    if (!m->vm)
        return;
    for (int p = 0; p < PASSES; p++)
        ours[p] = bench_median(m->ns[p], rounds);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (host[pairs[i].host] <= 0)
            continue;
        snprintf(name, sizeof name, "guest on %s: %s", m->name, pass_name[pairs[i].ours]);
        bench_row(t, name, ours[pairs[i].ours], host_name[pairs[i].host], host[pairs[i].host], 0);
    }
}

static int measure(struct bench_table *t, struct machine_under_test m[2], unsigned rounds)
{
    static double v[HOSTS][MAX_ROUNDS];
    double host[HOSTS] = {0};
    const int uffd = bench_host_uffd_allowed();
    const int hosts = uffd ? HOST_ZEROPAGE : HOSTS;

    if (uffd)
        fprintf(stderr, "bench: no userfaultfd here: %s\n", strerror(-uffd));
    for (int i = 0; i < 2; i++) { /* warm: grow the pool, make the tables */
        const int rc = run_machine(&m[i], 0);
        if (rc)
            return rc;
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (int h = 0; h < hosts; h++)
            if ((v[h][r] = run_host((enum host)h)) < 0)
                return -EIO;
        for (int i = 0; i < 2; i++) {
            const int rc = run_machine(&m[i], r);
            if (rc)
                return rc;
        }
    }
    for (int h = 0; h < hosts; h++)
        host[h] = bench_median(v[h], rounds);
    for (int i = 0; i < 2; i++)
        add_rows(t, &m[i], rounds, host);
    return 0;
}

int bench_fault_guest(struct bench_table *t, unsigned rounds)
{
    static struct machine_under_test m[2];
    int rc = start_machine(&m[0], "kvm", VM_ENGINE_KVM);

    if (rounds > MAX_ROUNDS)
        rounds = MAX_ROUNDS;
    if (!rc)
        rc = start_machine(&m[1], "soft", VM_ENGINE_SOFT);
    if (!rc)
        rc = measure(t, m, rounds);
    for (int i = 0; i < 2; i++)
        vm_destroy(m[i].vm);
    return rc;
}
