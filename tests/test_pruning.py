import dataclasses
import math
import types

import numpy as np
import pytest
from scipy import stats

from regimes import fits, laws, pruned, pruned_families, pruning, teachers, training, work_plots
from regimes.commands import pruning as command
from regimes.results import Estimate

SMALL = {
    "task": "digits",
    "depths": (1, 2),
    "widths": (8, 16, 32),
    "n": (100, 400),
    "rounds": 10,
    "steps": 40,
    "seeds": 2,
}
LAW = {"pruned": 0.9, "gamma": 1.8, "p": 0.8, "phi": 0.6, "psi": 0.9}


def shape(network):
    return sum(layer.name == "dense" for layer in network.model.layers), network.width


def dense_loss(depth, width, x):
    """The samples are repeated to one number: those that differ count."""
    return 2 * width**-0.4 * depth**-0.3 * len(np.unique(x, axis=0)) ** -0.3


def fake_prune(network, x, y, *, rounds, seeds, rewind, steps, share=0.2, checkpoint=None, progress=None, **options):
    """Networks that obey the law, scattered by 1 % over seeds, instead of training."""
    depth, width = shape(network)
    assert rewind == steps // 20
    density = (1 - share) ** np.arange(rounds + 1.0)
    dense, (weights, biases) = dense_loss(depth, width, x), pruned_families.shape(depth, width, x.shape[1], y.shape[1])
    loss = laws.PRUNING(LAW, density=density, depth=depth, width=width, dense=dense)
    loss[0] = dense  # as the law has it at density 1 up to its tail
    rng = np.random.default_rng([depth, width, len(np.unique(x, axis=0)), *seeds])
    scatter = np.exp(0.01 * rng.standard_normal((rounds + 1, len(seeds))))
    scatter[0] = 1 if rounds else np.exp(0.01 * np.arange(len(seeds)))  # rivals of a budget spread
    return types.SimpleNamespace(
        weights=[weights], biases=biases, density=density, loss=loss[:, None] * scatter, train_loss=None
    )


@pytest.fixture(scope="module")
def runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruned, "prune", fake_prune)
        return [pruning.run(**SMALL, seed=seed) for seed in (1, 1, 2)]


@pytest.fixture
def result(runs):
    return runs[0]


def claim(result, words):
    return next(one for one in result.checks if words in one.what)


def test_the_planted_law_comes_back_from_the_smaller_half(result):
    assert [(one.depth, one.width) for one in result.families[: result.fitted : 2]] == [(1, 8), (2, 8), (1, 16)]
    assert result.networks == 6 * 2 * 10
    for name in ("pruned", "phi", "psi"):
        assert result.fit.parameters[name] == pytest.approx(LAW[name], rel=0.1)
    assert claim(result, "larger half").holds
    assert result.divergence("out")[1].value < 0.03
    assert result.noise[0] == pytest.approx(0.01, rel=0.2)
    assert result.noise[1] == pytest.approx(result.noise[0] / math.sqrt(2))


def test_divergence_is_plain_arithmetic(result):
    every = []
    for one in result.held:
        for density, losses in zip(one.density[1:], one.losses[1:], strict=True):
            geometric = math.exp(sum(math.log(loss) for loss in losses) / 2)
            said = result.fit.law(result.fit.parameters, density=density, **one.scales)
            every.append(said / geometric - 1)
    mean, spread = result.divergence("held")
    assert mean.value == pytest.approx(np.mean(every))
    assert spread.value == pytest.approx(np.std(every))
    groups = [result.predicted(one)[1:] / one.loss[1:] - 1 for one in result.held]
    left = [np.mean(np.concatenate([*groups[:i], *groups[i + 1 :]])) for i in range(len(groups))]
    error = math.sqrt((len(groups) - 1) ** 2 / len(groups) * np.var(left, ddof=1))  # the jackknife's
    assert mean.high - mean.value == pytest.approx(stats.t.ppf(0.975, len(groups) - 1) * error)
    assert 0 <= spread.low <= spread.value <= spread.high
    with pytest.raises(ValueError, match="`which` must be one of in, out, held"):
        result.divergence("all")


