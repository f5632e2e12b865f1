/* See test_guest.h: needs, files, processes. */
#include "vmm/cmd/test_guest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/area.h"
#include "vmm/cmd/opts.h"
#include "vmm/stats.h"
#include "vmm/value.h"

/* --- needs ----------------------------------------------------------------------------------- */

static const char mark[] = "umbra-test: ";

/* An image may be anybody's: only plain characters go on. */
static bool plain(int c)
{
    return isalnum(c) || (c && strchr(" =._-/+,", c));
}

static int find_needs(struct test_guest *g, const char *image, size_t bytes)
{
    const char *at = memmem(image, bytes, mark, sizeof mark - 1);
    if (!at)
        return 0;
    at += sizeof mark - 1;
    size_t len = strnlen(at, bytes - (size_t)(at - image));
    if (len >= sizeof g->needs)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (!plain((unsigned char)at[i]))
            return 0;
    memcpy(g->needs, at, len);
    g->needs[len] = '\0';
    return 1;
}

int test_read_needs(struct test_guest *g, struct errmsg *err)
{
    struct stat st;
    const int fd = open(g->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        const int rc = -errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, rc, "%.300s: %s", g->path, strerror(-rc));
    }
    int rc = 0;
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            rc = find_needs(g, p, (size_t)st.st_size);
            munmap(p, (size_t)st.st_size);
        }
    }
    close(fd);
    return rc;
}

static int add(struct test_guest *g, const char *word)
{
    char *copy = g->argc + 1 < TEST_ARGS_MAX ? strdup(word) : NULL;
    if (!copy)
        return -ENOMEM;
    g->argv[g->argc++] = copy;
    return 0;
}

static int add2(struct test_guest *g, const char *option, const char *value)
{
    const int rc = add(g, option);
    return rc ? rc : add(g, value);
}

static int make_swap(const char *path, const char *size)
{
    struct errmsg e;
    struct mm_err me;
    uint64_t bytes;
    if (value_size(size, &bytes, &e) < 0)
        return -EINVAL;
    return area_format_with(path, bytes, &(struct area_format_opts){0}, &me);
}

/* Bytes that a guest can tell one from another: guest/mm_shared.c knows the rule. */
static int make_module(const char *path, const char *size)
{
    struct errmsg e;
    uint64_t bytes;
    if (value_size(size, &bytes, &e) < 0 || bytes > 1u << 24)
        return -EINVAL;
    FILE *f = fopen(path, "wxe");
    if (!f)
        return -errno;
    for (uint64_t i = 0; i < bytes; i++)
        putc((int)((i * 7 + (i >> 12) * 13 + 1) & 0xff), f);
    return fclose(f) == 0 ? 0 : -errno;
}

static int meet_need(struct test_guest *g, const struct test_opts *o, const char *name,
                     const char *value)
{
    char path[sizeof g->path + sizeof g->name + 16];
    snprintf(path, sizeof path, "%s/%s.%s", o->dir, g->name, name);
    if (strcmp(name, "m") == 0)
        return add2(g, "-m", value);
    if (strcmp(name, "pool") == 0)
        return add2(g, "--pool", value);
    if (strcmp(name, "zpool") == 0)
        return add2(g, "--zpool", value);
    if (strcmp(name, "append") == 0)
        return add2(g, "-append", value);
    if (strcmp(name, "swap") == 0) {
        const int rc = make_swap(path, value);
        return rc ? rc : add2(g, "--swap", path);
    }
    if (strcmp(name, "module") == 0) {
        const int rc = make_module(path, value);
        return rc ? rc : add2(g, "-initrd", path);
    }
    return -EINVAL;
}

static int meet_needs(struct test_guest *g, const struct test_opts *o, struct errmsg *err)
{
    char words[sizeof g->needs], *save = NULL;
    memcpy(words, g->needs, sizeof words);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        char *value = strchr(w, '=');
        int rc = -EINVAL;
        if (value) {
            *value++ = '\0';
            rc = meet_need(g, o, w, value);
        }
        if (rc < 0)
            return err_set(err, rc, "%s needs '%.40s=%.40s': %s", g->name, w, value ? value : "",
                           strerror(-rc));
    }
    return 0;
}

int test_prepare(struct test_guest *g, const struct test_opts *o, struct errmsg *err)
{
    char limit[32];
    snprintf(limit, sizeof limit, "%u", o->timeout_s);
    int rc = add2(g, "umbra", "run");
    if (!rc)
        rc = add2(g, g->path, "-q");
    if (!rc)
        rc = add2(g, "--timeout", limit);
    if (!rc && o->engine)
        rc = add2(g, "--engine", o->engine);
    if (!rc && o->ring0)
        rc = add2(g, "--ring0", o->ring0);
    if (!rc && o->audit)
        rc = add(g, o->audit);
    return rc ? err_set(err, rc, "%s", strerror(-rc)) : meet_needs(g, o, err);
}

