# The swap back end: page I/O, area, slot map, compressed pool, swap store.
foreach(t test_aio test_area test_area_slots test_area_store test_area_writeback test_area_fuzz
    test_area_fail test_zpool)
  umbra_unit_test(${t})
endforeach()
umbra_thread_test(thread_area)

# Calls that test_area_fail makes fail.
foreach(f calloc aligned_alloc strdup free mmap munmap pthread_create open fcntl pread pwrite ftruncate
    fallocate fsync getrandom io_uring_queue_init io_uring_submit)
  target_link_options(test_area_fail PRIVATE -Wl,--wrap=${f})
endforeach()

# Sanitizers and the other compiler have a tenth of it.
if(UMBRA_SANITIZE OR NOT CMAKE_C_COMPILER_ID STREQUAL GNU)
  set(area_events 100000)
else()
  set(area_events 1000000)
endif()
add_test(NAME test_area_fuzz_million COMMAND test_area_fuzz)
set_tests_properties(test_area_fuzz_million PROPERTIES TIMEOUT 600 LABELS long
  ENVIRONMENT "UMBRA_FUZZ_EVENTS=${area_events};UMBRA_FUZZ_SEED=1000")

# As if liburing had not been there when the library was built.
foreach(t test_aio test_area_store)
  add_executable(${t}_without_uring ${t}.c no_uring.c)
  target_link_libraries(${t}_without_uring PRIVATE mm umbra_flags PkgConfig::criterion)
  add_test(NAME ${t}_without_uring COMMAND ${t}_without_uring)
  set_tests_properties(${t}_without_uring PROPERTIES TIMEOUT 60 LABELS fast SKIP_RETURN_CODE 77)
endforeach()
