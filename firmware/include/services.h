/* services.h - what the boot core does for the application: the core's calls, flash, clock, wire and air, so that nothing of
 * it lies in the image twice. The table's address stands at flash offset 0x20; its beginning never changes, later boards may
 * only add at the end. */
#ifndef FW_SERVICES_H
#define FW_SERVICES_H
#include "coap.h"
#include "nrt.h"
#include "stage.h"

#define FW_KEPT 20u
#define FW_SERVICES_MAGIC 0x4e525431u /* "NRT1" */

struct fw_services {
    uint32_t magic;
    uint32_t size; /* of this table, bytes */
    struct nrt_core *core;
    const struct nrt_layout *layout;
    const struct nrt_port *port;
    const struct nrt_birth *birth;
    /* Serves the wire with what has come; call it at least every 100 ms. */
    void (*poll)(void);
    uint32_t (*millis)(void);
    /* A line of text on the wire's console, for people. */
    void (*say)(const char *text);
    /* The new image works: candidate -> confirmed. */
    int (*confirm)(void);
    /* Rehearses the file and, where it is proven, rewrites the bank and restarts. Comes back with the refusal only; the
     * bank is untouched then. A file whose reader lies in the image is refused: the image is what is erased. */
    int (*update)(const struct nrt_file *file, const struct nrt_target *target, struct nrt_ram ram);
    void (*restart)(void);
    /* One exchange over the air; one whose answer has several blocks. */
    int (*ask)(struct fw_exchange *x);
    int (*ask_whole)(struct fw_exchange *x);
    int (*envelope_read)(const struct nrt_port *p, const uint8_t *env, uint32_t len, const struct nrt_key *keys, uint32_t n,
                         struct nrt_envelope *out);
    int (*gate_envelope)(const struct nrt_envelope *e, const uint8_t vendor[16], const uint8_t klass[16],
                         const struct nrt_facts *facts);
    int (*ticket_read)(const struct nrt_port *p, const uint8_t *msg, uint32_t len, const struct nrt_key *keys, uint32_t n,
                       struct nrt_ticket *out);
    int (*gate_ticket)(const struct nrt_ticket *t, const struct nrt_envelope *e, const struct nrt_birth *b,
                       const struct nrt_facts *facts, const uint8_t bank[NRT_DIGEST]);
    int (*accept_serial)(struct nrt_core *c, uint32_t serial);
    int (*bank_digest)(struct nrt_core *c, uint32_t size, uint8_t out[NRT_DIGEST]);
    void (*nonce)(const uint8_t key[32], const uint8_t envelope[NRT_SHORT], uint32_t installs, uint8_t out[8]);
    uint32_t (*need)(const struct nrt_layout *l, uint32_t image_size, uint32_t file_size, uint32_t workspace,
                     int staged_in_ram);
    void (*sha256_init)(struct nrt_sha256 *s);
    void (*sha256_add)(struct nrt_sha256 *s, const uint8_t *data, uint32_t len);
    void (*sha256_end)(struct nrt_sha256 *s, uint8_t out[NRT_DIGEST]);
    uint32_t (*parity_size)(uint32_t file_size);
    void (*parity_make)(const uint8_t *file, uint32_t size, uint8_t *parity);
    /* Readers for update(): of a struct fw_staged, of a struct fw_stage. */
    int (*staged_read)(void *staged, uint32_t off, uint8_t *buf, uint32_t len);
    int (*stage_read)(void *stage, uint32_t off, uint8_t *buf, uint32_t len);
    int (*stage_stream)(const struct fw_stage *s, uint32_t at, uint8_t *data, uint32_t len);
    void (*stage_open)(struct fw_stage *s);
    int (*stage_take)(struct fw_stage *s, const uint8_t program[4], uint32_t piece, uint32_t index, const uint8_t *data,
                      uint32_t len);
    int (*stage_whole)(struct fw_stage *s, uint8_t digest[NRT_DIGEST]);
    uint32_t (*stage_room)(const struct fw_stage *s);
    /* A heartbeat: one datagram and the one that answers it. */
    int (*beat)(struct fw_exchange *x, uint32_t wait);
    /* The user's screen and keys: a line to show; the next key that was pressed, or -1. */
    void (*show)(const char *text);
    int (*key)(void);
    /* A file over the air, set of blocks by set. */
    int (*series)(struct fw_series *s);
    /* update() for a file in RAM with its parity: one damaged block is mended, before the rehearsal and again before the
     * rewrite. `size` says whether a boot core has it. */
    int (*update_whole)(const struct fw_whole *whole, const struct nrt_target *target, struct nrt_ram ram);
    /* Profiles of update files that it decodes, a bit each; `size` says whether a boot core tells. */
    uint32_t (*profiles)(void);
    /* Tags in the place of tokens; `size` says whether a boot core has them. */
    uint32_t (*guard)(const struct fw_guard *guard);
    /* FW_KEPT bytes of RAM that no restart clears; after power was away they hold anything. */
    uint8_t *kept;
    /* Takes the lists of keys that came since the last one (learn.h); what `birth` names then is whom it believes. Between calls
     * `room` is the caller's. `size` says whether a boot core goes by lists. */
    int (*learn)(uint8_t *room, uint32_t len);
};

extern const struct fw_services fw_services;

#endif
