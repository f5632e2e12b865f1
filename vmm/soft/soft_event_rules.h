/* An exception while another event is being delivered: SDM vol. 3, tables 6-4 and 6-5. */
#ifndef UMBRA_VMM_SOFT_SOFT_EVENT_RULES_H
#define UMBRA_VMM_SOFT_SOFT_EVENT_RULES_H

#include "vmm/soft/soft.h"

/* What is to be delivered when second arises while first is being delivered: *next. false:
 * shutdown. */
bool soft_event_combine(const struct soft_event *first, const struct soft_event *second,
                        struct soft_event *next);

#endif
