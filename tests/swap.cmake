# Guests that need more memory than their frame pool has: pages go to a compressed pool, a swap file
# (run_guest.sh -s makes one), or both, and must come back as they were.
foreach(engine soft kvm hybrid)
  umbra_guest_test(swap_touch_zpool ENGINE ${engine}
    CHECK -n "^not ok" -g "ok 6 - the pattern holds" -g "pages written out +[1-9]" -g "swapped out: to the compressed pool"
    RUN ${GUEST_DIR}/touch.elf -m 16M --pool 4M --zpool 8M -append "swap=1 pages=1500" --stats --pt)
  umbra_guest_test(swap_touch_file ENGINE ${engine}
    CHECK -s 32M -n "^not ok" -g "ok 6 - the pattern holds" -g "pages read from the swap file +[1-9]"
          -g "swapped out: to the swap area"
    RUN ${GUEST_DIR}/touch.elf -m 16M --pool 4M -append "swap=1 pages=1500" --stats --pt)
  umbra_guest_test(swap_touch_both ENGINE ${engine}
    CHECK -s 32M -n "^not ok" -g "ok 6 - the pattern holds" -g "compressed pool: pages in +[1-9]"
          -g "pages written back from the compressed pool +[1-9]"
    RUN ${GUEST_DIR}/touch.elf -m 16M --pool 4M --zpool 64k -append "swap=1 pages=1500" --stats)
  # A KVM in software may run less than a million instructions a second.
  if(engine STREQUAL kvm)
    set(small "pages=120 step=64")
  else()
    set(small "pages=512 step=4")
  endif()
  foreach(mix all random text same)
    umbra_guest_test(thrash_${mix} ENGINE ${engine} CHECK -s 8M -n "^not ok" -g "^1\\.\\.4" -g "pages read back +[1-9]"
      RUN ${GUEST_DIR}/thrash.elf -m 4M --pool 256k --zpool 128k -append "${small} mix=${mix}" --stats)
  endforeach()
  umbra_guest_test(thrash_share ENGINE ${engine}
    CHECK -s 8M -n "^not ok" -g "^1\\.\\.4" -g "pages merged for identical content +[1-9]"
    RUN ${GUEST_DIR}/thrash.elf -m 4M --pool 320k --share=32 -append "${small} mix=zero" --stats)
endforeach()

# Every invariant after every trap, and after every so many where that takes too long.
foreach(engine soft hybrid)
  umbra_guest_test(thrash_audit ENGINE ${engine} CHECK -s 8M -n "^not ok" -g "^1\\.\\.4"
    RUN ${GUEST_DIR}/thrash.elf -m 4M --pool 256k --zpool 64k --share -append "pages=200 step=64" --audit)
endforeach()
umbra_guest_test(thrash_audit ENGINE kvm CHECK -s 8M -n "^not ok" -g "^1\\.\\.4"
  RUN ${GUEST_DIR}/thrash.elf -m 4M --pool 256k --zpool 64k --share -append "pages=80 step=64" --audit=16)
# Few pages, most of them alike, and a scan that could merge them faster than they are used.
umbra_guest_test(share_in_step ENGINE soft CHECK -x 0
  RUN ${GUEST_DIR}/pt_states.elf -m 32M --share=64 -append traps=2000 --timeout 60)
umbra_guest_test(thrash_4x ENGINE soft CHECK -s 32M -n "^not ok" -g "^1\\.\\.8"
  RUN ${GUEST_DIR}/thrash.elf -m 17M --pool 4M --zpool 2M -append "rounds=2 step=9" --audit=4999)
# Page tables of the guest's own that leave and come back.
foreach(guest mmu_ad mmu_rights mmu_flush mmu_global mmu_pse)
  umbra_guest_test(swap_${guest} ENGINE soft CHECK -s 32M -n "^not ok" -g "^1\\.\\."
    RUN ${GUEST_DIR}/${guest}.elf -m 16M --pool 256k --zpool 64k --audit=8)
  umbra_guest_test(swap_${guest} ENGINE hybrid CHECK -s 32M -n "^not ok" -g "^1\\.\\."
    RUN ${GUEST_DIR}/${guest}.elf -m 16M --pool 256k --zpool 64k)
endforeach()

# The same console whether all of memory fits or a quarter of it.
umbra_script_test(thrash_same LABEL guest TIMEOUT 240)
# Areas that are not as they should be, disks that fill up, processes that are killed.
umbra_script_test(swap_errors LABEL guest TIMEOUT 120)
umbra_unit_test(test_mm_balance)
