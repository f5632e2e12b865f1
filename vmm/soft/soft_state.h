/*
 * struct soft itself: software TLB, block cache, run loop's state. For the core's own files; the
 * system and FPU parts need only soft_int.h.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_STATE_H
#define UMBRA_VMM_SOFT_SOFT_STATE_H

#include "vmm/soft/soft_int.h"

#define soft_likely(x)   __builtin_expect(!!(x), 1)
#define soft_unlikely(x) __builtin_expect(!!(x), 0)
#define SOFT_INLINE      static inline __attribute__((always_inline))

/* --- TLB (soft_tlb.c) ---------------------------------------------------------------------- */

enum { TLB_BITS = 10, TLB_N = 1 << TLB_BITS };
#define TLB_NO_TAG UINT32_MAX /* no page address: its low bits are set */

/* What the inlined hit path looks at: RAM, nothing to be told on access. */
struct tlb_fast {
    uint32_t r, w; /* page address if such an access may go ahead, else TLB_NO_TAG */
    uintptr_t add; /* host address = add + la */
};

/* What is known of the page of the same index. */
struct tlb_page {
    uint32_t tag; /* page address; valid if gen is the TLB's */
    uint32_t gen;
    struct soft_page page;
};

/* One view: what a privilege level sees. */
struct tlb {
    struct tlb_fast fast[TLB_N];
    struct tlb_page page[TLB_N];
    bool filled; /* since the last flush */
};

/* --- block cache (soft_block.c) ------------------------------------------------------------ */

enum {
    BLOCK_INSNS = 32, /* most instructions in a block */
    BLOCK_LINE = 64,  /* header, instruction and tail are a cache line each */
    BLOCK_MODES = 64, /* distinct modes remembered */
    BLOCK_HASH_BITS = 15,
    BLOCK_JUMPS = 1 << 13,  /* entries of the jump cache */
    BLOCK_ARENA = 24 << 20, /* bytes */
};

/*
 * What a decoded block depends on besides its bytes. A block is found again only in the mode that
 * it was decoded in, so handlers may rely on it with no test.
 */
enum mode_flags {
    MODE_CS32 = 1,    /* CS.D */
    MODE_SS_FLAT = 2, /* SS: base 0, 4 GiB, writable, B set */
    MODE_DS_FLAT = 4, /* DS: base 0, 4 GiB, writable */
    MODE_CS_FLAT = 8, /* CS: base 0, 4 GiB */
    MODE_USER = 16,   /* CPL 3 */
};

struct mode {
    uint32_t cs_base, cs_limit, flags;
};

/*
 * A straight run of instructions that lie in one page, or a single one that crosses into the next.
 * Followed by n instructions and a tail.
 */
struct block {
    soft_run_fn entry;           /* executes the block: a translator may put its own here */
    struct block *hash_next;     /* same hash */
    struct block *frame_next[2]; /* other blocks in frame and frame2 */
    frame_t frame, frame2;       /* frame2: of a crossing instruction, else FRAME_NONE */
    uint32_t eip;
    uint16_t bytes; /* length in bytes */
    uint8_t n;      /* instructions */
    uint8_t mode;
    uint16_t off; /* of the first byte in frame */
    bool dead;    /* dropped; memory is reused when the arena is flushed */
    _Alignas(BLOCK_LINE) struct insn insn[];
};

/* Where a block goes on to (NULL: not known yet), valid while gen is the cache's, or again when
 * soft_link_renew() says so. */
struct link {
    struct block *to;
    uint32_t gen;
};

/* Behind a block's last instruction; begins as an instruction does, so that falling into it works.
 */
struct tail {
    soft_run_fn run;
    struct block *block;
    uint32_t eip;        /* behind the block */
    struct link link[2]; /* falling through; jump taken */
};
_Static_assert(sizeof(struct insn) == BLOCK_LINE && sizeof(struct tail) <= BLOCK_LINE &&
                   sizeof(struct block) == BLOCK_LINE,
               "one cache line each");

