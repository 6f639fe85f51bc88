"""The one loop, with ranks as threads: what it learns, that it repeats to the bit, how it goes on, what it refuses."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake
from safetensors.numpy import load

from deep.crews import ROWS, alone, features, job, label, late, one, together
from pipelines.deep import checkpoint, design, planning, rules
from pipelines.deep.crew import Alone
from pipelines.deep.design import Design
from pipelines.deep.job import Folder, Job
from pipelines.deep.loader import Deck
from pipelines.deep.loop import PARTS
from pipelines.deep.net import Net, loss
from pipelines.deep.trainee import Trainee, full, rate
from pipelines.errors import DataError

SEQUENCES = (("x0", "x2", "x0", "x2"), ("x2", "x2", "x0", "x0"))
GOALS = ("binary", "multiclass", "regression")
torch.set_num_threads(1)


def bits(trainee: Trainee) -> bytes:
    return trainee.weights.data.numpy().tobytes()


@pytest.mark.parametrize(
    "beside", [{}, {"wide": True}, {"factors": 3}, {"wide": True, "factors": 3, "sequences": SEQUENCES}], ids=str
)
@pytest.mark.parametrize("goal", GOALS)
def test_numpy_answers_as_torch_does(tmp_path, goal, beside):
    of = job(tmp_path, goal, epochs=1, **beside)
    trainee = alone(of)
    x = features(500, seed=8)

    found = design.outputs(of.design, load(trainee.trained()), x.astype(np.float64))

    trainee.net.double().eval()  # the difference of squares loses digits in single
    with torch.no_grad():
        expected = trainee.net(torch.from_numpy(x.astype(np.float64))).numpy()
    assert found.dtype == np.float32 and found == pytest.approx(expected, abs=2e-6)
    assert {name: tuple(part.shape) for name, part in trainee.net.named_parameters()} == of.design.weights


@pytest.mark.parametrize("goal", GOALS)
def test_a_net_learns_what_no_straight_line_can(tmp_path, goal):
    of = job(tmp_path, goal, epochs=25)
    trained = load(alone(of).trained())
    x = features(2_000, seed=9)

    raw, chances = design.answers(of.design, design.outputs(of.design, trained, x))

    y = label(goal, x)
    if goal == "regression":
        assert np.sqrt(np.mean((raw[:, 0] - y) ** 2)) < 0.3 * y.std()
    else:
        assert np.mean(chances.argmax(axis=1) == y) > 0.9
        assert chances.sum(axis=1) == pytest.approx(np.ones(len(x)))


def test_pairs_of_values_tell_what_a_line_and_one_unit_cannot(tmp_path):
    x = features()
    signs = np.array([-1, 1, -1])[x[:, 1].astype(int)] * np.array([-1, 1, 1, -1, 1])[x[:, 3].astype(int)]
    rows = np.column_stack([x, signs > 0]).astype(np.float32)
    beside = {"hidden": (1,), "epochs": 15, "weight_decay": 0.0}

    without, paired = (alone(job(tmp_path / f"{k}", rows=rows, factors=k, **beside)).history[-1] for k in (0, 2))

    assert without["held_loss"] > 0.3 and paired["held_loss"] < 0.05


def over_time(root, **options) -> Job:
    """Twelve steps of noise, and whether any three neighbours are all above the usual."""
    x = np.random.default_rng(5).standard_normal((4_000, 12)).astype(np.float32)
    runs = np.lib.stride_tricks.sliding_window_view(x > 0.2, 3, axis=1).all(axis=2).any(axis=1)
    names = (*(f"x{i}" for i in range(12)), "y")
    columns = np.column_stack([x, runs]).astype(np.float32).T
    table = pa.table(dict(zip(names, columns, strict=True)))
    write_deltalake(str(root / "rows"), table)
    of, path = job(root / "other", epochs=12, batch=100, hidden=(16,)), str(root / "rows")
    design = Design("binary", tuple(range(12)), (), (16,), 1, **options)
    return replace(of, deck=Deck(path, 0, names, planning.groups(path, 0), 20, 1), design=design)


def test_a_net_that_reads_steps_in_order_finds_a_pattern_wherever_it_stands(tmp_path):
    plain = alone(over_time(tmp_path / "a")).history[-1]

    read = alone(over_time(tmp_path / "b", sequences=(tuple(range(12)),), filters=(16,))).history[-1]

    assert read["held_loss"] < 0.8 * plain["held_loss"]


def test_answers_do_not_depend_on_the_batch_that_a_row_is_in(tmp_path):
    of = job(tmp_path, epochs=1)
    trained, x = load(alone(of).trained()), features(1_000, seed=9)

    whole = design.outputs(of.design, trained, x)

    parts = np.concatenate([design.outputs(of.design, trained, x[i : i + 7]) for i in range(0, 1_000, 7)])
    assert (whole == parts).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_same_seed_gives_the_same_bits_and_every_rank_has_them(tmp_path, size):
    first, again = (together(job(tmp_path / name, dropout=0.0), size) for name in ("a", "b"))

    assert {bits(t) for t in (*first, *again)} == {bits(first[0])}
    assert len(first[0].history) == 3


def test_ranks_together_take_the_step_of_the_whole_batch(tmp_path):
    # the mean of the ranks' mean gradients is that of all rows where ranks have as many
    of = job(tmp_path)
    trainee, x = Trainee(of), np.column_stack([features(), label("binary", features())]).astype(np.float32)

    trainee.learn(x[:400])
    whole = trainee.slope.clone()
    halves = []
    for part in (x[:200], x[200:400]):
        trainee.learn(part)
        halves.append(trainee.slope.clone())

    assert torch.allclose(sum(halves) / 2, whole, atol=1e-7)


@pytest.mark.parametrize("upto", [1, 2])
def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(tmp_path, upto):
    undisturbed = alone(job(tmp_path / "a", dropout=0.2))
    of = job(tmp_path / "b", dropout=0.2)
    alone(of, upto=upto)

    resumed = alone(of)

    assert resumed.epoch == 3 and bits(resumed) == bits(undisturbed)
    assert [e["loss"] for e in resumed.history] == [e["loss"] for e in undisturbed.history]


def test_another_number_of_ranks_goes_on_from_the_same_checkpoint(tmp_path):
    of = job(tmp_path)
    alone(of, upto=1)

    first, second = together(of, 2)

    assert bits(first) == bits(second) and first.epoch == 3
    assert [len(e["rows"]) for e in first.history] == [1, 2, 2]


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    of = job(tmp_path)
    alone(of, upto=2)
    folder = Folder(of.folder)
    newest = list(folder.names("epoch-"))[-1]
    content = folder.read(newest)
    folder.write(newest, content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)

    _, position = checkpoint.newest(folder)

    assert position["epoch"] == 1
    assert bits(alone(of)) == bits(alone(job(tmp_path / "other")))


def test_two_checkpoints_are_kept_and_no_more(tmp_path):
    of = job(tmp_path, epochs=5)
    alone(of)

    assert [n[:11] for n in Folder(of.folder).names("epoch-")] == ["epoch-00004", "epoch-00005"]


def test_ranks_that_do_not_begin_alike_are_refused(tmp_path):
    of = job(tmp_path)

    class Other(Alone):
        def mean(self, flat):
            flat += 1

    with pytest.raises(DataError, match="rank 0 does not begin where the others do"):
        one(of, Other())


def test_a_label_that_is_no_class_is_refused(tmp_path):
    rows = np.column_stack([features(), np.full(ROWS, 3.0)]).astype(np.float32)

    with pytest.raises(DataError) as caught:
        alone(job(tmp_path, "multiclass", rows=rows))

    assert str(caught.value) == "a label is 3, and the net has the classes 0 to 2"


def test_ranks_without_rows_train_with_the_others(tmp_path):
    rows = np.column_stack([features(3), label("binary", features(3))]).astype(np.float32)

    found = together(job(tmp_path, rows=rows, holdout=0.0), 4)

    assert len({bits(t) for t in found}) == 1
    assert sorted(found[0].history[-1]["rows"]) == [0, 1, 1, 1]


def test_a_category_beyond_the_last_counts_as_that_one(tmp_path):
    of = job(tmp_path)
    net, x = Net(of.design), features(10)
    beyond = x.copy()
    beyond[:, 1], x[:, 1] = 99, 2

    assert torch.equal(net(torch.from_numpy(beyond)), net(torch.from_numpy(x)))


def test_a_step_that_does_not_fit_into_memory_is_halved_and_gives_the_same_gradient(tmp_path):
    of = job(tmp_path)
    rows = np.column_stack([features(100), label("binary", features(100))]).astype(np.float32)
    trainee, small = Trainee(of), Trainee(of)
    whole = trainee.learn(rows)
    small._loss, room = Small(small._loss, 30), 30

    halved = small.learn(rows)

    assert small.pieces == 4 and 100 / 4 <= room
    assert halved == pytest.approx(whole, rel=1e-6)
    assert torch.allclose(small.slope, trainee.slope, atol=1e-7)


class Small:
    """A memory in which so many rows have room."""

    def __init__(self, loss, room: int) -> None:
        self.loss, self.room = loss, room

    def __call__(self, rows):
        if len(rows) > self.room:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"
            )
        return self.loss(rows)


def test_only_a_full_memory_is_a_reason_to_halve():
    assert full(MemoryError()) and full(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not full(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_16_bits_a_gradient_and_a_layer_learn_about_the_same(tmp_path):
    plain = together(job(tmp_path / "a", epochs=10), 2)[0]
    short = together(job(tmp_path / "b", epochs=10, compression="fp16", precision="bfloat16"), 2)[0]

    assert short.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], abs=0.05)
    assert bits(short) != bits(plain)


def test_the_rate_rises_then_falls_to_nothing():
    found = [rate(p / 100) for p in range(101)]

    assert 0 < found[0] < found[3] < found[5] and max(found) <= 1.0
    assert found[5] == pytest.approx(1.0, abs=0.1) and found[100] == pytest.approx(0.0, abs=1e-9)


def ailing(root, rows=None, goal="binary", **options) -> set[str]:
    trainee = alone(job(root, goal, rows=rows, **options))
    return {found["rule"] for found in rules.ailments(trainee.history)}


def test_a_net_that_learns_well_has_no_ailment(tmp_path):
    assert ailing(tmp_path, epochs=6) == set()


def test_a_rate_that_is_far_too_large_blows_gradients_up_or_stops_learning(tmp_path):
    rows = np.column_stack([features() * 1e3, label("regression", features()) * 1e3]).astype(np.float32)
    rows[:, 1], rows[:, 3] = features()[:, 1], features()[:, 3]

    found = ailing(tmp_path, rows, "regression", learning_rate=5.0, epochs=4)

    assert found & {"exploding_gradients", "not_learning"}


def test_a_rate_of_next_to_nothing_does_not_learn(tmp_path):
    assert "not_learning" in ailing(tmp_path, learning_rate=1e-9, epochs=4)


def spoiled(root, how) -> set[str]:
    """What ails a net that begins with spoiled layers."""
    of = job(root, epochs=1, learning_rate=1e-9)
    trainee = Trainee(of)
    with torch.no_grad():
        how(trainee.net.layers)
    checkpoint.keep(Folder(of.folder), trainee.arrays(), trainee.position())
    return {found["rule"] for found in rules.ailments(alone(of).history)}


def test_units_pushed_below_zero_are_dead(tmp_path):
    assert spoiled(tmp_path, lambda layers: layers[0].bias.fill_(-100.0)) == {"dead_units"}


def test_behind_a_layer_of_next_to_nothing_gradients_vanish(tmp_path):
    assert spoiled(tmp_path, lambda layers: layers[-1].weight.mul_(1e-7)) == {"vanishing_gradients"}


def test_rows_learned_by_heart_are_overfitted(tmp_path):
    dice = np.random.default_rng(5)
    rows = np.column_stack([features(200), dice.integers(0, 2, 200)]).astype(np.float32)

    found = ailing(tmp_path, rows, hidden=(128, 128), epochs=40, batch=20, holdout=0.25, weight_decay=0.0)

    assert "overfitting" in found


def crew_ailing(root, spoil, **options) -> tuple[set[str], dict]:
    """What ails two ranks that are spoiled, and the account of their last epoch."""
    history = together(job(root, epochs=1, holdout=0.0, **options), 2, spoil)[0].history
    return {found["rule"] for found in rules.ailments(history)}, history[-1]


def test_a_rank_that_computes_slowly_is_a_skew_and_the_other_waits_for_it(tmp_path):
    def slow(trainee, loader, rank):
        trainee._loss = late(trainee._loss, 0.08 * rank)

    found, account = crew_ailing(tmp_path, slow)

    assert found == {"rank_skew"} and account["work_s"][1] > 1.6 > account["work_s"][0]
    assert account["profile"]["wait"] > 0.5  # the mean of next to nothing and all that the other takes


def test_ranks_that_are_all_slow_are_no_skew(tmp_path):
    def slow(trainee, loader, rank):
        trainee._loss = late(trainee._loss, 0.08)

    found, account = crew_ailing(tmp_path, slow)

    assert found == set() and min(account["work_s"]) > 1.6


def test_ranks_that_read_slowly_starve(tmp_path):
    def slow(trainee, loader, rank):
        loader._read = late(loader._read, 0.4)

    found, account = crew_ailing(tmp_path, slow)

    assert found == {"input_starvation"} and account["busy"] < 0.5 < account["profile"]["load"] / account["seconds"]


def test_ranks_that_compute_longer_than_they_read_do_not_starve(tmp_path):
    def slow(trainee, loader, rank):
        loader._read = late(loader._read, 0.03)
        trainee._loss = late(trainee._loss, 0.08)

    found, account = crew_ailing(tmp_path, slow)

    assert found == set() and account["busy"] > 0.6


def test_a_patience_takes_the_best_epoch_and_stops(tmp_path):
    dice = np.random.default_rng(5)
    rows = np.column_stack([features(200), dice.integers(0, 2, 200)]).astype(np.float32)
    of = job(tmp_path, rows=rows, hidden=(128,), epochs=40, batch=20, holdout=0.25, patience=2)

    trainee = alone(of)

    assert trainee.stopped == "patience: no better epoch for 2" and trainee.epoch < 40
    held = [e["held_loss"] for e in trainee.history]
    assert held.index(min(held)) == len(held) - 3
    best = load(trainee.trained())
    net = Net(of.design)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in best.items()})
    kept = rows[np.arange(200) % 4 == 3]
    with torch.no_grad():
        found = loss(of.design, net(torch.from_numpy(kept[:, :-1])), torch.from_numpy(kept[:, -1]))
    assert float(found) / len(kept) == pytest.approx(min(held), rel=1e-5)


def test_a_class_that_hardly_any_row_has_is_told(tmp_path):
    rows = np.column_stack([features(), np.arange(ROWS) < 5]).astype(np.float32)

    assert "class_imbalance" in ailing(tmp_path, rows, epochs=1)


def infinite(root) -> Job:
    rows = np.column_stack([features(), label("regression", features())]).astype(np.float32)
    rows[100, -1] = 3e38  # its square is beyond single precision
    return job(root, "regression", rows=rows, epochs=2, holdout=0.0)


def test_a_gradient_that_is_no_number_ends_the_training_with_its_place(tmp_path):
    with pytest.raises(
        DataError, match=r"^step \d+ of epoch 1: the gradient is NaN or infinite; a smaller learning_rate"
    ):
        alone(infinite(tmp_path))


def test_where_it_may_go_on_such_a_step_is_left_out_and_said(tmp_path):
    of = infinite(tmp_path)
    spec = of.spec.model_copy(update={"stop_on": ()})

    trainee = alone(Job(of.deck, of.design, spec, of.seed, of.folder))

    assert [e["left_out"] for e in trainee.history] == [1, 1]
    assert torch.isfinite(trainee.weights).all()


def test_a_rule_that_is_to_stop_stops(tmp_path):
    trainee = alone(job(tmp_path, learning_rate=1e-9, epochs=9, stop_on=("not_learning",)))

    assert trainee.epoch == 3 and trainee.stopped.startswith("not_learning: the loss is ")


def test_the_account_of_an_epoch_adds_up(tmp_path):
    first, _ = together(job(tmp_path), 2)

    for epoch in first.history:
        assert sum(epoch["rows"]) == 1_900 == sum(epoch["classes"]) and epoch["units"] == 24
        assert sum(v for k, v in epoch["profile"].items()) <= epoch["seconds"] * 1.05
        assert 0 < epoch["busy"] <= 1
        parts = [loss for loss in epoch["course"] if loss is not None]
        assert np.mean(parts) == pytest.approx(epoch["loss"], rel=1e-6)  # 19 steps of as many rows, in 20 parts
        assert (len(parts), len(epoch["course"])) == (19, PARTS)
