# tinykernel: a kernel in the higher half with programs inside. Its own entry and link script; of the
# guests' runtime it takes what needs no flat memory.
set(TK ${CMAKE_CURRENT_SOURCE_DIR}/tinykernel)
set(TK_PROGRAMS init execed)
set(TK_IMAGES)
guest_object(tinykernel/user/start.S tk_user_start)
foreach(program ${TK_PROGRAMS})
  guest_object(tinykernel/user/${program}.c obj)
  set(image ${CMAKE_CURRENT_BINARY_DIR}/tk_${program})
  add_custom_command(OUTPUT ${image}.bin
    COMMAND ${CMAKE_C_COMPILER} -m32 -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack
            -Wl,--no-warn-rwx-segments -Wl,-T,${TK}/user/user.ld -o ${image}.elf ${tk_user_start} ${obj}
    COMMAND ${CMAKE_OBJCOPY} -O binary ${image}.elf ${image}.bin
    DEPENDS ${tk_user_start} ${obj} ${TK}/user/user.ld VERBATIM
    COMMENT "tinykernel program ${program}")
  list(APPEND TK_IMAGES ${image}.bin)
endforeach()

set(TK_OBJECTS)
foreach(source boot.S entry.S main.c frames.c vm.c proc.c traps.c syscall.c)
  guest_object(tinykernel/${source} obj)
  list(APPEND TK_OBJECTS ${obj})
endforeach()
foreach(source start.c console.c string.c boot.c tap.c)
  guest_object_name(rt/${source} obj)
  list(APPEND TK_OBJECTS ${obj})
endforeach()
set(TK_EMBED ${CMAKE_CURRENT_BINARY_DIR}/tk_programs.o)
add_custom_command(OUTPUT ${TK_EMBED}
  COMMAND ${CMAKE_C_COMPILER} ${GUEST_CFLAGS} -Wa,-I${CMAKE_CURRENT_BINARY_DIR} -c ${TK}/programs.S
          -o ${TK_EMBED}
  DEPENDS ${TK}/programs.S ${TK_IMAGES} VERBATIM COMMENT "tinykernel's programs")
set(TK_ELF ${CMAKE_CURRENT_BINARY_DIR}/tinykernel.elf)
add_custom_command(OUTPUT ${TK_ELF}
  COMMAND ${CMAKE_C_COMPILER} -m32 -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack
          -Wl,--fatal-warnings -Wl,-T,${TK}/link.ld -o ${TK_ELF} ${TK_OBJECTS} ${TK_EMBED}
  DEPENDS ${TK_OBJECTS} ${TK_EMBED} ${TK}/link.ld VERBATIM COMMENT "Guest image tinykernel.elf")
list(APPEND GUEST_IMAGES ${TK_ELF})
