/* fuzz_words.c - libFuzzer target: what a terminal reads that is no update file: any CBOR, envelopes, tickets, the answer to
 * a terminal in need, birth records, state logs and lists of keys. The first byte chooses the reader. Every signature holds here, and a
 * manifest can be put behind a wrapper whose digest is right, so that the code behind those gates is reached as well. Build and
 * run with core/fuzz/run.sh. */
#include <stdlib.h>
#include <string.h>

#include "cbor.h"
#include "nrt_keys.h"

#define FLASH 9216u
#define BIRTH 0u
#define LOG 1024u

static uint8_t flash[FLASH];

static const struct nrt_layout LAYOUT = {
    .region = {{0, 1024, 9}},
    .n_regions = 1,
    .bank = {{5120, 4096}},
    .n_bank = 1,
    .birth = {BIRTH, 1024},
    .log = {{LOG, 1024}, {2048, 1024}},
    .scratch = {3072, 2048},
    .write_unit = 4,
    .page = 128,
    .group = 1024,
    .leaf = 512,
    .erased = 0xFF,
};

static int fread_flash(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    if (addr > FLASH || len > FLASH - addr)
        abort();
    memcpy(buf, flash + addr, len);
    return NRT_OK;
}

/* Never the birth record, never outside: whatever a log says. */
static int erase(void *ctx, uint32_t addr)
{
    if (addr < LOG || addr % 1024 || addr >= FLASH)
        abort();
    memset(flash + addr, 0xFF, 1024);
    return NRT_OK;
}

static int program(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (addr < LOG || addr % 4 || len % 4 || addr > FLASH || len > FLASH - addr || addr / 128 != (addr + len - 1) / 128)
        abort();
    for (uint32_t i = 0; i < len; i++)
        flash[addr + i] &= data[i];
    return NRT_OK;
}

static int yes(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len, const uint8_t *sig)
{
    return NRT_OK;
}

static const struct nrt_port port = {0, fread_flash, erase, program, yes, 0};
static const struct nrt_key any[1] = {{NRT_ES256, {4}, 65}};

/* ---- the readers --------------------------------------------------------------------------------------------------- */

static uint32_t head(uint8_t *out, uint32_t major, uint32_t value)
{
    out[0] = (uint8_t)(major << 5 | (value < 24 ? value : value < 256 ? 24 : 25));
    out[1] = (uint8_t)(value < 256 ? value : value >> 8);
    out[2] = (uint8_t)value;
    return value < 24 ? 1 : value < 256 ? 2 : 3;
}

static uint32_t wrapper(uint8_t *out, const uint8_t digest[NRT_DIGEST])
{
    static const uint8_t cose[] = {0x58, 0x4A, 0xD2, 0x84, 0x43, 0xA1, 0x01, 0x26, 0xA0, 0xF6, 0x58, 0x40};
    static const uint8_t named[] = {0x82, 0x58, 0x24, 0x82, 0x2F, 0x58, 0x20};
    uint32_t n = 0;
    memcpy(out, named, sizeof named);
    n += (uint32_t)sizeof named;
    memcpy(out + n, digest, NRT_DIGEST);
    n += NRT_DIGEST;
    memcpy(out + n, cose, sizeof cose);
    n += (uint32_t)sizeof cose;
    memset(out + n, 7, 64);
    return n + 64;
}

/* The input as the manifest of an envelope that is right in everything else. */
static uint32_t envelope_around(const uint8_t *data, uint32_t len, uint8_t *out)
{
    static const uint8_t tag[] = {0xD8, 0x6B, 0xA2, 0x02};
    uint8_t digest[NRT_DIGEST], inner[160], front[3];
    struct nrt_sha256 s;
    uint32_t heads = head(front, 2, len), n = (uint32_t)sizeof tag, size;
    nrt_sha256_init(&s);
    nrt_sha256_add(&s, front, heads);
    nrt_sha256_add(&s, data, len);
    nrt_sha256_end(&s, digest);
    size = wrapper(inner, digest);
    memcpy(out, tag, sizeof tag);
    n += head(out + n, 2, size);
    memcpy(out + n, inner, size);
    n += size;
    out[n++] = 3;
    memcpy(out + n, front, heads);
    memcpy(out + n + heads, data, len);
    return n + heads + len;
}

static void envelope(const uint8_t *data, uint32_t len)
{
    struct nrt_envelope e;
    if (nrt_envelope_read(&port, data, len, any, 1, &e) == NRT_OK && (e.leaf == 0 || e.image_size == 0 || strlen(e.version) > NRT_MAX_VERSION))
        abort();
    (void)nrt_suit_verify(&port, data, len, any, 1);
}

