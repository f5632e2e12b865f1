/*
 * The soft CPU: an i386 in software. It is a CPU engine of its own, the emulator for what the kvm
 * engine cannot run, and the oracle that engines are tested against.
 *
 * It knows no VM and no shadow table: all that is outside the processor comes through struct
 * soft_env. Users need only this header.
 *
 * Threads: one soft CPU belongs to one thread, but for soft_kick().
 */
#ifndef UMBRA_VMM_SOFT_SOFT_H
#define UMBRA_VMM_SOFT_SOFT_H

#include "mm/types.h"
#include "vmm/cpu/cpu.h"

struct soft;

enum soft_access { SOFT_R, SOFT_W, SOFT_X };

/* One page as the software TLB holds it. */
struct soft_page {
    uint8_t *host; /* host address of the 4 KiB page; NULL: no memory, go through mmio_* */
    frame_t frame; /* key of the decoded-block cache; FRAME_NONE where host is NULL */
    gpa_t gpa;     /* of the page */
    bool writable; /* may be written without asking again */
    bool executable;
};

/* What is around the processor. Callbacks may read and change the cpu that was given to
 * soft_create() except where noted. */
struct soft_env {
    void *ctx;
    /*
     * Translate the page that holds la for an access with user (CPL 3) or supervisor rights.
     * 0: *out is filled. -EFAULT: the mapper has no such mapping or right: the instruction is
     * undone and soft_run() returns SOFT_EXIT_PF. The error code's P bit is the monitor's to find
     * out.
     */
    int (*translate)(void *ctx, la_t la, enum soft_access acc, bool user, struct soft_page *out);
    /*
     * Every use of a translation: called before la is accessed, page NULL, and again when it may
     * be, with what translates it. May call into the mapper, which may take translations back. The
     * soft CPU then does without its hit paths. For code, once for each block. NULL: nobody looks.
     */
    void (*used)(void *ctx, la_t la, enum soft_access acc, bool user, const struct soft_page *page);
    /* Memory that is not RAM. Little-endian value of size 1, 2 or 4 bytes that does not cross a
     * page. */
    uint32_t (*mmio_read)(void *ctx, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *ctx, gpa_t gpa, uint32_t val, unsigned size);
    uint32_t (*io_in)(void *ctx, uint16_t port, unsigned size);
    void (*io_out)(void *ctx, uint16_t port, uint32_t val, unsigned size);
    /* REP INS and OUTS: as many of count accesses to one port as a device does in one go, from or
     * to memory; returns how many. 0: none, make them one by one. May be NULL. Changes no mapping.
     */
    uint32_t (*io_many)(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count,
                        void *data);
    void (*cpuid)(void *ctx, uint32_t leaf, uint32_t subleaf,
                  uint32_t out[4]); /* EAX EBX ECX EDX */
    uint64_t (*tsc)(void *ctx);     /* guest's TSC */
    /* Registers that the soft CPU does not keep itself. false: #GP(0). */
    bool (*rdmsr)(void *ctx, uint32_t msr, uint64_t *val);
    bool (*wrmsr)(void *ctx, uint32_t msr, uint64_t val);
    /* CR0, CR3, CR4 or EFER have changed (already stored in the cpu). reg: 0, 3, 4, or -1 for EFER.
     * Called for every load of CR3, changed or not. false: the value must not be (PAE PDPTEs with
     * reserved bits): #GP(0), and the soft CPU puts the old value back. A MOV to CR3 drops no
     * translation but those that this drops (soft_tlb_drop(), soft_tlb_flush()): the mapper knows
     * which ones are others now. */
    bool (*cr_written)(void *ctx, int reg, uint32_t old);
    void (*invlpg)(void *ctx, la_t la);
    /* IA32_APIC_BASE has changed (already stored in the cpu). May be NULL. */
    void (*apic_base)(void *ctx);
    /* The next vector of a pending external interrupt, acknowledged; -1: none after all. */
    int (*intr_ack)(void *ctx);
    /* Decoded blocks are about to be kept for a frame (true; gpa: the page by which it was reached)
     * or are gone (false). They stay while nothing maps the frame. The owner makes sure that writes
     * by others, and another use of the frame, are reported with soft_code_written() or
     * soft_code_forget(). May be NULL. */
    void (*code_frame)(void *ctx, frame_t f, gpa_t gpa, bool cached);
    /* cpu->fpu is about to be read or changed by an instruction: make it true. May be NULL. */
    void (*fpu_use)(void *ctx);
    /* FERR#: with CR0.NE clear a waiting instruction has met a pending x87 exception, or meets none
     * any more. true: an interrupt that this has caused goes first; soft_run() ends with
     * SOFT_EXIT_ATTENTION before the instruction. false: it goes on, as if IGNNE# were asserted.
     * NULL: always so. */
    bool (*ferr)(void *ctx, bool level);
};

enum soft_exit {
    SOFT_EXIT_BUDGET, /* the instruction budget is used up */
    SOFT_EXIT_PF,  /* translate() said -EFAULT: see exit->la, ->access, ->user. State is as before
                      the instruction (or between two iterations of a REP) */
    SOFT_EXIT_HLT, /* HLT; EIP is behind it and cpu->halted is set */
    SOFT_EXIT_ATTENTION,   /* soft_kick(), or a callback asked to stop */
    SOFT_EXIT_SHUTDOWN,    /* triple fault: cpu as it was before the delivery, exit->why says it */
    SOFT_EXIT_UNSUPPORTED, /* exit->why names what is not supported yet; state unchanged */
};

