# Disks: the ATA device, the files behind it, the machine's drives.
umbra_unit_test(test_dev_ide SOURCES ide_world.c)

# The whole machine: a guest's driver, and what its disks' files hold afterwards.
foreach(where soft hybrid qemu)
  add_test(NAME disk_guest.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/disk_guest.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(disk_guest.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()

# From a disk's first sector through a BIOS: skipped where package seabios is missing.
foreach(where soft qemu)
  add_test(NAME bios_boot.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bios_boot.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(bios_boot.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()
