"""How the pages write numbers, times and sizes."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from service.phrases import counted

NONE = "–"
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def number(value: float | None) -> str:
    """``1,234,567``; a dash for None."""
    return NONE if value is None else f"{value:,}"


def percent(part: float, whole: float) -> str:
    """``12.5 %``; a dash where the whole is nothing. Never 0 or 100 where it is not exactly so."""
    if not whole:
        return NONE
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def size(count: int | None) -> str:
    """``12.3 MB``, in powers of 1,000."""
    if count is None:
        return NONE
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def code_spans(text: str) -> Markup:
    """The text with ``<code>`` for what stands in backticks."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(text)
    return Markup("").join(
        Markup("<code>{}</code>" if number % 2 else "{}").format(part) for number, part in enumerate(parts)
    )


def parted(hint: str, retry: str) -> tuple[str, str]:
    """The words of a hint and the command at its end, which begins like the command ``retry``; empty where it has none.

    >>> parted("see the log, then: python -m service retry ID", "python -m service retry ID")
    ('see the log, then:', 'python -m service retry ID')
    """
    prefix, found, _ = retry.partition("retry ")
    begin = hint.find(prefix + found) if prefix and found else -1
    return (hint, "") if begin < 0 else (hint[:begin].rstrip(), hint[begin:])


def sentence(text: str) -> str:
    """The text with a capital at its beginning, unless that is the name of a file."""
    first = text.partition(" ")[0]
    return text if "." in first or "_" in first else f"{text[:1].upper()}{text[1:]}"


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(then: datetime, now: datetime) -> str:
    """``3 minutes ago``; ``in 2 hours`` for a time to come; ``just now``."""
    seconds = (now - then).total_seconds()
    for length, name in _UNITS:
        count = int(abs(seconds) // length)
        if count:
            words = counted(count, name)
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def when(text: str | None, now: datetime) -> Markup:
    """A ``<time>`` of an ISO 8601 text: relative, with the exact time on hover; a dash for None."""
    if not text:
        return Markup(NONE)
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return Markup("{}").format(text)
    then = then if then.tzinfo else then.replace(tzinfo=now.tzinfo)
    shown = f"{then.astimezone(now.tzinfo):%Y-%m-%d %H:%M:%S %Z}"
    tag = Markup('<time class="relative" datetime="{}" title="{}" tabindex="0">{}</time>')
    return tag.format(then.isoformat(), shown, ago(then, now))


def clock_time(text: str | None, now: datetime) -> Markup:
    """A ``<time>`` of an ISO 8601 text as ``14:02``, with the date on another day."""
    if not text:
        return Markup(NONE)
    then = datetime.fromisoformat(text).astimezone(now.tzinfo)
    pattern = "%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M"
    return Markup('<time datetime="{}">{}</time>').format(then.isoformat(), f"{then:{pattern}}")
