/*
 * Inside of the shadow tables: page roles and what lies beside each table page. For vmm/shadow/
 * only.
 */
#ifndef UMBRA_VMM_SHADOW_SHADOW_INT_H
#define UMBRA_VMM_SHADOW_SHADOW_INT_H

#include "vmm/shadow/shadow.h"
#include "vmm/shadow/srmap.h"

#define ENTRIES     512u
#define MAX_ENGINES 2
#define MAX_ROOTS   64
#define NO_ENTRY    UINT32_MAX
#define NO_PAGE     ARENA_NONE
#define HASH_SIZE   4096u

/* What a table page stands for. */
enum role_kind {
    ROLE_ROOT,     /* PML4 or PDPT of a root */
    ROLE_DIRECT,   /* paging off: gfn = la >> 12 */
    ROLE_TABLE,    /* (a part of) a guest table at gfn */
    ROLE_SPLINTER, /* part of a large page, first guest page gfn */
};

struct role {
    uint32_t gfn;
    uint8_t space;
    uint8_t kind;     /* enum role_kind */
    uint8_t level;    /* 1 = entries map pages .. 4 = PML4 */
    uint8_t quadrant; /* two-level: which 512 shadow entries of the guest's 1024 */
    uint8_t fmt;      /* enum gpaging */
    bool user;        /* view */
    bool writable;    /* inherited rights */
    bool nx;
    bool wp, pse, nxe; /* of the mode, where entries depend on them */
};

struct shadow_page {
    struct role role;
    la_t la;     /* the first linear address it translates, where it hangs in one place only */
    bool placed; /* la is known */
    bool multi;  /* it hangs, or has hung, at several linear addresses */
    bool used;
    bool unsync;                       /* the guest may have written the table since */
    struct shadow_when since;          /* ... when it first did */
    uint16_t live;                     /* entries in use */
    uint8_t idle;                      /* syncs since an entry was made */
    uint8_t quiet;                     /* INVLPGs since it went out of step that found nothing */
    bool collapsed;                    /* what leads to it are large entries (shadow_large.c) */
    uint8_t splits;                    /* how often that has ended, as far as it is counted */
    uint16_t fill_at;                  /* live entries from which on to look for the missing ones */
    uint64_t collapse_at;              /* not before so many installs */
    uint32_t hash_next;                /* page + 1 */
    uint32_t older, newer;             /* by birth; page + 1 */
    uint32_t unsync_prev, unsync_next; /* page + 1 */
};

struct root {
    struct gmode mode;
    uint32_t space;
    bool user, valid;
    uint32_t pml4, pdpt;
    uint64_t used; /* tick of the last use */
};

/* A guest-physical space, and the notifier's context for its mm. */
struct shadow_space {
    struct shadow *sh;
    struct gmem *gmem; /* NULL: not in use */
    uint32_t id;
};

struct shadow {
    struct shadow_space space[SHADOW_SPACES];
    uint32_t cur; /* space that the CPU is in */
    struct arena arena;
    struct shadow_page *page;
    gfn_t *gfns;              /* of each leaf entry; of a large one, the table behind it */
    gpte_t *snapshot;         /* the guest entry that each entry was made from */
    struct srmap rmap;        /* shadow_key(space, gfn) -> leaf entries */
    struct srmap parents;     /* page -> entries that point to it */
    uint32_t hash[HASH_SIZE]; /* by space and gfn; page + 1 */
    struct engine *engine[MAX_ENGINES];
    bool large;                       /* entries of 2 MiB may be made */
    const struct shadow_watch *watch; /* NULL: none */
    struct gmode mode;
    struct root root[MAX_ROOTS];
    uint32_t home;  /* a PML4 with nothing but the monitor's half, for an engine between guests */
    int current[2]; /* index into root[] by view; -1: not made yet */
    uint64_t tick;
    spte_t monitor_half;
    uint32_t oldest, newest; /* page + 1 */
    uint32_t unsync;         /* head of the list; page + 1 */
    struct shadow_stats stats;
    void (*now)(void *ctx, struct shadow_when *out); /* may be NULL */
    void *now_ctx;
};

static inline spte_t *shadow_entry_at(const struct shadow *sh, uint32_t entry)
{
    return arena_table(&sh->arena, entry / ENTRIES) + entry % ENTRIES;
}

