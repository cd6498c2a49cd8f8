/* gate.c - G1 and the ticket's part of G2: may this release, and this file, come to this terminal at all? It knows the
 * rules of docs/spec/envelope.md 5 and docs/spec/ticket.md 3; it must never read flash or check a signature. */
#include <string.h>

#include "nrt.h"

int nrt_gate_envelope(const struct nrt_envelope *e, const uint8_t vendor[16], const uint8_t klass[16],
                      const struct nrt_facts *facts)
{
    const struct nrt_image *floor = &facts->confirmed;
    /* Where no confirmed image runs, the last confirmed one may come back; nothing older ever. */
    int back = facts->restoring || facts->broken || facts->candidate || facts->target.file_size > 0;

    if (memcmp(e->vendor, vendor, 16) != 0 || memcmp(e->klass, klass, 16) != 0) {
        return NRT_E_TRUST;
    }
    if (floor->size == 0 || e->epoch > floor->epoch) {
        return NRT_OK; /* a new epoch begins a new count: it ends a sequence that was driven up */
    }
    if (e->epoch < floor->epoch || e->sequence < floor->sequence) {
        return NRT_E_TRUST;
    }
    return e->sequence > floor->sequence || back ? NRT_OK : NRT_E_TRUST;
}

static int for_this_terminal(const struct nrt_ticket *t, const struct nrt_birth *b, const struct nrt_facts *facts)
{
    uint8_t device[NRT_DIGEST], nonce[8];
    uint32_t len = 0;

    while (len < NRT_MAX_NAME && b->id[len] != 0) {
        len++;
    }
    nrt_sha256((const uint8_t *)b->id, len, device);
    nrt_nonce(b->device_key, facts->installed.envelope, facts->installs, nonce);
    return memcmp(t->device, device, NRT_SHORT) == 0 && memcmp(t->nonce, nonce, sizeof nonce) == 0;
}

int nrt_gate_ticket(const struct nrt_ticket *t, const struct nrt_envelope *e, const struct nrt_birth *b,
                    const struct nrt_facts *facts, const uint8_t bank[NRT_DIGEST])
{
    if (!for_this_terminal(t, b, facts) || t->serial < facts->serial || t->key_list != facts->key_list ||
        memcmp(t->envelope, e->digest, NRT_SHORT) != 0 || t->kind == NRT_KIND_RESUME) {
        return NRT_E_TRUST;
    }
    if (t->kind == NRT_KIND_DELTA && memcmp(t->base, bank, NRT_SHORT) != 0) {
        return NRT_E_BASE;
    }
    return NRT_OK;
}

int nrt_gate_rescue(const struct nrt_ticket *t, const uint8_t envelope[NRT_SHORT], const struct nrt_birth *b,
                    const struct nrt_facts *facts, const uint8_t hybrid[NRT_SHORT])
{
    if (!for_this_terminal(t, b, facts) || t->serial < facts->serial || t->key_list != facts->key_list ||
        memcmp(t->envelope, envelope, NRT_SHORT) != 0 || t->kind != NRT_KIND_RESUME) {
        return NRT_E_TRUST;
    }
    return memcmp(t->base, hybrid, NRT_SHORT) == 0 ? NRT_OK : NRT_E_BASE;
}
