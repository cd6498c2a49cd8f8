/* update.c - system A from check-in to rewrite, as the application of a phone sees it. It knows messages and their order; every
 * judgement is the boot core's, and nothing is erased by it. Spec: docs/spec/coap.md, check.md, offer.md, report.md. */
#include "update.h"

#include <string.h>

#include "cbor.h"
#include "gather.h"
#include "narrow.h"
#include "tenants.h"
#include "token.h"

enum { CHECK_MODEL = 1, CHECK_BANK, CHECK_SIZE, CHECK_RAM, CHECK_NONCE, CHECK_ENVELOPE, CHECK_FLOOR };
enum { CHECK_VERSION = 9, CHECK_STAGE = 10, CHECK_SPARE = 16, CHECK_PROFILES = 17, CHECK_KEYS = 18 };
enum { OFFER_KIND = 1, OFFER_FILE, OFFER_SIZE, OFFER_NEED, OFFER_ENVELOPE, OFFER_TICKET, OFFER_VERSION, OFFER_ACTION,
       OFFER_BLOCKS = 10 };
enum { REPORT_ACTION = 1, REPORT_PHASE, REPORT_VERDICT, REPORT_DONE, REPORT_TOTAL, REPORT_SECURED, REPORT_REASON = 8 };
enum { MAP = 5, ARRAY = 4, SOON = 5, LATER = 60, TRIES = 50, LONGEST_MAKING = 32 };
/* Of a brief check-in: what it is like, and how long the name of that is (docs/spec/check.md 4). */
enum { CHECK_LIKE = 0, LIKE = 8 };
/* The longest list of keys that is taken, and milliseconds between two looks where nothing is offered. */
enum { LIST_MOST = 4096, DAY_MS = 86400000 };
#define FW_MOST_FILE 0x1000000u /* sums with it cannot overflow */

static const struct fw_services *boot;
static uint8_t message[512];
static uint8_t answer[4096];
static uint8_t like[LIKE]; /* the last check-in that the server took */
static int alike;          /* it took one */
static uint8_t list[LIST_MOST];

/* An offer, as it was read; strings point into `answer`. */
struct offer {
    uint32_t kind, size, need;
    struct item file, envelope, ticket, blocks; /* file: as far as it is known */
    uint8_t name[NRT_SHORT];
    char action[65];
};

/* ---- who we are ---------------------------------------------------------------------------------------------------- */

static int tell(const char *verb, const struct out *body, struct fw_exchange *x)
{
    memset(x, 0, sizeof *x);
    x->method = FW_POST;
    x->path[0] = verb;
    x->path[1] = boot->birth->id;
    x->token = token_of(boot);
    if (body->used > body->room)
        return NRT_E_SPACE;
    int rc = NRT_OK;
    /* What the server wants to see is asked for with no body; where it wants to see something else, once more. */
    for (int met = narrow_has_met(), turn = met; rc == NRT_OK && turn < 3; turn++) {
        x->body = body->data;
        x->body_len = met ? body->used : 0;
        x->answer = answer;
        x->room = sizeof answer;
        rc = boot->ask_whole(x);
        if (rc == NRT_OK && x->code != FW_UNAUTHORIZED)
            break;
        met = 1;
    }
    return rc;
}

/* ---- check-in ------------------------------------------------------------------------------------------------------ */

static void put_floor(struct out *o)
{
    const struct nrt_facts *f = &boot->core->facts;
    cbor_head(o, 0, CHECK_FLOOR);
    cbor_head(o, ARRAY, 2);
    cbor_head(o, 0, f->confirmed.epoch);
    cbor_head(o, 0, f->confirmed.sequence);
}

