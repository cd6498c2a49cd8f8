/* chip.h - what this processor has: flash that is read where it is mapped, and a controller that erases and programs it. */
#ifndef M3_CHIP_H
#define M3_CHIP_H
#include <stdint.h>

#define FLASH_AT 0x08000000u
#define REGISTER(offset) (*(volatile uint32_t *)(0x40000000u + (offset)))
#define FLASH_COMMAND REGISTER(0x00u) /* ERASE or PROGRAM what ADDRESS names */
#define FLASH_ADDRESS REGISTER(0x04u) /* from the beginning of flash */
#define FLASH_LENGTH REGISTER(0x08u)  /* bytes of the page latch that are programmed */
#define FLASH_STATUS REGISTER(0x0cu)
#define CHIP_DONE REGISTER(0x10u)     /* ends this power-up: its place in the mailbox is filled */
#define FLASH_ECC REGISTER(0x1000u)   /* not 0: since it was last cleared, a read could not be corrected */
#define FLASH_LATCH ((volatile uint32_t *)0x40001100u)
/* Two serial ports: a byte that is written goes out; STATUS is not 0 where a byte has come. */
#define WIRE_AT 0x20u
#define AIR_AT 0x28u
#define SERIAL_DATA(port) REGISTER(port)
#define SERIAL_STATUS(port) REGISTER((port) + 4u)
#define CLOCK REGISTER(0x30u)         /* milliseconds */
#define RESTART REGISTER(0x34u)       /* a store resets the chip; RAM keeps what it held */
enum { ERASE = 1, PROGRAM = 2 };
enum { BUSY = 1, FAILED = 2 };

#endif
