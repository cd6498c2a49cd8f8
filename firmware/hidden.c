/* hidden.c - update files that this terminal alone can read, or that a release key signed, or both: the veil is outside. What is
 * neither comes out as it went in, unless the boot core takes only what was signed. It must never keep what it decrypted, nor judge
 * an image: that is the core's. */
#include <string.h>

#include "port.h"
#include "reading.h"
#include "signed.h"
#include "veil.h"

/* 1: what no release key signed is refused, as the model's `signed = true` has the server promise. */
#ifndef FW_ONLY_SIGNED
#define FW_ONLY_SIGNED 0
#endif

static struct nrt_veil veil;
static struct nrt_signed word;
static struct nrt_file inner;

static int is_named(const struct nrt_file *file, const uint8_t name[NRT_SHORT])
{
    struct nrt_sha256 hash;
    uint8_t part[64], digest[NRT_DIGEST];
    nrt_sha256_init(&hash);
    for (uint32_t off = 0, n; off < file->size; off += n) {
        n = file->size - off < sizeof part ? file->size - off : (uint32_t)sizeof part;
        if (file->read(file->ctx, off, part, n) < 0)
            return 0;
        nrt_sha256_add(&hash, part, n);
    }
    nrt_sha256_end(&hash, digest);
    return memcmp(digest, name, NRT_SHORT) == 0;
}

int fw_reading(const struct nrt_birth *birth, const struct nrt_target *target, const struct nrt_file *file, struct nrt_file *out)
{
    int rc = nrt_veil_open(&veil, file, birth->device_key, &inner);
    if (rc >= 0)
        rc = nrt_signed_open(&fw_port, &word, &inner, birth->release, birth->n_release, target->envelope, out);
    if (rc == NRT_MORE)
        rc = FW_ONLY_SIGNED ? NRT_E_TRUST : NRT_OK;
    /* A header that was damaged on its way is no refusal: what arrived is not the file, and it is fetched again. */
    return rc < 0 && !is_named(file, target->file) ? NRT_E_DIGEST : rc;
}
