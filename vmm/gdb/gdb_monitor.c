/* gdb's "monitor" commands: what Umbra shows and a debugger cannot. */
#include <inttypes.h>
#include <string.h>

#include "vmm/explain.h"
#include "vmm/gdb/gdb_int.h"
#include "vmm/pt_print.h"
#include "vmm/value.h"

static const char help[] =
    "pt [RANGE]         guest PTE, backing PTE and shadow PTE of each page, and why they differ\n"
    "                   RANGE is ADDRESS, START-END or START+LEN; without one: where EIP is\n"
    "explain [ADDRESS]  one page in words: the walk, what backs it, what the next access does\n"
    "regs               registers, as QEMU shows them\n"
    "stats              traps by kind, faults by path\n"
    "engine             what runs the guest's code\n";

static bool word_is(const char **line, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(*line, word, n) != 0 || ((*line)[n] && (*line)[n] != ' '))
        return false;
    *line += n + strspn(*line + n, " ");
    return true;
}

static void monitor_pt(struct vm *vm, const char *line, FILE *out)
{
    const la_t pc = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
    struct value_range r = {pc, pc};
    struct errmsg err;

    if (*line && value_range(line, &r, &err) < 0)
        fprintf(out, "pt: %s\n", err.text);
    else if (r.last > UINT32_MAX)
        fprintf(out, "pt: '%s' ends above 4 GiB\n", line);
    else
        pt_print(vm, (la_t)r.first, (la_t)r.last, out);
}

static void monitor_explain(struct vm *vm, const char *line, FILE *out)
{
    uint64_t la = vm->cpu.seg[SEG_CS].base + vm->cpu.eip;
    struct explanation x;
    struct errmsg err;

    if (*line && value_u64(line, 0, UINT32_MAX, &la, &err) < 0) {
        fprintf(out, "explain: %s\n", err.text);
        return;
    }
    explain_page(vm, (la_t)la, &x);
    explain_print(&x, out);
}

void gdb_monitor(struct vm *vm, const char *line, FILE *out)
{
    line += strspn(line, " ");
    if (word_is(&line, "pt"))
        monitor_pt(vm, line, out);
    else if (word_is(&line, "explain"))
        monitor_explain(vm, line, out);
    else if (word_is(&line, "regs"))
        cpu_dump(&vm->cpu, out);
    else if (word_is(&line, "stats"))
        stats_print(&vm->stats, vm_engine_name(vm), NULL, 0, out);
    else if (word_is(&line, "engine"))
        fprintf(out, "%s\n", vm->engine_why);
    else if (word_is(&line, "help") || !*line)
        fputs(help, out);
    else
        fprintf(out, "'%s' is no command of umbra's; \"monitor help\" lists them\n", line);
}
