/* cose.h - one signature over one payload: COSE_Sign1 (RFC 9052 4.2), as envelopes and tickets carry it. Internal. */
#ifndef NRT_COSE_H
#define NRT_COSE_H

#include "cbor.h"
#include "nrt.h"

#define NRT_MAX_SIGNED 192 /* longest payload that is signed: a ticket's; a SUIT digest is 37 */

/* The parts of a COSE_Sign1, tag 18 and all. Protected header {1: alg}, unprotected header empty. */
struct nrt_cose {
    int alg;                   /* enum nrt_alg */
    struct nrt_view header;    /* the protected header, without its string head */
    int detached;              /* 1: the payload is null */
    struct nrt_view payload;
    const uint8_t *signature;  /* 64 bytes */
};

/* Reads one COSE_Sign1 from the cursor. */
int nrt_cose_read(struct nrt_cbor *c, struct nrt_cose *out);
/* NRT_OK when one of the keys signed this payload; NRT_E_TRUST; NRT_E_FORMAT when it is too long. */
int nrt_cose_verify(const struct nrt_port *p, const struct nrt_cose *s, struct nrt_view payload,
                    const struct nrt_key *keys, uint32_t n);

#endif
