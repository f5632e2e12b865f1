/* See json.h. */
#include "vmm/trace/json.h"

#include <stdint.h>

/* Bytes of the UTF-8 sequence at s, its code point in *cp; 0: none begins here (Unicode 15, table
 * 3-7). s ends in NUL. */
static unsigned utf8_at(const unsigned char *s, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned n = s[0] < 0x80       ? 1
                       : s[0] >> 5 == 6  ? 2
                       : s[0] >> 4 == 14 ? 3
                       : s[0] >> 3 == 30 ? 4
                                         : 0;
    if (n <= 1) {
        *cp = s[0];
        return n;
    }
    *cp = s[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        *cp = *cp << 6 | (s[i] & 0x3fu);
    }
    return *cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000) ? 0 : n;
}

void json_quote(const char *text, FILE *out)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', out);
    while (*s) {
        uint32_t cp;
        const unsigned n = utf8_at(s, &cp);
        if (n == 0)
            fputs("\\ufffd", out);
        else if (cp == '"' || cp == '\\')
            fprintf(out, "\\%c", (char)cp);
        else if (cp < 0x20 || cp == 0x7f || cp == '<' || cp == '>' || cp == '&' || cp == '\'' ||
                 cp == 0x2028 || cp == 0x2029)
            fprintf(out, "\\u%04x", (unsigned)cp);
        else
            fwrite(s, 1, n, out);
        s += n ? n : 1;
    }
    fputc('"', out);
}

const char *text_clean(const char *text, char *buf, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t at = 0;
    while (*s && at + 5 < len) {
        uint32_t cp;
        const unsigned n = utf8_at(s, &cp);
        if (n == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            buf[at++] = '?';
        } else {
            for (unsigned i = 0; i < n; i++)
                buf[at++] = (char)s[i];
        }
        s += n ? n : 1;
    }
    buf[at] = 0;
    return buf;
}
