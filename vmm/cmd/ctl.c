/*
 * umbra ctl: look at a running machine and steer it, over its control socket.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/ctl_words.h"
#include "vmm/cmd/opts.h"
#include "vmm/control/client.h"
#include "vmm/value.h"

enum { O_SOCKET = 1, O_JSON, O_PHYSICAL, O_TIMEOUT, O_STICKY };

static const struct opt table[] = {
    {"socket", O_SOCKET, OPT_VALUE},
    {"control", O_SOCKET, OPT_VALUE},
    {"json", O_JSON, OPT_NONE},
    {"physical", O_PHYSICAL, OPT_NONE},
    {"timeout", O_TIMEOUT, OPT_VALUE},
    {"sticky", O_STICKY, OPT_NONE},
    {NULL, 0, OPT_NONE},
};

/* --- answers for people ---------------------------------------------------------------------- */

static long long num(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_status(const json_t *o)
{
    const char *by = str(o, "stopped_by");
    printf("state      %s%s%s%s%s\n", str(o, "state"), *by ? " (" : "", by, *by ? ")" : "",
           json_is_true(json_object_get(o, "halted")) ? ", halted" : "");
    printf("engine     %s\n", str(o, "engine"));
    printf("at         eip %08llx, linear %08llx, ring %lld\n", num(o, "eip"), num(o, "pc"),
           num(o, "cpl"));
    printf("paging     %s, cr3 %08llx, space %lld\n",
           json_is_true(json_object_get(o, "paging")) ? "on" : "off", num(o, "cr3"),
           num(o, "space"));
    printf("memory     %lld KiB, %lld pages resident, %lld swapped out; pool %lld KiB\n",
           num(o, "ram") / 1024, num(o, "resident"), num(o, "swapped"), num(o, "pool") / 1024);
    printf("so far     %.3f s, %lld faults, %lld instructions on the soft CPU\n",
           (double)num(o, "uptime_ns") / 1e9, num(o, "faults"), num(o, "soft_instructions"));
}

static void print_text(const json_t *o)
{
    fputs(str(o, "text"), stdout);
}

static void print_stand(const json_t *o)
{
    if (strcmp(str(o, "state"), "paused") == 0)
        printf("paused (%s) at eip %08llx, linear %08llx\n", str(o, "stopped_by"), num(o, "eip"),
               num(o, "pc"));
    else if (strcmp(str(o, "state"), "ended") == 0)
        printf("ended: %s (exit code %lld)\n", str(o, "why"), num(o, "exit_code"));
    else
        printf("%s\n", str(o, "state"));
}

/* 16 bytes to a line, as hexdump -C has them. */
static void print_memory(const json_t *o)
{
    const char *hex = str(o, "data");
    const unsigned long long at = (unsigned long long)num(o, "address");
    const size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i += 16) {
        char text[17] = "";
        printf("%08llx ", at + i);
        for (size_t k = 0; k < 16; k++) {
            unsigned byte = 0;
            if (i + k >= len) {
                printf("   ");
                continue;
            }
            (void)sscanf(hex + 2 * (i + k), "%2x", &byte);
            printf(" %02x", byte);
            text[k] = byte >= 0x20 && byte < 0x7f ? (char)byte : '.';
            text[k + 1] = 0;
        }
        printf("  |%s|\n", text);
    }
}

static void print_pages(const json_t *o)
{
    if (num(o, "pages"))
        printf("%lld pages\n", num(o, "pages"));
}

static void print_nothing(const json_t *o)
{
    (void)o;
}

/* --- commands -------------------------------------------------------------------------------- */

struct ctl_args {
    const char *socket;
    bool json, physical, sticky;
    uint64_t timeout_ms;
    const char *word[8];
    int words;
};

/* Fills the command's arguments; 0 or an exit status, said already. */
typedef int make_args(const struct ctl_args *a, json_t *out);

static int no_more(const struct ctl_args *a, int words)
{
    return a->words > words ? cmd_usage("ctl", "%s takes no '%s'", a->word[0], a->word[words]) : 0;
}

static int args_none(const struct ctl_args *a, json_t *out)
{
    (void)out;
    return no_more(a, 1);
}

