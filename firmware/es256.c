/* es256.c - the core's signature port on a bare chip: ECDSA over P-256 with SHA-256, by BearSSL's constant-time 15-bit
 * arithmetic. It knows raw signatures and uncompressed points; Ed25519 is refused here (docs/design.md). */
#include <bearssl_ec.h>

#include "maker.h"
#include "port.h"

int fw_verify(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
              const uint8_t *sig)
{
    (void)ctx;
    if (alg != NRT_ES256 || key_len != 65)
        return NRT_E_TRUST;
    uint8_t digest[NRT_DIGEST];
    nrt_sha256(msg, msg_len, digest);
    uint8_t point[65]; /* the library's interface is not const */
    for (uint32_t i = 0; i < sizeof point; i++)
        point[i] = key[i];
    br_ec_public_key public = {BR_EC_secp256r1, point, sizeof point};
    return br_ecdsa_i15_vrfy_raw(&br_ec_prime_i15, digest, sizeof digest, &public, sig, 64) ? NRT_OK : NRT_E_TRUST;
}

int fw_public_key(void *ctx, const uint8_t seed[32], struct nrt_key *out)
{
    (void)ctx;
    out->alg = NRT_ES256;
    out->len = (uint32_t)br_ec_prime_i15.mulgen(out->key, seed, 32, BR_EC_secp256r1);
    return out->len == sizeof out->key ? NRT_OK : NRT_E_ARG;
}
