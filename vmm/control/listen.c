/* The socket's file: made, defended, removed (rule 1 of control.h). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control/control_int.h"

/* Is anybody listening there? A socket whose maker has gone refuses; one that is busy does not. */
static bool alive(const struct sockaddr_un *addr)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* not known: leave it */
    const bool yes =
        connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 || errno != ECONNREFUSED;
    close(fd);
    return yes;
}

/* Make way for a new socket: 0 when nothing is at path (any more). */
static int clear_path(const struct sockaddr_un *addr, struct errmsg *err)
{
    struct stat st;
    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0
                               : err_set(err, -errno, "%s: %s", addr->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, -EADDRINUSE, "%s: is there already and is no socket; give another path",
                       addr->sun_path);
    if (alive(addr))
        return err_set(err, -EADDRINUSE, "%s: another machine listens there; give another path",
                       addr->sun_path);
    if (unlink(addr->sun_path) < 0 && errno != ENOENT)
        return err_set(err, -errno, "%s: a socket that nobody serves any more: %s", addr->sun_path,
                       strerror(errno));
    return 0;
}

/* Two machines that start at once must not each take the other's fresh socket for a stale one: the
 * directory is locked meanwhile. The lock's descriptor, or negative. */
static int lock_directory(const char *path, struct errmsg *err)
{
    char copy[108];
    snprintf(copy, sizeof copy, "%s", path);
    const char *dir = dirname(copy);
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", dir, strerror(errno));
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && tries < 200; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return fd; /* after a second without the lock: go on without it rather than not at all */
}

static int bind_socket(struct control *c, const struct sockaddr_un *addr, struct errmsg *err)
{
    struct stat st;
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* On Linux the file gets the socket's own mode: there is no moment at which others may
     * connect. */
    if (c->listen_fd < 0 || fchmod(c->listen_fd, 0600) < 0 ||
        bind(c->listen_fd, (const struct sockaddr *)addr, sizeof *addr) < 0)
        return err_set(err, -errno, "%s: %s", addr->sun_path, strerror(errno));
    snprintf(c->path, sizeof c->path, "%s", addr->sun_path);
    if (lstat(c->path, &st) == 0) {
        c->dev = st.st_dev;
        c->ino = st.st_ino;
    }
    if (listen(c->listen_fd, CONTROL_CLIENTS) < 0)
        return err_set(err, -errno, "%s: %s", addr->sun_path, strerror(errno));
    return 0;
}

int control_listen(struct control *c, const char *path, struct errmsg *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!*path)
        return err_set(err, -EINVAL, "the path of the control socket is empty");
    if (strlen(path) >= sizeof addr.sun_path)
        return err_set(err, -EINVAL, "%.60s...: a socket's path may have %zu bytes at most", path,
                       sizeof addr.sun_path - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    const int lock = lock_directory(path, err);
    if (lock < 0)
        return lock;
    int rc = clear_path(&addr, err);
    if (!rc)
        rc = bind_socket(c, &addr, err);
    close(lock);
    return rc;
}

void control_unlink(struct control *c)
{
    struct stat st;
    if (*c->path && lstat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
        unlink(c->path);
}

int control_accept(struct control *c)
{
    static const char refused[] =
        "{\"error\": {\"class\": \"NotOwner\", \"desc\": \"only the user who runs the machine may "
        "connect\"}}\n";
    struct ucred peer;
    socklen_t len = sizeof peer;
    const int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid())
        return fd;
    (void)!send(fd, refused, sizeof refused - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    return -1;
}
