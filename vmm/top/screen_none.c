/* In place of screen.c where ncurses was not found. */
#include <errno.h>

#include "vmm/top/top.h"

int top_screen(struct top *t, double delay, struct errmsg *err)
{
    (void)t;
    (void)delay;
    return err_set(err, -ENOTSUP,
                   "this umbra was built without ncurses: give --batch, or install "
                   "libncurses-dev and build again");
}
