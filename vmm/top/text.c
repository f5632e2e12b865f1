/* umbra top without a screen: plain text and JSON (top.h). */
#include <inttypes.h>

#include "vmm/top/top.h"

static void print_map(const struct top *t, FILE *out)
{
    enum { COLUMNS = 64 };
    bool shown[TOP_KINDS] = {false};
    fprintf(out, "\naddress space, %" PRIu64 " KiB to a letter, lines with nothing left out:",
            t->cell_pages * 4);
    for (unsigned i = 0; i < TOP_CELLS; i++)
        shown[t->cell[i]] = true;
    for (int k = TOP_UNTOUCHED; k < TOP_KINDS; k++)
        if (shown[k])
            fprintf(out, " %c %s", top_kind_letter((enum top_kind)k),
                    top_kind_name((enum top_kind)k));
    fputc('\n', out);
    for (unsigned i = 0; i < TOP_CELLS; i += COLUMNS) {
        char line[COLUMNS + 1];
        bool any = false;
        for (unsigned k = 0; k < COLUMNS; k++) {
            line[k] = top_kind_letter(t->cell[i + k]);
            any |= t->cell[i + k] != TOP_NOTHING;
        }
        line[COLUMNS] = 0;
        if (any)
            fprintf(out, "  %08" PRIx64 " %s|\n", i * t->cell_pages * 4096, line);
    }
}

void top_print(const struct top *t, unsigned rows, FILE *out)
{
    fprintf(out,
            "%s: engine %s, up %.1f s, eip %08" PRIx64 ", paging %s, %" PRIu64 " MiB RAM\n"
            "faults %.0f/s of %" PRIu64 "; pages resident %" PRIu64 ", swapped %" PRIu64
            "; out %.0f/s of %" PRIu64 ", in %.0f/s of %" PRIu64 "\n\n",
            t->state, t->engine, (double)t->uptime_ns / 1e9, t->eip, t->paging ? "on" : "off",
            t->ram >> 20, t->fault_rate, t->faults, t->resident, t->swapped, t->out_rate, t->out,
            t->in_rate, t->in);
    fprintf(out, "%-44s %10s %12s %10s\n", "faults by path", "/s", "count", "mean us");
    for (unsigned i = 0; i < t->paths && i < rows; i++)
        fprintf(out, "  %-42s %10.0f %12" PRIu64 " %10.2f\n", t->path[i].name, t->path[i].rate,
                t->path[i].count, t->path[i].mean_ns / 1000);
    fprintf(out, "\n%-44s %10s %12s\n", "hottest regions", "/s", "count");
    for (unsigned i = 0; i < t->regions && i < rows; i++)
        fprintf(out, "  %08" PRIx32 "+4M %30s %10.0f %12" PRIu64 "\n", t->region[i].index << 22, "",
                t->region[i].rate, t->region[i].count);
    if (t->mapped)
        print_map(t, out);
    fputc('\n', out);
}

void top_print_json(const struct top *t, FILE *out)
{
    json_t *paths = json_array(), *regions = json_array();
    for (unsigned i = 0; i < t->paths; i++)
        json_array_append_new(paths, json_pack("{s:s, s:I, s:f, s:f}", "name", t->path[i].name,
                                               "count", (json_int_t)t->path[i].count, "per_second",
                                               t->path[i].rate, "mean_ns", t->path[i].mean_ns));
    for (unsigned i = 0; i < t->regions; i++)
        json_array_append_new(regions, json_pack("{s:I, s:I, s:f}", "linear",
                                                 (json_int_t)t->region[i].index << 22, "count",
                                                 (json_int_t)t->region[i].count, "per_second",
                                                 t->region[i].rate));
    char map[TOP_CELLS + 1];
    for (unsigned i = 0; i < TOP_CELLS; i++)
        map[i] = top_kind_letter(t->cell[i]);
    map[TOP_CELLS] = 0;
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:f, s:I, s:f, s:o, s:o, s:I, s:s}", "state",
        t->state, "engine", t->engine, "uptime_ns", (json_int_t)t->uptime_ns, "ram",
        (json_int_t)t->ram, "resident", (json_int_t)t->resident, "swapped", (json_int_t)t->swapped,
        "faults", (json_int_t)t->faults, "faults_per_second", t->fault_rate, "out",
        (json_int_t)t->out, "out_per_second", t->out_rate, "in", (json_int_t)t->in, "in_per_second",
        t->in_rate, "paths", paths, "regions", regions, "cell_bytes",
        (json_int_t)t->cell_pages * 4096, "map", t->mapped ? map : "");
    if (o)
        json_dumpf(o, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(o);
}
