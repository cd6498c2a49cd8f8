/* serial.h - the board's serial ports, polled. */
#ifndef FW_SERIAL_H
#define FW_SERIAL_H
#include <stdint.h>

void fw_serial_open(uint32_t port);
void fw_serial_put(uint32_t port, const uint8_t *data, uint32_t len);
/* The next byte that has come, or -1. */
int fw_serial_take(uint32_t port);

#endif
