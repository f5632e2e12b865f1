/* See names.h. */
#include "vmm/trace/names.h"

#include <stdio.h>

#include "mm/mm.h"
#include "vmm/stats.h"

enum trace_class trace_class_of(const struct trace_rec *rec)
{
    const uint32_t p = rec->info;
    if (rec->kind == TRACE_GUEST_FAULT)
        return CLASS_OWN;
    if (rec->kind == TRACE_MMIO || rec->result > MM_SPURIOUS)
        return CLASS_OTHER;
    if (rec->result == MM_MAJOR || (p & MM_PATH_READ))
        return CLASS_DISK;
    if (p & (MM_PATH_CACHE | MM_PATH_ZPOOL | MM_PATH_SAME) && !(p & MM_PATH_FILE))
        return CLASS_MEMORY;
    if (p & MM_PATH_COPY)
        return CLASS_COPY;
    if (p & MM_PATH_FRESH)
        return CLASS_FRESH;
    if (p & MM_PATH_ZERO)
        return CLASS_ZERO;
    if (p & MM_PATH_FILE)
        return CLASS_FILE;
    if (p & MM_PATH_REUSE)
        return CLASS_REUSE;
    return CLASS_AGAIN;
}

const char *trace_class_name(enum trace_class c)
{
    static const char *const names[TRACE_CLASSES] = {
        [CLASS_ZERO] = "zero page",
        [CLASS_FRESH] = "fresh frame",
        [CLASS_COPY] = "copied on write",
        [CLASS_REUSE] = "reused on write",
        [CLASS_MEMORY] = "swap-in from memory",
        [CLASS_DISK] = "read from disk",
        [CLASS_FILE] = "file or shared page",
        [CLASS_AGAIN] = "mapped again",
        [CLASS_OWN] = "guest's own fault",
        [CLASS_OTHER] = "no RAM, or failed",
    };
    return c < TRACE_CLASSES ? names[c] : "?";
}

const char *trace_state_name(enum trace_state s)
{
    static const char *const names[TRACE_STATES] = {
        [STATE_UNSEEN] = "not seen", [STATE_ZERO] = "zero page",
        [STATE_OWN] = "own frame",   [STATE_READ_ONLY] = "read-only",
        [STATE_MERGED] = "merged",   [STATE_SWAPPED] = "swapped out",
        [STATE_EVICTED] = "evicted", [STATE_GONE] = "unmapped",
    };
    return s < TRACE_STATES ? names[s] : "?";
}

static const struct {
    const char *word, *name;
} kinds[TRACE_KINDS] = {
    [TRACE_NONE] = {"none", "nothing"},
    [TRACE_FAULT] = {"fault", "fault"},
    [TRACE_GUEST_FAULT] = {"guest_fault", "guest's own fault"},
    [TRACE_MMIO] = {"mmio", "no RAM there"},
    [TRACE_MONITOR] = {"monitor", "touched by the monitor"},
    [TRACE_SWAP_OUT] = {"swap_out", "swapped out"},
    [TRACE_EVICTED] = {"evicted", "evicted"},
    [TRACE_WRITTEN] = {"written", "written to swap"},
    [TRACE_DROPPED] = {"dropped", "clean frame dropped"},
    [TRACE_WRITE_FAILED] = {"write_failed", "writing to swap failed"},
    [TRACE_PUT_BACK] = {"put_back", "put back"},
    [TRACE_READ_AHEAD] = {"read_ahead", "read ahead"},
    [TRACE_WRITE_PROTECT] = {"write_protect", "write-protected"},
    [TRACE_MERGED] = {"merged", "merged"},
    [TRACE_MAPPED] = {"mapped", "region made"},
    [TRACE_UNMAPPED] = {"unmapped", "unmapped"},
    [TRACE_PROTECTED] = {"protected", "rights changed"},
    [TRACE_SHADOW_DROP] = {"shadow_drop", "shadow PTE dropped"},
    [TRACE_SHADOW_WP] = {"shadow_wp", "shadow PTE restricted"},
    [TRACE_SHADOW_TABLE] = {"shadow_table", "shadow table taken out"},
    [TRACE_FORK] = {"fork", "space forked"},
    [TRACE_SWITCH] = {"switch", "space switched"},
    [TRACE_EXIT] = {"exit", "space ended"},
    [TRACE_SAMPLE] = {"sample", "memory in use"},
};

const char *trace_kind_name(enum trace_kind k)
{
    return k < TRACE_KINDS ? kinds[k].name : "?";
}

const char *trace_kind_word(enum trace_kind k)
{
    return k < TRACE_KINDS ? kinds[k].word : "?";
}

const char *trace_path_name(const struct trace_rec *rec, char *buf, size_t len)
{
    if (rec->kind == TRACE_FAULT || rec->kind == TRACE_MONITOR)
        return fault_name(&(struct fault_stat){.result = rec->result, .path = rec->info}, buf, len);
    snprintf(buf, len, "%s", trace_kind_name((enum trace_kind)rec->kind));
    return buf;
}

const char *trace_access_name(const struct trace_rec *rec)
{
    static const char *const names[2][3] = {{"kernel read", "kernel write", "kernel fetch"},
                                            {"user read", "user write", "user fetch"}};
    const unsigned what = rec->error & PF_W ? 1 : rec->error & PF_I ? 2 : 0;
    return names[(rec->error & PF_U) != 0][what];
}
