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
    "Tests/SimulationTest": "A test that a FiniteElementDriver of the deck simulates, with what "
    "was measured in it.",
    "Tests/SpecimenTest": "Tests of material points, simulated as those of a Calibration, as a "
    "part of a SimulationCalibration.",
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
