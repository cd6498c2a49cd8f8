/* air.c - framing of the line to the modem. It knows SLIP and a check; it must never know what a datagram means. */
#include "air.h"

#include <string.h>

#include "board.h"
#include "serial.h"

#if defined(FW_AIR)
enum { END = 0xc0, ESCAPE = 0xdb, ESCAPED_END = 0xdc, ESCAPED_ESCAPE = 0xdd };

static uint8_t frame[FW_AIR_MOST + 2u];
static uint32_t used;
static int escaped;
static int broken; /* too long or badly escaped: dropped up to the next END */

static uint16_t check(uint16_t crc, const uint8_t *data, uint32_t len)
{
    while (len--) {
        crc ^= (uint16_t)(*data++ << 8);
        for (int i = 0; i < 8; i++)
            crc = (uint16_t)(crc & 0x8000u ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

void fw_air_open(void) { fw_serial_open(FW_AIR); }

static void put(uint8_t byte) { fw_serial_put(FW_AIR, &byte, 1); }

static void put_escaped(uint8_t byte)
{
    if (byte == END || byte == ESCAPE) {
        put(ESCAPE);
        put(byte == END ? ESCAPED_END : ESCAPED_ESCAPE);
    } else {
        put(byte);
    }
}

void fw_air_send(const uint8_t *data, uint32_t len)
{
    uint16_t crc = check(0xffff, data, len);
    put(END);
    for (uint32_t i = 0; i < len; i++)
        put_escaped(data[i]);
    put_escaped((uint8_t)(crc >> 8));
    put_escaped((uint8_t)crc);
    put(END);
}

static uint32_t whole(uint8_t *data, uint32_t size)
{
    uint32_t len = used;
    int bad = broken || escaped || len <= 2u || len - 2u > size || check(0xffff, frame, len) != 0;
    used = 0;
    escaped = broken = 0;
    if (bad)
        return 0;
    memcpy(data, frame, len - 2u);
    return len - 2u;
}

static void keep(uint8_t byte)
{
    if (escaped) {
        broken |= byte != ESCAPED_END && byte != ESCAPED_ESCAPE;
        byte = byte == ESCAPED_END ? END : ESCAPE;
        escaped = 0;
    } else if (byte == ESCAPE) {
        escaped = 1;
        return;
    }
    if (used < sizeof frame)
        frame[used++] = byte;
    else
        broken = 1;
}

uint32_t fw_air_take(uint8_t *data, uint32_t size)
{
    for (int byte = fw_serial_take(FW_AIR); byte >= 0; byte = fw_serial_take(FW_AIR)) {
        if (byte != END) {
            keep((uint8_t)byte);
            continue;
        }
        uint32_t len = whole(data, size);
        if (len)
            return len;
    }
    return 0;
}
#else
void fw_air_open(void) {}
void fw_air_send(const uint8_t *data, uint32_t len) { (void)data, (void)len; }
uint32_t fw_air_take(uint8_t *data, uint32_t size) { return (void)data, (void)size, 0; }
#endif
