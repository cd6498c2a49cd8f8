/* boot.c - the boot core: power-up, the wire at any time, the image where it may run, restoration where it may not. It lies in
 * sectors that are never erased; it must never run an image that the core does not call bootable. */
#include <string.h>

#include "air.h"
#include "board.h"
#include "boot.h"
#include "coap.h"
#include "board_map.h"
#include "learn.h"
#include "maker.h"
#include "nrt_aid.h"
#include "port.h"
#include "reading.h"
#include "rescue.h"
#include "serial.h"
#include "services.h"
#include "unpack.h"
#include "watchdog.h"

/* In RAM that no start clears: why the machine starts. After power was away it holds anything. */
struct note {
    uint32_t magic;
    uint32_t running; /* enum running */
    uint32_t check;
    uint32_t starts;  /* never set, only counted: messages of two starts shall not be taken for one another */
};
#define NOTE_MAGIC 0x6e6f7465u
enum running {
    CONFIRMED = 0,
    CANDIDATE = 1, /* an image that is not confirmed was running */
    AGAIN = 2      /* one that was given up is to run once more */
};
static struct note note __attribute__((section(".noinit")));
static uint8_t kept[FW_KEPT] __attribute__((section(".noinit")));

/* T of the safety design: longer than that no image runs without being confirmed. */
#define LONGEST_UNCONFIRMED_MS 600000u
/* Milliseconds after which a phone that nobody came to tries again what never confirmed. */
#ifndef FW_AGAIN_MS
#define FW_AGAIN_MS 3600000u
#endif

static struct nrt_core core;
static struct nrt_keys keys;
static struct nrt_smp wire;
static struct nrt_aid aid;
static uint8_t frame[2048];
/* When the wire last spoke, milliseconds. */
static uint32_t heard;
/* What a restoration needs: the leaf list of a full bank, and one leaf. It only ever writes while no application runs. */
#define RESTORE_RAM ((uint8_t *)(uintptr_t)(FW_APP_RAM + FW_RESCUE_RAM))
#define RESTORE_SIZE (FW_LEAVES * NRT_SHORT + FW_LEAF)

static void wire_put(void *ctx, const uint8_t *data, uint32_t len)
{
    (void)ctx;
    fw_serial_put(FW_WIRE, data, len);
}

static void say(const char *text)
{
    fw_serial_put(FW_WIRE, (const uint8_t *)text, (uint32_t)strlen(text));
    fw_serial_put(FW_WIRE, (const uint8_t *)"\r\n", 2);
}

static void note_write(uint32_t running)
{
    note.magic = NOTE_MAGIC;
    note.running = running;
    note.check = ~(NOTE_MAGIC ^ running);
}

/* What was running or to run when the machine restarted; CONFIRMED where RAM did not survive it. */
static uint32_t note_taken(void)
{
    int whole = note.magic == NOTE_MAGIC && note.check == ~(note.magic ^ note.running);
    uint32_t running = whole ? note.running : (uint32_t)CONFIRMED;
    note_write(CONFIRMED);
    return running;
}

void boot_poll(void)
{
    if (note.running == CANDIDATE) {
        fw_watchdog_pet();
        if (fw_millis() > LONGEST_UNCONFIRMED_MS)
            fw_restart(); /* it runs, and does not get to its server: counted as a hang (R5) */
    }
    for (int byte = fw_serial_take(FW_WIRE); byte >= 0; byte = fw_serial_take(FW_WIRE)) {
        uint8_t one = (uint8_t)byte;
        heard = fw_millis();
        nrt_smp_feed(&wire, &one, 1);
    }
    if (wire.reset) {
        note_write(CONFIRMED);
        fw_restart();
    }
}

int boot_wire_busy(void) { return wire.restore.header != 0 || aid.asked || wire.reset; }

static int confirm(void)
{
    int rc = nrt_confirm(&core);
    if (rc == NRT_OK) {
        note_write(CONFIRMED);
        fw_watchdog_stop();
    }
    return rc;
}

static int in_bank(uintptr_t address)
{
    for (uint32_t i = 0; i < fw_layout.n_bank; i++)
        if (address - FW_FLASH - fw_layout.bank[i].base < fw_layout.bank[i].len)
            return 1;
    return 0;
}

