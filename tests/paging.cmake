# The reference MMU, and what is held against it.
umbra_unit_test(test_refmmu SOURCES refmmu.c)
umbra_unit_test(test_access_cases SOURCES access_cases.c access_check.c access_soft.c refmmu.c soft_env.c)

# The guests with page tables, held against another machine; skipped where there is no QEMU.
add_test(NAME guests_qemu COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/guests_qemu.sh ${CMAKE_BINARY_DIR}/guest)
set_tests_properties(guests_qemu PROPERTIES TIMEOUT 300 LABELS guest SKIP_RETURN_CODE 77)
