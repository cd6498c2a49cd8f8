/* calls.c - the core's calls with the power in a host's hands: where the cut falls, the call is left at once and gives
 * NRT_CUT. It must never run anything but the core between setjmp and return. */
#include <string.h>

#include "norstate.h"
#include "nrt_keys.h"
#include "signed.h"
#include "veil.h"

/* A staged file in memory, and what lies inside of it where it is veiled or signed. */
struct staged {
    const uint8_t *data;
    struct nrt_file whole;
    struct nrt_veil veil;
    struct nrt_file shown;
    struct nrt_signed signature;
    struct nrt_file file;
};

static int staged_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct staged *s = ctx;
    if (off > s->whole.size || len > s->whole.size - off)
        return NRT_E_READ;
    memcpy(buf, s->data + off, len);
    return NRT_OK;
}

/* The file that the core is to read, for the release with this envelope: s->file. */
static int stage(struct staged *s, const struct nrt_nor *n, const uint8_t *data, uint32_t size, const uint8_t *envelope)
{
    s->data = data;
    s->whole = (struct nrt_file){s, size, staged_read, NULL};
    s->shown = s->whole;
    int rc = n->veiled == 0 ? NRT_OK : nrt_veil_begin(&s->veil, &s->whole, n->veiled, n->veil_key, &s->shown);
    if (rc < 0)
        return rc;
    rc = nrt_signed_open(&n->port, &s->signature, &s->shown, n->keys, n->n_keys, envelope, &s->file);
    return rc == NRT_MORE ? (n->only_signed ? NRT_E_TRUST : NRT_OK) : rc;
}

void nrt_host_trust(struct nrt_nor *n, const struct nrt_birth *b, int only_signed)
{
    memcpy(n->keys, b->release, sizeof n->keys);
    n->n_keys = b->n_release;
    n->only_signed = only_signed;
}

void nrt_host_veil(struct nrt_nor *n, uint32_t start, const uint8_t *key)
{
    n->veiled = start;
    memset(n->veil_key, 0, sizeof n->veil_key);
    if (start > 0)
        memcpy(n->veil_key, key, sizeof n->veil_key);
}

int nrt_host_read(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len)
{
    return n->port.read(n, addr, buf, len);
}

int nrt_host_erase(struct nrt_nor *n, uint32_t addr)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return n->port.erase(n, addr);
}

int nrt_host_program(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return n->port.program(n, addr, data, len);
}

int nrt_host_provision(struct nrt_core *c, struct nrt_nor *n, const struct nrt_image *now)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_provision(c, &n->layout, &n->port, now);
}

int nrt_host_power_up(struct nrt_core *c, struct nrt_nor *n, int reset, int *fate)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_power_up(c, &n->layout, &n->port, reset, fate);
}

int nrt_host_prove(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                   struct nrt_ram ram)
{
    struct staged s;
    int rc = stage(&s, n, file, size, t->envelope);
    if (rc < 0)
        return rc;
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_prove(c, &s.file, t, ram);
}

int nrt_host_rewrite(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                     struct nrt_ram ram)
{
    struct staged s;
    int rc = stage(&s, n, file, size, t->envelope);
    if (rc < 0)
        return rc;
    if (setjmp(n->jump))
        return NRT_CUT;
    rc = nrt_prove(c, &s.file, t, ram);
    return rc < 0 ? rc : nrt_rewrite(c, &s.file, t, ram);
}

int nrt_host_resume(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, struct nrt_ram ram)
{
    struct staged s;
    int rc = stage(&s, n, file, size, c->facts.target.envelope);
    if (rc < 0)
        return rc;
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_resume(c, &s.file, ram);
}

int nrt_host_rescue(struct nrt_core *c, struct nrt_nor *n, const uint8_t *file, uint32_t size, const struct nrt_target *t,
                    struct nrt_ram ram)
{
    struct staged s;
    int rc = stage(&s, n, file, size, t->envelope);
    if (rc < 0)
        return rc;
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_rescue(c, &s.file, t, ram);
}

int nrt_host_confirm(struct nrt_core *c, struct nrt_nor *n)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_confirm(c);
}

int nrt_host_give_up(struct nrt_core *c, struct nrt_nor *n, int why)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_give_up(c, why);
}

int nrt_host_accept_serial(struct nrt_core *c, struct nrt_nor *n, uint32_t serial)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_accept_serial(c, serial);
}

int nrt_host_accept_key_list(struct nrt_core *c, struct nrt_nor *n, uint32_t version)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_accept_key_list(c, version);
}

int nrt_host_keys_take(struct nrt_keys *k, struct nrt_nor *n, const uint8_t *list, uint32_t len)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_keys_take(k, list, len);
}
