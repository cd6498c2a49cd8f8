/* nrt.h - the Neurath core: everything from "first erase" to "verdict", and the restoration responder.
 *
 * Freestanding C11: no malloc, no recursion, no floating point, no variable-length arrays, no static state. The caller
 * owns every buffer and keeps it alive for as long as the structure that was given it. Power may fail inside any call
 * that says "writes flash"; nrt_power_up() is then the only way back in, and it needs nothing but the flash.
 * The API is page-grained, never byte-grained. Spec pages: docs/spec/.
 */
#ifndef NRT_H
#define NRT_H

#include <stddef.h>
#include <stdint.h>

/* ---- results: 0 done, above 0 "more is needed", below 0 refused or failed ------------------------------------------ */

enum nrt_result {
    NRT_OK = 0,
    NRT_MORE = 1,        /* not finished: feed more */
    NRT_E_ARG = -1,      /* the caller broke the contract */
    NRT_E_FORMAT = -2,   /* bytes are not what they claim to be */
    NRT_E_SPACE = -3,    /* RAM, scratch or state log is too small for this plan */
    NRT_E_FLASH = -4,    /* an erase or a program failed, or read back differently */
    NRT_E_TORN = -5,     /* an uncorrectable read (ECC) */
    NRT_E_GONE = -6,     /* nrt_old(): the plan has erased these bytes and not saved them */
    NRT_E_DIGEST = -7,   /* content differs from its digest */
    NRT_E_BASE = -8,     /* the bank does not hold the base this file was made for */
    NRT_E_TRUST = -9,    /* signature, key, class or floor says no */
    NRT_E_STATE = -10,   /* not allowed in this state */
    NRT_E_BOUND = -11,   /* the file asks for more work than its size allows */
    NRT_E_READ = -12     /* the staged file could not be read: link gone, RAM lost */
};

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

#define NRT_DIGEST 32        /* SHA-256 */
#define NRT_SHORT 16         /* truncated SHA-256: leaves, file digests in log and ticket */
#define NRT_MAX_REGIONS 8
#define NRT_MAX_BANK 4
#define NRT_MAX_PAGE 512     /* largest program unit of a supported chip, bytes */
#define NRT_MAX_WRITE 32     /* largest write unit, bytes */
#define NRT_MAX_NAME 64      /* terminal id, model */
#define NRT_MAX_KEYS 4       /* release keys a terminal knows */
#define NRT_MAX_ENVELOPE 350
#define NRT_MAX_TICKET 220
#define NRT_MAX_VERSION 32   /* the word for people in an envelope */

/* ---- geometry (docs/spec/layout.md) -------------------------------------------------------------------------------- */

/* `count` erase sectors of `size` bytes each, from flash address `base` up. */
struct nrt_region {
    uint32_t base;
    uint32_t size;
    uint32_t count;
};

struct nrt_span {
    uint32_t base;
    uint32_t len;
};

/* The memory map of a terminal. `bank` lists the spans that hold the image, in image order; what lies between them is a
 * hole (foreign: settings, radio stack, factory data) and is never touched. Image offsets count over the bank's spans.
 * Every span is whole sectors. `group` and `leaf` are parameters of container and core (16384 and 4096 in production). */
struct nrt_layout {
    struct nrt_region region[NRT_MAX_REGIONS];
    uint32_t n_regions;
    struct nrt_span bank[NRT_MAX_BANK];
    uint32_t n_bank;
    struct nrt_span birth;     /* birth record, protected; len 0: none in this flash */
    struct nrt_span log[2];    /* state log, one sector each (or equal runs of sectors) */
    struct nrt_span scratch;   /* redo log of the scratch mode; len 0: none */
    struct nrt_span stage;     /* free flash for durable staging; len 0: none */
    uint32_t write_unit;       /* 1..NRT_MAX_WRITE, power of two */
    uint32_t page;             /* largest program unit, <= NRT_MAX_PAGE, multiple of write_unit */
    uint32_t group;
    uint32_t leaf;
    uint8_t erased;            /* 0xFF or 0x00 */
    uint8_t resume;            /* 1: files in resume mode may be rewritten here; without scratch there is no other mode */
};

