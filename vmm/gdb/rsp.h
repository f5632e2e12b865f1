/*
 * Packets of gdb's remote serial protocol (gdb manual, appendix E.1): framing, checksums, escapes.
 * Knows no machine and no socket.
 */
#ifndef UMBRA_VMM_GDB_RSP_H
#define UMBRA_VMM_GDB_RSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RSP_MAX 16384u /* bytes of a packet's payload */

enum rsp_event {
    RSP_MORE,   /* nothing complete yet */
    RSP_PACKET, /* rx->buf holds rx->len bytes, unescaped, with a NUL behind */
    RSP_BAD,    /* a packet with a wrong checksum, or a longer one than RSP_MAX */
    RSP_NAK,    /* the peer asks for the last packet again */
    RSP_BREAK,  /* Ctrl-C */
};

struct rsp_rx {
    enum { RX_IDLE, RX_DATA, RX_ESCAPE, RX_SUM1, RX_SUM2 } state;
    uint8_t sum, given;
    bool too_long;
    size_t len;
    uint8_t buf[RSP_MAX + 1];
};

enum rsp_event rsp_feed(struct rsp_rx *rx, uint8_t byte);

/* A packet on its way out; what does not fit sets `full`, and the packet must not be sent. */
struct rsp_tx {
    size_t len;
    bool full;
    uint8_t buf[2 * RSP_MAX + 8];
};

void rsp_begin(struct rsp_tx *tx);
/* Text, and bytes that may need escapes. */
void rsp_text(struct rsp_tx *tx, const char *text);
void rsp_printf(struct rsp_tx *tx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rsp_binary(struct rsp_tx *tx, const void *bytes, size_t n);
/* Bytes as hexadecimal digits. */
void rsp_hex(struct rsp_tx *tx, const void *bytes, size_t n);
/* tx->buf is ready to be sent. false: it was too long. */
bool rsp_end(struct rsp_tx *tx);

/* Hexadecimal digits at *p, which moves behind them. false: none, or more than 64 bits. */
bool rsp_number(const char **p, uint64_t *out);
/* 2 * n digits at *p into n bytes. false: they are not there. */
bool rsp_unhex(const char **p, void *bytes, size_t n);

#endif
