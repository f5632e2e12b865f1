/* See explain.h: saying it, to people and to programs. */
#include <inttypes.h>
#include <string.h>

#include "vmm/explain.h"
#include "vmm/pt_print.h"
#include "vmm/stats.h"

/* --- the walk -------------------------------------------------------------------------------- */

static const char *rights_text(gpte_t e, bool pae_nx, char buf[static 160], bool maps)
{
    snprintf(buf, 160, "%s, %s%s, %saccessed%s%s", e.raw & GPTE_W ? "writable" : "read-only",
             e.raw & GPTE_U ? "user" : "supervisor",
             pae_nx && (e.raw & GPTE_NX) ? ", no-execute" : "", e.raw & GPTE_A ? "" : "not ",
             !maps            ? ""
             : e.raw & GPTE_D ? ", dirty"
                              : ", not dirty",
             e.raw & GPTE_G && maps ? ", global" : "");
    return buf;
}

static void print_entry(const struct explanation *x, const char *what, unsigned index, gpa_t at,
                        gpte_t e, bool maps, FILE *out)
{
    char rights[160];
    fprintf(out, "  %s %u at guest-physical %08" PRIx64 " is %0*" PRIx64 ": ", what, index, at,
            x->mode.fmt == GPAGING_PAE ? 16 : 8, e.raw);
    if (!gpte_present(e)) {
        fprintf(out, "not present\n");
        return;
    }
    fprintf(out, "%s", rights_text(e, x->mode.nx, rights, maps));
    if (maps)
        fprintf(out, "; maps guest-physical %08" PRIx64 "\n", x->walk.gpa & ~(gpa_t)PAGE_MASK);
    else
        fprintf(out, "; leads to the table at %08" PRIx64 "\n", gpte_table(e, x->mode.fmt));
}

static void print_end(const struct explanation *x, FILE *out)
{
    static const char *const ends[] = {
        [TABLES_MAPPED] = NULL,
        [TABLES_NO_PDPTE] = "The walk ends there: nothing is mapped in this GiB.",
        [TABLES_NO_PDE] = "The walk ends there: the directory has no table for this address.",
        [TABLES_NO_PTE] = "The walk ends there: the table maps no page.",
        [TABLES_BAD_PDE] = "The walk ends there: the entry has reserved bits set.",
        [TABLES_BAD_PTE] = "The walk ends there: the entry has reserved bits set.",
        [TABLES_UNREADABLE] = "The walk ends there: the table cannot be read.",
    };
    if (ends[x->walk.end])
        fprintf(out, "  %s\n", ends[x->walk.end]);
}

static void print_walk(const struct explanation *x, FILE *out)
{
    const struct tables_walk *w = &x->walk;
    const bool pae = x->mode.fmt == GPAGING_PAE;
    if (x->mode.fmt == GPAGING_OFF) {
        fprintf(out, "  The guest's paging is off: linear is guest-physical.\n");
        return;
    }
    if (pae)
        fprintf(out, "  directory pointer %u, held by the processor, is %016" PRIx64 ": %s\n",
                x->la >> 30, w->pdpte.raw, gpte_present(w->pdpte) ? "present" : "not present");
    if (w->end != TABLES_NO_PDPTE)
        print_entry(x, w->large ? "large directory entry" : "directory entry",
                    pae ? x->la >> 21 & 511 : x->la >> 22, w->pde_at, w->pde, w->large, out);
    if (w->pte_at)
        print_entry(x, "table entry", x->la >> PAGE_SHIFT & (pae ? 511 : 1023), w->pte_at, w->pte,
                    true, out);
    print_end(x, out);
}

/* Which entry takes a right away. */
static const char *who_denies(const struct tables_walk *w, uint64_t right)
{
    const bool pde = !(w->pde.raw & right), pte = !w->large && !(w->pte.raw & right);
    return pde && pte ? "both entries" : pde ? "the directory entry" : "the table entry";
}

