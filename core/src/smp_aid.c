/* smp_aid.c - the resume delta over the restoration wire (docs/spec/smp.md 6): a terminal in mid-rewrite says what its bank holds,
 * and takes the file made for just that. It knows offsets and RAM; every judgement is nrt_rescue()'s. It must never touch the
 * lent RAM where no plan is open, for software may run in it then. Linked only where a port calls nrt_smp_aid(). */
#include <string.h>

#include "nrt_aid.h"
#include "smp_wire.h"

static int is_open(const struct nrt_smp *s)
{
    const struct nrt_facts *f = &s->core->facts;
    return s->birth && s->fate == NRT_FATE_FETCH && f->target.file_size != 0 && !f->restoring;
}

static int forget(struct nrt_aid *a, int result)
{
    a->total = 0;
    a->next = 0;
    return result;
}

/* What lies in the lent RAM of a file is given up for it. */
static int ask(struct nrt_smp *s, struct nrt_ram *said)
{
    struct nrt_aid *a = s->aid;
    forget(a, NRT_OK);
    said->mem = a->ram.mem;
    said->len = nrt_hybrid_len(s->core);
    return nrt_hybrid(s->core, a->ram.mem, a->ram.len);
}

static int begin(struct nrt_aid *a, const struct nrt_field *len, const struct nrt_field *sha)
{
    if (len->kind != NRT_FIELD_UINT || sha->kind != NRT_FIELD_BYTES || sha->len != NRT_DIGEST)
        return NRT_E_FORMAT;
    if (a->total == len->value && memcmp(a->file, sha->data, NRT_DIGEST) == 0)
        return NRT_OK; /* a pulled cable: on where it stopped */
    if (len->value == 0 || len->value > a->ram.len)
        return forget(a, len->value == 0 ? NRT_E_FORMAT : NRT_E_SPACE);
    memcpy(a->file, sha->data, NRT_DIGEST);
    a->total = len->value;
    a->next = 0;
    return NRT_OK;
}

static int read_file(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct nrt_aid *a = ctx;
    if (off > a->total || len > a->total - off)
        return NRT_E_READ;
    memcpy(buf, a->ram.mem + off, len);
    return NRT_OK;
}

/* R3 and R4: no ticket is asked for on the wire; the file's digest is what the upload named. */
static int work(struct nrt_smp *s)
{
    struct nrt_aid *a = s->aid;
    struct nrt_target target = s->core->facts.target;
    struct nrt_file file = {a, a->total, read_file, NULL};
    uint32_t used = (a->total + 7u) & ~7u;
    if (used > a->ram.len)
        return forget(a, NRT_E_SPACE);
    memcpy(target.file, a->file, NRT_SHORT);
    target.file_size = a->total;
    target.serial = 0;
    int rc = nrt_rescue(s->core, &file, &target, (struct nrt_ram){a->ram.mem + used, a->ram.len - used});
    if (rc != NRT_OK)
        return forget(a, rc);
    s->fate = NRT_FATE_BOOT;
    return NRT_OK;
}

static int take(struct nrt_smp *s, const struct nrt_request *q)
{
    struct nrt_aid *a = s->aid;
    struct nrt_field f[] = {{.name = "off"}, {.name = "data"}, {.name = "len"}, {.name = "sha"}};
    int rc = nrt_fields_read(q->body, q->len, f, 4);
    if (rc != NRT_OK || f[0].kind != NRT_FIELD_UINT || f[1].kind != NRT_FIELD_BYTES)
        return NRT_E_FORMAT;
    rc = f[0].value == 0 ? begin(a, &f[2], &f[3]) : NRT_OK;
    if (rc != NRT_OK || a->total == 0)
        return rc != NRT_OK ? rc : NRT_E_STATE;
    if (f[0].value != a->next)
        return NRT_OK; /* the answer says where to go on */
    if (f[1].len > a->total - a->next)
        return forget(a, NRT_E_ARG);
    memcpy(a->ram.mem + a->next, f[1].data, f[1].len);
    a->next += f[1].len;
    return a->next == a->total ? work(s) : NRT_OK;
}

/* The last answer of a file that was taken may be lost: who asks again hears its end. */
static int serve(struct nrt_smp *s, const struct nrt_request *q, struct nrt_ram *said)
{
    struct nrt_aid *a = s->aid;
    if (q->op == NRT_OP_WRITE && a->total != 0 && a->next == a->total && s->fate == NRT_FATE_BOOT)
        return NRT_OK;
    if (!is_open(s))
        return NRT_E_STATE;
    a->asked = 1;
    return q->op == NRT_OP_WRITE ? take(s, q) : ask(s, said);
}

static void body_said(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 1);
    nrt_out_text(o, "r");
    nrt_out_bytes(o, a->said.mem, a->said.len);
}

static void body_taken(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 1);
    nrt_out_text(o, "off");
    nrt_out_uint(o, a->s->aid->next);
}

static void answer(struct nrt_smp *s, struct nrt_reply *a)
{
    a->result = serve(s, a->q, &a->said);
    s->last = a->result < 0 ? (uint32_t)-a->result : 0;
    a->body = a->result < 0 ? nrt_body_error : a->q->op == NRT_OP_WRITE ? body_taken : body_said;
}

void nrt_smp_aid(struct nrt_smp *s, struct nrt_aid *a, struct nrt_ram ram)
{
    memset(a, 0, sizeof *a);
    a->ram = ram;
    a->answer = answer;
    s->aid = a;
}
