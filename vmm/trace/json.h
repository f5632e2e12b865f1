/* Texts that come from a guest, a command line or a file, made safe to print. */
#ifndef UMBRA_VMM_TRACE_JSON_H
#define UMBRA_VMM_TRACE_JSON_H

#include <stddef.h>
#include <stdio.h>

/* A JSON string with its quotes. It holds no '<', '>' or '&', so that it may stand in a page's
 * script too; what is no UTF-8 becomes U+FFFD. */
void json_quote(const char *text, FILE *out);

/* A copy for a terminal: what is not printable ASCII or UTF-8 becomes '?'. Returns buf. */
const char *text_clean(const char *text, char *buf, size_t len);

#endif
