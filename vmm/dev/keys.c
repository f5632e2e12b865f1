#include "vmm/dev/keys.h"

#include <string.h>

enum { ESC = 0x1b, CODE_ESC = 0x01, CODE_CTRL = 0x1d, CODE_SHIFT = 0x2a, CODE_ALT = 0x38 };
enum { RELEASED = 0x80, EXTENDED = 0xe0 };
enum { SHIFT = 1, CTRL = 2, ALT = 4 };

/* The keys of a US keyboard from scan code 2 on: without and with shift. */
static const char plain[] = "1234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./";
static const char shifted[] = "!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?";

/* What is behind ESC of keys that have no character. */
static const struct {
    char sequence[6];
    uint8_t code;
    bool extended;
} named[] = {
    {"[A", 0x48, true},    {"[B", 0x50, true},    {"[C", 0x4d, true},    {"[D", 0x4b, true},
    {"OA", 0x48, true},    {"OB", 0x50, true},    {"OC", 0x4d, true},    {"OD", 0x4b, true},
    {"[H", 0x47, true},    {"[F", 0x4f, true},    {"OH", 0x47, true},    {"OF", 0x4f, true},
    {"[1~", 0x47, true},   {"[2~", 0x52, true},   {"[3~", 0x53, true},   {"[4~", 0x4f, true},
    {"[5~", 0x49, true},   {"[6~", 0x51, true},   {"[7~", 0x47, true},   {"[8~", 0x4f, true},
    {"OP", 0x3b, false},   {"OQ", 0x3c, false},   {"OR", 0x3d, false},   {"OS", 0x3e, false},
    {"[[A", 0x3b, false},  {"[[B", 0x3c, false},  {"[[C", 0x3d, false},  {"[[D", 0x3e, false},
    {"[[E", 0x3f, false},  {"[11~", 0x3b, false}, {"[12~", 0x3c, false}, {"[13~", 0x3d, false},
    {"[14~", 0x3e, false}, {"[15~", 0x3f, false}, {"[17~", 0x40, false}, {"[18~", 0x41, false},
    {"[19~", 0x42, false}, {"[20~", 0x43, false}, {"[21~", 0x44, false}, {"[23~", 0x57, false},
    {"[24~", 0x58, false},
};

/* Press and release a key, with the modifiers held around it. */
static unsigned stroke(uint8_t code, bool extended, unsigned held, uint8_t *out)
{
    static const uint8_t modifier[] = {CODE_SHIFT, CODE_CTRL, CODE_ALT};
    unsigned n = 0;

    for (unsigned m = 0; m < 3; m++)
        if (held >> m & 1)
            out[n++] = modifier[m];
    for (unsigned up = 0; up < 2; up++) {
        if (extended)
            out[n++] = EXTENDED;
        out[n++] = (uint8_t)(code | (up ? RELEASED : 0));
    }
    for (unsigned m = 3; m-- > 0;)
        if (held >> m & 1)
            out[n++] = modifier[m] | RELEASED;
    return n;
}

static unsigned code_in(const char *table, size_t n, char c)
{
    for (size_t i = 0; c && i < n; i++)
        if (table[i] == c)
            return (unsigned)i + 2;
    return 0;
}

/* One character; held: modifiers beyond those that it needs. */
static unsigned character(uint8_t byte, unsigned held, uint8_t *out)
{
    unsigned code;

    switch (byte) {
    case ' ': return stroke(0x39, false, held, out);
    case ESC: return stroke(CODE_ESC, false, held, out);
    case '\n':
    case '\r': return stroke(0x1c, false, held, out);
    case 0x7f:
    case '\b': return stroke(0x0e, false, held, out);
    case '\t': return stroke(0x0f, false, held, out);
    case 0: return stroke(0x39, false, held | CTRL, out); /* Ctrl-space */
    default: break;
    }
    if (byte < ' ') { /* a letter with control, or one of [ \ ] ^ _ */
        const char c = (char)(byte + (byte <= 26 ? 'a' - 1 : '@'));
        held |= CTRL;
        byte = (uint8_t)c;
    }
    code = code_in(plain, sizeof plain, (char)byte);
    if (code)
        return stroke((uint8_t)code, false, held, out);
    code = code_in(shifted, sizeof shifted, (char)byte);
    return code ? stroke((uint8_t)code, false, held | SHIFT, out) : 0;
}

/* Whether a sequence with this beginning can still become a named key: 1; is one: 2. */
static int known(const struct keys *k, size_t *which)
{
    int found = 0;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (strncmp(named[i].sequence, k->sequence, k->length) != 0)
            continue;
        *which = i;
        if (named[i].sequence[k->length] == '\0')
            return 2;
        found = 1;
    }
    return found;
}

/* Sequences of other keys end with a letter or '~'. */
static bool ends(uint8_t byte)
{
    return (byte >= '@' && byte <= 'Z') || byte == '~' || (byte >= 'a' && byte <= 'z');
}

unsigned keys_byte(struct keys *k, uint8_t byte, uint8_t out[KEYS_MOST])
{
    size_t which = 0;

    if (!k->escape) {
        if (byte != ESC)
            return character(byte, 0, out);
        k->escape = true;
        k->length = 0;
        return 0;
    }
    if (k->length == 0 && byte != '[' && byte != 'O') { /* Alt sends ESC before the character */
        k->escape = byte == ESC;
        return character(byte, byte == ESC ? 0 : ALT, out);
    }
    if (k->length < sizeof k->sequence - 1)
        k->sequence[k->length++] = (char)byte;
    k->sequence[k->length] = '\0';
    switch (known(k, &which)) {
    case 2: k->escape = false; return stroke(named[which].code, named[which].extended, 0, out);
    case 1: return 0;
    default:
        /* A key that we do not know: all of it is swallowed. */
        if (k->length > 1 && ends(byte))
            k->escape = false;
        return 0;
    }
}

unsigned keys_idle(struct keys *k, uint8_t out[KEYS_MOST])
{
    if (!k->escape)
        return 0;
    k->escape = false;
    if (k->length == 0)
        return stroke(CODE_ESC, false, 0, out);
    if (k->length == 1) /* Alt-[ or Alt-O */
        return character((uint8_t)k->sequence[0], ALT, out);
    return 0;
}
