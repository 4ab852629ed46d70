r"""Linear viscoelasticity: springs and dashpots in series and in parallel.

A modulus multiplies all components of the strain alike (no Poisson effect). Internal strains
evolve by the returned rates; a time integration and an implicit update close the system.
Springs and dashpots: W. N. Findley, J. S. Lai and K. Onaran, "Creep and relaxation of nonlinear
viscoelastic materials" (1976), chapter 5.
"""

from __future__ import annotations

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar


class LinearDashpot(Model):
    r"""$\dot\varepsilon_v = \sigma / \eta$."""

    stress = Input(SR2, "Stress", dimension="stress")
    viscous_strain_rate = Output(SR2, "Viscous strain rate", dimension="1/time")
    viscosity = Parameter(Scalar, "eta", "Viscosity", "stress*time")

    def forward(self, stress: SR2) -> SR2:
        return stress / self.eta


class KelvinVoigtElement(Model):
    r"""A spring beside a dashpot, $\sigma = E\,\varepsilon + \eta\,\dot\varepsilon$."""

    strain = Input(SR2, "Strain", dimension="1")
    strain_rate = Input(SR2, "Strain rate", default="{strain}_rate", dimension="1/time")
    stress = Output(SR2, "Stress", dimension="stress")
    modulus = Parameter(Scalar, "K", "Modulus of the spring", "stress")
    viscosity = Parameter(Scalar, "eta", "Viscosity of the dashpot", "stress*time")

    def forward(self, strain: SR2, strain_rate: SR2) -> SR2:
        return self.K * strain + self.eta * strain_rate


