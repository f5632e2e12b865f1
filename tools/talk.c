/*
 * talk: hold a conversation with a command that has a console on its standard input and output.
 *
 *   talk [-e] [-l SECONDS] SCRIPT -- COMMAND...
 *
 * -e: escape sequences of a terminal are not part of the text, wherever they stand in it.
 *
 * SCRIPT has one step a line, in order:
 *   expect TEXT   read until TEXT comes, from where the step before left off
 *   send TEXT     write TEXT; \r \n \e \\ and \xHH are known
 *   mark NAME     say on standard error how many seconds after the start that was: "mark NAME 1.23"
 *   end           read until the command ends
 *   stop          end it (SIGTERM), and take that for success
 * Empty lines and lines that start with # count for nothing. What the command writes goes to
 * standard output. Exit status: the command's; 124 if a step did not come about within the limit
 * (60 s for each step) or before the command's end, with a line that says which; 2 if the script is
 * wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SCRIPT = 2, EXIT_STEP = 124, LINE = 4096 };

struct talk {
    pid_t pid;
    int to, from;
    double start, limit;
    char *got; /* what came and no step has looked for in vain */
    size_t len, cap;
    bool ended;
    bool plain; /* -e */
    enum { TEXT, ESCAPE, SEQUENCE } state;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool start(struct talk *t, char **argv)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return false;
    t->pid = fork();
    if (t->pid < 0)
        return false;
    if (t->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execvp(argv[0], argv);
        fprintf(stderr, "talk: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    t->to = in[1];
    t->from = out[0];
    t->start = now();
    return true;
}

/* Take the escape sequences out of the last n bytes; how many are left. */
static size_t without_escapes(struct talk *t, size_t n)
{
    char *const from_here = t->got + t->len, *to = from_here;
    for (const char *p = from_here; p < from_here + n; p++) {
        switch (t->state) {
        case TEXT:
            if (*p == '\033')
                t->state = ESCAPE;
            else
                *to++ = *p;
            break;
        case ESCAPE: t->state = *p == '[' ? SEQUENCE : TEXT; break;
        case SEQUENCE:
            if (*p >= '@' && *p <= '~')
                t->state = TEXT;
            break;
        }
    }
    return (size_t)(to - from_here);
}

/* Read what is there, waiting until the time `until`. false: time is up, or the command has ended.
 */
static bool read_more(struct talk *t, double until)
{
    const double left = until - now();
    struct pollfd p = {.fd = t->from, .events = POLLIN};

    if (left <= 0 || t->ended || poll(&p, 1, (int)(left * 1000) + 1) <= 0)
        return false;
    if (t->cap - t->len < LINE) {
        char *more = realloc(t->got, t->cap * 2 + LINE);
        if (!more)
            return false;
        t->got = more;
        t->cap = t->cap * 2 + LINE;
    }
    const ssize_t n = read(t->from, t->got + t->len, LINE);
    if (n <= 0) {
        t->ended = true;
        return false;
    }
    fwrite(t->got + t->len, 1, (size_t)n, stdout);
    fflush(stdout);
    t->len += t->plain ? without_escapes(t, (size_t)n) : (size_t)n;
    return true;
}

static bool expect(struct talk *t, const char *text)
{
    const double until = now() + t->limit;
    for (;;) {
        const char *at = t->len ? memmem(t->got, t->len, text, strlen(text)) : NULL;
        if (at) {
            const size_t used = (size_t)(at - t->got) + strlen(text);
            t->len -= used;
            memmove(t->got, t->got + used, t->len);
            return true;
        }
        if (!read_more(t, until))
            return false;
    }
}

/* Undo the escapes of a line of the script; the length of what is left, or -1. */
static ssize_t unescape(char *s)
{
    char *to = s;
    for (char *p = s; *p; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        char hex[3] = {0};
        char *end;
        switch (*++p) {
        case 'r': *to++ = '\r'; break;
        case 'n': *to++ = '\n'; break;
        case 'e': *to++ = '\033'; break;
        case '\\': *to++ = '\\'; break;
        case 'x':
            memcpy(hex, p + 1, p[1] ? 2 : 1);
            *to++ = (char)strtoul(hex, &end, 16);
            if (end != hex + 2)
                return -1;
            p += 2;
            break;
        default: return -1;
        }
    }
    return to - s;
}

static bool send_all(struct talk *t, const char *s, size_t n)
{
    while (n) {
        const ssize_t done = write(t->to, s, n);
        if (done < 0)
            return false;
        s += done;
        n -= (size_t)done;
    }
    return true;
}

static int status_of(struct talk *t)
{
    int st;
    while (waitpid(t->pid, &st, 0) < 0)
        if (errno != EINTR)
            return EXIT_SCRIPT;
    return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

/* One line of the script. 0: go on; else what talk ends with, less 1. */
static int step(struct talk *t, char *line, unsigned n)
{
    char *arg = strchr(line, ' ');
    if (arg)
        *arg++ = '\0';
    else
        arg = line + strlen(line);
    bool done = true;
    if (strcmp(line, "expect") == 0) {
        done = *arg && expect(t, arg);
    } else if (strcmp(line, "send") == 0) {
        const ssize_t len = unescape(arg);
        done = len >= 0 && send_all(t, arg, (size_t)len);
    } else if (strcmp(line, "mark") == 0) {
        fprintf(stderr, "mark %s %.2f\n", arg, now() - t->start);
    } else if (strcmp(line, "end") == 0) {
        const double until = now() + t->limit;
        while (read_more(t, until))
            t->len = 0;
        done = t->ended;
    } else if (strcmp(line, "stop") == 0) {
        kill(t->pid, SIGTERM);
        (void)status_of(t);
        return 1;
    } else {
        fprintf(stderr, "talk: line %u: there is no step '%s'\n", n, line);
        kill(t->pid, SIGTERM);
        return EXIT_SCRIPT + 1;
    }
    if (done)
        return 0;
    fprintf(stderr, "\ntalk: line %u: %s %s: %s\n", n, line, arg,
            t->ended ? "the command has ended before" : "did not come about in time");
    kill(t->pid, SIGTERM);
    return EXIT_STEP + 1;
}

static int talk(struct talk *t, FILE *script)
{
    char line[LINE];
    for (unsigned n = 1; fgets(line, sizeof line, script); n++) {
        line[strcspn(line, "\n")] = '\0';
        if (!*line || *line == '#')
            continue;
        const int rc = step(t, line, n);
        if (rc)
            return rc - 1;
    }
    close(t->to);
    const double until = now() + t->limit;
    while (read_more(t, until))
        t->len = 0;
    if (!t->ended) {
        fprintf(stderr, "\ntalk: the command did not end\n");
        kill(t->pid, SIGTERM);
        return EXIT_STEP;
    }
    return status_of(t);
}

int main(int argc, char **argv)
{
    struct talk t = {.limit = 60};
    int o;

    while ((o = getopt(argc, argv, "+el:")) != -1) {
        if (o == 'e') {
            t.plain = true;
        } else if (o != 'l' || (t.limit = atof(optarg)) <= 0) {
            fprintf(stderr, "usage: talk [-e] [-l SECONDS] SCRIPT -- COMMAND...\n");
            return EXIT_SCRIPT;
        }
    }
    if (argc - optind < 3 || strcmp(argv[optind + 1], "--") != 0) {
        fprintf(stderr, "usage: talk [-e] [-l SECONDS] SCRIPT -- COMMAND...\n");
        return EXIT_SCRIPT;
    }
    FILE *script = fopen(argv[optind], "re");
    if (!script) {
        fprintf(stderr, "talk: %s: %s\n", argv[optind], strerror(errno));
        return EXIT_SCRIPT;
    }
    signal(SIGPIPE, SIG_IGN);
    int rc = EXIT_SCRIPT;
    if (start(&t, argv + optind + 2))
        rc = talk(&t, script);
    else
        fprintf(stderr, "talk: %s\n", strerror(errno));
    fclose(script);
    free(t.got);
    return rc;
}
