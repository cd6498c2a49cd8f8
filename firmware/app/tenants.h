/* tenants.h - programs of the phone that use RAM: they work, are asked to leave in order of priority, and come back. */
#ifndef APP_TENANTS_H
#define APP_TENANTS_H
#include "services.h"

void tenants_start(const struct fw_services *boot);
/* A little of every tenant's work. 0: a tenant found its memory changed by somebody else. */
int tenants_work(void);
/* Most bytes that could be freed in one piece. */
uint32_t tenants_lendable(void);
/* Asks just enough of them to leave for `size` bytes in one piece; null where even all of them are not enough. */
uint8_t *tenants_free(uint32_t size);
/* RAM behind the arena that no tenant wants: a power cut empties it. */
uint8_t *tenants_spare(uint32_t *size);
/* All come back. */
void tenants_return(void);

#endif
