/* narrow.h - the phone's side of the narrow profile: messages that nobody can forge, change or play again. */
#ifndef APP_NARROW_H
#define APP_NARROW_H
#include "services.h"

/* From now on no request shows the token; a boot core that has no guard goes on showing it, and says so on the console. */
void narrow_start(const struct fw_services *boot);
/* Whether it does: then the server is one that understands brief messages, too. */
int narrow_is_on(void);
/* Whether the server has said what it wants to see: until then whatever is asked is answered by that alone. */
int narrow_has_met(void);

#endif
