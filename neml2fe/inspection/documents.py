"""What the types and fields of the sections other than [Models] mean.

Models and crystals say it themselves, in their declared fields.
"""

from __future__ import annotations

from neml2fe.types import TENSOR_TYPES

TYPES: dict[str, str] = {
    "Tensors/Python": "A tensor by an expression of the typed tensors, of torch and of the "
    "deck's other tensors.",
    **{
        f"Tensors/CSV{kind}": f"{kind} values from the columns of a CSV file, one row an entry "
        "of the batch. Columns are found by their names, or by the name of the variable with "
        "the suffixes of its components."
        for kind in TENSOR_TYPES
    },
    "EquationSystems/NonlinearSystem": "The residuals of a model as equations for some of its "
    "inputs, $r(u; g) = 0$.",
    "Meshes/File": "A mesh made by gmsh or Abaqus, or any other file that meshio reads.",
    "Meshes/Rectangle": "A rectangle of equal cells.",
    "Meshes/Box": "A box of equal cells.",
    "Meshes/QuarterAnnulus": "A quarter of a ring.",
    "Functions/PiecewiseLinear": "A number over time: points joined by straight lines, in the "
    "deck or in two columns of a CSV file.",
    "Functions/Expression": "A number over time, by an expression of `t`.",
    "Materials/Material": "A model as the material of a finite-element run.",
    "BoundaryConditions/Dirichlet": "A prescribed component of the displacement.",
    "BoundaryConditions/Traction": "Forces per area, in fixed directions.",
    "BoundaryConditions/Pressure": "Pressure against a boundary.",
    "BoundaryConditions/BodyForce": "Forces per volume, everywhere.",
    "Drivers/TransientDriver": "Evaluates a model at every prescribed time, for a batch of "
    "specimens. Old values come from the step before.",
    "Drivers/MixedControlDriver": "Finds the strains that give prescribed strains and stresses, "
    "by component, for any model from strain to stress.",
    "Drivers/TransientRegression": "Runs another driver and compares its results with a file "
    "that was saved before: exit code 1, and a table of the values that are off, where they "
    "differ.",
    "Drivers/Verification": "Runs another driver and compares some of its variables with "
    "tensors of the deck, such as columns of a CSV file.",
    "Drivers/FiniteElementDriver": "A finite-element run with adaptive time steps, on any "
    "number of ranks.",
}

_Entry = tuple[str, str | None, str]  # type; default, None where required; meaning

