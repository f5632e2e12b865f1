/* Hostile arguments: every call of the address spaces made wrongly, each with the status that is
 * due and nothing changed. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M zpool=2M");

enum { LAST = 0xffffffff };

static uint32_t regions(void)
{
    return sp_info()->ret[3];
}

/* A call that must fail with status and leave the regions as they are. */
static void refused(int32_t status, uint32_t number, uint32_t a0, uint32_t a1, uint32_t a2,
                    uint32_t a3, const char *what)
{
    const uint32_t before = regions();
    const int32_t got = sp_call(number, a0, a1, a2, a3);
    if (!tap_ok(got == status && regions() == before, "%s", what))
        tap_note("status %d, due %d; regions %u, were %u", got, status, regions(), before);
}

static void ranges(uint32_t number, uint32_t prot, const char *call)
{
    tap_note("ranges of %s", call);
    refused(UMBRA_EINVAL, number, SP_TEST + 1, 1, prot, 0, "an address that is no page's");
    refused(UMBRA_EINVAL, number, SP_TEST + 4095, 1, prot, 0, "nor this one");
    refused(UMBRA_EINVAL, number, SP_TEST, 0, prot, 0, "no pages");
    refused(UMBRA_ERANGE, number, SP_TEST, LAST, prot, 0, "pages that wrap");
    refused(UMBRA_ERANGE, number, SP_TEST, 0x100000, prot, 0, "pages that pass 4 GiB");
    refused(UMBRA_ERANGE, number, UMBRA_WINDOW, 1, prot, 0, "the window");
    refused(UMBRA_ERANGE, number, UMBRA_WINDOW - 4096, 2, prot, 0, "a range that ends in it");
    refused(UMBRA_ERANGE, number, 0xfffff000, 1, prot, 0, "the last page");
    refused(UMBRA_ERANGE, number, 0xfffff000, LAST, prot, 0, "the last page and on");
}

static void mapping(void)
{
    refused(UMBRA_EEXIST, UMBRA_HC_SPACE_MAP, 0x100000, 1, SP_RW, 0, "over the guest itself");
    refused(UMBRA_EEXIST, UMBRA_HC_SPACE_MAP, rt_ram_end() - PAGE_SIZE, 2, SP_RW, 0,
            "over the end of RAM");
    refused(UMBRA_EINVAL, UMBRA_HC_SPACE_MAP, SP_TEST, 1, UMBRA_PROT_WRITE, 0, "writing alone");
    refused(UMBRA_EINVAL, UMBRA_HC_SPACE_MAP, SP_TEST, 1, 4, 0, "a right that means nothing");
    refused(UMBRA_EINVAL, UMBRA_HC_SPACE_MAP, SP_TEST, 1, SP_RW, 4, "a flag that means nothing");
    refused(UMBRA_EINVAL, UMBRA_HC_SPACE_MAP, SP_TEST, 1, SP_RW, LAST, "all flags");
    refused(UMBRA_ENOENT, UMBRA_HC_SPACE_PROTECT, SP_TEST, 1, SP_RW, 0, "rights for no region");
    refused(UMBRA_ENOENT, UMBRA_HC_SPACE_PROTECT, rt_ram_end() - PAGE_SIZE, 2, SP_RW, 0,
            "rights for more than a region");
    refused(UMBRA_EINVAL, UMBRA_HC_SPACE_PROTECT, 0x100000, 1, 8, 0, "a right that means nothing");
    {
        static const uint32_t arg[] = {1000, 0x80000000, LAST};
        for (unsigned i = 0; i < sizeof arg / sizeof *arg; i++) {
            struct umbra_hc h = {.number = UMBRA_HC_SPACE_MAP,
                                 .arg = {SP_TEST, 1, SP_RO, UMBRA_MAP_MODULE, arg[i]}};
            tap_ok(rt_hypercall(&h) == UMBRA_ENOENT, "module %x", arg[i]);
        }
    }
}

