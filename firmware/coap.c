/* coap.c - messages of RFC 7252, 7959 and 9177, as few as a terminal needs. It knows bytes, repeats and blocks; it must never know
 * what an answer means, nor wait without serving the wire. Spec: docs/spec/coap.md. */
#include "coap.h"

#include <string.h>

#include "air.h"
#include "board.h"
#include "boot.h"
#include "nrt.h"

enum { URI_PATH = 11, CONTENT_FORMAT = 12, MAX_AGE = 14, BLOCK2 = 23, BLOCK1 = 27, Q_BLOCK2 = 31, TOKEN = 65001, TAGGED = 65005 };
enum { CONFIRMABLE = 0, NON = 1, ACKNOWLEDGEMENT = 2, RESET = 3, TOKEN_LENGTH = 2, OCTETS = 42, CBOR = 60, MARKER = 0xff };
/* Block size as an exponent: 16 << BLOCK_EXPONENT is FW_BLOCK. */
enum { BLOCK_EXPONENT = 6, PART_EXPONENT = 4 };
/* Of a series nothing shorter is waited for: what is asked for twice costs more air than a lost request costs time. */
enum { FIRST_WAIT = 2000, SERIES_WAIT = 4000, REST = 3000, LONGEST_WAIT = 20000, REPEATS = 5 };

static uint8_t out[FW_AIR_MOST];
static uint8_t in[FW_AIR_MOST];
static uint16_t message_id;
static uint32_t part;  /* of a long body: the block that goes up now */
static uint32_t asked; /* of a series: bits, from x->block on */
static int rest;       /* and all behind them, in the same set */
static uint32_t waited = FIRST_WAIT;
static uint32_t rests = REST; /* between two blocks of a series */
static const struct fw_guard *guard;
static int tagged; /* the request that went out last has a tag: so has what answers it */

/* ---- out ----------------------------------------------------------------------------------------------------------- */

struct writer {
    uint32_t used;
    uint32_t option;
};

static void put(struct writer *w, uint8_t byte)
{
    if (w->used < sizeof out)
        out[w->used] = byte;
    w->used++;
}

static void put_bytes(struct writer *w, const uint8_t *data, uint32_t len)
{
    while (len--)
        put(w, *data++);
}

static uint32_t nibble(uint32_t value) { return value < 13u ? value : value < 269u ? 13u : 14u; }

static void put_extended(struct writer *w, uint32_t value)
{
    if (value >= 269u) {
        put(w, (uint8_t)((value - 269u) >> 8));
        put(w, (uint8_t)(value - 269u));
    } else if (value >= 13u) {
        put(w, (uint8_t)(value - 13u));
    }
}

static void put_option(struct writer *w, uint32_t number, const uint8_t *data, uint32_t len)
{
    uint32_t delta = number - w->option;
    put(w, (uint8_t)(nibble(delta) << 4 | nibble(len)));
    put_extended(w, delta);
    put_extended(w, len);
    put_bytes(w, data, len);
    w->option = number;
}

static void put_number(struct writer *w, uint32_t number, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    uint32_t skip = 0;
    while (skip < 4u && bytes[skip] == 0)
        skip++;
    put_option(w, number, bytes + skip, 4u - skip);
}

/* The token, or what stands in its place; where it ends. */
static uint32_t put_who(struct writer *w, const struct fw_exchange *x)
{
    uint8_t value[FW_TAGGED];
    tagged = x->token && guard;
    if (tagged)
        put_option(w, TAGGED, value, guard->begin(value));
    else if (x->token)
        put_option(w, TOKEN, (const uint8_t *)x->token, (uint32_t)strlen(x->token));
    return w->used;
}

