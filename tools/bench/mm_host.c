/*
 * The host kernel's own swap, for comparison: on a file, or on zram. A swap device of our own with
 * the highest priority takes 32 MiB of our own memory, which MADV_PAGEOUT sends out.
 *
 * What has been written to a file stays in the host's swap cache, and reading that back would
 * measure the cache. So the pages are read once (from the cache: they are then mapped and clean)
 * and sent out again, which drops them; mincore() confirms it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/bench/mm_bench.h"

/* The swap device that is on; a signal must not leave it behind. */
static char device[4200];

static void off_and_die(int sig)
{
    swapoff(device); // NOLINT(bugprone-signal-handler): a system call and no more
    signal(sig, SIG_DFL);
    raise(sig);
}

static bool refused(char *why, size_t len, const char *what, const char *reason)
{
    snprintf(why, len, "%s: %s", what, reason);
    return false;
}

/* Linux's header of a swap device: version 1, last page, no bad ones, and the magic at the end. */
static bool write_header(int fd, uint64_t bytes)
{
    static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
    static const char magic[] = {'S', 'W', 'A', 'P', 'S', 'P', 'A', 'C', 'E', '2'};
    const uint32_t head[3] = {1, (uint32_t)(bytes / PAGE_SIZE) - 1, 0};
    memset(page, 0, sizeof page);
    memcpy(page + 1024, head, sizeof head);
    memcpy(page + PAGE_SIZE - sizeof magic, magic, sizeof magic);
    return pwrite(fd, page, PAGE_SIZE, 0) == PAGE_SIZE && fsync(fd) == 0;
}

static bool device_on(const char *path, char *why, size_t len)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    if (swapon(path, SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK) < 0)
        return refused(why, len, "swapon", strerror(errno));
    snprintf(device, sizeof device, "%s", path);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], off_and_die);
    return true;
}

static void device_off(void)
{
    must(swapoff(device) == 0, "swapoff");
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
}

/* --- pages ------------------------------------------------------------------------------------ */

static uint32_t in_core(uint8_t *m)
{
    static unsigned char v[SWAP_PAGES];
    uint32_t n = 0;
    must(mincore(m, (size_t)SWAP_PAGES * PAGE_SIZE, v) == 0, "mincore");
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        n += v[i] & 1;
    return n;
}

static double touch(volatile uint8_t *m, bool scatter, bool write)
{
    const uint64_t t = bench_now();
    for (uint32_t i = 0; i < SWAP_PAGES; i++) {
        volatile uint8_t *at = m + (size_t)(scatter ? scattered(i, SWAP_PAGES) : i) * PAGE_SIZE;
        const uint8_t b = *at;
        if (write)
            *at = (uint8_t)(b + 1);
    }
    return (double)(bench_now() - t) / SWAP_PAGES;
}

/* Writes that the block device under fd has not ended yet; -1: it does not say. */
static int writes_in_flight(int fd)
{
    char path[64];
    struct stat st;
    int r = -1;
    unsigned reads, writes;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    const dev_t dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/inflight", major(dev), minor(dev));
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%u %u", &reads, &writes) == 2)
        r = (int)writes;
    if (f)
        fclose(f);
    return r;
}

/* Everything out and out of the swap cache; ns a page until it was written, 0: cannot be told. */
static double all_out(uint8_t *m, int fd)
{
    const size_t len = (size_t)SWAP_PAGES * PAGE_SIZE;
    int writes;
    uint64_t t = bench_now();
    must(madvise(m, len, MADV_PAGEOUT) == 0, "MADV_PAGEOUT");
    const uint64_t end = t + 2000000000u;
    while ((writes = writes_in_flight(fd)) > 0 && bench_now() < end)
        usleep(50);
    t = bench_now() - t;
    for (int i = 0; i < 50 && in_core(m) > 0; i++) {
        touch(m, false, false);
        must(madvise(m, len, MADV_PAGEOUT) == 0, "MADV_PAGEOUT");
        if (in_core(m) > 0)
            usleep(20000); /* some are being written still */
    }
    return writes == 0 ? (double)t / SWAP_PAGES : 0;
}

