/* See fault_host.h. */
#include "tools/bench/fault_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/types.h"
#include "tools/bench/bench.h"

static double touch(volatile uint8_t *m, size_t pages, bool write)
{
    uint64_t t = bench_now();
    for (size_t i = 0; i < pages; i++) {
        if (write)
            m[i * PAGE_SIZE] = 1;
        else
            (void)m[i * PAGE_SIZE];
    }
    t = bench_now() - t;
    return (double)t / (double)pages;
}

static uint8_t *fresh(size_t pages, int prot)
{
    uint8_t *m = mmap(NULL, pages * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    madvise(m, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
    return m;
}

/* --- SIGSEGV --------------------------------------------------------------------------------- */

/* For the handler, which has no other way to its data. Volatile: the compiler sees no call of it.
 */
static struct {
    volatile uintptr_t first, end;
    volatile int prot;
    volatile sig_atomic_t served;
} segv;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
    const uintptr_t at = (uintptr_t)si->si_addr & ~(uintptr_t)PAGE_MASK;
    (void)ctx;
    if (at < segv.first || at >= segv.end ||
        mprotect((void *)at, PAGE_SIZE, segv.prot) < 0) // NOLINT(performance-no-int-to-ptr)
        signal(sig, SIG_DFL);                           /* not ours: happens again, and kills */
    segv.served = segv.served + 1;
}

double bench_host_sigsegv(size_t pages, bool write)
{
    uint8_t *m = fresh(pages, PROT_NONE);
    struct sigaction old;
    const struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (!m)
        return -1;
    segv.first = (uintptr_t)m;
    segv.end = segv.first + pages * PAGE_SIZE;
    segv.prot = write ? PROT_READ | PROT_WRITE : PROT_READ;
    segv.served = 0;
    sigaction(SIGSEGV, &sa, &old);
    const double ns = touch(m, pages, write);
    sigaction(SIGSEGV, &old, NULL);
    munmap(m, pages * PAGE_SIZE);
    return (size_t)segv.served == pages ? ns : -1;
}

/* --- userfaultfd ----------------------------------------------------------------------------- */

struct uffd {
    int fd;
    uint8_t *m;
    size_t pages;
    bool write;
    _Atomic bool failed;
};

static int uffd_open(bool spin)
{
    const int flags = O_CLOEXEC | (spin ? O_NONBLOCK : 0);
    int fd = (int)syscall(SYS_userfaultfd, flags);
    if (fd < 0 && errno == EPERM)
        fd = (int)syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = {.api = UFFD_API};
    if (fd < 0)
        return -errno;
    if (ioctl(fd, UFFDIO_API, &api) < 0) {
        const int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int bench_host_uffd_allowed(void)
{
    const int fd = uffd_open(false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int fill(const struct uffd *u, uint64_t at, const void *from)
{
    if (u->write) {
        struct uffdio_copy c = {.dst = at, .src = (uintptr_t)from, .len = PAGE_SIZE};
        return ioctl(u->fd, UFFDIO_COPY, &c);
    }
    struct uffdio_zeropage z = {.range = {.start = at, .len = PAGE_SIZE}};
    return ioctl(u->fd, UFFDIO_ZEROPAGE, &z);
}

/* Serves one fault for each page, then ends. */
static void *serve(void *ctx)
{
    static const _Alignas(PAGE_SIZE) uint8_t zeros[PAGE_SIZE];
    struct uffd *u = ctx;
    struct uffd_msg msg;

    for (size_t served = 0; served < u->pages;) {
        const ssize_t n = read(u->fd, &msg, sizeof msg);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n != sizeof msg || msg.event != UFFD_EVENT_PAGEFAULT ||
            fill(u, msg.arg.pagefault.address & ~(uint64_t)PAGE_MASK, zeros) < 0) {
            struct uffdio_range r = {.start = (uintptr_t)u->m, .len = u->pages * PAGE_SIZE};
            u->failed = true;
            ioctl(u->fd, UFFDIO_UNREGISTER, &r); /* lets the other thread go on */
            return NULL;
        }
        served++;
    }
    return NULL;
}

double bench_host_uffd(size_t pages, bool write, bool spin)
{
    struct uffd u = {.pages = pages, .write = write, .m = fresh(pages, PROT_READ | PROT_WRITE)};
    struct uffdio_register reg = {
        .range = {.start = (uintptr_t)u.m, .len = pages * PAGE_SIZE},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    pthread_t thread;
    double ns = -1;

    if (!u.m)
        return -1;
    u.fd = uffd_open(spin);
    if (u.fd >= 0 && ioctl(u.fd, UFFDIO_REGISTER, &reg) == 0 &&
        pthread_create(&thread, NULL, serve, &u) == 0) {
        ns = touch(u.m, pages, write);
        pthread_join(thread, NULL);
    }
    if (u.fd >= 0)
        close(u.fd);
    munmap(u.m, pages * PAGE_SIZE);
    return u.failed ? -1 : ns;
}
