"""Exceptions of this package.

* SynthLabelsError
  * ConfigError (also a ValueError)      an argument or configuration file is invalid; nothing was run
    * RecipeError                        the recipe file
      * UntrustedRecipeError             it would send a secret or a local file without the user's consent
    * StudyError                         the study file
  * DataError (also a ValueError)        the rows do not match the task
  * ClientError                          the model cannot be reached or loaded
    * MissingKeyError                    the environment variable of the API key is not set
    * AllFailedError                     every request failed, so the run stopped early
    * NothingLabeledError               most of the first rows got no label, so the run stopped early
  * StoreError                           the response store cannot be read or written
  * HubError                             the Hub cannot be reached or rejects a request; its contents are intact
  * MissingExtraError (also an ImportError)   an optional dependency is not installed
  * TrainingError                        a student cannot be trained with these options
    * DivergedError                      the training loss became NaN or infinite

A message is one line: it names the field in backticks, shows its value and says how to fix it.
A bad row never raises an exception: it has a status in the label columns.
"""

from __future__ import annotations

import errno
import importlib
from types import ModuleType


class SynthLabelsError(Exception):
    """Base class of the exceptions of this package."""


class ConfigError(SynthLabelsError, ValueError):
    """An argument or configuration file is invalid; nothing was run."""


class RecipeError(ConfigError):
    """A recipe file is invalid."""


class UntrustedRecipeError(RecipeError):
    """A configuration file would send a secret or a local file without the user's consent."""


class StudyError(ConfigError):
    """A study file is invalid."""


class DataError(SynthLabelsError, ValueError):
    """The rows do not match the task."""


class ClientError(SynthLabelsError):
    """The model cannot be reached or loaded."""


class MissingKeyError(ClientError):
    """The environment variable of the API key is not set or empty."""


class AllFailedError(ClientError):
    """Every request failed, so the run stopped early; answers so far are kept."""


class NothingLabeledError(ClientError):
    """Most of the first rows got no label, so the run stopped early; answers so far are kept."""


class StoreError(SynthLabelsError):
    """The response store cannot be read or written."""


class TrainingError(SynthLabelsError):
    """A student cannot be trained with these options."""


class HubError(SynthLabelsError):
    """The Hub cannot be reached or rejects a request; its contents are intact."""


class DivergedError(TrainingError):
    """The training loss became NaN or infinite."""


class MissingExtraError(SynthLabelsError, ImportError):
    """An optional dependency is not installed."""


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or name the extra that installs it.

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise MissingExtraError(f"`{module}` is not installed. Run: pip install 'hf-synthlabels[{extra}]'") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its final period, or the type of an error without a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")[:240]


def os_error_line(error: OSError) -> str:
    """Format an OSError as one line: the file, the problem, and how to fix it."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    where = f"`{error.filename}`: " if error.filename else ""
    advice = {
        errno.ENOSPC: "Free some space and run the command again; existing files are unchanged.",
        errno.EDQUOT: "Free some space and run the command again; existing files are unchanged.",
        errno.EFBIG: "Write to another disk, or raise the limit; existing files are unchanged.",
        errno.EACCES: "Name a writable path.",
        errno.EPERM: "Name a writable path.",
        errno.EROFS: "Name a writable path.",
        errno.EISDIR: "Name a file.",
        errno.ENOTDIR: "Part of the path is a file: name another path.",
    }.get(error.errno or 0, "")
    return f"{where}{reason}. {advice}".rstrip()
