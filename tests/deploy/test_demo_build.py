"""The demo meets every subject once, in an order in which two workers seldom wait for one site."""

import itertools

import pytest

from deploy.demo import build


@pytest.mark.parametrize("count", [1, 7, 67, 190, 630])
def test_every_subject_is_met_once(count):
    assert sorted(build.mixed(list(range(count)))) == list(range(count))


def test_neighbours_are_of_different_sites():
    sites = [site for site in "12345" for _ in range(38)]
    order = build.mixed(sites)
    assert sum(a == b for a, b in itertools.pairwise(order)) < len(sites) / 10
