"""Every error that this package raises on purpose.

* SynthLabelsError
  * ConfigError (also a ValueError)      a recipe, a study or an argument is wrong; nothing was run
    * RecipeError                        the recipe file
      * UntrustedRecipeError             it sends a secret or a local file where the user has not agreed to send it
    * StudyError                         the study file
  * DataError (also a ValueError)        the rows do not fit what was asked of them
  * ClientError                          the annotator can not be reached or set up
    * MissingKeyError                    no key in the environment variable that the recipe names
    * AllFailedError                     every request failed, so the run stopped early
    * NothingLabelledError               most of the first answers give no label, so the run stopped early
  * StoreError                           the response store can not be read or written
  * HubError                             the Hub can not be reached, or refuses; what is on it is whole
  * MissingExtraError (also an ImportError)   an optional dependency is not installed
  * TrainingError                        a student can not be trained as asked
    * DivergedError                      its loss became no number

A message is one line. It names the field in backticks, shows the value that was seen and says the repair.
One bad row is never an exception: it is a status in the label columns.
"""

from __future__ import annotations

import errno
import importlib
from types import ModuleType


class SynthLabelsError(Exception):
    """Anything that this package raises on purpose."""


class ConfigError(SynthLabelsError, ValueError):
    """An argument or a configuration file is wrong; nothing was run."""


class RecipeError(ConfigError):
    """A recipe file is wrong."""


class UntrustedRecipeError(RecipeError):
    """A configuration file would send a secret or a local file where the user has not agreed to send it."""


class StudyError(ConfigError):
    """A study file is wrong."""


class DataError(SynthLabelsError, ValueError):
    """The rows do not fit what was asked of them."""


class ClientError(SynthLabelsError):
    """The annotator can not be reached or set up."""


class MissingKeyError(ClientError):
    """The environment variable that should hold the key is empty."""


class AllFailedError(ClientError):
    """Every request failed, so the run stopped early; what had been answered is kept."""


class NothingLabelledError(ClientError):
    """Most of the first rows got no label, so the run stopped early; the answers so far are kept."""


class StoreError(SynthLabelsError):
    """The response store can not be read or written."""


class TrainingError(SynthLabelsError):
    """A student can not be trained as asked."""


class HubError(SynthLabelsError):
    """The Hub can not be reached, or refuses; what is on it is whole."""


class DivergedError(TrainingError):
    """The loss of a student became no number."""


class MissingExtraError(SynthLabelsError, ImportError):
    """An optional dependency is not installed."""


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise MissingExtraError(f"`{module}` is not installed. Run: pip install 'hf-synthlabels[{extra}]'") from error


def os_error_line(error: OSError) -> str:
    """An error of the operating system in one line: the file, what is wrong, and what to do."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    where = f"`{error.filename}`: " if error.filename else ""
    advice = {
        errno.ENOSPC: "Free some space and run it again; files that were there are as before.",
        errno.EDQUOT: "Free some space and run it again; files that were there are as before.",
        errno.EFBIG: "Write to another disk, or raise the limit; files that were there are as before.",
        errno.EACCES: "Name a path that you may write to.",
        errno.EPERM: "Name a path that you may write to.",
        errno.EROFS: "Name a path that you may write to.",
        errno.EISDIR: "Name a file.",
        errno.ENOTDIR: "A part of the path is a file: name another path.",
    }.get(error.errno or 0, "")
    return f"{where}{reason}. {advice}".rstrip()
