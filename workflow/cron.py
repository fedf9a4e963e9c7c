"""Times of cron expressions."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from workflow.errors import OptionError
from workflow.options import Cron


def check(cron: Cron) -> None:
    """Raise OptionError for an expression or a time zone that does not exist."""
    fields = len(cron.expression.split())
    if fields > 6 or not croniter.is_valid(cron.expression, second_at_beginning=True):
        raise OptionError(
            f"{cron.expression!r} is no cron expression; give minute, hour, day, month and "
            "weekday, with seconds in front if needed"
        )
    try:
        ZoneInfo(cron.timezone)
    except (OSError, ValueError, LookupError) as error:
        raise OptionError(
            f"{cron.timezone!r} is no time zone; give a name such as 'Europe/London'"
        ) from error
    try:
        next_time(cron, time.time())
    except CroniterBadDateError as error:
        raise OptionError(f"{cron.expression!r} never comes; look at its day and month") from error


def next_time(cron: Cron, after: float) -> datetime:
    """The first time of the expression that is later than `after`, seconds since 1970."""
    start = datetime.fromtimestamp(after, ZoneInfo(cron.timezone))
    found: datetime = croniter(cron.expression, start, second_at_beginning=True).get_next(datetime)
    return found
