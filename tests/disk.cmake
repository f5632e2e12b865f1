# Disks: the ATA device, the files behind it, the machine's drives.
umbra_unit_test(test_dev_ide SOURCES ide_world.c)
umbra_unit_test(test_dev_ide_cd SOURCES ide_world.c)
umbra_unit_test(test_disk)
umbra_unit_test(test_soft_io_many SOURCES soft_world.c soft_env.c)
add_executable(fuzz_ide fuzz_ide.c)
target_link_libraries(fuzz_ide PRIVATE vmm mm umbra_flags)
add_test(NAME fuzz_ide COMMAND fuzz_ide 1 1000)
set_tests_properties(fuzz_ide PROPERTIES TIMEOUT 60 LABELS fast)

# The whole machine: a guest's driver, and what its disks' files hold afterwards.
foreach(where soft hybrid qemu)
  add_test(NAME disk_guest.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/disk_guest.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(disk_guest.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()

# The same for diskettes, and from a diskette's first sector through a BIOS.
foreach(where soft hybrid qemu)
  add_test(NAME floppy_guest.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/floppy_guest.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(floppy_guest.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()

# From a disk's first sector through a BIOS: skipped where package seabios is missing.
foreach(where soft hybrid qemu)
  add_test(NAME bios_boot.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bios_boot.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(bios_boot.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()

# An image in real mode, by each of Linux's old protocols.
umbra_unit_test(test_dev_fwcfg)
umbra_unit_test(test_load_real SOURCES load_world.c)
foreach(where soft hybrid qemu)
  add_test(NAME real_boot.${where} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/real_boot.sh $<TARGET_FILE:umbra>
    ${CMAKE_BINARY_DIR}/guest ${where})
  set_tests_properties(real_boot.${where} PROPERTIES TIMEOUT 240 LABELS guest SKIP_RETURN_CODE 77)
endforeach()

umbra_bad_test(drive_missing 2 "nothing.img: cannot open it" -hda /tmp/there/is/nothing.img)
umbra_bad_test(drive_empty 2 "/dev/null: neither a file nor a block device" -hda /dev/null)
umbra_bad_test(drive_directory 2 "disk /tmp: " -drive file=/tmp,readonly=on)
umbra_bad_test(drive_no_file 1 "no file=FILE" -drive index=1)
umbra_bad_test(drive_word 1 "'cache' is none of: file, format" -drive file=x,cache=none)
umbra_bad_test(drive_format 1 "format: 'qcow2' is none of: raw" -drive file=x,format=qcow2)
umbra_bad_test(drive_interface 1 "if: 'virtio' is none of: ide, floppy" -drive file=x,if=virtio)
umbra_bad_test(drive_index 1 "index: '4' is not in 0..3" -drive file=x,index=4)
umbra_bad_test(drive_twice 1 "drive 0 is 'x' already" -hda x -drive file=y,index=0)
umbra_bad_test(drive_five 1 "more than 4 drives" -hda a -hdb b -hdc c -hdd d -drive file=e)
umbra_bad_test(floppy_large 2 "no diskette holds more than 2949120" -drive if=floppy,format=raw,readonly=on,file=${CMAKE_BINARY_DIR}/vmm/umbra)
umbra_bad_test(floppy_third 1 "more than 2 floppy drives" -fda a -fdb b -drive if=floppy,file=c)
umbra_bad_test(floppy_index 1 "index: '2' is not in 0..1 for a floppy drive" -drive if=floppy,file=c,index=2)
umbra_bad_test(floppy_twice 1 "floppy drive 0 is 'a' already" -fda a -drive if=floppy,index=0,file=c)
umbra_bad_test(floppy_cd 1 "a CD-ROM is no diskette" -drive if=floppy,file=c,media=cdrom)
umbra_bad_test(boot_letter 1 "give a .floppy., c .disk., d .CD-ROM." -hda x -boot n)
umbra_bad_test(bios_and_image 1 "start from a drive, or an image in real mode: not " ${GUEST_DIR}/hello.elf -boot c)
umbra_bad_test(bios_missing 2 "firmware /nonexistent/bios: " --bios /nonexistent/bios)
umbra_bad_test(bios_size 2 "no multiple of 64 KiB" --bios ${CMAKE_SOURCE_DIR}/LICENSE)

# GRUB, from Debian's packages: skipped without them.
umbra_script_test(grub_boot LABEL guest TIMEOUT 240)
umbra_script_test(shutdown LABEL guest TIMEOUT 120)