/* NRT_OK, or NRT_E_ARG when the map is not one the core can keep its promises on. */
int nrt_layout_check(const struct nrt_layout *l);
/* The least length of a state-log span: the largest live set with its SEAL and MARK, one mark set again behind its gap, the
 * longest record, the last cell (docs/spec/statelog.md 4). Depends on the write unit alone: recoveries use no room up. */
uint32_t nrt_log_need(const struct nrt_layout *l);
/* How many commit units scratch holds at once, whichever they are: 1 to NRT_MAX_JOINT (docs/spec/delta.md 3). */
uint32_t nrt_joint_most(const struct nrt_layout *l);
/* Bytes of image the bank can hold. */
uint32_t nrt_bank_size(const struct nrt_layout *l);
/* Number of commit units the bank is cut into. A unit is the smallest number of whole groups that fills whole sectors
 * (shorter at a span's end). Depends on the layout alone, not on the image. */
uint32_t nrt_unit_count(const struct nrt_layout *l);
/* Bytes of the longest commit unit: what resume mode keeps in RAM. */
uint32_t nrt_unit_most(const struct nrt_layout *l);
/* Image offsets of unit u: first byte and length (not clipped to an image's size). */
int nrt_unit_span(const struct nrt_layout *l, uint32_t u, struct nrt_span *image);
/* Flash address of an image offset; *run is how many bytes follow contiguously in the same sector. */
int nrt_image_addr(const struct nrt_layout *l, uint32_t image_off, uint32_t *addr, uint32_t *run);
/* The sector that holds a flash address. */
int nrt_sector_of(const struct nrt_layout *l, uint32_t addr, struct nrt_span *sector);

/* ---- port ---------------------------------------------------------------------------------------------------------- */

enum nrt_alg { NRT_ES256 = 1, NRT_ED25519 = 2 };

/* What a board gives the core. `erase` takes the first address of a sector; `program` takes whole write units inside one
 * page, never the same bytes twice between erases. `read` returns NRT_E_TORN where the chip's ECC cannot correct.
 * `verify` returns NRT_OK or NRT_E_TRUST (key: ES256 65 bytes uncompressed point, Ed25519 32 bytes; sig 64 bytes).
 * `ready` is gate G6: NRT_OK when power is good, borrowed software is stopped and the watchdog is set. */
struct nrt_port {
    void *ctx;
    int (*read)(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len);
    int (*erase)(void *ctx, uint32_t addr);
    int (*program)(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len);
    int (*verify)(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
                  const uint8_t *sig);
    int (*ready)(void *ctx);
};

/* A staged file, wherever it lies (RAM, flash, host file). `read` gives exactly len bytes or NRT_E_READ. Where it is what lies
 * inside another (docs/spec/veil.md), `whole` is that one, whose size and digest count; else NULL. */
struct nrt_file {
    void *ctx;
    uint32_t size;
    int (*read)(void *ctx, uint32_t off, uint8_t *buf, uint32_t len);
    const struct nrt_file *whole;
};

/* ---- SHA-256 ------------------------------------------------------------------------------------------------------- */

struct nrt_sha256 {
    uint32_t h[8];
    uint64_t n;
    uint8_t block[64];
};
void nrt_sha256_init(struct nrt_sha256 *s);
void nrt_sha256_add(struct nrt_sha256 *s, const uint8_t *data, uint32_t len);
void nrt_sha256_end(struct nrt_sha256 *s, uint8_t out[NRT_DIGEST]);
/* All three at once. */
void nrt_sha256(const uint8_t *data, uint32_t len, uint8_t out[NRT_DIGEST]);

uint32_t nrt_crc32(uint32_t crc, const uint8_t *data, uint32_t len); /* IEEE 802.3; start with 0 */

/* Strict CBOR: NRT_OK when the bytes are exactly one item in deterministic form (RFC 8949 4.2.1) without tags, floats,
 * integers above 32 bits or nesting beyond 8; else NRT_E_FORMAT. The form of every message of ours. */
int nrt_cbor_strict(const uint8_t *data, uint32_t len);

/* ---- what the terminal is to become -------------------------------------------------------------------------------- */

