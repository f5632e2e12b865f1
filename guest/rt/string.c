/* The memory functions that compilers expect of any environment. */
#include "guest/rt/rt.h"

/* Keeps a compiler from seeing memcpy in the loop that is memcpy. */
#define OPAQUE() __asm__ volatile("" : : : "memory")

void *memcpy(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    while (n-- > 0) {
        *t++ = *f++;
        OPAQUE();
    }
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (t <= f)
        return memcpy(to, from, n);
    while (n-- > 0) {
        t[n] = f[n];
        OPAQUE();
    }
    return to;
}

void *memset(void *to, int c, size_t n)
{
    uint8_t *t = to;

    while (n-- > 0) {
        *t++ = (uint8_t)c;
        OPAQUE();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n > 0; n--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}
