/* x86.c - fields of x86-64 instructions that name another place of the image (docs/spec/delta.md 9.4). Prefixes stand before the field
 * and change nothing in it; what leads out of the image is no field, so that hardly any byte of data is taken for one. */
#include "predict.h"

/* Bytes of an immediate operand after the displacement; it is part of the instruction the displacement counts from. */
static uint32_t immediate(const uint8_t *code)
{
    switch (code[0]) {
    case 0x6B: case 0x80: case 0x83: case 0xC0: case 0xC1: case 0xC6:
        return 1;
    case 0x69: case 0x81: case 0xC7:
        return 4;
    case 0xF6:
        return (code[1] & 0x30u) == 0 ? 1 : 0;
    case 0xF7:
        return (code[1] & 0x30u) == 0 ? 4 : 0;
    default:
        return 0;
    }
}

/* Where the four bytes of the displacement stand: CALL, JMP; Jcc; an operand relative to the instruction pointer. 0: nowhere. */
static uint32_t place(const uint8_t *code, uint32_t left)
{
    if (left >= 5 && (code[0] & 0xFEu) == 0xE8u)
        return 1;
    if (left >= 6 && code[0] == 0x0F && (code[1] & 0xF0u) == 0x80u)
        return 2;
    return left >= 6 && (code[1] & 0xC7u) == 0x05u ? 2 : 0;
}

static uint32_t after(const uint8_t *code, uint32_t k)
{
    return k + 4u + (k == 1 || code[0] == 0x0F ? 0 : immediate(code));
}

static uint32_t call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target)
{
    uint32_t k = place(code, left);
    if (k == 0)
        return 0;
    *target = at + after(code, k) + nrt_get32(code + k);
    return k + 4u;
}

static void aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    uint32_t k = place(code, 6);
    out[0] = code[0];
    out[k - 1u] = code[k - 1u];
    nrt_put32(out + k, target - at - after(code, k));
}

const struct nrt_tongue nrt_x86 = {1, 0, 1, call, aim, NULL, NULL, NULL, NULL};
