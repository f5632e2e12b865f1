/* Requests and answers as JSON lines; docs/control.md says what they look like. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control/control_int.h"

static const struct command *const tables[] = {
    commands_machine, commands_memory, commands_pt, commands_dump,
    commands_explain, commands_inject, NULL};

/* Value as one line; value is taken, NULL (no memory) breaks the stream. */
static void put_line(struct client *cl, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text) {
        cl->out.failed = true;
        return;
    }
    out_put(&cl->out, text, strlen(text));
    out_put(&cl->out, "\n", 1);
    free(text);
}

/* {key: value, "id": ...}, of which value is taken. */
static void answer(struct client *cl, const char *key, json_t *value)
{
    json_t *line = json_object();
    if (json_object_set_new(line, key, value) < 0 ||
        (cl->id && json_object_set(line, "id", cl->id) < 0)) {
        json_decref(line);
        line = NULL;
    }
    put_line(cl, line);
}

static const char *error_class(int rc)
{
    switch (-rc) {
    case ESHUTDOWN: return "Ended";
    case EALREADY: return "WrongState";
    case EFAULT: return "NoMemoryThere";
    case ENOSYS: return "UnknownCommand";
    case EPROTO: return "NotUnderstood";
    case EINVAL:
    case ERANGE: return "BadArgument";
    default: return "Failed";
    }
}

static json_t *error_value(const char *kind, const char *text)
{
    /* What a message quotes may be no UTF-8, which no answer can hold. */
    json_t *desc = json_string(text);
    if (!desc)
        desc = json_string("(a message that quotes bytes which are no text)");
    return json_pack("{s:s, s:o}", "class", kind, "desc", desc);
}

void control_complain(struct client *cl, const char *kind, const char *text)
{
    put_line(cl, json_pack("{s:o}", "error", error_value(kind, text)));
}

void control_greet(struct client *cl)
{
    put_line(cl, json_pack("{s:{s:i, s:s, s:i}}", "umbra", "protocol", CONTROL_PROTOCOL, "version",
                           UMBRA_VERSION, "pid", (int)getpid()));
}

void control_part(struct client *cl, json_t *value)
{
    answer(cl, "part", value);
}

void control_part_text(struct client *cl, const char *json, size_t len)
{
    char *id = cl->id ? json_dumps(cl->id, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    out_put(&cl->out, "{\"part\":", 8);
    out_put(&cl->out, json, len);
    if (id) {
        out_put(&cl->out, ",\"id\":", 6);
        out_put(&cl->out, id, strlen(id));
        free(id);
    }
    out_put(&cl->out, "}\n", 2);
}

void client_request_end(struct client *cl)
{
    if (cl->more_free)
        cl->more_free(cl->more_ctx);
    json_decref(cl->id);
    cl->id = NULL;
    cl->more = NULL;
    cl->more_ctx = NULL;
    cl->more_free = NULL;
}

/* What a command has come to. */
static void settle(struct client *cl, struct request *r, int rc)
{
    if (rc == CMD_LATER)
        return;
    if (rc < 0)
        answer(cl, "error", error_value(error_class(rc), r->err.text));
    else
        answer(cl, "return", r->ret ? json_incref(r->ret) : json_object());
    client_request_end(cl);
}

void control_more(struct control *c, struct client *cl)
{
    struct request r = {0};
    settle(cl, &r, cl->more(c, cl, &r));
    json_decref(r.ret);
}

static const struct command *find(const char *name)
{
    for (size_t t = 0; tables[t]; t++)
        for (const struct command *cmd = tables[t]; cmd->name; cmd++)
            if (strcmp(cmd->name, name) == 0)
                return cmd;
    return NULL;
}

static bool known(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* No object has a name that is not in the list. */
static int check_names(struct request *r, json_t *obj, const char *const *names, const char *what)
{
    const char *key;
    json_t *value;
    json_object_foreach(obj, key, value) if (!known(names, key)) return err_set(
        &r->err, -EINVAL, "%s '%.80s'", what, key);
    return 0;
}

static int run(struct control *c, struct client *cl, struct request *r, json_t *line)
{
    static const char *const names[] = {"execute", "arguments", "id", NULL};
    const json_t *name = json_object_get(line, "execute");
    json_t *args = json_object_get(line, "arguments");

    if (!json_is_object(line) || !json_is_string(name) || (args && !json_is_object(args)))
        return err_set(&r->err, -EPROTO,
                       "a request is {\"execute\": NAME, \"arguments\": {...}, \"id\": ANY}; "
                       "arguments and id may be left out");
    cl->id = json_incref(json_object_get(line, "id"));
    int rc = check_names(r, line, names, "a request has no part");
    if (rc < 0)
        return rc;
    const struct command *cmd = find(json_string_value(name));
    if (!cmd)
        return err_set(&r->err, -ENOSYS, "there is no command '%.80s'", json_string_value(name));
    r->args = args;
    rc = check_names(r, args, cmd->args, "the command takes no argument");
    return rc < 0 ? rc : cmd->run(c, cl, r);
}

void control_line(struct control *c, struct client *cl, const char *text, size_t len)
{
    struct request r = {0};
    json_error_t e;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    if (len == 0)
        return;
    json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    const int rc = line ? run(c, cl, &r, line) : err_set(&r.err, -EPROTO, "no JSON: %s", e.text);
    settle(cl, &r, rc);
    json_decref(r.ret);
    json_decref(line);
}

/* --- arguments ------------------------------------------------------------------------------- */

int arg_need(struct request *r, const char *name)
{
    return json_object_get(r->args, name)
               ? 0
               : err_set(&r->err, -EINVAL, "the argument '%s' is missing", name);
}

int arg_u64(struct request *r, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(r->args, name);
    if (!v)
        return 0;
    const json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
        return err_set(&r->err, -EINVAL, "'%s' must be a whole number from %llu to %llu", name,
                       (unsigned long long)min, (unsigned long long)max);
    *out = (uint64_t)n;
    return 0;
}

int arg_bool(struct request *r, const char *name, bool *out)
{
    const json_t *v = json_object_get(r->args, name);
    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return err_set(&r->err, -EINVAL, "'%s' must be true or false", name);
    *out = json_is_true(v);
    return 0;
}

int arg_word(struct request *r, const char *name, const char *const *words, int *out)
{
    const json_t *v = json_object_get(r->args, name);
    char all[200] = "";
    if (!v)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (json_is_string(v) && strcmp(json_string_value(v), words[i]) == 0) {
            *out = i;
            return 0;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", words[i]);
    }
    return err_set(&r->err, -EINVAL, "'%s' must be one of: %s", name, all);
}

uint64_t control_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool control_held(struct control *c)
{
    pthread_mutex_lock(&c->vm->calls.lock);
    const bool held = c->vm->calls.held;
    pthread_mutex_unlock(&c->vm->calls.lock);
    return held;
}

int control_call(struct control *c, struct request *r, void (*fn)(struct vm *, void *), void *ctx)
{
    const uint64_t start = control_now_us();
    const int rc = vm_call(c->vm, fn, ctx);
    if (!control_held(c)) /* who stands still loses nothing */
        budget_charge(&c->budget, control_now_us() - start);
    return rc == -ESHUTDOWN
               ? err_set(&r->err, rc, "the machine does not run: it has not begun, or has ended")
               : rc;
}
