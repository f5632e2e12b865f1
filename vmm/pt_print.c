/* See pt_print.h. */
#include <inttypes.h>

#include "vmm/pt_print.h"

/* --- text ------------------------------------------------------------------------------------ */

static const char *backing_text(const struct pt_row *r, char *buf, size_t len)
{
    if (pte_none(r->backing))
        snprintf(buf, len, "none");
    else if (pte_is_swap(r->backing))
        snprintf(buf, len, "swap");
    else
        snprintf(buf, len, "P%c%c%c", pte_writable(r->backing) ? 'W' : '-',
                 pte_young(r->backing) ? 'A' : '-', pte_dirty(r->backing) ? 'D' : '-');
    return buf;
}

static const char *shadow_text(spte_t e, char *buf, size_t len)
{
    if (spte_is_mmio(e))
        snprintf(buf, len, "I/O");
    else if (!spte_present(e))
        snprintf(buf, len, "-");
    else
        snprintf(buf, len, "P%c%s%s", spte_writable(e) ? 'W' : '-', spte_nx(e) ? "N" : "",
                 spte_large(e) ? "L" : "");
    return buf;
}

static const char *guest_text(const struct pt_row *r, char *buf, size_t len)
{
    const gpte_t g = {r->guest};
    if (!r->guest_paging)
        snprintf(buf, len, "none");
    else if (!r->guest_maps)
        snprintf(buf, len, "-");
    else
        snprintf(buf, len, "%09llx P%c%c%c%c%s%s%s", (unsigned long long)r->gpa,
                 r->writable ? 'W' : '-', r->user ? 'U' : '-', (g.raw & GPTE_A) ? 'A' : '-',
                 (g.raw & GPTE_D) ? 'D' : '-', (g.raw & GPTE_G) ? "G" : "", r->nx ? "N" : "",
                 r->large ? " L" : "");
    return buf;
}

static const char *frame_text(const struct pt_row *r, char *buf, size_t len)
{
    const slot_t slot = pte_is_swap(r->backing) ? pte_swap_slot(r->backing) : 0;
    if (slot && r->pages == 1)
        snprintf(buf, len, "s%u", slot);
    else if (slot && r->slots_run)
        snprintf(buf, len, "s%u-%u", slot, slot + r->pages - 1);
    else if (slot)
        snprintf(buf, len, "s%u ...", slot);
    else if (r->frame == FRAME_NONE)
        snprintf(buf, len, "-");
    else if (r->frame == POOL_ZERO_FRAME)
        snprintf(buf, len, "zero");
    else if (r->pages == 1)
        snprintf(buf, len, "%05x", r->frame);
    else if (r->frames_run)
        snprintf(buf, len, "%05x-%05x", r->frame, r->frame + r->pages - 1);
    else
        snprintf(buf, len, "%05x ...", r->frame);
    return buf;
}

const char *pt_row_why(const struct pt_row *r, char buf[static PT_WHY_LEN])
{
    const size_t len = PT_WHY_LEN;
    static const char *const where[] = {
        [STORE_SAME] = "as one value",     [STORE_ZPOOL] = "to the compressed pool",
        [STORE_DISK] = "to the swap area", [STORE_WRITING] = "being written to the swap area",
        [STORE_EMPTY] = "still in memory", [STORE_BAD] = "its slot has gone bad",
        [STORE_FREE] = "its slot is FREE",
    };
    if (r->verdict == PT_SWAPPED)
        snprintf(buf, len, "%s: %s", pt_verdict_text(r->verdict), where[r->where]);
    else if (r->verdict == PT_OUT_OF_STEP)
        snprintf(buf, len, "out of step since trap %" PRIu64 " (%.6f s): %s", r->since.trap,
                 (double)r->since.ns / 1e9, pt_verdict_text(r->verdict));
    else
        snprintf(buf, len, "%s", pt_verdict_text(r->verdict));
    return buf;
}

static void print_line(const struct pt_row *r, FILE *out)
{
    char guest[48], backing[32], kernel[16], user[16], frame[32], counts[32] = "-";
    char why[PT_WHY_LEN];
    const la_t last = r->la + ((la_t)(r->pages - 1) << PAGE_SHIFT) + PAGE_MASK;

    if (r->frame != FRAME_NONE && r->frame != POOL_ZERO_FRAME)
        snprintf(counts, sizeof counts, "%u/%u", r->refs, r->maps);
    fprintf(out, "%08" PRIx32 "-%08" PRIx32 " %8u  %-*s %-9s %-6s %-4s %-12s %-6s %s", r->la, last,
            r->pages, r->guest_paging ? 19 : 6, guest_text(r, guest, sizeof guest),
            backing_text(r, backing, sizeof backing), shadow_text(r->shadow, kernel, sizeof kernel),
            shadow_text(r->shadow_user, user, sizeof user), frame_text(r, frame, sizeof frame),
            counts, pt_row_why(r, why));
}

void pt_row_print(const struct pt_row *r, FILE *out)
{
    print_line(r, out);
    fputc('\n', out);
}

void pt_row_print_string(const struct pt_row *r, FILE *out)
{
    fputc('"', out);
    print_line(r, out); /* of our own words: nothing in it needs escaping */
    fputc('"', out);
}

