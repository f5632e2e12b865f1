/* See lv.h: with libvirt. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mm/types.h"
#include "vmm/libvirt/lv.h"
#include "vmm/libvirt/lv_load.h"

enum { REPLY_WAIT_MS = 100 };

static const struct lv_library *lib; /* set by lv_open() and lv_config_parse(), once for all */

struct lv {
    virConnectPtr conn;
    virDomainPtr dom;
    bool held; /* by us: resumed at the end */
    char name[128];
    pthread_t loop; /* libvirt's events: QEMU's monitor of an embedded driver needs them */
    bool loop_runs;
    _Atomic bool closing;
    int timer;
};

bool lv_built(void)
{
    return true;
}

static const char *reason(void)
{
    const char *text = lib->p_virGetLastErrorMessage();
    return text && *text ? text : "no reason given";
}

/* --- the event loop -------------------------------------------------------------------------- */

static void on_tick(int timer, void *ctx)
{
    (void)timer;
    (void)ctx;
}

static void *run_loop(void *ctx)
{
    struct lv *d = ctx;
    while (!atomic_load(&d->closing) && lib->p_virEventRunDefaultImpl() == 0)
        ;
    return NULL;
}

static void quiet(void *ctx, virErrorPtr e)
{
    (void)ctx;
    (void)e;
}

static int start_loop(struct lv *d)
{
    lib->p_virSetErrorFunc(NULL, quiet); /* errors are told by whoever called */
    if (lib->p_virEventRegisterDefaultImpl() < 0)
        return -ENOMEM;
    d->timer = lib->p_virEventAddTimeout(REPLY_WAIT_MS, on_tick, NULL, NULL);
    if (d->timer < 0)
        return -ENOMEM;
    const int rc = -pthread_create(&d->loop, NULL, run_loop, d);
    d->loop_runs = !rc;
    return rc;
}

/* --- life ------------------------------------------------------------------------------------ */

int lv_open(const char *uri, const char *domain, bool control, struct lv **out, struct errmsg *err)
{
    struct lv *d = calloc(1, sizeof *d);
    int rc;

    *out = NULL;
    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    if (!(lib = lv_load(err))) {
        free(d);
        return -ENOTSUP;
    }
    snprintf(d->name, sizeof d->name, "%s", domain);
    rc = start_loop(d);
    if (rc < 0) {
        err_set(err, rc, "libvirt: %s", strerror(-rc));
        goto fail;
    }
    d->conn = control ? lib->p_virConnectOpen(uri) : lib->p_virConnectOpenReadOnly(uri);
    if (!d->conn && !control) /* the embedded and test drivers have no read-only connections */
        d->conn = lib->p_virConnectOpen(uri);
    if (!d->conn) {
        rc = err_set(err, -ENOTCONN, "libvirt: cannot connect to %s: %s", uri ? uri : "the default",
                     reason());
        goto fail;
    }
    d->dom = lib->p_virDomainLookupByName(d->conn, domain);
    if (!d->dom) {
        rc = err_set(err, -ENOENT, "libvirt: domain '%s' at %s: %s", domain,
                     uri ? uri : "the default connection", reason());
        goto fail;
    }
    *out = d;
    return 0;
fail:
    lv_close(d);
    return rc;
}

void lv_close(struct lv *d)
{
    if (!d)
        return;
    if (d->held)
        (void)lib->p_virDomainResume(d->dom);
    if (d->dom)
        (void)lib->p_virDomainFree(d->dom);
    if (d->conn)
        (void)lib->p_virConnectClose(d->conn);
    if (d->loop_runs) {
        atomic_store(&d->closing, true);
        pthread_join(d->loop, NULL);
        (void)lib->p_virEventRemoveTimeout(d->timer);
    }
    free(d);
}

/* --- what it is made of ---------------------------------------------------------------------- */

/* The text of the first element that path names, or NULL. Owned by the caller (free()). */
static char *text_of(xmlXPathContextPtr x, const char *path)
{
    char *copy = NULL;
    xmlXPathObjectPtr o = lib->p_xmlXPathEvalExpression((const xmlChar *)path, x);
    if (o && o->nodesetval && o->nodesetval->nodeNr > 0) {
        xmlChar *t = lib->p_xmlNodeGetContent(o->nodesetval->nodeTab[0]);
        if (t && *t)
            copy = strdup((const char *)t);
        (*lib->p_xmlFree)(t);
    }
    lib->p_xmlXPathFreeObject(o);
    return copy;
}

/* Bytes in libvirt's units ("KiB" where none is given); 0 if it makes no sense. */
static uint64_t bytes_of(const char *number, const char *unit)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"b", 1},           {"bytes", 1},    {"KB", 1000},     {"k", 1u << 10},
                 {"KiB", 1u << 10},  {"MB", 1000000}, {"M", 1u << 20},  {"MiB", 1u << 20},
                 {"GB", 1000000000}, {"G", 1u << 30}, {"GiB", 1u << 30}};
    char *end;
    uint64_t bytes;

    if (!number || *number < '0' || *number > '9')
        return 0;
    errno = 0;
    const unsigned long long n = strtoull(number, &end, 10);
    if (errno || *end)
        return 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit ? unit : "KiB", units[i].name) == 0)
            return __builtin_mul_overflow(n, units[i].bytes, &bytes) ? 0 : bytes;
    return 0;
}

