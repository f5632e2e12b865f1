/* The serial console and a small printf. */
#include "guest/rt/rt.h"

enum { UART_DATA, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR };
enum { LCR_8N1 = 0x03, LCR_DLAB = 0x80, LSR_THRE = 0x20 };

void rt_console_init(void)
{
    outb(UMBRA_COM1_PORT + UART_IER, 0);
    outb(UMBRA_COM1_PORT + UART_LCR, LCR_DLAB);
    outb(UMBRA_COM1_PORT + UART_DATA, 1); /* divisor 1: 115200 baud */
    outb(UMBRA_COM1_PORT + UART_IER, 0);
    outb(UMBRA_COM1_PORT + UART_LCR, LCR_8N1);
    outb(UMBRA_COM1_PORT + UART_FCR, 0x07); /* FIFOs on and emptied */
    outb(UMBRA_COM1_PORT + UART_MCR, 0x03); /* DTR, RTS */
}

void rt_putc(char c)
{
    while (!(inb(UMBRA_COM1_PORT + UART_LSR) & LSR_THRE))
        ;
    outb(UMBRA_COM1_PORT + UART_DATA, (uint8_t)c);
}

void rt_puts(const char *s)
{
    while (*s)
        rt_putc(*s++);
}

struct spec {
    bool zero, left;
    unsigned width;
};

static void pad(char c, unsigned n)
{
    while (n-- > 0)
        rt_putc(c);
}

static void put_field(const char *s, struct spec sp, bool number)
{
    unsigned len = (unsigned)strlen(s), fill = sp.width > len ? sp.width - len : 0;

    if (number && sp.zero && !sp.left) {
        if (*s == '-')
            rt_putc(*s++);
        pad('0', fill);
        fill = 0;
    }
    if (!sp.left)
        pad(' ', fill);
    rt_puts(s);
    if (sp.left)
        pad(' ', fill);
}

static void put_number(uint32_t v, unsigned base, bool negative, struct spec sp)
{
    char buf[12], *p = buf + sizeof buf - 1;

    *p = '\0';
    do
        *--p = "0123456789abcdef"[v % base];
    while (v /= base);
    if (negative)
        *--p = '-';
    put_field(p, sp, true);
}

static const char *parse_spec(const char *p, struct spec *sp)
{
    *sp = (struct spec){0};
    for (; *p == '0' || *p == '-'; p++)
        *(*p == '0' ? &sp->zero : &sp->left) = true;
    for (; *p >= '0' && *p <= '9'; p++)
        sp->width = sp->width * 10 + (unsigned)(*p - '0');
    return p;
}

void rt_vprintf(const char *fmt, va_list ap)
{
    for (const char *p = fmt; *p; p++) {
        char one[2] = {0};
        struct spec sp;
        int32_t d;

        if (*p != '%') {
            rt_putc(*p);
            continue;
        }
        p = parse_spec(p + 1, &sp);
        switch (*p) {
        case 'c':
            one[0] = (char)va_arg(ap, int);
            put_field(one, sp, false);
            break;
        case 's': put_field(va_arg(ap, const char *), sp, false); break;
        case 'd':
            d = va_arg(ap, int32_t);
            put_number(d < 0 ? 0u - (uint32_t)d : (uint32_t)d, 10, d < 0, sp);
            break;
        case 'u': put_number(va_arg(ap, uint32_t), 10, false, sp); break;
        case 'x': put_number(va_arg(ap, uint32_t), 16, false, sp); break;
        case 'p':
            sp = (struct spec){.zero = true, .width = 8};
            put_number((uint32_t)va_arg(ap, void *), 16, false, sp);
            break;
        case '\0': return;
        default: rt_putc(*p); break;
        }
    }
}

void rt_printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    rt_vprintf(fmt, ap);
    va_end(ap);
}
