/* smp_enrol.c - a birth record for a terminal that has none (docs/spec/smp.md 5). It must never replace one that reads. */
#include "smp_wire.h"

#include <string.h>

/* A key on the wire: one byte of enum nrt_alg, then 65 bytes (ES256) or 32 (Ed25519). */
static int key(const uint8_t *data, uint32_t len, uint32_t *at, struct nrt_key *out)
{
    if (*at >= len)
        return NRT_E_FORMAT;
    out->alg = data[(*at)++];
    out->len = out->alg == NRT_ES256 ? 65u : 32u;
    if ((out->alg != NRT_ES256 && out->alg != NRT_ED25519) || out->len > len - *at)
        return NRT_E_FORMAT;
    memcpy(out->key, data + *at, out->len);
    *at += out->len;
    return NRT_OK;
}

static int keys(const struct nrt_field *release, const struct nrt_field *ticket, struct nrt_birth *b)
{
    uint32_t at = 0;
    while (at < release->len) {
        if (b->n_release == NRT_MAX_KEYS || key(release->data, release->len, &at, &b->release[b->n_release]) != NRT_OK)
            return NRT_E_FORMAT;
        b->n_release++;
    }
    at = 0;
    if (ticket->len && (key(ticket->data, ticket->len, &at, &b->ticket) != NRT_OK || at != ticket->len))
        return NRT_E_FORMAT;
    return b->n_release ? NRT_OK : NRT_E_FORMAT;
}

static int name(const struct nrt_field *f, char *out)
{
    if (f->kind != NRT_FIELD_TEXT || f->len == 0 || f->len > NRT_MAX_NAME)
        return NRT_E_FORMAT;
    for (uint32_t i = 0; i < f->len; i++)
        if (f->data[i] <= 0x20 || f->data[i] >= 0x7F)
            return NRT_E_FORMAT;
    memcpy(out, f->data, f->len);
    out[f->len] = 0;
    return NRT_OK;
}

static int octets(const struct nrt_field *f, uint8_t *out, uint32_t len)
{
    if (f->kind != NRT_FIELD_BYTES || f->len != len)
        return NRT_E_FORMAT;
    memcpy(out, f->data, len);
    return NRT_OK;
}

/* The device key: made here out of this terminal's noise, with what the station sent mixed in, so that noise which is worse than
 * it looks still gives no two terminals one key. Or, only where nothing can be made here, the one that was sent. */
static int device_key(const struct nrt_smp *s, const struct nrt_field *sent, const struct nrt_field *salt, uint8_t out[32])
{
    struct nrt_sha256 hash;
    int r;
    if (sent->kind != NRT_FIELD_ABSENT)
        return octets(sent, out, 32);
    if (!s->maker || octets(salt, out, 32) != NRT_OK)
        return NRT_E_FORMAT;
    nrt_sha256_init(&hash);
    nrt_sha256_add(&hash, out, 32);
    r = s->maker->noise(s->maker->ctx, out);
    nrt_sha256_add(&hash, out, 32);
    nrt_sha256_end(&hash, out);
    out[0] &= 0x7Fu; /* below the order of P-256, whose scalar it may be */
    return r;
}

static int known_of(const struct nrt_smp *s, struct nrt_known *out)
{
    static const uint8_t label[NRT_SHORT] = {'n', 'e', 'u', 'r', 'a', 't', 'h', ' ', 't', 'o', 'k', 'e', 'n', 0, 0, 0};
    struct nrt_sha256 hash;
    if (!s->birth || !s->maker)
        return NRT_E_STATE;
    nrt_sha256_init(&hash);
    for (uint32_t half = 0; half < 2u; half++) {
        uint8_t part[8];
        nrt_nonce(s->birth->device_key, label, half, part);
        for (uint32_t i = 0; i < 16u; i++) {
            uint8_t nibble = (uint8_t)(part[i / 2u] >> (i % 2u ? 0 : 4)) & 15u;
            uint8_t digit = (uint8_t)((nibble < 10u ? (uint8_t)'0' : (uint8_t)('a' - 10)) + nibble);
            nrt_sha256_add(&hash, &digit, 1);
        }
    }
    nrt_sha256_end(&hash, out->token);
    return s->maker->public_key(s->maker->ctx, s->birth->device_key, &out->key);
}

static int enrol(struct nrt_smp *s, const struct nrt_request *q)
{
    struct nrt_field f[] = {{.name = "id"},  {.name = "model"},   {.name = "vendor"}, {.name = "klass"},
                            {.name = "key"}, {.name = "release"}, {.name = "ticket"},
                            {.name = "salt"}, {.name = "root"}};
    struct nrt_birth b;
    memset(&b, 0, sizeof b);
    if (s->birth)
        return NRT_E_STATE; /* it has an identity; the record is written once */
    int bad = nrt_fields_read(q->body, q->len, f, 9) | name(&f[0], b.id) | name(&f[1], b.model) |
              octets(&f[2], b.vendor, 16) | octets(&f[3], b.klass, 16);
    if (f[8].kind != NRT_FIELD_ABSENT)
        bad |= octets(&f[8], b.root, NRT_DIGEST);
    if (bad || f[5].kind != NRT_FIELD_BYTES || (f[6].kind != NRT_FIELD_BYTES && f[6].kind != NRT_FIELD_ABSENT))
        return NRT_E_FORMAT;
    int r = keys(&f[5], &f[6], &b);
    if (r == NRT_OK)
        r = device_key(s, &f[4], &f[7], b.device_key);
    return r == NRT_OK ? nrt_birth_renew(s->core->layout, s->core->port, &b) : r;
}

static void body_known(struct nrt_out *o, const struct nrt_reply *a)
{
    uint8_t alg = (uint8_t)a->known.key.alg;
    nrt_out_map(o, 2);
    nrt_out_text(o, "key");
    nrt_out_head(o, 2, 1u + a->known.key.len);
    nrt_out_raw(o, &alg, 1);
    nrt_out_raw(o, a->known.key.key, a->known.key.len);
    nrt_out_text(o, "token");
    nrt_out_bytes(o, a->known.token, sizeof a->known.token);
}

void nrt_answer_enrol(struct nrt_smp *s, struct nrt_reply *a)
{
    if (a->q->op == NRT_OP_READ) {
        a->result = known_of(s, &a->known);
        a->body = a->result < 0 ? nrt_body_error : body_known;
    } else {
        a->result = enrol(s, a->q);
        s->last = a->result < 0 ? (uint32_t)-a->result : 0;
        a->body = a->result < 0 ? nrt_body_error : nrt_body_empty;
    }
}
