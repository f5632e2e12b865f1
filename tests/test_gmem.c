/* The guest memory accessor: bounds that no number gets around, pages that appear by need. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/gmem.h"

#define RAM (64 * PAGE_SIZE)

static struct pool *pool;
static struct gmem g;

static void open_ram(uint64_t pool_size)
{
    struct mm *mm;

    cr_assert_eq(pool_create(&(struct pool_opts){.bytes = pool_size}, &pool), 0);
    cr_assert_eq(mm_create(pool, "ram", &mm), 0);
    cr_assert_eq(mm_map_anon(mm, 0, RAM / PAGE_SIZE, MM_READ | MM_WRITE, MM_ANON_PRIVATE), 0);
    g = (struct gmem){.mm = mm, .bytes = RAM};
}

static void setup(void)
{
    open_ram(256 * PAGE_SIZE);
}

static void teardown(void)
{
    mm_destroy(g.mm);
    pool_destroy(pool);
}

TestSuite(gmem, .init = setup, .fini = teardown);

static uint64_t resident(void)
{
    struct mm_stats st;

    mm_get_stats(g.mm, &st);
    return st.resident;
}

Test(gmem, valid_never_wraps)
{
    cr_expect(gmem_valid(&g, 0, RAM));
    cr_expect(gmem_valid(&g, RAM, 0));
    cr_expect(gmem_valid(&g, RAM - 1, 1));
    cr_expect(!gmem_valid(&g, RAM - 1, 2));
    cr_expect(!gmem_valid(&g, RAM, 1));
    cr_expect(!gmem_valid(&g, RAM + 1, 0));
    cr_expect(!gmem_valid(&g, 0, RAM + 1));
    cr_expect(!gmem_valid(&g, 1, UINT64_MAX));
    cr_expect(!gmem_valid(&g, UINT64_MAX, 1));
    cr_expect(!gmem_valid(&g, UINT64_MAX, UINT64_MAX));
    cr_expect(!gmem_valid(&g, UINT64_MAX - 10, 20));
}

Test(gmem, written_bytes_come_back_across_pages)
{
    uint8_t out[3 * PAGE_SIZE], in[3 * PAGE_SIZE];

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 31 + i / 256);
    cr_assert_eq(gmem_write(&g, 4093, out, sizeof out), 0);
    cr_assert_eq(gmem_read(&g, 4093, in, sizeof in), 0);
    cr_assert_arr_eq(in, out, sizeof in);
    cr_assert_eq(resident(), 4);
}

Test(gmem, untouched_memory_reads_as_zeros_and_takes_no_frame)
{
    uint8_t in[2 * PAGE_SIZE];

    memset(in, 1, sizeof in);
    cr_assert_eq(gmem_read(&g, 100, in, sizeof in), 0);
    for (size_t i = 0; i < sizeof in; i++)
        cr_assert_eq(in[i], 0);
    cr_assert_eq(resident(), 0);
}

Test(gmem, outside_of_ram_nothing_is_touched)
{
    uint8_t buf[64];

    memset(buf, 0x77, sizeof buf);
    cr_expect_eq(gmem_write(&g, RAM - 32, buf, 64), -EFAULT);
    cr_expect_eq(gmem_fill(&g, RAM - 32, 1, 64), -EFAULT);
    cr_expect_eq(gmem_write(&g, UINT64_MAX - 31, buf, 64), -EFAULT);
    cr_expect_eq(gmem_fill(&g, 0, 1, UINT64_MAX), -EFAULT);
    cr_expect_eq(gmem_read(&g, RAM, buf, 1), -EFAULT);
    cr_expect_eq(gmem_read(&g, RAM - 32, buf, 64), -EFAULT);
    cr_expect_eq(buf[0], 0x77);
    cr_expect_eq(resident(), 0);
    cr_expect_eq(gmem_read(&g, RAM, buf, 0), 0);
}

Test(gmem, fill_writes_exactly_its_range)
{
    uint8_t in[PAGE_SIZE + 2];

    cr_assert_eq(gmem_fill(&g, 4001, 0xab, PAGE_SIZE), 0);
    cr_assert_eq(gmem_read(&g, 4000, in, sizeof in), 0);
    cr_assert_eq(in[0], 0);
    cr_assert_eq(in[1], 0xab);
    cr_assert_eq(in[PAGE_SIZE], 0xab);
    cr_assert_eq(in[PAGE_SIZE + 1], 0);
}

Test(gmem, zeros_over_zeros_take_no_frame_but_zeros_over_bytes_count)
{
    uint8_t b;

    cr_assert_eq(gmem_read(&g, 0, &b, 1), 0); /* page 0: the zero frame; page 1: nothing */
    cr_assert_eq(gmem_fill(&g, 0, 0, RAM), 0);
    cr_assert_eq(resident(), 0);
    cr_assert_eq(gmem_fill(&g, 5000, 0xff, 10), 0);
    cr_assert_eq(gmem_fill(&g, 4096, 0, 4096), 0);
    cr_assert_eq(gmem_read(&g, 5005, &b, 1), 0);
    cr_assert_eq(b, 0);
}

