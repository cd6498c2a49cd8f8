/* birth.c - the birth record (docs/spec/birth.md): who this terminal is and whom it believes. It is written once and read
 * at every power-up; it must never be erased while it reads. */
#include <string.h>

#include "nrt.h"

#define MAGIC 0x4E524231u /* "NRB1" */
#define FIXED 75u         /* magic, length, vendor, class, device key, count of release keys, check */
#define LONGEST (FIXED + 2 * (1 + NRT_MAX_NAME) + (NRT_MAX_KEYS + 1) * 66 + NRT_DIGEST + NRT_MAX_WRITE)

/* Bytes on their way in or out, with the check over all that passed. Reading: `left` bounds what may be taken. */
struct reel {
    const struct nrt_port *port;
    uint32_t at;
    uint32_t left;
    uint32_t crc;
    int result;
};

static void take(struct reel *r, void *to, uint32_t len)
{
    if (r->result == NRT_OK && len > r->left) {
        r->result = NRT_E_FORMAT;
    }
    if (r->result == NRT_OK) {
        r->result = r->port->read(r->port->ctx, r->at, to, len);
    }
    if (r->result != NRT_OK) {
        memset(to, 0, len);
        return;
    }
    r->crc = nrt_crc32(r->crc, to, len);
    r->at += len;
    r->left -= len;
}

static uint32_t take_number(struct reel *r, uint32_t bytes)
{
    uint8_t b[4];
    uint32_t i, value = 0;

    take(r, b, bytes);
    for (i = 0; i < bytes; i++) {
        value = value << 8 | b[i];
    }
    return value;
}

static void take_name(struct reel *r, char out[NRT_MAX_NAME + 1])
{
    uint32_t len = take_number(r, 1);

    if (len == 0 || len > NRT_MAX_NAME) {
        r->result = r->result == NRT_OK ? NRT_E_FORMAT : r->result;
        return;
    }
    take(r, out, len);
}

/* Length of a key of this algorithm; 0 for one that is not known. */
static uint32_t key_length(int alg) { return alg == NRT_ES256 ? 65 : alg == NRT_ED25519 ? 32 : 0; }

static void take_key(struct reel *r, struct nrt_key *key)
{
    key->alg = (int)take_number(r, 1);
    key->len = key_length(key->alg);
    if (key->len == 0 && key->alg != 0 && r->result == NRT_OK) {
        r->result = NRT_E_FORMAT;
    }
    take(r, key->key, key->len);
}

static void take_record(struct reel *r, struct nrt_birth *out)
{
    uint32_t i, check;

    take_name(r, out->id);
    take_name(r, out->model);
    take(r, out->vendor, sizeof out->vendor);
    take(r, out->klass, sizeof out->klass);
    take(r, out->device_key, sizeof out->device_key);
    out->n_release = take_number(r, 1);
    if (out->n_release > NRT_MAX_KEYS) {
        r->result = r->result == NRT_OK ? NRT_E_FORMAT : r->result;
        return;
    }
    for (i = 0; i < out->n_release; i++) {
        take_key(r, &out->release[i]);
    }
    take_key(r, &out->ticket);
    if (r->left > 4) {
        take(r, out->root, sizeof out->root);
    }
    check = r->crc;
    if (take_number(r, 4) != check || r->left != 0) {
        r->result = r->result == NRT_OK ? NRT_E_FORMAT : r->result;
    }
}

/* NRT_OK when every byte of the area reads as erased. */
static int blank(const struct nrt_layout *l, const struct nrt_port *p)
{
    uint8_t some[64];
    uint32_t at, i, n;
    int r;

    for (at = 0; at < l->birth.len; at += n) {
        n = l->birth.len - at < sizeof some ? l->birth.len - at : (uint32_t)sizeof some;
        r = p->read(p->ctx, l->birth.base + at, some, n);
        if (r != NRT_OK) {
            return r == NRT_E_TORN ? NRT_E_STATE : r;
        }
        for (i = 0; i < n; i++) {
            if (some[i] != l->erased) {
                return NRT_E_STATE;
            }
        }
    }
    return NRT_OK;
}

