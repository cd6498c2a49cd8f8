/* units.c - commit units out of their frames (docs/spec/delta.md 2 to 4): where a unit's frames are, which segments make its
 * bytes, and where a model that goes on must begin. It knows the header as unpack.c checked it; it must never touch flash. */
#include "coder.h"

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* Image offsets of the unit at plan position k that lie inside the new image. */
static int clip(const struct nrt_unpack *u, uint32_t k, uint32_t *start, uint32_t *end)
{
    struct nrt_span span;
    int rc = nrt_unit_span(u->layout, u->order[k], &span);
    if (rc < 0)
        return rc;
    *start = span.base;
    *end = span.base + span.len < u->head.new_size ? span.base + span.len : u->head.new_size;
    return NRT_OK;
}

/* Reads the length of the frame at *at; afterwards the reader stands on its first byte and ends where it ends. */
static int enter_frame(struct nrt_unpack *u, uint32_t *at)
{
    uint32_t length;
    int rc;
    nrt_reader_set(&u->reader, u->file, *at, u->file->size);
    rc = nrt_reader_varint(&u->reader, &length);
    if (rc < 0)
        return rc;
    *at = nrt_reader_at(&u->reader);
    if (length > u->file->size - *at)
        return NRT_E_FORMAT;
    nrt_reader_set(&u->reader, u->file, *at, *at + length);
    *at += length;
    return NRT_OK;
}

/* Steps over the frames of the unit at u->k. */
static int skip_unit(struct nrt_unpack *u)
{
    uint32_t off = 0;
    uint32_t end = 0;
    uint32_t frame = u->frame;
    int rc = clip(u, u->k, &off, &end);
    for (; rc == NRT_OK && off < end; off += u->head.group)
        rc = enter_frame(u, &frame);
    if (rc < 0)
        return rc;
    u->frame = frame;
    u->k++;
    return NRT_OK;
}

int nrt_unpack_seek(struct nrt_unpack *u, uint32_t k)
{
    int rc = NRT_OK;
    if (k < u->k) {
        u->k = 0;
        u->frame = u->head.body;
    }
    while (rc == NRT_OK && u->k < k)
        rc = skip_unit(u);
    return rc;
}

/* ---- decoding ------------------------------------------------------------------------------------------------------ */

static int flush(struct nrt_unpack *u)
{
    uint32_t n = u->filled;
    u->filled = 0;
    return n == 0 ? NRT_OK : u->sink.put(u->sink.ctx, u->out, n);
}

int nrt_unpack_made(struct nrt_unpack *u, uint32_t n)
{
    for (uint32_t i = 0; NRT_HAS_FLOW && u->window != NULL && i < n; i++) {
        u->window[u->turn] = u->out[u->filled + i];
        u->turn = u->turn + 1u < u->head.window ? u->turn + 1u : 0;
        u->past += u->past < u->head.window;
    }
    u->at += n;
    u->filled += n;
    return u->filled == sizeof u->out ? flush(u) : NRT_OK;
}

int nrt_unpack_put(struct nrt_unpack *u, uint8_t byte)
{
    u->out[u->filled] = byte;
    return nrt_unpack_made(u, 1);
}

/* Index of the first segment that ends after `at`. */
static uint32_t find_segment(const struct nrt_unpack *u, uint32_t at)
{
    uint32_t low = 0;
    uint32_t high = u->head.n_segments;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (u->segments[mid].at + u->segments[mid].len > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static int decode_group(struct nrt_unpack *u, uint32_t end)
{
    const struct nrt_coder *coder = nrt_coder_of(u->head.profile);
    uint32_t i = find_segment(u, u->at);
    int rc = coder->begin(u);
    if (rc == NRT_OK && coder->start != NULL)
        rc = coder->start(u, end);
    while (rc == NRT_OK && u->at < end) {
        const struct nrt_segment *s = i < u->head.n_segments ? &u->segments[i] : NULL;
        uint32_t stop = end;
        if (s != NULL && s->len == 0) {
            i++;   /* it only tells the map something */
        } else if (s != NULL && s->at <= u->at) {
            u->here = *s;
            if (s->at + s->len < stop)
                stop = s->at + s->len;
            rc = coder->copy(u, s->from + (u->at - s->at), stop - u->at);
            i++;
        } else {
            if (s != NULL && s->at < stop)
                stop = s->at;
            rc = coder->literal(u, stop - u->at);
        }
    }
    return rc < 0 ? rc : coder->end(u);
}

/* 1: nothing a frame reads ever goes away, so that after any cut all that came before can be decoded once more. */
static int stays(const struct nrt_unpack *u)
{
    return u->head.apart != 0 || u->head.old_size == 0;
}

/* The unit at plan position k, by the model as it stands. */
static int decode_unit(struct nrt_unpack *u, uint32_t k)
{
    uint32_t off, end, frame;
    int rc;
    u->flowed = NRT_AFRESH;
    if ((rc = nrt_unpack_seek(u, k)) < 0 || (rc = clip(u, k, &off, &end)) < 0)
        return rc;
    u->at = off;
    u->filled = 0;
    frame = u->frame;
    while (u->at < end) {
        uint32_t stop = end - u->at < u->head.group ? end : u->at + u->head.group;
        u->fresh = !NRT_HAS_FLOW || u->head.flow == 0 || (u->at == off && (k == 0 || !stays(u)));
        if ((rc = enter_frame(u, &frame)) < 0 || (rc = decode_group(u, stop)) < 0)
            return rc;
    }
    if ((rc = flush(u)) < 0)
        return rc;
    u->frame = frame;
    u->k = k + 1;
    u->flowed = k + 1;
    return NRT_OK;
}

static int nowhere(void *ctx, const uint8_t *data, uint32_t len)
{
    (void)ctx;
    (void)data;
    (void)len;
    return NRT_OK;
}

int nrt_unpack_unit(struct nrt_unpack *u, struct nrt_core *c, uint32_t k, struct nrt_sink sink)
{
    static const struct nrt_sink none = {NULL, nowhere};
    uint32_t from = u->flowed <= k ? u->flowed : 0;
    int rc = NRT_OK;
    if (k >= u->head.n_order)
        return NRT_E_ARG;
    u->core = c;
    u->sink = none;
    for (; NRT_HAS_FLOW && rc == NRT_OK && u->head.flow != 0 && stays(u) && from < k; from++)
        rc = decode_unit(u, from);
    u->sink = sink;
    return rc < 0 ? rc : decode_unit(u, k);
}
