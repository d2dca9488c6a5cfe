"""runner.py - run the tests of one script: functions whose names are sentences.

`run(first, second, ...)` runs each, prints a line for each and a closing line, and ends the process
with 1 when one failed. A test that cannot run here raises Skip with the reason, which is printed.
An argument selects the tests whose names contain it.
"""
import sys
import time
import traceback


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


def run(*tests):
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    passed = failed = skipped = 0
    for test in tests:
        if pattern not in test.__name__:
            continue
        began = time.monotonic()
        try:
            test()
        except Skip as why:
            skipped += 1
            print(f"skip  {test.__name__}: {why}", flush=True)
        except Exception:  # a test may fail in any way; the others still run
            failed += 1
            traceback.print_exc()
            print(f"FAIL  {test.__name__}", flush=True)
        else:
            passed += 1
            print(f"ok    {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed or passed + skipped == 0 else 0)


def check_eq(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def check(what, true):
    if not true:
        raise AssertionError(what)