def test_a_law_for_each_shape_leaves_the_noise(result):
    mean, spread = result.alone()
    assert abs(mean.value) < 0.005
    assert 0.002 < spread.value < 0.01 / math.sqrt(2) * 1.3
    assert claim(result, "each shape by itself").holds
    stairs = np.where(np.arange(11) % 2, 1.3, 1.0)[:, None]
    bent = [one._replace(losses=one.losses * stairs) for one in result.families]
    assert dataclasses.replace(result, families=tuple(bent)).alone()[1].value > 0.1


def test_losses_off_the_law_are_found_out(result):
    """Larger shapes with half of the loss that the law says: the claim about them fails, the one within does not."""
    wrong = [one._replace(losses=one.losses * np.r_[1, np.linspace(0.5, 1, 10)][:, None]) for one in result.families]
    changed = dataclasses.replace(result, families=(*result.families[: result.fitted], *wrong[result.fitted :]))
    claims = pruning._claims(changed)
    named = {one.what: one.holds for one in claims}
    assert named["spread of the law, extrapolated: larger half"] is False
    assert named["spread of the law, fitted: smaller half of the shapes"] is True


def test_pairs_have_equal_losses_under_the_law(result):
    assert {one.n for one in result.pairs} == {100, 400}
    for one in result.pairs:
        first = next(f for f in result.held if (f.depth, f.width, f.n) == (*one.one[:2], one.n))
        other = next(f for f in result.held if (f.depth, f.width, f.n) == (*one.other[:2], one.n))
        for family, place in ((first, one.one), (other, one.other)):
            said = result.fit.law(result.fit.parameters, density=place[2], **family.scales)
            assert said == pytest.approx(one.predicted, rel=1e-9)
    assert abs(result.interchange()[0].value) < 0.05
    assert claim(result, "pairs that should be equal").holds
    off = [one._replace(measured=(one.measured[0], 1.1 * one.measured[1])) for one in result.pairs]
    changed = pruning._claims(dataclasses.replace(result, pairs=tuple(off)))
    assert next(one for one in changed if "pairs" in one.what).holds is False


def test_the_invariant_collapses_what_the_density_does_not(result):
    apart = result.collapse()
    assert apart["invariant"] < 0.1
    assert apart["density"] > 5 * apart["invariant"]
    one = result.families[3]
    phi, psi = (result.fit.parameters[name] for name in ("phi", "psi"))
    assert result.invariant(one)[2] == pytest.approx(0.64 * one.depth**phi * one.width**psi)


def test_the_best_network_is_that_of_a_brute_force_search(result):
    dense = {"a": 0.5, "b": 0.4, "c": 0.3}
    found = pruned_families.best_for(2000, result.fit, dense, (1, 2), (8, 32), (64, 10))
    best = None
    for depth in (1, 2):
        for width in range(8, 33):
            weights = 64 * width + (width * width if depth == 2 else 0) + 10 * width
            density = (2000 - depth * width - 10) / weights
            if 0 < density <= 1:
                loss = 0.5 * width**-0.4 * depth**-0.3
                said = result.fit.law(result.fit.parameters, density=density, depth=depth, width=width, dense=loss)
                best = min(best or (9.0,), (float(said), depth, width, density))
    assert found == pytest.approx((*best[1:], best[0]))
    with pytest.raises(ValueError, match="`parameters` of 10 fit no network"):
        pruned_families.best_for(10, result.fit, dense, (1, 2), (8, 32), (64, 10))


