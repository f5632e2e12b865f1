/*
 * After the 8042 section of IBM's PS/2 Technical Reference (keyboard and auxiliary device
 * controller) and its keyboard section. The keyboard answers at once. Its bytes are kept as scan
 * set 1, the form in which the controller's translation hands them on, and turned back to set 2
 * when translation is off.
 */
#include "vmm/dev/kbd.h"

#include <string.h>

enum {
    STATUS_FULL = 1,
    STATUS_SYS = 4,
    STATUS_COMMAND = 8,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20
};
enum { CONFIG_IRQ1 = 1, CONFIG_IRQ12 = 2, CONFIG_SYS = 4, CONFIG_DISABLED = 0x10 };
enum { CONFIG_AUX_DISABLED = 0x20, CONFIG_TRANSLATE = 0x40 };
enum { OUT_RESET_HIGH = 1, OUT_A20 = 2, OUT_FULL = 0x10, OUT_AUX_FULL = 0x20, OUT_LINES = 0xc0 };
enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa };

/* Scan set 2 for the codes 0..0x58 of set 1 (PS/2 Technical Reference, table of key codes). */
static const uint8_t set2_of[] = {
    0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66,
    0x0d, 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14,
    0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a,
    0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29, 0x58, 0x05,
    0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b,
    0x6b, 0x73, 0x74, 0x79, 0x69, 0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07};

/* Move the next byte of a queue to port 0x60 when that is free, and set the interrupt lines. */
static void settle(struct kbd *k)
{
    if (!k->full && k->count > 0 && !(k->config & CONFIG_DISABLED)) {
        k->output = k->last = k->queue[k->first];
        k->first = (k->first + 1) % KBD_QUEUE;
        k->count--;
        k->full = true;
        k->from_aux = false;
    } else if (!k->full && k->mouse.count > 0 && !(k->config & CONFIG_AUX_DISABLED)) {
        k->output = mouse_take(&k->mouse);
        k->full = k->from_aux = true;
    }
    line_follow(&k->irq1, &k->irq_level, k->full && !k->from_aux && (k->config & CONFIG_IRQ1));
    line_follow(&k->irq12, &k->irq12_level, k->full && k->from_aux && (k->config & CONFIG_IRQ12));
}

static void enqueue(struct kbd *k, uint8_t byte)
{
    if (k->count < KBD_QUEUE)
        k->queue[(k->first + k->count++) % KBD_QUEUE] = byte;
}

/* The controller itself answers: its byte goes before the keyboard's. */
static void answer(struct kbd *k, uint8_t byte)
{
    k->output = byte;
    k->full = true;
    k->from_aux = false;
}

void kbd_key(struct kbd *k, uint8_t set1)
{
    uint8_t key = set1 & 0x7f;
    bool released = set1 & 0x80;
    if (!k->scanning)
        return;
    if ((k->config & CONFIG_TRANSLATE) || set1 == 0xe0 || k->scan_set == 1) {
        if (k->count + 1 < KBD_QUEUE)
            enqueue(k, set1);
    } else if (k->count + 2 < KBD_QUEUE && key < sizeof set2_of) {
        if (released)
            enqueue(k, 0xf0);
        enqueue(k, set2_of[key]);
    }
    settle(k);
}

unsigned kbd_room(const struct kbd *k)
{
    return (KBD_QUEUE - k->count) / 2; /* a code of set 1 is up to two bytes of set 2 */
}

static void kbd_defaults(struct kbd *k)
{
    k->scan_set = 2;
    k->scanning = true;
}

/* Data byte of a keyboard command that takes one. */
static void kbd_argument(struct kbd *k, uint8_t val)
{
    uint8_t command = k->kbd_awaited;
    k->kbd_awaited = 0;
    if (command == 0xf0 && val > 3) {
        enqueue(k, RESEND);
        return;
    }
    enqueue(k, ACK);
    if (command == 0xf0 && val == 0) /* which set? translated like any other byte */
        enqueue(k, k->config & CONFIG_TRANSLATE ? (uint8_t[]){0, 0x43, 0x41, 0x3f}[k->scan_set]
                                                : k->scan_set);
    else if (command == 0xf0)
        k->scan_set = val;
}

static void kbd_command(struct kbd *k, uint8_t val)
{
    if (k->kbd_awaited && val < 0xed) {
        kbd_argument(k, val);
        return;
    }
    k->kbd_awaited = 0;
    switch (val) {
    case 0xed: /* lights */
    case 0xf0: /* scan set */
    case 0xf3: /* repeat rate */
        k->kbd_awaited = val;
        enqueue(k, ACK);
        break;
    case 0xee: enqueue(k, 0xee); break; /* echo */
    case 0xf2:
        enqueue(k, ACK);
        enqueue(k, 0xab);
        enqueue(k, k->config & CONFIG_TRANSLATE ? 0x41 : 0x83);
        break;
    case 0xf4:
        k->count = 0;
        k->scanning = true;
        enqueue(k, ACK);
        break;
    case 0xf5:
    case 0xf6:
        k->count = 0;
        kbd_defaults(k);
        k->scanning = val == 0xf6;
        enqueue(k, ACK);
        break;
    case RESEND: enqueue(k, k->last); break;
    case 0xff:
        k->count = 0;
        kbd_defaults(k);
        enqueue(k, ACK);
        enqueue(k, SELF_TEST_OK);
        break;
    default: enqueue(k, RESEND); break;
    }
}

