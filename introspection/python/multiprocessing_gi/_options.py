# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What pools and their jobs can be given beyond what multiprocessing knows, by keyword.

Times are in seconds, as everywhere in Python; None is what there is without the keyword.
"""

from ._raw import Mp

__all__ = ["integer", "job_options", "pool_properties"]


def integer(name, value, least, most=None):
    """The value, which must be a whole number of at least and at most so much (None: any)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value}")
    return value


def _whole(name, value):
    return integer(name, value, None)


def _count(name, value):
    return integer(name, value, 0)


def _positive(name, value):
    return integer(name, value, 1)


def _time(name, value):
    """Seconds as microseconds, at least one: 0 may mean something else."""
    if not value >= 0:
        raise ValueError(f"{name} must be a time in seconds, not {value!r}")
    return max(1, round(value * 1e6))


def _delay(name, value):
    return 0 if value == 0 else _time(name, value)


def _truth(_name, value):
    return bool(value)


# Of Pool().
_POOL = {
    "max_attempts": _positive,
    "retry_delay": _delay,
    "task_timeout": _time,
    "cancel_grace": _delay,
    "kill_grace": _delay,
    "min_workers": _count,
    "idle_timeout": _time,
    "max_worker_age": _time,
    "max_worker_memory": _positive,
    "worker_memory_limit": _positive,
    "capture_output": _truth,
}

# Of apply_async(), map_async() and the other calls of a pool.
_JOB = {
    "priority": _whole,
    "timeout": _time,
    "max_attempts": _positive,
    "retry_delay": _delay,
    "retry_failed": _truth,
}


def _converted(options, known, what):
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"{what} has no keyword {name!r}")
        if value is not None:
            yield name, known[name](name, value)


def pool_properties(options):
    """The properties of a Mp.raw.Pool for keywords of Pool()."""
    return dict(_converted(options, _POOL, "a pool"))


def job_options(options):
    """The Mp.raw.JobOptions for keywords of a pool's call; None for none."""
    if not options:
        return None
    options = dict(options)
    after = options.pop("after", None)
    properties = dict(_converted(options, _JOB, "a call of a pool"))
    made = Mp.JobOptions(**properties)
    for result in _results_in(after):
        if result.gobject is not None:
            made.add_after(result.gobject)
        elif not result.successful():
            raise ValueError("after: the tasks of one of these results could not be sent")
    return made


def _results_in(after):
    if after is None:
        return ()
    return (after,) if hasattr(after, "gobject") else after
