# Guests whose memory the monitor manages, through "umbra test", on each engine and under audit.
foreach(guest zero cow fork prot window shared exit swap thrash ahead args)
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
umbra_script_test(cmd_test TIMEOUT 120 ARGS $<TARGET_FILE:json_ok>)
umbra_script_test(spaces_same LABEL guest TIMEOUT 300)

# What the table of pages says after a fork, after the child's writes, after the parent's.
foreach(engine soft kvm hybrid)
  set(run ${GUEST_DIR}/mm_fork.elf -m 8M --pt 0x40000000+32k)
  umbra_guest_test(fork_table ENGINE ${engine}
    CHECK -n "^not ok" -g "^40000000-40007fff +8 .* 2/2 +copy-on-write"
    RUN ${run} -append stop=fork)
  umbra_guest_test(fork_table_child ENGINE ${engine}
    CHECK -n "^not ok" -g "^40000000-40003fff +4 .* P-AD +P- .* 1/1 +the last owner"
          -g "^40004000-40007fff +4 .* 2/2 +copy-on-write"
    RUN ${run} -append stop=child)
  umbra_guest_test(fork_table_parent ENGINE ${engine}
    CHECK -n "^not ok" -g "^40000000-40001fff +2 .* PWAD +PW .* 1/1 +in step" -g "^40002000-40003fff +2 .* 1/1 +the last owner"
          -g "^40004000-40005fff +2 .* PWAD +PW .* 1/1 +in step" -g "^40006000-40007fff +2 .* 2/2 +copy-on-write"
    RUN ${run})
endforeach()