class ZenerElement(Model):
    r"""The standard linear solid, a spring beside a Maxwell branch:
    $\sigma = E_\infty\varepsilon + E_M(\varepsilon - \varepsilon_v)$ and
    $\dot\varepsilon_v = E_M(\varepsilon - \varepsilon_v)/\eta_M$ (Zener 1948)."""

    strain = Input(SR2, "Strain", dimension="1")
    viscous_strain = Input(SR2, "Viscous strain of the Maxwell branch", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    viscous_strain_rate = Output(
        SR2, "Rate of the viscous strain", default="{viscous_strain}_rate", dimension="1/time"
    )
    equilibrium_modulus = Parameter(Scalar, "Einf", "Modulus of the lone spring", "stress")
    maxwell_modulus = Parameter(Scalar, "EM", "Modulus of the Maxwell branch", "stress")
    maxwell_viscosity = Parameter(Scalar, "etaM", "Viscosity of the Maxwell branch", "stress*time")

    def forward(self, strain: SR2, viscous: SR2) -> tuple[SR2, SR2]:
        branch = self.EM * (strain - viscous)
        return self.Einf * strain + branch, branch / self.etaM


class WiechertElement(Model):
    r"""A spring beside two Maxwell branches:
    $\sigma = E_\infty\varepsilon + \sum_{i=1}^2 E_i(\varepsilon - \varepsilon_{v,i})$ and
    $\dot\varepsilon_{v,i} = E_i(\varepsilon - \varepsilon_{v,i})/\eta_i$ (Wiechert 1893)."""

    strain = Input(SR2, "Strain", dimension="1")
    viscous_strain_1 = Input(SR2, "Viscous strain of branch 1", dimension="1")
    viscous_strain_2 = Input(SR2, "Viscous strain of branch 2", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    viscous_strain_1_rate = Output(
        SR2, "Rate of viscous strain 1", default="{viscous_strain_1}_rate", dimension="1/time"
    )
    viscous_strain_2_rate = Output(
        SR2, "Rate of viscous strain 2", default="{viscous_strain_2}_rate", dimension="1/time"
    )
    equilibrium_modulus = Parameter(Scalar, "Einf", "Modulus of the lone spring", "stress")
    modulus_1 = Parameter(Scalar, "E1", "Modulus of branch 1", "stress")
    viscosity_1 = Parameter(Scalar, "eta1", "Viscosity of branch 1", "stress*time")
    modulus_2 = Parameter(Scalar, "E2", "Modulus of branch 2", "stress")
    viscosity_2 = Parameter(Scalar, "eta2", "Viscosity of branch 2", "stress*time")

    def forward(self, strain: SR2, viscous_1: SR2, viscous_2: SR2) -> tuple[SR2, SR2, SR2]:
        branch_1, branch_2 = self.E1 * (strain - viscous_1), self.E2 * (strain - viscous_2)
        stress = self.Einf * strain + branch_1 + branch_2
        return stress, branch_1 / self.eta1, branch_2 / self.eta2


class BurgersElement(Model):
    r"""A Maxwell and a Kelvin-Voigt element in series:
    $\sigma = E_M(\varepsilon - \varepsilon_{v,M} - \varepsilon_K)$,
    $\dot\varepsilon_{v,M} = \sigma/\eta_M$ and
    $\dot\varepsilon_K = (\sigma - E_K\varepsilon_K)/\eta_K$ (Burgers 1935)."""

    strain = Input(SR2, "Strain", dimension="1")
    maxwell_viscous_strain = Input(SR2, "Strain of the Maxwell dashpot", dimension="1")
    kelvin_voigt_strain = Input(SR2, "Strain of the Kelvin-Voigt element", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    maxwell_viscous_strain_rate = Output(
        SR2,
        "Strain rate of the Maxwell dashpot",
        default="{maxwell_viscous_strain}_rate",
        dimension="1/time",
    )
    kelvin_voigt_strain_rate = Output(
        SR2,
        "Strain rate of the Kelvin-Voigt element",
        default="{kelvin_voigt_strain}_rate",
        dimension="1/time",
    )
    maxwell_modulus = Parameter(Scalar, "EM", "Modulus of the Maxwell spring", "stress")
    maxwell_viscosity = Parameter(Scalar, "etaM", "Viscosity of the Maxwell dashpot", "stress*time")
    kelvin_modulus = Parameter(Scalar, "EK", "Modulus of the Kelvin-Voigt spring", "stress")
    kelvin_viscosity = Parameter(
        Scalar, "etaK", "Viscosity of the Kelvin-Voigt dashpot", "stress*time"
    )

    def forward(self, strain: SR2, viscous: SR2, kelvin: SR2) -> tuple[SR2, SR2, SR2]:
        stress = self.EM * (strain - viscous - kelvin)
        return stress, stress / self.etaM, (stress - self.EK * kelvin) / self.etaK


class _Chain(Model, abstract=True):
    """Any number of units, each with an internal strain, a modulus and a viscosity."""

    strain = Input(SR2, "Strain", dimension="1")
    internal_strains = Input(SR2, "One internal strain per unit", many=True, dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    internal_strain_rates = Output(
        SR2,
        "Rates of the internal strains (by default each name with _rate)",
        default="{internal_strains}_rate",
        many=True,
        dimension="1/time",
    )
    moduli = Parameter(Scalar, "E", "Modulus of each unit", "stress", many=True)
    viscosities = Parameter(Scalar, "eta", "Viscosity of each unit", "stress*time", many=True)

    def setup(self) -> None:
        units, rates = self.names["internal_strains"], self.names["internal_strain_rates"]
        if rates == [f"{units[0]}_rate"]:  # the default knows the first only
            rates[:] = [f"{name}_rate" for name in units]
        counts = {
            "internal_strain_rates": len(rates),
            "moduli": self.count("E"),
            "viscosities": self.count("eta"),
        }
        for field, count in counts.items():
            if count != len(units):
                raise ModelError(
                    f"{self.label}: {len(units)} internal_strains need as many {field}, got {count}"
                )

    def units(self) -> list[tuple[Scalar, Scalar]]:
        """Modulus and viscosity of each unit."""
        count = len(self.names["internal_strains"])
        return [(getattr(self, f"E_{i}"), getattr(self, f"eta_{i}")) for i in range(count)]


class GeneralizedMaxwellElement(_Chain):
    r"""A spring beside any number of Maxwell branches, a Prony series with the relaxation
    times $\tau_i = \eta_i/E_i$: $G(t) = E_\infty + \sum_i E_i e^{-t/\tau_i}$ from
    $\sigma = E_\infty\varepsilon + \sum_i E_i(\varepsilon - \varepsilon_i)$ and
    $\dot\varepsilon_i = E_i(\varepsilon - \varepsilon_i)/\eta_i$ (Wiechert 1893)."""

    equilibrium_modulus = Parameter(
        Scalar, "Einf", "Modulus of the lone spring, 0 for a fluid", "stress", default=0.0
    )

    def forward(self, strain: SR2, *internal: SR2) -> tuple[SR2, ...]:
        stress, rates = self.Einf * strain, []
        for viscous, (modulus, viscosity) in zip(internal, self.units(), strict=True):
            branch = modulus * (strain - viscous)
            stress = stress + branch
            rates.append(branch / viscosity)
        return stress, *rates


class GeneralizedKelvinVoigtElement(_Chain):
    r"""A spring and any number of Kelvin-Voigt units in series, with the creep compliance
    $J(t) = 1/E_0 + \sum_i (1 - e^{-E_i t/\eta_i})/E_i$, from
    $\sigma = E_0(\varepsilon - \sum_i \varepsilon_i)$ and
    $\dot\varepsilon_i = (\sigma - E_i\varepsilon_i)/\eta_i$. A unit of modulus zero is a
    dashpot (Findley, Lai and Onaran 1976)."""

    instantaneous_modulus = Parameter(Scalar, "E0", "Modulus of the lone spring", "stress")

    def forward(self, strain: SR2, *internal: SR2) -> tuple[SR2, ...]:
        elastic = strain
        for part in internal:
            elastic = elastic - part
        stress = self.E0 * elastic
        return stress, *(
            (stress - modulus * part) / viscosity
            for part, (modulus, viscosity) in zip(internal, self.units(), strict=True)
        )
