/*
 * umbra explain: one page of a running machine, or of a saved page table, in sentences.
 */
#include <errno.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/ctl_words.h"
#include "vmm/cmd/opts.h"
#include "vmm/control/client.h"
#include "vmm/explain.h"
#include "vmm/value.h"

enum { O_SOCKET = 1, O_DUMP, O_JSON };

static const struct opt table[] = {
    {"socket", O_SOCKET, OPT_VALUE},
    {"control", O_SOCKET, OPT_VALUE},
    {"dump", O_DUMP, OPT_VALUE},
    {"json", O_JSON, OPT_NONE},
    {NULL, 0, OPT_NONE},
};

static int explain_live(const char *socket, la_t la, bool json)
{
    struct ctl_conn *c;
    struct errmsg err;
    json_t *ret = NULL;
    int rc = ctl_open(socket, &c, &err);
    if (rc < 0)
        return ctl_fail("explain", rc, &err);
    rc = ctl_ask(c, "explain", json_pack("{s:I}", "address", (json_int_t)la), NULL, NULL, &ret,
                 &err);
    ctl_close(c);
    if (rc < 0)
        return ctl_fail("explain", rc, &err);
    const char *text = json_string_value(json_object_get(ret, "text"));
    if (json)
        ctl_print_json(ret);
    else
        fputs(text ? text : "", stdout);
    json_decref(ret);
    return UMBRA_EXIT_OK;
}

static int explain_file(const char *path, la_t la, bool json)
{
    struct explanation x;
    struct ptdump *d;
    struct errmsg err;
    const int rc = ptdump_load(path, &d, &err);
    if (rc < 0)
        return cmd_fail("explain", rc == -ENOMEM ? UMBRA_EXIT_HOST : UMBRA_EXIT_IMAGE, "%s",
                        err.text);
    explain_dumped(d, la, &x);
    if (json) {
        explain_print_json(&x, stdout);
        putchar('\n');
    } else {
        explain_print(&x, stdout);
    }
    ptdump_free(d);
    return UMBRA_EXIT_OK;
}

static int cmd_explain_main(int argc, char **argv)
{
    const char *socket = NULL, *dump = NULL, *address = NULL;
    struct errmsg e;
    struct opts o;
    uint64_t la;
    bool json = false;

    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        switch (id) {
        case OPTS_BAD: return cmd_usage("explain", "%s", o.err.text);
        case O_SOCKET: socket = o.value; break;
        case O_DUMP: dump = o.value; break;
        case O_JSON: json = true; break;
        default:
            if (address)
                return cmd_usage("explain", "one address at a time: '%.80s' and '%.80s'", address,
                                 o.value);
            address = o.value;
        }
    }
    if (!address)
        return cmd_usage("explain", "which address?");
    if (value_u64(address, 0, UINT32_MAX, &la, &e) < 0)
        return cmd_usage("explain", "%s", e.text);
    return dump ? explain_file(dump, (la_t)la, json) : explain_live(socket, (la_t)la, json);
}

const struct cmd cmd_explain = {
    .name = "explain",
    .args = "ADDRESS [options]",
    .summary = "say why a page is as it is and what its next use will do",
    .help =
        "The walk through the guest's tables with the rights that are lost on it, what backs the "
        "page,\n"
        "what the CPU's shadow has and why, when the page was last faulted, and what the next read "
        "and\n"
        "write from ring 0 and ring 3 will come to. ADDRESS is linear.\n"
        "\n"
        "  --socket PATH          the machine's socket (also --control; see umbra help ctl)\n"
        "  --dump FILE            a saved page table, as far as it goes\n"
        "  --json                 as JSON\n"
        "\n"
        "Exit codes: 0 done; 1 bad command line; 2 the machine refused, or FILE is no dump; 3 no\n"
        "machine answers.\n",
    .run = cmd_explain_main,
};
