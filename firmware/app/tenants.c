/* tenants.c - who uses the phone's RAM, and who leaves first. It knows priorities and neighbours in memory; giving back any
 * one of those who left must never leave enough room (just enough: docs/spec/terminal.md 3). */
#include "tenants.h"

#include "board.h"

/* One megabyte behind the application's own RAM. */
#define ARENA ((uint8_t *)(uintptr_t)(FW_APP_RAM + 0x20000u))
#define ARENA_SIZE 0x100000u
#define KIB 1024u
#define SPARE_SIZE 0x40000u

struct tenant {
    const char *name;
    uint32_t from;
    uint32_t size;
    uint32_t seed; /* of what it keeps in its memory */
    uint32_t at;   /* where its work stands */
    int here;
};

/* In order of priority: the first leaves first. Where they lie is another matter. */
static struct tenant tenants[] = {
    {"media cache", 0, 384 * KIB, 11, 0, 0},
    {"browser", 512 * KIB, 320 * KIB, 22, 0, 0},
    {"ring tones", 384 * KIB, 128 * KIB, 33, 0, 0},
    {"address book", 832 * KIB, 192 * KIB, 44, 0, 0},
};
#define COUNT ((uint32_t)(sizeof tenants / sizeof tenants[0]))
static const struct fw_services *services;

static uint8_t kept(const struct tenant *t, uint32_t at) { return (uint8_t)(t->seed * 131u + at * 7u + (at >> 8)); }

static void enter(struct tenant *t)
{
    for (uint32_t i = 0; i < t->size; i++)
        ARENA[t->from + i] = kept(t, i);
    t->here = 1;
    t->at = 0;
}

void tenants_start(const struct fw_services *boot)
{
    services = boot;
    for (uint32_t i = 0; i < COUNT; i++)
        enter(&tenants[i]);
}

int tenants_work(void)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        struct tenant *t = &tenants[i];
        if (!t->here)
            continue;
        for (uint32_t step = 0; step < 64u; step++, t->at = (t->at + 1u) % t->size)
            if (ARENA[t->from + t->at] != kept(t, t->at))
                return 0;
    }
    return 1;
}

/* The longest run that is free when `gone` (a bit for each tenant) have left; *from is where. */
static uint32_t run_without(uint32_t gone, uint32_t *from)
{
    uint32_t best = 0;
    for (uint32_t start = 0; start < ARENA_SIZE;) {
        uint32_t end = ARENA_SIZE;
        uint32_t behind = start;
        for (uint32_t i = 0; i < COUNT; i++) {
            const struct tenant *t = &tenants[i];
            if (gone >> i & 1u || t->from + t->size <= start)
                continue;
            if (t->from <= start)
                behind = t->from + t->size > behind ? t->from + t->size : behind;
            else if (t->from < end)
                end = t->from;
        }
        if (behind > start) {
            start = behind;
            continue;
        }
        if (end - start > best) {
            best = end - start;
            *from = start;
        }
        start = end;
    }
    return best;
}

uint32_t tenants_lendable(void)
{
    uint32_t from = 0;
    return run_without((1u << COUNT) - 1u, &from);
}

uint8_t *tenants_free(uint32_t size)
{
    uint32_t from = 0;
    /* Counting upwards with the first to leave as the lowest digit finds the least set in the order of priority. */
    for (uint32_t gone = 0; gone < 1u << COUNT; gone++) {
        if (run_without(gone, &from) < size)
            continue;
        for (uint32_t i = 0; i < COUNT; i++) {
            if (gone >> i & 1u && tenants[i].here) {
                tenants[i].here = 0;
                services->say(tenants[i].name);
                services->say("  left its memory");
            }
        }
        return ARENA + from;
    }
    return 0;
}

uint8_t *tenants_spare(uint32_t *size)
{
    *size = SPARE_SIZE;
    return ARENA + ARENA_SIZE;
}

void tenants_return(void)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        if (tenants[i].here)
            continue;
        enter(&tenants[i]);
        services->say(tenants[i].name);
        services->say("  is back");
    }
}