/* All of it comes from a verified envelope (docs/spec/envelope.md) and, except on the wire, a ticket. */
struct nrt_target {
    uint8_t envelope[NRT_SHORT];    /* digest of the envelope */
    uint8_t image[NRT_DIGEST];      /* SHA-256 of the image */
    uint8_t leaves[NRT_DIGEST];     /* SHA-256 of the leaf list */
    uint32_t image_size;
    uint32_t sequence;
    uint32_t epoch;
    uint8_t file[NRT_SHORT];        /* digest of the staged update file */
    uint32_t file_size;
    uint32_t serial;                /* of the ticket; 0: none (wire) */
};

/* ---- state log (docs/spec/statelog.md) ----------------------------------------------------------------------------- */

/* One image as the state log names it. */
struct nrt_image {
    uint8_t envelope[NRT_SHORT];
    uint8_t image[NRT_DIGEST];
    uint32_t size;
    uint32_t sequence;
    uint32_t epoch;
};

/* What the state log says, as of the last append. */
struct nrt_facts {
    struct nrt_image installed;   /* what the bank holds (or held before the open plan); size 0: nothing known */
    struct nrt_image confirmed;   /* last confirmed */
    struct nrt_target target;     /* of the open plan; file_size 0 and restoring 0: no plan is open */
    uint32_t installs;            /* install counter: grows with each completed rewrite */
    uint32_t serial;              /* highest ticket serial accepted */
    uint32_t key_list;            /* key-list version */
    uint32_t commit;              /* position in plan order + 1 of the last COMMIT, 0: none */
    uint32_t done;                /* position in plan order + 1 of the last DONE, 0: none */
    uint32_t failed_proofs;       /* rehearsals failed in a row for the envelope in `failed` */
    uint8_t failed[NRT_SHORT];
    uint8_t boots;                /* counted boots of an unconfirmed image */
    uint8_t candidate;            /* 1: `installed` has not been confirmed */
    uint8_t restoring;            /* 1: the bank holds no bootable image and a restoration was begun */
    uint8_t broken;               /* why restoration is needed: enum nrt_why, 0: it is not */
    uint8_t resume;               /* 1: the open plan is in resume mode: what a cut left open is lost (nrt_torn()) */
    uint8_t hybrid;               /* 1: the open plan began on what a cut had left: nothing can be booted before it ends */
    uint8_t torn_sector;          /* of such a plan, before its first COMMIT: the sector that cut had left open, in its unit */
    uint16_t torn_unit;           /* and the unit; NRT_NO_UNIT: there was none */
};

#define NRT_NO_UNIT 0xFFFFu

enum nrt_why {
    NRT_WHY_NONE = 0,
    NRT_WHY_REWRITE = 1,      /* cut in a rewrite, the file is gone */
    NRT_WHY_UNCONFIRMED = 2,  /* the new image never confirmed */
    NRT_WHY_DIGEST = 3,       /* the bank's digest is not the target's */
    NRT_WHY_FLASH = 4,        /* erase or program failed */
    NRT_WHY_BLANK = 5,        /* nothing was ever installed, or the log is lost */
    NRT_WHY_RESTORE = 6       /* a restoration over the wire was begun and not finished */
};

enum nrt_fate {
    NRT_FATE_BOOT = 1,     /* run the image in the bank */
    NRT_FATE_FETCH = 2,    /* a plan is open. nrt_torn() names no sector: the same file (facts.target.file) is needed, see
                              nrt_resume(); else, or where that file is lost, one made for what the bank holds: nrt_rescue() */
    NRT_FATE_RESTORE = 3   /* no bootable image: open the wire */
};

enum nrt_reset { NRT_RESET_POWER = 0, NRT_RESET_FAULT = 1 /* watchdog, fault, or ran longer than T unconfirmed */ };

#define NRT_MAX_BOOTS 3    /* counted boots before an unconfirmed image is given up */

/* ---- the core ------------------------------------------------------------------------------------------------------ */

#define NRT_MAX_JOINT 6      /* commit units of one joint commit */
#define NRT_LOG_RECORD 160   /* largest record of the state log, padding included */

/* Where the state log stands. Private to the core. */
/* One commit unit of a commit: where its new content lies in scratch, and which of its sectors change. */
struct nrt_member {
    uint16_t unit;
    uint16_t first;
    uint32_t mask;
};

