/*
 * The VGA from inside: text memory by every kind of access, registers that read as they were
 * written, planes in graphics modes, the status bits; and what string instructions do when they
 * fault between device memory and RAM. The last line of its screen is for whoever dumps it.
 */
#include "guest/rt/paging.h"
#include "guest/rt/trap.h"

#define TEXT  0xb8000u
#define GRAPH 0xa0000u
#define HOLE  0x40000000u /* mapped nowhere */

static volatile uint8_t *const text = (volatile uint8_t *)TEXT;
static volatile uint8_t *const graph = (volatile uint8_t *)GRAPH;

static void set(uint16_t port, uint8_t index, uint8_t v)
{
    outw(port, (uint16_t)(index | v << 8));
}

static uint8_t get(uint16_t port, uint8_t index)
{
    outb(port, index);
    return inb((uint16_t)(port + 1));
}

static void text_accesses(void)
{
    volatile uint32_t *dword = (volatile uint32_t *)TEXT;
    uint32_t lo = 0, hi = 0, v;

    for (unsigned i = 0; i < 8; i++)
        text[i] = (uint8_t)(0x10 + i);
    tap_ok(dword[0] == 0x13121110 && dword[1] == 0x17161514, "bytes written, dwords read");
    tap_ok(*(volatile uint16_t *)(TEXT + 3) == 0x1413, "a word at an odd address");
    *(volatile uint32_t *)(TEXT + 1) = 0xddccbbaa;
    tap_ok(dword[0] == 0xccbbaa10 && text[4] == 0xdd, "a dword at an odd address");
    *(volatile uint32_t *)(TEXT + 0xffe) = 0x44332211;
    tap_ok(text[0xfff] == 0x22 && text[0x1000] == 0x33, "a dword over the end of a page");

    dword[0] = 0x0f0f0f0f;
    __asm__ volatile("orb $0xf0, %0" : "+m"(text[1]));
    __asm__ volatile("lock addl $1, %0" : "+m"(dword[0]));
    __asm__ volatile("incb %0" : "+m"(text[3]));
    tap_ok(dword[0] == 0x100fff10, "or, lock add, inc: %08x", dword[0]);
    v = 0xcafe;
    __asm__ volatile("xchg %0, %1" : "+r"(v), "+m"(dword[0]));
    tap_ok(v == 0x100fff10 && dword[0] == 0xcafe, "xchg");
    dword[0] = 1;
    dword[1] = 2;
    __asm__ volatile("lock cmpxchg8b %2"
                     : "=a"(lo), "=d"(hi), "+m"(*(volatile uint64_t *)TEXT)
                     : "0"(1), "1"(2), "b"(3), "c"(4));
    tap_ok(dword[0] == 3 && dword[1] == 4, "cmpxchg8b");
    __asm__ volatile("push %1\n\tpop %0" : "=r"(v) : "m"(dword[1]));
    tap_ok(v == 4, "push from device memory");
}

