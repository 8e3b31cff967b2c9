"""CPython's own tests: the interpreter's, and the few that CPython 3.11 and 3.12 forgot to install, from Debian's package."""

import os
import sysconfig

__path__ += [os.path.join(sysconfig.get_path("stdlib"), "test"), "/usr/lib/python3.11/test"]
