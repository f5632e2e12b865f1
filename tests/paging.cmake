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
umbra_unit_test(test_shadow_large)

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
# With 2 MiB entries, and RAM for them, which makes the audits larger.
if(UMBRA_SANITIZE OR NOT CMAKE_C_COMPILER_ID STREQUAL GNU)
  set(fuzz_mmu_events 5000)
else()
  set(fuzz_mmu_events 100000)
endif()
add_test(NAME fuzz_mmu_large COMMAND fuzz_mmu --events ${fuzz_mmu_events} --quota 128 --large 1 --seed 300000)
set_tests_properties(fuzz_mmu_large PROPERTIES TIMEOUT 300 LABELS guest)

# 2 MiB entries under guests: those that use large pages whole, those that do odd things to tables, and
# memory that is short, so that reservations of runs are broken.
set(made_large -g "\\.\\.\\. collapsed +[1-9]")
foreach(engine soft hybrid)
  umbra_guest_test(large_mmu_large ENGINE ${engine} CHECK ${made_large} -n "^not ok" -g "^1\\.\\."
    RUN ${GUEST_DIR}/mmu_large.elf -m 32M --large-pages on --audit=16 --stats)
  umbra_guest_test(large_mmu_pae ENGINE ${engine} CHECK -n "^not ok" -g "^1\\.\\."
    RUN ${GUEST_DIR}/mmu_pae.elf -m 16M --large-pages on --audit=8)
endforeach()
umbra_guest_test(large_mmu_pse ENGINE soft CHECK ${made_large} -n "^not ok" -g "^1\\.\\."
  RUN ${GUEST_DIR}/mmu_pse.elf -m 32M --large-pages on --audit=8 --stats)
umbra_guest_test(large_mmu_pse ENGINE hybrid CHECK ${made_large} -n "^not ok" -g "^1\\.\\."
  RUN ${GUEST_DIR}/mmu_pse.elf -m 32M --large-pages on --stats)
if(UMBRA_SANITIZE)
  set(mmu_fuzz_events 1000)
else()
  set(mmu_fuzz_events 3000)
endif()
foreach(engine soft hybrid)
  umbra_guest_test(large_mmu_fuzz ENGINE ${engine}
    CHECK ${made_large} -g "split again +[1-9]" -n "^not ok" -g "^1\\.\\."
    RUN ${GUEST_DIR}/mmu_fuzz.elf -m 16M -append "whole events=${mmu_fuzz_events}" --large-pages on --audit=20 --stats)
endforeach()
umbra_guest_test(large_mmu_wild ENGINE soft CHECK -n "^not ok" -g "^1\\.\\."
  RUN ${GUEST_DIR}/mmu_wild.elf -m 16M --large-pages on --audit=64)
umbra_guest_test(large_thrash ENGINE soft CHECK ${made_large} -g "pool runs broken +[1-9]" -n "^not ok" -g "^1\\.\\.4"
  RUN ${GUEST_DIR}/thrash.elf -m 17M --pool 8M --zpool 4M --large-pages on -append "rounds=1 step=9" --audit=4999
      --stats)