spte_t shadow_entry_get(const struct shadow *sh, uint32_t entry);
void shadow_entry_set(struct shadow *sh, uint32_t entry, spte_t val);
la_t shadow_entry_la(const struct shadow *sh, uint32_t entry);
/* Empty an entry of any level, with its place in the reverse map or its child's list of parents. */
void shadow_entry_clear(struct shadow *sh, uint32_t entry);
/* The entry of level 2 gets another form that translates the same. */
void shadow_entry_reform(struct shadow *sh, uint32_t entry, spte_t val);
/* Index of the leaf entry for la under the current root of a view; NO_ENTRY: the walk ends above.
 */
uint32_t shadow_find(const struct shadow *sh, la_t la, bool user);
/* The same for the entry of another level, 1 to 3. */
uint32_t shadow_find_at(const struct shadow *sh, la_t la, bool user, unsigned level);
void shadow_flush_engines(struct shadow *sh);

/* Table pages. */
/* NO_PAGE: the quota is used up. */
uint32_t shadow_page_new(struct shadow *sh, const struct role *role);
/* Take a page out of everything; its memory is free only after shadow_pages_free(). */
void shadow_page_detach(struct shadow *sh, uint32_t page);
/* Flushes the engines, for no CPU may hold a page that becomes another table. */
void shadow_pages_free(struct shadow *sh, const uint32_t *page, unsigned n);
/* Take the oldest table pages back. false: there are only roots. */
bool shadow_reclaim(struct shadow *sh);

/* shadow_root.c */
void shadow_root_drop(struct shadow *sh, struct root *r);
/* The least recently used root that is not current; NULL: none. */
struct root *shadow_root_oldest(struct shadow *sh);
/* The current root of a view, made if it must be: tables may be reclaimed. */
struct root *shadow_root_get(struct shadow *sh, bool user);
/* With paging off there is one view. */
bool shadow_view_of(const struct shadow *sh, bool user);
/* Make current what roots there are for the mode and the space, in both views. */
void shadow_roots_find(struct shadow *sh);

/* shadow_large.c */
/* The table that a present entry e, of level 2 and up, leads to or stands for. */
uint32_t shadow_child(const struct shadow *sh, uint32_t entry, spte_t e);
/* What an entry that leads to this page says. */
spte_t shadow_link(const struct shadow *sh, uint32_t page);
/* Do the page's entries map an aligned run of frames with the same rights? */
bool shadow_uniform(const struct shadow *sh, uint32_t page);
/* Make large what leads to the page, where it may be; and end that. */
void shadow_collapse(struct shadow *sh, uint32_t page);
void shadow_split(struct shadow *sh, uint32_t page);

/* shadow_sync.c */
/* As shadow_table_protected, in any space. */
bool shadow_table_watched(const struct shadow *sh, uint32_t space, gfn_t gfn);
void shadow_unsync_remove(struct shadow *sh, uint32_t page);
void shadow_sync_all(struct shadow *sh);
/* Drop what a table's guest no longer says; it stays out of step. */
void shadow_sync_page(struct shadow *sh, uint32_t page);
/* The guest entry that a shadow entry of a ROLE_TABLE page stands for. 0 or negative. */
int shadow_guest_entry(struct shadow *sh, uint32_t page, uint32_t index, gpte_t *out);

static inline uint32_t shadow_hash(uint32_t space, uint32_t gfn)
{
    return ((gfn ^ space << 24) * 2654435761u) >> 20;
}

/* gfn is below MM_GFNS. */
static inline uint32_t shadow_key(uint32_t space, gfn_t gfn)
{
    return space * MM_GFNS + gfn;
}

static inline uint32_t shadow_entry_key(const struct shadow *sh, uint32_t entry)
{
    return shadow_key(sh->page[entry / ENTRIES].role.space, sh->gfns[entry]);
}

/* Does the table page translate accesses with user rights? */
static inline bool shadow_page_serves_user(const struct shadow *sh, uint32_t page)
{
    const struct role *r = &sh->page[page].role;
    return r->user || r->fmt == GPAGING_OFF;
}

/* As shadow_write_protect, in any space. */
void shadow_write_protect_in(struct shadow *sh, uint32_t space, gfn_t gfn, uint32_t n);

#endif
