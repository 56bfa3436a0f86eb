"""RunCost: the energy and the money of a training, beside its loss in the log and in every reporter."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from transformers import Trainer, TrainerCallback

from hf_synthlabels.errors import ConfigError

JOULES_PER_KWH = 3.6e6
POWERCAP = Path("/sys/class/powercap")


class EnergyMeter(Protocol):
    """A counter of joules that only grows."""

    def joules(self) -> float:
        """Joules since some moment."""


class CpuEnergy:
    """What the processors' packages have used, as RAPL counts it: all programs on the machine, memory mostly not.

    Its counters begin anew after a while; a round is noticed if it is asked at least once in each.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the counters.

        Raises:
            OSError: there are none, or they may not be read, which since 2020 only root may by default.
        """
        # intel-rapl:0 is a package, intel-rapl:0:1 a part of it; AMD's are called so too.
        self._packages = sorted(path for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1)
        if not self._packages:
            raise FileNotFoundError(str(folder))
        self._rounds = [self._number(path, "max_energy_range_uj") for path in self._packages]
        self._last = self._now()
        self._total = 0.0

    def joules(self) -> float:
        """Joules since this was made."""
        now = self._now()
        for before, after, whole in zip(self._last, now, self._rounds, strict=True):
            self._total += (after - before if after >= before else after + whole - before) / 1e6
        self._last = now
        return self._total

    def _now(self) -> list[int]:
        return [self._number(path, "energy_uj") for path in self._packages]

    @staticmethod
    def _number(path: Path, name: str) -> int:
        return int((path / name).read_text())


class GpuEnergy:
    """What NVIDIA GPUs have used, as their driver counts it: all of the machine."""

    def __init__(self, nvml: Any, count: int) -> None:
        """Ask for the counters.

        Args:
            nvml: the module `pynvml`, initialised.
            count: GPUs.
        """
        self._nvml = nvml
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        self.joules()

    def joules(self) -> float:
        """Joules since the driver was loaded."""
        return sum(float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(device)) for device in self._devices) / 1000


def energy_meters() -> list[EnergyMeter]:
    """The counters that this process can read; an empty list means that energy is unknown, not that there is none."""
    found: list[EnergyMeter] = []
    with suppress(OSError, ValueError):
        found.append(CpuEnergy())
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return found
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        found.append(GpuEnergy(nvml, nvml.nvmlDeviceGetCount()))
    return found


class RunCost(TrainerCallback):
    """Adds `energy_kwh` and `usd` of the training so far to what is logged; what is not known is left out.

    Energy is that of the whole machine, so other programs on it are counted too.
    """

    def __init__(self, usd_per_hour: float | None = None, meters: list[EnergyMeter] | None = None) -> None:
        """Prepare.

        Args:
            usd_per_hour: what the machine, or all machines, of the run cost.
            meters: in place of those that this machine has.
        """
        self._usd_per_hour = usd_per_hour
        self._meters = energy_meters() if meters is None else meters
        self._began = time.monotonic()
        self._joules = [meter.joules() for meter in self._meters]
        self._ended: dict[str, float] | None = None

    def install(self, trainer: Trainer) -> None:
        """Come before the reporters, so that they see what is added."""
        trainer.callback_handler.callbacks.insert(0, self)

    def so_far(self) -> dict[str, float]:
        """`energy_kwh` and `usd`, each where it is known."""
        found = {}
        if self._meters:
            used = (meter.joules() - before for meter, before in zip(self._meters, self._joules, strict=True))
            found["energy_kwh"] = sum(used) / JOULES_PER_KWH
        if self._usd_per_hour is not None:
            found["usd"] = (time.monotonic() - self._began) / 3600 * self._usd_per_hour
        return found

    def metrics(self) -> dict[str, float]:
        """The cost of the training, as it was when it ended."""
        return self.so_far() if self._ended is None else self._ended

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count from here."""
        self._began, self._ended = time.monotonic(), None
        self._joules = [meter.joules() for meter in self._meters]

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count to here."""
        self._ended = self.so_far()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Add to the entry that the reporters are about to see, and to the trainer's own history."""
        logs = kwargs.get("logs")
        if isinstance(logs, dict) and ("loss" in logs or "train_loss" in logs):
            logs |= self.so_far()
            if state.log_history:
                state.log_history[-1] |= {name: logs[name] for name in ("energy_kwh", "usd") if name in logs}


def check_usd_per_hour(config: Any) -> None:
    """Refuse a price that is none.

    Raises:
        ConfigError: it is negative or no number.
    """
    price: float | None = config.usd_per_hour
    if price is not None and not 0 <= price < float("inf"):
        raise ConfigError(f"`usd_per_hour` is {price}. Give what the machine costs in an hour, for example 1.2.")


def cost_metrics(callbacks: list[Any], name: str) -> Mapping[str, float]:
    """What the training cost, for a student's metrics."""
    meter = next((one for one in callbacks if isinstance(one, RunCost)), None)
    return {} if meter is None else {f"{name}_{key}": value for key, value in meter.metrics().items()}