/* The whole of it, a map without CHECK_LIKE. */
static int put_check(struct out *o, int gathers)
{
    int durable = 0;
    uint32_t room = gathers ? gather_room(&durable) : 0;
    const struct nrt_facts *f = &boot->core->facts;
    uint8_t bank[NRT_DIGEST];
    uint8_t nonce[8];
    int rc = boot->bank_digest(boot->core, f->installed.size, bank);
    if (rc < 0)
        return rc;
    boot->nonce(boot->birth->device_key, f->installed.envelope, f->installs, nonce);
    int tells = boot->size >= offsetof(struct fw_services, profiles) + sizeof boot->profiles;
    cbor_head(o, MAP, 8u + (room != 0) + (uint32_t)tells + (f->key_list != 0));
    cbor_text(o, CHECK_MODEL, boot->birth->model);
    cbor_bytes(o, CHECK_BANK, bank, NRT_DIGEST);
    cbor_uint(o, CHECK_SIZE, f->installed.size);
    cbor_uint(o, CHECK_RAM, tenants_lendable());
    cbor_bytes(o, CHECK_NONCE, nonce, sizeof nonce);
    cbor_bytes(o, CHECK_ENVELOPE, f->installed.envelope, NRT_SHORT);
    put_floor(o);
    cbor_text(o, CHECK_VERSION, APP_VERSION);
    if (room)
        cbor_uint(o, durable ? CHECK_STAGE : CHECK_SPARE, room);
    if (tells)
        cbor_uint(o, CHECK_PROFILES, boot->profiles());
    if (f->key_list)
        cbor_uint(o, CHECK_KEYS, f->key_list);
    return o->used > o->room ? NRT_E_SPACE : NRT_OK;
}

/* One more key, the first, in front of a whole check-in. */
static void say_all(struct out *o)
{
    memmove(message + 3, message + 1, o->used - 1u);
    message[0]++;
    message[1] = CHECK_LIKE;
    message[2] = 0x40; /* like none */
    o->used += 2u;
}

/* What is told instead where the server has the rest: nothing, or the floor that moved. */
static void say_like(struct out *o, int moved)
{
    o->used = 0;
    cbor_head(o, MAP, 1u + (uint32_t)moved);
    cbor_bytes(o, CHECK_LIKE, like, LIKE);
    if (moved)
        put_floor(o);
}

/* `moved`: since the last one the floor moved, and nothing else did. */
static int check_in(struct fw_exchange *x, int gathers, int moved)
{
    struct out o = {message, sizeof message - 2u, 0};
    struct nrt_sha256 hash;
    uint8_t digest[NRT_DIGEST];
    int rc = put_check(&o, gathers);
    if (rc < 0)
        return rc;
    boot->sha256_init(&hash);
    boot->sha256_add(&hash, message, o.used);
    boot->sha256_end(&hash, digest);
    o.room += 2u;
    if (narrow_is_on() && alike && (moved || memcmp(digest, like, LIKE) == 0))
        say_like(&o, moved);
    else if (narrow_is_on())
        say_all(&o);
    rc = tell("c", &o, x);
    alike = rc == NRT_OK && x->code == FW_CHANGED;
    memcpy(like, digest, LIKE);
    return rc < 0 ? rc : alike ? NRT_OK : NRT_E_STATE;
}

/* The same, once more and in full where the server has not what it is like. */
static int checked_in(struct fw_exchange *x, int gathers, int moved)
{
    x->code = 0;
    int rc = check_in(x, gathers, moved);
    return rc < 0 && x->code == FW_FAILED ? check_in(x, gathers, 0) : rc;
}

/* ---- report -------------------------------------------------------------------------------------------------------- */

static void report(const struct offer *offer, const char *phase, const char *verdict, uint32_t done, uint32_t secured)
{
    struct fw_exchange x;
    struct out o = {message, sizeof message, 0};
    int total = offer->size != 0 && !narrow_is_on(); /* the server knows */
    cbor_head(&o, MAP, 2u + (verdict != 0) + (done != 0) + (uint32_t)total + (secured != 0));
    cbor_text(&o, REPORT_ACTION, offer->action);
    cbor_text(&o, REPORT_PHASE, phase);
    if (verdict)
        cbor_text(&o, REPORT_VERDICT, verdict);
    if (done)
        cbor_uint(&o, REPORT_DONE, done);
    if (total)
        cbor_uint(&o, REPORT_TOTAL, offer->size);
    if (secured)
        cbor_uint(&o, REPORT_SECURED, secured);
    tell("r", &o, &x); /* a report that is lost costs nothing: the next check-in says what the bank holds */
}

