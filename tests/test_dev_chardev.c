/* The console on file descriptors: order, back-pressure, bounded waits, and the terminal's return.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmm/dev/chardev.h"

static _Atomic int inputs, quits;
static void on_input(void *ctx)
{
    (void)ctx;
    inputs++;
}
static void on_quit(void *ctx)
{
    (void)ctx;
    quits++;
}
static const struct chardev_events events = {on_input, on_quit, NULL};

static void ms(long n)
{
    nanosleep(&(struct timespec){n / 1000, n % 1000 * 1000000}, NULL);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int get_within(struct chardev *c, int limit_ms)
{
    for (int i = 0; i < limit_ms && !chardev_readable(c); i++)
        ms(1);
    return chardev_get(c);
}

Test(chardev, output_keeps_order_over_more_than_the_rings_size)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    pid_t reader = fork();
    if (reader == 0) {
        close(p[1]);
        uint32_t at = 0;
        uint8_t buf[1000];
        ssize_t n;
        while ((n = read(p[0], buf, sizeof buf)) > 0)
            for (ssize_t i = 0; i < n; i++)
                if (buf[i] != (uint8_t)(at++ * 7 >> 3))
                    _exit(1);
        _exit(at == 300000 ? 0 : 2);
    }
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, -1, p[1], events), 0);
    for (uint32_t i = 0; i < 300000; i++)
        chardev_put(c, (uint8_t)(i * 7 >> 3));
    cr_assert_eq(chardev_fds_dropped(c), 0u);
    chardev_close(c);
    close(p[1]);
    close(p[0]);
    int status;
    cr_assert_eq(waitpid(reader, &status, 0), reader);
    cr_assert_eq(status, 0);
}

Test(chardev, prompt_without_newline_appears_by_itself)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, -1, p[1], events), 0);
    chardev_put(c, '>');
    struct pollfd pf = {.fd = p[0], .events = POLLIN};
    cr_assert_eq(poll(&pf, 1, 2000), 1);
    chardev_close(c);
}

Test(chardev, input_arrives_whole_with_events_and_back_pressure)
{
    int p[2], null = open("/dev/null", O_WRONLY);
    cr_assert_eq(pipe(p), 0);
    pid_t writer = fork();
    if (writer == 0) {
        for (uint32_t i = 0; i < 50000; i++) {
            uint8_t b = (uint8_t)(i * 5 >> 2);
            if (write(p[1], &b, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(p[1]);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, p[0], null, events), 0);
    ms(50); /* let the ring fill */
    for (uint32_t i = 0; i < 50000; i++)
        cr_assert_eq(get_within(c, 5000), (uint8_t)(i * 5 >> 2), "byte %u", i);
    cr_assert_gt(inputs, 0);
    ms(20);
    cr_assert_eq(chardev_get(c), -1, "end of file is no byte");
    chardev_close(c);
    waitpid(writer, NULL, 0);
}

Test(chardev, pipe_input_has_no_escape_character)
{
    int p[2], null = open("/dev/null", O_WRONLY);
    cr_assert_eq(pipe(p), 0);
    cr_assert_eq(write(p[1], "\x01x", 2), 2);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, p[0], null, events), 0);
    cr_assert_eq(get_within(c, 2000), 1);
    cr_assert_eq(get_within(c, 2000), 'x');
    cr_assert_eq(quits, 0);
    chardev_close(c);
}

Test(chardev, stalled_reader_bounds_every_wait)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, -1, p[1], events), 0);
    double t = now();
    for (int i = 0; i < 400000; i++)
        chardev_put(c, 'x');
    cr_assert_not(chardev_writable(c));
    cr_assert_gt(chardev_fds_dropped(c), 100000u);
    cr_assert_lt(now() - t, 5.0, "one bounded wait, not one for each byte");
    chardev_close(c);
    cr_assert_lt(now() - t, 10.0);
}

Test(chardev, reader_who_leaves_ends_the_machine)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    close(p[0]);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, -1, p[1], events), 0);
    chardev_put(c, 'x');
    for (int i = 0; i < 2000 && quits == 0; i++)
        ms(1);
    cr_assert_eq(quits, 1);
    chardev_close(c);
}

Test(chardev, closed_standard_input_is_no_input)
{
    int null = open("/dev/null", O_WRONLY), gone = dup(null);
    close(gone);
    struct chardev *c;
    cr_assert_eq(chardev_fds_open(&c, gone, null, events), 0);
    ms(20);
    cr_assert_eq(chardev_get(c), -1);
    chardev_close(c);
}

/* Run body with a terminal of its own as its controlling one; returns the master side. */
static pid_t on_terminal(int *master, void (*body)(void))
{
    pid_t pid = forkpty(master, NULL, NULL, NULL);
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    return pid;
}