static int args_step(const struct ctl_args *a, json_t *out)
{
    struct errmsg e;
    uint64_t n = 1;
    if (a->words > 1 && value_u64(a->word[1], 1, UINT32_MAX, &n, &e) < 0)
        return cmd_usage("ctl", "step: %s", e.text);
    json_object_set_new(out, "count", json_integer((json_int_t)n));
    return no_more(a, 2);
}

static int args_wait(const struct ctl_args *a, json_t *out)
{
    if (a->timeout_ms)
        json_object_set_new(out, "timeout_ms", json_integer((json_int_t)a->timeout_ms));
    return no_more(a, 1);
}

static int args_memory(const struct ctl_args *a, json_t *out)
{
    struct value_range r;
    struct errmsg e;
    if (a->words < 2)
        return cmd_usage("ctl", "memory: which range?");
    if (value_range(a->word[1], &r, &e) < 0)
        return cmd_usage("ctl", "memory: %s", e.text);
    if (r.last == r.first)
        r.last += 63;
    if (r.last - r.first >= 16384)
        return cmd_usage("ctl", "memory: 16 KiB at a time");
    const uint64_t size = r.last - r.first + 1;
    json_object_set_new(out, "address", json_integer((json_int_t)r.first));
    json_object_set_new(out, "size", json_integer((json_int_t)size));
    json_object_set_new(out, "space", json_string(a->physical ? "physical" : "linear"));
    return no_more(a, 2);
}

static int inject_fail(const struct ctl_args *a, json_t *out)
{
    struct errmsg e;
    uint64_t n = 1;
    if (a->words < 3)
        return cmd_usage("ctl", "inject fail: what? none, read, write, io or frame");
    if (a->words > 3 && value_u64(a->word[3], 1, INT64_MAX, &n, &e) < 0)
        return cmd_usage("ctl", "inject fail: %s", e.text);
    json_object_set_new(out, "kind", json_string(a->word[2]));
    json_object_set_new(out, "count", json_integer((json_int_t)n));
    json_object_set_new(out, "sticky", json_boolean(a->sticky));
    return no_more(a, 4);
}

static int inject_range(const struct ctl_args *a, json_t *out)
{
    struct value_range r;
    struct errmsg e;
    if (value_range(a->word[2], &r, &e) < 0)
        return cmd_usage("ctl", "inject %s: %s", a->word[1], e.text);
    if (r.last > UINT32_MAX)
        return cmd_usage("ctl", "inject %s: '%s' ends above 4 GiB", a->word[1], a->word[2]);
    const uint64_t size = r.last - r.first + 1;
    json_object_set_new(out, "address", json_integer((json_int_t)r.first));
    json_object_set_new(out, "size", json_integer((json_int_t)size));
    json_object_set_new(out, "space", json_string(a->physical ? "physical" : "linear"));
    return no_more(a, 3);
}

/* What may be injected is the machine's to know. */
static int args_inject(const struct ctl_args *a, json_t *out)
{
    if (a->words < 2)
        return cmd_usage("ctl", "inject what?");
    json_object_set_new(out, "what", json_string(a->word[1]));
    if (strcmp(a->word[1], "fail") == 0)
        return inject_fail(a, out);
    return a->words > 2 ? inject_range(a, out) : 0;
}

static const struct {
    const char *name;
    make_args *args;
    void (*print)(const json_t *ret);
    bool patient; /* the answer comes when the machine stands */
} commands[] = {
    {"status", args_none, print_status, false},  {"registers", args_none, print_text, false},
    {"stats", args_none, print_text, false},     {"pause", args_none, print_nothing, false},
    {"resume", args_none, print_nothing, false}, {"step", args_step, print_stand, true},
    {"wait", args_wait, print_stand, true},      {"memory", args_memory, print_memory, false},
    {"inject", args_inject, print_pages, false}, {"quit", args_none, print_nothing, false},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int find_command(const char *name)
{
    struct nearest n = {.typed = name};
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return (int)i;
        nearest_try(&n, commands[i].name);
    }
    if (n.best)
        cmd_usage("ctl", "there is no command '%.80s'; did you mean '%s'?", name, n.best);
    else
        cmd_usage("ctl", "there is no command '%.80s'", name);
    return -1;
}

int ctl_fail(const char *name, int rc, const struct errmsg *err)
{
    return cmd_fail(name, rc == -EREMOTEIO ? UMBRA_EXIT_IMAGE : UMBRA_EXIT_HOST, "%s", err->text);
}

void ctl_print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
}

