/*
 * Page table rows (pt.h) as text for people and as JSON for programs.
 */
#ifndef UMBRA_VMM_PT_PRINT_H
#define UMBRA_VMM_PT_PRINT_H

#include <stdio.h>

#include "vmm/pt.h"

/* The whole table of first..last (bytes, both inside), with its heading and legend. */
void pt_print(struct vm *vm, la_t first, la_t last, FILE *out);
void pt_print_json(struct vm *vm, la_t first, la_t last, FILE *out);

/* One row: a line that ends in a newline; an object without one. */
void pt_row_print(const struct pt_row *r, FILE *out);
void pt_row_print_json(const struct pt_row *r, FILE *out);
/* The line as a JSON string. */
void pt_row_print_string(const struct pt_row *r, FILE *out);
/* What stands above and below the lines. paging: the guest has tables of its own. */
void pt_print_heading(bool paging, FILE *out);
void pt_print_legend(bool paging, FILE *out);

/* Why the row is as it is, one sentence with its circumstances (where a page went, since when a
 * table is out of step). Returns buf. */
#define PT_WHY_LEN 128
const char *pt_row_why(const struct pt_row *r, char buf[static PT_WHY_LEN]);

#endif
