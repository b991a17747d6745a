"""Where runs execute: ``local``, one after another in this process, or ``ray``, several at once on any number of
machines. Both give the same numbers: to the bit on a CPU with the same number of threads, else up to rounding."""

from mixlib.runs.engines.base import Engine as Engine
from mixlib.runs.engines.local import Local as Local
from mixlib.runs.engines.named import ENGINES as ENGINES
from mixlib.runs.engines.named import describe as describe
from mixlib.runs.engines.named import get as get
from mixlib.runs.engines.on_ray import Ray as Ray
from mixlib.runs.engines.sweep import limited as limited
from mixlib.runs.engines.sweep import missing as missing
from mixlib.runs.engines.sweep import run_all as run_all
from mixlib.runs.engines.sweep import shard as shard
