/*
 * A message that travels up with an error code: what was being done, to what, and the remedy.
 * Libraries fill it; only the command layer prints it.
 */
#ifndef UMBRA_VMM_ERRMSG_H
#define UMBRA_VMM_ERRMSG_H

#include <stdarg.h>
#include <stdio.h>

struct errmsg {
    char text[320];
};

/* Fill e (may be NULL) as printf does and return code, so that "return err_set(e, -EINVAL, ...)"
 * reads well. */
__attribute__((format(printf, 3, 4))) static inline int err_set(struct errmsg *e, int code,
                                                                const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

/* Exit codes of the umbra command. A guest that ends by the exit port gives (v << 1) | 1 instead.
 */
enum umbra_exit {
    UMBRA_EXIT_OK = 0,
    UMBRA_EXIT_USAGE = 1,   /* bad command line */
    UMBRA_EXIT_IMAGE = 2,   /* bad image, module, swap file: bad input */
    UMBRA_EXIT_HOST = 3,    /* the host lacks something: /dev/kvm, memory, permission */
    UMBRA_EXIT_GUEST = 4,   /* the guest ran wild: triple fault, execution where nothing is */
    UMBRA_EXIT_PANIC = 5,   /* the guest reported its own panic */
    UMBRA_EXIT_OOM = 6,     /* the frame pool is used up and nothing can be reclaimed */
    UMBRA_EXIT_TIMEOUT = 7, /* --timeout struck */
    UMBRA_EXIT_AUDIT = 8,   /* --audit found an invariant broken */
};

#endif
