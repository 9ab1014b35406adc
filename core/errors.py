"""Every deliberate error, as a tree.

FinetunerError
├── InputError              the request asks for something that cannot be
│   ├── PathError           a path is missing, outside the allowed roots, or not what it should be
│   └── OutputExistsError   the run would overwrite something
├── DataError               the user's data cannot be used as it is
│   └── TieError            of two answers neither is the better one
├── ModelError              a model, adapter or tokenizer cannot be used as it is
├── MissingExtraError       an optional package is not installed
├── RunNotFoundError        no run has this id
├── RunStateError           the run is in a state in which this cannot be done
├── TrainingError           training cannot go on; what was saved before stands
├── ExportError             a model file could not be written or did not prove itself
├── RemoteError             a remote service refused or failed
└── Cancelled               the run was asked to stop, and did

To add one: subclass the nearest, give it a `code` of its own, raise it with what is wrong and what to do next.
"""


class FinetunerError(Exception):
    """Base of all deliberate errors: what is wrong, and what to do next."""

    code = "finetuner_error"

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(problem, next_step)  # both in args, so it pickles
        self.problem = problem
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.problem}\nNext: {self.next_step}"


class InputError(FinetunerError):
    """The request asks for something that cannot be."""

    code = "invalid_input"


class PathError(InputError):
    """A path is missing, outside the allowed roots, or not what it should be."""

    code = "invalid_path"


class OutputExistsError(InputError):
    """The run would overwrite something."""

    code = "output_exists"


class DataError(FinetunerError):
    """The user's data cannot be used as it is."""

    code = "invalid_data"


class TieError(DataError):
    """Of two answers neither is the better one, so that there is no preference to learn."""

    code = "tie"


class ModelError(FinetunerError):
    """A model, adapter or tokenizer cannot be used as it is."""

    code = "invalid_model"


class MissingExtraError(FinetunerError):
    """An optional package is not installed."""

    code = "missing_extra"


class RunNotFoundError(FinetunerError):
    """No run has this id."""

    code = "run_not_found"


class RunStateError(FinetunerError):
    """The run is in a state in which this cannot be done."""

    code = "run_state"


class TrainingError(FinetunerError):
    """Training cannot go on; what was saved before stands."""

    code = "training_failed"


class ExportError(FinetunerError):
    """A model file could not be written or did not prove itself."""

    code = "export_failed"


class RemoteError(FinetunerError):
    """A remote service refused or failed."""

    code = "remote_failed"


class Cancelled(FinetunerError):
    """The run was asked to stop, and did."""

    code = "cancelled"
