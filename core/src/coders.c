/* coders.c - which profiles of update files are linked. It knows their coders by name alone: a build that wants fewer links a
 * shorter list in its place (core/lean/coders.c); files of other profiles are refused. */
#include <stddef.h>

#include "coder.h"

#ifdef NRT_WITH_TINY   /* beside the others; NRT_TINY_ONLY links it alone, for chips with 16 KiB of RAM */
#define HAS_TINY &nrt_coder_tiny
#else
#define HAS_TINY NULL
#endif
#ifdef NRT_WITH_LARGE   /* Linux terminals and servers */
#define HAS_LARGE &nrt_coder_large
#else
#define HAS_LARGE NULL
#endif

#ifdef NRT_TINY_ONLY
const struct nrt_coder *nrt_coder_of(uint32_t profile)
{
    return profile == NRT_PROFILE_TINY ? &nrt_coder_tiny : NULL;
}
#else
const struct nrt_coder *nrt_coder_of(uint32_t profile)
{
    static const struct nrt_coder *const coders[NRT_PROFILES] = {&nrt_coder_raw, &nrt_coder_simple, &nrt_coder_small, HAS_LARGE, HAS_TINY,
                                                            &nrt_coder_small};
    return profile < NRT_PROFILES ? coders[profile] : NULL;
}
#endif