/* ---- offer and gates ----------------------------------------------------------------------------------------------- */

static int read_offer(const struct fw_exchange *x, struct offer *offer)
{
    struct item kind, size, need, action;
    const uint8_t *d = x->answer;
    memset(offer, 0, sizeof *offer);
    if (cbor_find(d, x->len, OFFER_NEED, &need) <= 0 || cbor_find(d, x->len, OFFER_ENVELOPE, &offer->envelope) <= 0 ||
        cbor_find(d, x->len, OFFER_TICKET, &offer->ticket) <= 0 || cbor_find(d, x->len, OFFER_ACTION, &action) <= 0)
        return 0;
    if (!action.data || action.len >= sizeof offer->action)
        return 0;
    memcpy(offer->action, action.data, action.len);
    offer->need = need.value;
    /* A brief one leaves out what the ticket says. */
    if (cbor_find(d, x->len, OFFER_FILE, &offer->file) <= 0)
        return narrow_is_on();
    if (cbor_find(d, x->len, OFFER_KIND, &kind) <= 0 || cbor_find(d, x->len, OFFER_SIZE, &size) <= 0)
        return 0;
    if (cbor_find(d, x->len, OFFER_BLOCKS, &offer->blocks) <= 0)
        memset(&offer->blocks, 0, sizeof offer->blocks);
    if (offer->file.len != NRT_DIGEST || size.data || kind.data)
        return 0;
    offer->kind = kind.value;
    offer->size = size.value;
    return 1;
}

static void complete(struct offer *o, const struct nrt_ticket *ticket)
{
    if (o->file.len)
        return;
    memcpy(o->name, ticket->file, NRT_SHORT);
    o->file.data = o->name;
    o->file.len = NRT_SHORT;
    o->kind = ticket->kind;
    o->size = ticket->file_size;
}

/* G1 and G2: who signed it, is it for this terminal now, was the ticket made for this offer. */
static int weigh(struct offer *o, struct nrt_target *target, int staged)
{
    const struct nrt_birth *b = boot->birth;
    const struct nrt_facts *f = &boot->core->facts;
    struct nrt_envelope envelope;
    struct nrt_ticket ticket;
    struct nrt_sha256 hash;
    uint8_t bank[NRT_DIGEST];
    uint8_t blocks[NRT_DIGEST];
    int rc = boot->envelope_read(boot->port, o->envelope.data, o->envelope.len, b->release, b->n_release, &envelope);
    if (rc < 0 || (rc = boot->gate_envelope(&envelope, b->vendor, b->klass, f)) < 0)
        return rc;
    rc = boot->ticket_read(boot->port, o->ticket.data, o->ticket.len, &b->ticket, 1, &ticket);
    if (rc < 0 || (rc = boot->bank_digest(boot->core, f->installed.size, bank)) < 0)
        return rc;
    if ((rc = boot->gate_ticket(&ticket, &envelope, b, f, bank)) < 0)
        return rc;
    complete(o, &ticket);
    boot->sha256_init(&hash);
    boot->sha256_add(&hash, o->blocks.data, o->blocks.len);
    boot->sha256_end(&hash, blocks);
    if (memcmp(ticket.file, o->file.data, NRT_SHORT) != 0 || ticket.file_size != o->size || ticket.kind != o->kind ||
        (o->blocks.len && memcmp(ticket.blocks, blocks, NRT_SHORT) != 0))
        return NRT_E_TRUST;
    /* The server's figure is believed only upwards: the core knows the least. */
    if (o->size > FW_MOST_FILE || (!staged && o->need < o->size + boot->parity_size(o->size)))
        return NRT_E_SPACE;
    if (envelope.leaf != boot->layout->leaf ||
        boot->need(boot->layout, envelope.image_size, o->size, 0, !staged) > o->need)
        return NRT_E_SPACE;
    memset(target, 0, sizeof *target);
    memcpy(target->envelope, envelope.digest, NRT_SHORT);
    memcpy(target->image, envelope.image, NRT_DIGEST);
    memcpy(target->leaves, envelope.leaves, NRT_DIGEST);
    memcpy(target->file, ticket.file, NRT_SHORT);
    target->image_size = envelope.image_size;
    target->sequence = envelope.sequence;
    target->epoch = envelope.epoch;
    target->file_size = o->size;
    target->serial = ticket.serial;
    return ticket.serial > f->serial ? boot->accept_serial(boot->core, ticket.serial) : NRT_OK;
}

