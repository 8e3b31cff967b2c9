"""Four calls in the calling process."""

import poolmap

from tasks import do_work

tuples = [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]
for result in poolmap.run_jobs([do_work] * 4, tuples, workers=1):
    print(result)
