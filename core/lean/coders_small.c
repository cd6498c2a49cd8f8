/* coders_small.c - in place of core/src/coders.c where profiles 2 and 5 alone are linked: one decoder serves both. Files of other
 * profiles are refused (NRT_E_FORMAT), and a check-in says so (nrt_profiles()). */
#include <stddef.h>

#include "coder.h"

const struct nrt_coder *nrt_coder_of(uint32_t profile)
{
    return profile == NRT_PROFILE_SMALL || profile == NRT_PROFILE_QUICK ? &nrt_coder_small : NULL;
}
