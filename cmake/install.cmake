# install.cmake - what `cmake --install` puts where: the binary, the library with its headers and
# pkg-config file, the manual page, the unit for systemd. tools/check-install proves it.
#
# The archive holds one object: the rooms that a node needs, joined by `ld -r`, with every symbol but cor_* made
# local, so that internal names cannot collide with its user's.
if(NOT CORACLE_OS OR CORACLE_SANITIZE OR CORACLE_FUZZ OR CORACLE_COVERAGE OR NOT TARGET coracle)
    return()
endif()

set(joined ${CMAKE_BINARY_DIR}/joined.o)
set(archive ${CMAKE_BINARY_DIR}/libcoracle.a)
set(rooms api node peer wal raft goraft kv http json os io base)
set(whole $<TARGET_FILE:m_server> $<TARGET_FILE:m_raft> $<TARGET_FILE:m_base>)
set(parts)
set(needs m_server)
foreach(room ${rooms})
    list(APPEND parts $<TARGET_FILE:m_${room}>)
    list(APPEND needs m_${room})
endforeach()
get_target_property(llhttp_type llhttp TYPE)
if(llhttp_type STREQUAL STATIC_LIBRARY)
    list(APPEND parts $<TARGET_FILE:llhttp>)
else()
    set(CORACLE_PC_LLHTTP -lllhttp)
endif()
add_custom_command(OUTPUT ${archive} DEPENDS ${needs} ${whole} ${parts} COMMAND_EXPAND_LISTS VERBATIM
    COMMAND ${CMAKE_LINKER} -r -o ${joined} --whole-archive ${whole} --no-whole-archive
            --start-group ${parts} --end-group
    COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=cor_* ${joined}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} rcs ${archive} ${joined})
add_custom_target(coracle_archive ALL DEPENDS ${archive})

set(manual ${CMAKE_BINARY_DIR}/coracle.1)
add_custom_command(OUTPUT ${manual} DEPENDS coracle VERBATIM
    COMMAND $<TARGET_FILE:coracle> help --man > ${manual})
add_custom_target(coracle_manual ALL DEPENDS ${manual})

configure_file(packaging/coracle.pc.in coracle.pc @ONLY)
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/coracle DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/coracle.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES packaging/coracle.service DESTINATION lib/systemd/system)
install(FILES packaging/coracle.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})
