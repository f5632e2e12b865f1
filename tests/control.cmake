# The control socket, and what is built on it.
foreach(engine soft hybrid)
  add_test(NAME control.${engine} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/control.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${engine})
  add_test(NAME control_pages.${engine} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/control_pages.sh
    $<TARGET_FILE:umbra> ${CMAKE_BINARY_DIR}/guest ${engine})
  set_tests_properties(control.${engine} control_pages.${engine} PROPERTIES TIMEOUT 300 LABELS guest
    SKIP_RETURN_CODE 77)
endforeach()
umbra_unit_test(test_control_budget)
umbra_unit_test(test_ptdump)
umbra_unit_test(test_explain)
umbra_thread_test(thread_control TIMEOUT 120)
