/* suffix.h - where in a text each string of bytes begins: the suffix array of every second byte, host code. */
#ifndef NRT_SUFFIX_H
#define NRT_SUFFIX_H

#include <stddef.h>
#include <stdint.h>

#define NRT_SUFFIX_STEP 2u   /* suffixes at even offsets only: half the memory, and instructions stand there */

struct nrt_suffixes {
    const uint8_t *text;
    uint32_t size;         /* bytes of the text */
    uint32_t n;            /* suffixes: size / 2 */
    uint32_t *sorted;      /* halves of their offsets, in the order of the bytes that follow there */
    uint32_t *first;       /* 65,537 places: where suffixes begin whose first two bytes are these */
};

struct nrt_place {
    uint32_t from;         /* offset in the text */
    uint32_t len;          /* bytes equal there */
};

/* 0, or -1 without memory (4 bytes a byte of text, half of them only while it runs). */
int nrt_suffixes_open(struct nrt_suffixes *s, const uint8_t *text, uint32_t size);
void nrt_suffixes_close(struct nrt_suffixes *s);
/* The longest equal bytes, at most `most`, of `want[0..len)`; among equals the place nearest to `near`. len 0: none. */
struct nrt_place nrt_suffixes_find(const struct nrt_suffixes *s, const uint8_t *want, uint32_t len, uint32_t near);
/* How many bytes of the two are equal from the start, at most `most`. */
uint32_t nrt_common(const uint8_t *a, const uint8_t *b, uint32_t most);

#endif
