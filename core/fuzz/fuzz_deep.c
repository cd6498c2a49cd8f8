/* fuzz_deep.c - libFuzzer target: a payload behind a header that is always right, so that nearly every input reaches control
 * table, coder, prediction and the plan's own rules, not only the checks before them. The first bytes choose profile, instruction
 * set, mode, sizes and order; the rest is the coded control table and the frames. Every input is decoded twice: for an old image
 * that stays, and in place, unit after unit, where old bytes go away. Files in resume mode, and those for what a cut left of one
 * (hybrids), are met by a terminal without scratch, one sector of which may be open or one unit lost. Small images: many thousand
 * inputs for each second of the processor; the large profile, whose model alone has 3.8 MB, is linked where it is asked for
 * (run.sh). Build and run with core/fuzz/run.sh. */
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "plan.h"

#define OLD 2048u
#define GROUP 512u
#define MOST 1024u   /* bytes of the new image */

/* Of the header's flags (docs/spec/delta.md). */
#define ADDRESS 0x01u
#define APART 0x04u
#define JOINT 0x08u
#define FLOW 0x10u
#define RESUME 0x20u
#define HYBRID 0x40u
#define SLIDE 0x80u

#define BLOCK (8u << 20)   /* more than any file here may ask for */
#define GUARD 4096u

/* Bits of the input's second and fifth byte that ask for more than flags. */
#define FULL 0x40u       /* second: without an old image */
#define TURNED 0x10u     /* fifth: two units, the last one first */
#define OPEN 0x80u       /* a cut left a sector open, or took a unit */

/* With scratch: a sector is a unit. */
static const struct nrt_layout ample = {
    .region = {{0, 512, 32}},
    .n_regions = 1,
    .bank = {{4096, 4096}},
    .n_bank = 1,
    .log = {{0, 1024}, {1024, 1024}},
    .scratch = {2048, 2048},
    .write_unit = 4,
    .page = 256,
    .group = GROUP,
    .leaf = 512,
    .erased = 0xFF,
};

/* Without: a unit is two sectors. */
static const struct nrt_layout bare = {
    .region = {{0, 256, 64}},
    .n_regions = 1,
    .bank = {{4096, 4096}},
    .n_bank = 1,
    .log = {{0, 1024}, {1024, 1024}},
    .write_unit = 4,
    .page = 256,
    .group = GROUP,
    .leaf = 512,
    .erased = 0xFF,
    .resume = 1,
};

struct file {
    uint8_t data[8192];
    uint32_t size;
};

static void put(struct file *f, uint32_t byte)
{
    f->data[f->size++] = (uint8_t)byte;
}

static void put_varint(struct file *f, uint32_t value)
{
    for (; value > 0x7F; value >>= 7)
        put(f, (value & 0x7Fu) | 0x80u);
    put(f, value);
}

static void put_all(struct file *f, const uint8_t *data, uint32_t len)
{
    memcpy(f->data + f->size, data, len);
    f->size += len;
}

/* Flags that profile and sizes allow, of those the input asks for; saves have their own list. */
static uint32_t allowed(const uint8_t *ask, uint32_t profile, uint32_t old_size)
{
    uint32_t flags = ask[1] & (ADDRESS | APART | JOINT | FLOW | SLIDE);
    if ((ask[4] & RESUME) != 0)
        flags = (flags & (ADDRESS | FLOW)) | RESUME;
    if ((ask[4] & HYBRID) != 0)
        flags = (flags & (ADDRESS | JOINT | RESUME)) | HYBRID;
    if (profile < 2 || profile == 4 || (profile == 3 && old_size != 0 && (flags & APART) == 0))
        flags &= ~FLOW;
    if ((flags & APART) != 0)
        flags &= ~(JOINT | SLIDE);
    if ((flags & SLIDE) != 0)
        flags &= ~JOINT;
    return flags;
}

/* The header for what the first eight bytes ask for; how many groups follow in *frames. */
static void make_head(struct file *f, const uint8_t *ask, uint32_t control, uint32_t *frames)
{
    static const uint8_t profiles[8] = {4, 2, 1, 0, 4, 2, 5, 3};
    uint32_t profile = profiles[ask[0] & 7u];
    if ((nrt_profiles() >> profile & 1u) == 0)
        profile = 2;
    uint32_t old_size = (ask[1] & FULL) != 0 ? 0 : OLD - (ask[4] & 15u);
    uint32_t flags = allowed(ask, profile, old_size);
    uint32_t size = 1u + ((ask[2] | (uint32_t)(ask[3] & 3u) << 8) & (ask[3] < 224 ? 255u : MOST - 1u));
    uint32_t units = (size + GROUP - 1u) / GROUP;
    put_all(f, (const uint8_t *)"NRU\1", 4);
    uint32_t isa = profile < 2 ? 0 : (ask[0] >> 3 & 7u) % 6u;
    put(f, profile | isa << 4 | (profile == 3 && (ask[5] & 0x80u) != 0 ? 0x80u : 0));
    put(f, flags);
    if ((flags & ADDRESS) != 0)
        put_varint(f, (uint32_t)ask[6] << 12);
    if ((flags & FLOW) != 0)
        put_varint(f, profile == 2 || profile == 5 ? ask[7] * 8u : 0);
    put_varint(f, old_size);
    put_varint(f, size);
    if (old_size != 0)
        put_all(f, ask, 2);
    put_all(f, ask, 4);
    put(f, 9);
    put_varint(f, units);
    put_varint(f, units == 2 && (ask[4] & TURNED) != 0 ? 1 : 0);
    put_varint(f, units == 2 ? (ask[4] & TURNED) != 0 ? 3 : 2 : 0);
    if ((flags & JOINT) != 0)
        put_varint(f, 2);
    uint32_t segments = old_size == 0 ? 0 : ask[5] & 31u;
    put_varint(f, segments);
    if (segments > 0)
        put_varint(f, control);
    *frames = units;
}