struct code_frame {
    frame_t frame;
    struct code_frame *next, *prev;
    struct block *blocks;
    uint64_t bytes[PAGE_SIZE / 64]; /* a bit for each byte that is part of a block */
};

struct jump {
    uint32_t eip, gen;
    struct block *to;
};

/* --- soft_set_stops() (soft_stop.c) -------------------------------------------------------- */

struct soft_stops {
    struct soft_stop at[SOFT_STOPS_MAX];
    unsigned n;
    bool data;    /* some are for data */
    bool passing; /* the instruction at `passed` was stopped before, and may run now */
    la_t passed;
    const struct soft_stop *found; /* by the instruction at hand, for when it is done */
    void (*hit)(void *ctx, const struct soft_stop *stop);
    void *ctx;
};

/* --- all of it ----------------------------------------------------------------------------- */

enum jump_code { JC_RAISE = 1, JC_MISS, JC_LEAVE };

struct soft {
    struct soft_core core;

    /* Looked at by every handler. */
    struct tlb *view;       /* of the current privilege level */
    uint32_t gen;           /* of links and jumps; never 0 */
    uint32_t brk;           /* the running block must stop behind the current instruction */
    int64_t left;           /* instructions that may still start */
    const struct insn *cur; /* plain instruction of a block being executed, else NULL */
    const struct insn *ip;  /* next instruction, where handlers return instead of going on */
    struct link *want;      /* link to be made to the block that comes next */
    uint8_t mode;           /* index of the current mode */
    bool mode_dirty;        /* mode must be worked out again */
    bool ac_armed;          /* #AC may be raised: CPL 3, CR0.AM, EFLAGS.AC */
    bool bp_any, bp_data;   /* breakpoints in DR7 or stops; those for data among them */
    /* What was cleared before the current instruction and comes back if it is not done. */
    bool had_rf, had_int_shadow, had_db_shadow;

    struct soft_stops stops;

    bool stepping; /* executing one instruction outside the block executor */

    /* Events. */
    bool intr_pending;
    int held_intr;    /* acknowledged, not yet delivered; -1: none */
    bool have_todo;   /* todo is to be delivered next */
    bool todo_inside; /* it arose inside soft_run() */
    bool todo_again;  /* it, or what it followed from, comes again with its instruction */
    bool undelivered; /* todo's last delivery missed at miss_la */
    bool miss_user;
    la_t miss_la;
    struct soft_event todo;
    struct cpu saved;         /* the cpu before a delivery, without its FPU */
    enum soft_exit left_with; /* JC_LEAVE's exit */
    uint64_t budget;
    uint64_t parts; /* of it: went to instructions that are not done */
    uint64_t done;  /* instructions completed in earlier runs */

    void (*trace)(void *ctx, const struct cpu *cpu);
    void *trace_ctx;

    /* Decoding. */
    ZydisDecoder decoder[2]; /* 16- and 32-bit code */
    bool has_popcnt, has_movbe, has_bmi1, has_abm;
    struct insn step_insn;

    /* Block cache. */
    struct mode modes[BLOCK_MODES];
    unsigned n_modes;
    struct code_frame **frames; /* by frame, NULL: no code */
    struct code_frame *code_list;
    uint32_t max_frames;
    uint8_t *arena;
    size_t arena_used;
    struct block *hash[1 << BLOCK_HASH_BITS];
    struct jump jump[BLOCK_JUMPS];
    struct insn build[BLOCK_INSNS];

    uint32_t tlb_gen;
    struct tlb tlb[2]; /* supervisor, user */
};

/* soft_tlb.c: what is known of la's page, with the right acc; does not return without (soft_miss).
 */
const struct tlb_page *soft_tlb_page(struct soft *s, la_t la, enum soft_access acc, bool user);
/* Writes to frame f must no longer take the hit path. */
void soft_tlb_guard(struct soft *s, frame_t f);
/* The same for every page, after breakpoints were armed. */
void soft_tlb_refill(struct soft *s);
_Noreturn void soft_miss(struct soft *s, la_t la, enum soft_access acc, bool user);

