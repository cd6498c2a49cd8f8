/* update.h - one session with the server: check in, and take what it offers. */
#ifndef APP_UPDATE_H
#define APP_UPDATE_H
#include "services.h"

/* Checks in; confirms a new image by this contact; takes an offer through all gates. Seconds until the next check-in. Does not
 * come back where the bank is rewritten. */
uint32_t update_session(const struct fw_services *boot);

#endif
