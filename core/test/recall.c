/* recall.c - for long walks of the enumerator: a commit unit that was decoded once is not decoded again where it would read the
 * same old bytes. Linked round nrt_unpack_open, nrt_unpack_unit and nrt_old of a core that is otherwise as it is
 * (tests/power/recall.py). Blocks are hashed by OpenSSL, for nearly all that is left is to hash the bank again and again. What a unit decodes to is a function of the file, the position and the answers of nrt_old(); so every
 * read is asked again, in its order and at its moment, and where one answer differs the decoder itself is called. It must never
 * answer in place of the core. */
#include <stdlib.h>
#include <string.h>

#include "closure.h"
#include "coder.h"
#include "pool.h"

int nrt_recall_walk(const struct nrt_layout *l, const struct nrt_story *s, struct nrt_closure *out);
int __real_nrt_unpack_open(struct nrt_unpack **u, const struct nrt_layout *l, const struct nrt_file *f, struct nrt_ram workspace);
int __wrap_nrt_unpack_open(struct nrt_unpack **u, const struct nrt_layout *l, const struct nrt_file *f, struct nrt_ram workspace);
int __real_nrt_unpack_unit(struct nrt_unpack *u, struct nrt_core *c, uint32_t k, struct nrt_sink sink);
int __wrap_nrt_unpack_unit(struct nrt_unpack *u, struct nrt_core *c, uint32_t k, struct nrt_sink sink);
int __real_nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len);
int __wrap_nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len);
void __real_nrt_sha256_add(struct nrt_sha256 *s, const uint8_t *data, uint32_t len);
void __wrap_nrt_sha256_add(struct nrt_sha256 *s, const uint8_t *data, uint32_t len);
/* OpenSSL's, whose context begins with the eight words and has 112 bytes. */
void SHA256_Transform(void *context, const unsigned char *block);

/* A read of old bytes and its answer, or bytes of the unit. */
struct step {
    int is_read;
    int rc;
    uint32_t off;
    uint32_t len;
    uint32_t at;     /* of its bytes */
};

/* One decoding of one unit. */
struct trace {
    struct nrt_state_key file;
    uint32_t k;
    int rc;
    uint32_t steps, step_room;
    uint32_t bytes, byte_room;
    struct step *step;
    uint8_t *byte;
    struct trace *next;
};

/* Where a unit's bytes go: those that were given already are not given again. */
struct way {
    struct nrt_sink to;
    uint32_t at;       /* bytes that came from the decoder, or from a trace */
    uint32_t given;    /* bytes the sink has */
};

static struct trace *traces;
static struct trace *recording;
static struct nrt_state_key file_now;
uint64_t nrt_recalled[2];   /* units decoded, and recalled, in the last walk */

/* ---- digests -------------------------------------------------------------------------------------------------------------- */

void __wrap_nrt_sha256_add(struct nrt_sha256 *s, const uint8_t *data, uint32_t len)
{
    uint32_t context[28] = {0};
    uint32_t head = (uint32_t)(0u - s->n) & 63u;
    head = head < len ? head : len;
    __real_nrt_sha256_add(s, data, head);
    memcpy(context, s->h, sizeof s->h);
    for (data += head, len -= head; len >= 64; data += 64, len -= 64, s->n += 64)
        SHA256_Transform(context, data);
    memcpy(s->h, context, sizeof s->h);
    __real_nrt_sha256_add(s, data, len);
}

/* ---- writing down ------------------------------------------------------------------------------------------------------- */

static void *grown(void *old, uint32_t *room, uint32_t wanted, size_t size)
{
    if (wanted <= *room)
        return old;
    *room = wanted * 2;
    void *more = realloc(old, *room * size);
    if (more == NULL)
        abort();
    return more;
}

