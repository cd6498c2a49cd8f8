/* judge.c - the verdict, from the memory itself: digest of what is in the bank, first boot confirmed, given up. It must never
 * assume what it can read. */
#include <string.h>

#include "medium.h"
#include "statelog.h"

#define CHUNK 64u

int nrt_bank_hash(const struct nrt_core *c, uint32_t off, uint32_t end, struct nrt_sha256 *sha)
{
    uint8_t buf[CHUNK];
    while (off < end) {
        uint32_t addr;
        uint32_t run;
        int rc = nrt_image_addr(c->layout, off, &addr, &run);
        uint32_t n = run < end - off ? run : end - off;
        n = n < CHUNK ? n : CHUNK;
        if (rc == NRT_OK)
            rc = nrt_flash_read(c, addr, buf, n);
        if (rc < 0)
            return rc;
        nrt_sha256_add(sha, buf, n);
        off += n;
    }
    return NRT_OK;
}

int nrt_bank_digest(struct nrt_core *c, uint32_t size, uint8_t out[NRT_DIGEST])
{
    struct nrt_sha256 sha;
    if (size > nrt_bank_size(c->layout))
        return NRT_E_ARG;
    nrt_sha256_init(&sha);
    int rc = nrt_bank_hash(c, 0, size, &sha);
    if (rc == NRT_OK)
        nrt_sha256_end(&sha, out);
    return rc;
}

int nrt_judge(struct nrt_core *c)
{
    const struct nrt_target *t = &c->facts.target;
    struct nrt_image image;
    uint8_t digest[NRT_DIGEST];
    int rc = nrt_bank_digest(c, t->image_size, digest);
    if (rc == NRT_OK && memcmp(digest, t->image, NRT_DIGEST) != 0)
        rc = NRT_E_DIGEST;
    if (rc < 0) {
        int written = nrt_log_broken(c, NRT_WHY_DIGEST);
        return written < 0 ? written : rc;
    }
    memcpy(image.envelope, t->envelope, NRT_SHORT);
    memcpy(image.image, t->image, NRT_DIGEST);
    image.size = t->image_size;
    image.sequence = t->sequence;
    image.epoch = t->epoch;
    return nrt_log_installed(c, &image, 1);
}

int nrt_confirm(struct nrt_core *c)
{
    const uint8_t none = 0;
    /* What was given up for its silence alone may be tried again, and speak (R5). */
    int whole = !c->facts.broken || c->facts.broken == NRT_WHY_UNCONFIRMED;
    if (c->facts.installed.size == 0 || !whole || c->facts.restoring || c->facts.commit != 0 || c->facts.hybrid)
        return NRT_E_STATE;
    return c->facts.candidate ? nrt_log_append(c, NRT_REC_CONFIRM, &none) : NRT_OK;
}

int nrt_give_up(struct nrt_core *c, int why)
{
    if (why <= NRT_WHY_NONE || why > NRT_WHY_RESTORE)
        return NRT_E_ARG;
    return nrt_log_broken(c, why);
}
