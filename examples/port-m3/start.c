/* start.c - vectors, and RAM as C wants it. */
#include <stdint.h>

extern uint32_t _data[], _data_end[], _data_load[], _bss[], _bss_end[];
void m3_main(void);
void m3_reset(void);
void _stack(void); /* an address of the linker's */

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {_stack, m3_reset};

void m3_reset(void)
{
    const uint32_t *from = _data_load;
    for (uint32_t *to = _data; to < _data_end;)
        *to++ = *from++;
    for (uint32_t *to = _bss; to < _bss_end;)
        *to++ = 0;
    m3_main();
}
