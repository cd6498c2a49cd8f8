/* lean.c - a boot core of the least flash (docs/how-to/port.md, "Lean"): power-up, the wire at any time, the image where it may run,
 * the rewrite, and after a cut the file again where it lies in free flash. It has no way to ask for anything by air; it must never run
 * an image that the core does not call bootable. */
#include "lean.h"

#include <string.h>

#include "air.h"
#include "board.h"
#include "board_map.h"
#include "serial.h"

/* In RAM that no start clears: whether an image was running that is not confirmed. After power was away it holds anything. */
struct note {
    uint32_t candidate;
    uint32_t check;
};
#define NOTE 0x6e6f7465u
static struct note note __attribute__((section(".noinit")));

/* Longer than that no image runs without being confirmed (R5). */
#define LONGEST_UNCONFIRMED_MS 600000u
/* What a tool has to hear the end of a restoration in. */
#define PARTING_MS 500u

static struct nrt_core core;
static struct nrt_birth birth;
static struct nrt_smp wire;
static uint8_t frame[1024];

static void note_write(uint32_t candidate)
{
    note.candidate = candidate;
    note.check = candidate ^ NOTE;
}

static void wire_put(void *ctx, const uint8_t *data, uint32_t len)
{
    (void)ctx;
    fw_serial_put(FW_WIRE, data, len);
}

static void restart(void) { fw_restart(); }

static void poll(void)
{
    if (note.candidate != 0 && fw_millis() > LONGEST_UNCONFIRMED_MS)
        fw_restart(); /* it runs, and does not get to its server: counted as a hang */
    for (int byte = fw_serial_take(FW_WIRE); byte >= 0; byte = fw_serial_take(FW_WIRE)) {
        uint8_t one = (uint8_t)byte;
        (void)nrt_smp_feed(&wire, &one, 1);
    }
    if (wire.reset) {
        note_write(0);
        fw_restart();
    }
}

/* ---- the update file: whole, and where the processor can read it ------------------------------------------------------- */

struct staged {
    const uint8_t *data;
    uint32_t size;
};

static int staged_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct staged *s = ctx;
    if (off > s->size || len > s->size - off)
        return NRT_E_READ;
    memcpy(buf, s->data + off, len);
    return NRT_OK;
}

static int update(const uint8_t *data, const struct nrt_target *target, struct nrt_ram ram)
{
    struct staged staged = {data, target->file_size};
    struct nrt_file file = {&staged, staged.size, staged_read, NULL};
    int rc = nrt_prove(&core, &file, target, ram);
    if (rc < 0)
        return rc;
    /* From here the caller's own code is erased under it: there is no way back but a restart. */
    note_write(0);
    rc = nrt_rewrite(&core, &file, target, ram);
    if (rc < 0 && core.facts.commit == 0 && core.facts.target.file_size == 0)
        return rc;
    fw_restart();
}

/* A rewrite was cut: it goes on where its file still lies at the beginning of the free flash. */
static int go_on(void)
{
    struct staged staged = {(const uint8_t *)(uintptr_t)(FW_FLASH + fw_layout.stage.base), core.facts.target.file_size};
    struct nrt_file file = {&staged, staged.size, staged_read, NULL};
    struct nrt_ram ram = {(uint8_t *)(uintptr_t)FW_APP_RAM, FW_RESCUE_RAM};
    return staged.size > fw_layout.stage.len ? NRT_E_READ : nrt_resume(&core, &file, ram);
}

static int offer(const uint8_t *data, uint32_t len, struct nrt_target *out)
{
    int rc = nrt_answer(&core, &birth, data, len, out);
    return rc == NRT_OK && out->serial > core.facts.serial ? nrt_accept_serial(&core, out->serial) : rc;
}

static int confirm(void)
{
    int rc = nrt_confirm(&core);
    if (rc == NRT_OK)
        note_write(0);
    return rc;
}

static const struct fw_lean services = {
    .magic = FW_LEAN_MAGIC,
    .size = sizeof services,
    .core = &core,
    .layout = &fw_layout,
    .birth = &birth,
    .poll = poll,
    .millis = fw_millis,
    .restart = restart,
    .send = fw_air_send,
    .take = fw_air_take,
    .offer = offer,
    .need = nrt_need,
    .update = update,
    .confirm = confirm,
};

/* ---- power-up ---------------------------------------------------------------------------------------------------------- */

static void run_image(void)
{
    typedef void (*entry)(const struct fw_lean *);
    note_write(core.facts.candidate);
    entry image = (entry)(uintptr_t)(FW_FLASH + fw_layout.bank[0].base + FW_ENTRY);
    image(&services);
    fw_restart(); /* an image that returns has given up */
}

void boot_main(void)
{
    /* A reset that RAM survived, out of an image that is not confirmed: it hung, faulted, or gave up. */
    int reset = note.check == (note.candidate ^ NOTE) && note.candidate != 0 ? NRT_RESET_FAULT : NRT_RESET_POWER;
    int fate = NRT_FATE_RESTORE;
    note_write(0);
    fw_clock_start();
    fw_serial_open(FW_WIRE);
    fw_air_open();
    int named = nrt_birth_read(&fw_layout, &fw_port, &birth) == NRT_OK;
    if (nrt_power_up(&core, &fw_layout, &fw_port, reset, &fate) < 0)
        fate = NRT_FATE_RESTORE; /* a log that takes no write: the wire still answers */
    struct nrt_ram lines = {frame, sizeof frame};
    struct nrt_ram ram = {(uint8_t *)(uintptr_t)FW_APP_RAM, FW_LEAVES * NRT_SHORT + FW_LEAF};
    nrt_smp_init(&wire, &core, named ? &birth : 0, lines, ram, fate, wire_put, 0);
    if (fate == NRT_FATE_BOOT && named)
        run_image();
    if (fate == NRT_FATE_FETCH && go_on() == NRT_OK)
        fw_restart();
    while (wire.fate != NRT_FATE_BOOT)
        poll();
    for (uint32_t since = fw_millis(); fw_millis() - since < PARTING_MS;)
        poll();
    fw_restart();
}

void boot_fault(void) { fw_restart(); }
