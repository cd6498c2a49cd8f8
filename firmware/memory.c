/* memory.c - memcpy and its kin for a chip without a C library: words where both ends are aligned, else bytes. It must never read
 * or write beyond its ends, and the compiler must not turn it into calls of itself (-fno-tree-loop-distribute-patterns). */
#include <stdint.h>
#include <string.h>

/* A word that may lie on top of bytes of any type. */
typedef uint32_t __attribute__((may_alias)) word;

static int aligned(const void *to, const void *from) { return (((uintptr_t)to | (uintptr_t)from) & 3u) == 0; }

void *memcpy(void *to, const void *from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((((uintptr_t)t ^ (uintptr_t)f) & 3u) == 0) {
        for (; count > 0 && !aligned(t, f); count--)
            *t++ = *f++;
        for (; count >= 4u; count -= 4u, t += 4, f += 4)
            *(word *)(void *)t = *(const word *)(const void *)f;
    }
    while (count--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if (t <= f)
        return memcpy(to, from, count);
    if (aligned(t + count, f + count))
        for (; count >= 4u; count -= 4u)
            *(word *)(void *)(t + count - 4) = *(const word *)(const void *)(f + count - 4);
    while (count--)
        t[count] = f[count];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *t = to;
    word four = (uint8_t)value * 0x01010101u;
    if (aligned(t, t))
        for (; count >= 4u; count -= 4u, t += 4)
            *(word *)(void *)t = four;
    while (count--)
        *t++ = (uint8_t)value;
    return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *l = left;
    const uint8_t *r = right;
    if (aligned(l, r))
        for (; count >= 4u && *(const word *)(const void *)l == *(const word *)(const void *)r; count -= 4u)
            l += 4, r += 4;
    for (; count--; l++, r++)
        if (*l != *r)
            return *l - *r;
    return 0;
}

size_t strlen(const char *text)
{
    size_t count = 0;
    while (text[count])
        count++;
    return count;
}
