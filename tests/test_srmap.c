/* The reverse map of the shadow tables. */
#include <criterion/criterion.h>

#include "vmm/shadow/srmap.h"

enum { KEYS = 4, ENTRIES = 1 << 20 };

static struct srmap m;

static void setup(void)
{
    cr_assert_eq(srmap_create(&m, KEYS, ENTRIES), 0);
}
static void teardown(void)
{
    srmap_destroy(&m);
}

TestSuite(srmap, .init = setup, .fini = teardown);

static unsigned listed(uint32_t key)
{
    struct srmap_iter it;
    unsigned n = 0;
    for (uint32_t e = srmap_iter_first(&m, key, &it); e != SRMAP_END; e = srmap_iter_next(&m, &it))
        n++;
    return n;
}

Test(srmap, an_entry_leaves_from_anywhere)
{
    for (uint32_t e = 0; e < 5; e++)
        srmap_add(&m, 1, e);
    srmap_add(&m, 2, 5);
    srmap_remove(&m, 1, 2); /* middle */
    cr_expect_eq(listed(1), 4);
    cr_expect(!srmap_contains(&m, 1, 2));
    srmap_remove(&m, 1, 4); /* newest */
    srmap_remove(&m, 1, 0); /* oldest */
    cr_expect(srmap_contains(&m, 1, 1) && srmap_contains(&m, 1, 3));
    cr_expect_eq(listed(1), 2);
    srmap_remove(&m, 1, 1);
    srmap_remove(&m, 1, 3);
    cr_expect_eq(srmap_first(&m, 1), SRMAP_END);
    cr_expect(!srmap_contains(&m, 1, 5) && srmap_contains(&m, 2, 5));
    cr_expect_eq(srmap_count(&m), 1);
}

/* A guest may map one page wherever its tables have room. With lists that are looked through,
 * taking these away oldest first would take hours. */
Test(srmap, a_page_mapped_everywhere_is_unmapped_in_any_order)
{
    for (uint32_t e = 0; e < ENTRIES; e++)
        srmap_add(&m, 3, e);
    for (uint32_t e = 0; e < ENTRIES; e++)
        srmap_remove(&m, 3, e);
    cr_expect_eq(srmap_first(&m, 3), SRMAP_END);
    cr_expect_eq(srmap_count(&m), 0);
}
