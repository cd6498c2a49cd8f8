/* maker.c - how a phone makes its device key (docs/spec/smp.md 5). These boards have no noise source: what is gathered is how many
 * turns of a loop fit between two ticks of the timer, which on an emulator is its host's doing. A board whose processor and timer run
 * from one crystal has none of that: it must replace fw_noise() by its chip's source, and until then a loop that never varies is
 * called dead here. */
#include "maker.h"

#include "board.h"

/* Ticks waited for (some 20 ms), and how many of them have to differ from the one before. */
enum { TICKS = 1024, VARIED = 128 };

static int noise(void *ctx, uint8_t out[32])
{
    struct nrt_sha256 hash;
    uint32_t varied = 0;
    uint32_t before = 0;
    (void)ctx;
    nrt_sha256_init(&hash);
    for (uint32_t i = 0; i < TICKS; i++) {
        uint32_t turns = 0;
        for (uint32_t now = fw_ticks(); fw_ticks() == now;)
            turns++;
        varied += turns != before;
        before = turns;
        nrt_sha256_add(&hash, (const uint8_t *)&turns, sizeof turns);
    }
    nrt_sha256_end(&hash, out);
    return varied < VARIED ? NRT_E_STATE : NRT_OK;
}

const struct nrt_maker fw_maker = {0, noise, fw_public_key};
