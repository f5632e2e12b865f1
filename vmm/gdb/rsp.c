/* See rsp.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/gdb/rsp.h"

static const char digits[] = "0123456789abcdef";

/* 0..15, or -1. */
static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* --- in -------------------------------------------------------------------------------------- */

static void keep(struct rsp_rx *rx, uint8_t byte)
{
    if (rx->len < RSP_MAX)
        rx->buf[rx->len++] = byte;
    else
        rx->too_long = true;
}

static void start(struct rsp_rx *rx)
{
    rx->state = RX_DATA;
    rx->len = 0;
    rx->sum = 0;
    rx->too_long = false;
}

static enum rsp_event end(struct rsp_rx *rx, uint8_t byte)
{
    const int low = hex_value(byte);
    rx->state = RX_IDLE;
    if (low < 0 || (rx->given << 4 | low) != rx->sum || rx->too_long)
        return RSP_BAD;
    rx->buf[rx->len] = 0;
    return RSP_PACKET;
}

enum rsp_event rsp_feed(struct rsp_rx *rx, uint8_t byte)
{
    switch (rx->state) {
    case RX_IDLE:
        if (byte == '$')
            start(rx);
        return byte == '-' ? RSP_NAK : byte == 3 ? RSP_BREAK : RSP_MORE;
    case RX_DATA:
        if (byte == '#') {
            rx->state = RX_SUM1;
            return RSP_MORE;
        }
        if (byte == '$') { /* the end of the last one was lost */
            start(rx);
            return RSP_MORE;
        }
        rx->sum = (uint8_t)(rx->sum + byte);
        if (byte == '}')
            rx->state = RX_ESCAPE;
        else
            keep(rx, byte);
        return RSP_MORE;
    case RX_ESCAPE:
        rx->sum = (uint8_t)(rx->sum + byte);
        keep(rx, byte ^ 0x20);
        rx->state = RX_DATA;
        return RSP_MORE;
    case RX_SUM1: {
        const int high = hex_value(byte);
        if (high < 0) {
            rx->state = RX_IDLE;
            return RSP_BAD;
        }
        rx->given = (uint8_t)high;
        rx->state = RX_SUM2;
        return RSP_MORE;
    }
    case RX_SUM2: return end(rx, byte);
    }
    return RSP_MORE;
}

/* --- out ------------------------------------------------------------------------------------- */

static void put(struct rsp_tx *tx, uint8_t byte)
{
    if (tx->len < sizeof tx->buf - 3) /* room for the checksum stays */
        tx->buf[tx->len++] = byte;
    else
        tx->full = true;
}

void rsp_begin(struct rsp_tx *tx)
{
    tx->len = 0;
    tx->full = false;
    put(tx, '$');
}

void rsp_binary(struct rsp_tx *tx, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++) {
        const bool special = p[i] == '#' || p[i] == '$' || p[i] == '}' || p[i] == '*';
        if (special)
            put(tx, '}');
        put(tx, special ? p[i] ^ 0x20 : p[i]);
    }
}

void rsp_text(struct rsp_tx *tx, const char *text)
{
    rsp_binary(tx, text, strlen(text));
}

void rsp_printf(struct rsp_tx *tx, const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    rsp_text(tx, line);
}

void rsp_hex(struct rsp_tx *tx, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++) {
        put(tx, (uint8_t)digits[p[i] >> 4]);
        put(tx, (uint8_t)digits[p[i] & 15]);
    }
}

bool rsp_end(struct rsp_tx *tx)
{
    uint8_t sum = 0;
    for (size_t i = 1; i < tx->len; i++)
        sum = (uint8_t)(sum + tx->buf[i]);
    tx->buf[tx->len++] = '#';
    tx->buf[tx->len++] = (uint8_t)digits[sum >> 4];
    tx->buf[tx->len++] = (uint8_t)digits[sum & 15];
    return !tx->full;
}

/* --- digits ---------------------------------------------------------------------------------- */

bool rsp_number(const char **p, uint64_t *out)
{
    uint64_t v = 0;
    int n = 0, d;
    for (; (d = hex_value((unsigned char)**p)) >= 0; (*p)++, n++) {
        if (v >> 60)
            return false;
        v = v << 4 | (unsigned)d;
    }
    *out = v;
    return n > 0;
}

bool rsp_unhex(const char **p, void *bytes, size_t n)
{
    uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) {
        const int high = hex_value((unsigned char)(*p)[0]);
        const int low = high < 0 ? -1 : hex_value((unsigned char)(*p)[1]);
        if (low < 0)
            return false;
        b[i] = (uint8_t)(high << 4 | low);
        *p += 2;
    }
    return true;
}