struct nrt_log {
    uint32_t active;      /* 0 or 1: which of layout.log is live */
    uint32_t generation;  /* of the live span: the sealed span with the higher one is the truth */
    uint32_t next;        /* offset of the first place never written to, as far as can be read */
    uint32_t count;       /* records of the span that count: the next one has this sequence */
    uint8_t mounted;      /* 1: a sealed span was found */
    uint8_t settled;      /* 1: this power-up wrote the span: nothing in it may be torn */
    uint8_t built;        /* 1: whoever wrote the span went on behind its MARK */
    uint8_t doubt;        /* 1: the other span lacks nothing but a trace behind its seal */
    uint8_t parts;        /* of the open commit: sectors finished */
    uint16_t units;       /* of the open plan: positions up to and including the last that changes a sector */
    struct nrt_member last;          /* of the open commit: the unit its COMMIT names */
    struct nrt_member joined[NRT_MAX_JOINT - 1];   /* units that are committed by the COMMIT of position joined_by */
    uint16_t n_joined;
    uint16_t joined_by;
    struct nrt_member held[2];       /* units decoded into scratch before the one ahead of them is committed, by position mod 2 */
    uint16_t held_at[2];             /* and their plan positions plus 1; 0: none */
};

/* Everything the core keeps in RAM between calls. The caller allocates it and never looks inside except at `facts`. */
struct nrt_core {
    const struct nrt_layout *layout;
    const struct nrt_port *port;
    struct nrt_facts facts;
    struct nrt_log log;
    void *plan;                      /* struct nrt_plan of the running rehearsal or rewrite, inside the lent RAM */
    uint8_t page[NRT_MAX_PAGE];      /* the one write page */
};

/* RAM lent for a rehearsal and rewrite: leaves, map, decoder, buffers. At least nrt_need()'s figure less the file. */
struct nrt_ram {
    uint8_t *mem;
    uint32_t len;
};

/* RAM in bytes that an update needs: (file + parity, if staged in RAM) + leaves + map + decoder + buffers. The call stack
 * is the caller's own: less than 2 KiB (docs/decisions/0022-stack-is-the-callers.md).
 * `workspace` is what the update file's header asks for its decoder (nrt_unpack_need()). The one function both server
 * and terminal use (docs/spec/need.md). Returns 0xFFFFFFFF when the layout cannot take the update at all. */
uint32_t nrt_need(const struct nrt_layout *l, uint32_t image_size, uint32_t file_size, uint32_t workspace,
                  int staged_in_ram);

/* Writes flash. Blank log area -> a log that knows the image in the bank (as confirmed) or, with size 0, nothing. NRT_E_STATE
 * where a log stands already. */
int nrt_provision(struct nrt_core *c, const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_image *now);

/* Writes flash. Power-up: mounts the log, appends its last record again, R0, R1, R2, boots that count. Afterwards
 * c->facts is true and *fate says what to do. */
int nrt_power_up(struct nrt_core *c, const struct nrt_layout *l, const struct nrt_port *p, int reset, int *fate);

/* G4 and G5: file digest, then the rehearsal: the real decoder with the real plan, writing nowhere. Leaves the proven
 * leaf list in `ram`. NRT_OK, or the refusal; the bank is untouched in any case. A failed rehearsal is counted in the
 * log (nrt_facts.failed_proofs), which is the only flash it may write. */
int nrt_prove(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram);

/* Writes flash. After nrt_prove() with the same arguments: G6, plan record, then unit after unit, then the judge. NRT_OK:
 * the bank holds the target, as an unconfirmed candidate. */
int nrt_rewrite(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram);

/* Writes flash. R3 and R4 for the same file: facts.target.file authorises it, done units are hashed from flash, the rest
 * is rehearsed, then the rewrite goes on. */
int nrt_resume(struct nrt_core *c, const struct nrt_file *f, struct nrt_ram ram);

/* Writes flash. R3 and R4 for a *resume delta*: another file, made for exactly what the bank holds (docs/spec/rescue.md). `t`
 * is facts.target, or what a verified envelope and nrt_gate_envelope() say, with the file a ticket names that passed
 * nrt_gate_rescue(). Rehearsed whole before anything is written; the sector that is open is rewritten first. */
int nrt_rescue(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram);

