/* sections.h - an image of several parts: code of different instruction sets, data, each with its own addresses. Profile 3. */
#ifndef NRT_SECTIONS_H
#define NRT_SECTIONS_H

#include "predict.h"

#define NRT_MAX_SECTIONS 48

/* Kinds from 1 up are instruction sets (predict.h). */
#define NRT_SECTION_PLAIN 0u
#define NRT_SECTION_WORDS 8u      /* addresses */
#define NRT_SECTION_SELF 9u       /* words that count from where they stand, to code */
#define NRT_SECTION_TABLE 10u     /* words that count from the section's begin */
#define NRT_SECTION_KINDS 11u
#define NRT_SECTION_APART 16u     /* besides: it has no addresses of its own */

/* Old bytes from `from` up to the next one's, new ones from `at`; an address is an offset and its lift. */
struct nrt_section {
    uint32_t from;
    uint32_t lift;
    uint32_t at;
    uint32_t lift_now;
    uint32_t kind;
};

struct nrt_sections {
    uint32_t n;
    struct nrt_section at[NRT_MAX_SECTIONS];
};

/* As nrt_moved(), by sections. */
int nrt_section_moved(const struct nrt_predictor *p, uint32_t target, uint32_t *now);
/* Turns the site's offsets into addresses, says in `out` whose code it is, and predicts a word of data: 1, else 0. */
int nrt_section_predict(const struct nrt_predictor *p, struct nrt_site *s, struct nrt_guess *out);

#endif
