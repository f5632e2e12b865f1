/*
 * A VM: memory, one processor, its engines, its devices, and how it came to its end.
 */
#ifndef UMBRA_VMM_VM_H
#define UMBRA_VMM_VM_H

#include <pthread.h>
#include <stdatomic.h>

#include "mm/mm.h"
#include "vmm/dev/board.h"
#include "vmm/dev/chardev.h"
#include "vmm/engine.h"
#include "vmm/errmsg.h"
#include "vmm/gmem.h"
#include "vmm/load/image.h"
#include "vmm/shadow/shadow.h"
#include "vmm/space.h"
#include "vmm/stats.h"
#include "vmm/strict_tlb.h"
#include "vmm/trace_insn.h"
#include "vmm/vm_bios.h"
#include "vmm/vm_break.h"
#include "vmm/vm_call.h"
#include "vmm/vm_display.h"
#include "vmm/vm_rom.h"
#include "vmm/vm_shutdown.h"
#include "vmm/vm_swap.h"
#include "vmm/vm_trace.h"

enum vm_engine { VM_ENGINE_AUTO, VM_ENGINE_KVM, VM_ENGINE_SOFT };
enum vm_display_kind { VM_DISPLAY_NONE, VM_DISPLAY_TEXT };
enum vm_ring0 { VM_RING0_AUTO, VM_RING0_NATIVE, VM_RING0_SOFT };

#define VM_RAM_DEFAULT  (128ull << 20)
#define VM_RAM_MAX      (0xe0000000ull) /* above it lie a PC's devices */
#define VM_RAM_MIN      (1ull << 20)
#define VM_POOL_STEP    (4u << 20) /* the frame pool grows by this many bytes */
#define VM_SHADOW_QUOTA 4096       /* table pages: 16 MiB */

/* Least bytes of frame pool with swap: the pages of one instruction, with its page tables, must
 * find room at the same time. */
#define VM_POOL_SWAP_MIN (256u << 10)

struct failpoint;

struct vm_opts {
    uint64_t ram;  /* bytes, a multiple of PAGE_SIZE */
    uint64_t pool; /* bytes of the frame pool; 0: enough for all of RAM */
    uint32_t shadow_quota;
    enum vm_engine engine;
    enum vm_ring0 ring0;
    const char *kvm_path; /* NULL: /dev/kvm */
    bool costs;           /* time page faults by cause, and what the soft CPU asks for */
    uint32_t audit;       /* check every invariant after every so many traps; 0: never */
    bool console;         /* COM1 on stdin and stdout */
    int serial_fd;        /* > 0: COM1's output goes there instead, and it has no input */
    bool no_apic;
    enum vm_display_kind display; /* not without console */
    unsigned timeout_s;           /* 0: none */
    unsigned insn_ns;    /* guest time is counted, so many ns for each instruction (soft engine
                            only); 0: it is the host's */
    bool calendar_given; /* the RTC starts at calendar_s, seconds since 1970 */
    uint64_t calendar_s;
    bool strict_tlb;         /* look for missing flushes of the TLB (soft engine only) */
    unsigned strict_reports; /* ... and keep so many reports */
    const char *panic_text;  /* a line of COM1 with it is the guest's end; NULL: none is */
    bool held;               /* stand still before the first instruction, until somebody resumes */
    /* Tracing and breakpoints, soft CPU only. The caller gives lines, dumps and breaks; lines NULL
     * and no breaks: none. */
    struct trace_insn_opts trace;
    /* Where pages go that do not fit the pool: vm_swap_open's, stays the caller's and outlives the
     * machine. NULL: nowhere. */
    struct store *store;
    /* Makes allocations and swap I/O fail on request; outlives the machine. NULL: never. */
    struct failpoint *fail;
    const char *swap_name; /* its file, for messages; may be NULL */
    bool no_pci;           /* an ISA PC: firmware then looks for drives at their ISA ports */
    bool no_reboot; /* a reset ends the machine, also where there is firmware to start again */
    FILE *debugcon; /* what the guest writes to ports 0x402 and 0xe9; NULL: nobody listens */
    struct board_drive drive[BOARD_DRIVES]; /* the disks outlive the machine */
    struct disk *floppy[FDC_DRIVES];        /* ... and these; NULL: no such drive */
    struct trace_ring *ring; /* faults and page states are recorded there; stays the caller's and
                              * outlives the machine. NULL: they are not */
    bool large_pages;        /* map aligned 2 MiB by one entry of the shadow where they can be */
    uint32_t share;          /* pages that are looked at for sharing after each trap; 0: none */
};

