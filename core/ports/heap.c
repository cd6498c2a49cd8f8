/* heap.c - the C library's heap, kept small. Both calls are glibc's; with another library they do nothing. Host code. */
#include "host.h"

#include <stddef.h>

extern int mallopt(int, int) __attribute__((weak));
extern int malloc_trim(size_t) __attribute__((weak));

enum { ARENA_MAX = -8 }; /* M_ARENA_MAX (malloc.h) */

void nrt_one_heap(void) {
  if (mallopt != NULL) (void)mallopt(ARENA_MAX, 1);
}

void nrt_trim(void) {
  if (malloc_trim != NULL) (void)malloc_trim(0);
}