void pt_print_heading(bool paging, FILE *out)
{
    fprintf(out, "%-17s %8s  %-*s %-9s %-6s %-4s %-12s %-6s %s\n", "linear", "pages",
            paging ? 19 : 6, "guest", "backing", "shadow", "user", "frame", "refs/m", "why");
}

void pt_print_legend(bool paging, FILE *out)
{
    if (paging)
        fprintf(out,
                "guest: guest-physical address and rights of its own tables (L: a large page). ");
    else
        fprintf(out, "guest: its own PTE (none: paging is off, linear = guest-physical). ");
    fprintf(
        out,
        "backing: the memory\nmanager's entry. shadow, user: what the CPU walks for supervisor and "
        "for user accesses. Bits: P present,\nW writable, U user, A accessed, D dirty, G global, "
        "N no-execute, L of 2 MiB. refs/m: references/mappings. A frame s1 is slot 1 of swap.\n");
}

void pt_print(struct vm *vm, la_t first, la_t last, FILE *out)
{
    const bool paging = shadow_mode(vm->shadow)->fmt != GPAGING_OFF;
    struct pt_iter it;
    struct pt_row r;

    pt_print_heading(paging, out);
    for (pt_begin(&it, vm, first, last); pt_next(&it, &r);)
        pt_row_print(&r, out);
    pt_print_legend(paging, out);
}

/* --- JSON ------------------------------------------------------------------------------------ */

/* Bit 63 is left out of the numbers, so that every program can read them; the flags have it. */
static const char *json_guest_flags(const struct pt_row *r, char buf[static 16])
{
    const gpte_t g = {r->guest};
    if (!r->guest_maps)
        return "";
    snprintf(buf, 16, "P%s%s%s%s%s%s", r->writable ? "W" : "", r->user ? "U" : "",
             g.raw & GPTE_A ? "A" : "", g.raw & GPTE_D ? "D" : "", g.raw & GPTE_G ? "G" : "",
             r->nx ? "N" : "");
    return buf;
}

static const char *json_shadow_flags(spte_t s)
{
    static const char *const words[] = {"P", "PN", "PW", "PWN", "PL", "PNL", "PWL", "PWNL"};
    if (spte_is_mmio(s))
        return "IO";
    return spte_present(s) ? words[spte_large(s) * 4 + spte_writable(s) * 2 + spte_nx(s)] : "";
}

static void json_guest(const struct pt_row *r, FILE *out)
{
    char flags[16];
    if (r->guest_paging)
        fprintf(out,
                "\"guest_pte\": %" PRIu64
                ", \"guest_flags\": \"%s\", \"guest_maps\": %s, \"large\": "
                "%s, \"gpa\": %" PRIu64 ", \"guest_consecutive\": %s, ",
                r->guest & ~GPTE_NX, json_guest_flags(r, flags), r->guest_maps ? "true" : "false",
                r->large ? "true" : "false", r->gpa, r->gpas_run ? "true" : "false");
    else
        fprintf(out, "\"guest_pte\": null, ");
}

void pt_row_print_json(const struct pt_row *r, FILE *out)
{
    fprintf(out, "{\"linear\": %" PRIu32 ", \"pages\": %" PRIu32 ", ", r->la, r->pages);
    json_guest(r, out);
    fprintf(out,
            "\"backing_pte\": %" PRIu32 ", \"shadow_pte\": %" PRIu64
            ", \"shadow_flags\": \"%s\", \"shadow_pte_user\": %" PRIu64
            ", \"shadow_user_flags\": \"%s\", ",
            r->backing.raw, spte_present(r->shadow) ? r->shadow.raw & ~SPTE_NX : 0,
            json_shadow_flags(r->shadow),
            spte_present(r->shadow_user) ? r->shadow_user.raw & ~SPTE_NX : 0,
            json_shadow_flags(r->shadow_user));
    if (r->frame == FRAME_NONE)
        fprintf(out, "\"frame\": null, ");
    else
        fprintf(out, "\"frame\": %" PRIu32 ", ", r->frame);
    if (pte_is_swap(r->backing))
        fprintf(out, "\"slot\": %" PRIu32 ", \"slots_consecutive\": %s, \"where\": \"%s\", ",
                pte_swap_slot(r->backing), r->slots_run ? "true" : "false", vm_swap_word(r->where));
    if (r->verdict == PT_OUT_OF_STEP)
        fprintf(out, "\"since_trap\": %" PRIu64 ", \"since_ns\": %" PRIu64 ", ", r->since.trap,
                r->since.ns);
    fprintf(out,
            "\"frames_consecutive\": %s, \"refs\": %" PRIu32 ", \"maps\": %" PRIu32
            ", \"verdict\": \"%s\"}",
            r->frames_run ? "true" : "false", r->refs, r->maps, pt_verdict_word(r->verdict));
}

void pt_print_json(struct vm *vm, la_t first, la_t last, FILE *out)
{
    const char *sep = "";
    struct pt_iter it;
    struct pt_row r;

    fprintf(out, "{\"version\": 1, \"page_size\": 4096, \"rows\": [");
    for (pt_begin(&it, vm, first, last); pt_next(&it, &r); sep = ",") {
        fprintf(out, "%s\n  ", sep);
        pt_row_print_json(&r, out);
    }
    fprintf(out, "\n]}\n");
}
