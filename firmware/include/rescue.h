/* rescue.h - the way out by air, of an open plan and of an image that does not work. */
#ifndef FW_RESCUE_H
#define FW_RESCUE_H
#include "nrt_keys.h"

/* Writes flash. While a plan is open: on to its target, by its own file or by one made for what the bank holds. Else, after an
 * image that did not confirm: back to the one before. NRT_OK: the bank holds an image that may run. NRT_E_READ: no answer, try
 * again later. NRT_MORE: the server makes the file, try again soon. NRT_E_STATE: the wire takes precedence. */
int fw_rescue(struct nrt_core *core, struct nrt_keys *keys, struct nrt_ram ram);

#endif
