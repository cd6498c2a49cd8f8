/* board.c - serial ports, clock and restart of this chip, and its flash with a signature check beside it. It knows registers. */
#include "board.h"

#include "lean.h"
#include "port.h"
#include "serial.h"

void boot_main(void);
void m3_main(void);
int fw_verify(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len, const uint8_t *sig);

void m3_main(void) { boot_main(); }

void fw_serial_open(uint32_t port) { (void)port; }

void fw_serial_put(uint32_t port, const uint8_t *data, uint32_t len)
{
    while (len--)
        SERIAL_DATA(port) = *data++;
}

int fw_serial_take(uint32_t port) { return SERIAL_STATUS(port) != 0 ? (int)(SERIAL_DATA(port) & 0xffu) : -1; }

void fw_clock_start(void) {}

uint32_t fw_millis(void) { return CLOCK; }

void fw_restart(void)
{
    for (;;)
        RESTART = 1;
}

const struct nrt_port fw_port = {.read = flash_read, .erase = flash_erase, .program = flash_program, .verify = fw_verify};
