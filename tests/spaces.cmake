# Guests whose memory the monitor manages, through "umbra test", on each engine and under audit.
foreach(guest zero cow prot window shared exit swap thrash ahead args)
  foreach(engine soft kvm hybrid)
    set(how --engine ${engine})
    set(need)
    set(labels guest)
    if(engine STREQUAL kvm)
      set(how --engine kvm --ring0 native)
    elseif(engine STREQUAL hybrid)
      set(how --engine kvm --ring0 soft)
    endif()
    if(NOT engine STREQUAL soft)
      set(need -k)
      list(APPEND labels kvm)
    endif()
    add_test(NAME guest.mm_${guest}.${engine}
      COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/run_guest.sh ${need} -n "^not ok" -g "^1\\.\\." --
              $<TARGET_FILE:umbra> test mm_${guest} ${how})
    set_tests_properties(guest.mm_${guest}.${engine} PROPERTIES
      TIMEOUT 120 LABELS "${labels}" SKIP_RETURN_CODE 77)
  endforeach()
  set(every 1)
  if(guest MATCHES "thrash|ahead|args")
    set(every 50) # many traps, and each audit looks at everything
  endif()
  add_test(NAME guest.mm_${guest}.audit
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/run_guest.sh -n "^not ok" -g "^1\\.\\." --
            $<TARGET_FILE:umbra> test mm_${guest} --engine soft --audit=${every} --timeout 100)
  set_tests_properties(guest.mm_${guest}.audit PROPERTIES TIMEOUT 120 LABELS guest)
endforeach()
umbra_script_test(cmd_test TIMEOUT 120)
umbra_script_test(spaces_same LABEL guest TIMEOUT 300)
