/* main.c - the application of the reference phone: begins where the boot core jumps to, sets up its RAM, and runs. */
#include <stdint.h>

#include "board.h"
#include "gather.h"
#include "narrow.h"
#include "services.h"
#include "tenants.h"
#include "update.h"
#include "user.h"

extern uint32_t _app_data[], _app_data_end[], _app_data_load[], _app_bss[], _app_bss_end[];

void app_entry(const struct fw_services *boot) __attribute__((section(".entry"), noreturn));

/* Where an application built for the tests hangs (APP_HANG, else nowhere). */
#ifndef APP_HANG
#define APP_HANG 0
#endif
static void hang_at(int place, const struct fw_services *boot)
{
    if (place != APP_HANG)
        return;
    if (place == 6 && boot->core->facts.broken)
        return; /* it works when it is tried again */
    if (place == 4)
        ((void (*)(void))(uintptr_t)0xfffffff0u)(); /* nothing is mapped there */
    if (place == 5)
        __builtin_trap();
    for (;;) {
    }
}

/* Milliseconds between heartbeats of a phone whose files come with them; 0: it has none, and fetches what it is offered. */
#ifndef APP_HEARTBEAT_MS
#define APP_HEARTBEAT_MS 0
#endif
enum { DAY_MS = 86400000, SOON_MS = 5000 };

/* A life by heartbeats: they go out whether anything is new or not; one check-in a day, one for the ticket. */
static void live(const struct fw_services *boot, uint32_t period)
{
    static uint32_t beat;
    static uint32_t checked;
    static uint32_t wait;
    char version[33];
    if (boot->millis() - checked >= wait) {
        wait = update_gathered(boot, 0) ? DAY_MS : SOON_MS;
        checked = boot->millis();
    }
    if (boot->millis() - beat >= period) {
        beat = boot->millis();
        enum gathered came = gather_beat();
        if (came == GATHER_CALLED) {
            user_remind();
            wait = 0;
        } else if (came == GATHER_WHOLE) {
            gather_version(version, sizeof version);
            user_ask(boot, gather_stage()->program, version);
        }
    }
    if (user_consents(boot)) {
        update_gathered(boot, gather_stage());
        user_remind(); /* it was not installed: it is asked again when it is still there */
    }
}

static void run(const struct fw_services *boot) __attribute__((noreturn, noinline));

void app_entry(const struct fw_services *boot)
{
    const uint32_t *from = _app_data_load;
    for (uint32_t *to = _app_data; to < _app_data_end;)
        *to++ = *from++;
    for (uint32_t *to = _app_bss; to < _app_bss_end;)
        *to++ = 0;
    run(boot);
}

static void run(const struct fw_services *boot)
{
    uint32_t due = 0;
    uint32_t since = boot->millis();
    hang_at(1, boot);
    boot->say("application " APP_VERSION);
    hang_at(4, boot);
    hang_at(6, boot);
    tenants_start(boot);
    narrow_start(boot);
    if (APP_HEARTBEAT_MS)
        gather_start(boot);
    hang_at(2, boot);
    for (;;) {
        boot->poll();
        hang_at(3, boot);
        if (!tenants_work())
            boot->say("a tenant's memory was changed");
        if (APP_HEARTBEAT_MS) {
            live(boot, APP_HEARTBEAT_MS);
            continue;
        }
        if (boot->millis() - since < due)
            continue;
        hang_at(5, boot);
        due = update_session(boot) * 1000u;
        since = boot->millis();
    }
}
