/* pool.c - flash states kept cheaply. It knows bytes and marks; it must never know what they mean. */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

struct sector {
    struct nrt_state_key key;
    uint32_t refs;
    uint32_t next;      /* in its bucket, or in the free list */
    uint8_t *data;      /* mem, other, mark */
};

struct nrt_pool {
    struct sector *sector;
    uint32_t used;
    uint32_t room;
    uint32_t free;
    uint32_t *bucket;
    uint32_t buckets;
    uint32_t *base;     /* of each sector of the chip, from its start; one more at the end */
    uint32_t sectors;
    uint32_t write_unit;
};

#define NONE NRT_POOL_FULL

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static struct nrt_state_key hash(const uint8_t *data, uint32_t len, struct nrt_state_key k)
{
    uint64_t v;
    uint32_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&v, data + i, 8);
        k.a = mix(k.a, v);
        k.b = mix(k.b + 0xD6E8FEB86659FD93u, v);
    }
    for (v = 0; i < len; i++)
        v = v << 8 | data[i] | 0x100;
    k.a = mix(k.a, v);
    k.b = mix(k.b + 1, v);
    return k;
}

struct nrt_pool *nrt_pool_open(const struct nrt_nor *n)
{
    struct nrt_pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->sectors = n->sectors;
    p->write_unit = n->layout.write_unit;
    p->buckets = 1u << 16;
    p->base = calloc(n->sectors + 1, sizeof *p->base);
    p->bucket = malloc(p->buckets * sizeof *p->bucket);
    p->free = NONE;
    if (p->base == NULL || p->bucket == NULL) {
        nrt_pool_close(p);
        return NULL;
    }
    memset(p->bucket, 0xFF, p->buckets * sizeof *p->bucket);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n->layout.n_regions; i++)
        for (uint32_t j = 0; j < n->layout.region[i].count; j++)
            p->base[at++] = n->layout.region[i].base - n->base + j * n->layout.region[i].size;
    p->base[at] = n->size;
    return p;
}

void nrt_pool_close(struct nrt_pool *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->used; i++)
        free(p->sector[i].data);
    free(p->sector);
    free(p->base);
    free(p->bucket);
    free(p);
}

static uint32_t fresh(struct nrt_pool *p)
{
    if (p->free != NONE) {
        uint32_t i = p->free;
        p->free = p->sector[i].next;
        return i;
    }
    if (p->used == p->room) {
        uint32_t room = p->room ? p->room * 2 : 1024;
        struct sector *more = realloc(p->sector, room * sizeof *more);
        if (more == NULL)
            return NONE;
        p->sector = more;
        p->room = room;
    }
    return p->used++;
}

uint32_t nrt_pool_keep(struct nrt_pool *p, const struct nrt_nor *n, uint32_t s, uint32_t likely)
{
    uint32_t off = p->base[s];
    uint32_t len = p->base[s + 1] - off;
    uint32_t marks = len / p->write_unit;
    const uint8_t *was = likely != NONE ? p->sector[likely].data : NULL;
    if (was != NULL && memcmp(was, n->mem + off, len) == 0 && memcmp(was + len, n->other + off, len) == 0 &&
        memcmp(was + 2 * (size_t)len, n->mark + off / p->write_unit, marks) == 0) {
        p->sector[likely].refs++;
        return likely;
    }
    struct nrt_state_key k = {len, s};
    k = hash(n->mem + off, len, k);
    k = hash(n->other + off, len, k);
    k = hash(n->mark + off / p->write_unit, marks, k);
    uint32_t b = (uint32_t)k.a & (p->buckets - 1);
    for (uint32_t i = p->bucket[b]; i != NONE; i = p->sector[i].next)
        if (p->sector[i].key.a == k.a && p->sector[i].key.b == k.b) {
            p->sector[i].refs++;
            return i;
        }
    uint32_t i = fresh(p);
    uint8_t *data = i == NONE ? NULL : malloc(2 * (size_t)len + marks);
    if (data == NULL)
        return NONE;
    memcpy(data, n->mem + off, len);
    memcpy(data + len, n->other + off, len);
    memcpy(data + 2 * (size_t)len, n->mark + off / p->write_unit, marks);
    p->sector[i] = (struct sector){k, 1, p->bucket[b], data};
    p->bucket[b] = i;
    return i;
}

