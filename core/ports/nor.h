/* nor.h - NOR flash as a host keeps it: in memory or in a file, with the tears a power cut leaves. Host code. */
#ifndef NRT_NOR_H
#define NRT_NOR_H

#include "nrt.h"

#define NRT_CUT (-100)   /* what an nrt_host call gives when the power was cut inside it */

/* How an operation ends when power fails in it. */
enum nrt_cut_kind {
    NRT_CUT_NONE = 0,
    NRT_CUT_BEFORE = 1,   /* nothing happened */
    NRT_CUT_EARLY = 2,    /* the first part is done, the unit at the edge is torn */
    NRT_CUT_LATE = 3,     /* all but some bits at the end */
    NRT_CUT_AFTER = 4,    /* all of it */
    NRT_CUT_RANDOM = 5,   /* every bit by chance */
    NRT_CUT_WEAK = 6,     /* erase: reads as erased now, later not; program: reads torn now, later as finished */
    NRT_CUT_META = 7,     /* erase: reads as untouched now, later not; program: reads as finished now, later torn */
    NRT_CUT_GHOST = 8     /* program: leaves no trace that can be read now, later reads as finished; erase: as BEFORE */
};
#define NRT_CUT_KINDS 8

enum nrt_fault { NRT_FAULT_NONE = 0, NRT_FAULT_LOUD = 1 /* the chip says so */, NRT_FAULT_SILENT = 2 /* a bit stays */ };

struct nrt_nor;

/* `path` NULL: in memory. Otherwise the file or raw device (device.h) holds the whole flash, from the lowest region up;
 * `create` makes a file, erased. The layout is copied. NULL: no memory, no file, wrong size, or nrt_device_fits() says why.
 * A device knows of no torn reads: cuts leave on it what a process can. */
struct nrt_nor *nrt_nor_open(const struct nrt_layout *l, const char *path, int create, int ecc);
void nrt_nor_close(struct nrt_nor *n);
/* The port: erase and program obey the rules of NOR and count what breaks them. */
const struct nrt_port *nrt_nor_port(struct nrt_nor *n);
const struct nrt_layout *nrt_nor_layout(const struct nrt_nor *n);
/* A host may give `verify` and `ready` of the port. */
void nrt_nor_set_verify(struct nrt_nor *n, void *ctx, int (*verify)(void *ctx, int alg, const uint8_t *key, uint32_t key_len,
                        const uint8_t *msg, uint32_t msg_len, const uint8_t *sig));
/* The world's hands: no flash rules, no cut. Written bytes count as programmed unless they are the erased value. */
int nrt_nor_peek(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len);
int nrt_nor_poke(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len);
/* Erases a raw device whole: the hands of the factory. NRT_E_ARG for a file or memory. */
int nrt_nor_wipe(struct nrt_nor *n);
/* The operation `after` ones from now (0: the next) is torn in this way: the call it is part of gives NRT_CUT, or, with
 * `kill`, the process ends by SIGKILL. NRT_CUT_NONE takes the order back. */
void nrt_nor_cut(struct nrt_nor *n, uint64_t after, int kind, uint32_t seed, int kill);
/* Power comes back: what was torn may read differently. `how` 0: as it did; 1: the other way; else by chance with this
 * seed. */
void nrt_nor_power(struct nrt_nor *n, uint32_t how);
/* Just before the operation `after` ones from now, the byte of RAM at `at` changes by `mask`: memory that forgets. */
void nrt_nor_flip(struct nrt_nor *n, uint64_t after, uint8_t *at, uint8_t mask);
void nrt_nor_fault(struct nrt_nor *n, uint32_t sector, int fault);
uint64_t nrt_nor_operations(const struct nrt_nor *n);
uint64_t nrt_nor_violations(const struct nrt_nor *n);   /* twice programmed, off the grid, outside bank, log and scratch */
uint32_t nrt_nor_erases(const struct nrt_nor *n, uint32_t addr);
void nrt_nor_forget(struct nrt_nor *n);                  /* all counters to 0 */
uint32_t nrt_nor_programs(const struct nrt_nor *n, uint32_t addr);

/* The cells as they read now: for a processor that an emulator runs on them. */
uint8_t *nrt_nor_cells(struct nrt_nor *n);
/* What else a flash in memory is: as many bytes that units may read otherwise, and a mark for each write unit. */
const uint8_t *nrt_nor_others(const struct nrt_nor *n);
const uint8_t *nrt_nor_marks(const struct nrt_nor *n);
/* Makes `to` hold what `from` holds, torn units and all; both of one layout, in memory. */
int nrt_nor_copy(struct nrt_nor *to, const struct nrt_nor *from);

/* One operation of the port, as a processor outside asks for it; NRT_CUT where the cut falls. */
int nrt_host_read(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len);
int nrt_host_erase(struct nrt_nor *n, uint32_t addr);
int nrt_host_program(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len);

/* The calls of nrt.h that write flash, each ending in NRT_CUT where the cut falls. */
int nrt_host_provision(struct nrt_core *c, struct nrt_nor *n, const struct nrt_image *now);
int nrt_host_power_up(struct nrt_core *c, struct nrt_nor *n, int reset, int *fate);
int nrt_host_prove(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                   struct nrt_ram ram);
int nrt_host_rewrite(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                     struct nrt_ram ram);
int nrt_host_resume(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, struct nrt_ram ram);
int nrt_host_rescue(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                    struct nrt_ram ram);
/* From now on the file of these calls is veiled (docs/spec/veil.md): hidden from offset `start` on, under this key of 16 bytes.
 * `start` 0: it is not. */
void nrt_host_veil(struct nrt_nor *n, uint32_t start, const uint8_t *key);
/* Whose signatures count on the files of these calls (docs/spec/signed.md): of this birth record. `only_signed`: others are refused. */
void nrt_host_trust(struct nrt_nor *n, const struct nrt_birth *b, int only_signed);
int nrt_host_confirm(struct nrt_core *c, struct nrt_nor *n);
int nrt_host_give_up(struct nrt_core *c, struct nrt_nor *n, int why);
int nrt_host_accept_serial(struct nrt_core *c, struct nrt_nor *n, uint32_t serial);
int nrt_host_accept_key_list(struct nrt_core *c, struct nrt_nor *n, uint32_t version);
int nrt_host_keys_take(struct nrt_keys *k, struct nrt_nor *n, const uint8_t *list, uint32_t len);

int nrt_host_smp_feed(struct nrt_smp *s, struct nrt_nor *n, const uint8_t *data, uint32_t len);

#endif
