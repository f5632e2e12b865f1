/* Hypercalls, as guest/abi.h has them. */
#include "guest/rt/rt.h"

int32_t rt_hypercall_raw(uint32_t addr)
{
    outl(UMBRA_HC_PORT, addr);
    return (int32_t)inl(UMBRA_HC_PORT);
}

int32_t rt_hypercall(struct umbra_hc *h)
{
    h->magic = UMBRA_HC_MAGIC;
    h->version = UMBRA_ABI_VERSION;
    h->status = UMBRA_HC_UNANSWERED;
    outl(UMBRA_HC_PORT, (uint32_t)h);
    return *(volatile int32_t *)&h->status;
}

const struct umbra_hc *rt_pte_query(uint32_t la)
{
    static struct umbra_hc h = {.number = UMBRA_HC_PTE_QUERY};

    h.arg[0] = la;
    if (rt_hypercall(&h) != UMBRA_OK)
        rt_panic("PTE query of %08x: status %d", la, h.status);
    return &h;
}

const struct umbra_hc *rt_pool_info(void)
{
    static struct umbra_hc h = {.number = UMBRA_HC_POOL_INFO};

    if (rt_hypercall(&h) != UMBRA_OK)
        rt_panic("pool information: status %d", h.status);
    return &h;
}

bool rt_monitor_present(void)
{
    struct umbra_hc h = {.number = UMBRA_HC_VERSION};

    return rt_hypercall(&h) == UMBRA_OK;
}
