/* watchdog.c - a timer whose interrupt restarts the machine, for images that are not confirmed yet. It knows each board's timer
 * and interrupt controller; an image that turns interrupts off escapes it (a chip with a watchdog of its own has no such gap). */
#include "watchdog.h"

#include "board.h"

#if defined(BOARD_SX1)
/* OMAP timer 2 counts down once; interrupt 30 of the first level. */
enum { CONTROL = 0x00, LOAD = 0x04, START = 0x01, PTV_SHIFT = 2, PTV = 7, CLOCK = 0x20, LINE = 30, MASKS = 0x04 };
#define TIMER 0xfffec600u
#define INTERRUPTS 0xfffecb00u

void fw_watchdog_pet(void)
{
    FW_REG32(TIMER + CONTROL) = 0;
    FW_REG32(TIMER + LOAD) = FW_WATCHDOG_MS * ((12000000u >> (PTV + 1)) / 1000u);
    FW_REG32(TIMER + CONTROL) = CLOCK | PTV << PTV_SHIFT | START;
}

void fw_watchdog_stop(void) { FW_REG32(TIMER + CONTROL) = 0; }
static void let_through(void) { FW_REG32(INTERRUPTS + MASKS) = ~(1u << LINE); }
#elif defined(BOARD_VEXPRESS_A9)
/* The second half of the SP804; interrupt 34 of the GIC. */
enum { LOAD = 0x20, CONTROL = 0x28, CLEAR = 0x2c, ENABLE = 0x80, INTERRUPT = 0x20, BITS_32 = 0x02, BY_16 = 0x04, ONCE = 0x01, LINE = 34 };
#define TIMER 0x10011000u
#define GIC_CPU 0x1e000100u
#define GIC 0x1e001000u

void fw_watchdog_pet(void)
{
    FW_REG32(TIMER + CONTROL) = 0;
    FW_REG32(TIMER + CLEAR) = 1; /* a restart leaves the last one standing */
    FW_REG32(TIMER + LOAD) = FW_WATCHDOG_MS * (1000000u / 16u / 1000u);
    FW_REG32(TIMER + CONTROL) = ENABLE | INTERRUPT | BITS_32 | BY_16 | ONCE;
}

void fw_watchdog_stop(void) { FW_REG32(TIMER + CONTROL) = 0; }

static void let_through(void)
{
    FW_REG32(GIC + 0x100u + LINE / 32u * 4u) = 1u << LINE % 32u;
    FW_REG8(GIC + 0x800u + LINE) = 1; /* to this processor */
    FW_REG32(GIC) = 1;
    FW_REG32(GIC_CPU + 0x04u) = 0xf0;
    FW_REG32(GIC_CPU) = 1;
}
#else
/* The core-local timer's comparator. */
#define NOW_LOW 0x0200bff8u
#define NOW_HIGH 0x0200bffcu
#define COMPARE 0x02004000u

static void compare(uint32_t high, uint32_t low)
{
    FW_REG32(COMPARE + 4u) = 0xffffffffu;
    FW_REG32(COMPARE) = low;
    FW_REG32(COMPARE + 4u) = high;
}

void fw_watchdog_pet(void)
{
    uint64_t now = (uint64_t)FW_REG32(NOW_HIGH) << 32 | FW_REG32(NOW_LOW);
    now += FW_WATCHDOG_MS * 10000ull;
    compare((uint32_t)(now >> 32), (uint32_t)now);
}

void fw_watchdog_stop(void) { compare(0xffffffffu, 0xffffffffu); }
static void let_through(void) {}
#endif

#if defined(__arm__)
/* In ARM state: the old Thumb set has no word for it. */
__attribute__((target("arm"), noinline)) static void allow(void)
{
    uint32_t status;
    __asm__ volatile("mrs %0, cpsr\n\tbic %0, %0, #0x80\n\tmsr cpsr_c, %0" : "=&r"(status) : : "memory");
}
#else
static void allow(void)
{
    __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrs mie, %0\n\tcsrsi mstatus, 8\n\t.option pop" : : "r"(0x80) : "memory");
}
#endif

void fw_watchdog_start(void)
{
    fw_watchdog_pet();
    let_through();
    allow();
}