/* ---- transfer and rewrite ------------------------------------------------------------------------------------------ */

/* Every block once, set by set; what was held stays held over a broken link. */
static int fetch(const struct offer *offer, uint8_t *area)
{
    char digits[2 * NRT_SHORT + 1];
    const char *name = narrow_is_on() ? offer->action : digits;
    uint32_t lost = 0;
    struct fw_series s = {.path = {"f", boot->birth->id, name}, .token = token_of(boot), .data = area, .size = offer->size};
    hex(offer->file.data, NRT_SHORT, digits);
    for (int rc = NRT_MORE; rc != NRT_OK;) {
        rc = boot->series(&s);
        int asked = rc == NRT_E_GONE && s.code == FW_UNAUTHORIZED; /* the server wants to see another epoch */
        if (rc < 0 && ((rc != NRT_E_READ && !asked) || ++lost > TRIES))
            return rc;
        lost = rc < 0 ? lost : 0;
        tenants_work(); /* those who did not have to leave go on */
    }
    return NRT_OK;
}

/* Why, as the core numbers it (enum nrt_result). */
static void refused(int rc)
{
    char text[] = "update: refused by the core with -00, nothing was erased";
    if (rc >= 0)
        return;
    text[34] = (char)('0' + -rc / 10 % 10);
    text[35] = (char)('0' + -rc % 10);
    boot->say(text);
}

/* By whichever boot core this phone has: those made before `update_whole` refuse a damaged file and do not mend it. */
static int rewrite(const struct fw_whole *whole, const struct nrt_target *target, struct nrt_ram ram)
{
    struct fw_staged staged = {whole->data, whole->size};
    struct nrt_file file = {&staged, staged.size, boot->staged_read, NULL};
    if (boot->size < offsetof(struct fw_services, update_whole) + sizeof boot->update_whole)
        return boot->update(&file, target, ram);
    return boot->update_whole(whole, target, ram);
}

static void take(const struct offer *offer, const struct nrt_target *target)
{
    uint8_t *area = tenants_free(offer->need);
    if (!area) {
        boot->say("update: not enough memory, even with everybody gone");
        report(offer, "offered", "refused", 0, 0);
        return;
    }
    report(offer, "downloading", 0, 0, offer->need);
    /* The core's part first, where the area is aligned; it takes all that the file and its parity leave. */
    uint32_t lent = offer->need - offer->size - boot->parity_size(offer->size);
    struct fw_whole whole = {area + lent, offer->size, area + lent + offer->size};
    if (fetch(offer, whole.data) == NRT_OK) {
        boot->parity_make(whole.data, whole.size, whole.parity);
        if (!narrow_is_on())
            report(offer, "downloaded", 0, offer->size, 0);
        boot->say("update: file complete, link closed, rehearsal");
        struct nrt_ram ram = {area, lent};
        refused(rewrite(&whole, target, ram));
        report(offer, "failed", "refused", 0, 0);
    } else {
        boot->say("update: the link is lost");
    }
    tenants_return();
}

