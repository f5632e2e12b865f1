/* See vm_display.h. */
#include "vmm/vm_display.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/vm.h"

#define REFRESH_MS   40
#define ESCAPE_LOOKS 2 /* so many without a byte, and an ESC was a key */

bool vm_display_takes_stdout(const struct vm *vm)
{
    return vm->opts.display == VM_DISPLAY_TEXT && isatty(STDOUT_FILENO);
}

static void terminal_size(unsigned *rows, unsigned *cols)
{
    struct winsize w = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_row || !w.ws_col)
        w = (struct winsize){.ws_row = 24, .ws_col = 80};
    *rows = w.ws_row;
    *cols = w.ws_col;
}

/* --- the thread ------------------------------------------------------------------------------ */

static void *display_thread(void *ctx)
{
    struct vm *vm = ctx;
    struct pollfd p = {.fd = vm->display.stop_fd, .events = POLLIN};
    while (poll(&p, 1, REFRESH_MS) <= 0)
        vm_ask(vm, VM_ASK_SCREEN);
    return NULL;
}

/* --- the vCPU's side ------------------------------------------------------------------------- */

static void send(struct vm *vm, const uint8_t *codes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kbd_key(&vm->board.kbd, codes[i]);
}

static void press(struct vm *vm, const uint8_t *codes, unsigned n)
{
    uint8_t now[KEYHOLD_MOST];
    send(vm, now, keyhold_stroke(&vm->display.hold, codes, n, now));
}

/* Is there room for a key? What waits and what is pressed are no more codes than one key has. */
static bool room(const struct vm *vm)
{
    return kbd_room(&vm->board.kbd) >= KEYS_MOST;
}

static void take_keys(struct vm *vm)
{
    struct vm_display *d = &vm->display;
    uint8_t codes[KEYS_MOST], now[KEYHOLD_MOST];

    d->quiet++;
    while (room(vm) && chardev_readable(d->terminal)) {
        const int byte = chardev_get(d->terminal);
        if (byte < 0)
            break;
        d->quiet = 0;
        press(vm, codes, keys_byte(&d->keys, (uint8_t)byte, codes));
    }
    if (d->quiet >= ESCAPE_LOOKS && room(vm))
        press(vm, codes, keys_idle(&d->keys, codes));
    if (d->quiet && room(vm))
        send(vm, now, keyhold_look(&d->hold, now));
}

void vm_display_poll(struct vm *vm)
{
    struct vm_display *d = &vm->display;
    unsigned rows, cols;

    if (!d->terminal)
        return;
    take_keys(vm);
    if (!d->on_terminal)
        return;
    terminal_size(&rows, &cols);
    screen_resize(&d->screen, rows, cols);
    screen_refresh(&d->screen);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_input(void *ctx)
{
    vm_ask(ctx, VM_ASK_INPUT);
}
static void on_quit(void *ctx)
{
    vm_ask(ctx, VM_ASK_QUIT);
}

int vm_display_open(struct vm *vm, struct errmsg *err)
{
    struct vm_display *d = &vm->display;
    const struct chardev_events ev = {on_input, on_quit, vm};
    unsigned rows, cols;

    if (vm->opts.display == VM_DISPLAY_NONE)
        return 0;
    int rc = chardev_fds_open(&d->terminal, STDIN_FILENO, STDOUT_FILENO, ev);
    if (rc < 0)
        return err_set(err, rc, "display: %s", strerror(-rc));
    d->on_terminal = vm_display_takes_stdout(vm);
    if (d->on_terminal) {
        terminal_size(&rows, &cols);
        screen_enter(&d->screen, &vm->board.vga, d->terminal, rows, cols);
    }
    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    rc = d->stop_fd < 0 ? -errno : -pthread_create(&d->thread, NULL, display_thread, vm);
    if (rc < 0) {
        vm_display_close(vm);
        return err_set(err, rc, "display: %s", strerror(-rc));
    }
    d->runs = true;
    return 0;
}

void vm_display_close(struct vm *vm)
{
    struct vm_display *d = &vm->display;
    const uint64_t one = 1;

    if (!d->terminal)
        return;
    if (d->runs) {
        (void)!write(d->stop_fd, &one, sizeof one);
        pthread_join(d->thread, NULL);
    }
    if (d->stop_fd >= 0)
        close(d->stop_fd);
    if (d->on_terminal) {
        screen_refresh(&d->screen);
        screen_leave(&d->screen);
    }
    chardev_close(d->terminal);
    *d = (struct vm_display){.terminal = NULL};
}
