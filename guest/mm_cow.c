/* Fork: writes on either side copy, the last writer reuses the frame. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M");

/* Both at a page of the parent's; w[] of sp_shared carries what the child saw. */
enum { W_FRAME, W_VALUE, W_MAPS };

static void child_looks(uint32_t la)
{
    sp_shared->word[W_FRAME] = sp_frame(la);
    sp_shared->word[W_MAPS] = rt_pte_query(la)->ret[Q_MAPS];
    sp_shared->word[W_VALUE] = load32(la);
}

static void parent_writes_first(uint32_t la)
{
    uint32_t child, frame;

    store32(la, 0x1111);
    frame = sp_frame(la);
    child = sp_spawn();
    if (child == 0) {
        child_looks(la);
        sp_go(0);
        store32(la, 0x3333);
        child_looks(la);
        sp_go(0);
    }
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 2), "forked: two map the frame");
    tap_ok((sp_pte(la) & (PTE_P | PTE_W | PTE_D)) == (PTE_P | PTE_D),
           "and it is write-protected in the parent");
    store32(la, 0x2222);
    tap_ok(sp_frame(la) != frame && sp_is(la, UMBRA_BACKING_FRAME, 1),
           "the parent writes: a copy of its own");
    sp_go(child);
    tap_ok(sp_shared->word[W_VALUE] == 0x1111, "the child has the old content");
    tap_ok(sp_shared->word[W_FRAME] == frame && sp_shared->word[W_MAPS] == 1,
           "in the old frame, alone");
    sp_go(child);
    tap_ok(sp_shared->word[W_FRAME] == frame && sp_shared->word[W_VALUE] == 0x3333,
           "the child, the last writer, reuses it");
    tap_ok(load32(la) == 0x2222, "the parent does not see it");
    tap_ok(sp_exit(child) == UMBRA_OK, "the child goes");
}

static void child_writes_first(uint32_t la)
{
    uint32_t child, frame;

    store32(la, 0x4444);
    frame = sp_frame(la);
    child = sp_spawn();
    if (child == 0) {
        store32(la, 0x5555);
        child_looks(la);
        sp_go(0);
    }
    sp_go(child);
    tap_ok(sp_shared->word[W_FRAME] != frame && sp_shared->word[W_MAPS] == 1,
           "the child writes first: a copy of its own");
    tap_ok(sp_frame(la) == frame && load32(la) == 0x4444 && sp_is(la, UMBRA_BACKING_FRAME, 1),
           "the parent keeps frame and content");
    store32(la, 0x6666);
    tap_ok(sp_frame(la) == frame && load32(la) == 0x6666,
           "the parent, the last writer, reuses the frame");
    sp_exit(child);
}

static void exit_leaves_one(uint32_t la)
{
    uint32_t child, frame;

    store32(la, 0x7777);
    frame = sp_frame(la);
    child = sp_spawn();
    if (child == 0)
        sp_go(0);
    sp_exit(child);
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 1), "the child went: one maps the frame");
    store32(la, 0x8888);
    tap_ok(sp_frame(la) == frame, "a write then reuses it");
}

/* Three owners: two copies, then reuse. */
static void three(uint32_t la)
{
    uint32_t frame, a, b;

    store32(la, 0x9999);
    frame = sp_frame(la);
    a = sp_spawn();
    if (a == 0) {
        store32(la, 0xaaaa);
        sp_shared->word[0] = sp_frame(la);
        sp_go(0);
    }
    b = sp_spawn();
    if (b == 0) {
        store32(la, 0xbbbb);
        sp_shared->word[1] = sp_frame(la);
        sp_go(0);
    }
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 3), "three map the frame");
    sp_go(a);
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 2), "one has written: two");
    sp_go(b);
    tap_ok(sp_is(la, UMBRA_BACKING_FRAME, 1), "another: one");
    store32(la, 0xcccc);
    tap_ok(sp_frame(la) == frame && sp_shared->word[0] != frame && sp_shared->word[1] != frame &&
               sp_shared->word[0] != sp_shared->word[1],
           "the third reuses; all have frames of their own");
    sp_exit(a);
    sp_exit(b);
}

static void zero_frame(uint32_t la)
{
    uint32_t child;

    (void)load32(la);
    child = sp_spawn();
    if (child == 0) {
        store32(la, 5);
        child_looks(la);
        sp_go(0);
    }
    sp_go(child);
    tap_ok(sp_shared->word[W_VALUE] == 5 && sp_shared->word[W_MAPS] == 1,
           "the zero frame forked and written by the child");
    tap_ok(sp_is(la, UMBRA_BACKING_ZERO, 0) && load32(la) == 0, "stays zero for the parent");
    sp_exit(child);
}

int main(void)
{
    sp_init();
    tap_ok(sp_map(SP_TEST, 16, SP_RW, 0) == UMBRA_OK, "anonymous pages are mapped");
    parent_writes_first(SP_TEST);
    child_writes_first(SP_TEST + PAGE_SIZE);
    exit_leaves_one(SP_TEST + 2 * PAGE_SIZE);
    three(SP_TEST + 3 * PAGE_SIZE);
    zero_frame(SP_TEST + 4 * PAGE_SIZE);
    tap_ok(sp_info()->ret[1] == 1, "one space is left");
    return tap_done();
}
