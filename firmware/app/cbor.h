/* cbor.h - the deterministic CBOR of our messages: a map written key by key, a flat map read by key. */
#ifndef APP_CBOR_H
#define APP_CBOR_H
#include <stdint.h>

struct out {
    uint8_t *data;
    uint32_t room;
    uint32_t used; /* beyond room: it did not fit */
};

void cbor_head(struct out *o, uint32_t major, uint32_t value);
void cbor_uint(struct out *o, uint32_t key, uint32_t value);
void cbor_bytes(struct out *o, uint32_t key, const uint8_t *data, uint32_t len);
void cbor_text(struct out *o, uint32_t key, const char *text);

struct item {
    uint32_t value;      /* of an unsigned integer */
    const uint8_t *data; /* of a string; null otherwise */
    uint32_t len;
};
/* Finds an unsigned key of a flat map of unsigned integers and strings: 1 found, 0 not there, below 0 not such a map. */
int cbor_find(const uint8_t *data, uint32_t len, uint32_t key, struct item *found);

#endif