static void print_rights(const struct explanation *x, FILE *out)
{
    const struct tables_walk *w = &x->walk;
    if (x->mode.fmt == GPAGING_OFF || w->end != TABLES_MAPPED)
        return;
    fprintf(out, "Rights: ring 0 may read and %s",
            w->writable  ? "write"
            : x->mode.wp ? "not write"
                         : "write (CR0.WP is off)");
    if (!w->user)
        fprintf(out, "; ring 3 may do nothing: %s for supervisors only",
                !(w->pde.raw & GPTE_U) && !w->large && !(w->pte.raw & GPTE_U) ? "both entries are"
                : w->pde.raw & GPTE_U                                         ? "the table entry is"
                                      : "the directory entry is");
    else
        fprintf(out, "; ring 3 may read and %s", w->writable ? "write" : "not write");
    if (!w->writable)
        fprintf(out, ". %s read-only",
                strcmp(who_denies(w, GPTE_W), "both entries") == 0      ? "Both entries are"
                : strcmp(who_denies(w, GPTE_W), "the table entry") == 0 ? "The table entry is"
                                                                        : "The directory entry is");
    if (w->nx)
        fprintf(out, ". Nobody may execute");
    fprintf(out, ".\n");
}

/* --- what backs it --------------------------------------------------------------------------- */

static void print_backing(const struct explanation *x, FILE *out)
{
    const struct pt_row *r = &x->row;
    if (x->walk.end != TABLES_MAPPED)
        return;
    fprintf(out, "Backing: ");
    if (r->verdict == PT_UNKNOWN) {
        fprintf(out, "not known: the dump has the guest's tables alone.\n");
        return;
    }
    fprintf(out, "guest page %05x ", gfn_of(r->gpa));
    if (r->verdict == PT_NO_RAM || (r->verdict == PT_UNMAPPED && !x->in_region))
        fprintf(out, "is no RAM.\n");
    else if (pte_none(r->backing))
        fprintf(out, "has nothing yet: its first read will get the zero frame, its first write a "
                     "frame of its own.\n");
    else if (pte_is_swap(r->backing))
        fprintf(out, "is out, in slot %u of the swap area.\n", pte_swap_slot(r->backing));
    else if (r->frame == POOL_ZERO_FRAME)
        fprintf(out, "is the zero frame, shared and read-only.\n");
    else
        fprintf(out, "is frame %05x, %s, %s; %u reference%s, mapped by %u guest page%s.\n",
                r->frame, pte_writable(r->backing) ? "writable" : "read-only",
                pte_dirty(r->backing) ? "dirty" : "clean", r->refs, r->refs == 1 ? "" : "s",
                r->maps, r->maps == 1 ? "" : "s");
}

static void print_view(const char *who, spte_t s, FILE *out)
{
    if (spte_is_mmio(s))
        fprintf(out, "%s a hole that goes to the bus", who);
    else if (!spte_present(s))
        fprintf(out, "%s nothing", who);
    else
        fprintf(out, "%s frame %05x %s%s%s", who, spte_frame(s),
                spte_writable(s) ? "writable" : "read-only", spte_nx(s) ? ", no-execute" : "",
                spte_large(s) ? ", by an entry of 2 MiB" : "");
}

static void print_shadow(const struct explanation *x, FILE *out)
{
    char why[PT_WHY_LEN];
    if (x->row.verdict != PT_UNKNOWN) {
        fprintf(out, "Shadow: ");
        if (x->mode.fmt == GPAGING_OFF) {
            print_view("the CPU has", x->row.shadow, out);
        } else {
            print_view("for supervisor accesses the CPU has", x->row.shadow, out);
            print_view("; for user accesses", x->row.shadow_user, out);
        }
        fprintf(out, ". Why: %s.\n", pt_row_why(&x->row, why));
    }
}

static void print_last_fault(const struct explanation *x, FILE *out)
{
    char name[160];
    const struct fault_stat f = {.result = x->faulted_result, .path = x->faulted_path};
    if (x->walk.end != TABLES_MAPPED)
        return;
    if (x->faulted)
        fprintf(out, "Last fault: %.6f s ago (%s).\n", x->faulted_ago_s,
                f.result == MM_SPURIOUS ? "all was there but the shadow"
                                        : fault_name(&f, name, sizeof name));
    else
        fprintf(out, "Last fault: %s.\n", x->live ? "none on record" : "not recorded");
}

