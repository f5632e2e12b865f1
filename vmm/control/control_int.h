/* Inside of the control socket; for vmm/control/ only. */
#ifndef UMBRA_VMM_CONTROL_CONTROL_INT_H
#define UMBRA_VMM_CONTROL_CONTROL_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/control/budget.h"
#include "vmm/control/control.h"
#include "vmm/control/out.h"
#include "vmm/vm.h"

struct client;

/* What a command comes to beside an error (negative errno with err filled). */
enum {
    CMD_DONE = 0,  /* *ret is the answer */
    CMD_LATER = 1, /* the client's `more` will be called until it says otherwise */
};

struct request {
    json_t *args; /* an object; borrowed */
    json_t *ret;  /* the answer, made by the command */
    struct errmsg err;
};

struct command {
    const char *name;
    const char *const *args; /* names that may be given; ends with NULL */
    int (*run)(struct control *c, struct client *cl, struct request *r);
};

/* One program that is connected. */
struct client {
    int fd; /* -1: not in use */
    char *in;
    size_t in_len; /* of CONTROL_LINE bytes */
    bool eof;      /* it will send nothing more */
    bool closing;  /* goes when out is empty */
    struct out out;
    uint64_t heard; /* when it last sent or took bytes; monotonic ms */
    /* A request that is not answered at once: called when there is room for output. As a command's
     * run; r->args is NULL. */
    json_t *id; /* of the request at hand; NULL: it had none */
    int (*more)(struct control *c, struct client *cl, struct request *r);
    void *more_ctx;               /* of the request */
    void (*more_free)(void *ctx); /* ... which this frees when it ends; may be NULL */
};

#define CONTROL_FORKS 4

struct control {
    struct vm *vm;
    struct mm *child[CONTROL_FORKS]; /* of injected forks; vCPU's thread */
    int listen_fd, wake_fd;
    char path[108];
    dev_t dev; /* of the socket's file, so that only it is removed */
    ino_t ino;
    pthread_t thread;
    struct client client[CONTROL_CLIENTS];
    struct budget budget;   /* of the guest's time, for calls and short pauses */
    uint64_t now;           /* monotonic ms, once per round */
    _Atomic uint64_t stops; /* times that the machine has stopped; counted by its watcher */
    _Atomic int why;        /* enum vm_stop_why of the last one */
    _Atomic bool ending;    /* control_stop(): the machine has ended and stands still */
};

/* listen.c */
int control_listen(struct control *c, const char *path, struct errmsg *err);
/* The next client, or -1: none that may come in. */
int control_accept(struct control *c);
void control_unlink(struct control *c);

/* protocol.c: a line without its newline. */
void control_line(struct control *c, struct client *cl, const char *line, size_t len);
/* Go on with what is not answered yet. */
void control_more(struct control *c, struct client *cl);
void control_greet(struct client *cl);
/* One line {"error": ...}, for whoever has asked nothing. */
void control_complain(struct client *cl, const char *kind, const char *text);
/* One part of an answer in parts: value is taken. */
void control_part(struct client *cl, json_t *value);
/* The same with a value that is JSON text already. */
void control_part_text(struct client *cl, const char *json, size_t len);
void client_request_end(struct client *cl);

/* Arguments. Each returns 0, or -EINVAL with r->err filled. A missing argument leaves *out. */
int arg_u64(struct request *r, const char *name, uint64_t min, uint64_t max, uint64_t *out);
int arg_bool(struct request *r, const char *name, bool *out);
/* One of the NULL-terminated words: its index. */
int arg_word(struct request *r, const char *name, const char *const *words, int *out);
int arg_need(struct request *r, const char *name);

/* Monotonic, as budget.h has it. */
uint64_t control_now_us(void);
/* Does somebody hold the machine? */
bool control_held(struct control *c);
/* vm_call(), which is charged to the budget; -ESHUTDOWN in words. */
int control_call(struct control *c, struct request *r, void (*fn)(struct vm *, void *), void *ctx);

/* Let go of injected forks; on the vCPU's thread. */
void control_unfork(struct control *c);

/* The commands, each file's ending with name == NULL. */
extern const struct command commands_machine[], commands_memory[], commands_pt[], commands_dump[],
    commands_explain[], commands_inject[];

#endif