Test(gmem, a_page_is_given_for_reading_and_for_writing)
{
    int err = 1;
    uint8_t *p = gmem_page(&g, 3, MM_ACCESS_READ, &err);
    uint32_t v;

    cr_assert_not_null(p);
    cr_assert_eq(err, 0);
    cr_assert_eq(resident(), 0);
    p = gmem_page(&g, 3, MM_ACCESS_WRITE, &err);
    cr_assert_not_null(p);
    cr_assert_eq(resident(), 1);
    memcpy(p + 8, "\1\2\3\4", 4);
    cr_assert_eq(gmem_read(&g, 3 * PAGE_SIZE + 8, &v, 4), 0);
    cr_assert_eq(v, 0x04030201);

    cr_assert_null(gmem_page(&g, RAM / PAGE_SIZE, MM_ACCESS_READ, &err));
    cr_assert_eq(err, -EFAULT);
    cr_assert_null(gmem_page(&g, UINT32_MAX, MM_ACCESS_WRITE, &err));
    cr_assert_eq(err, -EFAULT);
}

struct note {
    frame_t f;
    uint32_t off, len;
    bool by_walk;
};
struct notes {
    struct note n[8];
    unsigned count;
};

static void take_note(void *ctx, gpa_t gpa, frame_t f, uint32_t len, bool by_walk)
{
    struct notes *ns = ctx;

    cr_assert_lt(ns->count, 8);
    ns->n[ns->count++] = (struct note){f, (uint32_t)gpa & PAGE_MASK, len, by_walk};
}

Test(gmem, whoever_caches_code_hears_of_each_written_part)
{
    struct notes ns = {0};
    uint8_t buf[100] = {1};
    int err;

    g.written = take_note;
    g.ctx = &ns;
    cr_assert_eq(gmem_write(&g, 4090, buf, 100), 0);
    cr_assert_eq(ns.count, 2);
    cr_assert_eq(ns.n[0].off, 4090);
    cr_assert_eq(ns.n[0].len, 6);
    cr_assert_eq(ns.n[1].off, 0);
    cr_assert_eq(ns.n[1].len, 94);
    cr_assert_eq(ns.n[0].f, pte_frame(mm_pte(g.mm, 0)));
    cr_assert_eq(ns.n[1].f, pte_frame(mm_pte(g.mm, 1)));

    cr_assert_eq(gmem_read(&g, 4090, buf, 100), 0);
    cr_assert_eq(ns.count, 2);
    cr_assert_eq(gmem_fill(&g, 10, 0, 5), 0); /* zeros where bytes were: told */
    cr_assert_eq(ns.count, 3);
    cr_assert_not_null(gmem_page(&g, 1, MM_ACCESS_WRITE, &err));
    cr_assert_eq(ns.n[3].len, PAGE_SIZE);
}

Test(gmem, set_bits_adds_to_the_word_and_says_that_a_walk_did_it)
{
    struct notes ns = {0};
    uint32_t word = 0x1001;

    cr_assert_eq(gmem_write(&g, 8, &word, 4), 0);
    g.written = take_note;
    g.ctx = &ns;
    cr_assert_eq(gmem_set_bits(&g, 8, 0x60), 0);
    cr_assert_eq(gmem_read(&g, 8, &word, 4), 0);
    cr_assert_eq(word, 0x1061);
    cr_assert_eq(ns.count, 1);
    cr_assert(ns.n[0].by_walk);
    cr_assert_eq(gmem_set_bits(&g, 9, 1), -EFAULT);
    cr_assert_eq(gmem_set_bits(&g, g.bytes, 1), -EFAULT);
    cr_assert_eq(gmem_set_bits(&g, UINT64_MAX - 3, 1), -EFAULT);
}

Test(gmem, a_used_up_pool_is_out_of_memory)
{
    int err = 0;

    teardown();
    open_ram(4 * PAGE_SIZE);
    cr_assert_eq(gmem_fill(&g, 0, 1, RAM), -ENOMEM);
    cr_assert_eq(gmem_write(&g, RAM - 4, "abcd", 4), -ENOMEM);
    cr_assert_null(gmem_page(&g, RAM / PAGE_SIZE - 1, MM_ACCESS_WRITE, &err));
    cr_assert_eq(err, -ENOMEM);
}

Test(gmem, a_hole_in_the_regions_is_a_fault)
{
    uint8_t b;

    cr_assert_eq(mm_unmap(g.mm, 5, 1), 0);
    cr_assert_eq(gmem_read(&g, 5 * PAGE_SIZE, &b, 1), -EFAULT);
    cr_assert_eq(gmem_write(&g, 6 * PAGE_SIZE - 1, &b, 1), -EFAULT);
    cr_assert_eq(gmem_fill(&g, 5 * PAGE_SIZE, 0, 1), -EFAULT);
}