static int take(void *ctx, const uint8_t *data, uint32_t len)
{
    uint32_t *left = (uint32_t *)ctx;
    if (len > *left)
        abort();   /* a unit never gives more than its bytes */
    *left -= len;
    for (uint32_t i = 0; i < len; i++)
        *(volatile const uint8_t *)(data + i);
    return NRT_OK;
}

static int read_bank(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    const struct nrt_bytes *old_image = (const struct nrt_bytes *)ctx;
    memset(buf, 0xFF, len);
    if (addr >= ample.bank[0].base && addr - ample.bank[0].base < old_image->size) {   /* the same of both */
        uint32_t off = addr - ample.bank[0].base;
        memcpy(buf, old_image->data + off, old_image->size - off < len ? old_image->size - off : len);
    }
    return NRT_OK;
}

/* What the terminal knows of the cut that the input asks for: a sector that it left open, or a unit that this file lost. */
static void take_cut(struct nrt_core *core, const uint8_t *ask, const struct nrt_header *h)
{
    core->facts.hybrid = h->hybrid != 0;
    core->facts.torn_unit = NRT_NO_UNIT;
    if ((ask[4] & OPEN) == 0)
        return;
    uint16_t unit = ask[6] & 1u;
    core->facts.torn_unit = unit;
    core->facts.torn_sector = ask[6] >> 1 & 1u;
    core->facts.resume = h->resume != 0 && h->hybrid == 0;
    core->facts.commit = core->facts.resume;
    core->log.last = (struct nrt_member){unit, 0, 3};
}

/* Exactly so much RAM as need says, guarded on both sides: one byte more is found by the sanitizer. It is one block, always of the
 * same content at first: to map megabytes for every input takes longer than to decode it. */
static struct nrt_ram lend(uint32_t len)
{
    static uint8_t block[BLOCK + 2 * GUARD];
    static uint32_t lent;
    if (len > BLOCK)
        abort();   /* the memory map is none the core takes */
    __asan_unpoison_memory_region(block + GUARD + lent, GUARD);
    lent = len;
    memset(block + GUARD, 0xBE, len);
    __asan_poison_memory_region(block, GUARD);
    __asan_poison_memory_region(block + GUARD + len, GUARD);
    return (struct nrt_ram){block + GUARD, len};
}

/* As the rehearsal decodes it: the unit at position k cannot read what is gone by then. */
static void decode(const struct file *made, struct nrt_bytes *old_image, const uint8_t *ask, int in_place)
{
    const struct nrt_layout *layout = (ask[4] & RESUME) != 0 ? &bare : &ample;
    struct nrt_bytes bytes = {made->data, made->size};
    struct nrt_file f = {&bytes, made->size, nrt_bytes_read, NULL};
    struct nrt_header h;
    if (nrt_unpack_header(layout, &f, &h) < 0)
        return;
    struct nrt_port port = {.ctx = old_image, .read = read_bank};
    struct nrt_core core = {.layout = layout, .port = &port};
    take_cut(&core, ask, &h);
    struct nrt_target target = {.image_size = h.new_size, .file_size = made->size};
    struct nrt_ram ram = lend(nrt_need(layout, h.new_size, made->size, h.workspace, 0));
    if (nrt_plan_open(&core, &f, &target, ram, h.hybrid ? NRT_ON_HYBRID : 0) == NRT_OK) {
        struct nrt_plan *p = (struct nrt_plan *)core.plan;
        int rc = NRT_OK;
        for (uint32_t k = 0; rc == NRT_OK && k < h.n_order; k++) {
            uint32_t unit = 0;
            struct nrt_span span = {0, 0};
            rc = nrt_unpack_order(p->unpack, k, &unit);
            if (rc == NRT_OK)
                rc = nrt_unit_span(layout, unit, &span);
            uint32_t left = h.new_size - span.base < span.len ? h.new_size - span.base : span.len;
            struct nrt_sink sink = {&left, take};
            p->position = in_place ? k : 0;
            if (rc == NRT_OK)
                rc = nrt_unpack_unit(p->unpack, &core, k, sink);
            if (rc == NRT_OK && left != 0)
                abort();   /* nor less */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t old_bytes[OLD];
    static struct file made;
    if (size < 10 || size > 2048)
        return -1;
    for (uint32_t i = 0; old_bytes[1] == 0 && i < OLD; i++)
        old_bytes[i] = (uint8_t)(i * 2654435761u >> (13 + (i >> 9)));
    struct nrt_bytes old_image = {old_bytes, OLD - (data[4] & 15u)};
    const uint8_t *rest = data + 10;
    uint32_t left = (uint32_t)size - 10;
    uint32_t control = data[8] < left ? data[8] : left;
    uint32_t frames;
    made.size = 0;
    make_head(&made, data, control, &frames);
    if ((data[1] & FULL) == 0 && (data[5] & 31u) != 0) {
        put_all(&made, rest, control);
        rest += control;
        left -= control;
    }
    for (uint32_t k = 0; k < frames; k++) {
        uint32_t len = k + 1 == frames ? left : left * (data[9] + 1u) / 256u;
        put_varint(&made, len);
        put_all(&made, rest, len);
        rest += len;
        left -= len;
    }
    decode(&made, &old_image, data, 0);
    if ((data[1] & FULL) == 0 && (made.data[5] & APART) == 0)
        decode(&made, &old_image, data, 1);
    return 0;
}
