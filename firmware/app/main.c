/* main.c - the application of the reference phone: begins where the boot core jumps to, sets up its RAM, and runs. */
#include <stdint.h>

#include "services.h"

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
    boot->say("application " APP_VERSION);
    if (boot->core->facts.candidate)
        boot->confirm();
    for (;;)
        boot->poll();
}
