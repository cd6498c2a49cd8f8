/* closure.h - every power cut of a rewrite, as a graph of flash states (docs/assurance/README.md). Host code. */
#ifndef NRT_CLOSURE_H
#define NRT_CLOSURE_H

#include "nrt.h"

/* A resume delta: for what the bank holds when the sector at image offset `torn` is the one that a cut left open. */
struct nrt_cure {
    uint32_t torn;
    const uint8_t *file;
    uint32_t size;
    const struct nrt_target *target;
};

/* One update to be cut: the images, the file, what it aims at, and RAM for the core. */
struct nrt_story {
    const uint8_t *old_image;
    uint32_t old_size;
    const uint8_t *new_image;
    uint32_t new_size;
    const uint8_t *file;
    uint32_t file_size;
    const struct nrt_target *target;
    struct nrt_ram ram;
    const uint8_t *device_key;      /* its files are veiled for the terminal with this one; NULL: they are not */
    const struct nrt_cure *cures;   /* resume mode: all there are */
    uint32_t n_cures;
    int ecc;
    uint32_t kinds;       /* bit k: cuts of enum nrt_cut_kind k */
    uint32_t depth;       /* cuts in a row, 0: any number */
    uint64_t most;        /* distinct states to look at, 0: all */
    uint32_t seed;        /* of torn bits */
    int keep_scratch;     /* 1: the file has saves, scratch matters between units too */
    int as_found;         /* 1: every state is walked as a cut left it, not as the representative of its class */
    uint32_t ghosts;      /* programs without a trace (NRT_CUT_GHOST) on one path, wherever they fall */
    uint32_t stride;      /* look at every stride-th operation only, 0 and 1: all */
    uint32_t few;         /* torn units of a state that are read every way; of more, each turned alone and three ways at random;
                             0: those three only */
};

enum nrt_harm {
    NRT_HARM_NONE = 0,
    NRT_HARM_RESTORE = 1,    /* restoration state although nothing but power failed */
    NRT_HARM_MIXED = 2,      /* booted what is neither old nor new */
    NRT_HARM_STUCK = 3,      /* the same file, or the one made for it, could not bring it to new, or power-up failed */
    NRT_HARM_RULES = 4,      /* a unit programmed twice, or a write where none is allowed */
    NRT_HARM_FOREIGN = 5,    /* bytes outside bank, log and scratch changed */
    NRT_HARM_LOOKED = 7,     /* read what the enumerator takes for erased before it is read (decision 0015) */
    NRT_HARM_FORGOT = 6      /* what was confirmed was not remembered, or a fate changed without a write */
};

struct nrt_closure {
    uint64_t states;      /* distinct flash states a power-up may find */
    uint64_t edges;       /* cuts: state x operation x kind */
    uint64_t operations;  /* of the uncut update */
    uint64_t old_boots;   /* power-ups that boot the old image: a state with torn cells is powered up once a reading */
    uint64_t new_boots;   /* power-ups that boot the new image (unit finished from scratch included) */
    uint64_t fetches;     /* power-ups that ask for a file, and go on with it */
    uint64_t rescues;     /* of those: with a resume delta */
    uint64_t bricks;
    uint64_t forms;       /* classes of states met (canon.h), and a sum over their keys */
    uint64_t digest;
    uint64_t deepest;     /* most cuts in a row on a path walked; to closure: on a shortest path */
    int closed;           /* 1: nothing was left out */
    int harm;             /* of the first brick: enum nrt_harm, result, operation and kind that led there */
    int result;
    uint64_t harm_operation;
    int harm_kind;
    uint64_t harm_depth;
};

/* Walks the graph. NRT_OK when it ran (look at `bricks`), NRT_E_SPACE without memory, another result when the update does
 * not even work uncut. Stops at the first brick when `out->closed` was given as -1. */
int nrt_closure_walk(const struct nrt_layout *l, const struct nrt_story *s, struct nrt_closure *out);

#endif
