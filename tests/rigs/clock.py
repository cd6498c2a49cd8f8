"""Another time of day for one process: a library that stands before libc and moves what it says on or back. Spans of time
(monotonic clocks) stay what they are."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.parts import need

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *text = getenv("CLOCK_SHIFT"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t which, struct timespec *at) {
  int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int got = real(which, at);
  if (which == CLOCK_REALTIME) at->tv_sec += shift();
  return got;
}
time_t time(time_t *to) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (to) *to = at.tv_sec;
  return at.tv_sec;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


def shifted(place: Path, seconds: float) -> dict[str, str]:
    """The environment of a process whose clock is `seconds` ahead of this one's."""
    need("gcc")
    source, made = place / "clock.c", place / "clock.so"
    if not made.exists():
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True, timeout=60)
    return os.environ | {"LD_PRELOAD": str(made), "CLOCK_SHIFT": str(int(seconds))}


def at(place: Path, seconds: float) -> dict[str, str]:
    """The environment of a process for which it is that many seconds after 1970."""
    return shifted(place, seconds - time.time())