static uint32_t build(const struct fw_exchange *x, uint16_t id, uint32_t type)
{
    struct writer w = {0, 0};
    put(&w, (uint8_t)(0x40u | type << 4 | TOKEN_LENGTH));
    put(&w, (uint8_t)x->method);
    put(&w, (uint8_t)(id >> 8));
    put(&w, (uint8_t)id);
    const char *file = x->path[FW_SEGMENTS - 1u] ? x->path[FW_SEGMENTS - 1u] : x->path[1];
    put(&w, asked ? (uint8_t)file[0] : (uint8_t)(id >> 8)); /* all that is asked of one file has one token */
    put(&w, asked ? (uint8_t)file[1] : (uint8_t)id);
    for (uint32_t i = 0; i < FW_SEGMENTS && x->path[i]; i++)
        put_option(&w, URI_PATH, (const uint8_t *)x->path[i], (uint32_t)strlen(x->path[i]));
    if (x->method == FW_POST && !(x->token && guard)) /* who takes tags knows what our bodies are */
        put_number(&w, CONTENT_FORMAT, type == NON ? OCTETS : CBOR);
    if (type == CONFIRMABLE && (x->block || !(x->token && guard)))
        put_number(&w, BLOCK2, x->block << 4 | BLOCK_EXPONENT);
    uint32_t from = part * FW_PART;
    uint32_t run = x->body_len - from < FW_PART ? x->body_len - from : FW_PART;
    if (x->body_len > FW_PART)
        put_number(&w, BLOCK1, part << 4 | (from + run < x->body_len ? 8u : 0u) | PART_EXPONENT);
    for (uint32_t i = 0; i < FW_SET; i++)
        if (asked >> i & 1u)
            put_number(&w, Q_BLOCK2, (x->block + i) << 4 | (rest ? 8u : 0u) | BLOCK_EXPONENT);
    uint32_t option = w.used;
    uint32_t end = put_who(&w, x);
    /* A request for a further block is the same request without its payload. */
    if (x->body_len && x->block == 0) {
        put(&w, MARKER);
        put_bytes(&w, x->body + from, run);
    }
    if (tagged && w.used <= sizeof out)
        guard->seal(out, w.used, option, end);
    return w.used;
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

static void acknowledge(void)
{
    uint8_t ack[4] = {0x40u | ACKNOWLEDGEMENT << 4, 0, in[2], in[3]};
    fw_air_send(ack, sizeof ack);
}

/* Reads one extended value of an option header; below 0: the message ends first. */
static int32_t extended(uint32_t value, uint32_t *at, uint32_t len)
{
    uint32_t bytes = value == 13u ? 1u : value == 14u ? 2u : 0u;
    if (value == 15u || *at + bytes > len)
        return -1;
    uint32_t more = 0;
    for (uint32_t i = 0; i < bytes; i++)
        more = more << 8 | in[(*at)++];
    return (int32_t)(bytes == 0 ? value : bytes == 1u ? more + 13u : more + 269u);
}

struct found {
    uint32_t block;
    uint32_t max_age;
    uint32_t payload; /* where it begins */
    int with_block;
    int in_series;
};

static void note_option(struct found *f, uint32_t number, const uint8_t *data, uint32_t len)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < len && i < 4u; i++)
        value = value << 8 | data[i];
    if (number == BLOCK2 || number == Q_BLOCK2) {
        f->block = value;
        f->with_block = number == BLOCK2;
        f->in_series = number == Q_BLOCK2;
    } else if (number == MAX_AGE) {
        f->max_age = value;
    }
}

static int options(struct found *f, uint32_t at, uint32_t len)
{
    uint32_t number = 0;
    while (at < len && in[at] != MARKER) {
        uint32_t head = in[at++];
        int32_t delta = extended(head >> 4, &at, len);
        int32_t size = extended(head & 15u, &at, len);
        if (delta < 0 || size < 0 || (uint32_t)size > len - at)
            return -1;
        number += (uint32_t)delta;
        note_option(f, number, in + at, (uint32_t)size);
        at += (uint32_t)size;
    }
    if (at + 1u == len && !tagged)
        return -1; /* a marker and nothing behind it; behind a tag that was cut off there is one */
    f->payload = at < len ? at + 1u : len;
    return 0;
}