static void spaces(void)
{
    static const uint32_t bad[] = {1, 63, 64, 65, 0x80000000, LAST};
    uint32_t n = 0, last = 0;
    int32_t status;

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        tap_ok(sp_call(UMBRA_HC_SPACE_SWITCH, bad[i], 0, 0, 0) == UMBRA_ENOENT, "going to space %x",
               bad[i]);
        tap_ok(sp_exit(bad[i]) == UMBRA_ENOENT, "exiting space %x", bad[i]);
    }
    tap_ok(sp_exit(0) == UMBRA_EINVAL, "exiting space 0");
    tap_ok(sp_call(UMBRA_HC_SPACE_SWITCH, 0, 0, 0, 0) == UMBRA_OK && sp_info()->ret[0] == 0,
           "going where one is");
    while ((status = sp_call(UMBRA_HC_SPACE_FORK, 0, 0, 0, 0)) == UMBRA_OK)
        n++;
    tap_ok(status == UMBRA_ENOMEM && n == sp_info()->ret[2] - 1, "spaces end at the limit");
    for (uint32_t id = 1; id <= n; id++)
        last += sp_exit(id) == UMBRA_OK;
    tap_ok(last == n && sp_info()->ret[1] == 1, "all of them go");
    last = sp_spawn();
    if (last == 0) {
        sp_shared->word[0] = (uint32_t)sp_exit(sp_info()->ret[0]);
        sp_shared->word[1] = (uint32_t)sp_exit(0);
        sp_go(0);
    }
    sp_go(last);
    tap_ok(sp_shared->word[0] == (uint32_t)UMBRA_EINVAL, "a space cannot exit itself");
    tap_ok(sp_shared->word[1] == (uint32_t)UMBRA_EINVAL, "nor another space 0");
    sp_exit(last);
}

static void many_regions(void)
{
    const uint32_t most = sp_info()->ret[4], before = regions();
    const uint32_t spare = SP_TEST + 0x10000000;
    uint32_t n = 0;

    while (n < 2 * most && sp_map(SP_TEST + n * 2 * PAGE_SIZE, 1, SP_RW, 0) == UMBRA_OK)
        n++;
    if (!tap_ok(n == most - before && regions() == most, "regions end at the limit"))
        tap_note("%u of %u, %u more than %u", regions(), most, n, before);
    tap_ok(sp_unmap(SP_TEST, 1) == UMBRA_OK && regions() == most - 1, "one can be given up then");
    sp_map(spare, 3, SP_RW, 0);
    tap_ok(sp_unmap(spare + PAGE_SIZE, 1) == UMBRA_ENOMEM && regions() == most,
           "none can be split");
    tap_ok(sp_protect(SP_TEST + 2 * PAGE_SIZE, 1, SP_RO) == UMBRA_OK, "but changed as a whole");
    sp_unmap(spare, 3);
    tap_ok(sp_unmap(SP_TEST, 2 * n) == UMBRA_OK && regions() == before, "and all can be given up");
}

/* Huge shared regions of which one page each is kept: what is behind them stays as large as it was.
 */
static void much_shared_memory(void)
{
    const uint32_t pages = 0x80000, most = sp_info()->ret[4];
    uint32_t n = 0;
    int32_t status = UMBRA_OK;

    while (n < most / 2 && status == UMBRA_OK) {
        status = sp_map(SP_TEST + n * PAGE_SIZE, pages - n, SP_RW, UMBRA_MAP_SHARED);
        if (status == UMBRA_OK) {
            store32(SP_TEST + n * PAGE_SIZE, n);
            n++;
            sp_unmap(SP_TEST + n * PAGE_SIZE, pages - n);
        }
    }
    if (!tap_ok(status == UMBRA_ENOMEM && n < most / 2, "shared memory ends at a limit"))
        tap_note("status %d after %u regions of %u pages", status, n, pages);
    sp_unmap(SP_TEST, n);
    status = sp_map(SP_TEST, pages, SP_RW, UMBRA_MAP_SHARED);
    if (!tap_ok(status == UMBRA_OK, "and can be given up"))
        tap_note("status %d, %u regions", status, regions());
    sp_unmap(SP_TEST, pages);
}

static void unused_arguments(void)
{
    for (uint32_t number = UMBRA_HC_SPACE_FIRST; number <= UMBRA_HC_SPACE_LAST; number++) {
        struct umbra_hc h = {.number = number, .arg = {SP_TEST, 1, 0, 0, 0, 0, 0, 1}};
        const int32_t due = number <= UMBRA_HC_SPACE_SWAP_INFO ? UMBRA_EINVAL : UMBRA_ENOCALL;
        tap_ok(rt_hypercall(&h) == due, "call %x with an argument too many", number);
    }
}

