/* The page that html.c fills, as it stands in page.html. */
    .section .rodata
    .globl trace_page_html, trace_page_html_end
trace_page_html:
    .incbin "vmm/trace/page.html"
trace_page_html_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
