/* fuzz_smp.c - libFuzzer target: the restoration wire. The first byte says whether the bytes behind it are the line itself, or
 * messages (a length of two bytes before each) that are framed well, whether the terminal has a name, and what state it is in. Every
 * signature holds. What is erased or programmed outside bank, scratch and log, or before the wire was open, is a finding. Build and
 * run with core/fuzz/run.sh. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smp_session.h" /* SESSION: a whole restoration; run.sh has seeds.py write it */
#include "smp_wire.h"

#define FLASH 9216u
#define BIRTH_END 1024u
#define FRAME 512u
#define LENT 4096u
#define BANK 5120u

static uint8_t flash[FLASH], whole[FLASH], wire[8192];
static uint32_t wire_len;
static int closed;   /* the terminal runs its software: nothing of the bank may go */

static const struct nrt_layout LAYOUT = {
    .region = {{0, 1024, 9}},
    .n_regions = 1,
    .bank = {{BANK, 4096}},
    .n_bank = 1,
    .birth = {0, 1024},
    .log = {{1024, 1024}, {2048, 1024}},
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

static int erase(void *ctx, uint32_t addr)
{
    if (addr < BIRTH_END || addr % 1024 || addr >= FLASH || (closed && addr >= BANK))
        abort();
    memset(flash + addr, 0xFF, 1024);
    return NRT_OK;
}

static int program(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (addr % 4 || len % 4 || addr > FLASH || len > FLASH - addr || addr / 128 != (addr + len - 1) / 128 ||
        (closed && addr >= BANK))
        abort();
    for (uint32_t i = 0; i < len; i++)
        if (flash[addr + i] != 0xFF && data[i] != 0xFF)
            abort();   /* nothing is programmed twice */
    for (uint32_t i = 0; i < len; i++)
        flash[addr + i] &= data[i];
    return NRT_OK;
}

static int yes(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len, const uint8_t *sig)
{
    return NRT_OK;
}

static void to_wire(void *ctx, const uint8_t *data, uint32_t len)
{
    if (len <= sizeof wire - wire_len)
        memcpy(wire + wire_len, data, len);
    wire_len += len <= sizeof wire - wire_len ? len : 0;
}

static void ignore(void *ctx, const uint8_t *data, uint32_t len)
{
    if (len == 0 || len > NRT_SMP_LINE)
        abort();
}

static void framed(struct nrt_smp *smp, const uint8_t *data, uint32_t len)
{
    for (uint32_t at = 0; at + 2 <= len;) {
        uint32_t n = (uint32_t)data[at] << 8 | data[at + 1];
        if (n > len - at - 2)
            n = len - at - 2;
        struct nrt_out o;
        memset(&o, 0, sizeof o);
        o.put = to_wire;
        wire_len = 0;
        nrt_out_begin(&o, n);
        nrt_out_raw(&o, data + at + 2, n);
        nrt_out_end(&o);
        (void)nrt_smp_feed(smp, wire, wire_len);
        at += 2 + n;
    }
}

static int enrolled(const struct nrt_port *port, struct nrt_birth *birth)
{
    memset(birth, 0, sizeof *birth);
    memcpy(birth->id, "t", 2);
    memcpy(birth->model, "m", 2);
    birth->n_release = 1;
    birth->release[0].alg = NRT_ES256;
    birth->release[0].len = 65;
    birth->release[0].key[0] = 4;
    return nrt_birth_write(&LAYOUT, port, birth) == NRT_OK && nrt_birth_read(&LAYOUT, port, birth) == NRT_OK;
}

static int run(const uint8_t *data, uint32_t len, int named, int raw)
{
    static const struct nrt_port port = {0, fread_flash, erase, program, yes, 0};
    struct nrt_birth birth;
    struct nrt_core core;
    struct nrt_smp smp;
    int fate = 0;
    if (named && !closed && !enrolled(&port, &birth))
        abort();
    if (named && closed && nrt_birth_read(&LAYOUT, &port, &birth) != NRT_OK)
        abort();
    uint8_t *lent = malloc(LENT), *buffer = malloc(FRAME);
    if (!lent || !buffer || nrt_power_up(&core, &LAYOUT, &port, NRT_RESET_POWER, &fate) < 0)
        abort();
    if (closed && fate != NRT_FATE_BOOT)
        abort();
    struct nrt_ram frame_ram = {buffer, FRAME}, ram = {lent, LENT};
    nrt_smp_init(&smp, &core, named ? &birth : NULL, frame_ram, ram, fate, ignore, NULL);
    if (raw)
        (void)nrt_smp_feed(&smp, data, len);
    else
        framed(&smp, data, len);
    free(lent);
    free(buffer);
    return smp.fate;
}

/* Once: a terminal that was restored, and runs. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    memset(flash, 0xFF, sizeof flash);
    if (run(SESSION, sizeof SESSION, 1, 0) != NRT_FATE_BOOT)
        abort();
    memcpy(whole, flash, sizeof flash);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 3000)
        return 0;
    closed = data[0] >> 2 & 1;
    memset(flash, 0xFF, sizeof flash);
    if (closed)
        memcpy(flash, whole, sizeof flash);
    (void)run(data + 1, (uint32_t)size - 1, !(data[0] & 2), data[0] & 1);
    return 0;
}
