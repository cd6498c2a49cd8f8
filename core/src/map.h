/* map.h - where old addresses are in the new image: what the control table implies. Shared by decoder and encoder. */
#ifndef NRT_MAP_H
#define NRT_MAP_H

#include "coder.h"

/* Words from `from` up to the next entry's `from` grew by `by`; the last entry ends the list and covers nothing. */
struct nrt_shift {
    uint32_t from;
    uint32_t by;
};

#define NRT_MAX_SHIFTS 64

struct nrt_map {
    const struct nrt_segment *segments;
    const uint16_t *by_old;              /* indices of the segments, ascending by (from, len) */
    uint32_t n_segments;
    const struct nrt_shift *shifts;
    uint32_t n_shifts;
    uint32_t old_size;
    struct nrt_segment here;             /* the copy under way */
};

enum nrt_found { NRT_FOUND_NOTHING = 0, NRT_FOUND_NEAR = 1, NRT_FOUND_COVERED = 2 };

/* Fills `by_old` for the segments of `m`; deterministic, at most n_segments^2 / 2 steps. */
void nrt_map_sort(const struct nrt_map *m, uint16_t *by_old);
/* New offset of what was at old offset `old`, docs/spec/delta.md 9. */
enum nrt_found nrt_map_to(const struct nrt_map *m, uint32_t old, uint32_t *out);
/* 1 and how much a word of this value grew; 0 where the list says nothing. */
int nrt_map_word(const struct nrt_map *m, uint32_t word, uint32_t *by);

#endif