/* One block of the file that RAM damaged is put right; NRT_E_DIGEST: more than one. noipa: here a debugger finds the file. */
__attribute__((noipa)) static int mend(const struct fw_whole *whole)
{
    uint32_t mended = 0;
    int rc = nrt_parity_mend(whole->data, whole->size, whole->parity, &mended);
    if (mended)
        say("boot core " FW_NAME ": a damaged block of the file was mended");
    return rc;
}

/* `whole`: 0 where the file's memory keeps its own promises. */
static int prove_and_rewrite(const struct nrt_file *file, const struct fw_whole *whole, const struct nrt_target *target,
                             struct nrt_ram ram)
{
    struct nrt_file read;
    int rc = whole ? mend(whole) : NRT_OK;
    if (rc == NRT_OK)
        rc = fw_reading(&keys.now, target, file, &read);
    if (rc == NRT_OK)
        rc = nrt_prove(&core, &read, target, ram);
    if (rc == NRT_OK && whole)
        rc = mend(whole);
    if (rc < 0)
        return rc;
    /* From here the caller's own code is erased under it: there is no way back but a restart. */
    note_write(CONFIRMED);
    fw_watchdog_stop();
    rc = nrt_rewrite(&core, &read, target, ram);
    if (rc < 0 && core.facts.commit == 0 && core.facts.target.file_size == 0)
        return rc;
    fw_restart();
}

static int update(const struct nrt_file *file, const struct nrt_target *target, struct nrt_ram ram)
{
    return in_bank((uintptr_t)file->read) ? NRT_E_ARG : prove_and_rewrite(file, 0, target, ram);
}

static int update_whole(const struct fw_whole *whole, const struct nrt_target *target, struct nrt_ram ram)
{
    struct fw_staged staged = {whole->data, whole->size};
    struct nrt_file file = {&staged, staged.size, fw_staged_read, NULL};
    return prove_and_rewrite(&file, whole, target, ram);
}

static void restart(void) { fw_restart(); }

static int learn(uint8_t *room, uint32_t len) { return fw_learn(&keys, room, len); }

#if defined(FW_DESK)
static void show(const char *text)
{
    fw_serial_put(FW_DESK, (const uint8_t *)text, (uint32_t)strlen(text));
    fw_serial_put(FW_DESK, (const uint8_t *)"\r\n", 2);
}

static int key(void) { return fw_serial_take(FW_DESK); }
#else
static void show(const char *text) { say(text); }
static int key(void) { return -1; }
#endif

const struct fw_services fw_services = {
    .magic = FW_SERVICES_MAGIC,
    .size = sizeof(struct fw_services),
    .core = &core,
    .layout = &fw_layout,
    .port = &fw_port,
    .birth = &keys.now,
    .poll = boot_poll,
    .millis = fw_millis,
    .say = say,
    .confirm = confirm,
    .update = update,
    .restart = restart,
    .ask = fw_coap_ask,
    .ask_whole = fw_coap_whole,
    .envelope_read = nrt_envelope_read,
    .gate_envelope = nrt_gate_envelope,
    .ticket_read = nrt_ticket_read,
    .gate_ticket = nrt_gate_ticket,
    .accept_serial = nrt_accept_serial,
    .bank_digest = nrt_bank_digest,
    .nonce = nrt_nonce,
    .need = nrt_need,
    .sha256_init = nrt_sha256_init,
    .sha256_add = nrt_sha256_add,
    .sha256_end = nrt_sha256_end,
    .parity_size = nrt_parity_size,
    .parity_make = nrt_parity_make,
    .staged_read = fw_staged_read,
    .stage_read = fw_stage_read,
    .stage_stream = fw_stage_stream,
    .stage_open = fw_stage_open,
    .stage_take = fw_stage_take,
    .stage_whole = fw_stage_whole,
    .stage_room = fw_stage_room,
    .beat = fw_coap_beat,
    .show = show,
    .key = key,
    .series = fw_coap_series,
    .update_whole = update_whole,
    .profiles = nrt_profiles,
    .guard = fw_coap_guard,
    .kept = kept,
    .learn = learn,
};

