/* question.c - what a terminal in need asks its server, and what it takes from the answer (docs/spec/rescue.md 3): one small
 * message each way, for a boot core that has no more than a GET and a POST. It knows the gates an answer has to pass; it must
 * never write flash. */
#include <string.h>

#include "nrt.h"

#define HEAD 4u
#define FIXED 44u

static const uint8_t QUESTION[HEAD] = {'N', 'R', 'H', 1};
static const uint8_t ANSWER[HEAD] = {'N', 'R', 'A', 1};

static int is_open(const struct nrt_facts *f)
{
    return f->target.file_size != 0 && !f->restoring;
}

int nrt_question(struct nrt_core *c, const struct nrt_birth *b, uint8_t *out, uint32_t room, uint32_t *len)
{
    const struct nrt_facts *f = &c->facts;
    int open = is_open(f);
    *len = FIXED + (open ? nrt_hybrid_len(c) : 0);
    if (room < *len)
        return NRT_E_SPACE;
    memcpy(out, QUESTION, HEAD);
    nrt_nonce(b->device_key, f->installed.envelope, f->installs, out + 4);
    memcpy(out + 12, open ? f->target.envelope : f->installed.envelope, NRT_SHORT);
    memset(out + 28, 0, NRT_SHORT);
    if (!open)
        return NRT_OK;
    memcpy(out + 28, f->target.file, NRT_SHORT);
    return nrt_hybrid(c, out + FIXED, room - FIXED);
}

/* Two bytes of length, little-endian, and so many bytes: NULL where they are not all there. */
static const uint8_t *part(const uint8_t **at, const uint8_t *end, uint32_t *len)
{
    const uint8_t *p = *at;
    if (end - p < 2)
        return NULL;
    *len = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if ((uint32_t)(end - p) - 2u < *len)
        return NULL;
    *at = p + 2 + *len;
    return p + 2;
}

static int take_envelope(struct nrt_core *c, const struct nrt_birth *b, const uint8_t *data, uint32_t len,
                         struct nrt_envelope *e, struct nrt_target *t)
{
    int rc = nrt_envelope_read(c->port, data, len, b->release, b->n_release, e);
    if (rc == NRT_OK)
        rc = nrt_gate_envelope(e, b->vendor, b->klass, &c->facts);
    if (rc == NRT_OK && e->leaf != c->layout->leaf)
        rc = NRT_E_FORMAT;
    nrt_envelope_target(e, t);
    return rc;
}

/* The ticket's gate, and whether its file is for a plan that is open or for a bank that is whole. */
static int gate(struct nrt_core *c, const struct nrt_birth *b, const struct nrt_ticket *t, const struct nrt_envelope *e,
                const struct nrt_target *target)
{
    uint8_t bank[NRT_DIGEST];
    if (is_open(&c->facts)) {
        int rc = nrt_hybrid_digest(c, bank);
        return rc < 0 ? rc : nrt_gate_rescue(t, target->envelope, b, &c->facts, bank);
    }
    int rc = nrt_bank_digest(c, c->facts.installed.size, bank);
    return rc < 0 ? rc : nrt_gate_ticket(t, e, b, &c->facts, bank);
}

int nrt_answer(struct nrt_core *c, const struct nrt_birth *b, const uint8_t *data, uint32_t len, struct nrt_target *out)
{
    const uint8_t *at = data + HEAD;
    const uint8_t *end = data + len;
    struct nrt_ticket ticket;
    struct nrt_envelope envelope;
    uint32_t n = 0;
    uint32_t m = 0;
    if (len < HEAD || memcmp(data, ANSWER, HEAD) != 0)
        return NRT_E_FORMAT;
    const uint8_t *signed_ticket = part(&at, end, &n);
    const uint8_t *signed_envelope = signed_ticket == NULL ? NULL : part(&at, end, &m);
    if (signed_envelope == NULL || at != end)
        return NRT_E_FORMAT;
    int rc = nrt_ticket_read(c->port, signed_ticket, n, &b->ticket, 1, &ticket);
    if (rc < 0)
        return rc;
    if (m == 0 && !is_open(&c->facts))
        return NRT_E_FORMAT;   /* what is to come needs to be known */
    memset(&envelope, 0, sizeof envelope);
    *out = c->facts.target;
    if (m != 0)
        rc = take_envelope(c, b, signed_envelope, m, &envelope, out);
    if (rc == NRT_OK)
        rc = gate(c, b, &ticket, &envelope, out);
    memcpy(out->file, ticket.file, NRT_SHORT);
    out->file_size = ticket.file_size;
    out->serial = ticket.serial;
    if (rc < 0)
        memset(out, 0, sizeof *out);
    return rc;
}
