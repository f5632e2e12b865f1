/* Files behind disks: what is refused, locks, sizes, overlays. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/failpoint.h"
#include "vmm/dev/disk.h"

static char path[64];
static struct errmsg err;
static uint8_t buf[8 * 512], want[8 * 512];

static void make(size_t bytes)
{
    static uint8_t byte[1 << 16];
    strcpy(path, "/tmp/umbra-disk-XXXXXX");
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    for (size_t i = 0; i < bytes; i++)
        byte[i] = (uint8_t)(i / 512 + 1);
    cr_assert_eq(write(fd, byte, bytes), (ssize_t)bytes);
    close(fd);
}

static void clean(void)
{
    if (path[0])
        unlink(path);
}
TestSuite(disk, .fini = clean);

static struct disk *open_with(struct disk_opts o)
{
    struct disk *d = NULL;
    o.path = path;
    cr_assert_eq(disk_open(&o, &d, &err), 0, "%s", err.text);
    return d;
}

static int refused(struct disk_opts o)
{
    struct disk *d = NULL;
    if (!o.path)
        o.path = path;
    const int rc = disk_open(&o, &d, &err);
    cr_assert_lt(rc, 0);
    cr_assert_not_null(strstr(err.text, o.path), "%s", err.text);
    return rc;
}

Test(disk, what_is_no_disk)
{
    cr_assert_eq(refused((struct disk_opts){.path = "/nonexistent/disk"}), -ENOENT);
    cr_assert_eq(refused((struct disk_opts){.path = "/dev/zero", .readonly = true}), -EINVAL);
    cr_assert_eq(refused((struct disk_opts){.path = "/tmp", .readonly = true}), -EINVAL);
    make(0);
    cr_assert_eq(refused((struct disk_opts){0}), -EINVAL);
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(refused((struct disk_opts){.readonly = true}), -EINVAL, "and it does not wait");
}

Test(disk, a_format_is_not_taken_for_a_disk_unless_asked)
{
    make(4096);
    const int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "QFI\xfb", 4, 0), 4);
    close(fd);
    cr_assert_eq(refused((struct disk_opts){.snapshot = true}), -EINVAL);
    cr_assert_not_null(strstr(err.text, "qcow2"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "format=raw"), "%s", err.text);
    struct disk *d = open_with((struct disk_opts){.snapshot = true, .raw = true});
    cr_assert_eq(disk_sectors(d), 8);
    disk_close(d);
}

Test(disk, one_may_write_or_many_read)
{
    make(4096);
    struct disk *a = open_with((struct disk_opts){0});
    cr_assert_eq(refused((struct disk_opts){0}), -EBUSY);
    cr_assert_eq(refused((struct disk_opts){.readonly = true}), -EBUSY);
    disk_close(a);
    a = open_with((struct disk_opts){.readonly = true});
    struct disk *b = open_with((struct disk_opts){.snapshot = true});
    cr_assert_eq(refused((struct disk_opts){0}), -EBUSY);
    disk_close(a);
    disk_close(b);
    disk_close(open_with((struct disk_opts){0}));
}

Test(disk, the_last_sector_is_filled_up_with_zeros)
{
    make(1000);
    struct disk *d = open_with((struct disk_opts){.snapshot = true, .unit = DISK_CD_SECTOR});
    cr_assert_eq(disk_sectors(d), 4);
    cr_assert_eq(disk_padding(d), 2048 - 1000);
    cr_assert_eq(disk_read(d, 0, 4, buf), 0);
    for (unsigned i = 0; i < 2048; i++)
        cr_assert_eq(buf[i], i < 1000 ? i / 512 + 1 : 0);
    disk_close(d);
    d = open_with((struct disk_opts){0});
    cr_assert_eq(disk_sectors(d), 2);
    memset(buf, 9, 512);
    cr_assert_eq(disk_write(d, 1, 1, buf), 0);
    cr_assert_eq(disk_padding(d), 0, "the file is whole now");
    cr_assert_eq(disk_read(d, 1, 1, want), 0);
    cr_assert_arr_eq(buf, want, 512);
    disk_close(d);
}

Test(disk, ranges_do_not_wrap)
{
    make(4096);
    struct disk *d = open_with((struct disk_opts){0});
    cr_assert_eq(disk_read(d, 8, 0, buf), 0);
    cr_assert_eq(disk_read(d, 8, 1, buf), -ERANGE);
    cr_assert_eq(disk_read(d, 7, 2, buf), -ERANGE);
    cr_assert_eq(disk_read(d, UINT64_MAX, 1, buf), -ERANGE);
    cr_assert_eq(disk_write(d, UINT64_MAX, 2, buf), -ERANGE);
    cr_assert_eq(disk_write(d, UINT64_MAX / 512 + 1, 1, buf), -ERANGE);
    disk_close(d);
}

Test(disk, an_overlay_is_the_disk_with_what_was_written)
{
    uint8_t model[64 * 512];
    uint32_t r = 1;
    make(sizeof model);
    for (size_t i = 0; i < sizeof model; i++)
        model[i] = (uint8_t)(i / 512 + 1);
    struct disk *d = open_with((struct disk_opts){.snapshot = true});
    for (unsigned step = 0; step < 3000; step++) {
        r = r * 1664525u + 1013904223u;
        const uint32_t at = r >> 8 & 63, n = 1 + (r >> 16) % 8;
        const uint32_t len = at + n > 64 ? 64 - at : n;
        if (r >> 30) {
            cr_assert_eq(disk_read(d, at, len, buf), 0);
            cr_assert_arr_eq(buf, model + at * 512, len * 512);
        } else {
            memset(model + at * 512, (int)step, len * 512);
            cr_assert_eq(disk_write(d, at, len, model + at * 512), 0);
        }
    }
    struct disk_stats s;
    disk_get_stats(d, &s);
    cr_assert_leq(s.overlay_sectors, 64);
    disk_close(d);
    d = open_with((struct disk_opts){.readonly = true});
    cr_assert_eq(disk_read(d, 5, 1, buf), 0);
    cr_assert_eq(buf[0], 6, "the file is as it was");
    disk_close(d);
}

Test(disk, each_call_of_the_host_failing_is_told_and_counted)
{
    struct failpoint fail = {0};
    struct disk_stats s;
    make(4096);
    struct disk *d = open_with((struct disk_opts){.fail = &fail});
    fail_arm(&fail, FAIL_READ, 1, false);
    cr_assert_eq(disk_read(d, 0, 2, buf), -EIO);
    fail_arm(&fail, FAIL_WRITE, 1, false);
    cr_assert_eq(disk_write(d, 0, 2, buf), -EIO);
    fail_arm(&fail, FAIL_WRITE, 1, false);
    cr_assert_eq(disk_flush(d), -EIO);
    disk_get_stats(d, &s);
    cr_assert_eq(s.read_errors, 1);
    cr_assert_eq(s.write_errors, 2);
    cr_assert_eq(disk_flush(d), 0);
    cr_assert_eq(truncate(path, 512), 0);
    cr_assert_eq(disk_read(d, 2, 1, buf), -EIO, "a file that has shrunk");
    disk_close(d);
}

Test(disk, an_overlay_needs_a_directory)
{
    make(4096);
    setenv("TMPDIR", "/nonexistent", 1);
    cr_assert_eq(refused((struct disk_opts){.snapshot = true}), -ENOENT);
    cr_assert_not_null(strstr(err.text, "TMPDIR"));
}
