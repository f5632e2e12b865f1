/* Who holds what, in words (mm_report). */
#include <stdarg.h>
#include <stdio.h>

#include "mm/mm_int.h"
#include "mm/object.h"
#include "mm/reclaim.h"
#include "mm/swap_int.h"

struct text {
    char *buf;
    size_t len, at;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->at < t->len ? t->buf + t->at : NULL, t->at < t->len ? t->len - t->at : 0,
                      fmt, ap);
    va_end(ap);
    if (n > 0)
        t->at += (size_t)n;
}

static void say_frames(struct text *t, const struct pool *p, uint32_t grown, uint32_t run_low)
{
    uint64_t held = 0, object = 0, cached = 0, pinned = 0, writing = 0, merged = 0;
    for (frame_t f = 1; f < p->frames_max; f++) {
        if (f >= grown && f < run_low) /* they do not exist yet */
            continue;
        const struct frame *fr = frame_of(p, f);
        if (frame_refs(fr) == 0)
            continue;
        held++;
        object += frame_test(fr, FRAME_OBJECT) != 0;
        cached += frame_test(fr, FRAME_SWAPCACHE) != 0;
        writing += frame_test(fr, FRAME_WRITEBACK) != 0;
        merged += frame_test(fr, FRAME_MERGED) != 0;
        pinned += atomic_load(&fr->pins) > 0;
    }
    say(t, "frames: %u in all, %u available, %llu held\n", p->frames_max - 1, pool_available(p),
        (unsigned long long)held);
    say(t,
        "  held: %llu of files and shared memory, %llu in the swap cache, %llu merged, %llu "
        "pinned, "
        "%llu being written\n",
        (unsigned long long)object, (unsigned long long)cached, (unsigned long long)merged,
        (unsigned long long)pinned, (unsigned long long)writing);
}

static void say_swap(struct text *t, const struct pool *p)
{
    struct pool_swap_info i;
    pool_swap_info(p, &i);
    if (!i.attached)
        say(t, "swap: none: anonymous pages cannot leave\n");
    else
        say(t, "swap: %u of %u slots used, %u pages in the swap cache, %u being written\n", i.used,
            i.slots, i.cached, i.in_flight);
}

size_t mm_report(const struct pool *cp, char *buf, size_t len)
{
    struct pool *p = (struct pool *)cp; /* only its locks are written */
    struct text t = {buf, len, 0};
    if (len > 0)
        buf[0] = '\0';
    spin_take(&p->free_lock, LOCK_FREE);
    uint32_t grown = p->grown, run_low = p->run_low;
    spin_drop(&p->free_lock, LOCK_FREE);
    say_frames(&t, p, grown, run_low);
    say(&t, "lists: %u active, %u inactive\n", lru_count(p, LRU_ACTIVE),
        lru_count(p, LRU_INACTIVE));
    say_swap(&t, p);
    struct mm_counters c;
    mm_get_counters(p, &c);
    say(&t,
        "reclaim: %llu frames looked at, %llu freed, %llu in use, %llu busy, %llu without a slot\n",
        (unsigned long long)c.scanned, (unsigned long long)c.freed, (unsigned long long)c.young,
        (unsigned long long)c.busy, (unsigned long long)c.no_slot);
    for (struct mm *mm = mms_next(p, NULL); mm; mm = mms_next(p, mm))
        say(&t, "  %-32s %10llu resident %10llu swapped\n", mm->name,
            (unsigned long long)mm->resident, (unsigned long long)mm->swapped);
    return t.at;
}
