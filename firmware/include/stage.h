/* stage.h - a file on its way in pieces: where it is gathered while the image runs, in free flash (durable) or in RAM that nobody
 * wants. It survives restarts, in flash also the loss of power. Layout: docs/spec/phone.md. */
#ifndef FW_STAGE_H
#define FW_STAGE_H
#include "nrt.h"

#define FW_STAGE_MOST 16384u /* pieces and traces of cuts: 32 KiB of the caller's RAM */

struct fw_stage {
    /* the caller's */
    uint8_t *ram;        /* null: the layout's span of free flash */
    uint32_t room;       /* bytes of `ram` */
    uint16_t *slots;     /* FW_STAGE_MOST of them */
    /* what there is; no program: count 0 */
    uint8_t program[4];
    uint32_t piece;      /* bytes */
    uint32_t count;      /* pieces of the stream */
    uint32_t begin;      /* of them before the file */
    uint32_t size;       /* of the file */
    uint32_t sync;       /* pieces that are here, from the first on: what the next power-up finds too */
    uint32_t next;       /* slot that is written next */
    uint32_t places;     /* slots there are */
};

/* Reads what an earlier life gathered. Writes flash: the last piece once more, for its program may have been torn. */
void fw_stage_open(struct fw_stage *s);
/* Writes flash. Piece `index` of a program cut into pieces of `piece` bytes: 1 taken; 0 not the one that is wanted, or its block
 * is not what its hash says, and is wanted anew. Piece 0 of another program takes the place of what is here. */
int fw_stage_take(struct fw_stage *s, const uint8_t program[4], uint32_t piece, uint32_t index, const uint8_t *data,
                  uint32_t len);
/* All pieces are here, and `digest` is SHA-256 of the file as they make it; 0 otherwise. Forgets a file that is not the one its
 * program names. */
int fw_stage_whole(struct fw_stage *s, uint8_t digest[NRT_DIGEST]);
void fw_stage_forget(struct fw_stage *s);
/* Bytes of the largest file that is sure to find room. */
uint32_t fw_stage_room(const struct fw_stage *s);
/* Bytes of the stream, for readers of its header; NRT_E_READ beyond what is here. */
int fw_stage_stream(const struct fw_stage *s, uint32_t at, uint8_t *data, uint32_t len);
/* Bytes of the file: struct nrt_file. */
int fw_stage_read(void *stage, uint32_t off, uint8_t *buf, uint32_t len);

/* A file that lies in RAM, and its reader. An image never hands out a reader of its own: it is what gets erased. */
struct fw_staged {
    const uint8_t *data;
    uint32_t size;
};
int fw_staged_read(void *staged, uint32_t off, uint8_t *buf, uint32_t len);

/* A file in RAM and the parity that nrt_parity_make() made of it once its digest was checked. */
struct fw_whole {
    uint8_t *data;
    uint32_t size;
    uint8_t *parity;
};

#endif
