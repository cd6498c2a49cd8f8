/* smp_identify.c - who the terminal is and what its state log says (docs/spec/smp.md 4). It must never write. */
#include "smp_wire.h"

/* Keys of the identify map (docs/spec/smp.md 4). */
enum { K_VERSION = 1, K_ID, K_MODEL, K_CLASS, K_VENDOR, K_BANK, K_GRAINS, K_FATE, K_WHY, K_INSTALLED, K_CANDIDATE,
       K_CONFIRMED, K_TARGET, K_RESTORING, K_PROGRESS, K_NONCE, K_INSTALLS, K_LAST, K_BIRTH, K_SERIAL };
enum { BIRTH_BLANK = 0, BIRTH_WRITTEN = 1, BIRTH_UNREADABLE = 2 };

static uint32_t text_len(const char *text, uint32_t limit)
{
    uint32_t len = 0;
    while (len < limit && text[len])
        len++;
    return len;
}

static void field_text(struct nrt_out *o, uint32_t key, const char *text)
{
    nrt_out_uint(o, key);
    nrt_out_chars(o, (const uint8_t *)text, text_len(text, NRT_MAX_NAME));
}

static void field_bytes(struct nrt_out *o, uint32_t key, const uint8_t *data, uint32_t len)
{
    nrt_out_uint(o, key);
    nrt_out_bytes(o, data, len);
}

static void field_uint(struct nrt_out *o, uint32_t key, uint32_t value)
{
    nrt_out_uint(o, key);
    nrt_out_uint(o, value);
}

static void image(struct nrt_out *o, uint32_t key, const struct nrt_image *i)
{
    nrt_out_uint(o, key);
    nrt_out_array(o, 5);
    nrt_out_bytes(o, i->envelope, NRT_SHORT);
    nrt_out_bytes(o, i->image, NRT_DIGEST);
    nrt_out_uint(o, i->size);
    nrt_out_uint(o, i->sequence);
    nrt_out_uint(o, i->epoch);
}

static void target(struct nrt_out *o, const struct nrt_target *t)
{
    nrt_out_uint(o, K_TARGET);
    nrt_out_array(o, 7);
    nrt_out_bytes(o, t->envelope, NRT_SHORT);
    nrt_out_bytes(o, t->image, NRT_DIGEST);
    nrt_out_uint(o, t->image_size);
    nrt_out_uint(o, t->sequence);
    nrt_out_uint(o, t->epoch);
    nrt_out_bytes(o, t->file, NRT_SHORT);
    nrt_out_uint(o, t->file_size);
}

/* Whether the birth area of a terminal without a birth record could be written. */
static uint32_t birth_state(const struct nrt_smp *s)
{
    const struct nrt_span *area = &s->core->layout->birth;
    uint8_t piece[32];
    if (s->birth)
        return BIRTH_WRITTEN;
    for (uint32_t at = 0; at < area->len; at += (uint32_t)sizeof piece) {
        if (s->core->port->read(s->core->port->ctx, area->base + at, piece, sizeof piece) != NRT_OK)
            return BIRTH_UNREADABLE;
        for (uint32_t i = 0; i < sizeof piece; i++)
            if (piece[i] != s->core->layout->erased)
                return BIRTH_UNREADABLE;
    }
    return area->len ? BIRTH_BLANK : BIRTH_UNREADABLE;
}

static void identity(struct nrt_out *o, const struct nrt_birth *b)
{
    field_text(o, K_ID, b->id);
    field_text(o, K_MODEL, b->model);
    field_bytes(o, K_CLASS, b->klass, sizeof b->klass);
    field_bytes(o, K_VENDOR, b->vendor, sizeof b->vendor);
}

static void geometry(struct nrt_out *o, const struct nrt_layout *l)
{
    field_uint(o, K_BANK, nrt_bank_size(l));
    nrt_out_uint(o, K_GRAINS);
    nrt_out_array(o, 4);
    nrt_out_uint(o, l->write_unit);
    nrt_out_uint(o, l->page);
    nrt_out_uint(o, l->group);
    nrt_out_uint(o, l->leaf);
}

static void log_says(struct nrt_out *o, const struct nrt_core *c, int open)
{
    const struct nrt_facts *f = &c->facts;
    if (f->installed.size)
        image(o, K_INSTALLED, &f->installed);
    field_uint(o, K_CANDIDATE, f->candidate);
    if (f->confirmed.size)
        image(o, K_CONFIRMED, &f->confirmed);
    if (open)
        target(o, &f->target);
    field_uint(o, K_RESTORING, f->restoring);
    nrt_out_uint(o, K_PROGRESS);
    nrt_out_array(o, 3);
    nrt_out_uint(o, f->commit);
    nrt_out_uint(o, f->done);
    nrt_out_uint(o, nrt_unit_count(c->layout));
}

/* The log's own reason; while a restoration or a rewrite is open, that. */
static uint32_t why(const struct nrt_smp *s)
{
    const struct nrt_facts *f = &s->core->facts;
    if (f->broken || s->fate == NRT_FATE_BOOT)
        return f->broken;
    if (f->restoring)
        return NRT_WHY_RESTORE;
    return f->target.file_size ? NRT_WHY_REWRITE : NRT_WHY_BLANK;
}

void nrt_identify_write(struct nrt_out *o, const struct nrt_smp *s)
{
    const struct nrt_facts *f = &s->core->facts;
    const struct nrt_birth *b = s->birth;
    int open = f->target.file_size != 0 || f->restoring;
    uint32_t pairs = 12u + (b ? 5u : 0u) + (f->installed.size ? 1u : 0u) + (f->confirmed.size ? 1u : 0u) + (open ? 1u : 0u);
    nrt_out_map(o, pairs);
    field_uint(o, K_VERSION, 1);
    if (b)
        identity(o, b);
    geometry(o, s->core->layout);
    field_uint(o, K_FATE, (uint32_t)s->fate);
    field_uint(o, K_WHY, why(s));
    log_says(o, s->core, open);
    if (b) {
        uint8_t nonce[8];
        nrt_nonce(b->device_key, f->installed.envelope, f->installs, nonce);
        field_bytes(o, K_NONCE, nonce, sizeof nonce);
    }
    field_uint(o, K_INSTALLS, f->installs);
    field_uint(o, K_LAST, s->last);
    field_uint(o, K_BIRTH, birth_state(s));
    field_uint(o, K_SERIAL, f->serial);
}
