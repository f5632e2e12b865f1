#include "vmm/value.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Digits at *s in base 10, or 16 behind 0x; *s moves behind them, also if they are too many. */
static int number(const char **s, uint64_t *out)
{
    const char *p = *s;
    unsigned base = 10;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    }
    uint64_t val = 0;
    bool over = false;
    const char *start = p;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (base == 16 && (*p | 32) >= 'a' && (*p | 32) <= 'f')
            digit = (unsigned)((*p | 32) - 'a') + 10;
        else
            break;
        over = over || __builtin_mul_overflow(val, (uint64_t)base, &val) ||
               __builtin_add_overflow(val, (uint64_t)digit, &val);
    }
    if (p == start)
        return -EINVAL;
    *s = p;
    if (over)
        return -ERANGE;
    *out = val;
    return 0;
}

/* A number with its unit at *s, likewise. */
static int scaled(const char **s, uint64_t *out)
{
    uint64_t val = 0;
    int err = number(s, &val);
    if (err == -EINVAL)
        return err;
    static const char units[] = "KMGT";
    const char *unit = **s ? strchr(units, **s >= 'a' ? **s - 32 : **s) : NULL;
    if (unit) {
        const unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (val > UINT64_MAX >> shift)
            err = -ERANGE;
        val <<= shift;
        (*s)++;
        if ((*s)[0] == 'i' && (*s)[1] == 'B')
            *s += 2;
        else if (**s == 'B')
            (*s)++;
    }
    if (!err)
        *out = val;
    return err;
}

int value_size(const char *s, uint64_t *out, struct errmsg *e)
{
    const char *p = s;
    uint64_t val = 0;
    int err = scaled(&p, &val);
    if (*p)
        err = -EINVAL;
    if (err == -ERANGE)
        return err_set(e, err, "'%.80s' is more than 64 bits can hold", s);
    if (err)
        return err_set(e, err, "'%.80s' is no size; write 4096, 0x1000, 64M or 1G", s);
    *out = val;
    return 0;
}

int value_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out, struct errmsg *e)
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

int value_range(const char *s, struct value_range *out, struct errmsg *e)
{
    const char *p = s;
    uint64_t first = 0, last = 0;
    int err = scaled(&p, &first);
    last = first;
    char sign = 0;
    if (err != -EINVAL && (*p == '-' || *p == '+')) {
        sign = *p++;
        const int second = scaled(&p, &last);
        err = err && second != -EINVAL ? err : second;
    }
    if (*p)
        err = -EINVAL;
    if (!err && sign == '+') {
        if (last == 0)
            return err_set(e, -ERANGE, "'%.80s' is an empty range", s);
        if (__builtin_add_overflow(first, last - 1, &last))
            err = -ERANGE;
    }
    if (err == -ERANGE)
        return err_set(e, err, "'%.80s' is more than 64 bits can hold", s);
    if (err)
        return err_set(e, err, "'%.80s' is no range; write START-END or START+LENGTH", s);
    if (last < first)
        return err_set(e, -ERANGE, "'%.80s' ends before it starts", s);
    *out = (struct value_range){first, last};
    return 0;
}

int value_choice(const char *s, const char *const *words, int *out, struct errmsg *e)
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

int value_time(const char *s, uint64_t *out, struct errmsg *e)
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
