"""Four calls in a plain loop."""

from tasks import do_work

for t in [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]:
    print(do_work(*t))
