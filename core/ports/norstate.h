/* norstate.h - what a NOR flash is made of on a host: for nor.c, and for the enumerator, which copies whole states. */
#ifndef NRT_NORSTATE_H
#define NRT_NORSTATE_H

#include <setjmp.h>

#include "device.h"
#include "nor.h"

/* Marks of a write unit. */
#define NOR_PROGRAMMED 1u   /* since its last erase, wholly or in part */
#define NOR_TORN 2u         /* an ECC chip cannot correct what it reads */
#define NOR_META 4u         /* may read as `other` after the next power-up */
#define NOR_OTHER_TORN 8u   /* and `other` is not correctable */
#define NOR_DEAD 16u        /* the enumerator claims: erased before it is read */

struct nrt_nor {
    struct nrt_layout layout;
    struct nrt_port port;
    uint8_t *mem;
    uint8_t *other;
    uint8_t *mark;
    uint8_t *work;
    uint32_t *erases;
    uint32_t *programs;
    uint32_t base;
    uint32_t size;
    uint32_t sectors;
    uint32_t largest;
    uint64_t operations;
    uint64_t violations;
    uint64_t looked;   /* reads of dead units */
    uint64_t due;
    int kind;
    uint32_t seed;
    int kill;
    uint32_t random;
    uint32_t faulty;
    int fault;
    int ecc;
    int fd;
    uint8_t *flip;            /* a byte of RAM that changes by `flip_mask` before operation number `flip_due` */
    uint8_t flip_mask;
    uint64_t flip_due;
    uint32_t veiled;          /* where what is hidden in a staged file begins, 0: it is not; and its key */
    uint8_t veil_key[16];
    struct nrt_key keys[NRT_MAX_KEYS];   /* who may have signed a staged file; and whether one of them must */
    uint32_t n_keys;
    int only_signed;
    jmp_buf jump;
    /* A raw device (device.c), where `device` is not NRT_DEVICE_FILE: `mem`, `other` and `mark` are NULL. */
    int device;
    uint32_t grain;
    uint8_t *window;          /* what was read last: `seen_len` bytes from offset `seen` */
    uint32_t seen;
    uint32_t seen_len;
    uint32_t unlocked;        /* the sector whose lock was lifted last */
    /* Called before each operation with what its units would become; NULL: nobody asks. */
    void (*watch)(struct nrt_nor *n, uint32_t off, const uint8_t *to, uint32_t len, int erase);
    void *watcher;
};

/* Lowest address, size, number and largest of the sectors, out of the layout. */
void nrt_nor_measure(struct nrt_nor *n);
/* 1: the core may write there: bank, log, scratch, staging, and the birth record before its time. */
int nrt_nor_writable(const struct nrt_nor *n, uint32_t addr);
/* The cut falls here. */
void nrt_nor_stop(struct nrt_nor *n);

struct nrt_nor *nrt_device_open(const struct nrt_layout *l, const char *path, const struct nrt_device *d);
int nrt_device_peek(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len);
int nrt_device_poke(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len);

/* Leaves the units of an operation as a cut of this kind does. */
void nrt_nor_tear(struct nrt_nor *n, uint32_t off, const uint8_t *to, uint32_t len, int erase, int kind, uint32_t seed);

/* 1: the bank holds this image, and nothing an ECC chip could not read. */
int nrt_bank_is(const struct nrt_nor *n, const uint8_t *image, uint32_t size);
/* 1: all that is not bank, log or scratch is as it was. */
int nrt_foreign_kept(const struct nrt_nor *n, const uint8_t *foreign);

#endif
