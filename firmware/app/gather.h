/* gather.h - what rides on the answers to heartbeats. */
#ifndef APP_GATHER_H
#define APP_GATHER_H
#include "services.h"

enum gathered { GATHER_NOTHING = 0, GATHER_NEW = 1, GATHER_WHOLE = 2, GATHER_CALLED = 3 };

/* Takes up what an earlier life of the phone gathered: in free flash where the board has some, else in RAM that no tenant
 * wants. */
void gather_start(const struct fw_services *boot);
/* One heartbeat: the download state goes up, pieces come down. */
enum gathered gather_beat(void);
/* Bytes of the largest file that finds room; `durable` says whether a power cut leaves it. */
uint32_t gather_room(int *durable);
struct fw_stage *gather_stage(void);
/* What the file becomes, from its header, for people; "" where it names none. */
void gather_version(char *text, uint32_t room);

#endif
