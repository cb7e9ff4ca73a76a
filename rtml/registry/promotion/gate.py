"""The gate: a candidate serves only when it has shown in shadow that it loses less than the champion, guards held.

One comparison at a time: the champion and a candidate are asked every question. A candidate is a version of the
champion's own lineage, frozen, or another lineage, whose learner goes on learning while it is compared. A snapshot that
is saved meanwhile takes the candidate's side and goes on with what those before it have shown, since each of them would
have served; saved on a trigger it begins anew where they were behind. After a promotion the champion before stays in
shadow, and is taken back where it was better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rtml.core.callbacks import Callback, TrainingEvent
from rtml.core.clock import Clock, span_text
from rtml.kernels import betting
from rtml.registry.learners import FORMER
from rtml.registry.ledger import ALWAYS, AUTOMATIC, GATE, RULE, decided_by
from rtml.registry.promotion.comparison import LineageComparison
from rtml.registry.promotion.policy import PublishPolicy, Rule
from rtml.registry.promotion.rules import Rules
from rtml.registry.promotion.sequential_test import Terms
from rtml.registry.promotion.shadow import Shadow
from rtml.registry.registry import Registry
from rtml.registry.versions import Version, plain
from rtml.training.flow import Flow

WORDS = {"gate": Rules(), "recommend": Rules(automatic=False)}


def gate(publish: str | Rule | Rules, registry: Registry, model: str, flow: Flow, every: int) -> Callback:
    """The watcher that decides what serves.

    "learner" promotes no version: the learner itself serves. "gate" promotes what has shown that it is better,
    "recommend" only says so, "always" promotes every version (saved every so many ns), "never" none; :class:`Rules` are
    those of a gate, a function of the version says why.

    Examples
    --------
    >>> gate("never", None, "eth", None, 600 * 10**9).name
    'gate'
    """
    rules = {"always": lambda version: f"every {span_text(every)}"} | dict.fromkeys(("never", "learner"), lambda _: "")
    publish = WORDS.get(publish, publish) if isinstance(publish, str) else publish
    if isinstance(publish, Rules):
        return Gate(registry, model, flow, publish)
    if not callable(publish) and publish not in rules:
        raise ValueError(f"publish must be {', '.join([*WORDS, *rules])}, rules or a callable, got {publish!r}")
    return PublishPolicy(rules.get(publish, publish), registry, model, ALWAYS if publish == "always" else RULE)


class Gate:
    """A watcher that compares candidates with the champion and decides which serves.

    Versions of the champion's own lineage come by :meth:`saved`, other lineages by :meth:`enter`. The predictions of
    a lineage are numbers, computed wherever its learner runs: ``outcome.challengers[lineage][target]``, (m,), beside
    the served ``outcome.predictions``. After another lineage was promoted, its predictions are expected in
    ``outcome.predictions``, and those of the lineage before among the challengers as :data:`FORMER`.

    Its decisions depend on the stream, and on what persons entered in the ledger, alone: any chunks and any crash give
    the same. Each is dated by the answer that settled it, and entered once. The flow's first target decides, the others
    are guards; the clock measures how long a prediction takes.
    """

    name = GATE

    def __init__(self, registry: Registry, model: str, flow: Flow, rules: Rules, clock: Clock | None = None) -> None:
        self._registry = registry
        self._model = model
        self._rules = rules
        compared = self._compared(flow)
        self._targets: Mapping[str, Callable] = {name: flow.targets[name].learned for name in compared}
        probability = tuple(bool(flow.learners[name].model.classifier) for name in compared)
        self._segments, self._names = flow.segments, flow.features.names
        self._terms = terms = Terms(compared, probability, flow.horizon, tuple(one.name for one in flow.segments))
        self._shadow = Shadow(registry, terms, len(flow.features.names), clock or Clock())
        acts = registry.acts.entries(model)
        self._seen, self._champion = (acts[-1].seq, acts[-1].version) if acts else (0, "")
        self._comparison, self._mirror = None, None
        self._numbers, self._left = [0, 0], [0.0, 0.0]  # of comparisons and of looks back: how many, capital left
        self._waiting = ["", "", ""]
        self._before = ""
        self._of = ""
        self._probation = False  # a person's choice is first looked at by the mirror: contests wait
        self._fresh = self.state

    def push(self, outcome) -> list[TrainingEvent]:
        """Ask in shadow what was asked, score what was answered, and decide what is settled."""
        events: list[TrainingEvent] = []
        if not len(outcome.id) + len(outcome.answered):
            return events
        self._follow_ledger(min(outcome.moment.tolist()[:1] + outcome.known.tolist()[:1]), events)
        if self._comparison is None and self._mirror is None:
            return events
        learned = zip(*(target(outcome.y).tolist() for target in self._targets.values()), strict=True)
        answers = list(zip(outcome.known.tolist(), outcome.answered.tolist(), learned, strict=True))
        done = 0
        for row, (id, moment) in enumerate(zip(outcome.id.tolist(), outcome.moment.tolist(), strict=True)):
            while done < len(answers) and answers[done][0] < moment:
                self._answer(*answers[done], events)
                done += 1
            for running in (self._comparison, self._mirror):
                if running is not None:
                    self._ask(running, id, moment, row, outcome)
        for answer in answers[done:]:
            self._answer(*answer, events)
        return events

    def enter(self, lineage: str, version: Version, cause: str) -> list[TrainingEvent]:
        """Let another lineage be the candidate; entered again it only has a newer version, which would serve."""
        events: list[TrainingEvent] = []
        self._follow_ledger(version.at, events)
        if self._comparison is not None and self._comparison.lineage == lineage:
            self._shadow.join(self._comparison, version.id)
            return events
        self._waiting = [version.id, cause, lineage]
        self._next(version.at, events)
        return events

    def saved(self, version: Version, cause: str) -> list[TrainingEvent]:
        """Take a version as a candidate: at once where nothing runs, or where it was saved for a reason of its own."""
        events: list[TrainingEvent] = []
        self._follow_ledger(version.at, events)
        if not self._champion:
            self._decide(version.at, version.id, "first version: nothing served before", {}, events)
        elif version.id != self._champion:
            self._take(version, cause, events)
        return events

    @property
    def state(self) -> dict:
        """Everything the next outcome depends on, but what the registry keeps."""
        running = {
            "comparison": self._comparison and self._comparison.state,
            "mirror": self._mirror and self._mirror.state,
        }
        mine = {"seen": self._seen, "champion": self._champion, "waiting": list(self._waiting), "before": self._before}
        counts = {"numbers": list(self._numbers), "left": list(self._left), "probation": self._probation}
        return running | mine | counts | {"of": self._of}

    def load(self, state: dict) -> None:
        """Go on from a state; where another rule decided until now there is none, and it begins."""
        state = state or self._fresh
        self._seen = state["seen"]
        self._champion = state["champion"]
        self._before = state["before"]
        self._waiting = list(state["waiting"])
        self._numbers = list(state["numbers"])
        self._left = list(state["left"])
        self._probation, self._of = state["probation"], state["of"]
        self._comparison, self._mirror = (
            one and self._shadow.again(one) for one in (state["comparison"], state["mirror"])
        )

    def _compared(self, flow: Flow) -> tuple[str, ...]:
        """Targets that are compared, the decisive one first."""
        return tuple(flow.learners)

    def _take(self, version: Version, cause: str, events: list[TrainingEvent]) -> None:
        """Let a version of the champion's lineage be the candidate: where one of them is compared already, or next."""
        comparison = self._comparison
        if (comparison and comparison.lineage) or self._waiting[2]:
            return None  # another lineage is compared with the very learner that this is a snapshot of
        if comparison and (cause.startswith("every ") or comparison.sequential_test.lanes[0, betting.SUM] > 0.0):
            return self._shadow.join(comparison, version.id)
        self._waiting = [version.id, cause, ""]
        if comparison:
            self._close(version.at, "superseded", f"{version.name} takes its turn, saved on: {cause}", events)
        return self._next(version.at, events)

    def _ask(self, running: LineageComparison, id: int, moment: int, row: int, outcome) -> None:
        """Ask both sides of a comparison a question; of a lineage that predicted nothing there is nothing to ask."""
        within = [one.holds(self._names, outcome.X[row]) for one in self._segments]
        if not running.lineage:
            return running.ask(id, moment, outcome.X, row, within)
        challenger = getattr(outcome, "challengers", {}).get(running.lineage)
        if challenger is not None:
            both = (outcome.predictions, challenger)
            sides = ([float(side[target][row]) for target in self._terms.targets] for side in both)
            running.sequential_test.ask(id, moment, *sides, within=within)
        return None

    def _answer(self, known: int, id: int, answer: tuple, events: list[TrainingEvent]) -> None:
        """Score an answer; what it settles is decided at once."""
        comparison, mirror = self._comparison, self._mirror
        settled = comparison is not None and (
            comparison.sequential_test.answer(id, answer) or comparison.sequential_test.failure
        )
        looked = mirror is not None and mirror.sequential_test.answer(id, answer)
        if settled:
            self._settle(known, events)
        if looked and self._mirror is mirror:
            self._look(known, events)

    def _settle(self, at: int, events: list[TrainingEvent]) -> None:
        """Promote, refuse or give up the candidate, or go on."""
        comparison, rules = self._comparison, self._rules
        if comparison.sequential_test.failure:
            name = self._shadow.name(comparison.version)
            return self._close(at, "refused", f"{name} fails in shadow: {comparison.sequential_test.failure}", events)
        verdict = comparison.sequential_test.verdict(rules.needed(comparison.invested), rules.lost, rules.timeouts)
        if verdict == betting.WON and comparison.sequential_test.proven and not rules.early(comparison.sequential_test):
            self._won(at, self._sentence(comparison), events)
        elif verdict == betting.LOST:
            self._close(at, "refused", self._sentence(comparison), events)
        elif verdict == betting.GIVEN_UP:
            self._waiting = [comparison.version, comparison.cause, comparison.lineage]
            self._close(at, "given up", f"not settled: {self._sentence(comparison)}", events)

    def _won(self, at: int, how: str, events: list[TrainingEvent]) -> None:
        """Promote the candidate, unless a guard is broken or a person has the last word."""
        comparison = self._comparison
        held = self._registry.held(self._model) if self._rules.automatic else "promotion is left to a person"
        took = 0.0 if comparison.lineage else self._shadow.latency_ms(comparison.version)
        if broken := self._rules.broken(comparison.sequential_test, took):
            self._close(at, "refused", f"{how}, but {', and '.join(broken)}", events)
        elif held:
            self._close(at, "recommended", f"{how}; {held}", events)
        else:
            self._comparison, self._left[0] = None, comparison.invested
            facts = comparison.facts(self._rules.needed(comparison.invested))
            self._of = comparison.lineage
            self._decide(at, comparison.version, f"{how}; all guards hold", facts, events)

    def _look(self, at: int, events: list[TrainingEvent]) -> None:
        """Whether the version before is better than the champion: it serves again then, otherwise the watch goes on."""
        mirror, rules = self._mirror, self._rules
        verdict = mirror.sequential_test.verdict(rules.needed(mirror.invested), float("inf"), rules.watch)
        if verdict == betting.WON:
            self._back(at, f"the version before is better: {self._sentence(mirror)}", events)
            return
        if verdict != betting.GO_ON:
            self._watch()
        if self._probation and mirror.sequential_test.lanes[0, betting.N] >= rules.watch:
            self._probation = False
            self._next(at, events)

    def _back(self, at: int, why: str, events: list[TrainingEvent]) -> None:
        """Let the champion before serve again."""
        mirror, facts = self._mirror, self._mirror.facts(self._rules.needed(self._mirror.invested))
        about = plain({"version": self._shadow.name(mirror.version), "why": why, **facts})
        if not self._rules.automatic:
            events.append(TrainingEvent(at, "recommended", about | {"why": f"roll back: {why}"}))
            return self._watch()
        if not self._registry.acts.entered(self._model, action="rollback", at=at, why=why):
            self._registry.rollback(self._model, why, at, {"by": GATE, **facts})
        events.append(TrainingEvent(at, "rolled back", about))
        self._of = ""
        self._turn(at, mirror.version, "", events)

    def _decide(self, at: int, version: str, why: str, facts: dict, events: list[TrainingEvent]) -> None:
        """Let a version serve; entered once, whatever is done again after a crash."""
        about = plain({"version": self._shadow.name(version), "why": why, **facts})
        if not self._rules.automatic:
            return events.append(TrainingEvent(at, "recommended", about))
        if not self._registry.acts.entered(self._model, action="promote", version=version, at=at):
            self._registry.promote(self._model, version, why, at, {"by": GATE, **facts})
        events.append(TrainingEvent(at, "promoted", about))
        self._turn(at, version, self._champion, events)

    def _follow_ledger(self, at: int, events: list[TrainingEvent]) -> None:
        """Take note of what persons entered since: it counts, and is watched like any promotion."""
        for act in self._registry.acts.behind(self._model, self._seen):
            if (by := decided_by(act)) == GATE:
                continue  # entered before a crash, and about to be decided again
            self._seen = act.seq
            about = {"version": self._shadow.name(act.version), "why": act.why, "by": by}
            events.append(TrainingEvent(at, f"{act.action} by {by if by in AUTOMATIC else 'a person'}", about))
            if act.version != self._champion:
                before, self._of = self._champion if act.action == "promote" else "", ""
                self._turn(at, act.version, before, events, probation=bool(before))

    def _turn(self, at: int, champion: str, before: str, events: list[TrainingEvent], probation: bool = False) -> None:
        """Another version serves: a comparison with the one before is over, and the look back begins."""
        self._champion = champion
        self._before = before
        self._probation = probation
        if comparison := self._comparison:
            if not self._waiting[0]:
                self._waiting = [comparison.version, comparison.cause, comparison.lineage]
            self._close(at, "superseded", f"{self._shadow.name(champion)} serves now", events)
        self._watch()
        self._next(at, events)

    def _watch(self) -> None:
        """Let the look back begin again, where there is a champion before."""
        self._left[1] = self._mirror.left if self._mirror else self._left[1]
        self._mirror = None
        if self._before:
            self._mirror = self._shadow.begin(*self._invest(1), self._before, self._champion, "", self._of and FORMER)

    def _invest(self, which: int) -> tuple[int, float]:
        """Number of the next comparison, or look back, and the capital that it begins with."""
        self._numbers[which] += 1
        left, self._left[which] = self._left[which], 0.0
        return self._numbers[which], self._rules.share(self._numbers[which]) + left

    def _close(self, at: int, kind: str, why: str, events: list[TrainingEvent]) -> None:
        """End the comparison without a promotion."""
        comparison, self._comparison = self._comparison, None
        self._left[0] = comparison.left
        about = plain({"version": self._shadow.name(comparison.version), "why": why})
        facts = comparison.facts(self._rules.needed(comparison.invested))
        events.append(TrainingEvent(at, kind, plain(about | facts)))
        self._next(at, events)

    def _next(self, at: int, events: list[TrainingEvent]) -> None:
        """Begin the next comparison, where a candidate waits and none runs."""
        version, cause, lineage = self._waiting
        if self._comparison is not None or self._probation or not version:
            return
        self._waiting = ["", "", ""]
        if version != self._champion:
            self._comparison = self._shadow.begin(*self._invest(0), version, self._champion, cause, lineage)
            about = {"version": self._shadow.name(version), "against": self._shadow.name(self._champion)}
            events.append(TrainingEvent(at, "shadow", about | {"contest": self._numbers[0], "cause": cause}))

    def _sentence(self, comparison: LineageComparison) -> str:
        names = (self._shadow.name(comparison.version), self._shadow.name(comparison.against))
        return comparison.sentence(*names, self._rules.needed(comparison.invested))
