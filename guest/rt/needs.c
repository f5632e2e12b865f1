/* What a test guest needs that does not say so itself. */
#include "guest/rt/rt.h"

TEST_NEEDS("m=16M");
