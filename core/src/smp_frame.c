/* smp_frame.c - bytes of the line to frames. It must never let a frame through whose check is wrong. */
#include "smp_wire.h"

#include <string.h>

/* Where the receiver is inside a line. A frame is dropped, never mended: what is wrong in it is asked for again. */
enum { OUTSIDE = 0, AFTER_06, AFTER_04, IN_LINE, PASS_LINE };

static void begin(struct nrt_smp *s)
{
    s->used = 0;
    s->bits = 0;
    s->acc = 0;
    s->expect = 1; /* a frame is open */
}

static void drop(struct nrt_smp *s, int state)
{
    s->expect = 0;
    s->state = state;
}

/* One base64 digit; 0 when the frame must be dropped. */
static int digit(struct nrt_smp *s, uint8_t c)
{
    if (c == '=' || c == '\r')
        return 1;
    int value = nrt_base64_value(c);
    if (value < 0)
        return 0;
    s->acc = ((s->acc << 6) | (uint32_t)value) & 0xFFFFFFu;
    s->bits += 6;
    if (s->bits >= 8) {
        s->bits -= 8;
        if (s->used >= s->frame.len)
            return 0;
        s->frame.mem[s->used++] = (uint8_t)(s->acc >> s->bits);
    }
    return 1;
}

/* End of a line: the length of a whole frame with a good check, else 0 with the frame still open or dropped. */
static uint32_t line_end(struct nrt_smp *s)
{
    s->state = OUTSIDE;
    if (!s->expect || s->used < 2)
        return 0;
    const uint8_t *p = s->frame.mem;
    uint32_t len = ((uint32_t)p[0] << 8) | p[1];
    if (len < NRT_SMP_HEAD + 2u || len + 2u > s->frame.len) {
        drop(s, OUTSIDE);
        return 0;
    }
    if (s->used < len + 2u)
        return 0;
    uint32_t used = s->used;
    uint16_t crc = 0;
    for (uint32_t i = 0; i < len; i++)
        crc = nrt_crc16(crc, p[2u + i]);
    drop(s, OUTSIDE);
    uint32_t body = ((uint32_t)p[4] << 8) | p[5];
    return crc == 0 && used == len + 2u && body == len - 2u - NRT_SMP_HEAD ? len - 2u : 0;
}

static void delimiter(struct nrt_smp *s, uint8_t byte)
{
    if (s->state == AFTER_06 && byte == 0x09) {
        begin(s);
        s->state = IN_LINE;
    } else if (s->state == AFTER_04 && byte == 0x14) {
        s->state = s->expect ? IN_LINE : PASS_LINE;
    } else {
        drop(s, byte == 0x06 ? AFTER_06 : OUTSIDE);
    }
}

uint32_t nrt_smp_frame(struct nrt_smp *s, uint8_t byte)
{
    switch (s->state) {
    case AFTER_06:
    case AFTER_04:
        delimiter(s, byte);
        return 0;
    case IN_LINE:
        if (byte == '\n')
            return line_end(s);
        if (!digit(s, byte))
            drop(s, byte == 0x06 ? AFTER_06 : PASS_LINE);
        return 0;
    case PASS_LINE:
        s->state = byte == '\n' ? OUTSIDE : byte == 0x06 ? AFTER_06 : PASS_LINE;
        return 0;
    default:
        s->state = byte == 0x06 ? AFTER_06 : byte == 0x04 ? AFTER_04 : OUTSIDE;
        return 0;
    }
}
