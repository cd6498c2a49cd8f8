/* token.c - the word a phone shows its server. It knows the device key through the boot core alone. */
#include "token.h"

static char token[33];

void hex(const uint8_t *data, uint32_t count, char *text)
{
    for (uint32_t i = 0; i < count; i++) {
        *text++ = "0123456789abcdef"[data[i] >> 4];
        *text++ = "0123456789abcdef"[data[i] & 15u];
    }
    *text = 0;
}

const char *token_of(const struct fw_services *boot)
{
    static const uint8_t label[NRT_SHORT] = {'n', 'e', 'u', 'r', 'a', 't', 'h', ' ', 't', 'o', 'k', 'e', 'n', 0, 0, 0};
    uint8_t half[8];
    for (uint32_t i = 0; i < 2u; i++) {
        boot->nonce(boot->birth->device_key, label, i, half);
        hex(half, sizeof half, token + 16u * i);
    }
    return token;
}
