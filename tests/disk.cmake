# Disks: the ATA device, the files behind it, the machine's drives.
umbra_unit_test(test_dev_ide SOURCES ide_world.c)
