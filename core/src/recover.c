/* recover.c - power-up: the only way back in, a pure function of the flash (docs/spec/statelog.md 6). It knows the recovery
 * table R0 to R5; it must never boot a bank that an open plan has touched. */
#include <string.h>

#include "statelog.h"

static int begin(struct nrt_core *c, const struct nrt_layout *l, const struct nrt_port *p)
{
    memset(c, 0, sizeof *c);
    c->layout = l;
    c->port = p;
    return nrt_layout_check(l);
}

int nrt_provision(struct nrt_core *c, const struct nrt_layout *l, const struct nrt_port *p, const struct nrt_image *now)
{
    int rc = begin(c, l, p);
    if (rc < 0)
        return rc;
    if (nrt_log_mount(c) == NRT_OK)
        return NRT_E_STATE; /* a second time would forget floor, serial and an open plan */
    if (now != NULL && now->size != 0) {
        c->facts.installed = *now;
        c->facts.confirmed = *now;
    } else {
        c->facts.broken = NRT_WHY_BLANK;
    }
    return nrt_log_create(c);
}

/* R0 and R2: a commit was open. Its sectors that are not recorded as done are erased again, whatever they read. */
static int finish(struct nrt_core *c)
{
    int rc = nrt_log_settle(c);
    if (rc == NRT_OK)
        rc = nrt_finish_commit(c);
    if (rc == NRT_E_FLASH || rc == NRT_E_TORN)
        rc = nrt_log_broken(c, NRT_WHY_FLASH);
    return rc;
}

static int recover_plan(struct nrt_core *c)
{
    int rc = NRT_OK;
    if (c->facts.commit == 0 && c->facts.hybrid)
        return NRT_OK; /* begun on what a cut had left: there is no old image to boot */
    if (c->facts.commit == 0) {
        nrt_drop_plan(c);
        return NRT_OK;
    }
    if (c->facts.commit > c->facts.done && c->facts.resume)
        return NRT_OK; /* what the open sector was to hold is gone with the RAM: a resume delta brings it */
    if (c->facts.commit > c->facts.done)
        rc = finish(c);
    if (rc == NRT_OK && !c->facts.broken && c->facts.done >= c->log.units) {
        rc = nrt_judge(c);
        rc = rc == NRT_E_DIGEST || rc == NRT_E_TORN ? NRT_OK : rc;
    }
    return rc;
}

/* R5: only boots that ended by a fault count. */
static int count_boot(struct nrt_core *c, int reset)
{
    int rc = NRT_OK;
    if (!c->facts.candidate || c->facts.broken || c->facts.commit != 0 || c->facts.hybrid)
        return NRT_OK;
    if (reset == NRT_RESET_FAULT && c->facts.boots < NRT_MAX_BOOTS)
        rc = nrt_log_boots(c, c->facts.boots + 1u);
    if (rc == NRT_OK && c->facts.boots >= NRT_MAX_BOOTS)
        rc = nrt_log_broken(c, NRT_WHY_UNCONFIRMED);
    return rc;
}

static int fate_of(struct nrt_core *c)
{
    if (c->facts.restoring && !c->facts.broken)
        c->facts.broken = NRT_WHY_RESTORE;
    if (c->facts.broken)
        return NRT_FATE_RESTORE;
    return c->facts.commit != 0 || c->facts.hybrid ? NRT_FATE_FETCH : NRT_FATE_BOOT;
}

int nrt_power_up(struct nrt_core *c, const struct nrt_layout *l, const struct nrt_port *p, int reset, int *fate)
{
    int rc = begin(c, l, p);
    *fate = NRT_FATE_RESTORE;
    if (rc < 0)
        return rc;
    rc = nrt_log_mount(c);
    if (rc == NRT_E_STATE) {
        c->facts.broken = NRT_WHY_BLANK;
        return NRT_OK;
    }
    if (rc == NRT_OK && !c->facts.restoring && c->facts.target.file_size != 0)
        rc = recover_plan(c);
    if (rc == NRT_OK)
        rc = count_boot(c, reset);
    if (rc == NRT_OK)
        *fate = fate_of(c);
    return rc;
}