/* --- what comes next ------------------------------------------------------------------------- */

static const char *step_text(uint32_t path)
{
    static const struct {
        uint32_t bits;
        const char *text;
    } steps[] = {
        {MM_PATH_CACHE | MM_PATH_COPY,
         "it is found in the swap cache and copied, for others have it too"},
        {MM_PATH_CACHE | MM_PATH_REUSE, "it is found in the swap cache and becomes writable"},
        {MM_PATH_CACHE, "it is found in the swap cache"},
        {MM_PATH_SAME | MM_PATH_COPY,
         "a frame is filled with its one value, and copied, for others have it too"},
        {MM_PATH_SAME, "a frame is filled with its one value"},
        {MM_PATH_ZPOOL | MM_PATH_COPY, "it is decompressed, and copied, for others have it too"},
        {MM_PATH_ZPOOL, "it is decompressed"},
        {MM_PATH_READ | MM_PATH_COPY,
         "it is read from the swap area, and copied, for others have it too"},
        {MM_PATH_READ, "it is read from the swap area"},
        {MM_PATH_FILE | MM_PATH_COPY, "its file's page is copied"},
        {MM_PATH_FILE, "its file's page is mapped"},
        {MM_PATH_UNZERO, "it gets a zeroed frame of its own instead of the zero frame"},
        {MM_PATH_FRESH, "it gets a zeroed frame of its own"},
        {MM_PATH_ZERO, "it gets the zero frame, read-only"},
        {MM_PATH_COPY, "it is copied, for others have the frame too"},
        {MM_PATH_REUSE, "its frame becomes writable, for nobody else has it"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if ((path & steps[i].bits) == steps[i].bits)
            return steps[i].text;
    return "it is mapped";
}

static const char *use_text(const struct explanation *x, const struct explain_use *u,
                            char buf[static 200])
{
    switch (u->what) {
    case EXPLAIN_NO_TRAP: return "no trap";
    case EXPLAIN_GUEST_FAULT:
        snprintf(buf, 200, "#PF, error %04x, to the guest", u->error);
        return buf;
    case EXPLAIN_MMIO: return "a trap: the soft CPU asks the bus";
    case EXPLAIN_ENDS: return "the machine ends: that memory cannot be had";
    case EXPLAIN_TRAP: return "a trap to Umbra, which lets it through";
    case EXPLAIN_FAULT: break;
    }
    if (u->result == MM_SPURIOUS && u->write && x->row.verdict == PT_WATCHED)
        return "a trap: the table is marked out of step and may be written from then on";
    if (u->result == MM_SPURIOUS) {
        const gpte_t leaf = tables_leaf(&x->walk);
        const bool paging = x->mode.fmt != GPAGING_OFF;
        const bool dirty = paging && u->write && !(leaf.raw & GPTE_D);
        const bool accessed = paging && !(leaf.raw & GPTE_A);
        snprintf(buf, 200, "a trap: all is there, and the shadow gets it%s%s",
                 accessed || dirty ? "; the guest's entry becomes " : "",
                 accessed && dirty ? "accessed and dirty"
                 : accessed        ? "accessed"
                 : dirty           ? "dirty"
                                   : "");
        return buf;
    }
    snprintf(buf, 200, "a %s fault: %s", u->result == MM_MAJOR ? "major" : "minor",
             step_text(u->path));
    return buf;
}

static void print_uses(const struct explanation *x, FILE *out)
{
    char buf[200];
    fprintf(out, "What comes next:\n");
    for (int i = 0; i < 4; i++)
        fprintf(out, "  %-5s from ring %d: %s\n", x->use[i].write ? "write" : "read",
                x->use[i].user ? 3 : 0, use_text(x, &x->use[i], buf));
}

void explain_print(const struct explanation *x, FILE *out)
{
    static const char *const formats[] = {"no paging", "two-level tables", "PAE tables"};
    fprintf(out, "%08" PRIx32 ": %s", x->la, formats[x->mode.fmt]);
    if (x->mode.fmt != GPAGING_OFF)
        fprintf(out, ", CR3 %08" PRIx32, x->cr3);
    fprintf(out, "\n");
    print_walk(x, out);
    print_rights(x, out);
    print_backing(x, out);
    print_shadow(x, out);
    print_last_fault(x, out);
    print_uses(x, out);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void json_entry(const char *name, gpa_t at, gpte_t e, FILE *out)
{
    fprintf(out, "{\"level\": \"%s\", \"at\": %" PRIu64 ", \"entry\": %" PRIu64 ", \"nx\": %s}",
            name, at, e.raw & ~GPTE_NX, e.raw & GPTE_NX ? "true" : "false");
}

static void json_walk(const struct explanation *x, FILE *out)
{
    static const char *const ends[] = {
        [TABLES_MAPPED] = "mapped",         [TABLES_NO_PDPTE] = "no-directory",
        [TABLES_NO_PDE] = "no-table",       [TABLES_NO_PTE] = "no-page",
        [TABLES_BAD_PDE] = "reserved-bits", [TABLES_BAD_PTE] = "reserved-bits",
        [TABLES_UNREADABLE] = "unreadable",
    };
    const struct tables_walk *w = &x->walk;
    fprintf(out, "\"walk\": [");
    if (x->mode.fmt != GPAGING_OFF && w->end != TABLES_NO_PDPTE)
        json_entry("directory", w->pde_at, w->pde, out);
    if (w->pte_at) {
        fprintf(out, ", ");
        json_entry("table", w->pte_at, w->pte, out);
    }
    fprintf(out, "], \"walk_end\": \"%s\", ", ends[w->end]);
}

static void json_uses(const struct explanation *x, FILE *out)
{
    static const char *const words[] = {
        [EXPLAIN_NO_TRAP] = "no-trap", [EXPLAIN_GUEST_FAULT] = "guest-fault",
        [EXPLAIN_FAULT] = "fault",     [EXPLAIN_MMIO] = "mmio",
        [EXPLAIN_ENDS] = "ends",       [EXPLAIN_TRAP] = "trap",
    };
    char name[160], text[200];
    fprintf(out, "\"next\": [");
    for (int i = 0; i < 4; i++) {
        const struct explain_use *u = &x->use[i];
        const struct fault_stat f = {.result = u->result, .path = u->path};
        fprintf(out, "%s{\"access\": \"%s\", \"ring\": %d, \"what\": \"%s\", ", i ? ", " : "",
                u->write ? "write" : "read", u->user ? 3 : 0, words[u->what]);
        if (u->what == EXPLAIN_GUEST_FAULT)
            fprintf(out, "\"error\": %u, ", u->error);
        if (u->what == EXPLAIN_FAULT)
            fprintf(out, "\"path\": \"%s\", ", fault_name(&f, name, sizeof name));
        fprintf(out, "\"text\": \"%s\"}", use_text(x, u, text));
    }
    fprintf(out, "]");
}

void explain_print_json(const struct explanation *x, FILE *out)
{
    char name[160];
    const struct fault_stat f = {.result = x->faulted_result, .path = x->faulted_path};
    fprintf(out, "{\"linear\": %" PRIu32 ", \"live\": %s, \"cr3\": %" PRIu32 ", ", x->la,
            x->live ? "true" : "false", x->cr3);
    json_walk(x, out);
    fprintf(out, "\"row\": ");
    pt_row_print_json(&x->row, out);
    if (x->faulted)
        fprintf(out, ", \"last_fault\": {\"ago_s\": %.6f, \"path\": \"%s\"}, ", x->faulted_ago_s,
                fault_name(&f, name, sizeof name));
    else
        fprintf(out, ", \"last_fault\": null, ");
    json_uses(x, out);
    fprintf(out, "}");
}