def test_budgets_are_kept_and_compared_with_the_best_dense_network(result):
    for one in result.budgets:
        weights, biases = pruned_families.shape(one.depth, one.width, 64, 10)
        assert one.density * weights + biases == pytest.approx(one.parameters)
        assert one.larger == pytest.approx((weights + biases) / one.parameters)
        assert sum(pruned_families.shape(*one.dense_shape, 64, 10)) <= one.parameters
        assert np.exp(np.log(one.measured).mean()) == pytest.approx(one.predicted, rel=0.1)
        low, high = stats.ttest_ind(np.log(one.measured), np.log(one.dense), equal_var=False).confidence_interval(0.95)
        assert (one.ratio.low, one.ratio.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert result.dense[400]["b"] == pytest.approx(0.4)
    assert result.dense[400]["c"] == pytest.approx(0.3)


def test_shapes_are_counted_as_the_networks_count_them():
    for depth, width in ((1, 5), (3, 7)):
        for inputs, outputs in ((64, 10), (4, 1)):
            whole = pruned_families.network(depth, width, outputs).parameters(np.zeros((1, inputs)))
            assert sum(pruned_families.shape(depth, width, inputs, outputs)) == whole
    with pytest.raises(ValueError, match="`width` must be at least 1, got 0"):
        pruned_families.shape(1, 0, 4, 1)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_teachers_labels_have_the_noise_that_was_asked_for(noise):
    sizes = pruning.plan(noise=noise)
    x, y, x_test, y_test = pruning._data(sizes, 3)
    assert x.shape[1:] + y.shape[1:] == sizes.ends
    assert not {*map(bytes, x)} & {*map(bytes, x_test)}
    teacher = teachers.draw(sizes.ends[0], [3, 1])
    for inputs, labels in ((x, y), (x_test, y_test)):
        added = labels - teacher.labels(inputs)
        assert np.mean(added**2) == pytest.approx(noise, rel=5 * math.sqrt(2 / len(added)))
        assert np.var(teacher.labels(inputs)) == pytest.approx(1, rel=0.15)


def test_the_default_task_is_the_noisy_teacher_of_four_inputs(monkeypatch):
    monkeypatch.setattr(pruned, "prune", fake_prune)
    found = pruning.run(**SMALL | {"task": "teacher-student", "depths": (2, 3)}, seed=1)
    assert found.settings["noise"] == 0.05
    assert found.fit.parameters["psi"] == pytest.approx(LAW["psi"], rel=0.1)
    for one in found.families:
        assert (one.weights, one.biases) == pruned_families.shape(one.depth, one.width, 4, 1)
    for one in found.budgets:
        weights, biases = pruned_families.shape(one.depth, one.width, 4, 1)
        assert one.density * weights + biases == pytest.approx(one.parameters)


def test_the_same_seed_gives_the_same(runs):
    first, again, other = runs
    np.testing.assert_array_equal(first.families[0].losses, again.families[0].losses)
    assert first.fit.parameters == again.fit.parameters
    assert not np.array_equal(first.families[0].losses, other.families[0].losses)


def test_tables_record_and_figure(result):
    tables = result.tables()
    assert len(tables["networks"]) == (6 + len(result.sizes.held)) * 2 * 11 * 2
    assert set(tables["networks"]["role"]) == {"in", "out", "held"}
    assert set(tables["law"]["parameter"]) == set(LAW)
    assert len(tables["pairs"]) == len(result.pairs)
    assert len(tables["budgets"]) == len(result.budgets) * 2
    assert result.record()["divergence"]["out"]["spread"]["value"] == result.divergence("out")[1].value
    assert str(result).startswith("Pruning of 120 networks on digits, 2 seeds each\n  pruned networks")
    axes = work_plots.pruning(result).axes
    assert len(axes) == 4
    assert len(axes[0].lines) == 2 * 6


def test_a_diverged_seed_is_left_out():
    family = pruned_families.Family(1, 8, 100, 592, 18, np.array([1.0, 0.8]), np.array([[0.4, np.nan], [0.5, 0.45]]))
    assert family.loss[0] == pytest.approx(0.4)
    assert family.at(0.8) == pytest.approx(math.sqrt(0.5 * 0.45))
    assert isinstance(pruned_families._ratio(np.log([0.4, np.nan]), np.log([0.4, 0.5])), Estimate)


def test_too_few_families_are_no_law(result):
    with pytest.raises(ValueError, match="`families` must be at least three, got 2"):
        pruned_families.fit_law(result.families[:2])
    with pytest.raises(ValueError, match="`families` must be at least three, got 0"):
        pruned_families.dense_law([])
    assert isinstance(pruned_families.fit_law(result.families), fits.Fit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1,)}, "`depths` must hold at least 2"),
        ({"depths": (1, 2), "widths": (8, 16)}, "`depths` and `widths` make 4 shapes, at least 5 are needed"),
        ({"depths": (0, 1)}, "`depths` must lie between 1"),
        ({"widths": (16,)}, "`widths` must hold at least 2"),
        ({"depths": (1, 2), "widths": (2, 3, 4)}, "leave no shape between them"),
        ({"widths": (16, math.nan)}, "`widths` holds 1 NaN"),
        ({"n": (10,)}, "`n` must lie between 50 and 4096"),
        ({"task": "digits", "n": (10,)}, "`n` must lie between 50 and 1200"),
        ({"task": "digits", "noise": 0.1}, "`noise` is that of the teacher's labels, got 0.1 for the digits"),
        ({"noise": -1}, "`noise` must be finite and at least 0"),
        ({"task": "mnist"}, "`task` must be one of teacher-student, digits; got 'mnist'"),
        ({"n": ()}, "`n` is empty"),
        ({"rounds": 0}, "`rounds` must be at least 1"),
        ({"rounds": 60}, "`rounds` of 60 leave nothing of 696 weights"),
        ({"steps": 3}, "`steps`"),
        ({"seeds": 1}, "`seeds` must be at least 2"),
        ({"seed": -1}, "`seed`"),
        ({"budgets": (5,)}, "`budgets` must lie between 10 and"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        pruning.run(**arguments)


def test_every_network_has_a_folder_of_its_own(tmp_path, monkeypatch):
    """The same one in the same call, so that an interrupted run goes on: `pruned` and `training` see to the rest."""
    used = []

    def pruning_there(*arguments, checkpoint, **options):
        used.append((checkpoint, options["rounds"]))
        return fake_prune(*arguments, **options)

    monkeypatch.setattr(pruned, "prune", pruning_there)
    told = []
    pruning.run(**SMALL, checkpoint=tmp_path, progress=lambda what, share: told.append(share))
    first, used[:] = list(used), []
    pruning.run(**SMALL, checkpoint=str(tmp_path))
    assert used == first
    assert len({folder for folder, _ in used}) == len(used)
    assert all(folder.parent == tmp_path for folder, _ in used)
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same(tmp_path, monkeypatch):
    """Trained for real, little of it: stopped in the middle of a pruning, then gone on with."""
    tiny = {"depths": (1, 2), "widths": (2, 4, 7), "n": (60,), "rounds": 3, "steps": 20, "seeds": 2, "budgets": (60,)}
    plain, calls = training.train, []

    def stopping(*arguments, **options):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    monkeypatch.setattr(training, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        pruning.run(**tiny, checkpoint=tmp_path)
    monkeypatch.setattr(training, "train", plain)
    resumed, whole = pruning.run(**tiny, checkpoint=tmp_path), pruning.run(**tiny)
    for one, other in zip(resumed.families + resumed.held, whole.families + whole.held, strict=True):
        np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(resumed.budgets[0].measured, whole.budgets[0].measured)


@pytest.mark.slow
def test_trained_networks_have_two_plateaus_and_wider_ones_bear_more():
    sizes = {"depths": (1, 2), "widths": (12, 24, 48), "n": (500,), "rounds": 14, "steps": 600, "seeds": 2}
    found = pruning.run(task="digits", **sizes)
    for one in found.families:
        assert np.all(np.abs(one.loss[1:4] / one.loss[0] - 1) < 0.15), "a plateau at high density"
    for depth in (1, 2):  # the same density, 0.04, costs the narrow ones most
        rise = [
            one.loss[-1] / one.loss[0]
            for one in sorted(found.families, key=lambda one: one.width)
            if one.depth == depth
        ]
        assert rise[0] > 2
        assert rise[0] > rise[1] > rise[2] > 1.2
    assert found.fit.parameters["psi"] > 0.4
    assert found.collapse()["invariant"] < 0.6 * found.collapse()["density"]


def test_the_command_writes_what_it_found(unchecked, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pruned, "prune", fake_prune)
    command.command(depths="1,2", widths="8,16,32", n="100,400", rounds=10, seeds=2, out=tmp_path / "out")
    assert "Pruning of 120 networks" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "pruning.png",
        "networks.csv",
        "law.csv",
        "run.json",
    }


def test_the_command_refuses_before_it_begins(unchecked, tmp_path):
    with pytest.raises(ValueError, match="`depths` must hold at least 2"):
        command.command(depths="1", out=tmp_path / "out")
    with pytest.raises(ValueError, match="`widths` must be numbers separated by commas"):
        command.command(widths="8;16", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_budgets_of_small_grids_ascend_and_further_shapes_are_none_of_the_grid():
    sizes = pruning.plan(depths=(1, 2, 4), widths=(24, 32))
    assert list(sizes.budgets) == sorted(set(sizes.budgets))
    assert not {shape for shape in sizes.held if shape[0] in sizes.depths and shape[1] in sizes.widths}
