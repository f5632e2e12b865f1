/* explain: one page in words and as data. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/control/control_int.h"
#include "vmm/explain.h"

struct look {
    la_t la;
    struct explanation x;
};

static void look_explain(struct vm *vm, void *ctx)
{
    struct look *l = ctx;
    explain_page(vm, l->la, &l->x);
}

/* What one of the printers writes, malloc'ed. */
static char *printed(void (*print)(const struct explanation *, FILE *), const struct explanation *x)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return NULL;
    print(x, f);
    fclose(f);
    return text;
}

static int run_explain(struct control *c, struct client *cl, struct request *r)
{
    uint64_t la = 0;
    struct look l;
    (void)cl;
    int rc = arg_need(r, "address");
    if (!rc)
        rc = arg_u64(r, "address", 0, UINT32_MAX, &la);
    l.la = (la_t)la;
    if (!rc)
        rc = control_call(c, r, look_explain, &l);
    if (rc < 0)
        return rc;
    char *text = printed(explain_print, &l.x), *json = printed(explain_print_json, &l.x);
    r->ret = json ? json_loads(json, 0, NULL) : NULL;
    if (r->ret && text)
        json_object_set_new(r->ret, "text", json_string(text));
    free(text);
    free(json);
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

static const char *const explain_args[] = {"address", NULL};

const struct command commands_explain[] = {
    {"explain", explain_args, run_explain},
    {NULL, NULL, NULL},
};