/* A file that heartbeats brought: nothing is left to fetch, and only the core's own memory is asked for. */
static void install(const struct offer *offer, const struct nrt_target *target, struct fw_stage *stage)
{
    struct nrt_ram ram = {tenants_free(offer->need), offer->need};
    if (!ram.mem) {
        boot->say("update: not enough memory, even with everybody gone");
        report(offer, "offered", "refused", 0, 0);
        return;
    }
    report(offer, "downloading", 0, 0, offer->size);
    report(offer, "downloaded", 0, offer->size, 0);
    boot->say("update: file complete, link closed, rehearsal");
    struct nrt_file file = {stage, stage->size, boot->stage_read, NULL};
    refused(boot->update(&file, target, ram));
    report(offer, "failed", "refused", 0, 0);
    tenants_return();
}

/* Takes the lists of keys that there are: 1 what tickets have to name is another now. What does not come, or is no list, holds up
 * nothing. */
static int learn(void)
{
    uint32_t before = boot->core->facts.key_list;
    if (boot->size < offsetof(struct fw_services, learn) + sizeof boot->learn)
        return 0;
    int rc = boot->learn(list, sizeof list);
    if (rc < 0 && rc != NRT_E_READ)
        boot->say("update: a list of keys was not taken");
    if (boot->core->facts.key_list == before)
        return 0;
    boot->say("update: another list of keys");
    return 1;
}

/* Once a day, and at the first session. */
static void learn_daily(void)
{
    static uint32_t at;
    static int ever;
    if (ever && boot->millis() - at < DAY_MS)
        return;
    learn();
    ever = 1;
    at = boot->millis();
}

/* An offer that is weighed by the newest list: where there is a newer one, its ticket has to name it. */
static int offered(struct fw_exchange *x, struct offer *offer, int gathers)
{
    if (!read_offer(x, offer))
        return 0;
    return !learn() || (checked_in(x, gathers, 0) == NRT_OK && read_offer(x, offer));
}

/* Check-in, and the confirmation of a new image by it: 1 an offer is in hand, 0 not; *again is when to come back. */
static int session(const struct fw_services *services, struct offer *offer, int gathers, uint32_t *again)
{
    static uint32_t making;
    struct fw_exchange x;
    boot = services;
    *again = SOON;
    learn_daily();
    if (checked_in(&x, gathers, 0) < 0)
        return 0;
    if (boot->core->facts.candidate) {
        /* The new image runs and reaches its server: that is what confirms it. */
        if (boot->confirm() < 0 || checked_in(&x, gathers, 1) < 0)
            return 0;
        boot->say("update: confirmed");
    }
    *again = x.max_age ? x.max_age : LATER;
    if (x.len == 1u && x.answer[0] == 0xa0u) {
        /* A second: the file is being made. Each question costs two datagrams: after 1, 2, 4 ... 32 s. */
        making = *again > 1u ? 0 : making ? making < LONGEST_MAKING ? making * 2u : making : 1u;
        *again = making ? making : *again;
        return 0;
    }
    making = 0;
    *again = LATER;
    return offered(&x, offer, gathers);
}

static int weighed(struct offer *offer, struct nrt_target *target, int staged)
{
    int rc = weigh(offer, target, staged);
    if (rc == NRT_OK)
        return 1;
    refused(rc);
    report(offer, "offered", "refused", 0, 0);
    return 0;
}

uint32_t update_session(const struct fw_services *services)
{
    struct offer offer;
    struct nrt_target target;
    uint32_t again;
    if (!session(services, &offer, 0, &again) || !weighed(&offer, &target, 0))
        return again;
    take(&offer, &target);
    return SOON;
}

int update_gathered(const struct fw_services *services, struct fw_stage *stage)
{
    struct offer offer;
    struct nrt_target target;
    uint8_t digest[NRT_DIGEST];
    uint32_t again;
    int found = session(services, &offer, 1, &again);
    if (!stage)
        return found || again != SOON;
    if (found && boot->stage_whole(stage, digest) && weighed(&offer, &target, 1) &&
        memcmp(digest, offer.file.data, offer.file.len) == 0)
        install(&offer, &target, stage);
    return 0;
}