struct nrt_state_key nrt_key_of(const uint8_t *data, uint32_t len)
{
    return hash(data, len, (struct nrt_state_key){len, 3});
}

uint32_t nrt_pool_base(const struct nrt_pool *p, uint32_t s)
{
    return p->base[s];
}

uint32_t nrt_pool_sector(const struct nrt_pool *p, uint32_t off)
{
    uint32_t s = 0;
    while (s + 1 < p->sectors && off >= p->base[s + 1])
        s++;
    return s;
}

void nrt_pool_hold(struct nrt_pool *p, const uint32_t *state, uint32_t count)
{
    for (uint32_t s = 0; s < count; s++)
        p->sector[state[s]].refs++;
}

struct nrt_state_key nrt_pool_key(const struct nrt_pool *p, const uint32_t *state)
{
    struct nrt_state_key k = {1, 2};
    for (uint32_t s = 0; s < p->sectors; s++) {
        k.a = mix(k.a, p->sector[state[s]].key.a);
        k.b = mix(k.b, p->sector[state[s]].key.b);
    }
    return k;
}

void nrt_pool_drop(struct nrt_pool *p, const uint32_t *state, uint32_t count)
{
    for (uint32_t s = 0; s < count; s++) {
        struct sector *e = &p->sector[state[s]];
        if (--e->refs > 0)
            continue;
        uint32_t *link = &p->bucket[(uint32_t)e->key.a & (p->buckets - 1)];
        while (*link != state[s])
            link = &p->sector[*link].next;
        *link = e->next;
        free(e->data);
        e->data = NULL;
        e->next = p->free;
        p->free = state[s];
    }
}

void nrt_pool_load(const struct nrt_pool *p, const uint32_t *state, struct nrt_nor *n)
{
    for (uint32_t s = 0; s < p->sectors; s++) {
        uint32_t off = p->base[s];
        uint32_t len = p->base[s + 1] - off;
        const uint8_t *data = p->sector[state[s]].data;
        memcpy(n->mem + off, data, len);
        memcpy(n->other + off, data + len, len);
        memcpy(n->mark + off / p->write_unit, data + 2 * (size_t)len, len / p->write_unit);
    }
}

/* ---- keys seen ------------------------------------------------------------------------------------------------------- */

struct nrt_seen {
    struct nrt_state_key *slot;
    uint64_t room;
    uint64_t used;
};

struct nrt_seen *nrt_seen_open(void)
{
    struct nrt_seen *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->room = 1u << 16;
        s->slot = calloc(s->room, sizeof *s->slot);
    }
    if (s != NULL && s->slot == NULL) {
        free(s);
        s = NULL;
    }
    return s;
}

void nrt_seen_close(struct nrt_seen *s)
{
    if (s != NULL)
        free(s->slot);
    free(s);
}

static int place(struct nrt_state_key *slot, uint64_t room, struct nrt_state_key k)
{
    uint64_t i = k.a & (room - 1);
    for (; slot[i].a != 0 || slot[i].b != 0; i = (i + 1) & (room - 1))
        if (slot[i].a == k.a && slot[i].b == k.b)
            return 0;
    slot[i] = k;
    return 1;
}

int nrt_seen_add(struct nrt_seen *s, struct nrt_state_key k)
{
    if (s->used * 2 >= s->room) {
        struct nrt_state_key *more = calloc(s->room * 2, sizeof *more);
        if (more == NULL)
            return -1;
        for (uint64_t i = 0; i < s->room; i++)
            if (s->slot[i].a != 0 || s->slot[i].b != 0)
                (void)place(more, s->room * 2, s->slot[i]);
        free(s->slot);
        s->slot = more;
        s->room *= 2;
    }
    k.a |= k.a == 0 && k.b == 0;
    int is_new = place(s->slot, s->room, k);
    s->used += (uint64_t)is_new;
    return is_new;
}

int nrt_seen_has(const struct nrt_seen *s, struct nrt_state_key k)
{
    k.a |= k.a == 0 && k.b == 0;
    for (uint64_t i = k.a & (s->room - 1); s->slot[i].a != 0 || s->slot[i].b != 0; i = (i + 1) & (s->room - 1))
        if (s->slot[i].a == k.a && s->slot[i].b == k.b)
            return 1;
    return 0;
}
