"""What can go wrong for an operator; bad *data* is never an exception but a dead letter.

DriftlineError            exit code 1: stopped, the message says what to do
├── ConfigError           exit code 2: the configuration is wrong; holds every problem found
├── SourceError           exit code 2: an input cannot be opened or is not what it claims to be
├── TopicError            exit code 2: what Kafka holds does not fit the configuration
├── BrokerError           exit code 1: no broker answers, or it refused
└── StateError            exit code 1: the stored state is damaged, locked or cannot be written
    └── ForeignStateError exit code 2: it was made under another configuration, or from another input
"""


class DriftlineError(Exception):
    """Base of all errors meant for the person at the command line; `str()` is the whole message."""

    exit_code = 1


class ConfigError(DriftlineError):
    """All problems of one configuration, each a line `$.path: what is wrong, what to do`.

    >>> print(ConfigError(["$.name: missing"], "flights.toml"))
    flights.toml: 1 problem
      $.name: missing
    """

    exit_code = 2

    def __init__(self, problems: list[str], file: str = "config") -> None:
        self.problems, self.file = problems, file
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        super().__init__("\n".join([f"{file}: {count}", *(f"  {problem}" for problem in problems)]))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[str], str]]:
        return ConfigError, (self.problems, self.file)  # else one that comes from another process is nested in itself


class SourceError(DriftlineError):
    """An input that cannot be read at all: missing, unreadable, not of its declared format."""

    exit_code = 2


class TopicError(DriftlineError):
    """Topics or their content that a worker must not run on: a restart would not help."""

    exit_code = 2


class BrokerError(DriftlineError):
    """No broker answers, or it refused: trying again later may help."""


class StateError(DriftlineError):
    """Stored state that cannot be used: locked by another process, damaged, disk full."""


class ForeignStateError(StateError):
    """State of another configuration or another input: a restart would not help."""

    exit_code = 2
