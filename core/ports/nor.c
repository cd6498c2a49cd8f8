/* nor.c - NOR flash on a host: erase and program as chips do them, torn where a power cut falls (docs/assurance/README.md).
 * It knows which units were programmed since their erase and which read either way; it must never know what the bytes mean. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "norstate.h"

/* ---- chance ---------------------------------------------------------------------------------------------------------- */

static uint32_t chance(struct nrt_nor *n)
{
    uint32_t x = n->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    n->random = x;
    return x;
}

static int in_span(const struct nrt_span *s, uint32_t addr)
{
    return addr - s->base < s->len;
}

int nrt_nor_writable(const struct nrt_nor *n, uint32_t addr)
{
    const struct nrt_layout *l = &n->layout;
    for (uint32_t i = 0; i < l->n_bank; i++)
        if (in_span(&l->bank[i], addr))
            return 1;
    return in_span(&l->log[0], addr) || in_span(&l->log[1], addr) || in_span(&l->scratch, addr) || in_span(&l->birth, addr) ||
           in_span(&l->stage, addr);
}

static uint32_t sector_index(const struct nrt_layout *l, uint32_t addr)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->n_regions; i++) {
        const struct nrt_region *r = &l->region[i];
        if (addr - r->base < r->size * r->count)
            return at + (addr - r->base) / r->size;
        at += r->count;
    }
    return UINT32_MAX;
}

/* ---- units ----------------------------------------------------------------------------------------------------------- */

static uint32_t unit_of(const struct nrt_nor *n, uint32_t off)
{
    return off / n->layout.write_unit;
}

static int looks_erased(const struct nrt_nor *n, uint32_t off, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (n->mem[off + i] != n->layout.erased)
            return 0;
    return 1;
}

/* Gives a unit its contents: what it reads now and, when `meta`, what it may read later. */
static void set_unit(struct nrt_nor *n, uint32_t off, const uint8_t *now, const uint8_t *later, uint8_t mark)
{
    uint32_t u = unit_of(n, off);
    memcpy(n->mem + off, now, n->layout.write_unit);
    memcpy(n->other + off, later, n->layout.write_unit);
    n->mark[u] = mark;
}

void nrt_nor_power(struct nrt_nor *n, uint32_t how)
{
    uint32_t w = n->layout.write_unit;
    uint8_t t[NRT_MAX_WRITE];
    n->random = how | 1u;
    for (uint32_t u = 0; how != 0 && n->mark != NULL && u < n->size / w; u++) {
        if ((n->mark[u] & NOR_META) == 0 || (how > 1 && (chance(n) & 4u)))
            continue;
        memcpy(t, n->mem + u * w, w);
        memcpy(n->mem + u * w, n->other + u * w, w);
        memcpy(n->other + u * w, t, w);
        uint8_t m = n->mark[u];
        n->mark[u] = (uint8_t)((m & ~(NOR_TORN | NOR_OTHER_TORN)) | (m & NOR_TORN ? NOR_OTHER_TORN : 0) |
                               (m & NOR_OTHER_TORN ? NOR_TORN : 0));
    }
}

/* ---- operations ------------------------------------------------------------------------------------------------------ */

/* What a unit holds when each wanted bit change happened by chance: every other one, or with `most` seven of eight. */
static void partly(struct nrt_nor *n, const uint8_t *from, const uint8_t *to, int most, uint8_t *out)
{
    for (uint32_t i = 0; i < n->layout.write_unit; i++) {
        uint32_t r = chance(n);
        uint8_t mask = (uint8_t)(most ? r >> 5 | r >> 13 | r >> 21 : r >> 9);
        out[i] = (uint8_t)((from[i] & ~mask) | (to[i] & mask));
    }
}

static void settle_unit(struct nrt_nor *n, uint32_t off, const uint8_t *to, int erase)
{
    set_unit(n, off, to, to, (uint8_t)(erase ? 0 : NOR_PROGRAMMED));
}

/* What a tear leaves of a dead unit is dead too. */
static uint8_t dead(const struct nrt_nor *n, uint32_t off)
{
    return n->mark[unit_of(n, off)] & NOR_DEAD;
}

/* A unit that holds something between `from` and `to`; an ECC chip cannot correct it. */
static void tear_unit(struct nrt_nor *n, uint32_t off, const uint8_t *to, int most)
{
    uint8_t mixed[NRT_MAX_WRITE];
    partly(n, n->mem + off, to, most, mixed);
    set_unit(n, off, mixed, mixed, (uint8_t)(NOR_PROGRAMMED | (n->ecc ? NOR_TORN : 0) | dead(n, off)));
}

