/*
 * A person at the machine: standard input is the keyboard, and where standard output is a terminal
 * it shows the screen. A thread asks the vCPU 25 times a second to bring both up to date.
 */
#ifndef UMBRA_VMM_VM_DISPLAY_H
#define UMBRA_VMM_VM_DISPLAY_H

#include <pthread.h>
#include <stdbool.h>

#include "vmm/dev/keyhold.h"
#include "vmm/dev/keys.h"
#include "vmm/dev/screen.h"
#include "vmm/errmsg.h"

struct vm;

struct vm_display {
    struct chardev *terminal; /* NULL: there is no display */
    bool on_terminal;         /* the screen is shown */
    struct screen screen;
    struct keys keys;
    struct keyhold hold;
    unsigned quiet; /* looks at the keyboard since a byte has come */
    int stop_fd;
    pthread_t thread;
    bool runs;
};

/* Is the screen shown on this process's standard output? Then COM1 cannot be. */
bool vm_display_takes_stdout(const struct vm *vm);
/* 0, or a negative errno with err filled. */
int vm_display_open(struct vm *vm, struct errmsg *err);
/* Take keys, show what has changed. */
void vm_display_poll(struct vm *vm);
/* Give the terminal back; safe to call again. */
void vm_display_close(struct vm *vm);

#endif