/* What came: 1 the answer (taken into x), -1 a refusal of the message layer, 0 nothing of ours. */
static int taken(struct fw_exchange *x, uint32_t len)
{
    struct found f = {0, 0, 0, 0, 0};
    if (len < 4u || in[0] >> 6 != 1u)
        return 0;
    uint32_t type = in[0] >> 4 & 3u;
    if (type == RESET && in[2] == out[2] && in[3] == out[3])
        return tagged ? 0 : -1; /* anybody's word */
    if (in[1] == 0 || (in[0] & 15u) != TOKEN_LENGTH || len < 4u + TOKEN_LENGTH || memcmp(in + 4, out + 4, TOKEN_LENGTH) != 0)
        return 0;
    if (tagged && (len = guard->open(in, len)) == 0)
        return 0; /* as if it were lost */
    if (options(&f, 4u + TOKEN_LENGTH, len) < 0)
        return 0;
    if (type == CONFIRMABLE)
        acknowledge();
    uint32_t count = len - f.payload;
    uint32_t exponent = f.block & 7u;
    /* A server may answer with smaller blocks, never with another place. */
    if (f.with_block && (f.block >> 4) << exponent != x->block << BLOCK_EXPONENT)
        return 0;
    uint32_t at = 0;
    if (f.in_series) {
        x->block = f.block >> 4;
        at = x->block * FW_BLOCK;
        if (!asked || exponent != BLOCK_EXPONENT || at >= x->room || count != (x->room - at < FW_BLOCK ? x->room - at : FW_BLOCK))
            return 0;
    }
    if (count > x->room - at)
        return -1;
    memcpy(x->answer + at, in + f.payload, count);
    x->len = count;
    x->code = in[1];
    x->more = (uint8_t)(f.with_block && f.block >> 3 & 1u);
    x->max_age = f.max_age;
    return 1;
}

/* ---- the exchange -------------------------------------------------------------------------------------------------- */

void fw_coap_open(uint32_t start) { message_id = (uint16_t)(start * 0x9e37u); }

uint32_t fw_coap_guard(const struct fw_guard *with)
{
    guard = with;
    return (uint32_t)message_id << 16 ^ fw_ticks();
}

/* Until the answer is there: NRT_OK; NRT_MORE where none came in time. */
static int listen(struct fw_exchange *x, uint32_t since, uint32_t wait)
{
    while (fw_millis() - since < wait) {
        boot_poll();
        if (boot_wire_busy())
            return NRT_E_STATE;
        uint32_t came = fw_air_take(in, sizeof in);
        int what = came ? taken(x, came) : 0;
        if (what != 0)
            return what < 0 ? NRT_E_READ : NRT_OK;
    }
    return NRT_MORE;
}

static uint32_t bounded(uint32_t wait) { return wait < 1000u ? 1000u : wait > LONGEST_WAIT ? LONGEST_WAIT : wait; }

static int exchange(struct fw_exchange *x)
{
    uint16_t id = ++message_id;
    uint32_t len = build(x, id, CONFIRMABLE);
    if (len > sizeof out)
        return NRT_E_SPACE;
    uint32_t wait = waited;
    for (int repeat = 0; repeat < REPEATS; repeat++, wait *= 2u) {
        uint32_t since = fw_millis();
        fw_air_send(out, len);
        int rc = listen(x, since, wait);
        if (rc == NRT_MORE)
            continue;
        /* The next exchange waits twice as long as this one took, within bounds. */
        if (rc == NRT_OK && repeat == 0) {
            uint32_t took = (fw_millis() - since) * 2u + 500u;
            waited = bounded(took);
        }
        return rc;
    }
    return NRT_E_READ;
}

int fw_coap_ask(struct fw_exchange *x)
{
    int rc = NRT_OK;
    x->code = FW_CONTINUE;
    for (part = 0; rc == NRT_OK && x->code == FW_CONTINUE && part * FW_PART < x->body_len + !x->body_len; part++)
        rc = exchange(x);
    part = 0;
    return rc;
}

