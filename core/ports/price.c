/* price.c - logarithms by repeated squaring, and a table of them. */
#include "price.h"

uint32_t nrt_price(uint32_t p)
{
    uint32_t bits = 0;
    uint64_t x = p;
    while (x < 32768) {
        x <<= 1;
        bits += NRT_PRICE_BIT;
    }
    x <<= 16;   /* [0.5, 1) of 2^32 */
    for (uint32_t step = NRT_PRICE_BIT / 2; step > 0; step >>= 1) {
        x = x * x >> 32;
        if (x < 0x80000000u) {
            x <<= 1;
            bits += step;
        }
    }
    return bits;
}

void nrt_prices_open(struct nrt_prices *t)
{
    for (uint32_t i = 0; i < NRT_PRICES; i++)
        t->of[i] = (uint16_t)nrt_price(i * (65536u / NRT_PRICES) + 8u);
}
