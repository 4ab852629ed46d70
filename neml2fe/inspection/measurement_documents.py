"""What the types and fields of measured and simulated tests mean: see `documents`."""

from __future__ import annotations

TYPES: dict[str, str] = {
    "Functions/MeasuredDisplacement": "A component of the displacement that a camera measured "
    "along an edge, for the `value` of a Dirichlet condition there. In time it goes straight from "
    "image to image, in space from point to point, or along a polynomial, which averages noise. "
    "That noise is not among the residuals of a fit.",
    "Measurements/Load": "The force of a load cell over time, compared with the reaction of a "
    "boundary condition. Steps end at its times.",
    "Measurements/Gauge": "The elongation between two material points over time, as of a clip "
    "gauge: the change of their distance.",
    "Measurements/FullField": "Displacements of many points, image by image, as cameras see them. "
    "Points are those of the undeformed body; lengths and noise are in the unit of the file, which "
    "`origin`, `axes` and `scale` turn into the frame of the mesh.",
    "Measurements/VirtualFields": "The balance of virtual work with a load cell in every image, "
    "where a camera sees the whole body: its displacements, fitted to the mesh, prescribe all "
    "nodes in place of the boundary conditions, and no equilibrium is solved (virtual fields "
    "method).",
    "Tests/SimulationTest": "A test that a FiniteElementDriver of the deck simulates, with what "
    "was measured in it.",
    "Tests/SpecimenTest": "Tests of material points, simulated as those of a Calibration, as a "
    "part of a SimulationCalibration.",
    "Parameters/FieldParameter": "A parameter with a value of every element or node, in place of a "
    "field of the driver, and a penalty on its roughness on the scale of the fit, from 0 to 1 "
    "between the bounds. The uncertainty of penalised fields is not found.",
    "Calibrations/SimulationCalibration": "A fit of parameters to tests that share them, by "
    "finite-element simulations with exact gradients, run by `neml2fe calibrate`, on several "
    "MPI ranks as well.",
}

_Entry = tuple[str, str | None, str]  # type; default, None where required; meaning

