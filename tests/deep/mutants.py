"""Rules broken on purpose, one at a time: the tests that hold each must fail. ``make mutants``, some minutes.

A mutant is a line of the package that says something else. It is planted in a copy; who survives is listed, and the
command fails when more than one in twenty does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).parents[2]
KILLED, SURVIVED, BROKEN = "killed", "SURVIVED", "tests did not run"


class Mutant(NamedTuple):
    """A rule, where it stands, the line and what it says instead, and the tests that hold it."""

    rule: str
    file: str
    line: str
    instead: str
    tests: str


MUTANTS = [
    # operators: when something is known
    Mutant("A label of the moment itself is not known before it", "training/learner.py",
           "if known <= question.moment:", "if known < question.moment:", "training/test_learner.py"),
    Mutant("At equal times the question comes first", "training/learner.py",
           "answers[done][2] < at:", "answers[done][2] <= at:", "training/test_learner.py"),
    Mutant("No question at or before a learned answer", "training/learner.py",
           "if moment <= self.last_learned:", "if moment < self.last_learned:", "training/test_learner.py"),
    Mutant("Answers of one time are learned in their own order", "training/learner.py",
           "order = store.schedule(due)", "order = np.sort(store.schedule(due))", "training/test_learner.py"),
    Mutant("A label of a market looks a whole horizon ahead", "usecases/crypto/labels.py",
           "if len(past) > self.steps:", "if len(past) >= self.steps:", "usecases/crypto/test_labels.py"),
    Mutant("An incomplete bar gives no label", "usecases/crypto/labels.py",
           "if complete and was_complete else", "if was_complete else", "usecases/crypto/test_labels.py"),
    Mutant("A trade behind the lateness changes no closed bar", "usecases/crypto/bar_kernel.py",
           "        if h.next_end <= e.time - lateness:", "        if False:", "usecases/crypto/test_bars.py"),
    Mutant("A bar closes only behind the lateness", "usecases/crypto/bar_kernel.py",
           "while h.next_end <= e.time - lateness and", "while h.next_end <= e.time and",
           "usecases/crypto/test_bars.py"),
    Mutant("An answer known at its payment is a leak", "usecases/fraud/operator.py",
           "if known <= moment[id]:", "if known < moment[id]:", "usecases/fraud/test_operator.py"),
    Mutant("A session ends with its gap", "usecases/sessions/operator.py",
           "[3] + gap < at:", "[3] + 2 * gap < at:", "usecases/sessions/test_operator.py"),
    # kernels
    Mutant("A window is (t - w, t]", "kernels/windows.py",
           "times[base + (tail & mask)] <= cut:", "times[base + (tail & mask)] < cut:", "features/test_oracle.py"),
    Mutant("A late row is read with the newest time", "kernels/windows.py",
           "return max(t, soonest, key[LAST]), False", "return max(t, key[LAST]), False",
           "features/test_oracle.py"),
    Mutant("A fact is joined once it is known", "kernels/asof.py",
           "known[fact] <= asked_at[q]", "known[fact] <= asked_at[q] + 1", "store/test_point_in_time.py"),
    Mutant("What is far outside of all answers is not learned", "kernels/guard.py",
           "FAR * farthest", "1e9 * farthest", "registry/promotion/test_guard.py"),
    Mutant("The guard waits for evidence", "kernels/guard.py",
           "ahead >= needed(state, pair)", "ahead >= 0.0", "registry/promotion/test_guard.py"),
    Mutant("A checkpoint is renewed while nothing speaks against the learner", "kernels/guard.py",
           "if betting.log_capital(lane, betting.BETTER) > -betting.BEHIND:", "if False:",
           "registry/promotion/test_guard.py"),
    Mutant("A bet knows no answer before it is told", "kernels/betting.py",
           "total += SHARES[k] * math.exp(state[first + k] - highest)",
           "total += 1.2 * SHARES[k] * math.exp(state[first + k] - highest)",
           "registry/promotion/test_sequential_test.py"),
    # store
    Mutant("A back-fill never replaces a newer value", "store/online.py",
           "    where (excluded.moment, excluded.known) >= (moment, known)\n", "", "store/test_online.py"),
    Mutant("Materializing resumes behind the last event", "store/materialize.py",
           "if 0 <= self._at <= least:", "if 0 <= self._at <= least + 1:", "store/test_materialize.py"),
    Mutant("Only what is older than the rule goes", "training/retention.py",
           "from prediction where moment < ? limit ?", "from prediction where moment < ? + 86400000000000 limit ?",
           "training/test_retention.py"),
    Mutant("Events that no training has taken are kept", "training/retention.py",
           "self._cut(self.events, now), done)", "self._cut(self.events, now), 2**62)", "training/test_retention.py"),
    Mutant("Stored values carry the version of their pipeline", "store/feature_pipeline.py",
           'return f"{definition}-{code.hexdigest()[:8]}"', "return definition", "store/test_feature_pipeline.py"),
    Mutant("A state of a later release is refused", "core/state.py",
           "found > FORMAT:", "found > FORMAT + 1:", "core/test_state.py"),
    Mutant("An answer is never known before its question", "core/questions.py",
           "if len(early):", "if False:", "core/test_questions.py"),
    # registry
    Mutant("A reserved name is no person's", "registry/ledger.py",
           "if letters in RESERVED or", "if", "registry/test_registry.py serving/test_auth.py"),
    Mutant("The model of a moment is the one that served then", "registry/registry.py",
           "if act.at <= time]", "if act.at < time]", "registry/test_registry.py training/test_rebuild.py"),
    Mutant("A rollback by a person stays until a person decides", "registry/registry.py",
           'last.action != "rollback" or', 'last.action != "rolled back" or', "registry/promotion/test_gate.py"),
    Mutant("Too few answers promote nothing", "registry/promotion/rules.py",
           "if share < self.coverage:", "if False:",
           "registry/promotion/test_gate.py registry/promotion/test_sequential_test.py"),
    Mutant("A slow version is stopped", "registry/promotion/rules.py",
           "if latency_ms > self.latency_ms:", "if False:",
           "registry/promotion/test_gate.py"),
    Mutant("Bets are made in the order asked", "registry/promotion/sequential_test.py",
           "id, asked = next(iter(self._open.items()))",
           "id, asked = min(self._open.items(), key=lambda one: one[1].answer is None)",
           "registry/promotion/test_sequential_test.py"),
    Mutant("The chance of a false promotion is shared by all comparisons", "registry/promotion/rules.py",
           "return FIRST if number == 1 else (1.0 - FIRST) / (_ZETA - 1.0) * number**-1.5", "return 1.0",
           "registry/promotion/test_sequential_test.py"),
    Mutant("A bet on probabilities is in units of the noise of both", "kernels/betting.py",
           "q = 0.5 * (first + second)", "q = first", "registry/promotion/test_sequential_test.py"),
    # serving and around it
    Mutant("What changes something needs the token", "serving/auth.py",
           'if self._expected and not self._authorized(dict(scope["headers"])):', "if False:", "serving/test_auth.py"),
    Mutant("A strange host is refused", "serving/auth.py",
           "if host and not self._known(host):", "if False:", "serving/test_auth.py"),
    Mutant("A value beyond its time to live is flagged", "serving/freshness.py",
           "now - _since(moment, every) > ttl]", "now - _since(moment, every) > 2 * ttl]", "serving/test_freshness.py"),
    Mutant("A missed tick is caught up once", "pipeline/scheduler.py",
           "if tick > last:", "if tick >= last:", "pipeline/test_scheduler.py"),
    Mutant("Missed ticks are counted", "pipeline/scheduler.py",
           "(tick - last) // job.every - 1 if", "(tick - last) // job.every if", "pipeline/test_scheduler.py"),
    Mutant("An interval is moved by its coverage", "models/conformal.py",
           "self.rate * (self.coverage - hit)", "self.rate * (0.5 - hit)", "models/test_conformal.py"),
    Mutant("No run ends well without 95 % of its rows", "usecases/crypto/recordings/in_bars.py",
           "least: float = 0.95", "least: float = 0.9",
           "usecases/crypto/recordings/test_inputs.py -k part_of_its_data"),
]  # fmt: skip


def planted(copy: Path, mutant: Mutant) -> str:
    """What became of a mutant: it is planted in the copy, the tests run, and the copy is as before."""
    path = copy / "rtml" / mutant.file
    whole = path.read_text(encoding="utf-8")
    if mutant.line not in whole:
        raise LookupError(f"{mutant.file} has no line {mutant.line!r}: the mutant {mutant.rule!r} is out of date")
    path.write_text(whole.replace(mutant.line, mutant.instead), encoding="utf-8")
    try:
        tests = [f"tests/{word}" if word.endswith(".py") else word for word in mutant.tests.split()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        code = subprocess.run(command, cwd=copy, capture_output=True, timeout=900).returncode
    finally:
        path.write_text(whole, encoding="utf-8")
    return {0: SURVIVED, 1: KILLED}.get(code, BROKEN)


def main() -> int:
    """Plant them all, or those whose rule has a given text in it; 1 where too many survive."""
    wanted = [mutant for mutant in MUTANTS if " ".join(sys.argv[1:]).lower() in mutant.rule.lower()]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rtml"
        leave = shutil.ignore_patterns(".venv", ".git", "runs", "build", ".hypothesis")
        shutil.copytree(ROOT, copy, ignore=leave)
        found = [(planted(copy, mutant), mutant) for mutant in tqdm(wanted, ascii=" -#", unit="mutant")]
    for fate, mutant in found:
        print(f"{fate:17} {mutant.rule} ({mutant.file})")
    killed = sum(fate == KILLED for fate, _ in found)
    print(f"{killed} of {len(found)} killed")
    return int(killed < 0.95 * len(found))


if __name__ == "__main__":
    sys.exit(main())