/* Why a machine has ended. */
enum vm_end {
    VM_RUNNING,
    VM_END_HALT,  /* HLT with interrupts off, or switched off: the guest is done */
    VM_END_EXIT,  /* the guest wrote the exit port */
    VM_END_RESET, /* the guest asked for a reset */
    VM_END_QUIT,  /* the user asked for it */
    VM_END_TIMEOUT,
    VM_END_OOM,   /* the frame pool is used up */
    VM_END_WILD,  /* triple fault, execution where nothing is, ... */
    VM_END_PANIC, /* COM1 had panic_text in a line */
    VM_END_AUDIT, /* --audit found an invariant broken */
    VM_END_HOST,  /* engine or host failed */
};

/* The last fault of a guest page that the memory manager answered; all 0: none. */
#define FAULT_MARK_SHIFT 16
struct fault_mark {
    uint32_t when;       /* time-stamp counter since stats.start_tsc >> FAULT_MARK_SHIFT, plus 1 */
    uint32_t path : 24;  /* enum mm_path bits */
    uint32_t result : 8; /* enum mm_result */
};

/* Does the soft CPU hold code of a frame decoded? Beside kvm, such frames are read-only while kvm
 * runs, and not before: the soft CPU knows its own stores, and where it runs alone, as a BIOS does
 * for long, code that writes beside itself costs nothing. */
enum vm_code {
    VM_CODE_NONE,
    VM_CODE_NEW,     /* since kvm has run */
    VM_CODE_WATCHED, /* and writes trap */
};
#define VM_CODE_NEW_MAX 256

struct vm {
    struct vm_opts opts;
    struct pool *pool;
    struct mm *mm;
    struct gmem gmem; /* RAM: space 0 */
    struct gmem *as;  /* the address space that the vCPU is in: &gmem, or another one of spaces */
    struct spaces spaces;
    struct shadow *shadow;
    struct cpu cpu;
    struct engine *kvm;  /* NULL: not in use */
    struct engine *soft; /* always there: engine, or emulator beside kvm */
    struct board board;
    struct chardev *console;
    int32_t hc_status;   /* of the last hypercall */
    uint8_t *code_frame; /* by frame: enum vm_code; only beside kvm */
    struct {             /* frames with VM_CODE_NEW, and what they back in this space */
        frame_t frame;
        gfn_t gfn;
    } code_new[VM_CODE_NEW_MAX];
    unsigned code_news;
    struct trace_insn *trace; /* NULL: off */
    struct stats stats;
    struct strict_tlb *strict; /* NULL: off */
    /* vm_board.c */
    bool nmi;              /* one is to be delivered */
    bool intr;             /* the interrupt controllers want the processor's attention */
    uint64_t skipped_ns;   /* counted time: what halts have skipped */
    uint64_t start_ns;     /* host's monotonic time at the machine's start */
    uint64_t alarm_ns;     /* when the alarm rings, device time */
    int alarm_fd, wake_fd; /* timerfd; eventfd that wakes a halted vCPU */
    pthread_t alarm;
    bool alarm_runs;
    _Atomic bool closing, sleeping;
    uint32_t guest_error;              /* of FAULT_GUEST */
    uint32_t fault_result, fault_path; /* of the last fault that mm answered */
    struct fault_mark *marks;          /* by guest page of RAM; NULL: not kept */
    struct vm_swap swap;
    struct vm_trace tracing; /* the page trace; off without a ring */
    struct vm_rom rom;
    struct vm_bios bios;
    struct vm_shutdown shutdown;
    bool reset_due; /* before the next instruction */
    struct vm_display display;
    uint64_t traps; /* so far, the one at hand included */
    enum vm_end end;
    int exit_status;        /* of VM_END_EXIT */
    char end_text[512];     /* what happened, for people */
    bool end_dump;          /* registers belong to the message */
    char engine_why[256];   /* why this engine was chosen */
    _Atomic uint32_t asked; /* enum vm_asked: what other threads want of the vCPU's */
    struct vm_calls calls;
    struct vm_breaks breaks;
    bool call_due;     /* VM_ASK_CALL was asked and waits for the next edge of an instruction */
    uint64_t tsc_base; /* guest TSC less the host's, WRMSR aside */
    void *timer;       /* timer_t of timeout_s */
    bool timer_armed;
};