/* A unit that reads `now` today and something else another day. */
static void blur_unit(struct nrt_nor *n, uint32_t off, const uint8_t *now, const uint8_t *later, int later_torn)
{
    set_unit(n, off, now, later,
             (uint8_t)(NOR_PROGRAMMED | NOR_META | (n->ecc && later_torn ? NOR_OTHER_TORN : 0) | dead(n, off)));
}

void nrt_nor_tear(struct nrt_nor *n, uint32_t off, const uint8_t *to, uint32_t len, int erase, int kind, uint32_t seed)
{
    n->random = seed | 1u;
    uint32_t w = n->layout.write_unit;
    uint32_t units = len / w;
    uint8_t old[NRT_MAX_WRITE];
    uint8_t mixed[NRT_MAX_WRITE] = {0};
    for (uint32_t i = 0; i < units; i++, off += w, to += w) {
        memcpy(old, n->mem + off, w);
        if (kind == NRT_CUT_WEAK || kind == NRT_CUT_META)
            partly(n, old, to, 0, mixed);
        switch (kind) {
        case NRT_CUT_EARLY:
            if (i < units / 2)
                settle_unit(n, off, to, erase);
            else if (i == units / 2)
                tear_unit(n, off, to, 0);
            break;
        case NRT_CUT_LATE:
            if (i + 1 < units)
                settle_unit(n, off, to, erase);
            else
                tear_unit(n, off, to, 1);
            break;
        case NRT_CUT_AFTER:
            settle_unit(n, off, to, erase);
            break;
        case NRT_CUT_RANDOM:
            tear_unit(n, off, to, 0);
            break;
        case NRT_CUT_WEAK:
            if (erase)
                blur_unit(n, off, to, mixed, 1);
            else if (i + 1 < units)
                settle_unit(n, off, to, 0);
            else
                set_unit(n, off, mixed, to, (uint8_t)(NOR_PROGRAMMED | NOR_META | (n->ecc ? NOR_TORN : 0) | dead(n, off)));
            break;
        case NRT_CUT_GHOST:
            if (!erase)
                blur_unit(n, off, old, to, 0);
            break;
        case NRT_CUT_META:
            if (erase)
                blur_unit(n, off, old, mixed, 1);
            else if (i + 1 < units)
                settle_unit(n, off, to, 0);
            else
                blur_unit(n, off, to, mixed, 1);
            break;
        default:
            break;
        }
    }
}

void nrt_nor_stop(struct nrt_nor *n)
{
    n->kind = NRT_CUT_NONE;
    if (n->kill) {
        if (n->mem != NULL && n->fd >= 0)
            (void)msync(n->mem, n->size, MS_SYNC);
        (void)raise(SIGKILL);
    }
    longjmp(n->jump, 1);
}

/* Carries out an operation whose units become `to`, or tears it where the cut is due. */
static void operate(struct nrt_nor *n, uint32_t off, const uint8_t *to, uint32_t len, int erase)
{
    uint32_t w = n->layout.write_unit;
    int due = n->kind != NRT_CUT_NONE && n->operations == n->due;
    if (n->flip != NULL && n->operations == n->flip_due) {
        *n->flip ^= n->flip_mask;
        n->flip = NULL;
    }
    n->operations++;
    if (n->watch != NULL)
        n->watch(n, off, to, len, erase);
    if (due) {
        nrt_nor_tear(n, off, to, len, erase, n->kind, n->seed);
        nrt_nor_stop(n);
    }
    for (uint32_t i = 0; i < len; i += w)
        settle_unit(n, off + i, to + i, erase);
}

static int nor_read(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    struct nrt_nor *n = ctx;
    if (addr < n->base || addr - n->base > n->size || len > n->size - (addr - n->base))
        return NRT_E_ARG;
    uint32_t off = addr - n->base;
    uint32_t end = len > 0 ? unit_of(n, off + len - 1) + 1 : 0;
    for (uint32_t u = unit_of(n, off); n->ecc && u < end; u++)
        if (n->mark[u] & NOR_TORN)
            return NRT_E_TORN;
    for (uint32_t u = unit_of(n, off); n->watch != NULL && u < end; u++)
        n->looked += (n->mark[u] & NOR_DEAD) != 0;
    memcpy(buf, n->mem + off, len);
    return NRT_OK;
}

static int nor_erase(void *ctx, uint32_t addr)
{
    struct nrt_nor *n = ctx;
    struct nrt_span s;
    uint8_t *blank = n->work;
    if (nrt_sector_of(&n->layout, addr, &s) < 0 || s.base != addr || !nrt_nor_writable(n, addr)) {
        n->violations++;
        return NRT_E_ARG;
    }
    if (n->fault == NRT_FAULT_LOUD && s.base == n->faulty)
        return NRT_E_FLASH;
    n->erases[sector_index(&n->layout, addr)]++;
    memset(blank, n->layout.erased, s.len);
    operate(n, addr - n->base, blank, s.len, 1);
    return NRT_OK;
}

