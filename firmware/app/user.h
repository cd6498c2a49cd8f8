/* user.h - the user of the phone: told, asked, heeded. */
#ifndef APP_USER_H
#define APP_USER_H
#include "services.h"

/* New software is here and waits. Asks on the screen, unless "no" was said to this file a short while ago. */
void user_ask(const struct fw_services *boot, const uint8_t program[4], const char *version);
/* Whatever was said: it may be asked again. */
void user_remind(void);
/* The user said yes: once. */
int user_consents(const struct fw_services *boot);

#endif
