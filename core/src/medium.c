/* medium.c - flash through the port: programs are read back, copies go page by page. It knows pages and write units; it
 * must never decide what is erased or where. */
#include <string.h>

#include "medium.h"

#define CHUNK 64u

int nrt_flash_read(const struct nrt_core *c, uint32_t addr, uint8_t *buf, uint32_t len)
{
    return c->port->read(c->port->ctx, addr, buf, len);
}

int nrt_flash_erase(const struct nrt_core *c, uint32_t addr)
{
    return c->port->erase(c->port->ctx, addr) < 0 ? NRT_E_FLASH : NRT_OK;
}

int nrt_flash_program(const struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len)
{
    uint8_t back[CHUNK];
    if (c->port->program(c->port->ctx, addr, data, len) < 0)
        return NRT_E_FLASH;
    for (uint32_t i = 0; i < len; i += CHUNK) {
        uint32_t n = len - i < CHUNK ? len - i : CHUNK;
        if (nrt_flash_read(c, addr + i, back, n) < 0 || memcmp(back, data + i, n) != 0)
            return NRT_E_FLASH;
    }
    return NRT_OK;
}

int nrt_all_erased(const struct nrt_layout *l, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (data[i] != l->erased)
            return 0;
    return 1;
}

int nrt_flash_blank(const struct nrt_core *c, uint32_t addr, uint32_t len)
{
    uint8_t buf[CHUNK];
    for (uint32_t i = 0; i < len; i += CHUNK) {
        uint32_t n = len - i < CHUNK ? len - i : CHUNK;
        int rc = nrt_flash_read(c, addr + i, buf, n);
        if (rc == NRT_E_TORN)
            return 0;
        if (rc < 0)
            return rc;
        if (!nrt_all_erased(c->layout, buf, n))
            return 0;
    }
    return 1;
}

int nrt_flash_copy(struct nrt_core *c, uint32_t from, uint32_t to, uint32_t len)
{
    const struct nrt_layout *l = c->layout;
    for (uint32_t i = 0; i < len; i += l->page) {
        uint32_t n = len - i < l->page ? len - i : l->page;
        uint32_t whole = (n + l->write_unit - 1) / l->write_unit * l->write_unit;
        int rc = nrt_flash_read(c, from + i, c->page, n);
        if (rc < 0)
            return rc;
        if (nrt_all_erased(l, c->page, n))
            continue;
        memset(c->page + n, l->erased, whole - n);
        rc = nrt_flash_program(c, to + i, c->page, whole);
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

int nrt_flash_same(const struct nrt_core *c, uint32_t one, uint32_t other, uint32_t len)
{
    uint8_t a[CHUNK];
    uint8_t b[CHUNK];
    for (uint32_t i = 0; i < len; i += CHUNK) {
        uint32_t n = len - i < CHUNK ? len - i : CHUNK;
        int rc = nrt_flash_read(c, one + i, a, n);
        if (rc == NRT_OK)
            rc = nrt_flash_read(c, other + i, b, n);
        if (rc < 0)
            return rc;
        if (memcmp(a, b, n) != 0)
            return NRT_E_FLASH;
    }
    return NRT_OK;
}
