# The soft CPU's system part: segmentation against the host's CPU, and restarts at every access.
add_executable(diff_segments diff_segments.c native32.c soft_env.c)
target_link_libraries(diff_segments PRIVATE vmm mm umbra_flags)
if(NOT UMBRA_SANITIZE) # whose shadow memory lies where programs expect nothing
  add_test(NAME diff_segments COMMAND diff_segments --count 100000)
  set_tests_properties(diff_segments PROPERTIES TIMEOUT 60 LABELS fast SKIP_RETURN_CODE 77)
endif()
add_executable(fuzz_soft_sys fuzz_soft_sys.c soft_world.c soft_env.c)
target_link_libraries(fuzz_soft_sys PRIVATE vmm mm umbra_flags)
add_test(NAME fuzz_soft_sys COMMAND fuzz_soft_sys 1 1500)
set_tests_properties(fuzz_soft_sys PROPERTIES TIMEOUT 60 LABELS fast)
umbra_unit_test(test_shadow_reuse)
