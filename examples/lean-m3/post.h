/* post.h - what the rig tells the application, and hears from it. A fixed place in RAM. */
#ifndef POST_H
#define POST_H
#include <stdint.h>

enum order { ORDER_IDLE = 0, ORDER_UPDATE = 1, ORDER_CONFIRM = 2, ORDER_HANG = 3, ORDER_ECHO = 4 };

struct post {
    uint32_t order;
    uint32_t offer_len;   /* of the message at POST_OFFER */
    uint32_t file;        /* address of the update file */
    uint32_t ram;         /* address of the RAM an update is lent, and how much */
    uint32_t ram_len;
    uint32_t version;     /* out: of the application that ran */
    int32_t result;       /* out: of what was ordered */
};
#define POST ((volatile struct post *)0x20010000u)
#define POST_OFFER ((const uint8_t *)0x20010100u)

#endif