/* A second program of a unit is against the rules, but for one case: the very same bytes again on a unit that reads erased
 * because an earlier attempt was cut before it left a trace (docs/decisions/0010-torn-tails.md), of which those that stay
 * erased are part. */
static void check_once(struct nrt_nor *n, uint32_t off, const uint8_t *data, uint32_t len)
{
    uint32_t w = n->layout.write_unit;
    for (uint32_t i = 0; i < len; i += w) {
        uint8_t m = n->mark[unit_of(n, off + i)];
        if ((m & NOR_PROGRAMMED) == 0)
            continue;
        if (looks_erased(n, off + i, w) && memcmp(n->other + off + i, data + i, w) == 0)
            continue;
        n->violations++;
        return;
    }
}

static int nor_program(void *ctx, uint32_t addr, const uint8_t *data, uint32_t len)
{
    struct nrt_nor *n = ctx;
    const struct nrt_layout *l = &n->layout;
    uint32_t off = addr - n->base;
    struct nrt_span s;
    if (len == 0 || off % l->write_unit != 0 || len % l->write_unit != 0 || off / l->page != (off + len - 1) / l->page ||
        nrt_sector_of(l, addr, &s) < 0 || !nrt_nor_writable(n, addr)) {
        n->violations++;
        return NRT_E_ARG;
    }
    if (n->fault == NRT_FAULT_LOUD && s.base == n->faulty)
        return NRT_E_FLASH;
    check_once(n, off, data, len);
    n->programs[sector_index(l, addr)]++;
    for (uint32_t i = 0; i < len; i++)
        n->work[i] = l->erased ? (uint8_t)(n->mem[off + i] & data[i]) : (uint8_t)(n->mem[off + i] | data[i]);
    if (n->fault == NRT_FAULT_SILENT && s.base == n->faulty)
        n->work[0] ^= 0x10u;
    operate(n, off, n->work, len, 0);
    return NRT_OK;
}

/* ---- the world's hands ----------------------------------------------------------------------------------------------- */

int nrt_nor_peek(struct nrt_nor *n, uint32_t addr, uint8_t *buf, uint32_t len)
{
    if (addr < n->base || addr - n->base > n->size || len > n->size - (addr - n->base))
        return NRT_E_ARG;
    if (n->device != NRT_DEVICE_FILE)
        return nrt_device_peek(n, addr, buf, len);
    memcpy(buf, n->mem + (addr - n->base), len);
    return NRT_OK;
}

uint8_t *nrt_nor_cells(struct nrt_nor *n) { return n->mem; }

const uint8_t *nrt_nor_others(const struct nrt_nor *n) { return n->other; }

const uint8_t *nrt_nor_marks(const struct nrt_nor *n) { return n->mark; }

int nrt_nor_copy(struct nrt_nor *to, const struct nrt_nor *from)
{
    if (to->mem == NULL || from->mem == NULL || to->size != from->size || to->layout.write_unit != from->layout.write_unit)
        return NRT_E_ARG;
    memcpy(to->mem, from->mem, from->size);
    memcpy(to->other, from->other, from->size);
    memcpy(to->mark, from->mark, from->size / from->layout.write_unit);
    return NRT_OK;
}

/* Marks follow from what can be read: a unit that is not erased was programmed. */
static void mark_from_bytes(struct nrt_nor *n, uint32_t off, uint32_t len)
{
    uint32_t w = n->layout.write_unit;
    for (uint32_t o = off / w * w; o < off + len; o += w) {
        n->mark[o / w] = (uint8_t)(looks_erased(n, o, w) ? 0 : NOR_PROGRAMMED);
        memcpy(n->other + o, n->mem + o, w);
    }
}

int nrt_nor_poke(struct nrt_nor *n, uint32_t addr, const uint8_t *data, uint32_t len)
{
    if (addr < n->base || addr - n->base > n->size || len > n->size - (addr - n->base))
        return NRT_E_ARG;
    if (n->device != NRT_DEVICE_FILE)
        return nrt_device_poke(n, addr, data, len);
    memcpy(n->mem + (addr - n->base), data, len);
    mark_from_bytes(n, addr - n->base, len);
    return NRT_OK;
}

void nrt_nor_cut(struct nrt_nor *n, uint64_t after, int kind, uint32_t seed, int kill)
{
    n->due = n->operations + after;
    n->kind = kind;
    n->seed = seed;
    n->kill = kill;
}

void nrt_nor_flip(struct nrt_nor *n, uint64_t after, uint8_t *at, uint8_t mask)
{
    n->flip_due = n->operations + after;
    n->flip = at;
    n->flip_mask = mask;
}

