/* tongue.c - which instruction sets are linked (NRT_ISAS_LINKED), and the hash that tables are entered by: what the
 * predictions of all profiles share. */
#include "predict.h"

#if NRT_ISAS_LINKED & 0x02
#define HAS_THUMB &nrt_thumb
#else
#define HAS_THUMB NULL
#endif
#if NRT_ISAS_LINKED & 0x04
#define HAS_ARM &nrt_arm
#else
#define HAS_ARM NULL
#endif
#if NRT_ISAS_LINKED & 0x08
#define HAS_A64 &nrt_a64
#else
#define HAS_A64 NULL
#endif
#if NRT_ISAS_LINKED & 0x10
#define HAS_RV32 &nrt_rv32
#else
#define HAS_RV32 NULL
#endif
#if NRT_ISAS_LINKED & 0x20
#define HAS_X86 &nrt_x86
#else
#define HAS_X86 NULL
#endif
#define TONGUES HAS_THUMB, HAS_ARM, HAS_A64, HAS_RV32, HAS_X86

uint32_t nrt_hash(uint32_t a, uint32_t b)
{
    uint32_t x = (a * 0x9E3779B1u) ^ ((b + 0x7F4A7C15u) * 0x85EBCA6Bu);
    x ^= x >> 15;
    x *= 0x2C1B3C6Du;
    return x ^ x >> 13;
}

const struct nrt_tongue *nrt_tongue(uint32_t isa)
{
    static const struct nrt_tongue *const tongues[NRT_ISAS] = {NULL, TONGUES};
    return isa < NRT_ISAS ? tongues[isa] : NULL;
}
