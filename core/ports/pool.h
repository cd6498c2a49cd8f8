/* pool.h - flash states kept cheaply: equal sectors once, whole states as lists of sectors. For the enumerator. */
#ifndef NRT_POOL_H
#define NRT_POOL_H

#include "norstate.h"

struct nrt_state_key {
    uint64_t a;
    uint64_t b;
};

#define NRT_POOL_FULL 0xFFFFFFFFu

struct nrt_pool;   /* sectors by content, counted */
struct nrt_seen;   /* keys of states */

struct nrt_pool *nrt_pool_open(const struct nrt_nor *n);
void nrt_pool_close(struct nrt_pool *p);
/* Index of the sector at offset `off` of the chip. */
uint32_t nrt_pool_sector(const struct nrt_pool *p, uint32_t off);
/* Offset of a sector on the chip. */
uint32_t nrt_pool_base(const struct nrt_pool *p, uint32_t s);
/* The key of any bytes. */
struct nrt_state_key nrt_key_of(const uint8_t *data, uint32_t len);
/* Keeps one sector as it is on the chip; its number, or NRT_POOL_FULL. Undone by one drop of that number. `likely` is the number
 * it was kept under before, or NRT_POOL_FULL: most sectors of a state are still what they were, and to compare is cheaper than
 * to digest. */
uint32_t nrt_pool_keep(struct nrt_pool *p, const struct nrt_nor *n, uint32_t sector, uint32_t likely);
/* Keeps, or drops, sectors once more. */
void nrt_pool_hold(struct nrt_pool *p, const uint32_t *state, uint32_t count);
void nrt_pool_drop(struct nrt_pool *p, const uint32_t *state, uint32_t count);
/* The key of a state. */
struct nrt_state_key nrt_pool_key(const struct nrt_pool *p, const uint32_t *state);
/* Puts a kept state back onto the chip. */
void nrt_pool_load(const struct nrt_pool *p, const uint32_t *state, struct nrt_nor *n);

struct nrt_seen *nrt_seen_open(void);
void nrt_seen_close(struct nrt_seen *s);
/* 1: new, now noted; 0: known; -1: no memory. */
int nrt_seen_add(struct nrt_seen *s, struct nrt_state_key k);
/* 1: this key was added. */
int nrt_seen_has(const struct nrt_seen *s, struct nrt_state_key k);

#endif