struct soft_exit_info {
    enum soft_exit kind;
    la_t la;
    enum soft_access access;
    bool user;      /* the access had user rights */
    uint64_t insns; /* instructions completed in this call, as soft_insns() counts them */
    char why[160];
};

/* cpu and env stay the caller's and must outlive the soft CPU. max_frames: frames that translate()
 * can name. 0, -ENOMEM. */
int soft_create(struct cpu *cpu, const struct soft_env *env, uint32_t max_frames,
                struct soft **out);
void soft_destroy(struct soft *s);

/*
 * Run from the cpu's state until something of enum soft_exit, at most budget instructions (a REP
 * that comes back to the run loop in between uses up one more each time).
 * Guest exceptions are delivered through the guest's IDT inside. On return the cpu is exact.
 */
enum soft_exit soft_run(struct soft *s, uint64_t budget, struct soft_exit_info *exit);
/* One instruction, decoded from memory as it is now, no cached block used or made. */
enum soft_exit soft_step(struct soft *s, struct soft_exit_info *exit);

/*
 * Deliver an exception or interrupt through the guest's IDT (SDM vol. 3, 6.12), with #DF and
 * shutdown rules (6.15, table 6-5). Same results as soft_run(); SOFT_EXIT_BUDGET means delivered.
 * An SOFT_EXIT_PF means: resolve the access and call again.
 */
struct soft_event {
    uint8_t vector;
    bool has_error;
    uint32_t error;
    enum { SOFT_EV_EXTERNAL, SOFT_EV_FAULT, SOFT_EV_TRAP, SOFT_EV_SOFTINT, SOFT_EV_NMI } kind;
    uint32_t cr2;      /* for #PF */
    uint32_t next_eip; /* SOFTINT: EIP behind the instruction */
};
enum soft_exit soft_deliver(struct soft *s, const struct soft_event *ev,
                            struct soft_exit_info *exit);

/* Something has begun that only this CPU can end: an event that is still to be delivered, a task
 * switch half-way. No other engine may run the cpu before soft_run(), soft_step() or soft_deliver()
 * has. */
bool soft_unfinished(const struct soft *s);
/* Does the x87 hold FERR# now? What has cleared the exception lowers it first. Another engine,
 * which does not know FERR#, must not run code meanwhile: it would not see the exception cleared.
 */
bool soft_ferr(struct soft *s);

/* An external interrupt is (not) pending: soft_run() takes it by intr_ack() as soon as the cpu may.
 */
void soft_set_intr(struct soft *s, bool pending);
/* Leave soft_run() soon with SOFT_EXIT_ATTENTION; from any thread or a signal handler. */
void soft_kick(struct soft *s);

/*
 * Instructions completed since soft_create(); inside a callback, those before the one at hand.
 * Nothing but the guest's own doing decides about the count: a REP is one, when it is done, however
 * often it was interrupted or missed a page; an instruction that faults is none.
 */
uint64_t soft_insns(const struct soft *s);
/* From a callback: soft_run() is to end with SOFT_EXIT_BUDGET when n more instructions are complete
 * behind the one at hand, if its budget reaches so far. */
void soft_limit(struct soft *s, uint64_t n);

/* The mapper took away or restricted a translation. */
void soft_tlb_drop(struct soft *s, la_t la);
void soft_tlb_flush(struct soft *s);
/* Bytes off .. off+len-1 of a frame were written by somebody else, or the frame has left. */
void soft_code_written(struct soft *s, frame_t f, uint32_t off, uint32_t len);
/* Every frame with decoded code for which gone() is true has left. */
void soft_code_forget(struct soft *s, bool (*gone)(const void *ctx, frame_t f), const void *ctx);

/*
 * Places to stop at, for a debugger: before the instruction at la (SOFT_STOP_EXEC), or behind one
 * that has read or written one of len bytes there. hit() is told, inside soft_run(), which then
 * returns with SOFT_EXIT_ATTENTION; soft_step() reports data only. An instruction that was stopped
 * before is passed when the CPU goes on from it. The guest sees nothing of it; it becomes slow.
 */
enum soft_stop_kind { SOFT_STOP_EXEC, SOFT_STOP_WRITE, SOFT_STOP_READ, SOFT_STOP_ACCESS };
struct soft_stop {
    la_t la;
    uint32_t len; /* bytes; of data only */
    enum soft_stop_kind kind;
};
#define SOFT_STOPS_MAX 64
/* The list, n long, replaces the one before; it is copied. 0; -ENOSPC. Not inside soft_run(). */
int soft_set_stops(struct soft *s, const struct soft_stop *list, unsigned n,
                   void (*hit)(void *ctx, const struct soft_stop *stop), void *ctx);

/* The x87 tag word, two bits for each register, that an FXSAVE image stands for (SDM vol. 1,
 * 8.1.7). */
uint16_t soft_fpu_tags(const uint8_t fxsave[512]);

/* Called before each instruction when set (tracing); makes the soft CPU slow. NULL: off. */
void soft_set_trace(struct soft *s, void (*hook)(void *ctx, const struct cpu *cpu), void *ctx);

#endif
