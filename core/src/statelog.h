/* statelog.h - the state log: append-only records in two spans (docs/spec/statelog.md). statelog.c knows spans, seals and
 * torn tails; facts.c knows what the records mean. */
#ifndef NRT_STATELOG_H
#define NRT_STATELOG_H

#include "layout.h"

enum nrt_record {
    NRT_REC_SEAL = 0x21,       /* generation u32 */
    NRT_REC_INSTALLED = 0x22,  /* image 60, installs u32, candidate u8: closes the plan */
    NRT_REC_CONFIRMED = 0x23,  /* image 60: last confirmed one, where it is not the installed one */
    NRT_REC_CONFIRM = 0x24,    /* the installed image is confirmed */
    NRT_REC_COUNTERS = 0x25,   /* serial u32, key list u32 */
    NRT_REC_BOOTS = 0x26,      /* u8 */
    NRT_REC_FAILED = 0x27,     /* envelope 16, count u8 */
    NRT_REC_PLAN = 0x28,       /* target 116, units u16, kind u8 (enum nrt_plan_kind), torn unit u16, torn sector u8 */
    NRT_REC_COMMIT = 0x29,     /* position u16, unit u16, first u16, mask u32 */
    NRT_REC_DONE = 0x2A,       /* parts u8 */
    NRT_REC_BROKEN = 0x2B,     /* why u8 */
    NRT_REC_MARK = 0x2C,       /* behind a SEAL: from its first trace on the span counts */
    NRT_REC_HOLD = 0x2E,       /* position u16, unit u16, first u16, mask u32: decoded; counts from COMMIT of the position before */
    NRT_REC_JOIN = 0x2D        /* position u16, unit u16, first u16, mask u32: committed by the COMMIT of that position */
};

/* What a PLAN is, as bits. */
enum nrt_plan_kind { NRT_PLAN_RESTORING = 1, NRT_PLAN_RESUME = 2, NRT_PLAN_HYBRID = 4 };

/* ---- statelog.c ---------------------------------------------------------------------------------------------------- */

/* Payload length of a record type, or -1 for what is no type. */
int nrt_record_len(uint8_t type);
/* Reads both spans, takes the sealed one with the higher generation, sets c->log and c->facts. NRT_E_STATE: none is sealed.
 * Writes nothing. */
int nrt_log_mount(struct nrt_core *c);
/* Writes flash, once a power-up. Everything read by nrt_log_mount() is made stable: to be called before the first erase or
 * program that relies on it. */
int nrt_log_settle(struct nrt_core *c);
/* Writes flash. Settles, appends and applies one record. */
int nrt_log_append(struct nrt_core *c, uint8_t type, const uint8_t *payload);
/* Writes flash: a first log that says what c->facts says. */
int nrt_log_create(struct nrt_core *c);

/* ---- facts.c ------------------------------------------------------------------------------------------------------- */

/* What a record changes in facts and open unit. Idempotent: the same record twice is the same as once. */
void nrt_facts_apply(struct nrt_core *c, uint8_t type, const uint8_t *payload);
/* Units of the open commit: those joined to it, then the one it names. */
uint32_t nrt_members(const struct nrt_core *c);
/* The unit at this plan position where it lies decoded in scratch and that counts; else NULL. */
const struct nrt_member *nrt_held(const struct nrt_core *c, uint32_t position);
/* What an earlier power-up joined to, or decoded for, a COMMIT that it did not write. */
void nrt_forget_joined(struct nrt_core *c);
const struct nrt_member *nrt_member(const struct nrt_core *c, uint32_t i);
/* Resume mode: the index in its unit of the n-th sector of a commit, counted round from `first`; NRT_UNIT_SECTORS past the
 * last. */
uint32_t nrt_member_sector(const struct nrt_member *m, uint32_t n);
/* The sector that is open in resume mode, as unit and index; NRT_NO_UNIT: none. */
uint16_t nrt_torn_at(const struct nrt_core *c, uint8_t *sector);
/* The i-th record of the live set: its type, payload filled; 0 past the last. */
uint8_t nrt_facts_live(const struct nrt_core *c, uint32_t i, uint8_t *payload);

/* Writes flash, all of these. */
int nrt_log_plan(struct nrt_core *c, const struct nrt_target *t, uint32_t units, uint32_t kind);
int nrt_log_join(struct nrt_core *c, uint32_t position, const struct nrt_member *m);
int nrt_log_hold(struct nrt_core *c, uint32_t position, const struct nrt_member *m);
int nrt_log_commit(struct nrt_core *c, uint32_t position, const struct nrt_member *m);
int nrt_log_done(struct nrt_core *c, uint32_t parts);
int nrt_log_installed(struct nrt_core *c, const struct nrt_image *image, int candidate);
int nrt_log_broken(struct nrt_core *c, int why);
int nrt_log_boots(struct nrt_core *c, uint32_t boots);
/* A rehearsal of this envelope failed once more; three in a row are counted, then they stay three. */
int nrt_log_failed(struct nrt_core *c, const uint8_t envelope[NRT_SHORT]);

/* R1: the plan is forgotten. Only where nothing was committed. */
void nrt_drop_plan(struct nrt_core *c);

/* ---- judge.c ------------------------------------------------------------------------------------------------------- */

/* Writes flash. The digest of what the bank holds against the open plan's target: INSTALLED as a candidate, or BROKEN. */
int nrt_judge(struct nrt_core *c);

/* ---- commit.c ------------------------------------------------------------------------------------------------------ */

/* Writes flash. R2: erases and programs the sectors of the open commit that are not done, from scratch. */
int nrt_finish_commit(struct nrt_core *c);

#endif
