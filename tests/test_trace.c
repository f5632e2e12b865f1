/* The page trace's file: what is written is read back, and what is no trace is refused by name. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/mm.h"
#include "vmm/trace/export.h"
#include "vmm/trace/html.h"
#include "vmm/trace/json.h"
#include "vmm/trace/summary.h"

enum { SMALL = 64 << 10, SMALL_RECORDS = (SMALL - 4096) / 32 };

static char path[64];

static void make_path(void)
{
    snprintf(path, sizeof path, "/tmp/umbra_trace_%d", (int)getpid());
    unlink(path);
}

static void remove_path(void)
{
    unlink(path);
}

TestSuite(trace, .init = make_path, .fini = remove_path);

static struct trace_ring *ring_new(uint64_t size)
{
    struct trace_ring *r = NULL;
    struct errmsg e = {{0}};
    cr_assert_eq(trace_ring_open(path, size, &r, &e), 0, "%s", e.text);
    return r;
}

static void put(struct trace_ring *r, unsigned kind, uint32_t gfn, uint32_t info)
{
    trace_ring_put(r, (struct trace_rec){.tsc = __builtin_ia32_rdtsc(),
                                         .la = gfn << 12,
                                         .gfn = gfn,
                                         .cost = 100,
                                         .info = info,
                                         .kind = (uint8_t)kind});
}

/* N faults on pages 0 .. n-1. */
static void record(uint64_t size, uint32_t n, bool close)
{
    struct trace_ring *r = ring_new(size);
    trace_ring_describe(r, "soft", "image.elf", "a=1", 1 << 24, 1 << 20);
    for (uint32_t i = 0; i < n; i++)
        put(r, TRACE_FAULT, i, MM_PATH_FRESH);
    if (close)
        trace_ring_close(r, "done", 3);
    else
        _exit(0);
}

static void open_ok(struct trace_file *f)
{
    struct errmsg e = {{0}};
    cr_assert_eq(trace_file_open(path, f, &e), 0, "%s", e.text);
}

struct seen {
    uint64_t n;
    uint32_t first, last;
};

static bool see(void *ctx, const struct trace_rec *rec)
{
    struct seen *s = ctx;
    if (!s->n++)
        s->first = rec->gfn;
    s->last = rec->gfn;
    return true;
}

static struct seen read_all(struct trace_file *f)
{
    struct seen s = {0};
    cr_assert_eq(trace_file_read(f, see, &s), 0);
    return s;
}

static void refused(const char *why)
{
    struct trace_file f;
    struct errmsg e = {{0}};
    cr_assert_lt(trace_file_open(path, &f, &e), 0);
    cr_assert(strstr(e.text, why), "\"%s\" does not say \"%s\"", e.text, why);
    cr_assert(strstr(e.text, path));
}

