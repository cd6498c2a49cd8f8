/* price.h - what a decision costs that was thought so likely, host code: for choices and accounts, never for what is written. */
#ifndef NRT_PRICE_H
#define NRT_PRICE_H

#include <stdint.h>

#define NRT_PRICE_BIT 256u      /* prices are in 1/256 bits */
#define NRT_PRICES 4096u        /* chances priced apart */

struct nrt_prices {
    uint16_t of[NRT_PRICES];
};

/* -log2(p / 65536), 0 < p <= 65536. */
uint32_t nrt_price(uint32_t p);
void nrt_prices_open(struct nrt_prices *t);

/* The price of `bit` where P(1) is p1 of 65536. */
static inline uint32_t nrt_price_of(const struct nrt_prices *t, uint32_t p1, int bit)
{
    return t->of[(bit != 0 ? p1 : 65535u - p1) / (65536u / NRT_PRICES)];
}

#endif
