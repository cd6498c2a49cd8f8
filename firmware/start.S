/* start.S - the first instructions of the boot core: vectors, RAM set up, then C. At flash offset 0x20 stands the address of
 * the table of services for the application. */
#if defined(__arm__)
    .section .vectors, "ax"
    .arm
    .global _start
_start:
    b reset
    b fault
    b fault
    b fault
    b fault
    b fault
    b fault
    b fault
    .word fw_services
reset:
    ldr sp, =_stack
    ldr r0, =_data
    ldr r1, =_data_end
    ldr r2, =_data_load
1:  cmp r0, r1
    ldrlo r3, [r2], #4
    strlo r3, [r0], #4
    blo 1b
    ldr r0, =_bss
    ldr r1, =_bss_end
    mov r3, #0
2:  cmp r0, r1
    strlo r3, [r0], #4
    blo 2b
    ldr r0, =boot_main
    bx r0
fault:
    ldr sp, =_stack
    ldr r0, =boot_fault
    bx r0
#else
    .section .vectors, "ax"
    .global _start
_start:
    csrr t0, mhartid
    bnez t0, .
    j reset
    .org 0x20
    .word fw_services
reset:
    la sp, _stack
    la t0, fault
    csrw mtvec, t0
    la t0, _data
    la t1, _data_end
    la t2, _data_load
1:  bgeu t0, t1, 2f
    lw t3, 0(t2)
    sw t3, 0(t0)
    addi t0, t0, 4
    addi t2, t2, 4
    j 1b
2:  la t0, _bss
    la t1, _bss_end
3:  bgeu t0, t1, 4f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 3b
4:  la t0, boot_main
    jr t0
    .balign 4
fault:
    la sp, _stack
    la t0, boot_fault
    jr t0
#endif
