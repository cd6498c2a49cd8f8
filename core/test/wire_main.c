/* wire_main.c - gives hostile messages to the restoration responder, where a sanitizer watches. Its port says yes to every
 * signature, so that the code behind it is reached too.
 * Usage: wire_main SEED ROUNDS FLASH MESSAGES : FLASH is the whole flash of a terminal on the layout below; MESSAGES is a
 * good session, each message with its length before it (2 bytes, big-endian). Prints how many sessions restored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smp_wire.h"

#define FLASH 65536u
#define FRAME 512u
#define LENT 4096u

static uint8_t good[FLASH], flash[FLASH], session[FLASH], mutated[FLASH], wire[2 * FLASH];
static uint32_t wire_len, state;

static const struct nrt_layout LAYOUT = {.region = {{0, 1024, 9}}, .n_regions = 1, .bank = {{5120, 4096}}, .n_bank = 1,
    .birth = {0, 1024}, .log = {{1024, 1024}, {2048, 1024}}, .scratch = {3072, 2048}, .write_unit = 4, .page = 128,
    .group = 1024, .leaf = 512, .erased = 0xFF};

static uint32_t dice(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static int fread_flash(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    if (addr > FLASH || len > FLASH - addr)
        abort();
    memcpy(buf, flash + addr, len);
    return NRT_OK;
}

static int erase(void *ctx, uint32_t addr)
{
    if (addr < 1024 || addr % 1024 || addr >= 9216)
        abort();
    memset(flash + addr, 0xFF, 1024);
    return NRT_OK;
}

static int program(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (addr % 4 || len % 4 || addr + len > 9216 || addr / 128 != (addr + len - 1) / 128)
        abort();
    for (uint32_t i = 0; i < len; i++)
        if (flash[addr + i] != 0xFF && data[i] != 0xFF)
            abort();
    memcpy(flash + addr, data, len);
    return NRT_OK;
}

static int yes(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
               const uint8_t *sig)
{
    return NRT_OK;
}

static void to_wire(void *ctx, const uint8_t *data, uint32_t len)
{
    if (wire_len + len <= sizeof wire)
        memcpy(wire + wire_len, data, len);
    wire_len += len;
}

static void ignore(void *ctx, const uint8_t *data, uint32_t len)
{
    if (len == 0 || len > NRT_SMP_LINE)
        abort();
}

/* Every length field is kept as it is, every frame gets a good check: what is mutated is what the responder reads. */
static void frame(const uint8_t *message, uint32_t len)
{
    struct nrt_out o;
    memset(&o, 0, sizeof o);
    o.put = to_wire;
    nrt_out_begin(&o, len);
    nrt_out_raw(&o, message, len);
    nrt_out_end(&o);
}

static int run(const uint8_t *messages, uint32_t len, int nameless)
{
    struct nrt_port port = {0, fread_flash, erase, program, yes, 0};
    struct nrt_birth birth;
    struct nrt_core core;
    struct nrt_smp smp;
    int fate = 0;
    uint8_t *lent = malloc(LENT), *buffer = malloc(FRAME);
    memcpy(flash, good, FLASH);
    if (!lent || !buffer || nrt_power_up(&core, &LAYOUT, &port, NRT_RESET_POWER, &fate) != NRT_OK ||
        nrt_birth_read(&LAYOUT, &port, &birth) != NRT_OK)
        exit(2);
    struct nrt_ram frame_ram = {buffer, FRAME}, ram = {lent, LENT};
    nrt_smp_init(&smp, &core, nameless ? NULL : &birth, frame_ram, ram, fate, ignore, NULL);
    for (uint32_t at = 0; at + 2 <= len;) {
        uint32_t n = (uint32_t)messages[at] << 8 | messages[at + 1];
        if (n > len - at - 2)
            break;
        wire_len = 0;
        frame(messages + at + 2, n);
        if (wire_len <= sizeof wire)
            (void)nrt_smp_feed(&smp, wire, wire_len);
        at += 2 + n;
    }
    free(lent);
    free(buffer);
    return smp.fate == NRT_FATE_BOOT;
}

static uint32_t load(const char *path, uint8_t *to)
{
    FILE *in = fopen(path, "rb");
    size_t n = in ? fread(to, 1, FLASH, in) : 0;
    if (in)
        fclose(in);
    return (uint32_t)n;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    state = (uint32_t)strtoul(argv[1], NULL, 10) | 1u;
    uint32_t rounds = (uint32_t)strtoul(argv[2], NULL, 10), restored = 0;
    memset(good, 0xFF, FLASH);
    uint32_t len = load(argv[4], session);
    if (load(argv[3], good) == 0 || len == 0)
        return 2;
    int whole = run(session, len, 0);
    for (uint32_t i = 0; i < rounds; i++) {
        memcpy(mutated, session, len);
        for (uint32_t k = dice() % 4 + 1; k > 0; k--) {
            /* Most of it at the start of a message, where the structure is. */
            uint32_t at = 0;
            for (uint32_t skip = dice() % 12; skip > 0 && at + 2 < len; skip--)
                at += 2u + ((uint32_t)session[at] << 8 | session[at + 1]);
            at = at + 2 + dice() % (dice() % 3 ? 48 : 400);
            if (at < len)
                mutated[at] = (uint8_t)(dice() % 3 ? mutated[at] ^ (1u << dice() % 8) : dice());
        }
        restored += (uint32_t)run(mutated, len, dice() % 8 == 0);
    }
    for (uint32_t i = 0; i < rounds; i++) { /* and plain noise, framed well */
        uint32_t n = dice() % 400 + 2;
        for (uint32_t k = 0; k < n; k++)
            mutated[k] = (uint8_t)dice();
        mutated[0] = (uint8_t)((n - 2) >> 8);
        mutated[1] = (uint8_t)(n - 2);
        (void)run(mutated, n, 0);
    }
    printf("whole %d mutated %u of %u\n", whole, restored, rounds);
    return 0;
}
