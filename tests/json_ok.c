/*
 * json_ok [-l]: is standard input one JSON text (RFC 8259), or with -l one in each line? Exit
 * status 0, or 1 with the place where it is not. A filter for scripts of tests.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

struct text {
    const unsigned char *s;
    size_t at, end;
};

static bool value(struct text *t, int depth);

static void space(struct text *t)
{
    while (t->at < t->end && strchr(" \t\r\n", t->s[t->at]) && t->s[t->at])
        t->at++;
}

static bool take(struct text *t, char c)
{
    if (t->at == t->end || t->s[t->at] != (unsigned char)c)
        return false;
    t->at++;
    return true;
}

static bool word(struct text *t, const char *w)
{
    const size_t n = strlen(w);
    if (t->end - t->at < n || memcmp(t->s + t->at, w, n) != 0)
        return false;
    t->at += n;
    return true;
}

/* Behind its first quote. Bytes from 0x80 on must be UTF-8. */
static bool string(struct text *t)
{
    while (t->at < t->end && t->s[t->at] != '"') {
        const unsigned c = t->s[t->at++];
        if (c < 0x20)
            return false;
        if (c == '\\') {
            const unsigned e = t->at < t->end ? t->s[t->at++] : 0;
            if (e == 'u') {
                for (int i = 0; i < 4; i++)
                    if (t->at == t->end || !isxdigit(t->s[t->at++]))
                        return false;
            } else if (!e || !strchr("\"\\/bfnrt", (int)e)) {
                return false;
            }
        }
        unsigned more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 9;
        if (more == 9)
            return false;
        for (; more; more--)
            if (t->at == t->end || t->s[t->at++] >> 6 != 2)
                return false;
    }
    return take(t, '"');
}

static bool digits(struct text *t)
{
    const size_t from = t->at;
    while (t->at < t->end && isdigit(t->s[t->at]))
        t->at++;
    return t->at > from;
}

static bool number(struct text *t)
{
    take(t, '-');
    if (!take(t, '0') && !digits(t))
        return false;
    if (take(t, '.') && !digits(t))
        return false;
    if (take(t, 'e') || take(t, 'E')) {
        if (!take(t, '+'))
            take(t, '-');
        return digits(t);
    }
    return true;
}

static bool list(struct text *t, int depth, bool object)
{
    const char close = object ? '}' : ']';
    space(t);
    if (take(t, close))
        return true;
    do {
        space(t);
        if (object) {
            if (!take(t, '"') || !string(t))
                return false;
            space(t);
            if (!take(t, ':'))
                return false;
        }
        if (!value(t, depth + 1))
            return false;
        space(t);
    } while (take(t, ','));
    return take(t, close);
}

static bool value(struct text *t, int depth)
{
    space(t);
    if (depth > DEPTH_MAX)
        return false;
    if (take(t, '{'))
        return list(t, depth, true);
    if (take(t, '['))
        return list(t, depth, false);
    if (take(t, '"'))
        return string(t);
    return word(t, "true") || word(t, "false") || word(t, "null") || number(t);
}

static bool whole(struct text *t)
{
    if (!value(t, 0))
        return false;
    space(t);
    return t->at == t->end;
}

int main(int argc, char **argv)
{
    const bool lines = argc > 1 && strcmp(argv[1], "-l") == 0;
    size_t len = 0, room = 1 << 16;
    unsigned char *s = malloc(room);
    for (size_t n; s && (n = fread(s + len, 1, room - len, stdin)) > 0;) {
        len += n;
        if (len < room)
            continue;
        unsigned char *more = realloc(s, room *= 2);
        if (!more)
            free(s);
        s = more;
    }
    if (!s)
        return 1;
    for (size_t from = 0, end; from < len || !len; from = end + 1) {
        const unsigned char *nl = lines ? memchr(s + from, '\n', len - from) : NULL;
        end = nl ? (size_t)(nl - s) : len;
        struct text t = {s, from, end};
        if (!whole(&t)) {
            printf("no JSON at byte %zu: %.60s\n", t.at, t.at < len ? (char *)s + t.at : "(end)");
            free(s);
            return 1;
        }
        if (end == len)
            break;
    }
    free(s);
    return 0;
}
