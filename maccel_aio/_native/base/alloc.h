/* alloc.h - the only place that asks for memory. */
#ifndef MX_ALLOC_H
#define MX_ALLOC_H

#include <stddef.h>

void *mx_alloc(size_t bytes,
               size_t align); /* zeroed; NULL when memory is short; align is a power of two >= 8 */
void mx_free(void *p);
/* Large zeroed regions (arenas, packed weights): page aligned, huge pages advised. */
void *mx_map(size_t bytes);
void mx_unmap(void *p, size_t bytes);
/* Part of a region whose content is of no use any more: its whole pages are given back and read as zeroes. */
void mx_discard(void *p, size_t bytes);

#endif
