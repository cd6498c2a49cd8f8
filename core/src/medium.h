/* medium.h - flash through the port, page-grained: what every file of the core that writes goes through. */
#ifndef NRT_MEDIUM_H
#define NRT_MEDIUM_H

#include "nrt.h"

int nrt_flash_read(const struct nrt_core *c, uint32_t addr, uint8_t *buf, uint32_t len);
/* Erases the sector that starts at `addr`. */
int nrt_flash_erase(const struct nrt_core *c, uint32_t addr);
/* Programs whole write units inside one page and reads them back: NRT_E_FLASH where they differ. Power may fail between
 * any two bits of it. */
int nrt_flash_program(const struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len);
/* 1 when every byte reads as erased, 0 when not (an uncorrectable read is not), below 0: the port failed. */
int nrt_flash_blank(const struct nrt_core *c, uint32_t addr, uint32_t len);
/* Copies `len` bytes of flash into an erased place, page by page through c->page; pages that are all erased value are
 * left as they are. `to` begins a page. `len` need not be whole write units: the rest of the last one stays erased value. */
int nrt_flash_copy(struct nrt_core *c, uint32_t from, uint32_t to, uint32_t len);
/* 1 when `len` bytes are all of the erased value. */
int nrt_all_erased(const struct nrt_layout *l, const uint8_t *data, uint32_t len);
/* Adds the bank's image bytes [off, end), as they are now, to a hash. */
int nrt_bank_hash(const struct nrt_core *c, uint32_t off, uint32_t end, struct nrt_sha256 *sha);
/* NRT_OK where both places read the same, NRT_E_FLASH where they do not. */
int nrt_flash_same(const struct nrt_core *c, uint32_t one, uint32_t other, uint32_t len);

#endif
