/* leaflist.c - how many leaves an image has (docs/spec/leaflist.md). Pure arithmetic. */
#include "nrt.h"

uint32_t nrt_leaf_count(uint32_t image_size, uint32_t leaf)
{
    return image_size / leaf + (image_size % leaf != 0);
}
