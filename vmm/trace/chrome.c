/* A trace as JSON for Perfetto and chrome://tracing (export.h). */
#include <inttypes.h>

#include "vmm/trace/export.h"
#include "vmm/trace/json.h"
#include "vmm/trace/names.h"

enum track { TRACK_FAULTS = 1, TRACK_MEMORY, TRACK_SHADOW };

struct exporting {
    struct trace_file *f;
    FILE *out;
};

static void begin(const struct exporting *e, const char *phase, enum track track,
                  const struct trace_rec *r)
{
    fprintf(e->out, ",\n{\"ph\":\"%s\",\"pid\":1,\"tid\":%d,\"ts\":%.3f", phase, (int)track,
            trace_file_ns(e->f, r->tsc) / 1000);
}

static void put_fault(const struct exporting *e, const struct trace_rec *r)
{
    char name[160];
    begin(e, "X", TRACK_FAULTS, r);
    fprintf(e->out,
            ",\"dur\":%.3f,\"cat\":\"fault\",\"name\":\"%s\",\"args\":{\"class\":\"%s\","
            "\"la\":\"%08" PRIx32 "\",\"gpa\":\"%08" PRIx64 "\",\"eip\":\"%08" PRIx32
            "\",\"access\":\"%s\",\"space\":%u}}",
            (double)r->cost * e->f->ns_per_cycle / 1000, trace_path_name(r, name, sizeof name),
            trace_class_name(trace_class_of(r)), r->la, gpa_of(r->gfn), r->eip,
            trace_access_name(r), r->space);
}

static void put_sample(const struct exporting *e, const struct trace_rec *r)
{
    begin(e, "C", TRACK_MEMORY, r);
    fprintf(e->out,
            ",\"name\":\"pages\",\"args\":{\"frames in use\":%" PRIu32 ",\"swapped out\":%" PRIu32
            "}}",
            r->gfn, r->info);
}

static void put_instant(const struct exporting *e, enum track track, const struct trace_rec *r)
{
    char name[160];
    begin(e, "i", track, r);
    fprintf(e->out,
            ",\"s\":\"t\",\"cat\":\"%s\",\"name\":\"%s\",\"args\":{\"la\":\"%08" PRIx32
            "\",\"gpa\":\"%08" PRIx64 "\",\"space\":%u,\"detail\":%" PRIu32 "}}",
            track == TRACK_SHADOW ? "shadow" : "memory", trace_path_name(r, name, sizeof name),
            r->la, gpa_of(r->gfn), r->space, r->info);
}

static bool put(void *ctx, const struct trace_rec *r)
{
    const struct exporting *e = ctx;
    if (trace_is_fault(r))
        put_fault(e, r);
    else if (r->kind == TRACE_SAMPLE)
        put_sample(e, r);
    else if (r->kind >= TRACE_SHADOW_DROP && r->kind <= TRACE_SHADOW_TABLE)
        put_instant(e, TRACK_SHADOW, r);
    else
        put_instant(e, TRACK_MEMORY, r);
    return !ferror(e->out);
}

static void name_track(FILE *out, enum track track, const char *name)
{
    fprintf(out,
            ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":"
            "\"%s\"}},\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_sort_index\",\"args\":"
            "{\"sort_index\":%d}}",
            (int)track, name, (int)track, (int)track);
}

int trace_export_chrome(struct trace_file *f, FILE *out)
{
    fprintf(out, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"image\":");
    json_quote(f->head.image, out);
    fprintf(out, ",\"append\":");
    json_quote(f->head.append, out);
    fprintf(out, ",\"engine\":");
    json_quote(f->head.engine, out);
    fprintf(out, "},\"traceEvents\":[\n"
                 "{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_name\",\"args\":{\"name\":");
    json_quote(f->head.image[0] ? f->head.image : "machine", out);
    fprintf(out, "}}");
    name_track(out, TRACK_FAULTS, "page faults");
    name_track(out, TRACK_MEMORY, "memory manager");
    name_track(out, TRACK_SHADOW, "shadow tables");
    const int rc = trace_file_read(f, put, &(struct exporting){f, out});
    fprintf(out, "\n]}\n");
    return rc;
}
