"""What differs between a file's columns and its schema's, in words."""

import pytest

from pipelines.drift import between


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (["b", "a"], ""),
        (["a", "b", "c"], "has 'c', which the schema has not"),
        (["a"], "lacks 'b'"),
        (["a", "a", "b"], "has 'a' more than once"),
        (["a", "x", "x", "b"], "has 'x', which the schema has not and has 'x' more than once"),
        (["a", "B"], "has 'B', which the schema has not and lacks 'b' (did you mean 'b' by 'B'?)"),
        (["a", "é\u202e"], "has 'é\\u202e', which the schema has not and lacks 'b'"),
        (["a", "b", *"cdefghi"], "has 'c', 'd', 'e', 'f', 'g' and 2 more, which the schema has not"),
        (["a", "b", "c" * 300], f"has '{'c' * 60}...', which the schema has not"),
    ],
)
def test_a_difference_is_said_in_a_few_words(found, words):
    assert between(found, ["a", "b"]).words == words


def test_only_a_file_that_has_all_and_more_grows_a_table():
    found = (["a", "b"], ["b", "c", "a"], ["a", "c"], ["a", "b", "b", "c"])

    assert [between(names, ["a", "b"]).grows for names in found] == [False, True, False, False]