static int ask(const struct ctl_args *a, int which, json_t *args)
{
    struct ctl_conn *c;
    struct errmsg err;
    json_t *ret = NULL;
    int rc = ctl_open(a->socket, &c, &err);
    if (rc < 0) {
        json_decref(args);
        return ctl_fail("ctl", rc, &err);
    }
    if (commands[which].patient)
        ctl_patience(c, 0);
    rc = ctl_ask(c, commands[which].name, args, NULL, NULL, &ret, &err);
    ctl_close(c);
    if (rc < 0)
        return ctl_fail("ctl", rc, &err);
    if (a->json)
        ctl_print_json(ret);
    else
        commands[which].print(ret);
    json_decref(ret);
    return UMBRA_EXIT_OK;
}

static int take_option(struct ctl_args *a, const struct opts *o, int id)
{
    struct errmsg e;
    switch (id) {
    case O_SOCKET: a->socket = o->value; break;
    case O_JSON: a->json = true; break;
    case O_PHYSICAL: a->physical = true; break;
    case O_STICKY: a->sticky = true; break;
    default:
        if (value_u64(o->value, 1, 4000000, &a->timeout_ms, &e) < 0)
            return cmd_usage("ctl", "--timeout: %s", e.text);
        a->timeout_ms *= 1000;
        break;
    }
    return 0;
}

static int cmd_ctl_main(int argc, char **argv)
{
    struct ctl_args a = {0};
    struct opts o;

    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        if (id == OPTS_BAD)
            return cmd_usage("ctl", "%s", o.err.text);
        if (id == OPTS_WORD) {
            if (a.words == (int)(sizeof a.word / sizeof *a.word))
                return cmd_usage("ctl", "too many words: '%.80s'", o.value);
            a.word[a.words++] = o.value;
            continue;
        }
        const int rc = take_option(&a, &o, id);
        if (rc)
            return rc;
    }
    if (!a.words)
        return cmd_usage("ctl", "which command?");
    const int which = find_command(a.word[0]);
    if (which < 0)
        return UMBRA_EXIT_USAGE;
    json_t *args = json_object();
    const int rc = commands[which].args(&a, args);
    if (rc) {
        json_decref(args);
        return rc;
    }
    return ask(&a, which, args);
}

const struct cmd cmd_ctl = {
    .name = "ctl",
    .args = "[options] COMMAND [ARGUMENTS]",
    .summary = "look at a running machine and steer it",
    .help =
        "The machine was started with umbra run --control PATH. Without --socket it is the one of\n"
        "$UMBRA_CONTROL, or else the only one that listens at $XDG_RUNTIME_DIR/umbra-PID.sock\n"
        "(/tmp/umbra-PID.sock), where --control=auto puts it.\n"
        "\n"
        "Commands\n"
        "  status                 whether it runs, where it is, what it has used\n"
        "  registers              of the processor\n"
        "  stats                  traps and faults so far, as umbra run --stats has them\n"
        "  pause, resume          guest time stands still in between\n"
        "  step [N]               run N instructions (1) of a paused machine\n"
        "  wait                   until the machine stands or has ended\n"
        "  memory RANGE           bytes by linear address, through the guest's tables; 16 KiB at "
        "most\n"
        "  inject swap-out RANGE  send its pages to the swap area now\n"
        "  inject fork, unfork    share all pages copy-on-write with a copy that nobody runs; let "
        "it go\n"
        "  inject write-protect RANGE\n"
        "                         take the right to write from the CPU's shadow\n"
        "  inject drop-shadow [RANGE]\n"
        "                         drop the CPU's shadow entries of its pages, or all shadow "
        "tables\n"
        "  inject fail none|read|write|io|frame [N]\n"
        "                         fail the N-th (1st) read from or write to the swap area from "
        "now, "
        "or\n"
        "                         allocation of a frame\n"
        "  quit                   end the machine\n"
        "\n"
        "Options\n"
        "  --socket PATH          the machine's socket (also --control PATH)\n"
        "  --physical             memory, inject: by guest-physical address\n"
        "  --sticky               inject fail: and all later ones\n"
        "  --timeout SECONDS      wait: no longer than that\n"
        "  --json                 the answer as JSON, one line\n"
        "\n"
        "Exit codes: 0 done; 1 bad command line; 2 the machine refused; 3 no machine answers.\n",
    .run = cmd_ctl_main,
};