static void poke(off_t at, const void *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

/* --- what is written is read ----------------------------------------------------------------- */

Test(trace, what_is_written_is_read_back)
{
    struct trace_file f;
    record(SMALL, 100, true);
    open_ok(&f);
    const struct seen s = read_all(&f);
    cr_assert_eq(s.n, 100);
    cr_assert_eq(s.first, 0);
    cr_assert_eq(s.last, 99);
    cr_assert_eq(f.lost, 0);
    cr_assert_eq(f.head.closed, 1);
    cr_assert_eq(f.head.exit_status, 3);
    cr_assert_str_eq(f.head.end, "done");
    cr_assert_str_eq(f.head.image, "image.elf");
    cr_assert_gt(f.ns_per_cycle, 0);
    trace_file_close(&f);
}

Test(trace, a_full_ring_keeps_the_last_records)
{
    struct trace_file f;
    record(SMALL, SMALL_RECORDS + 500, true);
    open_ok(&f);
    const struct seen s = read_all(&f);
    cr_assert_eq(s.n, SMALL_RECORDS);
    cr_assert_eq(s.first, 500);
    cr_assert_eq(s.last, SMALL_RECORDS + 499);
    cr_assert_eq(f.lost, 500);
    trace_file_close(&f);
}

Test(trace, an_empty_trace_has_no_records)
{
    struct trace_file f;
    record(SMALL, 0, true);
    open_ok(&f);
    cr_assert_eq(read_all(&f).n, 0);
    trace_file_close(&f);
}

Test(trace, a_killed_writer_leaves_all_but_the_record_that_it_was_at)
{
    struct trace_file f;
    const pid_t pid = fork();
    if (pid == 0) {
        struct trace_ring *r = ring_new(SMALL);
        for (uint32_t i = 0; i < SMALL_RECORDS + 10; i++)
            put(r, TRACE_FAULT, i, 0);
        kill(getpid(), SIGKILL);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
    open_ok(&f);
    const struct seen s = read_all(&f);
    cr_assert_eq(s.n, SMALL_RECORDS - 1);
    cr_assert_eq(s.last, SMALL_RECORDS + 9);
    cr_assert_eq(f.head.closed, 0);
    trace_file_close(&f);
}

Test(trace, a_trace_can_be_read_while_it_is_written)
{
    struct trace_ring *r = ring_new(SMALL);
    struct trace_file f;
    put(r, TRACE_FAULT, 1, 0);
    put(r, TRACE_FAULT, 2, 0);
    open_ok(&f);
    cr_assert_eq(read_all(&f).n, 2);
    /* overtaken: none of what was there when it was opened is left */
    for (uint32_t i = 0; i < 2 * SMALL_RECORDS; i++)
        put(r, TRACE_FAULT, i, 0);
    cr_assert_eq(read_all(&f).n, 0);
    trace_file_close(&f);
    trace_ring_close(r, "", 0);
}

/* --- half a trace ---------------------------------------------------------------------------- */

Test(trace, a_cut_off_trace_is_read_as_far_as_it_goes)
{
    struct trace_file f;
    char note[200];
    record(SMALL, 1000, true);
    cr_assert_eq(truncate(path, 4096 + 32 * 300 + 7), 0);
    open_ok(&f);
    const struct seen s = read_all(&f);
    cr_assert_eq(s.n, 300);
    cr_assert_eq(s.last, 299);
    cr_assert_eq(f.missing, 700);
    cr_assert(trace_file_note(&f, note, sizeof note));
    cr_assert(strstr(note, "700 of its 1000 records are missing"), "%s", note);
    trace_file_close(&f);
}

Test(trace, a_cut_off_ring_that_has_gone_round_keeps_what_the_file_has)
{
    struct trace_file f;
    record(SMALL, SMALL_RECORDS + 100, true); /* slots 0 .. 99 hold the newest */
    cr_assert_eq(truncate(path, 4096 + 32 * 300), 0);
    open_ok(&f);
    const struct seen s = read_all(&f);
    cr_assert_eq(s.n, 300);
    cr_assert_eq(s.first, 100);
    cr_assert_eq(s.last, SMALL_RECORDS + 99);
    cr_assert_eq(f.missing, SMALL_RECORDS - 300);
    trace_file_close(&f);
}

Test(trace, damaged_records_are_left_out_and_counted)
{
    struct trace_file f;
    char note[200];
    record(SMALL, 10, true);
    poke(4096 + 32 * 4 + 28, "\xff", 1);             /* no such kind */
    poke(4096 + 32 * 5 + 12, "\xff\xff\xff\xff", 4); /* no such page */
    poke(4096 + 32 * 6 + 31, "\x77", 1);             /* no such space */
    open_ok(&f);
    cr_assert_eq(read_all(&f).n, 7);
    cr_assert(trace_file_note(&f, note, sizeof note));
    cr_assert(strstr(note, "3 records are damaged"), "%s", note);
    trace_file_close(&f);
}

/* --- what is no trace ------------------------------------------------------------------------ */

Test(trace, half_a_header_is_refused)
{
    record(SMALL, 10, true);
    cr_assert_eq(truncate(path, 4095), 0);
    refused("half a header");
    cr_assert_eq(truncate(path, 100), 0);
    refused("half a header");
    cr_assert_eq(truncate(path, 9), 0);
    refused("half a header");
    cr_assert_eq(truncate(path, 3), 0);
    refused("is no page trace");
    cr_assert_eq(truncate(path, 0), 0);
    refused("is no page trace");
}

Test(trace, foreign_files_and_other_versions_are_refused)
{
    record(SMALL, 10, true);
    poke(8, "\x02", 1);
    refused("of version 2, this umbra reads 1");
    poke(0, "ELF", 3);
    refused("is no page trace");
    strcpy(path, "/dev/zero");
    refused("not a regular file");
    strcpy(path, "/tmp");
    refused("not a regular file");
    strcpy(path, "/tmp/there/is/nothing");
    refused("No such file");
}

Test(trace, a_header_whose_sizes_overflow_is_refused)
{
    record(SMALL, 10, true);
    poke(24, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    refused("sizes in it cannot be");
    poke(24, "\0\0\0\0\0\0\0\0", 8);
    refused("sizes in it cannot be");
}

Test(trace, a_count_out_of_nowhere_reads_nothing_that_is_not_there)
{
    struct trace_file f;
    record(SMALL, 10, true);
    poke(offsetof(struct trace_head, count), "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
    open_ok(&f);
    cr_assert_eq(read_all(&f).n, 10); /* the others' slots hold no record */
    trace_file_close(&f);
}

Test(trace, times_that_make_no_sense_are_refused)
{
    record(SMALL, 10, true);
    const uint64_t never[6] = {0};
    poke(offsetof(struct trace_head, start), never, sizeof never);
    refused("times in it cannot be");
}

/* --- making one ------------------------------------------------------------------------------ */

static void not_made(uint64_t size, int rc, const char *why)
{
    struct trace_ring *r;
    struct errmsg e = {{0}};
    cr_assert_eq(trace_ring_open(path, size, &r, &e), rc, "%s", e.text);
    cr_assert(strstr(e.text, why), "\"%s\" does not say \"%s\"", e.text, why);
}

Test(trace, sizes_out_of_bounds_are_refused)
{
    not_made(SMALL - 1, -EINVAL, "--trace-size");
    not_made(0, -EINVAL, "--trace-size");
    not_made(UINT64_MAX, -EINVAL, "--trace-size");
    not_made((16ull << 30) + 1, -EINVAL, "--trace-size");
    struct stat st;
    cr_assert_lt(stat(path, &st), 0, "a refused trace leaves no file behind");
}

Test(trace, foreign_files_are_not_overwritten)
{
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(write(fd, "dear diary", 10), 10);
    close(fd);
    not_made(SMALL, -EEXIST, "holds something else");
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_size, 10);
    strcpy(path, "/dev/null");
    not_made(SMALL, -EEXIST, "a regular file");
    strcpy(path, "/tmp/there/is/nothing");
    not_made(SMALL, -ENOENT, "No such file");
}

Test(trace, a_trace_is_overwritten_but_not_one_that_is_being_written)
{
    struct trace_file f;
    struct trace_ring *r = ring_new(SMALL);
    put(r, TRACE_FAULT, 1, 0);
    not_made(SMALL, -EBUSY, "another machine");
    trace_ring_close(r, "", 0);
    record(2 * SMALL, 5, true);
    open_ok(&f);
    cr_assert_eq(read_all(&f).n, 5);
    trace_file_close(&f);
}

/* --- what it comes to ------------------------------------------------------------------------ */

static struct summary *summarize(struct trace_file *f)
{
    struct summary *s;
    open_ok(f);
    cr_assert_eq(summary_make(f, &s), 0);
    return s;
}

static enum trace_state state_of(struct summary *s, uint32_t space, uint32_t gfn)
{
    const struct trace_page *p = trace_pages_find(&s->pages, space, gfn);
    return p ? (enum trace_state)p->state : STATE_UNSEEN;
}

Test(trace, states_follow_the_records)
{
    struct trace_file f;
    struct trace_ring *r = ring_new(SMALL);
    put(r, TRACE_FAULT, 1, MM_PATH_ZERO);
    put(r, TRACE_FAULT, 2, MM_PATH_FRESH);
    put(r, TRACE_FAULT, 3, MM_PATH_FRESH);
    put(r, TRACE_SWAP_OUT, 3, 77);
    put(r, TRACE_FAULT, 4, MM_PATH_FRESH);
    put(r, TRACE_MERGED, 4, 9);
    put(r, TRACE_FAULT, 5, MM_PATH_FRESH);
    put(r, TRACE_SWAP_OUT, 5, 78);
    put(r, TRACE_FAULT, 5, MM_PATH_ZPOOL);
    put(r, TRACE_FAULT, 6, MM_PATH_FRESH);
    put(r, TRACE_FORK, 0, 1);
    put(r, TRACE_WRITE_PROTECT, 0, 1024);
    put(r, TRACE_FAULT, 6, MM_PATH_COPY);
    put(r, TRACE_UNMAPPED, 2, 1);
    trace_ring_close(r, "", 0);
    struct summary *s = summarize(&f);
    cr_assert_eq(state_of(s, 0, 1), STATE_ZERO);
    cr_assert_eq(state_of(s, 0, 2), STATE_GONE);
    cr_assert_eq(state_of(s, 0, 3), STATE_SWAPPED);
    cr_assert_eq(state_of(s, 0, 4), STATE_MERGED);
    cr_assert_eq(state_of(s, 0, 5), STATE_READ_ONLY);
    cr_assert_eq(state_of(s, 0, 6), STATE_OWN);
    cr_assert_eq(state_of(s, 1, 6), STATE_READ_ONLY);
    cr_assert_eq(state_of(s, 1, 2), STATE_READ_ONLY, "the copy keeps what the parent lost");
    cr_assert_eq(state_of(s, 0, 7), STATE_UNSEEN);
    summary_free(s);
    trace_file_close(&f);
}

Test(trace, the_summary_counts_paths_and_pages)
{
    struct trace_file f;
    struct trace_ring *r = ring_new(SMALL);
    for (int i = 0; i < 30; i++)
        put(r, TRACE_FAULT, (uint32_t)i % 3, i < 20 ? MM_PATH_FRESH : MM_PATH_COPY);
    put(r, TRACE_GUEST_FAULT, 9, 0);
    put(r, TRACE_FAULT, 2, MM_PATH_COPY);
    trace_ring_close(r, "", 0);
    struct summary *s = summarize(&f);
    const struct trace_page *hot[2];
    cr_assert_eq(s->records, 32);
    cr_assert_eq(s->faults, 32);
    cr_assert_eq(s->paths, 3);
    cr_assert_eq(s->path[0].cost.count, 20);
    cr_assert_eq(s->path[1].cost.count, 11);
    cr_assert_eq(s->by_class[CLASS_OWN].count, 1);
    cr_assert_eq(summary_hottest(s, false, hot, 2), 2);
    cr_assert_eq(trace_page_number(hot[0]), 2);
    cr_assert_eq(hot[0]->faults, 11);
    uint64_t all = 0;
    for (int b = 0; b < SUMMARY_BUCKETS; b++)
        for (int c = 0; c < TRACE_CLASSES; c++)
            all += s->bucket[b].faults[c];
    cr_assert_eq(all, 32, "each fault lies in one slice of time");
    summary_free(s);
    trace_file_close(&f);
}

Test(trace, a_large_trace_makes_a_page_of_bounded_size, .timeout = 60)
{
    struct trace_file f;
    struct trace_ring *r = ring_new(16 << 20);
    trace_ring_describe(r, "soft", "</script><script>alert(1)</script>", "<!--", 1, 1);
    /* no two neighbours alike, and each with a history */
    for (uint32_t i = 0; i < 400000; i++)
        put(r, TRACE_FAULT, i * 7 % (1u << 20), i % 2 ? MM_PATH_FRESH : MM_PATH_ZERO);
    trace_ring_close(r, "</script>", 0);
    struct summary *s = summarize(&f);
    char *text = NULL;
    size_t len = 0;
    FILE *m = open_memstream(&text, &len);
    cr_assert_eq(trace_html(&f, s, m), 0);
    fclose(m);
    cr_assert_lt(len, 5500000u, "%zu bytes", len);
    cr_assert_not(strstr(text, "alert(1)</script>"));
    cr_assert_not(strstr(text, "<!--"));
    unsigned ends = 0;
    for (const char *p = text; (p = strstr(p, "</script>")); p++)
        ends++;
    cr_assert_eq(ends, 2, "the data's, and the script's");
    free(text);
    summary_free(s);
    trace_file_close(&f);
}

Test(trace, texts_are_made_safe)
{
    char *text = NULL, clean[64];
    size_t len = 0;
    FILE *m = open_memstream(&text, &len);
    json_quote("</script>\"\\\n\x80\xc3\xa9\xed\xa0\x80&'", m);
    fclose(m);
    cr_assert_str_eq(text,
                     "\"\\u003c/script\\u003e\\\"\\\\\\u000a\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd"
                     "\\u0026\\u0027\"");
    free(text);
    cr_assert_str_eq(text_clean("a\x1b[31m\xff\xc3\xa9", clean, sizeof clean), "a?[31m?\xc3\xa9");
}
