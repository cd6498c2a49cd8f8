/* unpack.h - the decoder as rehearsal and rewrite see it: a header, an order of commit units, groups. It reads the staged
 * file and, through nrt_old(), old bytes; it never touches flash and never knows whether its output is written. */
#ifndef NRT_UNPACK_H
#define NRT_UNPACK_H

#include "nrt.h"

#define NRT_MAX_SAVES 64
#define NRT_MAX_SEGMENTS 512   /* of the control table, all profiles but 3 */
#define NRT_MAX_ORDER 4096     /* commit units */
#define NRT_LARGE_SEGMENTS 4096   /* profile 3 */
#define NRT_PROFILE_SMALL 2
#define NRT_PROFILE_LARGE 3
#define NRT_PROFILE_TINY 4
#define NRT_PROFILE_QUICK 5
#define NRT_PROFILES 6u

/* Before the unit at plan position `before` is committed, the old content of the sector that starts at image offset
 * `image_off` is copied to scratch and served from there by nrt_old() once the bank's copy is gone. */
struct nrt_save {
    uint32_t before;
    uint32_t image_off;
};

/* What the header of an update file says (docs/spec/delta.md). */
struct nrt_header {
    uint32_t profile;      /* 0 raw, 1 simple, 2 small, 3 large, 4 tiny, 5 quick */
    uint32_t isa;          /* whose instructions are predicted; 0: none, bytes */
    uint32_t address;      /* where the first byte of the image is mapped, 0 where nobody needs to know */
    uint32_t sections;     /* 1: the control table lists sections (profile 3) */
    uint32_t apart;        /* 1: made for an old image that stays whole elsewhere; never rewritten in place */
    uint32_t flow;         /* 1: the model goes on from the first frame to the last; where old bytes go away, of each unit */
    uint32_t window;       /* then: bytes made last that copies may come from; 0: none do */
    uint32_t old_size;     /* 0: a full image */
    uint32_t new_size;
    uint32_t base;         /* low half of the old image's CRC-32: a wrong base is named before anything is decoded */
    uint32_t crc;          /* CRC-32 over old and new image: for a bare file, without target */
    uint32_t group;
    uint32_t n_order;      /* commit units that are rewritten, in plan order */
    uint32_t resume;       /* 1: resume mode: units are rewritten from RAM, without scratch */
    uint32_t hybrid;       /* 1: made for what a cut left of a rewrite (docs/spec/rescue.md) */
    uint32_t room;         /* bytes of `workspace` that hold one commit unit; 0: scratch mode */
    uint32_t joint;        /* so many units in plan order are committed at once; 1: each alone */
    uint32_t slide;        /* 1: a unit is decoded before the one ahead of it is committed: it may read that one's old bytes */
    uint32_t n_saves;
    uint32_t n_segments;   /* of the control table */
    uint32_t workspace;    /* RAM the decoder wants, bytes */
    uint32_t control;      /* offset of the coded control table */
    uint32_t body;         /* offset of the first group frame */
};

/* Output of a group, in order; return below 0 ends the decoding with that result. */
struct nrt_sink {
    void *ctx;
    int (*put)(void *ctx, const uint8_t *data, uint32_t len);
};

/* Bit n: files of profile n are decoded here (docs/spec/check.md, profiles). */
uint32_t nrt_profiles(void);

struct nrt_unpack;   /* lives at the start of the workspace */

/* Header only: what the file claims, before any RAM is lent. Strict: every field in bounds for this layout. */
int nrt_unpack_header(const struct nrt_layout *l, const struct nrt_file *f, struct nrt_header *out);
/* Opens with order, saves and control table decoded into `workspace`, and walks the frames: their lengths fill the file
 * exactly. NRT_E_SPACE when the workspace is smaller than the header asks for. */
int nrt_unpack_open(struct nrt_unpack **u, const struct nrt_layout *l, const struct nrt_file *f, struct nrt_ram workspace);
const struct nrt_header *nrt_unpack_info(const struct nrt_unpack *u);
/* Commit unit at plan position k. */
int nrt_unpack_order(const struct nrt_unpack *u, uint32_t k, uint32_t *unit);
int nrt_unpack_save(const struct nrt_unpack *u, uint32_t i, struct nrt_save *out);
/* Where in the workspace a commit unit is assembled: `room` bytes of the header. */
uint8_t *nrt_unpack_room(const struct nrt_unpack *u);
/* Decodes the whole commit unit at plan position k into the sink: exactly the unit's bytes that lie inside the new image,
 * in order, group by group. Bounded: work is at most a constant times output plus the frame's length; where the model goes
 * on from unit to unit (`flow`), those before this one are decoded first, into nothing, unless they just were.
 * `first_sector_only` decoding does not exist: units are the grain. */
int nrt_unpack_unit(struct nrt_unpack *u, struct nrt_core *c, uint32_t k, struct nrt_sink sink);

#endif
