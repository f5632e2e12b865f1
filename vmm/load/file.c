/* Files that may be anything: opened without blocking, looked at first, read with bounds. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/load/load.h"

/* The end of a path is what tells files apart; a long beginning would push out the message. */
static void short_name(char *to, size_t size, const char *path)
{
    size_t len = strlen(path);

    if (len < size)
        memcpy(to, path, len + 1);
    else
        snprintf(to, size, "...%s", path + len - (size - 4));
}

static int check_kind(const struct load_file *f, const struct stat *st, uint64_t max,
                      struct errmsg *err)
{
    if (S_ISDIR(st->st_mode))
        return err_set(err, -EISDIR, "%s: is a directory; name a file", f->name);
    if (!S_ISREG(st->st_mode))
        return err_set(err, -EINVAL,
                       "%s: not a regular file but a %s; copy its content to a file first", f->name,
                       S_ISFIFO(st->st_mode)   ? "FIFO"
                       : S_ISSOCK(st->st_mode) ? "socket"
                                               : "device");
    if (st->st_size <= 0)
        return err_set(err, -ENOEXEC, "%s: is empty; nothing to load", f->name);
    if ((uint64_t)st->st_size > max)
        return err_set(err, -EFBIG, "%s: %lld bytes, but at most %llu can be loaded here", f->name,
                       (long long)st->st_size, (unsigned long long)max);
    return 0;
}

int load_file_open(struct load_file *f, const char *path, uint64_t max, struct errmsg *err)
{
    struct stat st;
    int ret;

    memset(f, 0, sizeof *f);
    short_name(f->name, sizeof f->name, path);
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0)
        return err_set(err, -errno, "%s: cannot be opened: %s", f->name, strerror(errno));
    if (fstat(f->fd, &st) < 0)
        return err_set(err, -errno, "%s: cannot be looked at: %s", f->name, strerror(errno));
    ret = check_kind(f, &st, max, err);
    if (ret)
        return ret;
    f->size = (uint64_t)st.st_size;
    f->head_len = f->size < LOAD_HEAD ? (uint32_t)f->size : LOAD_HEAD;
    f->head = malloc(LOAD_HEAD);
    if (!f->head)
        return err_set(err, -ENOMEM, "%s: no memory to read its start", f->name);
    return load_file_read(f, 0, f->head, f->head_len, "start", err);
}

void load_file_close(struct load_file *f)
{
    free(f->head);
    f->head = NULL;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

int load_file_read(const struct load_file *f, uint64_t off, void *buf, uint64_t len,
                   const char *what, struct errmsg *err)
{
    uint8_t *to = buf;

    if (off > f->size || len > f->size - off)
        return err_set(err, -ENOEXEC,
                       "%s: %s at offset %#llx, %#llx bytes, lies beyond the file's end (%#llx "
                       "bytes); is it truncated?",
                       f->name, what, (unsigned long long)off, (unsigned long long)len,
                       (unsigned long long)f->size);
    while (len > 0) {
        ssize_t n = pread(f->fd, to, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, -EIO, "%s: reading its %s failed: %s", f->name, what,
                           strerror(errno));
        if (n == 0)
            return err_set(err, -EIO, "%s: became shorter while its %s was read; try again",
                           f->name, what);
        to += n;
        off += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

int load_file_copy(const struct load_file *f, uint64_t off, uint64_t len, struct gmem *g, gpa_t to,
                   struct errmsg *err)
{
    uint8_t buf[16384];

    while (len > 0) {
        uint64_t n = len < sizeof buf ? len : sizeof buf;
        int ret = load_file_read(f, off, buf, n, "content", err);
        if (ret)
            return ret;
        ret = gmem_write(g, to, buf, n);
        if (ret)
            return err_set(err, ret,
                           ret == -ENOMEM ? "%s: the frame pool is used up at guest address %#llx; "
                                            "give more with --pool"
                                          : "%s: guest address %#llx cannot be written",
                           f->name, (unsigned long long)to);
        off += n;
        to += n;
        len -= n;
    }
    return 0;
}