/* Image offsets of the sector that a cut left open in resume mode: nobody knows what it holds, and it is erased before it is
 * read. len 0: there is none. */
int nrt_torn(const struct nrt_core *c, struct nrt_span *image);

/* What the bank holds while a plan is open, in few bytes (docs/spec/rescue.md 2): 12 and 4 for each leaf. */
#define NRT_HYBRID_FIXED 12
/* Bytes of it; image bytes it covers: those of the larger of installed image and target. */
uint32_t nrt_hybrid_len(const struct nrt_core *c);
/* Writes nrt_hybrid_len() bytes; NRT_E_SPACE where `room` is less. */
int nrt_hybrid(struct nrt_core *c, uint8_t *out, uint32_t room);
/* The first 16 bytes of its SHA-256: `base` of a ticket for a resume delta. */
int nrt_hybrid_digest(struct nrt_core *c, uint8_t out[NRT_SHORT]);

/* Digest of the first `size` bytes of image in the bank, as they are now. */
int nrt_bank_digest(struct nrt_core *c, uint32_t size, uint8_t out[NRT_DIGEST]);

/* Writes flash. The running image works: candidate -> confirmed, floor raised, boots cleared; also where it had been given up as
 * NRT_WHY_UNCONFIRMED and was tried again. */
int nrt_confirm(struct nrt_core *c);

/* Writes flash. A bootable image is gone or not trusted any more: restoration state with this reason. */
int nrt_give_up(struct nrt_core *c, int why);

/* Writes flash. The ticket with this serial was accepted; the same or a lower one never will be again. */
int nrt_accept_serial(struct nrt_core *c, uint32_t serial);

/* Writes flash. Lists of keys up to this version were taken; none of a lower version ever is again (docs/spec/keylist.md). */
int nrt_accept_key_list(struct nrt_core *c, uint32_t version);

/* The only way to old bytes while a plan runs: image offset, fails with NRT_E_GONE for what the plan has erased by then
 * and not saved. */
int nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len);

/* ---- leaf list (docs/spec/leaflist.md) ----------------------------------------------------------------------------- */

/* Number of leaves of an image. */
uint32_t nrt_leaf_count(uint32_t image_size, uint32_t leaf);

/* ---- block parity of the staged file (docs/spec/staging.md) -------------------------------------------------------- */

#define NRT_PARITY_BLOCK 512
/* Bytes of parity area for a file: one XOR block and a CRC-32 a block. */
uint32_t nrt_parity_size(uint32_t file_size);
/* Computes the parity area of a file in memory. */
void nrt_parity_make(const uint8_t *file, uint32_t size, uint8_t *parity);
/* Repairs at most one damaged block in place; *mended is how many it repaired, 0 or 1. NRT_OK (whole or mended),
 * NRT_E_DIGEST (more than one is damaged). */
int nrt_parity_mend(uint8_t *file, uint32_t size, const uint8_t *parity, uint32_t *mended);

/* ---- envelope and ticket (docs/spec/envelope.md, docs/spec/ticket.md) ---------------------------------------------- */

struct nrt_key {
    int alg;
    uint8_t key[65];
    uint32_t len;
};

/* Strict SUIT verification: deterministic CBOR, COSE tag, null payload, digests of severed members, no trailing bytes,
 * signature by one of the keys. Any conforming envelope, not only ours. */
int nrt_suit_verify(const struct nrt_port *p, const uint8_t *env, uint32_t len, const struct nrt_key *keys, uint32_t n);

/* What Neurath's profile of an envelope says. */
struct nrt_envelope {
    uint8_t vendor[16];
    uint8_t klass[16];
    uint8_t digest[NRT_DIGEST];  /* of the manifest, as signed: what logs and tickets name (first 16 bytes) */
    uint8_t image[NRT_DIGEST];
    uint8_t leaves[NRT_DIGEST];
    uint32_t image_size;
    uint32_t leaf;               /* leaf size, bytes */
    uint32_t sequence;
    uint32_t epoch;
    char version[NRT_MAX_VERSION + 1]; /* printable ASCII, "" when the envelope names none; a word for people */
};
/* Verifies and reads: NRT_OK, NRT_E_FORMAT (not our profile, or not strict), NRT_E_TRUST. */
int nrt_envelope_read(const struct nrt_port *p, const uint8_t *env, uint32_t len, const struct nrt_key *keys, uint32_t n,
                      struct nrt_envelope *out);

