/* air.h - datagrams over the serial line to the modem: SLIP framing (RFC 1055) with a CRC-16 behind the bytes. */
#ifndef FW_AIR_H
#define FW_AIR_H
#include <stdint.h>

#define FW_AIR_MOST 1280u /* bytes of the longest datagram */

void fw_air_open(void);
void fw_air_send(const uint8_t *data, uint32_t len);
/* The next whole datagram that fits `size`: its bytes, or 0. Damaged ones are dropped without a word. */
uint32_t fw_air_take(uint8_t *data, uint32_t size);

#endif