int nrt_birth_read(const struct nrt_layout *l, const struct nrt_port *p, struct nrt_birth *out)
{
    struct reel r = {p, l->birth.base, l->birth.len, 0, NRT_OK};
    uint32_t length;

    memset(out, 0, sizeof *out);
    if (l->birth.len == 0) {
        return NRT_E_STATE;
    }
    if (take_number(&r, 4) != MAGIC || r.result != NRT_OK) {
        return r.result != NRT_OK && r.result != NRT_E_TORN ? r.result : blank(l, p) == NRT_OK ? NRT_E_STATE : NRT_E_FORMAT;
    }
    length = take_number(&r, 2);
    if (r.result != NRT_OK || length < 6 || length - 6 > r.left) {
        return NRT_E_FORMAT;
    }
    r.left = length - 6;
    take_record(&r, out);
    if (r.result != NRT_OK) {
        memset(out, 0, sizeof *out);
    }
    return r.result == NRT_E_TORN ? NRT_E_FORMAT : r.result;
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

struct record {
    uint8_t bytes[LONGEST];
    uint32_t len;
};

static void put(struct record *r, const void *data, uint32_t len)
{
    memcpy(r->bytes + r->len, data, len);
    r->len += len;
}

static void put_number(struct record *r, uint32_t value, uint32_t bytes)
{
    while (bytes-- > 0) {
        r->bytes[r->len++] = (uint8_t)(value >> (8 * bytes));
    }
}

static int put_name(struct record *r, const char name[NRT_MAX_NAME + 1])
{
    uint32_t len = 0;

    while (len <= NRT_MAX_NAME && name[len] != 0) {
        len++;
    }
    if (len == 0 || len > NRT_MAX_NAME) {
        return NRT_E_ARG;
    }
    put_number(r, len, 1);
    put(r, name, len);
    return NRT_OK;
}

static int put_key(struct record *r, const struct nrt_key *key)
{
    if (key->len != key_length(key->alg) || (key->len == 0 && key->alg != 0)) {
        return NRT_E_ARG;
    }
    put_number(r, (uint32_t)key->alg, 1);
    put(r, key->key, key->len);
    return NRT_OK;
}

static int make_record(struct record *r, const struct nrt_birth *b)
{
    static const uint8_t none[NRT_DIGEST];
    uint32_t i;

    memset(r, 0, sizeof *r);
    put_number(r, MAGIC, 4);
    put_number(r, 0, 2); /* length: below */
    if (put_name(r, b->id) != NRT_OK || put_name(r, b->model) != NRT_OK || b->n_release > NRT_MAX_KEYS) {
        return NRT_E_ARG;
    }
    put(r, b->vendor, sizeof b->vendor);
    put(r, b->klass, sizeof b->klass);
    put(r, b->device_key, sizeof b->device_key);
    put_number(r, b->n_release, 1);
    for (i = 0; i < b->n_release; i++) {
        if (b->release[i].alg == 0 || put_key(r, &b->release[i]) != NRT_OK) {
            return NRT_E_ARG;
        }
    }
    if (put_key(r, &b->ticket) != NRT_OK) {
        return NRT_E_ARG;
    }
    if (memcmp(b->root, none, sizeof none) != 0) {
        put(r, b->root, sizeof b->root);
    }
    r->bytes[4] = (uint8_t)((r->len + 4) >> 8);
    r->bytes[5] = (uint8_t)(r->len + 4);
    put_number(r, nrt_crc32(0, r->bytes, r->len), 4);
    return NRT_OK;
}

/* Whole write units, page after page, from the start of the area. */
static int program_record(const struct nrt_layout *l, const struct nrt_port *p, const struct record *r)
{
    uint32_t at, n, len = (r->len + l->write_unit - 1) / l->write_unit * l->write_unit;
    int result = len <= l->birth.len ? NRT_OK : NRT_E_SPACE;

    for (at = 0; at < len && result == NRT_OK; at += n) {
        n = len - at < l->page ? len - at : l->page;
        result = p->program(p->ctx, l->birth.base + at, r->bytes + at, n);
    }
    return result;
}

int nrt_birth_write(const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_birth *b)
{
    struct record r;
    struct nrt_birth back;
    int result = l->birth.len > 0 ? blank(l, p) : NRT_E_SPACE;

    if (result == NRT_OK) {
        result = make_record(&r, b);
    }
    if (result == NRT_OK) {
        result = program_record(l, p, &r);
    }
    if (result == NRT_OK && nrt_birth_read(l, p, &back) != NRT_OK) {
        result = NRT_E_FLASH;
    }
    return result;
}

/* Erases the sectors of the area. */
static int clear(const struct nrt_layout *l, const struct nrt_port *p)
{
    uint32_t r, i;

    for (r = 0; r < l->n_regions; r++) {
        for (i = 0; i < l->region[r].count; i++) {
            uint32_t sector = l->region[r].base + i * l->region[r].size;
            int inside = sector >= l->birth.base && sector - l->birth.base < l->birth.len;
            int result = inside ? p->erase(p->ctx, sector) : NRT_OK;

            if (result != NRT_OK) {
                return result;
            }
        }
    }
    return NRT_OK;
}

/* NRT_OK where a record is no more than remains: torn or rotten. */
static int only_remains(const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_birth *b)
{
    union {
        struct record new;
        struct nrt_birth old;
    } u;
    int result = make_record(&u.new, b);

    if (result == NRT_OK) {
        result = nrt_birth_read(l, p, &u.old);
        result = result == NRT_OK ? NRT_E_STATE : result == NRT_E_FORMAT ? NRT_OK : result;
    }
    return result;
}

int nrt_birth_renew(const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_birth *b)
{
    int result = blank(l, p);

    if (result == NRT_E_STATE) {
        result = only_remains(l, p, b);
        if (result == NRT_OK) {
            result = clear(l, p);
        }
    }
    return result == NRT_OK ? nrt_birth_write(l, p, b) : result;
}
