/* port.c - flash of the board behind the core's port. It knows that flash is mapped where it is read; it must never write
 * into the boot core's own sector. */
#include "port.h"

#include <string.h>

#include "board.h"
#include "nor.h"

static int flash_read(void *ctx, uint32_t at, uint8_t *data, uint32_t len)
{
    (void)ctx;
    memcpy(data, (const void *)(uintptr_t)(FW_FLASH + at), len);
    return NRT_OK;
}

static int flash_erase(void *ctx, uint32_t at)
{
    (void)ctx;
    return at < FW_SECTOR || fw_nor_erase(at) < 0 ? NRT_E_FLASH : NRT_OK;
}

static int flash_program(void *ctx, uint32_t at, const uint8_t *data, uint32_t len)
{
    (void)ctx;
    return at < FW_SECTOR || fw_nor_program(at, data, len) < 0 ? NRT_E_FLASH : NRT_OK;
}

static int ready(void *ctx) { return (void)ctx, NRT_OK; }

const struct nrt_port fw_port = {
    .read = flash_read, .erase = flash_erase, .program = flash_program, .verify = fw_verify, .ready = ready};
