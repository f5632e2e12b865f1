/*
 * cpubench: processor work for the speed comparison of tools/bench/cpu. kernel=NAME n=ROUNDS;
 * prints a checksum, so that two processors can be held against each other, and ends by the exit
 * port.
 */
#include "guest/rt/rt.h"

enum { WORDS = 1 << 16 };
static uint32_t data[WORDS], other[WORDS];

static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void fill(void)
{
    uint32_t x = 2463534242u;
    for (unsigned i = 0; i < WORDS; i++)
        data[i] = next_random(&x);
}

/* Shifts, XORs and a table: CRC-32 bit by bit, then a sieve. */
static uint32_t k_int(uint32_t rounds)
{
    static uint8_t composite[8192];
    uint32_t crc = ~0u, primes = 0;

    while (rounds-- > 0) {
        for (unsigned i = 0; i < 1024; i++) {
            crc ^= data[i] & 0xff;
            for (unsigned b = 0; b < 8; b++)
                crc = (crc & 1) ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
        memset(composite, 0, sizeof composite);
        for (unsigned i = 2; i < sizeof composite; i++) {
            if (composite[i])
                continue;
            primes++;
            for (unsigned k = 2 * i; k < sizeof composite; k += i)
                composite[k] = 1;
        }
    }
    return crc + primes;
}

/* Compare and exchange in memory: heap sort of 4096 words. */
static void sift(uint32_t *a, unsigned at, unsigned n)
{
    for (unsigned child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && a[child + 1] > a[child])
            child++;
        if (a[at] >= a[child])
            return;
        uint32_t t = a[at];
        a[at] = a[child];
        a[child] = t;
    }
}

static uint32_t k_sort(uint32_t rounds)
{
    enum { N = 4096 };
    uint32_t sum = 0;

    while (rounds-- > 0) {
        memcpy(other, data + (rounds & 7) * N, N * sizeof *other);
        for (unsigned i = N / 2; i-- > 0;)
            sift(other, i, N);
        for (unsigned n = N; --n > 0;) {
            uint32_t t = other[0];
            other[0] = other[n];
            other[n] = t;
            sift(other, 0, n);
        }
        sum += other[N / 2] ^ other[N - 1];
    }
    return sum;
}

/* Reads and writes over 512 KiB. */
static uint32_t k_mem(uint32_t rounds)
{
    uint32_t sum = 0;

    while (rounds-- > 0) {
        for (unsigned i = 0; i < WORDS; i++)
            sum += data[i];
        for (unsigned i = 0; i < WORDS; i++)
            other[i] = data[i] + sum;
        for (unsigned i = 0; i < WORDS; i += 16)
            data[i] ^= other[WORDS - 1 - i];
    }
    return sum;
}

static __attribute__((noinline)) uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t k_call(uint32_t rounds)
{
    uint32_t sum = 0;
    while (rounds-- > 0)
        sum += fib(18);
    return sum;
}

static uint32_t k_string(uint32_t rounds)
{
    while (rounds-- > 0) {
        const void *from = data;
        void *to = other;
        uint32_t n = WORDS;
        __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
        to = data;
        n = WORDS / 4;
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(rounds) : "memory");
    }
    return data[5] + other[WORDS - 1];
}

/* x = x * a + b in double precision. */
static uint32_t k_x87(uint32_t rounds)
{
    static const double a = 0.999, b = 1.5;
    double x = 1.0;
    uint32_t bits[2];

    __asm__ volatile("fninit");
    while (rounds-- > 0)
        __asm__ volatile("fldl %0\n\t"
                         "movl $1000, %%ecx\n"
                         "1:\tfmull %1\n\t"
                         "faddl %2\n\t"
                         "decl %%ecx\n\t"
                         "jnz 1b\n\t"
                         "fstpl %0"
                         : "+m"(x)
                         : "m"(a), "m"(b)
                         : "ecx", "memory");
    memcpy(bits, &x, sizeof bits);
    return bits[0] ^ bits[1];
}

/* Four floats at a time: y += a * x over 4 KiB. */
static uint32_t k_sse(uint32_t rounds)
{
    static float x[1024] __attribute__((aligned(16))), y[1024] __attribute__((aligned(16)));
    static const uint32_t start[4]
        __attribute__((aligned(16))) = {0x3f800000, 0x40000000, 0x3e800000, 0x3f000000};
    uint32_t sum = 0, cr4;

    __asm__ volatile("movl %%cr4, %0\n\torl $0x600, %0\n\tmovl %0, %%cr4" : "=&r"(cr4));
    for (unsigned i = 0; i < 1024; i++) {
        const uint32_t v = 0x3f800000 + (data[i] >> 10); /* 1.0 .. 1.5 */
        memcpy(x + i, &v, sizeof v);
    }
    while (rounds-- > 0)
        __asm__ volatile("movaps (%3), %%xmm2\n\t"
                         "movl $4096, %%ecx\n"
                         "1:\tmovaps -16(%1,%%ecx), %%xmm0\n\t"
                         "mulps %%xmm2, %%xmm0\n\t"
                         "addps -16(%2,%%ecx), %%xmm0\n\t"
                         "movaps %%xmm0, -16(%2,%%ecx)\n\t"
                         "subl $16, %%ecx\n\t"
                         "jnz 1b"
                         : "+m"(y)
                         : "r"(x), "r"(y), "r"(start)
                         : "ecx", "memory");
    for (unsigned i = 0; i < 1024; i++) {
        uint32_t v;
        memcpy(&v, y + i, sizeof v);
        sum = sum * 31 + v;
    }
    return sum;
}

int main(void)
{
    static const struct {
        const char *name;
        uint32_t (*run)(uint32_t rounds);
    } kernels[] = {{"int", k_int},       {"sort", k_sort}, {"mem", k_mem}, {"call", k_call},
                   {"string", k_string}, {"x87", k_x87},   {"sse", k_sse}};

    fill();
    for (unsigned i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (rt_option_is("kernel", kernels[i].name)) {
            const uint32_t n = rt_option("n", 0);
            rt_printf("%s %u: %08x\n", kernels[i].name, n, n ? kernels[i].run(n) : 0);
            rt_exit(UMBRA_EXITV_FAIL); /* QEMU does not end on HLT */
        }
    rt_panic("no such kernel");
}
