/* port.h - this chip as the core sees it. */
#ifndef M3_PORT_H
#define M3_PORT_H
#include "nrt.h"

extern const struct nrt_port m3_port;

#endif
