/* device.c - flash that is a raw device: MTD (NOR) through its ioctls, or a block device whose erase is a fill. Every write
 * is on the medium before it returns (docs/spec/device.md). It knows sectors and blocks; it must never know what the bytes
 * mean, nor write outside what it was told. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <mtd/mtd-user.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "norstate.h"

#define LOOK 4096u      /* so much is read at once; also the alignment that direct writes want */
#define NOTHING UINT32_MAX

/* ---- what it is ------------------------------------------------------------------------------------------------------ */

static int look_mtd(int fd, struct nrt_device *out)
{
    struct mtd_info_user m;
    if (ioctl(fd, MEMGETINFO, &m) < 0)
        return NRT_E_READ;
    *out = (struct nrt_device){NRT_DEVICE_MTD, m.erasesize, m.writesize, m.type, m.size};
    return NRT_OK;
}

static int look_block(int fd, struct nrt_device *out)
{
    int block = 0;
    uint64_t size = 0;
    if (ioctl(fd, BLKSSZGET, &block) < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || block <= 0)
        return NRT_E_READ;
    *out = (struct nrt_device){NRT_DEVICE_BLOCK, (uint32_t)block, 1, 0, size};
    return NRT_OK;
}

int nrt_device_look(const char *path, struct nrt_device *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NRT_E_READ;
    int rc = fstat(fd, &st) < 0 ? NRT_E_READ : NRT_OK;
    if (rc == NRT_OK && S_ISCHR(st.st_mode))
        rc = look_mtd(fd, out);
    else if (rc == NRT_OK && S_ISBLK(st.st_mode))
        rc = look_block(fd, out);
    else
        *out = (struct nrt_device){NRT_DEVICE_FILE, 1, 1, 0, (uint64_t)st.st_size};
    (void)close(fd);
    return rc;
}

static int grain_fits(const struct nrt_device *d, const struct nrt_layout *l)
{
    if (d->kind == NRT_DEVICE_BLOCK && (d->grain > LOOK || l->page > d->grain))
        return 0;
    for (uint32_t i = 0; i < l->n_regions; i++)
        if (l->region[i].size % d->grain != 0)
            return 0;
    return 1;
}

