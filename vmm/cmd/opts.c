#include "vmm/cmd/opts.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "vmm/cmd/nearest.h"

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

static const struct opt *find(const struct opts *o, const char *name, size_t len)
{
    for (const struct opt *t = o->table; t->name; t++)
        if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
            return t;
    return NULL;
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
        if (o->at < o->argc && opt_range(o->argv[o->at], &(struct opt_range){0}, NULL) == 0)
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
        t = find(o, name, 1);
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

/* ------------------------------------------------------------------ values */

/* Digits at *s in base 10, or 16 behind 0x; *s moves behind them. */
static int number(const char **s, uint64_t *out)
{
    const char *p = *s;
    unsigned base = 10;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    }
    uint64_t val = 0;
    const char *start = p;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (base == 16 && (*p | 32) >= 'a' && (*p | 32) <= 'f')
            digit = (unsigned)((*p | 32) - 'a') + 10;
        else
            break;
        if (__builtin_mul_overflow(val, (uint64_t)base, &val) ||
            __builtin_add_overflow(val, (uint64_t)digit, &val))
            return -ERANGE;
    }
    if (p == start)
        return -EINVAL;
    *s = p;
    *out = val;
    return 0;
}

/* A number with its unit at *s. */
static int scaled(const char **s, uint64_t *out)
{
    uint64_t val;
    int err = number(s, &val);
    if (err)
        return err;
    static const char units[] = "KMGT";
    const char *unit = **s ? strchr(units, **s >= 'a' ? **s - 32 : **s) : NULL;
    if (unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (val > UINT64_MAX >> shift)
            return -ERANGE;
        val <<= shift;
        (*s)++;
        if ((*s)[0] == 'i' && (*s)[1] == 'B')
            *s += 2;
        else if (**s == 'B')
            (*s)++;
    }
    *out = val;
    return 0;
}

int opt_size(const char *s, uint64_t *out, struct errmsg *e)
{
    const char *p = s;
    uint64_t val;
    int err = scaled(&p, &val);
    if (!err && *p)
        err = -EINVAL;
    if (err == -ERANGE)
        return err_set(e, err, "'%.80s' is more than 64 bits can hold", s);
    if (err)
        return err_set(e, err, "'%.80s' is no size; write 4096, 0x1000, 64M or 1G", s);
    *out = val;
    return 0;
}

int opt_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out, struct errmsg *e)
{
    const char *p = s;
    uint64_t val = 0;
    int err = number(&p, &val);
    if (err == -EINVAL || *p)
        return err_set(e, -EINVAL, "'%.80s' is no number", s);
    if (err || val < min || val > max)
        return err_set(e, -ERANGE, "'%.80s' is not in %llu..%llu", s, (unsigned long long)min,
                       (unsigned long long)max);
    *out = val;
    return 0;
}

int opt_range(const char *s, struct opt_range *out, struct errmsg *e)
{
    const char *p = s;
    uint64_t first = 0, last = 0;
    int err = scaled(&p, &first);
    last = first;
    if (!err && (*p == '-' || *p == '+')) {
        char sign = *p++;
        uint64_t second;
        err = scaled(&p, &second);
        if (!err && sign == '-')
            last = second;
        else if (!err && second == 0)
            return err_set(e, -EINVAL, "'%.80s' is an empty range", s);
        else if (!err && __builtin_add_overflow(first, second - 1, &last))
            err = -ERANGE;
    }
    if (!err && *p)
        err = -EINVAL;
    if (err == -ERANGE)
        return err_set(e, err, "'%.80s' is more than 64 bits can hold", s);
    if (err)
        return err_set(e, err, "'%.80s' is no range; write START-END or START+LENGTH", s);
    if (last < first)
        return err_set(e, -EINVAL, "'%.80s' ends before it starts", s);
    *out = (struct opt_range){first, last};
    return 0;
}

int opt_choice(const char *s, const char *const *words, int *out, struct errmsg *e)
{
    char list[160] = "";
    size_t len = 0;
    for (int i = 0; words[i]; i++) {
        if (strcmp(s, words[i]) == 0) {
            *out = i;
            return 0;
        }
        int n = snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", words[i]);
        len += n > 0 && (size_t)n < sizeof list - len ? (size_t)n : 0;
    }
    return err_set(e, -EINVAL, "'%.80s' is none of: %s", s, list);
}

static bool two_digits(const char **s, int *out)
{
    const char *p = *s;
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    *s = p + 2;
    return true;
}

static bool skip_char(const char **s, char c)
{
    const bool there = **s == c;
    *s += there;
    return there;
}

int opt_time(const char *s, uint64_t *out, struct errmsg *e)
{
    const char *p = s;
    struct tm t = {0}, back;
    int century = 0, year = 0;
    bool good = two_digits(&p, &century) && two_digits(&p, &year) && skip_char(&p, '-') &&
                two_digits(&p, &t.tm_mon) && skip_char(&p, '-') && two_digits(&p, &t.tm_mday);
    if (good && skip_char(&p, 'T'))
        good = two_digits(&p, &t.tm_hour) && skip_char(&p, ':') && two_digits(&p, &t.tm_min) &&
               skip_char(&p, ':') && two_digits(&p, &t.tm_sec);
    t.tm_year = century * 100 + year - 1900;
    t.tm_mon--;
    const struct tm as_given = t;
    const time_t when = timegm(&t);
    /* What no calendar has comes back as another day. */
    if (!good || *p || when < 0 || !gmtime_r(&when, &back) || back.tm_mon != as_given.tm_mon ||
        back.tm_mday != as_given.tm_mday || back.tm_hour != as_given.tm_hour ||
        back.tm_min != as_given.tm_min || back.tm_sec != as_given.tm_sec || back.tm_year > 199)
        return err_set(e, -EINVAL, "'%.80s' is no moment; write 2026-01-31 or 2026-01-31T23:59:59",
                       s);
    *out = (uint64_t)when;
    return 0;
}
