/* A trace as lines (export.h). */
#include <inttypes.h>

#include "vmm/trace/export.h"
#include "vmm/trace/names.h"

struct dumping {
    struct trace_file *f;
    FILE *out;
};

static bool has_page(const struct trace_rec *r)
{
    return r->space != TRACE_NO_SPACE && r->kind != TRACE_READ_AHEAD &&
           r->kind != TRACE_SHADOW_TABLE && r->kind != TRACE_FORK && r->kind != TRACE_SWITCH &&
           r->kind != TRACE_EXIT && r->kind != TRACE_SAMPLE;
}

static bool has_la(const struct trace_rec *r)
{
    return trace_is_fault(r) || (r->kind >= TRACE_SHADOW_DROP && r->kind <= TRACE_SHADOW_TABLE);
}

/* What info means; NULL: nothing. */
static const char *info_name(const struct trace_rec *r)
{
    switch (r->kind) {
    case TRACE_SWAP_OUT:
    case TRACE_WRITTEN:
    case TRACE_DROPPED:
    case TRACE_WRITE_FAILED:
    case TRACE_READ_AHEAD: return "slot";
    case TRACE_WRITE_PROTECT:
    case TRACE_MAPPED:
    case TRACE_UNMAPPED:
    case TRACE_PROTECTED: return "pages";
    case TRACE_MERGED: return "frame";
    case TRACE_FORK:
    case TRACE_SWITCH:
    case TRACE_EXIT: return "to_space";
    default: return NULL;
    }
}

static bool dump_line(void *ctx, const struct trace_rec *r)
{
    const struct dumping *d = ctx;
    char name[160];
    fprintf(d->out, "%13.3f us  ", trace_file_ns(d->f, r->tsc) / 1000);
    if (r->kind == TRACE_SAMPLE) {
        fprintf(d->out,
                "memory: %" PRIu32 " frames in use, %" PRIu32 " pages resident, %" PRIu32
                " swapped out\n",
                r->gfn, r->la, r->info);
        return !ferror(d->out);
    }
    if (has_la(r))
        fprintf(d->out, "la %08" PRIx32 "  ", r->la);
    if (has_page(r))
        fprintf(d->out, "page %" PRIu32 ":%05" PRIx32 "  ", (uint32_t)r->space, r->gfn);
    fprintf(d->out, "%s", trace_path_name(r, name, sizeof name));
    if (info_name(r))
        fprintf(d->out, ", %s %" PRIu32, info_name(r), r->info);
    if (trace_is_fault(r))
        fprintf(d->out, "; %s at %08" PRIx32 ", %.2f us", trace_access_name(r), r->eip,
                (double)r->cost * d->f->ns_per_cycle / 1000);
    fputc('\n', d->out);
    return !ferror(d->out);
}

int trace_dump(struct trace_file *f, FILE *out)
{
    return trace_file_read(f, dump_line, &(struct dumping){f, out});
}

static bool dump_object(void *ctx, const struct trace_rec *r)
{
    const struct dumping *d = ctx;
    char name[160];
    fprintf(d->out, "{\"ns\": %.0f, \"kind\": \"%s\"", trace_file_ns(d->f, r->tsc),
            trace_kind_word((enum trace_kind)r->kind));
    if (r->kind == TRACE_SAMPLE)
        fprintf(d->out,
                ", \"frames\": %" PRIu32 ", \"resident\": %" PRIu32 ", \"swapped\": %" PRIu32,
                r->gfn, r->la, r->info);
    if (has_la(r))
        fprintf(d->out, ", \"la\": %" PRIu32, r->la);
    if (has_page(r))
        fprintf(d->out, ", \"space\": %u, \"gpa\": %" PRIu64, r->space, gpa_of(r->gfn));
    if (info_name(r))
        fprintf(d->out, ", \"%s\": %" PRIu32, info_name(r), r->info);
    if (r->kind == TRACE_FAULT || r->kind == TRACE_MONITOR)
        fprintf(d->out, ", \"path\": \"%s\"", trace_path_name(r, name, sizeof name));
    if (trace_is_fault(r))
        fprintf(d->out, ", \"access\": \"%s\", \"eip\": %" PRIu32 ", \"cost_ns\": %.0f",
                trace_access_name(r), r->eip, (double)r->cost * d->f->ns_per_cycle);
    fprintf(d->out, "}\n");
    return !ferror(d->out);
}

int trace_dump_json(struct trace_file *f, FILE *out)
{
    return trace_file_read(f, dump_object, &(struct dumping){f, out});
}
