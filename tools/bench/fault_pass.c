/* See fault_pass.h. */
#include "tools/bench/fault_pass.h"

#include "tools/bench/bench.h"

enum {
    PAGES = FAULT_PASS_PAGES,
    UNROLL = 16,
    CODE_AT = 0x1000,
    DATA_AT = 0x100000,
};
_Static_assert(DATA_AT + PAGES * PAGE_SIZE == FAULT_PASS_RAM, "the pages end where RAM does");

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
    return p + 4;
}

/* 1: mov eax,[esi+k*4096] or mov [esi+k*4096],eax for each k; add esi; dec ecx; jnz 1b; hlt */
static size_t make_loop(uint8_t *code, bool write)
{
    uint8_t *p = code;
    for (uint32_t k = 0; k < UNROLL; k++) {
        *p++ = write ? 0x89 : 0x8b;
        *p++ = 0x86;
        p = put32(p, k * PAGE_SIZE);
    }
    *p++ = 0x81, *p++ = 0xc6;
    p = put32(p, UNROLL * PAGE_SIZE);
    *p++ = 0x49;
    *p++ = 0x0f, *p++ = 0x85;
    p = put32(p, (uint32_t)(code - (p + 4)));
    *p++ = 0xf4;
    return (size_t)(p - code);
}

/* ns per fault of one pass over all pages; negative if not each page came to exactly one fault. */
double fault_pass(struct vm *vm, bool write)
{
    uint8_t code[256];
    const size_t len = make_loop(code, write);
    const uint64_t before = vm->stats.trap[TRAP_PF].count;

    if (gmem_write(&vm->gmem, CODE_AT, code, len) < 0)
        return -1;
    cpu_set_flat(&vm->cpu, CODE_AT);
    vm->cpu.gpr[R_ESI] = DATA_AT;
    vm->cpu.gpr[R_ECX] = PAGES / UNROLL;
    vm->end = VM_RUNNING;
    const uint64_t t = bench_now();
    vm_run(vm);
    const uint64_t ns = bench_now() - t;
    const uint64_t faults = vm->stats.trap[TRAP_PF].count - before;
    if (vm->end != VM_END_HALT || faults < PAGES || faults > PAGES + 8) {
        fprintf(stderr, "bench: the guest ended with \"%s\" after %llu faults\n", vm->end_text,
                (unsigned long long)faults);
        return -1;
    }
    return (double)ns / PAGES;
}

/* Take the pages away: the next access to each finds nothing. */
int fault_pass_forget(struct vm *vm)
{
    int rc = mm_unmap(vm->mm, gfn_of(DATA_AT), PAGES);
    if (!rc)
        rc = mm_map_anon(vm->mm, gfn_of(DATA_AT), PAGES, MM_READ | MM_WRITE | MM_EXEC,
                         MM_ANON_PRIVATE);
    return rc;
}
