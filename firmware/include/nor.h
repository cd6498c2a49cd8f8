/* nor.h - the flash of the board: Intel command set (CFI 01). Every function runs from RAM, because a chip that takes
 * commands cannot be read or executed from. */
#ifndef FW_NOR_H
#define FW_NOR_H
#include <stdint.h>

/* Both give 0, or below 0 where the chip reported a failure. Addresses are flash addresses (from 0), not processor ones.
 * A program takes whole 32-bit words that stay inside one 256-byte page; `data` may lie in flash. */
int fw_nor_erase(uint32_t at);
int fw_nor_program(uint32_t at, const uint8_t *data, uint32_t len);

#endif
