/* smp.c - requests of the restoration wire and their answers (docs/spec/smp.md). It knows who may ask what; it must never
 * write flash itself, nor answer what was not asked. */
#include "nrt_aid.h"
#include "nrt_keys.h"
#include "smp_wire.h"

#include <string.h>

/* Groups, commands, operations of SMP, and the group of our own (docs/spec/smp.md). */
enum { GROUP_OS = 0, GROUP_IMAGE = 1, GROUP_NEURATH = 64 };
enum { OS_ECHO = 0, OS_RESET = 5, OS_PARAMETERS = 6, IMAGE_STATE = 0, IMAGE_UPLOAD = 1, NEURATH_IDENTIFY = 0,
       NEURATH_ENROL = 1, NEURATH_AID = 3, NEURATH_KEYS = 4 };
enum { ERR_UNKNOWN = 1, ERR_NOMEM = 2, ERR_INVAL = 3, ERR_BADSTATE = 6, ERR_NOTSUP = 8, ERR_CORRUPT = 9, ERR_DENIED = 11 };

/* ---- bodies: each is written twice, counting and sending ----------------------------------------------------------- */

void nrt_body_empty(struct nrt_out *o, const struct nrt_reply *a) { nrt_out_map(o, 0); }

static void body_echo(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 1);
    nrt_out_text(o, "r");
    nrt_out_chars(o, a->text.data, a->text.len);
}

static void body_parameters(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 2);
    nrt_out_text(o, "buf_size");
    nrt_out_uint(o, a->s->frame.len);
    nrt_out_text(o, "buf_count");
    nrt_out_uint(o, 1);
}

static void body_upload(struct nrt_out *o, const struct nrt_reply *a)
{
    nrt_out_map(o, 2);
    nrt_out_text(o, "rc");
    nrt_out_uint(o, 0);
    nrt_out_text(o, "off");
    nrt_out_uint(o, a->s->restore.next);
}

static void body_identify(struct nrt_out *o, const struct nrt_reply *a)
{
    struct nrt_out measure;
    nrt_out_count(&measure);
    nrt_identify_write(&measure, a->s);
    nrt_out_map(o, 1);
    nrt_out_text(o, "r");
    nrt_out_head(o, 2, measure.count);
    nrt_identify_write(o, a->s);
}

/* "sequence N": the release number is the only version the terminal can vouch for. */
static void version_text(struct nrt_out *o, uint32_t sequence)
{
    uint8_t text[24] = "sequence ";
    uint32_t len = 9;
    uint32_t scale = 1;
    while (sequence / scale >= 10u)
        scale *= 10u;
    for (; scale; scale /= 10u)
        text[len++] = (uint8_t)('0' + sequence / scale % 10u);
    nrt_out_chars(o, text, len);
}

static void body_images(struct nrt_out *o, const struct nrt_reply *a)
{
    const struct nrt_facts *f = &a->s->core->facts;
    int boots = a->s->fate == NRT_FATE_BOOT;
    nrt_out_map(o, 1);
    nrt_out_text(o, "images");
    nrt_out_array(o, f->installed.size ? 1 : 0);
    if (!f->installed.size)
        return;
    nrt_out_map(o, 7);
    nrt_out_text(o, "hash");
    nrt_out_bytes(o, f->installed.image, NRT_DIGEST);
    nrt_out_text(o, "slot");
    nrt_out_uint(o, 0);
    nrt_out_text(o, "active");
    nrt_out_bool(o, boots);
    nrt_out_text(o, "pending");
    nrt_out_bool(o, 0);
    nrt_out_text(o, "version");
    version_text(o, f->installed.sequence);
    nrt_out_text(o, "bootable");
    nrt_out_bool(o, boots);
    nrt_out_text(o, "confirmed");
    nrt_out_bool(o, boots && !f->candidate);
}

static uint32_t management_error(int result)
{
    switch (result) {
    case NRT_E_STATE: return ERR_BADSTATE;
    case NRT_E_TRUST: return ERR_DENIED;
    case NRT_E_SPACE: return ERR_NOMEM;
    case NRT_E_DIGEST: return ERR_CORRUPT;
    case NRT_E_FORMAT:
    case NRT_E_ARG: return ERR_INVAL;
    default: return ERR_UNKNOWN;
    }
}

