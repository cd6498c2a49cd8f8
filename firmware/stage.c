/* stage.c - pieces in slots, written in order, each with its number and a check. It knows flash, torn programs and block hashes; it
 * must never count a piece that a power cut could take back, nor write a slot twice. Spec: docs/spec/phone.md. */
#include "stage.h"

#include <string.h>

#include "board_map.h"
#include "port.h"

enum { HEAD = 64, MARK = 8, MAGIC = 0x4e525453, START = 8, BLOCK = 4096, SLACK = 64, BLANKS = 4, LEAST = 64, MOST = 1024 };

struct head {
    uint32_t magic;
    uint8_t program[4];
    uint32_t piece;
    uint32_t check;
};

/* ---- flash or RAM -------------------------------------------------------------------------------------------------- */

static uint32_t length(const struct fw_stage *s) { return s->ram ? s->room : fw_layout.stage.len; }

static int get(const struct fw_stage *s, uint32_t at, uint8_t *data, uint32_t len)
{
    if (!s->ram)
        return fw_port.read(fw_port.ctx, fw_layout.stage.base + at, data, len);
    memcpy(data, s->ram + at, len);
    return NRT_OK;
}

/* Whole write units; cut at pages. */
static int set(const struct fw_stage *s, uint32_t at, const uint8_t *data, uint32_t len)
{
    if (s->ram) {
        memcpy(s->ram + at, data, len);
        return NRT_OK;
    }
    while (len) {
        uint32_t run = fw_layout.page - at % fw_layout.page;
        run = run < len ? run : len;
        int rc = fw_port.program(fw_port.ctx, fw_layout.stage.base + at, data, run);
        if (rc < 0)
            return rc;
        at += run;
        data += run;
        len -= run;
    }
    return NRT_OK;
}

/* The first sector first: from then on nothing of what was here counts. */
static int clear(const struct fw_stage *s)
{
    struct nrt_span sector = {0, 0};
    if (s->ram) {
        memset(s->ram, 0xff, s->room);
        return NRT_OK;
    }
    for (uint32_t at = fw_layout.stage.base; at < fw_layout.stage.base + fw_layout.stage.len; at += sector.len) {
        int rc = fw_port.erase(fw_port.ctx, at);
        if (rc < 0 || (rc = nrt_sector_of(&fw_layout, at, &sector)) < 0)
            return rc;
    }
    return NRT_OK;
}

/* ---- slots --------------------------------------------------------------------------------------------------------- */

static uint32_t slot_size(uint32_t piece)
{
    return (MARK + piece + fw_layout.write_unit - 1u) & ~(fw_layout.write_unit - 1u);
}

static uint32_t slot_at(const struct fw_stage *s, uint32_t slot) { return HEAD + slot * slot_size(s->piece); }

static uint32_t piece_len(const struct fw_stage *s, uint32_t index)
{
    return index + 1u < s->count ? s->piece : s->size - (s->count - 1u - s->begin) * s->piece;
}

static uint32_t check_of(const struct fw_stage *s, uint32_t index, const uint8_t *data, uint32_t len)
{
    return nrt_crc32(nrt_crc32(nrt_crc32(0, s->program, 4), (const uint8_t *)&index, 4), data, len);
}

/* What a slot holds: 1 a whole piece, 0 nothing, -1 a trace of one. */
static int look(const struct fw_stage *s, uint32_t slot, uint32_t *index)
{
    uint32_t mark[2];
    uint8_t part[64];
    uint32_t at = slot_at(s, slot);
    uint32_t blank = 1;
    if (get(s, at, (uint8_t *)mark, MARK) < 0)
        return -1;
    uint32_t crc = nrt_crc32(nrt_crc32(0, s->program, 4), (const uint8_t *)&mark[0], 4);
    for (uint32_t off = 0; off < s->piece; off += sizeof part) {
        uint32_t run = s->piece - off < sizeof part ? s->piece - off : sizeof part;
        if (get(s, at + MARK + off, part, run) < 0)
            return -1;
        crc = nrt_crc32(crc, part, run);
        for (uint32_t i = 0; i < run; i++)
            blank &= part[i] == fw_layout.erased;
    }
    *index = mark[0];
    return crc == mark[1] ? 1 : blank && mark[0] == 0xffffffffu && mark[1] == 0xffffffffu ? 0 : -1;
}

