/* learn.h - lists of keys over the air (docs/spec/keylist.md 7). */
#ifndef FW_LEARN_H
#define FW_LEARN_H
#include "nrt_keys.h"

/* Asks the server for the lists that follow the last one taken, until it has none, and takes them; asks nobody where the factory
 * named no roots. NRT_OK; NRT_E_READ and the like: the link; else why the last one was not taken. `room` holds one list. */
int fw_learn(struct nrt_keys *k, uint8_t *room, uint32_t len);

#endif
