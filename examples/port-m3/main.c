/* main.c - a boot core on the library: one power-up from reset to what comes next. It knows the order of calls; every judgement is
 * the core's. */
#include <string.h>

#include "chip.h"
#include "m3_map.h"
#include "mail.h"
#include "port.h"

static struct nrt_core core;
/* What a rehearsal and a rewrite are lent: nrt_need() says how much an update takes. */
static uint8_t lent[24576] __attribute__((aligned(8)));

static int staged_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    (void)ctx;
    if (off > MAIL->file_size || len > MAIL->file_size - off)
        return NRT_E_READ;
    memcpy(buf, MAIL_FILE + off, len);
    return NRT_OK;
}

static int update(const struct nrt_file *file, struct nrt_ram ram)
{
    int rc = nrt_prove(&core, file, &MAIL->target, ram);
    return rc < 0 ? rc : nrt_rewrite(&core, file, &MAIL->target, ram);
}

void m3_main(void)
{
    int fate = NRT_FATE_RESTORE;
    int rc = nrt_power_up(&core, &m3_layout, &m3_port, (int)MAIL->reset, &fate);
    struct nrt_file file = {.size = MAIL->file_size, .read = staged_read};
    struct nrt_ram ram = {lent, sizeof lent};
    if (rc == NRT_OK && fate == NRT_FATE_FETCH && file.size)
        rc = nrt_resume(&core, &file, ram);
    else if (rc == NRT_OK && fate == NRT_FATE_BOOT && MAIL->order == ORDER_UPDATE)
        rc = update(&file, ram);
    else if (rc == NRT_OK && fate == NRT_FATE_BOOT && MAIL->order == ORDER_CONFIRM)
        rc = nrt_confirm(&core);
    MAIL->result = rc;
    MAIL->fate = fate;
    MAIL->candidate = core.facts.candidate;
    memcpy(MAIL->installed, core.facts.installed.image, NRT_DIGEST);
    CHIP_DONE = 1;
    for (;;) {
    }
}
