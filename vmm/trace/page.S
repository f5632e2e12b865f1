/* The page that html.c fills, as it stands in page.html. */
    .section .rodata
    .globl trace_page_html, trace_page_html_bytes
trace_page_html:
    .incbin "vmm/trace/page.html"
1:
    .balign 8
trace_page_html_bytes:
    .quad 1b - trace_page_html
    .section .note.GNU-stack, "", @progbits
