"""Runs all tests of the Python runner with the interpreter that runs this file: 3.9 or newer, nothing to install.

    python worker/tests/python/test_runner.py

Exit status 0: all passed. Each test starts real runners and talks to them as the pool does.
"""

import os
import sys
import unittest


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    tests = unittest.defaultTestLoader.discover(folder, pattern="test_*.py", top_level_dir=folder)
    result = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1).run(tests)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
