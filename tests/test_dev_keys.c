/* A terminal's bytes as a PC's scan codes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/dev/keys.h"

static struct keys keys;
static uint8_t codes[256];
static unsigned n;

static void type(const char *bytes)
{
    for (; *bytes; bytes++)
        n += keys_byte(&keys, (uint8_t)*bytes, codes + n);
}

static void fresh(void)
{
    memset(&keys, 0, sizeof keys);
    n = 0;
}

TestSuite(keys, .init = fresh);

#define EXPECT(...)                                                                                \
    do {                                                                                           \
        const uint8_t want[] = {__VA_ARGS__};                                                      \
        cr_assert_eq(n, sizeof want, "%u codes", n);                                               \
        cr_assert_arr_eq(codes, want, sizeof want);                                                \
    } while (0)

Test(keys, a_letter_is_pressed_and_released)
{
    type("a1 ");
    EXPECT(0x1e, 0x9e, 0x02, 0x82, 0x39, 0xb9);
}

Test(keys, capitals_and_signs_hold_shift)
{
    type("A?");
    EXPECT(0x2a, 0x1e, 0x9e, 0xaa, 0x2a, 0x35, 0xb5, 0xaa);
}

Test(keys, control_letters_hold_control)
{
    type("\x03");
    EXPECT(0x1d, 0x2e, 0xae, 0x9d);
}

Test(keys, enter_backspace_and_tab)
{
    type("\r\n\x7f\t");
    EXPECT(0x1c, 0x9c, 0x1c, 0x9c, 0x0e, 0x8e, 0x0f, 0x8f);
}

Test(keys, arrows_are_extended_keys)
{
    type("\033[A\033OD");
    EXPECT(0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0x4b, 0xe0, 0xcb);
}

Test(keys, function_keys_of_xterm_and_the_linux_console)
{
    type("\033OP\033[[A\033[15~\033[24~");
    EXPECT(0x3b, 0xbb, 0x3b, 0xbb, 0x3f, 0xbf, 0x58, 0xd8);
}

Test(keys, escape_alone_is_a_key_when_nothing_follows)
{
    type("\033");
    EXPECT();
    n += keys_idle(&keys, codes + n);
    EXPECT(0x01, 0x81);
    n = keys_idle(&keys, codes);
    EXPECT();
}

Test(keys, escape_before_a_character_is_alt)
{
    type("\033x");
    EXPECT(0x38, 0x2d, 0xad, 0xb8);
}

Test(keys, unknown_sequences_are_swallowed_whole)
{
    type("\033[99~\033[1;5Cz");
    EXPECT(0x2c, 0xac);
}

Test(keys, random_bytes_make_no_more_codes_than_said)
{
    uint8_t some[KEYS_MOST + 1];
    unsigned seed = 7;
    for (unsigned i = 0; i < 1000000; i++) {
        some[KEYS_MOST] = 0x55;
        const unsigned r = (unsigned)rand_r(&seed);
        const uint8_t byte = (r & 0x300) == 0 ? 0x1b : (r & 0x300) == 0x100 ? '[' : (uint8_t)r;
        cr_assert_leq(keys_byte(&keys, byte, some), (unsigned)KEYS_MOST);
        if (r % 64 == 0)
            cr_assert_leq(keys_idle(&keys, some), (unsigned)KEYS_MOST);
        cr_assert_eq(some[KEYS_MOST], 0x55);
    }
}
