/* nrt_keys.h - lists of keys that roots sign (docs/spec/keylist.md 7), for terminals that have no file to keep them in. A port that
 * includes it and calls nrt_keys_begin() goes by them; one that does not links nothing of it and keeps the keys of its birth record. */
#ifndef NRT_KEYS_H
#define NRT_KEYS_H

#include "nrt.h"

#define NRT_MAX_KEY_LIST 16384 /* no list is longer, docs/spec/keylist.md 1 */

struct nrt_reply;

/* Whom this terminal believes since it was powered up. `now` is what everything that reads envelopes and tickets is given as the
 * birth record: its release keys and its ticket key are those that count. Private but for `now` and `version`. */
struct nrt_keys {
    struct nrt_birth now;
    struct nrt_core *core;
    uint8_t root[NRT_DIGEST];    /* of the roots that sign the next list; zeros: this terminal takes none */
    uint32_t version;            /* of the last list taken since the power came, 0: none */
    struct nrt_ram ram;          /* of the wire: the list that is on its way */
    uint8_t file[NRT_DIGEST];
    uint32_t total;
    uint32_t next;
    void (*answer)(struct nrt_smp *s, struct nrt_reply *a);
};
/* After nrt_power_up(). `b` may be &k->now. Where a list was ever taken no key counts until one as new is here again: those of the
 * birth record may have been revoked since. */
void nrt_keys_begin(struct nrt_keys *k, struct nrt_core *c, const struct nrt_birth *b);
/* Writes flash: the version, where none as high was ever taken. Takes the next list, whatever brought it: NRT_E_FORMAT (it is none),
 * NRT_E_STATE (not the next one), NRT_E_TRUST (others' roots, or too few of them). Lists are taken one after the other, from number
 * 1 on at each power-up; keys count from the version on that the log names. */
int nrt_keys_take(struct nrt_keys *k, const uint8_t *list, uint32_t len);

/* After nrt_smp_init and nrt_keys_begin: the wire brings lists (docs/spec/smp.md 7), and packages are judged by k->now. `ram` holds
 * one list on its way; it may be the restoration's. */
void nrt_smp_keys(struct nrt_smp *s, struct nrt_keys *k, struct nrt_ram ram);

#endif
