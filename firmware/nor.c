/* nor.c - commands of the flash chips. It knows the Intel command set and that nothing of this may be fetched from the chip
 * that is busy; it must never decide what is erased. */
#include "nor.h"

#include <string.h>

#include "board.h"

#define PAGE 256u
#define WORDS (PAGE / 4u)

/* In RAM, and called by absolute address: flash and RAM are further apart than a branch reaches. */
#if defined(__arm__)
#define IN_RAM __attribute__((section(".ramtext"), noinline, long_call))
#else
#define IN_RAM __attribute__((section(".ramtext"), noinline))
#endif

enum {
    READ_ARRAY = 0xff,
    CLEAR_STATUS = 0x50,
    ERASE = 0x20,
    LOCKS = 0x60,
    CONFIRM = 0xd0,
    PROGRAM = 0x40,
    PROGRAM_BUFFER = 0xe8,
    READY = 0x80,
    FAILED = 0x3a /* erase, program, voltage or lock error */
};

IN_RAM static int finished(volatile uint32_t *chip)
{
    uint32_t status;
    do
        status = *chip;
    while ((status & FW_NOR(READY)) != FW_NOR(READY));
    *chip = FW_NOR(CLEAR_STATUS);
    *chip = FW_NOR(READ_ARRAY);
    return status & FW_NOR(FAILED) ? -1 : 0;
}

IN_RAM static int erase_sector(volatile uint32_t *chip)
{
    *chip = FW_NOR(LOCKS);
    *chip = FW_NOR(CONFIRM);
    *chip = FW_NOR(ERASE);
    *chip = FW_NOR(CONFIRM);
    return finished(chip);
}

IN_RAM static int program_word(volatile uint32_t *chip, uint32_t word)
{
    *chip = FW_NOR(PROGRAM);
    *chip = word;
    return finished(chip);
}

IN_RAM static int program_page(volatile uint32_t *chip, const uint32_t *words)
{
    *chip = FW_NOR(PROGRAM_BUFFER);
    *chip = FW_NOR(WORDS - 1u);
    for (uint32_t i = 0; i < WORDS; i++)
        chip[i] = words[i];
    *chip = FW_NOR(CONFIRM);
    return finished(chip);
}

int fw_nor_erase(uint32_t at)
{
    return erase_sector((volatile uint32_t *)(uintptr_t)(FW_FLASH + at));
}

int fw_nor_program(uint32_t at, const uint8_t *data, uint32_t len)
{
    uint32_t words[WORDS]; /* on the stack, in RAM: `data` may lie in the chip that is about to be busy */
    if (at % 4u || len % 4u || at % PAGE + len > PAGE)
        return -1;
    memcpy(words, data, len);
    volatile uint32_t *chip = (volatile uint32_t *)(uintptr_t)(FW_FLASH + at);
    if (len == PAGE)
        return program_page(chip, words);
    int rc = 0;
    for (uint32_t i = 0; i < len / 4u && rc == 0; i++)
        if (words[i] != 0xffffffffu)
            rc = program_word(chip + i, words[i]);
    return rc;
}
