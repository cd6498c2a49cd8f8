/* hybrid.c - what the bank holds while a plan is open, in few bytes: for whoever builds the file that goes on from there, and
 * for the check that it was built for this (docs/spec/rescue.md 2). It reads flash; it must never read the sector that a cut
 * left open, and never write. */
#include <string.h>

#include "medium.h"
#include "plan.h"
#include "statelog.h"

#define CHUNK 64u
#define MARK 4u

/* Takes the description's bytes in order. */
struct out {
    void *ctx;
    void (*put)(void *ctx, const uint8_t *data, uint32_t len);
};

int nrt_torn(const struct nrt_core *c, struct nrt_span *image)
{
    struct nrt_span unit;
    uint8_t sector;
    uint16_t u = nrt_torn_at(c, &sector);
    memset(image, 0, sizeof *image);
    if (u == NRT_NO_UNIT)
        return NRT_OK;
    int rc = nrt_unit_span(c->layout, u, &unit);
    return rc == NRT_OK ? nrt_unit_sector(c->layout, &unit, sector, image) : rc;
}

static uint32_t size_of(const struct nrt_core *c)
{
    const struct nrt_facts *f = &c->facts;
    return f->installed.size > f->target.image_size ? f->installed.size : f->target.image_size;
}

uint32_t nrt_hybrid_len(const struct nrt_core *c)
{
    return NRT_HYBRID_FIXED + MARK * nrt_leaf_count(size_of(c), c->layout->leaf);
}

/* SHA-256 of bank bytes [off, end), filled up to a whole leaf with 0xFF. */
static int hash_leaf(const struct nrt_core *c, uint32_t off, uint32_t end, uint8_t digest[NRT_DIGEST])
{
    struct nrt_sha256 sha;
    uint8_t buf[CHUNK];
    uint32_t rest = c->layout->leaf - (end - off);
    nrt_sha256_init(&sha);
    int rc = nrt_bank_hash(c, off, end, &sha);
    if (rc < 0)
        return rc;
    memset(buf, 0xFF, sizeof buf);
    for (; rest > 0; rest -= rest < CHUNK ? rest : CHUNK)
        nrt_sha256_add(&sha, buf, rest < CHUNK ? rest : CHUNK);
    nrt_sha256_end(&sha, digest);
    return NRT_OK;
}

static void put_number(const struct out *o, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    o->put(o->ctx, b, sizeof b);
}

/* Size, the open sector's offset and length, a mark for each leaf: zeros where the open sector touches it, or where it cannot
 * be read. */
static int describe(const struct nrt_core *c, const struct out *o)
{
    uint32_t size = size_of(c);
    uint32_t leaf = c->layout->leaf;
    struct nrt_span torn;
    int rc = nrt_torn(c, &torn);
    if (rc < 0)
        return rc;
    put_number(o, size);
    put_number(o, torn.base);
    put_number(o, torn.len);
    for (uint32_t off = 0; off < size; off += leaf) {
        uint8_t digest[NRT_DIGEST] = {0};
        uint32_t end = leaf < size - off ? off + leaf : size;
        if (torn.len == 0 || end <= torn.base || off >= torn.base + torn.len)
            rc = hash_leaf(c, off, end, digest);
        if (rc < 0 && rc != NRT_E_TORN)
            return rc;
        rc = NRT_OK;
        o->put(o->ctx, digest, MARK);
    }
    return NRT_OK;
}

static void to_memory(void *ctx, const uint8_t *data, uint32_t len)
{
    uint8_t **at = ctx;
    memcpy(*at, data, len);
    *at += len;
}

static void to_hash(void *ctx, const uint8_t *data, uint32_t len)
{
    nrt_sha256_add(ctx, data, len);
}

static void to_check(void *ctx, const uint8_t *data, uint32_t len)
{
    uint32_t *crc = ctx;
    *crc = nrt_crc32(*crc, data, len);
}

int nrt_hybrid(struct nrt_core *c, uint8_t *out, uint32_t room)
{
    struct out o = {&out, to_memory};
    return room < nrt_hybrid_len(c) ? NRT_E_SPACE : describe(c, &o);
}

int nrt_hybrid_digest(struct nrt_core *c, uint8_t out[NRT_SHORT])
{
    struct nrt_sha256 sha;
    struct out o = {&sha, to_hash};
    uint8_t digest[NRT_DIGEST];
    nrt_sha256_init(&sha);
    int rc = describe(c, &o);
    nrt_sha256_end(&sha, digest);
    memcpy(out, digest, NRT_SHORT);
    return rc;
}

int nrt_hybrid_tag(struct nrt_core *c, uint32_t *tag)
{
    struct out o = {tag, to_check};
    *tag = 0;
    int rc = describe(c, &o);
    *tag &= 0xFFFFu;
    return rc;
}
