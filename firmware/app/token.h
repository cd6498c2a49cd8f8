/* token.h - what the phone shows its server, and digests as text. */
#ifndef APP_TOKEN_H
#define APP_TOKEN_H
#include "services.h"

/* The terminal's token is derived from its device key: no place of its own, and nothing to forget. */
const char *token_of(const struct fw_services *boot);
/* 2 x count digits and a zero. */
void hex(const uint8_t *data, uint32_t count, char *text);

#endif
