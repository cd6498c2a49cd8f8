/* port.h - this chip as the core sees it. */
#ifndef M3_PORT_H
#define M3_PORT_H
#include "nrt.h"

extern const struct nrt_port m3_port;

/* Its flash alone, for a boot core with a signature check (examples/lean-m3). */
int flash_read(void *ctx, uint32_t at, uint8_t *data, uint32_t len);
int flash_erase(void *ctx, uint32_t at);
int flash_program(void *ctx, uint32_t at, const uint8_t *data, uint32_t len);

#endif
