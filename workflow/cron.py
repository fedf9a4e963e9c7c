"""Times of cron expressions, also where clocks are put forward or back.

A time of day that comes twice counts once, the first time; one that is left out is moved to the
end of the gap. An expression for every hour (`*`, `*/2`) goes by the time that has passed: it
comes in both of the doubled hours.
"""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from workflow.errors import OptionError
from workflow.options import Cron

# A time whose start is later than this was missed, and is left out: no process was running.
LATE_SECONDS = 60.0


def check(cron: Cron) -> None:
    """Raise OptionError for an expression or a time zone that does not exist."""
    fields = len(cron.expression.split())
    if fields > 6 or not croniter.is_valid(cron.expression, second_at_beginning=True):
        raise OptionError(
            f"expected a cron expression, got {cron.expression!r}; give minute, hour, day, month "
            "and weekday, with seconds in front if needed"
        )
    try:
        ZoneInfo(cron.timezone)
    except (OSError, ValueError, LookupError) as error:
        raise OptionError(
            f"expected a time zone, got {cron.timezone!r}; give a name such as 'Europe/London'"
        ) from error
    try:
        next_time(cron, time.time())
    except CroniterBadDateError as error:
        raise OptionError(
            f"the cron expression {cron.expression!r} matches no time; check its day and month"
        ) from error


def next_time(cron: Cron, after: float) -> datetime:
    """Return the first time of the expression that is later than `after`, seconds since 1970."""
    start = datetime.fromtimestamp(after, ZoneInfo(cron.timezone))
    times = croniter(cron.expression, start, second_at_beginning=True)
    while True:
        found: datetime = times.get_next(datetime)
        if not is_repeat(cron, found):
            return found


def is_repeat(cron: Cron, moment: datetime) -> bool:
    """Whether it is the second of two equal times of day, for an expression that names hours.

    `moment` is a time of the expression, in its zone.
    """
    local = moment.astimezone(ZoneInfo(cron.timezone))
    if not local.fold or local.replace(fold=0).utcoffset() == local.utcoffset():
        return False
    fields = cron.expression.split()
    hour = fields[1] if len(fields) == 5 else fields[2]
    return not hour.startswith("*")
