/* rescue.c - a phone cut in its rewrite helps itself: fetches by air the file its state log names, by digest, and goes on. It
 * knows blocks and RAM that no application uses; every judgement is the core's. Source: safety design, sections 4 and 5. */
#include "rescue.h"

#include <string.h>

#include "air.h"
#include "board.h"
#include "coap.h"
#include "stage.h"

static void hex_of(const uint8_t *data, uint32_t count, char *text)
{
    for (uint32_t i = 0; i < count; i++) {
        *text++ = "0123456789abcdef"[data[i] >> 4];
        *text++ = "0123456789abcdef"[data[i] & 15u];
    }
    *text = 0;
}

static int fetch(const uint8_t digest[NRT_SHORT], struct nrt_ram *file)
{
    char name[2 * NRT_SHORT + 1];
    hex_of(digest, NRT_SHORT, name);
    for (uint32_t block = 0, held = 0; held < file->len; block++) {
        struct fw_exchange x = {.method = FW_GET, .path = {"x", name}, .block = block, .answer = file->mem + held,
                                .room = file->len - held};
        int rc = fw_coap_ask(&x);
        if (rc < 0)
            return rc;
        uint32_t wanted = file->len - held < FW_BLOCK ? file->len - held : FW_BLOCK;
        if (x.code != FW_CONTENT || x.len != wanted)
            return NRT_E_READ;
        held += x.len;
    }
    return NRT_OK;
}

/* The file as heartbeats brought it, where it still lies in free flash: no link is needed. */
static int from_stage(struct nrt_core *core, struct nrt_ram ram)
{
    uint8_t digest[NRT_DIGEST];
    uint32_t used = FW_STAGE_MOST * (uint32_t)sizeof(uint16_t);
    struct fw_stage stage = {.slots = (uint16_t *)(void *)ram.mem};
    fw_stage_open(&stage);
    if (stage.size != core->facts.target.file_size || !fw_stage_whole(&stage, digest) ||
        memcmp(digest, core->facts.target.file, NRT_SHORT) != 0)
        return NRT_E_READ;
    struct nrt_file file = {&stage, stage.size, fw_stage_read};
    struct nrt_ram rest = {ram.mem + used, ram.len - used};
    return nrt_resume(core, &file, rest);
}

int fw_rescue(struct nrt_core *core, struct nrt_ram ram)
{
    struct nrt_ram staged = {ram.mem, core->facts.target.file_size};
    if (staged.len > ram.len)
        return NRT_E_SPACE;
    if (from_stage(core, ram) == NRT_OK)
        return NRT_OK;
    int rc = fetch(core->facts.target.file, &staged);
    if (rc < 0)
        return rc;
    uint32_t used = (staged.len + 7u) & ~7u;
    struct fw_staged whole = {staged.mem, staged.len};
    struct nrt_file file = {&whole, staged.len, fw_staged_read};
    struct nrt_ram rest = {ram.mem + used, ram.len - used};
    return nrt_resume(core, &file, rest);
}