/* --- the process ----------------------------------------------------------------------------- */

static _Noreturn void become(const struct test_guest *g, int out, pid_t parent)
{
    const int null = open("/dev/null", O_RDONLY);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* No guest outlives the command that runs it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(out, 2) < 0)
        _exit(127);
    execv("/proc/self/exe", g->argv);
    _exit(127);
}

int test_start(struct test_guest *g)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    const pid_t parent = getpid();
    g->pid = fork();
    if (g->pid == 0)
        become(g, p[1], parent);
    const int rc = g->pid < 0 ? -errno : 0;
    close(p[1]);
    if (rc < 0) {
        close(p[0]);
        g->pid = 0;
        return rc;
    }
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    g->fd = p[0];
    g->started = stats_now();
    return 0;
}

/* --- its output ------------------------------------------------------------------------------ */

static void add_point(struct test_guest *g, bool ok, const char *text)
{
    if (g->points == TEST_POINTS) {
        g->too_many = true;
        return;
    }
    if (g->points == g->room) {
        const unsigned room = g->room ? 2 * g->room : 64;
        struct test_point *more = realloc(g->point, room * sizeof *more);
        if (!more) {
            g->too_many = true;
            return;
        }
        g->point = more;
        g->room = room;
    }
    const char *skip = strstr(text, "# SKIP");
    g->point[g->points++] = (struct test_point){.ok = ok, .skip = ok && skip, .text = strdup(text)};
    g->failed += !ok;
    g->skipped += ok && skip;
}

static void add_note(struct test_guest *g, const char *line)
{
    struct test_point *p = g->points ? &g->point[g->points - 1] : NULL;
    if (!p || p->ok)
        return;
    const size_t have = p->notes ? strlen(p->notes) : 0, len = strlen(line);
    if (have + len + 2 > 8 * TEST_LINE)
        return;
    char *more = realloc(p->notes, have + len + 2);
    if (!more)
        return;
    snprintf(more + have, len + 2, "%s\n", line);
    p->notes = more;
}

static void take_line(struct test_guest *g)
{
    unsigned n;
    int at = 0;
    g->line[g->line_len] = '\0';
    g->line_len = 0;
    memcpy(g->last[g->lines++ % TEST_LAST], g->line, sizeof g->line);
    if (sscanf(g->line, "ok %u%n", &n, &at) == 1 && at > 0)
        add_point(g, true, g->line + at + strspn(g->line + at, " -"));
    else if (sscanf(g->line, "not ok %u%n", &n, &at) == 1 && at > 0)
        add_point(g, false, g->line + at + strspn(g->line + at, " -"));
    else if (sscanf(g->line, "1..%u", &n) == 1) {
        g->plan = n;
        g->planned = true;
    } else if (g->line[0] == '#') {
        add_note(g, g->line);
    }
}

static void take_byte(struct test_guest *g, unsigned char c)
{
    if (c == '\n') {
        take_line(g);
        return;
    }
    if (c == '\r' || g->line_len == TEST_LINE)
        return;
    g->line[g->line_len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
}

void test_input(struct test_guest *g)
{
    char buf[4096];
    const ssize_t n = read(g->fd, buf, sizeof buf);
    for (ssize_t i = 0; i < n; i++)
        take_byte(g, (unsigned char)buf[i]);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (g->line_len)
        take_line(g);
    close(g->fd);
    g->fd = -1;
}

void test_reap(struct test_guest *g)
{
    while (waitpid(g->pid, &g->status, 0) < 0 && errno == EINTR)
        ;
    g->pid = 0;
    g->done = true;
    g->ended = stats_now();
}

const char *test_verdict(const struct test_guest *g, char *buf, size_t len)
{
    if (g->overdue)
        snprintf(buf, len, "still running long after its time limit; killed");
    else if (WIFSIGNALED(g->status))
        snprintf(buf, len, "umbra was killed by signal %d", WTERMSIG(g->status));
    else if (WEXITSTATUS(g->status) == UMBRA_EXIT_TIMEOUT)
        snprintf(buf, len, "did not end within its time limit");
    else if (WEXITSTATUS(g->status) != 0 && g->failed == 0)
        snprintf(buf, len, "exit status %d", WEXITSTATUS(g->status));
    else if (g->too_many)
        snprintf(buf, len, "more than %d results", TEST_POINTS);
    else if (!g->planned)
        snprintf(buf, len, "it printed no plan: it did not get to its end");
    else if (g->plan != g->points)
        snprintf(buf, len, "%u results where %u were planned", g->points, g->plan);
    else
        return NULL;
    return buf;
}

void test_free(struct test_guest *g)
{
    for (int i = 0; i < g->argc; i++)
        free(g->argv[i]);
    for (unsigned i = 0; i < g->points; i++) {
        free(g->point[i].text);
        free(g->point[i].notes);
    }
    free(g->point);
}
