/* mail.h - where the application, here: the rig, leaves the update file with what was signed about it, and finds what came of it.
 * A fixed place in RAM; what a start finds there is as good as what the link brought. */
#ifndef M3_MAIL_H
#define M3_MAIL_H
#include "nrt.h"

enum order { ORDER_BOOT = 0, ORDER_UPDATE = 1, ORDER_CONFIRM = 2 };

struct mail {
    uint32_t order;
    uint32_t reset;            /* enum nrt_reset */
    uint32_t file_size;
    int32_t result;            /* out: of the last call of the core */
    int32_t fate;              /* out: enum nrt_fate */
    uint32_t candidate;        /* out: an image that is not confirmed */
    uint8_t installed[NRT_DIGEST]; /* out: digest of the image the state log names */
    struct nrt_target target;
};
#define MAIL ((struct mail *)0x20010000u)
#define MAIL_FILE ((const uint8_t *)0x20010200u)

#endif
