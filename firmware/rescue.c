/* rescue.c - a phone that cannot start helps itself by air: it goes on with the file its state log names, or asks for the one
 * that was made for what its bank holds, and after an image that did not confirm for the way back (docs/spec/rescue.md). It
 * knows blocks and RAM that no application uses; every judgement is the core's. Source: safety design, sections 4 and 5. */
#include "rescue.h"

#include <string.h>

#include "air.h"
#include "board.h"
#include "board_map.h"
#include "coap.h"
#include "learn.h"
#include "reading.h"
#include "stage.h"

/* Question and answer lie at the end of the lent RAM: what was fetched of a file stays where it is while they come and go. */
#define QUESTION_MOST (44u + NRT_HYBRID_FIXED + 4u * FW_LEAVES)
#define ANSWER_MOST 4096u /* a list of keys, before it */
#define TALK_MOST ((QUESTION_MOST + ANSWER_MOST + 7u) & ~7u)

/* The file that is being fetched, and how much of it is here: a link that comes and goes costs nothing twice. */
static uint8_t wanted[NRT_SHORT];
static struct fw_series coming;

static void hex_of(const uint8_t *data, uint32_t count, char *text)
{
    for (uint32_t i = 0; i < count; i++) {
        *text++ = "0123456789abcdef"[data[i] >> 4];
        *text++ = "0123456789abcdef"[data[i] & 15u];
    }
    *text = 0;
}

/* A server that answers, and has it not: NRT_E_GONE. */
static int fetch(const uint8_t digest[NRT_SHORT], const struct nrt_ram *file)
{
    char name[2 * NRT_SHORT + 1];
    int rc = NRT_MORE;
    hex_of(digest, NRT_SHORT, name);
    if (memcmp(wanted, digest, NRT_SHORT) != 0 || coming.data != file->mem || coming.size != file->len) {
        memcpy(wanted, digest, NRT_SHORT);
        coming = (struct fw_series){.data = file->mem, .size = file->len};
    }
    coming.path[0] = "x";
    coming.path[1] = name;
    while (rc == NRT_MORE && coming.held < coming.size)
        rc = fw_coap_series(&coming);
    coming.path[1] = 0;
    return rc == NRT_MORE ? NRT_OK : rc;
}

static int is_open(const struct nrt_core *core) { return core->facts.target.file_size != 0 && !core->facts.restoring; }

/* The file as heartbeats brought it, where it still lies in free flash: no link is needed. */
static int from_stage(struct nrt_core *core, const struct nrt_birth *birth, struct nrt_ram ram)
{
    uint8_t digest[NRT_DIGEST];
    uint32_t used = FW_STAGE_MOST * (uint32_t)sizeof(uint16_t);
    struct fw_stage stage = {.slots = (uint16_t *)(void *)ram.mem};
    fw_stage_open(&stage);
    if (stage.size != core->facts.target.file_size || !fw_stage_whole(&stage, digest) ||
        memcmp(digest, core->facts.target.file, NRT_SHORT) != 0)
        return NRT_E_READ;
    struct nrt_file file = {&stage, stage.size, fw_stage_read, NULL};
    struct nrt_ram rest = {ram.mem + used, ram.len - used};
    struct nrt_file read;
    int rc = fw_reading(birth, &core->facts.target, &file, &read);
    return rc == NRT_OK ? nrt_resume(core, &read, rest) : rc;
}

/* By `target`'s file, in the way that fits what the state log says. A file that arrived damaged is fetched again. */
static int by_file(struct nrt_core *core, const struct nrt_birth *birth, struct nrt_ram ram, const struct nrt_target *target,
                   int same)
{
    struct nrt_ram area = {ram.mem, target->file_size};
    uint32_t used = (area.len + 7u) & ~7u;
    if (area.len > ram.len - TALK_MOST || used > ram.len - TALK_MOST)
        return NRT_E_SPACE;
    int rc = fetch(target->file, &area);
    if (rc < 0)
        return rc;
    struct fw_staged whole = {area.mem, area.len};
    struct nrt_file file = {&whole, area.len, fw_staged_read, NULL};
    struct nrt_ram rest = {ram.mem + used, ram.len - used};
    struct nrt_file read;
    coming.data = 0;
    rc = fw_reading(birth, target, &file, &read);
    if (rc < 0)
        return rc == NRT_E_DIGEST ? NRT_E_READ : rc;
    if (same)
        rc = nrt_resume(core, &read, rest);
    else if (is_open(core))
        rc = nrt_rescue(core, &read, target, rest);
    else if ((rc = nrt_prove(core, &read, target, rest)) == NRT_OK)
        rc = nrt_rewrite(core, &read, target, rest);
    return rc == NRT_E_DIGEST ? NRT_E_READ : rc;
}

/* What the server has for this bank. NRT_MORE: it is being made. */
static int ask(struct nrt_core *core, struct nrt_keys *keys, struct nrt_ram ram, struct nrt_target *target)
{
    const struct nrt_birth *birth = &keys->now;
    uint8_t *question = ram.mem + ram.len - TALK_MOST;
    uint8_t *answer = question + QUESTION_MOST;
    uint32_t len = 0;
    /* Where lists were ever taken nobody is believed before they are here again. One that is none holds up nothing. */
    if (fw_learn(keys, answer, ANSWER_MOST) == NRT_E_READ)
        return NRT_E_READ;
    int rc = nrt_question(core, birth, question, QUESTION_MOST, &len);
    if (rc < 0)
        return rc;
    struct fw_exchange x = {.method = FW_POST, .path = {"q", birth->id}, .body = question, .body_len = len, .answer = answer,
                            .room = ANSWER_MOST};
    rc = fw_coap_ask(&x);
    if (rc < 0)
        return rc;
    if (x.code == FW_UNAVAILABLE)
        return NRT_MORE;
    if (x.code != FW_CHANGED)
        return NRT_E_GONE;
    rc = nrt_answer(core, birth, answer, x.len, target);
    if (rc == NRT_OK && target->serial > core->facts.serial)
        rc = nrt_accept_serial(core, target->serial);
    return rc;
}

int fw_rescue(struct nrt_core *core, struct nrt_keys *keys, struct nrt_ram ram)
{
    struct nrt_target target;
    struct nrt_span torn = {0, 0};
    int rc = nrt_torn(core, &torn);
    if (rc < 0)
        return rc;
    if (is_open(core)) {
        /* With a sector torn this one is refused in the rehearsal, unless it owes nothing to what that sector held. */
        if (from_stage(core, &keys->now, ram) == NRT_OK)
            return NRT_OK;
        target = core->facts.target;
        rc = torn.len ? NRT_E_GONE : by_file(core, &keys->now, ram, &target, 1);
        if (rc != NRT_E_GONE)
            return rc;
    }
    rc = ask(core, keys, ram, &target);
    return rc == NRT_OK ? by_file(core, &keys->now, ram, &target, 0) : rc;
}
