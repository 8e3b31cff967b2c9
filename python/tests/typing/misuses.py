"""What type checkers must refuse: each marked line, and no other."""

import poolmap

poolmap.Executor(backend="fiber")  # refused
poolmap.Executor(max_workers="2")  # refused
poolmap.Executor().submit(len, 5)  # refused
poolmap.pool_size(platform_limit="none")  # refused
poolmap.run_jobs([len], order="random")  # refused
poolmap.Executor(cluster=5)  # refused
number: int = poolmap.Executor().submit(str, 5).result()  # refused
