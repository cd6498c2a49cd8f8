/* main.c - the application of the reference phone: begins where the boot core jumps to, sets up its RAM, and runs. */
#include <stdint.h>

#include "board.h"
#include "services.h"
#include "tenants.h"
#include "update.h"

extern uint32_t _app_data[], _app_data_end[], _app_data_load[], _app_bss[], _app_bss_end[];

void app_entry(const struct fw_services *boot) __attribute__((section(".entry"), noreturn));

/* Where an application built for the tests hangs (APP_HANG, else nowhere). */
#ifndef APP_HANG
#define APP_HANG 0
#endif
static void hang_at(int place)
{
    if (place != APP_HANG)
        return;
    if (place == 4)
        ((void (*)(void))(uintptr_t)0xfffffff0u)(); /* nothing is mapped there */
    if (place == 5)
        __builtin_trap();
    for (;;) {
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
    hang_at(1);
    boot->say("application " APP_VERSION);
    hang_at(4);
    tenants_start(boot);
    hang_at(2);
    for (;;) {
        boot->poll();
        hang_at(3);
        if (!tenants_work())
            boot->say("a tenant's memory was changed");
        if (boot->millis() - since < due)
            continue;
        hang_at(5);
        due = update_session(boot) * 1000u;
        since = boot->millis();
    }
}
