/* See soft_event_rules.h. */
#include "vmm/soft/soft_event_rules.h"

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* Interrupts, and INT n whatever n is, are benign. */
static enum event_class class_of(const struct soft_event *ev)
{
    if (ev->kind != SOFT_EV_FAULT)
        return BENIGN;
    switch (ev->vector) {
    case VEC_DE:
    case VEC_TS:
    case VEC_NP:
    case VEC_SS:
    case VEC_GP: return CONTRIBUTORY;
    case VEC_PF: return PAGE_FAULT;
    case VEC_DF: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

bool soft_event_combine(const struct soft_event *first, const struct soft_event *second,
                        struct soft_event *next)
{
    const enum event_class a = class_of(first), b = class_of(second);

    *next = *second;
    if (b == BENIGN || a == BENIGN || (a == CONTRIBUTORY && b == PAGE_FAULT))
        return true;
    *next = (struct soft_event){.vector = VEC_DF, .has_error = true, .kind = SOFT_EV_FAULT};
    return a != DOUBLE_FAULT;
}