enum nrt_kind { NRT_KIND_DELTA = 1, NRT_KIND_FULL = 2, NRT_KIND_RESUME = 3 /* for a terminal in mid-rewrite */ };

struct nrt_ticket {
    uint8_t device[NRT_SHORT];    /* first 16 bytes of SHA-256 of the terminal id */
    uint8_t nonce[8];
    uint32_t serial;
    uint32_t kind;
    uint8_t envelope[NRT_SHORT];
    uint8_t file[NRT_SHORT];
    uint32_t file_size;
    uint8_t base[NRT_SHORT];      /* digest of the base image; zeros: full image; kind resume: nrt_hybrid_digest() */
    uint8_t blocks[NRT_SHORT];    /* digest of the block hashes */
    uint32_t key_list;            /* version of the key list that delegates the ticket key */
};
int nrt_ticket_read(const struct nrt_port *p, const uint8_t *msg, uint32_t len, const struct nrt_key *keys, uint32_t n,
                    struct nrt_ticket *out);
/* HMAC-SHA-256(key, installed envelope digest, install counter big-endian 4 bytes), first 8 bytes. */
void nrt_nonce(const uint8_t key[32], const uint8_t envelope[NRT_SHORT], uint32_t installs, uint8_t out[8]);

/* G1: class and floor. The floor is (epoch, sequence) of the last confirmed image; the same pair is taken only where no
 * confirmed image runs. NRT_OK or NRT_E_TRUST. */
int nrt_gate_envelope(const struct nrt_envelope *e, const uint8_t vendor[16], const uint8_t klass[16],
                      const struct nrt_facts *facts);

/* The envelope's part of a target: all but the file and the serial, which a ticket names. */
void nrt_envelope_target(const struct nrt_envelope *e, struct nrt_target *t);

/* ---- birth record (docs/spec/birth.md) ----------------------------------------------------------------------------- */

struct nrt_birth {
    char id[NRT_MAX_NAME + 1];
    char model[NRT_MAX_NAME + 1];
    uint8_t vendor[16];
    uint8_t klass[16];
    uint8_t device_key[32];              /* seed of the device key */
    struct nrt_key release[NRT_MAX_KEYS];
    uint32_t n_release;
    struct nrt_key ticket;
    uint8_t root[NRT_DIGEST];            /* digest of the roots of the first key list; zeros: there are none */
};
/* NRT_OK, NRT_E_STATE where the area is erased or absent, NRT_E_FORMAT where the record is torn or rotten. */
int nrt_birth_read(const struct nrt_layout *l, const struct nrt_port *p, struct nrt_birth *out);
/* Writes flash, once: NRT_E_STATE where the area is not erased. A cut leaves a record that does not read. */
int nrt_birth_write(const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_birth *b);
/* Writes flash. Re-enrolment: as above, after erasing what is left of a record that no longer reads. NRT_E_STATE where a
 * readable record stands: an identity that works is never replaced. */
int nrt_birth_renew(const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_birth *b);

/* G2, the ticket's part: this terminal, this nonce, no serial below the highest accepted, this envelope, this key list:
 * NRT_E_TRUST;
 * made for what the bank holds (`bank`: its digest now): NRT_E_BASE. */
int nrt_gate_ticket(const struct nrt_ticket *t, const struct nrt_envelope *e, const struct nrt_birth *b,
                    const struct nrt_facts *facts, const uint8_t bank[NRT_DIGEST]);

/* The same for a resume delta, while a plan is open: `envelope` is that of the open plan, or one that nrt_gate_envelope() let
 * through; `hybrid` what nrt_hybrid_digest() says now. */
int nrt_gate_rescue(const struct nrt_ticket *t, const uint8_t envelope[NRT_SHORT], const struct nrt_birth *b,
                    const struct nrt_facts *facts, const uint8_t hybrid[NRT_SHORT]);

/* ---- a terminal that helps itself over the air (docs/spec/rescue.md 3) ------------------------------------------------ */

/* What to POST where nrt_power_up() gave NRT_FATE_FETCH and the plan's own file will not do, or the image was given up as
 * NRT_WHY_UNCONFIRMED. *len bytes are written; NRT_E_SPACE where `room` is less than 44 + nrt_hybrid_len(). */