static void strings(void)
{
    static uint8_t ram[4096];
    uint32_t n = 80 * 24 * 2 / 4, at, from;

    for (unsigned i = 0; i < 80 * 25 * 2; i++)
        text[i] = (uint8_t)(i * 7);
    at = TEXT;
    from = TEXT + 160;
    __asm__ volatile("cld; rep movsl" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    bool good = true;
    for (unsigned i = 0; i < 80 * 24 * 2; i++)
        good = good && text[i] == (uint8_t)((i + 160) * 7);
    tap_ok(good && n == 0, "rep movsl scrolls the screen by a line");
    n = 80;
    at = TEXT + 80 * 24 * 2;
    __asm__ volatile("rep stosw" : "+D"(at), "+c"(n) : "a"(0x0720) : "memory");
    tap_ok(text[80 * 25 * 2 - 2] == ' ' && text[80 * 25 * 2 - 1] == 7, "rep stosw blanks a line");
    n = sizeof ram;
    at = (uint32_t)ram;
    from = TEXT;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    n = sizeof ram;
    at = (uint32_t)ram;
    from = TEXT;
    __asm__ volatile("repe cmpsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory", "cc");
    tap_ok(n == 0 && ram[4000] == text[4000], "movsb and cmpsb between screen and RAM");
}

/* REP MOVS towards a page that is not there stops at its first element, registers as they stand. */
static __attribute__((noinline)) void string_faults(uint32_t pd)
{
    uint32_t n, at, from;

    pg_map(pd, HOLE, pg_alloc(), PTE_P | PTE_W);
    for (unsigned i = 0; i < 64; i++)
        text[i] = (uint8_t)(i + 1);
    trap_forget();
    n = 16;
    at = HOLE + PAGE_SIZE - 12;
    from = TEXT;
    __asm__ volatile(TRAP_FIX("movs_at", "movs_fixed") "movs_at: rep movsl\nmovs_fixed:"
                     : "+D"(at), "+S"(from), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_last()->taken && trap_last()->cr2 == HOLE + PAGE_SIZE && n == 13 &&
               at == HOLE + PAGE_SIZE && from == TEXT + 12,
           "screen to a page that ends: ecx %u edi %08x esi %08x", n, at, from);
    tap_ok(load32(HOLE + PAGE_SIZE - 4) == 0x0c0b0a09, "what fitted has arrived");
}

static void registers(void)
{
    bool good = true;

    set(0x3d4, 0x0e, 0x01);
    set(0x3d4, 0x0f, 0x23);
    tap_ok(get(0x3d4, 0x0e) == 0x01 && get(0x3d4, 0x0f) == 0x23, "the cursor's place");
    set(0x3d4, 0x0c, 0x02);
    set(0x3d4, 0x0d, 0x40);
    tap_ok(get(0x3d4, 0x0c) == 0x02 && get(0x3d4, 0x0d) == 0x40, "the start address");
    set(0x3d4, 0x0c, 0);
    set(0x3d4, 0x0d, 0);
    tap_ok((get(0x3d4, 0x11) & 0x80) && get(0x3d4, 0x01) == 79, "80 columns, timings protected");
    set(0x3d4, 0x01, 39);
    tap_ok(get(0x3d4, 0x01) == 79, "protected registers stay as they are");

    (void)inb(0x3da);
    outb(0x3c0, 0x10 | 0x20);
    const uint8_t mode = inb(0x3c1);
    outb(0x3c0, mode ^ 0x08);
    (void)inb(0x3da);
    outb(0x3c0, 0x10 | 0x20);
    tap_ok(inb(0x3c1) == (mode ^ 0x08), "an attribute register by index and data");
    outb(0x3c0, mode);
    (void)inb(0x3da);
    outb(0x3c0, 0x20);

    outb(0x3c8, 200);
    for (unsigned i = 0; i < 6; i++)
        outb(0x3c9, (uint8_t)(10 + i));
    outb(0x3c7, 200);
    for (unsigned i = 0; i < 6; i++)
        good = good && inb(0x3c9) == 10 + i;
    tap_ok(good, "two palette entries, written and read");
    tap_ok(inb(0x3cc) & 1, "colour: the CRTC answers at 3D4");
}

static void retrace(void)
{
    unsigned dark = 0, light = 0, retraces = 0;

    for (unsigned i = 0; i < 2000000 && !(dark && light && retraces > 1); i++) {
        const uint8_t s = inb(0x3da);
        dark += s & 1;
        light += !(s & 1);
        if (s & 8) {
            retraces++;
            while (inb(0x3da) & 8)
                ;
        }
    }
    tap_ok(dark && light && retraces > 1, "display enable and vertical retrace come and go");
}

/* Write modes and reads in a mode with 16 colours. */
static void planes(void)
{
    bool good = true;

    set(0x3c4, 4, 0x06); /* sequential, all 256 KiB */
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 0x05); /* graphics, 64 KiB at A0000 */
    for (unsigned p = 0; p < 4; p++) {
        set(0x3c4, 2, (uint8_t)(1 << p));
        graph[0x1000] = (uint8_t)(0x11 * (p + 1));
    }
    for (unsigned p = 0; p < 4; p++) {
        set(0x3ce, 4, (uint8_t)p);
        good = good && graph[0x1000] == 0x11 * (p + 1);
    }
    tap_ok(good, "each plane for itself");

    set(0x3c4, 2, 0x0f);
    set(0x3ce, 5, 1); /* write mode 1 copies the latches */
    graph[0x1001] = (graph[0x1000], 0);
    set(0x3ce, 5, 0);
    set(0x3ce, 4, 3);
    good = graph[0x1001] == 0x44;
    set(0x3ce, 4, 0);
    tap_ok(good && graph[0x1001] == 0x11, "write mode 1 copies all planes");

    (void)graph[0x1000];
    set(0x3ce, 8, 0x0f);
    set(0x3ce, 5, 2); /* write mode 2: one bit for each plane */
    graph[0x1000] = 0x05;
    set(0x3ce, 5, 0);
    set(0x3ce, 4, 0);
    good = graph[0x1000] == 0x1f;
    set(0x3ce, 4, 1);
    tap_ok(good && graph[0x1000] == 0x20, "write mode 2 under a bit mask");

    set(0x3ce, 8, 0xff);
    set(0x3ce, 0, 0x02);
    set(0x3ce, 5, 3); /* write mode 3: data is a mask for set/reset */
    (void)graph[0x1000];
    graph[0x1000] = 0xf0;
    set(0x3ce, 5, 0);
    set(0x3ce, 4, 1);
    good = graph[0x1000] == 0xf0;
    set(0x3ce, 4, 0);
    tap_ok(good && graph[0x1000] == 0x0f, "write mode 3");

    set(0x3ce, 0, 0x0c);
    set(0x3ce, 1, 0x04); /* set/reset for plane 2 only */
    set(0x3ce, 3, 0x01); /* rotate by one */
    graph[0x1002] = 0x81;
    set(0x3ce, 1, 0);
    set(0x3ce, 4, 0);
    good = graph[0x1002] == 0xc0;
    set(0x3ce, 4, 2);
    good = good && graph[0x1002] == 0xff;
    set(0x3ce, 3, 0x18); /* exclusive or */
    graph[0x1002] = 0xff;
    set(0x3ce, 3, 0);
    good = good && graph[0x1002] == 0;
    tap_ok(good, "rotation, set/reset, exclusive or");

    set(0x3ce, 0, 0);
    for (unsigned i = 0; i < 2; i++)
        graph[0x1010 + i] = 0;
    set(0x3c4, 2, 0x05);
    graph[0x1010] = 0x3c; /* colour 5 where a bit is set */
    set(0x3c4, 2, 0x0f);
    set(0x3ce, 2, 5);
    set(0x3ce, 7, 0x0f);
    set(0x3ce, 5, 0x08); /* read mode 1 */
    tap_ok(graph[0x1010] == 0x3c && graph[0x1011] == 0, "read mode 1 finds a colour");
    set(0x3ce, 5, 0);

    set(0x3c4, 4, 0x0e); /* chain 4: a byte for each pixel */
    for (unsigned i = 0; i < 16; i++)
        graph[0x2000 + i] = (uint8_t)(i * 3);
    good = true;
    for (unsigned i = 0; i < 16; i++)
        good = good && graph[0x2000 + i] == i * 3;
    tap_ok(good && *(volatile uint32_t *)(GRAPH + 0x2004) == 0x15120f0c, "chain 4");

    set(0x3ce, 6, 0x0e); /* and back to text at B8000 */
    set(0x3ce, 5, 0x10);
    set(0x3ce, 4, 0);
    set(0x3c4, 4, 0x02);
    set(0x3c4, 2, 0x03);
    if (rt_monitor_present())
        tap_ok(graph[0] == 0xff, "in text mode nothing answers at A0000");
}

static void show(unsigned row, const char *s, uint8_t attr)
{
    for (unsigned i = 0; s[i]; i++) {
        text[row * 160 + 2 * i] = (uint8_t)s[i];
        text[row * 160 + 2 * i + 1] = attr;
    }
}

int main(void)
{
    const uint32_t pd = pg_identity();

    pg_start(pd, true, 0);
    text_accesses();
    strings();
    string_faults(pd);
    registers();
    retrace();
    planes();
    for (unsigned i = 0; i < 80 * 25; i++)
        *(volatile uint16_t *)(TEXT + 2 * i) = 0x0720;
    show(0, "\xc9\xcd The VGA's text screen \xcd\xbb", 0x1f);
    show(24, "in its last line", 0x70);
    set(0x3d4, 0x0e, 0);
    set(0x3d4, 0x0f, 80);
    return tap_done();
}
