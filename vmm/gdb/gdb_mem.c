/* Guest memory for a debugger. */
#include "vmm/gdb/gdb_int.h"
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

static size_t move(struct vm *vm, la_t la, uint8_t *out, const uint8_t *in, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const la_t at = la + (la_t)done;
        const size_t page = PAGE_SIZE - (at & PAGE_MASK);
        const size_t part = n - done < page ? n - done : page;
        gpa_t gpa;
        if (!where(vm, at, &gpa) || !gmem_valid(vm->as, gpa, part))
            break;
        const int rc = out ? gmem_read(vm->as, gpa, out + done, part)
                           : gmem_write(vm->as, gpa, in + done, part);
        if (rc < 0)
            break;
        done += part;
    }
    return done;
}

size_t gdb_mem_read(struct vm *vm, la_t la, void *buf, size_t n)
{
    return move(vm, la, buf, NULL, n);
}

size_t gdb_mem_write(struct vm *vm, la_t la, const void *buf, size_t n)
{
    return move(vm, la, NULL, buf, n);
}
