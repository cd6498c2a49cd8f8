/* boot.h - what the boot core's own parts ask of it. */
#ifndef FW_BOOT_H
#define FW_BOOT_H

/* Serves the wire with what has come. */
void boot_poll(void);
/* A restoration has begun over the wire: it takes precedence over everything by air. */
int boot_wire_busy(void);

#endif
