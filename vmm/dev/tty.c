#include "vmm/dev/tty.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* A process has one controlling terminal, and a signal handler has no argument: so this state is
 * the process's. It is written before the handlers can see fd >= 0. */
static struct {
    volatile sig_atomic_t fd;
    struct termios cooked, raw;
    bool hooked;
} tty = {.fd = -1};

static const int deadly[] = {SIGHUP, SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGALRM,
                             SIGILL, SIGABRT, SIGFPE,  SIGSEGV, SIGBUS,  SIGXCPU};

bool tty_ours(int fd)
{
    return isatty(fd) && tcgetpgrp(fd) == getpgrp();
}

void tty_restore(void)
{
    int fd = tty.fd;
    if (fd < 0)
        return;
    tty.fd = -1;
    if (tty_ours(fd))
        tcsetattr(fd, TCSANOW, &tty.cooked);
}

static void on_deadly(int sig)
{
    int saved = errno;
    tty_restore();
    errno = saved;
    /* SA_RESETHAND made the disposition default again: the signal now does what it would have done.
     */
    raise(sig);
}

static void on_continue(int sig)
{
    (void)sig;
    int saved = errno;
    int fd = tty.fd;
    if (fd >= 0 && tty_ours(fd))
        tcsetattr(fd, TCSANOW, &tty.raw);
    errno = saved;
}

/* Handlers only where nobody has put one: a program that handles SIGTERM ends by exit(). */
static void hook(int sig, void (*handler)(int), unsigned flags)
{
    struct sigaction old, sa = {.sa_handler = handler, .sa_flags = (int)flags};
    sigemptyset(&sa.sa_mask);
    if (sigaction(sig, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
        old.sa_handler == SIG_DFL)
        sigaction(sig, &sa, NULL);
}

int tty_raw(int fd)
{
    if (tty.fd >= 0)
        return -EBUSY;
    if (tcgetattr(fd, &tty.cooked) < 0)
        return -errno;
    tty.raw = tty.cooked;
    tty.raw.c_iflag &=
        ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    tty.raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    tty.raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    tty.raw.c_cflag |= CS8;
    tty.raw.c_cc[VMIN] = 1;
    tty.raw.c_cc[VTIME] = 0;
    if (!tty.hooked) {
        tty.hooked = true;
        atexit(tty_restore);
        for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
            hook(deadly[i], on_deadly, SA_RESETHAND);
        hook(SIGCONT, on_continue, SA_RESTART);
    }
    tty.fd = fd;
    if (tcsetattr(fd, TCSANOW, &tty.raw) < 0) {
        int err = errno;
        tty.fd = -1;
        return -err;
    }
    return 0;
}
