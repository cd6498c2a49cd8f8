/* coap.h - the terminal's side of docs/spec/coap.md: one confirmable exchange at a time, block by block. */
#ifndef FW_COAP_H
#define FW_COAP_H
#include <stdint.h>

enum fw_method { FW_GET = 1, FW_POST = 2 };
/* Answer codes: class in the upper three bits. */
enum fw_code { FW_CHANGED = 0x44, FW_CONTENT = 0x45, FW_CONTINUE = 0x5f, FW_UNAUTHORIZED = 0x81, FW_CONFLICT = 0x89, FW_FAILED = 0x8c, FW_UNAVAILABLE = 0xa3 };

#define FW_BLOCK 1024u   /* bytes of a block: with its headers it fits the modem's frame */
#define FW_PART 256u     /* bytes of a block of a request */
#define FW_SET 10u        /* blocks of a series that come for one request: MAX_PAYLOADS of RFC 9177 */
#define FW_SEGMENTS 3u

/* One request and its answer. A body that is longer than FW_PART goes up in blocks. */
struct fw_exchange {
    enum fw_method method;
    const char *path[FW_SEGMENTS];   /* null ends it early */
    const char *token;               /* of the terminal; null: none is shown */
    const uint8_t *body;
    uint32_t body_len;
    uint32_t block;                  /* the answer's block that is wanted */
    uint8_t *answer;                 /* where its payload goes */
    uint32_t room;
    /* out: */
    uint32_t len;
    uint32_t max_age;                /* seconds, 0: not said */
    uint8_t code;
    uint8_t more;                    /* further blocks follow */
};

/* A file that comes in series of blocks, many for one request (RFC 9177): what is here stays here over broken links. */
struct fw_series {
    const char *path[FW_SEGMENTS];
    const char *token;
    uint8_t *data;
    uint32_t size;                   /* of the file: the caller knows it */
    uint32_t held;                   /* bytes that are here, from the first on: whole sets, or all of it */
    uint32_t seen;                   /* bits: blocks of the set behind them */
    uint8_t code;                    /* of the last answer */
};

#define FW_TAG 8u     /* bytes of the tag behind an answer */
#define FW_TAGGED 12u /* most bytes of a request's option: counter and tag */

/* What an application has on its requests in the token's place, and behind their answers (docs/spec/coap.md 7). */
struct fw_guard {
    /* The option of the request that goes out next, zeros where its tag will be: its bytes. */
    uint32_t (*begin)(uint8_t value[FW_TAGGED]);
    /* That request, whole: its option begins at `option`, its tag ends at `end`. */
    void (*seal)(uint8_t *datagram, uint32_t len, uint32_t option, uint32_t end);
    /* What came, its CoAP token ours: its bytes without the tag; 0: it is no answer to what was asked. */
    uint32_t (*open)(const uint8_t *datagram, uint32_t len);
};

/* Once a start, with a number that differs from start to start. */
void fw_coap_open(uint32_t start);
/* From now on every request with a token has this guard's option instead. A number that differs from start to start. */
uint32_t fw_coap_guard(const struct fw_guard *guard);
/* Sends, repeats while nothing comes (RFC 7252 4.2), serves the wire meanwhile. 0: answered, x->code says how; below 0: no
 * answer came, or the wire has begun a restoration, which takes precedence. */
int fw_coap_ask(struct fw_exchange *x);
/* A heartbeat: one datagram, not confirmable, never repeated; waits so many milliseconds for the one that answers it. */
int fw_coap_beat(struct fw_exchange *x, uint32_t wait);
/* The next set of blocks. NRT_OK: the file is here; NRT_MORE: further sets follow, the caller may do something else between them;
 * NRT_E_READ: nothing came; NRT_E_GONE: the server says why, s->code; NRT_E_STATE as above. */
int fw_coap_series(struct fw_series *s);
/* The same as fw_coap_ask() for an answer of several blocks, gathered in x->answer; x->len is all of it. */
int fw_coap_whole(struct fw_exchange *x);

#endif
