/* board.h - this chip as firmware/lean.c and firmware/air.c see it: where flash, RAM and serial ports lie. */
#ifndef FW_BOARD_H
#define FW_BOARD_H
#include <stdint.h>

#include "chip.h"

#define FW_FLASH FLASH_AT
#define FW_ENTRY 1u
#define FW_WIRE WIRE_AT
#define FW_AIR AIR_AT
/* Behind the boot core's own RAM and the rig's mailbox: what the application has, and a rewrite is lent. */
#define FW_APP_RAM 0x20020000u
#define FW_RESCUE_RAM 0x8000u

void fw_clock_start(void);
uint32_t fw_millis(void);
void fw_restart(void) __attribute__((noreturn));

#endif
