/* port.c - the five functions the core asks of a chip (struct nrt_port). It knows the controller's registers; it must never decide
 * what is erased. */
#include <string.h>

#include "chip.h"
#include "m3_map.h"
#include "port.h"

/* A chip that is busy cannot be fetched from: what waits for it lies in RAM, and is called by absolute address. */
#ifndef IN_RAM
#define IN_RAM __attribute__((section(".ramtext"), noinline, long_call))
#endif

IN_RAM static int obey(uint32_t command, uint32_t at)
{
    FLASH_ADDRESS = at;
    FLASH_COMMAND = command;
    while (FLASH_STATUS & BUSY) {
    }
    return FLASH_STATUS & FAILED ? NRT_E_FLASH : NRT_OK;
}

int flash_read(void *ctx, uint32_t at, uint8_t *data, uint32_t len)
{
    (void)ctx;
    FLASH_ECC = 0;
    memcpy(data, (const void *)(FLASH_AT + at), len);
    return FLASH_ECC ? NRT_E_TORN : NRT_OK;
}

int flash_erase(void *ctx, uint32_t at)
{
    (void)ctx;
    return obey(ERASE, at);
}

int flash_program(void *ctx, uint32_t at, const uint8_t *data, uint32_t len)
{
    (void)ctx;
    for (uint32_t i = 0; i < len; i += 4u) {
        uint32_t word;
        memcpy(&word, data + i, sizeof word); /* before the chip is busy: `data` may lie in it */
        FLASH_LATCH[i / 4u] = word;
    }
    FLASH_LENGTH = len;
    return obey(PROGRAM, at);
}

/* With an elliptic-curve library of your own; firmware/es256.c does it with BearSSL. */
static int verify(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
                  const uint8_t *sig)
{
    (void)ctx, (void)alg, (void)key, (void)key_len, (void)msg, (void)msg_len, (void)sig;
    return NRT_E_TRUST;
}

/* Gate G6: the battery is good, the watchdog is set, nobody uses the memory that was lent. */
static int ready(void *ctx)
{
    (void)ctx;
    return NRT_OK;
}

const struct nrt_port m3_port = {
    .read = flash_read, .erase = flash_erase, .program = flash_program, .verify = verify, .ready = ready};
