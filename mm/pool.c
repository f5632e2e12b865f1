/* placeholder, replaced by the first commit of the frame pool */
#include "mm/pool.h"
