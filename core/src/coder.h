/* coder.h - what unpack.c and the coders share: a reader of the staged file, the control table, the output page. Internal
 * to the decoder; the encoder (core/ports/encode.c) uses the model part of it so that both run the same code. */
#ifndef NRT_CODER_H
#define NRT_CODER_H

#include "unpack.h"

/* Where only the tiny profile is linked, what its files never have is not even asked for: a model that goes on, and saves. */
#ifdef NRT_TINY_ONLY
#define NRT_HAS_FLOW 0
#define NRT_HAS_SAVES 0
#else
#define NRT_HAS_FLOW 1
#define NRT_HAS_SAVES 1
#endif

/* ---- reading the staged file --------------------------------------------------------------------------------------- */

/* Strictly forward reads of [next, end) through a small buffer. */
struct nrt_reader {
    const struct nrt_file *file;
    uint32_t next;   /* offset of the first byte not yet in `buf` */
    uint32_t end;
    uint32_t used;
    uint32_t have;
    uint8_t buf[64];
};

void nrt_reader_set(struct nrt_reader *r, const struct nrt_file *f, uint32_t from, uint32_t end);
/* Offset in the file of the byte that comes next. */
uint32_t nrt_reader_at(const struct nrt_reader *r);
/* NRT_OK, NRT_E_FORMAT at the end, NRT_E_READ. */
int nrt_reader_byte(struct nrt_reader *r, uint8_t *out);
/* Little-endian base 128, at most 5 bytes, refused when longer than necessary. */
int nrt_reader_varint(struct nrt_reader *r, uint32_t *out);

/* ---- one binary decision, coded or decoded ------------------------------------------------------------------------- */

/* `code` takes P(bit = 1) as p1 / 65536, 1 <= p1 <= 65535, and the bit (ignored by a decoder); it gives the bit. */
struct nrt_bits {
    int (*code)(struct nrt_bits *b, uint32_t p1, int bit);
};

/* Range decoder (docs/spec/delta.md 6). Bytes after the frame's end read as 0; more than 4 of them are an error. */
struct nrt_range {
    struct nrt_bits bits;   /* first: the coder is reached through it */
    struct nrt_reader *reader;
    uint32_t range;
    uint32_t code;
    uint32_t over;          /* bytes taken after the end */
    int fault;              /* sticky */
};

void nrt_range_open(struct nrt_range *r, struct nrt_reader *reader);
/* NRT_OK when the frame was read to its last byte, no further than allowed, and nothing failed. */
int nrt_range_close(const struct nrt_range *r);

/* The saves of an update file into `saves`, which may be NULL; NRT_E_FORMAT where none are linked. (saves.c) */
int nrt_read_saves(struct nrt_reader *r, const struct nrt_header *h, struct nrt_save *saves);

/* ---- the model of profile 1 ---------------------------------------------------------------------------------------- */

struct nrt_flag {
    uint16_t fast;
    uint16_t slow;
};

#define NRT_FLAG_CONTEXTS 64
#define NRT_LITERAL_SLOTS 1024
#define NRT_MISS_SLOTS 512

/* Reset at the begin of every group and of the control table. */
struct nrt_simple {
    uint32_t since;         /* copied bytes since the last miss */
    uint32_t misses;        /* bits: the last 8 copied bytes, 1 = missed */
    uint8_t last;           /* byte before this one in the group */
    uint8_t before;         /* and the one before that */
    uint8_t shift;          /* new minus old at the last miss */
    struct nrt_flag flag[NRT_FLAG_CONTEXTS];
    uint16_t literal0[256];
    uint16_t literal1[NRT_LITERAL_SLOTS];
    uint16_t miss0[256];
    uint16_t miss1[NRT_MISS_SLOTS];
};

enum nrt_field { NRT_FIELD_GAP = 0, NRT_FIELD_LENGTH = 1, NRT_FIELD_FROM = 2, NRT_FIELDS = 3 };

void nrt_simple_reset(struct nrt_simple *m);
/* One byte of a copy whose old byte is `old`; `at` is its offset in the new image. */
uint8_t nrt_simple_copied(struct nrt_simple *m, struct nrt_bits *b, uint32_t at, uint8_t old, uint8_t byte);
/* One byte that no copy covers. */
uint8_t nrt_simple_literal(struct nrt_simple *m, struct nrt_bits *b, uint8_t byte);
/* One number of the control table; *fault is set where the bits say no number. */
uint32_t nrt_simple_number(struct nrt_simple *m, struct nrt_bits *b, int field, uint32_t value, int *fault);

/* A number as profiles 1 and 2 say it: the length in bits as six of `lengths`, the two below the leading one of `tops`, each by
 * `one`, the rest as it comes. (small.c) */
typedef int nrt_one(struct nrt_bits *b, uint16_t *slot, int bit);
uint32_t nrt_code_number(struct nrt_bits *b, nrt_one *one, uint16_t *lengths, uint16_t *tops, uint32_t value, int *fault);