/* Blocks in memory that the guest may not write, or that is not there. */
static void blocks(void)
{
    const uint32_t la = SP_TEST + 0x1000000;
    struct umbra_hc *h = (struct umbra_hc *)(la + 16);

    tap_ok(rt_hypercall_raw(UMBRA_WINDOW) == UMBRA_EFAULT, "a block in the window");
    tap_ok(rt_hypercall_raw(UMBRA_WINDOW - 16) == UMBRA_EFAULT, "a block that reaches into it");
    tap_ok(rt_hypercall_raw(la) == UMBRA_EFAULT, "a block where no region is");
    sp_map(la, 1, SP_RW, 0);
    *h = (struct umbra_hc){
        .magic = UMBRA_HC_MAGIC, .version = UMBRA_ABI_VERSION, .number = UMBRA_HC_SPACE_INFO};
    tap_ok(rt_hypercall_raw((uint32_t)h) == UMBRA_OK && h->ret[1] == 1, "a block in a region");
    tap_ok(rt_hypercall_raw(la + PAGE_SIZE - 80) == UMBRA_EFAULT, "a block that leaves it");
    h->status = 77;
    sp_protect(la, 1, SP_RO);
    tap_ok(rt_hypercall_raw((uint32_t)h) == UMBRA_EFAULT && h->status == 77,
           "a block in read-only memory");
    sp_protect(la, 1, SP_RW);
    h->number = UMBRA_HC_SPACE_UNMAP;
    h->arg[0] = la;
    h->arg[1] = 1;
    tap_ok(rt_hypercall_raw((uint32_t)h) == UMBRA_OK && sp_is(0x100000, UMBRA_BACKING_FRAME, 1),
           "a call that takes its own block away is answered by the port");
}

static uint32_t random_word(void)
{
    static uint32_t x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

/* Sane now and then, wild otherwise; never the guest's own memory. */
static uint32_t random_address(void)
{
    const uint32_t r = random_word();
    switch (r & 7) {
    case 0: return random_word() | 0x80000000u;
    case 1: return UMBRA_WINDOW - (random_word() & 0x1f) * PAGE_SIZE;
    default: return SP_TEST + (random_word() & 0x3f) * PAGE_SIZE + ((r & 0x700) == 0);
    }
}

static uint32_t random_small(void)
{
    const uint32_t r = random_word();
    return (r & 15) ? random_word() & 7 : random_word() >> (r >> 27);
}

/* Random calls, and accesses between them. Every answer is one that is known. */
static void noise(uint32_t rounds)
{
    uint32_t unknown = 0, v;

    for (uint32_t i = 0; i < rounds; i++) {
        const uint32_t number = UMBRA_HC_SPACE_FIRST + random_word() % 9;
        const bool ranged = number != UMBRA_HC_SPACE_EXIT && number != UMBRA_HC_SPACE_FORK;
        int32_t s;
        if (number == UMBRA_HC_SPACE_SWITCH)
            continue;
        /* One by one: compilers evaluate arguments in orders of their own, and noise shall repeat.
         */
        const uint32_t a0 = ranged ? random_address() : random_small();
        const uint32_t a1 = ranged ? random_small() : 0;
        const uint32_t a2 = random_small();
        s = sp_call(number, a0, a1, a2, random_small());
        if (number == UMBRA_HC_SPACE_FORK)
            s = sp_call(number, 0, 0, 0, 0);
        if (s > 0 || s < UMBRA_ENOENT || s == -1)
            unknown++;
        if (i & 1)
            (void)try_write(SP_TEST + (random_word() & 0x3f) * PAGE_SIZE, i);
        else
            (void)try_read(SP_TEST + (random_word() & 0x3f) * PAGE_SIZE, &v);
    }
    tap_ok(unknown == 0, "%u random calls, each with a status that is known", rounds);
    for (uint32_t id = 1; id < sp_info()->ret[2]; id++)
        (void)sp_exit(id);
    tap_ok(sp_info()->ret[1] == 1, "one space is left");
}

int main(void)
{
    sp_init();
    ranges(UMBRA_HC_SPACE_MAP, SP_RW, "map");
    ranges(UMBRA_HC_SPACE_UNMAP, 0, "unmap");
    ranges(UMBRA_HC_SPACE_PROTECT, SP_RO, "protect");
    ranges(UMBRA_HC_SPACE_RECLAIM, 0, "reclaim");
    mapping();
    spaces();
    blocks();
    unused_arguments();
    noise(rt_option("noise", 500));
    /* Regions of any size may be left: nothing of them may be in the way of what is counted next.
     */
    sp_unmap(SP_TEST, (UMBRA_WINDOW - SP_TEST) / PAGE_SIZE);
    many_regions();
    much_shared_memory();
    return tap_done();
}
