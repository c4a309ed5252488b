/* Counters that one thread counts and any may ask for: where there is no GIL, a word that is read and written whole. */
#ifndef SIPSTACK_COUNT_H
#define SIPSTACK_COUNT_H

#include <stdint.h>

#if defined(Py_GIL_DISABLED) && !defined(_MSC_VER) /* whose C has no _Atomic */
typedef _Atomic uint64_t sip_count;
#else
typedef uint64_t sip_count;
#endif

#endif
