/* restore_log.h - what a restoration writes into the state log. Each call that begins with note_ writes flash; a cut in it
 * leaves the log as before or as after. */
#ifndef NRT_RESTORE_LOG_H
#define NRT_RESTORE_LOG_H

#include "nrt.h"

/* Whether the wire may write: no bootable image, or a plan is open. */
int nrt_restore_allowed(const struct nrt_core *c);
/* Whether the log says that exactly this upload was begun and not finished. */
int nrt_restore_is_open(const struct nrt_core *c, const struct nrt_target *t);
/* A restoration to `t` begins: the open plan is dropped, the bank is not bootable. */
int nrt_restore_note_begin(struct nrt_core *c, const struct nrt_target *t);
int nrt_restore_note_open(struct nrt_core *c, uint32_t unit);
int nrt_restore_note_done(struct nrt_core *c, uint32_t unit);
/* The bank holds `t`, whole and judged: an unconfirmed candidate. */
int nrt_restore_note_whole(struct nrt_core *c, const struct nrt_target *t);

#endif
