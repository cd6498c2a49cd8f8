/* board.h - what differs between the reference boards: where flash, RAM and serial ports lie, how the flash chips are wired,
 * and how time passes and a restart is asked for. One block a board; everything else of the firmware is the same source. */
#ifndef FW_BOARD_H
#define FW_BOARD_H
#ifndef FW_NUMBERS /* a linker script reads the numbers alone */
#include <stdint.h>
#endif

#define FW_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define FW_REG16(address) (*(volatile uint16_t *)(uintptr_t)(address))
#define FW_REG8(address) (*(volatile uint8_t *)(uintptr_t)(address))

/* How a 32-bit access reaches the flash: one chip of 32 bits, or two of 16 side by side, each of which must hear every
 * command and answer every status. */
#define FW_ONE_CHIP(command) ((uint32_t)(command))
#define FW_TWO_CHIPS(command) ((uint32_t)(command) << 16 | (uint32_t)(command))

#if defined(BOARD_SX1) /* qemu-system-arm -M sx1: Siemens SX1, a mobile phone (OMAP310) */
#define FW_FLASH 0x00000000u
#define FW_SECTOR 0x20000u
#define FW_NOR(command) FW_ONE_CHIP(command)
#define FW_RAM 0x10000000u
#define FW_UART_16550_SHIFT 2
#define FW_WIRE 0xfffb0000u
#define FW_AIR 0xfffb0800u
#define FW_DESK 0xfffb9800u
#define FW_NAME "sx1"
#elif defined(BOARD_VEXPRESS_A9) /* qemu-system-arm -M vexpress-a9 */
#define FW_FLASH 0x00000000u
#define FW_SECTOR 0x40000u
#define FW_NOR(command) FW_TWO_CHIPS(command)
#define FW_RAM 0x60000000u
#define FW_UART_PL011
#define FW_WIRE 0x10009000u
#define FW_AIR 0x1000a000u
#define FW_DESK 0x1000b000u
#define FW_NAME "vexpress-a9"
#elif defined(BOARD_VIRT_RV32) /* qemu-system-riscv32 -M virt -bios none; one serial port: wire, no air */
#define FW_FLASH 0x20000000u
#define FW_SECTOR 0x40000u
#define FW_NOR(command) FW_TWO_CHIPS(command)
#define FW_RAM 0x80000000u
#define FW_UART_16550_SHIFT 0
#define FW_WIRE 0x10000000u
#define FW_NAME "virt-rv32"
#else
#error "no such board"
#endif

/* RAM: the boot core's own first, then what the application may use. */
#define FW_BOOT_RAM_SIZE 0x10000u
#define FW_APP_RAM (FW_RAM + FW_BOOT_RAM_SIZE)
#define FW_RESCUE_RAM 0x180000u /* what a rescue may use of it, while no application runs */
/* Added to the address of the image's first instruction: 1 on a processor that knows Thumb code alone. */
#define FW_ENTRY 0u

#ifndef FW_NUMBERS
void fw_clock_start(void);
/* Milliseconds since fw_clock_start(); wraps after 49 days. */
uint32_t fw_millis(void);
/* The counter behind it, as it runs. */
uint32_t fw_ticks(void);
/* Resets the machine as its own reset line would; does not come back. RAM keeps its contents. */
void fw_restart(void) __attribute__((noreturn));
#endif

#endif
