/* reading.h - from an update file as it was staged to the one that the core reads. A boot core links one of two parts: plain.c,
 * for files that hide nothing, or hidden.c, for those that this terminal alone can read (docs/spec/veil.md) or that a release key
 * signed (docs/spec/signed.md). */
#ifndef FW_READING_H
#define FW_READING_H
#include "nrt.h"

/* `out` lives as long as `file`, and until the next call. NRT_E_DIGEST: not the file that `target` names, or not what was signed;
 * NRT_E_TRUST: for another terminal, or by nobody who may; NRT_E_FORMAT: in a way that is not known here; NRT_E_READ. */
int fw_reading(const struct nrt_birth *birth, const struct nrt_target *target, const struct nrt_file *file, struct nrt_file *out);

#endif
