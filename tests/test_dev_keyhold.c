/* How long a key of a terminal stays down. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/dev/keyhold.h"

static struct keyhold hold;
static uint8_t out[KEYHOLD_MOST];

static void fresh(void)
{
    memset(&hold, 0, sizeof hold);
}

TestSuite(keyhold, .init = fresh);

#define SENT(n, ...)                                                                               \
    do {                                                                                           \
        const uint8_t want[] = {__VA_ARGS__};                                                      \
        const unsigned sent = (n);                                                                 \
        cr_assert_eq(sent, sizeof want, "%u codes", sent);                                         \
        cr_assert_arr_eq(out, want, sizeof want);                                                  \
    } while (0)

static unsigned strike(const char *text)
{
    struct keys k = {0};
    uint8_t codes[KEYS_MOST];
    unsigned n = 0;
    for (; *text; text++)
        n = keys_byte(&k, (uint8_t)*text, codes);
    return keyhold_stroke(&hold, codes, n, out);
}

Test(keyhold, a_key_is_released_after_some_looks)
{
    SENT(strike("a"), 0x1e);
    for (unsigned i = 1; i < KEYHOLD_LOOKS; i++)
        cr_assert_eq(keyhold_look(&hold, out), 0);
    SENT(keyhold_look(&hold, out), 0x9e);
    for (unsigned i = 0; i < 2 * KEYHOLD_LOOKS; i++)
        cr_assert_eq(keyhold_look(&hold, out), 0, "once");
}

Test(keyhold, or_when_the_next_one_comes)
{
    SENT(strike("a"), 0x1e);
    cr_assert_eq(keyhold_look(&hold, out), 0);
    SENT(strike("b"), 0x9e, 0x30);
    for (unsigned i = 1; i < KEYHOLD_LOOKS; i++)
        cr_assert_eq(keyhold_look(&hold, out), 0, "its time begins anew");
    SENT(keyhold_look(&hold, out), 0xb0);
}

Test(keyhold, modifiers_stay_down_with_it)
{
    SENT(strike("A"), 0x2a, 0x1e);
    SENT(strike("\x03"), 0x9e, 0xaa, 0x1d, 0x2e);
    SENT(strike("\x1b[D"), 0xae, 0x9d, 0xe0, 0x4b);
    SENT(strike("\x1b[C"), 0xe0, 0xcb, 0xe0, 0x4d);
}

Test(keyhold, what_makes_no_codes_releases_nothing)
{
    SENT(strike("a"), 0x1e);
    cr_assert_eq(keyhold_stroke(&hold, NULL, 0, out), 0);
    SENT(strike("b"), 0x9e, 0x30);
}