/* The image group of SMP v2 has error numbers of its own; stock tools know their names. */
static uint32_t image_error(int result)
{
    switch (result) {
    case NRT_E_STATE: return 32;   /* IMAGE_CONFIRMATION_DENIED: nearest to "not in this state" */
    case NRT_E_TRUST: return 22;   /* INVALID_IMAGE_HEADER */
    case NRT_E_FORMAT: return 23;  /* INVALID_IMAGE_HEADER_MAGIC */
    case NRT_E_SPACE: return 30;   /* INVALID_IMAGE_TOO_LARGE */
    case NRT_E_DIGEST: return 24;  /* INVALID_HASH */
    case NRT_E_ARG: return 31;     /* INVALID_IMAGE_DATA_OVERRUN */
    case NRT_E_FLASH: return 12;   /* FLASH_WRITE_FAILED */
    default: return 1;
    }
}

void nrt_body_error(struct nrt_out *o, const struct nrt_reply *a)
{
    int v2_group = a->q->version > 0 && a->q->group != GROUP_OS && a->result != 0;
    nrt_out_map(o, 1);
    if (!v2_group) {
        nrt_out_text(o, "rc");
        nrt_out_uint(o, a->result == 0 ? ERR_NOTSUP : management_error(a->result));
        return;
    }
    nrt_out_text(o, "err");
    nrt_out_map(o, 2);
    nrt_out_text(o, "rc");
    nrt_out_uint(o, a->q->group == GROUP_IMAGE ? image_error(a->result) : (uint32_t)-a->result);
    nrt_out_text(o, "group");
    nrt_out_uint(o, a->q->group);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static int upload_first(struct nrt_smp *s, const struct nrt_field *sha, uint32_t len)
{
    static const uint8_t NONE[NRT_DIGEST] = {0};
    const uint8_t *upload = sha->kind == NRT_FIELD_BYTES ? sha->data : NONE;
    if (sha->kind != NRT_FIELD_ABSENT && sha->len != NRT_DIGEST)
        return NRT_E_FORMAT;
    /* The same upload again, and its header is held: go on where it stopped, even if that is its end. */
    if (sha->kind == NRT_FIELD_BYTES && s->restore.next && s->restore.total == len &&
        memcmp(s->restore.upload, upload, NRT_DIGEST) == 0)
        return NRT_OK;
    return nrt_restore_begin(&s->restore, s->core, s->birth, s->ram, upload, len);
}

static int upload(struct nrt_smp *s, const struct nrt_request *q)
{
    struct nrt_field f[] = {{.name = "off"}, {.name = "data"}, {.name = "len"}, {.name = "sha"}, {.name = "image"}};
    int r = nrt_fields_read(q->body, q->len, f, 5);
    if (r != NRT_OK || f[0].kind != NRT_FIELD_UINT || f[1].kind != NRT_FIELD_BYTES || f[4].value != 0)
        return NRT_E_FORMAT;
    if (!s->birth)
        return NRT_E_STATE; /* no identity: no keys to trust a package by */
    uint32_t off = f[0].value;
    if (off == 0) {
        if (f[2].kind != NRT_FIELD_UINT)
            return NRT_E_FORMAT;
        r = upload_first(s, &f[3], f[2].value);
        if (r != NRT_OK)
            return r;
    }
    if (s->restore.total == 0)
        return NRT_E_STATE;
    if (off != s->restore.next)
        return NRT_OK; /* the answer says where to go on */
    r = nrt_restore_take(&s->restore, f[1].data, f[1].len);
    if (r == NRT_OK)
        s->fate = NRT_FATE_BOOT;
    return r < 0 ? r : NRT_OK;
}

static void answer_os(struct nrt_smp *s, struct nrt_reply *a)
{
    const struct nrt_request *q = a->q;
    if (q->command == OS_PARAMETERS && q->op == NRT_OP_READ) {
        a->body = body_parameters;
    } else if (q->command == OS_RESET && q->op == NRT_OP_WRITE) {
        s->reset = 1;
        a->body = nrt_body_empty;
    } else if (q->command == OS_ECHO) {
        struct nrt_field f[] = {{.name = "d"}};
        int r = nrt_fields_read(q->body, q->len, f, 1);
        a->text = f[0];
        a->result = r == NRT_OK && f[0].kind == NRT_FIELD_TEXT ? NRT_OK : NRT_E_FORMAT;
        a->body = a->result == NRT_OK ? body_echo : nrt_body_error;
    }
}

static void answer_image(struct nrt_smp *s, struct nrt_reply *a)
{
    if (a->q->command == IMAGE_STATE && a->q->op == NRT_OP_READ) {
        a->body = body_images;
    } else if (a->q->command == IMAGE_UPLOAD && a->q->op == NRT_OP_WRITE) {
        a->result = upload(s, a->q);
        s->last = a->result < 0 ? (uint32_t)-a->result : 0;
        a->body = a->result < 0 ? nrt_body_error : body_upload;
    }
}

static void answer_neurath(struct nrt_smp *s, struct nrt_reply *a)
{
    if (a->q->command == NEURATH_IDENTIFY && a->q->op == NRT_OP_READ) {
        a->body = body_identify;
    } else if (a->q->command == NEURATH_ENROL) {
        nrt_answer_enrol(s, a);
    } else if (a->q->command == NEURATH_AID && s->aid) {
        s->aid->answer(s, a);
    } else if (a->q->command == NEURATH_KEYS && s->keys) {
        s->keys->answer(s, a);
    }
}

static void send(const struct nrt_reply *a)
{
    struct nrt_out o;
    nrt_out_count(&o);
    a->body(&o, a);
    uint32_t len = o.count;
    uint8_t head[NRT_SMP_HEAD] = {(uint8_t)((a->q->version << 3) | (a->q->op + 1u)), 0, (uint8_t)(len >> 8), (uint8_t)len,
                                  (uint8_t)(a->q->group >> 8), (uint8_t)a->q->group, (uint8_t)a->q->sequence,
                                  (uint8_t)a->q->command};
    o.put = a->s->put;
    o.ctx = a->s->ctx;
    nrt_out_begin(&o, NRT_SMP_HEAD + len);
    nrt_out_raw(&o, head, NRT_SMP_HEAD);
    a->body(&o, a);
    nrt_out_end(&o);
}

static void serve(struct nrt_smp *s, uint32_t len)
{
    const uint8_t *h = s->frame.mem + 2;
    struct nrt_request q = {.op = h[0] & 7u, .version = (uint32_t)(h[0] >> 3) & 3u, .group = ((uint32_t)h[4] << 8) | h[5],
                            .sequence = h[6], .command = h[7], .body = h + NRT_SMP_HEAD, .len = len - NRT_SMP_HEAD};
    struct nrt_reply a = {.s = s, .q = &q, .body = nrt_body_error, .result = 0};
    if (q.op != NRT_OP_READ && q.op != NRT_OP_WRITE)
        return; /* a response, or noise */
    if (q.group == GROUP_OS)
        answer_os(s, &a);
    else if (q.group == GROUP_IMAGE)
        answer_image(s, &a);
    else if (q.group == GROUP_NEURATH)
        answer_neurath(s, &a);
    send(&a);
}

void nrt_smp_init(struct nrt_smp *s, struct nrt_core *c, const struct nrt_birth *b, struct nrt_ram frame,
                  struct nrt_ram ram, int fate, void (*put)(void *, const uint8_t *, uint32_t), void *ctx)
{
    memset(s, 0, sizeof *s);
    s->core = c;
    s->birth = b;
    s->frame = frame;
    s->ram = ram;
    s->put = put;
    s->ctx = ctx;
    s->fate = fate;
}

int nrt_smp_feed(struct nrt_smp *s, const uint8_t *data, uint32_t len)
{
    if (s->frame.len < 512u || s->frame.len > 0xFFFFu)
        return NRT_E_ARG;
    for (uint32_t i = 0; i < len; i++) {
        uint32_t frame = nrt_smp_frame(s, data[i]);
        if (frame)
            serve(s, frame);
    }
    return s->reset ? NRT_OK : NRT_MORE;
}