void nrt_nor_fault(struct nrt_nor *n, uint32_t sector, int fault)
{
    n->faulty = sector;
    n->fault = fault;
}

void nrt_nor_set_verify(struct nrt_nor *n, void *ctx, int (*verify)(void *ctx, int alg, const uint8_t *key, uint32_t key_len,
                        const uint8_t *msg, uint32_t msg_len, const uint8_t *sig))
{
    (void)ctx;
    n->port.verify = verify;
}

const struct nrt_port *nrt_nor_port(struct nrt_nor *n)
{
    return &n->port;
}

const struct nrt_layout *nrt_nor_layout(const struct nrt_nor *n)
{
    return &n->layout;
}

uint64_t nrt_nor_operations(const struct nrt_nor *n)
{
    return n->operations;
}

uint64_t nrt_nor_violations(const struct nrt_nor *n)
{
    return n->violations;
}

uint32_t nrt_nor_erases(const struct nrt_nor *n, uint32_t addr)
{
    uint32_t i = sector_index(&n->layout, addr);
    return i == UINT32_MAX ? 0 : n->erases[i];
}

uint32_t nrt_nor_programs(const struct nrt_nor *n, uint32_t addr)
{
    uint32_t i = sector_index(&n->layout, addr);
    return i == UINT32_MAX ? 0 : n->programs[i];
}

void nrt_nor_forget(struct nrt_nor *n)
{
    n->operations = 0;
    n->violations = 0;
    memset(n->erases, 0, n->sectors * sizeof *n->erases);
    memset(n->programs, 0, n->sectors * sizeof *n->programs);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

void nrt_nor_measure(struct nrt_nor *n)
{
    uint32_t low = UINT32_MAX;
    uint32_t high = 0;
    for (uint32_t i = 0; i < n->layout.n_regions; i++) {
        const struct nrt_region *r = &n->layout.region[i];
        low = r->base < low ? r->base : low;
        high = r->base + r->size * r->count > high ? r->base + r->size * r->count : high;
        n->largest = r->size > n->largest ? r->size : n->largest;
        n->sectors += r->count;
    }
    n->base = low;
    n->size = high - low;
}

static int map_file(struct nrt_nor *n, const char *path, int create)
{
    struct stat st;
    n->fd = open(path, create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0644);
    if (n->fd < 0 || fstat(n->fd, &st) < 0)
        return -1;
    if (create) {
        uint8_t *blank = malloc(n->size);
        if (blank == NULL)
            return -1;
        memset(blank, n->layout.erased, n->size);
        ssize_t wrote = write(n->fd, blank, n->size);
        free(blank);
        if (wrote != (ssize_t)n->size)
            return -1;
    } else if (st.st_size != (off_t)n->size) {
        return -1;
    }
    n->mem = mmap(NULL, n->size, PROT_READ | PROT_WRITE, MAP_SHARED, n->fd, 0);
    if (n->mem == MAP_FAILED) {
        n->mem = NULL;
        return -1;
    }
    return 0;
}

struct nrt_nor *nrt_nor_open(const struct nrt_layout *l, const char *path, int create, int ecc)
{
    struct nrt_device d;
    if (path != NULL && !create && nrt_device_look(path, &d) == NRT_OK && d.kind != NRT_DEVICE_FILE)
        return nrt_device_open(l, path, &d);
    struct nrt_nor *n = calloc(1, sizeof *n);
    if (n == NULL)
        return NULL;
    n->layout = *l;
    n->fd = -1;
    n->ecc = ecc;
    nrt_nor_measure(n);
    if (path == NULL && (n->mem = malloc(n->size)) != NULL)
        memset(n->mem, l->erased, n->size);
    n->other = malloc(n->size);
    n->mark = calloc(n->size / l->write_unit, 1);
    n->work = malloc(n->largest);
    n->erases = calloc(n->sectors, sizeof *n->erases);
    n->programs = calloc(n->sectors, sizeof *n->programs);
    if ((path != NULL && map_file(n, path, create) < 0) || n->mem == NULL || n->other == NULL || n->mark == NULL ||
        n->work == NULL || n->erases == NULL || n->programs == NULL) {
        nrt_nor_close(n);
        return NULL;
    }
    mark_from_bytes(n, 0, n->size);
    n->port = (struct nrt_port){n, nor_read, nor_erase, nor_program, NULL, NULL};
    return n;
}

void nrt_nor_close(struct nrt_nor *n)
{
    if (n == NULL)
        return;
    if (n->fd >= 0) {
        if (n->mem != NULL)
            (void)munmap(n->mem, n->size);
        (void)close(n->fd);
    } else {
        free(n->mem);
    }
    free(n->other);
    free(n->mark);
    free(n->work);
    free(n->window);
    free(n->erases);
    free(n->programs);
    free(n);
}
