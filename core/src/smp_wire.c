/* smp_wire.c - framing and CBOR out, the flat map of a request in. It must never hold a whole answer in memory. */
#include "smp_wire.h"

#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint16_t nrt_crc16(uint16_t crc, uint8_t byte)
{
    uint32_t value = (uint32_t)crc ^ ((uint32_t)byte << 8);
    for (int i = 0; i < 8; i++)
        value = (value & 0x8000u) ? (value << 1) ^ 0x1021u : value << 1;
    return (uint16_t)(value & 0xFFFFu);
}

int nrt_base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* ---- framing out --------------------------------------------------------------------------------------------------- */

static void flush(struct nrt_out *o)
{
    o->line[o->col++] = '\n';
    o->put(o->ctx, o->line, o->col);
    o->col = 0;
    o->lines++;
}

/* Four digits for `bytes` bytes of acc (already shifted to 24 bits). */
static void quad(struct nrt_out *o, uint32_t bytes)
{
    if (o->col == 0) {
        o->line[0] = o->lines ? 0x04 : 0x06;
        o->line[1] = o->lines ? 0x14 : 0x09;
        o->col = 2;
    }
    for (uint32_t i = 0; i < 4; i++)
        o->line[o->col++] = i <= bytes ? (uint8_t)DIGITS[(o->acc >> (18u - 6u * i)) & 63u] : (uint8_t)'=';
    o->acc = 0;
    o->held = 0;
    if (o->col + 4u + 1u > NRT_SMP_LINE)
        flush(o);
}

static void emit(struct nrt_out *o, uint8_t byte)
{
    o->acc |= (uint32_t)byte << (16u - 8u * o->held);
    if (++o->held == 3)
        quad(o, 3);
}

void nrt_out_count(struct nrt_out *o)
{
    o->counting = 1;
    o->count = 0;
}

void nrt_out_begin(struct nrt_out *o, uint32_t len)
{
    o->counting = 0;
    o->crc = 0;
    o->acc = 0;
    o->held = 0;
    o->col = 0;
    o->lines = 0;
    emit(o, (uint8_t)((len + 2u) >> 8));
    emit(o, (uint8_t)(len + 2u));
}

void nrt_out_end(struct nrt_out *o)
{
    uint16_t crc = o->crc;
    emit(o, (uint8_t)(crc >> 8));
    emit(o, (uint8_t)crc);
    if (o->held)
        quad(o, o->held);
    if (o->col)
        flush(o);
}

void nrt_out_raw(struct nrt_out *o, const uint8_t *data, uint32_t len)
{
    if (o->counting) {
        o->count += len;
        return;
    }
    for (uint32_t i = 0; i < len; i++) {
        o->crc = nrt_crc16(o->crc, data[i]);
        emit(o, data[i]);
    }
}

/* ---- CBOR out ------------------------------------------------------------------------------------------------------ */

void nrt_out_head(struct nrt_out *o, uint32_t major, uint32_t value)
{
    uint8_t head[5];
    uint32_t extra = value < 24u ? 0u : value < 0x100u ? 1u : value < 0x10000u ? 2u : 4u;
    uint32_t info = extra == 0 ? value : extra == 1 ? 24u : extra == 2 ? 25u : 26u;
    head[0] = (uint8_t)((major << 5) | info);
    for (uint32_t i = 0; i < extra; i++)
        head[1u + i] = (uint8_t)(value >> (8u * (extra - 1u - i)));
    nrt_out_raw(o, head, 1u + extra);
}

void nrt_out_uint(struct nrt_out *o, uint32_t value) { nrt_out_head(o, 0, value); }
void nrt_out_map(struct nrt_out *o, uint32_t pairs) { nrt_out_head(o, 5, pairs); }
void nrt_out_array(struct nrt_out *o, uint32_t items) { nrt_out_head(o, 4, items); }
void nrt_out_bool(struct nrt_out *o, int value) { nrt_out_head(o, 7, value ? 21u : 20u); }

void nrt_out_bytes(struct nrt_out *o, const uint8_t *data, uint32_t len)
{
    nrt_out_head(o, 2, len);
    nrt_out_raw(o, data, len);
}

