/* maker.h - what this board makes its device key with. */
#ifndef FW_MAKER_H
#define FW_MAKER_H
#include "nrt.h"

extern const struct nrt_maker fw_maker;
/* The point of P-256 that belongs to this scalar. */
int fw_public_key(void *ctx, const uint8_t seed[32], struct nrt_key *out);

#endif
