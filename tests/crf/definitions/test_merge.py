"""Two people on one record: nothing either typed is lost, and only what both changed differently is asked."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crf.definitions.merge import compare, differing
from crf.definitions.rows import flat

settings.register_profile("merge", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
patient = settings.get_profile("merge")

NAMES = st.sampled_from(["age", "sex", "date", "dose"])
ANSWERS = st.one_of(st.integers(0, 3), st.sampled_from(["", "a", "b"]), st.just({"missing": "unknown", "reason": ""}))


def rows(numbers):
    columns = [{"row": st.just(number), "drug": st.sampled_from("xyz")} for number in numbers]
    return st.tuples(*map(st.fixed_dictionaries, columns)).map(list)


ROWS = st.lists(st.integers(1, 4), unique=True, max_size=3).flatmap(rows)
DATA = st.builds(lambda plain, rows: {**plain, "meds": rows}, st.dictionaries(NAMES, ANSWERS), ROWS)


def given_of(values):
    return {place: value for place, value in flat(values).items() if value not in (None, "", [])}


@patient
@given(DATA, DATA, DATA)
def test_each_difference_is_asked_taken_or_kept_and_only_once(base, theirs, mine):
    found = compare(base, theirs, mine)
    places = [one.address for one in [*found.asked, *found.taken, *found.kept]]
    assert len(places) == len(set(places))
    assert all(one.theirs != one.mine for one in [*found.asked, *found.taken, *found.kept])
    assert all(one.mine == one.base for one in found.taken) and all(one.theirs == one.base for one in found.kept)


@patient
@given(DATA, DATA)
def test_what_nobody_else_touched_stays_as_i_typed_it(base, mine):
    found = compare(base, base, mine)
    assert not found.asked and not found.taken
    assert given_of(found.merged()) == given_of(mine)


@patient
@given(DATA, DATA)
def test_who_typed_nothing_takes_all_that_the_other_saved(base, theirs):
    found = compare(base, theirs, base)
    assert not found.asked and not found.kept
    assert given_of(found.merged()) == given_of(theirs)


@patient
@given(DATA, DATA, DATA, st.sampled_from(["mine", "theirs"]))
def test_no_question_is_answered_by_itself(base, theirs, mine, side):
    found = compare(base, theirs, mine)
    everything = {one.address: side for one in found.asked}
    assert found.undecided({}) == list(everything) and not found.undecided(everything)
    merged = given_of(found.merged(everything))
    assert all(merged.get(one.address) == getattr(one, side) for one in found.asked)
    assert all(merged.get(one.address) == one.theirs for one in found.taken)
    assert all(merged.get(one.address) == one.mine for one in found.kept)


def test_a_row_that_both_added_under_one_number_becomes_two():
    base = {"meds": [{"row": 1, "drug": "x"}]}
    theirs = {"meds": [*base["meds"], {"row": 2, "drug": "y"}]}
    mine = {"meds": [*base["meds"], {"row": 2, "drug": "z"}]}
    found = compare(base, theirs, mine)
    assert not found.asked
    assert [row["drug"] for row in found.merged()["meds"]] == ["x", "y", "z"]


def test_how_a_number_was_typed_is_no_answer():
    assert compare({}, {"_typed": {"a": 1}}, {"_typed": {"a": 2}}).asked == ()


@patient
@given(DATA, DATA)
def test_two_entries_differ_where_one_of_them_says_something_else(first, second):
    places = {one.address for one in differing(first, second)}
    there, here = given_of(first), given_of(second)
    assert places == {place for place in {*there, *here} if there.get(place) != here.get(place)}
