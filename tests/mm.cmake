# The memory manager's core.
foreach(t test_pool test_mm_fault test_mm_region test_mm_audit test_mm_cow test_mm_object test_mm_swap
    test_mm_reclaim test_mm_share test_mm_runs)
  umbra_unit_test(${t})
endforeach()
umbra_unit_test(test_mm_sweep TIMEOUT 240)
umbra_thread_test(thread_mm TIMEOUT 120)

# The mm fuzzer: a smoke run here; hours by hand (fuzz_mm --seconds N). One run more that found something: the last
# of those that share a merged page writes to it while it is in the swap cache.
add_executable(fuzz_mm fuzz_mm.c)
target_link_libraries(fuzz_mm PRIVATE mm umbra_flags)
add_test(NAME fuzz_mm_smoke COMMAND fuzz_mm --seed 1 --runs 8 --events 1500)
add_test(NAME fuzz_mm_merged COMMAND fuzz_mm --seed 300220073 --events 300 --no-shrink)
set_tests_properties(fuzz_mm_smoke fuzz_mm_merged PROPERTIES TIMEOUT 120 LABELS fast)
# The same under the thread sanitizer: an area's transfers end on other threads.
add_test(NAME fuzz_mm_threads COMMAND fuzz_mm --seed 7 --runs 4 --events 1000)
set_tests_properties(fuzz_mm_threads PROPERTIES TIMEOUT 120 LABELS "fast;tsan")
# The million events once, with one compiler; sanitizers and the other one have a tenth.
if(UMBRA_SANITIZE OR NOT CMAKE_C_COMPILER_ID STREQUAL GNU)
  add_test(NAME fuzz_mm_million COMMAND fuzz_mm --seed 1000 --runs 25 --events 4000)
else()
  add_test(NAME fuzz_mm_million COMMAND fuzz_mm --seed 1000 --runs 250 --events 4000)
endif()
set_tests_properties(fuzz_mm_million PROPERTIES TIMEOUT 3600 LABELS long)

# The table of behaviours and tests in docs/mm.md.
umbra_script_test(behaviours)
