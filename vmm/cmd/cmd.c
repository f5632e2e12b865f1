#include "vmm/cmd/cmd.h"

#include <string.h>

const struct cmd *cmd_find(const char *name)
{
    for (const struct cmd *const *c = cmd_table; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

__attribute__((format(printf, 2, 0))) static void complain(const char *name, const char *fmt,
                                                           va_list ap)
{
    fflush(stdout); /* what was printed before the error stands before it */
    fprintf(stderr, "umbra%s%s: ", name ? " " : "", name ? name : "");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cmd_fail(const char *name, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(name, fmt, ap);
    va_end(ap);
    return status;
}

int cmd_usage(const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(name, fmt, ap);
    va_end(ap);
    fprintf(stderr, "Try \"umbra help%s%s\".\n", name ? " " : "", name ? name : "");
    return UMBRA_EXIT_USAGE;
}
