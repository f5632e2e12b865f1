/*
 * Address spaces for guests that leave paging off and have the monitor manage their memory: each is
 * an mm of its own (docs/spaces.md, guest/abi.h). The machine starts in space 0, its RAM.
 *
 * Numbers that come from the guest are checked here; results are enum umbra_status of guest/abi.h.
 */
#ifndef UMBRA_VMM_SPACE_H
#define UMBRA_VMM_SPACE_H

#include "mm/mm.h"
#include "vmm/errmsg.h"
#include "vmm/gmem.h"
#include "vmm/shadow/shadow.h"

struct vm;
struct umbra_hc;

#define SPACES_MAX        SHADOW_SPACES
#define SPACE_REGIONS_MAX 256 /* in each, so that a guest cannot make the host's lists long */

/* The read-only window with the page tables: the entry for la lies at SPACE_WINDOW + (la >> 12)
 * * 4.
 */
#define SPACE_WINDOW     0xffc00000u
#define SPACE_WINDOW_GFN (SPACE_WINDOW >> PAGE_SHIFT)

struct space_module {
    int fd;
    uint64_t bytes;
    struct mm_object *obj; /* made when it is first mapped */
};

struct spaces {
    bool managed;                /* the guest has made one of the calls */
    uint32_t cur;                /* space that the vCPU is in */
    uint32_t next;               /* ... and will be in when the call is answered */
    struct gmem *at[SPACES_MAX]; /* NULL: not in use; [0] is the machine's RAM */
    bool moved;                  /* the vCPU has changed spaces since space_moved() */
    struct space_module *module;
    size_t modules;
};

void space_init(struct vm *vm);
/* Destroy every space but 0; before the shadow and the RAM go. */
void space_destroy(struct vm *vm);
/* Let the guest map a boot module's file. 0, or negative with err filled. The file is opened now;
 * what the guest writes to it stays in the machine. */
int space_add_module(struct vm *vm, const char *string, struct errmsg *err);

/* Is the monitor the memory manager that decides what an access with paging off may do? */
bool space_rules(const struct vm *vm);
/* Is there memory at gpa in the current space? */
bool space_has(const struct vm *vm, gpa_t gpa);
/* May the monitor write gpa .. gpa+len-1 for the guest? */
bool space_writable(const struct vm *vm, gpa_t gpa, uint64_t len);
/* The entry of the window for a page, as the guest sees it. */
uint32_t space_guest_pte(const struct vm *vm, gfn_t gfn);
/* Bytes of the window, gpa in it, size up to 4. */
uint32_t space_window_read(const struct vm *vm, gpa_t gpa, unsigned size);

/* One call UMBRA_HC_SPACE_FIRST .. _LAST whose arguments beyond those it names are 0. */
int32_t space_call(struct vm *vm, struct umbra_hc *hc);
/* How many arguments a call names; -1: there is no such call. */
int space_call_args(uint32_t number);
/* The call has been answered: go to the space that it asked for. */
void space_settle(struct vm *vm);
/* Has the vCPU changed spaces since the last time this was asked? */
bool space_moved(struct vm *vm);

#endif
