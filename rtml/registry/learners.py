"""Names of learners in the ledger: ``model@learner`` is the run's first, ``model@learner:<lineage>`` a challenger."""

from __future__ import annotations

LEARNER = "learner"  #: lineage of the run's own learner: ``model@learner``, no version of its own
FORMER = "former"  #: among the challengers of an outcome, the lineage that served before
FROM_THE_START = "the learner of the run serves from the first question on"  #: why, where a ledger begins
SERVES = "serves"  #: kind of the event of a training behind which another lineage serves


def learner_version(model: str, lineage: str = LEARNER) -> str:
    """What the ledger calls the newest state of a lineage's learner.

    Examples
    --------
    >>> learner_version("eth"), learner_version("eth", "blend")
    ('eth@learner', 'eth@learner:blend')
    """
    return f"{model}@{LEARNER}" if lineage == LEARNER else f"{model}@{LEARNER}:{lineage}"


def lineage_of(version: str) -> str:
    """Lineage that a version of the ledger stands for; empty for a frozen version.

    Examples
    --------
    >>> [lineage_of(version) for version in ("eth@learner", "eth@learner:rls: stateful every 1h", "eth@3")]
    ['learner', 'rls: stateful every 1h', '']
    """
    which, _, lineage = version.partition("@")[2].partition(":")
    return (lineage or LEARNER) if which == LEARNER else ""


def is_learner(version: str) -> bool:
    """Whether a version of the ledger stands for a learner, which goes on learning while it serves.

    Examples
    --------
    >>> is_learner("eth@learner:blend"), is_learner("eth@champion")
    (True, False)
    """
    return bool(lineage_of(version))