static void run_image(void)
{
    typedef void (*entry)(const struct fw_services *);
    note_write(core.facts.candidate ? CANDIDATE : CONFIRMED);
    if (core.facts.candidate)
        fw_watchdog_start();
    entry image = (entry)(uintptr_t)(FW_FLASH + fw_layout.bank[0].base);
    image(&fw_services);
    fw_restart(); /* an image that returns has given up */
}

/* One turn of waiting for a way out. R5: after an hour in which nobody spoke on the wire, the image that never confirmed is tried
 * again; where it hangs, nothing has changed. */
static void wait_for_help(void)
{
    boot_poll();
    int whole = core.facts.broken == NRT_WHY_UNCONFIRMED && core.facts.target.file_size == 0 && !core.facts.restoring;
    if (whole && !boot_wire_busy() && fw_millis() - heard >= FW_AGAIN_MS) {
        note_write(AGAIN);
        fw_restart();
    }
}

/* Comes back where the wire takes precedence, or where no air can help. The wire is served all the while. */
static void rescue(const char *why)
{
    say(why);
    for (uint32_t pause = 1000u;; pause = pause < 600000u ? pause * 2u : pause) {
        struct nrt_ram ram = {(uint8_t *)(uintptr_t)FW_APP_RAM, FW_RESCUE_RAM};
        int rc = fw_rescue(&core, &keys, ram);
        if (rc == NRT_OK)
            fw_restart();
        if (rc != NRT_E_READ && rc != NRT_MORE)
            return;
        pause = rc == NRT_MORE ? 1000u : pause;
        for (uint32_t since = fw_millis(); fw_millis() - since < pause;) {
            wait_for_help();
            if (boot_wire_busy())
                return;
        }
    }
}

void boot_main(void)
{
    /* A reset that RAM survived, out of an image that is not confirmed: it hung, faulted, or gave up. */
    uint32_t running = note_taken();
    int reset = running == CANDIDATE ? NRT_RESET_FAULT : NRT_RESET_POWER;
    int fate = NRT_FATE_RESTORE;
    fw_clock_start();
    fw_serial_open(FW_WIRE);
#if defined(FW_DESK)
    fw_serial_open(FW_DESK);
#endif
    fw_air_open();
    fw_coap_open(++note.starts);
    int named = nrt_birth_read(&fw_layout, &fw_port, &keys.now) == NRT_OK;
    if (nrt_power_up(&core, &fw_layout, &fw_port, reset, &fate) < 0)
        fate = NRT_FATE_RESTORE; /* a log that takes no write: the wire still answers */
    if (running == AGAIN && core.facts.broken == NRT_WHY_UNCONFIRMED)
        fate = NRT_FATE_BOOT;
    nrt_keys_begin(&keys, &core, &keys.now);
    struct nrt_ram lines = {frame, sizeof frame};
    struct nrt_ram ram = {RESTORE_RAM, RESTORE_SIZE};
    nrt_smp_init(&wire, &core, named ? &keys.now : 0, lines, ram, fate, wire_put, 0);
    wire.maker = &fw_maker;
    nrt_smp_aid(&wire, &aid, (struct nrt_ram){(uint8_t *)(uintptr_t)FW_APP_RAM, FW_RESCUE_RAM});
    if (fate == NRT_FATE_BOOT && named) {
        say(core.facts.broken ? "boot core " FW_NAME ": the image is tried again" : "boot core " FW_NAME ": the image runs");
        run_image();
    }
    nrt_smp_keys(&wire, &keys, ram); /* only now: while an application runs the RAM is its own */
    if (named && fate == NRT_FATE_FETCH)
        rescue("boot core " FW_NAME ": in mid-rewrite, the file is needed");
    else if (named && core.facts.broken == NRT_WHY_UNCONFIRMED)
        rescue("boot core " FW_NAME ": the image did not work, asking for the way back; the wire is open");
    say("boot core " FW_NAME ": restoration, the wire is open");
    while (wire.fate != NRT_FATE_BOOT)
        wait_for_help();
    say("boot core " FW_NAME ": restored");
    for (uint32_t since = fw_millis(); fw_millis() - since < 500u;)
        boot_poll(); /* the tool hears the end of it, and may ask for the restart itself */
    fw_restart();
}

void boot_fault(void)
{
    fw_restart();
}
