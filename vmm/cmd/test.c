/*
 * umbra test: run test guests, each in a process of its own, and say in one list what they found.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/opts.h"
#include "vmm/cmd/test_guest.h"
#include "vmm/stats.h"
#include "vmm/value.h"

#define JOBS_MAX   64
#define GUESTS_MAX 512
#define GRACE_NS   10000000000ull /* beyond a guest's time limit, for umbra itself */

enum { O_ENGINE = 1, O_RING0, O_JSON, O_JOBS, O_TIMEOUT, O_AUDIT, O_LIST };

static const struct opt table[] = {
    {"engine", O_ENGINE, OPT_VALUE},
    {"ring0", O_RING0, OPT_VALUE},
    {"json", O_JSON, OPT_NONE},
    {"j", O_JOBS, OPT_VALUE},
    {"jobs", O_JOBS, OPT_VALUE},
    {"timeout", O_TIMEOUT, OPT_VALUE},
    {"audit", O_AUDIT, OPT_MAYBE},
    {"list", O_LIST, OPT_NONE},
    {NULL, 0, OPT_NONE},
};

struct suite {
    struct test_opts opts;
    bool json, list;
    unsigned jobs;
    char audit[40], dir[64], exe_dir[4096];
    struct test_guest *guest;
    unsigned n;
    unsigned failed, points;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    stopped = sig;
}

/* --- which guests ---------------------------------------------------------------------------- */

static int add_guest(struct suite *s, const char *path, bool asked)
{
    struct errmsg err;
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = strrchr(base, '.');
    if (s->n == GUESTS_MAX)
        return cmd_usage("test", "more than %d guests", GUESTS_MAX);
    struct test_guest *g = &s->guest[s->n];
    *g = (struct test_guest){.fd = -1};
    snprintf(g->name, sizeof g->name, "%.*s", (int)(dot ? dot - base : (long)strlen(base)), base);
    if (snprintf(g->path, sizeof g->path, "%s", path) >= (int)sizeof g->path)
        return cmd_fail("test", UMBRA_EXIT_USAGE, "%.80s...: the path is too long", path);
    const int rc = test_read_needs(g, &err);
    if (rc < 0)
        return cmd_fail("test", UMBRA_EXIT_USAGE, "%s", err.text);
    if (rc == 0 && asked)
        return cmd_fail("test", UMBRA_EXIT_USAGE,
                        "%s: no test guest (its image does not say \"umbra-test:\" and what it "
                        "needs)",
                        path);
    s->n += rc > 0;
    return 0;
}

/* Where this build's guests lie: beside the binary's folder, or where it was installed. */
static bool guest_dir(struct suite *s, char *dir, size_t len)
{
    static const char *const places[] = {"../guest", "../libexec/umbra/guest"};
    const ssize_t n = readlink("/proc/self/exe", s->exe_dir, sizeof s->exe_dir - 1);
    if (n <= 0)
        return false;
    s->exe_dir[n] = '\0';
    *strrchr(s->exe_dir, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(dir, len, "%s/%s", s->exe_dir, places[i]);
        if (access(dir, R_OK | X_OK) == 0)
            return true;
    }
    return false;
}

static int is_image(const struct dirent *d)
{
    const size_t len = strlen(d->d_name);
    return len > 4 && strcmp(d->d_name + len - 4, ".elf") == 0;
}

