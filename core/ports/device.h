/* device.h - raw devices that hold a terminal's flash: a Linux MTD character device (NOR) or a block device. Host code. */
#ifndef NRT_DEVICE_H
#define NRT_DEVICE_H

#include "nrt.h"

enum nrt_device_kind { NRT_DEVICE_FILE = 0, NRT_DEVICE_MTD = 1, NRT_DEVICE_BLOCK = 2 };

/* What a device says of itself. `grain`: the least that is erased (MTD) or written (block) at once, bytes; `write`: the
 * least that is programmed, bytes; `type`: of an MTD device, as the kernel counts them. */
struct nrt_device {
    int kind;
    uint32_t grain;
    uint32_t write;
    uint32_t type;
    uint64_t size;
};

/* Why a device cannot hold a memory map; 0: it can. */
enum nrt_device_fault {
    NRT_DEVICE_FITS = 0,
    NRT_DEVICE_SIZE = 1,     /* it is not as large as the map */
    NRT_DEVICE_TYPE = 2,     /* MTD, but no NOR flash: bad blocks and ECC are not ours */
    NRT_DEVICE_GRAIN = 3,    /* a sector of the map is not whole grains, or a page of it larger than one block */
    NRT_DEVICE_WRITE = 4,    /* it programs more at once than the map's write unit */
    NRT_DEVICE_ERASED = 5    /* NOR flash erases to 0xFF */
};

/* Kind and measures of what lies at `path`. NRT_E_READ where it cannot be opened or does not answer. */
int nrt_device_look(const char *path, struct nrt_device *out);
/* NRT_DEVICE_FITS, or the first reason why not. */
int nrt_device_fits(const struct nrt_device *d, const struct nrt_layout *l);

#endif
