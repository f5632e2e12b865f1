# Kernels that nobody here wrote, from the cache of tools/fetch-images; skipped, and said so, where it is empty.
# One build runs them whole; under sanitizers and the second compiler Linux's first seconds must do.
function(umbra_image_test name script)
  add_test(NAME images.${name}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/images/${script}.sh $<TARGET_FILE:umbra> $<TARGET_FILE:talk> ${ARGN})
  set_tests_properties(images.${name} PROPERTIES TIMEOUT 900 LABELS images SKIP_RETURN_CODE 77)
endfunction()

# Minutes each: they run when the configuration "long" is asked for (ctest -C long; tools/test --long).
function(umbra_image_test_long name script)
  add_test(NAME images.${name} CONFIGURATIONS long
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/images/${script}.sh $<TARGET_FILE:umbra> $<TARGET_FILE:talk> ${ARGN})
  set_tests_properties(images.${name} PROPERTIES TIMEOUT 10000 LABELS "images;long" SKIP_RETURN_CODE 77)
endfunction()

umbra_image_test(linux_starts linux_starts linux-686)
if(NOT UMBRA_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL GNU)
  foreach(kernel linux-686 linux-686-pae)
    umbra_image_test(${kernel}.session linux_session ${kernel})
    umbra_image_test(${kernel}.complaints linux_complaints ${kernel})
    umbra_image_test(${kernel}.compare compare_linux ${kernel})
    umbra_image_test(${kernel}.shell.hybrid linux_shell ${kernel} hybrid)
    umbra_image_test(${kernel}.shell.native linux_shell ${kernel} native)
  endforeach()
  umbra_image_test(linux-686.disk.mbr linux_disk linux-686 mbr)
  umbra_image_test(linux-686-pae.disk.direct linux_disk linux-686-pae direct)
  umbra_image_test(linux-686.devices linux_devices linux-686)
  umbra_image_test(linux-686.gdb gdb_linux linux-686)
  umbra_image_test(memtest.start memtest start soft)
  umbra_image_test(memtest.start.hybrid memtest start hybrid)
  umbra_image_test(memtest.keys memtest keys)
  umbra_image_test(memtest.tiny memtest tiny)
  # All tests in the least memory that it takes; and in what fits one window of its tests.
  umbra_image_test(memtest.pass.5m memtest pass 5 1024 256)
  umbra_image_test_long(memtest.pass.16m memtest pass 16 3072 1024)
  umbra_image_test_long(memtest.start.native memtest start native)
  # Windows that it maps with PAE, at the end of RAM.
  umbra_image_test(memtest.top.3584m memtest top 3584M 3575 3.49)
  umbra_image_test_long(memtest.top.3g memtest top 3G 3060 2.98)
  umbra_image_test_long(memtest.top.1g memtest top 1G 1015 1015)
  umbra_image_test_long(memtest.top.512m memtest top 512M 500 500)
  umbra_image_test(linux-686.panic linux_panic linux-686)
  foreach(how grub-cd memtest-cd memdisk floppy ipxe invaders gnumach)
    umbra_image_test(loaders.${how} loaders ${how})
  endforeach()
  umbra_image_test_long(loaders.installer loaders installer)
  umbra_image_test(readme readme)
  umbra_image_test(linux-686.shell.soft linux_shell linux-686 soft)
endif()
