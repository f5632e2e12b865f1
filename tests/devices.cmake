# The devices of a PC: their units, and the guests that look at them from inside.
umbra_unit_test(test_dev_vga)
umbra_unit_test(test_dev_keys)
umbra_unit_test(test_dev_keyhold)
umbra_unit_test(test_dev_apic)
umbra_unit_test(test_dev_board)
umbra_unit_test(test_dev_fdc)
umbra_unit_test(test_dev_mouse)

foreach(engine soft kvm hybrid)
  umbra_guest_test(dev_vga ENGINE ${engine}
    CHECK -g "^1\\.\\." -n "^not ok" -g "^╔═ The VGA's text screen ═╗$" -g "^in its last line$"
    RUN ${GUEST_DIR}/dev_vga.elf -m 16M --display text --timeout 100)
endforeach()
umbra_guest_test(dev_vga_audit ENGINE soft CHECK -g "^1\\.\\." -n "^not ok"
  RUN ${GUEST_DIR}/dev_vga.elf -m 16M --shadow-pages 64 --audit --timeout 100)

foreach(engine soft kvm hybrid)
  umbra_guest_test(dev_apic ENGINE ${engine} CHECK -g "^1\\.\\." -n "^not ok"
    RUN ${GUEST_DIR}/dev_apic.elf -m 16M --timeout 100)
endforeach()

foreach(engine soft kvm hybrid)
  foreach(guest board ring3)
    umbra_guest_test(dev_${guest} ENGINE ${engine} CHECK -g "^1\\.\\." -n "^not ok"
      RUN ${GUEST_DIR}/dev_${guest}.elf -m 16M --timeout 100)
  endforeach()
  # Machines of their time had little memory.
  foreach(memory 2M 4M)
    umbra_guest_test(dev_vga_${memory} ENGINE ${engine} CHECK -g "^1\\.\\." -n "^not ok"
      RUN ${GUEST_DIR}/dev_vga.elf -m ${memory} --timeout 100)
  endforeach()
endforeach()

# Who gets the terminal, the screen, COM1 and the keyboard.
umbra_script_test(display LABEL guest TIMEOUT 120)
