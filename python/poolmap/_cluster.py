"""A cluster, as `cluster=` and `ship=` name it."""

import os


class Cluster:
    """The way to a cluster, and what travels there; called with an executor's hooks, it connects."""

    def __init__(self, cluster, ship, max_workers, backend):
        if max_workers is not None:
            raise ValueError("max_workers is for this machine; a cluster has the slots of its workers, so leave it out")
        if backend == "inline":
            raise ValueError("backend='inline' runs calls in this very process; leave it out with cluster=")
        self._access, self._url = _way(cluster)
        self._ship = _paths(ship)

    def __call__(self, hooks):
        from . import _native

        return _native.Pool.cluster(self._access, self._url, self._ship, hooks)


def _way(cluster):
    """An access file or an address; neither for the usual access file."""
    if cluster is True:
        return None, None
    if isinstance(cluster, (str, os.PathLike)):
        path = os.fspath(cluster)
        if isinstance(path, str) and path:
            return (None, path) if "://" in path else (os.path.expanduser(path), None)
    raise TypeError(f"cluster must be the path of an access file, an address, True or None, not {cluster!r}")


def _paths(ship):
    if isinstance(ship, (str, bytes, os.PathLike)):
        raise TypeError(f"ship must be a list of paths, not {ship!r}")
    paths = [os.path.abspath(os.path.expanduser(os.fsdecode(path))) for path in ship]
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(f"ship: there is no {path}")
    return paths
