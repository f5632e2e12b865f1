/*
 * umbra info: what this host offers, what was found by trying it, and which engine would be chosen.
 */
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/kvm/probe.h"
#include "vmm/vm.h"

enum { O_JSON = 1, O_KVM };

static const struct opt table[] = {
    {"json", O_JSON, OPT_NONE},
    {"kvm-device", O_KVM, OPT_VALUE},
    {NULL, 0, OPT_NONE},
};

struct info {
    const char *path;
    int kvm; /* 0: usable */
    struct kvm_host host;
    struct kvm_findings found;
    struct kvm_finding large;
    struct errmsg why_not;
    char chosen[16], why[256];
};

static int gather(struct info *i, struct errmsg *err)
{
    const struct vm_opts o = {
        .ram = VM_RAM_MIN, .shadow_quota = SHADOW_MIN_PAGES, .kvm_path = i->path};
    struct vm *vm;

    i->kvm = kvm_host_open(i->path, &i->host, &i->why_not);
    if (!i->kvm) {
        i->kvm = kvm_probe(&i->host, &i->found, &i->why_not);
        if (!i->kvm)
            i->kvm = kvm_probe_large(&i->host, &i->large, &i->why_not);
        kvm_host_close(&i->host);
    }
    const int rc = vm_create(&o, &vm, err);
    if (rc < 0)
        return rc;
    snprintf(i->chosen, sizeof i->chosen, "%s", vm->kvm ? "kvm" : "soft");
    snprintf(i->why, sizeof i->why, "%s", vm->engine_why);
    vm_destroy(vm);
    return 0;
}

static void print_text(const struct info *i)
{
    if (i->kvm) {
        printf("kvm: not usable: %s\n", i->why_not.text);
    } else {
        printf("kvm: usable (API %d, sync registers %#x, NX %s, %d memory slots)\n",
               i->host.api_version, (unsigned)i->host.sync_regs, i->host.nx ? "yes" : "no",
               i->host.max_slots);
        printf("  tried in compatibility mode at CPL 3:\n");
        for (unsigned r = 0; r < i->found.rows; r++)
            printf("  %-32s %-4s %s\n", i->found.row[r].what, i->found.row[r].native ? "yes" : "no",
                   i->found.row[r].how);
        printf("  %-32s %-4s %s\n", i->large.what, i->large.native ? "yes" : "no", i->large.how);
        printf("  guest ring 0 on kvm: %s (%s)\n", i->found.ring0_exact ? "yes" : "no",
               i->found.ring0_why);
        printf("  speed: %s\n", i->found.speed_why);
    }
    printf("soft: usable\n");
    printf("engine chosen by --engine auto: %s\n  %s\n", i->chosen, i->why);
}

/* The strings are ours or strerror's: only quotes and backslashes could hurt. */
static void json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        putchar((unsigned char)*s < ' ' ? ' ' : *s);
    }
    putchar('"');
}

static void print_json(const struct info *i)
{
    printf("{\"version\": 1, \"kvm\": {\"usable\": %s", i->kvm ? "false" : "true");
    if (i->kvm) {
        printf(", \"why\": ");
        json_string(i->why_not.text);
    } else {
        printf(", \"api\": %d, \"sync_regs\": %d, \"nx\": %s, \"ring0_exact\": %s, "
               "\"large_pages\": %s, \"tried\": [",
               i->host.api_version, i->host.sync_regs, i->host.nx ? "true" : "false",
               i->found.ring0_exact ? "true" : "false", i->large.native ? "true" : "false");
        for (unsigned r = 0; r < i->found.rows; r++) {
            printf("%s{\"what\": ", r ? ", " : "");
            json_string(i->found.row[r].what);
            printf(", \"native\": %s, \"how\": ", i->found.row[r].native ? "true" : "false");
            json_string(i->found.row[r].how);
            printf("}");
        }
        printf("], \"kvm_mips\": %.1f, \"soft_mips\": %.1f", i->found.kvm_mips, i->found.soft_mips);
    }
    printf("}, \"engine\": \"%s\", \"why\": ", i->chosen);
    json_string(i->why);
    printf("}\n");
}

static int cmd_info_main(int argc, char **argv)
{
    struct info i = {0};
    struct errmsg err;
    struct opts o;
    bool json = false;

    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        if (id == OPTS_BAD)
            return cmd_usage("info", "%s", o.err.text);
        if (id == OPTS_WORD)
            return cmd_usage("info", "takes no '%s'", o.value);
        if (id == O_JSON)
            json = true;
        else
            i.path = o.value;
    }
    if (gather(&i, &err) < 0)
        return cmd_fail("info", UMBRA_EXIT_HOST, "%s", err.text);
    if (json)
        print_json(&i);
    else
        print_text(&i);
    return UMBRA_EXIT_OK;
}

const struct cmd cmd_info = {
    .name = "info",
    .args = "[--json] [--kvm-device PATH]",
    .summary = "say what this host offers and which engine would run",
    .help =
        "Opens /dev/kvm, tries on a scratch vCPU what guest code needs, times both engines for\n"
        "about 5 ms, and says what it found.\n"
        "\n"
        "  --json             the same for programs\n"
        "  --kvm-device PATH  instead of /dev/kvm\n",
    .run = cmd_info_main,
};