/* soft_block.c */
int soft_blocks_init(struct soft *s);
void soft_blocks_destroy(struct soft *s);
/* The block at CS:EIP, decoded if need be; NULL: that memory cannot be cached. */
struct block *soft_block_find(struct soft *s);
void soft_blocks_flush(struct soft *s);
/* A link or jump entry of an older generation: does it still lead where the TLB leads? Then it is
 * of this generation. from: the running block. */
bool soft_link_renew(const struct soft *s, const struct block *from, struct link *l);
bool soft_jump_renew(const struct soft *s, struct jump *j, uint32_t eip);
/* Guest or other stored to a frame that holds code. */
void soft_code_store(struct soft *s, struct code_frame *cf, uint32_t off, uint32_t len);
void soft_mode_update(struct soft *s);

/* What links and jumps say must be looked at again, and the running block stops. */
SOFT_INLINE void soft_links_end(struct soft *s)
{
    s->gen += s->gen == UINT32_MAX ? 2 : 1;
    s->brk = 1;
}

SOFT_INLINE struct jump *soft_jump_slot(struct soft *s, uint32_t eip)
{
    return &s->jump[(eip ^ eip >> 11) & (BLOCK_JUMPS - 1)];
}

/* May the processor go on at j->to for eip, in the mode that it is in? */
SOFT_INLINE bool soft_jump_holds(const struct soft *s, struct jump *j, uint32_t eip)
{
    return (soft_likely(j->eip == eip && j->gen == s->gen) || soft_jump_renew(s, j, eip)) &&
           soft_likely(j->to->mode == s->mode);
}

/* soft_stop.c */
bool soft_stop_exec(struct soft *s);
void soft_stop_data(struct soft *s, la_t la, unsigned n, enum soft_access acc);
void soft_stop_report(struct soft *s);

/* soft_decode.c */
struct soft_fetch {
    frame_t frame, frame2; /* where the bytes came from; frame2 only if they crossed a page */
    gpa_t gpa, gpa2;       /* their pages */
};
int soft_decode_init(struct soft *s);
/* Decode the instruction at CS:eip into *i (not ->run, ->idx). Raises what the fetch raises if
 * may_raise, else returns false. An undefined instruction raises #UD here. */
bool soft_decode(struct soft *s, uint32_t eip, struct insn *i, struct soft_fetch *f,
                 bool may_raise);

/* soft_exec.c: handlers of the block executor for any instruction. */
soft_run_fn soft_exec_pick(const struct insn *i);
void soft_exec_plain(struct soft *s, const struct insn *i, struct cpu *c);
void soft_exec_end(struct soft *s, const struct insn *i, struct cpu *c);
void soft_exec_tail(struct soft *s, const struct insn *i, struct cpu *c);
/* From the block at CS:EIP on, through links, until something needs the run loop. */
void soft_exec_block(struct soft *s, struct block *b);
/* Put back in s->left what was counted for instructions of i's block from i + skip on. */
void soft_exec_uncount(struct soft *s, const struct insn *i, unsigned skip);
/* soft_fast.c: a faster handler for i in this mode, or NULL. */
soft_run_fn soft_fast_pick(struct insn *i, uint32_t mode_flags);

/* The integer set, by group: set i->op (and INSN_FAST, INSN_ENDS) if the opcode is theirs. */
bool soft_alu_decode(struct insn *i);
bool soft_shift_decode(struct insn *i);
bool soft_muldiv_decode(struct insn *i);
bool soft_bits_decode(const struct soft *s, struct insn *i);
bool soft_move_decode(const struct soft *s, struct insn *i);
bool soft_stack_decode(struct insn *i);
bool soft_branch_decode(struct insn *i);
bool soft_string_decode(struct insn *i);
bool soft_bcd_decode(struct insn *i);

#endif
