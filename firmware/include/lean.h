/* lean.h - what the lean boot core (firmware/lean.c) asks of its board, and what it does for the application. Later versions may only
 * add at the end of the table. */
#ifndef FW_LEAN_H
#define FW_LEAN_H
#include "nrt.h"

#define FW_LEAN_MAGIC 0x4e524c31u /* "NRL1" */

/* The board's; besides: board.h, serial.h, and the memory map as fw_layout (board_map.h). */
extern const struct nrt_port fw_port;

struct fw_lean {
    uint32_t magic;
    uint32_t size; /* of this table, bytes */
    struct nrt_core *core;
    const struct nrt_layout *layout;
    const struct nrt_birth *birth;
    /* Serves the wire with what has come; call it at least every 100 ms. */
    void (*poll)(void);
    uint32_t (*millis)(void);
    void (*restart)(void);
    /* A datagram to the modem, in its frame; the next one that came whole (0: none). */
    void (*send)(const uint8_t *data, uint32_t len);
    uint32_t (*take)(uint8_t *data, uint32_t size);
    /* Checks a ticket and its envelope, in one message (docs/spec/rescue.md 3, answer): `out` is what the terminal is to become.
     * Writes flash: the ticket's serial is used. */
    int (*offer)(const uint8_t *data, uint32_t len, struct nrt_target *out);
    /* RAM an update takes (nrt_need()). */
    uint32_t (*need)(const struct nrt_layout *l, uint32_t image_size, uint32_t file_size, uint32_t workspace, int staged_in_ram);
    /* Proves the file that lies whole at `data`, outside the bank, rewrites the bank and restarts. Comes back with the refusal only;
     * the bank is untouched then. */
    int (*update)(const uint8_t *data, const struct nrt_target *target, struct nrt_ram ram);
    /* The new image works: candidate -> confirmed. */
    int (*confirm)(void);
};

#endif
