/* smp_keys.c - lists of keys over the restoration wire (docs/spec/smp.md 7). It knows offsets and RAM; every judgement is
 * nrt_keys_take()'s. It must never touch the RAM while a package is on its way, for that may be the package's. Linked only where a
 * port calls nrt_smp_keys(). */
#include <string.h>

#include "nrt_keys.h"
#include "smp_wire.h"

static int forget(struct nrt_keys *k, int result)
{
    k->total = 0;
    k->next = 0;
    return result;
}

static int is_busy(const struct nrt_smp *s) { return s->restore.total != 0 && s->restore.next < s->restore.total; }

static int begin(struct nrt_keys *k, const struct nrt_field *len, const struct nrt_field *sha)
{
    if (len->kind != NRT_FIELD_UINT || sha->kind != NRT_FIELD_BYTES || sha->len != NRT_DIGEST || len->value == 0)
        return NRT_E_FORMAT;
    if (k->total == len->value && memcmp(k->file, sha->data, NRT_DIGEST) == 0)
        return NRT_OK; /* a pulled cable, or a last answer that was lost: on where it stopped */
    if (len->value > k->ram.len)
        return forget(k, NRT_E_SPACE);
    memcpy(k->file, sha->data, NRT_DIGEST);
    k->total = len->value;
    k->next = 0;
    return NRT_OK;
}

/* A package may have lain in this RAM since the first piece: what is taken is what its sender named. */
static int work(struct nrt_keys *k)
{
    uint8_t digest[NRT_DIGEST];
    nrt_sha256(k->ram.mem, k->total, digest);
    if (memcmp(digest, k->file, NRT_DIGEST) != 0)
        return forget(k, NRT_E_DIGEST);
    int rc = nrt_keys_take(k, k->ram.mem, k->total);
    return rc == NRT_OK ? rc : forget(k, rc);
}

static int take(struct nrt_keys *k, const struct nrt_request *q)
{
    struct nrt_field f[] = {{.name = "off"}, {.name = "data"}, {.name = "len"}, {.name = "sha"}};
    int rc = nrt_fields_read(q->body, q->len, f, 4);
    if (rc != NRT_OK || f[0].kind != NRT_FIELD_UINT || f[1].kind != NRT_FIELD_BYTES)
        return NRT_E_FORMAT;
    rc = f[0].value == 0 ? begin(k, &f[2], &f[3]) : NRT_OK;
    if (rc != NRT_OK || k->total == 0)
        return rc != NRT_OK ? rc : NRT_E_STATE;
    if (f[0].value != k->next)
        return NRT_OK; /* the answer says where to go on */
    if (f[1].len > k->total - k->next)
        return forget(k, NRT_E_ARG);
    memcpy(k->ram.mem + k->next, f[1].data, f[1].len);
    k->next += f[1].len;
    return k->next == k->total && f[1].len > 0 ? work(k) : NRT_OK;
}

static void body_taken(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 1);
    nrt_out_text(o, "off");
    nrt_out_uint(o, a->s->keys->next);
}

static void body_known(struct nrt_out *o, const struct nrt_reply *a)
{
    const struct nrt_keys *k = a->s->keys;
    nrt_out_map(o, 3);
    nrt_out_text(o, "root");
    nrt_out_bytes(o, k->now.root, NRT_DIGEST);
    nrt_out_text(o, "list");
    nrt_out_uint(o, k->version);
    nrt_out_text(o, "least");
    nrt_out_uint(o, k->core->facts.key_list);
}

static void answer(struct nrt_smp *s, struct nrt_reply *a)
{
    if (a->q->op == NRT_OP_READ) {
        a->body = body_known;
        return;
    }
    a->result = is_busy(s) ? NRT_E_STATE : take(s->keys, a->q);
    s->last = a->result < 0 ? (uint32_t)-a->result : 0;
    a->body = a->result < 0 ? nrt_body_error : body_taken;
}

void nrt_smp_keys(struct nrt_smp *s, struct nrt_keys *k, struct nrt_ram ram)
{
    if (!s->birth)
        return; /* a nameless terminal has no roots */
    k->ram = ram;
    k->answer = answer;
    s->keys = k;
    s->birth = &k->now;
}
