/* update.h - one session with the server: check in, and take what it offers. */
#ifndef APP_UPDATE_H
#define APP_UPDATE_H
#include "services.h"

/* Checks in; confirms a new image by this contact; takes an offer through all gates. Seconds until the next check-in. Does not
 * come back where the bank is rewritten. */
uint32_t update_session(const struct fw_services *boot);
/* For a phone whose files come with its heartbeats. Without a stage: checks in, says what room there is, confirms a new image; 1
 * where the server was reached. With one: checks in for the ticket of the file there and installs it; comes back with 0 where it
 * was not offered, or refused. */
int update_gathered(const struct fw_services *boot, struct fw_stage *stage);

#endif
