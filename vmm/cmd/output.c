/* See output.h. */
#include "vmm/cmd/output.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/cmd/cmd.h"

int output_open(struct output *o, const char *cmd, const char *path)
{
    *o = (struct output){.file = path ? fopen(path, "we") : stdout, .path = path};
    if (!o->file)
        return cmd_fail(cmd, UMBRA_EXIT_HOST, "--output %s: %s", path, strerror(errno));
    return 0;
}

int output_close(struct output *o, const char *cmd)
{
    const char *name = o->path ? o->path : "standard output";
    errno = 0;
    bool failed = fflush(o->file) != 0;
    const int why = errno;
    failed |= ferror(o->file) != 0;
    if (o->path)
        failed |= fclose(o->file) != 0;
    if (!failed)
        return 0;
    return cmd_fail(cmd, UMBRA_EXIT_HOST, "%s: %s", name,
                    why ? strerror(why) : "not everything could be written");
}
