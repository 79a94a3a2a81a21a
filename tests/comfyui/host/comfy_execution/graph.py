"""What a node returns in place of an output that no node after it may use."""


class ExecutionBlocker:
    """With the message that those nodes show."""

    def __init__(self, message: str | None) -> None:
        self.message = message
