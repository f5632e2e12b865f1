/* See qemu_opts.h. */
#include "vmm/cmd/qemu_opts.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/value.h"

#define NO_NET   "the machine has no network; leave it out"
#define NO_SOUND "the machine has no sound; leave it out"
#define NO_USB   "the machine has no USB, its keyboard is a PC's; leave it out"
#define NO_ACPI  "the machine has no ACPI and no SMBIOS; leave it out"
#define NO_STATE "a machine's state is not saved; leave it out"
#define SCREEN   "there is no window; --display text shows the VGA's text screen"
#define CONTROL  "a running machine is steered by umbra ctl; give --control PATH"
#define DRIVES   "drives are files; give -drive file=FILE, -hda, -cdrom or -fda"
#define RAM      "memory that backs the guest's is --pool's and --swap's; leave it out"
#define LOOK     "give --trace FILE, --trace-insn FILE or --stats"
#define A_PC     "the machine is a PC; give pc, or leave it out"
#define ENGINE   "give kvm or tcg (or --engine kvm or soft)"
#define NOT_HERE "there is nothing like it here; leave it out"
#define EXIT     "isa-debug-exit,iobase=0xf4"

/*
 * Name, whether it takes a value, the values that say what is so anyway (with a space behind each;
 * "*": any; NULL: none, with OPT_NONE: refused), the remedy for others.
 */
/* clang-format off */
#define QEMU_OPTS(X) \
    X("nographic", OPT_NONE, "*", NULL) \
    X("nodefaults", OPT_NONE, "*", NULL) \
    X("no-user-config", OPT_NONE, "*", NULL) \
    X("no-acpi", OPT_NONE, "*", NULL) \
    X("no-hpet", OPT_NONE, "*", NULL) \
    X("no-fd-bootchk", OPT_NONE, "*", NULL) \
    X("name", OPT_VALUE, "*", NULL) \
    X("enable-kvm", OPT_NONE, "*", NULL) \
    X("accel", OPT_VALUE, NULL, ENGINE) \
    X("machine", OPT_VALUE, "pc pc,acpi=off pc,usb=off ", A_PC) \
    X("M", OPT_VALUE, "pc pc,acpi=off pc,usb=off ", A_PC) \
    X("smp", OPT_VALUE, "1 cpus=1 ", "the machine has one processor; give 1, or leave it out") \
    X("net", OPT_VALUE, "none ", NO_NET) \
    X("nic", OPT_VALUE, "none ", NO_NET) \
    X("monitor", OPT_VALUE, "none null ", CONTROL) \
    X("qmp", OPT_VALUE, "none ", CONTROL) \
    X("parallel", OPT_VALUE, "none null ", "the machine has no parallel port; leave it out") \
    X("vga", OPT_VALUE, "std ", "the machine has a VGA in text mode; give std, or leave it out") \
    X("device", OPT_VALUE, \
      EXIT " " EXIT ",iosize=1 " EXIT ",iosize=4 " EXIT ",iosize=0x1 " EXIT ",iosize=0x4 " EXIT ",iosize=0x01 " \
      EXIT ",iosize=0x04 ", \
      "the machine has a PC's devices, isa-debug-exit at 0xf4, and drives by -drive; leave it out") \
    X("cpu", OPT_VALUE, NULL, "there is one model of processor; leave it out") \
    X("netdev", OPT_VALUE, NULL, NO_NET) \
    X("audio", OPT_VALUE, NULL, NO_SOUND) \
    X("audiodev", OPT_VALUE, NULL, NO_SOUND) \
    X("soundhw", OPT_VALUE, NULL, NO_SOUND) \
    X("usb", OPT_NONE, NULL, NO_USB) \
    X("usbdevice", OPT_VALUE, NULL, NO_USB) \
    X("acpitable", OPT_VALUE, NULL, NO_ACPI) \
    X("smbios", OPT_VALUE, NULL, NO_ACPI) \
    X("uuid", OPT_VALUE, NULL, NO_ACPI) \
    X("loadvm", OPT_VALUE, NULL, NO_STATE) \
    X("incoming", OPT_VALUE, NULL, NO_STATE) \
    X("curses", OPT_NONE, NULL, SCREEN) \
    X("sdl", OPT_NONE, NULL, SCREEN) \
    X("gtk", OPT_NONE, NULL, SCREEN) \
    X("vnc", OPT_VALUE, NULL, SCREEN) \
    X("spice", OPT_VALUE, NULL, SCREEN) \
    X("full-screen", OPT_NONE, NULL, SCREEN) \
    X("k", OPT_VALUE, NULL, "the keyboard is a US one; leave it out") \
    X("mon", OPT_VALUE, NULL, CONTROL) \
    X("chardev", OPT_VALUE, NULL, "COM1 is the terminal, or give --serial FILE") \
    X("blockdev", OPT_VALUE, NULL, DRIVES) \
    X("sd", OPT_VALUE, NULL, DRIVES) \
    X("mtdblock", OPT_VALUE, NULL, DRIVES) \
    X("pflash", OPT_VALUE, NULL, DRIVES) \
    X("virtfs", OPT_VALUE, NULL, DRIVES) \
    X("fsdev", OPT_VALUE, NULL, DRIVES) \
    X("mem-path", OPT_VALUE, NULL, RAM) \
    X("mem-prealloc", OPT_NONE, NULL, RAM) \
    X("numa", OPT_VALUE, NULL, RAM) \
    X("d", OPT_VALUE, NULL, LOOK) \
    X("D", OPT_VALUE, NULL, LOOK) \
    X("singlestep", OPT_NONE, NULL, LOOK) \
    X("icount", OPT_VALUE, NULL, "give --clock insn or --clock insn=NS") \
    X("daemonize", OPT_NONE, NULL, "leave it to the shell (&), and give --control PATH") \
    X("pidfile", OPT_VALUE, NULL, "leave it to the shell ($!)") \
    X("no-shutdown", OPT_NONE, NULL, "a machine that is done ends; give --pt, --screen FILE or --control PATH") \
    X("action", OPT_VALUE, NULL, "a machine that is done ends; --no-reboot makes a reset the end") \
    X("L", OPT_VALUE, NULL, "give --bios FILE and --vgabios FILE") \
    X("option-rom", OPT_VALUE, NULL, "give --vgabios FILE") \
    X("dtb", OPT_VALUE, NULL, "an i386 has no device tree; leave it out") \
    X("object", OPT_VALUE, NULL, NOT_HERE) \
    X("global", OPT_VALUE, NULL, NOT_HERE) \
    X("set", OPT_VALUE, NULL, NOT_HERE) \
    X("readconfig", OPT_VALUE, NULL, NOT_HERE) \
    X("watchdog", OPT_VALUE, NULL, NOT_HERE) \
    X("plugin", OPT_VALUE, NULL, NOT_HERE) \
    X("sandbox", OPT_VALUE, NULL, NOT_HERE) \
    X("tpmdev", OPT_VALUE, NULL, NOT_HERE) \
    X("fw_cfg", OPT_VALUE, NULL, NOT_HERE) \
    X("runas", OPT_VALUE, NULL, NOT_HERE)
