/* What a program has: system calls. */
#ifndef UMBRA_GUEST_TINYKERNEL_USER_H
#define UMBRA_GUEST_TINYKERNEL_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/tinykernel/sys.h"

#define PAGE 4096u

int program(void);

static inline int32_t sys(uint32_t n, uint32_t a, uint32_t b, uint32_t c)
{
    int32_t r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}

static inline int32_t fork(void)
{
    return sys(SYS_FORK, 0, 0, 0);
}
static inline int32_t getpid(void)
{
    return sys(SYS_GETPID, 0, 0, 0);
}
static inline int32_t wait(uint32_t *status)
{
    return sys(SYS_WAIT, (uint32_t)status, 0, 0);
}
static inline int32_t stat(uint32_t what)
{
    return sys(SYS_STAT, what, 0, 0);
}
static inline int32_t ok(bool passed, const char *text)
{
    return sys(SYS_REPORT, passed, (uint32_t)text, 0);
}
static inline _Noreturn void leave(uint32_t code)
{
    for (;;)
        (void)sys(SYS_EXIT, code, 0, 0);
}
static inline volatile uint32_t *word(uint32_t at)
{
    return (volatile uint32_t *)at;
}

#endif
