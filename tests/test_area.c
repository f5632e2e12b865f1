/*
 * The swap area as a file (behaviour 19): what mkswap makes, what is refused and with which words,
 * who may have it open, and what a killed user leaves.
 */
#include "area_kit.h"

#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "mm/area_head.h"

static int try_open(const char *path, struct mm_err *err)
{
    struct area *a = NULL;
    err->text[0] = 0;
    int e = area_open(path, NULL, &a, err);
    if (e == 0)
        area_close(a);
    return e;
}

#define REFUSED(path, code, words)                                                                 \
    do {                                                                                           \
        struct mm_err err_;                                                                        \
        int e_ = try_open(path, &err_);                                                            \
        cr_assert_eq(e_, code, "got %d (%s)", e_, err_.text);                                      \
        cr_assert(strstr(err_.text, path), "names the file: %s", err_.text);                       \
        cr_assert(strstr(err_.text, words), "says '%s': %s", words, err_.text);                    \
    } while (0)

#define FORMAT_REFUSED(path, bytes, code, words)                                                   \
    do {                                                                                           \
        struct mm_err err_ = {""};                                                                 \
        int e_ = area_format(path, bytes, &err_);                                                  \
        cr_assert_eq(e_, code, "got %d (%s)", e_, err_.text);                                      \
        cr_assert(strstr(err_.text, words), "says '%s': %s", words, err_.text);                    \
    } while (0)

static struct area_head head_of(const char *path)
{
    struct area_head h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, &h, sizeof h), (ssize_t)sizeof h);
    close(fd);
    return h;
}

static void put_head(const char *path, const struct area_head *h)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(write(fd, h, sizeof *h), (ssize_t)sizeof *h);
    close(fd);
}

Test(area, b19_header_keeps_what_was_asked_for)
{
    char *p = kit_area(100);
    struct area *a;
    struct area_info i;
    struct stat st;
    struct mm_err err;
    cr_assert_eq(area_open(p, NULL, &a, &err), 0, "%s", err.text);
    area_get_info(a, &i);
    cr_assert_eq(i.slots, 100);
    cr_assert_eq(i.generation, 1);
    cr_assert_not(i.was_open);
    cr_assert_eq(strlen(i.uuid), 36);
    cr_assert_eq(i.uuid[14], '4');
    cr_assert_str_eq(area_path(a), p);
    cr_assert_eq(stat(p, &st), 0);
    cr_assert_eq(st.st_size, 100 * 4096);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_geq(st.st_blocks * 512, 100 * 4096, "its blocks are reserved");
    area_close(a);
    kit_remove(p);
}

Test(area, b19_size_is_rounded_down_to_pages)
{
    char *p = kit_path();
    struct mm_err err;
    cr_assert_eq(area_format(p, 3 * 4096 + 4095, &err), 0);
    cr_assert_eq(head_of(p).slots, 3);
    kit_remove(p);
}

Test(area, b19_pages_come_back_by_slot)
{
    FOR_EACH_ENGINE(e)
    for (int buffered = 0; buffered < 2; buffered++) {
        char *p = kit_area(8);
        struct area *a;
        static KIT_PAGE uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
        const struct area_opts o = {.engine = e, .buffered = buffered};
        struct area_info i;
        cr_assert_eq(area_open(p, &o, &a, NULL), 0);
        area_get_info(a, &i);
        cr_assert_eq(i.engine, e);
        cr_assert(!(buffered && i.direct));
        for (slot_t s = 1; s < 8; s++) {
            kit_noise(in, s);
            cr_assert_eq(area_write(a, s, in), 0);
        }
        for (slot_t s = 7; s > 0; s--) {
            kit_noise(in, s);
            cr_assert_eq(area_read(a, s, out), 0);
            cr_assert_arr_eq(in, out, PAGE_SIZE);
        }
        area_close(a);
        kit_remove(p);
    }
}

Test(area, b19_slot_0_and_beyond_the_end_are_no_slots)
{
    char *p = kit_area(8);
    struct area *a;
    static KIT_PAGE uint8_t page[PAGE_SIZE];
    struct aio_req req = {0};
    cr_assert_eq(area_open(p, NULL, &a, NULL), 0);
    for (unsigned k = 0; k < 3; k++) {
        slot_t s = (slot_t[]){0, 8, UINT32_MAX}[k];
        cr_assert_eq(area_read(a, s, page), -EINVAL);
        cr_assert_eq(area_write(a, s, page), -EINVAL);
        cr_assert_eq(area_submit(a, AIO_WRITE, s, page, &req), -EINVAL);
    }
    cr_assert_eq(area_write(a, 1, page + 8), -EINVAL, "unaligned");
    area_close(a);
    kit_remove(p);
}

