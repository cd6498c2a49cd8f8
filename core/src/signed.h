/* signed.h - update files that a release key signed, each as a whole (docs/spec/signed.md). An optional part of the core: nothing
 * else of it calls this. */
#ifndef NRT_SIGNED_H
#define NRT_SIGNED_H

#include "nrt.h"

#define NRT_SIGNED_HEADER 133   /* before the file itself */

/* Reads what lies behind the signature. */
struct nrt_signed {
    const struct nrt_file *file;
};

/* `plain` becomes the update file inside, once one of the keys has signed it for the release with this envelope. `s` and `f` live as
 * long as it. NRT_MORE: nobody signed it, and `plain` is the file; NRT_E_FORMAT; NRT_E_TRUST: another key, or for another release;
 * NRT_E_DIGEST: another file than was signed; NRT_E_READ. */
int nrt_signed_open(const struct nrt_port *p, struct nrt_signed *s, const struct nrt_file *f, const struct nrt_key *keys,
                    uint32_t n, const uint8_t envelope[NRT_SHORT], struct nrt_file *plain);

#endif
