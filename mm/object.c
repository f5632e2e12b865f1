/* Objects (object.h). */
#include "mm/object.h"

#include <stdlib.h>

void object_put(struct pool *p, struct mm_object *o)
{
    (void)p;
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        free(o);
}
