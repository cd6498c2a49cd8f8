/* suit.c - SUIT envelopes (draft-ietf-suit-manifest): authenticity of any of them, content of our own profile
 * (docs/spec/envelope.md). It knows bytes and digests; it must never decide whether a release may be installed (gate.c). */
#include <string.h>

#include "cbor.h"
#include "cose.h"
#include "nrt.h"

#define SUIT_TAG 107
#define DIGEST_SHA256 15 /* -16 as the argument of a negative integer */

/* Keys of the envelope. */
enum { AUTHENTICATION = 2, MANIFEST = 3 };
/* Keys of the manifest. */
enum { MANIFEST_VERSION = 1, SEQUENCE = 2, COMMON = 3, VALIDATE = 7, INVOKE = 9 };
/* Keys of the common block. */
enum { COMPONENTS = 2, SHARED = 4 };
/* Parameters. Those below -255 are for private use (docs/spec/envelope.md 3). */
enum { VENDOR = 1, CLASS = 2, IMAGE_DIGEST = 3, IMAGE_SIZE = 14, LEAVES = -256, LEAF = -257, EPOCH = -258, VERSION = -259 };

static int sha256_is(struct nrt_view v, const uint8_t digest[NRT_DIGEST])
{
    uint8_t found[NRT_DIGEST];

    nrt_sha256(v.at, v.len, found);
    return memcmp(found, digest, NRT_DIGEST) == 0;
}