int nrt_device_fits(const struct nrt_device *d, const struct nrt_layout *l)
{
    struct nrt_nor n = {.layout = *l};
    nrt_nor_measure(&n);
    if (d->size != n.size)
        return NRT_DEVICE_SIZE;
    if (d->kind == NRT_DEVICE_MTD && d->type != MTD_NORFLASH && d->type != MTD_RAM)
        return NRT_DEVICE_TYPE;
    if (!grain_fits(d, l))
        return NRT_DEVICE_GRAIN;
    if (d->write == 0 || l->write_unit % d->write != 0)
        return NRT_DEVICE_WRITE;
    return d->kind == NRT_DEVICE_MTD && l->erased != 0xFFu ? NRT_DEVICE_ERASED : NRT_DEVICE_FITS;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static int whole_read(int fd, uint8_t *buf, uint32_t len, uint32_t off)
{
    while (len > 0) {
        ssize_t got = pread(fd, buf, len, (off_t)off);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return got < 0 && (errno == EIO || errno == EBADMSG) ? NRT_E_TORN : NRT_E_FLASH;
        if (got > 0) {
            buf += got;
            off += (uint32_t)got;
            len -= (uint32_t)got;
        }
    }
    return NRT_OK;
}

/* Brings the window to the LOOK bytes around `off`. Where they cannot all be read, one grain of them is tried. */
static int look_at(struct nrt_nor *n, uint32_t off)
{
    uint32_t start = off / LOOK * LOOK;
    uint32_t len = n->size - start < LOOK ? n->size - start : LOOK;
    if (n->seen == start && off - start < n->seen_len)
        return NRT_OK;
    int rc = whole_read(n->fd, n->window, len, start);
    if (rc < 0 && n->grain < LOOK) {
        start = off / n->grain * n->grain;
        len = n->grain;
        rc = whole_read(n->fd, n->window, len, start);
    }
    n->seen = rc < 0 ? NOTHING : start;
    n->seen_len = len;
    return rc;
}

static int inside(const struct nrt_nor *n, uint32_t addr, uint32_t len)
{
    return addr >= n->base && addr - n->base <= n->size && len <= n->size - (addr - n->base);
}

int nrt_device_peek(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len)
{
    if (!inside(n, addr, len))
        return NRT_E_ARG;
    uint32_t off = addr - n->base;
    while (len > 0) {
        int rc = look_at(n, off);
        if (rc < 0)
            return rc;
        uint32_t have = n->seen + n->seen_len - off;
        uint32_t part = len < have ? len : have;
        memcpy(buf, n->window + (off - n->seen), part);
        buf += part;
        off += part;
        len -= part;
    }
    return NRT_OK;
}

static int device_read(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    return nrt_device_peek(ctx, addr, buf, len);
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* On the medium when it returns: O_DSYNC on a block device, and MTD keeps nothing back. */
static int put(struct nrt_nor *n, const uint8_t *data, uint32_t len, uint32_t off)
{
    n->seen = NOTHING;
    while (len > 0) {
        ssize_t done = pwrite(n->fd, data, len, (off_t)off);
        if (done <= 0 && !(done < 0 && errno == EINTR))
            return NRT_E_FLASH;
        if (done > 0) {
            data += done;
            off += (uint32_t)done;
            len -= (uint32_t)done;
        }
    }
    return NRT_OK;
}

/* Chips may come up locked; one that knows no locks says so, and a lock that stays shows in what follows. */
static void unlock(struct nrt_nor *n, uint32_t off)
{
    struct nrt_span s;
    if (n->device != NRT_DEVICE_MTD || nrt_sector_of(&n->layout, n->base + off, &s) < 0 || s.base == n->unlocked)
        return;
    struct erase_info_user e = {s.base - n->base, s.len};
    (void)ioctl(n->fd, MEMUNLOCK, &e);
    n->unlocked = s.base;
}

static int erase_mtd(struct nrt_nor *n, uint32_t off, uint32_t len)
{
    struct erase_info_user64 e = {off, len};
    struct erase_info_user old = {off, len};
    n->seen = NOTHING;
    int rc = ioctl(n->fd, MEMERASE64, &e);
    if (rc < 0 && errno == ENOTTY)
        rc = ioctl(n->fd, MEMERASE, &old);
    return rc < 0 ? NRT_E_FLASH : NRT_OK;
}

static int blank(struct nrt_nor *n, uint32_t off, uint32_t len)
{
    if (n->device == NRT_DEVICE_MTD)
        return erase_mtd(n, off, len);
    memset(n->work, n->layout.erased, len);
    return put(n, n->work, len, off);
}

/* New bytes within one page. A block device takes whole blocks, so the one that holds the page is written again with them:
 * its other bytes stay as they are as long as the medium writes a block whole or not at all. */
static int place(struct nrt_nor *n, uint32_t off, const uint8_t *data, uint32_t len)
{
    if (n->device == NRT_DEVICE_MTD)
        return put(n, data, len, off);
    uint32_t start = off / n->grain * n->grain;
    int rc = whole_read(n->fd, n->work, n->grain, start);
    if (rc < 0)
        return rc;
    memcpy(n->work + (off - start), data, len);
    return put(n, n->work, n->grain, start);
}

/* ---- cuts, for tests: what a process can leave behind of an operation on this medium ---------------------------------- */

/* Half of the sector is as after the erase, or (MTD, whose erase is one order) holds what no one wrote. */
static void tear_erase(struct nrt_nor *n, uint32_t off, uint32_t len)
{
    uint32_t half = len / 2 / n->grain * n->grain;
    if (n->device == NRT_DEVICE_BLOCK) {
        if (half > 0)
            (void)blank(n, off, half);
        return;
    }
    memset(n->work, 0, len / 2);
    if (erase_mtd(n, off, len) == NRT_OK)
        (void)put(n, n->work, len / 2, off);
}

static void tear(struct nrt_nor *n, uint32_t off, const uint8_t *data, uint32_t len)
{
    if (n->kind == NRT_CUT_AFTER)
        (void)(data == NULL ? blank(n, off, len) : place(n, off, data, len));
    else if (n->kind != NRT_CUT_BEFORE && data == NULL)
        tear_erase(n, off, len);
    else if (n->kind != NRT_CUT_BEFORE && n->device == NRT_DEVICE_MTD)
        (void)put(n, data, len / 2 / n->layout.write_unit * n->layout.write_unit, off);
}

static int operate(struct nrt_nor *n, uint32_t off, const uint8_t *data, uint32_t len)
{
    int due = n->kind != NRT_CUT_NONE && n->operations == n->due;
    n->operations++;
    unlock(n, off);
    if (due) {
        tear(n, off, data, len);
        nrt_nor_stop(n);
    }
    return data == NULL ? blank(n, off, len) : place(n, off, data, len);
}

static int device_erase(void *ctx, uint32_t addr)
{
    struct nrt_nor *n = ctx;
    struct nrt_span s;
    if (nrt_sector_of(&n->layout, addr, &s) < 0 || s.base != addr || !nrt_nor_writable(n, addr)) {
        n->violations++;
        return NRT_E_ARG;
    }
    return operate(n, addr - n->base, NULL, s.len);
}

static int device_program(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len)
{
    struct nrt_nor *n = ctx;
    const struct nrt_layout *l = &n->layout;
    uint32_t off = addr - n->base;
    if (len == 0 || !inside(n, addr, len) || off % l->write_unit != 0 || len % l->write_unit != 0 ||
        off / l->page != (off + len - 1) / l->page || !nrt_nor_writable(n, addr)) {
        n->violations++;
        return NRT_E_ARG;
    }
    return operate(n, off, data, len);
}

/* The factory's hands: page by page, over what is erased. */
int nrt_device_poke(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (!inside(n, addr, len))
        return NRT_E_ARG;
    uint32_t off = addr - n->base;
    while (len > 0) {
        uint32_t room = n->layout.page - off % n->layout.page;
        uint32_t part = len < room ? len : room;
        unlock(n, off);
        int rc = place(n, off, data, part);
        if (rc < 0)
            return rc;
        data += part;
        off += part;
        len -= part;
    }
    return NRT_OK;
}

int nrt_nor_wipe(struct nrt_nor *n)
{
    if (n->device == NRT_DEVICE_FILE)
        return NRT_E_ARG;
    for (uint32_t i = 0; i < n->layout.n_regions; i++) {
        const struct nrt_region *r = &n->layout.region[i];
        for (uint32_t k = 0; k < r->count; k++) {
            uint32_t off = r->base + k * r->size - n->base;
            unlock(n, off);
            if (blank(n, off, r->size) < 0)
                return NRT_E_FLASH;
        }
    }
    return NRT_OK;
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static int take(struct nrt_nor *n, const char *path, const struct nrt_device *d)
{
    /* O_EXCL: a block device that is mounted, or another's, is not ours. */
    int how = d->kind == NRT_DEVICE_BLOCK ? O_RDWR | O_EXCL | O_DIRECT | O_DSYNC : O_RDWR;
    n->fd = open(path, how | O_CLOEXEC);
    n->device = d->kind;
    n->grain = d->grain;
    n->seen = NOTHING;
    n->unlocked = NOTHING;
    n->window = aligned_alloc(LOOK, LOOK);
    n->work = aligned_alloc(LOOK, (n->largest + LOOK - 1) / LOOK * LOOK);
    return n->fd < 0 || n->window == NULL || n->work == NULL ? -1 : 0;
}

struct nrt_nor *nrt_device_open(const struct nrt_layout *l, const char *path, const struct nrt_device *d)
{
    struct nrt_nor *n = nrt_device_fits(d, l) == NRT_DEVICE_FITS ? calloc(1, sizeof *n) : NULL;
    if (n == NULL)
        return NULL;
    n->layout = *l;
    n->fd = -1;
    nrt_nor_measure(n);
    n->erases = calloc(n->sectors, sizeof *n->erases);
    n->programs = calloc(n->sectors, sizeof *n->programs);
    if (take(n, path, d) < 0 || n->erases == NULL || n->programs == NULL) {
        nrt_nor_close(n);
        return NULL;
    }
    n->port = (struct nrt_port){n, device_read, device_erase, device_program, NULL, NULL};
    return n;
}
