/* main.c - the application of the reference phone: begins where the boot core jumps to, sets up its RAM, and runs. */
#include <stdint.h>

#include "board.h"
#include "services.h"
#include "tenants.h"
#include "update.h"

extern uint32_t _app_data[], _app_data_end[], _app_data_load[], _app_bss[], _app_bss_end[];

void app_entry(const struct fw_services *boot) __attribute__((section(".entry"), noreturn));

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
    boot->say("application " APP_VERSION);
    tenants_start(boot);
    for (;;) {
        boot->poll();
        if (!tenants_work())
            boot->say("a tenant's memory was changed");
        if (boot->millis() - since < due)
            continue;
        due = update_session(boot) * 1000u;
        since = boot->millis();
    }
}