/* SUIT_Digest: [-16, 32 bytes]. */
static int read_digest(struct nrt_cbor *c, uint8_t out[NRT_DIGEST])
{
    if (nrt_cbor_expect(c, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_expect(c, NRT_NINT, DIGEST_SHA256) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    return nrt_cbor_octets(c, out, NRT_DIGEST);
}

/* A byte string that holds one SUIT_Digest and nothing else. */
static int read_wrapped_digest(struct nrt_cbor *c, uint8_t out[NRT_DIGEST])
{
    struct nrt_view v;
    struct nrt_cbor in;

    if (nrt_cbor_string(c, NRT_BYTES, &v) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    in = nrt_cbor_in(v);
    return read_digest(&in, out) == NRT_OK ? nrt_cbor_end(&in) : NRT_E_FORMAT;
}

/* An envelope taken apart. `rest` stands at the members after the manifest. */
struct parts {
    struct nrt_view signed_digest;  /* the SUIT_Digest as it is signed */
    uint8_t digest[NRT_DIGEST];
    struct nrt_cose signature;
    struct nrt_view wrapped;        /* the manifest with its string head: what the digest covers */
    struct nrt_view manifest;
    struct nrt_cbor rest;
    uint32_t members;               /* in `rest` */
};

/* [digest, one COSE_Sign1 with null payload]. */
static int read_authentication(struct nrt_cbor *c, struct parts *out)
{
    struct nrt_view wrapper, block;
    struct nrt_cbor in, one;

    if (nrt_cbor_string(c, NRT_BYTES, &wrapper) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    in = nrt_cbor_in(wrapper);
    if (nrt_cbor_expect(&in, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_string(&in, NRT_BYTES, &out->signed_digest) != NRT_OK ||
        nrt_cbor_string(&in, NRT_BYTES, &block) != NRT_OK || nrt_cbor_end(&in) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    one = nrt_cbor_in(out->signed_digest);
    if (read_digest(&one, out->digest) != NRT_OK || nrt_cbor_end(&one) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    one = nrt_cbor_in(block);
    if (nrt_cose_read(&one, &out->signature) != NRT_OK || nrt_cbor_end(&one) != NRT_OK || !out->signature.detached) {
        return NRT_E_FORMAT;
    }
    return NRT_OK;
}

static int take_apart(const uint8_t *env, uint32_t len, struct parts *out)
{
    struct nrt_cbor c = {env, len};

    if (nrt_cbor_expect(&c, NRT_TAG, SUIT_TAG) != NRT_OK || nrt_cbor_head(&c, NRT_MAP, &out->members) != NRT_OK ||
        out->members < 2 || nrt_cbor_expect(&c, NRT_UINT, AUTHENTICATION) != NRT_OK ||
        read_authentication(&c, out) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, MANIFEST) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    out->wrapped.at = c.at;
    if (nrt_cbor_string(&c, NRT_BYTES, &out->manifest) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    out->wrapped.len = (uint32_t)(c.at - out->wrapped.at);
    out->rest = c;
    out->members -= 2;
    return NRT_OK;
}

/* The digest by which the manifest names a severable member. */
static int named_digest(struct nrt_view manifest, int wanted, uint8_t out[NRT_DIGEST])
{
    struct nrt_cbor c = nrt_cbor_in(manifest);
    struct nrt_view last = {0, 0};
    uint32_t pairs;
    int key;

    if (nrt_cbor_head(&c, NRT_MAP, &pairs) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    for (; pairs > 0; pairs--) {
        if (nrt_cbor_key(&c, &last, &key) != NRT_OK) {
            return NRT_E_FORMAT;
        }
        if (key == wanted) {
            return read_digest(&c, out);
        }
        if (nrt_cbor_skip(&c, 0) != NRT_OK) {
            return NRT_E_FORMAT;
        }
    }
    return NRT_E_FORMAT;
}

/* A manifest is one deterministic map with version, sequence number and common block first. */
static int check_manifest(struct nrt_view manifest)
{
    struct nrt_cbor c = nrt_cbor_in(manifest);
    uint32_t pairs, value;
    struct nrt_view v;

    if (nrt_cbor_skip(&c, 0) != NRT_OK || nrt_cbor_end(&c) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    c = nrt_cbor_in(manifest);
    if (nrt_cbor_head(&c, NRT_MAP, &pairs) != NRT_OK || pairs < 3 ||
        nrt_cbor_expect(&c, NRT_UINT, MANIFEST_VERSION) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, 1) != NRT_OK ||
        nrt_cbor_expect(&c, NRT_UINT, SEQUENCE) != NRT_OK || nrt_cbor_head(&c, NRT_UINT, &value) != NRT_OK ||
        nrt_cbor_expect(&c, NRT_UINT, COMMON) != NRT_OK || nrt_cbor_string(&c, NRT_BYTES, &v) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    return NRT_OK;
}

/* Members outside the manifest: each is named in it by digest, or refused. Integrated payloads (text keys) are refused:
 * the signature does not cover them. */
static int check_members(struct nrt_view manifest, struct nrt_cbor c, uint32_t members)
{
    struct nrt_view last = {0, 0}, member, content;
    uint8_t digest[NRT_DIGEST];
    int key;

    for (; members > 0; members--) {
        if (nrt_cbor_key(&c, &last, &key) != NRT_OK || named_digest(manifest, key, digest) != NRT_OK) {
            return NRT_E_FORMAT;
        }
        member.at = c.at;
        if (nrt_cbor_string(&c, NRT_BYTES, &content) != NRT_OK) {
            return NRT_E_FORMAT;
        }
        member.len = (uint32_t)(c.at - member.at);
        if (!sha256_is(member, digest)) {
            return NRT_E_TRUST;
        }
    }
    return nrt_cbor_end(&c);
}

int nrt_suit_verify(const struct nrt_port *p, const uint8_t *env, uint32_t len, const struct nrt_key *keys, uint32_t n)
{
    struct parts e;
    int r = take_apart(env, len, &e);

    if (r == NRT_OK && !sha256_is(e.wrapped, e.digest)) {
        r = NRT_E_TRUST;
    }
    if (r == NRT_OK) {
        r = check_manifest(e.manifest);
    }
    if (r == NRT_OK) {
        r = check_members(e.manifest, e.rest, e.members);
    }
    return r == NRT_OK ? nrt_cose_verify(p, &e.signature, e.signed_digest, keys, n) : r;
}

/* ---- our profile ----------------------------------------------------------------------------------------------------- */

static int read_version(struct nrt_cbor *c, char out[NRT_MAX_VERSION + 1])
{
    struct nrt_view v;
    uint32_t i;

    if (nrt_cbor_string(c, NRT_TEXT, &v) != NRT_OK || v.len == 0 || v.len > NRT_MAX_VERSION) {
        return NRT_E_FORMAT;
    }
    for (i = 0; i < v.len; i++) {
        if (v.at[i] < 0x21 || v.at[i] > 0x7E) {
            return NRT_E_FORMAT;
        }
    }
    memcpy(out, v.at, v.len);
    return NRT_OK;
}

static int read_parameter(struct nrt_cbor *c, int key, struct nrt_envelope *out)
{
    switch (key) {
    case VENDOR:
        return nrt_cbor_octets(c, out->vendor, sizeof out->vendor);
    case CLASS:
        return nrt_cbor_octets(c, out->klass, sizeof out->klass);
    case IMAGE_DIGEST:
        return read_wrapped_digest(c, out->image);
    case IMAGE_SIZE:
        return nrt_cbor_head(c, NRT_UINT, &out->image_size);
    case LEAVES:
        return read_wrapped_digest(c, out->leaves);
    case LEAF:
        return nrt_cbor_head(c, NRT_UINT, &out->leaf);
    case EPOCH:
        return nrt_cbor_head(c, NRT_UINT, &out->epoch);
    default:
        return read_version(c, out->version);
    }
}

/* [20, {parameters}, 1, 15, 2, 15]: set the parameters, then demand vendor and class. */
static int read_shared(struct nrt_cbor *c, struct nrt_envelope *out)
{
    static const int wanted[] = {VENDOR, CLASS, IMAGE_DIGEST, IMAGE_SIZE, LEAVES, LEAF, EPOCH, VERSION};
    static const uint8_t conditions[] = {1, 15, 2, 15};
    struct nrt_view sequence, last = {0, 0};
    struct nrt_cbor in;
    uint32_t pairs, i;
    int key;

    if (nrt_cbor_string(c, NRT_BYTES, &sequence) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    in = nrt_cbor_in(sequence);
    if (nrt_cbor_expect(&in, NRT_ARRAY, 6) != NRT_OK || nrt_cbor_expect(&in, NRT_UINT, 20) != NRT_OK ||
        nrt_cbor_head(&in, NRT_MAP, &pairs) != NRT_OK || (pairs != 7 && pairs != 8)) {
        return NRT_E_FORMAT;
    }
    for (i = 0; i < pairs; i++) {
        if (nrt_cbor_key(&in, &last, &key) != NRT_OK || key != wanted[i] || read_parameter(&in, key, out) != NRT_OK) {
            return NRT_E_FORMAT;
        }
    }
    for (i = 0; i < sizeof conditions; i++) {
        if (nrt_cbor_expect(&in, NRT_UINT, conditions[i]) != NRT_OK) {
            return NRT_E_FORMAT;
        }
    }
    return nrt_cbor_end(&in);
}

/* {2: [[h'00']], 4: shared sequence}: the one component is the bank. */
static int read_common(struct nrt_cbor *c, struct nrt_envelope *out)
{
    struct nrt_view common;
    struct nrt_cbor in;
    uint8_t component;

    if (nrt_cbor_string(c, NRT_BYTES, &common) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    in = nrt_cbor_in(common);
    if (nrt_cbor_expect(&in, NRT_MAP, 2) != NRT_OK || nrt_cbor_expect(&in, NRT_UINT, COMPONENTS) != NRT_OK ||
        nrt_cbor_expect(&in, NRT_ARRAY, 1) != NRT_OK || nrt_cbor_expect(&in, NRT_ARRAY, 1) != NRT_OK ||
        nrt_cbor_octets(&in, &component, 1) != NRT_OK || component != 0 ||
        nrt_cbor_expect(&in, NRT_UINT, SHARED) != NRT_OK || read_shared(&in, out) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    return nrt_cbor_end(&in);
}

/* A command sequence of one command: a byte string with [command, argument]. */
static int read_command(struct nrt_cbor *c, uint32_t command, uint32_t argument)
{
    struct nrt_view sequence;
    struct nrt_cbor in;

    if (nrt_cbor_string(c, NRT_BYTES, &sequence) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    in = nrt_cbor_in(sequence);
    if (nrt_cbor_expect(&in, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_expect(&in, NRT_UINT, command) != NRT_OK ||
        nrt_cbor_expect(&in, NRT_UINT, argument) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    return nrt_cbor_end(&in);
}

static int read_manifest(struct nrt_view manifest, struct nrt_envelope *out)
{
    struct nrt_cbor c = nrt_cbor_in(manifest);

    if (nrt_cbor_expect(&c, NRT_MAP, 5) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, MANIFEST_VERSION) != NRT_OK ||
        nrt_cbor_expect(&c, NRT_UINT, 1) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, SEQUENCE) != NRT_OK ||
        nrt_cbor_head(&c, NRT_UINT, &out->sequence) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, COMMON) != NRT_OK ||
        read_common(&c, out) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, VALIDATE) != NRT_OK ||
        read_command(&c, 3, 15) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, INVOKE) != NRT_OK ||
        read_command(&c, 23, 2) != NRT_OK || nrt_cbor_end(&c) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    /* An image of nothing cannot run; a leaf of nothing would divide by zero. */
    return out->image_size > 0 && out->leaf > 0 && (out->leaf & (out->leaf - 1)) == 0 ? NRT_OK : NRT_E_FORMAT;
}

/* Our manifest names no severable member, so that an envelope of ours has none; and it is read field by field, in one order and in
 * the shortest form: what passes is deterministic, with no look at it as anybody's manifest. */
int nrt_envelope_read(const struct nrt_port *p, const uint8_t *env, uint32_t len, const struct nrt_key *keys, uint32_t n,
                      struct nrt_envelope *out)
{
    struct parts e;
    int r = NRT_E_FORMAT;

    memset(out, 0, sizeof *out);
    if (len <= NRT_MAX_ENVELOPE && take_apart(env, len, &e) == NRT_OK && e.members == 0 && nrt_cbor_end(&e.rest) == NRT_OK) {
        r = sha256_is(e.wrapped, e.digest) ? nrt_cose_verify(p, &e.signature, e.signed_digest, keys, n) : NRT_E_TRUST;
    }
    if (r == NRT_OK) {
        memcpy(out->digest, e.digest, NRT_DIGEST);
        r = read_manifest(e.manifest, out);
    }
    if (r != NRT_OK) {
        memset(out, 0, sizeof *out); /* nothing of an envelope that was refused is ever used */
    }
    return r;
}

void nrt_envelope_target(const struct nrt_envelope *e, struct nrt_target *t)
{
    memcpy(t->envelope, e->digest, NRT_SHORT);
    memcpy(t->image, e->image, NRT_DIGEST);
    memcpy(t->leaves, e->leaves, NRT_DIGEST);
    t->image_size = e->image_size;
    t->sequence = e->sequence;
    t->epoch = e->epoch;
}
