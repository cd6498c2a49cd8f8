/* clock.c - time and restart of the reference boards. It knows one free-running counter a board; it must never be asked what
 * time of day it is. */
#include "board.h"

#if defined(BOARD_SX1)
/* OMAP timer 1 counts down at 12 MHz, divided by 2 to the power PTV + 1. */
enum { CONTROL = 0x00, LOAD = 0x04, VALUE = 0x08, START = 0x01, RELOAD = 0x02, PTV_SHIFT = 2, PTV = 7, CLOCK = 0x20 };
#define TIMER 0xfffec500u
#define RESET_CONTROL 0xfffece10u
#define TICKS_PER_SECOND (12000000u >> (PTV + 1))

void fw_clock_start(void)
{
    FW_REG32(TIMER + LOAD) = 0xffffffffu;
    FW_REG32(TIMER + CONTROL) = CLOCK | PTV << PTV_SHIFT | RELOAD | START;
}

uint32_t fw_ticks(void) { return ~FW_REG32(TIMER + VALUE); }
static void reset_line(void) { FW_REG16(RESET_CONTROL) = 9; }
#elif defined(BOARD_VEXPRESS_A9)
/* SP804: counts down at 1 MHz, divided by 16 here. */
enum { LOAD = 0x00, VALUE = 0x04, CONTROL = 0x08, ENABLE = 0x80, BITS_32 = 0x02, BY_16 = 0x04 };
#define TIMER 0x10011000u
#define TICKS_PER_SECOND (1000000u / 16u)

void fw_clock_start(void)
{
    FW_REG32(TIMER + LOAD) = 0xffffffffu;
    FW_REG32(TIMER + CONTROL) = ENABLE | BITS_32 | BY_16;
}

uint32_t fw_ticks(void) { return ~FW_REG32(TIMER + VALUE); }
static void reset_line(void) { FW_REG32(0x100000a4u) = 0xc0900000u; } /* system configuration: start, write, reboot */
#else
/* The core-local timer counts up at 10 MHz. */
#define TICKS_PER_SECOND (10000000u >> 8)

void fw_clock_start(void) {}

uint32_t fw_ticks(void)
{
    uint32_t high;
    uint32_t low;
    do {
        high = FW_REG32(0x0200bffcu);
        low = FW_REG32(0x0200bff8u);
    } while (high != FW_REG32(0x0200bffcu));
    return low >> 8 | high << 24;
}

static void reset_line(void) { FW_REG32(0x00100000u) = 0x7777u; }
#endif

uint32_t fw_millis(void)
{
    uint32_t ticks = fw_ticks(); /* in two steps: a division of 64 bits is 0.7 KB of the boot core */
    return ticks / TICKS_PER_SECOND * 1000u + ticks % TICKS_PER_SECOND * 1000u / TICKS_PER_SECOND;
}

void fw_restart(void)
{
    reset_line();
    for (;;) {
    }
}
