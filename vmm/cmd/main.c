/*
 * umbra: finds the subcommand and runs it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/nearest.h"

const struct cmd *const cmd_table[] = {
    &cmd_run, &cmd_ctl,   &cmd_pt,     &cmd_explain, &cmd_test, &cmd_mkswap,
    &cmd_top, &cmd_trace, &cmd_report, &cmd_info,    &cmd_help, NULL,
};

static int unknown_command(const char *name)
{
    struct nearest n = {.typed = name};
    for (const struct cmd *const *c = cmd_table; *c; c++)
        nearest_try(&n, (*c)->name);
    if (n.best)
        return cmd_usage(NULL, "there is no command '%.80s'; did you mean '%s'?", name, n.best);
    return cmd_usage(NULL, "there is no command '%.80s'", name);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cmd_help.run(1, argv);
        return UMBRA_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("umbra " UMBRA_VERSION);
        return UMBRA_EXIT_OK;
    }
    if (is_help(argv[1]))
        return cmd_help.run(1, argv);
    const struct cmd *c = cmd_find(argv[1]);
    if (!c)
        return unknown_command(argv[1]);
    if (argc == 3 && is_help(argv[2]))
        return cmd_help.run(2, (char *[]){argv[0], argv[1], NULL});
    return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    /* Output that did not arrive (a full disk) must not look like success. */
    if (fflush(stdout) != 0 && status == UMBRA_EXIT_OK)
        return cmd_fail(NULL, UMBRA_EXIT_HOST, "cannot write output: %s", strerror(errno));
    return status;
}