static bool raw_now(int master)
{
    struct termios t;
    return tcgetattr(master, &t) == 0 && !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static bool becomes(int master, bool raw)
{
    for (int i = 0; i < 3000 && raw_now(master) != raw; i++)
        ms(1);
    return raw_now(master) == raw;
}

/* Echo input, in brackets, until asked to quit. */
static void echo_machine(void)
{
    struct chardev *c;
    signal(SIGUSR1, SIG_IGN);
    if (chardev_fds_open(&c, 0, 1, events) != 0)
        _exit(9);
    while (quits == 0) {
        int b = chardev_get(c);
        if (b >= 0) {
            chardev_put(c, '[');
            chardev_put(c, (uint8_t)b);
            chardev_put(c, ']');
        }
        ms(1);
    }
    chardev_close(c);
    struct termios t;
    _exit(tcgetattr(0, &t) == 0 && (t.c_lflag & ICANON) ? 42 : 43);
}

static void expect(int master, const char *text)
{
    char buf[1024];
    size_t len = 0;
    struct pollfd pf = {.fd = master, .events = POLLIN};
    buf[0] = 0;
    while (!strstr(buf, text) && len < sizeof buf - 1 && poll(&pf, 1, 3000) == 1) {
        ssize_t n = read(master, buf + len, sizeof buf - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        buf[len] = 0;
    }
    cr_assert_not_null(strstr(buf, text), "waited for '%s', saw '%s'", text, buf);
}

Test(chardev, terminal_is_raw_and_escape_quits_and_restores)
{
    int m, status;
    pid_t pid = on_terminal(&m, echo_machine);
    cr_assert(becomes(m, true));
    cr_assert_eq(write(m, "\x03", 1), 1);
    expect(m, "[\x03]"); /* Ctrl-C is the guest's */
    cr_assert_eq(write(m, "\x01\x01", 2), 2);
    expect(m, "[\x01]");
    cr_assert_eq(write(m, "\x01h", 2), 2);
    expect(m, "end the machine");
    cr_assert_eq(write(m, "\x01x", 2), 2);
    expect(m, "Ctrl-A x");
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 42);
}

static void assert_restored_after(int sig)
{
    int m, status;
    pid_t pid = on_terminal(&m, echo_machine);
    cr_assert(becomes(m, true));
    /* Hold the slave side open: a terminal whose last user went is reset anyway. */
    int slave = open(ptsname(m), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    kill(pid, sig);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status), "the signal must still kill");
    cr_assert_eq(WTERMSIG(status), sig);
    cr_assert(!raw_now(slave), "after signal %d", sig);
    close(slave);
    close(m);
}

Test(chardev, terminal_is_restored_on_sigterm)
{
    assert_restored_after(SIGTERM);
}
Test(chardev, terminal_is_restored_on_sighup)
{
    assert_restored_after(SIGHUP);
}
Test(chardev, terminal_is_restored_on_abort)
{
    assert_restored_after(SIGABRT);
}

static void exit_machine(void)
{
    struct chardev *c;
    if (chardev_fds_open(&c, 0, 1, events) != 0)
        _exit(9);
    ms(200);
    exit(5); /* not a word to the chardev */
}

Test(chardev, terminal_is_restored_on_plain_exit)
{
    int m, status;
    pid_t pid = on_terminal(&m, exit_machine);
    cr_assert(becomes(m, true));
    int slave = open(ptsname(m), O_RDWR | O_NOCTTY);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(!raw_now(slave));
    close(slave);
}

/* --- a line that is listened to -------------------------------------------------------------- */

static char heard[CHARDEV_WATCH_LINE];
static int heard_times;

static void on_seen(void *ctx, const char *line)
{
    cr_assert_eq(ctx, (void *)heard);
    snprintf(heard, sizeof heard, "%s", line);
    heard_times++;
}

static struct chardev *listen_for(const char *text)
{
    struct chardev *c;
    heard_times = 0;
    cr_assert_eq(chardev_watch_open(&c, NULL, text, on_seen, heard), 0);
    return c;
}

static void say(struct chardev *c, const char *text)
{
    while (*text)
        chardev_put(c, (uint8_t)*text++);
}

Test(chardev, a_text_is_told_with_its_line)
{
    struct chardev *c = listen_for("aab");
    say(c, "aaa\naab");
    cr_assert_eq(heard_times, 0); /* the line goes on */
    say(c, " and \x01more\r\nb\n");
    cr_assert_eq(heard_times, 1);
    cr_assert_str_eq(heard, "aab and ?more");
    say(c, "aaaab\n"); /* overlapping beginnings */
    cr_assert_eq(heard_times, 2);
    say(c, "aa\nb\n"); /* not across lines */
    cr_assert_eq(heard_times, 2);
    chardev_close(c);
}

Test(chardev, a_line_without_end_is_told_as_far_as_it_can_be)
{
    struct chardev *c = listen_for("panic");
    say(c, "panic ");
    for (int i = 0; i < 1000; i++)
        say(c, "x");
    cr_assert_eq(heard_times, 1);
    cr_assert_eq(strlen(heard), CHARDEV_WATCH_LINE - 1u);
    chardev_close(c);
}

Test(chardev, a_text_behind_the_end_of_what_is_kept_is_found)
{
    struct chardev *c = listen_for("panic");
    for (int i = 0; i < 1000; i++)
        say(c, "x");
    say(c, "panic");
    cr_assert_eq(heard_times, 1);
    chardev_close(c);
}

Test(chardev, texts_that_cannot_be_waited_for_are_refused)
{
    char text[CHARDEV_WATCH_MAX + 2];
    struct chardev *c;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    cr_expect_eq(chardev_watch_open(&c, NULL, text, on_seen, NULL), -EINVAL);
    cr_expect_eq(chardev_watch_open(&c, NULL, "", on_seen, NULL), -EINVAL);
    cr_expect_eq(chardev_watch_open(&c, NULL, "a\nb", on_seen, NULL), -EINVAL);
}