Test(area, b19_foreign_file_is_refused)
{
    char *p = kit_area(8);
    struct area_head h = head_of(p);
    memcpy(h.magic, "something else", 14);
    put_head(p, &h);
    REFUSED(p, -EMEDIUMTYPE, "foreign");
    FORMAT_REFUSED(p, 1 << 20, -EEXIST, "something else, which is not overwritten");
    kit_remove(p);
}

Test(area, b19_truncated_file_is_refused)
{
    char *p = kit_area(8);
    cr_assert_eq(truncate(p, 8 * 4096 - 1), 0);
    REFUSED(p, -ENODATA, "truncated: size is 8 slots, the file holds 7");
    cr_assert_eq(truncate(p, 4095), 0);
    REFUSED(p, -ENODATA, "truncated: 4095 bytes");
    cr_assert_eq(truncate(p, 0), 0);
    REFUSED(p, -ENODATA, "truncated: 0 bytes");
    kit_remove(p);
}

Test(area, b19_other_version_page_size_and_sizes_are_refused_by_name)
{
    char *p = kit_area(8);
    const struct area_head good = head_of(p);
    struct area_head h = good;
    h.version = 2;
    area_head_seal(&h);
    put_head(p, &h);
    REFUSED(p, -EPROTONOSUPPORT, "version is 2, needed is 1");
    h = good;
    h.page_size = 16384;
    area_head_seal(&h);
    put_head(p, &h);
    REFUSED(p, -ENOTSUP, "page size is 16384");
    for (uint64_t n = 0; n < 2; n++) {
        h = good;
        h.slots = n;
        area_head_seal(&h);
        put_head(p, &h);
        REFUSED(p, -ERANGE, "it can hold nothing");
    }
    for (unsigned k = 0; k < 3; k++) {
        h = good;
        h.slots = (uint64_t[]){((uint64_t)1 << 24) + 1, (uint64_t)1 << 52, UINT64_MAX}[k];
        area_head_seal(&h);
        put_head(p, &h);
        REFUSED(p, -EOVERFLOW, "at most 16777216 can be named");
    }
    h = good;
    h.reserved[100] = 1;
    area_head_seal(&h);
    put_head(p, &h);
    REFUSED(p, -ERANGE, "reserved header byte 164");
    kit_remove(p);
}

Test(area, b19_every_flipped_header_byte_is_refused)
{
    char *p = kit_area(8);
    const struct area_head good = head_of(p);
    struct mm_err err;
    for (size_t i = 0; i < sizeof good; i++) {
        struct area_head h = good;
        ((uint8_t *)&h)[i] ^= (uint8_t)(1u << i % 8);
        int e = area_head_check(&h, 8 * 4096, p, &err);
        int want = i < 16 ? -EMEDIUMTYPE : i < 20 ? -EPROTONOSUPPORT : -EBADMSG;
        cr_assert_eq(e, want, "byte %zu: %d %s", i, e, err.text);
    }
    struct area_head h = good;
    h.uuid[3] ^= 1;
    put_head(p, &h);
    REFUSED(p, -EBADMSG, "the header is damaged: its checksum is");
    kit_remove(p);
}

Test(area, b19_neither_file_nor_device_is_refused)
{
    REFUSED("/tmp", -ENOTBLK, "neither a regular file nor a block device");
    REFUSED("/dev/null", -ENOTBLK, "neither");
    FORMAT_REFUSED("/dev/null", 1 << 20, -ENOTBLK, "neither");
    char *p = kit_path();
    cr_assert_eq(mkfifo(p, 0600), 0);
    REFUSED(p, -ENOTBLK, "neither");
    kit_remove(p);
}

Test(area, b19_missing_file_names_mkswap)
{
    REFUSED("/nowhere/at/all", -ENOENT, "make one with 'umbra mkswap'");
    FORMAT_REFUSED("/nowhere/at/all", 1 << 20, -ENOENT, "cannot make or open it");
}

Test(area, b19_sizes_of_nothing_and_too_much_are_refused_and_leave_no_file)
{
    char *p = kit_path();
    FORMAT_REFUSED(p, 0, -EINVAL, "size is zero");
    FORMAT_REFUSED(p, 4096, -EINVAL, "header and one slot need 8192");
    FORMAT_REFUSED(p, 8191, -EINVAL, "header and one slot need 8192");
    FORMAT_REFUSED(p, AREA_MAX_BYTES + 1, -EOVERFLOW, "64 GiB");
    FORMAT_REFUSED(p, UINT64_MAX, -EOVERFLOW, "64 GiB");
    cr_assert_eq(access(p, F_OK), -1);
    kit_remove(p);
}