enum vm_asked {
    VM_ASK_QUIT = 1,
    VM_ASK_INPUT = 2,
    VM_ASK_TIMEOUT = 4,
    VM_ASK_TIME = 8,
    VM_ASK_CALL = 16,
    VM_ASK_SCREEN = 32
};

/* 0, or a negative errno with err filled (-ENOENT, -EACCES, -ENOTSUP: the host lacks what the
 * chosen engine needs). */
int vm_create(const struct vm_opts *o, struct vm **out, struct errmsg *err);
void vm_destroy(struct vm *vm);

/* The name people know the engine in use by: "kvm", "soft", "kvm+soft ring 0". */
const char *vm_engine_name(const struct vm *vm);

/* Run until the machine ends; vm->end says why. Call from one thread only. */
void vm_run(struct vm *vm);
/* The exit code of the umbra command for how the machine ended. */
int vm_exit_code(const struct vm *vm);

/* From any thread or a signal handler: do `what` soon. */
void vm_ask(struct vm *vm, enum vm_asked what);

/* End the machine when the instruction at hand is done; the first reason stands. */
void vm_finish(struct vm *vm, enum vm_end end, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* --- inside vmm/ ------------------------------------------------------------------------------ */

/* fault.c: what a fault of the shadow tables came to. */
enum fault_outcome {
    FAULT_RETRY,   /* mapped: run the instruction again */
    FAULT_EMULATE, /* there is no RAM: the soft CPU must do the access */
    FAULT_GUEST,   /* the guest's own: #PF with vm->guest_error is to be delivered */
    FAULT_ENDED,   /* the machine has ended */
};
/* error: W, U and I of enum pf_error say what the access was. */
enum fault_outcome fault_handle(struct vm *vm, la_t la, uint32_t error);

/* prefetch.c: la has just been mapped as w found; map what lies beside it and needs no work. */
void prefetch_near(struct vm *vm, la_t la, bool user, const struct walk *w);
/* ... and the whole of the 2 MiB around it, where one large entry of the shadow can map them. */
void prefetch_large(struct vm *vm, la_t la, bool user, const struct walk *w);

/* vm_board.c: devices, time, interrupts. */
int vm_board_create(struct vm *vm, struct errmsg *err);
void vm_board_destroy(struct vm *vm);
bool vm_board_io(void *vm, uint16_t port, unsigned size, bool in, uint32_t count, void *data);
/* As many of them as the device does in one go; *go_on: as vm_board_io's result. */
uint32_t vm_board_io_many(void *vm, uint16_t port, unsigned size, bool in, uint32_t count,
                          void *data, bool *go_on);
/* An access of size 1, 2 or 4 within a page where no RAM is, or a write to a locked ROM. */
uint32_t vm_board_mmio_read(void *vm, gpa_t gpa, unsigned size);
void vm_board_mmio_write(void *vm, gpa_t gpa, uint32_t val, unsigned size);
/* Device time: nanoseconds since the machine's start. */
uint64_t vm_board_now(const struct vm *vm);
/* Bring the devices up to the present. */
void vm_board_update(struct vm *vm);
/* The vector of a pending interrupt, acknowledged; -1 if there is none. */
int vm_board_ack(struct vm *vm);
/* HLT: sleep until there is something to do, or end the machine. */
void vm_board_halt(struct vm *vm);
/* Sleep until one of `asked` (enum vm_asked) is asked; returns now and then without reason. */
void vm_board_sleep(struct vm *vm, uint32_t asked);
/* From any thread: wake a vCPU that sleeps in vm_board_halt() or vm_board_sleep(). */
void vm_board_wake(struct vm *vm);

/* Guest time stands still from one to the other; the first returns what the second needs. */
uint64_t vm_board_freeze(struct vm *vm);
void vm_board_thaw(struct vm *vm, uint64_t frozen);

/* Before the kvm engine runs, or another space is entered: frames whose code the soft CPU has come
 * to hold become read-only. */
void vm_watch_code(struct vm *vm);

/* May the kvm engine translate by this view's tables? */
bool vm_kvm_walks(const struct vm *vm, bool user);

/* End the machine because page gpa, which is `what`, could not be had: err is -EIO (its content
 * cannot be read back) or -ENOMEM (there is no frame for it). */
void fault_no_page(struct vm *vm, int err, const char *what, gpa_t gpa);

/* hypercall.c: claim the port on the bus. */
int hypercall_init(struct vm *vm);

#endif