# By patterns of section/type/field; the first that fits counts. A `*` in the name of the field
# stands for the name of a tensor type.
FIELDS: dict[str, _Entry] = {
    "Tensors/Python/expr": ("expression", None, "An expression that gives a tensor"),
    "Tensors/CSV*/csv_file": ("path", None, "The file, beside the deck"),
    "Tensors/CSV*/variable": ("name", "", "Name of the columns without the components' suffix"),
    "Tensors/CSV*/column_names": ("list of name", "", "Columns by name, one a component"),
    "EquationSystems/*/model": ("Model", None, "Model that computes the residuals"),
    "EquationSystems/*/unknowns": ("list of name", None, "Unknowns; `;` ends a group"),
    "EquationSystems/*/residuals": ("list of name", "{unknown}_residual", "In the same order"),
    "EquationSystems/*/structure": ("list of name", "", "Structure of each group's block"),
    "Solvers/*/linear_solver": ("Solver", "", "Solver of the linear systems"),
    "Solvers/*/abs_tol": ("float", "", "Converged when the residual's norm falls below"),
    "Solvers/*/rel_tol": ("float", "", "The same, relative to the first norm"),
    "Solvers/*/max_its": ("int", "", "Most iterations"),
    "Solvers/*/substep_del_tol": (
        "float",
        "",
        "Largest remaining step, relative to the unknowns, that rel_tol may accept",
    ),
    "Solvers/*/linesearch_type": ("name", "", "How the step length is found"),
    "Solvers/*/max_linesearch_iterations": ("int", "", "Most step lengths tried"),
    "Solvers/*/linesearch_cutback": ("float", "", "Divisor of the step length at each try"),
    "Solvers/*/linesearch_stopping_criteria": ("float", "", "Least decrease that is accepted"),
    "Solvers/*/check_negative_criterion": ("bool", "", "Report a criterion below zero"),
    "Solvers/*/restart": ("int", "", "Iterations between restarts"),
    "Solvers/*/preconditioner": ("Solver", "", "Preconditioner"),
    "Solvers/*/cache_strategy": ("name", "", "When a preconditioner is kept"),
    "Solvers/*/cache_max_its": ("int", "", "Iterations beyond which a kept one is renewed"),
    "Solvers/*/residual_primary_group": ("int", "", "Group of residuals that is eliminated"),
    "Solvers/*/unknown_primary_group": ("int", "", "Group of unknowns that is eliminated"),
    "Solvers/*/primary_solver": ("Solver", "", "Solver of the eliminated block"),
    "Solvers/*/schur_solver": ("Solver", "", "Solver of what remains"),
    "Meshes/File/file": ("path", None, "The file, beside the deck"),
    "Meshes/*/divisions": ("list of int", None, "Numbers of cells by direction"),
    "Meshes/*/lengths": ("list of float", None, "Lengths by direction"),
    "Meshes/*/radii": ("list of float", None, "Inner and outer radius"),
    "Meshes/*/cell_type": ("name", None, "Cell type, such as quad or hexahedron"),
    "Functions/*/times": ("list of float", "", "Increasing times"),
    "Functions/*/values": ("list of float", "", "Values at these times"),
    "Functions/*/csv_file": ("path", "", "Table instead of times and values"),
    "Functions/*/time_column": ("name", "", "Its column of times"),
    "Functions/*/value_column": ("name", "", "Its column of values"),
    "Functions/*/expr": ("expression", None, "An expression of `t` that gives a number"),
    "Materials/*/model": ("Model", None, "From strain to stress"),
    "Materials/*/strain": ("name", "", "The model's strain, where it is not found by itself"),
    "Materials/*/stress": ("name", "stress", "The model's stress"),
    "Materials/*/time": ("name", "t", "The model's time"),
    "Materials/*/backend": ("name", "auto", "What runs it: auto, kernel (compiled) or eager"),
    "BoundaryConditions/*/boundary": ("name", None, "Group of the mesh"),
    "BoundaryConditions/*/component": ("name", None, "x, y or z"),
    "BoundaryConditions/BodyForce/value": ("list of Function", None, "Numbers or functions"),
    "BoundaryConditions/Traction/value": ("list of Function", None, "Numbers or functions"),
    "BoundaryConditions/*/value": ("Function", None, "A number or a function"),
    "Drivers/FiniteElementDriver/mesh": ("Mesh", "the only one", "Mesh"),
    "Drivers/FiniteElementDriver/material": ("Material", "the only one", "Material"),
    "Drivers/*/boundary_conditions": ("list of name", "all", "Conditions that act"),
    "Drivers/*/field_names": ("list of name", "", "Other inputs of the material"),
    "Drivers/*/field_values": ("list of Function", "", "Their values, uniform in space"),
    "Drivers/*/end_time": ("float", None, "Time at which the run ends"),
    "Drivers/*/start_time": ("float", "0", "Time at which it starts"),
    "Drivers/*/dt": ("float", None, "First time step"),
    "Drivers/*/dt_min": ("float", "dt/10000", "Smallest time step"),
    "Drivers/*/dt_max": ("float", "dt", "Largest time step"),
    "Drivers/*/growth": ("float", "1.5", "Growth after an easy step"),
    "Drivers/*/cutback": ("float", "0.5", "Reduction after a failed step"),
    "Drivers/*/easy_iterations": ("int", "5", "Newton iterations of an easy step, at most"),
    "Drivers/*/stops": ("list of float", "", "Times at which steps must end"),
    "Drivers/*/formulation": ("name", "auto", "plane_strain or three_dimensional"),
    "Drivers/*/quadrature_degree": ("int", "", "Degree that is integrated exactly"),
    "Drivers/*/tolerance": ("float", "1e-12", "Out-of-balance forces, relative"),
    "Drivers/*/backend": ("name", "auto", "petsc or scipy"),
    "Drivers/*/petsc_options": ("text", "", "Options as on PETSc's command line"),
    "Drivers/*/device": ("name", "cpu", "Device of the material: cpu, cuda:0, ..."),
    "Drivers/*/output_every": ("int", "1", "Steps between outputs"),
    "Drivers/*/checkpoint_every": ("int", "10", "Steps between checkpoints"),
    "Drivers/*/figure": ("name", "", "Field to draw at the end"),
    "Drivers/*/model": ("Model", None, "Model to evaluate"),
    "Drivers/*/prescribed_time": ("Scalar", None, "Times, of batch shape (n_steps, *specimens)"),
    "Drivers/*/time": ("name", "t", "Name of the time"),
    "Drivers/*/save_as": ("path", "", "File of the result dictionary, for torch.load"),
    "Drivers/*/prescribed_strain": ("SR2", "", "Strains, where they are controlled"),
    "Drivers/*/prescribed_stress": ("SR2", "0", "Stresses, where they are controlled"),
    "Drivers/*/control": ("name", None, "Six words strain or stress, or an SR2 of 0 and 1"),
    "Drivers/*/strain": ("name", "", "The model's strain, where it is not found by itself"),
    "Drivers/*/stress": ("name", "stress", "The model's stress"),
    "Drivers/*/rel_tol": ("float", "1e-10", "Error of the stress, relative"),
    "Drivers/*/max_its": ("int", "15", "Most Newton iterations of a step"),
    "Drivers/*/max_bisections": ("int", "8", "Most halvings of a step"),
    "Drivers/*/prescribed_*_names": ("list of name", "", "Inputs that are prescribed"),
    "Drivers/*/prescribed_*_values": ("list of TYPE", "", "Their histories"),
    "Drivers/*/ic_*_names": ("list of name", "", "Variables with initial conditions"),
    "Drivers/*/ic_*_values": ("list of TYPE", "", "Their values at step 0; zero if not given"),
    "Drivers/*/driver": ("Driver", None, "The driver to run"),
    "Drivers/*/reference": ("path", None, "File saved by `save_as`, beside the deck"),
    "Drivers/*/rtol": ("float", "1e-05", "Tolerance relative to the expected value"),
    "Drivers/*/atol": ("float", "1e-08", "Absolute tolerance, added"),
    "Drivers/*/time_steps": ("list of int", "all", "Steps to compare"),
    "Drivers/Verification/*_names": ("list of name", "", "output.NAME or input.NAME"),
    "Drivers/Verification/*_values": ("list of TYPE", "", "Expected values, by step"),
}