static int take_config(xmlXPathContextPtr x, const char *where, struct lv_config *out,
                       struct errmsg *err)
{
    char *arch = text_of(x, "/domain/os/type/@arch");
    char *memory = text_of(x, "/domain/memory");
    char *unit = text_of(x, "/domain/memory/@unit");
    int rc = 0;

    out->ram = bytes_of(memory, unit);
    out->kernel = text_of(x, "/domain/os/kernel");
    out->initrd = text_of(x, "/domain/os/initrd");
    out->cmdline = text_of(x, "/domain/os/cmdline");
    if (arch && strcmp(arch, "i686") != 0 && strcmp(arch, "x86_64") != 0)
        rc = err_set(err, -EINVAL, "libvirt: %s: <os><type arch='%s'>: only i686 can be run", where,
                     arch);
    else if (!out->ram)
        rc = err_set(err, -EINVAL, "libvirt: %s: <memory>: '%s %s' is no size", where,
                     memory ? memory : "", unit ? unit : "KiB");
    free(arch);
    free(memory);
    free(unit);
    return rc;
}

int lv_config_parse(const char *xml, const char *where, struct lv_config *out, struct errmsg *err)
{
    int rc;
    *out = (struct lv_config){0};
    if (!(lib = lv_load(err)))
        return -ENOTSUP;
    const size_t len = strlen(xml);
    xmlDocPtr doc =
        len > INT32_MAX
            ? NULL
            : lib->p_xmlReadMemory(xml, (int)len, NULL, NULL,
                                   XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc)
        return err_set(err, -EINVAL, "libvirt: %s: its XML cannot be read", where);
    xmlXPathContextPtr x = lib->p_xmlXPathNewContext(doc);
    if (x)
        rc = take_config(x, where, out, err);
    else
        rc = err_set(err, -ENOMEM, "out of memory");
    lib->p_xmlXPathFreeContext(x);
    lib->p_xmlFreeDoc(doc);
    if (rc < 0)
        lv_config_free(out);
    return rc;
}

int lv_config(struct lv *d, struct lv_config *out, struct errmsg *err)
{
    *out = (struct lv_config){0};
    char *xml = lib->p_virDomainGetXMLDesc(d->dom, 0);
    if (!xml)
        return err_set(err, -EIO, "libvirt: domain '%s': %s", d->name, reason());
    const int rc = lv_config_parse(xml, d->name, out, err);
    free(xml);
    return rc;
}

void lv_config_free(struct lv_config *c)
{
    free(c->kernel);
    free(c->initrd);
    free(c->cmdline);
    *c = (struct lv_config){0};
}

/* --- registers and memory -------------------------------------------------------------------- */

int lv_hold(struct lv *d, struct errmsg *err)
{
    int state = VIR_DOMAIN_NOSTATE;
    if (lib->p_virDomainGetState(d->dom, &state, NULL, 0) < 0)
        return err_set(err, -EIO, "libvirt: domain '%s': %s", d->name, reason());
    if (state == VIR_DOMAIN_PAUSED)
        return 0;
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED)
        return err_set(err, -ENODEV, "libvirt: domain '%s' is not running", d->name);
    if (lib->p_virDomainSuspend(d->dom) < 0)
        return err_set(err, -EIO, "libvirt: stopping domain '%s': %s", d->name, reason());
    d->held = true;
    return 0;
}

int lv_registers(struct lv *d, struct lv_regs *out, struct errmsg *err)
{
    char *text = NULL;
    if (lib->p_virDomainQemuMonitorCommand(d->dom, "info registers", &text,
                                           VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) < 0) {
        const virErrorPtr e = lib->p_virGetLastError();
        const bool other = e && (e->code == VIR_ERR_NO_SUPPORT || e->code == VIR_ERR_INVALID_CONN);
        return err_set(err, other ? -ENOTSUP : -EIO,
                       "libvirt: registers of domain '%s': %s (only QEMU's driver tells them)",
                       d->name, reason());
    }
    const int rc = text ? lv_registers_parse(text, out) : -EINVAL;
    free(text);
    return rc < 0 ? err_set(err, -EIO,
                            "libvirt: domain '%s': its registers are not those of a 32-bit guest",
                            d->name)
                  : 0;
}

int lv_read(struct lv *d, gpa_t gpa, void *buf, uint32_t len, struct errmsg *err)
{
    if (lib->p_virDomainMemoryPeek(d->dom, gpa, len, buf, VIR_MEMORY_PHYSICAL) == 0)
        return 0;
    return err ? err_set(err, -EIO, "libvirt: memory of domain '%s' at %09llx: %s", d->name,
                         (unsigned long long)gpa, reason())
               : -EIO;
}
