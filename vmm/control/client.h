/*
 * The other end of the control socket: connect, check the greeting, ask, take the answers. Used by
 * umbra ctl, pt, explain and top. One request at a time; calls block.
 */
#ifndef UMBRA_VMM_CONTROL_CLIENT_H
#define UMBRA_VMM_CONTROL_CLIENT_H

#include <jansson.h>

#include "vmm/errmsg.h"

struct ctl_conn;

/* Connect to a machine's socket. path NULL: $UMBRA_CONTROL, or the one live umbra-*.sock in
 * $XDG_RUNTIME_DIR. 0; -ENOENT: there is none; -EPROTO: what listens there is no umbra, or speaks
 * another version; others: an errno, all with err filled. */
int ctl_open(const char *path, struct ctl_conn **out, struct errmsg *err);
void ctl_close(struct ctl_conn *c);
/* The path that is connected to. */
const char *ctl_path(const struct ctl_conn *c);

/* Give up when the machine says nothing for this long (10 s at first); 0: wait for ever. */
void ctl_patience(struct ctl_conn *c, unsigned ms);

/*
 * Ask: args (taken; may be NULL) are the command's. part (may be NULL) is called with each part of
 * an answer in parts; the value stays ctl's. *ret (may be NULL) becomes the caller's.
 * 0; -EREMOTEIO: the machine answered with an error, err has its text; others: errno of the
 * connection, -ENOTCONN: it was closed, -ETIMEDOUT, -EPROTO.
 */
int ctl_ask(struct ctl_conn *c, const char *command, json_t *args,
            void (*part)(void *ctx, const json_t *value), void *ctx, json_t **ret,
            struct errmsg *err);

/* Where umbra run --control=auto listens: $XDG_RUNTIME_DIR/umbra-PID.sock, or the same in
 * /tmp where that is not set. */
void ctl_default_path(char *buf, size_t len);

#endif