/* A piece into the next slot, with zeros behind a short one. */
static int put(struct fw_stage *s, uint32_t index, const uint8_t *data, uint32_t len)
{
    uint8_t chunk[256];
    uint32_t end = slot_size(s->piece);
    uint32_t mark[2] = {index, check_of(s, index, data, len)};
    uint32_t found;
    memset(chunk, 0, sizeof chunk);
    for (uint32_t more = s->piece - len; more; more -= more < sizeof chunk ? more : sizeof chunk)
        mark[1] = nrt_crc32(mark[1], chunk, more < sizeof chunk ? more : sizeof chunk);
    for (uint32_t from = 0; from < end; from += sizeof chunk) {
        uint32_t run = end - from < sizeof chunk ? end - from : sizeof chunk;
        for (uint32_t i = 0; i < run; i++) {
            uint32_t off = from + i;
            chunk[i] = off < MARK ? ((const uint8_t *)mark)[off] : off - MARK < len ? data[off - MARK] : 0;
        }
        if (set(s, slot_at(s, s->next) + from, chunk, run) < 0)
            break;
    }
    uint32_t slot = s->next++;
    if (look(s, slot, &found) != 1 || found != index)
        return NRT_E_FLASH;
    s->slots[index] = (uint16_t)slot;
    return NRT_OK;
}

/* ---- the stream ---------------------------------------------------------------------------------------------------- */

/* Where things lie in it, from its first piece. */
static int plan(struct fw_stage *s, const uint8_t *start)
{
    uint32_t told = (uint32_t)start[0] << 8 | start[1];
    uint32_t size = (uint32_t)start[2] << 24 | (uint32_t)start[3] << 16 | (uint32_t)start[4] << 8 | start[5];
    if (start[6] || start[7] || size == 0 || size > length(s))
        return NRT_E_FORMAT;
    uint32_t header = START + told + NRT_SHORT * ((size + BLOCK - 1u) / BLOCK);
    s->size = size;
    s->begin = (header + s->piece - 1u) / s->piece;
    s->count = s->begin + (size + s->piece - 1u) / s->piece;
    uint32_t places = (length(s) - HEAD) / slot_size(s->piece);
    s->places = places < FW_STAGE_MOST ? places : FW_STAGE_MOST;
    if (s->count + SLACK <= s->places)
        return NRT_OK;
    s->count = 0;
    return NRT_E_SPACE;
}

int fw_stage_stream(const struct fw_stage *s, uint32_t at, uint8_t *data, uint32_t len)
{
    while (len) {
        uint32_t index = at / s->piece;
        uint32_t off = at % s->piece;
        uint32_t run = s->piece - off < len ? s->piece - off : len;
        if (index >= s->sync || get(s, slot_at(s, s->slots[index]) + MARK + off, data, run) < 0)
            return NRT_E_READ;
        at += run;
        data += run;
        len -= run;
    }
    return NRT_OK;
}

int fw_stage_read(void *stage, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct fw_stage *s = stage;
    if (off > s->size || len > s->size - off)
        return NRT_E_READ;
    return fw_stage_stream(s, s->begin * s->piece + off, buf, len);
}

static int hash(const struct fw_stage *s, uint32_t from, uint32_t len, uint8_t out[NRT_DIGEST])
{
    struct nrt_sha256 h;
    uint8_t part[64];
    nrt_sha256_init(&h);
    for (uint32_t done = 0; done < len; done += sizeof part) {
        uint32_t run = len - done < sizeof part ? len - done : sizeof part;
        if (fw_stage_read((void *)(uintptr_t)s, from + done, part, run) < 0)
            return 0;
        nrt_sha256_add(&h, part, run);
    }
    nrt_sha256_end(&h, out);
    return 1;
}

