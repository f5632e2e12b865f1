#include "vmm/cmd/opts.h"

#include <errno.h>
#include <string.h>

#include "vmm/cmd/nearest.h"
#include "vmm/value.h"

void opts_init(struct opts *o, int argc, char **argv, const struct opt *table)
{
    memset(o, 0, sizeof *o);
    o->argc = argc;
    o->argv = argv;
    o->at = 1;
    o->table = table;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != 0;
}

static const struct opt *find_in(const struct opt *table, const char *name, size_t len)
{
    for (const struct opt *t = table; t && t->name; t++)
        if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
            return t;
    return NULL;
}

static const struct opt *find(const struct opts *o, const char *name, size_t len)
{
    const struct opt *t = find_in(o->table, name, len);
    return t ? t : find_in(o->more, name, len);
}

static int unknown(struct opts *o, const char *word)
{
    struct nearest n = {.typed = word + strspn(word, "-")};
    for (const struct opt *t = o->table; t->name; t++)
        nearest_try(&n, t->name);
    if (n.best)
        err_set(&o->err, 0, "unknown option %.80s; did you mean %s%s?", word,
                n.best[1] ? "--" : "-", n.best);
    else
        err_set(&o->err, 0, "unknown option %.80s", word);
    return OPTS_BAD;
}

/* The option takes the next word, if there is one. */
static int take_next(struct opts *o, const struct opt *t)
{
    if (o->at >= o->argc) {
        err_set(&o->err, 0, "option %s needs a value", o->name);
        return OPTS_BAD;
    }
    o->value = o->argv[o->at++];
    if (t->arg == OPT_MANY)
        o->many = t;
    return t->id;
}

static int option_without_equals(struct opts *o, const struct opt *t)
{
    switch (t->arg) {
    case OPT_VALUE:
    case OPT_MANY: return take_next(o, t);
    case OPT_MAYBE_RANGE:
        if (o->at < o->argc &&
            value_range(o->argv[o->at], &(struct value_range){0}, NULL) != -EINVAL)
            o->value = o->argv[o->at++];
        break;
    case OPT_NONE:
    case OPT_MAYBE: break;
    }
    return t->id;
}

static int option(struct opts *o, char *word)
{
    const char *name = word + (word[1] == '-' ? 2 : 1);
    const char *eq = strchr(name, '=');
    o->name = word;
    const struct opt *t = find(o, name, eq ? (size_t)(eq - name) : strlen(name));
    if (!t && word[1] != '-') { /* -m64M */
        t = find_in(o->table, name, 1);
        if (!t || (t->arg != OPT_VALUE && t->arg != OPT_MANY))
            return unknown(o, word);
        o->value = name + 1 + (name[1] == '=');
        return t->id;
    }
    if (!t)
        return unknown(o, word);
    if (!eq)
        return option_without_equals(o, t);
    if (t->arg == OPT_NONE) {
        err_set(&o->err, 0, "option --%s takes no value", t->name);
        return OPTS_BAD;
    }
    o->value = eq + 1;
    if (t->arg == OPT_MANY)
        o->many = t;
    return t->id;
}

int opts_next(struct opts *o)
{
    o->value = NULL;
    o->name = NULL;
    if (o->at >= o->argc)
        return OPTS_END;
    char *word = o->argv[o->at++];
    if (!o->words_only && strcmp(word, "--") == 0) {
        o->words_only = true;
        o->many = NULL;
        return opts_next(o);
    }
    if (!o->words_only && is_option(word)) {
        o->many = NULL;
        return option(o, word);
    }
    o->value = word;
    return o->many ? o->many->id : OPTS_WORD;
}