FIELDS: dict[str, _Entry] = {
    "Functions/MeasuredDisplacement/measurement": ("name", None, "A FullField of [Measurements]"),
    "Functions/MeasuredDisplacement/component": ("name", None, "x, y or z"),
    "Functions/MeasuredDisplacement/polygon": (
        "list of float",
        "",
        "Corners x y, parted by `;`: the points within are those along the edge",
    ),
    "Functions/MeasuredDisplacement/box": (
        "list of float",
        "",
        "Lower and upper corner, parted by `;`, in its place",
    ),
    "Functions/MeasuredDisplacement/degree": (
        "int",
        "",
        "Of a polynomial along the edge, linear across it; none: straight from point to point",
    ),
    "Functions/MeasuredDisplacement/start_time": (
        "float",
        "0",
        "Time of zero displacement, where the first image is later",
    ),
    "Measurements/FullField/file": (
        "path",
        None,
        "The file of all images, or a pattern (camera_*.csv) with a file for each, 2 before 10",
    ),
    "Measurements/VirtualFields/camera": (
        "name",
        None,
        "The FullField of [Measurements] that prescribes the nodes, without its rigid motion if "
        "that says so; its points lie in the mesh",
    ),
    "Measurements/VirtualFields/held": ("name", None, "The boundary that is held, straight"),
    "Measurements/VirtualFields/loaded": ("name", None, "The one that the load cell pulls"),
    "Measurements/VirtualFields/component": ("name", None, "Along which it pulls: x, y or z"),
    "Measurements/VirtualFields/factor": (
        "float",
        "1",
        "Of the internal work: the thickness of a plane body",
    ),
    "Measurements/VirtualFields/fields": (
        "list of name",
        "all",
        "linear, quadratic, bending, shear, contraction; in space the last three with _x, _y or _z",
    ),
    "Measurements/VirtualFields/smoothing": (
        "float",
        "0",
        "A length that makes strains smoother, for nodes with few points: the noise of a "
        "displacement over the expected change of its gradient from an element to the next",
    ),
    "Measurements/VirtualFields/displacement_noise": (
        "bool",
        "false",
        "Fit, weigh by the noise of the displacements as well as that of the load, and fit again",
    ),
    "Measurements/VirtualFields/times": (
        "list of float",
        "those of the camera",
        "Times to compare at, up to the last image; motion and load are linear between those of "
        "the files",
    ),
    "Measurements/*/file": ("path", None, "The file, beside the deck"),
    "Measurements/FullField/time_column": (
        "name",
        "",
        "Column of times, where one CSV file holds all images",
    ),
    "Measurements/*/time_column": ("name", None, "Its column of times"),
    "Measurements/*/value_column": ("name", None, "Its column of values"),
    "Measurements/*/value_factor": ("float", "1", "Of the values: 1000 from kN to N"),
    "Measurements/*/reaction": (
        "name",
        None,
        "The Dirichlet, RigidBody or ControlDisplacement condition that has the force",
    ),
    "Measurements/*/factor": (
        "float",
        "1",
        "Of the simulated force: 2 for one half of a body, the thickness of a plane one",
    ),
    "Measurements/FullField/noise": (
        "list of float",
        "",
        "Standard deviation of a displacement, or one for each component; none: not known, and "
        "residuals weigh alike",
    ),
    "Measurements/*/noise": ("float", "", "Standard deviation of a value; none: not known"),
    "Measurements/FullField/times": ("list of float", "0 1 2 ...", "Times of the images"),
    "Measurements/*/times": (
        "list of float",
        "those of the file",
        "Times to compare at; values between those of the file are linear",
    ),
    "Measurements/*/times_of": ("name", "", "Another measurement to take these times from"),
    "Measurements/Gauge/points": (
        "list of float",
        None,
        "Coordinates of the two points in the mesh, parted by `;`",
    ),
    "Measurements/*/format": (
        "name",
        "columns",
        "columns (CSV), matchid, matchid_stereo, vic_2d, vic_3d, numpy (.npz, .npy), vtu (.vtu, "
        ".pvd)",
    ),
    "Measurements/*/columns": (
        "list of name",
        "x y u v",
        "Columns of x, y, u, v, or of x, y, z, u, v, w; parted by `;` where names hold blanks",
    ),
    "Measurements/*/variable": ("name", "displacement", "Point data of VTU files"),
    "Measurements/*/times_file": ("path", "", "CSV file with the times of the images"),
    "Measurements/*/delimiter": (
        "name",
        "",
        "Of a CSV file: comma, semicolon or tab, where it is not found",
    ),
    "Measurements/*/comment": ("text", "#", "Start of lines that are skipped"),
    "Measurements/*/skip_before": ("int", "0", "Lines before the header"),
    "Measurements/*/skip_after": ("int", "0", "Rows after the header that are no data"),
    "Measurements/*/encoding": ("name", "utf-8-sig", "Encoding of the file, such as latin-1"),
    "Measurements/*/times_column": ("name", "time", "Its column of times"),
    "Measurements/*/images": ("list of int", "all", "Images to compare, counted from 0"),
    "Measurements/*/origin": (
        "list of float",
        "0 0",
        "The origin of the mesh, in coordinates of the file",
    ),
    "Measurements/*/axes": (
        "list of float",
        "",
        "Directions of the axes of the mesh in those of the file, parted by `;`: `1 0; 0 -1` where "
        "the y of images goes down",
    ),
    "Measurements/*/scale": ("float", "1", "Lengths of the mesh for one of the file: mm per pixel"),
    "Measurements/*/in_plane": ("bool", "false", "Leave z out, and the displacement along it"),
    "Measurements/*/confidence": (
        "list of float",
        "",
        "Range of what the software says of the quality of a point; others are left out",
    ),
    "Measurements/*/polygon": (
        "list of float",
        "",
        "Corners x y in the mesh, parted by `;`; points without are left out",
    ),
    "Measurements/*/box": (
        "list of float",
        "",
        "Lower and upper corner in the mesh, parted by `;`; points without are left out",
    ),
    "Measurements/*/outside": ("bool", "false", "Leave out the points within, in their place"),
    "Measurements/*/point_step": ("int", "", "Take each so many points only"),
    "Measurements/*/point_count": ("int", "", "Take so many points, far from each other"),
    "Measurements/*/correlation_length": (
        "float",
        "",
        "How far noise is correlated from point to point: the size of a subset; none: not at all",
    ),
    "Measurements/*/correlation": ("name", "spherical", "spherical or exponential"),
    "Measurements/*/boundary": ("name", "", "Of a body in space, the boundary that was seen"),
    "Measurements/*/without_rigid_motion": (
        "bool",
        "false",
        "Remove the rigid motion of each image, of data and simulation alike",
    ),
    "Measurements/*/compare_prescribed": (
        "bool",
        "false",
        "Compare displacements too that a MeasuredDisplacement prescribes as they were measured",
    ),
    "Measurements/*/strain_window": (
        "int",
        "",
        "Compare strains in place of displacements, over windows of so many points a side of both",
    ),
    "Measurements/*/strain_radius": ("float", "", "The same over the points within a radius"),
    "Measurements/*/strain_order": ("int", "1", "Of the polynomial in a window: 1 or 2"),
    "Measurements/*/strain_measure": (
        "name",
        "green_lagrange",
        "small, green_lagrange or logarithmic",
    ),
    "Measurements/*/strain_weights": ("name", "uniform", "Of points in a window: or gaussian"),
    "Measurements/*/strain_least": ("int", "", "Fewest points in a window that give a strain"),
    "Tests/*/driver": ("Driver", None, "The FiniteElementDriver that simulates the test"),
    "Tests/*/measurements": ("list of name", "all", "Blocks of [Measurements]"),
    "Tests/*/checkpoints": (
        "name",
        "auto",
        "Which states are kept for the gradient: all, every, revolve or, by the memory, auto",
    ),
    "Tests/*/checkpoint_every": ("int", "", "Steps between those kept, of `every`"),
    "Tests/*/checkpoint_count": ("int", "", "Most states that `revolve` holds"),
    "Tests/*/checkpoint_memory": ("float", "", "Bytes that they may take on a rank"),
    "Tests/*/checkpoint_folder": ("path", "", "Folder for them, in place of memory"),
    "Parameters/FieldParameter/parameter": (
        "name",
        None,
        "fields.E, with E among field_names of the driver or, body.fields.E, of a body",
    ),
    "Parameters/FieldParameter/initial": (
        "list of float",
        "those of the field",
        "Where the fit starts",
    ),
    "Parameters/FieldParameter/of": ("name", "elements", "What has a value: elements or nodes"),
    "Parameters/FieldParameter/penalty": (
        "name",
        "",
        "tikhonov (smooth) or total_variation (in pieces that are constant)",
    ),
    "Parameters/FieldParameter/weight": (
        "list of float",
        "",
        "Of the penalty; where the search for it begins; or those of an L-curve",
    ),
    "Parameters/FieldParameter/weight_by": (
        "name",
        "given",
        "given, discrepancy (residuals of the size of the noise) or l_curve (its corner)",
    ),
    "Parameters/FieldParameter/smoothing": (
        "float",
        "",
        "Of total_variation: slopes below it, in parts of the range per length, are rounded",
    ),
    "Parameters/*/prior_mean": (
        "float",
        "",
        "What is known before the tests, as a Gaussian on the scale of the fit, for simulations",
    ),
    "Parameters/*/prior_deviation": ("float", "", "Its standard deviation"),
    "Calibrations/SimulationCalibration/optimiser": (
        "name",
        "least_squares",
        "Also lbfgs (for fields: the usual), tao or a class of torch.optim, such as adam",
    ),
    "Calibrations/SimulationCalibration/uncertainty": (
        "name",
        "intervals",
        "intervals, laplace (the posterior as well; the usual with priors) or none (with fields)",
    ),
    "Calibrations/SimulationCalibration/tests": ("list of name", "all", "Blocks of [Tests]"),
    "Calibrations/SimulationCalibration/parameters": (
        "list of name",
        "all",
        "Blocks of [Parameters]; a name such as yield_surface.sy stands for the one parameter of "
        "each test that ends so, whatever it is part of",
    ),
    "Calibrations/SimulationCalibration/groups": (
        "int",
        "1",
        "Groups of MPI ranks that simulate tests at the same time",
    ),
}
