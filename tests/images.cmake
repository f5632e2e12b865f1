# Kernels that nobody here wrote, from the cache of tools/fetch-images; skipped, and said so, where it is empty.
# One build runs them whole; under sanitizers and the second compiler Linux's first seconds must do.
function(umbra_image_test name script)
  add_test(NAME images.${name}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/images/${script}.sh $<TARGET_FILE:umbra> $<TARGET_FILE:talk> ${ARGN})
  set_tests_properties(images.${name} PROPERTIES TIMEOUT 900 LABELS images SKIP_RETURN_CODE 77)
endfunction()

umbra_image_test(linux_starts linux_starts linux-686)
if(NOT UMBRA_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL GNU)
  foreach(kernel linux-686 linux-686-pae)
    umbra_image_test(${kernel}.session linux_session ${kernel})
    umbra_image_test(${kernel}.complaints linux_complaints ${kernel})
    umbra_image_test(${kernel}.compare compare_linux ${kernel})
    umbra_image_test(${kernel}.shell.hybrid linux_shell ${kernel} hybrid)
  endforeach()
  umbra_image_test(linux-686.disk.mbr linux_disk linux-686 mbr)
  umbra_image_test(linux-686-pae.disk.direct linux_disk linux-686-pae direct)
  umbra_image_test(linux-686.gdb gdb_linux linux-686)
  umbra_image_test(memtest.start memtest start)
  umbra_image_test(linux-686.shell.soft linux_shell linux-686 soft)
endif()
