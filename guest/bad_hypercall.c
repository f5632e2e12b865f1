/* bad_hypercall: every way to call the monitor wrongly; each gets its status and the guest lives
 * on. */
#include "guest/rt/rt.h"

static uint8_t room[2 * PAGE_SIZE] __attribute__((aligned(4096)));

/* A sound block, to be spoiled by one test. */
static struct umbra_hc *sound(uint32_t number)
{
    struct umbra_hc *h = (struct umbra_hc *)room;

    memset(h, 0, sizeof *h);
    h->magic = UMBRA_HC_MAGIC;
    h->version = UMBRA_ABI_VERSION;
    h->number = number;
    h->status = UMBRA_HC_UNANSWERED;
    memset(h->ret, 0xff, sizeof h->ret);
    return h;
}

/* The call must give status in the port and in the block, and zeros as results. */
static void expect(struct umbra_hc *h, int32_t status, const char *what)
{
    int32_t port = rt_hypercall_raw((uint32_t)h), block = *(volatile int32_t *)&h->status;
    uint32_t ret = 0;

    for (int i = 0; i < 8; i++)
        ret |= *(volatile uint32_t *)&h->ret[i];
    if (!tap_ok(port == status && block == status && ret == 0, "%s", what))
        tap_note("port %d, block %d, want %d, results %x", port, block, status, ret);
}

/* The block cannot be answered: the port gives status and the block stays as it was. */
static void expect_untouched(uint32_t addr, int32_t status, const char *what)
{
    static uint8_t before[sizeof room];
    int32_t port;

    memcpy(before, room, sizeof room);
    port = rt_hypercall_raw(addr);
    if (!tap_ok(port == status && memcmp(before, room, sizeof room) == 0, "%s", what))
        tap_note("port %d, want %d", port, status);
}

static void bad_addresses(void)
{
    uint32_t end = rt_ram_end();

    for (uint32_t off = 1; off < UMBRA_HC_ALIGN; off++) {
        memmove(room + off, sound(UMBRA_HC_VERSION), sizeof(struct umbra_hc));
        expect_untouched((uint32_t)room + off, UMBRA_EALIGN, "an unaligned block");
    }
    sound(UMBRA_HC_VERSION);
    expect_untouched(end, UMBRA_EFAULT, "a block right behind RAM");
    expect_untouched(end - 80, UMBRA_EFAULT, "a block whose last word lies behind RAM");
    expect_untouched(0xfffffffc, UMBRA_EFAULT, "a block that wraps at 4 GiB");
    expect_untouched(0xffffffac, UMBRA_EFAULT, "a block that ends at 4 GiB");
    expect_untouched(0xffc00000, UMBRA_EFAULT, "a block far behind RAM");
}

static void bad_headers(void)
{
    struct umbra_hc *h = sound(UMBRA_HC_VERSION);

    h->magic ^= 1;
    expect_untouched((uint32_t)h, UMBRA_EMAGIC, "a wrong magic");
    expect_untouched(rt_free_ram().start, UMBRA_EMAGIC, "a block of zeros");

    h = sound(UMBRA_HC_POOL_INFO);
    h->version += 0x10000;
    expect(h, UMBRA_EVERSION, "a major version above");
    h = sound(UMBRA_HC_POOL_INFO);
    h->version -= 0x10000;
    expect(h, UMBRA_EVERSION, "a major version below");
    h = sound(UMBRA_HC_POOL_INFO);
    h->version |= 0xffff;
    expect(h, UMBRA_EVERSION, "a minor version above");

    expect(sound(0), UMBRA_ENOCALL, "call number 0");
    expect(sound(0x80000001), UMBRA_ENOCALL, "call number 0x80000001");
    expect(sound(0xffffffff), UMBRA_ENOCALL, "call number 0xffffffff");

    h = sound(UMBRA_HC_POOL_INFO);
    h->flags = 0x80000000;
    expect(h, UMBRA_EINVAL, "a flag that means nothing");
    h = sound(UMBRA_HC_POOL_INFO);
    h->arg[7] = 1;
    expect(h, UMBRA_EINVAL, "an argument that the call does not take");
    h = sound(UMBRA_HC_PTE_QUERY);
    h->arg[1] = 1;
    expect(h, UMBRA_EINVAL, "an argument too many");
}

static void bad_arguments(void)
{
    struct umbra_hc *h = sound(UMBRA_HC_PTE_QUERY);

    h->arg[0] = rt_ram_end();
    expect(h, UMBRA_ERANGE, "a query of the page behind RAM");
    h = sound(UMBRA_HC_PTE_QUERY);
    h->arg[0] = 0xffffffff;
    expect(h, UMBRA_ERANGE, "a query of the last address");
}

static void bad_widths(void)
{
    uint8_t narrow;

    sound(UMBRA_HC_VERSION);
    outw(UMBRA_HC_PORT, (uint16_t)(uint32_t)room);
    tap_ok((int32_t)inl(UMBRA_HC_PORT) == UMBRA_EINVAL, "a 16-bit OUT");
    outb(UMBRA_HC_PORT, 0);
    tap_ok((int32_t)inl(UMBRA_HC_PORT) == UMBRA_EINVAL, "an 8-bit OUT");
    rt_hypercall_raw((uint32_t)sound(UMBRA_HC_VERSION));
    narrow = inb(UMBRA_HC_PORT);
    (void)narrow;
    tap_ok((int32_t)inl(UMBRA_HC_PORT) == UMBRA_EINVAL, "an 8-bit IN");
}

static uint32_t random_word(void)
{
    static uint32_t x = 2463534242u;

    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

/* Blocks with one to three words of noise, anywhere in the block, and noise as address. */
static void noise(uint32_t rounds)
{
    uint32_t unknown = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        struct umbra_hc *h = sound(1 + random_word() % 3);
        for (uint32_t n = 1 + random_word() % 3; n > 0; n--)
            ((uint32_t *)h)[random_word() % 12] = random_word() >> (random_word() & 31);
        int32_t s = rt_hypercall_raw((i & 7) ? (uint32_t)h : random_word() | 0x80000000u);
        if (s > 0 || s < UMBRA_ENOENT || s == -1)
            unknown++;
    }
    tap_ok(unknown == 0, "%u blocks of noise, each with a status that is known", rounds);
}

int main(void)
{
    struct umbra_hc *h;

    tap_ok((int32_t)inl(UMBRA_HC_PORT) == UMBRA_OK, "the port answers before the first call");
    bad_addresses();
    bad_headers();
    bad_arguments();
    bad_widths();
    noise(rt_option("noise", 500));

    h = sound(UMBRA_HC_VERSION);
    h->version = 0;
    tap_ok(rt_hypercall_raw((uint32_t)h) == UMBRA_OK && h->ret[0] == UMBRA_ABI_VERSION,
           "the version is told to blocks of any version");
    h = (struct umbra_hc *)(room + PAGE_SIZE - 40);
    memmove(h, sound(UMBRA_HC_POOL_INFO), sizeof *h);
    tap_ok(rt_hypercall_raw((uint32_t)h) == UMBRA_OK && *(volatile int32_t *)&h->status == UMBRA_OK,
           "a block across two pages is served");
    return tap_done();
}