/* The blocks that are whole, from `block` on: what is not as its hash says is wanted anew, with all behind it. */
static void judge(struct fw_stage *s, uint32_t block)
{
    uint8_t want[NRT_SHORT];
    uint8_t have[NRT_DIGEST];
    uint8_t start[START];
    if (s->sync <= s->begin || fw_stage_stream(s, 0, start, START) < 0)
        return;
    uint32_t hashes = START + ((uint32_t)start[0] << 8 | start[1]);
    for (uint32_t from = block * BLOCK; from < s->size; from += BLOCK) {
        uint32_t len = s->size - from < BLOCK ? s->size - from : BLOCK;
        uint32_t last = s->begin + (from + len + s->piece - 1u) / s->piece;
        if (last > s->sync)
            return;
        if (fw_stage_stream(s, hashes + from / BLOCK * NRT_SHORT, want, NRT_SHORT) < 0 || !hash(s, from, len, have) ||
            memcmp(want, have, NRT_SHORT) != 0)
            s->sync = s->begin + from / s->piece;
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

void fw_stage_forget(struct fw_stage *s)
{
    memset(s->program, 0, sizeof s->program);
    s->count = s->sync = s->next = s->piece = s->begin = s->size = 0;
}

static int begin(struct fw_stage *s, const uint8_t program[4], uint32_t piece, const uint8_t *start)
{
    struct head h = {MAGIC, {0, 0, 0, 0}, piece, 0};
    fw_stage_forget(s);
    s->piece = piece;
    if (plan(s, start) < 0 || clear(s) < 0) {
        fw_stage_forget(s);
        return NRT_E_SPACE;
    }
    memcpy(s->program, program, 4);
    memcpy(h.program, program, 4);
    h.check = nrt_crc32(0, (const uint8_t *)&h, sizeof h - 4u);
    uint8_t bytes[NRT_MAX_WRITE];
    memset(bytes, 0xff, sizeof bytes);
    memcpy(bytes, &h, sizeof h);
    return set(s, 0, bytes, sizeof bytes);
}

/* The pieces in the order they were written: one that comes again stands for itself and forgets those behind it. Gives the last
 * slot that is not blank, + 1. */
static uint32_t gather(struct fw_stage *s)
{
    uint32_t used = 0;
    uint32_t blanks = 0;
    uint8_t start[START];
    for (uint32_t slot = 0; slot < s->places && blanks < BLANKS; slot++) {
        uint32_t index = 0;
        int what = look(s, slot, &index);
        blanks = what == 0 ? blanks + 1u : 0;
        used = what == 0 ? used : slot + 1u;
        if (what != 1 || index > s->sync || (s->count && index >= s->count))
            continue;
        if (index == 0 && (get(s, slot_at(s, slot) + MARK, start, START) < 0 || plan(s, start) < 0))
            return 0;
        s->slots[index] = (uint16_t)slot;
        s->sync = index + 1u;
    }
    return used;
}

/* The last slot that was written may be one whose program was torn: what it holds is written once more. */
static void write_again(struct fw_stage *s, uint32_t used)
{
    uint8_t data[MOST];
    uint32_t index = s->sync - 1u;
    s->next = used + 1u; /* one that reads blank may have been begun */
    if (s->slots[index] + 1u != used)
        return;
    uint32_t len = piece_len(s, index);
    s->sync = index;
    if (s->next < s->places && get(s, slot_at(s, used - 1u) + MARK, data, len) == NRT_OK && put(s, index, data, len) == NRT_OK)
        s->sync = index + 1u;
}

void fw_stage_open(struct fw_stage *s)
{
    struct head h;
    fw_stage_forget(s);
    if (length(s) < HEAD || get(s, 0, (uint8_t *)&h, sizeof h) < 0 || h.magic != MAGIC ||
        h.check != nrt_crc32(0, (const uint8_t *)&h, sizeof h - 4u) || h.piece < LEAST || h.piece > MOST)
        return;
    memcpy(s->program, h.program, 4);
    s->piece = h.piece;
    uint32_t most = (length(s) - HEAD) / slot_size(s->piece);
    s->places = most < FW_STAGE_MOST ? most : FW_STAGE_MOST;
    uint32_t used = gather(s);
    if (!s->count || !s->sync) {
        fw_stage_forget(s);
        return;
    }
    write_again(s, used);
    judge(s, 0);
}

int fw_stage_take(struct fw_stage *s, const uint8_t program[4], uint32_t piece, uint32_t index, const uint8_t *data,
                  uint32_t len)
{
    int known = s->count && memcmp(s->program, program, 4) == 0 && s->piece == piece;
    if (!known && (index || piece < LEAST || piece > MOST || len < START || len > piece || begin(s, program, piece, data) < 0))
        return 0;
    if (index != s->sync || index >= s->count || len != piece_len(s, index))
        return 0;
    if (s->next >= s->places) {
        fw_stage_forget(s); /* used up by cuts: from the beginning */
        return 0;
    }
    if (put(s, index, data, len) < 0)
        return 0;
    s->sync++;
    uint32_t held = s->sync > s->begin ? (s->sync - s->begin) * s->piece : 0;
    judge(s, held > s->piece ? (held - s->piece) / BLOCK : 0);
    return s->sync > index;
}

int fw_stage_whole(struct fw_stage *s, uint8_t digest[NRT_DIGEST])
{
    if (!s->count || s->sync < s->count)
        return 0;
    if (hash(s, 0, s->size, digest) && memcmp(digest, s->program, 4) == 0)
        return 1;
    fw_stage_forget(s); /* blocks as their hashes say, and not the file: the header was not the server's */
    return 0;
}

uint32_t fw_stage_room(const struct fw_stage *s)
{
    uint32_t all = length(s);
    uint32_t places = all / slot_size(64u);
    if (all < HEAD + 2u * SLACK * slot_size(512u))
        return 0;
    places = places < FW_STAGE_MOST ? places : FW_STAGE_MOST;
    uint32_t bytes = all - HEAD - SLACK * slot_size(512u);
    bytes = bytes / slot_size(64u) * 64u;
    uint32_t counted = (places - SLACK) * 64u;
    bytes = bytes < counted ? bytes : counted;
    return bytes - bytes / 128u - 1024u; /* block hashes, description */
}

int fw_staged_read(void *staged, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct fw_staged *s = staged;
    if (off > s->size || len > s->size - off)
        return NRT_E_READ;
    memcpy(buf, s->data + off, len);
    return NRT_OK;
}
