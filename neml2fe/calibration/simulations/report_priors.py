"""The sections of a report on what was known before the test: priors, posterior, penalties."""

from __future__ import annotations

from pathlib import Path

from neml2fe.calibration import diagnostics
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.calibration.simulations.plots import plot_l_curve
from neml2fe.calibration.simulations.posterior import LaplacePosterior
from neml2fe.calibration.simulations.tests_fit import TestsFit
from neml2fe.calibration.tables import text
from neml2fe.errors import InputError
from neml2fe.io.document import Picture, Section, Table, Text

Blocks = list[Text | Table | Picture]
_SAMPLES = 4000
_DRAWN = 12  # parameters whose posterior is drawn
_CHOSEN = {"given": "given", "discrepancy": "discrepancy principle", "l_curve": "L-curve"}


def prior_sections(
    folder: Path, result: TestsFit, parameters: ParameterSet, figures: bool
) -> list[Section]:
    """Priors and the posterior, penalised fields, and the fit before virtual fields were weighed,
    as far as there are any."""
    found = []
    if result.prior or result.posterior is not None:
        found.append(Section("Priors and posterior", _posterior(folder, result, figures)))
    if result.weighed:
        found.append(Section("Penalties", _penalties(folder, result, figures)))
    if result.first is not None:
        rows = [[n, text(result.first.values[n]), text(result.values[n])] for n in parameters.names]
        note = (
            "Virtual fields were weighed by the noise of the displacements at the parameters of a "
            "first fit, and fitted again."
        )
        header = ("parameter", "first fit", "fitted")
        found.append(Section("Weights of virtual fields", [Text(note), Table(header, rows)]))
    return found


def _posterior(folder: Path, result: TestsFit, figures: bool) -> Blocks:
    posterior, known = result.posterior, result.uncertainty
    deviations: dict[str, float] = {}
    if posterior is not None:
        try:
            deviations = dict(
                zip(posterior.parameters.names, posterior.deviations().tolist(), strict=True)
            )
        except InputError as error:  # open without a prior
            return [Text(f"{error.message}.")]
    elif known is not None:
        deviations = dict(zip(known.names, known.standard_errors.tolist(), strict=True))
    rows = []
    for name, value in result.values.items():
        given = result.prior.get(name) or result.prior.get(name.split("[")[0])
        after = deviations.get(name)
        row = [name, *(map(text, given) if given else ("-", "-")), text(value)]
        row.append("-" if after is None else text(after))
        row.append(f"{after / given[1]:.2g}" if given and after is not None else "-")
        rows.append(row)
    header = (
        "parameter", "prior mean", "prior deviation", "fitted", "deviation of data and prior",
        "over the prior's",
    )  # fmt: skip
    blocks: Blocks = [Table(header, rows)]
    if result.prior:
        note = (
            "The fitted values are those of the largest posterior; their standard errors and "
            "intervals are of data and priors together. A deviation that is hardly below that of "
            "the prior was not learnt from these data."
        )
        blocks.append(Text(note))
    if posterior is not None:
        blocks += _laplace(folder, posterior, bool(result.prior), figures)
    return blocks


def _laplace(folder: Path, posterior: LaplacePosterior, informed: bool, figures: bool) -> Blocks:
    blocks: Blocks = []
    if informed:
        words = [f"{k}. {c.words}." for k, c in enumerate(posterior.combinations, start=1)]
        blocks += [Text("What data and priors tell together, the worst known first:")]
        blocks += [Text(line) for line in words[:_DRAWN]]
    if figures:
        names = posterior.parameters.names[:_DRAWN]
        samples = dict(zip(names, posterior.samples(_SAMPLES).T, strict=False))
        path = diagnostics.plot_posterior(folder / "posterior.png", samples)
        caption = f"{_SAMPLES} samples of Laplace's approximation of the posterior"
        shown = f" (the first {_DRAWN})" if len(names) < len(posterior.parameters.names) else ""
        blocks.append(Picture(path, f"{caption}{shown}: Gaussian on the scale of the fit."))
    blocks.append(Text("Its covariance, by names of parameters, is in posterior.csv."))
    return blocks


def _penalties(folder: Path, result: TestsFit, figures: bool) -> Blocks:
    rows = [
        [w.name, w.kind, w.of, f"{w.weight:.4g}", _CHOSEN.get(w.by, w.by), f"{w.misfit:.4g}",
         f"{w.roughness:.4g}"]
        for w in result.weighed
    ]  # fmt: skip
    header = ("field", "penalty", "values of", "weight", "chosen by", "misfit", "roughness")
    note = (
        "Misfit: root mean square of the residuals of the data, about 1 where noise alone is left. "
        "Roughness: the penalty over its weight."
    )
    blocks: Blocks = [Table(header, rows), Text(note)]
    for w in result.weighed:
        if not w.curve:
            continue
        tried = [[f"{t.weight:.4g}", f"{t.misfit:.4g}", f"{t.roughness:.4g}"] for t in w.curve]
        blocks.append(Table(("weight", "misfit", "roughness"), tried, f"Weights tried of {w.name}"))
        if figures:
            points = [(t.misfit, t.roughness, t.weight) for t in w.curve]
            path = plot_l_curve(folder / f"{w.name}_l_curve.png", points, w.weight)
            blocks.append(Picture(path, f"L-curve of {w.name}; its corner is the weight used."))
    return blocks
