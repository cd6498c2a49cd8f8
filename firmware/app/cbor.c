/* cbor.c - as much CBOR as a check-in, an offer and a report need. It knows lengths; it must never read beyond them. */
#include "cbor.h"

#include <string.h>

enum { UINT = 0, BYTES = 2, TEXT = 3, MAP = 5 };

static void put(struct out *o, uint8_t byte)
{
    if (o->used < o->room)
        o->data[o->used] = byte;
    o->used++;
}

void cbor_head(struct out *o, uint32_t major, uint32_t value)
{
    uint32_t bytes = value < 24u ? 0u : value < 0x100u ? 1u : value < 0x10000u ? 2u : 4u;
    uint32_t low = bytes == 0 ? value : bytes == 1u ? 24u : bytes == 2u ? 25u : 26u;
    put(o, (uint8_t)(major << 5 | low));
    while (bytes--)
        put(o, (uint8_t)(value >> 8u * bytes));
}

void cbor_uint(struct out *o, uint32_t key, uint32_t value)
{
    cbor_head(o, UINT, key);
    cbor_head(o, UINT, value);
}

static void string(struct out *o, uint32_t key, uint32_t major, const uint8_t *data, uint32_t len)
{
    cbor_head(o, UINT, key);
    cbor_head(o, major, len);
    while (len--)
        put(o, *data++);
}

void cbor_bytes(struct out *o, uint32_t key, const uint8_t *data, uint32_t len) { string(o, key, BYTES, data, len); }

void cbor_text(struct out *o, uint32_t key, const char *text)
{
    string(o, key, TEXT, (const uint8_t *)text, (uint32_t)strlen(text));
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

struct in {
    const uint8_t *data;
    uint32_t len;
    uint32_t at;
};

static int head(struct in *in, uint32_t *major, uint32_t *value)
{
    if (in->at >= in->len)
        return -1;
    uint32_t first = in->data[in->at++];
    uint32_t low = first & 31u;
    uint32_t bytes = low < 24u ? 0u : low == 24u ? 1u : low == 25u ? 2u : 4u;
    if (low > 26u || in->len - in->at < bytes)
        return -1;
    *major = first >> 5;
    *value = low < 24u ? low : 0;
    while (bytes--)
        *value = *value << 8 | in->data[in->at++];
    return 0;
}

static int next(struct in *in, struct item *item)
{
    uint32_t major;
    memset(item, 0, sizeof *item);
    if (head(in, &major, &item->value) < 0)
        return -1;
    if (major == UINT)
        return 0;
    if ((major != BYTES && major != TEXT) || item->value > in->len - in->at)
        return -1;
    item->data = in->data + in->at;
    item->len = item->value;
    in->at += item->len;
    return 0;
}

int cbor_find(const uint8_t *data, uint32_t len, uint32_t key, struct item *found)
{
    struct in in = {data, len, 0};
    uint32_t major;
    uint32_t pairs;
    struct item name;
    int seen = 0;
    if (head(&in, &major, &pairs) < 0 || major != MAP)
        return -1;
    while (pairs--) {
        struct item value;
        if (next(&in, &name) < 0 || name.data || next(&in, &value) < 0)
            return -1;
        if (name.value == key) {
            *found = value;
            seen = 1;
        }
    }
    return in.at == len ? seen : -1;
}
