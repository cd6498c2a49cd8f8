/* app.c - the application in the bank: it does what the rig orders, through the boot core's table alone. Two versions of it are what
 * an update has to do with. */
#include "board.h"
#include "lean.h"
#include "post.h"

static int update(const struct fw_lean *boot)
{
    struct nrt_target target;
    struct nrt_ram ram = {(uint8_t *)(uintptr_t)POST->ram, POST->ram_len};
    int rc = boot->offer(POST_OFFER, POST->offer_len, &target);
    return rc < 0 ? rc : boot->update((const uint8_t *)(uintptr_t)POST->file, &target, ram);
}

/* A datagram that comes goes back. */
static int echo(const struct fw_lean *boot)
{
    uint8_t data[64];
    uint32_t len = 0;
    while (len == 0)
        len = boot->take(data, sizeof data);
    boot->send(data, len);
    return (int)len;
}

__attribute__((section(".entry"), used)) void app(const struct fw_lean *boot)
{
    POST->version = APP_VERSION;
    switch (POST->order) {
    case ORDER_UPDATE:
        POST->result = update(boot);
        break;
    case ORDER_CONFIRM:
        POST->result = boot->confirm();
        break;
    case ORDER_HANG:
        return;
    case ORDER_ECHO:
        POST->result = echo(boot);
        break;
    default:
        break;
    }
    CHIP_DONE = 1;
    for (;;)
        boot->poll();
}
