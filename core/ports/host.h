/* host.h - what the host ports of the core (core/ports) offer to Python beyond nrt.h. Host code: it may use libc. */
#ifndef NRT_HOST_H
#define NRT_HOST_H

#include "nrt.h"

#endif
