/* serial.c - the two kinds of serial port of the reference boards. It knows registers; it must never wait for a byte. */
#include "serial.h"

#include "board.h"

#if defined(FW_UART_PL011)
enum { DATA = 0x00, FLAGS = 0x18, LINE = 0x2c, CONTROL = 0x30, FULL = 0x20, EMPTY = 0x10 };

void fw_serial_open(uint32_t port)
{
    FW_REG32(port + CONTROL) = 0;
    FW_REG32(port + LINE) = 0x70; /* 8 bits, FIFOs on */
    FW_REG32(port + CONTROL) = 0x301;
}

static void put(uint32_t port, uint8_t byte)
{
    while (FW_REG32(port + FLAGS) & FULL) {
    }
    FW_REG32(port + DATA) = byte;
}

int fw_serial_take(uint32_t port)
{
    return FW_REG32(port + FLAGS) & EMPTY ? -1 : (int)(FW_REG32(port + DATA) & 0xffu);
}
#else
#define REGISTER(port, index) FW_REG8((port) + ((uint32_t)(index) << FW_UART_16550_SHIFT))
enum { DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE = 3, STATUS = 5, SPACE = 0x20, THERE = 0x01 };

void fw_serial_open(uint32_t port)
{
    REGISTER(port, LINE) = 3; /* 8 bits */
    REGISTER(port, FIFO) = 1;
    REGISTER(port, INTERRUPTS) = 0;
}

static void put(uint32_t port, uint8_t byte)
{
    while (!(REGISTER(port, STATUS) & SPACE)) {
    }
    REGISTER(port, DATA) = byte;
}

int fw_serial_take(uint32_t port)
{
    return REGISTER(port, STATUS) & THERE ? (int)REGISTER(port, DATA) : -1;
}
#endif

void fw_serial_put(uint32_t port, const uint8_t *data, uint32_t len)
{
    while (len--)
        put(port, *data++);
}
