"""``python -m tests.fuzz [MINUTES]`` fuzzes every target for its share of the minutes; ``make fuzz`` runs it.

What breaks a target is left beside its corpus under ``build/fuzz``, as a file whose name begins with ``crash-``,
``timeout-`` or ``oom-``; given that file, ``python -m tests.fuzz TARGET FILE`` breaks again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["service", "csv", "json", "codecs", "gzip"]):
    from tests.fuzz.targets import TARGETS, seeds

_SECONDS_PER_INPUT = 10
_MEMORY_MB = 2048
_LONGEST_INPUT_BYTES = 4096
_BUILD = Path(__file__).resolve().parents[2] / "build" / "fuzz"


def main(arguments: list[str]) -> int:
    """Fuzz one target with the fuzzer's own options, or all of them; returns how many found something."""
    if arguments and arguments[0] in TARGETS:
        atheris.Setup([sys.argv[0], *arguments[1:]], TARGETS[arguments[0]])
        atheris.Fuzz()
        return 0
    seconds = int(60 * float(arguments[0] if arguments else 10) / len(TARGETS))
    found = [target for target in TARGETS if _fuzz(target, seconds)]
    sys.stderr.write(f"fuzz: {seconds} s each for {', '.join(TARGETS)}; broken: {', '.join(found) or 'none'}\n")
    return len(found)


def _fuzz(target: str, seconds: int) -> int:
    corpus = _BUILD / target
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    # A process of its own: the fuzzer ends the one it runs in.
    command = [sys.executable, "-m", "tests.fuzz", target]
    options = {
        "max_total_time": seconds,
        "timeout": _SECONDS_PER_INPUT,
        "rss_limit_mb": _MEMORY_MB,
        "max_len": _LONGEST_INPUT_BYTES,
        "artifact_prefix": f"{_BUILD}/{target}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    return subprocess.run([*command, *(f"-{name}={value}" for name, value in options.items()), str(corpus)]).returncode


sys.exit(main(sys.argv[1:]))
