/*
 * The gdb stub (vmm/gdb/): its packets, and a client of our own on a Unix socket that does what a
 * debugger does and what it should not. A plain program, so that the thread sanitizer can run it.
 * tests/gdb.sh does the same with the real gdb.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/plain_assert.h"
#include "vmm/cpu/cpu.h"
#include "vmm/gdb/gdb.h"
#include "vmm/gdb/gdb_regs.h"
#include "vmm/gdb/rsp.h"
#include "vmm/vm.h"

enum { ENTRY = 0x1000, DATA = 0x5000, WAIT_MS = 20000 };

/* 1000 inc %eax; 1001 mov %eax, DATA; 1006 jmp 1000 */
static const uint8_t loop_code[] = {0x40, 0xa3, 0x00, 0x50, 0x00, 0x00, 0xeb, 0xf8};

/* --- packets --------------------------------------------------------------------------------- */

static enum rsp_event feed(struct rsp_rx *rx, const char *bytes, size_t n)
{
    enum rsp_event last = RSP_MORE;
    for (size_t i = 0; i < n; i++)
        last = rsp_feed(rx, (uint8_t)bytes[i]);
    return last;
}

static void packets(void)
{
    static struct rsp_rx rx;
    static struct rsp_tx tx;
    uint64_t v = 0;
    const char *p = "1f,";
    uint8_t b[2];

    cr_assert(feed(&rx, "$g#67", 5) == RSP_PACKET && rx.len == 1 && rx.buf[0] == 'g');
    cr_assert(feed(&rx, "$g#68", 5) == RSP_BAD);
    cr_assert(feed(&rx, "noise$g#67", 10) == RSP_PACKET);
    cr_assert(feed(&rx, "$lost$g#67", 10) == RSP_PACKET && rx.len == 1);
    cr_assert(feed(&rx, "\3", 1) == RSP_BREAK);
    cr_assert(feed(&rx, "-", 1) == RSP_NAK);
    cr_assert(feed(&rx, "$}\3#80", 6) == RSP_PACKET && rx.buf[0] == '#');
    cr_assert(feed(&rx, "$", 1) == RSP_MORE);
    for (size_t i = 0; i < RSP_MAX + 100; i++)
        cr_assert(rsp_feed(&rx, 'a') == RSP_MORE);
    cr_assert(feed(&rx, "#00", 3) == RSP_BAD);
    cr_assert(feed(&rx, "$g#67", 5) == RSP_PACKET);

    rsp_begin(&tx);
    rsp_binary(&tx, "a#}", 3);
    cr_assert(rsp_end(&tx) && memcmp(tx.buf, "$a}\3}]#", 7) == 0);
    rsp_begin(&tx);
    for (size_t i = 0; i < sizeof tx.buf; i++)
        rsp_binary(&tx, "x", 1);
    cr_assert(!rsp_end(&tx));

    cr_assert(rsp_number(&p, &v) && v == 0x1f && *p == ',');
    cr_assert(!rsp_number(&p, &v));
    p = "10000000000000000";
    cr_assert(!rsp_number(&p, &v));
    p = "12zz";
    cr_assert(!rsp_unhex(&p, b, 2));
}

static void register_numbers(void)
{
    static struct cpu cpu;
    uint8_t v[GDB_REG_MAX] = {1, 2, 3, 4};

    cpu_set_flat(&cpu, ENTRY);
    for (unsigned n = 0; n < gdb_reg_count(); n++) {
        uint8_t now[GDB_REG_MAX];
        const size_t size = gdb_reg_get(&cpu, n, now);
        cr_assert(size == 4 || size == 10 || size == 16);
        cr_assert(gdb_reg_set(&cpu, n, now, size) == size); /* as it is */
        cr_assert(gdb_reg_set(&cpu, n, v, size - 1) == 0);
    }
    cr_assert(gdb_reg_get(&cpu, gdb_reg_count(), v) == 0);
    cr_assert(gdb_reg_set(&cpu, 0, v, 4) == 4 && cpu.gpr[R_EAX] == 0x04030201);
    cr_assert(gdb_reg_set(&cpu, 10, v, 4) == 0); /* CS */
    memset(v, 0xff, sizeof v);
    cr_assert(gdb_reg_set(&cpu, 9, v, 4) == 4);
    cr_assert(!(cpu.eflags & (FL_VM | FL_RF)) && (cpu.eflags & FL_CF));
}

/* --- a client -------------------------------------------------------------------------------- */

struct world {
    struct vm *vm;
    struct gdb *gdb;
    pthread_t thread;
    char path[64];
};

static void *run(void *ctx)
{
    vm_run(ctx);
    return NULL;
}

