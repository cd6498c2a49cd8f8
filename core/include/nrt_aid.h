/* nrt_aid.h - the resume delta over the restoration wire (docs/spec/smp.md 6). A port that includes it and calls nrt_smp_aid() has
 * it; one that does not links nothing of it. */
#ifndef NRT_AID_H
#define NRT_AID_H

#include "nrt.h"

struct nrt_reply;

/* The file made for what a cut left of a rewrite, on its way over the wire. `ram` holds it, and beside it what nrt_rescue()
 * needs. Private but for nrt_smp_aid(). */
struct nrt_aid {
    struct nrt_ram ram;
    uint8_t file[NRT_DIGEST];
    uint32_t total;      /* bytes of the file, 0: none is on its way */
    uint32_t next;       /* offset of the next byte wanted */
    uint32_t asked;      /* 1: somebody on the wire asked what the bank holds, or sent a file: `ram` is the wire's from then on */
    void (*answer)(struct nrt_smp *s, struct nrt_reply *a);
};
/* After nrt_smp_init: in mid-rewrite this terminal says what its bank holds, and takes a file made for that. `ram` is touched only
 * while a plan is open. Not for terminals that take only signed files: whose file this is nobody asks. */
void nrt_smp_aid(struct nrt_smp *s, struct nrt_aid *a, struct nrt_ram ram);

#endif