Test(area, b19_format_takes_zeros_and_old_areas_only)
{
    char *p = kit_path();
    int fd = open(p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct mm_err err;
    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    cr_assert_eq(area_format(p, 64 * 4096, &err), 0, "zeros: %s", err.text);
    struct area_head first = head_of(p);
    cr_assert_eq(area_format(p, 32 * 4096, &err), 0, "an old area: %s", err.text);
    struct area_head second = head_of(p);
    cr_assert_neq(memcmp(first.uuid, second.uuid, 16), 0, "another uuid");
    cr_assert_eq(second.slots, 32);
    cr_assert_eq(pwrite(fd, "x", 1, 0), 1);
    FORMAT_REFUSED(p, 64 * 4096, -EEXIST, "something else");
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(pwrite(fd, "short", 5, 0), 5);
    FORMAT_REFUSED(p, 64 * 4096, -EEXIST, "something else");
    close(fd);
    kit_remove(p);
}

Test(area, b19_in_use_is_refused_and_says_by_whom)
{
    char *p = kit_area(8);
    struct area *a;
    char who[40];
    cr_assert_eq(area_open(p, NULL, &a, NULL), 0);
    snprintf(who, sizeof who, "(process %d, by its header)", getpid());
    REFUSED(p, -EBUSY, who);
    FORMAT_REFUSED(p, 1 << 20, -EBUSY, "in use by another process");
    pid_t child = fork();
    if (child == 0) {
        struct mm_err err;
        _exit(try_open(p, &err) == -EBUSY ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "refused in another process too");
    area_close(a);
    struct mm_err err;
    cr_assert_eq(try_open(p, &err), 0, "free again: %s", err.text);
    kit_remove(p);
}

Test(area, b19_generation_counts_openings)
{
    char *p = kit_area(8);
    for (uint64_t g = 1; g < 5; g++) {
        struct area *a;
        struct area_info i;
        cr_assert_eq(area_open(p, NULL, &a, NULL), 0);
        area_get_info(a, &i);
        cr_assert_eq(i.generation, g);
        cr_assert_not(i.was_open);
        area_close(a);
    }
    kit_remove(p);
}

/* kill -9 under full write load: the area opens again, says so, and starts empty. */
Test(area, b19_killed_user_leaves_an_area_that_opens)
{
    FOR_EACH_ENGINE(e)
    {
        char *p = kit_area(256);
        int pipefd[2];
        cr_assert_eq(pipe(pipefd), 0);
        pid_t child = fork();
        if (child == 0) {
            struct store *st;
            static KIT_PAGE uint8_t page[PAGE_SIZE];
            const struct store_opts o = {.path = p, .zpool_bytes = 64 << 10, .engine = e};
            if (store_open(&o, &st, NULL))
                _exit(1);
            for (uint64_t i = 0;; i++) {
                slot_t s;
                if (store_alloc(st, NULL, &s) ||
                    (kit_mixed(page, i, (unsigned)(i % 9)), store_write(st, s, page)))
                    _exit(2);
                if (i == 100 && write(pipefd[1], "x", 1) != 1)
                    _exit(3);
                if (i > 100)
                    store_put(st, s);
            }
        }
        char c;
        cr_assert_eq(read(pipefd[0], &c, 1), 1);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        cr_assert(WIFSIGNALED(status));
        struct area *a;
        struct area_info i;
        struct mm_err err;
        cr_assert_eq(area_open(p, NULL, &a, &err), 0, "%s", err.text);
        area_get_info(a, &i);
        cr_assert(i.was_open);
        cr_assert_eq(i.generation, 2);
        area_close(a);
        struct store *st = kit_store(p, 0, e);
        cr_assert_eq(store_next_used(st, 0), 0, "contents do not outlive their process");
        store_close(st);
        close(pipefd[0]);
        close(pipefd[1]);
        kit_remove(p);
    }
}

Test(area, b19_block_device)
{
    char *p = kit_path(), dev[32];
    int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int n = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
    if (n < 0)
        cr_skip_test("no loop devices here");
    snprintf(dev, sizeof dev, "/dev/loop%d", n);
    int back = open(p, O_RDWR | O_CREAT | O_CLOEXEC, 0600), loop = open(dev, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ftruncate(back, 1 << 20), 0);
    if (loop < 0 || ioctl(loop, LOOP_SET_FD, back))
        cr_skip_test("no loop devices here");
    struct mm_err err;
    struct area *a;
    struct area_info i;
    FORMAT_REFUSED(dev, 2 << 20, -ENOSPC, "the device has 1048576");
    cr_assert_eq(area_format(dev, 0, &err), 0, "%s", err.text);
    cr_assert_eq(area_open(dev, NULL, &a, &err), 0, "%s", err.text);
    area_get_info(a, &i);
    cr_assert_eq(i.slots, 256);
    REFUSED(dev, -EBUSY, "in use");
    static KIT_PAGE uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
    kit_noise(in, 7);
    cr_assert_eq(area_write(a, 255, in), 0);
    cr_assert_eq(area_read(a, 255, out), 0);
    cr_assert_arr_eq(in, out, PAGE_SIZE);
    area_close(a);
    ioctl(loop, LOOP_CLR_FD, 0);
    close(loop);
    close(back);
    close(ctl);
    kit_remove(p);
}
