#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/nearest.h"

static void print_overview(void)
{
    printf("umbra: a hypervisor for i386 guests that keeps their page tables in user space\n\n"
           "Usage: umbra COMMAND [ARGUMENTS]\n\n");
    for (const struct cmd *const *c = cmd_table; *c; c++)
        printf("  %-8s %s\n", (*c)->name, (*c)->summary);
    printf("\n\"umbra help COMMAND\" says more; \"umbra help exit-codes\" lists exit codes;\n"
           "\"umbra --version\" prints the version.\n");
}

static void print_exit_codes(void)
{
    printf("Exit codes of umbra:\n\n"
           "  %d  all went well\n"
           "  %d  the command line is wrong\n"
           "  %d  an input file is bad: image, module, swap area\n"
           "  %d  the host lacks something: /dev/kvm, memory, permission\n"
           "  %d  the guest ran wild: triple fault, execution where nothing is\n"
           "  %d  the guest reported its own panic\n"
           "  %d  the frame pool is used up and nothing can be reclaimed\n"
           "  %d  --timeout struck\n"
           "  %d  --audit found an invariant broken\n\n"
           "A guest that ends by writing v to port 0xf4 gives (v << 1) | 1, cut to eight bits.\n",
           UMBRA_EXIT_OK, UMBRA_EXIT_USAGE, UMBRA_EXIT_IMAGE, UMBRA_EXIT_HOST, UMBRA_EXIT_GUEST,
           UMBRA_EXIT_PANIC, UMBRA_EXIT_OOM, UMBRA_EXIT_TIMEOUT, UMBRA_EXIT_AUDIT);
}

static void print_command(const struct cmd *c)
{
    printf("Usage: umbra %s%s%s\n\n", c->name, c->args[0] ? " " : "", c->args);
    /* A summary starts small, for the list; here it is a sentence. */
    printf("%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
    if (c->help[0])
        printf("\n%s", c->help);
}

static int help_run(int argc, char **argv)
{
    if (argc > 2)
        return cmd_usage("help", "one command at a time, not %d", argc - 1);
    if (argc < 2) {
        print_overview();
        return UMBRA_EXIT_OK;
    }
    if (strcmp(argv[1], "exit-codes") == 0) {
        print_exit_codes();
        return UMBRA_EXIT_OK;
    }
    const struct cmd *c = cmd_find(argv[1]);
    if (!c)
        return cmd_usage("help", "there is no command '%.80s'", argv[1]);
    print_command(c);
    return UMBRA_EXIT_OK;
}

const struct cmd cmd_help = {
    .name = "help",
    .args = "[COMMAND | exit-codes]",
    .summary = "show what umbra or one of its commands does",
    .help = "Without COMMAND it lists the commands.\n",
    .run = help_run,
};
