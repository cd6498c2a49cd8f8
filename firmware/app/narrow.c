/* narrow.c - tags on requests and behind answers, in the place of the token (docs/spec/coap.md 7). It knows its key, the server's
 * epoch and a counter, all in RAM; it must never take an epoch that is not bound to a request of this start. */
#include "narrow.h"

#include <string.h>

#include "token.h"

enum { REQUEST = 0, ANSWER = 1, FLOOR = 2, KEPT = 3, EPOCH = 8, UNAUTHORIZED = 0x81, OPTIONS = 6, ECHO = 0xdc, ECHO_MORE = 0xef, RECENT = 4 };

static const struct fw_services *boot;
static uint8_t key[NRT_DIGEST];
static uint8_t epoch[EPOCH]; /* zeros: the server has told none yet */
static uint32_t counter;
static int on;
/* Requests that may still be answered: of a series several have one token. */
static struct asked {
    uint8_t token[2];
    uint8_t tag[FW_TAG];
} recent[RECENT];

struct part {
    const uint8_t *data;
    uint32_t len;
};

static void start(struct nrt_sha256 *s, const uint8_t secret[NRT_DIGEST], uint8_t mask)
{
    uint8_t block[64];
    memset(block, mask, sizeof block);
    for (uint32_t i = 0; i < NRT_DIGEST; i++)
        block[i] ^= secret[i];
    boot->sha256_init(s);
    boot->sha256_add(s, block, sizeof block);
}

/* HMAC-SHA-256 (RFC 2104). */
static void hmac(const uint8_t secret[NRT_DIGEST], const struct part *parts, uint32_t count, uint8_t out[NRT_DIGEST])
{
    struct nrt_sha256 s;
    start(&s, secret, 0x36);
    for (uint32_t i = 0; i < count; i++)
        boot->sha256_add(&s, parts[i].data, parts[i].len);
    boot->sha256_end(&s, out);
    start(&s, secret, 0x5c);
    boot->sha256_add(&s, out, NRT_DIGEST);
    boot->sha256_end(&s, out);
}

static void put32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Epoch and counter, and a tag that garbage does not have: a restart goes on where it stood. */
static void kept_tag(uint8_t digest[NRT_DIGEST])
{
    static const uint8_t kind = KEPT;
    const struct part parts[] = {{&kind, 1}, {boot->kept, EPOCH + 4u}};
    hmac(key, parts, 2, digest);
}

static void keep(void)
{
    uint8_t digest[NRT_DIGEST];
    memcpy(boot->kept, epoch, EPOCH);
    put32(boot->kept + EPOCH, counter);
    kept_tag(digest);
    memcpy(boot->kept + EPOCH + 4, digest, FW_TAG);
}

static int was_kept(void)
{
    uint8_t digest[NRT_DIGEST];
    kept_tag(digest);
    if (memcmp(digest, boot->kept + EPOCH + 4, FW_TAG) != 0)
        return 0;
    memcpy(epoch, boot->kept, EPOCH);
    counter = get32(boot->kept + EPOCH);
    return 1;
}

static uint32_t begin(uint8_t value[FW_TAGGED])
{
    uint8_t bytes[4];
    uint32_t skip = 0;
    put32(bytes, ++counter);
    keep(); /* before it is used */
    while (skip < 3u && bytes[skip] == 0)
        skip++;
    memset(value, 0, FW_TAGGED);
    memcpy(value, bytes + skip, 4u - skip);
    return 4u - skip + FW_TAG;
}

static void seal(uint8_t *datagram, uint32_t len, uint32_t option, uint32_t end)
{
    static const uint8_t kind = REQUEST;
    uint8_t bytes[4];
    uint8_t digest[NRT_DIGEST];
    put32(bytes, counter);
    const struct part parts[] = {{&kind, 1}, {epoch, EPOCH}, {bytes, 4}, {datagram + 1, 1},
                                 {datagram + OPTIONS, option - OPTIONS}, {datagram + end, len - end}};
    hmac(key, parts, sizeof parts / sizeof parts[0], digest);
    memcpy(datagram + end - FW_TAG, digest, FW_TAG);
    memmove(recent + 1, recent, sizeof recent - sizeof recent[0]);
    memcpy(recent[0].token, datagram + 4, sizeof recent[0].token);
    memcpy(recent[0].tag, digest, FW_TAG);
}

/* What the server wants to see: requests of this epoch, with counters above the floor. */
static void heed(const uint8_t *told, const uint8_t tag[FW_TAG])
{
    static const uint8_t kind = FLOOR;
    uint8_t mask[NRT_DIGEST];
    const struct part parts[] = {{&kind, 1}, {tag, FW_TAG}};
    hmac(key, parts, 2, mask);
    uint32_t floor = get32(told + EPOCH) ^ get32(mask);
    if (memcmp(epoch, told, EPOCH) != 0 || counter < floor)
        counter = floor;
    memcpy(epoch, told, EPOCH);
}

static uint32_t open(const uint8_t *datagram, uint32_t len)
{
    static const uint8_t kind = ANSWER;
    uint8_t digest[NRT_DIGEST];
    if (len < OPTIONS + 1u + FW_TAG)
        return 0;
    len -= FW_TAG;
    for (uint32_t i = 0; i < RECENT; i++) {
        const struct part parts[] = {{&kind, 1}, {recent[i].tag, FW_TAG}, {datagram + 1, 1}, {datagram + OPTIONS, len - OPTIONS}};
        if (memcmp(datagram + 4, recent[i].token, sizeof recent[i].token) != 0)
            continue;
        hmac(key, parts, sizeof parts / sizeof parts[0], digest);
        if (memcmp(digest, datagram + len, FW_TAG) != 0)
            continue;
        if (datagram[1] == UNAUTHORIZED && len >= OPTIONS + 14u && datagram[OPTIONS] == ECHO && datagram[OPTIONS + 1] == ECHO_MORE)
            heed(datagram + OPTIONS + 2, recent[i].tag);
        return len;
    }
    return 0;
}

int narrow_is_on(void) { return on; }

int narrow_has_met(void)
{
    static const uint8_t none[EPOCH];
    return !on || memcmp(epoch, none, EPOCH) != 0;
}

void narrow_start(const struct fw_services *services)
{
    static const struct fw_guard guard = {begin, seal, open};
    static const uint8_t info[] = "neurath narrow DEFAULT/", one = 1;
    boot = services;
    if (boot->size < offsetof(struct fw_services, kept) + sizeof boot->kept) {
        boot->say("link: this boot core has no guard, the token is shown in the clear");
        return;
    }
    const char *token = token_of(boot);
    struct nrt_sha256 s;
    uint8_t secret[NRT_DIGEST];
    boot->sha256_init(&s);
    boot->sha256_add(&s, (const uint8_t *)token, (uint32_t)strlen(token));
    boot->sha256_end(&s, secret);
    const char *id = boot->birth->id;
    const struct part parts[] = {{info, sizeof info - 1u}, {(const uint8_t *)id, (uint32_t)strlen(id)}, {&one, 1}};
    hmac(secret, parts, 3, key);
    /* The first request is bound to a number that differs from start to start, as well as this board can tell them apart. */
    uint8_t bytes[4];
    put32(bytes, boot->guard(&guard));
    const struct part life[] = {{bytes, sizeof bytes}};
    hmac(key, life, 1, secret);
    if (!was_kept())
        counter = get32(secret) >> 1;
    on = 1;
}
