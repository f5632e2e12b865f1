/* See vm_report.h. */
#include <inttypes.h>

#include "mm/counters.h"
#include "vmm/kvm/kvm.h"
#include "vmm/soft_engine.h"
#include "vmm/vm.h"
#include "vmm/vm_report.h"

/* Rows of --stats that the machine's own statistics do not have. */
struct extras {
    struct stats_extra row[STATS_EXTRAS];
    size_t n;
};

static void extra(struct extras *x, const char *name, uint64_t value)
{
    if (x->n < STATS_EXTRAS)
        x->row[x->n++] = (struct stats_extra){name, value};
}

static void add_memory(struct extras *x, struct vm *vm)
{
    struct shadow_stats sh;
    struct pool_stats po;
    struct mm_stats mm;

    shadow_get_stats(vm->shadow, &sh);
    pool_get_stats(vm->pool, &po);
    mm_get_stats(vm->mm, &mm);
    extra(x, "pages resident", mm.resident);
    extra(x, "pages swapped out", mm.swapped);
    extra(x, "pool frames, most", po.frames_max);
    extra(x, "pool frames, grown to", po.frames_grown);
    extra(x, "pool growth steps", po.grows);
    extra(x, "pool runs broken", po.runs_broken);
    extra(x, "shadow table pages", sh.pages);
    extra(x, "shadow leaf entries", sh.leaves);
    extra(x, "shadow entries restricted", sh.restricts);
    extra(x, "shadow tables reclaimed", sh.reclaims);
    extra(x, "shadow tables flooded", sh.floods);
    extra(x, "2 MiB shadow entries' tables", sh.large);
    extra(x, "... collapsed", sh.collapses);
    extra(x, "... split again", sh.splits);
    extra(x, "neighbours mapped", vm->stats.prefetched);
}

static void add_strict(struct extras *x, struct vm *vm)
{
    struct strict_stats s;

    if (!vm->strict)
        return;
    strict_tlb_get_stats(vm->strict, &s);
    extra(x, "uses of stale translations", s.stale);
    extra(x, "... unmapped", s.by_kind[STRICT_UNMAPPED]);
    extra(x, "... of another page", s.by_kind[STRICT_FRAME]);
    extra(x, "... without the right", s.by_kind[STRICT_RIGHTS]);
    extra(x, "... that leave D clear", s.by_kind[STRICT_DIRTY]);
    extra(x, "... by a stale directory entry", s.by_kind[STRICT_DIRECTORY]);
    extra(x, "uses that leave A clear", s.accessed);
    extra(x, "writes that leave D clear in an entry of another size", s.resized);
    extra(x, "INVLPGs", s.invlpg);
    extra(x, "INVLPGs of what was not cached", s.invlpg_unused);
    extra(x, "INVLPGs of what had not changed", s.invlpg_same);
    extra(x, "CR3 loads", s.loads);
    extra(x, "CR3 loads for nothing", s.loads_same);
}

static void add_engines(struct extras *x, struct vm *vm)
{
    struct kvm_engine_stats k;

    extra(x, "soft CPU instructions", soft_engine_insns(vm->soft));
    if (!vm->kvm)
        return;
    kvm_engine_get_stats(vm->kvm, &k);
    extra(x, "KVM_RUN calls", k.runs);
    extra(x, "KVM_RUN calls to drain the queue", k.drains);
    extra(x, "... drained on the way in", k.drains_on_the_way);
    extra(x, "KVM entries with new segments", k.sregs);
    extra(x, "port I/O exits of guest code", k.io);
}

/* What the memory manager has done; only what has happened, as most machines see little of it. */
static void add_counters(struct extras *x, struct vm *vm)
{
    union {
        struct mm_counters c;
        uint64_t n[MM_COUNTER_COUNT];
    } u;

    mm_get_counters(vm->pool, &u.c);
    for (int i = 0; i < MM_COUNTER_COUNT; i++)
        if (u.n[i])
            extra(x, mm_counter_text((enum mm_counter)i), u.n[i]);
}

static void add_store(struct extras *x, struct vm *vm)
{
    struct store_stats s;

    if (!vm->opts.store)
        return;
    store_get_stats(vm->opts.store, &s);
    extra(x, "swap slots", s.slots.total);
    extra(x, "swap slots in use", s.slots.used);
    extra(x, "swap slots that went bad", s.slots.bad);
    extra(x, "same-filled pages out", s.writes_same);
    extra(x, "same-filled pages back", s.reads_same);
    extra(x, "compressed pool: pages in", s.writes_zpool);
    extra(x, "compressed pool: pages out again", s.reads_zpool);
    extra(x, "compressed pool: pages now", s.zpool_entries);
    extra(x, "compressed pool: bytes held", s.zpool_held);
    extra(x, "compressed pool: percent of their size", /* the ratio, of what is in it now */
          s.zpool_entries ? s.zpool_data * 100 / (s.zpool_entries * PAGE_SIZE) : 0);
    extra(x, "incompressible pages", s.bypassed);
    extra(x, "pages written back from the compressed pool", s.written_back);
    extra(x, "pages written to the swap file", s.writes_disk);
    extra(x, "pages read from the swap file", s.reads_disk);
    extra(x, "swap writes that failed", s.write_errors);
    extra(x, "swap reads that failed", s.read_errors);
    extra(x, "swap contents that did not match", s.torn);
    extra(x, "swap writes refused for want of room", s.full);
}

#define DRIVE_ROWS(n)                                                                              \
    {                                                                                              \
        n ": sectors read", n ": sectors written", n ": reads", n ": writes", n ": flushes",       \
            n ": I/O errors of the host", n ": sectors in the overlay",                            \
    }

static void add_disk(struct extras *x, const struct disk *disk, const char *const name[7])
{
    struct disk_stats s;
    if (!disk)
        return;
    disk_get_stats(disk, &s);
    extra(x, name[0], s.read_sectors);
    extra(x, name[1], s.written_sectors);
    extra(x, name[2], s.reads);
    extra(x, name[3], s.writes);
    extra(x, name[4], s.flushes);
    extra(x, name[5], s.read_errors + s.write_errors);
    extra(x, name[6], s.overlay_sectors);
}

static void add_drives(struct extras *x, struct vm *vm)
{
    static const char *const floppy[FDC_DRIVES][7] = {DRIVE_ROWS("floppy 0"),
                                                      DRIVE_ROWS("floppy 1")};
    static const char *const drive[BOARD_DRIVES][7] = {
        DRIVE_ROWS("drive 0"), DRIVE_ROWS("drive 1"), DRIVE_ROWS("drive 2"), DRIVE_ROWS("drive 3")};
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        add_disk(x, vm->opts.floppy[i], floppy[i]);
    for (unsigned i = 0; i < BOARD_DRIVES; i++)
        add_disk(x, vm->opts.drive[i].disk, drive[i]);
}

void vm_report_stats(struct vm *vm, bool json, FILE *out)
{
    struct extras x = {.n = 0};

    add_memory(&x, vm);
    add_counters(&x, vm);
    add_store(&x, vm);
    add_drives(&x, vm);
    add_engines(&x, vm);
    add_strict(&x, vm);
    if (json)
        stats_print_json(&vm->stats, vm_engine_name(vm), x.row, x.n, out);
    else
        stats_print(&vm->stats, vm_engine_name(vm), x.row, x.n, out);
}
