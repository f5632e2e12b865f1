/* See space.h. */
#include "guest/rt/space.h"

int sp_save(void) __attribute__((returns_twice));
int sp_enter(struct umbra_hc *h) __attribute__((returns_twice));

static struct umbra_hc block;

static int32_t call(uint32_t number, const uint32_t *arg, unsigned n)
{
    block.number = number;
    block.flags = 0;
    for (unsigned i = 0; i < 8; i++)
        block.arg[i] = i < n ? arg[i] : 0;
    return rt_hypercall(&block);
}

int32_t sp_call(uint32_t number, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3)
{
    const uint32_t arg[] = {a0, a1, a2, a3};
    return call(number, arg, 4);
}

void sp_init(void)
{
    trap_init();
    if (sp_call(UMBRA_HC_SPACE_INFO, 0, 0, 0, 0) != UMBRA_OK)
        rt_panic("this monitor manages no address spaces");
    if (sp_map((uint32_t)sp_shared, 1, SP_RW, UMBRA_MAP_SHARED) != UMBRA_OK)
        rt_panic("no shared page");
    tap_keep((struct tap_counts *)&sp_shared->tap);
}

int32_t sp_map(uint32_t la, uint32_t pages, uint32_t prot, uint32_t flags)
{
    return sp_call(UMBRA_HC_SPACE_MAP, la, pages, prot, flags);
}

int32_t sp_map_module(uint32_t la, uint32_t pages, uint32_t prot, uint32_t flags, uint32_t first)
{
    const uint32_t arg[] = {la, pages, prot, flags | UMBRA_MAP_MODULE, 0, first};
    return call(UMBRA_HC_SPACE_MAP, arg, 6);
}

int32_t sp_unmap(uint32_t la, uint32_t pages)
{
    return sp_call(UMBRA_HC_SPACE_UNMAP, la, pages, 0, 0);
}

int32_t sp_protect(uint32_t la, uint32_t pages, uint32_t prot)
{
    return sp_call(UMBRA_HC_SPACE_PROTECT, la, pages, prot, 0);
}

int32_t sp_exit(uint32_t id)
{
    return sp_call(UMBRA_HC_SPACE_EXIT, id, 0, 0, 0);
}

uint32_t sp_reclaim(uint32_t la, uint32_t pages)
{
    const int32_t status = sp_call(UMBRA_HC_SPACE_RECLAIM, la, pages, 0, 0);
    if (status != UMBRA_OK)
        rt_panic("reclaim of %08x: status %d", la, status);
    return block.ret[0];
}

const struct umbra_hc *sp_info(void)
{
    if (call(UMBRA_HC_SPACE_INFO, NULL, 0) != UMBRA_OK)
        rt_panic("space information: status %d", block.status);
    return &block;
}

const struct umbra_hc *sp_swap_info(void)
{
    if (call(UMBRA_HC_SPACE_SWAP_INFO, NULL, 0) != UMBRA_OK)
        rt_panic("swap information: status %d", block.status);
    return &block;
}

/* The frame in which sp_save() has returned must still be there when the child returns in it. */
__attribute__((noinline)) uint32_t sp_spawn(void)
{
    if (sp_save())
        return 0;
    if (call(UMBRA_HC_SPACE_FORK, NULL, 0) != UMBRA_OK)
        rt_panic("fork: status %d", block.status);
    return block.ret[0];
}

__attribute__((noinline)) void sp_go(uint32_t id)
{
    block = (struct umbra_hc){.magic = UMBRA_HC_MAGIC,
                              .version = UMBRA_ABI_VERSION,
                              .number = UMBRA_HC_SPACE_SWITCH,
                              .arg = {id}};
    sp_enter(&block);
    if ((int32_t)inl(UMBRA_HC_PORT) != UMBRA_OK)
        rt_panic("switch to space %u: status %d", id, (int32_t)inl(UMBRA_HC_PORT));
}

bool sp_is(uint32_t la, uint32_t backing, uint32_t maps)
{
    const struct umbra_hc *q = rt_pte_query(la);
    if (q->ret[Q_BACKING] == backing && q->ret[Q_MAPS] == maps)
        return true;
    tap_note("%08x: backing %u, maps %u (due: %u, %u), PTE %08x, refs %u", la, q->ret[Q_BACKING],
             q->ret[Q_MAPS], backing, maps, q->ret[Q_PTE], q->ret[Q_REFS]);
    return false;
}

bool sp_bits(uint32_t la, uint32_t bits)
{
    const uint32_t pte = sp_pte(la), all = PTE_P | PTE_W | PTE_A | PTE_D;
    if ((pte & all) == bits && pte == rt_pte_query(la)->ret[Q_GUEST])
        return true;
    tap_note("%08x: window %08x, query %08x, bits due %x", la, pte, rt_pte_query(la)->ret[Q_GUEST],
             bits);
    return false;
}

uint32_t sp_frame(uint32_t la)
{
    return rt_pte_query(la)->ret[Q_FRAME];
}

static uint32_t word_of(uint32_t la, uint32_t seed)
{
    uint32_t x = (la ^ seed * 0x9e3779b9u) | 1;
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

void sp_fill(uint32_t la, uint32_t seed)
{
    for (uint32_t off = 0; off < PAGE_SIZE; off += 64)
        store32(la + off, word_of(la + off, seed));
}

bool sp_holds(uint32_t la, uint32_t seed)
{
    for (uint32_t off = 0; off < PAGE_SIZE; off += 64)
        if (load32(la + off) != word_of(la + off, seed)) {
            tap_note("%08x holds %08x, not %08x", la + off, load32(la + off),
                     word_of(la + off, seed));
            return false;
        }
    return true;
}

bool sp_has_swap(void)
{
    return sp_swap_info()->ret[0] > 0;
}
