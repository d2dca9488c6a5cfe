# explore.cmake - coracle-explore: every state of three consensus cores within a scope; and the same
# over broken cores, which it must find (docs/testing.md). A mutant is one file of src/raft, changed
# while it is copied into the build directory; the linker takes it instead of the library's.
if(CORACLE_FUZZ)
    return()
endif()
file(GLOB explore_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/explore/*.c)
add_library(explore_objects OBJECT ${explore_sources})
target_link_libraries(explore_objects PUBLIC m_raft)
add_executable(coracle-explore $<TARGET_OBJECTS:explore_objects>)
target_link_libraries(coracle-explore PRIVATE m_raft)
add_test(NAME explore-small COMMAND coracle-explore --terms 1 --messages 1)
set_tests_properties(explore-small PROPERTIES LABELS unit)

set(mutate ${PROJECT_SOURCE_DIR}/tools/mutate)
set(mutants ${PROJECT_SOURCE_DIR}/tests/explore/mutants.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${mutants})
execute_process(COMMAND ${mutate} ${mutants} --list OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "\n$" "" listed "${listed}")
string(REPLACE "\n" ";" listed "${listed}")

# Broken cores are built where the simulator is built for speed, never with the sanitizers.
if(NOT CORACLE_SANITIZE AND NOT CORACLE_COVERAGE AND CORACLE_OS)
    foreach(line ${listed})
        string(REPLACE " " ";" words "${line}")
        list(POP_FRONT words name file)
        set(source ${PROJECT_SOURCE_DIR}/src/raft/${file})
        set(copy ${CMAKE_BINARY_DIR}/mutants/${name}/${file})
        file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/mutants/${name})
        add_custom_command(OUTPUT ${copy} DEPENDS ${source} ${mutants} ${mutate} VERBATIM
            COMMAND ${mutate} ${mutants} ${name} ${source} ${copy})
        add_executable(explore-${name} ${copy} $<TARGET_OBJECTS:explore_objects>)
        target_link_libraries(explore-${name} PRIVATE m_raft)
    endforeach()
endif()
if(NOT CORACLE_EVERYTHING)
    return()
endif()

# The scopes of every full run: a minute together.
set(scope_election --terms 1 --messages 2 --crashes 1)
set(scope_change --led --messages 3)
set(scope_crash --led --messages 2 --elections 1 --entries 3 --crashes 1)
set(scope_read --led --messages 2 --elections 1 --reads 1)
set(scope_lease --led --timed --messages 3 --elections 1)
foreach(scope election change crash read lease)
    add_test(NAME explore-${scope} COMMAND build/release/coracle-explore ${scope_${scope}}
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(explore-${scope} PROPERTIES LABELS sim)
endforeach()
foreach(line ${listed})
    string(REPLACE " " ";" words "${line}")
    list(POP_FRONT words name file)
    add_test(NAME mutant-${name} COMMAND build/release/explore-${name} ${words} --states 4000000
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(mutant-${name} PROPERTIES LABELS sim PASS_REGULAR_EXPRESSION "broken after")
endforeach()
