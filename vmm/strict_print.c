/* What strict_tlb.h has found, for people and for programs. */
#include <inttypes.h>

#include "vmm/strict_tlb.h"

static const struct {
    const char *word, *text;
} kinds[STRICT_KINDS] = {
    [STRICT_UNMAPPED] = {"unmapped", "it is no longer mapped"},
    [STRICT_FRAME] = {"frame", "it is mapped to another page"},
    [STRICT_RIGHTS] = {"rights", "this right was taken away"},
    [STRICT_DIRTY] = {"dirty", "D was cleared, and this write will not set it"},
    [STRICT_DIRECTORY] = {"directory", "its directory entry is another one"},
};

const char *strict_kind_word(enum strict_kind k)
{
    return kinds[k].word;
}

static const char *access_word(enum soft_access a)
{
    return a == SOFT_W ? "write" : a == SOFT_X ? "fetch" : "read";
}

static void print_report(const struct strict_report *r, FILE *out)
{
    fprintf(out,
            "strict-tlb: EIP %08" PRIx32 ": %s %s of %08" PRIx32 " by a stale translation: %s; ",
            r->eip, r->user ? "user" : "supervisor", access_word(r->access), r->la,
            kinds[r->kind].text);
    fprintf(out, "%s was %08" PRIx64 ", is %08" PRIx64 "; CR3 %08" PRIx32 ", instruction %" PRIu64,
            r->directory ? "PDE" : "PTE", r->old, r->now, r->cr3, r->insn);
    if (r->count > 1)
        fprintf(out, "; %" PRIu64 " times", r->count);
    fputc('\n', out);
}

void strict_tlb_print(const struct strict_tlb *t, FILE *out)
{
    struct strict_stats s;
    unsigned n;
    const struct strict_report *r = strict_tlb_reports(t, &n);

    strict_tlb_get_stats(t, &s);
    for (unsigned i = 0; i < n; i++)
        print_report(&r[i], out);
    if (s.untold)
        fprintf(out, "strict-tlb: and %" PRIu64 " more\n", s.untold);
    fprintf(out,
            "strict-tlb: %" PRIu64 " uses of stale translations; INVLPG: %" PRIu64 ", %" PRIu64
            " of what was not cached, %" PRIu64 " of what had not changed; CR3 loads: %" PRIu64
            ", %" PRIu64 " for nothing\n",
            s.stale, s.invlpg, s.invlpg_unused, s.invlpg_same, s.loads, s.loads_same);
}

static void json_report(const struct strict_report *r, FILE *out)
{
    fprintf(out,
            "{\"kind\": \"%s\", \"eip\": %" PRIu32 ", \"linear\": %" PRIu32
            ", \"access\": \"%s\", \"user\": %s, \"entry\": \"%s\", \"old\": %" PRIu64
            ", \"new\": %" PRIu64 ", \"cr3\": %" PRIu32 ", \"instruction\": %" PRIu64
            ", \"count\": %" PRIu64 "}",
            kinds[r->kind].word, r->eip, r->la, access_word(r->access), r->user ? "true" : "false",
            r->directory ? "pde" : "pte", r->old, r->now, r->cr3, r->insn, r->count);
}

void strict_tlb_print_json(const struct strict_tlb *t, FILE *out)
{
    struct strict_stats s;
    unsigned n;
    const struct strict_report *r = strict_tlb_reports(t, &n);

    strict_tlb_get_stats(t, &s);
    fprintf(out, "{\"version\": 1, \"strict_tlb\": [");
    for (unsigned i = 0; i < n; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_report(&r[i], out);
    }
    fprintf(out, "\n], \"stale\": %" PRIu64 ", \"untold\": %" PRIu64, s.stale, s.untold);
    for (unsigned k = 0; k < STRICT_KINDS; k++)
        fprintf(out, ", \"%s\": %" PRIu64, kinds[k].word, s.by_kind[k]);
    fprintf(out,
            ", \"accessed_not_flushed\": %" PRIu64 ", \"resized_not_flushed\": %" PRIu64
            ", \"invlpg\": %" PRIu64 ", \"invlpg_not_cached\": %" PRIu64
            ", \"invlpg_unchanged\": %" PRIu64 ", \"cr3_loads\": %" PRIu64
            ", \"cr3_loads_for_nothing\": %" PRIu64 "}\n",
            s.accessed, s.resized, s.invlpg, s.invlpg_unused, s.invlpg_same, s.loads, s.loads_same);
}