void nrt_out_chars(struct nrt_out *o, const uint8_t *text, uint32_t len)
{
    nrt_out_head(o, 3, len);
    nrt_out_raw(o, text, len);
}

void nrt_out_text(struct nrt_out *o, const char *text)
{
    uint32_t len = 0;
    while (text[len])
        len++;
    nrt_out_chars(o, (const uint8_t *)text, len);
}

/* ---- the map of a request ------------------------------------------------------------------------------------------ */

struct nrt_item {
    uint32_t major;
    uint32_t value;
    const uint8_t *data;     /* of a string */
};

/* One flat item at *at; `open` tells whether an indefinite break is allowed there. */
static int item(const uint8_t *data, uint32_t len, uint32_t *at, struct nrt_item *out)
{
    if (*at >= len)
        return NRT_E_FORMAT;
    uint32_t first = data[(*at)++];
    uint32_t info = first & 31u;
    out->major = first >> 5;
    out->value = info;
    out->data = 0;
    if (info >= 24u) {
        uint32_t extra = info > 27u ? 0u : 1u << (info - 24u);
        if (extra == 0 || extra > len - *at)
            return NRT_E_FORMAT;
        uint32_t value = 0;
        for (uint32_t i = 0; i < extra; i++) {
            if (value >> 24)
                return NRT_E_FORMAT; /* more than 32 bits */
            value = (value << 8) | data[(*at)++];
        }
        out->value = value;
    }
    if (out->major == 2 || out->major == 3) {
        if (out->value > len - *at)
            return NRT_E_FORMAT;
        out->data = data + *at;
        *at += out->value;
    }
    return out->major >= 4 && out->major <= 6 ? NRT_E_FORMAT : NRT_OK; /* containers and tags have no place here */
}

static int named(const char *name, const struct nrt_item *key)
{
    for (uint32_t i = 0; i < key->value; i++)
        if (name[i] == 0 || (uint8_t)name[i] != key->data[i])
            return 0;
    return name[key->value] == 0;
}

static int keep(struct nrt_field *field, const struct nrt_item *value)
{
    static const enum nrt_field_kind KINDS[8] = {NRT_FIELD_UINT,  NRT_FIELD_OTHER, NRT_FIELD_BYTES, NRT_FIELD_TEXT,
                                                 NRT_FIELD_OTHER, NRT_FIELD_OTHER, NRT_FIELD_OTHER, NRT_FIELD_OTHER};
    if (field->kind != NRT_FIELD_ABSENT)
        return NRT_E_FORMAT; /* twice */
    field->kind = KINDS[value->major];
    field->value = value->value;
    field->data = value->data;
    field->len = value->data ? value->value : 0;
    return NRT_OK;
}

static int pair(const uint8_t *data, uint32_t len, uint32_t *at, struct nrt_field *fields, uint32_t n)
{
    struct nrt_item key;
    struct nrt_item value;
    int r = item(data, len, at, &key);
    if (r != NRT_OK || key.major != 3)
        return NRT_E_FORMAT;
    r = item(data, len, at, &value);
    for (uint32_t i = 0; r == NRT_OK && i < n; i++)
        if (named(fields[i].name, &key))
            r = keep(&fields[i], &value);
    return r;
}

int nrt_fields_read(const uint8_t *data, uint32_t len, struct nrt_field *fields, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fields[i].kind = NRT_FIELD_ABSENT;
        fields[i].value = 0;
        fields[i].data = 0;
        fields[i].len = 0;
    }
    if (len == 0)
        return NRT_OK; /* an empty body stands for an empty map */
    uint32_t head = data[0];
    uint32_t at = 1;
    int open = head == 0xBFu; /* indefinite: newtmgr sends it */
    if ((head >> 5) != 5 || (!open && (head & 31u) > 23u))
        return NRT_E_FORMAT;
    for (uint32_t pairs = head & 31u; open ? at < len && data[at] != 0xFFu : pairs > 0; pairs--) {
        int r = pair(data, len, &at, fields, n);
        if (r != NRT_OK)
            return r;
    }
    if (open && at++ >= len)
        return NRT_E_FORMAT;
    return at == len ? NRT_OK : NRT_E_FORMAT;
}