static void note(int is_read, int rc, uint32_t off, const uint8_t *data, uint32_t len)
{
    struct trace *t = recording;
    uint32_t kept = rc < 0 ? 0 : len;
    t->step = grown(t->step, &t->step_room, t->steps + 1, sizeof *t->step);
    t->byte = grown(t->byte, &t->byte_room, t->bytes + kept, 1);
    t->step[t->steps++] = (struct step){is_read, rc, off, len, t->bytes};
    memcpy(t->byte + t->bytes, data, kept);
    t->bytes += kept;
}

int __wrap_nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len)
{
    int rc = __real_nrt_old(c, image_off, buf, len);
    if (recording != NULL)
        note(1, rc, image_off, buf, len);
    return rc;
}

static int give(struct way *w, const uint8_t *data, uint32_t len)
{
    uint32_t known = w->given > w->at ? w->given - w->at : 0;
    w->at += len;
    if (known >= len)
        return NRT_OK;
    w->given = w->at;
    return w->to.put(w->to.ctx, data + known, len - known);
}

static int put(void *ctx, const uint8_t *data, uint32_t len)
{
    note(0, NRT_OK, 0, data, len);
    return give(ctx, data, len);
}

/* ---- going by what was written -------------------------------------------------------------------------------------------- */

/* 1: every read was answered as then, and *rc is what came of it. */
static int recall(const struct trace *t, struct nrt_core *c, struct way *w, int *rc)
{
    uint8_t buf[4096];
    w->at = 0;
    for (uint32_t i = 0; i < t->steps; i++) {
        const struct step *s = &t->step[i];
        if (s->is_read) {
            if (s->len > sizeof buf || __real_nrt_old(c, s->off, buf, s->len) != s->rc ||
                (s->rc >= 0 && memcmp(buf, t->byte + s->at, s->len) != 0))
                return 0;
        } else if ((*rc = give(w, t->byte + s->at, s->len)) < 0) {
            return 1;
        }
    }
    *rc = t->rc;
    return 1;
}

static void forget(struct trace *t)
{
    free(t->step);
    free(t->byte);
    free(t);
}

int __wrap_nrt_unpack_unit(struct nrt_unpack *u, struct nrt_core *c, uint32_t k, struct nrt_sink sink)
{
    const struct nrt_header *h = nrt_unpack_info(u);
    struct way way = {sink, 0, 0};
    int rc = NRT_OK;
    if (h->flow != 0 && (h->apart != 0 || h->old_size == 0))   /* it begins with the units ahead of it */
        return __real_nrt_unpack_unit(u, c, k, sink);
    for (const struct trace *t = traces; t != NULL; t = t->next)
        if (t->k == k && t->file.a == file_now.a && t->file.b == file_now.b && recall(t, c, &way, &rc)) {
            nrt_recalled[1]++;
            return rc;
        }
    recording = calloc(1, sizeof *recording);
    if (recording == NULL)
        abort();
    nrt_recalled[0]++;
    way.at = 0;
    struct trace *made = recording;
    made->rc = __real_nrt_unpack_unit(u, c, k, (struct nrt_sink){&way, put});
    recording = NULL;
    rc = made->rc;
    made->file = file_now;
    made->k = k;
    made->next = traces;
    if (rc < 0) {   /* perhaps the sink's own word, not the decoder's */
        forget(made);
        return rc;
    }
    traces = made;
    return rc;
}

int __wrap_nrt_unpack_open(struct nrt_unpack **u, const struct nrt_layout *l, const struct nrt_file *f, struct nrt_ram workspace)
{
    uint8_t *all = malloc(f->size + 1u);
    if (all == NULL || f->read(f->ctx, 0, all, f->size) < 0)
        abort();
    file_now = nrt_key_of(all, f->size);
    free(all);
    return __real_nrt_unpack_open(u, l, f, workspace);
}

int nrt_recall_walk(const struct nrt_layout *l, const struct nrt_story *s, struct nrt_closure *out)
{
    nrt_recalled[0] = nrt_recalled[1] = 0;
    int rc = nrt_closure_walk(l, s, out);
    while (traces != NULL) {
        struct trace *next = traces->next;
        forget(traces);
        traces = next;
    }
    return rc;
}