/* A flash whose birth record (or whose log) the input is: read, and the power put on. */
static void birth(const uint8_t *data, uint32_t len)
{
    struct nrt_birth b;
    memset(flash, 0xFF, sizeof flash);
    memcpy(flash + BIRTH, data, len < 1024 ? len : 1024);
    if (nrt_birth_read(&LAYOUT, &port, &b) == NRT_OK && (b.n_release > NRT_MAX_KEYS || strlen(b.id) > NRT_MAX_NAME))
        abort();
}

static void statelog(const uint8_t *data, uint32_t len)
{
    struct nrt_core core;
    int fate = 0;
    memset(flash, 0xFF, sizeof flash);
    memcpy(flash + LOG, data, len < 2048 ? len : 2048);
    for (int again = 0; again < 2; again++)
        if (nrt_power_up(&core, &LAYOUT, &port, NRT_RESET_POWER, &fate) == NRT_OK && (fate < 0 || fate > NRT_FATE_RESTORE))
            abort();
}

static void answer(const uint8_t *data, uint32_t len)
{
    struct nrt_core core;
    struct nrt_birth b;
    struct nrt_target t;
    int fate = 0;
    memset(flash, 0xFF, sizeof flash);
    memset(&b, 0, sizeof b);
    b.n_release = 1;
    b.release[0] = b.ticket = any[0];
    if (nrt_power_up(&core, &LAYOUT, &port, NRT_RESET_POWER, &fate) >= 0)
        (void)nrt_answer(&core, &b, data, len, &t);
}

/* The digest of the roots a list brings, and its version, where it has them: whatever it says of itself is believed, so that what
 * lies behind is reached as well. */
static void told(const uint8_t *data, uint32_t len, struct nrt_keys *k)
{
    struct nrt_cbor c = {data, len};
    struct nrt_view body, roots;
    uint32_t n;
    if (nrt_cbor_head(&c, NRT_MAP, &n) != NRT_OK || nrt_cbor_head(&c, NRT_UINT, &n) != NRT_OK ||
        nrt_cbor_string(&c, NRT_BYTES, &body) != NRT_OK)
        return;
    c = nrt_cbor_in(body);
    if (nrt_cbor_head(&c, NRT_MAP, &n) != NRT_OK || nrt_cbor_head(&c, NRT_UINT, &n) != NRT_OK ||
        nrt_cbor_head(&c, NRT_UINT, &k->version) != NRT_OK || nrt_cbor_head(&c, NRT_UINT, &n) != NRT_OK ||
        nrt_cbor_skip(&c, &roots) != NRT_OK)
        return;
    k->version--;
    nrt_sha256(roots.at, roots.len, k->root);
}

static void keylist(const uint8_t *data, uint32_t len)
{
    struct nrt_core core;
    struct nrt_birth b;
    struct nrt_keys k;
    int fate = 0;
    memset(flash, 0xFF, sizeof flash);
    memset(&b, 0, sizeof b);
    memcpy(b.model, "lamp", 5);
    if (nrt_power_up(&core, &LAYOUT, &port, NRT_RESET_POWER, &fate) < 0)
        return;
    nrt_keys_begin(&k, &core, &b);
    if (nrt_keys_take(&k, data, len) == NRT_OK)
        abort(); /* signed by roots that are none of its own */
    told(data, len, &k);
    if (nrt_keys_take(&k, data, len) == NRT_OK && (k.now.n_release > NRT_MAX_KEYS || core.facts.key_list != k.version))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nrt_ticket t;
    if (size == 0 || size > 2048)
        return 0;
    uint32_t len = (uint32_t)size - 1;
    /* A copy of the exact length: the sanitizer sees a read of one byte too many. */
    uint8_t *copy = malloc(len + 256), *exact = malloc(len ? len : 1);
    if (!copy || !exact)
        abort();
    memcpy(exact, data + 1, len);
    switch (data[0] % 8u) {
    case 0:
        (void)nrt_cbor_strict(exact, len);
        break;
    case 1:
        envelope(exact, len);
        break;
    case 2:
        envelope(copy, envelope_around(exact, len, copy));
        break;
    case 3:
        (void)nrt_ticket_read(&port, exact, len, any, 1, &t);
        break;
    case 4:
        birth(exact, len);
        break;
    case 5:
        statelog(exact, len);
        break;
    case 6:
        answer(exact, len);
        break;
    default:
        keylist(exact, len);
    }
    free(copy);
    free(exact);
    return 0;
}
