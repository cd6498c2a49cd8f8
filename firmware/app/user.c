/* user.c - a line on the screen and two keys. It knows what was asked and what was said; a "no" is respected until it is old or
 * somebody reminds, and nothing is ever taken for a "yes". */
#include "user.h"

#include <string.h>

enum { YES = '1', NO = '2' };
#ifndef APP_ASK_AGAIN_MS
#define APP_ASK_AGAIN_MS 86400000u
#endif

static uint8_t asked[4]; /* about this file; zeros: about none */
static int refused;
static uint32_t since;

void user_remind(void)
{
    memset(asked, 0, sizeof asked);
    refused = 0;
}

void user_ask(const struct fw_services *boot, const uint8_t program[4], const char *version)
{
    if (refused && boot->millis() - since > APP_ASK_AGAIN_MS)
        user_remind();
    if (memcmp(asked, program, sizeof asked) == 0)
        return;
    memcpy(asked, program, sizeof asked);
    refused = 0;
    boot->show("New software is here:");
    boot->show(version);
    boot->show("Restart and install it?  1 yes  2 no");
}

int user_consents(const struct fw_services *boot)
{
    static const uint8_t nothing[4];
    for (int key = boot->key(); key >= 0; key = boot->key()) {
        if (refused || memcmp(asked, nothing, sizeof asked) == 0)
            continue; /* a key that nobody asked for */
        if (key == YES)
            return 1;
        if (key == NO) {
            refused = 1;
            since = boot->millis();
            boot->show("Not now.");
        }
    }
    return 0;
}
