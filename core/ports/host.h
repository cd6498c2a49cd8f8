/* host.h - what the host ports of the core (core/ports) offer to Python beyond nrt.h. Host code: it may use libc. */
#ifndef NRT_HOST_H
#define NRT_HOST_H

#include "nrt.h"

/* Whether `key` signed the message (as the port's verify): NRT_OK or NRT_E_TRUST, judged by the OpenSSL that this process has
 * loaded already (Python's hashes and TLS do). NRT_E_STATE: it has none that is known here, nothing was judged. */
int nrt_openssl_verify(int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len, const uint8_t *sig);

/* All threads take memory from one heap: for a process of few threads that each do little. Call it before there are any. */
void nrt_one_heap(void);

/* Gives memory that is free back to the system, where the C library can. */
void nrt_trim(void);

/* Where struct nrt_plan, at the beginning of the lent RAM, keeps what says how far a plan goes and how (byte offsets of 32-bit
 * numbers): for tests that flip their bits. */
struct nrt_reach {
    uint32_t n_order;
    uint32_t from;
    uint32_t joint;
    uint32_t slide;
    uint32_t resume;
    uint32_t n_saves;
};
struct nrt_reach nrt_plan_reach(void);

#endif
