/* plan.h - the plan of one rehearsal or rewrite: it lives at the start of the lent RAM and is gone with it. It knows which
 * commit units are rewritten in which order, the proven leaves, and what is old, new and saved at the position reached.
 * It never knows how a group is coded.
 *
 *   old.c       nrt_plan_open, nrt_plan_mark, nrt_plan_budget, nrt_old
 *   saves.c     nrt_check_saves, nrt_saved_at, nrt_make_saves
 *   seal.c      nrt_plan_seal, nrt_plan_whole
 *   rehearse.c  nrt_rehearse, nrt_prove (the container's side)
 *   redo.c      nrt_write_member, nrt_future_addr
 *   rewrite.c   nrt_rewrite, nrt_resume, nrt_rescue
 *   direct.c    nrt_rewrite_direct (resume mode)
 *   hybrid.c    nrt_torn, nrt_hybrid
 */
#ifndef NRT_PLAN_H
#define NRT_PLAN_H

#include "layout.h"
#include "unpack.h"

#define NRT_NOT_PLANNED 0xFFFFu
#define NRT_ON_HYBRID 0xFFFFFFFFu   /* in place of a first position: all of a plan made for what a cut left */

struct nrt_plan {
    /* Sealed: what must not change between proof and rewrite. */
    struct nrt_target target;
    struct nrt_header header;
    struct nrt_unpack *unpack;   /* opened on `workspace` by nrt_plan_open() */
    struct nrt_ram workspace;
    uint8_t *leaves;             /* n_leaves * NRT_SHORT bytes; true once `proven` */
    uint32_t n_leaves;
    uint32_t *changed;           /* one mask a commit unit: bit i = its i-th sector gets new content */
    uint16_t *place;             /* one a commit unit: position in plan order, NRT_NOT_PLANNED where it is kept */
    uint32_t n_units;
    uint32_t from;               /* first position still to be rewritten (0, or facts.done in nrt_resume()) */
    uint32_t n_changed;          /* sectors that get new content from `from` on */
    struct nrt_span torn;        /* image offsets of the sector a cut left open: gone, and rewritten first; len 0: none */
    uint32_t lost;               /* unit that was open when this very file was cut: gone as a whole; NRT_NO_UNIT: none */
    uint32_t ring;               /* scratch sectors of the redo log; those above hold the saves, one each */
    /* Not sealed: it moves on. */
    uint32_t position;           /* plan position being decoded: nrt_old() answers for this moment */
    uint32_t saved;              /* saves with `before` below this lie in scratch; until then the bank still holds them */
    uint32_t head;               /* check of the figures above `position` */
    uint32_t seal;               /* and of all the tables */
    struct nrt_span near;        /* unit nrt_old() looked at last, and its number */
    uint32_t near_unit;
    int proven;
};

/* Lays the plan out in `ram` (leaves, masks, places, then the decoder's workspace), opens the decoder, fills `header` and
 * `place`, sets c->plan. Refuses an order that names a unit twice or outside the new image, a save that comes after its
 * sector's unit, and what scratch cannot hold. NRT_E_SPACE when `ram` is too small. Touches no flash. */
int nrt_plan_open(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram,
                  uint32_t from);

/* Bytes nrt_plan_open() takes out of the lent RAM before the workspace. */
uint32_t nrt_plan_room(const struct nrt_layout *l, uint32_t image_size);

/* Compares `len` decoded bytes at image offset `off` (inside the unit at the plan's position) with what the bank holds now
 * and marks the sectors that differ in `changed`. The rehearsal's sink calls it for every byte it is given. */
int nrt_plan_mark(struct nrt_core *c, uint32_t off, const uint8_t *data, uint32_t len);

/* After the last unit was marked: the budget of scratch erases (redo and saves together at most one a changed sector).
 * NRT_E_SPACE over it. Sets n_changed. */
int nrt_plan_budget(struct nrt_core *c);

/* After the proof: the plan's tables, order and saves are as proven from here on. RAM may forget, so the rewrite asks for
 * nrt_plan_whole() after it took a figure out of the plan and before it acts on its copy: NRT_E_DIGEST when anything that was
 * sealed has changed. Nothing was erased for that figure then, and a restart proves the file anew. */
void nrt_plan_seal(struct nrt_core *c);
int nrt_plan_whole(const struct nrt_core *c);

/* G4, G5 and, with `from` > 0, R3: file digest; plan opened; leaves of units that are kept or done (place < from) hashed
 * from the bank; units from `from` on decoded with nrt_plan_mark() on their output; exact sizes; hash of the leaf list
 * equals t->leaves; nrt_plan_budget(). On success c->plan is proven. Writes nothing. (rehearse.c) */
int nrt_rehearse(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram, uint32_t from);

/* The first plan position whose old bytes are still in the bank: that of the first unit committed together with the one
 * being decoded; where the plan slides, the one before it. */
uint32_t nrt_plan_kept_from(const struct nrt_plan *p);

/* The unit at plan position k in resume mode, from RAM (direct.c). Writes flash. */
int nrt_rewrite_direct(struct nrt_core *c, struct nrt_plan *p, uint32_t k);

/* The check of what nrt_hybrid() says, as an update file's base tag carries it: the low half of its CRC-32. */
int nrt_hybrid_tag(struct nrt_core *c, uint32_t *tag);

/* What nrt_old() means, exactly, at plan position p: nothing of `torn` or `lost` is readable. Elsewhere an old byte is readable when its unit is not planned, or its place is
 * >= nrt_plan_kept_from() (all units of a commit are decoded whole before a sector of any is erased), or a save with
 * `before` <= p holds its sector. All of a committed unit counts as gone, changed or not: so the answer depends on order,
 * joint, saves and p alone, and is the same in encoder, rehearsal, rewrite and resume. */

/* ---- saves.c ---------------------------------------------------------------------------------------------------------- */

/* Shares scratch between redo log and saves. A save copies a whole sector while it is still there: NRT_E_FORMAT for any other. */
int nrt_check_saves(struct nrt_core *c, struct nrt_plan *p);
/* Where the old content of the sector that starts at image offset `sector` lies, given that the plan has erased it by now:
 * in its save, or, while that is only rehearsed, still in the bank (then *addr stays). */
int nrt_saved_at(const struct nrt_core *c, const struct nrt_plan *p, uint32_t sector, uint32_t *addr);
/* Writes flash: what is saved before the plan's position. */
int nrt_make_saves(struct nrt_core *c, struct nrt_plan *p);

/* ---- redo.c and slide.c ---------------------------------------------------------------------------------------------- */

struct nrt_member;

/* Flash address that will be image offset `off` once the unit is copied: in scratch, or in the bank where nothing changes;
 * *run is how many bytes follow there. */
int nrt_future_addr(const struct nrt_core *c, const struct nrt_member *r, uint32_t off, uint32_t *addr, uint32_t *run);
/* Writes scratch: the unit at p->position, decoded into r's place and read back against its leaves. */
int nrt_write_member(struct nrt_core *c, struct nrt_plan *p, const struct nrt_member *r);
/* The rewrite from p->from on where the plan slides: every unit is decoded before the one ahead of it is committed. */
int nrt_slide(struct nrt_core *c, struct nrt_plan *p);

#endif