int nrt_question(struct nrt_core *c, const struct nrt_birth *b, uint8_t *out, uint32_t room, uint32_t *len);
/* Checks the answer: signatures, G1, the ticket for this terminal and this very bank. `out`: what the terminal is to become, by
 * the file out->file. Then nrt_accept_serial(out->serial) where it is above facts.serial, fetch that file, and nrt_rescue()
 * where a plan is open, else nrt_prove() and nrt_rewrite(). Writes nothing. */
int nrt_answer(struct nrt_core *c, const struct nrt_birth *b, const uint8_t *data, uint32_t len, struct nrt_target *out);

/* ---- restoration over the wire (docs/spec/restoration.md, docs/spec/smp.md) ---------------------------------------- */

/* Receives a restoration package in order and writes it group by group, each checked against the signed leaves before it
 * is programmed. Allowed in restoration state or with an open plan only. `ram` holds the leaf list and one leaf. */
struct nrt_restore {
    struct nrt_core *core;
    const struct nrt_birth *birth;
    struct nrt_ram ram;
    struct nrt_target target;
    uint8_t upload[NRT_DIGEST];
    uint32_t total;      /* bytes of the package */
    uint32_t next;       /* offset of the next byte wanted */
    uint32_t header;     /* bytes of package header, 0 until known */
    uint32_t unit;       /* commit unit that is open, + 1 */
    uint32_t fill;       /* bytes of the current leaf held */
    int phase;
};
int nrt_restore_begin(struct nrt_restore *r, struct nrt_core *c, const struct nrt_birth *b, struct nrt_ram ram,
                      const uint8_t upload[NRT_DIGEST], uint32_t total);
/* Writes flash. Takes len bytes at r->next; afterwards r->next says what is wanted next (it may jump forward over groups
 * the bank already holds). NRT_MORE, NRT_OK when the bank is whole and judged, or the refusal. */
int nrt_restore_take(struct nrt_restore *r, const uint8_t *data, uint32_t len);

/* What a terminal makes its device key with (docs/spec/smp.md 5). `noise`: 32 bytes nobody can foretell; a source that is dead says
 * NRT_E_STATE. `public_key`: the public half of a seed. */
struct nrt_maker {
    void *ctx;
    int (*noise)(void *ctx, uint8_t out[32]);
    int (*public_key)(void *ctx, const uint8_t seed[32], struct nrt_key *out);
};

struct nrt_aid;
struct nrt_keys;

/* SMP server on a serial console. Bytes in, bytes out through `put`; the caller polls. `birth` may be null: then the wire
 * identifies a nameless terminal and takes an enrolment where the birth area is blank, nothing else. */
struct nrt_smp {
    struct nrt_core *core;
    const struct nrt_birth *birth;
    const struct nrt_maker *maker; /* set after nrt_smp_init; 0: this terminal cannot make its key */
    struct nrt_aid *aid;        /* nrt_smp_aid(); 0: in mid-rewrite this terminal takes packages only */
    struct nrt_restore restore;
    struct nrt_ram frame;       /* received frame, >= 512 bytes; its length is what os-parameters answers */
    struct nrt_ram ram;         /* for the restoration: leaves, one leaf */
    void (*put)(void *ctx, const uint8_t *data, uint32_t len);
    void *ctx;
    uint32_t used;              /* of frame */
    uint32_t bits;
    uint32_t acc;
    uint32_t expect;
    int state;
    int fate;                   /* current nrt_fate, kept by the caller and by a finished restoration */
    int reset;                  /* set when the tool asked for a reset */
    uint32_t last;              /* why the last write was refused: a negated nrt_result, 0: it was not */
    struct nrt_keys *keys;      /* nrt_smp_keys(); 0: this terminal keeps the keys of its birth record */
};
void nrt_smp_init(struct nrt_smp *s, struct nrt_core *c, const struct nrt_birth *b, struct nrt_ram frame,
                  struct nrt_ram ram, int fate, void (*put)(void *, const uint8_t *, uint32_t), void *ctx);
int nrt_smp_feed(struct nrt_smp *s, const uint8_t *data, uint32_t len);

#endif
