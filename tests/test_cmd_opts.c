/* The command line's words: options, sizes, ranges, suggestions. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/cmd/nearest.h"
#include "vmm/cmd/opts.h"
#include "vmm/value.h"

enum { MEM = 1, STATS, PT, AUDIT, INITRD, APPEND };
static const struct opt table[] = {
    {"m", MEM, OPT_VALUE},         {"memory", MEM, OPT_VALUE},
    {"stats", STATS, OPT_MAYBE},   {"pt", PT, OPT_MAYBE_RANGE},
    {"audit", AUDIT, OPT_NONE},    {"initrd", INITRD, OPT_MANY},
    {"append", APPEND, OPT_VALUE}, {0},
};

/* The words of line as argv, the results as "id=value id=value ...". */
static const char *parse(const char *line)
{
    static char words[256], result[512];
    static struct opts o;
    char *argv[32] = {"cmd"};
    int argc = 1, id;
    strcpy(words, line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    opts_init(&o, argc, argv, table);
    result[0] = 0;
    while ((id = opts_next(&o)) != OPTS_END) {
        size_t len = strlen(result);
        if (id == OPTS_BAD) {
            snprintf(result, sizeof result, "%s", o.err.text);
            break;
        }
        snprintf(result + len, sizeof result - len, "%s%d=%s", len ? " " : "", id,
                 o.value ? o.value : "");
    }
    return result;
}

Test(opts, value_in_every_spelling)
{
    const char *spellings[] = {"-m 64M",       "-m64M",       "-m=64M",       "--m 64M",
                               "--memory=64M", "-memory 64M", "--memory 64M", "-memory=64M"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        cr_expect_str_eq(parse(spellings[i]), "1=64M", "%s: %s", spellings[i], parse(spellings[i]));
}

Test(opts, words_and_options_mix)
{
    cr_assert_str_eq(parse("a.elf --audit -m 1 b - --"), "-1=a.elf 4= 1=1 -1=b -1=-");
    cr_assert_str_eq(parse("-- --audit -m"), "-1=--audit -1=-m");
}

Test(opts, optional_value_needs_equals_unless_it_reads_as_a_range)
{
    cr_assert_str_eq(parse("--stats json"), "2= -1=json");
    cr_assert_str_eq(parse("--stats=json"), "2=json");
    cr_assert_str_eq(parse("--pt hello.elf"), "3= -1=hello.elf");
    cr_assert_str_eq(parse("--pt 0x1000-0x1fff hello.elf"), "3=0x1000-0x1fff -1=hello.elf");
    cr_assert_str_eq(parse("--pt 5-4 hello.elf"), "3=5-4 -1=hello.elf", "no image of that name");
    cr_assert_str_eq(parse("--pt --audit"), "3= 4=");
    cr_assert_str_eq(parse("--pt"), "3=");
}

Test(opts, many_takes_words_up_to_the_next_option)
{
    cr_assert_str_eq(parse("img -initrd a b c --audit d"), "-1=img 5=a 5=b 5=c 4= -1=d");
    cr_assert_str_eq(parse("-initrd=a b -- d"), "5=a 5=b -1=d");
}

Test(opts, needed_value_may_look_like_an_option)
{
    cr_assert_str_eq(parse("-append --audit"), "6=--audit");
}

Test(opts, errors_name_the_option)
{
    cr_assert_str_eq(parse("-m"), "option -m needs a value");
    cr_assert_str_eq(parse("--audit=1"), "option --audit takes no value");
    cr_assert_str_eq(parse("--adit"), "unknown option --adit; did you mean --audit?");
    cr_assert_str_eq(parse("--memroy 3"), "unknown option --memroy; did you mean --memory?");
    cr_assert_str_eq(parse("--mem 3"), "unknown option --mem", "abbreviations are not guessed");
    cr_assert_str_eq(parse("--nothing-like-it"), "unknown option --nothing-like-it");
    cr_assert_str_eq(parse("-x"), "unknown option -x");
}

Test(opts, sizes)
{
    const struct {
        const char *s;
        uint64_t val;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"0x1000", 4096},
                {"0XfF", 255},
                {"64k", 65536},
                {"64K", 65536},
                {"64M", 64 << 20},
                {"64MiB", 64 << 20},
                {"64MB", 64 << 20},
                {"1G", 1 << 30},
                {"0x10M", 16 << 20},
                {"2t", 2ull << 40},
                {"18446744073709551615", UINT64_MAX},
                {"0xffffffffffffffff", UINT64_MAX},
                {"16777215T", 16777215ull << 40}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t val = 1;
        cr_expect_eq(value_size(good[i].s, &val, NULL), 0, "%s", good[i].s);
        cr_expect_eq(val, good[i].val, "%s", good[i].s);
    }
}

Test(opts, bad_sizes_are_refused_and_leave_the_result_alone)
{
    const struct {
        const char *s;
        int err;
    } bad[] = {{"", -EINVAL},
               {"M", -EINVAL},
               {"0x", -EINVAL},
               {"-1", -EINVAL},
               {"+1", -EINVAL},
               {" 1", -EINVAL},
               {"1 ", -EINVAL},
               {"1.5G", -EINVAL},
               {"64Mx", -EINVAL},
               {"64Mi", -EINVAL},
               {"1e9", -EINVAL},
               {"18446744073709551616", -ERANGE},
               {"0x10000000000000000", -ERANGE},
               {"16777216T", -ERANGE},
               {"99999999999999999999G", -ERANGE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t val = 77;
        struct errmsg e = {""};
        cr_expect_eq(value_size(bad[i].s, &val, &e), bad[i].err, "%s", bad[i].s);
        cr_expect_eq(val, 77u);
        cr_expect_not_null(strstr(e.text, bad[i].s), "the message quotes the word: %s", e.text);
    }
}

Test(opts, ranges)
{
    const struct {
        const char *s;
        uint64_t first, last;
    } good[] = {{"0x1000-0x1fff", 0x1000, 0x1fff},
                {"0x1000+4096", 0x1000, 0x1fff},
                {"1M+1M", 1 << 20, (2 << 20) - 1},
                {"5", 5, 5},
                {"0-0", 0, 0},
                {"0xfffffffffffff000+0x1000", 0xfffffffffffff000, UINT64_MAX}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct value_range r = {9, 9};
        cr_expect_eq(value_range(good[i].s, &r, NULL), 0, "%s", good[i].s);
        cr_expect_eq(r.first, good[i].first);
        cr_expect_eq(r.last, good[i].last);
    }
    const struct {
        const char *s;
        int err;
    } bad[] = {{"", -EINVAL},
               {"-", -EINVAL},
               {"1-", -EINVAL},
               {"1+", -EINVAL},
               {"1-2-3", -EINVAL},
               {"a-b", -EINVAL},
               {"1-2M3", -EINVAL},
               {"2-1x", -EINVAL},
               {"1+0.elf", -EINVAL},
               {"99999999999999999999.elf", -EINVAL},
               {"99999999999999999999-x", -EINVAL},
               {"2-1", -ERANGE},
               {"1+0", -ERANGE},
               {"99999999999999999999", -ERANGE},
               {"99999999999999999999-1", -ERANGE},
               {"1-99999999999999999999", -ERANGE},
               {"0xfffffffffffff000+0x1001", -ERANGE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct value_range r = {9, 9};
        cr_expect_eq(value_range(bad[i].s, &r, NULL), bad[i].err, "%s", bad[i].s);
        cr_expect_eq(r.first, 9u);
    }
}

Test(opts, numbers_keep_to_their_bounds)
{
    uint64_t val = 7;
    cr_assert_eq(value_u64("10", 1, 10, &val, NULL), 0);
    cr_assert_eq(val, 10u);
    cr_assert_eq(value_u64("11", 1, 10, &val, NULL), -ERANGE);
    cr_assert_eq(value_u64("0", 1, 10, &val, NULL), -ERANGE);
    cr_assert_eq(value_u64("5k", 1, 10, &val, NULL), -EINVAL);
    cr_assert_eq(value_u64("99999999999999999999", 1, UINT64_MAX, &val, NULL), -ERANGE);
    cr_assert_eq(val, 10u);
}

Test(opts, choices)
{
    static const char *const engines[] = {"auto", "kvm", "soft", NULL};
    int i = -1;
    struct errmsg e;
    cr_assert_eq(value_choice("soft", engines, &i, &e), 0);
    cr_assert_eq(i, 2);
    cr_assert_eq(value_choice("vmx", engines, &i, &e), -EINVAL);
    cr_assert_str_eq(e.text, "'vmx' is none of: auto, kvm, soft");
}

Test(nearest, counts_edits)
{
    cr_assert_eq(word_distance("run", "run"), 0u);
    cr_assert_eq(word_distance("rnu", "run"), 1u);
    cr_assert_eq(word_distance("ru", "run"), 1u);
    cr_assert_eq(word_distance("trun", "run"), 1u);
    cr_assert_eq(word_distance("kitten", "sitting"), 3u);
    cr_assert_eq(word_distance("", "abc"), 3u);
}

Test(nearest, finds_what_was_meant_or_nothing)
{
    struct nearest n = {.typed = "inof"};
    nearest_try(&n, "run");
    nearest_try(&n, "info");
    cr_assert_str_eq(n.best, "info");
    struct nearest far = {.typed = "x"};
    nearest_try(&far, "m");
    nearest_try(&far, "run");
    cr_assert_null(far.best);
}
