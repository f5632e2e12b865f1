/*
 * The runtime that our guests share: console, end, boot information, hypercalls, TAP.
 * A guest runs in ring 0 with paging off, the loader's flat segments and interrupts off; it needs
 * nothing of the CPU but integer code, IN, OUT, CLI and HLT. It has a main() and includes this
 * header.
 */
#ifndef UMBRA_GUEST_RT_RT_H
#define UMBRA_GUEST_RT_RT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/abi.h"
#include "guest/rt/io.h"

#define PAGE_SIZE 4096u

/* The guest itself. Its result is handed to rt_exit. */
int main(void);

/* --- console.c: COM1, polled. A newline is sent as it is, with no carriage return. --- */
void rt_console_init(void);
void rt_putc(char c);
void rt_puts(const char *s);
/* Knows %c %s %d %u %x %p %%, a width, flags 0 and -. */
void rt_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void rt_vprintf(const char *fmt, va_list ap);

/* --- start.c --- */
/* v = 0: the clean end, HLT with interrupts off. Else v goes to the exit port: status (v << 1) | 1.
 */
_Noreturn void rt_exit(unsigned v);
/* Says why and ends with UMBRA_EXITV_PANIC. */
_Noreturn void rt_panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- boot.c: what the loader told us --- */
struct rt_range {
    uint32_t start, end; /* end excluded; 4 GiB ends as 0xfffff000 */
};
void rt_boot_init(uint32_t info);
const char *rt_cmdline(void); /* the image's name included; "" if none */
/* Value of a word NAME=NUMBER (decimal or 0x...) of the command line, otherwise if there is none.
 */
uint32_t rt_option(const char *name, uint32_t otherwise);
/* Is there a word NAME=VALUE (or just NAME, for value "")? */
bool rt_option_is(const char *name, const char *value);
uint32_t rt_ram_end(void); /* first address beyond RAM */
/* The RAM above the image, the modules and the boot information: free to use, whole pages. */
struct rt_range rt_free_ram(void);
/* The n-th entry of the memory map; false if there are fewer. */
bool rt_memory_map(unsigned n, uint32_t *start, uint32_t *last, uint32_t *type);
unsigned rt_module_count(void);
bool rt_module(unsigned n, struct rt_range *at, const char **string);

/* --- hypercall.c --- */
/* Hand over the block at addr; the answer is the status that the port gives. */
int32_t rt_hypercall_raw(uint32_t addr);
/* Fill in magic, version and status, call, return the status. Number and arguments are the
 * caller's. */
int32_t rt_hypercall(struct umbra_hc *h);
/* UMBRA_HC_PTE_QUERY of la; the results lie in the returned block until the next query. */
const struct umbra_hc *rt_pte_query(uint32_t la);
/* UMBRA_HC_POOL_INFO likewise. */
const struct umbra_hc *rt_pool_info(void);
/* Is the machine's monitor ours? */
bool rt_monitor_present(void);

/* --- tap.c: results in the Test Anything Protocol --- */
bool tap_ok(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct tap_counts {
    unsigned all, failed;
};
/* Count there from now on: for a guest with several address spaces, memory that they share. */
void tap_keep(struct tap_counts *at);
/* Print the plan. Returns what main() should: 0, or UMBRA_EXITV_FAIL. */
int tap_done(void);

/* Makes the image a test guest: what `umbra test` is to give the machine: words like "m=16M pool=4M
 * zpool=32M". */
#define TEST_NEEDS(words)                                                                          \
    __attribute__((used)) static const char test_needs[] = "umbra-test: " words

/* --- string.c --- */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif
