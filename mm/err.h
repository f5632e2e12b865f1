/*
 * A message that travels up with an error code: what was being done, to what, and the remedy.
 * Filled where the error is found; only a command layer prints it.
 */
#ifndef UMBRA_MM_ERR_H
#define UMBRA_MM_ERR_H

#include <stdarg.h>
#include <stdio.h>

struct mm_err {
    char text[320];
};

/* Fill e (may be NULL) as printf does and return code. */
__attribute__((format(printf, 3, 4))) static inline int mm_err_set(struct mm_err *e, int code,
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

#endif
