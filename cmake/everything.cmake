# everything.cmake - the tests that need more than this build: fuzzing (build/fuzz), real processes
# (build/release), another architecture, clang-tidy. ./dev test builds those and sets
# CORACLE_EVERYTHING; plain ctest in a build directory runs what that directory can run alone.
#
# The time of two cores is shared out so: fuzzing 3 minutes, simulator 4, real processes 3, all else 4. COST makes ctest
# begin with what takes longest, so that both cores are busy to the end.
option(CORACLE_EVERYTHING "run fuzzers, end-to-end tests and cross builds under this ctest" OFF)
if(NOT CORACLE_EVERYTHING)
    return()
endif()

# A minute for each format that meets strangers' bytes. The others are only kept from rotting here, beside the replay of
# their corpus under sanitizers; ./dev fuzz gives every target its time.
set(minute_targets http_request peer_frame wal_segment superblock entry config)
file(GLOB fuzzers ${PROJECT_SOURCE_DIR}/fuzz/*_fuzz.c)
foreach(source ${fuzzers})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "_fuzz$" "" name ${name})
    set(seconds 5)
    if(name IN_LIST minute_targets)
        set(seconds 60)
    endif()
    add_test(NAME fuzz-${name} COMMAND ${PROJECT_SOURCE_DIR}/tools/fuzz build/fuzz/fuzz-${name} ${seconds}
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(fuzz-${name} PROPERTIES LABELS fuzz COST ${seconds})
endforeach()

# Real processes are measured and hurt one test at a time, on an otherwise quiet machine.
foreach(kind e2e faults)
    set(folder tests/e2e)
    if(kind STREQUAL faults)
        set(folder tests/e2e/faults)
    endif()
    file(GLOB scripts ${PROJECT_SOURCE_DIR}/${folder}/*_test.py)
    foreach(script ${scripts})
        get_filename_component(name ${script} NAME_WE)
        string(REGEX REPLACE "_test$" "" name ${name})
        string(REPLACE "_" "-" name ${name})
        add_test(NAME ${kind}-${name} COMMAND python3 ${script} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        set_tests_properties(${kind}-${name} PROPERTIES LABELS ${kind} RUN_SERIAL ON
            ENVIRONMENT "CORACLE=${PROJECT_SOURCE_DIR}/build/release/coracle;PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/e2e")
    endforeach()
endforeach()

foreach(seeds 1..1500 1501..3000)
    add_test(NAME sim-seeds-${seeds} COMMAND ${PROJECT_SOURCE_DIR}/build/release/coracle-sim --seeds ${seeds}
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(sim-seeds-${seeds} PROPERTIES LABELS sim COST 200)
endforeach()
add_test(NAME embed-threads COMMAND ${PROJECT_SOURCE_DIR}/build/tsan/test-embed-embed WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(embed-threads PROPERTIES LABELS unit)
add_test(NAME arm64-units COMMAND ${PROJECT_SOURCE_DIR}/tools/arm64 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(arm64-units PROPERTIES LABELS cross COST 100)
add_test(NAME lint-tidy COMMAND ${PROJECT_SOURCE_DIR}/tools/check-tidy build/fuzz WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(lint-tidy PROPERTIES LABELS lint COST 200)
add_test(NAME install COMMAND ${PROJECT_SOURCE_DIR}/tools/check-install build/release WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(install PROPERTIES LABELS unit)
