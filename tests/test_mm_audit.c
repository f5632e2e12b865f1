/* The audit finds each kind of damage, and says what it found. */
#include <errno.h>

#include "tests/mm_kit.h"

static void expect_found(struct kit *k, const char *words)
{
    char msg[256] = "";
    cr_expect_eq(mm_audit(k->pool, msg, sizeof msg), -EUCLEAN);
    cr_expect(strstr(msg, words) != NULL, "\"%s\" does not say \"%s\"", msg, words);
}

/* Pages 16 and 17 own a frame each, page 18 maps the zero frame; page 19's frame was freed. */
static void damaged_open(struct kit *k)
{
    kit_open(k);
    kit_store(k, k->mm, 16, 1);
    kit_store(k, k->mm, 17, 2);
    kit_load(k, k->mm, 18);
    kit_store(k, k->mm, 19, 3);
    mm_unmap(k->mm, 19, 1);
}

static pte_t *entry(struct kit *k, gfn_t g)
{
    return &table_leaf(k->mm, g)[g & (TABLE_ENTRIES - 1)];
}

static struct frame *frame_at(struct kit *k, gfn_t g)
{
    return frame_of(k->pool, pte_frame(*entry(k, g)));
}

#define DAMAGE(name, words, ...)                                                                   \
    Test(mm_audit, name)                                                                           \
    {                                                                                              \
        struct kit k;                                                                              \
        damaged_open(&k);                                                                          \
        __VA_ARGS__;                                                                               \
        expect_found(&k, words);                                                                   \
    }

DAMAGE(finds_a_pte_to_a_frame_never_handed_out, "never handed out",
       *entry(&k, 16) = pte_make(63, PTE_W))
DAMAGE(finds_two_ptes_that_swapped_frames, "reverse map names it 0 times", pte_t t = *entry(&k, 16);
       *entry(&k, 16) = *entry(&k, 17); *entry(&k, 17) = t)
DAMAGE(finds_a_writable_zero_frame, "zero frame writable",
       *entry(&k, 18) = pte_with(*entry(&k, 18), PTE_W))
DAMAGE(finds_a_spoilt_zero_frame, "zero frame is not zero", pool_base(k.pool)[4095] = 1)
DAMAGE(finds_a_counted_zero_frame, "zero frame is counted", frame_of(k.pool, 0)->counts = 1)
DAMAGE(finds_a_lost_entry, "counted", *entry(&k, 16) = PTE_NONE)
DAMAGE(finds_an_entry_without_region, "no region", k.mm->regions[0].start = 18)
DAMAGE(finds_a_writable_page_in_a_read_only_region, "writable in a region",
       k.mm->regions[0].prot = MM_READ)
DAMAGE(finds_regions_that_overlap, "overlap", k.mm->regions[1].start = 18;
       k.mm->regions[1].end = 21)
DAMAGE(finds_an_empty_region, "empty", k.mm->regions[2].start = k.mm->regions[2].end)
DAMAGE(finds_a_wrong_resident_count, "counted resident", count_add(&k.mm->resident, 1))
DAMAGE(finds_a_wrong_table_count, "table of gfn", k.mm->used[0]++)
DAMAGE(finds_a_wrong_map_count, "map count", frame_at(&k, 16)->counts += FRAME_MAP;
       *entry(&k, 16) = pte_without(*entry(&k, 16), PTE_W))
DAMAGE(finds_a_shared_frame_that_is_writable, "entries share",
       frame_at(&k, 16)->counts += FRAME_MAP)
DAMAGE(finds_a_merged_frame_that_is_writable, "merged", frame_set(frame_at(&k, 16), FRAME_MERGED))
DAMAGE(finds_a_frame_left_locked, "locked", frame_set(frame_at(&k, 16), FRAME_LOCKED))
DAMAGE(finds_a_swap_entry_without_area, "names no slot", *entry(&k, 18) = pte_make_swap(0, 5))
DAMAGE(finds_a_frame_that_claims_an_object, "in no object",
       frame_set(frame_at(&k, 16), FRAME_OBJECT))
DAMAGE(finds_a_leaked_reference, "holders", frame_ref(frame_at(&k, 16)))
DAMAGE(finds_a_lost_reverse_map_entry, "reverse map", frame_at(&k, 16)->rmap_mm = NULL)
DAMAGE(finds_a_reverse_map_entry_too_many, "reverse map names", struct frame *f = frame_at(&k, 16);
       f->rmap_more = slab_take(&k.pool->nodes))
DAMAGE(finds_a_frame_off_its_list, "a reclaim list", frame_clear(frame_at(&k, 16), FRAME_LRU);
       struct lru_list *l = &k.pool->lru[LRU_INACTIVE];
       *l = (struct lru_list){l->first, l->first, 1};
       frame_of(k.pool, l->first)->lru_next = FRAME_NONE)
DAMAGE(finds_a_list_with_a_wrong_count, "list has", k.pool->lru[LRU_INACTIVE].count++)
DAMAGE(finds_a_list_with_wrong_flags, "has flags", frame_set(frame_at(&k, 16), FRAME_ACTIVE))
DAMAGE(finds_a_held_frame_on_the_free_list, "free", frame_t f = pte_frame(*entry(&k, 16));
       lru_del(k.pool, f); frame_of(k.pool, f)->lru_next = k.pool->free_first;
       k.pool->free_first = f; k.pool->free_count++)
DAMAGE(finds_a_wrong_free_count, "free list has", k.pool->free_count++)
DAMAGE(finds_a_free_list_in_a_ring, "twice",
       frame_of(k.pool, k.pool->free_first)->lru_next = k.pool->free_first)
DAMAGE(finds_a_lost_frame, "lost", k.pool->free_first = FRAME_NONE; k.pool->free_count = 0)
DAMAGE(finds_a_leaked_node, "nodes", slab_take(&k.pool->nodes))
DAMAGE(finds_a_leaked_table, "page tables", slab_take(&k.pool->tables))

Test(mm_audit, a_sound_world_is_sound)
{
    struct kit k;
    damaged_open(&k);
    kit_close(&k);
}
