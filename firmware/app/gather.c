/* gather.c - the download state of a phone, and the pieces that come with the answers to its heartbeats. It knows the bytes of
 * docs/spec/trickle.md; it must never send a packet of its own, ask a tenant to leave, nor begin an update. */
#include "gather.h"

#include <string.h>

#include "board.h"
#include "cbor.h"
#include "tenants.h"
#include "token.h"

enum { VERSION = 0x40, LAST = 0x10, DATA = 0x08, CALL = 0x01, SIZES = 0x07, STATE = 12, REPLY = 8, ROOM = 1024, WAIT = 8000 };
enum { ABOUT_VERSION = 4, START = 8 };

static const struct fw_services *boot;
static struct fw_stage stage;
static uint16_t slots[FW_STAGE_MOST];
static uint8_t wanted[4]; /* the program the next heartbeat asks for; zeros: none */
static uint8_t answer[ROOM];
static const uint16_t sizes[] = {64, 128, 200, 256, 512, 1024, 2048, 4096};

static int nothing(const uint8_t program[4]) { return (program[0] | program[1] | program[2] | program[3]) == 0; }

void gather_start(const struct fw_services *services)
{
    boot = services;
    stage.slots = slots;
    if (boot->layout->stage.len == 0)
        stage.ram = tenants_spare(&stage.room);
    boot->stage_open(&stage);
    memcpy(wanted, stage.program, sizeof wanted);
}

struct fw_stage *gather_stage(void) { return &stage; }

uint32_t gather_room(int *durable)
{
    *durable = stage.ram == 0;
    return boot->stage_room(&stage);
}

static void put_state(uint8_t state[STATE])
{
    int asks = !nothing(wanted);
    uint32_t sync = asks && memcmp(stage.program, wanted, 4) == 0 ? stage.sync : 0;
    memset(state, 0, STATE);
    state[0] = VERSION;
    state[1] = (uint8_t)asks;
    memcpy(state + 2, wanted, 4);
    state[6] = (uint8_t)(sync >> 16);
    state[7] = (uint8_t)(sync >> 8);
    state[8] = (uint8_t)sync;
    state[9] = ROOM >> 8;
    state[10] = ROOM & 0xff;
}

/* Pieces, one after the other, each where it belongs; what does not fit is dropped. */
static enum gathered take(const uint8_t *data, uint32_t len)
{
    uint32_t size = sizes[data[0] & SIZES];
    uint32_t index = (uint32_t)data[5] << 16 | (uint32_t)data[6] << 8 | data[7];
    int came = 0;
    for (uint32_t at = REPLY; at < len; at += size, index++) {
        uint32_t run = len - at < size ? len - at : size;
        if (run < size && !(data[0] & LAST))
            break;
        came |= boot->stage_take(&stage, data + 1, size, index, data + at, run);
    }
    return came ? GATHER_NEW : GATHER_NOTHING;
}

enum gathered gather_beat(void)
{
    uint8_t state[STATE];
    uint8_t digest[NRT_DIGEST];
    struct fw_exchange x;
    memset(&x, 0, sizeof x);
    put_state(state);
    x.method = FW_POST;
    x.path[0] = "h";
    x.path[1] = boot->birth->id;
    x.token = token_of(boot);
    x.body = state;
    x.body_len = STATE;
    x.answer = answer;
    x.room = sizeof answer;
    /* A heartbeat that is lost is lost. */
    if (boot->beat(&x, WAIT) < 0 || x.code != FW_CHANGED || x.len < REPLY || answer[0] >> 6 != VERSION >> 6 || answer[0] & 0x20)
        return GATHER_NOTHING;
    if (!(answer[0] & DATA)) {
        if (answer[0] & CALL)
            return GATHER_CALLED;
        memcpy(wanted, answer + 1, sizeof wanted);
    }
    enum gathered came = answer[0] & DATA ? take(answer, x.len) : GATHER_NOTHING;
    if (came == GATHER_NEW)
        memcpy(wanted, stage.program, sizeof wanted);
    if (stage.count && stage.sync == stage.count && memcmp(wanted, stage.program, 4) == 0)
        return boot->stage_whole(&stage, digest) ? GATHER_WHOLE : GATHER_NOTHING;
    return came;
}

void gather_version(char *text, uint32_t room)
{
    uint8_t start[START];
    struct item version;
    text[0] = 0;
    if (boot->stage_stream(&stage, 0, start, START) < 0)
        return;
    uint32_t told = (uint32_t)start[0] << 8 | start[1];
    if (told > sizeof answer || boot->stage_stream(&stage, START, answer, told) < 0 ||
        cbor_find(answer, told, ABOUT_VERSION, &version) <= 0 || !version.data || version.len >= room)
        return;
    memcpy(text, version.data, version.len);
    text[version.len] = 0;
}
