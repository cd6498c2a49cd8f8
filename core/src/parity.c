/* parity.c - mends one damaged block of a staged file: an XOR of all blocks and a CRC-32 of each (docs/spec/staging.md). It
 * knows bytes in memory; it is no proof of anything, the file digest is. */
#include <string.h>

#include "nrt.h"

#define BLOCK ((uint32_t)NRT_PARITY_BLOCK)

static uint32_t blocks_of(uint32_t size)
{
    return size / BLOCK + (size % BLOCK != 0);
}

static uint32_t length_of(uint32_t size, uint32_t i)
{
    return size - i * BLOCK < BLOCK ? size - i * BLOCK : BLOCK;
}

static void put_crc(uint8_t *table, uint32_t i, uint32_t crc)
{
    uint32_t k;
    for (k = 0; k < 4; k++)
        table[4 * i + k] = (uint8_t)(crc >> (8 * k));
}

static int is_whole(const uint8_t *data, uint32_t len, const uint8_t *table, uint32_t i)
{
    uint8_t crc[4];
    put_crc(crc, 0, nrt_crc32(0, data, len));
    return memcmp(crc, &table[4 * i], 4) == 0;
}

uint32_t nrt_parity_size(uint32_t file_size)
{
    return BLOCK + 4 * (blocks_of(file_size) + 1);
}

void nrt_parity_make(const uint8_t *file, uint32_t size, uint8_t *parity)
{
    uint8_t *table = parity + BLOCK;
    uint32_t n = blocks_of(size);
    uint32_t i, k;
    memset(parity, 0, BLOCK);
    for (i = 0; i < n; i++) {
        uint32_t len = length_of(size, i);
        for (k = 0; k < len; k++)
            parity[k] ^= file[i * BLOCK + k];
        put_crc(table, i, nrt_crc32(0, file + i * BLOCK, len));
    }
    put_crc(table, n, nrt_crc32(0, parity, BLOCK));
}

/* What block `bad` must be by the XOR of all others; bytes past the file's end count as zero. */
static void rebuild(const uint8_t *file, uint32_t size, const uint8_t *parity, uint32_t bad, uint8_t out[BLOCK])
{
    uint32_t n = blocks_of(size);
    uint32_t i, k;
    memcpy(out, parity, BLOCK);
    for (i = 0; i < n; i++) {
        uint32_t len = i == bad ? 0 : length_of(size, i);
        for (k = 0; k < len; k++)
            out[k] ^= file[i * BLOCK + k];
    }
}

int nrt_parity_mend(uint8_t *file, uint32_t size, const uint8_t *parity, uint32_t *mended)
{
    const uint8_t *table = parity + BLOCK;
    uint8_t block[BLOCK];
    uint32_t n = blocks_of(size);
    uint32_t bad = n;
    uint32_t count = 0;
    uint32_t i;
    *mended = 0;
    for (i = 0; i < n; i++) {
        if (!is_whole(file + i * BLOCK, length_of(size, i), table, i)) {
            bad = i;
            count++;
        }
    }
    if (count == 0)
        return NRT_OK;
    if (count > 1)
        return NRT_E_DIGEST;
    rebuild(file, size, parity, bad, block);
    if (memcmp(block, file + bad * BLOCK, length_of(size, bad)) == 0)
        return NRT_OK;   /* the block is whole, its CRC is what was hit */
    if (!is_whole(parity, BLOCK, table, n) || !is_whole(block, length_of(size, bad), table, bad))
        return NRT_E_DIGEST;
    memcpy(file + bad * BLOCK, block, length_of(size, bad));
    *mended = 1;
    return NRT_OK;
}