/* clang-format on */

#define AS_OPT(name, arg, as_is, remedy) {name, QEMU_OPT, arg},
const struct opt qemu_opts[] = {QEMU_OPTS(AS_OPT){NULL, 0, OPT_NONE}};

#define AS_KNOWN(name, arg, as_is, remedy) {name, as_is, remedy},
static const struct known {
    const char *name, *as_is, *remedy;
} known[] = {QEMU_OPTS(AS_KNOWN)};

/* Is value one of words, each of which has a space behind it? */
static bool among(const char *words, const char *value)
{
    const size_t len = strlen(value);
    for (const char *w = words; *w; w += strcspn(w, " ") + 1)
        if (strcspn(w, " ") == len && memcmp(w, value, len) == 0)
            return true;
    return false;
}

/* An accelerator's name with options behind it: the engine that is like it. */
static bool accelerator(const char *value, enum vm_engine *engine)
{
    const size_t len = strcspn(value, ",");
    if (len != 3 || (memcmp(value, "kvm", 3) != 0 && memcmp(value, "tcg", 3) != 0))
        return false;
    *engine = value[0] == 'k' ? VM_ENGINE_KVM : VM_ENGINE_SOFT;
    return true;
}

static bool serves(const struct known *k, const char *value, enum vm_engine *engine)
{
    if (strcmp(k->name, "enable-kvm") == 0)
        *engine = VM_ENGINE_KVM;
    if (k->as_is && (strcmp(k->as_is, "*") == 0 || among(k->as_is, value)))
        return true;
    if (strcmp(k->name, "accel") == 0)
        return accelerator(value, engine);
    if (k->remedy && strcmp(k->remedy, A_PC) == 0) {
        if (strncmp(value, "pc,", 3) == 0)
            value += 3;
        return strncmp(value, "accel=", 6) == 0 && !strchr(value, ',') &&
               accelerator(value + 6, engine);
    }
    return false;
}

int qemu_opt_take(const char *name, const char *value, enum vm_engine *engine, struct errmsg *e)
{
    const char *bare = name + strspn(name, "-");
    const size_t len = strcspn(bare, "=");

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct known *k = &known[i];
        if (strlen(k->name) != len || memcmp(k->name, bare, len) != 0)
            continue;
        if (serves(k, value ? value : "", engine))
            return 0;
        return err_set(e, -EINVAL, "%s%.100s%s: %s", value ? "'" : "not here", value ? value : "",
                       value ? "' is not to be had" : "", k->remedy);
    }
    return err_set(e, -EINVAL, "unknown option"); /* not in the table: not reached */
}

int qemu_chardev(const char *value, const char **file, struct errmsg *e)
{
    /* What is no file's name: those with a colon by their start. */
    static const char *const others[] = {
        "pty",  "vc",       "vc:",        "tcp:", "udp:", "telnet:", "unix:",   "pipe:",
        "con:", "chardev:", "websocket:", "mon:", "fd:",  "msmouse", "braille", NULL};

    *file = value;
    if (strcmp(value, "stdio") == 0 || strcmp(value, "mon:stdio") == 0) {
        *file = NULL;
        return 0;
    }
    if (strcmp(value, "none") == 0 || strcmp(value, "null") == 0)
        *file = "/dev/null";
    else if (strncmp(value, "file:", 5) == 0)
        *file = value + 5;
    for (int i = 0; others[i]; i++) {
        const size_t len = strlen(others[i]);
        if (strncmp(value, others[i], len) == 0 && (others[i][len - 1] == ':' || !value[len]))
            return err_set(e, -EINVAL, "'%.100s' is not to be had: give stdio, null or a FILE",
                           value);
    }
    return **file ? 0 : err_set(e, -EINVAL, "which file?");
}

int qemu_memory(const char *value, uint64_t *bytes, struct errmsg *e)
{
    if (strncmp(value, "size=", 5) == 0)
        value += 5;
    const size_t digits = strspn(value, "0123456789");
    const int rc = value_size(value, bytes, e);
    if (!rc && !value[digits] && *bytes < 4096)
        *bytes <<= 20;
    return rc;
}
