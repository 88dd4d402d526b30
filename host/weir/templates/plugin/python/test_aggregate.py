from plugin import {{TYPE}}


def along(values: list) -> {{TYPE}}:
    state = {{TYPE}}()
    for time, value in enumerate(values):
        state.update(time, value)
    return state


def test_a_cut_anywhere_changes_nothing() -> None:
    state = along([3.0, 1.0])
    state.merge(along([8.0]))
    assert vars(state) == vars(along([3.0, 1.0, 8.0]))
    assert state.finish(0) == 5.0
