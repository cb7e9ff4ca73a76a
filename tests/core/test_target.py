"""Targets and use cases: what is declared is what everything else goes by."""

import numpy as np
import pytest

from rtml.core.operator import Asked
from rtml.core.target import Target, by_name
from rtml.core.use_case import UseCase, load_use_case

EVENT = [("time", "<i8"), ("x", "<f8")]


def case(**other):
    about = {"name": "mine", "question": "What?", "event": EVENT, "operator": lambda config: None}
    return UseCase(**(about | {"targets": (Target("demand"),), "models": {"demand": "rls"}} | other))


def test_a_target_learns_what_it_says():
    rise = Target("rise", "probability", of=lambda y: (y > 0).astype(float))
    assert rise.learned([1, -1]).tolist() == [1.0, 0.0] and rise.outputs == 1
    assert Target("kind", "classes", classes=("a", "b", "c")).outputs == 3
    assert Target("next", "ranking", size=20).outputs == 20


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (dict(name="x", kind="price"), "the kind of target 'x' must be one of number, probability, classes"),
        (dict(name="x", kind="classes"), "needs the names of at least two classes"),
        (dict(name="x y"), "a target's name must be a word"),
    ],
)
def test_a_target_that_cannot_be_is_refused(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        Target(**how)


def test_two_targets_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two targets have the same name"):
        by_name((Target("a"), Target("a")))


def test_a_use_case_refuses_models_of_no_target_and_events_without_a_time():
    with pytest.raises(LookupError, match="models for price, which is no target"):
        case(models={"price": "rls"})
    with pytest.raises(ValueError, match="needs a field 'time'"):
        case(event=[("x", "<f8")])
    with pytest.raises(LookupError, match="no target 'x'; there are: demand"):
        case().target("x")


def test_a_use_case_of_ones_own_is_loaded_from_its_file(tmp_path):
    file = tmp_path / "bikes.py"
    file.write_text(
        "from rtml.core.target import Target\n"
        "from rtml.core.use_case import UseCase\n"
        "event = [('time', '<i8')]\n"
        "use_case = UseCase('bikes', 'How many?', event, lambda config: None, (Target('n'),), {'n': 'rls'})\n"
        "not_one = 3\n"
    )
    assert load_use_case(str(file)).name == "bikes"
    with pytest.raises(TypeError, match=r"is a int, not a rtml\.core\.use_case\.UseCase"):
        load_use_case(f"{file}:not_one")
    with pytest.raises(LookupError, match="has no 'nothing'"):
        load_use_case(f"{file}:nothing")
    with pytest.raises(LookupError, match=r"there is no file 'none\.py'"):
        load_use_case(str(tmp_path / "none.py"))
    with pytest.raises(LookupError, match="no module 'no_such_module'"):
        load_use_case("no_such_module:case")


def test_an_operator_of_one_key_and_one_label_need_not_say_so():
    one, two = np.arange(1), np.arange(2)
    asked = Asked(np.empty((0, 0)), two, two, np.zeros((2, 1)), one, one, one)
    assert asked.keys().tolist() == [0, 0] and asked.labels().tolist() == [0]