static int add_all(struct suite *s)
{
    char dir[4200], path[4500];
    struct dirent **list;
    int rc = 0;
    if (!guest_dir(s, dir, sizeof dir))
        return cmd_fail("test", UMBRA_EXIT_USAGE,
                        "no guests beside this binary (%s/../guest): name images", s->exe_dir);
    const int n = scandir(dir, &list, is_image, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (!rc)
            rc = add_guest(s, path, false);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    if (!rc && s->n == 0)
        return cmd_fail("test", UMBRA_EXIT_USAGE, "no test guests in %s", dir);
    return rc;
}

/* A path, or the name of one of the build's. */
static int add_named(struct suite *s, const char *word)
{
    char dir[4200], path[4500];
    if (strchr(word, '/') || access(word, F_OK) == 0 || !guest_dir(s, dir, sizeof dir))
        return add_guest(s, word, true);
    snprintf(path, sizeof path, "%s/%.200s.elf", dir, word);
    return add_guest(s, path, true);
}

/* --- the command line ------------------------------------------------------------------------ */

static int take_option(struct suite *s, const struct opts *o, int id)
{
    static const char *const engines[] = {"auto", "kvm", "soft", NULL};
    static const char *const rings[] = {"auto", "native", "soft", NULL};
    struct errmsg e;
    uint64_t n = 0;
    int choice, rc = 0;
    switch (id) {
    case O_ENGINE:
        rc = value_choice(o->value, engines, &choice, &e);
        s->opts.engine = o->value;
        break;
    case O_RING0:
        rc = value_choice(o->value, rings, &choice, &e);
        s->opts.ring0 = o->value;
        break;
    case O_JSON: s->json = true; break;
    case O_LIST: s->list = true; break;
    case O_JOBS:
        rc = value_u64(o->value, 1, JOBS_MAX, &n, &e);
        s->jobs = (unsigned)n;
        break;
    case O_TIMEOUT:
        rc = value_u64(o->value, 1, 1000000, &n, &e);
        s->opts.timeout_s = (unsigned)n;
        break;
    case O_AUDIT:
        if (o->value)
            rc = value_u64(o->value, 1, UINT32_MAX, &n, &e);
        snprintf(s->audit, sizeof s->audit, "--audit=%u", o->value && !rc ? (unsigned)n : 1);
        s->opts.audit = s->audit;
        break;
    case OPTS_WORD: return add_named(s, o->value);
    default: return cmd_usage("test", "%s", o->err.text);
    }
    return rc < 0 ? cmd_usage("test", "--%s: %s", o->name, e.text) : 0;
}

static int parse(struct suite *s, int argc, char **argv)
{
    struct opts o;
    opts_init(&o, argc, argv, table);
    for (int id; (id = opts_next(&o)) != OPTS_END;) {
        const int rc = take_option(s, &o, id);
        if (rc)
            return rc;
    }
    return s->n ? 0 : add_all(s);
}

/* --- running --------------------------------------------------------------------------------- */

static void poll_some(struct suite *s)
{
    struct pollfd fds[JOBS_MAX];
    struct test_guest *of[JOBS_MAX];
    const uint64_t limit = s->opts.timeout_s * 1000000000ull + GRACE_NS;
    nfds_t n = 0;
    for (unsigned i = 0; i < s->n; i++) {
        struct test_guest *g = &s->guest[i];
        if (!g->pid)
            continue;
        if (!g->overdue && stats_now() - g->started > limit) {
            g->overdue = true;
            kill(g->pid, SIGKILL);
        }
        fds[n] = (struct pollfd){.fd = g->fd, .events = POLLIN};
        of[n++] = g;
    }
    if (poll(fds, n, 500) <= 0)
        return;
    for (nfds_t i = 0; i < n; i++) {
        if (fds[i].revents)
            test_input(of[i]);
        if (of[i]->fd < 0)
            test_reap(of[i]);
    }
}

/* Print what is done, in the order asked for. */
static void report_done(struct suite *s, unsigned *next)
{
    for (; *next < s->n && s->guest[*next].done; ++*next) {
        unsigned points;
        char why[200];
        const struct test_guest *g = &s->guest[*next];
        if (s->json) {
            s->failed += g->failed + (test_verdict(g, why, sizeof why) != NULL);
            continue;
        }
        s->failed += test_report_tap(g, s->points + 1, &points);
        s->points += points;
        fflush(stdout);
    }
}

static int run_all(struct suite *s)
{
    unsigned started = 0, reported = 0;
    struct errmsg err;
    if (!s->json)
        printf("TAP version 13\n");
    while (reported < s->n && !stopped) {
        unsigned running = 0;
        for (unsigned i = 0; i < started; i++)
            running += s->guest[i].pid != 0;
        for (; running < s->jobs && started < s->n; running++) {
            struct test_guest *g = &s->guest[started++];
            if (test_prepare(g, &s->opts, &err) < 0)
                return cmd_fail("test", UMBRA_EXIT_HOST, "%s", err.text);
            const int rc = test_start(g);
            if (rc < 0)
                return cmd_fail("test", UMBRA_EXIT_HOST, "%s: %s", g->name, strerror(-rc));
        }
        poll_some(s);
        report_done(s, &reported);
    }
    if (stopped)
        return cmd_fail("test", 128 + stopped, "interrupted");
    if (s->json)
        test_report_json(s->guest, s->n, &s->opts);
    else
        printf("1..%u\n", s->points);
    return s->failed ? 1 : 0;
}

/* --- the files that guests need -------------------------------------------------------------- */

static int make_dir(struct suite *s)
{
    const char *tmp = getenv("TMPDIR");
    static char path[4096];
    if (snprintf(path, sizeof path, "%s/umbra-test-XXXXXX", tmp && *tmp ? tmp : "/tmp") >=
            (int)sizeof path ||
        !mkdtemp(path))
        return cmd_fail("test", UMBRA_EXIT_HOST, "%s: %s", path, strerror(errno));
    s->opts.dir = path;
    return 0;
}

static void remove_dir(const struct suite *s)
{
    DIR *d = opendir(s->opts.dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(s->opts.dir);
}

static void clean_up(struct suite *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct test_guest *g = &s->guest[i];
        if (g->pid) {
            kill(g->pid, SIGKILL);
            test_reap(g);
        }
        if (g->fd >= 0)
            close(g->fd);
        test_free(g);
    }
}

static int cmd_test_main(int argc, char **argv)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct suite s = {.opts.timeout_s = 60,
                      .jobs = cpus < 1          ? 1
                              : cpus > JOBS_MAX ? JOBS_MAX
                                                : (unsigned)cpus};
    const struct sigaction sa = {.sa_handler = on_signal};

    s.guest = calloc(GUESTS_MAX, sizeof *s.guest);
    if (!s.guest)
        return cmd_fail("test", UMBRA_EXIT_HOST, "out of memory");
    int rc = parse(&s, argc, argv);
    if (!rc && s.list) {
        for (unsigned i = 0; i < s.n; i++)
            printf("%-20s %s\n", s.guest[i].name, s.guest[i].needs);
    } else if (!rc && !(rc = make_dir(&s))) {
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        rc = run_all(&s);
        clean_up(&s);
        remove_dir(&s);
    }
    free(s.guest);
    return rc;
}

const struct cmd cmd_test = {
    .name = "test",
    .args = "[GUEST...] [options]",
    .summary = "run test guests and report what they found",
    .help =
        "GUEST is an image, or the name of one of the guests that come with umbra; without any, "
        "all\n"
        "of these run. Each runs in a process of its own, with the memory and swap that its image\n"
        "asks for. The results come out as one list in the Test Anything Protocol, in the order\n"
        "asked for. A guest that crashes, does not end, or stops short counts as failed, with its\n"
        "last lines.\n"
        "\n"
        "  --engine auto|kvm|soft what runs the guests (as umbra run)\n"
        "  --ring0 auto|native|soft\n"
        "                         where ring 0 runs under kvm (as umbra run)\n"
        "  -j, --jobs N           so many guests at a time (as many as there are processors)\n"
        "  --timeout SECONDS      for each guest (60)\n"
        "  --audit[=N]            check every invariant after every N-th trap\n"
        "  --json                 JSON instead of TAP\n"
        "  --list                 only name the guests, and what they need\n"
        "\n"
        "Exit codes: 0 all passed; 1 something failed, or a bad command line; 3 the host lacks\n"
        "something.\n",
    .run = cmd_test_main,
};
