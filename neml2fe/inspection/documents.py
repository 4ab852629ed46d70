"""What the types and fields of the sections other than [Models] mean.

Models and crystals say it themselves, in their declared fields.
"""

from __future__ import annotations

from neml2fe.inspection import finite_element_documents, measurement_documents
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
    **finite_element_documents.TYPES,
    **measurement_documents.TYPES,
    "Drivers/TransientDriver": "Evaluates a model at every prescribed time, for a batch of "
    "specimens. Old values come from the step before.",
    "Drivers/MixedControlDriver": "Finds the strains that give prescribed strains and stresses, "
    "by component, for any model from strain to stress.",
    "Drivers/TransientRegression": "Runs another driver and compares its results with a file "
    "that was saved before: exit code 1, and a table of the values that are off, where they "
    "differ.",
    "Drivers/Verification": "Runs another driver and compares some of its variables with "
    "tensors of the deck, such as columns of a CSV file.",
    "Specimens/CSVSpecimen": "The history of one specimen from a CSV file as a testing machine "
    "wrote it. What `control` names drives the model, stresses in other directions are zero, and "
    "everything else is compared.",
    "Specimens/CSVSpecimenList": "A specimen for each row of an index, a CSV file with the columns "
    "`file`, beside the index, and `name`. All files are alike.",
    "Parameters/FitParameter": "A parameter of the model that calibrations may change; of a table, "
    "all entries.",
    "Calibrations/Calibration": "A fit of parameters to specimens, run by `neml2fe calibrate`.",
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
    **measurement_documents.FIELDS,
    **finite_element_documents.FIELDS,
    "Specimens/*/file": ("path", None, "The file, beside the deck"),
    "Specimens/*/index": ("path", None, "The index, beside the deck"),
    "Specimens/*/name_column": ("name", "name", "Column of the index with names of specimens"),
    "Specimens/*/file_column": ("name", "file", "Column of the index with files, beside it"),
    "Specimens/*/variables": (
        "list of name",
        None,
        "Variables that columns hold: time, strain_11, stress_12, gamma_12 (engineering), others",
    ),
    "Specimens/*/columns": (
        "list of name",
        "variables",
        "Their columns by name, parted by `;` where names hold blanks",
    ),
    "Specimens/*/units": ("list of name", "", "Their units; `-`: none. As MPa, %, s, h, degC"),
    "Specimens/*/model_units": (
        "list of name",
        "s MPa 1 K",
        "Units of the model, one a dimension, to which columns with a unit are converted",
    ),
    "Specimens/*/weights": ("list of float", "1", "Weight of each column in the loss"),
    "Specimens/*/sigmas": ("list of float", "", "Standard deviation of each column; `-`: none"),
    "Specimens/*/control": ("list of name", "strain_11", "Variables that are prescribed"),
    "Specimens/*/others": ("name", "stress", "What is zero in other components: stress, strain"),
    "Specimens/*/inputs": ("list of name", "temperature", "Variables that are model inputs too"),
    "Specimens/*/field_names": ("list of name", "", "Other inputs of the model, constant in time"),
    "Specimens/*/field_values": (
        "list of float",
        "",
        "Their values; in a list also columns of the index",
    ),
    "Specimens/*/field_units": ("list of name", "", "Their units; `-`: none"),
    "Specimens/*/strain_rate": ("float", "", "Rate of the first of control, in place of times"),
    "Specimens/*/weight": ("float", "1", "Weight of the specimen in the loss"),
    "Specimens/*/mask": ("name", "", "Column of 0 and 1; rows with 0 drive but do not count"),
    "Specimens/*/leave_out": ("text", "", "Ranges that do not count: `strain_11 0 0.002; ...`"),
    "Specimens/*/missing": ("name", "error", "Empty or NaN measured cells: error or mask"),
    "Specimens/*/start": ("name", "zero", "zero: an undeformed row comes first; or first row"),
    "Specimens/*/start_time": (
        "float",
        "",
        "Time of the undeformed row, in the unit of the time column; it is converted as that is",
    ),
    "Specimens/*/max_rows": (
        "int",
        "",
        "Most rows of a file that are compared, at even distances; all rows drive",
    ),
    "Specimens/*/delimiter": ("name", "", "comma, semicolon or tab, where it is not found"),
    "Specimens/*/comment": ("text", "#", "Start of lines that are skipped"),
    "Specimens/*/skip_before": ("int", "0", "Lines before the header"),
    "Specimens/*/skip_after": ("int", "0", "Rows after the header that are no data"),
    "Specimens/*/encoding": ("name", "utf-8-sig", "Encoding of the file"),
    "Parameters/*/parameter": ("name", None, "As block.symbol, such as yield_surface.sy"),
    "Parameters/*/lower": ("float", None, "Lower bound"),
    "Parameters/*/upper": ("float", None, "Upper bound; inf with scale softplus"),
    "Parameters/*/scale": ("name", "linear", "Of the search: linear, log or softplus"),
    "Parameters/*/initial": ("list of float", "that of the model", "Where the fit starts"),
    "Parameters/*/scatter": (
        "float or name",
        "",
        "Standard deviation from specimen to specimen as a share of the value, or estimate",
    ),
    "Calibrations/*/model": ("Model", "", "Strain-driven model"),
    "Calibrations/*/equation_system": (
        "NonlinearSystem",
        "",
        "In its stead, a system that has the control already",
    ),
    "Calibrations/*/specimens": ("list of name", "all", "Blocks of [Specimens] that take part"),
    "Calibrations/*/parameters": ("list of name", "all", "Blocks of [Parameters] that are fitted"),
    "Calibrations/*/noise": ("name", "gaussian", "gaussian, relative, huber or student"),
    "Calibrations/*/noise_variables": (
        "list of name",
        "",
        "Measured variables that sigma, fraction and floor are given for, in this order",
    ),
    "Calibrations/*/sigma": (
        "list of float",
        "",
        "Standard deviation; may be left out for gaussian noise, and is estimated then",
    ),
    "Calibrations/*/fraction": ("list of float", "", "Of relative noise: part of the value"),
    "Calibrations/*/floor": ("list of float", "", "Of relative noise: part that is always there"),
    "Calibrations/*/k": ("float", "1.345", "Of Huber noise: where its tails begin, in sigmas"),
    "Calibrations/*/nu": ("float", "4", "Of Student noise: degrees of freedom"),
    "Calibrations/*/strain": ("name", "", "The model's strain, where it is not found by itself"),
    "Calibrations/*/stress": ("name", "stress", "The model's stress"),
    "Calibrations/*/time": ("name", "t", "The model's time"),
    "Calibrations/*/control": ("name", "control", "Variable that says what is prescribed"),
    "Calibrations/*/prescribed": ("name", "prescribed", "Variable of what is prescribed"),
    "Calibrations/*/backend": ("name", "auto", "auto, march, chunk or sequential"),
    "Calibrations/*/substeps": ("int", "1", "Integration steps in each row of the data"),
    "Calibrations/*/optimiser": (
        "name",
        "least_squares",
        "least_squares, lbfgs or a class of torch.optim such as adam",
    ),
    "Calibrations/*/learning_rate": ("float", "0.01", "Of a class of torch.optim"),
    "Calibrations/*/starts": ("int", "1", "Starts, from the second on spread over the bounds"),
    "Calibrations/*/seed": ("int", "0", "Of the starts"),
    "Calibrations/*/max_iterations": ("int", "200", "Most iterations of a start"),
    "Calibrations/*/rel_improvement": ("float", "1e-08", "Least improvement that is one"),
    "Calibrations/*/patience": ("int", "20", "Iterations without one that end a start"),
    "Calibrations/*/gradient_tolerance": ("float", "1e-08", "What counts as a zero gradient"),
    "Calibrations/*/level": ("float", "0.95", "Of the confidence intervals"),
    "Calibrations/*/uncertainty": ("name", "intervals", "intervals, or none"),
}
FIELDS |= {
    path.replace("Calibrations/*", "Tests/SpecimenTest"): entry
    for path, entry in FIELDS.items()
    if path.startswith("Calibrations/*")
}