static void start(struct world *w)
{
    static struct errmsg err;
    char addr[80];
    const struct vm_opts o = {.ram = 4u << 20, .shadow_quota = 256, .engine = VM_ENGINE_SOFT};

    memset(w, 0, sizeof *w);
    cr_assert(vm_create(&o, &w->vm, &err) == 0);
    cr_assert(gmem_write(&w->vm->gmem, ENTRY, loop_code, sizeof loop_code) == 0);
    cpu_set_flat(&w->vm->cpu, ENTRY);
    snprintf(w->path, sizeof w->path, "/tmp/umbra-test-gdb.%d", (int)getpid());
    snprintf(addr, sizeof addr, "unix:%s", w->path);
    cr_assert(gdb_start(w->vm, addr, &w->gdb, &err) == 0);
    cr_assert(pthread_create(&w->thread, NULL, run, w->vm) == 0);
}

static void end(struct world *w)
{
    cr_assert(pthread_join(w->thread, NULL) == 0);
    gdb_stop(w->gdb);
    cr_assert(access(w->path, F_OK) != 0);
    vm_destroy(w->vm);
}

static int dial(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(a.sun_path, w->path);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static int next_byte(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint8_t b;
    cr_assert(poll(&p, 1, WAIT_MS) == 1);
    return read(fd, &b, 1) == 1 ? b : -1;
}

static void say(int fd, const char *text)
{
    uint8_t sum = 0;
    char line[600];
    for (const char *p = text; *p; p++)
        sum = (uint8_t)(sum + (uint8_t)*p);
    const int n = snprintf(line, sizeof line, "$%s#%02x", text, sum);
    cr_assert(write(fd, line, (size_t)n) == n);
}

/* The next packet, without its frame; console output is passed over. */
static const char *hear(int fd)
{
    static char text[40000];
    do {
        size_t n = 0;
        int c;
        while ((c = next_byte(fd)) != '$')
            cr_assert(c == '+');
        while ((c = next_byte(fd)) != '#' && n < sizeof text - 1) {
            cr_assert(c >= 0);
            text[n++] = (char)c;
        }
        text[n] = 0;
        (void)next_byte(fd);
        (void)next_byte(fd);
        (void)!write(fd, "+", 1); /* it may be gone after its last word */
    } while (text[0] == 'O' && text[1] != 'K');
    return text;
}

static const char *ask(int fd, const char *text)
{
    say(fd, text);
    return hear(fd);
}

#define SAYS(fd, question, answer) cr_assert(strcmp(ask(fd, question), answer) == 0)

static void stops_and_goes(void)
{
    struct world w;
    start(&w);
    int fd = dial(&w);

    cr_assert(strstr(ask(fd, "qSupported:swbreak+"), "PacketSize=4000"));
    SAYS(fd, "?", "T05thread:1;");
    SAYS(fd, "Z0,1001,1", "OK");
    say(fd, "c");
    cr_assert(strncmp(hear(fd), "T05thread:1;hwbreak", 19) == 0);
    SAYS(fd, "p8", "01100000"); /* EIP */
    SAYS(fd, "s", "T05thread:1;");
    SAYS(fd, "p8", "06100000");
    SAYS(fd, "z0,1001,1", "OK");
    SAYS(fd, "z0,1001,1", "OK");
    SAYS(fd, "Z2,5002,2", "OK");
    say(fd, "vCont;c");
    cr_assert(strstr(hear(fd), "watch:5002;"));
    SAYS(fd, "p8", "06100000"); /* behind the store */
    SAYS(fd, "z2,5002,2", "OK");
    SAYS(fd, "Z2,5008,4", "OK"); /* never hit */
    say(fd, "c");
    usleep(3000);
    cr_assert(write(fd, "\3", 1) == 1);
    cr_assert(strncmp(hear(fd), "T02", 3) == 0);

    SAYS(fd, "P0=78563412", "OK");
    SAYS(fd, "p0", "78563412");
    SAYS(fd, "M5000,4:01020304", "OK");
    SAYS(fd, "m5000,4", "01020304");
    SAYS(fd, "X5000,2:ab", "OK");
    SAYS(fd, "m4fff,4", "00616203");
    SAYS(fd, "m3ffffe,4", "0000"); /* RAM ends here */
    SAYS(fd, "m400000,4", "E0e");
    SAYS(fd, "mffffffff,2", "E01"); /* would wrap */
    SAYS(fd, "m5000,0", "");
    cr_assert(strlen(ask(fd, "m0,ffff")) > 1000); /* as much as fits */
    SAYS(fd, "qRcmd,707420307830", "OK");         /* pt 0x0 */
    SAYS(fd, "qRcmd,zz", "E01");
    SAYS(fd, "D", "OK");
    cr_assert(next_byte(fd) < 0);
    close(fd);
    vm_ask(w.vm, VM_ASK_QUIT);
    end(&w);
}

static void hear_errors(int fd, const char *const *wrong)
{
    for (; *wrong; wrong++) {
        const char *a = ask(fd, *wrong);
        cr_assert(a[0] == 'E' || a[0] == 0);
    }
}

static void bad_clients(void)
{
    static const char *const wrong[] = {"m",
                                        "m,",
                                        "m5000",
                                        "mzz,1",
                                        "M5000,4",
                                        "M5000,4:01",
                                        "M5000,4:0102030z",
                                        "X5000,9:a",
                                        "Z",
                                        "Z0",
                                        "Z0,",
                                        "Z9,1,1",
                                        "Z2,1000,0",
                                        "Z2,1000,1001",
                                        "Z0,100000000,1",
                                        "p",
                                        "pffff",
                                        "P",
                                        "P0",
                                        "P0=",
                                        "P0=zz",
                                        "Pa=12345678",
                                        "G00",
                                        "Gzz",
                                        "cxyz",
                                        "Cxy",
                                        "vCont",
                                        "vCont;",
                                        "vCont;x",
                                        "qXfer:features:read:other:0,1",
                                        "qXfer:features:read:target.xml:0",
                                        "qRcmd,1",
                                        "unknown",
                                        NULL};
    struct world w;
    char room[32];
    start(&w);

    int fd = dial(&w);
    SAYS(fd, "?", "T05thread:1;");
    hear_errors(fd, wrong);
    for (unsigned k = 0; k < SOFT_STOPS_MAX; k++) {
        snprintf(room, sizeof room, "Z0,%x,1", 0x8000 + k);
        SAYS(fd, room, "OK");
    }
    SAYS(fd, "Z0,9000,1", "E1c");

    /* A second debugger is turned away; the first does not notice. */
    const int second = dial(&w);
    cr_assert(next_byte(second) < 0);
    close(second);
    SAYS(fd, "?", "T05thread:1;");

    /* A wrong checksum, and a packet that never ends. */
    cr_assert(write(fd, "$g#00", 5) == 5);
    int c;
    while ((c = next_byte(fd)) == '+')
        ;
    cr_assert(c == '-');
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    cr_assert(write(fd, "$", 1) == 1);
    for (int i = 0; i < 64; i++)
        cr_assert(write(fd, junk, sizeof junk) == (ssize_t)sizeof junk);
    close(fd);

    /* It went away without a word: breakpoints are gone, the guest runs. */
    fd = dial(&w);
    const uint32_t before = (uint32_t)strtoul(ask(fd, "p0"), NULL, 16);
    say(fd, "c");
    usleep(5000);
    cr_assert(write(fd, "\3", 1) == 1);
    cr_assert(strncmp(hear(fd), "T02", 3) == 0);
    cr_assert((uint32_t)strtoul(ask(fd, "p0"), NULL, 16) != before);

    /* The machine ends while the debugger waits. */
    say(fd, "c");
    cr_assert(next_byte(fd) == '+');
    vm_ask(w.vm, VM_ASK_QUIT);
    cr_assert(strcmp(hear(fd), "W00") == 0);
    cr_assert(next_byte(fd) < 0);
    close(fd);
    end(&w);
}

static void bad_addresses(void)
{
    static const char *const wrong[] = {"",      "tcp:",      "tcp:1:2:x", "65536", "-1",
                                        "unix:", "tcp:host:", "1234x",     " 1",    NULL};
    struct world w = {0};
    struct errmsg err;
    const struct vm_opts o = {.ram = 4u << 20, .shadow_quota = 256, .engine = VM_ENGINE_SOFT};

    cr_assert(vm_create(&o, &w.vm, &err) == 0);
    for (int i = 0; wrong[i]; i++)
        cr_assert(gdb_start(w.vm, wrong[i], &w.gdb, &err) == -EINVAL);
    cr_assert(gdb_start(w.vm, "unix:/tmp", &w.gdb, &err) == -EEXIST);
    cr_assert(gdb_start(w.vm, "unix:/nowhere/x", &w.gdb, &err) == -ENOENT);
    cr_assert(gdb_start(w.vm, "0", &w.gdb, &err) == 0);
    cr_assert(strncmp(gdb_where(w.gdb), "127.0.0.1:", 10) == 0);
    struct gdb *other;
    char busy[80];
    snprintf(busy, sizeof busy, "tcp:%s", gdb_where(w.gdb));
    cr_assert(gdb_start(w.vm, busy, &other, &err) == -EADDRINUSE);
    gdb_stop(w.gdb);
    gdb_stop(NULL);
    vm_destroy(w.vm);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    packets();
    register_numbers();
    bad_addresses();
    stops_and_goes();
    bad_clients();
    return 0;
}