struct nrt_small;
struct nrt_tiny;
struct nrt_voice;

/* ---- the decoder's state ------------------------------------------------------------------------------------------- */

/* New bytes [at, at + len) are old bytes from `from` up, as they are (profile 0) or nearly so. */
struct nrt_segment {
    uint32_t at;
    uint32_t from;
    uint32_t len;
};

#define NRT_UNPACK_CHUNK 256
#define NRT_MAX_WINDOW 65535u   /* bytes copies look back */

/* What is touched most stands first, as in struct nrt_tiny. */
struct nrt_unpack {
    const struct nrt_file *file;
    struct nrt_core *core;
    uint32_t at;                 /* new offset of the next byte */
    uint32_t k;                  /* plan position whose first frame begins at `frame` */
    uint32_t frame;
    struct nrt_header head;
    const struct nrt_layout *layout;
    struct nrt_sink sink;
    struct nrt_segment *segments;
    struct nrt_save *saves;
    uint16_t *order;
    uint8_t *room;               /* resume mode: the commit unit that is assembled; else NULL */
    struct nrt_simple *model;    /* profile 1, else NULL */
    struct nrt_small *small;     /* profile 2, and within profile 3; else NULL */
    struct nrt_tiny *tiny;       /* profile 4, else NULL */
    const struct nrt_voice *voice;   /* of those two */
    uint16_t *by_old;            /* profiles 2 to 4: indices of the segments by old offset */
    struct nrt_segment here;     /* the segment a copy belongs to, whole */
    uint32_t fresh;              /* 1: the model begins with this frame, else it goes on */
    uint32_t flowed;             /* plan position it could go on with */
    uint8_t *window;             /* bytes made last, of a file whose copies may come from them; else NULL */
    uint32_t turn;               /* where in it the next byte goes */
    uint32_t past;               /* bytes in it */
    uint32_t filled;             /* of `out` */
    struct nrt_reader reader;
    struct nrt_range range;
    uint8_t out[NRT_UNPACK_CHUNK];
    uint8_t old[NRT_UNPACK_CHUNK];
};

/* One decoded byte goes out. */
int nrt_unpack_put(struct nrt_unpack *u, uint8_t byte);
/* The same of n bytes that stand where the next ones go, at `out` + `filled`; they fit there. */
int nrt_unpack_made(struct nrt_unpack *u, uint32_t n);

/* A profile: what a group's frame and the control table look like. All give NRT_OK or the refusal; `u->reader` stands at
 * the frame's first byte for `begin` and must stand at its end in `end`. */
struct nrt_coder {
    int (*begin)(struct nrt_unpack *u);
    int (*copy)(struct nrt_unpack *u, uint32_t from, uint32_t len);
    int (*literal)(struct nrt_unpack *u, uint32_t len);
    int (*end)(struct nrt_unpack *u);
    int (*number)(struct nrt_unpack *u, int field, uint32_t *value);
    /* After `begin` of a group (not of the control table), or NULL; `end` is the group's end in the new image. */
    int (*start)(struct nrt_unpack *u, uint32_t end);
    /* After the segments of the control table, or NULL. */
    int (*rest)(struct nrt_unpack *u);
    /* Once, before the control table: joins the model to the tables and the header of `u`; or NULL. */
    void (*open)(struct nrt_unpack *u);
    uint32_t room;   /* bytes of its model: the same figure on every machine, whatever its pointers are */
};

#define NRT_MODEL_ROOM 4480u
#define NRT_SMALL_ROOM 12800u
#define NRT_LARGE_ROOM 3825664u
#define NRT_TINY_ROOM 2624u

extern const struct nrt_coder nrt_coder_raw;
extern const struct nrt_coder nrt_coder_simple;
extern const struct nrt_coder nrt_coder_small;
extern const struct nrt_coder nrt_coder_large;   /* only with NRT_WITH_LARGE */
extern const struct nrt_coder nrt_coder_tiny;    /* only with NRT_WITH_TINY or NRT_TINY_ONLY */

const struct nrt_coder *nrt_coder_of(uint32_t profile);
/* `u->frame` stands at the first frame of plan position k. (units.c) */
int nrt_unpack_seek(struct nrt_unpack *u, uint32_t k);
#define NRT_AFRESH (NRT_MAX_ORDER + 1u)   /* u->flowed: the model stands nowhere */

/* What profile 3 does as profile 2 does it. */
void nrt_small_coder_open(struct nrt_unpack *u);
int nrt_small_coder_copy(struct nrt_unpack *u, uint32_t from, uint32_t len);
int nrt_small_coder_literal(struct nrt_unpack *u, uint32_t len);
int nrt_small_coder_number(struct nrt_unpack *u, int field, uint32_t *value);
int nrt_small_coder_rest(struct nrt_unpack *u);

#endif
