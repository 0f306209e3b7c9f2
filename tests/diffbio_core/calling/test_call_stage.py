"""The call stage against each candidate looked at alone."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from flax import nnx

from diffbio_core.calling import call_stage
from diffbio_core.calling.call_stage import CallStage
from diffbio_core.candidates.limits import ViewLimits
from diffbio_core.candidates.views import ROW_BUCKETS, CandidateViews, candidate_depth, cut_views
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline
from diffbio_core.windows.encoding import CODE_MASK, NO_READ
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam
from tests.diffbio_core.made_up_shards import shard_with
from tests.random_reads import random_reads, random_reference

SMALL = AlleleClassifierConfig(channels=6, kernels=(3,), hidden=8)
GRID = WindowGrid(512, 256, 8)


def shown(planes):
    """Depth within the limits of the pipeline."""
    return candidate_depth(planes, ViewLimits().max_reads, ViewLimits().thinned_reads)


def made_up_views(random, number, rows):
    """Views of random bases, with as many reads as there are rows and fewer."""
    views = CandidateViews.empty(number, rows)
    views.symbol[:] = random.integers(0, 4, views.symbol.shape)
    views.base_quality[:] = random.integers(2, 41, views.base_quality.shape)
    views.mapping_quality[:] = random.integers(0, 61, views.mapping_quality.shape)
    views.group[:] = random.integers(0, 6, views.group.shape)
    views.reference[:] = random.integers(0, 4, views.reference.shape)
    views.allele[:] = random.integers(0, 4, views.allele.shape)
    views.length[:] = random.integers(-3, 4, number)
    for column in (views.tract, views.crowd, views.rival):
        column[:] = random.integers(0, 9, number)
    return views.arrays()


@pytest.fixture(scope="module")
def pipeline():
    return AlleleCallingPipeline(AlleleCallingConfig(classifier=SMALL), rngs=nnx.Rngs(1))


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """A shard of places of every depth up to more than 128 reads, with more candidates than a batch holds."""
    random = np.random.default_rng(2)
    reference = random_reference(random, 3000)
    reads = random_reads(random, reference, 300)
    for start, stop, number in ((500, 700, 100), (1500, 1700, 300)):
        for index in range(number):
            at = int(random.integers(start, stop - 100))
            bases = list(reference[at : at + 100].upper().replace("R", "A").replace("N", "C"))
            for place in range(at, at + 100):
                if place % 10 == index % 10 and place % 3:
                    bases[place - at] = "ACGT"["ACGT".index(bases[place - at]) - 1]
            reads.append(Sam(at, "100M", "".join(bases), name=f"{start}.{index}", flag=16 * (index % 2)))
    bam = write_bam(tmp_path_factory.mktemp("call") / "reads.bam", reads, {"c1": 3000})
    with AlignmentReader(bam) as reader:
        (shard,) = pack(reader, reference, GRID)
    buckets = np.searchsorted(ROW_BUCKETS, shown(shard).shown)
    assert set(buckets) == {0, 1, 2}
    assert shown(shard).covering.max() > 128
    assert np.bincount(buckets).max() > call_stage.BATCH_SIZE
    return shard


@pytest.fixture(scope="module")
def evidence(pipeline, planes):
    return CallStage(pipeline)(planes)


def test_every_candidate_gets_the_probabilities_that_it_gets_alone(pipeline, planes, evidence):
    @jax.jit
    def alone(view):
        return jax.nn.log_softmax(pipeline.apply(view, {}, None)[0]["logits"])

    assert evidence.log_probabilities.dtype == np.float64
    for candidate in range(0, len(planes.candidates), 3):
        views = cut_views(planes, np.array([candidate], np.int32), ROW_BUCKETS[-1], depth=shown(planes))
        expected = alone({name: values[0] for name, values in views.arrays().items()})
        np.testing.assert_allclose(evidence.log_probabilities[candidate], expected, atol=1e-5)
    assert np.ptp(evidence.log_probabilities[:, 0]) > 1e-3
    np.testing.assert_allclose(np.exp(evidence.log_probabilities).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("rows", [32, 64])
def test_not_a_bit_of_an_unrounded_logit_follows_from_the_place_of_a_candidate(rows):
    config = AlleleClassifierConfig(logit_steps=2.0**60)
    stage = CallStage(AlleleCallingPipeline(AlleleCallingConfig(classifier=config), rngs=nnx.Rngs(1)))
    random, number = np.random.default_rng(rows), 12 * call_stage.BATCH_SIZE
    views = made_up_views(random, number, rows)
    found = []
    for order in (
        np.arange(number),
        random.permutation(number),
        np.arange(number)[::-1],
        np.roll(np.arange(number), 5),
    ):
        found.append(np.empty((number, 3), np.float32))
        for start in range(0, number, call_stage.BATCH_SIZE):
            which = order[start : start + call_stage.BATCH_SIZE]
            found[-1][which] = stage.classify({name: values[which] for name, values in views.items()})

    assert np.unique(found[0][:, 0]).size > 0.9 * number
    assert np.abs(found[0] * 256 - np.rint(found[0] * 256)).max() > 0.4
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_batches_of_any_size_give_the_same_evidence(monkeypatch, pipeline, planes, evidence):
    monkeypatch.setattr(call_stage, "BATCH_SIZE", 50)
    other = CallStage(pipeline)(planes)

    for name, values in vars(evidence).items():
        np.testing.assert_array_equal(getattr(other, name), values)


def test_shards_of_several_threads_that_share_batches_get_what_each_gets_alone(pipeline, planes, evidence):
    stage = CallStage(pipeline, join_threads=True)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(stage, [planes] * 8):
            np.testing.assert_array_equal(found.log_probabilities, evidence.log_probabilities)
            np.testing.assert_array_equal(found.supports, evidence.supports)


def test_reads_of_changed_bases_are_counted_as_the_planes_show_them(planes, evidence):
    table, base = planes.candidates, planes.plane("base") & CODE_MASK
    changed = np.flatnonzero(table.length == 0)
    assert changed.size > 100
    for candidate in changed:
        window, column = table.window[candidate], table.column[candidate]
        codes = base[window, :, column]
        assert evidence.coverage[candidate] == (codes != NO_READ).sum() + table.thinned[candidate]
        if evidence.coverage[candidate] <= ViewLimits().max_reads:
            assert evidence.supports[candidate] == (codes == table.code[candidate]).sum()
            assert evidence.matches[candidate] == (codes == planes.reference[window, column]).sum()
            assert evidence.depth[candidate] == (codes != NO_READ).sum()


def test_no_more_reads_are_looked_at_than_the_model_was_trained_on(planes, evidence):
    deep = shown(planes).covering > ViewLimits().max_reads
    assert deep.sum() > 20
    assert evidence.depth[deep].max() <= ViewLimits().thinned_reads
    assert evidence.depth[deep].min() > 0.6 * ViewLimits().thinned_reads
    assert (evidence.supports + evidence.matches <= evidence.depth).all()


def test_a_read_with_another_indel_shows_neither_the_allele_nor_the_reference(pipeline, tmp_path):
    reference = "".join(np.random.default_rng(7).choice(list("ACGT"), 512))
    reference = reference[:200] + "GATCCTAG" + reference[208:]
    whole, deleted = reference[180:240], reference[180:203] + reference[205:240]
    inserted, changed = reference[180:203] + "AAA" + reference[203:240], reference[180:202] + "G" + reference[203:240]
    reads = [Sam(180, "60M", whole, name=f"w{number}") for number in range(5)]
    reads += [Sam(180, "23M2D35M", deleted, name=f"d{number}") for number in range(3)]
    reads += [Sam(180, "23M3I37M", inserted, name=f"i{number}") for number in range(2)]
    reads += [Sam(180, "60M", changed, name="x")]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 512})) as reader:
        (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))

    found = CallStage(pipeline)(planes)

    assert planes.candidates.length.tolist() == [-2, 3]
    assert planes.candidates.column.tolist() == [256 + 202, 256 + 202]
    assert found.supports.tolist() == [3, 2]
    assert found.matches.tolist() == [5, 5]
    assert found.depth.tolist() == [11, 11]


def test_a_candidate_without_reads_has_a_depth_of_none_and_still_probabilities(pipeline):
    found = CallStage(pipeline)(shard_with([(100, 0, "A")]))

    assert (found.supports.tolist(), found.matches.tolist(), found.depth.tolist()) == ([0], [0], [0])
    assert np.exp(found.log_probabilities).sum() == pytest.approx(1, rel=1e-5)


def test_a_shard_without_candidates_has_no_evidence(pipeline):
    found = CallStage(pipeline)(shard_with([]))

    assert found.log_probabilities.shape == (0, 3)
    assert found.supports.size == found.matches.size == found.depth.size == 0


def test_the_pipeline_is_traced_once_for_each_depth_of_views_whatever_its_parameters(planes):
    traced = []

    class Traced(AlleleCallingPipeline):
        def apply(self, data, *arguments):
            traced.append(data["group"].shape[-1])
            return super().apply(data, *arguments)

    config = AlleleCallingConfig(classifier=SMALL)
    one, other = (CallStage(Traced(config, rngs=nnx.Rngs(seed))) for seed in (1, 2))
    found, again, others = one(planes), one(planes), other(planes)

    np.testing.assert_array_equal(found.log_probabilities, again.log_probabilities)
    assert (found.log_probabilities != others.log_probabilities).any()
    buckets = np.unique(np.searchsorted(ROW_BUCKETS, shown(planes).shown))
    assert traced == [ROW_BUCKETS[bucket] for bucket in buckets]
