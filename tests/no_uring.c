/* The build without liburing, for one test program: this object stands in for the library's own. */
#undef UMBRA_HAVE_URING
#include "mm/aio_uring.c"
