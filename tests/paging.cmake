# The reference MMU, and what is held against it.
umbra_unit_test(test_refmmu SOURCES refmmu.c)
umbra_unit_test(test_access_cases SOURCES access_cases.c access_check.c access_soft.c refmmu.c soft_env.c)

# The guests with page tables, held against another machine; skipped where there is no QEMU.
add_test(NAME guests_qemu COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/guests_qemu.sh ${CMAKE_BINARY_DIR}/guest)
set_tests_properties(guests_qemu PROPERTIES TIMEOUT 300 LABELS guest SKIP_RETURN_CODE 77)

umbra_unit_test(test_srmap)
umbra_unit_test(test_prefetch)
umbra_unit_test(test_code_frames)
umbra_unit_test(test_shadow_holes)
umbra_unit_test(test_shadow_audit)

# The random MMU fuzzer: a million events, with the audits after every one; half with few table pages, so that
# most events meet the quota, half with enough of them. Where a sanitizer or another compiler does it again,
# a tenth. Long runs: fuzz_mmu --events 100000000 --seed N.
add_executable(fuzz_mmu fuzz_mmu.c fuzz_mmu_world.c tlb_model.c refmmu.c)
target_link_libraries(fuzz_mmu PRIVATE vmm mm umbra_flags)
if(UMBRA_SANITIZE OR NOT CMAKE_C_COMPILER_ID STREQUAL GNU)
  set(fuzz_mmu_events 50000)
else()
  set(fuzz_mmu_events 500000)
endif()
add_test(NAME fuzz_mmu COMMAND fuzz_mmu --events ${fuzz_mmu_events} --quota 96)
add_test(NAME fuzz_mmu_quota COMMAND fuzz_mmu --events ${fuzz_mmu_events} --quota 32 --seed 100000)
set_tests_properties(fuzz_mmu fuzz_mmu_quota PROPERTIES TIMEOUT 300 LABELS guest)
