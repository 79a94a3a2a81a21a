"""The errors that dragflow raises on purpose."""


class DragFlowError(Exception):
    """Base of every error that dragflow raises on purpose."""


class UserError(DragFlowError):
    """Input that breaks a rule; the text names the value, the rule, and the fix."""


class CapabilityError(UserError):
    """Something that this backbone, build or machine cannot do; the text says what can."""


class IntentError(DragFlowError):
    """A model's answer about the intent that cannot be used; `problems` says what is wrong, a sentence each."""

    def __init__(self, text: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.problems = problems


class NumericalError(DragFlowError):
    """A value that must be finite is not; the text says at which step."""


class Cancelled(DragFlowError):
    """Raise it from an observer to stop an edit or a training; session and model stay usable."""