int fw_coap_beat(struct fw_exchange *x, uint32_t wait)
{
    uint32_t len = build(x, ++message_id, NON);
    if (len > sizeof out)
        return NRT_E_SPACE;
    fw_air_send(out, len);
    int rc = listen(x, fw_millis(), wait);
    return rc == NRT_MORE ? NRT_E_READ : rc;
}

/* Answers to one request for a series, until the last that was asked for is here; NRT_MORE: none came any more. */
static int gather(struct fw_series *s, struct fw_exchange *x, uint32_t first, uint32_t wait)
{
    uint32_t want = asked;
    uint32_t since = fw_millis();
    int rc = NRT_OK;
    while (asked) {
        rc = listen(x, since, wait);
        if (rc < 0 || rc == NRT_MORE)
            break;
        s->code = x->code;
        if (x->code != FW_CONTENT)
            return x->code >> 5 == 4u ? NRT_E_GONE : NRT_E_READ;
        uint32_t now = fw_millis();
        uint32_t took = now - since;
        /* Twice as long as the first took, four times as those behind it: nothing is asked for again that is on its way. */
        if (asked == want)
            waited = bounded(took * 2u + 500u);
        else if (took > rests / 4u)
            rests = bounded(took * 4u);
        since = now;
        wait = rests;
        uint32_t bit = x->block - first < FW_SET ? 1u << (x->block - first) : 0u;
        s->seen |= bit;
        asked &= ~bit;
        if ((want & bit) && asked < bit)
            break; /* they come in order: what was asked for before this one is lost */
    }
    return rc;
}

int fw_coap_series(struct fw_series *s)
{
    uint32_t first = s->held / FW_BLOCK;
    uint32_t count = (s->size - s->held + FW_BLOCK - 1u) / FW_BLOCK;
    uint32_t wait = waited;
    uint32_t lost = 0;
    int rc = NRT_OK;
    count = count < FW_SET - first % FW_SET ? count : FW_SET - first % FW_SET;
    uint32_t all = (1u << count) - 1u;
    while (rc >= 0 && s->seen != all && lost < REPEATS) {
        struct fw_exchange x = {.method = FW_GET, .path = {s->path[0], s->path[1], s->path[2]}, .token = s->token, .block = first,
                                .answer = s->data, .room = s->size};
        uint32_t before = s->seen;
        uint32_t missing = all & ~before;
        /* After a silence one block is asked for alone: it comes behind all that may still be on its way. */
        if (rc == NRT_MORE)
            missing &= 0u - missing;
        rest = before == 0 && rc == NRT_OK;
        asked = rest ? 1u : missing;
        uint32_t len = build(&x, ++message_id, NON);
        asked = missing;
        fw_air_send(out, len);
        rc = gather(s, &x, first, wait < SERIES_WAIT ? SERIES_WAIT : wait);
        lost = s->seen == before ? lost + 1u : 0;
        wait = lost ? bounded(wait * 2u) : waited;
    }
    asked = 0;
    if (rc < 0)
        return rc;
    if (s->seen != all)
        return NRT_E_READ;
    s->seen = 0;
    s->held = s->size - s->held < count * FW_BLOCK ? s->size : s->held + count * FW_BLOCK;
    return s->held < s->size ? NRT_MORE : NRT_OK;
}

int fw_coap_whole(struct fw_exchange *x)
{
    uint8_t *begin = x->answer;
    uint32_t room = x->room;
    uint32_t all = 0;
    for (x->block = 0;; x->block++) {
        int rc = fw_coap_ask(x);
        if (rc < 0)
            return rc;
        all += x->len;
        x->answer = begin + all;
        x->room = room - all;
        if (!x->more)
            break;
        if (x->len != FW_BLOCK)
            return NRT_E_FORMAT; /* smaller blocks than asked for: not gathered here */
    }
    x->answer = begin;
    x->room = room;
    x->len = all;
    return NRT_OK;
}
