/* Going from one address space to another. A space that is left keeps its registers in sp_context, of which
 * each space has its own copy at the same place; behind the OUT the copy is the other's. */
#include "guest/abi.h"

        .text
/* int sp_save(void): 0; and 1 when somebody comes to this space. The caller must still be there then. */
        .globl  sp_save
        .type   sp_save, @function
sp_save:
        call    save_at_return
        xorl    %eax, %eax
        ret
        .size   sp_save, . - sp_save

/* Keep the registers as the caller's caller will find them. */
save_at_return:
        movl    4(%esp), %ecx
        movl    %ecx, sp_context
        leal    8(%esp), %ecx
        movl    %ecx, sp_context + 4
        movl    %ebx, sp_context + 8
        movl    %esi, sp_context + 12
        movl    %edi, sp_context + 16
        movl    %ebp, sp_context + 20
        ret

/* int sp_enter(struct umbra_hc *): a call that switches; 1 when somebody comes back. */
        .globl  sp_enter
        .type   sp_enter, @function
sp_enter:
        movl    4(%esp), %eax
        call    save_at_return
        movl    $UMBRA_HC_PORT, %edx
        outl    %eax, %dx
        /* From here on nothing of what we left is true but EIP. */
        movl    sp_context + 4, %esp
        movl    sp_context + 8, %ebx
        movl    sp_context + 12, %esi
        movl    sp_context + 16, %edi
        movl    sp_context + 20, %ebp
        movl    $1, %eax
        jmp     *sp_context
        .size   sp_enter, . - sp_enter

        .local  sp_context
        .comm   sp_context, 24, 4
        .section .note.GNU-stack, "", @progbits
