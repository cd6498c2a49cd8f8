/* smp_wire.h - bytes of the restoration wire: framing out, CBOR out, and the small CBOR map of a request. It knows nothing
 * of what a message means (docs/spec/smp.md). */
#ifndef NRT_SMP_WIRE_H
#define NRT_SMP_WIRE_H

#include "nrt.h"

#define NRT_SMP_LINE 127u    /* longest line, start bytes and newline included */
#define NRT_SMP_HEAD 8u

uint16_t nrt_crc16(uint16_t crc, uint8_t byte);   /* XMODEM; start with 0 */
/* Value of a base64 digit, or -1. */
int nrt_base64_value(uint8_t c);

/* A frame on its way out. Written twice: first counting, then sending, so that no response needs a buffer. */
struct nrt_out {
    void (*put)(void *ctx, const uint8_t *data, uint32_t len);
    void *ctx;
    int counting;
    uint32_t count;
    uint16_t crc;
    uint32_t acc;
    uint32_t held;                 /* bytes in acc, 0..2 */
    uint32_t col;                  /* bytes in line */
    uint32_t lines;
    uint8_t line[NRT_SMP_LINE];
};
void nrt_out_count(struct nrt_out *o);
/* Begins a frame that holds `len` bytes of message. */
void nrt_out_begin(struct nrt_out *o, uint32_t len);
void nrt_out_end(struct nrt_out *o);
void nrt_out_raw(struct nrt_out *o, const uint8_t *data, uint32_t len);
void nrt_out_head(struct nrt_out *o, uint32_t major, uint32_t value);
void nrt_out_uint(struct nrt_out *o, uint32_t value);
void nrt_out_bytes(struct nrt_out *o, const uint8_t *data, uint32_t len);
void nrt_out_text(struct nrt_out *o, const char *text);
void nrt_out_chars(struct nrt_out *o, const uint8_t *text, uint32_t len);
void nrt_out_bool(struct nrt_out *o, int value);
void nrt_out_map(struct nrt_out *o, uint32_t pairs);
void nrt_out_array(struct nrt_out *o, uint32_t items);

enum nrt_field_kind { NRT_FIELD_ABSENT = 0, NRT_FIELD_UINT, NRT_FIELD_BYTES, NRT_FIELD_TEXT, NRT_FIELD_OTHER };

/* One member of a request's map: `name` is asked for, the rest is answered. */
struct nrt_field {
    const char *name;
    enum nrt_field_kind kind;
    uint32_t value;            /* of an unsigned integer; clipped values are refused */
    const uint8_t *data;       /* of a string, inside the frame */
    uint32_t len;
};
/* Reads a flat map with text keys in any order. Refuses (NRT_E_FORMAT) containers inside, lengths beyond the end, asked
 * keys that come twice, integers above 32 bits, bytes after the map. Unasked keys are passed over. */
int nrt_fields_read(const uint8_t *data, uint32_t len, struct nrt_field *fields, uint32_t n);

/* What a request asked. `body` points into the frame buffer. */
struct nrt_request {
    uint32_t op;
    uint32_t version;          /* 0: SMP v1, 1: SMP v2 */
    uint32_t group;
    uint32_t sequence;
    uint32_t command;
    const uint8_t *body;
    uint32_t len;
};

/* Takes one byte of the line; above 0: a whole frame with a good check lies in s->frame, its length is returned. */
uint32_t nrt_smp_frame(struct nrt_smp *s, uint8_t byte);

/* The identify map (docs/spec/smp.md 4), as the value of the response's "r". */
void nrt_identify_write(struct nrt_out *o, const struct nrt_smp *s);

/* What others may know of the device key: its public half, and the SHA-256 of the token that is derived from it. */
struct nrt_known {
    struct nrt_key key;
    uint8_t token[NRT_DIGEST];
};

enum nrt_operation { NRT_OP_READ = 0, NRT_OP_WRITE = 2 };

/* An answer on its way. `body` is called twice, counting and sending; where nobody has set another one, it says "not supported". */
struct nrt_reply {
    const struct nrt_smp *s;
    const struct nrt_request *q;
    void (*body)(struct nrt_out *o, const struct nrt_reply *a);
    struct nrt_field text;     /* of an echo */
    struct nrt_known known;
    struct nrt_ram said;       /* of a bank in mid-rewrite */
    int result;                /* enum nrt_result of an error */
};
void nrt_body_empty(struct nrt_out *o, const struct nrt_reply *a);
void nrt_body_error(struct nrt_out *o, const struct nrt_reply *a);

/* Enrolment (docs/spec/smp.md 5). A write takes the birth record a technician sends, where the birth area is blank; NRT_E_STATE
 * elsewhere; without a key in it the terminal makes its own. A read tells what is known. (smp_enrol.c) */
void nrt_answer_enrol(struct nrt_smp *s, struct nrt_reply *a);

#endif
