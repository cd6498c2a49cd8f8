/* port.h - the reference boards as the core sees them (struct nrt_port). */
#ifndef FW_PORT_H
#define FW_PORT_H
#include "nrt.h"

extern const struct nrt_port fw_port;
/* ES256 only. */
int fw_verify(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
              const uint8_t *sig);

#endif
