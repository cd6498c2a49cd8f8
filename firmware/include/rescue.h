/* rescue.h - the way out of an open plan by air. */
#ifndef FW_RESCUE_H
#define FW_RESCUE_H
#include "nrt.h"

/* Writes flash. Fetches facts.target.file into `ram` and resumes the rewrite with it. NRT_OK: the bank holds the target.
 * NRT_E_READ: no answer, try again later. NRT_E_STATE: the wire takes precedence. */
int fw_rescue(struct nrt_core *core, struct nrt_ram ram);

#endif