static void write_output_port(struct kbd *k, uint8_t val)
{
    a20_from_kbd(k->a20, val & OUT_A20);
    if (!(val & OUT_RESET_HIGH))
        a20_reset(k->a20);
}

static uint8_t output_port(const struct kbd *k)
{
    return (uint8_t)(OUT_LINES | OUT_RESET_HIGH | (k->a20->by_kbd ? OUT_A20 : 0) |
                     (!k->full      ? 0
                      : k->from_aux ? OUT_AUX_FULL
                                    : OUT_FULL));
}

static void controller_command(struct kbd *k, uint8_t val)
{
    k->awaited = 0;
    switch (val) {
    case 0x20: answer(k, k->config); break;
    case 0x60: /* config */
    case 0xd1: /* output port */
    case 0xd2: /* byte as if from the keyboard */
    case 0xd3: /* byte as if from the mouse */
    case 0xd4: /* byte for the mouse */ k->awaited = val; break;
    case 0xaa: /* self test */
        k->config |= CONFIG_DISABLED | CONFIG_AUX_DISABLED;
        k->sys = true;
        answer(k, 0x55);
        break;
    case 0xa7: k->config |= CONFIG_AUX_DISABLED; break;
    case 0xa8: k->config &= (uint8_t)~CONFIG_AUX_DISABLED; break;
    case 0xa9:                         /* the mouse's lines are good */
    case 0xab: answer(k, 0x00); break; /* and the keyboard's */
    case 0xad: k->config |= CONFIG_DISABLED; break;
    case 0xae: k->config &= (uint8_t)~CONFIG_DISABLED; break;
    case 0xc0: answer(k, 0xa0); break; /* input port: keyboard not locked */
    case 0xd0: answer(k, output_port(k)); break;
    case 0xdd: a20_from_kbd(k->a20, false); break;
    case 0xdf: a20_from_kbd(k->a20, true); break;
    default:
        if (val >= 0xf0 && !(val & OUT_RESET_HIGH)) /* pulse output lines low; bit 0 is reset */
            a20_reset(k->a20);
        break;
    }
}

static void controller_data(struct kbd *k, uint8_t val)
{
    uint8_t command = k->awaited;
    k->awaited = 0;
    switch (command) {
    case 0x60:
        k->config = val;
        k->sys = val & CONFIG_SYS;
        break;
    case 0xd1: write_output_port(k, val); break;
    case 0xd2: answer(k, val); break;
    case 0xd3:
        answer(k, val);
        k->from_aux = true;
        break;
    case 0xd4: mouse_write(&k->mouse, val); break;
    default:
        k->config &= (uint8_t)~CONFIG_DISABLED; /* a byte for the keyboard opens its line */
        kbd_command(k, val);
        break;
    }
}

static void kbd_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)size;
    struct kbd *k = ctx;
    k->was_command = port & 4;
    if (k->was_command)
        controller_command(k, (uint8_t)val);
    else
        controller_data(k, (uint8_t)val);
    settle(k);
}

static uint32_t kbd_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    struct kbd *k = ctx;
    if (port & 4)
        return (k->full ? STATUS_FULL : 0) | (k->sys ? STATUS_SYS : 0) |
               (k->was_command ? STATUS_COMMAND : 0) | (k->full && k->from_aux ? STATUS_AUX : 0) |
               STATUS_UNLOCKED;
    k->full = false;
    /* A line falls with the read, so that the next byte makes an edge. */
    line_follow(&k->irq1, &k->irq_level, false);
    line_follow(&k->irq12, &k->irq12_level, false);
    uint8_t byte = k->output;
    settle(k);
    return byte;
}

int kbd_init(struct kbd *k, struct bus *bus, struct a20 *a20, struct line irq1, struct line irq12)
{
    memset(k, 0, sizeof *k);
    k->a20 = a20;
    k->irq1 = irq1;
    k->irq12 = irq12;
    k->config = CONFIG_IRQ1 | CONFIG_SYS | CONFIG_AUX_DISABLED | CONFIG_TRANSLATE;
    mouse_init(&k->mouse);
    k->sys = true;
    kbd_defaults(k);
    struct bus_range r = {
        .name = "kbd", .first = 0x60, .last = 0x60, .in = kbd_in, .out = kbd_out, .ctx = k};
    int err = bus_claim(bus, &r);
    r.first = r.last = 0x64;
    return err ? err : bus_claim(bus, &r);
}
