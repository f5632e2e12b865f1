/* Guest memory for a debugger. */
#include "vmm/gdb/gdb_int.h"
#include "vmm/peek.h"
#include "vmm/shadow/walk.h"

/* The guest-physical address of la, if there is RAM. */
static bool where(struct vm *vm, la_t la, gpa_t *gpa)
{
    struct gmode m;
    struct walk w;

    gmode_of(&vm->cpu, &m);
    walk_guest(vm->as, &m, la, (struct walk_access){0}, false, &w);
    *gpa = w.gpa;
    return w.status == WALK_OK && gmem_valid(vm->as, w.gpa, 1);
}

size_t gdb_mem_read(struct vm *vm, la_t la, void *buf, size_t n)
{
    uint64_t done = 0;
    (void)peek_linear(vm, la, buf, n, &done);
    return (size_t)done;
}

size_t gdb_mem_write(struct vm *vm, la_t la, const void *buf, size_t n)
{
    const uint8_t *in = buf;
    size_t done = 0;
    while (done < n) {
        const la_t at = la + (la_t)done;
        const size_t page = PAGE_SIZE - (at & PAGE_MASK);
        const size_t part = n - done < page ? n - done : page;
        gpa_t gpa;
        if (!where(vm, at, &gpa) || gmem_write(vm->as, gpa, in + done, part) < 0)
            break;
        done += part;
    }
    return done;
}
