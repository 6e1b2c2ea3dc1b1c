# SPDX-License-Identifier: MIT
"""Random cron expressions and times, many of them close to a change of a clock."""
import datetime
import random
import zoneinfo

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Casablanca",
         "America/Havana", "Europe/Dublin", "Pacific/Apia", "Asia/Tehran", "America/Nuuk"]
FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def spelled(field, value, draw):
    if field == 3 and draw.random() < 0.3:
        return draw.choice([str.lower, str])(MONTHS[value - 1])
    if field == 4 and draw.random() < 0.3:
        return draw.choice([str.title, str])(DAYS[value])
    return str(value)


def item(field, draw):
    low, high = FIELDS[field]
    first = draw.randint(low, high)
    last = draw.randint(first, high)
    step = draw.randint(1, max(1, (high - low) // 2))
    return draw.choice([
        spelled(field, first, draw),
        f"{spelled(field, first, draw)}-{spelled(field, last, draw)}",
        f"{first}-{last}/{step}",
        f"{first}/{step}" if field != 4 else str(first),
    ])


def field(number, draw):
    kind = draw.random()
    if kind < (0.35 if number < 2 else 0.5):
        return "*"
    if kind < 0.6:
        low, high = FIELDS[number]
        return f"*/{draw.randint(1, (high - low) // 2)}"
    return ",".join(item(number, draw) for _ in range(draw.choice([1, 1, 1, 2, 3])))


def expression(draw):
    return " ".join(field(number, draw) for number in range(5))


def changes(zone):
    """Moments at which the zone's offset changes, 2020 to 2032."""
    tz, found = zoneinfo.ZoneInfo(zone), []
    at = int(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    for at in range(at, at + 12 * 366 * 86400, 6 * 3600):
        before, after = (datetime.datetime.fromtimestamp(t, tz).utcoffset() for t in (at, at + 6 * 3600))
        if before != after:
            found.append(at)
    return found


def cases(count, seed):
    """[(seconds since 1970, zone, expression)]"""
    draw = random.Random(seed)
    close = {zone: changes(zone) for zone in ZONES}
    made = []
    for _ in range(count):
        zone = draw.choice(ZONES)
        after = draw.randint(1577836800, 1956528000)
        if close[zone] and draw.random() < 0.6:
            after = draw.choice(close[zone]) + draw.randint(-40 * 3600, 12 * 3600)
        made.append((after, zone, expression(draw)))
    return made
