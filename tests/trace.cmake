# The page trace: its file, its reports.
umbra_unit_test(test_trace)
add_executable(json_ok json_ok.c)
target_link_libraries(json_ok PRIVATE umbra_flags)
umbra_script_test(trace LABEL fast TIMEOUT 180 ARGS $<TARGET_FILE:json_ok>)
umbra_script_test(trace_html LABEL guest TIMEOUT 240 ARGS $<TARGET_FILE:json_ok>)
umbra_script_test(top LABEL guest TIMEOUT 240 ARGS $<TARGET_FILE:json_ok>)
umbra_unit_test(test_mm_trace)