/* False: pages do not leave. */
static bool measure(int fd, int rounds, bool compressible, struct swap_times *out)
{
    const size_t len = (size_t)SWAP_PAGES * PAGE_SIZE;
    struct sample o = {0}, order = {0}, rnd = {0};
    uint8_t *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(m != MAP_FAILED, "mmap");
    madvise(m, len, MADV_NOHUGEPAGE);
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        noise(m + (size_t)i * PAGE_SIZE, i, compressible);
    bool gone = true;
    for (int i = 0; i < rounds && gone; i++) {
        add(&o, all_out(m, fd));
        gone = in_core(m) < SWAP_PAGES / 100;
        add(&rnd, touch(m, true, true));
        add(&o, all_out(m, fd));
        add(&order, touch(m, false, true));
    }
    *out = (struct swap_times){mid(&o), mid(&order), mid(&rnd)};
    munmap(m, len);
    return gone;
}

/* --- a file ------------------------------------------------------------------------------------
 */

bool host_swap_file(const char *path, int rounds, struct swap_times *out, char *why, size_t len)
{
    const uint64_t bytes = (uint64_t)4 * SWAP_PAGES * PAGE_SIZE;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return refused(why, len, path, strerror(errno));
    bool ok = fchmod(fd, 0600) == 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0 &&
              write_header(fd, bytes);
    if (!ok)
        refused(why, len, path, "cannot be made a swap file");
    ok = ok && device_on(path, why, len);
    if (ok) {
        if (!measure(fd, rounds, false, out))
            ok = refused(why, len, "MADV_PAGEOUT", "pages do not leave");
        device_off();
    }
    close(fd);
    unlink(path);
    return ok;
}

/* --- zram --------------------------------------------------------------------------------------
 */

static bool sysfs(const char *id, const char *name, const char *text, char *got, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/block/zram%s/%s", id, name);
    const int fd = open(path, (text ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    ssize_t n = -1;
    if (fd >= 0) {
        n = text ? write(fd, text, strlen(text)) : read(fd, got, len - 1);
        close(fd);
    }
    if (!text && n >= 0)
        got[n] = '\0';
    return n > 0;
}

static void zram_remove(const char *id)
{
    const int fd = open("/sys/class/zram-control/hot_remove", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, id, strlen(id)) < 0)
        perror("bench_mm: removing the zram device");
    close(fd);
}

/* A node of our own, for where /dev does not follow the kernel. */
static bool zram_node(const char *id, const char *node)
{
    char dev[32];
    unsigned maj, min;
    unlink(node);
    return sysfs(id, "dev", NULL, dev, sizeof dev) && sscanf(dev, "%u:%u", &maj, &min) == 2 &&
           mknod(node, S_IFBLK | 0600, makedev(maj, min)) == 0;
}

static bool zram_measure(const char *id, const char *node, int rounds, struct swap_times *out,
                         char *why, size_t len)
{
    const uint64_t bytes = (uint64_t)4 * SWAP_PAGES * PAGE_SIZE;
    char size[32];
    snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    if (!sysfs(id, "comp_algorithm", "lz4", NULL, 0) || !sysfs(id, "disksize", size, NULL, 0) ||
        !zram_node(id, node))
        return refused(why, len, "zram", "a new device cannot be set up");
    const int fd = open(node, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && write_header(fd, bytes);
    if (!ok)
        refused(why, len, "zram", strerror(errno));
    ok = ok && device_on(node, why, len);
    if (ok) {
        if (!measure(fd, rounds, true, out))
            ok = refused(why, len, "MADV_PAGEOUT", "pages do not leave");
        device_off();
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

bool host_swap_zram(const char *node, int rounds, struct swap_times *out, char *why, size_t len)
{
    char id[16] = "";
    const int fd = open("/sys/class/zram-control/hot_add", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof id - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return refused(why, len, "zram", "no such device here, or no permission");
    id[strcspn(id, "\n")] = '\0';
    const bool ok = zram_measure(id, node, rounds, out, why, len);
    unlink(node);
    zram_remove(id);
    return ok;
}
