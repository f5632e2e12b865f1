#include "vmm/dev/mouse.h"

#include <string.h>

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa };
enum {
    SCALE_1 = 0xe6,
    SCALE_2,
    RESOLUTION,
    STATUS,
    STREAM,
    READ,
    WRAP_OFF,
    WRAP = 0xee,
    REMOTE = 0xf0,
    IDENTIFY = 0xf2,
    RATE,
    ENABLE,
    DISABLE,
    DEFAULTS,
    AGAIN = 0xfe,
    RESET = 0xff,
};

static void send(struct mouse *m, uint8_t byte)
{
    if (m->count < MOUSE_QUEUE)
        m->queue[(m->first + m->count++) % MOUSE_QUEUE] = byte;
}

/* An answer drops what was still to be read, and is kept. */
static void answer(struct mouse *m, const uint8_t *bytes, unsigned n)
{
    m->count = 0;
    memmove(m->answer, bytes, n);
    m->answered = n;
    for (unsigned i = 0; i < n; i++)
        send(m, bytes[i]);
}

static void answer_byte(struct mouse *m, uint8_t byte)
{
    answer(m, &byte, 1);
}

static void defaults(struct mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->enabled = m->remote = m->scaled = m->wrap = false;
    m->awaited = 0;
}

static bool is_rate(uint8_t val)
{
    static const uint8_t rates[] = {10, 20, 40, 60, 80, 100, 200};
    return memchr(rates, val, sizeof rates) != NULL;
}

static void argument(struct mouse *m, uint8_t val)
{
    const uint8_t command = m->awaited;
    const bool good = command == RATE ? is_rate(val) : val <= 3;
    m->awaited = good ? 0 : command;
    if (good && command == RATE)
        m->rate = val;
    else if (good)
        m->resolution = val;
    answer_byte(m, good ? ACK : RESEND);
}

static void command(struct mouse *m, uint8_t val)
{
    switch (val) {
    case SCALE_1:
    case SCALE_2: m->scaled = val == SCALE_2; break;
    case RESOLUTION:
    case RATE: m->awaited = val; break;
    case STATUS:
        answer(m,
               (uint8_t[]){ACK, (uint8_t)(m->remote << 6 | m->enabled << 5 | m->scaled << 4),
                           m->resolution, m->rate},
               4);
        return;
    case STREAM:
    case REMOTE: m->remote = val == REMOTE; break;
    case READ: /* no button, and no movement */ answer(m, (uint8_t[]){ACK, 0x08, 0, 0}, 4); return;
    case WRAP: m->wrap = true; break;
    case WRAP_OFF: break;
    case IDENTIFY: answer(m, (uint8_t[]){ACK, 0}, 2); return;
    case ENABLE:
    case DISABLE: m->enabled = val == ENABLE; break;
    case DEFAULTS: defaults(m); break;
    case AGAIN: answer(m, m->answer, m->answered); return;
    case RESET:
        defaults(m);
        answer(m, (uint8_t[]){ACK, SELF_TEST_OK, 0}, 3);
        return;
    default: answer_byte(m, RESEND); return;
    }
    answer_byte(m, ACK);
}

void mouse_write(struct mouse *m, uint8_t val)
{
    if (m->wrap && val != WRAP_OFF && val != RESET) {
        send(m, val); /* it gives back whatever it gets */
        return;
    }
    m->wrap = false;
    if (m->awaited && val < SCALE_1)
        argument(m, val);
    else {
        m->awaited = 0;
        command(m, val);
    }
}

uint8_t mouse_take(struct mouse *m)
{
    const uint8_t byte = m->queue[m->first];
    m->first = (m->first + 1) % MOUSE_QUEUE;
    m->count--;
    return byte;
}

void mouse_init(struct mouse *m)
{
    memset(m, 0, sizeof *m);
    defaults(m);
}
