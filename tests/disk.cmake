# Disks: the ATA device, the files behind it, the machine's drives.
umbra_unit_test(test_dev_ide SOURCES ide_world.c)

# The whole machine: a guest's driver, and what its disks' files hold afterwards.
foreach(where soft hybrid qemu)
  add_test(NAME disk_guest.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/disk_guest.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(disk_guest.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()
