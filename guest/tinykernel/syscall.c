/* System calls. Every pointer from a process goes through user_copy, after a look that it is below
 * the kernel. */
#include "guest/tinykernel/kernel.h"

static bool below_kernel(uint32_t at, uint32_t n)
{
    return at < KBASE && n <= KBASE - at;
}

static int32_t sys_write(uint32_t at, uint32_t n)
{
    char buf[64];

    if (!below_kernel(at, n))
        return TK_EFAULT;
    for (uint32_t done = 0; done < n;) {
        const uint32_t part = n - done < sizeof buf ? n - done : sizeof buf;
        if (!user_copy(buf, (const void *)(at + done), part))
            return TK_EFAULT;
        for (uint32_t i = 0; i < part; i++)
            rt_putc(buf[i]);
        done += part;
    }
    return (int32_t)n;
}

static int32_t sys_report(bool passed, uint32_t at)
{
    char text[100];
    uint32_t n = 0;

    for (; n < sizeof text - 1; n++) {
        if (!below_kernel(at + n, 1) || !user_copy(&text[n], (const void *)(at + n), 1))
            return TK_EFAULT;
        if (!text[n])
            break;
    }
    text[n] = '\0';
    tap_ok(passed, "%s", text);
    return 0;
}

static struct region *region_at(uint32_t start)
{
    for (struct region *r = current->region; r < current->region + REGIONS; r++)
        if (r->end && r->start == start && !r->image)
            return r;
    return NULL;
}

static int32_t sys_brk(uint32_t end)
{
    struct region *heap = region_at(current->heap_start);
    const uint32_t top = (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

    if (end == 0)
        return (int32_t)current->heap_end;
    if (end < current->heap_start || end > TK_MAP_AREA)
        return TK_EINVAL;
    if (!heap && top > current->heap_start)
        heap = vm_add(current, current->heap_start, top - current->heap_start, true);
    if (heap && top < heap->end)
        vm_drop_pages(top, heap->end);
    if (heap)
        heap->end = top > heap->start ? top : 0;
    current->heap_end = end;
    return (int32_t)end;
}

static int32_t sys_unmap(uint32_t start)
{
    struct region *r = region_at(start);

    if (!r || start < TK_MAP_AREA)
        return TK_EINVAL;
    vm_drop_pages(r->start, r->end);
    *r = (struct region){0};
    return 0;
}

static int32_t sys_protect(uint32_t start, bool writable)
{
    struct region *r = region_at(start);

    if (!r)
        return TK_EINVAL;
    vm_protect(r, writable);
    return 0;
}

static int32_t sys_stat(uint32_t what, uint32_t arg)
{
    switch (what) {
    case TK_FREE_FRAMES: return (int32_t)frames_free();
    case TK_FAULTS: return (int32_t)current->faults;
    case TK_COPIES: return (int32_t)current->copies;
    case TK_REUSES: return (int32_t)current->reuses;
    case TK_PREEMPTIONS: return (int32_t)current->preemptions;
    case TK_AUDIT: return (int32_t)proc_audit();
    case TK_PAGE:
        if (arg >= KBASE || !(PDE_OF(arg) & PTE_P))
            return 0;
        return (int32_t)PTE_OF(arg);
    default: return TK_EINVAL;
    }
}

static int32_t sleep_for(uint32_t n)
{
    proc_sleep(n);
    return 0;
}

static int32_t give_way(void)
{
    proc_yield();
    return 0;
}

void syscall(struct frame *f)
{
    int32_t r;

    switch (f->eax) {
    case SYS_EXIT: proc_exit(f->ebx & 0x7f);
    case SYS_FORK: r = proc_fork(f); break;
    case SYS_WRITE: r = f->ebx == 1 ? sys_write(f->ecx, f->edx) : TK_EINVAL; break;
    case SYS_WAIT: r = below_kernel(f->ebx, 4) ? proc_wait(f->ebx) : TK_EFAULT; break;
    case SYS_GETPID: r = (int32_t)current->pid; break;
    case SYS_BRK: r = sys_brk(f->ebx); break;
    case SYS_MAP: r = vm_add(current, f->ebx, f->ecx, f->edx != 0) ? 0 : TK_EINVAL; break;
    case SYS_UNMAP: r = sys_unmap(f->ebx); break;
    case SYS_PROTECT: r = sys_protect(f->ebx, f->ecx != 0); break;
    case SYS_YIELD: r = give_way(); break;
    case SYS_SLEEP: r = sleep_for(f->ebx); break;
    case SYS_TICKS: r = (int32_t)ticks; break;
    case SYS_KILL: r = proc_kill(f->ebx); break;
    case SYS_EXEC: r = proc_exec(f, f->ebx); break;
    case SYS_REPORT: r = sys_report(f->ebx != 0, f->ecx); break;
    case SYS_STAT: r = sys_stat(f->ebx, f->ecx); break;
    default: r = TK_ENOSYS; break;
    }
    f->eax = (uint32_t)r;
    if (current->killed)
        proc_exit(TK_KILLED | TK_BY_KILL);
}
